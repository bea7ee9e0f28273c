// SPDX-License-Identifier: GPL-2.0-or-later
//! **multiply_high**: `dst` = the high 64 bits of the 128-bit product of `a` and `b`, unsigned or signed.
//!
//! * x86-64: MULX (BMI2) takes one factor from rdx, which is r3; MUL and IMUL take it from rax, which is r0, and write both. What
//!   is there and is no result is kept in r10 and r11. Intel SDM vol. 2, MUL, IMUL, MULX.
//! * AArch64: UMULH and SMULH. Arm ARM C6.2.
//! * The proof is the sum of the four products of halves (Warren, Hacker's Delight, 8-2), which clang makes of the same in C.
//! * `dst` must be neither `a` nor `b`: the proof reads both to the end. `tmp` and `tmp2` are dead after the site.

use std::sync::LazyLock;

use crate::aarch64;
use crate::arch::{Arch, Feature, Features};
use crate::ebpf::{AluOp, Cond, Insn, Reg};
use crate::kop::{KnownAnswer, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Fault, State};
use crate::x86_64::{self, Gpr, Size};

/// The operation.
pub struct MultiplyHigh;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout = || {
        Layout::new()
            .register("dst", Role::Destination)
            .register("a", Role::Source)
            .register("b", Role::Source)
            .register("tmp", Role::Temporary)
            .register("tmp2", Role::Temporary)
    };
    vec![
        Form::new("unsigned", "dst = high64(a * b), unsigned", layout()),
        Form::new("signed", "dst = high64(a * b), signed", layout()),
    ]
});

fn is_signed(site: &Site) -> bool {
    site.form.name == "signed"
}

impl Kop for MultiplyHigh {
    fn name(&self) -> &str {
        "multiply_high"
    }

    fn summary(&self) -> &str {
        "high half of a 64x64-bit product"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn admits(&self, site: &Site) -> Result<(), Reject> {
        if [site.reg("a"), site.reg("b")].contains(&site.reg("dst")) {
            return Err(Reject::operands("dst must be neither a nor b: the proof reads both to the end"));
        }
        Ok(())
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let (a, b) = (state.get(site.reg("a")), state.get(site.reg("b")));
        let high = if is_signed(site) {
            (i128::from(a as i64) * i128::from(b as i64)) >> 64
        } else {
            ((u128::from(a) * u128::from(b)) >> 64) as i128
        };
        state.set(site.reg("dst"), high as u64);
        Some(Ok(()))
    }

    /// With `a = a1 h + a0` and `b = b1 h + b0`, where `h` is 2^32: `middle = a1 b0 + (a0 b0 / h)` and `other = a0 b1 +
    /// (middle mod h)` have no carry out, and the result is `a1 b1 + middle / h + other / h`.
    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let (dst, a, b) = (site.reg("dst"), site.reg("a"), site.reg("b"));
        let (tmp, tmp2) = (site.reg("tmp"), site.reg("tmp2"));
        let (low_half, high_half) = (|to, of| Insn::mov32(to, of), |to| Insn::alu64(AluOp::Rsh, to, 32));
        let mut proof = vec![
            low_half(dst, a),
            low_half(tmp, b),
            Insn::alu64(AluOp::Mul, dst, tmp),
            high_half(dst),
            Insn::mov64(tmp2, a),
            high_half(tmp2),
            Insn::alu64(AluOp::Mul, tmp, tmp2),
            Insn::alu64(AluOp::Add, tmp, dst),
            // tmp is middle.
            low_half(dst, a),
            Insn::mov64(tmp2, b),
            high_half(tmp2),
            Insn::alu64(AluOp::Mul, dst, tmp2),
            low_half(tmp2, tmp),
            Insn::alu64(AluOp::Add, dst, tmp2),
            // dst is other.
            high_half(dst),
            high_half(tmp),
            Insn::alu64(AluOp::Add, dst, tmp),
            Insn::mov64(tmp, a),
            high_half(tmp),
            Insn::mov64(tmp2, b),
            high_half(tmp2),
            Insn::alu64(AluOp::Mul, tmp, tmp2),
            Insn::alu64(AluOp::Add, dst, tmp),
        ];
        if is_signed(site) {
            // A negative number is 2^64 less than the unsigned one.
            for (sign, other) in [(a, b), (b, a)] {
                proof.extend([
                    Insn::mov64(tmp, 0),
                    Insn::jump(Cond::SGe, sign, 0, 1),
                    Insn::mov64(tmp, other),
                    Insn::alu64(AluOp::Sub, dst, tmp),
                ]);
            }
        }
        Ok(proof)
    }

    fn x86_64(&self, site: &Site, asm: &mut x86_64::Assembler) -> Result<(), Reject> {
        let (dst, a, b) = (site.gpr("dst"), site.gpr("a"), site.gpr("b"));
        if !is_signed(site) && site.features.has(Feature::Bmi2) {
            multiply_without_flags(asm, dst, a, b);
        } else {
            multiply(asm, is_signed(site), dst, a, b);
        }
        Ok(())
    }

    fn aarch64(&self, site: &Site, asm: &mut aarch64::Assembler) -> Result<(), Reject> {
        let (dst, a, b) = (site.x("dst"), site.x("a"), site.x("b"));
        if is_signed(site) {
            asm.smulh(dst, a, b);
        } else {
            asm.umulh(dst, a, b);
        }
        Ok(())
    }

    fn features(&self, arch: Arch) -> Features {
        match arch {
            Arch::X86_64 => Features::of(&[Feature::Bmi2]),
            Arch::Aarch64 => Features::NONE,
        }
    }

    fn limits(&self, form: &Form) -> Limits {
        Limits { max_insn_cnt: if form.name == "signed" { 31 } else { 23 }, max_emit_bytes: 21 }
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        let answer =
            |form, operands, before, after| KnownAnswer { form, operands, before, memory: &[], after };
        vec![
            // (2^64 - 1)^2 = 2^128 - 2^65 + 1; as signed numbers, (-1)^2 = 1.
            answer(
                "unsigned",
                "dst=r0 a=r1 b=r1 tmp=r2 tmp2=r3",
                &[(Reg::R1, u64::MAX)],
                &[(Reg::R0, u64::MAX - 1)],
            ),
            answer("signed", "dst=r0 a=r1 b=r1 tmp=r2 tmp2=r4", &[(Reg::R1, u64::MAX)], &[(Reg::R0, 0)]),
            // 2^63 * 2 = 2^64; as signed numbers, -2^63 * 2 = -2^64.
            answer(
                "unsigned",
                "dst=r3 a=r0 b=r2 tmp=r1 tmp2=r4",
                &[(Reg::R0, 1 << 63), (Reg::R2, 2)],
                &[(Reg::R0, 1 << 63), (Reg::R2, 2), (Reg::R3, 1)],
            ),
            answer(
                "signed",
                "dst=r0 a=r3 b=r2 tmp=r1 tmp2=r4",
                &[(Reg::R3, 1 << 63), (Reg::R2, 2)],
                &[(Reg::R0, u64::MAX), (Reg::R2, 2), (Reg::R3, 1 << 63)],
            ),
            // (-2^63)^2 = 2^126.
            answer("signed", "dst=r9 a=r3 b=r3 tmp=r1 tmp2=r4", &[(Reg::R3, 1 << 63)], &[(Reg::R9, 1 << 62)]),
        ]
    }
}

/// MULX: one factor in rdx, the halves anywhere.
fn multiply_without_flags(asm: &mut x86_64::Assembler, dst: Gpr, a: Gpr, b: Gpr) {
    let other = if b == Gpr::Rdx { a } else { b };
    if [a, b].contains(&Gpr::Rdx) {
        asm.mulx(Size::B8, dst, Gpr::R11, other);
        return;
    }
    if dst != Gpr::Rdx {
        asm.mov(Size::B8, Gpr::R10, Gpr::Rdx);
    }
    asm.mov(Size::B8, Gpr::Rdx, a);
    asm.mulx(Size::B8, dst, Gpr::R11, other);
    if dst != Gpr::Rdx {
        asm.mov(Size::B8, Gpr::Rdx, Gpr::R10);
    }
}

/// MUL or IMUL: one factor in rax, the high half in rdx, the low one in rax.
fn multiply(asm: &mut x86_64::Assembler, signed: bool, dst: Gpr, a: Gpr, b: Gpr) {
    let other = if b == Gpr::Rax { a } else { b };
    if dst != Gpr::Rax {
        asm.mov(Size::B8, Gpr::R10, Gpr::Rax);
    }
    if dst != Gpr::Rdx {
        asm.mov(Size::B8, Gpr::R11, Gpr::Rdx);
    }
    if ![a, b].contains(&Gpr::Rax) {
        asm.mov(Size::B8, Gpr::Rax, a);
    }
    if signed {
        asm.imul1(Size::B8, other);
    } else {
        asm.mul(Size::B8, other);
    }
    if dst != Gpr::Rdx {
        asm.mov(Size::B8, dst, Gpr::Rdx);
        asm.mov(Size::B8, Gpr::Rdx, Gpr::R11);
    }
    if dst != Gpr::Rax {
        asm.mov(Size::B8, Gpr::Rax, Gpr::R10);
    }
}
