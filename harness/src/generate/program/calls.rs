// SPDX-License-Identifier: GPL-2.0-or-later
//! Statements that call: helper functions on maps and others, local functions, tail calls, and Kop sites.

use kop_ops::choices::Choices;
use kop_ops::ebpf::{AluOp, Cond, Insn, Reg, RegSet, Size};
use kop_ops::program::{MAP_INDEX, MAP_VALUE_INDEX, MapKind, SiteTarget};
use kop_ops::{Contract, Features, Form, Kop, Operands, Site};

use super::body::{Argument, Body, Function, Generator};
use super::statements::Access;
use super::types::{Pointer, Region, Value};
use super::values;
use crate::generate::random_operands;

/// `enum bpf_func_id`.
const MAP_LOOKUP_ELEM: i32 = 1;
const MAP_UPDATE_ELEM: i32 = 2;
const MAP_DELETE_ELEM: i32 = 3;
const KTIME_GET_NS: i32 = 5;
const GET_PRANDOM_U32: i32 = 7;
const GET_SMP_PROCESSOR_ID: i32 = 8;
const TAIL_CALL: i32 = 12;

/// The most frames that programs get.
const MAX_FRAMES: usize = 6;

/// Stack slots of a local function.
const LOCAL_SLOTS: usize = 4;

/// How many payloads are drawn for a site before it is given up.
const ATTEMPTS: usize = 12;

impl<C: Choices> Generator<'_, C> {
    /// Writes numbers to enough of the stack: its lowest offset from r10.
    fn numbers_on_stack(&mut self, body: &mut Body, bytes: usize) -> Option<i32> {
        let count = bytes.div_ceil(8);
        let slots = body.state.slots.len();
        let starts: Vec<usize> = (count - 1..slots)
            .filter(|lowest| (lowest + 1 - count..=*lowest).all(|slot| body.can_write_slot(slot, false)))
            .collect();
        if starts.is_empty() {
            return None;
        }
        let lowest = *self.choices.pick(&starts);
        for slot in lowest + 1 - count..=lowest {
            let offset = -8 * (slot as i32 + 1);
            if !body.state.reads_stack(offset, 8) || self.choices.one_in(3) {
                let src = self.operand(body);
                body.push(Insn::store(Size::B8, Reg::R10, offset as i16, src));
                body.state.write_stack(offset, 8);
            }
        }
        Some(-8 * (lowest as i32 + 1))
    }

    fn stack_address(&mut self, body: &mut Body, dst: Reg, offset: i32) {
        let pointer = Pointer { region: Region::Frame, offset, slack: 0 };
        body.push(Insn::mov64(dst, Reg::R10));
        body.pointer(dst, Insn::alu64(AluOp::Add, dst, offset), pointer);
    }

    /// Puts a key for a map on the stack, often one that is there.
    fn key(&mut self, body: &mut Body, map: usize) -> Option<i32> {
        let bytes = self.maps[map].key_size as usize;
        let offset = self.numbers_on_stack(body, bytes)?;
        let most = u64::from(self.maps[map].max_entries) + 1;
        let number = self.choices.below(most.min(6)) as i32;
        let size = if bytes == 8 { Size::B8 } else { Size::B4 };
        body.push(Insn::store(size, Reg::R10, offset as i16, number));
        Some(offset)
    }

    /// A map whose elements are looked up.
    fn table(&mut self) -> usize {
        let tables: Vec<usize> = (0..self.maps.len())
            .filter(|map| matches!(self.maps[*map].kind, MapKind::Array | MapKind::Hash))
            .collect();
        *self.choices.pick(&tables)
    }

    fn map_and_key(&mut self, body: &mut Body, map: usize, key: i32) {
        let handle = Insn::LoadImm64 { dst: Reg::R1, kind: MAP_INDEX, imm: map as u64 };
        if self.choices.one_in(2) {
            body.push(handle);
            self.stack_address(body, Reg::R2, key);
        } else {
            self.stack_address(body, Reg::R2, key);
            body.push(handle);
        }
        body.state.set(Reg::R1, Value::Unset);
    }

    /// A call of a helper, in the kernel's form or, where no verifier looks, through a register.
    fn call_helper(&mut self, body: &mut Body, id: i32) {
        if !self.strict && self.choices.one_in(4) && !body.protected.has(Reg::R0) {
            let target = kop_ops::ebpf::CallTarget::Register(Reg::R0);
            body.push(Insn::mov64(Reg::R0, id));
            body.push(Insn::Call { target });
        } else {
            body.push(Insn::call_helper(id));
        }
        body.called();
    }

    /// Looks an element up; what is found is used, or the function ends where there is none.
    pub(super) fn lookup(&mut self, body: &mut Body) -> bool {
        let map = self.table();
        if !body.may_call() {
            return false;
        }
        let Some(key) = self.key(body, map) else { return false };
        self.map_and_key(body, map, key);
        self.call_helper(body, MAP_LOOKUP_ELEM);
        let found = Value::Pointer(Pointer { region: Region::Map(map), offset: 0, slack: 0 });
        let label = body.code.label();
        if body.nesting < 3 && self.choices.one_in(2) {
            body.code.jump(Insn::jump(Cond::Eq, Reg::R0, 0, 0), label);
            let before = body.state.clone();
            body.state.set(Reg::R0, found);
            let count = 1 + self.choices.below(5);
            let ended = self.block(body, count);
            body.code.bind(label);
            body.state = if ended { before } else { body.state.meet(&before) };
        } else {
            body.code.jump(Insn::jump(Cond::Ne, Reg::R0, 0, 0), label);
            let before = body.state.clone();
            self.end(body);
            body.code.bind(label);
            body.state = before;
            body.state.set(Reg::R0, found);
        }
        true
    }

    /// Updates or deletes an element.
    pub(super) fn update(&mut self, body: &mut Body) -> bool {
        let map = self.table();
        let replaces = self.maps[map].kind == MapKind::Hash;
        if !body.may_call() || replaces && body.keeps_elements {
            return false;
        }
        let deletes = self.choices.one_in(3);
        let Some(value) = self.numbers_on_stack(body, self.sizes.values[map] as usize) else { return false };
        let Some(key) = self.key(body, map) else { return false };
        self.map_and_key(body, map, key);
        if deletes {
            self.call_helper(body, MAP_DELETE_ELEM);
        } else {
            self.stack_address(body, Reg::R3, value);
            let flags = *self.choices.pick(&[0, 0, 1, 2]);
            body.number(Reg::R4, Insn::mov64(Reg::R4, flags));
            self.call_helper(body, MAP_UPDATE_ELEM);
        }
        if replaces {
            self.lose_elements(body);
        }
        true
    }

    /// Elements of hash maps may have been replaced: pointers to them point to what was.
    fn lose_elements(&mut self, body: &mut Body) {
        let maps = self.maps;
        body.state
            .forget(|pointer| matches!(pointer.region, Region::Map(map) if maps[map].kind == MapKind::Hash));
        body.updates = true;
    }

    /// A helper whose answer differs between engines, and is dropped.
    pub(super) fn helper(&mut self, body: &mut Body) -> bool {
        if !body.may_call() || !self.clocks {
            return false;
        }
        let id = *self.choices.pick(&[KTIME_GET_NS, GET_PRANDOM_U32, GET_SMP_PROCESSOR_ID]);
        self.call_helper(body, id);
        body.number(Reg::R0, Insn::mov64(Reg::R0, values::imm(self.choices)));
        true
    }

    /// Goes on with another program, if the index is one.
    pub(super) fn tail_call(&mut self, body: &mut Body) -> bool {
        let Some(map) = self.tail_calls.filter(|_| body.is_main && body.may_call()) else { return false };
        if !self.choices.one_in(2) {
            return false;
        }
        let Some(context) = self.holder(body, Region::Context) else { return false };
        if context != Reg::R1 {
            body.push(Insn::mov64(Reg::R1, context));
        }
        body.push(Insn::LoadImm64 { dst: Reg::R2, kind: MAP_INDEX, imm: map as u64 });
        let index = *self.choices.pick(&[0, 1, 2, 3, -1]);
        body.push(Insn::mov32(Reg::R3, index));
        body.push(Insn::call_helper(TAIL_CALL));
        body.called();
        body.state.set(Reg::R0, Value::Unset);
        true
    }

    /// Calls a local function: one that there is, or a new one.
    pub(super) fn local_call(&mut self, body: &mut Body) -> bool {
        if !body.may_call() || body.frames >= MAX_FRAMES {
            return false;
        }
        let fits = |function: &Option<Function>| {
            function.as_ref().is_some_and(|function| {
                body.frames + function.height <= MAX_FRAMES && !(function.updates && body.keeps_elements)
            })
        };
        let known: Vec<usize> = (0..self.functions.len()).filter(|n| fits(&self.functions[*n])).collect();
        let is_new = known.is_empty() || self.choices.one_in(2);
        let number = if is_new {
            if self.functions.len() >= 12 || self.budget < 4 {
                return false;
            }
            let arguments = std::array::from_fn(|_| self.argument(body));
            self.function(body, arguments)
        } else {
            *self.choices.pick(&known)
        };
        let function = self.functions[number].as_ref().expect("it is complete");
        let (arguments, height, updates) = (function.arguments, function.height, function.updates);
        if !self.pass(body, arguments) {
            if is_new {
                // Nothing else calls it, nor those that were made for it.
                self.functions.truncate(number);
            }
            return false;
        }
        body.code.call(number + 1);
        body.called();
        body.height = body.height.max(height + 1);
        if updates {
            self.lose_elements(body);
        }
        true
    }

    fn argument(&mut self, body: &Body) -> Argument {
        match self.choices.below(8) {
            0..=3 => Argument::Scalar,
            4 => Argument::Stack(*self.choices.pick(&[8, 16])),
            5 => Argument::Map(super::DATA_MAP),
            6 if keeps_context(body).is_some() => Argument::Context,
            _ => Argument::Nothing,
        }
    }

    /// Puts the arguments into r1 to r5.
    fn pass(&mut self, body: &mut Body, arguments: [Argument; 5]) -> bool {
        let context = keeps_context(body);
        if arguments.contains(&Argument::Context) && context.is_none() {
            return false;
        }
        for (argument, number) in arguments.into_iter().zip(1..) {
            let register = Reg::new(number).expect("there are five");
            match argument {
                Argument::Nothing => {}
                Argument::Scalar if body.state.get(register) == Value::Scalar => {}
                Argument::Scalar => {
                    let src = self.operand(body);
                    body.number(register, Insn::mov64(register, src));
                }
                Argument::Stack(bytes) => {
                    let Some(offset) = self.numbers_on_stack(body, bytes as usize) else { return false };
                    self.stack_address(body, register, offset);
                }
                Argument::Map(map) => {
                    let insn = Insn::LoadImm64 { dst: register, kind: MAP_VALUE_INDEX, imm: map as u64 };
                    let pointer = Pointer { region: Region::Map(map), offset: 0, slack: 0 };
                    body.pointer(register, insn, pointer);
                }
                Argument::Context => {
                    let context = context.expect("looked at before");
                    let pointer = Pointer { region: Region::Context, offset: 0, slack: 0 };
                    body.pointer(register, Insn::mov64(register, context), pointer);
                }
            }
        }
        true
    }

    /// Makes a function with these arguments; its number.
    fn function(&mut self, caller: &Body, arguments: [Argument; 5]) -> usize {
        let number = self.functions.len();
        self.functions.push(None);
        let mut body = Body::new(LOCAL_SLOTS, caller.frames + 1);
        body.keeps_elements = caller.keeps_elements;
        body.repeats = caller.repeats.min(8);
        for (argument, register) in arguments.into_iter().zip(1..) {
            let pointer = |region| Value::Pointer(Pointer { region, offset: 0, slack: 0 });
            let value = match argument {
                Argument::Nothing => Value::Unset,
                Argument::Scalar => Value::Scalar,
                Argument::Stack(bytes) => pointer(Region::Caller(bytes)),
                Argument::Map(map) => pointer(Region::Map(map)),
                Argument::Context => pointer(Region::Context),
            };
            body.state.set(Reg::new(register).expect("there are five"), value);
        }
        let count = 1 + self.choices.below(8);
        if !self.block(&mut body, count) {
            self.end(&mut body);
        }
        let Body { code, height, updates, .. } = body;
        self.functions[number] = Some(Function { code, arguments, height, updates });
        number
    }

    /// A Kop site whose operands are such that it may stand here.
    pub(super) fn site(&mut self, body: &mut Body) -> bool {
        let forms: Vec<(usize, (&dyn Kop, &Form))> = self.catalog.forms().enumerate().collect();
        if forms.is_empty() {
            return false;
        }
        for _ in 0..ATTEMPTS {
            let (index, (kop, form)) = *self.choices.pick(&forms);
            let Some(operands) = random_operands(kop, form, self.choices) else { continue };
            let Some(operands) = self.with_memory(body, kop, form, operands) else { continue };
            let site = Site { form, operands, features: Features::NONE };
            let (Ok(()), Ok(proof), Ok(payload)) =
                (kop.admits(&site), kop.proof(&site), form.layout.encode(&operands))
            else {
                continue;
            };
            let contract = kop.contract(&site);
            let Some(set) = effect(body, &proof, &contract) else { continue };
            let id = super::SITE_IDS + index as i32;
            let [sidecar, call] = Insn::kop_site(payload, id, 0);
            body.push(sidecar);
            body.push(call);
            for register in Reg::WRITABLE {
                if contract.dead.has(register) {
                    body.state.set(register, Value::Unset);
                } else if set.has(register) {
                    body.state.set(register, Value::Scalar);
                }
            }
            let target = SiteTarget { id, kop: kop.name().to_owned(), form: form.name.to_string() };
            if !self.sites.contains(&target) {
                self.sites.push(target);
            }
            return true;
        }
        false
    }

    /// The operands with bases and offsets that lead to memory.
    fn with_memory(
        &mut self,
        body: &Body,
        kop: &dyn Kop,
        form: &Form,
        mut operands: Operands,
    ) -> Option<Operands> {
        let memory = kop.contract(&Site { form, operands, features: Features::NONE }).memory;
        for usage in memory {
            let access = if usage.access == kop_ops::Access::Read { Access::Read } else { Access::Atomic };
            let (base, off) = self.place(body, usage.size as usize, access)?;
            let fields = form.layout.fields().iter().zip(operands.values_mut());
            for (field, value) in fields {
                if field.is_register() && *value == usage.base.index() as i64 && field.range().1 == 10 {
                    *value = base.index() as i64;
                } else if !field.is_register() && *value == i64::from(usage.offset) {
                    *value = i64::from(off);
                }
            }
            let after = kop.contract(&Site { form, operands, features: Features::NONE }).memory;
            let right = |now: &kop_ops::MemoryUse| now.base == base && now.offset == i32::from(off);
            if !after.iter().any(right) || access == Access::Atomic {
                return None;
            }
        }
        Some(operands)
    }
}

/// A register that holds the context and survives calls.
fn keeps_context(body: &Body) -> Option<Reg> {
    let preserved = [Reg::R6, Reg::R7, Reg::R8, Reg::R9];
    let is_context = |register: &Reg| matches!(body.state.get(*register), Value::Pointer(pointer) if pointer.region == Region::Context);
    preserved.into_iter().find(is_context)
}

/// The registers that hold numbers after a proof sequence because of it; `None` where it may not stand.
fn effect(body: &Body, proof: &[Insn], contract: &Contract) -> Option<RegSet> {
    let mut certain = RegSet::EMPTY;
    let mut written = RegSet::EMPTY;
    let mut branched = false;
    for insn in proof {
        let bases: RegSet = contract.memory.iter().map(|usage| usage.base).collect();
        let addresses = if insn.access().is_some() { bases } else { RegSet::EMPTY };
        let known = body.state.scalars().union(certain).union(contract.dead).union(addresses);
        // A base that the sequence overwrote is no address any more.
        let lost = written.intersect(bases).minus(body.state.scalars());
        if !insn.reads().minus(known.minus(lost.minus(certain))).is_empty() {
            return None;
        }
        if !insn.writes().intersect(body.protected).is_empty() {
            return None;
        }
        written = written.union(insn.writes());
        if !branched {
            certain = certain.union(insn.writes());
        }
        branched |= insn.branch_offset().is_some();
    }
    let maybe = written.minus(certain).minus(body.state.scalars()).minus(contract.dead);
    maybe.is_empty().then_some(written)
}
