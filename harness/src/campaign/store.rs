// SPDX-License-Identifier: GPL-2.0-or-later
//! The directory of a campaign.
//!
//! | path | what it is |
//! |---|---|
//! | `lock` | held while a process works on the directory; holds its number |
//! | `state.json` | everything up to some time, and the number of the journal that goes on from there |
//! | `journal.N` | what happened since, a line each ([`Journal`]) |
//! | `findings/` | cases, each written before the unit that found it is in the journal |
//! | `report.json` | the record of what is known, written when a run ends |
//!
//! When the journal has grown, the state is written down as it is and a new journal is begun: `journal.N+1` is created,
//! `state.json` is replaced by one that names it, `journal.N` is removed. Whenever that is cut short, `state.json` names a
//! journal that is there.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::journal::{self, Journal, JournalError};
use super::state::{Line, State};

/// A journal that is longer, in bytes, is replaced by the state.
const MOST_BYTES: u64 = 8 << 20;

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system says so.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// It is no campaign, or a damaged one.
    #[error("{0}: {1}")]
    Content(PathBuf, String),
    /// Another process works on it.
    #[error("{0}: in use by another campaign (process {1})")]
    Locked(PathBuf, String),
    /// It holds another campaign.
    #[error("{0}: {1}")]
    Other(PathBuf, String),
}

/// An open directory; nobody else has it.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    journal: Journal,
    /// Everything that is in `state.json` and the journal.
    state: State,
    limit: u64,
    /// Held until it is closed.
    _lock: File,
}

impl Store {
    /// Opens a directory, or makes one with `new` as its state. What cases a process has left half written is removed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(dir: &Path, new: impl FnOnce() -> State) -> Result<Self, StoreError> {
        let at = |error| StoreError::Io(dir.to_owned(), error);
        fs::create_dir_all(findings(dir)).map_err(at)?;
        let lock = lock(dir)?;
        let path = state_path(dir);
        if !path.try_exists().map_err(at)? {
            replace(&path, new().to_json().as_bytes()).map_err(at)?;
        }
        let mut state = read_state(dir)?;
        let current = journal_path(dir, state.generation);
        let (journal, lines) =
            Journal::open::<Line>(&current).map_err(|error| in_journal(&current, error))?;
        lines.iter().for_each(|line| state.apply(line));
        sync(dir).map_err(at)?;
        sweep(dir, &current).map_err(at)?;
        Ok(Self { dir: dir.to_owned(), journal, state, limit: MOST_BYTES, _lock: lock })
    }

    /// What is known.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where cases are.
    pub fn findings(&self) -> PathBuf {
        findings(&self.dir)
    }

    /// Writes a line down, waits until it is on disk, and takes it in.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn append(&mut self, line: &Line) -> Result<(), StoreError> {
        let at = |error| StoreError::Io(self.dir.clone(), error);
        self.journal.append(line).map_err(at)?;
        self.state.apply(line);
        if self.journal.bytes() > self.limit { self.compact() } else { Ok(()) }
    }

    /// Writes the state down and begins a new journal.
    fn compact(&mut self) -> Result<(), StoreError> {
        let mut state = self.state.clone();
        state.generation += 1;
        self.put(state)
    }

    /// Replaces everything that is known, except the cases.
    pub(super) fn put(&mut self, state: State) -> Result<(), StoreError> {
        let at = |error| StoreError::Io(self.dir.clone(), error);
        let old = journal_path(&self.dir, self.state.generation);
        let path = journal_path(&self.dir, state.generation);
        let (journal, _) = Journal::open::<Line>(&path).map_err(|error| in_journal(&path, error))?;
        sync(&self.dir).map_err(at)?;
        replace(&state_path(&self.dir), state.to_json().as_bytes()).map_err(at)?;
        (self.journal, self.state) = (journal, state);
        if old != path {
            fs::remove_file(old).map_err(at)?;
        }
        Ok(())
    }

    /// Moves the campaign to a directory `before-NAME` in this one, so that another can begin here; returns where it is.
    /// Cut short, it leaves no campaign here, and no case is gone.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn set_aside(self, name: &str) -> Result<PathBuf, StoreError> {
        let at = |error| StoreError::Io(self.dir.clone(), error);
        let names = (1..).map(|n| match n {
            1 => self.dir.join(format!("before-{name}")),
            n => self.dir.join(format!("before-{name}-{n}")),
        });
        let target = names.into_iter().find(|path| !path.exists()).expect("one of all numbers is free");
        fs::create_dir(&target).map_err(at)?;
        let journal = journal_path(&self.dir, self.state.generation);
        for path in [state_path(&self.dir), journal, findings(&self.dir), self.dir.join("report.json")] {
            match fs::rename(&path, target.join(path.file_name().expect("it is in the directory"))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(error)),
                _ => {}
            }
        }
        sync(&self.dir).map_err(at)?;
        Ok(target)
    }

    /// Writes a file of the directory, whole or not at all.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        let path = self.dir.join(name);
        replace(&path, bytes).map_err(|error| StoreError::Io(path.clone(), error))?;
        Ok(path)
    }
}

/// What is known to a directory that somebody else may be working on.
///
/// # Errors
/// [`StoreError`].
pub fn read(dir: &Path) -> Result<State, StoreError> {
    // A journal that was replaced in between is gone: then there is a newer state.
    for _ in 0..8 {
        let mut state = read_state(dir)?;
        let path = journal_path(dir, state.generation);
        match journal::lines::<Line>(&path) {
            Ok(lines) => {
                lines.iter().for_each(|line| state.apply(line));
                return Ok(state);
            }
            Err(JournalError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                if read_state(dir)?.generation == state.generation {
                    return Ok(state);
                }
            }
            Err(error) => return Err(in_journal(&path, error)),
        }
    }
    Err(StoreError::Content(dir.to_owned(), "its journal changes faster than it can be read".to_owned()))
}

/// Where the cases of a directory are.
pub fn findings(dir: &Path) -> PathBuf {
    dir.join("findings")
}

fn state_path(dir: &Path) -> PathBuf {
    dir.join("state.json")
}

fn journal_path(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("journal.{generation}"))
}

fn read_state(dir: &Path) -> Result<State, StoreError> {
    let path = state_path(dir);
    let json = fs::read_to_string(&path).map_err(|error| StoreError::Io(path.clone(), error))?;
    State::from_json(&json).map_err(|reason| StoreError::Content(path, reason))
}

fn in_journal(path: &Path, error: JournalError) -> StoreError {
    match error {
        JournalError::Io(error) => StoreError::Io(path.to_owned(), error),
        other => StoreError::Content(path.to_owned(), other.to_string()),
    }
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let at = |error| StoreError::Io(path.clone(), error);
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(at)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            file.read_to_string(&mut owner).map_err(at)?;
            return Err(StoreError::Locked(dir.to_owned(), owner.trim().to_owned()));
        }
        Err(TryLockError::Error(error)) => return Err(at(error)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(at)?;
    Ok(file)
}

/// Removes what a process that was killed has left: journals that nothing names, and files half written.
fn sweep(dir: &Path, current: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let is_old = name.starts_with("journal.") && path != current;
        if is_old || is_temporary(&name) {
            fs::remove_file(&path)?;
        }
    }
    for folder in fs::read_dir(findings(dir))?.flatten().filter(|entry| entry.path().is_dir()) {
        for entry in fs::read_dir(folder.path())?.flatten() {
            if is_temporary(&entry.file_name().to_string_lossy()) {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

fn is_temporary(name: &str) -> bool {
    name.starts_with('.')
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Writes a file in place of what is there: whole or not at all, even when the machine stops in between.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".")
        .suffix(".tmp")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|refused| refused.error)?;
    sync(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::Build;
    use crate::campaign::state::{Sample, Unit};

    fn unit(n: u64) -> Line {
        Line::Unit(Box::new(Unit {
            subject: "a".to_owned(),
            shard: "0/1".to_owned(),
            n,
            took_us: 10,
            ..Unit::default()
        }))
    }

    fn open(dir: &Path) -> Store {
        Store::open(dir, || State::new(5, 100, Build::default())).expect("it can be opened")
    }

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first = open(dir.path());
        let error = Store::open(dir.path(), || State::new(5, 100, Build::default()))
            .expect_err("it is in use")
            .to_string();
        let own = std::process::id();
        assert_eq!(error, format!("{}: in use by another campaign (process {own})", dir.path().display()));
        drop(first);
        open(dir.path());
    }

    #[test]
    fn what_was_written_is_there_whatever_the_number_of_journals() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut store = open(dir.path());
        store.limit = 600;
        for n in 0..40 {
            store.append(&unit(n)).expect("writable");
            assert_eq!(read(dir.path()).expect("readable"), *store.state());
        }
        let state = store.state().clone();
        assert!(state.generation > 3, "{}", state.generation);
        drop(store);
        assert_eq!(*open(dir.path()).state(), state);
        let journals = fs::read_dir(dir.path()).expect("readable").flatten();
        let names: Vec<_> = journals.map(|entry| entry.file_name().into_string().expect("text")).collect();
        assert_eq!(names.iter().filter(|name| name.starts_with("journal")).count(), 1, "{names:?}");
    }

    #[test]
    fn cut_short_while_the_journal_is_replaced_nothing_is_lost() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut store = open(dir.path());
        (0..5).for_each(|n| store.append(&unit(n)).expect("writable"));
        let before = store.state().clone();
        // The new journal is there, the state is not yet; and the other way round, the old journal is still there.
        fs::write(dir.path().join("journal.1"), "").expect("writable");
        fs::write(dir.path().join(".half.tmp"), "{").expect("writable");
        drop(store);
        let mut store = open(dir.path());
        assert_eq!(*store.state(), before);
        assert!(!dir.path().join("journal.1").exists() && !dir.path().join(".half.tmp").exists());
        let old = fs::read(dir.path().join("journal.0")).expect("readable");
        store.compact().expect("writable");
        fs::write(dir.path().join("journal.0"), old).expect("writable");
        drop(store);
        let after = open(dir.path()).state().clone();
        assert_eq!(after, State { generation: 1, ..before });
        assert!(!dir.path().join("journal.0").exists());
    }

    #[test]
    fn a_journal_of_days_stays_bounded() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut store = open(dir.path());
        store.limit = 2000;
        for at_ms in 0..1000 {
            let sample = Sample { at_ms, states: 0, units: 0, marks: 0, rss_kib: 0 };
            store.append(&Line::Sample(sample)).expect("writable");
            assert!(store.journal.bytes() <= 2200);
        }
    }

    #[test]
    fn what_is_no_campaign_is_named() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("state.json"), r#"{"schema":"kop-campaign/1"}"#).expect("writable");
        let error = Store::open(dir.path(), || State::new(5, 100, Build::default()))
            .expect_err("another schema")
            .to_string();
        assert!(error.contains("state.json: a campaign of the schema \"kop-campaign/1\""), "{error}");
        let empty = tempfile::tempdir().expect("a temporary directory");
        assert!(matches!(read(empty.path()), Err(StoreError::Io(..))));
    }
}
