// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in the emits of `swapped_load`.

use kop_ops::Site;
use kop_ops::aarch64::{
    Gpr as X, Insn as A, Mem as ArmMem, MoveWide, OneSourceOp, Size as ASize, Width as W,
};
use kop_ops::x86_64::{Gpr, Insn as I, Mem, Operand, Rm, Size};
use kop_reports::Kind;

use super::code::{arm, before, each, x86};
use super::{At, Planted, aarch64, x86_64};

const BE16: At = ("swapped_load", "be16");
const BE32: At = ("swapped_load", "be32");
const BE64: At = ("swapped_load", "be64");

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = x86_64_values();
    faults.extend(x86_64_memory());
    faults.extend(aarch64_faults());
    faults
}

fn from(site: &Site) -> Mem {
    Mem::at(site.gpr("base"), site.imm("off") as i32)
}

/// Changes the displacement of every x86-64 load.
fn displace(code: &mut [I], change: impl Fn(i32) -> i32) {
    each(code, |insn| match insn {
        I::Mov { src: Operand::Mem(mem), .. }
        | I::Movzx { src: Rm::Mem(mem), .. }
        | I::MovbeLoad { src: mem, .. } => mem.disp = change(mem.disp),
        _ => (),
    });
}

fn x86_64_values() -> Vec<Planted> {
    vec![
        x86_64(
            BE32,
            "swapped-load-bswap-of-64-bits",
            Kind::Register,
            "without MOVBE, BSWAP has REX.W: the value ends up in the upper half",
            |_, code| {
                each(code, |insn| {
                    if let I::Bswap { size, .. } = insn {
                        *size = Size::B8;
                    }
                });
            },
        ),
        x86_64(
            BE16,
            "swapped-load-movbe-of-16-bits",
            Kind::Register,
            "the 16-bit MOVBE keeps the upper 48 bits of dst",
            |site, code| {
                if site.features.has(kop_ops::Feature::Movbe) {
                    *code = x86(|a| a.movbe_load(Size::B2, site.gpr("dst"), from(site)));
                }
            },
        ),
        x86_64(
            BE16,
            "swapped-load-sign-extends",
            Kind::Register,
            "MOVSX for MOVZX: wrong where the last byte is 0x80 or more",
            |site, code| {
                let dst = site.gpr("dst");
                if let Some(load) = code.first_mut() {
                    *load = I::Movsx { size: Size::B4, dst, src_size: Size::B2, src: Rm::Mem(from(site)) };
                }
            },
        ),
        x86_64(
            BE64,
            "swapped-load-disp8-up-to-128",
            Kind::Register,
            "128 does not fit eight signed bits but is encoded so: -128 is added",
            |_, code| displace(code, |disp| if disp == 128 { -128 } else { disp }),
        ),
        x86_64(BE32, "swapped-load-offset-off-by-one", Kind::Register, "the offset 127 is 126", |_, code| {
            displace(code, |disp| if disp == 127 { 126 } else { disp })
        }),
        x86_64(
            BE64,
            "swapped-load-negative-disp8-is-unsigned",
            Kind::Fault,
            "a short negative displacement is not sign-extended: 65280 to 65535 are added",
            |_, code| displace(code, |disp| if (-128..0).contains(&disp) { disp & 0xffff } else { disp }),
        ),
        x86_64(
            BE16,
            "swapped-load-drops-bit-15",
            Kind::Fault,
            "offsets are cut to 15 bits: only negative ones change",
            |_, code| displace(code, |disp| disp & 0x7fff),
        ),
    ]
}

fn x86_64_memory() -> Vec<Planted> {
    vec![
        x86_64(
            BE16,
            "swapped-load-reads-eight-bytes",
            Kind::Fault,
            "an aligned-looking load of eight bytes for two: right but at the end of memory",
            |site, code| {
                let dst = site.gpr("dst");
                code.truncate(1);
                *code = x86(|a| {
                    a.mov(Size::B8, dst, from(site));
                    a.bswap(Size::B8, dst);
                    a.shr(Size::B8, dst, 48);
                });
            },
        ),
        x86_64(
            BE32,
            "swapped-load-clears-the-base",
            Kind::Fault,
            "dst is cleared first, which is the base where they are one register",
            |site, code| {
                let dst = site.gpr("dst");
                before(code, x86(|a| a.xor(Size::B4, dst, dst)));
            },
        ),
        x86_64(
            BE64,
            "swapped-load-writes-back",
            Kind::Memory,
            "stores what it read: the same value, where a reader may hold no right to write",
            |site, code| {
                before(
                    code,
                    x86(|a| {
                        a.mov(Size::B8, Gpr::R11, from(site));
                        a.mov(Size::B8, from(site), Gpr::R11);
                    }),
                );
            },
        ),
        x86_64(
            BE64,
            "swapped-load-swaps-memory",
            Kind::Memory,
            "the swapped value is also stored, as by an in-place conversion",
            |site, code| {
                if site.gpr("dst") != site.gpr("base") {
                    code.extend(x86(|a| a.mov(Size::B8, from(site), site.gpr("dst"))));
                }
            },
        ),
    ]
}

fn aarch64_faults() -> Vec<Planted> {
    vec![
        aarch64(
            BE64,
            "swapped-load-rev32",
            Kind::Register,
            "REV32 for REV: each half is swapped in its place",
            |_, code| {
                each(code, |insn| {
                    if let A::OneSource { op, .. } = insn {
                        *op = OneSourceOp::Rev32;
                    }
                });
            },
        ),
        aarch64(
            BE16,
            "swapped-load-ldrsh",
            Kind::Register,
            "LDRSH for LDRH: wrong where the last byte is 0x80 or more",
            |_, code| {
                each(code, |insn| {
                    if let A::Load { size: ASize::B2, rt, mem } = *insn {
                        *insn = A::LoadSigned { width: W::X, size: ASize::B2, rt, mem };
                    }
                });
            },
        ),
        aarch64(
            BE32,
            "swapped-load-reads-an-x-register",
            Kind::Fault,
            "LDR of 64 bits and a shift for LDR of 32: right but at the end of memory",
            |site, code| {
                let dst = site.x("dst");
                each(code, |insn| match insn {
                    A::Load { size, .. } => *size = ASize::B8,
                    A::OneSource { width, .. } => *width = W::X,
                    _ => (),
                });
                // A scaled offset for four bytes need not be one for eight.
                let unscaled = code.iter().any(|insn| match insn {
                    A::Load { mem: ArmMem::Offset { offset, .. }, .. } => *offset > 255 && offset % 8 != 0,
                    _ => false,
                });
                if unscaled {
                    let off = site.imm("off") as u64;
                    code.remove(0);
                    before(
                        code,
                        arm(|a| {
                            a.mov_imm64(X::X9, off);
                            a.ldr(W::X, dst, ArmMem::index(site.x("base"), X::X9));
                        }),
                    );
                }
                code.extend(arm(|a| a.lsr_imm(W::X, dst, dst, 32)));
            },
        ),
        aarch64(
            BE32,
            "swapped-load-scaled-offset-4096",
            Kind::Fault,
            "the largest scaled offset is 4095 words; 4096 wraps to zero in the field",
            |_, code| {
                each(code, |insn| {
                    if let A::MoveWide { op: MoveWide::Movz, imm: imm @ 16384, .. } = insn {
                        *imm = 0;
                    }
                });
            },
        ),
        aarch64(
            BE16,
            "swapped-load-far-negative-offset",
            Kind::Fault,
            "MOVZ for MOVN: an offset below -256 becomes a positive one",
            |site, code| {
                let off = site.imm("off") as u16;
                each(code, |insn| {
                    if let A::MoveWide { op: op @ MoveWide::Movn, imm, .. } = insn {
                        (*op, *imm) = (MoveWide::Movz, off);
                    }
                });
            },
        ),
        aarch64(
            BE64,
            "swapped-load-offset-over-the-base",
            Kind::Fault,
            "the far offset is built in dst in place of x9: lost is the base where it is dst",
            |site, code| {
                let dst = site.x("dst");
                each(code, |insn| match insn {
                    A::MoveWide { rd, .. } => *rd = dst,
                    A::Load { mem: ArmMem::Register { index, .. }, .. } => *index = dst,
                    _ => (),
                });
            },
        ),
        aarch64(
            BE32,
            "swapped-load-base-writeback",
            Kind::Register,
            "a pre-indexed load for small negative offsets: the base moves",
            |site, code| {
                let (base, off) = (site.x("base"), site.imm("off") as i32);
                if (-256..0).contains(&off) && site.x("dst") != base {
                    each(code, |insn| {
                        if let A::Load { mem, .. } = insn {
                            *mem = ArmMem::PreIndex { base, offset: off };
                        }
                    });
                }
            },
        ),
    ]
}
