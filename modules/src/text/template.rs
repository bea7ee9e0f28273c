// SPDX-License-Identifier: GPL-2.0-or-later
//! Text with expressions in braces, and the way back from a byte of what it expands to, to the file.
//!
//! `{dst}` is a register under the name that the language has for it, `{dst:32}` its name for 32 bits, `{64 - n}` a
//! decimal number, `{{` and `}}` are braces. A sign before a negative number is merged with it, so that
//! `[{base} + {off}]` is right for every offset.

use kop_ops::ebpf::Reg;
use kop_ops::{Arch, Layout, aarch64, registers, x86_64};

use super::document::Located;
use super::expression::{Environment, Expression, Failure, Scope, Type, Value};

/// The language that a template is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Ebpf,
    Native(Arch),
}

impl Language {
    pub(super) const fn arch(self) -> Option<Arch> {
        match self {
            Language::Ebpf => None,
            Language::Native(arch) => Some(arch),
        }
    }

    /// The widths in bits that registers have names for, the full one first.
    const fn widths(self) -> &'static [u32] {
        match self {
            Language::Native(Arch::X86_64) => &[64, 32, 16, 8],
            _ => &[64, 32],
        }
    }

    fn width(self, modifier: &str) -> Option<u32> {
        let width = match modifier {
            "x" if self == Language::Native(Arch::Aarch64) => 64,
            "w" if self != Language::Native(Arch::X86_64) => 32,
            digits => digits.parse().ok()?,
        };
        self.widths().contains(&width).then_some(width)
    }

    fn register(self, register: Reg, width: u32) -> String {
        match self {
            Language::Ebpf => format!("{}{}", if width == 32 { 'w' } else { 'r' }, register.index()),
            Language::Native(Arch::X86_64) => {
                let size = x86_64::Size::from_bytes(width / 8).expect("a width of x86-64");
                registers::x86_64(register).name(size).to_owned()
            }
            Language::Native(Arch::Aarch64) => {
                let width = if width == 32 { aarch64::Width::W } else { aarch64::Width::X };
                registers::aarch64(register).named(width).to_string()
            }
        }
    }

    /// Where the comment of a line starts.
    fn comment(self, line: &str) -> usize {
        let marks: &[&str] = match self {
            Language::Ebpf => &[";", "#", "//"],
            Language::Native(_) => &["//"],
        };
        let whole_line = line.trim_start().starts_with('#').then(|| line.len() - line.trim_start().len());
        marks.iter().filter_map(|mark| line.find(mark)).chain(whole_line).min().unwrap_or(line.len())
    }
}

#[derive(Clone, Debug)]
enum Piece {
    /// Text as it is, and the byte of the file where it starts.
    Text(String, usize),
    /// A value with the width of a register.
    Value(Expression, u32),
}

/// A text whose braces are understood.
#[derive(Clone, Debug)]
pub(super) struct Template {
    language: Language,
    pieces: Vec<Piece>,
    /// The byte of the file where it starts.
    pub(super) at: usize,
}

/// What a template stands for with some operands.
#[derive(Clone, Debug, Default)]
pub(super) struct Expanded {
    pub(super) text: String,
    /// Ascending: a byte of the text, the byte of the file it comes from, and whether those after it go along.
    origins: Vec<(usize, usize, bool)>,
}

impl Expanded {
    #[cfg(test)]
    pub(super) fn plain(text: &str) -> Self {
        Self { text: text.to_owned(), origins: Vec::new() }
    }

    /// The byte of the file that byte `at` of the text comes from.
    pub(super) fn origin(&self, at: usize) -> usize {
        let index = self.origins.partition_point(|(start, ..)| *start <= at);
        match index.checked_sub(1).and_then(|index| self.origins.get(index)) {
            Some(&(start, origin, true)) => origin + at - start,
            Some(&(_, origin, false)) => origin,
            None => 0,
        }
    }
}

impl Template {
    /// Understands `source`.
    pub(super) fn parse(source: &Located, language: Language, layout: &Layout) -> Result<Self, Failure> {
        let scope = Scope::new(layout, language.arch());
        let mut pieces = Vec::new();
        let mut start = 0;
        for line in source.text.split_inclusive('\n') {
            let contents = line.trim_end_matches('\n');
            let code = &contents[..language.comment(contents)];
            parse_line(code, start, source, scope, language, &mut pieces)?;
            if line.ends_with('\n') {
                pieces.push(Piece::Text("\n".to_owned(), source.at(start + contents.len())));
            }
            start += line.len();
        }
        Ok(Self { language, pieces, at: source.at(0) })
    }

    /// The text for some operands.
    pub(super) fn expand(&self, values: &[i64]) -> Result<Expanded, Failure> {
        let environment = Environment { values, arch: self.language.arch() };
        let mut expanded = Expanded::default();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text, at) => {
                    expanded.origins.push((expanded.text.len(), *at, true));
                    expanded.text.push_str(text);
                }
                Piece::Value(expression, width) => {
                    let value = match expression.evaluate(&environment)? {
                        Value::Register(register) => self.language.register(register, *width),
                        Value::Number(number) => merge_signs(&mut expanded.text, number),
                        Value::Condition(_) => {
                            return Err(Failure::new(expression.at, "expected a register or a number"));
                        }
                    };
                    expanded.origins.push((expanded.text.len(), expression.at, false));
                    expanded.text.push_str(&value);
                }
            }
        }
        Ok(expanded)
    }
}

fn parse_line(
    line: &str,
    start: usize,
    source: &Located,
    scope: Scope,
    language: Language,
    pieces: &mut Vec<Piece>,
) -> Result<(), Failure> {
    let mut at = 0;
    while at < line.len() {
        let rest = &line[at..];
        let place = source.at(start + at);
        let end = rest.find(['{', '}']).unwrap_or(rest.len());
        if end > 0 {
            pieces.push(Piece::Text(rest[..end].to_owned(), place));
            at += end;
        } else if rest.starts_with("{{") || rest.starts_with("}}") {
            pieces.push(Piece::Text(rest[..1].to_owned(), place));
            at += 2;
        } else if rest.starts_with('}') {
            return Err(Failure::new(place, "`}` without `{` (a brace itself is written `}}`)"));
        } else {
            let Some(length) = rest.find('}') else {
                return Err(Failure::new(
                    place,
                    "`{` without `}` in this line (a brace itself is written `{{`)",
                ));
            };
            pieces.push(value(&rest[1..length], start + at + 1, source, scope, language)?);
            at += length + 1;
        }
    }
    Ok(())
}

/// What stands between two braces.
fn value(
    text: &str,
    start: usize,
    source: &Located,
    scope: Scope,
    language: Language,
) -> Result<Piece, Failure> {
    let (inner, modifier) = match text.split_once(':') {
        Some((inner, modifier)) => (inner, Some(modifier.trim())),
        None => (text, None),
    };
    let expression = scope.parse_any(inner, &|at| source.at(start + at))?;
    let full = language.widths()[0];
    let width = match (expression.ty, modifier) {
        (Type::Condition, _) => {
            return Err(Failure::new(expression.at, "expected a register or a number, found a condition"));
        }
        (_, None) => full,
        (Type::Register, Some(modifier)) => language.width(modifier).ok_or_else(|| {
            let widths: Vec<String> = language.widths().iter().map(u32::to_string).collect();
            let place = source.at(start + inner.len() + 1);
            Failure::new(
                place,
                format!("`{modifier}` is no width of a register here ({})", widths.join(", ")),
            )
        })?,
        (Type::Number, Some(_)) => {
            return Err(Failure::new(source.at(start + inner.len()), "only a register has a width"));
        }
    };
    Ok(Piece::Value(expression, width))
}

/// The text of `number`, after a sign at the end of `text` that goes into it.
fn merge_signs(text: &mut String, number: i128) -> String {
    let before = text.trim_end();
    if number >= 0 || !before.ends_with(['+', '-']) {
        return number.to_string();
    }
    let sign = before.len() - 1;
    let is_binary = before[..sign]
        .trim_end()
        .ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, ')' | ']' | '_'));
    let merged = match (&before[sign..], is_binary) {
        ("+", _) => "-",
        (_, true) => "+",
        (_, false) => " ",
    };
    text.replace_range(sign..=sign, merged);
    number.unsigned_abs().to_string()
}

#[cfg(test)]
mod tests {
    use super::super::document::SourceFile;
    use super::super::document::Table;
    use super::*;
    use kop_ops::Role;
    use toml::de::DeTable;

    fn layout() -> Layout {
        Layout::new().register("dst", Role::Destination).register("src", Role::Any).signed("n", 16)
    }

    /// The template in a file that starts with `t = '''`, 7 bytes.
    fn expand(text: &str, language: Language, values: &[i64]) -> Result<Expanded, Failure> {
        let file = SourceFile { path: "f".to_owned(), text: format!("t = '''{text}'''") };
        let document = DeTable::parse(&file.text).expect("well-formed");
        let mut table = Table::new(&file, document.get_ref(), 0);
        let located = table.take("t").and_then(|value| value.string().ok()).expect("a string");
        Template::parse(&located, language, &layout())?.expand(values)
    }

    #[test]
    fn registers_and_numbers_are_written_as_the_language_has_them() {
        let x86_64 = Language::Native(Arch::X86_64);
        let aarch64 = Language::Native(Arch::Aarch64);
        for (language, text, expected) in [
            (x86_64, "mov {dst}, {src:8}", "mov rax, r15b"),
            (x86_64, "mov {dst:32}, {src:16} // {", "mov eax, r15w "),
            (x86_64, "add {dst}, {n + 1}", "add rax, -7"),
            (x86_64, "mov {dst}, [{src} + {n}]", "mov rax, [r15 - 8]"),
            (x86_64, "mov {dst}, [{src}-{n}]", "mov rax, [r15+8]"),
            (x86_64, "mov {dst}, -{n}", "mov rax,  8"),
            (x86_64, "mov {dst}, + {n}", "mov rax, - 8"),
            (x86_64, "# {nothing}\nnop", "\nnop"),
            (aarch64, "ldr {dst:w}, [{src}, #{n}]", "ldr w7, [x22, #-8]"),
            (aarch64, "cnt {{v0.8b}}, {src:x}", "cnt {v0.8b}, x22"),
            (aarch64, ".word {code(src) << 5 | 1}", ".word 705"),
            (Language::Ebpf, "{dst:w} = *(u32 *)({src} + {n}) ; {", "w0 = *(u32 *)(r9 - 8) "),
            (Language::Ebpf, "{dst} += {-n} # {\n{r4} = {dst:64}", "r0 += 8 \nr4 = r0"),
        ] {
            let expanded = expand(text, language, &[0, 9, -8]);
            assert_eq!(expanded.map(|expanded| expanded.text), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn every_byte_leads_back_to_the_file() {
        let expanded = expand("ab {dst} c\n{n}d // x\ne", Language::Native(Arch::X86_64), &[6, 0, 100]);
        let expanded = expanded.expect("right");
        assert_eq!(expanded.text, "ab rbx c\n100d \ne");
        for (at, expected) in
            [(0, 7), (2, 9), (3, 11), (5, 11), (6, 15), (8, 17), (9, 19), (12, 21), (15, 28)]
        {
            assert_eq!(expanded.origin(at), expected, "{at}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let x86_64 = Language::Native(Arch::X86_64);
        for (language, text, at, words) in [
            (x86_64, "a {dst", 2, "`{` without `}`"),
            (x86_64, "a } b", 2, "`}` without `{`"),
            (x86_64, "{dst:w}", 5, "`w` is no width"),
            (x86_64, "{dst:24}", 5, "`24` is no width"),
            (Language::Ebpf, "{dst:8}", 5, "`8` is no width"),
            (x86_64, "{n:32}", 2, "only a register has a width"),
            (x86_64, "{n == 1}", 3, "found a condition"),
            (x86_64, "nop\n {dest}", 6, "no operand `dest` (dst, src, n)"),
            (Language::Ebpf, "{code(dst)}", 1, "a proof has no CPU"),
            (x86_64, "{}", 1, "expected an operand"),
            (x86_64, "{1 << n}", 3, "1 << -8 has no value"),
        ] {
            let failure = expand(text, language, &[0, 9, -8]).expect_err(text);
            assert!(failure.what.contains(words), "{text}: {}", failure.what);
            assert_eq!(failure.at, 7 + at, "{text}: {}", failure.what);
        }
    }
}
