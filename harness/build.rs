// SPDX-License-Identifier: GPL-2.0-or-later
//! Counts the lines of what has to be believed where nothing is proved: operations, and the native tier.
//!
//! `lines.rs` in `OUT_DIR` has `OPERATIONS`, by the path that `Kop::source` gives, `TIER` and `TIER_LLVM`; tests are left out.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let root = PathBuf::from("..");
    let operations = sources(&root.join("ops/src/kops"))?;
    let (llvm, tier): (Vec<_>, Vec<_>) = sources(&root.join("native/src"))?
        .into_iter()
        .partition(|(path, _)| path.components().any(|part| part.as_os_str() == "llvm"));
    let sum = |sources: &[(PathBuf, usize)]| sources.iter().map(|(_, lines)| lines).sum::<usize>();
    let table: String = operations
        .iter()
        .map(|(path, lines)| {
            let path = path.strip_prefix(&root).expect("it is below the root");
            format!("({:?}, {lines}), ", path.to_string_lossy().replace('\\', "/"))
        })
        .collect();
    let text = format!(
        "const OPERATIONS: &[(&str, u64)] = &[{table}];\nconst TIER: u64 = {};\nconst TIER_LLVM: u64 = {};\n",
        sum(&tier),
        sum(&llvm)
    );
    fs::write(PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("lines.rs"), text)
}

/// The Rust files of a folder and those below, with how many lines each has before its tests. A file that comes is named by one that is there.
fn sources(folder: &Path) -> io::Result<Vec<(PathBuf, usize)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            println!("cargo::rerun-if-changed={}", path.display());
            let text = fs::read_to_string(&path)?;
            let code = text.split("\n#[cfg(test)]\n").next().unwrap_or_default();
            found.push((path.clone(), code.lines().count()));
        }
    }
    found.sort();
    Ok(found)
}
