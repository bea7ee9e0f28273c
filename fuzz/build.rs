// SPDX-License-Identifier: GPL-2.0-or-later
//! Lets kernel modules, which the target `module` loads, find libFuzzer's and AddressSanitizer's functions in its executable,
//! and links the C++ library into the targets, which run where there may be none.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The first are what coverage instrumentation calls; the others are there under AddressSanitizer alone.
    for symbols in ["__sanitizer_cov_*", "__asan_*"] {
        println!("cargo::rustc-link-arg-bin=module=-Wl,--export-dynamic-symbol={symbols}");
    }
    if let Some(folder) = static_library() {
        println!("cargo::rustc-link-search=native={}", folder.display());
    }
}

/// A folder with `libstdc++.a` and nothing else: a linker that looks there first takes it for what it would find as a shared
/// object elsewhere. Where the compiler has none, the shared object it is.
fn static_library() -> Option<PathBuf> {
    const NAME: &str = "libstdc++.a";
    println!("cargo::rerun-if-env-changed=CXX");
    let compiler = env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let said = Command::new(compiler).arg(format!("-print-file-name={NAME}")).output().ok()?;
    let library = PathBuf::from(String::from_utf8(said.stdout).ok()?.trim());
    let folder = PathBuf::from(env::var_os("OUT_DIR")?).join("static");
    fs::create_dir_all(&folder).ok()?;
    // The compiler answers with the bare name when it has none.
    library.is_absolute().then(|| fs::copy(&library, folder.join(NAME)).ok())??;
    Some(folder)
}
