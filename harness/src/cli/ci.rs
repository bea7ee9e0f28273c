// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop ci`

mod mutants;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kop_harness::campaign::store;
use kop_reports::Record;

use super::replay::{self, Tally};
use super::sources::Sources;
use super::{Failure, Outcome, campaign, print_all};
use mutants::Mutants;

/// The whole of a CI job in one command, so that a workflow file holds no logic
#[derive(clap::Args)]
#[command(after_help = "Example:\n  kop ci nightly --minutes 300 --dir nightly --report-dir nightly/report")]
pub struct Args {
    #[command(subcommand)]
    job: Job,
}

#[derive(clap::Subcommand)]
enum Job {
    Nightly(Nightly),
}

/// Replay the corpus, measure the mutation score, run a campaign, and leave a report and an update of the corpus behind
///
/// Mutants take up to a fifth of the time, each night from another operation on; what there is no time for is told. The job fails
/// when one survives, or when the score is lower than the recorded one. The report is there as JSON, text, Markdown for the summary of a job, one HTML page, JUnit XML and SARIF. Everything is in one
/// directory, and a nightly job that finds it there goes on with the same campaign; that of another build is moved to `before-ID` in it, a
/// new one begins, and the cases of the old one are replayed. Cases that the campaign found and made small
/// are put below `corpus` in the directory of the report, in the layout of the repository: what is there can be copied over a
/// checkout and committed. The name of a branch for it, which depends on the cases alone, is printed.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  kop ci nightly --minutes 300\n  \
                        kop ci nightly --minutes 0.5 --file my_op.kop.toml --no-programs")]
struct Nightly {
    /// The operations (see `kop list`); all by default
    #[arg(value_name = "OP")]
    ops: Vec<String>,
    /// How long the job takes, apart from the replay
    #[arg(long, value_name = "N", value_parser = parse_minutes)]
    minutes: Duration,
    /// The directory of the campaign, which is resumed when it is there
    #[arg(long, value_name = "DIR", default_value = "nightly")]
    dir: PathBuf,
    /// Where the report and the update of the corpus are written; `report` in the directory of the campaign by default
    #[arg(long, value_name = "DIR")]
    report_dir: Option<PathBuf>,
    /// The cases that are replayed, where they are there
    #[arg(long, value_name = "DIR", default_value = "corpus/regressions")]
    corpus: PathBuf,
    /// The recorded mutation score, where it is there (`kop mutate --baseline FILE --bless` writes it)
    #[arg(long, value_name = "FILE", default_value = "corpus/mutation-score.json")]
    mutation_score: PathBuf,
    /// Leave out mutants
    #[arg(long)]
    no_mutate: bool,
    /// Threads; one per core by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Operations alone, neither programs nor the JIT's instructions
    #[arg(long)]
    no_programs: bool,
    /// The engines that take part, separated by commas; all that are here by default (see `kop engines`)
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    engines: Vec<String>,
    #[command(flatten)]
    sources: Sources,
}

fn parse_minutes(text: &str) -> Result<Duration, String> {
    let minutes: f64 =
        text.parse().map_err(|_| format!("`{text}` is no number of minutes, such as 300 or 0.5"))?;
    Duration::try_from_secs_f64(minutes * 60.0).map_err(|error| error.to_string())
}

pub fn run(args: &Args) -> Result<Outcome, Failure> {
    match &args.job {
        Job::Nightly(nightly) => nightly.run(),
    }
}

impl Nightly {
    fn run(&self) -> Result<Outcome, Failure> {
        let report = self.report_dir.clone().unwrap_or_else(|| self.dir.join("report"));
        fs::create_dir_all(&report).map_err(|error| Failure::path(&report, error))?;
        let replayed = self.replay()?;
        let start = Instant::now();
        let mutants = Mutants::of(self)?;
        let mut ran = campaign::start(&campaign::Args {
            ops: self.ops.clone(),
            time: Some(self.minutes.saturating_sub(start.elapsed())),
            jobs: self.jobs,
            dir: self.dir.clone(),
            no_programs: self.no_programs,
            engines: self.engines.clone(),
            sources: self.sources.clone(),
            set_aside: true,
            ..campaign::Args::default()
        })?;
        let before = self.replay_of(ran.before.as_deref())?;
        let update = Update::new(&store::findings(&self.dir), &report.join("corpus"));
        let update = update.map_err(|error| Failure::path(&report, error))?;
        let mut text = format!("{replayed}\n{}{}", Before(&before), ran.text());
        let _ = writeln!(text, "\n{mutants}\n{update}");
        let of_before = before.as_ref().map_or(Outcome::Equivalent, |(_, tally)| tally.outcome());
        let outcome = worst([ran.outcome(), mutants.outcome(), replayed.outcome(), of_before]);
        let records = [ran.record.clone()].into_iter().chain(mutants.record.clone());
        ran.record = Record::join(records).expect("that of the campaign is there");
        let summary = format!(
            "# Nightly: {}\n\n```text\n{replayed}\n{}{mutants}\n{update}\n```\n\n{}",
            if outcome == Outcome::Equivalent { "equivalent" } else { "divergent" },
            Before(&before),
            kop_reports::markdown(&ran.record)
        );
        let files = [
            ("report.json", ran.record.to_json()),
            ("report.txt", text.clone()),
            ("report.html", kop_reports::html(&ran.record)),
            ("junit.xml", kop_reports::junit(&ran.record)),
            ("report.sarif", kop_reports::sarif(&ran.record)),
            ("summary.md", summary),
            ("branch", update.branch.as_deref().map_or(String::new(), |branch| format!("{branch}\n"))),
        ];
        for (name, contents) in files {
            let path = report.join(name);
            fs::write(&path, contents).map_err(|error| Failure::path(&path, error))?;
        }
        print_all(text.as_bytes())?;
        Ok(outcome)
    }

    fn replay(&self) -> Result<Tally, Failure> {
        if !self.corpus.exists() {
            return Ok(Tally::default());
        }
        replay::all(std::slice::from_ref(&self.corpus), &self.engines, &self.sources)
    }

    /// What is left of the cases of a campaign that was set aside, and where it is.
    fn replay_of(&self, before: Option<&Path>) -> Result<Option<(PathBuf, Tally)>, Failure> {
        let Some(dir) = before else { return Ok(None) };
        let tally = replay::all(&[store::findings(dir)], &self.engines, &self.sources)?;
        Ok(Some((dir.to_owned(), tally)))
    }
}

/// A line about the campaign that made room for this one, where there was one.
struct Before<'a>(&'a Option<(PathBuf, Tally)>);

impl std::fmt::Display for Before<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some((dir, tally)) = self.0 else { return Ok(()) };
        let dir = dir.display();
        write!(
            f,
            "campaign: begun anew; another build made the one that is in {dir} now, and of its cases are\n{tally}"
        )
    }
}

/// A divergence above all, then what else is no success.
fn worst(outcomes: [Outcome; 4]) -> Outcome {
    let is_divergent = outcomes.contains(&Outcome::Divergent);
    let other = outcomes.into_iter().find(|outcome| *outcome != Outcome::Equivalent);
    if is_divergent { Outcome::Divergent } else { other.unwrap_or(Outcome::Equivalent) }
}

/// Cases for the corpus.
struct Update {
    dir: PathBuf,
    cases: usize,
    /// What a branch with the cases is called; `None` when there are none.
    branch: Option<String>,
}

impl Update {
    /// Puts the cases below `findings` where the repository has them, in `dir` in place of what is there.
    fn new(findings: &Path, dir: &Path) -> io::Result<Self> {
        if dir.exists() {
            fs::remove_dir_all(dir)?;
        }
        let mut cases: BTreeMap<PathBuf, String> = BTreeMap::new();
        for folder in fs::read_dir(findings)? {
            let folder = folder?.path();
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let path = entry?.path();
                if let (Some(name), Some(parent)) = (path.file_name(), folder.file_name()) {
                    let is_program = path.extension().is_some_and(|found| found == "program");
                    let parent = if is_program { Path::new("programs") } else { Path::new(parent) };
                    cases
                        .insert(Path::new("regressions").join(parent).join(name), fs::read_to_string(&path)?);
                }
            }
        }
        for (path, text) in &cases {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().expect("a case is in a folder"))?;
            fs::write(path, text)?;
        }
        let names = || cases.keys().map(|path| path.as_os_str().as_encoded_bytes());
        let hash = kop_harness::behaviour::hash(names());
        let branch = (!cases.is_empty()).then(|| format!("nightly/cases-{hash:016x}"));
        Ok(Self { dir: dir.to_owned(), cases: cases.len(), branch })
    }
}

impl std::fmt::Display for Update {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.branch {
            None => f.write_str("corpus: nothing new"),
            Some(branch) => {
                let s = if self.cases == 1 { "" } else { "s" };
                write!(f, "corpus: {} case{s} in {}, for a branch {branch}", self.cases, self.dir.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_numbers() {
        assert_eq!(parse_minutes("0.5"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_minutes("300"), Ok(Duration::from_secs(18_000)));
        for bad in ["", "1m", "-1", "nan", "1e300"] {
            assert!(parse_minutes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_update_is_laid_out_as_the_repository_and_named_by_its_cases() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (findings, target) = (dir.path().join("findings"), dir.path().join("corpus"));
        let empty = |dir: &Path| Update::new(dir, &target).expect("readable").branch;
        fs::create_dir_all(findings.join("rotate")).expect("writable");
        assert_eq!(empty(&findings), None);
        fs::create_dir_all(findings.join("jit_instruction")).expect("writable");
        fs::write(findings.join("rotate/a.kop"), "case").expect("writable");
        let one = empty(&findings).expect("a branch");
        fs::write(findings.join("jit_instruction/b.program"), "case").expect("writable");
        let two = empty(&findings).expect("a branch");
        assert_ne!(one, two);
        assert_eq!(empty(&findings), Some(two));
        assert!(target.join("regressions/rotate/a.kop").exists());
        assert!(target.join("regressions/programs/b.program").exists());
    }
}
