// SPDX-License-Identifier: GPL-2.0-or-later
//! Lanes that change places.

use kop_ops::aarch64::{Arrangement, BitPermuteOp, Scalar, V};

use super::{Lanes, PermuteOp, Three, lanes};
use crate::aarch64::Machine;
use crate::circuits;
use crate::domain::Domain;

/// EXT: the bytes of `vm:vn` from `index` on.
pub(super) fn extract<M: Machine>(m: &mut M, arrangement: Arrangement, (vd, vn, vm): Three, index: u8) {
    let (low, high) = (lanes::read(m, arrangement, vn), lanes::read(m, arrangement, vm));
    let count = lanes::count(arrangement);
    let result = Lanes::new(8, count, |i| {
        let from = i + usize::from(index);
        if from < count { low.at(from) } else { high.at(from - count) }
    });
    lanes::write(m, vd, &result);
}

/// TRN1 to ZIP2.
pub(super) fn permute<M: Machine>(m: &mut M, op: PermuteOp, arrangement: Arrangement, (vd, vn, vm): Three) {
    let sources = [lanes::read(m, arrangement, vn), lanes::read(m, arrangement, vm)];
    let (bits, count) = (sources[0].bits(), lanes::count(arrangement));
    let result = Lanes::new(bits, count, |i| {
        let (source, from) = match op {
            PermuteOp::Trn1 => (i % 2, i & !1),
            PermuteOp::Trn2 => (i % 2, i | 1),
            PermuteOp::Uzp1 => (2 * i / count, 2 * i % count),
            PermuteOp::Uzp2 => (2 * i / count, 2 * i % count + 1),
            PermuteOp::Zip1 => (i % 2, i / 2),
            PermuteOp::Zip2 => (i % 2, count / 2 + i / 2),
        };
        sources[source].at(from)
    });
    lanes::write(m, vd, &result);
}

/// BEXT, BDEP.
pub(super) fn bits<M: Machine>(m: &mut M, op: BitPermuteOp, lane: Scalar, (zd, zn, zm): Three) {
    let bits = 8 * lane.bytes();
    let [values, masks] = [zn, zm].map(|register| {
        let halves = m.vector(register);
        Lanes::split(m.domain(), bits, (128 / bits) as usize, halves)
    });
    let result = values.zip(masks, bits, |value, mask| match op {
        BitPermuteOp::Bext => circuits::gather(m.domain(), bits, value, mask),
        BitPermuteOp::Bdep => circuits::spread(m.domain(), bits, value, mask),
    });
    lanes::write(m, zd, &result);
}

/// TBL, TBX: an index beyond the table gives zero, or leaves the byte when `keep`.
pub(super) fn table<M: Machine>(
    m: &mut M,
    keep: bool,
    registers: u8,
    arrangement: Arrangement,
    (vd, vn, vm): Three,
) {
    let (old, indices) = (lanes::read(m, arrangement, vd), lanes::read(m, arrangement, vm));
    let table: Vec<_> = (0..usize::from(registers))
        .map(|i| lanes::read(m, Arrangement::B16, V::ALL[(vn.number() as usize + i) % V::ALL.len()]))
        .collect();
    let result = old.zip(indices, 8, |old, index| {
        let d = m.domain();
        let mut byte = if keep { old } else { d.constant(8, 0) };
        for (number, &entry) in (0..).zip(table.iter().flat_map(Lanes::all)) {
            let number = d.constant(8, number);
            let chosen = d.eq(8, index, number);
            byte = d.ite(8, chosen, entry, byte);
        }
        byte
    });
    lanes::write(m, vd, &result);
}
