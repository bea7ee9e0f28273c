// SPDX-License-Identifier: GPL-2.0-or-later
//! Programs with maps over their traffic: our compilers against each other, on the same maps and helper functions.

use std::cell::RefCell;

use kop_emulators::traffic::{Programs, Traffic, Turns};
use kop_ops::ebpf::{Insn, Reg};
use kop_ops::state::Slot;
use kop_ops::{Code, Flow, Object, Program};
use kop_reports::{BenchFailure, BenchProgram, Cell, Group};
use kop_semantics::{Image, World};

use super::backend::{self, BACKENDS, Backend, Compiled};
use super::machine::Machine;
use super::measure::{Rounds, Times, Way, interleaved_anew};
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
    for (code, name) in codes.iter_mut().zip(names) {
        let Ok(compiled) = code else { continue };
        match results(sample, compiled.programs(sample)) {
            Ok(results) if results == wanted => {}
            Ok(_) => {
                failures.push(failure(sample, name, "it returns something else than spec does".to_owned()));
                *code = Err("it fails".to_owned());
            }
            Err(reason) => *code = Err(reason),
        }
    }
    let made: Vec<Result<Programs, String>> =
        codes.iter().map(|code| Ok(code.as_ref().map_err(Clone::clone)?.programs(sample))).collect();
    let (mut times, floor) = match timed(sample, &made, rounds) {
        Ok(measured) => measured,
        Err(error) => {
            failures.push(failure(sample, "spec", error));
            return Vec::new();
        }
    };
    for times in times.iter_mut().flatten() {
        for (time, floor) in times.iter_mut().zip(&floor) {
            *time -= floor;
        }
    }
    for (code, times) in codes.iter_mut().zip(&times) {
        if let Err(reason) = times {
            *code = Err(reason.clone());
        }
    }
    times
}

/// What programs return for each packet of the traffic.
///
/// # Errors
/// Why they cannot be run here, or how that ended, in one line.
pub fn results(sample: &Sample, programs: Programs) -> Result<Vec<u32>, String> {
    let (world, image) = start(sample)?;
    Ok(Turns::new(traffic(sample, &world, &image), vec![programs]).run(0, 1)?.results)
}

/// Nanoseconds a packet of what several compilers made of a program, and those of putting a packet in place, round by round. Each round starts with
/// a new child, in which all take turns.
///
/// # Errors
/// Why nothing can be run here, in one line.
pub fn timed(
    sample: &Sample,
    made: &[Result<Programs, String>],
    rounds: Rounds,
) -> Result<(Vec<Times>, Vec<f64>), String> {
    let (world, image) = start(sample)?;
    let empty = empty(sample)?;
    let empty = Ok(Programs { codes: &empty, entry: 0 });
    let all: Vec<_> = made.iter().chain([&empty]).collect();
    let programs = all.iter().filter_map(|programs| programs.as_ref().ok().copied()).collect();
    let turns = &RefCell::new(Turns::new(traffic(sample, &world, &image), programs));
    let mut count = 0;
    let mut way = |programs: &&Result<Programs, String>| -> Way {
        programs.as_ref().map_err(Clone::clone)?;
        let index = count;
        count += 1;
        let mut first = None;
        Ok(Box::new(move |passes| {
            let passed = turns.borrow_mut().run(index, passes)?;
            match *first.get_or_insert_with(|| passed.results.clone()) == passed.results {
                true => Ok(passed.time),
                false => Err("it returns something else than on its first run".to_owned()),
            }
        }))
    };
    let mut ways: Vec<Way> = all.iter().map(&mut way).collect();
    // A run starts with maps and memory as they are at the start, and goes on until they are what they are in use: longer samples.
    let rounds = Rounds { sample: rounds.sample * 4, ..rounds };
    let mut times = interleaved_anew(&mut ways, rounds, &mut || turns.borrow_mut().renew());
    let packets = sample.packets.len() as f64;
    times.iter_mut().flatten().flatten().for_each(|time| *time /= packets);
    let floor = times.pop().expect("that of the empty program")?;
    Ok((times, floor))
}

/// Memory, maps and helper functions when a run starts.
fn start(sample: &Sample) -> Result<(World, Image), String> {
    World::new(&sample.object, sample.index, Slot::default(), &sample.input)
        .map_err(|error| error.to_string())
}

fn traffic<'a>(sample: &'a Sample, world: &'a World, image: &'a Image) -> Traffic<'a> {
    Traffic { world, image, fields: &sample.input.fields, packets: &sample.packets }
}

/// A program that only returns, in the place of this one: what it takes to put packets in place.
fn empty(sample: &Sample) -> Result<Vec<Code>, String> {
    let flow = Flow::new(vec![Insn::mov64(Reg::R0, 0), Insn::Exit]).expect("it is a program");
    let program = Program { name: "empty".to_owned(), kind: sample.program().kind, flow };
    let object =
        Object { programs: vec![program.clone()], maps: sample.object.maps.clone(), ..Object::default() };
    let code =
        backend::jit::compile(&program, &object.operations, &sample.addresses, backend::jit::Form::Plain)?;
    Ok(vec![code])
}
