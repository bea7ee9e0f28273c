// SPDX-License-Identifier: GPL-2.0-or-later
//! What is said and done when a callback in this process crashes or hangs, before whoever handled the signal until now
//! (libFuzzer, AddressSanitizer) reports it.

use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use kop_ops::Callback;

use crate::callbacks::Descriptor;
use crate::contained::CALLBACKS;

/// A call that did not come back.
#[derive(Clone, Copy, Debug)]
pub struct Crash<'a> {
    /// The operation.
    pub descriptor: &'a Descriptor,
    /// The callback.
    pub callback: Callback,
    /// The payload.
    pub payload: u64,
    /// What happened: `signal 11 (SIGSEGV)`, or that it does not end.
    pub what: &'a str,
}

/// What is done with a crash before the process ends. It runs in a signal handler, on the thread that crashed.
pub type Hook = fn(&Crash);

/// The signals of crashes, with their names.
const SIGNALS: [(c_int, &str); 6] = [
    (libc::SIGSEGV, "signal 11 (SIGSEGV)"),
    (libc::SIGBUS, "signal 7 (SIGBUS)"),
    (libc::SIGILL, "signal 4 (SIGILL)"),
    (libc::SIGFPE, "signal 8 (SIGFPE)"),
    (libc::SIGTRAP, "signal 5 (SIGTRAP)"),
    (libc::SIGABRT, "signal 6 (SIGABRT)"),
];

/// How often a running call is looked at, in microseconds of CPU time.
const TICK: i64 = 250_000;

/// For how many ticks a call may run.
const TICKS: u64 = 8;

/// The stack of handlers, in bytes: a callback may crash because it has used up the stack, and AddressSanitizer's report
/// needs a large one.
const STACK: usize = 1 << 18;

/// The payload that is being answered, if one is: its operation, the payload, and where the number of the callback is that
/// is being called, one more than in [`CALLBACKS`].
static RUNNING: AtomicPtr<Descriptor> = AtomicPtr::new(ptr::null_mut());
static PAYLOAD: AtomicU64 = AtomicU64::new(0);
static CALLING: AtomicPtr<u32> = AtomicPtr::new(ptr::null_mut());
/// The number of payloads so far, the one that was seen at the last tick, and for how many ticks it has been.
static ANSWERS: AtomicU64 = AtomicU64::new(0);
static SEEN: AtomicU64 = AtomicU64::new(0);
static SEEN_TICKS: AtomicU64 = AtomicU64::new(0);

static WATCH: OnceLock<Watch> = OnceLock::new();

/// The hook and who handled the signals before, in the order of [`SIGNALS`].
struct Watch {
    hook: Hook,
    before: [libc::sigaction; SIGNALS.len()],
}

/// Marks a payload as being answered until it is dropped. Those of one process take turns.
pub(super) struct Running {
    _turn: MutexGuard<'static, ()>,
}

impl Running {
    /// `calling` points to what says which callback is being called, for as long as the process lives.
    pub(super) fn new(descriptor: &'static Descriptor, payload: u64, calling: *const u32) -> Self {
        static TURNS: Mutex<()> = Mutex::new(());
        let turn = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        PAYLOAD.store(payload, Ordering::Relaxed);
        CALLING.store(calling.cast_mut(), Ordering::Relaxed);
        ANSWERS.fetch_add(1, Ordering::Relaxed);
        RUNNING.store(ptr::from_ref(descriptor).cast_mut(), Ordering::Release);
        Self { _turn: turn }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.store(ptr::null_mut(), Ordering::Release);
    }
}

/// From here on `hook` hears of calls that crash, and of calls that take more than two seconds of CPU time, after which the
/// process is aborted. Handlers that are there already are called afterwards, so they have to be installed before.
///
/// Only the first call has an effect, and only the thread that makes it gets a stack for its handlers.
pub fn watch(hook: Hook) {
    let mut first = false;
    WATCH.get_or_init(|| {
        first = true;
        Watch { hook, before: SIGNALS.map(|(signal, _)| current(signal)) }
    });
    if !first {
        return;
    }
    give_stack();
    for (signal, _) in SIGNALS {
        handle(signal, on_crash);
    }
    handle(libc::SIGVTALRM, on_tick);
    let tick = libc::timeval { tv_sec: 0, tv_usec: TICK };
    let timer = libc::itimerval { it_interval: tick, it_value: tick };
    // SAFETY: the value is a whole `itimerval`, and nobody asks for the old one.
    unsafe { libc::setitimer(libc::ITIMER_VIRTUAL, &raw const timer, ptr::null_mut()) };
}

type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void);

fn current(signal: c_int) -> libc::sigaction {
    // SAFETY: all zero is a `sigaction`, and the call fills it in.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, ptr::null(), &raw mut action);
        action
    }
}

fn handle(signal: c_int, handler: Handler) {
    // SAFETY: the handler has the signature that SA_SIGINFO asks for, and lives as long as the process.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        libc::sigaction(signal, &raw const action, ptr::null_mut());
    }
}

/// Gives the thread a stack for handlers, unless it has a large one.
fn give_stack() {
    // SAFETY: the mapping is never taken away, so that it is there as long as the thread. It is none of the heap's: only the kernel knows
    // where it is, and a leak checker would take it for lost.
    unsafe {
        let mut old: libc::stack_t = std::mem::zeroed();
        libc::sigaltstack(ptr::null(), &raw mut old);
        if old.ss_flags & libc::SS_DISABLE == 0 && old.ss_size >= STACK {
            return;
        }
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let memory = libc::mmap(ptr::null_mut(), STACK, access, kind, -1, 0);
        if memory == libc::MAP_FAILED {
            return;
        }
        let stack = libc::stack_t { ss_sp: memory, ss_flags: 0, ss_size: STACK };
        libc::sigaltstack(&raw const stack, ptr::null_mut());
    }
}

extern "C" fn on_crash(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(watch) = WATCH.get() else { return };
    let Some(index) = SIGNALS.iter().position(|(number, _)| *number == signal) else { return };
    let before = watch.before[index];
    // SAFETY: this was the action for the signal. From here on it is again, so that a crash in the hook ends the process.
    unsafe { libc::sigaction(signal, &raw const before, ptr::null_mut()) };
    tell(watch, SIGNALS[index].1);
    if before.sa_flags & libc::SA_SIGINFO != 0 && before.sa_sigaction != 0 {
        // SAFETY: with SA_SIGINFO the action is a function of these arguments, which are those that the kernel gave.
        let handler = unsafe { std::mem::transmute::<usize, Handler>(before.sa_sigaction) };
        handler(signal, info, context);
    }
    // Otherwise the instruction, or `abort`, raises the signal once more for the action that is installed now.
}

extern "C" fn on_tick(_: c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let answers = ANSWERS.load(Ordering::Relaxed);
    if RUNNING.load(Ordering::Acquire).is_null() || SEEN.swap(answers, Ordering::Relaxed) != answers {
        SEEN_TICKS.store(0, Ordering::Relaxed);
    } else if SEEN_TICKS.fetch_add(1, Ordering::Relaxed) + 1 == TICKS {
        if let Some(watch) = WATCH.get() {
            tell(watch, "no end after two seconds of CPU time");
        }
        std::process::abort();
    }
}

/// Tells the hook of the running call, once.
fn tell(watch: &Watch, what: &str) {
    let running = RUNNING.swap(ptr::null_mut(), Ordering::AcqRel);
    // SAFETY: it is null or comes from a `&'static Descriptor`.
    let Some(descriptor) = (unsafe { running.as_ref() }) else { return };
    // SAFETY: it was given for as long as the process lives; the C code writes it by plain stores, on this thread.
    let calling = unsafe { CALLING.load(Ordering::Relaxed).read_volatile() };
    let Some(&callback) = CALLBACKS.get((calling as usize).wrapping_sub(1)) else { return };
    (watch.hook)(&Crash { descriptor, callback, payload: PAYLOAD.load(Ordering::Relaxed), what });
}
