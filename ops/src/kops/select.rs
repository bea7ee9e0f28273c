// SPDX-License-Identifier: GPL-2.0-or-later
//! **select**: `dst = condition ? a : b`; the selected value is copied whole.
//!
//! * `test`: the condition is that `cond` is not zero, on all 64 bits or on the low 32.
//! * `compare`: `left` is compared with `right` as the conditional jump does whose number is `when`: 0 `==`, 1 `>`, 2 `>=`, 3 `&`, 4 `!=`,
//!   5 `s>`, 6 `s>=`, 7 `<`, 8 `<=`, 9 `s<`, 10 `s<=` (RFC 9669 section 4.3), on all 64 bits or on the low 32. `b` is `dst` itself.
//! * `number`: the same with a number for `right`, -32 to 31, which is sign-extended to the width.
//! * x86-64: TEST or CMP, and CMOVcc. The copy into `dst` comes after the comparison, and when `dst` is `a` the condition is inverted,
//!   so that neither source is overwritten before it is read. Intel SDM vol. 2, CMOVcc.
//! * AArch64: CMP (CMN of a negative number), or TST, and CSEL. Arm ARM C6.2.
//! * `a` and `b` may be r10: they are only copied.

use std::sync::LazyLock;

use crate::aarch64::{self, Cond as ArmCond, Gpr as ArmGpr, Width as W};
use crate::ebpf::{Cond, Insn, Operand, Reg, Width};
use crate::kop::{KnownAnswer, Kop, Limits, Reject, Site};
use crate::payload::{Form, Layout, Role};
use crate::registers;
use crate::state::{Fault, State};
use crate::x86_64::{self, Cond as X86Cond, Size};

/// The operation.
pub struct Select;

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let dst = || Layout::new().register("dst", Role::Destination);
    let test = || dst().register("cond", Role::Source).register("a", Role::Any).register("b", Role::Any);
    let last = Cond::ALL.len() as u32 - 1;
    let compare = || {
        let sides = dst().register("left", Role::Source).register("right", Role::Source);
        sides.register("a", Role::Any).unsigned("when", 0, last)
    };
    let number = || {
        let sides = dst().register("left", Role::Source).signed("number", 6);
        sides.register("a", Role::Any).unsigned("when", 0, last)
    };
    vec![
        Form::new("test64", "dst = cond != 0 ? a : b", test()),
        Form::new("test32", "dst = low32(cond) != 0 ? a : b", test()),
        Form::new("compare64", "dst = left when right ? a : dst", compare()),
        Form::new("compare32", "dst = low32(left) when low32(right) ? a : dst", compare()),
        Form::new("number64", "dst = left when number ? a : dst", number()),
        Form::new("number32", "dst = low32(left) when number ? a : dst", number()),
    ]
});

fn width(site: &Site) -> Width {
    if site.form.name.ends_with("64") { Width::W64 } else { Width::W32 }
}

/// What is compared, and how.
struct Condition {
    cond: Cond,
    left: Reg,
    right: Operand,
}

impl Condition {
    fn of(site: &Site) -> Self {
        let when = |site: &Site| Cond::ALL[site.imm("when") as usize];
        match site.form.name.trim_end_matches(char::is_numeric) {
            "test" => Self { cond: Cond::Ne, left: site.reg("cond"), right: Operand::Imm(0) },
            "compare" => {
                Self { cond: when(site), left: site.reg("left"), right: Operand::Reg(site.reg("right")) }
            }
            _ => {
                let number = site.imm("number") as i32;
                Self { cond: when(site), left: site.reg("left"), right: Operand::Imm(number) }
            }
        }
    }
}

/// The register that is selected when the condition does not hold.
fn otherwise(site: &Site) -> &'static str {
    if site.form.name.starts_with("test") { "b" } else { "dst" }
}

/// Whether a conditional jump is taken: RFC 9669 section 4.3.
fn holds(cond: Cond, left: u64, right: u64, width: Width) -> bool {
    let (left, right) = match width {
        Width::W64 => (left, right),
        // Sign extension keeps both orders, and which bits are common.
        Width::W32 => (left as i32 as u64, right as i32 as u64),
    };
    let (signed_left, signed_right) = (left as i64, right as i64);
    match cond {
        Cond::Eq => left == right,
        Cond::Ne => left != right,
        Cond::Set => left & right != 0,
        Cond::Gt => left > right,
        Cond::Ge => left >= right,
        Cond::Lt => left < right,
        Cond::Le => left <= right,
        Cond::SGt => signed_left > signed_right,
        Cond::SGe => signed_left >= signed_right,
        Cond::SLt => signed_left < signed_right,
        Cond::SLe => signed_left <= signed_right,
    }
}

impl Kop for Select {
    fn name(&self) -> &str {
        "select"
    }

    fn summary(&self) -> &str {
        "select one of two registers by a condition"
    }

    fn source(&self) -> &str {
        file!()
    }

    fn forms(&self) -> &[Form] {
        &FORMS
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let Condition { cond, left, right } = Condition::of(site);
        let right = match right {
            Operand::Reg(right) => state.get(right),
            Operand::Imm(number) => number as i64 as u64,
        };
        let holds = holds(cond, state.get(left), right, width(site));
        let value = state.get(site.reg(if holds { "a" } else { otherwise(site) }));
        state.set(site.reg("dst"), value);
        Some(Ok(()))
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let (dst, a, b) = (site.reg("dst"), site.reg("a"), site.reg(otherwise(site)));
        let Condition { cond, left, right } = Condition::of(site);
        let jump = |off| match width(site) {
            Width::W64 => Insn::jump(cond, left, right, off),
            Width::W32 => Insn::jump32(cond, left, right, off),
        };
        Ok(match otherwise(site) {
            "b" => vec![jump(2), Insn::mov64(dst, b), Insn::ja(1), Insn::mov64(dst, a)],
            _ => vec![jump(1), Insn::ja(1), Insn::mov64(dst, a)],
        })
    }

    fn x86_64(&self, site: &Site, asm: &mut x86_64::Assembler) -> Result<(), Reject> {
        let (dst, a, b) = (site.gpr("dst"), site.gpr("a"), site.gpr(otherwise(site)));
        if a == b {
            asm.mov(Size::B8, dst, a);
            return Ok(());
        }
        let taken = compare_x86_64(site, asm);
        if dst == a {
            asm.cmov(taken.negated(), Size::B8, dst, b);
            return Ok(());
        }
        if dst != b {
            asm.mov(Size::B8, dst, b);
        }
        asm.cmov(taken, Size::B8, dst, a);
        Ok(())
    }

    fn aarch64(&self, site: &Site, asm: &mut aarch64::Assembler) -> Result<(), Reject> {
        let taken = compare_aarch64(site, asm);
        asm.csel(W::X, site.x("dst"), site.x("a"), site.x(otherwise(site)), taken);
        Ok(())
    }

    fn limits(&self, form: &Form) -> Limits {
        // TEST of a number is the longest on x86-64; on AArch64 the number is moved first.
        let bytes = if form.name.starts_with("number") { 12 } else { 10 };
        Limits { max_insn_cnt: 4, max_emit_bytes: bytes }
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        vec![
            KnownAnswer {
                form: "test64",
                operands: "dst=r0 cond=r1 a=r2 b=r3",
                before: &[(Reg::R1, 1 << 32), (Reg::R2, 7), (Reg::R3, 9)],
                memory: &[],
                after: &[(Reg::R0, 7)],
            },
            KnownAnswer {
                form: "test32",
                operands: "dst=r0 cond=r1 a=r2 b=r3",
                before: &[(Reg::R1, 1 << 32), (Reg::R2, 7), (Reg::R3, 9)],
                memory: &[],
                after: &[(Reg::R0, 9)],
            },
            KnownAnswer {
                form: "test64",
                operands: "dst=r1 cond=r1 a=r1 b=r3",
                before: &[(Reg::R1, 5), (Reg::R3, 9)],
                memory: &[],
                after: &[(Reg::R1, 5), (Reg::R3, 9)],
            },
            KnownAnswer {
                form: "compare64",
                operands: "dst=r0 left=r1 right=r2 a=r3 when=9",
                before: &[(Reg::R0, 9), (Reg::R1, u64::MAX), (Reg::R2, 0), (Reg::R3, 7)],
                memory: &[],
                after: &[(Reg::R0, 7)],
            },
            KnownAnswer {
                form: "compare64",
                operands: "dst=r0 left=r1 right=r2 a=r3 when=7",
                before: &[(Reg::R0, 9), (Reg::R1, u64::MAX), (Reg::R2, 0), (Reg::R3, 7)],
                memory: &[],
                after: &[(Reg::R0, 9)],
            },
            KnownAnswer {
                form: "compare32",
                operands: "dst=r1 left=r1 right=r2 a=r2 when=1",
                before: &[(Reg::R1, 1 << 32 | 3), (Reg::R2, 2 << 32 | 2)],
                memory: &[],
                after: &[(Reg::R1, 2 << 32 | 2)],
            },
            KnownAnswer {
                form: "number64",
                operands: "dst=r0 left=r1 number=-1 a=r2 when=0",
                before: &[(Reg::R0, 5), (Reg::R1, 0xffff_ffff), (Reg::R2, 7)],
                memory: &[],
                after: &[(Reg::R0, 5)],
            },
            KnownAnswer {
                form: "number32",
                operands: "dst=r0 left=r1 number=-1 a=r2 when=0",
                before: &[(Reg::R0, 5), (Reg::R1, 0xffff_ffff), (Reg::R2, 7)],
                memory: &[],
                after: &[(Reg::R0, 7)],
            },
            KnownAnswer {
                form: "number64",
                operands: "dst=r1 left=r1 number=24 a=r2 when=3",
                before: &[(Reg::R1, 0x10), (Reg::R2, 7)],
                memory: &[],
                after: &[(Reg::R1, 7)],
            },
        ]
    }
}

/// Sets the flags; the condition under which `a` is selected.
fn compare_x86_64(site: &Site, asm: &mut x86_64::Assembler) -> X86Cond {
    let Condition { cond, left, right } = Condition::of(site);
    let size = if width(site) == Width::W64 { Size::B8 } else { Size::B4 };
    let gpr = registers::x86_64;
    match (cond, right) {
        (Cond::Set, Operand::Reg(right)) => asm.test(size, gpr(left), gpr(right)),
        (Cond::Set, Operand::Imm(number)) => asm.test(size, gpr(left), number),
        (_, Operand::Reg(right)) => asm.cmp(size, gpr(left), gpr(right)),
        (_, Operand::Imm(0)) => asm.test(size, gpr(left), gpr(left)),
        (_, Operand::Imm(number)) => asm.cmp(size, gpr(left), number),
    }
    match cond {
        Cond::Eq => X86Cond::E,
        Cond::Ne | Cond::Set => X86Cond::Ne,
        Cond::Gt => X86Cond::A,
        Cond::Ge => X86Cond::Ae,
        Cond::Lt => X86Cond::B,
        Cond::Le => X86Cond::Be,
        Cond::SGt => X86Cond::G,
        Cond::SGe => X86Cond::Ge,
        Cond::SLt => X86Cond::L,
        Cond::SLe => X86Cond::Le,
    }
}

/// Sets the flags; the condition under which `a` is selected.
fn compare_aarch64(site: &Site, asm: &mut aarch64::Assembler) -> ArmCond {
    let Condition { cond, left, right } = Condition::of(site);
    let width = if width(site) == Width::W64 { W::X } else { W::W };
    let x = registers::aarch64;
    match (cond, right) {
        (Cond::Set, Operand::Reg(right)) => asm.tst(width, x(left), x(right)),
        (Cond::Set, Operand::Imm(number)) => {
            asm.mov_imm(width, ArmGpr::X9, number as i64 as u64);
            asm.tst(width, x(left), ArmGpr::X9);
        }
        (_, Operand::Reg(right)) => asm.cmp(width, x(left), x(right)),
        (_, Operand::Imm(number @ 0..)) => asm.cmp_imm(width, x(left), number as u32),
        (_, Operand::Imm(number)) => asm.cmn_imm(width, x(left), number.unsigned_abs()),
    }
    match cond {
        Cond::Eq => ArmCond::Eq,
        Cond::Ne | Cond::Set => ArmCond::Ne,
        Cond::Gt => ArmCond::Hi,
        Cond::Ge => ArmCond::Hs,
        Cond::Lt => ArmCond::Lo,
        Cond::Le => ArmCond::Ls,
        Cond::SGt => ArmCond::Gt,
        Cond::SGe => ArmCond::Ge,
        Cond::SLt => ArmCond::Lt,
        Cond::SLe => ArmCond::Le,
    }
}
