// SPDX-License-Identifier: GPL-2.0-or-later
//! **popcount**: `dst` = the number of one bits in `src`, or in its low 32 bits.
//!
//! * x86-64: POPCNT, or VPOPCNTQ on XMM0 (AVX512_VPOPCNTDQ and AVX512VL), which takes two moves more. Without either the proof
//!   sequence is compiled. Intel SDM vol. 2, POPCNT and VPOPCNT.
//! * AArch64: CNT and ADDV on V0 where SIMD registers may be used, otherwise the sum by halves in x9 and x10.
//!   Arm ARM C7.2, CNT and ADDV.
//! * `tmp` is dead after the site.

use std::sync::LazyLock;

use crate::aarch64::{self, Arrangement, FmovLane, Gpr as X, Shift, V, Width as W};
use crate::arch::{Arch, Feature, Features};
use crate::contract::{Contract, Vectors};
use crate::ebpf::{AluOp, Insn, Reg, Width};
use crate::kop::{KnownAnswer, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Fault, State};
use crate::x86_64::{self, Size, Xmm};

/// The operation.
pub struct Popcount;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout = || {
        Layout::new()
            .register("dst", Role::Destination)
            .register("src", Role::Source)
            .register("tmp", Role::Temporary)
    };
    vec![
        Form::new("pop64", "dst = number of ones in src", layout()),
        Form::new("pop32", "dst = number of ones in low32(src)", layout()),
    ]
});

/// Every other bit, every other pair, every other nibble, and a one in every byte.
const HALVES: [u64; 3] = [0x5555_5555_5555_5555, 0x3333_3333_3333_3333, 0x0f0f_0f0f_0f0f_0f0f];
const ONES: u64 = 0x0101_0101_0101_0101;

/// What VPOPCNTQ of 128 bits takes.
const VPOPCNT: Features = Features::of(&[Feature::Avx512Vl, Feature::Avx512Vpopcntdq]);

const XMM0: Xmm = Xmm::ALL[0];

fn is_64(site: &Site) -> bool {
    site.form.name == "pop64"
}

impl Kop for Popcount {
    fn name(&self) -> &str {
        "popcount"
    }

    fn summary(&self) -> &str {
        "count the one bits"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let src = state.get(site.reg("src"));
        let count = if is_64(site) { src.count_ones() } else { (src as u32).count_ones() };
        state.set(site.reg("dst"), u64::from(count));
        Some(Ok(()))
    }

    /// The sum by halves (Warren, Hacker's Delight, 5-1), with `x & !m` as `x ^ (x & m)` to need one temporary only.
    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let (dst, tmp) = (site.reg("dst"), site.reg("tmp"));
        let width = if is_64(site) { Width::W64 } else { Width::W32 };
        let constant = |value: u64| match width {
            Width::W64 => Insn::load_imm64(tmp, value),
            Width::W32 => Insn::alu(AluOp::Mov, width, tmp, value as u32 as i32),
        };
        let mut proof = vec![Insn::alu(AluOp::Mov, width, dst, site.reg("src"))];
        for (stage, mask) in HALVES.into_iter().enumerate() {
            proof.extend([
                constant(mask),
                Insn::alu(AluOp::And, width, tmp, dst),
                Insn::alu(AluOp::Xor, width, dst, tmp),
                Insn::alu(AluOp::Rsh, width, dst, 1 << stage),
                Insn::alu(AluOp::Add, width, dst, tmp),
            ]);
        }
        proof.extend([
            constant(ONES),
            Insn::alu(AluOp::Mul, width, dst, tmp),
            Insn::alu(AluOp::Rsh, width, dst, width.bits() as i32 - 8),
        ]);
        Ok(proof)
    }

    fn x86_64(&self, site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        let size = if is_64(site) { Size::B8 } else { Size::B4 };
        let (dst, src) = (site.gpr("dst"), site.gpr("src"));
        if site.features.has(Feature::Popcnt) {
            a.popcnt(size, dst, src);
            return Ok(());
        }
        if !site.features.contains(VPOPCNT) {
            return Err(Reject::NoEmit { arch: Arch::X86_64, features: site.features });
        }
        // Both moves clear what is above the number.
        a.mov_to_xmm(size, XMM0, src);
        a.vpopcnt(Size::B8, XMM0, XMM0);
        a.mov_from_xmm(Size::B4, dst, XMM0);
        Ok(())
    }

    fn aarch64(&self, site: &Site, a: &mut aarch64::Assembler) -> Result<(), Reject> {
        let width = if is_64(site) { W::X } else { W::W };
        let (dst, src) = (site.x("dst"), site.x("src"));
        if site.features.has(Feature::AdvSimd) {
            a.fmov_from_gpr(if is_64(site) { FmovLane::D } else { FmovLane::S }, V::V0, src);
            a.cnt(Arrangement::B8, V::V0, V::V0);
            a.addv(Arrangement::B8, V::V0, V::V0);
            a.fmov_to_gpr(FmovLane::S, dst, V::V0);
            return Ok(());
        }
        let cut = |value: u64| if is_64(site) { value } else { value & 0xffff_ffff };
        a.and_imm(width, X::X9, src, cut(HALVES[0]));
        a.lsr_imm(width, X::X10, src, 1);
        a.and_imm(width, X::X10, X::X10, cut(HALVES[0]));
        a.add(width, X::X9, X::X9, X::X10);
        a.and_imm(width, X::X10, X::X9, cut(HALVES[1]));
        a.lsr_imm(width, X::X9, X::X9, 2);
        a.and_imm(width, X::X9, X::X9, cut(HALVES[1]));
        a.add(width, X::X9, X::X9, X::X10);
        a.add_shifted(width, X::X9, X::X9, X::X9, Shift::Lsr, 4);
        a.and_imm(width, X::X9, X::X9, cut(HALVES[2]));
        a.orr_imm(width, X::X10, X::Xzr, cut(ONES));
        a.mul(width, X::X9, X::X9, X::X10);
        a.lsr_imm(width, dst, X::X9, width.bits() as u8 - 8);
        Ok(())
    }

    fn contract(&self, site: &Site) -> Contract {
        let x86_64 = !site.features.has(Feature::Popcnt) && site.features.contains(VPOPCNT);
        let aarch64 = u32::from(site.features.has(Feature::AdvSimd));
        Contract {
            dead: site.form.layout.temporaries(&site.operands),
            vectors: Vectors { x86_64: u16::from(x86_64), aarch64 },
            ..Contract::default()
        }
    }

    fn features(&self, arch: Arch) -> Features {
        match arch {
            Arch::X86_64 => VPOPCNT.union(Features::of(&[Feature::Popcnt])),
            Arch::Aarch64 => Features::of(&[Feature::AdvSimd]),
        }
    }

    fn limits(&self, _form: &Form) -> Limits {
        Limits { max_insn_cnt: 23, max_emit_bytes: 52 }
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        vec![
            KnownAnswer {
                form: "pop64",
                operands: "dst=r0 src=r1 tmp=r2",
                before: &[(Reg::R1, u64::MAX)],
                memory: &[],
                after: &[(Reg::R0, 64), (Reg::R1, u64::MAX)],
            },
            KnownAnswer {
                form: "pop32",
                operands: "dst=r1 src=r1 tmp=r2",
                before: &[(Reg::R1, 0xffff_ffff_8000_0001)],
                memory: &[],
                after: &[(Reg::R1, 2)],
            },
        ]
    }
}
