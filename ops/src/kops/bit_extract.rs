// SPDX-License-Identifier: GPL-2.0-or-later
//! **bit_extract**: `dst` = the bits of `src` where a constant mask has ones, put together at the low end. The mask has every second,
//! fourth or eighth bit, from `offset` on: the way back from Morton codes and interleaved fields.
//!
//! * `log` is the logarithm of the distance, 1 to 3, and `offset` is less than the distance.
//! * x86-64: PEXT (BMI2) with the mask in r10; otherwise the proof sequence is compiled. Intel SDM vol. 2, PEXT.
//! * AArch64: BEXT of D0 by D1 (FEAT_SVE_BitPerm) where SIMD registers may be used. On general registers it has no such instruction:
//!   ORR (shifted register) and AND by pairs, as each of the masks in
//!   between is an immediate. Arm ARM C6.2.
//! * `dst` may be `src`; `tmp` is dead after the site.

use std::sync::LazyLock;

use super::bit_deposit::{self, FEATURES_AARCH64, Stride, keep, permute};
use crate::aarch64::{self, BitPermuteOp, Shift, Width as W};
use crate::arch::{Arch, Feature, Features};
use crate::contract::Contract;
use crate::ebpf::{AluOp, Insn, Reg};
use crate::kop::{KnownAnswer, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Fault, State};
use crate::x86_64::{self, Gpr, Size};

/// The operation.
pub struct BitExtract;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout = Layout::new()
        .register("dst", Role::Destination)
        .register("src", Role::Source)
        .register("tmp", Role::Temporary)
        .unsigned("log", 1, 3)
        .unsigned("offset", 0, 7);
    vec![Form::new("stride", "dst[i] = src[offset + i * 2^log] for i < 64 / 2^log, else 0", layout)]
});

impl Kop for BitExtract {
    fn name(&self) -> &str {
        "bit_extract"
    }

    fn summary(&self) -> &str {
        "put bits at a distance together"
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
        let value = places.enumerate().fold(0, |value, (bit, place)| value | (src >> place & 1) << bit);
        state.set(site.reg("dst"), value);
        Some(Ok(()))
    }

    /// By pairs (Warren, Hacker's Delight, 7-2): every other group moves down to the one before it.
    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let (dst, tmp, stride) = (site.reg("dst"), site.reg("tmp"), Stride::of(site));
        let mut proof = vec![Insn::mov64(dst, site.reg("src"))];
        if stride.offset > 0 {
            proof.push(Insn::alu64(AluOp::Rsh, dst, i32::from(stride.offset)));
        }
        keep(&mut proof, dst, tmp, stride.groups(0));
        for stage in 0..stride.halvings() {
            proof.extend([
                Insn::mov64(tmp, dst),
                Insn::alu64(AluOp::Rsh, tmp, i32::from(stride.moves(stage))),
                Insn::alu64(AluOp::Or, dst, tmp),
            ]);
            keep(&mut proof, dst, tmp, stride.groups(stage + 1));
        }
        Ok(proof)
    }

    fn x86_64(&self, site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        if !site.features.has(Feature::Bmi2) {
            return Err(Reject::NoEmit { arch: Arch::X86_64, features: site.features });
        }
        a.movabs(Gpr::R10, Stride::of(site).mask());
        a.pext(Size::B8, site.gpr("dst"), site.gpr("src"), Gpr::R10);
        Ok(())
    }

    fn aarch64(&self, site: &Site, a: &mut aarch64::Assembler) -> Result<(), Reject> {
        let (dst, mut src, stride) = (site.x("dst"), site.x("src"), Stride::of(site));
        if site.features.contains(FEATURES_AARCH64) {
            permute(a, BitPermuteOp::Bext, site);
            return Ok(());
        }
        if stride.offset > 0 {
            a.lsr_imm(W::X, dst, src, stride.offset);
            src = dst;
        }
        a.and_imm(W::X, dst, src, stride.groups(0));
        for stage in 0..stride.halvings() {
            a.orr_shifted(W::X, dst, dst, dst, Shift::Lsr, stride.moves(stage));
            a.and_imm(W::X, dst, dst, stride.groups(stage + 1));
        }
        Ok(())
    }

    fn contract(&self, site: &Site) -> Contract {
        bit_deposit::contract(site)
    }

    fn features(&self, arch: Arch) -> Features {
        bit_deposit::features(arch)
    }

    fn limits(&self, _form: &Form) -> Limits {
        Limits { max_insn_cnt: 35, max_emit_bytes: 48 }
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        let answer =
            |operands, before, after| KnownAnswer { form: "stride", operands, before, memory: &[], after };
        vec![
            // The x and the y of a Morton code.
            answer("dst=r0 src=r1 tmp=r2 log=1 offset=0", &[(Reg::R1, 0b1101_1011)], &[(Reg::R0, 0b1101)]),
            answer("dst=r1 src=r1 tmp=r2 log=1 offset=1", &[(Reg::R1, 0b1101_1011)], &[(Reg::R1, 0b1011)]),
            answer("dst=r0 src=r1 tmp=r2 log=1 offset=1", &[(Reg::R1, u64::MAX)], &[(Reg::R0, 0xffff_ffff)]),
            answer("dst=r0 src=r1 tmp=r2 log=2 offset=3", &[(Reg::R1, 1 << 63 | 8)], &[(Reg::R0, 0x8001)]),
            // The signs of bytes.
            answer(
                "dst=r0 src=r1 tmp=r2 log=3 offset=7",
                &[(Reg::R1, 0x8001_ff7f_0080_00c0)],
                &[(Reg::R0, 0b1010_0101)],
            ),
        ]
    }
}
