// SPDX-License-Identifier: GPL-2.0-or-later
//! Machines over terms: the state of eBPF, x86-64 and AArch64, and how code runs through it on all paths at once.

mod aarch64;
mod ebpf;
mod flow;
mod x86_64;

use kop_ops::Arch;
use kop_ops::ebpf::Reg;
use kop_semantics::Domain;
use kop_semantics::native::Next;

pub use aarch64::{Retry, State as Aarch64State, retries, run as run_aarch64};
pub use ebpf::{State as EbpfState, run as run_ebpf};
pub use x86_64::{State as X86_64State, run as run_x86_64};

use crate::memory::{Access, Memory, Place, Roots};
use crate::term::{Term, Terms};
use flow::{EXIT, Out, Then};

/// Why code cannot be turned into formulas.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Whether a loop goes on, or an access takes place, depends on data.
    #[error("`{0}` depends on data in a way that no formula is made of")]
    Undecided(String),
    /// An instruction of the proof sequence that has no meaning by itself: calls, references to maps, `may_goto`.
    #[error("`{0}` has no meaning in a sequence")]
    Meaningless(String),
    /// Control goes to where a register or memory says.
    #[error("`{0}` goes to a computed address")]
    Indirect(String),
    /// Control goes to where no instruction begins, read one after another from the first one.
    #[error("`{0}` goes into the middle of an instruction")]
    Middle(String),
    /// The stack pointer is no known distance from where it was at the start.
    #[error("`{0}` leaves the stack pointer at a place that is not known")]
    Stack(String),
    /// A store-exclusive that fails, as any interrupt can make it, without being tried again.
    #[error("the store-exclusive at +{0:#x} is not tried again at once when it fails")]
    Exclusive(usize),
    /// A store-exclusive that, when it fails, is tried again from a state in which the code may come to something else.
    #[error("the store-exclusive at +{0:#x} is tried again from another state when it fails")]
    Retry(usize),
    /// Too many instructions.
    #[error("more than {0} instructions run")]
    TooLong(usize),
    /// Too many ways for memory to overlap.
    #[error("more than {0} ways for memory to overlap")]
    TooManyCases(usize),
}

/// Something that native code must not do, where `condition` holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// One bit: whether it happens.
    pub condition: Term,
    /// What it is, with the instruction.
    pub text: String,
}

/// What a run left.
#[derive(Clone, Debug)]
pub struct Ran<S> {
    /// The state at the end of the code.
    pub state: S,
    /// Memory, with everything that was accessed.
    pub memory: Memory,
    /// One bit: whether the end was reached.
    pub ended: Term,
    /// One bit: whether the code was left for the exit that it has been granted.
    pub left: Term,
    /// What must not happen.
    pub breaches: Vec<Breach>,
    /// Bits that are 1 in every state the code is defined on: atomic accesses are aligned.
    pub defined: Vec<Term>,
}

/// What machines of all kinds share while code runs.
struct Common<'a> {
    terms: &'a mut Terms,
    roots: &'a Roots,
    memory: Memory,
    breaches: Vec<Breach>,
    defined: Vec<Term>,
    /// One bit: whether control is at this instruction.
    path: Term,
}

impl<'a> Common<'a> {
    fn new(terms: &'a mut Terms, roots: &'a Roots) -> Self {
        let path = terms.constant(1, 1);
        Common { terms, roots, memory: Memory::new(), breaches: Vec::new(), defined: Vec::new(), path }
    }

    fn load(&mut self, bytes: u32, address: Term) -> Term {
        let mut value = None;
        for (bit, place) in self.roots.places(self.terms, address) {
            let condition = self.terms.and(1, self.path, bit);
            let loaded = self.memory.load(self.terms, condition, place, bytes);
            value = Some(match value {
                None => loaded,
                Some(other) => self.terms.ite(8 * bytes, bit, loaded, other),
            });
        }
        value.expect("an address is somewhere")
    }

    fn store(&mut self, bytes: u32, address: Term, value: Term) {
        for (bit, place) in self.roots.places(self.terms, address) {
            let condition = self.terms.and(1, self.path, bit);
            self.memory.store(self.terms, condition, place, bytes, value);
        }
    }

    /// Notes what must not happen on this path if `condition`.
    fn breach_if(&mut self, condition: Term, text: impl FnOnce() -> String) {
        let condition = self.terms.and(1, self.path, condition);
        if self.terms.as_constant(condition) != Some(0) {
            self.breaches.push(Breach { condition, text: text() });
        }
    }

    /// Whether an address is no multiple of a power of two.
    fn misaligned(&mut self, address: Term, bytes: u32) -> Term {
        let mask = self.terms.constant(64, u64::from(bytes) - 1);
        let low = self.terms.and(64, address, mask);
        let zero = self.terms.constant(64, 0);
        let aligned = self.terms.eq(64, low, zero);
        self.terms.not(1, aligned)
    }

    /// What a step that cannot be completed goes back to.
    fn mark(&self) -> Mark {
        Mark { memory: self.memory.clone(), breaches: self.breaches.len() }
    }

    fn back_to(&mut self, mark: Mark) {
        self.memory = mark.memory;
        self.breaches.truncate(mark.breaches);
    }

    /// Checks what one instruction did to the stack: the stack pointer is where it was at the start or below, and the accesses from
    /// number `first` on lie at or above it, as it was before or is after, whichever is lower. What is below is not there: an
    /// interrupt may overwrite it at any time. The stack pointer stays a multiple of `alignment` bytes, as it was at the start: any
    /// other faults in whoever accesses the stack by it (Arm ARM, D1.8.2, stack pointer alignment checking), and that may be the
    /// kernel's handler of an interrupt.
    fn check_stack(
        &mut self,
        stack: Term,
        first: usize,
        (pointers, alignment): ([Term; 2], i64),
        text: impl Fn() -> String,
    ) -> Result<(), Refusal> {
        let places = pointers.map(|pointer| self.roots.place(self.terms, pointer));
        if places.iter().any(|place| place.root != stack) {
            return Err(Refusal::Stack(text()));
        }
        let offsets = places.map(|place| place.offset as i64);
        let always = self.terms.constant(1, 1);
        if offsets[1] > 0 {
            self.breach_if(always, || format!("`{}` gives up the caller's part of the stack", text()));
        }
        if offsets[1] < -MOST_STACK {
            self.breach_if(always, || {
                format!("`{}` takes more than {MOST_STACK} bytes of the stack", text())
            });
        }
        if offsets[1] % alignment != 0 {
            self.breach_if(always, || format!("`{}` leaves the stack pointer not aligned", text()));
        }
        if offsets[1] > offsets[0] {
            // An interrupt may have overwritten what is below before it is looked at again.
            self.memory.lose(self.terms, self.path, stack, offsets[1]);
        }
        let accesses: Vec<Access> = self.memory.accesses()[first..].to_vec();
        for access in accesses {
            if access.place.root != stack {
                // It may be of the part that is private, of which bytes are known by their distance alone.
                if self.terms.depends_on(access.place.root, stack) {
                    return Err(Refusal::Undecided(text()));
                }
                continue;
            }
            if (access.place.offset as i64) < offsets[0].min(offsets[1]) {
                let below = || format!("`{}` accesses memory below the stack pointer", text());
                self.breach_if(access.condition, below);
            }
        }
        Ok(())
    }

    fn ran<S>(self, out: Out<S>) -> Ran<S> {
        let Out { ended, left, state } = out;
        Ran { state, memory: self.memory, ended, left, breaches: self.breaches, defined: self.defined }
    }
}

/// How many bytes of the stack an emit may take.
const MOST_STACK: i64 = 512;

/// What there was before a step.
struct Mark {
    memory: Memory,
    breaches: usize,
}

impl Mark {
    fn accesses(&self) -> usize {
        self.memory.accesses().len()
    }
}

/// Bits that are taken to be known during a step.
#[derive(Clone, Default)]
struct Decided(Vec<(Term, bool)>);

impl Decided {
    fn get(&self, terms: &Terms, bit: Term) -> Option<bool> {
        let decided = self.0.iter().find(|(other, _)| *other == bit).map(|(_, value)| *value);
        decided.or_else(|| terms.as_constant(bit).map(|value| value == 1))
    }

    /// Adds the step with the bit decided either way to `ways`, with the conditions under which it is so, unless they never hold.
    fn both_ways(&self, terms: &mut Terms, path: Term, bit: Term, ways: &mut Vec<(Term, Decided)>) {
        let not = terms.not(1, bit);
        for (condition, value) in [(bit, true), (not, false)] {
            let condition = terms.and(1, path, condition);
            if terms.as_constant(condition) != Some(0) {
                let mut decided = self.clone();
                decided.0.push((bit, value));
                ways.push((condition, decided));
            }
        }
    }
}

/// Whether a place is in the part of the stack that native code makes room for itself: below the stack pointer at the start.
pub fn is_private(place: Place, stack: Term) -> bool {
    place.root == stack && (place.offset as i64) < 0
}

/// The name of the variable that an eBPF register holds at the start.
pub fn variable_name(register: Reg) -> &'static str {
    const NAMES: [&str; 11] = ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10"];
    NAMES[register.index()]
}

/// The stack pointer at the start.
pub fn stack_pointer(terms: &mut Terms, arch: Arch) -> Term {
    terms.variable(if arch == Arch::X86_64 { "native rsp" } else { "native sp" }, 64)
}

/// The eBPF register that a native register holds.
fn role<G: PartialEq>(map: &[G; 11], register: &G) -> Option<Reg> {
    let number = map.iter().position(|other| other == register)?;
    Reg::new(number as u8)
}

/// The value of a native register at the start: that of the eBPF register it holds, or a variable of its own.
fn at_start<G: PartialEq + std::fmt::Debug>(
    terms: &mut Terms,
    map: &[G; 11],
    initial: &[Term; 11],
    register: &G,
) -> Term {
    match role(map, register) {
        Some(held) => initial[held.index()],
        // x86-64 has an r10, too.
        None => terms.variable(&format!("native {register:?}").to_lowercase(), 64),
    }
}

/// The address of what is `offset` bytes from the first byte of the code, which stands anywhere.
fn code_address(terms: &mut Terms, offset: i64) -> Term {
    let (start, offset) = (terms.variable("code", 64), terms.constant(64, offset as u64));
    terms.add(64, start, offset)
}

/// Where control goes after a native instruction of code of so many bytes; leaving it for anywhere but `exit` is a breach.
fn native_then(
    common: &mut Common,
    next: Next<Term>,
    (following, (length, exit)): (usize, (usize, Option<i64>)),
    is_place: impl Fn(usize) -> bool,
    text: impl Fn() -> String,
) -> Result<Then, Refusal> {
    let always = common.terms.constant(1, 1);
    if let Next::Jump(target) | Next::Branch { target, .. } = next
        && usize::try_from(target).is_ok_and(|target| target < length && !is_place(target))
        && !matches!(next, Next::Branch { taken, .. } if common.terms.as_constant(taken) == Some(0))
    {
        return Err(Refusal::Middle(text()));
    }
    let place = |target: i64| {
        let inside = usize::try_from(target).ok().filter(|target| is_place(*target));
        inside.or_else(|| (exit == Some(target)).then_some(EXIT))
    };
    Ok(match next {
        Next::Fall => Then::To(following),
        Next::Jump(target) => match place(target) {
            Some(target) => Then::To(target),
            None => {
                common.breach_if(always, || format!("`{}` leaves the code", text()));
                Then::Stop
            }
        },
        Next::Branch { taken, target } => match place(target) {
            Some(target) => Then::Branch(taken, target, following),
            None => {
                common.breach_if(taken, || format!("`{}` leaves the code", text()));
                let not = common.terms.not(1, taken);
                common.path = common.terms.and(1, common.path, not);
                Then::To(following)
            }
        },
        Next::Indirect(_) => return Err(Refusal::Indirect(text())),
        Next::Trap => {
            common.breach_if(always, || format!("`{}` raises an exception", text()));
            Then::Stop
        }
    })
}
