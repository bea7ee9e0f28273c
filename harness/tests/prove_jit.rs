// SPDX-License-Identifier: GPL-2.0-or-later
//! Tests of the proofs about the JIT: what it compiles is proved, and mistakes planted in it are refuted.

use std::collections::HashSet;
use std::time::Duration;

use kop_harness::check::Quiet;
use kop_harness::prove::jit::{FailureKind, Proved, Settings, form_names, prove, record};
use kop_harness::reports::ProofVerdict;
use kop_jit::Planted;
use kop_ops::Arch;

fn settings(archs: Vec<Arch>, planted: Option<Planted>) -> Settings {
    Settings { archs, limit: Duration::from_secs(60), jobs: 1, planted }
}

fn proved(settings: &Settings, forms: &[&str]) -> Vec<Proved> {
    let proved = prove(settings, |name| forms.contains(&name), &Quiet).expect("threads start");
    assert_eq!(proved.len(), forms.len() * settings.archs.len(), "{forms:?}");
    proved
}

/// Forms of each kind: operations, shifts by the registers that x86-64 shifts by, divisions, conversions, jumps, accesses, atomic ones,
/// and pairs.
const SOME: [&str; 25] = [
    "add64_reg",
    "and64_imm",
    "mul32_imm",
    "lsh64_reg",
    "arsh32_imm",
    "div32_reg",
    "smod32_imm",
    "movsx16_64",
    "neg32",
    "to_be16",
    "ld_imm64",
    "jsgt32_reg",
    "jset64_imm",
    "ja",
    "load32",
    "loads16",
    "store64_imm",
    "fetch_xor32",
    "cmpxchg64",
    "lsh64+alu",
    "load16+swap",
    "sum32",
    "sum64+access",
    "jump+ja",
    "call_helper",
];

#[test]
fn forms_of_each_kind_are_proved() {
    let settings = settings(Arch::ALL.to_vec(), None);
    let proved = proved(&settings, &SOME);
    for row in &proved {
        assert!(row.holds(), "{} {}: {:?}", row.form, row.arch, row.failure);
        let is_listed = row.form == "call_helper";
        assert_eq!(row.listed.is_some(), is_listed, "{}", row.form);
        assert_eq!((row.insns, row.claims) == (0, 0), is_listed, "{} {}", row.form, row.arch);
        assert!(!row.whole || row.insns == row.insns_total, "{} {}: {}", row.form, row.arch, row.insns);
    }
    let record = record(&proved, &settings, Duration::ZERO);
    let verdict = |form: &str| {
        let row = record.ops.iter().find(|row| row.form == form).expect("it was asked for");
        row.proof.as_ref().expect("it has one").verdict
    };
    assert_eq!(verdict("add64_reg"), ProofVerdict::Proved);
    assert_eq!(verdict("arsh32_imm"), ProofVerdict::Proved);
    assert_eq!(verdict("and64_imm"), ProofVerdict::Partial);
    assert_eq!(verdict("jsgt32_reg"), ProofVerdict::Partial);
    assert_eq!(verdict("call_helper"), ProofVerdict::Unsupported);
}

#[test]
fn names_of_forms_are_distinct() {
    let names = form_names();
    let distinct: HashSet<&String> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
}

/// The form in which a mistake shows, which both back ends make.
fn shown_in(planted: Planted) -> Option<&'static str> {
    Some(match planted {
        Planted::ShortBranchRange => "jeq64_imm",
        Planted::ImmediateZeroExtended => "mov64_imm",
        Planted::WideImmediateTruncated => "ld_imm64",
        Planted::ShiftNotMasked => "lsh64_imm",
        Planted::MissingZeroExtension => "mov32_reg",
        Planted::ShiftByZeroKeepsUpper => "rsh32_imm",
        Planted::ArithmeticShiftNarrow => "arsh64_reg",
        Planted::ShiftAmountRegister => "lsh64_reg",
        Planted::CompareWidth => "jeq32_reg",
        Planted::CompareSign => "jsgt64_reg",
        Planted::TestAsCompare => "jset64_reg",
        Planted::DivideByZero => "div64_reg",
        Planted::RemainderByZero => "mod64_reg",
        Planted::DivideByMinusOne => "sdiv64_imm",
        Planted::SignedDivision => "sdiv32_reg",
        Planted::DivisionClobbers => "mod32_reg",
        Planted::SignedLoad => "loads8",
        Planted::SignedMove => "movsx8_64",
        Planted::OffsetSign => "load64",
        Planted::FrameBase => "store32_reg",
        Planted::StoreImmediate => "store64_imm",
        Planted::CmpxchgUpper => "cmpxchg32",
        Planted::CmpxchgResult => "cmpxchg64",
        Planted::FetchResult => "fetch_add64",
        Planted::SwapUpper => "to_be16",
        Planted::FusedTarget => "lsh64+alu",
        Planted::JumpOver => "jump+ja",
        Planted::SumDropped => "sum64+access",
        // These are about functions and their frames, which no instruction is by itself.
        Planted::CalleeSaved | Planted::CalleeFrame => return None,
    })
}

#[test]
fn a_mistake_elsewhere_is_no_matter() {
    let settings = settings(Arch::ALL.to_vec(), Some(Planted::SwapUpper));
    for row in proved(&settings, &["cmpxchg32", "add64_reg", "jslt64_reg"]) {
        assert!(row.holds(), "{} {}: {:?}", row.form, row.arch, row.failure);
    }
}

#[test]
fn planted_mistakes_are_refuted() {
    let mut out_of_scope = Vec::new();
    let mut missed = Vec::new();
    for &planted in Planted::ALL {
        let Some(form) = shown_in(planted) else {
            out_of_scope.push(planted);
            continue;
        };
        for arch in Arch::ALL {
            let settings = settings(vec![arch], Some(planted));
            let row = proved(&settings, &[form]).remove(0);
            let is_refuted =
                row.failure.as_ref().is_some_and(|failure| matches!(failure.kind, FailureKind::Refuted(_)));
            if !is_refuted {
                missed.push(format!("{} {form} {arch}: {:?}", planted.name(), row.failure));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    assert_eq!(out_of_scope, [Planted::CalleeSaved, Planted::CalleeFrame]);
}
