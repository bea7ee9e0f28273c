// SPDX-License-Identifier: GPL-2.0-or-later
//! **store_pair**: two adjacent numbers of 4 or 8 bytes at `base + off` = `first` and `second`, or their lower halves.
//!
//! * `off` is -256..=255. A site that faults may have stored the first number.
//! * x86-64: two MOV. Intel SDM vol. 2.
//! * AArch64: STP, whose offset is a multiple of the size; any other is added to `base` in x9 first. Arm ARM C6.2.
//! * `base`, `first` and `second` are kept and may coincide, but `base` with a number of 4 bytes: the verifier allows no
//!   store of a part of an address.

use std::sync::LazyLock;

use super::load_pair::{aarch64_pair, memory, size, x86_64_pair};
use crate::aarch64::{self, Width as W};
use crate::contract::Contract;
use crate::ebpf::{self, Insn, Reg};
use crate::kop::{KnownAnswer, KnownStore, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Access, Fault, State};
use crate::x86_64;

/// The operation.
pub struct StorePair;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout = |role| {
        Layout::new()
            .register("base", Role::Any)
            .register("first", role)
            .register("second", role)
            .signed("off", 9)
    };
    vec![
        Form::new("pair64", "8 and 8 bytes at base + off = first, second", layout(Role::Any)),
        Form::new("pair32", "4 and 4 bytes at base + off = first, second", layout(Role::Source)),
    ]
});

impl Kop for StorePair {
    fn name(&self) -> &str {
        "store_pair"
    }

    fn summary(&self) -> &str {
        "store two adjacent numbers"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn admits(&self, site: &Site) -> Result<(), Reject> {
        let is_stored = ["first", "second"].into_iter().any(|name| site.reg(name) == site.reg("base"));
        if is_stored && size(site) == ebpf::Size::B4 {
            return Err(Reject::operands(
                "first and second must not be base: the verifier allows no store of a part of an address",
            ));
        }
        Ok(())
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let bytes = size(site).bytes();
        let address = state.get(site.reg("base")).wrapping_add_signed(site.imm("off"));
        let (first, second) = (state.get(site.reg("first")), state.get(site.reg("second")));
        let stored = state.memory.store(address, bytes, first);
        Some(stored.and_then(|()| state.memory.store(address.wrapping_add(bytes as u64), bytes, second)))
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let (size, base, off) = (size(site), site.reg("base"), site.imm("off") as i16);
        Ok(vec![
            Insn::store(size, base, off, site.reg("first")),
            Insn::store(size, base, off + size.bytes() as i16, site.reg("second")),
        ])
    }

    fn x86_64(&self, site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        let (size, [first, second]) = x86_64_pair(site);
        a.mov(size, first, site.gpr("first"));
        a.mov(size, second, site.gpr("second"));
        Ok(())
    }

    fn aarch64(&self, site: &Site, a: &mut aarch64::Assembler) -> Result<(), Reject> {
        let width = if size(site) == ebpf::Size::B8 { W::X } else { W::W };
        let to = aarch64_pair(site, a);
        a.stp(width, site.x("first"), site.x("second"), to);
        Ok(())
    }

    fn contract(&self, site: &Site) -> Contract {
        Contract { memory: memory(site, Access::Write), ..Contract::default() }
    }

    fn limits(&self, _form: &Form) -> Limits {
        Limits { max_insn_cnt: 2, max_emit_bytes: 14 }
    }

    fn known_stores(&self) -> Vec<KnownStore> {
        let store = |form, operands, stored| KnownStore {
            answer: KnownAnswer {
                form,
                operands,
                before: &[(Reg::R1, 0x0807_0605_0403_0201), (Reg::R2, 0x9897_9695_9493_9291)],
                memory: &[("window+0x10", &[0x77; 20])],
                after: &[],
            },
            stored,
        };
        vec![
            store(
                "pair64",
                "base=r6 first=r1 second=r2 off=17",
                &[("window+0x11", &[1, 2, 3, 4, 5, 6, 7, 8, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98])],
            ),
            store(
                "pair32",
                "base=r6 first=r2 second=r1 off=20",
                &[("window+0x14", &[0x91, 0x92, 0x93, 0x94, 1, 2, 3, 4])],
            ),
        ]
    }
}
