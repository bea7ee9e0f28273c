// SPDX-License-Identifier: GPL-2.0-or-later
//! The first difference between two outcomes.

use kop_emulators::program::Precision;
use kop_jit::Lowered;
use kop_ops::ebpf::{Reg, RegSet};
use kop_ops::{Fault, Slot};
use kop_reports::Kind;
use kop_semantics::{Outcome, Trap};

/// Where an outcome differs from the reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its kind.
    pub kind: Kind,
    /// Where, in words that do not depend on addresses: what tells causes apart.
    pub place: String,
    /// What the reference has.
    pub expected: String,
    /// What is there instead.
    pub actual: String,
}

/// What outcomes are compared by.
pub(super) struct Terms<'a> {
    pub(super) precision: Precision,
    /// The registers that have one value.
    pub(super) defined: RegSet,
    pub(super) lowered: &'a Lowered,
    /// Whether instructions in the outcome's trap are numbered as in the lowered object.
    pub(super) is_lowered: bool,
    pub(super) slot: Slot,
}

impl Terms<'_> {
    /// The first difference of `actual` from `expected`, if any.
    pub(super) fn compare(&self, expected: &Outcome, actual: &Outcome) -> Option<Difference> {
        match (&expected.end, &actual.end) {
            (Ok(expected), Ok(actual)) if expected != actual => {
                return Some(self.differ(Kind::Register, "r0", *expected, *actual));
            }
            (Ok(_), Ok(_)) => {}
            (Err(one), Err(other)) if one.fault == Fault::RunAway && other.fault == Fault::RunAway => {
                return None;
            }
            (Err(one), Err(other)) if self.same_trap(one, other) => {}
            (expected, actual) => return Some(self.ends(expected, actual)),
        }
        match self.precision {
            Precision::Exact => self.exactly(expected, actual),
            Precision::Contents => contents(expected, actual),
        }
    }

    fn differ(&self, kind: Kind, place: &str, expected: u64, actual: u64) -> Difference {
        let show = |value| self.slot.show(value);
        Difference { kind, place: place.to_owned(), expected: show(expected), actual: show(actual) }
    }

    /// The index in the program as it was.
    fn origin(&self, trap: &Trap, is_lowered: bool) -> Option<usize> {
        trap.at.map(|at| if is_lowered { self.lowered.origin(trap.program, at) } else { at })
    }

    fn same_trap(&self, expected: &Trap, actual: &Trap) -> bool {
        let at = (self.origin(expected, true), self.origin(actual, self.is_lowered));
        let same_place = !matches!(at, (Some(expected), Some(actual)) if expected != actual);
        let same_address = match (expected.fault, actual.fault) {
            (Fault::Memory { address: Some(expected), .. }, Fault::Memory { address: Some(actual), .. }) => {
                expected == actual
            }
            _ => true,
        };
        expected.program == actual.program
            && same_place
            && same_address
            && expected.fault.same_kind(actual.fault)
    }

    fn ends(&self, expected: &Result<u64, Trap>, actual: &Result<u64, Trap>) -> Difference {
        let show = |end: &Result<u64, Trap>, is_lowered| match end {
            Ok(value) => format!("returns {}", self.slot.show(*value)),
            Err(trap) => {
                let at =
                    self.origin(trap, is_lowered).map_or("somewhere".to_owned(), |at| format!("at {at}"));
                format!("{} {at} of program {}", trap.fault.show(self.slot), trap.program)
            }
        };
        let (kind, place) = match actual {
            Err(Trap { fault: Fault::Frame { what }, .. }) => (Kind::Frame, (*what).to_owned()),
            Err(_) if expected.is_ok() => (Kind::Fault, "fault".to_owned()),
            Err(_) => (Kind::Fault, "another fault".to_owned()),
            Ok(_) => (Kind::Fault, "no fault".to_owned()),
        };
        Difference { kind, place, expected: show(expected, true), actual: show(actual, self.is_lowered) }
    }

    fn exactly(&self, expected: &Outcome, actual: &Outcome) -> Option<Difference> {
        if let (Ok(_), Some(theirs), Some(ours)) = (&expected.end, &expected.registers, &actual.registers) {
            let differs = |register: &Reg| theirs[register.index()] != ours[register.index()];
            if let Some(register) = self.defined.iter().find(differs) {
                let index = register.index();
                return Some(self.differ(Kind::Register, &register.to_string(), theirs[index], ours[index]));
            }
        }
        if let Some((address, theirs, ours)) = expected.image.first_difference(&actual.image) {
            return Some(Difference {
                kind: Kind::Memory,
                place: self.region(address).to_owned(),
                expected: format!("{} = {theirs:02x}", self.slot.show(address)),
                actual: format!("{ours:02x}"),
            });
        }
        (expected.world != actual.world).then(|| Difference {
            kind: Kind::Memory,
            place: "maps, packet bounds or events".to_owned(),
            expected: format!("{:?} {:?}", expected.world.packet(), expected.world.events()),
            actual: format!("{:?} {:?}", actual.world.packet(), actual.world.events()),
        })
    }

    fn region(&self, address: u64) -> &'static str {
        let slot = self.slot;
        if (slot.window()..slot.window_end()).contains(&address) {
            "window"
        } else if (slot.stack()..slot.stack_end()).contains(&address) {
            "stack"
        } else if address >= slot.maps() {
            "map value"
        } else {
            "context"
        }
    }
}

/// The packet, and what maps hold by key.
fn contents(expected: &Outcome, actual: &Outcome) -> Option<Difference> {
    let packet = |outcome: &Outcome| {
        let packet = expected.world.packet();
        outcome.image.slice(packet.data, packet.length() as usize).map(<[u8]>::to_vec)
    };
    let (theirs, ours) = (packet(expected), packet(actual));
    if theirs != ours {
        return Some(Difference {
            kind: Kind::Memory,
            place: "packet".to_owned(),
            expected: format!("{theirs:02x?}"),
            actual: format!("{ours:02x?}"),
        });
    }
    let maps = |outcome: &Outcome| outcome.world.contents(&outcome.image).unwrap_or_default();
    let (theirs, ours) = (maps(expected), maps(actual));
    let differs = theirs.iter().zip(&ours).find(|(theirs, ours)| theirs != ours);
    differs.map(|(theirs, ours)| Difference {
        kind: Kind::Memory,
        place: format!("map {}", theirs.name),
        expected: format!("{:02x?}", theirs.entries),
        actual: format!("{:02x?}", ours.entries),
    })
}
