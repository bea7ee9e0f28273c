// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop rewrite`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use kop_harness::bounded;
use kop_harness::program::text::ObjectText;
use kop_harness::rewrite::{Proved, profile};
use kop_jit::rewrite::{Branches, Found, Miss, Options, Profile, Rewritten, rewrite};
use kop_ops::ebpf::Insn;
use kop_ops::{Arch, Object};

use super::output::Output;
use super::program_file::ProgramFile;
use super::sources::Sources;
use super::{Failure, Outcome, print_all};

/// Find what the instructions of a program compute that an operation computes at once, and put Kop sites in their place
///
/// A site is made where the prover shows, for all inputs, that it computes the same. What looks like an operation and is none is
/// listed with the reason.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  kop rewrite siphash.o\n  kop rewrite filter.s --explain\n  kop rewrite siphash.o -o \
                  siphash.s && kop run siphash.s --all-engines\n  kop run acl.o --packet traffic.pcap --collect-profile acl.profile\n  \
                  kop rewrite acl.o --profile acl.profile"
)]
pub struct Args {
    #[command(flatten)]
    file: ProgramFile,
    #[command(flatten)]
    sources: Sources,
    /// Make sites that pay on this architecture; without it, those that pay on both
    #[arg(long)]
    arch: Option<Arch>,
    /// Put selects in place of branches that this profile says are not foreseen (`kop run --collect-profile`)
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Show for each site what stood there, what stands there now, and what was proved
    #[arg(long)]
    explain: bool,
    /// Write the programs with their sites to this file, as text; `-` is standard output, without the list of sites
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<Outcome, Failure> {
    let loaded = args.sources.load()?;
    let catalog = loaded.everything();
    let object = args.file.load(&catalog)?;
    let chosen = args.file.named(&object)?;
    let output = args.output.as_ref().map(|path| Output::open(path)).transpose()?;
    let profile = args.profile.as_ref().map(|path| read_profile(path, &object)).transpose()?;
    let branches = profile.as_ref().map_or(Branches::Left, Branches::Profile);
    let options = Options { arch: args.arch, branches, ..Options::new(&catalog) };
    let rewritten = rewrite(&object, &options, &mut Proved::default());
    let is_alone = matches!(output, Some(Output::Stdout));
    if let Some(mut output) = output {
        output.write(ObjectText(&rewritten.object).to_string().as_bytes())?;
    }
    if is_alone {
        return Ok(Outcome::Equivalent);
    }
    let list = List { object: &object, rewritten: &rewritten, explain: args.explain };
    let text: String = (0..object.programs.len())
        .filter(|program| chosen.is_none_or(|chosen| chosen == *program))
        .map(|program| list.program(program))
        .collect::<Vec<_>>()
        .join("\n");
    print_all(text.as_bytes())
}

fn read_profile(path: &Path, object: &Object) -> Result<Profile, Failure> {
    let bytes = bounded::read(path, bounded::MAX_PROGRAM_FILE).map_err(|error| Failure::path(path, error))?;
    let text = String::from_utf8(bytes).map_err(|error| Failure::path(path, error))?;
    profile::from_text(&text, object).map_err(|error| Failure::path(path, error))
}

/// What is printed.
struct List<'a> {
    object: &'a Object,
    rewritten: &'a Rewritten,
    explain: bool,
}

impl List<'_> {
    fn program(&self, program: usize) -> String {
        let found: Vec<&Found> =
            self.rewritten.found.iter().filter(|found| found.program == program).collect();
        let misses: Vec<&Miss> =
            self.rewritten.misses.iter().filter(|miss| miss.program == program).collect();
        let removed: usize = found.iter().map(|found| found.removed.len()).sum();
        let count = self.object.programs[program].flow.insns().len();
        let mut text = format!(
            "{}: {count} instructions, {} in place of {removed} of them, {}\n",
            self.object.programs[program].name,
            plural(found.len(), "site"),
            plural(misses.len(), "near miss"),
        );
        for found in found {
            self.site(&mut text, found);
        }
        for miss in misses {
            let Miss { at, kop, form, reason, .. } = miss;
            let _ = writeln!(text, "{at:>5}: not {kop}.{form}: {reason}");
        }
        text
    }

    fn site(&self, text: &mut String, found: &Found) {
        let Found { at, kop, form, operands, removed, claim, proved, .. } = found;
        let _ = writeln!(text, "{at:>5}: {kop}.{form} {operands}, in place of {}", ranges(removed));
        if !self.explain {
            return;
        }
        let insns = self.object.programs[found.program].flow.insns();
        for index in removed {
            let _ = writeln!(text, "       - {index}: {}", insns[*index]);
        }
        let _ = writeln!(text, "       proved {proved}: with {} alive behind it,", claim.live);
        for (what, side) in [("this", &claim.fragment), ("is the same as", &claim.replacement)] {
            let lines: Vec<String> = side.iter().map(Insn::to_string).collect();
            let _ = writeln!(text, "         {what}: {}", lines.join("; "));
        }
    }
}

fn plural(count: usize, what: &str) -> String {
    let ending = match (count, what.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{count} {what}{ending}")
}

/// Ascending numbers as `1-3, 7`.
fn ranges(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|one, next| one + 1 == *next);
    let run = |run: &[usize]| match run {
        [only] => only.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    };
    runs.map(run).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_ranges() {
        assert_eq!(ranges(&[1, 2, 3, 7, 9, 10]), "1-3, 7, 9-10");
        assert_eq!(
            (plural(1, "near miss"), plural(2, "near miss")),
            ("1 near miss".into(), "2 near misses".into())
        );
    }
}
