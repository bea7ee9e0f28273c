// SPDX-License-Identifier: GPL-2.0-or-later
//! Code in place of a range of a program's instructions that jumps go over.

use std::ops::Range;

use kop_ops::ebpf::{CallTarget, Insn};
use kop_ops::program::NOWHERE;
use kop_ops::{Flow, Program};

use crate::lower::retarget;

/// A range of instructions and what is to stand there.
#[derive(Clone, Debug)]
pub(in crate::rewrite) struct Splice {
    /// The instructions that go; nothing jumps into the middle.
    pub range: Range<usize>,
    /// What comes; its jumps go forward, at most to its end.
    pub code: Vec<Insn>,
}

impl Splice {
    /// The program with the code in its place, and the place before of each instruction: that of the range's first for the code.
    ///
    /// # Errors
    /// Why there is no such program: a jump that does not reach.
    pub fn apply(&self, program: &Program) -> Result<(Program, Vec<usize>), String> {
        let (old, Range { start, end }) = (&program.flow, self.range.clone());
        let place = |index: usize| if index < end { index } else { index - (end - start) + self.code.len() };
        let target_of = |index: usize| old.target(index).map_or(NOWHERE, |target| place(target) as u32);
        let mut insns = old.insns()[..start].to_vec();
        let mut targets: Vec<u32> = (0..start).map(target_of).collect();
        insns.extend(&self.code);
        targets.extend(inner_targets(&self.code).into_iter().map(|target| match target {
            Some(target) => (start + target) as u32,
            None => NOWHERE,
        }));
        insns.extend(&old.insns()[end..]);
        targets.extend((end..old.insns().len()).map(target_of));
        retarget(&mut insns, &targets).map_err(|(_, offset)| format!("a jump of {offset} does not reach"))?;
        let flow = Flow::new(insns).map_err(|error| error.to_string())?;
        let behind = end..old.insns().len();
        let origins = (0..start).chain(self.code.iter().map(|_| start)).chain(behind).collect();
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
        let splice = Splice { range: 2..4, code };
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
}
