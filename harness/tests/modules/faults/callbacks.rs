// SPDX-License-Identifier: GPL-2.0-or-later
//! Callbacks that crash, hang, overrun their buffers, or lie about what they wrote.

use kop_harness::reports::Kind;

use super::{ARM64, Edit, Fault, MASK, X86};

const SOURCE: &str = "mask.c";

const PROOF_END: &str = "	return 2;\n";
const EMIT_X86: &str = "	dst = x86_regs[mask.dst];\n";
const EMIT_ARM64: &str = "	src = a64_regs[mask.src];\n";
const FINISH_X86: &str = "	return x86_finish(&code, image, off, emit);\n";
const FINISH_ARM64: &str = "	return a64_finish(&code, image, idx, emit);\n";

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "the proof crashes for one register",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: PROOF_END,
            replace: "	if (mask.dst == BPF_REG_7)\n		*(volatile int *)8 = 1;\n	return 2;\n",
        }],
        kind: Kind::Callback,
        arch: None,
        words: &["instantiate_insn", "0x8"],
    },
    Fault {
        name: "the x86-64 emit divides by zero",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: EMIT_X86,
            replace: "	dst = x86_regs[mask.dst];\n	if (mask.imm % *(volatile u8 *)&mask.src == 77)\n		return -EINVAL;\n",
        }],
        kind: Kind::Callback,
        arch: X86,
        words: &["emit_x86", "SIGFPE"],
    },
    Fault {
        name: "the ARM64 emit runs into a BUG_ON",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: EMIT_ARM64,
            replace: "	src = a64_regs[mask.src];\n	BUG_ON(mask.is32 && mask.dst == mask.src);\n",
        }],
        kind: Kind::Callback,
        arch: ARM64,
        words: &["emit_arm64 crashed"],
    },
    Fault {
        name: "the proof crashes for a payload that it should refuse",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: "	if (payload >> 41)\n		return -EINVAL;\n",
            replace: "	if (payload >> 41)\n		return *(volatile int *)NULL;\n",
        }],
        kind: Kind::Callback,
        arch: None,
        words: &["instantiate_insn crashed", "read from address 0x0"],
    },
    Fault {
        name: "the proof hangs for one register",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: PROOF_END,
            replace: "	while (*(volatile u8 *)&mask.dst == BPF_REG_7)\n		;\n	return 2;\n",
        }],
        kind: Kind::Callback,
        arch: None,
        words: &["instantiate_insn did not return"],
    },
    Fault {
        name: "the x86-64 emit hangs for one register",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: EMIT_X86,
            replace: "	dst = x86_regs[mask.dst];\n	while (*(volatile u8 *)&dst == X86_R13)\n		;\n",
        }],
        kind: Kind::Callback,
        arch: X86,
        words: &["emit_x86 did not return"],
    },
    Fault {
        name: "the ARM64 emit hangs for one immediate",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: EMIT_ARM64,
            replace: "	src = a64_regs[mask.src];\n	while (*(volatile s32 *)&mask.imm == -1)\n		;\n",
        }],
        kind: Kind::Callback,
        arch: ARM64,
        words: &["emit_arm64 did not return"],
    },
    Fault {
        name: "the proof writes below insn_buf",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: PROOF_END,
            replace: "	insn_buf[-1] = insn_buf[0];\n	return 2;\n",
        }],
        kind: Kind::Callback,
        arch: None,
        words: &["instantiate_insn", "before insn_buf"],
    },
    Fault {
        name: "the proof says more instructions than it writes",
        base: MASK,
        edits: &[
            Edit { file: SOURCE, find: PROOF_END, replace: "	return 2 + !mask.is32;\n" },
            Edit { file: SOURCE, find: ".max_insn_cnt = 2,", replace: ".max_insn_cnt = 3," },
        ],
        kind: Kind::Callback,
        arch: None,
        words: &["instantiate_insn left", "unwritten"],
    },
    Fault {
        name: "the proof returns a positive error",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: "	err = mask_decode(payload, &mask);\n	if (err)\n		return err;\n	if (mask.is32) {\n",
            replace: "	err = mask_decode(payload, &mask);\n	if (err)\n		return -err;\n	if (mask.is32) {\n",
        }],
        kind: Kind::Callback,
        arch: None,
        words: &["instantiate_insn returned 22"],
    },
    Fault {
        name: "the proof holds an instruction that is none",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: "insn_buf[0] = BPF_MOV32_REG(mask.dst, mask.src);",
            replace: "insn_buf[0] = BPF_RAW_INSN(0xff, mask.dst, mask.src, 0, 0);",
        }],
        kind: Kind::Shape,
        arch: None,
        words: &["0xff"],
    },
    Fault {
        name: "the proof returns from the program",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: "insn_buf[0] = BPF_MOV32_REG(mask.dst, mask.src);",
            replace: "insn_buf[0] = BPF_EXIT_INSN();",
        }],
        kind: Kind::Shape,
        arch: None,
        words: &["exit"],
    },
    Fault {
        name: "the proof calls a helper function",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: "insn_buf[0] = BPF_MOV32_REG(mask.dst, mask.src);",
            replace: "insn_buf[0] = BPF_RAW_INSN(BPF_JMP | BPF_CALL, 0, 0, 0, 5);",
        }],
        kind: Kind::Shape,
        arch: None,
        words: &["call"],
    },
    Fault {
        name: "the longest code is over max_emit_bytes",
        base: MASK,
        edits: &[Edit { file: SOURCE, find: ".max_emit_bytes = 16,", replace: ".max_emit_bytes = 9," }],
        kind: Kind::Callback,
        arch: X86,
        words: &["emit_x86", "beyond the end of image"],
    },
    Fault {
        name: "sizing takes the longest form",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: FINISH_X86,
            replace: "	if (!emit) {\n		*off += 10;\n		return 10;\n	}\n	return x86_finish(&code, image, off, emit);\n",
        }],
        kind: Kind::Encoding,
        arch: X86,
        words: &["sizing says 10 bytes"],
    },
    Fault {
        name: "sizing writes",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: FINISH_X86,
            replace: "	return x86_finish(&code, image, off, true);\n",
        }],
        kind: Kind::Encoding,
        arch: X86,
        words: &["emit_x86 wrote to the image with emit == false"],
    },
    Fault {
        name: "state is kept between calls",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: FINISH_X86,
            replace: "\
	static u32 calls;

	/* nop [rax + calls] */
	x86_put(&code, 0x0f);
	x86_put(&code, 0x1f);
	x86_put(&code, 0x40);
	x86_put(&code, calls++);
	return x86_finish(&code, image, off, emit);
",
        }],
        kind: Kind::Encoding,
        arch: X86,
        words: &["emit_x86 wrote", "second call"],
    },
    Fault {
        name: "the code depends on where it stands",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: FINISH_X86,
            replace: "\
	/* mov r11d, the lower half of the address */
	x86_mov_imm32(&code, X86_R11, emit ? (unsigned long)(image + *off) : 0);
	return x86_finish(&code, image, off, emit);
",
        }],
        kind: Kind::Encoding,
        arch: X86,
        words: &["emit_x86 wrote", "another image"],
    },
    Fault {
        name: "the return value counts one byte more",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: FINISH_X86,
            replace: "	return x86_finish(&code, image, off, emit) + 1;\n",
        }],
        kind: Kind::Encoding,
        arch: X86,
        words: &["emit_x86 returned", "took the offset"],
    },
    Fault {
        name: "the return value is zero for success",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: FINISH_ARM64,
            replace: "	a64_finish(&code, image, idx, emit);\n	return 0;\n",
        }],
        kind: Kind::Callback,
        arch: ARM64,
        words: &["emit_arm64 returned 0"],
    },
    Fault {
        name: "the return value counts bytes on ARM64",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: FINISH_ARM64,
            replace: "	return 4 * a64_finish(&code, image, idx, emit);\n",
        }],
        kind: Kind::Encoding,
        arch: ARM64,
        words: &["emit_arm64 returned", "took the offset"],
    },
    Fault {
        name: "the offset is not advanced",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: FINISH_X86,
            replace: "	u32 at = *off;\n\n	return x86_finish(&code, image, &at, emit);\n",
        }],
        kind: Kind::Encoding,
        arch: X86,
        words: &["emit_x86 returned", "took the offset"],
    },
    Fault {
        name: "the offset is set, not advanced",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: FINISH_X86,
            replace: "	x86_finish(&code, image, off, emit);\n	*off = code.len;\n	return code.len;\n",
        }],
        kind: Kind::Encoding,
        arch: X86,
        words: &["emit_x86 returned", "took the offset"],
    },
    Fault {
        name: "the offset is ignored, the code goes to the start of the image",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: FINISH_X86,
            replace: "\
	u32 start = 0;
	int len = x86_finish(&code, image, &start, emit);

	*off += len;
	return len;
",
        }],
        kind: Kind::Callback,
        arch: X86,
        words: &["emit_x86", "before its offset"],
    },
    Fault {
        name: "the index counts bytes on ARM64",
        base: MASK,
        edits: &[Edit {
            file: SOURCE,
            find: FINISH_ARM64,
            replace: "	a64_finish(&code, image, idx, emit);\n	*idx += 3 * code.len;\n	return code.len;\n",
        }],
        kind: Kind::Encoding,
        arch: ARM64,
        words: &["emit_arm64 returned", "took the offset"],
    },
];
