// SPDX-License-Identifier: GPL-2.0-or-later
//! What a program returns, as `NAME.expect` and the `spec` interpreter say, before anything is timed.

use std::cell::Cell;

use kop_ops::state::Slot;
use kop_ops::{Catalog, Object};
use kop_semantics::{Input, Outcome, World};

use super::Sample;
use crate::execute::{Executable, Manner, engines};

/// The low half of r0 for each input, from `spec`; the first has to be the expected one.
///
/// # Errors
/// What is not as expected, or what stops the program, in one line.
pub fn results(sample: &Sample, inputs: &[Vec<u8>]) -> Result<Vec<u32>, String> {
    let mut results = Vec::with_capacity(inputs.len());
    for input in inputs {
        results.push(run(sample, std::slice::from_ref(input), "spec", &|_, _| Ok(()))?[0]);
    }
    if let Some(expectation) = &sample.expectation {
        let wanted = expectation.packets[0].result;
        if results[0] != wanted {
            return Err(format!("it returns {}, {wanted} is expected", results[0]));
        }
    }
    Ok(results)
}

/// The low half of r0 for each input, from `spec`; `None` if the program changes one of them.
///
/// # Errors
/// What stops the program, in one line.
pub fn unchanging(sample: &Sample, inputs: &[Vec<u8>]) -> Result<Option<Vec<u32>>, String> {
    let mut results = Vec::with_capacity(inputs.len());
    let changes = Cell::new(false);
    for input in inputs {
        let check = |_, outcome: &Outcome| {
            let contents = outcome.contents().ok_or("it has no contents")?;
            changes.set(changes.get() || contents.data != *input);
            Ok(())
        };
        results.push(run(sample, std::slice::from_ref(input), "spec", &check)?[0]);
    }
    Ok((!changes.get()).then_some(results))
}

/// The low half of r0 for each packet of the traffic, from an engine; what is expected of packets and maps has to hold.
///
/// # Errors
/// As [`results`], or that there is no such engine.
pub fn traffic(sample: &Sample, engine: &str) -> Result<Vec<u32>, String> {
    let check = |number: usize, outcome: &Outcome| {
        let Some(expectation) = &sample.expectation else { return Ok(()) };
        let contents = outcome.contents().ok_or("it has no contents")?;
        let wanted = &expectation.packets[number];
        if contents.r0 as u32 != wanted.result {
            return Err(format!("it returns {}, {} is expected", contents.r0 as u32, wanted.result));
        }
        if contents.data != *wanted.packet.as_ref().unwrap_or(&sample.packets[number]) {
            return Err("it leaves another packet than is expected".to_owned());
        }
        match (number + 1 == sample.packets.len()).then(|| expectation.missing(&contents.maps)).flatten() {
            Some(missing) => Err(missing),
            None => Ok(()),
        }
    };
    run(sample, &sample.packets, engine, &check)
}

fn run(
    sample: &Sample,
    packets: &[Vec<u8>],
    engine: &str,
    check: &dyn Fn(usize, &Outcome) -> Result<(), String>,
) -> Result<Vec<u32>, String> {
    let catalog = Catalog::einsn();
    let object: &Object = &sample.object;
    let mut executable = Executable::new(object, sample.index, &catalog, Manner::default())
        .map_err(|error| error.to_string())?;
    let (_, made) = engines(|name| name == engine).pop().expect("engines are named by us");
    let mut engine = made?;
    let mut input: Input = sample.input.clone();
    let fresh = World::new(object, sample.index, Slot::default(), &input);
    let (mut world, mut image) = fresh.map_err(|error| error.to_string())?;
    let mut results = Vec::with_capacity(packets.len());
    for (number, packet) in packets.iter().enumerate() {
        let say = |reason: String| format!("packet {}: {reason}", number + 1);
        input.packet.clone_from(packet);
        world.deliver(&mut image, &input).map_err(|error| say(error.to_string()))?;
        let outcome = executable.run(&mut *engine, &world, &image).map_err(say)?;
        match outcome.end {
            Ok(r0) => results.push(r0 as u32),
            Err(trap) => return Err(say(trap.fault.to_string())),
        }
        check(number, &outcome).map_err(say)?;
        (world, image) = (outcome.world, outcome.image);
    }
    Ok(results)
}
