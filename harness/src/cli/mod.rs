// SPDX-License-Identifier: GPL-2.0-or-later
//! The command line: one file per subcommand.

mod bench;
mod campaign;
mod check;
mod ci;
mod engines;
mod export;
mod failure;
mod fuzz_case;
mod headers;
mod jit;
mod list;
mod merge;
mod mutate;
mod new;
mod output;
mod program_file;
mod progress;
mod prove;
mod replay;
mod replay_fuzz;
mod report;
mod repro;
mod rewrite;
mod run;
mod show;
mod sources;
mod tier;

use std::ffi::OsString;
use std::io::{self, Write};

use clap::{CommandFactory, Parser, Subcommand};

pub use failure::{Failure, Outcome};

const AFTER_HELP: &str = "\
Examples:
  kop check                          all operations, both architectures
  kop check rotate --save findings   one operation; a case is saved for each divergence
  kop campaign --time 8h             everything, for as long as there is time
  kop prove rotate                   all payloads and all inputs at once
  kop mutate rotate                  what a check finds of everything that could be wrong
  kop repro FILE                     one case, from all sides
  kop check --module my_op_x86.c     an operation of your own, as a kernel module
  kop check --file my_op.kop.toml    an operation of your own, as text

Exit codes:
  0  all equivalent
  1  a divergence, or a failed proof
  2  bad usage or input: an unknown operation, a path that cannot be read or written, a corrupt case
  3  the environment could not do it: an engine asked for by name that is absent";

/// Decides whether the native code of a Kop does exactly what its proof sequence says.
///
/// A Kop adds one operation to the Linux eBPF JIT: a proof sequence of eBPF instructions, which is all that the verifier
/// sees, and native code for x86-64 and AArch64, which runs in its place. Both are run here on the same states, by
/// engines that know nothing of each other, and compared.
#[derive(Parser)]
#[command(name = "kop", version, after_help = AFTER_HELP, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    List(list::Args),
    Show(show::Args),
    Check(check::Args),
    Campaign(campaign::Args),
    Merge(merge::Args),
    Ci(ci::Args),
    Prove(prove::Args),
    Mutate(mutate::Args),
    Replay(replay::Args),
    Repro(repro::Args),
    Report(report::Args),
    FuzzCase(fuzz_case::Args),
    New(new::Args),
    Export(export::Args),
    Headers(headers::Args),
    Run(run::Args),
    Bench(bench::Args),
    Jit(jit::Args),
    Rewrite(rewrite::Args),
    Engines(engines::Args),
    Completions(Completions),
    Man(Man),
}

/// Print a completion script for a shell
#[derive(clap::Args)]
#[command(after_help = "Example:\n  kop completions bash > ~/.local/share/bash-completion/completions/kop")]
struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

/// Print the man page, with every subcommand
#[derive(clap::Args)]
#[command(after_help = "Example:\n  kop man > kop.1 && man ./kop.1")]
struct Man {}

/// Runs the command line.
///
/// # Errors
/// What keeps the command from its work.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<Outcome, Failure> {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { Outcome::Usage } else { Outcome::Equivalent };
            // A closed pipe is no reason to complain about a help text.
            let _ = error.print();
            return Ok(code);
        }
    };
    match cli.command {
        Command::List(args) => list::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Campaign(args) => campaign::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Ci(args) => ci::run(&args),
        Command::Prove(args) => prove::run(&args),
        Command::Mutate(args) => mutate::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Repro(args) => repro::run(&args),
        Command::Report(args) => report::run(&args),
        Command::FuzzCase(args) => fuzz_case::run(&args),
        Command::New(args) => new::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Headers(args) => headers::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Jit(args) => jit::run(&args),
        Command::Rewrite(args) => rewrite::run(&args),
        Command::Engines(args) => engines::run(&args),
        Command::Completions(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "kop", &mut script);
            print_all(&script)
        }
        Command::Man(Man {}) => man(),
    }
}

fn man() -> Result<Outcome, Failure> {
    let mut page = Vec::new();
    let mut command = Cli::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut page).map_err(Failure::output)?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        clap_mangen::Man::new(sub.clone()).render(&mut page).map_err(Failure::output)?;
    }
    print_all(&page)
}

/// Writes to standard output; a reader that went away is no failure.
fn print_all(bytes: &[u8]) -> Result<Outcome, Failure> {
    match io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()) {
        Ok(()) => Ok(Outcome::Equivalent),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::Equivalent),
        Err(error) => Err(Failure::output(error)),
    }
}

/// The style of standard output: colour on a terminal unless `NO_COLOR` is set.
fn style() -> kop_reports::Style {
    use std::io::IsTerminal;
    let color = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    kop_reports::Style { color, width: 110 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_has_an_example() {
        for sub in Cli::command().get_subcommands() {
            let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("kop "), "{} has no example", sub.get_name());
        }
    }
}
