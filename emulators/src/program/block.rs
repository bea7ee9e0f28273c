// SPDX-License-Identifier: GPL-2.0-or-later
//! The runtime block: what compiled code finds when it starts, and what it leaves.

use kop_ops::code::runtime::{self, fault};
use kop_ops::state::Registers;
use kop_ops::{Access, Fault};

const WORDS: usize = runtime::SIZE / 8;

/// The block of memory between code and engine, in the layout of [`runtime`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct RuntimeBlock {
    words: [u64; WORDS],
}

impl Default for RuntimeBlock {
    fn default() -> Self {
        Self::new()
    }
}

const fn word(offset: i32) -> usize {
    offset as usize / 8
}

impl RuntimeBlock {
    /// A block of zeroes: no fuel, no memory, no helper functions.
    pub const fn new() -> Self {
        Self { words: [0; WORDS] }
    }

    /// r0..r10 at entry, or at the exit of observing code.
    pub fn registers(&self) -> Registers {
        std::array::from_fn(|i| self.words[word(runtime::REGISTERS) + i])
    }

    /// Sets r0..r10.
    pub fn set_registers(&mut self, registers: &Registers) {
        self.words[word(runtime::REGISTERS)..][..registers.len()].copy_from_slice(registers);
    }

    /// Sets how many instructions guarded code may run.
    pub fn set_fuel(&mut self, fuel: u64) {
        self.words[word(runtime::FUEL)] = fuel.min(i64::MAX as u64);
    }

    /// Sets the memory that guarded code may access: first address and number of bytes.
    ///
    /// # Panics
    /// For more than [`runtime::MAX_RANGES`].
    pub fn set_ranges(&mut self, ranges: &[(u64, u64)]) {
        assert!(ranges.len() <= runtime::MAX_RANGES, "the block holds {} ranges", runtime::MAX_RANGES);
        self.words[word(runtime::RANGE_COUNT)] = ranges.len() as u64;
        for (i, &(first, bytes)) in ranges.iter().enumerate() {
            self.words[word(runtime::RANGES) + 2 * i] = first;
            self.words[word(runtime::RANGES) + 2 * i + 1] = bytes;
        }
    }

    /// Sets the address of the function behind `call_by_register`.
    pub fn set_gate(&mut self, address: u64) {
        self.words[word(runtime::GATE)] = address;
    }

    /// Sets the address of the helper function of a slot.
    ///
    /// # Panics
    /// For a slot from [`runtime::MAX_HELPERS`] on.
    pub fn set_helper(&mut self, slot: usize, address: u64) {
        assert!(slot < runtime::MAX_HELPERS, "the block holds {} helper functions", runtime::MAX_HELPERS);
        self.words[word(runtime::HELPERS) + slot] = address;
    }

    /// The fault that guarded code found, and the index of the instruction at which it did.
    pub fn fault(&self) -> Option<(Fault, Option<usize>)> {
        let address = self.words[word(runtime::FAULT_ADDRESS)];
        let memory = |access| Fault::Memory { access, address: Some(address) };
        let fault = match self.words[word(runtime::FAULT_KIND)] {
            0 => return None,
            fault::READ => memory(Access::Read),
            fault::WRITE | fault::ALIGNMENT => memory(Access::Write),
            fault::FUEL => Fault::RunAway,
            fault::DEPTH => Fault::CallDepth,
            fault::HELPER => Fault::Helper { id: address as i32 },
            unknown => Fault::Other(unknown as i32),
        };
        let at = self.words[word(runtime::FAULT_AT)].checked_sub(1);
        Some((fault, at.and_then(|at| usize::try_from(at).ok())))
    }

    /// Writes the block as code finds it.
    pub(crate) fn store(&self, bytes: &mut [u8]) {
        for (to, word) in bytes.chunks_exact_mut(8).zip(self.words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
    }

    /// Reads a block as code leaves it.
    pub(crate) fn load(bytes: &[u8]) -> Self {
        let mut block = Self::new();
        for (word, from) in block.words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(from.try_into().expect("eight bytes"));
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_what_it_is_stored_as() {
        let mut block = RuntimeBlock::new();
        block.set_registers(&std::array::from_fn(|i| i as u64 + 1));
        block.set_fuel(u64::MAX);
        block.set_ranges(&[(0x1000, 16), (0x3000, 32)]);
        block.set_gate(0x4000);
        block.set_helper(runtime::MAX_HELPERS - 1, 0x5000);
        let mut bytes = [0; runtime::SIZE];
        block.store(&mut bytes);
        let at = |offset: i32| {
            let start = offset as usize;
            u64::from_le_bytes(bytes[start..start + 8].try_into().expect("eight bytes"))
        };
        assert_eq!(at(runtime::REGISTERS + 80), 11);
        assert_eq!(at(runtime::FUEL), i64::MAX as u64);
        assert_eq!(
            [at(runtime::RANGE_COUNT), at(runtime::RANGES + 16), at(runtime::RANGES + 24)],
            [2, 0x3000, 32]
        );
        assert_eq!(at(runtime::GATE), 0x4000);
        assert_eq!(at(runtime::HELPERS + 8 * (runtime::MAX_HELPERS as i32 - 1)), 0x5000);
        assert_eq!(RuntimeBlock::load(&bytes), block);
    }

    #[test]
    fn faults_are_told_with_their_instruction() {
        let block = |kind, at| {
            let mut block = RuntimeBlock::new();
            block.words[word(runtime::FAULT_KIND)] = kind;
            block.words[word(runtime::FAULT_AT)] = at;
            block.words[word(runtime::FAULT_ADDRESS)] = 0x1234;
            block.fault()
        };
        let memory = |access| Fault::Memory { access, address: Some(0x1234) };
        assert_eq!(block(0, 7), None);
        assert_eq!(block(fault::READ, 1), Some((memory(Access::Read), Some(0))));
        assert_eq!(block(fault::ALIGNMENT, 8), Some((memory(Access::Write), Some(7))));
        assert_eq!(block(fault::FUEL, 0), Some((Fault::RunAway, None)));
        assert_eq!(block(fault::DEPTH, 3), Some((Fault::CallDepth, Some(2))));
    }
}
