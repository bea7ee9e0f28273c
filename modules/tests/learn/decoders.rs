// SPDX-License-Identifier: GPL-2.0-or-later
//! Operations as closures: a payload to a proof, or to a refusal.

use std::path::PathBuf;

use kop_modules::{Answer, Asked, Callbacks, Descriptor, Emitted, Reply};
use kop_ops::ebpf::{Insn, Reg, encode_program};
use kop_ops::{Arch, Features};

/// What a decoder says.
pub enum Decoded {
    /// The proof, and what native code depends on.
    Valid(Vec<Insn>, u64),
    /// The same with a proof that may be no instructions.
    Raw(Vec<u64>, u64),
    /// The payload is refused.
    Refused,
    /// The proof callback crashes.
    Crash,
}

type Decoder = fn(u64) -> Decoded;

/// An operation with a decoder in Rust; its native code is the number that the decoder gives.
pub struct Synthetic {
    descriptor: Descriptor,
    decoder: Decoder,
}

impl Synthetic {
    pub fn new(decoder: Decoder) -> Self {
        Self::of(decoder, &Arch::ALL)
    }

    pub fn of(decoder: Decoder, archs: &[Arch]) -> Self {
        let descriptor = Descriptor {
            name: "synthetic".to_owned(),
            source: PathBuf::from("synthetic.c"),
            max_insn_cnt: 64,
            max_emit_bytes: 64,
            archs: archs.to_vec(),
        };
        Self { descriptor, decoder }
    }
}

impl Callbacks for Synthetic {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn ask(&self, asked: Asked, _features: Features, payloads: &[u64]) -> Vec<Answer> {
        payloads.iter().map(|&payload| self.answer(asked, payload)).collect()
    }
}

impl Synthetic {
    fn answer(&self, asked: Asked, payload: u64) -> Answer {
        let emitted = |native: u64| {
            let bytes = native.to_le_bytes().to_vec();
            Reply::Accepted(Emitted { sized: 8, size: 8, bytes, ..Emitted::default() })
        };
        let (proof, native) = match (self.decoder)(payload) {
            Decoded::Valid(proof, native) => (Reply::Accepted(encode_program(&proof)), emitted(native)),
            Decoded::Raw(slots, native) => {
                (Reply::Accepted(slots.into_iter().flat_map(u64::to_le_bytes).collect()), emitted(native))
            }
            Decoded::Refused => (Reply::Rejected(-22), Reply::Rejected(-22)),
            Decoded::Crash => (Reply::Failed, Reply::Rejected(-22)),
        };
        let emits = match asked {
            Asked::Acceptance => [None, None],
            _ => Arch::ALL.map(|arch| self.descriptor.archs.contains(&arch).then(|| native.clone())),
        };
        Answer { proof, emits, faults: Vec::new(), looked_at: Features::NONE }
    }
}

/// The `width` bits of `payload` from bit `low`.
pub fn bits(payload: u64, low: u32, width: u32) -> u64 {
    payload >> low & ((1 << width) - 1)
}

/// The register whose number is in four bits from bit `low`, if it is `highest` at most.
pub fn register(payload: u64, low: u32, highest: u8) -> Option<Reg> {
    Reg::new(bits(payload, low, 4) as u8).filter(|register| register.index() <= usize::from(highest))
}

/// A decoder's result as [`Decoded`]; native code depends on the whole payload.
pub fn decoded(payload: u64, proof: Option<Vec<Insn>>) -> Decoded {
    proof.map_or(Decoded::Refused, |proof| Decoded::Valid(proof, payload))
}
