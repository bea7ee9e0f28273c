// SPDX-License-Identifier: GPL-2.0-or-later
//! What is known of registers and stack at a place in a program: as much of the verifier's own tracking as it takes to write
//! programs that it accepts.

use std::collections::BTreeMap;

use kop_ops::ebpf::{Reg, RegSet};

/// What a register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing that may be read.
    Unset,
    /// A number, the same on every engine.
    Scalar,
    /// An address, which must not get to where values are compared.
    Pointer(Pointer),
}

/// An address within a region: `offset` bytes from its start, and up to `slack` more that are not known before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pointer {
    pub(super) region: Region,
    pub(super) offset: i32,
    pub(super) slack: u32,
}

/// Memory that pointers point into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Region {
    /// The function's own stack; offsets count from r10 and are negative.
    Frame,
    /// So many bytes of a caller's stack, all of them numbers.
    Caller(u32),
    /// The packet; how many bytes from this origin are known to be there is kept beside it.
    Packet(u32),
    /// The packet's end, which only comparisons use.
    PacketEnd,
    /// The value of a map.
    Map(usize),
    /// The context.
    Context,
    /// The data of a raw program.
    Window,
}

/// Eight bytes of stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Numbers, as far as bytes were written: a bit for each.
    Bytes(u8),
    /// A pointer.
    Spill(Pointer),
}

/// Registers and stack of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    registers: [Value; 11],
    /// The stack from r10 downwards.
    pub(super) slots: Vec<Slot>,
    /// How many bytes of the packet are there from each origin.
    pub(super) checked: BTreeMap<u32, u32>,
}

impl State {
    /// Nothing set but r10, with a stack of `slots` times eight bytes.
    pub(super) fn new(slots: usize) -> Self {
        let mut registers = [Value::Unset; 11];
        registers[Reg::R10.index()] = Value::Pointer(Pointer { region: Region::Frame, offset: 0, slack: 0 });
        Self { registers, slots: vec![Slot::Bytes(0); slots], checked: BTreeMap::new() }
    }

    pub(super) fn get(&self, register: Reg) -> Value {
        self.registers[register.index()]
    }

    pub(super) fn set(&mut self, register: Reg, value: Value) {
        self.registers[register.index()] = value;
    }

    /// The registers that hold numbers.
    pub(super) fn scalars(&self) -> RegSet {
        Reg::WRITABLE.into_iter().filter(|register| self.get(*register) == Value::Scalar).collect()
    }

    /// The registers that hold pointers, r10 among them.
    pub(super) fn pointers(&self) -> impl Iterator<Item = (Reg, Pointer)> {
        Reg::ALL.into_iter().filter_map(|register| match self.get(register) {
            Value::Pointer(pointer) => Some((register, pointer)),
            _ => None,
        })
    }

    /// The bytes that can be accessed from a region's start: `None` where accesses follow other rules.
    pub(super) fn length(&self, region: Region, sizes: &Sizes) -> Option<i32> {
        match region {
            Region::Caller(size) => Some(size as i32),
            Region::Packet(origin) => Some(self.checked.get(&origin).copied().unwrap_or(0) as i32),
            Region::Map(index) => Some(sizes.values[index] as i32),
            Region::Window => Some(sizes.window as i32),
            Region::Frame | Region::PacketEnd | Region::Context => None,
        }
    }

    /// What holds whichever of two ways was taken.
    pub(super) fn meet(&self, other: &State) -> State {
        let mut met = self.clone();
        for (mine, theirs) in met.registers.iter_mut().zip(other.registers) {
            if *mine != theirs {
                *mine = Value::Unset;
            }
        }
        for (mine, theirs) in met.slots.iter_mut().zip(&other.slots) {
            *mine = match (*mine, *theirs) {
                (a, b) if a == b => a,
                (Slot::Bytes(a), Slot::Bytes(b)) => Slot::Bytes(a & b),
                _ => Slot::Bytes(0),
            };
        }
        met.checked.retain(|origin, _| other.checked.contains_key(origin));
        for (origin, bytes) in &mut met.checked {
            *bytes = (*bytes).min(other.checked[origin]);
        }
        met
    }

    /// Forgets every pointer that `gone` is true of.
    pub(super) fn forget(&mut self, gone: impl Fn(&Pointer) -> bool) {
        for value in &mut self.registers {
            if matches!(value, Value::Pointer(pointer) if gone(pointer)) {
                *value = Value::Unset;
            }
        }
        for slot in &mut self.slots {
            if matches!(slot, Slot::Spill(pointer) if gone(pointer)) {
                *slot = Slot::Bytes(0);
            }
        }
    }

    /// Notes that numbers were written to the stack, `size` bytes at `offset` from r10.
    pub(super) fn write_stack(&mut self, offset: i32, size: usize) {
        for byte in offset..offset + size as i32 {
            let (slot, bit) = stack_byte(byte);
            let before = match self.slots[slot] {
                Slot::Bytes(bytes) => bytes,
                Slot::Spill(_) => 0,
            };
            self.slots[slot] = Slot::Bytes(before | 1 << bit);
        }
    }

    /// Whether the stack holds numbers in all of these bytes.
    pub(super) fn reads_stack(&self, offset: i32, size: usize) -> bool {
        (offset..offset + size as i32).all(|byte| {
            let (slot, bit) = stack_byte(byte);
            matches!(self.slots.get(slot), Some(Slot::Bytes(bytes)) if bytes >> bit & 1 == 1)
        })
    }
}

/// The slot of the stack byte at `offset` from r10, and its place in there.
pub(super) fn stack_byte(offset: i32) -> (usize, i32) {
    ((-offset - 1) as usize / 8, offset.rem_euclid(8))
}

/// The sizes of what a program finds.
#[derive(Clone, Debug, Default)]
pub(super) struct Sizes {
    /// Bytes of a value of each map.
    pub(super) values: Vec<u32>,
    /// Bytes of data of a raw program.
    pub(super) window: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meeting_keeps_what_both_know() {
        let pointer = |offset| Value::Pointer(Pointer { region: Region::Map(0), offset, slack: 0 });
        let (mut a, mut b) = (State::new(2), State::new(2));
        for (register, one, other) in [
            (Reg::R1, Value::Scalar, Value::Scalar),
            (Reg::R2, Value::Scalar, pointer(0)),
            (Reg::R3, pointer(8), pointer(8)),
            (Reg::R4, pointer(8), pointer(4)),
        ] {
            a.set(register, one);
            b.set(register, other);
        }
        a.write_stack(-8, 8);
        b.write_stack(-4, 2);
        a.checked.insert(0, 14);
        b.checked.insert(0, 10);
        b.checked.insert(1, 10);
        let met = a.meet(&b);
        let registers = [Reg::R1, Reg::R2, Reg::R3, Reg::R4].map(|register| met.get(register));
        assert_eq!(registers, [Value::Scalar, Value::Unset, pointer(8), Value::Unset]);
        assert!(met.reads_stack(-4, 2) && !met.reads_stack(-8, 4) && !met.reads_stack(-24, 1));
        assert_eq!(met.checked, BTreeMap::from([(0, 10)]));
    }
}
