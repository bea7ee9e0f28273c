// SPDX-License-Identifier: GPL-2.0-or-later
//! What the verifier says of a program, and the classes that its reasons are counted by.

use std::io;

/// What the verifier says of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is accepted.
    pub accepted: bool,
    /// The last lines of the log, which say why not; empty when it is accepted. Instructions in it are numbered by slot,
    /// [`Verdict::prologue`] more than in the program.
    pub tail: String,
    /// The reason with registers and numbers taken out (`R# invalid mem access 'scalar'`), for counting; empty when it is
    /// accepted.
    pub class: String,
    /// How many slots were put before the program.
    pub prologue: usize,
}

impl Verdict {
    /// The program is accepted.
    pub(super) fn accepted(prologue: usize) -> Self {
        Self { accepted: true, tail: String::new(), class: String::new(), prologue }
    }

    /// The program was refused with this log and error.
    pub(super) fn refused(log: &str, error: &io::Error, prologue: usize) -> Self {
        let tail = tail(log);
        if tail.is_empty() {
            let text = error.to_string();
            return Self { accepted: false, class: normalised(&text), tail: text, prologue };
        }
        Self { accepted: false, class: normalised(reason(log)), tail, prologue }
    }
}

/// The text of a log buffer.
pub(super) fn text(log: &[u8]) -> String {
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
    String::from_utf8_lossy(&log[..end]).into_owned()
}

/// The lines of a log that say something, without its statistics.
fn lines(log: &str) -> Vec<&str> {
    let statistics = ["processed ", "verification time ", "stack depth "];
    log.lines()
        .filter(|line| !line.is_empty() && !statistics.iter().any(|start| line.starts_with(start)))
        .collect()
}

fn tail(log: &str) -> String {
    const LINES: usize = 4;
    let lines = lines(log);
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// The first line behind the last one that follows the verifier along the program.
fn reason(log: &str) -> &str {
    let lines = lines(log);
    let last = lines.len().saturating_sub(1);
    let start = lines.iter().rposition(|line| follows_the_program(line)).map_or(0, |index| index + 1);
    lines.get(start.min(last)).copied().unwrap_or_default()
}

/// Whether the line says where the verifier is and what it knows, not what is wrong.
fn follows_the_program(line: &str) -> bool {
    const STARTS: [&str; 11] = [
        "from ",
        "mark_precise",
        "last_idx",
        "regs=",
        "parent ",
        "func#",
        "; ",
        "caller:",
        "callee:",
        "returning from ",
        " frame",
    ];
    let digits = line.chars().take_while(char::is_ascii_digit).count();
    (digits > 0 && line[digits..].starts_with(':')) || STARTS.iter().any(|start| line.starts_with(start))
}

/// The line with every number as `#`.
fn normalised(line: &str) -> String {
    let mut class = String::with_capacity(line.len());
    let mut rest = line.trim().chars().peekable();
    while let Some(next) = rest.next() {
        let negative = next == '-' && rest.peek().is_some_and(char::is_ascii_digit);
        if !next.is_ascii_digit() && !negative {
            class.push(next);
            continue;
        }
        let mut hexadecimal = false;
        while let Some(digit) =
            rest.next_if(|c| c.is_ascii_digit() || (hexadecimal && c.is_ascii_hexdigit()) || *c == 'x')
        {
            hexadecimal |= digit == 'x';
        }
        class.push('#');
    }
    class
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_found_and_have_no_numbers() {
        let error = || io::Error::from_raw_os_error(libc::EACCES);
        let table = [
            ("0: R1=ctx() R10=fp0\n0: (bf) r0 = r3\nR3 !read_ok\nprocessed 1 insns\n", "R# !read_ok"),
            (
                "3: (71) r0 = *(u8 *)(r1 -0x10)\nR1 min value is -16, it is 0x1f\nmore of it\nprocessed 4 insns\n",
                "R# min value is #, it is #",
            ),
            ("func#0 @0\nunreachable insn 3\nprocessed 0 insns\n", "unreachable insn #"),
            ("back-edge from insn 12 to 0\n", "back-edge from insn # to #"),
            ("", "Permission denied (os error #)"),
        ];
        for (log, class) in table {
            let verdict = Verdict::refused(log, &error(), 0);
            assert!(!verdict.accepted);
            assert_eq!(verdict.class, class);
            assert!(!verdict.tail.contains("processed"));
        }
        assert_eq!(text(b"abc\0def"), "abc");
    }
}
