// SPDX-License-Identifier: GPL-2.0-or-later
//! A mistake in one payload of many is found among all of them.

use kop_ops::aarch64 as a64;
use kop_ops::ebpf::{Insn, Reg};
use kop_ops::kop::Limits;
use kop_ops::kops::rotate::Rotate;
use kop_ops::{Arch, Contract, Fault, Features, Form, Kop, Reject, Site, State, x86_64};
use kop_prover::statement::Options;
use kop_prover::sweep::{Claims, FailureKind, Row, Tally, Uninspected};
use rayon::prelude::*;

/// A rotation that turns by 38 where it should by 37, in r5 alone; on AArch64 the proof sequence of one payload is refused.
struct Faulty;

fn is_wrong(site: &Site) -> bool {
    site.form.name == "imm64" && site.reg("dst") == Reg::R5 && site.imm("amount") == 37
}

impl Kop for Faulty {
    fn name(&self) -> &str {
        "faulty"
    }

    fn summary(&self) -> &str {
        Rotate.summary()
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        Rotate.forms()
    }

    fn admits(&self, site: &Site) -> Result<(), Reject> {
        Rotate.admits(site)
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        Rotate.model(site, state)
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        Rotate.proof(site)
    }

    fn x86_64(&self, site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        Rotate.x86_64(site, a)?;
        if is_wrong(site) {
            a.rol(x86_64::Size::B8, site.gpr("dst"), 1);
        }
        Ok(())
    }

    fn aarch64(&self, site: &Site, a: &mut a64::Assembler) -> Result<(), Reject> {
        if is_wrong(site) {
            return Err(Reject::operands("by no means"));
        }
        Rotate.aarch64(site, a)
    }

    fn features(&self, arch: Arch) -> Features {
        Rotate.features(arch)
    }

    fn limits(&self, form: &Form) -> Limits {
        Rotate.limits(form)
    }

    fn contract(&self, site: &Site) -> Contract {
        Rotate.contract(site)
    }
}

fn prove(arch: Arch) -> Tally {
    let form = &Faulty.forms()[0];
    Claims::new(Options::default()).prove_all(Row { kop: &Faulty, form, arch })
}

#[test]
fn a_wrong_amount_in_one_register_is_found_among_all_payloads() {
    let tally = prove(Arch::X86_64);
    assert!(!tally.is_proved());
    // Nine other sources with eight temporaries each, and nine temporaries where the source is r5, too.
    assert_eq!(tally.payloads_total - tally.payloads, 9 * 8 + 9);
    let failure = tally.failure.expect("there is a mistake");
    let site = Site::decode(&Faulty.forms()[0], failure.payload, failure.features).expect("it is admitted");
    assert!(is_wrong(&site));
    let FailureKind::Refuted(found) = failure.kind else { panic!("{:?}", failure.kind) };
    let source = found.register(site.reg("src"));
    assert_eq!((found.proof, found.native), (source.rotate_left(37), source.rotate_left(38)));
    assert_eq!(found.what, "r5 differs");
}

#[test]
fn a_payload_that_the_emit_refuses_is_no_proof() {
    let tally = prove(Arch::Aarch64);
    assert_eq!(tally.payloads_total - tally.payloads, 9 * 8 + 9);
    let failure = tally.failure.expect("there is a mistake");
    let FailureKind::Callbacks(text) = failure.kind else { panic!("{:?}", failure.kind) };
    assert_eq!(text, "the proof sequence accepts the payload, the emit refuses it: by no means");
}

/// A rotation by instructions that no feature changes, which declares its temporary dead where the CPU has BMI2 alone.
struct Forgetful;

impl Kop for Forgetful {
    fn name(&self) -> &str {
        "forgetful"
    }

    fn summary(&self) -> &str {
        Rotate.summary()
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        Rotate.forms()
    }

    fn admits(&self, site: &Site) -> Result<(), Reject> {
        Rotate.admits(site)
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        Rotate.model(site, state)
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        Rotate.proof(site)
    }

    fn x86_64(&self, site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        Rotate.x86_64(&Site { features: Features::NONE, ..*site }, a)
    }

    fn features(&self, arch: Arch) -> Features {
        Rotate.features(arch)
    }

    fn limits(&self, form: &Form) -> Limits {
        Rotate.limits(form)
    }

    fn contract(&self, site: &Site) -> Contract {
        if site.features == Features::NONE { Contract::default() } else { Rotate.contract(site) }
    }
}

#[test]
fn the_same_code_under_another_contract_is_another_claim() {
    let (kop, form, arch) = (&Forgetful, &Forgetful.forms()[0], Arch::X86_64);
    let tally = Claims::new(Options::default()).prove_all(Row { kop, form, arch });
    assert!(tally.payloads_total > 0 && tally.payloads == 0, "{tally:?}");
    let failure = tally.failure.expect("nothing declares the temporary dead");
    assert_eq!(failure.features, Features::NONE);
    assert!(matches!(failure.kind, FailureKind::Refuted(_)), "{:?}", failure.kind);
    // With BMI2 it does.
    let layout = &form.layout;
    let payloads = (0..layout.combinations()).into_par_iter();
    let payloads = payloads.filter_map(|number| layout.encode(&layout.combination(number)).ok());
    let all = [kop.features(arch)];
    let claims = Claims::new(Options::default());
    let proved = claims.prove_payloads(Row { kop, form, arch }, &all, &Uninspected, payloads);
    assert!(proved.is_proved());
}
