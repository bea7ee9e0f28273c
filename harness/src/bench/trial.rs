// SPDX-License-Identifier: GPL-2.0-or-later
//! Which of several compilers a program gets, by what their code takes.

use std::time::Duration;

use kop_emulators::engines::host_features;
use kop_emulators::kernel::Verifier;
use kop_emulators::traffic::Programs;
use kop_ops::program::MapAddresses;
use kop_ops::state::Slot;
use kop_ops::{Arch, Code, MapKind, Object};
use kop_reports::Spread;
use kop_semantics::Input;

use super::backend::kernel_image;
use super::machine::{self, Argument, Call, Inputs, Machine};
use super::measure::{Rounds, Times, Way, interleaved};
use super::suite::{MAX_INPUT, Sample};
use super::{reference, traffic};
use crate::tier::Tier;

/// Long enough for a choice: a tenth of a second for each kind of input.
pub const TRIAL: Rounds = Rounds { rounds: 5, samples: 4, sample: Duration::from_micros(500) };

/// How much quicker a compiler has to be than those before it, of which each is trusted with less.
const WORTH: f64 = 1.02;

/// How much slower than the first of them a compiler may be on the same input and on those that rotate.
const SLOWEST: f64 = 0.97;

/// The quickest of the rounds of each way; `None` for one that failed.
pub fn quickest(times: Vec<Times>) -> Vec<Option<f64>> {
    let least = |times: Vec<f64>| times.into_iter().fold(f64::INFINITY, f64::min);
    times.into_iter().map(|times| times.ok().map(least)).collect()
}

/// The index of the compiler to take, if any made code of the program; `times` has one list for each kind of input, of times by compiler, in the
/// order of what is trusted with them. The first that made code of the program is what others are compared with.
pub fn choice(times: &[Vec<Option<f64>>]) -> Option<usize> {
    let compilers = times.first().map_or(0, Vec::len);
    let made = |index: &usize| times.iter().all(|times| times.get(*index).is_some_and(Option::is_some));
    let base = (0..compilers).find(made)?;
    let speeds = |index: usize| -> Option<Vec<f64>> {
        times.iter().map(|times| Some(times.get(base).copied()?? / times.get(index).copied()??)).collect()
    };
    let mut best = (base, 1.0);
    for index in base + 1..compilers {
        let Some(speeds) = speeds(index) else { continue };
        let mean = speeds.iter().map(|speed| speed.ln()).sum::<f64>() / speeds.len() as f64;
        if speeds.iter().all(|speed| *speed >= SLOWEST) && mean.exp() >= WORTH * best.1 {
            best = (index, mean.exp());
        }
    }
    Some(best.0)
}

/// A program, and what it is tried on.
#[derive(Clone, Copy, Debug)]
pub struct Trial<'a> {
    /// The file that it is in.
    pub object: &'a Object,
    /// Which it is.
    pub index: usize,
    /// What maps hold before, and the context.
    pub input: &'a Input,
    /// Its packets, at least one.
    pub packets: &'a [Vec<u8>],
}

/// Nanoseconds below which no two times of a call are told apart, and no two of a packet's, of which its delivery is subtracted.
const SEEN: f64 = 5.0;
const SEEN_OF_A_PACKET: f64 = 20.0;

/// What a trial showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    /// The compiler among those that were tried that is the one to take.
    pub tier: Tier,
    /// Whether none of them is worth leaving the kernel's own code for.
    pub kernel_stays: bool,
    /// Nanoseconds of each by name, the kernel's among them where its code could be had, as text.
    pub times: String,
}

/// The most packets that a program is tried on: what comes behind them does not change what is quick.
const MOST_PACKETS: usize = 1024;

impl Trial<'_> {
    /// Measures what compilers made of all programs of the object, in the order of what is trusted with them. A program without maps and helper
    /// functions that leaves its packets as they are is run on its first one, and on 64 in turns, the others or noise; any other over its packets, if the
    /// kernel's verifier says that it can be run without checks.
    ///
    /// # Errors
    /// Why it cannot be measured here, in one line: what stops the program, say.
    pub fn among(&self, made: &[(Tier, &[Code])]) -> Result<Tried, String> {
        let sample = self.sample()?;
        let host = std::env::consts::ARCH.parse::<Arch>().map_err(|error| error.to_string())?;
        let runs = |code: &Code| code.arch == host && host_features().contains(code.features);
        let made: Vec<_> = made.iter().copied().filter(|(_, codes)| codes.iter().all(runs)).collect();
        if made.is_empty() {
            return Err("it is not code for this CPU".to_owned());
        }
        let found = if sample.is_alone() { alone(&sample, &made)? } else { None };
        let Found { names, times } = match found {
            Some(found) => found,
            None => on_traffic(&Sample { packets: self.some_packets(), ..sample }, &made)?,
        };
        let ours = |choice: Option<usize>| choice.and_then(|index| names[index].1);
        let without_kernel: Vec<Vec<Option<f64>>> = times
            .iter()
            .map(|times| {
                times.iter().zip(&names).map(|(time, (_, tier))| time.filter(|_| tier.is_some())).collect()
            })
            .collect();
        let chosen = ours(choice(&times));
        let tier = chosen.or(ours(choice(&without_kernel))).ok_or("none of them could be timed")?;
        let shown = names.iter().enumerate().map(|(index, (name, _))| {
            let each: Vec<String> =
                times.iter().map(|times| times[index].map_or("-".to_owned(), shown)).collect();
            format!("{name} {}", each.join("/"))
        });
        Ok(Tried { tier, kernel_stays: chosen.is_none(), times: shown.collect::<Vec<_>>().join(", ") })
    }

    fn some_packets(&self) -> Vec<Vec<u8>> {
        self.packets[..self.packets.len().min(MOST_PACKETS)].to_vec()
    }

    fn sample(&self) -> Result<Sample, String> {
        let first = self.packets.first().ok_or("there is no packet to run it on")?;
        let addresses =
            MapAddresses::new(&self.object.maps, Slot::default()).map_err(|error| error.to_string())?;
        let input = Input { packet: first.clone(), ..self.input.clone() };
        let name = self.object.programs[self.index].name.clone();
        let mut sample = Sample::new(name, self.object.clone(), self.index, addresses, input);
        let fits = |packet: &Vec<u8>| packet.len() <= MAX_INPUT;
        sample.rotating = self.some_packets().split_off(1).into_iter().filter(fits).collect();
        Ok(sample)
    }
}

/// A time: with a decimal where that is a part of it that matters.
fn shown(nanoseconds: f64) -> String {
    if nanoseconds < 100.0 { format!("{nanoseconds:.1}") } else { format!("{nanoseconds:.0}") }
}

/// What was tried.
struct Found {
    /// The name of each, and the compiler if it is one of ours.
    names: Vec<(&'static str, Option<Tier>)>,
    /// For each kind of input the nanoseconds of each.
    times: Vec<Vec<Option<f64>>>,
}

/// A program on its own: the kernel's code first, then that of ours. `None` if it needs to be delivered each packet anew, or finds more in its
/// context than is here.
fn alone(sample: &Sample, made: &[(Tier, &[Code])]) -> Result<Option<Found>, String> {
    let inputs = sample.inputs(machine::INPUTS);
    let Some(wanted) = reference::unchanging(sample, &inputs)? else { return Ok(None) };
    let mut machine = Machine::new();
    machine.place_inputs(&inputs, &[]);
    let mut names = Vec::new();
    let mut calls = Vec::new();
    for (tier, codes) in made {
        let code = &codes[sample.index];
        let call = machine.native(&code.bytes, code.entry, Argument::Block)?;
        if call.check(&machine, &inputs, &wanted).is_err() {
            return Ok(None);
        }
        names.push((tier.name(), Some(*tier)));
        calls.push(call);
    }
    if let Ok((call, _)) = kernel_image(&machine, sample)
        && call.check(&machine, &inputs, &wanted).is_ok()
    {
        names.insert(0, ("kernel", None));
        calls.insert(0, call);
    }
    let times = [Inputs::Same, Inputs::Rotating].map(|over| {
        let way = |call| timed(&machine, call, over);
        let times = interleaved(&mut calls.iter().map(way).collect::<Vec<_>>(), TRIAL);
        let floor = |time: Option<f64>, call: &Call| time.map(|time| (time - machine.floor(call)).max(SEEN));
        quickest(times).into_iter().zip(&calls).map(|(time, call)| floor(time, call)).collect()
    });
    Ok(Some(Found { names, times: times.into() }))
}

/// A number of calls of code in the machine's child.
pub fn timed<'a>(machine: &'a Machine, call: &'a Call, over: Inputs) -> Way<'a> {
    Ok(Box::new(move |times| call.time(machine, &[], over, times)))
}

/// A program over its packets, by our compilers, on the maps of user space. What it does on a pass is not what it did on the one before, so that a run with
/// checks does not say that one without them is safe: the verifier does.
fn on_traffic(sample: &Sample, made: &[(Tier, &[Code])]) -> Result<Found, String> {
    let chained = sample.object.maps.iter().any(|map| map.kind == MapKind::ProgramArray);
    let reached = if chained { 0..sample.object.programs.len() } else { sample.index..sample.index + 1 };
    let least = sample.packets.iter().map(Vec::len).min().unwrap_or_default();
    let mut verifier = Verifier::new().map_err(|error| format!("it is not verified: {error}"))?;
    for index in reached.clone() {
        let verdict = verifier.verify(&sample.object, index, least as u64);
        let verdict = verdict.map_err(|error| format!("it is not verified: {error}"))?;
        if !verdict.accepted {
            return Err(format!("the verifier refuses it: {}", verdict.class));
        }
    }
    let wanted = reference::traffic(sample, "host")?;
    let mut programs: Vec<Result<Programs, String>> = Vec::new();
    for (_, codes) in made {
        let made = Programs { codes: &codes[reached.clone()], entry: sample.index - reached.start };
        programs.push(match traffic::results(sample, made)? == wanted {
            true => Ok(made),
            false => Err("it returns something else than with checks".to_owned()),
        });
    }
    let times = over_packets(sample, &programs)?;
    Ok(Found { names: made.iter().map(|(tier, _)| (tier.name(), Some(*tier))).collect(), times: vec![times] })
}

/// Nanoseconds that what several compilers made of a program takes for a packet, without its delivery.
///
/// # Errors
/// Why nothing can be run here, in one line.
pub fn over_packets(
    sample: &Sample,
    programs: &[Result<Programs, String>],
) -> Result<Vec<Option<f64>>, String> {
    let (times, floor) = traffic::timed(sample, programs, TRIAL)?;
    let net = |times: Vec<f64>| -> Vec<f64> {
        times.iter().zip(&floor).map(|(time, floor)| (time - floor).max(SEEN_OF_A_PACKET)).collect()
    };
    Ok(typical(times.into_iter().map(|times| times.ok().map(net)).collect()))
}

/// One time for each way, of those that it has of the same rounds. The machine is quicker in some of them than in others: what counts is how the ways
/// stand to each other in most.
fn typical(times: Vec<Option<Vec<f64>>>) -> Vec<Option<f64>> {
    let median = |values: &[f64]| Spread::of(values).median;
    let Some(base) = times.iter().flatten().next().cloned() else { return vec![None; times.len()] };
    let by_base =
        |times: Vec<f64>| -> Vec<f64> { times.iter().zip(&base).map(|(time, base)| time / base).collect() };
    times.into_iter().map(|times| Some(median(&base) * median(&by_base(times?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times<const N: usize>(times: [f64; N]) -> Vec<Option<f64>> {
        times.map(Some).into()
    }

    #[test]
    fn rounds_of_a_quick_machine_are_compared_with_each_other() {
        let times = vec![None, Some(vec![330.0, 180.0, 340.0]), Some(vec![300.0, 166.0, 170.0])];
        let found = typical(times);
        assert_eq!(found[..2], [None, Some(330.0)]);
        assert!(found[2].is_some_and(|time| (time - 300.0).abs() < 1e-6), "{found:?}");
        assert_eq!(typical(vec![None, None]), [None, None]);
    }

    #[test]
    fn the_quickest_is_taken_if_it_is_worth_it() {
        assert_eq!(choice(&[times([10.0, 9.0, 5.0]), times([10.0, 9.0, 6.0])]), Some(2));
        assert_eq!(choice(&[times([10.0, 5.05, 5.0])]), Some(1), "one per cent is not worth it");
        assert_eq!(
            choice(&[times([10.0, 5.0, 20.0]), times([10.0, 9.0, 0.1])]),
            Some(1),
            "slower on one kind of input"
        );
        assert_eq!(choice(&[times([10.0, 10.1])]), Some(0));
        assert_eq!(choice(&[vec![Some(10.0), None, Some(5.0)]]), Some(2));
        assert_eq!(choice(&[vec![None, Some(10.0), Some(9.9), Some(8.0)]]), Some(3));
        assert_eq!(
            choice(&[vec![None, Some(10.0), Some(9.9), Some(11.0)]]),
            Some(1),
            "as there is no first, the second"
        );
        assert_eq!(choice(&[vec![None, None]]), None);
        assert_eq!(choice(&[]), None);
    }
}
