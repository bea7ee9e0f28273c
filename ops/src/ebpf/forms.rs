// SPDX-License-Identifier: GPL-2.0-or-later
//! Every form of instruction, for tests that must miss none: samples with every register and boundary value, and random
//! ones.

use std::sync::LazyLock;

use crate::choices::Choices;

use super::insn::{AluOp, AtomicOp, CallTarget, Cond, EndKind, Insn, Operand, PAYLOAD_BITS, Size, Width};
use super::register::Reg;

/// Offsets that are likely to be mishandled.
pub const OFFSETS: [i16; 11] = [0, 1, -1, 7, 8, 127, 128, -128, -129, i16::MAX, i16::MIN];

/// 32-bit immediates that are likely to be mishandled.
pub const IMMEDIATES: [i32; 16] =
    [0, 1, -1, 2, 31, 32, 63, 64, 127, 128, -128, -129, 0x7fff, 0xffff, i32::MAX, i32::MIN];

/// 64-bit immediates that are likely to be mishandled.
pub const IMMEDIATES_64: [u64; 10] = [
    0,
    1,
    u64::MAX,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0xffff_ffff_0000_0000,
    0x8000_0000_0000_0000,
    0x0123_4567_89ab_cdef,
];

static FORMS: LazyLock<Vec<Insn>> = LazyLock::new(forms);

/// What an instruction of a form is filled with; a form takes what it has a place for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// The first register that the form has.
    pub first: Reg,
    /// The second one.
    pub second: Reg,
    /// The 16-bit offset.
    pub off: i16,
    /// The 32-bit immediate.
    pub imm: i32,
    /// A 64-bit immediate, or with its low bits a payload.
    pub imm64: u64,
}

/// One instruction of every form, its registers r0 and its numbers zero. Two instructions are of one form when they
/// differ in nothing but registers, offsets, immediates and payloads.
pub fn forms() -> Vec<Insn> {
    let (reg, off, imm) = (Reg::R0, 0, 0);
    let operands = [Operand::Reg(reg), Operand::Imm(imm)];
    let mut forms = Vec::new();
    for width in Width::ALL {
        for src in operands {
            forms.extend(AluOp::ALL.map(|op| Insn::Alu { op, width, dst: reg, src }));
            forms.extend(Cond::ALL.map(|cond| Insn::Jump { cond, width, dst: reg, src, off }));
        }
        forms.push(Insn::Neg { width, dst: reg });
    }
    for kind in EndKind::ALL {
        forms.extend([16, 32, 64].map(|bits| Insn::End { kind, bits, dst: reg }));
    }
    forms.extend((0..=6).map(|kind| Insn::LoadImm64 { dst: reg, kind, imm: 0 }));
    for size in Size::ALL {
        forms.extend([false, true].map(|signed| Insn::Load { size, signed, dst: reg, base: reg, off }));
        forms.extend(operands.map(|src| Insn::Store { size, base: reg, off, src }));
        forms.extend(AtomicOp::ALL.map(|op| Insn::Atomic { op, size, base: reg, off, src: reg }));
        forms.extend([Insn::LoadAbs { size, imm }, Insn::LoadInd { size, src: reg, imm }]);
    }
    let targets = [
        CallTarget::Helper(0),
        CallTarget::Local(0),
        CallTarget::Kfunc { id: 0, off },
        CallTarget::Register(reg),
        CallTarget::Kop { id: 0, slot: 0 },
    ];
    forms.extend(targets.map(|target| Insn::Call { target }));
    forms.extend([Insn::Ja { off }, Insn::Gotol { off: 0 }, Insn::MayGoto { off }]);
    forms.extend([Insn::Sidecar { payload: 0 }, Insn::Exit]);
    forms.retain(Insn::is_well_formed);
    forms
}

/// The form of `insn`, as [`forms`] lists it.
pub const fn form(insn: Insn) -> Insn {
    fill(insn, Fields { first: Reg::R0, second: Reg::R0, off: 0, imm: 0, imm64: 0 })
}

/// Instructions of every form: with every pair of registers, and with every boundary offset and immediate. A few
/// values occur more than once. All are well formed; whether a verifier would take them is another matter.
pub fn samples() -> Vec<Insn> {
    let mut samples = Vec::new();
    for &form in FORMS.iter() {
        let plain = Fields { first: Reg::R1, second: Reg::R2, off: 4, imm: 5, imm64: 6 };
        let mut add = |fields| {
            let insn = fill(form, fields);
            if samples.last() != Some(&insn) {
                samples.push(insn);
            }
        };
        for first in Reg::ALL {
            Reg::ALL.into_iter().for_each(|second| add(Fields { first, second, ..plain }));
        }
        OFFSETS.into_iter().for_each(|off| add(Fields { off, ..plain }));
        IMMEDIATES.into_iter().for_each(|imm| add(Fields { imm, ..plain }));
        IMMEDIATES_64.into_iter().for_each(|imm64| add(Fields { imm64, ..plain }));
    }
    samples
}

/// A random well-formed instruction: every form is equally likely, and half of the numbers are boundary values.
pub fn random(choices: &mut impl Choices) -> Insn {
    random_of(*choices.pick(&FORMS), choices)
}

/// The form of every instruction, each once.
pub fn all() -> &'static [Insn] {
    &FORMS
}

/// A random well-formed instruction of `form`; half of the numbers are boundary values.
pub fn random_of(form: Insn, choices: &mut impl Choices) -> Insn {
    let (first, second) = (*choices.pick(&Reg::ALL), *choices.pick(&Reg::ALL));
    let off = if choices.one_in(2) { *choices.pick(&OFFSETS) } else { choices.bits() as i16 };
    let imm = if choices.one_in(2) { *choices.pick(&IMMEDIATES) } else { choices.bits() as i32 };
    let imm64 = if choices.one_in(2) { *choices.pick(&IMMEDIATES_64) } else { choices.bits() };
    fill(form, Fields { first, second, off, imm, imm64 })
}

/// The instruction of `form` with these fields.
pub const fn fill(form: Insn, fields: Fields) -> Insn {
    let Fields { first, second, off, imm, imm64 } = fields;
    match form {
        Insn::Alu { op, width, src, .. } => {
            Insn::Alu { op, width, dst: first, src: fill_operand(src, fields) }
        }
        Insn::Neg { width, .. } => Insn::Neg { width, dst: first },
        Insn::End { kind, bits, .. } => Insn::End { kind, bits, dst: first },
        Insn::LoadImm64 { kind, .. } => Insn::LoadImm64 { dst: first, kind, imm: imm64 },
        Insn::Load { size, signed, .. } => Insn::Load { size, signed, dst: first, base: second, off },
        Insn::Store { size, src, .. } => {
            Insn::Store { size, base: first, off, src: fill_operand(src, fields) }
        }
        Insn::Atomic { op, size, .. } => Insn::Atomic { op, size, base: first, off, src: second },
        Insn::LoadAbs { size, .. } => Insn::LoadAbs { size, imm },
        Insn::LoadInd { size, .. } => Insn::LoadInd { size, src: first, imm },
        Insn::Jump { cond, width, src, .. } => {
            Insn::Jump { cond, width, dst: first, src: fill_operand(src, fields), off }
        }
        Insn::Ja { .. } => Insn::Ja { off },
        Insn::Gotol { .. } => Insn::Gotol { off: imm },
        Insn::MayGoto { .. } => Insn::MayGoto { off },
        Insn::Call { target } => Insn::Call {
            target: match target {
                CallTarget::Helper(_) => CallTarget::Helper(imm),
                CallTarget::Local(_) => CallTarget::Local(imm),
                CallTarget::Kfunc { .. } => CallTarget::Kfunc { id: imm, off },
                CallTarget::Register(_) => CallTarget::Register(first),
                CallTarget::Kop { .. } => CallTarget::Kop { id: imm, slot: off },
            },
        },
        Insn::Sidecar { .. } => Insn::Sidecar { payload: imm64 & ((1 << PAYLOAD_BITS) - 1) },
        Insn::Exit => Insn::Exit,
    }
}

const fn fill_operand(operand: Operand, fields: Fields) -> Operand {
    match operand {
        Operand::Reg(_) => Operand::Reg(fields.second),
        Operand::Imm(_) => Operand::Imm(fields.imm),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::choices::Seeded;

    #[test]
    fn forms_are_their_own_form_and_distinct() {
        let distinct: HashSet<Insn> = FORMS.iter().copied().collect();
        assert_eq!(distinct.len(), FORMS.len());
        assert!(FORMS.iter().all(|&insn| form(insn) == insn));
    }

    #[test]
    fn forms_are_as_many_as_the_opcode_tables_have() {
        // RFC 9669 sections 4 and 5: 12 binary operations and 2 signed divisions from 2 sources at 2 widths, and 5
        // sign-extending moves; 2 negations; 9 byte swaps; 11 conditions of 2 sources at 2 widths; 7 kinds of 64-bit
        // immediate.
        let (alu, neg, end, jumps, imm64) = (14 * 4 + 5, 2, 9, 11 * 4, 7);
        // Loads of 4 sizes and 3 signed ones, stores of 4 sizes from 2 sources, packet loads of 3 sizes in 2 modes,
        // 10 read-modify-write operations in 2 sizes, load-acquire and store-release in 4.
        let memory = 4 + 3 + 4 * 2 + 3 * 2 + 10 * 2 + 2 * 4;
        // goto, gotol, may_goto; five kinds of call; sidecar; exit.
        let control = 3 + 5 + 1 + 1;
        assert_eq!(FORMS.len(), alu + neg + end + jumps + imm64 + memory + control);
    }

    #[test]
    fn samples_and_random_instructions_are_well_formed_and_cover_every_form() {
        let mut choices = Seeded::new(1);
        let random: Vec<Insn> = (0..10_000).map(|_| random(&mut choices)).collect();
        for insns in [samples(), random] {
            assert!(insns.iter().all(Insn::is_well_formed));
            let covered: HashSet<Insn> = insns.into_iter().map(form).collect();
            assert_eq!(covered, FORMS.iter().copied().collect());
        }
    }

    #[test]
    fn samples_have_every_pair_of_registers() {
        let samples: HashSet<Insn> = samples().into_iter().collect();
        for dst in Reg::ALL {
            for src in Reg::ALL {
                assert!(samples.contains(&Insn::alu32(AluOp::SMod, dst, src)));
                assert!(samples.contains(&Insn::load(Size::B1, dst, src, 4)));
            }
        }
    }
}
