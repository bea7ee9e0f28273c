// SPDX-License-Identifier: GPL-2.0-or-later
//! What the assembler encodes is decoded as what it was, and runs.

use kop_ops::aarch64::{Group, Insn, Mem, SysReg, forms};

use super::*;

/// What stays outside, and why.
fn outside(insn: &Insn) -> Option<&'static str> {
    match insn {
        Insn::Svc { .. } => Some("enters the kernel"),
        Insn::Mrs { register, .. } | Insn::Msr { register, .. } if *register != SysReg::Nzcv => {
            Some("a system register, which an emit may not touch")
        }
        insn if insn.group() == Group::Simd => Some("not yet"),
        _ => None,
    }
}

/// The instruction as a decoder says it: offsets without an encoding of the scaled form are unscaled.
fn canonical(mut insn: Insn) -> Insn {
    let (mem, bytes) = match &mut insn {
        Insn::Load { size, mem, .. } | Insn::LoadSigned { size, mem, .. } | Insn::Store { size, mem, .. } => {
            (mem, size.bytes())
        }
        Insn::VLoad { size, mem, .. } | Insn::VStore { size, mem, .. } => (mem, size.bytes()),
        _ => return insn,
    };
    if let Mem::Offset { base, offset } = *mem
        && (offset < 0 || offset % bytes as i32 != 0)
    {
        *mem = Mem::Unscaled { base, offset };
    }
    insn
}

fn decoded(insn: &Insn) -> Result<Operation, crate::native::Unsupported> {
    let word = insn.encode().expect("a form has an encoding");
    decode(&word.to_le_bytes()).map(|decoded| decoded[0].operation)
}

#[test]
fn what_is_encoded_is_decoded() {
    for insn in forms::samples() {
        let operation = decoded(&insn);
        let expected = match insn {
            Insn::Prfm { .. } | Insn::Hint(_) | Insn::Dmb(_) | Insn::Dsb(_) | Insn::Isb | Insn::Sb => {
                Operation::Nothing
            }
            _ => Operation::Insn(canonical(insn)),
        };
        match outside(&insn) {
            Some(_) => assert!(operation.is_err(), "{insn}"),
            None => assert_eq!(operation, Ok(expected), "{insn}"),
        }
    }
}
