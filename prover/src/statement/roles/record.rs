// SPDX-License-Identifier: GPL-2.0-or-later
//! A machine that writes down what the semantics do to it. Its values are the numbers of the operations they come from.

mod machines;

use std::hash::{Hash, Hasher};

use kop_ops::ebpf::{Insn, Reg};
use kop_semantics::native::Next;
use kop_semantics::{Domain, aarch64, ebpf, x86_64};

use super::text::{Tag, Text};
use machines::{Aarch64, Ebpf, X86_64};

/// Writes down instructions.
#[derive(Default)]
pub(super) struct Recorder {
    pub text: Text,
    /// The number of an eBPF register's first use, by register.
    roles: [Option<u8>; 11],
    used: u8,
    values: u32,
    /// Whether a step asked for a mark, which decides what it does.
    needs_monitor: bool,
}

/// Something that a step cannot go on without.
pub(super) struct NeedsValue;

impl Recorder {
    /// The role of a register that has been used.
    pub fn known_role(&self, register: Reg) -> Option<u64> {
        self.roles[register.index()].map(u64::from)
    }

    fn role(&mut self, register: Reg) -> u64 {
        let role = *self.roles[register.index()].get_or_insert_with(|| {
            self.used += 1;
            self.used
        });
        u64::from(role)
    }

    fn value(&mut self) -> u32 {
        self.values += 1;
        self.values
    }

    /// A native register: the role of the eBPF register it holds, or its own number behind all roles.
    fn native<G: PartialEq>(&mut self, map: &[G; 11], register: &G, number: u32) -> u64 {
        match map.iter().position(|other| other == register).and_then(|place| Reg::new(place as u8)) {
            Some(held) => self.role(held),
            None => 0x100 + u64::from(number),
        }
    }

    /// An instruction that cannot be written down step by step: itself, and which register plays which role.
    fn whole(&mut self, insn: &impl Hash) {
        let roles = Reg::ALL.map(|register| self.role(register));
        let mut bytes = Bytes(Vec::new());
        insn.hash(&mut bytes);
        self.text.bytes(Tag::Whole, &bytes.0);
        self.text.list(Tag::Roles, &roles);
    }

    /// Where control goes: to which instruction, whatever the lengths of those between. `place` says the number of the one at an offset.
    fn next(&mut self, next: &Next<u32>, place: impl Fn(i64) -> Option<usize>) {
        let (kind, value, target) = match *next {
            Next::Fall => (0, 0, None),
            Next::Jump(target) => (1, 0, place(target)),
            Next::Branch { taken, target } => (2, taken, place(target)),
            Next::Indirect(value) => (3, value, None),
            Next::Trap => (4, 0, None),
        };
        // Whoever goes elsewhere leaves the code.
        let target = target.map_or(0, |target| target as u64 + 1);
        self.text.record(Tag::Next, [kind, value.into(), target]);
    }

    /// An instruction of a proof sequence.
    pub fn ebpf(&mut self, insn: &Insn) {
        self.values = 0;
        let (kind, value) = match ebpf::step(&mut Ebpf(self), insn) {
            Ok(ebpf::Next::Fall) => (0, 0),
            Ok(ebpf::Next::Jump) => (1, 0),
            Ok(ebpf::Next::Branch(taken)) => (2, taken),
            _ => {
                self.whole(insn);
                (3, 0)
            }
        };
        let offset = insn.branch_offset().unwrap_or_default() as u64;
        self.text.record(Tag::Then, [kind, value.into(), offset, insn.slots() as u64]);
    }

    /// x86-64 code of so many bytes, with an exit.
    pub fn x86_64(&mut self, code: &[x86_64::Decoded], length: (usize, Option<i64>)) {
        self.text.record(Tag::Code, [code.len() as u64]);
        for insn in code {
            self.values = 0;
            match x86_64::step(&mut X86_64(self), insn) {
                Ok(next) => self.next(&next, |target| place(code, length, target, |insn| insn.offset)),
                Err(NeedsValue) => self.whole(insn),
            }
        }
    }

    /// AArch64 code of so many bytes, with an exit.
    pub fn aarch64(&mut self, code: &[aarch64::Decoded], length: (usize, Option<i64>)) {
        self.text.record(Tag::Code, [code.len() as u64]);
        for insn in code {
            (self.values, self.needs_monitor) = (0, false);
            match aarch64::step(&mut Aarch64(self), insn) {
                Ok(next) if !self.needs_monitor => {
                    self.next(&next, |target| place(code, length, target, |insn| insn.offset));
                }
                _ => self.whole(insn),
            }
        }
    }
}

/// The number of the instruction at an offset; the end is one more, the exit two.
fn place<I>(
    code: &[I],
    (length, exit): (usize, Option<i64>),
    target: i64,
    offset: impl Fn(&I) -> usize,
) -> Option<usize> {
    let inside = |target: usize| match target == length {
        true => Some(code.len()),
        false => code.binary_search_by_key(&target, offset).ok(),
    };
    let found = usize::try_from(target).ok().and_then(inside);
    found.or_else(|| (exit == Some(target)).then_some(code.len() + 1))
}

/// Keeps what is hashed: of an instruction, its kind and its fields, each of a length that the kind says.
struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.len() as u64
    }
}

/// Operations of two operands: a number for each.
macro_rules! operations {
    ($($number:literal $name:ident),*) => {
        $(fn $name(&mut self, width: u32, a: u32, b: u32) -> u32 {
            self.operation($number, [width, a, b])
        })*
    };
}

impl Recorder {
    fn operation<const N: usize>(&mut self, number: u8, operands: [u32; N]) -> u32 {
        self.text.operation(number, operands);
        self.value()
    }
}

impl Domain for Recorder {
    type Value = u32;

    operations!(
        0 add, 1 sub, 2 mul, 3 umulh, 4 udiv, 5 urem, 6 sdiv, 7 srem, 8 and, 9 or, 10 xor, 11 shl, 12 lshr, 13 ashr,
        14 eq, 15 ult, 16 slt
    );

    fn constant(&mut self, width: u32, bits: u64) -> u32 {
        let [low, high] = [bits as u32, (bits >> 32) as u32];
        self.operation(17, [width, low, high])
    }

    fn zero_extend(&mut self, from: u32, to: u32, a: u32) -> u32 {
        self.operation(18, [from, to, a])
    }

    fn sign_extend(&mut self, from: u32, to: u32, a: u32) -> u32 {
        self.operation(19, [from, to, a])
    }

    fn extract(&mut self, from: u32, low: u32, to: u32, a: u32) -> u32 {
        self.operation(20, [from, low, to, a])
    }

    fn concat(&mut self, width: u32, low_width: u32, high: u32, low: u32) -> u32 {
        self.operation(21, [width, low_width, high, low])
    }

    fn ite(&mut self, width: u32, condition: u32, a: u32, b: u32) -> u32 {
        self.operation(22, [width, condition, a, b])
    }
}

/// What all machines do alike.
impl Recorder {
    fn get(&mut self, register: u64) -> u32 {
        self.text.record(Tag::Get, [register]);
        self.value()
    }

    fn set(&mut self, register: u64, value: u32) {
        self.text.record(Tag::Set, [register, value.into()]);
    }

    fn flag(&mut self, number: u64) -> u32 {
        self.text.record(Tag::Flag, [number]);
        self.value()
    }

    fn set_flag(&mut self, number: u64, value: u32) {
        self.text.record(Tag::SetFlag, [number, value.into()]);
    }

    fn vector(&mut self, number: u32) -> [u32; 2] {
        self.text.record(Tag::Vector, [number.into()]);
        [self.value(), self.value()]
    }

    fn set_vector(&mut self, number: u32, [low, high]: [u32; 2]) {
        self.text.record(Tag::SetVector, [number.into(), low.into(), high.into()]);
    }

    fn load(&mut self, bytes: u32, address: u32) -> u32 {
        self.text.record(Tag::Load, [bytes.into(), address.into()]);
        self.value()
    }

    fn store(&mut self, bytes: u32, address: u32, value: u32) {
        self.text.record(Tag::Store, [bytes.into(), address.into(), value.into()]);
    }

    /// What an access wants before it begins: a number for each kind and size.
    fn begin(&mut self, kind: u64, address: u32) {
        self.text.record(Tag::Begin, [kind, address.into()]);
    }

    fn undefined(&mut self, width: u32) -> u32 {
        self.text.record(Tag::Undefined, [width.into()]);
        self.value()
    }

    fn code_address(&mut self, offset: i64) -> u32 {
        self.text.record(Tag::Address, [offset as u64]);
        self.value()
    }
}
