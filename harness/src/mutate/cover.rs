// SPDX-License-Identifier: GPL-2.0-or-later
//! Some payloads in place of all, of forms that have too many for each mutant to be proved for all of them.

use std::collections::HashSet;

use kop_ops::Form;
use kop_ops::payload::{Field, Operands};

use crate::generate::alias_pattern;

/// Up to so many combinations of immediates are looked at together, or values of one immediate.
const MOST_TOGETHER: u64 = 1 << 13;

/// Of immediates that can be more, so many that are evenly apart, beside the edges.
const EVENLY: u64 = 256;

/// The payloads that are planned, and for each aliasing pattern of their registers the immediates: all combinations where those are
/// few, otherwise one by one, of those with very many values the edges and some between. In order, each once.
pub(super) fn cover(form: &Form, planned: Vec<u64>) -> Vec<u64> {
    let layout = &form.layout;
    let fields = layout.fields().iter().enumerate();
    let immediates: Vec<(usize, &Field)> = fields.filter(|(_, field)| !field.is_register()).collect();
    let product = immediates.iter().try_fold(1u64, |product, (_, field)| product.checked_mul(field.count()));
    let are_few = product.is_some_and(|product| product <= MOST_TOGETHER);
    let mut patterns = HashSet::new();
    let mut cover = planned.clone();
    for operands in planned.iter().filter_map(|&payload| layout.decode(payload).ok()) {
        if !patterns.insert(alias_pattern(form, &operands)) {
            continue;
        }
        let mut chosen = vec![operands];
        if are_few {
            for (index, field) in &immediates {
                chosen = chosen.iter().flat_map(|operands| each(operands, *index, values(field))).collect();
            }
        } else {
            let each = |(index, field): &(usize, &Field)| each(&operands, *index, values(field));
            chosen = immediates.iter().flat_map(each).collect();
        }
        cover.extend(chosen.iter().filter_map(|operands| layout.encode(operands).ok()));
    }
    cover.sort_unstable();
    cover.dedup();
    cover
}

/// The operands with each of the values in place of one.
fn each(operands: &Operands, index: usize, values: Vec<i64>) -> impl Iterator<Item = Operands> + use<> {
    let mut operands = *operands;
    values.into_iter().map(move |value| {
        operands.values_mut()[index] = value;
        operands
    })
}

/// The values of an immediate; of very many the ends, those beside powers of two, and some that are evenly apart.
fn values(field: &Field) -> Vec<i64> {
    let (least, most) = field.range();
    if field.count() <= MOST_TOGETHER {
        return (least..=most).collect();
    }
    let powers = (0..32).map(|bit| 1i64 << bit);
    let edges = powers.flat_map(|power| [power - 1, power, power + 1]).flat_map(|edge| [edge, -edge]);
    let evenly = (least..=most).step_by((field.count() / EVENLY) as usize);
    let all = edges.chain([least, least + 1, most - 1, most]).chain(evenly);
    let mut values: Vec<i64> = all.filter(|value| (least..=most).contains(value)).collect();
    values.sort_unstable();
    values.dedup();
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use kop_ops::{Layout, Role};

    fn form(layout: Layout) -> Form {
        Form::new("form", "", layout.register("dst", Role::Destination).register("src", Role::Source))
    }

    fn payload(form: &Form, values: &[i64]) -> u64 {
        form.layout.pack(&Operands::new(values))
    }

    #[test]
    fn few_immediates_are_there_in_every_combination_once_for_each_aliasing_pattern() {
        let form = form(Layout::new().unsigned("start", 0, 63).unsigned("length", 1, 32));
        let planned =
            vec![payload(&form, &[3, 4, 1, 2]), payload(&form, &[5, 9, 2, 4]), payload(&form, &[0, 1, 6, 6])];
        let cover = cover(&form, planned.clone());
        // Two patterns, and one payload with registers that stand for none.
        assert_eq!(cover.len(), 2 * 64 * 32 + 1);
        assert!(cover.is_sorted() && planned.iter().all(|payload| cover.contains(payload)));
        assert!(
            cover.contains(&payload(&form, &[63, 32, 6, 6]))
                && cover.contains(&payload(&form, &[63, 32, 1, 2]))
        );
    }

    #[test]
    fn of_wide_immediates_there_are_the_edges() {
        let form = form(Layout::new().signed("off", 16).unsigned("length", 1, 8));
        let cover = cover(&form, vec![payload(&form, &[7, 2, 1, 2])]);
        for off in [-32768, -32767, -129, -128, -1, 0, 1, 127, 128, 32766, 32767] {
            assert!(cover.contains(&payload(&form, &[off, 2, 1, 2])), "{off}");
        }
        assert!((1..=8).all(|length| cover.contains(&payload(&form, &[7, length, 1, 2]))));
        assert!((300..500).contains(&cover.len()), "{}", cover.len());
    }
}
