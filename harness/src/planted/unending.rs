// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults that end no check: an emit that does not return, and one that takes memory until there is none.
//!
//! They are for fuzzers, which stop such a process and keep the input (`timeout-*`, `oom-*`). In this process nobody else
//! would, so that they are not among [`all`](super::all).

use std::hint::spin_loop;
use std::thread::sleep;
use std::time::Duration;

use kop_ops::Arch;
use kop_reports::{Blame, Kind};

use super::faulty::{Call, Mistake};
use super::{At, Planted, planted};

/// The form; one of 8 of its amounts shows the faults, so that a fuzzer meets them soon.
const AT: At = ("rotate", "imm64");
const EVERY: i64 = 8;
const AMOUNT: i64 = 5;

/// What is taken at once, in bytes, and how long it takes: a hundred megabytes a second, so that whoever watches sees it
/// coming.
const PIECE: usize = 1 << 20;
const PAUSE: Duration = Duration::from_millis(10);

pub(super) fn faults() -> Vec<Planted> {
    let unending = |name, about, mistake| {
        planted(AT, Arch::Aarch64, name, (Kind::Callback, Blame::Emit), about, mistake)
    };
    vec![
        unending(
            "unending-emit-loops",
            "an immediate is shifted until a condition holds that never does",
            Mistake::Emission(|call, _| {
                while shows(call) {
                    spin_loop();
                }
            }),
        ),
        unending(
            "unending-emit-takes-memory",
            "a buffer grows until the code fits, and the size is never looked at again",
            Mistake::Emission(|call, _| {
                let mut taken: Vec<Vec<u8>> = Vec::new();
                while shows(call) {
                    // Not zero, as pages of zeros take no memory.
                    taken.push(vec![1; PIECE]);
                    sleep(PAUSE);
                }
            }),
        ),
    ]
}

fn shows(call: &Call) -> bool {
    call.site.imm("amount") % EVERY == AMOUNT
}
