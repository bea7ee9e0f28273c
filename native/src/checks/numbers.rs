// SPDX-License-Identifier: GPL-2.0-or-later
//! Values by how they are computed: two that are computed alike from the same values have the same form, and of sums the constant
//! part stands apart.
//!
//! Memory is one more value, of which each store and each call makes another one, so that loads count among what is computed: of the
//! stack and of the context, which are the program's own while it runs. What is loaded from elsewhere may be another number the next
//! time, as other processors write to maps.

use std::collections::HashMap;

use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, Function, Inst, InstructionData, Opcode, Type, Value};
use kop_ops::code::runtime;
use kop_ops::ebpf::Reg;

/// `base + offset`, modulo the width of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Form {
    /// The number of what is not constant; that of zero for a constant.
    pub base: u32,
    /// What is added, with its sign.
    pub offset: i64,
}

/// How a base is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Zero(Type),
    Leaf(Value),
    Unary(Opcode, Type, Form),
    Binary(Opcode, Type, [Form; 2]),
    Compare(IntCC, [Form; 2]),
    Load(Opcode, Type, Form, Memory),
}

/// The numbers of what the stack and the rest of memory hold.
type Memory = [u32; 2];

#[derive(Clone, Copy, Debug)]
struct Base {
    ty: Type,
    /// No value of it is greater.
    high: u64,
    is_zero: bool,
}

/// The forms of all values that something leads to.
pub(super) struct Numbers {
    forms: SecondaryMap<Value, Option<Form>>,
    keys: HashMap<Key, u32>,
    bases: Vec<Base>,
    memories: u32,
    /// The bases of addresses of the program's own memory: the runtime block first, then what r1 and r10 hold at the start.
    own: Vec<u32>,
}

impl Numbers {
    /// Numbers the values of blocks, each of which stands behind those that dominate it.
    pub fn new(function: &Function, cfg: &ControlFlowGraph, blocks: &[Block]) -> Self {
        let mut numbers = Self {
            forms: SecondaryMap::new(),
            keys: HashMap::new(),
            bases: Vec::new(),
            memories: 0,
            own: Vec::new(),
        };
        let mut behind: SecondaryMap<Block, Option<Memory>> = SecondaryMap::new();
        for &block in blocks {
            numbers.params(function, cfg, block);
            if numbers.own.is_empty() {
                let runtime =
                    function.dfg.block_params(block).first().and_then(|value| numbers.forms[*value]);
                numbers.own.extend(runtime.map(|form| form.base));
            }
            let mut memory = numbers.memory(cfg, &behind, block);
            for inst in function.layout.block_insts(block) {
                numbers.inst(function, inst, &memory);
                numbers.changed(function, inst, &mut memory);
            }
            behind[block] = Some(memory);
        }
        numbers
    }

    /// The form of a value.
    pub fn form(&self, function: &Function, value: Value) -> Option<Form> {
        self.forms[function.dfg.resolve_aliases(value)]
    }

    /// Zero of a value's type.
    pub fn zero(&mut self, function: &Function, value: Value) -> Form {
        let ty = function.dfg.value_type(value);
        Form { base: self.base(Key::Zero(ty), ty, 0), offset: 0 }
    }

    /// The greatest number that a base may be.
    pub fn high(&self, base: u32) -> u64 {
        self.bases[base as usize].high
    }

    /// A form as a sum of natural numbers: its base, and what is added where that cannot wrap around, or where nobody asks for it.
    pub fn natural(&self, form: Form, may_wrap: bool) -> Option<(u32, u64)> {
        let Base { ty, high, is_zero } = self.bases[form.base as usize];
        if is_zero {
            return Some((form.base, form.offset as u64 & mask(ty)));
        }
        let offset = u64::try_from(form.offset).ok()?;
        let fits = high.checked_add(offset).is_some_and(|sum| sum <= mask(ty));
        (fits || may_wrap).then_some((form.base, offset))
    }

    /// The greatest number that a value of a form may be.
    fn most(&self, form: Form) -> u64 {
        let Base { ty, high, is_zero } = self.bases[form.base as usize];
        match self.natural(form, false) {
            Some((_, offset)) if is_zero => offset,
            Some((_, offset)) => high + offset,
            None => mask(ty),
        }
    }

    fn constant(&self, form: Form) -> Option<u64> {
        let Base { ty, is_zero, .. } = self.bases[form.base as usize];
        is_zero.then_some(form.offset as u64 & mask(ty))
    }

    fn base(&mut self, key: Key, ty: Type, high: u64) -> u32 {
        let next = self.bases.len() as u32;
        let base = *self.keys.entry(key).or_insert(next);
        if base == next {
            let is_zero = matches!(key, Key::Zero(_));
            self.bases.push(Base { ty, high: high.min(mask(ty)), is_zero });
        }
        base
    }

    /// Parameters are what jumps pass, of which those that jump back are not known yet.
    fn params(&mut self, function: &Function, cfg: &ControlFlowGraph, block: Block) {
        let dfg = &function.dfg;
        for (place, &param) in dfg.block_params(block).iter().enumerate() {
            let mut high = Some(0);
            let mut ways = 0;
            for pred in cfg.pred_iter(block) {
                let calls = dfg.insts[pred.inst].branch_destination(&dfg.jump_tables, &dfg.exception_tables);
                for call in calls.iter().filter(|call| call.block(&dfg.value_lists) == block) {
                    let passed = call.args(&dfg.value_lists).nth(place).and_then(|passed| passed.as_value());
                    let most =
                        passed.and_then(|value| self.form(function, value)).map(|form| self.most(form));
                    high = high.zip(most).map(|(high, most)| high.max(most));
                    ways += 1;
                }
            }
            let ty = dfg.value_type(param);
            let high = high.filter(|_| ways > 0).unwrap_or(u64::MAX);
            let base = self.base(Key::Leaf(param), ty, high);
            self.forms[param] = Some(Form { base, offset: 0 });
        }
    }

    /// What memory holds where a block starts.
    fn memory(
        &mut self,
        cfg: &ControlFlowGraph,
        behind: &SecondaryMap<Block, Option<Memory>>,
        block: Block,
    ) -> Memory {
        let mut before = cfg.pred_iter(block).map(|pred| behind[pred.block]);
        let first = before.next().flatten();
        let same = before.fold(first, |same, other| {
            same.zip(other).and_then(|(same, other)| (same == other).then_some(same))
        });
        same.unwrap_or_else(|| [0; 2].map(|_| self.another()))
    }

    fn another(&mut self) -> u32 {
        self.memories += 1;
        self.memories
    }

    fn changed(&mut self, function: &Function, inst: Inst, memory: &mut Memory) {
        let opcode = function.dfg.insts[inst].opcode();
        if !opcode.can_store() && !opcode.is_call() && (!opcode.other_side_effects() || opcode.is_branch()) {
            return;
        }
        match region(function, inst) {
            Some(region) if opcode.can_store() && !opcode.is_call() => memory[region] = self.another(),
            _ => *memory = [0; 2].map(|_| self.another()),
        }
    }

    fn inst(&mut self, function: &Function, inst: Inst, memory: &Memory) {
        let dfg = &function.dfg;
        let [result] = *dfg.inst_results(inst) else {
            for &result in dfg.inst_results(inst) {
                let ty = dfg.value_type(result);
                let base = self.base(Key::Leaf(result), ty, u64::MAX);
                self.forms[result] = Some(Form { base, offset: 0 });
            }
            return;
        };
        let ty = dfg.value_type(result);
        let form = self.computed(function, inst, ty, memory).unwrap_or_else(|| {
            let high = self.leaf_high(function, inst);
            Form { base: self.base(Key::Leaf(result), ty, high), offset: 0 }
        });
        self.forms[result] = Some(form);
    }

    /// The form of what an instruction computes of others.
    fn computed(&mut self, function: &Function, inst: Inst, ty: Type, memory: &Memory) -> Option<Form> {
        let dfg = &function.dfg;
        let data = &dfg.insts[inst];
        let opcode = data.opcode();
        let (key, high) = match *data {
            InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => {
                let base = self.base(Key::Zero(ty), ty, 0);
                return Some(Form { base, offset: signed(imm.bits(), ty) });
            }
            InstructionData::Load { arg, offset, .. } => {
                let address = self.form(function, arg)?;
                let offset = address.offset.wrapping_add(offset.into());
                let memory = match region(function, inst) {
                    Some(0) => [memory[0], 0],
                    Some(_) => [0, memory[1]],
                    None => *memory,
                };
                let bits = match opcode {
                    Opcode::Uload8 => 8,
                    Opcode::Uload16 => 16,
                    Opcode::Uload32 => 32,
                    _ => 64,
                };
                let high = u64::MAX >> (64 - bits);
                if !self.own.contains(&address.base) {
                    let base = self.base(Key::Leaf(dfg.first_result(inst)), ty, high);
                    return Some(Form { base, offset: 0 });
                }
                let base = self.base(Key::Load(opcode, ty, Form { offset, ..address }, memory), ty, high);
                let starts = [Reg::R1, Reg::R10]
                    .map(|register| i64::from(runtime::REGISTERS) + 8 * register.index() as i64);
                if self.own.first() == Some(&address.base)
                    && starts.contains(&offset)
                    && !self.own.contains(&base)
                {
                    self.own.push(base);
                }
                return Some(Form { base, offset: 0 });
            }
            InstructionData::IntCompare { cond, args, .. } => {
                let [left, right] = args.map(|arg| self.form(function, arg));
                (Key::Compare(cond, [left?, right?]), 1)
            }
            _ if opcode.can_trap() || opcode.can_load() || opcode.other_side_effects() => return None,
            InstructionData::Unary { arg, .. } => {
                let arg = self.form(function, arg)?;
                let high = if opcode == Opcode::Uextend { self.most(arg) } else { u64::MAX };
                (Key::Unary(opcode, ty, arg), high)
            }
            InstructionData::Binary { args, .. } => {
                let [left, right] = args.map(|arg| self.form(function, arg));
                return Some(self.binary(opcode, ty, [left?, right?]));
            }
            _ => return None,
        };
        Some(Form { base: self.base(key, ty, high), offset: 0 })
    }

    fn binary(&mut self, opcode: Opcode, ty: Type, [left, right]: [Form; 2]) -> Form {
        let (a, b) = (self.constant(left), self.constant(right));
        let moved = |form: Form, by: i64| Form { offset: signed(form.offset.wrapping_add(by), ty), ..form };
        match (opcode, a, b) {
            (Opcode::Iadd, _, Some(_)) => return moved(left, right.offset),
            (Opcode::Iadd, Some(_), _) => return moved(right, left.offset),
            (Opcode::Isub, _, Some(_)) => return moved(left, right.offset.wrapping_neg()),
            _ => {}
        }
        let mut args = [left, right];
        let mut offset = 0;
        if opcode == Opcode::Iadd {
            offset = signed(left.offset.wrapping_add(right.offset), ty);
            args = args.map(|form| Form { offset: 0, ..form });
        }
        if matches!(opcode, Opcode::Iadd | Opcode::Imul | Opcode::Band | Opcode::Bor | Opcode::Bxor) {
            args.sort();
        }
        let high = self.high_of(opcode, ty, args);
        Form { base: self.base(Key::Binary(opcode, ty, args), ty, high), offset }
    }

    fn high_of(&self, opcode: Opcode, ty: Type, args: [Form; 2]) -> u64 {
        let [a, b] = args.map(|form| self.most(form));
        let amount = self.constant(args[1]).map(|amount| amount as u32 & (ty.bits() - 1));
        let fits = |high: Option<u64>| high.filter(|high| *high <= mask(ty)).unwrap_or(u64::MAX);
        match (opcode, amount) {
            (Opcode::Band, _) => a.min(b),
            (Opcode::Bor | Opcode::Bxor, _) => u64::MAX.checked_shr((a | b).leading_zeros()).unwrap_or(0),
            (Opcode::Iadd, _) => fits(a.checked_add(b)),
            (Opcode::Imul, _) => fits(a.checked_mul(b)),
            (Opcode::Ishl, Some(amount)) => fits(a.checked_mul(1 << amount)),
            (Opcode::Ushr, Some(amount)) => a >> amount,
            (Opcode::Ushr, None) => a,
            _ => u64::MAX,
        }
    }

    /// The greatest number that an instruction may make where it is not computed of others.
    fn leaf_high(&self, function: &Function, inst: Inst) -> u64 {
        let most = |value| self.form(function, value).map_or(u64::MAX, |form| self.most(form));
        match function.dfg.insts[inst] {
            InstructionData::Ternary { opcode: Opcode::Select, args: [_, one, other] } => {
                most(one).max(most(other))
            }
            // Both divide by what is not zero, or trap.
            InstructionData::Binary { opcode: Opcode::Udiv | Opcode::Urem, args: [left, _] } => most(left),
            _ => u64::MAX,
        }
    }
}

/// The region of memory that an instruction accesses: the stack (0) or the rest (1).
fn region(function: &Function, inst: Inst) -> Option<usize> {
    let region = function.dfg.insts[inst].alias_region(&function.dfg)?;
    Some(usize::from(function.dfg.alias_regions[region].user_id != 0))
}

/// All ones of a type.
fn mask(ty: Type) -> u64 {
    u64::MAX.checked_shr(64u32.saturating_sub(ty.bits())).unwrap_or(0)
}

/// A number of a type, with its sign.
fn signed(number: i64, ty: Type) -> i64 {
    let unused = 64 - ty.bits().clamp(1, 64);
    number << unused >> unused
}
