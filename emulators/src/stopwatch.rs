// SPDX-License-Identifier: GPL-2.0-or-later
//! Times native code in the child process of the host engine: functions are placed once and called many times in a loop of
//! a few instructions, which reads the time stamp counter before the first call and behind the last. What it takes to wake the child is
//! not in that: on an idle virtual machine it was an eighth of a sample of 700 microseconds on average, and another time each time.
//!
//! It is for benchmarks: nothing is checked after a run but what it returns.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kop_ops::x86_64::{Assembler, Cond, Gpr, Mem, Size};

use crate::arena::{Arena, Region};
use crate::host::HostMachine;
use crate::machine::{Machine, Stop};
use crate::native::STACK_POINTER;

/// A process to call functions in.
pub struct Stopwatch {
    machine: HostMachine,
    exit: u64,
    free: u64,
    /// Where code stands.
    places: HashMap<Vec<u8>, u64>,
    /// Nanoseconds for each tick of the time stamp counter.
    tick: f64,
}

/// Calls that were timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timed {
    /// The time of all calls.
    pub time: Duration,
    /// What the last call returned.
    pub result: u64,
}

/// Where the loop finds what it calls, and leaves what that returned: the last words of the rows, which are else unused.
mod control {
    use crate::arena::Region;

    const END: u64 = Region::Rows.address() + Region::Rows.size() as u64;
    pub const SAVED: u64 = END - 8;
    pub const FUNCTION: u64 = END - 16;
    pub const ARGUMENT: u64 = END - 24;
    pub const CALLS: u64 = END - 32;
    pub const RESULT: u64 = END - 40;
    pub const FIRST: u64 = END - 48;
    pub const STRIDE: u64 = END - 56;
    pub const BEHIND: u64 = END - 64;
    pub const STARTED: u64 = END - 72;
    pub const ENDED: u64 = END - 80;
}

/// What calls get as their argument, one after the other, and then from the first again: `count` (at least one) numbers that are
/// `stride` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The first.
    pub first: u64,
    /// From one to the next.
    pub stride: u64,
    /// How many.
    pub count: u64,
}

impl Arguments {
    /// The same for every call.
    pub const fn same(argument: u64) -> Self {
        Self { first: argument, stride: 1, count: 1 }
    }
}

/// How long the time stamp counter is held against the clock.
const CALIBRATION: Duration = Duration::from_millis(10);

/// Functions start at multiples of this, the size of a cache line.
const ALIGNMENT: u64 = 64;

impl Stopwatch {
    /// A stopwatch with a child of its own.
    ///
    /// # Errors
    /// Why code cannot run on this CPU, in one line.
    pub fn new() -> Result<Self, String> {
        let tick = tick()?;
        let machine = HostMachine::new().map_err(|error| error.to_string())?;
        let mut stopwatch =
            Self { machine, exit: 0, free: Region::Code.address(), places: HashMap::new(), tick };
        let (bytes, exit) = driver();
        let place = stopwatch.place(&bytes).expect("the region is empty");
        stopwatch.exit = place + exit as u64;
        Ok(stopwatch)
    }

    /// The memory that functions find at the addresses of its regions. Bytes from the start of [`Region::Rows`] on are free
    /// for arguments, up to its last page.
    pub fn arena_mut(&mut self) -> &mut Arena {
        self.machine.arena_mut()
    }

    /// Puts code where nothing has run and returns its address; `None` when there is no room left. The same bytes have one place, since how
    /// fast they are may depend on it.
    pub fn place(&mut self, code: &[u8]) -> Option<u64> {
        if let Some(&place) = self.places.get(code) {
            return Some(place);
        }
        let region = Region::Code;
        let at = (self.free - region.address()) as usize;
        self.machine.arena_mut().bytes_mut(region).get_mut(at..at + code.len())?.copy_from_slice(code);
        let place = self.free;
        self.free = (place + code.len() as u64).next_multiple_of(ALIGNMENT);
        self.places.insert(code.to_vec(), place);
        Some(place)
    }

    /// Calls the function at `address` `calls` times, at least once, with one of `arguments` as its first argument (rdi) and its third
    /// (rdx). The function keeps what the System V ABI says.
    ///
    /// # Errors
    /// The [`Stop`] that ended the loop early; calls may take about a second together.
    pub fn run(&mut self, address: u64, arguments: Arguments, calls: u32) -> Result<Timed, Stop> {
        let calls = u64::from(calls.max(1));
        let Arguments { first, stride, count } = arguments;
        let words = [
            (control::FUNCTION, address),
            (control::ARGUMENT, first),
            (control::FIRST, first),
            (control::STRIDE, stride),
            (control::BEHIND, first + stride * count),
            (control::CALLS, calls),
        ];
        for (word, value) in words {
            self.word(word).copy_from_slice(&value.to_le_bytes());
        }
        self.machine.run(Region::Code.address(), self.exit)?;
        let [started, ended, result] =
            [control::STARTED, control::ENDED, control::RESULT].map(|word| self.number(word));
        let time = Duration::from_secs_f64(ended.saturating_sub(started) as f64 * self.tick * 1e-9);
        Ok(Timed { time, result })
    }

    fn number(&mut self, address: u64) -> u64 {
        u64::from_le_bytes(self.word(address).try_into().expect("a word is eight bytes"))
    }

    fn word(&mut self, address: u64) -> &mut [u8] {
        let offset = (address - Region::Rows.address()) as usize;
        &mut self.machine.arena_mut().bytes_mut(Region::Rows)[offset..offset + 8]
    }
}

/// `lfence; rdtsc; lfence`, so that what is timed neither starts before nor ends behind (Intel SDM, volume 2, RDTSC): to edx and eax.
const READ_COUNTER: [u8; 8] = [0x0f, 0xae, 0xe8, 0x0f, 0x31, 0x0f, 0xae, 0xe8];

/// Nanoseconds for each tick of the time stamp counter.
fn tick() -> Result<f64, String> {
    let [one, other] = [measured_tick(), measured_tick()];
    let steady = one.is_finite() && other.is_finite() && (one / other - 1.0).abs() < 0.01;
    if steady { Ok(other) } else { Err("the time stamp counter of this CPU is not steady".to_owned()) }
}

fn measured_tick() -> f64 {
    let (start, from) = (Instant::now(), counter());
    while start.elapsed() < CALIBRATION {
        std::hint::spin_loop();
    }
    start.elapsed().as_nanos() as f64 / counter().wrapping_sub(from) as f64
}

/// The time stamp counter.
#[cfg(target_arch = "x86_64")]
fn counter() -> u64 {
    // SAFETY: every CPU of this architecture has the instruction, and Linux lets programs use it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// There is none.
#[cfg(not(target_arch = "x86_64"))]
fn counter() -> u64 {
    0
}

/// The loop, and the offset of its end.
fn driver() -> (Vec<u8>, usize) {
    let word = |address: u64| Mem::absolute(i32::try_from(address).expect("regions lie in the lowest 2 GiB"));
    let part = |write: &dyn Fn(&mut Assembler)| {
        let mut a = Assembler::new();
        write(&mut a);
        a.finish().expect("every operand is a constant that fits").bytes
    };
    let store_counter = |a: &mut Assembler, to: u64| {
        a.shl(Size::B8, Gpr::Rdx, 32);
        a.or(Size::B8, Gpr::Rax, Gpr::Rdx);
        a.mov(Size::B8, word(to), Gpr::Rax);
    };
    let before = part(&|a| {
        a.mov(Size::B8, word(control::SAVED), Gpr::Rsp);
        a.mov(Size::B8, Gpr::Rsp, STACK_POINTER as i32);
        a.cld();
        a.mov(Size::B8, Gpr::Rbx, word(control::CALLS));
    });
    let calls = part(&|a| {
        store_counter(a, control::STARTED);
        let again = a.label();
        a.bind(again);
        a.mov(Size::B8, Gpr::Rdi, word(control::ARGUMENT));
        a.mov(Size::B8, Gpr::Rdx, Gpr::Rdi);
        a.call_rm(word(control::FUNCTION));
        a.mov(Size::B8, Gpr::Rcx, word(control::ARGUMENT));
        a.add(Size::B8, Gpr::Rcx, word(control::STRIDE));
        a.cmp(Size::B8, Gpr::Rcx, word(control::BEHIND));
        a.cmov(Cond::Ae, Size::B8, Gpr::Rcx, word(control::FIRST));
        a.mov(Size::B8, word(control::ARGUMENT), Gpr::Rcx);
        a.dec(Size::B8, Gpr::Rbx);
        a.jcc(Cond::Ne, again);
        a.mov(Size::B8, word(control::RESULT), Gpr::Rax);
    });
    let after = part(&|a| {
        store_counter(a, control::ENDED);
        a.mov(Size::B8, Gpr::Rsp, word(control::SAVED));
        a.ret();
    });
    let bytes = [&before[..], &READ_COUNTER, &calls, &READ_COUNTER, &after].concat();
    let exit = bytes.len() - 1;
    (bytes, exit)
}

#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// A function that adds 1 to the word that its argument points to and returns it.
    fn counter() -> Vec<u8> {
        let mut a = Assembler::new();
        let counter = Mem::at(Gpr::Rdi, 0);
        a.inc(Size::B8, counter);
        a.mov(Size::B8, Gpr::Rax, counter);
        a.ret();
        a.finish().expect("operands that fit").bytes
    }

    #[test]
    fn functions_are_called_as_often_as_asked() {
        let mut stopwatch = Stopwatch::new().expect("children run here");
        let function = stopwatch.place(&counter()).expect("there is room");
        assert_eq!(stopwatch.place(&counter()), Some(function), "the same bytes");
        let other = [counter(), vec![0xcc]].concat();
        let again = stopwatch.place(&other).expect("there is room");
        assert_ne!(function, again);
        let argument = Region::Rows.address() + 64;
        let same = Arguments::same(argument);
        assert_eq!(stopwatch.run(function, same, 1).map(|timed| timed.result), Ok(1));
        assert_eq!(stopwatch.run(again, same, 1000).map(|timed| timed.result), Ok(1001));
    }

    #[test]
    fn arguments_take_turns() {
        let mut stopwatch = Stopwatch::new().expect("children run here");
        let function = stopwatch.place(&counter()).expect("there is room");
        let first = Region::Rows.address() + 64;
        let three = Arguments { first, stride: 64, count: 3 };
        stopwatch.run(function, three, 8).expect("it returns");
        let counted = |stopwatch: &mut Stopwatch, at: u64| {
            stopwatch.run(function, Arguments::same(first + 64 * at), 1).map(|timed| timed.result - 1)
        };
        assert_eq!([0, 1, 2, 3].map(|at| counted(&mut stopwatch, at)), [Ok(3), Ok(3), Ok(2), Ok(0)]);
    }

    #[test]
    fn a_function_that_faults_is_told_of() {
        let mut stopwatch = Stopwatch::new().expect("children run here");
        let function = stopwatch.place(&counter()).expect("there is room");
        let stop = stopwatch.run(function, Arguments::same(0), 1).expect_err("nothing is mapped there");
        assert_eq!(stop.at, Some(function));
        assert!(stopwatch.place(&[0; Region::Code.size()]).is_none());
    }
}
