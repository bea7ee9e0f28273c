// SPDX-License-Identifier: GPL-2.0-or-later
//! Lines that are painted and aligned, and text broken or cut to a width.

use super::Style;

/// The columns that a block's lines are indented by.
pub(super) const INDENT: usize = 2;

/// The column at which what a label names begins.
pub(super) const FIELD: usize = 13;

/// The painting of a piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Plain,
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
}

impl Paint {
    /// The parameters of ANSI's SGR sequence (ECMA-48 section 8.3.117).
    fn code(self) -> Option<&'static str> {
        match self {
            Paint::Plain => None,
            Paint::Bold => Some("1"),
            Paint::Dim => Some("2"),
            Paint::Red => Some("1;31"),
            Paint::Green => Some("32"),
            Paint::Yellow => Some("33"),
        }
    }
}

/// One line under construction.
#[derive(Default)]
pub(super) struct Line {
    pieces: Vec<(Paint, String)>,
    width: usize,
}

impl Line {
    /// A line that begins at `column`.
    pub(super) fn at(column: usize) -> Self {
        Self { pieces: vec![(Paint::Plain, " ".repeat(column))], width: column }
    }

    /// How many columns it has so far.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Appends text.
    pub(super) fn put(&mut self, paint: Paint, text: &str) -> &mut Self {
        let text = printable(text);
        self.width += width(&text);
        self.pieces.push((paint, text));
        self
    }

    /// Pads with spaces up to `column`; what is there already and reaches it is set off by one space.
    pub(super) fn to(&mut self, column: usize) -> &mut Self {
        let spaces = match column.checked_sub(self.width) {
            None | Some(0) if self.width > 0 => 1,
            spaces => spaces.unwrap_or(0),
        };
        self.put(Paint::Plain, &" ".repeat(spaces))
    }

    /// Appends text that ends before column `end`.
    pub(super) fn put_right(&mut self, paint: Paint, text: &str, end: usize) -> &mut Self {
        self.to(end.saturating_sub(width(text))).put(paint, text)
    }

    /// The line, without spaces or a newline at its end.
    pub(super) fn finish(mut self, style: Style) -> String {
        while let Some((_, text)) = self.pieces.last_mut() {
            text.truncate(text.trim_end().len());
            if !text.is_empty() {
                break;
            }
            self.pieces.pop();
        }
        let mut line = String::new();
        for (paint, text) in &self.pieces {
            match paint.code().filter(|_| style.color && !text.is_empty()) {
                Some(code) => line.extend(["\x1b[", code, "m", text, "\x1b[0m"]),
                None => line.push_str(text),
            }
        }
        line
    }
}

/// Lines under construction, the last one with its newline.
pub(crate) struct Block {
    style: Style,
    text: String,
}

impl Block {
    pub(crate) fn new(style: Style) -> Self {
        Self { style, text: String::new() }
    }

    pub(super) fn style(&self) -> Style {
        self.style
    }

    pub(super) fn line(&mut self, line: Line) {
        self.text.push_str(&line.finish(self.style));
        self.text.push('\n');
    }

    pub(super) fn blank(&mut self) {
        self.text.push('\n');
    }

    /// A line at the left edge.
    pub(crate) fn heading(&mut self, paint: Paint, text: &str) {
        let mut line = Line::default();
        line.put(paint, text);
        self.line(line);
    }

    /// A label on a line of its own, above what it names.
    pub(crate) fn label(&mut self, label: &str) {
        let mut line = Line::at(INDENT);
        line.put(Paint::Bold, label);
        self.line(line);
    }

    /// A label, and text beside it that is broken where the line ends.
    pub(crate) fn field(&mut self, label: &str, paint: Paint, text: &str) {
        self.field_lines(label, paint, wrap(text, self.style.columns() - FIELD));
    }

    /// A label, and lines beside it.
    pub(super) fn field_lines(&mut self, label: &str, paint: Paint, lines: Vec<String>) {
        for (i, text) in lines.iter().enumerate() {
            let mut line = Line::at(INDENT);
            line.put(Paint::Dim, if i == 0 { label } else { "" }).to(FIELD).put(paint, text);
            self.line(line);
        }
    }

    /// Text from `column` on, broken where the line ends.
    pub(super) fn paragraph(&mut self, column: usize, text: &str) {
        for text in wrap(text, self.style.columns() - column) {
            let mut line = Line::at(column);
            line.put(Paint::Plain, &text);
            self.line(line);
        }
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// How many columns `text` takes.
pub(super) fn width(text: &str) -> usize {
    text.chars().count()
}

/// `text` without control characters, so that a name or message from outside cannot steer the terminal.
fn printable(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    let mut clean = String::new();
    for c in text.chars() {
        match c {
            '\t' | '\n' | '\r' => clean.push(' '),
            c if c.is_control() => clean.extend(c.escape_default()),
            c => clean.push(c),
        }
    }
    clean
}

/// `text` broken between words into lines of at most `columns`; a word that is longer is broken too.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let text = printable(text);
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.extend(chunks(word, columns.max(1))),
        }
    }
    lines
}

fn chunks(word: &str, columns: usize) -> Vec<String> {
    let chars: Vec<char> = word.chars().collect();
    chars.chunks(columns).map(|chunk| chunk.iter().collect()).collect()
}

/// `items` separated by commas, broken between items into lines of at most `columns`.
pub(super) fn wrap_items<S: AsRef<str>>(items: &[S], columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let comma = if i + 1 < items.len() { "," } else { "" };
        let item = format!("{}{comma}", item.as_ref());
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(&item) <= columns => {
                line.push(' ');
                line.push_str(&item);
            }
            _ => lines.extend(wrap(&item, columns)),
        }
    }
    lines
}

/// `command` broken at spaces outside quotes by a backslash, so that the lines together still are the command.
pub(super) fn wrap_command(command: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in shell_words(command) {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) + 2 <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    let last = lines.len().saturating_sub(1);
    for line in &mut lines[..last] {
        line.push_str(" \\");
    }
    lines
}

/// The words of a command, with their quotes.
fn shell_words(command: &str) -> Vec<&str> {
    let mut quote = None;
    let mut escaped = false;
    let words = command.split(|c: char| {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote != Some('\'') {
            escaped = true;
        } else if quote == Some(c) {
            quote = None;
        } else if quote.is_none() && matches!(c, '\'' | '"') {
            quote = Some(c);
        } else {
            return quote.is_none() && c.is_whitespace();
        }
        false
    });
    words.filter(|word| !word.is_empty()).collect()
}

/// `text` cut to `columns`, with dots where something is missing.
pub(super) fn clip(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let kept: String = text.chars().take(columns.saturating_sub(3)).collect();
    format!("{}...", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_breaks_between_words_and_long_words_within() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("one two three", 6), ["one", "two", "three"]);
        assert_eq!(wrap("a 0123456789", 4), ["a", "0123", "4567", "89"]);
        assert!(wrap("", 4).is_empty());
        assert_eq!(wrap_items(&["rotate imm64", "rotate imm32"], 13), ["rotate imm64,", "rotate imm32"]);
        assert_eq!(wrap_items(&["a b", "c d"], 8), ["a b, c d"]);
    }

    #[test]
    fn a_broken_command_is_still_that_command() {
        assert_eq!(wrap_command("kop repro 'a b' c", 13), ["kop repro \\", "'a b' c"]);
        assert_eq!(wrap_command(r"kop repro a\ b", 8), ["kop \\", "repro \\", r"a\ b"]);
        assert_eq!(wrap_command("kop repro \"it's x\"", 10), ["kop \\", "repro \\", "\"it's x\""]);
        assert!(wrap_command("", 10).is_empty());
    }

    #[test]
    fn clipping_marks_what_is_missing() {
        assert_eq!(clip("abcdef", 6), "abcdef");
        assert_eq!(clip("abcdefg", 6), "abc...");
        assert_eq!(clip("ab cdefg", 6), "ab...");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let mut line = Line::default();
        line.put(Paint::Plain, "a\x1b[2Jb\nc\u{9b}");
        assert_eq!(line.finish(Style::default()), "a\\u{1b}[2Jb c\\u{9b}");
        assert_eq!(wrap("a\x1b[2J b", 80), ["a\\u{1b}[2J b"]);
    }

    #[test]
    fn lines_have_no_trailing_spaces_and_columns_stay_apart() {
        let style = Style { color: true, ..Style::default() };
        let mut line = Line::at(2);
        line.put(Paint::Red, "wide ").to(40).put(Paint::Plain, "  ");
        assert_eq!(line.finish(style), "  \x1b[1;31mwide\x1b[0m");
        let mut line = Line::default();
        line.put(Paint::Plain, "abc").to(3).put_right(Paint::Plain, "12", 8);
        assert_eq!(line.finish(style), "abc   12");
        assert_eq!(Line::at(4).finish(style), "");
    }
}
