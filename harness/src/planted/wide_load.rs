// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in `wide_load`.

use kop_ops::Arch;
use kop_ops::aarch64::{Gpr as X, Insn as A, Mem as ArmMem, OneSourceOp, Shift, Size as ASize, Width as W};
use kop_ops::ebpf::{Insn, RegSet};
use kop_ops::x86_64::{Insn as I, Mem, Operand, Rm, Size};
use kop_reports::{Blame, Kind};

use super::code::{arm, each, x86};
use super::faulty::Mistake;
use super::{At, Planted, aarch64, planted, x86_64};

const LE16: At = ("wide_load", "le16");
const LE32: At = ("wide_load", "le32");
const LE64: At = ("wide_load", "le64");
const BE16: At = ("wide_load", "be16");
const BE32: At = ("wide_load", "be32");

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = x86_64_faults();
    faults.extend(aarch64_faults());
    faults.extend(proof_faults());
    faults
}

fn x86_64_faults() -> Vec<Planted> {
    vec![
        x86_64(
            LE16,
            "wide-load-keeps-the-upper-bits",
            Kind::Register,
            "a 16-bit MOV for MOVZX: 48 bits of dst stay",
            |_, code| {
                each(code, |insn| {
                    if let I::Movzx { dst, src, .. } = *insn {
                        *insn = I::Mov { size: Size::B2, dst: dst.into(), src: src.into() };
                    }
                });
            },
        ),
        x86_64(
            LE32,
            "wide-load-sign-extends",
            Kind::Register,
            "MOVSXD for MOV, as the last byte is shifted by 24 in C's int",
            |_, code| {
                each(code, |insn| {
                    if let I::Mov { dst: Rm::Reg(dst), src: Operand::Mem(mem), .. } = *insn {
                        *insn = I::Movsx { size: Size::B8, dst, src_size: Size::B4, src: Rm::Mem(mem) };
                    }
                });
            },
        ),
        x86_64(
            LE32,
            "wide-load-reads-beyond",
            Kind::Fault,
            "eight bytes and the upper half cut off: right but at the end of memory",
            |site, code| {
                let dst = site.gpr("dst");
                each(code, |insn| {
                    if let I::Mov { size, .. } = insn {
                        *size = Size::B8;
                    }
                });
                code.extend(x86(|a| a.mov(Size::B4, dst, dst)));
            },
        ),
        x86_64(
            LE64,
            "wide-load-disp8-of-128",
            Kind::Register,
            "128 is taken for a displacement of one signed byte",
            |_, code| {
                each(code, |insn| {
                    if let I::Mov { src: Operand::Mem(Mem { disp: disp @ 128, .. }), .. } = insn {
                        *disp = -128;
                    }
                });
            },
        ),
    ]
}

fn aarch64_faults() -> Vec<Planted> {
    vec![
        aarch64(
            BE32,
            "wide-load-swaps-halfwords",
            Kind::Register,
            "REV16 for REV: the bytes of each half change places",
            |_, code| {
                each(code, |insn| {
                    if let A::OneSource { op, .. } = insn {
                        *op = OneSourceOp::Rev16;
                    }
                });
            },
        ),
        aarch64(
            BE16,
            "wide-load-swaps-the-word",
            Kind::Register,
            "REV of 32 bits for REV16: the number is in the upper half",
            |_, code| {
                each(code, |insn| {
                    if let A::OneSource { op, .. } = insn {
                        *op = OneSourceOp::Rev;
                    }
                });
            },
        ),
        aarch64(
            LE64,
            "wide-load-offset-in-units",
            Kind::Register,
            "the offset is divided by eight for the field, whatever the remainder",
            |_, code| {
                each(code, |insn| {
                    if let A::Load { mem: ArmMem::Offset { offset, .. }, .. } = insn
                        && *offset > 0
                    {
                        *offset &= !7;
                    }
                });
            },
        ),
        aarch64(
            LE32,
            "wide-load-into-an-x-register",
            Kind::Register,
            "LDRSW, which is what an offset of a signed type gets",
            |_, code| {
                each(code, |insn| {
                    if let A::Load { size: ASize::B4, rt, mem } = *insn {
                        *insn = A::LoadSigned { width: W::X, size: ASize::B4, rt, mem };
                    }
                });
            },
        ),
        aarch64(
            BE16,
            "wide-load-bytes-over-the-base",
            Kind::Fault,
            "two byte loads, the first into dst: lost is the base where it is dst",
            |site, code| {
                let (dst, base, off) = (site.x("dst"), site.x("base"), site.imm("off") as i32);
                if off < 255 {
                    *code = arm(|a| {
                        a.ldrb(dst, ArmMem::offset(base, off));
                        a.ldrb(X::X9, ArmMem::offset(base, off + 1));
                        a.orr_shifted(W::X, dst, X::X9, dst, Shift::Lsl, 8);
                    });
                }
            },
        ),
    ]
}

fn proof_faults() -> Vec<Planted> {
    vec![
        planted(
            LE16,
            Arch::Aarch64,
            "wide-load-proof-extends-the-sign",
            (Kind::Register, Blame::Proof),
            "the most significant byte is loaded with its sign",
            Mistake::Proof(|site, proof| {
                each(proof, |insn| {
                    if let Insn::Load { off, signed, .. } = insn
                        && i64::from(*off) == site.imm("off") + 1
                    {
                        *signed = true;
                    }
                });
            }),
        ),
        planted(
            LE64,
            Arch::X86_64,
            "wide-load-temporary-is-not-declared",
            (Kind::Temporary, Blame::Proof),
            "the contract declares what is read, and not what the proof leaves in tmp",
            Mistake::Contract(|_, contract| contract.dead = RegSet::EMPTY),
        ),
    ]
}
