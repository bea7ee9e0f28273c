// SPDX-License-Identifier: GPL-2.0-or-later
//! AArch64 instructions that Unicorn 2.1.5 and qemu-aarch64 7.2 execute otherwise than the Arm ARM says for a processor without
//! FEAT_LSE2.
//!
//! Not refused are store-exclusives, which fail without a fault for an address that is not aligned: the manual leaves that
//! open.

use kop_ops::aarch64::{AtomicOp, Gpr, Insn, Size, Width};
use kop_semantics::aarch64::{Operation, Other, decode};

/// What Unicorn gets wrong in a code.
pub fn unicorn(code: &[u8]) -> Option<&'static str> {
    operations(code).find_map(|operation| match operation {
        Operation::Insn(Insn::Atomic { op: AtomicOp::Smax | AtomicOp::Smin, size, .. })
            if size < Size::B8 =>
        {
            Some("LDSMAX and LDSMIN of less than a doubleword are wrong")
        }
        Operation::Insn(Insn::LoadAcquire { size, .. } | Insn::StoreRelease { size, .. })
            if size != Size::B1 =>
        {
            Some("LDAR, LDLAR, STLR and STLLR of an address that is not aligned do not fault")
        }
        operation => unaligned(operation),
    })
}

/// What qemu-aarch64 gets wrong in a code.
pub fn qemu(code: &[u8]) -> Option<&'static str> {
    operations(code).find_map(|operation| match operation {
        Operation::Other(Other::CasPair { width: Width::X, rs: Gpr::X30, .. }) => {
            Some("CASP of X30 and XZR compares SP, not zero, and writes it")
        }
        operation => unaligned(operation),
    })
}

/// What both get wrong.
fn unaligned(operation: Operation) -> Option<&'static str> {
    match operation {
        Operation::Insn(Insn::LoadAcquirePc { size, .. }) if size != Size::B1 => {
            Some("LDAPR of an address that is not aligned does not fault")
        }
        _ => None,
    }
}

/// The instructions that have semantics.
fn operations(code: &[u8]) -> impl Iterator<Item = Operation> {
    code.chunks_exact(4).filter_map(|word| Some(decode(word).ok()?.first()?.operation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_from_what_is_like_them() {
        // Words by GNU as: which engine refuses them.
        for (word, by_unicorn, by_qemu) in [
            (0x3820_4041, true, false),  // ldsmaxb w0, w1, [x2]
            (0xb820_5041, true, false),  // ldsmin w0, w1, [x2]
            (0xf820_4041, false, false), // ldsmax x0, x1, [x2]
            (0xb820_6041, false, false), // ldumax w0, w1, [x2]
            (0xc8df_fc41, true, false),  // ldar x1, [x2]
            (0x08df_fc41, false, false), // ldarb w1, [x2]
            (0x889f_fc41, true, false),  // stlr w1, [x2]
            (0xb8bf_c041, true, true),   // ldapr w1, [x2]
            (0xf940_0041, false, false), // ldr x1, [x2]
            (0x483e_7c54, false, true),  // casp x30, xzr, x20, x21, [x2]
            (0x4820_7c54, false, false), // casp x0, x1, x20, x21, [x2]
        ] {
            let code = u32::to_le_bytes(word);
            let refused = (unicorn(&code).is_some(), qemu(&code).is_some());
            assert_eq!(refused, (by_unicorn, by_qemu), "{word:#010x}");
        }
    }
}
