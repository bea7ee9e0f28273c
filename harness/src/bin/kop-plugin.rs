// SPDX-License-Identifier: GPL-2.0-or-later
//! The `kop-plugin` command: one program of the public bpf_conformance suite on one engine.

use std::process::ExitCode;

fn main() -> ExitCode {
    kop_harness::plugin::main(std::env::args_os().skip(1), std::io::stdin(), std::io::stdout())
}
