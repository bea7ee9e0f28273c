// SPDX-License-Identifier: GPL-2.0-or-later
//! ELF objects: which functions are programs, and of which kind.

use std::collections::BTreeMap;

use kop_ops::{Object, Program, ProgramKind};
use object::read::elf::{ElfFile64, ElfSymbol64};
use object::{
    Architecture, LittleEndian, Object as _, ObjectSection as _, ObjectSymbol as _, SectionFlags,
    SectionIndex, SymbolKind,
};

use super::link::{Linker, Operations};
use super::maps::Maps;
use super::{LoadError, LoadOptions, MAX_PROGRAMS};

/// An object and its functions.
pub(super) struct Elf<'d> {
    pub file: ElfFile64<'d, LittleEndian>,
    /// By section and offset, every function.
    pub functions: Functions,
}

/// A function of an object.
#[derive(Clone, Debug)]
pub(super) struct Function {
    pub name: String,
    pub section: usize,
    /// Offset in the section.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    global: bool,
}

/// The longest name that messages show.
const LONGEST_NAME: usize = 64;

/// A name as messages show it, on one line.
pub(super) fn printable(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    text.chars().take(LONGEST_NAME).map(|c| if c.is_control() { '?' } else { c }).collect()
}

pub(super) fn load(bytes: &[u8], options: &LoadOptions) -> Result<Object, LoadError> {
    // The class and byte order are in bytes 4 and 5.
    if bytes.get(4..6).is_some_and(|ident| ident != [2, 1]) {
        return Err(LoadError::Machine);
    }
    let file = ElfFile64::<LittleEndian>::parse(bytes)?;
    if file.architecture() != Architecture::Bpf {
        return Err(LoadError::Machine);
    }
    let elf = Elf { functions: functions(&file)?, file };
    let maps = Maps::read(&elf)?;
    let entries = elf.entries(options.kind)?;
    if entries.is_empty() {
        return Err(LoadError::NoPrograms);
    }
    let mut operations = Operations::new(options.catalog);
    let mut linker = Linker::new(&elf, &maps, &mut operations)?;
    let mut programs = Vec::new();
    for (function, kind) in &entries {
        let flow = linker.program(function)?;
        programs.push(Program { name: function.name.clone(), kind: *kind, flow });
    }
    let contents = linker.program_arrays(&entries)?;
    let mut specs = maps.specs;
    for (map, key, program) in contents {
        specs[map].initial.push((key.to_le_bytes().to_vec(), program.to_le_bytes().to_vec()));
    }
    let license = elf.license()?;
    Ok(Object { programs, maps: specs.into(), operations: operations.targets, license })
}

impl<'d> Elf<'d> {
    /// The functions to start with, and their kinds, by section and offset.
    fn entries(&self, kind: Option<ProgramKind>) -> Result<Vec<(Function, ProgramKind)>, LoadError> {
        let mut entries = Vec::new();
        let mut in_text = Vec::new();
        for function in self.functions.values().filter(|function| function.global) {
            let section = self.file.section_by_index(SectionIndex(function.section))?;
            let name = printable(section.name_bytes()?);
            if name == ".text" {
                in_text.push((function.clone(), kind.unwrap_or_default()));
                continue;
            }
            let kind = kind.or_else(|| kind_of(&name)).ok_or_else(|| {
                let reason = "programs of this type are not offered, only xdp, tc and raw: `--type` says what to take it for";
                LoadError::section(&name, reason)
            })?;
            entries.push((function.clone(), kind));
        }
        let entries = if entries.is_empty() { in_text } else { entries };
        if entries.len() > MAX_PROGRAMS { Err(LoadError::TooManyPrograms) } else { Ok(entries) }
    }

    /// The symbols with a name in a section, other than the section's own, by offset.
    pub(super) fn symbols_in(&self, section: usize) -> Vec<ElfSymbol64<'d, '_, LittleEndian>> {
        let named = |symbol: &ElfSymbol64<'d, '_, LittleEndian>| {
            symbol.section_index() == Some(SectionIndex(section))
                && !matches!(symbol.kind(), SymbolKind::Section | SymbolKind::File)
                && symbol.name_bytes().is_ok_and(|name| !name.is_empty())
        };
        let mut symbols: Vec<_> = self.file.symbols().filter(named).collect();
        symbols.sort_by_key(|symbol| symbol.address());
        symbols.dedup_by_key(|symbol| symbol.address());
        symbols
    }

    fn license(&self) -> Result<String, LoadError> {
        let Some(section) = self.file.section_by_name("license") else { return Ok(String::new()) };
        let bytes = section.data()?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        Ok(printable(&bytes[..end]))
    }
}

/// The kind of the programs in a section.
fn kind_of(section: &str) -> Option<ProgramKind> {
    let section = section.strip_prefix('?').unwrap_or(section);
    let word = section.split(['/', '.', '_', '-']).next().unwrap_or_default();
    match word {
        "xdp" => Some(ProgramKind::Xdp),
        "tc" | "tcx" | "classifier" | "action" | "netkit" => Some(ProgramKind::Tc),
        "raw" => Some(ProgramKind::Raw),
        _ => None,
    }
}

/// Functions by section and offset.
type Functions = BTreeMap<(usize, u64), Function>;

fn functions(file: &ElfFile64<LittleEndian>) -> Result<Functions, LoadError> {
    let mut functions = Functions::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
        let Some(SectionIndex(section)) = symbol.section_index() else { continue };
        let function = Function {
            name: printable(symbol.name_bytes()?),
            section,
            start: symbol.address(),
            size: symbol.size(),
            global: symbol.is_global(),
        };
        functions.insert((section, function.start), function);
    }
    add_whole_sections(file, &mut functions)?;
    let starts: Vec<(usize, u64)> = functions.keys().copied().collect();
    for (position, at) in starts.iter().enumerate() {
        let size = file.section_by_index(SectionIndex(at.0))?.size();
        let next = starts.get(position + 1).filter(|next| next.0 == at.0).map_or(size, |next| next.1);
        let function = functions.get_mut(at).expect("it is one of the keys");
        if function.size == 0 {
            function.size = next.saturating_sub(at.1);
        }
        let end = function.start.checked_add(function.size);
        if end.is_none_or(|end| end > size) || !(function.start | function.size).is_multiple_of(8) {
            let reason = format!("function `{}` is not a range of its slots", function.name);
            return Err(LoadError::section(
                &printable(file.section_by_index(SectionIndex(at.0))?.name_bytes()?),
                reason,
            ));
        }
    }
    Ok(functions)
}

/// A section of instructions without functions is one program by the section's name.
fn add_whole_sections(file: &ElfFile64<LittleEndian>, functions: &mut Functions) -> Result<(), LoadError> {
    const EXECUTABLE: u64 = object::elf::SHF_EXECINSTR as u64;
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
        let SectionIndex(index) = section.index();
        let has_functions = functions.range((index, 0)..=(index, u64::MAX)).next().is_some();
        if sh_flags & EXECUTABLE == 0 || section.size() == 0 || has_functions {
            continue;
        }
        let name = printable(section.name_bytes()?);
        let function = Function { name, section: index, start: 0, size: section.size(), global: true };
        functions.insert((index, 0), function);
    }
    Ok(())
}
