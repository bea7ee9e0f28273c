// SPDX-License-Identifier: GPL-2.0-or-later
//! What changed from one record to another.

mod render;

use std::collections::BTreeMap;

use crate::mutation::{Mutation, MutationRow};
use crate::record::{Divergence, Proof, ProofVerdict, Record, Row};
use crate::standing::Standing;
use crate::words::{number, percent};

/// What changed from an old record to a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    changes: Vec<Change>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    topic: Topic,
    effect: Effect,
    /// The row, or what else it is about.
    about: String,
    text: String,
}

/// What a change is about, in the order of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topic {
    Divergence,
    Verdict,
    Proof,
    Coverage,
    Mutation,
}

/// Whether a change is for the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Worse,
    Better,
    Neither,
}

impl Comparison {
    /// Compares two records.
    ///
    /// For the worse are: a divergence that is new and not known, a row that is gone or is not tested any more, a proof whose
    /// verdict is weaker or that covers fewer payloads, a class that occurred and does not any more, a mutation score that
    /// fell, and a mutant that survives and did not. A new row is neither. What a check knows from a cache of proofs is passed
    /// over: it says more of the cache than of the row.
    pub fn new(old: &Record, new: &Record) -> Self {
        let mut comparison = Self::default();
        for row in &new.ops {
            match old.ops.iter().find(|known| known.title() == row.title()) {
                Some(known) => comparison.row(known, row),
                None => comparison.new_row(row),
            }
        }
        for row in old.ops.iter().filter(|row| !new.ops.iter().any(|known| known.title() == row.title())) {
            let was = row.standing().name();
            comparison.note(
                Topic::Verdict,
                Effect::Worse,
                row.title(),
                format!("the row is gone, it was {was}"),
            );
        }
        match (&old.mutation, &new.mutation) {
            (Some(old), Some(new)) => comparison.mutation(old, new),
            (Some(_), None) => {
                let text = "there are no mutants any more".to_owned();
                comparison.note(Topic::Mutation, Effect::Worse, "mutants".to_owned(), text);
            }
            _ => {}
        }
        comparison
    }

    /// Whether anything got worse.
    pub fn is_worse(&self) -> bool {
        self.changes.iter().any(|change| change.effect == Effect::Worse)
    }

    fn note(&mut self, topic: Topic, effect: Effect, about: String, text: String) {
        self.changes.push(Change { topic, effect, about, text });
    }

    fn new_row(&mut self, row: &Row) {
        let text = format!("the row is new, it is {}", row.standing().name());
        self.note(Topic::Verdict, Effect::Neither, row.title(), text);
        self.divergences(&[], row);
    }

    fn row(&mut self, old: &Row, new: &Row) {
        self.divergences(&old.divergences, new);
        let (was, is) = (old.standing(), new.standing());
        if was != is {
            let effect = verdict_effect(was, is);
            self.note(Topic::Verdict, effect, new.title(), format!("was {}, is {}", was.name(), is.name()));
        }
        self.proof(old, new);
        self.coverage(old, new);
    }

    fn divergences(&mut self, old: &[Divergence], new: &Row) {
        let is_in = |all: &[Divergence], one: &Divergence| {
            all.iter().any(|other| other.cause_key() == one.cause_key())
        };
        for found in new.divergences.iter().filter(|found| !is_in(old, found)) {
            let (effect, word) = match found.known {
                Some(_) => (Effect::Neither, "new and known"),
                None => (Effect::Worse, "new"),
            };
            self.note(Topic::Divergence, effect, new.title(), format!("{word}: {}", told(found)));
        }
        for fixed in old.iter().filter(|fixed| !is_in(&new.divergences, fixed)) {
            // Where nothing ran, nothing shows that it is gone.
            let (effect, word) = match new.standing() {
                Standing::Untested => (Effect::Neither, "not looked for"),
                _ => (Effect::Better, "fixed"),
            };
            self.note(Topic::Divergence, effect, new.title(), format!("{word}: {}", told(fixed)));
        }
    }

    fn proof(&mut self, old: &Row, new: &Row) {
        let Some(was) = old.proof.as_ref().filter(|was| !is_recalled(was)) else { return };
        let title = new.title();
        let Some(is) = &new.proof else {
            let text = format!("was {}, the prover was not asked", was.verdict.name());
            return self.note(Topic::Proof, Effect::Neither, title, text);
        };
        if is_recalled(is) {
            return;
        }
        let rank = |proof: &Proof| (strength(proof.verdict), proof.payloads);
        if was.verdict == is.verdict && was.payloads == is.payloads {
            return;
        }
        let effect = if rank(is) < rank(was) { Effect::Worse } else { Effect::Better };
        let told =
            |proof: &Proof| format!("{} for {} payloads", proof.verdict.name(), number(proof.payloads));
        self.note(Topic::Proof, effect, title, format!("was {}, is {}", told(was), told(is)));
    }

    fn coverage(&mut self, old: &Row, new: &Row) {
        let occurred =
            |classes: &BTreeMap<String, u64>, class: &str| classes.get(class).is_some_and(|n| *n > 0);
        let missing = |from: &Row, to: &Row| -> Vec<String> {
            let classes = from.classes.iter().filter(|(class, n)| **n > 0 && !occurred(&to.classes, class));
            classes.map(|(class, _)| class.clone()).collect()
        };
        for (classes, effect, word) in
            [(missing(old, new), Effect::Worse, "lost"), (missing(new, old), Effect::Better, "gained")]
        {
            if !classes.is_empty() {
                self.note(Topic::Coverage, effect, new.title(), format!("{word}: {}", classes.join(", ")));
            }
        }
    }

    fn mutation(&mut self, old: &Mutation, new: &Mutation) {
        if let (Some(was), Some(is)) = (old.score(), new.score())
            && was != is
        {
            let effect = if is < was { Effect::Worse } else { Effect::Better };
            let text = format!("was {}, is {}", percent(was), percent(is));
            self.note(Topic::Mutation, effect, "score".to_owned(), text);
        }
        let key = |row: &MutationRow| format!("{} {} {}, {}", row.name, row.form, row.arch, row.side.name());
        for row in &new.rows {
            let was = old.rows.iter().find(|known| key(known) == key(row)).map_or(0, |known| known.survived);
            if was != row.survived {
                let effect = if row.survived > was { Effect::Worse } else { Effect::Better };
                let text = format!("{} survived, now {}", number(was), number(row.survived));
                self.note(Topic::Mutation, effect, key(row), text);
            }
        }
    }
}

/// Whether nothing was proved in that run.
const fn is_recalled(proof: &Proof) -> bool {
    proof.formulas == 0 && proof.recalled > 0
}

fn told(found: &Divergence) -> String {
    let engine = if found.engine == "-" { String::new() } else { format!(" on {}", found.engine) };
    format!("{}{engine}: {}", found.kind, found.message)
}

/// New divergences are told themselves: a verdict that is worse for them alone does not count twice.
fn verdict_effect(was: Standing, is: Standing) -> Effect {
    match (was, is) {
        (_, Standing::Divergent) => Effect::Worse,
        (Standing::Equivalent | Standing::Known | Standing::Divergent, Standing::Untested) => Effect::Worse,
        (Standing::Equivalent, Standing::Known) => Effect::Neither,
        _ => Effect::Better,
    }
}

/// How much a verdict says.
const fn strength(verdict: ProofVerdict) -> u8 {
    match verdict {
        ProofVerdict::Refuted => 0,
        ProofVerdict::Unsupported | ProofVerdict::Timeout => 1,
        ProofVerdict::Partial => 2,
        ProofVerdict::Proved => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::{Date, KnownList};
    use crate::samples::{
        KNOWN, divergent, fault_divergence, mutation, proved, record, register_divergence, row, untested,
    };

    /// The changes between two records of these rows, as effect and text.
    fn changes(old: Vec<Row>, new: Vec<Row>) -> Vec<(Effect, String)> {
        of(&record(old), &record(new))
    }

    fn of(old: &Record, new: &Record) -> Vec<(Effect, String)> {
        let changes = Comparison::new(old, new).changes.into_iter();
        changes.map(|change| (change.effect, format!("{}: {}", change.about, change.text))).collect()
    }

    fn told(effect: Effect, text: &str) -> (Effect, String) {
        (effect, text.to_owned())
    }

    #[test]
    fn nothing_changed_is_not_worse() {
        let rows = || vec![divergent(vec![register_divergence()]), row("a", "b", "aarch64")];
        let comparison = Comparison::new(&record(rows()), &record(rows()));
        assert_eq!((comparison.changes.len(), comparison.is_worse()), (0, false));
    }

    #[test]
    fn a_new_divergence_is_worse_and_a_fixed_one_better() {
        let (old, new) = (divergent(vec![register_divergence()]), divergent(vec![fault_divergence()]));
        let expected = [
            told(
                Effect::Worse,
                "rotate imm64 x86_64: new: fault on host: native code faults where the proof does not",
            ),
            told(
                Effect::Better,
                "rotate imm64 x86_64: fixed: register on unicorn-x86_64: r3 differs after the site",
            ),
        ];
        assert_eq!(changes(vec![old.clone()], vec![new]), expected);
        let well = row("rotate", "imm64", "x86_64");
        let expected =
            [expected[1].clone(), told(Effect::Better, "rotate imm64 x86_64: was divergent, is equivalent")];
        assert_eq!(changes(vec![old], vec![well]), expected);
    }

    #[test]
    fn a_known_divergence_is_not_worse() {
        let mut new = record(vec![divergent(vec![register_divergence()])]);
        let today = Date::try_from("2026-12-01".to_owned()).expect("a day");
        KnownList::parse(KNOWN).expect("a list").apply(&mut new, today);
        let comparison = Comparison::new(&record(vec![row("rotate", "imm64", "x86_64")]), &new);
        assert!(!comparison.is_worse() && comparison.changes.len() == 2, "{comparison:?}");
    }

    #[test]
    fn a_row_that_is_gone_or_untested_is_worse() {
        let rows = || vec![row("rotate", "imm64", "aarch64"), row("a", "b", "none")];
        let expected = [
            told(Effect::Worse, "rotate imm64 aarch64: was equivalent, is untested"),
            told(Effect::Worse, "a b none: the row is gone, it was equivalent"),
        ];
        assert_eq!(changes(rows(), vec![untested("rotate", "imm64", "no engine")]), expected);
        let expected = [told(Effect::Neither, "a b none: the row is new, it is equivalent")];
        assert_eq!(changes(vec![rows().remove(0)], rows()), expected);
    }

    #[test]
    fn a_class_that_does_not_occur_any_more_is_worse() {
        let with = |counts: [u64; 3]| {
            let mut row = row("a", "b", "none");
            row.classes = ["x", "y", "z"].map(str::to_owned).into_iter().zip(counts).collect();
            row
        };
        let expected =
            [told(Effect::Worse, "a b none: lost: x, y"), told(Effect::Better, "a b none: gained: z")];
        assert_eq!(changes(vec![with([1, 1, 0])], vec![with([0, 0, 9])]), expected);
        assert_eq!(changes(vec![with([0, 1, 1])], vec![with([0, 9, 1])]), []);
    }

    #[test]
    fn a_weaker_proof_is_worse() {
        let with = |verdict, payloads| {
            let mut row = proved("a", "b", "none");
            let proof = row.proof.as_mut().expect("a proof");
            (proof.verdict, proof.payloads) = (verdict, payloads);
            vec![row]
        };
        let (whole, part) = (with(ProofVerdict::Proved, 10), with(ProofVerdict::Partial, 7));
        let expected =
            [told(Effect::Worse, "a b none: was proved for 10 payloads, is partial for 7 payloads")];
        assert_eq!(changes(whole.clone(), part.clone()), expected);
        assert_eq!(changes(part.clone(), whole.clone())[0].0, Effect::Better);
        let mut cached = part;
        let proof = cached[0].proof.as_mut().expect("a proof");
        (proof.formulas, proof.recalled) = (0, 7);
        assert_eq!((changes(whole.clone(), cached.clone()), changes(cached, whole)), (vec![], vec![]));
    }

    #[test]
    fn a_lower_score_and_survivors_are_worse() {
        let with = |mutation| Record { mutation: Some(mutation), ..record(Vec::new()) };
        let mut better = mutation();
        better.rows[0].killed += 1;
        better.rows[0].survived = 0;
        let expected = [
            told(Effect::Worse, "score: was 100.0%, is 91.6%"),
            told(Effect::Worse, "rotate imm64 x86_64, emit: 0 survived, now 1"),
        ];
        assert_eq!(of(&with(better.clone()), &with(mutation())), expected);
        assert!(of(&with(mutation()), &with(better)).iter().all(|(effect, _)| *effect == Effect::Better));
    }
}
