// SPDX-License-Identifier: GPL-2.0-or-later
//! Both sides of an instruction, and whether they end alike for all inputs.

use std::time::Duration;

use kop_ops::Arch;
use kop_ops::choices::{Choices, Seeded};
use kop_prover::aig::{Blaster, Simulation, Wire};
use kop_prover::algebra::Algebra;
use kop_prover::memory::Memory;
use kop_prover::sat::{self, Answer};
use kop_prover::term::{Evaluator, Node, Term, Terms};
use kop_semantics::Domain;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::cases::{self, Case};
use crate::lift::{LiftError, Lifted, Lifter};
use crate::location::{Location, locations};
use crate::ours::{self, UNDEFINED};
use crate::pcode::{self, Unmodelled, Wiring};
use crate::side::{Addresses, Ended, may_overlap};

/// How long the solver may take for one output of an instruction: much more than any takes that is decided.
pub const LIMIT: Duration = Duration::from_secs(60);

/// How long it may take to see that two addresses are one, or that a loop is over.
const ADDRESS_LIMIT: Duration = Duration::from_secs(20);

/// What a comparison comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every output is equal for all inputs.
    Equal(Effort),
    /// SLEIGH does not know the bytes as an instruction.
    NotDecoded(String),
    /// SLEIGH knows the instruction, and not what it does.
    NotModelled(Unmodelled),
    /// The semantics raise an exception, whatever the inputs are: SLEIGH has none.
    Exception,
    /// Instructions have different lengths.
    Length(usize),
    /// These outputs were not decided in time.
    Undecided(Vec<String>),
    /// These outputs differ.
    Differs(Vec<Difference>),
    /// An access may overlap a write before it, so that bytes would have to be told apart by cases.
    Overlap,
}

/// What it took to see that all outputs are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// The terms are the same ones.
    #[default]
    Terms,
    /// Circuits are the same after rewriting.
    Circuits,
    /// Normal forms of sums or polynomials.
    Algebra,
    /// The solver, with a proof that has been checked.
    Solver,
}

/// An output that differs for some inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// A location's name, `next` or `memory`.
    pub output: String,
    /// Whether SLEIGH leaves it as it was.
    pub left_alone: bool,
    /// What the semantics and SLEIGH have for some inputs, with these.
    pub example: String,
}

/// An output: what both sides have for it, of the same width.
struct Output {
    name: String,
    ours: Term,
    theirs: Term,
    /// Whether SLEIGH leaves it as it was.
    left_alone: bool,
}

/// The models of one architecture.
pub struct Comparison {
    lifter: Lifter,
    arch: Arch,
    locations: Vec<Location>,
    wiring: Wiring,
}

impl Comparison {
    /// Loads SLEIGH's model.
    ///
    /// # Errors
    /// libsla's, of the specification.
    pub fn new(arch: Arch) -> Result<Self, LiftError> {
        let (lifter, locations) = (Lifter::new(arch)?, locations(arch));
        let zero = (arch == Arch::Aarch64).then_some("xzr");
        let wiring = Wiring::new(&lifter, &locations, zero)?;
        Ok(Comparison { lifter, arch, locations, wiring })
    }

    /// SLEIGH's mnemonic of an instruction.
    ///
    /// # Errors
    /// It knows none.
    pub fn mnemonic(&self, bytes: &[u8]) -> Result<String, LiftError> {
        self.lifter.lift(bytes).map(|lifted| lifted.mnemonic)
    }

    /// Compares what the semantics and SLEIGH say of the instruction that `bytes` hold, which the semantics cover; the solver may
    /// take `limit` for each output.
    pub fn compare(&self, bytes: &[u8], insn: &ours::Decoded, limit: Duration) -> Outcome {
        let lifted = match self.lifter.lift(bytes) {
            Ok(lifted) => lifted,
            Err(error) => return Outcome::NotDecoded(error.to_string()),
        };
        if lifted.len != insn.bytes() {
            return Outcome::Length(lifted.len);
        }
        self.sides(insn, &lifted, limit)
    }

    fn sides(&self, insn: &ours::Decoded, lifted: &Lifted, limit: Duration) -> Outcome {
        let mut terms = Terms::new();
        let start = ours::start(&mut terms, &self.locations);
        let cases = cases::cases(&mut terms, insn, start);
        let mut effort = Effort::Terms;
        for case in cases {
            match self.case(&mut terms, (insn, lifted), case, limit) {
                Outcome::Equal(needed) => effort = effort.max(needed),
                other => return other,
            }
        }
        Outcome::Equal(effort)
    }

    fn case(
        &self,
        terms: &mut Terms,
        (insn, lifted): (&ours::Decoded, &Lifted),
        case: Case,
        limit: Duration,
    ) -> Outcome {
        let (mut addresses, Case { start, mut excluded }) = (Addresses::default(), case);
        let mine = ours::run(terms, &mut addresses, insn, lifted.address, &start);
        let theirs = match pcode::run(terms, &mut addresses, lifted, &self.wiring, &start) {
            Ok(theirs) => theirs,
            Err(unmodelled) => return Outcome::NotModelled(unmodelled),
        };
        if may_overlap(&mine.memory) || may_overlap(&theirs.memory) {
            return Outcome::Overlap;
        }
        let outputs = self.outputs(terms, &start, &mine, &theirs, (insn, lifted.address));
        if terms.as_constant(mine.trapped) == Some(1) {
            return Outcome::Exception;
        }
        excluded.push(mine.trapped);
        decide(terms, excluded, outputs, limit)
    }

    fn outputs(
        &self,
        terms: &mut Terms,
        start: &[Term],
        mine: &Ended,
        theirs: &Ended,
        (insn, code): (&ours::Decoded, u64),
    ) -> Vec<Output> {
        let mut outputs = Vec::new();
        for (number, location) in self.locations.iter().enumerate() {
            let (ours, theirs) = (mine.values[number], theirs.values[number]);
            let width = 8 * location.bytes();
            let before = terms.zero_extend(location.width, width, start[number]);
            let is_undefined = is_undefined(terms, ours);
            let ours = if is_undefined { theirs } else { terms.zero_extend(location.width, width, ours) };
            outputs.push(Output { name: location.name.clone(), ours, theirs, left_alone: theirs == before });
        }
        let next = crate::string::next(terms, self.arch, insn, code, theirs);
        outputs.push(Output { name: "next".to_owned(), ours: mine.next, theirs: next, left_alone: false });
        outputs.extend(memory(terms, &mine.memory, &theirs.memory));
        outputs
    }
}

/// The bytes that either side writes.
fn memory(terms: &mut Terms, mine: &Memory, theirs: &Memory) -> Vec<Output> {
    let written: FxHashSet<_> = mine.written().chain(theirs.written()).collect();
    let byte = |place| {
        let (ours, theirs) = (mine.byte(terms, place), theirs.byte(terms, place));
        let left_alone = theirs == kop_prover::memory::initial(terms, place);
        Output { name: "memory".to_owned(), ours, theirs, left_alone }
    };
    written.into_iter().map(byte).collect()
}

/// Whether a value is nothing but what the manual leaves undefined.
fn is_undefined(terms: &Terms, value: Term) -> bool {
    match terms.node(value) {
        Node::Variable(number) => terms.variables()[number as usize].0.starts_with(UNDEFINED),
        _ => false,
    }
}

/// Whether two terms are equal for all inputs, and that can be seen in time.
pub(crate) fn always_equal(terms: &mut Terms, a: Term, b: Term) -> bool {
    let never = terms.constant(1, 0);
    equal(terms, &[never], a, b, ADDRESS_LIMIT).is_ok()
}

/// Decides the outputs one by one, where no exception is raised.
fn decide(terms: &mut Terms, mut excluded: Vec<Term>, outputs: Vec<Output>, limit: Duration) -> Outcome {
    let (mut effort, mut undecided, mut differences) = (Effort::Terms, Vec::new(), Vec::new());
    let mut bound = FxHashSet::default();
    for output in outputs {
        witness(terms, &output, &mut bound, &mut excluded);
        match equal(terms, &excluded, output.ours, output.theirs, limit) {
            Ok(needed) => effort = effort.max(needed),
            Err(None) => undecided.push(output.name),
            Err(Some(example)) => {
                let Output { name, left_alone, .. } = output;
                differences.push(Difference { output: name, left_alone, example });
            }
        }
    }
    match (differences.is_empty(), undecided.is_empty()) {
        (false, _) => Outcome::Differs(differences),
        (true, false) => Outcome::Undecided(undecided),
        (true, true) => Outcome::Equal(effort),
    }
}

/// What the manual leaves undefined may be anything, so it is enough that the sides are equal for one value of it: the one that
/// SLEIGH has. Bits of a variable get their value by the first output that they are seen in.
fn witness(terms: &mut Terms, output: &Output, bound: &mut FxHashSet<(Term, u32)>, excluded: &mut Vec<Term>) {
    for variable in undefined_in(terms, output.ours) {
        let Some((of, at)) = effect(terms, output.ours, variable) else { continue };
        let (whole, width) = (terms.width(variable), terms.width(output.theirs));
        let count = (whole - of).min(width - at);
        if bound.insert((variable, of)) {
            let (bits, value) =
                (terms.extract(whole, of, count, variable), terms.extract(width, at, count, output.theirs));
            let same = terms.eq(count, bits, value);
            excluded.push(terms.not(1, same));
        }
    }
}

/// The lowest bit of a variable that is seen to change a term, and the lowest bit of the term that it changes.
fn effect(terms: &Terms, term: Term, variable: Term) -> Option<(u32, u32)> {
    let Node::Variable(number) = terms.node(variable) else { return None };
    (0..terms.width(variable)).find_map(|bit| {
        let changed = changed_by(terms, term, number, 1 << bit);
        (changed != 0).then(|| (bit, changed.trailing_zeros()))
    })
}

/// The bits of a term that differ between a value of zero and another one of a variable, for zero and
/// some random values of the others.
fn changed_by(terms: &Terms, term: Term, number: u32, value: u64) -> u64 {
    let mut choices = Seeded::new(0);
    (0..ATTEMPTS).fold(0, |changed, attempt| {
        let random = (0..).zip(terms.variables()).map(|(other, (_, width))| {
            // Small numbers are amounts of shifts that do not leave everything undefined.
            let bits = choices.bits() >> (64 - width);
            let bits = if choices.one_in(2) { bits } else { bits & 0x1f };
            (other, if attempt == 0 { 0 } else { bits })
        });
        let mut inputs: FxHashMap<u32, u64> = random.collect();
        let [one, other] = [0, value].map(|value| {
            inputs.insert(number, value);
            Evaluator::new(terms, &inputs).value(term)
        });
        changed | (one ^ other)
    })
}

/// How many random inputs are tried to see what a variable changes.
const ATTEMPTS: usize = 24;

/// The variables in a term that stand for what the manual leaves undefined.
fn undefined_in(terms: &Terms, term: Term) -> Vec<Term> {
    let (mut seen, mut pending, mut found) = (FxHashSet::default(), vec![term], Vec::new());
    while let Some(term) = pending.pop() {
        if seen.insert(term) {
            if is_undefined(terms, term) {
                found.push(term);
            }
            pending.extend(terms.node(term).operands());
        }
    }
    found
}

/// Whether two terms are equal wherever none of the bits `excluded` is 1: what it took, or inputs for which they are not; nothing if
/// that was not decided in time.
fn equal(
    terms: &mut Terms,
    excluded: &[Term],
    a: Term,
    b: Term,
    limit: Duration,
) -> Result<Effort, Option<String>> {
    if a == b {
        return Ok(Effort::Terms);
    }
    let mut blaster = Blaster::new();
    let bad = circuit(terms, &mut blaster, excluded, a, b);
    if bad == Wire::FALSE {
        return Ok(Effort::Circuits);
    }
    if Algebra::new(terms).equal(a, b).is_some() {
        return Ok(Effort::Algebra);
    }
    if let Some(found) = by_chance(terms, &blaster, bad, a, b) {
        return Err(Some(found));
    }
    match sat::decide(&blaster.aig, bad, limit).expect("the solver's proofs are right") {
        Answer::Never(_) => Ok(Effort::Solver),
        Answer::Timeout => Err(None),
        Answer::Can(model) => Err(Some(example(terms, &blaster, &model, a, b))),
    }
}

/// Inputs for which the wire is 1, if some of a few random ones are such.
fn by_chance(terms: &Terms, blaster: &Blaster, bad: Wire, a: Term, b: Term) -> Option<String> {
    let mut choices = Seeded::new(0);
    let mut inputs = FxHashMap::default();
    let simulation =
        Simulation::new(&blaster.aig, |gate| *inputs.entry(gate).or_insert_with(|| choices.bits()));
    let values = simulation.value(bad);
    let place = (values != 0).then(|| values.trailing_zeros())?;
    let model = inputs.into_iter().map(|(gate, values)| (gate, values >> place & 1 == 1)).collect();
    Some(example(terms, blaster, &model, a, b))
}

/// The wire that is 1 where the terms differ and none of the bits is 1.
fn circuit(terms: &Terms, blaster: &mut Blaster, excluded: &[Term], a: Term, b: Term) -> Wire {
    let (x, y) = (blaster.bits(terms, a), blaster.bits(terms, b));
    let mut bad = Wire::FALSE;
    for (x, y) in x.into_iter().zip(y) {
        let differ = blaster.aig.xor(x, y);
        bad = blaster.aig.or(bad, differ);
    }
    for bit in excluded {
        let bit = blaster.bits(terms, *bit)[0];
        bad = blaster.aig.and(bad, !bit);
    }
    bad
}

/// The inputs of a model, and what the terms are there.
fn example(terms: &Terms, blaster: &Blaster, model: &FxHashMap<u32, bool>, a: Term, b: Term) -> String {
    let inputs: FxHashMap<u32, u64> = blaster
        .variables(terms)
        .map(|(number, bits)| {
            let bit = |wire: &Wire| u64::from(model.get(&wire.gate()).copied().unwrap_or_default());
            (number, bits.iter().rev().fold(0, |value, wire| value << 1 | bit(wire)))
        })
        .collect();
    let mut evaluator = Evaluator::new(terms, &inputs);
    let (a, b) = (evaluator.value(a), evaluator.value(b));
    let mut named: Vec<String> = inputs
        .iter()
        .map(|(number, value)| format!("{} {value:#x}", terms.variables()[*number as usize].0))
        .collect();
    named.sort_unstable();
    format!("{a:#x} against {b:#x} for {}", named.join(", "))
}
