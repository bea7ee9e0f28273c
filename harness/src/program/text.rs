// SPDX-License-Identifier: GPL-2.0-or-later
//! Cases of programs as readable text.
//!
//! ```text
//! # a 32-bit shift by zero kept the upper half
//! kop-program 1
//! packet 00 01 02
//! garbage 0x7
//! fuel 1000
//! verified
//! .program main raw
//! r0 = r1
//! w0 <<= 0
//! exit
//! ```
//!
//! The lines up to the first that starts with a dot say what the program finds; the packet is empty, the seed of the garbage 0 and
//! fuel plenty where they are absent. `verified` says that a verifier would accept the programs, which the native tier is for. The rest is a program file as text ([`kop_jit::load::Format::Text`]).

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kop_jit::load::{Format, LoadOptions, load as load_programs};
use kop_ops::Object;
use kop_ops::program::MapKind;

use super::{FUEL, ProgramCase};

/// The first line of every case.
const HEADER: &str = "kop-program 1";

/// What the first line of a case of any version starts with.
const FORMAT: &str = "kop-program ";

/// The extension of the files.
pub const EXTENSION: &str = "program";

/// The largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Why a text is no case of a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramCaseError {
    /// A line is wrong.
    #[error("line {line}: {message}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// The programs are wrong.
    #[error(transparent)]
    Load(#[from] kop_jit::load::LoadError),
    /// The file is wrong as a whole.
    #[error("{0}")]
    Whole(String),
}

impl ProgramCase {
    /// Reads the text that `Display` prints, or that a person wrote.
    ///
    /// # Errors
    /// [`ProgramCaseError`] with the line and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ProgramCaseError> {
        let mut comment = Vec::new();
        let (mut packet, mut garbage, mut fuel, mut verified) = (Vec::new(), 0, FUEL, false);
        let mut has_header = false;
        let mut before = 0;
        for (index, line) in text.lines().enumerate() {
            let fail = |message: String| ProgramCaseError::Line { line: index + 1, message };
            let trimmed = line.trim();
            if trimmed.starts_with('.') {
                break;
            }
            before = index + 1;
            let (word, rest) = trimmed.split_once(' ').unwrap_or((trimmed, ""));
            match word {
                "" => {}
                _ if trimmed == HEADER => has_header = true,
                _ if trimmed.starts_with('#') => {
                    let text = trimmed.trim_start_matches('#');
                    comment.push(text.strip_prefix(' ').unwrap_or(text).to_owned());
                }
                _ if !has_header => return Err(fail(format!("a case of a program starts with `{HEADER}`"))),
                "packet" => {
                    let byte = |text: &str| u8::from_str_radix(text, 16);
                    let bytes: Result<Vec<u8>, _> = rest.split_whitespace().map(byte).collect();
                    packet = bytes.map_err(|_| fail("hexadecimal bytes separated by blanks".to_owned()))?;
                }
                "garbage" => garbage = number(rest).ok_or_else(|| fail(format!("`{rest}` is no number")))?,
                "fuel" => fuel = number(rest).ok_or_else(|| fail(format!("`{rest}` is no number")))?,
                "verified" if rest.is_empty() => verified = true,
                _ => return Err(fail(format!("`{word}` is none of packet, garbage, fuel, verified"))),
            }
        }
        if !has_header {
            return Err(ProgramCaseError::Whole(format!("a case of a program starts with `{HEADER}`")));
        }
        // Empty lines in place of those read above, so that errors tell the file's line.
        let rest: Vec<&str> = text.lines().skip(before).collect();
        let source = format!("{}{}\n", "\n".repeat(before), rest.join("\n"));
        let options = LoadOptions { format: Some(Format::Text), ..LoadOptions::default() };
        let object = load_programs(source.as_bytes(), &options)?;
        Ok(Self { comment, object, packet, garbage, fuel, verified })
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for ProgramCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.comment.iter().flat_map(|text| text.split('\n')) {
            let space = if line.is_empty() { "" } else { " " };
            writeln!(f, "#{space}{line}")?;
        }
        writeln!(f, "{HEADER}")?;
        if !self.packet.is_empty() {
            let bytes: Vec<String> = self.packet.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(f, "packet {}", bytes.join(" "))?;
        }
        if self.garbage != 0 {
            writeln!(f, "garbage {:#x}", self.garbage)?;
        }
        if self.fuel != FUEL {
            writeln!(f, "fuel {}", self.fuel)?;
        }
        if self.verified {
            writeln!(f, "verified")?;
        }
        ObjectText(&self.object).fmt(f)
    }
}

/// An object as a program file in text.
#[derive(Clone, Copy, Debug)]
pub struct ObjectText<'a>(pub &'a Object);

impl fmt::Display for ObjectText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = self.0;
        if !object.license.is_empty() {
            writeln!(f, ".license {}", object.license)?;
        }
        for map in &*object.maps {
            let (name, kind) = (&map.name, map.kind.name());
            write!(f, ".map {name} {kind} {} {} {}", map.key_size, map.value_size, map.max_entries)?;
            writeln!(f, "{}", if map.flags == 0 { String::new() } else { format!(" {}", map.flags) })?;
            for (key, value) in &map.initial {
                let value = match map.kind {
                    MapKind::ProgramArray => program_name(object, value),
                    _ => hex(value),
                };
                writeln!(f, ".init {name} {} {value}", hex(key))?;
            }
        }
        for target in &object.operations {
            writeln!(f, ".kop {} {} {}", target.id, target.kop, target.form)?;
        }
        for program in &object.programs {
            writeln!(f, ".program {} {}", program.name, program.kind.name())?;
            for insn in program.flow.insns() {
                writeln!(f, "{insn}")?;
            }
        }
        Ok(())
    }
}

/// The name of the program that an element of a program array refers to.
fn program_name(object: &Object, value: &[u8]) -> String {
    let index = value.first_chunk().map(|bytes| u32::from_le_bytes(*bytes) as usize);
    let program = index.and_then(|index| object.programs.get(index));
    program.map_or("none".to_owned(), |program| program.name.clone())
}

/// The name of the file for cases with this cause.
pub fn file_name(cause: &str) -> String {
    let name: String =
        cause.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    format!("{name}.{EXTENSION}")
}

/// As [`save`], but a case that is there is kept.
///
/// # Errors
/// As [`save`].
pub fn save_new(dir: &Path, case: &ProgramCase, cause: &str) -> io::Result<PathBuf> {
    let path = dir.join(file_name(cause));
    if fs::symlink_metadata(&path).is_ok() { Ok(path) } else { save(dir, case, cause) }
}

/// Writes a case to `dir`, under a name that depends on the cause alone, in place of what is there; returns the path.
///
/// The file is there whole or not at all, even when the machine stops in between.
///
/// # Errors
/// What creating and writing report, with the path in the message.
pub fn save(dir: &Path, case: &ProgramCase, cause: &str) -> io::Result<PathBuf> {
    let path = dir.join(file_name(cause));
    let write = || -> io::Result<()> {
        fs::create_dir_all(dir)?;
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        io::Write::write_all(&mut file, case.to_string().as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|refused| refused.error)?;
        fs::File::open(dir)?.sync_all()?;
        match dir.parent() {
            Some(above) if !above.as_os_str().is_empty() => fs::File::open(above)?.sync_all(),
            _ => Ok(()),
        }
    };
    write().map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    Ok(path)
}

/// Whether a file holds a case of a program, of whatever version: comments, then the format's name.
pub fn is_case(bytes: &[u8]) -> bool {
    let lines = bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let mut told = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    told.next().is_some_and(|line| line.starts_with(FORMAT.as_bytes()))
}

/// A file with what it holds.
pub type Loaded = (PathBuf, Result<ProgramCase, ProgramCaseError>);

/// Reads the cases of programs under `paths`, sorted by path: files with their extension, and all of those below directories.
pub fn load_tree<P: AsRef<Path>>(paths: &[P]) -> Vec<Loaded> {
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> = paths.iter().map(|path| path.as_ref().to_owned()).collect();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            let real = entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()));
            waiting.extend(real.map(|entry| entry.path()));
        } else if path.extension().is_some_and(|extension| extension == EXTENSION) {
            found.push(path);
        }
    }
    found.sort();
    found.dedup();
    found.into_iter().map(|path| (path.clone(), load(&path))).collect()
}

/// Reads the case in a file.
///
/// # Errors
/// [`ProgramCaseError`], which does not repeat the path.
pub fn load(path: &Path) -> Result<ProgramCase, ProgramCaseError> {
    let whole = |error: io::Error| ProgramCaseError::Whole(format!("cannot be read: {error}"));
    let size = fs::metadata(path).map_err(whole)?.len();
    if size > MAX_FILE_BYTES {
        return Err(ProgramCaseError::Whole(format!("larger than {MAX_FILE_BYTES} bytes; no case is")));
    }
    ProgramCase::parse(&fs::read_to_string(path).map_err(whole)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::ProgramPlan;
    use kop_ops::choices::Seeded;
    use kop_ops::{Catalog, ProgramKind};

    #[test]
    fn cases_round_trip() {
        let catalog = Catalog::einsn();
        let plan = ProgramPlan::new(&catalog, &ProgramKind::ALL);
        for seed in 0..200 {
            let mut case = plan.generate(&mut Seeded::new(seed));
            case.comment = vec!["root cause".to_owned(), String::new(), "more".to_owned()];
            let text = case.to_string();
            let back = ProgramCase::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert!(back == case, "{text}\nbecame\n{back}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        let error = |text: &str| ProgramCase::parse(text).expect_err("no case").to_string();
        assert_eq!(error("exit\n"), "line 1: a case of a program starts with `kop-program 1`");
        assert_eq!(error("kop-program 1\nfuel many\n.program p\nexit\n"), "line 2: `many` is no number");
        assert_eq!(error("kop-program 1\npacket 0g\n"), "line 2: hexadecimal bytes separated by blanks");
        assert!(error("kop-program 1\n.program p\nr0 = \nexit\n").starts_with("line 3"));
        assert!(error("").starts_with("a case of a program starts with"));
    }
}
