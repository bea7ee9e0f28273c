// SPDX-License-Identifier: GPL-2.0-or-later
//! eBPF instructions as values: RFC 9669's, Linux's additions to it, and the two halves of a Kop site.

use super::register::{Reg, RegSet};

/// How much of its registers an instruction works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Width {
    /// The lower 32 bits; a written register's upper half becomes zero.
    W32,
    /// All 64 bits.
    W64,
}

impl Width {
    /// Both widths.
    pub const ALL: [Width; 2] = [Width::W32, Width::W64];

    /// The width in bits: 32 or 64.
    pub const fn bits(self) -> u32 {
        match self {
            Width::W32 => 32,
            Width::W64 => 64,
        }
    }
}

/// How many bytes of memory an instruction accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Size {
    /// One byte (`B`).
    B1,
    /// Two bytes (`H`).
    B2,
    /// Four bytes (`W`).
    B4,
    /// Eight bytes (`DW`).
    B8,
}

impl Size {
    /// Every size, in ascending order.
    pub const ALL: [Size; 4] = [Size::B1, Size::B2, Size::B4, Size::B8];

    /// The size in bytes: 1, 2, 4 or 8.
    pub const fn bytes(self) -> usize {
        match self {
            Size::B1 => 1,
            Size::B2 => 2,
            Size::B4 => 4,
            Size::B8 => 8,
        }
    }

    /// The size in bits: 8, 16, 32 or 64.
    pub const fn bits(self) -> u32 {
        self.bytes() as u32 * 8
    }
}

/// An arithmetic, logic or move operation (RFC 9669 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AluOp {
    /// Wrapping addition.
    Add,
    /// Wrapping subtraction.
    Sub,
    /// Wrapping multiplication.
    Mul,
    /// Unsigned division; by zero it yields zero.
    Div,
    /// Signed division; by zero it yields zero, and the minimum by -1 yields the minimum.
    SDiv,
    /// Bitwise or.
    Or,
    /// Bitwise and.
    And,
    /// Left shift by the amount modulo the width.
    Lsh,
    /// Logical right shift by the amount modulo the width.
    Rsh,
    /// Unsigned remainder; by zero the destination keeps its value (its lower half, zero-extended, at 32 bits).
    Mod,
    /// Signed remainder with the dividend's sign; by zero as [`AluOp::Mod`], the minimum by -1 yields zero.
    SMod,
    /// Bitwise exclusive or.
    Xor,
    /// Move; an immediate is sign-extended to the width.
    Mov,
    /// Arithmetic right shift by the amount modulo the width.
    Arsh,
    /// Move of a register's low 8 bits, sign-extended to the width.
    MovSx8,
    /// Move of a register's low 16 bits, sign-extended to the width.
    MovSx16,
    /// Move of a register's low 32 bits, sign-extended to 64; has no 32-bit form.
    MovSx32,
}

impl AluOp {
    /// Every operation, in declaration order.
    pub const ALL: [AluOp; 17] = [
        AluOp::Add,
        AluOp::Sub,
        AluOp::Mul,
        AluOp::Div,
        AluOp::SDiv,
        AluOp::Or,
        AluOp::And,
        AluOp::Lsh,
        AluOp::Rsh,
        AluOp::Mod,
        AluOp::SMod,
        AluOp::Xor,
        AluOp::Mov,
        AluOp::Arsh,
        AluOp::MovSx8,
        AluOp::MovSx16,
        AluOp::MovSx32,
    ];

    /// Whether the operation replaces its destination without reading it.
    pub const fn is_move(self) -> bool {
        matches!(self, AluOp::Mov) || self.is_sign_extension()
    }

    /// Whether the operation is a sign-extending move, which takes no immediate.
    pub const fn is_sign_extension(self) -> bool {
        matches!(self, AluOp::MovSx8 | AluOp::MovSx16 | AluOp::MovSx32)
    }
}

/// A source operand: a register, or an immediate that is sign-extended to the operation's width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operand {
    /// A register (the encoding's `X` form).
    Reg(Reg),
    /// An immediate (the encoding's `K` form).
    Imm(i32),
}

impl Operand {
    /// The register, where the operand is one.
    pub const fn reg(self) -> Option<Reg> {
        match self {
            Operand::Reg(register) => Some(register),
            Operand::Imm(_) => None,
        }
    }

    /// The set of the operand's register, empty for an immediate.
    #[inline]
    pub const fn registers(self) -> RegSet {
        match self {
            Operand::Reg(register) => RegSet::of(&[register]),
            Operand::Imm(_) => RegSet::EMPTY,
        }
    }
}

impl From<Reg> for Operand {
    fn from(register: Reg) -> Self {
        Operand::Reg(register)
    }
}

impl From<i32> for Operand {
    fn from(imm: i32) -> Self {
        Operand::Imm(imm)
    }
}

/// What a conditional jump compares its destination register (left) and source operand (right) for (RFC 9669
/// section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cond {
    /// Equal.
    Eq,
    /// Unsigned greater.
    Gt,
    /// Unsigned greater or equal.
    Ge,
    /// A bit is set in both.
    Set,
    /// Not equal.
    Ne,
    /// Signed greater.
    SGt,
    /// Signed greater or equal.
    SGe,
    /// Unsigned less.
    Lt,
    /// Unsigned less or equal.
    Le,
    /// Signed less.
    SLt,
    /// Signed less or equal.
    SLe,
}

impl Cond {
    /// Every condition, in declaration order.
    pub const ALL: [Cond; 11] = [
        Cond::Eq,
        Cond::Gt,
        Cond::Ge,
        Cond::Set,
        Cond::Ne,
        Cond::SGt,
        Cond::SGe,
        Cond::Lt,
        Cond::Le,
        Cond::SLt,
        Cond::SLe,
    ];
}

/// A byte order conversion (RFC 9669 section 4.2); all of them zero the bits above the converted ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndKind {
    /// Between host and little-endian order.
    ToLe,
    /// Between host and big-endian order.
    ToBe,
    /// Unconditional swap.
    Swap,
}

impl EndKind {
    /// Every conversion, in declaration order.
    pub const ALL: [EndKind; 3] = [EndKind::ToLe, EndKind::ToBe, EndKind::Swap];
}

/// An atomic memory operation (RFC 9669 section 5.3, and Linux's load-acquire and store-release).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AtomicOp {
    /// Adds the register to memory.
    Add,
    /// Ors the register into memory.
    Or,
    /// Ands the register into memory.
    And,
    /// Xors the register into memory.
    Xor,
    /// Adds the register to memory and loads the old value into it.
    FetchAdd,
    /// Ors the register into memory and loads the old value into it.
    FetchOr,
    /// Ands the register into memory and loads the old value into it.
    FetchAnd,
    /// Xors the register into memory and loads the old value into it.
    FetchXor,
    /// Exchanges the register with memory.
    Xchg,
    /// Stores the register where memory equals r0; r0 becomes the old value, zero-extended, in either case.
    CmpXchg,
    /// Loads memory, zero-extended, into the register with acquire ordering (`BPF_LOAD_ACQ`, Linux 6.15).
    LoadAcquire,
    /// Stores the register to memory with release ordering (`BPF_STORE_REL`, Linux 6.15).
    StoreRelease,
}

impl AtomicOp {
    /// Every operation, in declaration order.
    pub const ALL: [AtomicOp; 12] = [
        AtomicOp::Add,
        AtomicOp::Or,
        AtomicOp::And,
        AtomicOp::Xor,
        AtomicOp::FetchAdd,
        AtomicOp::FetchOr,
        AtomicOp::FetchAnd,
        AtomicOp::FetchXor,
        AtomicOp::Xchg,
        AtomicOp::CmpXchg,
        AtomicOp::LoadAcquire,
        AtomicOp::StoreRelease,
    ];

    /// Whether the operation reads, modifies and writes memory, which 4 and 8 bytes alone can do.
    pub const fn is_read_modify_write(self) -> bool {
        !matches!(self, AtomicOp::LoadAcquire | AtomicOp::StoreRelease)
    }
}

/// What a call instruction calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallTarget {
    /// The helper function with this static id.
    Helper(i32),
    /// A program-local function, this many slots after the next instruction.
    Local(i32),
    /// A kernel function by BTF id (`BPF_PSEUDO_KFUNC_CALL`).
    Kfunc {
        /// BTF type id of the function.
        id: i32,
        /// Index of the module's BTF in the program's `fd_array`; 0 is the kernel's own.
        off: i16,
    },
    /// The address in a register (opcode 0x8d with the register as destination, as current LLVM and GCC have it).
    Register(Reg),
    /// A Kop; its payload is in the sidecar just before.
    Kop {
        /// BTF type id of the operation's stub function.
        id: i32,
        /// Index of the module's descriptor table (the encoding's `off`).
        slot: i16,
    },
}

/// One eBPF instruction.
///
/// Some values are no instruction, such as a sign-extending load of eight bytes; [`Insn::is_well_formed`] tells them
/// apart. Offsets of jumps and local calls count 8-byte slots from the instruction after the jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Insn {
    /// `dst = dst op src`, or `dst = src` for moves.
    Alu {
        /// Operation.
        op: AluOp,
        /// 32 or 64 bits.
        width: Width,
        /// Destination and left operand.
        dst: Reg,
        /// Right operand; a register for the sign-extending moves.
        src: Operand,
    },
    /// `dst = -dst`.
    Neg {
        /// 32 or 64 bits.
        width: Width,
        /// Operand and destination.
        dst: Reg,
    },
    /// Byte order conversion of the low `bits` of `dst`.
    End {
        /// Which conversion.
        kind: EndKind,
        /// How many bits: 16, 32 or 64.
        bits: u8,
        /// Operand and destination.
        dst: Reg,
    },
    /// The two-slot load of a 64-bit immediate (RFC 9669 section 5.4).
    LoadImm64 {
        /// Destination.
        dst: Reg,
        /// What the immediate is: 0 an integer, 1 to 6 one of the `BPF_PSEUDO_*` values of the source field.
        kind: u8,
        /// The immediates of the first (low half) and second slot (high half).
        imm: u64,
    },
    /// `dst = *(size *)(base + off)`.
    Load {
        /// Bytes loaded.
        size: Size,
        /// Whether the value is sign-extended to 64 bits rather than zero-extended; not with eight bytes.
        signed: bool,
        /// Destination.
        dst: Reg,
        /// Address register.
        base: Reg,
        /// Bytes added to the address.
        off: i16,
    },
    /// `*(size *)(base + off) = src`.
    Store {
        /// Bytes stored.
        size: Size,
        /// Address register.
        base: Reg,
        /// Bytes added to the address.
        off: i16,
        /// Value, truncated to the size; an immediate is sign-extended to 64 bits first.
        src: Operand,
    },
    /// An atomic operation on `*(size *)(base + off)`.
    Atomic {
        /// Operation.
        op: AtomicOp,
        /// Bytes accessed: 4 or 8, and any for load-acquire and store-release.
        size: Size,
        /// Address register.
        base: Reg,
        /// Bytes added to the address.
        off: i16,
        /// Value register: the source, the destination of fetches and exchanges, too, and of load-acquire alone.
        src: Reg,
    },
    /// Legacy load into r0 of packet bytes in network order; the context is in r6 (RFC 9669 section 5.5).
    LoadAbs {
        /// Bytes loaded: 1, 2 or 4.
        size: Size,
        /// Offset in the packet.
        imm: i32,
    },
    /// As [`Insn::LoadAbs`], at `src + imm`.
    LoadInd {
        /// Bytes loaded: 1, 2 or 4.
        size: Size,
        /// Register with the offset in the packet.
        src: Reg,
        /// Added to the offset.
        imm: i32,
    },
    /// A jump taken when `dst cond src` holds.
    Jump {
        /// Condition.
        cond: Cond,
        /// Whether 32 or 64 bits are compared.
        width: Width,
        /// Left operand.
        dst: Reg,
        /// Right operand.
        src: Operand,
        /// Slots from the next instruction to the target.
        off: i16,
    },
    /// An unconditional jump with a 16-bit offset.
    Ja {
        /// Slots from the next instruction to the target.
        off: i16,
    },
    /// An unconditional jump with a 32-bit offset.
    Gotol {
        /// Slots from the next instruction to the target.
        off: i32,
    },
    /// Linux's bounded-loop instruction: jumps once the kernel's iteration budget is used up.
    MayGoto {
        /// Slots from the next instruction to the target.
        off: i16,
    },
    /// A function call.
    Call {
        /// What is called.
        target: CallTarget,
    },
    /// The first half of a Kop site: carries the payload, computes nothing.
    Sidecar {
        /// Payload, 52 bits.
        payload: u64,
    },
    /// Returns from the function or program with r0.
    Exit,
}

/// Bits in the payload of a sidecar.
pub const PAYLOAD_BITS: u32 = 52;

const ARGUMENTS: RegSet = RegSet::of(&[Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5]);
const CALLER_SAVED: RegSet = RegSet::of(&[Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5]);

/// Constructors.
impl Insn {
    /// `dst = dst op src` on `width` bits.
    pub fn alu(op: AluOp, width: Width, dst: Reg, src: impl Into<Operand>) -> Self {
        Insn::Alu { op, width, dst, src: src.into() }
    }

    /// `dst = dst op src` on 64 bits.
    pub fn alu64(op: AluOp, dst: Reg, src: impl Into<Operand>) -> Self {
        Insn::alu(op, Width::W64, dst, src)
    }

    /// `dst = dst op src` on 32 bits.
    pub fn alu32(op: AluOp, dst: Reg, src: impl Into<Operand>) -> Self {
        Insn::alu(op, Width::W32, dst, src)
    }

    /// `dst = src`; an immediate is sign-extended.
    pub fn mov64(dst: Reg, src: impl Into<Operand>) -> Self {
        Insn::alu64(AluOp::Mov, dst, src)
    }

    /// `dst = src`, lower half, zero-extended.
    pub fn mov32(dst: Reg, src: impl Into<Operand>) -> Self {
        Insn::alu32(AluOp::Mov, dst, src)
    }

    /// `dst = -dst` on 64 bits.
    pub const fn neg64(dst: Reg) -> Self {
        Insn::Neg { width: Width::W64, dst }
    }

    /// `dst = -dst` on 32 bits.
    pub const fn neg32(dst: Reg) -> Self {
        Insn::Neg { width: Width::W32, dst }
    }

    /// The low `bits` (16, 32 or 64) of `dst` to or from big-endian order.
    pub const fn to_be(dst: Reg, bits: u8) -> Self {
        Insn::End { kind: EndKind::ToBe, bits, dst }
    }

    /// The low `bits` (16, 32 or 64) of `dst` to or from little-endian order.
    pub const fn to_le(dst: Reg, bits: u8) -> Self {
        Insn::End { kind: EndKind::ToLe, bits, dst }
    }

    /// The low `bits` (16, 32 or 64) of `dst` with their bytes swapped.
    pub const fn bswap(dst: Reg, bits: u8) -> Self {
        Insn::End { kind: EndKind::Swap, bits, dst }
    }

    /// `dst = imm`, in two slots.
    pub const fn load_imm64(dst: Reg, imm: u64) -> Self {
        Insn::LoadImm64 { dst, kind: 0, imm }
    }

    /// `dst = *(size *)(base + off)`, zero-extended.
    pub const fn load(size: Size, dst: Reg, base: Reg, off: i16) -> Self {
        Insn::Load { size, signed: false, dst, base, off }
    }

    /// `dst = *(size *)(base + off)`, sign-extended; `size` below eight bytes.
    pub const fn load_sx(size: Size, dst: Reg, base: Reg, off: i16) -> Self {
        Insn::Load { size, signed: true, dst, base, off }
    }

    /// `*(size *)(base + off) = src`.
    pub fn store(size: Size, base: Reg, off: i16, src: impl Into<Operand>) -> Self {
        Insn::Store { size, base, off, src: src.into() }
    }

    /// The atomic operation `op` on `*(size *)(base + off)` and the value register `src`.
    pub const fn atomic(op: AtomicOp, size: Size, base: Reg, off: i16, src: Reg) -> Self {
        Insn::Atomic { op, size, base, off, src }
    }

    /// Jumps by `off` slots if `dst cond src` on 64 bits.
    pub fn jump(cond: Cond, dst: Reg, src: impl Into<Operand>, off: i16) -> Self {
        Insn::Jump { cond, width: Width::W64, dst, src: src.into(), off }
    }

    /// Jumps by `off` slots if `dst cond src` on 32 bits.
    pub fn jump32(cond: Cond, dst: Reg, src: impl Into<Operand>, off: i16) -> Self {
        Insn::Jump { cond, width: Width::W32, dst, src: src.into(), off }
    }

    /// Jumps by `off` slots.
    pub const fn ja(off: i16) -> Self {
        Insn::Ja { off }
    }

    /// Calls the helper function `id`.
    pub const fn call_helper(id: i32) -> Self {
        Insn::Call { target: CallTarget::Helper(id) }
    }

    /// The two instructions of a Kop site: the sidecar with `payload` (52 bits) and the call of function `id` in
    /// descriptor `slot`.
    pub const fn kop_site(payload: u64, id: i32, slot: i16) -> [Self; 2] {
        [Insn::Sidecar { payload }, Insn::Call { target: CallTarget::Kop { id, slot } }]
    }

    /// Returns from the function or program.
    pub const fn exit() -> Self {
        Insn::Exit
    }
}

/// Properties.
impl Insn {
    /// Whether the value is an instruction that can be encoded, as its fields' documented ranges decide.
    pub const fn is_well_formed(&self) -> bool {
        match *self {
            Insn::Alu { op, width, src, .. } => {
                let takes_source = !op.is_sign_extension() || matches!(src, Operand::Reg(_));
                let has_width = !matches!((op, width), (AluOp::MovSx32, Width::W32));
                takes_source && has_width
            }
            Insn::End { bits, .. } => matches!(bits, 16 | 32 | 64),
            Insn::LoadImm64 { kind, .. } => kind <= 6,
            Insn::Load { size, signed, .. } => !(signed && matches!(size, Size::B8)),
            Insn::Atomic { op, size, .. } => {
                !op.is_read_modify_write() || matches!(size, Size::B4 | Size::B8)
            }
            Insn::LoadAbs { size, .. } | Insn::LoadInd { size, .. } => !matches!(size, Size::B8),
            Insn::Sidecar { payload } => payload >> PAYLOAD_BITS == 0,
            Insn::Neg { .. }
            | Insn::Store { .. }
            | Insn::Jump { .. }
            | Insn::Ja { .. }
            | Insn::Gotol { .. }
            | Insn::MayGoto { .. }
            | Insn::Call { .. }
            | Insn::Exit => true,
        }
    }

    /// How many 8-byte slots the instruction takes: 2 for [`Insn::LoadImm64`], else 1.
    pub const fn slots(&self) -> usize {
        if matches!(self, Insn::LoadImm64 { .. }) { 2 } else { 1 }
    }

    /// The registers whose values matter to the instruction.
    ///
    /// A call reads all five argument registers, since its signature is not known here. What a Kop's call reads is
    /// up to the operation and its payload; here it is every register.
    #[inline(always)]
    pub const fn reads(&self) -> RegSet {
        match *self {
            Insn::Alu { op, src, .. } if op.is_move() => src.registers(),
            Insn::Alu { dst, src, .. } | Insn::Jump { dst, src, .. } => {
                src.registers().union(RegSet::of(&[dst]))
            }
            Insn::Neg { dst, .. } | Insn::End { dst, .. } => RegSet::of(&[dst]),
            Insn::Load { base, .. } => RegSet::of(&[base]),
            Insn::Store { base, src, .. } => src.registers().union(RegSet::of(&[base])),
            Insn::Atomic { op: AtomicOp::LoadAcquire, base, .. } => RegSet::of(&[base]),
            Insn::Atomic { op: AtomicOp::CmpXchg, base, src, .. } => RegSet::of(&[Reg::R0, base, src]),
            Insn::Atomic { base, src, .. } => RegSet::of(&[base, src]),
            Insn::LoadAbs { .. } => RegSet::of(&[Reg::R6]),
            Insn::LoadInd { src, .. } => RegSet::of(&[Reg::R6, src]),
            Insn::Call { target: CallTarget::Register(register) } => ARGUMENTS.union(RegSet::of(&[register])),
            Insn::Call { target: CallTarget::Kop { .. } } => RegSet::ALL,
            Insn::Call { .. } => ARGUMENTS,
            Insn::Exit => RegSet::of(&[Reg::R0]),
            Insn::LoadImm64 { .. }
            | Insn::Ja { .. }
            | Insn::Gotol { .. }
            | Insn::MayGoto { .. }
            | Insn::Sidecar { .. } => RegSet::EMPTY,
        }
    }

    /// The registers that the instruction writes or leaves undefined.
    ///
    /// Calls and legacy packet loads write r0 and clobber r1-r5 (RFC 9669 section 2.2). What a Kop's call writes is up to
    /// the operation and its payload; here it is every register but r10.
    #[inline(always)]
    pub const fn writes(&self) -> RegSet {
        match *self {
            Insn::Alu { dst, .. }
            | Insn::Neg { dst, .. }
            | Insn::End { dst, .. }
            | Insn::LoadImm64 { dst, .. }
            | Insn::Load { dst, .. } => RegSet::of(&[dst]),
            Insn::Atomic { op, src, .. } => match op {
                AtomicOp::Add | AtomicOp::Or | AtomicOp::And | AtomicOp::Xor | AtomicOp::StoreRelease => {
                    RegSet::EMPTY
                }
                AtomicOp::CmpXchg => RegSet::of(&[Reg::R0]),
                AtomicOp::FetchAdd
                | AtomicOp::FetchOr
                | AtomicOp::FetchAnd
                | AtomicOp::FetchXor
                | AtomicOp::Xchg
                | AtomicOp::LoadAcquire => RegSet::of(&[src]),
            },
            Insn::Call { target: CallTarget::Kop { .. } } => RegSet::of(&Reg::WRITABLE),
            Insn::LoadAbs { .. } | Insn::LoadInd { .. } | Insn::Call { .. } => CALLER_SAVED,
            Insn::Store { .. }
            | Insn::Jump { .. }
            | Insn::Ja { .. }
            | Insn::Gotol { .. }
            | Insn::MayGoto { .. }
            | Insn::Sidecar { .. }
            | Insn::Exit => RegSet::EMPTY,
        }
    }

    /// Whether execution never goes on with the next instruction in order: an exit or an unconditional jump.
    #[inline]
    pub const fn is_terminator(&self) -> bool {
        matches!(self, Insn::Exit | Insn::Ja { .. } | Insn::Gotol { .. })
    }

    /// Whether the instruction is a call of any kind.
    #[inline]
    pub const fn is_call(&self) -> bool {
        matches!(self, Insn::Call { .. })
    }

    /// How many bytes of memory the instruction accesses at its base register, or `None` when it accesses none there.
    pub const fn access(&self) -> Option<Size> {
        match *self {
            Insn::Load { size, .. } | Insn::Store { size, .. } | Insn::Atomic { size, .. } => Some(size),
            _ => None,
        }
    }

    /// Slots from the next instruction to a jump's target; `None` for anything but a jump, local calls included.
    pub const fn branch_offset(&self) -> Option<i32> {
        match *self {
            Insn::Jump { off, .. } | Insn::Ja { off } | Insn::MayGoto { off } => Some(off as i32),
            Insn::Gotol { off } => Some(off),
            _ => None,
        }
    }

    /// The same jump with another offset; `None` for anything but a jump, and where `offset` does not fit the form.
    pub fn with_branch_offset(self, offset: i32) -> Option<Self> {
        let short = i16::try_from(offset).ok();
        match self {
            Insn::Jump { cond, width, dst, src, .. } => {
                short.map(|off| Insn::Jump { cond, width, dst, src, off })
            }
            Insn::Ja { .. } => short.map(|off| Insn::Ja { off }),
            Insn::MayGoto { .. } => short.map(|off| Insn::MayGoto { off }),
            Insn::Gotol { .. } => Some(Insn::Gotol { off: offset }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const R: [Reg; 11] = Reg::ALL;

    fn set(numbers: &[usize]) -> RegSet {
        numbers.iter().map(|&number| R[number]).collect()
    }

    /// Instruction, registers read, registers written or clobbered.
    #[test]
    fn reads_and_writes_follow_the_instruction_set() {
        let call = |target| Insn::Call { target };
        let atomic = |op| Insn::atomic(op, Size::B8, R[7], 0, R[8]);
        let callee = &[0, 1, 2, 3, 4, 5];
        let table: &[(Insn, &[usize], &[usize])] = &[
            (Insn::alu64(AluOp::Add, R[3], R[4]), &[3, 4], &[3]),
            (Insn::alu32(AluOp::Lsh, R[3], 4), &[3], &[3]),
            (Insn::mov64(R[3], R[4]), &[4], &[3]),
            (Insn::mov32(R[3], 4), &[], &[3]),
            (Insn::alu64(AluOp::MovSx32, R[3], R[4]), &[4], &[3]),
            (Insn::neg32(R[9]), &[9], &[9]),
            (Insn::to_be(R[9], 16), &[9], &[9]),
            (Insn::load_imm64(R[2], 1), &[], &[2]),
            (Insn::load(Size::B1, R[2], R[6], 1), &[6], &[2]),
            (Insn::store(Size::B1, R[2], 1, R[6]), &[2, 6], &[]),
            (Insn::store(Size::B1, R[2], 1, 6), &[2], &[]),
            (atomic(AtomicOp::Add), &[7, 8], &[]),
            (atomic(AtomicOp::FetchXor), &[7, 8], &[8]),
            (atomic(AtomicOp::Xchg), &[7, 8], &[8]),
            (atomic(AtomicOp::CmpXchg), &[0, 7, 8], &[0]),
            (atomic(AtomicOp::LoadAcquire), &[7], &[8]),
            (atomic(AtomicOp::StoreRelease), &[7, 8], &[]),
            (Insn::LoadAbs { size: Size::B1, imm: 0 }, &[6], callee),
            (Insn::LoadInd { size: Size::B1, src: R[9], imm: 0 }, &[6, 9], callee),
            (Insn::jump(Cond::Eq, R[1], R[2], 0), &[1, 2], &[]),
            (Insn::jump32(Cond::Eq, R[1], 2, 0), &[1], &[]),
            (Insn::ja(0), &[], &[]),
            (Insn::Gotol { off: 0 }, &[], &[]),
            (Insn::MayGoto { off: 0 }, &[], &[]),
            (Insn::call_helper(1), &[1, 2, 3, 4, 5], callee),
            (call(CallTarget::Local(1)), &[1, 2, 3, 4, 5], callee),
            (call(CallTarget::Kfunc { id: 1, off: 0 }), &[1, 2, 3, 4, 5], callee),
            (call(CallTarget::Register(R[6])), &[1, 2, 3, 4, 5, 6], callee),
            (Insn::Sidecar { payload: 0x12 }, &[], &[]),
            (Insn::exit(), &[0], &[]),
        ];
        for &(insn, reads, writes) in table {
            assert_eq!((insn.reads(), insn.writes()), (set(reads), set(writes)), "{insn}");
        }
    }

    #[test]
    fn values_outside_the_instruction_set_are_not_well_formed() {
        let ill_formed = [
            Insn::alu64(AluOp::MovSx8, R[0], 1),
            Insn::alu32(AluOp::MovSx32, R[0], R[1]),
            Insn::bswap(R[0], 8),
            Insn::to_le(R[0], 0),
            Insn::LoadImm64 { dst: R[0], kind: 7, imm: 0 },
            Insn::load_sx(Size::B8, R[0], R[1], 0),
            Insn::atomic(AtomicOp::Add, Size::B2, R[0], 0, R[1]),
            Insn::atomic(AtomicOp::CmpXchg, Size::B1, R[0], 0, R[1]),
            Insn::LoadAbs { size: Size::B8, imm: 0 },
            Insn::LoadInd { size: Size::B8, src: R[0], imm: 0 },
            Insn::Sidecar { payload: 1 << 52 },
        ];
        for insn in ill_formed {
            assert!(!insn.is_well_formed(), "{insn:?}");
        }
        assert!(Insn::atomic(AtomicOp::LoadAcquire, Size::B1, R[0], 0, R[1]).is_well_formed());
        assert!(Insn::Sidecar { payload: (1 << 52) - 1 }.is_well_formed());
    }

    #[test]
    fn only_jumps_have_a_branch_offset_and_it_can_be_replaced_within_its_range() {
        let short = [Insn::ja(1), Insn::MayGoto { off: 1 }, Insn::jump32(Cond::SLe, R[1], 2, 1)];
        for insn in short {
            assert_eq!(insn.branch_offset(), Some(1));
            let moved = insn.with_branch_offset(-32768).expect("fits in 16 bits");
            assert_eq!((moved.branch_offset(), moved.with_branch_offset(1)), (Some(-32768), Some(insn)));
            assert_eq!(insn.with_branch_offset(32768), None);
        }
        let long = Insn::Gotol { off: 1 };
        assert_eq!(long.with_branch_offset(i32::MIN), Some(Insn::Gotol { off: i32::MIN }));
        for insn in [Insn::exit(), Insn::mov64(R[0], 1), Insn::Call { target: CallTarget::Local(1) }] {
            assert_eq!((insn.branch_offset(), insn.with_branch_offset(1)), (None, None));
        }
    }

    #[test]
    fn terminators_never_fall_through() {
        let fall_through =
            [Insn::MayGoto { off: 1 }, Insn::jump(Cond::Eq, R[0], R[0], 1), Insn::call_helper(1)];
        assert!([Insn::exit(), Insn::ja(1), Insn::Gotol { off: 1 }].iter().all(Insn::is_terminator));
        assert!(!fall_through.iter().any(Insn::is_terminator));
    }

    #[test]
    fn a_64_bit_immediate_alone_takes_two_slots() {
        assert_eq!(Insn::load_imm64(R[0], 0).slots(), 2);
        assert_eq!(
            [Insn::exit(), Insn::mov64(R[0], 0), Insn::Sidecar { payload: 0 }].map(|i| i.slots()),
            [1; 3]
        );
    }
}
