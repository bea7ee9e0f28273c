// SPDX-License-Identifier: GPL-2.0-or-later
//! Measuring: ways to do the same take turns, and the quickest sample of each turn counts.

use std::time::Duration;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounds {
    /// How many times the ways take turns.
    pub rounds: usize,
    /// How many samples of each way a round takes; the quickest counts, which is the one that was disturbed least.
    pub samples: usize,
    /// How long a sample takes, at least: short, so that some are not interrupted.
    pub sample: Duration,
}

impl Rounds {
    /// Enough for a number to be quoted.
    pub const FULL: Self = Self { rounds: 11, samples: 5, sample: Duration::from_micros(700) };
    /// Enough to see that it works.
    pub const SHORT: Self = Self { rounds: 1, samples: 1, sample: Duration::from_micros(50) };
}

/// A way's times of each round in nanoseconds, or why there are none.
pub type Times = Result<Vec<f64>, String>;

/// A way to do something a number of times, or why it cannot be gone.
pub type Way<'a> = Result<Box<dyn FnMut(u32) -> Result<Duration, String> + 'a>, String>;

/// The nanoseconds that a time of each way takes, round by round. A way that fails has no times.
pub fn interleaved(ways: &mut [Way], rounds: Rounds) -> Vec<Times> {
    interleaved_anew(ways, rounds, &mut || ())
}

/// As [`interleaved`], with something done before each round.
pub fn interleaved_anew(ways: &mut [Way], rounds: Rounds, renew: &mut dyn FnMut()) -> Vec<Times> {
    let mut times: Vec<Times> =
        ways.iter().map(|way| way.as_ref().map(|_| Vec::new()).map_err(Clone::clone)).collect();
    let mut counts = vec![0; ways.len()];
    for ((way, times), count) in ways.iter_mut().zip(&mut times).zip(&mut counts) {
        let Ok(way) = way else { continue };
        match calibrate(way, rounds) {
            Ok(enough) => *count = enough,
            Err(error) => *times = Err(error),
        }
    }
    for _ in 0..rounds.rounds {
        renew();
        let mut quickest = vec![f64::INFINITY; ways.len()];
        for _ in 0..rounds.samples {
            for (index, way) in ways.iter_mut().enumerate() {
                let (Ok(way), Ok(_)) = (way, &times[index]) else { continue };
                match way(counts[index]) {
                    Ok(time) => {
                        let each = time.as_nanos() as f64 / f64::from(counts[index]);
                        quickest[index] = quickest[index].min(each);
                    }
                    Err(error) => times[index] = Err(error),
                }
            }
        }
        for (times, quickest) in times.iter_mut().zip(quickest) {
            if let Ok(times) = times {
                times.push(quickest);
            }
        }
    }
    times
}

/// How many times fill a sample; they warm the way up as well, where it stays. What is interrupted would look long enough, so that the
/// quickest of three counts here too.
fn calibrate(way: &mut impl FnMut(u32) -> Result<Duration, String>, rounds: Rounds) -> Result<u32, String> {
    /// A way that takes no time would never fill a sample.
    const MOST: u32 = 1 << 24;
    let mut count = 1;
    while count < MOST {
        let mut quickest = Duration::MAX;
        for _ in 0..3 {
            quickest = quickest.min(way(count)?);
        }
        if quickest >= rounds.sample {
            break;
        }
        count *= 2;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn ways_take_turns_and_keep_their_order() {
        let turns = Cell::new(Vec::new());
        let way = |nanoseconds: u32, name: char| -> Way {
            let turns = &turns;
            Ok(Box::new(move |times| {
                turns.set([turns.take(), vec![name]].concat());
                Ok(Duration::from_nanos(u64::from(nanoseconds * times)))
            }))
        };
        let mut ways = [way(1000, 'a'), Err("it is not there".to_owned()), way(3000, 'b')];
        let rounds = Rounds { rounds: 2, samples: 2, sample: Duration::from_micros(5) };
        let times =
            interleaved_anew(&mut ways, rounds, &mut || turns.set([turns.take(), vec!['-']].concat()));
        assert_eq!(times, [Ok(vec![1000.0; 2]), Err("it is not there".to_owned()), Ok(vec![3000.0; 2])]);
        let taken = turns.take();
        assert_eq!(taken[taken.len() - 10..], ['-', 'a', 'b', 'a', 'b', '-', 'a', 'b', 'a', 'b']);
    }

    #[test]
    fn a_way_that_fails_has_no_times() {
        let mut left = 5;
        let mut ways: [Way; 1] = [Ok(Box::new(|_| {
            left -= 1;
            if left > 0 { Ok(Duration::from_secs(1)) } else { Err("it stopped".to_owned()) }
        }))];
        assert_eq!(interleaved(&mut ways, Rounds::FULL), [Err("it stopped".to_owned())]);
    }
}
