// SPDX-License-Identifier: GPL-2.0-or-later
//! From functions with relocations to programs: references to maps and data, calls between functions, Kop calls.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};

use kop_ops::ebpf::{CallTarget, Insn, decode_program};
use kop_ops::program::{MAP_INDEX, MAP_VALUE_INDEX, MAX_SLOTS, SiteTarget};
use kop_ops::{Catalog, Flow, ProgramKind};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionIndex};

use super::elf::{Elf, Function, printable};
use super::maps::{Maps, Meaning};
use super::{LoadError, Place};

/// The most slots of all programs of an object together.
const MAX_TOTAL: usize = 4 * MAX_SLOTS;

/// Opcodes and source registers of slots that relocations change.
const LOAD_IMM64: u8 = 0x18;
const CALL: u8 = 0x85;
const SIDECAR: (u8, u8) = (0xb7, 3);
const CALL_LOCAL: u8 = 1;
const CALL_KOP: u8 = 4;

/// The operations that an object calls.
pub(super) struct Operations<'a> {
    catalog: Option<&'a Catalog<'a>>,
    pub targets: Vec<SiteTarget>,
}

impl<'a> Operations<'a> {
    pub(super) fn new(catalog: Option<&'a Catalog<'a>>) -> Self {
        Self { catalog, targets: Vec::new() }
    }

    /// The id that stands for the function `bpf_OPERATION_FORM`; `None` if the catalog has no such operation.
    fn id(&mut self, symbol: &str) -> Option<i32> {
        let name = symbol.strip_prefix("bpf_")?;
        let mut forms = self.catalog?.forms();
        let (kop, form) = forms.find(|(kop, form)| {
            name.strip_prefix(kop.name()).and_then(|rest| rest.strip_prefix('_')) == Some(&*form.name)
        })?;
        let (kop, form) = (kop.name(), &*form.name);
        Some(target(&mut self.targets, kop, form))
    }
}

/// The id of an operation's form, a new one if it has none yet.
pub(crate) fn target(targets: &mut Vec<SiteTarget>, kop: &str, form: &str) -> i32 {
    if let Some(known) = targets.iter().find(|target| target.kop == kop && target.form == form) {
        return known.id;
    }
    let id = targets.iter().map(|target| target.id).max().unwrap_or(0) + 1;
    targets.push(SiteTarget { id, kop: kop.to_owned(), form: form.to_owned() });
    id
}

/// What a relocation refers to.
#[derive(Clone, Debug)]
enum Referred {
    /// A place in a section.
    Inside(usize, u64),
    /// A symbol that the object does not define.
    Outside(String),
}

/// Relocations of a section, by offset.
type Relocations = BTreeMap<u64, Referred>;

/// A function that is ready but for the distances of its calls.
#[derive(Clone, Default)]
struct Linked {
    slots: Vec<u64>,
    /// The slot of each call, and the function that it calls.
    calls: Vec<(usize, (usize, u64))>,
}

/// What links the programs of an object.
pub(super) struct Linker<'e, 'd, 'o, 'c> {
    elf: &'e Elf<'d>,
    maps: &'e Maps,
    operations: &'o mut Operations<'c>,
    relocations: HashMap<usize, Relocations>,
    linked: HashMap<(usize, u64), Linked>,
    total: usize,
}

impl<'e, 'd, 'o, 'c> Linker<'e, 'd, 'o, 'c> {
    pub(super) fn new(
        elf: &'e Elf<'d>,
        maps: &'e Maps,
        operations: &'o mut Operations<'c>,
    ) -> Result<Self, LoadError> {
        let mut relocations = HashMap::new();
        let wanted =
            elf.functions.keys().map(|at| at.0).chain(maps.programs.iter().map(|values| values.section));
        for index in wanted {
            if let Entry::Vacant(vacant) = relocations.entry(index) {
                vacant.insert(read_relocations(elf, index)?);
            }
        }
        Ok(Self { elf, maps, operations, relocations, linked: HashMap::new(), total: 0 })
    }

    /// The program that starts with `entry`, with every function that it calls.
    pub(super) fn program(&mut self, entry: &Function) -> Result<Flow, LoadError> {
        let mut starts = HashMap::new();
        let mut queue = VecDeque::from([(entry.section, entry.start)]);
        let mut order = Vec::new();
        let mut length = 0;
        while let Some(at) = queue.pop_front() {
            if starts.contains_key(&at) {
                continue;
            }
            let linked = self.link(at)?;
            starts.insert(at, length);
            queue.extend(linked.calls.iter().map(|call| call.1));
            length += linked.slots.len();
            order.push(at);
            if length > MAX_SLOTS || self.total + length > MAX_TOTAL {
                return Err(LoadError::TooLong(MAX_TOTAL));
            }
        }
        self.total += length;
        let mut bytes = Vec::with_capacity(length * 8);
        for at in &order {
            let linked = &self.linked[at];
            let mut slots = linked.slots.clone();
            for (slot, callee) in &linked.calls {
                let distance = starts[callee] as i64 - (starts[at] + slot + 1) as i64;
                slots[*slot] = with_imm(slots[*slot], distance as i32);
            }
            bytes.extend(slots.into_iter().flat_map(u64::to_le_bytes));
        }
        let decoded = decode_program(&bytes);
        let program = entry.name.clone();
        let insns = decoded.map_err(|error| LoadError::Decode { program: program.clone(), error })?;
        Flow::new(insns).map_err(|error| LoadError::Flow { program, error })
    }

    /// What the declarations of program arrays hold: map, element, program.
    pub(super) fn program_arrays(
        &self,
        entries: &[(Function, ProgramKind)],
    ) -> Result<Vec<(usize, u32, u32)>, LoadError> {
        let mut contents = Vec::new();
        for values in &self.maps.programs {
            if values.start >= values.end {
                continue;
            }
            for (offset, referred) in self.relocations[&values.section].range(values.start..values.end) {
                let fail = |reason: &str| LoadError::map(&self.maps.specs[values.map].name, reason);
                let element = ((offset - values.start) / 8) as u32;
                let Referred::Inside(section, start) = *referred else {
                    return Err(fail("an element is no program of this object"));
                };
                let program = entries
                    .iter()
                    .position(|(function, _)| (function.section, function.start) == (section, start));
                let program = program.ok_or_else(|| fail("an element is no program of this object"))?;
                contents.push((values.map, element, program as u32));
            }
        }
        Ok(contents)
    }

    fn link(&mut self, at: (usize, u64)) -> Result<&Linked, LoadError> {
        if !self.linked.contains_key(&at) {
            let linked = self.build(at)?;
            self.linked.insert(at, linked);
        }
        Ok(&self.linked[&at])
    }

    fn build(&mut self, at: (usize, u64)) -> Result<Linked, LoadError> {
        let function = &self.elf.functions[&at];
        let section = self.elf.file.section_by_index(SectionIndex(function.section))?;
        let section_name = printable(section.name_bytes()?);
        // Functions lie in their sections; one without contents has no bytes.
        let bytes = section.data()?.get(function.start as usize..(function.start + function.size) as usize);
        let bytes =
            bytes.ok_or_else(|| LoadError::section(&section_name, "its functions have no contents"))?;
        let slots = bytes.as_chunks::<8>().0.iter().map(|slot| u64::from_le_bytes(*slot)).collect();
        let mut linked = Linked { slots, calls: Vec::new() };
        let mut slot = 0;
        while slot < linked.slots.len() {
            let offset = function.start + slot as u64 * 8;
            let referred = self.relocations[&at.0].get(&offset).cloned();
            let place = || Place { section: section_name.clone(), function: function.name.clone(), slot };
            let fail = |reason: String| LoadError::Link { place: place(), reason };
            self.relocate(&mut linked, slot, offset, at.0, referred).map_err(fail)?;
            slot += if linked.slots[slot] as u8 == LOAD_IMM64 { 2 } else { 1 };
        }
        check_jumps(&linked.slots, &function.name, &section_name)?;
        Ok(linked)
    }

    /// Applies the relocation of a slot, or finds out whom a call without one calls.
    fn relocate(
        &mut self,
        linked: &mut Linked,
        slot: usize,
        offset: u64,
        section: usize,
        referred: Option<Referred>,
    ) -> Result<(), String> {
        let word = linked.slots[slot];
        let imm = i64::from((word >> 32) as i32);
        match (word as u8, referred) {
            (CALL, None) if source(word) == CALL_LOCAL => {
                let callee = offset.checked_add_signed((imm + 1) * 8).ok_or("the call leaves its section")?;
                self.call(linked, slot, (section, callee))
            }
            (_, None) => Ok(()),
            (CALL, Some(Referred::Inside(section, start))) => {
                let callee = start.checked_add_signed((imm + 1) * 8).ok_or("the call leaves its section")?;
                self.call(linked, slot, (section, callee))
            }
            (CALL, Some(Referred::Outside(name))) => self.call_outside(linked, slot, &name),
            (LOAD_IMM64, Some(Referred::Inside(section, start))) => {
                let second = linked.slots.get(slot + 1).copied().ok_or("half a 64-bit immediate")?;
                let address = start.wrapping_add_signed(imm);
                let (kind, index, offset) = match self.maps.meaning(section, address) {
                    Some(Meaning::Map(index)) => (MAP_INDEX, index, 0),
                    Some(Meaning::Data(index, offset)) => (MAP_VALUE_INDEX, index, offset),
                    None if self.elf.functions.contains_key(&(section, address)) => {
                        return Err(
                            "takes the address of a function, for a callback: none is offered".to_owned()
                        );
                    }
                    None => {
                        return Err("refers to something that is neither a map nor global data".to_owned());
                    }
                };
                let offset = i32::try_from(offset).map_err(|_| "the offset in global data is too large")?;
                linked.slots[slot] = with_imm(with_source(word, kind), index as i32);
                linked.slots[slot + 1] = with_imm(second, offset);
                Ok(())
            }
            (LOAD_IMM64, Some(Referred::Outside(name))) => {
                Err(format!("refers to `{name}`, which the object does not define"))
            }
            (code, Some(_)) => Err(format!("a relocation of opcode {code:#04x}, which takes none")),
        }
    }

    fn call(&self, linked: &mut Linked, slot: usize, callee: (usize, u64)) -> Result<(), String> {
        if !self.elf.functions.contains_key(&callee) {
            return Err("calls something that is not the start of a function".to_owned());
        }
        linked.slots[slot] = with_source(linked.slots[slot], CALL_LOCAL);
        linked.calls.push((slot, callee));
        Ok(())
    }

    /// A call of a function of the kernel, which is an operation behind a sidecar.
    fn call_outside(&mut self, linked: &mut Linked, slot: usize, name: &str) -> Result<(), String> {
        let before = slot.checked_sub(1).map(|before| linked.slots[before]);
        if before.is_none_or(|word| (word as u8, source(word)) != SIDECAR) {
            return Err(format!("calls `{name}`, which the object does not define"));
        }
        let id = self.operations.id(name).ok_or_else(|| {
            format!("calls `{name}` behind a sidecar: the catalog has no operation and form of that name")
        })?;
        linked.slots[slot] = with_imm(with_source(linked.slots[slot], CALL_KOP), id);
        Ok(())
    }
}

fn source(word: u64) -> u8 {
    (word >> 12) as u8 & 15
}

fn with_source(word: u64, source: u8) -> u64 {
    word & !0xf000 | u64::from(source) << 12
}

fn with_imm(word: u64, imm: i32) -> u64 {
    word & 0xffff_ffff | u64::from(imm as u32) << 32
}

/// Jumps stay in their function: what is put behind it is another one.
fn check_jumps(slots: &[u64], function: &str, section: &str) -> Result<(), LoadError> {
    let bytes: Vec<u8> = slots.iter().copied().flat_map(u64::to_le_bytes).collect();
    let insns =
        decode_program(&bytes).map_err(|error| LoadError::Decode { program: function.to_owned(), error })?;
    let mut slot = 0;
    for insn in &insns {
        let next = slot + insn.slots();
        let is_call = matches!(insn, Insn::Call { target: CallTarget::Local(_) });
        let to = insn.branch_offset().filter(|_| !is_call).map(|offset| next as i64 + i64::from(offset));
        if to.is_some_and(|to| !(0..slots.len() as i64).contains(&to)) {
            let place = Place { section: section.to_owned(), function: function.to_owned(), slot };
            return Err(LoadError::Link { place, reason: "jumps out of its function".to_owned() });
        }
        slot = next;
    }
    match insns.last() {
        Some(last) if last.is_terminator() => Ok(()),
        _ => {
            let place = Place {
                section: section.to_owned(),
                function: function.to_owned(),
                slot: slot.saturating_sub(1),
            };
            Err(LoadError::Link { place, reason: "execution runs off the end of the function".to_owned() })
        }
    }
}

fn read_relocations(elf: &Elf, index: usize) -> Result<Relocations, LoadError> {
    let section = elf.file.section_by_index(SectionIndex(index))?;
    let mut relocations = Relocations::new();
    for (offset, relocation) in section.relocations() {
        let RelocationTarget::Symbol(symbol) = relocation.target() else { continue };
        let symbol = elf.file.symbol_by_index(symbol)?;
        let referred = match symbol.section_index() {
            Some(SectionIndex(section)) => Referred::Inside(section, symbol.address()),
            None => Referred::Outside(printable(symbol.name_bytes()?)),
        };
        relocations.insert(offset, referred);
    }
    Ok(relocations)
}
