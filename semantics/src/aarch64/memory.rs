// SPDX-License-Identifier: GPL-2.0-or-later
//! Loads and stores of general and SIMD registers, alone and in pairs, in all addressing modes (Arm ARM, C1.3.3).

use kop_ops::aarch64::{Gpr, Insn, Mem, Scalar, Size, V, Width};

use super::operand::{extended, read_bits, write, write_bits};
use super::{Machine, Other, Value};
use crate::domain::Domain;

/// Loads and stores at `offset` (Arm ARM, C4.1.94).
pub(super) fn transfer<M: Machine>(m: &mut M, offset: i64, insn: &Insn) -> Result<(), M::Stop> {
    match *insn {
        Insn::Load { size, rt, mem } => {
            let place = place(m, mem, size.log2());
            load(m, size, None, rt, place.address)?;
            place.write_back(m);
            Ok(())
        }
        Insn::LoadSigned { width, size, rt, mem } => {
            let place = place(m, mem, size.log2());
            load(m, size, Some(width), rt, place.address)?;
            place.write_back(m);
            Ok(())
        }
        Insn::Store { size, rt, mem } => {
            let place = place(m, mem, size.log2());
            let value = read_bits(m, 8 * size.bytes(), rt);
            m.store(size.bytes(), place.address, value)?;
            place.write_back(m);
            Ok(())
        }
        Insn::LoadPair { width, rt, rt2, mem } => load_pair(m, Size::from(width), None, (rt, rt2), mem),
        Insn::StorePair { width, rt, rt2, mem } => store_pair(m, width, (rt, rt2), mem),
        Insn::LoadLiteral { width, rt, offset: distance } => {
            let address = m.code_address(offset + i64::from(distance));
            load(m, Size::from(width), None, rt, address)
        }
        Insn::LoadSignedLiteral { rt, offset: distance } => {
            let address = m.code_address(offset + i64::from(distance));
            load(m, Size::B4, Some(Width::X), rt, address)
        }
        Insn::VLoad { size, vt, mem } => {
            let place = place(m, mem, size.log2());
            let value = load_vector(m, size, place.address)?;
            m.set_vector(vt, value);
            place.write_back(m);
            Ok(())
        }
        Insn::VStore { size, vt, mem } => {
            let place = place(m, mem, size.log2());
            store_vector(m, size, place.address, vt)?;
            place.write_back(m);
            Ok(())
        }
        Insn::VLoadPair { size, vt, vt2, mem } => {
            let (place, second) = pair_place(m, mem, size.bytes());
            let values = (load_vector(m, size, place.address)?, load_vector(m, size, second)?);
            m.set_vector(vt, values.0);
            m.set_vector(vt2, values.1);
            place.write_back(m);
            Ok(())
        }
        Insn::VStorePair { size, vt, vt2, mem } => {
            let (place, second) = pair_place(m, mem, size.bytes());
            store_vector(m, size, place.address, vt)?;
            store_vector(m, size, second, vt2)?;
            place.write_back(m);
            Ok(())
        }
        _ => unreachable!("{insn} is not decoded as a load or store"),
    }
}

/// LDPSW, and LDR of a SIMD register from a literal.
pub(super) fn other<M: Machine>(m: &mut M, offset: i64, other: &Other) -> Result<(), M::Stop> {
    match *other {
        Other::LoadPairSigned { rt, rt2, mem } => load_pair(m, Size::B4, Some(Width::X), (rt, rt2), mem),
        Other::VLoadLiteral { size, vt, offset: distance } => {
            let address = m.code_address(offset + i64::from(distance));
            let value = load_vector(m, size, address)?;
            m.set_vector(vt, value);
            Ok(())
        }
        _ => unreachable!("{other:?} is no load or store"),
    }
}

/// Where an access goes, and what its base becomes after it.
struct Place<V> {
    address: V,
    new_base: Option<(Gpr, V)>,
}

impl<V> Place<V> {
    fn write_back<M: Machine>(self, m: &mut M)
    where
        M::Domain: Domain<Value = V>,
    {
        if let Some((base, value)) = self.new_base {
            m.set(base, value);
        }
    }
}

/// The place that an operand names, where an index is scaled by `1 << log2`.
fn place<M: Machine>(m: &mut M, mem: Mem, log2: u32) -> Place<Value<M>> {
    let base = mem.base_register();
    let start = m.get(base);
    match mem {
        Mem::Offset { offset, .. } | Mem::Unscaled { offset, .. } => {
            Place { address: displaced(m, start, i64::from(offset)), new_base: None }
        }
        Mem::Register { index, extend, scaled, .. } => {
            let amount = if scaled { log2 as u8 } else { 0 };
            let offset = extended(m, Width::X, index, (extend, amount));
            Place { address: m.domain().add(64, start, offset), new_base: None }
        }
        Mem::PreIndex { offset, .. } => {
            let moved = displaced(m, start, i64::from(offset));
            Place { address: moved, new_base: Some((base, moved)) }
        }
        Mem::PostIndex { offset, .. } => {
            let moved = displaced(m, start, i64::from(offset));
            Place { address: start, new_base: Some((base, moved)) }
        }
    }
}

/// The place of a pair of `bytes` each, and the address of the second.
fn pair_place<M: Machine>(m: &mut M, mem: Mem, bytes: u32) -> (Place<Value<M>>, Value<M>) {
    let place = place(m, mem, 0);
    let second = displaced(m, place.address, i64::from(bytes));
    (place, second)
}

/// `address + distance`.
pub(super) fn displaced<M: Machine>(m: &mut M, address: Value<M>, distance: i64) -> Value<M> {
    if distance == 0 {
        return address;
    }
    let d = m.domain();
    let distance = d.constant(64, distance as u64);
    d.add(64, address, distance)
}

/// What is loaded, zero-extended or, to a width, sign-extended and then zero-extended.
fn load<M: Machine>(
    m: &mut M,
    size: Size,
    signed: Option<Width>,
    rt: Gpr,
    address: Value<M>,
) -> Result<(), M::Stop> {
    let value = m.load(size.bytes(), address)?;
    set_loaded(m, size, signed, rt, value);
    Ok(())
}

fn set_loaded<M: Machine>(m: &mut M, size: Size, signed: Option<Width>, rt: Gpr, value: Value<M>) {
    let bits = 8 * size.bytes();
    match signed {
        None => write_bits(m, bits, rt, value),
        Some(width) => {
            let value = m.domain().sign_extend(bits, width.bits(), value);
            write(m, width, rt, value);
        }
    }
}

/// LDP, LDPSW. Both values are loaded before a register changes.
fn load_pair<M: Machine>(
    m: &mut M,
    size: Size,
    signed: Option<Width>,
    (rt, rt2): (Gpr, Gpr),
    mem: Mem,
) -> Result<(), M::Stop> {
    let (place, second) = pair_place(m, mem, size.bytes());
    let values = (m.load(size.bytes(), place.address)?, m.load(size.bytes(), second)?);
    set_loaded(m, size, signed, rt, values.0);
    set_loaded(m, size, signed, rt2, values.1);
    place.write_back(m);
    Ok(())
}

/// STP. When the second store faults, the first has been done, which the architecture leaves open.
fn store_pair<M: Machine>(m: &mut M, width: Width, (rt, rt2): (Gpr, Gpr), mem: Mem) -> Result<(), M::Stop> {
    let bytes = width.bits() / 8;
    let (place, second) = pair_place(m, mem, bytes);
    let values = (read_bits(m, width.bits(), rt), read_bits(m, width.bits(), rt2));
    m.store(bytes, place.address, values.0)?;
    m.store(bytes, second, values.1)?;
    place.write_back(m);
    Ok(())
}

/// What a load leaves in a SIMD register: zeros above it.
fn load_vector<M: Machine>(m: &mut M, size: Scalar, address: Value<M>) -> Result<[Value<M>; 2], M::Stop> {
    if size == Scalar::Q {
        let high = displaced(m, address, 8);
        return Ok([m.load(8, address)?, m.load(8, high)?]);
    }
    let value = m.load(size.bytes(), address)?;
    let d = m.domain();
    Ok([d.zero_extend(8 * size.bytes(), 64, value), d.constant(64, 0)])
}

/// Stores the low part of a SIMD register, or all of it.
fn store_vector<M: Machine>(m: &mut M, size: Scalar, address: Value<M>, vt: V) -> Result<(), M::Stop> {
    let [low, high] = m.vector(vt);
    if size == Scalar::Q {
        let second = displaced(m, address, 8);
        m.store(8, address, low)?;
        return m.store(8, second, high);
    }
    let value = m.domain().truncate(64, 8 * size.bytes(), low);
    m.store(size.bytes(), address, value)
}
