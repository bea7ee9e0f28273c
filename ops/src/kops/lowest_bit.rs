// SPDX-License-Identifier: GPL-2.0-or-later
//! **lowest_bit**: the lowest one of `src` alone (`src & -src`), `src` without it (`src & (src - 1)`), or ones up to it
//! (`src ^ (src - 1)`), on 64 bits, or on the low 32 with the upper half of `dst` zero.
//!
//! * A source of zero gives 0, 0, and all ones.
//! * x86-64: BLSI, BLSR and BLSMSK (BMI1); without them NEG or LEA, and AND or XOR. Intel SDM vol. 2, BLSI, BLSR, BLSMSK.
//! * AArch64: NEG or SUB, and AND or EOR; no flags are changed. Arm ARM C6.2.
//! * `dst` may be `src`; `tmp` is dead after the site.

use std::sync::LazyLock;

use crate::aarch64::{self, Gpr as X, Width as W};
use crate::arch::{Arch, Feature, Features};
use crate::ebpf::{AluOp, Insn, Reg, Width};
use crate::kop::{KnownAnswer, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Fault, State};
use crate::x86_64::{self, Gpr, Mem, Size};

/// The operation.
pub struct LowestBit;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout = || {
        Layout::new()
            .register("dst", Role::Destination)
            .register("src", Role::Source)
            .register("tmp", Role::Temporary)
    };
    vec![
        Form::new("isolate64", "dst = src & -src", layout()),
        Form::new("isolate32", "dst = zext(low32(src & -src))", layout()),
        Form::new("clear64", "dst = src & (src - 1)", layout()),
        Form::new("clear32", "dst = zext(low32(src & (src - 1)))", layout()),
        Form::new("mask64", "dst = src ^ (src - 1)", layout()),
        Form::new("mask32", "dst = zext(low32(src ^ (src - 1)))", layout()),
    ]
});

/// What is done with the lowest one.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Isolate,
    Clear,
    Mask,
}

fn part(site: &Site) -> Part {
    match &site.form.name[..site.form.name.len() - 2] {
        "isolate" => Part::Isolate,
        "clear" => Part::Clear,
        _ => Part::Mask,
    }
}

fn is_64(site: &Site) -> bool {
    site.form.name.ends_with("64")
}

impl Kop for LowestBit {
    fn name(&self) -> &str {
        "lowest_bit"
    }

    fn summary(&self) -> &str {
        "isolate or clear the lowest one bit, or the mask up to it"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    /// By the place of the lowest one, and not by the arithmetic that finds it.
    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let width = if is_64(site) { 64 } else { 32 };
        let src = state.get(site.reg("src")) & (u64::MAX >> (64 - width));
        let place = src.trailing_zeros();
        let one = if src == 0 { 0 } else { 1u64 << place };
        let value = match part(site) {
            Part::Isolate => one,
            Part::Clear => src - one,
            Part::Mask if src == 0 => u64::MAX >> (64 - width),
            Part::Mask => (0..=place).fold(0, |mask, bit| mask | 1 << bit),
        };
        state.set(site.reg("dst"), value);
        Some(Ok(()))
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let width = if is_64(site) { Width::W64 } else { Width::W32 };
        let (dst, src, tmp) = (site.reg("dst"), site.reg("src"), site.reg("tmp"));
        let step = match (part(site), width) {
            (Part::Isolate, Width::W64) => Insn::neg64(tmp),
            (Part::Isolate, Width::W32) => Insn::neg32(tmp),
            _ => Insn::alu(AluOp::Add, width, tmp, -1),
        };
        let joined = if part(site) == Part::Mask { AluOp::Xor } else { AluOp::And };
        let mut proof = vec![Insn::alu(AluOp::Mov, width, tmp, src), step];
        if dst != src {
            proof.push(Insn::alu(AluOp::Mov, width, dst, src));
        }
        proof.push(Insn::alu(joined, width, dst, tmp));
        Ok(proof)
    }

    fn x86_64(&self, site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        let size = if is_64(site) { Size::B8 } else { Size::B4 };
        let (dst, src) = (site.gpr("dst"), site.gpr("src"));
        if site.features.has(Feature::Bmi1) {
            match part(site) {
                Part::Isolate => a.blsi(size, dst, src),
                Part::Clear => a.blsr(size, dst, src),
                Part::Mask => a.blsmsk(size, dst, src),
            }
            return Ok(());
        }
        // In place, the source is needed once more after its neighbour is known.
        let (near, other) = if dst == src { (Gpr::R10, Gpr::R10) } else { (dst, src) };
        if part(site) == Part::Isolate {
            a.mov(size, near, src);
            a.neg(size, near);
        } else {
            a.lea(size, near, Mem::at(src, -1));
        }
        match part(site) {
            Part::Isolate | Part::Clear => a.and(size, dst, other),
            Part::Mask => a.xor(size, dst, other),
        }
        Ok(())
    }

    fn aarch64(&self, site: &Site, a: &mut aarch64::Assembler) -> Result<(), Reject> {
        let width = if is_64(site) { W::X } else { W::W };
        let (dst, src) = (site.x("dst"), site.x("src"));
        if part(site) == Part::Isolate {
            a.neg(width, X::X9, src);
        } else {
            a.sub_imm(width, X::X9, src, 1);
        }
        match part(site) {
            Part::Isolate | Part::Clear => a.and(width, dst, src, X::X9),
            Part::Mask => a.eor(width, dst, src, X::X9),
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
        let answer = |form, before, after| KnownAnswer {
            form,
            operands: "dst=r0 src=r1 tmp=r2",
            before,
            memory: &[],
            after,
        };
        vec![
            answer("isolate64", &[(Reg::R1, 0xb0)], &[(Reg::R0, 0x10), (Reg::R1, 0xb0)]),
            answer("isolate64", &[(Reg::R1, 0)], &[(Reg::R0, 0)]),
            answer("isolate32", &[(Reg::R1, 0xffff_ffff_8000_0000)], &[(Reg::R0, 0x8000_0000)]),
            answer("clear64", &[(Reg::R1, 0xb0)], &[(Reg::R0, 0xa0)]),
            answer("clear64", &[(Reg::R1, 0)], &[(Reg::R0, 0)]),
            answer("clear32", &[(Reg::R1, 0xffff_ffff_0000_0000)], &[(Reg::R0, 0)]),
            answer("mask64", &[(Reg::R1, 0xb0)], &[(Reg::R0, 0x1f)]),
            answer("mask64", &[(Reg::R1, 0)], &[(Reg::R0, u64::MAX)]),
            answer("mask32", &[(Reg::R1, 1 << 32)], &[(Reg::R0, 0xffff_ffff)]),
        ]
    }
}
