// SPDX-License-Identifier: GPL-2.0-or-later
//! Native code from text: Keystone assembles it, after what Keystone takes in silence for something else is refused.
//!
//! Statements are checked for their characters first, since Keystone does not come back from one that starts with a
//! number or a sign. Directives other than those for data are refused (Keystone would read files and change sections); so are numbers that
//! an instruction has no room for, of which Keystone keeps the low bits; branches to numbers, which count from where
//! the assembler thinks it is; and addresses without a register, which it makes relative to rip with a wrong distance.

use std::cell::RefCell;

use kop_ops::Arch;

use super::expression;
use super::template::Expanded;
use crate::assembler::{AssemblerError, Keystone};

thread_local! {
    /// One for each architecture, opened when first needed; Keystone's handles are not shared between threads.
    static KEYSTONE: RefCell<[Option<Keystone>; 2]> = const { RefCell::new([None, None]) };
}

/// Why a text has no native code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NativeError {
    /// At this byte of the text.
    Refused(usize, String),
    /// Keystone itself does not work.
    Assembler(String),
}

/// The bytes of `text`, which stands at address 0.
pub(super) fn assemble(arch: Arch, text: &Expanded) -> Result<Vec<u8>, NativeError> {
    let statements = statements(&text.text);
    let lines: Vec<String> =
        statements.iter().map(|statement| line(arch, statement)).collect::<Result<_, _>>()?;
    let bytes = match keystone(arch, &lines.join("\n")) {
        Ok(bytes) => bytes,
        Err(error) => return Err(blame(arch, &statements, &lines, error)),
    };
    refuse_cut_numbers(arch, &statements, &lines, &bytes)?;
    Ok(bytes)
}

fn keystone(arch: Arch, text: &str) -> Result<Vec<u8>, AssemblerError> {
    KEYSTONE.with_borrow_mut(|opened| {
        let slot = &mut opened[arch as usize];
        if slot.is_none() {
            *slot = Some(Keystone::new(arch)?);
        }
        slot.as_ref().expect("it was just opened").assemble(text)
    })
}

/// One instruction or directive, with the labels before it.
struct Statement<'a> {
    labels: Vec<&'a str>,
    mnemonic: &'a str,
    operands: &'a str,
    /// The bytes of the text where the first label or the mnemonic, and where the operands start.
    at: usize,
    operands_at: usize,
}

/// The statements of a text: one for each line or part of a line between semicolons.
fn statements(text: &str) -> Vec<Statement<'_>> {
    let mut start = 0;
    let mut found = Vec::new();
    for part in text.split(['\n', ';']) {
        let at = start + part.len() - part.trim_start().len();
        start += part.len() + 1;
        if !part.trim().is_empty() {
            found.push(statement(part.trim(), at));
        }
    }
    found
}

fn statement(text: &str, at: usize) -> Statement<'_> {
    let mut labels = Vec::new();
    let mut rest = text;
    while let Some((label, after)) = rest.split_once(':').filter(|(label, _)| is_word(label.trim())) {
        labels.push(label.trim());
        rest = after.trim_start();
    }
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let operands = rest[end..].trim_start();
    let operands_at = at + text.len() - operands.len();
    Statement { labels, mnemonic: &rest[..end], operands, at, operands_at }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$'))
}

/// A statement as Keystone is given it.
fn line(arch: Arch, statement: &Statement) -> Result<String, NativeError> {
    if let Some(label) = statement.labels.iter().find(|label| label.starts_with(|c: char| c.is_ascii_digit()))
    {
        let what = format!("labels are names such as `again`, not numbers such as `{label}`");
        return Err(NativeError::Refused(statement.at, what));
    }
    let labels: String = statement.labels.iter().map(|label| format!("{label}: ")).collect();
    if statement.mnemonic.starts_with('.') {
        return Ok(labels + &directive(arch, statement)?);
    }
    check_characters(arch, statement)?;
    check_branch(arch, statement)?;
    check_addresses(arch, statement)?;
    for number in numbers(statement)? {
        check_push(statement, &number)?;
    }
    Ok(format!("{labels}{} {}", statement.mnemonic, statement.operands))
}

/// Refuses what no instruction is written with; Keystone hangs on some of it.
fn check_characters(arch: Arch, statement: &Statement) -> Result<(), NativeError> {
    let mnemonic = statement.mnemonic;
    let is_mnemonic = mnemonic.is_empty() && statement.operands.is_empty()
        || mnemonic.starts_with(|c: char| c.is_ascii_alphabetic())
            && mnemonic.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_'));
    if !is_mnemonic {
        return Err(NativeError::Refused(
            statement.at,
            format!("expected an instruction, found `{mnemonic}`"),
        ));
    }
    let others = match arch {
        Arch::X86_64 => " \t,[]+-*/%&|^<>~._",
        Arch::Aarch64 => " \t,[]+-*/%&|^<>~._#!{}=",
    };
    match statement.operands.char_indices().find(|(_, c)| !c.is_ascii_alphanumeric() && !others.contains(*c))
    {
        Some((at, c)) => {
            let what = format!("`{c}` has no place in an instruction (comments start with `//`)");
            Err(NativeError::Refused(statement.operands_at + at, what))
        }
        None => Ok(()),
    }
}

/// A directive for data, its values computed and checked.
fn directive(arch: Arch, statement: &Statement) -> Result<String, NativeError> {
    let refused = |what: String| NativeError::Refused(statement.at, what);
    let width = match (statement.mnemonic, arch) {
        (".byte" | ".bytes", _) => 8,
        (".word" | ".inst", Arch::Aarch64) | (".long", _) => 32,
        (".quad", _) => 64,
        (".word", Arch::X86_64) => {
            return Err(refused(
                "on x86-64 `.word` is 16 bits to some and 32 to others: use .bytes or .long".to_owned(),
            ));
        }
        (other, _) => {
            let words = if arch == Arch::Aarch64 { ", .word" } else { "" };
            return Err(refused(format!(
                "`{other}` is not taken; data is written with .bytes{words}, .long or .quad"
            )));
        }
    };
    let mut values = Vec::new();
    let mut at = statement.operands_at;
    for text in statement.operands.split(',') {
        let scope = expression::Scope { fields: &[], arch: None };
        let place = |offset| at + offset;
        let parsed = scope.parse(text, expression::Type::Number, place);
        let environment = expression::Environment { values: &[], arch: None };
        let value = parsed.and_then(|parsed| parsed.number(&environment));
        let value = value.map_err(|failure| NativeError::Refused(failure.at, failure.what))?;
        if !(-(1i128 << (width - 1))..1i128 << width).contains(&value) {
            let what = format!("{value} does not fit into the {width} bits of {}", statement.mnemonic);
            return Err(NativeError::Refused(at + text.len() - text.trim_start().len(), what));
        }
        for byte in 0..width / 8 {
            values.push(format!("{:#x}", value >> (8 * byte) & 0xff));
        }
        at += text.len() + 1;
    }
    Ok(format!(".byte {}", values.join(", ")))
}

/// Refuses branches to a number.
fn check_branch(arch: Arch, statement: &Statement) -> Result<(), NativeError> {
    let mnemonic = statement.mnemonic.to_ascii_lowercase();
    let is_branch = match arch {
        Arch::X86_64 => mnemonic.starts_with('j') || mnemonic.starts_with("loop") || mnemonic == "call",
        Arch::Aarch64 => {
            mnemonic.starts_with("b.")
                || ["b", "bl", "cbz", "cbnz", "tbz", "tbnz", "adr", "adrp"].contains(&&*mnemonic)
        }
    };
    let target = statement.operands.rsplit(',').next().unwrap_or_default().trim();
    if is_branch && target.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '#' | '-' | '+' | '.')) {
        let what = format!("`{target}` is no target: branch to a label of the same text");
        return Err(NativeError::Refused(statement.operands_at, what));
    }
    Ok(())
}

/// Refuses x86-64 addresses without a register and AArch64 literals.
fn check_addresses(arch: Arch, statement: &Statement) -> Result<(), NativeError> {
    let operands = statement.operands;
    let refused =
        |at: usize, what: &str| Err(NativeError::Refused(statement.operands_at + at, what.to_owned()));
    match arch {
        Arch::Aarch64 => match operands.find('=') {
            Some(at) => {
                refused(at, "a literal would stand behind the code and be run: load it with movz and movk")
            }
            None => Ok(()),
        },
        Arch::X86_64 => {
            for (at, _) in operands.match_indices('[') {
                let inner = operands[at + 1..].split(']').next().unwrap_or_default();
                let has_name = inner
                    .split(|c: char| !c.is_ascii_alphanumeric())
                    .any(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()));
                if !has_name {
                    return refused(
                        at,
                        "an address needs a register, Keystone takes one without it for relative to rip",
                    );
                }
            }
            Ok(())
        }
    }
}

/// A number in the operands of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number {
    value: i128,
    /// Its bytes within the operands, with a minus sign that belongs to it.
    start: usize,
    end: usize,
}

/// The numbers in the operands, but for those inside of names and with a fraction.
fn numbers(statement: &Statement) -> Result<Vec<Number>, NativeError> {
    let operands = statement.operands;
    let mut found: Vec<Number> = Vec::new();
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let mut at = 0;
    while let Some(offset) = operands[at..].find(is_part) {
        let start = at + offset;
        let end = start + operands[start..].find(|c| !is_part(c)).unwrap_or(operands.len() - start);
        at = end;
        let word = &operands[start..end];
        if !word.starts_with(|c: char| c.is_ascii_digit()) || word.contains('.') {
            continue;
        }
        let refused = |what: String| NativeError::Refused(statement.operands_at + start, what);
        let magnitude = expression::number(word).ok_or_else(|| {
            refused(format!("`{word}` is no number: there are 19, 0x13 and 0b10011; labels are names"))
        })?;
        let before = operands[..start].trim_end();
        let is_negative = before.ends_with('-');
        let number = Number {
            value: if is_negative { -magnitude } else { magnitude },
            start: if is_negative { before.len() - 1 } else { start },
            end,
        };
        if let Some(last) = found.last().filter(|last| is_sum(operands, last.end, start)) {
            let sum = &operands[last.start..end];
            return Err(refused(format!("write `{{{sum}}}`: sums of numbers are not checked otherwise")));
        }
        found.push(number);
    }
    Ok(found)
}

/// Whether two numbers, the first of which ends at `end`, are joined by an operator, outside of an address.
fn is_sum(operands: &str, end: usize, start: usize) -> bool {
    let between = &operands[end..start];
    let count = |c| operands[..end].matches(c).count();
    count('[') == count(']')
        && between.contains(|c| "+-*/%&|^<>~".contains(c))
        && !between.contains([',', '[', ']'])
}

fn check_push(statement: &Statement, number: &Number) -> Result<(), NativeError> {
    if statement.mnemonic.eq_ignore_ascii_case("push") && (0xff80..=0xffff).contains(&number.value) {
        let what = "Keystone pushes a negative number in place of this one: move it into a register first"
            .to_owned();
        return Err(NativeError::Refused(statement.operands_at + number.start, what));
    }
    Ok(())
}

/// Refuses numbers of which an instruction holds the low bits alone: the code is the same without the high ones.
fn refuse_cut_numbers(
    arch: Arch,
    statements: &[Statement],
    lines: &[String],
    bytes: &[u8],
) -> Result<(), NativeError> {
    for (index, statement) in statements.iter().enumerate().filter(|(_, s)| !s.mnemonic.starts_with('.')) {
        for number in numbers(statement)? {
            for width in [32, 16, 8] {
                let cut = number.value & ((1 << width) - 1);
                if (-(1i128 << (width - 1))..1i128 << width).contains(&number.value) {
                    continue;
                }
                let mut changed = lines.to_vec();
                let operands = statement.operands;
                let (before, after) = (&operands[..number.start], &operands[number.end..]);
                let labels: String = statement.labels.iter().map(|label| format!("{label}: ")).collect();
                changed[index] = format!("{labels}{} {before}{cut}{after}", statement.mnemonic);
                if keystone(arch, &changed.join("\n")).is_ok_and(|same| same == bytes) {
                    let what =
                        format!("{} does not fit: Keystone would keep its low {width} bits", number.value);
                    return Err(NativeError::Refused(statement.operands_at + number.start, what));
                }
            }
        }
    }
    Ok(())
}

/// The statement that Keystone means: the first one that it refuses together with those before it.
fn blame(arch: Arch, statements: &[Statement], lines: &[String], error: AssemblerError) -> NativeError {
    let words = match &error {
        AssemblerError::Refused { message, .. } => message,
        other => return NativeError::Assembler(other.to_string()),
    };
    let refused = (0..lines.len()).find(|&last| {
        // Labels that come later are put at the end, so that branches to them are right.
        let later = statements[last + 1..].iter().flat_map(|statement| &statement.labels);
        let mut part = lines[..=last].to_vec();
        part.extend(later.map(|label| format!("{label}:")));
        keystone(arch, &part.join("\n")).is_err()
    });
    let Some(statement) = refused.and_then(|index| statements.get(index)) else {
        return NativeError::Refused(0, format!("Keystone refuses the text: {words}"));
    };
    let (data, example) = match arch {
        Arch::X86_64 => (".bytes", ".bytes 0x0f, 0xa2"),
        Arch::Aarch64 => (".word", ".word 0xd503201f"),
    };
    let text = format!("{} {}", statement.mnemonic, statement.operands);
    let what = format!(
        "Keystone refuses `{}`: {words}; an instruction that it does not know can be given as {data} (`{example}`)",
        text.trim_end()
    );
    NativeError::Refused(statement.at, what)
}

#[cfg(test)]
mod tests {
    use super::super::template::Expanded;
    use super::*;

    fn code(arch: Arch, text: &str) -> Result<Vec<u8>, (usize, String)> {
        let expanded = Expanded::plain(text);
        assemble(arch, &expanded).map_err(|error| match error {
            NativeError::Refused(at, what) => (at, what),
            NativeError::Assembler(what) => panic!("{what}"),
        })
    }

    #[test]
    fn instructions_labels_and_data_stand_in_their_order() {
        for (arch, text, expected) in [
            (Arch::X86_64, "rol rax, 13", vec![0x48, 0xc1, 0xc0, 13]),
            (Arch::X86_64, "\n  nop ; nop\n\n", vec![0x90, 0x90]),
            (
                Arch::X86_64,
                ".bytes 0x0f, 0xa0 | 2\nnop\n.long 1 + 1; .quad -1",
                [&[0x0f, 0xa2, 0x90, 2, 0, 0, 0][..], &[0xff; 8]].concat(),
            ),
            (
                Arch::X86_64,
                "again: dec rax\n jnz again\n jz end\n nop\nend:",
                vec![0x48, 0xff, 0xc8, 0x75, 0xfb, 0x74, 1, 0x90],
            ),
            (Arch::X86_64, "mov rax, 0x1ffffffff", vec![0x48, 0xb8, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0]),
            (Arch::X86_64, "and edi, 0xfffffff0", vec![0x83, 0xe7, 0xf0]),
            (Arch::X86_64, "mov rax, [rdi - 8]", vec![0x48, 0x8b, 0x47, 0xf8]),
            (Arch::X86_64, "mov r11, 18446744073709551615", vec![0x49, 0xc7, 0xc3, 0xff, 0xff, 0xff, 0xff]),
            (Arch::X86_64, "lea rax, [rdi + rsi*8 + 300]", vec![0x48, 0x8d, 0x84, 0xf7, 0x2c, 1, 0, 0]),
            (Arch::Aarch64, ".word 0xd503201f", vec![0x1f, 0x20, 0x03, 0xd5]),
            (Arch::Aarch64, ".inst 0xd503201f", vec![0x1f, 0x20, 0x03, 0xd5]),
            (Arch::Aarch64, "cbz x0, end\nnop\nend:", vec![0x40, 0, 0, 0xb4, 0x1f, 0x20, 0x03, 0xd5]),
            (Arch::Aarch64, "movz x9, #0x1234, lsl #16", vec![0x89, 0x46, 0xa2, 0xd2]),
            (Arch::Aarch64, "cnt v0.8b, v1.8b", vec![0x20, 0x58, 0x20, 0x0e]),
            (Arch::Aarch64, "and x0, x0, #9223372036854775807", vec![0, 0xf8, 0x40, 0x92]),
            (Arch::Aarch64, "fmov d0, #1.0", vec![0x00, 0x10, 0x6e, 0x1e]),
            (Arch::X86_64, "", vec![]),
        ] {
            assert_eq!(code(arch, text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_keystone_takes_for_something_else_is_refused() {
        for (arch, text, at, words) in [
            (Arch::X86_64, "mov al, 300", 8, "300 does not fit: Keystone would keep its low 8 bits"),
            (Arch::X86_64, "mov al, -300", 8, "-300 does not fit"),
            (
                Arch::X86_64,
                "nop\nmov ax, 65536",
                12,
                "65536 does not fit: Keystone would keep its low 16 bits",
            ),
            (
                Arch::X86_64,
                "mov eax, 4294967296",
                9,
                "4294967296 does not fit: Keystone would keep its low 32 bits",
            ),
            (Arch::X86_64, "nop\n= 5", 4, "expected an instruction, found `=`"),
            (Arch::X86_64, "nop\n1e5 rax", 4, "expected an instruction, found `1e5`"),
            (Arch::X86_64, "end: [rax]", 0, "expected an instruction, found `[rax]`"),
            (Arch::X86_64, "mov rax, 5 # five", 11, "`#` has no place"),
            (Arch::X86_64, "mov rax, 'a'", 9, "`'` has no place"),
            (Arch::Aarch64, "mov x0, \\ 1", 8, "`\\` has no place"),
            (Arch::X86_64, "push 0xff90", 5, "Keystone pushes a negative number"),
            (Arch::X86_64, "mov al, 200 + 100", 14, "write `{200 + 100}`"),
            (Arch::X86_64, "mov eax, 013", 9, "`013` is no number"),
            (Arch::X86_64, "mov eax, 10h", 9, "`10h` is no number"),
            (Arch::X86_64, "jz 1f\n1:", 3, "`1f` is no target"),
            (Arch::X86_64, "1: nop", 0, "labels are names"),
            (Arch::X86_64, "jnz 0x10", 4, "`0x10` is no target"),
            (Arch::X86_64, "mov rax, [0x1000]", 9, "an address needs a register"),
            (Arch::X86_64, ".incbin \"/etc/hostname\"", 0, "`.incbin` is not taken"),
            (Arch::X86_64, "nop; .org 5", 5, "`.org` is not taken"),
            (Arch::X86_64, ".word 1", 0, "use .bytes or .long"),
            (Arch::X86_64, ".bytes 1, 256", 10, "256 does not fit into the 8 bits of .bytes"),
            (Arch::X86_64, ".byte 1, x", 9, "no operand `x`"),
            (Arch::Aarch64, "b #8", 2, "`#8` is no target"),
            (Arch::Aarch64, "tbz x0, #3, 8", 4, "`8` is no target"),
            (Arch::Aarch64, "ldr x0, =0x1234567890", 8, "a literal would stand behind the code"),
            (Arch::Aarch64, ".word 0x100000000", 6, "does not fit into the 32 bits of .word"),
        ] {
            let (place, what) = code(arch, text).expect_err(text);
            assert!(what.contains(words), "{text}: {what}");
            assert_eq!(place, at, "{text}: {what}");
        }
    }

    #[test]
    fn the_statement_that_keystone_refuses_is_named() {
        for (arch, text, at, words) in [
            (Arch::X86_64, "nop\n frobnicate rax\nnop", 5, "Keystone refuses `frobnicate rax`: "),
            (
                Arch::X86_64,
                "jz end\nrol rax, 300\nend: nop",
                7,
                "Keystone refuses `rol rax, 300`: Invalid operand",
            ),
            (Arch::X86_64, "nop; mov rax, dst", 5, "Cannot find a symbol"),
            (Arch::X86_64, "jz nowhere", 0, "Cannot find a symbol"),
            (Arch::Aarch64, "nop\nldapr x0, [x1]", 4, "can be given as .word"),
            (Arch::X86_64, "sb", 0, "can be given as .bytes"),
        ] {
            let (place, what) = code(arch, text).expect_err(text);
            assert!(what.contains(words), "{text}: {what}");
            assert_eq!(place, at, "{text}: {what}");
        }
    }

    #[test]
    fn one_text_leaves_nothing_behind_for_the_next() {
        assert_eq!(code(Arch::X86_64, "again: nop"), code(Arch::X86_64, "again: nop"));
        assert!(code(Arch::X86_64, "jz again").is_err());
    }

    /// Whether two codes are the same but for the order of their legacy prefixes, which means nothing.
    fn is_same(a: &[u8], b: &[u8]) -> bool {
        let split = |code: &[u8]| {
            let is_prefix = |byte: &u8| matches!(byte, 0x66 | 0xf0 | 0xf2 | 0xf3);
            let count = code.iter().take_while(|byte| is_prefix(byte)).count();
            let mut prefixes = code[..count].to_vec();
            prefixes.sort_unstable();
            (prefixes, code[count..].to_vec())
        };
        split(a) == split(b)
    }

    #[test]
    fn what_is_taken_means_what_our_assembler_means() {
        const STEP: usize = 61;
        let mut refused = Vec::new();
        let mut wrong = Vec::new();
        let mut taken = 0;
        let mut judge = |arch, text: String, bytes: Vec<u8>| match code(arch, &text) {
            Ok(theirs) if is_same(&theirs, &bytes) => taken += 1,
            Ok(theirs) => wrong.push(format!("{text}: {theirs:02x?}, ours {bytes:02x?}")),
            Err((_, what)) => refused.push((text, what)),
        };
        // Keystone's known faults, and some of the rest, all of which the tests of our encoders go through.
        let x86_64 = kop_ops::x86_64::forms::samples();
        for (index, insn) in x86_64.iter().enumerate() {
            if index % STEP == 0 || index % 5 == 0 && kop_ops::x86_64::forms::keystone_fault(insn).is_some() {
                judge(Arch::X86_64, insn.to_string(), insn.encode().expect("a sample").to_vec());
            }
        }
        let aarch64 = kop_ops::aarch64::forms::samples();
        for insn in aarch64.iter().step_by(STEP) {
            judge(Arch::Aarch64, insn.to_string(), insn.encode().expect("a sample").to_le_bytes().to_vec());
        }
        assert!(wrong.is_empty(), "{} instructions:\n{}", wrong.len(), wrong.join("\n"));
        // Refused for a reason: what Keystone does not know, branches to a number, addresses without a register.
        for (text, what) in &refused {
            let is_known = [
                "Keystone refuses",
                "is no target",
                "an address needs a register",
                "pushes a negative",
                "expected an instruction",
            ];
            assert!(is_known.iter().any(|words| what.contains(words)), "{text}: {what}");
        }
        assert!(taken > refused.len() && !refused.is_empty(), "some of the samples are known to be refused");
    }
}
