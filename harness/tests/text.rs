// SPDX-License-Identifier: GPL-2.0-or-later
//! Operations as text through the whole check.

#![cfg(feature = "text")]

use std::path::{Path, PathBuf};

use kop_emulators::engines::{HOST, host_features};
use kop_harness::check::{Checked, Quiet, Settings, check};
use kop_modules::text::{self, TextKop};
use kop_ops::{Arch, Catalog, Feature};
use kop_reports::{Kind, Record, RowVerdict};

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/modules");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(".kop.toml"));
    paths.sort();
    paths
}

fn record(kop: &TextKop) -> Record {
    let catalog = Catalog::with(kop);
    let settings = Settings::default();
    let checked: Checked =
        check(&catalog, &settings, &Quiet, &|_, _, _| ()).expect("the engines of this machine");
    checked.record(&settings, None).expect("a record")
}

#[test]
fn the_examples_are_equivalent() {
    let paths = examples();
    assert!(paths.len() >= 3, "{paths:?}");
    for path in paths {
        let kops = text::load(&path).unwrap_or_else(|error| panic!("{error}"));
        for row in record(&kops[0]).ops {
            let found: Vec<&str> = row.divergences.iter().map(|found| found.message.as_str()).collect();
            assert_eq!(
                row.verdict,
                RowVerdict::Equivalent,
                "{} {} {}: {found:?}",
                row.name,
                row.form,
                row.arch
            );
        }
    }
}

/// Operations whose code for x86-64 is right, on the one instruction that Unicorn executes wrongly.
const WRONG_ON_UNICORN: &str = r#"
name = "field"
summary = "bits of a word"

[[form]]
name = "bits"
meaning = "dst = len bits of the low half of src, from start on"
proof = """
    {dst:32} = {src:32}
    {dst:32} >>= {start}
    {dst:32} &= {(1 << len) - 1}
"""
aarch64 = """
    lsr {dst:32}, {src:32}, #{start}
    and {dst:32}, {dst:32}, #{(1 << len) - 1}
"""

[form.operands]
dst = "destination"
src = "source"
start = { min = 0, max = 31 }
len = { min = 1, max = 31 }

[[form.x86_64]]
features = ["bmi1"]
asm = """
    mov r11d, {start | len << 8}
    bextr {dst:32}, {src:32}, r11d
"""

[[form]]
name = "low"
meaning = "dst = the low half of src"
proof = "{dst:32} = {src:32}"
aarch64 = "mov {dst:32}, {src:32}"

[form.operands]
dst = "destination"
src = "source"

[[form.x86_64]]
features = ["bmi2"]
asm = """
    mov r11, -1
    pdep {dst:32}, {src:32}, r11d
"""
"#;

#[test]
fn what_unicorn_executes_wrongly_rests_on_the_other_engines() {
    let kop = text::parse("field.kop.toml", WRONG_ON_UNICORN).unwrap_or_else(|error| panic!("{error}"));
    let rows = record(&kop).ops;
    for (form, instruction) in [("bits", "BEXTR"), ("low", "PDEP")] {
        let row = rows.iter().find(|row| row.form == form && row.arch == "x86_64").expect("a row");
        let found: Vec<&str> = row.divergences.iter().map(|found| found.message.as_str()).collect();
        assert_eq!(row.verdict, RowVerdict::Equivalent, "{form}: {found:?}");
        let names: Vec<&str> = row.engines.iter().map(String::as_str).collect();
        assert!(names.contains(&"semantics-x86_64") && !names.contains(&"unicorn-x86_64"), "{names:?}");
        let here = HOST == Arch::X86_64 && host_features().has(Feature::Bmi2);
        assert_eq!(names.contains(&"host"), here, "{names:?}");
        let said =
            row.warnings.iter().find(|warning| warning.starts_with("unicorn-x86_64 does not run all code: "));
        assert!(said.is_some_and(|said| said.contains(instruction)), "{:?}", row.warnings);
    }
}

/// An example with `from` replaced, which must be there: the kinds of divergence, with the architecture of their row.
fn kinds(example: &str, from: &str, to: &str) -> Vec<(Kind, String)> {
    let path = examples().into_iter().find(|path| path.ends_with(example)).expect("an example");
    let text = std::fs::read_to_string(path).expect("a readable file");
    assert!(text.contains(from), "{from}");
    let kop = text::parse(example, &text.replacen(from, to, 1)).unwrap_or_else(|error| panic!("{error}"));
    let rows = record(&kop).ops;
    let mut kinds: Vec<(Kind, String)> = rows
        .iter()
        .flat_map(|row| row.divergences.iter().map(|found| (found.kind, row.arch.clone())))
        .collect();
    kinds.dedup();
    kinds
}

#[test]
fn mistakes_in_them_are_found() {
    for (example, from, to, kind, arch) in [
        ("and_not.kop.toml", "mov r11, {b}", "mov {dst}, {b}", Kind::Register, "x86_64"),
        ("and_not.kop.toml", "btr {dst}, {bit}", "btr {dst:32}, {bit}", Kind::Register, "x86_64"),
        ("rotate_add.kop.toml", "(32 - amount) % 32", "32 - amount", Kind::Validity, "aarch64"),
        (
            "rotate_add.kop.toml",
            "add {dst:32}, w9, {src:32}",
            "add {dst}, x9, {src}",
            Kind::Register,
            "aarch64",
        ),
        ("exchange_add.kop.toml", "require = \"value != base\"", "", Kind::Fault, "x86_64"),
        ("exchange_add.kop.toml", "mov {value}, x9", "mov {value}, x10", Kind::Register, "aarch64"),
        ("exchange_add.kop.toml", "stur x10", "stur w10", Kind::Memory, "aarch64"),
        ("exchange_add.kop.toml", "\"xadd qword", "\"mov r12, 5; xadd qword", Kind::Frame, "x86_64"),
    ] {
        let from_to = format!("{example}: `{from}` became `{to}`");
        let found = kinds(example, from, to);
        assert!(found.contains(&(kind, arch.to_owned())), "{from_to}: {found:?}");
    }
}
