// SPDX-License-Identifier: GPL-2.0-or-later
//! **extract**: `dst = src[start+length-1 : start]`, zero- or sign-extended to 64 bits.
//!
//! * `start` 0..=63, `length` 1..=64, `start + length <= 64`; a length of 64 copies.
//! * x86-64: MOVZX, MOVSX, MOVSXD or a 32-bit MOV for fields at bit 0 of those lengths; BEXTR (BMI1) for unsigned fields into
//!   another register; otherwise two shifts. Intel SDM vol. 2, BEXTR.
//! * AArch64: UBFX and SBFX. Arm ARM C6.2, UBFM and SBFM.

use std::sync::LazyLock;

use crate::aarch64::{self, Width as W};
use crate::arch::{Arch, Feature, Features};
use crate::ebpf::{AluOp, Insn, Reg};
use crate::kop::{KnownAnswer, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Fault, State};
use crate::x86_64::{self, Gpr, Size};

/// The operation.
pub struct Extract;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout = || {
        Layout::new()
            .register("dst", Role::Destination)
            .register("src", Role::Source)
            .unsigned("start", 0, 63)
            .unsigned("length", 1, 64)
    };
    vec![
        Form::new("unsigned", "dst = zext(src[start+length-1 : start])", layout()),
        Form::new("signed", "dst = sext(src[start+length-1 : start])", layout()),
    ]
});

fn is_signed(site: &Site) -> bool {
    site.form.name == "signed"
}

/// The shift amounts that bring the field to the top and back down.
fn shifts(site: &Site) -> (u8, u8) {
    let (start, length) = (site.imm("start"), site.imm("length"));
    ((64 - start - length) as u8, (64 - length) as u8)
}

impl Kop for Extract {
    fn name(&self) -> &str {
        "extract"
    }

    fn summary(&self) -> &str {
        "extract a bit field, zero- or sign-extended"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn admits(&self, site: &Site) -> Result<(), Reject> {
        if site.imm("start") + site.imm("length") > 64 {
            return Err(Reject::operands("the field ends above bit 63: start + length must be at most 64"));
        }
        Ok(())
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let (start, length) = (site.imm("start") as u32, site.imm("length") as u32);
        let mask = u64::MAX >> (64 - length);
        let field = state.get(site.reg("src")) >> start & mask;
        let negative = is_signed(site) && field >> (length - 1) & 1 == 1;
        state.set(site.reg("dst"), if negative { field | !mask } else { field });
        Some(Ok(()))
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let (dst, src) = (site.reg("dst"), site.reg("src"));
        let (up, down) = shifts(site);
        let mut proof = Vec::with_capacity(3);
        if dst != src || down == 0 {
            proof.push(Insn::mov64(dst, src));
        }
        if up != 0 {
            proof.push(Insn::alu64(AluOp::Lsh, dst, i32::from(up)));
        }
        if down != 0 {
            let op = if is_signed(site) { AluOp::Arsh } else { AluOp::Rsh };
            proof.push(Insn::alu64(op, dst, i32::from(down)));
        }
        Ok(proof)
    }

    fn x86_64(&self, site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        let (dst, src) = (site.gpr("dst"), site.gpr("src"));
        let (start, length) = (site.imm("start") as u32, site.imm("length") as u32);
        let (up, down) = shifts(site);
        match (start, length, is_signed(site)) {
            (0, 64, _) => a.mov(Size::B8, dst, src),
            (0, 8, false) => a.movzx(Size::B4, dst, Size::B1, src),
            (0, 16, false) => a.movzx(Size::B4, dst, Size::B2, src),
            (0, 32, false) => a.mov(Size::B4, dst, src),
            (0, 8, true) => a.movsx(Size::B8, dst, Size::B1, src),
            (0, 16, true) => a.movsx(Size::B8, dst, Size::B2, src),
            (0, 32, true) => a.movsx(Size::B8, dst, Size::B4, src),
            (_, _, false) if dst != src && up != 0 && site.features.has(Feature::Bmi1) => {
                a.mov(Size::B4, Gpr::R10, (start | length << 8) as i32);
                a.bextr(Size::B8, dst, src, Gpr::R10);
            }
            (_, _, signed) => {
                if dst != src {
                    a.mov(Size::B8, dst, src);
                }
                if up != 0 {
                    a.shl(Size::B8, dst, up);
                }
                if signed {
                    a.sar(Size::B8, dst, down);
                } else {
                    a.shr(Size::B8, dst, down);
                }
            }
        }
        Ok(())
    }

    fn aarch64(&self, site: &Site, a: &mut aarch64::Assembler) -> Result<(), Reject> {
        let (dst, src) = (site.x("dst"), site.x("src"));
        let (start, length) = (site.imm("start") as u8, site.imm("length") as u8);
        if is_signed(site) {
            a.sbfx(W::X, dst, src, start, length);
        } else {
            a.ubfx(W::X, dst, src, start, length);
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
        Limits { max_insn_cnt: 3, max_emit_bytes: 11 }
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        let before: &'static [(Reg, u64)] = &[(Reg::R1, 0xfedc_ba98_7654_3210)];
        let answer = |form, operands, after| KnownAnswer { form, operands, before, memory: &[], after };
        vec![
            answer("unsigned", "dst=r0 src=r1 start=4 length=8", &[(Reg::R0, 0x21)]),
            answer("signed", "dst=r0 src=r1 start=28 length=8", &[(Reg::R0, 0xffff_ffff_ffff_ff87)]),
            answer("unsigned", "dst=r1 src=r1 start=63 length=1", &[(Reg::R1, 1)]),
            answer("signed", "dst=r0 src=r1 start=0 length=64", &[(Reg::R0, 0xfedc_ba98_7654_3210)]),
        ]
    }
}
