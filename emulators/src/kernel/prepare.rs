// SPDX-License-Identifier: GPL-2.0-or-later
//! A program as the kernel is given it: what stands before and behind its own instructions.
//!
//! A raw program has no context, so that two instructions before it load r1 and r2 with a map's value that is the data
//! window, and the length. The kernel gives back 32 bits of r0: where all of it is wanted, the exits of the program (not
//! those of its subprograms) become jumps to an end that stores r0 to another map's value.

use kop_ops::ebpf::{CallTarget, Insn, Operand, Reg, Size};
use kop_ops::program::{Flow, MAP_INDEX, MAP_VALUE_INDEX};
use kop_ops::{Object, Program, ProgramKind};

use super::KernelError;

/// What is put around a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Frame {
    /// The bytes of data at the start of the window of a raw program: what r2 holds.
    pub length: u64,
    /// Whether r0 is stored at the end.
    pub observe: bool,
}

/// Which of the two maps beside those of the object.
pub(super) const WINDOW: usize = 0;
/// The map that r0 is stored to.
pub(super) const RESULT: usize = 1;

/// A program's instructions for the kernel.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The instructions.
    pub insns: Vec<Insn>,
    /// How many slots stand before the program.
    pub prologue: usize,
}

/// Puts `frame` around a program of `object`. The window and the result map have the indices after the object's maps.
///
/// # Errors
/// [`KernelError::Unsupported`] for what the kernel has no form for, or takes from places that are not known here.
pub(super) fn prepare(object: &Object, program: &Program, frame: Frame) -> Result<Prepared, KernelError> {
    for (index, insn) in program.flow.insns().iter().enumerate() {
        check(insn, object.maps.len())
            .map_err(|reason| KernelError::Unsupported(format!("instruction {index}: {reason}")))?;
    }
    let value = |dst, map: usize| Insn::LoadImm64 {
        dst,
        kind: MAP_VALUE_INDEX,
        imm: (object.maps.len() + map) as u64,
    };
    let mut insns = match program.kind {
        ProgramKind::Raw => vec![value(Reg::R1, WINDOW), Insn::mov64(Reg::R2, length(frame)?)],
        ProgramKind::Xdp | ProgramKind::Tc => Vec::new(),
    };
    let prologue = insns.iter().map(Insn::slots).sum();
    if frame.observe {
        insns.extend(observed(&program.flow, value(Reg::R1, RESULT))?);
    } else {
        insns.extend_from_slice(program.flow.insns());
    }
    Ok(Prepared { insns, prologue })
}

fn length(frame: Frame) -> Result<Operand, KernelError> {
    i32::try_from(frame.length).map(Operand::Imm).map_err(|_| {
        KernelError::Unsupported(format!("{} bytes of data do not fit the window", frame.length))
    })
}

fn check(insn: &Insn, maps: usize) -> Result<(), String> {
    match *insn {
        Insn::LoadImm64 { kind: MAP_INDEX | MAP_VALUE_INDEX, imm, .. } if imm as u32 as usize >= maps => {
            Err(format!("there is no map with index {}", imm as u32))
        }
        Insn::LoadImm64 { kind: 0 | MAP_INDEX | MAP_VALUE_INDEX, .. } => Ok(()),
        Insn::LoadImm64 { kind, .. } => Err(format!(
            "a 64-bit immediate of kind {kind} is unknown here: load the program from its object file"
        )),
        Insn::Sidecar { .. } | Insn::Call { target: CallTarget::Kop { .. } } => {
            Err("a Kop site, which a kernel without Kops refuses: lower it to its proof sequence".to_owned())
        }
        Insn::Call { target: CallTarget::Kfunc { .. } } => {
            Err("a call of a kernel function, which other engines do not have".to_owned())
        }
        Insn::Call { target: CallTarget::Register(_) } => {
            Err("a call by register, which the verifier has no form for".to_owned())
        }
        _ => Ok(()),
    }
}

/// The instructions of `flow` with the exits of its first function replaced by jumps to its end, which stores r0.
fn observed(flow: &Flow, result: Insn) -> Result<Vec<Insn>, KernelError> {
    let end = flow.functions().get(1).map_or(flow.insns().len(), |index| *index as usize);
    let epilogue = [result, Insn::store(Size::B8, Reg::R1, 0, Reg::R0), Insn::Exit];
    if !flow.insns()[..end].contains(&Insn::Exit) {
        return Ok(flow.insns().to_vec());
    }
    let inserted: usize = epilogue.iter().map(Insn::slots).sum();
    let mut insns = Vec::with_capacity(flow.insns().len() + epilogue.len());
    for (index, insn) in flow.insns().iter().enumerate() {
        if index == end {
            insns.extend(epilogue);
        }
        let inside = index < end;
        insns.push(match insn {
            Insn::Exit if inside => jump(flow.slot(end) - flow.slot(index) - 1),
            _ => moved(flow, index, end, inserted as i32).ok_or_else(|| {
                KernelError::Unsupported(format!(
                    "instruction {index}: the jump is too far with what is added"
                ))
            })?,
        });
    }
    if end == flow.insns().len() {
        insns.extend(epilogue);
    }
    Ok(insns)
}

fn jump(slots: usize) -> Insn {
    match i16::try_from(slots) {
        Ok(off) => Insn::Ja { off },
        Err(_) => Insn::Gotol { off: slots as i32 },
    }
}

/// The instruction `index`, reaching over what is inserted before the instruction `end`.
fn moved(flow: &Flow, index: usize, end: usize, inserted: i32) -> Option<Insn> {
    let insn = flow.insns()[index];
    let Some(target) = flow.target(index) else {
        return Some(insn);
    };
    let by = match (index < end, target < end) {
        (true, false) => inserted,
        (false, true) => -inserted,
        _ => return Some(insn),
    };
    match insn {
        Insn::Call { target: CallTarget::Local(offset) } => {
            Some(Insn::Call { target: CallTarget::Local(offset + by) })
        }
        _ => insn.with_branch_offset(insn.branch_offset()? + by),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kop_ops::ebpf::Cond;

    fn raw(insns: &[Insn]) -> (Object, Program) {
        let flow = Flow::new(insns.to_vec()).expect("a program");
        let program = Program { name: "p".to_owned(), kind: ProgramKind::Raw, flow };
        (Object { programs: vec![program.clone()], ..Object::default() }, program)
    }

    #[test]
    fn exits_lead_to_the_end_of_the_function() {
        let call = |offset| Insn::Call { target: CallTarget::Local(offset) };
        let (object, program) = raw(&[
            Insn::jump(Cond::Eq, Reg::R1, 0, 1),
            Insn::Exit,
            call(1),
            Insn::Exit,
            Insn::mov64(Reg::R0, 1),
            Insn::Exit,
        ]);
        let prepared =
            prepare(&object, &program, Frame { length: 3, observe: true }).expect("the kernel has all of it");
        let value = |dst, index| Insn::LoadImm64 { dst, kind: MAP_VALUE_INDEX, imm: index };
        let expected = [
            value(Reg::R1, 0),
            Insn::mov64(Reg::R2, 3),
            Insn::jump(Cond::Eq, Reg::R1, 0, 1),
            Insn::ja(2),
            call(5),
            Insn::ja(0),
            value(Reg::R1, 1),
            Insn::store(Size::B8, Reg::R1, 0, Reg::R0),
            Insn::Exit,
            Insn::mov64(Reg::R0, 1),
            Insn::Exit,
        ];
        assert_eq!((prepared.insns, prepared.prologue), (expected.to_vec(), 3));
    }

    #[test]
    fn what_the_kernel_has_no_form_for_is_named() {
        for (insn, reason) in [
            (Insn::LoadImm64 { dst: Reg::R1, kind: MAP_INDEX, imm: 0 }, "no map with index 0"),
            (Insn::LoadImm64 { dst: Reg::R1, kind: 4, imm: 0 }, "kind 4"),
            (Insn::Call { target: CallTarget::Register(Reg::R1) }, "call by register"),
            (Insn::Call { target: CallTarget::Kfunc { id: 1, off: 0 } }, "kernel function"),
        ] {
            let (object, program) = raw(&[insn, Insn::Exit]);
            let error =
                prepare(&object, &program, Frame { length: 0, observe: false }).expect_err("it has none");
            assert!(error.to_string().contains(reason), "{error}");
            assert!(error.to_string().starts_with("instruction 0"), "{error}");
        }
    }
}
