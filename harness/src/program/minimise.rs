// SPDX-License-Identifier: GPL-2.0-or-later
//! The smallest program that still shows a divergence of the same kind.

use kop_ops::ebpf::{CallTarget, Insn, Operand};
use kop_ops::program::{Flow, MAP_INDEX, MAP_VALUE_INDEX, Object, ProgramKind};
use kop_ops::{Catalog, Program};

use super::{Blame, ProgramCase, ProgramFinding, ProgramRig};

/// How many programs are tried.
const ATTEMPTS: usize = 1500;

/// How many other programs one that does not end counts for.
const ENDLESS_COST: usize = 100;

/// Fuel that is enough for most.
const SHORT_FUEL: u64 = 20_000;

/// Makes a case smaller as long as `finding` stays of its kind: fewer programs, instructions and bytes, and simpler operands.
pub fn minimise(
    rig: &mut ProgramRig,
    catalog: &Catalog,
    case: &ProgramCase,
    finding: &ProgramFinding,
) -> (ProgramCase, ProgramFinding) {
    minimise_until(rig, catalog, case, finding, &|| false).expect("nobody stops it")
}

/// As [`minimise`]; `None` when `stop` became true before the end.
pub fn minimise_until(
    rig: &mut ProgramRig,
    catalog: &Catalog,
    case: &ProgramCase,
    finding: &ProgramFinding,
    stop: &dyn Fn() -> bool,
) -> Option<(ProgramCase, ProgramFinding)> {
    let keeps_verified =
        matches!(finding.blame, Blame::Native(..)) && rig.verifies(case, catalog) == Some(true);
    let mut minimiser = Minimiser {
        rig,
        keeps_verified,
        catalog,
        wanted: finding,
        best: case.clone(),
        found: finding.clone(),
        left: ATTEMPTS,
        stop,
        stopped: false,
    };
    // Where a program does not end any more, that should show soon.
    let impatient = minimiser.with(|case| case.fuel = case.fuel.min(SHORT_FUEL));
    minimiser.keep(impatient);
    loop {
        let before = minimiser.best.clone();
        minimiser.programs();
        for program in 0..minimiser.best.object.programs.len() {
            minimiser.instructions(program);
            minimiser.operands(program);
        }
        minimiser.surroundings();
        if minimiser.stopped {
            return None;
        }
        if minimiser.left == 0 || minimiser.best == before {
            return Some((minimiser.best, minimiser.found));
        }
    }
}

struct Minimiser<'m, 'c> {
    rig: &'m mut ProgramRig,
    /// Whether the kernel has to accept what is left, as it did the whole: the native tier is for such programs alone.
    keeps_verified: bool,
    catalog: &'m Catalog<'c>,
    wanted: &'m ProgramFinding,
    best: ProgramCase,
    found: ProgramFinding,
    left: usize,
    stop: &'m dyn Fn() -> bool,
    stopped: bool,
}

/// An instruction with the index that it goes to.
type Placed = (Insn, Option<usize>);

impl Minimiser<'_, '_> {
    /// Keeps the case if it still shows the divergence.
    fn keep(&mut self, case: ProgramCase) -> bool {
        if self.left == 0 || case == self.best {
            return false;
        }
        if (self.stop)() {
            (self.left, self.stopped) = (0, true);
            return false;
        }
        self.left -= 1;
        let Ok(judged) = self.rig.judge_like(&case, self.catalog, self.wanted) else { return false };
        if judged.findings.iter().any(|found| found.difference.actual.starts_with("ran away")) {
            // Code that does not end takes a second to see.
            self.left = self.left.saturating_sub(ENDLESS_COST);
        }
        let Some(found) = judged.findings.into_iter().find(|found| found.is_like(self.wanted)) else {
            return false;
        };
        if self.keeps_verified && self.rig.verifies(&case, self.catalog) != Some(true) {
            return false;
        }
        self.best = case;
        self.found = found;
        true
    }

    fn with(&self, change: impl FnOnce(&mut ProgramCase)) -> ProgramCase {
        let mut case = self.best.clone();
        change(&mut case);
        case
    }

    /// The first program alone.
    fn programs(&mut self) {
        if self.best.object.programs.len() < 2 {
            return;
        }
        let alone = self.with(|case| {
            case.object.programs.truncate(1);
            change_maps(&mut case.object, |maps| {
                for map in maps.iter_mut().filter(|map| map.kind == kop_ops::MapKind::ProgramArray) {
                    map.initial.clear();
                }
            });
        });
        self.keep(alone);
    }

    fn placed(&self, program: usize) -> Vec<Placed> {
        let flow = &self.best.object.programs[program].flow;
        flow.insns().iter().enumerate().map(|(index, insn)| (*insn, flow.target(index))).collect()
    }

    /// Keeps these instructions in place of a program's, if they are a program.
    fn keep_code(&mut self, program: usize, code: &[Placed]) -> bool {
        let Some(flow) = assemble(code) else { return false };
        let case = self.with(|case| {
            let Program { name, kind, .. } = case.object.programs[program].clone();
            case.object.programs[program] = Program { name, kind, flow };
        });
        self.keep(case)
    }

    /// Leaves out instructions: many at once first.
    fn instructions(&mut self, program: usize) {
        let mut piece = self.placed(program).len().div_ceil(2);
        while piece > 0 {
            let mut end = self.placed(program).len();
            while end > 0 {
                let code = self.placed(program);
                let start = end.min(code.len()).saturating_sub(piece);
                let kept = self.keep_code(program, &without(&code, start, end.min(code.len())));
                // One more keeps both halves of a Kop site together.
                if !kept && piece == 1 && start > 0 && matches!(code[start - 1].0, Insn::Sidecar { .. }) {
                    self.keep_code(program, &without(&code, start - 1, end));
                }
                end = start;
            }
            piece /= 2;
        }
    }

    fn operands(&mut self, program: usize) {
        let mut index = 0;
        while index < self.placed(program).len() {
            let insn = self.placed(program)[index].0;
            for simpler in simpler(insn) {
                let mut code = self.placed(program);
                code[index].0 = simpler;
                if self.keep_code(program, &code) {
                    break;
                }
            }
            index += 1;
        }
    }

    /// Packet, maps and garbage.
    fn surroundings(&mut self) {
        let least = if self.best.object.programs[0].kind == ProgramKind::Raw { 0 } else { 14 };
        let mut length = least;
        while length < self.best.packet.len() {
            let shorter = self.with(|case| case.packet.truncate(length));
            if self.keep(shorter) {
                break;
            }
            length = (length * 2).max(1);
        }
        let mut piece = self.best.packet.len();
        while piece > 0 {
            for start in (0..self.best.packet.len()).step_by(piece) {
                let end = (start + piece).min(self.best.packet.len());
                let zeroed = self.with(|case| case.packet[start..end].fill(0));
                self.keep(zeroed);
            }
            piece /= 4;
        }
        let clear = self.with(|case| case.garbage = 0);
        self.keep(clear);
        for map in 0..self.best.object.maps.len() {
            let empty = self.with(|case| change_maps(&mut case.object, |maps| maps[map].initial.clear()));
            self.keep(empty);
        }
        let needed = maps_needed(&self.best.object);
        let fewer = self.with(|case| change_maps(&mut case.object, |maps| maps.truncate(needed)));
        self.keep(fewer);
        let used: Vec<i32> = self
            .best
            .object
            .programs
            .iter()
            .flat_map(|program| kop_ops::program::sites(program.flow.insns()).map(|(_, _, id)| id))
            .collect();
        let fewer = self.with(|case| case.object.operations.retain(|target| used.contains(&target.id)));
        self.keep(fewer);
    }
}

fn change_maps(object: &mut Object, change: impl FnOnce(&mut Vec<kop_ops::MapSpec>)) {
    let mut maps = object.maps.to_vec();
    change(&mut maps);
    object.maps = maps.into();
}

/// How many maps there have to be for those that are named.
fn maps_needed(object: &Object) -> usize {
    let insns = object.programs.iter().flat_map(|program| program.flow.insns());
    let named = insns.filter_map(|insn| match *insn {
        Insn::LoadImm64 { kind: MAP_INDEX | MAP_VALUE_INDEX, imm, .. } => Some(imm as u32 as usize + 1),
        _ => None,
    });
    named.max().unwrap_or(0)
}

/// The code without the instructions `start..end`; what went to one of them goes to the next that is left.
fn without(code: &[Placed], start: usize, end: usize) -> Vec<Placed> {
    let moved = |target: usize| match target {
        target if target < start => target,
        target => start.max(target.saturating_sub(end - start)),
    };
    let left = code[..start].iter().chain(&code[end..]);
    left.map(|(insn, target)| (*insn, target.map(moved))).collect()
}

/// The program of these instructions, if it is one.
fn assemble(code: &[Placed]) -> Option<Flow> {
    let mut places = vec![0i64];
    for (insn, _) in code {
        places.push(places[places.len() - 1] + insn.slots() as i64);
    }
    let resolve = |(index, (insn, target)): (usize, &Placed)| {
        let Some(target) = *target else { return Some(*insn) };
        let offset = i32::try_from(places.get(target)? - places[index + 1]).ok()?;
        match insn {
            Insn::Call { .. } => Some(Insn::Call { target: CallTarget::Local(offset) }),
            _ => insn.with_branch_offset(offset),
        }
    };
    let insns: Option<Vec<Insn>> = code.iter().enumerate().map(resolve).collect();
    Flow::new(insns?).ok()
}

/// Simpler instructions to try in place of one, the simplest first.
fn simpler(insn: Insn) -> Vec<Insn> {
    let operands = |src: Operand| -> Vec<Operand> {
        match src {
            Operand::Reg(_) => vec![Operand::Imm(0), Operand::Imm(1), Operand::Imm(-1)],
            Operand::Imm(0) => Vec::new(),
            Operand::Imm(imm) => {
                let smaller = [0, 1, -1, imm / 2, imm / 16]
                    .into_iter()
                    .filter(|n| n.unsigned_abs() < imm.unsigned_abs());
                smaller.map(Operand::Imm).collect()
            }
        }
    };
    match insn {
        Insn::Alu { op, width, dst, src } if !op.is_sign_extension() => {
            operands(src).into_iter().map(|src| Insn::Alu { op, width, dst, src }).collect()
        }
        Insn::Store { size, base, off, src } => {
            operands(src).into_iter().map(|src| Insn::Store { size, base, off, src }).collect()
        }
        Insn::Jump { cond, width, dst, src, off } => {
            operands(src).into_iter().map(|src| Insn::Jump { cond, width, dst, src, off }).collect()
        }
        Insn::LoadImm64 { dst, kind: 0, imm } => {
            let mut simpler = vec![Insn::mov64(dst, 0), Insn::mov64(dst, 1), Insn::mov64(dst, -1)];
            if imm as i32 as i64 as u64 == imm {
                simpler.push(Insn::mov64(dst, imm as i32));
            }
            for value in [1 << 31, 1 << 32, (1 << 32) - 1, 1 << 63, imm & (imm >> 1)] {
                if value.count_ones() < imm.count_ones() {
                    simpler.push(Insn::load_imm64(dst, value));
                }
            }
            simpler
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kop_ops::ebpf::{Cond, Reg};

    #[test]
    fn what_jumps_over_a_gap_lands_where_it_did() {
        let add = |imm| (Insn::alu64(kop_ops::ebpf::AluOp::Add, Reg::R0, imm), None);
        let code =
            [(Insn::jump(Cond::Eq, Reg::R1, 0, 0), Some(3)), add(1), add(2), add(3), (Insn::Exit, None)];
        let flow = assemble(&without(&code, 1, 3)).expect("a program");
        assert_eq!((flow.insns().len(), flow.target(0)), (3, Some(1)));
        let flow = assemble(&without(&code, 2, 4)).expect("a program");
        assert_eq!((flow.insns().len(), flow.target(0)), (3, Some(2)));
        assert!(assemble(&without(&code, 3, 5)).is_none());
    }
}
