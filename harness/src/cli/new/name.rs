// SPDX-License-Identifier: GPL-2.0-or-later
//! The name of a new operation: a module, a type, a fuzz target and a folder at once.

use std::fmt;

use super::Failure;
use super::project::OPERATION;

/// The longest name, in bytes: it stands in tables.
const MAX_LENGTH: usize = 32;

/// What Rust keeps for itself (The Rust Reference, Keywords), in any edition.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual",
    "where", "while", "yield",
];

/// What cargo keeps for itself among the names of binaries, which fuzz targets are.
const CARGO: &[&str] = &["build", "deps", "examples", "incremental", "test"];

/// What a skeleton uses of Rust's prelude, and what people add to it first.
const PRELUDE: &[&str] =
    &["Box", "Default", "Err", "None", "Ok", "Option", "Result", "Some", "String", "Vec"];

/// A name in lower case with underscores that nothing else has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Checks a name as far as it can be checked without the project.
    ///
    /// # Errors
    /// [`Failure::Usage`] with the rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let name = Self::outside(text)?;
        let refuse = |rule: String| Err(refusal(text, &rule));
        if KEYWORDS.contains(&text) {
            return refuse("is a keyword of Rust; choose another name".to_owned());
        }
        if CARGO.contains(&text) {
            return refuse(
                "is kept by cargo, so that no fuzz target may be called that; choose another name".to_owned(),
            );
        }
        let type_name = name.type_name();
        let imports = OPERATION.lines().filter(|line| line.starts_with("use "));
        let mut imported =
            imports.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
        if PRELUDE.contains(&&*type_name) || imported.any(|word| word == type_name) {
            return refuse(format!(
                "would make a type called {type_name}, which means something else; choose another name"
            ));
        }
        Ok(name)
    }

    /// Checks the name of an operation that is not written in Rust.
    ///
    /// # Errors
    /// [`Failure::Usage`] with the rule that it breaks.
    pub fn outside(text: &str) -> Result<Self, Failure> {
        let word = |word: &str| {
            !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        };
        if !text.starts_with(|c: char| c.is_ascii_lowercase()) || !text.split('_').all(word) {
            return Err(refusal(text, "is no name for an operation; write it in lower case, as count_zeros"));
        }
        if text.len() > MAX_LENGTH {
            return Err(refusal(text, &format!("is longer than {MAX_LENGTH} characters")));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the type: `CountZeros` for `count_zeros`.
    pub fn type_name(&self) -> String {
        let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
        self.0.split('_').map(capital).collect()
    }
}

fn refusal(text: &str, rule: &str) -> Failure {
    Failure::usage(format!("`{}` {rule}", text.escape_debug()))
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_types() {
        for (name, type_name) in [
            ("bswap", "Bswap"),
            ("count_zeros", "CountZeros"),
            ("crc32_8", "Crc328"),
            ("xor", "Xor"),
            ("a_b", "AB"),
        ] {
            assert_eq!(Name::parse(name).expect(name).type_name(), type_name);
        }
    }

    #[test]
    fn what_is_no_name_is_refused_in_one_line() {
        for (name, rule) in [
            ("", "write it in lower case"),
            ("Rotate", "write it in lower case"),
            ("and-not", "write it in lower case"),
            ("_x", "write it in lower case"),
            ("x_", "write it in lower case"),
            ("a__b", "write it in lower case"),
            ("8bit", "write it in lower case"),
            ("../x", "write it in lower case"),
            ("ä", "write it in lower case"),
            ("a\nb", "`a\\nb` is no name"),
            ("a_name_that_does_not_fit_into_a_table", "longer than 32"),
            ("match", "keyword"),
            ("gen", "keyword"),
            ("test", "kept by cargo"),
            ("kop", "type called Kop"),
            ("form", "type called Form"),
            ("ok", "type called Ok"),
            ("option", "type called Option"),
        ] {
            let Err(Failure::Usage(message)) = Name::parse(name) else { panic!("{name} is accepted") };
            assert!(message.contains(rule) && !message.contains('\n'), "{name}: {message}");
        }
    }
}
