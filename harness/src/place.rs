// SPDX-License-Identifier: GPL-2.0-or-later
//! Where an operation is written: the file and line that a report points at.

use std::path::Path;

use kop_ops::{Arch, Kop};
use kop_reports::Source;

/// The file that holds the operation's code for `arch`, or its proof where there is no emit, and the line there; the first
/// line where the file cannot be read from here or does not say.
///
/// Files of the catalog's own operations are named from the root of the repository, others as the user named them.
pub fn source(kop: &dyn Kop, arch: Option<Arch>) -> Option<Source> {
    let named = kop.arguments().chunks(2).filter(|words| matches!(words[0].as_str(), "--module" | "--file"));
    let mut files: Vec<&str> = named.filter_map(|words| words.get(1)).map(String::as_str).collect();
    if files.is_empty() {
        files.push(kop.source());
    }
    let found = files.iter().find_map(|file| {
        let text = std::fs::read_to_string(file).ok()?;
        Some((*file, line(Path::new(file), &text, kop.name(), arch)?))
    });
    let (file, line) = found.or_else(|| Some((*files.first()?, 1)))?;
    (!file.is_empty()).then(|| Source { file: file.to_owned(), line })
}

/// The line of `text`, counted from 1, on which the code for `arch` begins, by the language that the file's name tells.
fn line(path: &Path, text: &str, name: &str, arch: Option<Arch>) -> Option<u32> {
    let part = arch.map_or("proof", Arch::name);
    let at = match path.extension()?.to_str()? {
        "rs" => position(text, 0, |line| line.trim_start().starts_with(&format!("fn {part}("))),
        "c" => {
            let field = match arch {
                None => "instantiate_insn",
                Some(Arch::X86_64) => "emit_x86",
                Some(Arch::Aarch64) => "emit_arm64",
            };
            position(text, 0, |line| line.trim_start().starts_with(&format!(".{field}")))
        }
        "toml" => {
            // A file may hold several operations, each from its name on.
            let names = |line: &str| line.starts_with("name") && line.contains(&format!("\"{name}\""));
            let from = position(text, 0, names)?;
            position(text, from, |line| line.trim_start_matches('[').starts_with(part)).or(Some(from))
        }
        _ => None,
    };
    u32::try_from(at? + 1).ok()
}

fn position(text: &str, from: usize, is_it: impl Fn(&str) -> bool) -> Option<usize> {
    text.lines().enumerate().skip(from).find(|(_, line)| is_it(line)).map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_of_the_catalog_has_its_emit_at_that_line() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for kop in kop_ops::Catalog::einsn().kops() {
            let text =
                std::fs::read_to_string(root.join(kop.source())).expect("the source is in the repository");
            for (arch, start) in [
                (Some(Arch::X86_64), "fn x86_64("),
                (Some(Arch::Aarch64), "fn aarch64("),
                (None, "fn proof("),
            ] {
                let line = line(Path::new(kop.source()), &text, kop.name(), arch).expect(start);
                let found = text.lines().nth(line as usize - 1).expect("a line of the file");
                assert!(found.trim_start().starts_with(start), "{}: {found}", kop.source());
            }
        }
    }

    #[test]
    fn a_line_is_found_in_every_language() {
        let toml =
            "name = \"a\"\nx86_64 = \"nop\"\n[[operation]]\nname = \"b\"\n\n[[x86_64]]\nasm = \"nop\"\n";
        let c = "static int a(void);\n\nstruct bpf_kinsn op = {\n\t.emit_arm64 = a,\n};\n";
        for (path, text, name, arch, expected) in [
            ("a.kop.toml", toml, "a", Arch::X86_64, Some(2)),
            ("a.kop.toml", toml, "b", Arch::X86_64, Some(6)),
            ("a.kop.toml", toml, "b", Arch::Aarch64, Some(4)),
            ("a.kop.toml", toml, "c", Arch::X86_64, None),
            ("a.c", c, "a", Arch::Aarch64, Some(4)),
            ("a.c", c, "a", Arch::X86_64, None),
            ("a.so", c, "a", Arch::Aarch64, None),
        ] {
            assert_eq!(line(Path::new(path), text, name, Some(arch)), expected, "{path} {name} {arch}");
        }
    }
}
