// SPDX-License-Identifier: GPL-2.0-or-later
//! The journal: one line for everything that happened, with a checksum, each on disk before anybody counts on it.
//!
//! A line is 16 hexadecimal digits, a blank, JSON. The digits are the hash of the number of the line and the JSON, so that a
//! line that was lost in the middle does not go unnoticed. [`Journal::append`] synchronises the file before it returns: when a
//! process is killed, or a machine loses power, the last line may be torn and no other.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::behaviour::hash;

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    file: File,
    lines: u64,
    bytes: u64,
    /// The last line may be torn: what came behind it would be lost with it.
    is_torn: bool,
}

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system says so.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line is damaged, and it is not the last.
    #[error("line {0} is damaged, and others follow: what it said is lost")]
    Damaged(u64),
    /// A line is whole and says what this version does not understand.
    #[error("line {line} is not understood: {reason}")]
    Unknown {
        /// The line, from 1.
        line: u64,
        /// Why.
        reason: String,
    },
}

impl Journal {
    /// Opens a journal, creates it where there is none, and reads what it holds. A last line that is torn is cut off.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open<L: DeserializeOwned>(path: &Path) -> Result<(Self, Vec<L>), JournalError> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (lines, sound) = read(&bytes)?;
        if sound < bytes.len() {
            file.set_len(sound as u64)?;
            file.sync_all()?;
        }
        file.seek(io::SeekFrom::Start(sound as u64))?;
        Ok((Self { file, lines: lines.len() as u64, bytes: sound as u64, is_torn: false }, lines))
    }

    /// Adds a line and waits until it is on disk. After a failure, as on a full disk, no other line is taken: a part of this one
    /// may be there, which the next [`Journal::open`] cuts off as long as it is the last.
    ///
    /// # Errors
    /// What writing and synchronising report.
    pub fn append(&mut self, line: &impl Serialize) -> io::Result<()> {
        if self.is_torn {
            return Err(io::Error::other("an earlier line could not be written"));
        }
        let text = written(self.lines, line)?;
        self.is_torn = true;
        self.file.write_all(text.as_bytes())?;
        self.file.sync_data()?;
        self.is_torn = false;
        self.lines += 1;
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// How long it is, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn written(number: u64, line: &impl Serialize) -> io::Result<String> {
    let json = serde_json::to_string(line)?;
    Ok(format!("{:016x} {json}\n", checksum(number, &json)))
}

fn checksum(number: u64, json: &str) -> u64 {
    hash([&number.to_le_bytes()[..], json.as_bytes()])
}

/// The lines of a journal as it is on disk, without changing it.
///
/// # Errors
/// [`JournalError`].
pub fn lines<L: DeserializeOwned>(path: &Path) -> Result<Vec<L>, JournalError> {
    Ok(read(&std::fs::read(path)?)?.0)
}

/// The lines, and how many bytes they take.
fn read<L: DeserializeOwned>(bytes: &[u8]) -> Result<(Vec<L>, usize), JournalError> {
    let (mut lines, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let number = lines.len() as u64;
        let end = bytes[at..].iter().position(|&byte| byte == b'\n').map(|length| at + length);
        let Some(json) = end.and_then(|end| sound(&bytes[at..end], number)) else {
            // A torn line has no whole one behind it.
            let rest = end.map_or(&[][..], |end| &bytes[end + 1..]);
            return if rest.contains(&b'\n') {
                Err(JournalError::Damaged(number + 1))
            } else {
                Ok((lines, at))
            };
        };
        let line = serde_json::from_str(json)
            .map_err(|error| JournalError::Unknown { line: number + 1, reason: error.to_string() })?;
        lines.push(line);
        at = end.expect("a sound line has an end") + 1;
    }
    Ok((lines, at))
}

/// The JSON of a line whose checksum is right.
fn sound(line: &[u8], number: u64) -> Option<&str> {
    let (digits, json) = str::from_utf8(line).ok()?.split_once(' ')?;
    let told = u64::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 16)?;
    (told == checksum(number, json)).then_some(json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn journal(count: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("journal");
        let (mut journal, found) = Journal::open::<String>(&path).expect("it is new");
        assert!(found.is_empty());
        (0..count).for_each(|number| journal.append(&format!("line {number}")).expect("writable"));
        assert_eq!(journal.bytes(), fs::metadata(&path).expect("it is there").len());
        (dir, path)
    }

    #[test]
    fn cut_anywhere_it_keeps_every_whole_line_and_goes_on() {
        let (dir, path) = journal(5);
        let whole = fs::read(&path).expect("readable");
        for length in 0..=whole.len() {
            let cut = dir.path().join("cut");
            fs::write(&cut, &whole[..length]).expect("writable");
            let expected = whole[..length].iter().filter(|&&byte| byte == b'\n').count();
            let (mut again, found) = Journal::open::<String>(&cut).expect("a torn line is no error");
            assert_eq!(found.len(), expected, "{length} bytes");
            again.append(&"more".to_owned()).expect("writable");
            let found: Vec<String> = lines(&cut).expect("sound");
            assert_eq!((found.len(), found.last().map(String::as_str)), (expected + 1, Some("more")));
        }
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let (dir, path) = journal(3);
        let whole = fs::read(&path).expect("readable");
        let ends: Vec<usize> =
            whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x01;
            let changed = dir.path().join("changed");
            fs::write(&changed, &bytes).expect("writable");
            match lines::<String>(&changed) {
                Err(JournalError::Damaged(line)) => {
                    assert_eq!(line as usize, 1 + ends.iter().filter(|end| **end < at).count(), "byte {at}");
                }
                // The last line alone may be taken for a torn one.
                Ok(found) => {
                    assert!(found.len() == 2 && at > ends[1] || at == ends[1], "byte {at}: {found:?}")
                }
                Err(error) => panic!("byte {at}: {error}"),
            }
        }
    }

    #[test]
    fn lines_do_not_change_places() {
        let (_dir, path) = journal(2);
        let text = fs::read_to_string(&path).expect("text");
        let swapped: Vec<&str> = text.lines().rev().collect();
        fs::write(&path, format!("{}\n", swapped.join("\n"))).expect("writable");
        assert!(matches!(lines::<String>(&path), Err(JournalError::Damaged(1))));
    }

    #[test]
    fn nothing_is_written_behind_a_line_that_could_not_be() {
        let (_dir, path) = journal(2);
        let (mut journal, _) = Journal::open::<String>(&path).expect("sound");
        let writable = std::mem::replace(&mut journal.file, File::open(&path).expect("readable"));
        assert!(journal.append(&"refused").is_err());
        journal.file = writable;
        let error = journal.append(&"behind it").expect_err("it may be torn").to_string();
        assert_eq!(error, "an earlier line could not be written");
        assert_eq!(lines::<String>(&path).expect("sound").len(), 2);
    }
}
