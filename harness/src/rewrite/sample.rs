// SPDX-License-Identifier: GPL-2.0-or-later
//! Claims tried on numbers: what is wrong is mostly wrong for one of some hundred states, which takes microseconds to see.

use std::collections::BTreeMap;

use kop_jit::rewrite::{Claim, Validator};
use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::{AtomicOp, Insn, Operand, Reg, RegSet, Size};
use kop_semantics::Integers;
use kop_semantics::ebpf::{Machine, Next, step};

/// Where two sides of a claim differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `r2 differs`, or `memory differs`.
    pub what: String,
    /// r0..r10 before.
    pub before: [u64; 11],
}

/// Lets through what no state speaks against: for fuzzing, where programs run on engines afterwards.
#[derive(Clone, Copy, Debug)]
pub struct Sampled {
    /// How many states are tried.
    pub states: u64,
}

impl Validator for Sampled {
    fn validate(&mut self, claim: &Claim) -> Result<String, String> {
        match refute(claim, self.states) {
            Some(found) => Err(found.reason(claim)),
            None => Ok(format!("on {} states", self.states)),
        }
    }
}

impl Difference {
    /// In one line, with the registers that decide what the original does.
    pub fn reason(&self, claim: &Claim) -> String {
        let values: Vec<String> = taken(claim)
            .iter()
            .map(|register| format!("{register} = {:#x}", self.before[register.index()]))
            .collect();
        format!("it is not the same: {}, where {}", self.what, values.join(", "))
    }
}

/// The registers that decide what the original does.
pub fn taken(claim: &Claim) -> RegSet {
    let (mut written, mut taken) = (RegSet::EMPTY, RegSet::EMPTY);
    for insn in &claim.fragment {
        taken = taken.union(insn.reads().minus(written));
        written = written.union(insn.writes());
    }
    taken
}

/// A state in which the sides of a claim differ, out of so many. What cannot be run is not refuted.
pub fn refute(claim: &Claim, states: u64) -> Option<Difference> {
    let compared = compared(claim);
    (0..states).find_map(|number| {
        let before = state(number, &compared);
        let (mut one, mut other) = (Runner::new(before), Runner::new(before));
        one.run(&claim.fragment).ok()?;
        other.run(&claim.replacement).ok()?;
        let differs = |register: &Reg| one.registers[register.index()] != other.registers[register.index()];
        let what = match claim.live.iter().find(differs) {
            Some(register) => format!("{register} differs"),
            None if one.stored != other.stored => "memory differs".to_owned(),
            None => return None,
        };
        Some(Difference { what, before })
    })
}

/// The numbers that a claim compares with: what is wrong is often wrong there alone.
fn compared(claim: &Claim) -> Vec<u64> {
    let number = |insn: &Insn| match *insn {
        Insn::Jump { src: Operand::Imm(number), .. } => Some(number as i64 as u64),
        _ => None,
    };
    claim.fragment.iter().filter_map(number).collect()
}

/// The first states are small: they make the shortest reasons. The others have numbers of `compared` among them, and those beside these.
fn state(number: u64, compared: &[u64]) -> [u64; 11] {
    let mut choices = Seeded::new(number);
    match number {
        0 => [0; 11],
        1 => [1; 11],
        2 => [u64::MAX; 11],
        3..20 => std::array::from_fn(|_| choices.below(5)),
        _ if number % 2 == 1 && !compared.is_empty() => {
            std::array::from_fn(|_| choices.pick(compared).wrapping_add(choices.below(3)).wrapping_sub(1))
        }
        _ => std::array::from_fn(|_| match choices.below(4) {
            0 => choices.below(70),
            1 => choices.bits() & choices.bits() & choices.bits(),
            2 => u64::from(choices.bits() as u32),
            _ => choices.bits(),
        }),
    }
}

/// Registers, and memory that holds a hash of the address where nothing was stored.
struct Runner {
    registers: [u64; 11],
    stored: BTreeMap<u64, u8>,
    domain: Integers,
}

/// A claim that is not code that can be run.
struct NoCode;

impl Runner {
    fn new(registers: [u64; 11]) -> Self {
        Self { registers, stored: BTreeMap::new(), domain: Integers }
    }

    fn run(&mut self, insns: &[Insn]) -> Result<(), NoCode> {
        let mut index = 0;
        while let Some(insn) = insns.get(index) {
            let jumps = match step(self, insn)? {
                Next::Fall => false,
                Next::Jump => true,
                Next::Branch(taken) => taken == 1,
                _ => return Err(NoCode),
            };
            index += 1;
            let mut slots = if jumps { insn.branch_offset().unwrap_or(-1) } else { 0 };
            // Claims jump forward alone.
            if slots < 0 {
                return Err(NoCode);
            }
            while slots > 0 {
                slots -= insns.get(index).ok_or(NoCode)?.slots() as i32;
                index += 1;
            }
        }
        Ok(())
    }
}

impl Machine for Runner {
    type Domain = Integers;
    type Stop = NoCode;

    fn domain(&mut self) -> &mut Integers {
        &mut self.domain
    }

    fn get(&mut self, register: Reg) -> u64 {
        self.registers[register.index()]
    }

    fn set(&mut self, register: Reg, value: u64) {
        self.registers[register.index()] = value;
    }

    fn load(&mut self, size: Size, address: u64) -> Result<u64, NoCode> {
        let byte = |at: u64| {
            let at = address.wrapping_add(at);
            self.stored.get(&at).copied().unwrap_or((at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        };
        Ok((0..size.bytes() as u64).rev().fold(0, |number, at| number << 8 | u64::from(byte(at))))
    }

    fn store(&mut self, size: Size, address: u64, value: u64) -> Result<(), NoCode> {
        for at in 0..size.bytes() as u64 {
            self.stored.insert(address.wrapping_add(at), (value >> (8 * at)) as u8);
        }
        Ok(())
    }

    fn begin_atomic(&mut self, _op: AtomicOp, _size: Size, _address: u64) -> Result<(), NoCode> {
        Ok(())
    }

    fn reference(&mut self, _kind: u8, _imm: u64) -> Result<u64, NoCode> {
        Err(NoCode)
    }
}

#[cfg(test)]
mod tests {
    use kop_ops::ebpf::parse_program;

    use super::*;

    fn claim(fragment: &str, replacement: &str) -> Claim {
        let insns = |text| parse_program(text).expect("the text parses");
        Claim { fragment: insns(fragment), replacement: insns(replacement), live: Reg::R0.into() }
    }

    #[test]
    fn what_differs_somewhere_is_refuted_with_a_state() {
        let same = claim(
            "r0 = r1\nr0 <<= 8\nr2 = r1\nr2 >>= 56\nr0 |= r2",
            "r2 = r1\nr2 >>= 56\nr0 = r1\nr0 <<= 8\nr0 += r2",
        );
        assert_eq!(refute(&same, 300), None);
        let wrong = claim("r0 = r1\nr0 <<= 8", "r0 = r1\nr0 <<= 7");
        let found = refute(&wrong, 300).expect("they differ");
        assert_eq!(found.reason(&wrong), "it is not the same: r0 differs, where r1 = 0x1");
        assert!(Sampled { states: 300 }.validate(&wrong).is_err());
    }

    #[test]
    fn jumps_and_memory_are_followed() {
        let load = "if r1 == 7 goto +1\nr2 = *(u8 *)(r1 + 1)\n";
        let same = claim(&format!("{load}r0 = r2"), &format!("{load}r0 = r2"));
        assert_eq!(refute(&same, 50), None);
        let stores = claim("*(u16 *)(r1 + 0) = r2", "*(u8 *)(r1 + 0) = r2");
        assert_eq!(refute(&stores, 50).expect("they differ").what, "memory differs");
    }
}
