// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in a rotation with a temporary.

use kop_harness::reports::Kind;

use super::{ARM64, Base, Edit, Fault, ROTATE_LEFT, X86};

const SOURCE_X86: &str = "rotate_left_x86.c";
const SOURCE_ARM64: &str = "rotate_left_arm64.c";

/// What is shipped, with nothing declared.
const UNDECLARED: Base = Base { contract: &[], ..ROTATE_LEFT };

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "rotate: the temporary is not declared, on x86-64",
        base: UNDECLARED,
        edits: &[],
        kind: Kind::Temporary,
        arch: X86,
        words: &["dead=payload[8:11]"],
    },
    Fault {
        name: "rotate: the temporary is not declared, on ARM64",
        base: UNDECLARED,
        edits: &[],
        kind: Kind::Temporary,
        arch: ARM64,
        words: &["dead=payload[8:11]"],
    },
    Fault {
        name: "rotate: tmp may be src, which is still needed",
        base: ROTATE_LEFT,
        edits: &[
            Edit {
                file: SOURCE_X86,
                find: "rotate->tmp == rotate->dst || rotate->tmp == rotate->src",
                replace: "rotate->tmp == rotate->dst",
            },
            Edit {
                file: SOURCE_ARM64,
                find: "rotate->tmp == rotate->dst || rotate->tmp == rotate->src",
                replace: "rotate->tmp == rotate->dst",
            },
        ],
        kind: Kind::Register,
        arch: ARM64,
        words: &["r"],
    },
    Fault {
        name: "rotate: an amount of zero is accepted, and 64 is no amount for ROR",
        base: ROTATE_LEFT,
        edits: &[
            Edit { file: SOURCE_X86, find: "	if (rotate->amount == 0)\n		return -EINVAL;\n", replace: "" },
            Edit { file: SOURCE_ARM64, find: "	if (rotate->amount == 0)\n		return -EINVAL;\n", replace: "" },
        ],
        kind: Kind::Register,
        arch: ARM64,
        words: &["r"],
    },
    Fault {
        name: "rotate: the other direction",
        base: ROTATE_LEFT,
        edits: &[Edit {
            file: SOURCE_ARM64,
            find: "64 - rotate.amount));\n	return a64",
            replace: "rotate.amount));\n	return a64",
        }],
        kind: Kind::Register,
        arch: ARM64,
        words: &["r"],
    },
];
