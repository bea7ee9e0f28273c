// SPDX-License-Identifier: GPL-2.0-or-later
//! What x86-64 instructions do in 64-bit mode (Intel SDM), for any [`Domain`] of values.
//!
//! [`decode`] turns bytes into instructions, with iced-x86, and refuses what is not covered. [`step`] runs one instruction on
//! a [`Machine`] and says where control goes. The machine decides what registers and memory are.

mod bit_test;
mod bits;
mod control;
mod decode;
mod flags;
mod gather;
mod insn;
mod integer;
mod moves;
mod multiply;
mod operand;
mod shift;
mod stack;
mod string;
mod vector;

use kop_ops::x86_64::{Gpr, Xmm};

pub use bit_test::BitTest;
pub use bits::{ControlOp, CountOp, LowestOp};
pub use decode::decode;
pub use flags::Flag;
pub use insn::{Base, Decoded, Mem, Op, Operand, Place, XmmOrMem};
pub use integer::{Binary, Unary};
pub use shift::{DoubleShift, Shift};
pub use string::{Repeat, StringOp};
pub use vector::{LaneOp, LaneShift, Logic, Shuffled, VectorInsn};

use crate::domain::Domain;
use crate::native::Next;

/// The values of a machine.
pub type Value<M> = <<M as Machine>::Domain as Domain>::Value;

/// Registers and memory that instructions act on.
pub trait Machine {
    /// What values are.
    type Domain: Domain;
    /// Why an instruction cannot be completed: a fault, or something that is not known.
    type Stop;

    /// The operations on values.
    fn domain(&mut self) -> &mut Self::Domain;

    /// The 64 bits of a register.
    fn get(&mut self, register: Gpr) -> Value<Self>;

    /// Sets a register to 64 bits.
    fn set(&mut self, register: Gpr, value: Value<Self>);

    /// A flag: one bit.
    fn flag(&mut self, flag: Flag) -> Value<Self>;

    /// Sets a flag to one bit.
    fn set_flag(&mut self, flag: Flag, value: Value<Self>);

    /// The low and the high 64 bits of an SSE register.
    fn vector(&mut self, register: Xmm) -> [Value<Self>; 2];

    /// Sets an SSE register to a low and a high half.
    fn set_vector(&mut self, register: Xmm, value: [Value<Self>; 2]);

    /// The 1, 2, 4 or 8 bytes at an address of 64 bits, as a number of `8 * bytes` bits.
    ///
    /// # Errors
    /// The fault, when one of them cannot be read.
    fn load(&mut self, bytes: u32, address: Value<Self>) -> Result<Value<Self>, Self::Stop>;

    /// Stores a number of `8 * bytes` bits, of 1, 2, 4 or 8 bytes, at an address of 64 bits.
    ///
    /// # Errors
    /// The fault, when one of the bytes cannot be written; nothing is stored then.
    fn store(&mut self, bytes: u32, address: Value<Self>, value: Value<Self>) -> Result<(), Self::Stop>;

    /// Comes before the two loads, or stores, of an operand of 16 bytes. `aligned` tells that its address has to be a multiple
    /// of 16 (Intel SDM vol. 1, section 10.4.1.1).
    ///
    /// # Errors
    /// The fault, when the address is not aligned and has to be. A machine that cares reports here that one of the bytes
    /// cannot be written, so that no half is stored.
    fn begin_wide(&mut self, address: Value<Self>, store: bool, aligned: bool) -> Result<(), Self::Stop>;

    /// Something of `width` bits that the manual leaves undefined: a flag, a destination. Each call may give another value.
    fn undefined(&mut self, width: u32) -> Value<Self>;

    /// One bit that accesses to memory, control or a division error depend on.
    ///
    /// # Errors
    /// A stop, when it is not known.
    fn decide(&mut self, bit: Value<Self>) -> Result<bool, Self::Stop>;

    /// The address of a byte of the code, by its offset from the first one, which may lie outside: 64 bits.
    fn code_address(&mut self, offset: i64) -> Value<Self>;
}

/// Runs one instruction. `Next::Trap` of a `div` or `idiv` is a division error, of others what [`Op::Undefined`] and
/// [`Op::Breakpoint`] raise.
///
/// # Errors
/// What the machine's memory or its decisions say; registers are as before then.
#[inline]
pub fn step<M: Machine>(m: &mut M, insn: &Decoded) -> Result<Next<Value<M>>, M::Stop> {
    match insn.op {
        Op::Move { size, dst, src } => moves::mov(m, size, dst, src)?,
        Op::Extend { size, dst, from, signed, src } => moves::extend(m, size, dst, (from, signed), src)?,
        Op::SpreadSign { size } => moves::spread_sign(m, size),
        Op::Lea { size, dst, mem } => moves::lea(m, size, dst, mem),
        Op::SwapBytes { size, dst } => moves::swap_bytes(m, size, dst),
        Op::MoveSwapped { size, dst, src } => moves::move_swapped(m, size, dst, src)?,
        Op::MoveIf { cond, size, dst, src } => moves::move_if(m, cond, size, dst, src)?,
        Op::Set { cond, dst } => moves::set_if(m, cond, dst)?,
        Op::Exchange { size, dst, src } => moves::exchange(m, size, dst, src)?,
        Op::ExchangeAdd { size, dst, src } => moves::exchange_add(m, size, dst, src)?,
        Op::CompareExchange { size, dst, src } => moves::compare_exchange(m, size, dst, src)?,
        Op::Binary { op, size, dst, src } => integer::binary(m, op, size, dst, src)?,
        Op::Unary { op, size, dst } => integer::unary(m, op, size, dst)?,
        Op::AddWithFlag { flag, size, dst, src } => integer::add_with_flag(m, flag, size, dst, src)?,
        Op::Multiply { signed, size, src } => multiply::multiply(m, signed, size, src)?,
        Op::MultiplyInto { size, dst, a, b } => multiply::multiply_into(m, size, dst, a, b)?,
        Op::MultiplyWide { size, high, low, src } => multiply::multiply_wide(m, size, high, low, src)?,
        Op::Shift { op, size, dst, amount } => shift::shift(m, op, size, dst, amount)?,
        Op::DoubleShift { op, size, dst, src, amount } => shift::double_shift(m, op, size, dst, src, amount)?,
        Op::ShiftWithoutFlags { op, size, dst, src, amount } => {
            shift::shift_without_flags(m, op, size, dst, src, amount)?;
        }
        Op::BitTest { op, size, dst, index } => bit_test::bit_test(m, op, size, dst, index)?,
        Op::Count { op, size, dst, src } => bits::count(m, op, size, dst, src)?,
        Op::AndNot { size, dst, inverted, src } => bits::and_not(m, size, dst, inverted, src)?,
        Op::Control { op, size, dst, src, control } => bits::control(m, op, size, dst, src, control)?,
        Op::Lowest { op, size, dst, src } => bits::lowest(m, op, size, dst, src)?,
        Op::Deposit { size, dst, src, mask } => gather::deposit(m, size, dst, src, mask)?,
        Op::Extract { size, dst, src, mask } => gather::extract(m, size, dst, src, mask)?,
        Op::Crc32 { size, dst, src } => bits::crc32(m, size, dst, src)?,
        Op::SetFlag { flag, value } => flags::set_to(m, flag, value),
        Op::ComplementCarry => stack::complement_carry(m),
        Op::LoadFlags => stack::load_flags(m),
        Op::StoreFlags => stack::store_flags(m),
        Op::Push { src } => stack::push(m, src)?,
        Op::Pop { dst } => stack::pop(m, dst)?,
        Op::PushFlags => stack::push_flags(m)?,
        Op::PopFlags => stack::pop_flags(m)?,
        Op::Leave => stack::leave(m)?,
        Op::Vector(insn) => vector::vector(m, insn)?,
        Op::Nothing => {}
        Op::Divide { signed, size, src } => {
            return Ok(if multiply::divide(m, signed, size, src)? { Next::Fall } else { Next::Trap });
        }
        Op::String { op, size, repeat } => return string::string(m, insn, op, size, repeat),
        Op::Jump { target } => return Ok(Next::Jump(target)),
        Op::JumpIf { cond, target } => return Ok(control::jump_if(m, cond, target)),
        Op::JumpIfCountZero { size, target } => return Ok(control::jump_if_count_zero(m, size, target)),
        Op::Loop { size, zero, target } => return Ok(control::count_down(m, size, zero, target)),
        Op::JumpTo { target } => return control::jump_to(m, target),
        Op::Call { target } => return control::call(m, insn, target),
        Op::CallTo { target } => return control::call_to(m, insn, target),
        Op::Return { drop } => return control::ret(m, drop),
        Op::Breakpoint | Op::Undefined => return Ok(Next::Trap),
    }
    Ok(Next::Fall)
}

#[cfg(test)]
mod tests;
