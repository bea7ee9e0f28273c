// SPDX-License-Identifier: GPL-2.0-or-later
//! Instructions to run, each in front of a landing pad; and all opcodes that have semantics.

use std::collections::BTreeMap;

use iced_x86::{
    Code, CpuidFeature, Decoder, DecoderOptions, EncodingKind, Instruction, Mnemonic, OpKind, Register,
};
use kop_ops::choices::{Choices, Seeded};
use kop_ops::x86_64::{Gpr, Size};
use kop_semantics::x86_64::{self, Op, Operand, Place};

/// One instruction in front of a landing pad, at the place where it runs.
#[derive(Clone, Debug)]
pub struct Case {
    /// The address of the instruction.
    pub place: u64,
    /// The instruction, and the pad behind it.
    pub bytes: Vec<u8>,
    /// The instruction as the decoder has it; its addresses are those of `place`.
    pub insn: Instruction,
    /// The instruction as the semantics have it.
    pub op: Op,
    /// Its number of bytes.
    pub len: usize,
}

/// `mov r11, imm32`, which a branch that is taken leaves out.
const PAD: [u8; 7] = [0x49, 0xc7, 0xc3, 0x78, 0x56, 0x34, 0x12];

impl Case {
    /// The instruction that `bytes` start with, to run at `place`, if it is covered. Displacements of direct branches are
    /// changed to lead to the end of the pad, and addresses without a register to lead to `target`.
    pub fn new(bytes: &[u8], place: u64, target: u64) -> Option<Self> {
        let mut bytes = bytes.to_vec();
        let (insn, offsets) = decode(&bytes, place);
        bytes.truncate(insn.len());
        if insn.is_invalid() || x86_64::decode(&bytes).is_err() {
            return None;
        }
        if insn.op_count() > 0 && insn.op0_kind() == OpKind::NearBranch64 {
            let (at, size) = (offsets.immediate_offset(), offsets.immediate_size());
            bytes[at..at + size].copy_from_slice(&(PAD.len() as u64).to_le_bytes()[..size]);
        }
        if names_memory(&insn) && has_no_register(&insn) {
            let target = if locks(&insn) { target & !7 } else { target };
            let (at, size) = (offsets.displacement_offset(), offsets.displacement_size());
            let end = if insn.is_ip_rel_memory_operand() { place + insn.len() as u64 } else { 0 };
            bytes[at..at + size].copy_from_slice(&target.wrapping_sub(end).to_le_bytes()[..size]);
        }
        let len = bytes.len();
        let op = x86_64::decode(&bytes).ok()?[0].op;
        let (insn, _) = decode(&bytes, place);
        bytes.extend(PAD);
        Some(Self { place, bytes, insn, op, len })
    }

    /// The address of the end of the pad.
    pub fn end(&self) -> u64 {
        self.place + self.bytes.len() as u64
    }

    /// Whether it reads or writes memory that its operand names.
    pub fn names_memory(&self) -> bool {
        names_memory(&self.insn)
    }

    /// Whether it locks the memory that it accesses, so that it had better be within a cache line.
    pub fn locks(&self) -> bool {
        locks(&self.insn)
    }

    /// Whether this CPU has the instruction.
    pub fn host_executes(&self) -> bool {
        self.insn.cpuid_features().iter().all(|feature| match feature {
            CpuidFeature::POPCNT => std::is_x86_feature_detected!("popcnt"),
            CpuidFeature::LZCNT => std::is_x86_feature_detected!("lzcnt"),
            CpuidFeature::BMI1 => std::is_x86_feature_detected!("bmi1"),
            CpuidFeature::BMI2 => std::is_x86_feature_detected!("bmi2"),
            CpuidFeature::MOVBE => std::is_x86_feature_detected!("movbe"),
            CpuidFeature::PCLMULQDQ => std::is_x86_feature_detected!("pclmulqdq"),
            CpuidFeature::ADX => std::is_x86_feature_detected!("adx"),
            CpuidFeature::SSE3 => std::is_x86_feature_detected!("sse3"),
            CpuidFeature::SSSE3 => std::is_x86_feature_detected!("ssse3"),
            CpuidFeature::SSE4_1 => std::is_x86_feature_detected!("sse4.1"),
            CpuidFeature::SSE4_2 => std::is_x86_feature_detected!("sse4.2"),
            CpuidFeature::AVX512VL => std::is_x86_feature_detected!("avx512vl"),
            CpuidFeature::AVX512_VPOPCNTDQ => std::is_x86_feature_detected!("avx512vpopcntdq"),
            _ => true,
        })
    }

    /// Whether Unicorn has the instruction: of those with an EVEX prefix, which its engine refuses, it has none.
    pub fn unicorn_executes(&self) -> bool {
        self.insn.encoding() != EncodingKind::EVEX
    }

    /// The register that is the index into a string of bits in memory, and its size.
    pub fn indexes_bits(&self) -> Option<(Gpr, Size)> {
        match self.op {
            Op::BitTest { size, dst: Place::Mem(_), index: Operand::Place(Place::Reg(reg)), .. } => {
                Some((reg, size))
            }
            _ => None,
        }
    }

    /// The prefixes, and what follows them.
    fn prefixes(&self) -> (&[u8], &[u8]) {
        let is_prefix = |byte: u8| matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3);
        let count = self.bytes.iter().take_while(|byte| is_prefix(**byte)).count();
        self.bytes.split_at(count)
    }

    /// The bits of the REX prefix, which is the last one.
    pub fn rex(&self) -> Option<u8> {
        self.prefixes().0.last().filter(|last| **last & 0xf0 == 0x40).copied()
    }

    /// How many different ones of the prefixes 66, F2 and F3 there are.
    pub fn mandatory_prefixes(&self) -> usize {
        [0x66, 0xf2, 0xf3].iter().filter(|byte| self.prefixes().0.contains(byte)).count()
    }

    /// The middle field of the ModRM byte of an instruction with an opcode of one byte.
    pub fn opcode_extension(&self) -> u8 {
        self.prefixes().1[1] >> 3 & 7
    }

    /// The operation and the mnemonic.
    pub fn group(&self) -> String {
        let operation = match self.op {
            Op::Vector(insn) => format!("{insn:?}"),
            op => format!("{op:?}"),
        };
        let operation = operation.split(' ').next().unwrap_or_default();
        format!("{operation} {:?}", self.insn.mnemonic())
    }
}

fn decode(bytes: &[u8], place: u64) -> (Instruction, iced_x86::ConstantOffsets) {
    let mut decoder = Decoder::with_ip(64, bytes, place, DecoderOptions::NONE);
    let insn = decoder.decode();
    let offsets = decoder.get_constant_offsets(&insn);
    (insn, offsets)
}

fn names_memory(insn: &Instruction) -> bool {
    (0..insn.op_count()).any(|operand| insn.op_kind(operand) == OpKind::Memory)
        && !matches!(insn.code(), Code::Lea_r16_m | Code::Lea_r32_m | Code::Lea_r64_m)
        && insn.mnemonic() != Mnemonic::Nop
}

fn locks(insn: &Instruction) -> bool {
    insn.has_lock_prefix() || insn.mnemonic() == Mnemonic::Xchg
}

fn has_no_register(insn: &Instruction) -> bool {
    let base = insn.memory_base();
    matches!(base, Register::None | Register::RIP) && insn.memory_index() == Register::None
}

/// What an opcode is looked up by, besides its own byte.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Map {
    /// A prefix, and the bytes in front of the opcode.
    Legacy(Option<u8>, &'static [u8]),
    /// The number of the map, and L and pp of a VEX prefix.
    Vex(u8, u8),
}

/// All of them but those of EVEX and XOP.
fn maps() -> impl Iterator<Item = Map> {
    let escapes: [&[u8]; 4] = [&[], &[0x0f], &[0x0f, 0x38], &[0x0f, 0x3a]];
    let prefixes = [None, Some(0x66), Some(0xf2), Some(0xf3), Some(0xf0)];
    let legacy = escapes.into_iter().flat_map(move |bytes| prefixes.map(|prefix| Map::Legacy(prefix, bytes)));
    legacy.chain((1..4).flat_map(|map| (0..8).map(move |last| Map::Vex(map, last))))
}

/// Each opcode that begins an instruction with semantics, with a register and with memory for its operand, with each
/// middle field of the ModRM byte that makes another instruction, with and without the bit W, and with the same register twice;
/// otherwise registers, addresses and immediates are random.
pub fn opcodes(choices: &mut Seeded) -> Vec<Vec<u8>> {
    let mut found = BTreeMap::new();
    for map in maps() {
        for (opcode, upper, wide) in (0..=0xff)
            .flat_map(|opcode| (0..32).flat_map(move |upper| [false, true].map(|wide| (opcode, upper, wide))))
        {
            let bytes = encoding(choices, map, opcode, upper << 3, wide);
            let (insn, _) = decode(&bytes, 0);
            if !insn.is_invalid() && x86_64::decode(&bytes[..insn.len()]).is_ok() {
                let key =
                    (map, opcode, wide, insn.code() as u32, names_memory(&insn), names_one_twice(&insn));
                found.entry(key).or_insert(bytes);
            }
        }
    }
    found.into_values().collect()
}

/// Whether two operands are the same register.
fn names_one_twice(insn: &Instruction) -> bool {
    let register = |operand| match insn.op_kind(operand) {
        OpKind::Register => Some(insn.op_register(operand).full_register()),
        _ => None,
    };
    let mut pairs = (0..insn.op_count()).flat_map(|one| (0..one).map(move |other| (one, other)));
    pairs.any(|(one, other)| register(one).is_some() && register(one) == register(other))
}

/// Bytes that hold an opcode and the upper bits of a ModRM byte.
fn encoding(choices: &mut Seeded, map: Map, opcode: u8, modrm: u8, wide: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    if choices.one_in(8) {
        bytes.push(*choices.pick(&[0x67, 0x2e, 0x3e]));
    }
    let mut bits = |n: u32| choices.below(1 << n) as u8;
    match map {
        Map::Legacy(prefix, escape) => {
            bytes.extend(prefix);
            if wide || bits(1) == 1 {
                bytes.push(0x40 | u8::from(wide) << 3 | bits(3));
            }
            bytes.extend(escape);
        }
        Map::Vex(map, last) => {
            bytes.extend([0xc4, bits(3) << 5 | map, u8::from(wide) << 7 | bits(4) << 3 | last])
        }
    }
    let low = if bits(1) == 1 { modrm >> 3 & 7 } else { bits(3) };
    bytes.extend([opcode, modrm | low]);
    bytes.extend((0..10).map(|_| bits(8)));
    bytes
}
