// SPDX-License-Identifier: GPL-2.0-or-later
//! Which instructions of a form are looked at: every pair of registers, and numbers at which an encoding may change.

use std::collections::HashSet;
use std::sync::LazyLock;

use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::forms::{Fields, IMMEDIATES_64, fill};
use kop_ops::ebpf::{AluOp, Insn, Operand, Reg};

use super::forms::is_shift;

/// Registers that back ends treat alike except for those in the first places: r0, r3 and r4 are where x86-64 divides and shifts.
const SPECIAL: [Reg; 4] = [Reg::R0, Reg::R3, Reg::R4, Reg::R7];

/// Pairs of registers that get every offset: different ones, the same twice, the frame pointer, and those above.
const PAIRS: [(Reg, Reg); 6] = [
    (Reg::R1, Reg::R2),
    (Reg::R2, Reg::R2),
    (Reg::R10, Reg::R1),
    (Reg::R1, Reg::R10),
    (Reg::R0, Reg::R3),
    (Reg::R4, Reg::R0),
];

/// Offsets that every pair of registers gets: each is in another range of some encoding.
const OFFSETS_FOR_ALL: [i16; 6] = [0, 8, 129, -256, -257, i16::MIN];

/// Immediates that every register gets.
const IMMEDIATES_FOR_ALL: [i32; 12] = [0, 1, -1, 2, 3, 7, 128, -129, 0xfff, 0x1234_5678, i32::MIN, i32::MAX];

/// Immediates at which an encoding may change, or which an instruction set has a form for: small numbers, powers of two and
/// what is near to them, halfwords, repeated bit patterns; and some others.
pub(super) static IMMEDIATES: LazyLock<Vec<i32>> = LazyLock::new(|| {
    const HALVES: [u32; 7] = [0, 1, 0x7fff, 0x8000, 0xfffe, 0xffff, 0x1234];
    let mut all: Vec<i32> = (-65..=65).collect();
    for bit in 0..32 {
        for near in -2..=2 {
            let value = (1i32 << bit).wrapping_add(near);
            all.extend([value, value.wrapping_neg()]);
        }
    }
    all.extend(HALVES.iter().flat_map(|high| HALVES.map(|low| (high << 16 | low) as i32)));
    for (element, width) in [(1u32, 2), (1, 4), (3, 4), (7, 4), (0x0f, 8), (0x81, 8), (0x7f, 8), (0x00ff, 16)]
    {
        let repeated = (0..32 / width).fold(0, |value, at| value | element << (at * width));
        all.extend([repeated as i32, !repeated as i32]);
    }
    all.extend([0x00ff_f000, 0x00ff_efff, 0x00ff_f001, 0x0fff_f000, -0x00ff_f000, 0x00f0_f000]);
    let mut choices = Seeded::new(0x696d_6d73);
    all.extend((0..64).map(|_| choices.bits() as i32));
    distinct(all)
});

/// Offsets at which the encoding of an access may change.
static OFFSETS: LazyLock<Vec<i16>> = LazyLock::new(|| offsets(&[-8, -7, -4, -2, -1, 0, 1, 2, 4, 7, 8]));

/// Offsets at which the encoding of an addition may change, which an atomic access takes.
static ATOMIC_OFFSETS: LazyLock<Vec<i16>> = LazyLock::new(|| offsets(&[-1, 0, 1]));

fn offsets(near: &[i32]) -> Vec<i16> {
    let mut all: Vec<i16> = (-9..=17).collect();
    for bit in 4..16 {
        for near in near {
            let value = (1i32 << bit) + near;
            all.extend([value as i16, (-value) as i16]);
        }
    }
    distinct(all)
}

/// 64-bit immediates: boundary values, powers of two and what is near to them, and halfwords that make one move or four.
static WIDE: LazyLock<Vec<u64>> = LazyLock::new(|| {
    const HALVES: [u64; 4] = [0, 1, 0xffff, 0x1234];
    let mut all = IMMEDIATES_64.to_vec();
    for number in 0..256u32 {
        let half = |at: u32| HALVES[(number >> (2 * at) & 3) as usize] << (16 * at);
        all.push((0..4).map(half).sum());
    }
    for bit in 0..64 {
        all.extend([1u64 << bit, (1 << bit) - 1, !(1 << bit), u64::MAX << bit]);
    }
    all.extend(IMMEDIATES.iter().map(|imm| i64::from(*imm) as u64));
    let mut choices = Seeded::new(0x7769_6465);
    all.extend((0..64).map(|_| choices.bits()));
    distinct(all)
});

fn distinct<T: Copy + Eq + std::hash::Hash>(all: Vec<T>) -> Vec<T> {
    let mut seen = HashSet::new();
    all.into_iter().filter(|value| seen.insert(*value)).collect()
}

const PLAIN: Fields = Fields { first: Reg::R1, second: Reg::R2, off: 8, imm: 5, imm64: 6 };

/// The instructions of a form with every pair of registers that it may have.
pub(super) fn pairs(form: Insn) -> impl Iterator<Item = Insn> {
    let mut seen = HashSet::new();
    let pairs = Reg::ALL.into_iter().flat_map(|first| Reg::ALL.map(|second| (first, second)));
    pairs
        .map(move |(first, second)| fill(form, Fields { first, second, ..PLAIN }))
        .filter(move |insn| !insn.writes().has(Reg::R10) && seen.insert(*insn))
}

/// The instructions of a form that are looked at.
pub(super) fn instances(form: Insn) -> Vec<Insn> {
    let mut all: Vec<Insn> = pairs(form).collect();
    let mut add = |fields| all.push(fill(form, fields));
    if takes_immediate(&form) {
        for first in Reg::ALL {
            IMMEDIATES_FOR_ALL.into_iter().for_each(|imm| add(Fields { first, imm, ..PLAIN }));
        }
        // Divisions are formulas of their own for each register, and immediates are but data to most of them.
        let registers = if is_division(&form) { &SPECIAL[3..] } else { &SPECIAL[..] };
        for &first in registers {
            IMMEDIATES.iter().for_each(|&imm| add(Fields { first, imm, ..PLAIN }));
        }
    }
    if matches!(form, Insn::Alu { op, .. } if is_shift(op)) {
        for first in Reg::ALL {
            (0..64).for_each(|imm| add(Fields { first, imm, ..PLAIN }));
        }
    }
    if form.access().is_some() {
        for first in Reg::ALL {
            for second in Reg::ALL {
                OFFSETS_FOR_ALL.into_iter().for_each(|off| add(Fields { first, second, off, ..PLAIN }));
            }
        }
        let offsets = if matches!(form, Insn::Atomic { .. }) { &ATOMIC_OFFSETS } else { &OFFSETS };
        for (first, second) in PAIRS {
            offsets.iter().for_each(|&off| add(Fields { first, second, off, ..PLAIN }));
        }
    }
    if matches!(form, Insn::LoadImm64 { .. }) {
        for first in SPECIAL {
            WIDE.iter().for_each(|&imm64| add(Fields { first, imm64, ..PLAIN }));
        }
    }
    all.retain(|insn| !insn.writes().has(Reg::R10));
    distinct(all)
}

fn is_division(form: &Insn) -> bool {
    matches!(form, Insn::Alu { op: AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod, .. })
}

fn takes_immediate(form: &Insn) -> bool {
    matches!(
        form,
        Insn::Alu { src: Operand::Imm(_), .. }
            | Insn::Store { src: Operand::Imm(_), .. }
            | Insn::Jump { src: Operand::Imm(_), .. }
    )
}
