// SPDX-License-Identifier: GPL-2.0-or-later
//! What RFC 9669 says of each instruction holds on every engine and in the kernel, and what is no program is rejected.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use kop_emulators::kernel::KernelEngine;
use kop_emulators::program::{Job, ProgramEngine};
use kop_harness::conformance::{self, Valid};
use kop_harness::plugin::{self, Plugin, PluginError};
use kop_ops::Slot;
use kop_ops::ebpf::forms::{form, forms};
use kop_ops::ebpf::{CallTarget, Insn};
use kop_semantics::Run;
use kop_semantics::world::{Input, World};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../corpus/conformance")
}

fn cases() -> Vec<Valid> {
    conformance::read(&folder()).unwrap_or_else(|reason| panic!("{reason}"))
}

#[test]
fn every_case_holds_on_every_engine() {
    let cases = cases();
    assert!(cases.len() >= 300, "{} cases", cases.len());
    let mut failed = Vec::new();
    for (name, _) in plugin::ENGINES {
        let mut plugin = match Plugin::new(name) {
            Ok(plugin) => plugin,
            Err(error) => {
                println!("{name}: {error}");
                assert_ne!(name, "spec");
                continue;
            }
        };
        for case in &cases {
            let found = plugin.run(&case.bytes(), &case.memory);
            let holds = match (&case.result, &found) {
                (Ok(expected), Ok(r0)) => expected == r0,
                (Err(expected), Err(PluginError::Fault(fault))) => fault.contains(expected.as_str()),
                _ => false,
            };
            if !holds {
                failed.push(format!("{name}: {}\n    {found:x?}", case.line));
            }
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

/// All forms but those that have no meaning here: references without maps, legacy packet loads, kernel functions, Kop sites.
#[test]
fn cases_cover_every_form_of_instruction() {
    let covered: BTreeSet<Insn> =
        cases().iter().flat_map(|case| &case.insns).map(|insn| form(*insn)).collect();
    let runs = |insn: &Insn| match insn {
        Insn::LoadImm64 { kind, .. } => *kind == 0,
        Insn::LoadAbs { .. } | Insn::LoadInd { .. } | Insn::Sidecar { .. } => false,
        Insn::Call { target } => !matches!(target, CallTarget::Kfunc { .. } | CallTarget::Kop { .. }),
        _ => true,
    };
    let missing: Vec<String> =
        forms().iter().filter(|insn| runs(insn) && !covered.contains(insn)).map(Insn::to_string).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}

#[test]
fn what_is_no_program_is_rejected_with_its_reason() {
    let text = std::fs::read_to_string(folder().join("invalid.txt")).expect("it is there");
    let cases = conformance::invalid(&text).unwrap_or_else(|bad| panic!("{bad}"));
    assert!(cases.len() >= 60);
    let mut failed = Vec::new();
    for case in cases {
        match plugin::object(&case.bytes) {
            Err(PluginError::Rejected(reason)) if reason.contains(&case.reason) => {}
            other => failed.push(format!("{:02x?} => {}: {other:?}", case.bytes, case.reason)),
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

/// The kernel gives the same r0 as the RFC in every case that its verifier accepts. Those that it refuses are counted by
/// reason; faults and the suite's own function are not the kernel's.
#[test]
fn the_kernel_agrees() {
    let mut kernel = match KernelEngine::new() {
        Ok(kernel) => kernel,
        Err(reason) => return println!("not compared with the kernel: {reason}"),
    };
    let (mut compared, mut refused, mut failed) = (0, BTreeMap::new(), Vec::new());
    for case in cases() {
        let Ok(expected) = case.result else { continue };
        let object = plugin::object(&case.bytes()).expect("a program");
        let input = Input { packet: case.memory.clone(), ..Input::default() };
        let (world, image) = World::new(&object, 0, Slot::default(), &input).expect("it has a world");
        let registers = world.registers();
        let run =
            Run { object: &object, entry: 0, world: &world, image: &image, registers: &registers, fuel: 0 };
        let job = Job { run, codes: &[] };
        if let Err(reason) = kernel.admits(&job) {
            // The verifier's last line says why; those before it are the instructions that it looked at.
            let reason = reason.lines().last().unwrap_or_default().to_owned();
            refused.entry(reason).or_insert_with(Vec::new).push(case.line);
            continue;
        }
        compared += 1;
        let end = kernel.run(&job).end;
        if end != Ok(expected) {
            failed.push(format!("{}\n    {end:x?}", case.line));
        }
    }
    println!("{compared} cases compared");
    for (reason, lines) in &refused {
        println!("refused: {reason}: {} cases, such as {}", lines.len(), lines[0]);
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
    assert!(compared >= 1000, "only {compared} cases were compared");
}
