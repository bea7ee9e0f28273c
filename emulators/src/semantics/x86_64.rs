// SPDX-License-Identifier: GPL-2.0-or-later
//! The semantics of x86-64 on the registers and the memory of an engine.

use kop_ops::ebpf::Reg;
use kop_ops::x86_64::{Gpr, Xmm};
use kop_ops::{Access, Fault};
use kop_semantics::Integers;
use kop_semantics::native::{Next, Unsupported};
use kop_semantics::x86_64::{self, Decoded, Flag, Machine, Op};

use super::{Cpu, Native};
use crate::native::x86_64::X86_64;

impl Native for X86_64 {
    const NAME: &'static str = "semantics-x86_64";
    const STACK_POINTER: usize = Gpr::Rsp.code() as usize;
    const SCRATCH: &'static [usize] = &[Gpr::R10.code() as usize, Gpr::R11.code() as usize];

    type Insn = Decoded;

    fn general(register: Reg) -> usize {
        kop_ops::registers::x86_64(register).code().into()
    }

    fn decode(code: &[u8]) -> Result<Vec<Decoded>, Unsupported> {
        x86_64::decode(code)
    }

    fn extent(insn: &Decoded) -> (usize, usize) {
        (insn.offset, insn.len)
    }

    fn step(cpu: &mut Cpu, insn: &Decoded) -> Result<Next<u64>, Fault> {
        x86_64::step(cpu, insn)
    }

    fn trap(insn: &Decoded) -> Fault {
        match insn.op {
            Op::Divide { .. } => Fault::Divide,
            Op::Undefined => Fault::Illegal,
            _ => Fault::Trap,
        }
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
        self.general[usize::from(register.code())]
    }

    #[inline]
    fn set(&mut self, register: Gpr, value: u64) {
        self.general[usize::from(register.code())] = value;
    }

    #[inline]
    fn flag(&mut self, flag: Flag) -> u64 {
        Cpu::flag(self, flag.position())
    }

    #[inline]
    fn set_flag(&mut self, flag: Flag, value: u64) {
        Cpu::set_flag(self, flag.position(), value);
    }

    #[inline]
    fn vector(&mut self, register: Xmm) -> [u64; 2] {
        self.vectors[usize::from(register.code())]
    }

    #[inline]
    fn set_vector(&mut self, register: Xmm, value: [u64; 2]) {
        self.vectors[usize::from(register.code())] = value;
    }

    #[inline]
    fn load(&mut self, bytes: u32, address: u64) -> Result<u64, Fault> {
        self.space.load(bytes, address)
    }

    #[inline]
    fn store(&mut self, bytes: u32, address: u64, value: u64) -> Result<(), Fault> {
        self.space.store(bytes, address, value)
    }

    fn begin_wide(&mut self, address: u64, store: bool, aligned: bool) -> Result<(), Fault> {
        if aligned && !address.is_multiple_of(16) {
            // A general-protection exception, which tells no address.
            return Err(Fault::Memory { access: Access::Read, address: None });
        }
        if store { self.space.check_store(16, address) } else { Ok(()) }
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
