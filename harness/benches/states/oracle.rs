// SPDX-License-Identifier: GPL-2.0-or-later
//! The whole oracle: states are generated, run on engines, compared, and some of them observed.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use kop_emulators::engines::EngineKind;
use kop_harness::rig::Rig;
use kop_harness::selection::available;
use kop_ops::choices::Seeded;

use crate::STATES;
use crate::report::Report;
use crate::sites::Site;
use crate::turns::{Rounds, Way, measure as take_turns};

/// The engines of the target.
const ENGINES: [&str; 4] = ["rbpf", "unicorn-x86_64", "unicorn-aarch64", "host"];

fn kinds() -> Vec<&'static EngineKind> {
    available().0.into_iter().filter(|kind| ENGINES.contains(&kind.name)).collect()
}

/// Measures the oracle on a site, with the engines of the target and with all that are here.
pub fn measure(site: &Site, rounds: Rounds, report: &mut Report) {
    let four = Runner::new(site, &kinds());
    let all = Runner::new(site, &available().0);
    let way = |name, mut runner: Runner| Way {
        name,
        states: STATES,
        run: Box::new(move |_| runner.run(site)) as Box<dyn FnMut(usize)>,
    };
    let mut ways = [way("four", four), way("all", all)];
    report.oracle(site, take_turns(&mut ways, rounds));
}

/// A thread's engines and its random numbers.
struct Runner {
    rig: Rig,
    choices: Seeded,
}

impl Runner {
    fn new(_site: &Site, kinds: &[&'static EngineKind]) -> Self {
        Self { rig: Rig::new(kinds).expect("engines that are listed as available"), choices: Seeded::new(3) }
    }

    fn run(&mut self, site: &Site) {
        self.rig.take_breath();
        let load = site.load(&mut self.choices);
        let outcome = self.rig.run(&site.memory, &[load]);
        assert!(outcome.findings.is_empty(), "the operations are sound: {:?}", outcome.findings);
    }
}

/// How long one and two jobs work in turn.
const TURN: Duration = Duration::from_millis(400);

/// Measures what a second job is worth, over all sites that count.
pub fn measure_jobs(sites: &[Site], rounds: Rounds, report: &mut Report) {
    let counting: Vec<&Site> = sites.iter().filter(|site| site.counts()).collect();
    if counting.is_empty() {
        return;
    }
    let turn = if rounds.rounds == 1 { TURN / 20 } else { TURN };
    let work = |start: &Barrier, seed: usize| {
        let mut runner = Runner::new(counting[0], &kinds());
        counting.iter().for_each(|site| runner.run(site));
        start.wait();
        let begin = Instant::now();
        let mut states = 0;
        for number in seed.. {
            runner.run(counting[number % counting.len()]);
            states += STATES;
            if begin.elapsed() > turn {
                break;
            }
        }
        states as f64 / begin.elapsed().as_secs_f64()
    };
    let jobs = |count: usize| -> f64 {
        let start = Barrier::new(count);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..count)
                .map(|job| {
                    scope.spawn({
                        let start = &start;
                        move || work(start, job)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("the operations are sound")).sum()
        })
    };
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..rounds.rounds {
        rates[0].push(jobs(1));
        rates[1].push(jobs(2));
    }
    report.jobs(&rates[0], &rates[1]);
}
