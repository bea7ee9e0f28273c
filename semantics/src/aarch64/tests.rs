// SPDX-License-Identifier: GPL-2.0-or-later
//! What the assembler encodes is decoded as what it was, and runs.

mod answers;

use std::collections::HashSet;

use kop_ops::aarch64::{Insn, Mem, SysReg, forms};
use kop_ops::choices::{Choices, Seeded};

use super::vector::{AcrossOp, BinaryOp, ImmediateOp, LongOp, PairwiseOp, PermuteOp, ShiftOp, UnaryOp};
use super::*;
use crate::domain::Integers;
use crate::native::Unsupported;
use crate::widths::{Vector, Widths};

/// What stays outside, and why.
fn outside(insn: &Insn) -> Option<&'static str> {
    match insn {
        Insn::Svc { .. } => Some("enters the kernel"),
        Insn::Mrs { register, .. } | Insn::Msr { register, .. } if *register != SysReg::Nzcv => {
            Some("a system register, which an emit may not touch")
        }
        _ => None,
    }
}

/// The instruction as a decoder says it: offsets without an encoding of the scaled form are unscaled.
fn canonical(mut insn: Insn) -> Insn {
    let (mem, bytes) = match &mut insn {
        Insn::Load { size, mem, .. } | Insn::LoadSigned { size, mem, .. } | Insn::Store { size, mem, .. } => {
            (mem, size.bytes())
        }
        Insn::VLoad { size, mem, .. } | Insn::VStore { size, mem, .. } => (mem, size.bytes()),
        _ => return insn,
    };
    if let Mem::Offset { base, offset } = *mem
        && (offset < 0 || offset % bytes as i32 != 0)
    {
        *mem = Mem::Unscaled { base, offset };
    }
    insn
}

fn decoded(insn: &Insn) -> Result<Operation, Unsupported> {
    let word = insn.encode().expect("a form has an encoding");
    decode(&word.to_le_bytes()).map(|decoded| decoded[0].operation)
}

#[test]
fn what_is_encoded_is_decoded() {
    for insn in forms::samples() {
        let operation = decoded(&insn);
        let expected = match insn {
            Insn::Prfm { .. } | Insn::Hint(_) | Insn::Dmb(_) | Insn::Dsb(_) | Insn::Isb | Insn::Sb => {
                Operation::Nothing
            }
            _ => Operation::Insn(canonical(insn)),
        };
        match outside(&insn) {
            Some(_) => assert!(operation.is_err(), "{insn}"),
            None => assert_eq!(operation, Ok(expected), "{insn}"),
        }
    }
}

/// Registers, flags, and sixteen bytes of memory that every access reaches.
struct Small<D: Domain> {
    domain: D,
    /// X0 to X30 and SP.
    general: Vec<D::Value>,
    flags: Vec<D::Value>,
    vectors: Vec<[D::Value; 2]>,
    memory: u128,
    monitor: Option<Monitor<D::Value>>,
    /// Makes a value from its width and bits, and takes it apart.
    make: fn(u32, u64) -> D::Value,
    bits: fn(D::Value) -> u64,
}

/// Where the code of a [`Small`] machine stands.
const CODE: u64 = 0x40_1234;

impl<D: Domain> Small<D> {
    fn new(domain: D, start: &Start, make: fn(u32, u64) -> D::Value, bits: fn(D::Value) -> u64) -> Self {
        Small {
            domain,
            general: start.general.iter().map(|&value| make(64, value)).collect(),
            flags: (0..4).map(|bit| make(1, u64::from(start.flags >> bit & 1))).collect(),
            vectors: start.vectors.iter().map(|halves| halves.map(|half| make(64, half))).collect(),
            memory: start.memory,
            monitor: None,
            make,
            bits,
        }
    }
}

fn position(register: Gpr) -> usize {
    assert_ne!(register, Gpr::Xzr);
    register.number() as usize
}

impl<D: Domain> Machine for Small<D> {
    type Domain = D;
    type Stop = ();

    fn domain(&mut self) -> &mut D {
        &mut self.domain
    }

    fn get(&mut self, register: Gpr) -> D::Value {
        self.general[position(register)]
    }

    fn set(&mut self, register: Gpr, value: D::Value) {
        self.general[position(register)] = (self.make)(64, (self.bits)(value));
    }

    fn flag(&mut self, flag: Flag) -> D::Value {
        self.flags[flag as usize]
    }

    fn set_flag(&mut self, flag: Flag, value: D::Value) {
        self.flags[flag as usize] = value;
    }

    fn vector(&mut self, register: V) -> [D::Value; 2] {
        self.vectors[register as usize]
    }

    fn set_vector(&mut self, register: V, value: [D::Value; 2]) {
        self.vectors[register as usize] = value;
    }

    fn load(&mut self, bytes: u32, address: D::Value) -> Result<D::Value, ()> {
        let shift = ((self.bits)(address) % 16 * 8) as u32;
        let value = self.memory.rotate_right(shift) as u64 & (u64::MAX >> (64 - 8 * bytes));
        Ok((self.make)(8 * bytes, value))
    }

    fn store(&mut self, bytes: u32, address: D::Value, value: D::Value) -> Result<(), ()> {
        let shift = ((self.bits)(address) % 16 * 8) as u32;
        let mask = u128::from(u64::MAX >> (64 - 8 * bytes));
        let value = u128::from((self.bits)(value));
        assert_eq!(value & !mask, 0);
        self.memory = (self.memory.rotate_right(shift) & !mask | value).rotate_left(shift);
        Ok(())
    }

    fn begin_atomic(&mut self, _bytes: u32, _address: D::Value) -> Result<(), ()> {
        Ok(())
    }

    fn monitor(&mut self) -> Option<Monitor<D::Value>> {
        self.monitor
    }

    fn set_monitor(&mut self, monitor: Option<Monitor<D::Value>>) {
        self.monitor = monitor;
    }

    fn undefined(&mut self, width: u32) -> D::Value {
        (self.make)(width, 0)
    }

    fn decide(&mut self, bit: D::Value) -> Result<bool, ()> {
        Ok((self.bits)(bit) == 1)
    }

    fn code_address(&mut self, offset: i64) -> D::Value {
        (self.make)(64, CODE.wrapping_add_signed(offset))
    }
}

/// What a machine starts with, and ends with.
#[derive(Clone, Debug, PartialEq)]
struct Start {
    general: Vec<u64>,
    flags: u8,
    vectors: Vec<[u64; 2]>,
    memory: u128,
}

impl Start {
    fn random(choices: &mut Seeded) -> Start {
        let mut word = || match choices.below(4) {
            0 => choices.below(4).wrapping_sub(2),
            1 => 1 << choices.below(64),
            _ => choices.bits(),
        };
        let general = (0..32).map(|_| word()).collect();
        let vectors = (0..32).map(|_| [word(), word()]).collect();
        let memory = u128::from(word()) << 64 | u128::from(word());
        Start { general, flags: choices.bits() as u8 & 15, vectors, memory }
    }

    fn of<D: Domain>(machine: Small<D>) -> Start {
        let bits = machine.bits;
        let flags =
            machine.flags.into_iter().zip(0..).fold(0, |all, (flag, i)| all | (bits(flag) as u8) << i);
        Start {
            general: machine.general.into_iter().map(bits).collect(),
            flags,
            vectors: machine.vectors.into_iter().map(|halves| halves.map(bits)).collect(),
            memory: machine.memory,
        }
    }
}

/// What an instruction leaves over integers, which is what it leaves over values that check their widths.
fn after(decoded: &Decoded, start: &Start) -> (Next<u64>, Start) {
    let mut integers = Small::new(Integers, start, |_, bits| bits, |value| value);
    let next = step(&mut integers, decoded).expect("nothing faults");
    let mut widths =
        Small::new(Widths, start, |width, bits| Vector { width, bits }, |value: Vector| value.bits);
    let sized = match step(&mut widths, decoded).expect("nothing faults") {
        Next::Branch { taken, target } => {
            assert_eq!(taken.width, 1);
            Next::Branch { taken: taken.bits, target }
        }
        Next::Indirect(address) => Next::Indirect(address.bits),
        Next::Fall => Next::Fall,
        Next::Jump(target) => Next::Jump(target),
        Next::Trap => Next::Trap,
    };
    let (integers, widths) = (Start::of(integers), Start::of(widths));
    assert_eq!((next, &integers), (sized, &widths), "{decoded:?}");
    (next, integers)
}

#[test]
fn widths_fit_and_change_nothing() {
    let mut choices = Seeded::new(5);
    for _ in 0..40_000 {
        let insn = forms::random(&mut choices);
        if outside(&insn).is_none() {
            let word = insn.encode().expect("a form has an encoding");
            let decoded = decode(&word.to_le_bytes()).expect("it is covered")[0];
            after(&decoded, &Start::random(&mut choices));
        }
    }
}

/// Bits that are fixed and bits that are free in words of encoding spaces: all words, vectors, scalars, two vectors, lanes as
/// scalars, ADDP of doublewords, FMOV of scalars.
const SPACES: [(u32, u32); 7] = [
    (0, u32::MAX),
    (0x0e00_0000, 0x61ff_ffff),
    (0x5e00_0000, 0x21ff_ffff),
    (0x0e20_0800, 0x60c1_f3ff),
    (0x5e00_0400, 0x001f_03ff),
    (0x5ef1_b800, 0x0000_03ff),
    (0x1e20_4000, 0x00c0_03ff),
];

#[test]
fn whatever_is_decoded_runs() {
    let mut choices = Seeded::new(6);
    let mut kinds = HashSet::new();
    for _ in 0..400_000 {
        let (fixed, free) = *choices.pick(&SPACES);
        let word = fixed | choices.bits() as u32 & free;
        if let Ok(decoded) = decode(&word.to_le_bytes()) {
            if let Operation::Vector(vector) = decoded[0].operation {
                kinds.insert(kind(&vector));
            }
            after(&decoded[0], &Start::random(&mut choices));
        }
    }
    let operations = ImmediateOp::ALL.len()
        + UnaryOp::ALL.len()
        + BinaryOp::ALL.len()
        + PairwiseOp::ALL.len()
        + LongOp::ALL.len()
        + ShiftOp::ALL.len()
        + AcrossOp::ALL.len()
        + PermuteOp::ALL.len();
    // Those without an operation: SMOV to two widths, DUP of four lanes, FMOV of two sizes, pairwise and long shifts of two
    // signs, SHRN to three lanes, TBL and TBX.
    assert_eq!(kinds.len(), operations + 2 + 4 + 2 + 2 + 2 + 3 + 2, "{kinds:?}");
}

/// The variant and its first field.
fn kind(vector: &vector::Vector) -> String {
    format!("{vector:?}").split(',').next().expect("a text has a first part").into()
}
