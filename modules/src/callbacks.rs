// SPDX-License-Identifier: GPL-2.0-or-later
//! The callbacks of one operation of a kernel module, whoever runs them: what is asked, and what is answered.

use std::fmt;
use std::path::PathBuf;

use kop_ops::{Arch, CallbackFault, Features};

/// What a module says of one operation when it registers it (`struct bpf_kinsn`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The registered name: that of the kfunc.
    pub name: String,
    /// The source file, or the shared object.
    pub source: PathBuf,
    /// The most instruction slots of the proof sequence.
    pub max_insn_cnt: u16,
    /// The most bytes of each emit.
    pub max_emit_bytes: u16,
    /// The architectures with an emit, in the order of [`Arch::ALL`].
    pub archs: Vec<Arch>,
}

/// What an emit returns where it has no native form for the CPU that it runs on: `-EOPNOTSUPP`.
///
/// In a kernel this fails the load, so that such a module takes the emit out of its descriptor in `module_init` when the
/// feature is missing, and the kernel compiles the proof. `module_init` runs here on a CPU with every feature.
pub const NO_EMIT: i32 = -95;

/// What one callback answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<T> {
    /// A value.
    Accepted(T),
    /// It refused the payload with this return value, a negative errno.
    ///
    /// An emit that looked for a CPU feature, did not find it and returns [`NO_EMIT`] says nothing of the payload: there is
    /// no native form for this CPU ([`kop_ops::Reject::NoEmit`]).
    Rejected(i32),
    /// It did not come back, or what it left behind means nothing; [`Answer::faults`] says why.
    Failed,
}

impl<T> Reply<T> {
    /// The value, when there is one.
    pub const fn accepted(&self) -> Option<&T> {
        match self {
            Reply::Accepted(value) => Some(value),
            _ => None,
        }
    }
}

/// Native code as an emit left it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Emitted {
    /// The size in bytes that the call with `emit == false` returned.
    pub sized: usize,
    /// The size in bytes that the call with `emit == true` returned.
    pub size: usize,
    /// What that call wrote.
    pub bytes: Vec<u8>,
    /// What the same call wrote a second time, when that was something else.
    pub second: Option<Vec<u8>>,
    /// What it wrote for another image and offset, when that was something else.
    pub elsewhere: Option<Vec<u8>>,
}

/// Everything that the callbacks say to one payload, on a CPU with the features asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The proof sequence, eight bytes an instruction slot, as `instantiate_insn` left it.
    pub proof: Reply<Vec<u8>>,
    /// The native code by architecture; `None` where the descriptor has no emit.
    pub emits: [Option<Reply<Emitted>>; 2],
    /// What went wrong besides.
    pub faults: Vec<CallbackFault>,
    /// The CPU features that a callback asked for (`boot_cpu_has`), present or not.
    pub looked_at: Features,
}

impl Answer {
    /// What the emit for `arch` answered; `None` where there is no such emit.
    pub const fn emit(&self, arch: Arch) -> Option<&Reply<Emitted>> {
        self.emits[arch as usize].as_ref()
    }
}

/// How much of an [`Answer`] is wanted; less is quicker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asked {
    /// Whether the proof accepts the payload: the proof is `Accepted` and empty or not; emits are `None`.
    Acceptance,
    /// The proof and one call of each emit with `emit == true`, which is taken at its word: no sizing, nothing twice.
    Contents,
    /// All of it, with every check that there is.
    Everything,
}

/// The callbacks of one operation.
///
/// An implementation may be asked from several threads at once. Asking never panics and never ends the process, unless
/// the callbacks run inside of it on purpose.
pub trait Callbacks: Send + Sync {
    /// What was registered.
    fn descriptor(&self) -> &Descriptor;

    /// The answers to `payloads`, in their order, on a CPU with `features`.
    fn ask(&self, asked: Asked, features: Features, payloads: &[u64]) -> Vec<Answer>;
}

impl fmt::Debug for dyn Callbacks + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.descriptor().name)
    }
}
