// SPDX-License-Identifier: GPL-2.0-or-later
//! Operations that a command takes from files: kernel modules and operations as text.

use std::fmt::Write;
use std::path::PathBuf;

#[cfg(feature = "text")]
use kop_modules::text::{self, TextKop};
use kop_modules::{ModuleError, ModuleKop, Options, Timings};
use kop_ops::payload::PAYLOAD_BITS;
use kop_ops::{Catalog, Kop};

use super::Failure;

/// The options that name operations in files, for every command that takes operations.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Operations from files")]
pub struct Sources {
    /// A kernel module: a C source or a shared object; the files for x86-64 and ARM64 go together
    #[arg(long = "module", value_name = "FILE")]
    modules: Vec<PathBuf>,
    /// An operation as text (docs/operations-as-text.md)
    #[cfg(feature = "text")]
    #[arg(long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A directory with headers of the modules
    #[arg(long = "include", value_name = "DIR", requires = "modules")]
    includes: Vec<PathBuf>,
    /// A flag for the C compiler, as in --cflag=-DFEATURE
    #[arg(long = "cflag", value_name = "FLAG", requires = "modules", allow_hyphen_values = true)]
    cflags: Vec<String>,
    /// What is dead after each site of a module: dead=r3, or the register in dead=payload[16:19]; OP:dead=r3 for one of several
    #[arg(long = "contract", value_name = "CONDITION", requires = "modules")]
    contracts: Vec<String>,
    /// A payload that a module accepts, where none is found without help
    #[arg(long = "payload", value_name = "P", value_parser = parse_payload)]
    payloads: Vec<u64>,
}

/// A payload as a number, decimal or `0x..`.
pub fn parse_payload(text: &str) -> Result<u64, String> {
    let digits = text.replace('_', "");
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    match value {
        Ok(value) if value >> PAYLOAD_BITS == 0 => Ok(value),
        _ => Err(format!("`{text}` is no number of {PAYLOAD_BITS} bits, such as 0x1d03")),
    }
}

impl Sources {
    /// Loads the operations: compiles modules and learns which payloads they take, reads texts.
    ///
    /// # Errors
    /// [`Failure`] with what the compiler, a module or a text has wrong.
    pub fn load(&self) -> Result<Loaded, Failure> {
        if self.modules.is_empty() && !self.payloads.is_empty() {
            return Err(Failure::usage(
                "--payload goes with --module <FILE>: the operations here say themselves what they accept",
            ));
        }
        self.load_with_payloads()
    }

    /// What was given, as words of a command line.
    pub fn words(&self) -> Vec<String> {
        let paths = |option: &str, paths: &[PathBuf]| -> Vec<String> {
            paths.iter().flat_map(|path| [option.to_owned(), path.display().to_string()]).collect()
        };
        let mut words = paths("--module", &self.modules);
        #[cfg(feature = "text")]
        words.extend(paths("--file", &self.files));
        words.extend(paths("--include", &self.includes));
        words.extend(self.cflags.iter().map(|flag| format!("--cflag={flag}")));
        words
            .extend(self.contracts.iter().flat_map(|condition| ["--contract".to_owned(), condition.clone()]));
        words.extend(self.payloads.iter().map(|payload| format!("--payload={payload:#x}")));
        words
    }

    /// What the files hold that operations come from; one that cannot be read is for [`Sources::load`] to tell.
    pub fn contents(&self) -> Vec<Vec<u8>> {
        let paths = self.modules.iter();
        #[cfg(feature = "text")]
        let paths = paths.chain(&self.files);
        let words = self.cflags.iter().chain(&self.contracts).map(|word| word.clone().into_bytes());
        paths.filter_map(|path| std::fs::read(path).ok()).chain(words).collect()
    }

    /// The payloads that were named.
    pub fn payloads(&self) -> &[u64] {
        &self.payloads
    }

    /// As [`Sources::load`], for a command to which payloads are more than a help for learning.
    ///
    /// # Errors
    /// As [`Sources::load`].
    pub fn load_with_payloads(&self) -> Result<Loaded, Failure> {
        let options = Options {
            includes: self.includes.clone(),
            cflags: self.cflags.clone(),
            contracts: self.contracts.clone(),
            payloads: self.payloads.clone(),
        };
        let modules =
            if self.modules.is_empty() { Vec::new() } else { kop_modules::load(&self.modules, &options)? };
        let loaded = Loaded {
            modules,
            #[cfg(feature = "text")]
            texts: self.texts()?,
        };
        loaded.check_names()?;
        Ok(loaded)
    }

    #[cfg(feature = "text")]
    fn texts(&self) -> Result<Vec<TextKop>, Failure> {
        let mut texts = Vec::new();
        for file in &self.files {
            texts.extend(text::load(file).map_err(Failure::usage)?);
        }
        Ok(texts)
    }
}

/// The operations of the files that were named.
pub struct Loaded {
    modules: Vec<ModuleKop>,
    #[cfg(feature = "text")]
    texts: Vec<TextKop>,
}

impl Loaded {
    /// The operations, modules first, in the order in which they were named.
    pub fn kops(&self) -> Vec<&dyn Kop> {
        let kops = self.modules.iter().map(|kop| kop as &dyn Kop);
        #[cfg(feature = "text")]
        let kops = kops.chain(self.texts.iter().map(|kop| kop as &dyn Kop));
        kops.collect()
    }

    /// What a command is about: the operations of the files, or those of EInsn when no file was named.
    pub fn catalog(&self) -> Catalog<'_> {
        let kops = self.kops();
        if kops.is_empty() {
            return Catalog::einsn();
        }
        kops.into_iter().fold(Catalog::empty(), Catalog::and)
    }

    /// The operations of EInsn and of the files, for cases and programs, which may use any of them; a file's operation takes
    /// the place of one of the same name.
    pub fn everything(&self) -> Catalog<'_> {
        self.kops().into_iter().fold(Catalog::einsn(), Catalog::and)
    }

    /// What was learned of each module's operations, a line each.
    pub fn learned(&self) -> String {
        let mut text = String::new();
        for kop in &self.modules {
            let sources: Vec<String> = kop.sources().iter().map(|path| path.display().to_string()).collect();
            let _ = writeln!(text, "{}, {}", kop.registered_name(), sources.join(", "));
            for line in kop.learned().to_string().lines() {
                let _ = writeln!(text, "  {line}");
            }
        }
        text
    }

    /// How long compiling and learning took; `None` when there was nothing of the kind to do.
    pub fn timings(&self) -> Option<Timings> {
        let first = self.modules.first()?.timings();
        // All modules are compiled together.
        let learn = self.modules.iter().map(|kop| kop.timings().learn).sum();
        Some(Timings { compile: first.compile, learn })
    }

    /// Two files that are no parts of one operation must not share a name: a catalog would hold the last one alone.
    fn check_names(&self) -> Result<(), Failure> {
        let kops = self.kops();
        for (index, kop) in kops.iter().enumerate() {
            if let Some(other) = kops[..index].iter().find(|other| other.name() == kop.name()) {
                let (name, a, b) = (kop.name(), other.source(), kop.source());
                return Err(Failure::usage(format!(
                    "{a} and {b} both hold an operation `{name}`; name one of them"
                )));
            }
        }
        Ok(())
    }
}

impl From<ModuleError> for Failure {
    fn from(error: ModuleError) -> Self {
        if error.is_environment() {
            return Failure::environment(error);
        }
        let message = error.to_string();
        match &error {
            // The compiler's words stand alone, as it printed them.
            ModuleError::Compile { stderr, .. } => {
                let line = message.strip_prefix(stderr.as_str()).unwrap_or(&message);
                Failure::Compiler { words: stderr.clone(), line: line.to_owned() }
            }
            _ => Failure::Usage(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_numbers_of_52_bits() {
        for (text, payload) in [("0x1d03", 0x1d03), ("7", 7), ("0xf_ffff_ffff_ffff", (1 << 52) - 1)] {
            assert_eq!(parse_payload(text), Ok(payload), "{text}");
        }
        for bad in ["", "0x", "r3", "-1", "0x10000000000000"] {
            assert!(parse_payload(bad).is_err(), "{bad}");
        }
    }
}
