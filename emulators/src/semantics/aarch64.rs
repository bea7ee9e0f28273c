// SPDX-License-Identifier: GPL-2.0-or-later
//! The semantics of AArch64 on the registers and the memory of an engine.

use kop_ops::aarch64::{Gpr, Insn, V};
use kop_ops::ebpf::Reg;
use kop_ops::registers::AARCH64 as MAP;
use kop_ops::{Access, Fault};
use kop_semantics::Integers;
use kop_semantics::aarch64::{self, Decoded, Flag, Machine, Monitor, Operation};
use kop_semantics::native::{Next, Unsupported};

use super::{Cpu, Native};
use crate::native::aarch64::Aarch64;

impl Native for Aarch64 {
    const NAME: &'static str = "semantics-aarch64";
    const STACK_POINTER: usize = Gpr::Sp.number() as usize;
    const SCRATCH: &'static [usize] = &[9, 10, 11, 12, 13];

    type Insn = Decoded;

    fn general(register: Reg) -> usize {
        MAP[register.index()].number() as usize
    }

    fn decode(code: &[u8]) -> Result<Vec<Decoded>, Unsupported> {
        aarch64::decode(code)
    }

    fn extent(insn: &Decoded) -> (usize, usize) {
        (insn.offset, insn.len)
    }

    fn step(cpu: &mut Cpu, insn: &Decoded) -> Result<Next<u64>, Fault> {
        aarch64::step(cpu, insn)
    }

    fn trap(insn: &Decoded) -> Fault {
        match insn.operation {
            Operation::Insn(Insn::Udf { .. }) => Fault::Illegal,
            _ => Fault::Trap,
        }
    }
}

/// The position of a flag in NZCV.
const fn position(flag: Flag) -> u32 {
    match flag {
        Flag::N => 31,
        Flag::Z => 30,
        Flag::C => 29,
        Flag::V => 28,
    }
}

impl Machine for Cpu {
    type Domain = Integers;
    type Stop = Fault;

    #[inline]
    fn domain(&mut self) -> &mut Integers {
        &mut self.integers
    }

    #[inline]
    fn get(&mut self, register: Gpr) -> u64 {
        self.general[register.number() as usize]
    }

    #[inline]
    fn set(&mut self, register: Gpr, value: u64) {
        self.general[register.number() as usize] = value;
    }

    #[inline]
    fn flag(&mut self, flag: Flag) -> u64 {
        Cpu::flag(self, position(flag))
    }

    #[inline]
    fn set_flag(&mut self, flag: Flag, value: u64) {
        Cpu::set_flag(self, position(flag), value);
    }

    #[inline]
    fn vector(&mut self, register: V) -> [u64; 2] {
        self.vectors[register.number() as usize]
    }

    #[inline]
    fn set_vector(&mut self, register: V, value: [u64; 2]) {
        self.vectors[register.number() as usize] = value;
    }

    #[inline]
    fn load(&mut self, bytes: u32, address: u64) -> Result<u64, Fault> {
        self.space.load(bytes, address)
    }

    #[inline]
    fn store(&mut self, bytes: u32, address: u64, value: u64) -> Result<(), Fault> {
        self.space.store(bytes, address, value)
    }

    /// A misaligned address faults, as on a processor without FEAT_LSE2.
    fn begin_atomic(&mut self, bytes: u32, address: u64) -> Result<(), Fault> {
        if address.is_multiple_of(u64::from(bytes)) {
            return Ok(());
        }
        Err(Fault::Memory { access: Access::Read, address: Some(address) })
    }

    fn monitor(&mut self) -> Option<Monitor<u64>> {
        self.monitor
    }

    fn set_monitor(&mut self, monitor: Option<Monitor<u64>>) {
        self.monitor = monitor;
    }

    #[inline]
    fn undefined(&mut self, width: u32) -> u64 {
        Cpu::undefined(self, width)
    }

    #[inline]
    fn decide(&mut self, bit: u64) -> Result<bool, Fault> {
        Ok(bit != 0)
    }

    #[inline]
    fn code_address(&mut self, offset: i64) -> u64 {
        self.space.code_place.wrapping_add_signed(offset)
    }
}

#[cfg(test)]
mod tests;
