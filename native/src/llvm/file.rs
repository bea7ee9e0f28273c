// SPDX-License-Identifier: GPL-2.0-or-later
//! What of clang's object file is code: its instructions and the constants that they read, put together so that they run anywhere, with
//! marks from its line table.

use std::collections::HashMap;

use gimli::{DebugLine, LittleEndian, SectionId};
use kop_ops::Arch;
use kop_ops::code::Mark;
use object::read::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget};
use object::{File, Relocation, RelocationFlags, SectionIndex, SectionKind, elf};

use super::{NAME, THUNK};
use crate::thunk;

/// Code that runs at any address that is a multiple of 64.
pub(super) struct Linked {
    pub bytes: Vec<u8>,
    pub entry: usize,
    pub marks: Vec<Mark>,
}

/// Puts the code together.
pub(super) fn link(bytes: &[u8], arch: Arch) -> Result<Linked, String> {
    let file = File::parse(bytes).map_err(|error| format!("clang's object file: {error}"))?;
    let mut linker = Linker { arch, bytes: Vec::new(), places: HashMap::new(), thunk: None };
    let is_part =
        |kind| matches!(kind, SectionKind::Text | SectionKind::ReadOnlyData | SectionKind::ReadOnlyString);
    // Instructions first.
    let mut parts: Vec<_> =
        file.sections().filter(|section| is_part(section.kind()) && section.size() > 0).collect();
    parts.sort_by_key(|section| section.kind() != SectionKind::Text);
    let mut text_end = 0;
    for section in &parts {
        let data = section.data().map_err(|error| format!("clang's object file: {error}"))?;
        linker.align(section.align().max(1) as usize);
        linker.places.insert(section.index(), linker.bytes.len());
        linker.bytes.extend(data);
        if section.kind() == SectionKind::Text {
            text_end = linker.bytes.len();
        }
    }
    let symbol = file
        .symbols()
        .find(|symbol| symbol.name() == Ok(NAME))
        .ok_or("clang's object file lacks the program")?;
    let entry = linker.symbol(&symbol)?;
    for section in &parts {
        let start = linker.places[&section.index()];
        for (offset, relocation) in section.relocations() {
            linker.relocate(&file, start + offset as usize, &relocation)?;
        }
    }
    let mut marks = marks(&file, text_end)?;
    if text_end < linker.bytes.len() {
        marks.push(Mark { offset: text_end as u32, index: Mark::NONE });
    }
    Ok(Linked { bytes: linker.bytes, entry, marks })
}

struct Linker {
    arch: Arch,
    bytes: Vec<u8>,
    places: HashMap<SectionIndex, usize>,
    thunk: Option<usize>,
}

impl Linker {
    fn align(&mut self, alignment: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
    }

    /// Where the tail call's function is, which is added when it is first asked for.
    fn thunk(&mut self) -> usize {
        if let Some(place) = self.thunk {
            return place;
        }
        self.align(16);
        let place = self.bytes.len();
        self.bytes.extend(thunk::tail_call(self.arch));
        self.thunk = Some(place);
        place
    }

    fn symbol<'a>(&mut self, symbol: &impl object::ObjectSymbol<'a>) -> Result<usize, String> {
        if let Some(section) = symbol.section_index() {
            let place = self.places.get(&section).ok_or("clang's code refers to data that it writes")?;
            return Ok(place + symbol.address() as usize);
        }
        match symbol.name() {
            Ok(THUNK) => Ok(self.thunk()),
            Ok(name) => Err(format!("clang's code refers to `{name}`, which is not there")),
            Err(error) => Err(format!("clang's object file: {error}")),
        }
    }

    fn relocate(&mut self, file: &File, at: usize, relocation: &Relocation) -> Result<(), String> {
        let target = match relocation.target() {
            RelocationTarget::Symbol(index) => {
                let symbol =
                    file.symbol_by_index(index).map_err(|error| format!("clang's object file: {error}"))?;
                self.symbol(&symbol)?
            }
            RelocationTarget::Section(index) => {
                *self.places.get(&index).ok_or("clang's code refers to data that it writes")?
            }
            other => return Err(format!("clang's object file: a relocation to {other:?}")),
        };
        let distance = target as i64 + relocation.addend() - at as i64;
        let far = || "clang's code is too long".to_owned();
        let RelocationFlags::Elf { r_type } = relocation.flags() else {
            return Err("clang's object file is no ELF file".to_owned());
        };
        let word: &mut [u8; 4] = self.bytes[at..].first_chunk_mut().ok_or_else(far)?;
        // A field of an instruction: its lowest bit, its bits, and the distance in its unit.
        let mut field = |lowest: u32, bits: u32, value: i64| {
            if !(-(1i64 << (bits - 1))..1 << (bits - 1)).contains(&value) {
                return Err(far());
            }
            let mask = (u32::MAX >> (32 - bits)) << lowest;
            let insn = u32::from_le_bytes(*word) & !mask | (value as u32) << lowest & mask;
            *word = insn.to_le_bytes();
            Ok(())
        };
        match (self.arch, r_type) {
            (Arch::X86_64, elf::R_X86_64_PC32 | elf::R_X86_64_PLT32)
            | (Arch::Aarch64, elf::R_AARCH64_PREL32) => field(0, 32, distance),
            (Arch::Aarch64, elf::R_AARCH64_CALL26 | elf::R_AARCH64_JUMP26) => field(0, 26, distance / 4),
            (Arch::Aarch64, elf::R_AARCH64_LD_PREL_LO19 | elf::R_AARCH64_CONDBR19) => {
                field(5, 19, distance / 4)
            }
            (Arch::Aarch64, elf::R_AARCH64_ADR_PREL_LO21) => {
                field(5, 19, distance >> 2)?;
                let insn = u32::from_le_bytes(*word) & !(3 << 29) | (distance as u32 & 3) << 29;
                *word = insn.to_le_bytes();
                Ok(())
            }
            (arch, other) => Err(format!("clang's object file: a relocation of type {other} for {arch}")),
        }
    }
}

/// The marks of the instructions, from the line table: line numbers are indices and one, and 0 is no place.
fn marks(file: &File, end: usize) -> Result<Vec<Mark>, String> {
    let wrong = |error: gimli::Error| format!("clang's line table: {error}");
    let Some(section) = file.section_by_name(SectionId::DebugLine.name()) else { return Ok(Vec::new()) };
    let data = section.data().map_err(|error| format!("clang's object file: {error}"))?;
    let table = DebugLine::new(data, LittleEndian);
    let program = table.program(gimli::DebugLineOffset(0), 8, None, None).map_err(wrong)?;
    let mut rows = program.rows();
    let mut marks: Vec<Mark> = vec![Mark { offset: 0, index: Mark::NONE }];
    while let Some((_, row)) = rows.next_row().map_err(wrong)? {
        if row.end_sequence() || row.address() as usize >= end {
            continue;
        }
        let index = row.line().map_or(Mark::NONE, |line| (line.get() - 1) as u32);
        let mark = Mark { offset: row.address() as u32, index };
        match marks.last_mut() {
            Some(last) if last.offset == mark.offset => *last = mark,
            Some(last) if last.index == mark.index => {}
            _ => marks.push(mark),
        }
    }
    Ok(marks)
}
