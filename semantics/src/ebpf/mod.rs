// SPDX-License-Identifier: GPL-2.0-or-later
//! What each eBPF instruction does (RFC 9669, ISA v4, and Linux's additions), for any [`Domain`] of values.
//!
//! [`step`] runs one instruction on a [`Machine`] and says where control goes. The machine decides what registers and memory
//! are, what a reference to a map is, and what calls do. Byte order is little-endian.

mod alu;
mod jump;
mod memory;

use kop_ops::ebpf::{AtomicOp, CallTarget, Insn, Operand, Reg, Size, Width};

use crate::domain::Domain;

/// The values of a machine.
pub type Value<M> = <<M as Machine>::Domain as Domain>::Value;

/// Registers and memory that instructions act on.
pub trait Machine {
    /// What values are.
    type Domain: Domain;
    /// Why an instruction cannot be completed: a fault.
    type Stop;

    /// The operations on values.
    fn domain(&mut self) -> &mut Self::Domain;

    /// The 64 bits of a register.
    fn get(&mut self, register: Reg) -> Value<Self>;

    /// Sets a register to 64 bits.
    fn set(&mut self, register: Reg, value: Value<Self>);

    /// The bytes at an address of 64 bits, as a number of as many bits as `size` has.
    ///
    /// # Errors
    /// The fault, when one of them cannot be read.
    fn load(&mut self, size: Size, address: Value<Self>) -> Result<Value<Self>, Self::Stop>;

    /// Stores a number of as many bits as `size` has at an address of 64 bits.
    ///
    /// # Errors
    /// The fault, when one of the bytes cannot be written; nothing is stored then.
    fn store(&mut self, size: Size, address: Value<Self>, value: Value<Self>) -> Result<(), Self::Stop>;

    /// Comes before the loads and stores of an atomic operation.
    ///
    /// # Errors
    /// The fault, when the address is not aligned to the size, or cannot be accessed.
    fn begin_atomic(&mut self, op: AtomicOp, size: Size, address: Value<Self>) -> Result<(), Self::Stop>;

    /// What `ld_imm64` loads whose source field is `kind`, 1 to 6: 64 bits.
    ///
    /// # Errors
    /// The fault, when there is nothing of this name.
    fn reference(&mut self, kind: u8, imm: u64) -> Result<Value<Self>, Self::Stop>;
}

/// Where control goes after an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<V> {
    /// To the next instruction.
    Fall,
    /// To the target of the jump.
    Jump,
    /// To the target of the jump if this bit is 1, else to the next instruction.
    Branch(V),
    /// To the target of the jump if the frame's budget is used up, else to the next instruction, with one less.
    MayGoto,
    /// Into what is called, with r1..r5 as arguments, and back with r0.
    Call(CallTarget),
    /// Out of the function, or the program.
    Exit,
    /// Nowhere: legacy packet loads (RFC 9669 section 5.5), which the kernel replaces before it runs a program, and Kop
    /// sites, which mean what their proof sequences do.
    Undefined,
}

/// Runs one instruction, which is well formed.
///
/// # Errors
/// What the machine's memory says; registers are as before then.
#[inline(always)]
pub fn step<M: Machine>(m: &mut M, insn: &Insn) -> Result<Next<Value<M>>, M::Stop> {
    match *insn {
        Insn::Alu { op, width, dst, src } => {
            match width {
                Width::W64 => alu::alu::<M, 64>(m, op, dst, src),
                Width::W32 => alu::alu::<M, 32>(m, op, dst, src),
            }
            Ok(Next::Fall)
        }
        Insn::Neg { width, dst } => {
            alu::neg(m, width, dst);
            Ok(Next::Fall)
        }
        Insn::End { kind, bits, dst } => {
            alu::end(m, kind, u32::from(bits), dst);
            Ok(Next::Fall)
        }
        Insn::LoadImm64 { dst, kind, imm } => {
            let value = match kind {
                0 => m.domain().constant(64, imm),
                _ => m.reference(kind, imm)?,
            };
            m.set(dst, value);
            Ok(Next::Fall)
        }
        Insn::Load { size, signed, dst, base, off } => {
            memory::load(m, size, signed, dst, (base, off)).map(|()| Next::Fall)
        }
        Insn::Store { size, base, off, src } => memory::store(m, size, (base, off), src).map(|()| Next::Fall),
        Insn::Atomic { op, size, base, off, src } => {
            memory::atomic(m, op, size, (base, off), src).map(|()| Next::Fall)
        }
        Insn::Jump { cond, width, dst, src, .. } => Ok(Next::Branch(match width {
            Width::W64 => jump::holds::<M, 64>(m, cond, dst, src),
            Width::W32 => jump::holds::<M, 32>(m, cond, dst, src),
        })),
        Insn::Ja { .. } | Insn::Gotol { .. } => Ok(Next::Jump),
        Insn::MayGoto { .. } => Ok(Next::MayGoto),
        Insn::Call { target } => Ok(Next::Call(target)),
        Insn::Exit => Ok(Next::Exit),
        Insn::LoadAbs { .. } | Insn::LoadInd { .. } | Insn::Sidecar { .. } => Ok(Next::Undefined),
    }
}

/// The low `WIDTH` bits of a register.
#[inline(always)]
fn register<M: Machine, const WIDTH: u32>(m: &mut M, register: Reg) -> Value<M> {
    let value = m.get(register);
    m.domain().truncate(64, WIDTH, value)
}

/// A source operand of `WIDTH` bits: the low bits of a register, or a sign-extended immediate.
#[inline(always)]
fn operand<M: Machine, const WIDTH: u32>(m: &mut M, src: Operand) -> Value<M> {
    match src {
        Operand::Reg(src) => register::<M, WIDTH>(m, src),
        Operand::Imm(imm) => m.domain().constant(WIDTH, i64::from(imm) as u64),
    }
}

#[cfg(test)]
mod tests;
