// SPDX-License-Identifier: GPL-2.0-or-later
//! Registers and memory as integers.

use kop_ops::Fault;
use kop_ops::ebpf::{AtomicOp, Reg, RegSet, Size};
use kop_ops::program::MapAddresses;
use kop_ops::state::{Access, Registers};

use crate::domain::Integers;
use crate::ebpf::Machine;
use crate::world::Image;

/// The registers that calls leave undefined.
pub(super) const ARGUMENTS: RegSet = RegSet::of(&[Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5]);

/// What r1..r5 hold after a call: no address, and no small number.
const UNDEFINED: u64 = 0xdead_c0de_bad0_0000;

/// The machine that the interpreter runs on.
pub(super) struct Cpu<'r> {
    pub domain: Integers,
    pub registers: Registers,
    pub defined: RegSet,
    pub image: &'r mut Image,
    pub addresses: &'r MapAddresses,
}

impl Cpu<'_> {
    /// Leaves r1..r5 undefined.
    pub fn clobber(&mut self) {
        for register in ARGUMENTS.iter() {
            self.registers[register.index()] = UNDEFINED + register.index() as u64;
        }
        self.defined = self.defined.minus(ARGUMENTS);
    }
}

impl Machine for Cpu<'_> {
    type Domain = Integers;
    type Stop = Fault;

    #[inline(always)]
    fn domain(&mut self) -> &mut Integers {
        &mut self.domain
    }

    #[inline(always)]
    fn get(&mut self, register: Reg) -> u64 {
        self.registers[register.index()]
    }

    #[inline(always)]
    fn set(&mut self, register: Reg, value: u64) {
        self.registers[register.index()] = value;
        self.defined.insert(register);
    }

    #[inline(always)]
    fn load(&mut self, size: Size, address: u64) -> Result<u64, Fault> {
        self.image.load(address, size.bytes())
    }

    #[inline(always)]
    fn store(&mut self, size: Size, address: u64, value: u64) -> Result<(), Fault> {
        self.image.store(address, size.bytes(), value)
    }

    #[inline]
    fn begin_atomic(&mut self, op: AtomicOp, size: Size, address: u64) -> Result<(), Fault> {
        let aligned = address.is_multiple_of(size.bytes() as u64);
        let reads = op == AtomicOp::LoadAcquire;
        if aligned && self.image.slice(address, size.bytes()).is_some() {
            return Ok(());
        }
        let access = if aligned && reads { Access::Read } else { Access::Write };
        Err(Fault::Memory { access, address: Some(address) })
    }

    fn reference(&mut self, kind: u8, imm: u64) -> Result<u64, Fault> {
        self.addresses.resolve(kind, imm).ok_or(Fault::Illegal)
    }
}
