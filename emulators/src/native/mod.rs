// SPDX-License-Identifier: GPL-2.0-or-later
//! Drivers: the native code around the code under test that loads states, lets it run, and stores results, so that a
//! machine is entered once for a whole chunk. One file per architecture, mirrored.

pub mod aarch64;
pub mod x86_64;

use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::{Reg, RegSet};
use kop_ops::state::Registers;
use kop_ops::{Arch, Vectors};

use crate::arena::Region;
use crate::engine::FrameBreach;

/// Places in the control region that drivers use.
pub mod control {
    use crate::arena::Region;

    /// Where the caller's stack pointer and link register are kept.
    pub const SAVED: u64 = Region::Control.address();
    /// The end of a few words of stack for moving flags.
    pub const FLAG_STACK: u64 = Region::Control.address() + 0x100;
    /// What a probe starts with.
    pub const PROBE_IN: u64 = Region::Control.address() + 0x400;
    /// What a probe ended with.
    pub const PROBE_OUT: u64 = Region::Control.address() + 0x1000;
    /// Where a probe finds the address of the code under test.
    pub const PROBE_TARGET: u64 = Region::Control.address() + 0x200;
    /// Where a chunk's driver keeps the address of the block of the half that runs.
    pub const CURRENT: u64 = Region::Control.address() + 0x300;
    /// The end of the blocks of a chunk's halves.
    pub const LAST: u64 = CURRENT + 8;
    /// The end of the rows of the half that runs, where a driver has no register for it.
    pub const ROWS_END: u64 = CURRENT + 16;
}

/// The blocks of a chunk's halves, behind the rows: where a loop and its rows are, what registers hold before it, and what
/// they held after it.
pub mod block {
    use crate::arena::Region;
    use crate::engine::MAX_ROW_WORDS;

    /// Where the blocks are.
    pub const FIRST: u64 = Region::Rows.address() + 8 * MAX_ROW_WORDS as u64;
    /// The offset of the address of the loop.
    pub const LOOP: u64 = 0;
    /// The offset of the address of the first row.
    pub const ROW: u64 = 8;
    /// The offset of the end of the rows.
    pub const END: u64 = 16;
    /// The offset of the registers before.
    pub const BEFORE: u64 = 24;

    /// The offset of the registers after, where there are `general` of them, the stack pointer included.
    pub const fn after(general: usize) -> u64 {
        BEFORE + 8 * general as u64
    }

    /// The bytes of a block.
    pub const fn size(general: usize) -> u64 {
        BEFORE + 16 * general as u64
    }
}

/// The stack pointer that code under test starts with: the middle of the native stack.
pub const STACK_POINTER: u64 = Region::NativeStack.address() + Region::NativeStack.size() as u64 / 2;

/// What the loop around a code needs to know. Equal ones have equal loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Loop<'a> {
    /// The code under test.
    pub code: &'a [u8],
    /// The registers loaded for each state, which are the words of a row.
    pub inputs: RegSet,
    /// Those of them that are stored after each state, over what they held.
    pub outputs: RegSet,
}

impl Loop<'_> {
    /// Determines how scratch registers and flags depend on the row.
    fn garbage(&self) -> Seeded {
        let mix = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        Seeded::new(self.code.iter().fold(FNV_BASIS, mix))
    }

    /// The numbers of the bit of a row's address that tells rows with other flags apart, the lowest that changes from row to row
    /// or the next, and whether the flags of those that have it are those of an overflow.
    fn flags(&self, choices: &mut Seeded) -> (u32, bool) {
        (self.stride().trailing_zeros() + choices.below(2) as u32, choices.one_in(2))
    }

    /// The bytes of a row.
    pub fn stride(&self) -> u64 {
        8 * self.inputs.len() as u64
    }
}

/// FNV-1a, 64 bits (draft-eastlake-fnv).
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x100_0000_01b3;

/// The code of a probe.
#[derive(Clone, Debug, Default)]
pub struct Driver {
    /// The code.
    pub code: Vec<u8>,
    /// Where its first byte stands.
    pub place: u64,
    /// Where it starts.
    pub entry: u64,
    /// Where it ends: the return to the machine.
    pub exit: u64,
    /// Where the code under test stands.
    pub under_test: std::ops::Range<u64>,
}

/// Where the part of a probe stands that sets registers.
pub const PROBE_BEFORE: u64 = Region::Code.address();

/// Where the part of a probe stands that stores registers.
pub const PROBE_AFTER: u64 = Region::Code.address() + 0x1000;

/// Where the part of a chunk's driver stands that all chunks share.
pub const CHUNK_FRAME: u64 = Region::Code.address() + 0x1800;

/// Where codes under test stand in probes: each at an address of its own, so that what a machine has translated before
/// stays right.
pub const PROBE_CODES: std::ops::Range<u64> =
    Region::Code.address() + 0x2000..Region::Code.address() + 0x10_0000;

/// Where the loops of chunks stand, likewise each at an address of its own.
pub const CHUNKS: std::ops::Range<u64> =
    Region::Code.address() + 0x10_0000..Region::Code.address() + 0x40_0000;

/// The most bytes that a loop adds to the code under test.
pub const LOOP_BOUND: usize = 512;

/// The parts of a probe that all probes share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeFrame {
    /// Sets registers and goes to the code under test by an indirect jump.
    pub before: Vec<u8>,
    /// Stores registers and returns to the machine.
    pub after: Vec<u8>,
    /// The offset of the return in `after`.
    pub exit: u64,
}

/// The part of a chunk's driver that all chunks share: it takes each half's registers from its block, goes to its loop by an
/// indirect jump, and puts the registers back into the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkFrame {
    /// The code.
    pub code: Vec<u8>,
    /// The offset at which loops come back.
    pub done: u64,
    /// The offset of the return to the machine.
    pub exit: u64,
}

/// Everything that a native register file holds, as probes set and read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterFile {
    /// General registers by number: 16 on x86-64 (rsp among them), 31 and sp on AArch64.
    pub general: Vec<u64>,
    /// RFLAGS or NZCV.
    pub flags: u64,
    /// SIMD registers by number: 16 or 32.
    pub vectors: Vec<u128>,
}

/// What an architecture's drivers offer; both modules implement it, so that engines are written once.
pub trait Drivers: Copy + Send + Sync + 'static {
    /// The architecture.
    const ARCH: Arch;

    /// How many general registers there are, the stack pointer included.
    const GENERAL: usize;

    /// The part of a chunk's driver that does not depend on the codes, to be placed at [`CHUNK_FRAME`].
    fn chunk_frame() -> ChunkFrame;

    /// The loop over the rows of a half, to be placed at `place`. The frame has to be in place.
    ///
    /// What scratch registers and flags hold before the code under test depends on the row: flags are those of a zero for
    /// some and those of a negative number for others.
    fn chunk_loop(of: &Loop, place: u64, frame: &ChunkFrame) -> Vec<u8>;

    /// The numbers of the registers that a loop leaves alone besides those of eBPF: they must be preserved.
    fn kept_by_loops() -> impl Iterator<Item = usize>;

    /// The number of the register that an eBPF register is mapped to.
    fn number(reg: Reg) -> usize;

    /// The number of the stack pointer.
    const STACK: usize;

    /// The parts of the probe driver that do not depend on the code: what comes before it and what comes after it, to be
    /// placed at [`PROBE_BEFORE`] and [`PROBE_AFTER`].
    fn probe_frame() -> ProbeFrame;

    /// The probe driver for `code` placed at `place`: it runs the code once on the register file at [`control::PROBE_IN`]
    /// and leaves the one it ends with at [`control::PROBE_OUT`]. The frame has to be in place.
    fn probe(code: &[u8], place: u64, frame: &ProbeFrame) -> Driver;

    /// The register file for a probe: eBPF registers from `registers`, garbage elsewhere.
    fn register_file(registers: &Registers, garbage: u64) -> RegisterFile;

    /// The eBPF registers of a register file.
    fn ebpf(file: &RegisterFile) -> Registers;

    /// The frame rules that the change from `before` to `after` breaks.
    fn breaches(before: &RegisterFile, after: &RegisterFile, vectors: Vectors) -> Vec<FrameBreach>;

    /// Writes a register file in the drivers' layout.
    fn store(file: &RegisterFile, bytes: &mut [u8]);

    /// Reads a register file in the drivers' layout.
    fn load(bytes: &[u8]) -> RegisterFile;
}

/// The registers of a set with their position in a row.
fn positions(set: RegSet) -> impl Iterator<Item = (usize, Reg)> {
    set.iter().enumerate()
}

/// Writes general registers, flags and vectors one after another.
fn store_words(file: &RegisterFile, bytes: &mut [u8]) {
    let general = file.general.iter().chain([&file.flags]).flat_map(|word| word.to_le_bytes());
    let pad = general_bytes(file.general.len()) - 8 * (file.general.len() + 1);
    let vectors = file.vectors.iter().flat_map(|vector| vector.to_le_bytes());
    for (to, from) in bytes.iter_mut().zip(general.chain(std::iter::repeat_n(0, pad)).chain(vectors)) {
        *to = from;
    }
}

/// Reads what [`store_words`] writes.
fn load_words(general: usize, vectors: usize, bytes: &[u8]) -> RegisterFile {
    let word = |i: usize| u64::from_le_bytes(bytes[8 * i..8 * i + 8].try_into().expect("eight bytes"));
    let vector = |i: usize| {
        let at = general_bytes(general) + 16 * i;
        u128::from_le_bytes(bytes[at..at + 16].try_into().expect("sixteen bytes"))
    };
    RegisterFile {
        general: (0..general).map(word).collect(),
        flags: word(general),
        vectors: (0..vectors).map(vector).collect(),
    }
}

/// The bytes that `count` general registers and the flags take, padded for the vectors behind them.
const fn general_bytes(count: usize) -> usize {
    (8 * (count + 1)).next_multiple_of(16)
}
