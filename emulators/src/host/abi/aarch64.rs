// SPDX-License-Identifier: GPL-2.0-or-later
//! What is AArch64's own in Linux's system call interface (`arch/arm64/include/uapi/asm`).

use super::Calls;

/// `asm-generic/unistd.h`.
pub const CALLS: Calls = Calls {
    read: 63,
    write: 64,
    mmap: 222,
    munmap: 215,
    rt_sigaction: 134,
    sigaltstack: 132,
    prctl: 167,
    exit_group: 94,
    close_range: 436,
};

/// Offset in `ucontext_t` of the program counter (`asm/ucontext.h`, `asm/sigcontext.h`): behind the mask, which has 128
/// bytes, the fault's address, 31 registers and the stack pointer.
pub const UC_PC: i32 = 40 + 128 + 8 + 8 + 31 * 8 + 8;
