// SPDX-License-Identifier: GPL-2.0-or-later
//! AArch64's general-purpose and SIMD registers, and the sizes in which instructions use them (Arm ARM, B1.2).

use std::fmt;

/// How much of a general-purpose register an instruction uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Width {
    /// 32 bits; a write clears the upper half.
    W,
    /// 64 bits.
    X,
}

impl Width {
    /// Both widths, the narrow one first.
    pub const ALL: [Width; 2] = [Width::W, Width::X];

    /// The number of bits: 32 or 64.
    pub const fn bits(self) -> u32 {
        match self {
            Width::W => 32,
            Width::X => 64,
        }
    }

    /// The `sf` field of an encoding: 0 or 1.
    pub const fn sf(self) -> u32 {
        self as u32
    }

    /// The bits that a register of this width has.
    pub const fn mask(self) -> u64 {
        match self {
            Width::W => u32::MAX as u64,
            Width::X => u64::MAX,
        }
    }
}

/// The size of a memory access or of a general-purpose operand, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Size {
    /// One byte.
    B1,
    /// Two bytes, a halfword.
    B2,
    /// Four bytes, a word.
    B4,
    /// Eight bytes, a doubleword.
    B8,
}

impl Size {
    /// Every size, the smallest first.
    pub const ALL: [Size; 4] = [Size::B1, Size::B2, Size::B4, Size::B8];

    /// The number of bytes: 1, 2, 4 or 8.
    pub const fn bytes(self) -> u32 {
        1 << self.log2()
    }

    /// The binary logarithm of the number of bytes, which is the `size` field of an encoding: 0 to 3.
    pub const fn log2(self) -> u32 {
        self as u32
    }

    /// The width of the register that holds a zero-extended value of this size: X for eight bytes, W below.
    pub const fn width(self) -> Width {
        match self {
            Size::B8 => Width::X,
            _ => Width::W,
        }
    }
}

impl From<Width> for Size {
    fn from(width: Width) -> Self {
        match width {
            Width::W => Size::B4,
            Width::X => Size::B8,
        }
    }
}

/// A general-purpose register, the zero register or the stack pointer.
///
/// The last two share number 31 in encodings; which one an operand can be depends on the instruction, and encoding
/// refuses the other (Arm ARM, C1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Gpr {
    /// X0, W0.
    X0,
    /// X1, W1.
    X1,
    /// X2, W2.
    X2,
    /// X3, W3.
    X3,
    /// X4, W4.
    X4,
    /// X5, W5.
    X5,
    /// X6, W6.
    X6,
    /// X7, W7.
    X7,
    /// X8, W8.
    X8,
    /// X9, W9.
    X9,
    /// X10, W10.
    X10,
    /// X11, W11.
    X11,
    /// X12, W12.
    X12,
    /// X13, W13.
    X13,
    /// X14, W14.
    X14,
    /// X15, W15.
    X15,
    /// X16, W16.
    X16,
    /// X17, W17.
    X17,
    /// X18, W18.
    X18,
    /// X19, W19.
    X19,
    /// X20, W20.
    X20,
    /// X21, W21.
    X21,
    /// X22, W22.
    X22,
    /// X23, W23.
    X23,
    /// X24, W24.
    X24,
    /// X25, W25.
    X25,
    /// X26, W26.
    X26,
    /// X27, W27.
    X27,
    /// X28, W28.
    X28,
    /// X29, W29: the frame pointer of AAPCS64.
    X29,
    /// X30, W30: the link register.
    X30,
    /// The zero register: XZR, WZR.
    Xzr,
    /// The stack pointer: SP, WSP.
    Sp,
}

impl Gpr {
    /// X0 to X30 in order.
    #[rustfmt::skip]
    pub const ALL: [Gpr; 31] = [
        Gpr::X0, Gpr::X1, Gpr::X2, Gpr::X3, Gpr::X4, Gpr::X5, Gpr::X6, Gpr::X7,
        Gpr::X8, Gpr::X9, Gpr::X10, Gpr::X11, Gpr::X12, Gpr::X13, Gpr::X14, Gpr::X15,
        Gpr::X16, Gpr::X17, Gpr::X18, Gpr::X19, Gpr::X20, Gpr::X21, Gpr::X22, Gpr::X23,
        Gpr::X24, Gpr::X25, Gpr::X26, Gpr::X27, Gpr::X28, Gpr::X29, Gpr::X30,
    ];

    /// The register of `number`, X0 to X30; none from 31 on.
    pub fn from_number(number: u8) -> Option<Gpr> {
        Gpr::ALL.get(usize::from(number)).copied()
    }

    /// The number in encodings: 0 to 30, and 31 for the zero register and the stack pointer.
    pub const fn number(self) -> u32 {
        match self {
            Gpr::Xzr | Gpr::Sp => 31,
            _ => self as u32,
        }
    }

    /// Whether it is one of X0 to X30.
    pub const fn is_numbered(self) -> bool {
        !matches!(self, Gpr::Xzr | Gpr::Sp)
    }

    /// The register as assembly names it in `width`: `x0`, `w0`, `xzr`, `wzr`, `sp`, `wsp`.
    pub const fn named(self, width: Width) -> NamedGpr {
        NamedGpr { register: self, width }
    }
}

impl fmt::Display for Gpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.named(Width::X).fmt(f)
    }
}

/// A general-purpose register in one width, as assembly names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NamedGpr {
    register: Gpr,
    width: Width,
}

impl fmt::Display for NamedGpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.register, self.width) {
            (Gpr::Xzr, Width::W) => f.write_str("wzr"),
            (Gpr::Xzr, Width::X) => f.write_str("xzr"),
            (Gpr::Sp, Width::W) => f.write_str("wsp"),
            (Gpr::Sp, Width::X) => f.write_str("sp"),
            (register, Width::W) => write!(f, "w{}", register.number()),
            (register, Width::X) => write!(f, "x{}", register.number()),
        }
    }
}

/// A SIMD and floating-point register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum V {
    /// V0.
    V0,
    /// V1.
    V1,
    /// V2.
    V2,
    /// V3.
    V3,
    /// V4.
    V4,
    /// V5.
    V5,
    /// V6.
    V6,
    /// V7.
    V7,
    /// V8.
    V8,
    /// V9.
    V9,
    /// V10.
    V10,
    /// V11.
    V11,
    /// V12.
    V12,
    /// V13.
    V13,
    /// V14.
    V14,
    /// V15.
    V15,
    /// V16.
    V16,
    /// V17.
    V17,
    /// V18.
    V18,
    /// V19.
    V19,
    /// V20.
    V20,
    /// V21.
    V21,
    /// V22.
    V22,
    /// V23.
    V23,
    /// V24.
    V24,
    /// V25.
    V25,
    /// V26.
    V26,
    /// V27.
    V27,
    /// V28.
    V28,
    /// V29.
    V29,
    /// V30.
    V30,
    /// V31.
    V31,
}

impl V {
    /// V0 to V31 in order.
    #[rustfmt::skip]
    pub const ALL: [V; 32] = [
        V::V0, V::V1, V::V2, V::V3, V::V4, V::V5, V::V6, V::V7,
        V::V8, V::V9, V::V10, V::V11, V::V12, V::V13, V::V14, V::V15,
        V::V16, V::V17, V::V18, V::V19, V::V20, V::V21, V::V22, V::V23,
        V::V24, V::V25, V::V26, V::V27, V::V28, V::V29, V::V30, V::V31,
    ];

    /// The register of `number`, V0 to V31; none from 32 on.
    pub fn from_number(number: u8) -> Option<V> {
        V::ALL.get(usize::from(number)).copied()
    }

    /// The number in encodings: 0 to 31.
    pub const fn number(self) -> u32 {
        self as u32
    }
}

impl fmt::Display for V {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.number())
    }
}

/// The size of a scalar in a SIMD register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scalar {
    /// One byte, named `b0`.
    B,
    /// Two bytes, named `h0`.
    H,
    /// Four bytes, named `s0`.
    S,
    /// Eight bytes, named `d0`.
    D,
    /// Sixteen bytes, named `q0`.
    Q,
}

impl Scalar {
    /// Every size, the smallest first.
    pub const ALL: [Scalar; 5] = [Scalar::B, Scalar::H, Scalar::S, Scalar::D, Scalar::Q];

    /// The sizes that a lane of a vector has: B, H, S, D.
    pub const LANES: [Scalar; 4] = [Scalar::B, Scalar::H, Scalar::S, Scalar::D];

    /// The number of bytes: 1 to 16.
    pub const fn bytes(self) -> u32 {
        1 << self.log2()
    }

    /// The binary logarithm of the number of bytes: 0 to 4.
    pub const fn log2(self) -> u32 {
        self as u32
    }

    /// The letter in assembly: `b`, `h`, `s`, `d`, `q`.
    pub const fn letter(self) -> char {
        match self {
            Scalar::B => 'b',
            Scalar::H => 'h',
            Scalar::S => 's',
            Scalar::D => 'd',
            Scalar::Q => 'q',
        }
    }
}

/// How a SIMD register is divided into lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arrangement {
    /// Eight bytes, the lower half of the register.
    B8,
    /// Sixteen bytes.
    B16,
    /// Four halfwords, the lower half of the register.
    H4,
    /// Eight halfwords.
    H8,
    /// Two words, the lower half of the register.
    S2,
    /// Four words.
    S4,
    /// One doubleword, the lower half of the register.
    D1,
    /// Two doublewords.
    D2,
}

impl Arrangement {
    /// Every arrangement.
    pub const ALL: [Arrangement; 8] = [
        Arrangement::B8,
        Arrangement::B16,
        Arrangement::H4,
        Arrangement::H8,
        Arrangement::S2,
        Arrangement::S4,
        Arrangement::D1,
        Arrangement::D2,
    ];

    /// The size of a lane.
    pub const fn lane(self) -> Scalar {
        match self {
            Arrangement::B8 | Arrangement::B16 => Scalar::B,
            Arrangement::H4 | Arrangement::H8 => Scalar::H,
            Arrangement::S2 | Arrangement::S4 => Scalar::S,
            Arrangement::D1 | Arrangement::D2 => Scalar::D,
        }
    }

    /// The `Q` field of an encoding: 1 for the whole register, 0 for its lower half.
    pub const fn q(self) -> u32 {
        self as u32 & 1
    }

    /// The name after the dot in assembly: `8b` to `2d`.
    pub const fn name(self) -> &'static str {
        match self {
            Arrangement::B8 => "8b",
            Arrangement::B16 => "16b",
            Arrangement::H4 => "4h",
            Arrangement::H8 => "8h",
            Arrangement::S2 => "2s",
            Arrangement::S4 => "4s",
            Arrangement::D1 => "1d",
            Arrangement::D2 => "2d",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions() {
        for (number, register) in Gpr::ALL.into_iter().enumerate() {
            assert_eq!((register.number(), Gpr::from_number(number as u8)), (number as u32, Some(register)));
        }
        for (number, register) in V::ALL.into_iter().enumerate() {
            assert_eq!((register.number(), V::from_number(number as u8)), (number as u32, Some(register)));
        }
        assert_eq!((Gpr::from_number(31), V::from_number(32)), (None, None));
        assert_eq!((Gpr::Xzr.number(), Gpr::Sp.number()), (31, 31));
    }

    #[test]
    fn names_follow_the_width() {
        let names = |r: Gpr| [r.named(Width::W).to_string(), r.named(Width::X).to_string()];
        assert_eq!(names(Gpr::X7), ["w7", "x7"]);
        assert_eq!(names(Gpr::Xzr), ["wzr", "xzr"]);
        assert_eq!(names(Gpr::Sp), ["wsp", "sp"]);
    }

    #[test]
    fn arrangements_fill_a_register_or_half_of_it() {
        for arrangement in Arrangement::ALL {
            let digits: String = arrangement.name().chars().filter(char::is_ascii_digit).collect();
            let lanes: u32 = digits.parse().expect("a lane count");
            assert_eq!(lanes * arrangement.lane().bytes(), 8 << arrangement.q());
        }
    }
}
