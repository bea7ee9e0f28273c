// SPDX-License-Identifier: GPL-2.0-or-later
//! x86-64 instructions, decoded and encoded by iced-x86: operands are changed there, widths in the prefixes and opcodes (Intel SDM
//! vol. 2, 2.1 to 2.3).

use iced_x86::{Code, Decoder, DecoderOptions, Encoder, Instruction as Iced, Mnemonic, OpKind, Register};

use super::edit::{Class, Instruction, Kind, Operand};

/// An instruction.
#[derive(Clone)]
pub(super) struct Insn {
    iced: Iced,
    bytes: Vec<u8>,
    target: Option<usize>,
}

impl PartialEq for Insn {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.target == other.target
    }
}

/// The places besides those of the operands: the parts of a memory operand.
const BASE: usize = 8;
const INDEX: usize = 9;
const DISPLACEMENT: usize = 10;

/// Conditions by number around one: its inverse is that with the lowest bit inverted (Intel SDM vol. 1, appendix B).
const CONDITIONS: usize = 16;

impl Insn {
    /// The first instruction of `bytes`.
    fn first(bytes: &[u8]) -> Option<Iced> {
        let iced = Decoder::new(64, bytes, DecoderOptions::NONE).decode();
        (!iced.is_invalid()).then_some(iced)
    }

    /// What iced-x86 makes of a changed instruction.
    fn encoded(&self, changed: &Iced) -> Option<Self> {
        let mut encoder = Encoder::new(64);
        encoder.encode(changed, changed.ip()).ok()?;
        let bytes = encoder.take_buffer();
        let iced = Self::first(&bytes)?;
        (iced.code() == changed.code()).then_some(Insn { iced, bytes, target: self.target })
    }

    fn has_memory(&self) -> bool {
        self.iced.op_kinds().any(|kind| kind == OpKind::Memory)
    }

    /// Whether the memory operand has a displacement of its own: an absolute or relative address is none.
    fn has_displacement(&self) -> bool {
        self.has_memory() && self.iced.memory_base().is_gpr64()
    }

    fn is_branch(&self) -> bool {
        self.iced.op_count() > 0 && self.iced.op0_kind() == OpKind::NearBranch64 && !self.iced.is_call_near()
    }

    /// The bytes of a branch's displacement, which are its last.
    fn displacement_width(&self) -> usize {
        let is_near = self.iced.is_jcc_near() || self.iced.is_jmp_near();
        if is_near { 4 } else { 1 }
    }

    /// The bytes with another displacement.
    fn branching(&self, distance: i64) -> Option<Vec<u8>> {
        let mut bytes = self.bytes.clone();
        let at = bytes.len() - self.displacement_width();
        match self.displacement_width() {
            1 => bytes[at..].copy_from_slice(&i8::try_from(distance).ok()?.to_le_bytes()),
            _ => bytes[at..].copy_from_slice(&i32::try_from(distance).ok()?.to_le_bytes()),
        }
        Some(bytes)
    }

    /// The condition's number and the distance between the codes of two conditions.
    fn condition(&self) -> Option<(usize, usize)> {
        let code = self.iced.code();
        let inverse = code.negate_condition_code();
        let number = (self.iced.condition_code() as usize).checked_sub(1)?;
        (inverse != code).then(|| (number, (inverse as usize).abs_diff(code as usize)))
    }

    /// Whether `other` does the same with the same operands of other widths.
    fn differs_in_width(&self, other: &Iced) -> bool {
        let (a, b) = (&self.iced, other);
        let mut operands = 0..a.op_count();
        a.code() != b.code()
            && is_same_but_width(a.mnemonic(), b.mnemonic())
            && a.op_count() == b.op_count()
            && operands.all(|op| match (a.op_kind(op), b.op_kind(op)) {
                (OpKind::Register, OpKind::Register) => {
                    let (a, b) = (a.op_register(op), b.op_register(op));
                    numbered(a).is_some() && numbered(a) == numbered(b)
                }
                (OpKind::Memory, OpKind::Memory) => {
                    a.memory_base() == b.memory_base()
                        && a.memory_index() == b.memory_index()
                        && a.memory_displacement64() == b.memory_displacement64()
                }
                (first, second) => immediate_bits(first).is_some() && immediate_bits(second).is_some(),
            })
    }
}

/// Whether two mnemonics tell the same operation: those of moves to and from SIMD registers hold the width.
fn is_same_but_width(a: Mnemonic, b: Mnemonic) -> bool {
    const PAIRS: [[Mnemonic; 2]; 3] = [
        [Mnemonic::Movd, Mnemonic::Movq],
        [Mnemonic::Pextrd, Mnemonic::Pextrq],
        [Mnemonic::Pinsrd, Mnemonic::Pinsrq],
    ];
    a == b || PAIRS.iter().any(|pair| pair.contains(&a) && pair.contains(&b))
}

/// The class and the number of a register; none for AH to BH and others that are neither general nor XMM to ZMM.
fn numbered(register: Register) -> Option<(Class, u8)> {
    let is_high = matches!(register, Register::AH | Register::BH | Register::CH | Register::DH);
    if register.is_gpr() && !is_high {
        Some((Class::General, register.full_register().number() as u8))
    } else if register.is_vector_register() {
        Some((Class::Vector, register.number() as u8))
    } else {
        None
    }
}

/// The register of this number of the size of another one.
fn like(register: Register, number: u8) -> Register {
    let number = u32::from(number);
    match register {
        _ if register.is_gpr8() && number < 4 => Register::AL + number,
        _ if register.is_gpr8() => Register::SPL + (number - 4),
        _ if register.is_gpr16() => Register::AX + number,
        _ if register.is_gpr32() => Register::EAX + number,
        _ if register.is_gpr64() => Register::RAX + number,
        _ if register.is_xmm() => Register::XMM0 + number,
        _ if register.is_ymm() => Register::YMM0 + number,
        _ => Register::ZMM0 + number,
    }
}

/// The bits of an immediate as it is encoded.
fn immediate_bits(kind: OpKind) -> Option<u32> {
    Some(match kind {
        OpKind::Immediate8
        | OpKind::Immediate8_2nd
        | OpKind::Immediate8to16
        | OpKind::Immediate8to32
        | OpKind::Immediate8to64 => 8,
        OpKind::Immediate16 => 16,
        OpKind::Immediate32 | OpKind::Immediate32to64 => 32,
        OpKind::Immediate64 => 64,
        _ => return None,
    })
}

impl Instruction for Insn {
    type Unit = u8;
    type Code = Vec<u8>;

    fn decode(code: &Vec<u8>) -> Option<Vec<Self>> {
        let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
        let (mut insns, mut starts) = (Vec::new(), Vec::new());
        while decoder.can_decode() {
            let at = decoder.position();
            let iced = decoder.decode();
            if iced.is_invalid() {
                return None;
            }
            starts.push(at as u64);
            insns.push(Insn { iced, bytes: code[at..at + iced.len()].to_vec(), target: None });
        }
        starts.push(code.len() as u64);
        for insn in &mut insns {
            if insn.is_branch() {
                let to = insn.iced.near_branch_target();
                insn.target = Some(starts.iter().position(|start| *start == to)?);
            }
        }
        Some(insns)
    }

    fn encode(code: &[Self]) -> Option<Vec<u8>> {
        let mut starts = vec![0];
        for insn in code {
            starts.push(starts[starts.len() - 1] + insn.bytes.len());
        }
        let mut bytes = Vec::with_capacity(starts[code.len()]);
        for (index, insn) in code.iter().enumerate() {
            match insn.target {
                None => bytes.extend(&insn.bytes),
                Some(target) => {
                    let distance = *starts.get(target)? as i64 - starts[index + 1] as i64;
                    bytes.extend(insn.branching(distance)?);
                }
            }
        }
        Some(bytes)
    }

    fn shape(&self) -> u64 {
        let iced = &self.iced;
        let flags = [
            self.has_memory(),
            iced.memory_base() != Register::None,
            iced.memory_index() != Register::None,
            iced.has_lock_prefix(),
            iced.has_rep_prefix(),
        ];
        flags.iter().fold(iced.code() as u64, |shape, flag| shape << 1 | u64::from(*flag))
    }

    fn operands(&self) -> Vec<Operand> {
        let mut operands = Vec::new();
        for op in 0..self.iced.op_count() {
            let slot = op as usize;
            let kind = match self.iced.op_kind(op) {
                OpKind::Register => {
                    numbered(self.iced.op_register(op)).map(|(class, _)| Kind::Register(class))
                }
                kind => immediate_bits(kind).map(|bits| Kind::Immediate { bits }),
            };
            operands.extend(kind.map(|kind| Operand { slot, kind }));
        }
        let register = Kind::Register(Class::General);
        if self.has_memory() && self.iced.memory_base().is_gpr64() {
            operands.push(Operand { slot: BASE, kind: register });
        }
        if self.has_memory() && self.iced.memory_index().is_gpr64() {
            operands.push(Operand { slot: INDEX, kind: register });
        }
        if self.has_displacement() {
            operands.push(Operand { slot: DISPLACEMENT, kind: Kind::Immediate { bits: 32 } });
        }
        operands
    }

    fn register(&self, slot: usize) -> Option<u8> {
        let register = match slot {
            BASE => self.iced.memory_base(),
            INDEX => self.iced.memory_index(),
            _ => self.iced.try_op_register(slot as u32).ok()?,
        };
        numbered(register).map(|(_, number)| number)
    }

    fn with_register(&self, slot: usize, number: u8) -> Option<Self> {
        let mut changed = self.iced;
        match slot {
            BASE => changed.set_memory_base(Register::RAX + u32::from(number)),
            INDEX => changed.set_memory_index(Register::RAX + u32::from(number)),
            _ => {
                let register = like(changed.op_register(slot as u32), number);
                changed.set_op_register(slot as u32, register);
            }
        }
        // RBP and R13 are no base without a displacement, which iced-x86 adds when it may.
        if slot == BASE && changed.memory_displ_size() == 0 {
            changed.set_memory_displ_size(1);
        }
        self.encoded(&changed)
    }

    fn immediate(&self, slot: usize) -> Option<u64> {
        if slot == DISPLACEMENT {
            return Some(self.iced.memory_displacement64() & 0xffff_ffff);
        }
        let bits = immediate_bits(self.iced.op_kind(slot as u32))?;
        let value = self.iced.immediate(slot as u32);
        Some(if bits == 64 { value } else { value & ((1 << bits) - 1) })
    }

    fn with_immediate(&self, slot: usize, value: u64) -> Option<Self> {
        let mut changed = self.iced;
        if slot == DISPLACEMENT {
            changed.set_memory_displacement64(i64::from(value as i32) as u64);
            changed.set_memory_displ_size(if i8::try_from(value as i32).is_ok() { 1 } else { 8 });
            return self.encoded(&changed);
        }
        match self.iced.op_kind(slot as u32) {
            OpKind::Immediate8 => changed.set_immediate8(value as u8),
            OpKind::Immediate8_2nd => changed.set_immediate8_2nd(value as u8),
            OpKind::Immediate8to16 => changed.set_immediate8to16(i16::from(value as i8)),
            OpKind::Immediate8to32 => changed.set_immediate8to32(i32::from(value as i8)),
            OpKind::Immediate8to64 => changed.set_immediate8to64(i64::from(value as i8)),
            OpKind::Immediate16 => changed.set_immediate16(value as u16),
            OpKind::Immediate32 => changed.set_immediate32(value as u32),
            OpKind::Immediate32to64 => changed.set_immediate32to64(i64::from(value as i32)),
            OpKind::Immediate64 => changed.set_immediate64(value),
            _ => return None,
        }
        self.encoded(&changed)
    }

    fn conditions(&self) -> usize {
        // The inverse, and those up to two numbers away; at an end of the numbers there are fewer.
        if self.condition().is_some() { 4 } else { 0 }
    }

    fn with_condition(&self, number: usize) -> Option<Self> {
        let (condition, distance) = self.condition()?;
        let other = *around(condition, CONDITIONS).get(number)?;
        let code = self.iced.code() as usize - condition * distance + other * distance;
        let mut changed = self.iced;
        changed.set_code(Code::try_from(code).ok()?);
        (changed.condition_code() as usize == other + 1).then(|| self.encoded(&changed))?
    }

    fn widths(&self) -> usize {
        3
    }

    fn with_width(&self, number: usize) -> Option<Self> {
        const OPERAND_SIZE: u8 = 0x66;
        const PREFIXES: [u8; 5] = [OPERAND_SIZE, 0x67, 0xf0, 0xf2, 0xf3];
        let mut bytes = self.bytes.clone();
        let at = bytes.iter().take_while(|byte| PREFIXES.contains(byte)).count();
        let has_rex = bytes.get(at)? & 0xf0 == 0x40;
        match (number, bytes[at]) {
            // The bit W of a VEX prefix of three bytes, or of REX.
            (0, 0xc4) => *bytes.get_mut(at + 2)? ^= 0x80,
            (_, 0xc4 | 0xc5 | 0x62) => return None,
            (0, _) if has_rex => bytes[at] ^= 0x08,
            (0, _) => bytes.insert(at, 0x48),
            (1, _) => match bytes[..at].iter().position(|byte| *byte == OPERAND_SIZE) {
                Some(prefix) => drop(bytes.remove(prefix)),
                None => bytes.insert(0, OPERAND_SIZE),
            },
            // The lowest bit of many opcodes tells a byte from the rest.
            _ => {
                let mut opcode = at + usize::from(has_rex);
                if *bytes.get(opcode)? == 0x0f {
                    opcode += 1;
                }
                *bytes.get_mut(opcode)? ^= 1;
            }
        }
        let iced = Self::first(&bytes)?;
        let is_whole = iced.len() == bytes.len();
        (is_whole && self.differs_in_width(&iced)).then_some(Insn { iced, bytes, target: self.target })
    }

    fn target(&self) -> Option<usize> {
        self.target
    }

    fn with_target(self, target: usize) -> Self {
        Insn { target: self.target.map(|_| target), ..self }
    }
}

/// The inverse of a condition, which differs in the lowest bit of its number, and those up to two numbers away.
pub(super) fn around(condition: usize, count: usize) -> Vec<usize> {
    let inverse = condition ^ 1;
    let near = condition.saturating_sub(2)..(condition + 3).min(count);
    std::iter::once(inverse).chain(near.filter(|other| *other != condition && *other != inverse)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kop_emulators::inspect::listing;
    use kop_ops::Arch;
    use kop_ops::x86_64::{Assembler, Cond, Gpr, Mem, Size};

    fn code(write: impl FnOnce(&mut Assembler)) -> Vec<Insn> {
        let mut asm = Assembler::new();
        write(&mut asm);
        let bytes = asm.finish().expect("it has an encoding").bytes;
        let insns = Insn::decode(&bytes).expect("it is code");
        assert_eq!(Insn::encode(&insns), Some(bytes));
        insns
    }

    fn text(insn: Option<Insn>) -> String {
        let Some(insn) = insn else { return "none".to_owned() };
        listing(Arch::X86_64, &insn.bytes).into_iter().map(|line| line.text).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn registers_and_numbers_are_replaced() {
        let rol = &code(|a| a.rol(Size::B8, Gpr::Rdi, 5))[0];
        assert_eq!(text(rol.with_register(0, 13)), "rol r13, 5");
        assert_eq!(text(rol.with_immediate(1, 6)), "rol rdi, 6");
        let load = &code(|a| a.mov(Size::B8, Gpr::Rax, Mem::at(Gpr::Rsi, 127)))[0];
        assert_eq!((load.register(BASE), load.immediate(DISPLACEMENT)), (Some(6), Some(127)));
        assert_eq!(text(load.with_immediate(DISPLACEMENT, 128)), "mov rax, [rsi+0x80]");
        assert_eq!(text(load.with_immediate(DISPLACEMENT, u64::MAX)), "mov rax, [rsi-1]");
        assert_eq!(text(load.with_immediate(DISPLACEMENT, 0)), "mov rax, [rsi]");
        let plain = &code(|a| a.mov(Size::B8, Gpr::Rax, Mem::at(Gpr::Rsi, 0)))[0];
        assert_eq!(text(plain.with_register(BASE, 13)), "mov rax, [r13]");
    }

    #[test]
    fn conditions_are_inverted_or_beside() {
        let cmov = &code(|a| a.cmov(Cond::E, Size::B8, Gpr::Rax, Gpr::Rdi))[0];
        let others: Vec<String> = (0..cmov.conditions()).map(|n| text(cmov.with_condition(n))).collect();
        assert_eq!(others, ["cmovne rax, rdi", "cmovb rax, rdi", "cmovae rax, rdi", "cmovbe rax, rdi"]);
        let setcc = &code(|a| a.setcc(Cond::L, Gpr::Rdi))[0];
        assert_eq!(text(setcc.with_condition(0)), "setge dil");
    }

    #[test]
    fn widths_change_with_all_else_the_same() {
        let widths = |insn: &Insn| -> Vec<String> {
            (0..insn.widths()).map(|n| text(insn.with_width(n))).filter(|text| text != "none").collect()
        };
        assert_eq!(widths(&code(|a| a.rol(Size::B8, Gpr::Rdi, 5))[0]), ["rol edi, 5", "rol dil, 5"]);
        assert_eq!(
            widths(&code(|a| a.rol(Size::B2, Gpr::Rax, 8))[0]),
            ["rol rax, 8", "rol eax, 8", "rol al, 8"]
        );
        assert_eq!(widths(&code(|a| a.bswap(Size::B4, Gpr::R8))[0])[0], "bswap r8");
        assert_eq!(widths(&code(|a| a.rorx(Size::B8, Gpr::Rax, Gpr::Rdi, 9))[0]), ["rorx eax, edi, 9"]);
    }

    #[test]
    fn branches_keep_their_targets() {
        use crate::mutate::edit::{Edit, rearranged};
        let insns = code(|a| {
            let end = a.label();
            a.test(Size::B8, Gpr::Rax, Gpr::Rax);
            a.jcc(Cond::E, end);
            a.mov(Size::B8, Gpr::Rax, Gpr::Rdi);
            a.bind(end);
            a.neg(Size::B8, Gpr::Rax);
        });
        assert_eq!(insns[1].target(), Some(3));
        let twice = rearranged(&insns, Edit::Duplicate(2)).expect("it can be made");
        let bytes = Insn::encode(&twice).expect("the target is near");
        let lines = listing(Arch::X86_64, &bytes);
        assert_eq!((lines.len(), lines[1].text.as_str()), (5, "je 0xb"));
    }
}
