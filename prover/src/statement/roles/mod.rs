// SPDX-License-Identifier: GPL-2.0-or-later
//! Claims that are the same but for the names of registers: what the instructions of both sides do is written down with each eBPF
//! register, and the native register that holds it, as the number of its first use, and that text is hashed.
//!
//! The text is what the semantics do to a machine, operation by operation, without values: it is a whole description of a step,
//! since the semantics look at no value. Two texts are the same only where what is written down is the same ([`text`]), and two
//! different texts have one hash only where somebody has broken BLAKE3: a claim with the key of one that is proved is proved.

mod record;
mod text;

use kop_ops::Arch;
use kop_ops::ebpf::Reg;

use super::{Decoded, Statement};
use record::Recorder;
use text::Tag;

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
    write(&mut recorder, statement, code);
    recorder.text.key()
}

/// Writes down a claim.
fn write(recorder: &mut Recorder, statement: &Statement, code: &Decoded) {
    let Statement { proof, arch, vectors, grants, .. } = *statement;
    let is_x86_64 = u64::from(arch == Arch::X86_64);
    recorder.text.record(Tag::Arch, [is_x86_64]);
    recorder.text.record(Tag::Vectors, [vectors.x86_64.into(), vectors.aarch64.into()]);
    let exit = grants.exit.unwrap_or_default() as u64;
    recorder.text.record(Tag::Grants, [grants.registers.into(), grants.exit.is_some().into(), exit]);
    recorder.text.record(Tag::Proof, [proof.len() as u64]);
    for insn in proof {
        recorder.ebpf(insn);
    }
    let length = (statement.code.len(), grants.exit);
    match code {
        Decoded::X86_64(code) => recorder.x86_64(code, length),
        Decoded::Aarch64(code) => recorder.aarch64(code, length),
    }
    // A register that neither side names is the same at the end, dead or not.
    let registers = Reg::ALL.into_iter().filter(|register| statement.dead.has(*register));
    let mut dead: Vec<u64> = registers.filter_map(|register| recorder.known_role(register)).collect();
    dead.sort_unstable();
    recorder.text.list(Tag::Dead, &dead);
}
