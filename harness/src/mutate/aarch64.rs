// SPDX-License-Identifier: GPL-2.0-or-later
//! A64 instructions: words whose fields are changed, by the encodings of their classes (Arm ARM, C4.1). disarm64 says which class a
//! word belongs to, and the inspection whether what a change makes is an instruction at all.

use disarm64::{InsnOpcode, decoder};
use disarm64_defn::{InsnClass, InsnFlags};
use kop_emulators::inspect::{BreachKind, inspect};
use kop_ops::Arch;

use super::edit::{Class, Instruction, Kind, Operand};
use super::x86_64::around;

/// An instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Insn {
    word: u32,
    target: Option<usize>,
}

/// A field of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    kind: Kind,
    low: u32,
    width: u32,
}

const fn general(low: u32) -> Field {
    Field { kind: Kind::Register(Class::General), low, width: 5 }
}

const fn vector(low: u32) -> Field {
    Field { kind: Kind::Register(Class::Vector), low, width: 5 }
}

const fn number(low: u32, width: u32) -> Field {
    Field { kind: Kind::Immediate { bits: width }, low, width }
}

// The fields by the manual's names.
const RD: Field = general(0);
const RN: Field = general(5);
const RA: Field = general(10);
const RM: Field = general(16);
const VD: Field = vector(0);
const VN: Field = vector(5);
const VM: Field = vector(16);
const AMOUNT: Field = number(10, 6);
const SHIFT: Field = number(22, 2);
const OPTION: Field = number(13, 3);
const IMMR: Field = number(16, 6);
const IMMS: Field = number(10, 6);
const IMM5: Field = number(16, 5);
const NZCV: Field = number(0, 4);

/// The place of the `cond` field in instructions that select or compare.
const COND: u32 = 12;

/// Conditions by number around one: AL and NV, the last two, are none to go to.
const CONDITIONS: usize = 14;

impl Insn {
    fn new(word: u32) -> Self {
        Insn { word, target: None }
    }

    fn field(self, low: u32, width: u32) -> u32 {
        self.word >> low & ((1 << width) - 1)
    }

    fn class(self) -> Option<InsnClass> {
        decoder::decode(self.word).map(|opcode| opcode.definition().class)
    }

    /// The registers and numbers of the word; none where its class is one of those that are not known here.
    fn fields(self) -> Vec<Field> {
        let Some(class) = self.class() else { return Vec::new() };
        // Loads and stores of SIMD registers have bit 26 set.
        let transferred = |low| if self.field(26, 1) == 1 { vector(low) } else { general(low) };
        match class {
            InsnClass::ADDSUB_IMM => vec![RD, RN, number(10, 12), number(22, 1)],
            InsnClass::ADDSUB_SHIFT | InsnClass::LOG_SHIFT => vec![RD, RN, RM, AMOUNT, SHIFT],
            InsnClass::ADDSUB_EXT => vec![RD, RN, RM, number(10, 3), OPTION],
            InsnClass::ADDSUB_CARRY | InsnClass::DP_2SRC => vec![RD, RN, RM],
            InsnClass::DP_1SRC => vec![RD, RN],
            // RA of a high half is all ones and no operand.
            InsnClass::DP_3SRC if self.field(22, 1) == 1 && self.field(10, 5) == 31 => vec![RD, RN, RM],
            InsnClass::DP_3SRC => vec![RD, RN, RM, RA],
            InsnClass::LOG_IMM => vec![RD, RN, IMMS, IMMR, number(22, 1)],
            InsnClass::BITFIELD => vec![RD, RN, IMMS, IMMR],
            InsnClass::EXTRACT => vec![RD, RN, RM, IMMS],
            InsnClass::MOVEWIDE => vec![RD, number(5, 16), number(21, 2)],
            InsnClass::CONDSEL => vec![RD, RN, RM],
            InsnClass::CONDCMP_REG => vec![RN, RM, NZCV],
            InsnClass::CONDCMP_IMM => vec![RN, IMM5, NZCV],
            InsnClass::LDST_POS => vec![transferred(0), RN, number(10, 12)],
            InsnClass::LDST_UNSCALED | InsnClass::LDST_IMM9 => vec![transferred(0), RN, number(12, 9)],
            InsnClass::LDST_REGOFF => vec![transferred(0), RN, RM, number(12, 1), OPTION],
            InsnClass::LDSTPAIR_OFF | InsnClass::LDSTPAIR_INDEXED | InsnClass::LDSTNAPAIR_OFFS => {
                vec![transferred(0), RN, transferred(10), number(15, 7)]
            }
            InsnClass::LDSTEXCL | InsnClass::LSE_ATOMIC => vec![RD, RN, RM],
            InsnClass::TESTBRANCH => vec![RD, number(19, 5), number(31, 1)],
            InsnClass::COMPBRANCH => vec![RD],
            InsnClass::FLOAT2INT if self.field(16, 1) == 0 => vec![RD, VN],
            InsnClass::FLOAT2INT => vec![VD, RN],
            InsnClass::ASIMDMISC | InsnClass::ASIMDALL => vec![VD, VN],
            InsnClass::ASIMDDIFF | InsnClass::ASIMDSAME => vec![VD, VN, VM],
            InsnClass::ASIMDEXT => vec![VD, VN, VM, number(11, 4)],
            InsnClass::ASIMDINS => self.lane_fields(),
            InsnClass::ASIMDIMM => vec![VD, number(5, 5), IMM5],
            _ => Vec::new(),
        }
    }

    /// Of DUP, INS, SMOV and UMOV (C4.1, Advanced SIMD copy).
    fn lane_fields(self) -> Vec<Field> {
        match (self.field(29, 1), self.field(11, 4)) {
            // INS of a lane: the other index is imm4.
            (1, _) => vec![VD, VN, IMM5, number(11, 4)],
            (_, 0b0001 | 0b0011) => vec![VD, RN, IMM5],
            (_, 0b0101 | 0b0111) => vec![RD, VN, IMM5],
            _ => vec![VD, VN, IMM5],
        }
    }

    /// Bits that hold the width of operands or of lanes: those that are inverted together, each way for itself.
    fn width_bits(self) -> Vec<u32> {
        let Some(opcode) = decoder::decode(self.word) else { return Vec::new() };
        let definition = opcode.definition();
        const SF: u32 = 1 << 31;
        const N: u32 = 1 << 22;
        const LANES: [u32; 4] = [1 << 30, 1 << 22, 1 << 23, 3 << 22];
        match definition.class {
            InsnClass::LDST_POS
            | InsnClass::LDST_UNSCALED
            | InsnClass::LDST_IMM9
            | InsnClass::LDST_REGOFF
            | InsnClass::LDSTEXCL
            | InsnClass::LSE_ATOMIC => vec![1 << 30, 1 << 31, 3 << 30],
            InsnClass::LDSTPAIR_OFF | InsnClass::LDSTPAIR_INDEXED => vec![1 << 31],
            // The general register, the SIMD register, and which half of that.
            InsnClass::FLOAT2INT => vec![SF, N, SF | N, 3 << 22 | 1 << 19, 1 << 23 | 1 << 19],
            InsnClass::ASIMDMISC | InsnClass::ASIMDALL | InsnClass::ASIMDDIFF | InsnClass::ASIMDSAME => {
                LANES.to_vec()
            }
            InsnClass::ASIMDEXT | InsnClass::ASIMDINS | InsnClass::ASIMDIMM => vec![1 << 30],
            InsnClass::COMPBRANCH => vec![SF],
            _ if definition.flags.contains(InsnFlags::HAS_SF_FIELD) => vec![SF, SF | N],
            _ => Vec::new(),
        }
    }

    /// The word, if it is an instruction of the same class.
    fn changed(self, word: u32) -> Option<Self> {
        let changed = Insn { word, ..self };
        let breach = inspect(Arch::Aarch64, &word.to_le_bytes()).err();
        let is_insn = breach.is_none_or(|breach| breach.kind != BreachKind::Undecodable);
        (is_insn && changed.class() == self.class()).then_some(changed)
    }

    fn with_field(self, field: Field, value: u32) -> Option<Self> {
        let mask = ((1 << field.width) - 1) << field.low;
        self.changed(self.word & !mask | value << field.low & mask)
    }

    /// The lowest bit and the width of a branch's distance, in instructions.
    fn distance(self) -> Option<(u32, u32)> {
        Some(match self.class()? {
            InsnClass::BRANCH_IMM if self.field(31, 1) == 0 => (0, 26),
            InsnClass::CONDBRANCH => (5, 19),
            InsnClass::COMPBRANCH if self.field(25, 6) == 0b01_1010 => (5, 19),
            InsnClass::TESTBRANCH => (5, 14),
            _ => return None,
        })
    }

    /// The lowest bit of the condition.
    fn condition(self) -> Option<u32> {
        match self.class()? {
            InsnClass::CONDBRANCH => Some(0),
            InsnClass::CONDSEL | InsnClass::CONDCMP_REG | InsnClass::CONDCMP_IMM => Some(COND),
            _ => None,
        }
    }

    /// Whether it branches on a register being zero, or on a bit, or else on not.
    fn is_inverted_by_a_bit(self) -> bool {
        matches!(self.class(), Some(InsnClass::COMPBRANCH | InsnClass::TESTBRANCH))
    }
}

impl Instruction for Insn {
    type Unit = u8;
    type Code = Vec<u8>;

    fn decode(code: &Vec<u8>) -> Option<Vec<Self>> {
        let words = code.chunks(4).map(|chunk| chunk.try_into().ok().map(u32::from_le_bytes));
        let mut insns = words.map(|word| word.map(Insn::new)).collect::<Option<Vec<Insn>>>()?;
        let count = insns.len();
        for (index, insn) in insns.iter_mut().enumerate() {
            insn.class()?;
            if let Some((low, width)) = insn.distance() {
                let distance = (insn.field(low, width) << (32 - width)) as i32 >> (32 - width);
                let target = usize::try_from(index as i64 + i64::from(distance)).ok()?;
                insn.target = Some(target).filter(|target| *target <= count);
                insn.target?;
            }
        }
        Some(insns)
    }

    fn encode(code: &[Self]) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(4 * code.len());
        for (index, insn) in code.iter().enumerate() {
            let word = match (insn.target, insn.distance()) {
                (Some(target), Some((low, width))) => {
                    let distance = target as i64 - index as i64;
                    let most = 1 << (width - 1);
                    if !(-most..most).contains(&distance) {
                        return None;
                    }
                    let mask = ((1u32 << width) - 1) << low;
                    insn.word & !mask | (distance as u32) << low & mask
                }
                _ => insn.word,
            };
            bytes.extend(word.to_le_bytes());
        }
        Some(bytes)
    }

    fn shape(&self) -> u64 {
        let Some(opcode) = decoder::decode(self.word) else { return 0 };
        let definition = opcode.definition();
        u64::from(definition.opcode) << 32 | u64::from(definition.mask)
    }

    fn operands(&self) -> Vec<Operand> {
        let fields = self.fields().into_iter().enumerate();
        fields.map(|(slot, field)| Operand { slot, kind: field.kind }).collect()
    }

    fn register(&self, slot: usize) -> Option<u8> {
        let field = *self.fields().get(slot)?;
        matches!(field.kind, Kind::Register(_)).then(|| self.field(field.low, field.width) as u8)
    }

    fn with_register(&self, slot: usize, number: u8) -> Option<Self> {
        self.with_field(*self.fields().get(slot)?, u32::from(number))
    }

    fn immediate(&self, slot: usize) -> Option<u64> {
        let field = *self.fields().get(slot)?;
        Some(u64::from(self.field(field.low, field.width)))
    }

    fn with_immediate(&self, slot: usize, value: u64) -> Option<Self> {
        self.with_field(*self.fields().get(slot)?, value as u32)
    }

    fn conditions(&self) -> usize {
        match self.condition() {
            Some(_) => 4,
            None => usize::from(self.is_inverted_by_a_bit()),
        }
    }

    fn with_condition(&self, number: usize) -> Option<Self> {
        let Some(low) = self.condition() else { return self.changed(self.word ^ 1 << 24) };
        let condition = self.field(low, 4) as usize;
        let others = if condition < CONDITIONS { around(condition, CONDITIONS) } else { Vec::new() };
        let field = Field { kind: Kind::Immediate { bits: 4 }, low, width: 4 };
        self.with_field(field, *others.get(number)? as u32)
    }

    fn widths(&self) -> usize {
        self.width_bits().len()
    }

    fn with_width(&self, number: usize) -> Option<Self> {
        self.changed(self.word ^ self.width_bits().get(number)?)
    }

    fn target(&self) -> Option<usize> {
        self.target
    }

    fn with_target(self, target: usize) -> Self {
        Insn { target: self.target.map(|_| target), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kop_emulators::inspect::listing;
    use kop_ops::aarch64::{Assembler, Cond, FmovLane, Gpr, Mem, V, Width};

    fn code(write: impl FnOnce(&mut Assembler)) -> Vec<Insn> {
        let mut asm = Assembler::new();
        write(&mut asm);
        let bytes = asm.finish().expect("it has an encoding").bytes;
        let insns = Insn::decode(&bytes).expect("it is code");
        assert_eq!(Insn::encode(&insns), Some(bytes));
        insns
    }

    fn text(insn: Option<Insn>) -> String {
        let Some(insn) = insn else { return "none".to_owned() };
        listing(Arch::Aarch64, &insn.word.to_le_bytes())[0].text.clone()
    }

    /// What an instruction becomes with each of these changes.
    fn texts(insn: Insn, count: usize, change: impl Fn(usize) -> Option<Insn>) -> Vec<String> {
        let _ = insn;
        (0..count).map(|number| text(change(number))).filter(|text| text != "none").collect()
    }

    #[test]
    fn registers_and_numbers_are_replaced() {
        let add = code(|a| a.add_imm(Width::X, Gpr::X0, Gpr::X1, 7))[0];
        assert_eq!(text(add.with_register(0, 9)), "add x9, x1, #0x7");
        assert_eq!(text(add.with_immediate(2, 8)), "add x0, x1, #0x8");
        let load = code(|a| a.ldr(Width::X, Gpr::X0, Mem::offset(Gpr::X1, 16)))[0];
        assert_eq!((load.register(1), load.immediate(2)), (Some(1), Some(2)));
    }

    #[test]
    fn reserved_words_are_no_instructions() {
        // A 32-bit operation has no bit patterns of 64 bits.
        let and = code(|a| a.and_imm(Width::W, Gpr::X0, Gpr::X1, 0xff))[0];
        assert_eq!(and.with_immediate(4, 1), None);
    }

    #[test]
    fn conditions_are_inverted_or_beside() {
        let csel = code(|a| a.csel(Width::X, Gpr::X0, Gpr::X1, Gpr::X2, Cond::Ne))[0];
        let others = texts(csel, csel.conditions(), |n| csel.with_condition(n));
        let suffixes: Vec<&str> = others.iter().filter_map(|text| text.rsplit(' ').next()).collect();
        assert_eq!(suffixes, ["eq", "cs", "cc"]);
    }

    #[test]
    fn widths_change_with_all_else_the_same() {
        let rotate = code(|a| a.ror(Width::X, Gpr::X0, Gpr::X1, Gpr::X2))[0];
        assert_eq!(texts(rotate, rotate.widths(), |n| rotate.with_width(n)), ["rorv w0, w1, w2"]);
        let load = code(|a| a.ldr(Width::X, Gpr::X0, Mem::offset(Gpr::X1, 0)))[0];
        let widths = texts(load, load.widths(), |n| load.with_width(n));
        assert_eq!(widths.len(), 3, "{widths:?}");
        let fmov = code(|a| a.fmov_to_gpr(FmovLane::D, Gpr::X0, V::V0))[0];
        let widths = texts(fmov, fmov.widths(), |n| fmov.with_width(n));
        assert_eq!(widths.len(), 2, "{widths:?}");
    }
}
