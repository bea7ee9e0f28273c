// SPDX-License-Identifier: GPL-2.0-or-later
//! Measuring: ways to do the same take turns, and their times become medians with spreads.

use std::hint::black_box;
use std::time::{Duration, Instant};

use kop_emulators::rbpf::RbpfJit;
use kop_ops::ebpf::{decode_program, encode_program};
use kop_ops::{Flow, Program};
use serde::Serialize;

use crate::corpus::Sample;
use crate::ways::{Call, Setup};

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
    pub const FULL: Self = Self { rounds: 15, samples: 9, sample: Duration::from_millis(1) };
    /// Enough to see that it works.
    pub const SHORT: Self = Self { rounds: 1, samples: 1, sample: Duration::from_micros(100) };
}

/// A median and the ends of the middle half.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// A quarter lies below.
    pub low: f64,
    /// A quarter lies above.
    pub high: f64,
}

impl Spread {
    /// Of at least one value.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let quarter = sorted.len() / 4;
        Self {
            median: sorted[sorted.len() / 2],
            low: sorted[quarter],
            high: sorted[sorted.len() - 1 - quarter],
        }
    }
}

/// A way's times of each round in nanoseconds, or why there are none.
pub type Times = Result<Vec<f64>, String>;

/// What is known of a program.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its instructions.
    pub insns: usize,
    /// Compile times.
    pub compile: Compile,
    /// Bytes of code.
    pub size: Sizes,
    /// Run time, where it is measured.
    pub run: Option<Run>,
}

/// Compile times.
#[derive(Clone, Debug, Serialize)]
pub struct Compile {
    /// Our JIT on a program whose flow is checked.
    pub own: Times,
    /// The same from bytecode: decoding, checking the flow, compiling.
    pub own_from_bytes: Times,
    /// rbpf's JIT, from bytecode that it has verified.
    pub rbpf: Times,
}

/// Bytes of code.
#[derive(Clone, Debug, Serialize)]
pub struct Sizes {
    /// Ours, unguarded.
    pub own: Result<usize, String>,
    /// Ours, guarded.
    pub guarded: Result<usize, String>,
    /// The kernel's.
    pub kernel: Result<usize, String>,
    /// rbpf's.
    pub rbpf: Result<usize, String>,
}

/// Run times of a call, less what an empty call takes.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Our code, unguarded.
    pub own: Times,
    /// Our code, guarded.
    pub guarded: Times,
    /// The kernel's image in user space.
    pub image: Times,
    /// The kernel.
    pub kernel: Times,
    /// rbpf's code.
    pub rbpf: Times,
}

/// Measures compile time and code size.
pub fn compile(sample: &Sample, setup: &Setup, rounds: Rounds) -> Row {
    let bytes = encode_program(sample.program().flow.insns());
    let own = setup.compile(sample.program(), sample, false);
    let size = Sizes {
        own: own.as_ref().map(|code| code.bytes.len()).map_err(Clone::clone),
        guarded: setup.compile(sample.program(), sample, true).map(|code| code.bytes.len()),
        kernel: sample.kernel_image(setup).map(|image| image.bytes.len()),
        rbpf: sample.rbpf_code().map(<[u8]>::len),
    };
    let compile = |program: &Program| drop(black_box(setup.compile(program, sample, false)));
    let from_bytes = || {
        let insns = decode_program(black_box(&bytes)).expect("it was encoded from instructions");
        let flow = Flow::new(insns).expect("it is a program");
        compile(&Program { name: String::new(), kind: sample.program().kind, flow });
    };
    let mut ways: Vec<Way> = vec![
        own.clone().map(|_| Box::new(|times| time(times, || compile(sample.program()))) as Box<_>),
        own.map(|_| Box::new(|times| time(times, from_bytes)) as Box<_>),
        sample.rbpf_code().and_then(|_| {
            let mut jit = RbpfJit::new(&bytes)?;
            Ok(Box::new(move |times| time(times, || jit.compile().expect("it compiled before"))) as Box<_>)
        }),
    ];
    let times = interleaved(&mut ways, rounds);
    let [own, own_from_bytes, rbpf] = times.try_into().expect("three ways went in");
    Row {
        name: sample.name.clone(),
        insns: sample.program().flow.insns().len(),
        compile: Compile { own, own_from_bytes, rbpf },
        size,
        run: None,
    }
}

/// Measures run time; `None` for a program that not every way can run, or that is over at once.
///
/// # Errors
/// A way that returns something else than is expected.
pub fn run(sample: &Sample, setup: &Setup, rounds: Rounds) -> Result<Option<Run>, String> {
    if !sample.is_alone() {
        return Ok(None);
    }
    let mut calls = setup.calls(sample);
    for call in calls.iter_mut().flatten() {
        setup.fill(sample);
        call.check(sample.result)?;
    }
    let mut ways: Vec<Way> = calls
        .iter_mut()
        .map(|call| match call {
            Ok(call) => Ok(Box::new(|times| call.time(times)) as Box<dyn FnMut(u32) -> Duration>),
            Err(error) => Err(error.clone()),
        })
        .collect();
    let mut times = interleaved(&mut ways, rounds);
    let quickest = |times: &Times| times.as_ref().ok().map(|times| Spread::of(times).median);
    // Below that, the loop around the call is a part of what is measured.
    const SHORTEST: f64 = 100.0;
    if times.iter().filter_map(quickest).any(|median| median < SHORTEST) {
        return Ok(None);
    }
    drop(ways);
    for (times, call) in times.iter_mut().zip(&calls) {
        let Ok(call) = call else { continue };
        let floor = Call::floor(call, setup);
        times.iter_mut().flatten().for_each(|time| *time -= floor);
    }
    let [own, guarded, image, kernel, rbpf] = times.try_into().expect("five ways went in");
    Ok(Some(Run { own, guarded, image, kernel, rbpf }))
}

/// A way to do something a number of times, or why it cannot be gone.
pub type Way<'a> = Result<Box<dyn FnMut(u32) -> Duration + 'a>, String>;

/// The nanoseconds that a time of each way takes, round by round.
pub fn interleaved(ways: &mut [Way], rounds: Rounds) -> Vec<Times> {
    let counts: Vec<u32> =
        ways.iter_mut().map(|way| way.as_mut().map_or(0, |way| calibrate(way, rounds))).collect();
    let mut times: Vec<Times> =
        ways.iter().map(|way| way.as_ref().map(|_| Vec::new()).map_err(Clone::clone)).collect();
    for _ in 0..rounds.rounds {
        let mut quickest = vec![f64::INFINITY; ways.len()];
        for _ in 0..rounds.samples {
            for ((way, count), quickest) in ways.iter_mut().zip(&counts).zip(&mut quickest) {
                let Ok(way) = way else { continue };
                *quickest = quickest.min(way(*count).as_nanos() as f64 / f64::from(*count));
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

/// How many times fill a sample; they warm the way up as well. What is interrupted would look long enough, so that the
/// quickest of three counts here too.
fn calibrate(way: &mut impl FnMut(u32) -> Duration, rounds: Rounds) -> u32 {
    let mut count = 1;
    while (0..3).any(|_| way(count) < rounds.sample) {
        count *= 2;
    }
    count
}

fn time(times: u32, mut action: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..times {
        action();
    }
    start.elapsed()
}

/// Does something that may panic and be caught, without the message.
pub fn quiet<T>(action: impl FnOnce() -> T) -> T {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = action();
    std::panic::set_hook(hook);
    result
}
