// SPDX-License-Identifier: GPL-2.0-or-later
//! What a fuzzer is told of an input: features of the case that coverage of Rust code does not show.
//!
//! Every feature is a number of few values. Products of them (every pair of registers, every path with every amount) are
//! left to chance: as many inputs would be kept as there are products, and each would be tried that much more rarely.

use kop_emulators::inspect;
use kop_ops::choices::mix;

use super::input::Input;
use crate::generate::alias_pattern;
use crate::subject::Subject;

/// How many counters there are.
pub const COUNTERS: usize = 1 << 15;

/// Where features go: marks one of [`COUNTERS`] as seen.
pub type Feedback<'f> = &'f dyn Fn(usize);

/// Fields with more values than this are told by sign and magnitude.
const TOLD_EXACTLY: u64 = 128;

/// Whole paths are told apart up to this many.
const PATHS: u64 = 64;

/// Marks of one form, so that forms do not share features.
struct Marks<'f> {
    feedback: Feedback<'f>,
    form: u64,
}

impl Marks<'_> {
    fn mark(&self, kind: &str, values: &[u64]) {
        let key = hash(values.iter().copied(), hash(kind.bytes().map(u64::from), self.form));
        (self.feedback)(key as usize % COUNTERS);
    }
}

fn hash(values: impl IntoIterator<Item = u64>, start: u64) -> u64 {
    values.into_iter().fold(start, |hash, value| mix(hash ^ value).wrapping_add(1))
}

/// Tells the fuzzer about a case and the path that its first state takes through the proof.
pub(super) fn tell(subject: &Subject, input: &Input, path: Option<&[bool]>, feedback: Feedback) {
    let name = subject.kop.name().bytes().chain([0]).chain(subject.form.name.bytes());
    let marks = Marks { feedback, form: hash(name.map(u64::from), 0) };
    marks.mark("form", &[]);
    let alias = hash(alias_pattern(subject.form, &subject.operands).bytes().map(u64::from), 0);
    marks.mark("alias", &[alias]);
    tell_operands(subject, &marks);
    for variant in &subject.variants {
        let code = inspect::listing(variant.code.arch, &variant.code.bytes);
        let mnemonics = code.iter().flat_map(|line| line.text.split(' ').next().unwrap_or_default().bytes());
        let features = variant.features.to_string();
        let emitted = hash(features.bytes().chain(mnemonics).map(u64::from), variant.code.arch as u64);
        marks.mark("emitted", &[emitted]);
    }
    for (index, value) in input.first_state().enumerate() {
        marks.mark("magnitude", &[index as u64, magnitude(value)]);
    }
    if let Some(path) = path {
        tell_path(path, &marks);
    }
}

fn tell_operands(subject: &Subject, marks: &Marks) {
    let fields = subject.form.layout.fields().iter().zip(subject.operands.values());
    for (index, (field, &value)) in fields.enumerate() {
        let class = if field.count() <= TOLD_EXACTLY {
            value as u64
        } else {
            u64::from(value < 0) << 8 | magnitude(value.unsigned_abs())
        };
        marks.mark("operand", &[index as u64, class]);
    }
}

/// The number of significant bits.
fn magnitude(value: u64) -> u64 {
    u64::from(u64::BITS - value.leading_zeros())
}

fn tell_path(path: &[bool], marks: &Marks) {
    if path.len() == 1 {
        return;
    }
    let ran = || path.iter().enumerate().filter(|(_, ran)| **ran).map(|(block, _)| block as u64);
    // How many blocks ran is what a search climbs along where each bit of a value decides about one of them.
    marks.mark("blocks", &[ran().count() as u64]);
    marks.mark("path", &[hash(ran(), 0) % PATHS]);
    for block in ran() {
        marks.mark("block", &[block]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::input::decode;
    use kop_ops::Catalog;
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    fn features(path: &[bool]) -> BTreeSet<usize> {
        let catalog = Catalog::einsn();
        let kops = [catalog.get("count_zeros").expect("in the catalog")];
        let input = decode(&kops, &[]);
        let subject = input.prepared.subject.as_ref().expect("the first payload is valid");
        let seen = RefCell::new(BTreeSet::new());
        tell(subject, &input, Some(path), &|feature| {
            seen.borrow_mut().insert(feature);
        });
        seen.into_inner()
    }

    #[test]
    fn paths_are_told_apart() {
        let (one, other) = (features(&[true, false, true]), features(&[true, true, true]));
        assert_ne!(one, other);
        assert!(one.intersection(&other).count() > 5);
        assert!(one.iter().all(|&feature| feature < COUNTERS));
    }
}
