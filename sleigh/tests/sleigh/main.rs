// SPDX-License-Identifier: GPL-2.0-or-later
//! Every form of instruction that has semantics is equal to its SLEIGH model for all inputs, but for what
//! `semantics/DIFFERENCES.md` lists.

#[path = "../../../emulators/tests/semantics_aarch64/words.rs"]
mod words;

use std::collections::BTreeSet;

use kop_ops::Arch;
use kop_ops::choices::Seeded;
use kop_sleigh::campaign::{Report, run};
use kop_sleigh::compare::{Comparison, Effort, LIMIT, Outcome};
use kop_sleigh::disagreements::{DISAGREEMENTS, NOT_DECODED, NOT_MODELLED, UNDECIDED};
use kop_sleigh::ours::decode;
use kop_sleigh::samples::samples;

/// Words from each space of A64 encodings.
const WORDS: usize = 3000;

/// What of a list belongs to an architecture.
fn of(arch: Arch, list: &[(Arch, &str)]) -> BTreeSet<String> {
    list.iter().filter(|(of, _)| *of == arch).map(|(_, name)| (*name).to_owned()).collect()
}

fn check(arch: Arch, words: Vec<u32>, at_least: usize) {
    let samples = samples(arch, words);
    let report: Report = run(arch, &samples).expect("the models load");
    let equal: usize = report.equal.values().sum();
    println!(
        "{arch:?}: {} instructions, {equal} equal {:?}, {:?}",
        samples.len(),
        report.equal,
        report.known
    );
    assert!(report.unexpected.is_empty(), "{}", report.unexpected.join("\n"));
    assert_eq!(report.not_modelled, of(arch, NOT_MODELLED), "not modelled");
    assert_eq!(report.not_decoded, of(arch, NOT_DECODED), "not decoded");
    assert_eq!(report.undecided, of(arch, UNDECIDED), "undecided");
    for (number, known) in DISAGREEMENTS.iter().enumerate().filter(|(_, known)| known.arch == arch) {
        assert!(report.known.contains_key(&number), "{arch:?} shows no longer that {}", known.what);
    }
    assert!(equal >= at_least, "{equal} instructions are equal");
    assert!(report.equal.contains_key(&Effort::Solver), "the solver was needed");
}

#[test]
fn x86_64_is_as_sleigh_has_it() {
    check(Arch::X86_64, Vec::new(), 2400);
}

#[test]
fn aarch64_is_as_sleigh_has_it() {
    let mut choices = Seeded::new(1);
    let words = words::SPACES
        .iter()
        .flat_map(|space| std::iter::repeat_n(space, WORDS))
        .map(|space| words::word(&mut choices, space));
    check(Arch::Aarch64, words.collect(), 6000);
}

/// What is compared, the bytes that SLEIGH and the semantics get, and an output that differs.
type Pair = (Arch, &'static str, &'static [u8], &'static [u8], &'static str);

/// Bytes of one instruction against the semantics of another: the comparison sees each kind of difference.
#[test]
fn another_instruction_is_told_apart() {
    let table: [Pair; 8] = [
        (Arch::X86_64, "mov eax, ebx against mov rax, rbx", &[0x40, 0x8b, 0xc3], &[0x48, 0x8b, 0xc3], "rax"),
        (Arch::X86_64, "and eax, 1 against and eax, 3", &[0x83, 0xe0, 1], &[0x83, 0xe0, 3], "rax"),
        (Arch::X86_64, "clc against stc", &[0xf8], &[0xf9], "CF"),
        (Arch::X86_64, "mov [rdi], al against mov [rsi], al", &[0x88, 0x07], &[0x88, 0x06], "memory"),
        (Arch::X86_64, "je against jne", &[0x74, 0x10], &[0x75, 0x10], "next"),
        (
            Arch::Aarch64,
            "add w0, w1, w2 against add x0, x1, x2",
            &[0x20, 0, 2, 0x0b],
            &[0x20, 0, 2, 0x8b],
            "x0",
        ),
        (Arch::Aarch64, "adds xzr, x1, x2 against subs", &[0x3f, 0, 2, 0xab], &[0x3f, 0, 2, 0xeb], "C"),
        (Arch::Aarch64, "strb against strh", &[0x20, 0, 0, 0x39], &[0x20, 0, 0, 0x79], "memory"),
    ];
    for (arch, what, bytes, other, output) in table {
        let comparison = Comparison::new(arch).expect("the model loads");
        let insn = decode(arch, bytes).expect("it is covered");
        assert!(matches!(comparison.compare(bytes, &insn, LIMIT), Outcome::Equal(_)), "{what}");
        let insn = decode(arch, other).expect("it is covered");
        let Outcome::Differs(differences) = comparison.compare(bytes, &insn, LIMIT) else {
            panic!("{what}: no difference")
        };
        assert!(differences.iter().any(|difference| difference.output == output), "{what}: {differences:?}");
    }
}

/// The lines of a section of the document that are items.
fn listed(section: &str) -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../semantics/DIFFERENCES.md");
    let text = std::fs::read_to_string(path).expect("it is there");
    let section =
        text.split("\n# ").find(|text| text.starts_with(section)).expect("it has the section").to_owned();
    section.lines().filter_map(|line| line.strip_prefix("* ")).map(str::to_owned).collect()
}

#[test]
fn the_document_has_the_same_lists() {
    let known =
        DISAGREEMENTS.iter().map(|known| format!("{:?}: {}; {}.", known.arch, known.what, known.manual));
    let names = |title: &str, list: &[(Arch, &str)]| {
        [Arch::X86_64, Arch::Aarch64].map(|arch| {
            let names: Vec<String> = of(arch, list).into_iter().map(|name| format!("`{name}`")).collect();
            format!(
                "{arch:?}, {title}: {}.",
                if names.is_empty() { "none".to_owned() } else { names.join(", ") }
            )
        })
    };
    let lists = [("not modelled", NOT_MODELLED), ("not decoded", NOT_DECODED), ("not decided", UNDECIDED)];
    let lists = lists.into_iter().flat_map(|(title, list)| names(title, list));
    let expected: Vec<String> = known.chain(lists).collect();
    assert_eq!(listed("Where SLEIGH"), expected);
}
