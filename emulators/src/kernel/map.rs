// SPDX-License-Identifier: GPL-2.0-or-later
//! Maps in the kernel: created as a program's object declares them, filled, and read back.

use kop_ops::program::{MapKind, MapSpec};

use super::cpu;
use super::sys::{Map, MapShape};
use super::{KernelError, failed};

/// Keys and values, ascending by key.
pub type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// `BPF_F_RDONLY_PROG`: programs do not write to it.
const READ_ONLY: u32 = 1 << 7;

/// `enum bpf_map_type`.
pub(super) fn number(kind: MapKind) -> u32 {
    match kind {
        MapKind::Hash => 1,
        MapKind::Array => 2,
        MapKind::ProgramArray => 3,
        MapKind::PerfEventArray => 4,
        MapKind::PercpuHash => 5,
        MapKind::PercpuArray => 6,
        MapKind::LruHash => 9,
        MapKind::LpmTrie => 11,
        MapKind::DevMap => 14,
        MapKind::CpuMap => 16,
        MapKind::XskMap => 17,
        MapKind::RingBuf => 27,
    }
}

/// Whether values are bytes that can be read and written by system calls, and mean the same everywhere.
pub(super) fn holds_bytes(kind: MapKind) -> bool {
    match kind {
        MapKind::Hash
        | MapKind::Array
        | MapKind::PercpuHash
        | MapKind::PercpuArray
        | MapKind::LruHash
        | MapKind::LpmTrie => true,
        MapKind::ProgramArray
        | MapKind::PerfEventArray
        | MapKind::DevMap
        | MapKind::CpuMap
        | MapKind::XskMap
        | MapKind::RingBuf => false,
    }
}

/// Whether programs only read it.
pub(super) fn is_constant(spec: &MapSpec) -> bool {
    spec.flags & READ_ONLY != 0
}

/// Whether each CPU has its own values.
pub(super) fn is_per_cpu(kind: MapKind) -> bool {
    matches!(kind, MapKind::PercpuHash | MapKind::PercpuArray)
}

/// Whether every index has a value from the start, and none can be deleted.
fn is_array(kind: MapKind) -> bool {
    matches!(kind, MapKind::Array | MapKind::PercpuArray)
}

/// Creates a map, empty.
pub(super) fn create(spec: &MapSpec) -> Result<Map, KernelError> {
    let value_bytes = if is_per_cpu(spec.kind) {
        spec.value_stride() as usize * cpu::possible()
    } else {
        spec.value_size as usize
    };
    let shape = MapShape {
        kind: number(spec.kind),
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        flags: spec.flags,
        value_bytes,
    };
    Map::create(shape).map_err(failed(format!("create map `{}`", spec.name)))
}

/// A map of the kernel with what it was declared as.
#[derive(Debug)]
pub(super) struct Declared<'a> {
    pub map: &'a Map,
    pub spec: &'a MapSpec,
}

impl Declared<'_> {
    fn failed(&self, action: &str) -> impl FnOnce(std::io::Error) -> KernelError + use<> {
        failed(format!("{action} map `{}`", self.spec.name))
    }

    /// Puts in what it holds at first, and makes it constant where it is one, so that the verifier knows its bytes.
    pub fn fill(&self) -> Result<(), KernelError> {
        for (key, value) in &self.spec.initial {
            self.put(key, value)?;
        }
        if self.is_constant() {
            self.map.freeze().map_err(self.failed("freeze"))?;
        }
        Ok(())
    }

    /// Whether its contents are fixed.
    pub fn is_constant(&self) -> bool {
        is_constant(self.spec)
    }

    /// Makes it hold `entries` and nothing else, after `known` where that is known; indices of an array that are not among
    /// them hold zeroes. Both are ascending by key.
    pub fn reset(&self, known: Option<&Entries>, entries: &Entries) -> Result<(), KernelError> {
        let holds = |all: Option<&Entries>, entry: &(Vec<u8>, Vec<u8>)| {
            all.is_some_and(|all| all.binary_search(entry).is_ok())
        };
        if is_array(self.spec.kind) {
            let zeroes = vec![0; self.spec.value_size as usize];
            for index in 0..self.spec.max_entries {
                let key = index.to_ne_bytes().to_vec();
                let found = entries.binary_search_by(|(other, _)| other.cmp(&key));
                let entry = (key, found.map_or_else(|_| zeroes.clone(), |at| entries[at].1.clone()));
                if !holds(known, &entry) {
                    self.put(&entry.0, &entry.1)?;
                }
            }
            return Ok(());
        }
        while let Some(key) = self.map.next_key(None).map_err(self.failed("walk"))? {
            self.map.delete(&key).map_err(self.failed("empty"))?;
        }
        entries.iter().try_for_each(|(key, value)| self.put(key, value))
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), KernelError> {
        let (keys, values) = (self.spec.key_size as usize, self.spec.value_size as usize);
        if key.len() != keys || value.len() != values {
            return Err(KernelError::Unsupported(format!(
                "map `{}` takes keys of {keys} and values of {values} bytes, not {} and {}",
                self.spec.name,
                key.len(),
                value.len()
            )));
        }
        let mut value = value.to_vec();
        if is_per_cpu(self.spec.kind) {
            value.resize(self.spec.value_stride() as usize, 0);
            value = value.repeat(cpu::possible());
        }
        self.map.update(key, &value).map_err(self.failed("fill"))
    }

    /// What it holds, each value as `cpu` sees it.
    pub fn entries(&self, cpu: usize) -> Result<Entries, KernelError> {
        let mut entries = Vec::new();
        let mut value = vec![0; self.map.shape().value_bytes];
        let mut key = self.map.next_key(None).map_err(self.failed("walk"))?;
        while let Some(current) = key {
            self.map.lookup(&current, &mut value).map_err(self.failed("read"))?;
            let size = self.spec.value_size as usize;
            let start = if is_per_cpu(self.spec.kind) { cpu * self.spec.value_stride() as usize } else { 0 };
            key = self.map.next_key(Some(&current)).map_err(self.failed("walk"))?;
            entries.push((current, value[start..start + size].to_vec()));
        }
        entries.sort_unstable();
        Ok(entries)
    }
}
