// SPDX-License-Identifier: GPL-2.0-or-later
//! What a Kop is: eBPF instructions, two assemblers, the [`Kop`] trait with every operation of EInsn, and the state that
//! operations act on.
//!
//! Nothing in this crate runs native code, links C, or needs `unsafe`; everything works the same on every host.

pub mod aarch64;
pub mod arch;
pub mod catalog;
pub mod choices;
pub mod code;
pub mod contract;
pub mod ebpf;
pub mod kop;
pub mod kops;
pub mod payload;
pub mod program;
pub mod registers;
pub mod state;
pub mod x86_64;

pub use arch::{Arch, Feature, Features};
pub use catalog::Catalog;
pub use code::Code;
pub use contract::{Contract, MemoryUse, Vectors};
pub use kop::{
    Callback, CallbackFault, CallbackFaultKind, Emission, EmitRequest, KnownAnswer, KnownStore, Kop, Limits,
    Pass, Reject, Site,
};
pub use payload::{Field, FieldKind, Form, Layout, Operands, PayloadError, Role};
pub use program::{Flow, MapKind, MapSpec, Object, Program, ProgramKind};
pub use state::{Access, Fault, Memory, Slot, State};
