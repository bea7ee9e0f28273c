// SPDX-License-Identifier: GPL-2.0-or-later
//! What Unicorn 2.1.5 does wrong: all of it that the campaign finds, and nothing that it does not. `semantics/DIFFERENCES.md`
//! has the same list.

use iced_x86::{Mnemonic, OpKind};
use kop_ops::x86_64::{Gpr, Size};
use kop_ops::{Access, Fault};
use kop_semantics::x86_64::{ControlOp, LowestOp, Op, Operand, Place, Unary};

use super::code::Case;
use super::compare::Expected;
use super::state::Before;

/// A mistake of Unicorn; this CPU agrees with the semantics in each case.
pub struct Known {
    /// What goes wrong, as the document says it.
    pub what: &'static str,
    /// An instruction that shows it on some states.
    pub example: &'static [u8],
    /// Whether an instruction on a state is such a case.
    pub is: fn(&Case, &Before, &Expected) -> bool,
    /// Why the engine runs such instructions all the same; it refuses the others.
    pub admitted: Option<&'static str>,
}

/// Every mistake that is known.
pub const KNOWN: &[Known] = &[
    Known {
        what: "SSE operands in memory that are not aligned to 16 bytes do not fault",
        example: &[0x66, 0x0f, 0xef, 0x03],
        is: |case, _, expected| {
            let unaligned = Fault::Memory { access: Access::Read, address: None };
            matches!(case.op, Op::Vector(_))
                && expected.zeros.end.as_ref().is_err_and(|fault| *fault == unaligned)
        },
        admitted: None,
    },
    Known {
        what: "BZHI clears the highest bit for an index of the operand's width and more, and sets CF from one less on",
        example: &[0xc4, 0xe2, 0xe8, 0xf5, 0xc3],
        is: |case, before, _| match case.op {
            Op::Control { op: ControlOp::Bzhi, size, control, .. } => {
                before.general(control) & 0xff >= u64::from(size.bits()) - 1
            }
            _ => false,
        },
        admitted: None,
    },
    Known {
        what: "BEXTR of 32 bits takes bits from the upper half of a register",
        example: &[0xc4, 0xe2, 0x68, 0xf7, 0xc3],
        is: |case, before, _| match case.op {
            Op::Control { op: ControlOp::Bextr, size: Size::B4, src: Place::Reg(register), .. } => {
                before.general(register) >> 32 != 0
            }
            _ => false,
        },
        admitted: None,
    },
    Known {
        what: "BEXTR clears the highest bit for a length of the operand's width and more",
        example: &[0xc4, 0xe2, 0xe8, 0xf7, 0xc3],
        is: |case, before, _| match case.op {
            Op::Control { op: ControlOp::Bextr, size, control, .. } => {
                before.general(control) >> 8 & 0xff >= size.bits().into()
            }
            _ => false,
        },
        admitted: None,
    },
    Known {
        what: "BLSI sets CF where it has to be clear, and the other way round",
        example: &[0xc4, 0xe2, 0xf8, 0xf3, 0xdb],
        is: |case, _, _| matches!(case.op, Op::Lowest { op: LowestOp::Blsi, .. }),
        admitted: None,
    },
    Known {
        what: "PDEP of 32 bits deposits in the upper half, where the register of the mask has ones",
        example: &[0xc4, 0xe2, 0x6b, 0xf5, 0xc3],
        is: |case, before, _| match case.op {
            Op::Deposit { size: Size::B4, mask: Place::Reg(register), .. } => {
                before.general(register) >> 32 != 0
            }
            _ => false,
        },
        admitted: None,
    },
    Known {
        what: "CMPXCHG of 32 bits that succeeds clears the upper half of rax",
        example: &[0x0f, 0xb1, 0xd3],
        is: |case, before, _| {
            matches!(case.op, Op::CompareExchange { size: Size::B4, .. })
                && before.general(Gpr::Rax) >> 32 != 0
        },
        admitted: Some("the SDM and AMD's processors differ: no code that is right depends on it"),
    },
    Known {
        what: "SHLD, SHRD and RORX by a constant address memory relative to rip one byte too low",
        example: &[0x66, 0x0f, 0xac, 0x3d, 0, 0, 0, 0, 0x0d],
        is: |case, _, _| {
            let by_constant = matches!(
                case.op,
                Op::DoubleShift { amount: Operand::Imm(_), .. }
                    | Op::ShiftWithoutFlags { amount: Operand::Imm(_), .. }
            );
            by_constant && case.insn.is_ip_rel_memory_operand()
        },
        admitted: None,
    },
    Known {
        what: "LAHF and SAHF with a REX prefix use spl, not ah",
        example: &[0x48, 0x9f],
        is: |case, _, _| matches!(case.op, Op::LoadFlags | Op::StoreFlags) && case.rex().is_some(),
        admitted: None,
    },
    Known {
        what: "RET takes the number of bytes to drop for a signed one",
        example: &[0xc2, 0x08, 0x80],
        is: |case, _, _| matches!(case.op, Op::Return { drop: 0x8000.. }),
        admitted: None,
    },
    Known {
        what: "TEST with an immediate in its second encoding (F6 /1, F7 /1) is no instruction",
        example: &[0xf7, 0xcb, 1, 2, 3, 4],
        is: |case, _, _| case.insn.mnemonic() == Mnemonic::Test && case.opcode_extension() == 1,
        admitted: None,
    },
    Known {
        what: "MOV of an immediate (C6, C7) with REX.R is no instruction",
        example: &[0x4c, 0xc7, 0xc3, 1, 2, 3, 4],
        is: |case, _, _| {
            let immediate = matches!(
                case.insn.op1_kind(),
                OpKind::Immediate8 | OpKind::Immediate16 | OpKind::Immediate32 | OpKind::Immediate32to64
            );
            case.insn.mnemonic() == Mnemonic::Mov && immediate && case.rex().is_some_and(|rex| rex & 4 != 0)
        },
        admitted: None,
    },
    Known {
        what: "ADCX and ADOX are not there",
        example: &[0x66, 0x0f, 0x38, 0xf6, 0xc3],
        is: |case, _, _| matches!(case.op, Op::AddWithFlag { .. }),
        admitted: None,
    },
    Known {
        what: "LOCK NEG sets flags by another value",
        example: &[0xf0, 0x48, 0xf7, 0x1b],
        is: |case, _, _| matches!(case.op, Op::Unary { op: Unary::Neg, .. }) && case.insn.has_lock_prefix(),
        admitted: None,
    },
    Known {
        what: "of several of the prefixes 66, F2 and F3 another one counts than on a CPU",
        example: &[0x66, 0xf2, 0x0f, 0x70, 0xd9, 0x0f],
        is: |case, _, _| case.mandatory_prefixes() > 1,
        admitted: None,
    },
];
