// SPDX-License-Identifier: GPL-2.0-or-later
//! The part of Linux's system call interface that runners use, as numbers, so that they are built the same on every host
//! (Linux `include/uapi`). One file per architecture has what differs, mirrored.

pub mod aarch64;
pub mod x86_64;

use kop_ops::Arch;

/// The numbers of system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    pub read: u32,
    pub write: u32,
    pub mmap: u32,
    pub munmap: u32,
    pub rt_sigaction: u32,
    pub sigaltstack: u32,
    pub prctl: u32,
    pub exit_group: u32,
    pub close_range: u32,
}

/// The numbers of an architecture.
pub const fn calls(arch: Arch) -> Calls {
    match arch {
        Arch::X86_64 => x86_64::CALLS,
        Arch::Aarch64 => aarch64::CALLS,
    }
}

/// `AUDIT_ARCH_*` of an architecture (`linux/audit.h`).
pub const fn audit_arch(arch: Arch) -> u32 {
    match arch {
        Arch::X86_64 => 0xc000_003e,
        Arch::Aarch64 => 0xc000_00b7,
    }
}

/// The end of the addresses that a process can map, with four-level page tables.
pub const fn task_size(arch: Arch) -> u64 {
    match arch {
        Arch::X86_64 => 0x7fff_ffff_f000,
        Arch::Aarch64 => 0xffff_ffff_f000,
    }
}

/// Options of prctl(2) (`linux/prctl.h`).
pub mod pr {
    pub const SET_PDEATHSIG: u64 = 1;
    pub const SET_DUMPABLE: u64 = 4;
    pub const SET_NAME: u64 = 15;
    pub const SET_SECCOMP: u64 = 22;
    pub const SET_NO_NEW_PRIVS: u64 = 38;
}

/// Protections and flags of mmap(2) (`asm-generic/mman-common.h`).
pub mod map {
    pub const PROT_READ: u64 = 1;
    pub const PROT_WRITE: u64 = 2;
    pub const PROT_EXEC: u64 = 4;
    pub const SHARED: u64 = 1;
    pub const PRIVATE: u64 = 2;
    pub const FIXED: u64 = 0x10;
    pub const ANONYMOUS: u64 = 0x20;
}

/// Signals and what comes with them (`asm-generic/signal.h`, `asm-generic/siginfo.h`).
pub mod sig {
    pub const ILL: i32 = 4;
    pub const TRAP: i32 = 5;
    pub const BUS: i32 = 7;
    pub const FPE: i32 = 8;
    pub const KILL: i32 = 9;
    pub const SEGV: i32 = 11;
    pub const SYS: i32 = 31;

    /// Flags of `struct sigaction`: the handler takes three arguments, runs on the alternate stack, does not
    /// block its own signal, and the restorer field is there, which x86-64 insists on.
    pub const SA_FLAGS: u64 = 0x4 | 0x0800_0000 | 0x4000_0000 | 0x0400_0000;
    /// Bytes in a signal mask.
    pub const MASK_BYTES: u64 = 8;

    /// `si_code` of a signal that the kernel raised itself, without an address.
    pub const SI_KERNEL: i32 = 0x80;
    /// `si_code` of an unaligned access with alignment checks on.
    pub const BUS_ADRALN: i32 = 1;
    /// `si_code` of an integer division error.
    pub const FPE_INTDIV: i32 = 1;

    /// Offset of `si_code` in `siginfo_t`.
    pub const SI_CODE: i32 = 8;
    /// Offset of `si_addr` in `siginfo_t`.
    pub const SI_ADDR: i32 = 16;
}

#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod tests {
    use std::mem::offset_of;

    use super::*;

    /// Everything agrees with the C library's headers.
    #[test]
    fn numbers_are_the_c_library_s() {
        let nr = calls(Arch::X86_64);
        let calls = [
            (nr.read, libc::SYS_read),
            (nr.write, libc::SYS_write),
            (nr.mmap, libc::SYS_mmap),
            (nr.munmap, libc::SYS_munmap),
            (nr.rt_sigaction, libc::SYS_rt_sigaction),
            (nr.sigaltstack, libc::SYS_sigaltstack),
            (nr.prctl, libc::SYS_prctl),
            (nr.exit_group, libc::SYS_exit_group),
            (nr.close_range, libc::SYS_close_range),
        ];
        for (ours, theirs) in calls {
            assert_eq!(i64::from(ours), theirs);
        }
        let values = [
            (pr::SET_PDEATHSIG, libc::PR_SET_PDEATHSIG),
            (pr::SET_DUMPABLE, libc::PR_SET_DUMPABLE),
            (pr::SET_NAME, libc::PR_SET_NAME),
            (pr::SET_SECCOMP, libc::PR_SET_SECCOMP),
            (pr::SET_NO_NEW_PRIVS, libc::PR_SET_NO_NEW_PRIVS),
            (map::PROT_READ, libc::PROT_READ),
            (map::PROT_WRITE, libc::PROT_WRITE),
            (map::PROT_EXEC, libc::PROT_EXEC),
            (map::SHARED, libc::MAP_SHARED),
            (map::PRIVATE, libc::MAP_PRIVATE),
            (map::FIXED, libc::MAP_FIXED),
            (map::ANONYMOUS, libc::MAP_ANONYMOUS),
            (sig::SA_FLAGS, libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER | 0x0400_0000),
        ];
        for (ours, theirs) in values {
            assert_eq!(ours, theirs as u64);
        }
        let signals = [
            (sig::ILL, libc::SIGILL),
            (sig::TRAP, libc::SIGTRAP),
            (sig::BUS, libc::SIGBUS),
            (sig::FPE, libc::SIGFPE),
            (sig::KILL, libc::SIGKILL),
            (sig::SEGV, libc::SIGSEGV),
            (sig::SYS, libc::SIGSYS),
            (sig::SI_KERNEL, libc::SI_KERNEL),
            (sig::BUS_ADRALN, libc::BUS_ADRALN),
        ];
        for (ours, theirs) in signals {
            assert_eq!(ours, theirs);
        }
        let gregs = offset_of!(libc::ucontext_t, uc_mcontext) + offset_of!(libc::mcontext_t, gregs);
        let registers = [
            (x86_64::UC_PC, libc::REG_RIP),
            (x86_64::UC_ERR, libc::REG_ERR),
            (x86_64::UC_TRAPNO, libc::REG_TRAPNO),
        ];
        for (ours, theirs) in registers {
            assert_eq!(ours as usize, gregs + 8 * theirs as usize);
        }
        assert_eq!(sig::SI_CODE as usize, offset_of!(libc::siginfo_t, si_code));
    }
}
