// SPDX-License-Identifier: GPL-2.0-or-later
//! The x86-64 encoder against assemblers that are not ours: every form, every register, every boundary value.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kop_modules::assembler::{Keystone, gnu};
use kop_ops::Arch;
use kop_ops::choices::Seeded;
use kop_ops::x86_64::Insn;
use kop_ops::x86_64::forms::{self, Reference};

/// Instructions per call of Keystone.
const BATCH: usize = 256;

fn encode(insn: &Insn) -> Vec<u8> {
    insn.encode().unwrap_or_else(|error| panic!("{insn}: {error}")).to_vec()
}

fn keystone() -> Keystone {
    Keystone::new(Arch::X86_64).expect("Keystone knows x86-64")
}

/// Panics with the first instructions of `insns` for which Keystone has other bytes than we.
fn judge_by_keystone(keystone: &Keystone, insns: &[Insn]) {
    let differs = |insn: &&Insn| keystone.assemble(&insn.to_string()) != Ok(encode(insn));
    for batch in insns.chunks(BATCH) {
        let texts: Vec<String> = batch.iter().map(Insn::to_string).collect();
        if keystone.assemble_all(&texts) != Ok(batch.iter().flat_map(encode).collect()) {
            let wrong: Vec<String> =
                batch.iter().filter(differs).map(|insn| difference(keystone, insn)).collect();
            panic!("{} instructions differ from Keystone:\n{}", wrong.len(), wrong.join("\n"));
        }
    }
}

fn difference(keystone: &Keystone, insn: &Insn) -> String {
    let theirs = keystone.assemble(&insn.to_string());
    format!("{insn}: ours {:02x?}, Keystone's {theirs:02x?}", encode(insn))
}

/// Panics with the first instructions of `insns` for which GNU as has other bytes than we.
fn judge_by_gnu_as(insns: &[Insn]) {
    let texts: Vec<String> = insns.iter().map(Insn::to_string).collect();
    let codes = gnu::assemble_all(Arch::X86_64, &texts).unwrap_or_else(|error| panic!("{error}"));
    let wrong: Vec<String> = (insns.iter().zip(codes))
        .filter(|(insn, code)| encode(insn) != *code)
        .map(|(insn, code)| format!("{insn}: ours {:02x?}, GNU as's {code:02x?}", encode(insn)))
        .take(BATCH)
        .collect();
    assert!(wrong.is_empty(), "instructions differ from GNU as:\n{}", wrong.join("\n"));
}

fn judged_by(reference: Reference, insns: impl IntoIterator<Item = Insn>) -> Vec<Insn> {
    insns.into_iter().filter(|insn| forms::reference(insn) == reference).collect()
}

#[test]
fn every_sample_is_as_keystone_assembles_it() {
    judge_by_keystone(&keystone(), &judged_by(Reference::Keystone, forms::samples()));
}

#[test]
fn every_sample_is_as_gnu_as_assembles_it() {
    let samples = forms::samples().into_iter().filter(|insn| {
        // GNU as optimises `xchg rax, rax` to `nop`.
        insn.to_string() != "xchg rax, rax"
    });
    judge_by_gnu_as(&samples.collect::<Vec<_>>());
}

#[test]
fn keystone_has_a_fault_wherever_gnu_as_is_the_reference() {
    let keystone = keystone();
    for insn in judged_by(Reference::GnuAs, forms::samples()) {
        assert_ne!(keystone.assemble(&insn.to_string()), Ok(encode(&insn)), "{insn} needs no exception");
    }
}

#[test]
fn every_kind_of_fault_is_sampled() {
    let mut counts = BTreeMap::new();
    for fault in forms::samples().iter().filter_map(forms::keystone_fault) {
        *counts.entry(fault).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 8, "{counts:#?}");
}

#[test]
fn random_instructions_are_as_their_reference_assembles_them() {
    let keystone = keystone();
    let mut choices = Seeded::new(0x6b6f_7073);
    let deadline = Instant::now() + Duration::from_secs(1);
    while Instant::now() < deadline {
        let insns: Vec<Insn> = (0..4096).map(|_| forms::random(&mut choices)).collect();
        judge_by_keystone(&keystone, &judged_by(Reference::Keystone, insns.iter().copied()));
        judge_by_gnu_as(&judged_by(Reference::GnuAs, insns));
    }
}

#[test]
fn invalid_instructions_are_refused() {
    for insn in forms::invalid() {
        assert!(insn.encode().is_err(), "{insn} is {:02x?}", insn.encode());
    }
}

#[test]
fn samples_reach_every_mnemonic_that_random_instructions_do() {
    let mnemonic = |insn: &Insn| insn.to_string().split(' ').next().map(str::to_owned);
    let sampled: BTreeSet<_> = forms::samples().iter().map(mnemonic).collect();
    let mut choices = Seeded::new(1);
    for _ in 0..50_000 {
        let insn = forms::random(&mut choices);
        assert!(sampled.contains(&mnemonic(&insn)), "{insn}");
    }
}
