// SPDX-License-Identifier: GPL-2.0-or-later
#![no_main]
#![expect(missing_docs, reason = "a binary")]

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    kop_fuzz::mutate(data, size, max_size, seed)
});
libfuzzer_sys::fuzz_target!(init: kop_fuzz::start("module"), |input: kop_fuzz::FuzzInput| kop_fuzz::run("module", input));
