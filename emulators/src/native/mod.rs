// SPDX-License-Identifier: GPL-2.0-or-later
//! Drivers: the native code around the code under test that loads states, lets it run, and stores results, so that a
//! machine is entered once for a whole chunk. One file per architecture, mirrored.

pub mod aarch64;
pub mod x86_64;

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
    /// What the halves of a chunk's batches left in registers.
    pub const RESIDUES: u64 = Region::Control.address() + 0x2000;
    /// The end of what drivers use; the last page of the region belongs to the machine.
    pub const END: u64 = Region::Control.address() + 0xf000;
}

/// The stack pointer that code under test starts with: the middle of the native stack.
pub const STACK_POINTER: u64 = Region::NativeStack.address() + Region::NativeStack.size() as u64 / 2;

/// What a chunk driver needs of a batch.
#[derive(Clone, Copy, Debug)]
pub struct LoopBatch<'a> {
    /// The code under test.
    pub code: &'a [u8],
    /// The registers loaded for each state.
    pub inputs: RegSet,
    /// The registers stored for each state.
    pub outputs: RegSet,
    /// The states of the first and of the second half.
    pub halves: [usize; 2],
    /// The other registers, for each half.
    pub background: &'a [Registers; 2],
    /// Garbage for scratch and preserved registers.
    pub garbage: u64,
    /// The address of the batch's rows.
    pub rows: u64,
}

impl LoopBatch<'_> {
    /// The registers that hold the same for all states of a half.
    pub fn constant(&self) -> RegSet {
        RegSet::ALL.minus(self.inputs)
    }

    /// The bytes of a row.
    pub fn stride(&self) -> u64 {
        8 * (self.inputs.len() + self.outputs.len()) as u64
    }
}

/// The code of a chunk or a probe.
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
    /// Where each code under test stands: batch number, first address, end.
    pub under_test: Vec<(usize, u64, u64)>,
    /// Words that must hold a value afterwards: batch number, address, value.
    pub residues: Vec<(usize, u64, u64)>,
}

/// Where the part of a probe stands that sets registers.
pub const PROBE_BEFORE: u64 = Region::Code.address();

/// Where the part of a probe stands that stores registers.
pub const PROBE_AFTER: u64 = Region::Code.address() + 0x1000;

/// Where codes under test stand in probes: each at an address of its own, so that what a machine has translated before
/// stays right.
pub const PROBE_CODES: std::ops::Range<u64> =
    Region::Code.address() + 0x2000..Region::Code.address() + 0x10_0000;

/// Where the drivers of chunks stand, likewise each at an address of its own.
pub const CHUNKS: std::ops::Range<u64> =
    Region::Code.address() + 0x10_0000..Region::Code.address() + 0x40_0000;

/// The most bytes that the driver of `batches` takes.
pub fn chunk_bound(batches: &[LoopBatch]) -> usize {
    const PER_CHUNK: usize = 256;
    const PER_HALF: usize = 1024;
    PER_CHUNK + batches.iter().map(|batch| 2 * (PER_HALF + batch.code.len())).sum::<usize>()
}

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

    /// The driver that runs a chunk, to be placed at `place`.
    fn chunk(batches: &[LoopBatch], place: u64) -> Driver;

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
