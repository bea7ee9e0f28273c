// SPDX-License-Identifier: GPL-2.0-or-later
//! **wide_store**: the low 2, 4 or 8 bytes of `src` to `base + off`, the least (le) or the most (be) significant byte first;
//! the proof shifts and stores byte by byte, which is what compilers make of packed data.
//!
//! * `off` is -256..=255. The bytes that are written are those of one access, so that native code faults where a byte does.
//! * x86-64: MOV; for be MOVBE, or BSWAP of a copy in r10 and MOV. Intel SDM vol. 2.
//! * AArch64: STR or STRH; for be of what REV leaves in x9. Each offset is one of STUR at least. Arm ARM C6.2.
//! * `src` is kept and is not `base`, as the verifier allows no shift of an address. `tmp` is dead after the site.

use std::sync::LazyLock;

use super::wide_load::{distances, size_and_order};
use crate::aarch64::{self, Gpr as X, Mem as ArmMem, Width as W};
use crate::arch::{Arch, Feature, Features};
use crate::contract::{Contract, MemoryUse};
use crate::ebpf::{self, AluOp, Insn, Reg};
use crate::kop::{KnownAnswer, KnownStore, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Access, Fault, State};
use crate::x86_64::{self, Gpr, Mem, Size};

/// The operation.
pub struct WideStore;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout = || {
        Layout::new()
            .register("base", Role::Any)
            .register("src", Role::Source)
            .register("tmp", Role::Temporary)
            .signed("off", 9)
    };
    vec![
        Form::new("le16", "bytes 0, 1 at base + off = src", layout()),
        Form::new("le32", "bytes 0 .. 3 at base + off = src", layout()),
        Form::new("le64", "bytes 0 .. 7 at base + off = src", layout()),
        Form::new("be16", "bytes 1, 0 at base + off = src", layout()),
        Form::new("be32", "bytes 3 .. 0 at base + off = src", layout()),
        Form::new("be64", "bytes 7 .. 0 at base + off = src", layout()),
    ]
});

impl Kop for WideStore {
    fn name(&self) -> &str {
        "wide_store"
    }

    fn summary(&self) -> &str {
        "store a number byte by byte"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn admits(&self, site: &Site) -> Result<(), Reject> {
        if site.reg("src") == site.reg("base") {
            return Err(Reject::operands("src must not be base: the verifier allows no shift of an address"));
        }
        Ok(())
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let (size, big) = size_and_order(site);
        let first = state.get(site.reg("base")).wrapping_add_signed(site.imm("off"));
        let mut bytes = state.get(site.reg("src")).to_le_bytes();
        let bytes = &mut bytes[..size.bytes()];
        if big {
            bytes.reverse();
        }
        let mut store = |(at, &byte): (u64, &u8)| state.memory.store(first.wrapping_add(at), 1, byte.into());
        Some((0..).zip(&*bytes).try_for_each(&mut store))
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let (base, src, tmp) = (site.reg("base"), site.reg("src"), site.reg("tmp"));
        let off = site.imm("off") as i16;
        let byte = |from: Reg, distance: i16| Insn::store(ebpf::Size::B1, base, off + distance, from);
        let distances = distances(site);
        let mut proof = vec![byte(src, distances[0]), Insn::mov64(tmp, src)];
        for &distance in &distances[1..] {
            proof.extend([Insn::alu64(AluOp::Rsh, tmp, 8), byte(tmp, distance)]);
        }
        Ok(proof)
    }

    fn x86_64(&self, site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        let src = site.gpr("src");
        let to = Mem::at(site.gpr("base"), site.imm("off") as i32);
        let (size, big) = size_and_order(site);
        let size = match size {
            ebpf::Size::B2 => Size::B2,
            ebpf::Size::B4 => Size::B4,
            _ => Size::B8,
        };
        if !big {
            a.mov(size, to, src);
        } else if site.features.has(Feature::Movbe) {
            a.movbe_store(size, to, src);
        } else {
            a.mov(size.max(Size::B4), Gpr::R10, src);
            if size == Size::B2 {
                a.rol(Size::B2, Gpr::R10, 8);
            } else {
                a.bswap(size, Gpr::R10);
            }
            a.mov(size, to, Gpr::R10);
        }
        Ok(())
    }

    fn aarch64(&self, site: &Site, a: &mut aarch64::Assembler) -> Result<(), Reject> {
        let src = site.x("src");
        let to = ArmMem::offset(site.x("base"), site.imm("off") as i32);
        let (size, big) = size_and_order(site);
        let from = if big {
            match size {
                ebpf::Size::B2 => a.rev16(W::W, X::X9, src),
                ebpf::Size::B4 => a.rev(W::W, X::X9, src),
                _ => a.rev(W::X, X::X9, src),
            }
            X::X9
        } else {
            src
        };
        match size {
            ebpf::Size::B2 => a.strh(from, to),
            ebpf::Size::B4 => a.str(W::W, from, to),
            _ => a.str(W::X, from, to),
        }
        Ok(())
    }

    fn contract(&self, site: &Site) -> Contract {
        let memory = vec![MemoryUse {
            access: Access::Write,
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
        Limits { max_insn_cnt: 16, max_emit_bytes: 16 }
    }

    fn known_stores(&self) -> Vec<KnownStore> {
        let store = |form, stored| KnownStore {
            answer: KnownAnswer {
                form,
                operands: "base=r6 src=r2 tmp=r1 off=17",
                before: &[(Reg::R2, 0x8807_0605_8403_0281)],
                memory: &[("window+0x10", &[0x77; 10])],
                after: &[(Reg::R2, 0x8807_0605_8403_0281)],
            },
            stored,
        };
        vec![
            store("le16", &[("window+0x10", &[0x77, 0x81, 2, 0x77])]),
            store("le32", &[("window+0x10", &[0x77, 0x81, 2, 3, 0x84, 0x77])]),
            store("le64", &[("window+0x10", &[0x77, 0x81, 2, 3, 0x84, 5, 6, 7, 0x88, 0x77])]),
            store("be16", &[("window+0x10", &[0x77, 2, 0x81, 0x77])]),
            store("be32", &[("window+0x10", &[0x77, 0x84, 3, 2, 0x81, 0x77])]),
            store("be64", &[("window+0x10", &[0x77, 0x88, 7, 6, 5, 0x84, 3, 2, 0x81, 0x77])]),
        ]
    }
}
