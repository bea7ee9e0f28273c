// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop bench` as a person runs it, with one short round: that results are checked, what it says of what is missing, and its records.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use kop_reports::{Bench, BenchProgram, Group, Measure};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A program that loops over its packet's first eight bytes.
const SOURCE: &str = r#"
typedef unsigned int u32;
typedef unsigned long long u64;
struct xdp_md { u32 data, data_end; };
__attribute__((section("xdp"), used)) int spin(struct xdp_md *ctx)
{
	u32 *word = (void *)(u64)ctx->data, sum = 0;

	if ((void *)(word + 2) > (void *)(u64)ctx->data_end)
		return 0;
	sum = word[0];
	_Pragma("clang loop unroll(disable)")
	for (int i = 0; i < 500; i++)
		sum = (sum << 7 | sum >> 25) * 5 + word[1];
	return sum;
}
char _license[] __attribute__((section("license"), used)) = "GPL";
"#;

/// What `SOURCE` returns for a packet whose first words are these.
fn spin(first: u32, second: u32) -> u32 {
    (0..500).fold(first, |sum, _| sum.rotate_left(7).wrapping_mul(5).wrapping_add(second))
}

fn kop(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kop"));
    command.arg("bench").arg("--quick").args(arguments).current_dir(ROOT);
    command
}

fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("kop runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code().expect("an exit code"), text(stdout), text(stderr))
}

fn bench(arguments: &[&str]) -> Bench {
    let (code, stdout, stderr) = run(kop(arguments).args(["--report", "-"]));
    assert_eq!(code, 0, "{stdout}{stderr}");
    Bench::from_json(&stdout).expect("a record")
}

/// A folder with `SOURCE`, a packet, and what is said to be expected.
fn folder(result: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    let file = |name: &str| folder.path().join(name);
    let mut packet = vec![0; 64];
    packet[..8].copy_from_slice(&[1, 0, 0, 0, 9, 0, 0, 0]);
    fs::write(file("spin.bpf.c"), SOURCE).expect("a file");
    fs::write(file("spin.bin"), packet).expect("a file");
    fs::write(file("spin.expect"), format!("result {result}\n")).expect("a file");
    folder
}

fn path(folder: &Path) -> &str {
    folder.to_str().expect("text")
}

fn has_time(bench: &Bench, program: &BenchProgram, backend: &str) -> bool {
    let index = bench.backends.iter().position(|known| known.name == backend).expect("a backend");
    program.cells[index].fixed.is_some()
}

#[test]
fn programs_without_maps_are_timed_on_every_backend_that_is_here() {
    let bench = bench(&["--filter", "^(sieve|call_compare)$"]);
    let names: Vec<&str> = bench.programs.iter().map(|program| program.name.as_str()).collect();
    assert_eq!(names, ["call_compare", "sieve"]);
    assert_eq!(
        bench.programs.iter().map(|program| program.group).collect::<Vec<_>>(),
        [Group::Calls, Group::Plain]
    );
    for (index, backend) in bench.backends.iter().enumerate().filter(|(_, backend)| backend.absent.is_none())
    {
        for program in &bench.programs {
            let cell = &program.cells[index];
            assert!(
                cell.fixed.is_some() && cell.code_bytes > Some(20),
                "{} on {}: {cell:?}",
                program.name,
                backend.name
            );
            assert_eq!(cell.rotating.is_some(), backend.name != "kernel", "{}", backend.name);
        }
    }
    assert!(has_time(&bench, &bench.programs[1], "jit") && has_time(&bench, &bench.programs[1], "clang"));
    let ours = ["kops", "kops-simd", "kops-profile", "native-tier", "llvm-tier", "auto"];
    assert!(ours.iter().all(|name| has_time(&bench, &bench.programs[1], name)));
    assert!(bench.mean(Group::Plain, 3, Measure::Rotating).is_some());
}

#[test]
fn programs_with_maps_are_timed_over_their_traffic() {
    let bench = bench(&["--suite", "apps", "--filter", "l4_balancer|flow_sampler"]);
    assert_eq!(bench.programs.len(), 2);
    for program in &bench.programs {
        assert_eq!((program.group, program.packets), (Group::Traffic, 128));
        assert!(has_time(&bench, program, "jit") && has_time(&bench, program, "jit-guarded"), "{program:?}");
        assert!(!has_time(&bench, program, "kernel"));
        // Both hash the addresses of packets.
        let kops = bench.backends.iter().position(|backend| backend.name == "kops").expect("it is listed");
        let cell = &program.cells[kops];
        let rotate = cell.operations.iter().find(|one| one.operation == "rotate").expect("it is rewritten");
        assert!(rotate.sites > 5 && rotate.replaced >= 3 * rotate.sites, "{rotate:?}");
        assert!(rotate.fixed.is_some() && cell.rewrite_ns.is_some(), "{cell:?}");
        assert!(has_time(&bench, program, "kops-simd"), "{program:?}");
    }
}

#[test]
fn what_operations_bring_is_measured() {
    let bench = bench(&["--filter", "^siphash$"]);
    let kops = bench.backends.iter().position(|backend| backend.name == "kops").expect("it is listed");
    let operations = &bench.programs[0].cells[kops].operations;
    assert!(!operations.is_empty());
    for one in operations {
        assert!(one.sites > 0 && one.fixed.is_some() && one.rotating.is_some(), "{one:?}");
    }
    assert!(bench.text().contains("operations of kops"), "{}", bench.text());
}

#[test]
fn a_folder_of_ones_own_is_a_suite_in_c_or_compiled() {
    let folder = folder(spin(1, 9));
    let suite = ["--suite", path(folder.path())];
    assert!(has_time(&bench(&suite), &bench(&suite).programs[0], "clang"));
    let (source, object) = (folder.path().join("spin.bpf.c"), folder.path().join("spin.o"));
    let made = Command::new("clang")
        .args(["-O2", "-target", "bpf", "-c"])
        .arg(&source)
        .arg("-o")
        .arg(&object)
        .status();
    assert!(made.expect("clang runs").success());
    fs::remove_file(source).expect("it is there");
    let (code, stdout, stderr) = run(kop(&suite).args(["--report", "-"]).env("PATH", "/nowhere"));
    assert_eq!(code, 0, "{stderr}");
    let bench = Bench::from_json(&stdout).expect("a record");
    assert!(has_time(&bench, &bench.programs[0], "jit") && !has_time(&bench, &bench.programs[0], "clang"));
}

#[test]
fn a_wrong_result_is_a_failure_and_no_time() {
    let folder = folder(spin(1, 9) ^ 1);
    let (code, stdout, stderr) = run(&mut kop(&["--suite", path(folder.path())]));
    assert_eq!(code, 1, "{stdout}{stderr}");
    let wanted = format!("FAILED spin on spec: it returns {}, {} is expected", spin(1, 9), spin(1, 9) ^ 1);
    assert!(stdout.contains(&wanted), "{stdout}");
}

#[test]
fn what_is_missing_is_said_in_one_line() {
    let of_c = folder(spin(1, 9));
    let empty = tempfile::tempdir().expect("a directory");
    let broken = tempfile::tempdir().expect("a directory");
    fs::write(broken.path().join("a.bpf.c"), "int f(void) { return x; }").expect("a file");
    let wrong = tempfile::tempdir().expect("a directory");
    fs::write(wrong.path().join("a.o"), "no object").expect("a file");
    let suite = |folder: &tempfile::TempDir| ["--suite".to_owned(), path(folder.path()).to_owned()];
    for (arguments, search, code, part) in [
        (suite(&of_c), "/nowhere", 3, "clang, which compiles it, is not installed"),
        (suite(&empty), "", 2, "there is no program here"),
        (suite(&broken), "", 2, "undeclared identifier"),
        (suite(&wrong), "", 2, "a.o: "),
        (["--suite".to_owned(), "/nowhere".to_owned()], "", 2, "/nowhere: "),
        (["--filter".to_owned(), "(".to_owned()], "", 2, "--filter"),
        (["--filter".to_owned(), "^no such program$".to_owned()], "", 2, "--filter leaves no program"),
        (["--report".to_owned(), "/nowhere/file.json".to_owned()], "", 2, "/nowhere/file.json"),
    ] {
        let mut command = kop(&[]);
        command.args(&arguments);
        if !search.is_empty() {
            command.env("PATH", search);
        }
        let (found, stdout, stderr) = run(&mut command);
        assert_eq!((found, stdout.as_str()), (code, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(part), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn renderings_are_written_side_by_side() {
    let folder = folder(spin(1, 9));
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (json, html, markdown) = (file("b.json"), file("b.html"), file("b.md"));
    let suite = ["--suite", path(folder.path()), "--report", &json, "--html", &html, "--markdown", &markdown];
    let (code, stdout, stderr) = run(&mut kop(&suite));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("geometric mean"), "{stdout}");
    let read = |path: &str| fs::read_to_string(path).expect("it was written");
    let bench = Bench::from_json(&read(&json)).expect("a record");
    assert_eq!((read(&html), read(&markdown)), (bench.html(), bench.markdown()));
}
