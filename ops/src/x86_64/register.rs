// SPDX-License-Identifier: GPL-2.0-or-later
//! The registers an emit may name, and the sizes of an operand.

use std::fmt;

/// How many bytes of a register or of memory an operand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Size {
    /// One byte: `al`, `byte ptr`.
    B1,
    /// Two bytes: `ax`, `word ptr`.
    B2,
    /// Four bytes: `eax`, `dword ptr`; a register written in this size is zero-extended to eight.
    B4,
    /// Eight bytes: `rax`, `qword ptr`.
    B8,
}

impl Size {
    /// All sizes, the smallest first.
    pub const ALL: [Size; 4] = [Size::B1, Size::B2, Size::B4, Size::B8];

    /// The number of bytes: 1, 2, 4 or 8.
    pub const fn bytes(self) -> u32 {
        match self {
            Size::B1 => 1,
            Size::B2 => 2,
            Size::B4 => 4,
            Size::B8 => 8,
        }
    }

    /// The number of bits: 8, 16, 32 or 64.
    pub const fn bits(self) -> u32 {
        self.bytes() * 8
    }

    /// The size of `bytes` bytes, or `None` when that is not 1, 2, 4 or 8.
    pub const fn from_bytes(bytes: u32) -> Option<Self> {
        match bytes {
            1 => Some(Size::B1),
            2 => Some(Size::B2),
            4 => Some(Size::B4),
            8 => Some(Size::B8),
            _ => None,
        }
    }
}

/// A general-purpose register, named by its 64-bit name; the operand's [`Size`] says how much of it is meant.
///
/// The high-byte registers `ah`, `bh`, `ch` and `dh` are not reachable: a byte operand is always the low byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "a register's name says it all")]
pub enum Gpr {
    Rax,
    Rcx,
    Rdx,
    Rbx,
    Rsp,
    Rbp,
    Rsi,
    Rdi,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
}

impl Gpr {
    /// All sixteen registers in the order of their codes.
    pub const ALL: [Gpr; 16] = [
        Gpr::Rax,
        Gpr::Rcx,
        Gpr::Rdx,
        Gpr::Rbx,
        Gpr::Rsp,
        Gpr::Rbp,
        Gpr::Rsi,
        Gpr::Rdi,
        Gpr::R8,
        Gpr::R9,
        Gpr::R10,
        Gpr::R11,
        Gpr::R12,
        Gpr::R13,
        Gpr::R14,
        Gpr::R15,
    ];

    /// The register's code, 0..=15 (Intel SDM vol. 2, table 3-1); bit 3 goes to a REX prefix.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The register of `code`, or `None` above 15.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The register's name as an operand of `size`: `al`, `ax`, `eax` or `rax`.
    pub const fn name(self, size: Size) -> &'static str {
        NAMES[self as usize][size as usize]
    }

    /// Whether the byte operand of this register exists only under a REX prefix: `spl`, `bpl`, `sil`, `dil`.
    pub(super) const fn byte_needs_rex(self) -> bool {
        matches!(self, Gpr::Rsp | Gpr::Rbp | Gpr::Rsi | Gpr::Rdi)
    }
}

/// Prints the 64-bit name, `rax`.
impl fmt::Display for Gpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name(Size::B8))
    }
}

/// Every register's names, by code and then by size.
const NAMES: [[&str; 4]; 16] = [
    ["al", "ax", "eax", "rax"],
    ["cl", "cx", "ecx", "rcx"],
    ["dl", "dx", "edx", "rdx"],
    ["bl", "bx", "ebx", "rbx"],
    ["spl", "sp", "esp", "rsp"],
    ["bpl", "bp", "ebp", "rbp"],
    ["sil", "si", "esi", "rsi"],
    ["dil", "di", "edi", "rdi"],
    ["r8b", "r8w", "r8d", "r8"],
    ["r9b", "r9w", "r9d", "r9"],
    ["r10b", "r10w", "r10d", "r10"],
    ["r11b", "r11w", "r11d", "r11"],
    ["r12b", "r12w", "r12d", "r12"],
    ["r13b", "r13w", "r13d", "r13"],
    ["r14b", "r14w", "r14d", "r14"],
    ["r15b", "r15w", "r15d", "r15"],
];

/// A 128-bit SSE register, `xmm0` to `xmm15`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Xmm(u8);

impl Xmm {
    /// All sixteen registers in the order of their codes.
    pub const ALL: [Xmm; 16] = {
        let mut all = [Xmm(0); 16];
        let mut code = 0;
        while code < 16 {
            all[code as usize] = Xmm(code);
            code += 1;
        }
        all
    };

    /// The register of `code`, or `None` above 15.
    pub const fn from_code(code: u8) -> Option<Self> {
        if code < 16 { Some(Xmm(code)) } else { None }
    }

    /// The register's code, 0..=15.
    pub const fn code(self) -> u8 {
        self.0
    }
}

/// Prints `xmm0` to `xmm15`.
impl fmt::Display for Xmm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "xmm{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_positions() {
        for (code, gpr) in (0u8..).zip(Gpr::ALL) {
            assert_eq!((gpr.code(), Gpr::from_code(code)), (code, Some(gpr)));
        }
        for (code, xmm) in (0u8..).zip(Xmm::ALL) {
            assert_eq!((xmm.code(), Xmm::from_code(code)), (code, Some(xmm)));
        }
        assert_eq!((Gpr::from_code(16), Xmm::from_code(16)), (None, None));
    }

    #[test]
    fn names_follow_the_size() {
        assert_eq!(Size::ALL.map(|size| Gpr::Rsi.name(size)), ["sil", "si", "esi", "rsi"]);
        assert_eq!(Size::ALL.map(|size| Gpr::R9.name(size)), ["r9b", "r9w", "r9d", "r9"]);
    }
}
