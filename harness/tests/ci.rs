// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop ci` and the workflows that call it.

#![cfg(feature = "text")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use kop_harness::campaign::store;
use kop_harness::fuzz::Target;
use kop_harness::reports::{Record, Verdict};
use kop_ops::Catalog;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The files below a directory, by their paths from there.
fn files(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() => waiting.push(path),
                path => drop(found.insert(path.strip_prefix(dir).expect("it is below").to_owned())),
            }
        }
    }
    found
}

/// A nightly job of 30 seconds in a directory of its own; one operation as text is all that it is about.
fn nightly(dir: &Path, operation: &str) -> Output {
    job(dir, operation, "0.5", &[])
}

fn job(dir: &Path, operation: &str, minutes: &str, args: &[&str]) -> Output {
    fs::write(dir.join("op.kop.toml"), operation).expect("writable");
    let mut command = Command::new(env!("CARGO_BIN_EXE_kop"));
    command.args(["ci", "nightly", "--minutes", minutes, "--file", "op.kop.toml", "--dir", "job"]).args(args);
    command.args(["--report-dir", "out", "--corpus"]).arg(Path::new(ROOT).join("corpus/regressions"));
    command.current_dir(dir).env("NO_COLOR", "1").stdin(Stdio::null()).output().expect("kop runs")
}

fn example() -> String {
    fs::read_to_string(Path::new(ROOT).join("corpus/modules/and_not.kop.toml")).expect("an example")
}

#[test]
fn a_planted_fault_is_found_saved_and_ready_to_be_committed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let sound = "aarch64 = \"bic {dst}, {a}, {b}\"";
    let faulty = example().replacen(sound, "aarch64 = \"bic {dst}, {b}, {a}\"", 1);
    assert_ne!(faulty, example());
    let output = nightly(dir.path(), &faulty);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let out = dir.path().join("out");
    let json = fs::read_to_string(out.join("report.json")).expect("a report");
    let record = Record::from_json(&json).expect("a record");
    assert_eq!(record.verdict, Verdict::Divergent);
    assert!(record.elapsed_s >= 25.0, "{}", record.elapsed_s);
    let text = fs::read_to_string(out.join("report.txt")).expect("a text");
    assert!(text.contains("0 diverged, 0 corrupt") && text.contains("FAIL  and_not"), "{text}");
    let summary = fs::read_to_string(out.join("summary.md")).expect("a summary");
    assert!(summary.starts_with("# Nightly: divergent\n"), "{summary}");
    let unescaped = summary.replace("&#95;", "_");
    assert!(unescaped.contains("corpus: ") && unescaped.contains("| and_not "), "{summary}");
    for (name, start) in [("report.html", "<!DOCTYPE html>"), ("junit.xml", "<?xml "), ("report.sarif", "{")]
    {
        let rendered = fs::read_to_string(out.join(name)).expect(name);
        assert!(rendered.starts_with(start) && rendered.contains("and_not"), "{name}: {rendered}");
    }
    // What the campaign knows is what is to be committed, and it is small.
    let cases = files(&out.join("corpus/regressions"));
    let operation: Vec<_> = cases.iter().filter(|path| path.starts_with("and_not")).collect();
    assert!(!operation.is_empty(), "{cases:?}");
    assert_eq!(files(&store::findings(&dir.path().join("job"))).len(), cases.len());
    for path in operation {
        let case = fs::read_to_string(out.join("corpus/regressions").join(path)).expect("a case");
        assert!(!case.contains("as found, not minimised"), "{case}");
    }
    let branch = fs::read_to_string(out.join("branch")).expect("a branch");
    assert!(branch.starts_with("nightly/cases-") && text.contains(branch.trim()), "{branch}");
    becomes_a_commit(dir.path(), branch.trim(), &cases);
}

/// A repository with nothing in it gets a branch with the cases, and nothing else changes.
fn becomes_a_commit(dir: &Path, branch: &str, cases: &BTreeSet<PathBuf>) {
    let repository = dir.join("repository");
    fs::create_dir(&repository).expect("writable");
    let run = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        for role in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{role}_NAME"), "test")
                .env(format!("GIT_{role}_EMAIL"), "test@localhost");
        }
        let output = command.args(args).current_dir(&repository).output().expect("it runs");
        assert!(output.status.success(), "{program} {args:?}: {}", said(&output));
        String::from_utf8(output.stdout).expect("text")
    };
    run("git", &["init", "--quiet"]);
    run("git", &["commit", "--quiet", "--allow-empty", "-m", "nothing"]);
    let script = format!("{ROOT}/scripts/nightly-branch");
    run(&script, &["../out"]);
    let listed = run("git", &["ls-tree", "-r", "--name-only", branch]);
    let listed: BTreeSet<PathBuf> = listed.lines().map(PathBuf::from).collect();
    let expected = cases.iter().map(|path| Path::new("corpus/regressions").join(path)).collect();
    assert_eq!(listed, expected);
    assert_eq!(run("git", &["ls-tree", "-r", "--name-only", "HEAD"]), "");
    assert_eq!(run("git", &["status", "--porcelain"]), "");
}

#[test]
fn without_a_fault_nothing_is_found() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let output = nightly(dir.path(), &example());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let out = dir.path().join("out");
    let json = fs::read_to_string(out.join("report.json")).expect("a report");
    assert_eq!(Record::from_json(&json).expect("a record").verdict, Verdict::Equivalent);
    assert!(files(&out.join("corpus")).is_empty());
    assert_eq!(fs::read_to_string(out.join("branch")).expect("a file"), "");
    assert!(said(&output).contains("corpus: nothing new"), "{}", said(&output));
    // Mutants are part of the job, and what the recorded score does not have is told.
    assert!(said(&output).contains("\nmutants: "), "{}", said(&output));
    assert!(
        said(&output).contains("compared with no recorded score: corpus/mutation-score.json is not there")
    );
}

/// A score that was better than it can be is one that has dropped.
#[test]
fn a_lower_mutation_score_fails_the_job_with_a_line() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("score.json");
    fs::write(dir.path().join("op.kop.toml"), example()).expect("writable");
    let bless = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kop"));
        command.args(["mutate", "--file", "op.kop.toml", "--baseline", "score.json"]).args(args);
        command.current_dir(dir.path()).stdin(Stdio::null()).output().expect("kop runs")
    };
    let blessed = bless(&["--bless"]);
    assert_eq!(blessed.status.code(), Some(0), "{}", said(&blessed));
    let mut score: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).expect("it is written")).expect("JSON");
    let rows = score["rows"].as_array_mut().expect("rows");
    let row = rows
        .iter_mut()
        .find(|row| row["equivalent"].as_u64() > Some(0))
        .expect("one with equivalent mutants");
    let (killed, mutants) =
        (row["killed"].as_u64().expect("a number"), row["mutants"].as_u64().expect("a number"));
    let title =
        ["name", "form", "arch", "side"].map(|key| row[key].as_str().expect("a text").to_owned()).join(" ");
    row["killed"] = (killed + 1).into();
    fs::write(&path, score.to_string()).expect("writable");
    let line =
        format!("mutation score dropped: {title}: {killed} of {mutants} mutants killed, {} were", killed + 1);
    // The job gives mutants a fifth of its time.
    let output = job(dir.path(), &example(), "1", &["--mutation-score", "score.json"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(said(&output).matches(&line).count(), 1, "{}", said(&output));
    let report = |name: &str| fs::read_to_string(dir.path().join("out").join(name)).expect(name);
    assert!(report("summary.md").starts_with("# Nightly: divergent\n"), "{}", report("summary.md"));
    let drop = &line["mutation score dropped: ".len()..];
    for name in ["report.html", "report.json", "report.txt"] {
        assert!(report(name).contains(drop), "{name}");
    }
    assert!(report("junit.xml").contains("the mutation score dropped"), "{}", report("junit.xml"));
    // Left out, it is neither judged nor passed over in silence.
    let output = job(dir.path(), &example(), "0.05", &["--mutation-score", "score.json", "--no-mutate"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("mutants: left out (--no-mutate)"), "{}", said(&output));
}

/// A directory that a job of another build has left is no reason to fail, and what that found is looked at again.
#[test]
fn a_campaign_of_another_build_makes_room_and_its_cases_are_replayed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let sound = "aarch64 = \"bic {dst}, {a}, {b}\"";
    let faulty = example().replacen(sound, "aarch64 = \"bic {dst}, {b}, {a}\"", 1);
    let args = ["--no-mutate", "--no-programs"];
    let output = job(dir.path(), &faulty, "0.05", &args);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let cases = || files(&store::findings(&dir.path().join("job"))).len();
    // The operation in the file is a part of what was built.
    for (operation, is_faulty) in [(faulty.replacen("bic", "BIC", 1), true), (example(), false)] {
        let before = cases();
        assert!(before > 0);
        let output = job(dir.path(), &operation, "0.05", &args);
        assert_eq!(output.status.code(), Some(i32::from(is_faulty)), "{}", said(&output));
        assert!(said(&output).contains("campaign: begun anew"), "{}", said(&output));
        let (held, diverged) = if is_faulty { (0, before) } else { (before, 0) };
        let tally = format!("{before} replayed: {held} held, {diverged} diverged, 0 corrupt");
        assert!(said(&output).contains(&tally), "{tally}: {}", said(&output));
    }
    assert_eq!(cases(), 0);
    let output = job(dir.path(), &example(), "0.05", &args);
    assert!(!said(&output).contains("begun anew"), "{}", said(&output));
}

#[test]
fn the_matrix_of_the_workflow_has_every_fuzz_target() {
    let output = Command::new(format!("{ROOT}/scripts/fuzz-targets")).output().expect("the script runs");
    let listed: BTreeSet<String> = serde_json::from_slice(&output.stdout).expect("JSON");
    let catalog = Catalog::einsn();
    let targets: BTreeSet<String> = Target::list(&catalog).iter().map(ToString::to_string).collect();
    assert_eq!(listed, targets, "fuzz/Cargo.toml does not have the targets that there are");
    let sources = files(&Path::new(ROOT).join("fuzz/fuzz_targets"));
    let sources: BTreeSet<String> =
        sources.iter().map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect();
    assert_eq!(listed, sources, "fuzz/fuzz_targets has other targets");
    let push = fs::read_to_string(Path::new(ROOT).join(".github/workflows/push.yml")).expect("a workflow");
    assert!(push.contains("targets=$(scripts/fuzz-targets)"), "{push}");
    assert!(push.contains("fromJSON(needs.targets.outputs.targets)"), "{push}");
    assert!(targets.iter().all(|target| !push.contains(&format!("- {target}\n"))), "a list in the workflow");
}

#[test]
fn workflows_call_make_and_scripts_and_hold_no_logic() {
    for name in ["push", "nightly"] {
        let path = Path::new(ROOT).join(format!(".github/workflows/{name}.yml"));
        let text = fs::read_to_string(&path).expect("a workflow");
        let makefile = fs::read_to_string(Path::new(ROOT).join("Makefile")).expect("a makefile");
        let commands =
            text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("run: "));
        let mut count = 0;
        for command in commands {
            count += 1;
            assert!(!command.starts_with('|'), "{name}: a command of one line, not {command}");
            if let Some(rest) = command.strip_prefix("make ") {
                let target = rest.split(' ').next().unwrap_or_default();
                assert!(makefile.contains(&format!("\n{target}: ")), "{name}: make {target}");
            } else {
                let calls = ["scripts/", "echo \"targets=$(scripts/", "cat nightly/report/summary.md"];
                assert!(calls.iter().any(|call| command.starts_with(call)), "{name}: {command}");
            }
        }
        assert!(count >= 4, "{name} has {count} commands");
    }
}
