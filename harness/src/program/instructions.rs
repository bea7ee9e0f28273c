// SPDX-License-Identifier: GPL-2.0-or-later
//! Programs of single instructions: each with operands of its own, garbage in the other registers, and its result kept on
//! the stack.

use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::{AluOp, AtomicOp, Cond, Insn, Operand, Reg, Size, Width, forms};
use kop_ops::program::{Flow, Object, Program, ProgramKind};

use super::ProgramCase;
use crate::generate::{wide_value, wild_offset};

/// How many instructions a program tests: as many as results fit into the part of the stack that is not accessed otherwise.
pub const PER_PROGRAM: usize = 48;

/// Where results go, from r10: below what instructions access.
const RESULTS: i16 = -1024;

/// Bytes of data in the window.
const DATA: usize = 64;

/// A program that tests single instructions, as it grows.
#[derive(Clone, Debug, Default)]
pub struct Instructions {
    insns: Vec<Insn>,
    tested: usize,
}

impl Instructions {
    /// Whether no more instructions fit.
    pub fn is_full(&self) -> bool {
        self.tested == PER_PROGRAM
    }

    /// Adds an instruction with random operands in its registers; `false` when it is none that is tested alone: calls, exits,
    /// maps, the halves of Kop sites and what writes r10.
    pub fn test(&mut self, insn: Insn, choices: &mut impl Choices) -> bool {
        let alone = !matches!(
            insn,
            Insn::Call { .. }
                | Insn::Exit
                | Insn::Sidecar { .. }
                | Insn::LoadAbs { .. }
                | Insn::LoadInd { .. }
        ) && !matches!(insn, Insn::LoadImm64 { kind: 1.., .. });
        if !alone || insn.writes().has(Reg::R10) || self.is_full() {
            return false;
        }
        self.operands(insn, choices);
        self.insns.push(insn.with_branch_offset(2).unwrap_or(insn));
        if insn.branch_offset().is_some() {
            // Taken or not shows in a register that the jump does not read.
            let shown = Reg::WRITABLE.into_iter().find(|register| !insn.reads().has(*register));
            let shown = shown.expect("a jump reads two registers");
            self.insns.push(Insn::alu64(AluOp::Xor, shown, 1));
            self.insns.push(Insn::alu64(AluOp::Mul, shown, 3));
            self.keep(shown);
        }
        for register in insn.writes().iter() {
            self.keep(register);
        }
        self.tested += 1;
        true
    }

    /// Gives the registers that the instruction reads their values.
    fn operands(&mut self, insn: Insn, choices: &mut impl Choices) {
        let base = match insn {
            Insn::Load { base, off, .. } | Insn::Store { base, off, .. } | Insn::Atomic { base, off, .. } => {
                Some((base, off))
            }
            _ => None,
        };
        let written = insn.writes().union(insn.reads());
        let mut first = None;
        for register in written.iter().filter(|register| *register != Reg::R10) {
            if base.is_some_and(|(base, _)| base == register) {
                continue;
            }
            let value = match first {
                Some(value) if choices.one_in(4) => value,
                _ => wide_value(choices),
            };
            first = Some(value);
            self.insns.push(Insn::load_imm64(register, value));
        }
        let Some((base, off)) = base.filter(|(base, _)| *base != Reg::R10) else { return };
        // Eight bytes of the stack near its end; for an atomic operation at a multiple of its size.
        let size = insn.access().map_or(8, |size| size.bytes()) as i32;
        let at = -(8 + 8 * choices.below(8) as i32) + size * choices.below(8 / size as u64) as i32;
        self.insns.push(Insn::mov64(base, Reg::R10));
        self.insns.push(Insn::alu64(AluOp::Add, base, at - i32::from(off)));
        let value = choices.bits();
        let is_fresh = choices.one_in(2);
        if !is_fresh {
            return;
        }
        // `cmpxchg` should find what r0 holds as often as not.
        if let Insn::Atomic { op: AtomicOp::CmpXchg, size, base, off, .. } = insn {
            // A store leaves garbage in the upper half of r0, which a narrow comparison does not see.
            if base != Reg::R0 {
                self.insns.push(Insn::store(size, base, off, Reg::R0));
            }
        } else {
            let slot = Insn::Store {
                size: Size::B8,
                base: Reg::R10,
                off: (at & !7) as i16,
                src: Operand::Imm(value as i32),
            };
            self.insns.push(slot);
        }
    }

    /// Adds two instructions on one register, the kind that compilers make one of, with a jump that may go to the second.
    fn test_pair(&mut self, choices: &mut impl Choices) {
        if self.is_full() {
            return;
        }
        let dst = *choices.pick(&Reg::WRITABLE);
        let src = *choices.pick(&Reg::WRITABLE);
        for register in [dst, src] {
            self.insns.push(Insn::load_imm64(register, wide_value(choices)));
        }
        let size = *choices.pick(&Size::ALL);
        self.insns.push(Insn::store(Size::B8, Reg::R10, -8, src));
        let (width, other) = (*choices.pick(&Width::ALL), *choices.pick(&Width::ALL));
        let amount = choices.below(64) as i32;
        let first = match choices.below(4) {
            0 => Insn::load(size, dst, Reg::R10, -8),
            1 => Insn::alu(AluOp::Lsh, width, dst, amount),
            2 => Insn::alu(AluOp::Mov, width, dst, wide_value(choices) as i32),
            _ => Insn::alu(AluOp::Mov, width, dst, src),
        };
        let op = *choices.pick(&[
            AluOp::Add,
            AluOp::Sub,
            AluOp::And,
            AluOp::Or,
            AluOp::Xor,
            AluOp::Lsh,
            AluOp::Rsh,
        ]);
        let second = match choices.below(4) {
            0 => Insn::to_be(dst, *choices.pick(&[16, 32, 64])),
            1 => Insn::alu(op, other, dst, src),
            2 => Insn::alu(op, other, dst, wide_value(choices) as i32),
            _ => Insn::alu(op, other, dst, amount),
        };
        let cond = *choices.pick(&Cond::ALL);
        self.insns.push(Insn::jump(cond, dst, wide_value(choices) as i32, 1));
        self.insns.extend([first, second]);
        self.keep(dst);
        self.tested += 1;
    }

    fn keep(&mut self, register: Reg) {
        let place = RESULTS - 16 * self.tested as i16;
        let place = if register == Reg::R0 { place } else { place - 8 };
        self.insns.push(Insn::store(Size::B8, Reg::R10, place, register));
    }

    /// The program.
    pub fn finish(mut self, choices: &mut impl Choices) -> ProgramCase {
        self.insns.push(Insn::mov64(Reg::R0, 0));
        self.insns.push(Insn::Exit);
        let flow = Flow::new(self.insns).expect("jumps go to the next instructions");
        let program = Program { name: "main".to_owned(), kind: ProgramKind::Raw, flow };
        let object = Object { programs: vec![program], ..Object::default() };
        let packet = (0..DATA).map(|_| choices.bits() as u8).collect();
        ProgramCase { packet, garbage: choices.bits() | 1, ..ProgramCase::of(object) }
    }

    /// A full program of instructions of one form with random operands; `None` for a form that is not tested alone.
    pub fn of_form(form: Insn, choices: &mut impl Choices) -> Option<ProgramCase> {
        let mut program = Instructions::default();
        // Some operands are refused, such as r10 where it would be written.
        for _ in 0..4 * PER_PROGRAM {
            let insn = forms::random_of(form, choices);
            let wild = insn.access().is_some() && !choices.one_in(16);
            program.test(if wild { with_offset(insn, wild_offset(choices)) } else { insn }, choices);
        }
        (program.tested > 0).then(|| program.finish(choices))
    }

    /// A program of random instructions: every byte string is one.
    pub fn random(choices: &mut impl Choices) -> ProgramCase {
        let mut program = Instructions::default();
        let count = 1 + choices.below(8);
        for _ in 0..count {
            if choices.one_in(8) {
                program.test_pair(choices);
                continue;
            }
            let mut insn = forms::random(choices);
            if insn.access().is_some() && !choices.one_in(16) {
                insn = with_offset(insn, wild_offset(choices));
            }
            program.test(insn, choices);
        }
        program.finish(choices)
    }
}

/// The access with another offset. Through r10 it stays in the stack.
fn with_offset(insn: Insn, offset: i16) -> Insn {
    let of = |base: Reg| if base == Reg::R10 { -8 - (offset & 0x38) } else { offset };
    match insn {
        Insn::Load { size, signed, dst, base, .. } => Insn::Load { size, signed, dst, base, off: of(base) },
        Insn::Store { size, base, src, .. } => Insn::Store { size, base, off: of(base), src },
        Insn::Atomic { op, size, base, src, .. } => Insn::Atomic { op, size, base, off: of(base), src },
        other => other,
    }
}

/// Every instruction form with every pair of registers and every class of immediate and offset, in programs of many.
pub fn sweep() -> impl Iterator<Item = ProgramCase> {
    let mut choices = Seeded::new(0x7377_6565);
    let mut samples = forms::samples().into_iter();
    std::iter::from_fn(move || {
        let mut program = Instructions::default();
        while !program.is_full() {
            let Some(insn) = samples.next() else { break };
            let in_stack = match insn {
                Insn::Load { base, off, .. }
                | Insn::Store { base, off, .. }
                | Insn::Atomic { base, off, .. } => {
                    base != Reg::R10 || (-512..=-8).contains(&off) && off % 8 == 0
                }
                _ => true,
            };
            let insn = if in_stack { insn } else { with_offset(insn, 8) };
            program.test(insn, &mut choices);
        }
        (program.tested > 0).then(|| program.finish(&mut choices))
    })
}
