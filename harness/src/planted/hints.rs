// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in the emits of `prefetch` and `speculation_barrier`, which have nothing to do but what no state shows.

use kop_ops::aarch64::{Cond as ArmCond, Gpr as X, Insn as A, Mem as ArmMem, Size as ASize, Width as W};
use kop_ops::x86_64::{Gpr, Mem, Size};
use kop_reports::Kind;

use super::code::{arm, before, each, x86};
use super::{At, Planted, aarch64, x86_64};

const KEEP: At = ("prefetch", "keep");
const STREAM: At = ("prefetch", "stream");
const BARRIER: At = ("speculation_barrier", "all");

pub(super) fn faults() -> Vec<Planted> {
    vec![
        x86_64(
            KEEP,
            "prefetch-loads",
            Kind::Fault,
            "a load into a scratch register fetches the line, too, and faults where there is none",
            |site, code| {
                let from = Mem::at(site.gpr("base"), site.imm("off") as i32);
                *code = x86(|a| a.mov(Size::B8, Gpr::R11, from));
            },
        ),
        x86_64(
            STREAM,
            "prefetch-moves-the-base",
            Kind::Register,
            "the offset is added to the base itself for those that need four bytes",
            |site, code| {
                let (base, off) = (site.gpr("base"), site.imm("off") as i32);
                if !(-128..128).contains(&off) {
                    before(code, x86(|a| a.add(Size::B8, base, off)));
                }
            },
        ),
        aarch64(
            KEEP,
            "prefetch-loads-into-xzr",
            Kind::Fault,
            "LDR XZR, whose result is lost but whose fault is not",
            |site, code| {
                each(code, |insn| {
                    if matches!(insn, A::Prfm { .. }) {
                        let mem = ArmMem::offset(site.x("base"), site.imm("off") as i32);
                        *insn = A::Load { size: ASize::B8, rt: X::Xzr, mem };
                    }
                });
            },
        ),
        aarch64(
            STREAM,
            "prefetch-truncates-the-base",
            Kind::Register,
            "the proof's move of base to itself, in 32 bits",
            |site, code| code.extend(arm(|a| a.mov(W::W, site.x("base"), site.x("base")))),
        ),
        x86_64(
            BARRIER,
            "speculation-barrier-truncates-the-value",
            Kind::Register,
            "the proof's move of value to itself, in 32 bits",
            |site, code| code.extend(x86(|a| a.mov(Size::B4, site.gpr("value"), site.gpr("value")))),
        ),
        aarch64(
            BARRIER,
            "speculation-barrier-of-a-newer-cpu",
            Kind::Frame,
            "SB whether or not there is one: undefined on older processors",
            |_, code| *code = arm(|a| a.sb()),
        ),
        aarch64(
            BARRIER,
            "speculation-barrier-selects-by-flags",
            Kind::Register,
            "value is kept by CSEL, as for CSDB, though no comparison comes before",
            |site, code| {
                let value = site.x("value");
                code.extend(arm(|a| a.csel(W::X, value, value, X::Xzr, ArmCond::Ne)));
            },
        ),
    ]
}
