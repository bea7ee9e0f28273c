// SPDX-License-Identifier: GPL-2.0-or-later
//! Which of several compilers a program gets, by what their code takes.

use std::time::Duration;

use kop_emulators::engines::host_features;
use kop_ops::program::MapAddresses;
use kop_ops::state::Slot;
use kop_ops::{Code, Object};
use kop_semantics::{Input, World};

use super::backend::kernel_image;
use super::machine::{self, Argument, Inputs, Machine};
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

/// What a trial showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    /// The compiler among those that were tried that is the one to take.
    pub tier: Tier,
    /// Whether the kernel's own code is quicker than that of each of them.
    pub kernel_is_quicker: bool,
    /// Nanoseconds of each by name, the kernel's among them where its code could be had, as text.
    pub times: String,
}

impl Trial<'_> {
    /// Measures what compilers made of all programs of the object, in the order of what is trusted with them. A program without maps and helper
    /// functions is run on its first packet, and on 64 in turns, the others or noise; any other over its packets.
    ///
    /// # Errors
    /// Why it cannot be measured here, in one line: what stops the program, say.
    pub fn among(&self, made: &[(Tier, &[Code])]) -> Result<Tried, String> {
        let sample = self.sample()?;
        let here = |codes: &[Code]| codes.iter().all(|code| host_features().contains(code.features));
        let made: Vec<_> = made.iter().copied().filter(|(_, codes)| here(codes)).collect();
        let (names, times) =
            if sample.is_alone() { alone(&sample, &made)? } else { on_traffic(&sample, &made)? };
        let index = choice(&times).ok_or("none of them returns what the interpreter does")?;
        let ours: Vec<Vec<Option<f64>>> = match names[0].1 {
            None => times.iter().map(|times| [&[None], &times[1..]].concat()).collect(),
            Some(_) => times.clone(),
        };
        let (kernel_is_quicker, index) = match names[index].1 {
            Some(_) => (false, index),
            None => (true, choice(&ours).ok_or("none of our compilers makes code of it")?),
        };
        let tier = names[index].1.expect("the kernel was left out");
        let shown = names.iter().enumerate().map(|(index, (name, _))| {
            let each = times.iter().map(|times| times[index].map_or("-".to_owned(), |ns| format!("{ns:.0}")));
            format!("{name} {}", each.collect::<Vec<_>>().join("/"))
        });
        Ok(Tried { tier, kernel_is_quicker, times: shown.collect::<Vec<_>>().join(", ") })
    }

    fn sample(&self) -> Result<Sample, String> {
        let first = self.packets.first().ok_or("there is no packet to run it on")?;
        let addresses =
            MapAddresses::new(&self.object.maps, Slot::default()).map_err(|error| error.to_string())?;
        let input = Input { packet: first.clone(), ..self.input.clone() };
        let name = self.object.programs[self.index].name.clone();
        let mut sample = Sample::new(name, self.object.clone(), self.index, addresses, input);
        if sample.is_alone() {
            let fits = |packet: &&Vec<u8>| packet.len() <= MAX_INPUT;
            sample.rotating = self.packets[1..].iter().filter(fits).cloned().collect();
        } else {
            sample.packets = self.packets.to_vec();
        }
        Ok(sample)
    }
}

/// What was tried: the name, and the compiler if it is one of ours; then for each kind of input the nanoseconds of each.
type Found = (Vec<(&'static str, Option<Tier>)>, Vec<Vec<Option<f64>>>);

/// A program on its own: the kernel's code first, then that of ours.
fn alone(sample: &Sample, made: &[(Tier, &[Code])]) -> Result<Found, String> {
    let inputs = sample.inputs(machine::INPUTS);
    let wanted = reference::results(sample, &inputs)?;
    let mut machine = Machine::new();
    machine.place_inputs(&inputs, &[]);
    let mut names = Vec::new();
    let mut calls = Vec::new();
    if let Ok((call, _)) = kernel_image(&machine, sample) {
        names.push(("kernel", None));
        calls.push(Ok(call));
    }
    for (tier, codes) in made {
        let code = &codes[sample.index];
        names.push((tier.name(), Some(*tier)));
        calls.push(machine.native(&code.bytes, code.entry, Argument::Block));
    }
    for call in &mut calls {
        if let Err(reason) =
            call.as_ref().map_err(Clone::clone).and_then(|call| call.check(&machine, &inputs, &wanted))
        {
            *call = Err(reason);
        }
    }
    let times = [Inputs::Same, Inputs::Rotating].map(|over| {
        let mut ways: Vec<Way> = calls
            .iter()
            .map(|call| {
                let call = call.as_ref().map_err(Clone::clone)?;
                let machine = &machine;
                Ok(Box::new(move |times| call.time(machine, &[], over, times)) as Box<_>)
            })
            .collect();
        quickest(interleaved(&mut ways, TRIAL))
    });
    Ok((names, times.into()))
}

/// A program over its packets, by our compilers.
fn on_traffic(sample: &Sample, made: &[(Tier, &[Code])]) -> Result<Found, String> {
    // With checks first: what runs below is kept from nothing.
    let wanted = reference::traffic(sample, "host")?;
    let (world, image) = World::new(&sample.object, sample.index, Slot::default(), &sample.input)
        .map_err(|error| error.to_string())?;
    let (world, image) = (&world, &image);
    let run = |codes: &[Code], passes| traffic::run(sample, world, image, codes, sample.index, passes);
    let mut ways: Vec<Way> = made
        .iter()
        .map(|(_, codes)| match run(codes, 1)? {
            (_, results) if results == wanted => {
                Ok(Box::new(move |passes| Ok(run(codes, passes)?.0)) as Box<_>)
            }
            _ => Err("it returns something else".to_owned()),
        })
        .collect();
    let times = quickest(interleaved(&mut ways, traffic::for_children(TRIAL)));
    let each = times.iter().map(|time| time.map(|time| time / sample.packets.len() as f64)).collect();
    Ok((made.iter().map(|(tier, _)| (tier.name(), Some(*tier))).collect(), vec![each]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times<const N: usize>(times: [f64; N]) -> Vec<Option<f64>> {
        times.map(Some).into()
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
