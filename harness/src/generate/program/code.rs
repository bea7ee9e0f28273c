// SPDX-License-Identifier: GPL-2.0-or-later
//! Instructions with labels in place of offsets, which are worked out at the end.

use kop_ops::ebpf::{CallTarget, Insn};

/// A place in a function that jumps go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

/// Where an instruction goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Nowhere,
    Label(Label),
    Function(usize),
}

/// The instructions of a function.
#[derive(Clone, Debug, Default)]
pub(super) struct Code {
    insns: Vec<(Insn, Target)>,
    /// The instruction that each label stands before.
    labels: Vec<usize>,
}

/// A label that nothing was bound to.
const UNBOUND: usize = usize::MAX;

impl Code {
    pub(super) fn label(&mut self) -> Label {
        self.labels.push(UNBOUND);
        Label(self.labels.len() - 1)
    }

    /// The label stands before the next instruction.
    pub(super) fn bind(&mut self, label: Label) {
        self.labels[label.0] = self.insns.len();
    }

    /// A label before the next instruction.
    pub(super) fn here(&mut self) -> Label {
        let label = self.label();
        self.bind(label);
        label
    }

    pub(super) fn push(&mut self, insn: Insn) {
        self.insns.push((insn, Target::Nowhere));
    }

    /// Adds a jump, whatever its offset, to a label.
    pub(super) fn jump(&mut self, insn: Insn, to: Label) {
        self.insns.push((insn, Target::Label(to)));
    }

    /// Adds a call of the function with a number.
    pub(super) fn call(&mut self, function: usize) {
        self.insns.push((Insn::Call { target: CallTarget::Local(0) }, Target::Function(function)));
    }
}

/// One program of functions, the first of which is where it starts. Jumps that are too far for their form go through a
/// `gotol`.
pub(super) fn link(functions: Vec<Code>) -> Vec<Insn> {
    let mut insns = Vec::new();
    let mut starts = Vec::new();
    for function in functions {
        starts.push(slots(&insns));
        insns.extend(resolve(function));
    }
    let mut at = 0;
    let places: Vec<i64> = insns
        .iter()
        .map(|(insn, _)| {
            at += insn.slots() as i64;
            at
        })
        .collect();
    let fix = |((insn, target), next): ((Insn, Target), i64)| match target {
        Target::Function(number) => {
            Insn::Call { target: CallTarget::Local((starts[number] as i64 - next) as i32) }
        }
        _ => insn,
    };
    insns.into_iter().zip(places).map(fix).collect()
}

fn slots(insns: &[(Insn, Target)]) -> usize {
    insns.iter().map(|(insn, _)| insn.slots()).sum()
}

/// Gives every jump of a function its offset.
fn resolve(mut code: Code) -> Vec<(Insn, Target)> {
    loop {
        let mut place = vec![0; code.insns.len() + 1];
        for (index, (insn, _)) in code.insns.iter().enumerate() {
            place[index + 1] = place[index] + insn.slots();
        }
        let mut too_far = None;
        for index in 0..code.insns.len() {
            let (insn, Target::Label(label)) = code.insns[index] else { continue };
            let offset = place[code.labels[label.0]] as i32 - place[index + 1] as i32;
            match insn.with_branch_offset(offset) {
                Some(resolved) => code.insns[index].0 = resolved,
                None => too_far = Some((index, label)),
            }
        }
        let Some((index, label)) = too_far else { return code.insns };
        lengthen(&mut code, index, label);
    }
}

/// The jump at `index` becomes `jump over; ja past; over: gotol label; past:`, or the `gotol` alone.
fn lengthen(code: &mut Code, index: usize, label: Label) {
    let far = (Insn::Gotol { off: 0 }, Target::Label(label));
    if matches!(code.insns[index].0, Insn::Ja { .. }) {
        code.insns[index] = far;
        return;
    }
    for bound in code.labels.iter_mut().filter(|bound| **bound > index && **bound != UNBOUND) {
        *bound += 2;
    }
    let over = Label(code.labels.len());
    let past = Label(code.labels.len() + 1);
    code.labels.extend([index + 2, index + 3]);
    code.insns[index].1 = Target::Label(over);
    let inserted = [(Insn::ja(0), Target::Label(past)), far];
    code.insns.splice(index + 1..index + 1, inserted);
}

#[cfg(test)]
mod tests {
    use super::*;
    use kop_ops::ebpf::{Cond, Reg};

    #[test]
    fn far_jumps_go_through_a_long_one() {
        let mut code = Code::default();
        let end = code.label();
        code.jump(Insn::jump(Cond::Eq, Reg::R1, 0, 0), end);
        code.jump(Insn::ja(0), end);
        (0..40_000).for_each(|_| code.push(Insn::mov64(Reg::R0, 1)));
        code.bind(end);
        code.push(Insn::Exit);
        let insns = link(vec![code]);
        let expected = [
            Insn::jump(Cond::Eq, Reg::R1, 0, 1),
            Insn::ja(1),
            Insn::Gotol { off: 40_001 },
            Insn::Gotol { off: 40_000 },
        ];
        assert_eq!(insns[..4], expected);
    }

    #[test]
    fn calls_go_to_their_functions() {
        let mut main = Code::default();
        main.push(Insn::load_imm64(Reg::R0, 1));
        main.call(1);
        main.push(Insn::Exit);
        let mut other = Code::default();
        other.push(Insn::Exit);
        let insns = link(vec![main, other]);
        assert_eq!(insns[1], Insn::Call { target: CallTarget::Local(1) });
    }
}
