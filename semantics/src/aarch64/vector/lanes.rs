// SPDX-License-Identifier: GPL-2.0-or-later
//! Registers as lanes.

use kop_ops::aarch64::{Arrangement, V};

use crate::aarch64::{Machine, Value};
use crate::domain::Domain;

/// The most lanes that a register has.
const MOST: usize = 16;

/// Up to 16 values of the same width, 128 bits at most; the first is the lowest.
#[derive(Clone, Copy)]
pub(super) struct Lanes<V> {
    bits: u32,
    count: usize,
    values: [V; MOST],
}

impl<V: Copy> Lanes<V> {
    /// `count` lanes of `bits` each, the one with number `i` being `of(i)`.
    pub(super) fn new(bits: u32, count: usize, mut of: impl FnMut(usize) -> V) -> Self {
        let mut values = [of(0); MOST];
        (1..count).for_each(|i| values[i] = of(i));
        Lanes { bits, count, values }
    }

    /// The first `count` lanes of `bits` each of a register.
    pub(super) fn split<D: Domain<Value = V>>(
        d: &mut D,
        bits: u32,
        count: usize,
        [low, high]: [V; 2],
    ) -> Self {
        Self::new(bits, count, |i| {
            let at = bits * i as u32;
            d.extract(64, at % 64, bits, if at < 64 { low } else { high })
        })
    }

    /// The register whose lowest lanes these are, with zeros above.
    pub(super) fn join<D: Domain<Value = V>>(&self, d: &mut D) -> [V; 2] {
        let in_half = (64 / self.bits) as usize;
        let (low, high) = self.all().split_at(in_half.min(self.count));
        [low, high].map(|half| {
            let Some((&first, rest)) = half.split_first() else {
                return d.constant(64, 0);
            };
            let (value, width) = rest.iter().fold((first, self.bits), |(below, width), &lane| {
                (d.concat(width + self.bits, width, lane, below), width + self.bits)
            });
            d.zero_extend(width, 64, value)
        })
    }

    /// Every lane, the lowest first.
    pub(super) fn all(&self) -> &[V] {
        &self.values[..self.count]
    }

    /// How many bits a lane has.
    pub(super) fn bits(&self) -> u32 {
        self.bits
    }

    /// The lane with this number.
    pub(super) fn at(&self, index: usize) -> V {
        self.all()[index]
    }

    /// The same with another lane of this number.
    pub(super) fn with(mut self, index: usize, value: V) -> Self {
        self.values[index] = value;
        self
    }

    /// Every lane changed; the results have `bits`.
    pub(super) fn map(self, bits: u32, mut of: impl FnMut(V) -> V) -> Self {
        Self::new(bits, self.count, |i| of(self.values[i]))
    }

    /// Every lane and that of another register made one; the results have `bits`.
    pub(super) fn zip(self, other: Self, bits: u32, mut of: impl FnMut(V, V) -> V) -> Self {
        Self::new(bits, self.count, |i| of(self.values[i], other.values[i]))
    }

    /// All lanes made one, from the lowest on.
    pub(super) fn reduce(self, of: impl FnMut(V, V) -> V) -> V {
        self.all().iter().copied().reduce(of).expect("a register has lanes")
    }
}

/// How many lanes an arrangement has.
pub(super) fn count(arrangement: Arrangement) -> usize {
    (8 << arrangement.q()) / arrangement.lane().bytes() as usize
}

/// The lanes of a register.
pub(super) fn read<M: Machine>(m: &mut M, arrangement: Arrangement, register: V) -> Lanes<Value<M>> {
    let halves = m.vector(register);
    Lanes::split(m.domain(), 8 * arrangement.lane().bytes(), count(arrangement), halves)
}

/// The lanes of `bits` each in the lower, or the upper, half of a register.
pub(super) fn read_half<M: Machine>(m: &mut M, bits: u32, upper: bool, register: V) -> Lanes<Value<M>> {
    let [low, high] = m.vector(register);
    let half = if upper { high } else { low };
    Lanes::split(m.domain(), bits, (64 / bits) as usize, [half, half])
}

/// Sets a register to lanes, with zeros above.
pub(super) fn write<M: Machine>(m: &mut M, register: V, lanes: &Lanes<Value<M>>) {
    let halves = lanes.join(m.domain());
    m.set_vector(register, halves);
}
