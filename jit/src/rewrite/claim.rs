// SPDX-License-Identifier: GPL-2.0-or-later
//! What has to hold for an edit, worked out from the program and the edit alone: whoever made the edit is not asked.

use std::ops::Range;

use kop_ops::ebpf::{Insn, Reg, RegSet, Width};

use super::plan::{Edit, Reason};
use super::region::{Item, Region};
use super::value::{Graph, Node, Registers, Value};

/// That one fragment of a program can stand for another: where the registers hold the same before, those of `live` hold the same
/// behind, and memory is the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The instructions as they were.
    pub fragment: Vec<Insn>,
    /// What is to stand there, with the proof sequence of the new site in its place.
    pub replacement: Vec<Insn>,
    /// The registers that matter behind.
    pub live: RegSet,
}

/// The parts of a region that an edit touches.
struct Touched {
    /// The places before, from the first that has to be looked at to the last that goes.
    range: Range<usize>,
    /// The places in that range whose instructions stay and matter to what goes.
    needed: Vec<usize>,
}

/// How many instructions a claim looks back for how values depend on each other, at first and at last.
const NEAR: usize = 8;
const FAR: usize = 64;

/// Checks what no formula shows, and says what is to be proved: the shortest claim first, then those that begin where it is decided
/// which bits the values may have that the edit is about, and then ever farther back. One of them has to hold.
///
/// # Errors
/// Why the edit is not allowed.
pub(super) fn claims(
    graph: &Graph,
    (region, states): (&Region, &[Registers]),
    edit: &Edit,
    is_target: &[bool],
) -> Result<Vec<Claim>, Reason> {
    let site = edit.site();
    let after = Region { items: edit.items.clone(), ..region.clone() };
    let garbage = after.live_behind(edit.place).intersect(site.dead);
    if let Some(register) = garbage.iter().next() {
        return Err(format!("its temporary {register} is needed behind"));
    }
    let (first, last) = edit.span();
    let from = |start: usize| -> Result<Claim, Reason> {
        let range = start..last + 1;
        entered(region, range.clone(), is_target)?;
        let touched = Touched { needed: needed(region, range.clone(), edit), range };
        let (mut fragment, mut replacement) = fragments(region, edit, &touched)?;
        let known = numbers(graph, &states[start], [&fragment, &replacement]);
        fragment.splice(0..0, known.iter().copied());
        replacement.splice(0..0, known);
        // Behind the last that goes, both are the same instructions.
        Ok(Claim { fragment, replacement, live: region.live_behind(last) })
    };
    let mut claims = vec![from(first)?];
    let known = known_from(graph, (region, states), edit);
    for start in [known, first.saturating_sub(NEAR), first.saturating_sub(FAR)] {
        claims.extend(from(start));
    }
    claims.dedup();
    Ok(claims)
}

/// What registers hold at the start of a claim that are read there, as far as it is a number.
///
/// Where a region begins, numbers are known from the program as it was: what matters there is what it was.
fn numbers(graph: &Graph, registers: &Registers, sides: [&Vec<Insn>; 2]) -> Vec<Insn> {
    let taken = sides.into_iter().fold(RegSet::EMPTY, |all, side| {
        let (mut taken, mut written) = (all, RegSet::EMPTY);
        for insn in side {
            taken = taken.union(insn.reads().minus(written));
            written = written.union(insn.writes());
        }
        taken
    });
    let number = |register: Reg| match graph.node(registers[register.index()]) {
        Node::Constant(number) => Some(Insn::load_imm64(register, number)),
        _ => None,
    };
    taken.iter().filter_map(number).collect()
}

/// The first place from which on it is known which bits the values may have that the edit is about.
fn known_from(graph: &Graph, (region, states): (&Region, &[Registers]), edit: &Edit) -> usize {
    let (first, _) = edit.span();
    let read = |gone: &usize| {
        let held = |register: Reg| states[*gone][register.index()];
        region.reads(&region.items[*gone]).iter().map(held).collect::<Vec<_>>()
    };
    let mut waiting: Vec<Value> = edit.removed.iter().flat_map(read).collect();
    let mut seen = Vec::new();
    let mut start = first;
    while let Some(value) = waiting.pop() {
        if graph.mask(value) == u64::MAX || seen.contains(&value) {
            continue;
        }
        seen.push(value);
        let made = (first.saturating_sub(FAR)..first)
            .rev()
            .find(|&place| !states[place].contains(&value) && states[place + 1].contains(&value));
        start = start.min(made.unwrap_or(start));
        if let Node::Computed(insn, left, right) = graph.node(value) {
            let narrow =
                matches!(insn, Insn::Alu { width: Width::W32, .. }) && graph.mask(value) == 0xffff_ffff;
            waiting.extend([left, right].iter().filter(|_| !narrow));
        }
    }
    start
}

/// Looks for what goes into the middle of `range`.
///
/// # Errors
/// The instruction that a jump goes to.
pub(super) fn entered(region: &Region, range: Range<usize>, is_target: &[bool]) -> Result<(), Reason> {
    let (first, last) = (region.items[range.start].origin(), region.items[range.end - 1].origin());
    match (first + 1..=last).find(|origin| is_target[*origin]) {
        Some(origin) => Err(format!("a jump goes to instruction {origin}, into the middle of it")),
        None => Ok(()),
    }
}

/// The places in `range` that stay and cannot be left out on both sides: those that touch a register that the edit concerns, or that
/// concerns what touches one; and what may write memory that a load reads that goes.
fn needed(region: &Region, range: Range<usize>, edit: &Edit) -> Vec<usize> {
    let site = edit.site();
    let gone = |place: &usize| edit.removed.binary_search(place).is_ok();
    let (first, _) = edit.span();
    let (mut changed, mut taken) = (site.writes(), site.reads());
    let stores = edit.stores(region);
    let mut loads = site.accesses();
    for &place in &edit.removed {
        let item = &region.items[place];
        changed = changed.union(region.writes(item));
        taken = taken.union(region.reads(item));
        loads |= region.insn(place).is_some_and(|insn| insn.access().is_some());
    }
    let mut needed: Vec<usize> = Vec::new();
    loop {
        let before = (needed.len(), changed, taken);
        for place in range.clone().filter(|place| !gone(place)) {
            let item = &region.items[place];
            let (reads, writes) = (region.reads(item), region.writes(item));
            let leaves = match item {
                Item::Kept(origin) => region.live.at_target(region.flow, *origin),
                Item::Site(_) | Item::Move { .. } => RegSet::EMPTY,
            };
            // Before the first that goes, nothing differs: such an instruction says what registers hold, and that is all.
            let touches = place >= first && !reads.union(writes).union(leaves).intersect(changed).is_empty()
                || !writes.intersect(taken).is_empty()
                || loads && item_may_write(region, item)
                || stores.contains(&place) && sees_memory(region, item);
            if touches && !needed.contains(&place) {
                needed.push(place);
                (changed, taken) = (changed.union(writes), taken.union(reads));
            }
        }
        if (needed.len(), changed, taken) == before {
            needed.sort_unstable();
            return needed;
        }
    }
}

fn item_may_write(region: &Region, item: &Item) -> bool {
    let may_write =
        |insn: &Insn| matches!(insn, Insn::Store { .. } | Insn::Atomic { .. } | Insn::Call { .. });
    match item {
        Item::Kept(origin) => may_write(&region.flow.insns()[*origin]),
        Item::Site(site) => site.proof.iter().any(may_write),
        Item::Move { .. } => false,
    }
}

/// Whether it matters to an item, or to what is behind a way out, in which order stores around it are made.
pub(super) fn sees_memory(region: &Region, item: &Item) -> bool {
    match item {
        Item::Kept(origin) => {
            let insn = &region.flow.insns()[*origin];
            let is_packet = matches!(insn, Insn::LoadAbs { .. } | Insn::LoadInd { .. });
            insn.access().is_some() || is_packet || insn.is_call() || insn.branch_offset().is_some()
        }
        Item::Site(site) => site.accesses(),
        Item::Move { .. } => false,
    }
}

/// Both sides, with what is not needed left out of both.
fn fragments(region: &Region, edit: &Edit, touched: &Touched) -> Result<(Vec<Insn>, Vec<Insn>), Reason> {
    let (mut fragment, mut replacement) = (Vec::new(), Vec::new());
    let mut now =
        edit.items.iter().skip_while(|item| item.origin() < region.items[touched.range.start].origin());
    for place in touched.range.clone() {
        let item = &region.items[place];
        let gone = edit.removed.binary_search(&place).is_ok();
        let is_needed = gone || touched.needed.contains(&place);
        if is_needed {
            fragment.extend(stands_for(region, item)?);
        }
        let has_new = edit.site().at == item.origin() || edit.moved == Some(place);
        if has_new || !gone {
            let item = now
                .next()
                .expect("an edit keeps what does not go, and puts a site and a move in place of what goes");
            if is_needed {
                replacement.extend(stands_for(region, item)?);
            }
        }
    }
    Ok((fragment, replacement))
}

/// An item as instructions that a formula can be made of.
fn stands_for(region: &Region, item: &Item) -> Result<Vec<Insn>, Reason> {
    let origin = match item {
        Item::Site(site) => return Ok(site.insns()),
        Item::Move { to, from, .. } => return Ok(vec![Insn::mov64(*to, *from)]),
        Item::Kept(origin) => *origin,
    };
    let insn = region.flow.insns()[origin];
    let what = match insn {
        Insn::Call { .. } | Insn::LoadAbs { .. } | Insn::LoadInd { .. } => "a call",
        Insn::LoadImm64 { kind: 1.., .. } => "the address of a map",
        _ if insn.branch_offset().is_some() => "a jump",
        _ => return Ok(vec![insn]),
    };
    Err(format!("{what} in between, instruction {origin}, depends on it or it on that"))
}
