// SPDX-License-Identifier: GPL-2.0-or-later
//! Instructions as 8-byte slots and back, with nothing accepted that encoding would not produce.

use std::fmt;
use std::ops::Deref;

use super::insn::{AluOp, AtomicOp, CallTarget, Cond, EndKind, Insn, Operand, Size, Width};
use super::register::Reg;

/// Instruction classes, bits 2:0 of the opcode (RFC 9669 section 3).
mod class {
    pub const LD: u8 = 0;
    pub const LDX: u8 = 1;
    pub const ST: u8 = 2;
    pub const STX: u8 = 3;
    pub const ALU: u8 = 4;
    pub const JMP: u8 = 5;
    pub const JMP32: u8 = 6;
    pub const ALU64: u8 = 7;
}

/// Bit 3 of an ALU or jump opcode: the source is a register (RFC 9669 section 4).
const X: u8 = 0x08;

/// Modes of loads and stores, bits 7:5 of the opcode (RFC 9669 section 5).
mod mode {
    pub const IMM: u8 = 0x00;
    pub const ABS: u8 = 0x20;
    pub const IND: u8 = 0x40;
    pub const MEM: u8 = 0x60;
    pub const MEMSX: u8 = 0x80;
    pub const ATOMIC: u8 = 0xc0;
}

/// Operation codes of the ALU classes beyond those of [`AluOp`] (RFC 9669 section 4.1).
mod alu {
    pub const NEG: u8 = 0x80;
    pub const END: u8 = 0xd0;
}

/// Operation codes of the jump classes beyond those of [`Cond`] (RFC 9669 section 4.3; `JCOND` is Linux's).
mod jump {
    pub const JA: u8 = 0x00;
    pub const CALL: u8 = 0x80;
    pub const EXIT: u8 = 0x90;
    pub const JCOND: u8 = 0xe0;
}

/// Values of a call's source register (RFC 9669 section 4.3.1; 4 marks a Kop).
mod call {
    pub const HELPER: u8 = 0;
    pub const LOCAL: u8 = 1;
    pub const KFUNC: u8 = 2;
    pub const KOP: u8 = 4;
}

/// The source register of a 64-bit move of an immediate that marks it as a sidecar.
const SIDECAR: u8 = 3;

const ALU64_MOV_K: u8 = class::ALU64 | 0xb0;
const LDDW: u8 = class::LD | mode::IMM | 0x18;
const CALL_K: u8 = class::JMP | jump::CALL;
const CALL_X: u8 = class::JMP | jump::CALL | X;

/// The fields of one slot (RFC 9669 section 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot {
    code: u8,
    dst: u8,
    src: u8,
    off: i16,
    imm: i32,
}

impl Slot {
    const fn pack(self) -> u64 {
        self.code as u64
            | ((self.dst & 15) as u64) << 8
            | ((self.src & 15) as u64) << 12
            | (self.off as u16 as u64) << 16
            | (self.imm as u32 as u64) << 32
    }

    const fn unpack(word: u64) -> Self {
        Slot {
            code: word as u8,
            dst: (word >> 8) as u8 & 15,
            src: (word >> 12) as u8 & 15,
            off: (word >> 16) as i16,
            imm: (word >> 32) as i32,
        }
    }

    fn field(self, field: Field) -> i64 {
        match field {
            Field::Dst => self.dst.into(),
            Field::Src => self.src.into(),
            Field::Off => self.off.into(),
            Field::Imm => self.imm.into(),
        }
    }
}

/// An encoded instruction: one or two slots, each as the number that its eight little-endian bytes make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Encoded {
    slots: [u64; 2],
    len: usize,
}

impl Encoded {
    const fn one(slot: Slot) -> Self {
        Encoded { slots: [slot.pack(), 0], len: 1 }
    }
}

impl Deref for Encoded {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        &self.slots[..self.len]
    }
}

const fn size_code(size: Size) -> u8 {
    match size {
        Size::B4 => 0x00,
        Size::B2 => 0x08,
        Size::B1 => 0x10,
        Size::B8 => 0x18,
    }
}

const fn size_of_code(code: u8) -> Size {
    match code & 0x18 {
        0x00 => Size::B4,
        0x08 => Size::B2,
        0x10 => Size::B1,
        _ => Size::B8,
    }
}

/// The operation's code and the value of its offset field.
const fn alu_code(op: AluOp) -> (u8, i16) {
    match op {
        AluOp::Add => (0x00, 0),
        AluOp::Sub => (0x10, 0),
        AluOp::Mul => (0x20, 0),
        AluOp::Div => (0x30, 0),
        AluOp::SDiv => (0x30, 1),
        AluOp::Or => (0x40, 0),
        AluOp::And => (0x50, 0),
        AluOp::Lsh => (0x60, 0),
        AluOp::Rsh => (0x70, 0),
        AluOp::Mod => (0x90, 0),
        AluOp::SMod => (0x90, 1),
        AluOp::Xor => (0xa0, 0),
        AluOp::Mov => (0xb0, 0),
        AluOp::MovSx8 => (0xb0, 8),
        AluOp::MovSx16 => (0xb0, 16),
        AluOp::MovSx32 => (0xb0, 32),
        AluOp::Arsh => (0xc0, 0),
    }
}

const fn cond_code(cond: Cond) -> u8 {
    match cond {
        Cond::Eq => 0x10,
        Cond::Gt => 0x20,
        Cond::Ge => 0x30,
        Cond::Set => 0x40,
        Cond::Ne => 0x50,
        Cond::SGt => 0x60,
        Cond::SGe => 0x70,
        Cond::Lt => 0xa0,
        Cond::Le => 0xb0,
        Cond::SLt => 0xc0,
        Cond::SLe => 0xd0,
    }
}

const fn atomic_code(op: AtomicOp) -> i32 {
    match op {
        AtomicOp::Add => 0x00,
        AtomicOp::FetchAdd => 0x01,
        AtomicOp::Or => 0x40,
        AtomicOp::FetchOr => 0x41,
        AtomicOp::And => 0x50,
        AtomicOp::FetchAnd => 0x51,
        AtomicOp::Xor => 0xa0,
        AtomicOp::FetchXor => 0xa1,
        AtomicOp::Xchg => 0xe1,
        AtomicOp::CmpXchg => 0xf1,
        AtomicOp::LoadAcquire => 0x100,
        AtomicOp::StoreRelease => 0x110,
    }
}

const fn alu_class(width: Width) -> u8 {
    match width {
        Width::W32 => class::ALU,
        Width::W64 => class::ALU64,
    }
}

const fn jump_class(width: Width) -> u8 {
    match width {
        Width::W32 => class::JMP32,
        Width::W64 => class::JMP,
    }
}

impl Slot {
    const fn of(code: u8) -> Self {
        Slot { code, dst: 0, src: 0, off: 0, imm: 0 }
    }

    const fn dst(self, dst: Reg) -> Self {
        Slot { dst: dst as u8, ..self }
    }

    const fn src(self, src: Reg) -> Self {
        Slot { src: src as u8, ..self }
    }

    const fn off(self, off: i16) -> Self {
        Slot { off, ..self }
    }

    const fn imm(self, imm: i32) -> Self {
        Slot { imm, ..self }
    }

    /// With the operand of an ALU operation or jump, whose opcode says which kind it is.
    const fn operand(self, operand: Operand) -> Self {
        match operand {
            Operand::Reg(src) => Slot { code: self.code | X, ..self.src(src) },
            Operand::Imm(imm) => self.imm(imm),
        }
    }
}

impl Insn {
    /// The instruction's one or two slots (RFC 9669 section 3; the sidecar and the call of a Kop site as Kops define
    /// them).
    ///
    /// A value that is not [well formed](Insn::is_well_formed) yields slots that mean something else or nothing; bits
    /// of a field beyond its width are dropped. Never panics.
    pub const fn encode(&self) -> Encoded {
        Encoded::one(match *self {
            Insn::LoadImm64 { dst, kind, imm } => {
                let first = Slot { src: kind, ..Slot::of(LDDW).dst(dst).imm(imm as i32) };
                let second = Slot::of(0).imm((imm >> 32) as i32);
                return Encoded { slots: [first.pack(), second.pack()], len: 2 };
            }
            Insn::Alu { op, width, dst, src } => {
                let (code, off) = alu_code(op);
                Slot::of(alu_class(width) | code).dst(dst).off(off).operand(src)
            }
            Insn::Neg { width, dst } => Slot::of(alu_class(width) | alu::NEG).dst(dst),
            Insn::End { kind, bits, dst } => {
                let code = match kind {
                    EndKind::ToLe => class::ALU | alu::END,
                    EndKind::ToBe => class::ALU | alu::END | X,
                    EndKind::Swap => class::ALU64 | alu::END,
                };
                Slot::of(code).dst(dst).imm(bits as i32)
            }
            Insn::Load { size, signed, dst, base, off } => {
                let mode = if signed { mode::MEMSX } else { mode::MEM };
                Slot::of(class::LDX | mode | size_code(size)).dst(dst).src(base).off(off)
            }
            Insn::Store { size, base, off, src } => {
                let slot = Slot::of(mode::MEM | size_code(size)).dst(base).off(off);
                match src {
                    Operand::Reg(src) => Slot { code: slot.code | class::STX, ..slot.src(src) },
                    Operand::Imm(imm) => Slot { code: slot.code | class::ST, ..slot.imm(imm) },
                }
            }
            Insn::Atomic { op, size, base, off, src } => {
                let slot =
                    Slot::of(class::STX | mode::ATOMIC | size_code(size)).off(off).imm(atomic_code(op));
                match op {
                    AtomicOp::LoadAcquire => slot.dst(src).src(base),
                    _ => slot.dst(base).src(src),
                }
            }
            Insn::LoadAbs { size, imm } => Slot::of(class::LD | mode::ABS | size_code(size)).imm(imm),
            Insn::LoadInd { size, src, imm } => {
                Slot::of(class::LD | mode::IND | size_code(size)).src(src).imm(imm)
            }
            Insn::Jump { cond, width, dst, src, off } => {
                Slot::of(jump_class(width) | cond_code(cond)).dst(dst).off(off).operand(src)
            }
            Insn::Ja { off } => Slot::of(class::JMP | jump::JA).off(off),
            Insn::Gotol { off } => Slot::of(class::JMP32 | jump::JA).imm(off),
            Insn::MayGoto { off } => Slot::of(class::JMP | jump::JCOND).off(off),
            Insn::Call { target } => encode_call(target),
            Insn::Sidecar { payload } => Slot {
                code: ALU64_MOV_K,
                dst: payload as u8 & 15,
                src: SIDECAR,
                off: (payload >> 4) as i16,
                imm: (payload >> 20) as i32,
            },
            Insn::Exit => Slot::of(class::JMP | jump::EXIT),
        })
    }
}

const fn encode_call(target: CallTarget) -> Slot {
    match target {
        CallTarget::Register(register) => Slot::of(CALL_X).dst(register),
        CallTarget::Helper(id) => Slot { src: call::HELPER, ..Slot::of(CALL_K).imm(id) },
        CallTarget::Local(offset) => Slot { src: call::LOCAL, ..Slot::of(CALL_K).imm(offset) },
        CallTarget::Kfunc { id, off } => Slot { src: call::KFUNC, ..Slot::of(CALL_K).imm(id).off(off) },
        CallTarget::Kop { id, slot } => Slot { src: call::KOP, ..Slot::of(CALL_K).imm(id).off(slot) },
    }
}

/// The bytes of `program`, eight per slot, in little-endian order.
pub fn encode_program(program: &[Insn]) -> Vec<u8> {
    program.iter().flat_map(|insn| insn.encode().to_vec()).flat_map(u64::to_le_bytes).collect()
}

/// A field of an instruction slot other than the opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// Destination register, 4 bits.
    Dst,
    /// Source register, 4 bits.
    Src,
    /// Offset, 16 bits.
    Off,
    /// Immediate, 32 bits.
    Imm,
}

impl Field {
    const ALL: [Field; 4] = [Field::Dst, Field::Src, Field::Off, Field::Imm];
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Dst => "dst",
            Field::Src => "src",
            Field::Off => "off",
            Field::Imm => "imm",
        })
    }
}

/// Slots that are no instruction, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("slot {slot}: {reason}")]
pub struct DecodeError {
    /// Index of the slot, from 0.
    pub slot: usize,
    /// What is wrong with it.
    pub reason: DecodeReason,
}

/// Why a slot is no instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DecodeReason {
    /// No instruction has this opcode.
    #[error("unknown opcode {0:#04x}")]
    Opcode(u8),
    /// A register field holds 11 to 15.
    #[error("no register {number} in field {field}")]
    Register {
        /// Which field.
        field: Field,
        /// Its value.
        number: u8,
    },
    /// A field that selects a variant of the opcode has a value that stands for none.
    #[error("opcode {code:#04x} has no variant {value} in field {field}")]
    Variant {
        /// The opcode.
        code: u8,
        /// Which field.
        field: Field,
        /// Its value.
        value: i64,
    },
    /// A field that the instruction does not use is not zero.
    #[error("reserved field {field} is {value} instead of 0")]
    Reserved {
        /// Which field.
        field: Field,
        /// Its value.
        value: i64,
    },
    /// The slot after the first one of a 64-bit immediate has an opcode.
    #[error("opcode {0:#04x} in the second slot of a 64-bit immediate")]
    SecondSlot(u8),
    /// The second slot of a 64-bit immediate is missing.
    #[error("64-bit immediate without its second slot")]
    Truncated,
    /// There is no slot to decode.
    #[error("no instruction")]
    Empty,
    /// The program ends inside this slot.
    #[error("{0} bytes left, a slot has 8")]
    PartialSlot(usize),
}

impl DecodeReason {
    const fn at(self, slot: usize) -> DecodeError {
        DecodeError { slot, reason: self }
    }
}

/// The instruction at the start of `slots`, and how many slots it takes.
///
/// Strict: what it accepts is exactly what [`Insn::encode`] yields for well-formed values. Whether a program may hold
/// the instruction, such as a write of r10, is not checked here.
///
/// # Errors
/// [`DecodeError`] with a slot index of 0 or 1 for an unknown opcode or variant, a register above 10, a reserved field
/// that is not zero, and a missing slot.
pub fn decode(slots: &[u64]) -> Result<(Insn, usize), DecodeError> {
    let word = *slots.first().ok_or(DecodeReason::Empty.at(0))?;
    let slot = Slot::unpack(word);
    let insn = if slot.code == LDDW {
        decode_load_imm64(slot, slots.get(1).copied())?
    } else {
        decode_slot(slot).map_err(|reason| reason.at(0))?
    };
    // What decoding looked at comes back in the encoding, so a difference is in a field that it ignored.
    for (i, (&accepted, &given)) in insn.encode().iter().zip(slots).enumerate() {
        check_reserved(Slot::unpack(accepted), Slot::unpack(given)).map_err(|reason| reason.at(i))?;
    }
    Ok((insn, insn.slots()))
}

/// Every instruction of a program of little-endian slots.
///
/// # Errors
/// The first [`DecodeError`], with the index of its slot in the program.
pub fn decode_program(bytes: &[u8]) -> Result<Vec<Insn>, DecodeError> {
    let (words, rest) = bytes.as_chunks::<8>();
    let slots: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let mut program = Vec::with_capacity(slots.len());
    let mut at = 0;
    while at < slots.len() {
        let (insn, len) =
            decode(&slots[at..]).map_err(|error| DecodeError { slot: at + error.slot, ..error })?;
        program.push(insn);
        at += len;
    }
    if rest.is_empty() { Ok(program) } else { Err(DecodeReason::PartialSlot(rest.len()).at(at)) }
}

fn check_reserved(accepted: Slot, given: Slot) -> Result<(), DecodeReason> {
    match Field::ALL.into_iter().find(|&field| accepted.field(field) != given.field(field)) {
        None => Ok(()),
        Some(field) => Err(DecodeReason::Reserved { field, value: given.field(field) }),
    }
}

fn decode_load_imm64(first: Slot, second: Option<u64>) -> Result<Insn, DecodeError> {
    let dst = register(Field::Dst, first.dst).map_err(|reason| reason.at(0))?;
    if first.src > 6 {
        return Err(variant(first, Field::Src).at(0));
    }
    let second = Slot::unpack(second.ok_or(DecodeReason::Truncated.at(0))?);
    if second.code != 0 {
        return Err(DecodeReason::SecondSlot(second.code).at(1));
    }
    let imm = u64::from(second.imm as u32) << 32 | u64::from(first.imm as u32);
    Ok(Insn::LoadImm64 { dst, kind: first.src, imm })
}

fn decode_slot(slot: Slot) -> Result<Insn, DecodeReason> {
    match slot.code & 7 {
        class::ALU => decode_alu(slot, Width::W32),
        class::ALU64 => decode_alu(slot, Width::W64),
        class::JMP => decode_jump(slot, Width::W64),
        class::JMP32 => decode_jump(slot, Width::W32),
        class::LD => decode_packet_load(slot),
        class::LDX => decode_load(slot),
        class::ST => decode_store(slot),
        _ => match slot.code & 0xe0 {
            mode::ATOMIC => decode_atomic(slot),
            _ => decode_store(slot),
        },
    }
}

const fn register(field: Field, number: u8) -> Result<Reg, DecodeReason> {
    match Reg::new(number) {
        Some(register) => Ok(register),
        None => Err(DecodeReason::Register { field, number }),
    }
}

const fn dst(slot: Slot) -> Result<Reg, DecodeReason> {
    register(Field::Dst, slot.dst)
}

const fn src(slot: Slot) -> Result<Reg, DecodeReason> {
    register(Field::Src, slot.src)
}

fn operand(slot: Slot) -> Result<Operand, DecodeReason> {
    if slot.code & X == 0 { Ok(Operand::Imm(slot.imm)) } else { src(slot).map(Operand::Reg) }
}

fn variant(slot: Slot, field: Field) -> DecodeReason {
    DecodeReason::Variant { code: slot.code, field, value: slot.field(field) }
}

fn decode_alu(slot: Slot, width: Width) -> Result<Insn, DecodeReason> {
    let code = slot.code & 0xf0;
    if code == alu::NEG && slot.code & X == 0 {
        return Ok(Insn::Neg { width, dst: dst(slot)? });
    }
    if code == alu::END {
        return decode_end(slot, width);
    }
    if slot.code == ALU64_MOV_K && slot.src == SIDECAR {
        let payload =
            u64::from(slot.dst) | u64::from(slot.off as u16) << 4 | u64::from(slot.imm as u32) << 20;
        return Ok(Insn::Sidecar { payload });
    }
    let mut known = AluOp::ALL.into_iter().filter(|op| alu_code(*op).0 == code).peekable();
    known.peek().ok_or(DecodeReason::Opcode(slot.code))?;
    let op = known.find(|op| alu_code(*op).1 == slot.off).ok_or(variant(slot, Field::Off))?;
    let insn = Insn::Alu { op, width, dst: dst(slot)?, src: operand(slot)? };
    if insn.is_well_formed() { Ok(insn) } else { Err(variant(slot, Field::Off)) }
}

fn decode_end(slot: Slot, width: Width) -> Result<Insn, DecodeReason> {
    let kind = match (width, slot.code & X) {
        (Width::W32, 0) => EndKind::ToLe,
        (Width::W32, _) => EndKind::ToBe,
        (Width::W64, 0) => EndKind::Swap,
        (Width::W64, _) => return Err(DecodeReason::Opcode(slot.code)),
    };
    let bits = match slot.imm {
        16 => 16,
        32 => 32,
        64 => 64,
        _ => return Err(variant(slot, Field::Imm)),
    };
    Ok(Insn::End { kind, bits, dst: dst(slot)? })
}

fn decode_jump(slot: Slot, width: Width) -> Result<Insn, DecodeReason> {
    const JA: u8 = class::JMP | jump::JA;
    const GOTOL: u8 = class::JMP32 | jump::JA;
    const MAY_GOTO: u8 = class::JMP | jump::JCOND;
    const EXIT: u8 = class::JMP | jump::EXIT;
    match slot.code {
        JA => return Ok(Insn::Ja { off: slot.off }),
        GOTOL => return Ok(Insn::Gotol { off: slot.imm }),
        MAY_GOTO => return Ok(Insn::MayGoto { off: slot.off }),
        EXIT => return Ok(Insn::Exit),
        CALL_K | CALL_X => return decode_call(slot),
        _ => {}
    }
    let cond = Cond::ALL.into_iter().find(|cond| cond_code(*cond) == slot.code & 0xf0);
    let cond = cond.ok_or(DecodeReason::Opcode(slot.code))?;
    Ok(Insn::Jump { cond, width, dst: dst(slot)?, src: operand(slot)?, off: slot.off })
}

fn decode_call(slot: Slot) -> Result<Insn, DecodeReason> {
    let target = match slot.src {
        _ if slot.code == CALL_X => CallTarget::Register(dst(slot)?),
        call::HELPER => CallTarget::Helper(slot.imm),
        call::LOCAL => CallTarget::Local(slot.imm),
        call::KFUNC => CallTarget::Kfunc { id: slot.imm, off: slot.off },
        call::KOP => CallTarget::Kop { id: slot.imm, slot: slot.off },
        _ => return Err(variant(slot, Field::Src)),
    };
    Ok(Insn::Call { target })
}

fn decode_packet_load(slot: Slot) -> Result<Insn, DecodeReason> {
    let size = size_of_code(slot.code);
    match slot.code & 0xe0 {
        _ if size == Size::B8 => Err(DecodeReason::Opcode(slot.code)),
        mode::ABS => Ok(Insn::LoadAbs { size, imm: slot.imm }),
        mode::IND => Ok(Insn::LoadInd { size, src: src(slot)?, imm: slot.imm }),
        _ => Err(DecodeReason::Opcode(slot.code)),
    }
}

fn decode_load(slot: Slot) -> Result<Insn, DecodeReason> {
    let size = size_of_code(slot.code);
    let signed = match slot.code & 0xe0 {
        mode::MEM => false,
        mode::MEMSX if size != Size::B8 => true,
        _ => return Err(DecodeReason::Opcode(slot.code)),
    };
    Ok(Insn::Load { size, signed, dst: dst(slot)?, base: src(slot)?, off: slot.off })
}

fn decode_store(slot: Slot) -> Result<Insn, DecodeReason> {
    if slot.code & 0xe0 != mode::MEM {
        return Err(DecodeReason::Opcode(slot.code));
    }
    let value = if slot.code & 7 == class::ST { Operand::Imm(slot.imm) } else { Operand::Reg(src(slot)?) };
    Ok(Insn::Store { size: size_of_code(slot.code), base: dst(slot)?, off: slot.off, src: value })
}

fn decode_atomic(slot: Slot) -> Result<Insn, DecodeReason> {
    let size = size_of_code(slot.code);
    let op = AtomicOp::ALL.into_iter().find(|op| atomic_code(*op) == slot.imm);
    let op = op.ok_or(variant(slot, Field::Imm))?;
    let (base, src) = match op {
        AtomicOp::LoadAcquire => (src(slot)?, dst(slot)?),
        _ => (dst(slot)?, src(slot)?),
    };
    let insn = Insn::Atomic { op, size, base, off: slot.off, src };
    if insn.is_well_formed() { Ok(insn) } else { Err(variant(slot, Field::Imm)) }
}

#[cfg(test)]
mod tests {
    use super::super::forms;
    use super::*;
    use crate::choices::{Choices, Seeded};

    const R: [Reg; 11] = Reg::ALL;

    /// Opcode, dst, src, off and imm of a slot.
    type Fields = (u8, u8, u8, i16, i32);

    /// Every opcode and variant once, from the tables of RFC 9669 (sections 4 and 5) and `linux/bpf.h`: the
    /// fields of the first slot.
    fn table() -> Vec<(Insn, Fields)> {
        let mut table = Vec::new();
        let alu = [
            (AluOp::Add, 0x04, 0),
            (AluOp::Sub, 0x14, 0),
            (AluOp::Mul, 0x24, 0),
            (AluOp::Div, 0x34, 0),
            (AluOp::SDiv, 0x34, 1),
            (AluOp::Or, 0x44, 0),
            (AluOp::And, 0x54, 0),
            (AluOp::Lsh, 0x64, 0),
            (AluOp::Rsh, 0x74, 0),
            (AluOp::Mod, 0x94, 0),
            (AluOp::SMod, 0x94, 1),
            (AluOp::Xor, 0xa4, 0),
            (AluOp::Mov, 0xb4, 0),
            (AluOp::Arsh, 0xc4, 0),
        ];
        for (op, code, off) in alu {
            table.push((Insn::alu32(op, R[3], -5), (code, 3, 0, off, -5)));
            table.push((Insn::alu32(op, R[3], R[9]), (code + 8, 3, 9, off, 0)));
            table.push((Insn::alu64(op, R[3], -5), (code + 3, 3, 0, off, -5)));
            table.push((Insn::alu64(op, R[3], R[9]), (code + 11, 3, 9, off, 0)));
        }
        let jumps = [
            (Cond::Eq, 0x15),
            (Cond::Gt, 0x25),
            (Cond::Ge, 0x35),
            (Cond::Set, 0x45),
            (Cond::Ne, 0x55),
            (Cond::SGt, 0x65),
            (Cond::SGe, 0x75),
            (Cond::Lt, 0xa5),
            (Cond::Le, 0xb5),
            (Cond::SLt, 0xc5),
            (Cond::SLe, 0xd5),
        ];
        for (cond, code) in jumps {
            table.push((Insn::jump(cond, R[3], -5, -2), (code, 3, 0, -2, -5)));
            table.push((Insn::jump(cond, R[3], R[9], -2), (code + 8, 3, 9, -2, 0)));
            table.push((Insn::jump32(cond, R[3], -5, -2), (code + 1, 3, 0, -2, -5)));
            table.push((Insn::jump32(cond, R[3], R[9], -2), (code + 9, 3, 9, -2, 0)));
        }
        for (size, bits) in [(Size::B4, 0x00), (Size::B2, 0x08), (Size::B1, 0x10), (Size::B8, 0x18)] {
            table.push((Insn::load(size, R[3], R[9], -2), (0x61 + bits, 3, 9, -2, 0)));
            table.push((Insn::store(size, R[3], -2, -5), (0x62 + bits, 3, 0, -2, -5)));
            table.push((Insn::store(size, R[3], -2, R[9]), (0x63 + bits, 3, 9, -2, 0)));
            let acquire = Insn::atomic(AtomicOp::LoadAcquire, size, R[3], -2, R[9]);
            table.push((acquire, (0xc3 + bits, 9, 3, -2, 0x100)));
            let release = Insn::atomic(AtomicOp::StoreRelease, size, R[3], -2, R[9]);
            table.push((release, (0xc3 + bits, 3, 9, -2, 0x110)));
            if size != Size::B8 {
                table.push((Insn::load_sx(size, R[3], R[9], -2), (0x81 + bits, 3, 9, -2, 0)));
                table.push((Insn::LoadAbs { size, imm: -5 }, (0x20 + bits, 0, 0, 0, -5)));
                table.push((Insn::LoadInd { size, src: R[9], imm: -5 }, (0x40 + bits, 0, 9, 0, -5)));
            }
        }
        let atomics = [
            (AtomicOp::Add, 0x00),
            (AtomicOp::FetchAdd, 0x01),
            (AtomicOp::Or, 0x40),
            (AtomicOp::FetchOr, 0x41),
            (AtomicOp::And, 0x50),
            (AtomicOp::FetchAnd, 0x51),
            (AtomicOp::Xor, 0xa0),
            (AtomicOp::FetchXor, 0xa1),
            (AtomicOp::Xchg, 0xe1),
            (AtomicOp::CmpXchg, 0xf1),
        ];
        for (op, imm) in atomics {
            table.push((Insn::atomic(op, Size::B4, R[3], -2, R[9]), (0xc3, 3, 9, -2, imm)));
            table.push((Insn::atomic(op, Size::B8, R[3], -2, R[9]), (0xdb, 3, 9, -2, imm)));
        }
        for bits in [16, 32, 64] {
            table.push((Insn::to_le(R[3], bits), (0xd4, 3, 0, 0, bits.into())));
            table.push((Insn::to_be(R[3], bits), (0xdc, 3, 0, 0, bits.into())));
            table.push((Insn::bswap(R[3], bits), (0xd7, 3, 0, 0, bits.into())));
        }
        for kind in 0..=6 {
            let insn = Insn::LoadImm64 { dst: R[3], kind, imm: 0x1122_3344_5566_7788 };
            table.push((insn, (0x18, 3, kind, 0, 0x5566_7788)));
        }
        let call = |target| Insn::Call { target };
        table.extend([
            (Insn::neg32(R[3]), (0x84, 3, 0, 0, 0)),
            (Insn::neg64(R[3]), (0x87, 3, 0, 0, 0)),
            (Insn::alu32(AluOp::MovSx8, R[3], R[9]), (0xbc, 3, 9, 8, 0)),
            (Insn::alu32(AluOp::MovSx16, R[3], R[9]), (0xbc, 3, 9, 16, 0)),
            (Insn::alu64(AluOp::MovSx8, R[3], R[9]), (0xbf, 3, 9, 8, 0)),
            (Insn::alu64(AluOp::MovSx16, R[3], R[9]), (0xbf, 3, 9, 16, 0)),
            (Insn::alu64(AluOp::MovSx32, R[3], R[9]), (0xbf, 3, 9, 32, 0)),
            (Insn::ja(-2), (0x05, 0, 0, -2, 0)),
            (Insn::Gotol { off: -100_000 }, (0x06, 0, 0, 0, -100_000)),
            (Insn::MayGoto { off: -2 }, (0xe5, 0, 0, -2, 0)),
            (call(CallTarget::Helper(5)), (0x85, 0, 0, 0, 5)),
            (call(CallTarget::Local(-5)), (0x85, 0, 1, 0, -5)),
            (call(CallTarget::Kfunc { id: 5, off: 3 }), (0x85, 0, 2, 3, 5)),
            (call(CallTarget::Kop { id: 5, slot: 3 }), (0x85, 0, 4, 3, 5)),
            (call(CallTarget::Register(R[9])), (0x8d, 9, 0, 0, 0)),
            (Insn::Exit, (0x95, 0, 0, 0, 0)),
            // payload[3:0] in dst, payload[19:4] in off, payload[51:20] in imm.
            (Insn::Sidecar { payload: 0xf_edcb_a987_654d }, (0xb7, 13, 3, 0x7654, 0xfedc_ba98_u32 as i32)),
        ]);
        table
    }

    fn word((code, dst, src, off, imm): Fields) -> u64 {
        let [off0, off1] = off.to_le_bytes();
        let [imm0, imm1, imm2, imm3] = imm.to_le_bytes();
        u64::from_le_bytes([code, src << 4 | dst, off0, off1, imm0, imm1, imm2, imm3])
    }

    #[test]
    fn encodings_are_those_of_the_specification() {
        for (insn, fields) in table() {
            assert_eq!(insn.encode()[0], word(fields), "{insn}");
        }
    }

    #[test]
    fn the_table_has_every_form() {
        let mut covered: Vec<Insn> = table().into_iter().map(|(insn, _)| forms::form(insn)).collect();
        covered.sort_unstable();
        let mut forms = forms::forms();
        forms.sort_unstable();
        assert_eq!(covered, forms);
    }

    #[test]
    fn the_high_half_of_a_64_bit_immediate_is_in_the_second_slot() {
        let encoded = Insn::load_imm64(R[1], 0x1122_3344_5566_7788).encode();
        assert_eq!(*encoded, [0x5566_7788_0000_0118, 0x1122_3344_0000_0000]);
    }

    #[test]
    fn programs_are_little_endian_bytes() {
        let bytes = encode_program(&[Insn::mov64(R[2], -2), Insn::exit()]);
        assert_eq!(bytes, [0xb7, 2, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x95, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(decode_program(&bytes), Ok(vec![Insn::mov64(R[2], -2), Insn::exit()]));
        assert_eq!(decode_program(&[]), Ok(vec![]));
    }

    #[test]
    fn decoding_inverts_encoding() {
        for insn in forms::samples() {
            let encoded = insn.encode();
            assert_eq!(encoded.len(), insn.slots());
            assert_eq!(decode(&encoded), Ok((insn, insn.slots())));
        }
        let mut choices = Seeded::new(2);
        let program: Vec<Insn> = (0..10_000).map(|_| forms::random(&mut choices)).collect();
        assert_eq!(decode_program(&encode_program(&program)), Ok(program));
    }

    #[test]
    fn ill_formed_values_do_not_decode_to_themselves() {
        let ill_formed = [
            Insn::alu64(AluOp::MovSx8, R[0], 1),
            Insn::alu32(AluOp::MovSx32, R[0], R[1]),
            Insn::bswap(R[0], 8),
            Insn::LoadImm64 { dst: R[0], kind: 7, imm: 0 },
            Insn::LoadImm64 { dst: R[0], kind: 16, imm: 0 },
            Insn::load_sx(Size::B8, R[0], R[1], 0),
            Insn::atomic(AtomicOp::Add, Size::B2, R[0], 0, R[1]),
            Insn::LoadAbs { size: Size::B8, imm: 0 },
            Insn::Sidecar { payload: 1 << 52 },
        ];
        for insn in ill_formed {
            assert_ne!(decode(&insn.encode()).map(|(decoded, _)| decoded), Ok(insn));
        }
    }

    /// A slot near the accepted ones: a sample's with some bits changed, or a few random fields.
    fn random_slots(choices: &mut Seeded) -> [u64; 2] {
        let mut slots = [0; 2];
        if choices.one_in(2) {
            let encoded = forms::random(choices).encode();
            slots[..encoded.len()].copy_from_slice(&encoded);
            for _ in 0..choices.below(3) {
                let slot = choices.one_in(4);
                slots[usize::from(slot)] ^= 1 << choices.below(64);
            }
        } else {
            let keep = [0xff, 0xffff, 0xffff_ffff, 0xffff_ffff_0000_ffff, 0xffff_0000_ffff, u64::MAX];
            slots[0] = choices.bits() & choices.pick(&keep);
            slots[1] = choices.bits() & choices.pick(&[0, 0xffff_ffff_0000_0000, u64::MAX]);
        }
        slots
    }

    #[test]
    fn encoding_inverts_decoding_of_whatever_is_accepted() {
        let mut choices = Seeded::new(3);
        let mut accepted = 0;
        for _ in 0..200_000 {
            let slots = random_slots(&mut choices);
            if let Ok((insn, len)) = decode(&slots) {
                assert!(insn.is_well_formed(), "{insn:?}");
                assert_eq!(*insn.encode(), slots[..len]);
                accepted += 1;
            }
        }
        assert!(accepted > 20_000, "{accepted}");
    }

    #[test]
    fn every_opcode_of_the_specification_and_no_other_is_known() {
        let known: Vec<u8> = table().into_iter().map(|(_, fields)| fields.0).collect();
        for code in 0..=u8::MAX {
            let result = decode(&[word((code, 0, 0, 0, 16)), 0]);
            let unknown = DecodeError { slot: 0, reason: DecodeReason::Opcode(code) };
            assert_eq!(result != Err(unknown), known.contains(&code), "{code:#04x}");
        }
    }

    #[test]
    fn registers_above_10_are_refused() {
        for (insn, fields) in table() {
            if matches!(insn, Insn::Sidecar { .. }) {
                continue;
            }
            for (field, bad) in [
                (Field::Dst, word((fields.0, 11, fields.2, fields.3, fields.4))),
                (Field::Src, word((fields.0, fields.1, 15, fields.3, fields.4))),
            ] {
                let error = decode(&[bad, 0]).expect_err("no such register");
                let named = match error.reason {
                    DecodeReason::Register { field, .. }
                    | DecodeReason::Reserved { field, .. }
                    | DecodeReason::Variant { field, .. } => field,
                    other => panic!("{insn}: {other}"),
                };
                assert_eq!((error.slot, named), (0, field), "{insn}");
            }
        }
    }

    #[test]
    fn refusals_say_where_and_why() {
        use DecodeReason::{Empty, Opcode, Register, Reserved, SecondSlot, Truncated, Variant};
        let reserved = |field, value| Reserved { field, value };
        let table = [
            // An immediate next to a register source, and a register next to an immediate.
            ((0x0f, 1, 2, 0, 7), reserved(Field::Imm, 7)),
            ((0x07, 1, 2, 0, 7), reserved(Field::Src, 2)),
            ((0x1d, 1, 2, 0, 7), reserved(Field::Imm, 7)),
            ((0x0f, 11, 2, 0, 0), Register { field: Field::Dst, number: 11 }),
            ((0x0f, 1, 15, 0, 0), Register { field: Field::Src, number: 15 }),
            ((0x07, 1, 0, 1, 7), Variant { code: 0x07, field: Field::Off, value: 1 }),
            ((0x37, 1, 0, 2, 7), Variant { code: 0x37, field: Field::Off, value: 2 }),
            ((0xb7, 1, 0, 8, 7), Variant { code: 0xb7, field: Field::Off, value: 8 }),
            ((0xbc, 1, 2, 32, 0), Variant { code: 0xbc, field: Field::Off, value: 32 }),
            ((0xb4, 1, 3, 0, 0), reserved(Field::Src, 3)),
            ((0x87, 1, 2, 0, 0), reserved(Field::Src, 2)),
            ((0x87, 1, 0, 0, 7), reserved(Field::Imm, 7)),
            ((0x8f, 1, 0, 0, 0), Opcode(0x8f)),
            ((0xd7, 1, 0, 0, 24), Variant { code: 0xd7, field: Field::Imm, value: 24 }),
            ((0xdf, 1, 0, 0, 16), Opcode(0xdf)),
            ((0x61, 1, 2, 0, 7), reserved(Field::Imm, 7)),
            ((0x99, 1, 2, 0, 0), Opcode(0x99)),
            ((0x62, 1, 2, 0, 7), reserved(Field::Src, 2)),
            ((0xdb, 1, 2, 0, 2), Variant { code: 0xdb, field: Field::Imm, value: 2 }),
            ((0xd3, 1, 2, 0, 0), Variant { code: 0xd3, field: Field::Imm, value: 0 }),
            ((0x20, 1, 0, 0, 7), reserved(Field::Dst, 1)),
            ((0x38, 0, 0, 0, 0), Opcode(0x38)),
            ((0x05, 0, 0, 1, 7), reserved(Field::Imm, 7)),
            ((0x06, 0, 0, 1, 7), reserved(Field::Off, 1)),
            ((0xe5, 0, 1, 1, 0), reserved(Field::Src, 1)),
            ((0x85, 0, 3, 0, 7), Variant { code: 0x85, field: Field::Src, value: 3 }),
            ((0x85, 0, 0, 1, 7), reserved(Field::Off, 1)),
            ((0x85, 1, 4, 1, 7), reserved(Field::Dst, 1)),
            ((0x8d, 1, 0, 0, 7), reserved(Field::Imm, 7)),
            ((0x95, 0, 0, 0, 7), reserved(Field::Imm, 7)),
            ((0x18, 1, 7, 0, 0), Variant { code: 0x18, field: Field::Src, value: 7 }),
            ((0x18, 1, 0, 1, 0), reserved(Field::Off, 1)),
        ];
        for (fields, reason) in table {
            assert_eq!(decode(&[word(fields), 0]), Err(reason.at(0)), "{fields:x?}");
        }
        let first = word((0x18, 1, 0, 0, 7));
        assert_eq!(decode(&[]), Err(Empty.at(0)));
        assert_eq!(decode(&[first]), Err(Truncated.at(0)));
        assert_eq!(decode(&[first, word((0x95, 0, 0, 0, 0))]), Err(SecondSlot(0x95).at(1)));
        assert_eq!(decode(&[first, word((0, 0, 2, 0, 0))]), Err(reserved(Field::Src, 2).at(1)));
        assert_eq!(decode(&[first, word((0, 0, 0, 9, 0))]), Err(reserved(Field::Off, 9).at(1)));
    }

    #[test]
    fn errors_of_programs_count_slots() {
        let mut bytes = encode_program(&[Insn::load_imm64(R[0], 1), Insn::exit()]);
        bytes.extend([0xff; 8]);
        let error = decode_program(&bytes).expect_err("0xff is no opcode");
        assert_eq!(error, DecodeReason::Opcode(0xff).at(3));
        assert_eq!(error.to_string(), "slot 3: unknown opcode 0xff");
        assert_eq!(decode_program(&bytes[..13]), Err(DecodeReason::Truncated.at(0)));
        assert_eq!(decode_program(&bytes[..21]), Err(DecodeReason::PartialSlot(5).at(2)));
    }

    #[test]
    fn shift_amounts_beyond_the_width_decode() {
        let shift = Insn::alu32(AluOp::Lsh, R[1], 99);
        assert_eq!(decode(&[word((0x64, 1, 0, 0, 99))]), Ok((shift, 1)));
    }
}
