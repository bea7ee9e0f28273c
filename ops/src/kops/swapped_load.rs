// SPDX-License-Identifier: GPL-2.0-or-later
//! **swapped_load**: `dst` = the 2, 4 or 8 bytes at `base + off`, the first byte the most significant, zero-extended.
//!
//! * `off` is any signed 16-bit number; an access outside mapped memory faults as the plain load does.
//! * x86-64: MOVBE, or MOV and BSWAP; 16 bits are MOVZX and a rotation of the low word, as a 16-bit MOVBE would keep the
//!   upper bits. Intel SDM vol. 2, MOVBE and BSWAP.
//! * AArch64: LDR and REV, with the offset scaled (0..=4095 times the size), unscaled (-256..=255), or in x9. Arm ARM C6.2.

use std::sync::LazyLock;

use crate::aarch64::{self, Gpr as X, Mem as ArmMem, Width as W};
use crate::arch::{Arch, Feature, Features};
use crate::contract::{Contract, MemoryUse};
use crate::ebpf::{self, Insn, Reg};
use crate::kop::{KnownAnswer, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Access, Fault, State};
use crate::x86_64::{self, Mem, Size};

/// The operation.
pub struct SwappedLoad;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout =
        || Layout::new().register("dst", Role::Destination).register("base", Role::Any).signed("off", 16);
    vec![
        Form::new("be16", "dst = be16 at base + off", layout()),
        Form::new("be32", "dst = be32 at base + off", layout()),
        Form::new("be64", "dst = be64 at base + off", layout()),
    ]
});

/// The size of the access.
fn size(site: &Site) -> ebpf::Size {
    match &*site.form.name {
        "be16" => ebpf::Size::B2,
        "be32" => ebpf::Size::B4,
        _ => ebpf::Size::B8,
    }
}

/// Loads a big-endian number.
pub(super) fn emit_x86_64(
    a: &mut x86_64::Assembler,
    features: Features,
    (size, dst, from): (ebpf::Size, x86_64::Gpr, Mem),
) {
    let size = match size {
        ebpf::Size::B2 => {
            a.movzx(Size::B4, dst, Size::B2, from);
            a.rol(Size::B2, dst, 8);
            return;
        }
        ebpf::Size::B4 => Size::B4,
        _ => Size::B8,
    };
    if features.has(Feature::Movbe) {
        a.movbe_load(size, dst, from);
    } else {
        a.mov(size, dst, from);
        a.bswap(size, dst);
    }
}

/// Loads a big-endian number from where one instruction can load from.
pub(super) fn emit_aarch64(a: &mut aarch64::Assembler, (size, dst, from): (ebpf::Size, X, ArmMem)) {
    match size {
        ebpf::Size::B2 => {
            a.ldrh(dst, from);
            a.rev16(W::W, dst, dst);
        }
        ebpf::Size::B4 => {
            a.ldr(W::W, dst, from);
            a.rev(W::W, dst, dst);
        }
        _ => {
            a.ldr(W::X, dst, from);
            a.rev(W::X, dst, dst);
        }
    }
}

impl Kop for SwappedLoad {
    fn name(&self) -> &str {
        "swapped_load"
    }

    fn summary(&self) -> &str {
        "load a big-endian number"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let size = size(site).bytes();
        let address = state.get(site.reg("base")).wrapping_add_signed(site.imm("off"));
        let loaded = state.memory.load(address, size);
        Some(loaded.map(|value| state.set(site.reg("dst"), value.swap_bytes() >> (64 - 8 * size))))
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let (dst, size) = (site.reg("dst"), size(site));
        let load = Insn::load(size, dst, site.reg("base"), site.imm("off") as i16);
        Ok(vec![load, Insn::to_be(dst, size.bits() as u8)])
    }

    fn x86_64(&self, site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        let from = Mem::at(site.gpr("base"), site.imm("off") as i32);
        emit_x86_64(a, site.features, (size(site), site.gpr("dst"), from));
        Ok(())
    }

    fn aarch64(&self, site: &Site, a: &mut aarch64::Assembler) -> Result<(), Reject> {
        let (base, off) = (site.x("base"), site.imm("off") as i32);
        let bytes = size(site).bytes() as i32;
        let scaled = off >= 0 && off % bytes == 0 && off / bytes < 4096;
        let from = if scaled || (-256..256).contains(&off) {
            ArmMem::offset(base, off)
        } else {
            a.mov_imm64(X::X9, off as i64 as u64);
            ArmMem::index(base, X::X9)
        };
        emit_aarch64(a, (size(site), site.x("dst"), from));
        Ok(())
    }

    fn contract(&self, site: &Site) -> Contract {
        let memory = vec![MemoryUse {
            access: Access::Read,
            base: site.reg("base"),
            offset: site.imm("off") as i32,
            size: size(site).bytes() as u32,
        }];
        Contract { memory, ..Contract::default() }
    }

    fn features(&self, arch: Arch) -> Features {
        match arch {
            Arch::X86_64 => Features::of(&[Feature::Movbe]),
            Arch::Aarch64 => Features::NONE,
        }
    }

    fn limits(&self, _form: &Form) -> Limits {
        Limits { max_insn_cnt: 2, max_emit_bytes: 13 }
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        let memory: &'static [(&'static str, &'static [u8])] = &[("window+0x10", &[1, 2, 3, 4, 5, 6, 7, 8])];
        let before: &'static [(Reg, u64)] = &[];
        let answer = |form, operands, after| KnownAnswer { form, operands, before, memory, after };
        vec![
            answer("be16", "dst=r0 base=r6 off=16", &[(Reg::R0, 0x0102)]),
            answer("be32", "dst=r6 base=r6 off=17", &[(Reg::R6, 0x0203_0405)]),
            answer("be64", "dst=r0 base=r6 off=16", &[(Reg::R0, 0x0102_0304_0506_0708)]),
        ]
    }
}
