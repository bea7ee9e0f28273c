// SPDX-License-Identifier: GPL-2.0-or-later
//! The A64 encoder against assemblers that are not ours: every form, every register, every boundary value.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use kop_modules::assembler::{Keystone, gnu};
use kop_ops::Arch;
use kop_ops::aarch64::forms::{self, Reference};
use kop_ops::aarch64::{Bitmask, Insn, Width, encode_bitmask};
use kop_ops::choices::Seeded;

/// Instructions per call of Keystone.
const BATCH: usize = 256;

static SAMPLES: LazyLock<Vec<Insn>> = LazyLock::new(forms::samples);

fn encode(insn: &Insn) -> Vec<u8> {
    insn.encode().unwrap_or_else(|error| panic!("{insn}: {error}")).to_le_bytes().to_vec()
}

fn keystone() -> Keystone {
    Keystone::new(Arch::Aarch64).expect("Keystone knows AArch64")
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
    let codes = gnu::assemble_all(Arch::Aarch64, &texts).unwrap_or_else(|error| panic!("{error}"));
    let wrong: Vec<String> = (insns.iter().zip(codes))
        .filter(|(insn, code)| encode(insn) != *code)
        .map(|(insn, code)| format!("{insn}: ours {:02x?}, GNU as's {code:02x?}", encode(insn)))
        .collect();
    assert!(wrong.is_empty(), "{} instructions differ from GNU as:\n{}", wrong.len(), wrong.join("\n"));
}

fn judged_by(reference: Reference, insns: &[Insn]) -> Vec<Insn> {
    insns.iter().filter(|insn| forms::reference(insn) == reference).copied().collect()
}

#[test]
fn every_sample_is_as_keystone_assembles_it() {
    judge_by_keystone(&keystone(), &judged_by(Reference::Keystone, &SAMPLES));
}

#[test]
fn every_sample_is_as_gnu_as_assembles_it() {
    // GNU as leaves the page that ADRP names to the linker.
    let samples = SAMPLES.iter().filter(|insn| !matches!(insn, Insn::Adrp { .. }));
    judge_by_gnu_as(&samples.copied().collect::<Vec<_>>());
}

#[test]
fn keystone_has_a_fault_wherever_gnu_as_is_the_reference() {
    let keystone = keystone();
    for insn in judged_by(Reference::GnuAs, &SAMPLES) {
        assert_ne!(keystone.assemble(&insn.to_string()), Ok(encode(&insn)), "{insn} needs no exception");
    }
}

#[test]
fn every_kind_of_fault_is_sampled() {
    let mut counts = BTreeMap::new();
    for fault in SAMPLES.iter().filter_map(forms::keystone_fault) {
        *counts.entry(fault).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 7, "{counts:#?}");
}

#[test]
fn random_instructions_are_as_their_reference_assembles_them() {
    let keystone = keystone();
    let mut choices = Seeded::new(0x6b6f_7073);
    let deadline = Instant::now() + Duration::from_secs(1);
    while Instant::now() < deadline {
        let insns: Vec<Insn> = (0..4096).map(|_| forms::random(&mut choices)).collect();
        judge_by_keystone(&keystone, &judged_by(Reference::Keystone, &insns));
        judge_by_gnu_as(&judged_by(Reference::GnuAs, &insns));
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
    let sampled: BTreeSet<_> = SAMPLES.iter().map(mnemonic).collect();
    let mut choices = Seeded::new(1);
    for _ in 0..50_000 {
        let insn = forms::random(&mut choices);
        assert!(sampled.contains(&mnemonic(&insn)), "{insn}");
    }
}

/// DecodeBitMasks of the Arm ARM's shared pseudocode, for immediates: the mask of `width` bits that the fields
/// stand for; none where they are reserved.
fn decode_bit_masks(bits: u32, immediate: Bitmask) -> Option<u64> {
    let (imm_n, imms, immr) = (u32::from(immediate.n), u32::from(immediate.imms), u32::from(immediate.immr));
    // len = HighestSetBit(immN : NOT(imms))
    let concatenated = imm_n << 6 | (!imms & 0x3f);
    let len = concatenated.checked_ilog2()?;
    if len < 1 || bits < 1 << len {
        return None;
    }
    let levels = (1 << len) - 1;
    if imms & levels == levels {
        return None;
    }
    let (s, r) = (imms & levels, immr & levels);
    let esize = 1u32 << len;
    // welem = ZeroExtend(Ones(S + 1), esize); wmask = Replicate(ROR(welem, R))
    let welem: Vec<bool> = (0..esize).map(|i| i <= s).collect();
    let wmask = (0..bits).map(|i| welem[((i % esize + r) % esize) as usize]);
    Some(wmask.enumerate().fold(0, |mask, (i, one)| mask | u64::from(one) << i))
}

/// Every combination of the three fields: what they mean encodes to fields that mean the same, and nothing else does.
#[test]
fn bitmask_immediates_are_exactly_those_that_decode() {
    for (width, count) in [(Width::W, 1302), (Width::X, 5334)] {
        let fields = (0..1u16 << 13).map(|all| Bitmask {
            n: all >> 12 == 1,
            immr: (all >> 6 & 0x3f) as u8,
            imms: (all & 0x3f) as u8,
        });
        let masks: BTreeSet<u64> = fields.filter_map(|f| decode_bit_masks(width.bits(), f)).collect();
        assert_eq!(masks.len(), count);
        for &mask in &masks {
            let encoded = encode_bitmask(mask, width).unwrap_or_else(|| panic!("{mask:#x} has no encoding"));
            assert_eq!(decode_bit_masks(width.bits(), encoded), Some(mask), "{mask:#x}: {encoded:?}");
            // `immr` keeps no bits above the element, as assemblers write it; W has no N.
            assert!(width == Width::X || !encoded.n);
            for other in (0..64).map(|bit| mask ^ 1 << bit).chain([!mask, mask + 1]) {
                assert_eq!(encode_bitmask(other, width).is_some(), masks.contains(&other), "{other:#x}");
            }
        }
    }
}
