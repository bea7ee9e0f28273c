// SPDX-License-Identifier: GPL-2.0-or-later
//! Tests of single bits (Intel SDM vol. 2: BT, BTC, BTR, BTS; section 3.1.1.9 for strings of bits).

use kop_ops::x86_64::Size;

use super::flags::{Flag, undefine};
use super::insn::{Operand, Place};
use super::operand::{address, read, read_operand, write};
use super::{Machine, Value};
use crate::domain::Domain;

/// What becomes of the bit that is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BitTest {
    /// `bt`: nothing.
    Test,
    /// `bts`: it is set.
    Set,
    /// `btr`: it is cleared.
    Reset,
    /// `btc`: it is complemented.
    Complement,
}

/// `bt dst, index` and its like. An index modulo the width; with memory and a register, one of a string of bits, of which
/// that word is accessed which holds the bit.
#[inline]
pub(super) fn bit_test<M: Machine>(
    m: &mut M,
    op: BitTest,
    size: Size,
    dst: Place,
    index: Operand,
) -> Result<(), M::Stop> {
    let width = size.bits();
    let index_value = read_operand(m, size, index)?;
    let d = m.domain();
    let mask = d.constant(width, u64::from(width) - 1);
    let place = d.and(width, index_value, mask);
    let word = match (dst, index) {
        (Place::Mem(mem), Operand::Place(_)) => {
            let address = address(m, mem);
            Word::At(word_address(m, size, address, index_value))
        }
        _ => Word::Operand(dst),
    };
    let value = word.read(m, size)?;
    let d = m.domain();
    let shifted = d.lshr(width, value, place);
    let bit = d.extract(width, 0, 1, shifted);
    let one = d.constant(width, 1);
    let selected = d.shl(width, one, place);
    let changed = match op {
        BitTest::Test => None,
        BitTest::Set => Some(d.or(width, value, selected)),
        BitTest::Complement => Some(d.xor(width, value, selected)),
        BitTest::Reset => {
            let others = d.not(width, selected);
            Some(d.and(width, value, others))
        }
    };
    if let Some(changed) = changed {
        word.write(m, size, changed)?;
    }
    m.set_flag(Flag::Carry, bit);
    undefine(m, &[Flag::Overflow, Flag::Sign, Flag::Adjust, Flag::Parity]);
    Ok(())
}

/// What a bit is taken from.
enum Word<V> {
    Operand(Place),
    At(V),
}

impl<V: Copy> Word<V> {
    fn read<M: Machine>(&self, m: &mut M, size: Size) -> Result<V, M::Stop>
    where
        M::Domain: Domain<Value = V>,
    {
        match *self {
            Word::Operand(place) => read(m, size, place),
            Word::At(address) => m.load(size.bytes(), address),
        }
    }

    fn write<M: Machine>(&self, m: &mut M, size: Size, value: V) -> Result<(), M::Stop>
    where
        M::Domain: Domain<Value = V>,
    {
        match *self {
            Word::Operand(place) => write(m, size, place, value),
            Word::At(address) => m.store(size.bytes(), address, value),
        }
    }
}

/// The address of the word that holds bit `index`, a signed number, of the bits from `address` on.
fn word_address<M: Machine>(m: &mut M, size: Size, address: Value<M>, index: Value<M>) -> Value<M> {
    let d = m.domain();
    let index = d.sign_extend(size.bits(), 64, index);
    let (bits, bytes) = (
        d.constant(64, size.bits().trailing_zeros().into()),
        d.constant(64, size.bytes().trailing_zeros().into()),
    );
    let words = d.ashr(64, index, bits);
    let distance = d.shl(64, words, bytes);
    d.add(64, address, distance)
}
