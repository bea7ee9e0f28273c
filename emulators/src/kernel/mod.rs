// SPDX-License-Identifier: GPL-2.0-or-later
//! The running Linux kernel, through bpf(2): its verifier, its JIT and its maps have the final word on what eBPF means.
//!
//! Nothing is attached: programs are loaded, run on a packet by `BPF_PROG_TEST_RUN`, and unloaded.
//!
//! * [`Verifier`] asks whether a program is accepted, and says in a line why not; fast, for counting.
//! * [`Loaded`] is an [`Object`](kop_ops::Object) in the kernel with its maps, which runs and whose native code can be read.
//! * [`KernelEngine`] is the engine for programs over both.
//! * [`proof`] asks the verifier about proof sequences.

mod context;
mod cpu;
mod engine;
mod image;
mod load;
mod map;
mod prepare;
pub mod proof;
mod sys;
mod verdict;

use std::ffi::CString;
use std::io;

use kop_ops::ebpf::{Insn, Reg, encode_program};

pub use engine::{KernelEngine, NAME};
pub use image::{ImageError, KernelImage, Reference, xdp_buff};
pub use load::{Ended, Loaded, Verifier};
pub use map::Entries;
pub use sys::{TestResult, TestRun};
pub use verdict::Verdict;

/// Why the kernel did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The verifier says no.
    #[error("the verifier refuses it: {}", .0.tail)]
    Refused(Verdict),
    /// It cannot be put to the kernel.
    #[error("{0}")]
    Unsupported(String),
    /// bpf(2) failed for another reason.
    #[error("could not {action}: {error}")]
    Failed {
        /// What it was to do.
        action: String,
        /// The error.
        error: io::Error,
    },
}

/// An error of a call that was to do `action`.
fn failed(action: impl Into<String>) -> impl FnOnce(io::Error) -> KernelError {
    let action = action.into();
    move |error| KernelError::Failed { action, error }
}

/// Whether programs can be loaded here.
///
/// # Errors
/// The reason, and the way out.
pub fn available() -> Result<(), String> {
    let code = encode_program(&[Insn::mov64(Reg::R0, 0), Insn::Exit]);
    let load = sys::Load { kind: load::SOCKET_FILTER, code: &code, license: c"GPL", maps: &[] };
    load.load().map(drop).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOSYS) => "bpf(2) is missing: a Linux kernel with CONFIG_BPF_SYSCALL has it".to_owned(),
        Some(libc::EPERM | libc::EACCES) => {
            "bpf(2) is not permitted: run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (in a container: --privileged)"
                .to_owned()
        }
        _ => format!("bpf(2) fails with `{error}`: run as root on Linux 5.16 or later"),
    })
}

/// A license as the kernel takes it.
fn license(text: &str) -> Result<CString, KernelError> {
    CString::new(text).map_err(|_| KernelError::Unsupported("the license holds a zero byte".to_owned()))
}
