// SPDX-License-Identifier: GPL-2.0-or-later
//! Replaying inputs of a fuzzer: each is tried in a child process, so that one that crashes, does not end or takes all memory is
//! a finding of its own and the next is tried as if it had not been there.
//!
//! libFuzzer's `-merge=1` runs inputs in children too, but leaves out what crashes there and ends with success.
//!
//! The parent sends the bytes of an input, the child answers with an empty message when it holds, and with what is wrong
//! otherwise; then it ends, so that no input sees what a failed one left behind. A message is its length, four bytes, lowest
//! first, and that many bytes.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::{ExitStatusExt, parent_id};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use kop_ops::Catalog;

use super::Target;
use super::unfinished::{Limits, Unfinished, resident};
use crate::bounded;

/// How often the parent looks after a child that does not answer.
const PERIOD: Duration = Duration::from_millis(20);

/// The most that is kept of what a child says on standard error, in bytes: its last words.
const MOST_WORDS: u64 = 64 << 10;

/// Sends a message.
fn send(to: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(message)?;
    to.flush()
}

/// Receives a message; `None` at the end.
fn receive(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    if let Err(error) = from.read_exact(&mut length) {
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) };
    }
    let mut message = vec![0; u32::from_le_bytes(length) as usize];
    from.read_exact(&mut message)?;
    Ok(Some(message))
}

/// The child's part: tries the inputs that come by standard input, and answers by standard output. Reports go to standard error,
/// cases to `findings`. It ends with the input that fails, and when its parent is gone.
///
/// # Errors
/// What reading and writing report.
pub fn answer(target: Target, catalog: &Catalog, findings: &Path) -> io::Result<()> {
    let parent = parent_id();
    thread::spawn(move || {
        // An input that does not end would outlive a parent that was killed.
        while parent_id() == parent {
            thread::sleep(50 * PERIOD);
        }
        std::process::exit(1);
    });
    panic::set_hook(Box::new(|_| ()));
    let (mut inputs, mut answers) = (io::stdin().lock(), io::stdout().lock());
    while let Some(bytes) = receive(&mut inputs)? {
        let tried = catch_unwind(AssertUnwindSafe(|| target.run_into(catalog, &bytes, &|_| (), findings)));
        let Err(panicked) = tried else {
            send(&mut answers, b"")?;
            continue;
        };
        let text = panicked.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panicked.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
        return send(&mut answers, text.as_bytes());
    }
    Ok(())
}

/// What became of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Holds,
    /// Something is.
    Fails {
        /// What, in a line.
        what: String,
        /// All that was said of it: a report, or the case.
        report: String,
    },
}

/// Replays inputs of a target.
#[derive(Debug)]
pub struct Replayer<'a> {
    target: Target<'a>,
    catalog: &'a Catalog<'a>,
    findings: PathBuf,
    limits: Limits,
    child: Command,
    worker: Option<Worker>,
}

impl<'a> Replayer<'a> {
    /// `child` is the command that calls [`answer`] with the same target, catalog and directory. An input may take `time` and
    /// `memory`, in bytes, of the child's process.
    pub fn new(
        target: Target<'a>,
        catalog: &'a Catalog<'a>,
        findings: &Path,
        (time, memory): (Duration, u64),
        mut child: Command,
    ) -> Self {
        child.stdin(Stdio::piped()).stdout(Stdio::piped());
        let limits = Limits { time: Some(time), memory: Some(memory), percent: 100 };
        Self { target, catalog, findings: findings.to_owned(), limits, child, worker: None }
    }

    /// Tries the input in a file of at most [`bounded::MAX_FUZZER_INPUT`] bytes.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn replay_file(&mut self, path: &Path) -> io::Result<Verdict> {
        self.replay(&bounded::read(path, bounded::MAX_FUZZER_INPUT)?)
    }

    /// Tries an input.
    ///
    /// # Errors
    /// When there can be no child.
    pub fn replay(&mut self, bytes: &[u8]) -> io::Result<Verdict> {
        let mut worker = match self.worker.take() {
            Some(worker) => worker,
            None => Worker::start(&mut self.child)?,
        };
        let ended = match worker.ask(bytes, self.limits) {
            Answer::Said(what) if what.is_empty() => {
                self.worker = Some(worker);
                return Ok(Verdict::Holds);
            }
            Answer::Said(what) => {
                let report = format!("{}{what}\n", worker.last_words());
                let what = what.lines().next().unwrap_or_default().to_owned();
                return Ok(Verdict::Fails { what, report });
            }
            Answer::Ended(what, cause) => (what, cause),
        };
        let (what, cause) = ended;
        let unfinished = Unfinished { target: self.target, bytes, what: &what, cause };
        let written = unfinished.write_down(self.catalog, &self.findings);
        Ok(Verdict::Fails { report: format!("{}{written}", worker.last_words()), what })
    }
}

/// What a child makes of an input.
enum Answer {
    Said(String),
    /// It did not answer: what happened, and what all inputs to which that happens share.
    Ended(String, &'static str),
}

/// A child that tries inputs. It ends when it is dropped.
#[derive(Debug)]
struct Worker {
    child: Child,
    inputs: ChildStdin,
    answers: Receiver<Vec<u8>>,
    words: File,
}

impl Worker {
    fn start(command: &mut Command) -> io::Result<Self> {
        let words = tempfile::tempfile()?;
        let mut child = command.stderr(words.try_clone()?).spawn()?;
        let inputs = child.stdin.take().expect("it is piped");
        let mut output = child.stdout.take().expect("it is piped");
        let (sender, answers) = channel();
        thread::spawn(move || {
            while let Ok(Some(answer)) = receive(&mut output) {
                if sender.send(answer).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, inputs, answers, words })
    }

    fn ask(&mut self, bytes: &[u8], limits: Limits) -> Answer {
        let start = Instant::now();
        let process = self.child.id().to_string();
        // Where the child is gone, there is no answer either.
        let _ = send(&mut self.inputs, bytes);
        loop {
            match self.answers.recv_timeout(PERIOD) {
                Ok(answer) => return Answer::Said(String::from_utf8_lossy(&answer).into_owned()),
                Err(RecvTimeoutError::Disconnected) => {
                    let what = self.child.wait().map_or_else(|error| error.to_string(), how_it_ended);
                    return Answer::Ended(what, "crash");
                }
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(reached) = limits.reached(start.elapsed(), resident(&process)) {
                        return Answer::Ended(reached.to_string(), reached.cause());
                    }
                }
            }
        }
    }

    /// The last of what it said on standard error.
    fn last_words(&mut self) -> String {
        let end = self.words.seek(io::SeekFrom::End(0)).unwrap_or(0);
        let mut words = Vec::new();
        let from = self.words.seek(io::SeekFrom::Start(end.saturating_sub(MOST_WORDS)));
        // What cannot be read back is not said again.
        let _ = from.and_then(|_| self.words.read_to_end(&mut words));
        String::from_utf8_lossy(&words).into_owned()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn how_it_ended(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("crashed by signal {signal}"),
        (None, Some(code)) => format!("ended the process with exit code {code}"),
        (None, None) => status.to_string(),
    }
}

/// The files at or below `paths`, in the order of their names; those of one path stay together.
///
/// # Errors
/// The path that cannot be read.
pub fn files(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let mut below = Vec::new();
        let found = collect(path, &mut below);
        found.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        below.sort();
        files.extend(below);
    }
    Ok(files)
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        collect(&entry?.path(), files)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_as_they_were_sent() {
        let mut pipe = Vec::new();
        for message in [&b""[..], b"a", &[7; 300]] {
            send(&mut pipe, message).expect("there is room");
        }
        let mut from = &pipe[..];
        for message in [&b""[..], b"a", &[7; 300]] {
            assert_eq!(receive(&mut from).expect("it is whole"), Some(message.to_vec()));
        }
        assert_eq!(receive(&mut from).expect("an end between messages is one"), None);
        assert!(receive(&mut &pipe[9..pipe.len() - 1]).is_err(), "an end within a message is none");
    }

    #[test]
    fn files_are_listed_by_name_and_a_path_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        for name in ["b", "a/2", "a/1"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("in a folder")).expect("writable");
            fs::write(path, "").expect("writable");
        }
        let found = files(&[folder.path().join("b"), folder.path().join("a")]).expect("they are there");
        let names: Vec<_> =
            found.iter().map(|path| path.strip_prefix(folder.path()).expect("below it")).collect();
        assert_eq!(names, [Path::new("b"), Path::new("a/1"), Path::new("a/2")]);
        let error = files(&[folder.path().join("c")]).expect_err("it is not there").to_string();
        assert!(error.contains("/c: "), "{error}");
    }
}
