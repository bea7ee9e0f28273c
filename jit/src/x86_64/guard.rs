// SPDX-License-Identifier: GPL-2.0-or-later
//! Checks of guarded code: ranges of memory, alignment, fuel; and the way out of the program when one fails.
//!
//! A range check is called with the address in r9 and the instruction's index plus one in r11. It keeps everything but
//! r10 and the flags.

use kop_ops::code::runtime::{self, fault};
use kop_ops::ebpf::{Reg, Size as Bytes};
use kop_ops::x86_64::{AluOp, Base, BranchKind, Cond, Gpr, Mem, Nullary, ShiftOp, Size};

use super::{Compiler, RUNTIME, gpr};

/// Holds the address that is checked.
pub(super) const ADDRESS: Gpr = Gpr::R9;

const KIND: Gpr = Gpr::R10;
const AT: Gpr = Gpr::R11;

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

/// The end of a failed check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stub {
    place: u32,
    /// Index of the instruction in the program.
    origin: u32,
    kind: StubKind,
}

/// Which check failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StubKind {
    /// The address in r9 is no multiple of the access's size.
    Alignment,
    Fuel,
    Depth,
    /// The engine refused a helper call and has said why.
    Helper,
}

/// The number of the range check for an access.
fn check_number(direction: Direction, size: Bytes) -> usize {
    direction as usize * 4 + size as usize
}

impl<const PLANTED: bool> Compiler<'_, PLANTED> {
    /// The memory operand of an access, checked in guarded code.
    pub(super) fn checked(&mut self, index: usize, mem: Mem, size: Bytes, direction: Direction) -> Mem {
        if !self.options.guarded {
            return mem;
        }
        self.load_address(mem);
        self.check(index, size, direction);
        Mem::at(ADDRESS, 0)
    }

    /// As [`Compiler::checked`] for an atomic operation, which also has to be aligned.
    pub(super) fn atomic_address(
        &mut self,
        index: usize,
        base: Reg,
        off: i16,
        size: Bytes,
        direction: Direction,
    ) -> Mem {
        let mem = Mem::at(gpr(base), self.displacement(base, off));
        if !self.options.guarded {
            return mem;
        }
        self.load_address(mem);
        if size != Bytes::B1 {
            self.code.test(Size::B1, ADDRESS, size.bytes() as i32 - 1);
            self.fault_if(Cond::Ne, index, StubKind::Alignment);
        }
        self.check(index, size, direction);
        Mem::at(ADDRESS, 0)
    }

    fn load_address(&mut self, mem: Mem) {
        match mem.base {
            Base::Reg(base) if mem.disp == 0 && mem.index.is_none() => self.code.mov(Size::B8, ADDRESS, base),
            _ => self.code.lea(Size::B8, ADDRESS, mem),
        }
    }

    fn check(&mut self, index: usize, size: Bytes, direction: Direction) {
        self.code.mov(Size::B4, AT, self.body.origin(index) as i32 + 1);
        let number = check_number(direction, size);
        let place = self.checks[number].unwrap_or_else(|| self.new_place());
        self.checks[number] = Some(place);
        self.branch(BranchKind::Call, place);
    }

    /// Leaves the program where `cond` holds.
    pub(super) fn fault_if(&mut self, cond: Cond, index: usize, kind: StubKind) {
        let place = self.new_place();
        self.stubs.push(Stub { place, origin: self.body.origin(index), kind });
        self.branch(BranchKind::Jcc(cond), place);
    }

    /// What checks branch to and call, behind the program.
    pub(super) fn shared_ends(&mut self) {
        if !self.options.guarded {
            return;
        }
        self.mark_plain();
        let (leave, known) = (self.new_place(), self.new_place());
        for stub in std::mem::take(&mut self.stubs) {
            self.bind(stub.place as usize);
            self.code.mov(Size::B4, AT, stub.origin as i32 + 1);
            let kind = match stub.kind {
                StubKind::Alignment => fault::ALIGNMENT,
                StubKind::Fuel => fault::FUEL,
                StubKind::Depth => fault::DEPTH,
                StubKind::Helper => {
                    self.branch(BranchKind::Jmp, known);
                    continue;
                }
            };
            self.code.mov(Size::B4, KIND, kind as i32);
            self.branch(BranchKind::Jmp, leave);
        }
        for direction in [Direction::Read, Direction::Write] {
            for size in Bytes::ALL {
                if let Some(place) = self.checks[check_number(direction, size)] {
                    self.bind(place as usize);
                    self.range_check(direction, size, leave);
                }
            }
        }
        self.bind(leave as usize);
        self.code.mov(Size::B8, Mem::at(RUNTIME, runtime::FAULT_KIND), KIND);
        self.code.mov(Size::B8, Mem::at(RUNTIME, runtime::FAULT_ADDRESS), ADDRESS);
        self.bind(known as usize);
        self.code.mov(Size::B8, Mem::at(RUNTIME, runtime::FAULT_AT), AT);
        self.leave();
    }

    /// Looks for a range with all bytes of the access, from the last to the first.
    fn range_check(&mut self, direction: Direction, size: Bytes, leave: u32) {
        let range = |disp| Mem::at(KIND, runtime::RANGES - 16 + disp);
        self.code.push_operand(Gpr::Rax);
        self.code.mov(Size::B8, KIND, Mem::at(RUNTIME, runtime::RANGE_COUNT));
        self.code.shift(ShiftOp::Shl, Size::B8, KIND, 4);
        self.code.alu(AluOp::Add, Size::B8, KIND, RUNTIME);
        let next = self.code.skip_always();
        let again = self.code.len();
        self.code.mov(Size::B8, Gpr::Rax, ADDRESS);
        self.code.alu(AluOp::Sub, Size::B8, Gpr::Rax, range(0));
        let below = self.code.skip(Cond::B);
        self.code.alu(AluOp::Add, Size::B8, Gpr::Rax, size.bytes() as i32);
        let wraps = self.code.skip(Cond::B);
        self.code.alu(AluOp::Cmp, Size::B8, Gpr::Rax, range(8));
        let above = self.code.skip(Cond::A);
        self.code.pop(Gpr::Rax);
        self.code.nullary(Nullary::Ret);
        for skip in [below, wraps, above] {
            self.code.land(skip);
        }
        self.code.alu(AluOp::Sub, Size::B8, KIND, 16);
        self.code.land(next);
        self.code.alu(AluOp::Cmp, Size::B8, KIND, RUNTIME);
        self.code.back(Cond::Ne, again);
        let kind = match direction {
            Direction::Read => fault::READ,
            Direction::Write => fault::WRITE,
        };
        self.code.mov(Size::B4, KIND, kind as i32);
        self.branch(BranchKind::Jmp, leave);
    }
}
