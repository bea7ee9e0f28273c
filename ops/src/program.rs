// SPDX-License-Identifier: GPL-2.0-or-later
//! Whole programs: instructions whose control flow is sound, the maps they name, and the operations that their Kop sites
//! call.

use std::sync::Arc;

use crate::ebpf::{CallTarget, Insn, Reg, RegSet};
use crate::state::Slot;

/// The kind of a program, which says what its context is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProgramKind {
    /// No context: r1 is the address of the data window and r2 the length of the data at its start.
    #[default]
    Raw,
    /// `BPF_PROG_TYPE_XDP`: r1 is a `struct xdp_md`, the packet lies in the window.
    Xdp,
    /// `BPF_PROG_TYPE_SCHED_CLS`: r1 is a `struct __sk_buff`, the packet lies in the window.
    Tc,
}

impl ProgramKind {
    /// Every kind.
    pub const ALL: [ProgramKind; 3] = [ProgramKind::Raw, ProgramKind::Xdp, ProgramKind::Tc];

    /// The name on the command line: `raw`, `xdp`, `tc`.
    pub const fn name(self) -> &'static str {
        match self {
            ProgramKind::Raw => "raw",
            ProgramKind::Xdp => "xdp",
            ProgramKind::Tc => "tc",
        }
    }
}

/// The kind of a map (`enum bpf_map_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MapKind {
    /// `BPF_MAP_TYPE_HASH`.
    Hash,
    /// `BPF_MAP_TYPE_ARRAY`, and every section of global data.
    Array,
    /// `BPF_MAP_TYPE_PROG_ARRAY`.
    ProgramArray,
    /// `BPF_MAP_TYPE_PERF_EVENT_ARRAY`.
    PerfEventArray,
    /// `BPF_MAP_TYPE_PERCPU_HASH`.
    PercpuHash,
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`.
    PercpuArray,
    /// `BPF_MAP_TYPE_LRU_HASH`.
    LruHash,
    /// `BPF_MAP_TYPE_LPM_TRIE`.
    LpmTrie,
    /// `BPF_MAP_TYPE_DEVMAP`, a target of `bpf_redirect_map`.
    DevMap,
    /// `BPF_MAP_TYPE_CPUMAP`, a target of `bpf_redirect_map`.
    CpuMap,
    /// `BPF_MAP_TYPE_XSKMAP`, a target of `bpf_redirect_map`.
    XskMap,
    /// `BPF_MAP_TYPE_RINGBUF`.
    RingBuf,
}

impl MapKind {
    /// Every kind.
    pub const ALL: [MapKind; 12] = [
        MapKind::Hash,
        MapKind::Array,
        MapKind::ProgramArray,
        MapKind::PerfEventArray,
        MapKind::PercpuHash,
        MapKind::PercpuArray,
        MapKind::LruHash,
        MapKind::LpmTrie,
        MapKind::DevMap,
        MapKind::CpuMap,
        MapKind::XskMap,
        MapKind::RingBuf,
    ];

    /// Its number in `enum bpf_map_type`.
    pub const fn number(self) -> u32 {
        match self {
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

    /// The kind with this number in `enum bpf_map_type`, if it is one of ours.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// Its name in text: the kernel's in lower case, as bpftool prints it.
    pub const fn name(self) -> &'static str {
        match self {
            MapKind::Hash => "hash",
            MapKind::Array => "array",
            MapKind::ProgramArray => "prog_array",
            MapKind::PerfEventArray => "perf_event_array",
            MapKind::PercpuHash => "percpu_hash",
            MapKind::PercpuArray => "percpu_array",
            MapKind::LruHash => "lru_hash",
            MapKind::LpmTrie => "lpm_trie",
            MapKind::DevMap => "devmap",
            MapKind::CpuMap => "cpumap",
            MapKind::XskMap => "xskmap",
            MapKind::RingBuf => "ringbuf",
        }
    }
}

/// What a map is declared as.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MapSpec {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: MapKind,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// The most entries.
    pub max_entries: u32,
    /// `BPF_F_*` flags of its creation.
    pub flags: u32,
    /// What it holds before the first run: key and value in bytes. The value of a program array is a program's index
    /// in its [`Object`], in four bytes.
    pub initial: Vec<(Vec<u8>, Vec<u8>)>,
}

/// An operation that Kop sites call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SiteTarget {
    /// The BTF id in the call.
    pub id: i32,
    /// The operation's name.
    pub kop: String,
    /// The form's name.
    pub form: String,
}

/// One program of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: ProgramKind,
    /// Its instructions with those of the subprograms it calls. A map is named by its index: `ld_imm64` of kind
    /// [`MAP_INDEX`] or [`MAP_VALUE_INDEX`].
    pub flow: Flow,
}

/// A file of programs: what is loaded, run, and compared as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// The programs; a run starts with one of them and reaches others by tail calls.
    pub programs: Vec<Program>,
    /// The maps that the programs share.
    pub maps: Arc<[MapSpec]>,
    /// What Kop sites call.
    pub operations: Vec<SiteTarget>,
    /// The license, which the kernel wants to see for some helpers.
    pub license: String,
}

/// The source field of an `ld_imm64` that is a map by index (`BPF_PSEUDO_MAP_IDX`): low half the index, high half 0.
pub const MAP_INDEX: u8 = 5;

/// The source field of an `ld_imm64` that is an address in the first value of a map by index
/// (`BPF_PSEUDO_MAP_IDX_VALUE`): low half the index, high half the offset.
pub const MAP_VALUE_INDEX: u8 = 6;

/// The bytes of stack that each frame has: r10 minus this is the frame's lowest byte (`MAX_BPF_STACK`).
pub const FRAME_SIZE: u64 = 512;

/// The most frames, the program's own included (`MAX_CALL_FRAMES`).
pub const MAX_FRAMES: usize = 8;

/// The most tail calls in a run (`MAX_TAIL_CALL_CNT`).
pub const MAX_TAIL_CALLS: u32 = 33;

/// How often each `may_goto` goes on before it jumps, for each frame (`BPF_MAX_LOOPS`).
pub const MAY_GOTO_BUDGET: u64 = 8 << 20;

/// The most instruction slots of a program (`BPF_COMPLEXITY_LIMIT_INSNS`).
pub const MAX_SLOTS: usize = 1_000_000;

/// Where maps are for a program that runs: what `ld_imm64` of a map loads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapAddresses {
    slot: Slot,
    values: Vec<u64>,
    size: u64,
}

/// Why maps do not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("map `{name}` of {bytes} bytes does not fit: all maps together have {MAPS_SIZE} bytes here")]
pub struct MapsTooLarge {
    /// The map.
    pub name: String,
    /// What it takes.
    pub bytes: u64,
}

pub use crate::state::MAPS_SIZE;

impl MapAddresses {
    /// Places the values of `maps` in `slot`, one after another with a gap between them.
    ///
    /// # Errors
    /// [`MapsTooLarge`] with the first that does not fit.
    pub fn new(maps: &[MapSpec], slot: Slot) -> Result<Self, MapsTooLarge> {
        let mut next = slot.maps();
        let mut size = 0;
        let mut values = Vec::with_capacity(maps.len());
        for map in maps {
            let bytes = map.memory_size();
            let room = slot.maps() + MAPS_SIZE as u64 - next;
            if bytes > room {
                return Err(MapsTooLarge { name: map.name.clone(), bytes });
            }
            values.push(next);
            if bytes > 0 {
                size = next + bytes - slot.maps();
            }
            next = (next + bytes + MAP_GAP).next_multiple_of(MAP_GAP).min(slot.maps() + MAPS_SIZE as u64);
        }
        Ok(Self { slot, values, size })
    }

    /// The bytes from [`Slot::maps`] to the end of the last map's values.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The slot.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// What stands for the map itself: a number that helpers know, and no memory.
    pub fn handle(&self, index: usize) -> u64 {
        HANDLES + index as u64 * 64
    }

    /// The index of the map whose handle this is.
    pub fn index_of_handle(&self, value: u64) -> Option<usize> {
        let distance = value.checked_sub(HANDLES)?;
        let index = (distance / 64) as usize;
        (distance % 64 == 0 && index < self.values.len()).then_some(index)
    }

    /// The address of the map's first value.
    pub fn values(&self, index: usize) -> Option<u64> {
        self.values.get(index).copied()
    }

    /// What an `ld_imm64` of this kind and immediate loads; `None` for a map that there is not and for kinds of which
    /// nothing is known here.
    pub fn resolve(&self, kind: u8, imm: u64) -> Option<u64> {
        let index = imm as u32 as usize;
        match kind {
            0 => Some(imm),
            MAP_INDEX => (index < self.values.len() && imm >> 32 == 0).then(|| self.handle(index)),
            MAP_VALUE_INDEX => Some(self.values(index)?.wrapping_add(imm >> 32)),
            _ => None,
        }
    }
}

const MAP_GAP: u64 = 4096;
const HANDLES: u64 = 0x1000_0000;

impl MapSpec {
    /// The bytes from one value to the next: values are aligned to eight bytes, as the kernel's are.
    pub fn value_stride(&self) -> u64 {
        u64::from(self.value_size).next_multiple_of(8)
    }

    /// The bytes that its values take. A map that replaces values instead of overwriting them has room for one more, as
    /// the kernel's has for each CPU; a ring buffer has its data.
    pub fn memory_size(&self) -> u64 {
        let entries = u64::from(self.max_entries);
        match self.kind {
            MapKind::RingBuf => entries,
            MapKind::ProgramArray | MapKind::PerfEventArray => 0,
            MapKind::Hash | MapKind::LruHash | MapKind::LpmTrie => self.value_stride() * (entries + 1),
            _ => self.value_stride() * entries,
        }
    }
}

/// Instructions whose control flow is sound: every jump and local call goes to the start of an instruction, nothing runs
/// off the end, r10 is never written, and sidecars and Kop calls come in pairs.
///
/// Instructions are numbered by index; jumps in them count 8-byte slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    insns: Vec<Insn>,
    slots: Vec<u32>,
    targets: Vec<u32>,
    effects: Vec<Effects>,
    functions: Vec<u32>,
    has_sites: bool,
}

/// What an instruction does to registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Effects {
    /// [`Insn::reads`].
    pub reads: RegSet,
    /// [`Insn::writes`].
    pub writes: RegSet,
}

impl Effects {
    /// The effects of `insn`.
    pub const fn of(insn: &Insn) -> Self {
        Self { reads: insn.reads(), writes: insn.writes() }
    }
}

/// Why instructions are no program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlowError {
    /// There are none.
    #[error("the program is empty")]
    Empty,
    /// There are more than the kernel takes.
    #[error("the program takes {0} slots, more than {MAX_SLOTS}")]
    TooLong(usize),
    /// A value that is no instruction.
    #[error("instruction {index}: no instruction has these fields")]
    IllFormed {
        /// Which.
        index: usize,
    },
    /// A jump or local call leaves the program.
    #[error("instruction {index}: goes to slot {slot}, outside of the program")]
    Outside {
        /// Which.
        index: usize,
        /// Where it goes.
        slot: i64,
    },
    /// A jump or local call goes to the second slot of a 64-bit immediate or between the halves of a Kop site.
    #[error("instruction {index}: goes to slot {slot}, the middle of an instruction")]
    Middle {
        /// Which.
        index: usize,
        /// Where it goes.
        slot: i64,
    },
    /// The last instruction goes on.
    #[error("instruction {index}: execution runs off the end of the program")]
    RunsOff {
        /// Which.
        index: usize,
    },
    /// r10 is written.
    #[error("instruction {index}: writes r10, the frame pointer")]
    WritesFramePointer {
        /// Which.
        index: usize,
    },
    /// A sidecar without a Kop call behind it, or a Kop call without a sidecar.
    #[error("instruction {index}: half a Kop site")]
    HalfSite {
        /// Which.
        index: usize,
    },
}

/// The mark in [`Flow::targets`] of an instruction that goes nowhere.
pub const NOWHERE: u32 = u32::MAX;

impl Flow {
    /// Checks the control flow of `insns`.
    ///
    /// # Errors
    /// The first [`FlowError`] in the order of instructions.
    pub fn new(insns: Vec<Insn>) -> Result<Self, FlowError> {
        let mut slots = Vec::with_capacity(insns.len() + 1);
        let mut slot = 0;
        for insn in &insns {
            slots.push(slot as u32);
            slot += insn.slots();
            if slot > MAX_SLOTS {
                return Err(FlowError::TooLong(insns.iter().map(Insn::slots).sum()));
            }
        }
        slots.push(slot as u32);
        let last = insns.len().checked_sub(1).ok_or(FlowError::Empty)?;
        let mut targets = Vec::with_capacity(insns.len());
        let mut functions = vec![0];
        for (index, insn) in insns.iter().enumerate() {
            check(&insns, index)?;
            let call = match *insn {
                Insn::Call { target: CallTarget::Local(offset) } => Some(offset),
                _ => None,
            };
            let Some(offset) = insn.branch_offset().or(call) else {
                targets.push(NOWHERE);
                continue;
            };
            let to = i64::from(slots[index + 1]) + i64::from(offset);
            let found = u32::try_from(to).ok().filter(|to| *to < slot as u32);
            let found = found.ok_or(FlowError::Outside { index, slot: to })?;
            let middle = FlowError::Middle { index, slot: to };
            let target = slots.binary_search(&found).map_err(|_| middle.clone())?;
            if is_kop_call(&insns[target]) {
                return Err(middle);
            }
            targets.push(target as u32);
            if call.is_some() {
                functions.push(target as u32);
            }
        }
        if !insns[last].is_terminator() {
            return Err(FlowError::RunsOff { index: last });
        }
        functions.sort_unstable();
        functions.dedup();
        let effects = insns.iter().map(Effects::of).collect();
        let has_sites = sites(&insns).next().is_some();
        Ok(Self { insns, slots, targets, effects, functions, has_sites })
    }

    /// The instructions.
    pub fn insns(&self) -> &[Insn] {
        &self.insns
    }

    /// The slot of the instruction `index`; of the number of instructions, the number of slots.
    pub fn slot(&self, index: usize) -> usize {
        self.slots[index] as usize
    }

    /// The instruction that stands at `slot`.
    pub fn at_slot(&self, slot: usize) -> Option<usize> {
        self.slots[..self.insns.len()].binary_search(&u32::try_from(slot).ok()?).ok()
    }

    /// The instruction that the jump or local call `index` goes to.
    pub fn target(&self, index: usize) -> Option<usize> {
        Some(self.targets[index]).filter(|target| *target != NOWHERE).map(|target| target as usize)
    }

    /// For each instruction what [`Flow::target`] says, or [`NOWHERE`].
    pub fn targets(&self) -> &[u32] {
        &self.targets
    }

    /// Whether there is a Kop site.
    pub fn has_sites(&self) -> bool {
        self.has_sites
    }

    /// For each instruction what it does to registers.
    pub fn effects(&self) -> &[Effects] {
        &self.effects
    }

    /// Where functions start, ascending: instruction 0 and the targets of local calls.
    pub fn functions(&self) -> &[u32] {
        &self.functions
    }
}

fn is_kop_call(insn: &Insn) -> bool {
    matches!(insn, Insn::Call { target: CallTarget::Kop { .. } })
}

fn check(insns: &[Insn], index: usize) -> Result<(), FlowError> {
    let insn = &insns[index];
    if !insn.is_well_formed() {
        return Err(FlowError::IllFormed { index });
    }
    if insn.writes().has(Reg::R10) {
        return Err(FlowError::WritesFramePointer { index });
    }
    let sidecar_before = index > 0 && matches!(insns[index - 1], Insn::Sidecar { .. });
    if sidecar_before != is_kop_call(insn) {
        return Err(FlowError::HalfSite { index: if sidecar_before { index - 1 } else { index } });
    }
    Ok(())
}

/// Whether the instructions of a Kop site and of an ordinary program differ: where the sites are.
///
/// Yields the index of each sidecar with its payload and the id of the called operation.
pub fn sites(insns: &[Insn]) -> impl Iterator<Item = (usize, u64, i32)> {
    insns.windows(2).enumerate().filter_map(|(index, pair)| match *pair {
        [Insn::Sidecar { payload }, Insn::Call { target: CallTarget::Kop { id, .. } }] => {
            Some((index, payload, id))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ebpf::Cond;

    fn error(insns: &[Insn]) -> FlowError {
        Flow::new(insns.to_vec()).expect_err("it is no program")
    }

    #[test]
    fn targets_are_instructions() {
        let program = [
            Insn::jump(Cond::Eq, Reg::R1, 0, 2),
            Insn::load_imm64(Reg::R0, 1),
            Insn::Call { target: CallTarget::Local(0) },
            Insn::Exit,
        ];
        let flow = Flow::new(program.to_vec()).expect("a program");
        assert_eq!((flow.target(0), flow.target(1), flow.target(2)), (Some(2), None, Some(3)));
        assert_eq!((flow.functions(), flow.slot(2), flow.at_slot(2)), (&[0, 3][..], 3, None));
    }

    #[test]
    fn broken_flow_is_refused() {
        let wide = Insn::load_imm64(Reg::R0, 1);
        assert_eq!(error(&[]), FlowError::Empty);
        assert_eq!(error(&[Insn::ja(0)]), FlowError::Outside { index: 0, slot: 1 });
        assert_eq!(error(&[Insn::ja(-2), Insn::Exit]), FlowError::Outside { index: 0, slot: -1 });
        assert_eq!(error(&[Insn::ja(1), wide, Insn::Exit]), FlowError::Middle { index: 0, slot: 2 });
        assert_eq!(error(&[wide]), FlowError::RunsOff { index: 0 });
        assert_eq!(
            error(&[Insn::mov64(Reg::R10, 0), Insn::Exit]),
            FlowError::WritesFramePointer { index: 0 }
        );
        let [sidecar, call] = Insn::kop_site(1, 7, 0);
        assert_eq!(error(&[sidecar, Insn::Exit]), FlowError::HalfSite { index: 0 });
        assert_eq!(error(&[call, Insn::Exit]), FlowError::HalfSite { index: 0 });
        assert_eq!(error(&[Insn::ja(1), sidecar, call, Insn::Exit]), FlowError::Middle { index: 0, slot: 2 });
        let flow = Flow::new(vec![sidecar, call, Insn::Exit]).expect("a program");
        assert_eq!(sites(flow.insns()).collect::<Vec<_>>(), [(0, 1, 7)]);
    }

    #[test]
    fn maps_are_placed_apart() {
        let map = |max_entries| MapSpec {
            name: "m".to_owned(),
            kind: MapKind::Array,
            key_size: 4,
            value_size: 12,
            max_entries,
            flags: 0,
            initial: Vec::new(),
        };
        let slot = Slot::of_batch(2);
        let addresses = MapAddresses::new(&[map(10), map(1)], slot).expect("they fit");
        assert_eq!(addresses.resolve(MAP_VALUE_INDEX, 8 << 32), Some(slot.maps() + 8));
        assert!(addresses.values(1) >= Some(slot.maps() + 160 + MAP_GAP));
        assert_eq!(addresses.index_of_handle(addresses.handle(1)), Some(1));
        assert_eq!(addresses.resolve(MAP_INDEX, 2), None);
        assert_eq!(addresses.size(), addresses.values(1).expect("a map") - slot.maps() + 16);
        assert!(MapAddresses::new(&[map(u32::MAX)], slot).is_err());
    }
}
