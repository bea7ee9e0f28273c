// SPDX-License-Identifier: GPL-2.0-or-later
//! Repeated string instructions, of which both sides do one iteration.

use kop_ops::Arch;
use kop_ops::x86_64::Gpr;
use kop_prover::term::{Term, Terms};
use kop_semantics::Domain;
use kop_semantics::x86_64::{Op, Repeat};

use crate::ours::Decoded;
use crate::side::Ended;

/// Where SLEIGH goes after the instruction, in the way of the semantics: those are done after the last iteration, while SLEIGH goes
/// back to the instruction, which does nothing for a count of zero but go on.
pub(crate) fn next(terms: &mut Terms, arch: Arch, insn: &Decoded, code: u64, theirs: &Ended) -> Term {
    let Decoded::X86_64(decoded) = insn else { return theirs.next };
    if arch != Arch::X86_64 || matches!(decoded.op, Op::String { repeat: Repeat::No, .. }) {
        return theirs.next;
    }
    if !matches!(decoded.op, Op::String { .. }) {
        return theirs.next;
    }
    let count = theirs.values[usize::from(Gpr::Rcx.code())];
    let zero = terms.constant(64, 0);
    let done = terms.eq(64, count, zero);
    let here = terms.constant(64, code);
    let again = terms.eq(64, theirs.next, here);
    let over = terms.and(1, again, done);
    let following = terms.constant(64, code + decoded.len as u64);
    terms.ite(64, over, following, theirs.next)
}
