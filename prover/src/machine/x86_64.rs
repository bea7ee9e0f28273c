// SPDX-License-Identifier: GPL-2.0-or-later
//! x86-64 code over terms.

use kop_ops::x86_64::{Gpr, Xmm};
use kop_ops::{Arch, registers};
use kop_semantics::Domain;
use kop_semantics::x86_64::{Decoded, Flag, Machine, step};

use super::flow::{Merge, Out, Waiting, merge_all};
use super::{Common, Decided, Ran, Refusal, at_start, stack_pointer};
use crate::memory::Roots;
use crate::term::{Term, Terms};

const FLAGS: usize = Flag::ALL.len();

/// Registers and flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// rax to r15, by their numbers, 64 bits each.
    pub gprs: [Term; 16],
    /// One bit each, in the order of [`Flag::ALL`].
    pub flags: [Term; FLAGS],
    /// The low and the high halves of xmm0 to xmm15.
    pub vectors: [[Term; 2]; 16],
}

impl State {
    /// The state in which an emit is entered, where the eBPF registers hold `initial`: everything else is a variable, but for the
    /// direction flag, which is clear.
    pub fn at_start(terms: &mut Terms, initial: &[Term; 11]) -> Self {
        State {
            gprs: Gpr::ALL.map(|register| at_start(terms, &registers::X86_64, initial, &register)),
            flags: Flag::ALL.map(|flag| match flag {
                Flag::Direction => terms.constant(1, 0),
                _ => terms.variable(&format!("{flag:?} flag"), 1),
            }),
            vectors: Xmm::ALL.map(|register| {
                ["low", "high"].map(|half| terms.variable(&format!("xmm{} {half}", register.code()), 64))
            }),
        }
    }

    /// A register.
    pub fn gpr(&self, register: Gpr) -> Term {
        self.gprs[usize::from(register.code())]
    }

    /// Sets a register.
    pub fn set_gpr(&mut self, register: Gpr, value: Term) {
        self.gprs[usize::from(register.code())] = value;
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
        }
    }
}

/// Runs code from a state to its end, or to `exit`: an offset outside of it, in bytes from its first byte.
///
/// # Errors
/// The [`Refusal`], when no formula can be made of it.
pub fn run(
    terms: &mut Terms,
    roots: &Roots,
    code: &[Decoded],
    (length, exit): (usize, Option<i64>),
    state: State,
) -> Result<Ran<State>, Refusal> {
    let stack = stack_pointer(terms, Arch::X86_64);
    let mut waiting = Waiting::new(terms, state.clone());
    let common = Common::new(terms, roots);
    let mut on = On { common, state: state.clone(), decided: Decided::default() };
    while let Some((place, condition, before)) = waiting.next(length)? {
        let index = code.binary_search_by_key(&place, |insn| insn.offset).expect("targets are instructions");
        let insn = &code[index];
        let text = || format!("{:?} at +{:#x}", insn.op, insn.offset);
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
            let pointers = [before.gpr(Gpr::Rsp), on.state.gpr(Gpr::Rsp)];
            on.common.check_stack(stack, mark.accesses(), (pointers, 1), text)?;
            on.check_control_flags(&state, text);
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

/// The flags that native code may change on its way: the status flags (Intel SDM vol. 1, section 3.4.3.1), and DF, which matters to string
/// instructions alone.
const HARMLESS: [Flag; 7] =
    [Flag::Carry, Flag::Parity, Flag::Adjust, Flag::Zero, Flag::Sign, Flag::Overflow, Flag::Direction];

impl On<'_> {
    /// Notes that the instruction changed a flag that the processor acts on at once: TF traps behind the next instruction, AC faults at an
    /// unaligned access, IF lets interrupts in. That the flag is as before at the end comes too late.
    fn check_control_flags(&mut self, start: &State, text: impl Fn() -> String) {
        for flag in Flag::ALL.into_iter().filter(|flag| !HARMLESS.contains(flag)) {
            let (before, after) = (start.flag(flag), self.state.flag(flag));
            if before != after {
                let changed = self.common.terms.xor(1, before, after);
                self.common.breach_if(changed, || format!("`{}` changes the {flag:?} flag", text()));
            }
        }
    }
}

/// A bit that has to be known and is not.
struct Undecided(Term);

/// The machine while code runs.
struct On<'a> {
    common: Common<'a>,
    state: State,
    decided: Decided,
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

    fn vector(&mut self, register: Xmm) -> [Term; 2] {
        self.state.vectors[usize::from(register.code())]
    }

    fn set_vector(&mut self, register: Xmm, value: [Term; 2]) {
        self.state.vectors[usize::from(register.code())] = value;
    }

    fn load(&mut self, bytes: u32, address: Term) -> Result<Term, Undecided> {
        Ok(self.common.load(bytes, address))
    }

    fn store(&mut self, bytes: u32, address: Term, value: Term) -> Result<(), Undecided> {
        self.common.store(bytes, address, value);
        Ok(())
    }

    fn begin_wide(&mut self, address: Term, _store: bool, aligned: bool) -> Result<(), Undecided> {
        if aligned {
            let misaligned = self.common.misaligned(address, 16);
            self.common.breach_if(misaligned, || "an operand of 16 bytes is not aligned".to_owned());
        }
        Ok(())
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
