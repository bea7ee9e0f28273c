// SPDX-License-Identifier: GPL-2.0-or-later
//! Each engine on its own.

use kop_emulators::engine::{BatchResult, Chunk, Engine, NativeCode, Program};
use kop_emulators::engines::EngineKind;
use kop_harness::selection::available;
use kop_ops::{Arch, aarch64, x86_64};

use crate::STATES;
use crate::limit::{self, Limit};
use crate::report::Report;
use crate::sites::Site;
use crate::turns::{Rounds, Way, measure as take_turns};

/// Measures every engine that is here on a site.
pub fn measure(site: &Site, rounds: Rounds, report: &mut Report) {
    for kind in available().0 {
        let Some(program) = site.program(kind) else { continue };
        let mut ways = ways(site, kind, program);
        let names: Vec<&'static str> = ways.iter().map(|way| way.name).collect();
        report.engine(site, kind.name, &names, take_turns(&mut ways, rounds));
    }
}

fn ways<'a>(site: &'a Site, kind: &'a EngineKind, program: Program<'a>) -> Vec<Way<'a>> {
    let mut engine = kind.make().expect("an engine that is listed as available");
    let batched = move |_| {
        run(&mut *engine, site, program, &site.states);
    };
    let mut ways = vec![Way { name: "batched", states: STATES, run: Box::new(batched) }];
    let code = match program {
        Program::Native(code) => {
            ways.push(fresh(site, kind, code));
            Some((code.arch, &*code.bytes))
        }
        _ => None,
    };
    let limit = |count| Limit::new(site, kind.name, code, count);
    match (limit(1), limit(STATES)) {
        (Some(mut one), Some(mut all)) => {
            let rows = rows(site, &one);
            agree(site, kind, program, &rows, &mut one);
            rows.iter().enumerate().for_each(|(number, row)| all.write(number, row));
            let entry = move |call: usize| {
                one.write(0, &rows[call % STATES]);
                one.run();
                std::hint::black_box(one.read(0));
            };
            ways.push(Way { name: "entry", states: 1, run: Box::new(entry) });
            ways.push(Way { name: "limit", states: STATES, run: Box::new(move |_| all.run()) });
        }
        _ => {
            let mut engine = kind.make().expect("an engine that is listed as available");
            let width = site.inputs.len();
            let entry = move |call: usize| {
                let at = call % STATES * width;
                run(&mut *engine, site, program, &site.states[at..at + width]);
            };
            ways.push(Way { name: "entry", states: 1, run: Box::new(entry) });
        }
    }
    ways
}

/// Batches of code that the engine has not seen: each ends with another constant in a scratch register.
fn fresh<'a>(site: &'a Site, kind: &EngineKind, code: &NativeCode) -> Way<'a> {
    let mut engine = kind.make().expect("an engine that is listed as available");
    let (mut code, length, mut seen) = (code.clone(), code.bytes.len(), 0u32);
    let run = move |_| {
        code.bytes.truncate(length);
        let constant = seen;
        seen += 1;
        code.bytes.extend(match code.arch {
            Arch::X86_64 => limit::x86(|a| a.mov(x86_64::Size::B4, x86_64::Gpr::R10, constant as i32)),
            Arch::Aarch64 => limit::arm(|a| {
                a.movz(aarch64::Width::X, aarch64::Gpr::X9, constant as u16, 0);
                a.movk(aarch64::Width::X, aarch64::Gpr::X9, (constant >> 16) as u16, 16);
            }),
        });
        run(&mut *engine, site, Program::Native(&code), &site.states);
    };
    Way { name: "fresh", states: STATES, run: Box::new(run) }
}

fn run(engine: &mut dyn Engine, site: &Site, program: Program, states: &[u64]) -> Vec<u64> {
    let result = engine.run(&Chunk { memory: &site.memory, batches: vec![site.batch(program, states)] });
    match result.batches.into_iter().next() {
        Some(BatchResult::Ran { rows, faults }) if faults.is_empty() => rows,
        other => panic!("a state without faults ran: {other:?}"),
    }
}

/// The rows of a loop for the site's states.
fn rows(site: &Site, limit: &Limit) -> Vec<Vec<u64>> {
    let position = |reg| site.inputs.iter().position(|own| own == reg).expect("operands are named");
    let positions: Vec<usize> = limit.words.iter().map(position).collect();
    let states = site.states.chunks_exact(site.inputs.len());
    states.map(|state| positions.iter().map(|&i| state[i]).collect()).collect()
}

/// The loop has to do what the engine does.
fn agree(site: &Site, kind: &EngineKind, program: Program, rows: &[Vec<u64>], limit: &mut Limit) {
    let mut engine = kind.make().expect("an engine that is listed as available");
    let after_batch = run(&mut *engine, site, program, &site.states);
    let width = site.inputs.len();
    for (number, row) in rows.iter().enumerate().step_by(97) {
        limit.write(0, row);
        limit.run();
        let after = limit.read(0);
        for (i, reg) in limit.words.iter().enumerate().filter(|(_, reg)| site.results().has(*reg)) {
            let position = site.inputs.iter().position(|own| own == reg).expect("results are named");
            let expected = after_batch[number * width + position];
            assert_eq!(after[i], expected, "{} on {}: {reg}", site.name(), kind.name);
        }
    }
}
