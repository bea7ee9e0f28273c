// SPDX-License-Identifier: GPL-2.0-or-later
//! What the back ends compile: instructions by index, in which each Kop site is native code already or replaced by its proof
//! sequence.

use std::borrow::Cow;
use std::ops::Range;

use kop_ops::code::SiteCode;
use kop_ops::ebpf::Insn;
use kop_ops::program::{Effects, NOWHERE, sites};
use kop_ops::{Flow, Program};

use crate::Options;
use crate::error::CompileError;
use crate::site::{Called, Native};

/// Instructions with the targets of their jumps as indices.
#[derive(Debug)]
pub(crate) struct Body<'a> {
    /// The instructions.
    pub insns: Cow<'a, [Insn]>,
    /// Where each goes: an index, or [`NOWHERE`].
    pub targets: Cow<'a, [u32]>,
    /// What each does to registers.
    pub effects: Cow<'a, [Effects]>,
    /// Where functions start, ascending, the first with instruction 0.
    pub functions: Cow<'a, [u32]>,
    /// The index in the program of each instruction, where that is not its own.
    origins: Option<Vec<u32>>,
    /// The native code of the sites that keep it, by ascending index of the sidecar.
    natives: Vec<(u32, Native)>,
    /// What became of each site, by ascending index.
    pub sites: Vec<SiteCode>,
}

impl<'a> Body<'a> {
    /// Decides what becomes of each Kop site of `program`.
    pub fn new(program: &'a Program, options: &Options) -> Result<Self, CompileError> {
        let mut body = Self::with_sites(program, options)?;
        // Few programs go back to their first instruction at all.
        if body.targets.contains(&0) && (0..body.insns.len()).any(|index| body.calls_main(index)) {
            body.separate_main();
        }
        Ok(body)
    }

    fn with_sites(program: &'a Program, options: &Options) -> Result<Self, CompileError> {
        let flow = &program.flow;
        let plain = Body {
            insns: flow.insns().into(),
            targets: flow.targets().into(),
            effects: flow.effects().into(),
            functions: flow.functions().into(),
            origins: None,
            natives: Vec::new(),
            sites: Vec::new(),
        };
        if !flow.has_sites() {
            return Ok(plain);
        }
        let mut natives = Vec::new();
        let mut proofs = Vec::new();
        let mut outcomes = Vec::new();
        for (index, payload, id) in sites(flow.insns()) {
            let failed = |source| CompileError::Site { index, source };
            let called = Called::find(options.catalog, options.operations, payload, id).map_err(failed)?;
            let proof = called.proof().map_err(failed)?;
            let fallback = match called.native(&proof, options).map_err(failed)? {
                Ok(native) => {
                    natives.push((index as u32, native));
                    None
                }
                Err(reason) => {
                    proofs.push((index, proof));
                    Some(reason)
                }
            };
            outcomes.push(SiteCode { index, fallback });
        }
        if proofs.is_empty() {
            return Ok(Body { natives, sites: outcomes, ..plain });
        }
        let expanded = Expanded::new(flow, &proofs);
        for (index, _) in &mut natives {
            *index = expanded.starts[*index as usize];
        }
        let functions = flow.functions().iter().map(|&start| expanded.starts[start as usize]);
        Ok(Body {
            functions: functions.collect(),
            effects: expanded.insns.iter().map(Effects::of).collect(),
            insns: expanded.insns.into(),
            targets: expanded.targets.into(),
            origins: Some(expanded.origins),
            natives,
            sites: outcomes,
        })
    }

    fn calls_main(&self, index: usize) -> bool {
        self.targets[index] == 0 && self.insns[index].is_call()
    }

    /// The program's own instructions are called as a function, too. That function becomes a copy behind all others, since
    /// the way into a program and out of it differs from a function's.
    fn separate_main(&mut self) {
        let copy = self.insns.len();
        let end = self.functions.get(1).map_or(copy, |&next| next as usize);
        let targets = self.targets.to_mut();
        for (target, insn) in targets.iter_mut().zip(self.insns.iter()) {
            if *target == 0 && insn.is_call() {
                *target = copy as u32;
            }
        }
        for index in 0..end {
            let target = targets[index];
            let moves = target < end as u32 && !self.insns[index].is_call();
            targets.push(if moves { target + copy as u32 } else { target });
        }
        let insns = self.insns.to_mut();
        insns.extend_from_within(..end);
        self.effects.to_mut().extend_from_within(..end);
        self.functions.to_mut().push(copy as u32);
        let origins = self.origins.get_or_insert_with(|| (0..copy as u32).collect());
        origins.extend_from_within(..end);
        let natives = self.natives.iter().filter(|(at, _)| (*at as usize) < end);
        let copied: Vec<_> = natives.map(|(at, native)| (at + copy as u32, native.clone())).collect();
        self.natives.extend(copied);
    }

    /// Whether instructions have the indices that they have in the program.
    pub fn is_as_written(&self) -> bool {
        self.origins.is_none()
    }

    /// The index in the program of the instruction `index`.
    pub fn origin(&self, index: usize) -> u32 {
        self.origins.as_ref().map_or(index as u32, |origins| origins[index])
    }

    /// The load or store among some instructions, if there is one.
    pub fn access_in(&self, mut range: Range<usize>) -> Option<usize> {
        range.find(|index| matches!(self.insns[*index], Insn::Load { .. } | Insn::Store { .. }))
    }

    /// The native code of the site whose sidecar is the instruction `index`.
    pub fn native(&self, index: usize) -> Option<&Native> {
        let found = self.natives.binary_search_by_key(&(index as u32), |(at, _)| *at).ok()?;
        Some(&self.natives[found].1)
    }

    /// Whether a site keeps its native code.
    pub fn has_natives(&self) -> bool {
        !self.natives.is_empty()
    }

    /// Where the jump or local call `index` goes.
    pub fn target(&self, index: usize) -> usize {
        let target = self.targets[index];
        assert!(target != NOWHERE, "a jump or local call has a target");
        target as usize
    }
}

/// Instructions in which sites are replaced by instructions.
#[derive(Debug)]
pub(crate) struct Expanded {
    /// The instructions; offsets of jumps are those from before.
    pub insns: Vec<Insn>,
    /// Where each goes: an index, or [`NOWHERE`].
    pub targets: Vec<u32>,
    /// The index before of each.
    pub origins: Vec<u32>,
    /// The index now of each instruction from before.
    pub starts: Vec<u32>,
}

impl Expanded {
    /// Replaces the sites whose sidecars stand at the ascending indices in `proofs`.
    pub fn new(flow: &Flow, proofs: &[(usize, Vec<Insn>)]) -> Self {
        let (insns, targets, origins) = (Vec::new(), Vec::new(), Vec::new());
        let mut this = Self { insns, targets, origins, starts: Vec::with_capacity(flow.insns().len()) };
        let mut proofs = proofs.iter().peekable();
        let mut outer = Vec::new();
        let mut index = 0;
        while index < flow.insns().len() {
            let start = this.insns.len() as u32;
            this.starts.push(start);
            if let Some((_, proof)) = proofs.next_if(|(at, _)| *at == index) {
                this.push_proof(index, proof);
                this.starts.push(start);
                index += 2;
                continue;
            }
            if let Some(target) = flow.target(index) {
                outer.push((this.insns.len(), target));
            }
            this.insns.push(flow.insns()[index]);
            this.targets.push(NOWHERE);
            this.origins.push(index as u32);
            index += 1;
        }
        for (index, target) in outer {
            this.targets[index] = this.starts[target];
        }
        this
    }

    fn push_proof(&mut self, index: usize, proof: &[Insn]) {
        let start = self.insns.len();
        let slots: Vec<usize> =
            proof.iter().scan(0, |slot, insn| Some(std::mem::replace(slot, *slot + insn.slots()))).collect();
        for (at, insn) in proof.iter().enumerate() {
            let target = insn.branch_offset().map_or(NOWHERE, |offset| {
                let to = slots[at] as i64 + 1 + i64::from(offset);
                (start + slots.partition_point(|slot| (*slot as i64) < to)) as u32
            });
            self.insns.push(*insn);
            self.targets.push(target);
            self.origins.push(index as u32);
        }
    }
}
