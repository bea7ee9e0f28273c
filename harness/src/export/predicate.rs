// SPDX-License-Identifier: GPL-2.0-or-later
//! What an emit may decide by: registers that coincide or are a particular one, immediates in a range, CPU features.

use std::collections::BTreeMap;

use kop_ops::{Arch, Feature, Field};

use super::target::{Point, Target};
use super::value::Sum;

/// A condition on a point.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Predicate {
    /// The CPU has the feature.
    Has(Feature),
    /// Two fields name one register.
    Same(usize, usize),
    /// The field names this eBPF register.
    Is(usize, i64),
    /// The register's number in the encoding is 8 or more.
    High(usize),
    /// The low three bits of the register's number are 5, so that an address with it as the base needs a displacement.
    NeedsDisplacement(usize),
    /// The sum is this number.
    Equal(Sum, i64),
    /// The sum is at most this number.
    AtMost(Sum, i64),
    /// The sum is in this range, ends included.
    Within(Sum, i64, i64),
    /// The field is a multiple of this power of two.
    Multiple(usize, i64),
}

impl Predicate {
    /// Whether it holds at `point`.
    pub fn holds(&self, point: &Point, target: Target) -> bool {
        let number = |field: usize| target.number(point.value(field));
        match self {
            Predicate::Has(feature) => point.features.has(*feature),
            Predicate::Same(a, b) => point.value(*a) == point.value(*b),
            Predicate::Is(field, register) => point.value(*field) == *register,
            Predicate::High(field) => number(*field) >= 8,
            Predicate::NeedsDisplacement(field) => number(*field) & 7 == 5,
            Predicate::Equal(sum, value) => sum.at(point) == *value,
            Predicate::AtMost(sum, value) => sum.at(point) <= *value,
            Predicate::Within(sum, low, high) => (*low..=*high).contains(&sum.at(point)),
            Predicate::Multiple(field, power) => point.value(*field).rem_euclid(*power) == 0,
        }
    }

    /// How much there is to say for a simpler condition that decides as well.
    pub fn cost(&self) -> u32 {
        match self {
            Predicate::Has(_) | Predicate::Same(..) => 0,
            Predicate::Is(..) => 1,
            Predicate::NeedsDisplacement(_) | Predicate::High(_) => 2,
            Predicate::Equal(sum, _) => 2 + 2 * sum.terms.len() as u32,
            Predicate::AtMost(sum, _) => 3 + 2 * sum.terms.len() as u32,
            Predicate::Within(sum, ..) => 4 + 2 * sum.terms.len() as u32,
            Predicate::Multiple(..) => 5,
        }
    }

    /// The fields that it looks at.
    pub fn fields(&self) -> Vec<usize> {
        match self {
            Predicate::Has(_) => Vec::new(),
            Predicate::Same(a, b) => vec![*a, *b],
            Predicate::Is(field, _)
            | Predicate::High(field)
            | Predicate::NeedsDisplacement(field)
            | Predicate::Multiple(field, _) => vec![*field],
            Predicate::Equal(sum, _) | Predicate::AtMost(sum, _) | Predicate::Within(sum, ..) => {
                sum.terms.iter().map(|term| term.0).collect()
            }
        }
    }
}

/// A point with the class that it belongs to.
pub type Labelled<'a> = (&'a Point, u32);

/// The conditions worth trying to tell the classes of these points apart.
pub fn candidates(target: Target, fields: &[Field], points: &[Labelled]) -> Vec<Predicate> {
    let mut found: Vec<Predicate> = match target {
        Target::Proof => Vec::new(),
        Target::Native(arch) => {
            let features = Feature::ALL.into_iter().filter(|feature| feature.arch() == arch);
            features.map(Predicate::Has).collect()
        }
    };
    let (registers, immediates): (Vec<usize>, Vec<usize>) =
        (0..fields.len()).partition(|&field| fields[field].is_register());
    for (n, &first) in registers.iter().enumerate() {
        found.extend(registers[n + 1..].iter().map(|&second| Predicate::Same(first, second)));
        found.extend((0..=fields[first].range().1).map(|register| Predicate::Is(first, register)));
        if target == Target::Native(Arch::X86_64) {
            found.extend([Predicate::High(first), Predicate::NeedsDisplacement(first)]);
        }
    }
    for &field in &immediates {
        found.extend([2, 4, 8, 16, 1 << 8, 1 << 16].map(|power| Predicate::Multiple(field, power)));
    }
    for sum in Sum::candidates(&immediates).into_iter().filter(|sum| sum.terms[0].1 > 0) {
        compare(&sum, points, &mut found);
    }
    found
}

/// Comparisons of a sum with the numbers at which classes change.
fn compare(sum: &Sum, points: &[Labelled], found: &mut Vec<Predicate>) {
    let mut valued: Vec<(i64, u32)> = points.iter().map(|(point, class)| (sum.at(point), *class)).collect();
    valued.sort_unstable();
    valued.dedup();
    let mut hulls: BTreeMap<u32, (i64, i64)> = BTreeMap::new();
    for &(value, class) in &valued {
        hulls.entry(class).or_insert((value, value)).1 = value;
    }
    // For each number the classes that have it, ascending.
    let values: Vec<&[(i64, u32)]> = valued.chunk_by(|one, other| one.0 == other.0).collect();
    let alike = |one: &[(i64, u32)], other: &[(i64, u32)]| {
        one.iter().map(|(_, class)| class).eq(other.iter().map(|(_, class)| class))
    };
    for pair in values.windows(2) {
        if !alike(pair[0], pair[1]) {
            found.push(Predicate::AtMost(sum.clone(), pair[0][0].0));
        }
    }
    // A number alone is worth a condition where both of its neighbours are of other classes.
    for (n, &classes) in values.iter().enumerate() {
        let differs = |m: usize| values.get(m).is_none_or(|other| !alike(other, classes));
        if differs(n.wrapping_sub(1)) && differs(n + 1) {
            found.push(Predicate::Equal(sum.clone(), classes[0].0));
        }
    }
    found.extend(hulls.into_values().map(|(low, high)| Predicate::Within(sum.clone(), low, high)));
}
