// SPDX-License-Identifier: GPL-2.0-or-later
//! **bulk_fill**: 1 to 128 bytes from `base` on become one byte: zero, or the low byte of `src`.
//!
//! * zero: from `base + 8 * slot` on, with `slot` -16..=15. Any other constant comes in a register.
//! * Bytes behind the last whole eight are stored with the seven before them, once more.
//! * x86-64: MOV of r10; for src it is multiplied by 0x0101010101010101. Intel SDM vol. 2, IMUL.
//! * AArch64: STP and STR of XZR, or of x9, in which ORR repeats the byte. Arm ARM C6.2.

use std::sync::LazyLock;

use crate::aarch64::{self, Gpr as X, Mem as ArmMem, Shift, Width as W};
use crate::contract::{Contract, MemoryUse};
use crate::ebpf::{self, Insn, Operand, Reg};
use crate::kop::{KnownAnswer, KnownStore, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Access, Fault, State};
use crate::x86_64::{self, Gpr, Mem, Size};

/// The operation.
pub struct BulkFill;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let zero = Layout::new().register("base", Role::Any).unsigned("length", 1, 128).signed("slot", 5);
    let byte =
        Layout::new().register("base", Role::Source).register("src", Role::Source).unsigned("length", 1, 128);
    vec![
        Form::new("zero", "length bytes at base + 8 slot = 0", zero),
        Form::new("byte", "length bytes at base = low byte of src", byte),
    ]
});

fn is_zero(site: &Site) -> bool {
    site.form.name == "zero"
}

/// The displacement of the first byte.
fn offset(site: &Site) -> i32 {
    if is_zero(site) { 8 * site.imm("slot") as i32 } else { 0 }
}

/// The stores that cover the bytes, by distance and size: as many of eight as there is room for, and the last one again
/// from the end; below eight bytes two of the half, or one byte.
fn stores(length: i32) -> Vec<(i32, i32)> {
    let size = [8, 4, 2, 1].into_iter().find(|size| *size <= length).expect("a byte at least");
    let mut stores: Vec<(i32, i32)> = (0..length / size).map(|number| (number * size, size)).collect();
    if length % size > 0 {
        stores.push((length - size, size));
    }
    stores
}

impl Kop for BulkFill {
    fn name(&self) -> &str {
        "bulk_fill"
    }

    fn summary(&self) -> &str {
        "set bytes to one value"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn admits(&self, site: &Site) -> Result<(), Reject> {
        if !is_zero(site) && site.reg("src") == site.reg("base") {
            return Err(Reject::operands(
                "src must not be base: the verifier allows no store of a part of an address",
            ));
        }
        Ok(())
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let first = state.get(site.reg("base")).wrapping_add_signed(offset(site).into());
        let byte = if is_zero(site) { 0 } else { state.get(site.reg("src")) & 0xff };
        let mut all = 0..site.imm("length") as u64;
        Some(all.try_for_each(|at| state.memory.store(first.wrapping_add(at), 1, byte)))
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let (base, off) = (site.reg("base"), offset(site));
        let byte = if is_zero(site) { Operand::Imm(0) } else { Operand::Reg(site.reg("src")) };
        let store = |at| Insn::store(ebpf::Size::B1, base, (off + at) as i16, byte);
        Ok((0..site.imm("length") as i32).map(store).collect())
    }

    fn x86_64(&self, site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        let (base, off, length) = (site.gpr("base"), offset(site), site.imm("length") as i32);
        if is_zero(site) {
            a.xor(Size::B4, Gpr::R10, Gpr::R10);
        } else {
            a.movzx(Size::B4, Gpr::R10, Size::B1, site.gpr("src"));
            match length {
                1 => {}
                2..8 => a.imul_imm(Size::B4, Gpr::R10, Gpr::R10, 0x0101_0101),
                _ => {
                    a.movabs(Gpr::R11, 0x0101_0101_0101_0101);
                    a.imul(Size::B8, Gpr::R10, Gpr::R11);
                }
            }
        }
        for (at, bytes) in stores(length) {
            let size = Size::ALL.into_iter().find(|size| size.bytes() == bytes as u32).expect("a size");
            a.mov(size, Mem::at(base, off + at), Gpr::R10);
        }
        Ok(())
    }

    fn aarch64(&self, site: &Site, a: &mut aarch64::Assembler) -> Result<(), Reject> {
        let (base, off, length) = (site.x("base"), offset(site), site.imm("length") as i32);
        let value = if is_zero(site) {
            X::Xzr
        } else {
            a.and_imm(W::X, X::X9, site.x("src"), 0xff);
            let doublings = match length {
                1 => 0,
                2..4 => 1,
                4..8 => 2,
                _ => 3,
            };
            for doubling in 0..doublings {
                a.orr_shifted(W::X, X::X9, X::X9, X::X9, Shift::Lsl, 8 << doubling);
            }
            X::X9
        };
        let mut stores = stores(length).into_iter().peekable();
        while let Some((at, bytes)) = stores.next() {
            let to = ArmMem::offset(base, off + at);
            if bytes == 8 && stores.peek().is_some_and(|next| next.0 == at + 8) {
                stores.next();
                a.stp(W::X, value, value, to);
                continue;
            }
            let mut sizes = aarch64::Size::ALL.into_iter();
            let size = sizes.find(|size| size.bytes() == bytes as u32).expect("a size");
            a.store(size, value, to);
        }
        Ok(())
    }

    fn contract(&self, site: &Site) -> Contract {
        let memory = vec![MemoryUse {
            access: Access::Write,
            base: site.reg("base"),
            offset: offset(site),
            size: site.imm("length") as u32,
        }];
        Contract { memory, ..Contract::default() }
    }

    fn limits(&self, _form: &Form) -> Limits {
        Limits { max_insn_cnt: 128, max_emit_bytes: 144 }
    }

    fn known_stores(&self) -> Vec<KnownStore> {
        let store = |form, operands, stored| KnownStore {
            answer: KnownAnswer {
                form,
                operands,
                before: &[(Reg::R1, 0x1122_3344_5566_77a5)],
                memory: &[("window+0x10", &[0x77; 32])],
                after: &[(Reg::R1, 0x1122_3344_5566_77a5)],
            },
            stored,
        };
        vec![
            store("zero", "base=r6 length=11 slot=2", &[("window+0x10", &[0; 11])]),
            store("zero", "base=r6 length=1 slot=3", &[("window+0x18", &[0])]),
            store("byte", "base=r6 src=r1 length=15", &[("window", &[0xa5; 15])]),
            store("byte", "base=r6 src=r1 length=3", &[("window", &[0xa5; 3])]),
        ]
    }
}
