// SPDX-License-Identifier: GPL-2.0-or-later
//! A certificate is checked again by somebody else's checker: `rate` (MIT), from crates.io. It reads DRAT, which is LRAT without the
//! hints, and finds them itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use kop_ops::ebpf::{Reg, RegSet};
use kop_ops::kop::{EmitRequest, Pass};
use kop_ops::{Arch, Catalog, Features, Vectors};
use kop_prover::aig::{Blaster, Wire};
use kop_prover::certificate;
use kop_prover::sat::{Answer, Refutation, decide};
use kop_prover::statement::{Grants, Options, Prover, Statement, Verdict};
use kop_prover::term::Terms;
use kop_semantics::Domain;

/// The checker: the one on the path, or one that is built once into the target folder.
fn rate() -> PathBuf {
    static RATE: LazyLock<PathBuf> = LazyLock::new(find_rate);
    RATE.clone()
}

fn find_rate() -> PathBuf {
    let works = |path: &Path| Command::new(path).arg("--version").output().is_ok();
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("checkers");
    let built = root.join("bin/rate");
    if works(Path::new("rate")) {
        return "rate".into();
    }
    if !works(&built) {
        let mut cargo = Command::new(env!("CARGO"));
        // Built without optimisation, since these proofs are short.
        cargo.args(["install", "rate", "--version", "=0.3.0", "--debug", "--quiet", "--root"]).arg(&root);
        let status =
            cargo.env_remove("RUSTFLAGS").env("CARGO_PROFILE_DEV_DEBUG", "0").status().expect("cargo runs");
        assert!(status.success(), "rate is installed from crates.io");
    }
    built
}

/// That a * b is -(!a * b + b) at eight bits.
fn refutation() -> Refutation {
    let mut terms = Terms::new();
    let mut blaster = Blaster::new();
    let (a, b) = (terms.variable("a", 8), terms.variable("b", 8));
    let (product, other) = (terms.mul(8, a, b), {
        let not = terms.not(8, a);
        let negative = terms.mul(8, not, b);
        let sum = terms.add(8, negative, b);
        terms.neg(8, sum)
    });
    let (x, y) = (blaster.bits(&terms, product), blaster.bits(&terms, other));
    let same: Vec<Wire> = x.iter().zip(&y).map(|(x, y)| !blaster.aig.xor(*x, *y)).collect();
    let equal = blaster.aig.all(&same);
    match decide(&blaster.aig, !equal, Duration::from_secs(60)) {
        Ok(Answer::Never(refutation)) => *refutation,
        other => panic!("{other:?}"),
    }
}

/// The claim that the leading zeros of r1 are counted by CLZ as by a binary search.
fn count_zeros() -> Refutation {
    let kop = Catalog::einsn().get("count_zeros").expect("it is in the catalog");
    let form = &kop.forms()[0];
    let operands =
        form.layout.parse([("dst", "r0"), ("src", "r1"), ("tmp", "r2")]).expect("they are its operands");
    let payload = form.layout.encode(&operands).expect("they go together");
    let proof = kop.instantiate(form, payload).expect("it is admitted");
    let (arch, features) = (Arch::Aarch64, Features::NONE);
    let request = EmitRequest { arch, features, payload, pass: Pass::Write, address: 0 };
    let code = kop.emit(form, &request).expect("it is admitted").bytes;
    let dead = RegSet::of(&[Reg::R2]);
    let statement = Statement {
        proof: &proof,
        code: &code,
        arch,
        dead,
        vectors: Vectors::default(),
        grants: Grants::default(),
    };
    let mut prover = Prover::new(Options { keep: true, ..Options::default() });
    match prover.prove(&statement) {
        Verdict::Proved(mut evidence) => evidence.refutations.pop().expect("the solver decided it"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_certificate_of_an_operation_is_accepted_by_a_public_checker() {
    let refutation = count_zeros();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("certificate-operation");
    certificate::write(&folder, "count_zeros", &[], &[], &[&refutation]).expect("the folder is ours");
    let proof = folder.join("count_zeros.drat");
    std::fs::write(&proof, refutation.proof.to_drat(&refutation.formula.clauses))
        .expect("the folder is ours");
    let output = Command::new(rate()).arg(folder.join("count_zeros-0.cnf")).arg(&proof).output();
    let output = String::from_utf8_lossy(&output.expect("the checker runs").stdout).into_owned();
    assert!(output.contains("s VERIFIED"), "{output}");
}

#[test]
fn a_public_checker_accepts_a_certificate_and_rejects_a_bare_claim() {
    let refutation = refutation();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("certificate");
    let facts = [("operation", "an example".to_owned())];
    certificate::write(&folder, "example", &facts, &[], &[&refutation]).expect("the folder is ours");
    let manifest = std::fs::read_to_string(folder.join("example.txt")).expect("it was written");
    assert!(manifest.contains("formula: example-0.cnf is unsatisfiable by example-0.lrat"), "{manifest}");

    let proof = refutation.proof.to_drat(&refutation.formula.clauses);
    assert!(proof.lines().count() > 20, "there is something to check");
    let verdict = |name: &str, proof: &str| {
        let path = folder.join(name);
        std::fs::write(&path, proof).expect("the folder is ours");
        let output = Command::new(rate()).arg(folder.join("example-0.cnf")).arg(&path).output();
        let output = output.expect("the checker runs");
        String::from_utf8_lossy(&output.stdout).contains("s VERIFIED")
    };
    assert!(verdict("example.drat", &proof));
    assert!(!verdict("claimed.drat", "0\n"), "a claim without a proof");
}
