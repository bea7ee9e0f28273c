// SPDX-License-Identifier: GPL-2.0-or-later
//! Regions put together again as a program.

use kop_ops::ebpf::Insn;
use kop_ops::program::{NOWHERE, SiteTarget};
use kop_ops::{Flow, Program};

use super::region::Item;
use crate::error::LowerError;
use crate::load::operation;
use crate::lower::retarget;

/// The program with `items` in place of its instructions, and the index before of each; operations that it calls are added to
/// `operations`.
///
/// A jump goes to the first item that is left of the code from its target on.
///
/// # Errors
/// [`LowerError`] when a jump does not reach.
pub(super) fn assemble(
    program: &Program,
    items: &[Item],
    operations: &mut Vec<SiteTarget>,
) -> Result<(Program, Vec<usize>), LowerError> {
    let flow = &program.flow;
    let mut insns = Vec::with_capacity(items.len());
    let mut origins = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Item::Kept(origin) => insns.push(flow.insns()[*origin]),
            Item::Move { to, from, .. } => insns.push(Insn::mov64(*to, *from)),
            Item::Site(site) => {
                insns.extend(&site.before);
                origins.extend(site.before.iter().map(|_| item.origin()));
                let id = operation(operations, site.kop.name(), &site.form.name);
                insns.extend(Insn::kop_site(site.payload, id, 0));
                origins.push(item.origin());
            }
        }
        origins.push(item.origin());
    }
    let is_jump: Vec<bool> = items
        .iter()
        .flat_map(|item| match item {
            Item::Kept(_) => vec![true],
            Item::Site(site) => vec![false; site.before.len() + 2],
            Item::Move { .. } => vec![false],
        })
        .collect();
    let target = |at: usize| {
        let target = flow.target(origins[at]).filter(|_| is_jump[at]);
        target.map_or(NOWHERE, |target| origins.partition_point(|origin| *origin < target) as u32)
    };
    let targets: Vec<u32> = (0..insns.len()).map(target).collect();
    retarget(&mut insns, &targets).map_err(|(index, offset)| LowerError::TooFar {
        program: program.name.clone(),
        index: origins[index],
        offset,
    })?;
    let flow =
        Flow::new(insns).map_err(|source| LowerError::Flow { program: program.name.clone(), source })?;
    Ok((Program { name: program.name.clone(), kind: program.kind, flow }, origins))
}
