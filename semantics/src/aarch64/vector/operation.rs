// SPDX-License-Identifier: GPL-2.0-or-later
//! Instructions on SIMD registers that our assembler does not have.

use kop_ops::aarch64::{Arrangement, Gpr, Scalar, V, Width};

macro_rules! operations {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $mnemonic:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// What an immediate does to a register.
    ImmediateOp {
        /// It is the new value.
        Move = "movi",
        /// Its complement is the new value.
        MoveNot = "mvni",
        /// Its bits are set.
        Set = "orr",
        /// Its bits are cleared.
        Clear = "bic",
    }
}

operations! {
    /// Operations on each lane of one register.
    UnaryOp {
        /// The absolute value; the minimum stays.
        Abs = "abs",
        /// Zero minus the lane.
        Neg = "neg",
        /// The complement; bytes alone.
        Not = "not",
        /// The bits in reverse order; bytes alone.
        Rbit = "rbit",
        /// The number of leading zeros; not of doublewords.
        Clz = "clz",
        /// The number of leading bits after the sign bit that equal it; not of doublewords.
        Cls = "cls",
        /// The lanes of each halfword in reverse order.
        Rev16 = "rev16",
        /// The lanes of each word in reverse order.
        Rev32 = "rev32",
        /// The lanes of each doubleword in reverse order.
        Rev64 = "rev64",
        /// Ones where the lane is zero.
        Cmeq = "cmeq",
        /// Ones where the lane is zero or positive.
        Cmge = "cmge",
        /// Ones where the lane is positive.
        Cmgt = "cmgt",
        /// Ones where the lane is zero or negative.
        Cmle = "cmle",
        /// Ones where the lane is negative.
        Cmlt = "cmlt",
    }
}

operations! {
    /// Operations on each pair of lanes of two registers.
    BinaryOp {
        /// Add.
        Add = "add",
        /// Subtract.
        Sub = "sub",
        /// The low half of the product; not of doublewords.
        Mul = "mul",
        /// Multiply and add to the destination; not doublewords.
        Mla = "mla",
        /// Multiply and subtract from the destination; not doublewords.
        Mls = "mls",
        /// The carry-less product's low half; bytes alone.
        Pmul = "pmul",
        /// Signed maximum; not of doublewords.
        Smax = "smax",
        /// Signed minimum; not of doublewords.
        Smin = "smin",
        /// Unsigned maximum; not of doublewords.
        Umax = "umax",
        /// Unsigned minimum; not of doublewords.
        Umin = "umin",
        /// Ones where the lanes are equal.
        Cmeq = "cmeq",
        /// Ones where the first is greater or equal, signed.
        Cmge = "cmge",
        /// Ones where the first is greater, signed.
        Cmgt = "cmgt",
        /// Ones where the first is higher, unsigned.
        Cmhi = "cmhi",
        /// Ones where the first is higher or the same, unsigned.
        Cmhs = "cmhs",
        /// Ones where the lanes have a one in common.
        Cmtst = "cmtst",
        /// Shifted left by the signed number in the second's low byte, or right with copies of the sign where it is negative.
        Sshl = "sshl",
        /// Shifted left by the signed number in the second's low byte, or right with zeros where it is negative.
        Ushl = "ushl",
    }
}

operations! {
    /// Operations on neighbouring lanes of two registers, those of the first one below.
    PairwiseOp {
        /// Add.
        Addp = "addp",
        /// Signed maximum.
        Smaxp = "smaxp",
        /// Signed minimum.
        Sminp = "sminp",
        /// Unsigned maximum.
        Umaxp = "umaxp",
        /// Unsigned minimum.
        Uminp = "uminp",
    }
}

operations! {
    /// Operations on the lanes of two registers, or of a wide and a narrow one, with a result of twice the size. The
    /// mnemonics have an `s` or a `u` in front.
    LongOp {
        /// Add two narrow lanes.
        Addl = "addl",
        /// Add a narrow lane to a wide one.
        Addw = "addw",
        /// Subtract two narrow lanes.
        Subl = "subl",
        /// Subtract a narrow lane from a wide one.
        Subw = "subw",
        /// Multiply.
        Mull = "mull",
        /// Multiply and add to the destination.
        Mlal = "mlal",
        /// Multiply and subtract from the destination.
        Mlsl = "mlsl",
    }
}

operations! {
    /// Shifts of each lane by a constant.
    ShiftOp {
        /// Left.
        Shl = "shl",
        /// Right, zeros coming in.
        Ushr = "ushr",
        /// Right, copies of the sign coming in.
        Sshr = "sshr",
        /// As USHR, added to the destination.
        Usra = "usra",
        /// As SSHR, added to the destination.
        Ssra = "ssra",
        /// Left; the destination keeps the bits below.
        Sli = "sli",
        /// Right; the destination keeps the bits above.
        Sri = "sri",
    }
}

operations! {
    /// Reductions of all lanes of a register to one.
    AcrossOp {
        /// The sum, of twice the size, of signed numbers.
        Saddlv = "saddlv",
        /// The signed maximum.
        Smaxv = "smaxv",
        /// The signed minimum.
        Sminv = "sminv",
        /// The unsigned maximum.
        Umaxv = "umaxv",
        /// The unsigned minimum.
        Uminv = "uminv",
        /// The sum of two doublewords.
        Addp = "addp",
    }
}

operations! {
    /// Selections of lanes from two registers.
    PermuteOp {
        /// The even lanes of the first alternate with those of the second.
        Trn1 = "trn1",
        /// The odd lanes of the first alternate with those of the second.
        Trn2 = "trn2",
        /// The even lanes of both, those of the first below.
        Uzp1 = "uzp1",
        /// The odd lanes of both, those of the first below.
        Uzp2 = "uzp2",
        /// The lower lanes of the first alternate with those of the second.
        Zip1 = "zip1",
        /// The upper lanes of the first alternate with those of the second.
        Zip2 = "zip2",
    }
}

/// An instruction on SIMD registers that our assembler does not have. The fields are the manual's operands; a scalar of a
/// doubleword is the arrangement 1D.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "the fields are the manual's operands, and the variant states what is special"
)]
pub enum Vector {
    /// MOVI, MVNI, ORR, BIC of an immediate, which is given as 64 bits; `all` is whether the register's upper half gets
    /// it, too, or becomes zero.
    Immediate { op: ImmediateOp, all: bool, vd: V, imm: u64 },
    /// SMOV: a lane, sign-extended to the width.
    Smov { width: Width, lane: Scalar, rd: Gpr, vn: V, index: u8 },
    /// DUP of a lane to a scalar.
    DupScalar { lane: Scalar, vd: V, vn: V, index: u8 },
    /// FMOV of a scalar, S or D.
    FmovScalar { size: Scalar, vd: V, vn: V },
    /// ABS to CMLT with zero.
    Unary { op: UnaryOp, arrangement: Arrangement, vd: V, vn: V },
    /// ADD to USHL.
    Binary { op: BinaryOp, arrangement: Arrangement, vd: V, vn: V, vm: V },
    /// ADDP to UMINP.
    Pairwise { op: PairwiseOp, arrangement: Arrangement, vd: V, vn: V, vm: V },
    /// SADDLP, UADDLP: sums of neighbours, of twice the size; SADALP, UADALP when `accumulate`.
    PairwiseLong { signed: bool, accumulate: bool, arrangement: Arrangement, vd: V, vn: V },
    /// SADDL to UMLSL, and of the upper half when `upper`; `lane` is the size of the narrow lanes.
    Long { op: LongOp, signed: bool, lane: Scalar, upper: bool, vd: V, vn: V, vm: V },
    /// SHL to SRI; the amount is up to the size of a lane.
    Shift { op: ShiftOp, arrangement: Arrangement, vd: V, vn: V, amount: u8 },
    /// SSHLL, USHLL, SHLL, and of the upper half when `upper`; `lane` is the size of the narrow lanes.
    ShiftLong { signed: bool, lane: Scalar, upper: bool, vd: V, vn: V, amount: u8 },
    /// SHRN, XTN, and to the upper half when `upper`; `lane` is the size of the narrow lanes.
    ShiftNarrow { lane: Scalar, upper: bool, vd: V, vn: V, amount: u8 },
    /// SADDLV to UMINV, and ADDP of a scalar.
    Across { op: AcrossOp, arrangement: Arrangement, vd: V, vn: V },
    /// TRN1 to ZIP2.
    Permute { op: PermuteOp, arrangement: Arrangement, vd: V, vn: V, vm: V },
    /// TBL, TBX when `keep`: bytes of 1 to 4 registers from `vn` on, by the bytes of `vm`; 8B or 16B.
    Table { keep: bool, registers: u8, arrangement: Arrangement, vd: V, vn: V, vm: V },
}
