// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop campaign`: killed, resumed, divided among machines and merged, it knows what an undisturbed run knows.

#![cfg(feature = "text")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kop_harness::campaign::state::{Line, State, Unit};
use kop_harness::campaign::{self, Build, Limits, Shard, Store, StoreError, Subject, Watch, store};
use kop_harness::case::load_tree;
use kop_harness::check::{Quiet, Settings, check};
use kop_harness::program::text;
use kop_harness::reports::{Record, Verdict};
use kop_harness::{Rig, Scope, describe, selection};
use kop_ops::choices::{Choices, Seeded};
use kop_ops::{Catalog, Kop};

/// The engines that are the same everywhere and start quickly.
const ENGINES: &str = "rbpf,spec,unicorn-x86_64,unicorn-aarch64";

/// An operation with three mistakes: one emit takes operands for each other, two take every odd bit for the one below.
const FAULTY: &str = r#"
name = "and_not"
summary = "and with the inverse of a register"

[[form]]
name = "reg64"
meaning = "dst = a & ~b"
proof = """
    {tmp} = {b}
    {tmp} ^= -1
    {tmp} &= {a}
    {dst} = {tmp}
"""
aarch64 = "bic {dst}, {b}, {a}"
x86_64 = """
    mov r11, {b}
    not r11
    and r11, {a}
    mov {dst}, r11
"""

[form.operands]
dst = "destination"
a = "source"
b = "source"
tmp = "temporary"

[[form]]
name = "imm64"
meaning = "dst &= ~(1 << bit)"
proof = """
    {tmp} = {1 << bit} ll
    {tmp} ^= -1
    {dst} &= {tmp}
"""
x86_64 = "btr {dst}, {bit & 62}"
aarch64 = "and {dst}, {dst}, #{~(1 << (bit & 62))}"

[form.operands]
dst = "in-place"
tmp = "temporary"
bit = { min = 0, max = 63 }
"#;

struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { dir: tempfile::tempdir().expect("a temporary directory") };
        fs::write(desk.at("and_not.kop.toml"), FAULTY).expect("writable");
        desk
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn kop(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kop"));
        command.args(args).current_dir(self.dir.path()).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A campaign about the faulty operation alone.
    fn campaign(&self, dir: &str, more: &[&str]) -> Command {
        let mut command = self.kop(&["campaign", "--file", "and_not.kop.toml", "--no-programs"]);
        command.args(["--engines", ENGINES, "--states", "200", "--dir", dir]).args(more);
        command
    }

    /// The record that a campaign ends with.
    fn ends(&self, dir: &str, more: &[&str], code: i32) -> Record {
        let output = self.campaign(dir, more).output().expect("kop runs");
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        self.report(dir)
    }

    fn report(&self, dir: &str) -> Record {
        let json = fs::read_to_string(self.at(dir).join("report.json")).expect("a report");
        Record::from_json(&json).expect("a record")
    }

    /// What a campaign knows, as it must be after every run of the same units.
    fn knows(&self, dir: &str) -> Known {
        let record = self.report(dir);
        let rows = record.ops.iter().map(|row| {
            let found = row.divergences.iter().map(|found| {
                let case = found.case.as_deref().expect("every finding has a case");
                let name = Path::new(case).file_name().expect("a file").to_string_lossy().into_owned();
                (name, found.occurrences)
            });
            let counts = [row.states, row.payloads, row.payloads_inspected];
            let key = format!("{} {} {}", row.name, row.form, row.arch);
            (key, (counts, row.classes.clone(), found.collect()))
        });
        rows.collect()
    }

    /// The names of the cases, each of which is read.
    fn cases(&self, dir: &str) -> BTreeSet<String> {
        let kops = kop_modules::text::load(&self.at("and_not.kop.toml")).expect("an operation");
        let catalog = kops.iter().fold(Catalog::einsn(), |catalog, kop| catalog.and(kop as &dyn Kop));
        let findings = store::findings(&self.at(dir));
        let cases = load_tree(&[&findings], &catalog).into_iter().map(|(path, case)| {
            case.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            path
        });
        let programs = text::load_tree(&[&findings]).into_iter().map(|(path, case)| {
            case.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            path
        });
        let name = |path: PathBuf| path.strip_prefix(&findings).expect("below").display().to_string();
        cases.chain(programs).map(name).collect()
    }

    /// The lines of the journal.
    fn lines(&self, dir: &str) -> Vec<Line> {
        let entries = fs::read_dir(self.at(dir)).expect("readable").flatten();
        let journal =
            entries.map(|entry| entry.path()).find(|path| path.to_string_lossy().contains("journal."));
        let text = fs::read_to_string(journal.expect("a journal")).expect("text");
        text.lines()
            .map(|line| serde_json::from_str(&line[17..]).expect("JSON behind the checksum"))
            .collect()
    }
}

/// For each row its counts, its classes, and its findings with how often they occurred.
type Known = BTreeMap<String, ([u64; 3], BTreeMap<String, u64>, BTreeMap<String, u64>)>;

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Opens a directory that is there; a child of another test may hold its lock until it has become `kop`.
fn open(dir: &Path) -> Store {
    loop {
        match Store::open(dir, || unreachable!("it is there")) {
            Err(StoreError::Locked(..)) => std::thread::sleep(Duration::from_millis(1)),
            opened => return opened.expect("it is sound"),
        }
    }
}

/// Waits for something to become true.
fn until(what: &str, is_true: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

/// The units that the journal says are done, each as often as it says so.
fn units(lines: &[Line]) -> Vec<(String, u64)> {
    let unit = |line: &Line| match line {
        Line::Unit(unit) => Some((unit.subject.clone(), unit.n)),
        _ => None,
    };
    lines.iter().filter_map(unit).collect()
}

#[test]
fn killed_at_any_moment_it_knows_what_an_undisturbed_run_knows() {
    const ROUNDS: &str = "25";
    const UNITS: usize = 50;
    const KILLS: usize = 36;
    let desk = Desk::new();
    let start = Instant::now();
    let record = desk.ends("calm", &["--rounds", ROUNDS, "--jobs", "2"], 1);
    let calm = start.elapsed();
    assert_eq!(record.verdict, Verdict::Divergent);
    let expected = (desk.knows("calm"), desk.cases("calm"));
    assert!(expected.1.len() >= 3, "{:?}", expected.1);
    let mut choices = Seeded::new(0x6b69_6c6c);
    let (mut kills, mut directories, mut cut_in_work) = (0, 0, 0);
    while kills < KILLS {
        directories += 1;
        let dir = format!("killed{directories}");
        loop {
            let mut child =
                desk.campaign(&dir, &["--rounds", ROUNDS, "--jobs", "2"]).spawn().expect("kop runs");
            std::thread::sleep(Duration::from_micros(choices.below(calm.as_micros() as u64 / 4)));
            if child.try_wait().expect("a child").is_some() {
                break;
            }
            child.kill().expect("it is our child");
            child.wait().expect("a child");
            kills += 1;
            if let Ok(state) = store::read(&desk.at(&dir)) {
                cut_in_work += usize::from((1..UNITS as u64).contains(&state.units()));
            }
        }
        desk.ends(&dir, &["--rounds", ROUNDS, "--jobs", "2"], 1);
        let done = units(&desk.lines(&dir));
        let distinct: BTreeSet<_> = done.iter().collect();
        assert_eq!((done.len(), distinct.len()), (UNITS, UNITS), "a unit is done once");
        assert_eq!((desk.knows(&dir), desk.cases(&dir)), expected, "{dir} after {kills} kills");
        assert!(store::read(&desk.at(&dir)).expect("sound").found.values().all(|found| found.minimised));
    }
    // Kills that came before the first unit or after the last prove little.
    assert!(cut_in_work >= KILLS / 3, "{cut_in_work} of {kills}");
}

#[test]
fn cut_at_any_byte_of_its_tail_the_journal_gives_what_whole_lines_say() {
    let desk = Desk::new();
    desk.ends("whole", &["--rounds", "4"], 1);
    let expected = (desk.knows("whole"), desk.cases("whole"));
    let journal = fs::read(desk.at("whole/journal.0")).expect("a journal");
    let ends: Vec<usize> = (0..journal.len()).filter(|&at| journal[at] == b'\n').map(|at| at + 1).collect();
    let tail = ends[ends.len() - 5].max(journal.len() - 1500);
    let cut = |dir: &str, length: usize| {
        let dir = desk.at(dir);
        fs::create_dir_all(&dir).expect("writable");
        fs::copy(desk.at("whole/state.json"), dir.join("state.json")).expect("writable");
        fs::write(dir.join("journal.0"), &journal[..length]).expect("writable");
    };
    let lines: BTreeMap<usize, State> = ends
        .iter()
        .map(|&end| {
            cut("cut", end);
            (end, store::read(&desk.at("cut")).expect("whole lines are sound"))
        })
        .collect();
    for length in tail..=journal.len() {
        cut("cut", length);
        let end = *ends.iter().rfind(|end| **end <= length).expect("the tail is not all");
        assert_eq!(open(&desk.at("cut")).state(), &lines[&end], "{length} bytes");
        assert_eq!(fs::metadata(desk.at("cut/journal.0")).expect("it is there").len(), end as u64);
    }
    // And it goes on from there.
    let mut choices = Seeded::new(1);
    for length in (0..6).map(|_| choices.below(journal.len() as u64) as usize) {
        cut("resumed", length);
        // Cases are on disk before the journal says so.
        for case in &expected.1 {
            let (from, to) = (desk.at("whole/findings").join(case), desk.at("resumed/findings").join(case));
            fs::create_dir_all(to.parent().expect("a folder")).expect("writable");
            fs::copy(from, to).expect("writable");
        }
        desk.ends("resumed", &["--rounds", "4"], 1);
        assert_eq!((desk.knows("resumed"), desk.cases("resumed")), expected, "{length} bytes");
        fs::remove_dir_all(desk.at("resumed")).expect("removable");
    }
}

#[test]
fn threads_do_not_matter() {
    let desk = Desk::new();
    desk.ends("one", &["--rounds", "12", "--jobs", "1"], 1);
    desk.ends("three", &["--rounds", "12", "--jobs", "3"], 1);
    assert_eq!(desk.knows("one"), desk.knows("three"));
}

#[test]
fn shards_merged_in_any_order_and_twice_are_the_whole() {
    let desk = Desk::new();
    desk.ends("whole", &["--rounds", "15"], 1);
    let parts = ["0/3", "1/3", "2/3"];
    for (index, shard) in parts.iter().enumerate() {
        let output = desk.campaign(&format!("part{index}"), &["--rounds", "15", "--shard", shard]).output();
        assert!(matches!(output.expect("kop runs").status.code(), Some(0 | 1)));
    }
    let merge = |dirs: &[&str], into: &str| {
        let output = desk.kop(&["merge"]).args(dirs).args(["--into", into]).output().expect("kop runs");
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        store::read(&desk.at(into)).expect("a campaign")
    };
    let known = |mut state: State| {
        // How often a directory was written is its own.
        state.generation = 0;
        state
    };
    let merged = merge(&["part0", "part1", "part2"], "merged");
    for (number, order) in [["part2", "part0", "part1"], ["part1", "part2", "part0"]].iter().enumerate() {
        let into = format!("again{number}");
        assert_eq!(known(merge(order, &into)), known(merged.clone()), "{order:?}");
    }
    let before = fs::read(desk.at("merged/state.json")).expect("a state");
    assert_eq!(merge(&["part1", "merged", "part0"], "merged"), merged);
    assert_eq!(fs::read(desk.at("merged/state.json")).expect("a state"), before);
    // By pairs, too.
    merge(&["part0", "part1"], "pair");
    assert_eq!(known(merge(&["part2", "pair", "part1"], "pair")), known(merged));
    // Nothing is left to be done, so that this writes the report.
    desk.ends("merged", &["--rounds", "15", "--shard", "1/3"], 1);
    assert_eq!(desk.knows("merged"), desk.knows("whole"));
    assert_eq!(desk.cases("merged"), desk.cases("whole"));
}

#[test]
fn other_campaigns_are_refused_in_one_line() {
    let desk = Desk::new();
    desk.ends("a", &["--rounds", "1"], 1);
    desk.ends("seed", &["--rounds", "1", "--seed", "9"], 1);
    let _ = desk.campaign("shard", &["--rounds", "2", "--shard", "0/2"]).output();
    fs::create_dir(desk.at("schema")).expect("writable");
    fs::write(desk.at("schema/state.json"), r#"{"schema":"kop-campaign/7"}"#).expect("writable");
    let refused = |command: &mut Command, code: i32, expected: &str| {
        let output = command.output().expect("kop runs");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert!(error.contains(expected) && error.lines().count() == 1, "{error}");
    };
    for (other, expected) in [
        ("seed", "another campaign than a: its seed is 9, not 0"),
        ("shard", "another campaign than a: its number of shards is 2, not 1"),
        ("schema", "a campaign of the schema \"kop-campaign/7\""),
        ("nowhere", "nowhere/state.json: No such file"),
    ] {
        refused(&mut desk.kop(&["merge", "a", other, "--into", "into"]), 2, expected);
    }
    refused(&mut desk.campaign("a", &["--seed", "4"]), 2, "--seed is 0 there, not 4");
    refused(&mut desk.campaign("a", &["--shard", "0/2"]), 2, "divided into 1 shards, not 2");
    let output = desk.campaign("a", &["--shard", "2/2"]).output().expect("kop runs");
    assert!(
        output.status.code() == Some(2) && said(&output).contains("`2/2` is no shard"),
        "{}",
        said(&output)
    );
}

#[test]
fn one_process_has_a_directory_and_ctrl_c_ends_it_cleanly() {
    let desk = Desk::new();
    let first = desk.campaign("shared", &[]).spawn().expect("kop runs");
    until("the first unit", || store::read(&desk.at("shared")).is_ok_and(|state| state.units() > 0));
    let second = desk.campaign("shared", &["--rounds", "1"]).output().expect("kop runs");
    let error = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!((second.status.code(), error.lines().count()), (Some(3), 1), "{error}");
    assert!(
        error.contains(&format!("shared: in use by another campaign (process {})", first.id())),
        "{error}"
    );
    interrupt(&first);
    let output = first.wait_with_output().expect("a child");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        told.contains("the same command goes on from here: kop campaign --file and_not.kop.toml"),
        "{told}"
    );
    let units = store::read(&desk.at("shared")).expect("a campaign").units();
    let status = desk.kop(&["campaign", "--dir", "shared", "--status"]).output().expect("kop runs");
    let status = said(&status);
    assert!(
        status.contains("  memory     ") && status.contains(&format!("  units      {units}")),
        "{status}"
    );
}

#[test]
fn programs_show_an_operation_that_is_wrong_in_them() {
    let desk = Desk::new();
    let mut command = desk.kop(&["campaign", "--file", "and_not.kop.toml", "--states", "500"]);
    command.args([
        "--engines",
        "rbpf,spec,unicorn-x86_64,unicorn-aarch64",
        "--rounds",
        "1",
        "--dir",
        "programs",
    ]);
    let output = command.output().expect("kop runs");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let record = desk.report("programs");
    let names: BTreeSet<&str> = record.ops.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["and_not", "jit_instruction", "program"]));
    let instructions = record.ops.iter().filter(|row| row.name == "jit_instruction");
    assert!(instructions.clone().count() > 200 && instructions.clone().all(|row| row.divergences.is_empty()));
    assert!(instructions.clone().all(|row| row.states > 0), "every instruction ran on both architectures");
    desk.cases("programs");
}

/// The settings of a campaign in this process, on one thread.
fn settings() -> Settings {
    let engines = selection::by_names(ENGINES.split(',')).expect("they are here");
    Settings { engines, jobs: 1, ..Settings::default() }
}

#[test]
fn another_build_neither_goes_on_nor_is_merged() {
    let desk = Desk::new();
    desk.ends("a", &["--rounds", "1"], 1);
    fs::create_dir(desk.at("b")).expect("writable");
    let known = store::read(&desk.at("a")).expect("a campaign");
    let as_of = |build: Build| {
        let state = State { build, ..State::new(0, 200, Build::default()) };
        fs::write(desk.at("b/state.json"), state.to_json()).expect("writable");
    };
    let refused = |command: &mut Command, expected: &str| {
        let output = command.output().expect("kop runs");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), error.lines().count()), (Some(2), 1), "{error}");
        assert!(error.contains(expected), "{error}");
    };
    as_of(Build { executable: "0123".to_owned(), ..known.build.clone() });
    refused(&mut desk.campaign("b", &["--rounds", "1"]), "b: made by another build, of the same version");
    refused(
        &mut desk.kop(&["merge", "a", "b", "--into", "c"]),
        "b: made by another build than a, of the same",
    );
    assert!(!desk.at("c").exists());
    // A machine of another architecture has another executable, and its shard is a part of the same campaign.
    as_of(Build { executable: "0123".to_owned(), host: "other".to_owned(), ..known.build });
    let merged = desk.kop(&["merge", "a", "b", "--into", "c"]).output().expect("kop runs");
    assert_eq!(merged.status.code(), Some(1), "{}", said(&merged));
    fs::write(desk.at("and_not.kop.toml"), FAULTY.replace("bit & 62", "bit")).expect("writable");
    refused(
        &mut desk.campaign("a", &["--rounds", "1"]),
        "take another directory; `kop replay a/findings` shows",
    );
    let status = desk.kop(&["campaign", "--dir", "a", "--status"]).output().expect("kop runs");
    assert!(said(&status).contains("  build      kop "), "{}", said(&status));
}

#[test]
fn on_a_full_disk_it_ends_with_one_line_and_goes_on_when_there_is_room() {
    const ROUNDS: [&str; 4] = ["--rounds", "25", "--jobs", "2"];
    let desk = Desk::new();
    desk.ends("calm", &ROUNDS, 1);
    // Once it has begun, no file may be longer than the journal and three bytes: a line is cut, or a case.
    let kop = desk.campaign("full", &ROUNDS);
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(kop.get_program()).args(kop.get_args());
    limited.current_dir(desk.dir.path()).env("NO_COLOR", "1").stdin(Stdio::null());
    let child = limited.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a shell");
    let units = || store::read(&desk.at("full")).map_or(0, |state| state.units());
    until("the first units", || units() > 3);
    let most = fs::metadata(desk.at("full/journal.0")).expect("a journal").len() + 3;
    let set = Command::new("prlimit")
        .args([format!("--pid={}", child.id()), format!("--fsize={most}:{most}")])
        .status();
    assert!(set.expect("prlimit (util-linux) runs").success());
    let output = child.wait_with_output().expect("a child");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = error.lines().last().unwrap_or_default();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(last.starts_with("kop: full") && last.contains(": File too large (os error 27)"), "{error}");
    assert!((1..50).contains(&units()), "{} units", units());
    desk.ends("full", &ROUNDS, 1);
    assert_eq!((desk.knows("full"), desk.cases("full")), (desk.knows("calm"), desk.cases("calm")));
}

#[test]
fn what_is_no_directory_is_one_line() {
    let desk = Desk::new();
    let file = desk.campaign("and_not.kop.toml", &[]).output().expect("kop runs");
    assert_eq!(file.status.code(), Some(2));
    assert_eq!(said(&file), "kop: and_not.kop.toml: Not a directory (os error 20)\n");
    let proc = desk.campaign("/proc/campaign", &[]).output().expect("kop runs");
    assert_eq!((proc.status.code(), said(&proc).lines().count()), (Some(2), 1), "{}", said(&proc));
}

#[test]
fn making_cases_small_ends_with_the_time_and_is_done_after_the_next_start() {
    /// Takes a while after a unit, so that the time is over when its findings are there.
    struct Slow(Duration);
    impl Watch for Slow {
        fn unit(&self, _subject: &Subject, _unit: &Unit, _state: &State) {
            std::thread::sleep(self.0);
        }
    }
    let desk = Desk::new();
    let kops = kop_modules::text::load(&desk.at("and_not.kop.toml")).expect("an operation");
    let catalog = kops.iter().fold(Catalog::empty(), |catalog, kop| catalog.and(kop as &dyn Kop));
    let subjects = Subject::list(&catalog, false);
    let mut store = Store::open(&desk.at("dir"), || State::new(0, 200, Build::default())).expect("it is new");
    let mut run = |limits, pause| {
        let shard = Shard::default();
        campaign::run(&mut store, &catalog, &subjects, &settings(), shard, limits, &Slow(pause))
            .expect("it runs");
        let found = store.state().found.values();
        (found.clone().count(), found.filter(|found| found.minimised).count())
    };
    let time = Duration::from_secs(3);
    let (found, small) = run(Limits { time: Some(time), rounds: None }, time);
    assert!(found > 0 && small == 0, "{small} of {found}");
    let (found, small) = run(Limits { time: None, rounds: Some(1) }, Duration::ZERO);
    assert!(found > 0 && small == found, "{small} of {found}");
    // One that is begun is given up.
    let checked =
        check(&catalog, &Settings { states: 200, ..settings() }, &Quiet, &|_, _, _| {}).expect("engines");
    let (kop, form, finding) = checked.findings().find(|found| found.2.run.is_some()).expect("a finding");
    let mut rig = Rig::new(&settings().engines).expect("engines");
    let tries = std::cell::Cell::new(0);
    let stop = || tries.replace(tries.get() + 1) == 3;
    assert!(describe::minimised(&mut rig, kop, form, finding, &Scope::default(), &stop).is_none());
    assert!(describe::minimised(&mut rig, kop, form, finding, &Scope::default(), &|| false).is_some());
}

#[test]
fn time_goes_where_new_behaviour_comes_from_and_nobody_is_forgotten() {
    /// Ends it after so many units.
    struct Units(AtomicUsize);
    impl Watch for Units {
        fn unit(&self, _subject: &Subject, _unit: &Unit, _state: &State) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }

        fn is_interrupted(&self) -> bool {
            self.0.load(Ordering::Relaxed) == 0
        }
    }
    let catalog = Catalog::einsn();
    // A form whose few behaviours are soon seen, and programs, which have new ones for hours.
    let all = Subject::list(&catalog, true);
    let named = |name: &str| all.iter().find(|subject| subject.to_string() == name).expect(name).clone();
    let subjects = [named("count_zeros trailing32"), named("program xdp sound")];
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut store = Store::open(dir.path(), || State::new(1, 500, Build::default())).expect("it is new");
    let (limits, watch) = (Limits::default(), Units(AtomicUsize::new(900)));
    campaign::run(&mut store, &catalog, &subjects, &settings(), Shard::default(), limits, &watch)
        .expect("it runs");
    let text = fs::read_to_string(dir.path().join("journal.0")).expect("a journal");
    let lines = text.lines().map(|line| serde_json::from_str(&line[17..]).expect("JSON behind the checksum"));
    let done: Vec<Box<Unit>> = lines
        .filter_map(|line| match line {
            Line::Unit(unit) => Some(unit),
            _ => None,
        })
        .collect();
    let late = &done[450..];
    let of = |subject: &Subject, value: fn(&Unit) -> u64| -> u64 {
        late.iter().filter(|unit| unit.subject == subject.to_string()).map(|unit| value(unit)).sum()
    };
    let [dry, fruitful] = &subjects;
    let new = |subject: &Subject| of(subject, |unit| unit.new.len() as u64);
    let time = |subject: &Subject| of(subject, |unit| unit.took_us);
    let longest = late.iter().map(|unit| unit.took_us).max().unwrap_or(0);
    let told =
        format!("new {} and {}, us {} and {}, {longest}", new(dry), new(fruitful), time(dry), time(fruitful));
    assert!(new(fruitful) > 10 * new(dry).max(1), "{told}");
    assert!(time(fruitful) > 2 * time(dry), "{told}");
    // A subject without any yield has a twentieth of what the best one has, to within a unit of each.
    assert!(21 * (time(dry) + longest) + longest > time(fruitful), "{told}");
    assert!(late.iter().any(|unit| unit.subject == dry.to_string()), "{told}");
}
