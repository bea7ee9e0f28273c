// SPDX-License-Identifier: GPL-2.0-or-later
//! The canonical text of a case: defaults are left out, so that what is printed is what matters.

use std::fmt;

use kop_ops::ebpf::Reg;
use kop_ops::{Memory, State};

use super::{Case, VERSION};

/// The most bytes of memory in a line.
const ROW: usize = 16;

impl fmt::Display for Case {
    /// The canonical text, which [`Case::parse`] reads back; a line of the comment that holds line ends becomes several.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.comment.iter().flat_map(|text| text.split('\n')) {
            let space = if line.is_empty() { "" } else { " " };
            writeln!(f, "#{space}{line}")?;
        }
        writeln!(f, "kop-case {VERSION}")?;
        writeln!(f, "operation {}", self.kop)?;
        writeln!(f, "form {}", self.form.name)?;
        if let Some(arch) = self.arch {
            writeln!(f, "arch {arch}")?;
        }
        if let Some(features) = self.features {
            writeln!(f, "features {features}")?;
        }
        write_payload(self, f)?;
        if self.garbage != 0 {
            writeln!(f, "garbage {:#x}", self.garbage)?;
        }
        write_state(&self.state, f)
    }
}

fn write_payload(case: &Case, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let operands = match case.operands() {
        Ok(operands) if !case.learned => operands,
        _ => return writeln!(f, "payload {:#x}", case.payload),
    };
    for (field, &value) in case.form.layout.fields().iter().zip(operands.values()) {
        writeln!(f, "operand {} {}", field.name, field.show(value))?;
    }
    Ok(())
}

fn write_state(state: &State, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let slot = state.memory.slot;
    for (register, value) in Reg::ALL.into_iter().zip(state.registers) {
        let default = if register == Reg::R10 { slot.stack_end() } else { 0 };
        if value != default {
            writeln!(f, "{register} = {}", slot.show(value))?;
        }
    }
    for (address, bytes) in rows(&state.memory) {
        write!(f, "{}:", slot.show(address))?;
        for byte in bytes {
            write!(f, " {byte:02x}")?;
        }
        writeln!(f)?;
    }
    Ok(())
}

/// The parts of memory that are not zero, with their addresses, in at most 16 bytes each.
///
/// A part starts at a multiple of 8, so that a number in memory stays in one piece, and ends with a byte that is not zero.
pub(crate) fn rows(memory: &Memory) -> impl Iterator<Item = (u64, &[u8])> {
    let regions = [(memory.slot.window(), &memory.window), (memory.slot.stack(), &memory.stack)];
    regions.into_iter().flat_map(|(base, bytes)| {
        bytes.chunks(ROW).enumerate().filter_map(move |(number, row)| {
            if *row == [0; ROW] {
                return None;
            }
            let first = row.iter().position(|&byte| byte != 0)? / 8 * 8;
            let last = row.iter().rposition(|&byte| byte != 0)?;
            Some((base + (number * ROW + first) as u64, &row[first..=last]))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kop_ops::Slot;

    #[test]
    fn the_text_is_as_documented() {
        let case = super::super::tests::sample();
        let expected = "# rotate by zero forgot to zero-extend\nkop-case 1\noperation rotate\nform imm32\narch x86_64\n\
                        features bmi2\noperand dst r3\noperand src r3\noperand tmp r2\noperand amount 13\n\
                        garbage 0x7\nr1 = 0x123\nr2 = window+0x10\nwindow+0x10: 01 02 03 ff\nstack-0x8: 00 11\n";
        assert_eq!(case.to_string(), expected);
    }

    #[test]
    fn rows_hold_every_byte_that_is_not_zero() {
        let mut memory = Memory::zeroed(Slot::default());
        for (i, byte) in memory.window.iter_mut().enumerate().skip(0x33).take(0x1e) {
            *byte = i as u8;
        }
        memory.stack[4095] = 9;
        let slot = memory.slot;
        let found: Vec<_> = rows(&memory).map(|(address, bytes)| (slot.show(address), bytes.len())).collect();
        let expected = [("window+0x30", 16), ("window+0x40", 16), ("window+0x50", 1), ("stack-0x8", 8)];
        assert_eq!(found, expected.map(|(address, length)| (address.to_owned(), length)));
    }

    #[test]
    fn a_comment_with_line_ends_becomes_several_lines() {
        let mut case = super::super::tests::sample();
        case.comment = vec!["first\n\nkop-case 9".to_owned()];
        assert!(case.to_string().starts_with("# first\n#\n# kop-case 9\nkop-case 1\n"));
    }
}
