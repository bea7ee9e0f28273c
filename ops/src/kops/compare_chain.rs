// SPDX-License-Identifier: GPL-2.0-or-later
//! **compare_chain**: `dst` = 1 where `dst` and `b` are in the relation `first` and `c` and `d` in the relation `second`, else 0; the
//! numbers have 64 bits, or are the low 32.
//!
//! * Relations: 0 equal, 1 not equal, 2 unsigned less, 3 signed less. Greater is less with the operands exchanged.
//! * x86-64: two of CMP and SETcc, joined in r10 and r11; the result is zero-extended, as SETcc writes a byte. Intel SDM vol. 2,
//!   SETcc.
//! * AArch64: CMP, CCMP and CSET: where the first relation does not hold, CCMP sets flags with which the second does not. Arm ARM
//!   C6.2, CCMP (register).
//! * Any operands may be one register: `dst` is written last.

use std::sync::LazyLock;

use crate::aarch64::{self, Cond as ArmCond, Width as W};
use crate::ebpf::{Cond, Insn, Reg};
use crate::kop::{KnownAnswer, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::state::{Fault, State};
use crate::x86_64::{self, Cond as X86Cond, Gpr, Size};

/// The operation.
pub struct CompareChain;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let layout = || {
        Layout::new()
            .register("dst", Role::Destination)
            .register("b", Role::Source)
            .register("c", Role::Source)
            .register("d", Role::Source)
            .unsigned("first", 0, 3)
            .unsigned("second", 0, 3)
    };
    vec![
        Form::new("both64", "dst = (dst first b) && (c second d)", layout()),
        Form::new("both32", "dst = (low32(dst) first low32(b)) && (low32(c) second low32(d))", layout()),
    ]
});

fn is_64(site: &Site) -> bool {
    site.form.name == "both64"
}

/// A relation between two numbers.
struct Relation {
    /// Where it holds, and where it does not.
    holds: Cond,
    fails: Cond,
    x86_64: X86Cond,
    aarch64: ArmCond,
    /// Flags of AArch64 with which it does not hold: N, Z, C and V.
    none: u8,
}

/// Equal, not equal, unsigned less, signed less.
const RELATIONS: [Relation; 4] = [
    Relation { holds: Cond::Eq, fails: Cond::Ne, x86_64: X86Cond::E, aarch64: ArmCond::Eq, none: 0b0000 },
    Relation { holds: Cond::Ne, fails: Cond::Eq, x86_64: X86Cond::Ne, aarch64: ArmCond::Ne, none: 0b0100 },
    Relation { holds: Cond::Lt, fails: Cond::Ge, x86_64: X86Cond::B, aarch64: ArmCond::Lo, none: 0b0010 },
    Relation { holds: Cond::SLt, fails: Cond::SGe, x86_64: X86Cond::L, aarch64: ArmCond::Lt, none: 0b0000 },
];

fn relation(site: &Site, name: &str) -> &'static Relation {
    &RELATIONS[site.imm(name) as usize]
}

/// Whether `a` and `b` are in the relation that the operand called `name` says.
fn holds(site: &Site, name: &str, a: u64, b: u64) -> bool {
    let (a, b) = if is_64(site) { (a as i64, b as i64) } else { (i64::from(a as i32), i64::from(b as i32)) };
    match site.imm(name) {
        0 => a == b,
        1 => a != b,
        // Sign extension keeps the order of unsigned numbers.
        2 => (a as u64) < b as u64,
        _ => a < b,
    }
}

impl Kop for CompareChain {
    fn name(&self) -> &str {
        "compare_chain"
    }

    fn summary(&self) -> &str {
        "whether two comparisons both hold"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let [a, b, c, d] = ["dst", "b", "c", "d"].map(|name| state.get(site.reg(name)));
        let both = holds(site, "first", a, b) && holds(site, "second", c, d);
        state.set(site.reg("dst"), u64::from(both));
        Some(Ok(()))
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let jump = |cond, a: Reg, b: Reg, offset| {
            if is_64(site) { Insn::jump(cond, a, b, offset) } else { Insn::jump32(cond, a, b, offset) }
        };
        let dst = site.reg("dst");
        Ok(vec![
            jump(relation(site, "first").fails, dst, site.reg("b"), 1),
            jump(relation(site, "second").holds, site.reg("c"), site.reg("d"), 2),
            Insn::mov64(dst, 0),
            Insn::ja(1),
            Insn::mov64(dst, 1),
        ])
    }

    fn x86_64(&self, site: &Site, a: &mut x86_64::Assembler) -> Result<(), Reject> {
        let size = if is_64(site) { Size::B8 } else { Size::B4 };
        let dst = site.gpr("dst");
        a.cmp(size, dst, site.gpr("b"));
        a.setcc(relation(site, "first").x86_64, Gpr::R10);
        a.cmp(size, site.gpr("c"), site.gpr("d"));
        a.setcc(relation(site, "second").x86_64, Gpr::R11);
        a.and(Size::B4, Gpr::R10, Gpr::R11);
        a.movzx(Size::B4, dst, Size::B1, Gpr::R10);
        Ok(())
    }

    fn aarch64(&self, site: &Site, a: &mut aarch64::Assembler) -> Result<(), Reject> {
        let width = if is_64(site) { W::X } else { W::W };
        let (first, second) = (relation(site, "first"), relation(site, "second"));
        a.cmp(width, site.x("dst"), site.x("b"));
        a.ccmp(width, site.x("c"), site.x("d"), second.none, first.aarch64);
        a.cset(W::X, site.x("dst"), second.aarch64);
        Ok(())
    }

    fn limits(&self, _form: &Form) -> Limits {
        Limits { max_insn_cnt: 5, max_emit_bytes: 21 }
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        let answer =
            |form, operands, before, after| KnownAnswer { form, operands, before, memory: &[], after };
        // -1 and 1; 5 and 5 in the low half.
        const BEFORE: &[(Reg, u64)] =
            &[(Reg::R1, u64::MAX), (Reg::R2, 1), (Reg::R3, 5), (Reg::R4, 1 << 32 | 5)];
        vec![
            // -1 < 1, signed, and 5 != 2^32 + 5.
            answer("both64", "dst=r1 b=r2 c=r3 d=r4 first=3 second=1", BEFORE, &[(Reg::R1, 1), (Reg::R2, 1)]),
            // Unsigned, -1 is the greatest.
            answer("both64", "dst=r1 b=r2 c=r3 d=r4 first=2 second=1", BEFORE, &[(Reg::R1, 0)]),
            answer("both64", "dst=r2 b=r1 c=r3 d=r4 first=2 second=2", BEFORE, &[(Reg::R2, 1)]),
            answer("both64", "dst=r2 b=r1 c=r3 d=r4 first=2 second=0", BEFORE, &[(Reg::R2, 0)]),
            answer("both32", "dst=r3 b=r4 c=r3 d=r4 first=0 second=0", BEFORE, &[(Reg::R3, 1)]),
            answer("both32", "dst=r3 b=r4 c=r1 d=r2 first=1 second=3", BEFORE, &[(Reg::R3, 0)]),
        ]
    }
}
