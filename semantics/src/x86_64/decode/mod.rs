// SPDX-License-Identifier: GPL-2.0-or-later
//! From bytes to instructions, through iced-x86. Whatever is not named here is refused.

mod general;
mod operands;
mod simd;

use iced_x86::{Decoder, DecoderOptions, Instruction};

use super::insn::{Decoded, Op};
use crate::native::Unsupported;
use operands::Operands;

/// The longest instruction (Intel SDM vol. 2, section 2.3.11).
const LONGEST: usize = 15;

/// The instructions of `code`, which has to be instructions from its first to its last byte.
///
/// # Errors
/// [`Unsupported`] for the first instruction that has no semantics here, or bytes that are none.
pub fn decode(code: &[u8]) -> Result<Vec<Decoded>, Unsupported> {
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let mut decoded = Vec::new();
    let mut insn = Instruction::default();
    while decoder.can_decode() {
        let offset = decoder.position();
        decoder.decode_out(&mut insn);
        let op = operation(&insn, &code[offset..]).ok_or_else(|| unsupported(&insn, code, offset))?;
        decoded.push(Decoded { offset, len: insn.len(), op });
    }
    Ok(decoded)
}

fn unsupported(insn: &Instruction, code: &[u8], offset: usize) -> Unsupported {
    let rest = &code[offset..];
    let (len, text) = if insn.is_invalid() {
        (rest.len().min(LONGEST), "(bad)".to_owned())
    } else {
        (insn.len(), insn.to_string())
    };
    Unsupported { offset, bytes: rest[..len].to_vec(), text }
}

/// What an instruction does, if it is covered. `bytes` start with it.
fn operation(insn: &Instruction, bytes: &[u8]) -> Option<Op> {
    if insn.is_invalid() {
        return None;
    }
    let operands = Operands::new(insn);
    let branches = !matches!(insn.flow_control(), iced_x86::FlowControl::Next);
    if branches && has_operand_size_prefix(bytes) {
        // AMD processors cut the target to 16 bits, and Intel's do not.
        return None;
    }
    if (insn.has_rep_prefix() || insn.has_repne_prefix()) && !insn.is_string_instruction() {
        // Reserved (Intel SDM vol. 2, section 2.1.1); AMD processors take LOOPE with REPNE for LOOPNE.
        return None;
    }
    general::operation(operands).or_else(|| simd::operation(operands).map(Op::Vector))
}

/// Whether 66H is among the prefixes.
fn has_operand_size_prefix(bytes: &[u8]) -> bool {
    let prefix = |byte: &&u8| matches!(**byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3);
    bytes.iter().take_while(prefix).any(|&byte| byte == 0x66)
}
