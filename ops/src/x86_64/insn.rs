// SPDX-License-Identifier: GPL-2.0-or-later
//! Instructions as values: an enum whose variants are groups of instructions that share their operands.

use super::register::{Gpr, Size, Xmm};

/// A condition of `jcc`, `cmovcc` and `setcc` (Intel SDM vol. 1, appendix B).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Cond {
    /// Overflow.
    O,
    /// No overflow.
    No,
    /// Unsigned below, carry.
    B,
    /// Unsigned above or equal, no carry.
    Ae,
    /// Equal, zero.
    E,
    /// Not equal, not zero.
    Ne,
    /// Unsigned below or equal.
    Be,
    /// Unsigned above.
    A,
    /// Sign, negative.
    S,
    /// No sign.
    Ns,
    /// Parity even.
    P,
    /// Parity odd.
    Np,
    /// Signed less.
    L,
    /// Signed greater or equal.
    Ge,
    /// Signed less or equal.
    Le,
    /// Signed greater.
    G,
}

impl Cond {
    /// All conditions in the order of their codes.
    pub const ALL: [Cond; 16] = [
        Cond::O,
        Cond::No,
        Cond::B,
        Cond::Ae,
        Cond::E,
        Cond::Ne,
        Cond::Be,
        Cond::A,
        Cond::S,
        Cond::Ns,
        Cond::P,
        Cond::Np,
        Cond::L,
        Cond::Ge,
        Cond::Le,
        Cond::G,
    ];

    /// The condition's code, 0..=15, added to the opcode.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The condition that holds exactly when this one does not.
    pub const fn negated(self) -> Self {
        Self::ALL[self as usize ^ 1]
    }

    /// The suffix of the mnemonic: `ne` in `jne`.
    pub const fn suffix(self) -> &'static str {
        const SUFFIXES: [&str; 16] =
            ["o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g"];
        SUFFIXES[self as usize]
    }
}

/// The factor of an index register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Scale {
    /// Times one.
    S1,
    /// Times two.
    S2,
    /// Times four.
    S4,
    /// Times eight.
    S8,
}

impl Scale {
    /// All factors, the smallest first.
    pub const ALL: [Scale; 4] = [Scale::S1, Scale::S2, Scale::S4, Scale::S8];

    /// The factor: 1, 2, 4 or 8.
    pub const fn factor(self) -> u8 {
        1 << self as u8
    }
}

/// What an address starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Base {
    /// Nothing: the sign-extended displacement, plus an index if there is one.
    Zero,
    /// A register.
    Reg(Gpr),
    /// The address of the next instruction; excludes an index.
    Rip,
}

/// A scaled index register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Index {
    /// Any register but `rsp`.
    pub reg: Gpr,
    /// Its factor.
    pub scale: Scale,
}

/// A memory operand: `[base + index*scale + disp]` with 64-bit address arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mem {
    /// What the address starts from.
    pub base: Base,
    /// A scaled register to add.
    pub index: Option<Index>,
    /// Bytes to add; sign-extended to 64 bits.
    pub disp: i32,
}

impl Mem {
    /// `[base + disp]`.
    pub const fn at(base: Gpr, disp: i32) -> Self {
        Mem { base: Base::Reg(base), index: None, disp }
    }

    /// `[disp]`, an absolute address in the lowest or the highest 2 GiB.
    pub const fn absolute(disp: i32) -> Self {
        Mem { base: Base::Zero, index: None, disp }
    }

    /// `[rip + disp]`, relative to the address of the next instruction.
    pub const fn rip(disp: i32) -> Self {
        Mem { base: Base::Rip, index: None, disp }
    }

    /// The same address plus `reg * scale`.
    pub const fn index(self, reg: Gpr, scale: Scale) -> Self {
        Mem { index: Some(Index { reg, scale }), ..self }
    }

    /// The same address with another displacement.
    pub const fn with_disp(self, disp: i32) -> Self {
        Mem { disp, ..self }
    }
}

/// A register or memory operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rm {
    /// A register.
    Reg(Gpr),
    /// Memory.
    Mem(Mem),
}

impl From<Gpr> for Rm {
    fn from(reg: Gpr) -> Self {
        Rm::Reg(reg)
    }
}

impl From<Mem> for Rm {
    fn from(mem: Mem) -> Self {
        Rm::Mem(mem)
    }
}

/// A register, memory or immediate operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operand {
    /// A register.
    Reg(Gpr),
    /// Memory.
    Mem(Mem),
    /// A signed immediate that must fit the operand size; sign-extended to 64 bits in eight-byte instructions.
    Imm(i32),
}

impl From<Gpr> for Operand {
    fn from(reg: Gpr) -> Self {
        Operand::Reg(reg)
    }
}

impl From<Mem> for Operand {
    fn from(mem: Mem) -> Self {
        Operand::Mem(mem)
    }
}

impl From<i32> for Operand {
    fn from(imm: i32) -> Self {
        Operand::Imm(imm)
    }
}

impl From<Rm> for Operand {
    fn from(rm: Rm) -> Self {
        match rm {
            Rm::Reg(reg) => Operand::Reg(reg),
            Rm::Mem(mem) => Operand::Mem(mem),
        }
    }
}

/// An SSE register or memory operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum XmmRm {
    /// An SSE register.
    Xmm(Xmm),
    /// Memory.
    Mem(Mem),
}

impl From<Xmm> for XmmRm {
    fn from(xmm: Xmm) -> Self {
        XmmRm::Xmm(xmm)
    }
}

impl From<Mem> for XmmRm {
    fn from(mem: Mem) -> Self {
        XmmRm::Mem(mem)
    }
}

/// How far a shift shifts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Amount {
    /// A number of bits: 0..=63 in eight-byte instructions, else 0..=31, which is what the processor does not mask off.
    Imm(u8),
    /// The low bits of `cl`.
    Cl,
}

impl From<u8> for Amount {
    fn from(bits: u8) -> Self {
        Amount::Imm(bits)
    }
}

/// The displacement's width in a relative branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rel {
    /// One byte.
    Short,
    /// Four bytes.
    Near,
}

/// Declares an enum of mnemonics with `ALL` and `mnemonic`.
macro_rules! mnemonics {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $variant:ident $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$item_doc])* $variant,)+ }

        impl $name {
            /// Every operation, in declaration order.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The mnemonic in lower case.
            pub const fn mnemonic(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }
        }
    };
}

mnemonics! {
    /// Two-operand arithmetic, in the order of its opcodes (Intel SDM vol. 2, opcodes 00H to 3DH).
    AluOp {
        /// Add.
        Add "add",
        /// Inclusive or.
        Or "or",
        /// Add with carry.
        Adc "adc",
        /// Subtract with borrow.
        Sbb "sbb",
        /// And.
        And "and",
        /// Subtract.
        Sub "sub",
        /// Exclusive or.
        Xor "xor",
        /// Compare: subtract for the flags alone.
        Cmp "cmp",
    }
}

mnemonics! {
    /// One-operand arithmetic.
    UnaryOp {
        /// Add one, leaving the carry flag.
        Inc "inc",
        /// Subtract one, leaving the carry flag.
        Dec "dec",
        /// Complement, leaving the flags.
        Not "not",
        /// Negate.
        Neg "neg",
        /// `rdx:rax = rax * operand`, unsigned (`ax` for bytes).
        Mul "mul",
        /// `rdx:rax = rax * operand`, signed (`ax` for bytes).
        Imul "imul",
        /// `rax`, `rdx` = quotient and remainder of `rdx:rax / operand`, unsigned (`ax` for bytes).
        Div "div",
        /// `rax`, `rdx` = quotient and remainder of `rdx:rax / operand`, signed (`ax` for bytes).
        Idiv "idiv",
    }
}

mnemonics! {
    /// Shifts and rotates.
    ShiftOp {
        /// Rotate left.
        Rol "rol",
        /// Rotate right.
        Ror "ror",
        /// Rotate left through the carry flag.
        Rcl "rcl",
        /// Rotate right through the carry flag.
        Rcr "rcr",
        /// Shift left.
        Shl "shl",
        /// Shift right, zeros coming in.
        Shr "shr",
        /// Shift right, the sign coming in.
        Sar "sar",
    }
}

mnemonics! {
    /// Shifts that take the bits coming in from a second register.
    DoubleShiftOp {
        /// Left; the source's upper bits come in.
        Shld "shld",
        /// Right; the source's lower bits come in.
        Shrd "shrd",
    }
}

mnemonics! {
    /// BMI instructions of the manual's operand encoding RMV: destination, register or memory, register.
    BmiRmvOp {
        /// Extract `control[15:8]` bits from bit `control[7:0]` on (BMI1).
        Bextr "bextr",
        /// Zero the bits from `control[7:0]` on (BMI2).
        Bzhi "bzhi",
        /// Shift right with sign, no flags (BMI2).
        Sarx "sarx",
        /// Shift left, no flags (BMI2).
        Shlx "shlx",
        /// Shift right, no flags (BMI2).
        Shrx "shrx",
    }
}

mnemonics! {
    /// BMI instructions of the manual's operand encoding RVM: destination, register, register or memory.
    BmiRvmOp {
        /// `!src1 & src2` (BMI1).
        Andn "andn",
        /// Deposit the low bits of `src1` where the mask `src2` is set (BMI2).
        Pdep "pdep",
        /// Extract the bits of `src1` where the mask `src2` is set (BMI2).
        Pext "pext",
        /// `dst:src1 = rdx * src2`, no flags: both registers are written, the high half last (BMI2).
        Mulx "mulx",
    }
}

mnemonics! {
    /// BMI1 instructions of the manual's operand encoding VM: destination, register or memory.
    BmiVmOp {
        /// Reset the lowest set bit.
        Blsr "blsr",
        /// The mask up to the lowest set bit.
        Blsmsk "blsmsk",
        /// Isolate the lowest set bit.
        Blsi "blsi",
    }
}

mnemonics! {
    /// Counts of bits.
    CountOp {
        /// The index of the lowest set bit; the destination is undefined for zero.
        Bsf "bsf",
        /// The index of the highest set bit; the destination is undefined for zero.
        Bsr "bsr",
        /// The number of set bits (POPCNT).
        Popcnt "popcnt",
        /// The number of trailing zeros, the operand size for zero (BMI1).
        Tzcnt "tzcnt",
        /// The number of leading zeros, the operand size for zero (LZCNT).
        Lzcnt "lzcnt",
    }
}

mnemonics! {
    /// Read-modify-write instructions that take a LOCK prefix.
    LockedOp {
        /// Add.
        Add "add",
        /// Inclusive or.
        Or "or",
        /// And.
        And "and",
        /// Subtract.
        Sub "sub",
        /// Exclusive or.
        Xor "xor",
        /// Add; the register receives the old value.
        Xadd "xadd",
        /// Store the register if memory equals `rax`; `rax` receives the old value otherwise.
        Cmpxchg "cmpxchg",
        /// Exchange, which locks with or without the prefix.
        Xchg "xchg",
    }
}

mnemonics! {
    /// String instructions; `rsi` is the source, `rdi` the destination, and both advance by the size.
    StringOp {
        /// Move from `[rsi]` to `[rdi]`.
        Movs "movs",
        /// Store `rax` to `[rdi]`.
        Stos "stos",
        /// Load `rax` from `[rsi]`.
        Lods "lods",
    }
}

mnemonics! {
    /// Software prefetches.
    PrefetchOp {
        /// Non-temporal.
        Nta "prefetchnta",
        /// Into all levels.
        T0 "prefetcht0",
        /// Into level 2 and higher.
        T1 "prefetcht1",
        /// Into level 3 and higher.
        T2 "prefetcht2",
    }
}

mnemonics! {
    /// 128-bit integer SSE2 instructions; a memory operand must be aligned to 16 bytes when it runs.
    SseOp {
        /// Exclusive or.
        Pxor "pxor",
        /// And.
        Pand "pand",
        /// Inclusive or.
        Por "por",
        /// Add quadwords.
        Paddq "paddq",
        /// Interleave the low quadwords.
        Punpcklqdq "punpcklqdq",
        /// Interleave the high quadwords.
        Punpckhqdq "punpckhqdq",
    }
}

mnemonics! {
    /// 128-bit SSE instructions with an immediate byte.
    SseImmOp {
        /// Shuffle doublewords (SSE2).
        Pshufd "pshufd",
        /// Carry-less multiply of the quadwords that bits 0 and 4 choose (PCLMULQDQ).
        Pclmulqdq "pclmulqdq",
    }
}

mnemonics! {
    /// Shifts of a whole SSE register.
    SseShiftOp {
        /// Right by bytes.
        Psrldq "psrldq",
        /// Left by bytes.
        Pslldq "pslldq",
        /// Each quadword right by bits.
        Psrlq "psrlq",
        /// Each quadword left by bits.
        Psllq "psllq",
    }
}

mnemonics! {
    /// Instructions without operands.
    Nullary {
        /// Return to the address on the stack.
        Ret "ret",
        /// No operation, one byte.
        Nop "nop",
        /// Breakpoint.
        Int3 "int3",
        /// Undefined instruction.
        Ud2 "ud2",
        /// Call the operating system.
        Syscall "syscall",
        /// Sign-extend `ax` into `eax`.
        Cwde "cwde",
        /// Sign-extend `eax` into `rax`.
        Cdqe "cdqe",
        /// Sign-extend `ax` into `dx:ax`.
        Cwd "cwd",
        /// Sign-extend `eax` into `edx:eax`.
        Cdq "cdq",
        /// Sign-extend `rax` into `rdx:rax`.
        Cqo "cqo",
        /// Clear the carry flag.
        Clc "clc",
        /// Set the carry flag.
        Stc "stc",
        /// Complement the carry flag.
        Cmc "cmc",
        /// Clear the direction flag.
        Cld "cld",
        /// Set the direction flag.
        Std "std",
        /// Push the flags.
        Pushfq "pushfq",
        /// Pop the flags.
        Popfq "popfq",
        /// Leave the frame: `mov rsp, rbp`, `pop rbp`.
        Leave "leave",
        /// Hint of a spin-wait loop.
        Pause "pause",
        /// Load fence.
        Lfence "lfence",
        /// Memory fence.
        Mfence "mfence",
        /// Store fence.
        Sfence "sfence",
        /// Mark the target of an indirect branch (CET).
        Endbr64 "endbr64",
    }
}

/// One instruction.
///
/// A value may hold operands that no encoding exists for, such as a byte-sized `lea`; encoding it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Insn {
    /// `mov dst, src`; an eight-byte immediate is sign-extended from 32 bits, a four-byte one clears the upper half.
    Mov {
        /// Operand size.
        size: Size,
        /// Destination.
        dst: Rm,
        /// Source; not memory when the destination is.
        src: Operand,
    },
    /// `movabs dst, imm`: the full 64-bit immediate in ten bytes, whatever its value.
    Movabs {
        /// Destination.
        dst: Gpr,
        /// Immediate.
        imm: u64,
    },
    /// `movzx dst, src`: zero-extend.
    Movzx {
        /// Destination size: 2, 4 or 8 bytes and larger than the source.
        size: Size,
        /// Destination.
        dst: Gpr,
        /// Source size: 1 or 2 bytes.
        src_size: Size,
        /// Source.
        src: Rm,
    },
    /// `movsx dst, src`, or `movsxd` from four bytes: sign-extend.
    Movsx {
        /// Destination size, larger than the source.
        size: Size,
        /// Destination.
        dst: Gpr,
        /// Source size: 1, 2 or, to eight bytes only, 4.
        src_size: Size,
        /// Source.
        src: Rm,
    },
    /// `lea dst, [address]`.
    Lea {
        /// Operand size: 2, 4 or 8 bytes.
        size: Size,
        /// Destination.
        dst: Gpr,
        /// The address to compute; nothing is read.
        mem: Mem,
    },
    /// `add dst, src` and its like.
    Alu {
        /// Operation.
        op: AluOp,
        /// Operand size.
        size: Size,
        /// Destination and first source.
        dst: Rm,
        /// Second source; not memory when the destination is.
        src: Operand,
    },
    /// `test dst, src`: and, for the flags alone.
    Test {
        /// Operand size.
        size: Size,
        /// First operand.
        dst: Rm,
        /// A register or an immediate.
        src: Operand,
    },
    /// `neg dst` and its like, `mul` and `div` included.
    Unary {
        /// Operation.
        op: UnaryOp,
        /// Operand size.
        size: Size,
        /// The operand.
        dst: Rm,
    },
    /// `imul dst, src`.
    Imul {
        /// Operand size: 2, 4 or 8 bytes.
        size: Size,
        /// Destination and first factor.
        dst: Gpr,
        /// Second factor.
        src: Rm,
    },
    /// `imul dst, src, imm`.
    ImulImm {
        /// Operand size: 2, 4 or 8 bytes.
        size: Size,
        /// Destination.
        dst: Gpr,
        /// First factor.
        src: Rm,
        /// Second factor.
        imm: i32,
    },
    /// `rol dst, amount` and its like.
    Shift {
        /// Operation.
        op: ShiftOp,
        /// Operand size.
        size: Size,
        /// Destination.
        dst: Rm,
        /// How far.
        amount: Amount,
    },
    /// `shld dst, src, amount` or `shrd`.
    DoubleShift {
        /// Operation.
        op: DoubleShiftOp,
        /// Operand size: 2, 4 or 8 bytes.
        size: Size,
        /// Destination.
        dst: Rm,
        /// Where the bits that come in are taken from.
        src: Gpr,
        /// How far.
        amount: Amount,
    },
    /// `shlx dst, src, control` and its like.
    BmiRmv {
        /// Operation.
        op: BmiRmvOp,
        /// Operand size: 4 or 8 bytes.
        size: Size,
        /// Destination.
        dst: Gpr,
        /// Source.
        src: Rm,
        /// Shift amount, index or start and length.
        control: Gpr,
    },
    /// `andn dst, src1, src2` and its like.
    BmiRvm {
        /// Operation.
        op: BmiRvmOp,
        /// Operand size: 4 or 8 bytes.
        size: Size,
        /// Destination.
        dst: Gpr,
        /// First source, or the low half of `mulx`.
        src1: Gpr,
        /// Second source.
        src2: Rm,
    },
    /// `blsi dst, src` and its like.
    BmiVm {
        /// Operation.
        op: BmiVmOp,
        /// Operand size: 4 or 8 bytes.
        size: Size,
        /// Destination.
        dst: Gpr,
        /// Source.
        src: Rm,
    },
    /// `rorx dst, src, amount` (BMI2).
    Rorx {
        /// Operand size: 4 or 8 bytes.
        size: Size,
        /// Destination.
        dst: Gpr,
        /// Source.
        src: Rm,
        /// How far, below the operand's bits.
        amount: u8,
    },
    /// `popcnt dst, src` and its like.
    Count {
        /// Operation.
        op: CountOp,
        /// Operand size: 2, 4 or 8 bytes.
        size: Size,
        /// Destination.
        dst: Gpr,
        /// Source.
        src: Rm,
    },
    /// `bswap dst`.
    Bswap {
        /// Operand size: 4 or 8 bytes.
        size: Size,
        /// Destination.
        dst: Gpr,
    },
    /// `movbe dst, [mem]`: load with the bytes swapped (MOVBE).
    MovbeLoad {
        /// Operand size: 2, 4 or 8 bytes; two bytes leave the rest of the register.
        size: Size,
        /// Destination.
        dst: Gpr,
        /// Source.
        src: Mem,
    },
    /// `movbe [mem], src`: store with the bytes swapped (MOVBE).
    MovbeStore {
        /// Operand size: 2, 4 or 8 bytes.
        size: Size,
        /// Destination.
        dst: Mem,
        /// Source.
        src: Gpr,
    },
    /// `cmovcc dst, src`; four bytes clear the upper half even when nothing is moved.
    Cmov {
        /// Condition.
        cond: Cond,
        /// Operand size: 2, 4 or 8 bytes.
        size: Size,
        /// Destination.
        dst: Gpr,
        /// Source; memory is read whatever the condition.
        src: Rm,
    },
    /// `setcc dst`: one byte.
    Setcc {
        /// Condition.
        cond: Cond,
        /// Destination.
        dst: Rm,
    },
    /// `xchg dst, src`; on memory it locks.
    Xchg {
        /// Operand size.
        size: Size,
        /// First operand.
        dst: Rm,
        /// Second operand.
        src: Gpr,
    },
    /// `lock op [dst], src`.
    Locked {
        /// Operation.
        op: LockedOp,
        /// Operand size.
        size: Size,
        /// Memory.
        dst: Mem,
        /// Register.
        src: Gpr,
    },
    /// `push src`: eight bytes, an immediate sign-extended.
    Push {
        /// What to push.
        src: Operand,
    },
    /// `pop dst`: eight bytes.
    Pop {
        /// Where to.
        dst: Rm,
    },
    /// `jmp` to the address in a register or in memory.
    JmpRm {
        /// The target.
        target: Rm,
    },
    /// `call` the address in a register or in memory.
    CallRm {
        /// The target.
        target: Rm,
    },
    /// `jmp` by a displacement from the next instruction.
    JmpRel {
        /// The displacement's width.
        rel: Rel,
        /// Bytes from the next instruction.
        disp: i32,
    },
    /// `jcc` by a displacement from the next instruction.
    JccRel {
        /// Condition.
        cond: Cond,
        /// The displacement's width.
        rel: Rel,
        /// Bytes from the next instruction.
        disp: i32,
    },
    /// `call` by a displacement from the next instruction.
    CallRel {
        /// Bytes from the next instruction.
        disp: i32,
    },
    /// `movsb` and its like, with `rep` repeated `rcx` times.
    String {
        /// Operation.
        op: StringOp,
        /// Size of an element.
        size: Size,
        /// Whether to repeat.
        rep: bool,
    },
    /// An instruction without operands.
    Nullary(Nullary),
    /// `prefetcht0 [mem]` and its like.
    Prefetch {
        /// Which caches.
        op: PrefetchOp,
        /// The address.
        mem: Mem,
    },
    /// `crc32 dst, src`: the CRC-32C step (SSE4.2).
    Crc32 {
        /// Source size; eight bytes take a 64-bit destination, the others a 32-bit one.
        size: Size,
        /// The checksum.
        dst: Gpr,
        /// The data.
        src: Rm,
    },
    /// `movd dst, src` or `movq`: from a general register or memory, zero-extended.
    MovToXmm {
        /// Operand size: 4 or 8 bytes.
        size: Size,
        /// Destination.
        dst: Xmm,
        /// Source.
        src: Rm,
    },
    /// `movd dst, src` or `movq`: to a general register or memory.
    MovFromXmm {
        /// Operand size: 4 or 8 bytes.
        size: Size,
        /// Destination.
        dst: Rm,
        /// Source.
        src: Xmm,
    },
    /// `movdqu dst, src`: 16 bytes, unaligned.
    Movdqu {
        /// Destination.
        dst: Xmm,
        /// Source.
        src: XmmRm,
    },
    /// `movdqu [dst], src`: 16 bytes, unaligned.
    MovdquStore {
        /// Destination.
        dst: Mem,
        /// Source.
        src: Xmm,
    },
    /// `pxor dst, src` and its like.
    Sse {
        /// Operation.
        op: SseOp,
        /// Destination and first source.
        dst: Xmm,
        /// Second source.
        src: XmmRm,
    },
    /// `pclmulqdq dst, src, imm` and its like.
    SseImm {
        /// Operation.
        op: SseImmOp,
        /// Destination.
        dst: Xmm,
        /// Source.
        src: XmmRm,
        /// The immediate byte.
        imm: u8,
    },
    /// `psrldq dst, amount` and its like.
    SseShift {
        /// Operation.
        op: SseShiftOp,
        /// Destination.
        dst: Xmm,
        /// Bytes or bits; everything is shifted out from 16 or 64 on.
        amount: u8,
    },
    /// `vpopcntq dst, src`, or `vpopcntd`: the ones in each lane of 128 bits (AVX512_VPOPCNTDQ and AVX512VL).
    Vpopcnt {
        /// Size of a lane: 4 or 8 bytes.
        size: Size,
        /// Destination; what is above its 128 bits becomes zero.
        dst: Xmm,
        /// Source.
        src: Xmm,
    },
    /// `pextrq dst, src, lane`, or `pextrd` (SSE4.1).
    Pextr {
        /// Operand size: 4 or 8 bytes.
        size: Size,
        /// Destination.
        dst: Rm,
        /// Source.
        src: Xmm,
        /// Lane, 0..=3 of four bytes or 0..=1 of eight.
        lane: u8,
    },
    /// `pinsrq dst, src, lane`, or `pinsrd` (SSE4.1).
    Pinsr {
        /// Operand size: 4 or 8 bytes.
        size: Size,
        /// Destination.
        dst: Xmm,
        /// Source.
        src: Rm,
        /// Lane, 0..=3 of four bytes or 0..=1 of eight.
        lane: u8,
    },
}

impl Insn {
    /// The memory operand that is written in the instruction, if there is one; `lea` and `prefetcht0` only name it, and
    /// the implicit operands of string and stack instructions are not included.
    pub fn mem(&self) -> Option<Mem> {
        match *self {
            Insn::Mov { dst: Rm::Mem(mem), .. }
            | Insn::Mov { src: Operand::Mem(mem), .. }
            | Insn::Movzx { src: Rm::Mem(mem), .. }
            | Insn::Movsx { src: Rm::Mem(mem), .. }
            | Insn::Lea { mem, .. }
            | Insn::Alu { dst: Rm::Mem(mem), .. }
            | Insn::Alu { src: Operand::Mem(mem), .. }
            | Insn::Test { dst: Rm::Mem(mem), .. }
            | Insn::Test { src: Operand::Mem(mem), .. }
            | Insn::Unary { dst: Rm::Mem(mem), .. }
            | Insn::Imul { src: Rm::Mem(mem), .. }
            | Insn::ImulImm { src: Rm::Mem(mem), .. }
            | Insn::Shift { dst: Rm::Mem(mem), .. }
            | Insn::DoubleShift { dst: Rm::Mem(mem), .. }
            | Insn::BmiRmv { src: Rm::Mem(mem), .. }
            | Insn::BmiRvm { src2: Rm::Mem(mem), .. }
            | Insn::BmiVm { src: Rm::Mem(mem), .. }
            | Insn::Rorx { src: Rm::Mem(mem), .. }
            | Insn::Count { src: Rm::Mem(mem), .. }
            | Insn::MovbeLoad { src: mem, .. }
            | Insn::MovbeStore { dst: mem, .. }
            | Insn::Cmov { src: Rm::Mem(mem), .. }
            | Insn::Setcc { dst: Rm::Mem(mem), .. }
            | Insn::Xchg { dst: Rm::Mem(mem), .. }
            | Insn::Locked { dst: mem, .. }
            | Insn::Push { src: Operand::Mem(mem) }
            | Insn::Pop { dst: Rm::Mem(mem) }
            | Insn::JmpRm { target: Rm::Mem(mem) }
            | Insn::CallRm { target: Rm::Mem(mem) }
            | Insn::Prefetch { mem, .. }
            | Insn::Crc32 { src: Rm::Mem(mem), .. }
            | Insn::MovToXmm { src: Rm::Mem(mem), .. }
            | Insn::MovFromXmm { dst: Rm::Mem(mem), .. }
            | Insn::Movdqu { src: XmmRm::Mem(mem), .. }
            | Insn::MovdquStore { dst: mem, .. }
            | Insn::Sse { src: XmmRm::Mem(mem), .. }
            | Insn::SseImm { src: XmmRm::Mem(mem), .. }
            | Insn::Pextr { dst: Rm::Mem(mem), .. }
            | Insn::Pinsr { src: Rm::Mem(mem), .. } => Some(mem),
            _ => None,
        }
    }
}
