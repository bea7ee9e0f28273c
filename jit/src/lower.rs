// SPDX-License-Identifier: GPL-2.0-or-later
//! Lowering: every Kop site of an object replaced by its proof sequence, as the kernel does before the verifier runs.

use kop_ops::ebpf::{CallTarget, Insn};
use kop_ops::program::{NOWHERE, SiteTarget, sites};
use kop_ops::{Catalog, Flow, Object, Program};

use crate::body::Expanded;
use crate::error::LowerError;
use crate::site::Called;

/// An object without Kop sites, and where its instructions come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lowered {
    /// The object; its programs keep their order, its maps and license are shared.
    pub object: Object,
    origins: Vec<Option<Vec<u32>>>,
}

impl Lowered {
    /// The index, in the program as it was, of the instruction `index` of the lowered program `program`: that of the
    /// sidecar for an instruction of a proof sequence.
    pub fn origin(&self, program: usize, index: usize) -> usize {
        self.origins[program].as_ref().map_or(index, |origins| origins[index] as usize)
    }
}

/// Replaces every Kop site of `object` by the proof sequence of its operation.
///
/// # Errors
/// [`LowerError`] for a site whose operation is unknown, refuses the payload or has a proof sequence that breaks the
/// kernel's rules; and for a conditional jump that the longer code carries out of its 16 bits. An unconditional
/// jump becomes a `gotol` then.
pub fn lower(object: &Object, catalog: &Catalog) -> Result<Lowered, LowerError> {
    let mut programs = Vec::with_capacity(object.programs.len());
    let mut origins = Vec::with_capacity(object.programs.len());
    for program in &object.programs {
        let (program, origin) = lower_program(program, catalog, &object.operations)?;
        programs.push(program);
        origins.push(origin);
    }
    let object =
        Object { programs, maps: object.maps.clone(), license: object.license.clone(), ..Object::default() };
    Ok(Lowered { object, origins })
}

fn lower_program(
    program: &Program,
    catalog: &Catalog,
    operations: &[SiteTarget],
) -> Result<(Program, Option<Vec<u32>>), LowerError> {
    let mut proofs = Vec::new();
    for (index, payload, id) in sites(program.flow.insns()) {
        let proof = Called::find(catalog, operations, payload, id).and_then(|called| called.proof());
        let named = |source| LowerError::Site { program: program.name.clone(), index, source };
        proofs.push((index, proof.map_err(named)?));
    }
    if proofs.is_empty() {
        return Ok((program.clone(), None));
    }
    let mut expanded = Expanded::new(&program.flow, &proofs);
    retarget(&mut expanded.insns, &expanded.targets).map_err(|(index, offset)| LowerError::TooFar {
        program: program.name.clone(),
        index: expanded.origins[index] as usize,
        offset,
    })?;
    let flow = Flow::new(expanded.insns)
        .map_err(|source| LowerError::Flow { program: program.name.clone(), source })?;
    Ok((Program { name: program.name.clone(), kind: program.kind, flow }, Some(expanded.origins)))
}

/// Gives every jump and local call the offset of its target; an error is the jump that does not reach, with its offset.
pub(crate) fn retarget(insns: &mut [Insn], targets: &[u32]) -> Result<(), (usize, i64)> {
    let mut slots = Vec::with_capacity(insns.len() + 1);
    slots.push(0);
    let mut slot = 0;
    for insn in &*insns {
        slot += insn.slots() as i64;
        slots.push(slot);
    }
    for (index, insn) in insns.iter_mut().enumerate() {
        let target = targets[index];
        if target == NOWHERE {
            continue;
        }
        let offset = slots[target as usize] - slots[index + 1];
        let far = i32::try_from(offset).map_err(|_| (index, offset))?;
        *insn = match *insn {
            Insn::Call { target: CallTarget::Local(_) } => Insn::Call { target: CallTarget::Local(far) },
            Insn::Ja { .. } if i16::try_from(far).is_err() => Insn::Gotol { off: far },
            jump => jump.with_branch_offset(far).ok_or((index, offset))?,
        };
    }
    Ok(())
}
