// SPDX-License-Identifier: GPL-2.0-or-later
//! Which parts of the stack become values: those that are loaded and stored at distances that are known, and that nothing else
//! touches.

use std::collections::BTreeMap;

use crate::flow::{Facts, Reach, Touch};

/// A part of the stack that is a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Its distance from r10.
    pub at: i32,
    /// How many bytes: 1, 2, 4 or 8.
    pub bytes: i32,
}

/// The parts that are values.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// They, by their distance.
    pub slots: Vec<Slot>,
    /// The slot of each load and store that is one of it.
    of: BTreeMap<usize, u32>,
    /// Whether every other access either reaches the stack alone or nothing of it.
    pub apart: bool,
}

impl Slots {
    /// Chooses them.
    pub fn new(facts: &Facts) -> Self {
        let anything = facts.reaches.values().any(|reach| *reach == Reach::Anything);
        let apart = !facts.leaked && !anything;
        if !apart {
            return Self::default();
        }
        let mut parts = Parts::default();
        for reach in facts.reaches.values() {
            if let Reach::Stack(touch) = reach {
                parts.add(*touch);
            }
        }
        facts.touches.iter().for_each(|touch| parts.add(*touch));
        let slots: Vec<Slot> = parts.slots();
        let mut of = BTreeMap::new();
        for (index, reach) in &facts.reaches {
            let Reach::Stack(touch) = reach else { continue };
            let number = slots.partition_point(|slot| slot.at <= touch.low);
            let Some(number) = number.checked_sub(1) else { continue };
            if touch.end <= slots[number].at + slots[number].bytes {
                of.insert(*index, number as u32);
            }
        }
        Self { slots, of, apart }
    }

    /// The slot that the load or store `index` is of, and its number.
    pub fn of(&self, index: usize) -> Option<(usize, Slot)> {
        let number = *self.of.get(&index)? as usize;
        Some((number, self.slots[number]))
    }
}

/// Parts of the stack that no access goes beyond the ends of: by distance, the end, and whether all accesses are exact.
#[derive(Debug, Default)]
struct Parts(BTreeMap<i32, (i32, bool)>);

impl Parts {
    /// Joins what a touch overlaps.
    fn add(&mut self, touch: Touch) {
        let Touch { mut low, mut end, mut exact } = touch;
        if low >= end {
            return;
        }
        while let Some((&at, &(until, all))) =
            self.0.range(..end).next_back().filter(|(_, (until, _))| *until > low)
        {
            self.0.remove(&at);
            (low, end, exact) = (low.min(at), end.max(until), exact && all);
        }
        self.0.insert(low, (end, exact));
    }

    fn slots(&self) -> Vec<Slot> {
        let parts = self.0.iter().filter(|(_, (_, exact))| *exact);
        let slots = parts.map(|(&at, &(end, _))| Slot { at, bytes: end - at });
        slots.filter(|slot| slot.at < 0 && matches!(slot.bytes, 1 | 2 | 4 | 8)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(touches: &[(i32, i32, bool)]) -> Vec<(i32, i32)> {
        let mut parts = Parts::default();
        touches.iter().for_each(|&(low, end, exact)| parts.add(Touch { low, end, exact }));
        parts.slots().iter().map(|slot| (slot.at, slot.bytes)).collect()
    }

    #[test]
    fn what_overlaps_is_one_slot_if_it_is_as_long_as_a_number() {
        assert_eq!(
            slots(&[(-8, 0, true), (-4, 0, true), (-16, -12, true), (-12, -8, true)]),
            [(-16, 4), (-12, 4), (-8, 8)]
        );
        assert_eq!(slots(&[(-16, -8, true), (-12, -4, true), (-4, 0, true)]), [(-4, 4)]);
        assert_eq!(slots(&[(-4, 0, true), (-8, -4, true), (-6, -2, true)]), [(-8, 8)]);
    }

    #[test]
    fn what_is_touched_otherwise_is_none() {
        assert_eq!(slots(&[(-64, -16, false), (-24, -16, true), (-16, -8, true)]), [(-16, 8)]);
        assert_eq!(slots(&[(-16, -8, true), (-16, -8, true), (-12, -11, false)]), []);
    }
}
