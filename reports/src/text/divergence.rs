// SPDX-License-Identifier: GPL-2.0-or-later
//! A divergence as a block of lines: what differs, on which states, in which code, who is to blame and how to see it.

use super::Style;
use super::line::{Block, FIELD, INDENT, Line, Paint, width, wrap, wrap_command, wrap_items};
use super::sides::sides;
use crate::record::{Divergence, Row};
use crate::states::shows_register;
use crate::words::number;

/// How many lines of a listing are shown whole; of a longer one, the first and the last.
const LISTING_LINES: usize = 40;
const LISTING_HEAD: usize = 28;
const LISTING_TAIL: usize = 8;

/// The columns between proof and native code.
const LISTING_GAP: usize = 4;

/// A divergence of `row` as a block of lines, with the command that reproduces it at the end.
///
/// The table of the sides shows the registers that changed on a side or differ between sides, and the bytes of memory
/// that changed, lowest address first; `>` marks the first difference and `*` what else differs from the reference.
/// The operands' other registers stand beside the payload. Long listings leave out their middle.
pub fn divergence(divergence: &Divergence, row: &Row, style: Style) -> String {
    let mut block = Block::new(style);
    title(divergence, row, &mut block);
    block.paragraph(INDENT, &divergence.message);
    facts(divergence, &mut block);
    if !divergence.sides.is_empty() {
        block.blank();
        sides(divergence, &mut block);
    }
    if !divergence.proof.is_empty() || !divergence.native.is_empty() {
        block.blank();
        listings(divergence, &mut block);
    }
    block.blank();
    block.field("blame", Paint::Plain, &blame(divergence));
    if let Some(case) = &divergence.minimised {
        block.label("minimised");
        minimised(case, &mut block);
    }
    if let Some(command) = &divergence.reproduce {
        let lines = wrap_command(command, style.columns() - FIELD);
        block.field_lines("reproduce", Paint::Bold, lines);
    }
    block.finish()
}

fn title(divergence: &Divergence, row: &Row, block: &mut Block) {
    let mut line = Line::default();
    line.put(Paint::Red, &format!("{} divergence", divergence.kind));
    line.put(Paint::Plain, &format!(": {} {} {}", row.name, row.form, row.arch));
    let reference = divergence.sides.first().map(|side| &side.engine);
    if divergence.engine != "-" {
        line.put(Paint::Plain, &format!(", {}", divergence.engine));
        if let Some(reference) = reference.filter(|reference| **reference != divergence.engine) {
            line.put(Paint::Plain, &format!(" against {reference}"));
        }
    }
    block.line(line);
}

fn facts(divergence: &Divergence, block: &mut Block) {
    if let Some(known) = &divergence.known {
        block.field("known", Paint::Yellow, &format!("until {}: {}", known.expires, known.reason));
    }
    if let Some(difference) = &divergence.first_difference {
        let (place, expected, actual) = (&difference.r#where, &difference.expected, &difference.actual);
        block.field("differs", Paint::Red, &format!("{place}: expected {expected}, found {actual}"));
    }
    block.field("payload", Paint::Plain, &divergence.payload);
    if !divergence.operands.is_empty() {
        let items: Vec<_> =
            divergence.operands.iter().map(|(name, value)| operand(divergence, name, value)).collect();
        block.field_lines("operands", Paint::Plain, wrap_items(&items, block.style().columns() - FIELD));
    }
    if !divergence.features.is_empty() {
        block.field("features", Paint::Plain, &divergence.features);
    }
    match divergence.occurrences {
        0 => {}
        1 => block.field("seen", Paint::Plain, "once"),
        n => block.field("seen", Paint::Plain, &format!("{} times", number(n))),
    }
    if let Some(case) = &divergence.case {
        block.field("case", Paint::Plain, case);
    }
}

/// An operand as `src=r1`, with the register's value when the table of the sides does not show it.
fn operand(divergence: &Divergence, name: &str, value: &str) -> String {
    let pair = divergence.sides.iter().flat_map(|side| &side.registers).find(|pair| pair.name == value);
    match pair.filter(|_| !shows_register(divergence, value)) {
        Some(pair) => format!("{name}={value} ({})", pair.before),
        None => format!("{name}={value}"),
    }
}

fn blame(divergence: &Divergence) -> String {
    match divergence.blame_reason.as_str() {
        "" => divergence.blame.to_string(),
        reason => format!("{}: {reason}", divergence.blame),
    }
}

/// The proof with instruction numbers and the native code with offsets and bytes, beside each other where they fit.
fn listings(divergence: &Divergence, block: &mut Block) {
    let proof = divergence.proof.iter().enumerate().map(|(i, text)| format!("{i:>3}  {text}")).collect();
    let bytes = divergence.native.iter().map(|line| width(&line.bytes)).max().unwrap_or(0);
    let native = divergence.native.iter();
    let native =
        native.map(|line| format!("{:>4x}  {:<bytes$}  {}", line.offset, line.bytes, line.text)).collect();
    let (proof, native) = (listing("proof", proof), listing("native", native));
    let left = proof.iter().map(|line| width(line)).max().unwrap_or(0);
    let right = native.iter().map(|line| width(line)).max().unwrap_or(0);
    let native_from = 2 * INDENT + left + LISTING_GAP;
    if proof.is_empty() || native.is_empty() || native_from + right > block.style().columns() {
        for lines in [&proof, &native] {
            for (i, text) in lines.iter().enumerate() {
                let mut line = Line::at(if i == 0 { INDENT } else { 2 * INDENT });
                line.put(heading_or_text(i), text);
                block.line(line);
            }
        }
        return;
    }
    for i in 0..proof.len().max(native.len()) {
        let from = if i == 0 { INDENT } else { 2 * INDENT };
        let mut line = Line::at(from);
        line.put(heading_or_text(i), proof.get(i).map_or("", String::as_str));
        line.to(native_from - (2 * INDENT - from));
        line.put(heading_or_text(i), native.get(i).map_or("", String::as_str));
        block.line(line);
    }
}

fn heading_or_text(line: usize) -> Paint {
    if line == 0 { Paint::Bold } else { Paint::Plain }
}

/// A heading and the lines, without the middle of a long listing; nothing when there are no lines.
fn listing(heading: &str, lines: Vec<String>) -> Vec<String> {
    if lines.is_empty() {
        return Vec::new();
    }
    let mut listing = vec![heading.to_owned()];
    if lines.len() <= LISTING_LINES {
        listing.extend(lines);
        return listing;
    }
    let tail = lines.len() - LISTING_TAIL;
    listing.extend_from_slice(&lines[..LISTING_HEAD]);
    listing.push(format!("     ... {} more ...", tail - LISTING_HEAD));
    listing.extend_from_slice(&lines[tail..]);
    listing
}

/// The case, line by line as it is written; only comments are broken where the line ends.
fn minimised(case: &str, block: &mut Block) {
    let columns = block.style().columns() - 2 * INDENT;
    for text in case.lines() {
        let comment = text.strip_prefix('#').filter(|_| width(text) > columns);
        let lines = match comment {
            Some(comment) => wrap(comment, columns - 2).into_iter().map(|line| format!("# {line}")).collect(),
            None => vec![text.to_owned()],
        };
        for text in lines {
            let mut line = Line::at(2 * INDENT);
            line.put(Paint::Plain, &text);
            block.line(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Blame, Kind};
    use crate::samples::{divergent, fault_divergence, lines, register_divergence, side, without_escapes};

    fn render(shown: &Divergence, style: Style) -> String {
        divergence(shown, &divergent(vec![shown.clone()]), style)
    }

    #[test]
    fn a_register_divergence_reads_from_difference_to_command() {
        let expected = [
            "register divergence: rotate imm64 x86_64, unicorn-x86_64 against rbpf",
            "  r3 differs after the site",
            "  differs    r3: expected 0x2000, found 0x1000",
            "  payload    0xd513",
            "  operands   amount=13, dst=r3, src=r1 (0x1), tmp=r5",
            "  features   none",
            "  seen       1,312 times",
            "  case       findings/rotate/register-1f3a.kop",
            "",
            "        before              rbpf (reference)  unicorn-x86_64  model   host",
            "  > r3  0xffffffffffffffff  0x2000            0x1000          0x2000  0x1000",
            "  * r5  0x7                 0x0               0x7             0x7     0x7",
            "",
            "  proof             native",
            "      0  r3 = r1         0  4889fa    mov rdx, rdi",
            "      1  r3 <<= 13       3  48c1c20c  rol rdx, 12",
            "      2  r5 = r1",
            "      3  r5 >>= 51",
            "      4  r3 |= r5",
            "",
            "  blame      emit: rbpf and model agree; unicorn-x86_64 and host agree against them",
            "  minimised",
            "    kop-case 1",
            "    operation rotate imm64",
            "",
            "    r1 = 0x1",
            "  reproduce  kop repro findings/rotate/register-1f3a.kop",
        ];
        assert_eq!(render(&register_divergence(), Style::default()), lines(&expected));
    }

    #[test]
    fn a_fault_divergence_shows_the_fault_beside_none() {
        let expected = [
            "fault divergence: rotate imm64 x86_64, host against rbpf",
            "  native code faults where the proof does not",
            "  differs    fault: expected none, found bad read at window+0x1000",
            "  payload    0xd513",
            "  operands   base=r2 (window+0xffc), dst=r0",
            "  features   none",
            "  seen       once",
            "",
            "           before  rbpf (reference)  host",
            "  * r0     0x0     0x78563412        0x0",
            "  > fault          none              bad read at window+0x1000",
            "",
            "  proof                         native",
            "      0  w0 = *(u32 *)(r2 + 0)       0  488b06  mov rax, qword ptr [rsi]",
            "      1  r0 = be32 r0                3  0fc8    bswap eax",
            "",
            "  blame      undecided",
        ];
        assert_eq!(render(&fault_divergence(), Style::default()), lines(&expected));
    }

    #[test]
    fn color_paints_without_changing_the_text() {
        let style = Style { color: true, ..Style::default() };
        for shown in [register_divergence(), fault_divergence()] {
            let (painted, plain) = (render(&shown, style), render(&shown, Style::default()));
            assert!(
                painted.starts_with(&format!("\x1b[1;31m{} divergence\x1b[0m: ", shown.kind)),
                "{painted}"
            );
            assert_eq!(without_escapes(&painted), plain);
            assert!(!plain.contains('\x1b'));
        }
        let painted = render(&register_divergence(), style);
        assert!(
            painted.contains("\x1b[1;31m>\x1b[0m r3  \x1b[2m0xffffffffffffffff\x1b[0m  0x2000 "),
            "{painted}"
        );
    }

    #[test]
    fn a_divergence_without_engines_has_no_table() {
        let shape = Divergence {
            kind: Kind::Shape,
            engine: "-".to_owned(),
            operands: [].into(),
            first_difference: None,
            case: None,
            message: "instruction 1 jumps backwards".to_owned(),
            blame: Blame::Proof,
            blame_reason: "the kernel rejects it".to_owned(),
            features: String::new(),
            occurrences: 0,
            minimised: None,
            sides: Vec::new(),
            proof: vec!["r3 = r1".to_owned(), "goto -2".to_owned()],
            native: Vec::new(),
            ..register_divergence()
        };
        let expected = [
            "shape divergence: rotate imm64 x86_64",
            "  instruction 1 jumps backwards",
            "  payload    0xd513",
            "",
            "  proof",
            "      0  r3 = r1",
            "      1  goto -2",
            "",
            "  blame      proof: the kernel rejects it",
            "  reproduce  kop repro findings/rotate/register-1f3a.kop",
        ];
        assert_eq!(render(&shape, Style::default()), lines(&expected));
    }

    #[test]
    fn listings_that_do_not_fit_beside_each_other_stand_below() {
        let mut wide = register_divergence();
        wide.proof = vec!["r3 = r1".repeat(6)];
        wide.native[1].text = "nop ".repeat(9);
        let text = render(&wide, Style { width: 80, ..Style::default() });
        let expected = [
            "  proof",
            "      0  r3 = r1r3 = r1r3 = r1r3 = r1r3 = r1r3 = r1",
            "  native",
            "       0  4889fa    mov rdx, rdi",
            "       3  48c1c20c  nop nop nop nop nop nop nop nop nop",
        ];
        assert!(text.contains(&lines(&expected)), "{text}");
    }

    #[test]
    fn a_long_listing_loses_its_middle() {
        let count_of = |instructions: usize| {
            let proof: Vec<_> = (0..instructions).map(|i| format!("w0 = {i}")).collect();
            let long = Divergence { proof, native: Vec::new(), ..register_divergence() };
            let text = render(&long, Style::default());
            (text.lines().filter(|line| line.contains("w0 = ")).count(), text)
        };
        assert_eq!(count_of(40).0, 40);
        let (shown, text) = count_of(259);
        assert_eq!(shown, 28 + 8);
        let expected = ["     27  w0 = 27", "         ... 223 more ...", "    251  w0 = 251"];
        assert!(text.contains(&lines(&expected)), "{text}");
    }

    #[test]
    fn what_is_copied_is_never_broken_within_a_word() {
        let path = format!("findings/{}.kop", "x".repeat(100));
        let case = format!("# {}\nwindow = {}", "word ".repeat(30).trim_end(), "0".repeat(120));
        let long = Divergence {
            reproduce: Some(format!("kop repro {path} --emit rust-test")),
            minimised: Some(case),
            ..register_divergence()
        };
        let text = render(&long, Style::default());
        let expected = [
            format!("    # {}", ["word"; 21].join(" ")),
            format!("    # {}", ["word"; 9].join(" ")),
            format!("    window = {}", "0".repeat(120)),
            "  reproduce  kop repro \\".to_owned(),
            format!("             {path} \\"),
            "             --emit rust-test".to_owned(),
        ];
        assert!(text.ends_with(&lines(&expected)), "{text}");
    }

    #[test]
    fn blocks_fit_their_width_and_end_without_spaces() {
        let mut many = register_divergence();
        many.sides.push(side("semantics-x86_64", &[("r3", "0x1", "0x0123456789abcdef")]));
        many.sides[2].frame = vec!["a word of the frame ".repeat(12)];
        many.message = "word ".repeat(60);
        for shown in [register_divergence(), fault_divergence(), many] {
            for width in [0, 80, 97, 110, 150] {
                let text = render(&shown, Style { width, ..Style::default() });
                for line in text.lines() {
                    assert!(line.chars().count() <= width.max(80), "{width}: {line}");
                    assert_eq!(line, line.trim_end());
                }
                assert!(text.ends_with('\n') && !text.contains("\n\n\n"));
            }
        }
    }
}
