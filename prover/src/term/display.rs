// SPDX-License-Identifier: GPL-2.0-or-later
//! Terms as text, for messages about what is not decided.

use std::fmt;

use super::{Node, Term, Terms};

/// Operands below this depth are left out.
const DEEPEST: usize = 12;

/// A term that can be printed.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(&'a Terms, Term);

impl Terms {
    /// `term` in a form that can be printed: operations by name, deep operands as dots.
    pub fn show(&self, term: Term) -> Shown<'_> {
        Shown(self, term)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, term: Term, depth: usize) -> fmt::Result {
        let width = self.width(term);
        let name = match self.node(term) {
            Node::Constant(value) => return write!(f, "{value:#x}:{width}"),
            Node::Variable(number) => return f.write_str(&self.variables()[number as usize].0),
            Node::Binary(op, ..) => format!("{op:?}").to_lowercase(),
            Node::Extract(low, _) => format!("bits{}..{low}", low + width - 1),
            Node::SignExtend(_) => format!("sext{width}"),
            Node::Ite(..) => "ite".to_owned(),
        };
        if depth == DEEPEST {
            return write!(f, "({name} ..)");
        }
        write!(f, "({name}")?;
        for operand in self.node(term).operands() {
            f.write_str(" ")?;
            self.write(f, operand, depth + 1)?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, self.1, 0)
    }
}
