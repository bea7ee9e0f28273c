// SPDX-License-Identifier: GPL-2.0-or-later
//! Lines of C: indented by tabs, broken where they are too long.

use std::fmt::Write;

/// The most columns of a line, a tab counting eight.
const COLUMNS: usize = 100;

/// What a line may end with where it is broken.
const BREAKS: [&str; 5] = [",", "||", "&&", "|", "^"];

/// A line and how deep it is indented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The number of tabs.
    pub depth: usize,
    /// The text; an empty one is an empty line.
    pub text: String,
}

/// A line at the outermost depth.
pub fn line(text: impl Into<String>) -> Line {
    Line { depth: 0, text: text.into() }
}

/// The lines, one deeper.
pub fn deeper(lines: Vec<Line>) -> impl Iterator<Item = Line> {
    lines.into_iter().map(|line| Line { depth: line.depth + 1, ..line })
}

/// The lines as text.
pub fn print(lines: &[Line]) -> String {
    let mut out = String::new();
    for line in lines {
        let mut depth = line.depth;
        for piece in pieces(&line.text, line.depth) {
            let tabs = if piece.is_empty() { String::new() } else { "\t".repeat(depth) };
            let _ = writeln!(out, "{tabs}{piece}");
            depth = line.depth + 2;
        }
    }
    out
}

/// The text in pieces that fit, the later ones two tabs deeper.
fn pieces(text: &str, depth: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut rest, mut room) = (text, COLUMNS - 8 * depth);
    // Commas inside of nested parentheses hold together what is between them.
    let mut open = 0;
    while rest.len() > room {
        let mut end = None;
        let mut nesting = open;
        for (at, c) in rest[..room].char_indices() {
            match c {
                '(' => nesting += 1,
                ')' => nesting -= 1,
                ' ' if nesting <= 1 && BREAKS.iter().any(|before| rest[..at].ends_with(before)) => {
                    end = Some((at + 1, nesting));
                }
                _ => (),
            }
        }
        let Some((end, nesting)) = end else { break };
        pieces.push(rest[..end].trim_end());
        rest = &rest[end..];
        open = nesting;
        room = COLUMNS - 8 * (depth + 2);
    }
    pieces.push(rest);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken() {
        let text = format!("PUT(code, {});", ["0x48"; 30].join(", "));
        let printed = print(&[Line { depth: 2, text }]);
        assert!(printed.lines().count() > 1);
        for line in printed.lines() {
            let columns = line.len() + 7 * line.matches('\t').count();
            assert!(columns <= COLUMNS, "{line}");
        }
    }
}
