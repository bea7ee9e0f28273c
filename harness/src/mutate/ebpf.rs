// SPDX-License-Identifier: GPL-2.0-or-later
//! eBPF instructions of proof sequences (RFC 9669). What the verifier refuses whatever the sequence says is no instruction here: a
//! write to r10, and a shift by the width or more.

use kop_ops::ebpf::{self, AluOp, Cond, Reg, Size, Width};

use super::edit::{Class, Instruction, Kind, Operand};

/// An instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Insn {
    insn: ebpf::Insn,
    target: Option<usize>,
}

// The places.
const DST: usize = 0;
const SRC: usize = 1;
const BASE: usize = 2;
const IMM: usize = 3;
const OFF: usize = 4;

const fn register(slot: usize) -> Operand {
    Operand { slot, kind: Kind::Register(Class::General) }
}

const fn number(slot: usize, bits: u32) -> Operand {
    Operand { slot, kind: Kind::Immediate { bits } }
}

impl Insn {
    /// The places where the instruction holds registers, to read or to change them.
    fn registers(insn: &mut ebpf::Insn) -> Vec<(usize, &mut Reg)> {
        use ebpf::Insn as I;
        match insn {
            I::Alu { dst, src, .. } | I::Jump { dst, src, .. } => {
                let src = if let ebpf::Operand::Reg(src) = src { Some((SRC, src)) } else { None };
                [(DST, dst)].into_iter().chain(src).collect()
            }
            I::Neg { dst, .. } | I::End { dst, .. } | I::LoadImm64 { dst, .. } => vec![(DST, dst)],
            I::Load { dst, base, .. } => vec![(DST, dst), (BASE, base)],
            I::Store { base, src, .. } => {
                let src = if let ebpf::Operand::Reg(src) = src { Some((SRC, src)) } else { None };
                [(BASE, base)].into_iter().chain(src).collect()
            }
            I::Atomic { base, src, .. } => vec![(BASE, base), (SRC, src)],
            _ => Vec::new(),
        }
    }

    /// The places where the instruction holds numbers, with the bits that it reads.
    fn numbers(&self) -> Vec<Operand> {
        use ebpf::Insn as I;
        use ebpf::Operand::Imm;
        match self.insn {
            I::Alu { op: AluOp::Lsh | AluOp::Rsh | AluOp::Arsh, width, src: Imm(_), .. } => {
                vec![number(IMM, width.bits().trailing_zeros())]
            }
            I::Alu { src: Imm(_), .. } | I::Jump { src: Imm(_), .. } => vec![number(IMM, 32)],
            I::LoadImm64 { .. } => vec![number(IMM, 64)],
            I::Load { .. } | I::Atomic { .. } => vec![number(OFF, 16)],
            I::Store { size, src: Imm(_), .. } => vec![number(OFF, 16), number(IMM, size.bits().min(32))],
            I::Store { .. } => vec![number(OFF, 16)],
            _ => Vec::new(),
        }
    }

    fn changed(&self, insn: ebpf::Insn) -> Option<Self> {
        let is_insn = insn.is_well_formed() && !insn.writes().has(Reg::R10);
        is_insn.then_some(Insn { insn, ..*self })
    }
}

/// The conditions that are tried in the place of one: the inverse first, then those with or without equality and sign.
const fn other_conditions(cond: Cond) -> &'static [Cond] {
    match cond {
        Cond::Eq => &[Cond::Ne, Cond::Ge, Cond::Le],
        Cond::Ne => &[Cond::Eq, Cond::Gt, Cond::Lt],
        Cond::Gt => &[Cond::Le, Cond::Ge, Cond::SGt],
        Cond::Ge => &[Cond::Lt, Cond::Gt, Cond::SGe],
        Cond::Lt => &[Cond::Ge, Cond::Le, Cond::SLt],
        Cond::Le => &[Cond::Gt, Cond::Lt, Cond::SLe],
        Cond::SGt => &[Cond::SLe, Cond::SGe, Cond::Gt],
        Cond::SGe => &[Cond::SLt, Cond::SGt, Cond::Ge],
        Cond::SLt => &[Cond::SGe, Cond::SLe, Cond::Lt],
        Cond::SLe => &[Cond::SGt, Cond::SLt, Cond::Le],
        // There is no jump on clear bits.
        Cond::Set => &[Cond::Eq, Cond::Ne],
    }
}

const fn other_width(width: Width) -> Width {
    match width {
        Width::W32 => Width::W64,
        Width::W64 => Width::W32,
    }
}

/// The same instruction with every other width.
fn other_widths(insn: ebpf::Insn) -> Vec<ebpf::Insn> {
    use ebpf::Insn as I;
    let sizes = |own: Size| Size::ALL.into_iter().filter(move |size| *size != own);
    match insn {
        I::Alu { op, width, dst, src } => vec![I::Alu { op, width: other_width(width), dst, src }],
        I::Neg { width, dst } => vec![I::Neg { width: other_width(width), dst }],
        I::Jump { cond, width, dst, src, off } => {
            vec![I::Jump { cond, width: other_width(width), dst, src, off }]
        }
        I::End { kind, bits, dst } => {
            let others = [16, 32, 64].into_iter().filter(|other| *other != bits);
            others.map(|bits| I::End { kind, bits, dst }).collect()
        }
        I::Load { size, signed, dst, base, off } => {
            let other = sizes(size).map(|size| I::Load { size, signed, dst, base, off });
            other.chain([I::Load { size, signed: !signed, dst, base, off }]).collect()
        }
        I::Store { size, base, off, src } => {
            sizes(size).map(|size| I::Store { size, base, off, src }).collect()
        }
        I::Atomic { op, size, base, off, src } => {
            sizes(size).map(|size| I::Atomic { op, size, base, off, src }).collect()
        }
        _ => Vec::new(),
    }
}

impl Instruction for Insn {
    type Unit = ebpf::Insn;
    type Code = Vec<ebpf::Insn>;

    fn decode(code: &Vec<ebpf::Insn>) -> Option<Vec<Self>> {
        let starts = starts(code.iter());
        let target = |index: usize, distance: i32| {
            let slot = starts[index + 1] + i64::from(distance);
            starts.binary_search(&slot).ok()
        };
        code.iter()
            .enumerate()
            .map(|(index, &insn)| match insn.branch_offset() {
                None => Some(Insn { insn, target: None }),
                Some(distance) => Some(Insn { insn, target: Some(target(index, distance)?) }),
            })
            .collect()
    }

    fn encode(code: &[Self]) -> Option<Vec<ebpf::Insn>> {
        let starts = starts(code.iter().map(|insn| &insn.insn));
        code.iter()
            .enumerate()
            .map(|(index, own)| match own.target {
                None => Some(own.insn),
                Some(target) => {
                    let distance = starts.get(target)? - starts[index + 1];
                    own.insn.with_branch_offset(i32::try_from(distance).ok()?)
                }
            })
            .collect()
    }

    fn encode_changed(
        before: &Vec<ebpf::Insn>,
        code: &[Self],
        index: usize,
        other: Self,
    ) -> Option<Vec<ebpf::Insn>> {
        let own = &code[index];
        let insn = if other.insn.slots() == own.insn.slots() && other.target == own.target {
            // No other branch reaches further or less far for it.
            match before[index].branch_offset() {
                None => other.insn,
                Some(distance) => other.insn.with_branch_offset(distance)?,
            }
        } else {
            let mut changed = code.to_vec();
            changed[index] = other;
            return Self::encode(&changed).filter(|changed| changed != before);
        };
        if insn == before[index] {
            return None;
        }
        let mut changed = before.clone();
        changed[index] = insn;
        Some(changed)
    }

    fn shape(&self) -> u64 {
        use ebpf::Insn as I;
        let source = |src: ebpf::Operand| u64::from(src.reg().is_some());
        // What kind of instruction, and up to four things that are no operands.
        let [kind, a, b, c, d] = match self.insn {
            I::Alu { op, width, src, .. } => [1, op as u64, width as u64, source(src), 0],
            I::Neg { width, .. } => [2, width as u64, 0, 0, 0],
            I::End { kind, bits, .. } => [3, kind as u64, u64::from(bits), 0, 0],
            I::LoadImm64 { kind, .. } => [4, u64::from(kind), 0, 0, 0],
            I::Load { size, signed, .. } => [5, size as u64, u64::from(signed), 0, 0],
            I::Store { size, src, .. } => [6, size as u64, source(src), 0, 0],
            I::Atomic { op, size, .. } => [7, op as u64, size as u64, 0, 0],
            I::Jump { cond, width, src, .. } => [8, cond as u64, width as u64, source(src), 0],
            I::Ja { .. } => [9, 0, 0, 0, 0],
            I::Gotol { .. } => [10, 0, 0, 0, 0],
            // No proof sequence holds the others.
            _ => [11, 0, 0, 0, 0],
        };
        [a, b, c, d].into_iter().fold(kind, |shape, part| shape << 8 | part)
    }

    fn operands(&self) -> Vec<Operand> {
        let mut insn = self.insn;
        let registers = Self::registers(&mut insn).into_iter().map(|(slot, _)| register(slot));
        registers.chain(self.numbers()).collect()
    }

    fn register(&self, slot: usize) -> Option<u8> {
        let mut insn = self.insn;
        let found = Self::registers(&mut insn).into_iter().find(|(own, _)| *own == slot);
        found.map(|(_, reg)| reg.index() as u8)
    }

    fn with_register(&self, slot: usize, number: u8) -> Option<Self> {
        let other = Reg::new(number)?;
        let mut insn = self.insn;
        *Self::registers(&mut insn).into_iter().find(|(own, _)| *own == slot)?.1 = other;
        self.changed(insn)
    }

    fn immediate(&self, slot: usize) -> Option<u64> {
        use ebpf::Insn as I;
        use ebpf::Operand::Imm;
        match (slot, self.insn) {
            (IMM, I::LoadImm64 { imm, .. }) => Some(imm),
            (
                IMM,
                I::Alu { src: Imm(imm), .. } | I::Jump { src: Imm(imm), .. } | I::Store { src: Imm(imm), .. },
            ) => Some(u64::from(imm as u32)),
            (OFF, I::Load { off, .. } | I::Store { off, .. } | I::Atomic { off, .. }) => {
                Some(u64::from(off as u16))
            }
            _ => None,
        }
    }

    fn with_immediate(&self, slot: usize, value: u64) -> Option<Self> {
        let Kind::Immediate { bits } = self.numbers().into_iter().find(|place| place.slot == slot)?.kind
        else {
            return None;
        };
        let value = if bits < 32 { value & ((1 << bits) - 1) } else { value };
        self.changed(self.set_number(slot, value).insn)
    }

    fn conditions(&self) -> usize {
        match self.insn {
            ebpf::Insn::Jump { cond, .. } => other_conditions(cond).len(),
            _ => 0,
        }
    }

    fn with_condition(&self, number: usize) -> Option<Self> {
        let ebpf::Insn::Jump { cond, width, dst, src, off } = self.insn else { return None };
        let cond = *other_conditions(cond).get(number)?;
        self.changed(ebpf::Insn::Jump { cond, width, dst, src, off })
    }

    fn widths(&self) -> usize {
        other_widths(self.insn).len()
    }

    fn with_width(&self, number: usize) -> Option<Self> {
        self.changed(*other_widths(self.insn).get(number)?)
    }

    fn target(&self) -> Option<usize> {
        self.target
    }

    fn with_target(self, target: usize) -> Self {
        Insn { target: self.target.map(|_| target), ..self }
    }
}

impl Insn {
    /// With another number in a place that holds one.
    fn set_number(mut self, slot: usize, value: u64) -> Self {
        use ebpf::Insn as I;
        use ebpf::Operand::Imm;
        match (slot, &mut self.insn) {
            (IMM, I::LoadImm64 { imm, .. }) => *imm = value,
            (
                IMM,
                I::Alu { src: Imm(imm), .. } | I::Jump { src: Imm(imm), .. } | I::Store { src: Imm(imm), .. },
            ) => {
                *imm = value as u32 as i32;
            }
            (OFF, I::Load { off, .. } | I::Store { off, .. } | I::Atomic { off, .. }) => {
                *off = value as u16 as i16;
            }
            _ => (),
        }
        self
    }
}

/// The slot of each instruction, and that behind the last.
fn starts<'i>(code: impl Iterator<Item = &'i ebpf::Insn>) -> Vec<i64> {
    let mut starts = vec![0];
    for insn in code {
        starts.push(starts[starts.len() - 1] + insn.slots() as i64);
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutate::edit::{Edit, Roles, edited, edits, rearranged, tweaked};

    fn code(text: &str) -> Vec<Insn> {
        let insns = ebpf::parse_program(text).expect("a sequence");
        let code = Insn::decode(&insns).expect("it is code");
        assert_eq!(Insn::encode(&code), Some(insns));
        code
    }

    fn text(code: &[Insn]) -> String {
        let insns = Insn::encode(code).expect("the targets are near");
        insns.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn jumps_keep_their_targets() {
        let code = code("if r1 != 0 goto +3\nr2 = 0x123456789 ll\nr3 = 1\nr4 = 2\n");
        let without = rearranged(&code, Edit::Drop(1)).expect("it can be made");
        assert_eq!(text(&without), "if r1 != 0 goto +1; r3 = 1; r4 = 2");
    }

    #[test]
    fn one_change_is_encoded_as_all_of_the_code_is() {
        let before =
            ebpf::parse_program("if r1 != 0 goto +3\nr2 = 0x123456789 ll\nr3 = 1\nif r3 > r2 goto +0\n")
                .expect("a sequence");
        let code = Insn::decode(&before).expect("it is code");
        let roles = Roles { operands: vec![Some(1), Some(4)], outsider: 5, ..Roles::default() };
        let mut changes = 0;
        for edit in edits(&code, &roles).into_iter().filter(|edit| matches!(edit, Edit::Tweak(..))) {
            let Edit::Tweak(index, tweak) = edit else { continue };
            let Some(other) = tweaked(&code, index, tweak, &roles) else { continue };
            let mut changed = code.clone();
            changed[index] = other;
            let whole = Insn::encode(&changed).filter(|changed| *changed != before);
            assert_eq!(edited(&before, &code, edit, &roles), whole, "{edit:?}");
            changes += usize::from(whole.is_some());
        }
        assert!(changes > 50, "{changes}");
    }

    #[test]
    fn shifts_by_the_width_are_no_instructions() {
        let shift = code("r1 <<= 63")[0];
        assert_eq!(shift.operands()[1].kind, Kind::Immediate { bits: 6 });
        assert_eq!(text(&[shift.with_immediate(IMM, 64).expect("it wraps")]), "r1 <<= 0");
    }

    #[test]
    fn nothing_writes_r10() {
        let copy = code("r1 = r2")[0];
        assert_eq!(copy.with_register(DST, 10), None);
        assert_eq!(text(&[copy.with_register(SRC, 10).expect("it is read")]), "r1 = r10");
    }
}
