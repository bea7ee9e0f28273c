// SPDX-License-Identifier: GPL-2.0-or-later
//! A flat program as a function of Cranelift's: registers and parts of the stack become values.

mod alu;
mod call;
mod jump;
mod memory;
mod places;

use cranelift_codegen::ir::types::{I8, I16, I32, I64};
use cranelift_codegen::ir::{
    AbiParam, AliasRegion, AliasRegionData, Block, Function, InstBuilder, MemFlagsData, Signature, SourceLoc,
    Type, UserFuncName, Value,
};
use cranelift_codegen::isa::{CallConv, TargetFrontendConfig};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use kop_ops::Arch;
use kop_ops::code::runtime;
use kop_ops::ebpf::{Insn, Operand, Reg, Width};
use kop_ops::program::{MAY_GOTO_BUDGET, NOWHERE};

use crate::Options;
use crate::blocks::{Blocks, is_tail_call};
use crate::demand::Demand;
use crate::error::CompileError;
use crate::flat::{Flat, Op, REGISTERS, What};
use crate::flow::Facts;
use crate::planted::Planted;
use crate::slots::Slots;

/// The function, and what it needs around it.
pub(crate) struct Translated {
    /// The function.
    pub function: Function,
    /// The ids of the helper functions, by slot of the runtime block.
    pub helpers: Vec<i32>,
    /// The program's r10.
    pub frame: Value,
}

/// What is known of the program.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    /// It.
    pub flat: &'a Flat,
    /// Its blocks.
    pub blocks: &'a Blocks,
    /// What holds where.
    pub facts: &'a Facts,
    /// The parts of the stack that are values.
    pub slots: &'a Slots,
    /// Where upper halves matter.
    pub demand: &'a Demand,
}

/// The number of the function that does tail calls.
pub(crate) const TAIL_CALL_THUNK: u32 = 1;

/// Translates a program.
pub(crate) fn translate(
    known: Known,
    options: &Options,
    config: TargetFrontendConfig,
    planted: Option<Planted>,
) -> Result<Translated, CompileError> {
    let mut signature = Signature::new(config.default_call_conv);
    signature.params.push(AbiParam::new(I64));
    signature.returns.push(AbiParam::new(I64));
    let mut function = Function::with_name_signature(UserFuncName::user(0, 0), signature);
    let mut context = FunctionBuilderContext::new();
    let builder = FunctionBuilder::new(&mut function, &mut context);
    let mut translator = Translator::new(known, options, config.default_call_conv, planted, builder);
    translator.entry();
    for block in 0..known.blocks.ranges.len() {
        translator.block(block)?;
    }
    let Translator { mut builder, helpers, frame, .. } = translator;
    builder.seal_all_blocks();
    builder.finalize(config);
    Ok(Translated { function, helpers, frame })
}

/// The state of a translation.
struct Translator<'a> {
    known: Known<'a>,
    options: &'a Options<'a>,
    planted: Option<Planted>,
    builder: FunctionBuilder<'a>,
    convention: CallConv,
    places: places::Held,
    /// The block that is being translated.
    current: usize,
    /// What is left of the iterations of each function's loops; of functions with a `may_goto` alone.
    budgets: Vec<Option<Variable>>,
    /// A block for each of the program's that something leads to.
    blocks: Vec<Option<Block>>,
    /// The address of the runtime block.
    runtime: Value,
    /// The program's r10.
    frame: Value,
    /// The stack, and everything else, where they are apart.
    regions: Option<[AliasRegion; 2]>,
    helpers: Vec<i32>,
}

impl<'a> Translator<'a> {
    fn new(
        known: Known<'a>,
        options: &'a Options<'a>,
        convention: CallConv,
        planted: Option<Planted>,
        mut builder: FunctionBuilder<'a>,
    ) -> Self {
        let places = places::Held::new(&known, &mut builder);
        let mut budgets = vec![None; known.flat.depths.len()];
        for op in &known.flat.ops {
            if matches!(op.what, What::Insn(Insn::MayGoto { .. })) && budgets[op.frame as usize].is_none() {
                budgets[op.frame as usize] = Some(builder.declare_var(I64));
            }
        }
        let reached = known.facts.before.iter().map(Option::is_some);
        let blocks = reached.map(|reached| reached.then(|| builder.create_block())).collect();
        let entry = builder.create_block();
        builder.append_block_params_for_function_params(entry);
        builder.switch_to_block(entry);
        let runtime = builder.block_params(entry)[0];
        let regions = known.slots.apart.then(|| {
            [(0, "stack"), (1, "elsewhere")].map(|(user_id, name)| {
                let data = AliasRegionData { user_id, description: name.into() };
                builder.func.dfg.alias_regions.insert(data)
            })
        });
        Self {
            known,
            options,
            planted,
            builder,
            convention,
            places,
            current: 0,
            budgets,
            blocks,
            runtime,
            frame: runtime,
            regions,
            helpers: Vec::new(),
        }
    }

    /// Whether this mistake is to be made.
    fn planted(&self, mistake: Planted) -> bool {
        self.planted == Some(mistake)
    }

    /// Loads what the program starts with.
    fn entry(&mut self) {
        let runtime = self.runtime;
        let flags = MemFlagsData::trusted();
        let slot = |register: Reg| runtime::REGISTERS + 8 * register.index() as i32;
        self.frame = self.builder.ins().load(I64, flags, runtime, slot(Reg::R10));
        for register in Reg::WRITABLE {
            let value = self.builder.ins().load(I64, flags, runtime, slot(register));
            self.start_place(register.index(), value);
        }
        let zero = self.builder.ins().iconst(I64, 0);
        for place in 10..REGISTERS {
            self.start_place(place, zero);
        }
        for (number, slot) in self.known.slots.slots.iter().enumerate() {
            let flags = self.flags(Some(0));
            let value = self.builder.ins().load(integer(slot.bytes), flags, self.frame, slot.at);
            self.start_place(REGISTERS + number, value);
        }
        let budgets: Vec<Variable> = self.budgets.iter().flatten().copied().collect();
        for budget in budgets {
            let value = self.builder.ins().iconst(I64, MAY_GOTO_BUDGET as i64);
            self.builder.def_var(budget, value);
        }
        let first = self.blocks[0].expect("a program starts with its first block");
        self.builder.ins().jump(first, &[]);
    }

    /// Translates a block.
    fn block(&mut self, number: usize) -> Result<(), CompileError> {
        let Some(block) = self.blocks[number] else { return Ok(()) };
        self.builder.switch_to_block(block);
        self.current = number;
        self.places.forget();
        let range = self.known.blocks.ranges[number].clone();
        for index in range.clone() {
            let op = self.known.flat.ops[index];
            self.builder.set_srcloc(SourceLoc::new(op.origin));
            self.op(index, op)?;
        }
        let last = &self.known.flat.ops[range.end - 1];
        let ends = matches!(last.what, What::Insn(Insn::Exit)) || is_tail_call(last);
        if last.target == NOWHERE && !ends {
            self.go_on(range.end);
        }
        Ok(())
    }

    fn op(&mut self, index: usize, op: Op) -> Result<(), CompileError> {
        match op.what {
            What::Enter => {
                self.enter(op.frame);
                Ok(())
            }
            What::Leave => {
                self.go_on(op.target as usize);
                Ok(())
            }
            What::Insn(insn) => self.insn(index, op, insn),
        }
    }

    fn insn(&mut self, index: usize, op: Op, insn: Insn) -> Result<(), CompileError> {
        let frame = op.frame;
        match insn {
            Insn::Alu { op, width, dst, src } => self.alu(index, frame, (op, width), (dst, src)),
            Insn::Neg { width, dst } => self.negate(index, frame, width, dst),
            Insn::End { kind, bits, dst } => self.byte_order(frame, kind, bits, dst),
            Insn::LoadImm64 { dst, kind, imm } => {
                let value = self.options.addresses.resolve(kind, imm).ok_or_else(|| {
                    CompileError::unsupported(
                        op.origin as usize,
                        format!("`{insn}`: it names nothing known here"),
                    )
                })?;
                let value = self.builder.ins().iconst(I64, value as i64);
                self.set(frame, dst, value);
            }
            Insn::Load { size, signed, dst, base, off } => {
                self.load(index, frame, (size, signed), dst, (base, off))
            }
            Insn::Store { size, base, off, src } => self.store(index, frame, size, (base, off), src),
            Insn::Atomic { op, size, base, off, src } => {
                self.atomic(index, frame, (op, size), (base, off), src)
            }
            Insn::Jump { .. } => self.jump(index, op),
            Insn::Ja { .. } | Insn::Gotol { .. } => self.go_on(op.target as usize),
            Insn::MayGoto { .. } => self.may_goto(index, op),
            Insn::Call { target } => self.call(index, op, target)?,
            Insn::Exit => {
                let result = self.get(frame, Reg::R0);
                self.builder.ins().return_(&[result]);
            }
            Insn::Sidecar { .. } | Insn::LoadAbs { .. } | Insn::LoadInd { .. } => {
                let reason = format!("`{insn}`: the native tier compiles no such instruction");
                return Err(CompileError::unsupported(op.origin as usize, reason));
            }
        }
        Ok(())
    }

    /// What a register holds.
    fn get(&mut self, frame: u32, register: Reg) -> Value {
        match self.known.flat.register(frame, register) {
            Some(place) => self.wide(place),
            None => {
                let offset = self.frame_offset(frame);
                self.builder.ins().iadd_imm_s(self.frame, i64::from(offset))
            }
        }
    }

    fn frame_offset(&self, frame: u32) -> i32 {
        if self.planted(Planted::CalleeFrame) { 0 } else { self.known.flat.frame_offset(frame) }
    }

    /// What an operand is, on a width.
    fn operand(&mut self, frame: u32, width: Width, operand: Operand) -> Value {
        match operand {
            Operand::Reg(register) => self.get_width(frame, width, register),
            Operand::Imm(imm) => self.immediate(width, imm),
        }
    }

    fn immediate(&mut self, width: Width, imm: i32) -> Value {
        let extended = match width {
            Width::W32 => i64::from(imm as u32),
            Width::W64 if self.planted(Planted::ImmediateZeroExtended) => i64::from(imm as u32),
            Width::W64 => i64::from(imm),
        };
        self.builder.ins().iconst(type_of(width), extended)
    }

    /// What a register holds, on a width.
    fn get_width(&mut self, frame: u32, width: Width, register: Reg) -> Value {
        match (width, self.known.flat.register(frame, register)) {
            (Width::W32, Some(place)) => self.narrow(place),
            (Width::W32, None) => {
                let value = self.get(frame, register);
                self.builder.ins().ireduce(I32, value)
            }
            (Width::W64, _) => self.get(frame, register),
        }
    }

    fn place(&self, frame: u32, register: Reg) -> usize {
        self.known.flat.register(frame, register).expect("a program does not write r10")
    }

    fn set(&mut self, frame: u32, register: Reg, value: Value) {
        let place = self.place(frame, register);
        self.put_wide(place, value);
    }

    /// Sets a register to a value of a width.
    fn set_width(&mut self, frame: u32, width: Width, register: Reg, value: Value) {
        let place = self.place(frame, register);
        match width {
            Width::W32 if self.planted(Planted::SignExtends) => {
                let value = self.builder.ins().sextend(I64, value);
                self.put_wide(place, value);
            }
            Width::W32 => self.put_narrow(place, value),
            Width::W64 => self.put_wide(place, value),
        }
    }

    /// How memory is accessed: the stack (0), something else (1), or nobody knows.
    fn flags(&self, region: Option<usize>) -> MemFlagsData {
        let region = self.regions.and_then(|regions| Some(regions[region?]));
        // The verifier has accepted every access.
        MemFlagsData::new().with_notrap().with_alias_region(region)
    }

    fn is_x86(&self) -> bool {
        self.options.arch == Arch::X86_64
    }
}

/// The type of a width.
fn type_of(width: Width) -> Type {
    match width {
        Width::W32 => I32,
        Width::W64 => I64,
    }
}

/// The type of as many bytes.
fn integer(bytes: i32) -> Type {
    match bytes {
        1 => I8,
        2 => I16,
        4 => I32,
        _ => I64,
    }
}
