// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in what emits are judged by: values and shapes of proof sequences, models, and contracts.

use kop_ops::Arch;
use kop_ops::ebpf::{AluOp, Insn, Operand, Reg, RegSet, Width};
use kop_reports::{Blame, Kind};

use super::faulty::{Mistake, Patch};
use super::{At, Planted, planted};

const X86: Arch = Arch::X86_64;
const ARM: Arch = Arch::Aarch64;

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = values();
    faults.extend(shapes());
    faults.extend(temporaries());
    faults.extend(models());
    faults
}

fn values() -> Vec<Planted> {
    let value = |at: At, arch, name, about, patch: Patch<Insn>| {
        planted(at, arch, name, (Kind::Register, Blame::Proof), about, Mistake::Proof(patch))
    };
    vec![
        value(
            ("popcount", "pop64"),
            X86,
            "proof-mask-misses-a-bit",
            "one digit of a 64-bit constant",
            |_, proof| {
                for insn in proof {
                    if let Insn::LoadImm64 { imm: imm @ 0x3333_3333_3333_3333, .. } = insn {
                        *imm = 0x3333_3333_3333_3332;
                    }
                }
            },
        ),
        value(
            ("count_zeros", "leading64"),
            ARM,
            "proof-ladder-threshold",
            "a rung of the binary search compares with half of its threshold",
            |_, proof| {
                for insn in proof {
                    if let Insn::Jump { src: Operand::Imm(imm @ 0xffff), .. } = insn {
                        *imm = 0x7fff;
                    }
                }
            },
        ),
        value(
            ("count_zeros", "trailing32"),
            X86,
            "proof-forgets-zero",
            "the last step, for a source of zero, is missing",
            |_, proof| proof.truncate(proof.len() - 2),
        ),
        value(
            ("clmul", "high"),
            ARM,
            "proof-jumps-one-too-far",
            "the last of 64 unrolled jumps skips a shift as well",
            |_, proof| {
                let last = proof.len() - 4;
                if let Insn::Jump { off, .. } = &mut proof[last] {
                    *off = 2;
                }
            },
        ),
        value(
            ("clmul", "low"),
            X86,
            "proof-destination-is-b",
            "always adds b up in dst, which is b itself in a quarter of the sites that alias",
            |site, proof| {
                if site.reg("dst") == site.reg("b") {
                    let (a, b) = (site.reg("a"), site.reg("b"));
                    for insn in proof {
                        if let Insn::Alu { src: Operand::Reg(src), .. } = insn {
                            *src = if *src == a { b } else { a };
                        }
                    }
                }
            },
        ),
        value(
            ("extract", "signed"),
            ARM,
            "proof-top-field-has-no-sign",
            "a field that ends at bit 63 needs one shift, and that is the logical one",
            |site, proof| {
                if site.imm("start") + site.imm("length") == 64 {
                    for insn in proof {
                        if let Insn::Alu { op: op @ AluOp::Arsh, .. } = insn {
                            *op = AluOp::Rsh;
                        }
                    }
                }
            },
        ),
        value(
            ("select", "test64"),
            X86,
            "proof-jump-falls-short",
            "the conditional jump lands on the jump around the copy of a: dst keeps its value",
            |_, proof| {
                if let Insn::Jump { off, .. } = &mut proof[0] {
                    *off = 1;
                }
            },
        ),
        value(
            ("select", "test32"),
            ARM,
            "proof-jump32-is-jump",
            "a jump on 64 bits in the 32-bit form",
            |_, proof| {
                if let Insn::Jump { width, .. } = &mut proof[0] {
                    *width = Width::W64;
                }
            },
        ),
        value(
            ("swapped_load", "be16"),
            X86,
            "proof-swaps-32-bits",
            "the conversion is of 32 bits after a load of 16",
            |_, proof| {
                if let Some(Insn::End { bits, .. }) = proof.last_mut() {
                    *bits = 32;
                }
            },
        ),
        value(
            ("rotate", "imm32"),
            ARM,
            "proof-shifts-64-bits",
            "the left shift and the OR are of 64 bits: bits leave upwards and stay",
            |_, proof| {
                for insn in proof {
                    if let Insn::Alu { op: AluOp::Lsh | AluOp::Or, width, .. } = insn {
                        *width = Width::W64;
                    }
                }
            },
        ),
    ]
}

fn shapes() -> Vec<Planted> {
    let shape = |at: At, arch, name, about, patch: Patch<Insn>| {
        planted(at, arch, name, (Kind::Shape, Blame::Proof), about, Mistake::Proof(patch))
    };
    vec![
        shape(
            ("select", "test64"),
            ARM,
            "shape-jumps-backwards",
            "an offset with the wrong sign",
            |_, proof| {
                proof[2] = Insn::ja(-2);
            },
        ),
        shape(
            ("extract", "unsigned"),
            ARM,
            "shape-exits",
            "an exit, as at the end of a program",
            |_, proof| {
                proof.push(Insn::exit());
            },
        ),
        shape(
            ("count_zeros", "leading32"),
            X86,
            "shape-calls",
            "a helper call in place of a ladder",
            |_, proof| {
                proof.insert(1, Insn::call_helper(5));
            },
        ),
        shape(
            ("rotate", "imm64"),
            ARM,
            "shape-is-empty",
            "a rotation of a register to itself by zero takes no instruction, and a sequence has to have one",
            |site, proof| {
                if site.imm("amount") == 0 && site.reg("dst") == site.reg("src") {
                    proof.clear();
                }
            },
        ),
        shape(
            ("extract", "signed"),
            X86,
            "shape-is-too-long",
            "one instruction more than declared, where all three are needed",
            |site, proof| proof.push(Insn::mov64(site.reg("dst"), site.reg("dst"))),
        ),
        shape(
            ("popcount", "pop64"),
            ARM,
            "shape-loads-a-map",
            "a 64-bit immediate whose source field says that it is a map",
            |_, proof| {
                for insn in proof {
                    if let Insn::LoadImm64 { kind, .. } = insn {
                        *kind = 1;
                    }
                }
            },
        ),
        shape(
            ("count_zeros", "trailing64"),
            X86,
            "shape-jumps-beyond-the-end",
            "the last jump goes two past the end",
            |_, proof| {
                let last = proof.len() - 2;
                if let Insn::Jump { off, .. } = &mut proof[last] {
                    *off = 2;
                }
            },
        ),
        shape(
            ("popcount", "pop64"),
            X86,
            "shape-jumps-into-an-immediate",
            "jumps count slots and a 64-bit immediate takes two",
            |_, proof| {
                proof[0] = Insn::ja(1);
            },
        ),
        shape(
            ("swapped_load", "be32"),
            X86,
            "shape-may-goto",
            "an instruction that counts loop iterations",
            |_, proof| {
                proof[1] = Insn::MayGoto { off: 0 };
            },
        ),
    ]
}

fn temporaries() -> Vec<Planted> {
    let dead = |at: At, arch, name, about| {
        let forget = Mistake::Contract(|_, contract| contract.dead = RegSet::EMPTY);
        planted(at, arch, name, (Kind::Temporary, Blame::Proof), about, forget)
    };
    let writes = |at: At, arch, name, about, patch: Patch<Insn>| {
        planted(at, arch, name, (Kind::Temporary, Blame::Proof), about, Mistake::Proof(patch))
    };
    vec![
        dead(
            ("popcount", "pop64"),
            X86,
            "temporary-is-not-declared",
            "the proof's temporary is missing in the contract",
        ),
        dead(
            ("clmul", "high"),
            ARM,
            "temporary-of-clmul-is-not-declared",
            "the contract declares SIMD registers alone",
        ),
        dead(
            ("count_zeros", "trailing32"),
            ARM,
            "temporary-of-count-zeros-is-not-declared",
            "the proof's temporary is missing in the contract",
        ),
        writes(
            ("select", "test64"),
            X86,
            "temporary-is-no-operand",
            "the proof saves the condition in r9 as if that were scratch",
            |site, proof| {
                if !super::code::names(site, Reg::R9) {
                    proof.insert(0, Insn::mov64(Reg::R9, site.reg("cond")));
                }
            },
        ),
        writes(
            ("rotate", "reg64"),
            ARM,
            "temporary-amount-stays-negated",
            "the amount is negated in place and not back: the result is right",
            |site, proof| {
                if site.reg("dst") == site.reg("src") {
                    proof.remove(4);
                }
            },
        ),
        writes(
            ("extract", "unsigned"),
            X86,
            "temporary-shifts-the-source",
            "the proof shifts the source before it copies: the result is right",
            |site, proof| {
                let (dst, src) = (site.reg("dst"), site.reg("src"));
                if dst != src && proof.len() == 3 {
                    let copy = proof.remove(0);
                    if let Insn::Alu { dst, .. } = &mut proof[0] {
                        *dst = src;
                    }
                    proof.insert(1, copy);
                }
            },
        ),
    ]
}

fn models() -> Vec<Planted> {
    let model = |at: At, arch, name, about, change| {
        planted(at, arch, name, (Kind::Reference, Blame::Model), about, Mistake::Model(change))
    };
    vec![
        model(
            ("rotate", "reg64"),
            X86,
            "model-amount-modulo-32",
            "the amount counts modulo 32 in the 64-bit form, too",
            |site, before, after| {
                let amount = before.get(site.reg("amount")) % 32;
                after.set(site.reg("dst"), before.get(site.reg("src")).rotate_left(amount as u32));
            },
        ),
        model(
            ("clmul", "high"),
            ARM,
            "model-stops-at-bit-62",
            "the loop ends one bit early",
            |site, before, after| {
                let (a, b) = (before.get(site.reg("a")), before.get(site.reg("b")));
                if a >> 63 == 1 {
                    after.set(site.reg("dst"), after.get(site.reg("dst")) ^ b >> 1);
                }
            },
        ),
        model(
            ("popcount", "pop64"),
            ARM,
            "model-counts-to-63",
            "a count in six bits: wrong for all ones alone",
            |site, _, after| after.set(site.reg("dst"), after.get(site.reg("dst")) & 63),
        ),
        model(
            ("extract", "signed"),
            X86,
            "model-single-bit-has-no-sign",
            "a field of one bit is 0 or 1",
            |site, _, after| {
                if site.imm("length") == 1 {
                    after.set(site.reg("dst"), after.get(site.reg("dst")) & 1);
                }
            },
        ),
        model(
            ("select", "test32"),
            X86,
            "model-tests-64-bits",
            "the 32-bit form tests all of the condition",
            |site, before, after| {
                let taken = before.get(site.reg("cond")) != 0;
                after.set(site.reg("dst"), before.get(site.reg(if taken { "a" } else { "b" })));
            },
        ),
        model(
            ("swapped_load", "be32"),
            ARM,
            "model-keeps-the-upper-half",
            "the upper half of dst stays",
            |site, before, after| {
                let dst = site.reg("dst");
                after.set(dst, before.get(dst) >> 32 << 32 | after.get(dst));
            },
        ),
        model(
            ("count_zeros", "trailing32"),
            X86,
            "model-of-zero-is-64",
            "the count of a 64-bit number that has the 32 bits",
            |site, before, after| {
                if before.get(site.reg("src")) as u32 == 0 {
                    after.set(site.reg("dst"), 64);
                }
            },
        ),
    ]
}
