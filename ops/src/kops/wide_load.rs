// SPDX-License-Identifier: GPL-2.0-or-later
//! **wide_load**: `dst` = the 2, 4 or 8 bytes at `base + off`, the first byte the least (le) or the most (be) significant,
//! zero-extended; the proof loads byte by byte, which is what compilers make of packed data.
//!
//! * `off` is -256..=255. The bytes that are read are those of one access, so that native code faults where a byte does.
//! * x86-64: MOVZX or MOV; for be as `swapped_load`: MOVBE, or MOV and BSWAP. Intel SDM vol. 2.
//! * AArch64: LDR or LDRH, and REV for be. Each offset is one of LDUR at least. Arm ARM C6.2.
//! * `dst` may be `base` for two bytes alone: the proof of more has a byte, a sum and an address at a time. `tmp` is dead
//!   after the site.

use std::sync::LazyLock;

use super::swapped_load;
use crate::aarch64::{self, Mem as ArmMem, Width as W};
use crate::arch::{Arch, Feature, Features};
use crate::contract::{Contract, MemoryUse};
use crate::ebpf::{self, AluOp, Insn, Reg};
use crate::kop::{KnownAnswer, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Access, Fault, State};
use crate::x86_64::{self, Mem, Size};

/// The operation.
pub struct WideLoad;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout = || {
        Layout::new()
            .register("dst", Role::Destination)
            .register("base", Role::Any)
            .register("tmp", Role::Temporary)
            .signed("off", 9)
    };
    vec![
        Form::new("le16", "dst = bytes 1, 0 at base + off", layout()),
        Form::new("le32", "dst = bytes 3 .. 0 at base + off", layout()),
        Form::new("le64", "dst = bytes 7 .. 0 at base + off", layout()),
        Form::new("be16", "dst = bytes 0, 1 at base + off", layout()),
        Form::new("be32", "dst = bytes 0 .. 3 at base + off", layout()),
        Form::new("be64", "dst = bytes 0 .. 7 at base + off", layout()),
    ]
});

/// How many bytes form the number, and whether the first is the most significant.
pub(super) fn size_and_order(site: &Site) -> (ebpf::Size, bool) {
    let name = &*site.form.name;
    let size = match &name[2..] {
        "16" => ebpf::Size::B2,
        "32" => ebpf::Size::B4,
        _ => ebpf::Size::B8,
    };
    (size, name.starts_with("be"))
}

/// The distances from the first byte, the least significant byte first.
pub(super) fn distances(site: &Site) -> Vec<i16> {
    let (size, big) = size_and_order(site);
    let last = size.bytes() as i16 - 1;
    (0..=last).map(|rank| if big { last - rank } else { rank }).collect()
}

impl Kop for WideLoad {
    fn name(&self) -> &str {
        "wide_load"
    }

    fn summary(&self) -> &str {
        "load a number byte by byte"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn admits(&self, site: &Site) -> Result<(), Reject> {
        if site.reg("dst") == site.reg("base") && size_and_order(site).0 != ebpf::Size::B2 {
            return Err(Reject::operands("dst must not be base: the proof needs base to the last byte"));
        }
        Ok(())
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let (size, big) = size_and_order(site);
        let first = state.get(site.reg("base")).wrapping_add_signed(site.imm("off"));
        let mut bytes = [0; 8];
        for (at, byte) in (0..).zip(&mut bytes[..size.bytes()]) {
            match state.memory.load(first.wrapping_add(at), 1) {
                Ok(value) => *byte = value as u8,
                Err(fault) => return Some(Err(fault)),
            }
        }
        if big {
            bytes[..size.bytes()].reverse();
        }
        state.set(site.reg("dst"), u64::from_le_bytes(bytes));
        Some(Ok(()))
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let (dst, base, tmp) = (site.reg("dst"), site.reg("base"), site.reg("tmp"));
        let off = site.imm("off") as i16;
        let byte = |to: Reg, distance: i16| Insn::load(ebpf::Size::B1, to, base, off + distance);
        let shift = |reg: Reg, rank: usize| Insn::alu64(AluOp::Lsh, reg, 8 * rank as i32);
        let or = Insn::alu64(AluOp::Or, dst, tmp);
        let distances = distances(site);
        if dst == base {
            // The address goes with the last byte.
            return Ok(vec![byte(tmp, distances[0]), byte(dst, distances[1]), shift(dst, 1), or]);
        }
        let mut proof = vec![byte(dst, distances[0])];
        for (rank, &distance) in distances.iter().enumerate().skip(1) {
            proof.extend([byte(tmp, distance), shift(tmp, rank), or]);
        }
        Ok(proof)
    }

    fn x86_64(&self, site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        let dst = site.gpr("dst");
        let from = Mem::at(site.gpr("base"), site.imm("off") as i32);
        match size_and_order(site) {
            (size, true) => swapped_load::emit_x86_64(a, site.features, (size, dst, from)),
            (ebpf::Size::B2, false) => a.movzx(Size::B4, dst, Size::B2, from),
            (ebpf::Size::B4, false) => a.mov(Size::B4, dst, from),
            (_, false) => a.mov(Size::B8, dst, from),
        }
        Ok(())
    }

    fn aarch64(&self, site: &Site, a: &mut aarch64::Assembler) -> Result<(), Reject> {
        let dst = site.x("dst");
        let from = ArmMem::offset(site.x("base"), site.imm("off") as i32);
        match size_and_order(site) {
            (size, true) => swapped_load::emit_aarch64(a, (size, dst, from)),
            (ebpf::Size::B2, false) => a.ldrh(dst, from),
            (ebpf::Size::B4, false) => a.ldr(W::W, dst, from),
            (_, false) => a.ldr(W::X, dst, from),
        }
        Ok(())
    }

    fn contract(&self, site: &Site) -> Contract {
        let memory = vec![MemoryUse {
            access: Access::Read,
            base: site.reg("base"),
            offset: site.imm("off") as i32,
            size: size_and_order(site).0.bytes() as u32,
        }];
        Contract { memory, ..Contract::with_dead(site.form.layout.temporaries(&site.operands)) }
    }

    fn features(&self, arch: Arch) -> Features {
        match arch {
            Arch::X86_64 => Features::of(&[Feature::Movbe]),
            Arch::Aarch64 => Features::NONE,
        }
    }

    fn limits(&self, _form: &Form) -> Limits {
        Limits { max_insn_cnt: 22, max_emit_bytes: 13 }
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        let memory: &'static [(&'static str, &'static [u8])] =
            &[("window+0x10", &[0x81, 2, 3, 0x84, 5, 6, 7, 0x88])];
        let before: &'static [(Reg, u64)] = &[];
        let answer = |form, operands, after| KnownAnswer { form, operands, before, memory, after };
        vec![
            answer("le16", "dst=r6 base=r6 tmp=r1 off=16", &[(Reg::R6, 0x0281)]),
            answer("le32", "dst=r0 base=r6 tmp=r1 off=16", &[(Reg::R0, 0x8403_0281)]),
            answer("le64", "dst=r0 base=r6 tmp=r1 off=16", &[(Reg::R0, 0x8807_0605_8403_0281)]),
            answer("be16", "dst=r6 base=r6 tmp=r1 off=16", &[(Reg::R6, 0x8102)]),
            answer("be32", "dst=r0 base=r6 tmp=r1 off=16", &[(Reg::R0, 0x8102_0384)]),
            answer("be64", "dst=r0 base=r6 tmp=r1 off=16", &[(Reg::R0, 0x8102_0384_0506_0788)]),
        ]
    }
}
