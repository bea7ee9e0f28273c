// SPDX-License-Identifier: GPL-2.0-or-later
//! Bytes and lanes in another order.

use super::lanes::{Lanes, join, split};
use super::{Halves, Shuffled};
use crate::domain::Domain;

pub(super) fn shift_bytes<D: Domain>(
    d: &mut D,
    left: bool,
    a: Halves<D::Value>,
    amount: u8,
) -> Halves<D::Value> {
    let zero = d.constant(8, 0);
    let bytes = split(d, 8, a);
    let mut shifted = [zero; 16];
    for (to, byte) in shifted.iter_mut().enumerate() {
        let from = if left { to.checked_sub(amount.into()) } else { to.checked_add(amount.into()) };
        if let Some(&value) = from.and_then(|from| bytes.get(from)) {
            *byte = value;
        }
    }
    join(d, 8, &shifted)
}

/// The lanes of one half of both operands in turn.
pub(super) fn unpack<D: Domain>(
    d: &mut D,
    high: bool,
    width: u32,
    a: Halves<D::Value>,
    b: Halves<D::Value>,
) -> Halves<D::Value> {
    let (a, b) = (split(d, width, a), split(d, width, b));
    let per_half = 64 / width as usize;
    let first = if high { per_half } else { 0 };
    let mut lanes = a;
    for i in 0..per_half {
        lanes[2 * i] = a[first + i];
        lanes[2 * i + 1] = b[first + i];
    }
    join(d, width, &lanes)
}

pub(super) fn shuffle<D: Domain>(
    d: &mut D,
    lanes: Shuffled,
    a: Halves<D::Value>,
    order: u8,
) -> Halves<D::Value> {
    let (width, first) = match lanes {
        Shuffled::Doublewords => (32, 0),
        Shuffled::LowWords => (16, 0),
        Shuffled::HighWords => (16, 4),
    };
    let old = split(d, width, a);
    let mut new = old;
    for i in 0..4 {
        new[first + i] = old[first + usize::from(order >> (2 * i) & 3)];
    }
    join(d, width, &new)
}

/// Each byte the one that the low bits of the control byte choose, or zero where its highest bit is set.
pub(super) fn shuffle_bytes<D: Domain>(
    d: &mut D,
    a: Halves<D::Value>,
    control: Halves<D::Value>,
) -> Halves<D::Value> {
    let (bytes, controls) = (split(d, 8, a), split(d, 8, control));
    let zero = d.constant(8, 0);
    let mut shuffled = bytes;
    for (byte, control) in shuffled.iter_mut().zip(controls) {
        let chosen = choose(d, &bytes, control);
        let clear = d.extract(8, 7, 1, control);
        *byte = d.ite(8, clear, zero, chosen);
    }
    join(d, 8, &shuffled)
}

/// The byte whose number is in the low four bits of `number`: each bit halves what is left.
fn choose<D: Domain>(d: &mut D, bytes: &Lanes<D::Value>, number: D::Value) -> D::Value {
    let mut left = *bytes;
    for bit in 0..4 {
        let odd = d.extract(8, bit, 1, number);
        for i in 0..8 >> bit {
            left[i] = d.ite(8, odd, left[2 * i + 1], left[2 * i]);
        }
    }
    left[0]
}

/// Sixteen of the bytes of `src`, with those of `dst` above, from a place on.
pub(super) fn align_right<D: Domain>(
    d: &mut D,
    dst: Halves<D::Value>,
    src: Halves<D::Value>,
    amount: u8,
) -> Halves<D::Value> {
    let (above, below) = (split(d, 8, dst), split(d, 8, src));
    let zero = d.constant(8, 0);
    let mut bytes = [zero; 16];
    for (byte, from) in bytes.iter_mut().zip(usize::from(amount)..) {
        if let Some(&value) = below.iter().chain(&above).nth(from) {
            *byte = value;
        }
    }
    join(d, 8, &bytes)
}
