// SPDX-License-Identifier: GPL-2.0-or-later
//! What Kop sites are lowered to becomes the instructions that they stand for.

use cranelift_codegen::ir::{InstructionData, Opcode};
use kop_ops::ebpf::{AluOp, Insn, Operand, Reg, Size};
use kop_ops::kop::Site;
use kop_ops::{Catalog, Features, Flow, Program, ProgramKind};

use crate::tests::optimised_program;

/// The proof sequence of an operation that counts bits.
fn proof(name: &str, form: &str) -> Vec<Insn> {
    let catalog = Catalog::einsn();
    let kop = catalog.get(name).expect("it is in the catalog");
    let form = kop.forms().iter().find(|found| found.name == form).expect("it is a form of it");
    let operands =
        form.layout.parse([("dst", "r3"), ("src", "r2"), ("tmp", "r4")]).expect("they are its operands");
    kop.proof(&Site { form, operands, features: Features::NONE }).expect("it has a proof")
}

/// The opcodes of what becomes of a sequence, with the bits that they work on.
fn opcodes(sequence: &[Insn]) -> Vec<(Opcode, u32)> {
    let mut insns = vec![Insn::load(Size::B8, Reg::R2, Reg::R1, 0)];
    insns.extend(sequence);
    insns.extend([Insn::mov64(Reg::R0, Reg::R3), Insn::Exit]);
    let flow = Flow::new(insns).expect("it is a program");
    let function = optimised_program(&Program { name: "test".to_owned(), kind: ProgramKind::Raw, flow });
    let insts = function.layout.blocks().flat_map(|block| function.layout.block_insts(block));
    let bits = |inst| match function.dfg.insts[inst] {
        InstructionData::Unary { opcode, arg } => (opcode, function.dfg.value_type(arg).bits()),
        ref other => (other.opcode(), 0),
    };
    insts.map(bits).collect()
}

const SITES: [(&str, &str, Opcode, u32); 6] = [
    ("popcount", "pop64", Opcode::Popcnt, 64),
    ("popcount", "pop32", Opcode::Popcnt, 32),
    ("count_zeros", "leading64", Opcode::Clz, 64),
    ("count_zeros", "leading32", Opcode::Clz, 32),
    ("count_zeros", "trailing64", Opcode::Ctz, 64),
    ("count_zeros", "trailing32", Opcode::Ctz, 32),
];

#[test]
fn sequences_that_count_bits_are_one_instruction() {
    for (name, form, opcode, bits) in SITES {
        let found = opcodes(&proof(name, form));
        assert!(found.contains(&(opcode, bits)), "{form}: {found:?}");
        let left = [Opcode::Imul, Opcode::Icmp, Opcode::Select, Opcode::Brif, Opcode::Bxor];
        assert!(!found.iter().any(|(found, _)| left.contains(found)), "{form}: {found:?}");
    }
}

#[test]
fn sequences_with_another_number_are_not() {
    let other = |insn: Insn| match insn {
        Insn::Alu { op, width, dst, src: Operand::Imm(imm) } if op != AluOp::Mov => {
            Some(Insn::Alu { op, width, dst, src: Operand::Imm(imm ^ 1) })
        }
        Insn::Jump { cond, width, dst, src: Operand::Imm(imm), off } => {
            Some(Insn::Jump { cond, width, dst, src: Operand::Imm(imm ^ 1), off })
        }
        Insn::LoadImm64 { dst, kind, imm } => Some(Insn::LoadImm64 { dst, kind, imm: imm ^ 1 }),
        _ => None,
    };
    for (name, form, opcode, bits) in SITES {
        let sequence = proof(name, form);
        for (at, insn) in sequence.iter().enumerate() {
            let Some(changed) = other(*insn) else { continue };
            let mut sequence = sequence.clone();
            sequence[at] = changed;
            let found = opcodes(&sequence);
            assert!(!found.contains(&(opcode, bits)), "{form}, {changed}: {found:?}");
        }
    }
}
