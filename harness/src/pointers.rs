// SPDX-License-Identifier: GPL-2.0-or-later
//! Which registers of a proof sequence are pointers, and how far around them it reads and writes: data flow over sums of
//! the registers at entry.

use std::collections::BTreeMap;

use kop_ops::ebpf::{AluOp, Insn, Operand, Reg, RegSet, Size, Width};

/// The most that an unknown part of an address may vary for the address to count as known, in bytes.
const MAX_SLACK: u64 = 4096;

/// Memory around one register: `base + terms + low .. base + terms + high`, by the values at entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// The register that can be set such that the address is a wanted one; r10 only where no other register is in it.
    pub base: Reg,
    /// What else is added to it.
    pub terms: Vec<Term>,
    /// The lowest byte that is touched, relative to the address.
    pub low: i64,
    /// One past the highest byte that is touched.
    pub high: i64,
    /// Each access: its lowest byte relative to the address, and its length in bytes.
    pub accesses: Vec<(i64, u64)>,
    /// Whether any access reads.
    pub reads: bool,
    /// Whether any access writes.
    pub writes: bool,
}

impl Pointer {
    /// How many bytes it reaches over.
    pub const fn length(&self) -> u64 {
        self.high.wrapping_sub(self.low) as u64
    }

    /// What is added to the base besides constants, for the registers given.
    pub fn added(&self, value: impl Fn(Reg) -> u64) -> u64 {
        self.terms.iter().fold(0, |sum, term| {
            let value = if term.narrow { value(term.reg) & 0xffff_ffff } else { value(term.reg) };
            sum.wrapping_add(value.wrapping_mul(term.times))
        })
    }
}

/// A register that is added to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// The register.
    pub reg: Reg,
    /// Whether its lower half alone is taken.
    pub narrow: bool,
    /// How many times, modulo 2^64.
    pub times: u64,
}

/// A value as a sum: registers at entry, whole and lower halves, a constant, and something in `0..=slack`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    whole: [u64; 11],
    narrow: [u64; 11],
    constant: u64,
    slack: u64,
}

/// What each register holds; `None` where it is no such sum.
type Registers = [Option<Sum>; 11];

impl Sum {
    fn constant(constant: u64) -> Self {
        Self { constant, ..Self::default() }
    }

    fn between_zero_and(slack: u64) -> Option<Self> {
        (slack <= MAX_SLACK).then(|| Self { slack, ..Self::default() })
    }

    fn of(reg: Reg) -> Self {
        let mut sum = Self::default();
        sum.whole[reg.index()] = 1;
        sum
    }

    /// The constant that it is, if it is one.
    fn known(self) -> Option<u64> {
        (self == Self::constant(self.constant)).then_some(self.constant)
    }

    fn plus(self, other: Sum) -> Option<Sum> {
        let add = |a: [u64; 11], b: [u64; 11]| std::array::from_fn(|i| a[i].wrapping_add(b[i]));
        let slack = self.slack + other.slack;
        (slack <= MAX_SLACK).then(|| Sum {
            whole: add(self.whole, other.whole),
            narrow: add(self.narrow, other.narrow),
            constant: self.constant.wrapping_add(other.constant),
            slack,
        })
    }

    fn times(self, factor: u64) -> Option<Sum> {
        let scale = |terms: [u64; 11]| terms.map(|times| times.wrapping_mul(factor));
        let slack = self.slack.checked_mul(factor).filter(|slack| *slack <= MAX_SLACK)?;
        let constant = self.constant.wrapping_mul(factor);
        Some(Sum { whole: scale(self.whole), narrow: scale(self.narrow), constant, slack })
    }

    fn negated(self) -> Sum {
        let negate = |terms: [u64; 11]| terms.map(u64::wrapping_neg);
        // What varied upwards from the constant varies upwards from the other end.
        let constant = self.constant.wrapping_add(self.slack).wrapping_neg();
        Sum { whole: negate(self.whole), narrow: negate(self.narrow), constant, slack: self.slack }
    }

    /// The register that it is `times` times, and nothing else.
    fn only(self, times: u64) -> Option<Reg> {
        let reg = Reg::ALL.into_iter().find(|reg| self.whole[reg.index()] != 0)?;
        let mut expected = Self::default();
        expected.whole[reg.index()] = times;
        (self == expected).then_some(reg)
    }

    /// Its lower half.
    fn lower(self) -> Option<Sum> {
        if let Some(reg) = self.only(1) {
            let mut narrow = Self::default();
            narrow.narrow[reg.index()] = 1;
            return Some(narrow);
        }
        let bounded = Sum { constant: 0, slack: 0, ..self } == Self::default();
        if let Some(constant) = self.known() {
            return Some(Self::constant(constant & 0xffff_ffff));
        }
        (bounded && self.constant <= u64::from(u32::MAX) - self.slack).then_some(self)
    }

    fn shifted_right(self, amount: u64) -> Option<Sum> {
        match (self.known(), self.only(1 << 32)) {
            (Some(constant), _) => Some(Self::constant(constant >> amount)),
            // The lower half, by shifting there and back.
            (_, Some(reg)) if amount == 32 => Self::of(reg).lower(),
            _ => Self::between_zero_and(u64::MAX >> amount),
        }
    }
}

/// The memory that a proof sequence touches by pointers, in the order of first accesses; pointers of one register alone
/// come before those with terms.
///
/// Accesses whose address is no sum of registers at entry are left out.
pub fn pointers(proof: &[Insn]) -> Vec<Pointer> {
    let mut accesses: Vec<(Sum, u64, Touch)> = Vec::new();
    let mut joins: BTreeMap<i64, Registers> = BTreeMap::new();
    let mut current = Some(Reg::ALL.map(|reg| Some(Sum::of(reg))));
    let mut slot = 0i64;
    for insn in proof {
        if let Some(other) = joins.remove(&slot) {
            current = Some(current.map_or(other, |own| join(own, other)));
        }
        slot += insn.slots() as i64;
        let Some(registers) = &mut current else { continue };
        if let Some((base, offset, size, touch)) = access(insn)
            && let Some(address) = registers[base.index()].and_then(|sum| sum.plus(Sum::constant(offset)))
        {
            accesses.push((address, size.bytes() as u64, touch));
        }
        step(insn, registers);
        if let Some(distance) = jump(insn) {
            let target = slot + distance;
            let joined = joins.get(&target).map_or(*registers, |other| join(*registers, *other));
            joins.insert(target, joined);
            if matches!(insn, Insn::Ja { .. } | Insn::Gotol { .. }) {
                current = None;
            }
        }
    }
    grouped(&accesses)
}

fn join(a: Registers, b: Registers) -> Registers {
    std::array::from_fn(|i| if a[i] == b[i] { a[i] } else { None })
}

/// The distance of a jump in slots, from the next instruction.
fn jump(insn: &Insn) -> Option<i64> {
    match *insn {
        Insn::Jump { off, .. } | Insn::Ja { off } | Insn::MayGoto { off } => Some(off.into()),
        Insn::Gotol { off } => Some(off.into()),
        _ => None,
    }
}

/// What an access does.
#[derive(Clone, Copy)]
struct Touch {
    reads: bool,
    writes: bool,
}

fn access(insn: &Insn) -> Option<(Reg, u64, Size, Touch)> {
    let (base, off, size, reads, writes) = match *insn {
        Insn::Load { size, base, off, .. } => (base, off, size, true, false),
        Insn::Store { size, base, off, .. } => (base, off, size, false, true),
        Insn::Atomic { size, base, off, .. } => (base, off, size, true, true),
        _ => return None,
    };
    Some((base, i64::from(off) as u64, size, Touch { reads, writes }))
}

/// The registers after an instruction.
fn step(insn: &Insn, registers: &mut Registers) {
    let result = match *insn {
        Insn::Alu { op, width, dst, src } => {
            let left = registers[dst.index()];
            let right = match src {
                Operand::Reg(reg) => registers[reg.index()],
                Operand::Imm(imm) => Some(Sum::constant(i64::from(imm) as u64)),
            };
            (dst, alu(op, width, left, right))
        }
        Insn::Neg { width: Width::W64, dst } => (dst, registers[dst.index()].map(Sum::negated)),
        Insn::LoadImm64 { dst, kind: 0, imm } => (dst, Some(Sum::constant(imm))),
        Insn::Load { size: Size::B1, signed: false, dst, .. } => (dst, Sum::between_zero_and(0xff)),
        _ => {
            for reg in insn.writes().iter() {
                registers[reg.index()] = None;
            }
            return;
        }
    };
    registers[result.0.index()] = result.1;
}

fn alu(op: AluOp, width: Width, left: Option<Sum>, right: Option<Sum>) -> Option<Sum> {
    let amount = |bits: u64| right.and_then(Sum::known).map(|amount| amount & (bits - 1));
    let wide = width == Width::W64;
    match op {
        AluOp::Mov if wide => right,
        AluOp::Mov => right.and_then(Sum::lower),
        AluOp::And => {
            let mask = [left, right].into_iter().flatten().filter_map(Sum::known).min()?;
            Sum::between_zero_and(if wide { mask } else { mask & 0xffff_ffff })
        }
        AluOp::Mod => Sum::between_zero_and(right?.known()?.checked_sub(1)?),
        AluOp::Rsh if wide => left?.shifted_right(amount(64)?),
        AluOp::Rsh => Sum::between_zero_and(u64::from(u32::MAX) >> amount(32)?),
        _ if !wide => {
            let (left, right) = (left?.known()? as u32, right?.known()? as u32);
            let result = match op {
                AluOp::Add => left.wrapping_add(right),
                AluOp::Sub => left.wrapping_sub(right),
                AluOp::Mul => left.wrapping_mul(right),
                AluOp::Lsh => left << (right & 31),
                _ => return None,
            };
            Some(Sum::constant(result.into()))
        }
        AluOp::Add => left?.plus(right?),
        AluOp::Sub => left?.plus(right?.negated()),
        AluOp::Lsh => left?.times(1 << amount(64)?),
        AluOp::Mul => match (left?.known(), right?.known()) {
            (_, Some(factor)) => left?.times(factor),
            (Some(factor), None) => right?.times(factor),
            (None, None) => None,
        },
        _ => None,
    }
}

/// The accesses by the registers that their addresses are made of, each group with a base of its own.
fn grouped(accesses: &[(Sum, u64, Touch)]) -> Vec<Pointer> {
    let mut groups: Vec<(Sum, Pointer)> = Vec::new();
    let (alone, with_terms): (Vec<_>, Vec<_>) =
        accesses.iter().partition(|(sum, ..)| Sum { constant: 0, slack: 0, ..*sum }.only(1).is_some());
    for &(sum, size, touch) in alone.into_iter().chain(with_terms) {
        let shape = Sum { constant: 0, slack: 0, ..sum };
        let index = match groups.iter().position(|(known, _)| *known == shape) {
            Some(index) => index,
            None => {
                // What an earlier address depends on must not change any more.
                let taken: RegSet = groups
                    .iter()
                    .flat_map(|(_, own)| own.terms.iter().map(|term| term.reg).chain([own.base]))
                    .collect();
                let Some(pointer) = pointer(shape, taken) else { continue };
                groups.push((shape, pointer));
                groups.len() - 1
            }
        };
        let pointer = &mut groups[index].1;
        let (low, length) = (sum.constant as i64, size + sum.slack);
        let high = low.saturating_add_unsigned(length);
        let first = pointer.accesses.is_empty();
        pointer.low = if first { low } else { pointer.low.min(low) };
        pointer.high = if first { high } else { pointer.high.max(high) };
        pointer.accesses.push((low, length));
        pointer.reads |= touch.reads;
        pointer.writes |= touch.writes;
    }
    groups.into_iter().map(|(_, pointer)| pointer).collect()
}

/// A pointer to a sum without constant; `None` when no register is in it once that is free to be set.
fn pointer(shape: Sum, taken: RegSet) -> Option<Pointer> {
    let alone = shape.only(1);
    let is_free = |reg: &Reg| {
        shape.whole[reg.index()] == 1
            && shape.narrow[reg.index()] == 0
            && *reg != Reg::R10
            && !taken.has(*reg)
    };
    let base = alone.or_else(|| Reg::ALL.into_iter().find(is_free))?;
    let term = |narrow: bool| {
        let times = if narrow { shape.narrow } else { shape.whole };
        Reg::ALL
            .into_iter()
            .filter(move |reg| times[reg.index()] != 0 && (narrow || *reg != base))
            .map(move |reg| Term { reg, narrow, times: times[reg.index()] })
    };
    let terms = term(false).chain(term(true)).collect();
    Some(Pointer { base, terms, low: 0, high: 0, accesses: Vec::new(), reads: false, writes: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kop_ops::ebpf::parse_program;

    /// The pointers as `base+terms low..high rw`.
    fn shown(text: &str) -> String {
        let proof = parse_program(text).expect("a sequence");
        let show = |pointer: &Pointer| {
            let terms: String = pointer
                .terms
                .iter()
                .map(|term| {
                    let reg =
                        if term.narrow { format!("w{}", term.reg.index()) } else { term.reg.to_string() };
                    format!("+{}*{reg}", term.times as i64)
                })
                .collect();
            let touch = [(pointer.reads, "r"), (pointer.writes, "w")];
            let touch: String = touch.into_iter().filter_map(|(is, name)| is.then_some(name)).collect();
            format!("{}{terms} {}..{} {touch}", pointer.base, pointer.low, pointer.high)
        };
        pointers(&proof).iter().map(show).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn pointers_are_followed_through_sums_of_registers_and_constants() {
        for (text, expected) in [
            ("r0 = *(u32 *)(r1 + 4)", "r1 4..8 r"),
            ("r3 = r1\nr3 += 8\nr0 = *(u64 *)(r3 - 2)", "r1 6..14 r"),
            ("r3 = r1\nr3 -= r2\nr0 = *(u8 *)(r3 + 0)", "r1+-1*r2 0..1 r"),
            ("r0 = *(u8 *)(r1 + 0)\n*(u8 *)(r2 + 63) = r0\nr0 = *(u8 *)(r1 + 9)", "r1 0..10 r, r2 63..64 w"),
            ("r3 = r2\nr3 <<= 3\nr3 += r1\nr0 = *(u64 *)(r3 + 0)", "r1+8*r2 0..8 r"),
            ("w3 = w2\nr3 += r1\nr0 = *(u8 *)(r3 + 0)", "r1+1*w2 0..1 r"),
            ("r3 = r2\nr3 <<= 32\nr3 >>= 32\nr3 += r1\nr0 = *(u8 *)(r3 + 0)", "r1+1*w2 0..1 r"),
            ("r3 = r2\nr3 &= 15\nr3 += r1\nr0 = *(u8 *)(r3 + 0)", "r1 0..16 r"),
            ("r3 = *(u8 *)(r1 + 0)\nr3 += r2\nr0 = *(u8 *)(r3 + 0)", "r1 0..1 r, r2 0..256 r"),
            ("*(u64 *)(r10 - 8) = r1\nr0 = *(u64 *)(r10 - 8)", "r10 -8..0 rw"),
            ("r3 = r10\nr3 += r1\nr0 = *(u8 *)(r3 + 0)", "r1+1*r10 0..1 r"),
            ("r1 = *(u64 *)(r1 + 0)\nr0 = *(u64 *)(r1 + 0)", "r1 0..8 r"),
            ("r1 += 1\nr1 += 1\n*(u8 *)(r1 + 0) = 7", "r1 2..3 w"),
            ("r1 = -r1\nr1 += r2\nr0 = *(u8 *)(r1 + 0)", "r2+-1*r1 0..1 r"),
            ("r1 ^= r2\nr0 = *(u8 *)(r1 + 0)", ""),
            // Known on both ways alike, or not at all.
            ("if r2 == 0 goto +1\nr3 = 0\nr0 = *(u8 *)(r1 + 0)", "r1 0..1 r"),
            ("if r2 == 0 goto +1\nr1 += 1\nr0 = *(u8 *)(r1 + 0)", ""),
            ("if r2 == 0 goto +2\nr0 = *(u8 *)(r1 + 0)\ngoto +1\nr0 = *(u8 *)(r1 + 5)", "r1 0..6 r"),
            // Each of two groups has a base of its own.
            ("r3 = r1\nr3 += r2\nr0 = *(u8 *)(r3 + 0)\nr0 = *(u8 *)(r1 + 0)", "r1 0..1 r, r2+1*r1 0..1 r"),
            (
                "r3 = r1\nr3 += r2\nr0 = *(u8 *)(r3 + 0)\nr2 += r2\nr2 += r1\nr0 = *(u8 *)(r2 + 0)",
                "r1+1*r2 0..1 r",
            ),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_added_is_what_the_sequence_adds() {
        let text = "w3 = w2\nr3 *= 12\nr3 += r1\nr3 -= r4\nr0 = *(u8 *)(r3 + 5)";
        let pointer = &pointers(&parse_program(text).expect("a sequence"))[0];
        let values = |reg: Reg| [0, 0x1000, 0xffff_ffff_0000_0003, 9, 4, 0, 0, 0, 0, 0, 0][reg.index()];
        assert_eq!((pointer.base, pointer.added(values)), (Reg::R1, 36u64.wrapping_sub(4)));
        assert_eq!((pointer.low, pointer.length()), (5, 1));
    }
}
