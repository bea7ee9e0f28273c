// SPDX-License-Identifier: GPL-2.0-or-later
//! Ways to do the same take turns.

use std::time::{Duration, Instant};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// How many times the ways take turns.
    pub rounds: usize,
    /// How many samples of each way a round takes; the quickest counts, which is the one that was disturbed least.
    pub samples: usize,
    /// How long a sample takes, at least: short, so that some are not interrupted.
    pub sample: Duration,
}

impl Rounds {
    /// What `cargo bench` does.
    pub const FULL: Self = Self { rounds: 9, samples: 8, sample: Duration::from_millis(2) };
    /// Enough to see that it works.
    pub const SHORT: Self = Self { rounds: 1, samples: 1, sample: Duration::from_micros(100) };
}

/// A way to run states.
pub struct Way<'a> {
    /// Its name, for the reader.
    pub name: &'static str,
    /// How many states a call runs.
    pub states: usize,
    /// A call. It is given its number.
    pub run: Box<dyn FnMut(usize) + 'a>,
}

/// States per second of each way in each round.
pub fn measure(ways: &mut [Way], rounds: Rounds) -> Vec<Vec<f64>> {
    let calls: Vec<usize> = ways.iter_mut().map(|way| calibrate(way, rounds.sample)).collect();
    let mut rates = vec![Vec::with_capacity(rounds.rounds); ways.len()];
    for _ in 0..rounds.rounds {
        let mut quickest = vec![Duration::MAX; ways.len()];
        for _ in 0..rounds.samples {
            for ((way, &calls), quickest) in ways.iter_mut().zip(&calls).zip(&mut quickest) {
                *quickest = time(way, calls).min(*quickest);
            }
        }
        for (((way, &calls), quickest), rates) in ways.iter().zip(&calls).zip(quickest).zip(&mut rates) {
            rates.push((calls * way.states) as f64 / quickest.as_secs_f64());
        }
    }
    rates
}

/// How many calls fill a sample; they warm the way up as well.
fn calibrate(way: &mut Way, sample: Duration) -> usize {
    let mut calls = 1;
    while time(way, calls) < sample {
        calls *= 2;
    }
    calls
}

fn time(way: &mut Way, calls: usize) -> Duration {
    let start = Instant::now();
    (0..calls).for_each(|call| (way.run)(call));
    start.elapsed()
}

/// The middle of at least one value.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The median of the rounds' ratios.
pub fn ratio(of: &[f64], to: &[f64]) -> f64 {
    let ratios: Vec<f64> = of.iter().zip(to).map(|(of, to)| of / to).collect();
    median(&ratios)
}
