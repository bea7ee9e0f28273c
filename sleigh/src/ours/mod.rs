// SPDX-License-Identifier: GPL-2.0-or-later
//! One instruction as [`kop_semantics`] has it, over terms, on all paths.

mod aarch64;
mod x86_64;

use kop_ops::Arch;
use kop_prover::term::{Term, Terms};
use kop_semantics::Domain;
use kop_semantics::native::{Next, Unsupported};

use crate::location::Location;
use crate::side::{Addresses, Ended, Exits, Side};

/// What the names of variables begin with that stand for what a manual leaves undefined.
pub(crate) const UNDEFINED: &str = "undefined";

/// A decoded instruction, as the semantics have it.
#[derive(Clone, Copy, Debug)]
pub enum Decoded {
    /// Of x86-64.
    X86_64(kop_semantics::x86_64::Decoded),
    /// Of AArch64.
    Aarch64(kop_semantics::aarch64::Decoded),
}

/// Decodes the one instruction that `bytes` hold.
///
/// # Errors
/// The semantics do not cover it, or there are more.
pub fn decode(arch: Arch, bytes: &[u8]) -> Result<Decoded, Unsupported> {
    let more = || Unsupported { offset: 0, bytes: bytes.to_vec(), text: "not one instruction".to_owned() };
    match arch {
        Arch::X86_64 => match kop_semantics::x86_64::decode(bytes)?[..] {
            [insn] => Ok(Decoded::X86_64(insn)),
            _ => Err(more()),
        },
        Arch::Aarch64 => match kop_semantics::aarch64::decode(bytes)?[..] {
            [insn] => Ok(Decoded::Aarch64(insn)),
            _ => Err(more()),
        },
    }
}

impl Decoded {
    /// Its number of bytes.
    pub const fn bytes(&self) -> usize {
        match self {
            Decoded::X86_64(insn) => insn.len,
            Decoded::Aarch64(insn) => insn.len,
        }
    }

    /// What it does, as text; the first word is the kind of operation.
    pub fn text(&self) -> String {
        match self {
            Decoded::X86_64(insn) => format!("{:?}", insn.op),
            Decoded::Aarch64(insn) => format!("{:?}", insn.operation),
        }
    }
}

/// The locations at the start: variables of their names.
pub(crate) fn start(terms: &mut Terms, locations: &[Location]) -> Vec<Term> {
    locations.iter().map(|location| terms.variable(&location.name, location.width)).collect()
}

/// A bit that has to be known and is not.
struct Undecided(Term);

/// Registers, flags and memory while an instruction runs.
struct Cpu<'a> {
    side: Side<'a>,
    values: Vec<Term>,
    /// Bits that are taken to be known on this path.
    decided: Vec<(Term, bool)>,
    /// Where the instruction stands.
    code: u64,
}

impl Cpu<'_> {
    fn decide(&self, bit: Term) -> Result<bool, Undecided> {
        let known = self.decided.iter().find(|(other, _)| *other == bit).map(|(_, value)| *value);
        known.or_else(|| self.side.terms.as_constant(bit).map(|value| value == 1)).ok_or(Undecided(bit))
    }

    fn code_address(&mut self, offset: i64) -> Term {
        self.side.terms.constant(64, self.code.wrapping_add(offset.cast_unsigned()))
    }

    fn step(&mut self, insn: &Decoded) -> Result<Next<Term>, Undecided> {
        match insn {
            Decoded::X86_64(insn) => kop_semantics::x86_64::step(self, insn),
            Decoded::Aarch64(insn) => kop_semantics::aarch64::step(self, insn),
        }
    }
}

/// Runs an instruction that stands at `code` from `start`.
pub(crate) fn run(
    terms: &mut Terms,
    addresses: &mut Addresses,
    insn: &Decoded,
    code: u64,
    start: &[Term],
) -> Ended {
    let mut exits = Exits::new(terms);
    let side = Side::new(terms, addresses);
    let mut cpu = Cpu { values: start.to_vec(), decided: Vec::new(), code, side };
    let mut ways = vec![(cpu.side.path, Vec::new())];
    while let Some((path, decided)) = ways.pop() {
        let memory = cpu.side.memory.clone();
        (cpu.side.path, cpu.decided, cpu.values) = (path, decided, start.to_vec());
        match cpu.step(insn) {
            Ok(next) => leave(&mut cpu, insn, next, &mut exits),
            Err(Undecided(bit)) => {
                cpu.side.memory = memory;
                let terms = &mut *cpu.side.terms;
                let not = terms.not(1, bit);
                for (condition, value) in [(bit, true), (not, false)] {
                    let path = terms.and(1, path, condition);
                    if terms.as_constant(path) != Some(0) {
                        ways.push((path, [&cpu.decided[..], &[(bit, value)]].concat()));
                    }
                }
            }
        }
    }
    let here = cpu.code_address(0);
    exits.ended(start.to_vec(), here, cpu.side.memory)
}

/// Adds the end of a path.
fn leave(cpu: &mut Cpu<'_>, insn: &Decoded, next: Next<Term>, exits: &mut Exits) {
    let following = cpu.code_address(insn.bytes() as i64);
    let goes = match next {
        Next::Fall => following,
        Next::Jump(target) => cpu.code_address(target),
        Next::Branch { taken, target } => {
            let target = cpu.code_address(target);
            cpu.side.terms.ite(64, taken, target, following)
        }
        Next::Indirect(target) => target,
        Next::Trap => return exits.trap(cpu.side.terms, cpu.side.path),
    };
    exits.leave(cpu.side.terms, cpu.side.path, cpu.values.clone(), goes);
}
