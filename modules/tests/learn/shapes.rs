// SPDX-License-Identifier: GPL-2.0-or-later
//! The shapes of payloads that modules have: loads, copies, many tags, registers that nobody checks.

use std::sync::LazyLock;

use kop_modules::{Learned, learn};
use kop_ops::ebpf::{AluOp, Cond, Insn, Reg, Size};

use super::decoders::{Decoded, Synthetic, bits, decoded, register};
use super::fields;

/// A decoder, and the forms that must come out with their fields.
pub type Shape = (&'static str, fn(u64) -> Decoded, &'static [(&'static str, &'static [&'static str])]);

pub const SHAPES: &[Shape] = &[
    ("load", load, &[("payload", &["dst 0+4 Destination", "base 4+4 Any", "off 8+16 signed -32768..32767"])]),
    (
        "moves",
        moves,
        &[
            ("tag1", &["tag 0+3 1..1", "dst 4+4 Destination", "src 8+4 Any"]),
            ("tag2", &["tag 0+3 2..2", "dst 4+4 Destination", "imm 8+32 signed -2147483648..2147483647"]),
            (
                "tag4",
                &["tag 0+3 4..4", "dst 4+4 Destination", "base 8+4 Any", "off 12+16 signed -32768..32767"],
            ),
            (
                "tag5",
                &[
                    "tag 0+3 5..5",
                    "dst 4+4 Destination",
                    "src 8+4 Any",
                    "src2 12+4 Source",
                    "len 16+2 0..3",
                    "off 20+16 signed -32768..32767",
                ],
            ),
            ("tag6", &["tag 0+3 6..6", "src 4+4 Any", "base 8+4 Any", "off 12+16 signed -32768..32767"]),
            (
                "tag7",
                &["tag 0+3 7..7", "base 8+4 Any", "off 12+16 signed -32768..32767", "imm 28+12 0..4095"],
            ),
        ],
    ),
    (
        "copy",
        copy,
        &[(
            "payload",
            &[
                "base 0+4 Any",
                "base2 4+4 Any",
                "dst 8+4 Destination",
                "len 12+8 1..128",
                "off 20+16 signed -32768..32766",
                "off2 36+16 signed -32768..32766",
            ],
        )],
    ),
    ("prefetch", prefetch, &[("payload", &["src 0+4 Any"])]),
    ("hinted", hinted, &[("payload", &["dst 0+4 Destination", "hint 4+2 0..3"])]),
    (
        "distinct",
        distinct,
        &[(
            "payload",
            &["dst 0+4 Destination", "src 4+4 Source", "dst2 8+4 Destination", "src2 12+4 Source"],
        )],
    ),
    ("saved", saved, &[("payload", &["sel 0+2 0..3", "src 4+4 Source"])]),
    (
        "selected",
        selected,
        &[("payload", &["dst 0+4 Destination", "src 4+4 Source", "src2 8+4 Source", "sel 12+4 0..10"])],
    ),
    ("two_lengths", two_lengths, &[("payload", &["dst 0+4 Destination", "len 4+5 1..20", "len2 9+4 1..10"])]),
    ("bounded", bounded, &[("payload", &["dst 0+4 Destination", "imm 4+32 signed -1000..1234567"])]),
    (
        "positive",
        positive,
        &[("payload", &["dst 0+4 Destination", "off 4+12 0..4095", "imm 16+31 1..2147483647"])],
    ),
    (
        "unchecked",
        unchecked,
        &[
            ("payload", &["dst 0+4 Destination", "src 4+4 Any"]),
            ("payload-no-register-dst", &["dst 0+4 11..15", "src 4+4 0..15"]),
            ("payload-no-register-src", &["dst 0+4 Destination", "src 4+4 11..15"]),
        ],
    ),
    (
        "buried",
        buried,
        &[(
            "payload",
            &[
                "fixed 0+4 11..11",
                "dst 4+4 Destination",
                "fixed2 8+4 4..4",
                "src 16+4 Source",
                "len 20+7 1..100",
            ],
        )],
    ),
    ("flagged", flagged, &[("payload", &["base 0+4 Any", "src 4+4 Any", "imm 8+6 1..63", "sel 16+1 0..1"])]),
    ("shadow", shadow, &[("payload", &["sel 0+4 0..15", "sel2 4+4 0..15"])]),
    (
        "lea",
        lea,
        &[
            (
                "tag0",
                &[
                    "dst 0+4 Destination",
                    "src 4+4 Source",
                    "tag 14+1 0..0",
                    "imm 15+32 signed -2147483648..2147483647",
                ],
            ),
            (
                "tag1",
                &[
                    "dst 0+4 Destination",
                    "src 4+4 Source",
                    "src2 8+4 Source",
                    "imm 12+2 0..3",
                    "tag 14+1 1..1",
                    "imm2 15+32 signed -2147483648..2147483647",
                ],
            ),
        ],
    ),
    (
        "wide_load",
        wide_load,
        &[(
            "payload",
            &[
                "dst 0+4 Destination",
                "base 4+4 Any",
                "len 8+4 2..8",
                "dst2 12+4 Destination",
                "off 16+16 signed -32768..32765",
                "sel 32+1 0..1",
            ],
        )],
    ),
    (
        "const_load",
        const_load,
        &[(
            "payload",
            &["dst 0+4 Destination", "imm 4+32 signed -2147483648..2147483647", "imm2 36+8 signed -128..127"],
        )],
    ),
];

/// A load that takes r10 as its destination, and looks at nothing above bit 23.
fn load(payload: u64) -> Decoded {
    let proof = || {
        let (dst, base) = (register(payload, 0, 10)?, register(payload, 4, 10)?);
        Some(vec![Insn::load(Size::B8, dst, base, bits(payload, 8, 16) as i16), Insn::bswap(dst, 64)])
    };
    proof().map_or(Decoded::Refused, |proof| Decoded::Valid(proof, payload & 0xff_ffff))
}

/// A move between registers, of a constant, from and to memory, with an index, of a constant to memory.
fn moves(payload: u64) -> Decoded {
    let proof = || {
        let off = |low| bits(payload, low, 16) as i16;
        let rest = |from: u32| payload >> from == 0;
        let dst = register(payload, 4, 9);
        let base = register(payload, 8, 10);
        match bits(payload, 0, 4) {
            1 if rest(12) => Some(vec![Insn::mov64(dst?, base?)]),
            2 if rest(40) => Some(vec![Insn::mov64(dst?, bits(payload, 8, 32) as i32)]),
            4 if rest(28) => Some(vec![Insn::load(Size::B4, dst?, base?, off(12))]),
            5 if rest(36) && bits(payload, 18, 2) == 0 => {
                let (dst, base, index) = (dst?, base?, register(payload, 12, 9)?);
                let scale = bits(payload, 16, 2) as i32;
                (dst != base).then(|| {
                    let mut proof = vec![Insn::mov64(dst, index)];
                    if scale != 0 {
                        proof.push(Insn::alu64(AluOp::Lsh, dst, scale));
                    }
                    proof.extend([
                        Insn::alu64(AluOp::Add, dst, base),
                        Insn::load(Size::B4, dst, dst, off(20)),
                    ]);
                    proof
                })
            }
            6 if rest(28) => Some(vec![Insn::store(Size::B4, base?, off(12), register(payload, 4, 10)?)]),
            7 if rest(40) && bits(payload, 4, 4) == 0 => {
                Some(vec![Insn::store(Size::B2, base?, off(12), i32::from(bits(payload, 28, 12) as i16))])
            }
            _ => None,
        }
    };
    decoded(payload, proof())
}

/// A copy of 1 to 128 bytes with both offsets and a temporary: all 52 bits.
fn copy(payload: u64) -> Decoded {
    let proof = || {
        let (to, from, tmp) =
            (register(payload, 0, 10)?, register(payload, 4, 10)?, register(payload, 8, 9)?);
        let len = bits(payload, 12, 8) as i16;
        let (to_off, from_off) = (bits(payload, 20, 16) as i16, bits(payload, 36, 16) as i16);
        let last = to_off.checked_add(len).is_some() && from_off.checked_add(len).is_some();
        if tmp == to || tmp == from || !(1..=128).contains(&len) || !last {
            return None;
        }
        let mut proof = Vec::new();
        let mut at = 0;
        for size in Size::ALL.into_iter().rev() {
            while len - at >= size.bytes() as i16 {
                proof.extend([
                    Insn::load(size, tmp, from, from_off + at),
                    Insn::store(size, to, to_off + at, tmp),
                ]);
                at += size.bytes() as i16;
            }
        }
        Some(proof)
    };
    decoded(payload, proof())
}

/// The proof does nothing; the address is seen by native code alone.
fn prefetch(payload: u64) -> Decoded {
    let proof = || (payload >> 4 == 0 && register(payload, 0, 10).is_some()).then(|| vec![Insn::ja(0)]);
    decoded(payload, proof())
}

/// Two bits that only native code looks at.
fn hinted(payload: u64) -> Decoded {
    let proof = || (payload >> 6 == 0).then(|| Some(vec![Insn::neg64(register(payload, 0, 9)?)]))?;
    decoded(payload, proof())
}

/// Four registers of which no two are the same.
fn distinct(payload: u64) -> Decoded {
    let proof = || {
        let mut registers = Vec::new();
        for low in [0, 4, 8, 12] {
            registers.push(register(payload, low, 9)?);
        }
        let alone = |at: &usize| registers[at + 1..].iter().all(|other| *other != registers[*at]);
        (payload >> 16 == 0 && (0..4).all(|at| alone(&at))).then(|| {
            vec![
                Insn::mov64(registers[2], registers[1]),
                Insn::alu64(AluOp::Add, registers[0], registers[2]),
                Insn::alu64(AluOp::Xor, registers[0], registers[3]),
            ]
        })
    };
    decoded(payload, proof())
}

/// Registers that a function preserves alone, in two bits and in four.
fn saved(payload: u64) -> Decoded {
    let proof = || {
        let dst = Reg::new(6 + bits(payload, 0, 2) as u8)?;
        let src = register(payload, 4, 9).filter(|src| src.index() >= 6)?;
        (payload >> 8 == 0 && bits(payload, 2, 2) == 0).then(|| vec![Insn::alu64(AluOp::Sub, dst, src)])
    };
    decoded(payload, proof())
}

/// A condition of 0 to 10 and a selection.
fn selected(payload: u64) -> Decoded {
    let proof = || {
        let (dst, a, b) = (register(payload, 0, 9)?, register(payload, 4, 9)?, register(payload, 8, 9)?);
        let cond = *Cond::ALL.get(bits(payload, 12, 4) as usize)?;
        (payload >> 16 == 0 && dst != b).then(|| vec![Insn::jump(cond, a, b, 1), Insn::mov64(dst, b)])
    };
    decoded(payload, proof())
}

/// Two lengths side by side.
fn two_lengths(payload: u64) -> Decoded {
    let proof = || {
        let dst = register(payload, 0, 9)?;
        let (a, b) = (bits(payload, 4, 5), bits(payload, 9, 4));
        ((1..=20).contains(&a) && (1..=10).contains(&b) && payload >> 13 == 0).then(|| {
            let mut proof = vec![Insn::neg64(dst); a as usize];
            proof.extend(vec![Insn::neg32(dst); b as usize]);
            proof
        })
    };
    decoded(payload, proof())
}

/// A constant of 32 bits with a range of its own.
fn bounded(payload: u64) -> Decoded {
    let proof = || {
        let (dst, imm) = (register(payload, 0, 9)?, bits(payload, 4, 32) as i32);
        (payload >> 36 == 0 && (-1000..=1_234_567).contains(&imm))
            .then(|| vec![Insn::alu64(AluOp::Add, dst, imm)])
    };
    decoded(payload, proof())
}

/// An unsigned offset of 12 bits and a constant of 31.
fn positive(payload: u64) -> Decoded {
    let proof = || {
        let (dst, off) = (register(payload, 0, 9)?, bits(payload, 4, 12) as i16);
        let imm = bits(payload, 16, 31) as i32;
        (payload >> 47 == 0 && imm > 0)
            .then(|| vec![Insn::load(Size::B1, dst, dst, off), Insn::alu32(AluOp::And, dst, imm)])
    };
    decoded(payload, proof())
}

/// Nobody looks at the numbers of the registers.
fn unchecked(payload: u64) -> Decoded {
    if payload >> 8 != 0 {
        return Decoded::Refused;
    }
    let slot = |src: u64| 0xbf | bits(payload, 0, 4) << 8 | src << 12;
    Decoded::Raw(vec![slot(bits(payload, 4, 4))], payload)
}

/// A tag, a register that must be r4, a length and a reserved nibble between them.
fn buried(payload: u64) -> Decoded {
    let proof = || {
        let (dst, src) = (register(payload, 4, 9)?, register(payload, 16, 9)?);
        let len = bits(payload, 20, 7);
        let fits = bits(payload, 0, 4) == 11 && bits(payload, 8, 4) == 4 && bits(payload, 12, 4) == 0;
        (fits && payload >> 27 == 0 && (1..=100).contains(&len) && dst != src)
            .then(|| vec![Insn::mov64(dst, src); len as usize])
    };
    decoded(payload, proof())
}

/// A flag that is allowed only when one of the registers is r10.
fn flagged(payload: u64) -> Decoded {
    let proof = || {
        let (dst, src, imm) = (register(payload, 0, 10)?, register(payload, 4, 10)?, bits(payload, 8, 8));
        let flag = bits(payload, 16, 1) == 1;
        let fits = (1..64).contains(&imm) && payload >> 17 == 0;
        (fits && !(flag && dst != Reg::R10 && src != Reg::R10)).then(|| {
            let op = if flag { AluOp::Rsh } else { AluOp::Lsh };
            vec![Insn::store(Size::B8, dst, -8, src), Insn::alu64(op, Reg::R6, imm as i32)]
        })
    };
    decoded(payload, proof())
}

/// Registers of the other architecture, kept on the stack.
fn shadow(payload: u64) -> Decoded {
    const OFFSETS: [i16; 16] =
        [-512, -456, -464, -496, -504, -448, -488, -408, -400, -392, -472, -440, -432, -424, -416, -480];
    if payload >> 8 != 0 {
        return Decoded::Refused;
    }
    let (dst, src) = (bits(payload, 0, 4), bits(payload, 4, 4));
    let mut proof = vec![
        Insn::load(Size::B8, Reg::R6, Reg::R10, OFFSETS[src as usize]),
        Insn::store(Size::B8, Reg::R10, OFFSETS[dst as usize], Reg::R6),
    ];
    if dst < 10 {
        proof.push(Insn::mov64(Reg::new(dst as u8).expect("it is below 10"), Reg::R6));
    }
    Decoded::Valid(proof, payload)
}

/// An address: a flag says whether there is an index with its scale.
fn lea(payload: u64) -> Decoded {
    let proof = || {
        let (dst, base) = (register(payload, 0, 9)?, register(payload, 4, 9)?);
        let (index, scale) = (register(payload, 8, 9)?, bits(payload, 12, 2) as i32);
        let (has_index, disp) = (bits(payload, 14, 1) == 1, bits(payload, 15, 32) as i32);
        if payload >> 47 != 0 || !has_index && (index != Reg::R0 || scale != 0) || dst == index && has_index {
            return None;
        }
        let mut proof = vec![Insn::mov64(dst, base)];
        if has_index {
            proof.push(Insn::mov64(dst, index));
            proof.push(Insn::alu64(AluOp::Lsh, dst, scale));
            proof.push(Insn::alu64(AluOp::Add, dst, base));
        }
        proof.push(Insn::alu64(AluOp::Add, dst, disp));
        Some(proof)
    };
    decoded(payload, proof())
}

/// An integer out of 2 to 8 bytes in either order.
fn wide_load(payload: u64) -> Decoded {
    let proof = || {
        let (dst, base, tmp) =
            (register(payload, 0, 9)?, register(payload, 4, 10)?, register(payload, 12, 9)?);
        let (width, off, big) =
            (bits(payload, 8, 4) as i16, bits(payload, 16, 16) as i16, bits(payload, 32, 1) == 1);
        if !(2..=8).contains(&width) || payload >> 33 != 0 || tmp == dst || tmp == base || dst == base {
            return None;
        }
        off.checked_add(width)?;
        let mut proof = vec![Insn::load(Size::B1, dst, base, off)];
        for at in 1..width {
            proof.push(Insn::load(Size::B1, tmp, base, off + at));
            let shifted = if big { dst } else { tmp };
            proof.push(Insn::alu64(AluOp::Lsh, shifted, if big { 8 } else { 8 * i32::from(at) }));
            proof.push(Insn::alu64(AluOp::Or, dst, tmp));
        }
        Some(proof)
    };
    decoded(payload, proof())
}

/// A constant of 40 bits, sign-extended.
fn const_load(payload: u64) -> Decoded {
    let proof = || {
        let dst = register(payload, 0, 9)?;
        let imm = (payload << 20) as i64 >> 24;
        (payload >> 44 == 0).then(|| vec![Insn::load_imm64(dst, imm as u64)])
    };
    decoded(payload, proof())
}

pub fn learned(decoder: fn(u64) -> Decoded) -> Learned {
    learn(&[&Synthetic::new(decoder)], &[]).expect("there are valid payloads")
}

/// A fill of 1 to 128 bytes in units, with a register, a constant or zero; the register does not count unless it is used.
fn fill(payload: u64) -> Decoded {
    let from_register = bits(payload, 34, 1) == 1;
    let proof = || {
        let base = register(payload, 0, 10)?;
        let (off, len) = (bits(payload, 8, 16) as i16, bits(payload, 24, 8) as i16 + 1);
        let size = Size::ALL[bits(payload, 32, 2) as usize];
        let (zero, value) = (bits(payload, 35, 1) == 1, bits(payload, 36, 8) as i32);
        let unit = size.bytes() as i16;
        off.checked_add(len - 1)?;
        if payload >> 44 != 0
            || len > 128
            || len % unit != 0
            || (zero || from_register) && value != 0
            || zero && from_register
        {
            return None;
        }
        let src = if from_register { Some(register(payload, 4, 10)?) } else { None };
        let stores = (0..len / unit).map(|at| match src {
            Some(src) => Insn::store(size, base, off + at * unit, src),
            None => Insn::store(size, base, off + at * unit, value),
        });
        Some(stores.collect())
    };
    proof().map_or(Decoded::Refused, |proof| {
        Decoded::Valid(proof, if from_register { payload } else { payload & !0xf0 })
    })
}

/// What is learned of each shape, in their order.
pub static LEARNED: LazyLock<Vec<Learned>> =
    LazyLock::new(|| SHAPES.iter().map(|(_, decoder, _)| learned(*decoder)).collect());

#[test]
fn the_fields_of_every_shape_are_learned() {
    for ((name, _, expected), learned) in SHAPES.iter().zip(&*LEARNED) {
        assert_eq!(learned.forms.len(), expected.len(), "{name}:\n{learned}");
        for (form, (expected_name, expected)) in learned.forms.iter().zip(*expected) {
            let fields = fields(learned, &form.form.name);
            assert_eq!(form.form.name, *expected_name, "{name}:\n{learned}");
            assert_eq!(fields, *expected, "{name} {expected_name}:\n{learned}");
        }
    }
}

/// How far the forms are split besides is not said: the lengths that go with a unit differ.
#[test]
fn a_register_that_does_not_count_is_ignored() {
    let learned = learned(fill);
    for form in &learned.forms {
        let from_register = form.form.name.starts_with("tag1");
        let fields = form.form.layout.fields();
        assert_eq!(
            fields.iter().any(|field| field.name == "src" && field.low == 4),
            from_register,
            "{learned}"
        );
        assert_eq!(form.ignored, if from_register { 0 } else { 0xf0 }, "{learned}");
    }
    for name in ["tag0", "tag1", "tag2"] {
        assert!(learned.forms.iter().any(|form| form.form.name.starts_with(name)), "{name} in {learned}");
    }
}
