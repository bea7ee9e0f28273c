// SPDX-License-Identifier: GPL-2.0-or-later
//! The last page of [`Region::Control`], through which the runner tells what it accepted and which signal
//! stopped the code.
//!
//! | offset in the page | bytes | what |
//! |---|---|---|
//! | `0x00` | 8 | the entry that the runner accepted, zero until then |
//! | `0x40` | 8 | the signal's number |
//! | `0x48` | 8 | its `si_code` |
//! | `0x50` | 8 | its `si_addr` |
//! | `0x58` | 8 | the instruction pointer |
//! | `0x60` | 8 | the processor's error code, on x86-64 |
//! | `0x68` | 8 | the exception's vector, on x86-64 |
//!
//! The rest of the page is reserved.

use kop_ops::{Access, Arch, Fault};

use super::abi::sig;
use super::abi::x86_64::vector;
use crate::arena::{Arena, Region};
use crate::machine::Stop;

/// Bytes of [`Region::Control`] that are not the runner's.
pub const FREE: usize = Region::Control.size() - PAGE;

const PAGE: usize = 4096;

/// Where a field starts, in bytes from the region's start.
#[derive(Clone, Copy)]
pub(super) struct Field(usize);

pub(super) const ACCEPTED: Field = Field(FREE);
pub(super) const SIGNAL: Field = Field(FREE + 0x40);
pub(super) const CODE: Field = Field(FREE + 0x48);
pub(super) const ADDRESS: Field = Field(FREE + 0x50);
pub(super) const AT: Field = Field(FREE + 0x58);
pub(super) const ERROR: Field = Field(FREE + 0x60);
pub(super) const VECTOR: Field = Field(FREE + 0x68);

impl Field {
    /// Its address in the process that runs the code.
    pub(super) const fn address(self) -> u64 {
        Region::Control.address() + self.0 as u64
    }

    /// Its value.
    pub(super) fn load(self, arena: &Arena) -> u64 {
        let bytes = &arena.bytes(Region::Control)[self.0..self.0 + 8];
        u64::from_le_bytes(bytes.try_into().expect("a field has eight bytes"))
    }

    /// Sets its value.
    pub(super) fn store(self, arena: &mut Arena, value: u64) {
        arena.bytes_mut(Region::Control)[self.0..self.0 + 8].copy_from_slice(&value.to_le_bytes());
    }
}

/// What the runner noted about a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    arch: Arch,
    signal: i32,
    code: i32,
    address: u64,
    at: u64,
    error: u64,
    vector: u64,
}

/// The stop that the runner for `arch` noted in `arena`.
pub(super) fn stop(arch: Arch, arena: &Arena) -> Stop {
    let record = Record {
        arch,
        signal: SIGNAL.load(arena) as i32,
        code: CODE.load(arena) as i32,
        address: ADDRESS.load(arena),
        at: AT.load(arena),
        error: ERROR.load(arena),
        vector: VECTOR.load(arena),
    };
    let word = |address| code_word(arena, address);
    Stop { fault: record.fault(word), at: Some(record.instruction()) }
}

/// The instruction word at an address in a region of code.
fn code_word(arena: &Arena, address: u64) -> Option<u32> {
    [Region::Code, Region::Programs].into_iter().find_map(|region| {
        let offset = usize::try_from(address.checked_sub(region.address())?).ok()?;
        Some(u32::from_le_bytes(*arena.bytes(region).get(offset..)?.first_chunk()?))
    })
}

impl Record {
    fn fault(self, code_word: impl Fn(u64) -> Option<u32>) -> Fault {
        match (self.signal, self.code) {
            (sig::BUS, sig::BUS_ADRALN) => Fault::Other(sig::BUS),
            (sig::SEGV | sig::BUS, _) => self.memory(code_word),
            (sig::ILL, _) => Fault::Illegal,
            (sig::TRAP, _) => Fault::Trap,
            (sig::FPE, sig::FPE_INTDIV) => Fault::Divide,
            (other, _) => Fault::Other(other),
        }
    }

    /// The access that failed. A general protection fault does not tell what it was: a non-canonical or
    /// unaligned address counts as read, whatever was to be done there.
    fn memory(self, code_word: impl Fn(u64) -> Option<u32>) -> Fault {
        if self.code == sig::SI_KERNEL {
            return Fault::Memory { access: Access::Read, address: None };
        }
        let access = match (self.arch, self.error) {
            (Arch::Aarch64, _) if self.address == self.at => Access::Execute,
            (Arch::Aarch64, _) if code_word(self.at).is_some_and(stores) => Access::Write,
            (Arch::Aarch64, _) => Access::Read,
            (Arch::X86_64, error) if error & vector::PAGE_FAULT_FETCH != 0 => Access::Execute,
            (Arch::X86_64, error) if error & vector::PAGE_FAULT_WRITE != 0 => Access::Write,
            (Arch::X86_64, _) => Access::Read,
        };
        Fault::Memory { access, address: Some(self.address) }
    }

    /// The address of the instruction: a breakpoint and a system call are told by the address behind them.
    fn instruction(self) -> u64 {
        match (self.signal, self.vector) {
            _ if self.arch == Arch::Aarch64 => self.at,
            (sig::TRAP, vector::BREAKPOINT) => self.at.wrapping_sub(INT3_BYTES),
            (sig::SYS, _) => self.at.wrapping_sub(SYSCALL_BYTES),
            _ => self.at,
        }
    }
}

/// Whether an AArch64 instruction that accesses memory stores to it (Arm ARM, C4.1.94): what a signal frame tells of that
/// is not there under every emulator.
fn stores(word: u32) -> bool {
    let bits = |high: u32, low: u32| word >> low & ((1 << (high - low + 1)) - 1);
    let atomic = bits(29, 27) == 0b111 && bits(25, 24) == 0 && bits(21, 21) == 1 && bits(11, 10) == 0;
    let register = bits(29, 27) == 0b111 && !atomic;
    if register { bits(23, 22) == 0 } else { atomic || bits(22, 22) == 0 }
}

const INT3_BYTES: u64 = 1;
/// `syscall`, `sysenter` and `int 0x80` alike.
const SYSCALL_BYTES: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: Record = Record {
        arch: Arch::X86_64,
        signal: sig::SEGV,
        code: 1,
        address: 0x1234,
        at: 0x4000_0010,
        error: 4,
        vector: 14,
    };

    #[test]
    fn fields_lie_in_the_last_page() {
        for field in [ACCEPTED, SIGNAL, CODE, ADDRESS, AT, ERROR, VECTOR] {
            assert!((FREE..Region::Control.size()).contains(&field.0) && field.0.is_multiple_of(8));
        }
    }

    #[test]
    fn records_become_faults() {
        let memory = |access, address| Fault::Memory { access, address };
        let protection = Record { code: sig::SI_KERNEL, address: 0, error: 0, vector: 13, ..RECORD };
        let cases = [
            (RECORD, memory(Access::Read, Some(0x1234))),
            (Record { error: 6, ..RECORD }, memory(Access::Write, Some(0x1234))),
            (Record { error: 0x14, ..RECORD }, memory(Access::Execute, Some(0x1234))),
            (Record { signal: sig::BUS, code: 2, ..RECORD }, memory(Access::Read, Some(0x1234))),
            (Record { signal: sig::BUS, code: sig::BUS_ADRALN, ..RECORD }, Fault::Other(sig::BUS)),
            (protection, memory(Access::Read, None)),
            (Record { signal: sig::FPE, code: 1, ..RECORD }, Fault::Divide),
            (Record { signal: sig::FPE, code: 7, ..RECORD }, Fault::Other(sig::FPE)),
            (Record { signal: sig::SYS, ..RECORD }, Fault::Other(sig::SYS)),
        ];
        for (record, fault) in cases {
            assert_eq!(record.fault(|_| None), fault, "{record:?}");
        }
    }

    #[test]
    fn stores_are_told_from_loads() {
        use kop_ops::aarch64::{Assembler, Gpr, Mem, Order, Size, Width};
        let (x0, x1, at) = (Gpr::X0, Gpr::X1, Mem::offset(Gpr::X2, 8));
        type Write = fn(&mut Assembler, Gpr, Gpr, Mem);
        let cases: [(bool, Write); 16] = [
            (false, |a, x0, _, at| a.ldr(Width::X, x0, at)),
            (false, |a, x0, _, at| a.ldrb(x0, at)),
            (false, |a, x0, _, at| a.ldrsh(Width::X, x0, at)),
            (false, |a, x0, _, at| a.ldrsw(x0, at)),
            (false, |a, x0, x1, _| a.ldr(Width::W, x0, Mem::index(Gpr::X2, x1))),
            (false, |a, x0, x1, at| a.ldp(Width::X, x0, x1, at)),
            (false, |a, x0, _, _| a.ldar(Size::B8, x0, Gpr::X2)),
            (false, |a, x0, _, _| a.ldxr(Size::B4, x0, Gpr::X2)),
            (true, |a, x0, _, at| a.str(Width::X, x0, at)),
            (true, |a, x0, _, at| a.strh(x0, at)),
            (true, |a, x0, _, _| a.str(Width::X, x0, Mem::pre(Gpr::X2, 8))),
            (true, |a, x0, x1, at| a.stp(Width::X, x0, x1, at)),
            (true, |a, x0, _, _| a.stlr(Size::B8, x0, Gpr::X2)),
            (true, |a, x0, x1, _| a.stxr(Size::B4, x1, x0, Gpr::X2)),
            (true, |a, x0, x1, _| a.ldadd(Size::B8, Order::AcquireRelease, x0, x1, Gpr::X2)),
            (true, |a, x0, x1, _| a.swp(Size::B4, Order::AcquireRelease, x0, x1, Gpr::X2)),
        ];
        for (number, (expected, write)) in cases.into_iter().enumerate() {
            let mut a = Assembler::new();
            write(&mut a, x0, x1, at);
            let code = a.finish().expect("it has an encoding");
            let word = code.words().next().expect("it is one");
            assert_eq!(stores(word), expected, "{number}");
        }
    }
}
