// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in the emits of `extract`.

use kop_ops::aarch64::{BitfieldOp, Insn as A, Width as W};
use kop_ops::x86_64::{Amount, Insn as I, Operand, Rm, ShiftOp, Size};
use kop_reports::Kind;

use super::code::{before, each, x86};
use super::{At, Planted, aarch64, x86_64};

const UNSIGNED: At = ("extract", "unsigned");
const SIGNED: At = ("extract", "signed");

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = x86_64_unsigned();
    faults.extend(x86_64_signed());
    faults.extend(aarch64_faults());
    faults
}

fn x86_64_unsigned() -> Vec<Planted> {
    vec![
        x86_64(
            UNSIGNED,
            "extract-start-off-by-one",
            Kind::Register,
            "the first shift is one short: BEXTR hides it on the CPUs that have it unless dst is src",
            |_, code| {
                each(code, |insn| {
                    if let I::Shift { op: ShiftOp::Shl, amount: Amount::Imm(amount), .. } = insn {
                        *amount -= 1;
                    }
                });
            },
        ),
        x86_64(
            UNSIGNED,
            "extract-length-off-by-one",
            Kind::Register,
            "the second shift is one too far for fields of 33 bits",
            |site, code| {
                if site.imm("length") == 33 {
                    each(code, |insn| {
                        if let I::Shift { op: ShiftOp::Shr, amount: Amount::Imm(amount), .. } = insn {
                            *amount += 1;
                        }
                    });
                }
            },
        ),
        x86_64(
            UNSIGNED,
            "extract-bextr-control-is-swapped",
            Kind::Register,
            "start and length change places in the control word: right where they are equal",
            |site, code| {
                let control = (site.imm("start") << 8 | site.imm("length")) as i32;
                each(code, |insn| {
                    if let I::Mov { src: Operand::Imm(imm), .. } = insn {
                        *imm = control;
                    }
                });
            },
        ),
        x86_64(
            UNSIGNED,
            "extract-bextr-control-is-garbage",
            Kind::Register,
            "the control word is not loaded for fields in the low byte: r10 holds what it held",
            |site, code| {
                if site.imm("start") + site.imm("length") <= 8 {
                    code.retain(|insn| !matches!(insn, I::Mov { src: Operand::Imm(_), .. }));
                }
            },
        ),
        x86_64(
            UNSIGNED,
            "extract-low-word-is-sign-extended",
            Kind::Register,
            "MOVSXD for the 32-bit MOV: right for half of all values",
            |site, code| {
                if (site.imm("start"), site.imm("length")) == (0, 32) {
                    *code = x86(|a| a.movsx(Size::B8, site.gpr("dst"), Size::B4, site.gpr("src")));
                }
            },
        ),
        x86_64(
            UNSIGNED,
            "extract-misses-the-mask",
            Kind::Register,
            "a field that ends at bit 62 is taken for one that ends at 63 and needs no mask",
            |site, code| {
                if site.imm("start") + site.imm("length") == 63 && site.imm("length") > 1 {
                    let (dst, src, start) = (site.gpr("dst"), site.gpr("src"), site.imm("start") as u8);
                    *code = x86(|a| {
                        a.mov(Size::B8, dst, src);
                        a.shr(Size::B8, dst, start);
                    });
                }
            },
        ),
        x86_64(
            UNSIGNED,
            "extract-shifts-the-source",
            Kind::Register,
            "the shifts are done in the source and the copy comes last",
            |site, code| {
                let (dst, src) = (site.gpr("dst"), site.gpr("src"));
                if dst != src && code.len() > 2 && matches!(code[0], I::Mov { src: Operand::Reg(_), .. }) {
                    let copy = code.remove(0);
                    each(code, |insn| {
                        if let I::Shift { dst, .. } = insn {
                            *dst = Rm::Reg(src);
                        }
                    });
                    code.push(copy);
                }
            },
        ),
        x86_64(
            UNSIGNED,
            "extract-clears-before-a-low-field",
            Kind::Register,
            "dst is cleared to break a dependency, in fields at bit 0: lost is the source where it is dst",
            |site, code| {
                if site.imm("start") == 0 {
                    let dst = site.gpr("dst");
                    before(code, x86(|a| a.xor(Size::B4, dst, dst)));
                }
            },
        ),
    ]
}

fn x86_64_signed() -> Vec<Planted> {
    vec![
        x86_64(
            SIGNED,
            "extract-byte-is-zero-extended",
            Kind::Register,
            "MOVZX for MOVSX: wrong from 0x80 on",
            |site, code| {
                if (site.imm("start"), site.imm("length")) == (0, 8) {
                    *code = x86(|a| a.movzx(Size::B4, site.gpr("dst"), Size::B1, site.gpr("src")));
                }
            },
        ),
        x86_64(
            SIGNED,
            "extract-word-is-extended-to-32-bits",
            Kind::Register,
            "MOVSX without REX.W: the sign ends at bit 31",
            |_, code| {
                each(code, |insn| {
                    if let I::Movsx { size, src_size: Size::B2, .. } = insn {
                        *size = Size::B4;
                    }
                });
            },
        ),
        x86_64(
            SIGNED,
            "extract-single-bit-has-no-sign",
            Kind::Register,
            "a field of one bit is 0 or 1, as one expects, and not 0 or -1",
            |site, code| {
                if site.imm("length") == 1 {
                    each(code, |insn| {
                        if let I::Shift { op: op @ ShiftOp::Sar, .. } = insn {
                            *op = ShiftOp::Shr;
                        }
                    });
                }
            },
        ),
        x86_64(
            SIGNED,
            "extract-whole-is-32-bits",
            Kind::Register,
            "the copy of all 64 bits lacks REX.W",
            |site, code| {
                if site.imm("length") == 64 {
                    each(code, |insn| {
                        if let I::Mov { size, .. } = insn {
                            *size = Size::B4;
                        }
                    });
                }
            },
        ),
    ]
}

fn aarch64_faults() -> Vec<Planted> {
    vec![
        aarch64(
            UNSIGNED,
            "extract-ubfx-one-bit-more",
            Kind::Register,
            "the last bit is start + length, except in fields that end at bit 63",
            |_, code| {
                each(code, |insn| {
                    if let A::Bitfield { imms, .. } = insn {
                        *imms = (*imms + 1).min(63);
                    }
                });
            },
        ),
        aarch64(
            SIGNED,
            "extract-word-is-not-signed",
            Kind::Register,
            "a field of 32 bits takes the path of unsigned ones",
            |site, code| {
                if site.imm("length") == 32 {
                    each(code, |insn| {
                        if let A::Bitfield { op, .. } = insn {
                            *op = BitfieldOp::Ubfm;
                        }
                    });
                }
            },
        ),
        aarch64(
            SIGNED,
            "extract-sbfx-of-a-w-register",
            Kind::Register,
            "a field within the low word is extended to 32 bits",
            |site, code| {
                if site.imm("start") + site.imm("length") <= 32 {
                    each(code, |insn| {
                        if let A::Bitfield { width, .. } = insn {
                            *width = W::W;
                        }
                    });
                }
            },
        ),
        aarch64(
            UNSIGNED,
            "extract-inserts-into-the-destination",
            Kind::Register,
            "BFXIL for UBFX: the rest of dst stays",
            |_, code| {
                each(code, |insn| {
                    if let A::Bitfield { op, .. } = insn {
                        *op = BitfieldOp::Bfm;
                    }
                });
            },
        ),
    ]
}
