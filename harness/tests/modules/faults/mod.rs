// SPDX-License-Identifier: GPL-2.0-or-later
//! Faulty modules as changes to sound ones, and what a check must say of each.

use kop_harness::reports::Kind;
use kop_ops::Arch;

mod bits_at;
mod callbacks;
mod copy_bytes;
mod fill;
mod mask;
mod pair;
mod rotate_left;
mod select;

/// A sound module: its sources, and what else it takes to be sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    /// What it registers.
    pub operation: &'static str,
    /// The source files.
    pub sources: &'static [&'static str],
    /// Changes that make it sound, where the shipped example is not.
    pub mends: &'static [Edit],
    /// What is declared: `dead=..`.
    pub contract: &'static [&'static str],
}

/// The shipped example for copies.
pub const COPY_BYTES: Base = Base {
    operation: "bpf_copy_bytes",
    sources: &["copy_bytes_x86.c", "copy_bytes_arm64.c"],
    mends: &[],
    contract: &[],
};

/// The shipped example with a fault for one pair of registers, mended.
pub const BITS_AT: Base = Base {
    operation: "bpf_bits_at",
    sources: &["bits_at_x86.c", "bits_at_arm64.c"],
    mends: &[Edit {
        file: "bits_at_x86.c",
        find: "shr_cl(&code, dst == X86_RAX ? X86_RCX : dst);",
        replace: "shr_cl(&code, shifted);",
    }],
    contract: &[],
};

/// The shipped example with a temporary, declared.
pub const ROTATE_LEFT: Base = Base {
    operation: "bpf_rotate_left",
    sources: &["rotate_left_x86.c", "rotate_left_arm64.c"],
    mends: &[],
    contract: &["dead=payload[8:11]"],
};

/// AND with a constant; both architectures in one file, as the following.
pub const MASK: Base = one_file("bpf_mask", &["mask.c"]);

/// Two words loaded.
pub const PAIR: Base = one_file("bpf_pair", &["pair.c"]);

/// Bytes filled with a value.
pub const FILL: Base = one_file("bpf_fill", &["fill.c"]);

/// A conditional select with two forms.
pub const SELECT: Base = one_file("bpf_select", &["select.c"]);

/// All of them.
pub const BASES: [Base; 7] = [COPY_BYTES, BITS_AT, ROTATE_LEFT, MASK, PAIR, FILL, SELECT];

const fn one_file(operation: &'static str, sources: &'static [&'static str]) -> Base {
    Base { operation, sources, mends: &[], contract: &[] }
}

/// A change to a file: a text that occurs in it once, and what takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The file, a source or a header that it includes.
    pub file: &'static str,
    /// What is there.
    pub find: &'static str,
    /// What takes its place.
    pub replace: &'static str,
}

/// A faulty module.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// What is wrong, in a few words.
    pub name: &'static str,
    /// What it was before.
    pub base: Base,
    /// The fault.
    pub edits: &'static [Edit],
    /// The kind that it must be reported as.
    pub kind: Kind,
    /// The architecture whose row must have it; `None` for faults of the proof, which every row has.
    pub arch: Option<Arch>,
    /// Words of the report's line.
    pub words: &'static [&'static str],
}

/// Every faulty module.
pub fn all() -> Vec<Fault> {
    [
        copy_bytes::FAULTS,
        bits_at::FAULTS,
        rotate_left::FAULTS,
        mask::FAULTS,
        callbacks::FAULTS,
        pair::FAULTS,
        fill::FAULTS,
        select::FAULTS,
    ]
    .concat()
}

const X86: Option<Arch> = Some(Arch::X86_64);
const ARM64: Option<Arch> = Some(Arch::Aarch64);
