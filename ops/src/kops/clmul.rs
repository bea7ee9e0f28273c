// SPDX-License-Identifier: GPL-2.0-or-later
//! **clmul**: the low or the high 64 bits of the carry-less product of `a` and `b`: of `XOR b << i` over the ones `i` of `a`.
//!
//! * x86-64: PCLMULQDQ on XMM0 and XMM1. Intel SDM vol. 2, PCLMULQDQ.
//! * AArch64: PMULL to 1Q (FEAT_PMULL) on V0 and V1. Arm ARM C7.2, PMULL.
//! * There is no short form in general registers; without SIMD the proof sequence is compiled.
//! * `dst` may be `a` or `b` but not both at once; `tmp` is dead after the site.

use std::sync::LazyLock;

use crate::aarch64::{self, FmovLane, PmullForm, V};
use crate::arch::{Arch, Feature, Features};
use crate::contract::{Contract, Vectors};
use crate::ebpf::{AluOp, Cond, Insn, Reg};
use crate::kop::{KnownAnswer, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Fault, State};
use crate::x86_64::{self, Size, Xmm};

/// The operation.
pub struct Clmul;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout = || {
        Layout::new()
            .register("dst", Role::Destination)
            .register("a", Role::Source)
            .register("b", Role::Source)
            .register("tmp", Role::Temporary)
    };
    vec![
        Form::new("low", "dst = low64(a clmul b)", layout()),
        Form::new("high", "dst = high64(a clmul b)", layout()),
    ]
});

const FEATURES_X86_64: Features = Features::of(&[Feature::Pclmulqdq]);
const FEATURES_AARCH64: Features = Features::of(&[Feature::AdvSimd, Feature::Pmull]);

const XMM0: Xmm = Xmm::ALL[0];
const XMM1: Xmm = Xmm::ALL[1];

fn is_high(site: &Site) -> bool {
    site.form.name == "high"
}

impl Kop for Clmul {
    fn name(&self) -> &str {
        "clmul"
    }

    fn summary(&self) -> &str {
        "carry-less multiplication, low or high half"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn admits(&self, site: &Site) -> Result<(), Reject> {
        if site.reg("dst") == site.reg("a") && site.reg("dst") == site.reg("b") {
            return Err(Reject::operands(
                "dst must not be both a and b: the proof needs one of them to the end",
            ));
        }
        Ok(())
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let (a, b) = (state.get(site.reg("a")), u128::from(state.get(site.reg("b"))));
        let product = (0..64).filter(|i| a >> i & 1 == 1).fold(0, |sum, i| sum ^ b << i);
        state.set(site.reg("dst"), if is_high(site) { (product >> 64) as u64 } else { product as u64 });
        Some(Ok(()))
    }

    /// Horner's rule over the bits of one factor, which the temporary brings to a testable place one after another.
    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let (dst, tmp) = (site.reg("dst"), site.reg("tmp"));
        // The factor in tmp is read once, at the start, so that dst may be that one.
        let (scanned, added) = if dst == site.reg("b") {
            (site.reg("b"), site.reg("a"))
        } else {
            (site.reg("a"), site.reg("b"))
        };
        let mut proof = Vec::with_capacity(3 + 4 * 64);
        proof.extend([Insn::mov64(tmp, scanned), Insn::mov64(dst, 0)]);
        if is_high(site) {
            // From the lowest bit up; inverted, as there is no jump on a clear bit.
            proof.push(Insn::alu64(AluOp::Xor, tmp, -1));
            for _ in 0..64 {
                proof.extend([
                    Insn::jump(Cond::Set, tmp, 1, 1),
                    Insn::alu64(AluOp::Xor, dst, added),
                    Insn::alu64(AluOp::Rsh, dst, 1),
                    Insn::alu64(AluOp::Rsh, tmp, 1),
                ]);
            }
        } else {
            // From the highest bit, the sign, down.
            for _ in 0..64 {
                proof.extend([
                    Insn::alu64(AluOp::Lsh, dst, 1),
                    Insn::jump(Cond::SGe, tmp, 0, 1),
                    Insn::alu64(AluOp::Xor, dst, added),
                    Insn::alu64(AluOp::Lsh, tmp, 1),
                ]);
            }
        }
        Ok(proof)
    }

    fn x86_64(&self, site: &Site, asm: &mut x86_64::Assembler) -> Result<(), Reject> {
        if !site.features.contains(FEATURES_X86_64) {
            return Err(Reject::NoEmit { arch: Arch::X86_64, features: site.features });
        }
        asm.mov_to_xmm(Size::B8, XMM0, site.gpr("a"));
        asm.mov_to_xmm(Size::B8, XMM1, site.gpr("b"));
        asm.pclmulqdq(XMM0, XMM1, 0);
        if is_high(site) {
            asm.psrldq(XMM0, 8);
        }
        asm.mov_from_xmm(Size::B8, site.gpr("dst"), XMM0);
        Ok(())
    }

    fn aarch64(&self, site: &Site, asm: &mut aarch64::Assembler) -> Result<(), Reject> {
        if !site.features.contains(FEATURES_AARCH64) {
            return Err(Reject::NoEmit { arch: Arch::Aarch64, features: site.features });
        }
        asm.fmov_from_gpr(FmovLane::D, V::V0, site.x("a"));
        asm.fmov_from_gpr(FmovLane::D, V::V1, site.x("b"));
        asm.pmull(PmullForm::Doubleword, V::V0, V::V0, V::V1);
        if is_high(site) {
            asm.fmov_to_gpr(FmovLane::UpperD, site.x("dst"), V::V0);
        } else {
            asm.fmov_to_gpr(FmovLane::D, site.x("dst"), V::V0);
        }
        Ok(())
    }

    fn contract(&self, site: &Site) -> Contract {
        Contract {
            dead: site.form.layout.temporaries(&site.operands),
            vectors: Vectors { x86_64: 0b11, aarch64: 0b11 },
            ..Contract::default()
        }
    }

    fn features(&self, arch: Arch) -> Features {
        match arch {
            Arch::X86_64 => FEATURES_X86_64,
            Arch::Aarch64 => FEATURES_AARCH64,
        }
    }

    fn limits(&self, _form: &Form) -> Limits {
        Limits { max_insn_cnt: 259, max_emit_bytes: 26 }
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        let answer = |form, before, after| KnownAnswer {
            form,
            operands: "dst=r0 a=r1 b=r2 tmp=r3",
            before,
            memory: &[],
            after,
        };
        vec![
            // (x^2 + x + 1)(x + 1) = x^3 + 1 over GF(2).
            answer("low", &[(Reg::R1, 7), (Reg::R2, 3)], &[(Reg::R0, 9)]),
            answer("high", &[(Reg::R1, 7), (Reg::R2, 3)], &[(Reg::R0, 0)]),
            // x^63 * x^63 = x^126.
            answer("high", &[(Reg::R1, 1 << 63), (Reg::R2, 1 << 63)], &[(Reg::R0, 1 << 62)]),
            // The square of all ones has a one at every even place.
            answer("low", &[(Reg::R1, u64::MAX), (Reg::R2, u64::MAX)], &[(Reg::R0, 0x5555_5555_5555_5555)]),
            answer("high", &[(Reg::R1, u64::MAX), (Reg::R2, u64::MAX)], &[(Reg::R0, 0x5555_5555_5555_5555)]),
        ]
    }
}
