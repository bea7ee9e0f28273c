// SPDX-License-Identifier: GPL-2.0-or-later
//! **load_pair**: `first` and `second` = two adjacent numbers of 4 or 8 bytes at `base + off`, zero-extended.
//!
//! * `off` is -256..=255. Both numbers are read or the site faults, whichever is not there.
//! * x86-64: two MOV, the one that overwrites `base` last. Intel SDM vol. 2.
//! * AArch64: LDP, whose offset is a multiple of the size; any other is added to `base` in x9 first. Arm ARM C6.2.
//! * `first` and `second` differ, as LDP is unpredictable where they do not; either may be `base`.

use std::sync::LazyLock;

use crate::aarch64::{self, Gpr as X, Mem as ArmMem, Width as W};
use crate::contract::{Contract, MemoryUse};
use crate::ebpf::{self, Insn, Reg};
use crate::kop::{KnownAnswer, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Access, Fault, State};
use crate::x86_64::{self, Mem, Size};

/// The operation.
pub struct LoadPair;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout = || {
        Layout::new()
            .register("first", Role::Destination)
            .register("second", Role::Destination)
            .register("base", Role::Any)
            .signed("off", 9)
    };
    vec![
        Form::new("pair64", "first, second = 8 and 8 bytes at base + off", layout()),
        Form::new("pair32", "first, second = 4 and 4 bytes at base + off", layout()),
    ]
});

/// The size of each number.
pub(super) fn size(site: &Site) -> ebpf::Size {
    if site.form.name == "pair64" { ebpf::Size::B8 } else { ebpf::Size::B4 }
}

/// Where AArch64 accesses both numbers at once: at the site's offset, or at an address that is put into x9.
pub(super) fn aarch64_pair(site: &Site, a: &mut aarch64::Assembler) -> ArmMem {
    let (base, off) = (site.x("base"), site.imm("off") as i32);
    if off % size(site).bytes() as i32 == 0 {
        return ArmMem::offset(base, off);
    }
    if off < 0 {
        a.sub_imm(W::X, X::X9, base, off.unsigned_abs());
    } else {
        a.add_imm(W::X, X::X9, base, off.unsigned_abs());
    }
    ArmMem::base(X::X9)
}

/// Where x86-64 accesses the one number and the other.
pub(super) fn x86_64_pair(site: &Site) -> (Size, [Mem; 2]) {
    let size = if size(site) == ebpf::Size::B8 { Size::B8 } else { Size::B4 };
    let first = Mem::at(site.gpr("base"), site.imm("off") as i32);
    (size, [first, first.with_disp(first.disp + size.bytes() as i32)])
}

/// The memory that both numbers take.
pub(super) fn memory(site: &Site, access: Access) -> Vec<MemoryUse> {
    let size = 2 * size(site).bytes() as u32;
    vec![MemoryUse { access, base: site.reg("base"), offset: site.imm("off") as i32, size }]
}

impl Kop for LoadPair {
    fn name(&self) -> &str {
        "load_pair"
    }

    fn summary(&self) -> &str {
        "load two adjacent numbers"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn admits(&self, site: &Site) -> Result<(), Reject> {
        if site.reg("first") == site.reg("second") {
            return Err(Reject::operands("first and second must differ: one register holds one number"));
        }
        Ok(())
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let bytes = size(site).bytes();
        let address = state.get(site.reg("base")).wrapping_add_signed(site.imm("off"));
        let numbers = [address, address.wrapping_add(bytes as u64)];
        let loaded = numbers.map(|address| state.memory.load(address, bytes));
        Some(match loaded {
            [Ok(first), Ok(second)] => {
                state.set(site.reg("first"), first);
                state.set(site.reg("second"), second);
                Ok(())
            }
            [Err(fault), _] | [_, Err(fault)] => Err(fault),
        })
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let (size, base, off) = (size(site), site.reg("base"), site.imm("off") as i16);
        let mut proof = vec![
            Insn::load(size, site.reg("first"), base, off),
            Insn::load(size, site.reg("second"), base, off + size.bytes() as i16),
        ];
        if site.reg("first") == base {
            proof.reverse();
        }
        Ok(proof)
    }

    fn x86_64(&self, site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        let (size, from) = x86_64_pair(site);
        let mut loads = [(site.gpr("first"), from[0]), (site.gpr("second"), from[1])];
        if site.reg("first") == site.reg("base") {
            loads.reverse();
        }
        for (dst, from) in loads {
            a.mov(size, dst, from);
        }
        Ok(())
    }

    fn aarch64(&self, site: &Site, a: &mut aarch64::Assembler) -> Result<(), Reject> {
        let width = if size(site) == ebpf::Size::B8 { W::X } else { W::W };
        let from = aarch64_pair(site, a);
        a.ldp(width, site.x("first"), site.x("second"), from);
        Ok(())
    }

    fn contract(&self, site: &Site) -> Contract {
        Contract { memory: memory(site, Access::Read), ..Contract::default() }
    }

    fn limits(&self, _form: &Form) -> Limits {
        Limits { max_insn_cnt: 2, max_emit_bytes: 14 }
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        let memory: &'static [(&'static str, &'static [u8])] =
            &[("window+0x10", &[1, 2, 3, 4, 5, 6, 7, 8, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98])];
        let before: &'static [(Reg, u64)] = &[];
        let answer = |form, operands, after| KnownAnswer { form, operands, before, memory, after };
        vec![
            answer(
                "pair64",
                "first=r6 second=r1 base=r6 off=16",
                &[(Reg::R6, 0x0807_0605_0403_0201), (Reg::R1, 0x9897_9695_9493_9291)],
            ),
            answer(
                "pair32",
                "first=r1 second=r6 base=r6 off=20",
                &[(Reg::R1, 0x0807_0605), (Reg::R6, 0x9493_9291)],
            ),
        ]
    }
}
