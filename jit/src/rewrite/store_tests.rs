// SPDX-License-Identifier: GPL-2.0-or-later
//! Numbers that are taken apart into stores.

use kop_ops::{Catalog, ProgramKind};

use super::tests::{assert_made, assert_nothing, rewritten_as};
use super::{Options, Planted, Rewritten};

fn rewritten_with(text: &str, kind: ProgramKind, planted: Option<Planted>, checked: bool) -> Rewritten {
    let catalog = Catalog::einsn();
    rewritten_as(text, kind, &Options { planted, checked, ..Options::new(&catalog) })
}

fn rewritten(text: &str) -> Rewritten {
    rewritten_with(text, ProgramKind::Raw, None, true)
}

#[track_caller]
fn becomes(text: &str, sites: &[&str], wanted: &str) {
    assert_made(text, &rewritten(text), sites, wanted);
}

#[track_caller]
fn misses(text: &str, reason: &str) {
    let rewritten = rewritten(text);
    assert!(rewritten.found.is_empty(), "{text}\n{:?}", rewritten.found);
    assert!(rewritten.misses.iter().any(|miss| miss.reason.contains(reason)), "{:?}", rewritten.misses);
}

#[track_caller]
fn is_nothing(text: &str) {
    assert_nothing(text, &rewritten(text));
}

#[test]
fn numbers_taken_apart_are_found() {
    becomes(
        "*(u8 *)(r1 + 5) = r3\nw3 >>= 8\n*(u8 *)(r1 + 6) = r3\nr0 = 0\nexit",
        &["wide_store.le16 base=r1 src=r3 tmp=r0 off=5"],
        "r0 = 0\nexit",
    );
    // As clang has a packed number.
    becomes(
        "w3 = w2\nw3 >>= 24\n*(u8 *)(r1 + 4) = r3\nw3 = w2\nw3 >>= 16\n*(u8 *)(r1 + 3) = r3\n\
         *(u8 *)(r1 + 1) = r2\nw2 >>= 8\n*(u8 *)(r1 + 2) = r2\nr0 = 0\nexit",
        &["wide_store.le32 base=r1 src=r2 tmp=r3 off=1"],
        "r0 = 0\nexit",
    );
    // Of halfwords, and of what comes in pieces of several sizes.
    becomes(
        "*(u16 *)(r1 + 2) = r2\nw2 >>= 16\n*(u16 *)(r1 + 4) = r2\nr0 = 0\nexit",
        &["wide_store.le32 base=r1 src=r2 tmp=r0 off=2"],
        "r0 = 0\nexit",
    );
    becomes(
        "*(u16 *)(r1 + 0) = r2\nr3 = r2\nr3 >>= 24\n*(u8 *)(r1 + 3) = r3\nr2 >>= 16\n*(u8 *)(r1 + 2) = r2\nr0 = 0\nexit",
        &["wide_store.le32 base=r1 src=r2 tmp=r3 off=0"],
        "r0 = 0\nexit",
    );
}

#[test]
fn swapped_numbers_are_found() {
    becomes(
        "r4 = r3\nr4 >>= 8\n*(u8 *)(r1 - 3) = r4\n*(u8 *)(r1 - 2) = r3\nr0 = r3\nexit",
        &["wide_store.be16 base=r1 src=r3 tmp=r4 off=-3"],
        "r0 = r3\nexit",
    );
    // As clang has a swapped packed number: bytes are shifted out of what is swapped to several widths.
    becomes(
        "r4 = r2\nr4 = be16 r4\n*(u8 *)(r1 + 3) = r4\nr4 = r2\nr4 = be32 r4\n*(u8 *)(r1 + 1) = r4\nr2 = be64 r2\n\
         r3 = r2\nr3 >>= 56\n*(u8 *)(r1 + 4) = r3\nr2 >>= 40\n*(u8 *)(r1 + 2) = r2\nr0 = 0\nexit",
        &["wide_store.be32 base=r1 src=r2 tmp=r3 off=1"],
        "r0 = 0\nexit",
    );
    let mut eight = String::new();
    for (off, shift) in [(4, 56), (11, 0), (5, 48), (6, 40), (10, 8), (8, 24), (7, 32), (9, 16)] {
        eight += &format!("r4 = r3\nr4 >>= {shift}\n*(u8 *)(r1 + {off}) = r4\n");
    }
    becomes(
        &format!("{eight}r0 = 0\nexit"),
        &["wide_store.be64 base=r1 src=r3 tmp=r4 off=4"],
        "r0 = 0\nexit",
    );
}

#[test]
fn two_numbers_are_two_stores() {
    becomes(
        "*(u8 *)(r1 + 0) = r2\n*(u8 *)(r1 + 2) = r3\nr2 >>= 8\nr3 >>= 8\n*(u8 *)(r1 + 3) = r3\n*(u8 *)(r1 + 1) = r2\nr0 = 0\nexit",
        &["wide_store.le16 base=r1 src=r2 tmp=r0 off=0", "wide_store.le16 base=r1 src=r3 tmp=r0 off=2"],
        "r0 = 0\nexit",
    );
}

#[test]
fn what_only_looks_like_it_is_none() {
    for text in [
        // A gap, another base, a shift by too little, a byte of another number, the same byte twice, the other half.
        "*(u8 *)(r1 + 5) = r3\nr3 >>= 8\n*(u8 *)(r1 + 7) = r3\nexit",
        "*(u8 *)(r1 + 5) = r3\nr3 >>= 8\n*(u8 *)(r2 + 6) = r3\nexit",
        "*(u8 *)(r1 + 5) = r3\nr3 >>= 7\n*(u8 *)(r1 + 6) = r3\nexit",
        "*(u8 *)(r1 + 5) = r3\nr4 >>= 8\n*(u8 *)(r1 + 6) = r4\nexit",
        "*(u8 *)(r1 + 5) = r3\n*(u8 *)(r1 + 6) = r3\nexit",
        "*(u16 *)(r1 + 5) = r3\nr3 >>= 32\n*(u16 *)(r1 + 7) = r3\nexit",
        // Three bytes; numbers.
        "*(u8 *)(r1 + 5) = r3\nr3 >>= 16\n*(u16 *)(r1 + 6) = r3\nexit",
        "*(u8 *)(r1 + 5) = 1\n*(u8 *)(r1 + 6) = 2\nexit",
        // An address.
        "*(u8 *)(r1 + 5) = r1\nr2 = r1\nr2 >>= 8\n*(u8 *)(r1 + 6) = r2\nexit",
    ] {
        is_nothing(&format!("r0 = 0\n{text}"));
    }
}

#[test]
fn what_is_needed_elsewhere_stays() {
    // The upper byte is needed behind: the stores go all the same.
    becomes(
        "r4 = r3\nr4 >>= 8\n*(u8 *)(r1 + 1) = r4\n*(u8 *)(r1 + 0) = r3\nr0 = r4\nexit",
        &["wide_store.le16 base=r1 src=r3 tmp=r0 off=0"],
        "r4 = r3\nr4 >>= 8\nr0 = r4\nexit",
    );
    let all: String = (1..10).map(|register| format!("r0 += r{register}\n")).collect();
    let text = format!("*(u8 *)(r1 + 0) = r3\nr3 >>= 8\n*(u8 *)(r1 + 1) = r3\n{all}exit");
    misses(&text, "no register is free");
}

/// The store of a byte, something, and that of the other.
fn between(something: &str) -> String {
    format!("*(u8 *)(r1 + 0) = r2\nr3 = r2\nr3 >>= 8\n{something}\n*(u8 *)(r1 + 1) = r3\nr0 = 0\nexit")
}

#[test]
fn accesses_in_between_are_not_overtaken() {
    let at = |something: &str| {
        let rewritten = rewritten(&between(something));
        rewritten.found.iter().map(|found| found.at).collect::<Vec<_>>()
    };
    // Registers and bytes beside it of the same base do not matter.
    assert_eq!(at("r6 = 5\nr6 += r7").len(), 1);
    assert_eq!(at("*(u16 *)(r1 + 2) = r6").len(), 1);
    assert_eq!(at("r6 = *(u8 *)(r1 + 2)\nr4 = r6").len(), 1);
    // What overwrites the first byte comes first, what is overwritten by the second last.
    assert_eq!(at("*(u8 *)(r1 + 1) = r6"), [4]);
    is_nothing(&between("*(u8 *)(r1 + 0) = r6"));
    misses(&between("*(u16 *)(r1 + 0) = r6"), "memory differs");
    // Any other address may be that of the bytes.
    misses(&between("*(u64 *)(r8 + 0) = r6"), "instruction 3, in between, may access the same bytes");
    // Loads see what was stored.
    let load = "r6 = *(u8 *)(r1 + 0)\n*(u8 *)(r1 + 8) = r6";
    assert_eq!(at(load), [0]);
    misses(&between("r6 = *(u16 *)(r1 + 0)\n*(u16 *)(r1 + 8) = r6"), "memory differs");
    misses(&between("r6 = *(u64 *)(r8 + 0)\n*(u64 *)(r1 + 8) = r6"), "instruction 3, in between");
    misses(&between("lock *(u64 *)(r8 + 0) += r6"), "instruction 3, in between");
}

#[test]
fn ways_out_and_in_are_not_passed() {
    misses(&between("if r6 == 0 goto +1"), "a jump in between, instruction 3");
    misses(&between("r6 = r1\nr7 = r2\nr8 = r3\ncall 5\nr1 = r6\nr2 = r7\nr3 = r8"), "a call in between");
    // Before the first store, what is shifted may be passed.
    becomes(
        "r3 = r2\nr3 >>= 8\nif r6 == 0 goto +2\n*(u8 *)(r1 + 0) = r2\n*(u8 *)(r1 + 1) = r3\nr0 = 0\nexit",
        &["wide_store.le16 base=r1 src=r2 tmp=r3 off=0"],
        "if r6 == 0 goto +2\nr0 = 0\nexit",
    );
    let text = "r3 = 0\nif r6 == 0 goto +3\n*(u8 *)(r1 + 0) = r2\nr3 = r2\nr3 >>= 8\n*(u8 *)(r1 + 1) = r3\nr0 = 0\nexit";
    misses(text, "a jump goes to instruction 5, into the middle of it");
}

#[test]
fn contexts_are_left_alone() {
    let text = "r6 = r1\nr0 = 7\nr2 = r0\n*(u8 *)(r6 + 8) = r2\nr2 >>= 8\n*(u8 *)(r6 + 9) = r2\nr0 = 0\nexit";
    let text = text.replace("r0 = 7", "r0 = *(u32 *)(r1 + 0)");
    let found = rewritten_with(&text, ProgramKind::Xdp, None, true);
    assert!(found.found.is_empty() && found.misses[0].reason.contains("context"), "{found:?}");
}

#[test]
fn a_store_and_a_load_in_one_region_keep_their_order() {
    let text = "*(u8 *)(r1 + 0) = r2\nr2 >>= 8\n*(u8 *)(r1 + 1) = r2\nr3 = *(u8 *)(r1 + 0)\n\
                r4 = *(u8 *)(r1 + 1)\nr4 <<= 8\nr3 |= r4\nr0 = r3\nexit";
    let rewritten = rewritten(text);
    let kops: Vec<&str> = rewritten.found.iter().map(|found| &*found.kop).collect();
    assert_eq!(kops, ["wide_store", "wide_load"], "{:?}", rewritten.misses);
    // Neither passes the other where bytes of both are mixed.
    let text = "*(u8 *)(r1 + 0) = r2\nr3 = *(u8 *)(r1 + 0)\nr4 = *(u8 *)(r1 + 1)\nr2 >>= 8\n*(u8 *)(r1 + 1) = r2\n\
                r4 <<= 8\nr3 |= r4\nr0 = r3\nexit";
    let rewritten = self::rewritten(text);
    let kops: Vec<&str> = rewritten.found.iter().map(|found| &*found.kop).collect();
    assert_eq!(kops.len(), 1, "{:?}", rewritten.found);
}

/// As clang has six bytes of a header that is aligned to two.
const MOVED: &str = "r3 = *(u16 *)(r1 + 0)\n*(u16 *)(r1 + 6) = r3\nr3 = *(u16 *)(r1 + 2)\n*(u16 *)(r1 + 8) = r3\n\
     r3 = *(u16 *)(r1 + 4)\n*(u16 *)(r1 + 10) = r3\n";

#[test]
fn bytes_that_are_moved_within_an_object_are_found() {
    becomes(
        &format!("{MOVED}r0 = 0\nexit"),
        &["bulk_copy.within base=r1 tmp=r3 length=6 to=3 from=0"],
        "r0 = 0\nexit",
    );
    // All are loaded first, the last one is needed behind, and another place is written in between.
    becomes(
        "r3 = *(u16 *)(r1 + 0)\nr4 = *(u16 *)(r1 + 2)\n*(u16 *)(r1 + 6) = r3\n*(u8 *)(r1 + 20) = r4\n*(u16 *)(r1 + 8) = r4\nr0 = r4\nexit",
        &["bulk_copy.within base=r1 tmp=r3 length=4 to=3 from=0"],
        "w4 = *(u16 *)(r1 + 2)\n*(u8 *)(r1 + 20) = w4\nr0 = r4\nexit",
    );
}

#[test]
fn what_is_no_copy_is_none() {
    // Two things are exchanged; one comes from elsewhere; the distances differ.
    let exchanged = "r3 = *(u16 *)(r1 + 0)\nr4 = *(u16 *)(r1 + 4)\n*(u16 *)(r1 + 4) = r3\n*(u16 *)(r1 + 0) = r4\nr0 = 0\nexit";
    is_nothing(exchanged);
    is_nothing(&format!("{}r0 = 0\nexit", MOVED.replace("(r1 + 2)", "(r2 + 2)").replace("r1 + 4", "r2 + 4")));
    is_nothing(
        "r3 = *(u16 *)(r1 + 0)\n*(u16 *)(r1 + 6) = r3\nr3 = *(u16 *)(r1 + 4)\n*(u16 *)(r1 + 8) = r3\nr0 = 0\nexit",
    );
    // Pieces that were copied before are copied again; the operation does so byte by byte.
    let near = MOVED.replace("r1 + 6", "r1 + 2").replace("r1 + 8", "r1 + 4").replace("r1 + 10", "r1 + 6");
    let found = rewritten(&format!("{near}r0 = 0\nexit"));
    assert!(found.found.iter().all(|found| found.kop == "bulk_copy"), "{found:?}");
    let near = "r3 = *(u16 *)(r1 + 0)\nr4 = *(u16 *)(r1 + 2)\n*(u16 *)(r1 + 2) = r3\n*(u16 *)(r1 + 4) = r4\nr0 = 0\nexit";
    misses(near, "memory differs");
    // What is stored in between may be what is copied.
    let other = MOVED.replace("r3 = *(u16 *)(r1 + 4)", "*(u64 *)(r8 + 0) = r9\nr3 = *(u16 *)(r1 + 4)");
    let found = rewritten(&format!("{other}r0 = 0\nexit"));
    assert!(found.found.iter().all(|found| found.operands.contains("length=4")), "{found:?}");
}

#[test]
fn the_other_order_and_a_wrong_offset_are_refused() {
    let text = between("r6 = 5");
    for planted in [Planted::WrongOrder, Planted::WrongAmount] {
        let refused = rewritten_with(&text, ProgramKind::Raw, Some(planted), true);
        assert!(refused.found.is_empty() && !refused.misses.is_empty(), "{}: {refused:?}", planted.name());
        let made = rewritten_with(&text, ProgramKind::Raw, Some(planted), false);
        assert!(!made.found.is_empty(), "{} is made where nobody looks", planted.name());
    }
}
