// SPDX-License-Identifier: GPL-2.0-or-later
//! The `kop` command: reads its arguments, runs a subcommand, and maps what went wrong to an exit code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run(std::env::args_os()) {
        Ok(outcome) => outcome.into(),
        Err(failure) => failure.report(),
    }
}
