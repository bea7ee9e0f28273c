// SPDX-License-Identifier: GPL-2.0-or-later
//! Several records as one, such as those of the shards of a campaign, or of a check and the proofs of the same rows.

use std::collections::BTreeMap;

use crate::mutation::{Mutant, Mutation, MutationRow};
use crate::record::{
    Divergence, Engine, Proof, ProofVerdict, Rate, Record, Row, RowVerdict, Timings, Variant,
};

impl Record {
    /// The records as one; `None` when there are none.
    ///
    /// Rows stay in order. A row that several records have keeps the worse verdict (divergent, then equivalent; untested only
    /// where no record tested it), the counts of all, and each divergence once. Of two proofs a refutation stays,
    /// otherwise the one that covers more payloads; of two rows of mutants the one with more survivors. Times are added up and
    /// the rates of a record follow those of the one before it, as if the runs had come one after the other. The seed is
    /// the first one's.
    pub fn join(records: impl IntoIterator<Item = Record>) -> Option<Record> {
        records.into_iter().reduce(|mut joined, record| {
            joined.add(record);
            joined
        })
    }

    fn add(&mut self, other: Record) {
        let states = self.states();
        add_rates(&mut self.rates, other.rates, self.elapsed_s, states);
        for row in other.ops {
            match self.ops.iter_mut().find(|known| is_same_row(known, &row)) {
                Some(known) => known.add(row),
                None => self.ops.push(row),
            }
        }
        add_engines(&mut self.engines, other.engines);
        self.verdict = Record::verdict_of(&self.ops);
        self.elapsed_s += other.elapsed_s;
        self.jobs = self.jobs.max(other.jobs);
        self.timings = match (self.timings, other.timings) {
            (Some(mine), Some(theirs)) => Some(added_timings(mine, theirs)),
            (mine, theirs) => mine.or(theirs),
        };
        self.mutation = match (self.mutation.take(), other.mutation) {
            (Some(mine), Some(theirs)) => Some(joined_mutation(mine, theirs)),
            (mine, theirs) => mine.or(theirs),
        };
    }
}

fn is_same_row(a: &Row, b: &Row) -> bool {
    (&a.name, &a.form, &a.arch) == (&b.name, &b.form, &b.arch)
}

impl Row {
    fn add(&mut self, other: Row) {
        let (mine, theirs) = (self.payloads_run(), other.payloads_run());
        self.payloads = match (mine, theirs) {
            (None, None) => self.payloads.max(other.payloads),
            (mine, theirs) => mine.unwrap_or(0).saturating_add(theirs.unwrap_or(0)),
        };
        self.payloads_total = self.payloads_total.max(other.payloads_total);
        if self.payloads_total > 0 {
            self.payloads = self.payloads.min(self.payloads_total);
        }
        self.payloads_inspected = self.payloads_inspected.saturating_add(other.payloads_inspected);
        self.states = self.states.saturating_add(other.states);
        self.observed = self.observed.saturating_add(other.observed);
        self.verdict = match (self.verdict, other.verdict) {
            (RowVerdict::Divergent, _) | (_, RowVerdict::Divergent) => RowVerdict::Divergent,
            (RowVerdict::Untested, RowVerdict::Untested) => RowVerdict::Untested,
            _ => RowVerdict::Equivalent,
        };
        self.untested =
            self.untested.take().or(other.untested).filter(|_| self.verdict == RowVerdict::Untested);
        add_texts(&mut self.engines, other.engines);
        add_texts(&mut self.contract, other.contract);
        self.unseen_purpose = self.unseen_purpose.take().or(other.unseen_purpose);
        add_texts(&mut self.clobbers, other.clobbers);
        add_texts(&mut self.warnings, other.warnings);
        add_variants(&mut self.variants, other.variants);
        add_divergences(&mut self.divergences, other.divergences);
        add_classes(&mut self.classes, other.classes);
        self.proof = joined_proof(self.proof.take(), other.proof);
        self.source = self.source.take().or(other.source);
    }

    /// The payloads that engines ran; `None` in a row that a prover has written, whose payloads are those of the proof.
    fn payloads_run(&self) -> Option<u64> {
        (!self.is_proof_alone()).then_some(self.payloads)
    }
}

fn add_texts(mine: &mut Vec<String>, theirs: Vec<String>) {
    for text in theirs {
        if !mine.contains(&text) {
            mine.push(text);
        }
    }
}

fn add_classes(mine: &mut BTreeMap<String, u64>, theirs: BTreeMap<String, u64>) {
    for (class, count) in theirs {
        let known = mine.entry(class).or_default();
        *known = known.saturating_add(count);
    }
}

fn add_engines(mine: &mut Vec<Engine>, theirs: Vec<Engine>) {
    for engine in theirs {
        match mine.iter_mut().find(|known| known.name == engine.name) {
            Some(known) if engine.available && !known.available => *known = engine,
            Some(_) => {}
            None => mine.push(engine),
        }
    }
}

fn add_variants(mine: &mut Vec<Variant>, theirs: Vec<Variant>) {
    for variant in theirs {
        match mine.iter_mut().find(|known| known.features == variant.features) {
            Some(known) => {
                known.states = known.states.saturating_add(variant.states);
                known.untested = known.untested.take().filter(|_| variant.untested.is_some());
            }
            None => mine.push(variant),
        }
    }
}

/// Adds what has another cause; what has the same makes the known one's count larger.
fn add_divergences(mine: &mut Vec<Divergence>, theirs: Vec<Divergence>) {
    for divergence in theirs {
        match mine.iter_mut().find(|known| known.cause_key() == divergence.cause_key()) {
            Some(known) => known.occurrences = known.occurrences.saturating_add(divergence.occurrences),
            None => mine.push(divergence),
        }
    }
}

fn joined_proof(mine: Option<Proof>, theirs: Option<Proof>) -> Option<Proof> {
    let (Some(mine), Some(theirs)) = (&mine, &theirs) else { return mine.or(theirs) };
    let rank = |proof: &Proof| (proof.verdict == ProofVerdict::Refuted, proof.payloads);
    Some(if rank(theirs) > rank(mine) { theirs.clone() } else { mine.clone() })
}

fn add_rates(mine: &mut Vec<Rate>, theirs: Vec<Rate>, elapsed_s: f64, states: u64) {
    let behaviours = mine.iter().filter_map(|rate| rate.behaviours).max().unwrap_or(0);
    let later = |rate: Rate| Rate {
        at_s: rate.at_s + elapsed_s,
        states: rate.states.saturating_add(states),
        behaviours: rate.behaviours.map(|known| known.saturating_add(behaviours)),
        ..rate
    };
    mine.extend(theirs.into_iter().map(later));
}

fn added_timings(mine: Timings, theirs: Timings) -> Timings {
    let add = |mine: Option<f64>, theirs: Option<f64>| match (mine, theirs) {
        (Some(mine), Some(theirs)) => Some(mine + theirs),
        (mine, theirs) => mine.or(theirs),
    };
    Timings {
        compile_s: add(mine.compile_s, theirs.compile_s),
        learn_s: add(mine.learn_s, theirs.learn_s),
        check_s: add(mine.check_s, theirs.check_s),
    }
}

/// The mutants of both; of a row that both have, what the one says that has more survivors, with its times.
fn joined_mutation(mut mine: Mutation, theirs: Mutation) -> Mutation {
    let is_row = |a: &MutationRow, b: &MutationRow| {
        (&a.name, &a.form, &a.arch, a.side) == (&b.name, &b.form, &b.arch, b.side)
    };
    let is_of = |mutant: &Mutant, row: &MutationRow| {
        (&mutant.name, &mutant.form, &mutant.arch, mutant.side) == (&row.name, &row.form, &row.arch, row.side)
    };
    let (mut taken, mut replaced): (Vec<MutationRow>, Vec<MutationRow>) = Default::default();
    let mut shared = false;
    for row in theirs.rows {
        match mine.rows.iter_mut().find(|known| is_row(known, &row)) {
            Some(known) => {
                shared = true;
                if row.survived <= known.survived {
                    continue;
                }
                replaced.push(std::mem::replace(known, row.clone()));
            }
            None => mine.rows.push(row.clone()),
        }
        taken.push(row);
    }
    for (mine, theirs) in [(&mut mine.survivors, theirs.survivors), (&mut mine.slowest, theirs.slowest)] {
        mine.retain(|mutant| !replaced.iter().any(|row| is_of(mutant, row)));
        mine.extend(theirs.into_iter().filter(|mutant| taken.iter().any(|row| is_of(mutant, row))));
    }
    let time = |mutant: &Mutant| mutant.detection_ms.unwrap_or(0.0);
    mine.slowest.sort_by(|a, b| time(b).total_cmp(&time(a)));
    if mine.rows.iter().all(|row| row.detection_ms.len() as u64 == row.killed) {
        mine.detection_ms = mine.rows.iter().flat_map(|row| row.detection_ms.iter().copied()).collect();
    } else if !shared {
        mine.detection_ms.extend(theirs.detection_ms);
    }
    // Otherwise it is not known which of the times are those of the same mutants: the first record's are kept.
    mine.detection_ms.sort_by(f64::total_cmp);
    mine
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutation::MutatedSide;
    use crate::record::{Kind, Verdict};
    use crate::samples::{divergent, engine, fault_divergence, record, register_divergence, row, untested};

    fn join(rows: [Vec<Row>; 2]) -> Record {
        Record::join(rows.map(record)).expect("two records")
    }

    #[test]
    fn rows_that_one_record_has_stay_in_order() {
        let joined =
            join([vec![row("a", "x", "x86_64"), row("b", "x", "x86_64")], vec![row("a", "x", "aarch64")]]);
        let titles: Vec<_> = joined.ops.iter().map(Row::title).collect();
        assert_eq!(titles, ["a x x86_64", "b x x86_64", "a x aarch64"]);
        assert_eq!((joined.elapsed_s, joined.seed, joined.jobs), (2.0 * 12.34, 42, 2));
        assert_eq!(Record::join([]), None);
    }

    #[test]
    fn a_row_of_both_keeps_the_worse_verdict_and_the_counts_of_both() {
        let mut well = row("rotate", "imm64", "x86_64");
        well.classes = [("dst=r0".to_owned(), 3), ("dst=r1".to_owned(), 0)].into();
        let mut badly = divergent(vec![register_divergence()]);
        badly.classes = [("dst=r1".to_owned(), 5)].into();
        let joined = join([vec![well], vec![badly]]);
        let [row] = joined.ops.as_slice() else { panic!("one row") };
        assert_eq!((row.verdict, joined.verdict), (RowVerdict::Divergent, Verdict::Divergent));
        assert_eq!((row.states, row.payloads, row.observed), (40_000, 2816, 624));
        assert_eq!(row.classes, [("dst=r0".to_owned(), 3), ("dst=r1".to_owned(), 5)].into());
    }

    #[test]
    fn what_was_tested_once_is_tested() {
        let tested = row("rotate", "imm64", "aarch64");
        let absent = untested("rotate", "imm64", "no engine");
        for rows in [[vec![tested.clone()], vec![absent.clone()]], [vec![absent.clone()], vec![tested]]] {
            let joined = join(rows);
            assert_eq!((joined.ops[0].verdict, &joined.ops[0].untested), (RowVerdict::Equivalent, &None));
        }
        let joined = join([vec![absent.clone()], vec![absent]]);
        assert_eq!(joined.ops[0].verdict, RowVerdict::Untested);
        assert_eq!(joined.ops[0].untested.as_deref(), Some("no engine"));
    }

    #[test]
    fn one_cause_is_one_divergence() {
        let other = Divergence { payload: "0x1".to_owned(), ..register_divergence() };
        let joined = join([
            vec![divergent(vec![register_divergence()])],
            vec![divergent(vec![other, fault_divergence()])],
        ]);
        let found = &joined.ops[0].divergences;
        let seen: Vec<_> = found.iter().map(|divergence| (divergence.kind, divergence.occurrences)).collect();
        assert_eq!(seen, [(Kind::Register, 2 * 1312), (Kind::Fault, 1)]);
    }

    #[test]
    fn payloads_of_a_proof_are_not_counted_as_run() {
        let proof = |verdict, payloads| Proof {
            verdict,
            payloads,
            payloads_total: 85_184,
            formulas: 9,
            solved: 1,
            recalled: 0,
            algebra: Vec::new(),
            reason: None,
            seconds: 1.0,
        };
        let mut proved = Row::of_case("rotate", "imm64", "x86_64");
        proved.verdict = RowVerdict::Equivalent;
        (proved.states, proved.payloads) = (0, 85_184);
        proved.proof = Some(proof(ProofVerdict::Proved, 85_184));
        let mut checked = row("rotate", "imm64", "x86_64");
        checked.proof = Some(proof(ProofVerdict::Partial, 1408));
        for rows in [[vec![checked.clone()], vec![proved.clone()]], [vec![proved], vec![checked]]] {
            let joined = join(rows);
            let row = &joined.ops[0];
            assert_eq!((row.payloads, row.states), (1408, 20_000));
            assert_eq!(row.proof.as_ref().map(|proof| proof.verdict), Some(ProofVerdict::Proved));
        }
    }

    #[test]
    fn an_engine_that_one_run_had_is_there() {
        let mut first = record(Vec::new());
        first.engines = vec![engine("host", Some("not built"))];
        let mut second = record(Vec::new());
        second.engines = vec![engine("host", None), engine("rbpf", None)];
        let joined = Record::join([first, second]).expect("two records");
        assert_eq!(joined.engines, [engine("host", None), engine("rbpf", None)]);
    }

    #[test]
    fn rates_go_on_where_the_run_before_ended() {
        let mut first = record(vec![row("a", "x", "x86_64")]);
        let rate = Rate { memory_kib: Some(500), behaviours: Some(30), ..Rate::new(1.0, 20_000) };
        first.rates = vec![rate];
        let joined = Record::join([first.clone(), first]).expect("two records");
        let later = Rate { behaviours: Some(60), ..Rate { at_s: 1.0 + 12.34, states: 40_000, ..rate } };
        assert_eq!(joined.rates, [rate, later]);
    }

    fn mutants(side: MutatedSide, survived: u64, times: &[f64]) -> MutationRow {
        MutationRow {
            name: "rotate".to_owned(),
            form: "imm64".to_owned(),
            arch: "x86_64".to_owned(),
            side,
            mutants: survived + times.len() as u64,
            killed: times.len() as u64,
            survived,
            detection_ms: times.to_vec(),
            ..MutationRow::default()
        }
    }

    fn mutation(rows: Vec<MutationRow>) -> Mutation {
        let mut detection_ms: Vec<f64> =
            rows.iter().flat_map(|row| row.detection_ms.iter().copied()).collect();
        detection_ms.sort_by(f64::total_cmp);
        Mutation { rows, detection_ms, ..Mutation::default() }
    }

    #[test]
    fn mutants_of_both_are_counted_once() {
        use MutatedSide::{Emit, Proof};
        let well = || mutants(Emit, 0, &[1.0, 5.0]);
        let badly = || mutants(Emit, 1, &[3.0]);
        let other = || mutants(Proof, 0, &[2.0]);
        // The same record twice is that record.
        let twice = joined_mutation(mutation(vec![well(), other()]), mutation(vec![well(), other()]));
        assert_eq!(twice, mutation(vec![well(), other()]));
        // Of two that differ the worse one stays, with its times.
        for (first, second) in [(well(), badly()), (badly(), well())] {
            let joined = joined_mutation(mutation(vec![first]), mutation(vec![second, other()]));
            assert_eq!(joined, mutation(vec![badly(), other()]));
        }
    }

    #[test]
    fn mutants_are_told_with_the_row_that_stays() {
        let mutant = |change: &str| Mutant { change: change.to_owned(), ..survivor() };
        let with = |row, survivors| Mutation { survivors, ..mutation(vec![row]) };
        let mine = with(mutants(MutatedSide::Emit, 1, &[]), vec![mutant("a")]);
        let theirs = with(mutants(MutatedSide::Emit, 2, &[]), vec![mutant("a"), mutant("b")]);
        let joined = joined_mutation(mine.clone(), theirs.clone());
        assert_eq!(joined.survivors, theirs.survivors);
        assert_eq!(joined_mutation(theirs.clone(), mine).survivors, theirs.survivors);
    }

    #[test]
    fn times_without_rows_are_added_where_the_rows_are_others() {
        let old = |side, times: &[f64]| {
            let row = MutationRow { detection_ms: Vec::new(), ..mutants(side, 0, times) };
            Mutation { detection_ms: times.to_vec(), ..mutation(vec![row]) }
        };
        let (emit, proof) = (old(MutatedSide::Emit, &[1.0, 5.0]), old(MutatedSide::Proof, &[3.0]));
        assert_eq!(joined_mutation(emit.clone(), proof).detection_ms, [1.0, 3.0, 5.0]);
        assert_eq!(joined_mutation(emit.clone(), emit).detection_ms, [1.0, 5.0]);
    }

    fn survivor() -> Mutant {
        Mutant {
            name: "rotate".to_owned(),
            form: "imm64".to_owned(),
            arch: "x86_64".to_owned(),
            side: MutatedSide::Emit,
            operator: "drop".to_owned(),
            change: String::new(),
            payload: String::new(),
            killed_by: None,
            detection_ms: None,
            undecided: None,
        }
    }
}
