// SPDX-License-Identifier: GPL-2.0-or-later
//! The error numbers that helper functions return, as Linux has them on x86-64 and AArch64.

/// What r0 holds for an error: its number, negated, in 64 bits.
pub const fn failure(number: i64) -> u64 {
    (-number) as u64
}

pub const ENOENT: i64 = 2;
pub const E2BIG: i64 = 7;
pub const EAGAIN: i64 = 11;
pub const ENOMEM: i64 = 12;
pub const EACCES: i64 = 13;
pub const EFAULT: i64 = 14;
pub const EEXIST: i64 = 17;
pub const EINVAL: i64 = 22;
pub const ENOSPC: i64 = 28;
/// `ENOTSUPP`, which user space has no name for.
pub const ENOTSUPP: i64 = 524;
