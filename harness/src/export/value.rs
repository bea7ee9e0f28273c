// SPDX-License-Identifier: GPL-2.0-or-later
//! Numbers that depend on operands: a register's number in the encoding, and sums of immediates.

use kop_ops::Field;

use super::target::{Point, Target};

/// A sum of immediates, shifted right.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sum {
    /// Fields with their signs, 1 or -1.
    pub terms: Vec<(usize, i8)>,
    /// How far the sum is shifted right.
    pub shift: u32,
}

impl Sum {
    /// The value of one field.
    pub fn of(field: usize) -> Self {
        Self { terms: vec![(field, 1)], shift: 0 }
    }

    /// Its value at `point`.
    pub fn at(&self, point: &Point) -> i64 {
        let sum: i64 = self.terms.iter().map(|&(field, sign)| i64::from(sign) * point.value(field)).sum();
        sum >> self.shift
    }

    /// The sums worth trying over these immediate fields, the simplest first.
    pub fn candidates(immediates: &[usize]) -> Vec<Self> {
        let mut sums: Vec<Self> = Vec::new();
        let mut push = |terms: &[(usize, i8)]| sums.push(Self { terms: terms.to_vec(), shift: 0 });
        immediates.iter().for_each(|&field| push(&[(field, 1)]));
        immediates.iter().for_each(|&field| push(&[(field, -1)]));
        for (n, &first) in immediates.iter().enumerate() {
            for &second in &immediates[n + 1..] {
                for signs in [(1, 1), (-1, -1), (1, -1), (-1, 1)] {
                    push(&[(first, signs.0), (second, signs.1)]);
                }
            }
        }
        sums
    }

    /// As C, plus a constant: `64 - amount`.
    pub fn text(&self, fields: &[Field], add: i64, name: impl Fn(&Field) -> String) -> String {
        let mut text = String::new();
        let positive = self.terms.iter().filter(|term| term.1 > 0);
        let negative = self.terms.iter().filter(|term| term.1 < 0);
        for &(field, _) in positive {
            text += &format!("{}{}", if text.is_empty() { "" } else { " + " }, name(&fields[field]));
        }
        let mut rest = add;
        if text.is_empty() && self.shift == 0 && add > 0 {
            text = add.to_string();
            rest = 0;
        }
        for &(field, _) in negative {
            text += &format!("{}{}", if text.is_empty() { "-" } else { " - " }, name(&fields[field]));
        }
        if self.shift > 0 {
            let inner = if self.terms.len() > 1 { format!("({text})") } else { text };
            text = format!("{inner} >> {}", self.shift);
            if rest != 0 {
                text = format!("({text})");
            }
        }
        match rest {
            0 => text,
            1.. => format!("{text} + {rest}"),
            _ => format!("{text} - {}", rest.unsigned_abs()),
        }
    }

    /// Whether the text of the sum is one word.
    pub fn is_plain(&self, add: i64) -> bool {
        add == 0 && self.shift == 0 && matches!(self.terms[..], [(_, 1)])
    }
}

/// A number that bits of an encoding come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// The number of the register that a field names.
    Register(usize),
    /// A sum of immediates plus a constant.
    Sum(Sum, i64),
}

impl Value {
    /// Its value at `point`.
    pub fn at(&self, point: &Point, target: Target) -> i64 {
        match self {
            Value::Register(field) => target.number(point.value(*field)) as i64,
            Value::Sum(sum, add) => sum.at(point).wrapping_add(*add),
        }
    }

    /// The fields that it depends on.
    pub fn fields(&self) -> Vec<usize> {
        match self {
            Value::Register(field) => vec![*field],
            Value::Sum(sum, _) => sum.terms.iter().map(|term| term.0).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kop_ops::{Features, Layout, Operands};

    #[test]
    fn sums_read_as_c() {
        let layout = Layout::new().unsigned("start", 0, 63).unsigned("length", 1, 64);
        let text = |terms: &[(usize, i8)], shift, add| {
            Sum { terms: terms.to_vec(), shift }.text(layout.fields(), add, |field| field.name.to_string())
        };
        assert_eq!(text(&[(0, 1)], 0, 0), "start");
        assert_eq!(text(&[(0, -1)], 0, 64), "64 - start");
        assert_eq!(text(&[(0, -1)], 0, -1), "-start - 1");
        assert_eq!(text(&[(0, -1), (1, -1)], 0, 64), "64 - start - length");
        assert_eq!(text(&[(0, 1), (1, 1)], 0, -1), "start + length - 1");
        assert_eq!(text(&[(0, 1)], 3, 2), "(start >> 3) + 2");
        assert_eq!(text(&[(0, 1), (1, 1)], 1, 0), "(start + length) >> 1");
    }

    #[test]
    fn sums_are_what_their_text_says() {
        let point = Point { operands: Operands::new(&[40, 16]), features: Features::NONE };
        let at = |terms: &[(usize, i8)], shift| Sum { terms: terms.to_vec(), shift }.at(&point);
        assert_eq!(at(&[(0, 1), (1, 1)], 0), 56);
        assert_eq!(at(&[(0, -1), (1, 1)], 3), -3);
        assert_eq!(Value::Sum(Sum::of(1), -20).at(&point, Target::Proof), -4);
    }
}
