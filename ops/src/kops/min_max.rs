// SPDX-License-Identifier: GPL-2.0-or-later
//! **min_max**: `dst` = the smaller or the larger of `a` and `b`, unsigned or signed, on 64 bits, or on the low 32 with the upper
//! half of `dst` zero.
//!
//! * x86-64: CMP and CMOVcc. The copy into `dst` comes after the comparison, and when `dst` is `a` the condition is that for `b`;
//!   a 32-bit CMOVcc clears the upper half even where nothing is moved. Intel SDM vol. 2, CMOVcc.
//! * AArch64: CMP and CSEL. Arm ARM C6.2.
//! * `dst` may be `a`, `b` or both.

use std::sync::LazyLock;

use crate::aarch64::{self, Cond as ArmCond, Width as W};
use crate::ebpf::{AluOp, Cond, Insn, Reg, Width};
use crate::kop::{KnownAnswer, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Fault, State};
use crate::x86_64::{self, Cond as X86Cond, Size};

/// The operation.
pub struct MinMax;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let form = |name, meaning| {
        let layout = Layout::new()
            .register("dst", Role::Destination)
            .register("a", Role::Source)
            .register("b", Role::Source);
        Form::new(name, meaning, layout)
    };
    vec![
        form("umin64", "dst = a < b ? a : b, unsigned"),
        form("umin32", "dst = zext(low32(a) < low32(b) ? low32(a) : low32(b)), unsigned"),
        form("umax64", "dst = a > b ? a : b, unsigned"),
        form("umax32", "dst = zext(low32(a) > low32(b) ? low32(a) : low32(b)), unsigned"),
        form("smin64", "dst = a < b ? a : b, signed"),
        form("smin32", "dst = zext(low32(a) < low32(b) ? low32(a) : low32(b)), signed"),
        form("smax64", "dst = a > b ? a : b, signed"),
        form("smax32", "dst = zext(low32(a) > low32(b) ? low32(a) : low32(b)), signed"),
    ]
});

fn is_64(site: &Site) -> bool {
    site.form.name.ends_with("64")
}

/// When `a` is kept: the conditions of eBPF and AArch64, and on x86-64 when it is not.
fn conditions(site: &Site) -> (Cond, ArmCond, X86Cond) {
    match &site.form.name[..4] {
        "umin" => (Cond::Le, ArmCond::Ls, X86Cond::A),
        "umax" => (Cond::Ge, ArmCond::Hs, X86Cond::B),
        "smin" => (Cond::SLe, ArmCond::Le, X86Cond::G),
        _ => (Cond::SGe, ArmCond::Ge, X86Cond::L),
    }
}

impl Kop for MinMax {
    fn name(&self) -> &str {
        "min_max"
    }

    fn summary(&self) -> &str {
        "the smaller or the larger of two registers"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let (a, b) = (state.get(site.reg("a")), state.get(site.reg("b")));
        let value = match &*site.form.name {
            "umin64" => a.min(b),
            "umax64" => a.max(b),
            "smin64" => (a as i64).min(b as i64) as u64,
            "smax64" => (a as i64).max(b as i64) as u64,
            "umin32" => u64::from((a as u32).min(b as u32)),
            "umax32" => u64::from((a as u32).max(b as u32)),
            "smin32" => u64::from((a as i32).min(b as i32) as u32),
            _ => u64::from((a as i32).max(b as i32) as u32),
        };
        state.set(site.reg("dst"), value);
        Some(Ok(()))
    }

    /// One of the two is copied, and replaced unless it is the one; the upper half is cleared first.
    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let width = if is_64(site) { Width::W64 } else { Width::W32 };
        let dst = site.reg("dst");
        // The copied one has to be in dst already, if one of them is.
        let (kept, other) = if dst == site.reg("b") {
            (site.reg("b"), site.reg("a"))
        } else {
            (site.reg("a"), site.reg("b"))
        };
        let (cond, ..) = conditions(site);
        let jump = match width {
            Width::W64 => Insn::jump(cond, dst, other, 1),
            Width::W32 => Insn::jump32(cond, dst, other, 1),
        };
        let mut proof = Vec::with_capacity(3);
        if dst != kept || width == Width::W32 {
            proof.push(Insn::alu(AluOp::Mov, width, dst, kept));
        }
        proof.extend([jump, Insn::alu(AluOp::Mov, width, dst, other)]);
        Ok(proof)
    }

    fn x86_64(&self, site: &Site, asm: &mut x86_64::Assembler) -> Result<(), Reject> {
        let size = if is_64(site) { Size::B8 } else { Size::B4 };
        let (dst, a, b) = (site.gpr("dst"), site.gpr("a"), site.gpr("b"));
        let (.., replaces) = conditions(site);
        asm.cmp(size, a, b);
        if dst == b && dst != a {
            asm.cmov(replaces.negated(), size, dst, a);
            return Ok(());
        }
        if dst != a {
            asm.mov(size, dst, a);
        }
        asm.cmov(replaces, size, dst, b);
        Ok(())
    }

    fn aarch64(&self, site: &Site, asm: &mut aarch64::Assembler) -> Result<(), Reject> {
        let width = if is_64(site) { W::X } else { W::W };
        let (dst, a, b) = (site.x("dst"), site.x("a"), site.x("b"));
        let (_, keeps, _) = conditions(site);
        asm.cmp(width, a, b);
        asm.csel(width, dst, a, b, keeps);
        Ok(())
    }

    fn limits(&self, _form: &Form) -> Limits {
        Limits { max_insn_cnt: 3, max_emit_bytes: 10 }
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        // -2 and 1 as signed numbers; of the low halves, -2 and 1 as well.
        const BEFORE: &[(Reg, u64)] = &[(Reg::R1, 0xffff_ffff_ffff_fffe), (Reg::R2, 0x0000_0001_0000_0001)];
        let answer =
            |form, operands, after| KnownAnswer { form, operands, before: BEFORE, memory: &[], after };
        vec![
            answer("umin64", "dst=r0 a=r1 b=r2", &[(Reg::R0, 0x0000_0001_0000_0001)]),
            answer("umax64", "dst=r2 a=r1 b=r2", &[(Reg::R2, 0xffff_ffff_ffff_fffe)]),
            answer("smin64", "dst=r1 a=r1 b=r2", &[(Reg::R1, 0xffff_ffff_ffff_fffe)]),
            answer("smax64", "dst=r0 a=r1 b=r2", &[(Reg::R0, 0x0000_0001_0000_0001)]),
            answer("umin32", "dst=r2 a=r1 b=r2", &[(Reg::R2, 1)]),
            answer("umax32", "dst=r1 a=r1 b=r2", &[(Reg::R1, 0xffff_fffe)]),
            answer("smin32", "dst=r0 a=r1 b=r2", &[(Reg::R0, 0xffff_fffe)]),
            answer("smax32", "dst=r2 a=r2 b=r2", &[(Reg::R2, 1)]),
        ]
    }
}
