// SPDX-License-Identifier: GPL-2.0-or-later
//! Callbacks of a shared object, each call contained in a child process.
//!
//! The child is a C program of ours (`modules/runner`). It loads the module and forks workers, which share memory with
//! this process: a batch of payloads goes in, a record for each comes out. A callback that crashes, hangs or makes a system
//! call ends its worker, and the next worker goes on with the same payload. Buffers lie at the end of memory and are
//! filled with patterns, so that what a callback wrote, and where it must not have written, is known.

mod faults;
mod process;
mod protocol;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use kop_ops::{Arch, Callback, CallbackFault, CallbackFaultKind, Features};
use tempfile::TempDir;

pub(crate) use self::process::StartError;
use self::process::{RUNNER, Runner};
use self::protocol::{Batch, Failures, PAYLOADS, Patience, features_of};
pub(crate) use self::protocol::{CALLBACKS, Record, Registered, feature_bits};
use crate::callbacks::{Answer, Asked, Callbacks, Descriptor, Emitted, Reply};

/// A call has 200 ms of processor time; once a callback has hung so often, 3 ms, and after 1,000 times nobody calls it any
/// more. A crash costs a tenth of a millisecond.
const PATIENCE: Patience = Patience { hangs: 1000, crashes: 50_000, quick: 8 };

/// How often a child that cannot be started is tried again, and how long to wait in between.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// A folder with the runner, for as long as a module of it is in use.
#[derive(Debug)]
pub(crate) struct Workshop {
    folder: TempDir,
    runner: PathBuf,
}

impl Workshop {
    /// A new folder with the runner in it.
    pub(crate) fn new() -> io::Result<Self> {
        use std::fs;
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::Builder::new().prefix("kop-module-").tempdir()?;
        let runner = folder.path().join("runner");
        fs::write(&runner, RUNNER)?;
        fs::set_permissions(&runner, fs::Permissions::from_mode(0o700))?;
        Ok(Self { folder, runner })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A shared object that was found sound, and the children that have it loaded.
#[derive(Debug)]
pub(crate) struct Object {
    workshop: Arc<Workshop>,
    path: PathBuf,
    /// What it registers, in its order.
    pub(crate) operations: Vec<Registered>,
    idle: Mutex<Vec<Runner>>,
}

impl Object {
    /// Loads the shared object at `path`.
    pub(crate) fn load(workshop: Arc<Workshop>, path: &Path) -> Result<Self, StartError> {
        let (runner, operations) = Runner::start(&workshop.runner, path)?;
        Ok(Self { workshop, path: path.to_owned(), operations, idle: Mutex::new(vec![runner]) })
    }

    /// A child that nobody uses, or a new one.
    fn take(&self) -> Result<Runner, StartError> {
        let mut attempts = 0;
        loop {
            if let Some(runner) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
                return Ok(runner);
            }
            match Runner::start(&self.workshop.runner, &self.path) {
                Ok((runner, operations)) if operations == self.operations => return Ok(runner),
                Ok(_) => {
                    return Err(StartError::Module(
                        "it registers something else each time it is loaded".to_owned(),
                    ));
                }
                Err(_) if attempts < ATTEMPTS => attempts += 1,
                Err(error) => return Err(error),
            }
            thread::sleep(PAUSE);
        }
    }

    fn give_back(&self, runner: Runner) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(runner);
    }
}

/// The callbacks of one operation of a shared object.
#[derive(Debug)]
pub struct Contained {
    object: Arc<Object>,
    index: usize,
    descriptor: Descriptor,
    failures: Mutex<Failures>,
}

impl Contained {
    /// The operation with the number `index`; of its emits, those for `archs` alone. `source` is what it was made of.
    pub(crate) fn new(object: Arc<Object>, index: usize, source: &Path, archs: &[Arch]) -> Self {
        let registered = &object.operations[index];
        let descriptor = Descriptor {
            name: registered.name.clone(),
            source: source.to_owned(),
            max_insn_cnt: registered.max_insn_cnt,
            max_emit_bytes: registered.max_emit_bytes,
            archs: registered.archs.iter().copied().filter(|arch| archs.contains(arch)).collect(),
        };
        Self { object, index, descriptor, failures: Mutex::default() }
    }

    /// Asks a child for as many payloads as it can answer at once; those that it did not get to are left out.
    fn ask_some(&self, runner: &mut Option<Runner>, batch: &Batch, payloads: &[u64]) -> Vec<Answer> {
        let child = match runner.take().map_or_else(|| self.object.take(), Ok) {
            Ok(child) => runner.insert(child),
            Err(error) => return payloads.iter().map(|_| self.unanswered(&start_words(&error))).collect(),
        };
        let failures = *self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let answered = child.ask(&Batch { failures, ..*batch }, payloads);
        self.count(&failures, &answered.failures);
        let mut answers: Vec<Answer> = answered.records.into_iter().map(answer_of).collect();
        let stuck = answers.is_empty() && answered.lost.is_none();
        if let Some(calling) = answered.lost.or(stuck.then_some(None)) {
            *runner = None;
            if answers.len() < payloads.len() {
                let name = calling
                    .map_or("a callback".to_owned(), |i| protocol::CALLBACKS[usize::from(i)].to_string());
                answers.push(self.unanswered(&format!("{name} broke the process that calls it")));
            }
        }
        answers
    }

    /// Forgets how often callbacks failed: what looking for payloads used up is not taken from a check.
    pub(crate) fn forgive(&self) {
        *self.failures.lock().unwrap_or_else(PoisonError::into_inner) = Failures::default();
    }

    /// Adds up what failed in a batch that started with `before`.
    fn count(&self, before: &Failures, after: &Failures) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for i in 0..3 {
            failures.hangs[i] =
                failures.hangs[i].saturating_add(after.hangs[i].saturating_sub(before.hangs[i]));
            failures.crashes[i] =
                failures.crashes[i].saturating_add(after.crashes[i].saturating_sub(before.crashes[i]));
        }
    }

    /// The answer when nobody can say what the callbacks do.
    fn unanswered(&self, why: &str) -> Answer {
        let mut emits = [None, None];
        for arch in &self.descriptor.archs {
            emits[*arch as usize] = Some(Reply::Failed);
        }
        Answer {
            proof: Reply::Failed,
            emits,
            faults: vec![CallbackFault {
                callback: Callback::Proof,
                kind: CallbackFaultKind::Callback,
                place: "the child".to_owned(),
                message: why.to_owned(),
            }],
            looked_at: Features::NONE,
        }
    }
}

/// What a record of the C code says.
pub(crate) fn answer_of(record: Record) -> Answer {
    let mut faults: Vec<CallbackFault> = record.faults.iter().map(protocol::FaultRecord::describe).collect();
    let mut emits = [None, None];
    for (arch, emit) in Arch::ALL.into_iter().zip(record.emits) {
        faults.extend(faults::differences(arch, &emit));
        let some = |bytes: Vec<u8>| (!bytes.is_empty()).then_some(bytes);
        let index = arch as usize;
        emits[index] = reply(record.status[1 + index], record.returned[1 + index], || Emitted {
            sized: emit.sized,
            size: emit.size,
            bytes: emit.bytes,
            second: some(emit.second),
            elsewhere: some(emit.elsewhere),
        });
    }
    Answer {
        proof: reply(record.status[0], record.returned[0], || record.proof).unwrap_or(Reply::Failed),
        emits,
        faults,
        looked_at: features_of(record.looked_at),
    }
}

/// The callbacks of an operation by the bits of their numbers in `enum callback`.
pub(crate) fn callback_mask(descriptor: &Descriptor) -> u32 {
    descriptor.archs.iter().fold(1, |mask, arch| mask | 2 << *arch as u32)
}

/// A reply from its number in `enum status`; `None` where there is no such callback, or it was not asked.
fn reply<T>(status: u8, returned: i32, value: impl FnOnce() -> T) -> Option<Reply<T>> {
    match status {
        0 => None,
        1 => Some(Reply::Accepted(value())),
        2 => Some(Reply::Rejected(returned)),
        _ => Some(Reply::Failed),
    }
}

fn start_words(error: &StartError) -> String {
    match error {
        StartError::System(error) => format!("no process to call it in: {error}"),
        StartError::Module(text) | StartError::Nothing(text) => format!("loading it again failed: {text}"),
    }
}

impl Callbacks for Contained {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn ask(&self, asked: Asked, features: Features, payloads: &[u64]) -> Vec<Answer> {
        let batch = Batch {
            operation: self.index,
            asked: asked as u32,
            features: feature_bits(features),
            mask: callback_mask(&self.descriptor),
            patience: PATIENCE,
            failures: Failures::default(),
        };
        let mut runner = None;
        let mut answers = Vec::with_capacity(payloads.len());
        while answers.len() < payloads.len() {
            let rest = &payloads[answers.len()..];
            answers.extend(self.ask_some(&mut runner, &batch, &rest[..rest.len().min(PAYLOADS)]));
        }
        if let Some(runner) = runner {
            self.object.give_back(runner);
        }
        answers
    }
}
