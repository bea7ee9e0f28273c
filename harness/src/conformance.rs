// SPDX-License-Identifier: GPL-2.0-or-later
//! Cases that say what instructions do, as text under `corpus/conformance`: programs with their result, and bytes that are no
//! program with the reason.
//!
//! A line of a file is a case: `INPUTS | PROGRAM => RESULT`. Instructions are separated by semicolons. Inputs are registers
//! with values, which the program finds in its memory and loads first, or the memory itself: `{00 ff}`. The result is r0 or the
//! fault. In `invalid.txt` a case is `BYTES => REASON`. Lines that start with `#` are comments.

use std::path::Path;

use kop_ops::ebpf::{Insn, Reg, Size, encode_program, parse_program};

use crate::plugin::parse_hex;

/// A program and what it has to end with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valid {
    /// The line, for messages.
    pub line: String,
    /// The instructions.
    pub insns: Vec<Insn>,
    /// What r1 points to.
    pub memory: Vec<u8>,
    /// r0, or how the description of the fault starts.
    pub result: Result<u64, String>,
}

impl Valid {
    /// The program's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        encode_program(&self.insns)
    }
}

/// Bytes that are no program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What the reason has to hold.
    pub reason: String,
}

/// A line that is no case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{line}`: {reason}")]
pub struct BadCase {
    /// The line.
    pub line: String,
    /// Why.
    pub reason: String,
}

/// Reads the cases of a file of programs.
///
/// # Errors
/// [`BadCase`] with the first line that is none.
pub fn valid(text: &str) -> Result<Vec<Valid>, BadCase> {
    let parse = |line: &str| -> Result<Valid, String> {
        let (rest, result) = line.rsplit_once("=>").ok_or("no => before the result")?;
        let (inputs, program) = rest.split_once('|').ok_or("no | between inputs and program")?;
        let (mut insns, memory) = inputs_of(inputs.trim())?;
        let source = program.replace(';', "\n").replace(": ", ":\n");
        insns.extend(parse_program(&source).map_err(|error| error.to_string())?);
        let result = match result.trim().strip_prefix("0x") {
            Some(digits) => Ok(u64::from_str_radix(digits, 16).map_err(|error| error.to_string())?),
            None => Err(result.trim().to_owned()),
        };
        Ok(Valid { line: line.to_owned(), insns, memory, result })
    };
    each(text, parse)
}

/// Reads the cases of a file of bytes that are no program.
///
/// # Errors
/// As [`valid`].
pub fn invalid(text: &str) -> Result<Vec<Invalid>, BadCase> {
    let parse = |line: &str| -> Result<Invalid, String> {
        let (bytes, reason) = line.split_once("=>").ok_or("no => before the reason")?;
        Ok(Invalid { bytes: parse_hex(bytes)?, reason: reason.trim().to_owned() })
    };
    each(text, parse)
}

/// Reads every file of programs in a folder, in the order of their names.
///
/// # Errors
/// What cannot be read, in a line.
pub fn read(folder: &Path) -> Result<Vec<Valid>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let paths: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(|error| format!("{}: {error}", folder.display()))?;
    paths.retain(|path| path.extension().is_some_and(|end| end == "txt") && !path.ends_with("invalid.txt"));
    paths.sort();
    let mut cases = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        cases.extend(valid(&text).map_err(|bad| format!("{}: {bad}", path.display()))?);
    }
    Ok(cases)
}

fn each<T>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, BadCase> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| parse(line).map_err(|reason| BadCase { line: line.to_owned(), reason })).collect()
}

/// The instructions that load the inputs, and the memory that holds them.
fn inputs_of(inputs: &str) -> Result<(Vec<Insn>, Vec<u8>), String> {
    if let Some(bytes) = inputs.strip_prefix('{') {
        return Ok((Vec::new(), parse_hex(bytes.strip_suffix('}').ok_or("no } after the memory")?)?));
    }
    let (mut insns, mut memory) = (Vec::new(), Vec::new());
    for input in inputs.split_whitespace() {
        let (name, value) = input.split_once('=').ok_or_else(|| format!("`{input}` is no register=value"))?;
        let register: Reg = name.parse().map_err(|error| format!("{error}"))?;
        if matches!(register, Reg::R1 | Reg::R10) {
            return Err(format!("`{input}`: r1 and r10 are pointers"));
        }
        let offset = memory.len() as i16;
        insns.push(Insn::load(Size::B8, register, Reg::R1, offset));
        memory.extend(number(value).ok_or_else(|| format!("`{value}` is no number"))?.to_le_bytes());
    }
    Ok((insns, memory))
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse::<i64>().ok().map(|value| value as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_loaded_from_memory() {
        let cases =
            valid("# a comment\n\nr3=-2 r4=0x10 | r0 = r3; exit => 0xfffffffffffffffe\n").expect("a case");
        let [case] = &cases[..] else { panic!("{cases:?}") };
        assert_eq!(
            case.insns[..2],
            [3, 4].map(|r| {
                let register = Reg::new(r).expect("a register");
                Insn::load(Size::B8, register, Reg::R1, (i16::from(r) - 3) * 8)
            })
        );
        assert_eq!((case.insns.len(), case.memory[0], case.memory[8]), (4, 0xfe, 0x10));
        assert_eq!(case.result, Ok(u64::MAX - 1));
    }

    #[test]
    fn memory_faults_and_labels_are_read() {
        let cases = valid("{01 02} | goto f; exit; f: r0 = 0; exit => bad read").expect("a case");
        assert_eq!((&cases[0].memory[..], cases[0].insns.len()), (&[1, 2][..], 4));
        assert_eq!(cases[0].result, Err("bad read".to_owned()));
    }

    #[test]
    fn bad_lines_are_named() {
        for (line, reason) in [
            ("r0 = 1; exit => 0x1", "|"),
            ("| exit", "=>"),
            ("r3 | exit => 0x0", "register=value"),
            ("r1=5 | exit => 0x0", "pointers"),
            ("r3=x | exit => 0x0", "number"),
            ("| r77 = 1 => 0x0", "line 1"),
            ("{0} | exit => 0x0", "byte"),
            ("| exit => 0xg", "digit"),
        ] {
            let bad = valid(line).expect_err("it is no case").to_string();
            assert!(bad.contains(reason), "{bad}");
        }
        assert!(invalid("zz => x").is_err() && invalid("95").is_err());
    }
}
