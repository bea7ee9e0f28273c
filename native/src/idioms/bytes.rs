// SPDX-License-Identifier: GPL-2.0-or-later
//! Integers that are put together of loads of their parts, in either order of bytes: one load.

use std::collections::{HashMap, HashSet};

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::types::{I8, I16, I32, I64};
use cranelift_codegen::ir::{Function, Inst, InstBuilder, InstructionData, Opcode, Type, Value};

use super::{constant, interferes, maker};
use crate::planted::Planted;

/// Where a byte of a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Zero,
    /// This byte of what an instruction loads.
    Loaded(Inst, u8),
}

type Sources = [Source; 8];

const ZERO: Sources = [Source::Zero; 8];

/// How deep a tree of instructions is looked at.
const DEPTH: u32 = 24;

/// Replaces what is put together of several loads.
pub(super) fn wide_loads(function: &mut Function, planted: Option<Planted>) {
    let mut finder = Finder { sources: HashMap::new(), planted };
    let blocks: Vec<_> = function.layout.blocks().collect();
    let mut covered = HashSet::new();
    for block in blocks {
        let insts: Vec<Inst> = function.layout.block_insts(block).collect();
        for inst in insts.into_iter().rev() {
            let joins =
                matches!(function.dfg.insts[inst].opcode(), Opcode::Bor | Opcode::Iadd | Opcode::Bxor);
            if !joins || covered.contains(&inst) {
                continue;
            }
            let value = function.dfg.first_result(inst);
            if let Some(whole) = finder.find(function, value) {
                cover(function, inst, &mut covered);
                whole.replace(function, inst);
            }
        }
    }
}

/// Marks the instructions of a tree, which are part of what was found.
fn cover(function: &Function, inst: Inst, covered: &mut HashSet<Inst>) {
    let mut open = vec![inst];
    while let Some(inst) = open.pop() {
        if covered.insert(inst) && !function.dfg.insts[inst].opcode().can_load() {
            open.extend(function.dfg.inst_values(inst).filter_map(|value| maker(&function.dfg, value)));
        }
    }
}

/// An integer in memory that a value is.
struct Whole {
    /// The load before which it is loaded.
    last: Inst,
    base: Value,
    offset: i32,
    /// How many bytes: 2, 4 or 8.
    bytes: usize,
    swapped: bool,
}

impl Whole {
    /// Loads it in one, and puts it in place of the value of `inst`.
    fn replace(&self, function: &mut Function, inst: Inst) {
        let flags = function.dfg.insts[self.last].memflags_data(&function.dfg).expect("a load has flags");
        let ty = match self.bytes {
            2 => I16,
            4 => I32,
            _ => I64,
        };
        let wanted = function.dfg.value_type(function.dfg.first_result(inst));
        let location = function.srcloc(self.last);
        let mut cursor = FuncCursor::new(function).at_inst(self.last);
        cursor.set_srcloc(location);
        let mut value = cursor.ins().load(ty, flags, self.base, self.offset);
        if self.swapped {
            value = cursor.ins().bswap(value);
        }
        if wanted.bits() > ty.bits() {
            value = cursor.ins().uextend(wanted, value);
        }
        let old = function.dfg.first_result(inst);
        function.dfg.clear_results(inst);
        function.dfg.change_to_alias(old, value);
        function.layout.remove_inst(inst);
    }
}

struct Finder {
    sources: HashMap<Value, Option<Sources>>,
    planted: Option<Planted>,
}

impl Finder {
    /// The integer in memory that a value is.
    fn find(&mut self, function: &Function, value: Value) -> Option<Whole> {
        let ty = function.dfg.value_type(value);
        let sources = self.of(function, value, DEPTH)?;
        let loaded = |source: &Source| match *source {
            Source::Loaded(inst, byte) => Some((inst, byte)),
            Source::Zero => None,
        };
        let parts: Vec<(Inst, u8)> = sources.iter().map_while(loaded).collect();
        let bytes = parts.len();
        let is_whole = matches!(bytes, 2 | 4 | 8) && sources[bytes..] == ZERO[bytes..];
        if !is_whole || bytes > ty.bytes() as usize || parts.iter().all(|part| part.0 == parts[0].0) {
            return None;
        }
        let place = |&(inst, byte): &(Inst, u8)| {
            let (base, offset) = address(function, inst)?;
            Some((base, offset.checked_add(i32::from(byte))?))
        };
        let places: Vec<(Value, i32)> = parts.iter().map(place).collect::<Option<_>>()?;
        let (base, first) = places[0];
        let steps = |step: i32| {
            let mut numbered = (0..).zip(&places);
            numbered
                .all(|(number, place)| first.checked_add(step * number) == Some(place.1) && place.0 == base)
        };
        let swapped = match (steps(1), steps(-1)) {
            (true, _) => false,
            (_, true) => true,
            _ => return None,
        };
        let offset = if swapped { places[bytes - 1].1 } else { first };
        let last = self.last_of(function, &parts)?;
        let swapped = swapped && self.planted != Some(Planted::WideLoadOrder);
        Some(Whole { last, base, offset, bytes, swapped })
    }

    /// The last of the loads, where they are in one block and nothing between them changes what they load.
    fn last_of(&self, function: &Function, parts: &[(Inst, u8)]) -> Option<Inst> {
        let block = function.layout.inst_block(parts[0].0)?;
        let loads: HashSet<Inst> = parts.iter().map(|part| part.0).collect();
        if loads.iter().any(|load| function.layout.inst_block(*load) != Some(block)) {
            return None;
        }
        let mut left = loads.len();
        let mut seen = false;
        for inst in function.layout.block_insts(block) {
            if loads.contains(&inst) {
                (seen, left) = (true, left - 1);
                if left == 0 {
                    return Some(inst);
                }
            } else if seen
                && self.planted != Some(Planted::WideLoadOverStore)
                && interferes(&function.dfg, inst, parts[0].0, false)
            {
                return None;
            }
        }
        None
    }

    /// Where the bytes of a value come from, as far as that is memory.
    fn of(&mut self, function: &Function, value: Value, depth: u32) -> Option<Sources> {
        let value = function.dfg.resolve_aliases(value);
        if let Some(known) = self.sources.get(&value) {
            return *known;
        }
        let found = self.look(function, value, depth);
        self.sources.insert(value, found);
        found
    }

    fn look(&mut self, function: &Function, value: Value, depth: u32) -> Option<Sources> {
        let dfg = &function.dfg;
        let inst = maker(dfg, value)?;
        let depth = depth.checked_sub(1)?;
        let bytes = dfg.value_type(value).bytes() as usize;
        match dfg.insts[inst] {
            InstructionData::Load { opcode, .. } => {
                let count = loaded_bytes(opcode, dfg.value_type(value))?;
                let loaded =
                    |byte| if byte < count { Source::Loaded(inst, byte as u8) } else { Source::Zero };
                Some(std::array::from_fn(loaded))
            }
            InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } if imm.bits() == 0 => Some(ZERO),
            InstructionData::Unary { opcode: Opcode::Uextend, arg } => self.of(function, arg, depth),
            InstructionData::Unary { opcode: Opcode::Ireduce, arg } => {
                self.of(function, arg, depth).map(|sources| kept(sources, bytes))
            }
            InstructionData::Unary { opcode: Opcode::Bswap, arg } => {
                let mut sources = self.of(function, arg, depth)?;
                sources[..bytes].reverse();
                Some(sources)
            }
            InstructionData::Binary { opcode, args: [left, right] } => match opcode {
                Opcode::Ishl | Opcode::Ushr => {
                    let amount = constant(dfg, right)? as usize % (8 * bytes);
                    let sources = self.of(function, left, depth)?;
                    (amount.is_multiple_of(8))
                        .then(|| shifted(sources, amount / 8, bytes, opcode == Opcode::Ishl))
                }
                Opcode::Band => {
                    let mask = constant(dfg, right)?.to_le_bytes();
                    let sources = self.of(function, left, depth)?;
                    let whole = mask[..bytes].iter().all(|byte| matches!(byte, 0 | 0xff));
                    let masked = |byte: usize| if mask[byte] == 0 { Source::Zero } else { sources[byte] };
                    whole.then(|| kept(std::array::from_fn(masked), bytes))
                }
                Opcode::Bor | Opcode::Iadd | Opcode::Bxor => {
                    let (left, right) = (self.of(function, left, depth)?, self.of(function, right, depth)?);
                    either(left, right)
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// The base and the offset of a load.
fn address(function: &Function, inst: Inst) -> Option<(Value, i32)> {
    match function.dfg.insts[inst] {
        InstructionData::Load { arg, offset, .. } => Some((function.dfg.resolve_aliases(arg), offset.into())),
        _ => None,
    }
}

/// How many bytes a load has, if it is not of a signed number.
fn loaded_bytes(opcode: Opcode, ty: Type) -> Option<usize> {
    Some(match opcode {
        Opcode::Uload8 => 1,
        Opcode::Uload16 => 2,
        Opcode::Uload32 => 4,
        Opcode::Load if [I8, I16, I32, I64].contains(&ty) => ty.bytes() as usize,
        _ => return None,
    })
}

fn kept(sources: Sources, bytes: usize) -> Sources {
    std::array::from_fn(|byte| if byte < bytes { sources[byte] } else { Source::Zero })
}

fn shifted(sources: Sources, by: usize, bytes: usize, left: bool) -> Sources {
    let from =
        |byte: usize| if left { byte.checked_sub(by) } else { Some(byte + by).filter(|byte| *byte < bytes) };
    let moved = |byte: usize| from(byte).map_or(Source::Zero, |from| sources[from]);
    kept(std::array::from_fn(moved), bytes)
}

/// The bytes of both, where no two meet.
fn either(left: Sources, right: Sources) -> Option<Sources> {
    let mut both = left;
    for (byte, other) in both.iter_mut().zip(right) {
        match (*byte, other) {
            (Source::Zero, other) => *byte = other,
            (_, Source::Zero) => {}
            _ => return None,
        }
    }
    Some(both)
}
