// SPDX-License-Identifier: GPL-2.0-or-later
//! Module sources to shared objects, by the system's C compiler.

use std::env;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use kop_ops::Arch;

use crate::error::ModuleError;

/// Compilers that are looked for, in this order, unless the variable `CC` names one.
const COMPILERS: [&str; 3] = ["cc", "gcc", "clang"];

/// How modules are compiled: the kernel's dialect of C, with buffers on the stack guarded and nothing left undefined.
const FLAGS: &[&str] = &[
    "-std=gnu11",
    "-O2",
    "-g",
    "-fPIC",
    "-shared",
    "-funsigned-char",
    "-fno-strict-aliasing",
    "-fno-strict-overflow",
    "-fno-delete-null-pointer-checks",
    "-fno-common",
    "-fstack-protector-strong",
    "-Wall",
    "-Wno-unused-function",
    "-Wno-unused-const-variable",
    "-Wno-unused-variable",
    "-Werror=implicit-function-declaration",
    "-Werror=implicit-int",
    "-Werror=incompatible-pointer-types",
    "-Werror=return-type",
    "-nostdinc",
    "-Wl,-z,defs",
];

/// What is passed on to the compiler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flags<'a> {
    pub(crate) headers: &'a Path,
    pub(crate) includes: &'a [PathBuf],
    pub(crate) cflags: &'a [String],
}

/// A source that was compiled.
#[derive(Debug)]
pub(crate) struct Compiled {
    /// The shared object.
    pub(crate) object: PathBuf,
    /// The compiler's warnings.
    pub(crate) warnings: String,
}

/// A C compiler: a program and its first arguments.
#[derive(Clone, Debug)]
pub(crate) struct Compiler(Vec<String>);

impl Compiler {
    /// The one that `CC` names, or the first that is there.
    pub(crate) fn find() -> Result<Self, ModuleError> {
        let named = env::var("CC").unwrap_or_default();
        let words: Vec<String> = named.split_whitespace().map(str::to_owned).collect();
        if let Some(program) = words.first() {
            return if runs(program) {
                Ok(Self(words))
            } else {
                Err(ModuleError::NoCompiler(format!("CC is `{named}`, and there is no such program")))
            };
        }
        COMPILERS
            .into_iter()
            .find(|program| runs(program))
            .map(|program| Self(vec![program.to_owned()]))
            .ok_or_else(|| {
                let tried = COMPILERS.join(", ");
                ModuleError::NoCompiler(format!(
                    "none of {tried} is in PATH; install gcc, or name one with CC"
                ))
            })
    }

    /// A compiler that instruments for LLVM's sanitizers: the one that `CC` names, if it is a clang, or `clang`.
    pub(crate) fn find_clang() -> Result<Self, ModuleError> {
        let named = env::var("CC").unwrap_or_default();
        let words: Vec<String> = named.split_whitespace().map(str::to_owned).collect();
        let is_clang = |program: &str| {
            let said = Command::new(program).arg("--version").output();
            said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains("clang"))
        };
        if words.first().is_some_and(|program| is_clang(program)) {
            return Ok(Self(words));
        }
        if is_clang("clang") {
            return Ok(Self(vec!["clang".to_owned()]));
        }
        Err(ModuleError::NoCompiler(
            "a fuzzer needs clang, to see branches; install clang, or name one with CC".to_owned(),
        ))
    }

    fn name(&self) -> &str {
        &self.0[0]
    }

    /// Compiles `source` as for `arch`; the shared object runs on this machine.
    pub(crate) fn compile(
        &self,
        source: &Path,
        arch: Arch,
        flags: &Flags,
        object: PathBuf,
    ) -> Result<Compiled, ModuleError> {
        let mut command = Command::new(&self.0[0]);
        command.args(&self.0[1..]).args(FLAGS);
        command.arg(match arch {
            Arch::X86_64 => "-DCONFIG_X86_64=1",
            Arch::Aarch64 => "-DCONFIG_ARM64=1",
        });
        command.args(["-D__KERNEL__", "-DMODULE", "-include", "linux/kconfig.h"]);
        for folder in flags.includes {
            command.arg("-I").arg(folder);
        }
        command.arg("-isystem").arg(flags.headers).args(flags.cflags);
        command.args(["-x", "c"]).arg(source).arg("-o").arg(&object);
        let output = command.output().map_err(|error| match error.kind() {
            ErrorKind::NotFound => ModuleError::NoCompiler(format!("{} is not there", self.name())),
            _ => ModuleError::System { action: "run the C compiler", error },
        })?;
        let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !said.is_empty() && !said.ends_with('\n') {
            said.push('\n');
        }
        if output.status.success() {
            return Ok(Compiled { object, warnings: said });
        }
        let compiler = self.name().to_owned();
        Err(ModuleError::Compile { path: source.to_owned(), compiler, arch, stderr: said })
    }
}

fn runs(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// Whether a source says with `#error`, and with nothing else, that it is not to be compiled. Compilers show the line in
/// the message or below it.
pub(crate) fn is_declined(stderr: &str) -> bool {
    let lines: Vec<&str> = stderr.lines().collect();
    let is_error = |line: &&str| line.contains(" error: ");
    let declines = |pair: &[&str]| !is_error(&pair[0]) || pair.iter().any(|line| line.contains("#error"));
    lines.iter().any(is_error)
        && lines.windows(2).all(declines)
        && lines.last().is_none_or(|last| !is_error(last) || last.contains("#error"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_declines_with_an_error_directive_alone() {
        let gcc = "a.c:1:2: error: #error \"x86 only\"\n    1 | #error \"x86 only\"\n      |  ^~~~~\n";
        let clang = "a.c:1:2: error: \"x86 only\"\n#error \"x86 only\"\n ^\n1 error generated.\n";
        let other = "a.c:3:5: error: unknown type name 'x'\n    3 | x\n";
        assert!(is_declined(gcc) && is_declined(clang));
        assert!(!is_declined(other) && !is_declined(""));
        assert!(!is_declined(&format!("{gcc}{other}")) && !is_declined(&format!("{clang}{other}")));
    }
}
