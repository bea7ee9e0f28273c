// SPDX-License-Identifier: GPL-2.0-or-later
//! Where SLEIGH's models and the semantics are not the same: all of it that comparing finds, and nothing that it does not.
//! `semantics/DIFFERENCES.md` has the same lists.

use kop_ops::Arch;
use kop_ops::Arch::{Aarch64, X86_64};

use crate::compare::Difference;
use crate::ours::Decoded;

/// Something in which both sides differ.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The architecture.
    pub arch: Arch,
    /// The instruction's bytes.
    pub bytes: &'a [u8],
    /// SLEIGH's mnemonic, without a mark for a lock.
    pub mnemonic: &'a str,
    /// The instruction as the semantics have it.
    pub insn: &'a Decoded,
    /// The output.
    pub difference: &'a Difference,
}

impl Seen<'_> {
    fn is_memory(&self) -> bool {
        self.difference.output == "memory"
    }

    fn is_general(&self) -> bool {
        let output = &self.difference.output;
        let prefix = if self.arch == X86_64 { "r" } else { "x" };
        output.starts_with(prefix) && !output.contains(' ')
    }

    fn is_flag(&self, flags: &[&str]) -> bool {
        flags.contains(&self.difference.output.as_str())
    }

    fn is_one_of(&self, mnemonics: &[&str]) -> bool {
        mnemonics.contains(&self.mnemonic)
    }

    fn begins(&self, prefixes: &[&str]) -> bool {
        prefixes.iter().any(|prefix| self.mnemonic.starts_with(prefix))
    }

    /// Whether it is an A64 instruction on X registers.
    fn is_wide(&self) -> bool {
        let text = self.text();
        text.contains("B8") || text.contains("width: X")
    }

    fn text(&self) -> String {
        self.insn.text()
    }
}

/// A disagreement. In each the manual is on the side of the semantics.
pub struct Disagreement {
    /// The architecture.
    pub arch: Arch,
    /// What SLEIGH does.
    pub what: &'static str,
    /// What the manual says.
    pub manual: &'static str,
    /// Whether something seen is this.
    pub is: fn(&Seen<'_>) -> bool,
}

/// Single-copy atomic accesses that p-code has in words of 32 bits.
const ATOMIC: [&str; 11] =
    ["ldadd", "ldclr", "ldeor", "ldset", "ldsmax", "ldsmin", "ldumax", "ldumin", "swp", "cas", "stadd"];
const LEAST_OR_MOST: [&str; 8] =
    ["ldsmax", "ldsmin", "ldumax", "ldumin", "stsmax", "stsmin", "stumax", "stumin"];

/// Every disagreement that is known; of two that describe one difference the first counts.
pub const DISAGREEMENTS: &[Disagreement] = &[
    Disagreement {
        arch: X86_64,
        what: "AF is never changed",
        manual: "ADD, ADC, SUB, SBB, CMP, NEG, INC, DEC, XADD, CMPXCHG, CMPS and SCAS set it by the carry out of bit 3",
        is: |seen| seen.is_flag(&["AF"]) && seen.difference.left_alone,
    },
    Disagreement {
        arch: X86_64,
        what: "addresses of 32 bits with a displacement or without a base are sign-extended",
        manual: "the sum is zero-extended to 64 bits (vol. 1, section 3.3.7)",
        is: |seen| seen.text().contains("narrow: true"),
    },
    Disagreement {
        arch: X86_64,
        what: "XCHG and XADD of 32 bits with memory leave the upper half of the register",
        manual: "a result of 32 bits is zero-extended (vol. 1, section 3.4.1.1)",
        is: |seen| seen.is_one_of(&["xchg", "xadd"]) && seen.is_general() && seen.text().contains("B4"),
    },
    Disagreement {
        arch: X86_64,
        what: "XADD with memory whose address depends on the source stores to the address that the changed register makes",
        manual: "the destination is one operand, read and written",
        is: |seen| seen.mnemonic == "xadd" && seen.is_memory(),
    },
    Disagreement {
        arch: X86_64,
        what: "LODSD leaves the upper half of rax",
        manual: "a result of 32 bits is zero-extended (vol. 1, section 3.4.1.1)",
        is: |seen| seen.begins(&["lodsd"]) && seen.difference.output == "rax",
    },
    Disagreement {
        arch: X86_64,
        what: "RCL and RCR never change OF",
        manual: "for a count of 1 it is set: the highest bit of the result XOR CF, of RCR the two highest bits XORed",
        is: |seen| seen.is_one_of(&["rcl", "rcr"]) && seen.is_flag(&["OF"]),
    },
    Disagreement {
        arch: X86_64,
        what: "SHR by the opcodes D0 and D1 clears OF",
        manual: "OF is the highest bit of the original operand",
        is: |seen| {
            seen.mnemonic == "shr" && matches!(opcode(seen.bytes), Some(0xd0 | 0xd1)) && seen.is_flag(&["OF"])
        },
    },
    Disagreement {
        arch: X86_64,
        what: "LZCNT whose destination is its source, or a part of its address, sets CF by the result",
        manual: "CF is set if the source is zero",
        is: |seen| seen.mnemonic == "lzcnt" && seen.is_flag(&["CF"]),
    },
    Disagreement {
        arch: X86_64,
        what: "PUSHF has no bit 1 and no IOPL, and VIF, VIP, VM and RF as they are",
        manual: "bit 1 is 1; the image has RF and VM clear",
        is: |seen| seen.mnemonic == "pushfq" && seen.is_memory(),
    },
    Disagreement {
        arch: X86_64,
        what: "the bit X of a REX prefix chooses one of xmm16 to xmm31",
        manual: "it extends the index of a SIB byte alone (vol. 2, section 2.2.1.2)",
        is: |seen| seen.text().starts_with("Vector") && has_rex_x(seen.bytes),
    },
    Disagreement {
        arch: X86_64,
        what: "PSLLD, PSLLQ and PSRAD by a vector shift each lane by a lane of it",
        manual: "the count is the low 64 bits, for all lanes",
        is: |seen| seen.is_one_of(&["pslld", "psllq", "psrad"]) && seen.text().contains("ShiftBy"),
    },
    Disagreement {
        arch: Aarch64,
        what: "LDSMAX, LDSMIN, LDUMAX and LDUMIN of bytes and halfwords compare 32 bits of the register",
        manual: "the value in the register is the low byte or halfword",
        is: |seen| seen.begins(&LEAST_OR_MOST) && seen.is_memory(),
    },
    Disagreement {
        arch: Aarch64,
        what: "STLRB and STLRH store four bytes",
        manual: "they store a byte and a halfword",
        is: |seen| seen.is_one_of(&["stlrb", "stlrh"]) && seen.is_memory(),
    },
    Disagreement {
        arch: Aarch64,
        what: "CASP of X registers takes the two registers of each pair in the other order",
        manual: "the first register goes with the lower address, unless data is big-endian",
        is: |seen| seen.begins(&["casp"]) && seen.is_memory() && seen.is_wide(),
    },
    Disagreement {
        arch: Aarch64,
        what: "atomic and acquiring accesses to W registers leave the upper half of the register",
        manual: "a write of a W register clears the upper half (B1.2.1)",
        is: |seen| {
            (seen.begins(&ATOMIC) || seen.begins(&["lda", "ldlar"])) && seen.is_general() && !seen.is_wide()
        },
    },
    Disagreement {
        arch: Aarch64,
        what: "LDAPR of 64 bits loads nothing, and sets the register to what a temporary holds",
        manual: "it loads a doubleword",
        is: |seen| seen.mnemonic == "ldapr" && seen.is_general() && seen.is_wide(),
    },
    Disagreement {
        arch: Aarch64,
        what: "LDRSB, LDRSH, LDURSB and LDURSH to a W register extend the sign to 64 bits",
        manual: "the sign is extended to the register's 32 bits; the upper half is cleared",
        is: |seen| seen.is_one_of(&["ldrsb", "ldrsh", "ldursb", "ldursh"]) && seen.is_general(),
    },
    Disagreement {
        arch: Aarch64,
        what: "LDPSW loads its second word from eight bytes on",
        manual: "the second address is four bytes on",
        is: |seen| seen.mnemonic == "ldpsw" && seen.is_general(),
    },
    Disagreement {
        arch: Aarch64,
        what: "SBCS and NGCS with WZR for a destination set N and Z as for zero",
        manual: "N and Z are those of the result",
        is: |seen| {
            seen.is_one_of(&["sbcs", "ngcs"]) && seen.is_flag(&["N", "Z"]) && seen.text().contains("rd: Xzr")
        },
    },
    Disagreement {
        arch: Aarch64,
        what: "RMIF sets Z, C and V to N where its mask leaves them",
        manual: "a flag whose bit in the mask is 0 keeps its value",
        is: |seen| seen.mnemonic == "rmif" && seen.is_flag(&["Z", "C", "V"]),
    },
    Disagreement {
        arch: Aarch64,
        what: "MRS and MSR of NZCV use a register apart from the flags",
        manual: "NZCV is the four flags (C5.2.10)",
        is: |seen| seen.is_one_of(&["mrs", "msr"]),
    },
    Disagreement {
        arch: Aarch64,
        what: "BIT, BIF and BSL of 64 bits leave the upper half of the vector",
        manual: "a write of 64 bits clears it (C1.2.5)",
        is: |seen| seen.is_one_of(&["bit", "bif", "bsl"]) && seen.difference.output.ends_with(" high"),
    },
    Disagreement {
        arch: Aarch64,
        what: "ADDV of bytes leaves the bytes above its result",
        manual: "a write of a scalar clears the rest of the vector (C1.2.5)",
        is: |seen| seen.mnemonic == "addv",
    },
];

/// The bytes of an x86-64 instruction without its legacy prefixes.
fn without_prefixes(bytes: &[u8]) -> &[u8] {
    let is_prefix =
        |byte: &&u8| matches!(**byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3);
    &bytes[bytes.iter().take_while(is_prefix).count()..]
}

/// Whether an x86-64 instruction has a REX prefix with the bit X.
fn has_rex_x(bytes: &[u8]) -> bool {
    without_prefixes(bytes).first().is_some_and(|byte| byte & 0xf2 == 0x42)
}

/// The first byte behind the prefixes.
fn opcode(bytes: &[u8]) -> Option<u8> {
    without_prefixes(bytes).iter().copied().find(|byte| byte & 0xf0 != 0x40)
}

/// Mnemonics that SLEIGH decodes and has a user operation or an exception for, and no semantics.
pub const NOT_MODELLED: &[(Arch, &str)] = &[
    (X86_64, "crc32"),
    (X86_64, "int3"),
    (X86_64, "movbe"),
    (X86_64, "movntdqa"),
    (X86_64, "pabsb"),
    (X86_64, "pabsd"),
    (X86_64, "pabsw"),
    (X86_64, "pmovsxbd"),
    (X86_64, "pmovsxbq"),
    (X86_64, "pmovsxbw"),
    (X86_64, "pmovsxdq"),
    (X86_64, "pmovsxwd"),
    (X86_64, "pmovsxwq"),
    (X86_64, "pmovzxbd"),
    (X86_64, "pmovzxbq"),
    (X86_64, "pmovzxbw"),
    (X86_64, "pmovzxdq"),
    (X86_64, "pmovzxwd"),
    (X86_64, "pmovzxwq"),
    (X86_64, "pmuldq"),
    (X86_64, "pmulld"),
    (X86_64, "pshufb"),
    (X86_64, "pshufhw"),
    (X86_64, "pshuflw"),
    (X86_64, "psllw"),
    (X86_64, "psraw"),
    (X86_64, "ud2"),
    (X86_64, "vpopcntd"),
    (X86_64, "vpopcntq"),
    (Aarch64, "abs"),
    (Aarch64, "brk"),
    (Aarch64, "cls"),
    (Aarch64, "crc32b"),
    (Aarch64, "crc32cb"),
    (Aarch64, "crc32ch"),
    (Aarch64, "crc32cw"),
    (Aarch64, "crc32cx"),
    (Aarch64, "crc32h"),
    (Aarch64, "crc32w"),
    (Aarch64, "crc32x"),
    (Aarch64, "ext"),
    (Aarch64, "pmul"),
    (Aarch64, "pmull"),
    (Aarch64, "pmull2"),
    (Aarch64, "rbit"),
    (Aarch64, "rev16"),
    (Aarch64, "rev32"),
    (Aarch64, "rev64"),
    (Aarch64, "saddlv"),
    (Aarch64, "shl"),
    (Aarch64, "sli"),
    (Aarch64, "smax"),
    (Aarch64, "smaxp"),
    (Aarch64, "smaxv"),
    (Aarch64, "smin"),
    (Aarch64, "sminp"),
    (Aarch64, "sminv"),
    (Aarch64, "sri"),
    (Aarch64, "sshl"),
    (Aarch64, "sshr"),
    (Aarch64, "stlxp"),
    (Aarch64, "stlxr"),
    (Aarch64, "stlxrb"),
    (Aarch64, "stlxrh"),
    (Aarch64, "stxp"),
    (Aarch64, "stxr"),
    (Aarch64, "stxrb"),
    (Aarch64, "stxrh"),
    (Aarch64, "tbl"),
    (Aarch64, "tbx"),
    (Aarch64, "uaddlv"),
    (Aarch64, "udf"),
    (Aarch64, "umax"),
    (Aarch64, "umaxp"),
    (Aarch64, "umaxv"),
    (Aarch64, "umin"),
    (Aarch64, "uminp"),
    (Aarch64, "uminv"),
    (Aarch64, "umull"),
    (Aarch64, "ushl"),
];

/// Operations that SLEIGH does not decode.
pub const NOT_DECODED: &[(Arch, &str)] = &[
    (X86_64, "Extend size: B2"),
    (X86_64, "MoveSwapped size: B8"),
    (Aarch64, "BitPermute Bdep"),
    (Aarch64, "BitPermute Bext"),
];

/// Mnemonics and sizes of which some sample is neither proved nor refuted: circuits that a solver takes many seconds for, and no sample
/// gets more than a moment.
pub const UNDECIDED: &[(Arch, &str)] = &[
    (X86_64, "div B2"),
    (X86_64, "div B4"),
    (X86_64, "div B8"),
    (X86_64, "idiv B1"),
    (X86_64, "idiv B2"),
    (X86_64, "idiv B4"),
    (X86_64, "idiv B8"),
    (X86_64, "pdep B4"),
    (X86_64, "pdep B8"),
    (X86_64, "pext B4"),
    (X86_64, "pext B8"),
];
