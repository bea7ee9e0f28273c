// SPDX-License-Identifier: GPL-2.0-or-later
//! Which units of a campaign a machine does, and which of them it has done.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::behaviour::hash;

/// One part of a campaign: of all units those whose number is `index` modulo `count`.
///
/// The number of a unit is the hash of its subject plus its round. So a shard has one round in `count` of every subject, no
/// two shards share a unit, and together they have all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    index: u64,
    count: u64,
}

/// The most shards of a campaign.
const MOST: u64 = 1 << 16;

impl Default for Shard {
    /// The whole campaign.
    fn default() -> Self {
        Self { index: 0, count: 1 }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts =
            text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match parts {
            Some((index, count)) if index < count && count <= MOST => Ok(Self { index, count }),
            _ => Err(format!("`{text}` is no shard: I/N with I from 0 to N-1, such as 0/4")),
        }
    }
}

impl Shard {
    /// How many shards the campaign is divided into.
    pub fn count(self) -> u64 {
        self.count
    }

    /// The round that is the shard's n-th of a subject, n from 0.
    pub fn round(self, subject: &str, n: u64) -> u64 {
        let number = hash([subject.as_bytes()]) % self.count;
        (self.index + self.count - number) % self.count + n * self.count
    }

    /// How many of the first `rounds` rounds of a subject are the shard's.
    pub fn share(self, subject: &str, rounds: u64) -> u64 {
        rounds.saturating_sub(self.round(subject, 0)).div_ceil(self.count)
    }
}

/// Which rounds of a subject are done, counted in a shard's own rounds: all up to one, and a few beyond, which other threads
/// have finished sooner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rounds {
    all_below: u64,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    beyond: BTreeSet<u64>,
}

impl Rounds {
    /// Whether round n is done.
    pub fn has(&self, n: u64) -> bool {
        n < self.all_below || self.beyond.contains(&n)
    }

    /// How many are done.
    pub fn count(&self) -> u64 {
        self.all_below + self.beyond.len() as u64
    }

    /// Round n is done; `false` when it was before.
    pub fn insert(&mut self, n: u64) -> bool {
        if self.has(n) {
            return false;
        }
        self.beyond.insert(n);
        while self.beyond.remove(&self.all_below) {
            self.all_below += 1;
        }
        true
    }

    /// The first round that is neither done nor among `taken`.
    pub fn next(&self, taken: &BTreeSet<u64>) -> u64 {
        (self.all_below..).find(|n| !self.has(*n) && !taken.contains(n)).expect("rounds do not run out")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECTS: [&str; 5] = ["rotate imm64", "rotate imm32", "program xdp", "jit Exit", ""];

    #[test]
    fn shards_are_disjoint_and_their_union_is_the_whole() {
        const ROUNDS: u64 = 100;
        let units = |shard: Shard| -> BTreeSet<(&str, u64)> {
            let of =
                |subject| (0..shard.share(subject, ROUNDS)).map(move |n| (subject, shard.round(subject, n)));
            SUBJECTS.into_iter().flat_map(of).collect()
        };
        let whole = units(Shard::default());
        assert_eq!(whole.len() as u64, SUBJECTS.len() as u64 * ROUNDS);
        for count in [2, 3, 7, 64, 150] {
            let mut union = BTreeSet::new();
            for index in 0..count {
                let own = units(Shard { index, count });
                assert!(union.is_disjoint(&own), "{index}/{count}");
                union.extend(own);
            }
            assert_eq!(union, whole, "{count} shards");
        }
    }

    #[test]
    fn shards_are_written_with_a_slash() {
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, count: 3 }));
        assert_eq!(Shard { index: 2, count: 3 }.to_string(), "2/3");
        for bad in ["3/3", "0/0", "1", "-1/2", "a/b", "0/99999999", ""] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }

    #[test]
    fn rounds_done_out_of_order_are_each_done_once() {
        let mut rounds = Rounds::default();
        let taken = |list: &[u64]| list.iter().copied().collect::<BTreeSet<u64>>();
        assert_eq!(rounds.next(&taken(&[0, 1])), 2);
        assert!(rounds.insert(2) && rounds.insert(0) && !rounds.insert(2));
        assert_eq!((rounds.count(), rounds.next(&taken(&[]))), (2, 1));
        assert!(rounds.insert(1));
        assert_eq!((rounds.all_below, rounds.beyond.len(), rounds.next(&taken(&[3]))), (3, 0, 4));
    }
}
