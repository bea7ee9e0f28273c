// SPDX-License-Identifier: GPL-2.0-or-later
//! A static look at the bytes of an emit before any engine runs them: which rules of an emit an instruction breaks, and
//! what the CPU must have to execute the rest.
//!
//! The bytes are decoded by libraries (iced-x86, disarm64) and not by an inverse of the assemblers that wrote them. Every
//! byte must belong to an instruction, reached or not: code without data in it is all that an emit has to be.

mod aarch64;
#[cfg(test)]
mod tests;
mod writes;
mod x86_64;

use std::borrow::Cow;
use std::fmt;

use kop_ops::{Arch, Feature, Features};

pub use writes::{Writes, Written, writes};

/// What is known of an emit whose instructions break no rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// The features of [`Features`] that the CPU must have.
    pub features: Features,
    /// Features beyond those, sorted, each once. x86 features have the names of CPUID bits as iced-x86 spells them (`AVX`,
    /// `AVX512F`, `SSE4_1`), AArch64 features those of the Arm ARM without `FEAT_` where it is one feature (`SHA256`,
    /// `SVE`). What every x86-64 or Armv8.0-A CPU has is not listed.
    pub other_features: Vec<String>,
    /// Whether there is a VEX, EVEX or XOP instruction on vector or mask registers; BMI on general registers does not count.
    pub vex_vector: bool,
    /// Whether an instruction names SIMD registers: MMX is refused, so XMM, YMM, ZMM and mask registers, or V, Z and P.
    pub simd: bool,
    /// Whether a direct branch goes to itself or backwards, so that the code may not end.
    pub backward_branch: bool,
    /// Whether an instruction reads memory, the stack that POP reads included.
    pub reads_memory: bool,
    /// Whether an instruction writes memory, the stack that PUSH writes included.
    pub writes_memory: bool,
    /// The registers that instructions write.
    pub writes: Writes,
}

impl Profile {
    fn need(&mut self, need: Need) {
        match need {
            Need::Baseline => {}
            Need::Feature(feature) => self.features = self.features.union(Features::of(&[feature])),
            Need::Other(name) => {
                if let Err(index) = self.other_features.binary_search_by(|other| (**other).cmp(&*name)) {
                    self.other_features.insert(index, name.into_owned());
                }
            }
        }
    }
}

/// What an instruction needs of the CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Need {
    /// Nothing that not every CPU of the architecture had.
    Baseline,
    /// One of ours.
    Feature(Feature),
    /// Another one, by name.
    Other(Cow<'static, str>),
}

/// The rule that an instruction breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BreachKind {
    /// The bytes are no instruction of the architecture, or one that the manual leaves undefined.
    #[error("no instruction")]
    Undecodable,
    /// The emit ends inside an instruction.
    #[error("runs past the end of the emit")]
    Truncated,
    /// Privileged: port I/O, interrupts, control, debug and descriptor-table registers, cache and TLB maintenance.
    #[error("privileged")]
    Privileged,
    /// Enters the kernel, a hypervisor or an enclave.
    #[error("enters the kernel or a hypervisor")]
    KernelEntry,
    /// Traps whenever it is reached (`int3`, `ud2`, `brk`, `udf`, AArch64 `hlt`). It would be a fault at run time, but no emit
    /// has a use for it: a kernel oops is no result.
    #[error("traps")]
    Trap,
    /// Its result is not a function of registers and memory: time, random numbers, CPU identity, transactions, pointer
    /// authentication keys, or behaviour that the architecture leaves open.
    #[error("is not deterministic")]
    NotDeterministic,
    /// Goes where the code does not say, or leaves an address of the code behind: an indirect or far branch, a call, a
    /// return.
    #[error("an indirect branch, a call or a return leaves the emit")]
    Leaves,
    /// A direct branch goes outside of the emit; one past its last byte is inside.
    #[error("branches to {target:#x}, outside of the emit of {length} bytes")]
    Outside {
        /// Where it goes, in bytes from the start of the emit.
        target: i64,
        /// Length of the emit.
        length: usize,
    },
    /// A direct branch goes into the middle of an instruction.
    #[error("branches to {target:#x}, into an instruction")]
    IntoInstruction {
        /// Where it goes, in bytes from the start of the emit.
        target: usize,
    },
    /// Uses a segment register, or memory through FS or GS.
    #[error("uses a segment register")]
    Segment,
    /// Reads or writes processor state that no operation owns: system registers, MXCSR, FPCR, FPSR, protection keys, shadow
    /// stacks, tiles, streaming mode, or memory with user space's permissions.
    #[error("uses processor state that no operation owns")]
    SystemState,
    /// Sets the direction flag without clearing it further down, or loads it from memory (`popf`). Whether it is clear on every
    /// path is for the engines to find.
    #[error("may set the direction flag")]
    DirectionFlag,
    /// Moves the stack pointer other than by push, pop or a constant, or touches memory below it.
    #[error("moves the stack away, or touches memory below the stack pointer")]
    StackPointer,
    /// Uses x87 or MMX state, or saves and restores extended state.
    #[error("uses x87, MMX or extended state")]
    X87,
    /// Its result or address depends on where the code stands.
    #[error("depends on the address of the code")]
    Position,
}

/// An instruction of an emit that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}: {kind}")]
pub struct Breach {
    /// The rule.
    pub kind: BreachKind,
    /// The instruction.
    pub line: Line,
}

/// One instruction of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its first byte, from the start of the emit.
    pub offset: usize,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its text; branch targets are offsets from the start of the emit. `(bad)` where nothing decodes.
    pub text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}:", self.offset)?;
        for byte in &self.bytes {
            write!(f, " {byte:02x}")?;
        }
        write!(f, "  {}", self.text)
    }
}

const BAD: &str = "(bad)";

/// A direct branch.
#[derive(Clone, Copy, Debug)]
struct Branch {
    offset: usize,
    target: i64,
}

impl Branch {
    fn goes_back(self) -> bool {
        self.target <= self.offset as i64
    }

    /// Checks the target in an emit of `length` bytes with an instruction wherever `starts_at` says so.
    fn check(self, length: usize, starts_at: impl FnOnce(usize) -> bool) -> Result<(), BreachKind> {
        match usize::try_from(self.target) {
            Ok(target) if target == length => Ok(()),
            Ok(target) if target < length && starts_at(target) => Ok(()),
            Ok(target) if target < length => Err(BreachKind::IntoInstruction { target }),
            _ => Err(BreachKind::Outside { target: self.target, length }),
        }
    }
}

/// Looks at the instructions of an emit, in order.
///
/// What depends on values is not its business: whether preserved registers come back, whether a branch terminates, and
/// whether an address is mapped is found by the engines. Instructions that a CPU without the feature in question executes
/// as something else (LZCNT) are told apart by [`Profile::features`] alone.
///
/// # Errors
/// The [`Breach`] of the first instruction that breaks a rule; branches come after everything else.
pub fn inspect(arch: Arch, bytes: &[u8]) -> Result<Profile, Breach> {
    let (result, line) = match arch {
        Arch::X86_64 => (x86_64::inspect(bytes), x86_64::line as fn(&[u8], usize) -> Line),
        Arch::Aarch64 => (aarch64::inspect(bytes), aarch64::line as fn(&[u8], usize) -> Line),
    };
    result.map_err(|(offset, kind)| Breach { kind, line: line(bytes, offset) })
}

/// The instructions of `bytes` as text: Intel syntax for x86-64, the Arm ARM's for AArch64.
pub fn listing(arch: Arch, bytes: &[u8]) -> Vec<Line> {
    let line = match arch {
        Arch::X86_64 => x86_64::line,
        Arch::Aarch64 => aarch64::line,
    };
    let mut lines = Vec::new();
    let mut offset = 0;
    while offset < bytes.len() {
        let next = line(bytes, offset);
        offset += next.bytes.len();
        lines.push(next);
    }
    lines
}

/// Where and which rule is broken.
type Broken = (usize, BreachKind);
