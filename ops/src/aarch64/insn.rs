// SPDX-License-Identifier: GPL-2.0-or-later
//! A64 instructions as values: one variant for each group of instructions that share their operands.

use super::register::{Arrangement, Gpr, Scalar, Size, V, Width};

/// A condition on the flags (Arm ARM, C1.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Cond {
    /// Equal: Z.
    Eq,
    /// Not equal: not Z.
    Ne,
    /// Unsigned higher or same, also called CS: C.
    Hs,
    /// Unsigned lower, also called CC: not C.
    Lo,
    /// Minus: N.
    Mi,
    /// Plus or zero: not N.
    Pl,
    /// Overflow: V.
    Vs,
    /// No overflow: not V.
    Vc,
    /// Unsigned higher: C and not Z.
    Hi,
    /// Unsigned lower or same: not C, or Z.
    Ls,
    /// Signed greater or equal: N = V.
    Ge,
    /// Signed less: N != V.
    Lt,
    /// Signed greater: not Z, and N = V.
    Gt,
    /// Signed less or equal: Z, or N != V.
    Le,
    /// Always.
    Al,
    /// Always too, in the place where the inverse of [`Cond::Al`] would be.
    Nv,
}

impl Cond {
    /// Every condition, in the order of the encodings 0 to 15.
    #[rustfmt::skip]
    pub const ALL: [Cond; 16] = [
        Cond::Eq, Cond::Ne, Cond::Hs, Cond::Lo, Cond::Mi, Cond::Pl, Cond::Vs, Cond::Vc,
        Cond::Hi, Cond::Ls, Cond::Ge, Cond::Lt, Cond::Gt, Cond::Le, Cond::Al, Cond::Nv,
    ];

    /// The `cond` field of an encoding: 0 to 15.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The condition that holds exactly when this one does not; always and [`Cond::Nv`] have none.
    pub fn inverse(self) -> Option<Cond> {
        match self {
            Cond::Al | Cond::Nv => None,
            _ => Some(Cond::ALL[(self as usize) ^ 1]),
        }
    }
}

/// How a register operand is shifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shift {
    /// Logical shift left.
    Lsl,
    /// Logical shift right.
    Lsr,
    /// Arithmetic shift right.
    Asr,
    /// Rotation to the right; logical operations alone have it.
    Ror,
}

impl Shift {
    /// Every shift, in the order of the encodings 0 to 3.
    pub const ALL: [Shift; 4] = [Shift::Lsl, Shift::Lsr, Shift::Asr, Shift::Ror];
}

/// How a register operand is extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Extend {
    /// Zero-extended byte.
    Uxtb,
    /// Zero-extended halfword.
    Uxth,
    /// Zero-extended word.
    Uxtw,
    /// The doubleword as it is, which addresses write as `lsl`.
    Uxtx,
    /// Sign-extended byte.
    Sxtb,
    /// Sign-extended halfword.
    Sxth,
    /// Sign-extended word.
    Sxtw,
    /// The doubleword as it is.
    Sxtx,
}

impl Extend {
    /// Every extension, in the order of the encodings 0 to 7.
    #[rustfmt::skip]
    pub const ALL: [Extend; 8] = [
        Extend::Uxtb, Extend::Uxth, Extend::Uxtw, Extend::Uxtx,
        Extend::Sxtb, Extend::Sxth, Extend::Sxtw, Extend::Sxtx,
    ];

    /// The extensions that an address can have: UXTW, LSL, SXTW, SXTX.
    pub const INDEX: [Extend; 4] = [Extend::Uxtw, Extend::Uxtx, Extend::Sxtw, Extend::Sxtx];
}

/// A memory operand (Arm ARM, C1.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mem {
    /// `[base, #offset]`: in bytes, 0 to 4095 times the access size and a multiple of it, or else -256 to 255 in the
    /// unscaled form, which is chosen when the first does not fit. Pairs: -64 to 63 times the access size.
    Offset {
        /// The base: X0 to X30 or SP.
        base: Gpr,
        /// Bytes added to the base.
        offset: i32,
    },
    /// `[base, #offset]` in the unscaled form (`ldur`, `stur`): -256 to 255.
    Unscaled {
        /// The base: X0 to X30 or SP.
        base: Gpr,
        /// Bytes added to the base.
        offset: i32,
    },
    /// `[base, index, extend #amount]`.
    Register {
        /// The base: X0 to X30 or SP.
        base: Gpr,
        /// The index: X0 to X30 or XZR.
        index: Gpr,
        /// One of [`Extend::INDEX`].
        extend: Extend,
        /// Whether the index is multiplied by the access size.
        scaled: bool,
    },
    /// `[base, #offset]!`: -256 to 255, the base is updated before the access. Pairs: -64 to 63 times the access size.
    PreIndex {
        /// The base: X0 to X30 or SP.
        base: Gpr,
        /// Bytes added to the base.
        offset: i32,
    },
    /// `[base], #offset`: -256 to 255, the base is updated after the access. Pairs: -64 to 63 times the access size.
    PostIndex {
        /// The base: X0 to X30 or SP.
        base: Gpr,
        /// Bytes added to the base after the access.
        offset: i32,
    },
}

impl Mem {
    /// `[base]`.
    pub const fn base(base: Gpr) -> Mem {
        Mem::offset(base, 0)
    }

    /// `[base, #offset]`, in bytes, scaled or unscaled as it fits.
    pub const fn offset(base: Gpr, offset: i32) -> Mem {
        Mem::Offset { base, offset }
    }

    /// `[base, index]` with a doubleword index.
    pub const fn index(base: Gpr, index: Gpr) -> Mem {
        Mem::Register { base, index, extend: Extend::Uxtx, scaled: false }
    }

    /// `[base, #offset]!`, in bytes.
    pub const fn pre(base: Gpr, offset: i32) -> Mem {
        Mem::PreIndex { base, offset }
    }

    /// `[base], #offset`, in bytes.
    pub const fn post(base: Gpr, offset: i32) -> Mem {
        Mem::PostIndex { base, offset }
    }

    /// The base register.
    pub const fn base_register(self) -> Gpr {
        match self {
            Mem::Offset { base, .. }
            | Mem::Unscaled { base, .. }
            | Mem::Register { base, .. }
            | Mem::PreIndex { base, .. }
            | Mem::PostIndex { base, .. } => base,
        }
    }

    /// Whether the access updates the base register.
    pub const fn writes_back(self) -> bool {
        matches!(self, Mem::PreIndex { .. } | Mem::PostIndex { .. })
    }
}

macro_rules! operations {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $mnemonic:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// Every value, in declaration order.
            pub const ALL: &[$name] = &[$($name::$variant),*];

            /// The name in assembly.
            pub const fn mnemonic(self) -> &'static str {
                match self {
                    $($name::$variant => $mnemonic,)*
                }
            }
        }
    };
}

operations! {
    /// The moves of a 16-bit immediate (Arm ARM, C4.1, move wide immediate).
    MoveWide {
        /// The register becomes the inverse of the shifted immediate.
        Movn = "movn",
        /// The register becomes the shifted immediate.
        Movz = "movz",
        /// One halfword of the register becomes the immediate.
        Movk = "movk",
    }
}

operations! {
    /// Addition and subtraction.
    AddSub {
        /// Add.
        Add = "add",
        /// Add, setting the flags.
        Adds = "adds",
        /// Subtract.
        Sub = "sub",
        /// Subtract, setting the flags.
        Subs = "subs",
    }
}

operations! {
    /// Addition and subtraction with the carry flag.
    CarryOp {
        /// Add with carry.
        Adc = "adc",
        /// Add with carry, setting the flags.
        Adcs = "adcs",
        /// Subtract with carry, where a clear carry is a borrow.
        Sbc = "sbc",
        /// Subtract with carry, setting the flags.
        Sbcs = "sbcs",
    }
}

operations! {
    /// Logical operations with a bitmask immediate.
    LogicalImm {
        /// And.
        And = "and",
        /// Or.
        Orr = "orr",
        /// Exclusive or.
        Eor = "eor",
        /// And, setting the flags.
        Ands = "ands",
    }
}

operations! {
    /// Logical operations on registers.
    Logical {
        /// And.
        And = "and",
        /// And with the inverse of the second operand.
        Bic = "bic",
        /// Or.
        Orr = "orr",
        /// Or with the inverse of the second operand.
        Orn = "orn",
        /// Exclusive or.
        Eor = "eor",
        /// Exclusive or with the inverse of the second operand.
        Eon = "eon",
        /// And, setting the flags.
        Ands = "ands",
        /// And with the inverse of the second operand, setting the flags.
        Bics = "bics",
    }
}

operations! {
    /// Moves of a bit field.
    BitfieldOp {
        /// Signed: bits above the field become copies of its top bit.
        Sbfm = "sbfm",
        /// Insertion: bits outside the field stay.
        Bfm = "bfm",
        /// Unsigned: bits outside the field become zero.
        Ubfm = "ubfm",
    }
}

operations! {
    /// Operations on one register.
    OneSourceOp {
        /// The bits in reverse order.
        Rbit = "rbit",
        /// The bytes of each halfword in reverse order.
        Rev16 = "rev16",
        /// The bytes of each word in reverse order; X only.
        Rev32 = "rev32",
        /// The bytes in reverse order.
        Rev = "rev",
        /// The number of leading zeros.
        Clz = "clz",
        /// The number of leading bits after the sign bit that equal it.
        Cls = "cls",
    }
}

operations! {
    /// Operations on two registers without further operands.
    TwoSourceOp {
        /// Unsigned division; division by zero gives zero.
        Udiv = "udiv",
        /// Signed division; division by zero gives zero, the minimum by -1 gives the minimum.
        Sdiv = "sdiv",
        /// Logical shift left by the amount modulo the width.
        Lslv = "lslv",
        /// Logical shift right by the amount modulo the width.
        Lsrv = "lsrv",
        /// Arithmetic shift right by the amount modulo the width.
        Asrv = "asrv",
        /// Rotation to the right by the amount modulo the width.
        Rorv = "rorv",
    }
}

operations! {
    /// Multiplication with an accumulator.
    MulAddOp {
        /// Multiply and add.
        Madd = "madd",
        /// Multiply and subtract from the accumulator.
        Msub = "msub",
    }
}

operations! {
    /// 32 by 32 bits to 64 multiplication with a 64-bit accumulator.
    MulAddLongOp {
        /// Signed multiply and add.
        Smaddl = "smaddl",
        /// Signed multiply and subtract from the accumulator.
        Smsubl = "smsubl",
        /// Unsigned multiply and add.
        Umaddl = "umaddl",
        /// Unsigned multiply and subtract from the accumulator.
        Umsubl = "umsubl",
    }
}

operations! {
    /// Selection by a condition; when it does not hold, the second operand is taken after the change named.
    CondSelectOp {
        /// Unchanged.
        Csel = "csel",
        /// Plus one.
        Csinc = "csinc",
        /// Inverted.
        Csinv = "csinv",
        /// Negated.
        Csneg = "csneg",
    }
}

operations! {
    /// Comparison under a condition; when it does not hold, the flags become a constant.
    CondCompareOp {
        /// Compare with the negative.
        Ccmn = "ccmn",
        /// Compare.
        Ccmp = "ccmp",
    }
}

operations! {
    /// FEAT_LSE's operations on memory that return the old value.
    AtomicOp {
        /// Add.
        Add = "ldadd",
        /// Clear the bits that are set in the operand.
        Clr = "ldclr",
        /// Exclusive or.
        Eor = "ldeor",
        /// Set the bits that are set in the operand.
        Set = "ldset",
        /// Signed maximum.
        Smax = "ldsmax",
        /// Signed minimum.
        Smin = "ldsmin",
        /// Unsigned maximum.
        Umax = "ldumax",
        /// Unsigned minimum.
        Umin = "ldumin",
        /// Swap.
        Swp = "swp",
    }
}

operations! {
    /// The memory ordering of a FEAT_LSE instruction, by its suffix.
    Order {
        /// None.
        Relaxed = "",
        /// The load is an acquire.
        Acquire = "a",
        /// The store is a release.
        Release = "l",
        /// Both.
        AcquireRelease = "al",
    }
}

operations! {
    /// What a barrier orders.
    BarrierScope {
        /// Outer shareable, loads.
        Oshld = "oshld",
        /// Outer shareable, stores.
        Oshst = "oshst",
        /// Outer shareable.
        Osh = "osh",
        /// Non-shareable, loads.
        Nshld = "nshld",
        /// Non-shareable, stores.
        Nshst = "nshst",
        /// Non-shareable.
        Nsh = "nsh",
        /// Inner shareable, loads.
        Ishld = "ishld",
        /// Inner shareable, stores.
        Ishst = "ishst",
        /// Inner shareable.
        Ish = "ish",
        /// Full system, loads.
        Ld = "ld",
        /// Full system, stores.
        St = "st",
        /// Full system.
        Sy = "sy",
    }
}

operations! {
    /// Hints, which do nothing where they mean nothing.
    Hint {
        /// No operation.
        Nop = "nop",
        /// This hardware thread has nothing urgent to do.
        Yield = "yield",
        /// FEAT_BTI: no indirect branch may land here.
        Bti = "bti",
        /// FEAT_BTI: indirect calls may land here.
        BtiC = "bti c",
        /// FEAT_BTI: indirect jumps may land here.
        BtiJ = "bti j",
        /// FEAT_BTI: indirect calls and jumps may land here.
        BtiJc = "bti jc",
    }
}

operations! {
    /// A system register.
    SysReg {
        /// The condition flags in bits 31 to 28.
        Nzcv = "nzcv",
        /// Floating-point control.
        Fpcr = "fpcr",
        /// Floating-point status.
        Fpsr = "fpsr",
        /// The thread pointer of user space.
        TpidrEl0 = "tpidr_el0",
    }
}

operations! {
    /// What PRFM prefetches for, into which cache, and whether it is used more than once.
    Prefetch {
        /// Load, level 1, kept.
        PldL1Keep = "pldl1keep",
        /// Load, level 1, used once.
        PldL1Strm = "pldl1strm",
        /// Load, level 2, kept.
        PldL2Keep = "pldl2keep",
        /// Load, level 2, used once.
        PldL2Strm = "pldl2strm",
        /// Load, level 3, kept.
        PldL3Keep = "pldl3keep",
        /// Load, level 3, used once.
        PldL3Strm = "pldl3strm",
        /// Instructions, level 1, kept.
        PliL1Keep = "plil1keep",
        /// Instructions, level 1, used once.
        PliL1Strm = "plil1strm",
        /// Instructions, level 2, kept.
        PliL2Keep = "plil2keep",
        /// Instructions, level 2, used once.
        PliL2Strm = "plil2strm",
        /// Instructions, level 3, kept.
        PliL3Keep = "plil3keep",
        /// Instructions, level 3, used once.
        PliL3Strm = "plil3strm",
        /// Store, level 1, kept.
        PstL1Keep = "pstl1keep",
        /// Store, level 1, used once.
        PstL1Strm = "pstl1strm",
        /// Store, level 2, kept.
        PstL2Keep = "pstl2keep",
        /// Store, level 2, used once.
        PstL2Strm = "pstl2strm",
        /// Store, level 3, kept.
        PstL3Keep = "pstl3keep",
        /// Store, level 3, used once.
        PstL3Strm = "pstl3strm",
    }
}

operations! {
    /// Bitwise operations on SIMD registers.
    VLogical {
        /// And.
        And = "and",
        /// And with the inverse of the second operand.
        Bic = "bic",
        /// Or.
        Orr = "orr",
        /// Or with the inverse of the second operand.
        Orn = "orn",
        /// Exclusive or.
        Eor = "eor",
        /// Bits of the destination select between the operands.
        Bsl = "bsl",
        /// Bits of the second operand select which bits of the first are inserted.
        Bit = "bit",
        /// Clear bits of the second operand select which bits of the first are inserted.
        Bif = "bif",
    }
}

operations! {
    /// Bits chosen by a mask, in each lane of an SVE register (FEAT_SVE_BitPerm).
    BitPermuteOp {
        /// The bits where the mask has ones, put together.
        Bext = "bext",
        /// The low bits, put where the mask has ones.
        Bdep = "bdep",
    }
}

operations! {
    /// The lanes of a carry-less multiplication.
    PmullForm {
        /// Eight bytes by eight bytes to eight halfwords (Advanced SIMD).
        Bytes = "8h",
        /// One doubleword by one doubleword to 128 bits (FEAT_PMULL).
        Doubleword = "1q",
    }
}

/// The part of a SIMD register that FMOV exchanges with a general-purpose register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FmovLane {
    /// The lowest 32 bits, with a W register.
    S,
    /// The lower half, with an X register.
    D,
    /// The upper half, `v.d[1]`, with an X register.
    UpperD,
}

impl FmovLane {
    /// Every part.
    pub const ALL: [FmovLane; 3] = [FmovLane::S, FmovLane::D, FmovLane::UpperD];

    /// The width of the general-purpose register.
    pub const fn width(self) -> Width {
        match self {
            FmovLane::S => Width::W,
            FmovLane::D | FmovLane::UpperD => Width::X,
        }
    }
}

/// The second operand of a conditional comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CondOperand {
    /// A register.
    Reg(Gpr),
    /// 0 to 31.
    Imm(u8),
}

/// One A64 instruction.
///
/// Fields carry the manual's names: `rd` is the destination, `rn` and `rm` the sources, `rt` what a load or store
/// transfers, `v…` the same for SIMD registers. Registers are X0 to X30 or XZR unless a field says SP. Offsets are in
/// bytes from the instruction itself. What the encoding cannot hold is refused by [`Insn::encode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(
    missing_docs,
    reason = "the fields are the manual's operands, and the variant states what is special"
)]
pub enum Insn {
    /// MOVN, MOVZ, MOVK; `shift` is 0, 16, 32 or 48, below the width.
    MoveWide { op: MoveWide, width: Width, rd: Gpr, imm: u16, shift: u8 },
    /// ADD, ADDS, SUB, SUBS of an immediate: 0 to 4095, or a multiple of 4096 up to 4095 * 4096. `rn` can be SP, not
    /// XZR; `rd` too unless the flags are set.
    AddSubImm { op: AddSub, width: Width, rd: Gpr, rn: Gpr, imm: u32 },
    /// ADD, ADDS, SUB, SUBS of a register shifted by `amount` below the width; no ROR.
    AddSubShifted { op: AddSub, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, shift: Shift, amount: u8 },
    /// ADD, ADDS, SUB, SUBS of an extended register shifted left by 0 to 4. `rn` can be SP, not XZR; `rd` too unless
    /// the flags are set.
    AddSubExtended { op: AddSub, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, extend: Extend, amount: u8 },
    /// ADC, ADCS, SBC, SBCS.
    AddSubCarry { op: CarryOp, width: Width, rd: Gpr, rn: Gpr, rm: Gpr },
    /// AND, ORR, EOR, ANDS with a bitmask immediate; `rd` can be SP, not XZR, unless the flags are set.
    LogicalImm { op: LogicalImm, width: Width, rd: Gpr, rn: Gpr, imm: u64 },
    /// AND, BIC, ORR, ORN, EOR, EON, ANDS, BICS with a register shifted by `amount` below the width.
    LogicalShifted { op: Logical, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, shift: Shift, amount: u8 },
    /// SBFM, BFM, UBFM; `immr` and `imms` are below the width.
    Bitfield { op: BitfieldOp, width: Width, rd: Gpr, rn: Gpr, immr: u8, imms: u8 },
    /// EXTR: the bits of `rn:rm` from `lsb` on, which is below the width.
    Extract { width: Width, rd: Gpr, rn: Gpr, rm: Gpr, lsb: u8 },
    /// RBIT, REV16, REV32, REV, CLZ, CLS.
    OneSource { op: OneSourceOp, width: Width, rd: Gpr, rn: Gpr },
    /// UDIV, SDIV, LSLV, LSRV, ASRV, RORV.
    TwoSource { op: TwoSourceOp, width: Width, rd: Gpr, rn: Gpr, rm: Gpr },
    /// CRC32B to CRC32X, and CRC32CB to CRC32CX when `castagnoli` (FEAT_CRC32); `rm` is the data.
    Crc32 { castagnoli: bool, size: Size, rd: Gpr, rn: Gpr, rm: Gpr },
    /// MADD, MSUB.
    MulAdd { op: MulAddOp, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, ra: Gpr },
    /// SMADDL, SMSUBL, UMADDL, UMSUBL.
    MulAddLong { op: MulAddLongOp, rd: Gpr, rn: Gpr, rm: Gpr, ra: Gpr },
    /// SMULH, UMULH.
    MulHigh { signed: bool, rd: Gpr, rn: Gpr, rm: Gpr },
    /// CSEL, CSINC, CSINV, CSNEG.
    CondSelect { op: CondSelectOp, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, cond: Cond },
    /// CCMN, CCMP; `nzcv`, 0 to 15, is what the flags become when `cond` does not hold.
    CondCompare { op: CondCompareOp, width: Width, rn: Gpr, operand: CondOperand, nzcv: u8, cond: Cond },
    /// LDRB, LDRH, LDR, zero-extending.
    Load { size: Size, rt: Gpr, mem: Mem },
    /// LDRSB, LDRSH, LDRSW, sign-extending to `width`, which is wider than `size`.
    LoadSigned { width: Width, size: Size, rt: Gpr, mem: Mem },
    /// STRB, STRH, STR.
    Store { size: Size, rt: Gpr, mem: Mem },
    /// PRFM.
    Prfm { op: Prefetch, mem: Mem },
    /// LDP; the memory operand is an offset, or pre- or post-indexed.
    LoadPair { width: Width, rt: Gpr, rt2: Gpr, mem: Mem },
    /// STP; the memory operand is an offset, or pre- or post-indexed.
    StorePair { width: Width, rt: Gpr, rt2: Gpr, mem: Mem },
    /// LDR of a literal within 1 MiB; `offset` is a multiple of 4.
    LoadLiteral { width: Width, rt: Gpr, offset: i32 },
    /// LDRSW of a literal within 1 MiB; `offset` is a multiple of 4.
    LoadSignedLiteral { rt: Gpr, offset: i32 },
    /// LDR of a SIMD register.
    VLoad { size: Scalar, vt: V, mem: Mem },
    /// STR of a SIMD register.
    VStore { size: Scalar, vt: V, mem: Mem },
    /// LDP of SIMD registers, S, D or Q; the memory operand is an offset, or pre- or post-indexed.
    VLoadPair { size: Scalar, vt: V, vt2: V, mem: Mem },
    /// STP of SIMD registers, S, D or Q; the memory operand is an offset, or pre- or post-indexed.
    VStorePair { size: Scalar, vt: V, vt2: V, mem: Mem },
    /// LDXR, LDAXR when `acquire`, with the suffix of the size; `base` can be SP.
    LoadExclusive { size: Size, acquire: bool, rt: Gpr, base: Gpr },
    /// STXR, STLXR when `release`; `rs` is the status, neither `rt` nor `base`, which can be SP.
    StoreExclusive { size: Size, release: bool, rs: Gpr, rt: Gpr, base: Gpr },
    /// LDAR with the suffix of the size; `base` can be SP.
    LoadAcquire { size: Size, rt: Gpr, base: Gpr },
    /// LDAPR with the suffix of the size (FEAT_LRCPC); `base` can be SP.
    LoadAcquirePc { size: Size, rt: Gpr, base: Gpr },
    /// STLR with the suffix of the size; `base` can be SP.
    StoreRelease { size: Size, rt: Gpr, base: Gpr },
    /// LDADD to LDUMIN, and SWP (FEAT_LSE): `rs` is the operand, `rt` the old value; `base` can be SP.
    Atomic { op: AtomicOp, size: Size, order: Order, rs: Gpr, rt: Gpr, base: Gpr },
    /// CAS (FEAT_LSE): `rs` is compared and becomes the old value, `rt` is stored; `base` can be SP.
    Cas { size: Size, order: Order, rs: Gpr, rt: Gpr, base: Gpr },
    /// ADR: within 1 MiB.
    Adr { rd: Gpr, offset: i32 },
    /// ADRP: the 4 KiB page of the instruction plus `offset`, a multiple of 4096 within 4 GiB. Not position
    /// independent unless the code moves by whole pages.
    Adrp { rd: Gpr, offset: i64 },
    /// B: within 128 MiB.
    B { offset: i32 },
    /// BL: within 128 MiB.
    Bl { offset: i32 },
    /// B.cond: within 1 MiB.
    BCond { cond: Cond, offset: i32 },
    /// CBZ, CBNZ when `nonzero`: within 1 MiB.
    CompareBranch { nonzero: bool, width: Width, rt: Gpr, offset: i32 },
    /// TBZ, TBNZ when `nonzero`: within 32 KiB; `bit` is 0 to 63.
    TestBranch { nonzero: bool, rt: Gpr, bit: u8, offset: i32 },
    /// BR.
    Br { rn: Gpr },
    /// BLR.
    Blr { rn: Gpr },
    /// RET.
    Ret { rn: Gpr },
    /// SVC.
    Svc { imm: u16 },
    /// BRK.
    Brk { imm: u16 },
    /// UDF: permanently undefined.
    Udf { imm: u16 },
    /// NOP, YIELD, BTI.
    Hint(Hint),
    /// DMB.
    Dmb(BarrierScope),
    /// DSB.
    Dsb(BarrierScope),
    /// ISB.
    Isb,
    /// SB (FEAT_SB).
    Sb,
    /// MRS.
    Mrs { rt: Gpr, register: SysReg },
    /// MSR.
    Msr { register: SysReg, rt: Gpr },
    /// FMOV from a SIMD register to a general-purpose register.
    FmovToGpr { lane: FmovLane, rd: Gpr, vn: V },
    /// FMOV from a general-purpose register to a SIMD register.
    FmovFromGpr { lane: FmovLane, vd: V, rn: Gpr },
    /// CNT: set bits of each byte; 8B or 16B.
    Cnt { arrangement: Arrangement, vd: V, vn: V },
    /// ADDV: the sum of the lanes, in a lane; 8B, 16B, 4H, 8H or 4S.
    Addv { arrangement: Arrangement, vd: V, vn: V },
    /// UADDLV: the sum of the lanes, in a scalar of twice their size; 8B, 16B, 4H, 8H or 4S.
    Uaddlv { arrangement: Arrangement, vd: V, vn: V },
    /// PMULL, PMULL2 when `upper`.
    Pmull { form: PmullForm, upper: bool, vd: V, vn: V, vm: V },
    /// UMOV: a lane, zero-extended, to a general-purpose register.
    Umov { lane: Scalar, rd: Gpr, vn: V, index: u8 },
    /// INS from a general-purpose register to a lane.
    InsGpr { lane: Scalar, vd: V, index: u8, rn: Gpr },
    /// INS from the lane `from` of `vn` to the lane `index` of `vd`.
    InsLane { lane: Scalar, vd: V, index: u8, vn: V, from: u8 },
    /// DUP of a general-purpose register to every lane; not 1D.
    DupGpr { arrangement: Arrangement, vd: V, rn: Gpr },
    /// DUP of a lane to every lane; not 1D.
    DupLane { arrangement: Arrangement, vd: V, vn: V, index: u8 },
    /// MOVI to both doublewords: each byte of `imm` is 0 or 0xff.
    Movi { vd: V, imm: u64 },
    /// AND, BIC, ORR, ORN, EOR, BSL, BIT, BIF; 8B or 16B.
    VLogical { op: VLogical, arrangement: Arrangement, vd: V, vn: V, vm: V },
    /// EXT: the bytes of `vm:vn` from `index` on; 8B or 16B, `index` below the number of lanes.
    Ext { arrangement: Arrangement, vd: V, vn: V, vm: V, index: u8 },
    /// BEXT, BDEP: of the lanes of `zn`, by the masks in `zm`. A Z register has the V register of its number in its low 128 bits.
    BitPermute { op: BitPermuteOp, lane: Scalar, zd: V, zn: V, zm: V },
}

/// The part of the instruction set that an instruction belongs to, as the Arm ARM divides it (C4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// Data processing with an immediate, and addresses.
    Immediate,
    /// Data processing on registers.
    Register,
    /// Loads and stores.
    LoadStore,
    /// Exclusive, ordered and atomic accesses.
    Atomic,
    /// Branches, exceptions, hints, barriers and system registers.
    BranchOrSystem,
    /// Computations on SIMD registers, and moves between them and the others.
    Simd,
}

impl Insn {
    /// The part of the instruction set that the instruction belongs to.
    pub const fn group(&self) -> Group {
        match *self {
            Insn::MoveWide { .. }
            | Insn::AddSubImm { .. }
            | Insn::LogicalImm { .. }
            | Insn::Bitfield { .. }
            | Insn::Extract { .. }
            | Insn::Adr { .. }
            | Insn::Adrp { .. } => Group::Immediate,
            Insn::AddSubShifted { .. }
            | Insn::AddSubExtended { .. }
            | Insn::AddSubCarry { .. }
            | Insn::LogicalShifted { .. }
            | Insn::OneSource { .. }
            | Insn::TwoSource { .. }
            | Insn::Crc32 { .. }
            | Insn::MulAdd { .. }
            | Insn::MulAddLong { .. }
            | Insn::MulHigh { .. }
            | Insn::CondSelect { .. }
            | Insn::CondCompare { .. } => Group::Register,
            Insn::Load { .. }
            | Insn::LoadSigned { .. }
            | Insn::Store { .. }
            | Insn::Prfm { .. }
            | Insn::LoadPair { .. }
            | Insn::StorePair { .. }
            | Insn::LoadLiteral { .. }
            | Insn::LoadSignedLiteral { .. }
            | Insn::VLoad { .. }
            | Insn::VStore { .. }
            | Insn::VLoadPair { .. }
            | Insn::VStorePair { .. } => Group::LoadStore,
            Insn::LoadExclusive { .. }
            | Insn::StoreExclusive { .. }
            | Insn::LoadAcquire { .. }
            | Insn::LoadAcquirePc { .. }
            | Insn::StoreRelease { .. }
            | Insn::Atomic { .. }
            | Insn::Cas { .. } => Group::Atomic,
            Insn::B { .. }
            | Insn::Bl { .. }
            | Insn::BCond { .. }
            | Insn::CompareBranch { .. }
            | Insn::TestBranch { .. }
            | Insn::Br { .. }
            | Insn::Blr { .. }
            | Insn::Ret { .. }
            | Insn::Svc { .. }
            | Insn::Brk { .. }
            | Insn::Udf { .. }
            | Insn::Hint(_)
            | Insn::Dmb(_)
            | Insn::Dsb(_)
            | Insn::Isb
            | Insn::Sb
            | Insn::Mrs { .. }
            | Insn::Msr { .. } => Group::BranchOrSystem,
            Insn::FmovToGpr { .. }
            | Insn::FmovFromGpr { .. }
            | Insn::Cnt { .. }
            | Insn::Addv { .. }
            | Insn::Uaddlv { .. }
            | Insn::Pmull { .. }
            | Insn::Umov { .. }
            | Insn::InsGpr { .. }
            | Insn::InsLane { .. }
            | Insn::DupGpr { .. }
            | Insn::DupLane { .. }
            | Insn::Movi { .. }
            | Insn::VLogical { .. }
            | Insn::Ext { .. }
            | Insn::BitPermute { .. } => Group::Simd,
        }
    }

    /// Whether the instruction reads or writes a SIMD register.
    pub const fn uses_simd(&self) -> bool {
        matches!(self.group(), Group::Simd)
            || matches!(
                self,
                Insn::VLoad { .. } | Insn::VStore { .. } | Insn::VLoadPair { .. } | Insn::VStorePair { .. }
            )
    }

    /// The distance in bytes to what a branch, ADR or literal load names; none for other instructions and for ADRP.
    pub const fn offset(&self) -> Option<i32> {
        match *self {
            Insn::B { offset }
            | Insn::Bl { offset }
            | Insn::BCond { offset, .. }
            | Insn::CompareBranch { offset, .. }
            | Insn::TestBranch { offset, .. }
            | Insn::Adr { offset, .. }
            | Insn::LoadLiteral { offset, .. }
            | Insn::LoadSignedLiteral { offset, .. } => Some(offset),
            _ => None,
        }
    }

    /// The same instruction with another distance; an instruction without one is unchanged.
    #[must_use]
    pub const fn with_offset(mut self, new: i32) -> Insn {
        if let Insn::B { offset }
        | Insn::Bl { offset }
        | Insn::BCond { offset, .. }
        | Insn::CompareBranch { offset, .. }
        | Insn::TestBranch { offset, .. }
        | Insn::Adr { offset, .. }
        | Insn::LoadLiteral { offset, .. }
        | Insn::LoadSignedLiteral { offset, .. } = &mut self
        {
            *offset = new;
        }
        self
    }

    /// The conditional branch that is taken exactly when this one is not, with distance 0; none for other instructions
    /// and for conditions that always hold.
    pub fn inverse_branch(&self) -> Option<Insn> {
        match *self {
            Insn::BCond { cond, .. } => Some(Insn::BCond { cond: cond.inverse()?, offset: 0 }),
            Insn::CompareBranch { nonzero, width, rt, .. } => {
                Some(Insn::CompareBranch { nonzero: !nonzero, width, rt, offset: 0 })
            }
            Insn::TestBranch { nonzero, rt, bit, .. } => {
                Some(Insn::TestBranch { nonzero: !nonzero, rt, bit, offset: 0 })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_invert_in_pairs() {
        for cond in Cond::ALL {
            assert_eq!(cond.inverse().and_then(Cond::inverse), cond.inverse().map(|_| cond));
        }
        assert_eq!((Cond::Lo.inverse(), Cond::Le.inverse()), (Some(Cond::Hs), Some(Cond::Gt)));
        assert_eq!((Cond::Al.inverse(), Cond::Nv.inverse()), (None, None));
    }

    #[test]
    fn offsets_are_replaced_where_there_are_any() {
        let branch = Insn::TestBranch { nonzero: true, rt: Gpr::X3, bit: 5, offset: 0 };
        assert_eq!(branch.with_offset(-8).offset(), Some(-8));
        assert_eq!(Insn::Isb.with_offset(4), Insn::Isb);
        assert_eq!(Insn::Isb.offset(), None);
    }
}
