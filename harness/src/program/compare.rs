// SPDX-License-Identifier: GPL-2.0-or-later
//! The first difference between two outcomes.

use std::fmt;

use kop_emulators::program::Precision;
use kop_jit::Lowered;
use kop_ops::ebpf::{Reg, RegSet};
use kop_ops::{Fault, ProgramKind, Slot};
use kop_reports::Kind;
use kop_semantics::{Contents, Outcome, Trap};

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

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}, not {}", self.kind, self.place, self.actual, self.expected)
    }
}

/// What outcomes are compared by.
pub(crate) struct Terms<'a> {
    pub precision: Precision,
    /// The registers that have one value.
    pub defined: RegSet,
    pub lowered: &'a Lowered,
    /// Whether instructions in the trap of the expected and of the actual outcome are numbered as in the lowered object.
    pub is_lowered: [bool; 2],
    /// Whether what the program left in its stack is compared.
    pub compares_stack: bool,
    pub slot: Slot,
}

impl Terms<'_> {
    /// The first difference of `actual` from `expected`, if any.
    pub fn compare(&self, expected: &Outcome, actual: &Outcome) -> Option<Difference> {
        match (&expected.end, &actual.end) {
            (Ok(_), Ok(_)) if self.precision == Precision::Contents => {}
            (Ok(expected), Ok(actual)) if expected != actual => {
                return Some(self.differ(Kind::Register, "r0", *expected, *actual));
            }
            (Ok(_), Ok(_)) => {}
            // Fuel is counted by the instruction here and by the block there.
            (Err(one), Err(other)) if one.fault == Fault::RunAway && other.fault == Fault::RunAway => {
                return None;
            }
            (Err(one), Err(other)) if self.same_trap(one, other) => {}
            (expected, actual) => return Some(self.ends(expected, actual)),
        }
        match self.precision {
            Precision::Exact => self.exactly(expected, actual),
            Precision::Contents => {
                self.contents(expected.world.kind(), &expected.contents()?, &actual.contents()?)
            }
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
        let [expected_at, actual_at] = self.is_lowered;
        let at = (self.origin(expected, expected_at), self.origin(actual, actual_at));
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
        let [expected_at, actual_at] = self.is_lowered;
        Difference { kind, place, expected: show(expected, expected_at), actual: show(actual, actual_at) }
    }

    fn exactly(&self, expected: &Outcome, actual: &Outcome) -> Option<Difference> {
        if let (Ok(_), Some(theirs), Some(ours)) = (&expected.end, &expected.registers, &actual.registers) {
            let differs = |register: &Reg| theirs[register.index()] != ours[register.index()];
            if let Some(register) = self.defined.iter().find(differs) {
                let index = register.index();
                return Some(self.differ(Kind::Register, &register.to_string(), theirs[index], ours[index]));
            }
        }
        if let Some((address, theirs, ours)) = self.image_difference(expected, actual) {
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

    fn image_difference(&self, expected: &Outcome, actual: &Outcome) -> Option<(u64, u8, u8)> {
        if self.compares_stack {
            return expected.image.first_difference(&actual.image);
        }
        let mut image = actual.image.clone();
        image.stack.clone_from(&expected.image.stack);
        expected.image.first_difference(&image)
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

    /// What does not depend on addresses.
    fn contents(&self, kind: ProgramKind, expected: &Contents, actual: &Contents) -> Option<Difference> {
        // A test run gives the low half of what such a program returns.
        let r0 = |contents: &Contents| match kind {
            ProgramKind::Raw => contents.r0,
            ProgramKind::Xdp | ProgramKind::Tc => u64::from(contents.r0 as u32),
        };
        if r0(expected) != r0(actual) {
            return Some(self.differ(Kind::Register, "r0", r0(expected), r0(actual)));
        }
        let memory = |place: String, expected: String, actual: String| {
            Some(Difference { kind: Kind::Memory, place, expected, actual })
        };
        if (expected.data.len(), expected.metadata) != (actual.data.len(), actual.metadata) {
            let show = |contents: &Contents| {
                format!("{} bytes, {} of them metadata", contents.data.len(), contents.metadata)
            };
            return memory("bounds of the packet".to_owned(), show(expected), show(actual));
        }
        if let Some(at) = expected.data.iter().zip(&actual.data).position(|(a, b)| a != b) {
            let show = |contents: &Contents| format!("{:02x}", contents.data[at]);
            return memory(format!("byte {at} of the packet"), show(expected), show(actual));
        }
        let (theirs, ours) = expected.maps.iter().zip(&actual.maps).find(|(theirs, ours)| theirs != ours)?;
        let show = |entries: &[(Vec<u8>, Vec<u8>)]| format!("{entries:02x?}");
        memory(format!("map {}", theirs.name), show(&theirs.entries), show(&ours.entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::ProgramCase;
    use kop_ops::ebpf::Insn;
    use kop_ops::{Catalog, Flow, MapKind, MapSpec, Object, Program};

    /// What to do to an outcome, and where the two precisions find it.
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Outcome), [Option<&'a str>; 2]);

    /// A program with an array of one element, and what became of it on a packet of 64 bytes: it returned `r0`.
    fn case(kind: ProgramKind, r0: u64) -> (Lowered, Outcome) {
        let flow = Flow::new(vec![Insn::mov64(Reg::R0, 0), Insn::Exit]).expect("it ends");
        let program = Program { name: "main".to_owned(), kind, flow };
        let map = MapSpec {
            name: "counts".to_owned(),
            kind: MapKind::Array,
            key_size: 4,
            value_size: 8,
            max_entries: 1,
            flags: 0,
            initial: Vec::new(),
        };
        let object = Object { programs: vec![program], maps: [map].into(), ..Object::default() };
        let case = ProgramCase { packet: vec![7; 64], ..ProgramCase::of(object) };
        let start = case.start(Slot::default()).expect("it can start");
        let lowered = kop_jit::lower(&case.object, &Catalog::einsn()).expect("it has no sites");
        let (end, registers, defined) = (Ok(r0), Some(start.registers), RegSet::EMPTY);
        (lowered, Outcome { end, registers, defined, world: start.world, image: start.image })
    }

    fn place(precision: Precision, kind: ProgramKind, change: impl Fn(&mut Outcome)) -> Option<String> {
        place_with(true, precision, kind, change)
    }

    fn place_with(
        compares_stack: bool,
        precision: Precision,
        kind: ProgramKind,
        change: impl Fn(&mut Outcome),
    ) -> Option<String> {
        let (lowered, expected) = case(kind, 2);
        let mut actual = expected.clone();
        change(&mut actual);
        let (is_lowered, slot) = ([true, false], Slot::default());
        let defined = RegSet::from(Reg::R6);
        let terms = Terms { precision, defined, lowered: &lowered, is_lowered, compares_stack, slot };
        terms.compare(&expected, &actual).map(|difference| difference.place)
    }

    #[test]
    fn what_an_engine_can_tell_is_compared() {
        let packet = |outcome: &mut Outcome| {
            let address = outcome.world.packet().data + 5;
            outcome.image.store(address, 1, 8).expect("the packet can be written");
        };
        let map = |outcome: &mut Outcome| {
            let address = outcome.image.slot.maps();
            outcome.image.store(address, 1, 8).expect("the element can be written");
        };
        let stack = |outcome: &mut Outcome| {
            let address = outcome.image.slot.stack_end() - 8;
            let byte = outcome.image.stack[outcome.image.stack.len() - 8];
            outcome.image.store(address, 1, u64::from(!byte)).expect("the stack can be written");
        };
        let r6 = |outcome: &mut Outcome| outcome.registers.as_mut().expect("it has them")[6] ^= 1;
        let changes: [Change; 7] = [
            ("nothing", &|_| {}, [None, None]),
            ("r0", &|outcome| outcome.end = Ok(3), [Some("r0"), Some("r0")]),
            ("upper half of r0", &|outcome| outcome.end = Ok(2 | 1 << 32), [Some("r0"), None]),
            ("packet", &packet, [Some("window"), Some("byte 5 of the packet")]),
            ("map", &map, [Some("map value"), Some("map counts")]),
            ("stack", &stack, [Some("stack"), None]),
            ("r6", &r6, [Some("r6"), None]),
        ];
        for (name, change, expected) in changes {
            for (precision, expected) in [Precision::Exact, Precision::Contents].into_iter().zip(expected) {
                assert_eq!(place(precision, ProgramKind::Xdp, change).as_deref(), expected, "{name}");
            }
        }
        let without = |change| place_with(false, Precision::Exact, ProgramKind::Xdp, change);
        assert_eq!(without(&stack as &dyn Fn(&mut Outcome)), None);
        assert_eq!(without(&map).as_deref(), Some("map value"));
        let upper = |outcome: &mut Outcome| outcome.end = Ok(2 | 1 << 32);
        assert_eq!(place(Precision::Contents, ProgramKind::Raw, upper).as_deref(), Some("r0"));
    }
}
