// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in a select with two forms: aliasing, flags, jumps of the proof, the form's tag.

use kop_harness::reports::Kind;

use super::{ARM64, Edit, Fault, SELECT, X86};

const SOURCE: &str = "select.c";

const JUMP: &str = "insn_buf[2] = BPF_JMP_A(1);";

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "select: dst is overwritten before yes, which is the same register, is read",
        base: SELECT,
        edits: &[Edit {
            file: SOURCE,
            find: "	} else if (dst == yes) {\n		select_cmov(&code, X86_EQUAL, dst, no);\n",
            replace: "",
        }],
        kind: Kind::Register,
        arch: X86,
        words: &["r"],
    },
    Fault {
        name: "select: only the lower half of the condition counts",
        base: SELECT,
        edits: &[Edit {
            file: SOURCE,
            find: "x86_rr(&code, true, 0x85, cond, cond);",
            replace: "x86_rr(&code, false, 0x85, cond, cond);",
        }],
        kind: Kind::Register,
        arch: X86,
        words: &["r"],
    },
    Fault {
        name: "select: a zero by xor overwrites the flags",
        base: SELECT,
        edits: &[Edit {
            file: SOURCE,
            find: "	if (select.form == SELECT_IMM) {\n		/* mov dst",
            replace: "\
	if (select.form == SELECT_IMM && select.imm == 0) {
		/* xor dst, dst */
		x86_rr(&code, true, 0x31, dst, dst);
		select_cmov(&code, X86_NOT_EQUAL, dst, yes);
	} else if (select.form == SELECT_IMM) {
		/* mov dst",
        }],
        kind: Kind::Register,
        arch: X86,
        words: &["r"],
    },
    Fault {
        name: "select: the constant is zero-extended",
        base: SELECT,
        edits: &[Edit {
            file: SOURCE,
            find: "\
		x86_rr(&code, true, 0xc7, 0, dst);
		x86_put_imm32(&code, select.imm);
",
            replace: "		x86_mov_imm32(&code, dst, select.imm);\n",
        }],
        kind: Kind::Register,
        arch: X86,
        words: &["r"],
    },
    Fault {
        name: "select: the condition is the wrong way round",
        base: SELECT,
        edits: &[Edit { file: SOURCE, find: "no, A64_COND_NE));", replace: "no, A64_COND_EQ));" }],
        kind: Kind::Register,
        arch: ARM64,
        words: &["r"],
    },
    Fault {
        name: "select: dst is overwritten before cond is read, in one form",
        base: SELECT,
        edits: &[Edit {
            file: SOURCE,
            find: "		no = A64_TMP1;\n",
            replace: "		no = A64_TMP1;\n	} else {\n		a64_put(&code, a64_mov(a64_regs[select.dst], no));\n		no = a64_regs[select.dst];\n",
        }],
        kind: Kind::Register,
        arch: ARM64,
        words: &["r"],
    },
    Fault {
        name: "select: the emit takes a form that the proof does not know",
        base: SELECT,
        edits: &[Edit {
            file: SOURCE,
            find: "	u8 no;\n	int err;\n\n",
            replace: "	u8 no;\n	int err;\n\n	if ((payload & 0xf) == 3)\n		payload ^= 1;\n",
        }],
        kind: Kind::Validity,
        arch: ARM64,
        words: &["emit accepts the payload"],
    },
    Fault {
        name: "select: the emit knows one form only",
        base: SELECT,
        edits: &[Edit {
            file: SOURCE,
            find: "	u8 no;\n	int err;\n\n",
            replace: "	u8 no;\n	int err;\n\n	if ((payload & 0xf) != SELECT_REG)\n		return -EINVAL;\n",
        }],
        kind: Kind::Validity,
        arch: ARM64,
        words: &["rejects it"],
    },
    Fault {
        name: "select: the proof jumps backwards",
        base: SELECT,
        edits: &[Edit { file: SOURCE, find: JUMP, replace: "insn_buf[2] = BPF_JMP_A(-3);" }],
        kind: Kind::Shape,
        arch: None,
        words: &["backward"],
    },
    Fault {
        name: "select: the proof jumps out of its sequence",
        base: SELECT,
        edits: &[Edit { file: SOURCE, find: JUMP, replace: "insn_buf[2] = BPF_JMP_A(2);" }],
        kind: Kind::Shape,
        arch: None,
        words: &["jump"],
    },
];
