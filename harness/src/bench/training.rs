// SPDX-License-Identifier: GPL-2.0-or-later
//! Profiles of branches for the benchmark: programs run on `spec`, those without maps on inputs that are not measured, others on
//! their traffic, of which there is one.

use kop_jit::rewrite::Profile;
use kop_ops::Catalog;
use kop_ops::state::Slot;
use kop_semantics::World;

use super::machine::INPUTS;
use super::suite::Sample;
use crate::execute::Manner;
use crate::rewrite::profile::Counter;

/// How the branches of a sample go.
///
/// # Errors
/// What stops a program.
pub fn profile(sample: &Sample) -> Result<Profile, String> {
    let packets = match sample.is_alone() {
        true => sample.inputs(2 * INPUTS).split_off(INPUTS),
        false => sample.packets.clone(),
    };
    let mut counter = Counter::new(&sample.object, &Catalog::einsn()).map_err(|error| error.to_string())?;
    let mut input = sample.input.clone();
    let fresh = World::new(&sample.object, sample.index, Slot::default(), &input);
    let (mut world, mut image) = fresh.map_err(|error| error.to_string())?;
    for packet in packets {
        input.packet = packet;
        world.deliver(&mut image, &input).map_err(|error| error.to_string())?;
        let outcome = counter.run(sample.index, &world, &image, Manner::default().fuel);
        outcome.end.map_err(|trap| trap.fault.to_string())?;
        (world, image) = (outcome.world, outcome.image);
    }
    Ok(counter.profile())
}
