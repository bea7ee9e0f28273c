// SPDX-License-Identifier: GPL-2.0-or-later
//! What has to be believed of a backend beyond the kernel's own compiler: lines of source, counted when this is built.

use kop_reports::Trusted;

use super::backend::jit::CATALOG;
use crate::tier::Tier;

include!(concat!(env!("OUT_DIR"), "/lines.rs"));

/// Cranelift as it is built in, its crates and its register allocator: the version, and lines in Rust and in its language of rules.
const CRANELIFT: (&str, u64) = ("0.135.8", 252_000);

/// Every operation of the catalog, for backends with Kops.
pub fn operations() -> Vec<Trusted> {
    let lines =
        |source: &str| OPERATIONS.iter().find(|(path, _)| source.ends_with(path)).map(|(_, lines)| *lines);
    let trusted = |name: &str, source: &str| Trusted {
        name: name.to_owned(),
        operation: true,
        lines: lines(source),
        shown: "proofs for all inputs (kop prove)".to_owned(),
    };
    CATALOG.kops().iter().map(|kop| trusted(kop.name(), kop.source())).collect()
}

/// The native tier with a back end.
pub fn tier(tier: Tier) -> Vec<Trusted> {
    let part = |name: String, lines: Option<u64>| Trusted {
        name,
        operation: false,
        lines,
        shown: "comparison with spec on programs".to_owned(),
    };
    match tier {
        Tier::Llvm => vec![
            part("native tier".to_owned(), Some(TIER + TIER_LLVM)),
            part("LLVM and clang (not counted)".to_owned(), None),
        ],
        _ => vec![
            part("native tier".to_owned(), Some(TIER)),
            part(format!("Cranelift {}", CRANELIFT.0), Some(CRANELIFT.1)),
        ],
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use cargo_metadata::MetadataCommand;

    use super::*;

    /// Lines of all files with one of the extensions in a folder and below.
    fn lines(folder: &Path, extensions: &[&str]) -> u64 {
        let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
        let count = |path: std::path::PathBuf| match path.extension().and_then(|extension| extension.to_str())
        {
            _ if path.is_dir() => lines(&path, extensions),
            Some(extension) if extensions.contains(&extension) => {
                fs::read_to_string(&path).expect("text").lines().count() as u64
            }
            _ => 0,
        };
        entries.map(count).sum()
    }

    #[test]
    fn cranelift_has_as_many_lines_as_are_stated() {
        let metadata = MetadataCommand::new()
            .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
            .other_options(["--locked", "--filter-platform", "host-tuple"].map(str::to_owned))
            .exec()
            .expect("cargo knows the packages");
        let own = |name: &str| name.starts_with("cranelift-") || name == "regalloc2";
        let mut counted = 0;
        for package in metadata.packages.iter().filter(|package| own(&package.name)) {
            if package.name == "cranelift-codegen" {
                assert_eq!(package.version.to_string(), CRANELIFT.0);
            }
            let folder = package.manifest_path.as_std_path().parent().expect("a manifest has a folder");
            counted += lines(&folder.join("src"), &["rs", "isle"]);
        }
        assert!(counted.abs_diff(CRANELIFT.1) < CRANELIFT.1 / 100, "{counted}");
    }

    #[test]
    fn every_operation_has_lines_and_the_tier_has_more_than_any() {
        let operations = operations();
        assert_eq!(operations.len(), CATALOG.kops().len());
        let most = operations.iter().map(|one| one.lines.unwrap_or_else(|| panic!("{}", one.name))).max();
        assert!(operations.iter().all(|one| one.lines > Some(40)), "{operations:?}");
        let tiers = [Tier::Native, Tier::Llvm].map(|of| tier(of)[0].lines);
        assert!(tiers[0] > most && tiers[1] > tiers[0], "{tiers:?}");
    }
}
