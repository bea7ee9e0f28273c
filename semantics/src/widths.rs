// SPDX-License-Identifier: GPL-2.0-or-later
//! A domain for tests: integers that carry and check their widths, as the terms of a prover do.

use crate::domain::{Domain, Integers};

/// A number with its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vector {
    pub(crate) width: u32,
    pub(crate) bits: u64,
}

/// Integers that know their widths, and accept no operand of another one.
#[derive(Default)]
pub(crate) struct Widths;

impl Widths {
    fn two(
        &mut self,
        width: u32,
        a: Vector,
        b: Vector,
        result: u32,
        of: fn(&mut Integers, u32, u64, u64) -> u64,
    ) -> Vector {
        assert_eq!((a.width, b.width), (width, width));
        self.sized(result, of(&mut Integers, width, a.bits, b.bits))
    }

    fn sized(&mut self, width: u32, bits: u64) -> Vector {
        assert!((1..=64).contains(&width) && (width == 64 || bits >> width == 0), "{bits:#x} at {width}");
        Vector { width, bits }
    }
}

/// Operations of two operands: name, and whether the result has one bit.
macro_rules! two_operands {
    ($($name:ident $one_bit:literal),*) => {
        $(fn $name(&mut self, width: u32, a: Vector, b: Vector) -> Vector {
            let result = if $one_bit { 1 } else { width };
            self.two(width, a, b, result, <Integers as Domain>::$name)
        })*
    };
}

impl Domain for Widths {
    type Value = Vector;

    two_operands!(
        add false, sub false, mul false, umulh false, udiv false, urem false, sdiv false, srem false, and false,
        or false, xor false, shl false, lshr false, ashr false, eq true, ult true, slt true
    );

    fn constant(&mut self, width: u32, bits: u64) -> Vector {
        let bits = Integers.constant(width, bits);
        self.sized(width, bits)
    }

    fn zero_extend(&mut self, from: u32, to: u32, a: Vector) -> Vector {
        assert!(a.width == from && from <= to);
        self.sized(to, a.bits)
    }

    fn sign_extend(&mut self, from: u32, to: u32, a: Vector) -> Vector {
        assert!(a.width == from && from <= to);
        let bits = Integers.sign_extend(from, to, a.bits);
        self.sized(to, bits)
    }

    fn extract(&mut self, from: u32, low: u32, to: u32, a: Vector) -> Vector {
        assert!(a.width == from && low + to <= from);
        let bits = Integers.extract(from, low, to, a.bits);
        self.sized(to, bits)
    }

    fn concat(&mut self, width: u32, low_width: u32, high: Vector, low: Vector) -> Vector {
        assert!(high.width + low.width == width && low.width == low_width);
        self.sized(width, high.bits << low_width | low.bits)
    }

    fn ite(&mut self, width: u32, condition: Vector, a: Vector, b: Vector) -> Vector {
        assert_eq!((condition.width, a.width, b.width), (1, width, width));
        if condition.bits == 1 { a } else { b }
    }
}
