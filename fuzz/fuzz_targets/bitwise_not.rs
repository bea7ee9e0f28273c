// SPDX-License-Identifier: GPL-2.0-or-later
#![no_main]
#![expect(missing_docs, reason = "a binary")]

libfuzzer_sys::fuzz_target!(init: kop_fuzz::start("bitwise_not"), |input: kop_fuzz::FuzzInput| kop_fuzz::run("bitwise_not", input));
