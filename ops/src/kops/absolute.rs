// SPDX-License-Identifier: GPL-2.0-or-later
//! **absolute**: `dst` = the magnitude of the signed number `src`, on 64 bits, or of the low 32 with the upper half of `dst` zero.
//!
//! * The least number is its own magnitude, read as an unsigned one.
//! * x86-64: NEG and CMOVcc by the sign of what NEG made. Intel SDM vol. 2, NEG and CMOVcc.
//! * AArch64: CMP with zero and CNEG (CSNEG). Arm ARM C6.2.
//! * `dst` may be `src`.

use std::sync::LazyLock;

use crate::aarch64::{self, Cond as ArmCond, Width as W};
use crate::ebpf::{AluOp, Cond, Insn, Reg, Width};
use crate::kop::{KnownAnswer, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Fault, State};
use crate::x86_64::{self, Cond as X86Cond, Gpr, Size};

/// The operation.
pub struct Absolute;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout = || Layout::new().register("dst", Role::Destination).register("src", Role::Source);
    vec![
        Form::new("abs64", "dst = src < 0 ? -src : src, signed", layout()),
        Form::new("abs32", "dst = zext(low32(src) < 0 ? -low32(src) : low32(src)), signed", layout()),
    ]
});

fn is_64(site: &Site) -> bool {
    site.form.name == "abs64"
}

impl Kop for Absolute {
    fn name(&self) -> &str {
        "absolute"
    }

    fn summary(&self) -> &str {
        "magnitude of a signed number"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let src = state.get(site.reg("src"));
        let value =
            if is_64(site) { (src as i64).unsigned_abs() } else { u64::from((src as i32).unsigned_abs()) };
        state.set(site.reg("dst"), value);
        Some(Ok(()))
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let (dst, src) = (site.reg("dst"), site.reg("src"));
        let mut proof = Vec::with_capacity(3);
        if is_64(site) {
            if dst != src {
                proof.push(Insn::mov64(dst, src));
            }
            proof.extend([Insn::jump(Cond::SGe, dst, 0, 1), Insn::neg64(dst)]);
        } else {
            // The upper half is cleared even where the number stays as it is.
            proof.extend([
                Insn::alu(AluOp::Mov, Width::W32, dst, src),
                Insn::jump32(Cond::SGe, dst, 0, 1),
                Insn::neg32(dst),
            ]);
        }
        Ok(proof)
    }

    fn x86_64(&self, site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        let size = if is_64(site) { Size::B8 } else { Size::B4 };
        let (dst, src) = (site.gpr("dst"), site.gpr("src"));
        if dst == src {
            a.mov(size, Gpr::R10, src);
            a.neg(size, Gpr::R10);
            a.cmov(X86Cond::Ns, size, dst, Gpr::R10);
        } else {
            a.mov(size, dst, src);
            a.neg(size, dst);
            a.cmov(X86Cond::S, size, dst, src);
        }
        Ok(())
    }

    fn aarch64(&self, site: &Site, a: &mut aarch64::Assembler) -> Result<(), Reject> {
        let width = if is_64(site) { W::X } else { W::W };
        let (dst, src) = (site.x("dst"), site.x("src"));
        a.cmp_imm(width, src, 0);
        a.csneg(width, dst, src, src, ArmCond::Ge);
        Ok(())
    }

    fn limits(&self, _form: &Form) -> Limits {
        Limits { max_insn_cnt: 3, max_emit_bytes: 10 }
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        let answer =
            |form, operands, before, after| KnownAnswer { form, operands, before, memory: &[], after };
        vec![
            answer("abs64", "dst=r0 src=r1", &[(Reg::R1, u64::MAX)], &[(Reg::R0, 1), (Reg::R1, u64::MAX)]),
            answer("abs64", "dst=r1 src=r1", &[(Reg::R1, 1 << 63)], &[(Reg::R1, 1 << 63)]),
            answer("abs64", "dst=r1 src=r1", &[(Reg::R1, 7)], &[(Reg::R1, 7)]),
            answer("abs32", "dst=r1 src=r1", &[(Reg::R1, 0xffff_ffff_0000_0005)], &[(Reg::R1, 5)]),
            answer("abs32", "dst=r0 src=r1", &[(Reg::R1, 0x8000_0000)], &[(Reg::R0, 0x8000_0000)]),
            answer("abs32", "dst=r0 src=r1", &[(Reg::R1, 0xffff_fff9)], &[(Reg::R0, 7)]),
        ]
    }
}
