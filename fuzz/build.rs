// SPDX-License-Identifier: GPL-2.0-or-later
//! Lets kernel modules, which the target `module` loads, find libFuzzer's and AddressSanitizer's functions in its executable.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The first are what coverage instrumentation calls; the others are there under AddressSanitizer alone.
    for symbols in ["__sanitizer_cov_*", "__asan_*"] {
        println!("cargo::rustc-link-arg-bin=module=-Wl,--export-dynamic-symbol={symbols}");
    }
}
