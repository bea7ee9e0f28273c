// SPDX-License-Identifier: GPL-2.0-or-later
//! **crc32c**: `dst` = the CRC-32C `crc` continued over the low 1, 2, 4 or 8 bytes of `data`, the lowest first.
//!
//! * Bits are reflected (the generator is 82F63B78H) and nothing is inverted at either end: a caller does that once, for a whole
//!   buffer. Of `crc` the low 32 bits count; the upper half of `dst` is zero.
//! * x86-64: CRC32 (SSE4.2), which has one destination for checksum and result. Intel SDM vol. 2, CRC32.
//! * AArch64: CRC32CB to CRC32CX (FEAT_CRC32). Arm ARM C6.2.
//! * Without these instructions the proof sequence is compiled.
//! * `dst` may be `crc`, `data` or both; `tmp` is dead after the site.

use std::sync::LazyLock;

use crate::aarch64;
use crate::arch::{Arch, Feature, Features};
use crate::ebpf::{AluOp, Cond, Insn, Reg};
use crate::kop::{KnownAnswer, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Fault, State};
use crate::x86_64::{self, Gpr, Size};

/// The operation.
pub struct Crc32c;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout = || {
        Layout::new()
            .register("dst", Role::Destination)
            .register("crc", Role::Source)
            .register("data", Role::Source)
            .register("tmp", Role::Temporary)
    };
    vec![
        Form::new("u8", "dst = CRC-32C of crc and 1 byte of data", layout()),
        Form::new("u16", "dst = CRC-32C of crc and 2 bytes of data", layout()),
        Form::new("u32", "dst = CRC-32C of crc and 4 bytes of data", layout()),
        Form::new("u64", "dst = CRC-32C of crc and 8 bytes of data", layout()),
    ]
});

/// The generator polynomial 11EDC6F41H, its 33 bits reflected.
const GENERATOR: u64 = 0x82f6_3b78 << 1 | 1;

fn bits(site: &Site) -> u32 {
    match &*site.form.name {
        "u8" => 8,
        "u16" => 16,
        "u32" => 32,
        _ => 64,
    }
}

impl Kop for Crc32c {
    fn name(&self) -> &str {
        "crc32c"
    }

    fn summary(&self) -> &str {
        "CRC-32C of 1 to 8 bytes"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    /// By long division: the bits, first to last, are the coefficients of a polynomial from the highest power down, behind those
    /// of the checksum, and what remains modulo the generator is the result, reflected again.
    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        const POLYNOMIAL: u64 = 0x1_1edc_6f41;
        let (crc, data) = (state.get(site.reg("crc")) as u32, state.get(site.reg("data")));
        let mut rest = u64::from(crc.reverse_bits());
        for bit in 0..bits(site) {
            rest ^= (data >> bit & 1) << 31;
            rest <<= 1;
            if rest >> 32 == 1 {
                rest ^= POLYNOMIAL;
            }
        }
        state.set(site.reg("dst"), u64::from((rest as u32).reverse_bits()));
        Some(Ok(()))
    }

    /// Bit by bit: data is added to the checksum, and each one that leaves at the bottom takes a multiple of the generator with
    /// it, whose lowest bit is that one.
    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let (dst, data, tmp) = (site.reg("dst"), site.reg("data"), site.reg("tmp"));
        let bits = bits(site);
        let mut proof = Vec::with_capacity(6 + 4 * bits as usize);
        match bits {
            32 => proof.push(Insn::mov32(tmp, data)),
            64 => proof.push(Insn::mov64(tmp, data)),
            _ => proof.extend([Insn::mov64(tmp, data), Insn::alu64(AluOp::And, tmp, (1 << bits) - 1)]),
        }
        proof.extend([
            Insn::mov32(dst, site.reg("crc")),
            Insn::alu64(AluOp::Xor, dst, tmp),
            Insn::load_imm64(tmp, GENERATOR),
        ]);
        for _ in 0..bits {
            proof.extend([
                Insn::jump(Cond::Set, dst, 1, 1),
                Insn::ja(1),
                Insn::alu64(AluOp::Xor, dst, tmp),
                Insn::alu64(AluOp::Rsh, dst, 1),
            ]);
        }
        Ok(proof)
    }

    fn x86_64(&self, site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        if !site.features.has(Feature::Sse42) {
            return Err(Reject::NoEmit { arch: Arch::X86_64, features: site.features });
        }
        let (dst, crc, mut data) = (site.gpr("dst"), site.gpr("crc"), site.gpr("data"));
        if dst == data && dst != crc {
            a.mov(Size::B8, Gpr::R10, data);
            data = Gpr::R10;
        }
        if dst != crc {
            a.mov(Size::B4, dst, crc);
        }
        a.crc32(Size::from_bytes(bits(site) / 8).expect("1, 2, 4 or 8"), dst, data);
        Ok(())
    }

    fn aarch64(&self, site: &Site, a: &mut aarch64::Assembler) -> Result<(), Reject> {
        if !site.features.has(Feature::Crc32) {
            return Err(Reject::NoEmit { arch: Arch::Aarch64, features: site.features });
        }
        let size = match bits(site) {
            8 => aarch64::Size::B1,
            16 => aarch64::Size::B2,
            32 => aarch64::Size::B4,
            _ => aarch64::Size::B8,
        };
        a.crc32c(size, site.x("dst"), site.x("crc"), site.x("data"));
        Ok(())
    }

    fn features(&self, arch: Arch) -> Features {
        match arch {
            Arch::X86_64 => Features::of(&[Feature::Sse42]),
            Arch::Aarch64 => Features::of(&[Feature::Crc32]),
        }
    }

    fn limits(&self, form: &Form) -> Limits {
        let max_insn_cnt = match &*form.name {
            "u8" => 38,
            "u16" => 70,
            "u32" => 133,
            _ => 261,
        };
        Limits { max_insn_cnt, max_emit_bytes: 13 }
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        let answer =
            |form, operands, before, after| KnownAnswer { form, operands, before, memory: &[], after };
        vec![
            // The check value of the nine digits is E3069283H, inverted at both ends: the last digit, its upper bits no matter.
            answer(
                "u8",
                "dst=r0 crc=r1 data=r2 tmp=r3",
                &[(Reg::R1, 0xffff_ffff_9f78_7f65), (Reg::R2, 0xff39)],
                &[(Reg::R0, 0x1cf9_6d7c), (Reg::R2, 0xff39)],
            ),
            // RFC 3720, B.4: bytes 0 to 31 give 46DD794EH, inverted at both ends: the last two, four and eight of them.
            answer(
                "u16",
                "dst=r1 crc=r1 data=r2 tmp=r3",
                &[(Reg::R1, 0xe1fa_6d28), (Reg::R2, 0x1f1e)],
                &[(Reg::R1, 0xb922_86b1)],
            ),
            answer(
                "u32",
                "dst=r2 crc=r1 data=r2 tmp=r3",
                &[(Reg::R1, 0x9b21_363e), (Reg::R2, 0x1f1e_1d1c)],
                &[(Reg::R2, 0xb922_86b1)],
            ),
            answer(
                "u64",
                "dst=r2 crc=r1 data=r2 tmp=r3",
                &[(Reg::R1, 0xd643_786a), (Reg::R2, 0x1f1e_1d1c_1b1a_1918)],
                &[(Reg::R2, 0xb922_86b1)],
            ),
            // 32 bytes of zeros give 8A9136AAH, inverted at both ends: the last eight.
            answer(
                "u64",
                "dst=r0 crc=r1 data=r2 tmp=r3",
                &[(Reg::R1, 0x7b04_1311)],
                &[(Reg::R0, 0x756e_c955)],
            ),
        ]
    }
}
