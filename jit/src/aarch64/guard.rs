// SPDX-License-Identifier: GPL-2.0-or-later
//! Checks of guarded code: ranges of memory, alignment, fuel; and the way out of the program when one fails.
//!
//! A range check is called with the address in x9 and the instruction's index plus one in x11. It keeps everything but
//! x10, x12 to x15, x30 and the flags.

use kop_ops::aarch64::{AddSub, Cond, Gpr, Insn, LogicalImm, Mem, Size, Width};
use kop_ops::code::runtime::{self, fault};
use kop_ops::ebpf::{Reg, Size as Bytes};

use super::{Compiler, RUNTIME, gpr, size_of};

/// Holds the address that is checked.
pub(super) const ADDRESS: Gpr = Gpr::X9;

const KIND: Gpr = Gpr::X10;
const AT: Gpr = Gpr::X11;

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
    /// The address in x9 is no multiple of the access's size.
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
    pub(super) fn address(
        &mut self,
        index: usize,
        base: Reg,
        off: i16,
        bytes: Bytes,
        direction: Direction,
    ) -> Mem {
        let offset = self.displacement(base, off);
        self.address_at(index, gpr(base), offset, bytes, direction)
    }

    /// As [`Compiler::address`], of a native register and any offset.
    pub(super) fn address_at(
        &mut self,
        index: usize,
        base: Gpr,
        offset: i32,
        bytes: Bytes,
        direction: Direction,
    ) -> Mem {
        if !self.options.guarded {
            return self.operand(base, offset, size_of(bytes));
        }
        self.add_imm(Width::X, ADDRESS, base, offset.into());
        self.check(index, bytes, direction);
        Mem::base(ADDRESS)
    }

    /// The register with the address of an atomic operation; guarded code checks that it is aligned, too.
    pub(super) fn atomic_address(
        &mut self,
        index: usize,
        base: Reg,
        off: i16,
        bytes: Bytes,
        direction: Direction,
    ) -> Gpr {
        let offset = self.displacement(base, off);
        if offset == 0 && !self.options.guarded {
            return gpr(base);
        }
        self.add_imm(Width::X, ADDRESS, gpr(base), offset.into());
        if !self.options.guarded {
            return ADDRESS;
        }
        if bytes != Bytes::B1 {
            let low = bytes.bytes() as u64 - 1;
            self.code.logical_imm(LogicalImm::Ands, Width::X, Gpr::Xzr, ADDRESS, low);
            self.fault_if(Insn::b_cond(Cond::Ne), index, StubKind::Alignment);
        }
        self.check(index, bytes, direction);
        ADDRESS
    }

    pub(super) fn check(&mut self, index: usize, size: Bytes, direction: Direction) {
        self.load_imm(Width::W, AT, u64::from(self.body.origin(index)) + 1);
        let number = check_number(direction, size);
        let place = match self.checks[number] {
            Some(place) => place,
            None => {
                let place = self.new_place();
                *self.checks[number].insert(place)
            }
        };
        self.branch(Insn::Bl { offset: 0 }, place);
    }

    /// Leaves the program where the branch is taken.
    pub(super) fn fault_if(&mut self, branch: Insn, index: usize, kind: StubKind) {
        let place = self.new_place();
        self.stubs.push(Stub { place, origin: self.body.origin(index), kind });
        self.branch(branch, place);
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
            self.load_imm(Width::W, AT, u64::from(stub.origin) + 1);
            let kind = match stub.kind {
                StubKind::Alignment => fault::ALIGNMENT,
                StubKind::Fuel => fault::FUEL,
                StubKind::Depth => fault::DEPTH,
                StubKind::Helper => {
                    self.branch(Insn::B { offset: 0 }, known);
                    continue;
                }
            };
            self.load_imm(Width::W, KIND, kind);
            self.branch(Insn::B { offset: 0 }, leave);
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
        self.code.store_pair(KIND, ADDRESS, Mem::offset(RUNTIME, runtime::FAULT_KIND));
        self.bind(known as usize);
        self.code.store(Size::B8, AT, Mem::offset(RUNTIME, runtime::FAULT_AT));
        self.leave();
    }

    /// Looks for a range with all bytes of the access.
    fn range_check(&mut self, direction: Direction, bytes: Bytes, leave: u32) {
        let (left, next, first, length) = (KIND, Gpr::X12, Gpr::X13, Gpr::X14);
        self.code.load(Size::B8, left, Mem::offset(RUNTIME, runtime::RANGE_COUNT));
        self.code.add_sub_imm(AddSub::Add, Width::X, next, RUNTIME, runtime::RANGES as u32);
        let again = self.code.len();
        let none = self.code.skip(Insn::cbz(Width::X, left));
        self.code.load_pair(first, length, Mem::post(next, 16));
        self.code.add_sub_imm(AddSub::Sub, Width::X, left, left, 1);
        // The length less that of the access must neither be negative nor below the distance from the first byte.
        self.code.add_sub_imm(AddSub::Subs, Width::X, length, length, bytes.bytes() as u32);
        self.code.back(Insn::b_cond(Cond::Lo), again);
        self.code.add_sub(AddSub::Sub, Width::X, first, ADDRESS, first);
        self.code.add_sub(AddSub::Subs, Width::X, Gpr::Xzr, first, length);
        self.code.back(Insn::b_cond(Cond::Hi), again);
        self.code.ret();
        self.code.land(none);
        let kind = match direction {
            Direction::Read => fault::READ,
            Direction::Write => fault::WRITE,
        };
        self.load_imm(Width::W, KIND, kind);
        self.branch(Insn::B { offset: 0 }, leave);
    }
}
