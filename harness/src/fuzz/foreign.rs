// SPDX-License-Identifier: GPL-2.0-or-later
//! The operations of the targets `module` and `file`: what the environment names, loaded.
//!
//! | variable | meaning |
//! |---|---|
//! | `KOP_MODULE` | sources of kernel modules, separated by colons, for the target `module` |
//! | `KOP_FILE` | operations as text, separated by colons, for the target `file` |
//! | `KOP_INCLUDE` | directories in which a module's headers are looked for, separated by colons |
//! | `KOP_CFLAGS` | flags for the C compiler, separated by blanks |
//! | `KOP_CONTRACT` | what the site contracts declare, such as `dead=r3`, separated by blanks |
//! | `KOP_PAYLOAD` | valid payloads for learning to start from, separated by blanks |
//! | `KOP_MODULE_BUILD` | a directory into which the modules are built, instead of fuzzing them |
//!
//! Where `KOP_MODULE` and `KOP_FILE` are not set, the operations are those beside the program: the shared objects in
//! `module_data`, which is what `KOP_MODULE_BUILD` makes, and the texts in `file_data`. So a program fuzzes the same wherever
//! its directory is copied to.

use std::ffi::OsString;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use kop_modules::{ModuleError, Options, in_process};
use kop_ops::Kop;

use super::Target;
use crate::describe::shell_word;

/// Operations that are never freed: a fuzzer runs until its process ends.
pub(super) type Loaded = Vec<&'static dyn Kop>;

/// Why a target about operations from outside cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nothing says which operations are meant.
    #[error("{variable} is not set: give the {what}, as in {variable}={example} cargo fuzz run {target}")]
    Unset {
        /// The variable.
        variable: &'static str,
        /// What belongs into it.
        what: &'static str,
        /// A file that shows the form.
        example: &'static str,
        /// The name of the target.
        target: &'static str,
    },
    /// A variable holds what it cannot.
    #[error("{variable}: {reason}")]
    Value {
        /// The variable.
        variable: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The operations cannot be loaded.
    #[error("{0}")]
    Load(String),
    /// Something is missing on this machine.
    #[error("{0}")]
    Environment(String),
}

impl StartError {
    /// The exit code of a command that fails with the error: 3 for the environment, 2 for the rest.
    pub fn exit_code(&self) -> i32 {
        match self {
            StartError::Environment(_) => 3,
            _ => 2,
        }
    }
}

/// The value of an environment variable, or of what stands for the environment in tests.
pub(super) type Environment<'e> = &'e dyn Fn(&str) -> Option<OsString>;

/// What the environment says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    sources: Vec<PathBuf>,
    includes: Vec<PathBuf>,
    cflags: Vec<String>,
    contracts: Vec<String>,
    payloads: Vec<u64>,
}

impl Wanted {
    fn of(target: Target, environment: Environment, program: Option<&Path>) -> Result<Self, StartError> {
        let unset = if matches!(target, Target::Module) {
            StartError::Unset {
                variable: "KOP_MODULE",
                what: "source of a kernel module",
                example: "rotate_x86.c",
                target: "module",
            }
        } else {
            StartError::Unset {
                variable: "KOP_FILE",
                what: "operation as text",
                example: "my.kop.toml",
                target: "file",
            }
        };
        let StartError::Unset { variable, .. } = &unset else { unreachable!("it was made so") };
        let mut sources = paths(environment, variable);
        if sources.is_empty() {
            sources = program.map_or_else(Vec::new, |program| beside(target, program));
        }
        if sources.is_empty() {
            return Err(unset);
        }
        Ok(Self {
            sources,
            includes: paths(environment, "KOP_INCLUDE"),
            cflags: words(environment, "KOP_CFLAGS")?,
            contracts: words(environment, "KOP_CONTRACT")?,
            payloads: payloads(environment)?,
        })
    }
}

/// The operations of the target that are beside a program, in the order of their names.
fn beside(target: Target, program: &Path) -> Vec<PathBuf> {
    let folder = program.with_file_name(format!("{target}_data"));
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_one = |path: &PathBuf| match target {
        Target::Module => in_process::is_plain_object(path),
        _ => path.to_string_lossy().ends_with(".kop.toml"),
    };
    let mut files: Vec<PathBuf> = files.filter(is_one).collect();
    files.sort();
    files
}

fn paths(environment: Environment, variable: &str) -> Vec<PathBuf> {
    let value = environment(variable).unwrap_or_default();
    std::env::split_paths(&value).filter(|path| !path.as_os_str().is_empty()).collect()
}

fn words(environment: Environment, variable: &'static str) -> Result<Vec<String>, StartError> {
    let value = environment(variable).unwrap_or_default();
    let value = value
        .into_string()
        .map_err(|_| StartError::Value { variable, reason: "it is not UTF-8".to_owned() })?;
    Ok(value.split_whitespace().map(str::to_owned).collect())
}

fn payloads(environment: Environment) -> Result<Vec<u64>, StartError> {
    let number = |word: &String| {
        let digits = word.strip_prefix("0x");
        let value = digits.map_or_else(|| word.parse(), |digits| u64::from_str_radix(digits, 16));
        value.ok().filter(|value| value >> kop_ops::payload::PAYLOAD_BITS == 0).ok_or_else(|| {
            let reason = format!("`{word}` is no number of 52 bits, such as 0x1d03");
            StartError::Value { variable: "KOP_PAYLOAD", reason }
        })
    };
    words(environment, "KOP_PAYLOAD")?.iter().map(number).collect()
}

/// What became of what the environment says.
pub(super) enum Outcome {
    /// The operations are there.
    Loaded(Loaded),
    /// They were built into this directory.
    Built(PathBuf),
}

/// Loads, or builds, what the environment says for the target of `program`.
///
/// # Errors
/// [`StartError`].
pub(super) fn load(
    target: Target,
    environment: Environment,
    program: Option<&Path>,
) -> Result<Outcome, StartError> {
    let wanted = Wanted::of(target, environment, program)?;
    if let Target::File = target {
        return wanted.load_files().map(Outcome::Loaded);
    }
    match environment("KOP_MODULE_BUILD") {
        None => wanted.load_modules().map(Outcome::Loaded),
        Some(folder) => {
            let folder = PathBuf::from(folder);
            in_process::build(&wanted.sources, &wanted.options(), &folder).map_err(cannot_load)?;
            Ok(Outcome::Built(folder))
        }
    }
}

fn cannot_load(error: ModuleError) -> StartError {
    if error.is_environment() {
        StartError::Environment(error.to_string())
    } else {
        StartError::Load(error.to_string())
    }
}

impl Wanted {
    fn options(&self) -> Options {
        Options {
            includes: self.includes.clone(),
            cflags: self.cflags.clone(),
            contracts: self.contracts.clone(),
            payloads: self.payloads.clone(),
        }
    }

    fn load_modules(self) -> Result<Loaded, StartError> {
        let loaded = in_process::load(&self.sources, &self.options()).map_err(cannot_load)?;
        Ok(loaded.into_iter().map(leak).collect())
    }

    #[cfg(not(feature = "text"))]
    fn load_files(self) -> Result<Loaded, StartError> {
        Err(StartError::Environment(
            "this build has no operations as text: build it with the feature `text`".to_owned(),
        ))
    }

    #[cfg(feature = "text")]
    fn load_files(self) -> Result<Loaded, StartError> {
        let mut loaded = Loaded::new();
        for file in &self.sources {
            let kops = kop_modules::text::load(file).map_err(|error| StartError::Load(error.to_string()))?;
            loaded.extend(kops.into_iter().map(leak));
        }
        Ok(loaded)
    }
}

fn leak(kop: impl Kop + 'static) -> &'static dyn Kop {
    Box::leak(Box::new(kop))
}

/// The options of the command line by the variables that stand for them, and what separates several values.
const VARIABLES: [(&str, &str, &str); 6] = [
    ("--module", "KOP_MODULE", ":"),
    ("--file", "KOP_FILE", ":"),
    ("--include", "KOP_INCLUDE", ":"),
    ("--cflag", "KOP_CFLAGS", " "),
    ("--contract", "KOP_CONTRACT", " "),
    ("--payload", "KOP_PAYLOAD", " "),
];

/// What has to stand before `cargo fuzz` so that it finds these operations again, in this order; empty for the catalog's own.
pub(super) fn environment_of(kops: &[&dyn Kop]) -> String {
    let arguments: Vec<&[String]> = kops.iter().flat_map(|kop| kop.arguments().chunks(2)).collect();
    let mut text = String::new();
    for (option, variable, separator) in VARIABLES {
        let mut values: Vec<&str> = Vec::new();
        for argument in arguments.iter().filter(|argument| argument[0] == option) {
            let value = argument.get(1).map_or("", String::as_str);
            if !values.contains(&value) {
                values.push(value);
            }
        }
        if !values.is_empty() {
            let _ = write!(text, "{variable}={} ", shell_word(&values.join(separator)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use kop_ops::ebpf::Insn;
    use kop_ops::{Fault, Form, Reject, Site, State};

    use super::*;

    fn wanted(target: Target, variables: &[(&str, &str)]) -> Result<Wanted, String> {
        let environment = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Wanted::of(target, &environment, None).map_err(|error| {
            assert_eq!(error.exit_code(), 2);
            error.to_string()
        })
    }

    #[test]
    fn lists_are_split_and_empty_parts_left_out() {
        let variables = [
            ("KOP_MODULE", "a.c::b/c.c"),
            ("KOP_INCLUDE", "/x:y"),
            ("KOP_CFLAGS", " -DA=1  -O0"),
            ("KOP_CONTRACT", "dead=r3"),
            ("KOP_PAYLOAD", "0x10 17"),
        ];
        let expected = Wanted {
            sources: vec!["a.c".into(), "b/c.c".into()],
            includes: vec!["/x".into(), "y".into()],
            cflags: vec!["-DA=1".into(), "-O0".into()],
            contracts: vec!["dead=r3".into()],
            payloads: vec![16, 17],
        };
        assert_eq!(wanted(Target::Module, &variables), Ok(expected));
    }

    #[test]
    fn what_is_missing_or_wrong_is_one_line_with_the_way_out() {
        type Case<'a> = (Target<'a>, &'a [(&'a str, &'a str)], &'a str);
        let cases: [Case; 5] = [
            (
                Target::Module,
                &[],
                "KOP_MODULE is not set: give the source of a kernel module, as in KOP_MODULE=",
            ),
            (
                Target::File,
                &[("KOP_MODULE", "a.c")],
                "KOP_FILE is not set: give the operation as text, as in",
            ),
            (Target::File, &[("KOP_FILE", ":")], "KOP_FILE is not set"),
            (
                Target::Module,
                &[("KOP_MODULE", "a.c"), ("KOP_PAYLOAD", "r3")],
                "KOP_PAYLOAD: `r3` is no number of 52 bits, such as 0x1d03",
            ),
            (
                Target::Module,
                &[("KOP_MODULE", "a.c"), ("KOP_PAYLOAD", "0x10000000000000")],
                "KOP_PAYLOAD: `0x10000000000000` is no number",
            ),
        ];
        for (target, variables, start) in cases {
            let error = wanted(target, variables).expect_err(start);
            assert!(error.starts_with(start), "{error}");
            assert_eq!(error.lines().count(), 1);
        }
    }

    #[test]
    fn where_nothing_is_set_the_operations_are_those_beside_the_program() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        for name in [
            "module_data/b.so",
            "module_data/a.so",
            "module_data/a.fuzz.so",
            "file_data/c.kop.toml",
            "file_data/c",
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("in a folder")).expect("writable");
            fs::write(path, "").expect("writable");
        }
        let program = folder.path().join("module");
        let sources = |target, environment: Environment| {
            let wanted = Wanted::of(target, environment, Some(&program)).expect("there are some");
            let below =
                |path: &PathBuf| path.strip_prefix(folder.path()).unwrap_or(path).display().to_string();
            wanted.sources.iter().map(below).collect::<Vec<_>>()
        };
        assert_eq!(sources(Target::Module, &|_| None), ["module_data/a.so", "module_data/b.so"]);
        assert_eq!(sources(Target::File, &|_| None), ["file_data/c.kop.toml"]);
        let named = |variable: &str| (variable == "KOP_MODULE").then(|| OsString::from("x.c"));
        assert_eq!(sources(Target::Module, &named), ["x.c"]);
        let elsewhere = Wanted::of(Target::Module, &|_| None, Some(Path::new("/no/such/folder/module")));
        assert!(elsewhere.is_err_and(|error| error.to_string().starts_with("KOP_MODULE is not set")));
    }

    /// An operation that a command line finds by these arguments.
    struct Found(Vec<String>);

    impl Kop for Found {
        fn name(&self) -> &str {
            "found"
        }

        fn summary(&self) -> &str {
            "found"
        }

        fn source(&self) -> &str {
            "found.c"
        }

        fn forms(&self) -> &[Form] {
            &[]
        }

        fn model(&self, _: &Site, _: &mut State) -> Option<Result<(), Fault>> {
            None
        }

        fn proof(&self, _: &Site) -> Result<Vec<Insn>, Reject> {
            Err(Reject::operands("none"))
        }

        fn arguments(&self) -> &[String] {
            &self.0
        }
    }

    #[test]
    fn the_environment_is_that_of_all_operations_together() {
        let found = |words: &[&str]| Found(words.iter().map(|&word| word.to_owned()).collect());
        let first = found(&["--module", "a.c", "--module", "b.c", "--cflag", "-DX=1", "--payload", "0x10"]);
        let second =
            found(&["--module", "b.c", "--cflag", "-DX=1", "--cflag", "-O0", "--contract", "dead=r3"]);
        assert_eq!(
            environment_of(&[&first, &second]),
            "KOP_MODULE=a.c:b.c KOP_CFLAGS='-DX=1 -O0' KOP_CONTRACT=dead=r3 KOP_PAYLOAD=0x10 "
        );
        assert_eq!(environment_of(&[&found(&["--file", "my op.kop.toml"])]), "KOP_FILE='my op.kop.toml' ");
        assert_eq!(environment_of(&[&kop_ops::kops::rotate::Rotate]), "");
    }
}
