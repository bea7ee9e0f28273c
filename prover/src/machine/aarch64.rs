// SPDX-License-Identifier: GPL-2.0-or-later
//! AArch64 code over terms.

mod retry;

pub use retry::{Retry, retries};

use kop_ops::aarch64::{Gpr, V};
use kop_ops::{Arch, registers};
use kop_semantics::Domain;
use kop_semantics::aarch64::{Decoded, Flag, Machine, Monitor, step};

use super::flow::{Merge, Out, Waiting, merge_all};
use super::{Common, Decided, Ran, Refusal, at_start, stack_pointer};
use crate::memory::Roots;
use crate::term::{Term, Terms};

const FLAGS: usize = Flag::ALL.len();

/// Registers and flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// x0 to x30, by their numbers, and sp, 64 bits each.
    pub gprs: [Term; 32],
    /// One bit each, in the order of [`Flag::ALL`].
    pub flags: [Term; FLAGS],
    /// The low and the high halves of v0 to v31.
    pub vectors: [[Term; 2]; 32],
    /// What the last load-exclusive has marked.
    pub monitor: Option<Monitor<Term>>,
    /// Whether paths have met that marked different things.
    mixed: bool,
}

impl State {
    /// The state in which an emit is entered, where the eBPF registers hold `initial`: everything else is a variable, and nothing is
    /// marked.
    pub fn at_start(terms: &mut Terms, initial: &[Term; 11]) -> Self {
        let stack = stack_pointer(terms, Arch::Aarch64);
        State {
            gprs: std::array::from_fn(|number| match Gpr::ALL.get(number) {
                Some(register) => at_start(terms, &registers::AARCH64, initial, register),
                None => stack,
            }),
            flags: Flag::ALL.map(|flag| terms.variable(&format!("{flag:?} flag"), 1)),
            vectors: V::ALL.map(|register| {
                ["low", "high"].map(|half| terms.variable(&format!("v{} {half}", register.number()), 64))
            }),
            monitor: None,
            mixed: false,
        }
    }

    /// A register.
    pub fn gpr(&self, register: Gpr) -> Term {
        self.gprs[register.number() as usize]
    }

    /// Sets a register.
    pub fn set_gpr(&mut self, register: Gpr, value: Term) {
        self.gprs[register.number() as usize] = value;
    }

    /// A flag.
    pub fn flag(&self, flag: Flag) -> Term {
        self.flags[place(flag)]
    }
}

fn place(flag: Flag) -> usize {
    Flag::ALL.iter().position(|other| *other == flag).expect("all flags are there")
}

impl Merge for State {
    fn merge(&self, terms: &mut Terms, condition: Term, other: &Self) -> Self {
        State {
            gprs: merge_all(terms, 64, condition, &self.gprs, &other.gprs),
            flags: merge_all(terms, 1, condition, &self.flags, &other.flags),
            vectors: std::array::from_fn(|i| {
                merge_all(terms, 64, condition, &self.vectors[i], &other.vectors[i])
            }),
            monitor: self.monitor,
            mixed: self.mixed || other.mixed || self.monitor != other.monitor,
        }
    }
}

/// Runs code from a state to its end, or to `exit`: an offset outside of it, in bytes from its first byte. Its loops around
/// store-exclusives are run as any of their tries where `retries` has them, otherwise as the first one.
///
/// # Errors
/// The [`Refusal`], when no formula can be made of it.
pub fn run(
    terms: &mut Terms,
    roots: &Roots,
    (code, retries): (&[Decoded], &[Retry]),
    (length, exit): (usize, Option<i64>),
    state: State,
) -> Result<Ran<State>, Refusal> {
    let stack = stack_pointer(terms, Arch::Aarch64);
    let mut waiting = Waiting::new(terms, state.clone());
    let common = Common::new(terms, roots);
    let mut on = On { common, state: state.clone(), decided: Decided::default(), unknown: false };
    let mut entered = 0;
    while let Some((place, condition, mut before)) = waiting.next(length)? {
        for retry in retries.iter().filter(|retry| retry.first == place) {
            retry.enter(on.common.terms, &mut before, entered);
            entered += 1;
        }
        let index = code.binary_search_by_key(&place, |insn| insn.offset).expect("targets are instructions");
        let insn = &code[index];
        let text = || format!("{:?} at +{:#x}", insn.operation, insn.offset);
        // What an access or an exception depends on is decided both ways.
        let mut ways = vec![(condition, Decided::default())];
        while let Some((path, decided)) = ways.pop() {
            let mark = on.common.mark();
            (on.common.path, on.state, on.decided) = (path, before.clone(), decided);
            let next = match step(&mut on, insn) {
                Ok(next) => next,
                Err(Undecided(bit)) => {
                    on.common.back_to(mark);
                    on.decided.both_ways(on.common.terms, path, bit, &mut ways);
                    waiting.count()?;
                    continue;
                }
            };
            if on.unknown {
                return Err(Refusal::Undecided(text()));
            }
            let pointers = [before.gpr(Gpr::Sp), on.state.gpr(Gpr::Sp)];
            on.common.check_stack(stack, mark.accesses(), (pointers, 16), text)?;
            let is_place = |target: usize| {
                target == length || code.binary_search_by_key(&target, |insn| insn.offset).is_ok()
            };
            let ways_out = (insn.offset + insn.len, (length, exit));
            let then = super::native_then(&mut on.common, next, ways_out, is_place, text)?;
            waiting.send(&mut on.common, place, then, on.state.clone(), text)?;
        }
    }
    let never = on.common.terms.constant(1, 0);
    let out = waiting.out(on.common.terms, length);
    Ok(on.common.ran(out.unwrap_or(Out { ended: never, left: never, state })))
}

/// A bit that has to be known and is not.
struct Undecided(Term);

/// The machine while code runs.
struct On<'a> {
    common: Common<'a>,
    state: State,
    decided: Decided,
    /// Whether an instruction asked for a mark that depends on the path.
    unknown: bool,
}

impl Machine for On<'_> {
    type Domain = Terms;
    type Stop = Undecided;

    fn domain(&mut self) -> &mut Terms {
        self.common.terms
    }

    fn get(&mut self, register: Gpr) -> Term {
        self.state.gpr(register)
    }

    fn set(&mut self, register: Gpr, value: Term) {
        self.state.set_gpr(register, value);
    }

    fn flag(&mut self, flag: Flag) -> Term {
        self.state.flag(flag)
    }

    fn set_flag(&mut self, flag: Flag, value: Term) {
        self.state.flags[place(flag)] = value;
    }

    fn vector(&mut self, register: V) -> [Term; 2] {
        self.state.vectors[register.number() as usize]
    }

    fn set_vector(&mut self, register: V, value: [Term; 2]) {
        self.state.vectors[register.number() as usize] = value;
    }

    fn load(&mut self, bytes: u32, address: Term) -> Result<Term, Undecided> {
        Ok(self.common.load(bytes, address))
    }

    fn store(&mut self, bytes: u32, address: Term, value: Term) -> Result<(), Undecided> {
        self.common.store(bytes, address, value);
        Ok(())
    }

    fn begin_atomic(&mut self, bytes: u32, address: Term) -> Result<(), Undecided> {
        let misaligned = self.common.misaligned(address, bytes);
        self.common.breach_if(misaligned, || format!("an atomic access of {bytes} bytes is not aligned"));
        Ok(())
    }

    fn monitor(&mut self) -> Option<Monitor<Term>> {
        self.unknown |= self.state.mixed;
        self.state.monitor
    }

    fn set_monitor(&mut self, monitor: Option<Monitor<Term>>) {
        (self.state.monitor, self.state.mixed) = (monitor, false);
    }

    fn undefined(&mut self, width: u32) -> Term {
        self.common.terms.fresh("undefined", width)
    }

    fn decide(&mut self, bit: Term) -> Result<bool, Undecided> {
        self.decided.get(self.common.terms, bit).ok_or(Undecided(bit))
    }

    fn code_address(&mut self, offset: i64) -> Term {
        super::code_address(self.common.terms, offset)
    }
}
