// SPDX-License-Identifier: GPL-2.0-or-later
//! Program files: ELF objects as clang and Rust with aya produce them, raw bytecode, and text.
//!
//! ELF is read with the `object` crate, BTF by hand: only declarations of maps are needed of it, and a file may hold any
//! bytes. Nothing here allocates more than a small multiple of the file, plus the map memory that [`MAPS_SIZE`](kop_ops::state::MAPS_SIZE) allows.

mod btf;
mod elf;
mod error;
mod link;
mod maps;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

use kop_ops::ebpf::decode_program;
use kop_ops::{Catalog, Flow, Object, Program, ProgramKind};

pub use error::{LoadError, Place};
pub(crate) use link::target as operation;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// An ELF object for eBPF, little-endian.
    Elf,
    /// Slots of eight bytes, little-endian: one program.
    Raw,
    /// Text: the instructions as they are printed, with directives in lines that start with a dot.
    ///
    /// | directive | means |
    /// |---|---|
    /// | `.program NAME [raw\|xdp\|tc]` | the instructions up to the next one are this program; without one, a raw program `main` |
    /// | `.map NAME KIND KEY VALUE ENTRIES [FLAGS]` | a map; its kind as bpftool prints it, sizes in bytes |
    /// | `.init MAP KEY VALUE` | an element, in hexadecimal bytes; a program array takes a program's name as value |
    /// | `.kop ID OPERATION FORM` | what `call kop ID` calls |
    /// | `.license TEXT` | the license |
    ///
    /// `map_by_idx(NAME)` and `map_val_by_idx(NAME, OFFSET)` take the name of a map that an earlier line declares, and
    /// `call kop OPERATION.FORM` calls an operation by name.
    Text,
}

/// How a file is loaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions<'a> {
    /// What it is; told from its bytes when it is `None`.
    pub format: Option<Format>,
    /// The kind of every program, whatever the file says.
    pub kind: Option<ProgramKind>,
    /// The operations that an ELF object may call as `bpf_OPERATION_FORM`.
    pub catalog: Option<&'a Catalog<'a>>,
}

/// The most maps of an object; the kernel's limit is 64 for a program.
pub const MAX_MAPS: usize = 256;

/// The most programs of an object.
pub const MAX_PROGRAMS: usize = 1024;

/// The objects in `bytes`.
///
/// Kinds of programs are told by the names of sections: `xdp*` is XDP; `tc*`, `classifier*`, `action*` and `netkit*`
/// are tc; `raw*` has no context. A file without such sections is a file of raw programs: every global function of
/// `.text`. Other sections need [`LoadOptions::kind`]. CO-RE relocations are not applied: the layouts of contexts are stable.
///
/// # Errors
/// [`LoadError`], in one line, with the section, symbol or instruction that cannot be loaded.
pub fn load(bytes: &[u8], options: &LoadOptions) -> Result<Object, LoadError> {
    match options.format.unwrap_or_else(|| format_of(bytes)) {
        Format::Elf => elf::load(bytes, options),
        Format::Raw => load_raw(bytes, options),
        Format::Text => {
            let text = std::str::from_utf8(bytes).map_err(|_| LoadError::NotText)?;
            text::load(text, options)
        }
    }
}

fn format_of(bytes: &[u8]) -> Format {
    let readable =
        |text: &str| !text.is_empty() && text.chars().all(|c| !c.is_control() || c.is_whitespace());
    if bytes.starts_with(b"\x7fELF") {
        Format::Elf
    } else if std::str::from_utf8(bytes).is_ok_and(readable) {
        Format::Text
    } else {
        Format::Raw
    }
}

fn load_raw(bytes: &[u8], options: &LoadOptions) -> Result<Object, LoadError> {
    let name = "main".to_owned();
    let insns = decode_program(bytes).map_err(|error| LoadError::Decode { program: name.clone(), error })?;
    let flow = Flow::new(insns).map_err(|error| LoadError::Flow { program: name.clone(), error })?;
    let program = Program { name, kind: options.kind.unwrap_or_default(), flow };
    Ok(Object { programs: vec![program], maps: Arc::new([]), ..Object::default() })
}
