// SPDX-License-Identifier: GPL-2.0-or-later
//! Constants in registers.

use kop_ops::ebpf::Reg;
use kop_ops::x86_64::{AluOp, Gpr, Size};

use super::{Compiler, gpr};
use crate::planted::Planted;

impl<const PLANTED: bool> Compiler<'_, PLANTED> {
    /// `dst = value` in the fewest bytes; changes the flags.
    pub(super) fn load_imm(&mut self, dst: Gpr, value: u64) {
        if value == 0 {
            self.code.alu(AluOp::Xor, Size::B4, dst, dst);
        } else if let Ok(low) = u32::try_from(value) {
            self.code.mov(Size::B4, dst, low as i32);
        } else if let Ok(signed) = i32::try_from(value as i64) {
            self.code.mov(Size::B8, dst, signed);
        } else {
            self.code.movabs(dst, value);
        }
    }

    /// The two-slot load of an immediate or of a map's address.
    pub(super) fn load_imm64(&mut self, index: usize, dst: Reg, kind: u8, imm: u64) {
        let Some(value) = self.options.addresses.resolve(kind, imm) else {
            return self.fail(index, "there is no such map, or this kind of address is not known here");
        };
        let truncated = self.planted(Planted::WideImmediateTruncated);
        self.load_imm(gpr(dst), if truncated { value & 0xffff_ffff } else { value });
    }
}
