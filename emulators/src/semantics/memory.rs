// SPDX-License-Identifier: GPL-2.0-or-later
//! The memory that code sees: a window, a stack, the native stack, and its own bytes to read.

use kop_ops::{Access, Fault, Memory, Slot};

use crate::arena::Region;
use crate::engine::{AccessRecord, FrameBreach};
use crate::native::{PROBE_CODES, STACK_POINTER};

/// What the native stack is filled with.
const STACK_FILL: u8 = 0xa5;

/// Memory with what happened to it.
#[derive(Clone, Debug)]
pub struct Space {
    /// The window and the stack of a slot.
    pub memory: Memory,
    /// Bytes that can be read besides, such as those of the code where it may read them.
    pub code: Vec<u8>,
    /// The address of the first of them.
    pub code_place: u64,
    /// Whether accesses are kept.
    pub observed: bool,
    /// The accesses to window and stack, in order, where they are kept.
    pub accesses: Vec<AccessRecord>,
    /// The accesses to the native stack, likewise.
    pub native_stack_accesses: Vec<AccessRecord>,
    /// What was done to the native stack that code may not do, where accesses are kept.
    pub breaches: Vec<FrameBreach>,
    /// Whether the caller's part of the native stack was written.
    pub callers_stack_written: bool,
    native_stack: Vec<u8>,
    /// The stack pointer before the instruction that runs.
    stack_pointer: u64,
    /// Accesses to the native stack by the instruction that runs.
    pending: Vec<AccessRecord>,
}

const NATIVE_STACK: u64 = Region::NativeStack.address();

impl Space {
    /// Zeroed memory and no code.
    pub fn new() -> Self {
        Self {
            memory: Memory::zeroed(Slot::default()),
            code: Vec::new(),
            code_place: PROBE_CODES.start,
            observed: false,
            accesses: Vec::new(),
            native_stack_accesses: Vec::new(),
            breaches: Vec::new(),
            callers_stack_written: false,
            native_stack: vec![STACK_FILL; Region::NativeStack.size()],
            stack_pointer: STACK_POINTER,
            pending: Vec::new(),
        }
    }

    /// Forgets what happened.
    pub fn begin(&mut self, observed: bool) {
        self.observed = observed;
        self.accesses.clear();
        self.native_stack_accesses.clear();
        self.breaches.clear();
        self.pending.clear();
        self.callers_stack_written = false;
        self.stack_pointer = STACK_POINTER;
    }

    /// The bytes of the native stack, from its lowest address on.
    pub fn native_stack_mut(&mut self) -> &mut [u8] {
        &mut self.native_stack
    }

    /// The little-endian number at an address, of 1 to 8 bytes.
    ///
    /// # Errors
    /// [`Fault::Memory`] with the first byte that cannot be read.
    #[inline]
    pub fn load(&mut self, bytes: u32, address: u64) -> Result<u64, Fault> {
        let size = bytes as usize;
        let value = match self.memory.load(address, size) {
            Ok(value) => value,
            Err(fault) => {
                let place = [(&self.native_stack, NATIVE_STACK), (&self.code, self.code_place)]
                    .into_iter()
                    .find_map(|(bytes, base)| bytes.get(within(address, base, size)?));
                place.map(number).ok_or(fault)?
            }
        };
        self.note(Access::Read, address, bytes);
        Ok(value)
    }

    /// Stores the low 1 to 8 bytes of a number at an address.
    ///
    /// # Errors
    /// [`Fault::Memory`] with the first byte that cannot be written; nothing is stored then.
    #[inline]
    pub fn store(&mut self, bytes: u32, address: u64, value: u64) -> Result<(), Fault> {
        let size = bytes as usize;
        if let Err(fault) = self.memory.store(address, size, value) {
            let place =
                within(address, NATIVE_STACK, size).and_then(|range| self.native_stack.get_mut(range));
            place.ok_or(fault)?.copy_from_slice(&value.to_le_bytes()[..size]);
            self.callers_stack_written |= address + u64::from(bytes) > STACK_POINTER;
        }
        self.note(Access::Write, address, bytes);
        Ok(())
    }

    /// Says whether a store of so many bytes, no more than a page, would succeed; nothing is accessed.
    ///
    /// # Errors
    /// As [`Space::store`].
    pub fn check_store(&mut self, bytes: u32, address: u64) -> Result<(), Fault> {
        let ends = [address, address.wrapping_add(u64::from(bytes) - 1)];
        for end in ends {
            let stack =
                within(end, NATIVE_STACK, 1).is_some_and(|range| range.end <= self.native_stack.len());
            if !stack && self.memory.load(end, 1).is_err() {
                return Err(Fault::Memory { access: Access::Write, address: Some(end) });
            }
        }
        Ok(())
    }

    fn note(&mut self, access: Access, address: u64, size: u32) {
        if self.observed {
            let record = AccessRecord { access, address, size };
            let stack =
                within(address, NATIVE_STACK, 1).is_some_and(|range| range.end <= self.native_stack.len());
            if stack { self.pending.push(record) } else { self.accesses.push(record) }
        }
    }

    /// Judges the accesses of the instruction that has just ended, now that the stack pointer after it is known: a push
    /// writes below the old one but not below the new one, a pop the other way round.
    #[inline]
    pub fn settle(&mut self, stack_pointer: u64) {
        let lowest = self.stack_pointer.min(stack_pointer);
        for record in self.pending.drain(..) {
            let write = record.access == Access::Write;
            self.native_stack_accesses.push(record);
            if record.address < lowest {
                self.breaches.push(FrameBreach::BelowStack { write, below: lowest - record.address });
            } else if record.address + u64::from(record.size) > STACK_POINTER {
                let above = record.address.saturating_sub(STACK_POINTER);
                self.breaches.push(FrameBreach::CallerStack { write, above });
            }
        }
        self.stack_pointer = stack_pointer;
    }
}

impl Default for Space {
    fn default() -> Self {
        Self::new()
    }
}

/// The positions of `size` bytes at an address, from `base` on.
fn within(address: u64, base: u64, size: usize) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(address.checked_sub(base)?).ok()?;
    Some(start..start.checked_add(size)?)
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}
