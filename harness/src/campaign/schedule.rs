// SPDX-License-Identifier: GPL-2.0-or-later
//! Who is next: time goes where new behaviour comes from, and nobody is forgotten.
//!
//! A subject's *yield* is the number of new marks per second of its recent units: after each unit a quarter of the old
//! yield is replaced by that of the unit. Its *weight* is `FLOOR` and the cube root of its yield, of which [`MOST`] counts as 1,
//! divided by the number of subjects of its group (operations, programs, instructions), so that the groups have equal shares
//! while they yield alike. Each unit advances the subject's *clock* by its time divided by the weight, and the subject whose
//! clock is behind all others is next (stride scheduling: Waldspurger and Weihl, 1995). So the time of a subject is proportional
//! to its weight. The root tells yields apart over five orders of magnitude, from the first minute to the last night: with a
//! bound that some yield comes close to, one of seven marks a second would have as much time as one of five hundred. One that yields nothing any more has at least `FLOOR / (FLOOR + 1)` of the time of one of its group that
//! yields the most.
//!
//! Clocks and yields are whole numbers and follow from the journal alone.

use serde::{Deserialize, Serialize};

/// What a subject without any yield weighs, in thousandths.
const FLOOR: u64 = 50;

/// The most that a yield counts, in thousandths of a mark per second; a new subject starts there, as it may have everything to
/// show.
const MOST: u64 = 1_000_000;

/// How long a unit is taken to last before there was one, in microseconds.
const EXPECTED_US: u64 = 100_000;

/// How a subject is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// New marks per thousand seconds, of recent units.
    pub new_per_ks: u64,
    /// How long its units took together, each divided by the weight it had, in microseconds.
    pub clock: u64,
    /// How long a unit takes, in microseconds, of recent units.
    pub unit_us: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { new_per_ks: MOST, clock: 0, unit_us: 0 }
    }
}

impl Pace {
    /// The weight, in thousandths, for a group of one.
    pub fn weight(&self) -> u64 {
        FLOOR + cube_root(self.new_per_ks.min(MOST) * 1000)
    }

    /// A unit took so long and had so many new marks.
    pub fn spent(&mut self, took_us: u64, new: u64) {
        let took_us = took_us.max(1);
        self.clock = self.clock.saturating_add(self.charge(took_us));
        let rate = new.saturating_mul(1_000_000_000) / took_us;
        self.new_per_ks = (3 * self.new_per_ks + rate.min(MOST)) / 4;
        self.unit_us = if self.unit_us == 0 { took_us } else { (3 * self.unit_us + took_us) / 4 };
    }

    fn charge(&self, took_us: u64) -> u64 {
        took_us.saturating_mul(1000) / self.weight()
    }

    /// The clock as it will be when units that run now, so many, are done; `members` is the size of the group.
    fn ahead(&self, running: u64, members: u64) -> u64 {
        let unit_us = if self.unit_us == 0 { EXPECTED_US } else { self.unit_us };
        let clock = self.clock.saturating_add(self.charge(unit_us).saturating_mul(running));
        clock.saturating_mul(members)
    }
}

/// The cube root of at most a thousand millions, rounded down.
fn cube_root(of: u64) -> u64 {
    let (mut low, mut high) = (0u64, 1000);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if middle * middle * middle <= of { low = middle } else { high = middle - 1 }
    }
    low
}

/// A subject that has work.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// How it is scheduled.
    pub pace: Pace,
    /// How many of its units run now.
    pub running: u64,
    /// How many subjects its group has.
    pub members: u64,
}

/// The index of the candidate whose turn it is; of equals the first.
pub fn next(candidates: impl IntoIterator<Item = Candidate>) -> Option<usize> {
    let clocks = candidates.into_iter().map(|one| one.pace.ahead(one.running, one.members));
    clocks.enumerate().min_by_key(|&(index, clock)| (clock, index)).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs units of 100 ms for `seconds`, subject i yielding `yields[i](unit)` new marks; returns each one's share of the time.
    fn shares(seconds: u64, members: &[u64], yields: &[&dyn Fn(u64) -> u64]) -> Vec<f64> {
        let mut paces = vec![Pace::default(); yields.len()];
        let mut units = vec![0u64; yields.len()];
        for _ in 0..10 * seconds {
            let candidates =
                paces.iter().zip(members).map(|(&pace, &members)| Candidate { pace, running: 0, members });
            let chosen = next(candidates).expect("somebody is next");
            paces[chosen].spent(100_000, yields[chosen](units[chosen]));
            units[chosen] += 1;
        }
        units.iter().map(|&count| count as f64 / (10 * seconds) as f64).collect()
    }

    #[test]
    fn weights_are_cube_roots() {
        for (of, root) in
            [(0, 0), (1, 1), (7, 1), (8, 2), (26, 2), (27, 3), (999_999_999, 999), (1_000_000_000, 1000)]
        {
            assert_eq!(cube_root(of), root, "{of}");
        }
        let weight = |new_per_ks| Pace { new_per_ks, ..Pace::default() }.weight();
        assert_eq!([0, 1, 8, 1000, MOST, 2 * MOST].map(weight), [50, 60, 70, 150, 1050, 1050]);
    }

    #[test]
    fn what_yields_alike_has_equal_shares() {
        let steady: &dyn Fn(u64) -> u64 = &|_| 5;
        for share in shares(100, &[4; 4], &[steady; 4]) {
            assert!((0.24..=0.26).contains(&share), "{share}");
        }
    }

    #[test]
    fn what_still_yields_has_most_of_the_time_and_nobody_starves() {
        let (dry, fruitful) = (|unit| u64::from(unit < 10) * 5, |_| 5);
        let shares = shares(1000, &[4; 4], &[&dry, &fruitful, &dry, &dry]);
        assert!(shares[1] > 0.7, "{shares:?}");
        // More than FLOOR / (FLOOR + 1) of what the best could have.
        assert!(shares.iter().all(|&share| share >= shares[1] / 11.5), "{shares:?}");
    }

    #[test]
    fn a_subject_that_wakes_up_is_given_time_again() {
        // Nothing for its first 200 units, then a lot.
        let (sleeper, dry) = (|unit| u64::from(unit > 200) * 20, |_| 0);
        let shares = shares(2000, &[2; 2], &[&sleeper, &dry]);
        assert!(shares[0] > 0.8, "{shares:?}");
    }

    #[test]
    fn groups_have_equal_shares_whatever_their_sizes() {
        let steady: &dyn Fn(u64) -> u64 = &|_| 5;
        let shares = shares(1000, &[1, 4, 4, 4, 4], &[steady; 5]);
        assert!((0.48..=0.52).contains(&shares[0]), "{shares:?}");
    }

    #[test]
    fn what_runs_now_counts_as_done() {
        let pace = Pace { clock: 100, unit_us: 1000, ..Pace::default() };
        let idle = Candidate { pace, running: 0, members: 1 };
        let busy = Candidate { running: 1, ..idle };
        assert_eq!(next([busy, idle]), Some(1));
        assert_eq!(next([idle, idle]), Some(0));
        let fresh = Candidate { pace: Pace::default(), ..idle };
        assert_eq!(next([Candidate { running: 1, ..fresh }, fresh]), Some(1));
        assert_eq!(next([]), None);
    }
}
