// SPDX-License-Identifier: GPL-2.0-or-later
//! Times compiled programs with maps over traffic: each run is a child process in which the program's memory stands at its fixed
//! addresses and helper functions are called as functions, so that they cost what a function costs. Helper functions and maps are
//! [`World`]'s, which are not the kernel's: times compare one compiler's code with another's over the same traffic.
//!
//! It is for benchmarks, and for programs that a guarded engine has run before: unguarded code is not kept from anything here but
//! from this process.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::FromRawFd;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::{Duration, Instant};

use kop_ops::code::runtime;
use kop_ops::ebpf::Reg;
use kop_ops::state::{CONTEXT_SIZE, MAPS_SIZE, STACK_SIZE, WINDOW_SIZE};
use kop_ops::x86_64::{Assembler, Gpr, Size};
use kop_ops::{Access, Arch, Code, Fault, Slot};
use kop_semantics::world::{Arrival, Fields};
use kop_semantics::{GuestMemory, Image, Reply, World};

use crate::arena::Region;
use crate::program::RuntimeBlock;

/// Programs, what they find, and the packets that they get.
pub struct Traffic<'a> {
    /// What maps hold and what helper functions draw on when a run starts.
    pub world: &'a World,
    /// The memory when a run starts.
    pub image: &'a Image,
    /// What contexts hold besides the packet.
    pub fields: &'a Fields,
    /// The packets.
    pub packets: &'a [Vec<u8>],
}

/// What a run took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The time of all passes, with what it takes to put packets in place.
    pub time: Duration,
    /// The low half of r0 for each packet of the first pass.
    pub results: Vec<u32>,
}

/// How many seconds a run may take.
const SECONDS: u32 = 30;

/// Programs start at multiples of this.
const ALIGNMENT: usize = 64;

/// The bytes of a helper function's entry.
const THUNK: usize = 32;

/// The id of `bpf_tail_call` (`enum bpf_func_id`).
const TAIL_CALL: i32 = 12;

impl Traffic<'_> {
    /// Runs all packets `passes` times, at least once, through the program `entry` of `codes`, which are the object's programs compiled
    /// for this CPU.
    ///
    /// # Errors
    /// Why it cannot be run here, or how it ended, in one line.
    pub fn run(&self, codes: &[Code], entry: usize, passes: u32) -> Result<Passed, String> {
        if !cfg!(target_arch = "x86_64") || codes.iter().any(|code| code.arch != Arch::X86_64) {
            return Err("traffic is timed on x86-64 alone".to_owned());
        }
        if codes.iter().any(|code| code.helpers != codes[0].helpers) {
            return Err("programs that go on with each other call different helper functions".to_owned());
        }
        let failed = |error: io::Error| error.to_string();
        let (reader, writer) = pipe().map_err(failed)?;
        // SAFETY: the child calls nothing but this module's code, which takes no lock that another thread may hold: the allocator
        // is safe to use after fork(2) in glibc and musl. It ends with _exit(2).
        let child = unsafe { libc::fork() };
        match child {
            -1 => Err(io::Error::last_os_error().to_string()),
            0 => {
                drop(reader);
                let code = match self.child(codes, entry, passes.max(1), writer) {
                    Ok(()) => 0,
                    Err(_) => 1,
                };
                // SAFETY: ends this process, without what `exit` would run of the parent's.
                unsafe { libc::_exit(code) }
            }
            _ => {
                drop(writer);
                let answer = self.answer(reader);
                let mut status = 0;
                // SAFETY: the child is ours and has not been waited for.
                unsafe { libc::waitpid(child, &mut status, 0) };
                if libc::WIFSIGNALED(status) {
                    return Err(format!("the program ended with signal {}", libc::WTERMSIG(status)));
                }
                answer.map_err(|error| format!("the child that runs the program failed: {error}"))
            }
        }
    }

    fn answer(&self, mut reader: File) -> io::Result<Passed> {
        let mut word = [0; 8];
        reader.read_exact(&mut word)?;
        let time = Duration::from_nanos(u64::from_le_bytes(word));
        let mut results = vec![0; 4 * self.packets.len()];
        reader.read_exact(&mut results)?;
        let results = results.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
        Ok(Passed { time, results })
    }

    /// What the child does.
    fn child(&self, codes: &[Code], entry: usize, passes: u32, mut writer: File) -> io::Result<()> {
        // SAFETY: plain system call; the signal's default is to end the process.
        unsafe { libc::alarm(SECONDS) };
        let mut state = State::new(self, codes)?;
        let function = state.entries[entry];
        STATE.store(&mut state, Ordering::Relaxed);
        let mut memory = state.memory();
        let block = Region::Runtime.address();
        let mut results = Vec::with_capacity(4 * self.packets.len());
        let arrivals: Vec<Arrival> =
            self.packets.iter().map(|packet| state.world.arrival(self.fields, packet)).collect();
        let start = Instant::now();
        for pass in 0..passes {
            for (packet, arrival) in self.packets.iter().zip(&arrivals) {
                let placed = state.world.arrive(&mut memory, arrival, packet);
                placed.map_err(|fault| io::Error::other(fault.to_string()))?;
                // SAFETY: the address is that of a compiled program's entry, which takes the runtime block's address and keeps what
                // the System V ABI says; the memory that it may touch is mapped, as a guarded engine has run it before.
                let result = unsafe {
                    let function: extern "C" fn(u64) -> u64 = std::mem::transmute(function as usize);
                    function(block)
                };
                if pass == 0 {
                    results.extend((result as u32).to_le_bytes());
                }
            }
        }
        let time = start.elapsed();
        writer.write_all(&(time.as_nanos() as u64).to_le_bytes())?;
        writer.write_all(&results)
    }
}

fn pipe() -> io::Result<(File, File)> {
    let mut ends = [0; 2];
    // SAFETY: the array has room for both descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both were just opened, and nothing else owns them.
    Ok(unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) })
}

/// What helper functions of the child find.
struct State {
    world: World,
    slot: Slot,
    context: usize,
    maps: usize,
    entries: Vec<u64>,
    registers: kop_ops::state::Registers,
}

/// The state of this process, which is a child that runs one program on one thread.
static STATE: AtomicPtr<State> = AtomicPtr::new(std::ptr::null_mut());

impl State {
    /// Maps the program's memory and code.
    fn new(traffic: &Traffic, codes: &[Code]) -> io::Result<Self> {
        let slot = traffic.image.slot;
        for (address, size) in [
            (slot.window(), WINDOW_SIZE),
            (slot.stack(), STACK_SIZE),
            (slot.context(), CONTEXT_SIZE),
            (slot.maps(), MAPS_SIZE),
            (Region::Runtime.address(), Region::Runtime.size()),
            (Region::Programs.address(), Region::Programs.size()),
        ] {
            map(address, size)?;
        }
        let state = Self {
            world: traffic.world.clone(),
            slot,
            context: traffic.image.context.len(),
            maps: traffic.image.maps.len(),
            entries: Vec::new(),
            registers: traffic.world.registers(),
        };
        for (address, bytes) in traffic.image.regions() {
            write(address, bytes);
        }
        state.with_codes(codes, &traffic.image.ranges())
    }

    /// Puts down the code of programs and of the entries of helper functions, and the runtime block that names these and what guarded
    /// code may access.
    fn with_codes(mut self, codes: &[Code], ranges: &[(u64, u64)]) -> io::Result<Self> {
        let region = Region::Programs;
        let mut block = RuntimeBlock::new();
        block.set_registers(&self.registers);
        block.set_fuel(u64::MAX);
        block.set_ranges(ranges);
        let ids = codes.first().map_or(&[][..], |code| &code.helpers);
        let mut bytes = Vec::new();
        for (slot, id) in ids.iter().enumerate() {
            block.set_helper(slot, region.address() + bytes.len() as u64);
            bytes.extend(thunk(*id)?);
        }
        for code in codes {
            bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0xcc);
            self.entries.push(region.address() + (bytes.len() + code.entry) as u64);
            bytes.extend_from_slice(&code.bytes);
        }
        if bytes.len() > region.size() {
            return Err(io::Error::other("the code is too long"));
        }
        write(region.address(), &bytes);
        let mut stored = vec![0; runtime::SIZE];
        block.store(&mut stored);
        write(Region::Runtime.address(), &stored);
        let protection = libc::PROT_READ | libc::PROT_EXEC;
        // SAFETY: the region was mapped by this process for its code.
        if unsafe { libc::mprotect(region.address() as *mut libc::c_void, region.size(), protection) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(self)
    }

    fn memory(&self) -> OwnMemory {
        let slot = self.slot;
        OwnMemory {
            ranges: [
                (slot.stack(), STACK_SIZE),
                (slot.window(), WINDOW_SIZE),
                (slot.maps(), self.maps),
                (slot.context(), self.context),
            ],
        }
    }

    /// Answers a call; the address to go on at for a tail call that succeeds.
    fn call(&mut self, id: i32, arguments: [u64; 5]) -> u64 {
        let mut memory = self.memory();
        // SAFETY: ends this process, which is a child that runs one program; its parent says that it failed.
        let failed = |_| unsafe { libc::_exit(1) };
        let reply = self.world.call(&mut memory, id, arguments).unwrap_or_else(failed);
        match reply {
            Reply::Return(_) if id == TAIL_CALL => 0,
            Reply::Return(value) => value,
            Reply::TailCall(next) => {
                let mut block = RuntimeBlock::new();
                let mut registers = self.registers;
                registers[Reg::R1.index()] = self.slot.context();
                block.set_registers(&registers);
                let mut stored = vec![0; runtime::SIZE];
                block.store(&mut stored);
                let words = 8 * registers.len();
                write(Region::Runtime.address() + runtime::REGISTERS as u64, &stored[..words]);
                self.entries[next]
            }
        }
    }
}

/// What code calls for a helper function: hands the id over as a sixth argument.
fn thunk(id: i32) -> io::Result<Vec<u8>> {
    let mut a = Assembler::new();
    a.mov(Size::B4, Gpr::R9, id);
    a.movabs(Gpr::Rax, helper as *const () as u64);
    a.jmp_rm(Gpr::Rax);
    let mut bytes = a.finish().map_err(io::Error::other)?.bytes;
    bytes.resize(THUNK, 0xcc);
    Ok(bytes)
}

/// Every helper function. A panic ends the process, as it would leave code that cannot unwind.
extern "C" fn helper(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64, id: u64) -> u64 {
    // SAFETY: the child stored the address of its state, which lives as long as it, and the program calls from the thread that
    // did while nothing else borrows it.
    let state = unsafe { &mut *STATE.load(Ordering::Relaxed) };
    state.call(id as i32, [r1, r2, r3, r4, r5])
}

/// Maps memory at a fixed address of this process, in the place of what was there: the child needs no arena of the parent's.
fn map(address: u64, size: usize) -> io::Result<()> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    // SAFETY: the addresses are those of the arena's regions, where nothing but an arena is mapped, which the child does not use.
    let mapped = unsafe { libc::mmap(address as *mut libc::c_void, size, protection, flags, -1, 0) };
    if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Writes to memory that [`map`] mapped.
fn write(address: u64, bytes: &[u8]) {
    // SAFETY: callers write within what they mapped, and no reference to it exists.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, bytes.len()) };
}

/// The program's memory, which is this process's own.
struct OwnMemory {
    ranges: [(u64, usize); 4],
}

impl OwnMemory {
    fn check(&self, address: u64, size: usize, access: Access) -> Result<(), Fault> {
        let within = |&(base, length): &(u64, usize)| {
            let offset = address.wrapping_sub(base);
            size <= length && offset <= (length - size) as u64
        };
        let refused = Fault::Memory { access, address: Some(address) };
        if self.ranges.iter().any(within) { Ok(()) } else { Err(refused) }
    }
}

impl GuestMemory for OwnMemory {
    fn bytes(&self, address: u64, length: usize) -> Result<&[u8], Fault> {
        self.check(address, length, Access::Read)?;
        // SAFETY: the bytes lie within one range that the child mapped; the program does not run while a helper function does, and
        // what writes to memory borrows this as a whole.
        Ok(unsafe { std::slice::from_raw_parts(address as *const u8, length) })
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.check(address, bytes.len(), Access::Write)?;
        write(address, bytes);
        Ok(())
    }
}
