// SPDX-License-Identifier: GPL-2.0-or-later
//! The ways to run a program, behind one trait; one that is not here is a value with its reason.
//!
//! A new one is a file and an entry of [`BACKENDS`]. One of our own compilers implements [`Backend::compile`], and runs programs
//! with maps as well as those without.

mod auto;
pub mod jit;
mod kernel;
#[cfg(feature = "prover")]
mod kops;
mod native;
mod rbpf;
mod whole;

pub use kernel::placed as kernel_image;

use std::time::Instant;

use kop_emulators::traffic::Programs;
use kop_ops::{Code, Program};
use kop_reports::{SiteBytes, Spread, Trusted};

use super::machine::{Call, Machine};
use super::suite::Sample;
use crate::tier::Tier;

/// A way to run a program.
pub trait Backend {
    /// Makes a program without maps and helper functions ready to be called.
    ///
    /// # Errors
    /// Why this program does not run so, in one line.
    fn build(&self, machine: &Machine, sample: &Sample) -> Result<Built, String>;

    /// Compiles all programs of the file to run over traffic.
    ///
    /// # Errors
    /// Why this program does not run so, in one line.
    fn compile(&self, machine: &Machine, sample: &Sample) -> Result<Compiled, String>;

    /// The programs that it compiles.
    fn programs(&self, sample: &Sample) -> Vec<Program> {
        sample.object.programs.clone()
    }

    /// What has to be believed of it beyond the kernel's own compiler. Our JIT stands for that one.
    fn trusted(&self) -> Vec<Trusted> {
        Vec::new()
    }

    /// What it put into a program that may be left out again, to know what it brings.
    fn parts(&self, _sample: &Sample) -> Vec<Part> {
        Vec::new()
    }
}

/// An operation that a backend puts into a program.
pub struct Part {
    /// The operation.
    pub operation: String,
    /// Its sites.
    pub sites: usize,
    /// The instructions that stood in their place.
    pub replaced: usize,
    /// The backend that makes the program without it.
    pub without: Box<dyn Backend>,
}

/// A program that can be called.
pub struct Built {
    /// How.
    pub call: Call,
    /// Bytes of code, where they are known.
    pub code_bytes: Option<usize>,
    /// How it was made.
    pub making: Making,
}

/// Programs for traffic.
pub struct Compiled {
    /// One for each program of the file.
    pub codes: Vec<Code>,
    /// How that of the program that is measured was made.
    pub making: Making,
}

impl Compiled {
    /// The programs, of which the sample's gets packets.
    pub fn programs(&self, sample: &Sample) -> Programs<'_> {
        Programs { codes: &self.codes, entry: sample.index }
    }
}

/// How code was made.
#[derive(Clone, Debug, Default)]
pub struct Making {
    /// How long it took.
    pub compile_ns: Option<Spread>,
    /// How long it took to rewrite the program before.
    pub rewrite_ns: Option<f64>,
    /// The backend that made it, where another chose among several.
    pub compiler: Option<&'static str>,
    /// The bytes of native code at the sites of each operation in the program that is measured.
    pub sites: Vec<SiteBytes>,
}

impl Making {
    /// By the backend itself.
    const fn new(compile_ns: Option<Spread>) -> Self {
        Self { compile_ns, rewrite_ns: None, compiler: None, sites: Vec::new() }
    }
}

/// A backend before it is made.
pub struct BackendKind {
    /// Its name.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// Makes it, or says why it is not here.
    pub make: fn(&Machine) -> Result<Box<dyn Backend>, String>,
}

/// Why backends that run one program alone do not run others.
const ALONE: &str = "it runs programs without maps and helper functions: those of user space are not the kernel's to compare with";

#[cfg(not(feature = "prover"))]
mod kops {
    use super::{Backend, jit};

    /// Rewriting needs the prover.
    pub fn make(_form: jit::Form, _profiled: bool) -> Result<Box<dyn Backend>, String> {
        Err("built without the prover, which shows that a program with Kops is the same".to_owned())
    }
}

/// Every backend, in the order of reports.
pub const BACKENDS: &[BackendKind] = &[
    BackendKind {
        name: "kernel",
        about: "the kernel's JIT, through BPF_PROG_TEST_RUN, less an empty program",
        make: kernel::test_run,
    },
    BackendKind {
        name: "kernel-image",
        about: "the code of the kernel's JIT, read back and run in user space",
        make: kernel::image,
    },
    BackendKind { name: "rbpf", about: "rbpf's JIT", make: rbpf::make },
    BackendKind {
        name: "jit",
        about: "our JIT, without Kops",
        make: |machine| jit::make(machine, jit::Form::Plain),
    },
    BackendKind {
        name: "jit-guarded",
        about: "our JIT, without Kops, with checked accesses and fuel",
        make: |machine| jit::make(machine, jit::Form::Guarded),
    },
    BackendKind {
        name: "kops",
        about: "our JIT with Kops in general registers, as the kernel could have them",
        make: |_| kops::make(jit::Form::Kops, false),
    },
    BackendKind {
        name: "kops-simd",
        about: "our JIT with Kops, with SIMD",
        make: |_| kops::make(jit::Form::KopsSimd, false),
    },
    BackendKind {
        name: "kops-profile",
        about: "our JIT with Kops chosen by a profile of branches",
        make: |_| kops::make(jit::Form::Kops, true),
    },
    BackendKind {
        name: "native-tier",
        about: "whole programs by the optimising compiler",
        make: |_| whole::make(Tier::Native),
    },
    BackendKind {
        name: "llvm-tier",
        about: "the same with LLVM behind it",
        make: |_| whole::make(Tier::Llvm),
    },
    BackendKind {
        name: "auto",
        about: "the one of the kernel's and our compilers that is the quickest on inputs that are not measured",
        make: auto::make,
    },
    BackendKind {
        name: "clang-general",
        about: "clang's native code of the same C, in general registers",
        make: |machine| native::make(machine, true),
    },
    BackendKind {
        name: "clang",
        about: "clang's native code of the same C, with all that the CPU has: the limit",
        make: |machine| native::make(machine, false),
    },
];

/// The spread of the times that some runs of `action` take.
fn timed<T>(times: usize, mut action: impl FnMut() -> T) -> Spread {
    let times: Vec<f64> = (0..times)
        .map(|_| {
            let start = Instant::now();
            drop(std::hint::black_box(action()));
            start.elapsed().as_nanos() as f64
        })
        .collect();
    Spread::of(&times)
}
