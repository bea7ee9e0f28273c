// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop repro`

use std::fmt::Write;
use std::path::{Path, PathBuf};

use kop_emulators::engine::{Observation, Probe, Program};
use kop_emulators::engines;
use kop_harness::emit::Reproducer;
use kop_harness::program::text;
use kop_harness::subject::{Subject, prepare};
use kop_harness::{Case, Finding, Rig, Scope, case, describe, replay, reports, selection};
use kop_ops::{Arch, Catalog, Features, Form, Kop};
use reports::{Row, Side};

use super::program_file::A_CASE;
use super::sources::Sources;
use super::{Failure, Outcome, print_all, style};

/// Run one case on every engine: a divergence is minimised and shown from both sides
///
/// A divergence comes with the first difference, both sides beside each other, the side to blame and both listings. Of a
/// case that holds it is shown what each engine makes of it.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  kop repro corpus/regressions/rotate/dst-is-rcx.kop\n  \
                        kop repro finding.kop --engines rbpf,unicorn-x86_64\n  \
                        kop repro finding.kop --emit c > finding.c && cc finding.c && ./a.out\n  \
                        kop repro finding.kop --module rotate_x86.c")]
pub struct Args {
    /// The case, such as `kop check --save` and `kop fuzz-case` write
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print a runnable reproducer instead: a test for a Rust crate, or a C program that depends on nothing
    #[arg(long, value_name = "KIND")]
    emit: Option<Emit>,
    /// The engines that take part, separated by commas; all that are here by default (see `kop engines`)
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    engines: Vec<String>,
    #[command(flatten)]
    sources: Sources,
}

/// The kinds of reproducers.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Emit {
    RustTest,
    C,
}

pub fn run(args: &Args) -> Result<Outcome, Failure> {
    let loaded = args.sources.load()?;
    let catalog = loaded.everything();
    if args.file.extension().is_some_and(|extension| extension == text::EXTENSION) {
        return Err(Failure::path(&args.file, A_CASE));
    }
    let case = case::load(&args.file, &catalog).map_err(|error| Failure::path(&args.file, error))?;
    if let Some(kind) = args.emit {
        return print_all(reproducer(&catalog, &case, kind)?.as_bytes());
    }
    let engines = if args.engines.is_empty() {
        selection::available().0
    } else {
        selection::by_names(args.engines.iter().map(String::as_str))?
    };
    let mut rig = Rig::new(&engines).map_err(Failure::environment)?;
    let (text, outcome) = report(&mut rig, &catalog, &case, &args.file)?;
    print_all(text.as_bytes())?;
    Ok(outcome)
}

/// What the engines say of a case, and whether it holds.
fn report(rig: &mut Rig, catalog: &Catalog, case: &Case, file: &Path) -> Result<(String, Outcome), Failure> {
    let findings = replay(rig, catalog, case)?.findings;
    let (kop, form) = used(catalog, case)?;
    if findings.is_empty() {
        return Ok((holds(rig, kop, form, case), Outcome::Equivalent));
    }
    let blocks: Result<Vec<String>, Failure> = distinct(&findings)
        .into_iter()
        .map(|finding| diverges(rig, kop, form, case, finding, file))
        .collect();
    Ok((blocks?.join("\n"), Outcome::Divergent))
}

fn used<'k>(catalog: &Catalog<'k>, case: &Case) -> Result<(&'k dyn Kop, &'k Form), Failure> {
    let kop = catalog.get(&case.kop)?;
    let form = kop.forms().iter().find(|form| form.name == case.form.name);
    Ok((kop, form.expect("a case was parsed with a form of the catalog")))
}

/// The architectures that the case is about.
fn scope(case: &Case) -> Scope {
    let mut scope = Scope::default();
    scope.archs.retain(|&arch| case.is_about(arch));
    scope
}

/// The payload ready to run, with the native code that the case is about.
fn subject<'k>(kop: &'k dyn Kop, form: &'k Form, case: &Case) -> Option<Subject<'k>> {
    let mut subject = prepare(kop, form, case.payload, &scope(case)).subject?;
    if let Some(features) = case.features
        && let Some(wanted) = subject.variants.iter().position(|variant| variant.features == features)
    {
        subject.variants = vec![subject.variants.swap_remove(wanted)];
    }
    Some(subject)
}

/// The findings, equal causes once.
fn distinct(findings: &[Finding]) -> Vec<&Finding> {
    let mut seen: Vec<String> = Vec::new();
    findings
        .iter()
        .filter(|finding| {
            let new = !seen.contains(&finding.cause());
            seen.push(finding.cause());
            new
        })
        .collect()
}

fn diverges(
    rig: &mut Rig,
    kop: &dyn Kop,
    form: &Form,
    case: &Case,
    finding: &Finding,
    file: &Path,
) -> Result<String, Failure> {
    let arch = finding.arch.or(case.arch).unwrap_or(Arch::X86_64);
    let mut found = describe::divergence(rig, kop, form, finding, 0, arch, &scope(case), None)
        .map_err(Failure::environment)?;
    found.case = Some(file.display().to_string());
    found.reproduce = Some(format!("kop repro {}{} --emit c", file.display(), describe::arguments(kop)));
    Ok(reports::divergence(&found, &Row::of_case(&case.kop, &case.form.name, arch.name()), style()))
}

/// The case, what each engine makes of it, and the verdict.
fn holds(rig: &mut Rig, kop: &dyn Kop, form: &Form, case: &Case) -> String {
    let mut text = format!("{case}\n");
    let Some(subject) = subject(kop, form, case) else {
        let reject = kop.instantiate(form, case.payload).err().map_or_else(String::new, |e| e.to_string());
        let _ = writeln!(text, "proof and native code both refuse the payload: {reject}");
        let _ = writeln!(text, "holds: {}", case.title());
        return text;
    };
    let accounts = accounts(rig, &subject, case);
    let engine = accounts.iter().map(|account| account.side.engine.len()).max().unwrap_or(0);
    let code = accounts.iter().map(|account| account.code.len()).max().unwrap_or(0);
    for Account { side, code: own } in &accounts {
        let line = format!("{:engine$}  {own:code$}  {}", side.engine, effects(side).join(", "));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    for (arch, features) in &subject.absent {
        let _ = writeln!(text, "no {arch} code for a CPU with features {features}: the proof is compiled");
    }
    if !subject.dead.is_empty() {
        let _ = writeln!(text, "not compared, as the contract says that it is dead: {}", subject.dead);
    }
    let native = accounts.iter().any(|account| account.code != NO_CODE);
    let verdict = if native { "holds" } else { "holds as far as it was run, which no native code was" };
    let _ = writeln!(text, "{verdict}: {}", case.title());
    text
}

/// One engine's account and the code that it ran.
struct Account {
    side: Side,
    code: String,
}

/// What stands in the place of a code for an engine that runs the proof or the model.
const NO_CODE: &str = "";

fn accounts(rig: &mut Rig, subject: &Subject, case: &Case) -> Vec<Account> {
    let alone = |variants| Subject { variants, ..subject.clone() };
    let references = rig.observe(&alone(Vec::new()), &case.state, case.garbage);
    let skipped = references.len();
    let mut accounts: Vec<Account> =
        references.into_iter().map(|side| Account { side, code: NO_CODE.to_owned() }).collect();
    for variant in &subject.variants {
        let code = format!("features {}", variant.features);
        let sides = rig.observe(&alone(vec![variant.clone()]), &case.state, case.garbage);
        accounts.extend(sides.into_iter().skip(skipped).map(|side| Account { side, code: code.clone() }));
    }
    accounts
}

/// What an engine did: the registers and bytes that changed, its fault.
fn effects(side: &Side) -> Vec<String> {
    if let Some(fault) = &side.fault {
        return vec![fault.clone()];
    }
    let registers = side.registers.iter().filter(|pair| pair.before != pair.after);
    let mut effects: Vec<String> =
        registers.map(|pair| format!("{} {} -> {}", pair.name, pair.before, pair.after)).collect();
    effects.extend(side.memory.iter().map(|(place, before, after)| format!("{place} {before} -> {after}")));
    if effects.is_empty() {
        effects.push("changes nothing".to_owned());
    }
    effects
}

fn reproducer(catalog: &Catalog, case: &Case, kind: Emit) -> Result<String, Failure> {
    let (kop, form) = used(catalog, case)?;
    let subject = subject(kop, form, case);
    let after = subject.as_ref().map(|subject| after_proof(subject, case));
    let reproducer = Reproducer {
        case,
        code: subject.as_ref().map_or(&[], |subject| &subject.variants),
        proof: subject.as_ref().map_or(&[], |subject| &subject.proof),
        dead: subject.as_ref().map_or_else(Default::default, |subject| subject.dead),
        expected: after.as_ref().map_or(&case.state, |after| &after.0),
        fault: after.as_ref().and_then(|after| after.1),
    };
    Ok(match kind {
        Emit::RustTest => reproducer.rust_test(),
        Emit::C => reproducer.c(),
    })
}

/// The state after the proof sequence and the fault that ended it, by rbpf, or by the model where rbpf does not run it.
fn after_proof(subject: &Subject, case: &Case) -> (kop_ops::State, Option<kop_ops::Fault>) {
    let program = Program::Proof(&subject.proof);
    let rbpf = engines::find("rbpf").and_then(|kind| kind.make().ok());
    if let Some(mut rbpf) = rbpf.filter(|rbpf| rbpf.admits(&program).is_ok()) {
        let Observation { state, fault, .. } =
            rbpf.probe(&Probe { program, state: &case.state, garbage: case.garbage });
        return (state, fault);
    }
    let mut state = case.state.clone();
    let fault = subject.kop.model(&subject.site(Features::NONE), &mut state).and_then(Result::err);
    (state, fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kop_harness::ops::{Fault, Reject, Site, State, aarch64, ebpf, x86_64};

    /// A copy of 64 bits whose x86-64 emit copies 32.
    struct Narrow(Vec<Form>);

    impl Kop for Narrow {
        fn name(&self) -> &str {
            "narrow"
        }

        fn summary(&self) -> &str {
            "copy a register"
        }

        fn source(&self) -> &str {
            file!()
        }

        fn forms(&self) -> &[Form] {
            &self.0
        }

        fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
            let value = state.get(site.reg("src"));
            state.set(site.reg("dst"), value);
            Some(Ok(()))
        }

        fn proof(&self, site: &Site) -> Result<Vec<ebpf::Insn>, Reject> {
            Ok(vec![ebpf::Insn::mov64(site.reg("dst"), site.reg("src"))])
        }

        fn x86_64(&self, site: &Site, asm: &mut x86_64::Assembler) -> Result<(), Reject> {
            asm.mov(x86_64::Size::B4, site.gpr("dst"), site.gpr("src"));
            Ok(())
        }

        fn aarch64(&self, site: &Site, asm: &mut aarch64::Assembler) -> Result<(), Reject> {
            asm.mov(aarch64::Width::X, site.x("dst"), site.x("src"));
            Ok(())
        }
    }

    fn report_of(text: &str) -> (String, Outcome) {
        use kop_harness::ops::{Layout, Role};
        let layout = Layout::new().register("dst", Role::Destination).register("src", Role::Source);
        let narrow = Narrow(vec![Form::new("reg64", "dst = src", layout)]);
        let catalog = Catalog::with(&narrow);
        let case = Case::parse(text, &catalog).expect("a case");
        let mut rig = Rig::new(&selection::available().0).expect("the engines start");
        report(&mut rig, &catalog, &case, Path::new("narrow.kop")).expect("the catalog has it")
    }

    #[test]
    fn a_divergence_is_minimised_and_shown_from_both_sides() {
        let text = "# upper half lost\nkop-case 1\noperation narrow\nform reg64\noperand dst r3\noperand src r1\n\
                    garbage 7\nr1 = 0x123456789abcdef0\nr6 = 99\nwindow: 01 02\n";
        let (text, outcome) = report_of(text);
        assert_eq!(outcome, Outcome::Divergent);
        for expected in [
            "register divergence: narrow reg64 x86_64, unicorn-x86_64 against rbpf\n",
            "  case       narrow.kop\n",
            "  differs    r1: expected 0x100000000, found 0x0\n",
            "  > r1  0x0     0x100000000       0x0 ",
            "      0  r1 = r0       0  89 c7  mov edi, eax\n",
            "  blame      emit: rbpf and model agree against it\n",
            "operand dst r1\n    operand src r0\n    r0 = 0x100000000\n",
            "  reproduce  kop repro narrow.kop --emit c\n",
        ] {
            assert!(text.contains(expected), "{expected:?} is missing from\n{text}");
        }
        assert!(
            !text.contains("r6") && !text.contains("garbage") && !text.contains("window:"),
            "not minimised:\n{text}"
        );
    }

    #[test]
    fn a_case_that_holds_shows_what_each_engine_says() {
        let (text, outcome) = report_of(
            "kop-case 1\noperation narrow\nform reg64\narch aarch64\noperand dst r3\noperand src r1\nr1 = -1\n",
        );
        assert_eq!(outcome, Outcome::Equivalent);
        for engine in ["rbpf", "unicorn-aarch64", "semantics-aarch64"] {
            let line = text.lines().find(|line| line.split_whitespace().next() == Some(engine));
            assert!(
                line.is_some_and(|line| line.ends_with("r3 0x0 -> 0xffffffffffffffff")),
                "{engine}:\n{text}"
            );
        }
        assert!(text.ends_with("holds: narrow reg64 dst=r3 src=r1\n"), "{text}");
        assert!(!text.contains("x86_64 "), "{text}");
    }

    #[test]
    fn a_payload_that_both_sides_refuse_holds() {
        let (text, outcome) = report_of("kop-case 1\noperation narrow\nform reg64\npayload 0xfff\n");
        assert_eq!(outcome, Outcome::Equivalent);
        assert!(text.contains("both refuse the payload: payload 0xfff sets unused bits 0xf00\n"), "{text}");
    }
}
