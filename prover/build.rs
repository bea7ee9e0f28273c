// SPDX-License-Identifier: GPL-2.0-or-later
//! Names the version of everything that a proof rests on: the semantics, the prover, the instructions and register maps. What was
//! proved with another version is not known with this one.

use std::fs;
use std::path::{Path, PathBuf};

const SOURCES: [&str; 3] = ["src", "../semantics/src", "../ops/src"];

fn main() {
    let mut files: Vec<PathBuf> = SOURCES.iter().flat_map(|folder| below(Path::new(folder))).collect();
    files.sort_unstable();
    // FNV-1a, as a version has to be the same for every build of the same sources.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for file in &files {
        let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for byte in file.to_string_lossy().bytes().chain(bytes) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    println!("cargo::rustc-env=KOP_PROVER_VERSION={hash:016x}");
    SOURCES.iter().for_each(|folder| println!("cargo::rerun-if-changed={folder}"));
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("a folder that can be read").path());
    paths.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
}
