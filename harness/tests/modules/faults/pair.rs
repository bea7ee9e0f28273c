// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in addressing: offsets, ranges, base registers.

use kop_harness::reports::Kind;

use super::{ARM64, Edit, Fault, PAIR, X86};

const SOURCE: &str = "pair.c";

const FAR_ARM64: &str = "\
	if (!pair_off_fits_ldp(off)) {
		a64_put_mov_imm(&code, A64_TMP1, off);
		a64_put(&code, a64_add(A64_TMP1, A64_TMP1, base));
		base = A64_TMP1;
		off = 0;
	}
";

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "pair: an offset outside of the addressing mode is refused by the emit alone",
        base: PAIR,
        edits: &[Edit {
            file: SOURCE,
            find: FAR_ARM64,
            replace: "	if (!pair_off_fits_ldp(off))\n		return -ERANGE;\n",
        }],
        kind: Kind::Validity,
        arch: ARM64,
        words: &["rejects it"],
    },
    Fault {
        name: "pair: an offset just outside of the addressing mode wraps",
        base: PAIR,
        edits: &[Edit { file: SOURCE, find: "off <= 504", replace: "off <= 512" }],
        kind: Kind::Register,
        arch: ARM64,
        words: &["r"],
    },
    Fault {
        name: "pair: an offset that is no multiple of eight is rounded",
        base: PAIR,
        edits: &[Edit { file: SOURCE, find: " && off % 8 == 0", replace: "" }],
        kind: Kind::Register,
        arch: ARM64,
        words: &["r"],
    },
    Fault {
        name: "pair: a displacement of 8 bits is taken for 128",
        base: PAIR,
        edits: &[Edit {
            file: "x86_emit.h",
            find: "off >= -128 && off <= 127",
            replace: "off >= -128 && off <= 128",
        }],
        kind: Kind::Register,
        arch: X86,
        words: &["r"],
    },
    Fault {
        name: "pair: rbp and r13 as a base without a displacement",
        base: PAIR,
        edits: &[Edit { file: "x86_emit.h", find: "off == 0 && (base & 7) != X86_RBP", replace: "off == 0" }],
        kind: Kind::Frame,
        arch: X86,
        words: &["runs past the end"],
    },
    Fault {
        name: "pair: r13 as a base without a displacement, rbp is thought of",
        base: PAIR,
        edits: &[Edit {
            file: "x86_emit.h",
            find: "off == 0 && (base & 7) != X86_RBP",
            replace: "off == 0 && base != X86_RBP",
        }],
        kind: Kind::Frame,
        arch: X86,
        words: &["depends on the address of the code"],
    },
    Fault {
        name: "pair: low may be base, which the proof reads again",
        base: PAIR,
        edits: &[Edit {
            file: SOURCE,
            find: "pair->low == pair->base || pair->low == pair->high",
            replace: "pair->low == pair->high",
        }],
        kind: Kind::Fault,
        arch: ARM64,
        words: &["fault"],
    },
    Fault {
        name: "pair: base is overwritten before the second word is read",
        base: PAIR,
        edits: &[Edit {
            file: SOURCE,
            find: "\
	pair_load(&code, x86_regs[pair.low], x86_regs[pair.base], pair.off);
	pair_load(&code, x86_regs[pair.high], x86_regs[pair.base], pair.off + 8);
",
            replace: "\
	pair_load(&code, x86_regs[pair.high], x86_regs[pair.base], pair.off + 8);
	pair_load(&code, x86_regs[pair.low], x86_regs[pair.base], pair.off);
",
        }],
        kind: Kind::Fault,
        arch: X86,
        words: &["fault"],
    },
    Fault {
        name: "pair: the offset of the second word wraps in the proof",
        base: PAIR,
        edits: &[Edit {
            file: SOURCE,
            find: "	if (pair->off > S16_MAX - 8)\n		return -EINVAL;\n",
            replace: "",
        }],
        kind: Kind::Fault,
        arch: X86,
        words: &["fault"],
    },
];
