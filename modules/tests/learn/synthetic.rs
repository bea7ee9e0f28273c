// SPDX-License-Identifier: GPL-2.0-or-later
//! Decoders of every kind that modules have, and the layouts that must come out.

use kop_modules::{LearnError, Learned, learn};
use kop_ops::Arch;
use kop_ops::ebpf::{AluOp, Cond, Insn, Size};

use super::decoders::{Decoded, Synthetic, bits, decoded, register};
use super::{fields, form};

fn learned(decoder: fn(u64) -> Decoded) -> Learned {
    learn(&[&Synthetic::new(decoder)], &[]).expect("there are valid payloads")
}

fn names(learned: &Learned) -> Vec<&str> {
    learned.forms.iter().map(|form| &*form.form.name).collect()
}

/// An x86 rotate: by an immediate of 8 bits (tags 2 and 13) of which the upper two do not count, or by r4 (tags 1 and 12).
fn tagged_rotate(payload: u64) -> Decoded {
    let proof = || {
        let (dst, src) = (register(payload, 4, 9)?, register(payload, 8, 10)?);
        let amount = bits(payload, 12, 6) as i32;
        match bits(payload, 0, 4) {
            2 | 13 if payload >> 20 == 0 => Some(vec![
                Insn::mov64(dst, src),
                Insn::alu64(AluOp::Lsh, dst, amount),
                Insn::alu64(AluOp::Rsh, dst, 64 - amount),
            ]),
            1 | 12 if payload >> 12 == 0 && src.index() == 4 => Some(vec![Insn::alu64(AluOp::Lsh, dst, src)]),
            _ => None,
        }
    };
    match proof() {
        Some(proof) => Decoded::Valid(proof, payload & !(3 << 18)),
        None => Decoded::Refused,
    }
}

#[test]
fn a_tag_selects_what_the_other_bits_mean() {
    let learned = learned(tagged_rotate);
    assert_eq!(names(&learned), ["tag1", "tag2", "tag12", "tag13"], "{learned}");
    for (name, tag) in [("tag1", "tag 0+4 1..1"), ("tag12", "tag 0+4 12..12")] {
        assert_eq!(fields(&learned, name), [tag, "dst 4+4 Destination", "fixed 8+4 4..4"], "{learned}");
        assert_eq!(form(&learned, name).ignored, 0);
    }
    for (name, tag) in [("tag2", "tag 0+4 2..2"), ("tag13", "tag 0+4 13..13")] {
        let expected = [tag, "dst 4+4 Destination", "src 8+4 Any", "imm 12+6 0..63"];
        assert_eq!(fields(&learned, name), expected, "{learned}");
        assert_eq!(form(&learned, name).ignored, 3 << 18);
    }
    assert_eq!(learned.ignored, 3 << 18);
    assert!(
        learned.remarks.iter().any(|remark| remark.contains("bits [19:18] are ignored")),
        "{:?}",
        learned.remarks
    );
}

/// A constant of 20 bits.
fn magic(payload: u64) -> Decoded {
    let proof = || {
        let dst = register(payload, 20, 9)?;
        (bits(payload, 0, 20) == 0xa_bcde && payload >> 24 == 0).then(|| vec![Insn::neg64(dst)])
    };
    decoded(payload, proof())
}

#[test]
fn a_constant_of_many_bits_takes_a_hint() {
    let error = learn(&[&Synthetic::new(magic)], &[]).expect_err("it is out of reach");
    assert!(matches!(error, LearnError::NothingAccepted { .. }));
    assert!(error.to_string().contains("--payload"), "{error}");
    let learned = learn(&[&Synthetic::new(magic)], &[0xa_bcde]).expect("the hint is valid");
    assert_eq!(
        fields(&learned, "payload"),
        ["fixed 0+20 703710..703710", "dst 20+4 Destination"],
        "{learned}"
    );
}

/// A compare chain of two to four registers, each of which differs from the destination; those that do not count are zero.
fn chain(payload: u64) -> Decoded {
    let proof = || {
        let (dst, count) = (register(payload, 0, 9)?, bits(payload, 4, 2) + 2);
        if count > 4 || payload >> 24 != 0 {
            return None;
        }
        let cond = [Cond::Eq, Cond::Ne][bits(payload, 6, 1) as usize];
        let narrow = bits(payload, 7, 1) == 1;
        let mut proof = vec![Insn::mov64(dst, 0)];
        for at in 0..4 {
            let term = register(payload, 8 + 4 * at, 10)?;
            if u64::from(at) < count {
                if term == dst {
                    return None;
                }
                let off = count as i16 - at as i16;
                proof.push(if narrow {
                    Insn::jump32(cond, term, 0, off)
                } else {
                    Insn::jump(cond, term, 0, off)
                });
            } else if term.index() != 0 {
                return None;
            }
        }
        proof.push(Insn::mov64(dst, 1));
        Some(proof)
    };
    decoded(payload, proof())
}

#[test]
fn a_count_decides_how_many_registers_there_are() {
    let learned = learned(chain);
    assert_eq!(names(&learned), ["tag0", "tag1", "tag2"], "{learned}");
    for (at, name) in ["tag0", "tag1", "tag2"].into_iter().enumerate() {
        let registers =
            form(&learned, name).form.layout.fields().iter().filter(|field| field.is_register()).count();
        assert_eq!(registers, 3 + at, "{learned}");
    }
}

/// A load with a reserved bit, and registers at bits 5 and 9.
fn shifted(payload: u64) -> Decoded {
    let proof = || {
        let (dst, base) = (register(payload, 5, 9)?, register(payload, 9, 10)?);
        let off = bits(payload, 14, 16) as i16;
        (payload & !(0x3fff_ffff & !0x201f) == 0).then(|| vec![Insn::load(Size::B4, dst, base, off)])
    };
    decoded(payload, proof())
}

#[test]
fn fields_may_begin_anywhere() {
    let learned = learned(shifted);
    let expected = ["dst 5+4 Destination", "base 9+4 Any", "off 14+16 signed -32768..32767"];
    assert_eq!(fields(&learned, "payload"), expected, "{learned}");
}

/// A shift whose decoder divides by its amount, which may be zero.
fn crashing(payload: u64) -> Decoded {
    let (dst, amount) = (register(payload, 0, 9), bits(payload, 4, 6) as i32);
    match dst {
        Some(_) if payload >> 10 == 0 && amount == 13 => Decoded::Crash,
        Some(dst) if payload >> 10 == 0 => {
            Decoded::Valid(vec![Insn::alu64(AluOp::Lsh, dst, amount)], payload)
        }
        _ => Decoded::Refused,
    }
}

#[test]
fn payloads_that_crash_are_named_and_belong_to_the_form() {
    let learned = learned(crashing);
    assert_eq!(fields(&learned, "payload"), ["dst 0+4 Destination", "imm 4+6 0..63"], "{learned}");
    assert!(!learned.failed.is_empty());
    for &payload in &learned.failed {
        assert_eq!(bits(payload, 4, 6), 13);
        assert!(form(&learned, "payload").covers(payload));
    }
}

/// Nothing works.
fn always_crashing(_payload: u64) -> Decoded {
    Decoded::Crash
}

#[test]
fn an_operation_that_always_crashes_still_has_a_form() {
    let learned = learned(always_crashing);
    assert!(
        learned.failed.iter().any(|&payload| learned.forms.iter().any(|form| form.covers(payload))),
        "{learned}"
    );
    assert!(learned.asked < 10_000, "each failure costs a process");
}

/// A shift by a multiple of four, an amount out of {8, 16, 32, 64}, and a signed byte.
fn irregular(payload: u64) -> Decoded {
    let proof = || {
        let dst = register(payload, 0, 9)?;
        let (four, power) = (bits(payload, 4, 8), bits(payload, 12, 7));
        let signed = bits(payload, 20, 8) as i8;
        let fits = four % 4 == 0
            && [8, 16, 32, 64].contains(&power)
            && payload >> 28 == 0
            && bits(payload, 19, 1) == 0;
        fits.then(|| {
            let mut proof = vec![
                Insn::alu64(AluOp::Add, dst, four as i32),
                Insn::alu64(AluOp::Xor, dst, i32::from(signed)),
            ];
            proof.extend((0..power / 8).map(|_| Insn::neg64(dst)));
            proof
        })
    };
    decoded(payload, proof())
}

#[test]
fn irregular_values_lie_within_a_field() {
    let learned = learned(irregular);
    let expected = ["dst 0+4 Destination", "imm 6+6 0..63", "sel 15+4 1..8", "imm2 20+8 signed -128..127"];
    assert_eq!(fields(&learned, "payload"), expected, "{learned}");
}

fn by_addition(payload: u64) -> Decoded {
    let proof = || Some(vec![Insn::alu64(AluOp::Add, register(payload, 0, 9)?, bits(payload, 4, 4) as i32)]);
    decoded(payload, proof().filter(|_| payload >> 8 == 0))
}

fn by_subtraction(payload: u64) -> Decoded {
    let proof =
        || Some(vec![Insn::alu64(AluOp::Sub, register(payload, 0, 9)?, -(bits(payload, 4, 4) as i32))]);
    decoded(payload, proof().filter(|_| payload >> 8 == 0))
}

fn by_addition_of_less(payload: u64) -> Decoded {
    if bits(payload, 4, 4) == 9 { Decoded::Refused } else { by_addition(payload) }
}

fn both(x86: fn(u64) -> Decoded, arm: fn(u64) -> Decoded) -> Learned {
    let (x86, arm) = (Synthetic::of(x86, &[Arch::X86_64]), Synthetic::of(arm, &[Arch::Aarch64]));
    learn(&[&x86, &arm], &[]).expect("there are valid payloads")
}

#[test]
fn sources_with_different_proofs_have_forms_of_their_own() {
    let learned = both(by_addition, by_subtraction);
    assert_eq!(names(&learned), ["payload-x86_64", "payload-aarch64"], "{learned}");
    for (at, arch) in Arch::ALL.into_iter().enumerate() {
        let form = &learned.forms[at];
        assert_eq!((&*form.archs, &*form.callbacks), (&[arch][..], &[at][..]));
    }
    assert!(learned.remarks.iter().any(|remark| remark.contains("different proof")), "{:?}", learned.remarks);
}

#[test]
fn sources_with_one_proof_have_one_form_that_has_what_either_accepts() {
    let learned = both(by_addition, by_addition_of_less);
    assert_eq!(fields(&learned, "payload"), ["dst 0+4 Destination", "imm 4+4 0..15"], "{learned}");
    assert_eq!((&*learned.forms[0].archs, &*learned.forms[0].callbacks), (&Arch::ALL[..], &[0, 1][..]));
    assert!(!learned.disputed.is_empty());
    assert!(learned.disputed.iter().all(|payload| bits(*payload, 4, 4) == 9), "{:x?}", learned.disputed);
}

/// One proof shows a temporary that native code has not, the other field is for native code alone.
fn half_seen(payload: u64) -> Decoded {
    let proof = || {
        let (dst, tmp) = (register(payload, 0, 9)?, register(payload, 4, 9)?);
        (payload >> 10 == 0 && tmp != dst).then(|| vec![Insn::mov64(tmp, dst), Insn::neg64(dst)])
    };
    proof().map_or(Decoded::Refused, |proof| Decoded::Valid(proof, payload & !0xf0))
}

#[test]
fn what_one_side_alone_looks_at_is_told_apart() {
    let learned = learned(half_seen);
    let expected = ["dst 0+4 Destination", "tmp 4+4 Scratch", "hint 8+2 0..3"];
    assert_eq!(fields(&learned, "payload"), expected, "{learned}");
    assert_eq!(learned.ignored, 0);
}

#[test]
fn the_description_has_a_line_for_each_field() {
    let learned = learned(half_seen);
    let expected = "payload\n  \
                    [3:0]  dst   register r0..r9, written\n  \
                    [7:4]  tmp   register r0..r9, written by the proof, not seen by native code\n  \
                    [9:8]  hint  unsigned 0..3, changes native code alone";
    assert_eq!(learned.to_string(), expected);
}
