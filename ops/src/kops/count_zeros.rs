// SPDX-License-Identifier: GPL-2.0-or-later
//! **count_zeros**: `dst` = the number of leading or trailing zero bits of `src`, on 64 bits or on the low 32.
//!
//! * A source of zero gives the width.
//! * x86-64: LZCNT and TZCNT (BMI1); without them BSR and BSF, whose destination is undefined for zero, with CMOVE.
//!   Intel SDM vol. 2, LZCNT, TZCNT, BSR, BSF.
//! * AArch64: CLZ, and RBIT before it for trailing zeros. Arm ARM C6.2.
//! * `tmp` is dead after the site.

use std::sync::LazyLock;

use crate::aarch64::{self, Width as W};
use crate::arch::{Arch, Feature, Features};
use crate::ebpf::{AluOp, Cond, Insn, Reg, Width};
use crate::kop::{KnownAnswer, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Fault, State};
use crate::x86_64::{self, Cond as X86Cond, Gpr, Size};

/// The operation.
pub struct CountZeros;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout = || {
        Layout::new()
            .register("dst", Role::Destination)
            .register("src", Role::Source)
            .register("tmp", Role::Temporary)
    };
    vec![
        Form::new("leading64", "dst = zeros above the highest one of src; 64 for 0", layout()),
        Form::new("leading32", "dst = zeros above the highest one of low32(src); 32 for 0", layout()),
        Form::new("trailing64", "dst = zeros below the lowest one of src; 64 for 0", layout()),
        Form::new("trailing32", "dst = zeros below the lowest one of low32(src); 32 for 0", layout()),
    ]
});

fn is_64(site: &Site) -> bool {
    site.form.name.ends_with("64")
}

fn is_leading(site: &Site) -> bool {
    site.form.name.starts_with("leading")
}

impl Kop for CountZeros {
    fn name(&self) -> &str {
        "count_zeros"
    }

    fn summary(&self) -> &str {
        "count leading or trailing zero bits"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let src = state.get(site.reg("src"));
        let count = match (is_leading(site), is_64(site)) {
            (true, true) => src.leading_zeros(),
            (true, false) => (src as u32).leading_zeros(),
            (false, true) => src.trailing_zeros(),
            (false, false) => (src as u32).trailing_zeros(),
        };
        state.set(site.reg("dst"), u64::from(count));
        Some(Ok(()))
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let (dst, src, tmp) = (site.reg("dst"), site.reg("src"), site.reg("tmp"));
        Ok(if is_leading(site) {
            proof_leading(is_64(site), dst, src, tmp)
        } else {
            proof_trailing(is_64(site), dst, src, tmp)
        })
    }

    fn x86_64(&self, site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        let (dst, src) = (site.gpr("dst"), site.gpr("src"));
        let size = if is_64(site) { Size::B8 } else { Size::B4 };
        let bits = size.bits() as i32;
        if is_leading(site) {
            if site.features.has(Feature::Lzcnt) {
                a.lzcnt(size, dst, src);
            } else {
                // BSR gives the index of the highest one; `index ^ (bits - 1)` is the count, and 2 * bits - 1 for zero.
                a.mov(Size::B4, Gpr::R10, 2 * bits - 1);
                a.bsr(size, dst, src);
                a.cmov(X86Cond::E, size, dst, Gpr::R10);
                a.xor(Size::B4, dst, bits - 1);
            }
        } else if site.features.has(Feature::Bmi1) {
            a.tzcnt(size, dst, src);
        } else {
            a.mov(Size::B4, Gpr::R10, bits);
            a.bsf(size, dst, src);
            a.cmov(X86Cond::E, size, dst, Gpr::R10);
        }
        Ok(())
    }

    fn aarch64(&self, site: &Site, a: &mut aarch64::Assembler) -> Result<(), Reject> {
        let (dst, src) = (site.x("dst"), site.x("src"));
        let width = if is_64(site) { W::X } else { W::W };
        if is_leading(site) {
            a.clz(width, dst, src);
        } else {
            a.rbit(width, dst, src);
            a.clz(width, dst, dst);
        }
        Ok(())
    }

    fn features(&self, arch: Arch) -> Features {
        match arch {
            Arch::X86_64 => Features::of(&[Feature::Lzcnt, Feature::Bmi1]),
            Arch::Aarch64 => Features::NONE,
        }
    }

    fn limits(&self, _form: &Form) -> Limits {
        Limits { max_insn_cnt: 24, max_emit_bytes: 18 }
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        let answer = |form, before, after| KnownAnswer {
            form,
            operands: "dst=r0 src=r1 tmp=r2",
            before,
            memory: &[],
            after,
        };
        vec![
            answer("leading64", &[(Reg::R1, 1)], &[(Reg::R0, 63)]),
            answer("leading64", &[(Reg::R1, 0)], &[(Reg::R0, 64)]),
            answer("leading32", &[(Reg::R1, 0xffff_ffff_0000_0000)], &[(Reg::R0, 32)]),
            answer("trailing64", &[(Reg::R1, 1 << 63)], &[(Reg::R0, 63)]),
            answer("trailing64", &[(Reg::R1, 0)], &[(Reg::R0, 64)]),
            answer("trailing32", &[(Reg::R1, 1 << 32)], &[(Reg::R0, 32)]),
        ]
    }
}

/// Binary search from the top: whenever the upper half is zero, count it and move the rest up.
fn proof_leading(is_64: bool, dst: Reg, src: Reg, tmp: Reg) -> Vec<Insn> {
    let mut proof = Vec::with_capacity(24);
    if is_64 {
        // The upper 32 bits are searched if there is a one among them, otherwise the lower.
        proof.extend([
            Insn::mov64(tmp, src),
            Insn::alu64(AluOp::Rsh, tmp, 32),
            Insn::jump(Cond::Ne, tmp, 0, 3),
            Insn::mov32(tmp, src),
            Insn::mov64(dst, 32),
            Insn::ja(1),
            Insn::mov64(dst, 0),
        ]);
    } else {
        proof.extend([Insn::mov32(tmp, src), Insn::mov64(dst, 0)]);
    }
    for half in [16, 8, 4, 2] {
        proof.extend([
            Insn::jump32(Cond::Gt, tmp, (u32::MAX >> half) as i32, 2),
            Insn::alu64(AluOp::Add, dst, half),
            Insn::alu32(AluOp::Lsh, tmp, half),
        ]);
    }
    proof.extend([
        Insn::jump32(Cond::SLt, tmp, 0, 1),
        Insn::alu64(AluOp::Add, dst, 1),
        Insn::jump32(Cond::Ne, tmp, 0, 1),
        Insn::alu64(AluOp::Add, dst, 1),
    ]);
    proof
}

/// Binary search from the bottom: whenever the lower half is zero, count it and move the rest down.
fn proof_trailing(is_64: bool, dst: Reg, src: Reg, tmp: Reg) -> Vec<Insn> {
    let width = if is_64 { Width::W64 } else { Width::W32 };
    let mut proof = vec![Insn::alu(AluOp::Mov, width, tmp, src), Insn::mov64(dst, 0)];
    if is_64 {
        proof.extend([
            Insn::jump32(Cond::Ne, tmp, 0, 2),
            Insn::alu64(AluOp::Add, dst, 32),
            Insn::alu64(AluOp::Rsh, tmp, 32),
        ]);
    }
    for half in [16, 8, 4, 2] {
        proof.extend([
            Insn::jump32(Cond::Set, tmp, (1 << half) - 1, 2),
            Insn::alu64(AluOp::Add, dst, half),
            Insn::alu(AluOp::Rsh, width, tmp, half),
        ]);
    }
    proof.extend([
        Insn::jump32(Cond::Set, tmp, 1, 1),
        Insn::alu64(AluOp::Add, dst, 1),
        Insn::jump32(Cond::Ne, tmp, 0, 1),
        Insn::alu64(AluOp::Add, dst, 1),
    ]);
    proof
}
