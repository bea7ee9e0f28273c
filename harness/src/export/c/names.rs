// SPDX-License-Identifier: GPL-2.0-or-later
//! Identifiers of C for operations, forms and operands.

use kop_ops::Field;

/// Words that are no operand's name in C: keywords, what the exported functions call their own, and macros of the compiler
/// and the kernel.
const TAKEN: [&str; 60] = [
    "asm",
    "auto",
    "bool",
    "break",
    "case",
    "char",
    "const",
    "continue",
    "default",
    "do",
    "double",
    "else",
    "enum",
    "extern",
    "false",
    "float",
    "for",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "register",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "struct",
    "switch",
    "true",
    "typedef",
    "typeof",
    "union",
    "unsigned",
    "void",
    "volatile",
    "while",
    "abs",
    "code",
    "current",
    "err",
    "errno",
    "fallthrough",
    "likely",
    "linux",
    "max",
    "min",
    "noinline",
    "op",
    "payload",
    "proof",
    "swap",
    "unix",
    "unlikely",
    "u8",
    "u32",
    "s32",
    "s64",
];

/// A text as a part of a C identifier.
pub fn identifier(text: &str) -> String {
    let valid = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut name: String = text.chars().map(valid).collect();
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

/// The name of an operand in C.
pub fn operand(field: &Field) -> String {
    let mut name = identifier(&field.name);
    if TAKEN.contains(&name.as_str()) {
        name.push('_');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_identifiers() {
        for (text, name) in [("dst", "dst"), ("payload-x86_64", "payload_x86_64"), ("2nd", "_2nd")] {
            assert_eq!(identifier(text), name);
        }
        let layout = kop_ops::Layout::new().unsigned("register", 0, 1).unsigned("start", 0, 1);
        assert_eq!(layout.fields().iter().map(operand).collect::<Vec<_>>(), ["register_", "start"]);
    }
}
