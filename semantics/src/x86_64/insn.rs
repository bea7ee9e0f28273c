// SPDX-License-Identifier: GPL-2.0-or-later
//! Decoded instructions: what an instruction does, apart from how it is encoded. Each operation has one form whatever its
//! operands are; mnemonics that differ in one step share an operation.

use kop_ops::x86_64::{Cond, Gpr, Size, Xmm};

use super::bit_test::BitTest;
use super::bits::{ControlOp, CountOp, LowestOp};
use super::flags::Flag;
use super::integer::{Binary, Unary};
use super::shift::{DoubleShift, Shift};
use super::string::{Repeat, StringOp};
use super::vector::VectorInsn;

/// A decoded instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decoded {
    /// Its first byte, from the first byte of the code.
    pub offset: usize,
    /// Its number of bytes, 1 to 15.
    pub len: usize,
    /// What it does.
    pub op: Op,
}

impl Decoded {
    /// Where the next instruction stands.
    pub const fn next(&self) -> i64 {
        (self.offset + self.len) as i64
    }
}

/// What a memory operand's address starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Base {
    /// Nothing.
    Zero,
    /// A register.
    Reg(Gpr),
    /// The code: the displacement is an offset from its first byte (a rip-relative operand).
    Code,
}

/// A memory operand: `base + index * scale + disp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mem {
    /// What the address starts from.
    pub base: Base,
    /// A register and its factor: 1, 2, 4 or 8.
    pub index: Option<(Gpr, u8)>,
    /// Bytes to add, modulo two to the 64.
    pub disp: u64,
    /// Whether the sum is cut to 32 bits (the address-size prefix).
    pub narrow: bool,
}

/// A register or memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The low bits of a register.
    Reg(Gpr),
    /// Bits 8 to 15 of one of the first four registers: `ah`, `ch`, `dh`, `bh`.
    High(Gpr),
    /// Memory.
    Mem(Mem),
}

/// A register, memory or a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// A register or memory.
    Place(Place),
    /// A constant, sign-extended to 64 bits.
    Imm(u64),
}

/// What an instruction does. The size is that of the operands unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "operands are called dst, src and size as in the manual; the variants say the rest"
)]
pub enum Op {
    /// No operation: `nop`, `endbr64`, `pause`, fences, prefetches.
    Nothing,
    /// `mov`, `movabs`, `movnti`.
    Move { size: Size, dst: Place, src: Operand },
    /// `movzx`, `movsx`, `movsxd`, `cbw`, `cwde`, `cdqe`: to `size` from the smaller size `from`.
    Extend { size: Size, dst: Gpr, from: Size, signed: bool, src: Place },
    /// `cwd`, `cdq`, `cqo`: rdx becomes the sign of rax.
    SpreadSign { size: Size },
    /// `lea`.
    Lea { size: Size, dst: Gpr, mem: Mem },
    /// `bswap`.
    SwapBytes { size: Size, dst: Gpr },
    /// `movbe`.
    MoveSwapped { size: Size, dst: Place, src: Place },
    /// `cmovcc`.
    MoveIf { cond: Cond, size: Size, dst: Gpr, src: Place },
    /// `setcc`: one byte.
    Set { cond: Cond, dst: Place },
    /// `xchg`.
    Exchange { size: Size, dst: Place, src: Place },
    /// `xadd`.
    ExchangeAdd { size: Size, dst: Place, src: Place },
    /// `cmpxchg`.
    CompareExchange { size: Size, dst: Place, src: Place },
    /// `add` and its like, `cmp`, `test`.
    Binary { op: Binary, size: Size, dst: Place, src: Operand },
    /// `inc`, `dec`, `not`, `neg`.
    Unary { op: Unary, size: Size, dst: Place },
    /// `adcx`, `adox`: addition with one flag as carry in and out.
    AddWithFlag { flag: Flag, size: Size, dst: Gpr, src: Place },
    /// `mul`, `imul` of one operand.
    Multiply { signed: bool, size: Size, src: Place },
    /// `imul` of two or three operands.
    MultiplyInto { size: Size, dst: Gpr, a: Place, b: Operand },
    /// `mulx`.
    MultiplyWide { size: Size, high: Gpr, low: Gpr, src: Place },
    /// `div`, `idiv`.
    Divide { signed: bool, size: Size, src: Place },
    /// `shl` and its like, by a constant or `cl`.
    Shift { op: Shift, size: Size, dst: Place, amount: Operand },
    /// `shld`, `shrd`.
    DoubleShift { op: DoubleShift, size: Size, dst: Place, src: Gpr, amount: Operand },
    /// `shlx`, `shrx`, `sarx`, `rorx`: no flags.
    ShiftWithoutFlags { op: Shift, size: Size, dst: Gpr, src: Place, amount: Operand },
    /// `bt`, `bts`, `btr`, `btc`.
    BitTest { op: BitTest, size: Size, dst: Place, index: Operand },
    /// `bsf` and its like.
    Count { op: CountOp, size: Size, dst: Gpr, src: Place },
    /// `andn`.
    AndNot { size: Size, dst: Gpr, inverted: Gpr, src: Place },
    /// `bextr`, `bzhi`.
    Control { op: ControlOp, size: Size, dst: Gpr, src: Place, control: Gpr },
    /// `blsi`, `blsmsk`, `blsr`.
    Lowest { op: LowestOp, size: Size, dst: Gpr, src: Place },
    /// `pdep`.
    Deposit { size: Size, dst: Gpr, src: Gpr, mask: Place },
    /// `pext`.
    Extract { size: Size, dst: Gpr, src: Gpr, mask: Place },
    /// `crc32`: the source has `size`.
    Crc32 { size: Size, dst: Gpr, src: Place },
    /// `clc`, `stc`, `cld`, `std`.
    SetFlag { flag: Flag, value: bool },
    /// `cmc`.
    ComplementCarry,
    /// `lahf`.
    LoadFlags,
    /// `sahf`.
    StoreFlags,
    /// `push` of eight bytes.
    Push { src: Operand },
    /// `pop` of eight bytes.
    Pop { dst: Place },
    /// `pushfq`.
    PushFlags,
    /// `popfq`.
    PopFlags,
    /// `leave`.
    Leave,
    /// A string instruction.
    String { op: StringOp, size: Size, repeat: Repeat },
    /// `jmp` to an offset.
    Jump { target: i64 },
    /// `jcc`.
    JumpIf { cond: Cond, target: i64 },
    /// `jrcxz`, `jecxz`: rcx is looked at in this size.
    JumpIfCountZero { size: Size, target: i64 },
    /// `loop`, `loope`, `loopne`: rcx counts down in this size; with the value that ZF must have.
    Loop { size: Size, zero: Option<bool>, target: i64 },
    /// `jmp` to an address.
    JumpTo { target: Place },
    /// `call` an offset.
    Call { target: i64 },
    /// `call` an address.
    CallTo { target: Place },
    /// `ret`, with the bytes of arguments that it drops.
    Return { drop: u16 },
    /// `int3`.
    Breakpoint,
    /// `ud2`.
    Undefined,
    /// SSE.
    Vector(VectorInsn),
}

/// An SSE register or memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum XmmOrMem {
    /// A register.
    Xmm(Xmm),
    /// Memory.
    Mem(Mem),
}
