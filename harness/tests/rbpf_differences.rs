// SPDX-License-Identifier: GPL-2.0-or-later
//! `semantics/DIFFERENCES.md` says what rbpf, `spec` and the kernel really do, and leaves out no form of instruction.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use kop_emulators::kernel::KernelEngine;
use kop_emulators::program::{Job, ProgramEngine};
use kop_emulators::rbpf::{Rule, lint};
use kop_harness::conformance::{self, Valid};
use kop_harness::plugin::{self, Plugin, PluginError};
use kop_ops::Slot;
use kop_ops::ebpf::{Insn, Reg, encode_program};
use kop_semantics::Run;
use kop_semantics::world::{Input, World};

fn path(relative: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(relative)
}

/// A line of the document: a program, and what is said of each of the three.
struct Row {
    case: Valid,
    spec: String,
    kernel: String,
    rbpf: String,
}

fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string(path("semantics/DIFFERENCES.md")).expect("it is there");
    let block = text.split("```").nth(1).expect("a block of programs").strip_prefix("text").expect("of text");
    let lines = block.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(row).collect()
}

fn row(line: &str) -> Row {
    let (program, said) = line.rsplit_once("=>").expect("=> before the results");
    let case =
        conformance::valid(&format!("{program} => 0x0")).unwrap_or_else(|bad| panic!("{bad}")).remove(0);
    let mut said = said.split(", ");
    let mut of = |name| {
        let result = said.next().and_then(|part| part.trim().strip_prefix(name)).map(str::trim);
        result.unwrap_or_else(|| panic!("{line}: nothing is said of {name}")).to_owned()
    };
    Row { spec: of("spec"), kernel: of("kernel"), rbpf: of("rbpf"), case }
}

fn on_spec(spec: &mut Plugin, case: &Valid) -> String {
    match spec.run(&case.bytes(), &case.memory) {
        Ok(r0) => format!("{r0:#x}"),
        Err(PluginError::Fault(_)) => "fault".to_owned(),
        Err(_) => "refused".to_owned(),
    }
}

fn on_kernel(kernel: &mut KernelEngine, case: &Valid) -> String {
    let Ok(object) = plugin::object(&case.bytes()) else { return "refused".to_owned() };
    let input = Input { packet: case.memory.clone(), ..Input::default() };
    let (world, image) = World::new(&object, 0, Slot::default(), &input).expect("it has a world");
    let registers = world.registers();
    let run = Run { object: &object, entry: 0, world: &world, image: &image, registers: &registers, fuel: 0 };
    let job = Job { run, codes: &[] };
    match kernel.admits(&job).map(|()| kernel.run(&job).end) {
        Ok(Ok(r0)) => format!("{r0:#x}"),
        Ok(Err(_)) => "fault".to_owned(),
        Err(_) => "refused".to_owned(),
    }
}

/// rbpf with the suite's function 5. It sets r1 alone, so that the length is moved into r2 first.
fn on_rbpf(case: &Valid) -> String {
    let mut insns = vec![Insn::mov64(Reg::R2, case.memory.len() as i32)];
    insns.extend(&case.insns);
    let program = encode_program(&insns);
    let Ok(mut vm) = rbpf::EbpfVmRaw::new(Some(&program)) else { return "refused".to_owned() };
    vm.register_helper(5, |first, _, _, _, _| first).expect("it is the first of this number");
    let mut memory = case.memory.clone();
    match catch_unwind(AssertUnwindSafe(|| vm.execute_program(&mut memory))) {
        Ok(Ok(r0)) => format!("{r0:#x}"),
        Ok(Err(_)) => "fault".to_owned(),
        Err(_) => "panic".to_owned(),
    }
}

#[test]
fn every_line_is_true() {
    let mut spec = Plugin::new("spec").expect("it is always here");
    let mut kernel =
        KernelEngine::new().map_err(|reason| println!("not compared with the kernel: {reason}")).ok();
    let mut wrong = Vec::new();
    for row in rows() {
        let mut check = |name, said: &str, found: String| {
            if said != found {
                wrong.push(format!("{}: {name} says {found}, the document {said}", row.case.line));
            }
        };
        check("spec", &row.spec, on_spec(&mut spec, &row.case));
        check("rbpf", &row.rbpf, on_rbpf(&row.case));
        if let Some(kernel) = &mut kernel {
            check("kernel", &row.kernel, on_kernel(kernel, &row.case));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Every line is a difference, and none to the kernel: it agrees with `spec` or refuses.
#[test]
fn every_line_is_a_difference_to_rbpf_alone() {
    for row in rows() {
        assert_ne!(row.rbpf, row.spec, "{}", row.case.line);
        assert!(row.kernel == "refused" || row.kernel == row.spec, "{}", row.case.line);
    }
}

/// The rules of the lint that some instruction of the program breaks, taken alone. Where a sequence ends and goes back is
/// no matter of what rbpf makes of an instruction.
fn rules(insns: &[Insn]) -> BTreeSet<Rule> {
    let broken = insns.iter().filter_map(|insn| lint(std::slice::from_ref(insn)).err());
    broken.filter(|rule| !matches!(rule, Rule::Exit | Rule::BackwardJump)).collect()
}

#[test]
fn rbpf_is_wrong_only_where_a_rule_says_so_and_a_line_shows_it() {
    let shown: BTreeSet<Rule> =
        rows().iter().filter(|row| row.rbpf != row.spec).flat_map(|row| rules(&row.case.insns)).collect();
    let mut unexplained = Vec::new();
    for case in conformance::read(&path("corpus/conformance")).unwrap_or_else(|reason| panic!("{reason}")) {
        let expected = match &case.result {
            Ok(r0) => format!("{r0:#x}"),
            // rbpf has no fuel.
            Err(fault) if fault == "ran away" => continue,
            Err(_) => "fault".to_owned(),
        };
        let found = on_rbpf(&case);
        if found != expected && rules(&case.insns).intersection(&shown).next().is_none() {
            unexplained.push(format!("{}\n    rbpf: {found}", case.line));
        }
    }
    assert!(unexplained.is_empty(), "\n{}", unexplained.join("\n"));
}
