// SPDX-License-Identifier: GPL-2.0-or-later
//! What is refused, what is let through, and what is said of it.

use kop_ops::choices::{Choices, Seeded};
use kop_ops::{Access, Catalog, EmitRequest, Form, Kop, Pass, Reject, Site, aarch64, x86_64};

use super::BreachKind as K;
use super::*;

fn hex(text: &str) -> Vec<u8> {
    text.split(' ')
        .filter(|byte| !byte.is_empty())
        .map(|byte| u8::from_str_radix(byte, 16).expect("hex"))
        .collect()
}

/// The bytes of A64 words.
fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The rows of a table that do not hold, one in a line.
fn wrong<'a>(arch: Arch, table: impl Iterator<Item = (Vec<u8>, &'a str, K)>) -> String {
    let mut wrong = String::new();
    for (bytes, text, expected) in table {
        match inspect(arch, &bytes) {
            Err(breach) if breach.kind == expected && breach.line.text == text => {}
            found => wrong.push_str(&format!("{bytes:02x?} `{text}` {expected:?}: {found:?}\n")),
        }
    }
    wrong
}

/// Bytes from the Intel SDM's opcode maps, the instruction, and the rule that it breaks.
const X86_64_REFUSED: &[(&str, &str, K)] = &[
    ("06", "(bad)", K::Undecodable),
    ("0f ff c0", "ud0 eax, eax", K::Trap),
    ("62 f1 7c 48 58", "(bad)", K::Truncated),
    ("f0 01 c0", "(bad)", K::Undecodable),
    ("48", "(bad)", K::Truncated),
    ("48 b8 00 00 00", "(bad)", K::Truncated),
    ("90 e9 00 00 00", "(bad)", K::Truncated),
    ("f4", "hlt", K::Privileged),
    ("fa", "cli", K::Privileged),
    ("fb", "sti", K::Privileged),
    ("ec", "in al, dx", K::Privileged),
    ("e6 80", "out 0x80, al", K::Privileged),
    ("f3 6c", "rep insb [rdi], dx", K::Privileged),
    ("6f", "outsd dx, [rsi]", K::Privileged),
    ("0f 30", "wrmsr", K::Privileged),
    ("0f 32", "rdmsr", K::Privileged),
    ("0f 20 c0", "mov rax, cr0", K::Privileged),
    ("0f 23 f8", "mov dr7, rax", K::Privileged),
    ("0f 01 f8", "swapgs", K::Privileged),
    ("0f 01 cb", "stac", K::Privileged),
    ("0f 09", "wbinvd", K::Privileged),
    ("0f 01 38", "invlpg [rax]", K::Privileged),
    ("0f 01 00", "sgdt [rax]", K::Privileged),
    ("0f 00 c8", "str eax", K::Privileged),
    ("0f 07", "sysret", K::Privileged),
    ("48 cf", "iretq", K::Privileged),
    ("0f 05", "syscall", K::KernelEntry),
    ("0f 34", "sysenter", K::KernelEntry),
    ("cd 80", "int 0x80", K::KernelEntry),
    ("0f 01 c1", "vmcall", K::KernelEntry),
    ("0f 01 d7", "enclu", K::KernelEntry),
    ("cc", "int3", K::Trap),
    ("f1", "int1", K::Trap),
    ("0f 0b", "ud2", K::Trap),
    ("0f 31", "rdtsc", K::NotDeterministic),
    ("0f 01 f9", "rdtscp", K::NotDeterministic),
    ("0f 33", "rdpmc", K::NotDeterministic),
    ("48 0f c7 f0", "rdrand rax", K::NotDeterministic),
    ("0f c7 f8", "rdseed eax", K::NotDeterministic),
    ("0f a2", "cpuid", K::NotDeterministic),
    ("f3 0f c7 f8", "rdpid rax", K::NotDeterministic),
    ("0f 01 d0", "xgetbv", K::NotDeterministic),
    ("c7 f8 00 00 00 00", "xbegin 6", K::NotDeterministic),
    ("0f 01 d5", "xend", K::NotDeterministic),
    ("0f 01 d6", "xtest", K::NotDeterministic),
    ("66 0f ae f0", "tpause eax", K::NotDeterministic),
    ("66 e9 00 00 00 00", "jmp 6", K::NotDeterministic),
    ("66 0f 84 00 00 00 00", "je 7", K::NotDeterministic),
    ("c3", "ret", K::Leaves),
    ("c2 08 00", "ret 8", K::Leaves),
    ("cb", "ret far", K::Leaves),
    ("ff e0", "jmp rax", K::Leaves),
    ("ff 10", "call qword ptr [rax]", K::Leaves),
    ("ff 28", "jmp far fword ptr [rax]", K::Leaves),
    ("e8 00 00 00 00", "call 5", K::Leaves),
    ("64 48 8b 07", "mov rax, fs:[rdi]", K::Segment),
    ("65 48 89 07", "mov gs:[rdi], rax", K::Segment),
    ("65 a4", "movsb es:[rdi], gs:[rsi]", K::Segment),
    ("8e d8", "mov ds, ax", K::Segment),
    ("8c c8", "mov eax, cs", K::Segment),
    ("0f a0", "push fs", K::Segment),
    ("0f b2 00", "lss eax, [rax]", K::Segment),
    ("f3 48 0f ae d0", "wrfsbase rax", K::Segment),
    ("0f 03 c0", "lsl eax, eax", K::Segment),
    ("0f ae 10", "ldmxcsr [rax]", K::SystemState),
    ("c5 f8 ae 18", "vstmxcsr [rax]", K::SystemState),
    ("0f 01 ef", "wrpkru", K::SystemState),
    ("f3 48 0f 1e c8", "rdsspq rax", K::SystemState),
    ("c4 e2 7b 49 c0", "tilezero tmm0", K::SystemState),
    ("fd", "std", K::DirectionFlag),
    ("fc f3 a4 fd", "std", K::DirectionFlag),
    ("9d", "popfq", K::DirectionFlag),
    ("48 89 c4", "mov rsp, rax", K::StackPointer),
    ("48 94", "xchg rsp, rax", K::StackPointer),
    ("5c", "pop rsp", K::StackPointer),
    ("c9", "leave", K::StackPointer),
    ("c8 08 00 00", "enter 8, 0", K::StackPointer),
    ("83 ec 08", "sub esp, 8", K::StackPointer),
    ("48 83 e4 f0", "and rsp, 0xfffffffffffffff0", K::StackPointer),
    ("48 8d 24 04", "lea rsp, [rsp+rax]", K::StackPointer),
    ("48 89 44 24 f8", "mov [rsp-8], rax", K::StackPointer),
    ("48 8b 84 24 80 ff ff ff", "mov rax, [rsp-0x80]", K::StackPointer),
    ("d9 c0", "fld st, st(0)", K::X87),
    ("0f 77", "emms", K::X87),
    ("0f ef c0", "pxor mm0, mm0", K::X87),
    ("f3 0f d6 c0", "movq2dq xmm0, mm0", K::X87),
    ("9b", "fwait", K::X87),
    ("0f ae 00", "fxsave [rax]", K::X87),
    ("0f ae 20", "xsave [rax]", K::X87),
    ("48 8d 05 00 00 00 00", "lea rax, [rip]", K::Position),
    ("48 8b 05 f9 ff ff ff", "mov rax, [rip-7]", K::Position),
    ("eb fd", "jmp 0xffffffffffffffff", K::Outside { target: -1, length: 2 }),
    ("74 01", "je 3", K::Outside { target: 3, length: 2 }),
    ("e3 7f", "jrcxz 0x81", K::Outside { target: 0x81, length: 2 }),
    ("e9 00 00 00 80", "jmp 0xffffffff80000005", K::Outside { target: 5 - 0x8000_0000, length: 5 }),
    ("eb 01 48 89 c8", "jmp 3", K::IntoInstruction { target: 3 }),
    ("48 89 c8 eb fc", "jmp 1", K::IntoInstruction { target: 1 }),
];

#[test]
fn x86_64_rules() {
    let table = X86_64_REFUSED.iter().map(|(bytes, text, kind)| (hex(bytes), *text, *kind));
    assert_eq!(wrong(Arch::X86_64, table), "");
}

/// Words from the Arm ARM's chapter C6, the instruction, and the rule that it breaks.
const AARCH64_REFUSED: &[(u32, &str, K)] = &[
    (0x0000_0000, "udf #0x0", K::Trap),
    (0xffff_ffff, "(bad)", K::Undecodable),
    (0x1180_0000, "add w0, w0, <undefined>", K::Undecodable),
    (0x0b01_a000, "add w0, w0, <undefined>", K::Undecodable),
    (0x8bc1_0000, "add x0, x0, <undefined>", K::Undecodable),
    (0x1280_0000 | 1 << 22, "movn w0, <undefined>", K::Undecodable),
    (0x9240_fc00, "and x0, x0, <undefined>", K::Undecodable),
    (0x5300_8000, "ubfm w0, w0, #0, <undefined>", K::Undecodable),
    (0x5f00_54dc, "(bad)", K::Undecodable),
    (0x1e66_0000, "fmov w0, d0", K::Undecodable),
    (0x9e26_0000, "fmov x0, s0", K::Undecodable),
    (0xd400_0001, "svc #0x0", K::KernelEntry),
    (0xd400_0002, "hvc #0x0", K::KernelEntry),
    (0xd400_0003, "smc #0x0", K::KernelEntry),
    (0xd420_0000, "brk #0x0", K::Trap),
    (0xd440_0000, "hlt #0x0", K::Trap),
    (0xd4a0_0001, "dcps1 #0x0", K::Privileged),
    (0xd69f_03e0, "eret", K::Privileged),
    (0xd503_46df, "msr daifset, #0x6", K::Privileged),
    // dc zva, x0 and tlbi vmalle1
    (0xd50b_7420, "sys #3, c7, c4, #1, x0", K::Privileged),
    (0xd508_871f, "sys #0, c8, c7, #0, xzr", K::Privileged),
    (0xd53b_e040, "mrs x0, cntvct_el0", K::NotDeterministic),
    (0xd53b_e020, "mrs x0, cntpct_el0", K::NotDeterministic),
    (0xd53b_9d00, "mrs x0, pmccntr_el0", K::NotDeterministic),
    (0xd53b_2400, "mrs x0, rndr", K::NotDeterministic),
    (0xd503_233f, "paciasp", K::NotDeterministic),
    (0xd503_20ff, "xpaclri", K::NotDeterministic),
    (0xdac1_0020, "pacia x0, x1", K::NotDeterministic),
    (0xd503_1000, "wfet x0", K::NotDeterministic),
    (0xf840_8421, "ldr x1, [x1], #8", K::NotDeterministic),
    (0xa8c1_0401, "ldp x1, x1, [x0], #16", K::NotDeterministic),
    (0xa940_0401, "ldp x1, x1, [x0]", K::NotDeterministic),
    (0xc800_7c20, "stxr w0, x0, [x1]", K::NotDeterministic),
    (0xd538_0000, "mrs x0, midr_el1", K::SystemState),
    (0xd53b_d040, "mrs x0, tpidr_el0", K::SystemState),
    (0xd51b_4400, "msr fpcr, x0", K::SystemState),
    (0xd53b_4420, "mrs x0, fpsr", K::SystemState),
    (0xd503_251f, "chkfeat x16", K::SystemState),
    (0xf840_0820, "ldtr x0, [x1]", K::SystemState),
    (0x9ac1_1020, "irg x0, x1, x1", K::SystemState),
    (0xd503_477f, "smstart", K::SystemState),
    (0xd61f_0000, "br x0", K::Leaves),
    (0xd63f_0000, "blr x0", K::Leaves),
    (0xd65f_03c0, "ret x30", K::Leaves),
    (0x9400_0001, "bl 0x4", K::Leaves),
    (0x1000_0000, "adr x0, 0x0", K::Position),
    (0x9000_0000, "adrp x0, 0x0", K::Position),
    (0x5800_0000, "ldr x0, 0x0", K::Position),
    (0x9100_001f, "add sp, x0, #0x0", K::StackPointer),
    (0x9200_001f, "and sp, x0, #0x100000001", K::StackPointer),
    (0x8b20_63ff, "add sp, sp, x0", K::StackPointer),
    (0x1100_43ff, "add wsp, wsp, #0x10", K::StackPointer),
    (0xf81f_83e0, "stur x0, [sp, #-8]", K::StackPointer),
    (0xa97f_07e0, "ldp x0, x1, [sp, #-16]", K::StackPointer),
    (0x17ff_ffff, "b 0xfffffffffffffffc", K::Outside { target: -4, length: 4 }),
    (0x1400_0002, "b 0x8", K::Outside { target: 8, length: 4 }),
    (0x5400_0040, "b.eq 0x8", K::Outside { target: 8, length: 4 }),
    (0xb500_0040, "cbnz x0, 0x8", K::Outside { target: 8, length: 4 }),
    (0x3607_ffe0, "tbz w0, #0, 0xfffffffffffffffc", K::Outside { target: -4, length: 4 }),
];

#[test]
fn aarch64_rules() {
    let table = AARCH64_REFUSED.iter().map(|(word, text, kind)| (words(&[*word]), *text, *kind));
    assert_eq!(wrong(Arch::Aarch64, table), "");
}

/// A profile as features, other features and flags: Simd, Vex, Back, Read, Write.
fn summary(profile: &Profile) -> String {
    let flags = [
        (profile.simd, "S"),
        (profile.vex_vector, "V"),
        (profile.backward_branch, "B"),
        (profile.reads_memory, "R"),
        (profile.writes_memory, "W"),
    ];
    let flags: String = flags.into_iter().filter_map(|(set, flag)| set.then_some(flag)).collect();
    let mut words: Vec<String> = profile.features.iter().map(|feature| feature.name().to_owned()).collect();
    words.extend(profile.other_features.iter().cloned());
    words.extend(Some(flags).filter(|flags| !flags.is_empty()));
    words.join(" ")
}

/// Bytes from the Intel SDM's opcode maps, what they are, and their profile.
const X86_64_SOUND: &[(&str, &str, &str)] = &[
    ("", "nothing", ""),
    ("48 89 c8", "mov rax, rcx", ""),
    ("90 0f 1f 44 00 00", "nop; nop [rax+rax]", ""),
    ("0f 1f 05 00 00 00 00", "nop [rip]", ""),
    ("48 8b 07", "mov rax, [rdi]", "R"),
    ("88 07", "mov [rdi], al", "W"),
    ("f0 48 01 07", "lock add [rdi], rax", "RW"),
    ("50 58", "push rax; pop rax", "RW"),
    ("48 83 ec 10 48 83 c4 10", "sub rsp, 16; add rsp, 16", ""),
    ("48 8d 64 24 f0", "lea rsp, [rsp-16]", ""),
    ("48 8d 44 24 f8", "lea rax, [rsp-8]", ""),
    ("48 89 44 24 08", "mov [rsp+8], rax", "W"),
    ("9c 41 5a", "pushfq; pop r10", "RW"),
    ("fc f3 a4", "cld; rep movsb", "RW"),
    ("fd f3 a4 fc", "std; rep movsb; cld", "RW"),
    ("9e 9f f5 f9", "sahf; lahf; cmc; stc", ""),
    ("0f 18 07", "prefetchnta [rdi]", ""),
    ("0f ae e8 f3 90", "lfence; pause", ""),
    ("f3 0f 1e fa", "endbr64", ""),
    ("74 00", "je to the end", ""),
    ("74 03 48 89 c8", "je over mov to the end", ""),
    ("eb 00 eb fc", "jmp to the next, and back to the start", "B"),
    ("eb fe", "jmp to itself", "B"),
    ("e2 fe", "loop to itself", "B"),
    ("2e 74 00", "je with a hint", ""),
    ("f3 48 0f b8 c1", "popcnt rax, rcx", "popcnt"),
    ("f3 48 0f bd c1", "lzcnt rax, rcx", "lzcnt"),
    ("48 0f bd c1", "bsr rax, rcx", ""),
    ("f3 48 0f bc c1", "tzcnt rax, rcx", "bmi1"),
    ("c4 e2 f8 f2 c1", "andn rax, rax, rcx", "bmi1"),
    ("c4 e3 fb f0 c1 05", "rorx rax, rcx, 5", "bmi2"),
    ("c4 e2 fb f5 07", "pdep rax, rax, [rdi]", "bmi2 R"),
    ("48 0f 38 f0 07", "movbe rax, [rdi]", "movbe R"),
    ("48 0f 38 f1 07", "movbe [rdi], rax", "movbe W"),
    ("66 0f 3a 44 c1 00", "pclmulqdq xmm0, xmm1, 0", "pclmulqdq S"),
    ("66 48 0f 6e c0", "movq xmm0, rax", "S"),
    ("f3 0f 6f 07", "movdqu xmm0, [rdi]", "SR"),
    ("66 48 0f 3a 16 c0 01", "pextrq rax, xmm0, 1", "SSE4_1 S"),
    ("f2 48 0f 38 f1 c1", "crc32 rax, rcx", "sse4_2"),
    ("66 0f 38 00 c1", "pshufb xmm0, xmm1", "SSSE3 S"),
    ("66 48 0f 38 f6 c1", "adcx rax, rcx", "ADX"),
    ("48 0f c7 0f", "cmpxchg16b [rdi]", "CMPXCHG16B RW"),
    ("c5 f9 ef c0", "vpxor xmm0, xmm0, xmm0", "AVX SV"),
    ("c5 fd ef c0", "vpxor ymm0, ymm0, ymm0", "AVX2 SV"),
    ("c5 f8 77", "vzeroupper", "AVX SV"),
    ("62 f1 fd 48 ef c0", "vpxorq zmm0, zmm0, zmm0", "AVX512F SV"),
    ("62 f2 fd 48 55 c0", "vpopcntq zmm0, zmm0", "avx512_vpopcntdq SV"),
    ("c4 e1 fb 92 c8", "kmovq k1, rax", "AVX512BW SV"),
    ("66 0f 38 cf c1", "gf2p8mulb xmm0, xmm1", "GFNI S"),
];

/// Words from the Arm ARM's chapters C6 to C8, what they are, and their profile.
const AARCH64_SOUND: &[(&[u32], &str, &str)] = &[
    (&[], "nothing", ""),
    (&[0xaa01_03e0], "mov x0, x1", ""),
    (&[0xd503_201f, 0xd503_203f, 0xd503_205f], "nop; yield; wfe", ""),
    (&[0xd503_245f, 0xd503_3fbf, 0xd503_3fdf], "bti c; dmb sy; isb", ""),
    (&[0xd53b_4209, 0xd51b_4209], "mrs x9, nzcv; msr nzcv, x9", ""),
    (&[0xf940_0020], "ldr x0, [x1]", "R"),
    (&[0x3900_0020], "strb w0, [x1]", "W"),
    (&[0xf860_6820], "ldr x0, [x1, x0]", "R"),
    (&[0xf881_0020], "prfum pldl1keep, [x1, #16]", ""),
    (&[0xf980_0020], "prfm pldl1keep, [x1]", ""),
    (&[0xa9bf_07e0, 0xa8c1_07e0], "stp x0, x1, [sp, #-16]!; ldp x0, x1, [sp], #16", "RW"),
    (&[0xd100_43ff, 0x9100_43ff], "sub sp, sp, #16; add sp, sp, #16", ""),
    (&[0xb100_001f], "cmn x0, #0", ""),
    (&[0xf900_07e0], "str x0, [sp, #8]", "W"),
    (&[0xc85f_7c20, 0xc802_7c20], "ldxr x0, [x1]; stxr w2, x0, [x1]", "RW"),
    (&[0xc8df_fc20, 0xc89f_fc20], "ldar x0, [x1]; stlr x0, [x1]", "RW"),
    (&[0x1400_0001], "b to the end", ""),
    (&[0xb400_0040, 0xaa01_03e0], "cbz x0 over mov to the end", ""),
    (&[0xd503_201f, 0x54ff_ffe0], "nop; b.eq to it", "B"),
    (&[0x3700_0000], "tbnz w0, #0 to itself", "B"),
    (&[0xf821_0040], "ldadd x1, x0, [x2]", "atomics RW"),
    (&[0xc8a1_7c40], "cas x1, x0, [x2]", "atomics RW"),
    (&[0xf8bf_c020], "ldapr x0, [x1]", "LRCPC R"),
    (&[0x9ac2_4c20], "crc32x w0, w1, x2", "crc32"),
    (&[0xd503_30ff], "sb", "sb"),
    (&[0xd500_401f], "cfinv", "FlagM"),
    (&[0x9e67_0020], "fmov d0, x1", "asimd S"),
    (&[0x0e20_5800], "cnt v0.8b, v0.8b", "asimd S"),
    (&[0x0e31_b800], "addv b0, v0.8b", "asimd S"),
    (&[0x0ee1_e000], "pmull v0.1q, v0.1d, v1.1d", "asimd pmull S"),
    (&[0x0e21_e000], "pmull v0.8h, v0.8b, v1.8b", "asimd S"),
    (&[0x3dc0_0020], "ldr q0, [x1]", "asimd SR"),
    (&[0x3d80_0020], "str q0, [x1]", "asimd SW"),
    (&[0x4e28_4820], "aese v0.16b, v1.16b", "asimd AES S"),
    (&[0xce20_0c00], "eor3 v0.16b, v0.16b, v0.16b, v3.16b", "asimd SHA3 S"),
    (&[0x04a1_0000], "add z0.s, z0.s, z1.s", "asimd SVE S"),
    (&[0x45c1_b000], "bext z0.d, z0.d, z1.d", "asimd svebitperm S"),
    (&[0xa5e0_a020], "ld1d {z0.d}, p0/z, [x1]", "asimd SVE SR"),
    (&[0xe5e0_e020], "st1d {z0.d}, p0, [x1]", "asimd SVE SW"),
    (&[0x1d01_0440], "cpyfp [x0]!, [x1]!, x2!", "MOPS RW"),
];

fn wrong_profiles<'a>(arch: Arch, table: impl Iterator<Item = (Vec<u8>, &'a str, &'a str)>) -> String {
    let mut wrong = String::new();
    for (bytes, text, expected) in table {
        match inspect(arch, &bytes) {
            Ok(profile) if summary(&profile) == expected => {}
            Ok(profile) => wrong.push_str(&format!("{text}: {}\n", summary(&profile))),
            Err(breach) => wrong.push_str(&format!("{text}: {breach}\n")),
        }
    }
    wrong
}

#[test]
fn x86_64_profiles() {
    let table = X86_64_SOUND.iter().map(|(bytes, text, profile)| (hex(bytes), *text, *profile));
    assert_eq!(wrong_profiles(Arch::X86_64, table), "");
}

#[test]
fn aarch64_profiles() {
    let table = AARCH64_SOUND.iter().map(|(code, text, profile)| (words(code), *text, *profile));
    assert_eq!(wrong_profiles(Arch::Aarch64, table), "");
}

#[test]
fn a_breach_names_the_place_the_bytes_and_the_instruction() {
    let mut a = x86_64::Assembler::new();
    a.nop();
    a.mov(x86_64::Size::B8, x86_64::Gpr::Rax, x86_64::Gpr::Rcx);
    a.syscall();
    let breach =
        inspect(Arch::X86_64, &a.finish().expect("it assembles").bytes).expect_err("it enters the kernel");
    assert_eq!(breach.to_string(), "0x4: 0f 05  syscall: enters the kernel or a hypervisor");
    let mut a = aarch64::Assembler::new();
    a.nop();
    a.svc(1);
    let breach =
        inspect(Arch::Aarch64, &a.finish().expect("it assembles").bytes).expect_err("it enters the kernel");
    assert_eq!(breach.to_string(), "0x4: 21 00 00 d4  svc #0x1: enters the kernel or a hypervisor");
}

#[test]
fn listings_cover_every_byte() {
    let bytes = hex("74 02 89 c8 06 48 b8 01");
    let lines: Vec<String> = listing(Arch::X86_64, &bytes).iter().map(Line::to_string).collect();
    assert_eq!(
        lines,
        ["0x0: 74 02  je 4", "0x2: 89 c8  mov eax, ecx", "0x4: 06  (bad)", "0x5: 48 b8 01  (bad)"]
    );
    let bytes = [words(&[0x5400_0040, 0xffff_ffff]), vec![1, 2]].concat();
    let lines: Vec<String> = listing(Arch::Aarch64, &bytes).iter().map(Line::to_string).collect();
    assert_eq!(lines, ["0x0: 40 00 00 54  b.eq 0x8", "0x4: ff ff ff ff  (bad)", "0x8: 01 02  (bad)"]);
    let mut choices = Seeded::new(1);
    for arch in Arch::ALL {
        for _ in 0..2000 {
            let bytes: Vec<u8> = (0..choices.below(40)).map(|_| choices.bits() as u8).collect();
            let listed: Vec<u8> = listing(arch, &bytes).into_iter().flat_map(|line| line.bytes).collect();
            assert_eq!(listed, bytes);
            let _ = inspect(arch, &bytes);
        }
    }
}

#[test]
fn an_address_does_not_matter_but_the_end_does() {
    let code = hex("74 03 48 89 c8 90");
    assert!(inspect(Arch::X86_64, &code).is_ok());
    for length in [1, 2, 3, 4] {
        assert!(inspect(Arch::X86_64, &code[..length]).is_err(), "{length}");
    }
    let code = words(&[0xaa01_03e0]);
    for length in 1..4 {
        let breach = inspect(Arch::Aarch64, &code[..length]).expect_err("a word is cut");
        assert_eq!((breach.kind, breach.line.bytes.len()), (K::Truncated, length));
    }
}

/// What the assemblers write decodes, whatever the rules then say of it.
#[test]
fn every_instruction_of_the_assemblers_is_one_to_the_decoders() {
    let undecoded = |arch, bytes: &[u8], text: String| {
        if let Err(breach) = inspect(arch, bytes) {
            assert!(!matches!(breach.kind, K::Undecodable | K::Truncated), "{text}: {breach}");
        }
        assert_eq!(listing(arch, bytes).len(), 1, "{text}");
    };
    for insn in x86_64::forms::samples() {
        undecoded(Arch::X86_64, &insn.encode().expect("a sample encodes"), insn.to_string());
    }
    for insn in aarch64::forms::samples() {
        let word = insn.encode().expect("a sample encodes");
        undecoded(Arch::Aarch64, &word.to_le_bytes(), insn.to_string());
    }
}

#[test]
fn every_emit_of_the_catalog_is_sound_and_needs_what_it_was_given() {
    let mut choices = Seeded::new(2);
    for (kop, form) in Catalog::einsn().forms() {
        for arch in Arch::ALL {
            for features in kop.features(arch).subsets() {
                let mut emits = 0;
                for _ in 0..200 {
                    let operands = form.layout.combination(choices.below(form.layout.combinations()));
                    emits += u32::from(check_emit(kop, form, arch, features, form.layout.pack(&operands)));
                }
                let whole = features == kop.features(arch);
                assert!(emits > 20 || !whole, "{} {} {arch}: {emits} emits", kop.name(), form.name);
            }
        }
    }
}

/// Checks the emit of a payload, and says whether there is one.
fn check_emit(kop: &dyn Kop, form: &Form, arch: Arch, features: Features, payload: u64) -> bool {
    let request = EmitRequest { arch, features, payload, pass: Pass::Write, address: 0 };
    let bytes = match kop.emit(form, &request) {
        Ok(emission) => emission.bytes,
        Err(Reject::Encode(error)) => panic!("{} {}: {error}", kop.name(), form.name),
        Err(_) => return false,
    };
    let site = Site::decode(form, payload, features).expect("it emits");
    let about =
        format!("{} {} {arch} {features} {}", kop.name(), form.name, form.layout.show(&site.operands));
    let profile = inspect(arch, &bytes).unwrap_or_else(|breach| panic!("{about}: {breach}"));
    let contract = kop.contract(&site);
    let vectors = match arch {
        Arch::X86_64 => contract.vectors.x86_64 != 0,
        Arch::Aarch64 => contract.vectors.aarch64 != 0,
    };
    let declared = |access| contract.memory.iter().any(|memory| memory.access == access);
    assert!(features.contains(profile.features), "{about}: needs {}", profile.features);
    assert!(profile.other_features.is_empty(), "{about}: needs {:?}", profile.other_features);
    assert_eq!(profile.simd, vectors, "{about}");
    assert_eq!(profile.vex_vector, profile.features.has(Feature::Avx512Vl), "{about}");
    // A copy that runs into itself goes byte by byte, in a loop where there are many.
    assert!(!profile.backward_branch || kop.name() == "bulk_copy", "{about}");
    assert_eq!(profile.reads_memory, declared(Access::Read), "{about}");
    assert_eq!(profile.writes_memory, declared(Access::Write), "{about}");
    true
}
