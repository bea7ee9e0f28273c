// SPDX-License-Identifier: GPL-2.0-or-later
//! Bytes that all become the same one.

use kop_ops::{Arch, Catalog, ProgramKind};

use super::tests::{assert_made, assert_nothing, rest, rewritten_as};
use super::{Options, Planted, Rewritten};

fn rewritten(text: &str, arch: Option<Arch>) -> Rewritten {
    let catalog = Catalog::einsn();
    rewritten_as(text, ProgramKind::Raw, &Options { arch, ..Options::new(&catalog) })
}

const ARM: Option<Arch> = Some(Arch::Aarch64);
const X86: Option<Arch> = Some(Arch::X86_64);

#[track_caller]
fn becomes(text: &str, arch: Option<Arch>, sites: &[&str], wanted: &str) {
    assert_made(text, &rewritten(text, arch), sites, wanted);
}

#[track_caller]
fn misses(text: &str, arch: Option<Arch>, reason: &str) {
    let rewritten = rewritten(text, arch);
    assert!(rewritten.found.is_empty(), "{text}\n{:?}", rewritten.found);
    let said = |miss: &super::Miss| miss.kop == "bulk_fill" && miss.reason.contains(reason);
    assert!(rewritten.misses.iter().any(said), "{:?}", rewritten.misses);
}

#[track_caller]
fn is_nothing(text: &str) {
    assert_nothing(text, &rewritten(text, ARM));
}

/// Stores of single bytes at these offsets.
fn bytes(offsets: std::ops::Range<i32>, base: &str, what: &str) -> String {
    offsets
        .map(|off| format!("*(u8 *)({base} {off:+}) = {what}\n"))
        .collect::<String>()
        .replace(" +", " + ")
        .replace(" -", " - ")
}

/// As clang clears an object on the stack.
const CLEARED: &str =
    "r1 = 0\n*(u64 *)(r10 - 8) = r1\n*(u64 *)(r10 - 16) = r1\n*(u64 *)(r10 - 24) = r1\nr0 = 0\nexit";

#[test]
fn what_is_cleared_is_found_where_it_pays() {
    becomes(CLEARED, ARM, &["bulk_fill.zero base=r10 length=24 slot=-3"], "r0 = 0\nexit");
    misses(CLEARED, X86, "it makes 4 of 4 instructions on x86_64");
    misses(CLEARED, None, "it makes 4 of 4 instructions on x86_64");
    let packed = bytes(-16..-8, "r10", "0") + "r0 = 0\nexit";
    for arch in [ARM, X86, None] {
        becomes(&packed, arch, &["bulk_fill.zero base=r10 length=8 slot=-2"], "r0 = 0\nexit");
    }
    // In any order, of any sizes, from registers and as numbers.
    becomes(
        "r3 = 0\n*(u16 *)(r1 + 12) = r3\n*(u32 *)(r1 + 8) = 0\n*(u8 *)(r1 + 14) = 0\n*(u64 *)(r1 + 0) = r3\nr0 = 0\nexit",
        None,
        &["bulk_fill.zero base=r1 length=15 slot=0"],
        "r0 = 0\nexit",
    );
    // The number is needed behind.
    becomes(
        &CLEARED.replace("r0 = 0", "r0 = r1"),
        ARM,
        &["bulk_fill.zero base=r10 length=24 slot=-3"],
        "r1 = 0\nr0 = r1\nexit",
    );
}

#[test]
fn what_begins_between_slots_is_cut_or_has_an_address_of_its_own() {
    becomes(
        "*(u32 *)(r10 - 20) = 0\n*(u64 *)(r10 - 16) = 0\n*(u64 *)(r10 - 8) = 0\nr0 = 0\nexit",
        ARM,
        &["bulk_fill.zero base=r10 length=16 slot=-2"],
        "*(u32 *)(r10 - 20) = 0\nr0 = 0\nexit",
    );
    let packed = bytes(-12..0, "r10", "0") + "r0 = r1\nexit";
    becomes(&packed, X86, &["bulk_fill.zero base=r0 length=12 slot=0"], "r0 = r10\nr0 += -12\nr0 = r1\nexit");
    // Below the lowest slot.
    let mut far = String::new();
    for word in 20..30 {
        far += &format!("*(u64 *)(r10 - {}) = 0\n", 8 * word);
    }
    becomes(
        &(far + "r0 = r1\nexit"),
        ARM,
        &["bulk_fill.zero base=r0 length=80 slot=0"],
        "r0 = r10\nr0 += -232\nr0 = r1\nexit",
    );
}

#[test]
fn long_objects_are_several_fills() {
    let mut long = String::new();
    for word in 1..20 {
        long += &format!("*(u64 *)(r1 + {}) = 0\n", 8 * word);
    }
    let rewritten = rewritten(&(long + "r0 = 0\nexit"), ARM);
    assert!(rewritten.found.len() == 2, "{rewritten:?}");
    assert_eq!(rest(&rewritten.object.programs[0]), "r0 = 0\nexit");
}

#[test]
fn other_bytes_are_found_where_they_pay() {
    let end = "r0 = 0\nexit";
    let of_register = bytes(0..8, "r1", "r2") + end;
    becomes(&of_register, None, &["bulk_fill.byte base=r1 src=r2 length=8"], end);
    let of_number = bytes(0..8, "r1", "32") + end;
    becomes(&of_number, None, &["bulk_fill.byte base=r1 src=r0 length=8"], &format!("r0 = 32\n{end}"));
    let elsewhere = bytes(5..13, "r1", "r2") + end;
    becomes(
        &elsewhere,
        None,
        &["bulk_fill.byte base=r0 src=r2 length=8"],
        &format!("r0 = r1\nr0 += 5\n{end}"),
    );
    // Repeated in a register already.
    let words =
        |of: &str| (0..12).map(|word| format!("*(u64 *)(r1 + {}) = {of}\n", 8 * word)).collect::<String>();
    let ones = format!("r3 = -1\n{}{end}", words("r3"));
    becomes(&ones, ARM, &["bulk_fill.byte base=r1 src=r3 length=96"], &format!("r3 = -1\n{end}"));
    let repeated = format!("r2 &= 255\nr4 = 0x0101010101010101 ll\nr2 *= r4\n{}{end}", words("r2"));
    becomes(&repeated, ARM, &["bulk_fill.byte base=r1 src=r2 length=96"], &format!("r2 &= 255\n{end}"));
    misses(&ones, X86, "it makes 15 of 12 instructions on x86_64");
}

#[test]
fn what_only_looks_like_it_is_none() {
    for text in [
        // Another byte, a gap, another base, a base that changes, too few of a byte, one of several bytes.
        "*(u64 *)(r1 + 0) = 0\n*(u64 *)(r1 + 8) = 1".to_owned(),
        "*(u64 *)(r1 + 0) = 0\n*(u64 *)(r1 + 16) = 0".to_owned(),
        "*(u64 *)(r1 + 0) = 0\n*(u64 *)(r2 + 8) = 0".to_owned(),
        "*(u64 *)(r1 + 0) = 0\nr1 += 8\n*(u64 *)(r1 + 8) = 0".to_owned(),
        bytes(0..3, "r1", "r2"),
        "*(u32 *)(r1 + 0) = 513\n*(u32 *)(r1 + 4) = 513".to_owned(),
        bytes(0..2, "r1", "r2") + "r2 += 1\n" + &bytes(2..4, "r1", "r2"),
        // A part of a number; an address.
        "*(u16 *)(r1 + 0) = r2\n*(u16 *)(r1 + 2) = r2\n*(u16 *)(r1 + 4) = r2\n*(u16 *)(r1 + 6) = r2"
            .to_owned(),
        bytes(0..8, "r1", "r1"),
        // Overwritten, in part or as a whole.
        "*(u64 *)(r1 + 0) = 0\n*(u64 *)(r1 + 0) = r2\n*(u64 *)(r1 + 8) = 0".to_owned(),
        "*(u64 *)(r1 + 0) = 0\n*(u16 *)(r1 + 2) = r2\n*(u64 *)(r1 + 8) = 0".to_owned(),
    ] {
        is_nothing(&format!("{}\nr0 = 0\nexit", text.trim_end()));
    }
}

/// The store of a word, something, and that of the one before it.
fn between(something: &str) -> String {
    format!("*(u64 *)(r1 + 8) = 0\n{something}\n*(u64 *)(r1 + 0) = 0\nr0 = r6\nexit")
}

#[test]
fn accesses_in_between_are_not_overtaken() {
    let at = |something: &str| {
        let rewritten = rewritten(&between(something), ARM);
        rewritten.found.iter().map(|found| found.at).collect::<Vec<_>>()
    };
    assert_eq!(at("r6 += r7"), [0]);
    assert_eq!(at("*(u16 *)(r1 + 16) = r6"), [0]);
    // What is loaded decides where it stands.
    assert_eq!(at("r6 = *(u64 *)(r1 + 8)"), [0]);
    assert_eq!(at("r6 = *(u64 *)(r1 + 0)"), [2]);
    misses(&between("r6 = *(u64 *)(r1 + 4)"), ARM, "r6 differs");
    // Any other address may be that of the bytes.
    for other in ["*(u64 *)(r8 + 0) = r6", "r6 = *(u64 *)(r8 + 0)", "lock *(u64 *)(r8 + 0) += r6"] {
        misses(&between(other), ARM, "instruction 1, in between, may access the same bytes");
    }
    // What stands on either side of it is a fill of its own.
    becomes(
        "*(u64 *)(r1 + 24) = 0\n*(u64 *)(r1 + 16) = 0\nr6 = *(u64 *)(r8 + 0)\n*(u64 *)(r1 + 8) = 0\n*(u64 *)(r1 + 0) = 0\nr0 = r6\nexit",
        ARM,
        &["bulk_fill.zero base=r1 length=16 slot=2", "bulk_fill.zero base=r1 length=16 slot=0"],
        "r6 = *(u64 *)(r8 + 0)\nr0 = r6\nexit",
    );
    // A base that was copied before it changed.
    becomes(
        "r3 = r1\n*(u64 *)(r1 + 8) = 0\nr1 = r6\n*(u64 *)(r3 + 0) = 0\nr0 = r1\nexit",
        ARM,
        &["bulk_fill.zero base=r1 length=16 slot=0"],
        "r3 = r1\nr1 = r6\nr0 = r1\nexit",
    );
}

#[test]
fn ways_out_and_in_are_not_passed() {
    misses(&between("if r6 == 0 goto +1"), ARM, "a jump in between, instruction 1");
    misses(&between("r7 = r1\ncall 5\nr1 = r7"), ARM, "a call in between, instruction 2");
    let entered = "r3 = 0\nif r6 == 0 goto +1\n*(u64 *)(r1 + 8) = r3\n*(u64 *)(r1 + 0) = r3\nr0 = r6\nexit";
    misses(entered, ARM, "a jump goes to instruction 3, into the middle of it");
    // A number from before a call stays there.
    becomes(
        "r6 = 0\ncall 5\n*(u64 *)(r10 - 8) = r6\n*(u64 *)(r10 - 16) = r6\nexit",
        ARM,
        &["bulk_fill.zero base=r10 length=16 slot=-2"],
        "r6 = 0\nexit",
    );
}

#[test]
fn contexts_are_left_alone() {
    let catalog = Catalog::einsn();
    let options = Options { arch: ARM, ..Options::new(&catalog) };
    let text = "*(u64 *)(r1 + 8) = 0\n*(u64 *)(r1 + 0) = 0\nr0 = 0\nexit";
    let found = rewritten_as(text, ProgramKind::Tc, &options);
    assert!(found.found.is_empty() && found.misses[0].reason.contains("context"), "{found:?}");
    let text = text.replace("r1", "r10").replace("+ 8", "- 8").replace("+ 0", "- 16");
    assert_eq!(rewritten_as(&text, ProgramKind::Tc, &options).found.len(), 1);
}

#[test]
fn a_wrong_length_and_a_way_in_are_refused() {
    let catalog = Catalog::einsn();
    let texts = [
        (Planted::WrongAmount, CLEARED.to_owned()),
        (
            Planted::IgnoredTarget,
            "if r6 == 0 goto +1\n*(u64 *)(r1 + 8) = 0\n*(u64 *)(r1 + 0) = 0\nr0 = r6\nexit".to_owned(),
        ),
    ];
    for (planted, text) in texts {
        let made = |checked| {
            let options = Options { arch: ARM, planted: Some(planted), checked, ..Options::new(&catalog) };
            rewritten_as(&text, ProgramKind::Raw, &options)
        };
        let refused = made(true);
        assert!(refused.found.is_empty() && !refused.misses.is_empty(), "{}: {refused:?}", planted.name());
        assert!(!made(false).found.is_empty(), "{} is made where nobody looks", planted.name());
    }
}
