// SPDX-License-Identifier: GPL-2.0-or-later
//! A runner: the process that a module is loaded into.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::protocol::{Batch, Failures, Record, Registered, Shared};

/// The program, which the build script made.
pub(super) const RUNNER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/runner"));

/// How long a runner may be silent without getting on, by the wall clock: much longer than processor time allows.
const SILENCE: Duration = Duration::from_secs(60);

/// How often a program that another thread's child still has open is tried again.
const BUSY_ATTEMPTS: u32 = 200;

/// Why there is no runner.
#[derive(Debug)]
pub(crate) enum StartError {
    /// This machine does not let it start.
    System(io::Error),
    /// The module cannot be used.
    Module(String),
    /// The module registers no operation.
    Nothing(String),
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        StartError::System(error)
    }
}

/// The answers of a batch, as many as there are.
pub(super) struct Answers {
    pub(super) records: Vec<Record>,
    pub(super) failures: Failures,
    /// The runner is of no use any more; this callback (a number of `enum callback`) was at work.
    pub(super) lost: Option<Option<u8>>,
}

/// A runner with its module loaded.
#[derive(Debug)]
pub(super) struct Runner {
    process: process::Child,
    socket: UnixStream,
    shared: Shared,
}

impl Runner {
    /// Starts `program` for the shared object `object`.
    pub(super) fn start(program: &Path, object: &Path) -> Result<(Self, Vec<Registered>), StartError> {
        let shared = Shared::new()?;
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_read_timeout(Some(SILENCE))?;
        let process = spawn(program, object, theirs, &shared)?;
        let mut runner = Self { process, socket, shared };
        let mut byte = [0];
        let heard = runner.socket.read(&mut byte);
        match (runner.shared.hello(), heard) {
            (Some(Ok(operations)), Ok(1)) => Ok((runner, operations)),
            (Some(Err(error)), _) => Err(error),
            (_, Ok(_)) => {
                Err(StartError::Module(format!("loading it ended the process ({})", runner.end()?)))
            }
            (_, Err(error)) if is_timeout(&error) => {
                Err(StartError::Module(format!("loading it took more than {} seconds", SILENCE.as_secs())))
            }
            (_, Err(error)) => Err(error.into()),
        }
    }

    fn end(&mut self) -> io::Result<process::ExitStatus> {
        self.process.wait()
    }

    /// Has a batch answered.
    pub(super) fn ask(&mut self, batch: &Batch, payloads: &[u64]) -> Answers {
        self.shared.put(batch, payloads);
        let finished = self.socket.write_all(&[0]).is_ok() && self.wait();
        let done = self.shared.done().min(payloads.len());
        let calling = self.shared.calling();
        let failures = self.shared.failures();
        match self.shared.records(done) {
            Some(records) if finished => Answers { records, failures, lost: None },
            Some(records) => Answers { records, failures, lost: Some(calling) },
            None => Answers { records: Vec::new(), failures, lost: Some(None) },
        }
    }

    /// Waits for the end of a batch, as long as it gets on.
    fn wait(&mut self) -> bool {
        let mut byte = [0];
        let mut before = self.shared.failures_and_done();
        loop {
            match self.socket.read(&mut byte) {
                Ok(count) => return count == 1,
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) if is_timeout(&error) => {
                    let now = self.shared.failures_and_done();
                    if now == before {
                        return false;
                    }
                    before = now;
                }
                Err(_) => return false,
            }
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // The worker below it ends with it. Errors mean that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Shared {
    fn failures_and_done(&self) -> (Failures, usize) {
        (self.failures(), self.done())
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn spawn(program: &Path, object: &Path, socket: UnixStream, shared: &Shared) -> io::Result<process::Child> {
    let mut command = Command::new(program);
    command
        .arg(object)
        .env_clear()
        .stdin(OwnedFd::from(socket))
        .stdout(shared.file().try_clone()?)
        .stderr(Stdio::null());
    let mut attempts = 0;
    loop {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && attempts < BUSY_ATTEMPTS => {
                attempts += 1;
                thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}
