// SPDX-License-Identifier: GPL-2.0-or-later
//! The rule that the kernel holds a proof sequence to before it substitutes it for a Kop site.

use super::insn::Insn;

/// Why the kernel refuses a proof sequence. Slots count from 0 at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ShapeError {
    /// There is no instruction.
    #[error("the proof sequence is empty")]
    Empty,
    /// There are more slots than the operation declares.
    #[error("the proof sequence takes {slots} slots, more than the declared {max}")]
    TooLong {
        /// Slots of the sequence.
        slots: usize,
        /// The operation's `max_insn_cnt`.
        max: usize,
    },
    /// There is the first half of a Kop site.
    #[error("slot {slot}: a sidecar in a proof sequence")]
    Sidecar {
        /// Where.
        slot: usize,
    },
    /// There is a call.
    #[error("slot {slot}: a call in a proof sequence")]
    Call {
        /// Where.
        slot: usize,
    },
    /// There is an exit.
    #[error("slot {slot}: an exit in a proof sequence")]
    Exit {
        /// Where.
        slot: usize,
    },
    /// There is a `may_goto`, which depends on the program around it.
    #[error("slot {slot}: a may_goto in a proof sequence")]
    MayGoto {
        /// Where.
        slot: usize,
    },
    /// A jump goes backwards.
    #[error("slot {slot}: a jump backwards to slot {target}")]
    Backward {
        /// Where.
        slot: usize,
        /// Where it goes, negative before the sequence.
        target: i64,
    },
    /// A jump goes farther than one past the end of the sequence.
    #[error("slot {slot}: a jump to slot {target}, beyond the end at {end}")]
    Outside {
        /// Where.
        slot: usize,
        /// Where it goes.
        target: i64,
        /// Slots of the sequence.
        end: usize,
    },
    /// A jump goes to the second slot of a 64-bit immediate.
    #[error("slot {slot}: a jump into the 64-bit immediate before slot {}", target + 1)]
    IntoImm64 {
        /// Where.
        slot: usize,
        /// Where it goes.
        target: i64,
    },
    /// A 64-bit immediate is a map, function or other object instead of an integer.
    #[error("slot {slot}: a 64-bit immediate of pseudo source {kind}")]
    PseudoImm64 {
        /// Where.
        slot: usize,
        /// Value of its source field.
        kind: u8,
    },
}

/// Checks that `proof` has the shape of a proof sequence: between 1 and `max_insn_cnt` 8-byte slots of straight code and
/// forward jumps that reach at most its end.
///
/// # Errors
/// The [`ShapeError`] of the whole sequence or else of its first offending instruction. Which values an instruction
/// may have is the verifier's business.
pub fn check(proof: &[Insn], max_insn_cnt: usize) -> Result<(), ShapeError> {
    let end = proof.iter().map(Insn::slots).sum();
    if end == 0 {
        return Err(ShapeError::Empty);
    }
    if end > max_insn_cnt {
        return Err(ShapeError::TooLong { slots: end, max: max_insn_cnt });
    }
    let mut starts = vec![false; end];
    let mut slot = 0;
    for insn in proof {
        starts[slot] = true;
        slot += insn.slots();
    }
    slot = 0;
    for insn in proof {
        check_insn(insn, slot, &starts)?;
        slot += insn.slots();
    }
    Ok(())
}

/// Checks the instruction at `slot` of a sequence that has an instruction at each slot where `starts` says so.
fn check_insn(insn: &Insn, slot: usize, starts: &[bool]) -> Result<(), ShapeError> {
    match *insn {
        Insn::Sidecar { .. } => return Err(ShapeError::Sidecar { slot }),
        Insn::Call { .. } => return Err(ShapeError::Call { slot }),
        Insn::Exit => return Err(ShapeError::Exit { slot }),
        Insn::MayGoto { .. } => return Err(ShapeError::MayGoto { slot }),
        Insn::LoadImm64 { kind, .. } if kind != 0 => return Err(ShapeError::PseudoImm64 { slot, kind }),
        _ => {}
    }
    let Some(offset) = insn.branch_offset() else {
        return Ok(());
    };
    let (next, end) = (slot + insn.slots(), starts.len());
    let target = next as i64 + i64::from(offset);
    match usize::try_from(target) {
        Ok(to) if to >= next && to < end && starts[to] => Ok(()),
        Ok(to) if to >= next && to < end => Err(ShapeError::IntoImm64 { slot, target }),
        Ok(to) if to == end => Ok(()),
        Ok(to) if to > end => Err(ShapeError::Outside { slot, target, end }),
        _ => Err(ShapeError::Backward { slot, target }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::insn::{AtomicOp, CallTarget, Cond, Size};
    use super::super::register::Reg;
    use super::*;

    const NOP: Insn = Insn::ja(0);
    const IMM64: Insn = Insn::load_imm64(Reg::R1, 1);

    #[test]
    fn length_counts_slots() {
        assert_eq!(check(&[], 4), Err(ShapeError::Empty));
        assert_eq!(check(&[IMM64, NOP], 3), Ok(()));
        assert_eq!(check(&[IMM64, NOP], 2), Err(ShapeError::TooLong { slots: 3, max: 2 }));
        assert_eq!(check(&[NOP], 0), Err(ShapeError::TooLong { slots: 1, max: 0 }));
    }

    #[test]
    fn what_leaves_the_sequence_is_refused_wherever_it_is() {
        let call = |target| Insn::Call { target };
        let refused = [
            (Insn::Sidecar { payload: 0 }, ShapeError::Sidecar { slot: 2 }),
            (call(CallTarget::Helper(1)), ShapeError::Call { slot: 2 }),
            (call(CallTarget::Local(0)), ShapeError::Call { slot: 2 }),
            (call(CallTarget::Kfunc { id: 1, off: 0 }), ShapeError::Call { slot: 2 }),
            (call(CallTarget::Register(Reg::R1)), ShapeError::Call { slot: 2 }),
            (call(CallTarget::Kop { id: 1, slot: 0 }), ShapeError::Call { slot: 2 }),
            (Insn::Exit, ShapeError::Exit { slot: 2 }),
            (Insn::MayGoto { off: 0 }, ShapeError::MayGoto { slot: 2 }),
        ];
        for (insn, error) in refused {
            assert_eq!(check(&[IMM64, insn, NOP], 8), Err(error), "{insn}");
        }
    }

    #[test]
    fn pseudo_immediates_are_refused() {
        for kind in 1..=6 {
            let insn = Insn::LoadImm64 { dst: Reg::R0, kind, imm: 0 };
            assert_eq!(check(&[NOP, insn], 8), Err(ShapeError::PseudoImm64 { slot: 1, kind }));
        }
    }

    #[test]
    fn jumps_stay_forward_and_inside() {
        // Slots: 0 and 1 immediate, 2 the jump, 3 and 4 immediate, 5 a no-op; the end is 6.
        let cases = [
            (-4, Err(ShapeError::Backward { slot: 2, target: -1 })),
            (-3, Err(ShapeError::Backward { slot: 2, target: 0 })),
            (-1, Err(ShapeError::Backward { slot: 2, target: 2 })),
            (0, Ok(())),
            (1, Err(ShapeError::IntoImm64 { slot: 2, target: 4 })),
            (2, Ok(())),
            (3, Ok(())),
            (4, Err(ShapeError::Outside { slot: 2, target: 7, end: 6 })),
            (i16::MAX, Err(ShapeError::Outside { slot: 2, target: 32770, end: 6 })),
            (i16::MIN, Err(ShapeError::Backward { slot: 2, target: -32765 })),
        ];
        for (off, expected) in cases {
            let jumps = [
                Insn::ja(off),
                Insn::Gotol { off: off.into() },
                Insn::jump(Cond::Eq, Reg::R1, 0, off),
                Insn::jump32(Cond::SLt, Reg::R1, Reg::R2, off),
            ];
            for jump in jumps {
                assert_eq!(check(&[IMM64, jump, IMM64, NOP], 8), expected, "{jump}");
            }
        }
    }

    #[test]
    fn everything_else_is_left_to_the_verifier() {
        let proof = [
            Insn::mov64(Reg::R10, 0),
            Insn::load(Size::B8, Reg::R0, Reg::R1, -1),
            Insn::store(Size::B1, Reg::R1, 0, 7),
            Insn::atomic(AtomicOp::CmpXchg, Size::B8, Reg::R1, 0, Reg::R2),
            Insn::LoadAbs { size: Size::B1, imm: 0 },
            Insn::LoadInd { size: Size::B4, src: Reg::R1, imm: 0 },
            Insn::bswap(Reg::R1, 64),
        ];
        assert_eq!(check(&proof, proof.len()), Ok(()));
    }
}
