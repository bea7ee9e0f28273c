// SPDX-License-Identifier: GPL-2.0-or-later
//! Inputs that do not come back: what they mean, written down before the fuzzer stops the process.
//!
//! libFuzzer stops an input that takes longer than `-timeout` by a signal, and one with which the process has more memory
//! than `-rss_limit_mb` from a thread of its own; both are findings, and the bytes are kept. A thread here knows the same
//! limits and looks more often. It stops nothing, and takes no signal from libFuzzer.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use kop_ops::{Catalog, Slot, State};

use super::programs::{self, Source};
use super::{Target, input};
use crate::case::{self, Case};
use crate::program::{ProgramCase, text};

/// How often the thread looks.
const PERIOD: Duration = Duration::from_millis(20);

/// From this part of libFuzzer's limits on an input is written down, in percent: libFuzzer has to come second.
const NEAR: u64 = 95;

/// What an input may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) time: Option<Duration>,
    /// In bytes.
    pub(super) memory: Option<u64>,
    /// From this part of a limit on it is reached.
    pub(super) percent: u64,
}

impl Limits {
    /// Those of a command line of libFuzzer (`FuzzerFlags.def`), of which the last counts. Zero is none.
    fn of(arguments: impl IntoIterator<Item = String>) -> Self {
        let (mut seconds, mut megabytes) = (1200, 2048);
        for argument in arguments {
            let value = |flag| argument.strip_prefix(flag).and_then(|value: &str| value.parse().ok());
            seconds = value("-timeout=").unwrap_or(seconds);
            megabytes = value("-rss_limit_mb=").unwrap_or(megabytes);
        }
        Self {
            time: (seconds > 0).then(|| Duration::from_secs(seconds)),
            memory: (megabytes > 0).then(|| megabytes.saturating_mul(1 << 20)),
            percent: NEAR,
        }
    }

    /// What an input has reached that runs for `time` in a process that has `memory` bytes.
    pub(super) fn reached(self, time: Duration, memory: u64) -> Option<Reached> {
        let is_near = |value: u128, limit: u128| value * 100 >= limit * u128::from(self.percent);
        let of_time = self.time.filter(|limit| is_near(time.as_millis(), limit.as_millis()));
        let of_memory = self.memory.filter(|&limit| is_near(memory.into(), limit.into()));
        match (of_time, of_memory) {
            (Some(limit), _) => Some(Reached::Time { time, limit }),
            (None, Some(limit)) => Some(Reached::Memory { memory, limit }),
            (None, None) => None,
        }
    }
}

/// A limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// Of time.
    Time { time: Duration, limit: Duration },
    /// Of memory, in bytes.
    Memory { memory: u64, limit: u64 },
}

impl Reached {
    /// What findings of one cause have in common.
    pub(super) const fn cause(self) -> &'static str {
        match self {
            Reached::Time { .. } => "no end",
            Reached::Memory { .. } => "too much memory",
        }
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reached::Time { time, limit } => {
                write!(f, "no end after {:.1} s, of {} s at most", time.as_secs_f64(), limit.as_secs())
            }
            Reached::Memory { memory, limit } => {
                write!(f, "{} MiB of memory, of {} MiB at most", memory >> 20, limit >> 20)
            }
        }
    }
}

/// The resident memory of a process (`VmRSS` of proc_pid_status(5)), in bytes; 0 where the system does not say.
pub(super) fn resident(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) << 10
}

/// The input that is being tried.
struct Running {
    target: String,
    bytes: Vec<u8>,
    since: Instant,
    is_written: bool,
}

static RUNNING: Mutex<Option<Running>> = Mutex::new(None);

fn running() -> MutexGuard<'static, Option<Running>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Marks an input as being tried until it is dropped.
pub(super) struct Trial;

impl Trial {
    pub(super) fn new(target: Target, bytes: &[u8]) -> Self {
        let (target, bytes) = (target.to_string(), bytes.to_vec());
        *running() = Some(Running { target, bytes, since: Instant::now(), is_written: false });
        Self
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        *running() = None;
    }
}

/// Starts the thread that looks at inputs from here on.
pub(super) fn watch() {
    let limits = Limits::of(std::env::args());
    thread::spawn(move || {
        loop {
            thread::sleep(PERIOD);
            look(limits);
        }
    });
}

/// Writes the input down, once, if it has reached a limit.
fn look(limits: Limits) {
    let mut running = running();
    let Some(trial) = running.as_mut().filter(|trial| !trial.is_written) else { return };
    let memory = if limits.memory.is_some() { resident("self") } else { 0 };
    let Some(reached) = limits.reached(trial.since.elapsed(), memory) else { return };
    trial.is_written = true;
    let (name, bytes) = (trial.target.clone(), trial.bytes.clone());
    drop(running);
    let Ok(target) = Target::find(&super::CATALOG, &name) else { return };
    let what = reached.to_string();
    let unfinished = Unfinished { target, bytes: &bytes, what: &what, cause: reached.cause() };
    eprint!("{}", unfinished.write_down(&super::CATALOG, &super::findings_folder()));
}

/// An input that did not come back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unfinished<'a> {
    pub(super) target: Target<'a>,
    pub(super) bytes: &'a [u8],
    /// What happened.
    pub(super) what: &'a str,
    /// What inputs that share a file have in common, besides form or kind.
    pub(super) cause: &'a str,
}

impl Unfinished<'_> {
    /// Saves what the input means, and the bytes beside it; returns what is to be said, with the case itself, as a fuzzer
    /// may run where nothing can be written.
    ///
    /// Of an operation nothing is asked but which payloads it admits: what does not come back may be its callbacks.
    pub(super) fn write_down(self, catalog: &Catalog, findings: &Path) -> String {
        let said = format!("\nkop: {}, an input of {} bytes: {}\n", self.target, self.bytes.len(), self.what);
        let (text, saved) = match self.target {
            Target::Operation(_) | Target::All | Target::Module | Target::File => {
                let case = self.case(catalog);
                (case.to_string(), case::save(findings, &case, self.cause))
            }
            Target::Program => self.program(Source::Program, catalog, findings),
            Target::Rewrite => self.program(Source::Rewrite, catalog, findings),
            Target::JitInstruction => self.program(Source::Instruction, catalog, findings),
            // The bytes are all there is, and the fuzzer keeps those.
            Target::Assemblers | Target::Decoders | Target::Loader => return said,
        };
        let saved = saved.and_then(|path| {
            fs::write(path.with_extension("bytes"), self.bytes)?;
            Ok(path)
        });
        match saved {
            Ok(path) => format!("{said}{text}  saved as {}\n\n", path.display()),
            Err(error) => format!("{said}{text}kop: the case could not be saved: {error}\n\n"),
        }
    }

    /// Operation, form and payload. The state follows from the proof, which is not asked for.
    fn case(self, catalog: &Catalog) -> Case {
        let kops = self.target.kops(catalog);
        let (index, form, payload) = input::site_of(&kops, self.bytes);
        let mut case = Case::new(kops[index], form, payload, &State::zeroed(Slot::default()));
        case.comment =
            vec![self.what.to_owned(), "the state is that of the bytes beside it, not this one".to_owned()];
        case
    }

    fn program(
        self,
        source: Source,
        catalog: &Catalog,
        findings: &Path,
    ) -> (String, std::io::Result<std::path::PathBuf>) {
        let case = ProgramCase {
            comment: vec![self.what.to_owned()],
            ..programs::case(source, catalog, self.bytes)
        };
        (case.to_string(), text::save_new(findings, &case, self.cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planted;

    fn limits(line: &str) -> Limits {
        Limits::of(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_limits_are_those_of_the_fuzzer() {
        let of = |line| {
            let Limits { time, memory, .. } = limits(line);
            (time.map(|time| time.as_secs()), memory.map(|bytes| bytes >> 20))
        };
        assert_eq!(of("./rotate corpus"), (Some(1200), Some(2048)));
        assert_eq!(of("./rotate -timeout=25 -rss_limit_mb=2560 -timeout=3"), (Some(3), Some(2560)));
        assert_eq!(of("./rotate -timeout=0 -rss_limit_mb=0"), (None, None));
        assert_eq!(limits("./rotate -timeout=x"), limits("./rotate"));
    }

    #[test]
    fn a_limit_is_reached_shortly_before_the_fuzzer_says_so() {
        let limits = limits("-timeout=10 -rss_limit_mb=100");
        let reached = |milliseconds, megabytes: u64| {
            let reached = limits.reached(Duration::from_millis(milliseconds), megabytes << 20);
            reached.map(|reached| reached.to_string())
        };
        assert_eq!(reached(9_499, 94), None);
        assert_eq!(reached(9_500, 0), Some("no end after 9.5 s, of 10 s at most".to_owned()));
        assert_eq!(reached(0, 95), Some("95 MiB of memory, of 100 MiB at most".to_owned()));
    }

    #[test]
    fn an_emit_that_does_not_return_is_written_down_without_asking_it() {
        for planted in planted::unending() {
            let kop = planted.kop();
            let catalog = Catalog::einsn().and(&*kop);
            let target = Target::find(&catalog, "rotate").expect("the fault is in rotate");
            let bytes = (0..u64::MAX).map(u64::to_le_bytes).find(|bytes| {
                let (_, form, payload) = input::site_of(&[&*kop], bytes);
                let operands = form.layout.decode(payload);
                &*form.name == "imm64" && operands.is_ok_and(|operands| operands.values().contains(&37))
            });
            let bytes = bytes.expect("every payload is spelled out by some bytes");
            let folder = tempfile::tempdir().expect("a temporary directory");
            let unfinished = Unfinished { target, bytes: &bytes, what: "no end", cause: "no end" };
            let said = unfinished.write_down(&catalog, folder.path());
            let path = said.rsplit("saved as ").next().expect("where it is").trim();
            let case =
                Case::parse(&fs::read_to_string(path).expect("it is there"), &catalog).expect("it is a case");
            assert_eq!((&*case.kop, &*case.form.name), ("rotate", "imm64"));
            assert_eq!(fs::read(Path::new(path).with_extension("bytes")).expect("they are there"), bytes);
            assert!(said.starts_with("\nkop: rotate, an input of 8 bytes: no end\n"), "{said}");
        }
    }
}
