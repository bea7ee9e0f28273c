// SPDX-License-Identifier: GPL-2.0-or-later
//! One instruction as SLEIGH has it: its p-code over terms, on all paths. What the operations mean is in "P-Code Reference
//! Manual" of Ghidra's documentation.

mod division;
mod number;
mod operation;
mod product;
mod registers;
mod shift;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use kop_prover::term::{Term, Terms};
use kop_semantics::Domain;
use libsla::{OpCode, PseudoOp};

use crate::compare::always_equal;
use crate::lift::{Lifted, Operation, Space, Varnode};
use crate::side::{Addresses, Ended, Exits, Side};
use number::Number;
pub(crate) use registers::{Registers, Wiring};

/// Why p-code cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unmodelled {
    /// A user operation with a result: a name, and no more.
    #[error("a user operation")]
    UserOperation,
    /// An operation on operands that are not run here.
    #[error("{0} of {1} bytes")]
    Operation(String, u32),
    /// A loop without an end in sight.
    #[error("more than {0} operations run")]
    TooLong(usize),
}

/// Operations that one instruction may run: loops over 64 bits have some hundreds.
const LONGEST: usize = 20_000;

/// Rounds of a loop after which it is looked at whether it goes on: one more than it takes over 64 bits.
const BITS: usize = 65;

/// Where control is, with the condition under which it is there, and what it finds.
type Waiting = BTreeMap<usize, (Term, Registers)>;

/// P-code while it runs.
struct Run<'a> {
    side: Side<'a>,
    registers: Registers,
    lifted: &'a Lifted,
    waiting: Waiting,
    exits: Exits,
    wiring: &'a Wiring,
    /// How often control went back.
    rounds: usize,
}

/// Where an operation leads.
enum Then {
    Fall,
    /// To an operation of this instruction.
    To(usize),
    /// To one of this instruction if the condition holds.
    Branch(Term, usize),
    /// To an address.
    Leave(Term),
    /// To an address if the condition holds.
    LeaveIf(Term, Term),
}

/// Runs an instruction from `start`, the values of the locations.
///
/// # Errors
/// [`Unmodelled`], when SLEIGH does not say what it does.
pub(crate) fn run(
    terms: &mut Terms,
    addresses: &mut Addresses,
    lifted: &Lifted,
    wiring: &Wiring,
    start: &[Term],
) -> Result<Ended, Unmodelled> {
    let exits = Exits::new(terms);
    let registers = wiring.start(terms, start);
    let side = Side::new(terms, addresses);
    let waiting = Waiting::from([(0, (side.path, registers.clone()))]);
    let mut run = Run { side, registers, lifted, waiting, exits, wiring, rounds: 0 };
    let mut count = 0;
    while let Some((place, (path, registers))) = run.waiting.pop_first() {
        (run.side.path, run.registers) = (path, registers);
        count += 1;
        if count > LONGEST {
            return Err(Unmodelled::TooLong(LONGEST));
        }
        run.at(place)?;
    }
    let here = run.side.terms.constant(64, lifted.address);
    let Run { exits, side, .. } = run;
    Ok(exits.ended(start.to_vec(), here, side.memory))
}

impl Run<'_> {
    /// Runs the operation at `place`, or leaves the instruction behind its last one.
    fn at(&mut self, place: usize) -> Result<(), Unmodelled> {
        let Some(operation) = self.lifted.operations.get(place) else {
            let next = self.constant(self.lifted.address + self.lifted.len as u64);
            self.leave(next);
            return Ok(());
        };
        let path = self.side.path;
        match self.execute(place, operation)? {
            Then::Fall => self.send(place + 1, path),
            Then::To(target) if target <= place => self.send_back(target, path),
            Then::To(target) => self.send(target, path),
            Then::Branch(taken, target) => {
                let (taken, not) = self.both(taken);
                if target <= place {
                    self.send_back(target, taken);
                } else {
                    self.send(target, taken);
                }
                self.send(place + 1, not);
            }
            Then::Leave(next) => self.leave(next),
            Then::LeaveIf(taken, next) => {
                let (taken, not) = self.both(taken);
                self.side.path = taken;
                if self.side.terms.as_constant(taken) != Some(0) {
                    self.leave(next);
                }
                self.send(place + 1, not);
            }
        }
        Ok(())
    }

    /// The conditions of the two ways.
    fn both(&mut self, taken: Term) -> (Term, Term) {
        let path = self.side.path;
        let terms = &mut *self.side.terms;
        let not = terms.not(1, taken);
        (terms.and(1, path, taken), terms.and(1, path, not))
    }

    fn constant(&mut self, value: u64) -> Term {
        self.side.terms.constant(64, value)
    }

    /// Goes back to `place` under a condition. A loop over bits ends once all were looked at, which takes a proof.
    fn send_back(&mut self, place: usize, condition: Term) {
        self.rounds += 1;
        let never = self.side.terms.constant(1, 0);
        if !self.rounds.is_multiple_of(BITS) || !always_equal(self.side.terms, condition, never) {
            self.send(place, condition);
        }
    }

    /// Goes on at `place` under a condition, together with what waits there.
    fn send(&mut self, place: usize, condition: Term) {
        let terms = &mut *self.side.terms;
        if terms.as_constant(condition) == Some(0) {
            return;
        }
        let entry = match self.waiting.remove(&place) {
            None => (condition, self.registers.clone()),
            Some((other, registers)) => {
                let merged = self.registers.merged(terms, condition, &registers);
                (terms.or(1, condition, other), merged)
            }
        };
        self.waiting.insert(place, entry);
    }

    fn leave(&mut self, next: Term) {
        let values = self.wiring.end(self.side.terms, &self.registers);
        self.exits.leave(self.side.terms, self.side.path, values, next);
    }

    fn execute(&mut self, place: usize, operation: &Operation) -> Result<Then, Unmodelled> {
        match operation.code {
            OpCode::Branch | OpCode::Call => Ok(match self.target(place, operation.inputs[0]) {
                Target::Inside(target) => Then::To(target),
                Target::Address(address) => Then::Leave(address),
            }),
            OpCode::BranchConditional => {
                let condition = self.read(operation.inputs[1]);
                let taken = number::not_zero(self.side.terms, &condition);
                Ok(match self.target(place, operation.inputs[0]) {
                    Target::Inside(target) => Then::Branch(taken, target),
                    Target::Address(address) => Then::LeaveIf(taken, address),
                })
            }
            OpCode::BranchIndirect | OpCode::CallIndirect | OpCode::Return => {
                Ok(Then::Leave(self.address(operation.inputs[0])))
            }
            OpCode::Load | OpCode::Store => {
                self.access(operation);
                Ok(Then::Fall)
            }
            // A user operation without a result changes nothing that p-code knows of: locks, barriers, hints.
            OpCode::Pseudo(PseudoOp::CallOther) if operation.output.is_none() => Ok(Then::Fall),
            OpCode::Pseudo(_) => Err(Unmodelled::UserOperation),
            code => {
                let inputs: Vec<Number> = operation.inputs.iter().map(|input| self.read(*input)).collect();
                let output = operation.output.expect("what computes has a result");
                let value = operation::compute(self.side.terms, code, &inputs, output.size)?;
                self.write(output, &value);
                Ok(Then::Fall)
            }
        }
    }

    /// Where a direct branch goes: a constant is a distance in operations, counted in the size that it has.
    fn target(&mut self, place: usize, varnode: Varnode) -> Target {
        if varnode.space != Space::Constant {
            return Target::Address(self.constant(varnode.offset));
        }
        let unused = 64 - 8 * varnode.size;
        let distance = (varnode.offset << unused).cast_signed() >> unused;
        let target = (place as i64).checked_add(distance).and_then(|target| usize::try_from(target).ok());
        Target::Inside(target.expect("branches stay in their instruction"))
    }

    /// An address of 64 bits; a shorter one has zeros above.
    fn address(&mut self, varnode: Varnode) -> Term {
        let number = self.read(varnode);
        let width = self.side.terms.width(number.limbs()[0]);
        self.side.terms.zero_extend(width, 64, number.limbs()[0])
    }

    fn access(&mut self, operation: &Operation) {
        let address = self.address(operation.inputs[0]);
        match operation.output {
            Some(output) => {
                let value = self.load(address, output.size);
                self.write(output, &value);
            }
            None => {
                let value = self.read(operation.inputs[1]);
                self.store(address, &value);
            }
        }
    }

    fn load(&mut self, address: Term, size: u32) -> Number {
        let mut limbs = Vec::new();
        for (place, bytes) in number::limbs(size) {
            let address = self.plus(address, place);
            limbs.push(self.side.load(bytes, address));
        }
        Number::new(limbs)
    }

    fn store(&mut self, address: Term, value: &Number) {
        for (limb, place) in value.limbs().iter().zip((0..).step_by(8)) {
            let address = self.plus(address, place);
            let bytes = self.side.terms.width(*limb) / 8;
            self.side.store(bytes, address, *limb);
        }
    }

    fn plus(&mut self, address: Term, distance: u32) -> Term {
        let distance = self.constant(distance.into());
        self.side.terms.add(64, address, distance)
    }

    /// Sets a varnode; one in memory is what is at a constant address.
    fn write(&mut self, varnode: Varnode, value: &Number) {
        if varnode.space == Space::Memory {
            let address = self.constant(varnode.offset);
            self.store(address, value);
        } else {
            self.registers.write(self.side.terms, varnode, value);
        }
    }

    /// The value of a varnode; one in memory is what is at a constant address.
    fn read(&mut self, varnode: Varnode) -> Number {
        match varnode.space {
            Space::Constant => number::constant(self.side.terms, varnode.size, varnode.offset),
            Space::Memory => {
                let address = self.constant(varnode.offset);
                self.load(address, varnode.size)
            }
            Space::Register | Space::Temporary => self.registers.read(self.side.terms, varnode),
        }
    }
}

/// Where a direct branch goes.
enum Target {
    Inside(usize),
    Address(Term),
}
