// SPDX-License-Identifier: GPL-2.0-or-later
//! The tutorial of docs/operations-as-text.md, run as it is written: files are put down, commands are run one after the
//! other, and what the text shows of their output has to be there.
//!
//! Of a command's output, spaces count as one; a line that ends in ` ..` shows a line's start, and `...` stands for lines that
//! are left out.

#![cfg(all(feature = "cli", feature = "text"))]

use std::fs;
use std::path::Path;
use std::process::Command;

/// A block of the document: what follows the fence, the line of the fence, and the lines between.
struct Block<'a> {
    info: &'a str,
    line: usize,
    lines: Vec<&'a str>,
}

fn blocks(document: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in document.lines().enumerate() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(""), Some(block)) => blocks.push(block),
            (Some(info), None) => open = Some(Block { info, line: index + 1, lines: Vec::new() }),
            (_, Some(mut block)) => {
                block.lines.push(line);
                open = Some(block);
            }
            (None, None) => (),
        }
    }
    assert!(open.is_none(), "the last block is not closed");
    blocks
}

fn single_spaced(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Why `output` is not what is shown, if it is not.
fn difference(shown: &[&str], output: &str) -> Option<String> {
    let mut rest = output.lines().map(single_spaced).filter(|line| !line.is_empty());
    let mut may_skip = false;
    for line in shown.iter().map(|line| single_spaced(line)).filter(|line| !line.is_empty()) {
        if line == "..." {
            may_skip = true;
            continue;
        }
        let fits = |found: &String| match line.strip_suffix(" ..") {
            Some(start) => found.starts_with(start),
            None => *found == line,
        };
        let found = if may_skip { rest.find(fits) } else { rest.next().filter(fits) };
        if found.is_none() {
            return Some(format!("`{line}` is not there"));
        }
        may_skip = false;
    }
    match rest.next() {
        Some(line) if !may_skip => Some(format!("`{line}` is not shown")),
        _ => None,
    }
}

/// Runs `arguments` of `kop` in `folder`; both outputs, and the exit code.
fn kop(folder: &Path, arguments: &str) -> (String, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_kop"))
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .output()
        .expect("the command runs");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8")).concat();
    (text, output.status.code().unwrap_or(-1))
}

#[test]
fn the_tutorial_is_true() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations-as-text.md");
    let document = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut exit = 0;
    let mut exits = Vec::new();
    for block in blocks(&document) {
        if let Some(name) = block.info.strip_prefix("toml ") {
            fs::write(folder.path().join(name), block.lines.join("\n")).expect("a file of the tutorial");
            continue;
        }
        assert_eq!(block.info, "console", "line {}: a block of no known kind", block.line);
        let mut lines = block.lines.as_slice();
        while let [command, rest @ ..] = lines {
            let command = command.strip_prefix("$ ").expect("a block starts with a command");
            let end = rest.iter().position(|line| line.starts_with("$ ")).unwrap_or(rest.len());
            let (shown, next) = rest.split_at(end);
            lines = next;
            let output = if command == "echo $?" {
                exits.push(exit);
                exit.to_string()
            } else {
                let arguments = command.strip_prefix("kop ").expect("commands are those of kop");
                let (output, code) = kop(folder.path(), arguments);
                exit = code;
                output
            };
            if let Some(difference) = difference(shown, &output) {
                panic!("line {}, `{command}`: {difference}:\n{output}", block.line);
            }
        }
    }
    assert_eq!(exits, [1, 0, 2], "a divergence, its repair and a mistake");
}

#[test]
fn output_that_differs_is_seen() {
    let output = "a  b\n\nc d e\nf\n";
    for (shown, differs) in [
        (&["a b", "c d e", "f"][..], false),
        (&["a b", "c d ..", "f"], false),
        (&["a b", "...", "f"], false),
        (&["...", "c ..", "..."], false),
        (&["..."], false),
        (&["a b", "f"], true),
        (&["a b", "c d"], true),
        (&["a b", "c d e"], true),
        (&["...", "g"], true),
        (&["...", "f", "a b"], true),
        (&["b", "..."], true),
    ] {
        assert_eq!(difference(shown, output).is_some(), differs, "{shown:?}");
    }
}
