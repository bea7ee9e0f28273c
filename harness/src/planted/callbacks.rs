// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in what the callbacks accept and how they answer: validity and encoding.

use kop_ops::Arch;
use kop_ops::ebpf::Reg;
use kop_ops::kop::{Emission, Pass};
use kop_reports::{Blame, Kind};

use super::faulty::{Call, Mistake};
use super::{At, Planted, aarch64, planted};

const X86: Arch = Arch::X86_64;
const ARM: Arch = Arch::Aarch64;

/// A form that reads what it knows of the payload and ignores the rest.
const IGNORES_UNUSED_BITS: fn(&kop_ops::Form, u64) -> u64 = |form, payload| payload & form.layout.used_bits();
/// A form that does not ask whether the operands go together.
const ASKS_NOTHING: fn(&kop_ops::Form, u64) -> u64 = |_, payload| payload;

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = validity();
    faults.extend(encoding_x86_64());
    faults.extend(encoding_aarch64());
    faults
}

fn validity() -> Vec<Planted> {
    let emit = |at, arch, name, about, mistake| {
        planted(at, arch, name, (Kind::Validity, Blame::Emit), about, mistake)
    };
    let proof = |at, arch, name, about, mistake| {
        planted(at, arch, name, (Kind::Validity, Blame::Proof), about, mistake)
    };
    vec![
        emit(
            ("rotate", "imm64"),
            X86,
            "validity-emit-ignores-unused-bits",
            "one architecture masks the operands out and never looks at the other bits",
            Mistake::EmitReads(IGNORES_UNUSED_BITS),
        ),
        emit(
            ("rotate", "reg64"),
            ARM,
            "validity-emit-accepts-more",
            "the instruction can do with dst=amount what the proof cannot, and so the emit accepts it",
            Mistake::EmitReads(ASKS_NOTHING),
        ),
        emit(
            ("clmul", "low"),
            X86,
            "validity-emit-accepts-squares-in-place",
            "dst=a=b is no problem for PCLMULQDQ: one architecture accepts what the proof rejects",
            Mistake::EmitReads(ASKS_NOTHING),
        ),
        emit(
            ("swapped_load", "be64"),
            X86,
            "validity-emit-rejects-rbp-and-r13",
            "these two have no address without a displacement: refused rather than given a zero",
            Mistake::EmitRefuses(|site| {
                site.imm("off") == 0 && matches!(site.reg("base"), Reg::R10 | Reg::R7)
            }),
        ),
        emit(
            ("rotate", "imm32"),
            ARM,
            "validity-emit-rejects-zero",
            "an amount of zero is an immediate of 32, which the field cannot hold",
            Mistake::EmitRefuses(|site| site.imm("amount") == 0),
        ),
        aarch64(
            ("swapped_load", "be32"),
            "validity-offset-does-not-encode",
            Kind::Validity,
            "the scaled offset 4096 is sent to the assembler, which has no such field",
            |site, code| {
                use kop_ops::aarch64::{Insn as A, Mem};
                let off = site.imm("off") as i32;
                if off == 4 * 4096 {
                    code.retain(|insn| !matches!(insn, A::MoveWide { .. }));
                    if let Some(A::Load { mem, .. }) = code.first_mut() {
                        *mem = Mem::offset(site.x("base"), off);
                    }
                }
            },
        ),
        proof(
            ("extract", "signed"),
            X86,
            "validity-proof-rejects-the-whole",
            "the proof alone takes a length of 64 for a mistake",
            Mistake::ProofRefuses(|site| site.imm("length") == 64),
        ),
        proof(
            ("rotate", "reg32"),
            ARM,
            "validity-proof-accepts-more",
            "the proof alone accepts dst=amount",
            Mistake::ProofReads(ASKS_NOTHING),
        ),
        proof(
            ("select", "test64"),
            X86,
            "validity-proof-ignores-unused-bits",
            "the proof alone ignores bits that no operand uses",
            Mistake::ProofReads(IGNORES_UNUSED_BITS),
        ),
    ]
}

fn encoding(
    at: At,
    arch: Arch,
    name: &'static str,
    about: &'static str,
    change: fn(&Call, &mut Emission),
) -> Planted {
    planted(at, arch, name, (Kind::Encoding, Blame::Emit), about, Mistake::Emission(change))
}

/// Adds bytes at the end.
fn pad(call: &Call, emission: &mut Emission, bytes: &[u8]) {
    emission.size += bytes.len();
    if call.request.pass == Pass::Write {
        emission.bytes.extend_from_slice(bytes);
    }
}

const X86_NOP: [u8; 1] = [0x90];
const ARM_NOP: [u8; 4] = 0xd503_201f_u32.to_le_bytes();

fn encoding_x86_64() -> Vec<Planted> {
    vec![
        encoding(
            ("swapped_load", "be32"),
            X86,
            "encoding-sizes-disp8-up-to-128",
            "sizing takes 128 for a displacement of one byte, writing does not",
            |call, emission| {
                if call.request.pass == Pass::Size && call.site.imm("off") == 128 {
                    emission.size -= 3;
                }
            },
        ),
        encoding(
            ("rotate", "imm64"),
            X86,
            "encoding-says-one-more",
            "a writing call returns the size of the longest form",
            |call, emission| {
                if call.request.pass == Pass::Write && call.site.imm("amount") == 0 {
                    emission.size += 1;
                }
            },
        ),
        encoding(
            ("select", "test64"),
            X86,
            "encoding-differs-on-the-second-call",
            "the first of two equivalent encodings, then the other: every one of them is right",
            |call, emission| {
                const TEST: u8 = 0x85;
                const AND: u8 = 0x23;
                if let Some(opcode) =
                    emission.bytes.get_mut(1).filter(|opcode| call.again && **opcode == TEST)
                {
                    *opcode = AND;
                }
            },
        ),
        encoding(
            ("popcount", "pop64"),
            X86,
            "encoding-differs-by-address",
            "the code is aligned to its address, which the kernel's passes change",
            |call, emission| {
                if call.request.address % 2 == 1 {
                    pad(call, emission, &X86_NOP);
                }
            },
        ),
        encoding(
            ("extract", "unsigned"),
            X86,
            "encoding-over-the-limit",
            "one byte more than declared for the last start: a buffer overrun by one",
            |call, emission| {
                if call.site.imm("start") == 63 {
                    let missing = call.limit + 1 - emission.size;
                    pad(call, emission, &vec![X86_NOP[0]; missing]);
                }
            },
        ),
        encoding(
            ("rotate", "imm64"),
            X86,
            "encoding-nothing-for-the-identity",
            "a rotation of a register to itself by zero emits nothing, which is right and no code",
            |call, emission| {
                if call.site.imm("amount") == 0 && call.site.reg("dst") == call.site.reg("src") {
                    *emission = Emission { size: 0, bytes: Vec::new() };
                }
            },
        ),
        encoding(
            ("clmul", "high"),
            X86,
            "encoding-writes-when-sizing",
            "a prefix is written before the pass is looked at",
            |call, emission| {
                if call.request.pass == Pass::Size {
                    emission.bytes.push(0x66);
                }
            },
        ),
    ]
}

fn encoding_aarch64() -> Vec<Planted> {
    vec![
        encoding(
            ("select", "test32"),
            ARM,
            "encoding-grows-on-the-second-call",
            "state that is left over from the sizing pass",
            |call, emission| {
                if call.again {
                    pad(call, emission, &ARM_NOP);
                }
            },
        ),
        encoding(
            ("rotate", "reg64"),
            ARM,
            "encoding-differs-at-low-addresses",
            "an alternative for code below 4 GiB, where no kernel runs",
            |call, emission| {
                if call.request.address < 1 << 32 {
                    pad(call, emission, &ARM_NOP);
                }
            },
        ),
        encoding(
            ("popcount", "pop32"),
            ARM,
            "encoding-one-word-over-the-limit",
            "the general form has grown by an instruction for two registers and the declared size has not",
            |call, emission| {
                if call.site.reg("dst") == Reg::R9 && call.site.reg("src") == Reg::R0 {
                    while emission.size <= call.limit {
                        pad(call, emission, &ARM_NOP);
                    }
                }
            },
        ),
        encoding(
            ("extract", "signed"),
            ARM,
            "encoding-sizes-the-copy-as-two",
            "sizing counts two instructions for a length of 64, writing knows the copy",
            |call, emission| {
                if call.request.pass == Pass::Size && call.site.imm("length") == 64 {
                    emission.size += 4;
                }
            },
        ),
        encoding(
            ("count_zeros", "trailing64"),
            ARM,
            "encoding-no-whole-word",
            "a byte of padding from the other architecture's alignment",
            |call, emission| {
                if call.site.reg("dst") == call.site.reg("src") {
                    pad(call, emission, &X86_NOP);
                }
            },
        ),
    ]
}
