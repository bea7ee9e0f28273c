// SPDX-License-Identifier: GPL-2.0-or-later
//! Numbers as linear combinations of integers, with remainders: for an integer `s`, the bits from `k` on are `(s - r) / 2^k`, where `r` is
//! `s` modulo `2^k`, and that depends on `s` modulo `2^k` alone. So sums with carries that are split off and added again in any order
//! come to the same combination.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use crate::term::{Node, Op, Term, Terms};

/// Factors are multiples of two to minus this.
const SCALE: u32 = 64;

/// An integer: atoms by number with their factors, which are not zero, and a constant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Form {
    atoms: Vec<(u32, i128)>,
    constant: i128,
}

/// An integer that lies between zero and `most`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bounded {
    form: Form,
    most: u128,
}

/// What an atom is.
#[derive(Clone, Debug)]
enum Atom {
    /// A term of which nothing is known.
    Term,
    /// A form modulo two to a number of bits.
    Remainder(u32, Form),
}

impl Form {
    fn map(&self, of: impl Fn(i128) -> Option<i128>) -> Option<Self> {
        let mut atoms = Vec::with_capacity(self.atoms.len());
        for (atom, factor) in &self.atoms {
            let factor = of(*factor)?;
            if factor != 0 {
                atoms.push((*atom, factor));
            }
        }
        Some(Form { atoms, constant: of(self.constant)? })
    }

    fn plus(&self, other: &Self, factor: i128) -> Option<Self> {
        let mut factors: FxHashMap<u32, i128> = self.atoms.iter().copied().collect();
        for (atom, more) in &other.atoms {
            let sum = factors.entry(*atom).or_default();
            *sum = sum.checked_add(more.checked_mul(factor)?)?;
        }
        let mut atoms: Vec<(u32, i128)> = factors.into_iter().filter(|(_, factor)| *factor != 0).collect();
        atoms.sort_unstable();
        let constant = self.constant.checked_add(other.constant.checked_mul(factor)?)?;
        Some(Form { atoms, constant })
    }

    /// The half, `bits` times over; none where a factor has too many digits.
    fn shifted_right(&self, bits: u32) -> Option<Self> {
        self.map(|factor| (factor.trailing_zeros() >= bits.min(127)).then(|| factor >> bits))
    }
}

/// Integers of terms.
pub(super) struct Integers<'a> {
    terms: &'a Terms,
    /// The largest values of variables.
    bounds: &'a FxHashMap<Term, u64>,
    known: FxHashMap<Term, Rc<Bounded>>,
    atoms: Vec<(Atom, u128)>,
    remainders: FxHashMap<(u32, Form), u32>,
}

impl<'a> Integers<'a> {
    /// Integers of terms whose variables are at most what `bounds` says.
    pub fn new(terms: &'a Terms, bounds: &'a FxHashMap<Term, u64>) -> Self {
        Integers {
            terms,
            bounds,
            known: FxHashMap::default(),
            atoms: Vec::new(),
            remainders: FxHashMap::default(),
        }
    }

    /// Whether both are the same integer.
    pub fn equal(&mut self, a: Term, b: Term) -> bool {
        self.integer(a).form == self.integer(b).form
    }

    fn integer(&mut self, term: Term) -> Rc<Bounded> {
        let mut pending = vec![term];
        while let Some(&next) = pending.last() {
            if self.known.contains_key(&next) {
                pending.pop();
                continue;
            }
            let before = pending.len();
            let node = self.terms.node(next);
            if is_linear(self.terms, node) {
                pending.extend(node.operands().filter(|operand| !self.known.contains_key(operand)));
            }
            if pending.len() == before {
                let integer = self.compute(next, node).unwrap_or_else(|| self.opaque(next));
                self.known.insert(next, Rc::new(integer));
                pending.pop();
            }
        }
        self.known[&term].clone()
    }

    fn opaque(&mut self, term: Term) -> Bounded {
        let largest = u64::MAX >> (64 - self.terms.width(term));
        let most = self.bounds.get(&term).map_or(largest, |bound| *bound.min(&largest));
        self.atom(Atom::Term, u128::from(most))
    }

    fn atom(&mut self, atom: Atom, most: u128) -> Bounded {
        let number = self.atoms.len() as u32;
        self.atoms.push((atom, most));
        Bounded { form: Form { atoms: vec![(number, 1 << SCALE)], constant: 0 }, most }
    }

    fn compute(&mut self, term: Term, node: Node) -> Option<Bounded> {
        let width = self.terms.width(term);
        match node {
            Node::Constant(value) => {
                let constant = i128::from(value).checked_mul(1 << SCALE)?;
                Some(Bounded { form: Form { atoms: Vec::new(), constant }, most: u128::from(value) })
            }
            _ if !is_linear(self.terms, node) => None,
            Node::Extract(low, a) => {
                let whole = self.known[&a].clone();
                let above = self.above(&whole, low)?;
                self.modulo(&above, width)
            }
            Node::Binary(Op::Concat, high, low) => {
                let (high, low_width) = (self.known[&high].clone(), self.terms.width(low));
                self.combined(width, (&high, 1 << low_width), low)
            }
            Node::Binary(Op::Add, a, b) => {
                let a = self.known[&a].clone();
                self.combined(width, (&a, 1), b)
            }
            Node::Binary(Op::Mul, factor, a) => {
                let factor = i128::from(self.terms.as_constant(factor)?);
                let a = self.known[&a].clone();
                let zero = Form::default();
                let product = zero.plus(&a.form, factor)?;
                let most = a.most.checked_mul(factor as u128)?;
                self.modulo(&Bounded { form: product, most }, width)
            }
            _ => None,
        }
    }

    /// `factor a + b` modulo two to the width.
    fn combined(&mut self, width: u32, (a, factor): (&Bounded, i128), b: Term) -> Option<Bounded> {
        let b = self.known[&b].clone();
        let form = b.form.plus(&a.form, factor)?;
        let most = a.most.checked_mul(factor as u128)?.checked_add(b.most)?;
        self.modulo(&Bounded { form, most }, width)
    }

    /// The bits from `low` on.
    fn above(&mut self, whole: &Bounded, low: u32) -> Option<Bounded> {
        if low == 0 {
            return Some(whole.clone());
        }
        let rest = self.modulo(whole, low)?;
        let multiple = whole.form.plus(&rest.form, -1)?;
        Some(Bounded { form: multiple.shifted_right(low)?, most: whole.most >> low })
    }

    /// The low `bits`: all of it, or an atom for the remainder.
    fn modulo(&mut self, whole: &Bounded, bits: u32) -> Option<Bounded> {
        if whole.most >> bits == 0 {
            return Some(whole.clone());
        }
        let reduced = self.reduced(&whole.form, bits)?;
        // A remainder of one atom that is small enough is the atom.
        if let [(atom, factor)] = reduced.atoms[..]
            && (factor, reduced.constant) == (1 << SCALE, 0)
            && self.atoms[atom as usize].1 >> bits == 0
        {
            let most = self.atoms[atom as usize].1;
            return Some(Bounded { form: reduced, most });
        }
        let most = (1u128 << bits) - 1;
        if let Some(&atom) = self.remainders.get(&(bits, reduced.clone())) {
            return Some(Bounded { form: Form { atoms: vec![(atom, 1 << SCALE)], constant: 0 }, most });
        }
        let remainder = self.atom(Atom::Remainder(bits, reduced.clone()), most);
        self.remainders.insert((bits, reduced), remainder.form.atoms[0].0);
        Some(remainder)
    }

    /// A form that is congruent modulo two to `bits`: remainders by as many bits or more are what they are remainders of, and multiples
    /// of two to `bits` are left out. A factor that is no integer stays with its atom.
    fn reduced(&self, form: &Form, bits: u32) -> Option<Form> {
        let mut all = Form { atoms: Vec::new(), constant: form.constant };
        for (atom, factor) in &form.atoms {
            let whole = factor >> SCALE;
            match &self.atoms[*atom as usize].0 {
                Atom::Remainder(more, of) if *more >= bits && whole << SCALE == *factor => {
                    // The low digits of the factor count alone, so that products stay small.
                    all = all.plus(of, whole & ((1 << bits) - 1))?;
                }
                _ => all = all.plus(&Form { atoms: vec![(*atom, *factor)], constant: 0 }, 1)?,
            }
        }
        // Multiples of a modulus that no factor has room for are none.
        match 1i128.checked_shl(bits + SCALE).filter(|modulus| *modulus > 0) {
            Some(modulus) => all.map(|number| Some(number.rem_euclid(modulus))),
            None => Some(all),
        }
    }
}

/// Whether an integer is made of the operands' integers.
fn is_linear(terms: &Terms, node: Node) -> bool {
    match node {
        Node::Binary(Op::Concat | Op::Add, ..) | Node::Extract(..) => true,
        Node::Binary(Op::Mul, a, _) => terms.as_constant(a).is_some(),
        _ => false,
    }
}
