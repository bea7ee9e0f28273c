// SPDX-License-Identifier: GPL-2.0-or-later
//! Builds the runner, a C program of its own that the library carries with it and starts for each module; and a part of it
//! once more for this very process, where fuzzers load modules.

use std::env;
use std::path::PathBuf;

const SOURCES: [&str; 3] = ["main.c", "calls.c", "contain.c"];
/// What both have in common is in calls.c.
const IN_PROCESS: [&str; 2] = ["in_process.c", "calls.c"];
const HEADERS: [&str; 4] = ["calls.h", "contain.h", "module.h", "protocol.h"];

fn main() {
    for file in SOURCES.iter().chain(&IN_PROCESS).chain(&HEADERS) {
        println!("cargo::rerun-if-changed=runner/{file}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("runner");
    // Optimised whatever the profile, and without the sanitizer that cc takes over from rustc's flags: a runner has guard pages
    // and a filter of system calls instead. __stack_chk_fail is its own.
    let mut command = cc::Build::new().opt_level(2).debug(false).get_compiler().to_command();
    command
        .args([
            "-std=gnu11",
            "-g",
            "-Wall",
            "-Wextra",
            "-fno-stack-protector",
            "-fno-sanitize=all",
            "-rdynamic",
            "-o",
        ])
        .arg(&out);
    command.args(SOURCES.map(|file| format!("runner/{file}"))).arg("-ldl");
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
    cc::Build::new()
        .files(IN_PROCESS.map(|file| format!("runner/{file}")))
        .flag("-std=gnu11")
        .opt_level(2)
        .compile("kop_in_process");
}
