// SPDX-License-Identifier: GPL-2.0-or-later
//! What a run did, as a set of marks: whoever divides time among subjects sees by them what still does something new.
//!
//! A mark is a hash of a fact, reduced to a fixed number of values, so that a set of them stays small however long a
//! campaign takes. Facts that collide count as one. Native codes by their bytes have half of the values for themselves: there
//! are so many of them that they would cover all else.

use std::collections::BTreeSet;

use kop_emulators::inspect::listing;
use kop_ops::Arch;
use kop_ops::choices::mix;

/// How many marks there are.
pub const MARKS: usize = 1 << 14;

/// Marks from here on are native codes by their bytes.
const CODES: u16 = (MARKS / 2) as u16;

/// The marks of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    marks: BTreeSet<u16>,
}

impl Behaviour {
    /// The marks, ascending.
    pub fn marks(&self) -> impl Iterator<Item = u16> + '_ {
        self.marks.iter().copied()
    }

    /// Notes a fact: a class that occurred, an outcome.
    pub fn note(&mut self, fact: &[&str]) {
        self.marks.insert((hash(fact.iter().map(|word| word.as_bytes())) % u64::from(CODES)) as u16);
    }

    /// Notes native code: its bytes, and the mnemonics that it is made of. `of` is what it is the code of.
    pub fn note_code(&mut self, arch: Arch, of: &str, bytes: &[u8]) {
        let key = hash([arch.name().as_bytes(), of.as_bytes(), bytes]);
        if !self.marks.insert(CODES + (key % u64::from(CODES)) as u16) {
            return;
        }
        let lines = listing(arch, bytes);
        let mnemonics: Vec<&str> =
            lines.iter().map(|line| line.text.split(' ').next().unwrap_or_default()).collect();
        self.note(&["code", arch.name(), of, &mnemonics.join(" ")]);
    }
}

/// FNV-1a on 64 bits (draft-eastlake-fnv) over the parts and a zero byte after each, then mixed.
pub fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let bytes = parts.into_iter().flat_map(|part| part.iter().chain([&0]));
    mix(bytes
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_other_facts_have_marks_of_their_own() {
        let mut behaviour = Behaviour::default();
        for number in 0..5000u32 {
            behaviour.note(&["class", &number.to_string()]);
        }
        assert!(behaviour.marks().all(|mark| mark < CODES));
        let before = behaviour.marks().count();
        // nop; ret, and the same with another operation
        behaviour.note_code(Arch::X86_64, "a", &[0x90, 0xc3]);
        assert!(behaviour.marks().any(|mark| mark >= CODES));
        assert!(behaviour.marks().count() > before && before <= MARKS);
    }

    #[test]
    fn a_fact_that_is_known_adds_nothing() {
        let mut behaviour = Behaviour::default();
        behaviour.note(&["alias", "dst=src"]);
        behaviour.note_code(Arch::X86_64, "rotate", &[0x90]);
        let once = behaviour.clone();
        behaviour.note(&["alias", "dst=src"]);
        behaviour.note_code(Arch::X86_64, "rotate", &[0x90]);
        assert_eq!(behaviour, once);
        behaviour.note(&["alias", "dst=tmp"]);
        assert_ne!(behaviour, once);
    }
}
