// SPDX-License-Identifier: GPL-2.0-or-later
//! x86-64 instructions that Unicorn 2.1.5 executes otherwise than the Intel SDM says and a CPU does.
//!
//! Not refused is CMPXCHG of 32 bits, though Unicorn clears the upper half of rax when it succeeds and AMD's processors do not:
//! by the manual the register is written, so that no code that is right depends on either.

use iced_x86::{Code, Decoder, DecoderOptions, EncodingKind, Instruction, Mnemonic, OpKind};

/// What Unicorn gets wrong in a code.
pub fn unicorn(code: &[u8]) -> Option<&'static str> {
    let mut decoder = Decoder::new(64, code, DecoderOptions::NONE);
    let mut insn = Instruction::default();
    while decoder.can_decode() {
        let start = decoder.position();
        decoder.decode_out(&mut insn);
        let wrong = mistake(&insn, &code[start..decoder.position()]);
        if wrong.is_some() {
            return wrong;
        }
    }
    None
}

fn mistake(insn: &Instruction, bytes: &[u8]) -> Option<&'static str> {
    use Mnemonic as M;
    let prefixes = Prefixes::of(bytes);
    let named = match insn.mnemonic() {
        M::Bzhi => "BZHI is wrong for an index of the operand's width and more, and so is its CF",
        M::Bextr => "BEXTR is wrong for bits from the upper half of a register, and for long lengths",
        M::Blsi => "BLSI sets CF the other way round",
        M::Pdep if insn.code() == Code::VEX_Pdep_r32_r32_rm32 => "PDEP of 32 bits deposits in the upper half",
        M::Adcx | M::Adox => "ADCX and ADOX are not there",
        M::Lahf | M::Sahf if prefixes.rex().is_some() => "LAHF and SAHF with a REX prefix use spl, not ah",
        M::Neg if insn.has_lock_prefix() => "LOCK NEG sets flags by another value",
        M::Shld | M::Shrd | M::Rorx if by_constant(insn) && insn.is_ip_rel_memory_operand() => {
            "SHLD, SHRD and RORX by a constant address memory relative to rip one byte too low"
        }
        M::Test if second_encoding(insn) => "TEST with an immediate in its second encoding is no instruction",
        M::Mov if moves_immediate(insn) && prefixes.rex().is_some_and(|rex| rex & 4 != 0) => {
            "MOV of an immediate with REX.R is no instruction"
        }
        _ if wants_alignment(insn) => "SSE operands in memory that are not aligned to 16 bytes do not fault",
        _ if prefixes.compete(insn) => "of several of the prefixes 66, F2 and F3 another one counts",
        _ => return None,
    };
    Some(named)
}

fn by_constant(insn: &Instruction) -> bool {
    insn.op_kind(insn.op_count() - 1) == OpKind::Immediate8
}

/// F6 /1 and F7 /1.
fn second_encoding(insn: &Instruction) -> bool {
    use Code as C;
    matches!(
        insn.code(),
        C::Test_rm8_imm8_F6r1 | C::Test_rm16_imm16_F7r1 | C::Test_rm32_imm32_F7r1 | C::Test_rm64_imm32_F7r1
    )
}

/// C6 and C7.
fn moves_immediate(insn: &Instruction) -> bool {
    use Code as C;
    matches!(insn.code(), C::Mov_rm8_imm8 | C::Mov_rm16_imm16 | C::Mov_rm32_imm32 | C::Mov_rm64_imm32)
}

/// Whether an operand of 16 bytes in memory has to be aligned (Intel SDM vol. 1, section 4.1.1).
fn wants_alignment(insn: &Instruction) -> bool {
    use Mnemonic as M;
    let has_memory = (0..insn.op_count()).any(|operand| insn.op_kind(operand) == OpKind::Memory);
    let need_not = matches!(
        insn.mnemonic(),
        M::Movups
            | M::Movupd
            | M::Movdqu
            | M::Lddqu
            | M::Pcmpestri
            | M::Pcmpestrm
            | M::Pcmpistri
            | M::Pcmpistrm
    );
    let legacy = insn.encoding() == EncodingKind::Legacy;
    legacy && has_memory && insn.memory_size().size() == 16 && names_vector(insn) && !need_not
}

fn names_vector(insn: &Instruction) -> bool {
    (0..insn.op_count())
        .any(|operand| insn.op_kind(operand) == OpKind::Register && insn.op_register(operand).is_xmm())
}

/// The prefixes of an instruction (Intel SDM vol. 2, section 2.1.1).
struct Prefixes<'a>(&'a [u8]);

impl<'a> Prefixes<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let is_prefix = |byte: &&u8| matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3);
        Self(&bytes[..bytes.iter().take_while(is_prefix).count()])
    }

    /// The bits of the REX prefix, which is the last one.
    fn rex(&self) -> Option<u8> {
        self.0.last().filter(|last| **last & 0xf0 == 0x40).copied()
    }

    /// Whether more than one of 66, F2 and F3 could select the instruction: F2 and F3 exclude each other, 66 excludes both for
    /// instructions on vectors and is the operand's size for others.
    fn compete(&self, insn: &Instruction) -> bool {
        let [size, repne, rep] = [0x66, 0xf2, 0xf3].map(|byte| self.0.contains(&byte));
        repne && rep || size && (repne || rep) && names_vector(insn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_like_a_mistake_and_right_is_admitted() {
        // Bytes by GNU as.
        let right: [&[u8]; 14] = [
            &[0x66, 0xf3, 0x0f, 0xb8, 0xc3],       // popcnt ax, bx
            &[0x66, 0xf3, 0xa5],                   // rep movsw
            &[0x66, 0xf2, 0x0f, 0x38, 0xf1, 0xc3], // crc32 eax, bx
            &[0xf3, 0x0f, 0x6f, 0x03],             // movdqu xmm0, [rbx]
            &[0x66, 0x0f, 0xef, 0xc3],             // pxor xmm0, xmm3
            &[0xf3, 0x0f, 0x7e, 0x03],             // movq xmm0, qword [rbx]
            &[0x9f],                               // lahf
            &[0x49, 0xc7, 0xc3, 1, 2, 3, 4],       // mov r11, 0x4030201
            &[0x48, 0xf7, 0x1b],                   // neg qword [rbx]
            &[0xf7, 0xc3, 1, 2, 3, 4],             // test ebx, 0x4030201
            &[0x48, 0x0f, 0xa4, 0xd8, 0x05],       // shld rax, rbx, 5
            &[0xc4, 0xe2, 0xeb, 0xf5, 0xc3],       // pdep rax, rdx, rbx
            &[0xc4, 0xe2, 0x6a, 0xf5, 0xc3],       // pext eax, edx, ebx
            &[0xc4, 0xe2, 0xf8, 0xf3, 0xcb],       // blsr rax, rbx
        ];
        for code in right {
            assert_eq!(unicorn(code), None, "{code:02x?}");
        }
    }

    #[test]
    fn a_mistake_is_found_wherever_it_stands() {
        // mov eax, ebx; bextr eax, ebx, edx; add eax, ebx
        let code = [0x89, 0xd8, 0xc4, 0xe2, 0x68, 0xf7, 0xc3, 0x01, 0xd8];
        assert!(unicorn(&code).is_some_and(|what| what.starts_with("BEXTR")));
        // pxor xmm0, [rbx], which faults unless rbx is a multiple of 16
        assert!(unicorn(&[0x66, 0x0f, 0xef, 0x03]).is_some_and(|what| what.contains("aligned")));
        // scasb with F2 and F3, of which the last one counts
        assert!(unicorn(&[0xf2, 0xf3, 0xae]).is_some_and(|what| what.contains("prefixes")));
    }
}
