// SPDX-License-Identifier: GPL-2.0-or-later
//! One's complement sums as the kernel computes them (RFC 1071; `include/net/checksum.h`, `net/core/utils.c`).
//!
//! How the kernel's `csum_partial` folds differs between architectures, so that only what is folded to 16 bits is
//! comparable; every result of a helper function is.

/// The sum of two partial sums: `csum_add`.
pub(super) fn add(a: u32, b: u32) -> u32 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(u32::from(carry))
}

/// The difference of two partial sums: `csum_sub`.
pub(super) fn sub(a: u32, b: u32) -> u32 {
    add(a, !b)
}

/// The partial sum of `bytes` in pairs, little-endian, on top of `seed`: `csum_partial`.
pub(super) fn partial(bytes: &[u8], seed: u32) -> u32 {
    let mut sum = u64::from(seed);
    for pair in bytes.chunks(2) {
        sum += u64::from(pair[0]) | u64::from(pair.get(1).copied().unwrap_or_default()) << 8;
    }
    while sum >> 32 != 0 {
        sum = (sum & 0xffff_ffff) + (sum >> 32);
    }
    sum as u32
}

/// The sum folded to 16 bits: `csum_from32to16`.
pub(super) fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}

/// The checksum for a field: `csum_fold`.
fn field(sum: u32) -> u16 {
    !fold(sum)
}

/// The checksum `old` after `difference` was added to what it covers: `csum_replace_by_diff`.
pub(super) fn replace_by_difference(old: u16, difference: u32) -> u16 {
    field(add(difference, u32::from(!old)))
}

/// The checksum `old` after four bytes changed: `csum_replace4`, which is also what two bytes in a transport header go
/// through.
pub(super) fn replace4(old: u16, from: u32, to: u32) -> u16 {
    field(add(sub(u32::from(!old), from), to))
}

/// The checksum `old` after two bytes changed: `csum_replace2`.
pub(super) fn replace2(old: u16, from: u16, to: u16) -> u16 {
    !add16(add16(!old, !from), to)
}

fn add16(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(u16::from(carry))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071 section 3: the bytes 00 01 f2 03 f4 f5 f6 f7 sum to ddf2 in network order.
    #[test]
    fn the_rfc_example_sums_up() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(partial(&bytes, 0)).to_le_bytes(), [0xdd, 0xf2]);
    }

    /// The IPv4 header of RFC 1071's wide-spread example: its checksum is b861.
    const HEADER: [u8; 20] = [
        0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0x00, 0x00, 0xc0, 0xa8, 0x00, 0x01, 0xc0,
        0xa8, 0x00, 0xc7,
    ];

    fn of(header: &[u8]) -> u16 {
        field(partial(header, 0))
    }

    #[test]
    fn a_header_has_the_known_checksum() {
        assert_eq!(of(&HEADER).to_le_bytes(), [0xb8, 0x61]);
    }

    #[test]
    fn replacing_agrees_with_summing_anew() {
        let old = of(&HEADER);
        let mut other = HEADER;
        other[12..16].copy_from_slice(&[10, 1, 2, 3]);
        let word = |bytes: &[u8; 20]| u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
        assert_eq!(replace4(old, word(&HEADER), word(&other)), of(&other));
        let difference = sub(partial(&other[12..16], 0), partial(&HEADER[12..16], 0));
        assert_eq!(replace_by_difference(old, difference), of(&other));
        let mut short = HEADER;
        short[8..10].copy_from_slice(&[0x3f, 0x06]);
        assert_eq!(
            replace2(old, u16::from_le_bytes([0x40, 0x11]), u16::from_le_bytes([0x3f, 0x06])),
            of(&short)
        );
    }

    #[test]
    fn an_odd_byte_counts_as_the_low_one() {
        assert_eq!(partial(&[1, 2, 3], 0), 0x0201 + 3);
        assert_eq!(partial(&[0xff; 8], u32::MAX), 0x0003_fffc);
        assert_eq!(fold(u32::MAX), 0xffff);
    }
}
