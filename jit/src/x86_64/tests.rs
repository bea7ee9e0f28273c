// SPDX-License-Identifier: GPL-2.0-or-later
//! What programs become, read back by an independent disassembler. Expected listings follow from the manual and from the
//! rules in the modules' documentation.

use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
use kop_ops::{Code, Feature, Features};

use crate::tests::{options, program};
use crate::{CompileError, Options, compile};

fn code(text: &str, options: &Options) -> Code {
    compile(&program(text), options).expect("it compiles")
}

/// The instructions of `code`, branches relative to its start.
fn listing(code: &Code) -> Vec<String> {
    let mut formatter = IntelFormatter::new();
    formatter.options_mut().set_first_operand_char_index(0);
    formatter.options_mut().set_space_after_operand_separator(true);
    formatter.options_mut().set_branch_leading_zeros(false);
    let decoder = Decoder::with_ip(64, &code.bytes, 0, DecoderOptions::NONE);
    decoder
        .into_iter()
        .map(|insn| {
            let mut text = String::new();
            formatter.format(&insn, &mut text);
            text
        })
        .collect()
}

/// The code of `text` without the prologue, which loads what comes in, and the final `ret`.
fn body(text: &str, options: &Options) -> Vec<String> {
    let code = code(&format!("{text}\nexit"), options);
    let start = code.marks.iter().find(|mark| mark.index == 0).expect("instruction 0 has code").offset;
    let mut code = Code { bytes: code.bytes[start as usize..].to_vec(), ..code };
    assert_eq!(code.bytes.pop(), Some(0xc3));
    listing(&code)
}

fn assert_bodies(table: &[(&str, &str)], options: &Options) {
    for (text, expected) in table {
        let expected: Vec<&str> = expected.split("; ").filter(|line| !line.is_empty()).collect();
        assert_eq!(body(text, options), expected, "{text}");
    }
}

#[test]
fn immediates_take_the_fewest_bytes() {
    let table = [
        ("r0 = 0", "xor eax, eax"),
        ("r1 = 5", "mov edi, 5"),
        ("r1 = -5", "mov rdi, 0FFFFFFFFFFFFFFFBh"),
        ("w1 = -5", "mov edi, 0FFFFFFFBh"),
        ("r1 = 0xffffffff ll", "mov edi, 0FFFFFFFFh"),
        ("r1 = 0x123456789 ll", "mov rdi, 123456789h"),
        ("r2 += 0", ""),
        ("w2 += 0", "mov esi, esi"),
        ("r2 += 1", "inc rsi"),
        ("r2 += 128", "sub rsi, 0FFFFFFFFFFFFFF80h"),
        ("r2 &= 255", "movzx esi, sil"),
        ("r2 &= 0x7fffffff", "and esi, 7FFFFFFFh"),
        ("r2 &= -2", "and rsi, 0FFFFFFFFFFFFFFFEh"),
        ("r2 *= 8", "shl rsi, 3"),
        ("r2 *= 5", "lea rsi, [rsi+rsi*4]"),
        ("r2 *= -7", "imul rsi, 0FFFFFFFFFFFFFFF9h"),
        ("r2 ^= r2", "xor esi, esi"),
    ];
    assert_bodies(&table, &options(false));
}

#[test]
fn moves_and_shifts_become_one_with_what_follows() {
    let table = [
        ("r1 = r2\nr1 += 14", "lea rdi, [rsi+0Eh]"),
        ("r1 = r2\nr1 += r3", "lea rdi, [rsi+rdx]"),
        ("r1 = r2\nr1 += r1", "lea rdi, [rsi+rsi]"),
        ("r1 = r2\nr1 &= 255", "movzx edi, sil"),
        ("r1 = r2\nw1 += 14", "mov rdi, rsi; add edi, 0Eh"),
        ("r1 <<= 32\nr1 >>= 32", "mov edi, edi"),
        ("r1 <<= 32\nr1 s>>= 32", "movsxd rdi, edi"),
        ("r1 <<= 32\nr1 >>= 31", "shl rdi, 20h; shr rdi, 1Fh"),
        ("r1 = *(u16 *)(r2 + 4)\nr1 = be16 r1", "movzx edi, word ptr [rsi+4]; rol di, 8"),
        ("r1 = *(u32 *)(r2 + 4)\nr1 = be32 r1", "mov edi, [rsi+4]; bswap edi"),
    ];
    assert_bodies(&table, &options(false));
    let apart = "if r3 < 100 goto +1\nr1 = r2\nr1 += 14";
    assert_bodies(&[(apart, "cmp rdx, 64h; jb short 9; mov rdi, rsi; add rdi, 0Eh")], &options(false));
}

#[test]
fn sums_become_one_address() {
    let table = [
        ("r1 = r2\nr1 += r3\nr1 += 14", "lea rdi, [rsi+rdx+0Eh]"),
        ("r1 = r2\nr1 <<= 3\nr1 += r3\nr1 -= 6", "lea rdi, [rdx+rsi*8-6]"),
        ("w1 = w2\nw1 += w3\nw1 += 14", "lea edi, [rsi+rdx+0Eh]"),
        ("r1 = r2\nr1 += r3\nr1 += r4", "lea rdi, [rsi+rdx]; add rdi, rcx"),
        ("r1 = r2\nr1 += r3\nr1 += r1", "lea rdi, [rsi+rdx]; add rdi, rdi"),
        ("r1 += r3\nr1 += 14", "lea rdi, [rdi+rdx+0Eh]"),
        ("r1 = r2\nr1 <<= 3", "mov rdi, rsi; shl rdi, 3"),
        ("r1 = r2\nr1 -= -2147483648", "mov rdi, rsi; sub rdi, 0FFFFFFFF80000000h"),
        ("r1 = r2\nr1 += 2147483647\nr1 += 2", "lea rdi, [rsi+7FFFFFFFh]; add rdi, 2"),
        ("r1 = r10\nr1 += r3", "lea rdi, [rdx+rbp]; pop rbp"),
        // The address of an access, which is not needed but for that.
        ("r1 = r2\nr1 += r3\nr1 = *(u8 *)(r1 + 4)", "movzx edi, byte ptr [rsi+rdx+4]"),
        ("r1 += r3\nr1 = *(u16 *)(r1 + 0)\nr1 = be16 r1", "movzx edi, word ptr [rdi+rdx]; rol di, 8"),
        ("r1 = r2\nr1 += r3\nr4 = *(u64 *)(r1 + 4)\nr1 = 5", "mov rcx, [rsi+rdx+4]; mov edi, 5"),
        ("r1 = r2\nr1 += r3\n*(u32 *)(r1 + 4) = r4\nr1 = 5", "mov [rsi+rdx+4], ecx; mov edi, 5"),
        // It may be needed.
        ("r1 = r2\nr1 += r3\nr4 = *(u64 *)(r1 + 4)", "mov rcx, [rsi+rdx+4]; lea rdi, [rsi+rdx]"),
        ("r1 = r2\nr4 = *(u64 *)(r1 + 4)", "mov rcx, [rsi+4]; mov rdi, rsi"),
        ("r1 = r2\nw1 = w1", "mov edi, esi"),
        ("r1 = r2\nr1 += r3\nr2 = *(u64 *)(r1 + 4)", "lea rdi, [rsi+rdx]; mov rsi, [rdi+4]"),
        ("r1 = r2\nr1 += r3\n*(u32 *)(r1 + 4) = r4", "lea rdi, [rsi+rdx]; mov [rdi+4], ecx"),
        (
            "r1 = r2\nr1 += r3\n*(u32 *)(r1 + 4) = r1\nr1 = 5",
            "lea rdi, [rsi+rdx]; mov [rdi+4], edi; mov edi, 5",
        ),
        // A 32-bit sum is no address.
        ("w1 = w2\nw1 += w3\nr1 = *(u8 *)(r1 + 4)", "lea edi, [rsi+rdx]; movzx edi, byte ptr [rdi+4]"),
    ];
    assert_bodies(&table, &options(false));
    let guarded = listing(&code("r1 += r2\nr1 = *(u8 *)(r1 + 4)\nexit", &options(true)));
    let at = guarded.iter().position(|line| line == "lea r9, [rdi+rsi+4]").expect("the address is computed");
    assert_eq!((&*guarded[at + 1], &*guarded[at + 3]), ("mov r11d, 2", "movzx edi, byte ptr [r9]"));
}

#[test]
fn what_faults_at_a_sum_is_the_access() {
    for guarded in [false, true] {
        let code =
            code("r6 = r2\nr6 += r3\nr6 = *(u32 *)(r6 + 4)\nr6 = be32 r6\nr0 = r6\nexit", &options(guarded));
        let offsets: Vec<u32> = (0..5)
            .map(|index| code.marks.iter().find(|mark| mark.index == index).expect("a mark").offset)
            .collect();
        assert_eq!(offsets[0], offsets[2], "the address is part of the access");
        assert_eq!(code.insn_at(offsets[0] as usize), Some(2));
        assert!(offsets[2] < offsets[3] && offsets[3] < offsets[4], "{offsets:?}");
    }
}

#[test]
fn what_is_jumped_to_is_no_part_of_a_sum() {
    let table = [
        (
            "if r3 < 100 goto +2\nr1 = r2\nr1 += r3\nr1 += 14",
            "cmp rdx, 64h; jb short 0Ah; lea rdi, [rsi+rdx]; add rdi, 0Eh",
        ),
        (
            "if r3 < 100 goto +2\nr1 = r2\nr1 += r3\nr1 = *(u8 *)(r1 + 0)",
            "cmp rdx, 64h; jb short 0Ah; lea rdi, [rsi+rdx]; movzx edi, byte ptr [rdi]",
        ),
    ];
    assert_bodies(&table, &options(false));
}

#[test]
fn a_jump_over_a_jump_is_one() {
    let over = "if r1 s< 5 goto +1\ngoto +1\nr1 = 0\nr2 = 0";
    assert_bodies(&[(over, "cmp rdi, 5; jge short 8; xor edi, edi; xor esi, esi")], &options(false));
    let reached = "if r2 == 7 goto +1\nif r1 s< 5 goto +1\ngoto +1\nr1 = 0\nr2 = 0";
    let apart =
        "cmp rsi, 7; je short 0Ch; cmp rdi, 5; jl short 0Eh; jmp short 10h; xor edi, edi; xor esi, esi";
    assert_bodies(&[(reached, apart)], &options(false));
    let back = "r1 -= 3\nif r1 s< 5 goto +1\ngoto -3";
    let pays = |guarded| {
        let listing = listing(&code(&format!("{back}\nr0 = 0\nexit"), &options(guarded)));
        listing.iter().filter(|line| line.starts_with("jmp")).count()
    };
    // The stubs of guarded code have jumps of their own.
    let without = listing(&code("r1 -= 3\nr0 = 0\nexit", &options(true)));
    let own = without.iter().filter(|line| line.starts_with("jmp")).count();
    assert_eq!((pays(false), pays(true) > own), (0, true));
}

#[test]
fn loops_start_in_the_first_half_of_a_line() {
    let offsets = |text: &str, heads: &[u32]| -> Vec<u32> {
        let code = code(text, &options(false));
        let marks = code.marks.iter().filter(|mark| heads.contains(&mark.index));
        marks.map(|mark| mark.offset % 64).collect()
    };
    let nested = "r1 += 5\nr2 = r3\nif r2 == r1 goto +1\ngoto -3\nif r1 != 9 goto -5\nr0 = 0\nexit";
    let text = |before: u32| format!("{}{nested}", "w4 = w4\n".repeat(before as usize));
    for before in 0..70 {
        let heads = offsets(&text(before), &[before, before + 1]);
        assert!(heads.iter().all(|offset| *offset < 32), "{before} before: {heads:?}");
    }
    let nops = |guarded| {
        let listing = listing(&code(&text(20), &options(guarded)));
        listing.iter().filter(|line| line.contains("nop")).count()
    };
    assert!((1..=8).contains(&nops(false)), "few and long");
    assert_eq!(nops(true), 0, "guarded code is not padded");
}

#[test]
fn shifts_by_a_register_go_through_cl_or_bmi2() {
    let table = [
        ("r2 <<= r1", "mov ecx, edi; shl rsi, cl"),
        ("r2 <<= r1\nr4 = 1", "mov r10, rcx; mov ecx, edi; shl rsi, cl; mov rcx, r10; mov ecx, 1"),
        ("r4 >>= r1", "mov r10, rcx; mov ecx, edi; shr r10, cl; mov rcx, r10"),
        ("w4 s>>= w4", "sar ecx, cl"),
        ("w2 s>>= w4", "sar esi, cl"),
        ("r2 <<= 64", ""),
        ("w2 <<= 33", "shl esi, 1"),
    ];
    assert_bodies(&table, &options(false));
    let bmi2 = Options { features: Features::of(&[Feature::Bmi2, Feature::Movbe]), ..options(false) };
    let table = [
        ("r2 <<= r1", "shlx rsi, rsi, rdi"),
        ("r2 = r3\nr2 >>= r1", "shrx rsi, rdx, rdi"),
        ("r1 = *(u32 *)(r2 + 4)\nr1 = be32 r1", "movbe edi, [rsi+4]"),
    ];
    assert_bodies(&table, &bmi2);
    assert_eq!(code("r2 <<= r1\nexit", &bmi2).features, Features::of(&[Feature::Bmi2]));
}

#[test]
fn division_keeps_what_it_does_not_yield() {
    let table = [
        ("r2 /= 16", "shr rsi, 4"),
        ("r2 %= 16", "and esi, 0Fh"),
        ("r2 s/= -1", "neg rsi"),
        ("w2 %= 0", "mov esi, esi"),
        ("r2 /= 0", "xor esi, esi"),
        ("w0 /= 10", "mov r11d, 0Ah; xor edx, edx; div r11d"),
        (
            "w2 /= 10\nr3 = 1",
            "mov r11d, 0Ah; mov r10, rax; mov r9, rdx; mov eax, esi; xor edx, edx; div r11d; mov esi, eax; \
             mov rax, r10; mov rdx, r9; mov edx, 1",
        ),
        ("r0 %= r2", "test rsi, rsi; je short 0Dh; xor edx, edx; div rsi; mov rax, rdx"),
    ];
    assert_bodies(&table, &options(false));
}

#[test]
fn guarded_accesses_are_checked_before_they_are_made() {
    let listing = listing(&code("*(u32 *)(r1 + 4) = 7\nexit", &options(true)));
    let at = listing.iter().position(|line| line == "lea r9, [rdi+4]").expect("the address is computed");
    assert_eq!(listing[at + 1], "mov r11d, 1");
    assert!(listing[at + 2].starts_with("call "), "{}", listing[at + 2]);
    assert_eq!(listing[at + 3], "mov dword ptr [r9], 7");
    // Nothing else touches memory through a register of the program.
    assert!(!listing.iter().any(|line| line.contains("[rdi+4]") && !line.starts_with("lea")));
}

#[test]
fn guarded_loops_and_calls_are_paid_for() {
    let listing = listing(&code("call pc+3\nr1 -= 1\nif r1 != 0 goto -2\nexit\nexit", &options(true)));
    let fuel: Vec<&str> =
        listing.iter().filter(|line| line.contains("[r12+58h]")).map(String::as_str).collect();
    let pays = |insns: u32| format!("sub qword ptr [r12+58h], {insns}");
    assert_eq!(fuel, [pays(4), pays(2), pays(1)]);
    assert!(listing.contains(&"cmp qword ptr [r12+80h], 7".to_owned()), "{listing:?}");
}

#[test]
fn atomics_are_locked() {
    let table = [
        ("lock *(u64 *)(r1 + 8) += r2", "lock add [rdi+8], rsi"),
        ("r2 = atomic_fetch_add((u32 *)(r1 + 8), r2)", "lock xadd [rdi+8], esi"),
        ("r0 = cmpxchg_64(r1 + 8, r0, r2)", "lock cmpxchg [rdi+8], rsi"),
    ];
    for (text, expected) in table {
        let Ok(insns) = kop_ops::ebpf::parse_program(text) else {
            panic!("{text} does not parse");
        };
        assert_eq!(insns.len(), 1);
        assert_bodies(&[(text, expected)], &options(false));
    }
}

#[test]
fn a_prologue_saves_only_what_is_used() {
    assert_eq!(listing(&code("r0 = 1\nexit", &options(false))), ["mov eax, 1", "ret"]);
    let saved = "r6 = r1\nr0 = *(u8 *)(r10 - 1)\nexit";
    let expected = [
        "push rbx",
        "push rbp",
        "mov rbp, [rdi+50h]",
        "mov rdi, [rdi+8]",
        "mov rbx, rdi",
        "movzx eax, byte ptr [rbp-1]",
        "pop rbp",
        "pop rbx",
        "ret",
    ];
    assert_eq!(listing(&code(saved, &options(false))), expected);
}

#[test]
fn branches_are_short_up_to_their_reach() {
    // `w1 = w1` is two bytes long, so that distances are even; `mov r13, r13` is three.
    let forward = |count: usize, more: &str| {
        let text = format!(
            "if r1 == 0 goto +{}\n{}{more}r0 = 0\nexit",
            count + more.lines().count(),
            "w1 = w1\n".repeat(count)
        );
        let code = code(&text, &options(false));
        let at = code.marks.iter().find(|mark| mark.index == 0).expect("it has code").offset as usize;
        (code.bytes[at + 3], code.bytes[at + 4])
    };
    assert_eq!(forward(62, "r7 = r6\n"), (0x74, 127));
    assert_eq!(forward(64, ""), (0x0f, 0x84));
    let backward = |count: usize, more: &str| {
        let length = count + more.lines().count();
        let text =
            format!("{}{more}if r1 == 0 goto -{}\nr0 = 0\nexit", "w1 = w1\n".repeat(count), length + 1);
        let code = code(&text, &options(false));
        let jump =
            code.marks.iter().find(|mark| mark.index == length as u32).expect("it has code").offset as usize;
        (code.bytes[jump + 3], code.bytes[jump + 4])
    };
    assert_eq!(backward(60, "r7 = r6\n"), (0x74, 0x80));
    assert_eq!(backward(62, ""), (0x0f, 0x84));
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
    assert!(reason("call pc+1\nexit\nr0 = 0\ngoto -3").1.contains("another function"));
    assert!(reason("call pc+1\nr0 = 0\nr1 = 1\nexit").1.contains("runs into the next function"));
}
