// SPDX-License-Identifier: GPL-2.0-or-later
//! Exported operations are what they were: compiled and called, their C gives the bytes, the proof sequences and the
//! refusals of the Rust that they were written from.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use kop_harness::Settings;
use kop_harness::check::Quiet;
use kop_harness::export::{Export, export};
use kop_harness::generate;
use kop_harness::ops::aarch64::Width as W;
use kop_harness::ops::choices::{Choices, Seeded};
use kop_harness::ops::ebpf::{AluOp, Insn, encode_program};
use kop_harness::ops::x86_64::Size;
use kop_harness::ops::{
    Arch, Catalog, EmitRequest, Fault, Features, Form, Kop, Layout, Limits, Operands, Pass, Reject, Role,
    Site, State, aarch64, x86_64,
};
use kop_modules::{Asked, Callbacks, ModuleKop, NO_EMIT, Options, Reply};
use rayon::prelude::*;

/// Up to how many combinations of operands are all tried.
const EVERY: u64 = 300_000;

/// How many payloads are asked for at once.
const BATCH: usize = 4096;

/// Payloads of a form: every valid one where they can be counted, otherwise the planner's and every value of each field;
/// and many that are not valid.
fn payloads(kop: &dyn Kop, form: &Form) -> Vec<u64> {
    let layout = &form.layout;
    let mut choices = Seeded::new(4);
    let mut operands: Vec<Operands> = Vec::new();
    if layout.combinations() <= EVERY {
        operands.extend((0..layout.combinations()).map(|index| layout.combination(index)));
    } else {
        operands.extend(generate::plan(kop, form, 8 * 20_000, &mut choices).iter().map(|one| one.operands));
        for (index, field) in layout.fields().iter().enumerate().filter(|(_, field)| field.count() <= 1 << 17)
        {
            for value in field.range().0..=field.range().1 {
                let Some(mut random) = generate::random_operands(kop, form, &mut choices) else { continue };
                random.values_mut()[index] = value;
                operands.push(random);
            }
        }
    }
    let mut payloads: Vec<u64> = operands.iter().map(|operands| layout.pack(operands)).collect();
    payloads.extend((0..20_000).map(|_| invalid(kop, form, &mut choices)));
    payloads.extend((0..1000).map(|_| choices.bits() >> 12));
    payloads
}

fn invalid(kop: &dyn Kop, form: &Form, choices: &mut Seeded) -> u64 {
    generate::invalid_payload(form, choices, |choices| generate::random_operands(kop, form, choices))
}

/// What is different first, of everything that is asked.
fn difference(kop: &dyn Kop, form: &Form, module: &ModuleKop) -> Option<String> {
    let payloads = payloads(kop, form);
    let find = |callbacks: &dyn Callbacks, arch: Option<Arch>, features: Features| {
        payloads.chunks(BATCH).find_map(|chunk| {
            let answers = callbacks.ask(Asked::Contents, features, chunk);
            chunk.iter().zip(answers).find_map(|(&payload, answer)| {
                let at = || format!("{} payload {payload:#x} features {features}", form.name);
                let proof = kop.instantiate(form, payload).map(|proof| encode_program(&proof)).ok();
                if !answer.faults.is_empty() || answer.proof.accepted() != proof.as_ref() {
                    return Some(format!(
                        "{}: proof {:?}, not {proof:?}; {:?}",
                        at(),
                        answer.proof,
                        answer.faults
                    ));
                }
                let arch = arch?;
                let request = EmitRequest { arch, features, payload, pass: Pass::Write, address: 0 };
                let expected = kop.emit(form, &request);
                let same = match (&expected, answer.emit(arch)) {
                    (Ok(emission), Some(Reply::Accepted(emitted))) => emission.bytes == emitted.bytes,
                    (Err(Reject::NoEmit { .. }), Some(Reply::Rejected(NO_EMIT))) => true,
                    (Err(_), Some(Reply::Rejected(_))) => true,
                    _ => false,
                };
                (!same).then(|| format!("{} {arch}: {:?}, not {expected:?}", at(), answer.emit(arch)))
            })
        })
    };
    module.callbacks().find_map(|callbacks| {
        let archs = &callbacks.descriptor().archs;
        match archs.first() {
            None => find(callbacks, None, Features::NONE),
            Some(&arch) => {
                let sets = kop.features(arch).without_simd().subsets();
                sets.into_iter().find_map(|features| find(callbacks, Some(arch), features))
            }
        }
    })
}

fn write(directory: &Path, exported: &Export) -> Vec<PathBuf> {
    for file in &exported.files {
        std::fs::write(directory.join(&file.name), &file.text).expect("the directory is writable");
    }
    let sources = exported.files.iter().filter(|file| file.name.ends_with(".c"));
    sources.map(|file| directory.join(&file.name)).collect()
}

fn load(sources: &[PathBuf], exported: &Export) -> Vec<ModuleKop> {
    let cflags = ["-Wextra", "-Wno-unused-parameter", "-Werror"].map(str::to_owned).to_vec();
    let options = Options { cflags, contracts: exported.contracts.clone(), ..Options::default() };
    kop_modules::load(sources, &options).unwrap_or_else(|error| panic!("{error}"))
}

/// Exports, compiles, and compares everything; then checks the modules as anybody's.
fn round_trip(kop: &dyn Kop, exported: &Export) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let sources = write(directory.path(), exported);
    let modules = load(&sources, exported);
    assert_eq!(modules.len(), exported.operations.len());
    for (module, (operation, name)) in modules.iter().zip(&exported.operations) {
        assert_eq!(module.registered_name(), operation);
        assert_eq!(module.warnings(), &[] as &[String]);
        let form = kop.forms().iter().find(|form| form.name == *name).expect("an exported form");
        assert_eq!(difference(kop, form, module), None, "{operation}");
        for callbacks in module.callbacks() {
            let descriptor = callbacks.descriptor();
            let limits = kop.limits(form);
            assert_eq!(descriptor.max_insn_cnt, limits.max_insn_cnt, "{operation}");
            assert_eq!(descriptor.max_emit_bytes, limits.max_emit_bytes, "{operation}");
            let some: Vec<u64> = payloads(kop, form).into_iter().step_by(97).take(300).collect();
            for answer in callbacks.ask(Asked::Everything, Features::NONE, &some) {
                assert_eq!(answer.faults, [], "{operation}");
            }
        }
    }
    let catalog = modules.iter().fold(Catalog::empty(), |catalog, module| catalog.and(module));
    let settings = Settings { states: 2000, ..Settings::default() };
    let checked =
        kop_harness::check(&catalog, &settings, &Quiet, &|_, _, _| ()).expect("the engines are here");
    let record = checked.record(&settings, None).expect("nothing is saved");
    assert!(!record.ops.is_empty());
    for row in &record.ops {
        let messages: Vec<&String> = row.divergences.iter().map(|found| &found.message).collect();
        assert!(messages.is_empty(), "{} {} {}: {messages:?}", row.name, row.form, row.arch);
    }
}

/// Operations whose proof sequences are of so many lengths that C needs a loop.
const BY_HAND: [&str; 2] = ["bulk_copy", "bulk_fill"];

/// The catalog exported, each operation with what it became: learnt from emits once for all tests.
fn catalog() -> impl ParallelIterator<Item = (&'static dyn Kop, &'static Result<Export, String>)> {
    static CATALOG: LazyLock<Catalog> = LazyLock::new(Catalog::einsn);
    static EXPORTED: LazyLock<Vec<Result<Export, String>>> = LazyLock::new(|| {
        CATALOG.kops().par_iter().map(|kop| export(*kop).map_err(|error| error.to_string())).collect()
    });
    CATALOG.kops().par_iter().copied().zip(&*EXPORTED)
}

#[test]
fn the_catalog_comes_back_byte_for_byte() {
    catalog().for_each(|(kop, exported)| {
        let simd = |arch: Arch| kop.features(arch).uses_simd();
        match exported {
            Ok(exported) => {
                assert!(!BY_HAND.contains(&kop.name()), "{} is exported after all", kop.name());
                round_trip(kop, exported);
                for form in kop.forms() {
                    for arch in Arch::ALL {
                        let named =
                            exported.left_out.iter().any(|left| left.form == form.name && left.arch == arch);
                        assert_eq!(named, simd(arch), "{} {} {arch}", kop.name(), form.name);
                    }
                }
            }
            Err(error) if BY_HAND.contains(&kop.name()) => {
                assert!(error.contains("exported by hand"), "{error}");
            }
            Err(error) => {
                assert!(Arch::ALL.into_iter().all(simd), "{error}");
                assert!(error.contains("SIMD registers"), "{error}");
            }
        }
    });
}

/// An operation with everything that the catalog has none of: numbers that follow no rule, rules between operands, an
/// operand with the name of a C keyword, and an emit that refuses what the proof accepts.
struct Odd;

static FORMS: std::sync::LazyLock<Vec<Form>> = std::sync::LazyLock::new(|| {
    let layout = Layout::new()
        .register("int", Role::Destination)
        .register("src", Role::Source)
        .unsigned("n", 0, 20)
        .signed("step", 6);
    vec![Form::new("odd-one", "int = src + n * n % 17 + step", layout)]
});

impl Kop for Odd {
    fn name(&self) -> &str {
        "odd"
    }

    fn summary(&self) -> &str {
        "add what follows no rule"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn admits(&self, site: &Site) -> Result<(), Reject> {
        if site.reg("int") == site.reg("src") {
            return Err(Reject::operands("int must not be src"));
        }
        if site.imm("step") % 3 == 1 || (site.imm("n") > 15 && site.imm("step") < 0) {
            return Err(Reject::operands("steps are chosen"));
        }
        Ok(())
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let sum = site.imm("n") * site.imm("n") % 17 + site.imm("step");
        state.set(site.reg("int"), state.get(site.reg("src")).wrapping_add_signed(sum));
        Some(Ok(()))
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let (dst, square) = (site.reg("int"), site.imm("n") * site.imm("n") % 17);
        let mut proof = vec![Insn::mov64(dst, site.reg("src")), Insn::alu64(AluOp::Add, dst, square as i32)];
        if site.imm("step") != 0 {
            proof.push(Insn::alu64(AluOp::Add, dst, site.imm("step") as i32));
        }
        Ok(proof)
    }

    fn x86_64(&self, site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        let sum = (site.imm("n") * site.imm("n") % 17) as i32;
        a.mov(Size::B8, site.gpr("int"), site.gpr("src"));
        a.add(Size::B8, site.gpr("int"), sum);
        a.add(Size::B8, site.gpr("int"), site.imm("step") as i32);
        Ok(())
    }

    fn aarch64(&self, site: &Site, a: &mut aarch64::Assembler) -> Result<(), Reject> {
        let (dst, step) = (site.x("int"), site.imm("step"));
        a.add_imm(W::X, dst, site.x("src"), (site.imm("n") * site.imm("n") % 17) as u32);
        if step < 0 {
            a.sub_imm(W::X, dst, dst, step.unsigned_abs() as u32);
        } else {
            a.add_imm(W::X, dst, dst, step as u32);
        }
        Ok(())
    }

    fn limits(&self, _form: &Form) -> Limits {
        Limits { max_insn_cnt: 3, max_emit_bytes: 12 }
    }
}

#[test]
fn an_operation_like_no_other_comes_back_too() {
    let exported = export(&Odd).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(exported.operations, [("bpf_odd_odd_one".to_owned(), "odd-one".to_owned())]);
    round_trip(&Odd, &exported);
}

#[test]
fn a_changed_line_is_a_difference() {
    let catalog = Catalog::einsn();
    let kop = catalog.get("rotate").expect("in the catalog");
    let exported = export(kop).expect("it has general-register forms");
    let faults = [
        ("rotate_x86.c", "BITS(64 - amount, 8)", "BITS(63 - amount, 8)"),
        ("rotate_arm64.c", "RN(src)", "RN(dst)"),
        ("rotate.h", "BPF_ALU64_IMM(BPF_LSH, dst, amount)", "BPF_ALU64_IMM(BPF_RSH, dst, amount)"),
        ("rotate.h", "op->tmp == op->src", "op->tmp == 11"),
    ];
    for (name, right, wrong) in faults {
        let mut changed = exported.clone();
        let file = changed.files.iter_mut().find(|file| file.name == name).expect("a file of the export");
        assert!(file.text.contains(right), "{right} is not in {name}");
        file.text = file.text.replacen(right, wrong, 1);
        let directory = tempfile::tempdir().expect("a temporary directory");
        let modules = load(&write(directory.path(), &changed), &changed);
        assert!(difference(kop, &kop.forms()[0], &modules[0]).is_some(), "{wrong}");
    }
}

#[test]
fn clang_has_nothing_to_say_either() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let headers = directory.path().join("include");
    kop_modules::headers::write_to(&headers).expect("the directory is writable");
    let Some(clang) =
        ["clang", "clang-14"].into_iter().find(|name| Command::new(name).arg("--version").output().is_ok())
    else {
        eprintln!("skipped: there is no clang");
        return;
    };
    catalog().filter_map(|(_, exported)| exported.as_ref().ok()).for_each(|exported| {
        for source in write(directory.path(), exported) {
            for config in ["-DCONFIG_X86_64=1", "-DCONFIG_ARM64=1"] {
                let mut command = Command::new(clang);
                command.args([
                    "-std=gnu11",
                    "-O2",
                    "-Wall",
                    "-Wextra",
                    "-Wno-unused-parameter",
                    "-Werror",
                    "-nostdinc",
                ]);
                command.args([
                    "-funsigned-char",
                    "-D__KERNEL__",
                    "-DMODULE",
                    "-include",
                    "linux/kconfig.h",
                    config,
                ]);
                command.arg("-isystem").arg(&headers).args(["-fsyntax-only", "-x", "c"]).arg(&source);
                let output = command.output().expect("clang starts");
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{}: {said}", source.display());
            }
        }
    });
}

fn kop(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kop")).args(args).output().expect("kop runs")
}

#[test]
fn the_command_says_what_it_wrote_and_overwrites_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let target = directory.path().join("new").join("popcount");
    let shown = target.to_str().expect("text");
    let first = kop(&["export", "popcount", "--kernel-module", shown]);
    let text = String::from_utf8_lossy(&first.stdout).into_owned();
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    for name in ["popcount.h", "popcount_x86.c", "popcount_arm64.c", "Makefile"] {
        assert!(target.join(name).is_file() && text.contains(name), "{text}");
    }
    assert!(text.contains("left out  form pop64, aarch64: ") && text.contains("--contract"), "{text}");
    let again = kop(&["export", "popcount", "--kernel-module", shown]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("--force"), "{again:?}");
    assert_eq!(kop(&["export", "popcount", "--kernel-module", shown, "--force"]).status.code(), Some(0));
    let file = target.join("Makefile");
    let refused: [&[&str]; 4] = [
        &["export", "clmul", "--kernel-module", shown, "--force"],
        &["export", "nothing", "--kernel-module", shown],
        &["export", "popcount", "--kernel-module", file.to_str().expect("text")],
        &["export", "popcount"],
    ];
    for args in refused {
        let output = kop(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{output:?}");
    }
}
