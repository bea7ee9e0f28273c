// SPDX-License-Identifier: GPL-2.0-or-later
//! Terms with some of their parts replaced.

use kop_semantics::Domain;
use rustc_hash::FxHashMap;

use super::{Node, Term, Terms};

impl Terms {
    /// The same operation on what `of` makes of its operands.
    pub(crate) fn with_operands(&mut self, term: Term, of: impl Fn(Term) -> Term) -> Term {
        let width = self.width(term);
        match self.node(term) {
            Node::Constant(_) | Node::Variable(_) => term,
            Node::Binary(op, a, b) => self.binary(op, of(a), of(b)),
            Node::Extract(low, a) => self.extract(self.width(a), low, width, of(a)),
            Node::SignExtend(a) => self.sign_extend(self.width(a), width, of(a)),
            Node::Ite(c, a, b) => self.ite(width, of(c), of(a), of(b)),
        }
    }

    /// `root` where terms are replaced as `known` says, which learns what else becomes of terms.
    pub(crate) fn substitute(&mut self, root: Term, known: &mut FxHashMap<Term, Term>) -> Term {
        let mut pending = vec![root];
        while let Some(&next) = pending.last() {
            if known.contains_key(&next) {
                pending.pop();
                continue;
            }
            let before = pending.len();
            pending.extend(self.node(next).operands().filter(|operand| !known.contains_key(operand)));
            if pending.len() == before {
                let made = self.with_operands(next, |operand| known[&operand]);
                known.insert(next, made);
                pending.pop();
            }
        }
        known[&root]
    }
}
