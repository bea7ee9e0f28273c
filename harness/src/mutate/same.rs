// SPDX-License-Identifier: GPL-2.0-or-later
//! Changed proof sequences that do what they did: two sequences that differ in one instruction are told to be equal much sooner
//! than one of them and native code, which has nothing in common with it.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use kop_ops::ebpf::{Insn, Reg, RegSet, encode_program};
use kop_prover::statement::Options;
use kop_prover::statement::Prover;

/// What is known of pairs of sequences, by what is left of a pair when its registers are named in the order in which they appear.
#[derive(Default)]
pub(super) struct Same {
    known: Mutex<HashMap<Vec<u8>, bool>>,
}

impl Same {
    /// A prover for [`Same::are`], which may take so long for one pair.
    pub(super) fn prover(limit: Duration) -> Prover {
        Prover::new(Options { limit, keep: false })
    }

    /// Whether both leave the same in memory and in all registers but those of `dead`, and access the same bytes, for all inputs.
    /// False where that is not shown.
    pub(super) fn are(&self, prover: &mut Prover, one: &[Insn], other: &[Insn], dead: RegSet) -> bool {
        let Some(key) = key(one, other, dead) else { return false };
        let known = || self.known.lock().expect("no worker panics with the lock");
        if let Some(&same) = known().get(&key) {
            return same;
        }
        let live = RegSet::ALL.minus(dead);
        let has_access = one.iter().chain(other).any(|insn| insn.access().is_some());
        // What is accessed is looked at in one direction.
        let same = prover.equal(one, other, live).is_proved()
            && (!has_access || prover.equal(other, one, live).is_proved());
        known().insert(key, same);
        same
    }
}

/// Both sequences and the dead registers, with registers named in the order in which they appear; r10 keeps its name, as it is
/// like no other. `None` for sequences with calls, or with a 64-bit immediate that is none, whose fields are not those of registers.
fn key(one: &[Insn], other: &[Insn], dead: RegSet) -> Option<Vec<u8>> {
    let is_plain =
        |insn: &Insn| !insn.is_call() && !matches!(insn, Insn::LoadImm64 { kind, .. } if *kind != 0);
    if !one.iter().chain(other).all(is_plain) {
        return None;
    }
    let r10 = Reg::R10.index();
    let mut names = [None; 16];
    names[r10] = Some(r10 as u8);
    let mut next = 0;
    let mut name = |number: u8| {
        *names[usize::from(number)].get_or_insert_with(|| {
            next += 1;
            next - 1 + u8::from(next > r10 as u8)
        })
    };
    let mut key = Vec::with_capacity(8 * (one.len() + other.len()) + 16);
    for sequence in [one, other] {
        let start = key.len();
        key.extend(encode_program(sequence));
        // A second slot of a 64-bit immediate has zeros there, as have operands that are no registers: all are renamed alike.
        for slot in key[start..].chunks_exact_mut(8) {
            slot[1] = name(slot[1] & 15) | name(slot[1] >> 4) << 4;
        }
        key.push(0xff);
    }
    key.extend(dead.iter().map(|reg| name(reg.index() as u8)));
    let names_of_dead = key.len() - dead.len();
    key[names_of_dead..].sort_unstable();
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kop_ops::ebpf::AluOp;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn what_differs_in_dead_registers_alone_is_the_same() {
        let (r1, r2, r3) = (Reg::R1, Reg::R2, Reg::R3);
        let one = [Insn::mov64(r3, r1), Insn::alu64(AluOp::And, r3, 1), Insn::alu64(AluOp::Add, r2, r3)];
        let other = [Insn::mov64(r3, r1), Insn::alu64(AluOp::And, r3, 1), Insn::alu64(AluOp::Sub, r2, r3)];
        let shifted = [
            Insn::mov64(r3, r1),
            Insn::alu64(AluOp::Lsh, r3, 63),
            Insn::alu64(AluOp::Rsh, r3, 63),
            Insn::alu64(AluOp::Add, r2, r3),
        ];
        let (same, mut prover) = (Same::default(), Same::prover(LIMIT));
        let dead = RegSet::from(r3);
        assert!(same.are(&mut prover, &one, &shifted, dead));
        assert!(!same.are(&mut prover, &one, &other, dead));
        assert!(!same.are(&mut prover, &one, &other, RegSet::EMPTY));
        assert!(same.are(&mut prover, &one, &other, dead.union(RegSet::from(r2))));
    }

    #[test]
    fn pairs_that_differ_in_names_alone_have_one_key_and_others_have_not() {
        let pair = |a: Reg, b: Reg| {
            let one = [Insn::mov64(a, b), Insn::load_imm64(b, 7)];
            (one, [Insn::mov64(a, b), Insn::load_imm64(b, 8)])
        };
        let key_of = |a, b, dead| {
            let (one, other) = pair(a, b);
            key(&one, &other, RegSet::from(dead))
        };
        let (r0, r1, r5, r9, r10) = (Reg::R0, Reg::R1, Reg::R5, Reg::R9, Reg::R10);
        assert_eq!(key_of(r1, r5, r1), key_of(r9, r1, r9));
        assert_ne!(key_of(r1, r5, r1), key_of(r1, r5, r5));
        assert_ne!(key_of(r1, r5, r1), key_of(r1, r1, r1));
        assert_ne!(key_of(r1, r10, r1), key_of(r1, r5, r1));
        // Zeros that are no registers go with r0, which is no mistake: such pairs have two keys.
        assert!(key_of(r0, r1, r0).is_some());
        assert_eq!(key(&[Insn::call_helper(1)], &[], RegSet::EMPTY), None);
    }

    #[test]
    fn an_access_that_one_of_them_lacks_is_a_difference() {
        use kop_ops::ebpf::Size;
        let load = [Insn::load(Size::B8, Reg::R2, Reg::R1, 0), Insn::mov64(Reg::R2, 0)];
        let none = [Insn::mov64(Reg::R2, 0)];
        let (same, mut prover) = (Same::default(), Same::prover(LIMIT));
        assert!(!same.are(&mut prover, &load, &none, RegSet::EMPTY));
        assert!(!same.are(&mut prover, &none, &load, RegSet::EMPTY));
    }
}
