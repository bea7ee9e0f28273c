// SPDX-License-Identifier: GPL-2.0-or-later
//! Operations from files on the command line: kernel modules and texts go through every command as those of the catalog do.
//!
//! Everything starts from the skeletons that `kop new` writes; what is wrong is put into them here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use kop_harness::reports::{Kind, Record, Verdict};

/// The engines that are the same everywhere.
const EMULATED: [&str; 2] = ["--engines", "rbpf,unicorn-x86_64,unicorn-aarch64"];

/// A directory in which commands run, so that files are named without a path.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kop"));
        command.args(args).current_dir(self.0.path()).stdin(Stdio::null()).env("NO_COLOR", "1");
        command
    }

    fn kop(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("kop runs")
    }

    /// What a command prints when it ends with `code`; nothing on standard error.
    #[track_caller]
    fn printed(&self, args: &[&str], code: i32) -> String {
        let output = self.kop(args);
        let said = stderr(&output);
        assert_eq!((output.status.code(), &*said), (Some(code), ""), "{args:?}\n{}", stdout(&output));
        stdout(&output)
    }

    /// What a command says on standard error when it ends with `code` and prints nothing.
    #[track_caller]
    fn refused(&self, args: &[&str], code: i32) -> String {
        let output = self.kop(args);
        let said = stderr(&output);
        assert_eq!((output.status.code(), &*stdout(&output)), (Some(code), ""), "{args:?}: {said}");
        said
    }

    /// The record of a check.
    #[track_caller]
    fn record(&self, args: &[&str], code: i32) -> Record {
        let args = [&["check", "--report", "-", "--states", "400"][..], &EMULATED, args].concat();
        let output = self.kop(&args);
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{}", stderr(&output));
        Record::from_json(&stdout(&output)).expect("a report")
    }

    /// Both sources of a module called `sum`, sound as they are written.
    fn module(&self) {
        self.printed(&["new", "sum", "--c"], 0);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file anew with `from` replaced, which must be there.
    #[track_caller]
    fn change(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).expect("it was written");
        assert!(text.contains(from), "{from} is not in {name}");
        fs::write(self.path(name), text.replace(from, to)).expect("writable");
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

const BOTH: [&str; 4] = ["--module", "sum_x86.c", "--module", "sum_arm64.c"];

fn rows(record: &Record) -> Vec<(&str, &str)> {
    record.ops.iter().map(|row| (&*row.name, &*row.arch)).collect()
}

#[test]
fn the_skeleton_of_a_module_checks_clean() {
    let desk = Desk::new();
    desk.module();
    let record = desk.record(&BOTH, 0);
    assert_eq!(rows(&record), [("bpf_sum", "x86_64"), ("bpf_sum", "aarch64")]);
    for row in &record.ops {
        assert!(row.untested.is_none() && row.states >= 400, "{row:#?}");
        assert_eq!(row.payloads_total, 10 * 11 * 64, "{row:#?}");
    }
    let timings = record.timings.expect("they are told");
    assert!(timings.compile_s.is_some() && timings.learn_s.is_some() && timings.check_s.is_some());
}

#[cfg(feature = "text")]
#[test]
fn the_skeleton_of_a_text_checks_clean() {
    let desk = Desk::new();
    desk.printed(&["new", "sum", "--text"], 0);
    let record = desk.record(&["--file", "sum.kop.toml"], 0);
    assert_eq!(rows(&record), [("sum", "x86_64"), ("sum", "aarch64")]);
    assert!(record.ops.iter().all(|row| row.untested.is_none()), "{record:#?}");
}

#[test]
fn a_check_of_a_module_shows_its_layout_and_where_the_time_went() {
    let desk = Desk::new();
    desk.module();
    let text = desk.printed(&[&["check", "--states", "100"], &BOTH[..], &EMULATED].concat(), 0);
    for expected in ["[3:0]", "[7:4]", "[13:8]", "  time       compile ", ", learn ", ", check "] {
        assert!(text.contains(expected), "{expected} is missing from\n{text}");
    }
}

#[test]
fn one_file_has_rows_for_its_own_emit_alone() {
    let desk = Desk::new();
    desk.module();
    let record = desk.record(&["--module", "sum_arm64.c"], 0);
    assert_eq!(rows(&record), [("bpf_sum", "aarch64")]);
    assert_eq!(desk.printed(&["list", "--names", "--module", "sum_x86.c"], 0), "bpf_sum\n");
}

#[test]
fn operations_are_chosen_by_their_registered_names() {
    let desk = Desk::new();
    desk.module();
    let said = desk.refused(&[&["check", "sum"], &BOTH[..]].concat(), 2);
    assert_eq!(said, "kop: unknown operation `sum` (known: bpf_sum)\n");
    let record = desk.record(&[&["bpf_sum"], &BOTH[..]].concat(), 0);
    assert_eq!(record.ops.len(), 2);
}

#[test]
fn an_operation_of_a_module_is_shown() {
    let desk = Desk::new();
    desk.module();
    // dst = r3, src = r1, amount = 5.
    let text = desk.printed(&[&["show", "bpf_sum", "payload=0x513"], &BOTH[..]].concat(), 0);
    for expected in ["r3 += r1", "r3 <<= 5", "48 01 fa", "48 c1 e2 05", "payload 0x513"] {
        assert!(text.contains(expected), "{expected} is missing from\n{text}");
    }
    let refused = desk.printed(&[&["show", "bpf_sum", "payload=0xfff"], &BOTH[..]].concat(), 0);
    assert!(refused.contains("which no form holds") && refused.contains("rejected: "), "{refused}");
}

#[test]
fn a_divergence_of_a_module_is_saved_replayed_and_reproduced() {
    let desk = Desk::new();
    desk.module();
    // A shift of the wrong kind: sar instead of shl.
    desk.change("sum_x86.c", "0xc1, 4,", "0xc1, 7,");
    let record = desk.record(&[&["--save", "found"], &BOTH[..]].concat(), 1);
    let found = &record.ops[0].divergences[0];
    assert_eq!((found.kind, record.ops[1].divergences.len()), (Kind::Register, 0));
    let case = found.case.as_deref().expect("it was saved");
    let command = format!("kop repro {case} --module sum_x86.c --module sum_arm64.c");
    assert_eq!(found.reproduce.as_deref(), Some(&*command));
    let text = fs::read_to_string(desk.path(case)).expect("it is there");
    assert!(text.contains("operation bpf_sum\n") && text.contains("payload 0x"), "{text}");

    let args: Vec<&str> = command.split(' ').skip(1).collect();
    let shown = desk.printed(&args, 1);
    assert!(
        shown.contains("register divergence: bpf_sum ") && shown.contains(" --module sum_x86.c"),
        "{shown}"
    );
    let replayed = desk.printed(&[&["replay", "found"], &BOTH[..]].concat(), 1);
    assert!(
        replayed.contains(" replayed: 0 held, ") && replayed.ends_with(" diverged, 0 corrupt\n"),
        "{replayed}"
    );
    assert!(desk.printed(&["replay", "found"], 2).contains("unknown operation `bpf_sum`"));

    desk.change("sum_x86.c", "0xc1, 7,", "0xc1, 4,");
    assert!(desk.printed(&args, 0).contains("holds: bpf_sum "));
    assert!(
        desk.printed(&[&["replay", "found"], &BOTH[..]].concat(), 0).contains(" held, 0 diverged, 0 corrupt")
    );
}

#[test]
fn an_undeclared_temporary_is_named_with_the_contract_that_would_do() {
    let desk = Desk::new();
    desk.module();
    for file in ["sum_x86.c", "sum_arm64.c"] {
        // The proof needs r5 for the sum, native code does not.
        desk.change(
            file,
            "\tinsn_buf[n++] = BPF_ALU64_REG(BPF_ADD, op.dst, op.src);\n",
            "\tinsn_buf[n++] = BPF_MOV64_REG(BPF_REG_5, op.src);\n\
             \tinsn_buf[n++] = BPF_ALU64_REG(BPF_ADD, op.dst, BPF_REG_5);\n",
        );
        desk.change(file, "max_insn_cnt = 2", "max_insn_cnt = 3");
        desk.change(
            file,
            "op->src > BPF_REG_10)",
            "op->src > BPF_REG_10 || op->dst == BPF_REG_5 || op->src == BPF_REG_5)",
        );
    }
    let record = desk.record(&BOTH, 1);
    for row in &record.ops {
        let found = &row.divergences[0];
        assert_eq!((found.kind, row.divergences.len()), (Kind::Temporary, 1), "{row:#?}");
        assert!(format!("{found:?}").contains("--contract dead=r5"), "{found:#?}");
    }
    let record = desk.record(&[&["--contract", "dead=r5"], &BOTH[..]].concat(), 0);
    assert!(record.ops.iter().all(|row| row.contract == ["dead=r5"]), "{record:#?}");
}

#[test]
fn what_the_compiler_says_is_shown_as_it_is() {
    let desk = Desk::new();
    desk.module();
    desk.change("sum_x86.c", "return n;", "return m;");
    let said = desk.refused(&["check", "--module", "sum_x86.c"], 2);
    let first = said.lines().find(|line| line.contains("error:")).expect("the compiler's line");
    assert!(first.starts_with("sum_x86.c:") && first.contains('m'), "{said}");
    assert!(said.lines().last().is_some_and(|line| line.starts_with("kop: sum_x86.c: ")), "{said}");
    let flag =
        desk.refused(&["check", "--module", "sum_arm64.c", "--cflag=-include", "--cflag=missing.h"], 2);
    assert!(flag.contains("missing.h"), "{flag}");
}

#[test]
fn what_is_no_module_is_one_line() {
    let desk = Desk::new();
    desk.module();
    fs::write(desk.path("empty.c"), "#include <linux/module.h>\nMODULE_LICENSE(\"GPL\");\n")
        .expect("writable");
    fs::write(desk.path("noise.so"), b"\x7fELF and so on").expect("writable");
    for (args, code, expected) in [
        (&["--module", "empty.c"][..], 2, "empty.c: "),
        (&["--module", "noise.so"], 2, "noise.so: "),
        (&["--module", "missing.c"], 2, "missing.c: No such file"),
        (&["--module", "."], 2, ".: "),
        (
            &["--module", "sum_x86.c", "--module", "sum_x86.c"],
            2,
            "bpf_sum has an emit for x86_64 in sum_x86.c",
        ),
        (&["--module", "sum_x86.c", "--contract", "dead=r11"], 2, "--contract dead=r11: "),
        (&["--module", "sum_x86.c", "--contract", "x"], 2, "--contract x: "),
    ] {
        let said = desk.refused(&[&["check"], args].concat(), code);
        assert!(said.starts_with("kop: ") && said.contains(expected), "{args:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    for args in [["--include", "."], ["--cflag", "-DX"], ["--contract", "dead=r3"], ["--payload", "1"]] {
        let said = desk.refused(&[&["check"], &args[..]].concat(), 2);
        assert!(said.contains("--module <FILE>"), "{said}");
    }
    let said = desk.refused(&["check", "--module", "sum_x86.c", "--payload", "r3"], 2);
    assert!(said.contains("`r3` is no number of 52 bits"), "{said}");
}

#[test]
fn without_a_compiler_the_environment_is_to_blame() {
    let desk = Desk::new();
    desk.module();
    let mut command = desk.command(&["check", "--module", "sum_x86.c"]);
    let output = command.env("PATH", "/nowhere").env_remove("CC").output().expect("kop runs");
    let said = stderr(&output);
    assert_eq!((output.status.code(), said.lines().count()), (Some(3), 1), "{said}");
    assert!(said.contains("C compiler"), "{said}");
}

#[test]
fn a_shared_object_built_with_the_headers_is_a_module() {
    let desk = Desk::new();
    desk.module();
    desk.printed(&["headers", "include"], 0);
    let mut cc = Command::new("cc");
    cc.args([
        "-shared",
        "-fPIC",
        "-std=gnu11",
        "-O2",
        "-Iinclude",
        "-DCONFIG_X86_64=1",
        "-o",
        "sum.so",
        "sum_x86.c",
    ]);
    let built = cc.current_dir(desk.0.path()).output().expect("a C compiler is here: the build needs one");
    assert!(built.status.success(), "{}", stderr(&built));
    let record = desk.record(&["--module", "sum.so"], 0);
    assert_eq!((rows(&record), record.verdict), (vec![("bpf_sum", "x86_64")], Verdict::Equivalent));
}

#[cfg(feature = "text")]
#[test]
fn mistakes_in_a_text_have_line_and_column() {
    let desk = Desk::new();
    desk.printed(&["new", "sum", "--text"], 0);
    desk.change("sum.kop.toml", "shl {dst}, {amount}", "shl {dst}, {amuont}");
    let said = desk.refused(&["check", "--file", "sum.kop.toml"], 2);
    let place = said.strip_prefix("kop: sum.kop.toml:").expect("the file comes first");
    assert!(place.split(':').take(2).all(|number| number.parse::<u32>().is_ok()), "{said}");
    assert!(said.contains("amuont") && said.lines().count() == 1, "{said}");
}

#[cfg(feature = "text")]
#[test]
fn a_divergence_of_a_text_is_reproduced() {
    let desk = Desk::new();
    desk.printed(&["new", "sum", "--text"], 0);
    desk.change("sum.kop.toml", "shl {dst}, {amount}", "sar {dst}, {amount}");
    let record = desk.record(&["--file", "sum.kop.toml", "--save", "found"], 1);
    let command = record.ops[0].divergences[0].reproduce.clone().expect("it was saved");
    assert!(command.ends_with(" --file sum.kop.toml"), "{command}");
    let args: Vec<&str> = command.split(' ').skip(1).collect();
    assert!(desk.printed(&args, 1).contains("register divergence: sum payload x86_64"));
}

#[cfg(feature = "text")]
#[test]
fn files_that_share_a_name_are_refused() {
    let desk = Desk::new();
    desk.printed(&["new", "sum", "a", "--text"], 0);
    desk.printed(&["new", "sum", "b", "--text"], 0);
    let said = desk.refused(&["list", "--file", "a/sum.kop.toml", "--file", "b/sum.kop.toml"], 2);
    assert!(said.contains("both hold an operation `sum`") && said.lines().count() == 1, "{said}");
}

#[test]
fn skeletons_are_not_overwritten() {
    let desk = Desk::new();
    desk.module();
    let said = desk.refused(&["new", "sum", "--c"], 2);
    assert!(said.contains("sum_x86.c: is there already"), "{said}");
    assert!(desk.refused(&["new", "Sum", "--c"], 2).contains("write it in lower case"));
    assert!(desk.refused(&["new", "int", "elsewhere"], 2).contains("goes with --c or --text"));
    // What is a keyword of C is none of the skeleton's names.
    desk.printed(&["new", "int", "--c"], 0);
    assert_eq!(desk.printed(&["list", "--names", "--module", "int_x86.c"], 0), "bpf_int\n");
    assert!(Path::new(&desk.path("int_arm64.c")).exists());
}
