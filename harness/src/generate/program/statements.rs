// SPDX-License-Identifier: GPL-2.0-or-later
//! Statements without calls: arithmetic, memory, and pointers.

use kop_ops::ProgramKind;
use kop_ops::choices::Choices;
use kop_ops::ebpf::{AluOp, AtomicOp, Cond, EndKind, Insn, Operand, Reg, Size, Width};
use kop_ops::program::{MAP_VALUE_INDEX, MapKind};

use super::body::{Body, Generator};
use super::types::{Pointer, Region, Slot, Value, stack_byte};
use super::values;

/// Where the packet's bounds are in the context: of its start and of its end.
fn bounds(kind: ProgramKind) -> Option<(i16, i16)> {
    match kind {
        ProgramKind::Raw => None,
        // offsetof(struct xdp_md, data), data_end.
        ProgramKind::Xdp => Some((0, 4)),
        // offsetof(struct __sk_buff, data), data_end.
        ProgramKind::Tc => Some((76, 80)),
    }
}

impl<C: Choices> Generator<'_, C> {
    /// A statement without control flow around others; one of arithmetic where the one that was wanted is not possible.
    pub(super) fn plain(&mut self, body: &mut Body) {
        let done = match self.choices.below(40) {
            0..=5 => self.load(body),
            6..=10 => self.store(body),
            11..=13 => self.atomic(body),
            14..=15 => self.spill(body),
            16..=17 => self.fill(body),
            18..=19 => self.step(body),
            20..=21 => self.check_packet(body),
            22..=23 => self.map_value(body),
            24 => self.lookup(body),
            25 => self.update(body),
            26 => self.helper(body),
            27..=28 => self.local_call(body),
            29..=31 => self.site(body),
            32 => self.tail_call(body),
            33 => self.filler(body),
            34 => self.copy_pointer(body),
            _ => false,
        };
        if !done {
            self.arithmetic(body);
        }
    }

    /// One instruction on numbers.
    pub(super) fn arithmetic(&mut self, body: &mut Body) -> bool {
        let Some(dst) = self.writable_scalar(body) else { return false };
        let insn = match self.choices.below(16) {
            0..=1 => Insn::mov64(dst, self.operand(body)),
            2 => Insn::mov32(dst, self.operand(body)),
            3 => Insn::load_imm64(dst, values::wide(self.choices)),
            4 => Insn::Neg { width: self.width(), dst },
            5 => {
                let kind = *self.choices.pick(&EndKind::ALL);
                Insn::End { kind, bits: *self.choices.pick(&[16, 32, 64]), dst }
            }
            6 => return self.extend(body),
            _ => self.operation(body, dst),
        };
        body.number(dst, insn);
        true
    }

    fn extend(&mut self, body: &mut Body) -> bool {
        let (Some(src), Some(dst)) = (self.scalar(body), self.destination(body)) else { return false };
        let forms = [
            (AluOp::MovSx8, Width::W32),
            (AluOp::MovSx8, Width::W64),
            (AluOp::MovSx16, Width::W32),
            (AluOp::MovSx16, Width::W64),
            (AluOp::MovSx32, Width::W64),
        ];
        let (op, width) = *self.choices.pick(&forms);
        body.number(dst, Insn::alu(op, width, dst, src));
        true
    }

    fn operation(&mut self, body: &Body, dst: Reg) -> Insn {
        const OPS: [AluOp; 13] = [
            AluOp::Add,
            AluOp::Sub,
            AluOp::Mul,
            AluOp::Div,
            AluOp::SDiv,
            AluOp::Or,
            AluOp::And,
            AluOp::Lsh,
            AluOp::Rsh,
            AluOp::Mod,
            AluOp::SMod,
            AluOp::Xor,
            AluOp::Arsh,
        ];
        let (op, width) = (*self.choices.pick(&OPS), self.width());
        let src = match (op, self.operand(body)) {
            (AluOp::Lsh | AluOp::Rsh | AluOp::Arsh, Operand::Imm(imm)) if self.strict => {
                Operand::Imm(imm.rem_euclid(width.bits() as i32))
            }
            // The verifier refuses a division by a zero that it sees.
            (AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod, Operand::Imm(0)) if self.strict => {
                Operand::Imm(-1)
            }
            (_, src) => src,
        };
        Insn::Alu { op, width, dst, src }
    }

    /// A stretch of arithmetic: something for branches to go over.
    pub(super) fn filler(&mut self, body: &mut Body) -> bool {
        let length = if self.long {
            *self.choices.pick(&[100, 1_000, 9_000, 33_000])
        } else {
            8 + self.choices.below(40) as usize
        };
        let Some(dst) = self.writable_scalar(body) else { return false };
        let stretch: Vec<Insn> = (0..length.min(24)).map(|_| self.operation(body, dst)).collect();
        for insn in stretch.iter().cycle().take(length) {
            body.push(*insn);
        }
        true
    }

    /// A place of `size` bytes that may be accessed: base register and offset.
    pub(super) fn place(&mut self, body: &Body, size: usize, access: Access) -> Option<(Reg, i16)> {
        let pointers: Vec<(Reg, Pointer)> = body
            .state
            .pointers()
            .filter(|(_, pointer)| !matches!(pointer.region, Region::PacketEnd | Region::Context))
            // The kernel has no atomic operations on packets.
            .filter(|(_, pointer)| access != Access::Atomic || !matches!(pointer.region, Region::Packet(_)))
            .collect();
        let (base, pointer) = *self.choices.pick(&pointers);
        let offset = match pointer.region {
            Region::Frame => self.stack_place(body, size, access)?,
            region => {
                let length = body.state.length(region, &self.sizes)?;
                self.region_place(length, &pointer, size, access)?
            }
        };
        let off = i16::try_from(offset - pointer.offset).ok()?;
        Some((base, off))
    }

    /// An offset from r10.
    fn stack_place(&mut self, body: &Body, size: usize, access: Access) -> Option<i32> {
        let aligned = self.strict || access == Access::Atomic || !self.choices.one_in(4);
        let step = if aligned { size } else { 1 };
        let lowest = -8 * body.state.slots.len() as i32;
        let writable = |offset: i32, last: i32| {
            [offset, last].iter().all(|byte| body.can_write_slot(stack_byte(*byte).0, false))
        };
        let fits = |offset: &i32| {
            let last = offset + size as i32 - 1;
            last < 0
                && (access == Access::Read || writable(*offset, last))
                && (access == Access::Write || body.state.reads_stack(*offset, size))
        };
        let offsets: Vec<i32> = (lowest..0).step_by(step).filter(fits).collect();
        (!offsets.is_empty()).then(|| *self.choices.pick(&offsets))
    }

    /// An offset from the region's start: at its ends, or anywhere.
    fn region_place(&mut self, length: i32, pointer: &Pointer, size: usize, access: Access) -> Option<i32> {
        let last = length - size as i32 - pointer.slack as i32;
        if last < 0 {
            return None;
        }
        let offset = match self.choices.below(4) {
            0 => 0,
            1 => last,
            _ => self.choices.below(last as u64 + 1) as i32,
        };
        let on_stack = matches!(pointer.region, Region::Caller(_));
        if access != Access::Atomic && !(on_stack && self.strict) {
            return Some(offset);
        }
        (pointer.slack == 0).then_some(offset / size as i32 * size as i32)
    }

    /// Notes a store through a base register.
    pub(super) fn stored(&mut self, body: &mut Body, base: Reg, off: i16, size: usize) {
        if let Value::Pointer(Pointer { region: Region::Frame, offset, .. }) = body.state.get(base) {
            body.state.write_stack(offset + i32::from(off), size);
        }
    }

    fn load(&mut self, body: &mut Body) -> bool {
        let size = self.size();
        let Some((base, off)) = self.place(body, size.bytes(), Access::Read) else { return false };
        let Some(dst) = self.destination(body) else { return false };
        let signed = size != Size::B8 && self.choices.one_in(3);
        body.number(dst, Insn::Load { size, signed, dst, base, off });
        true
    }

    fn store(&mut self, body: &mut Body) -> bool {
        let size = self.size();
        let src = self.operand(body);
        let Some((base, off)) = self.place(body, size.bytes(), Access::Write) else { return false };
        body.push(Insn::Store { size, base, off, src });
        self.stored(body, base, off, size.bytes());
        true
    }

    fn atomic(&mut self, body: &mut Body) -> bool {
        let op = *self.choices.pick(&AtomicOp::ALL);
        let size = match op.is_read_modify_write() {
            true => *self.choices.pick(&[Size::B4, Size::B8]),
            false => self.size(),
        };
        let writes = Insn::atomic(op, size, Reg::R10, 0, Reg::R0).writes();
        let src = match op {
            AtomicOp::LoadAcquire => self.destination(body),
            _ if writes.has(Reg::R0) && op != AtomicOp::CmpXchg => self.writable_scalar(body),
            _ => self.scalar(body),
        };
        let Some(src) = src else { return false };
        if op == AtomicOp::CmpXchg {
            if body.protected.has(Reg::R0) {
                return false;
            }
            if body.state.get(Reg::R0) != Value::Scalar {
                body.number(Reg::R0, Insn::mov64(Reg::R0, values::imm(self.choices)));
            }
        }
        let Some((base, off)) = self.place(body, size.bytes(), Access::Atomic) else { return false };
        let insn = Insn::atomic(op, size, base, off, src);
        if op == AtomicOp::CmpXchg && self.choices.one_in(2) {
            // Otherwise memory would seldom hold what r0 does. A store leaves garbage in the upper half of r0.
            if self.choices.one_in(2) {
                body.push(Insn::store(size, base, off, Reg::R0));
            } else {
                body.push(Insn::load(size, Reg::R0, base, off));
            }
        }
        body.push(insn);
        if op != AtomicOp::LoadAcquire {
            self.stored(body, base, off, size.bytes());
        }
        for register in insn.writes().iter() {
            body.state.set(register, Value::Scalar);
        }
        true
    }

    /// Stores a register to the stack: a number or a pointer.
    fn spill(&mut self, body: &mut Body) -> bool {
        let spilled: Vec<(Reg, Value)> = Reg::ALL
            .into_iter()
            .map(|register| (register, body.state.get(register)))
            .filter(|(_, value)| *value != Value::Unset)
            .collect();
        let (src, value) = *self.choices.pick(&spilled);
        let slots: Vec<usize> = (0..body.state.slots.len())
            .filter(|slot| body.can_write_slot(*slot, value != Value::Scalar))
            .collect();
        if slots.is_empty() {
            return false;
        }
        let slot = *self.choices.pick(&slots);
        body.push(Insn::store(Size::B8, Reg::R10, -8 * (slot as i16 + 1), src));
        body.state.slots[slot] = match value {
            Value::Pointer(pointer) => Slot::Spill(pointer),
            _ => Slot::Bytes(0xff),
        };
        true
    }

    /// Loads what was stored to the stack, preferably a pointer.
    fn fill(&mut self, body: &mut Body) -> bool {
        let filled: Vec<(usize, Value)> = body
            .state
            .slots
            .iter()
            .enumerate()
            .filter_map(|(slot, contents)| match contents {
                Slot::Bytes(0xff) => Some((slot, Value::Scalar)),
                Slot::Spill(pointer) => Some((slot, Value::Pointer(*pointer))),
                Slot::Bytes(_) => None,
            })
            .collect();
        let pointers: Vec<_> = filled.iter().copied().filter(|(_, value)| *value != Value::Scalar).collect();
        let from = if pointers.is_empty() || self.choices.one_in(2) { filled } else { pointers };
        let Some(dst) = self.destination(body).filter(|_| !from.is_empty()) else { return false };
        let (slot, value) = *self.choices.pick(&from);
        body.push(Insn::load(Size::B8, dst, Reg::R10, -8 * (slot as i16 + 1)));
        body.state.set(dst, value);
        true
    }

    fn copy_pointer(&mut self, body: &mut Body) -> bool {
        let pointers: Vec<_> = body.state.pointers().collect();
        let (src, pointer) = *self.choices.pick(&pointers);
        let Some(dst) = self.destination(body) else { return false };
        body.pointer(dst, Insn::mov64(dst, src), pointer);
        true
    }

    /// Moves a pointer, by a constant or by a number that is cut to a few bits before.
    fn step(&mut self, body: &mut Body) -> bool {
        let movable: Vec<(Reg, Pointer)> = body
            .state
            .pointers()
            .filter(|(register, _)| *register == Reg::R10 || !body.protected.has(*register))
            .filter(|(_, pointer)| !matches!(pointer.region, Region::PacketEnd | Region::Context))
            .collect();
        let (mut register, mut pointer) = *self.choices.pick(&movable);
        if register == Reg::R10 {
            let Some(dst) = self.destination(body) else { return false };
            body.pointer(dst, Insn::mov64(dst, Reg::R10), pointer);
            register = dst;
        }
        let on_stack = matches!(pointer.region, Region::Frame | Region::Caller(_));
        if !on_stack && self.choices.one_in(2) {
            return self.step_unknown(body, register, pointer);
        }
        let by = match pointer.region {
            Region::Frame => {
                -8 * self.choices.below(body.state.slots.len() as u64 + 1) as i32 - pointer.offset
            }
            region => {
                let length = body.state.length(region, &self.sizes).unwrap_or(0).max(1);
                self.choices.below(length as u64) as i32 - pointer.offset
            }
        };
        pointer.offset += by;
        let insn = match self.choices.below(3) {
            // The verifier lets nothing be subtracted from a pointer to the stack.
            0 if !on_stack || !self.strict => Insn::alu64(AluOp::Sub, register, -by),
            _ => Insn::alu64(AluOp::Add, register, by),
        };
        body.pointer(register, insn, pointer);
        true
    }

    fn step_unknown(&mut self, body: &mut Body, register: Reg, mut pointer: Pointer) -> bool {
        let length = body.state.length(pointer.region, &self.sizes).unwrap_or(0);
        let room = match pointer.region {
            Region::Packet(_) => 64,
            _ => length - pointer.offset - pointer.slack as i32,
        };
        let Some(amount) = self.writable_scalar(body).filter(|amount| *amount != register && room > 1) else {
            return false;
        };
        let mask = (room as u32).next_power_of_two() / 2 - 1;
        let mask = mask >> self.choices.below(4);
        body.push(Insn::alu(AluOp::And, self.width(), amount, mask as i32));
        if matches!(pointer.region, Region::Packet(_)) {
            pointer = Pointer { region: Region::Packet(self.origin()), offset: 0, slack: 0 };
        } else {
            pointer.slack += mask;
        }
        body.pointer(register, Insn::alu64(AluOp::Add, register, amount), pointer);
        true
    }

    /// The address of a map's only value.
    fn map_value(&mut self, body: &mut Body) -> bool {
        let direct: Vec<usize> = (0..self.maps.len())
            .filter(|index| self.maps[*index].kind == MapKind::Array && self.maps[*index].max_entries == 1)
            .collect();
        let Some(dst) = self.destination(body) else { return false };
        let index = *self.choices.pick(&direct);
        let offset = self.choices.below(u64::from(self.sizes.values[index]));
        let offset = if self.choices.one_in(2) { 0 } else { offset };
        let insn = Insn::LoadImm64 { dst, kind: MAP_VALUE_INDEX, imm: offset << 32 | index as u64 };
        let pointer = Pointer { region: Region::Map(index), offset: offset as i32, slack: 0 };
        body.pointer(dst, insn, pointer);
        true
    }

    /// A register that points to `region`, from a register or, in `dst`, from the stack.
    pub(super) fn holder(&mut self, body: &mut Body, region: Region) -> Option<Reg> {
        if let Some((register, _)) = body.state.pointers().find(|(_, pointer)| pointer.region == region) {
            return Some(register);
        }
        let slot = body.state.slots.iter().position(
            |slot| matches!(slot, Slot::Spill(pointer) if pointer.region == region && pointer.offset == 0),
        )?;
        let dst = self.destination(body)?;
        let insn = Insn::load(Size::B8, dst, Reg::R10, -8 * (slot as i16 + 1));
        body.pointer(dst, insn, Pointer { region, offset: 0, slack: 0 });
        Some(dst)
    }

    /// A pointer to the packet, from the context if there is none at hand.
    fn packet(&mut self, body: &mut Body) -> Option<(Reg, u32, i32)> {
        let known: Vec<_> = body
            .state
            .pointers()
            .filter_map(|(register, pointer)| match pointer.region {
                Region::Packet(origin) => Some((register, origin, pointer.offset)),
                _ => None,
            })
            .collect();
        if !known.is_empty() && !self.choices.one_in(4) {
            return Some(*self.choices.pick(&known));
        }
        let (start, _) = bounds(self.kind)?;
        let context = self.holder(body, Region::Context)?;
        let dst = self.destination(body)?;
        let origin = self.origin();
        let pointer = Pointer { region: Region::Packet(origin), offset: 0, slack: 0 };
        body.pointer(dst, Insn::load(Size::B4, dst, context, start), pointer);
        Some((dst, origin, 0))
    }

    fn packet_end(&mut self, body: &mut Body, besides: Reg) -> Option<Reg> {
        let known = body.state.pointers().find(|(_, pointer)| pointer.region == Region::PacketEnd);
        if let Some((register, _)) = known {
            return Some(register);
        }
        let (_, end) = bounds(self.kind)?;
        let context = self.holder(body, Region::Context)?;
        let dst = self.destination(body).filter(|dst| *dst != besides)?;
        let pointer = Pointer { region: Region::PacketEnd, offset: 0, slack: 0 };
        body.pointer(dst, Insn::load(Size::B4, dst, context, end), pointer);
        Some(dst)
    }

    /// Compares a pointer into the packet with the packet's end; where it does not fit, the function ends or some statements
    /// are left out.
    pub(super) fn check_packet(&mut self, body: &mut Body) -> bool {
        let Some((packet, origin, offset)) = self.packet(body) else { return false };
        let Some(end) = self.packet_end(body, packet) else { return false };
        let Some(beyond) = self.destination(body).filter(|dst| *dst != end) else { return false };
        if !matches!(body.state.get(packet), Value::Pointer(pointer) if pointer.region == Region::Packet(origin))
        {
            return false;
        }
        let bytes = *self.choices.pick(&[1, 2, 4, 8, 14, 14, 16, 20, 34, 34, 42, 54, 64, 80]);
        let pointer = Pointer { region: Region::Packet(origin), offset: bytes, slack: 0 };
        if beyond != packet {
            body.push(Insn::mov64(beyond, packet));
        }
        body.pointer(beyond, Insn::alu64(AluOp::Add, beyond, bytes - offset), pointer);
        let label = body.code.label();
        let skips = body.nesting < 3 && self.choices.one_in(2);
        let fits = match self.choices.below(2) {
            0 if skips => Insn::jump(Cond::Gt, beyond, end, 0),
            _ if skips => Insn::jump(Cond::Lt, end, beyond, 0),
            0 => Insn::jump(Cond::Le, beyond, end, 0),
            _ => Insn::jump(Cond::Ge, end, beyond, 0),
        };
        body.code.jump(fits, label);
        let mut before = body.state.clone();
        if skips {
            // Where it does not fit, the verifier lets nothing be accessed through this register.
            before.set(beyond, Value::Unset);
            note_checked(body, origin, bytes);
            let count = 1 + self.choices.below(6);
            let ended = self.block(body, count);
            body.code.bind(label);
            body.state = if ended { before } else { body.state.meet(&before) };
        } else {
            self.end(body);
            body.code.bind(label);
            body.state = before;
            note_checked(body, origin, bytes);
        }
        true
    }
}

fn note_checked(body: &mut Body, origin: u32, bytes: i32) {
    let known = body.state.checked.entry(origin).or_insert(0);
    *known = (*known).max(bytes as u32);
}

/// A way to access memory, as far as it makes a difference to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
    /// Aligned, and a read as well as a write.
    Atomic,
}
