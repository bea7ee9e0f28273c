// SPDX-License-Identifier: GPL-2.0-or-later
//! For Cranelift, before its own optimisation: loads in loops of what no turn changes stand in front of the loop.
//!
//! It moves what is pure by itself, and takes the value of an earlier load or store of the same place. A load it leaves where it is.
//! One may move if nothing in the loop writes what it loads, and if it cannot fault where it would not have run: every turn and every
//! way out goes through it, or it is of a place of the stack, which is always there. What it loads has to be the program's own: stack,
//! context or packet. Maps are written by others, and a loop may wait for that.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::flowgraph::{BlockPredecessor, ControlFlowGraph};
use cranelift_codegen::ir::{
    AliasRegion, Block, BlockArg, BlockCall, Function, Inst, InstBuilder, InstructionData, Opcode, Value,
    ValueDef,
};
use cranelift_codegen::loop_analysis::{Loop, LoopAnalysis};

use kop_ops::code::runtime;
use kop_ops::ebpf::Reg;

use crate::known::STACK_LOW;
use crate::planted::Planted;

/// How many loads a loop gives away: what they load is in registers all the time.
const LOADS: usize = 6;

/// How many stores of a loop are looked at.
const STORES: usize = 256;

/// How many loops may be around each other.
const DEEPEST: usize = 16;

/// How far what computes an address is followed.
const DEPTH: u32 = 8;

/// Moves them; `frame` is the program's r10.
pub(crate) fn hoist(function: &mut Function, frame: Value, planted: Option<Planted>) {
    function.dfg.resolve_all_aliases();
    let frame = function.dfg.resolve_aliases(frame);
    let Some(mut loops) = Loops::new(function) else { return };
    if loops.part(function) {
        let Some(parted) = Loops::new(function) else { return };
        loops = parted;
    }
    for number in loops.inner_first() {
        loops.hoist(function, number, frame, planted);
    }
}

/// Bytes in memory.
struct Access {
    base: Value,
    offset: i64,
    bytes: i64,
    region: Option<AliasRegion>,
}

impl Access {
    /// What a load or a store accesses; none of those that are atomic.
    fn of(function: &Function, inst: Inst) -> Option<Self> {
        let dfg = &function.dfg;
        let (mut base, offset, whole) = match dfg.insts[inst] {
            InstructionData::Load { arg, offset, .. } => (arg, offset, dfg.first_result(inst)),
            InstructionData::Store { args: [value, base], offset, .. } => (base, offset, value),
            _ => return None,
        };
        let bytes = match dfg.insts[inst].opcode() {
            Opcode::Uload8 | Opcode::Sload8 | Opcode::Istore8 => 1,
            Opcode::Uload16 | Opcode::Sload16 | Opcode::Istore16 => 2,
            Opcode::Uload32 | Opcode::Sload32 | Opcode::Istore32 => 4,
            _ => i64::from(dfg.value_type(whole).bytes()),
        };
        let mut offset = i64::from(i32::from(offset));
        while let Some(made) = dfg.value_def(base).inst()
            && let InstructionData::Binary { opcode: Opcode::Iadd, args } = dfg.insts[made]
            && let Some(added) = dfg.value_def(args[1]).inst()
            && let InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } = dfg.insts[added]
        {
            base = args[0];
            offset = offset.wrapping_add(imm.bits());
        }
        Some(Self { base, offset, bytes, region: dfg.insts[inst].alias_region(dfg) })
    }

    fn may_overlap(&self, other: &Self) -> bool {
        if matches!((self.region, other.region), (Some(one), Some(other)) if one != other) {
            return false;
        }
        let distance = self.offset.wrapping_sub(other.offset);
        self.base != other.base || (-self.bytes < distance && distance < other.bytes)
    }

    /// Whether it is a place of the stack, from r10.
    fn is_of_stack(&self, frame: Value) -> bool {
        self.base == frame && i64::from(STACK_LOW) <= self.offset && self.offset <= -self.bytes
    }
}

/// Whether an address is that of the stack, the context, or a packet, whose bounds are in the context; `frame` is the program's r10.
fn is_own(function: &Function, address: Value, frame: Value) -> bool {
    let dfg = &function.dfg;
    let loaded = |value: Value| {
        let inst = dfg.value_def(value).inst().filter(|inst| dfg.insts[*inst].opcode().can_load())?;
        Some((dfg.insts[inst].opcode(), Access::of(function, inst)?))
    };
    let entry = function.layout.entry_block().and_then(|entry| dfg.block_params(entry).first().copied());
    let is_context = |value: Value| {
        let start = i64::from(runtime::REGISTERS) + 8 * Reg::R1.index() as i64;
        loaded(value).is_some_and(|(_, from)| Some(from.base) == entry && from.offset == start)
    };
    let is_packet = |value: Value| {
        loaded(value).is_some_and(|(opcode, from)| opcode == Opcode::Uload32 && is_context(from.base))
    };
    address == frame || is_context(address) || is_packet(address)
}

/// The loops of a function.
struct Loops {
    cfg: ControlFlowGraph,
    tree: DominatorTree,
    analysis: LoopAnalysis,
    /// The blocks of each, those of loops in it too; each behind those that dominate it.
    blocks: SecondaryMap<Loop, Vec<Block>>,
}

impl Loops {
    /// `None` where there are none, or too many around each other.
    fn new(function: &Function) -> Option<Self> {
        let cfg = ControlFlowGraph::with_function(function);
        let tree = DominatorTree::with_function(function, &cfg);
        let mut analysis = LoopAnalysis::new();
        analysis.compute(function, &cfg, &tree);
        analysis.loops().next()?;
        let mut blocks: SecondaryMap<Loop, Vec<Block>> = SecondaryMap::new();
        for &block in tree.cfg_rpo() {
            if analysis.loop_level(block).level() > DEEPEST {
                return None;
            }
            let mut around = analysis.innermost_loop(block);
            while let Some(number) = around {
                blocks[number].push(block);
                around = analysis.loop_parent(number);
            }
        }
        Some(Self { cfg, tree, analysis, blocks })
    }

    fn inner_first(&self) -> Vec<Loop> {
        let mut all: Vec<Loop> = self.analysis.loops().collect();
        let level = |number: &Loop| self.analysis.loop_level(self.analysis.loop_header(*number)).level();
        all.sort_by_key(|number| std::cmp::Reverse(level(number)));
        all
    }

    /// Whether a value is made in a loop.
    fn is_inside(&self, function: &Function, number: Loop, value: Value) -> bool {
        let block = match function.dfg.value_def(value) {
            ValueDef::Param(block, _) => Some(block),
            ValueDef::Result(inst, _) => function.layout.inst_block(inst),
            ValueDef::Union(..) => None,
        };
        block.is_none_or(|block| self.analysis.is_in_loop(block, number))
    }

    /// The only way into a loop.
    fn way_in(&self, number: Loop) -> Option<BlockPredecessor> {
        let header = self.analysis.loop_header(number);
        let mut ways = self.cfg.pred_iter(header);
        let mut outside = ways.by_ref().filter(|way| !self.analysis.is_in_loop(way.block, number));
        let way = outside.next()?;
        outside.next().is_none().then_some(way)
    }

    /// Gives loops a block in front of them where a conditional jump leads into them: whether there are any.
    fn part(&self, function: &mut Function) -> bool {
        let mut parts = false;
        for number in self.analysis.loops() {
            let Some(way) = self.way_in(number) else { continue };
            let InstructionData::Brif { blocks, .. } = function.dfg.insts[way.inst] else { continue };
            let header = self.analysis.loop_header(number);
            let leads = blocks.map(|call| call.block(&function.dfg.value_lists) == header);
            if leads[0] == leads[1] || !self.has_load(function, number) {
                continue;
            }
            let place = usize::from(leads[1]);
            let arguments: Vec<BlockArg> = blocks[place].args(&function.dfg.value_lists).collect();
            let block = function.dfg.make_block();
            function.layout.insert_block(block, header);
            let call = BlockCall::new(block, std::iter::empty(), &mut function.dfg.value_lists);
            if let InstructionData::Brif { blocks, .. } = &mut function.dfg.insts[way.inst] {
                blocks[place] = call;
            }
            let location = function.srcloc(way.inst);
            let mut cursor = FuncCursor::new(function).at_bottom(block);
            cursor.set_srcloc(location);
            cursor.ins().jump(header, &arguments);
            parts = true;
        }
        parts
    }

    /// Whether a loop loads from an address that is made outside of it.
    fn has_load(&self, function: &Function, number: Loop) -> bool {
        let insts = self.blocks[number].iter().flat_map(|block| function.layout.block_insts(*block));
        let loads = insts.filter(|inst| function.dfg.insts[*inst].opcode().can_load());
        loads
            .filter_map(|load| Access::of(function, load))
            .any(|load| !self.is_inside(function, number, load.base))
    }

    /// What a loop may write; `None` for anything.
    fn writes(&self, function: &Function, number: Loop) -> Option<Vec<Access>> {
        let mut writes = Vec::new();
        for inst in self.blocks[number].iter().flat_map(|block| function.layout.block_insts(*block)) {
            let opcode = function.dfg.insts[inst].opcode();
            if opcode.is_call() || opcode.other_side_effects() && !opcode.is_branch() {
                return None;
            }
            if opcode.can_store() {
                writes.push(Access::of(function, inst)?);
            }
            if writes.len() > STORES {
                return None;
            }
        }
        Some(writes)
    }

    /// The last block that every turn and every way out of a loop goes through.
    fn last_of_all(&self, number: Loop) -> Option<Block> {
        let header = self.analysis.loop_header(number);
        let mut last: Option<Block> = None;
        for &block in &self.blocks[number] {
            let mut next = self.cfg.succ_iter(block);
            if !next.any(|next| next == header || !self.analysis.is_in_loop(next, number)) {
                continue;
            }
            let mut common = last.unwrap_or(block);
            while !self.tree.block_dominates(common, block) {
                common = self.tree.idom(common)?;
            }
            last = Some(common);
        }
        last
    }

    /// Moves the loads of a loop.
    fn hoist(&self, function: &mut Function, number: Loop, frame: Value, planted: Option<Planted>) {
        let Some(way) = self.way_in(number) else { return };
        if !matches!(function.dfg.insts[way.inst], InstructionData::Jump { .. }) {
            return;
        }
        let (Some(writes), Some(last)) = (self.writes(function, number), self.last_of_all(number)) else {
            return;
        };
        let mut moved = 0;
        for &block in &self.blocks[number] {
            let is_sure = self.tree.block_dominates(block, last);
            let insts: Vec<Inst> = function.layout.block_insts(block).collect();
            for inst in insts {
                let InstructionData::Load { arg, .. } = function.dfg.insts[inst] else { continue };
                let Some(load) = Access::of(function, inst) else { continue };
                let changes = writes.iter().any(|write| write.may_overlap(&load))
                    && planted != Some(Planted::InvariantLoadOverStore);
                let may_run = (is_sure && is_own(function, load.base, frame)) || load.is_of_stack(frame);
                if !may_run || changes || moved == LOADS || !self.is_movable(function, number, arg, DEPTH) {
                    continue;
                }
                self.lift(function, number, arg, way.inst);
                function.layout.remove_inst(inst);
                function.layout.insert_inst(inst, way.inst);
                moved += 1;
            }
        }
    }

    /// Whether a value can be made in front of a loop.
    fn is_movable(&self, function: &Function, number: Loop, value: Value, depth: u32) -> bool {
        if !self.is_inside(function, number, value) {
            return true;
        }
        let (Some(inst), Some(depth)) = (function.dfg.value_def(value).inst(), depth.checked_sub(1)) else {
            return false;
        };
        let opcode = function.dfg.insts[inst].opcode();
        let acts =
            opcode.can_trap() || opcode.can_load() || opcode.can_store() || opcode.other_side_effects();
        !acts
            && !opcode.is_call()
            && function.dfg.inst_values(inst).all(|value| self.is_movable(function, number, value, depth))
    }

    /// Makes a value in front of a loop, before `to`.
    fn lift(&self, function: &mut Function, number: Loop, value: Value, to: Inst) {
        let made = function.dfg.value_def(value).inst();
        let Some(inst) = made.filter(|_| self.is_inside(function, number, value)) else { return };
        let values: Vec<Value> = function.dfg.inst_values(inst).collect();
        for value in values {
            self.lift(function, number, value, to);
        }
        function.layout.remove_inst(inst);
        function.layout.insert_inst(inst, to);
    }
}
