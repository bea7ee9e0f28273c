// SPDX-License-Identifier: GPL-2.0-or-later
//! Instructions and programs from text: what `Display` prints, and the forms of bpftool and the kernel's verifier log
//! where they differ.

mod cursor;
mod syntax;

use std::collections::HashMap;
use std::str::FromStr;

use self::cursor::{Cursor, Failure, Use, named};
use super::insn::{CallTarget, Insn};

/// Text that is no instruction or program, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub reason: ParseReason,
}

/// Why text is no instruction or program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseReason {
    /// Something else must stand there.
    #[error("expected {0}")]
    Expected(String),
    /// A number does not fit its field.
    #[error("expected {expected} in {min}..={max}")]
    Range {
        /// What the number is.
        expected: &'static str,
        /// Least number that fits.
        min: i128,
        /// Greatest number that fits.
        max: i128,
    },
    /// No line of the program has this label.
    #[error("unknown label `{0}`")]
    UnknownLabel(String),
    /// Two lines have this label.
    #[error("label `{0}` is already taken")]
    DuplicateLabel(String),
    /// The label is too far away for the instruction's offset.
    #[error("label `{label}` is {offset} slots away, more than the jump can reach")]
    Unreachable {
        /// The label.
        label: String,
        /// Slots from the next instruction to it.
        offset: i64,
    },
}

impl FromStr for Insn {
    type Err = ParseError;

    /// The one instruction in `text`, in the syntax of [`parse_program`].
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let program = Source::read(text)?;
        let lines: Vec<usize> = program.statements.iter().map(|statement| statement.line).collect();
        match (program.resolve()?.as_slice(), lines.as_slice()) {
            (&[insn], _) => Ok(insn),
            (_, &[_, second, ..]) => Err(Failure::expected(0, "a single instruction").at_line(second, "")),
            _ => Err(Failure::expected(0, "an instruction").at_line(1, "")),
        }
    }
}

/// The instructions of `text`, one per line.
///
/// Comments start with `;`, `#` or `//`. A line may start with a slot number as bpftool prints it (`12: (b7)`), which is
/// ignored, and with labels (`again:`), which `goto`, `gotol`, `may_goto` and `call` take in place of an offset.
/// Numbers are decimal or hexadecimal; an immediate must fit in 32 signed bits, but a 32-bit operation
/// also takes `0x80000000` to `0xffffffff`.
///
/// # Errors
/// The first [`ParseError`]: its line and column, and what was expected there. Never panics.
pub fn parse_program(text: &str) -> Result<Vec<Insn>, ParseError> {
    Source::read(text)?.resolve()
}

/// One instruction of a program; where it names a label, its offset is still to be set.
struct Statement<'a> {
    insn: Insn,
    label: Option<Use<'a>>,
    slot: usize,
    line: usize,
    text: &'a str,
}

/// A program as read, before its labels are resolved.
struct Source<'a> {
    statements: Vec<Statement<'a>>,
    labels: HashMap<&'a str, usize>,
    slots: usize,
}

impl<'a> Source<'a> {
    fn read(text: &'a str) -> Result<Self, ParseError> {
        let mut source = Source { statements: Vec::new(), labels: HashMap::new(), slots: 0 };
        for (i, line) in text.lines().enumerate() {
            source.read_line(i + 1, line).map_err(|failure| failure.at_line(i + 1, line))?;
        }
        Ok(source)
    }

    fn read_line(&mut self, line: usize, text: &'a str) -> Result<(), Failure> {
        let mut cursor = Cursor::new(without_comment(text));
        while let Some(label) = cursor.label() {
            if is_reserved(label.name) {
                return Err(Failure::expected(label.at, "a label that is no register or keyword"));
            }
            if self.labels.insert(label.name, self.slots).is_some() {
                let reason = ParseReason::DuplicateLabel(label.name.to_owned());
                return Err(Failure { at: label.at, reason });
            }
        }
        if cursor.is_at_end() {
            return Ok(());
        }
        let (insn, label) = cursor.instruction()?;
        if !cursor.is_at_end() {
            return cursor.expected("the end of the line");
        }
        self.statements.push(Statement { insn, label, slot: self.slots, line, text });
        self.slots += insn.slots();
        Ok(())
    }

    fn resolve(self) -> Result<Vec<Insn>, ParseError> {
        let labels = self.labels;
        self.statements
            .into_iter()
            .map(|statement| {
                statement.resolve(&labels).map_err(|failure| failure.at_line(statement.line, statement.text))
            })
            .collect()
    }
}

impl Statement<'_> {
    fn resolve(&self, labels: &HashMap<&str, usize>) -> Result<Insn, Failure> {
        let Some(Use { name, at }) = self.label else {
            return Ok(self.insn);
        };
        let fail = |reason| Failure { at, reason };
        let &target = labels.get(name).ok_or_else(|| fail(ParseReason::UnknownLabel(name.to_owned())))?;
        let offset = target as i64 - (self.slot + self.insn.slots()) as i64;
        i32::try_from(offset)
            .ok()
            .and_then(|offset| with_target(self.insn, offset))
            .ok_or_else(|| fail(ParseReason::Unreachable { label: name.to_owned(), offset }))
    }
}

/// The jump or local call with another offset; `None` where it does not fit.
fn with_target(insn: Insn, offset: i32) -> Option<Insn> {
    match insn {
        Insn::Call { .. } => Some(Insn::Call { target: CallTarget::Local(offset) }),
        _ => insn.with_branch_offset(offset),
    }
}

fn without_comment(line: &str) -> &str {
    let starts = [";", "#", "//"].into_iter().filter_map(|mark| line.find(mark));
    line.get(..starts.min().unwrap_or(line.len())).unwrap_or(line)
}

fn is_reserved(name: &str) -> bool {
    let keywords =
        ["call", "callx", "exit", "goto", "gotol", "if", "kfunc", "kop", "lock", "may_goto", "pc", "sidecar"];
    keywords.contains(&name) || named(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::super::forms;
    use super::super::insn::{AluOp, AtomicOp, Cond, Size};
    use super::super::register::Reg;
    use super::*;
    use crate::choices::{Choices, Seeded};

    const R: [Reg; 11] = Reg::ALL;

    #[test]
    fn what_is_printed_parses_back() {
        let mut choices = Seeded::new(4);
        let random = (0..20_000).map(|_| forms::random(&mut choices));
        for insn in forms::samples().into_iter().chain(random) {
            let text = insn.to_string();
            assert_eq!(text.parse(), Ok(insn), "{text}");
        }
    }

    #[test]
    fn a_printed_program_parses_back() {
        let program = forms::samples();
        let text: String = program.iter().map(|insn| format!("{insn}\n")).collect();
        assert_eq!(parse_program(&text), Ok(program));
    }

    #[test]
    fn other_ways_of_writing_are_understood() {
        let atomic = |op, size| Insn::atomic(op, size, R[1], 8, R[2]);
        let table = [
            ("r1=r2", Insn::mov64(R[1], R[2])),
            ("  r1\t+=   0xff ", Insn::alu64(AluOp::Add, R[1], 255)),
            ("r1 = -0x1", Insn::mov64(R[1], -1)),
            ("w1 = 0xffffffff", Insn::mov32(R[1], -1)),
            ("w1 &= 4294967295", Insn::alu32(AluOp::And, R[1], -1)),
            ("if w1 == 0x80000000 goto +0x10", Insn::jump32(Cond::Eq, R[1], i32::MIN, 16)),
            ("r1 = -1 ll", Insn::load_imm64(R[1], u64::MAX)),
            ("r1 = 18446744073709551615 ll", Insn::load_imm64(R[1], u64::MAX)),
            ("r1 = *(u32 *)(r2 +8)", Insn::load(Size::B4, R[1], R[2], 8)),
            ("r1 = *(u8 *)(r2)", Insn::load(Size::B1, R[1], R[2], 0)),
            ("r1 = *(s32 *)(r2 -8)", Insn::load_sx(Size::B4, R[1], R[2], -8)),
            ("*(u16 *)(r1 +8) = r2", Insn::store(Size::B2, R[1], 8, R[2])),
            ("*(u32 *)(r1 +8) = 0xffffffff", Insn::store(Size::B4, R[1], 8, -1)),
            ("if r1 s>=r2 goto pc-7", Insn::jump(Cond::SGe, R[1], R[2], -7)),
            ("goto pc+3", Insn::ja(3)),
            ("goto +1 <LBB0_2+0x8>", Insn::ja(1)),
            ("may_goto pc+3", Insn::MayGoto { off: 3 }),
            ("lock *(u32 *)(r1 +8) += r2", atomic(AtomicOp::Add, Size::B4)),
            ("r2 = atomic64_fetch_add((u64 *)(r1 +8), r2)", atomic(AtomicOp::FetchAdd, Size::B8)),
            ("r2 = atomic_fetch_xor((u32 *)(r1 +8), r2)", atomic(AtomicOp::FetchXor, Size::B4)),
            ("r2 = atomic64_xchg((u64 *)(r1 +8), r2)", atomic(AtomicOp::Xchg, Size::B8)),
            ("r0 = atomic_cmpxchg((u32 *)(r1 +8), r0, r2)", atomic(AtomicOp::CmpXchg, Size::B4)),
            ("r2 = load_acquire((u16 *)(r1 +8))", atomic(AtomicOp::LoadAcquire, Size::B2)),
            ("  17: (95) exit", Insn::Exit),
            ("17: exit", Insn::Exit),
            ("exit ; the end", Insn::Exit),
            ("exit # the end", Insn::Exit),
            ("\n// nothing\n\nexit // the end\n", Insn::Exit),
        ];
        for (text, insn) in table {
            assert_eq!(text.parse(), Ok(insn), "{text}");
        }
    }

    #[test]
    fn labels_become_offsets_in_slots() {
        let text = "
            start: r1 = 1 ll       ; two slots
            if r1 == 0 goto out
            call start
            again:
            r1 -= 1
            may_goto again
            gotol start
            goto next
            next:
            out: last: exit
            end:";
        let program = [
            Insn::load_imm64(R[1], 1),
            Insn::jump(Cond::Eq, R[1], 0, 5),
            Insn::Call { target: CallTarget::Local(-4) },
            Insn::alu64(AluOp::Sub, R[1], 1),
            Insn::MayGoto { off: -2 },
            Insn::Gotol { off: -7 },
            Insn::ja(0),
            Insn::exit(),
        ];
        assert_eq!(parse_program(text), Ok(program.to_vec()));
        assert_eq!(parse_program("goto end\nend:"), Ok(vec![Insn::ja(0)]));
    }

    #[test]
    fn labels_out_of_reach_are_refused_and_gotol_reaches_them() {
        let far = "r0 = 0\n".repeat(32768);
        let error = parse_program(&format!("goto end\n{far}end: exit")).expect_err("16 bits");
        let reason = ParseReason::Unreachable { label: "end".to_owned(), offset: 32768 };
        assert_eq!(error, ParseError { line: 1, column: 6, reason });
        let program = parse_program(&format!("gotol end\n{far}end: exit")).expect("32 bits");
        assert_eq!(program[0], Insn::Gotol { off: 32768 });
    }

    #[test]
    fn errors_say_where_and_what_was_expected() {
        let table = [
            ("r0 = 0\n  r11 = 1", "line 2, column 3: expected an instruction"),
            ("r1 ? 2", "line 1, column 4: expected an assignment such as `=` or `+=`"),
            ("r1 s<= 2", "line 1, column 4: expected an assignment such as `=` or `+=`"),
            ("r1 += w2", "line 1, column 7: expected a 64-bit register, r0 to r10"),
            ("w1 += r2", "line 1, column 7: expected a 32-bit register, w0 to w10"),
            ("r1 += x", "line 1, column 7: expected a register or an immediate"),
            ("r1 += r2 r3", "line 1, column 10: expected the end of the line"),
            (
                "r1 += 2147483648",
                "line 1, column 7: expected a register or an immediate in -2147483648..=2147483647",
            ),
            (
                "r1 += 0xffffffff",
                "line 1, column 7: expected a register or an immediate in -2147483648..=2147483647",
            ),
            (
                "w1 += 4294967296",
                "line 1, column 7: expected a register or an immediate in -2147483648..=4294967295",
            ),
            (
                "r1 = 4294967295",
                "line 1, column 6: expected an immediate without `ll` in -2147483648..=2147483647",
            ),
            (
                "r1 = 18446744073709551616 ll",
                "line 1, column 6: expected a value in -9223372036854775808..=18446744073709551615",
            ),
            ("w1 = 5 ll", "line 1, column 1: expected a 64-bit register, r0 to r10"),
            ("r1 = -r2", "line 1, column 7: expected `r1`, the destination"),
            ("r1 = be16 r2", "line 1, column 11: expected `r1`, the destination"),
            ("w1 = be16 w1", "line 1, column 1: expected a 64-bit register, r0 to r10"),
            ("w1 = (s32)w2", "line 1, column 1: expected a 64-bit register, r0 to r10"),
            ("r1 = (s64)r2", "line 1, column 7: expected s8, s16 or s32"),
            ("r1 = be24 r1", "line 1, column 6: expected a value"),
            ("r1 =", "line 1, column 5: expected a value"),
            ("w1 = *(u64 *)(r2 + 0)", "line 1, column 1: expected a 64-bit register, r0 to r10"),
            ("w1 = *(s8 *)(r2 + 0)", "line 1, column 1: expected a 64-bit register, r0 to r10"),
            ("r1 = *(u24 *)(r2 + 0)", "line 1, column 8: expected a type, u8 to u64 or s8 to s32"),
            ("r1 = *(u32 *)(w2 + 0)", "line 1, column 15: expected a 64-bit register, r0 to r10"),
            ("r1 = *(u32 *)(r2 + 32768)", "line 1, column 18: expected an address offset in -32768..=32767"),
            ("r1 = *(u32 *)(r2 + 8", "line 1, column 21: expected `)`"),
            ("r1 = *(u8 *)skb[5]", "line 1, column 1: expected `r0`"),
            ("r0 = *(u64 *)skb[5]", "line 1, column 7: expected a pointer to u8, u16 or u32"),
            ("*(s8 *)(r1 + 0) = r2", "line 1, column 2: expected a pointer to u8, u16, u32 or u64"),
            ("*(u64 *)(r1 + 0) = w2", "line 1, column 20: expected a 64-bit register, r0 to r10"),
            ("lock *(u8 *)(r1 + 0) += r2", "line 1, column 7: expected a pointer to u32 or u64"),
            ("lock *(u64 *)(r1 + 0) -= r2", "line 1, column 23: expected `+=`, `|=`, `&=` or `^=`"),
            ("r3 = xchg_64(r1 + 0, r2)", "line 1, column 22: expected `r3`, the destination"),
            (
                "r3 = cmpxchg_64(r1 + 0, r0, r2)",
                "line 1, column 1: expected register 0, which a compare-and-exchange returns",
            ),
            ("r0 = cmpxchg_64(r1 + 0, r3, r2)", "line 1, column 25: expected `r0`, the destination"),
            ("r2 = atomic64_xchg((u32 *)(r1 + 0), r2)", "line 1, column 20: expected a pointer to u64"),
            ("if r1 = 2 goto +1", "line 1, column 7: expected a comparison such as `==` or `s<`"),
            ("if r1 == 2 +1", "line 1, column 12: expected `goto`"),
            ("if r1 == 2 goto 1", "line 1, column 17: expected a jump offset such as `+3`, or a label"),
            ("goto +32768", "line 1, column 6: expected a jump offset in -32768..=32767"),
            ("gotol +2147483648", "line 1, column 7: expected a jump offset in -2147483648..=2147483647"),
            ("goto pc", "line 1, column 8: expected a jump offset"),
            ("goto nowhere", "line 1, column 6: unknown label `nowhere`"),
            ("a: exit\na: exit", "line 2, column 1: label `a` is already taken"),
            ("r1: exit", "line 1, column 1: expected a label that is no register or keyword"),
            ("call", "line 1, column 5: expected a helper id, `pc+N`, `kfunc N`, `kop N slot N`, or a label"),
            ("call kop 5", "line 1, column 11: expected `slot`"),
            ("sidecar 0x10000000000000", "line 1, column 9: expected a payload in 0..=4503599627370495"),
            ("sidecar -1", "line 1, column 9: expected a payload in 0..=4503599627370495"),
            ("r1 = 5x", "line 1, column 6: expected a value"),
            ("r1 = 0x", "line 1, column 6: expected a value"),
            ("ö: exit", "line 1, column 1: expected an instruction"),
            ("exit ö", "line 1, column 6: expected the end of the line"),
            ("\u{a0}\u{a0}exit ö", "line 1, column 8: expected the end of the line"),
        ];
        for (text, message) in table {
            let error = parse_program(text).expect_err(text);
            assert_eq!(error.to_string(), message, "{text}");
        }
    }

    #[test]
    fn a_single_instruction_is_exactly_one() {
        let parse = |text: &str| text.parse::<Insn>().map_err(|error| error.to_string());
        assert_eq!(parse(" ; none"), Err("line 1, column 1: expected an instruction".to_owned()));
        assert_eq!(parse("exit\n\nexit"), Err("line 3, column 1: expected a single instruction".to_owned()));
        assert_eq!(parse("self: goto self"), Ok(Insn::ja(-1)));
    }

    #[test]
    fn no_text_panics() {
        const TOKENS: [&str; 33] = [
            "r1",
            "w0",
            "r0",
            "=",
            "-",
            "+",
            "s>",
            ">>=",
            "*",
            "(",
            ")",
            "u64",
            "s8",
            "skb",
            "[",
            "]",
            ",",
            "goto",
            "if",
            "lock",
            "call",
            "kop",
            "ll",
            "0x",
            "99999999999999999999999999999999999999999",
            "xchg_64",
            ":",
            "ö",
            "\u{2003}",
            "\n",
            "<",
            "sidecar",
            "0",
        ];
        let mut choices = Seeded::new(5);
        for _ in 0..20_000 {
            let mut text: Vec<char> = forms::random(&mut choices).to_string().chars().collect();
            for _ in 0..=choices.below(3) {
                let at = choices.below(text.len() as u64 + 1) as usize;
                let until = at + choices.below((text.len() - at) as u64 + 1).min(3) as usize;
                text.splice(at..until, choices.pick(&TOKENS).chars());
            }
            let text: String = text.into_iter().collect();
            if let Ok(program) = parse_program(&text) {
                assert!(program.iter().all(Insn::is_well_formed), "{text}");
            }
        }
    }
}
