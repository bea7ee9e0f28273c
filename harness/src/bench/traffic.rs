// SPDX-License-Identifier: GPL-2.0-or-later
//! Programs with maps over their traffic: our compilers against each other, on the same maps and helper functions.

use std::time::Duration;

use kop_emulators::traffic::Traffic;
use kop_ops::ebpf::{Insn, Reg};
use kop_ops::state::Slot;
use kop_ops::{Code, Flow, Object, Program};
use kop_reports::{BenchFailure, BenchProgram, Cell, Group};
use kop_semantics::{Image, World};

use super::backend::{self, BACKENDS, Backend, Compiled};
use super::machine::Machine;
use super::measure::{Rounds, Times, Way, interleaved};
use super::parts::Parts;
use super::{Sample, failure, reference, timing};

/// Measures a program over its packets: nanoseconds a packet.
pub fn measure(
    sample: &Sample,
    machine: &Machine,
    backends: &[Result<Box<dyn Backend>, String>],
    rounds: Rounds,
    failures: &mut Vec<BenchFailure>,
) -> BenchProgram {
    let mut program = BenchProgram {
        name: sample.name.clone(),
        insns: sample.insns() as u64,
        group: Group::Traffic,
        packets: sample.packets.len() as u64,
        short: false,
        cells: BACKENDS.iter().map(|_| Cell::default()).collect(),
    };
    let mut codes: Vec<Result<Compiled, String>> = backends
        .iter()
        .map(|made| {
            made.as_ref().map_err(|_| String::new()).and_then(|backend| backend.compile(machine, sample))
        })
        .collect();
    let parts = Parts::of(backends, sample);
    codes.extend(parts.0.iter().map(|(_, part)| part.without.compile(machine, sample)));
    // Guarded code in the child of the host engine first: what runs below is kept from nothing.
    let checked = reference::traffic(sample, "spec").map_err(|error| ("spec", error));
    let checked = checked.and_then(|wanted| {
        reference::traffic(sample, "host").map(|_| wanted).map_err(|error| ("host", error))
    });
    match checked {
        Ok(wanted) => {
            let measured = times(sample, (&mut codes, &parts.names()), &wanted, rounds, failures);
            fill(&mut program.cells, &measured);
            parts.attribute(&mut program.cells, &measured, &[]);
        }
        Err((engine, message)) => {
            failures.push(failure(sample, engine, message));
            for code in codes.iter_mut().filter(|code| code.is_ok()) {
                *code = Err("it fails".to_owned());
            }
        }
    }
    for (cell, code) in program.cells.iter_mut().zip(&codes) {
        match code {
            Ok(code) => {
                cell.code_bytes = Some(code.codes[sample.index].bytes.len() as u64);
                cell.compile_ns = code.making.compile_ns;
                cell.rewrite_ns = code.making.rewrite_ns;
                cell.compiler = code.making.compiler.map(str::to_owned);
                cell.sites.clone_from(&code.making.sites);
            }
            Err(reason) => cell.absent = (!reason.is_empty()).then(|| reason.clone()),
        }
    }
    program
}

/// The speed of each backend, against our JIT without Kops.
fn fill(cells: &mut [Cell], times: &[Times]) {
    let base = BACKENDS.iter().position(|kind| kind.name == "jit");
    let base = base.and_then(|jit| times.get(jit)?.as_ref().ok());
    for (cell, times) in cells.iter_mut().zip(times) {
        cell.fixed = times.as_ref().ok().map(|times| timing(times, base));
    }
}

/// Nanoseconds a packet of each code whose results are right; none where nothing can be measured.
fn times(
    sample: &Sample,
    (codes, names): (&mut [Result<Compiled, String>], &[String]),
    wanted: &[u32],
    rounds: Rounds,
    failures: &mut Vec<BenchFailure>,
) -> Vec<Times> {
    let (world, image) = match World::new(&sample.object, sample.index, Slot::default(), &sample.input) {
        Ok(state) => state,
        Err(error) => {
            failures.push(failure(sample, "spec", error.to_string()));
            return Vec::new();
        }
    };
    for (code, name) in codes.iter_mut().zip(names) {
        let Ok(compiled) = code else { continue };
        match run(sample, &world, &image, &compiled.codes, sample.index, 1) {
            Ok((_, results)) if results == wanted => {}
            Ok(_) => {
                failures.push(failure(sample, name, "it returns something else than spec does".to_owned()));
                *code = Err("it fails".to_owned());
            }
            Err(reason) => *code = Err(reason),
        }
    }
    let start = (&world, &image);
    let empty = empty(sample);
    let mut ways: Vec<Way> = codes
        .iter()
        .map(|code| way(sample, start, &code.as_ref().map_err(Clone::clone)?.codes, sample.index))
        .collect();
    ways.push(empty.as_ref().map_err(Clone::clone).and_then(|codes| way(sample, start, codes, 0)));
    let mut times = interleaved(&mut ways, for_children(rounds));
    drop(ways);
    let Some(Ok(floor)) = times.pop() else { return Vec::new() };
    for times in times.iter_mut().flatten() {
        for (time, floor) in times.iter_mut().zip(&floor) {
            *time = (*time - floor) / sample.packets.len() as f64;
        }
    }
    for (code, times) in codes.iter_mut().zip(&times) {
        if let Err(reason) = times {
            *code = Err(reason.clone());
        }
    }
    times
}

/// A sample is a child, whose making costs more than a sample of other programs: fewer and longer ones.
pub fn for_children(rounds: Rounds) -> Rounds {
    Rounds { samples: rounds.samples.min(2), sample: rounds.sample * 8, ..rounds }
}

/// To run the program `entry` of code over the traffic a number of times.
pub fn way<'a>(
    sample: &'a Sample,
    (world, image): (&'a World, &'a Image),
    codes: &'a [Code],
    entry: usize,
) -> Way<'a> {
    Ok(Box::new(move |passes| Ok(run(sample, world, image, codes, entry, passes)?.0)))
}

/// Runs code over the traffic some times: how long that took, and the results of the last time.
pub fn run(
    sample: &Sample,
    world: &World,
    image: &Image,
    codes: &[Code],
    entry: usize,
    passes: u32,
) -> Result<(Duration, Vec<u32>), String> {
    let traffic = Traffic { world, image, fields: &sample.input.fields, packets: &sample.packets };
    let passed = traffic.run(codes, entry, passes)?;
    Ok((passed.time, passed.results))
}

/// A program that only returns, in the place of this one: what it takes to put packets in place.
pub fn empty(sample: &Sample) -> Result<Vec<Code>, String> {
    let flow = Flow::new(vec![Insn::mov64(Reg::R0, 0), Insn::Exit]).expect("it is a program");
    let program = Program { name: "empty".to_owned(), kind: sample.program().kind, flow };
    let object =
        Object { programs: vec![program.clone()], maps: sample.object.maps.clone(), ..Object::default() };
    let code =
        backend::jit::compile(&program, &object.operations, &sample.addresses, backend::jit::Form::Plain)?;
    Ok(vec![code])
}
