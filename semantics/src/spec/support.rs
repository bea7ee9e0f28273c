// SPDX-License-Identifier: GPL-2.0-or-later
//! What the interpreter, and with it every engine of user space, does not run.

use kop_ops::Object;
use kop_ops::ebpf::{CallTarget, Insn};
use kop_ops::program::{MAP_INDEX, MAP_VALUE_INDEX};

/// An instruction that has no meaning here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("program `{program}`, instruction {index} (`{insn}`): {reason}")]
pub struct Unsupported {
    /// The program's name.
    pub program: String,
    /// The instruction's index.
    pub index: usize,
    /// The instruction.
    pub insn: Insn,
    /// Why, and what to do about it.
    pub reason: &'static str,
}

/// Says which instruction of an object has no meaning here, if there is one.
///
/// # Errors
/// [`Unsupported`] with the first.
pub fn check(object: &Object) -> Result<(), Unsupported> {
    for program in &object.programs {
        for (index, insn) in program.flow.insns().iter().enumerate() {
            if let Some(reason) = refusal(object, insn) {
                return Err(Unsupported { program: program.name.clone(), index, insn: *insn, reason });
            }
        }
    }
    Ok(())
}

fn refusal(object: &Object, insn: &Insn) -> Option<&'static str> {
    match *insn {
        Insn::LoadAbs { .. } | Insn::LoadInd { .. } => {
            Some("legacy packet loads are not run; load through the packet's data pointer")
        }
        Insn::Sidecar { .. } | Insn::Call { target: CallTarget::Kop { .. } } => {
            Some("a Kop site; lower it to its proof sequence first")
        }
        Insn::Call { target: CallTarget::Kfunc { .. } } => {
            Some("kernel functions are not here; helper functions are")
        }
        Insn::LoadImm64 { kind: 0, .. } => None,
        Insn::LoadImm64 { kind: MAP_INDEX, imm, .. } if imm >> 32 != 0 => {
            Some("the upper half of a map's index is zero")
        }
        Insn::LoadImm64 { kind: MAP_INDEX | MAP_VALUE_INDEX, imm, .. } => {
            let there = (imm as u32 as usize) < object.maps.len();
            (!there).then_some("there is no map of this index in the object")
        }
        Insn::LoadImm64 { .. } => {
            Some("this kind of 64-bit immediate is not loaded; name a map by its index")
        }
        _ => None,
    }
}
