// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in copies: implicit registers, overlap, lengths, the frame.

use kop_harness::reports::Kind;

use super::{ARM64, COPY_BYTES, Edit, Fault, X86};

const SOURCE_X86: &str = "copy_bytes_x86.c";
const SOURCE_ARM64: &str = "copy_bytes_arm64.c";

const TO_RSI_AND_RDI: &str = "\
	x86_push(&code, dst);
	x86_push(&code, src);
	x86_pop(&code, X86_RSI);
	x86_pop(&code, X86_RDI);
";

const REP_MOVSB: &str = "\
	x86_mov_imm32(&code, X86_RCX, copy.len);
	/* rep movsb */
	x86_put(&code, 0xf3);
	x86_put(&code, 0xa4);
";

const LOOP_ARM64: &str = "\
	a64_put(&code, a64_ldrb_next(a64_regs[copy.last], A64_TMP1));
	a64_put(&code, a64_strb_next(a64_regs[copy.last], A64_TMP2));
	a64_put(&code, a64_subs_w(A64_TMP3, A64_TMP3, 1));
	a64_put(&code, a64_bcond(A64_COND_NE, loop - code.len));
";

const POPS: &str = "\
	x86_pop(&code, X86_RCX);
	x86_pop(&code, X86_RSI);
	x86_pop(&code, X86_RDI);
";

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "copy: rdi is overwritten before a source that is rdi is read",
        base: COPY_BYTES,
        edits: &[Edit {
            file: SOURCE_X86,
            find: TO_RSI_AND_RDI,
            replace: "\
	x86_mov(&code, X86_RDI, dst);
	x86_mov(&code, X86_RSI, src);
",
        }],
        kind: Kind::Memory,
        arch: X86,
        words: &["the byte at"],
    },
    Fault {
        name: "copy: rsi is overwritten before a destination that is rsi is read",
        base: COPY_BYTES,
        edits: &[Edit {
            file: SOURCE_X86,
            find: TO_RSI_AND_RDI,
            replace: "\
	x86_mov(&code, X86_RSI, src);
	x86_mov(&code, X86_RDI, dst);
",
        }],
        kind: Kind::Memory,
        arch: X86,
        words: &["the byte at"],
    },
    Fault {
        name: "copy: eight bytes at a time over ranges that overlap, by rep movsq",
        base: COPY_BYTES,
        edits: &[Edit {
            file: SOURCE_X86,
            find: REP_MOVSB,
            replace: "\
	if (copy.len % 8 == 0) {
		x86_mov_imm32(&code, X86_RCX, copy.len / 8);
		/* rep movsq */
		x86_put(&code, 0xf3);
		x86_put(&code, 0x48);
		x86_put(&code, 0xa5);
	} else {
		x86_mov_imm32(&code, X86_RCX, copy.len);
		/* rep movsb */
		x86_put(&code, 0xf3);
		x86_put(&code, 0xa4);
	}
",
        }],
        kind: Kind::Memory,
        arch: X86,
        words: &["the byte at"],
    },
    Fault {
        name: "copy: eight bytes at a time over ranges that overlap, by ldr and str",
        base: COPY_BYTES,
        edits: &[Edit {
            file: SOURCE_ARM64,
            find: LOOP_ARM64,
            replace: "\
	if (copy.len % 8 == 0) {
		/* ldr x12, [x9], #8; str x12, [x10], #8 */
		a64_put(&code, 0xf840852c);
		a64_put(&code, 0xf800854c);
		a64_put(&code, a64_subs_w(A64_TMP3, A64_TMP3, 8));
		a64_put(&code, a64_bcond(A64_COND_NE, loop - code.len));
		a64_put(&code, a64_ubfx(a64_regs[copy.last], A64_TMP4, 56, 8));
	} else {
		a64_put(&code, a64_ldrb_next(a64_regs[copy.last], A64_TMP1));
		a64_put(&code, a64_strb_next(a64_regs[copy.last], A64_TMP2));
		a64_put(&code, a64_subs_w(A64_TMP3, A64_TMP3, 1));
		a64_put(&code, a64_bcond(A64_COND_NE, loop - code.len));
	}
",
        }],
        kind: Kind::Memory,
        arch: ARM64,
        words: &["the byte at"],
    },
    Fault {
        name: "copy: backwards over ranges that overlap",
        base: COPY_BYTES,
        edits: &[
            Edit {
                file: SOURCE_X86,
                find: REP_MOVSB,
                replace: "\
	x86_alu_imm32(&code, true, X86_ADD, X86_RSI, copy.len - 1);
	x86_alu_imm32(&code, true, X86_ADD, X86_RDI, copy.len - 1);
	x86_mov_imm32(&code, X86_RCX, copy.len);
	/* std; rep movsb; cld */
	x86_put(&code, 0xfd);
	x86_put(&code, 0xf3);
	x86_put(&code, 0xa4);
	x86_put(&code, 0xfc);
",
            },
            Edit { file: SOURCE_X86, find: ".max_emit_bytes = 48,", replace: ".max_emit_bytes = 64," },
        ],
        kind: Kind::Memory,
        arch: X86,
        words: &["the byte at"],
    },
    Fault {
        name: "copy: the direction flag stays set",
        base: COPY_BYTES,
        edits: &[Edit {
            file: SOURCE_X86,
            find: POPS,
            replace: "\
	x86_pop(&code, X86_RCX);
	x86_pop(&code, X86_RSI);
	x86_pop(&code, X86_RDI);
	/* std */
	x86_put(&code, 0xfd);
",
        }],
        kind: Kind::Frame,
        arch: X86,
        words: &["direction"],
    },
    Fault {
        name: "copy: the largest length has one bit more than the mask",
        base: COPY_BYTES,
        edits: &[Edit {
            file: SOURCE_X86,
            find: "x86_mov_imm32(&code, X86_RCX, copy.len);",
            replace: "x86_mov_imm32(&code, X86_RCX, copy.len & 0x3f);",
        }],
        kind: Kind::Memory,
        arch: X86,
        words: &["the byte at"],
    },
    Fault {
        name: "copy: a length of zero is accepted, whose proof is empty",
        base: COPY_BYTES,
        edits: &[
            Edit { file: SOURCE_X86, find: "copy->len < 1 || ", replace: "" },
            Edit { file: SOURCE_ARM64, find: "copy->len < 1 || ", replace: "" },
        ],
        kind: Kind::Callback,
        arch: None,
        words: &["instantiate_insn returned 0"],
    },
    Fault {
        name: "copy: insn_buf is too small for the longest copies",
        base: COPY_BYTES,
        edits: &[
            Edit {
                file: SOURCE_X86,
                find: ".max_insn_cnt = 2 * COPY_MAX,",
                replace: ".max_insn_cnt = 2 * COPY_MAX - 2,",
            },
            Edit {
                file: SOURCE_ARM64,
                find: ".max_insn_cnt = 2 * COPY_MAX,",
                replace: ".max_insn_cnt = 2 * COPY_MAX - 2,",
            },
        ],
        kind: Kind::Callback,
        arch: None,
        words: &["instantiate_insn wrote beyond the end of insn_buf"],
    },
    Fault {
        name: "copy: registers come back in the wrong order",
        base: COPY_BYTES,
        edits: &[Edit {
            file: SOURCE_X86,
            find: POPS,
            replace: "\
	x86_pop(&code, X86_RCX);
	x86_pop(&code, X86_RDI);
	x86_pop(&code, X86_RSI);
",
        }],
        kind: Kind::Register,
        arch: X86,
        words: &["r"],
    },
    Fault {
        name: "copy: one register stays on the stack",
        base: COPY_BYTES,
        edits: &[Edit {
            file: SOURCE_X86,
            find: "	x86_push(&code, X86_RCX);\n",
            replace: "	x86_push(&code, X86_RCX);\n	x86_push(&code, X86_RCX);\n",
        }],
        kind: Kind::Frame,
        arch: X86,
        words: &["rsp"],
    },
    Fault {
        name: "copy: the files disagree on whether last may be src",
        base: COPY_BYTES,
        edits: &[Edit {
            file: SOURCE_ARM64,
            find: "copy->last == copy->dst || copy->last == copy->src",
            replace: "copy->last == copy->dst",
        }],
        kind: Kind::Validity,
        arch: None,
        words: &["proof"],
    },
    Fault {
        name: "copy: the files disagree on the largest length",
        base: COPY_BYTES,
        edits: &[Edit { file: SOURCE_ARM64, find: "#define COPY_MAX	64", replace: "#define COPY_MAX	63" }],
        kind: Kind::Validity,
        arch: None,
        words: &["proof"],
    },
];
