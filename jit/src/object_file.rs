// SPDX-License-Identifier: GPL-2.0-or-later
//! Compiled programs as a relocatable ELF object, for linkers, debuggers and disassemblers.

use kop_ops::{Arch, Code};
use object::write::{Object, StandardSection, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SymbolFlags, SymbolKind, SymbolScope};

/// Where programs start in the section: at lines of code, as the heads of loops are placed by these.
const ALIGNMENT: u64 = 64;

/// A relocatable ELF object with a global function for each program, from its name to the code of its entry. There is
/// nothing to relocate in it: code is the same at every address.
///
/// # Errors
/// In one line, when a name cannot be a symbol or the code does not fit in ELF.
pub fn object_file(arch: Arch, programs: &[(&str, &Code)]) -> Result<Vec<u8>, String> {
    let architecture = match arch {
        Arch::X86_64 => Architecture::X86_64,
        Arch::Aarch64 => Architecture::Aarch64,
    };
    let mut object = Object::new(BinaryFormat::Elf, architecture, Endianness::Little);
    let text = object.section_id(StandardSection::Text);
    for (name, code) in programs {
        let start = object.append_section_data(text, &code.bytes, ALIGNMENT);
        let entry = code.entry as u64;
        object.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value: start + entry,
            size: code.bytes.len() as u64 - entry,
            kind: SymbolKind::Text,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Section(text),
            flags: SymbolFlags::None,
        });
    }
    object.write().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use kop_ops::Features;
    use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

    use super::*;

    fn code(bytes: &[u8], entry: usize) -> Code {
        Code {
            arch: Arch::X86_64,
            bytes: bytes.to_vec(),
            entry,
            marks: Vec::new(),
            helpers: Vec::new(),
            features: Features::NONE,
            guarded: false,
            observing: false,
            sites: Vec::new(),
        }
    }

    #[test]
    fn each_program_is_a_function() {
        let (first, second) = (code(&[0x90, 0xc3], 1), code(&[0xc3], 0));
        let bytes =
            object_file(Arch::X86_64, &[("first", &first), ("second", &second)]).expect("it is written");
        let file = object::File::parse(bytes.as_slice()).expect("it is sound");
        let text = file.section_by_name(".text").expect("it has code");
        let start = |name: &str| file.symbol_by_name(name).map(|symbol| (symbol.address(), symbol.size()));
        assert_eq!((start("first"), start("second")), (Some((1, 1)), Some((64, 1))));
        assert_eq!(text.data().map(|data| (data[0], data[1], data[64])), Ok((0x90, 0xc3, 0xc3)));
        assert_eq!(file.architecture(), Architecture::X86_64);
    }
}
