// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in the emits of `load_pair` and `store_pair`.

use kop_ops::Site;
use kop_ops::aarch64::{AddSub, Gpr as X, Insn as A, Mem as ArmMem, Width as W};
use kop_ops::x86_64::{Insn as I, Mem, Operand, Rm, Size};
use kop_reports::Kind;

use super::code::each;
use super::{At, Planted, aarch64, x86_64};

const LOAD64: At = ("load_pair", "pair64");
const LOAD32: At = ("load_pair", "pair32");
const STORE64: At = ("store_pair", "pair64");
const STORE32: At = ("store_pair", "pair32");

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = loads();
    faults.extend(stores());
    faults
}

/// Drops the sum in x9 and puts the offset into the field, cut to a multiple of the size.
fn cut_offset(site: &Site, code: &mut Vec<A>, bytes: i32) {
    let (base, offset) = (site.x("base"), site.imm("off") as i32 / bytes * bytes);
    code.retain(|insn| !matches!(insn, A::AddSubImm { .. }));
    each(code, |insn| {
        if let A::LoadPair { mem, .. } | A::StorePair { mem, .. } = insn {
            *mem = ArmMem::offset(base, offset);
        }
    });
}

fn loads() -> Vec<Planted> {
    vec![
        x86_64(
            LOAD64,
            "load-pair-over-the-base",
            Kind::Fault,
            "the first number is always loaded first: lost is the base where it is that register",
            |site, code| {
                if site.reg("first") == site.reg("base") {
                    code.reverse();
                }
            },
        ),
        x86_64(
            LOAD32,
            "load-pair-second-at-eight",
            Kind::Register,
            "the second number is eight bytes behind the first, as that of the wider form is",
            |site, code| {
                let second = site.imm("off") as i32 + 4;
                each(code, |insn| {
                    if let I::Mov { src: Operand::Mem(Mem { disp, .. }), .. } = insn
                        && *disp == second
                    {
                        *disp += 4;
                    }
                });
            },
        ),
        aarch64(
            LOAD64,
            "load-pair-offset-in-units",
            Kind::Register,
            "the offset is divided by eight for the field, whatever the remainder",
            |site, code| cut_offset(site, code, 8),
        ),
        aarch64(
            LOAD32,
            "load-pair-adds-what-is-to-be-subtracted",
            Kind::Register,
            "a negative offset loses its sign on its way into x9",
            |_, code| {
                each(code, |insn| {
                    if let A::AddSubImm { op, .. } = insn {
                        *op = AddSub::Add;
                    }
                });
            },
        ),
        aarch64(
            LOAD64,
            "load-pair-moves-the-base",
            Kind::Register,
            "a pre-indexed LDP for negative offsets: the base moves",
            |site, code| {
                let (base, offset) = (site.x("base"), site.imm("off") as i32);
                let is_loaded = [site.x("first"), site.x("second")].contains(&base);
                if offset < 0 && offset % 8 == 0 && !is_loaded {
                    each(code, |insn| {
                        if let A::LoadPair { mem, .. } = insn {
                            *mem = ArmMem::pre(base, offset);
                        }
                    });
                }
            },
        ),
    ]
}

fn stores() -> Vec<Planted> {
    vec![
        x86_64(
            STORE64,
            "store-pair-second-at-four",
            Kind::Memory,
            "the second number is four bytes behind the first, as that of the narrower form is",
            |site, code| {
                let second = site.imm("off") as i32 + 8;
                each(code, |insn| {
                    if let I::Mov { dst: Rm::Mem(Mem { disp, .. }), .. } = insn
                        && *disp == second
                    {
                        *disp -= 4;
                    }
                });
            },
        ),
        x86_64(
            STORE32,
            "store-pair-writes-whole-registers",
            Kind::Memory,
            "eight bytes each: the second number is right, and four bytes behind it are overwritten",
            |_, code| {
                each(code, |insn| {
                    if let I::Mov { size, .. } = insn {
                        *size = Size::B8;
                    }
                });
            },
        ),
        aarch64(
            STORE64,
            "store-pair-address-over-the-value",
            Kind::Register,
            "the address is put into first, where it is stored, and stays",
            |site, code| {
                let first = site.x("first");
                let is_used = [site.x("second"), site.x("base"), X::X25].contains(&first);
                if !is_used && code.len() == 2 {
                    each(code, |insn| match insn {
                        A::AddSubImm { rd, .. } => *rd = first,
                        A::StorePair { mem, .. } => *mem = ArmMem::base(first),
                        _ => (),
                    });
                }
            },
        ),
        aarch64(
            STORE32,
            "store-pair-address-of-32-bits",
            Kind::Fault,
            "the sum in w9 for x9: another address only above four gigabytes, where kernel memory is",
            |_, code| {
                each(code, |insn| {
                    if let A::AddSubImm { width, .. } = insn {
                        *width = W::W;
                    }
                });
            },
        ),
        aarch64(
            STORE32,
            "store-pair-of-x-registers",
            Kind::Memory,
            "STP of 64 bits: sixteen bytes for eight",
            |site, code| {
                if site.imm("off") % 8 == 0 {
                    each(code, |insn| {
                        if let A::StorePair { width, .. } = insn {
                            *width = W::X;
                        }
                    });
                }
            },
        ),
        aarch64(
            STORE64,
            "store-pair-offset-in-units",
            Kind::Memory,
            "the offset is divided by eight for the field, whatever the remainder",
            |site, code| cut_offset(site, code, 8),
        ),
    ]
}
