// SPDX-License-Identifier: GPL-2.0-or-later
//! The TOML document with places: every value knows where it stands in the file, and every key has to be known.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What is wrong with a file of operations, in one line: `my.kop.toml:3:7: ...`, with the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct TextError {
    /// The file as it was named.
    pub path: String,
    /// Line and column in characters, both from 1; `None` when the file as a whole is meant.
    pub place: Option<(usize, usize)>,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "{}:{line}:{column}: {}", self.path, self.what),
            None => write!(f, "{}: {}", self.path, self.what),
        }
    }
}

/// A file, to find places in.
#[derive(Clone, Debug)]
pub(super) struct SourceFile {
    pub(super) path: String,
    pub(super) text: String,
}

impl SourceFile {
    /// The line and the column, in characters from 1, of a byte of the file.
    pub(super) fn position(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (line, before[start..].chars().count() + 1)
    }

    /// The error that something at byte `at` causes.
    pub(super) fn error(&self, at: usize, what: impl Into<String>) -> TextError {
        TextError { path: self.path.clone(), place: Some(self.position(at)), what: what.into() }
    }
}

/// A string of the document with its place.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub(super) text: String,
    /// The byte of the file at which the contents start.
    start: usize,
    /// Whether the contents are in the file as they are, so that their bytes can be told apart.
    exact: bool,
}

impl Located {
    /// The contents of the string that stands at `span` of `file`.
    fn new(text: &str, span: Range<usize>, file: &str) -> Self {
        let raw = file.get(span.clone()).unwrap_or("");
        let start = raw.find(text).filter(|_| !raw.contains('\\')).map(|offset| span.start + offset);
        Self { text: text.to_owned(), start: start.unwrap_or(span.start), exact: start.is_some() }
    }

    /// The byte of the file that holds byte `offset` of the contents; the start of the string where it has escapes.
    pub(super) const fn at(&self, offset: usize) -> usize {
        if self.exact { self.start + offset } else { self.start }
    }
}

/// A table, whose keys are taken out one by one.
pub(super) struct Table<'d> {
    source: &'d SourceFile,
    entries: Vec<(&'d str, Value<'d>)>,
    /// Where the table starts.
    pub(super) at: usize,
    known: Vec<&'static str>,
}

/// A value of a table or list.
#[derive(Clone)]
pub(super) struct Value<'d> {
    source: &'d SourceFile,
    value: &'d DeValue<'d>,
    span: Range<usize>,
    /// The byte of the file to point at.
    pub(super) at: usize,
}

impl<'d> Table<'d> {
    pub(super) fn new(source: &'d SourceFile, table: &'d DeTable<'d>, at: usize) -> Self {
        let mut entries: Vec<(&str, Value)> = table
            .iter()
            .map(|(key, value)| {
                let at = key.span().start;
                (&**key.get_ref(), Value { source, value: value.get_ref(), span: value.span(), at })
            })
            .collect();
        // The map is sorted by name, people think in the order of the file.
        entries.sort_by_key(|(_, value)| value.at);
        Self { source, entries, at, known: Vec::new() }
    }

    /// Takes the value of `key` out.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value<'d>> {
        self.known.push(key);
        let index = self.entries.iter().position(|(name, _)| *name == key)?;
        Some(self.entries.remove(index).1)
    }

    /// Takes the value of `key` out, which must be there.
    pub(super) fn require(&mut self, key: &'static str, why: &str) -> Result<Value<'d>, TextError> {
        let at = self.at;
        self.take(key).ok_or_else(|| self.source.error(at, format!("`{key}` is missing: {why}")))
    }

    /// Whether `key` is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| *name == key)
    }

    /// All that is left, in the order of the file.
    pub(super) fn rest(self) -> Vec<(&'d str, Value<'d>)> {
        self.entries
    }

    /// Fails when a key is left that nobody took.
    pub(super) fn finish(mut self) -> Result<(), TextError> {
        let Some((name, value)) = self.entries.first() else { return Ok(()) };
        self.known.sort_unstable();
        let known = self.known.join(", ");
        Err(self.source.error(value.at, format!("unknown key `{name}` (known here: {known})")))
    }
}

impl<'d> Value<'d> {
    /// The error that this value causes.
    pub(super) fn error(&self, what: impl Into<String>) -> TextError {
        self.source.error(self.at, what)
    }

    fn is_a(&self, wanted: &str) -> TextError {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(format!("expected {wanted}, found {found}"))
    }

    pub(super) fn is_string(&self) -> bool {
        matches!(self.value, DeValue::String(_))
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.value, DeValue::Array(_))
    }

    pub(super) fn string(&self) -> Result<Located, TextError> {
        match self.value {
            DeValue::String(text) => Ok(Located::new(text, self.span.clone(), &self.source.text)),
            _ => Err(self.is_a("a string")),
        }
    }

    /// A string of one line that is not empty.
    pub(super) fn line(&self) -> Result<String, TextError> {
        let text = self.string()?.text;
        if text.trim().is_empty() || text.contains(|c: char| c.is_control()) {
            return Err(self.error("expected one line of text"));
        }
        Ok(text)
    }

    /// An integer in `min..=max`.
    pub(super) fn integer(&self, min: i128, max: i128) -> Result<i128, TextError> {
        let DeValue::Integer(integer) = self.value else { return Err(self.is_a("an integer")) };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        number
            .filter(|number| (min..=max).contains(number))
            .ok_or_else(|| self.error(format!("expected an integer in {min}..={max}")))
    }

    pub(super) fn list(&self) -> Result<Vec<Value<'d>>, TextError> {
        let DeValue::Array(array) = self.value else { return Err(self.is_a("a list")) };
        Ok(array.iter().map(|item| self.item(item)).collect())
    }

    fn item(&self, item: &'d Spanned<DeValue<'d>>) -> Value<'d> {
        let at = item.span().start;
        Value { source: self.source, value: item.get_ref(), span: item.span(), at }
    }

    pub(super) fn table(&self) -> Result<Table<'d>, TextError> {
        match self.value {
            DeValue::Table(table) => Ok(Table::new(self.source, table, self.at)),
            _ => Err(self.is_a("a table")),
        }
    }

    /// The items of a list, or the value itself: what may be given once or several times.
    pub(super) fn one_or_many(&self) -> Result<Vec<Value<'d>>, TextError> {
        if self.is_list() { self.list() } else { Ok(vec![self.clone()]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_lines_and_columns_in_characters() {
        let source = SourceFile { path: "f".to_owned(), text: "ab\nä!c\n".to_owned() };
        for (at, place) in [(0, (1, 1)), (2, (1, 3)), (3, (2, 1)), (5, (2, 2)), (6, (2, 3)), (99, (3, 1))] {
            assert_eq!(source.position(at), place, "{at}");
        }
    }

    #[test]
    fn strings_know_their_bytes_unless_they_have_escapes() {
        let file = "a = \"\"\"\n  xy\n\"\"\"\nb = \"q\\tr\"\n";
        let table = DeTable::parse(file).expect("well-formed");
        let source = SourceFile { path: "f".to_owned(), text: file.to_owned() };
        let mut table = Table::new(&source, table.get_ref(), 0);
        let a = table.take("a").and_then(|value| value.string().ok()).expect("a string");
        assert_eq!((a.text.as_str(), source.position(a.at(2))), ("  xy\n", (2, 3)));
        let b = table.take("b").and_then(|value| value.string().ok()).expect("a string");
        assert_eq!((b.text.as_str(), source.position(b.at(2))), ("q\tr", (4, 5)));
    }
}
