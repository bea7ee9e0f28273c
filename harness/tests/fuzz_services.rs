// SPDX-License-Identifier: GPL-2.0-or-later
//! The projects for ClusterFuzzLite and OSS-Fuzz: one build for both, and what keeps it from starting is one line. What it builds is
//! run by `scripts/fuzz-services`, which `make test` calls.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

const PROJECTS: [&str; 2] = [".clusterfuzzlite", "oss-fuzz/projects/kop"];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The lines that are no comment.
fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

#[test]
fn both_projects_are_built_by_one_script_and_hold_no_logic() {
    for project in PROJECTS {
        let build = read(&format!("{project}/build.sh"));
        assert_eq!(lines(&build), ["exec \"$SRC/kop/scripts/fuzz-out\""], "{project}");
        let image = read(&format!("{project}/Dockerfile"));
        let image = lines(&image);
        assert_eq!(image[0], "FROM gcr.io/oss-fuzz-base/base-builder-rust", "{project}");
        // Where build.sh of both looks for the sources.
        assert!(
            image.contains(&"WORKDIR $SRC/kop") && image.contains(&"RUN scripts/deps --fuzz"),
            "{image:?}"
        );
        let fetches = |line: &&&str| ["curl", "wget", "ADD "].iter().any(|word| line.contains(word));
        assert_eq!(image.iter().find(fetches), None, "{project}");
        let settings = read(&format!("{project}/project.yaml"));
        for line in ["language: rust", "sanitizers:", "  - address", "fuzzing_engines:", "  - libfuzzer"] {
            assert!(lines(&settings).contains(&line), "{project}: {line}");
        }
    }
    let addresses = |text: &str| text.split_whitespace().filter(|word| word.contains("kop.git")).count();
    assert_eq!(
        addresses(&read("oss-fuzz/projects/kop/project.yaml")),
        1,
        "OSS-Fuzz has to know the repository"
    );
}

#[test]
fn workflows_take_the_project_as_it_is() {
    for (name, mode) in [("cflite-pr", "mode: code-change"), ("cflite-batch", "mode: batch")] {
        let text = read(&format!(".github/workflows/{name}.yml"));
        for part in [
            "actions/build_fuzzers@v1",
            "actions/run_fuzzers@v1",
            "language: rust",
            "sanitizer: address",
            mode,
        ] {
            assert!(text.contains(part), "{name}: {part}");
        }
        assert!(!text.contains("run:"), "{name} has commands");
    }
}

/// Runs the script that builds, with these variables.
fn build(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new("/bin/bash");
    command.arg(Path::new(ROOT).join("scripts/fuzz-out")).args(arguments);
    for name in ["OUT", "SANITIZER", "FUZZING_ENGINE"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied()).output().expect("bash runs")
}

#[test]
fn wrong_usage_is_one_line() {
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);
    let cases: [Case; 5] = [
        (&["--output", "x"], &[], "no option is called --output; usage: "),
        (&["--out"], &[], "--out takes a value"),
        (&["--sanitizer", "thread"], &[], "the sanitizer is thread, and "),
        (&[], &[("SANITIZER", "memory")], "the sanitizer is memory, and "),
        (&[], &[("FUZZING_ENGINE", "afl")], "the engine is afl, and "),
    ];
    for (arguments, variables, words) in cases {
        let output = build(arguments, variables);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {variables:?}: {said}");
        assert!(said.starts_with(&format!("fuzz-out: {words}")) && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn a_missing_tool_is_one_line_and_the_environments_fault() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    // All that the script needs before it looks, and cargo.
    for tool in ["dirname", "mkdir", "cargo", "rustc", "cargo-fuzz"] {
        let path = std::env::var_os("PATH").expect("there is one");
        let mut found = std::env::split_paths(&path).map(|folder| folder.join(tool));
        let program = found.find(|path| path.exists()).unwrap_or_else(|| PathBuf::from("/bin/true"));
        symlink(program, folder.path().join(tool)).expect("writable");
    }
    let out = folder.path().join("out");
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let output = build(&["--out", &text(&out)], &[("PATH", &text(folder.path()))]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert_eq!(said, "fuzz-out: python3 is missing: run scripts/deps --fuzz\n");
}
