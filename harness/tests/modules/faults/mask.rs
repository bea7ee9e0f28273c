// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults with immediates, widths and unused bits.

use kop_harness::reports::Kind;

use super::{ARM64, Edit, Fault, MASK, X86};

const SOURCE: &str = "mask.c";

const SHORT: &str = "mask.imm >= -128 && mask.imm <= 127";
const LONG_X86: &str = "x86_alu_imm32(&code, !mask.is32, X86_AND, dst, mask.imm);";
const CONSTANT_ARM64: &str = "a64_put_mov_imm(&code, A64_TMP1, mask.imm);";

const DECLARATIONS_X86: &str = "\
	struct x86_code code = {};
	struct mask mask;
	u8 dst;
	int err;

";

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "mask: the immediate is zero-extended",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: LONG_X86,
            replace: "x86_alu_imm32(&code, false, X86_AND, dst, mask.imm);",
        }],
        kind: Kind::Register,
        arch: X86,
        words: &["r"],
    },
    Fault {
        name: "mask: the immediate is zero-extended, on ARM64",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: CONSTANT_ARM64,
            replace: "\
	/* movz, movk */
	a64_put(&code, 0xd2800000 | (mask.imm & 0xffff) << 5 | A64_TMP1);
	a64_put(&code, 0xf2a00000 | (u32)mask.imm >> 16 << 5 | A64_TMP1);",
        }],
        kind: Kind::Register,
        arch: ARM64,
        words: &["r"],
    },
    Fault {
        name: "mask: the short form is taken for bytes that its sign extends",
        base: MASK,
        edits: &[Edit { file: SOURCE, find: SHORT, replace: "mask.imm >= -128 && mask.imm <= 255" }],
        kind: Kind::Register,
        arch: X86,
        words: &["r"],
    },
    Fault {
        name: "mask: a short constant of 16 bits counts as unsigned",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: CONSTANT_ARM64,
            replace: "\
	if (mask.imm >= S16_MIN && mask.imm <= S16_MAX)
		/* movz */
		a64_put(&code, 0xd2800000 | (mask.imm & 0xffff) << 5 | A64_TMP1);
	else
		a64_put_mov_imm(&code, A64_TMP1, mask.imm);",
        }],
        kind: Kind::Register,
        arch: ARM64,
        words: &["r"],
    },
    Fault {
        name: "mask: 32 bits leave the upper half",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: "a64_put(&code, a64_and_w(dst, src, A64_TMP1));",
            replace: "a64_put(&code, a64_and(dst, src, A64_TMP1));",
        }],
        kind: Kind::Register,
        arch: ARM64,
        words: &["r"],
    },
    Fault {
        name: "mask: an AND that changes nothing is left out, and with it the zero-extension",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: "	if (mask.imm >= -128 && mask.imm <= 127) {\n",
            replace: "\
	if (mask.imm == -1) {
		/* A nop, for a size that is not zero. */
		x86_put(&code, 0x90);
	} else if (mask.imm >= -128 && mask.imm <= 127) {
",
        }],
        kind: Kind::Register,
        arch: X86,
        words: &["r"],
    },
    Fault {
        name: "mask: the emit ignores bits that the proof refuses",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: DECLARATIONS_X86,
            replace: "\
	struct x86_code code = {};
	struct mask mask;
	u8 dst;
	int err;

	payload &= BIT_ULL(41) - 1;
",
        }],
        kind: Kind::Validity,
        arch: X86,
        words: &["the x86_64 emit accepts the payload"],
    },
    Fault {
        name: "mask: the emit refuses an immediate that the proof accepts",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: CONSTANT_ARM64,
            replace: "\
	if (mask.imm == 0)
		return -EINVAL;
	a64_put_mov_imm(&code, A64_TMP1, mask.imm);",
        }],
        kind: Kind::Validity,
        arch: ARM64,
        words: &["rejects it"],
    },
];
