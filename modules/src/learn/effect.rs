// SPDX-License-Identifier: GPL-2.0-or-later
//! What changing one bit of a valid payload does: to a register number of the proof, to a constant of it, to its
//! instructions, to native code alone, or to nothing.

use kop_ops::ebpf::{PAYLOAD_BITS, Reg, decode};

use super::probe::{Probe, Sample};
use super::search::{PAYLOAD_MASK, replaced};

/// The effect of flipping one bit of one payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The flipped payload is not valid.
    Refused,
    /// It is valid, and nobody can say what it does.
    Unknown,
    /// Nothing changes, neither the proof nor native code.
    Nothing,
    /// Native code changes, or whether there is any; the proof stays.
    Native,
    /// A register number in the proof changes by this one bit.
    Register {
        /// Which bit of the number, 0 to 3.
        bit: u32,
        /// Whether an instruction writes that register.
        written: bool,
        /// Whether an instruction takes it as a base address.
        address: bool,
    },
    /// Constants of the proof change by powers of two; see [`Steps`].
    Number(Steps),
    /// The proof has other instructions, or constants that change in another way.
    Structure {
        /// Whether their number is another one.
        resized: bool,
    },
}

/// By how much constants of the proof grow when the bit is set: bit `j` for 2^j in an `imm`, bit `32 + j` for 2^j in an
/// `off`. A change by half of the range has no sign and is in neither set but `either`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    pub up: u64,
    pub down: u64,
    pub either: u64,
}

impl Steps {
    pub(super) const fn all(self) -> u64 {
        self.up | self.down | self.either
    }

    fn add(&mut self, delta: i64, bits: u32, base: u32) {
        let delta = delta << (64 - bits) >> (64 - bits);
        if delta == -1 << (bits - 1) {
            self.either |= 1 << (base + bits - 1);
        } else if delta.unsigned_abs().is_power_of_two() {
            let step = 1 << (base + delta.unsigned_abs().trailing_zeros());
            if delta > 0 { self.up |= step } else { self.down |= step }
        }
    }
}

/// One valid payload and its surroundings.
#[derive(Clone, Debug)]
pub(super) struct Seed {
    /// The payload.
    pub payload: u64,
    /// What flipping each bit does.
    pub effects: [Effect; PAYLOAD_BITS as usize],
    /// The bits whose flipping changes native code.
    pub native: u64,
    /// The bits that differ in some valid payload that differs in one field at most.
    pub live: u64,
}

/// The surroundings of each of `payloads`, which are valid; `varying` are the bits worth changing.
pub(super) fn surroundings(probe: &mut Probe, payloads: &[u64], varying: u64) -> Vec<Seed> {
    // All at once, so that what follows finds the answers there.
    let all: Vec<u64> =
        payloads.iter().flat_map(|&payload| flipped(payload)).chain(payloads.iter().copied()).collect();
    probe.samples(&all);
    let all: Vec<u64> = payloads.iter().flat_map(|&payload| near(payload, varying)).collect();
    probe.accepts(&all);
    payloads.iter().map(|&payload| surrounding(probe, payload, varying)).collect()
}

fn flipped(payload: u64) -> Vec<u64> {
    (0..PAYLOAD_BITS).map(|bit| payload ^ 1 << bit).collect()
}

/// The payloads that differ from `payload` in four neighbouring bits at most.
fn near(payload: u64, varying: u64) -> Vec<u64> {
    let windows = (0..=PAYLOAD_BITS - 4).filter(|low| varying >> low & 0xf != 0);
    windows
        .flat_map(|low| (0..16).map(move |value| replaced(payload, low, 4, value)))
        .filter(|near| *near != payload && (near ^ payload) & !varying == 0)
        .collect()
}

fn surrounding(probe: &mut Probe, payload: u64, varying: u64) -> Seed {
    let flipped = flipped(payload);
    let accepted = probe.accepts(&flipped);
    let before = probe.samples(&[payload]).remove(0);
    let after = probe.samples(&flipped);
    let mut seed = Seed { payload, effects: [Effect::Refused; PAYLOAD_BITS as usize], native: 0, live: 0 };
    for bit in 0..PAYLOAD_BITS as usize {
        seed.effects[bit] = match (accepted[bit], &before, &after[bit]) {
            (false, ..) => Effect::Refused,
            (true, Some(before), Some(after)) => {
                seed.native |= u64::from(before.native != after.native) << bit;
                compare(before, after, payload, bit as u32)
            }
            _ => Effect::Unknown,
        };
    }
    let near = probe.valid(&near(payload, varying));
    seed.live = near.into_iter().fold(0, |live, near| live | near ^ payload) & PAYLOAD_MASK;
    seed
}

/// What separates the sample of `payload` from the one with `bit` flipped.
fn compare(before: &Sample, after: &Sample, payload: u64, bit: u32) -> Effect {
    let rising = payload >> bit & 1 == 0;
    let mut change = Change::default();
    for (before, after) in before.proofs.iter().zip(&after.proofs) {
        match (before, after) {
            (Some(before), Some(after)) => change.add(before, after, rising),
            (None, None) => {}
            _ => return Effect::Unknown,
        }
    }
    match change {
        Change { different: false, .. } if before.native == after.native => Effect::Nothing,
        Change { different: false, .. } => Effect::Native,
        Change { structure: true, resized, .. } => Effect::Structure { resized },
        Change { registers, written, address, .. } if change.is_number_at(payload, bit) => {
            Effect::Register { bit: registers.trailing_zeros(), written, address }
        }
        Change { registers: 0, steps, .. } if steps.all() != 0 => Effect::Number(steps),
        _ => Effect::Structure { resized: false },
    }
}

#[derive(Default)]
struct Change {
    different: bool,
    structure: bool,
    resized: bool,
    /// The bits that differ in register numbers.
    registers: u64,
    /// The set of these numbers before.
    numbers: u16,
    written: bool,
    address: bool,
    steps: Steps,
}

impl Change {
    /// Whether the register number that changes is the one that `payload` holds around `bit`.
    fn is_number_at(&self, payload: u64, bit: u32) -> bool {
        self.registers.is_power_of_two()
            && bit
                .checked_sub(self.registers.trailing_zeros())
                .is_some_and(|low| self.numbers == 1 << (payload >> low & 0xf))
    }

    fn add(&mut self, before: &[u64], after: &[u64], rising: bool) {
        self.different |= before != after;
        if before.len() != after.len() {
            (self.structure, self.resized) = (true, true);
            return;
        }
        for (index, (&a, &b)) in before.iter().zip(after).enumerate() {
            if a & 0xff != b & 0xff {
                self.structure = true;
                return;
            }
            let (dst, src) = ((a ^ b) >> 8 & 0xf, (a ^ b) >> 12 & 0xf);
            self.registers |= dst | src;
            self.numbers |= u16::from(dst != 0) << (a >> 8 & 0xf) | u16::from(src != 0) << (a >> 12 & 0xf);
            // In stores the field `dst` is a base address, and an atomic one writes its `src`.
            let (load, store) = (a & 7 == 1, matches!(a & 7, 2 | 3));
            self.address |= dst != 0 && store || src != 0 && load;
            self.written |= dst != 0 && !store && writes(&before[index..], a >> 8)
                || src != 0 && store && writes(&before[index..], a >> 12);
            let (a, b) = if rising { (a, b) } else { (b, a) };
            if (a ^ b) >> 32 != 0 {
                self.steps.add((b >> 32) as i64 - (a >> 32) as i64, 32, 0);
            }
            if (a ^ b) >> 16 & 0xffff != 0 {
                self.steps.add((b >> 16 & 0xffff) as i64 - (a >> 16 & 0xffff) as i64, 16, 32);
            }
        }
    }
}

fn writes(slots: &[u64], number: u64) -> bool {
    let insn = decode(slots).ok();
    let register = Reg::new((number & 0xf) as u8);
    insn.zip(register).is_some_and(|((insn, _), register)| insn.writes().has(register))
}
