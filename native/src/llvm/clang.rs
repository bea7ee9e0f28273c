// SPDX-License-Identifier: GPL-2.0-or-later
//! clang as a process: IR goes in, an object file comes out.

use std::io::{ErrorKind, Write as _};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use kop_ops::Arch;

use super::text::Pointers;

/// The first version whose pointers have no types.
const UNTYPED: u32 = 15;

/// The oldest version that was tried.
const OLDEST: u32 = 14;

static VERSION: LazyLock<Result<u32, String>> = LazyLock::new(find);

/// The version of the clang that there is.
///
/// # Errors
/// Why there is none that is fit, in one line.
pub fn version() -> Result<u32, String> {
    VERSION.clone()
}

/// What pointers are to it.
pub(super) fn pointers() -> Result<Pointers, String> {
    Ok(if version()? < UNTYPED { Pointers::Typed } else { Pointers::Untyped })
}

fn find() -> Result<u32, String> {
    let said = Command::new("clang").arg("--version").output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => "clang is not installed (Debian: clang)".to_owned(),
        _ => format!("clang cannot be run ({error}): install it (Debian: clang)"),
    })?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let number = said.split("clang version ").nth(1).and_then(|rest| rest.split('.').next()?.parse().ok());
    match number {
        Some(number) if number >= OLDEST => Ok(number),
        Some(number) => {
            Err(format!("clang is version {number}: {OLDEST} or newer is needed (Debian: clang)"))
        }
        None => Err("`clang --version` does not say which version it is".to_owned()),
    }
}

/// The object file that clang makes of IR.
pub(super) fn compile(text: &str, arch: Arch) -> Result<Vec<u8>, String> {
    version()?;
    let mut command = Command::new("clang");
    command.args(["-x", "ir", "-c", "-O2", "-fPIC", "-w", "-fno-crash-diagnostics", "-o", "-", "-"]);
    match arch {
        Arch::X86_64 => command.arg("--target=x86_64-unknown-linux-gnu"),
        // So that all addresses are distances from the code, wherever that is.
        Arch::Aarch64 => command.args(["--target=aarch64-unknown-linux-gnu", "-mcmodel=tiny"]),
    };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let failed = |error: std::io::Error| format!("clang cannot be run: {error}");
    let mut child = command.spawn().map_err(failed)?;
    // What it does not read to the end, it complains about.
    let written = child.stdin.take().map(|mut input| input.write_all(text.as_bytes()));
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let line = said.lines().find(|line| line.contains("error")).or(said.lines().next());
        return Err(format!("clang: {}", line.unwrap_or("it fails")));
    }
    match written {
        Some(Err(error)) => Err(failed(error)),
        _ => Ok(output.stdout),
    }
}
