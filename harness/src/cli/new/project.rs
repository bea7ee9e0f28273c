// SPDX-License-Identifier: GPL-2.0-or-later
//! Where an operation stands in the project: its files and the lists that name it.

use std::path::{Path, PathBuf};

use kop_ops::Catalog;

use super::Failure;
use super::changes::Changes;
use super::name::Name;

/// The source of the skeleton, with NAME and Skeleton to be replaced.
pub const OPERATION: &str = include_str!("operation.rs.in");

/// Its first regression case.
const CASE: &str = include_str!("case.kop.in");

const CATALOG: &str = "ops/src/catalog.rs";
const MODULES: &str = "ops/src/kops/mod.rs";
const FUZZ_MANIFEST: &str = "fuzz/Cargo.toml";

/// The project's directory, at or above `here`.
///
/// # Errors
/// [`Failure::Usage`] when there is none.
pub fn root(here: &Path) -> Result<PathBuf, Failure> {
    let found = here.ancestors().find(|dir| dir.join(CATALOG).is_file() && dir.join(MODULES).is_file());
    found.map(Path::to_owned).ok_or_else(|| {
        Failure::usage(format!(
            "{}: not inside the project (no {CATALOG} here or above); change to its directory",
            here.display()
        ))
    })
}

/// What a new operation adds to the project at `root`.
///
/// # Errors
/// [`Failure::Usage`] when the name is taken, or a file is not as expected.
pub fn skeleton(root: &Path, name: &Name) -> Result<Changes, Failure> {
    let mut changes = Changes::default();
    changes.create(root.join(format!("ops/src/kops/{name}.rs")), fill(OPERATION, name))?;
    changes.create(root.join(format!("corpus/regressions/{name}/aliasing.kop")), fill(CASE, name))?;
    if root.join(FUZZ_MANIFEST).is_file() {
        fuzz_target(root, name, &mut changes)?;
    }
    changes.edit(root.join(MODULES), |text| with_module(text, name))?;
    changes.edit(root.join(CATALOG), |text| with_entry(text, name))?;
    Ok(changes)
}

fn fill(template: &str, name: &Name) -> String {
    template.replace("NAME", name.as_str()).replace("Skeleton", &name.type_name())
}

/// The list of modules with one more, in the order that rustfmt wants.
fn with_module(text: &str, name: &Name) -> Result<String, String> {
    let line = format!("pub mod {name};");
    let lines: Vec<&str> = text.lines().collect();
    let modules: Vec<usize> = (0..lines.len()).filter(|&i| lines[i].starts_with("pub mod ")).collect();
    if modules.iter().any(|&i| lines[i] == line) {
        return Err(format!("names {name} already; choose another name"));
    }
    let last = *modules.last().ok_or("holds no line `pub mod ..;` to put another one beside")?;
    let module = |i: usize| lines[i]["pub mod ".len()..].trim_end_matches(';');
    let at = modules.iter().copied().find(|&i| module(i) > name.as_str()).unwrap_or(last + 1);
    Ok(with_line(&lines, at, &line))
}

/// The catalog with one more operation at its end.
fn with_entry(text: &str, name: &Name) -> Result<String, String> {
    let line = format!("    &kops::{name}::{},", name.type_name());
    let lines: Vec<&str> = text.lines().collect();
    let start = lines
        .iter()
        .position(|line| line.starts_with("static EINSN:"))
        .ok_or("holds no `static EINSN: ..` to add the operation to")?;
    if lines[start..].contains(&&*line) {
        return Err(format!("names {name} already; choose another name"));
    }
    let length = lines[start..].iter().position(|line| *line == "];").ok_or("the list EINSN has no end")?;
    Ok(with_line(&lines, start + length, &line))
}

fn with_line(lines: &[&str], at: usize, line: &str) -> String {
    let (above, below) = lines.split_at(at);
    let all = above.iter().chain([&line]).chain(below);
    all.flat_map(|line| [*line, "\n"]).collect()
}

/// The fuzz target and its entry in the manifest, in the shape of those of the first operation.
fn fuzz_target(root: &Path, name: &Name, changes: &mut Changes) -> Result<(), Failure> {
    let catalog = Catalog::einsn();
    let model = catalog.kops().first().expect("the catalog is not empty").name();
    let path = root.join(format!("fuzz/fuzz_targets/{model}.rs"));
    let source = std::fs::read_to_string(&path).map_err(|error| Failure::path(&path, error))?;
    let target = source.replace(model, name.as_str());
    changes.create(root.join(format!("fuzz/fuzz_targets/{name}.rs")), target)?;
    changes.edit(root.join(FUZZ_MANIFEST), |text| {
        let known: Vec<&str> = catalog.kops().iter().map(|kop| kop.name()).collect();
        with_binary(text, model, &known, name)
    })
}

/// The manifest with one more `[[bin]]` like that of `model`, after the last one of `known`.
fn with_binary(text: &str, model: &str, known: &[&str], name: &Name) -> Result<String, String> {
    let named = |block: &&str, name: &str| {
        block.lines().any(|line| line.replace(' ', "") == format!("name=\"{name}\""))
    };
    let blocks: Vec<&str> = text.split_inclusive("\n\n").collect();
    if blocks.iter().any(|block| named(block, name.as_str())) {
        return Err(format!("has a target called {name} already; choose another name"));
    }
    let own = blocks
        .iter()
        .find(|block| block.starts_with("[[bin]]") && named(block, model))
        .ok_or_else(|| format!("has no [[bin]] called {model} to take as a model"))?;
    let added = own.trim_end().replace(model, name.as_str());
    let last = blocks
        .iter()
        .rposition(|block| block.starts_with("[[bin]]") && known.iter().any(|known| named(block, known)))
        .expect("the model is one of those known");
    let (above, below) = blocks.split_at(last + 1);
    let (above, below) = (above.concat(), below.concat());
    let end = if below.is_empty() { "\n" } else { "\n\n" };
    Ok(format!("{}\n\n{added}{end}{below}", above.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).expect(text)
    }

    #[test]
    fn modules_stay_sorted() {
        let text = "//! Doc.\n\npub mod clmul;\npub mod rotate;\n";
        for (own, expected) in [
            ("bswap", "//! Doc.\n\npub mod bswap;\npub mod clmul;\npub mod rotate;\n"),
            ("popcount", "//! Doc.\n\npub mod clmul;\npub mod popcount;\npub mod rotate;\n"),
            ("select", "//! Doc.\n\npub mod clmul;\npub mod rotate;\npub mod select;\n"),
        ] {
            assert_eq!(with_module(text, &name(own)).as_deref(), Ok(expected));
        }
        assert!(with_module(text, &name("rotate")).is_err());
        assert!(with_module("//! Doc.\n", &name("rotate")).is_err());
    }

    #[test]
    fn the_catalog_grows_at_its_end() {
        let text = "static EINSN: &[&dyn Kop] = &[\n    &kops::rotate::Rotate,\n];\n\nstruct X;\n";
        let expected = "static EINSN: &[&dyn Kop] = &[\n    &kops::rotate::Rotate,\n    &kops::and_not::AndNot,\n];\n\nstruct X;\n";
        assert_eq!(with_entry(text, &name("and_not")).as_deref(), Ok(expected));
        assert!(with_entry(text, &name("rotate")).is_err());
        assert!(with_entry("struct X;\n", &name("rotate")).is_err());
    }

    #[test]
    fn a_binary_is_added_beside_those_of_the_operations() {
        let text = "[package]\nname = \"fuzz\"\n\n[[bin]]\nname = \"rotate\"\npath = \"t/rotate.rs\"\n\n\
                    [[bin]]\nname = \"all\"\npath = \"t/all.rs\"\n";
        let added = with_binary(text, "rotate", &["rotate"], &name("and_not")).expect("added");
        assert_eq!(
            added,
            text.replace(
                "rotate.rs\"\n\n",
                "rotate.rs\"\n\n[[bin]]\nname = \"and_not\"\npath = \"t/and_not.rs\"\n\n"
            )
        );
        let again = with_binary(&added, "rotate", &["rotate", "and_not"], &name("xor")).expect("added");
        assert!(again.contains("and_not.rs\"\n\n[[bin]]\nname = \"xor\"\n"), "{again}");
        assert!(with_binary(text, "rotate", &["rotate"], &name("all")).is_err());
        let alone = text.split_once("[[bin]]\nname = \"all\"").expect("there").0.trim_end().to_owned() + "\n";
        let added = with_binary(&alone, "rotate", &["rotate"], &name("xor")).expect("added");
        assert!(added.ends_with("[[bin]]\nname = \"xor\"\npath = \"t/xor.rs\"\n"), "{added}");
    }
}
