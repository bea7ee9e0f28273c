// SPDX-License-Identifier: GPL-2.0-or-later
//! How far a run was over its time, in a bounded number of samples.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use kop_reports::Rate;

/// The most samples of a run. When there are as many, every second one is dropped.
const SAMPLES: usize = 120;

/// The least time between two samples, at first.
const LEAST: Duration = Duration::from_millis(50);

/// Counts states as they are run, from any thread.
#[derive(Debug)]
pub struct Rates {
    start: Instant,
    counted: Mutex<Counted>,
}

#[derive(Debug)]
struct Counted {
    states: u64,
    samples: Vec<Rate>,
    /// The time between two samples.
    between: Duration,
    next: Duration,
}

impl Rates {
    /// Counts from `start` on.
    pub fn from(start: Instant) -> Self {
        let counted = Counted { states: 0, samples: Vec::new(), between: LEAST, next: LEAST };
        Self { start, counted: Mutex::new(counted) }
    }

    /// So many states more have been run by now.
    pub fn add(&self, states: u64) {
        let mut counted = self.counted.lock().expect("no thread panics");
        counted.add(states, self.start.elapsed());
    }

    /// The samples, ascending, the last of them with all states.
    pub fn samples(&self) -> Vec<Rate> {
        let counted = self.counted.lock().expect("no thread panics");
        let mut samples = counted.samples.clone();
        if samples.last().map_or(0, |sample| sample.states) != counted.states {
            samples.push(rate(self.start.elapsed(), counted.states));
        }
        samples
    }
}

impl Counted {
    fn add(&mut self, states: u64, now: Duration) {
        self.states = self.states.saturating_add(states);
        if now < self.next {
            return;
        }
        self.samples.push(rate(now, self.states));
        if self.samples.len() >= SAMPLES {
            let mut number = 0;
            self.samples.retain(|_| {
                number += 1;
                number % 2 == 0
            });
            self.between *= 2;
        }
        self.next = now + self.between;
    }
}

/// Seconds to the millisecond.
fn rate(at: Duration, states: u64) -> Rate {
    Rate::new((at.as_secs_f64() * 1000.0).round() / 1000.0, states)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_long_a_run_is_its_samples_are_few_and_spread_over_it() {
        for seconds in [1u64, 60, 3600, 86_400] {
            let rates = Rates::from(Instant::now());
            let mut counted = rates.counted.lock().expect("alone");
            let steps = 20_000;
            for step in 1..=steps {
                counted.add(10, Duration::from_secs(seconds) * step / steps);
            }
            assert!(counted.samples.len() <= SAMPLES, "{}", counted.samples.len());
            let few = if seconds == 1 { 15 } else { SAMPLES / 2 - 1 };
            assert!(counted.samples.len() >= few, "{seconds} s: {}", counted.samples.len());
            assert!(
                counted
                    .samples
                    .windows(2)
                    .all(|pair| pair[0].at_s < pair[1].at_s && pair[0].states < pair[1].states)
            );
            let gap = counted.samples.windows(2).map(|pair| pair[1].at_s - pair[0].at_s).fold(0.0, f64::max);
            assert!(gap <= (seconds as f64 / 20.0).max(0.2), "{seconds} s: {gap}");
        }
    }

    #[test]
    fn the_last_sample_has_all_states() {
        let rates = Rates::from(Instant::now());
        assert_eq!(rates.samples(), []);
        rates.add(3);
        rates.add(4);
        assert_eq!(rates.samples().last().map(|sample| sample.states), Some(7));
    }
}
