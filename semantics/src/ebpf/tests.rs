// SPDX-License-Identifier: GPL-2.0-or-later
//! Instructions over a domain that carries and checks widths, as terms of a prover do, agree with those over integers.

use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::forms;
use kop_ops::state::Registers;

use super::*;
use crate::domain::Integers;
use crate::widths::{Vector, Widths};

/// Registers, and eight bytes of memory that every access within them reaches.
struct Small<D: Domain> {
    domain: D,
    registers: Vec<D::Value>,
    memory: u64,
    /// Makes a value from its width and bits, and takes it apart.
    make: fn(u32, u64) -> D::Value,
    bits: fn(D::Value) -> u64,
}

fn low(size: Size) -> u64 {
    u64::MAX >> (64 - size.bits())
}

impl<D: Domain> Machine for Small<D> {
    type Domain = D;
    type Stop = ();

    fn domain(&mut self) -> &mut D {
        &mut self.domain
    }

    fn get(&mut self, register: Reg) -> D::Value {
        self.registers[register.index()]
    }

    fn set(&mut self, register: Reg, value: D::Value) {
        self.registers[register.index()] = value;
    }

    fn load(&mut self, size: Size, address: D::Value) -> Result<D::Value, ()> {
        let shift = (self.bits)(address) % 8 * 8;
        Ok((self.make)(size.bits(), self.memory.rotate_right(shift as u32) & low(size)))
    }

    fn store(&mut self, size: Size, address: D::Value, value: D::Value) -> Result<(), ()> {
        let shift = ((self.bits)(address) % 8 * 8) as u32;
        let rotated = self.memory.rotate_right(shift) & !low(size) | (self.bits)(value);
        self.memory = rotated.rotate_left(shift);
        Ok(())
    }

    fn begin_atomic(&mut self, _op: AtomicOp, _size: Size, _address: D::Value) -> Result<(), ()> {
        Ok(())
    }

    fn reference(&mut self, kind: u8, imm: u64) -> Result<D::Value, ()> {
        Ok((self.make)(64, imm ^ u64::from(kind)))
    }
}

/// What an instruction leaves: where control goes, registers, memory.
fn after<D: Domain>(
    insn: &Insn,
    registers: &Registers,
    domain: D,
    make: fn(u32, u64) -> D::Value,
    bits: fn(D::Value) -> u64,
) -> (Next<u64>, Vec<u64>, u64) {
    let values = registers.iter().map(|value| make(64, *value)).collect();
    let mut machine = Small { domain, registers: values, memory: 0x8899_aabb_ccdd_eeff, make, bits };
    let next = match step(&mut machine, insn).expect("nothing faults") {
        Next::Branch(taken) => Next::Branch(bits(taken)),
        Next::Fall => Next::Fall,
        Next::Jump => Next::Jump,
        Next::MayGoto => Next::MayGoto,
        Next::Call(target) => Next::Call(target),
        Next::Exit => Next::Exit,
        Next::Undefined => Next::Undefined,
    };
    (next, machine.registers.into_iter().map(bits).collect(), machine.memory)
}

#[test]
fn widths_fit_and_change_nothing() {
    let mut choices = Seeded::new(9);
    for _ in 0..40_000 {
        let insn = forms::random(&mut choices);
        let mut registers = [0; 11];
        for register in &mut registers {
            *register = if choices.one_in(2) { choices.bits() } else { *choices.pick(&forms::IMMEDIATES_64) };
        }
        let plain = after(&insn, &registers, Integers, |_, bits| bits, |value| value);
        let sized =
            after(&insn, &registers, Widths, |width, bits| Vector { width, bits }, |value| value.bits);
        assert_eq!(plain, sized, "{insn}");
        let (_, after, _) = plain;
        let written = Reg::ALL.into_iter().filter(|r| after[r.index()] != registers[r.index()]);
        assert!(written.clone().all(|register| insn.writes().has(register)), "{insn}");
    }
}
