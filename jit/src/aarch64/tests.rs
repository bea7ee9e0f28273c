// SPDX-License-Identifier: GPL-2.0-or-later
//! What programs become, read back by an independent disassembler. Expected listings follow from the manual and from the
//! rules in the modules' documentation.

use disarm64::{InsnDisplay, decoder};
use kop_ops::{Arch, Code, Feature, Features};

use crate::tests::program;
use crate::{CompileError, Options, compile};

fn options(guarded: bool) -> Options<'static> {
    Options { arch: Arch::Aarch64, ..crate::tests::options(guarded) }
}

fn code(text: &str, options: &Options) -> Code {
    compile(&program(text), options).expect("it compiles")
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
}

/// The instructions of `bytes`, branches relative to their start.
fn listing(bytes: &[u8]) -> Vec<String> {
    words(bytes)
        .enumerate()
        .map(|(index, word)| {
            let insn = decoder::decode(word).expect("it is an instruction");
            // It aligns operands with tabs, and names no aliases.
            let text = insn.display_at(4 * index as u64).to_string();
            text.split_whitespace().collect::<Vec<_>>().join(" ").replace(", lsl #0x0", "")
        })
        .collect()
}

/// The code of `text` without the prologue, which loads what comes in, and without what follows it.
fn body(text: &str, options: &Options) -> Vec<String> {
    let code = code(&format!("{text}\nexit"), options);
    let count = text.lines().count() as u32;
    let offset = |index| {
        code.marks.iter().find(|mark| mark.index == index).expect("every instruction has code").offset
            as usize
    };
    listing(&code.bytes[offset(0)..offset(count)])
}

fn assert_bodies(table: &[(&str, &str)], options: &Options) {
    for (text, expected) in table {
        let expected: Vec<&str> = expected.split("; ").filter(|line| !line.is_empty()).collect();
        assert_eq!(body(text, options), expected, "{text}");
    }
}

#[test]
fn immediates_take_the_fewest_instructions() {
    let table = [
        ("r0 = 0", "movz w7, #0x0"),
        ("r1 = 5", "movz w0, #0x5"),
        ("r1 = -5", "movn x0, #0x4"),
        ("w1 = -5", "movn w0, #0x4"),
        ("r1 = -1 ll", "movn x0, #0x0"),
        ("r1 = 0xffffffff ll", "movn w0, #0x0"),
        ("r1 = 0x12345678", "movz w0, #0x5678; movk w0, #0x1234, lsl #0x10"),
        ("r1 = 0x5555555555555555 ll", "orr x0, xzr, #0x5555555555555555"),
        ("r1 = 0x1234000000005678 ll", "movz x0, #0x5678; movk x0, #0x1234, lsl #0x30"),
        ("r1 = 0x5555123455555555 ll", "orr x0, xzr, #0x5555555555555555; movk x0, #0x1234, lsl #0x20"),
        ("r2 += 0", ""),
        ("w2 += 0", "orr w1, wzr, w1"),
        ("r2 += 4095", "add x1, x1, #0xfff"),
        ("r2 += 4096", "add x1, x1, #0x1, lsl #12"),
        ("r2 -= 8", "sub x1, x1, #0x8"),
        ("r2 += -8", "sub x1, x1, #0x8"),
        ("r2 += 4097", "movz w10, #0x1001; add x1, x1, x10"),
        ("r2 += 0x123456", "add x1, x1, #0x123, lsl #12; add x1, x1, #0x456"),
        ("r2 &= 255", "and w1, w1, #0xff"),
        ("r2 &= 0x0f0f0f0f", "and w1, w1, #0xf0f0f0f"),
        ("r2 &= -2", "and x1, x1, #0xfffffffffffffffe"),
        ("r2 |= 5", "movz w10, #0x5; orr x1, x1, x10"),
        ("r2 ^= -1", "orn x1, xzr, x1"),
        ("r2 *= 8", "ubfm x1, x1, #61, #60"),
        ("r2 *= 5", "add x1, x1, x1, lsl #2"),
        ("r2 *= 7", "movz w10, #0x7; madd x1, x1, x10, xzr"),
    ];
    assert_bodies(&table, &options(false));
}

#[test]
fn moves_and_shifts_become_one_with_what_follows() {
    let table = [
        ("r1 = r2\nr1 += 14", "add x0, x1, #0xe"),
        ("r1 = r2\nr1 += r3", "add x0, x1, x2"),
        ("r1 = r2\nr1 -= r1", "sub x0, x1, x1"),
        ("r1 = r2\nw1 += 14", "add w0, w1, #0xe"),
        ("w1 = w2\nr1 += 14", "orr w0, wzr, w1; add x0, x0, #0xe"),
        ("r1 = r2\nr1 %= r3", "udiv x9, x1, x2; msub x0, x9, x2, x1"),
        ("r1 <<= 32\nr1 >>= 32", "ubfm x0, x0, #0, #31"),
        ("r1 <<= 48\nr1 s>>= 48", "sbfm x0, x0, #0, #15"),
        ("r1 <<= 32\nr1 >>= 31", "ubfm x0, x0, #63, #31"),
        ("r1 >>= 4\nr1 &= 15", "ubfm x0, x0, #4, #7"),
        ("r1 >>= 62\nr1 &= 15", "ubfm x0, x0, #62, #63"),
    ];
    assert_bodies(&table, &options(false));
    let apart = "r1 = r2\nr1 += 14\nif r1 < 100 goto -2";
    let expected = "orr x0, xzr, x1; add x0, x0, #0xe; subs xzr, x0, #0x64; b.lo 0x4";
    assert_eq!(body(apart, &options(false)).join("; ").replace("b.cc", "b.lo"), expected);
}

#[test]
fn division_is_the_processors() {
    let table = [
        ("r2 /= 16", "ubfm x1, x1, #4, #63"),
        ("r2 %= 16", "and w1, w1, #0xf"),
        ("r2 s/= -1", "sub x1, xzr, x1"),
        ("w2 %= 0", "orr w1, wzr, w1"),
        ("r2 /= 0", "movz w1, #0x0"),
        ("w6 s/= w7", "sdiv w19, w19, w20"),
        ("w6 s%= w6", "sdiv w9, w19, w19; msub w19, w9, w19, w19"),
        ("r6 /= 10", "movz w10, #0xa; udiv x19, x19, x10"),
    ];
    assert_bodies(&table, &options(false));
}

#[test]
fn offsets_use_every_form_of_address() {
    let table = [
        ("r1 = *(u8 *)(r2 + 4095)", "ldrb w0, [x1, #0xfff]"),
        ("r1 = *(u8 *)(r2 + 4096)", "movz w9, #0x1000; ldrb w0, [x1, x9]"),
        ("r1 = *(u64 *)(r2 + 32760)", "ldr x0, [x1, #0x7ff8]"),
        ("r1 = *(u64 *)(r2 + 257)", "movz w9, #0x101; ldr x0, [x1, x9]"),
        ("r1 = *(u32 *)(r2 - 256)", "ldur w0, [x1, #-256]"),
        ("r1 = *(u16 *)(r10 - 257)", "movn x9, #0x100; ldrh w0, [x25, x9]"),
        ("r1 = *(s8 *)(r2 + 1)", "ldrsb x0, [x1, #0x1]"),
        ("r1 = *(s32 *)(r2 + 4)", "ldrsw x0, [x1, #0x4]"),
        ("*(u64 *)(r2 + 8) = 0", "str xzr, [x1, #0x8]"),
        ("*(u16 *)(r2 + 8) = -1", "movz w10, #0xffff; strh w10, [x1, #0x8]"),
        ("*(u64 *)(r2 + 8) = -1", "movn x10, #0x0; str x10, [x1, #0x8]"),
    ];
    assert_bodies(&table, &options(false));
}

#[test]
fn sums_become_addresses() {
    let table = [
        ("r1 = r2\nr1 += r3\nr1 = *(u8 *)(r1 + 0)", "ldrb w0, [x1, x2]"),
        ("r1 += r3\nr1 = *(s16 *)(r1 + 0)", "ldrsh x0, [x0, x2]"),
        ("r1 = r2\nr1 <<= 3\nr1 += r3\nr1 = *(u64 *)(r1 + 0)", "ldr x0, [x2, x1, lsl #3]"),
        ("r1 = r10\nr1 += -40\nr1 = *(u32 *)(r1 + 4)", "ldur w0, [x25, #-36]"),
        ("r1 = r2\nr1 += r3\n*(u32 *)(r1 + 0) = r4\nr1 = 5", "str w3, [x1, x2]; movz w0, #0x5"),
        // Another size, a number besides, a sum that is needed.
        ("r1 = r2\nr1 <<= 3\nr1 += r3\nr1 = *(u32 *)(r1 + 0)", "ubfm x0, x1, #61, #60; ldr w0, [x0, x2]"),
        ("r1 = r2\nr1 += r3\nr1 = *(u8 *)(r1 + 1)", "add x0, x1, x2; ldrb w0, [x0, #0x1]"),
        ("r1 = r2\nr1 += r3\nr4 = *(u8 *)(r1 + 0)", "add x0, x1, x2; ldrb w3, [x0]"),
        ("r1 = r2\nr1 += r3\n*(u64 *)(r1 + 0) = r1\nr1 = 5", "add x0, x1, x2; str x0, [x0]; movz w0, #0x5"),
    ];
    assert_bodies(&table, &options(false));
}

#[test]
fn what_faults_at_a_sum_is_the_access() {
    let code = code("r6 = r2\nr6 += r3\nr6 = *(u32 *)(r6 + 0)\nr0 = r6\nexit", &options(false));
    let first = code.marks.iter().find(|mark| mark.index == 0).expect("a mark").offset;
    assert_eq!(code.insn_at(first as usize), Some(2));
}

#[test]
fn jumps_go_by_registers_and_single_bits() {
    let table = [
        ("if r1 == 0 goto +1\nr0 = 1", "cbz x0, 0x8; movz w7, #0x1"),
        ("if w1 != 0 goto +1\nr0 = 1", "cbnz w0, 0x8; movz w7, #0x1"),
        ("if r1 & 32 goto +1\nr0 = 1", "tbnz w0, #5, 0x8; movz w7, #0x1"),
        ("if r1 s< 0 goto +1\nr0 = 1", "tbnz x0, #63, 0x8; movz w7, #0x1"),
        ("if w1 s> -1 goto +1\nr0 = 1", "tbz w0, #31, 0x8; movz w7, #0x1"),
        ("if r1 & 6 goto +1\nr0 = 1", "ands wzr, w0, #0x6; b.ne 0xc; movz w7, #0x1"),
        ("if r1 > -5 goto +1\nr0 = 1", "adds xzr, x0, #0x5; b.hi 0xc; movz w7, #0x1"),
        ("if r1 >= 0 goto +1\nr0 = 1", "b 0x8; movz w7, #0x1"),
        ("if r1 < 0 goto +1\nr0 = 1", "movz w7, #0x1"),
        ("if r1 == 5 goto +0", ""),
        // A jump over a jump.
        ("if w1 != 0 goto +1\ngoto +1\nr0 = 1\nr0 = 2", "cbz w0, 0x8; movz w7, #0x1; movz w7, #0x2"),
        (
            "if r1 > r2 goto +1\ngoto +1\nr0 = 1\nr0 = 2",
            "subs xzr, x0, x1; b.ls 0xc; movz w7, #0x1; movz w7, #0x2",
        ),
        ("if r1 >= 0 goto +1\ngoto +1\nr0 = 1\nr0 = 2", "b 0x8; b 0xc; movz w7, #0x1; movz w7, #0x2"),
    ];
    assert_bodies(&table, &options(false));
}

#[test]
fn atomics_are_single_instructions_or_loops() {
    let lse = Options { features: Features::of(&[Feature::Lse]), ..options(false) };
    let table = [
        ("lock *(u64 *)(r1 + 8) += r2", "add x9, x0, #0x8; ldadd x1, xzr, [x9]"),
        ("lock *(u32 *)(r1 + 0) &= r2", "orn w10, wzr, w1; ldclr w10, wzr, [x0]"),
        ("r2 = atomic_fetch_add((u32 *)(r1 + 0), r2)", "ldaddal w1, w1, [x0]"),
        ("r0 = cmpxchg_64(r1 + 0, r0, r2)", "casal x7, x1, [x0]"),
    ];
    assert_bodies(&table, &lse);
    let table = [
        (
            "lock *(u64 *)(r1 + 8) |= r2",
            "add x9, x0, #0x8; ldxr x12, [x9]; orr x10, x12, x1; stxr w11, x10, [x9]; cbnz w11, 0x4",
        ),
        (
            "r2 = xchg_64(r1 + 0, r2)",
            "ldxr x12, [x0]; stlxr w11, x1, [x0]; cbnz w11, 0x0; dmb ish; orr x1, xzr, x12",
        ),
        (
            "r0 = atomic_cmpxchg((u32 *)(r1 + 0), r0, r2)",
            "ldxr w12, [x0]; subs wzr, w12, w7; b.ne 0x18; stlxr w11, w1, [x0]; cbnz w11, 0x0; dmb ish; orr w7, wzr, w12",
        ),
        ("r2 = load_acquire((u16 *)(r1 + 0))", "ldarh w1, [x0]"),
        ("store_release((u8 *)(r1 + 1), r2)", "add x9, x0, #0x1; stlrb w1, [x9]"),
    ];
    assert_bodies(&table, &options(false));
}

#[test]
fn a_prologue_saves_only_what_is_used() {
    let listed = |text: &str| listing(&code(text, &options(false)).bytes);
    assert_eq!(listed("r0 = 1\nexit"), ["movz w7, #0x1", "orr x0, xzr, x7", "ret x30"]);
    let saved = "r6 = r1\nr0 = *(u8 *)(r10 - 1)\nexit";
    let expected = [
        "stp x19, x25, [sp, #-16]!",
        "ldr x25, [x0, #0x50]",
        "ldr x0, [x0, #0x8]",
        "orr x19, xzr, x0",
        "ldurb w7, [x25, #-1]",
        "orr x0, xzr, x7",
        "ldp x19, x25, [sp], #16",
        "ret x30",
    ];
    assert_eq!(listed(saved), expected);
    let called = "call pc+2\nr0 += r6\nexit\nr6 = 1\nr0 = r2\nexit";
    let expected = ["stp x30, x19, [sp, #-16]!", "ldr x1, [x0, #0x10]", "ldr x19, [x0, #0x30]"];
    assert_eq!(listed(called)[..3], expected);
}

/// The first words of a jump `text` over `count` instructions of one word each.
fn jump_over(text: &str, count: usize) -> Vec<String> {
    let code =
        code(&format!("{text} goto +{count}\n{}r0 = 0\nexit", "r1 += r2\n".repeat(count)), &options(false));
    let at = code.marks.iter().find(|mark| mark.index == 0).expect("it has code").offset as usize;
    listing(&code.bytes[at..at + 8])
}

#[test]
fn branches_are_one_instruction_up_to_their_reach() {
    // TBNZ reaches 32764 bytes forward, CBZ would reach 1 MiB, beyond any 16-bit offset.
    assert_eq!(jump_over("if r1 & 2", 8190)[0], "tbnz w0, #1, 0x7ffc");
    assert_eq!(jump_over("if r1 & 2", 8191), ["tbz w0, #1, 0x8", "b 0x8004"]);
    assert_eq!(jump_over("if r1 == 0", 8191)[0], "cbz x0, 0x8000");
    let back = |count: usize| {
        let text = format!("{}if r1 & 2 goto -{}\nr0 = 0\nexit", "r1 += r2\n".repeat(count), count + 1);
        let code = code(&text, &options(false));
        let marks = &code.marks;
        let at = marks.iter().find(|mark| mark.index == count as u32).expect("it has code").offset as usize;
        listing(&code.bytes[at..at + 8])
    };
    assert_eq!(back(8192)[0], "tbnz w0, #1, 0xffffffffffff8000");
    assert_eq!(back(8193)[0], "tbz w0, #1, 0x8");
}

#[test]
fn a_branch_that_grows_moves_everything_behind_it() {
    let count = 8191;
    let text = format!("if r1 & 2 goto +{count}\n{}r0 = 0\nexit", "r1 += r2\n".repeat(count));
    let code = code(&text, &options(false));
    let offsets: Vec<u32> =
        code.marks.iter().filter(|mark| mark.index != u32::MAX).map(|mark| mark.offset).collect();
    assert_eq!(offsets[1] - offsets[0], 8);
    assert_eq!(offsets[count + 1] - offsets[1], 4 * count as u32);
    assert_eq!(listing(&code.bytes[offsets[count + 1] as usize..])[0], "movz w7, #0x0");
}

#[test]
fn constants_are_as_short_as_the_assemblers() {
    let mut value = 0x9e37_79b9_7f4a_7c15u64;
    for round in 0..4000 {
        value = value.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        // Halfwords of zeros, of ones and of their neighbour's value are common.
        let halves = [value as u16, 0, 0xffff, (value >> 16) as u16];
        let pick = |shift: u32| u64::from(halves[(value >> (32 + 2 * shift)) as usize & 3]) << (16 * shift);
        let constant = pick(0) | pick(1) | pick(2) | pick(3);
        let constant = if round % 4 == 0 { constant & 0xffff_ffff } else { constant };
        let text = body(&format!("r1 = {constant:#x} ll"), &options(false));
        let fewest =
            kop_ops::aarch64::mov_imm(kop_ops::aarch64::Width::X, kop_ops::aarch64::Gpr::X0, constant);
        assert_eq!(text.len(), fewest.len(), "{constant:#x}: {text:?}");
    }
}

#[test]
fn what_cannot_be_compiled_is_named() {
    let reason = |text: &str| match compile(&program(text), &options(false)) {
        Err(CompileError::Unsupported { index, reason }) => (index, reason),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(reason("r0 = 0\ncall kfunc 5\nexit").0, 1);
    let (index, text) = reason("r0 = *(u8 *)skb[4]\nexit");
    assert_eq!((index, text.contains("legacy")), (0, true));
}
