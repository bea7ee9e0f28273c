// SPDX-License-Identifier: GPL-2.0-or-later
//! The CPU that a program runs on, where it matters: for maps that each CPU has its own values of.

use std::io;
use std::sync::OnceLock;

/// How many CPUs there can be: how many values the kernel keeps in a map with one for each.
pub(super) fn possible() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let list = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
        parse(&list).unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    })
}

/// The number of CPUs in a list such as `0-3,6`: one more than the highest.
fn parse(list: &str) -> Option<usize> {
    let last = list.trim().rsplit([',', '-']).next()?;
    Some(last.parse::<usize>().ok()? + 1)
}

/// Keeps this thread on one CPU until it is dropped.
#[derive(Debug)]
pub(super) struct Pinned {
    before: libc::cpu_set_t,
    /// The CPU: 0 where the thread may run there, as every other engine says it does.
    pub cpu: usize,
}

impl Pinned {
    /// Moves this thread to the lowest CPU that it may run on.
    ///
    /// # Errors
    /// What sched_setaffinity(2) reports.
    pub fn new() -> io::Result<Self> {
        let (before, cpu) = (allowed()?, lowest()?);
        // SAFETY: a set of CPUs is bits, for which zeroes are a value.
        let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: the number lies below the size of the set.
        unsafe { libc::CPU_SET(cpu, &mut one) };
        // SAFETY: the kernel reads as many bytes of the set as it has.
        if unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &one) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { before, cpu })
    }
}

/// The CPUs that this thread may run on.
fn allowed() -> io::Result<libc::cpu_set_t> {
    // SAFETY: a set of CPUs is bits, for which zeroes are a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most as many bytes to the set, which is ours, as it has.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(set)
}

/// The lowest CPU that this thread may run on.
///
/// # Errors
/// What sched_getaffinity(2) reports.
pub(super) fn lowest() -> io::Result<usize> {
    let set = allowed()?;
    // SAFETY: the numbers lie below the size of the set.
    let cpu = (0..libc::CPU_SETSIZE as usize).find(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) });
    Ok(cpu.expect("a thread that runs may run somewhere"))
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: the kernel reads as many bytes of the set as it has.
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &self.before) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_counted() {
        let table = [("0\n", Some(1)), ("0-3\n", Some(4)), ("0-1,4-7", Some(8)), ("", None), ("a", None)];
        for (list, count) in table {
            assert_eq!(parse(list), count, "{list}");
        }
        assert!(possible() >= 1);
    }

    #[test]
    fn a_pinned_thread_is_freed_again() {
        let before = std::thread::available_parallelism().expect("Linux tells");
        let pinned = Pinned::new().expect("a thread may stay where it may run");
        assert_eq!(std::thread::available_parallelism().map(usize::from).ok(), Some(1));
        drop(pinned);
        assert_eq!(std::thread::available_parallelism().ok(), Some(before));
    }
}
