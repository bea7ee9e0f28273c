// SPDX-License-Identifier: GPL-2.0-or-later
//! Tokens of one line: words, symbols, registers and numbers, each with what is expected where it is missing.

use std::ops::RangeInclusive;

use super::super::insn::Width;
use super::super::register::{Reg, numbered};
use super::{ParseError, ParseReason};

/// What fits in the `off` field.
pub(super) const I16: RangeInclusive<i128> = i16::MIN as i128..=i16::MAX as i128;

/// What fits in the `imm` field.
pub(super) const I32: RangeInclusive<i128> = i32::MIN as i128..=i32::MAX as i128;

/// What is wrong at a byte of a line.
pub(super) struct Failure {
    pub(super) at: usize,
    pub(super) reason: ParseReason,
}

impl Failure {
    pub(super) fn expected(at: usize, what: impl Into<String>) -> Self {
        Failure { at, reason: ParseReason::Expected(what.into()) }
    }

    /// A number at `at` that is not in `range`.
    pub(super) fn range(at: usize, what: &'static str, range: RangeInclusive<i128>) -> Self {
        let (min, max) = range.into_inner();
        Failure { at, reason: ParseReason::Range { expected: what, min, max } }
    }

    pub(super) fn at_line(self, line: usize, text: &str) -> ParseError {
        let column = text.get(..self.at).unwrap_or(text).chars().count() + 1;
        ParseError { line, column, reason: self.reason }
    }
}

/// A label where it is used.
#[derive(Clone, Copy)]
pub(super) struct Use<'a> {
    pub(super) name: &'a str,
    pub(super) at: usize,
}

/// The register and width that a name such as `r3` or `w3` stands for.
pub(super) fn named(name: &str) -> Option<(Width, Reg)> {
    Width::ALL.into_iter().find_map(|width| numbered(name, width.letter()).map(|register| (width, register)))
}

const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.')
}

/// A place in a line, moved forward by what is read.
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// Each token skips the blanks before it.
impl<'a> Cursor<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Cursor { text, at: 0 }
    }

    fn rest(&mut self) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or("");
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    /// The byte where the next token starts.
    pub(super) fn position(&mut self) -> usize {
        self.rest();
        self.at
    }

    /// Goes back to a `position`.
    pub(super) const fn return_to(&mut self, position: usize) {
        self.at = position;
    }

    pub(super) fn is_at_end(&mut self) -> bool {
        self.rest().is_empty()
    }

    /// The failure that `what` must stand here.
    pub(super) fn expected<T>(&mut self, what: impl Into<String>) -> Result<T, Failure> {
        Err(Failure::expected(self.position(), what))
    }

    pub(super) fn starts_with(&mut self, token: &str) -> bool {
        self.rest().starts_with(token)
    }

    pub(super) fn eat(&mut self, token: &str) -> bool {
        let found = self.starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    pub(super) fn expect(&mut self, token: &str) -> Result<(), Failure> {
        if self.eat(token) { Ok(()) } else { self.expected(format!("`{token}`")) }
    }

    /// Skips to just after `end`, or to the end of the line.
    pub(super) fn skip_past(&mut self, end: char) {
        let rest = self.rest();
        self.at += rest.find(end).map_or(rest.len(), |at| at + end.len_utf8());
    }

    pub(super) fn peek_word(&mut self) -> &'a str {
        let rest = self.rest();
        &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())]
    }

    /// The word here, empty when there is none.
    pub(super) fn word(&mut self) -> &'a str {
        let word = self.peek_word();
        self.at += word.len();
        word
    }

    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.peek_word() == word;
        self.at += if found { word.len() } else { 0 };
        found
    }

    pub(super) fn expect_word(&mut self, word: &str) -> Result<(), Failure> {
        if self.eat_word(word) { Ok(()) } else { self.expected(format!("`{word}`")) }
    }

    /// The value of the word here, which `meaning` knows as one of `what`.
    pub(super) fn word_meaning<T>(
        &mut self,
        what: &str,
        meaning: impl Fn(&str) -> Option<T>,
    ) -> Result<T, Failure> {
        match meaning(self.peek_word()) {
            Some(value) => {
                self.word();
                Ok(value)
            }
            None => self.expected(what),
        }
    }

    /// The item with the longest of the `token`s that stand here.
    pub(super) fn longest<T: Copy>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        token: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let rest = self.rest();
        let item = items
            .into_iter()
            .filter(|item| rest.starts_with(token(*item)))
            .max_by_key(|item| token(*item).len())?;
        self.at += token(item).len();
        Some(item)
    }

    /// A register of either width.
    pub(super) fn any_register(&mut self) -> Result<(Width, Reg), Failure> {
        self.word_meaning("a register, r0 to r10 or w0 to w10", named)
    }

    /// A register under the name for `width`.
    pub(super) fn register(&mut self, width: Width) -> Result<Reg, Failure> {
        let what = match width {
            Width::W32 => "a 32-bit register, w0 to w10",
            Width::W64 => "a 64-bit register, r0 to r10",
        };
        self.word_meaning(what, |name| numbered(name, width.letter()))
    }

    /// A number in `range`, decimal or hexadecimal, with or without a minus sign.
    pub(super) fn number(
        &mut self,
        what: &'static str,
        range: RangeInclusive<i128>,
    ) -> Result<i128, Failure> {
        let at = self.position();
        let negative = self.eat("-");
        self.magnitude(at, negative, what, range)
    }

    /// A number in `range` after a sign.
    pub(super) fn signed(
        &mut self,
        what: &'static str,
        range: RangeInclusive<i128>,
    ) -> Result<i128, Failure> {
        let at = self.position();
        let negative = self.eat("-");
        if negative || self.eat("+") {
            self.magnitude(at, negative, what, range)
        } else {
            self.expected(what)
        }
    }

    fn magnitude(
        &mut self,
        at: usize,
        negative: bool,
        what: &'static str,
        range: RangeInclusive<i128>,
    ) -> Result<i128, Failure> {
        let word = self.peek_word();
        let (digits, radix) = word.strip_prefix("0x").map_or((word, 10), |digits| (digits, 16));
        if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
            return Err(Failure::expected(at, what));
        }
        self.word();
        i128::from_str_radix(digits, radix)
            .ok()
            .map(|magnitude| if negative { -magnitude } else { magnitude })
            .filter(|number| range.contains(number))
            .ok_or_else(|| Failure::range(at, what, range))
    }

    /// The label here if there is one; a slot number and bpftool's opcode after it are skipped.
    pub(super) fn label(&mut self) -> Option<Use<'a>> {
        loop {
            let at = self.position();
            let name = self.word();
            if name.is_empty() || !self.eat(":") {
                self.return_to(at);
                return None;
            }
            if !name.starts_with(|c: char| c.is_ascii_digit()) {
                return Some(Use { name, at });
            }
            if let [b'(', high, low, b')', ..] = self.rest().as_bytes()
                && high.is_ascii_hexdigit()
                && low.is_ascii_hexdigit()
            {
                self.at += "(b7)".len();
            }
        }
    }
}
