// SPDX-License-Identifier: GPL-2.0-or-later
//! Where pointers point: at the ends of window and stack, inside, just outside, and at every distance from each other at
//! which what they reach overlaps or touches.

use kop_ops::choices::Choices;
use kop_ops::ebpf::Reg;
use kop_ops::state::{Registers, STACK_SIZE, Slot, WINDOW_SIZE};

use super::state::StateClasses;
use crate::pointers::Pointer;

/// How a state places pointers that reach memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placing {
    /// As it comes: half of the states relate two pointers, at any distance.
    Any,
    /// Each on its own.
    Apart,
    /// Two of them at the distance of this turn: as many turns as there are distances reach them all.
    Turn(u64),
}

/// What a pointer reaches, once it is placed.
#[derive(Clone, Copy)]
struct Placed<'p> {
    pointer: &'p Pointer,
    start: u64,
    length: u64,
}

/// The lowest byte relative to the address, and the length, that are placed as one; of a pointer that reaches further than
/// the window, its first access.
fn reach(pointer: &Pointer) -> (i64, u64) {
    if pointer.length() <= WINDOW_SIZE as u64 { (pointer.low, pointer.length()) } else { pointer.accesses[0] }
}

/// As [`reach`], but any access of a pointer that reaches further than the window: beside each of them code may do what it should not.
fn one_reach(pointer: &Pointer, choices: &mut impl Choices) -> (i64, u64) {
    if pointer.length() <= WINDOW_SIZE as u64 { reach(pointer) } else { *choices.pick(&pointer.accesses) }
}

/// The distances at which two ranges of these lengths overlap or touch: how far the first may start above the second.
///
/// Small ones and those at which they hardly touch come first.
pub fn distance(turn: u64, first: u64, second: u64) -> i64 {
    let count = distances(first, second);
    let turn = turn % count;
    let rank = if turn.is_multiple_of(2) { turn / 2 } else { count - 1 - turn / 2 };
    by_size(rank, first, second)
}

/// How many such distances there are.
pub const fn distances(first: u64, second: u64) -> u64 {
    first + second + 1
}

/// The distance in `-first..=second` that has the rank `rank` by magnitude.
fn by_size(rank: u64, first: u64, second: u64) -> i64 {
    let both = first.min(second);
    if rank > 2 * both {
        let beyond = (rank - both) as i64;
        return if second > first { beyond } else { -beyond };
    }
    let magnitude = rank.div_ceil(2) as i64;
    if rank % 2 == 1 { magnitude } else { -magnitude }
}

/// Whether every state faults, wherever pointers point: one reaches further than the window, or beside the stack.
pub fn always_faults(pointers: &[Pointer]) -> bool {
    pointers.iter().any(|pointer| {
        let fixed = pointer.base == Reg::R10 && pointer.terms.is_empty();
        let is_inside = -(STACK_SIZE as i64) <= pointer.low && pointer.high <= 0;
        pointer.length() > WINDOW_SIZE as u64 || fixed && !is_inside
    })
}

/// What the first two pointers reach, in bytes, if there are two to be placed by each other.
pub fn related_lengths(pointers: &[Pointer]) -> Option<(u64, u64)> {
    let mut lengths = pointers.iter().map(|pointer| reach(pointer).1);
    Some((lengths.next()?, lengths.next()?))
}

/// Sets the bases of `pointers` in `registers`, whose other registers have their values.
pub fn place(
    pointers: &[Pointer],
    placing: Placing,
    slot: Slot,
    registers: &mut Registers,
    choices: &mut impl Choices,
    classes: &mut StateClasses,
) {
    let mut placed: Vec<Placed> = Vec::new();
    // What cannot be moved comes first, so that others are placed by it.
    let (fixed, free): (Vec<&Pointer>, Vec<&Pointer>) =
        pointers.iter().partition(|pointer| pointer.base == Reg::R10);
    for pointer in fixed {
        let (low, length) = reach(pointer);
        let start = slot.stack_end().wrapping_add_signed(low);
        // Beside what faults anyway there is nothing to see.
        if (slot.stack()..=slot.stack_end() - length).contains(&start) {
            placed.push(Placed { pointer, start, length });
        }
    }
    for pointer in free {
        let relate = !placed.is_empty()
            && match placing {
                Placing::Any => choices.one_in(2),
                Placing::Apart => false,
                Placing::Turn(_) => true,
            };
        let (low, length) = one_reach(pointer, choices);
        let (start, low) = if relate {
            (beside(pointer, length, &placed, placing, slot, choices, classes), low)
        } else if matches!(placing, Placing::Turn(_)) {
            // Far enough inside that a second pointer at any distance around it stays inside where that is possible.
            let room = length.saturating_mul(2).min(WINDOW_SIZE as u64 / 2);
            (inside(slot, length, room, choices), low)
        } else {
            alone(pointer, slot, choices, classes)
        };
        placed.push(Placed { pointer, start, length });
        let address = start.wrapping_sub(low as u64);
        let added = pointer.added(|reg| registers[reg.index()]);
        registers[pointer.base.index()] = address.wrapping_sub(added);
    }
}

/// A start near what is placed already.
fn beside(
    pointer: &Pointer,
    length: u64,
    placed: &[Placed],
    placing: Placing,
    slot: Slot,
    choices: &mut impl Choices,
    classes: &mut StateClasses,
) -> u64 {
    let other = if placed.len() == 1 { placed[0] } else { *choices.pick(placed) };
    let count = distances(length, other.length);
    let turn = match placing {
        Placing::Turn(turn) if placed.len() == 1 => turn,
        _ => choices.below(count),
    };
    let distance = distance(turn, length, other.length);
    let mut start = other.start.wrapping_add_signed(distance);
    // At the very end of the window or the stack, if that is where it leads by a little.
    if let Placing::Any = placing
        && choices.one_in(16)
    {
        start = alone(pointer, slot, choices, classes).0;
    }
    note(pointer, length, start, other, classes);
    start
}

/// Counts how two ranges lie to each other. Forward is: the store above the load, so that a copy that goes upwards reads what
/// it has written.
fn note(pointer: &Pointer, length: u64, start: u64, other: Placed, classes: &mut StateClasses) {
    let above = start.wrapping_sub(other.start) as i64;
    let stores_first = other.pointer.writes && !pointer.writes;
    let forward = if stores_first { above < 0 } else { above > 0 };
    if above == 0 {
        classes.note("pointers equal");
    } else if above == other.length as i64 || above == -(length as i64) {
        classes.note("pointers adjacent");
    } else if above < other.length as i64 && above > -(length as i64) {
        classes.note(if forward { "pointers overlap forward" } else { "pointers overlap backward" });
    }
}

/// The window, or the stack for one state in four.
fn region(slot: Slot, choices: &mut impl Choices) -> (u64, u64) {
    if choices.one_in(4) { (slot.stack(), STACK_SIZE as u64) } else { (slot.window(), WINDOW_SIZE as u64) }
}

/// A start with `room` bytes on both sides.
fn inside(slot: Slot, length: u64, room: u64, choices: &mut impl Choices) -> u64 {
    let (start, size) = region(slot, choices);
    let room = room.min(size.saturating_sub(length) / 2);
    start + room + choices.below((size - 2 * room).saturating_sub(length) + 1)
}

/// A start such that all that is reached, or one access, lies at an end of window or stack, inside, or just outside; and
/// what lies there, relative to the address.
fn alone(
    pointer: &Pointer,
    slot: Slot,
    choices: &mut impl Choices,
    classes: &mut StateClasses,
) -> (u64, i64) {
    let whole = one_reach(pointer, choices);
    let (low, length) = if pointer.accesses.len() > 1 && choices.one_in(16) {
        *choices.pick(&pointer.accesses)
    } else {
        whole
    };
    let (start, size) = region(slot, choices);
    let length = length.min(size);
    let last = start + size - length;
    let target = match choices.below(12) {
        0..3 => start,
        3..6 => last,
        6 => start + 1 + choices.below(8),
        7 => last - 1 - choices.below(8.min(size - length).max(1)),
        8 if choices.one_in(2) => {
            classes.note("pointer outside");
            let beyond = 1 + choices.below(length + 1);
            if choices.one_in(2) { start - beyond } else { last + beyond }
        }
        8 if choices.one_in(8) => {
            classes.note("pointer outside");
            // Half of them are where memory is to code that computes addresses in 32 bits.
            let above = [start + (1 << 32), last + (1 << 32)];
            let anywhere = [0, 8, u64::MAX, 1 << 47, 1 << 63, 0x7fff_ffff_ffff];
            *choices.pick(&[[above; 3].concat(), anywhere.to_vec()].concat())
        }
        _ => start + choices.below(size - length + 1),
    };
    if target == start || target == last {
        classes.note("pointer at an end");
    }
    (target, low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A pointer by one register that reads or writes `length` bytes from `low`.
    fn pointer(base: Reg, low: i64, length: u64, writes: bool) -> Pointer {
        let high = low + length as i64;
        let accesses = (low..high).map(|at| (at, 1)).collect();
        Pointer { base, terms: Vec::new(), low, high, accesses, reads: !writes, writes }
    }

    #[test]
    fn two_pointers_come_to_every_distance_and_stay_inside() {
        let slot = Slot::default();
        let mut choices = kop_ops::choices::Seeded::new(5);
        let pointers = [pointer(Reg::R2, -3, 128, true), pointer(Reg::R1, 0x100, 128, false)];
        let mut reached = BTreeSet::new();
        let mut classes = StateClasses::default();
        for turn in 0..distances(128, 128) {
            let mut registers = [0; 11];
            place(&pointers, Placing::Turn(turn), slot, &mut registers, &mut choices, &mut classes);
            let start = |index: usize| {
                let own = &pointers[index];
                registers[own.base.index()].wrapping_add_signed(own.low)
            };
            let is_inside = |start: u64| {
                (slot.window()..=slot.window_end() - 128).contains(&start)
                    || (slot.stack()..=slot.stack_end() - 128).contains(&start)
            };
            assert!(is_inside(start(0)) && is_inside(start(1)), "turn {turn}");
            reached.insert(start(1).wrapping_sub(start(0)) as i64);
        }
        assert_eq!(reached, (-128..=128).collect());
        let possible = super::super::Possible { pairs: true, overlaps: true, ..Default::default() };
        let counts = classes.by_name(possible);
        // The store is the first: forward is where the load lies below it.
        for (class, count) in
            [("equal", 1), ("adjacent", 2), ("overlap forward", 127), ("overlap backward", 127)]
        {
            assert_eq!(counts[&format!("pointers {class}")], count, "{class}");
        }
    }

    #[test]
    fn some_pointers_are_right_in_their_lower_halves_alone() {
        let slot = Slot::default();
        let mut choices = kop_ops::choices::Seeded::new(5);
        let pointers = [pointer(Reg::R2, -3, 8, true)];
        let mut half = || {
            let mut registers = [0; 11];
            let mut classes = StateClasses::default();
            place(&pointers, Placing::Apart, slot, &mut registers, &mut choices, &mut classes);
            let lower = registers[2] & 0xffff_ffff;
            let regions = [slot.window()..slot.window_end(), slot.stack()..slot.stack_end()];
            registers[2] >> 32 == 1 && regions.iter().any(|region| region.contains(&lower))
        };
        assert!((0..20_000).filter(|_| half()).count() > 20);
    }

    #[test]
    fn what_is_added_to_a_base_does_not_move_what_is_reached() {
        use crate::pointers::Term;
        let slot = Slot::default();
        let mut choices = kop_ops::choices::Seeded::new(5);
        let term = Term { reg: Reg::R3, narrow: true, times: 8 };
        let pointers = [Pointer { terms: vec![term], ..pointer(Reg::R1, 4, 8, false) }];
        for _ in 0..100 {
            let mut registers = [0; 11];
            registers[3] = choices.bits();
            let added = (registers[3] & 0xffff_ffff) * 8;
            place(
                &pointers,
                Placing::Turn(0),
                slot,
                &mut registers,
                &mut choices,
                &mut StateClasses::default(),
            );
            let start = registers[1].wrapping_add(added).wrapping_add(4);
            let starts = [slot.window()..=slot.window_end() - 8, slot.stack()..=slot.stack_end() - 8];
            assert!(starts.iter().any(|range| range.contains(&start)), "{start:#x}");
        }
    }

    #[test]
    fn turns_reach_every_distance_once() {
        for (first, second) in [(1, 1), (8, 8), (3, 64), (64, 3), (128, 128), (1, 128)] {
            let count = distances(first, second);
            let reached: BTreeSet<i64> = (0..count).map(|turn| distance(turn, first, second)).collect();
            assert_eq!(reached, (-(first as i64)..=second as i64).collect(), "{first} {second}");
            assert_eq!(distance(0, first, second), 0);
            assert_eq!(distance(count, first, second), 0);
        }
    }
}
