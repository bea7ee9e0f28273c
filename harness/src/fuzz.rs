// SPDX-License-Identifier: GPL-2.0-or-later
//! What fuzz targets call: a fuzzer's bytes become a case and states derived from it, or something for an assembler or a
//! decoder, and what is wrong is a panic. A target itself is one line.
//!
//! # Feedback
//! libFuzzer sees the coverage of Rust code alone. The code under test is emulated, so [`feedback`] tells it through extra
//! counters which form, aliasing and operands an input has, which instructions were emitted, and which jumps of the
//! proof its first state took. With the environment variable `KOP_FEEDBACK=off` nothing is told, to see what that is
//! worth.
//!
//! # Findings
//! Before anything else a finding is written to the directory that `KOP_FINDINGS` names (`fuzz/findings` otherwise): the
//! case, and beside it the bytes. An input that does not come back is written down shortly before the fuzzer stops it.
//! `KOP_PLANT` names a planted fault to be found, as a test of all this.

mod assemblers;
mod crash;
mod decoders;
mod feedback;
mod foreign;
mod input;
mod neighbours;
mod operations;
mod plant;
mod programs;
mod rare;
pub mod replay;
pub mod seeds;
mod unfinished;

use std::cell::RefCell;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};

use kop_modules::in_process;
use kop_ops::{Catalog, Kop};

pub use crate::generate::FuzzInput;
pub use feedback::{COUNTERS, Feedback};
pub use foreign::StartError;
pub use input::Input;
use neighbours::Neighbours;
use programs::Source;
pub use rare::Rare;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// One operation, all forms, both architectures.
    Operation(&'a dyn Kop),
    /// Every operation of the catalog: the input chooses.
    All,
    /// Our assemblers against Keystone.
    Assemblers,
    /// Decoders and parsers on bytes and text.
    Decoders,
    /// Random programs on every engine.
    Program,
    /// Programs and what they are rewritten to.
    Rewrite,
    /// Single instructions in the JITs.
    JitInstruction,
    /// The loader of program files.
    Loader,
    /// The operations of kernel modules: those that the command line would find by `--module`.
    Module,
    /// Operations as text: those that the command line would find by `--file`.
    File,
}

/// A target that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown fuzz target `{name}` (known: {known})")]
pub struct UnknownTarget {
    /// Its name.
    pub name: String,
    /// The names there are.
    pub known: String,
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Target::Operation(kop) => kop.name(),
            Target::All => "all",
            Target::Assemblers => "assemblers",
            Target::Decoders => "decoders",
            Target::Program => "program",
            Target::Rewrite => "rewrite",
            Target::JitInstruction => "jit_instruction",
            Target::Loader => "loader",
            Target::Module => "module",
            Target::File => "file",
        })
    }
}

impl<'a> Target<'a> {
    /// Every target: one for each operation of the catalog that is written in Rust, and those about more than one.
    pub fn list(catalog: &Catalog<'a>) -> Vec<Self> {
        let operations = own(catalog).into_iter().map(Target::Operation);
        let others = [
            Target::All,
            Target::Assemblers,
            Target::Decoders,
            Target::Program,
            Target::Rewrite,
            Target::JitInstruction,
            Target::Loader,
            Target::Module,
            Target::File,
        ];
        operations.chain(others).collect()
    }

    /// The target called `name`.
    ///
    /// # Errors
    /// [`UnknownTarget`] with the names there are.
    pub fn find(catalog: &Catalog<'a>, name: &str) -> Result<Self, UnknownTarget> {
        let all = Self::list(catalog);
        all.iter().copied().find(|target| target.to_string() == name).ok_or_else(|| UnknownTarget {
            name: name.to_owned(),
            known: all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        })
    }

    /// The operations among which an input chooses; empty for targets that are about none.
    pub fn kops(self, catalog: &Catalog<'a>) -> Vec<&'a dyn Kop> {
        match self {
            Target::Operation(kop) => vec![kop],
            // Programs have sites of all.
            Target::All | Target::Program | Target::Rewrite => own(catalog),
            Target::Module | Target::File => self.foreign(catalog),
            Target::Assemblers | Target::Decoders | Target::JitInstruction | Target::Loader => Vec::new(),
        }
    }

    /// The operations of the catalog that come from outside by the option of the command line that stands for the target.
    fn foreign(self, catalog: &Catalog<'a>) -> Vec<&'a dyn Kop> {
        let option = format!("--{self}");
        let is_meant = |kop: &&dyn Kop| kop.arguments().first() == Some(&option);
        catalog.kops().iter().copied().filter(is_meant).collect()
    }

    /// What an input means to the target, as text.
    pub fn show(self, catalog: &Catalog<'a>, bytes: &[u8]) -> String {
        match self {
            Target::Operation(_) | Target::All | Target::Module | Target::File => {
                match &self.kops(catalog)[..] {
                    [] => format!("there is no operation to fuzz: give some by --{self}\n"),
                    kops => input::show(kops, bytes),
                }
            }
            Target::Assemblers => assemblers::show(bytes),
            Target::Decoders => decoders::show(bytes),
            Target::Program => programs::case(Source::Program, catalog, bytes).to_string(),
            Target::Rewrite => programs::case(Source::Rewrite, catalog, bytes).to_string(),
            Target::JitInstruction => programs::case(Source::Instruction, catalog, bytes).to_string(),
            Target::Loader => programs::show_loaded(catalog, bytes),
        }
    }

    /// How many states an input of an operation's target runs: none when both sides have to refuse its payload, and none for
    /// targets that are about no operation.
    pub fn states(self, catalog: &Catalog<'a>, bytes: &[u8]) -> usize {
        match &self.kops(catalog)[..] {
            [] => 0,
            kops => input::decode(kops, bytes).load().map_or(0, |load| load.count()),
        }
    }

    /// Tries an input.
    ///
    /// # Panics
    /// With a report, when something is wrong: a fuzzer's way to hear of it.
    pub fn run(self, catalog: &Catalog<'a>, bytes: &[u8], feedback: Feedback) {
        self.run_into(catalog, bytes, feedback, &findings_folder());
    }

    /// Like [`Target::run`], with findings written to a directory of one's own.
    ///
    /// # Panics
    /// As [`Target::run`].
    pub fn run_into(self, catalog: &Catalog<'a>, bytes: &[u8], feedback: Feedback, findings: &Path) {
        match self {
            Target::Operation(_) | Target::All | Target::Module | Target::File => {
                assert!(
                    !self.kops(catalog).is_empty(),
                    "there is no operation to fuzz: give some by --{self}"
                );
                let check = operations::Check { target: &self.to_string(), bytes, findings };
                check.run(&self.kops(catalog), feedback);
            }
            Target::Assemblers => assemblers::check(bytes),
            Target::Decoders => decoders::check(catalog, bytes),
            Target::Program => programs::check(Source::Program, catalog, bytes, feedback, findings),
            Target::Rewrite => programs::check_rewritten(catalog, bytes, feedback, findings),
            Target::JitInstruction => {
                programs::check(Source::Instruction, catalog, bytes, feedback, findings);
            }
            Target::Loader => programs::check_loader(catalog, bytes),
        }
    }
}

/// Where findings are written.
fn findings_folder() -> PathBuf {
    std::env::var_os("KOP_FINDINGS").map_or_else(|| PathBuf::from("fuzz/findings"), PathBuf::from)
}

/// The operations that are written in Rust.
fn own<'a>(catalog: &Catalog<'a>) -> Vec<&'a dyn Kop> {
    catalog.kops().iter().copied().filter(|kop| kop.arguments().is_empty()).collect()
}

/// The operations from outside, once [`start`] has loaded them.
static FOREIGN: OnceLock<foreign::Loaded> = OnceLock::new();

/// The catalog under test: with operations from outside, and with the fault that `KOP_PLANT` names instead of the sound
/// operation.
static CATALOG: LazyLock<Catalog<'static>> = LazyLock::new(|| {
    let foreign = FOREIGN.get().into_iter().flatten();
    let catalog = foreign.fold(Catalog::einsn(), |catalog, &kop| catalog.and(kop));
    match planted() {
        Ok(Some(kop)) => catalog.and(Box::leak(kop)),
        Ok(None) => catalog,
        Err(error) => panic!("{error}"),
    }
});

/// The environment of this process.
fn environment(variable: &str) -> Option<OsString> {
    std::env::var_os(variable)
}

/// The operation with the fault that `KOP_PLANT` names, if it names one, which is then said on standard error.
///
/// # Errors
/// [`StartError`] when there is no such fault.
pub fn planted() -> Result<Option<Box<dyn Kop>>, StartError> {
    let planted = planted_quietly()?;
    if let Some(kop) = &planted {
        eprintln!("{}", plant::warning(&**kop, &environment));
    }
    Ok(planted)
}

/// As [`planted()`], for a child of a process that has said it.
///
/// # Errors
/// As [`planted()`].
pub fn planted_quietly() -> Result<Option<Box<dyn Kop>>, StartError> {
    plant::planted(&environment)
}

/// What [`start`] has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// Everything is ready for inputs.
    Ready,
    /// Modules were built into this directory, which is all that was asked for.
    Built(PathBuf),
}

/// Prepares the target called `name`, once, before any input: loads the operations from outside that the environment names
/// or that are beside the program, plants the fault that it names, and begins to look after inputs.
///
/// # Errors
/// [`StartError`] when there are no operations, when they cannot be loaded, or when there is no such fault.
pub fn start(name: &str) -> Result<Started, StartError> {
    let target = [Target::Module, Target::File].into_iter().find(|target| target.to_string() == name);
    if let Some(target) = target {
        let program = std::env::current_exe().ok();
        match foreign::load(target, &environment, program.as_deref())? {
            foreign::Outcome::Loaded(loaded) => _ = FOREIGN.get_or_init(|| loaded),
            foreign::Outcome::Built(folder) => return Ok(Started::Built(folder)),
        }
    }
    planted_quietly()?;
    LazyLock::force(&CATALOG);
    unfinished::watch();
    Ok(Started::Ready)
}

/// Runs the target called `name` on a fuzzer's input: the body of every fuzz target.
///
/// # Panics
/// With a report when something is wrong, and when there is no such target.
pub fn run(name: &str, input: FuzzInput, feedback: Feedback) {
    let target = Target::find(&CATALOG, name).unwrap_or_else(|error| panic!("{error}"));
    if matches!(target, Target::Module) {
        // Here and not when it starts: by now the fuzzer has installed its own handlers, which report after ours.
        in_process::watch(crash::report);
    }
    let trial = unfinished::Trial::new(target, input.bytes);
    target.run(&CATALOG, input.bytes, feedback);
    drop(trial);
    if matches!(target, Target::Module) {
        NEIGHBOURS.with_borrow_mut(|search| search.look(&target.kops(&CATALOG), input.bytes));
    }
}

thread_local! {
    static NEIGHBOURS: RefCell<Neighbours> = RefCell::default();
}

/// The mutator of the target `module`: `data` holds an input of `size` bytes and room for `max_size`. Writes the next input and
/// returns its size, or leaves it to `fuzzer`, the fuzzer's own mutator.
pub fn mutate(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    fuzzer: impl FnOnce(&mut [u8], usize, usize) -> usize,
) -> usize {
    let own = NEIGHBOURS.with_borrow_mut(|search| search.next(data, size, max_size, seed));
    own.unwrap_or_else(|| fuzzer(data, size, max_size))
}
