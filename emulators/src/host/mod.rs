// SPDX-License-Identifier: GPL-2.0-or-later
//! The host engine: native code on this CPU, contained in a child process; and the same for AArch64 under QEMU's
//! emulation of a user's process.
//!
//! The child is a static program of a few kilobytes that is assembled here and started from memory. It
//! maps the arena and nothing else, can make no system call but to talk to its parent, and is replaced when
//! it dies or runs away. Under QEMU there is no filter for system calls, as QEMU itself needs them: what
//! runs there has to be decoded before.

mod abi;
pub mod control;
mod elf;
mod platform;
mod process;
mod runner;
mod seccomp;

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use kop_ops::{Arch, Fault, Slot};

use crate::arena::{Arena, Region};
use crate::machine::{Machine, Stop};
pub use platform::Platform;
use process::{Answer, Process};

/// Why there is no host engine here.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The machine is of another kind.
    #[error(
        "the host engine runs code on Linux on x86-64 or AArch64, and this is {} on {}: use the engines of Unicorn",
        std::env::consts::OS,
        std::env::consts::ARCH
    )]
    Unsupported,
    /// The emulator is not installed.
    #[error("there is no qemu-aarch64 in PATH: apt install qemu-user")]
    NoEmulator,
    /// A system call of this process failed.
    #[error("could not {action}: {error}")]
    Os {
        /// What it was to do.
        action: &'static str,
        /// The error.
        error: io::Error,
    },
    /// The child could not be started.
    #[error(
        "could not start the runner from memory (it takes /proc and the sysctl vm.memfd_noexec below 2): {0}"
    )]
    Spawn(io::Error),
    /// The child could not set itself up.
    #[error(
        "the runner could not {step}: {error}; leave the sandbox this is in, or use the engines of Unicorn"
    )]
    Setup {
        /// What it was to do.
        step: String,
        /// The error.
        error: io::Error,
    },
    /// The child ended before it was set up.
    #[error("the runner ended too early ({0}); leave the sandbox this is in, or use the engines of Unicorn")]
    Died(ExitStatus),
}

/// How often to try to start a child before giving up, and how long to wait in between.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(50);

/// A CPU, with a child process to run code in. Creating one takes about a millisecond, a run about six
/// microseconds, one that faults twice that; dropping it ends the child.
///
/// A run stops with these faults:
/// * [`Fault::Memory`] for what the processor reports as a page fault or a general protection fault. The
///   latter tells no address and counts as a read, also where the cause is a jump to a non-canonical address,
///   a privileged instruction or an unaligned SSE operand.
/// * [`Fault::Illegal`], [`Fault::Trap`], [`Fault::Divide`] as one expects.
/// * [`Fault::RunAway`] after about a second of processor time.
/// * [`Fault::Other`] with the number of a signal, SIGSYS for every system call; or, negative, with the
///   `errno` for which no child could be started any more.
/// * [`Fault::Escape`] when the code found a way to end the child.
///
/// [`Stop::at`] is known for all but a code that ran away or ended the child; for a single step trap it is
/// the next instruction.
///
/// Code finds SSE and x87 control registers as earlier code left them. On AArch64 the topmost byte of an address does not
/// count, as for every process of Linux.
pub struct HostMachine {
    platform: Platform,
    arena: Arena,
    process: Option<Process>,
}

impl HostMachine {
    /// Whether code can run on this CPU.
    ///
    /// # Errors
    /// The reason why not, and the way out.
    pub fn available() -> Result<(), String> {
        static AVAILABLE: OnceLock<Result<(), String>> = OnceLock::new();
        AVAILABLE.get_or_init(|| Self::new().map(drop).map_err(|error| error.to_string())).clone()
    }

    /// This CPU with an arena of zeroes.
    ///
    /// # Errors
    /// When this is not Linux on x86-64 or AArch64, or does not let a child run.
    pub fn new() -> Result<Self, HostError> {
        let here = cfg!(target_os = "linux") && cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));
        if here { Self::on(Platform::NATIVE) } else { Err(HostError::Unsupported) }
    }

    /// A machine with an arena of zeroes.
    ///
    /// # Errors
    /// When the platform is not here, or a child may not run.
    pub fn on(platform: Platform) -> Result<Self, HostError> {
        if !cfg!(target_os = "linux") {
            return Err(HostError::Unsupported);
        }
        let arena = Arena::new().map_err(|error| HostError::Os { action: "create the arena", error })?;
        let process = Process::start(platform, arena.file())?;
        Ok(Self { platform, arena, process: Some(process) })
    }

    /// The child, started if there is none.
    fn process(&mut self) -> Result<&mut Process, HostError> {
        let process = match self.process.take() {
            Some(process) => process,
            None => self.restart()?,
        };
        Ok(self.process.insert(process))
    }

    /// A new child; failures that may pass, such as too many processes, are waited out.
    fn restart(&self) -> Result<Process, HostError> {
        for _ in 1..ATTEMPTS {
            if let Ok(process) = Process::start(self.platform, self.arena.file()) {
                return Ok(process);
            }
            thread::sleep(PAUSE);
        }
        Process::start(self.platform, self.arena.file())
    }

    /// Runs from `entry` once; `None` when the child ended before it took the request, so that the code has
    /// not run.
    fn attempt(&mut self, entry: u64) -> Option<Result<(), Stop>> {
        control::ACCEPTED.store(&mut self.arena, 0);
        let answer = match self.process() {
            Ok(process) => process.call(entry),
            Err(error) => return Some(Err(error.stop())),
        };
        match answer {
            Answer::Returned => Some(Ok(())),
            Answer::Faulted => Some(Err(control::stop(self.platform.arch(), &self.arena))),
            Answer::RanAway => {
                self.process = None;
                Some(Err(Stop { fault: Fault::RunAway, at: None }))
            }
            Answer::Vanished => {
                let fault = self.process.take().map_or(NO_CHILD, |mut process| ended(process.end()));
                let accepted = control::ACCEPTED.load(&self.arena) != 0;
                accepted.then_some(Err(Stop { fault, at: None }))
            }
        }
    }
}

/// What a run reports that no child could be had for.
const NO_CHILD: Fault = Fault::Other(-libc::ECHILD);

/// What it means that a child ended while it ran code.
fn ended(status: ExitStatus) -> Fault {
    status.signal().map_or(Fault::Escape { address: None }, Fault::Other)
}

impl Machine for HostMachine {
    fn arena(&self) -> &Arena {
        &self.arena
    }

    fn arena_mut(&mut self) -> &mut Arena {
        &mut self.arena
    }

    fn forget_code(&mut self) {
        // QEMU keeps translations by address and does not see what another process writes; a new one has none.
        if self.platform.is_emulated() {
            self.process = None;
        }
    }

    /// Everything is mapped for all code, and nothing watches it.
    fn hides_fault_at(&self, slot: Slot, address: u64) -> bool {
        // The topmost byte of an address is no part of it on AArch64.
        let seen = match self.platform.arch() {
            Arch::X86_64 => address,
            Arch::Aarch64 => address & (u64::MAX >> 8),
        };
        let holds = |region: Region| region.range().contains(&seen);
        let of_state = [Region::Window(slot), Region::Stack(slot)].into_iter().any(holds);
        if of_state { seen != address } else { Region::all().any(holds) || runner::has_memory_at(seen) }
    }

    /// The runner comes back wherever the code returns to it; the address of the exit is not looked at.
    fn run(&mut self, entry: u64, _exit: u64) -> Result<(), Stop> {
        let outcome = (0..ATTEMPTS).find_map(|_| self.attempt(entry));
        outcome.unwrap_or(Err(Stop { fault: NO_CHILD, at: None }))
    }
}

impl HostError {
    fn stop(&self) -> Stop {
        let errno = match self {
            Self::Os { error, .. } | Self::Spawn(error) | Self::Setup { error, .. } => error.raw_os_error(),
            Self::Unsupported | Self::NoEmulator | Self::Died(_) => None,
        };
        Stop { fault: errno.map_or(NO_CHILD, |errno| Fault::Other(-errno)), at: None }
    }
}

#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod tests {
    use kop_ops::x86_64::Assembler;

    use super::*;

    #[test]
    fn a_child_killed_while_idle_is_replaced_unnoticed() {
        let mut machine = HostMachine::new().expect("children run here");
        let mut a = Assembler::new();
        a.ret();
        let code = a.finish().expect("a return has an encoding").bytes;
        machine.arena_mut().bytes_mut(Region::Code)[..code.len()].copy_from_slice(&code);
        for _ in 0..10 {
            machine.process.as_mut().expect("it was started").end();
            assert_eq!(machine.run(Region::Code.address(), Region::Code.address()), Ok(()));
        }
    }
}
