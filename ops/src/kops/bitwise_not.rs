// SPDX-License-Identifier: GPL-2.0-or-later
//! **bitwise_not**: `dst = a & !b`, `a | !b`, or `a ^ !b`, on 64 bits, or on the low 32 with the upper half of `dst` zero.
//!
//! * x86-64: ANDN (BMI1), which inverts its first source; otherwise NOT and AND or OR. An exclusive or is inverted afterwards.
//!   Intel SDM vol. 2, ANDN.
//! * AArch64: BIC, ORN and EON. Arm ARM C6.2.
//! * `dst` may be `a`, `b` or both; `tmp` is dead after the site.

use std::sync::LazyLock;

use crate::aarch64::{self, Width as W};
use crate::arch::{Arch, Feature, Features};
use crate::ebpf::{AluOp, Insn, Reg, Width};
use crate::kop::{KnownAnswer, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Fault, State};
use crate::x86_64::{self, Gpr, Size};

/// The operation.
pub struct BitwiseNot;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout = || {
        Layout::new()
            .register("dst", Role::Destination)
            .register("a", Role::Source)
            .register("b", Role::Source)
            .register("tmp", Role::Temporary)
    };
    vec![
        Form::new("and64", "dst = a & !b", layout()),
        Form::new("and32", "dst = zext(low32(a & !b))", layout()),
        Form::new("or64", "dst = a | !b", layout()),
        Form::new("or32", "dst = zext(low32(a | !b))", layout()),
        Form::new("xor64", "dst = a ^ !b", layout()),
        Form::new("xor32", "dst = zext(low32(a ^ !b))", layout()),
    ]
});

/// How `a` and the complement of `b` are joined.
fn joined(site: &Site) -> AluOp {
    match &site.form.name[..site.form.name.len() - 2] {
        "and" => AluOp::And,
        "or" => AluOp::Or,
        _ => AluOp::Xor,
    }
}

fn is_64(site: &Site) -> bool {
    site.form.name.ends_with("64")
}

impl Kop for BitwiseNot {
    fn name(&self) -> &str {
        "bitwise_not"
    }

    fn summary(&self) -> &str {
        "and, or, exclusive or with a complement"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let (a, b) = (state.get(site.reg("a")), state.get(site.reg("b")));
        let value = match joined(site) {
            AluOp::And => a & !b,
            AluOp::Or => a | !b,
            _ => a ^ !b,
        };
        if is_64(site) {
            state.set(site.reg("dst"), value);
        } else {
            state.set32(site.reg("dst"), value as u32);
        }
        Some(Ok(()))
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let width = if is_64(site) { Width::W64 } else { Width::W32 };
        let (dst, a, tmp) = (site.reg("dst"), site.reg("a"), site.reg("tmp"));
        let mut proof =
            vec![Insn::alu(AluOp::Mov, width, tmp, site.reg("b")), Insn::alu(AluOp::Xor, width, tmp, -1)];
        if dst != a {
            proof.push(Insn::alu(AluOp::Mov, width, dst, a));
        }
        proof.push(Insn::alu(joined(site), width, dst, tmp));
        Ok(proof)
    }

    fn x86_64(&self, site: &Site, asm: &mut x86_64::Assembler) -> Result<(), Reject> {
        let size = if is_64(site) { Size::B8 } else { Size::B4 };
        let (dst, a, b) = (site.gpr("dst"), site.gpr("a"), site.gpr("b"));
        let joined = joined(site);
        if joined == AluOp::And && site.features.has(Feature::Bmi1) {
            asm.andn(size, dst, b, a);
            return Ok(());
        }
        if joined == AluOp::Xor {
            // a ^ !b is !(a ^ b), which needs no register for the complement.
            let other = if dst == b { a } else { b };
            if dst != a && dst != b {
                asm.mov(size, dst, a);
            }
            asm.xor(size, dst, other);
            asm.not(size, dst);
            return Ok(());
        }
        // In place of a, which is read last, there is no room for the complement.
        let (inverse, other) = if dst == a { (Gpr::R10, Gpr::R10) } else { (dst, a) };
        if inverse != b {
            asm.mov(size, inverse, b);
        }
        asm.not(size, inverse);
        match joined {
            AluOp::And => asm.and(size, dst, other),
            _ => asm.or(size, dst, other),
        }
        Ok(())
    }

    fn aarch64(&self, site: &Site, asm: &mut aarch64::Assembler) -> Result<(), Reject> {
        let width = if is_64(site) { W::X } else { W::W };
        let (dst, a, b) = (site.x("dst"), site.x("a"), site.x("b"));
        match joined(site) {
            AluOp::And => asm.bic(width, dst, a, b),
            AluOp::Or => asm.orn(width, dst, a, b),
            _ => asm.eon(width, dst, a, b),
        }
        Ok(())
    }

    fn features(&self, arch: Arch) -> Features {
        match arch {
            Arch::X86_64 => Features::of(&[Feature::Bmi1]),
            Arch::Aarch64 => Features::NONE,
        }
    }

    fn limits(&self, _form: &Form) -> Limits {
        Limits { max_insn_cnt: 4, max_emit_bytes: 9 }
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        const BEFORE: &[(Reg, u64)] = &[(Reg::R1, 0xffff_0000_0000_000c), (Reg::R2, 0xff00_0000_0000_000a)];
        let answer =
            |form, operands, after| KnownAnswer { form, operands, before: BEFORE, memory: &[], after };
        vec![
            answer("and64", "dst=r0 a=r1 b=r2 tmp=r3", &[(Reg::R0, 0x00ff_0000_0000_0004)]),
            answer("and64", "dst=r1 a=r1 b=r1 tmp=r3", &[(Reg::R1, 0)]),
            answer("and32", "dst=r2 a=r1 b=r2 tmp=r3", &[(Reg::R2, 4)]),
            answer("or64", "dst=r1 a=r1 b=r2 tmp=r3", &[(Reg::R1, 0xffff_ffff_ffff_fffd)]),
            answer("or32", "dst=r0 a=r1 b=r2 tmp=r3", &[(Reg::R0, 0xffff_fffd)]),
            answer("xor64", "dst=r2 a=r1 b=r2 tmp=r3", &[(Reg::R2, 0xff00_ffff_ffff_fff9)]),
            answer("xor32", "dst=r0 a=r1 b=r1 tmp=r3", &[(Reg::R0, 0xffff_ffff)]),
        ]
    }
}
