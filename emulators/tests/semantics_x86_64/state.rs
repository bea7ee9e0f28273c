// SPDX-License-Identifier: GPL-2.0-or-later
//! What an instruction starts from: boundary values and random ones in all registers and flags, operands in memory at places
//! where they are mapped, mostly.

use iced_x86::Register;
use kop_emulators::native::{RegisterFile, STACK_POINTER};
use kop_ops::choices::{Choices, Seeded};
use kop_ops::x86_64::Gpr;
use kop_ops::{Memory, Slot};
use kop_semantics::x86_64::{Flag, Op, Place, Repeat};

use super::code::Case;

/// The slot whose memory is used.
pub const SLOT: Slot = Slot::of_batch(0);

/// Registers and memory before an instruction.
#[derive(Clone, Debug)]
pub struct Before {
    /// The registers.
    pub file: RegisterFile,
    /// Bytes that replace those of the memory: the address and the word.
    pub words: Vec<(u64, u64)>,
}

impl Before {
    /// What a register holds.
    pub fn general(&self, register: Gpr) -> u64 {
        self.file.general[index(register)]
    }
}

/// Memory in which equal bytes are frequent.
pub fn memory(choices: &mut Seeded) -> Memory {
    let mut memory = Memory::zeroed(SLOT);
    for bytes in [&mut memory.window, &mut memory.stack] {
        for word in bytes.chunks_exact_mut(8) {
            let value = if choices.one_in(2) { value(choices) } else { choices.below(2) * 0x0101_0101 };
            word.copy_from_slice(&value.to_le_bytes());
        }
    }
    memory
}

/// A value at which something may change, small numbers, or any.
fn value(choices: &mut Seeded) -> u64 {
    const BOUNDARIES: [u64; 18] = [
        0,
        1,
        2,
        3,
        0x7f,
        0x80,
        0xff,
        0x7fff,
        0x8000,
        0xffff,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        0x1_0000_0000,
        i64::MAX as u64,
        1 << 63,
        u64::MAX,
        u64::MAX - 1,
    ];
    match choices.below(6) {
        0 => *choices.pick(&BOUNDARIES),
        1 => choices.below(80),
        2 => 1 << choices.below(64),
        3 => choices.bits() >> choices.below(64) << choices.below(64),
        _ => choices.bits(),
    }
}

/// Where an operand in memory goes: aligned or not, sometimes across the end of what is mapped or nowhere.
pub fn target(choices: &mut Seeded, locks: bool) -> u64 {
    let offset = 256 + choices.below(3500);
    match choices.below(40) {
        // What locks must not cross a cache line.
        _ if locks => SLOT.window() + (offset & !7),
        0 => SLOT.window_end() - choices.below(17),
        1 => SLOT.stack() - choices.below(17),
        2 => 0x1234_5678,
        n if n % 2 == 0 => SLOT.window() + (offset & !15),
        _ => SLOT.window() + offset,
    }
}

/// A state for an instruction.
pub fn before(choices: &mut Seeded, case: &Case) -> Before {
    let mut general: Vec<u64> = (0..16).map(|_| value(choices)).collect();
    if choices.one_in(4) {
        // Equal operands.
        let (one, other) = (choices.below(16) as usize, choices.below(16) as usize);
        general[one] = general[other];
    }
    general[index(Gpr::Rsp)] = STACK_POINTER;
    let any = choices.bits();
    let random = Flag::STATUS.into_iter().chain([Flag::Direction, Flag::Identification]);
    let flags = random.fold(INTERRUPTS_AND_BIT_1, |flags, flag| flags | any & 1 << flag.position());
    let vectors = (0..16).map(|_| u128::from(value(choices)) << 64 | u128::from(value(choices))).collect();
    let mut before = Before { file: RegisterFile { general, flags, vectors }, words: Vec::new() };
    restrict(choices, case, &mut before);
    before
}

/// IF and bit 1 of RFLAGS.
const INTERRUPTS_AND_BIT_1: u64 = 0x202;

fn index(register: Gpr) -> usize {
    register.code().into()
}

/// Makes the instruction do something: operands that are mapped, counts that end, quotients that fit.
fn restrict(choices: &mut Seeded, case: &Case, before: &mut Before) {
    let general = &mut before.file.general;
    match case.op {
        Op::String { repeat, .. } => {
            for register in [Gpr::Rsi, Gpr::Rdi] {
                general[index(register)] = target(choices, false);
            }
            if choices.one_in(3) {
                general[index(Gpr::Rdi)] =
                    general[index(Gpr::Rsi)].wrapping_add(choices.below(33)).wrapping_sub(16);
            }
            if repeat != Repeat::No {
                general[index(Gpr::Rcx)] = choices.below(24);
            }
        }
        Op::Divide { .. } => {
            let rax = general[index(Gpr::Rax)];
            let high = [0, (rax.cast_signed() >> 63).cast_unsigned(), 1, general[index(Gpr::Rdx)]];
            general[index(Gpr::Rdx)] = *choices.pick(&high);
            if choices.one_in(2) {
                general[index(Gpr::Rax)] &= 0xff;
            }
        }
        Op::Loop { .. } | Op::JumpIfCountZero { .. } if choices.one_in(2) => {
            general[index(Gpr::Rcx)] = choices.below(3) | (choices.below(2) << 32);
        }
        Op::Leave => general[index(Gpr::Rbp)] = target(choices, false),
        _ => {}
    }
    if let Some((register, size)) = case.indexes_bits() {
        let near = choices.below(4000).wrapping_sub(2000);
        let mask = u64::MAX >> (64 - size.bits());
        let register = &mut general[index(register)];
        *register = *register & !mask | near & mask;
    }
    if case.names_memory() {
        let target = target(choices, case.locks());
        place_operand(choices, case, &mut before.file.general, target);
    }
    lead_to_the_end(choices, case, before);
}

/// Sets the registers of the address so that it is `target`.
fn place_operand(choices: &mut Seeded, case: &Case, general: &mut [u64], target: u64) {
    let insn = &case.insn;
    let number = |register: Register| match register {
        Register::None | Register::RIP | Register::EIP => None,
        register => Some(register.full_register().number()),
    };
    let narrow = insn.memory_base().is_gpr32() || insn.memory_index().is_gpr32();
    let scale = u64::from(insn.memory_index_scale());
    let wanted = target.wrapping_sub(insn.memory_displacement64());
    let keep = if narrow { u64::MAX << 32 } else { 0 };
    let (register, value) = match (number(insn.memory_base()), number(insn.memory_index())) {
        (None, None) => return,
        (Some(base), None) => (base, wanted),
        (None, Some(index)) => (index, divided(choices, wanted, scale)),
        (Some(base), Some(index)) if base == index => (base, divided_by_next(wanted, scale)),
        (Some(base), Some(index)) => (base, wanted.wrapping_sub(general[index].wrapping_mul(scale))),
    };
    general[register] = general[register] & keep | value & !keep;
}

/// A number that is `wanted` when it is multiplied by a power of two, but for the low bits; the upper bits do not count.
fn divided(choices: &mut Seeded, wanted: u64, scale: u64) -> u64 {
    let any = choices.bits();
    let bits = scale.trailing_zeros();
    (wanted >> bits) | any.checked_shl(64 - bits).unwrap_or(0)
}

/// A number that is `wanted` when it is multiplied by `scale + 1`, or nearly so.
fn divided_by_next(wanted: u64, scale: u64) -> u64 {
    let factor = scale + 1;
    if factor.is_multiple_of(2) {
        return wanted / 2;
    }
    // Newton's iteration for the inverse of an odd number, from three correct bits.
    let inverse = (0..5).fold(factor, |x, _| x.wrapping_mul(2_u64.wrapping_sub(factor.wrapping_mul(x))));
    wanted.wrapping_mul(inverse)
}

/// Makes indirect branches and returns lead to the end of the pad, and `popfq` load flags that a process can have.
fn lead_to_the_end(choices: &mut Seeded, case: &Case, before: &mut Before) {
    let end = case.end();
    match case.op {
        Op::JumpTo { target: Place::Reg(register) } | Op::CallTo { target: Place::Reg(register) } => {
            before.file.general[index(register)] = end;
        }
        Op::JumpTo { .. } | Op::CallTo { .. } => {
            let general = before.file.general.clone();
            let address = case.insn.virtual_address(0, 0, |register, _, _| {
                let value = general.get(register.full_register().number());
                Some(match register {
                    register if register.is_segment_register() => 0,
                    register if register.is_gpr32() => *value? & 0xffff_ffff,
                    _ => *value?,
                })
            });
            before.words.extend(address.map(|address| (address, end)));
        }
        Op::Return { .. } => before.words.push((STACK_POINTER, end)),
        Op::PopFlags => {
            let user = [Flag::Trap, Flag::Nested, Flag::Alignment].map(|flag| 1 << flag.position());
            let flags = choices.bits() & 0x3f_ffff & !user.into_iter().sum::<u64>();
            before.words.push((STACK_POINTER, flags));
        }
        Op::Push { .. } | Op::Pop { .. } if !case.names_memory() && choices.one_in(8) => {
            before.file.general[index(Gpr::Rsp)] = target(choices, false);
        }
        _ => {}
    }
}
