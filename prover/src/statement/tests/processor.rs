// SPDX-License-Identifier: GPL-2.0-or-later
//! What instructions do besides what they look like, and instructions that do what no formula says.

use kop_ops::aarch64::{Gpr as X, Mem as ArmMem, Width as W};
use kop_ops::ebpf::{AluOp, AtomicOp, Cond as If, Size};
use kop_ops::x86_64::{Cond, Gpr, Mem, Size as S};

use super::*;

#[test]
fn what_is_accessed_on_no_path_of_the_sequence_is_not_accessed() {
    // A move under a condition loads in any case.
    let proof = [Insn::jump(If::Eq, Reg::R3, 0, 1), Insn::load(Size::B8, Reg::R0, Reg::R1, 0)];
    let load = |mem: bool| {
        x86(move |a| {
            a.test(S::B8, Gpr::Rdx, Gpr::Rdx);
            if mem {
                a.cmov(Cond::Ne, S::B8, Gpr::Rax, Mem::at(Gpr::Rdi, 0));
            } else {
                let end = a.label();
                a.jcc(Cond::E, end);
                a.mov(S::B8, Gpr::Rax, Mem::at(Gpr::Rdi, 0));
                a.bind(end);
            }
        })
    };
    refuted(verdict(&proof, load(true)));
    proved(verdict(&proof, load(false)));
    // An exchange that compares stores in any case.
    let proof = [
        Insn::mov64(Reg::R5, Reg::R0),
        Insn::load(Size::B8, Reg::R0, Reg::R1, 0),
        Insn::jump(If::Ne, Reg::R0, Reg::R5, 1),
        Insn::store(Size::B8, Reg::R1, 0, Reg::R2),
    ];
    refuted(with_dead(&proof, x86(|a| a.lock_cmpxchg(S::B8, Mem::at(Gpr::Rdi, 0), Gpr::Rsi)), &[Reg::R5]));
    // What is loaded into no register is loaded.
    refuted(verdict(
        &[Insn::mov64(Reg::R0, 0)],
        arm(|a| {
            a.ldr(W::X, X::Xzr, ArmMem::offset(X::X0, 0));
            a.mov_imm64(X::X7, 0);
        }),
    ));
    // What is compared alone is loaded, too.
    refuted(verdict(
        &[Insn::mov64(Reg::R0, 0)],
        x86(|a| {
            a.test(S::B8, Mem::at(Gpr::Rdi, 0), Gpr::Rdi);
            a.xor(S::B4, Gpr::Rax, Gpr::Rax);
        }),
    ));
}

/// `r0 = r1`, with these bytes before it.
fn with_bytes(arch: Arch, bytes: &[u8]) -> Verdict {
    let (_, rest) = match arch {
        Arch::X86_64 => x86(|a| a.mov(S::B8, Gpr::Rax, Gpr::Rdi)),
        Arch::Aarch64 => arm(|a| a.mov(W::X, X::X7, X::X0)),
    };
    verdict(&[Insn::mov64(Reg::R0, Reg::R1)], (arch, [bytes, &rest].concat()))
}

#[test]
fn what_a_processor_does_besides_values_has_no_semantics() {
    proved(with_bytes(Arch::X86_64, &[0x90]));
    let others: [&[u8]; 33] = [
        &[0xfa],                   // cli
        &[0xfb],                   // sti
        &[0xf4],                   // hlt
        &[0xcc],                   // int3
        &[0xcd, 0x80],             // int 0x80
        &[0x0f, 0x0b],             // ud2
        &[0x0f, 0x05],             // syscall
        &[0x0f, 0x30],             // wrmsr
        &[0x0f, 0x32],             // rdmsr
        &[0x0f, 0x31],             // rdtsc
        &[0x0f, 0xa2],             // cpuid
        &[0x0f, 0x77],             // emms
        &[0x0f, 0x6e, 0xc0],       // movd mm0, eax
        &[0xdb, 0xe3],             // fninit
        &[0xd9, 0xe8],             // fld1
        &[0xc5, 0xf8, 0x77],       // vzeroupper
        &[0xc5, 0xfc, 0x77],       // vzeroall
        &[0x0f, 0x01, 0xf8],       // swapgs
        &[0x0f, 0x01, 0xcb],       // stac
        &[0x0f, 0x01, 0xca],       // clac
        &[0xe6, 0x80],             // out 0x80, al
        &[0xec],                   // in al, dx
        &[0x0f, 0x22, 0xd8],       // mov cr3, rax
        &[0x0f, 0x23, 0xf8],       // mov dr7, rax
        &[0x8e, 0xd8],             // mov ds, eax
        &[0x0f, 0xa8],             // push gs
        &[0xc7, 0xf8, 0, 0, 0, 0], // xbegin
        &[0xf3, 0x0f, 0xae, 0xd0], // wrfsbase eax
        &[0x0f, 0xc7, 0xf1],       // rdrand ecx
        &[0x0f, 0xae, 0x17],       // ldmxcsr [rdi]
        &[0x0f, 0xae, 0x3f],       // clflush [rdi]
        &[0x0f, 0x08],             // invd
        &[0x9b],                   // fwait
    ];
    for bytes in others {
        let said = with_bytes(Arch::X86_64, bytes);
        not_proved(said);
    }
    proved(with_bytes(Arch::Aarch64, &0xd503_201fu32.to_le_bytes()));
    let others: [u32; 15] = [
        0xd503_42df, // msr daifset, #2
        0xd503_42ff, // msr daifclr, #2
        0xd518_4260, // msr pan, x0
        0xd51b_d040, // msr tpidr_el0, x0
        0xd51b_4400, // msr fpcr, x0
        0xd53b_e040, // mrs x0, cntvct_el0
        0xd400_0001, // svc #0
        0xd420_0000, // brk #0
        0xd440_0000, // hlt #0
        0xd69f_03e0, // eret
        0xd503_233f, // paciasp
        0xdac1_0020, // pacia x0, x1
        0xd508_751f, // ic iallu
        0xd50b_7420, // dc zva, x0
        0x0000_0000, // udf #0
    ];
    for word in others {
        let said = with_bytes(Arch::Aarch64, &word.to_le_bytes());
        not_proved(said);
    }
}

#[test]
fn forms_that_look_alike_differ_in_the_upper_half() {
    let proof = [Insn::mov32(Reg::R0, Reg::R0)];
    let bytes = |bytes: &[u8]| (Arch::X86_64, bytes.to_vec());
    proved(verdict(&proof, bytes(&[0x87, 0xc0]))); // xchg eax, eax
    proved(verdict(&proof, bytes(&[0x89, 0xc0]))); // mov eax, eax
    refuted(verdict(&proof, bytes(&[0x90]))); // nop, which `xchg eax, eax` is assembled to
    refuted(verdict(&proof, bytes(&[0x48, 0x90]))); // nop with REX.W
    refuted(verdict(&proof, bytes(&[0x66, 0x90]))); // a longer nop
    refuted(verdict(&proof, bytes(&[0x66, 0x89, 0xc0]))); // mov ax, ax
    // A move of 32 bits under a condition zero-extends where it is false, too.
    let proof = [Insn::jump(If::Eq, Reg::R3, 0, 1), Insn::mov32(Reg::R0, Reg::R1)];
    let code = |size| {
        x86(move |a| {
            a.mov(S::B4, Gpr::R10, Gpr::Rdi);
            a.test(S::B8, Gpr::Rdx, Gpr::Rdx);
            a.cmov(Cond::Ne, size, Gpr::Rax, Gpr::R10);
        })
    };
    proved(verdict(&proof, code(S::B8)));
    let found = refuted(verdict(&proof, code(S::B4)));
    assert!(found.register(Reg::R3) == 0 && found.register(Reg::R0) >> 32 != 0, "{found:?}");
    // A shift by CL masks the count, and zero-extends where that is zero.
    let proof = [Insn::alu32(AluOp::Lsh, Reg::R0, Reg::R4)];
    proved(verdict(&proof, bytes(&[0xd3, 0xe0])));
    refuted(verdict(&proof, bytes(&[0x48, 0xd3, 0xe0])));
    // BSF of zero leaves what the manual does not say.
    let proof = [Insn::jump(If::Ne, Reg::R1, 0, 1), Insn::Ja { off: 0 }];
    not_proved(verdict(&proof, bytes(&[0x48, 0x0f, 0xbc, 0xc7])));
}

#[test]
fn prefixes_are_no_part_of_what_has_semantics() {
    let proof = [Insn::load(Size::B8, Reg::R0, Reg::R1, 0)];
    for prefix in [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x67, 0xf0] {
        let code = vec![prefix, 0x48, 0x8b, 0x07];
        let said = verdict(&proof, (Arch::X86_64, code));
        // CS, DS, ES and SS are ignored in 64-bit mode.
        assert_eq!(said.is_proved(), prefix < 0x40, "{prefix:#x} {said:?}");
    }
    proved(verdict(&proof, (Arch::X86_64, vec![0x48, 0x8b, 0x07])));
}

#[test]
fn prefixes_of_string_instructions_count() {
    let proof = [
        Insn::load(Size::B1, Reg::R5, Reg::R2, 0),
        Insn::store(Size::B1, Reg::R1, 0, Reg::R5),
        Insn::alu64(AluOp::Add, Reg::R1, 1),
        Insn::alu64(AluOp::Add, Reg::R2, 1),
    ];
    for (code, is_right) in [
        (vec![0xa4], true),
        (vec![0x66, 0xa4], true),
        (vec![0x67, 0xa4], false),
        (vec![0x65, 0xa4], false),
        (vec![0x64, 0xa4], false),
        (vec![0xa5], false),
        (vec![0xfd, 0xa4, 0xfc], false),
    ] {
        let said = with_dead(&proof, (Arch::X86_64, code.clone()), &[Reg::R5]);
        assert_eq!(said.is_proved(), is_right, "{code:02x?} {said:?}");
    }
    // `jecxz` looks at the lower half.
    let proof = [Insn::jump(If::Eq, Reg::R4, 0, 1), Insn::mov64(Reg::R0, Reg::R1)];
    proved(verdict(&proof, (Arch::X86_64, vec![0xe3, 3, 0x48, 0x89, 0xf8])));
    let found = refuted(verdict(&proof, (Arch::X86_64, vec![0x67, 0xe3, 3, 0x48, 0x89, 0xf8])));
    assert!(found.register(Reg::R4) != 0 && found.register(Reg::R4) as u32 == 0, "{found:?}");
}

#[test]
fn prefixes_of_addresses_and_jumps_count() {
    // An absolute address of 32 bits is sign-extended, or not.
    let proof = [Insn::mov64(Reg::R5, -4), Insn::load(Size::B8, Reg::R0, Reg::R5, 0)];
    let load = [0x48, 0x8b, 0x04, 0x25, 0xfc, 0xff, 0xff, 0xff];
    let said = |code: Vec<u8>| with_dead(&proof, (Arch::X86_64, code), &[Reg::R5]);
    proved(said(load.to_vec()));
    refuted(said([&[0x67], &load[..]].concat()));
    // With an operand size of 16 bits, a processor of AMD goes to an address of 16 bits (AMD APM vol. 3, JMP near, Jcc).
    let jumps: [&[u8]; 3] = [&[0xe9, 0, 0, 0, 0], &[0x0f, 0x84, 0, 0, 0, 0], &[0xeb, 0]];
    for jump in jumps {
        proved(with_bytes(Arch::X86_64, jump));
        not_proved(with_bytes(Arch::X86_64, &[&[0x66], jump].concat()));
    }
}

/// A load, and the store-exclusive of its result with this status and base.
fn exclusive(status: u32, base: u32) -> Verdict {
    // ldxr x9, [base]; add x9, x9, x1; stxr status, x9, [base]; cbnz status, -12 (Arm ARM, C6.2).
    let words = [
        0xc85f_7c00 | base << 5 | 9,
        0x8b01_0129,
        0xc800_7c00 | status << 16 | base << 5 | 9,
        0x3500_0000 | (-3i32 as u32 & 0x7_ffff) << 5 | status,
    ];
    let before = 0xaa00_03ecu32; // mov x12, x0
    let code: Vec<u8> = std::iter::once(before).chain(words).flat_map(u32::to_le_bytes).collect();
    verdict(&[Insn::atomic(AtomicOp::Add, Size::B8, Reg::R1, 0, Reg::R2)], (Arch::Aarch64, code))
}

#[test]
fn a_store_exclusive_whose_registers_are_one_is_not_proved() {
    proved(exclusive(10, 12));
    // Whoever has the status in the base or in the value has what the architecture leaves open (Arm ARM, K1.2).
    for (status, base) in [(12, 12), (9, 12), (9, 0)] {
        not_proved(exclusive(status, base));
    }
}
