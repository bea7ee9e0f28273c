// SPDX-License-Identifier: GPL-2.0-or-later
//! What a run may be compared on: registers that every engine must agree on, as calls and Kop sites leave the others undefined.

use kop_jit::Lowered;
use kop_ops::ebpf::{CallTarget, Insn, Reg, RegSet};
use kop_ops::program::{SiteTarget, sites};
use kop_ops::state::Registers;
use kop_ops::{Catalog, Features, Object, Site};
use kop_semantics::spec::Observer;

const ARGUMENTS: RegSet = RegSet::of(&[Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5]);
const TAIL_CALL: i32 = 12;

/// Watches a run on `spec`.
pub(super) struct Witness<'a> {
    lowered: &'a Lowered,
    /// The registers that are dead after a site, by program and index of its sidecar; it is asked for at each instruction that runs.
    dead: Vec<Vec<Option<RegSet>>>,
    /// The site whose proof sequence runs.
    within: Option<(usize, usize)>,
    /// A helper call with where it returns to, which a tail call does not.
    called: Option<(usize, usize)>,
    frames: Vec<RegSet>,
    defined: RegSet,
    undefined_read: bool,
}

impl<'a> Witness<'a> {
    /// A witness of a run of `lowered`, which was `object`.
    pub(super) fn new(object: &Object, lowered: &'a Lowered, catalog: &Catalog) -> Self {
        let dead = object.programs.iter().map(|program| {
            let insns = program.flow.insns();
            let mut dead = vec![None; insns.len()];
            for (index, payload, id) in sites(insns) {
                let target = object.operations.iter().find(|target| target.id == id);
                dead[index] =
                    Some(target.map_or(RegSet::EMPTY, |target| dead_after(catalog, target, payload)));
            }
            dead
        });
        Self {
            lowered,
            dead: dead.collect(),
            within: None,
            called: None,
            frames: Vec::new(),
            defined: RegSet::ALL,
            undefined_read: false,
        }
    }

    /// The registers that have one value at the end.
    pub(super) fn defined(&mut self) -> RegSet {
        self.leave_site();
        self.defined
    }

    /// Whether something was read that engines may differ in.
    pub(super) fn read_undefined(&self) -> bool {
        self.undefined_read
    }

    /// The run stopped at an instruction, which was not shown to have run.
    pub(super) fn stopped_at(&mut self, program: usize, index: usize, insn: &Insn, registers: &Registers) {
        self.settle_call(program, index);
        self.enter_site(program, index);
        match *insn {
            Insn::Call { target } => self.look_at_arguments(target, registers),
            _ => self.look_at(insn.reads()),
        }
    }

    fn look_at(&mut self, reads: RegSet) {
        self.undefined_read |= !reads.minus(self.defined).is_empty();
    }

    fn look_at_arguments(&mut self, target: CallTarget, registers: &Registers) {
        let id = match target {
            CallTarget::Helper(id) => id,
            CallTarget::Register(register) => {
                self.look_at(register.into());
                registers[register.index()] as i32
            }
            CallTarget::Local(_) | CallTarget::Kfunc { .. } | CallTarget::Kop { .. } => return,
        };
        self.look_at(arguments(id));
    }

    fn enter_site(&mut self, program: usize, index: usize) {
        let origin = (program, self.lowered.origin(program, index));
        if self.within != Some(origin) {
            self.leave_site();
            self.within = self.dead_after_site(origin).is_some().then_some(origin);
        }
    }

    fn dead_after_site(&self, (program, index): (usize, usize)) -> Option<RegSet> {
        *self.dead.get(program)?.get(index)?
    }

    fn leave_site(&mut self) {
        if let Some(dead) = self.within.take().and_then(|site| self.dead_after_site(site)) {
            self.defined = self.defined.minus(dead);
        }
    }

    /// Whether a helper call went on elsewhere, in the target of a tail call.
    fn settle_call(&mut self, program: usize, index: usize) {
        if self.called.take().is_some_and(|returns_to| returns_to != (program, index)) {
            self.defined = RegSet::of(&[Reg::R1, Reg::R10]);
        }
    }

    fn call(&mut self, program: usize, index: usize, target: CallTarget, registers: &Registers) {
        let id = match target {
            CallTarget::Local(_) => {
                self.frames.push(self.defined);
                self.defined = self.defined.intersect(ARGUMENTS.union(Reg::R10.into()));
                return;
            }
            CallTarget::Helper(id) => id,
            CallTarget::Register(register) => registers[register.index()] as i32,
            CallTarget::Kfunc { .. } | CallTarget::Kop { .. } => return,
        };
        self.called = Some((program, index + 1));
        self.defined = self.defined.minus(ARGUMENTS);
        if id == TAIL_CALL {
            self.defined.remove(Reg::R0);
        } else {
            self.defined.insert(Reg::R0);
        }
    }
}

/// The arguments that a helper function takes; all five for those that generated programs do not call.
fn arguments(id: i32) -> RegSet {
    // `enum bpf_func_id`: lookup and delete, update, clock, random number, CPU, tail call.
    match id {
        1 | 3 => RegSet::of(&[Reg::R1, Reg::R2]),
        2 => RegSet::of(&[Reg::R1, Reg::R2, Reg::R3, Reg::R4]),
        5 | 7 | 8 => RegSet::EMPTY,
        12 => RegSet::of(&[Reg::R1, Reg::R2, Reg::R3]),
        _ => ARGUMENTS,
    }
}

fn dead_after(catalog: &Catalog, target: &SiteTarget, payload: u64) -> RegSet {
    let Ok(kop) = catalog.get(&target.kop) else { return RegSet::EMPTY };
    let form = kop.forms().iter().find(|form| form.name == target.form);
    let site = form.and_then(|form| Site::decode(form, payload, Features::NONE).ok());
    site.map_or(RegSet::EMPTY, |site| kop.contract(&site).dead)
}

impl Observer for Witness<'_> {
    fn executed(&mut self, program: usize, index: usize, insn: &Insn, registers: &Registers) {
        self.settle_call(program, index);
        self.enter_site(program, index);
        match *insn {
            Insn::Call { target } => {
                self.look_at_arguments(target, registers);
                self.call(program, index, target, registers);
            }
            Insn::Exit => {
                let result = self.defined.intersect(Reg::R0.into());
                match self.frames.pop() {
                    Some(caller) => {
                        let kept = caller.minus(ARGUMENTS).minus(Reg::R0.into());
                        self.defined = kept.union(result);
                    }
                    None => self.undefined_read |= result.is_empty(),
                }
            }
            _ => {
                self.look_at(insn.reads());
                self.defined = self.defined.union(insn.writes());
            }
        }
    }
}
