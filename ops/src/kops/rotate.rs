// SPDX-License-Identifier: GPL-2.0-or-later
//! **rotate**: `dst = rotl(src, n)`, on 64 bits, or on the low 32 with the upper half of `dst` zero.
//!
//! * The amount counts modulo the width; a rotation by zero copies (and still zero-extends on 32 bits).
//! * x86-64: ROL, or RORX (BMI2) when the destination is another register; a variable amount has to be in CL, which is
//!   r4. Intel SDM vol. 2, RCL/RCR/ROL/ROR and RORX.
//! * AArch64: ROR (immediate), an alias of EXTR; RORV with the amount negated. Arm ARM C6.2.
//! * `tmp` is dead after the site.

use std::sync::LazyLock;

use crate::aarch64::{self, Width as W};
use crate::arch::{Arch, Feature, Features};
use crate::ebpf::{AluOp, Insn, Reg, Width};
use crate::kop::{KnownAnswer, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Fault, State};
use crate::x86_64::{self, Amount, Gpr, Size};

/// The operation.
pub struct Rotate;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let registers = || Layout::new().register("dst", Role::Destination).register("src", Role::Source);
    let by_immediate = |max| registers().register("tmp", Role::Temporary).unsigned("amount", 0, max);
    let by_register = || registers().register("amount", Role::Source).register("tmp", Role::Temporary);
    vec![
        Form::new("imm64", "dst = rotl64(src, amount)", by_immediate(63)),
        Form::new("imm32", "dst = zext(rotl32(src, amount))", by_immediate(31)),
        Form::new("reg64", "dst = rotl64(src, amount mod 64)", by_register()),
        Form::new("reg32", "dst = zext(rotl32(src, amount mod 32))", by_register()),
    ]
});

fn by_immediate(site: &Site) -> bool {
    site.form.name.starts_with("imm")
}

fn is_64(site: &Site) -> bool {
    site.form.name.ends_with("64")
}

impl Kop for Rotate {
    fn name(&self) -> &str {
        "rotate"
    }

    fn summary(&self) -> &str {
        "rotate left by an immediate or a register"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn admits(&self, site: &Site) -> Result<(), Reject> {
        if !by_immediate(site) && site.reg("dst") == site.reg("amount") {
            return Err(Reject::operands(
                "dst must not be amount: the proof writes dst before its last read of amount",
            ));
        }
        Ok(())
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let amount =
            if by_immediate(site) { site.imm("amount") as u64 } else { state.get(site.reg("amount")) };
        let src = state.get(site.reg("src"));
        if is_64(site) {
            state.set(site.reg("dst"), src.rotate_left((amount % 64) as u32));
        } else {
            state.set32(site.reg("dst"), (src as u32).rotate_left((amount % 32) as u32));
        }
        Some(Ok(()))
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let width = if is_64(site) { Width::W64 } else { Width::W32 };
        let (dst, src, tmp) = (site.reg("dst"), site.reg("src"), site.reg("tmp"));
        let proof = if by_immediate(site) {
            proof_immediate(width, dst, src, tmp, site.imm("amount") as i32)
        } else {
            proof_register(width, dst, src, site.reg("amount"), tmp)
        };
        Ok(proof)
    }

    fn x86_64(&self, site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        let size = if is_64(site) { Size::B8 } else { Size::B4 };
        let (dst, src) = (site.gpr("dst"), site.gpr("src"));
        if by_immediate(site) {
            let amount = site.imm("amount") as u8;
            if amount == 0 {
                a.mov(size, dst, src);
            } else if dst != src && site.features.has(Feature::Bmi2) {
                a.rorx(size, dst, src, size.bits() as u8 - amount);
            } else {
                if dst != src {
                    a.mov(size, dst, src);
                }
                a.rol(size, dst, amount);
            }
            return Ok(());
        }
        let amount = site.gpr("amount");
        if dst == Gpr::Rcx {
            a.mov(size, Gpr::R11, src);
            a.mov(Size::B8, Gpr::Rcx, amount);
            a.rol(size, Gpr::R11, Amount::Cl);
            a.mov(Size::B8, Gpr::Rcx, Gpr::R11);
            return Ok(());
        }
        // Even a rotation by zero has to zero-extend, so that the 32-bit copy stays when dst is src.
        if dst != src || size == Size::B4 {
            a.mov(size, dst, src);
        }
        if amount == Gpr::Rcx {
            a.rol(size, dst, Amount::Cl);
            return Ok(());
        }
        a.mov(Size::B8, Gpr::R10, Gpr::Rcx);
        a.mov(Size::B8, Gpr::Rcx, amount);
        a.rol(size, dst, Amount::Cl);
        a.mov(Size::B8, Gpr::Rcx, Gpr::R10);
        Ok(())
    }

    fn aarch64(&self, site: &Site, a: &mut aarch64::Assembler) -> Result<(), Reject> {
        let width = if is_64(site) { W::X } else { W::W };
        let (dst, src) = (site.x("dst"), site.x("src"));
        if by_immediate(site) {
            let bits = width.bits() as i64;
            a.ror_imm(width, dst, src, ((bits - site.imm("amount")) % bits) as u8);
        } else {
            a.neg(W::W, aarch64::Gpr::X9, site.x("amount"));
            a.ror(width, dst, src, aarch64::Gpr::X9);
        }
        Ok(())
    }

    fn features(&self, arch: Arch) -> Features {
        match arch {
            Arch::X86_64 => Features::of(&[Feature::Bmi2]),
            Arch::Aarch64 => Features::NONE,
        }
    }

    fn limits(&self, _form: &Form) -> Limits {
        Limits { max_insn_cnt: 7, max_emit_bytes: 15 }
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        vec![
            KnownAnswer {
                form: "imm64",
                operands: "dst=r0 src=r1 tmp=r2 amount=8",
                before: &[(Reg::R1, 0x0123_4567_89ab_cdef)],
                memory: &[],
                after: &[(Reg::R0, 0x2345_6789_abcd_ef01), (Reg::R1, 0x0123_4567_89ab_cdef)],
            },
            KnownAnswer {
                form: "imm32",
                operands: "dst=r3 src=r3 tmp=r2 amount=0",
                before: &[(Reg::R3, 0xffff_ffff_8000_0001)],
                memory: &[],
                after: &[(Reg::R3, 0x8000_0001)],
            },
            KnownAnswer {
                form: "reg32",
                operands: "dst=r0 src=r1 amount=r4 tmp=r2",
                before: &[(Reg::R1, 0x8000_0001), (Reg::R4, 0xffff_ffff_ffff_ffe1)],
                memory: &[],
                after: &[(Reg::R0, 3), (Reg::R4, 0xffff_ffff_ffff_ffe1)],
            },
            KnownAnswer {
                form: "reg64",
                operands: "dst=r4 src=r4 amount=r1 tmp=r2",
                before: &[(Reg::R4, 1), (Reg::R1, 64 + 63)],
                memory: &[],
                after: &[(Reg::R4, 1 << 63), (Reg::R1, 64 + 63)],
            },
        ]
    }
}

/// `tmp` receives the bits that leave at the top, `dst` the rest.
fn proof_immediate(width: Width, dst: Reg, src: Reg, tmp: Reg, amount: i32) -> Vec<Insn> {
    let bits = width.bits() as i32;
    if amount == 0 {
        // The temporary is written for every amount, so that no payload bit is without meaning.
        return vec![Insn::mov64(tmp, 0), Insn::alu(AluOp::Mov, width, dst, src)];
    }
    let mut proof =
        vec![Insn::alu(AluOp::Mov, width, tmp, src), Insn::alu(AluOp::Rsh, width, tmp, bits - amount)];
    if dst != src {
        proof.push(Insn::alu(AluOp::Mov, width, dst, src));
    }
    proof.push(Insn::alu(AluOp::Lsh, width, dst, amount));
    proof.push(Insn::alu(AluOp::Or, width, dst, tmp));
    proof
}

/// Shift amounts in registers count modulo the width (RFC 9669 section 4.1), so that negating one gives the other half's.
fn proof_register(width: Width, dst: Reg, src: Reg, amount: Reg, tmp: Reg) -> Vec<Insn> {
    if dst != src {
        return vec![
            Insn::mov64(tmp, amount),
            Insn::neg64(tmp),
            Insn::alu(AluOp::Mov, width, dst, src),
            Insn::alu(AluOp::Rsh, width, dst, tmp),
            Insn::alu(AluOp::Mov, width, tmp, src),
            Insn::alu(AluOp::Lsh, width, tmp, amount),
            Insn::alu(AluOp::Or, width, dst, tmp),
        ];
    }
    // The amount is negated in place and back, as there is no third register to hold it.
    vec![
        Insn::alu(AluOp::Mov, width, tmp, dst),
        Insn::alu(AluOp::Lsh, width, tmp, amount),
        Insn::neg64(amount),
        Insn::alu(AluOp::Rsh, width, dst, amount),
        Insn::neg64(amount),
        Insn::alu(AluOp::Or, width, dst, tmp),
    ]
}
