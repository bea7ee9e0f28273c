// SPDX-License-Identifier: GPL-2.0-or-later
//! Maps of an ELF object: declared in `.maps` with BTF or in `maps` as `struct bpf_map_def`, and global data.

use std::collections::HashMap;

use kop_ops::state::MAPS_SIZE;
use kop_ops::{MapKind, MapSpec};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

use super::btf::{Btf, Member};
use super::elf::{Elf, printable};
use super::{LoadError, MAX_MAPS};

/// Declarations with BTF.
const BTF_MAPS: &str = ".maps";

/// Declarations as structures of numbers, the older way.
const PLAIN_MAPS: &str = "maps";

/// `BPF_F_RDONLY_PROG`: programs do not write constant data.
const READ_ONLY: u32 = 128;

/// The elements of a perf event array that does not say how many: more than there are CPUs.
const CPUS: u32 = 256;

/// What an address in a section means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The map itself.
    Map(usize),
    /// Data in the first value of a map, at this offset.
    Data(usize, u64),
}

/// The maps of an object.
#[derive(Default)]
pub(super) struct Maps {
    pub specs: Vec<MapSpec>,
    /// By section and offset, the map that a symbol there stands for.
    declared: HashMap<(usize, u64), usize>,
    /// By section, the map with its data.
    data: HashMap<usize, usize>,
    /// Program arrays with contents: where in which section the pointers start, and how many there may be.
    pub programs: Vec<Values>,
}

/// The place of the pointers to programs in a declaration.
pub(super) struct Values {
    pub map: usize,
    pub section: usize,
    pub start: u64,
    pub end: u64,
}

impl Maps {
    pub(super) fn read(elf: &Elf) -> Result<Self, LoadError> {
        let mut maps = Maps::default();
        for section in elf.file.sections() {
            let name = printable(section.name_bytes()?);
            match name.as_str() {
                BTF_MAPS => maps.read_btf(elf, section.index().0)?,
                PLAIN_MAPS => maps.read_plain(elf, section.index().0, section.data()?)?,
                _ => {}
            }
        }
        for section in elf.file.sections() {
            let name = printable(section.name_bytes()?);
            if is_data(&name) && section.size() > 0 {
                maps.read_data(&name, &section)?;
            }
        }
        Ok(maps)
    }

    /// What the address `offset` of a section means; `None` in a section that holds something else.
    pub(super) fn meaning(&self, section: usize, offset: u64) -> Option<Meaning> {
        let declared = self.declared.get(&(section, offset)).map(|index| Meaning::Map(*index));
        declared.or_else(|| self.data.get(&section).map(|index| Meaning::Data(*index, offset)))
    }

    fn push(&mut self, spec: MapSpec) -> Result<usize, LoadError> {
        if self.specs.len() == MAX_MAPS {
            return Err(LoadError::TooManyMaps);
        }
        self.specs.push(spec);
        Ok(self.specs.len() - 1)
    }

    fn read_btf(&mut self, elf: &Elf, section: usize) -> Result<(), LoadError> {
        let fail = |reason: String| LoadError::section(BTF_MAPS, reason);
        let bytes = elf.file.section_by_name(".BTF").map(|section| section.data()).transpose()?;
        let bytes = bytes.ok_or_else(|| fail("there is no BTF: compile with `-g`".to_owned()))?;
        let btf = Btf::parse(bytes).map_err(fail)?;
        let types: HashMap<&str, u32> = btf.variables(BTF_MAPS).into_iter().collect();
        for symbol in elf.symbols_in(section) {
            let name = printable(symbol.name_bytes()?);
            let ty =
                *types.get(name.as_str()).ok_or_else(|| LoadError::map(&name, "BTF does not describe it"))?;
            let members =
                btf.members(ty).ok_or_else(|| LoadError::map(&name, "BTF says that it is no structure"))?;
            let index = self.push(declared(&btf, &name, &members)?)?;
            self.declared.insert((section, symbol.address()), index);
            if self.specs[index].kind == MapKind::ProgramArray
                && let Some(values) = members.iter().find(|member| member.name == "values")
            {
                let start = symbol.address().saturating_add(values.offset);
                let end = symbol.address().saturating_add(symbol.size());
                self.programs.push(Values { map: index, section, start, end });
            }
        }
        Ok(())
    }

    /// `struct bpf_map_def`: type, key_size, value_size, max_entries, map_flags, and what some loaders put behind.
    fn read_plain(&mut self, elf: &Elf, section: usize, data: &[u8]) -> Result<(), LoadError> {
        for symbol in elf.symbols_in(section) {
            let name = printable(symbol.name_bytes()?);
            let word = |number: u64| {
                let start = usize::try_from(symbol.address().checked_add(number * 4)?).ok()?;
                let bytes = data.get(start..start.checked_add(4)?)?;
                Some(u32::from_le_bytes(bytes.try_into().ok()?))
            };
            let words = (0..5).map(word).collect::<Option<Vec<u32>>>();
            let words =
                words.ok_or_else(|| LoadError::map(&name, "its declaration lies outside of its section"))?;
            let numbers = [words[0], words[1], words[2], words[3], words[4]];
            let index = self.push(map(&name, numbers)?)?;
            self.declared.insert((section, symbol.address()), index);
        }
        Ok(())
    }

    fn read_data<'d>(
        &mut self,
        name: &str,
        section: &impl object::ObjectSection<'d>,
    ) -> Result<(), LoadError> {
        let size = section.size();
        let too_large = || LoadError::section(name, format!("{size} bytes of data do not fit {MAPS_SIZE}"));
        let length = usize::try_from(size).ok().filter(|size| *size <= MAPS_SIZE).ok_or_else(too_large)?;
        let bytes = section.data()?;
        let mut value = bytes.to_vec();
        value.resize(length, 0);
        let index = self.push(MapSpec {
            name: name.to_owned(),
            kind: MapKind::Array,
            key_size: 4,
            value_size: length as u32,
            max_entries: 1,
            flags: if name.starts_with(".rodata") { READ_ONLY } else { 0 },
            initial: vec![(vec![0; 4], value)],
        })?;
        self.data.insert(section.index().0, index);
        Ok(())
    }
}

/// Whether a section holds global data, as libbpf has it.
fn is_data(name: &str) -> bool {
    [".data", ".rodata", ".bss"]
        .into_iter()
        .any(|start| name.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

fn declared(btf: &Btf, name: &str, members: &[Member]) -> Result<MapSpec, LoadError> {
    let mut numbers = [0; 5];
    for member in members {
        let (place, value) = match member.name {
            "type" => (0, btf.number(member)),
            "key_size" => (1, btf.number(member)),
            "key" => (1, btf.pointee_size(member)),
            "value_size" => (2, btf.number(member)),
            "value" => (2, btf.pointee_size(member)),
            "max_entries" => (3, btf.number(member)),
            "map_flags" => (4, btf.number(member)),
            // How it is pinned and where it is allocated is nothing that a program sees; values come with relocations.
            "pinning" | "numa_node" | "values" => continue,
            other => {
                return Err(LoadError::map(
                    name,
                    format!("unknown member `{}`", printable(other.as_bytes())),
                ));
            }
        };
        let value = value
            .ok_or_else(|| LoadError::map(name, format!("member `{}` is not understood", member.name)))?;
        numbers[place] = value;
    }
    map(name, numbers)
}

fn map(
    name: &str,
    [number, key_size, value_size, max_entries, flags]: [u32; 5],
) -> Result<MapSpec, LoadError> {
    let kind = MapKind::from_number(number).ok_or_else(|| {
        let known: Vec<&str> = MapKind::ALL.into_iter().map(MapKind::name).collect();
        LoadError::map(name, format!("maps of type {number} are not offered, only {}", known.join(", ")))
    })?;
    let reference = matches!(kind, MapKind::ProgramArray | MapKind::PerfEventArray);
    let or_word = |size: u32| if size == 0 && reference { 4 } else { size };
    let max_entries = if kind == MapKind::PerfEventArray && max_entries == 0 { CPUS } else { max_entries };
    Ok(MapSpec {
        name: name.to_owned(),
        kind,
        key_size: or_word(key_size),
        value_size: or_word(value_size),
        max_entries,
        flags,
        initial: Vec::new(),
    })
}
