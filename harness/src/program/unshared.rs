// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether what a run leaves depends on what engines do not share: where memory lies, and what the stack held before. An engine
//! with memory of its own, such as the kernel, cannot be compared on such a run.
//!
//! [`Unshared`] follows addresses and bytes of the stack that nobody wrote, and what is made of them, through registers and
//! memory. It errs on the side of dependence: a difference of two addresses counts as one, though a packet's length is none.

use std::collections::HashSet;
use std::ops::Range;

use kop_ops::ebpf::{AluOp, AtomicOp, CallTarget, Cond, Insn, Operand, Reg, RegSet, Size};
use kop_ops::program::MapAddresses;
use kop_ops::state::Registers;
use kop_ops::{MapSpec, ProgramKind};
use kop_semantics::spec::Observer;
use kop_semantics::{Outcome, World};

/// Helper functions: update and delete an element, and those that take no memory: clock, random number, CPU, tail call.
const UPDATE: i32 = 2;
const DELETE: i32 = 3;
const LOOKUP: i32 = 1;
const WITHOUT_MEMORY: [i32; 4] = [5, 7, 8, 12];

/// The bytes of a frame.
const FRAME: u64 = 512;

/// Watches a run on `spec`.
#[derive(Debug)]
pub(super) struct Unshared<'a> {
    kind: ProgramKind,
    maps: &'a [MapSpec],
    addresses: &'a MapAddresses,
    /// The registers that hold something engines do not share.
    tainted: RegSet,
    /// The bytes of memory that do.
    memory: HashSet<u64>,
    /// Those of the callers.
    frames: Vec<RegSet>,
    before: Registers,
    /// A helper function has just given r0 a value that `before` does not have.
    is_r0_new: bool,
    /// Control went, or a helper function did something, by what is not shared: anything may depend on it.
    everything: bool,
}

impl<'a> Unshared<'a> {
    /// For a run that starts with `registers`.
    pub(super) fn new(world: &'a World, registers: &Registers) -> Self {
        let slot = world.addresses().slot();
        Self {
            kind: world.kind(),
            maps: world.specs(),
            addresses: world.addresses(),
            tainted: RegSet::of(&[Reg::R1, Reg::R10]),
            memory: (slot.stack()..slot.stack_end()).collect(),
            frames: Vec::new(),
            before: *registers,
            is_r0_new: false,
            everything: false,
        }
    }

    /// Whether it reaches what an engine with memory of its own is compared by.
    pub(super) fn reaches_contents(&self, outcome: &Outcome) -> bool {
        let slot = self.addresses.slot();
        let compared =
            |address: u64| (slot.window()..slot.window_end()).contains(&address) || address >= slot.maps();
        let returned = outcome.end.is_ok() && self.tainted.has(Reg::R0);
        self.everything || returned || self.memory.iter().any(|&address| compared(address))
    }

    fn has(&self, operand: Operand) -> bool {
        matches!(operand, Operand::Reg(register) if self.tainted.has(register))
    }

    fn set(&mut self, register: Reg, tainted: bool) {
        if tainted {
            self.tainted.insert(register);
        } else {
            self.tainted.remove(register);
        }
    }

    fn bytes(address: u64, size: Size) -> Range<u64> {
        address..address.saturating_add(size.bytes() as u64)
    }

    fn holds(&self, mut range: Range<u64>) -> bool {
        range.any(|address| self.memory.contains(&address))
    }

    fn store(&mut self, range: Range<u64>, tainted: bool) {
        for address in range {
            if tainted {
                self.memory.insert(address);
            } else {
                self.memory.remove(&address);
            }
        }
    }

    fn alu(&mut self, op: AluOp, dst: Reg, src: Operand) {
        let is_cleared = matches!(op, AluOp::Xor | AluOp::Sub) && src == Operand::Reg(dst);
        let kept = !op.is_move() && self.tainted.has(dst);
        let tainted = !is_cleared && (kept || self.has(src));
        self.set(dst, tainted);
    }

    fn load(&mut self, size: Size, dst: Reg, base: Reg, off: i16, after: &Registers) {
        let known = if dst == base { &self.before } else { after };
        let address = known[base.index()].wrapping_add(off as u64);
        let is_unknown = dst == base && base == Reg::R0 && self.is_r0_new;
        let slot = self.addresses.slot();
        // Contexts hold the packet's addresses.
        let is_packet = self.kind != ProgramKind::Raw
            && (slot.context()..slot.maps()).contains(&address)
            && self.is_in_window(after[dst.index()]);
        let tainted = is_unknown || is_packet || self.holds(Self::bytes(address, size));
        self.set(dst, tainted);
    }

    fn is_in_window(&self, value: u64) -> bool {
        let slot = self.addresses.slot();
        (slot.window()..=slot.window_end()).contains(&value)
    }

    /// Whether a value is an address of the run, which is zero on no engine.
    fn is_address(&self, value: u64) -> bool {
        let slot = self.addresses.slot();
        let is_on_stack = (slot.stack()..=slot.stack_end()).contains(&value);
        self.is_in_window(value) || is_on_stack || value >= slot.maps() && value >> 32 == 0
    }

    fn atomic(&mut self, op: AtomicOp, size: Size, [base, src]: [Reg; 2], off: i16, after: &Registers) {
        let known = if base == src { &self.before } else { after };
        let range = Self::bytes(known[base.index()].wrapping_add(off as u64), size);
        let (held, given) = (self.holds(range.clone()), self.tainted.has(src));
        match op {
            AtomicOp::LoadAcquire => {}
            AtomicOp::StoreRelease | AtomicOp::Xchg => self.store(range, given),
            AtomicOp::CmpXchg => {
                self.everything |= held || self.tainted.has(Reg::R0);
                self.store(range, held || given);
            }
            _ => self.store(range, held || given),
        }
        let insn = Insn::Atomic { op, size, base, off, src };
        for register in insn.writes().iter() {
            self.set(register, held);
        }
    }

    fn jump(&mut self, cond: Cond, dst: Reg, src: Operand, registers: &Registers) {
        let is_tainted = [self.tainted.has(dst), self.has(src)];
        let value = registers[dst.index()];
        let is_null_check =
            matches!(cond, Cond::Eq | Cond::Ne) && src == Operand::Imm(0) && self.is_address(value);
        let is_bounds_check = match src {
            Operand::Reg(end) => {
                is_tainted == [true; 2]
                    && [value, registers[end.index()]].map(|v| self.is_in_window(v)) == [true; 2]
            }
            Operand::Imm(_) => false,
        };
        self.everything |= is_tainted != [false; 2] && !is_null_check && !is_bounds_check;
    }

    fn call(&mut self, target: CallTarget, registers: &Registers) {
        let id = match target {
            CallTarget::Local(_) => {
                self.frames.push(self.tainted);
                // What earlier calls left there is not shared either.
                let top = registers[Reg::R10.index()].saturating_sub(FRAME);
                return self.store(top.saturating_sub(FRAME)..top, true);
            }
            CallTarget::Helper(id) => id,
            CallTarget::Register(register) => registers[register.index()] as i32,
            CallTarget::Kfunc { .. } | CallTarget::Kop { .. } => return,
        };
        self.everything |= self.helper_reads(id, registers);
        let gives_a_number = id == UPDATE || id == DELETE || WITHOUT_MEMORY.contains(&id);
        self.set(Reg::R0, !gives_a_number);
    }

    /// Whether a helper function reads what is not shared.
    fn helper_reads(&self, id: i32, registers: &Registers) -> bool {
        if WITHOUT_MEMORY.contains(&id) {
            return false;
        }
        let map = self.addresses.index_of_handle(registers[Reg::R1.index()]);
        let (LOOKUP | UPDATE | DELETE, Some(map)) = (id, map) else { return true };
        let MapSpec { key_size, value_size, .. } = self.maps[map];
        let at = |register: Reg, size: u32| {
            let from = registers[register.index()];
            self.holds(from..from.saturating_add(u64::from(size)))
        };
        at(Reg::R2, key_size) || id == UPDATE && at(Reg::R3, value_size)
    }

    fn exit(&mut self) {
        if let Some(caller) = self.frames.pop() {
            let result = self.tainted.has(Reg::R0);
            self.tainted = caller;
            self.set(Reg::R0, result);
        }
    }
}

impl Observer for Unshared<'_> {
    fn executed(&mut self, _program: usize, _index: usize, insn: &Insn, registers: &Registers) {
        if self.is_r0_new && !insn.writes().has(Reg::R0) && registers[Reg::R0.index()] == 0 {
            // Nothing was found, on any engine.
            self.tainted.remove(Reg::R0);
        }
        match *insn {
            Insn::Alu { op, dst, src, .. } => self.alu(op, dst, src),
            Insn::LoadImm64 { dst, kind, .. } => self.set(dst, kind != 0),
            Insn::Load { size, dst, base, off, .. } => self.load(size, dst, base, off, registers),
            Insn::Store { size, base, off, src } => {
                let address = registers[base.index()].wrapping_add(off as u64);
                self.store(Self::bytes(address, size), self.has(src));
            }
            Insn::Atomic { op, size, base, off, src } => self.atomic(op, size, [base, src], off, registers),
            Insn::Jump { cond, dst, src, .. } => self.jump(cond, dst, src, registers),
            Insn::Call { target } => self.call(target, registers),
            Insn::Exit => self.exit(),
            _ => {}
        }
        self.is_r0_new = insn.is_call();
        self.before = *registers;
    }
}

#[cfg(test)]
mod tests {
    use kop_ops::{Catalog, Slot};
    use kop_semantics::{Run, spec};

    use super::*;
    use crate::program::ProgramCase;

    fn depends(source: &str) -> bool {
        let mut case = ProgramCase::parse(&format!("kop-program 1\n{source}\nexit\n")).expect("it parses");
        case.packet = vec![0; 64];
        let lowered = kop_jit::lower(&case.object, &Catalog::einsn()).expect("it has no sites");
        let start = case.start(Slot::default()).expect("it can be set up");
        let mut unshared = Unshared::new(&start.world, &start.registers);
        let run = Run {
            object: &lowered.object,
            entry: 0,
            world: &start.world,
            image: &start.image,
            registers: &start.registers,
            fuel: 1_000,
        };
        let outcome = spec::observed(&run, &mut unshared);
        assert!(outcome.end.is_ok(), "{source}: {:?}", outcome.end);
        unshared.reaches_contents(&outcome)
    }

    #[test]
    fn addresses_and_old_bytes_reach_results_through_registers_memory_and_control() {
        let dependent = [
            ".program p raw\nr0 = r1",
            ".program p raw\nr0 = r10\nr0 >>= 3",
            ".program p raw\nr0 = 0\n*(u64 *)(r1 + 0) = r10",
            ".program p raw\nr0 = 0\nlock *(u64 *)(r1 + 8) |= r10",
            ".program p raw\n*(u64 *)(r10 - 8) = r1\nr0 = *(u8 *)(r10 - 5)",
            ".program p raw\nr0 = 0\nif r1 > 77 goto +1\nr0 = 1",
            ".program p xdp\nr0 = *(u32 *)(r1 + 0)",
            ".map m array 4 8 1\n.program p raw\nr0 = map_val_by_idx(0) ll",
            ".map m hash 4 8 1\n.program p raw\nr1 = map_by_idx(0) ll\nr2 = r10\nr2 += -4\ncall 1\nr0 = 0",
            ".program p raw\nr0 = *(u16 *)(r10 - 24)",
            ".program p raw\nr3 = *(u64 *)(r10 - 24)\nr0 = 0\nif r3 == 0 goto +1\nr0 = 1",
            ".program p raw\n*(u64 *)(r10 - 8) = 1\nr0 = *(u64 *)(r10 - 12)",
        ];
        for source in dependent {
            assert!(depends(source), "{source}");
        }
    }

    #[test]
    fn what_does_not_come_from_them_is_shared() {
        let independent = [
            ".program p raw\nr0 = r2",
            ".program p raw\nr0 = r1\nr0 ^= r0",
            ".program p raw\nr3 = r1\nr0 = *(u64 *)(r3 + 8)\n*(u64 *)(r1 + 0) = r0",
            ".program p raw\n*(u64 *)(r10 - 8) = r1\n*(u64 *)(r10 - 8) = 5\nr0 = *(u64 *)(r10 - 8)",
            ".program p xdp\nr2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\nr0 = 1\nif r2 > r3 goto +1\nr0 = 2",
            ".map m array 4 8 1\n.program p raw\nr3 = map_val_by_idx(0) ll\nr0 = *(u64 *)(r3 + 0)",
            ".map m hash 4 8 1\n.program p raw\nr1 = map_by_idx(0) ll\nr2 = r10\nr2 += -4\n*(u32 *)(r2 + 0) = 0\ncall 1\n\
             if r0 == 0 goto +1\nr0 = *(u64 *)(r0 + 0)",
        ];
        for source in independent {
            assert!(!depends(source), "{source}");
        }
    }
}
