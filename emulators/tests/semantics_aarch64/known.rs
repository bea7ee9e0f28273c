// SPDX-License-Identifier: GPL-2.0-or-later
//! What the other machines do otherwise: all of it that the campaign finds, and nothing that it does not.
//! `semantics/DIFFERENCES.md` has the same list.

use kop_ops::aarch64::{AtomicOp, Gpr, Insn, Size, Width};
use kop_semantics::aarch64::{Operation, Other};

/// A difference between a machine and the semantics.
pub struct Known {
    /// The machines, by their engines' names.
    pub machines: &'static [&'static str],
    /// What happens there, as the document says it.
    pub what: &'static str,
    /// A word that shows it on some states.
    pub example: u32,
    /// Whether a case of an instruction, which faults on the semantics or not, is one of these.
    pub is: fn(&Operation, bool) -> bool,
    /// Why the engines run such instructions all the same; they refuse the others.
    pub admitted: Option<&'static str>,
}

const UNICORN: &str = "unicorn-aarch64";
const QEMU: &str = "qemu-aarch64";

/// Every difference that is known. The semantics follow the Arm ARM in each.
pub const KNOWN: &[Known] = &[
    Known {
        machines: &[UNICORN],
        what: "LDSMAX and LDSMIN of less than a doubleword compare and store wrong values",
        example: 0x3820_4041,
        is: |operation, _| match *operation {
            Operation::Insn(Insn::Atomic { op, size, .. }) => {
                matches!(op, AtomicOp::Smax | AtomicOp::Smin) && size < Size::B8
            }
            _ => false,
        },
        admitted: None,
    },
    Known {
        machines: &[UNICORN],
        what: "LDAR, LDLAR, STLR and STLLR of an address that is not aligned do not fault",
        example: 0x88df_fc41,
        is: |operation, faults| {
            let ordered =
                matches!(operation, Operation::Insn(Insn::LoadAcquire { .. } | Insn::StoreRelease { .. }));
            ordered && faults
        },
        admitted: None,
    },
    Known {
        machines: &[UNICORN, QEMU],
        what: "LDAPR of an address that is not aligned does not fault",
        example: 0xb8bf_c041,
        is: |operation, faults| matches!(operation, Operation::Insn(Insn::LoadAcquirePc { .. })) && faults,
        admitted: None,
    },
    Known {
        machines: &[UNICORN, QEMU],
        what: "store-exclusives that fail do not fault for an address that is not aligned, which the Arm ARM leaves open",
        example: 0xc803_7c41,
        is: |operation, faults| {
            let stores = matches!(
                operation,
                Operation::Insn(Insn::StoreExclusive { .. })
                    | Operation::Other(Other::StoreExclusivePair { .. })
            );
            stores && faults
        },
        admitted: Some("the manual leaves it open"),
    },
    Known {
        machines: &[QEMU],
        what: "CASP of X30 and XZR compares SP, not zero, and writes it",
        example: 0x483e_7c54,
        is: |operation, _| {
            matches!(operation, Operation::Other(Other::CasPair { width: Width::X, rs: Gpr::X30, .. }))
        },
        admitted: None,
    },
];
