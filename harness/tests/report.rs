// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop report`: what it reads, writes and prints, and how it ends.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use kop_harness::reports::{
    Bench, Blame, Divergence, Kind, Mutant, MutatedSide, Mutation, Record, Row, RowVerdict, SCHEMA, Verdict,
};
use tempfile::TempDir;

const ENGINES: &str = "rbpf,model,unicorn-x86_64,unicorn-aarch64";

fn kop(dir: &TempDir, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kop"));
    command.env("KOP_CACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/no-cache")).env("NO_COLOR", "1");
    command.args(args).current_dir(dir).stdin(Stdio::null()).output().expect("kop runs")
}

/// Exit code, standard output, standard error.
fn ended(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

fn read(dir: &TempDir, name: &str) -> String {
    fs::read_to_string(dir.path().join(name)).expect(name)
}

fn write(dir: &TempDir, name: &str, record: &Record) {
    fs::write(dir.path().join(name), record.to_json()).expect(name);
}

/// What a check of `rotate` writes.
fn checked(dir: &TempDir, name: &str, states: &str) -> Record {
    let args = ["check", "rotate", "--states", states, "--engines", ENGINES, "--report", name];
    assert_eq!(ended(kop(dir, &args)).0, 0);
    Record::from_json(&read(dir, name)).expect("a record")
}

/// The record with a divergence in its first row.
fn with_divergence(mut record: Record) -> Record {
    let found = Divergence {
        kind: Kind::Register,
        engine: "unicorn-x86_64".to_owned(),
        payload: "0xd513".to_owned(),
        operands: [].into(),
        first_difference: None,
        case: None,
        message: "r3 differs".to_owned(),
        blame: Blame::Emit,
        blame_reason: String::new(),
        cause: None,
        features: "none".to_owned(),
        occurrences: 3,
        reproduce: None,
        minimised: None,
        sides: Vec::new(),
        proof: Vec::new(),
        native: Vec::new(),
        known: None,
    };
    record.ops[0].divergences.push(found);
    record.ops[0].verdict = RowVerdict::Divergent;
    record.verdict = Verdict::Divergent;
    record
}

fn list(row: &Row, expires: &str) -> String {
    let (name, form, arch) = (&row.name, &row.form, &row.arch);
    format!(
        "[[known]]\noperation = {name:?}\nform = {form:?}\narch = {arch:?}\nkind = \"register\"\nreason = \"soon\"\nexpires = {expires:?}\n"
    )
}

#[test]
fn a_benchmark_is_rendered_by_itself() {
    let dir = tempfile::tempdir().expect("a directory");
    let json = include_str!("../../reports/tests/records/bench.json");
    fs::write(dir.path().join("bench.json"), json).expect("writable");
    checked(&dir, "check.json", "400");
    let (code, text, error) = ended(kop(&dir, &["report", "bench.json"]));
    let known = Bench::from_json(json).expect("a record");
    assert_eq!((code, error.as_str()), (i32::from(!known.failures.is_empty()), ""));
    assert!(known.programs.iter().all(|program| text.contains(&program.name)), "{text}");
    let written = ["--html", "b.html", "--markdown", "b.md", "--json", "b.json", "--text", "b.txt"];
    let (again, printed, _) = ended(kop(&dir, &[&["report", "bench.json"], &written[..]].concat()));
    assert_eq!((again, printed.as_str()), (code, ""));
    assert!(read(&dir, "b.html").starts_with("<!DOCTYPE html>") && read(&dir, "b.md").contains('|'));
    assert_eq!(read(&dir, "b.txt"), text);
    assert_eq!(Bench::from_json(&read(&dir, "b.json")).expect("a record"), known);
    let refused: [&[&str]; 3] = [
        &["bench.json", "check.json"],
        &["bench.json", "--junit", "j.xml"],
        &["--compare", "check.json", "bench.json"],
    ];
    for args in refused {
        let (code, _, error) = ended(kop(&dir, &[&["report"], args].concat()));
        assert_eq!((code, error.lines().count()), (2, 1), "{args:?}: {error}");
        assert!(error.contains("bench.json: a record of `kop bench` is rendered by itself"), "{error}");
    }
}

#[test]
fn a_check_is_rendered_in_every_form() {
    let dir = tempfile::tempdir().expect("a directory");
    let record = checked(&dir, "r.json", "400");
    assert!(!record.rates.is_empty() && record.rates.len() <= 120, "{}", record.rates.len());
    assert_eq!(
        record.rates.last().map(|rate| rate.states),
        Some(record.ops.iter().map(|row| row.states).sum())
    );
    let sources: Vec<_> = record.ops.iter().filter_map(|row| row.source.as_ref()).collect();
    assert!(
        sources.len() == record.ops.len()
            && sources.iter().all(|source| source.file == "ops/src/kops/rotate.rs")
    );
    let args =
        ["report", "r.json", "--text", "r.txt", "--html", "r.html", "--markdown", "r.md", "--junit", "r.xml"];
    let (code, out, err) = ended(kop(
        &dir,
        &[&args[..], &["--sarif", "r.sarif", "--svg", "r.svg", "--json", "joined.json"]].concat(),
    ));
    assert_eq!((code, out, err), (0, String::new(), String::new()));
    for (name, start) in [
        ("r.txt", "ok    rotate"),
        ("r.html", "<!DOCTYPE html><html lang=\"en\">"),
        ("r.md", "## \u{2705} kop: no divergence in 8 rows\n"),
        (
            "r.xml",
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"kop\" tests=\"8\" failures=\"0\"",
        ),
        ("r.sarif", "{\n  \"$schema\": \"https://"),
        ("r.svg", "<!-- SPDX-License-Identifier: GPL-2.0-or-later -->\n<svg "),
    ] {
        assert!(read(&dir, name).starts_with(start), "{name}: {}", &read(&dir, name)[..200]);
    }
    assert_eq!(Record::from_json(&read(&dir, "joined.json")), Ok(record));
    assert!(read(&dir, "r.html").contains("States per second"));
    let (code, out, err) = ended(kop(&dir, &["report", "r.json"]));
    assert_eq!((code, out, err), (0, read(&dir, "r.txt"), String::new()));
    let (code, out, _) = ended(kop(&dir, &["report", "r.json", "--markdown", "-"]));
    assert_eq!((code, out), (0, read(&dir, "r.md")));
}

#[test]
fn several_records_are_joined() {
    let dir = tempfile::tempdir().expect("a directory");
    let record = checked(&dir, "a.json", "400");
    write(&dir, "b.json", &with_divergence(record.clone()));
    let (code, _, err) = ended(kop(&dir, &["report", "a.json", "b.json", "--json", "c.json"]));
    assert_eq!((code, err), (1, String::new()));
    let joined = Record::from_json(&read(&dir, "c.json")).expect("a record");
    assert_eq!((joined.ops.len(), joined.ops[0].verdict), (record.ops.len(), RowVerdict::Divergent));
    assert_eq!(joined.ops[1].states, 2 * record.ops[1].states);
}

#[test]
fn a_known_divergence_does_not_fail_and_a_list_that_is_not_true_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let record = checked(&dir, "well.json", "400");
    let row = record.ops[0].clone();
    write(&dir, "r.json", &with_divergence(record));
    let args = |record: &'static str| ["report", record, "--known", "known.toml", "--markdown", "-"];
    for (record, expires, code, said) in [
        ("r.json", "9999-12-31", 0, ""),
        (
            "r.json",
            "2020-01-31",
            1,
            "kop: known divergence rotate imm64 x86_64 register: expired on 2020-01-31 (soon)\n",
        ),
        (
            "well.json",
            "9999-12-31",
            1,
            "kop: known divergence rotate imm64 x86_64 register: matches nothing, the row has no such divergence (soon)\n",
        ),
    ] {
        fs::write(dir.path().join("known.toml"), list(&row, expires)).expect("a list");
        let (ended_with, out, err) = ended(kop(&dir, &args(record)));
        assert_eq!((ended_with, err.as_str()), (code, said), "{out}");
        assert_eq!(out.contains("known until 9999-12-31: soon"), code == 0);
    }
    // A record of another operation says nothing of it.
    let other = list(&row, "9999-12-31").replace("\"rotate\"", "\"select\"");
    fs::write(dir.path().join("known.toml"), other).expect("a list");
    let (code, _, err) = ended(kop(&dir, &args("well.json")));
    let said =
        "kop: known divergence select imm64 x86_64 register: not judged, the report has no such row (soon)\n";
    assert_eq!((code, err.as_str()), (0, said));
}

#[test]
fn a_survivor_fails() {
    let dir = tempfile::tempdir().expect("a directory");
    let survivor = Mutant {
        name: "rotate".to_owned(),
        form: "imm64".to_owned(),
        arch: "x86_64".to_owned(),
        side: MutatedSide::Emit,
        operator: "drop".to_owned(),
        change: "0: mov rdx, rdi -> nothing".to_owned(),
        payload: "0xd513".to_owned(),
        killed_by: None,
        detection_ms: None,
        undecided: None,
    };
    let mut record = Record {
        schema: SCHEMA.to_owned(),
        verdict: Verdict::Equivalent,
        seed: 0,
        engines: Vec::new(),
        ops: Vec::new(),
        elapsed_s: 1.0,
        jobs: 1,
        timings: None,
        rates: Vec::new(),
        mutation: Some(Mutation::default()),
    };
    write(&dir, "well.json", &record);
    assert_eq!(ended(kop(&dir, &["report", "well.json"])).0, 0);
    record.mutation = Some(Mutation { survivors: vec![survivor], ..Mutation::default() });
    write(&dir, "r.json", &record);
    let (code, out, _) = ended(kop(&dir, &["report", "r.json"]));
    assert!(code == 1 && out.contains("0: mov rdx, rdi -> nothing"), "{out}");
}

#[test]
fn what_got_worse_fails_a_comparison() {
    let dir = tempfile::tempdir().expect("a directory");
    let record = checked(&dir, "old.json", "400");
    write(&dir, "new.json", &with_divergence(record));
    let (code, out, err) = ended(kop(&dir, &["report", "--compare", "old.json", "new.json"]));
    let start = "2 changes: 2 for the worse, 0 for the better\n  divergences\n  worse      rotate imm64 x86_64: new: register";
    assert_eq!((code, err), (1, String::new()));
    assert!(out.starts_with(start), "{out}");
    let (code, out, _) =
        ended(kop(&dir, &["report", "--compare", "new.json", "old.json", "--markdown", "-"]));
    assert_eq!(code, 0);
    assert!(out.starts_with("## \u{2705} kop: 2 changes: 0 for the worse, 2 for the better\n"), "{out}");
    let (code, out, _) = ended(kop(&dir, &["report", "--compare", "old.json", "old.json"]));
    assert_eq!((code, out.as_str()), (0, "nothing changed\n"));
}

#[test]
fn bad_input_is_one_clear_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let record = checked(&dir, "r.json", "400");
    write(&dir, "still.json", &Record { rates: Vec::new(), ..record });
    let whole = read(&dir, "r.json");
    fs::write(dir.path().join("cut.json"), &whole[..whole.len() / 2]).expect("a file");
    fs::write(dir.path().join("later.json"), whole.replace("kop-report/1", "kop-report/9")).expect("a file");
    fs::write(dir.path().join("bytes.json"), [0xff, 0xfe]).expect("a file");
    fs::write(dir.path().join("bad.toml"), "[[known]]\nname = 1\n").expect("a file");
    for (args, start) in [
        (&["report", "cut.json"][..], "kop: cut.json: not a "),
        (
            &["report", "r.json", "later.json"],
            "kop: later.json: report of the schema \"kop-report/9\", but only",
        ),
        (&["report", "bytes.json"], "kop: bytes.json: "),
        (&["report", "none.json"], "kop: none.json: No such file"),
        (&["report", "r.json", "--known", "bad.toml"], "kop: bad.toml: line 2: unknown field `name`"),
        (&["report", "r.json", "--known", "none.toml"], "kop: none.toml: No such file"),
        (&["report", "r.json", "--html", "no/such/dir.html"], "kop: no/such/dir.html: No such file"),
        (&["report", "r.json", "--html", "-", "--text", "-"], "kop: -: named for two reports"),
        (&["report", "still.json", "--svg", "r.svg"], "kop: --svg: the record has no samples over time"),
        (
            &["report", "--compare", "r.json"],
            "kop: --compare takes two records, an old one and a new one, not 1",
        ),
    ] {
        let (code, out, err) = ended(kop(&dir, args));
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.starts_with(start) && err.lines().count() == 1, "{args:?}: {err}");
    }
    assert_eq!(ended(kop(&dir, &["report"])).0, 2);
}

/// The list of known divergences in the README is one that is understood.
#[test]
fn the_list_in_the_readme_is_one() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).expect("README");
    let list =
        readme.split("```toml\n[[known]]").nth(1).expect("a list").split("```").next().expect("its end");
    kop_harness::reports::KnownList::parse(&format!("[[known]]{list}")).expect("a list that is understood");
}
