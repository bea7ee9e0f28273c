// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in fills: implicit registers, lengths.

use kop_harness::reports::Kind;

use super::{ARM64, Edit, FILL, Fault, X86};

const SOURCE: &str = "fill.c";

const TO_RAX_AND_RDI: &str = "\
	x86_push(&code, base);
	x86_push(&code, value);
	x86_pop(&code, X86_RAX);
	x86_pop(&code, X86_RDI);
";

const REP_STOSB: &str = "\
	x86_mov_imm32(&code, X86_RCX, fill.len);
	/* rep stosb */
	x86_put(&code, 0xf3);
	x86_put(&code, 0xaa);
";

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "fill: the value goes to rax, which holds the address",
        base: FILL,
        edits: &[Edit {
            file: SOURCE,
            find: TO_RAX_AND_RDI,
            replace: "	x86_mov(&code, X86_RAX, value);\n	x86_mov(&code, X86_RDI, base);\n",
        }],
        kind: Kind::Fault,
        arch: X86,
        words: &["fault"],
    },
    Fault {
        name: "fill: the address goes to rdi, which holds the value",
        base: FILL,
        edits: &[Edit {
            file: SOURCE,
            find: TO_RAX_AND_RDI,
            replace: "	x86_mov(&code, X86_RDI, base);\n	x86_mov(&code, X86_RAX, value);\n",
        }],
        kind: Kind::Memory,
        arch: X86,
        words: &["the byte at"],
    },
    Fault {
        name: "fill: the length goes to rcx, which holds the value",
        base: FILL,
        edits: &[
            Edit { file: SOURCE, find: TO_RAX_AND_RDI, replace: TO_RAX_AND_RDI_LATE },
            Edit {
                file: SOURCE,
                find: "	x86_mov_imm32(&code, X86_RCX, fill.len);\n	/* rep stosb */\n",
                replace: "	/* rep stosb */\n",
            },
        ],
        kind: Kind::Memory,
        arch: X86,
        words: &["the byte at"],
    },
    Fault {
        name: "fill: whole words of a byte that was not spread",
        base: FILL,
        edits: &[Edit {
            file: SOURCE,
            find: REP_STOSB,
            replace: "\
	if (fill.len % 8 == 0) {
		x86_mov_imm32(&code, X86_RCX, fill.len / 8);
		/* rep stosq */
		x86_put(&code, 0xf3);
		x86_put(&code, 0x48);
		x86_put(&code, 0xab);
	} else {
		x86_mov_imm32(&code, X86_RCX, fill.len);
		/* rep stosb */
		x86_put(&code, 0xf3);
		x86_put(&code, 0xaa);
	}
",
        }],
        kind: Kind::Memory,
        arch: X86,
        words: &["the byte at"],
    },
    Fault {
        name: "fill: three stores for up to three bytes are too many for one",
        base: FILL,
        edits: &[Edit {
            file: SOURCE,
            find: "	a64_put(&code, a64_mov(A64_TMP1, a64_regs[fill.base]));\n",
            replace: "\
	if (fill.len <= 3) {
		/* strb value, [base, #0], then #1, then #len - 1 */
		a64_put(&code, 0x39000000 | a64_regs[fill.base] << 5 | a64_regs[fill.value]);
		a64_put(&code, 0x39000400 | a64_regs[fill.base] << 5 | a64_regs[fill.value]);
		a64_put(&code, 0x39000000 | (fill.len - 1) << 10 | a64_regs[fill.base] << 5 | a64_regs[fill.value]);
		return a64_finish(&code, image, idx, emit);
	}
	a64_put(&code, a64_mov(A64_TMP1, a64_regs[fill.base]));
",
        }],
        kind: Kind::Memory,
        arch: ARM64,
        words: &["the byte at"],
    },
    Fault {
        name: "fill: a length of zero is accepted, and the loop counts from there",
        base: FILL,
        edits: &[
            Edit { file: SOURCE, find: "fill->len < 1 || ", replace: "" },
            Edit {
                file: SOURCE,
                find: "	return i;\n",
                replace: "	if (i == 0)\n		insn_buf[i++] = BPF_JMP_A(0);\n	return i;\n",
            },
        ],
        kind: Kind::Fault,
        arch: ARM64,
        words: &["fault"],
    },
    Fault {
        name: "fill: the longest fill is one byte short",
        base: FILL,
        edits: &[Edit {
            file: SOURCE,
            find: "a64_put_mov_imm(&code, A64_TMP2, fill.len);",
            replace: "a64_put_mov_imm(&code, A64_TMP2, min(fill.len, FILL_MAX - 1));",
        }],
        kind: Kind::Memory,
        arch: ARM64,
        words: &["the byte at"],
    },
];

/// The value is read only after the length is in rcx.
const TO_RAX_AND_RDI_LATE: &str = "\
	x86_push(&code, base);
	x86_pop(&code, X86_R11);
	x86_mov_imm32(&code, X86_RCX, fill.len);
	x86_mov(&code, X86_RAX, value);
	x86_mov(&code, X86_RDI, X86_R11);
";
