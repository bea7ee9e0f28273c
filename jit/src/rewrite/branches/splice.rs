// SPDX-License-Identifier: GPL-2.0-or-later
//! Code in place of instructions of a program that jumps go over.

use std::ops::Range;

use kop_ops::ebpf::{CallTarget, Insn};
use kop_ops::program::NOWHERE;
use kop_ops::{Flow, Program};

use crate::lower::retarget;

/// Instructions that go and what is to stand in their place.
#[derive(Clone, Debug)]
pub(in crate::rewrite) struct Splice {
    /// The first instruction that goes, where the code comes: jumps to it go to the code.
    pub at: usize,
    /// All that go, ascending; nothing that stays leads to one of them but to the first.
    pub gone: Vec<usize>,
    /// What comes; its jumps go forward, at most to its end, but for those of `leaves`.
    pub code: Vec<Insn>,
    /// The jumps of the code that go elsewhere, by their indices in it, and where they go.
    pub leaves: Vec<(usize, usize)>,
    /// Where it goes on behind; nowhere where it ends with a way out.
    pub next: Option<usize>,
}

impl Splice {
    /// Code in place of a range, with what is behind that behind it.
    pub fn of_range(range: Range<usize>, code: Vec<Insn>) -> Self {
        Self {
            at: range.start,
            gone: range.clone().collect(),
            code,
            leaves: Vec::new(),
            next: Some(range.end),
        }
    }

    /// The program with the code in its place, and the place before of each instruction: the first's that go for the code.
    ///
    /// # Errors
    /// Why there is no such program: a jump that does not reach, or one to what is gone.
    pub fn apply(&self, program: &Program) -> Result<(Program, Vec<usize>), String> {
        let old = &program.flow;
        let goes = |index: &usize| self.gone.binary_search(index).is_ok();
        let follows = (self.at..old.insns().len()).find(|index| !goes(index));
        let mut code = self.code.clone();
        let mut inner = inner_targets(&code);
        let jumps_on = self.next.is_some() && self.next != follows;
        if jumps_on {
            code.push(Insn::ja(0));
            inner.push(None);
        }
        // The place of each old instruction, and in the end that of the end.
        let (mut insns, mut origins, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (index, insn) in old.insns().iter().enumerate() {
            places.push((!goes(&index) || index == self.at).then_some(insns.len() as u32));
            if index == self.at {
                insns.extend(&code);
                origins.extend(code.iter().map(|_| index));
            } else if !goes(&index) {
                insns.push(*insn);
                origins.push(index);
            }
        }
        let start = places[self.at].expect("the code stands there") as usize;
        let place =
            |index: usize| places[index].ok_or_else(|| format!("instruction {index} is gone and gone to"));
        let mut targets = Vec::with_capacity(insns.len());
        for (now, &origin) in origins.iter().enumerate() {
            let in_code = now.checked_sub(start).filter(|at| *at < code.len());
            targets.push(match in_code {
                Some(at) if jumps_on && at + 1 == code.len() => place(self.next.expect("it jumps there"))?,
                Some(at) => match self.leaves.iter().find(|(leaf, _)| *leaf == at) {
                    Some((_, target)) => place(*target)?,
                    None => inner[at].map_or(NOWHERE, |target| (start + target) as u32),
                },
                None => old.target(origin).map_or(Ok(NOWHERE), place)?,
            });
        }
        retarget(&mut insns, &targets).map_err(|(_, offset)| format!("a jump of {offset} does not reach"))?;
        let flow = Flow::new(insns).map_err(|error| error.to_string())?;
        Ok((Program { name: program.name.clone(), kind: program.kind, flow }, origins))
    }
}

/// Where the jumps of straight code go, as indices in it; calls go nowhere in it.
fn inner_targets(code: &[Insn]) -> Vec<Option<usize>> {
    let slots: Vec<usize> =
        code.iter().scan(0, |slot, insn| Some(std::mem::replace(slot, *slot + insn.slots()))).collect();
    let target = |(at, insn): (usize, &Insn)| {
        if matches!(insn, Insn::Call { target: CallTarget::Local(_) }) {
            return None;
        }
        let to = slots[at] as i64 + insn.slots() as i64 + i64::from(insn.branch_offset()?);
        Some(slots.partition_point(|slot| (*slot as i64) < to))
    };
    code.iter().enumerate().map(target).collect()
}

#[cfg(test)]
mod tests {
    use kop_ops::ebpf::parse_program;

    use super::*;
    use crate::tests::program;

    #[test]
    fn jumps_over_the_code_keep_their_targets() {
        let before =
            program("r0 = 0\nif r1 == 0 goto +4\nr1 += 1\nr1 += 2\nr2 = 5 ll\nif r2 != 7 goto -5\nexit");
        let code = parse_program("r3 = 9 ll\nif r3 == 0 goto +1\nr3 = 1").expect("the text parses");
        let splice = Splice::of_range(2..4, code);
        let (after, origins) = splice.apply(&before).expect("jumps reach");
        let text: Vec<String> = after.flow.insns().iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "r0 = 0",
                "if r1 == 0 goto +6",
                "r3 = 0x9 ll",
                "if r3 == 0 goto +1",
                "r3 = 1",
                "r2 = 0x5 ll",
                "if r2 != 7 goto -7",
                "exit"
            ]
        );
        assert_eq!(origins, [0, 1, 2, 2, 2, 4, 5, 6]);
    }
    #[test]
    fn what_goes_may_lie_apart() {
        let before = program("if r1 == 0 goto +3\nr0 = 1\nr0 += 2\nexit\nr0 = 3\ngoto -4");
        let code = parse_program("r0 = r1").expect("the text parses");
        let splice =
            Splice { at: 0, gone: vec![0, 1, 4, 5], code: code.clone(), leaves: Vec::new(), next: Some(2) };
        let (after, origins) = splice.apply(&before).expect("jumps reach");
        let text = |flow: &Flow| flow.insns().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        assert_eq!((text(&after.flow), origins), ("r0 = r1; r0 += 2; exit".to_owned(), vec![0, 2, 3]));
        // What does not follow is jumped to; what is gone is gone to by nobody.
        let splice =
            Splice { at: 0, gone: vec![0, 4, 5], code: code.clone(), leaves: Vec::new(), next: Some(2) };
        let (after, _) = splice.apply(&before).expect("jumps reach");
        assert_eq!(text(&after.flow), "r0 = r1; goto +1; r0 = 1; r0 += 2; exit");
        let splice = Splice { at: 0, gone: vec![0, 1, 4], code, leaves: Vec::new(), next: Some(2) };
        assert!(splice.apply(&before).is_ok(), "what cannot be reached stays");
        let loops = program("if r1 == 0 goto +1\nr0 = 1\nif r0 == 0 goto -2\nexit");
        let splice = Splice { at: 0, gone: vec![0, 1], code: Vec::new(), leaves: Vec::new(), next: Some(2) };
        assert!(splice.apply(&loops).expect_err("a jump goes to 1").contains("instruction 1"));
    }
}
