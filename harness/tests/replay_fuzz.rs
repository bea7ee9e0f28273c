// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop replay --fuzz`: inputs that diverge, do not end or take all memory are told one by one, and saved.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kop_harness::fuzz::Target;
use kop_ops::Catalog;

/// Bytes that the target `rotate` takes for a rotation of this form by this amount.
fn rotation(form: &str, amount: u64) -> Vec<u8> {
    let catalog = Catalog::einsn();
    let target = Target::find(&catalog, "rotate").expect("there is one");
    let wanted = [format!("form {form}\n"), format!("operand amount {amount}\n")];
    // The lowest bytes choose form and operands.
    let mut all =
        (0..1 << 20).map(|number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes().to_vec());
    let found = all.find(|bytes| {
        let text = target.show(&catalog, bytes);
        wanted.iter().all(|line| text.contains(line)) && text.contains("first of")
    });
    found.expect("every payload is what some bytes mean")
}

struct Corpus(tempfile::TempDir);

impl Corpus {
    /// Two inputs that hold, and one by the name of `bad`.
    fn new(bad: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let inputs = folder.path().join("corpus");
        fs::create_dir(&inputs).expect("writable");
        for (name, bytes) in [("a", &b""[..]), ("bad", bad), ("c", &[1, 2, 3])] {
            fs::write(inputs.join(name), bytes).expect("writable");
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn replay(&self, planted: Option<&str>, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kop"));
        command
            .args(["replay", "--fuzz", "rotate"])
            .arg(self.path("corpus"))
            .arg("--save")
            .arg(self.path("findings"));
        command.args(more).env_remove("KOP_PLANT");
        if let Some(planted) = planted {
            command.env("KOP_PLANT", planted);
        }
        command.output().expect("kop runs")
    }

    /// The lines about inputs that fail.
    fn failures(&self, planted: &str, more: &[&str]) -> Vec<String> {
        let output = self.replay(Some(planted), more);
        let text = String::from_utf8(output.stdout).expect("text");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(1), "{text}{said}");
        assert!(
            said.starts_with(&format!("kop: KOP_PLANT={planted}: a fault is planted in rotate")),
            "{said}"
        );
        assert!(text.ends_with("3 inputs replayed: 2 held, 1 failed, 0 not replayed\n"), "{text}");
        let lines = text.lines().filter_map(|line| line.strip_prefix("fails      "));
        let path = format!("{}: ", self.path("corpus/bad").display());
        lines.map(|line| line.strip_prefix(&path).unwrap_or(line).to_owned()).collect()
    }

    /// The files below the directory of findings, with an extension.
    fn saved(&self, extension: &str) -> Vec<PathBuf> {
        let found = kop_harness::fuzz::replay::files(&[self.path("findings")]).expect("there is something");
        found.into_iter().filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
    }
}

#[test]
fn an_input_that_diverges_is_told_and_saved_and_the_others_are_replayed() {
    let bad = rotation("imm32", 0);
    let corpus = Corpus::new(&bad);
    let failures = corpus.failures("validity-emit-rejects-zero", &[]);
    assert!(matches!(&failures[..], [line] if line.contains("divergence(s), the first: ")), "{failures:?}");
    let case = fs::read_to_string(&corpus.saved("kop")[0]).expect("the case is there");
    assert!(case.contains("form imm32"), "{case}");
    assert_eq!(fs::read(&corpus.saved("bytes")[0]).expect("the bytes are there"), bad);
    // Nothing is wrong without the fault.
    let output = corpus.replay(None, &[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "3 inputs replayed: 3 held, 0 failed, 0 not replayed\n"
    );
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_input_that_does_not_end_or_takes_all_memory_is_a_finding() {
    let bad = rotation("imm64", 37);
    for (planted, limit, what) in [
        ("unending-emit-loops", ["--timeout", "2"], "no end after "),
        ("unending-emit-takes-memory", ["--memory", "300"], "MiB of memory, of 300 MiB at most"),
    ] {
        let corpus = Corpus::new(&bad);
        let failures = corpus.failures(planted, &limit);
        assert!(matches!(&failures[..], [line] if line.contains(what)), "{failures:?}");
        let case = fs::read_to_string(&corpus.saved("kop")[0]).expect("the case is there");
        assert!(case.contains("form imm64") && case.contains("operand amount 37"), "{case}");
    }
}

#[test]
fn what_cannot_be_replayed_is_one_line() {
    let corpus = Corpus::new(b"");
    fs::create_dir(corpus.path("empty")).expect("writable");
    let module = Path::new("/no/such/module.so");
    for (arguments, words) in [
        (vec!["rotat", "corpus"], "unknown fuzz target `rotat` (known: rotate, "),
        (vec!["rotate", "empty"], "no input is in empty"),
        (vec!["rotate", "missing"], "missing: No such file"),
        (vec!["module", "corpus"], "the target module needs operations: give some by --module FILE"),
        (vec!["module", "corpus", "--module", module.to_str().expect("text")], "/no/such/module.so: "),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_kop"))
            .args(["replay", "--fuzz"])
            .args(&arguments)
            .current_dir(corpus.0.path())
            .env_remove("KOP_PLANT")
            .output()
            .expect("kop runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.starts_with("kop: ") && said.contains(words) && said.lines().count() == 1, "{said}");
    }
}
