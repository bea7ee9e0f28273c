// SPDX-License-Identifier: GPL-2.0-or-later
//! What is covered; instructions over a domain that checks widths, as terms of a prover do, agree with those over integers;
//! and what arithmetic says. That instructions do what processors do is tested in `emulators/tests/semantics_x86_64`.

use std::collections::{BTreeSet, HashMap};

use kop_ops::choices::{Choices, Seeded};
use kop_ops::x86_64::{Insn, Nullary, forms};

use super::*;
use crate::domain::Integers;
use crate::widths::{Vector, Widths};

/// Registers, flags, and memory at every address.
struct Small<D: Domain> {
    domain: D,
    general: [D::Value; 16],
    flags: HashMap<Flag, D::Value>,
    vectors: [[D::Value; 2]; 16],
    /// What was stored; other bytes follow from their address.
    memory: HashMap<u64, u8>,
    /// Makes a value from its width and bits, and takes it apart.
    make: fn(u32, u64) -> D::Value,
    bits: fn(D::Value) -> u64,
}

/// A machine over integers.
type Plain = Small<Integers>;

impl<D: Domain> Small<D> {
    fn new(domain: D, seed: u64, make: fn(u32, u64) -> D::Value, bits: fn(D::Value) -> u64) -> Self {
        let mut choices = Seeded::new(seed);
        let mut word = || match choices.below(4) {
            0 => choices.below(3).wrapping_sub(1),
            1 => choices.bits() >> choices.below(64),
            _ => choices.bits(),
        };
        let general = [(); 16].map(|()| make(64, word()));
        let vectors = [(); 16].map(|()| [make(64, word()), make(64, word())]);
        let flags = Flag::ALL.into_iter().map(|flag| (flag, make(1, word() & 1))).collect();
        Self { domain, general, flags, vectors, memory: HashMap::new(), make, bits }
    }

    /// All that an instruction may change: registers and flags, bytes of memory.
    fn state(&self) -> (Vec<u64>, Vec<(u64, u8)>) {
        let mut memory: Vec<_> = self.memory.iter().map(|(&address, &byte)| (address, byte)).collect();
        memory.sort_unstable();
        let flags = Flag::ALL.into_iter().map(|flag| self.flags[&flag]);
        let values = self.general.into_iter().chain(self.vectors.into_iter().flatten()).chain(flags);
        (values.map(self.bits).collect(), memory)
    }
}

fn plain(seed: u64) -> Plain {
    Small::new(Integers, seed, |_, bits| bits, |value| value)
}

impl<D: Domain> Machine for Small<D> {
    type Domain = D;
    type Stop = &'static str;

    fn domain(&mut self) -> &mut D {
        &mut self.domain
    }

    fn get(&mut self, register: Gpr) -> D::Value {
        self.general[usize::from(register.code())]
    }

    fn set(&mut self, register: Gpr, value: D::Value) {
        self.general[usize::from(register.code())] = value;
    }

    fn flag(&mut self, flag: Flag) -> D::Value {
        self.flags[&flag]
    }

    fn set_flag(&mut self, flag: Flag, value: D::Value) {
        self.flags.insert(flag, value);
    }

    fn vector(&mut self, register: Xmm) -> [D::Value; 2] {
        self.vectors[usize::from(register.code())]
    }

    fn set_vector(&mut self, register: Xmm, value: [D::Value; 2]) {
        self.vectors[usize::from(register.code())] = value;
    }

    fn load(&mut self, bytes: u32, address: D::Value) -> Result<D::Value, &'static str> {
        let address = (self.bits)(address);
        let value = (0..u64::from(bytes)).rev().fold(0, |value, i| {
            let address = address.wrapping_add(i);
            let byte = self.memory.get(&address).copied().unwrap_or((address ^ address >> 7) as u8);
            value << 8 | u64::from(byte)
        });
        Ok((self.make)(8 * bytes, value))
    }

    fn store(&mut self, bytes: u32, address: D::Value, value: D::Value) -> Result<(), &'static str> {
        let (address, value) = ((self.bits)(address), (self.bits)(value));
        assert!(bytes == 8 || value >> (8 * bytes) == 0, "{value:#x} has more than {bytes} bytes");
        for i in 0..u64::from(bytes) {
            self.memory.insert(address.wrapping_add(i), (value >> (8 * i)) as u8);
        }
        Ok(())
    }

    fn begin_wide(&mut self, address: D::Value, _store: bool, aligned: bool) -> Result<(), &'static str> {
        if aligned && !(self.bits)(address).is_multiple_of(16) { Err("not aligned") } else { Ok(()) }
    }

    fn undefined(&mut self, width: u32) -> D::Value {
        (self.make)(width, 0)
    }

    fn decide(&mut self, bit: D::Value) -> Result<bool, &'static str> {
        Ok((self.bits)(bit) == 1)
    }

    fn code_address(&mut self, offset: i64) -> D::Value {
        (self.make)(64, 0x4000_0000_u64.wrapping_add_signed(offset))
    }
}

fn number<V>(next: Next<V>, bits: fn(V) -> u64) -> Next<u64> {
    match next {
        Next::Fall => Next::Fall,
        Next::Jump(target) => Next::Jump(target),
        Next::Branch { taken, target } => Next::Branch { taken: bits(taken), target },
        Next::Indirect(address) => Next::Indirect(bits(address)),
        Next::Trap => Next::Trap,
    }
}

/// Runs an instruction over integers and over integers with widths, from the same state.
fn both_agree(insn: &Decoded, seed: u64, text: &dyn std::fmt::Display) {
    let mut plain = plain(seed);
    let mut sized: Small<Widths> =
        Small::new(Widths, seed, |width, bits| Vector { width, bits }, |value| value.bits);
    let ends = (step(&mut plain, insn), step(&mut sized, insn));
    let ends = (ends.0, ends.1.map(|next| number(next, |value: Vector| value.bits)));
    assert_eq!(ends.0, ends.1, "{text}");
    assert_eq!(plain.state(), sized.state(), "{text}");
}

/// The only forms without semantics: they enter the kernel.
const OUTSIDE: [Insn; 1] = [Insn::Nullary(Nullary::Syscall)];

#[test]
fn every_form_has_semantics() {
    for (seed, insn) in (0..).zip(forms::samples()) {
        let bytes = insn.encode().expect("a sample has an encoding");
        match decode(&bytes) {
            Ok(decoded) => {
                assert_eq!((decoded.len(), decoded[0].len), (1, bytes.len()), "{insn}");
                both_agree(&decoded[0], seed, &insn);
                assert!(!OUTSIDE.contains(&insn), "{insn} is covered");
            }
            Err(unsupported) => assert!(OUTSIDE.contains(&insn), "{unsupported}"),
        }
    }
}

#[test]
fn every_state_of_every_form_agrees_with_widths() {
    let mut choices = Seeded::new(3);
    for seed in 0..40_000 {
        let insn = forms::random(&mut choices);
        if !OUTSIDE.contains(&insn) {
            let bytes = insn.encode().expect("it has an encoding");
            both_agree(&decode(&bytes).expect("it is covered")[0], seed, &insn);
        }
    }
}

/// Bytes with prefixes and all opcode maps, so that encodings occur that our assembler does not choose.
fn bytes(choices: &mut Seeded) -> Vec<u8> {
    const MAPS: [&[u8]; 5] = [&[], &[0x0f], &[0x0f, 0x38], &[0x0f, 0x3a], &[0xc4, 0xe2]];
    let mut bytes = Vec::new();
    while choices.one_in(3) {
        bytes.push(*choices.pick(&[0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x64]));
    }
    if choices.one_in(2) {
        bytes.push(0x40 | choices.below(16) as u8);
    }
    bytes.extend_from_slice(MAPS[choices.below(MAPS.len() as u64) as usize]);
    bytes.extend((0..12).map(|_| choices.bits() as u8));
    bytes
}

#[test]
fn whatever_is_decoded_can_be_run() {
    let mut choices = Seeded::new(4);
    let mut operations = BTreeSet::new();
    for seed in 0..400_000 {
        let bytes = bytes(&mut choices);
        let len = iced_x86::Decoder::new(64, &bytes, 0).decode().len();
        let Ok(decoded) = decode(&bytes[..len]) else { continue };
        both_agree(&decoded[0], seed, &format!("{bytes:02x?}"));
        let name = format!("{:?}", decoded[0].op);
        operations.insert(name.split([' ', '{']).next().map(str::to_owned));
    }
    // All operations but `Breakpoint`, `Undefined` and the like are frequent; a few may be missed.
    assert!(operations.len() >= 50, "{} operations", operations.len());
}

#[test]
fn what_is_not_covered_is_named_with_its_bytes() {
    let code = [0x90, 0x0f, 0xa2];
    let unsupported = decode(&code).expect_err("cpuid has no semantics");
    assert_eq!(unsupported.to_string(), "no semantics for `cpuid` (0f a2) at +0x1");
    let truncated = decode(&[0x48, 0x01]).expect_err("a byte is missing");
    assert_eq!(truncated.to_string(), "no semantics for `(bad)` (48 01) at +0x0");
}

#[test]
fn instructions_with_another_meaning_elsewhere_are_refused() {
    let refused: [(&str, &[u8]); 15] = [
        ("loope with repne", &[0xf2, 0xe1, 0]),
        ("prefetchw of a register", &[0x0f, 0x0d, 0xe3]),
        ("fs segment", &[0x64, 0x48, 0x8b, 0x07]),
        ("gs segment of a string", &[0x65, 0xa4]),
        ("32-bit string addresses", &[0x67, 0xa4]),
        ("branch with an operand size", &[0x66, 0xe9, 0, 0, 0, 0]),
        ("16-bit push", &[0x66, 0x50]),
        ("16-bit pop", &[0x66, 0x58]),
        ("bswap of a word", &[0x66, 0x0f, 0xc8]),
        ("movs with repne", &[0xf2, 0xa4]),
        ("mmx", &[0x0f, 0xef, 0xc1]),
        ("avx", &[0xc5, 0xf9, 0xef, 0xc1]),
        ("x87", &[0xd9, 0xe8]),
        ("far return", &[0xcb]),
        ("rdtsc", &[0x0f, 0x31]),
    ];
    for (name, bytes) in refused {
        assert!(decode(bytes).is_err(), "{name}");
    }
}

#[test]
fn branches_lead_as_far_as_they_say() {
    let code = |insn: Insn| [&[0x90], &insn.encode().expect("it has an encoding")[..]].concat();
    for insn in forms::samples() {
        let (Insn::JmpRel { disp, .. } | Insn::JccRel { disp, .. } | Insn::CallRel { disp }) = insn else {
            continue;
        };
        let (bytes, mut machine) = (code(insn), plain(1));
        let decoded = decode(&bytes).expect("it is covered")[1];
        let target = bytes.len() as i64 + i64::from(disp);
        match step(&mut machine, &decoded) {
            Ok(Next::Jump(to) | Next::Branch { target: to, .. }) => assert_eq!(to, target, "{insn}"),
            other => panic!("{insn}: {other:?}"),
        }
    }
}

/// Divides rdx:rax by rcx; quotient and remainder, or nothing where there is a division error.
fn divided(opcode: u8, dividend: u128, divisor: u64) -> Option<(u64, u64)> {
    let decoded = decode(&[0x48, 0xf7, opcode]).expect("a division by rcx")[0];
    let mut machine = plain(1);
    machine.set(Gpr::Rax, dividend as u64);
    machine.set(Gpr::Rdx, (dividend >> 64) as u64);
    machine.set(Gpr::Rcx, divisor);
    match step(&mut machine, &decoded) {
        Ok(Next::Fall) => Some((machine.get(Gpr::Rax), machine.get(Gpr::Rdx))),
        end => {
            assert_eq!(end, Ok(Next::Trap));
            None
        }
    }
}

#[test]
fn dividends_of_128_bits_divide_as_numbers_do() {
    let mut choices = Seeded::new(5);
    for _ in 0..20_000 {
        let high = choices.bits() >> choices.below(64);
        let dividend = (u128::from(high) << 64 | u128::from(choices.bits())) >> choices.below(128);
        let divisor = choices.bits() >> choices.below(64);
        let quotient = dividend.checked_div(divisor.into()).and_then(|quotient| u64::try_from(quotient).ok());
        let expected = quotient.map(|quotient| (quotient, (dividend % u128::from(divisor)) as u64));
        assert_eq!(divided(0xf1, dividend, divisor), expected, "{dividend:#x} by {divisor:#x}");
        let dividend = if choices.one_in(2) { dividend.wrapping_neg() } else { dividend }.cast_signed();
        let divisor = if choices.one_in(2) { divisor.wrapping_neg() } else { divisor }.cast_signed();
        let quotient = dividend.checked_div(divisor.into()).and_then(|quotient| i64::try_from(quotient).ok());
        let remainder = || (dividend % i128::from(divisor)) as u64;
        let expected = quotient.map(|quotient| (quotient.cast_unsigned(), remainder()));
        let actual = divided(0xf9, dividend.cast_unsigned(), divisor.cast_unsigned());
        assert_eq!(actual, expected, "{dividend:#x} by {divisor:#x}");
    }
}

#[test]
fn a_repeated_string_instruction_is_one_iteration_a_step() {
    let decoded = decode(&[0x90, 0xf3, 0xaa]).expect("rep stosb")[1];
    let mut machine = plain(1);
    machine.set(Gpr::Rdi, 100);
    machine.set(Gpr::Rcx, 2);
    machine.set_flag(Flag::Direction, 1);
    let again = |taken| Ok(Next::Branch { taken, target: 1 });
    assert_eq!(step(&mut machine, &decoded), again(1));
    assert_eq!((machine.get(Gpr::Rdi), machine.get(Gpr::Rcx)), (99, 1));
    assert_eq!(step(&mut machine, &decoded), again(0));
    assert_eq!(step(&mut machine, &decoded), Ok(Next::Fall));
    let mut written: Vec<u64> = machine.memory.into_keys().collect();
    written.sort_unstable();
    assert_eq!(written, [99, 100]);
}
