// SPDX-License-Identifier: GPL-2.0-or-later
//! What is counted for a form while it is checked.

use std::collections::{BTreeMap, BTreeSet};

use kop_emulators::inspect::Writes;
use kop_ops::{Arch, Features};

use crate::generate::{Possible, StateClasses};

/// What is counted for a target.
#[derive(Default)]
pub(super) struct Tally {
    pub payloads: BTreeMap<Arch, u64>,
    /// Payloads all of whose codes are known to be proved.
    pub proved: BTreeMap<Arch, u64>,
    pub states: BTreeMap<Arch, u64>,
    pub variants: BTreeMap<(Arch, Features), u64>,
    pub absent: BTreeMap<(Arch, Features), u64>,
    pub unable: BTreeMap<(Arch, Features), String>,
    pub refused: BTreeMap<(Arch, &'static str), String>,
    pub unjudged: BTreeMap<(Arch, &'static str), u64>,
    pub unreferenced: BTreeSet<String>,
    pub engines: BTreeSet<(Arch, &'static str)>,
    pub inspected: u64,
    pub uninvestigated: BTreeMap<Option<Arch>, u64>,
    pub observed: u64,
    pub ignored: u64,
    pub writes: BTreeMap<Arch, Writes>,
    pub operand_classes: BTreeMap<String, u64>,
    pub state_classes: StateClasses,
    pub possible: Possible,
}

impl Tally {
    /// Adds what another part of the work counted.
    pub(super) fn merge(&mut self, other: Tally) {
        fn add<K: Ord>(mine: &mut BTreeMap<K, u64>, theirs: BTreeMap<K, u64>) {
            for (key, count) in theirs {
                *mine.entry(key).or_default() += count;
            }
        }
        add(&mut self.payloads, other.payloads);
        add(&mut self.proved, other.proved);
        add(&mut self.states, other.states);
        add(&mut self.variants, other.variants);
        add(&mut self.absent, other.absent);
        add(&mut self.operand_classes, other.operand_classes);
        add(&mut self.unjudged, other.unjudged);
        self.unable.extend(other.unable);
        for (engine, reason) in other.refused {
            self.refused.entry(engine).or_insert(reason);
        }
        self.unreferenced.extend(other.unreferenced);
        self.engines.extend(other.engines);
        self.inspected += other.inspected;
        add(&mut self.uninvestigated, other.uninvestigated);
        self.observed += other.observed;
        self.ignored |= other.ignored;
        for (arch, writes) in other.writes {
            let mine = self.writes.entry(arch).or_default();
            *mine = mine.union(writes);
        }
        self.state_classes.merge(&other.state_classes);
        self.possible = self.possible.or(other.possible);
    }
}
