// SPDX-License-Identifier: GPL-2.0-or-later
//! Two adjacent numbers that are loaded, or stored, one after the other.

use kop_ops::{Arch, Catalog, ProgramKind};

use super::tests::{assert_made, assert_nothing, rewritten_as};
use super::{Options, Planted, Rewritten};

fn rewritten(text: &str, arch: Option<Arch>) -> Rewritten {
    let catalog = Catalog::einsn();
    rewritten_as(text, ProgramKind::Raw, &Options { arch, ..Options::new(&catalog) })
}

const ARM: Option<Arch> = Some(Arch::Aarch64);

#[track_caller]
fn becomes(text: &str, sites: &[&str], wanted: &str) {
    assert_made(text, &rewritten(text, ARM), sites, wanted);
}

#[track_caller]
fn misses_on(arch: Option<Arch>, text: &str, reason: &str) {
    let rewritten = rewritten(text, arch);
    assert!(rewritten.found.is_empty(), "{text}\n{:?}", rewritten.found);
    let said = |miss: &super::Miss| miss.kop.ends_with("_pair") && miss.reason.contains(reason);
    assert!(rewritten.misses.iter().any(said), "{text}\n{:?}", rewritten.misses);
}

#[track_caller]
fn misses(text: &str, reason: &str) {
    misses_on(ARM, text, reason);
}

#[track_caller]
fn is_nothing(text: &str) {
    assert_nothing(text, &rewritten(text, ARM));
}

/// Where the site stands that is made of this.
fn at(text: &str) -> Vec<usize> {
    rewritten(text, ARM).found.iter().map(|found| found.at).collect()
}

const LOADS: &str = "r2 = *(u64 *)(r1 + 0)\nr3 = *(u64 *)(r1 + 8)\nr0 = r2\nr0 -= r3\nexit";
const STORES: &str = "*(u64 *)(r10 - 8) = r6\n*(u64 *)(r10 - 16) = r7\nr0 = 0\nexit";

#[test]
fn pairs_of_loads_are_found() {
    becomes(LOADS, &["load_pair.pair64 first=r2 second=r3 base=r1 off=0"], "r0 = r2\nr0 -= r3\nexit");
    // The higher one first; of four bytes; the last one overwrites the base.
    becomes(
        "w2 = *(u32 *)(r1 - 4)\nw1 = *(u32 *)(r1 - 8)\nr0 = r1\nr0 -= r2\nexit",
        &["load_pair.pair32 first=r1 second=r2 base=r1 off=-8"],
        "r0 = r1\nr0 -= r2\nexit",
    );
    // Where the first one is used before the second is loaded, and where the register of the second one is in use.
    becomes(
        "r2 = *(u64 *)(r1 + 0)\nr4 = r2\nr4 *= 3\nr3 = *(u64 *)(r1 + 8)\nr0 = r4\nr0 -= r3\nexit",
        &["load_pair.pair64 first=r2 second=r3 base=r1 off=0"],
        "r4 = r2\nr4 *= 3\nr0 = r4\nr0 -= r3\nexit",
    );
    assert_eq!(at("r2 = *(u64 *)(r1 + 0)\nr0 = r3\nr3 = *(u64 *)(r1 + 8)\nr0 -= r2\nr0 ^= r3\nexit"), [2]);
    // Of four numbers, two pairs.
    let four = "r2 = *(u64 *)(r1 + 0)\nr3 = *(u64 *)(r1 + 8)\nr4 = *(u64 *)(r1 + 16)\nr5 = *(u64 *)(r1 + 24)\n\
                r0 = r2\nr0 -= r3\nr0 ^= r4\nr0 *= r5\nexit";
    assert_eq!(at(four).len(), 2);
}

#[test]
fn pairs_of_stores_are_found() {
    becomes(STORES, &["store_pair.pair64 base=r10 first=r7 second=r6 off=-16"], "r0 = 0\nexit");
    becomes(
        "*(u32 *)(r1 + 4) = r2\nr3 += r2\n*(u32 *)(r1 + 8) = r3\nr0 = r3\nexit",
        &["store_pair.pair32 base=r1 first=r2 second=r3 off=4"],
        "r3 += r2\nr0 = r3\nexit",
    );
    // One register twice; an address.
    becomes(
        "*(u64 *)(r1 + 0) = r2\n*(u64 *)(r1 + 8) = r2\nr0 = 0\nexit",
        &["store_pair.pair64 base=r1 first=r2 second=r2 off=0"],
        "r0 = 0\nexit",
    );
    becomes(
        "*(u64 *)(r1 + 0) = r1\n*(u64 *)(r1 + 8) = r2\nr0 = 0\nexit",
        &["store_pair.pair64 base=r1 first=r1 second=r2 off=0"],
        "r0 = 0\nexit",
    );
}

#[test]
fn where_a_pair_is_two_instructions_it_is_none() {
    for text in [LOADS, STORES] {
        misses_on(Some(Arch::X86_64), text, "it makes 2 of 2 instructions on x86_64");
        misses_on(None, text, "it makes 2 of 2 instructions on x86_64");
        let odd = text.replace("r1 + 0", "r1 + 1").replace("r1 + 8", "r1 + 9");
        let odd = odd.replace("r10 - 8", "r10 - 7").replace("r10 - 16", "r10 - 15");
        misses(&odd, "it makes 2 of 2 instructions on aarch64");
    }
    misses(&STORES.replace("- 8", "- 488").replace("- 16", "- 496"), "does not take these operands");
}

#[test]
fn what_only_looks_like_it_is_none() {
    for text in [
        // A gap, another size, another base, a base that changes, a sign, one register.
        "r2 = *(u64 *)(r1 + 0)\nr3 = *(u64 *)(r1 + 16)",
        "r2 = *(u64 *)(r1 + 0)\nw3 = *(u32 *)(r1 + 8)",
        "r2 = *(u64 *)(r1 + 0)\nr3 = *(u64 *)(r4 + 8)",
        "r2 = *(u64 *)(r1 + 0)\nr1 += 8\nr3 = *(u64 *)(r1 + 8)",
        "r2 = *(s32 *)(r1 + 0)\nr3 = *(s32 *)(r1 + 4)",
        "r2 = *(u64 *)(r1 + 0)\nr4 += r2\nr2 = *(u64 *)(r1 + 8)",
        "w2 = *(u16 *)(r1 + 0)\nw3 = *(u16 *)(r1 + 2)",
        "*(u64 *)(r1 + 0) = r2\n*(u64 *)(r1 + 16) = r3",
        "*(u64 *)(r1 + 0) = r2\n*(u32 *)(r1 + 8) = r3",
        "*(u64 *)(r1 + 0) = r2\n*(u64 *)(r4 + 8) = r3",
        "*(u64 *)(r1 + 0) = r2\n*(u64 *)(r1 + 8) = 5",
        // Overwritten in part.
        "*(u64 *)(r1 + 0) = r2\n*(u16 *)(r1 + 2) = r4\n*(u64 *)(r1 + 8) = r3",
    ] {
        is_nothing(&format!("{text}\nr0 = r2\nr0 -= r3\nr0 ^= r4\nexit"));
    }
}

#[test]
fn registers_that_are_in_use_are_left() {
    misses(
        "r2 = *(u64 *)(r1 + 0)\nr4 = r2\nr4 += r3\nr3 = *(u64 *)(r1 + 8)\nr0 = r4\nr0 -= r3\nr0 ^= r2\nexit",
        "it makes 1 of 1 instructions on aarch64",
    );
    // The number that is stored first is gone, and the second is not there yet.
    misses("*(u64 *)(r1 + 0) = r2\nr2 += r3\n*(u64 *)(r1 + 8) = r2\nr0 = 0\nexit", "in no register any more");
}

/// Loads with something in between, and stores.
fn loads(something: &str) -> String {
    LOADS.replace("\nr3 =", &format!("\n{something}\nr3 ="))
}

fn stores(something: &str) -> String {
    format!("*(u64 *)(r1 + 0) = r2\n{something}\n*(u64 *)(r1 + 8) = r3\nr0 = r6\nexit")
}

#[test]
fn accesses_in_between_are_not_overtaken() {
    // Loads pass loads, and what is written beside.
    assert_eq!(at(&loads("r6 = *(u64 *)(r8 + 0)\nr2 ^= r6")), [0]);
    assert_eq!(at(&loads("*(u64 *)(r1 + 16) = r6")), [0]);
    // What writes one of the numbers decides where it stands.
    assert_eq!(at(&loads("*(u64 *)(r1 + 0) = r6")), [0]);
    assert_eq!(at(&loads("*(u64 *)(r1 + 8) = r6")), [2]);
    misses(&loads("*(u64 *)(r1 + 4) = r6"), "differs");
    for other in ["*(u64 *)(r8 + 0) = r6", "lock *(u64 *)(r8 + 0) += r6"] {
        misses(&loads(other), "instruction 1, in between, may access the same bytes");
        misses(&stores(other), "instruction 1, in between, may access the same bytes");
    }
    misses(&stores("r6 = *(u64 *)(r8 + 0)"), "instruction 1, in between, may access the same bytes");
    assert_eq!(at(&stores("r6 = *(u64 *)(r1 + 0)")), [0]);
    assert_eq!(at(&stores("r6 = *(u64 *)(r1 + 8)")), [2]);
    misses(&stores("r6 = *(u64 *)(r1 + 4)"), "r6 differs");
}

#[test]
fn ways_out_and_in_are_not_passed() {
    misses(&stores("if r6 == 0 goto +1"), "a jump in between, instruction 1");
    misses(&stores("r7 = r1\nr8 = r3\ncall 5\nr1 = r7\nr3 = r8"), "a call in between");
    misses(
        &LOADS.replace("r3 = *", "r7 = r1\nr8 = r2\ncall 5\nr1 = r7\nr2 = r8\nr3 = *"),
        "a call in between",
    );
    // What is loaded behind a way out may be no memory before it; what is loaded before it may wait.
    let way_out = "if r5 > r4 goto +4\nr3 = *(u64 *)(r1 + 8)\nr0 = r2\nr0 -= r3\nexit\nr0 = 7\nexit";
    assert_eq!(at(&format!("r2 = *(u64 *)(r1 + 0)\n{way_out}")), [2]);
    let taken = way_out.replace("r5 > r4", "r2 > r4");
    misses(&format!("r2 = *(u64 *)(r1 + 0)\n{taken}"), "it makes 1 of 1 instructions on aarch64");
    for text in [
        "r2 = 5\nif r6 == 0 goto +1\nr2 = *(u64 *)(r1 + 0)\nr3 = *(u64 *)(r1 + 8)\nr0 = r2\nr0 -= r3\nexit",
        "if r6 == 0 goto +2\nr3 = r2\n*(u64 *)(r1 + 0) = r2\n*(u64 *)(r1 + 8) = r3\nr0 = 0\nexit",
    ] {
        misses(text, "a jump goes to instruction 3, into the middle of it");
    }
}

#[test]
fn contexts_are_left_alone() {
    let catalog = Catalog::einsn();
    let options = Options { arch: ARM, ..Options::new(&catalog) };
    let found = rewritten_as(
        "w2 = *(u32 *)(r1 + 0)\nw3 = *(u32 *)(r1 + 4)\nr0 = r2\nr0 -= r3\nexit",
        ProgramKind::Xdp,
        &options,
    );
    assert!(found.found.is_empty() && found.misses[0].reason.contains("context"), "{found:?}");
    let found = rewritten_as(STORES, ProgramKind::Xdp, &options);
    assert_eq!(found.found.len(), 1, "{found:?}");
}

#[test]
fn exchanged_numbers_and_a_wrong_offset_are_refused() {
    let catalog = Catalog::einsn();
    for planted in [Planted::ExchangedInputs, Planted::WrongAmount] {
        for text in [LOADS, STORES] {
            let made = |checked| {
                let options =
                    Options { arch: ARM, planted: Some(planted), checked, ..Options::new(&catalog) };
                rewritten_as(text, ProgramKind::Raw, &options)
            };
            let refused = made(true);
            assert!(
                refused.found.is_empty() && !refused.misses.is_empty(),
                "{}: {refused:?}",
                planted.name()
            );
            assert!(!made(false).found.is_empty(), "{} is made where nobody looks", planted.name());
        }
    }
}
