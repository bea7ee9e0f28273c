// SPDX-License-Identifier: GPL-2.0-or-later
//! What every engine offers: running a chunk of batches fast, and running one state with everything observed.

use kop_ops::ebpf::{Insn, Reg, RegSet};
use kop_ops::state::Registers;
use kop_ops::{Access, Arch, Fault, Features, Kop, Memory, Site, Slot, State, Vectors};

/// Something that executes one kind of code.
pub trait Engine {
    /// The name on the command line and in reports.
    fn name(&self) -> &'static str;

    /// The kind of code it executes.
    fn executes(&self) -> Executes;

    /// Whether [`Engine::probe`] stops code that does not end after a number of instructions, not after a time.
    fn bounds_execution(&self) -> bool {
        false
    }

    /// Whether code finds memory of the engine's own at this address, outside of the slot's window and stack, and
    /// [`Engine::probe`] does not tell: that code accessed it without a fault says nothing then.
    fn hides_fault_at(&self, slot: Slot, address: u64) -> bool {
        let _ = (slot, address);
        false
    }

    /// Why it cannot execute this program, if it cannot; a sound `Ok` here makes no promise about the outcome.
    ///
    /// # Errors
    /// The reason in one line.
    fn admits(&self, program: &Program) -> Result<(), String>;

    /// Runs every batch of a chunk, in order, on one memory: each state finds what the one before it left.
    fn run(&mut self, chunk: &Chunk) -> ChunkResult;

    /// Runs one state and observes all that the engine can observe.
    fn probe(&mut self, probe: &Probe) -> Observation;
}

/// The kind of code an engine executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Executes {
    /// Proof sequences.
    Proof,
    /// The plain Rust model of an operation.
    Model,
    /// Native code.
    Native(Arch),
}

/// One code under test.
#[derive(Clone, Copy, Debug)]
pub enum Program<'a> {
    /// A proof sequence.
    Proof(&'a [Insn]),
    /// An operation's model.
    Model {
        /// The operation.
        kop: &'a dyn Kop,
        /// The form and the operands.
        site: Site<'a>,
    },
    /// Native code that falls through at its end.
    Native(&'a NativeCode),
}

/// Native code with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeCode {
    /// The architecture.
    pub arch: Arch,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The features that the CPU must have to execute it.
    pub features: Features,
    /// Features beyond those that [`Features`] knows, by name.
    pub other_features: Vec<String>,
    /// Whether it holds VEX- or EVEX-encoded instructions on vector registers.
    pub vex_vector: bool,
    /// The SIMD registers that it may overwrite.
    pub vectors: Vectors,
}

/// Batches that share a memory.
#[derive(Clone, Debug)]
pub struct Chunk<'a> {
    /// The memory before the first batch.
    pub memory: &'a Memory,
    /// The batches; at most [`MAX_BATCHES`] with at most [`MAX_ROW_WORDS`] words of rows together.
    pub batches: Vec<Batch<'a>>,
}

/// The most batches in a chunk.
pub const MAX_BATCHES: usize = 100;

/// The most 64-bit words of states and results, together, in a chunk.
pub const MAX_ROW_WORDS: usize = 1 << 19;

/// One code and the states to run it on.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The code.
    pub program: Program<'a>,
    /// The registers that every state sets, at least one.
    pub inputs: RegSet,
    /// Those of them that are read back after every state.
    pub outputs: RegSet,
    /// The values of `inputs`, ascending by register, state after state.
    pub states: &'a [u64],
    /// What the other registers hold, for the first and for the second half of the states; they are set once.
    pub background: &'a [Registers; 2],
    /// What scratch registers and the like are filled with.
    pub garbage: u64,
}

impl Batch<'_> {
    /// How many states there are.
    pub fn count(&self) -> usize {
        self.states.len() / self.inputs.len()
    }

    /// The outputs with their positions among the inputs.
    ///
    /// # Panics
    /// When an output is no input.
    pub fn stored(&self) -> Vec<(usize, Reg)> {
        assert!(self.outputs.minus(self.inputs).is_empty(), "what is read back is set for each state");
        self.inputs.iter().enumerate().filter(|&(_, reg)| self.outputs.has(reg)).collect()
    }

    /// The number of states in the first and in the second half; see [`halves`].
    pub fn halves(&self) -> [usize; 2] {
        halves(self.count())
    }
}

/// An odd number of states up to this runs as one half: a half costs as much to set up as this many states to run.
const ONE_HALF: usize = 15;

/// How `count` states are split in halves, which differ in flags, scratch registers and background.
///
/// The first half is always odd, and so is the second where `count` is even: a pair of swaps or negations in registers that
/// are not reloaded would cancel over an even number. Few states that are odd in number stay together.
pub const fn halves(count: usize) -> [usize; 2] {
    if count % 2 == 1 && count <= ONE_HALF {
        return [count, 0];
    }
    let first = (count / 2) | 1;
    if first > count { [count, 0] } else { [first, count - first] }
}

/// What became of a chunk.
#[derive(Clone, Debug)]
pub struct ChunkResult {
    /// What became of each batch.
    pub batches: Vec<BatchResult>,
    /// The memory after the last batch, when every batch ran.
    pub memory: Option<Memory>,
}

impl ChunkResult {
    /// A result in which no batch ran to its end, for one reason.
    pub fn doubtful(count: usize, doubt: Doubt) -> Self {
        Self { batches: vec![BatchResult::Doubt(doubt); count], memory: None }
    }
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchResult {
    /// It ran.
    Ran {
        /// The states, with what the output registers hold afterwards in their places.
        rows: Vec<u64>,
        /// The states that faulted, ascending, whose rows mean nothing; only engines that survive faults tell them.
        faults: Vec<(usize, Fault)>,
    },
    /// Something else than expected happened; every state has to be probed to know what.
    Doubt(Doubt),
}

/// What made a batch doubtful.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// A state of the chunk faulted.
    Fault(Fault),
    /// A register that neither form names, or one that must be preserved, changed.
    Register,
    /// The native stack of the caller changed.
    Stack,
}

/// One state to run alone.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    /// The code.
    pub program: Program<'a>,
    /// Registers and memory before.
    pub state: &'a State,
    /// Determines what scratch registers, preserved registers, flags and SIMD registers hold.
    pub garbage: u64,
}

/// What became of one state.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Registers and memory after; with a fault, as far as it got.
    pub state: State,
    /// The fault that stopped it.
    pub fault: Option<Fault>,
    /// The frame rules that it broke.
    pub breaches: Vec<FrameBreach>,
    /// Every access to window and stack, where the engine observes accesses.
    pub accesses: Option<Vec<AccessRecord>>,
    /// Every access to the stack that only native code has, pushes and pops included, where the engine observes accesses: at
    /// these addresses a proof sequence faults.
    pub native_stack: Vec<AccessRecord>,
}

/// One access to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccessRecord {
    /// Read or write.
    pub access: Access,
    /// The first byte.
    pub address: u64,
    /// The number of bytes.
    pub size: u32,
}

impl AccessRecord {
    /// Whether the byte at an address is one of those accessed.
    pub fn covers(&self, address: u64) -> bool {
        address.wrapping_sub(self.address) < u64::from(self.size)
    }
}

/// A broken rule of the frame (the interface's section on when an emit is right).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum FrameBreach {
    /// A register that must be preserved changed.
    #[error("{register} must be preserved: it was {before:#x} and is {after:#x}")]
    Preserved {
        /// Its native name.
        register: String,
        /// Its value before.
        before: u64,
        /// Its value after.
        after: u64,
    },
    /// A SIMD register changed that the contract does not declare.
    #[error("{register} changed, and the contract does not declare it")]
    Vector {
        /// Its native name.
        register: String,
    },
    /// The direction flag is set at the end.
    #[error("the direction flag is set at the end")]
    Direction,
    /// Memory below the stack pointer was touched.
    #[error("{} {below} bytes below the stack pointer", if *.write { "writes" } else { "reads" })]
    BelowStack {
        /// Whether it was a write.
        write: bool,
        /// How far below.
        below: u64,
    },
    /// The caller's part of the native stack was touched.
    #[error("{} the caller's stack at sp+{above:#x}", if *.write { "writes" } else { "reads" })]
    CallerStack {
        /// Whether it was a write.
        write: bool,
        /// How far above the stack pointer at entry.
        above: u64,
    },
}
