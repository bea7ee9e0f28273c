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
mod tests {
    use kop_ops::aarch64::{Assembler, Mem, Width};
    use kop_ops::{Arch, Features, Slot, State, Vectors};

    use super::*;
    use crate::engine::{Engine, NativeCode, Observation, Probe, Program};
    use crate::semantics::SemanticsEngine;

    const SLOT: Slot = Slot::of_batch(0);

    fn code(write: impl FnOnce(&mut Assembler)) -> NativeCode {
        let mut asm = Assembler::new();
        write(&mut asm);
        let bytes = asm.finish().expect("the operands fit").bytes;
        let (features, vectors) = (Features::default(), Vectors::default());
        let other_features = Vec::new();
        NativeCode { arch: Arch::Aarch64, bytes, features, other_features, vex_vector: false, vectors }
    }

    fn probe(engine: &mut dyn Engine, code: &NativeCode) -> Observation {
        let mut state = State::zeroed(SLOT);
        for (i, reg) in Reg::ALL.into_iter().enumerate() {
            state.set(reg, 0x0123_4567_89ab_cdef_u64.rotate_left(7 * i as u32));
        }
        state.set(Reg::R1, SLOT.window() + 0x18);
        state.set(Reg::R10, SLOT.stack_end());
        for (i, byte) in state.memory.window.iter_mut().enumerate() {
            *byte = i as u8;
        }
        let program = Program::Native(code);
        assert_eq!(engine.admits(&program), Ok(()));
        engine.probe(&Probe { program, state: &state, garbage: 7 })
    }

    /// What writes a code under test.
    #[cfg(feature = "unicorn")]
    type Write = fn(&mut Assembler);

    /// Code that keeps the rules and code that breaks each of them. x0 points into the window, x25 to the end of the stack.
    #[cfg(feature = "unicorn")]
    const CODES: [(&str, Write); 11] = [
        ("nothing", |_| {}),
        ("push and pop", |a| {
            a.stp(Width::X, Gpr::X0, Gpr::X1, Mem::pre(Gpr::Sp, -16));
            a.ldp(Width::X, Gpr::X9, Gpr::X10, Mem::post(Gpr::Sp, 16));
        }),
        ("load and store", |a| {
            a.ldr(Width::W, Gpr::X1, Mem::offset(Gpr::X0, 4));
            a.str(Width::X, Gpr::X1, Mem::offset(Gpr::X25, -8));
        }),
        ("sixteen bytes", |a| {
            a.ldp(Width::X, Gpr::X9, Gpr::X10, Mem::offset(Gpr::X0, 8));
            a.stp(Width::X, Gpr::X10, Gpr::X9, Mem::offset(Gpr::X0, 24));
        }),
        ("x19 changes", |a| a.mov_imm64(Gpr::X19, 1)),
        ("x14 changes", |a| a.mov_imm64(Gpr::X14, 1)),
        ("sp changes", |a| a.sub_imm(Width::X, Gpr::Sp, Gpr::Sp, 16)),
        ("below the stack pointer", |a| a.str(Width::X, Gpr::X0, Mem::offset(Gpr::Sp, -8))),
        ("the caller's stack", |a| a.str(Width::X, Gpr::X0, Mem::offset(Gpr::Sp, 8))),
        ("reads the caller's stack", |a| a.ldr(Width::X, Gpr::X0, Mem::base(Gpr::Sp))),
        ("beyond the window", |a| a.ldr(Width::X, Gpr::X1, Mem::offset(Gpr::X0, 4096 - 0x18))),
    ];

    #[cfg(feature = "unicorn")]
    #[test]
    fn it_observes_what_unicorn_observes() {
        let unicorn = crate::engines::find("unicorn-aarch64").expect("in the list");
        let mut unicorn = unicorn.make().expect("it is here");
        for (name, write) in CODES {
            let (code, mut engine) = (code(write), SemanticsEngine::<Aarch64>::new());
            let (ours, theirs) = (probe(&mut engine, &code), probe(&mut *unicorn, &code));
            match (ours.fault, theirs.fault) {
                (Some(a), Some(b)) => assert!(a.same_kind(b), "{name}: {a} against {b}"),
                (a, b) => assert_eq!(a, b, "{name}"),
            }
            assert_eq!(ours.breaches, theirs.breaches, "{name}");
            assert_eq!(ours.state.registers, theirs.state.registers, "{name}");
            assert_eq!(ours.state.memory.first_difference(&theirs.state.memory), None, "{name}");
            if ours.fault.is_none() {
                assert_eq!(ours.accesses, theirs.accesses, "{name}");
            }
        }
    }

    #[test]
    fn what_has_no_semantics_is_not_admitted() {
        let svc = code(|a| a.push(Insn::Svc { imm: 0 }));
        let engine = SemanticsEngine::<Aarch64>::new();
        let reason = engine.admits(&Program::Native(&svc)).expect_err("it has no semantics");
        assert!(reason.contains("svc"), "{reason}");
    }

    #[test]
    fn traps_are_told_apart() {
        let mut engine = SemanticsEngine::<Aarch64>::new();
        let trap = code(|a| a.push(Insn::Brk { imm: 1 }));
        let undefined = code(|a| a.push(Insn::Udf { imm: 1 }));
        let forever = code(|a| a.push(Insn::B { offset: 0 }));
        assert_eq!(probe(&mut engine, &trap).fault, Some(Fault::Trap));
        assert_eq!(probe(&mut engine, &undefined).fault, Some(Fault::Illegal));
        assert_eq!(probe(&mut engine, &forever).fault, Some(Fault::RunAway));
    }

    #[test]
    fn a_misaligned_atomic_access_faults() {
        let load = |offset| {
            code(|a| {
                a.add_imm(Width::X, Gpr::X9, Gpr::X0, offset);
                a.push(Insn::LoadAcquire { size: kop_ops::aarch64::Size::B8, rt: Gpr::X10, base: Gpr::X9 });
            })
        };
        let mut engine = SemanticsEngine::<Aarch64>::new();
        assert_eq!(probe(&mut engine, &load(8)).fault, None);
        let fault = Fault::Memory { access: Access::Read, address: Some(SLOT.window() + 0x18 + 4) };
        assert_eq!(probe(&mut engine, &load(4)).fault, Some(fault));
    }
}
