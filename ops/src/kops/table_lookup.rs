// SPDX-License-Identifier: GPL-2.0-or-later
//! **table_lookup**: `dst` = the nibble of `table` with the number `index`, or another constant where there are not that many. That
//! is what a ladder of comparisons computes, and a switch that returns small constants becomes such a ladder in eBPF, which has no
//! jumps through tables. The table is a constant of 64 bits that a program loads once.
//!
//! * The index is all 64 bits, or the low 32; there are 16 nibbles, the lowest first.
//! * x86-64: SHRX (BMI2), or SHR by cl, which is r4; CMOVcc for the bound. Intel SDM vol. 2, SHRX, SHR, CMOVcc.
//! * AArch64: LSRV and CSEL. Arm ARM C6.2.
//! * Any operands may be one register.

use std::sync::LazyLock;

use crate::aarch64::{self, Cond as ArmCond, Gpr as X, Width as W};
use crate::arch::{Arch, Feature, Features};
use crate::ebpf::{AluOp, Cond, Insn, Reg};
use crate::kop::{KnownAnswer, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Fault, State};
use crate::x86_64::{self, Amount, Cond as X86Cond, Gpr, Size};

/// The operation.
pub struct TableLookup;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout = || {
        Layout::new()
            .register("dst", Role::Destination)
            .register("index", Role::Source)
            .register("table", Role::Source)
            .unsigned("other", 0, 3)
    };
    vec![
        Form::new("nibble64", "dst = index < 16 ? table >> 4 * index & 15 : other", layout()),
        Form::new("nibble32", "dst = low32(index) < 16 ? table >> 4 * low32(index) & 15 : other", layout()),
    ]
});

/// How many entries there are.
const COUNT: i32 = 16;

fn is_64(site: &Site) -> bool {
    site.form.name.ends_with("64")
}

impl Kop for TableLookup {
    fn name(&self) -> &str {
        "table_lookup"
    }

    fn summary(&self) -> &str {
        "one of 16 nibbles by an index"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let index = state.get(site.reg("index"));
        let index = if is_64(site) { index } else { index & 0xffff_ffff };
        let digits: Vec<u64> =
            (0..16).map(|place| state.get(site.reg("table")) >> (4 * place) & 15).collect();
        let digit = usize::try_from(index).ok().and_then(|index| digits.get(index));
        let value = digit.copied().unwrap_or(site.imm("other") as u64);
        state.set(site.reg("dst"), value);
        Some(Ok(()))
    }

    /// The ladder: a comparison for each entry, the default, and an assignment for each entry.
    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let (dst, index, table) = (site.reg("dst"), site.reg("index"), site.reg("table"));
        let jump = |number: i32, offset: i32| {
            if is_64(site) {
                Insn::jump(Cond::Eq, index, number, offset as i16)
            } else {
                Insn::jump32(Cond::Eq, index, number, offset as i16)
            }
        };
        // Assignments take four instructions, of which the last one jumps to the end; that of the default takes two.
        let mut proof: Vec<Insn> = (0..COUNT).map(|number| jump(number, COUNT + 1 + 3 * number)).collect();
        proof.extend([Insn::mov64(dst, site.imm("other") as i32), Insn::ja(4 * COUNT as i16 - 1)]);
        for number in 0..COUNT {
            proof.extend([
                Insn::mov64(dst, table),
                Insn::alu64(AluOp::Rsh, dst, 4 * number),
                Insn::alu64(AluOp::And, dst, 15),
            ]);
            if number < COUNT - 1 {
                proof.push(Insn::ja((4 * (COUNT - 1 - number) - 1) as i16));
            }
        }
        Ok(proof)
    }

    fn x86_64(&self, site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        let size = if is_64(site) { Size::B8 } else { Size::B4 };
        let (dst, index, table) = (site.gpr("dst"), site.gpr("index"), site.gpr("table"));
        if site.features.has(Feature::Bmi2) {
            a.mov(Size::B4, Gpr::R11, index);
            a.shl(Size::B4, Gpr::R11, 2);
            a.shrx(Size::B8, Gpr::R11, table, Gpr::R11);
        } else {
            // The amount has to be in cl, and what is there is kept meanwhile.
            a.mov(Size::B8, Gpr::R11, table);
            a.mov(Size::B8, Gpr::R10, Gpr::Rcx);
            a.mov(Size::B4, Gpr::Rcx, index);
            a.shl(Size::B4, Gpr::Rcx, 2);
            a.shr(Size::B8, Gpr::R11, Amount::Cl);
            a.mov(Size::B8, Gpr::Rcx, Gpr::R10);
        }
        a.and(Size::B4, Gpr::R11, 15);
        a.mov(Size::B4, Gpr::R10, site.imm("other") as i32);
        a.cmp(size, index, COUNT);
        a.cmov(X86Cond::Ae, Size::B4, Gpr::R11, Gpr::R10);
        a.mov(Size::B4, dst, Gpr::R11);
        Ok(())
    }

    fn aarch64(&self, site: &Site, a: &mut aarch64::Assembler) -> Result<(), Reject> {
        let width = if is_64(site) { W::X } else { W::W };
        let (dst, index) = (site.x("dst"), site.x("index"));
        a.lsl_imm(W::W, X::X9, index, 2);
        a.lsr(W::X, X::X9, site.x("table"), X::X9);
        a.and_imm(W::W, X::X9, X::X9, 15);
        a.movz(W::W, X::X10, site.imm("other") as u16, 0);
        a.cmp_imm(width, index, COUNT as u32);
        a.csel(W::W, dst, X::X9, X::X10, ArmCond::Lo);
        Ok(())
    }

    fn features(&self, arch: Arch) -> Features {
        match arch {
            Arch::X86_64 => Features::of(&[Feature::Bmi2]),
            Arch::Aarch64 => Features::NONE,
        }
    }

    fn limits(&self, _form: &Form) -> Limits {
        Limits { max_insn_cnt: 81, max_emit_bytes: 41 }
    }

    /// The indices of all entries, and those beside them.
    fn interesting_values(&self, _form: &Form) -> &[u64] {
        const VALUES: &[u64] = &[
            0,
            1,
            2,
            3,
            4,
            5,
            6,
            7,
            8,
            9,
            10,
            11,
            12,
            13,
            14,
            15,
            16,
            17,
            1 << 32,
            (1 << 32) + 9,
            (1 << 63) + 2,
        ];
        VALUES
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        let answer =
            |form, operands, before, after| KnownAnswer { form, operands, before, memory: &[], after };
        // Each nibble is its number's complement.
        const FALLING: (Reg, u64) = (Reg::R2, 0x0123_4567_89ab_cdef);
        const OPERANDS: &str = "dst=r0 index=r1 table=r2 other=3";
        vec![
            answer("nibble64", OPERANDS, &[(Reg::R1, 0), FALLING], &[(Reg::R0, 15), FALLING]),
            answer("nibble64", OPERANDS, &[(Reg::R1, 15), FALLING], &[(Reg::R0, 0)]),
            answer("nibble64", OPERANDS, &[(Reg::R1, 5), FALLING], &[(Reg::R0, 10), (Reg::R1, 5)]),
            answer("nibble64", OPERANDS, &[(Reg::R1, 16), FALLING], &[(Reg::R0, 3)]),
            answer("nibble64", OPERANDS, &[(Reg::R1, 1 << 32), FALLING], &[(Reg::R0, 3)]),
            answer("nibble32", OPERANDS, &[(Reg::R1, 1 << 32 | 2), FALLING], &[(Reg::R0, 13)]),
            answer("nibble32", OPERANDS, &[(Reg::R1, 0xffff_ffff), FALLING], &[(Reg::R0, 3)]),
            // The index is its own table.
            answer("nibble64", "dst=r4 index=r4 table=r4 other=1", &[(Reg::R4, 0)], &[(Reg::R4, 0)]),
            answer(
                "nibble64",
                "dst=r4 index=r1 table=r4 other=1",
                &[(Reg::R1, 1), (Reg::R4, 0x70)],
                &[(Reg::R4, 7)],
            ),
        ]
    }
}
