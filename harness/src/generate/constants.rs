// SPDX-License-Identifier: GPL-2.0-or-later
//! The numbers that a proof sequence computes with. What code makes of a number changes at them and beside them, and code that has
//! another number in its place differs there alone.

use kop_ops::choices::Choices;
use kop_ops::ebpf::{AluOp, Cond, Insn, Operand};

/// So many numbers of one proof are worth trying.
const MOST: usize = 64;

/// A number in a proof sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constant {
    /// The number, sign-extended to 64 bits.
    pub value: u64,
    /// Whether it says which bits a branch depends on, as that of `if r1 & 0xf0 goto` does: there one bit decides.
    pub is_mask: bool,
}

/// The numbers of a proof sequence, each once; not those of shifts, and no offsets.
pub fn constants(proof: &[Insn]) -> Vec<Constant> {
    let mut constants: Vec<Constant> = Vec::new();
    for insn in proof {
        let (value, is_mask) = match *insn {
            Insn::Alu { op: AluOp::Lsh | AluOp::Rsh | AluOp::Arsh, .. } => continue,
            Insn::Alu { src: Operand::Imm(imm), .. } => (imm as i64 as u64, false),
            Insn::Jump { cond, src: Operand::Imm(imm), .. } => (imm as i64 as u64, cond == Cond::Set),
            Insn::LoadImm64 { kind: 0, imm, .. } => (imm, false),
            _ => continue,
        };
        let constant = Constant { value, is_mask };
        if constants.len() < MOST && !constants.contains(&constant) {
            constants.push(constant);
        }
    }
    constants
}

impl Constant {
    /// The number, or one that code may take for it: one more or less, with one bit inverted, the same in its lower half; of a mask
    /// also one of its bits and others beside it.
    pub fn near(self, choices: &mut impl Choices) -> u64 {
        let value = self.value;
        let bit = 1 << choices.below(64);
        match choices.below(8) {
            0..6 if self.is_mask => bit | !value & choices.bits(),
            0 => value,
            1 => value.wrapping_add(1),
            2 => value.wrapping_sub(1),
            3 => value & 0xffff_ffff | choices.bits() << 32,
            4 => value ^ bit & !0xffff_ffff,
            5 => bit | !value & choices.bits(),
            _ => value ^ bit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kop_ops::choices::Seeded;
    use kop_ops::ebpf::parse_program;

    #[test]
    fn numbers_that_are_computed_with_are_found_once() {
        let proof = parse_program(
            "r1 &= 0xf0\nif r4 & 0xf0 goto +1\nr2 <<= 7\nw3 += -1\nr3 += -1\nr4 = 0x123456789 ll\nif w1 s> -5 goto +1\nr1 = *(u8 *)(r2 + 77)\nr0 += r1",
        );
        let found = constants(&proof.expect("it is a program"));
        let values: Vec<(u64, bool)> = found.iter().map(|own| (own.value, own.is_mask)).collect();
        assert_eq!(
            values,
            [(0xf0, false), (0xf0, true), (u64::MAX, false), (0x1_2345_6789, false), (-5i64 as u64, false)]
        );
    }

    #[test]
    fn each_bit_of_a_mask_comes_alone_and_each_neighbour_of_a_number_comes() {
        let mut choices = Seeded::new(3);
        let mask = Constant { value: !0x0c, is_mask: true };
        let near: Vec<u64> = (0..4000).map(|_| mask.near(&mut choices)).collect();
        assert!(
            (0..64)
                .filter(|bit| ![2, 3].contains(bit))
                .all(|bit| near.iter().any(|own| own & mask.value == 1 << bit))
        );
        let number = Constant { value: 8, is_mask: false };
        let near: Vec<u64> = (0..4000).map(|_| number.near(&mut choices)).collect();
        assert!([7, 8, 9, 12, 8 | 1 << 63].iter().all(|own| near.contains(own)));
        assert!(near.iter().filter(|own| **own as u32 == 8).count() > 500);
    }
}
