// SPDX-License-Identifier: GPL-2.0-or-later
//! Which edges of instrumented modules were run through: the counters that a fuzzer reads, and clears before each input.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

/// `struct kop_coverage` of `<kop/module.h>`: a byte for each edge, from `start` to `stop`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Counters {
    start: *const u8,
    stop: *const u8,
}

// SAFETY: the bytes are those of an object that stays loaded; they are read by volatile loads.
unsafe impl Send for Counters {}

static ALL: Mutex<Vec<Counters>> = Mutex::new(Vec::new());

/// Adds the counters of a module.
///
/// # Safety
/// `counters` points to what `<kop/module.h>` calls `kop_coverage`, of an object that is never unloaded.
pub(super) unsafe fn add(counters: NonNull<c_void>) {
    // SAFETY: the caller says so.
    let counters = unsafe { counters.cast::<Counters>().read() };
    ALL.lock().unwrap_or_else(PoisonError::into_inner).push(counters);
}

/// Calls `run_through` with the number of each edge that was run through since the counters were last cleared, ascending.
/// Modules that were not built for a fuzzer have none.
pub fn for_each_edge(mut run_through: impl FnMut(usize)) {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    let mut first = 0;
    for Counters { start, stop } in &*all {
        let count = stop.addr() - start.addr();
        for edge in 0..count {
            // SAFETY: the address is one of the counters'. Modules write them by plain stores, on the thread that calls them.
            if unsafe { start.add(edge).read_volatile() } != 0 {
                run_through(first + edge);
            }
        }
        first += count;
    }
}
