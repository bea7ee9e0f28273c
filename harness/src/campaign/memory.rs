// SPDX-License-Identifier: GPL-2.0-or-later
//! How much memory the process takes.

use std::fs;

/// The resident memory of this process and of its children (engines that run code in one), in KiB; 0 where the system does
/// not say.
pub fn resident_kib() -> u64 {
    let children = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let children: Vec<String> =
        children.filter_map(|task| fs::read_to_string(task.path().join("children")).ok()).collect();
    let pids = children.iter().flat_map(|list| list.split_whitespace());
    of("self") + pids.map(of).sum::<u64>()
}

/// `VmRSS` of proc_pid_status(5).
fn of(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_is_seen() {
        let before = resident_kib();
        assert!(before > 0);
        let used = std::hint::black_box(vec![1u8; 64 << 20]);
        assert!(resident_kib() >= before + (32 << 10), "{before} KiB before");
        drop(used);
    }
}
