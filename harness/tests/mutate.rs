// SPDX-License-Identifier: GPL-2.0-or-later
//! Mutants: which there are of a small operation, that they are killed or shown to be equivalent, and that a weak check leaves some.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use kop_harness::check::{DEFAULT_STATES, Quiet};
use kop_harness::mutate::{Settings, mutate, record};
use kop_harness::planted::OneForm;
use kop_harness::reports::{MutatedSide, Mutation, MutationRow, Record, Verdict};
use kop_harness::{Scope, check, selection};
use kop_ops::ebpf::{AluOp, Insn, parse_program};
use kop_ops::x86_64::{self, Assembler, Gpr, Size};
use kop_ops::{Arch, Catalog, Fault, Form, Kop, Layout, Reject, Role, Site, State, aarch64};

/// The engines that are the same everywhere.
const EMULATED: [&str; 4] = ["rbpf", "model", "unicorn-x86_64", "unicorn-aarch64"];

fn settings(states: usize) -> Settings {
    let engines = selection::by_names(EMULATED).expect("they are always here");
    let check = check::Settings { states, engines, jobs: 2, ..check::Settings::default() };
    Settings { check, limit: Duration::from_secs(10), only: None, most: None, time: None, turn: 0 }
}

fn mutated(kop: &dyn Kop, settings: &Settings) -> (Record, Mutation, Vec<String>) {
    let catalog = Catalog::with(kop);
    let run = mutate(&catalog, settings, &Quiet).expect("the engines are here");
    let record = record(&run, settings);
    let mutation = record.mutation.clone().expect("a run of mutants");
    let lines = run.mutated().map(|mutated| format!("{}: {}", mutated.line(), mutated.outcome())).collect();
    (record, mutation, lines)
}

fn find(name: &str) -> &'static dyn Kop {
    Catalog::einsn().get(name).expect("it is in the catalog")
}

fn row(mutation: &Mutation, arch: Arch, side: MutatedSide) -> &MutationRow {
    let is_it = |row: &&MutationRow| row.arch == arch.name() && row.side == side;
    mutation.rows.iter().find(is_it).unwrap_or_else(|| panic!("no {} of {arch}", side.name()))
}

/// How many lines of each kind of change, told by words of the lines.
fn classes<'l>(lines: impl Iterator<Item = &'l String>) -> BTreeMap<&'static str, usize> {
    const WORDS: [(&str, &str); 8] = [
        ("register", "register in place"),
        ("order", "registers in places"),
        ("immediate", "number in place"),
        ("width", "another width"),
        ("condition", "another condition"),
        ("drop", "is left out"),
        ("duplicate", "is there twice"),
        ("swap", "changes places"),
    ];
    let mut classes = BTreeMap::new();
    for line in lines {
        let (class, _) = WORDS.iter().find(|(_, words)| line.contains(words)).expect("a known change");
        *classes.entry(*class).or_insert(0) += 1;
    }
    classes
}

#[test]
fn every_mutant_of_a_rotation_is_killed_or_equivalent() {
    let rotate = OneForm::new(find("rotate"), "imm64");
    let (record, mutation, lines) = mutated(&rotate, &settings(DEFAULT_STATES));
    assert_eq!(mutation.survivors, [], "{lines:#?}");
    assert_eq!((record.verdict, mutation.score()), (Verdict::Equivalent, Some(1.0)));
    let of = |start: &str| -> Vec<&String> { lines.iter().filter(|line| line.starts_with(start)).collect() };
    // The AArch64 emit is one EXTR: three registers, and an amount of six bits.
    let aarch64 = of("imm64 aarch64 emit");
    let classes_of = |lines: &[&String]| classes(lines.iter().copied());
    let found = classes_of(&aarch64);
    let exact: Vec<_> = ["immediate", "order", "width", "drop", "duplicate", "condition", "swap"]
        .map(|class| found.get(class).copied().unwrap_or(0))
        .to_vec();
    // EXTR is `ror` where both sources are one register, so that exchanging those does nothing, and dst with either is all there is;
    // `extr w` takes amounts below 32.
    assert_eq!(exact, [8, 2, 1, 1, 1, 0, 0], "{aarch64:#?}");
    // Each of them becomes that of dst or src, unless it is; of tmp, a scratch register, one that is no operand.
    assert_eq!(found["register"], 3 * 4, "{aarch64:#?}");
    // The x86-64 emit is `rorx`, `mov` and `rol`, `rol` alone, or `mov`; a rotation by one is an instruction without an
    // immediate (opcode D1): eight instructions in six shapes.
    let x86_64 = classes_of(&of("imm64 x86_64 emit"));
    assert_eq!((x86_64["drop"], x86_64["swap"]), (8, 2), "{x86_64:?}");
    assert!(["register", "immediate", "order", "width"].iter().all(|class| x86_64.contains_key(class)));
    // An immediate of eight bits in `rorx` and in both `rol`.
    assert!(x86_64["immediate"] >= 3 * 8, "{x86_64:?}");
    let proof = row(&mutation, Arch::X86_64, MutatedSide::Proof);
    assert!(proof.killed > 0 && proof.equivalent > 0 && proof.survived == 0, "{proof:?}");
    let rows = mutation.rows.iter();
    assert!(rows.clone().all(|row| row.mutants == row.killed + row.equivalent + row.survived));
    assert_eq!(mutation.detection_ms.len() as u64, rows.map(|row| row.killed).sum::<u64>());
    assert!(mutation.detection_ms.is_sorted());
}

#[test]
fn of_very_many_some_are_decided_and_that_is_told() {
    let rotate = OneForm::new(find("rotate"), "imm64");
    let mut settings = Settings { most: Some(30), ..settings(2000) };
    let (_, mutation, lines) = mutated(&rotate, &settings);
    let x86_64 = row(&mutation, Arch::X86_64, MutatedSide::Emit);
    let of = x86_64.sample.map_or(0, |sample| sample.of);
    assert!(x86_64.mutants == 30 && of > 100, "{x86_64:?}");
    // One EXTR has fewer.
    let aarch64 = row(&mutation, Arch::Aarch64, MutatedSide::Emit);
    assert!(aarch64.mutants < 30 && aarch64.sample.is_none(), "{aarch64:?}");
    let emit: Vec<&String> = lines.iter().filter(|line| line.starts_with("imm64 x86_64 emit")).collect();
    // Every kind of change that the emit has is among them.
    assert!(classes(emit.iter().copied()).len() >= 6, "{emit:#?}");
    assert!(
        mutation.remarks.iter().any(|remark| remark.contains("(2 rows of rotate)")),
        "{:?}",
        mutation.remarks
    );
    settings.check.seed = 1;
    let other = mutated(&rotate, &settings).1;
    let other = row(&other, Arch::X86_64, MutatedSide::Emit);
    assert_ne!(other.sample, x86_64.sample);
}

#[test]
fn what_there_is_no_time_for_is_told_and_counts_for_nothing() {
    let rotate = OneForm::new(find("rotate"), "imm64");
    let settings = Settings { time: Some(Duration::ZERO), ..settings(DEFAULT_STATES) };
    let (record, mutation, lines) = mutated(&rotate, &settings);
    assert_eq!((record.verdict, lines.len()), (Verdict::Equivalent, 0));
    assert_eq!(
        (mutation.rows, mutation.remarks),
        (Vec::new(), vec!["left out, the time was over: rotate".to_owned()])
    );
}

#[test]
fn the_same_seed_gives_the_same_verdicts() {
    let select = OneForm::new(find("select"), "test32");
    let scope = Scope { archs: vec![Arch::Aarch64], simd: true };
    let run = |jobs| {
        let mut settings = settings(2000);
        settings.check.jobs = jobs;
        settings.check.scope = scope.clone();
        let (record, mutation, lines) = mutated(&select, &settings);
        // Times are others.
        let untimed =
            |row: MutationRow| MutationRow { detection_ms: Vec::new(), check_s: 0.0, prover_s: 0.0, ..row };
        let rows: Vec<MutationRow> = mutation.rows.into_iter().map(untimed).collect();
        let lines: Vec<String> =
            lines.iter().map(|line| line.split(" after ").next().unwrap_or_default().to_owned()).collect();
        assert_eq!(Record::from_json(&record.to_json()).as_ref(), Ok(&record));
        (rows, lines)
    };
    assert_eq!(run(1), run(2));
}

/// `dst = dst + src`, with code that could do without some of itself.
struct Redundant(Vec<Form>);

impl Redundant {
    fn new() -> Self {
        let layout = Layout::new().register("dst", Role::Destination).register("src", Role::Source);
        Self(vec![Form::new("reg64", "dst += src", layout)])
    }
}

impl Kop for Redundant {
    fn name(&self) -> &str {
        "redundant"
    }
    fn summary(&self) -> &str {
        "an addition"
    }
    fn source(&self) -> &str {
        file!()
    }
    fn forms(&self) -> &[Form] {
        &self.0
    }
    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let sum = state.get(site.reg("dst")).wrapping_add(state.get(site.reg("src")));
        state.set(site.reg("dst"), sum);
        Some(Ok(()))
    }
    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        Ok(vec![Insn::alu64(AluOp::Add, site.reg("dst"), site.reg("src"))])
    }
    fn x86_64(&self, site: &Site, asm: &mut Assembler) -> Result<(), Reject> {
        asm.mov(Size::B8, Gpr::R10, site.gpr("src"));
        asm.mov(Size::B8, Gpr::R11, site.gpr("dst"));
        asm.add(Size::B8, Gpr::R11, Gpr::R10);
        asm.add(Size::B8, Gpr::R11, 0);
        asm.mov(Size::B8, site.gpr("dst"), Gpr::R11);
        Ok(())
    }
    fn aarch64(&self, site: &Site, asm: &mut aarch64::Assembler) -> Result<(), Reject> {
        asm.add(aarch64::Width::X, site.x("dst"), site.x("dst"), site.x("src"));
        Ok(())
    }
}

#[test]
fn what_makes_no_difference_is_shown_to_be_equivalent() {
    let redundant = Redundant::new();
    let (_, mutation, lines) = mutated(&redundant, &settings(DEFAULT_STATES));
    assert_eq!(mutation.survivors, [], "{lines:#?}");
    let equivalent: BTreeSet<&str> =
        lines.iter().filter_map(|line| line.strip_suffix(": equivalent")).collect();
    let is_equivalent = |change: &str| equivalent.iter().any(|line| line.contains(change));
    // Two copies in any order, an addition of zero less or once more, both addends exchanged.
    assert!(is_equivalent("emit 0: `mov r10, rax` changes places with the next"), "{equivalent:#?}");
    assert!(is_equivalent("emit 3: `add r11, 0` is left out"), "{equivalent:#?}");
    assert!(is_equivalent("emit 3: `add r11, 0` is there twice"), "{equivalent:#?}");
    assert!(!is_equivalent("emit 2: `add r11, r10` is left out"), "{equivalent:#?}");
}

#[test]
fn an_operation_that_diverges_has_no_mutants() {
    struct Wrong(Redundant);
    impl Kop for Wrong {
        fn name(&self) -> &str {
            "wrong"
        }
        fn summary(&self) -> &str {
            self.0.summary()
        }
        fn source(&self) -> &str {
            file!()
        }
        fn forms(&self) -> &[Form] {
            self.0.forms()
        }
        fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
            self.0.model(site, state)
        }
        fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
            let (dst, src) = (site.reg("dst"), site.reg("src"));
            Ok(parse_program(&format!("{dst} -= {src}")).expect("a sequence"))
        }
        fn x86_64(&self, site: &Site, asm: &mut x86_64::Assembler) -> Result<(), Reject> {
            self.0.x86_64(site, asm)
        }
        fn aarch64(&self, site: &Site, asm: &mut aarch64::Assembler) -> Result<(), Reject> {
            self.0.aarch64(site, asm)
        }
    }
    let wrong = Wrong(Redundant::new());
    let catalog = Catalog::with(&wrong);
    let settings = settings(2000);
    let run = mutate(&catalog, &settings, &Quiet).expect("the engines are here");
    assert!(!run.holds());
    assert_eq!((run.divergent.len(), run.mutated().count()), (2, 0));
}

fn kop(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kop"));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).stdin(Stdio::null());
    command.args(["mutate", "--jobs", "2", "--engines", &EMULATED.join(",")]).args(args);
    command.output().expect("kop runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[test]
fn a_check_of_one_state_leaves_survivors() {
    let output = kop(&["popcount", "--arch", "x86_64", "--states", "1", "--report", "-"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let record = Record::from_json(&stdout(&output)).expect("a record");
    let mutation = record.mutation.expect("a run of mutants");
    assert_eq!(record.verdict, Verdict::Divergent);
    assert!(!mutation.survivors.is_empty() && mutation.score() < Some(1.0));
    // Each is told with the command that looks at it, and that finds it again.
    let text = String::from_utf8(output.stderr).expect("text");
    let survivor = &mutation.survivors[0];
    assert!(survivor.undecided.is_some() && text.contains(&survivor.change), "{text}");
    let only = format!("{} {} {} {}", survivor.form, survivor.arch, survivor.side.name(), survivor.change);
    let again = kop(&["popcount", "--arch", "x86_64", "--states", "1", "--only", &only]);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert!(stdout(&again).contains("\n1 mutant: 0 killed, 0 equivalent, 1 survived"), "{}", stdout(&again));
}

#[cfg(feature = "text")]
#[test]
fn operations_as_text_are_broken_too() {
    let file = "corpus/modules/and_not.kop.toml";
    let output = kop(&["--file", file, "--arch", "aarch64"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("and_not        reg64        aarch64  emit"), "{text}");
    assert!(text.contains(" 0 survived; score 100.0 %\ntime to detect: median "), "{text}");
}
