// SPDX-License-Identifier: GPL-2.0-or-later
//! clang: C to bytecode, and the same C to native code of this machine.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use object::{Object as _, ObjectSection as _, ObjectSegment as _, ObjectSymbol as _};

use super::BenchError;

/// What both outputs are compiled with.
const COMMON: &[&str] = &["-O2", "-ffreestanding", "-fno-strict-aliasing", "-w"];

const BYTECODE: &[&str] = &["-g", "-target", "bpf", "-mcpu=v3", "-c"];

const NATIVE: &[&str] = &[
    "-march=native",
    "-fPIC",
    "-shared",
    "-nostdlib",
    "-fno-stack-protector",
    "-fcf-protection=none",
    "-fno-asynchronous-unwind-tables",
    "-Wl,-Bsymbolic",
    "-Wl,--build-id=none",
];

/// Code that runs at any address.
pub struct NativeCode {
    /// The bytes, read-only data included.
    pub bytes: Vec<u8>,
    /// The offset of the program.
    pub entry: usize,
    /// Bytes of instructions.
    pub code_bytes: usize,
}

/// The object that clang makes of a source for eBPF.
///
/// # Errors
/// [`BenchError::Environment`] without clang, and [`BenchError::Input`] with the first line of what it says.
pub fn bytecode(source: &Path) -> Result<Vec<u8>, BenchError> {
    compile(source, BYTECODE)
}

/// The native code of the program `name` in a source, with what this CPU has, or with general registers alone.
///
/// # Errors
/// Why there is none, in one line.
pub fn native(source: &Path, name: &str, general: bool) -> Result<NativeCode, String> {
    let mut flags = NATIVE.to_vec();
    if general {
        flags.push("-mgeneral-regs-only");
    }
    let bytes = compile(source, &flags).map_err(|error| error.to_string())?;
    let file = object::File::parse(&*bytes).map_err(|error| error.to_string())?;
    for section in file.sections() {
        let section_name = section.name().unwrap_or("");
        if section_name.starts_with(".rela") && section.size() > 0 {
            return Err("its native code refers to what is elsewhere".to_owned());
        }
        if matches!(section_name, ".data" | ".bss" | ".maps") && section.size() > 0 {
            return Err("it has data that it writes".to_owned());
        }
    }
    let symbol = file.dynamic_symbols().find(|symbol| symbol.name() == Ok(name));
    let entry = symbol.ok_or_else(|| format!("there is no function `{name}`"))?.address() as usize;
    let end = file.segments().map(|segment| segment.address() + segment.size()).max().unwrap_or(0);
    let mut image = vec![0; end as usize];
    for segment in file.segments() {
        let data = segment.data().map_err(|error| error.to_string())?;
        image[segment.address() as usize..][..data.len()].copy_from_slice(data);
    }
    // Programs lie in sections of their own.
    let code = file.sections().filter(|section| section.kind() == object::SectionKind::Text);
    let code_bytes = code.map(|section| section.size() as usize).sum();
    Ok(NativeCode { bytes: image, entry, code_bytes })
}

fn compile(source: &Path, flags: &[&str]) -> Result<Vec<u8>, BenchError> {
    let input = |error: &dyn std::fmt::Display| BenchError::Input(format!("{}: {error}", source.display()));
    let output = tempfile::NamedTempFile::new().map_err(|error| input(&error))?;
    let folder = source.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let mut command = Command::new("clang");
    command.args(COMMON).args(flags);
    for include in [folder.to_owned(), folder.join("include"), folder.join("../include"), system_headers()] {
        command.arg("-I").arg(include);
    }
    let made = command.arg(source).arg("-o").arg(output.path()).output().map_err(|error| {
        let advice = "install it (Debian: clang), or give the program as NAME.o";
        match error.kind() {
            ErrorKind::NotFound => BenchError::Environment(format!(
                "{}: clang, which compiles it, is not installed: {advice}",
                source.display()
            )),
            _ => BenchError::Environment(format!("clang cannot be run ({error}): {advice}")),
        }
    })?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr);
        let line =
            said.lines().find(|line| line.contains("error")).or(said.lines().next()).unwrap_or("it fails");
        return Err(BenchError::Input(format!("clang: {line}")));
    }
    std::fs::read(output.path()).map_err(|error| input(&error))
}

/// Where Debian has the headers of this architecture, which `linux/bpf.h` takes others from.
fn system_headers() -> std::path::PathBuf {
    format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH).into()
}
