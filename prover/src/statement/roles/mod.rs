// SPDX-License-Identifier: GPL-2.0-or-later
//! Claims that are the same but for the names of registers: what the instructions of both sides do is written down with each eBPF
//! register, and the native register that holds it, as the number of its first use, and that text is hashed.
//!
//! The text is what the semantics do to a machine, operation by operation, without values: it is a whole description of a step,
//! since the semantics look at no value.

mod record;

use kop_ops::Arch;
use kop_ops::choices::mix;
use kop_ops::ebpf::Reg;

use super::{Decoded, Statement};
use record::Recorder;

/// What two claims have in common if one is proved exactly if the other is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(u64, u64);

impl Key {
    /// The key with these bits.
    pub const fn from_bits(bits: u128) -> Self {
        Key(bits as u64, (bits >> 64) as u64)
    }

    /// All of its bits.
    pub const fn bits(self) -> u128 {
        self.0 as u128 | (self.1 as u128) << 64
    }

    /// 64 of its bits, which are evenly distributed.
    pub const fn low(self) -> u64 {
        self.0
    }
}

/// The key of a claim.
pub fn key(statement: &Statement, code: &Decoded) -> Key {
    let mut recorder = Recorder::default();
    for insn in statement.proof {
        recorder.ebpf(insn);
    }
    recorder.word(u64::MAX);
    let length = (statement.code.len(), statement.grants.exit);
    match code {
        Decoded::X86_64(code) => recorder.x86_64(code, length),
        Decoded::Aarch64(code) => recorder.aarch64(code, length),
    }
    recorder.word(u64::from(statement.arch == Arch::X86_64));
    recorder.word(u64::from(statement.vectors.x86_64) << 32 | u64::from(statement.vectors.aarch64));
    recorder.word(u64::from(statement.grants.exit.is_some()) << 32 | u64::from(statement.grants.registers));
    recorder.word(u64::from(statement.grants.registers) << 1 | u64::from(statement.grants.exit.is_some()));
    recorder.word(statement.grants.exit.unwrap_or_default() as u64);
    // A register that neither side names is the same at the end, dead or not.
    let mut dead: Vec<u64> = Vec::new();
    for register in Reg::ALL.into_iter().filter(|register| statement.dead.has(*register)) {
        dead.extend(recorder.known_role(register));
    }
    dead.sort_unstable();
    dead.into_iter().for_each(|role| recorder.word(role));
    recorder.key()
}

/// Two hashes at once, 128 bits together.
#[derive(Clone, Copy, Default)]
struct Hashes(u64, u64);

impl Hashes {
    fn word(&mut self, word: u64) {
        self.0 = mix(self.0 ^ word);
        self.1 = mix(self
            .1
            .rotate_left(23)
            .wrapping_add(word.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .wrapping_add(1));
    }

    const fn key(self) -> Key {
        Key(self.0, self.1)
    }
}
