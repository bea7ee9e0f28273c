// SPDX-License-Identifier: GPL-2.0-or-later
//! Cases: an instruction with the code around it that makes it end well, and a state that makes it do something.

use kop_emulators::native::RegisterFile;
use kop_ops::aarch64::{Extend, Gpr, Insn, Mem, MoveWide, Scalar, Size, Width};
use kop_ops::choices::{Choices, Seeded};
use kop_ops::{Memory, Slot};
use kop_semantics::aarch64::{Operation, Other};

/// The slot whose memory is used.
pub const SLOT: Slot = Slot::of_batch(0);

/// Code, where it stands, and the registers before it.
#[derive(Clone)]
pub struct Case {
    pub code: Vec<u8>,
    pub place: u64,
    pub file: RegisterFile,
}

/// A case for an instruction, whose code stands where `place` says for its length, on `memory`.
pub fn case(
    choices: &mut Seeded,
    word: u32,
    operation: &Operation,
    memory: &mut Memory,
    place: impl FnOnce(usize) -> u64,
) -> Case {
    let code: Vec<u8> = code(choices, word, operation).iter().flat_map(|word| word.to_le_bytes()).collect();
    let place = place(code.len());
    let mut file = random_file(choices);
    match *operation {
        Operation::Insn(Insn::Br { rn } | Insn::Ret { rn } | Insn::Blr { rn }) => {
            set(&mut file, rn, place + TAKEN as u64);
        }
        _ => aim(choices, operation, &mut file, memory),
    }
    Case { code, place, file }
}

/// Where the code around a branch has its target.
const TAKEN: i32 = 12;

/// Where the code around a literal load has its literal.
const LITERAL: i32 = 8;

fn encode(insn: Insn) -> u32 {
    insn.encode().expect("it has an encoding")
}

/// The instruction and what has to be around it.
fn code(choices: &mut Seeded, word: u32, operation: &Operation) -> Vec<u32> {
    // The two ways out of a branch leave different numbers.
    let ways = |branch: u32| {
        let mark =
            |imm| encode(Insn::MoveWide { op: MoveWide::Movz, width: Width::X, rd: Gpr::X17, imm, shift: 0 });
        vec![branch, mark(1), encode(Insn::B { offset: 8 }), mark(2)]
    };
    let literal = |choices: &mut Seeded, load: u32| {
        // All of a code has to decode, so that the literal is instructions: moves of any immediate.
        let words = [0; 4].map(|_| choices.bits() as u32 & 0x801f_ffff | 0x5280_0000);
        [&[load, encode(Insn::B { offset: 20 })], words.as_slice()].concat()
    };
    let clear = 0xd503_3f5f;
    match *operation {
        Operation::Insn(insn @ (Insn::LoadLiteral { .. } | Insn::LoadSignedLiteral { .. })) => {
            literal(choices, encode(insn.with_offset(LITERAL)))
        }
        Operation::Other(Other::VLoadLiteral { .. }) => {
            literal(choices, word & !(0x7_ffff << 5) | (LITERAL as u32 / 4) << 5)
        }
        Operation::Insn(Insn::Adr { .. }) => vec![word],
        Operation::Insn(insn) if insn.offset().is_some() => ways(encode(insn.with_offset(TAKEN))),
        Operation::Insn(Insn::Br { .. } | Insn::Ret { .. } | Insn::Blr { .. }) => ways(word),
        Operation::Insn(Insn::StoreExclusive { .. }) | Operation::Other(Other::StoreExclusivePair { .. }) => {
            // The load of the same place: to XZR and, of a pair, to a register that is not the base.
            let load = word & !(0x1f << 16) | 1 << 22 | 0x1f << 16 | 0x1f;
            let second = if word >> 5 & 0x1f == 17 { 16 } else { 17 };
            let load = if word >> 21 & 1 == 1 { load & !(0x1f << 10) | second << 10 } else { load };
            match choices.below(4) {
                0 => vec![clear, word],
                1 => vec![load, clear, word],
                _ => vec![load, word],
            }
        }
        _ => vec![word],
    }
}

/// Values where mistakes are.
fn value(choices: &mut Seeded) -> u64 {
    match choices.below(6) {
        0 => choices.below(4).wrapping_sub(2),
        1 => (1 << choices.below(64)) - choices.below(2),
        2 => !(1 << choices.below(64)),
        3 => u64::from(choices.bits() as u32) | choices.below(2) << 63,
        _ => choices.bits(),
    }
}

/// Bytes for window and stack.
pub fn random_memory(choices: &mut Seeded) -> Memory {
    let mut memory = Memory::zeroed(SLOT);
    for bytes in memory.window.chunks_mut(8).chain(memory.stack.chunks_mut(8)) {
        bytes.copy_from_slice(&value(choices).to_le_bytes());
    }
    memory
}

fn random_file(choices: &mut Seeded) -> RegisterFile {
    let mut general: Vec<u64> = (0..32).map(|_| value(choices)).collect();
    // Registers that hold the same, so that comparisons find something equal.
    for _ in 0..choices.below(4) {
        let (from, to) = (choices.below(32) as usize, choices.below(32) as usize);
        general[to] = general[from];
    }
    let vectors = (0..32).map(|_| u128::from(value(choices)) << 64 | u128::from(value(choices))).collect();
    RegisterFile { general, flags: choices.below(16) << 28, vectors }
}

/// Sets a register that is not XZR.
fn set(file: &mut RegisterFile, register: Gpr, value: u64) {
    if register != Gpr::Xzr {
        file.general[register.number() as usize] = value;
    }
}

fn get(file: &RegisterFile, register: Gpr) -> u64 {
    if register == Gpr::Xzr { 0 } else { file.general[register.number() as usize] }
}

/// Makes the address of an access one in memory, or next to it.
fn aim(choices: &mut Seeded, operation: &Operation, file: &mut RegisterFile, memory: &mut Memory) {
    let Some((mem, bytes, aligned)) = access(operation) else { return };
    let target = target(choices, bytes, aligned);
    let (base, start) = match mem {
        Mem::Offset { base, offset } | Mem::Unscaled { base, offset } | Mem::PreIndex { base, offset } => {
            (base, target.wrapping_sub(i64::from(offset) as u64))
        }
        Mem::PostIndex { base, .. } => (base, target),
        Mem::Register { base, index, scaled, .. } if base == index => {
            // Within a few bytes of the target.
            (base, target / if scaled { 1 + u64::from(bytes) } else { 2 })
        }
        Mem::Register { base, index, extend, scaled } => {
            let value = get(file, index);
            let value = match extend {
                Extend::Uxtw => u64::from(value as u32),
                Extend::Sxtw => i64::from(value as i32) as u64,
                _ => value,
            };
            let value = if scaled { value << bytes.trailing_zeros() } else { value };
            (base, target.wrapping_sub(value))
        }
    };
    set(file, base, start);
    if choices.one_in(2) {
        expect_what_is_there(operation, file, memory, target);
    }
}

/// Makes the comparison of a compare-and-swap succeed, unless its registers are also its base.
fn expect_what_is_there(operation: &Operation, file: &mut RegisterFile, memory: &mut Memory, target: u64) {
    let (bytes, base, registers) = match *operation {
        Operation::Insn(Insn::Cas { size, rs, base, .. }) => (size.bytes(), base, vec![rs]),
        Operation::Other(Other::CasPair { width, rs, base, .. }) => {
            let second = Gpr::from_number(rs.number() as u8 + 1).unwrap_or(Gpr::Xzr);
            (width.bits() / 8, base, vec![rs, second])
        }
        _ => return,
    };
    for (i, register) in (0..).zip(registers) {
        let address = target.wrapping_add(i * u64::from(bytes));
        let expected = memory.load(address, bytes as usize).unwrap_or_default();
        if register != base {
            // What is above the bytes that are compared does not count.
            let above = get(file, register) & u64::MAX.checked_shl(8 * bytes).unwrap_or(0);
            set(file, register, above | expected);
        }
    }
}

/// An address for `bytes`: at the ends of window and stack, across them, or anywhere inside; where it has to be aligned,
/// mostly so.
fn target(choices: &mut Seeded, bytes: u32, aligned: bool) -> u64 {
    let (start, end) = *choices.pick(&[(SLOT.window(), SLOT.window_end()), (SLOT.stack(), SLOT.stack_end())]);
    let bytes = u64::from(bytes);
    let address = match choices.below(32) {
        0 | 1 => start,
        2 | 3 => end - bytes,
        4 => end - choices.below(bytes),
        5 => start - 1 - choices.below(bytes),
        _ => start + choices.below(end - start - bytes),
    };
    if aligned && !choices.one_in(16) { address & !(bytes - 1) } else { address }
}

/// The operand in memory, the bytes that are accessed there, and whether their address has to be aligned.
fn access(operation: &Operation) -> Option<(Mem, u32, bool)> {
    let atomic = |size: Size, base| Some((Mem::base(base), size.bytes(), true));
    let pair = |width: Width, base| Some((Mem::base(base), width.bits() / 4, true));
    match *operation {
        Operation::Insn(insn) => match insn {
            Insn::Load { size, mem, .. }
            | Insn::LoadSigned { size, mem, .. }
            | Insn::Store { size, mem, .. } => Some((mem, size.bytes(), false)),
            Insn::VLoad { size, mem, .. } | Insn::VStore { size, mem, .. } => {
                Some((mem, size.bytes(), false))
            }
            Insn::LoadPair { width, mem, .. } | Insn::StorePair { width, mem, .. } => {
                Some((mem, width.bits() / 4, false))
            }
            Insn::VLoadPair { size, mem, .. } | Insn::VStorePair { size, mem, .. } => {
                Some((mem, 2 * size.bytes(), false))
            }
            Insn::LoadExclusive { size, base, .. }
            | Insn::StoreExclusive { size, base, .. }
            | Insn::LoadAcquire { size, base, .. }
            | Insn::LoadAcquirePc { size, base, .. }
            | Insn::StoreRelease { size, base, .. }
            | Insn::Atomic { size, base, .. }
            | Insn::Cas { size, base, .. } => atomic(size, base),
            _ => None,
        },
        Operation::Other(Other::LoadPairSigned { mem, .. }) => Some((mem, 2 * Scalar::S.bytes(), false)),
        Operation::Other(
            Other::LoadExclusivePair { width, base, .. }
            | Other::StoreExclusivePair { width, base, .. }
            | Other::CasPair { width, base, .. },
        ) => pair(width, base),
        _ => None,
    }
}
