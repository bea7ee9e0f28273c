// SPDX-License-Identifier: GPL-2.0-or-later
//! The child process from its parent's side: starting it from memory, requests and answers, the watchdog, and
//! its end.

use std::fs::File;
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, Sender, SyncSender};
use std::sync::{LazyLock, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use super::runner::Program;
use super::{HostError, Platform};

/// How often the watchdog looks.
const INTERVAL: Duration = Duration::from_millis(100);
/// Processor time of a run after which it counts as run away, from when the watchdog first looked. It is not
/// the time that passes, because a busy machine may not let the child run.
const PROCESSOR_TIME: Duration = Duration::from_millis(900);
/// Time after which a run is stopped even if it did not get the processor.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time in which a child must be set up.
const SETUP_TIME: Duration = Duration::from_secs(20);

/// A child that is set up and waits for requests. It is killed and reaped when dropped.
pub(super) struct Process {
    child: Child,
    requests: PipeWriter,
    answers: PipeReader,
    /// Never read from: as long as it is open, a request to a child that died raises no SIGPIPE here.
    _requests_end: PipeReader,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The code returned.
    Returned,
    /// A signal stopped it, and the control page tells the details.
    Faulted,
    /// It took too long; the child has to go.
    RanAway,
    /// The child has ended.
    Vanished,
}

impl Process {
    /// Starts a child that runs code of `platform` in the memory file `arena`.
    pub(super) fn start(platform: Platform, arena: BorrowedFd<'_>) -> Result<Self, HostError> {
        let os = |action| move |error| HostError::Os { action, error };
        let runner = Runner::get(platform)?;
        let (requests_end, requests) = io::pipe().map_err(os("create a pipe"))?;
        let (answers, answers_end) = io::pipe().map_err(os("create a pipe"))?;
        let mut command = platform.command(runner.file.as_raw_fd())?;
        command
            .env_clear()
            .process_group(0) // a terminal's signals are for the parent alone
            .stdin(requests_end.try_clone().map_err(os("duplicate a descriptor"))?)
            .stdout(answers_end)
            .stderr(arena.try_clone_to_owned().map_err(os("duplicate a descriptor"))?);
        let child = spawn(command)?;
        let mut process = Self { child, requests, answers, _requests_end: requests_end };
        process.check_setup(&runner.steps)?;
        Ok(process)
    }

    /// Waits for the first answer.
    fn check_setup(&mut self, steps: &[String]) -> Result<(), HostError> {
        let start = Instant::now();
        let answer = loop {
            match self.poll() {
                Some(answer) => break answer,
                None if start.elapsed() < SETUP_TIME => {}
                None => return Err(HostError::Died(self.end())),
            }
        };
        match answer {
            Some(0) => Ok(()),
            Some(errno) => {
                // It is about to exit with the step's number.
                let status = self.child.wait().unwrap_or_default();
                let step =
                    status.code().and_then(|code| steps.get(usize::try_from(code).ok()?.checked_sub(1)?));
                let step = step.map_or("set itself up", String::as_str).to_owned();
                Err(HostError::Setup { step, error: io::Error::from_raw_os_error(errno.into()) })
            }
            None => Err(HostError::Died(self.end())),
        }
    }

    /// Has the child call `entry`, and waits until it answers.
    pub(super) fn call(&mut self, entry: u64) -> Answer {
        if self.requests.write_all(&entry.to_le_bytes()).is_err() {
            return Answer::Vanished;
        }
        let start = Instant::now();
        let mut first_look = None;
        loop {
            match self.poll() {
                Some(Some(0)) => return Answer::Returned,
                Some(Some(_)) => return Answer::Faulted,
                Some(None) => return Answer::Vanished,
                None => {}
            }
            let used = self.processor_time().unwrap_or_else(|| start.elapsed());
            let first_look = *first_look.get_or_insert(used);
            if used.saturating_sub(first_look) >= PROCESSOR_TIME || start.elapsed() >= PATIENCE {
                return Answer::RanAway;
            }
        }
    }

    /// Waits for an answer, at most for an interval and at most until a signal comes: `Some(None)` is the
    /// child's end.
    fn poll(&mut self) -> Option<Option<u8>> {
        let mut poll = libc::pollfd { fd: self.answers.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: `poll` is one valid pollfd, which outlives the call.
        let ready = unsafe { libc::poll(&mut poll, 1, INTERVAL.as_millis() as libc::c_int) };
        if ready <= 0 {
            return None;
        }
        let mut byte = [0];
        match self.answers.read(&mut byte) {
            Ok(1) => Some(Some(byte[0])),
            Err(error) if error.kind() == ErrorKind::Interrupted => None,
            _ => Some(None),
        }
    }

    /// Processor time that the child has used, where the kernel tells.
    fn processor_time(&self) -> Option<Duration> {
        let mut clock = 0;
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let process = self.child.id().cast_signed();
        // SAFETY: both calls write to a local of the type they expect; the child is not reaped, so its id is
        // its own.
        let known = unsafe {
            libc::clock_getcpuclockid(process, &mut clock) == 0 && libc::clock_gettime(clock, &mut time) == 0
        };
        known.then(|| Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32))
    }

    /// Kills the child unless it has ended, reaps it, and tells how it ended.
    pub(super) fn end(&mut self) -> ExitStatus {
        // A child that closes its pipes has ended, with its status settled: the kill changes nothing then.
        // Neither call can fail but for a child that was reaped, which happens where this process ignores
        // SIGCHLD.
        let _ = self.child.kill();
        self.child.wait().unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// The runner, in a file in memory that all children are started from.
struct Runner {
    file: OwnedFd,
    steps: Vec<String>,
}

impl Runner {
    fn get(platform: Platform) -> Result<&'static Self, HostError> {
        static RUNNERS: [OnceLock<Runner>; Platform::ALL.len()] =
            [const { OnceLock::new() }; Platform::ALL.len()];
        let slot = &RUNNERS[platform as usize];
        if let Some(runner) = slot.get() {
            return Ok(runner);
        }
        let Program { file, steps } = Program::new(platform);
        let file =
            sealed(&file).map_err(|error| HostError::Os { action: "put the runner into memory", error })?;
        Ok(slot.get_or_init(|| Runner { file, steps }))
    }
}

/// A file in memory with these contents for good, that may be executed.
fn sealed(contents: &[u8]) -> io::Result<OwnedFd> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // Kernels before 6.3 do not know MFD_EXEC, and need it not.
    let mut file = memory_file(flags | libc::MFD_EXEC).or_else(|_| memory_file(flags))?;
    file.write_all(contents)?;
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
    // SAFETY: a plain system call on a descriptor that we own.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file.into())
}

fn memory_file(flags: libc::c_uint) -> io::Result<File> {
    // SAFETY: the name is a valid C string; the call touches no memory of ours.
    let file = unsafe { libc::memfd_create(c"kop-host".as_ptr(), flags) };
    if file < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just created and nothing else owns it.
    Ok(unsafe { File::from_raw_fd(file) })
}

/// Starts a command from a thread that lives as long as this process.
///
/// A child that asks to die with its parent dies with the parent's thread that started it (prctl(2),
/// PR_SET_PDEATHSIG), and a machine may outlive the thread that it was created in.
fn spawn(command: Command) -> Result<Child, HostError> {
    type Job = (Command, SyncSender<io::Result<Child>>);
    static SPAWNER: LazyLock<Result<Sender<Job>, ErrorKind>> = LazyLock::new(|| {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let serve = move || {
            for (mut command, reply) in inbox {
                let child = command.spawn();
                drop(command); // and with it the child's ends of the pipes
                // The receiver waits for it.
                let _ = reply.send(child);
            }
        };
        let thread = thread::Builder::new().name("kop-host-spawner".to_owned()).spawn(serve);
        thread.map(|_| jobs).map_err(|error| error.kind())
    });
    let spawner =
        SPAWNER.as_ref().map_err(|&kind| HostError::Os { action: "start a thread", error: kind.into() })?;
    let (reply, outcome) = mpsc::sync_channel(1);
    spawner.send((command, reply)).expect("the spawner's thread never ends");
    outcome.recv().expect("the spawner answers every job").map_err(HostError::Spawn)
}

#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::process::ExitStatusExt;

    use super::*;
    use crate::arena::Arena;

    #[test]
    fn a_failed_setup_says_what_failed() {
        let file = memory_file(libc::MFD_CLOEXEC).expect("memfd works on Linux");
        let read_only = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).expect("/proc is mounted");
        let read_only = OwnedFd::from(read_only);
        let error = Process::start(Platform::NATIVE, read_only.as_fd()).err().expect("it cannot be written");
        assert!(error.to_string().contains("could not map Rows: Permission denied"), "{error}");
    }

    #[test]
    fn a_dead_child_is_told_by_its_silence() {
        let arena = Arena::new().expect("memfd works on Linux");
        let mut process = Process::start(Platform::NATIVE, arena.file()).expect("children run here");
        process.child.kill().expect("the child is ours");
        for _ in 0..3 {
            assert_eq!(process.call(0x4000_0000), Answer::Vanished);
        }
        assert_eq!(process.end().signal(), Some(libc::SIGKILL));
    }
}
