// SPDX-License-Identifier: GPL-2.0-or-later
//! **select**: `dst = cond != 0 ? a : b`, testing all 64 bits of `cond` or its low 32; the selected value is copied whole.
//!
//! * x86-64: TEST and CMOVcc. The copy into `dst` comes after the test, and when `dst` is `a` the condition is inverted, so
//!   that neither source is overwritten before it is read. Intel SDM vol. 2, CMOVcc.
//! * AArch64: CMP with zero and CSEL. Arm ARM C6.2.
//! * `a` and `b` may be r10: they are only copied.

use std::sync::LazyLock;

use crate::aarch64::{self, Cond as ArmCond, Width as W};
use crate::ebpf::{Cond, Insn, Reg};
use crate::kop::{KnownAnswer, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Fault, State};
use crate::x86_64::{self, Cond as X86Cond, Size};

/// The operation.
pub struct Select;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout = || {
        Layout::new()
            .register("dst", Role::Destination)
            .register("cond", Role::Source)
            .register("a", Role::Any)
            .register("b", Role::Any)
    };
    vec![
        Form::new("test64", "dst = cond != 0 ? a : b", layout()),
        Form::new("test32", "dst = low32(cond) != 0 ? a : b", layout()),
    ]
});

fn is_64(site: &Site) -> bool {
    site.form.name == "test64"
}

impl Kop for Select {
    fn name(&self) -> &str {
        "select"
    }

    fn summary(&self) -> &str {
        "select one of two registers by a third being non-zero"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let cond = state.get(site.reg("cond"));
        let taken = if is_64(site) { cond != 0 } else { cond as u32 != 0 };
        let chosen = if taken { site.reg("a") } else { site.reg("b") };
        let value = state.get(chosen);
        state.set(site.reg("dst"), value);
        Some(Ok(()))
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let (dst, cond) = (site.reg("dst"), site.reg("cond"));
        let test =
            if is_64(site) { Insn::jump(Cond::Ne, cond, 0, 2) } else { Insn::jump32(Cond::Ne, cond, 0, 2) };
        Ok(vec![test, Insn::mov64(dst, site.reg("b")), Insn::ja(1), Insn::mov64(dst, site.reg("a"))])
    }

    fn x86_64(&self, site: &Site, asm: &mut x86_64::Assembler) -> Result<(), Reject> {
        let (dst, cond, a, b) = (site.gpr("dst"), site.gpr("cond"), site.gpr("a"), site.gpr("b"));
        if a == b {
            asm.mov(Size::B8, dst, a);
            return Ok(());
        }
        asm.test(if is_64(site) { Size::B8 } else { Size::B4 }, cond, cond);
        if dst == a {
            asm.cmov(X86Cond::E, Size::B8, dst, b);
            return Ok(());
        }
        if dst != b {
            asm.mov(Size::B8, dst, b);
        }
        asm.cmov(X86Cond::Ne, Size::B8, dst, a);
        Ok(())
    }

    fn aarch64(&self, site: &Site, asm: &mut aarch64::Assembler) -> Result<(), Reject> {
        asm.cmp_imm(if is_64(site) { W::X } else { W::W }, site.x("cond"), 0);
        asm.csel(W::X, site.x("dst"), site.x("a"), site.x("b"), ArmCond::Ne);
        Ok(())
    }

    fn limits(&self, _form: &Form) -> Limits {
        Limits { max_insn_cnt: 4, max_emit_bytes: 10 }
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        vec![
            KnownAnswer {
                form: "test64",
                operands: "dst=r0 cond=r1 a=r2 b=r3",
                before: &[(Reg::R1, 1 << 32), (Reg::R2, 7), (Reg::R3, 9)],
                memory: &[],
                after: &[(Reg::R0, 7)],
            },
            KnownAnswer {
                form: "test32",
                operands: "dst=r0 cond=r1 a=r2 b=r3",
                before: &[(Reg::R1, 1 << 32), (Reg::R2, 7), (Reg::R3, 9)],
                memory: &[],
                after: &[(Reg::R0, 9)],
            },
            KnownAnswer {
                form: "test64",
                operands: "dst=r1 cond=r1 a=r1 b=r3",
                before: &[(Reg::R1, 5), (Reg::R3, 9)],
                memory: &[],
                after: &[(Reg::R1, 5), (Reg::R3, 9)],
            },
        ]
    }
}
