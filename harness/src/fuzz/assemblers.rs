// SPDX-License-Identifier: GPL-2.0-or-later
//! The oracle of the assemblers' target: what we encode is what Keystone assembles the text to.
//!
//! Instructions that [`forms::keystone_fault`](kop_ops::x86_64::forms::keystone_fault) lists are passed over: Keystone does
//! not know them or assembles them to something else, and GNU as, which judges them in the tests of `kop-emulators`, is a
//! process to start, thousands of times slower than an input may take.

use std::fmt::Write;

use kop_ops::choices::Choices;
use kop_ops::{aarch64, x86_64};

use crate::generate::ByteChoices;

/// Instructions of one input.
const INSNS: usize = 8;

/// The instructions that bytes mean, for each architecture: text, encoding, and why Keystone is not asked, if it is not.
struct Insns {
    x86_64: Vec<(String, Vec<u8>, Option<&'static str>)>,
    aarch64: Vec<(String, Vec<u8>, Option<&'static str>)>,
}

fn decode(bytes: &[u8]) -> Insns {
    let mut choices = ByteChoices::new(bytes);
    let mut insns = Insns { x86_64: Vec::new(), aarch64: Vec::new() };
    for _ in 0..INSNS {
        if choices.one_in(2) {
            let insn = x86_64::forms::random(&mut choices);
            let code = insn.encode().unwrap_or_else(|error| panic!("{insn}: {error}"));
            let passed_over = x86_64::forms::keystone_fault(&insn);
            insns.x86_64.push((insn.to_string(), code.to_vec(), passed_over));
        } else {
            let insn = aarch64::forms::random(&mut choices);
            let code = insn.encode().unwrap_or_else(|error| panic!("{insn}: {error}"));
            let passed_over = aarch64::forms::keystone_fault(&insn);
            insns.aarch64.push((insn.to_string(), code.to_le_bytes().to_vec(), passed_over));
        }
    }
    insns
}

/// The instructions with their bytes and the reason why one is passed over.
pub(super) fn show(bytes: &[u8]) -> String {
    let insns = decode(bytes);
    let mut text = String::new();
    for (arch, insns) in [("x86_64", insns.x86_64), ("aarch64", insns.aarch64)] {
        for (insn, code, passed_over) in insns {
            let note = passed_over.map(|reason| format!("  (not compared: {reason})")).unwrap_or_default();
            let _ = writeln!(text, "{arch:<8} {:<30} {insn}{note}", crate::subject::hex(&code));
        }
    }
    text
}

/// Compares the instructions that bytes mean with Keystone's.
///
/// # Panics
/// With the first instruction for which Keystone has other bytes.
#[cfg(feature = "assembler")]
pub(super) fn check(bytes: &[u8]) {
    use kop_modules::assembler::Keystone;
    use kop_ops::Arch;

    thread_local! {
        static KEYSTONE: [Keystone; 2] = [Arch::X86_64, Arch::Aarch64]
            .map(|arch| Keystone::new(arch).unwrap_or_else(|error| panic!("{error}")));
    }
    let insns = decode(bytes);
    KEYSTONE.with(|[x86_64, aarch64]| {
        for (keystone, insns) in [(x86_64, insns.x86_64), (aarch64, insns.aarch64)] {
            for (insn, ours, _) in insns.iter().filter(|(_, _, passed_over)| passed_over.is_none()) {
                let theirs = keystone.assemble(insn);
                assert!(
                    theirs.as_ref() == Ok(ours),
                    "{insn}: ours is {}, Keystone says {theirs:02x?}",
                    crate::subject::hex(ours)
                );
            }
        }
    });
}

/// Encodes the instructions that bytes mean; there is nothing to compare with in this build.
///
/// # Panics
/// When one of them has no encoding.
#[cfg(not(feature = "assembler"))]
pub(super) fn check(bytes: &[u8]) {
    decode(bytes);
}
