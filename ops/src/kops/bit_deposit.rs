// SPDX-License-Identifier: GPL-2.0-or-later
//! **bit_deposit**: `dst` = the low bits of `src`, put where a constant mask has ones, in order; zeros elsewhere. The mask has every
//! second, fourth or eighth bit, from `offset` on: what Morton codes and interleaved fields are made with.
//!
//! * `log` is the logarithm of the distance, 1 to 3, and `offset` is less than the distance.
//! * x86-64: PDEP (BMI2) with the mask in r10; otherwise the proof sequence is compiled. Intel SDM vol. 2, PDEP.
//! * AArch64: BDEP of D0 by D1 (FEAT_SVE_BitPerm) where SIMD registers may be used. On general registers it has no such instruction:
//!   ORR (shifted register) and AND by halves, as each of the masks in
//!   between is an immediate. Arm ARM C6.2.
//! * `dst` may be `src`; `tmp` is dead after the site.

use std::sync::LazyLock;

use crate::aarch64::{self, BitPermuteOp, FmovLane, Gpr as X, Scalar, Shift, V, Width as W};
use crate::arch::{Arch, Feature, Features};
use crate::contract::{Contract, Vectors};
use crate::ebpf::{AluOp, Insn, Reg};
use crate::kop::{KnownAnswer, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Fault, State};
use crate::x86_64::{self, Gpr, Size};

/// The operation.
pub struct BitDeposit;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout = Layout::new()
        .register("dst", Role::Destination)
        .register("src", Role::Source)
        .register("tmp", Role::Temporary)
        .unsigned("log", 1, 3)
        .unsigned("offset", 0, 7);
    vec![Form::new("stride", "dst[offset + i * 2^log] = src[i] for i < 64 / 2^log, else 0", layout)]
});

/// What BDEP and BEXT of D0 take.
pub(super) const FEATURES_AARCH64: Features = Features::of(&[Feature::AdvSimd, Feature::SveBitperm]);

/// Places at a distance of a power of two.
#[derive(Clone, Copy)]
pub(super) struct Stride {
    log: u32,
    /// The lowest place.
    pub(super) offset: u8,
}

impl Stride {
    pub(super) fn of(site: &Site) -> Self {
        Self { log: site.imm("log") as u32, offset: site.imm("offset") as u8 }
    }

    /// # Errors
    /// [`Reject::Operands`] when the lowest place is not the first.
    pub(super) fn check(site: &Site) -> Result<(), Reject> {
        let Self { log, offset } = Self::of(site);
        if offset >> log != 0 {
            return Err(Reject::operands("offset must be less than the distance, 2^log"));
        }
        Ok(())
    }

    /// How often the number of bits that are together is halved until each is alone.
    pub(super) const fn halvings(self) -> u32 {
        6 - self.log
    }

    /// How far the upper half of each group of `2^(stage + 1)` bits moves to make two groups at the distance.
    pub(super) const fn moves(self, stage: u32) -> u8 {
        ((1 << self.log) - 1) << stage
    }

    /// Where bits are in groups of `2^stage`, the lowest at place 0.
    pub(super) fn groups(self, stage: u32) -> u64 {
        let group = u64::MAX >> (64 - (1 << stage));
        (0..64).step_by(1 << (stage + self.log)).fold(0, |mask, place| mask | group << place)
    }

    /// The places.
    pub(super) fn mask(self) -> u64 {
        self.groups(0) << self.offset
    }
}

/// What BDEP and BEXT take of registers, and what is dead.
pub(super) fn contract(site: &Site) -> Contract {
    let aarch64 = if site.features.contains(FEATURES_AARCH64) { 0b11 } else { 0 };
    Contract {
        dead: site.form.layout.temporaries(&site.operands),
        vectors: Vectors { x86_64: 0, aarch64 },
        ..Contract::default()
    }
}

/// The features of PDEP and PEXT, BDEP and BEXT.
pub(super) fn features(arch: Arch) -> Features {
    match arch {
        Arch::X86_64 => Features::of(&[Feature::Bmi2]),
        Arch::Aarch64 => FEATURES_AARCH64,
    }
}

impl Kop for BitDeposit {
    fn name(&self) -> &str {
        "bit_deposit"
    }

    fn summary(&self) -> &str {
        "spread the low bits to places at a distance"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn admits(&self, site: &Site) -> Result<(), Reject> {
        Stride::check(site)
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let src = state.get(site.reg("src"));
        let (distance, offset) = (1 << site.imm("log"), site.imm("offset") as usize);
        let places = (offset..64).step_by(distance);
        let value = places.enumerate().fold(0, |value, (bit, place)| value | (src >> bit & 1) << place);
        state.set(site.reg("dst"), value);
        Some(Ok(()))
    }

    /// By halves (Warren, Hacker's Delight, 7-2): the upper half of each group moves away from the lower one.
    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let (dst, tmp, stride) = (site.reg("dst"), site.reg("tmp"), Stride::of(site));
        let mut proof = vec![Insn::mov64(dst, site.reg("src"))];
        keep(&mut proof, dst, tmp, stride.groups(stride.halvings()));
        for stage in (0..stride.halvings()).rev() {
            proof.extend([
                Insn::mov64(tmp, dst),
                Insn::alu64(AluOp::Lsh, tmp, i32::from(stride.moves(stage))),
                Insn::alu64(AluOp::Or, dst, tmp),
            ]);
            keep(&mut proof, dst, tmp, stride.groups(stage));
        }
        if stride.offset > 0 {
            proof.push(Insn::alu64(AluOp::Lsh, dst, i32::from(stride.offset)));
        }
        Ok(proof)
    }

    fn x86_64(&self, site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        if !site.features.has(Feature::Bmi2) {
            return Err(Reject::NoEmit { arch: Arch::X86_64, features: site.features });
        }
        a.movabs(Gpr::R10, Stride::of(site).mask());
        a.pdep(Size::B8, site.gpr("dst"), site.gpr("src"), Gpr::R10);
        Ok(())
    }

    fn aarch64(&self, site: &Site, a: &mut aarch64::Assembler) -> Result<(), Reject> {
        let (dst, stride) = (site.x("dst"), Stride::of(site));
        if site.features.contains(FEATURES_AARCH64) {
            permute(a, BitPermuteOp::Bdep, site);
            return Ok(());
        }
        a.and_imm(W::X, dst, site.x("src"), stride.groups(stride.halvings()));
        for stage in (0..stride.halvings()).rev() {
            a.orr_shifted(W::X, dst, dst, dst, Shift::Lsl, stride.moves(stage));
            a.and_imm(W::X, dst, dst, stride.groups(stage));
        }
        if stride.offset > 0 {
            a.lsl_imm(W::X, dst, dst, stride.offset);
        }
        Ok(())
    }

    fn contract(&self, site: &Site) -> Contract {
        contract(site)
    }

    fn features(&self, arch: Arch) -> Features {
        features(arch)
    }

    fn limits(&self, _form: &Form) -> Limits {
        Limits { max_insn_cnt: 35, max_emit_bytes: 48 }
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        let answer =
            |operands, before, after| KnownAnswer { form: "stride", operands, before, memory: &[], after };
        vec![
            // The x and the y of a Morton code.
            answer("dst=r0 src=r1 tmp=r2 log=1 offset=0", &[(Reg::R1, 0b1101)], &[(Reg::R0, 0b0101_0001)]),
            answer("dst=r0 src=r1 tmp=r2 log=1 offset=1", &[(Reg::R1, 0b1101)], &[(Reg::R0, 0b1010_0010)]),
            answer(
                "dst=r1 src=r1 tmp=r2 log=1 offset=1",
                &[(Reg::R1, u64::MAX)],
                &[(Reg::R1, 0xaaaa_aaaa_aaaa_aaaa)],
            ),
            // Digits of two bits in nibbles, bits in bytes.
            answer("dst=r0 src=r1 tmp=r2 log=2 offset=3", &[(Reg::R1, 0x1_8001)], &[(Reg::R0, 1 << 63 | 8)]),
            answer(
                "dst=r0 src=r1 tmp=r2 log=3 offset=0",
                &[(Reg::R1, 0x1a5)],
                &[(Reg::R0, 0x0100_0100_0001_0001)],
            ),
        ]
    }
}

/// BDEP or BEXT of D0, which is the lowest lane of Z0, by the mask in D1.
pub(super) fn permute(a: &mut aarch64::Assembler, op: BitPermuteOp, site: &Site) {
    a.fmov_from_gpr(FmovLane::D, V::V0, site.x("src"));
    a.orr_imm(W::X, X::X9, X::Xzr, Stride::of(site).mask());
    a.fmov_from_gpr(FmovLane::D, V::V1, X::X9);
    a.bit_permute(op, Scalar::D, V::V0, V::V0, V::V1);
    a.fmov_to_gpr(FmovLane::D, site.x("dst"), V::V0);
}

/// Clears the bits of `dst` that a mask has not.
pub(super) fn keep(proof: &mut Vec<Insn>, dst: Reg, tmp: Reg, mask: u64) {
    proof.extend([Insn::load_imm64(tmp, mask), Insn::alu64(AluOp::And, dst, tmp)]);
}
