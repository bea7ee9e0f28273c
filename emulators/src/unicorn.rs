// SPDX-License-Identifier: GPL-2.0-or-later
//! Unicorn as a machine: an emulated x86-64 or AArch64 CPU whose guest memory is the arena.
//!
//! Two instances share the arena: one runs chunks at full speed, the other has hooks on every instruction and access.

mod program;
mod watchdog;

use std::ops::Range;
use std::time::Duration;

use kop_ops::{Access, Arch, Fault, Feature, Features};
use unicorn_engine::{
    Arm64CpuModel, Context, HookType, MemType, Mode, Prot, RegisterARM64, RegisterX86, TlbEntry, TlbType,
    UcHookId, Unicorn, uc_error,
};

use crate::arena::{Arena, Protection, Region};
use crate::engine::{AccessRecord, FrameBreach};
use crate::machine::{Machine, Stop, Watch};
use crate::mistakes;
use crate::native::{PROBE_CODES, STACK_POINTER};
use crate::native_engine::Capabilities;
pub use program::ProgramMachine;
use watchdog::Limit;

/// How long a run may take.
const LIMIT: Duration = Duration::from_secs(1);

/// How many instructions a watched run may take: far more than any emit, far fewer than a hang.
const WATCHED_INSTRUCTIONS: usize = 1 << 15;

/// What hooks leave behind.
#[derive(Default)]
struct Notes {
    bad_access: Option<(Access, u64)>,
    interrupt: Option<u32>,
    code: Range<u64>,
    stack_pointer: u64,
    inside: bool,
    pending: Vec<AccessRecord>,
    accesses: Vec<AccessRecord>,
    native_stack: Vec<AccessRecord>,
    /// Where accesses are no fault; everywhere, if empty.
    open: Vec<Range<u64>>,
    breaches: Vec<FrameBreach>,
    /// How many blocks of instructions may still run, where they are counted.
    blocks: u64,
    /// The state of a CPU that has run nothing.
    pristine: Option<Context>,
}

type Cpu = Unicorn<'static, Notes>;

/// An emulated CPU.
pub struct UnicornMachine {
    arch: Arch,
    // The limit comes before the instance, and the instances before the arena, whose memory they use: what comes first is
    // dropped first.
    limit: Limit,
    fast: Cpu,
    watched: Cpu,
    /// The hook of the watched one that is called before each instruction.
    watching: UcHookId,
    arena: Arena,
}

/// What no CPU that it emulates has.
const LACKING: Features = Features::of(&[Feature::Avx512Vl, Feature::Avx512Vpopcntdq, Feature::SveBitperm]);

/// What the emulated CPU of `arch` executes rightly.
pub fn capabilities(arch: Arch) -> Capabilities {
    Capabilities {
        features: Features::all(arch).minus(LACKING),
        vex_vector: false,
        others: &["SSE3", "SSSE3", "SSE4_1"],
        mistake: match arch {
            Arch::X86_64 => mistakes::x86_64::unicorn,
            Arch::Aarch64 => mistakes::aarch64::unicorn,
        },
    }
}

impl UnicornMachine {
    /// A CPU of `arch` with an arena of its own.
    ///
    /// # Errors
    /// What Unicorn or the operating system report, in one line.
    pub fn new(arch: Arch) -> Result<Self, String> {
        let arena = Arena::new().map_err(|error| format!("no memory for the arena: {error}"))?;
        let fast =
            instance(arch, &arena, Faults::WithoutAddress).map_err(|error| format!("Unicorn: {error:?}"))?;
        let mut watched =
            instance(arch, &arena, Faults::Everywhere).map_err(|error| format!("Unicorn: {error:?}"))?;
        let watching = watch(arch, &mut watched).map_err(|error| format!("Unicorn: {error:?}"))?;
        let limit = Limit::new(fast.get_handle());
        Ok(Self { arch, limit, fast, watched, watching, arena })
    }
}

/// Which bad accesses are told with their address. A hook for an address makes every store there slow, even one for bad
/// accesses where all are good.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Faults {
    /// None.
    WithoutAddress,
    /// Those outside of data, which cannot be executed either, but that is told by where it was tried.
    OutsideOfData,
    /// All.
    Everywhere,
}

impl Faults {
    /// The addresses to hook: first and last.
    fn addresses(self) -> Vec<(u64, u64)> {
        let mut data: Vec<Range<u64>> = Region::all()
            .filter(|region| self == Faults::OutsideOfData && region.protection() == Protection::ReadWrite)
            .map(Region::range)
            .collect();
        data.sort_by_key(|range| range.start);
        let starts = std::iter::once(0).chain(data.iter().map(|range| range.end));
        let lasts = data.iter().map(|range| range.start - 1).chain([u64::MAX]);
        match self {
            Faults::WithoutAddress => Vec::new(),
            Faults::OutsideOfData | Faults::Everywhere => {
                starts.zip(lasts).filter(|(start, last)| start <= last).collect()
            }
        }
    }
}

fn instance(arch: Arch, arena: &Arena, faults: Faults) -> Result<Cpu, uc_error> {
    let (uc_arch, mode) = match arch {
        Arch::X86_64 => (unicorn_engine::Arch::X86, Mode::MODE_64),
        Arch::Aarch64 => (unicorn_engine::Arch::ARM64, Mode::LITTLE_ENDIAN),
    };
    let mut cpu = Unicorn::new_with_data(uc_arch, mode, Notes::default())?;
    if arch == Arch::Aarch64 {
        // The default model, a Cortex-A57, has no FEAT_LSE.
        cpu.ctl_set_cpu_model(Arm64CpuModel::MAX as i32)?;
    }
    for region in Region::all() {
        let protection = match region.protection() {
            Protection::ReadExecute => Prot::READ | Prot::EXEC,
            Protection::ReadWrite => Prot::READ | Prot::WRITE,
        };
        let pointer = arena.pointer(region).cast();
        // SAFETY: the pointer is to `size` bytes of the arena's mapping, which outlives the instance: the machine that owns
        // both drops the instance first.
        unsafe { cpu.mem_map_ptr(region.address(), region.size() as u64, protection, pointer)? };
    }
    map_flat(&mut cpu)?;
    for (first, last) in faults.addresses() {
        cpu.add_mem_hook(HookType::MEM_INVALID, first, last, |cpu, kind, address, _size, _value| {
            let access = match kind {
                MemType::WRITE_UNMAPPED | MemType::WRITE_PROT => Access::Write,
                MemType::FETCH_UNMAPPED | MemType::FETCH_PROT => Access::Execute,
                _ => Access::Read,
            };
            cpu.get_data_mut().bad_access = Some((access, address));
            false
        })?;
    }
    cpu.add_intr_hook(|cpu, number| {
        cpu.get_data_mut().interrupt = Some(number);
        // Failing to stop leaves the emulation to its instruction or time limit.
        let _ = cpu.emu_stop();
    })?;
    cpu.get_data_mut().pristine = Some(cpu.context_init()?);
    Ok(cpu)
}

/// Has addresses mean themselves, and pages of data be none of code.
///
/// Without paging, which there is none of here, Unicorn takes every page for one of code, so that it looks for translations at
/// each store; and it leaves out the bits of x86-64 addresses from 52 on, so that an address that is not canonical (Intel SDM
/// vol. 1, section 3.3.7.1) may be one that is mapped.
fn map_flat(cpu: &mut Cpu) -> Result<(), uc_error> {
    cpu.ctl_set_tlb_type(TlbType::VIRTUAL)?;
    // What may be done at an address is a matter of the regions.
    cpu.add_tlb_hook(1, 0, |_cpu, address, kind| {
        let perms = if kind == MemType::FETCH { Prot::ALL } else { Prot::READ | Prot::WRITE };
        Some(TlbEntry { paddr: address, perms })
    })?;
    Ok(())
}

fn read_stack_pointer(arch: Arch, cpu: &Unicorn<Notes>) -> u64 {
    let read = match arch {
        Arch::X86_64 => cpu.reg_read(RegisterX86::RSP),
        Arch::Aarch64 => cpu.reg_read(RegisterARM64::SP),
    };
    read.expect("the stack pointer is always readable")
}

fn watch(arch: Arch, cpu: &mut Cpu) -> Result<UcHookId, uc_error> {
    cpu.add_mem_hook(HookType::MEM_READ | HookType::MEM_WRITE, 1, 0, |cpu, kind, address, size, _value| {
        let notes = cpu.get_data_mut();
        if notes.inside {
            let access = if kind == MemType::WRITE { Access::Write } else { Access::Read };
            match notes.first_closed(address, size as u64) {
                None => notes.pending.push(AccessRecord { access, address, size: size as u32 }),
                Some(closed) => {
                    notes.bad_access.get_or_insert((access, closed));
                    // Failing to stop leaves the emulation to its instruction limit; the fault is noted.
                    let _ = cpu.emu_stop();
                }
            }
        }
        true
    })?;
    watch_instructions(arch, cpu)
}

/// Watches the code under test in probes, and the driver's instruction behind it, at which its last one is judged.
fn watch_instructions(arch: Arch, cpu: &mut Cpu) -> Result<UcHookId, uc_error> {
    cpu.add_code_hook(PROBE_CODES.start, PROBE_CODES.end, move |cpu, address, _size| {
        let stack_pointer = read_stack_pointer(arch, cpu);
        let notes = cpu.get_data_mut();
        notes.settle(stack_pointer);
        notes.inside = notes.code.contains(&address);
    })
}

/// Drops what an instance has translated, and puts what `renew` makes in place of a hook on code or blocks: Unicorn keeps a
/// note of each stretch of code that such a hook was put into for as long as there is the hook (`hooked_regions` in its
/// sources), whatever becomes of the translation.
fn forget(
    cpu: &mut Cpu,
    hook: &mut UcHookId,
    renew: impl FnOnce(&mut Cpu) -> Result<UcHookId, uc_error>,
) -> Result<(), uc_error> {
    cpu.ctl_flush_tb()?;
    cpu.remove_hook(*hook)?;
    *hook = renew(cpu)?;
    Ok(())
}

impl Notes {
    /// The first byte of an access that is none of those that code may access.
    fn first_closed(&self, address: u64, size: u64) -> Option<u64> {
        let inside = |byte: u64| self.open.is_empty() || self.open.iter().any(|range| range.contains(&byte));
        (0..size).map(|offset| address.wrapping_add(offset)).find(|&byte| !inside(byte))
    }

    /// Judges the accesses of the instruction that has just ended, now that the stack pointer after it is known: a push
    /// writes below the old one but not below the new one, a pop the other way round.
    fn settle(&mut self, stack_pointer: u64) {
        let lowest = self.stack_pointer.min(stack_pointer);
        let stack = Region::NativeStack.range();
        for record in std::mem::take(&mut self.pending) {
            let write = record.access == Access::Write;
            if !stack.contains(&record.address) {
                self.accesses.push(record);
                continue;
            }
            self.native_stack.push(record);
            if record.address < lowest {
                self.breaches.push(FrameBreach::BelowStack { write, below: lowest - record.address });
            } else if record.address + u64::from(record.size) > STACK_POINTER {
                let above = record.address.saturating_sub(STACK_POINTER);
                self.breaches.push(FrameBreach::CallerStack { write, above });
            }
        }
        self.stack_pointer = stack_pointer;
    }
}

/// What ends a run that does not end by itself.
enum Bound<'a> {
    Time(&'a Limit),
    Instructions(usize),
    /// Something that hooks do.
    Hooks,
}

/// Runs one instance and tells how it ended.
fn start(arch: Arch, cpu: &mut Cpu, entry: u64, exit: u64, bound: Bound) -> Result<(), Stop> {
    let notes = cpu.get_data_mut();
    notes.bad_access = None;
    notes.interrupt = None;
    let (result, timed_out) = match bound {
        Bound::Time(limit) => limit.run(LIMIT, || cpu.emu_start(entry, exit, 0, 0)),
        Bound::Instructions(count) => (cpu.emu_start(entry, exit, 0, count), true),
        Bound::Hooks => (cpu.emu_start(entry, exit, 0, 0), false),
    };
    let mut pc = cpu.pc_read().ok();
    if (arch, cpu.get_data().interrupt) == (Arch::X86_64, Some(BREAKPOINT)) {
        // It is told by the address behind it, which has one byte.
        pc = pc.map(|pc| pc.wrapping_sub(1));
    }
    let fault = match (result, cpu.get_data().bad_access, cpu.get_data().interrupt) {
        (Ok(()), None, None) if pc == Some(exit) => return Ok(()),
        (_, Some((access, address)), _) => Fault::Memory { access, address: Some(address) },
        (_, None, Some(number)) => interrupt(arch, number),
        (Ok(()), None, None) if timed_out => Fault::RunAway,
        (Ok(()), None, None) => Fault::Escape { address: pc },
        (Err(uc_error::INSN_INVALID), ..) => Fault::Illegal,
        (Err(error), ..) => memory_error(error, pc).unwrap_or(Fault::Other(error as i32)),
    };
    if cpu.get_data().interrupt.is_some() {
        recover(cpu);
    }
    Err(Stop { fault, at: pc })
}

/// Ends an exception: since no handler ran, Unicorn takes a second division error on x86 for a double fault, and every run
/// after a third one for one that does not end.
fn recover(cpu: &mut Cpu) {
    let pristine = cpu.get_data_mut().pristine.take().expect("it was saved when the instance was made");
    cpu.context_restore(&pristine).expect("a context of the same instance can be restored");
    cpu.get_data_mut().pristine = Some(pristine);
}

/// The vector of `int3` (Intel SDM vol. 3, table 7-1).
const BREAKPOINT: u32 = 3;

/// The fault of an access that no hook told. What cannot be executed is where the program counter is.
fn memory_error(error: uc_error, pc: Option<u64>) -> Option<Fault> {
    let access = match error {
        uc_error::READ_UNMAPPED | uc_error::READ_PROT | uc_error::READ_UNALIGNED => Access::Read,
        uc_error::WRITE_UNMAPPED | uc_error::WRITE_PROT | uc_error::WRITE_UNALIGNED => Access::Write,
        uc_error::FETCH_UNMAPPED | uc_error::FETCH_PROT | uc_error::FETCH_UNALIGNED => Access::Execute,
        _ => return None,
    };
    let address = pc.filter(|_| access == Access::Execute);
    Some(Fault::Memory { access, address })
}

/// The fault of an exception number: the vector on x86 (Intel SDM vol. 3, 6.3.1), QEMU's `EXCP_*` on ARM.
fn interrupt(arch: Arch, number: u32) -> Fault {
    match (arch, number) {
        (Arch::X86_64, 0) => Fault::Divide,
        (Arch::X86_64, 1 | 3) | (Arch::Aarch64, 7) => Fault::Trap,
        (Arch::X86_64, 6) | (Arch::Aarch64, 1) => Fault::Illegal,
        // A general-protection exception: an address that is not canonical.
        (Arch::X86_64, 13) => Fault::Memory { access: Access::Read, address: None },
        _ => Fault::Other(number as i32),
    }
}

impl Machine for UnicornMachine {
    fn arena(&self) -> &Arena {
        &self.arena
    }

    fn arena_mut(&mut self) -> &mut Arena {
        &mut self.arena
    }

    fn bounds_watched_runs(&self) -> bool {
        true
    }

    fn forget_code(&mut self) {
        let arch = self.arch;
        self.fast.ctl_flush_tb().expect("flushing translations cannot fail");
        forget(&mut self.watched, &mut self.watching, |cpu| watch_instructions(arch, cpu))
            .expect("a hook that was added can be added again");
    }

    fn run(&mut self, entry: u64, exit: u64) -> Result<(), Stop> {
        start(self.arch, &mut self.fast, entry, exit, Bound::Time(&self.limit))
    }

    fn run_watched(
        &mut self,
        entry: u64,
        exit: u64,
        code: Range<u64>,
        watch: &mut Watch,
    ) -> Result<(), Stop> {
        let notes = self.watched.get_data_mut();
        let pristine = notes.pristine.take();
        let open = watch.slot.map(|slot| [Region::Window(slot), Region::Stack(slot), Region::NativeStack]);
        let open = open.into_iter().flatten().map(Region::range).collect();
        *notes = Notes { code, stack_pointer: STACK_POINTER, open, pristine, ..Notes::default() };
        let result =
            start(self.arch, &mut self.watched, entry, exit, Bound::Instructions(WATCHED_INSTRUCTIONS));
        let stack_pointer = read_stack_pointer(self.arch, &self.watched);
        let notes = self.watched.get_data_mut();
        notes.settle(stack_pointer);
        watch.accesses = Some(std::mem::take(&mut notes.accesses));
        watch.native_stack = std::mem::take(&mut notes.native_stack);
        watch.breaches.append(&mut notes.breaches);
        result
    }
}
