// SPDX-License-Identifier: GPL-2.0-or-later
//! Instructions over a domain that carries and checks widths, as terms of a prover do, agree with those over integers.

use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::forms;
use kop_ops::state::Registers;

use super::*;
use crate::domain::Integers;

/// A number with its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Vector {
    width: u32,
    bits: u64,
}

/// Integers that know their widths, and accept no operand of another one.
#[derive(Default)]
struct Widths;

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

/// Registers, and eight bytes of memory that every access within them reaches.
struct Small<D: Domain> {
    domain: D,
    registers: Vec<D::Value>,
    memory: u64,
    /// Makes a value from its width and bits, and takes it apart.
    make: fn(u32, u64) -> D::Value,
    bits: fn(D::Value) -> u64,
}

fn low(size: Size) -> u64 {
    u64::MAX >> (64 - size.bits())
}

impl<D: Domain> Machine for Small<D> {
    type Domain = D;
    type Stop = ();

    fn domain(&mut self) -> &mut D {
        &mut self.domain
    }

    fn get(&mut self, register: Reg) -> D::Value {
        self.registers[register.index()]
    }

    fn set(&mut self, register: Reg, value: D::Value) {
        self.registers[register.index()] = value;
    }

    fn load(&mut self, size: Size, address: D::Value) -> Result<D::Value, ()> {
        let shift = (self.bits)(address) % 8 * 8;
        Ok((self.make)(size.bits(), self.memory.rotate_right(shift as u32) & low(size)))
    }

    fn store(&mut self, size: Size, address: D::Value, value: D::Value) -> Result<(), ()> {
        let shift = ((self.bits)(address) % 8 * 8) as u32;
        let rotated = self.memory.rotate_right(shift) & !low(size) | (self.bits)(value);
        self.memory = rotated.rotate_left(shift);
        Ok(())
    }

    fn begin_atomic(&mut self, _op: AtomicOp, _size: Size, _address: D::Value) -> Result<(), ()> {
        Ok(())
    }

    fn reference(&mut self, kind: u8, imm: u64) -> Result<D::Value, ()> {
        Ok((self.make)(64, imm ^ u64::from(kind)))
    }
}

/// What an instruction leaves: where control goes, registers, memory.
fn after<D: Domain>(
    insn: &Insn,
    registers: &Registers,
    domain: D,
    make: fn(u32, u64) -> D::Value,
    bits: fn(D::Value) -> u64,
) -> (Next<u64>, Vec<u64>, u64) {
    let values = registers.iter().map(|value| make(64, *value)).collect();
    let mut machine = Small { domain, registers: values, memory: 0x8899_aabb_ccdd_eeff, make, bits };
    let next = match step(&mut machine, insn).expect("nothing faults") {
        Next::Branch(taken) => Next::Branch(bits(taken)),
        Next::Fall => Next::Fall,
        Next::Jump => Next::Jump,
        Next::MayGoto => Next::MayGoto,
        Next::Call(target) => Next::Call(target),
        Next::Exit => Next::Exit,
        Next::Undefined => Next::Undefined,
    };
    (next, machine.registers.into_iter().map(bits).collect(), machine.memory)
}

#[test]
fn widths_fit_and_change_nothing() {
    let mut choices = Seeded::new(9);
    for _ in 0..40_000 {
        let insn = forms::random(&mut choices);
        let mut registers = [0; 11];
        for register in &mut registers {
            *register = if choices.one_in(2) { choices.bits() } else { *choices.pick(&forms::IMMEDIATES_64) };
        }
        let plain = after(&insn, &registers, Integers, |_, bits| bits, |value| value);
        let sized =
            after(&insn, &registers, Widths, |width, bits| Vector { width, bits }, |value| value.bits);
        assert_eq!(plain, sized, "{insn}");
        let (_, after, _) = plain;
        let written = Reg::ALL.into_iter().filter(|r| after[r.index()] != registers[r.index()]);
        assert!(written.clone().all(|register| insn.writes().has(register)), "{insn}");
    }
}
