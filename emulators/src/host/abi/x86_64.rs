// SPDX-License-Identifier: GPL-2.0-or-later
//! What is x86-64's own in Linux's system call interface (`arch/x86/include/uapi/asm`).

use super::Calls;

/// `asm/unistd_64.h`.
pub const CALLS: Calls = Calls {
    read: 0,
    write: 1,
    mmap: 9,
    munmap: 11,
    rt_sigaction: 13,
    sigaltstack: 131,
    prctl: 157,
    exit_group: 231,
    close_range: 436,
};

/// Offset in `ucontext_t` of the instruction pointer (`asm/sigcontext.h`).
pub const UC_PC: i32 = 40 + 16 * 8;
/// Of the error code that the processor pushed.
pub const UC_ERR: i32 = 40 + 19 * 8;
/// Of the exception's vector.
pub const UC_TRAPNO: i32 = 40 + 20 * 8;

/// Exceptions of the processor (Intel SDM vol. 3, section 7.15).
pub mod vector {
    /// `int3`; the saved instruction pointer is behind it.
    pub const BREAKPOINT: u64 = 3;
    /// Bit of a page fault's error code: the access was a write.
    pub const PAGE_FAULT_WRITE: u64 = 1 << 1;
    /// Bit of a page fault's error code: the access was an instruction fetch.
    pub const PAGE_FAULT_FETCH: u64 = 1 << 4;
}
