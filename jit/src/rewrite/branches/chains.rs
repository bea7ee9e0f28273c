// SPDX-License-Identifier: GPL-2.0-or-later
//! One comparison in place of the two of a chain.

use std::collections::HashSet;

use kop_ops::Flow;
use kop_ops::ebpf::{AluOp, Cond, Insn, RegSet};

use super::chain::{Chain, Chained, Flag};
use super::diamond::free;
use super::ladder::always;
use super::linear::{laid_out, ordered, owned, predecessors};
use super::{Branching, Made, Splice, proved};
use crate::load::operation;
use crate::rewrite::constants::Constants;
use crate::rewrite::context::Contexts;
use crate::rewrite::liveness::Liveness;
use crate::rewrite::plan::Reason;
use crate::rewrite::{Claim, Miss, Planted};

/// Cycles of a `compare_chain`, and how many of the instructions before it run in one.
const CHAIN: u64 = 5;
const AT_ONCE: u64 = 2;

impl Branching<'_, '_> {
    /// Makes the chains that there are: the places of their branches, as they were.
    pub(super) fn chains(&mut self) -> HashSet<usize> {
        let (mut looked_at, mut all) = (HashSet::new(), HashSet::new());
        while let Some(chain) = self.next_chain(&looked_at) {
            looked_at.extend(chain.branches.map(|branch| self.origins[branch]));
            let at = self.origins[chain.branches[0]];
            let made = self.chained(&chain).and_then(|made| self.apply(made));
            match made {
                Ok(()) => {
                    all.insert(at);
                }
                Err(reason) => {
                    let (kop, form) = ("compare_chain".to_owned(), "both64".to_owned());
                    self.misses.push(Miss { program: self.number, at, kop, form, reason });
                }
            }
        }
        all
    }

    fn next_chain(&self, looked_at: &HashSet<usize>) -> Option<Chain> {
        let flow = &self.program.flow;
        let before = predecessors(flow);
        let is_new = |chain: &Chain| chain.branches.iter().all(|at| !looked_at.contains(&self.origins[*at]));
        (0..flow.insns().len()).filter_map(|first| Chain::new(flow, first, &before)).find(is_new)
    }

    fn chained(&mut self, chain: &Chain) -> Result<Made, Reason> {
        let flow = &self.program.flow;
        let lives = Liveness::with_sites(flow, self.options.catalog, &self.operations);
        let constants = Constants::new(flow);
        let known = |register| constants.before(chain.branches[0], register);
        let flag = chain.flag(flow, known);
        let ways = match &flag {
            Some(flag) => [flag.join; 2],
            None => [chain.both, chain.others[0]],
        };
        let [both, other] = ways.map(|index| lives.before(index));
        let live = both.union(other);
        let kept = if self.options.planted == Some(Planted::IgnoredLiveness) { RegSet::EMPTY } else { live };
        let named = chain.named(flow);
        let flagged = flag.as_ref().map(|flag| flag.register);
        let mut free = free(flow, kept.union(named).union(flagged.map_or(RegSet::EMPTY, RegSet::from)));
        let direct = flagged.filter(|register| !named.has(*register));
        let contexts = Contexts::new(&self.program);
        let chained = chain.chained(flow, other, (&contexts, direct), &mut free)?;
        // What the claim says of the result is that it is the flag: that nothing else is wanted there is seen here.
        if self.options.checked && flag.is_none() && live.has(chained.result) {
            return Err(format!("{}, which would have the result, is needed behind", chained.result));
        }
        self.chain_pays(chain, &chained, flag.is_some())?;
        let mut operands = chained.operands.clone();
        if self.options.planted == Some(Planted::SwappedSides) {
            exchange(&mut operands);
        }
        let site = self.site(chain.branches[0], ("compare_chain", chained.form), &operands)?;
        let mut made = match &flag {
            Some(flag) => {
                let number = known(flag.register).map(|number| Insn::load_imm64(flag.register, number));
                Rest::flag(flow, chain, flag, (&chained, number))?
            }
            None => Rest::jump(flow, chain, &chained, chain.written(flow).intersect(both).minus(other))?,
        };
        made.before.extend(chained.code.iter().chain(&site.proof));
        made.before.append(&mut made.behind);
        let live = if flag.is_some() { live } else { live.union(chained.result.into()) };
        let claim = Claim { fragment: made.fragment, replacement: made.before, live };
        let proved = proved(self.options, self.validator, &claim)?;
        let mut code = chained.code;
        let id = operation(&mut self.operations, site.kop.name(), &site.form.name);
        code.extend(Insn::kop_site(site.payload, id, 0));
        let leaves = made.leaf.map(|leaf| (code.len(), leaf)).into_iter().collect();
        code.extend(made.rest);
        let at = chain.branches[0];
        let gone = owned(&self.program.flow, at, &made.nodes);
        let found = self.found(at, &site, &gone, (claim, proved));
        Ok(Made { splice: Splice { at, gone, code, leaves, next: Some(made.next) }, found: vec![found] })
    }

    /// Whether a chain pays: where control still goes two ways, some of its predictions are wrong.
    fn chain_pays(&self, chain: &Chain, chained: &Chained, is_flag: bool) -> Result<(), Reason> {
        let cycles = CHAIN + (chained.code.len() as u64).div_ceil(AT_ONCE);
        let branches = chain.branches.map(|branch| self.origins[branch]);
        let both = (!is_flag).then_some(chain.taken[1]);
        self.options.branches.allow_pair(self.number, branches, both, cycles)
    }
}

/// What goes with a chain, and what comes behind what computes it.
struct Rest {
    /// What is claimed to be replaced.
    fragment: Vec<Insn>,
    /// What is claimed to stand there before what computes the chain, and behind it.
    before: Vec<Insn>,
    behind: Vec<Insn>,
    /// What stands behind it in the program; where its first instruction goes, if that is a jump; and where it goes on.
    rest: Vec<Insn>,
    leaf: Option<usize>,
    next: usize,
    /// What may go.
    nodes: Vec<usize>,
}

impl Rest {
    /// A jump by what was computed. `garbage` matters only where both hold.
    fn jump(flow: &Flow, chain: &Chain, chained: &Chained, garbage: RegSet) -> Result<Self, Reason> {
        let result = chained.result;
        let fragment = chain.fragment(flow, result, garbage)?;
        let mut behind = Vec::new();
        if !garbage.is_empty() {
            behind.push(Insn::jump(Cond::Ne, result, 0, garbage.len() as i16));
            behind.extend(garbage.iter().map(|register| Insn::mov64(register, 0)));
        }
        // The way on is the one that came behind the second comparison.
        let (cond, leaf, next) = match chain.both == chain.branches[1] + 1 {
            true => (Cond::Eq, chain.others[1], chain.both),
            false => (Cond::Ne, chain.both, chain.others[1]),
        };
        let mut nodes = chain.nodes();
        let [first, second] = chain.others;
        // A jump to which nothing but the first comparison leads would never run.
        if first != second && always(flow, first).is_some() {
            nodes.push(first);
        }
        let rest = vec![Insn::jump(cond, result, 0, 0)];
        Ok(Self { fragment, before: Vec::new(), behind, rest, leaf: Some(leaf), next, nodes })
    }

    /// A flag, which is `known` before.
    fn flag(
        flow: &Flow,
        chain: &Chain,
        flag: &Flag,
        (chained, known): (&Chained, Option<Insn>),
    ) -> Result<Self, Reason> {
        let nodes: Vec<usize> = chain.nodes().into_iter().chain(flag.nodes.iter().copied()).collect();
        let order = ordered(flow, chain.branches[0], &nodes.iter().copied().collect())?;
        let before: Vec<Insn> = known.into_iter().collect();
        let mut fragment = before.clone();
        fragment.extend(laid_out(flow, &order, &[(vec![flag.join], Vec::new())])?);
        let mut rest = Vec::new();
        if chained.result != flag.register {
            rest.push(Insn::mov64(flag.register, chained.result));
        }
        if !flag.is_set {
            rest.push(Insn::alu64(AluOp::Xor, flag.register, 1));
        }
        Ok(Self { fragment, before, behind: rest.clone(), rest, leaf: None, next: flag.join, nodes })
    }
}

/// The first relation becomes another, which is a mistake.
fn exchange(operands: &mut [(&'static str, i64)]) {
    for (_, code) in operands.iter_mut().filter(|(name, _)| *name == "first") {
        *code ^= 1;
    }
}
