// SPDX-License-Identifier: GPL-2.0-or-later
//! Which states of a plan place two pointers by each other, and at which of the distances: all that there are for what a
//! payload reaches, over all payloads that reach the same.

use std::collections::BTreeMap;

use kop_ops::{Features, Form, Kop};

use crate::generate::{Placing, Planned, always_faults, distances, related_lengths};
use crate::pointers::pointers;

/// One state in this many leaves pointers apart.
const APART: usize = 4;

/// Further states are planned for what reaches up to this many bytes.
const LONGEST: u64 = 128;

/// How many payloads are looked at before it is said that a form does not touch memory.
const LOOKED_AT: usize = 64;

/// The most states of a payload with which every state faults: each takes as long as hundreds of others.
const FAULTING: usize = 3;

/// How the state with this number of a payload places pointers, when the payload's first turn is `first`.
pub fn placing(first: u64, number: usize) -> Placing {
    if number.is_multiple_of(APART) {
        return Placing::Apart;
    }
    Placing::Turn(first + turns_before(number))
}

/// How many states before the one with this number are placed by turns.
const fn turns_before(number: usize) -> u64 {
    (number - number.div_ceil(APART)) as u64
}

/// Gives each payload its first turn, so that payloads that reach the same go on where the one before ended. Payloads with
/// which every state faults keep a few states, the others go to the next payload.
///
/// With `may_extend`, payloads get further states where the plan has too few for every distance.
pub fn share(kop: &dyn Kop, form: &Form, planned: &mut [Planned], may_extend: bool) {
    let mut next: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    let mut members: BTreeMap<(u64, u64), Vec<usize>> = BTreeMap::new();
    let (mut touches, mut spare, mut last) = (false, 0, None);
    let payloads: Vec<u64> = planned.iter().map(|own| form.layout.pack(&own.operands)).collect();
    for (index, own) in planned.iter_mut().enumerate() {
        if index == LOOKED_AT && !touches {
            return;
        }
        if index % LOOKED_AT == 0 {
            let next = &payloads[index..payloads.len().min(index + LOOKED_AT)];
            kop.expect(next, &[Features::NONE]);
        }
        let Ok(proof) = kop.instantiate(form, payloads[index]) else { continue };
        let pointers = pointers(&proof);
        touches |= !pointers.is_empty();
        if always_faults(&pointers) && own.states > FAULTING {
            spare += own.states - FAULTING;
            own.states = FAULTING;
            continue;
        }
        last = Some(index);
        // An even number, so that odd stays odd.
        own.states += spare & !1;
        spare &= 1;
        let Some(lengths) = related_lengths(&pointers) else { continue };
        let turn = next.entry(lengths).or_default();
        own.turn = *turn;
        *turn += turns_before(own.states);
        members.entry(lengths).or_default().push(index);
    }
    if let Some(last) = last {
        planned[last].states += spare;
    }
    for ((first, second), turns) in next {
        let missing = distances(first, second).saturating_sub(turns);
        if may_extend && missing > 0 && first.max(second) <= LONGEST {
            let members = &members[&(first, second)];
            extend(planned, members, distances(first, second));
        }
    }
}

/// Plans further states for these payloads, so that they have `wanted` turns together.
fn extend(planned: &mut [Planned], members: &[usize], wanted: u64) {
    let each = (wanted as usize).div_ceil(members.len());
    let mut turn = 0;
    for &index in members {
        let own = &mut planned[index];
        while turns_before(own.states) < each as u64 {
            own.states += 2;
        }
        own.turn = turn;
        turn += turns_before(own.states);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kop_ops::ebpf::Insn;
    use kop_ops::{Fault, Features, Layout, Operands, Reject, Role, Site, State};
    use std::collections::BTreeSet;

    #[test]
    fn turns_follow_each_other() {
        let turns: Vec<_> = (0..9).map(|number| placing(10, number)).collect();
        use Placing::{Apart, Turn};
        let expected = [Apart, Turn(10), Turn(11), Turn(12), Apart, Turn(13), Turn(14), Turn(15), Apart];
        assert_eq!(turns, expected);
        assert_eq!(turns_before(9), 6);
    }

    /// Copies `length` bytes from r1 to r2.
    struct Copy(Vec<Form>);

    impl Kop for Copy {
        fn name(&self) -> &str {
            "copy"
        }
        fn summary(&self) -> &str {
            "copy bytes"
        }
        fn source(&self) -> &str {
            file!()
        }
        fn forms(&self) -> &[Form] {
            &self.0
        }
        fn model(&self, _: &Site, _: &mut State) -> Option<Result<(), Fault>> {
            None
        }
        fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
            let length = site.imm("length");
            let text: String =
                (0..length).map(|i| format!("r0 = *(u8 *)(r1 + {i})\n*(u8 *)(r2 + {i}) = r0\n")).collect();
            Ok(kop_ops::ebpf::parse_program(&text).expect("a sequence"))
        }
    }

    #[test]
    fn every_distance_is_reached_for_every_length() {
        let layout = Layout::new().register("tmp", Role::Source).unsigned("length", 1, 128);
        let copy = Copy(vec![Form::new("bytes", "*r2 = *r1", layout)]);
        let form = &copy.0[0];
        let mut planned: Vec<Planned> = (0..10)
            .flat_map(|tmp| (1..=128).map(move |length| Operands::new(&[tmp, length])))
            .map(|operands| Planned { operands, states: 15, turn: 0 })
            .collect();
        share(&copy, form, &mut planned, true);
        let mut reached: BTreeMap<i64, BTreeSet<u64>> = BTreeMap::new();
        for own in &planned {
            let length = own.operands.values()[1];
            for number in 0..own.states {
                if let Placing::Turn(turn) = placing(own.turn, number) {
                    reached.entry(length).or_default().insert(turn % distances(length as u64, length as u64));
                }
            }
        }
        for length in 1..=128 {
            assert_eq!(reached[&length].len() as i64, 2 * length + 1, "{length}");
        }
        let total: usize = planned.iter().map(|own| own.states).sum();
        assert!(total < 2 * 15 * planned.len(), "{total}");
        let site = Site { form, operands: planned[0].operands, features: Features::NONE };
        assert!(copy.proof(&site).is_ok());
    }
}
