// SPDX-License-Identifier: GPL-2.0-or-later
//! What our JIT is worth on `corpus/programs`: compile time, code size and run time against the kernel's JIT and rbpf's.
//!
//! * Compile time is that of [`kop_jit::compile`], unguarded, alone and with decoding and checking the flow before it, and that of rbpf's
//!   `jit_compile`, which also allocates a page for the code and makes it executable.
//! * Code size is that of our code, the kernel's image of the same program, and rbpf's code.
//! * Run time is measured for programs without helpers and maps, on their packets. Our code, guarded and not, the kernel's image and rbpf's
//!   code are called in a loop in the child process of the host engine, less a function that only returns; the kernel runs the
//!   program itself through BPF_PROG_TEST_RUN, less the time of an empty program. Every way must return what is expected.
//!
//! The ways take turns. A round keeps the quickest of some short samples of each; what is printed is the median of the
//! rounds, and medians of the rounds' ratios, since other work on the machine slows both sides of a ratio alike.
//! Everything goes into a JSON file as well: `cargo bench --bench programs -- --json FILE`.

mod corpus;
mod measure;
mod report;
mod ways;

use std::path::PathBuf;
use std::process::ExitCode;

use measure::Rounds;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    // Cargo passes `--bench` to benchmarks; without it, as under `cargo test --benches`, one short round has to do.
    let rounds =
        if arguments.iter().any(|argument| argument == "--bench") { Rounds::FULL } else { Rounds::SHORT };
    let samples = match corpus::load(value("--only").as_deref()) {
        Ok(samples) => samples,
        Err(error) => {
            eprintln!("programs: {error}");
            return ExitCode::from(3);
        }
    };
    let setup = ways::Setup::new();
    setup.print();
    let mut rows = Vec::new();
    report::compile_heading();
    for sample in &samples {
        let row = measure::compile(sample, &setup, rounds);
        report::compile_row(&row);
        rows.push(row);
    }
    report::compile_summary(&rows);
    report::run_heading();
    for (sample, row) in samples.iter().zip(&mut rows) {
        match measure::run(sample, &setup, rounds) {
            Ok(Some(run)) => {
                report::run_row(&row.name, &run);
                row.run = Some(run);
            }
            Ok(None) => {}
            Err(error) => {
                eprintln!("programs: {}: {error}", sample.name);
                return ExitCode::FAILURE;
            }
        }
    }
    report::run_summary(&rows);
    if let Some(path) = value("--json").map(PathBuf::from)
        && let Err(error) = report::write_json(&path, &setup, &rows)
    {
        eprintln!("programs: {}: {error}", path.display());
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}
