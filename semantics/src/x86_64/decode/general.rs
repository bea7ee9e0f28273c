// SPDX-License-Identifier: GPL-2.0-or-later
//! Instructions on general registers, memory and flags.

use iced_x86::{Code, ConditionCode, Mnemonic as M, OpKind};
use kop_ops::x86_64::{Cond, Gpr, Size};

use super::operands::Operands;
use crate::x86_64::bit_test::BitTest;
use crate::x86_64::bits::{ControlOp, CountOp, LowestOp};
use crate::x86_64::flags::Flag;
use crate::x86_64::insn::{Op, Operand, Place};
use crate::x86_64::integer::{Binary, Unary};
use crate::x86_64::shift::{DoubleShift, Shift};
use crate::x86_64::string::{Repeat, StringOp};

/// What the instruction does, by groups of mnemonics.
pub(super) fn operation(o: Operands) -> Option<Op> {
    without_operands(o)
        .or_else(|| moves(o))
        .or_else(|| arithmetic(o))
        .or_else(|| shifts(o))
        .or_else(|| bits(o))
        .or_else(|| conditional(o))
        .or_else(|| stack(o))
        .or_else(|| control(o))
        .or_else(|| string(o))
}

/// Instructions that have no operands, or ignore them.
fn without_operands(o: Operands) -> Option<Op> {
    let extend = |size, from| {
        let (dst, src) = (Gpr::Rax, Place::Reg(Gpr::Rax));
        Some(Op::Extend { size, dst, from, signed: true, src })
    };
    let set = |flag, value| Some(Op::SetFlag { flag, value });
    match o.mnemonic() {
        M::Nop | M::Endbr64 | M::Endbr32 => Some(Op::Nothing),
        // With REX.B, which iced-x86 does not look at, it exchanges rax and r8.
        M::Pause if o.insn.len() == 2 => Some(Op::Nothing),
        M::Lfence | M::Mfence | M::Sfence => Some(Op::Nothing),
        M::Prefetchnta | M::Prefetcht0 | M::Prefetcht1 | M::Prefetcht2 | M::Prefetchw | M::Prefetchwt1 => {
            Some(Op::Nothing)
        }
        M::Cbw => extend(Size::B2, Size::B1),
        M::Cwde => extend(Size::B4, Size::B2),
        M::Cdqe => extend(Size::B8, Size::B4),
        M::Cwd => Some(Op::SpreadSign { size: Size::B2 }),
        M::Cdq => Some(Op::SpreadSign { size: Size::B4 }),
        M::Cqo => Some(Op::SpreadSign { size: Size::B8 }),
        M::Clc => set(Flag::Carry, false),
        M::Stc => set(Flag::Carry, true),
        M::Cld => set(Flag::Direction, false),
        M::Std => set(Flag::Direction, true),
        M::Cmc => Some(Op::ComplementCarry),
        M::Lahf => Some(Op::LoadFlags),
        M::Sahf => Some(Op::StoreFlags),
        M::Int3 => Some(Op::Breakpoint),
        M::Ud2 => Some(Op::Undefined),
        _ => None,
    }
}

fn moves(o: Operands) -> Option<Op> {
    Some(match o.mnemonic() {
        M::Mov | M::Movnti => Op::Move { size: o.size(0)?, dst: o.place(0)?, src: o.operand(1)? },
        M::Movzx | M::Movsx | M::Movsxd => Op::Extend {
            size: o.size(0)?,
            dst: o.gpr(0)?,
            // With an operand-size prefix a source may be as wide as the destination: then nothing is extended.
            from: o.size(1).filter(|from| Some(*from) <= o.size(0))?,
            signed: o.mnemonic() != M::Movzx,
            src: o.place(1)?,
        },
        M::Lea => Op::Lea { size: o.size(0)?, dst: o.gpr(0)?, mem: o.mem(1)? },
        M::Bswap => Op::SwapBytes { size: o.size(0).filter(|size| *size >= Size::B4)?, dst: o.gpr(0)? },
        M::Movbe => Op::MoveSwapped { size: o.size(0)?, dst: o.place(0)?, src: o.place(1)? },
        M::Xchg => Op::Exchange { size: o.size(0)?, dst: o.place(0)?, src: o.place(1)? },
        M::Xadd => Op::ExchangeAdd { size: o.size(0)?, dst: o.place(0)?, src: o.place(1)? },
        M::Cmpxchg => Op::CompareExchange { size: o.size(0)?, dst: o.place(0)?, src: o.place(1)? },
        _ => return None,
    })
}

fn arithmetic(o: Operands) -> Option<Op> {
    let binary = |op| Some(Op::Binary { op, size: o.size(0)?, dst: o.place(0)?, src: o.operand(1)? });
    let unary = |op| Some(Op::Unary { op, size: o.size(0)?, dst: o.place(0)? });
    let with_flag = |flag| Some(Op::AddWithFlag { flag, size: o.size(0)?, dst: o.gpr(0)?, src: o.place(1)? });
    let multiply = |signed| Some(Op::Multiply { signed, size: o.size(0)?, src: o.place(0)? });
    let divide = |signed| Some(Op::Divide { signed, size: o.size(0)?, src: o.place(0)? });
    match o.mnemonic() {
        M::Add => binary(Binary::Add),
        M::Adc => binary(Binary::Adc),
        M::Sub => binary(Binary::Sub),
        M::Sbb => binary(Binary::Sbb),
        M::Cmp => binary(Binary::Cmp),
        M::And => binary(Binary::And),
        M::Or => binary(Binary::Or),
        M::Xor => binary(Binary::Xor),
        M::Test => binary(Binary::Test),
        M::Inc => unary(Unary::Inc),
        M::Dec => unary(Unary::Dec),
        M::Not => unary(Unary::Not),
        M::Neg => unary(Unary::Neg),
        M::Adcx => with_flag(Flag::Carry),
        M::Adox => with_flag(Flag::Overflow),
        M::Mul => multiply(false),
        M::Imul if o.count() == 1 => multiply(true),
        M::Imul => {
            let (a, b) = if o.count() == 2 { (0, 1) } else { (1, 2) };
            Some(Op::MultiplyInto { size: o.size(0)?, dst: o.gpr(0)?, a: o.place(a)?, b: o.operand(b)? })
        }
        M::Mulx => {
            Some(Op::MultiplyWide { size: o.size(0)?, high: o.gpr(0)?, low: o.gpr(1)?, src: o.place(2)? })
        }
        M::Div => divide(false),
        M::Idiv => divide(true),
        _ => None,
    }
}

fn shifts(o: Operands) -> Option<Op> {
    let shift = |op| Some(Op::Shift { op, size: o.size(0)?, dst: o.place(0)?, amount: o.operand(1)? });
    let double = |op| {
        let (size, dst, src) = (o.size(0)?, o.place(0)?, o.gpr(1)?);
        Some(Op::DoubleShift { op, size, dst, src, amount: o.operand(2)? })
    };
    let without_flags = |op| {
        let (size, dst, src) = (o.size(0)?, o.gpr(0)?, o.place(1)?);
        Some(Op::ShiftWithoutFlags { op, size, dst, src, amount: o.operand(2)? })
    };
    match o.mnemonic() {
        M::Rol => shift(Shift::Rol),
        M::Ror => shift(Shift::Ror),
        M::Rcl => shift(Shift::Rcl),
        M::Rcr => shift(Shift::Rcr),
        M::Shl | M::Sal => shift(Shift::Shl),
        M::Shr => shift(Shift::Shr),
        M::Sar => shift(Shift::Sar),
        M::Shld => double(DoubleShift::Shld),
        M::Shrd => double(DoubleShift::Shrd),
        M::Shlx => without_flags(Shift::Shl),
        M::Shrx => without_flags(Shift::Shr),
        M::Sarx => without_flags(Shift::Sar),
        M::Rorx => without_flags(Shift::Ror),
        _ => None,
    }
}

fn bits(o: Operands) -> Option<Op> {
    let test = |op| Some(Op::BitTest { op, size: o.size(0)?, dst: o.place(0)?, index: o.operand(1)? });
    let count = |op| Some(Op::Count { op, size: o.size(0)?, dst: o.gpr(0)?, src: o.place(1)? });
    let lowest = |op| Some(Op::Lowest { op, size: o.size(0)?, dst: o.gpr(0)?, src: o.place(1)? });
    let control = |op| {
        let (size, dst, src) = (o.size(0)?, o.gpr(0)?, o.place(1)?);
        Some(Op::Control { op, size, dst, src, control: o.gpr(2)? })
    };
    match o.mnemonic() {
        M::Bt => test(BitTest::Test),
        M::Bts => test(BitTest::Set),
        M::Btr => test(BitTest::Reset),
        M::Btc => test(BitTest::Complement),
        M::Bsf => count(CountOp::Bsf),
        M::Bsr => count(CountOp::Bsr),
        M::Popcnt => count(CountOp::Popcnt),
        M::Tzcnt => count(CountOp::Tzcnt),
        M::Lzcnt => count(CountOp::Lzcnt),
        M::Blsi => lowest(LowestOp::Blsi),
        M::Blsmsk => lowest(LowestOp::Blsmsk),
        M::Blsr => lowest(LowestOp::Blsr),
        M::Bextr => control(ControlOp::Bextr),
        M::Bzhi => control(ControlOp::Bzhi),
        M::Andn => {
            Some(Op::AndNot { size: o.size(0)?, dst: o.gpr(0)?, inverted: o.gpr(1)?, src: o.place(2)? })
        }
        M::Pdep => Some(Op::Deposit { size: o.size(0)?, dst: o.gpr(0)?, src: o.gpr(1)?, mask: o.place(2)? }),
        M::Pext => Some(Op::Extract { size: o.size(0)?, dst: o.gpr(0)?, src: o.gpr(1)?, mask: o.place(2)? }),
        M::Crc32 => Some(Op::Crc32 { size: o.size(1)?, dst: o.gpr(0)?, src: o.place(1)? }),
        _ => None,
    }
}

/// `cmovcc` and `setcc`.
fn conditional(o: Operands) -> Option<Op> {
    match o.mnemonic() {
        M::Cmovo | M::Cmovno | M::Cmovb | M::Cmovae | M::Cmove | M::Cmovne | M::Cmovbe | M::Cmova => {}
        M::Cmovs | M::Cmovns | M::Cmovp | M::Cmovnp | M::Cmovl | M::Cmovge | M::Cmovle | M::Cmovg => {}
        M::Seto | M::Setno | M::Setb | M::Setae | M::Sete | M::Setne | M::Setbe | M::Seta => {
            return Some(Op::Set { cond: condition(o)?, dst: o.place(0)? });
        }
        M::Sets | M::Setns | M::Setp | M::Setnp | M::Setl | M::Setge | M::Setle | M::Setg => {
            return Some(Op::Set { cond: condition(o)?, dst: o.place(0)? });
        }
        _ => return None,
    }
    Some(Op::MoveIf { cond: condition(o)?, size: o.size(0)?, dst: o.gpr(0)?, src: o.place(1)? })
}

/// The condition of an instruction.
fn condition(o: Operands) -> Option<Cond> {
    Some(match o.insn.condition_code() {
        ConditionCode::None => return None,
        ConditionCode::o => Cond::O,
        ConditionCode::no => Cond::No,
        ConditionCode::b => Cond::B,
        ConditionCode::ae => Cond::Ae,
        ConditionCode::e => Cond::E,
        ConditionCode::ne => Cond::Ne,
        ConditionCode::be => Cond::Be,
        ConditionCode::a => Cond::A,
        ConditionCode::s => Cond::S,
        ConditionCode::ns => Cond::Ns,
        ConditionCode::p => Cond::P,
        ConditionCode::np => Cond::Np,
        ConditionCode::l => Cond::L,
        ConditionCode::ge => Cond::Ge,
        ConditionCode::le => Cond::Le,
        ConditionCode::g => Cond::G,
    })
}

/// The stack in words of eight bytes.
fn stack(o: Operands) -> Option<Op> {
    Some(match (o.mnemonic(), o.insn.code()) {
        (_, Code::Pushq_imm8 | Code::Pushq_imm32) => Op::Push { src: Operand::Imm(o.imm(0)?) },
        (M::Push, _) => {
            o.size(0).filter(|size| *size == Size::B8)?;
            Op::Push { src: Operand::Place(o.place(0)?) }
        }
        (M::Pop, _) => {
            o.size(0).filter(|size| *size == Size::B8)?;
            Op::Pop { dst: o.place(0)? }
        }
        (_, Code::Pushfq) => Op::PushFlags,
        (_, Code::Popfq) => Op::PopFlags,
        (_, Code::Leaveq) => Op::Leave,
        _ => return None,
    })
}

fn control(o: Operands) -> Option<Op> {
    if o.insn.is_jcc_short_or_near() {
        return Some(Op::JumpIf { cond: condition(o)?, target: o.target()? });
    }
    // Far branches have other operands.
    let indirect = || o.size(0).filter(|size| *size == Size::B8).and_then(|_| o.place(0));
    let counts = |size, zero| Some(Op::Loop { size, zero, target: o.target()? });
    match (o.mnemonic(), o.insn.code()) {
        (M::Jmp, _) => {
            o.target().map(|target| Op::Jump { target }).or_else(|| Some(Op::JumpTo { target: indirect()? }))
        }
        (M::Call, _) => {
            o.target().map(|target| Op::Call { target }).or_else(|| Some(Op::CallTo { target: indirect()? }))
        }
        (_, Code::Retnq) => Some(Op::Return { drop: 0 }),
        (_, Code::Retnq_imm16) => Some(Op::Return { drop: o.insn.immediate16() }),
        (_, Code::Jrcxz_rel8_64) => Some(Op::JumpIfCountZero { size: Size::B8, target: o.target()? }),
        (_, Code::Jecxz_rel8_64) => Some(Op::JumpIfCountZero { size: Size::B4, target: o.target()? }),
        (_, Code::Loop_rel8_64_RCX) => counts(Size::B8, None),
        (_, Code::Loop_rel8_64_ECX) => counts(Size::B4, None),
        (_, Code::Loope_rel8_64_RCX) => counts(Size::B8, Some(true)),
        (_, Code::Loope_rel8_64_ECX) => counts(Size::B4, Some(true)),
        (_, Code::Loopne_rel8_64_RCX) => counts(Size::B8, Some(false)),
        (_, Code::Loopne_rel8_64_ECX) => counts(Size::B4, Some(false)),
        _ => None,
    }
}

/// String instructions with 64-bit addresses.
fn string(o: Operands) -> Option<Op> {
    let (op, size) = match o.insn.code() {
        Code::Movsb_m8_m8 => (StringOp::Movs, Size::B1),
        Code::Movsw_m16_m16 => (StringOp::Movs, Size::B2),
        Code::Movsd_m32_m32 => (StringOp::Movs, Size::B4),
        Code::Movsq_m64_m64 => (StringOp::Movs, Size::B8),
        Code::Stosb_m8_AL => (StringOp::Stos, Size::B1),
        Code::Stosw_m16_AX => (StringOp::Stos, Size::B2),
        Code::Stosd_m32_EAX => (StringOp::Stos, Size::B4),
        Code::Stosq_m64_RAX => (StringOp::Stos, Size::B8),
        Code::Lodsb_AL_m8 => (StringOp::Lods, Size::B1),
        Code::Lodsw_AX_m16 => (StringOp::Lods, Size::B2),
        Code::Lodsd_EAX_m32 => (StringOp::Lods, Size::B4),
        Code::Lodsq_RAX_m64 => (StringOp::Lods, Size::B8),
        Code::Cmpsb_m8_m8 => (StringOp::Cmps, Size::B1),
        Code::Cmpsw_m16_m16 => (StringOp::Cmps, Size::B2),
        Code::Cmpsd_m32_m32 => (StringOp::Cmps, Size::B4),
        Code::Cmpsq_m64_m64 => (StringOp::Cmps, Size::B8),
        Code::Scasb_AL_m8 => (StringOp::Scas, Size::B1),
        Code::Scasw_AX_m16 => (StringOp::Scas, Size::B2),
        Code::Scasd_EAX_m32 => (StringOp::Scas, Size::B4),
        Code::Scasq_RAX_m64 => (StringOp::Scas, Size::B8),
        _ => return None,
    };
    let wide = |kind| matches!(kind, OpKind::MemorySegRSI | OpKind::MemoryESRDI | OpKind::Register);
    if o.has_segment() || !wide(o.insn.op0_kind()) || !wide(o.insn.op1_kind()) {
        return None;
    }
    let compares = matches!(op, StringOp::Cmps | StringOp::Scas);
    let repeat = match (o.insn.has_rep_prefix(), o.insn.has_repne_prefix()) {
        (false, false) => Repeat::No,
        (true, _) if compares => Repeat::WhileEqual,
        (true, _) => Repeat::Count,
        (false, true) if compares => Repeat::WhileDifferent,
        // The manual does not say what REPNE does here.
        (false, true) => return None,
    };
    Some(Op::String { op, size, repeat })
}
