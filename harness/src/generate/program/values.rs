// SPDX-License-Identifier: GPL-2.0-or-later
//! Numbers for immediates and memory: half of them from the places where mistakes are.

use kop_ops::choices::Choices;

/// An immediate.
pub(super) fn imm(choices: &mut impl Choices) -> i32 {
    match choices.below(8) {
        0 => 0,
        1 => *choices.pick(&[1, -1, 2, 3, 7, 8, 10, 31, 32, 33, 63, 64, 100]),
        2 => *choices.pick(&[i32::MAX, i32::MIN, i32::MIN + 1, 0x7fff, 0x8000, -0x8000, 0xffff, 0x1_0000]),
        3 => *choices.pick(&[127, 128, -127, -128, -129, 255, 256, 0xfff, 0x1000, -0xfff, -0x1000, -0x1001]),
        4 => 1i32.wrapping_shl(choices.below(32) as u32),
        5 => logical(choices) as i32,
        6 => choices.below(256) as i32 - 128,
        _ => choices.bits() as i32,
    }
}

/// A run of ones somewhere, or a pattern that repeats: what AArch64 can have as a logical immediate, and its neighbours.
fn logical(choices: &mut impl Choices) -> u64 {
    let ones = (1u64 << (1 + choices.below(63))) - 1;
    let element = *choices.pick(&[2u32, 4, 8, 16, 32, 64]);
    let mask = u64::MAX >> (64 - element);
    let rotated = ones & mask;
    let repeated = (0..64 / element).fold(0, |value, part| value | rotated << (part * element));
    let value = repeated.rotate_left(choices.below(64) as u32);
    if choices.one_in(4) { value ^ 1 << choices.below(64) } else { value }
}

/// A 64-bit number.
pub(super) fn wide(choices: &mut impl Choices) -> u64 {
    match choices.below(8) {
        0 => imm(choices) as i64 as u64,
        1 => imm(choices) as u32 as u64,
        2 => *choices.pick(&[u64::MAX, i64::MIN as u64, i64::MAX as u64, 1 << 32, (1 << 32) - 1, 1 << 31]),
        3 => 1 << choices.below(64),
        4 => u64::MAX << choices.below(64),
        5 => logical(choices),
        6 => (imm(choices) as u64) << 32,
        _ => choices.bits(),
    }
}

/// Bytes of a packet or of a map's value.
pub(super) fn bytes(choices: &mut impl Choices, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend(wide(choices).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
