// SPDX-License-Identifier: GPL-2.0-or-later
//! Every instruction of AArch64 that has semantics, held against Unicorn and QEMU's emulation of a user's process: after
//! each, all general registers, SP, the flags, all SIMD registers and all of memory are compared.

#![cfg(all(target_os = "linux", feature = "unicorn", feature = "native"))]

mod campaign;
mod case;
mod known;
mod reference;
mod words;

use std::fmt::Debug;

use campaign::Campaign;
use known::KNOWN;
use kop_ops::aarch64::{Scalar, Width, forms};
use kop_ops::choices::{Choices, Seeded};
use kop_semantics::aarch64::decode;
use kop_semantics::aarch64::vector::{
    AcrossOp, BinaryOp, ImmediateOp, LongOp, PairwiseOp, PermuteOp, ShiftOp, UnaryOp,
};
use words::SPACES;

/// How many times as much as usual is run: `KOP_CAMPAIGN=100` takes minutes.
fn effort() -> u64 {
    std::env::var("KOP_CAMPAIGN").map_or(1, |times| times.parse().expect("KOP_CAMPAIGN is a number"))
}

/// A seed that the effort is a part of, so that more of it runs other states.
fn seed(test: u64) -> u64 {
    test << 32 | effort()
}

#[test]
fn forms_of_the_assembler_agree_with_unicorn_and_qemu() {
    let mut choices = Seeded::new(seed(1));
    let mut insns: Vec<_> = (0..6000 * effort()).map(|_| forms::random(&mut choices)).collect();
    insns.extend(forms::samples().into_iter().filter(|_| choices.below(100) < effort()));
    let words: Vec<u32> = insns.iter().map(|insn| insn.encode().expect("it has an encoding")).collect();
    let mut campaign = Campaign::new();
    campaign.run(&words, seed(2));
    campaign.finish();
}

#[test]
fn words_of_all_spaces_agree_with_unicorn_and_qemu() {
    let mut choices = Seeded::new(seed(3));
    let mut words = Vec::new();
    for space in SPACES {
        let drawn: Vec<u32> = (0..800 * effort()).map(|_| words::word(&mut choices, space)).collect();
        let covered = drawn.into_iter().filter(|word| decode(&word.to_le_bytes()).is_ok());
        let before = words.len();
        words.extend(covered);
        assert!(words.len() >= before + 20, "{}: few words are covered", space.0);
    }
    let mut campaign = Campaign::new();
    campaign.run(&words, seed(4));
    campaign.finish();
    let missing: Vec<String> = kinds().into_iter().filter(|kind| !campaign.kinds().contains(kind)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The kinds of instructions that our assembler does not have.
fn kinds() -> Vec<String> {
    fn of<T: Debug>(variant: &str, values: &[T]) -> Vec<String> {
        values.iter().map(|value| format!("{variant} {value:?}")).collect()
    }
    let (flags, widths, lanes) = ([false, true], Width::ALL, Scalar::LANES);
    let mut kinds = of("Vector Immediate", ImmediateOp::ALL);
    kinds.extend(of("Vector Unary", UnaryOp::ALL));
    kinds.extend(of("Vector Binary", BinaryOp::ALL));
    kinds.extend(of("Vector Pairwise", PairwiseOp::ALL));
    kinds.extend(of("Vector Long", LongOp::ALL));
    kinds.extend(of("Vector Shift", ShiftOp::ALL));
    kinds.extend(of("Vector Across", AcrossOp::ALL));
    kinds.extend(of("Vector Permute", PermuteOp::ALL));
    for variant in ["PairwiseLong", "ShiftLong", "Table"] {
        kinds.extend(of(&format!("Vector {variant}"), &flags));
    }
    kinds.extend(of("Vector Smov", &widths));
    kinds.extend(of("Vector DupScalar", &lanes));
    kinds.extend(of("Vector ShiftNarrow", &lanes[..3]));
    kinds.extend(of("Vector FmovScalar", &lanes[2..]));
    kinds.extend(of("Other VLoadLiteral", &Scalar::ALL[2..]));
    for variant in ["LoadExclusivePair", "StoreExclusivePair", "CasPair"] {
        kinds.extend(of(&format!("Other {variant}"), &widths));
    }
    kinds.extend(of("Other SetFlags", &[8, 16]));
    let single = ["ClearExclusive", "InvertCarry", "RotateIntoFlags", "LoadPairSigned"];
    kinds.extend(single.map(|variant| format!("Other {variant}")));
    kinds.push("Nothing".to_owned());
    kinds
}

#[test]
fn the_machines_differ_in_each_known_way() {
    let mut campaign = Campaign::new();
    for (number, known) in KNOWN.iter().enumerate() {
        campaign.run(&[known.example; 400], seed(5));
        for machine in campaign.machines().filter(|machine| known.machines.contains(machine)) {
            assert!(campaign.known().contains(&(machine, number)), "{machine}: not seen that {}", known.what);
        }
    }
    campaign.finish();
}

#[test]
fn the_document_has_the_same_list() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../semantics/DIFFERENCES.md");
    let text = std::fs::read_to_string(path).expect("it is there");
    let section = text.split("\n# ").find(|section| section.starts_with("Where emulators of AArch64 differ"));
    let lines = section.expect("it has the section").lines().filter_map(|line| line.strip_prefix("* "));
    let listed: Vec<String> = lines.map(str::to_owned).collect();
    let name = |known: &known::Known| known.machines.join(", ");
    let known: Vec<String> = KNOWN.iter().map(|known| format!("{}: {}.", name(known), known.what)).collect();
    assert_eq!(listed, known);
}
