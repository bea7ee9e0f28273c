// SPDX-License-Identifier: GPL-2.0-or-later
//! The operands of a decoded instruction, as the semantics have them; `None` for what they do not have.

use iced_x86::{Instruction, Mnemonic, OpKind, Register};
use kop_ops::x86_64::{Gpr, Size, Xmm};

use crate::x86_64::insn::{Base, Mem, Operand, Place, XmmOrMem};

/// An instruction, to ask for its operands by their positions.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    pub(super) insn: &'a Instruction,
}

impl<'a> Operands<'a> {
    pub(super) fn new(insn: &'a Instruction) -> Self {
        Self { insn }
    }

    pub(super) fn mnemonic(self) -> Mnemonic {
        self.insn.mnemonic()
    }

    pub(super) fn count(self) -> u32 {
        self.insn.op_count()
    }

    fn register(self, operand: u32) -> Option<Register> {
        (self.insn.op_kind(operand) == OpKind::Register).then(|| self.insn.op_register(operand))
    }

    /// The number of bytes of a register or memory operand.
    pub(super) fn size(self, operand: u32) -> Option<Size> {
        let bytes = match self.insn.op_kind(operand) {
            OpKind::Register => self.insn.op_register(operand).size(),
            OpKind::Memory => self.insn.memory_size().size(),
            _ => return None,
        };
        Size::from_bytes(u32::try_from(bytes).ok()?)
    }

    /// A general register, of which a byte operand is the low byte.
    pub(super) fn gpr(self, operand: u32) -> Option<Gpr> {
        general(self.register(operand)?)
    }

    pub(super) fn xmm(self, operand: u32) -> Option<Xmm> {
        let register = self.register(operand)?;
        register.is_xmm().then(|| Xmm::from_code(u8::try_from(register.number()).ok()?))?
    }

    /// A general register or memory.
    pub(super) fn place(self, operand: u32) -> Option<Place> {
        if let Some(mem) = self.mem(operand) {
            return Some(Place::Mem(mem));
        }
        Some(match self.register(operand)? {
            Register::AH => Place::High(Gpr::Rax),
            Register::CH => Place::High(Gpr::Rcx),
            Register::DH => Place::High(Gpr::Rdx),
            Register::BH => Place::High(Gpr::Rbx),
            register => Place::Reg(general(register)?),
        })
    }

    /// A general register, memory or a constant.
    pub(super) fn operand(self, operand: u32) -> Option<Operand> {
        match self.imm(operand) {
            Some(imm) => Some(Operand::Imm(imm)),
            None => self.place(operand).map(Operand::Place),
        }
    }

    /// A constant, extended to 64 bits as the instruction does.
    pub(super) fn imm(self, operand: u32) -> Option<u64> {
        self.insn.try_immediate(operand).ok()
    }

    /// A constant of a byte.
    pub(super) fn imm8(self, operand: u32) -> Option<u8> {
        (self.insn.op_kind(operand) == OpKind::Immediate8).then(|| self.insn.immediate8())
    }

    pub(super) fn xmm_or_mem(self, operand: u32) -> Option<XmmOrMem> {
        match self.mem(operand) {
            Some(mem) => Some(XmmOrMem::Mem(mem)),
            None => self.xmm(operand).map(XmmOrMem::Xmm),
        }
    }

    /// A memory operand whose address is not relative to a segment.
    pub(super) fn mem(self, operand: u32) -> Option<Mem> {
        if self.insn.op_kind(operand) != OpKind::Memory || self.has_segment() {
            return None;
        }
        let (base, index) = (self.insn.memory_base(), self.insn.memory_index());
        let narrow = base.is_gpr32() || index.is_gpr32() || base == Register::EIP;
        let base = match base {
            Register::None => Base::Zero,
            Register::RIP => Base::Code,
            register => Base::Reg(general(register)?),
        };
        let index = match index {
            Register::None => None,
            register => Some((general(register)?, u8::try_from(self.insn.memory_index_scale()).ok()?)),
        };
        Some(Mem { base, index, disp: self.insn.memory_displacement64(), narrow })
    }

    /// Whether there is a prefix of a segment whose base may not be zero.
    pub(super) fn has_segment(self) -> bool {
        matches!(self.insn.segment_prefix(), Register::FS | Register::GS)
    }

    /// The target of a direct branch, from the first byte of the code.
    pub(super) fn target(self) -> Option<i64> {
        (self.insn.op_kind(0) == OpKind::NearBranch64).then(|| self.insn.near_branch64().cast_signed())
    }
}

/// The general register that `register` is the low part of.
fn general(register: Register) -> Option<Gpr> {
    let high = matches!(register, Register::AH | Register::CH | Register::DH | Register::BH);
    if !register.is_gpr() || high {
        return None;
    }
    Gpr::from_code(u8::try_from(register.full_register().number()).ok()?)
}
