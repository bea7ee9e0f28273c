// SPDX-License-Identifier: GPL-2.0-or-later
//! A function of Cranelift's as LLVM's IR.
//!
//! What both mean differs in little: amounts of shifts are taken modulo the width there and are undefined here; a condition is a number
//! of eight bits there and one bit here; blocks have parameters there and phis here. Nothing is promised that Cranelift was not: no
//! sum is said not to overflow, every access is aligned to a byte, address 0 is an address. The two regions of memory are scopes.

use std::collections::HashMap;
use std::fmt::Write as _;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I16, I32};
use cranelift_codegen::ir::{
    AtomicRmwOp, Block, BlockArg, BlockCall, DataFlowGraph, Function, Inst, InstructionData, MemFlagsData,
    Opcode, Type, Value,
};
use kop_ops::Arch;

use super::{NAME, THUNK, features};
use crate::Options;
use crate::planted::Planted;

/// Writes it.
pub(super) fn text(
    function: &Function,
    options: &Options,
    pointers: Pointers,
    planted: Option<Planted>,
) -> Result<String, String> {
    let mut writer = Writer {
        function,
        pointers,
        planted,
        out: String::new(),
        fresh: 0,
        at: String::new(),
        lines: Lines::default(),
        edges: HashMap::new(),
    };
    writer.edges();
    for block in function.layout.blocks() {
        writer.block(block)?;
    }
    Ok(module(&writer.out, &writer.lines, options))
}

/// Whether pointers have types. Versions before 15 take both and crash on those without, versions from 17 on take those without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pointers {
    /// To what they point.
    Typed,
    /// All the same.
    Untyped,
}

/// What stands around the function's blocks.
fn module(body: &str, lines: &Lines, options: &Options) -> String {
    let triple = match options.arch {
        Arch::X86_64 => "x86_64-unknown-linux-gnu",
        Arch::Aarch64 => "aarch64-unknown-linux-gnu",
    };
    let mut text =
        format!("target triple = \"{triple}\"\n\ndefine i64 @{NAME}(i64 %v0) #0 !dbg !5 {{\n{body}}}\n\n");
    let _ = writeln!(text, "declare i64 @{THUNK}(i64, i64, i64, i64, i64)");
    for bits in [8, 16, 32, 64] {
        let ty = format!("i{bits}");
        for name in ["ctpop", "bitreverse"] {
            let _ = writeln!(text, "declare {ty} @llvm.{name}.{ty}({ty})");
        }
        for name in ["ctlz", "cttz", "abs"] {
            let _ = writeln!(text, "declare {ty} @llvm.{name}.{ty}({ty}, i1)");
        }
        for name in ["umin", "umax", "smin", "smax"] {
            let _ = writeln!(text, "declare {ty} @llvm.{name}.{ty}({ty}, {ty})");
        }
        for name in ["fshl", "fshr"] {
            let _ = writeln!(text, "declare {ty} @llvm.{name}.{ty}({ty}, {ty}, {ty})");
        }
        if bits > 8 {
            let _ = writeln!(text, "declare {ty} @llvm.bswap.{ty}({ty})");
        }
    }
    // No jump into another function's code is made, no signal needs a frame, and no library is there.
    let _ = writeln!(
        text,
        "\nattributes #0 = {{ nounwind noredzone noimplicitfloat null_pointer_is_valid \"no-builtins\" \
         \"frame-pointer\"=\"none\" \"target-features\"=\"{}\" }}\n",
        features(options)
    );
    text.push_str(
        "!llvm.module.flags = !{!0, !1, !2}\n!llvm.dbg.cu = !{!3}\n!0 = !{i32 2, !\"Debug Info Version\", i32 3}\n\
         !1 = !{i32 7, !\"Dwarf Version\", i32 4}\n!2 = !{i32 7, !\"PIC Level\", i32 2}\n\
         !3 = distinct !DICompileUnit(language: DW_LANG_C99, file: !4, emissionKind: LineTablesOnly)\n\
         !4 = !DIFile(filename: \"program\", directory: \"/\")\n\
         !5 = distinct !DISubprogram(name: \"program\", file: !4, line: 1, type: !6, unit: !3, spFlags: DISPFlagDefinition)\n\
         !6 = !DISubroutineType(types: !7)\n!7 = !{}\n!8 = distinct !{!8}\n!9 = distinct !{!9, !8}\n!10 = distinct !{!10, !8}\n\
         !11 = !{!9}\n!12 = !{!10}\n",
    );
    for (line, number) in &lines.order {
        let _ = writeln!(text, "!{number} = !DILocation(line: {line}, scope: !5)");
    }
    text
}

/// The first number for a place in the program.
const FIRST_LINE: usize = 13;

/// Places in the program: line numbers are indices of instructions and one.
#[derive(Default)]
struct Lines {
    numbers: HashMap<u64, usize>,
    order: Vec<(u64, usize)>,
}

impl Lines {
    fn number(&mut self, line: u64) -> usize {
        let next = FIRST_LINE + self.order.len();
        let number = *self.numbers.entry(line).or_insert(next);
        if number == next {
            self.order.push((line, number));
        }
        number
    }
}

/// A way into a block: the block that it comes from, and what it passes.
struct Edge {
    from: Block,
    arguments: Vec<String>,
}

struct Writer<'a> {
    function: &'a Function,
    pointers: Pointers,
    planted: Option<Planted>,
    out: String,
    fresh: usize,
    /// Where the instruction that is being written stands in the program.
    at: String,
    lines: Lines,
    edges: HashMap<Block, Vec<Edge>>,
}

impl<'a> Writer<'a> {
    fn dfg(&self) -> &'a DataFlowGraph {
        &self.function.dfg
    }

    /// What jumps pass. Two ways of one jump into one block choose what they pass before they join.
    fn edges(&mut self) {
        let dfg = self.dfg();
        for block in self.function.layout.blocks() {
            let Some(last) = self.function.layout.last_inst(block) else { continue };
            let calls = dfg.insts[last].branch_destination(&dfg.jump_tables, &dfg.exception_tables);
            let joined = joins(dfg, last);
            for call in calls.iter().take(if joined { 1 } else { calls.len() }) {
                let target = call.block(&dfg.value_lists);
                let arguments = match joined {
                    true => (0..dfg.block_params(target).len())
                        .map(|place| format!("%c{}.{place}", block.as_u32()))
                        .collect(),
                    false => passed(call, dfg).map(|value| self.name(value)).collect(),
                };
                self.edges.entry(target).or_default().push(Edge { from: block, arguments });
            }
        }
    }

    /// A value as an operand, without its type.
    fn name(&self, value: Value) -> String {
        match constant(self.dfg(), value) {
            Some(number) => number.to_string(),
            None => format!("%v{}", value.as_u32()),
        }
    }

    /// A value as an operand, with its type.
    fn typed(&self, value: Value) -> String {
        format!("{} {}", self.ty(value), self.name(value))
    }

    fn ty(&self, value: Value) -> Type {
        self.dfg().value_type(value)
    }

    /// Another name.
    fn fresh(&mut self) -> String {
        self.fresh += 1;
        format!("%t{}", self.fresh)
    }

    /// An instruction, at the current place.
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "  {text}{}", self.at);
    }

    /// An instruction that makes a new value.
    fn made(&mut self, text: &str) -> String {
        let name = self.fresh();
        self.line(&format!("{name} = {text}"));
        name
    }

    fn block(&mut self, block: Block) -> Result<(), String> {
        let _ = writeln!(self.out, "b{}:", block.as_u32());
        self.at.clear();
        if Some(block) != self.function.layout.entry_block() {
            for (place, param) in self.dfg().block_params(block).iter().enumerate() {
                let ways = self.edges.get(&block).map_or(&[][..], Vec::as_slice);
                if ways.is_empty() {
                    // Nothing leads here.
                    self.out.push_str(&format!(
                        "  %v{} = freeze {} poison\n",
                        param.as_u32(),
                        self.ty(*param)
                    ));
                    continue;
                }
                let looked_at =
                    |number| if self.planted == Some(Planted::LlvmPhiOfOneWay) { 0 } else { number };
                let ways: Vec<String> = (0..ways.len())
                    .map(|number| {
                        let value = &ways[looked_at(number)].arguments[place];
                        format!("[ {value}, %b{} ]", ways[number].from.as_u32())
                    })
                    .collect();
                let text = format!("  %v{} = phi {} {}\n", param.as_u32(), self.ty(*param), ways.join(", "));
                self.out.push_str(&text);
            }
        }
        for inst in self.function.layout.block_insts(block) {
            let place = self.function.srcloc(inst);
            self.at = match place.is_default() {
                true => String::new(),
                false => format!(", !dbg !{}", self.lines.number(u64::from(place.bits()) + 1)),
            };
            self.inst(block, inst)?;
        }
        Ok(())
    }

    fn inst(&mut self, block: Block, inst: Inst) -> Result<(), String> {
        let dfg = self.dfg();
        let data = dfg.insts[inst];
        let result = dfg.inst_results(inst).first().copied();
        let set = |value: Value| format!("%v{} =", value.as_u32());
        match data {
            InstructionData::UnaryImm { opcode: Opcode::Iconst, .. } => Ok(()),
            InstructionData::Unary { opcode, arg } => {
                let result = result.ok_or("a unary instruction without a result")?;
                self.unary(opcode, arg, result)
            }
            InstructionData::Binary { opcode, args } => {
                let result = result.ok_or("a binary instruction without a result")?;
                self.binary(opcode, args, result)
            }
            InstructionData::IntCompare { cond, args, .. } => {
                let result = result.ok_or("a comparison without a result")?;
                let cond =
                    if self.planted == Some(Planted::LlvmCompareSign) { cond.unsigned() } else { cond };
                let (left, right) = (self.typed(args[0]), self.name(args[1]));
                let bit = format!("%v{}.bit", result.as_u32());
                self.line(&format!("{bit} = icmp {} {left}, {right}", condition(cond)));
                self.line(&format!("{} zext i1 {bit} to i8", set(result)));
                Ok(())
            }
            InstructionData::Ternary { opcode: Opcode::Select, args } => {
                let result = result.ok_or("a selection without a result")?;
                let bit = self.bit(args[0]);
                let (one, other) = (self.typed(args[1]), self.typed(args[2]));
                self.line(&format!("{} select i1 {bit}, {one}, {other}", set(result)));
                Ok(())
            }
            InstructionData::Load { opcode, flags, arg, offset } => {
                let result = result.ok_or("a load without a result")?;
                self.load(opcode, (dfg.mem_flags[flags], arg, offset.into()), result)
            }
            InstructionData::Store { opcode, flags, args, offset } => {
                self.store(opcode, (dfg.mem_flags[flags], args[1], offset.into()), args[0])
            }
            InstructionData::LoadNoOffset { opcode: Opcode::AtomicLoad, arg, .. } => {
                let result = result.ok_or("a load without a result")?;
                let ty = self.ty(result);
                let address = self.address(arg, 0, ty);
                self.line(&format!(
                    "{} load atomic {ty}, {address} acquire, align {}",
                    set(result),
                    ty.bytes()
                ));
                Ok(())
            }
            InstructionData::StoreNoOffset { opcode: Opcode::AtomicStore, args, .. } => {
                let (value, ty) = (self.typed(args[0]), self.ty(args[0]));
                let address = self.address(args[1], 0, ty);
                self.line(&format!("store atomic {value}, {address} release, align {}", ty.bytes()));
                Ok(())
            }
            InstructionData::AtomicRmw { op, args, .. } => {
                let result = result.ok_or("an atomic operation without a result")?;
                let (value, ty) = (self.typed(args[1]), self.ty(args[1]));
                let address = self.address(args[0], 0, ty);
                let bytes = ty.bytes();
                let op = match op {
                    AtomicRmwOp::Add => "add",
                    AtomicRmwOp::And => "and",
                    AtomicRmwOp::Or => "or",
                    AtomicRmwOp::Xor => "xor",
                    AtomicRmwOp::Xchg => "xchg",
                    other => return Err(format!("atomic `{other}` has no translation")),
                };
                self.line(&format!(
                    "{} atomicrmw {op} {address}, {value} seq_cst, align {bytes}",
                    set(result)
                ));
                Ok(())
            }
            InstructionData::AtomicCas { args, .. } => {
                let result = result.ok_or("an atomic operation without a result")?;
                let (expected, new) = (self.typed(args[1]), self.typed(args[2]));
                let ty = self.ty(args[1]);
                let address = self.address(args[0], 0, ty);
                let both = self.made(&format!(
                    "cmpxchg {address}, {expected}, {new} seq_cst seq_cst, align {}",
                    ty.bytes()
                ));
                self.line(&format!("{} extractvalue {{ {ty}, i1 }} {both}, 0", set(result)));
                Ok(())
            }
            InstructionData::Call { args, .. } => {
                let result = result.ok_or("a call without a result")?;
                let arguments = self.arguments(args.as_slice(&dfg.value_lists));
                self.line(&format!("{} call i64 @{THUNK}({arguments})", set(result)));
                Ok(())
            }
            InstructionData::CallIndirect { args, .. } => {
                let result = result.ok_or("a call without a result")?;
                let (callee, arguments) =
                    args.as_slice(&dfg.value_lists).split_first().ok_or("a call of nothing")?;
                let callee = self.typed(*callee);
                let pointer = match self.pointers {
                    Pointers::Typed => format!("i64 ({})*", vec!["i64"; arguments.len()].join(", ")),
                    Pointers::Untyped => "ptr".to_owned(),
                };
                let function = self.made(&format!("inttoptr {callee} to {pointer}"));
                let arguments = self.arguments(arguments);
                self.line(&format!("{} call i64 {function}({arguments})", set(result)));
                Ok(())
            }
            InstructionData::MultiAry { opcode: Opcode::Return, args } => {
                let value = args.as_slice(&dfg.value_lists).first().ok_or("a return without a value")?;
                let value = self.typed(*value);
                self.line(&format!("ret {value}"));
                Ok(())
            }
            InstructionData::Jump { destination, .. } => {
                let target = destination.block(&dfg.value_lists).as_u32();
                self.line(&format!("br label %b{target}"));
                Ok(())
            }
            InstructionData::Brif { arg, blocks, .. } => {
                self.brif(block, inst, arg, blocks);
                Ok(())
            }
            other => Err(format!("`{}` has no translation", other.opcode())),
        }
    }

    fn brif(&mut self, block: Block, inst: Inst, condition: Value, blocks: [BlockCall; 2]) {
        let dfg = self.dfg();
        let bit = self.bit(condition);
        let [taken, not] = blocks.map(|call| call.block(&dfg.value_lists).as_u32());
        if !joins(dfg, inst) {
            return self.line(&format!("br i1 {bit}, label %b{taken}, label %b{not}"));
        }
        let [ones, others] = blocks.map(|call| passed(&call, dfg).collect::<Vec<Value>>());
        for (place, (one, other)) in ones.into_iter().zip(others).enumerate() {
            let (one, other) = (self.typed(one), self.typed(other));
            self.line(&format!("%c{}.{place} = select i1 {bit}, {one}, {other}", block.as_u32()));
        }
        self.line(&format!("br label %b{taken}"));
    }

    fn arguments(&self, values: &[Value]) -> String {
        values.iter().map(|value| self.typed(*value)).collect::<Vec<_>>().join(", ")
    }

    /// Whether a value is other than zero, as one bit.
    fn bit(&mut self, value: Value) -> String {
        let dfg = self.dfg();
        let made = dfg.value_def(value).inst();
        if made.is_some_and(|inst| matches!(dfg.insts[inst], InstructionData::IntCompare { .. })) {
            return format!("%v{}.bit", value.as_u32());
        }
        let typed = self.typed(value);
        self.made(&format!("icmp ne {typed}, 0"))
    }

    fn unary(&mut self, opcode: Opcode, arg: Value, result: Value) -> Result<(), String> {
        let (to, from) = (self.ty(result), self.ty(arg));
        let typed = self.typed(arg);
        let name = self.name(arg);
        let text = match opcode {
            Opcode::Uextend => format!("zext {typed} to {to}"),
            Opcode::Sextend if self.planted == Some(Planted::LlvmExtendsZeros) => {
                format!("zext {typed} to {to}")
            }
            Opcode::Sextend => format!("sext {typed} to {to}"),
            Opcode::Ireduce => format!("trunc {typed} to {to}"),
            Opcode::Ineg => format!("sub {to} 0, {name}"),
            Opcode::Bnot => format!("xor {typed}, -1"),
            Opcode::Bswap => format!("call {to} @llvm.bswap.{to}({typed})"),
            Opcode::Bitrev => format!("call {to} @llvm.bitreverse.{to}({typed})"),
            Opcode::Popcnt => format!("call {to} @llvm.ctpop.{to}({typed})"),
            // Zero has as many zeros as bits.
            Opcode::Clz => format!("call {to} @llvm.ctlz.{to}({typed}, i1 false)"),
            Opcode::Ctz => format!("call {to} @llvm.cttz.{to}({typed}, i1 false)"),
            Opcode::Iabs => format!("call {to} @llvm.abs.{to}({typed}, i1 false)"),
            _ => return Err(format!("`{opcode}` of {from} has no translation")),
        };
        self.line(&format!("%v{} = {text}", result.as_u32()));
        Ok(())
    }

    fn binary(&mut self, opcode: Opcode, [left, right]: [Value; 2], result: Value) -> Result<(), String> {
        let ty = self.ty(result);
        let (a, b) = (self.name(left), self.name(right));
        let text = match opcode {
            Opcode::Iadd => format!("add {ty} {a}, {b}"),
            Opcode::Isub => format!("sub {ty} {a}, {b}"),
            Opcode::Imul => format!("mul {ty} {a}, {b}"),
            Opcode::Udiv => format!("udiv {ty} {a}, {b}"),
            Opcode::Sdiv => format!("sdiv {ty} {a}, {b}"),
            Opcode::Urem => format!("urem {ty} {a}, {b}"),
            Opcode::Srem => format!("srem {ty} {a}, {b}"),
            Opcode::Band => format!("and {ty} {a}, {b}"),
            Opcode::Bor => format!("or {ty} {a}, {b}"),
            Opcode::Bxor => format!("xor {ty} {a}, {b}"),
            Opcode::Umin | Opcode::Umax | Opcode::Smin | Opcode::Smax => {
                format!("call {ty} @llvm.{opcode}.{ty}({ty} {a}, {ty} {b})")
            }
            Opcode::Ishl | Opcode::Ushr | Opcode::Sshr | Opcode::Rotl | Opcode::Rotr => {
                let amount = self.amount(right, ty);
                match opcode {
                    Opcode::Ishl => format!("shl {ty} {a}, {amount}"),
                    Opcode::Ushr => format!("lshr {ty} {a}, {amount}"),
                    Opcode::Sshr => format!("ashr {ty} {a}, {amount}"),
                    Opcode::Rotl => format!("call {ty} @llvm.fshl.{ty}({ty} {a}, {ty} {a}, {ty} {amount})"),
                    _ => format!("call {ty} @llvm.fshr.{ty}({ty} {a}, {ty} {a}, {ty} {amount})"),
                }
            }
            _ => return Err(format!("`{opcode}` has no translation")),
        };
        self.line(&format!("%v{} = {text}", result.as_u32()));
        Ok(())
    }

    /// The amount of a shift on a type, modulo its width.
    fn amount(&mut self, value: Value, ty: Type) -> String {
        let from = self.ty(value);
        if let Some(number) = constant(self.dfg(), value) {
            return (number as u64 % u64::from(ty.bits())).to_string();
        }
        let name = self.name(value);
        let sized = match from.bits().cmp(&ty.bits()) {
            std::cmp::Ordering::Less => self.made(&format!("zext {from} {name} to {ty}")),
            std::cmp::Ordering::Equal => name,
            std::cmp::Ordering::Greater => self.made(&format!("trunc {from} {name} to {ty}")),
        };
        if self.planted == Some(Planted::LlvmShiftAmount) {
            return sized;
        }
        self.made(&format!("and {ty} {sized}, {}", ty.bits() - 1))
    }

    /// A pointer to a number at an address and an offset, with its type. What was added to the address as a number is a part of the offset, so that LLVM can tell
    /// accesses with the same base apart.
    fn address(&mut self, mut base: Value, mut offset: i64, ty: Type) -> String {
        let dfg = self.dfg();
        while let Some(inst) = dfg.value_def(base).inst()
            && let InstructionData::Binary { opcode: Opcode::Iadd, args } = dfg.insts[inst]
            && let Some(number) = constant(dfg, args[1])
        {
            base = args[0];
            offset = match self.planted {
                Some(Planted::LlvmAddress) => number,
                _ => offset.wrapping_add(number),
            };
        }
        let typed = self.typed(base);
        let byte = self.pointer(I8);
        let mut place = self.made(&format!("inttoptr {typed} to {byte}"));
        if offset != 0 {
            place = self.made(&format!("getelementptr i8, {byte} {place}, i64 {offset}"));
        }
        let pointer = self.pointer(ty);
        if pointer != byte {
            place = self.made(&format!("bitcast {byte} {place} to {pointer}"));
        }
        format!("{pointer} {place}")
    }

    /// The type of a pointer to a number.
    fn pointer(&self, ty: Type) -> String {
        match self.pointers {
            Pointers::Typed => format!("{ty}*"),
            Pointers::Untyped => "ptr".to_owned(),
        }
    }

    /// What is known of an access, at the end of its line.
    fn access(&self, flags: MemFlagsData, ty: Type) -> String {
        let align = if flags.aligned() { ty.bytes() } else { 1 };
        let scopes = match flags.alias_region().map(|region| self.dfg().alias_regions[region].user_id) {
            Some(0) => ", !alias.scope !11, !noalias !12",
            Some(_) => ", !alias.scope !12, !noalias !11",
            None => "",
        };
        let invariant = if flags.readonly() { ", !invariant.load !7" } else { "" };
        format!(", align {align}{scopes}{invariant}")
    }

    fn load(
        &mut self,
        opcode: Opcode,
        (flags, base, offset): (MemFlagsData, Value, i64),
        result: Value,
    ) -> Result<(), String> {
        let to = self.ty(result);
        let (ty, extend) = match opcode {
            Opcode::Load => (to, ""),
            Opcode::Uload8 => (I8, "zext"),
            Opcode::Uload16 => (I16, "zext"),
            Opcode::Uload32 => (I32, "zext"),
            Opcode::Sload8 => (I8, "sext"),
            Opcode::Sload16 => (I16, "sext"),
            Opcode::Sload32 => (I32, "sext"),
            _ => return Err(format!("`{opcode}` has no translation")),
        };
        let address = self.address(base, offset, ty);
        let access = self.access(flags, ty);
        let load = format!("load {ty}, {address}{access}");
        if extend.is_empty() {
            self.line(&format!("%v{} = {load}", result.as_u32()));
        } else {
            let loaded = self.made(&load);
            self.line(&format!("%v{} = {extend} {ty} {loaded} to {to}", result.as_u32()));
        }
        Ok(())
    }

    fn store(
        &mut self,
        opcode: Opcode,
        (flags, base, offset): (MemFlagsData, Value, i64),
        value: Value,
    ) -> Result<(), String> {
        let from = self.ty(value);
        let ty = match opcode {
            Opcode::Store => from,
            Opcode::Istore8 => I8,
            Opcode::Istore16 => I16,
            Opcode::Istore32 => I32,
            _ => return Err(format!("`{opcode}` has no translation")),
        };
        let typed = self.typed(value);
        let stored = match ty == from {
            true => typed,
            false => format!("{ty} {}", self.made(&format!("trunc {typed} to {ty}"))),
        };
        let address = self.address(base, offset, ty);
        let access = self.access(flags, ty);
        self.line(&format!("store {stored}, {address}{access}"));
        Ok(())
    }
}

/// Whether both ways of a jump lead to one block, which has parameters.
fn joins(dfg: &DataFlowGraph, inst: Inst) -> bool {
    let calls = dfg.insts[inst].branch_destination(&dfg.jump_tables, &dfg.exception_tables);
    matches!(calls, [one, other] if one.block(&dfg.value_lists) == other.block(&dfg.value_lists))
}

/// The values that a jump passes.
fn passed<'a>(call: &'a BlockCall, dfg: &'a DataFlowGraph) -> impl Iterator<Item = Value> + 'a {
    call.args(&dfg.value_lists).filter_map(|argument: BlockArg| argument.as_value())
}

/// The number that a value is, with its sign.
fn constant(dfg: &DataFlowGraph, value: Value) -> Option<i64> {
    let InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } = dfg.insts[dfg.value_def(value).inst()?]
    else {
        return None;
    };
    let unused = 64 - dfg.value_type(value).bits();
    Some(imm.bits() << unused >> unused)
}

fn condition(cond: IntCC) -> &'static str {
    match cond {
        IntCC::Equal => "eq",
        IntCC::NotEqual => "ne",
        IntCC::SignedLessThan => "slt",
        IntCC::SignedGreaterThanOrEqual => "sge",
        IntCC::SignedGreaterThan => "sgt",
        IntCC::SignedLessThanOrEqual => "sle",
        IntCC::UnsignedLessThan => "ult",
        IntCC::UnsignedGreaterThanOrEqual => "uge",
        IntCC::UnsignedGreaterThan => "ugt",
        IntCC::UnsignedLessThanOrEqual => "ule",
    }
}
