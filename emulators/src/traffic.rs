// SPDX-License-Identifier: GPL-2.0-or-later
//! Times compiled programs with maps over traffic, in a child process in which their memory stands at its fixed addresses and helper
//! functions are called as functions, so that they cost what a function costs. Helper functions and maps are [`World`]'s, which are not
//! the kernel's: times compare one compiler's code with another's over the same traffic. Codes that are compared take [`Turns`] in one
//! child, in the pages of the others: the same code in children of its own differed by up to 6 %. What it does to memory that is not the
//! programs', another's run may suffer from.
//!
//! It is for benchmarks, and for programs that a guarded engine has run before: unguarded code is not kept from anything here but
//! from this process.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, PoisonError};
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

/// What programs find, and the packets that they get.
#[derive(Clone, Copy, Debug)]
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

/// The programs of an object compiled for this CPU.
#[derive(Clone, Copy, Debug)]
pub struct Programs<'a> {
    /// Their codes.
    pub codes: &'a [Code],
    /// The index of the one that gets the packets.
    pub entry: usize,
}

/// Children are made one after the other: none has a copy of another's end of its stream, which would keep that from ending with it.
static STARTING: Mutex<()> = Mutex::new(());

/// How many seconds a run may take.
const SECONDS: u32 = 30;

/// Programs start at multiples of this.
const ALIGNMENT: usize = 64;

/// The bytes of a helper function's entry.
const THUNK: usize = 32;

/// The id of `bpf_tail_call` (`enum bpf_func_id`).
const TAIL_CALL: i32 = 12;

impl Programs<'_> {
    /// Whether they can be run here.
    fn check(&self) -> Result<(), String> {
        if !cfg!(target_arch = "x86_64") || self.codes.iter().any(|code| code.arch != Arch::X86_64) {
            return Err("traffic is timed on x86-64 alone".to_owned());
        }
        if self.codes.iter().any(|code| code.helpers.len() > runtime::MAX_HELPERS) {
            return Err("it calls more helper functions than there is room for".to_owned());
        }
        Ok(())
    }
}

/// Programs of several compilers that take turns over the same traffic, in one child process.
pub struct Turns<'a> {
    traffic: Traffic<'a>,
    programs: Vec<Programs<'a>>,
    child: Option<Child>,
    /// The kernel ends a child when the thread ends that made it.
    of_this_thread: PhantomData<*const ()>,
}

/// A process that waits for requests, and the stream that they go through.
struct Child {
    pid: libc::pid_t,
    stream: UnixStream,
}

impl<'a> Turns<'a> {
    /// Nobody's turn yet.
    pub fn new(traffic: Traffic<'a>, programs: Vec<Programs<'a>>) -> Self {
        Self { traffic, programs, child: None, of_this_thread: PhantomData }
    }

    /// Runs all packets `passes` times, at least once, through the programs of this index; maps, memory and helper functions are as
    /// they are when a run starts.
    ///
    /// # Errors
    /// Why it cannot be run here, or how it ended, in one line.
    pub fn run(&mut self, index: usize, passes: u32) -> Result<Passed, String> {
        self.programs[index].check()?;
        let failed = |error: io::Error| format!("the child that runs the program failed: {error}");
        let mut child = match self.child.take() {
            Some(child) => child,
            None => self.start().map_err(failed)?,
        };
        match child.ask(index, passes.max(1), self.traffic.packets.len()) {
            Ok(passed) => {
                self.child = Some(child);
                Ok(passed)
            }
            Err(error) => Err(match child.wait() {
                status if libc::WIFSIGNALED(status) => {
                    format!("the program ended with signal {}", libc::WTERMSIG(status))
                }
                _ => failed(error),
            }),
        }
    }

    /// The next run is in a new child, whose pages are others.
    pub fn renew(&mut self) {
        if let Some(child) = self.child.take() {
            // SAFETY: the child is ours and has not been waited for.
            unsafe { libc::kill(child.pid, libc::SIGKILL) };
            child.wait();
        }
    }

    fn start(&self) -> io::Result<Child> {
        let _turn = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        let (stream, theirs) = UnixStream::pair()?;
        // SAFETY: the child calls nothing but this module's code, which takes no lock that another thread may hold: the allocator
        // is safe to use after fork(2) in glibc and musl. It ends with _exit(2).
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                drop(stream);
                let served = panic::catch_unwind(AssertUnwindSafe(|| self.serve(theirs)));
                // SAFETY: ends this process, without what `exit` would run of the parent's.
                unsafe { libc::_exit(if matches!(served, Ok(Ok(()))) { 0 } else { 1 }) }
            }
            pid => Ok(Child { pid, stream }),
        }
    }

    /// What the child does: answers requests until the stream ends.
    fn serve(&self, mut stream: UnixStream) -> io::Result<()> {
        // SAFETY: plain system call; if the parent has ended before it, the stream has, too.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        map_memory(self.traffic.image.slot)?;
        close_others(&stream);
        let mut request = [0; 8];
        let mut warm = vec![false; self.programs.len()];
        while stream.read_exact(&mut request).is_ok() {
            let [index, passes] = *request.as_chunks::<4>().0 else { unreachable!("two words") };
            let (index, passes) = (u32::from_le_bytes(index), u32::from_le_bytes(passes));
            let index = index as usize;
            let programs = &self.programs[index];
            // SAFETY: plain system call; the signal's default is to end the process.
            unsafe { libc::alarm(SECONDS) };
            if !warm[index] {
                self.traffic.pass(programs, 1)?;
                warm[index] = true;
            }
            let passed = self.traffic.pass(programs, passes)?;
            // SAFETY: as above.
            unsafe { libc::alarm(0) };
            stream.write_all(&(passed.time.as_nanos() as u64).to_le_bytes())?;
            let results: Vec<u8> = passed.results.into_iter().flat_map(u32::to_le_bytes).collect();
            stream.write_all(&results)?;
        }
        Ok(())
    }
}

impl Drop for Turns<'_> {
    fn drop(&mut self) {
        self.renew();
    }
}

impl Child {
    fn ask(&mut self, index: usize, passes: u32, packets: usize) -> io::Result<Passed> {
        let request = [index as u32, passes].map(u32::to_le_bytes);
        self.stream.write_all(request.as_flattened())?;
        let mut word = [0; 8];
        self.stream.read_exact(&mut word)?;
        let time = Duration::from_nanos(u64::from_le_bytes(word));
        let mut results = vec![0; 4 * packets];
        self.stream.read_exact(&mut results)?;
        let results = results.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
        Ok(Passed { time, results })
    }

    /// Waits for its end and returns its status, as waitpid(2) has it.
    fn wait(self) -> libc::c_int {
        let mut status = 0;
        // SAFETY: the child is ours and has not been waited for.
        unsafe { libc::waitpid(self.pid, &mut status, 0) };
        status
    }
}

impl Traffic<'_> {
    /// Runs all packets through the programs from where a run starts, in this process, which is a child that has its memory mapped.
    fn pass(&self, programs: &Programs, passes: u32) -> io::Result<Passed> {
        let mut state = State::new(self, programs.codes)?;
        let function = state.entries[programs.entry];
        let mut memory = state.memory();
        let block = Region::Runtime.address();
        let mut results = Vec::with_capacity(self.packets.len());
        let arrivals: Vec<Arrival> =
            self.packets.iter().map(|packet| state.world.arrival(self.fields, packet)).collect();
        let start = Instant::now();
        for pass in 0..passes {
            for (packet, arrival) in self.packets.iter().zip(&arrivals) {
                let placed = state.world.arrive(&mut memory, arrival, packet);
                placed.map_err(|fault| io::Error::other(fault.to_string()))?;
                state.enter(programs.entry);
                STATE.store(&mut state, Ordering::Relaxed);
                // SAFETY: the address is that of a compiled program's entry, which takes the runtime block's address and keeps what
                // the System V ABI says; the memory that it may touch is mapped, as a guarded engine has run it before.
                let result = unsafe {
                    let function: extern "C" fn(u64) -> u64 = std::mem::transmute(function as usize);
                    function(block)
                };
                if pass == 0 {
                    results.push(result as u32);
                }
            }
        }
        Ok(Passed { time: start.elapsed(), results })
    }
}

/// What helper functions of the child find.
struct State {
    world: World,
    slot: Slot,
    context: usize,
    maps: usize,
    entries: Vec<u64>,
    /// For each program the addresses of the helper functions that it calls, as the runtime block has them.
    tables: Vec<Vec<u8>>,
    /// The program whose table the block has.
    current: Option<usize>,
    registers: kop_ops::state::Registers,
}

/// The state of the pass that runs, in a child that has one thread.
static STATE: AtomicPtr<State> = AtomicPtr::new(std::ptr::null_mut());

impl State {
    /// Puts down the programs' memory and code, as they are when a run starts.
    fn new(traffic: &Traffic, codes: &[Code]) -> io::Result<Self> {
        let state = Self {
            world: traffic.world.clone(),
            slot: traffic.image.slot,
            context: traffic.image.context.len(),
            maps: traffic.image.maps.len(),
            entries: Vec::new(),
            tables: Vec::new(),
            current: None,
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
        let mut bytes = Vec::new();
        let mut thunks = BTreeMap::new();
        for id in codes.iter().flat_map(|code| &code.helpers) {
            if let Entry::Vacant(new) = thunks.entry(*id) {
                new.insert(region.address() + bytes.len() as u64);
                bytes.extend(thunk(*id)?);
            }
        }
        let table = |code: &Code| code.helpers.iter().flat_map(|id| thunks[id].to_le_bytes()).collect();
        self.tables = codes.iter().map(table).collect();
        for code in codes {
            bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0xcc);
            self.entries.push(region.address() + (bytes.len() + code.entry) as u64);
            bytes.extend_from_slice(&code.bytes);
        }
        if bytes.len() > region.size() {
            return Err(io::Error::other("the code is too long"));
        }
        protect(region, libc::PROT_READ | libc::PROT_WRITE)?;
        write(region.address(), &bytes);
        protect(region, libc::PROT_READ | libc::PROT_EXEC)?;
        let mut stored = vec![0; runtime::SIZE];
        block.store(&mut stored);
        write(Region::Runtime.address(), &stored);
        Ok(self)
    }

    /// The program whose code runs next finds its helper functions.
    fn enter(&mut self, program: usize) {
        if self.current != Some(program) {
            self.current = Some(program);
            write(Region::Runtime.address() + runtime::HELPERS as u64, &self.tables[program]);
        }
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
        // SAFETY: ends this process, which is a child that runs programs; its parent says that it failed.
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
                self.enter(next);
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
    // SAFETY: the address is that of the state of the pass that this program is run by, from the thread that stored it, while nothing
    // else borrows it.
    let state = unsafe { &mut *STATE.load(Ordering::Relaxed) };
    state.call(id as i32, [r1, r2, r3, r4, r5])
}

/// Maps all that programs of this slot can reach, and their code, in the place of what was there: the child needs no arena of the parent's.
fn map_memory(slot: Slot) -> io::Result<()> {
    for (address, size) in [
        (slot.window(), WINDOW_SIZE),
        (slot.stack(), STACK_SIZE),
        (slot.context(), CONTEXT_SIZE),
        (slot.maps(), MAPS_SIZE),
        (Region::Runtime.address(), Region::Runtime.size()),
        (Region::Programs.address(), Region::Programs.size()),
    ] {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: the addresses are those of the arena's regions, where nothing but an arena is mapped, which the child does not use.
        let mapped = unsafe { libc::mmap(address as *mut libc::c_void, size, protection, flags, -1, 0) };
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Closes what a child has of its parent's besides the stream and the standard ones: locks and pipes end with the parent then.
fn close_others(stream: &UnixStream) {
    let own = stream.as_raw_fd() as libc::c_uint;
    for (first, last) in [(3, own.saturating_sub(1)), (own.max(2) + 1, libc::c_uint::MAX)] {
        if first <= last {
            // SAFETY: nothing in the child uses them. Kernels before 5.9 leave them open.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    }
}

/// Changes what a region that [`map_memory`] mapped is for.
fn protect(region: Region, protection: libc::c_int) -> io::Result<()> {
    // SAFETY: the region was mapped by this process for its code, none of which runs.
    match unsafe { libc::mprotect(region.address() as *mut libc::c_void, region.size(), protection) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Writes to memory that [`map_memory`] mapped.
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
