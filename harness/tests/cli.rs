// SPDX-License-Identifier: GPL-2.0-or-later
//! The `kop` command as a person sees it: what it prints, and how it ends.
//!
//! What commands print is compared with the files in `snapshots`; `KOP_BLESS=1` writes them anew, to be read before they
//! are committed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use kop_harness::reports::{Record, RowVerdict, Verdict};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The engines that are the same everywhere.
const EMULATED: &str = "rbpf,model,unicorn-x86_64,unicorn-aarch64";

/// Every subcommand.
const COMMANDS: [&str; 21] = [
    "list",
    "show",
    "check",
    "campaign",
    "merge",
    "ci",
    "prove",
    "mutate",
    "replay",
    "repro",
    "report",
    "fuzz-case",
    "new",
    "export",
    "headers",
    "run",
    "jit",
    "rewrite",
    "engines",
    "completions",
    "man",
];

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kop"));
    // What the user has proved before is no matter of a test.
    command.env("KOP_CACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/no-cache"));
    command.args(args).current_dir(ROOT).stdin(Stdio::null());
    command.env("NO_COLOR", "1").env("COLUMNS", "100");
    command
}

fn kop(args: &[&str]) -> Output {
    command(args).output().expect("kop runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("kop exits")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// What a command prints when it ends with `code`; nothing on standard error.
fn printed(args: &[&str], expected: i32) -> String {
    let output = kop(args);
    assert_eq!((code(&output), stderr(&output)), (expected, String::new()), "{args:?}");
    stdout(&output)
}

/// The one line that a command says when it is used or fed wrongly.
fn refused(args: &[&str]) -> String {
    let output = kop(args);
    let said = stderr(&output);
    assert_eq!((code(&output), stdout(&output)), (2, String::new()), "{args:?}: {said}");
    said
}

#[track_caller]
fn snapshot(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if std::env::var_os("KOP_BLESS").is_some() {
        fs::write(&path, actual).expect("the snapshot is written");
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(actual, expected, "\n{} differs; KOP_BLESS=1 writes it anew\n{actual}", path.display());
}

/// The text without what a run of the same command may change: time, threads, payloads that were planned, absent engines'
/// reasons.
fn normalised(text: &str) -> String {
    let line = |line: &str| {
        if let Some((states, _)) = line.strip_prefix("  states ").and_then(|rest| rest.split_once(" in ")) {
            return format!("  states {states} in TIME, THREADS\n");
        }
        if let Some((engine, _)) = line.strip_prefix("  absent ").and_then(|rest| rest.split_once(": ")) {
            return format!("  absent {engine}: REASON\n");
        }
        let Some((front, total)) = line.split_once('/').filter(|_| line.starts_with("ok ")) else {
            return format!("{line}\n");
        };
        let row = front.trim_end_matches(|c: char| c.is_ascii_digit() || c == ',').trim_end();
        format!("{row}  PAYLOADS/{total}\n")
    };
    text.lines().map(line).collect()
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).expect("writable");
    path
}

fn text_of(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}

#[test]
fn help_reads_well() {
    let mut text = format!("$ kop --help\n{}", printed(&["--help"], 0));
    for name in COMMANDS {
        text += &format!("\n$ kop {name} --help\n{}", printed(&[name, "--help"], 0));
    }
    snapshot("help.txt", &text);
    for name in COMMANDS {
        assert!(text.lines().any(|line| line.trim_start().starts_with(name)), "{name} is not listed");
    }
}

#[test]
fn operations_are_listed() {
    snapshot("list.txt", &printed(&["list"], 0));
}

#[test]
fn an_operation_is_shown_with_its_code() {
    let args = ["show", "rotate", "imm64", "dst=r3", "src=r1", "tmp=r2", "amount=13"];
    snapshot("show.txt", &printed(&args, 0));
}

#[test]
fn engines_are_listed_with_what_is_missing() {
    let text = printed(&["engines"], 0);
    let (text, programs) = text.split_once("\nfor whole programs\n").expect("there are two lists");
    let listed: Vec<&str> = programs.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(listed.starts_with(&["spec"]) && listed.contains(&"kernel"), "{programs}");
    let names: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    let names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
    let emulated = ["unicorn-x86_64", "unicorn-aarch64", "semantics-x86_64", "semantics-aarch64"];
    assert_eq!(names, [&["rbpf", "spec", "model"], &emulated[..], &["host"]].concat());
    for line in text.lines().filter(|line| !line.starts_with(' ')) {
        let rest = line.split_once(' ').expect("a status").1.trim();
        let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        assert!(status == "available" || status == "absent" && !reason.trim().is_empty(), "{line}");
    }
}

#[test]
fn emits_of_sve_run_under_qemu() {
    for form in ["bit_deposit", "bit_extract"] {
        let text = printed(&["check", form, "--states", "400", "--engines", "rbpf,qemu-aarch64"], 0);
        let of_aarch64 = text.lines().find(|line| line.contains("aarch64")).expect("a row");
        assert!(of_aarch64.starts_with("ok") && !text.contains("qemu-aarch64 does not run"), "{text}");
    }
}

#[test]
fn a_check_ends_with_a_summary() {
    let text = printed(&["check", "rotate", "--states", "4000", "--engines", EMULATED], 0);
    snapshot("check.txt", &normalised(&text));
}

#[test]
fn a_replay_names_what_is_corrupt() {
    let dir = scratch();
    let sound = fs::read(Path::new(ROOT).join("corpus/regressions/rotate/dst-is-rcx.kop")).expect("there");
    fs::write(dir.path().join("sound.kop"), sound).expect("writable");
    write(dir.path(), "unknown.kop", "# made up\nkop-case 1\noperation rotat\n");
    let text = printed(&["replay", text_of(dir.path()), "--engines", EMULATED], 2);
    snapshot("replay.txt", &text.replace(text_of(dir.path()), "DIR"));
}

#[test]
fn a_case_that_holds_shows_what_each_engine_says() {
    let file = "corpus/regressions/rotate/dst-is-rcx.kop";
    snapshot("repro.txt", &printed(&["repro", file, "--engines", EMULATED], 0));
}

/// A text program with maps, a Kop site and a second program.
const COUNT: &str = "harness/tests/files/count.s";

/// Programs that can be rewritten.
const IDIOMS: &str = "harness/tests/files/idioms.s";

/// An Ethernet frame with an IPv4 header of UDP.
const UDP: &str = "000000000000020000000001 0800 4500 0073 0000 4000 4011 b861 c0a80001 c0a800c7";

#[test]
fn run_shows_what_a_program_did() {
    let args =
        ["run", COUNT, "--prog", "count", "--packet", UDP, "--map", "counts:11000000=fe00000000000000", "-v"];
    let redirected =
        ["run", COUNT, "--prog", "count", "--packet", UDP, "--map", "counts:11000000=fe01000000000000"];
    let mut text = printed(&args, 0);
    text += &printed(&redirected, 0);
    text += &printed(&["run", COUNT, "--prog", "count"], 0);
    snapshot("run.txt", &text);
}

#[test]
fn engines_agree_on_a_run_and_say_so() {
    let args = ["run", COUNT, "--prog", "count", "--packet", UDP, "--all-engines"];
    let text = printed(&args, 0);
    for engine in ["unicorn-x86_64", "unicorn-aarch64"] {
        assert!(text.contains(&format!("{engine}: agrees\n")), "{text}");
    }
}

#[test]
fn maps_stay_from_packet_to_packet() {
    let mut capture =
        vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0];
    let packet = kop_harness::packets::hex(UDP).expect("it is hexadecimal");
    for _ in 0..2 {
        capture.extend([0; 8]);
        capture.extend([(packet.len() as u32).to_le_bytes(); 2].concat());
        capture.extend(&packet);
    }
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), capture).expect("it can be written");
    let args =
        ["run", COUNT, "--prog", "count", "--engine", "unicorn-x86_64", "--packet", text_of(file.path())];
    let text = printed(&args, 0);
    assert!(text.contains("packet 2: 34 bytes: TC_ACT_OK (0), 1 events\n"), "{text}");
    assert!(text.contains("  + 11 00 00 00 = 05 00 00 00 00 00 00 00\n"), "{text}");
}

#[test]
fn rewrite_shows_sites_and_near_misses() {
    let mut text = printed(&["rewrite", IDIOMS], 0);
    text += &printed(&["rewrite", IDIOMS, "--prog", "rotates", "--explain"], 0);
    text += &printed(&["rewrite", IDIOMS, "-o", "-"], 0);
    snapshot("rewrite.txt", &text);
    let dir = scratch();
    let out = dir.path().join("idioms.s");
    printed(&["rewrite", IDIOMS, "-o", text_of(&out)], 0);
    // What is written is a program file, and there is nothing left to do in it.
    let again = printed(&["rewrite", text_of(&out)], 0);
    assert!(
        again.lines().filter(|line| line.contains(" in place of ")).all(|line| line.contains(" 0 sites ")),
        "{again}"
    );
    printed(&["run", text_of(&out), "--prog", "rotates", "--all-engines"], 0);
}

#[test]
fn jit_shows_each_instruction_with_its_code() {
    let mut text = printed(&["jit", COUNT, "--prog", "many", "--arch", "x86_64", "--unguarded"], 0);
    text += &printed(&["jit", COUNT, "--prog", "many", "--arch", "aarch64", "--unguarded"], 0);
    snapshot("jit.txt", &text);
    let bin = kop(&["jit", COUNT, "--prog", "many", "--arch", "x86_64", "--unguarded", "--emit", "bin"]);
    assert_eq!((code(&bin), bin.stdout.last()), (0, Some(&0xc3)));
    let elf = kop(&["jit", COUNT, "--arch", "aarch64", "--emit", "elf"]);
    assert_eq!((code(&elf), elf.stdout.get(..4)), (0, Some(&b"\x7fELF"[..])));
}

/// A case of a whole program.
const CASE: &str = "corpus/regressions/programs/shift-by-zero-keeps-upper.program";

#[test]
fn a_case_of_a_program_is_replayed_as_it_is_said() {
    let said = refused(&["run", CASE]);
    assert!(said.contains("`kop replay FILE`"), "{said}");
    assert_eq!(printed(&["replay", CASE], 0), "1 replayed: 1 held, 0 diverged, 0 corrupt\n");
}

#[test]
fn what_cannot_be_run_is_told() {
    for (args, expected) in [
        (&["run", COUNT][..], "several programs, choose one with --prog NAME (it has count, many)"),
        (&["run", COUNT, "--prog", "x"], "no program `x` (it has count, many)"),
        (
            &["run", COUNT, "--prog", "count", "--packet", "0102"],
            "a packet of 2 bytes: tc programs take 14 to 3520 here",
        ),
        (
            &["run", COUNT, "--prog", "count", "--packet", "/no/file"],
            "neither bytes in hexadecimal nor a file",
        ),
        (&["run", COUNT, "--prog", "count", "--engine", "x"], "no engine `x` for programs (there are spec, "),
        (
            &["run", COUNT, "--prog", "count", "--ctx", "x=1"],
            "FIELD=NUMBER, where FIELD is one of ingress_ifindex",
        ),
        (&["run", COUNT, "--prog", "count", "--map", "x:00=00"], "no map `x` (it has counts, jumps, big)"),
        (&["run", "README.md"], "README.md: line "),
        (&["run", CASE], "shift-by-zero-keeps-upper.program: a case of a whole program, with its packet"),
        (&["jit", CASE], "no program file: `kop replay FILE` runs it on every engine"),
        (&["run", "no-such-file"], "no-such-file: No such file"),
        (&["run", "/dev/zero"], "/dev/zero: larger than 67108864 bytes"),
        (&["jit", COUNT, "--emit", "bin"], "several programs"),
        (&["rewrite", "README.md"], "README.md: "),
        (&["rewrite", CASE], "no program file: `kop replay FILE` runs it on every engine"),
        (&["rewrite", COUNT, "--prog", "none"], "no program `none`"),
        (&["rewrite", COUNT, "-o", "/no/such/folder/x"], "/no/such/folder/x: No such file"),
        (&["jit", COUNT, "-o", "/no/such/folder/x"], "/no/such/folder/x: No such file"),
        (&["run", COUNT, "--prog", "many", "--type", "xdp", "--map", "jumps:00000000=x"], "no program `x`"),
    ] {
        let said = refused(args);
        assert!(said.contains(expected) && said.lines().count() == 1, "{args:?}: {said}");
    }
}

#[test]
fn reproducers_run() {
    let file = "corpus/regressions/rotate/dst-is-rcx.kop";
    let rust = printed(&["repro", file, "--emit", "rust-test"], 0);
    assert!(rust.contains("#[test]") && rust.contains("operation rotate"), "{rust}");
    let dir = scratch();
    let source = write(dir.path(), "case.c", &printed(&["repro", file, "--emit", "c"], 0));
    let binary = dir.path().join("case");
    let compiled = Command::new("cc").arg("-o").arg(&binary).arg(&source).output();
    let compiled = compiled.expect("a C compiler is here: the build needs one");
    assert!(compiled.status.success(), "{}", stderr(&compiled));
    let ran = Command::new(&binary).output().expect("the reproducer runs");
    let agrees = if cfg!(target_arch = "x86_64") { 0 } else { 3 };
    assert_eq!(code(&ran), agrees, "{}{}", stdout(&ran), stderr(&ran));
}

#[test]
fn wrong_usage_ends_with_two() {
    let dir = scratch();
    let corrupt = write(dir.path(), "corrupt.kop", "kop-case 7\n");
    let missing = dir.path().join("missing.kop");
    let (corrupt, missing) = (text_of(&corrupt), text_of(&missing));
    for (args, said) in [
        (&["check", "rotat"][..], "unknown operation `rotat` (known: rotate"),
        (&["prove", "--jit", "rotate"], "'--jit' cannot be used with '[OP]...'"),
        (&["prove", "--jit", "--module", "any.c"], "cannot be used with"),
        (&["show", "rotat"], "unknown operation `rotat` (known: rotate"),
        (&["show", "rotate", "imm63"], "rotate has no form `imm63` (it has imm64"),
        (&["show", "rotate", "imm64", "amount=64"], "operand amount is 64, outside 0..=63"),
        (
            &["show", "rotate", "imm64", "dst=r3", "tmp=r3"],
            "dst=r3 tmp=r3: temporary tmp is also operand dst",
        ),
        (&["show", "rotate", "imm64", "dest=r1"], "no operand `dest` (it has dst"),
        (&["check", "--engines", "bochs"], "unknown engine `bochs` (known: rbpf"),
        (&["replay", "--engines", "bochs"], "unknown engine `bochs` (known: rbpf"),
        (&["check", "--arch", "sparc"], "unknown architecture `sparc` (x86_64 or aarch64)"),
        (&["check", "--states", "0"], "at least one state"),
        (&["check", "--time", "1d"], "unknown unit `d` (ms, s, m or h)"),
        (&["check", "--jobs", "0"], "0 is not in 1..=1024"),
        (&["repro", corrupt], "corrupt.kop: line 1, column 10: format version `7` is unknown"),
        (&["repro", corrupt, "--emit", "c"], "format version `7` is unknown"),
        (&["repro", missing], "missing.kop: cannot be read: No such file"),
        (&["repro", CASE], "a case of a whole program, with its packet"),
        (&["repro", missing, "--emit", "fortran"], "possible values: rust-test, c"),
        (&["frobnicate"], "unrecognized subcommand"),
        (&["new", "Rotate"], "write it in lower case"),
        (&["new", "match"], "keyword"),
        (&["new", "rotate"], "rotate.rs: is there already"),
        (&[], "Usage: kop <COMMAND>"),
    ] {
        let text = refused(args);
        assert!(text.contains(said), "{args:?}: {said:?} is missing from {text:?}");
        let own = text.starts_with("kop: ");
        assert!(!own || text.lines().count() == 1, "{args:?}: {text}");
    }
    let text = printed(&["replay", missing], 2);
    assert!(
        text.contains("missing.kop") && text.ends_with("1 replayed: 0 held, 0 diverged, 1 corrupt\n"),
        "{text}"
    );
}

#[test]
fn outputs_are_opened_before_the_work_starts() {
    let dir = scratch();
    let file = write(dir.path(), "file", "");
    let report = dir.path().join("missing/report.json");
    for args in [["--report", text_of(&report)], ["--save", text_of(&file)]] {
        let start = Instant::now();
        let text = refused(&[&["check", "--states", "1_000_000_000"], &args[..]].concat());
        assert!(text.starts_with("kop: /") && text.lines().count() == 1, "{text}");
        assert!(start.elapsed() < Duration::from_secs(20), "{args:?} took {:?}", start.elapsed());
    }
}

fn record(output: &Output) -> Record {
    assert_eq!(code(output), 0, "{}", stderr(output));
    Record::from_json(&stdout(output)).expect("a report of the schema kop-report/1")
}

#[test]
fn a_report_on_standard_output_stands_alone() {
    let output = kop(&["check", "select", "--states", "100", "--report", "-"]);
    let record = record(&output);
    assert!(stdout(&output).starts_with("{\n  \"schema\": \"kop-report/1\",\n"), "{}", stdout(&output));
    assert_eq!((record.verdict, record.ops.len()), (Verdict::Equivalent, 12));
    assert!(record.ops.iter().all(|row| row.states >= 100), "{:?}", record.ops);
    assert!(stderr(&output).contains("12 rows equivalent, 0 divergent, 0 untested\n"), "{}", stderr(&output));
}

#[test]
fn a_report_does_not_depend_on_the_number_of_threads() {
    let report = |jobs| {
        let args = ["check", "rotate", "swapped_load", "clmul", "--states", "300", "--seed", "7"];
        let output = kop(&[&args, &["--report", "-", "--jobs", jobs][..]].concat());
        let mut record = record(&output);
        assert_eq!(record.jobs.to_string(), jobs);
        let states: u64 = record.ops.iter().map(|row| row.states).sum();
        assert_eq!(record.rates.last().map(|rate| rate.states), Some(states));
        (record.elapsed_s, record.jobs) = (0.0, 0);
        record.rates.clear();
        record.to_json()
    };
    let one = report("1");
    assert_eq!(one, report("2"));
    assert_eq!(one, report("3"));
}

#[test]
fn one_state_is_a_check() {
    let record = record(&kop(&["check", "clmul", "--states", "1", "--report", "-"]));
    assert!(record.ops.iter().all(|row| row.states >= 1), "{:?}", record.ops);
}

#[test]
fn what_no_engine_compares_is_untested_and_no_failure() {
    for (engines, reason) in [("rbpf", "no engine here executes"), ("unicorn-aarch64", "")] {
        let args = ["check", "rotate", "--states", "50", "--engines", engines, "--report", "-"];
        let record = record(&kop(&args));
        assert_eq!(record.verdict, Verdict::Equivalent);
        for row in &record.ops {
            assert_eq!(row.verdict, RowVerdict::Untested, "{engines}: {row:?}");
            let said = row.untested.as_deref().unwrap_or_default();
            assert!(!said.is_empty() && said.contains(reason), "{engines}: {said:?}");
        }
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for args in [
        &["--help"][..],
        &["list"],
        &["show", "clmul"],
        &["engines"],
        &["man"],
        &["completions", "bash"],
        &["check", "select", "--states", "10"],
        &["check", "select", "--states", "10", "--report", "-"],
        &["repro", "corpus/regressions/rotate/dst-is-rcx.kop"],
        &["repro", "corpus/regressions/rotate/dst-is-rcx.kop", "--emit", "c"],
    ] {
        let mut child =
            command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kop runs");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("kop ends");
        let said = stderr(&output);
        assert!(code(&output) == 0 && !said.contains("panicked"), "{args:?}: {said}");
    }
    // Standard error as well.
    let mut child = command(&["check", "select", "--states", "10", "--report", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kop runs");
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().expect("kop ends").code(), Some(0));
}

#[test]
fn a_full_disk_is_named() {
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    for args in [&["list"][..], &["completions", "bash"], &["man"]] {
        let output = command(args).stdout(full()).output().expect("kop runs");
        let said = stderr(&output);
        assert_eq!(code(&output), 2, "{args:?}: {said}");
        assert!(said.starts_with("kop: standard output: No space left"), "{args:?}: {said}");
    }
}
