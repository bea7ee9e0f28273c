// SPDX-License-Identifier: GPL-2.0-or-later
//! The function that does a tail call: it puts the caller's r10 into the register in which the engine looks for it.
//!
//! It takes the three arguments of `bpf_tail_call`, r10, and the address of the engine's function, and returns what that returns.

use kop_ops::Arch;
use kop_ops::aarch64::{self, Width};
use kop_ops::x86_64::{self, Size};

/// The code of the function.
pub(crate) fn tail_call(arch: Arch) -> Vec<u8> {
    match arch {
        Arch::X86_64 => x86_64(),
        Arch::Aarch64 => aarch64(),
    }
}

/// The arguments are in rdi, rsi, rdx, rcx and r8; rbp is r10's register.
fn x86_64() -> Vec<u8> {
    use x86_64::{Buffer, Gpr, Nullary};
    let mut code = Buffer::with_capacity(16);
    code.push_operand(Gpr::Rbp);
    code.mov(Size::B8, Gpr::Rbp, Gpr::Rcx);
    code.call_rm(Gpr::R8);
    code.pop(Gpr::Rbp);
    code.nullary(Nullary::Ret);
    code.into_bytes()
}

/// The arguments are in x0 to x4; x25 is r10's register.
fn aarch64() -> Vec<u8> {
    use aarch64::{AddSub, Buffer, Gpr, Mem};
    let mut code = Buffer::with_capacity(32);
    code.add_sub_imm(AddSub::Sub, Width::X, Gpr::Sp, Gpr::Sp, 16);
    code.store(aarch64::Size::B8, Gpr::X25, Mem::base(Gpr::Sp));
    code.store(aarch64::Size::B8, Gpr::X30, Mem::offset(Gpr::Sp, 8));
    code.mov(Width::X, Gpr::X25, Gpr::X3);
    code.blr(Gpr::X4);
    code.load(aarch64::Size::B8, Gpr::X25, Mem::base(Gpr::Sp));
    code.load(aarch64::Size::B8, Gpr::X30, Mem::offset(Gpr::Sp, 8));
    code.add_sub_imm(AddSub::Add, Width::X, Gpr::Sp, Gpr::Sp, 16);
    code.ret();
    code.into_bytes()
}
