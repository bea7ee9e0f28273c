// SPDX-License-Identifier: GPL-2.0-or-later
//! GNU as, run once for a whole list of instructions.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};

use kop_ops::Arch;

use super::AssemblerError;

/// The programs that assemble for one architecture.
struct Tools {
    assembler: &'static str,
    objcopy: &'static str,
    package: &'static str,
    /// What the source starts with; one line.
    header: &'static str,
}

impl Tools {
    fn of(arch: Arch) -> Self {
        match arch {
            Arch::X86_64 if cfg!(target_arch = "x86_64") => Tools {
                assembler: "as",
                objcopy: "objcopy",
                package: "binutils",
                header: ".intel_syntax noprefix",
            },
            Arch::X86_64 => Tools {
                assembler: "x86_64-linux-gnu-as",
                objcopy: "x86_64-linux-gnu-objcopy",
                package: "binutils-x86-64-linux-gnu",
                header: ".intel_syntax noprefix",
            },
            Arch::Aarch64 => Tools {
                assembler: "aarch64-linux-gnu-as",
                objcopy: "aarch64-linux-gnu-objcopy",
                package: "binutils-aarch64-linux-gnu",
                header: ".arch armv8.5-a+crc+crypto+sha3+lse+rcpc+sve2+sve2-bitperm",
            },
        }
    }
}

/// The section that holds the length of every instruction as 32-bit words, so that the code can be split.
const LENGTHS: &str = ".lengths";

/// The bytes of each of `texts`, which are one instruction each; relative to its own address where the text says `.`.
///
/// # Errors
/// [`AssemblerError::Refused`] with the first text that is not accepted, [`AssemblerError::Missing`] when the
/// architecture's binutils are not installed, [`AssemblerError::Io`] when they cannot be run.
pub fn assemble_all(arch: Arch, texts: &[String]) -> Result<Vec<Vec<u8>>, AssemblerError> {
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    let tools = Tools::of(arch);
    let directory = tempfile::tempdir().map_err(|error| io("creating a temporary directory", &error))?;
    let source = directory.path().join("code.s");
    fs::write(&source, program(&tools, texts))
        .map_err(|error| io("writing the assembler's input", &error))?;
    let object = directory.path().join("code.o");
    assemble(&tools, &source, &object, texts)?;
    let code = section(&tools, &object, ".text")?;
    let lengths = section(&tools, &object, LENGTHS)?;
    split(&code, &lengths, texts.len())
}

/// The source: a header line, and one line for each instruction.
fn program(tools: &Tools, texts: &[String]) -> String {
    let mut program = format!("{}\n", tools.header);
    for text in texts {
        writeln!(program, "0: {text}; 1: .section {LENGTHS}, \"\"; .4byte 1b - 0b; .text")
            .expect("writing to a string cannot fail");
    }
    program
}

fn assemble(tools: &Tools, source: &Path, object: &Path, texts: &[String]) -> Result<(), AssemblerError> {
    let output =
        run(tools, Command::new(tools.assembler).arg("-o").arg(object).arg(source), tools.assembler)?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let (line, message) = first_error(&stderr).unwrap_or((0, stderr.trim()));
    let text = line.checked_sub(2).and_then(|index| texts.get(index)).cloned().unwrap_or_default();
    Err(AssemblerError::Refused { assembler: "GNU as", text, message: message.to_owned() })
}

/// The line number and the words of the first `code.s:LINE: Error: ...`.
fn first_error(stderr: &str) -> Option<(usize, &str)> {
    stderr.lines().find_map(|line| {
        let (place, message) = line.split_once(": Error: ")?;
        let (_, number) = place.rsplit_once(':')?;
        Some((number.parse().ok()?, message))
    })
}

/// The contents of a section of `object`.
fn section(tools: &Tools, object: &Path, name: &str) -> Result<Vec<u8>, AssemblerError> {
    let contents = object.with_extension("section");
    let mut command = Command::new(tools.objcopy);
    command.arg("--dump-section").arg(format!("{name}={}", contents.display()));
    command.arg(object).arg(object.with_extension("copy"));
    let output = run(tools, &mut command, tools.objcopy)?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(AssemblerError::Io { action: format!("reading {name}"), message });
    }
    fs::read(&contents).map_err(|error| io(&format!("reading {name}"), &error))
}

fn run(tools: &Tools, command: &mut Command, program: &'static str) -> Result<Output, AssemblerError> {
    command.env("LC_ALL", "C").output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => AssemblerError::Missing { program, package: tools.package },
        _ => io(&format!("running {program}"), &error),
    })
}

/// Cuts `code` into `count` instructions by their `lengths`.
fn split(code: &[u8], lengths: &[u8], count: usize) -> Result<Vec<Vec<u8>>, AssemblerError> {
    let torn = || AssemblerError::Io {
        action: "splitting the assembler's output".to_owned(),
        message: "the lengths do not add up".to_owned(),
    };
    let (lengths, []) = lengths.as_chunks::<4>() else { return Err(torn()) };
    let mut rest = code;
    let mut split = Vec::with_capacity(count);
    for length in lengths {
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| torn())?;
        let (insn, after) = rest.split_at_checked(length).ok_or_else(torn)?;
        split.push(insn.to_vec());
        rest = after;
    }
    if split.len() == count && rest.is_empty() { Ok(split) } else { Err(torn()) }
}

fn io(action: &str, error: &std::io::Error) -> AssemblerError {
    AssemblerError::Io { action: action.to_owned(), message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_first_refused_instruction_is_named() {
        let error = assemble_all(Arch::X86_64, &texts(&["nop", "frobnicate eax", "mov eax"]));
        let Err(AssemblerError::Refused { text, message, .. }) = error else { panic!("{error:?}") };
        assert_eq!(text, "frobnicate eax");
        assert!(message.contains("no such instruction"), "{message}");
    }

    #[test]
    fn instructions_are_split() {
        let code = assemble_all(Arch::X86_64, &texts(&["nop", "jmp .+5", "ret"]));
        assert_eq!(code, Ok(vec![vec![0x90], vec![0xeb, 3], vec![0xc3]]));
        let code = assemble_all(Arch::Aarch64, &texts(&["nop", "b .+8"]));
        assert_eq!(
            code,
            Ok(vec![0xd503_201fu32.to_le_bytes().to_vec(), 0x1400_0002u32.to_le_bytes().to_vec()])
        );
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let tools = Tools { assembler: "no-such-as", objcopy: "", package: "binutils-none", header: "" };
        let error = assemble(&tools, Path::new("/dev/null"), Path::new("/dev/null"), &[]);
        assert_eq!(error, Err(AssemblerError::Missing { program: "no-such-as", package: "binutils-none" }));
    }
}
