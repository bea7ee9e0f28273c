// SPDX-License-Identifier: GPL-2.0-or-later
//! The encoding of every instruction (Intel SDM volume 2, chapter 2): of the forms that exist for its operands, the
//! shortest, and where lengths are equal the one that GNU as picks.

use super::insn::{
    AluOp, Amount, Base, BmiRmvOp, BmiRvmOp, BmiVmOp, CountOp, DoubleShiftOp, Index, Insn, LockedOp, Mem,
    Nullary, Operand, PrefetchOp, Rel, Rm, Scale, ShiftOp, SseImmOp, SseOp, SseShiftOp, StringOp, UnaryOp,
    XmmRm,
};
use super::register::{Gpr, Size, Xmm};

/// The longest instruction there is, in bytes.
pub const MAX_INSN_BYTES: usize = 15;

/// The bytes of one instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Encoding {
    bytes: [u8; MAX_INSN_BYTES],
    len: u8,
}

impl std::ops::Deref for Encoding {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The bytes of one instruction in two words, the first byte lowest: everything up to the SIB byte, of which there are at
/// most eight, and displacement and immediate behind it. A compiler of whole programs spends its time here.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Packed {
    head: u64,
    tail: u64,
    head_len: u32,
    tail_len: u32,
}

impl Packed {
    /// Adds a byte up to the SIB byte.
    #[inline(always)]
    fn put(&mut self, byte: u8) {
        self.head |= u64::from(byte).wrapping_shl(8 * self.head_len);
        self.head_len += 1;
    }

    /// Adds the low `len` bytes of `value`, whose other bytes are zero, behind all others.
    #[inline(always)]
    fn put_behind(&mut self, value: u64, len: u32) {
        self.tail |= value.wrapping_shl(8 * self.tail_len);
        self.tail_len += len;
    }

    /// How many bytes there are, 1 to [`MAX_INSN_BYTES`].
    #[inline(always)]
    pub fn len(&self) -> usize {
        (self.head_len + self.tail_len) as usize
    }

    /// Stores the bytes at the start of `out`; what is behind them there is lost.
    #[inline(always)]
    pub fn store(&self, out: &mut [u8; 16]) {
        out[..8].copy_from_slice(&self.head.to_le_bytes());
        let at = self.head_len as usize;
        out[at..at + 8].copy_from_slice(&self.tail.to_le_bytes());
    }
}

impl From<Packed> for Encoding {
    fn from(packed: Packed) -> Self {
        let mut out = [0; 16];
        packed.store(&mut out);
        let len = packed.len();
        let mut bytes = [0; MAX_INSN_BYTES];
        bytes[..len].copy_from_slice(&out[..len]);
        Encoding { bytes, len: len as u8 }
    }
}

/// Why an instruction has no encoding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// An immediate, amount, lane or displacement is out of range.
    #[error("{what} {value} is not in {min}..={max}")]
    Range {
        /// What it is.
        what: &'static str,
        /// Its value.
        value: i64,
        /// The smallest that fits.
        min: i64,
        /// The largest that fits.
        max: i64,
    },
    /// The instruction does not exist in this operand size.
    #[error("no form of {bytes} bytes (there are forms of {allowed})")]
    OperandSize {
        /// The size asked for.
        bytes: u32,
        /// The sizes that exist.
        allowed: &'static str,
    },
    /// The combination of operands does not exist.
    #[error("{0}")]
    Operands(&'static str),
}

impl Insn {
    /// The instruction's bytes.
    ///
    /// # Errors
    /// When the operand size does not exist, when an immediate, amount or displacement is out of range, and when the
    /// operands do not go together.
    pub fn encode(&self) -> Result<Encoding, EncodeError> {
        self.pack().map(Encoding::from)
    }

    /// As [`Insn::encode`].
    pub(super) fn pack(&self) -> Result<Packed, EncodeError> {
        match *self {
            Insn::Mov { size, dst, src } => mov(size, dst, src),
            Insn::Movabs { dst, imm } => Ok(movabs(dst, imm)),
            Insn::Movzx { size, dst, src_size, src } => movzx(size, dst, src_size, src),
            Insn::Movsx { size, dst, src_size, src } => movsx(size, dst, src_size, src),
            Insn::Lea { size, dst, mem } => lea(size, dst, mem),
            Insn::Alu { op, size, dst, src } => alu(op, size, dst, src),
            Insn::Test { size, dst, src } => test(size, dst, src),
            Insn::Unary { op, size, dst } => unary(op, size, dst),
            Insn::Imul { size, dst, src } => imul(size, dst, src),
            Insn::ImulImm { size, dst, src, imm } => imul_imm(size, dst, src, imm),
            Insn::Shift { op, size, dst, amount } => shift(op, size, dst, amount),
            Insn::DoubleShift { op, size, dst, src, amount } => double_shift(op, size, dst, src, amount),
            Insn::BmiRmv { op, size, dst, src, control } => {
                Vex::bmi_rmv(op).modrm(size, gpr(dst), gpr(control), size.of(src), Imm::None)
            }
            Insn::BmiRvm { op, size, dst, src1, src2 } => {
                Vex::bmi_rvm(op).modrm(size, gpr(dst), gpr(src1), size.of(src2), Imm::None)
            }
            Insn::BmiVm { op, size, dst, src } => bmi_vm(op, size, dst, src),
            Insn::Rorx { size, dst, src, amount } => rorx(size, dst, src, amount),
            Insn::Count { op, size, dst, src } => count(op, size, dst, src),
            Insn::Bswap { size, dst } => {
                doubleword_or_larger(size)?;
                Ok(Form::sized(size, 0xc8).escape(Map::Of).plus(dst, Imm::None))
            }
            Insn::MovbeLoad { size, dst, src } => movbe(0xf0, size, dst, src),
            Insn::MovbeStore { size, dst, src } => movbe(0xf1, size, src, dst),
            Insn::Cmov { cond, size, dst, src } => {
                word_or_larger(size)?;
                let form = Form::sized(size, 0x40 + cond.code()).escape(Map::Of);
                form.modrm(gpr(dst), size.of(src), Imm::None)
            }
            Insn::Setcc { cond, dst } => {
                let form = Form::sized(Size::B1, 0x90 + cond.code()).escape(Map::Of);
                form.modrm(Field::plain(0), Size::B1.of(dst), Imm::None)
            }
            Insn::Xchg { size, dst, src } => xchg(size, dst, src),
            Insn::Locked { op, size, dst, src } => locked(op, size, dst, src),
            Insn::Push { src } => push(src),
            Insn::Pop { dst: Rm::Reg(reg) } => Ok(Form::plain(0x58).plus(reg, Imm::None)),
            Insn::Pop { dst } => Form::plain(0x8f).modrm(Field::plain(0), Size::B8.of(dst), Imm::None),
            Insn::JmpRm { target } => {
                Form::plain(0xff).modrm(Field::plain(4), Size::B8.of(target), Imm::None)
            }
            Insn::CallRm { target } => {
                Form::plain(0xff).modrm(Field::plain(2), Size::B8.of(target), Imm::None)
            }
            Insn::JmpRel { rel: Rel::Short, disp } => Ok(Form::plain(0xeb).bare(short(disp)?)),
            Insn::JmpRel { rel: Rel::Near, disp } => Ok(Form::plain(0xe9).bare(Imm::D(disp))),
            Insn::JccRel { cond, rel: Rel::Short, disp } => {
                Ok(Form::plain(0x70 + cond.code()).bare(short(disp)?))
            }
            Insn::JccRel { cond, rel: Rel::Near, disp } => {
                Ok(Form::plain(0x80 + cond.code()).escape(Map::Of).bare(Imm::D(disp)))
            }
            Insn::CallRel { disp } => Ok(Form::plain(0xe8).bare(Imm::D(disp))),
            Insn::String { op, size, rep } => Ok(string(op, size, rep)),
            Insn::Nullary(nullary) => Ok(fixed(nullary)),
            Insn::Prefetch { op, mem } => prefetch(op, mem),
            Insn::Crc32 { size, dst, src } => {
                let form = Form::sized(size, byte_or(size, 0xf0)).prefix(0xf2).escape(Map::Of38);
                form.modrm(gpr(dst), size.of(src), Imm::None)
            }
            Insn::MovToXmm { size, dst, src } => mov_to_xmm(size, dst, src),
            Insn::MovFromXmm { size, dst, src } => mov_from_xmm(size, dst, src),
            Insn::Movdqu { dst, src } => {
                Form::plain(0x6f).prefix(0xf3).escape(Map::Of).modrm(xmm(dst), src.into(), Imm::None)
            }
            Insn::MovdquStore { dst, src } => {
                Form::plain(0x7f).prefix(0xf3).escape(Map::Of).modrm(xmm(src), E::Mem(dst), Imm::None)
            }
            Insn::Sse { op, dst, src } => sse(op).modrm(xmm(dst), src.into(), Imm::None),
            Insn::SseImm { op, dst, src, imm } => sse_imm(op).modrm(xmm(dst), src.into(), Imm::of_u8(imm)),
            Insn::SseShift { op, dst, amount } => sse_shift(op, dst, amount),
            Insn::Vpopcnt { size, dst, src } => {
                doubleword_or_larger(size)?;
                Ok(evex(Pp::P66, Map::Of38, size == Size::B8, 0x55, xmm(dst), xmm(src)))
            }
            Insn::Pextr { size, dst, src, lane } => {
                let lane = lane_of(size, lane)?;
                Form::simd(0x16).escape(Map::Of3a).wide(size).modrm(xmm(src), size.of(dst), lane)
            }
            Insn::Pinsr { size, dst, src, lane } => {
                let lane = lane_of(size, lane)?;
                Form::simd(0x22).escape(Map::Of3a).wide(size).modrm(xmm(dst), size.of(src), lane)
            }
        }
    }
}

/// The opcode maps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Map {
    One,
    Of,
    Of38,
    Of3a,
}

impl Map {
    #[inline(always)]
    fn put(self, out: &mut Packed) {
        if self != Map::One {
            out.put(0x0f);
        }
        match self {
            Map::One | Map::Of => {}
            Map::Of38 => out.put(0x38),
            Map::Of3a => out.put(0x3a),
        }
    }

    /// Its number in VEX and EVEX prefixes.
    #[inline(always)]
    const fn number(self) -> u8 {
        match self {
            Map::One => 0,
            Map::Of => 1,
            Map::Of38 => 2,
            Map::Of3a => 3,
        }
    }
}

/// A register number in the ModRM byte's `reg` field or in VEX.vvvv, or an opcode extension.
#[derive(Clone, Copy)]
struct Field {
    code: u8,
    /// As a byte operand it exists only under a REX prefix.
    byte_needs_rex: bool,
}

impl Field {
    #[inline(always)]
    fn plain(code: u8) -> Self {
        Field { code, byte_needs_rex: false }
    }
}

#[inline(always)]
fn gpr(reg: Gpr) -> Field {
    Field::plain(reg.code())
}

#[inline(always)]
fn xmm(reg: Xmm) -> Field {
    Field::plain(reg.code())
}

/// What the ModRM byte's `mod` and `rm` fields name, the manual's operand `E`.
#[derive(Clone, Copy)]
enum E {
    Reg(Field),
    Mem(Mem),
}

impl From<XmmRm> for E {
    #[inline(always)]
    fn from(rm: XmmRm) -> Self {
        match rm {
            XmmRm::Xmm(reg) => E::Reg(xmm(reg)),
            XmmRm::Mem(mem) => E::Mem(mem),
        }
    }
}

impl Size {
    /// The register as a field of this size.
    #[inline(always)]
    fn field(self, reg: Gpr) -> Field {
        Field { code: reg.code(), byte_needs_rex: self == Size::B1 && reg.byte_needs_rex() }
    }

    #[inline(always)]
    fn of(self, rm: Rm) -> E {
        match rm {
            Rm::Reg(reg) => E::Reg(self.field(reg)),
            Rm::Mem(mem) => E::Mem(mem),
        }
    }
}

/// The bytes after the operands.
#[derive(Clone, Copy)]
enum Imm {
    None,
    B(i8),
    W(i16),
    D(i32),
}

impl Imm {
    #[inline(always)]
    fn of_u8(value: u8) -> Self {
        Imm::B(value.cast_signed())
    }

    /// The immediate of an operand of `size`: at most four bytes, sign-extended for eight.
    #[inline(always)]
    fn of_size(size: Size, value: i32) -> Result<Self, EncodeError> {
        match size {
            Size::B1 => {
                i8::try_from(value).map(Imm::B).map_err(|_| immediate(value, i8::MIN.into(), i8::MAX.into()))
            }
            Size::B2 => i16::try_from(value)
                .map(Imm::W)
                .map_err(|_| immediate(value, i16::MIN.into(), i16::MAX.into())),
            Size::B4 | Size::B8 => Ok(Imm::D(value)),
        }
    }

    /// Whether one byte is enough, sign-extended.
    #[inline(always)]
    fn short(value: i32) -> Option<Self> {
        i8::try_from(value).ok().map(Imm::B)
    }

    #[inline(always)]
    fn put(self, out: &mut Packed) {
        match self {
            Imm::None => {}
            Imm::B(imm) => out.put_behind(imm.cast_unsigned().into(), 1),
            Imm::W(imm) => out.put_behind(imm.cast_unsigned().into(), 2),
            Imm::D(imm) => out.put_behind(imm.cast_unsigned().into(), 4),
        }
    }
}

/// Prefixes and opcode of an instruction without VEX.
#[derive(Clone, Copy)]
struct Form {
    /// 66H: two-byte operands, or a mandatory prefix.
    operand_size: bool,
    /// F0H, F2H or F3H.
    prefix: Option<u8>,
    rex_w: bool,
    map: Map,
    opcode: u8,
}

impl Form {
    /// An opcode whose operand size is fixed.
    #[inline(always)]
    fn plain(opcode: u8) -> Self {
        Form { operand_size: false, prefix: None, rex_w: false, map: Map::One, opcode }
    }

    /// An opcode with the prefix that `size` asks for; the opcode is taken as it is.
    #[inline(always)]
    fn sized(size: Size, opcode: u8) -> Self {
        Form { operand_size: size == Size::B2, rex_w: size == Size::B8, ..Form::plain(opcode) }
    }

    /// An opcode with the mandatory prefix 66H.
    #[inline(always)]
    fn simd(opcode: u8) -> Self {
        Form { operand_size: true, ..Form::plain(opcode) }
    }

    #[inline(always)]
    fn prefix(self, prefix: u8) -> Self {
        Form { prefix: Some(prefix), ..self }
    }

    #[inline(always)]
    fn escape(self, map: Map) -> Self {
        Form { map, ..self }
    }

    #[inline(always)]
    fn wide(self, size: Size) -> Self {
        Form { rex_w: size == Size::B8, ..self }
    }

    /// The instruction with a ModRM byte.
    #[inline(always)]
    fn modrm(self, reg: Field, rm: E, imm: Imm) -> Result<Packed, EncodeError> {
        let address = Address::of(rm)?;
        let byte = reg.byte_needs_rex || matches!(rm, E::Reg(Field { byte_needs_rex: true, .. }));
        let mut out = self.head(reg.code >> 3, address.x, address.b, byte, self.opcode);
        address.put(reg.code, &mut out);
        imm.put(&mut out);
        Ok(out)
    }

    /// The instruction with the register added to its opcode.
    #[inline(always)]
    fn plus(self, reg: Gpr, imm: Imm) -> Packed {
        self.plus_field(gpr(reg), imm)
    }

    #[inline(always)]
    fn plus_field(self, reg: Field, imm: Imm) -> Packed {
        let mut out = self.head(0, 0, reg.code >> 3, reg.byte_needs_rex, self.opcode + (reg.code & 7));
        imm.put(&mut out);
        out
    }

    /// The instruction without register operands.
    #[inline(always)]
    fn bare(self, imm: Imm) -> Packed {
        let mut out = self.head(0, 0, 0, false, self.opcode);
        imm.put(&mut out);
        out
    }

    /// Everything up to the opcode; a REX prefix when a bit of it is set or `rex` asks for it (SDM vol. 2, 2.2.1).
    #[inline(always)]
    fn head(self, r: u8, x: u8, b: u8, rex: bool, opcode: u8) -> Packed {
        let mut out = Packed::default();
        if self.operand_size {
            out.put(0x66);
        }
        if let Some(prefix) = self.prefix {
            out.put(prefix);
        }
        let bits = u8::from(self.rex_w) << 3 | r << 2 | x << 1 | b;
        if bits != 0 || rex {
            out.put(0x40 | bits);
        }
        self.map.put(&mut out);
        out.put(opcode);
        out
    }
}

/// The mandatory prefix in VEX.pp.
#[derive(Clone, Copy)]
enum Pp {
    None,
    P66,
    Pf3,
    Pf2,
}

/// Map, prefix and opcode of an instruction with a three-byte VEX prefix (SDM vol. 2, 2.3.5).
#[derive(Clone, Copy)]
struct Vex {
    pp: Pp,
    map: Map,
    opcode: u8,
}

impl Vex {
    #[inline(always)]
    fn bmi_rmv(op: BmiRmvOp) -> Self {
        let (pp, opcode) = match op {
            BmiRmvOp::Bextr => (Pp::None, 0xf7),
            BmiRmvOp::Bzhi => (Pp::None, 0xf5),
            BmiRmvOp::Sarx => (Pp::Pf3, 0xf7),
            BmiRmvOp::Shlx => (Pp::P66, 0xf7),
            BmiRmvOp::Shrx => (Pp::Pf2, 0xf7),
        };
        Vex { pp, map: Map::Of38, opcode }
    }

    #[inline(always)]
    fn bmi_rvm(op: BmiRvmOp) -> Self {
        let (pp, opcode) = match op {
            BmiRvmOp::Andn => (Pp::None, 0xf2),
            BmiRvmOp::Pdep => (Pp::Pf2, 0xf5),
            BmiRvmOp::Pext => (Pp::Pf3, 0xf5),
            BmiRvmOp::Mulx => (Pp::Pf2, 0xf6),
        };
        Vex { pp, map: Map::Of38, opcode }
    }

    #[inline(always)]
    fn modrm(self, size: Size, reg: Field, vvvv: Field, rm: E, imm: Imm) -> Result<Packed, EncodeError> {
        doubleword_or_larger(size)?;
        let address = Address::of(rm)?;
        let inverted = !(reg.code >> 3 << 2 | address.x << 1 | address.b) << 5;
        let map = self.map.number();
        let w = u8::from(size == Size::B8);
        let mut out = Packed::default();
        out.put(0xc4);
        out.put(inverted | map);
        out.put(w << 7 | (!vvvv.code & 15) << 3 | self.pp as u8);
        out.put(self.opcode);
        address.put(reg.code, &mut out);
        imm.put(&mut out);
        Ok(out)
    }
}

/// An instruction on two vector registers with an EVEX prefix (SDM vol. 2, 2.7.1): 128 bits, no mask, no third register, and none
/// of the registers from 16 on, whose bits are inverted as those of VEX are.
fn evex(pp: Pp, map: Map, w: bool, opcode: u8, reg: Field, rm: Field) -> Packed {
    const UPPER_REGISTERS: u8 = 0b0101 << 4;
    const NO_THIRD: u8 = 0b1111 << 3;
    const FIXED: u8 = 1 << 2;
    let mut out = Packed::default();
    out.put(0x62);
    out.put((reg.code >> 3 ^ 1) << 7 | (rm.code >> 3 ^ 1) << 5 | UPPER_REGISTERS | map.number());
    out.put(u8::from(w) << 7 | NO_THIRD | FIXED | pp as u8);
    out.put(1 << 3);
    out.put(opcode);
    out.put(0xc0 | (reg.code & 7) << 3 | rm.code & 7);
    out
}

/// The ModRM byte's `mod` and `rm`, the SIB byte and the displacement (SDM vol. 2, tables 2-2 and 2-3).
struct Address {
    modrm: u8,
    sib: Option<u8>,
    disp: Imm,
    /// REX.X: the index's upper bit.
    x: u8,
    /// REX.B: the upper bit of the register or base.
    b: u8,
}

impl Address {
    #[inline(always)]
    fn of(rm: E) -> Result<Self, EncodeError> {
        match rm {
            E::Reg(reg) => {
                let modrm = 0xc0 | (reg.code & 7);
                Ok(Address { modrm, sib: None, disp: Imm::None, x: 0, b: reg.code >> 3 })
            }
            E::Mem(Mem { index: Some(index), .. }) if index.reg == Gpr::Rsp => {
                Err(EncodeError::Operands("rsp cannot be an index register"))
            }
            E::Mem(Mem { base: Base::Rip, index: Some(_), .. }) => {
                Err(EncodeError::Operands("a rip-relative address has no index register"))
            }
            E::Mem(Mem { base: Base::Rip, index: None, disp }) => {
                Ok(Address { modrm: 0b101, sib: None, disp: Imm::D(disp), x: 0, b: 0 })
            }
            E::Mem(Mem { base: Base::Zero, index, disp }) => {
                let (index, x) = index_bits(index);
                Ok(Address { modrm: 0b100, sib: Some(index | 0b101), disp: Imm::D(disp), x, b: 0 })
            }
            E::Mem(Mem { base: Base::Reg(base), index, disp }) => Ok(Self::based(base, index, disp)),
        }
    }

    #[inline(always)]
    fn based(base: Gpr, index: Option<Index>, disp: i32) -> Self {
        let low = base.code() & 7;
        let (mode, disp) = match disp {
            // rbp and r13 without a displacement would mean rip or no base.
            0 if low != Gpr::Rbp.code() => (0, Imm::None),
            _ => Imm::short(disp).map_or((0x80, Imm::D(disp)), |short| (0x40, short)),
        };
        let b = base.code() >> 3;
        if index.is_none() && low != Gpr::Rsp.code() {
            return Address { modrm: mode | low, sib: None, disp, x: 0, b };
        }
        let (index, x) = index_bits(index);
        Address { modrm: mode | 0b100, sib: Some(index | low), disp, x, b }
    }

    #[inline(always)]
    fn put(&self, reg: u8, out: &mut Packed) {
        out.put(self.modrm | (reg & 7) << 3);
        if let Some(sib) = self.sib {
            out.put(sib);
        }
        self.disp.put(out);
    }
}

/// The SIB byte without its base, and REX.X; no index is written as `rsp`.
#[inline(always)]
fn index_bits(index: Option<Index>) -> (u8, u8) {
    let Index { reg, scale } = index.unwrap_or(Index { reg: Gpr::Rsp, scale: Scale::S1 });
    ((scale as u8) << 6 | (reg.code() & 7) << 3, reg.code() >> 3)
}

/// An opcode whose lowest bit tells larger operands from bytes.
#[inline(always)]
fn byte_or(size: Size, opcode: u8) -> u8 {
    opcode | u8::from(size != Size::B1)
}

#[inline(always)]
fn word_or_larger(size: Size) -> Result<(), EncodeError> {
    match size {
        Size::B1 => Err(EncodeError::OperandSize { bytes: 1, allowed: "2, 4 and 8 bytes" }),
        Size::B2 | Size::B4 | Size::B8 => Ok(()),
    }
}

#[inline(always)]
fn doubleword_or_larger(size: Size) -> Result<(), EncodeError> {
    match size {
        Size::B1 | Size::B2 => {
            Err(EncodeError::OperandSize { bytes: size.bytes(), allowed: "4 and 8 bytes" })
        }
        Size::B4 | Size::B8 => Ok(()),
    }
}

#[inline(always)]
fn immediate(value: i32, min: i64, max: i64) -> EncodeError {
    EncodeError::Range { what: "immediate", value: value.into(), min, max }
}

#[inline(always)]
fn two_memory_operands() -> EncodeError {
    EncodeError::Operands("both operands are memory")
}

#[inline(always)]
fn below(what: &'static str, value: u8, limit: u8) -> Result<u8, EncodeError> {
    if value < limit {
        Ok(value)
    } else {
        Err(EncodeError::Range { what, value: value.into(), min: 0, max: i64::from(limit) - 1 })
    }
}

#[inline(always)]
fn short(disp: i32) -> Result<Imm, EncodeError> {
    let error = EncodeError::Range { what: "short displacement", value: disp.into(), min: -128, max: 127 };
    Imm::short(disp).ok_or(error)
}

/// `opcode reg, rm` between two registers in four or eight bytes.
#[inline(always)]
fn between(opcode: u8, size: Size, reg: Gpr, rm: Gpr) -> Packed {
    let (reg, rm) = (reg.code(), rm.code());
    let rex = 0x40 | u8::from(size == Size::B8) << 3 | reg >> 3 << 2 | rm >> 3;
    let modrm = 0xc0 | (reg & 7) << 3 | rm & 7;
    let rest = u64::from(opcode) | u64::from(modrm) << 8;
    if rex == 0x40 {
        Packed { head: rest, head_len: 2, ..Packed::default() }
    } else {
        Packed { head: u64::from(rex) | rest << 8, head_len: 3, ..Packed::default() }
    }
}

/// [`mov`] between two registers in four or eight bytes.
#[inline(always)]
pub(super) fn mov_registers(size: Size, dst: Gpr, src: Gpr) -> Packed {
    between(0x89, size, src, dst)
}

/// [`alu`] between two registers in four or eight bytes.
#[inline(always)]
pub(super) fn alu_registers(op: AluOp, size: Size, dst: Gpr, src: Gpr) -> Packed {
    between((op as u8) << 3 | 1, size, src, dst)
}

/// An instruction of operands `E, G` (`opcode`) or `G, E` (`opcode + 2`).
#[inline(always)]
fn eg_or_ge(size: Size, opcode: u8, dst: Rm, src: Rm) -> Result<Packed, EncodeError> {
    let form = Form::sized(size, byte_or(size, opcode));
    match (dst, src) {
        (_, Rm::Reg(src)) => form.modrm(size.field(src), size.of(dst), Imm::None),
        (Rm::Reg(dst), Rm::Mem(_)) => {
            Form { opcode: form.opcode + 2, ..form }.modrm(size.field(dst), size.of(src), Imm::None)
        }
        (Rm::Mem(_), Rm::Mem(_)) => Err(two_memory_operands()),
    }
}

#[inline(always)]
pub(super) fn mov(size: Size, dst: Rm, src: Operand) -> Result<Packed, EncodeError> {
    match (dst, src) {
        (_, Operand::Reg(src)) => eg_or_ge(size, 0x88, dst, Rm::Reg(src)),
        (_, Operand::Mem(src)) => eg_or_ge(size, 0x88, dst, Rm::Mem(src)),
        (Rm::Reg(dst), Operand::Imm(imm)) if size != Size::B8 => {
            let opcode = if size == Size::B1 { 0xb0 } else { 0xb8 };
            Ok(Form::sized(size, opcode).plus_field(size.field(dst), Imm::of_size(size, imm)?))
        }
        (_, Operand::Imm(imm)) => {
            let form = Form::sized(size, byte_or(size, 0xc6));
            form.modrm(Field::plain(0), size.of(dst), Imm::of_size(size, imm)?)
        }
    }
}

fn movabs(dst: Gpr, imm: u64) -> Packed {
    let mut out = Form::sized(Size::B8, 0xb8).plus(dst, Imm::None);
    out.put_behind(imm, 8);
    out
}

#[inline(always)]
pub(super) fn movzx(size: Size, dst: Gpr, src_size: Size, src: Rm) -> Result<Packed, EncodeError> {
    extend(0xb6, size, dst, src_size, src)
}

#[inline(always)]
pub(super) fn movsx(size: Size, dst: Gpr, src_size: Size, src: Rm) -> Result<Packed, EncodeError> {
    extend(0xbe, size, dst, src_size, src)
}

/// `movzx`, `movsx` and `movsxd`; `opcode` is that of a byte source.
#[inline(always)]
fn extend(opcode: u8, size: Size, dst: Gpr, src_size: Size, src: Rm) -> Result<Packed, EncodeError> {
    let signed = opcode == 0xbe;
    let form = match src_size {
        Size::B1 => Form::sized(size, opcode).escape(Map::Of),
        Size::B2 => Form::sized(size, opcode + 1).escape(Map::Of),
        Size::B4 if signed => Form::sized(size, 0x63),
        _ => {
            let allowed = if signed { "a source of 1, 2 and 4 bytes" } else { "a source of 1 and 2 bytes" };
            return Err(EncodeError::OperandSize { bytes: src_size.bytes(), allowed });
        }
    };
    if size <= src_size {
        let allowed = "a destination larger than the source";
        return Err(EncodeError::OperandSize { bytes: size.bytes(), allowed });
    }
    form.modrm(gpr(dst), src_size.of(src), Imm::None)
}

#[inline(always)]
pub(super) fn alu(op: AluOp, size: Size, dst: Rm, src: Operand) -> Result<Packed, EncodeError> {
    let base = (op as u8) << 3;
    let imm = match src {
        Operand::Reg(src) => return eg_or_ge(size, base, dst, Rm::Reg(src)),
        Operand::Mem(src) => return eg_or_ge(size, base, dst, Rm::Mem(src)),
        Operand::Imm(imm) => imm,
    };
    let full = Imm::of_size(size, imm)?;
    match (dst, Imm::short(imm)) {
        (_, Some(short)) if size != Size::B1 => {
            Form::sized(size, 0x83).modrm(Field::plain(op as u8), size.of(dst), short)
        }
        (Rm::Reg(Gpr::Rax), _) => Ok(Form::sized(size, byte_or(size, base + 4)).bare(full)),
        _ => Form::sized(size, byte_or(size, 0x80)).modrm(Field::plain(op as u8), size.of(dst), full),
    }
}

#[inline(always)]
pub(super) fn test(size: Size, dst: Rm, src: Operand) -> Result<Packed, EncodeError> {
    match (dst, src) {
        (_, Operand::Reg(src)) => {
            Form::sized(size, byte_or(size, 0x84)).modrm(size.field(src), size.of(dst), Imm::None)
        }
        (Rm::Reg(Gpr::Rax), Operand::Imm(imm)) => {
            Ok(Form::sized(size, byte_or(size, 0xa8)).bare(Imm::of_size(size, imm)?))
        }
        (_, Operand::Imm(imm)) => {
            let form = Form::sized(size, byte_or(size, 0xf6));
            form.modrm(Field::plain(0), size.of(dst), Imm::of_size(size, imm)?)
        }
        (_, Operand::Mem(_)) => Err(EncodeError::Operands("the second operand of `test` is memory")),
    }
}

#[inline(always)]
pub(super) fn unary(op: UnaryOp, size: Size, dst: Rm) -> Result<Packed, EncodeError> {
    let (opcode, extension) = match op {
        UnaryOp::Inc => (0xfe, 0),
        UnaryOp::Dec => (0xfe, 1),
        UnaryOp::Not => (0xf6, 2),
        UnaryOp::Neg => (0xf6, 3),
        UnaryOp::Mul => (0xf6, 4),
        UnaryOp::Imul => (0xf6, 5),
        UnaryOp::Div => (0xf6, 6),
        UnaryOp::Idiv => (0xf6, 7),
    };
    Form::sized(size, byte_or(size, opcode)).modrm(Field::plain(extension), size.of(dst), Imm::None)
}

#[inline(always)]
pub(super) fn lea(size: Size, dst: Gpr, mem: Mem) -> Result<Packed, EncodeError> {
    word_or_larger(size)?;
    Form::sized(size, 0x8d).modrm(gpr(dst), E::Mem(mem), Imm::None)
}

#[inline(always)]
pub(super) fn imul(size: Size, dst: Gpr, src: Rm) -> Result<Packed, EncodeError> {
    word_or_larger(size)?;
    Form::sized(size, 0xaf).escape(Map::Of).modrm(gpr(dst), size.of(src), Imm::None)
}

#[inline(always)]
pub(super) fn imul_imm(size: Size, dst: Gpr, src: Rm, imm: i32) -> Result<Packed, EncodeError> {
    word_or_larger(size)?;
    let (opcode, imm) = match Imm::short(imm) {
        Some(short) => (0x6b, short),
        None => (0x69, Imm::of_size(size, imm)?),
    };
    Form::sized(size, opcode).modrm(gpr(dst), size.of(src), imm)
}

/// A shift amount that the processor does not mask (SDM vol. 2, SAL/SAR/SHL/SHR).
#[inline(always)]
fn amount_of(size: Size, bits: u8) -> Result<u8, EncodeError> {
    below("shift amount", bits, if size == Size::B8 { 64 } else { 32 })
}

#[inline(always)]
pub(super) fn shift(op: ShiftOp, size: Size, dst: Rm, amount: Amount) -> Result<Packed, EncodeError> {
    let (opcode, imm) = match amount {
        Amount::Cl => (0xd2, Imm::None),
        Amount::Imm(1) => (0xd0, Imm::None),
        Amount::Imm(bits) => (0xc0, Imm::of_u8(amount_of(size, bits)?)),
    };
    let extension = match op {
        ShiftOp::Rol => 0,
        ShiftOp::Ror => 1,
        ShiftOp::Rcl => 2,
        ShiftOp::Rcr => 3,
        ShiftOp::Shl => 4,
        ShiftOp::Shr => 5,
        ShiftOp::Sar => 7,
    };
    Form::sized(size, byte_or(size, opcode)).modrm(Field::plain(extension), size.of(dst), imm)
}

fn double_shift(
    op: DoubleShiftOp,
    size: Size,
    dst: Rm,
    src: Gpr,
    amount: Amount,
) -> Result<Packed, EncodeError> {
    word_or_larger(size)?;
    let opcode = match op {
        DoubleShiftOp::Shld => 0xa4,
        DoubleShiftOp::Shrd => 0xac,
    };
    let (opcode, imm) = match amount {
        Amount::Cl => (opcode + 1, Imm::None),
        Amount::Imm(bits) => (opcode, Imm::of_u8(amount_of(size, bits)?)),
    };
    Form::sized(size, opcode).escape(Map::Of).modrm(gpr(src), size.of(dst), imm)
}

fn bmi_vm(op: BmiVmOp, size: Size, dst: Gpr, src: Rm) -> Result<Packed, EncodeError> {
    let extension = match op {
        BmiVmOp::Blsr => 1,
        BmiVmOp::Blsmsk => 2,
        BmiVmOp::Blsi => 3,
    };
    let vex = Vex { pp: Pp::None, map: Map::Of38, opcode: 0xf3 };
    vex.modrm(size, Field::plain(extension), gpr(dst), size.of(src), Imm::None)
}

fn rorx(size: Size, dst: Gpr, src: Rm, amount: u8) -> Result<Packed, EncodeError> {
    doubleword_or_larger(size)?;
    let amount = amount_of(size, amount)?;
    let vex = Vex { pp: Pp::Pf2, map: Map::Of3a, opcode: 0xf0 };
    vex.modrm(size, gpr(dst), Field::plain(0), size.of(src), Imm::of_u8(amount))
}

fn count(op: CountOp, size: Size, dst: Gpr, src: Rm) -> Result<Packed, EncodeError> {
    word_or_larger(size)?;
    let form = |opcode| Form::sized(size, opcode).escape(Map::Of);
    let form = match op {
        CountOp::Bsf => form(0xbc),
        CountOp::Bsr => form(0xbd),
        CountOp::Popcnt => form(0xb8).prefix(0xf3),
        CountOp::Tzcnt => form(0xbc).prefix(0xf3),
        CountOp::Lzcnt => form(0xbd).prefix(0xf3),
    };
    form.modrm(gpr(dst), size.of(src), Imm::None)
}

fn movbe(opcode: u8, size: Size, reg: Gpr, mem: Mem) -> Result<Packed, EncodeError> {
    word_or_larger(size)?;
    Form::sized(size, opcode).escape(Map::Of38).modrm(gpr(reg), E::Mem(mem), Imm::None)
}

fn xchg(size: Size, dst: Rm, src: Gpr) -> Result<Packed, EncodeError> {
    let other = match (dst, src) {
        // The one-byte form of `xchg eax, eax` is `nop`, which does not clear the upper half.
        (Rm::Reg(Gpr::Rax), Gpr::Rax) if size == Size::B4 => None,
        (Rm::Reg(Gpr::Rax), other) | (Rm::Reg(other), Gpr::Rax) if size != Size::B1 => Some(other),
        _ => None,
    };
    match other {
        Some(other) => Ok(Form::sized(size, 0x90).plus(other, Imm::None)),
        None => Form::sized(size, byte_or(size, 0x86)).modrm(size.field(src), size.of(dst), Imm::None),
    }
}

#[inline(always)]
pub(super) fn locked(op: LockedOp, size: Size, dst: Mem, src: Gpr) -> Result<Packed, EncodeError> {
    let (map, opcode) = match op {
        LockedOp::Add => (Map::One, 0x00),
        LockedOp::Or => (Map::One, 0x08),
        LockedOp::And => (Map::One, 0x20),
        LockedOp::Sub => (Map::One, 0x28),
        LockedOp::Xor => (Map::One, 0x30),
        LockedOp::Xadd => (Map::Of, 0xc0),
        LockedOp::Cmpxchg => (Map::Of, 0xb0),
        LockedOp::Xchg => (Map::One, 0x86),
    };
    let form = Form::sized(size, byte_or(size, opcode)).prefix(0xf0).escape(map);
    form.modrm(size.field(src), E::Mem(dst), Imm::None)
}

fn push(src: Operand) -> Result<Packed, EncodeError> {
    match src {
        Operand::Reg(reg) => Ok(Form::plain(0x50).plus(reg, Imm::None)),
        Operand::Mem(mem) => Form::plain(0xff).modrm(Field::plain(6), E::Mem(mem), Imm::None),
        Operand::Imm(imm) => Ok(match Imm::short(imm) {
            Some(short) => Form::plain(0x6a).bare(short),
            None => Form::plain(0x68).bare(Imm::D(imm)),
        }),
    }
}

fn string(op: StringOp, size: Size, rep: bool) -> Packed {
    let opcode = match op {
        StringOp::Movs => 0xa4,
        StringOp::Stos => 0xaa,
        StringOp::Lods => 0xac,
    };
    let form = Form::sized(size, byte_or(size, opcode));
    let form = if rep { form.prefix(0xf3) } else { form };
    form.bare(Imm::None)
}

fn fixed(nullary: Nullary) -> Packed {
    let bytes: &[u8] = match nullary {
        Nullary::Ret => &[0xc3],
        Nullary::Nop => &[0x90],
        Nullary::Int3 => &[0xcc],
        Nullary::Ud2 => &[0x0f, 0x0b],
        Nullary::Syscall => &[0x0f, 0x05],
        Nullary::Cwde => &[0x98],
        Nullary::Cdqe => &[0x48, 0x98],
        Nullary::Cwd => &[0x66, 0x99],
        Nullary::Cdq => &[0x99],
        Nullary::Cqo => &[0x48, 0x99],
        Nullary::Clc => &[0xf8],
        Nullary::Stc => &[0xf9],
        Nullary::Cmc => &[0xf5],
        Nullary::Cld => &[0xfc],
        Nullary::Std => &[0xfd],
        Nullary::Pushfq => &[0x9c],
        Nullary::Popfq => &[0x9d],
        Nullary::Leave => &[0xc9],
        Nullary::Pause => &[0xf3, 0x90],
        Nullary::Lfence => &[0x0f, 0xae, 0xe8],
        Nullary::Mfence => &[0x0f, 0xae, 0xf0],
        Nullary::Sfence => &[0x0f, 0xae, 0xf8],
        Nullary::Endbr64 => &[0xf3, 0x0f, 0x1e, 0xfa],
    };
    let mut out = Packed::default();
    bytes.iter().for_each(|byte| out.put(*byte));
    out
}

fn prefetch(op: PrefetchOp, mem: Mem) -> Result<Packed, EncodeError> {
    let extension = match op {
        PrefetchOp::Nta => 0,
        PrefetchOp::T0 => 1,
        PrefetchOp::T1 => 2,
        PrefetchOp::T2 => 3,
    };
    Form::plain(0x18).escape(Map::Of).modrm(Field::plain(extension), E::Mem(mem), Imm::None)
}

fn mov_to_xmm(size: Size, dst: Xmm, src: Rm) -> Result<Packed, EncodeError> {
    doubleword_or_larger(size)?;
    let form = match (size, src) {
        (Size::B8, Rm::Mem(_)) => Form::plain(0x7e).prefix(0xf3),
        _ => Form::simd(0x6e).wide(size),
    };
    form.escape(Map::Of).modrm(xmm(dst), size.of(src), Imm::None)
}

fn mov_from_xmm(size: Size, dst: Rm, src: Xmm) -> Result<Packed, EncodeError> {
    doubleword_or_larger(size)?;
    let form = match (size, dst) {
        (Size::B8, Rm::Mem(_)) => Form::simd(0xd6),
        _ => Form::simd(0x7e).wide(size),
    };
    form.escape(Map::Of).modrm(xmm(src), size.of(dst), Imm::None)
}

fn sse(op: SseOp) -> Form {
    let opcode = match op {
        SseOp::Pxor => 0xef,
        SseOp::Pand => 0xdb,
        SseOp::Por => 0xeb,
        SseOp::Paddq => 0xd4,
        SseOp::Punpcklqdq => 0x6c,
        SseOp::Punpckhqdq => 0x6d,
    };
    Form::simd(opcode).escape(Map::Of)
}

fn sse_imm(op: SseImmOp) -> Form {
    match op {
        SseImmOp::Pshufd => Form::simd(0x70).escape(Map::Of),
        SseImmOp::Pclmulqdq => Form::simd(0x44).escape(Map::Of3a),
    }
}

fn sse_shift(op: SseShiftOp, dst: Xmm, amount: u8) -> Result<Packed, EncodeError> {
    let extension = match op {
        SseShiftOp::Psrlq => 2,
        SseShiftOp::Psrldq => 3,
        SseShiftOp::Psllq => 6,
        SseShiftOp::Pslldq => 7,
    };
    Form::simd(0x73).escape(Map::Of).modrm(Field::plain(extension), E::Reg(xmm(dst)), Imm::of_u8(amount))
}

/// The lane of `pextr` and `pinsr` as an immediate.
fn lane_of(size: Size, lane: u8) -> Result<Imm, EncodeError> {
    doubleword_or_larger(size)?;
    below("lane", lane, if size == Size::B8 { 2 } else { 4 }).map(Imm::of_u8)
}

#[cfg(test)]
mod tests {
    use super::super::insn::Cond;
    use super::*;
    use Gpr::{R8, R9, R10, R11, R12, R13, Rax, Rbp, Rbx, Rcx, Rdi, Rdx, Rsi, Rsp};
    use Size::{B1, B2, B4, B8};

    fn mov(size: Size, dst: impl Into<Rm>, src: impl Into<Operand>) -> Insn {
        Insn::Mov { size, dst: dst.into(), src: src.into() }
    }

    fn alu(op: AluOp, size: Size, dst: impl Into<Rm>, src: impl Into<Operand>) -> Insn {
        Insn::Alu { op, size, dst: dst.into(), src: src.into() }
    }

    /// Expected bytes put together by hand from the manual's opcode tables and tables 2-2 and 2-3.
    #[test]
    fn encodings_are_the_manuals() {
        let (x1, x9) = (Xmm::ALL[1], Xmm::ALL[9]);
        let r9_r10 = Mem::at(R9, 0).index(R10, Scale::S4);
        let table: &[(Insn, &[u8])] = &[
            // Bases that need a SIB byte or a displacement.
            (mov(B8, Rax, Mem::at(Rsp, 0)), &[0x48, 0x8b, 0x04, 0x24]),
            (mov(B8, Rax, Mem::at(R12, 0)), &[0x49, 0x8b, 0x04, 0x24]),
            (mov(B8, Rax, Mem::at(Rbp, 0)), &[0x48, 0x8b, 0x45, 0x00]),
            (mov(B8, Rax, Mem::at(R13, 0)), &[0x49, 0x8b, 0x45, 0x00]),
            (mov(B4, Mem::at(Rdi, -128), Rcx), &[0x89, 0x4f, 0x80]),
            (mov(B4, Mem::at(Rdi, 128), Rcx), &[0x89, 0x8f, 0x80, 0, 0, 0]),
            (mov(B8, Rcx, Mem::rip(8)), &[0x48, 0x8b, 0x0d, 8, 0, 0, 0]),
            (mov(B4, Rcx, Mem::absolute(8)), &[0x8b, 0x0c, 0x25, 8, 0, 0, 0]),
            (mov(B4, Rcx, Mem::absolute(8).index(R12, Scale::S8)), &[0x42, 0x8b, 0x0c, 0xe5, 8, 0, 0, 0]),
            // Immediates.
            (mov(B8, Rax, -1), &[0x48, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0xff]),
            (mov(B4, Rax, -1), &[0xb8, 0xff, 0xff, 0xff, 0xff]),
            (mov(B2, R8, 0x1234), &[0x66, 0x41, 0xb8, 0x34, 0x12]),
            (Insn::Movabs { dst: R9, imm: 1 }, &[0x49, 0xb9, 1, 0, 0, 0, 0, 0, 0, 0]),
            (alu(AluOp::Add, B8, Rax, 127), &[0x48, 0x83, 0xc0, 0x7f]),
            (alu(AluOp::Add, B8, Rax, 128), &[0x48, 0x05, 0x80, 0, 0, 0]),
            (alu(AluOp::Sub, B8, Rcx, 128), &[0x48, 0x81, 0xe9, 0x80, 0, 0, 0]),
            (alu(AluOp::Cmp, B2, Rdx, 256), &[0x66, 0x81, 0xfa, 0x00, 0x01]),
            // Byte registers.
            (mov(B1, Rdi, Rsi), &[0x40, 0x88, 0xf7]),
            (mov(B1, Rdx, Rcx), &[0x88, 0xca]),
            (Insn::Setcc { cond: Cond::E, dst: Rsi.into() }, &[0x40, 0x0f, 0x94, 0xc6]),
            (Insn::Movzx { size: B4, dst: Rsi, src_size: B1, src: Rbx.into() }, &[0x0f, 0xb6, 0xf3]),
            (Insn::Crc32 { size: B1, dst: Rax, src: Rsi.into() }, &[0xf2, 0x40, 0x0f, 0x38, 0xf0, 0xc6]),
            // Mandatory prefixes stand before REX.
            (Insn::MovbeLoad { size: B4, dst: Rax, src: Mem::at(Rdi, 0) }, &[0x0f, 0x38, 0xf0, 0x07]),
            (Insn::MovbeLoad { size: B8, dst: R9, src: Mem::at(R8, 0) }, &[0x4d, 0x0f, 0x38, 0xf0, 0x08]),
            (Insn::MovbeStore { size: B2, dst: Mem::at(Rdi, 0), src: Rax }, &[0x66, 0x0f, 0x38, 0xf1, 0x07]),
            (
                Insn::Count { op: CountOp::Popcnt, size: B8, dst: R8, src: R9.into() },
                &[0xf3, 0x4d, 0x0f, 0xb8, 0xc1],
            ),
            (
                Insn::Locked { op: LockedOp::Cmpxchg, size: B8, dst: Mem::at(Rdi, 0), src: Rcx },
                &[0xf0, 0x48, 0x0f, 0xb1, 0x0f],
            ),
            (Insn::MovToXmm { size: B8, dst: x1, src: Rax.into() }, &[0x66, 0x48, 0x0f, 0x6e, 0xc8]),
            (
                Insn::SseImm { op: SseImmOp::Pclmulqdq, dst: x1, src: x9.into(), imm: 0x11 },
                &[0x66, 0x41, 0x0f, 0x3a, 0x44, 0xc9, 0x11],
            ),
            // VEX: inverted R, X, B and vvvv.
            (
                Insn::Rorx { size: B8, dst: Rax, src: Rbx.into(), amount: 13 },
                &[0xc4, 0xe3, 0xfb, 0xf0, 0xc3, 0x0d],
            ),
            // EVEX; vpopcntq xmm0, xmm0, and with registers that need inverted bits.
            (
                Insn::Vpopcnt { size: B8, dst: Xmm::ALL[0], src: Xmm::ALL[0] },
                &[0x62, 0xf2, 0xfd, 0x08, 0x55, 0xc0],
            ),
            (Insn::Vpopcnt { size: B4, dst: x1, src: x9 }, &[0x62, 0xd2, 0x7d, 0x08, 0x55, 0xc9]),
            (
                Insn::BmiRvm { op: BmiRvmOp::Andn, size: B4, dst: Rax, src1: Rcx, src2: Rdx.into() },
                &[0xc4, 0xe2, 0x70, 0xf2, 0xc2],
            ),
            (
                Insn::BmiRmv { op: BmiRmvOp::Shlx, size: B8, dst: R8, src: r9_r10.into(), control: R11 },
                &[0xc4, 0x02, 0xa1, 0xf7, 0x04, 0x91],
            ),
            // Forms with fewer bytes.
            (
                Insn::Shift { op: ShiftOp::Rol, size: B8, dst: Rax.into(), amount: Amount::Imm(1) },
                &[0x48, 0xd1, 0xc0],
            ),
            (
                Insn::Shift { op: ShiftOp::Sar, size: B4, dst: R8.into(), amount: Amount::Imm(31) },
                &[0x41, 0xc1, 0xf8, 0x1f],
            ),
            (Insn::Xchg { size: B8, dst: Rbx.into(), src: Rax }, &[0x48, 0x93]),
            (Insn::Xchg { size: B4, dst: Rax.into(), src: Rax }, &[0x87, 0xc0]),
            (Insn::Push { src: R12.into() }, &[0x41, 0x54]),
        ];
        for (insn, expected) in table {
            assert_eq!(insn.encode().as_deref(), Ok(*expected), "{insn}");
        }
    }

    #[test]
    fn an_error_says_what_the_range_is() {
        let amount = Amount::Imm(64);
        let error = Insn::Shift { op: ShiftOp::Rol, size: B8, dst: Rax.into(), amount }.encode();
        assert_eq!(error.unwrap_err().to_string(), "shift amount 64 is not in 0..=63");
        let error = alu(AluOp::Add, B1, Rax, 128).encode();
        assert_eq!(error.unwrap_err().to_string(), "immediate 128 is not in -128..=127");
        let error = Insn::Bswap { size: B2, dst: Rax }.encode();
        assert_eq!(error.unwrap_err().to_string(), "no form of 2 bytes (there are forms of 4 and 8 bytes)");
        let error = mov(B8, Rax, Mem::at(Rax, 0).index(Rsp, Scale::S1)).encode();
        assert_eq!(error.unwrap_err().to_string(), "rsp cannot be an index register");
    }
}
