// SPDX-License-Identifier: GPL-2.0-or-later
//! The engine for compiled programs, written once for every machine and architecture.

use std::marker::PhantomData;

use kop_ops::code::runtime::{MAX_HELPERS, MAX_RANGES, SIZE};
use kop_ops::ebpf::{Reg, RegSet};
use kop_ops::{Code, Fault};
use kop_semantics::{Outcome, Reply, Trap, World};

use super::block::RuntimeBlock;
use super::driver::control::{self, status};
use super::driver::{Abi, DriverCode, FLAGS, PLACE, PROGRAM_STACK, ProgramDriver, RegisterFile};
use super::garbage::{GARBAGE, Garbage};
use super::memory::{self, ArenaMemory};
use super::{Job, ProgramEngine, Runs};
use crate::arena::{Arena, Region};
use crate::machine::{Machine, Stop};
use crate::native_engine::Capabilities;

/// An engine that runs compiled programs on machine `M` with the driver `D`.
///
/// Map handles and helper functions are [`World`]'s; what a helper function may clobber holds garbage after it, and so do the
/// registers that a program must preserve before it. A program that does not preserve them, or the caller's
/// stack, ends with [`Fault::Frame`].
pub struct NativeProgramEngine<M, D> {
    name: &'static str,
    machine: M,
    capabilities: Capabilities,
    driver: DriverCode,
    /// The codes of the last job, and where they stand.
    placed: Vec<Placed>,
    next_code: u64,
    drivers: PhantomData<D>,
}

struct Placed {
    address: u64,
    bytes: Vec<u8>,
}

/// A call of a helper function.
struct Call {
    id: i32,
    by_register: bool,
    registers: RegisterFile,
}

/// What the native stack is filled with.
const STACK_CANARY: u8 = 0xa5;

/// How much of the caller's stack is looked at.
const CALLERS_BYTES: usize = 512;

/// The id of `bpf_tail_call` (`enum bpf_func_id`).
const TAIL_CALL: i32 = 12;

/// Codes start at multiples of this.
const ALIGNMENT: u64 = 64;

/// After how many bytes of code a machine forgets what it made of them, which takes it some twenty times as much memory.
const REMEMBERED: u64 = 2 << 20;

impl<M: Machine, D: ProgramDriver> NativeProgramEngine<M, D> {
    /// An engine called `name`.
    pub fn new(name: &'static str, mut machine: M, capabilities: Capabilities) -> Self {
        let driver = D::code();
        let arena = machine.arena_mut();
        arena.bytes_mut(Region::NativeStack).fill(STACK_CANARY);
        arena.bytes_mut(Region::Code)[..driver.bytes.len()].copy_from_slice(&driver.bytes);
        debug_assert_eq!(PLACE, Region::Code.address(), "drivers stand at the region's start");
        let next_code = Region::Programs.address();
        Self { name, machine, capabilities, driver, placed: Vec::new(), next_code, drivers: PhantomData }
    }

    /// Puts codes where nothing has run, unless they stand somewhere already.
    fn place(&mut self, codes: &[Code]) {
        let same = |(placed, code): (&Placed, &Code)| placed.bytes == code.bytes;
        if self.placed.len() == codes.len() && self.placed.iter().zip(codes).all(same) {
            return;
        }
        let region = Region::Programs;
        let is_full = self.next_code + room(codes) > region.address() + region.size() as u64;
        if is_full || self.next_code > region.address() + REMEMBERED {
            self.next_code = region.address();
            self.machine.forget_code();
        }
        self.placed.clear();
        for code in codes {
            let address = self.next_code;
            let start = (address - region.address()) as usize;
            let bytes = self.machine.arena_mut().bytes_mut(region);
            bytes[start..start + code.bytes.len()].copy_from_slice(&code.bytes);
            self.next_code = (address + code.bytes.len() as u64).next_multiple_of(ALIGNMENT);
            self.placed.push(Placed { address, bytes: code.bytes.clone() });
        }
    }

    fn entry(&self, codes: &[Code], program: usize) -> u64 {
        self.placed[program].address + codes[program].entry as u64
    }

    /// What code finds: the block, the registers that must be preserved, and where it starts.
    fn prepare(&mut self, job: &Job, garbage: &Garbage) -> RegisterFile {
        let mut block = RuntimeBlock::new();
        block.set_registers(job.run.registers);
        block.set_fuel(job.run.fuel);
        block.set_ranges(&job.run.image.ranges());
        block.set_gate(self.driver.gate);
        for (slot, &address) in self.driver.slots.iter().enumerate() {
            block.set_helper(slot, address);
        }
        let mut before = *garbage.file();
        before[FLAGS] = before[FLAGS] & D::ABI.any_flags | D::ABI.set_flags;
        before[D::ABI.stack_pointer] = PROGRAM_STACK;
        before[D::ABI.arguments[0]] = Region::Runtime.address();
        let entry = self.entry(job.codes, job.run.entry);
        let arena = self.machine.arena_mut();
        block.store(&mut arena.bytes_mut(Region::Runtime)[..SIZE]);
        store_file(arena, control::BEFORE, &before);
        store_word(arena, control::ENTRY, entry);
        before
    }

    /// Runs the program from its start to its end.
    fn execute(&mut self, job: &Job, world: &mut World) -> Result<u64, Trap> {
        let mut garbage = Garbage::new();
        let before = self.prepare(job, &garbage);
        let mut program = job.run.entry;
        let mut from = self.driver.start;
        let mut calls = 0;
        loop {
            store_word(self.machine.arena_mut(), control::STATUS, 0);
            if let Err(stop) = self.machine.run(from, self.driver.exit) {
                return Err(self.trap(job, program, stop));
            }
            let trap = |fault| Trap { fault, program, at: None };
            if self.status() == status::FINISHED {
                return self.finish(&before).map_err(|(fault, at)| Trap { at, ..trap(fault) });
            }
            // A program that a function went on with returns to that function's caller, in another program.
            let back = self.return_address();
            program = back.and_then(|back| self.program_at(back - 1)).ok_or_else(|| trap(ESCAPE))?;
            let trap = |fault| Trap { fault, program, at: None };
            let call = self.call(&job.codes[program]).map_err(trap)?;
            let at = back.and_then(|back| self.insn_at(job, program, back - 1));
            let trap = |fault| Trap { fault, program, at };
            calls += 1;
            if calls > job.run.fuel {
                return Err(trap(Fault::RunAway));
            }
            let memory = &mut ArenaMemory::new(self.machine.arena_mut(), job.run.image);
            let reply = world.call(memory, call.id, D::ABI.arguments.map(|word| call.registers[word]));
            let result = match reply.map_err(trap)? {
                // Code takes anything else for the address to go on at.
                Reply::Return(_) if call.id == TAIL_CALL => 0,
                Reply::Return(value) => value,
                // Code goes on at the address only where it knows that the call is a tail call.
                Reply::TailCall(next) if next >= job.codes.len() || call.by_register => {
                    return Err(trap(Fault::Helper { id: call.id }));
                }
                Reply::TailCall(next) => {
                    program = next;
                    self.enter(job, next, &call.registers, &garbage)
                }
            };
            garbage.advance();
            self.resume(&call.registers, result, &garbage);
            from = self.driver.resume;
        }
    }

    fn status(&self) -> i32 {
        load_word(self.machine.arena(), control::STATUS) as i32
    }

    /// The call of a helper function that the program's code was left for.
    fn call(&self, code: &Code) -> Result<Call, Fault> {
        let arena = self.machine.arena();
        let callee = load_word(arena, control::CALLEE) as i32;
        let id = match self.status() {
            status::SLOT => code.helpers.get(callee as usize).copied(),
            status::GATE => Some(callee),
            // It came back without passing an end of the driver.
            _ => None,
        };
        let registers = load_file(arena, control::CALL);
        if !registers[D::ABI.stack_pointer].wrapping_add(D::ABI.return_bytes).is_multiple_of(16) {
            return Err(Fault::Frame { what: "the stack is not aligned at a call" });
        }
        if registers[FLAGS] & D::ABI.direction_flag != 0 {
            return Err(Fault::Frame { what: "the direction flag is set at a call" });
        }
        let id = id.ok_or(ESCAPE)?;
        Ok(Call { id, by_register: self.status() == status::GATE, registers })
    }

    /// Sets the registers that the target of a tail call starts with; returns its entry.
    fn enter(&mut self, job: &Job, program: usize, call: &RegisterFile, garbage: &Garbage) -> u64 {
        let entry = self.entry(job.codes, program);
        let bytes = &mut self.machine.arena_mut().bytes_mut(Region::Runtime)[..SIZE];
        let mut block = RuntimeBlock::load(bytes);
        let mut registers = std::array::from_fn(|i| garbage.file()[i]);
        registers[Reg::R1.index()] = job.run.registers[Reg::R1.index()];
        registers[Reg::R10.index()] = call[D::ABI.frame_pointer];
        block.set_registers(&registers);
        block.store(bytes);
        entry
    }

    /// Sets the registers after a call.
    fn resume(&mut self, call: &RegisterFile, result: u64, garbage: &Garbage) {
        let abi = D::ABI;
        let mut file = *garbage.file();
        file[FLAGS] = file[FLAGS] & abi.any_flags | abi.set_flags;
        for &(word, _) in abi.preserved {
            file[word] = call[word];
        }
        file[abi.stack_pointer] = call[abi.stack_pointer];
        if let Some(link) = abi.link {
            file[link] = call[link];
        }
        file[abi.result] = result;
        store_file(self.machine.arena_mut(), control::RESUME, &file);
    }

    /// The result of a program that returned.
    fn finish(&mut self, before: &RegisterFile) -> Result<u64, (Fault, Option<usize>)> {
        let after = load_file(self.machine.arena(), control::AFTER);
        if let Some(what) = breach(D::ABI, before, &after) {
            return Err((Fault::Frame { what }, None));
        }
        if !self.stack_is_intact() {
            return Err((Fault::Frame { what: "the caller's stack changed" }, None));
        }
        match RuntimeBlock::load(&self.machine.arena().bytes(Region::Runtime)[..SIZE]).fault() {
            Some(fault) => Err(fault),
            None => Ok(after[D::ABI.result]),
        }
    }

    /// Whether the caller's part of the native stack is as it was; mends it if not.
    fn stack_is_intact(&mut self) -> bool {
        let from = (PROGRAM_STACK - Region::NativeStack.address()) as usize;
        let callers =
            &mut self.machine.arena_mut().bytes_mut(Region::NativeStack)[from..from + CALLERS_BYTES];
        let intact = callers == [STACK_CANARY; CALLERS_BYTES];
        if !intact {
            callers.fill(STACK_CANARY);
        }
        intact
    }

    fn trap(&mut self, job: &Job, program: usize, stop: Stop) -> Trap {
        self.stack_is_intact();
        let program = stop.at.and_then(|at| self.program_at(at)).unwrap_or(program);
        let at = stop.at.and_then(|at| self.insn_at(job, program, at));
        Trap { fault: stop.fault, program, at }
    }

    /// Where the helper function that was called last returns to; never 0.
    fn return_address(&self) -> Option<u64> {
        let call = load_file(self.machine.arena(), control::CALL);
        let address = match D::ABI.link {
            Some(link) => call[link],
            None => {
                let stack = Region::NativeStack;
                let offset =
                    usize::try_from(call[D::ABI.stack_pointer].checked_sub(stack.address())?).ok()?;
                let word = self.machine.arena().bytes(stack).get(offset..)?.first_chunk()?;
                u64::from_le_bytes(*word)
            }
        };
        (address != 0).then_some(address)
    }

    /// The program whose code holds the byte at `address`.
    fn program_at(&self, address: u64) -> Option<usize> {
        self.placed.iter().position(|placed| {
            address.checked_sub(placed.address).is_some_and(|offset| offset < placed.bytes.len() as u64)
        })
    }

    fn insn_at(&self, job: &Job, program: usize, address: u64) -> Option<usize> {
        let offset = address.checked_sub(self.placed[program].address)?;
        job.codes[program].insn_at(usize::try_from(offset).ok()?)
    }
}

/// Control is where no code of a program can have left it.
const ESCAPE: Fault = Fault::Escape { address: None };

/// The first rule of the ABI that the change from `before` to `after` breaks.
fn breach(abi: &Abi, before: &RegisterFile, after: &RegisterFile) -> Option<&'static str> {
    if before[abi.stack_pointer] != after[abi.stack_pointer] {
        return Some("the stack pointer is not what it was");
    }
    if after[FLAGS] & abi.direction_flag != 0 {
        return Some("the direction flag is set");
    }
    abi.preserved.iter().find(|(word, _)| before[*word] != after[*word]).map(|(_, what)| *what)
}

fn room(codes: &[Code]) -> u64 {
    codes.iter().map(|code| (code.bytes.len() as u64).next_multiple_of(ALIGNMENT)).sum()
}

fn control_offset(address: u64) -> usize {
    (address - Region::Control.address()) as usize
}

fn store_word(arena: &mut Arena, address: u64, value: u64) {
    arena.bytes_mut(Region::Control)[control_offset(address)..][..8].copy_from_slice(&value.to_le_bytes());
}

fn load_word(arena: &Arena, address: u64) -> u64 {
    let word = &arena.bytes(Region::Control)[control_offset(address)..][..8];
    u64::from_le_bytes(word.try_into().expect("eight bytes"))
}

fn store_file(arena: &mut Arena, address: u64, file: &RegisterFile) {
    let bytes = &mut arena.bytes_mut(Region::Control)[control_offset(address)..];
    for (to, word) in bytes.chunks_exact_mut(8).zip(file) {
        to.copy_from_slice(&word.to_le_bytes());
    }
}

fn load_file(arena: &Arena, address: u64) -> RegisterFile {
    let bytes = &arena.bytes(Region::Control)[control_offset(address)..];
    let mut file = GARBAGE;
    for (word, from) in file.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(from.try_into().expect("eight bytes"));
    }
    file
}

impl<M: Machine, D: ProgramDriver> ProgramEngine for NativeProgramEngine<M, D> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn runs(&self) -> Runs {
        Runs::Code(D::ARCH)
    }

    fn admits(&self, job: &Job) -> Result<(), String> {
        if job.codes.len() != job.run.object.programs.len() || job.run.entry >= job.codes.len() {
            return Err("it runs compiled code, one for each program of the object".to_owned());
        }
        if room(job.codes) > Region::Programs.size() as u64 {
            return Err(format!("the code does not fit in {} MiB", Region::Programs.size() >> 20));
        }
        let ranges = job.run.image.ranges().len();
        if ranges > MAX_RANGES {
            return Err(format!("the memory has {ranges} ranges, and code knows at most {MAX_RANGES}"));
        }
        job.codes.iter().try_for_each(|code| admits_code(code, D::ARCH, &self.capabilities))
    }

    fn run(&mut self, job: &Job) -> Outcome {
        let mut world = job.run.world.clone();
        memory::load(self.machine.arena_mut(), job.run.image);
        self.place(job.codes);
        let end = self.execute(job, &mut world);
        let arena = self.machine.arena();
        let observed = end.is_ok() && job.codes.iter().all(|code| code.observing);
        let registers =
            observed.then(|| RuntimeBlock::load(&arena.bytes(Region::Runtime)[..SIZE]).registers());
        // An engine for code cannot tell what is defined but for r0.
        let defined = if observed { RegSet::ALL } else { RegSet::of(&[Reg::R0]) };
        Outcome { end, registers, defined, world, image: memory::read(arena, job.run.image) }
    }
}

fn admits_code(code: &Code, arch: kop_ops::Arch, capabilities: &Capabilities) -> Result<(), String> {
    if code.arch != arch {
        return Err(format!("it runs {arch} code only"));
    }
    if code.entry >= code.bytes.len() {
        return Err("the code's entry lies behind its end".to_owned());
    }
    if code.helpers.len() > MAX_HELPERS {
        return Err(format!(
            "the code calls {} helper functions, more than {MAX_HELPERS}",
            code.helpers.len()
        ));
    }
    let missing = code.features.minus(capabilities.features);
    if !missing.is_empty() {
        return Err(format!("it lacks {missing}"));
    }
    match emits(code).find_map(capabilities.mistake) {
        Some(what) => Err(format!("it does not execute an emit in the code rightly: {what}")),
        None => Ok(()),
    }
}

/// The emits among the code of a program; what the compiler writes by itself has none of the instructions that emulators get
/// wrong, or checks before it what they do not.
fn emits(code: &Code) -> impl Iterator<Item = &[u8]> {
    let emitted = code.sites.iter().filter(|site| site.fallback.is_none());
    emitted.filter_map(|site| {
        let at = code.marks.iter().position(|mark| mark.index as usize == site.index)?;
        let end = code.marks.get(at + 1).map_or(code.bytes.len(), |mark| mark.offset as usize);
        code.bytes.get(code.marks[at].offset as usize..end)
    })
}
