// SPDX-License-Identifier: GPL-2.0-or-later
//! Between libFuzzer and the harness: the counters that libFuzzer reads besides the coverage of Rust code.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, Ordering};

use kop_harness::fuzz::{COUNTERS, Started};

pub use kop_harness::fuzz::FuzzInput;

/// libFuzzer finds the counters by the name of their section, clears them before each input and takes each that is not
/// zero afterwards for a feature of the input (`FuzzerExtraCounters.cpp`).
// SAFETY: the section holds nothing but bytes, which is all that libFuzzer takes it for.
#[unsafe(link_section = "__libfuzzer_extra_counters")]
static FEATURES: [AtomicU8; COUNTERS] = [const { AtomicU8::new(0) }; COUNTERS];

/// Whether libFuzzer is told; `KOP_FEEDBACK=off` keeps it blind, to see what telling it is worth.
static TELL: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("KOP_FEEDBACK").is_none_or(|value| value != "off"));

/// Prepares a target, before libFuzzer starts.
///
/// When it cannot be, it ends the process with one line and the exit code of the command line: nothing was fuzzed, so that
/// there is nothing for libFuzzer to report.
pub fn start(target: &str) {
    match kop_harness::fuzz::start(target) {
        Ok(Started::Ready) => {}
        Ok(Started::Built(folder)) => {
            println!("{target}: built into {}", folder.display());
            std::process::exit(0);
        }
        Err(error) => {
            eprintln!("{target}: {error}");
            std::process::exit(error.exit_code());
        }
    }
}

/// Runs a fuzz target on an input.
///
/// # Panics
/// With a report when something is wrong, and when there is no such target.
pub fn run(target: &str, input: FuzzInput) {
    let tell: &dyn Fn(usize) = &|feature| FEATURES[feature].store(1, Ordering::Relaxed);
    kop_harness::fuzz::run(target, input, if *TELL { tell } else { &|_| () });
}

/// Makes the next input of the target `module` in `data`, of `size` bytes now and of `max_size` at most; returns its size.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    kop_harness::fuzz::mutate(data, size, max_size, seed, libfuzzer_sys::fuzzer_mutate)
}
