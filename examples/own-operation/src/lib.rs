// SPDX-License-Identifier: GPL-2.0-or-later
//! **and_not**: `dst = a & !b`, on 64 bits, or on the low 32 with the upper half of `dst` zero.
//!
//! * x86-64: ANDN (BMI1), or NOT and AND with the inverse in r11. Intel SDM vol. 2, ANDN.
//! * AArch64: BIC (shifted register). Arm ARM C6.2, BIC.
//! * `tmp` is dead after the site.

use std::sync::LazyLock;

use kop_ops::aarch64::{self, Width as W};
use kop_ops::ebpf::{AluOp, Insn, Reg, Width};
use kop_ops::x86_64::{self, Gpr, Size};
use kop_ops::{
    Arch, Fault, Feature, Features, Form, KnownAnswer, Kop, Layout, Limits, Reject, Role, Site, State,
};

/// The operation.
pub struct AndNot;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout = || {
        Layout::new()
            .register("dst", Role::Destination)
            .register("a", Role::Source)
            .register("b", Role::Source)
            .register("tmp", Role::Temporary)
    };
    vec![
        Form::new("reg64", "dst = a & !b", layout()),
        Form::new("reg32", "dst = zext(low32(a & !b))", layout()),
    ]
});

fn is_64(site: &Site) -> bool {
    site.form.name == "reg64"
}

impl Kop for AndNot {
    fn name(&self) -> &str {
        "and_not"
    }

    fn summary(&self) -> &str {
        "and with the inverse of a register"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let value = state.get(site.reg("a")) & !state.get(site.reg("b"));
        if is_64(site) {
            state.set(site.reg("dst"), value);
        } else {
            state.set32(site.reg("dst"), value as u32);
        }
        Some(Ok(()))
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let width = if is_64(site) { Width::W64 } else { Width::W32 };
        let (dst, tmp) = (site.reg("dst"), site.reg("tmp"));
        // The inverse is built in tmp, so that dst may be a, b, or both.
        Ok(vec![
            Insn::mov64(tmp, site.reg("b")),
            Insn::alu64(AluOp::Xor, tmp, -1),
            Insn::alu(AluOp::And, width, tmp, site.reg("a")),
            Insn::mov64(dst, tmp),
        ])
    }

    fn x86_64(&self, site: &Site, asm: &mut x86_64::Assembler) -> Result<(), Reject> {
        let size = if is_64(site) { Size::B8 } else { Size::B4 };
        let (dst, a, b) = (site.gpr("dst"), site.gpr("a"), site.gpr("b"));
        if site.features.has(Feature::Bmi1) {
            asm.andn(size, dst, b, a);
            return Ok(());
        }
        asm.mov(size, Gpr::R11, b);
        asm.not(size, Gpr::R11);
        asm.and(size, Gpr::R11, a);
        asm.mov(size, dst, Gpr::R11);
        Ok(())
    }

    fn aarch64(&self, site: &Site, asm: &mut aarch64::Assembler) -> Result<(), Reject> {
        asm.bic(if is_64(site) { W::X } else { W::W }, site.x("dst"), site.x("a"), site.x("b"));
        Ok(())
    }

    fn features(&self, arch: Arch) -> Features {
        match arch {
            Arch::X86_64 => Features::of(&[Feature::Bmi1]),
            Arch::Aarch64 => Features::NONE,
        }
    }

    fn limits(&self, _form: &Form) -> Limits {
        Limits { max_insn_cnt: 4, max_emit_bytes: 12 }
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        let before: &'static [(Reg, u64)] = &[(Reg::R1, 0xffff_ffff_0000_1100), (Reg::R2, 0x1010)];
        let answer = |form, after| KnownAnswer {
            form,
            operands: "dst=r0 a=r1 b=r2 tmp=r3",
            before,
            memory: &[],
            after,
        };
        vec![answer("reg64", &[(Reg::R0, 0xffff_ffff_0000_0100)]), answer("reg32", &[(Reg::R0, 0x0100)])]
    }
}
