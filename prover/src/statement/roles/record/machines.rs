// SPDX-License-Identifier: GPL-2.0-or-later
//! The recorder as the machine of each instruction set.

use kop_ops::ebpf::{AtomicOp, Reg, Size};
use kop_ops::{aarch64 as a64, registers, x86_64 as x86};
use kop_semantics::{aarch64, ebpf, x86_64};

use super::{NeedsValue, Recorder, Tag};

pub(super) struct Ebpf<'a>(pub &'a mut Recorder);

impl ebpf::Machine for Ebpf<'_> {
    type Domain = Recorder;
    type Stop = NeedsValue;

    fn domain(&mut self) -> &mut Recorder {
        self.0
    }

    fn get(&mut self, register: Reg) -> u32 {
        let role = self.0.role(register);
        self.0.get(role)
    }

    fn set(&mut self, register: Reg, value: u32) {
        let role = self.0.role(register);
        self.0.set(role, value);
    }

    fn load(&mut self, size: Size, address: u32) -> Result<u32, NeedsValue> {
        Ok(self.0.load(size.bytes() as u32, address))
    }

    fn store(&mut self, size: Size, address: u32, value: u32) -> Result<(), NeedsValue> {
        self.0.store(size.bytes() as u32, address, value);
        Ok(())
    }

    fn begin_atomic(&mut self, _op: AtomicOp, size: Size, address: u32) -> Result<(), NeedsValue> {
        self.0.begin(size.bytes() as u64, address);
        Ok(())
    }

    fn reference(&mut self, _kind: u8, _imm: u64) -> Result<u32, NeedsValue> {
        Err(NeedsValue)
    }
}

pub(super) struct X86_64<'a>(pub &'a mut Recorder);

impl x86_64::Machine for X86_64<'_> {
    type Domain = Recorder;
    type Stop = NeedsValue;

    fn domain(&mut self) -> &mut Recorder {
        self.0
    }

    fn get(&mut self, register: x86::Gpr) -> u32 {
        let role = self.0.native(&registers::X86_64, &register, u32::from(register.code()));
        self.0.get(role)
    }

    fn set(&mut self, register: x86::Gpr, value: u32) {
        let role = self.0.native(&registers::X86_64, &register, u32::from(register.code()));
        self.0.set(role, value);
    }

    fn flag(&mut self, flag: x86_64::Flag) -> u32 {
        self.0.flag(flag as u64)
    }

    fn set_flag(&mut self, flag: x86_64::Flag, value: u32) {
        self.0.set_flag(flag as u64, value);
    }

    fn vector(&mut self, register: x86::Xmm) -> [u32; 2] {
        self.0.vector(u32::from(register.code()))
    }

    fn set_vector(&mut self, register: x86::Xmm, value: [u32; 2]) {
        self.0.set_vector(u32::from(register.code()), value);
    }

    fn load(&mut self, bytes: u32, address: u32) -> Result<u32, NeedsValue> {
        Ok(self.0.load(bytes, address))
    }

    fn store(&mut self, bytes: u32, address: u32, value: u32) -> Result<(), NeedsValue> {
        self.0.store(bytes, address, value);
        Ok(())
    }

    fn begin_wide(&mut self, address: u32, store: bool, aligned: bool) -> Result<(), NeedsValue> {
        self.0.begin(0x100 + u64::from(store) * 2 + u64::from(aligned), address);
        Ok(())
    }

    fn undefined(&mut self, width: u32) -> u32 {
        self.0.undefined(width)
    }

    fn decide(&mut self, _bit: u32) -> Result<bool, NeedsValue> {
        Err(NeedsValue)
    }

    fn code_address(&mut self, offset: i64) -> u32 {
        self.0.code_address(offset)
    }
}

pub(super) struct Aarch64<'a>(pub &'a mut Recorder);

impl aarch64::Machine for Aarch64<'_> {
    type Domain = Recorder;
    type Stop = NeedsValue;

    fn domain(&mut self) -> &mut Recorder {
        self.0
    }

    fn get(&mut self, register: a64::Gpr) -> u32 {
        let role = self.0.native(&registers::AARCH64, &register, register.number());
        self.0.get(role)
    }

    fn set(&mut self, register: a64::Gpr, value: u32) {
        let role = self.0.native(&registers::AARCH64, &register, register.number());
        self.0.set(role, value);
    }

    fn flag(&mut self, flag: aarch64::Flag) -> u32 {
        self.0.flag(flag as u64)
    }

    fn set_flag(&mut self, flag: aarch64::Flag, value: u32) {
        self.0.set_flag(flag as u64, value);
    }

    fn vector(&mut self, register: a64::V) -> [u32; 2] {
        self.0.vector(register.number())
    }

    fn set_vector(&mut self, register: a64::V, value: [u32; 2]) {
        self.0.set_vector(register.number(), value);
    }

    fn load(&mut self, bytes: u32, address: u32) -> Result<u32, NeedsValue> {
        Ok(self.0.load(bytes, address))
    }

    fn store(&mut self, bytes: u32, address: u32, value: u32) -> Result<(), NeedsValue> {
        self.0.store(bytes, address, value);
        Ok(())
    }

    fn begin_atomic(&mut self, bytes: u32, address: u32) -> Result<(), NeedsValue> {
        self.0.begin(0x200 + u64::from(bytes), address);
        Ok(())
    }

    /// What is marked decides what the instruction does, so that the instruction is written down whole.
    fn monitor(&mut self) -> Option<aarch64::Monitor<u32>> {
        self.0.needs_monitor = true;
        None
    }

    fn set_monitor(&mut self, monitor: Option<aarch64::Monitor<u32>>) {
        let (address, bytes) = monitor.map_or((0, 0), |monitor| (monitor.address, monitor.bytes));
        self.0.text.record(Tag::Monitor, [bytes.into(), address.into()]);
    }

    fn undefined(&mut self, width: u32) -> u32 {
        self.0.undefined(width)
    }

    fn decide(&mut self, _bit: u32) -> Result<bool, NeedsValue> {
        Err(NeedsValue)
    }

    fn code_address(&mut self, offset: i64) -> u32 {
        self.0.code_address(offset)
    }
}
