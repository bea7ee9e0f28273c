// SPDX-License-Identifier: GPL-2.0-or-later
//! Where the eBPF registers live in native code, and what native code may clobber: the Linux JITs' own maps
//! (`arch/x86/net/bpf_jit_comp.c` reg2hex, `arch/arm64/net/bpf_jit_comp.c` bpf2a64).

use crate::aarch64::Gpr as X;
use crate::ebpf::Reg;
use crate::x86_64::Gpr;

/// The x86-64 register of each eBPF register.
pub const X86_64: [Gpr; 11] = [
    Gpr::Rax,
    Gpr::Rdi,
    Gpr::Rsi,
    Gpr::Rdx,
    Gpr::Rcx,
    Gpr::R8,
    Gpr::Rbx,
    Gpr::R13,
    Gpr::R14,
    Gpr::R15,
    Gpr::Rbp,
];

/// The x86-64 registers that an emit may clobber, besides the flags.
pub const X86_64_SCRATCH: [Gpr; 2] = [Gpr::R10, Gpr::R11];

/// The x86-64 registers that belong to the JIT or the kernel and must be preserved.
pub const X86_64_PRESERVED: [Gpr; 3] = [Gpr::R9, Gpr::R12, Gpr::Rsp];

/// The AArch64 register of each eBPF register.
pub const AARCH64: [X; 11] =
    [X::X7, X::X0, X::X1, X::X2, X::X3, X::X4, X::X19, X::X20, X::X21, X::X22, X::X25];

/// The AArch64 registers that an emit may clobber, besides the flags.
pub const AARCH64_SCRATCH: [X; 5] = [X::X9, X::X10, X::X11, X::X12, X::X13];

/// The AArch64 registers that belong to the JIT or the kernel and must be preserved, besides sp.
///
/// x5, x6 and x8 hold no eBPF register and are no declared scratch either.
pub const AARCH64_PRESERVED: [X; 15] = [
    X::X5,
    X::X6,
    X::X8,
    X::X14,
    X::X15,
    X::X16,
    X::X17,
    X::X18,
    X::X23,
    X::X24,
    X::X26,
    X::X27,
    X::X28,
    X::X29,
    X::X30,
];

/// The x86-64 register that holds `register`.
pub const fn x86_64(register: Reg) -> Gpr {
    X86_64[register as usize]
}

/// The AArch64 register that holds `register`.
pub const fn aarch64(register: Reg) -> X {
    AARCH64[register as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_general_register_has_one_role() {
        let x86: HashSet<_> = X86_64.iter().chain(&X86_64_SCRATCH).chain(&X86_64_PRESERVED).collect();
        assert_eq!(x86.len(), 16);
        let arm: HashSet<_> = AARCH64.iter().chain(&AARCH64_SCRATCH).chain(&AARCH64_PRESERVED).collect();
        assert_eq!(arm.len(), 31);
    }
}
