// SPDX-License-Identifier: GPL-2.0-or-later
//! A compiled program: native code with what an engine needs to run it and to say which instruction a fault belongs to;
//! and the block of memory through which code and engine talk.

use crate::arch::{Arch, Features};

/// Native code of one program, the same at every address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// The architecture.
    pub arch: Arch,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The offset of the entry: a function with the address of the [`runtime`] block as its only argument (rdi, x0), which
    /// returns r0 (rax, x0) and keeps what its platform's ABI says a function keeps.
    pub entry: usize,
    /// Which instruction the bytes belong to: offset of the first byte and index of the instruction in the program, by
    /// ascending offset. [`Mark::NONE`] marks prologues, epilogues and shared ends.
    pub marks: Vec<Mark>,
    /// The helper functions that it calls: the id of each slot of the runtime block's table.
    pub helpers: Vec<i32>,
    /// The CPU features that it needs.
    pub features: Features,
    /// Whether it checks its memory accesses and its fuel.
    pub guarded: bool,
    /// Whether it stores r0..r10 in the runtime block when the program exits.
    pub observing: bool,
    /// What became of each Kop site.
    pub sites: Vec<SiteCode>,
}

/// Where the code of an instruction starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Offset of its first byte.
    pub offset: u32,
    /// Index of the instruction in the program, or [`Mark::NONE`].
    pub index: u32,
}

impl Mark {
    /// In place of an index: code that belongs to no instruction.
    pub const NONE: u32 = u32::MAX;
}

/// What became of a Kop site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteCode {
    /// Index of its sidecar in the program.
    pub index: usize,
    /// Why its proof sequence was compiled; `None` where its emit was.
    pub fallback: Option<String>,
}

impl Code {
    /// The index of the instruction whose code the byte at `offset` belongs to.
    pub fn insn_at(&self, offset: usize) -> Option<usize> {
        let next = self.marks.partition_point(|mark| mark.offset as usize <= offset);
        let mark = self.marks[..next].last().filter(|_| offset < self.bytes.len())?;
        (mark.index != Mark::NONE).then_some(mark.index as usize)
    }

    /// How many bytes belong to the instruction with this index.
    pub fn bytes_of(&self, index: usize) -> usize {
        let ends = self.marks.iter().skip(1).map(|mark| mark.offset as usize).chain([self.bytes.len()]);
        let own = self.marks.iter().zip(ends).filter(|(mark, _)| mark.index as usize == index);
        own.map(|(mark, end)| end - mark.offset as usize).sum()
    }
}

/// The block of memory between code and engine: offsets in bytes, all words of 64 bits, little-endian. Code keeps its
/// address in r12 or x26.
pub mod runtime {
    /// r0..r10 at entry: code reads those that it uses before it writes them. Observing code stores r0..r10 here when the
    /// program exits; other code may leave them.
    pub const REGISTERS: i32 = 0;
    /// How many instructions guarded code may still run, as a signed number; it faults below zero.
    pub const FUEL: i32 = 88;
    /// The index of the instruction at which guarded code found a fault, plus one; 0 when there was none.
    pub const FAULT_AT: i32 = 96;
    /// What the fault is: one of [`fault`].
    pub const FAULT_KIND: i32 = 104;
    /// The address that was refused, for faults of memory.
    pub const FAULT_ADDRESS: i32 = 112;
    /// The native stack pointer at entry, which code saves for leaving from the middle of a call.
    pub const STACK_POINTER: i32 = 120;
    /// How many frames are in use besides the program's own, in guarded code.
    pub const DEPTH: i32 = 128;
    /// The address of the function that ends the helper call with the id in r10d (x86-64) or w10 (AArch64): what
    /// `call_by_register` goes through, and every slot whose function the engine does not have.
    pub const GATE: i32 = 136;
    /// How many [ranges](RANGES) there are.
    pub const RANGE_COUNT: i32 = 144;
    /// Scratch words for code, unspecified between instructions.
    pub const SCRATCH: i32 = 152;
    /// How many scratch words.
    pub const SCRATCH_WORDS: i32 = 5;
    /// Memory that guarded code may access: pairs of first address and number of bytes.
    pub const RANGES: i32 = 192;
    /// The most ranges.
    pub const MAX_RANGES: usize = 28;
    /// The addresses of the helper functions, in the order of [`super::Code::helpers`]. They take r1..r5 where the platform's
    /// ABI has the first five arguments, return r0 in rax or x0, and may clobber what the ABI lets them; the x86-64 stack pointer
    /// is a multiple of 16 at the call.
    ///
    /// The slot of `bpf_tail_call` returns 0 when the call fails, else the address of the entry to go on with, which
    /// code jumps to with its own frame taken down and the block's address in rdi or x0; the engine has put the context into
    /// r1 and the caller's r10, which it finds in rbp or x25, into r10 of [`REGISTERS`].
    pub const HELPERS: i32 = 640;
    /// The most slots of helper functions.
    pub const MAX_HELPERS: usize = 160;
    /// The bytes of the block.
    pub const SIZE: usize = 2048;

    const _: () = {
        assert!(SCRATCH + 8 * SCRATCH_WORDS <= RANGES);
        assert!(RANGES as usize + 16 * MAX_RANGES <= HELPERS as usize);
        assert!(HELPERS as usize + 8 * MAX_HELPERS <= SIZE);
    };

    /// Values of [`FAULT_KIND`].
    pub mod fault {
        /// A load outside of all ranges.
        pub const READ: u64 = 1;
        /// A store, or an atomic operation, outside of all ranges.
        pub const WRITE: u64 = 2;
        /// An atomic operation at an address that is no multiple of its size.
        pub const ALIGNMENT: u64 = 3;
        /// The fuel ran out.
        pub const FUEL: u64 = 4;
        /// More than eight frames.
        pub const DEPTH: u64 = 5;
        /// The engine refused a helper call: it says why.
        pub const HELPER: u64 = 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_find_their_instruction() {
        let mark = |offset, index| Mark { offset, index };
        let code = Code {
            arch: Arch::X86_64,
            bytes: vec![0; 10],
            entry: 0,
            marks: vec![mark(0, Mark::NONE), mark(4, 0), mark(4, 1), mark(9, Mark::NONE)],
            helpers: Vec::new(),
            features: Features::NONE,
            guarded: false,
            observing: false,
            sites: Vec::new(),
        };
        assert_eq!([0, 4, 8, 9, 10].map(|at| code.insn_at(at)), [None, Some(1), Some(1), None, None]);
        assert_eq!([0, 1, 2].map(|index| code.bytes_of(index)), [0, 5, 0]);
        let code = Code { marks: vec![mark(0, 1), mark(2, 0), mark(6, 1)], ..code };
        assert_eq!([0, 1].map(|index| code.bytes_of(index)), [4, 6]);
    }
}
