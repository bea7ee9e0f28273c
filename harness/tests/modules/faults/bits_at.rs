// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults around a shift by cl: register pairs, widths, and what an emit must preserve.

use kop_harness::reports::Kind;

use super::{ARM64, BITS_AT, Base, Edit, Fault, X86};

const SOURCE_X86: &str = "bits_at_x86.c";
const SOURCE_ARM64: &str = "bits_at_arm64.c";

/// What is shipped.
const UNMENDED: Base = Base { mends: &[], ..BITS_AT };

const SWAPPED: &str = "\
		/* xchg rcx, pos */
		x86_rr(&code, true, 0x87, X86_RCX, pos);
		shr_cl(&code, shifted);
		x86_rr(&code, true, 0x87, X86_RCX, pos);
";

const LSRV: &str = "a64_put(&code, a64_lsrv(dst, dst, a64_regs[bits.pos]));";
const UBFX: &str = "a64_put(&code, a64_ubfx(dst, dst, 0, bits.width));";

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "bits: rcx and rax change places under dst, as shipped",
        base: UNMENDED,
        edits: &[],
        kind: Kind::Register,
        arch: X86,
        words: &["r0"],
    },
    Fault {
        name: "bits: dst is taken for a register of its own when it is rcx",
        base: BITS_AT,
        edits: &[Edit {
            file: SOURCE_X86,
            find: "	else if (dst == X86_RCX)\n		shifted = pos;\n",
            replace: "",
        }],
        kind: Kind::Register,
        arch: X86,
        words: &["r"],
    },
    Fault {
        name: "bits: rcx is restored over a result in rcx",
        base: BITS_AT,
        edits: &[Edit {
            file: SOURCE_X86,
            find: SWAPPED,
            replace: "\
		x86_mov(&code, X86_R11, X86_RCX);
		x86_mov(&code, X86_RCX, pos);
		shr_cl(&code, dst);
		x86_mov(&code, X86_RCX, X86_R11);
",
        }],
        kind: Kind::Register,
        arch: X86,
        words: &["r4"],
    },
    Fault {
        name: "bits: a shift of 32 bits, whose count has five bits",
        base: BITS_AT,
        edits: &[Edit {
            file: SOURCE_X86,
            find: "x86_rr(code, true, 0xd3, 5, reg);",
            replace: "x86_rr(code, false, 0xd3, 5, reg);",
        }],
        kind: Kind::Register,
        arch: X86,
        words: &["r"],
    },
    Fault {
        name: "bits: a shift of 32 bits, whose count has five bits, on ARM64",
        base: BITS_AT,
        edits: &[Edit {
            file: SOURCE_ARM64,
            find: LSRV,
            replace: "a64_put(&code, a64_rrr(0x1ac02400, dst, dst, a64_regs[bits.pos]));",
        }],
        kind: Kind::Register,
        arch: ARM64,
        words: &["r"],
    },
    Fault {
        name: "bits: the widest field is one bit short",
        base: BITS_AT,
        edits: &[Edit {
            file: SOURCE_ARM64,
            find: UBFX,
            replace: "a64_put(&code, a64_ubfx(dst, dst, 0, min_t(u8, bits.width, 30)));",
        }],
        kind: Kind::Register,
        arch: ARM64,
        words: &["r"],
    },
    Fault {
        name: "bits: r12 is overwritten",
        base: BITS_AT,
        edits: &[Edit {
            file: SOURCE_X86,
            find: SWAPPED,
            replace: "\
		x86_mov(&code, X86_R12, pos);
		x86_rr(&code, true, 0x87, X86_RCX, pos);
		shr_cl(&code, shifted);
		x86_rr(&code, true, 0x87, X86_RCX, pos);
",
        }],
        kind: Kind::Frame,
        arch: X86,
        words: &["r12"],
    },
    Fault {
        name: "bits: r9 is overwritten",
        base: BITS_AT,
        edits: &[Edit {
            file: SOURCE_X86,
            find: SWAPPED,
            replace: "\
		x86_mov(&code, X86_R9, pos);
		x86_rr(&code, true, 0x87, X86_RCX, pos);
		shr_cl(&code, shifted);
		x86_rr(&code, true, 0x87, X86_RCX, pos);
",
        }],
        kind: Kind::Frame,
        arch: X86,
        words: &["r9"],
    },
    Fault {
        name: "bits: rcx is saved below the stack pointer",
        base: BITS_AT,
        edits: &[Edit {
            file: SOURCE_X86,
            find: SWAPPED,
            replace: "\
		/* mov [rsp - 8], rcx; mov rcx, [rsp - 8] */
		x86_put(&code, 0x48);
		x86_put(&code, 0x89);
		x86_put(&code, 0x4c);
		x86_put(&code, 0x24);
		x86_put(&code, 0xf8);
		x86_rr(&code, true, 0x87, X86_RCX, pos);
		shr_cl(&code, shifted);
		x86_rr(&code, true, 0x87, X86_RCX, pos);
",
        }],
        kind: Kind::Frame,
        arch: X86,
        words: &["below"],
    },
    Fault {
        name: "bits: x18 is overwritten",
        base: BITS_AT,
        edits: &[Edit {
            file: SOURCE_ARM64,
            find: LSRV,
            replace: "a64_put(&code, a64_mov(18, dst));\n	a64_put(&code, a64_lsrv(dst, 18, a64_regs[bits.pos]));",
        }],
        kind: Kind::Frame,
        arch: ARM64,
        words: &["x18"],
    },
    Fault {
        name: "bits: x24 is overwritten",
        base: BITS_AT,
        edits: &[Edit {
            file: SOURCE_ARM64,
            find: LSRV,
            replace: "a64_put(&code, a64_mov(24, dst));\n	a64_put(&code, a64_lsrv(dst, 24, a64_regs[bits.pos]));",
        }],
        kind: Kind::Frame,
        arch: ARM64,
        words: &["x24"],
    },
];
