// SPDX-License-Identifier: GPL-2.0-or-later
//! The list of engines for whole programs: which are here, which are not, why, and how to get them.

use kop_ops::Arch;

#[cfg(any(feature = "unicorn", feature = "native"))]
use super::native::NativeProgramEngine;
use super::{ProgramEngine, Runs};
use crate::kernel;
use crate::rbpf;
use crate::spec::SpecEngine;

/// One engine of the list.
#[derive(Clone, Copy, Debug)]
pub struct ProgramEngineKind {
    /// Its name on the command line and in reports.
    pub name: &'static str,
    /// What it runs.
    pub runs: Runs,
    /// One line: through what.
    pub through: &'static str,
    make: fn() -> Result<Box<dyn ProgramEngine>, String>,
}

impl ProgramEngineKind {
    /// A new engine; each thread has its own.
    ///
    /// # Errors
    /// Why it is absent and how to get it, in one line.
    pub fn make(&self) -> Result<Box<dyn ProgramEngine>, String> {
        (self.make)()
    }

    /// Whether it is here.
    ///
    /// # Errors
    /// As [`ProgramEngineKind::make`].
    pub fn available(&self) -> Result<(), String> {
        self.make().map(drop)
    }
}

/// Every engine for whole programs, in the order of reports.
pub const PROGRAM_ENGINES: &[ProgramEngineKind] = &[
    ProgramEngineKind {
        name: "spec",
        runs: Runs::Ebpf,
        through: "the meaning of eBPF over integers: the reference",
        make: || Ok(Box::new(SpecEngine)),
    },
    ProgramEngineKind {
        name: rbpf::NAME,
        runs: Runs::Ebpf,
        through: "rbpf's interpreter, where it is sound",
        make: || Ok(Box::new(rbpf::RbpfProgramEngine::new()?)),
    },
    ProgramEngineKind {
        name: "unicorn-x86_64",
        runs: Runs::Code(Arch::X86_64),
        through: "Unicorn, emulated x86-64",
        make: unicorn_x86_64,
    },
    ProgramEngineKind {
        name: "unicorn-aarch64",
        runs: Runs::Code(Arch::Aarch64),
        through: "Unicorn, emulated AArch64",
        make: unicorn_aarch64,
    },
    ProgramEngineKind {
        name: "host",
        runs: Runs::Code(crate::engines::HOST),
        through: "this CPU, in a child process",
        make: host,
    },
    ProgramEngineKind {
        name: "qemu-aarch64",
        runs: Runs::Code(Arch::Aarch64),
        through: "qemu-user, an emulated process on AArch64",
        make: qemu_aarch64,
    },
    ProgramEngineKind {
        name: kernel::NAME,
        runs: Runs::Ebpf,
        through: "bpf(2): the running kernel's verifier and JIT",
        make: || Ok(Box::new(kernel::KernelEngine::new()?)),
    },
];

/// The engine for whole programs that is called `name`.
pub fn find(name: &str) -> Option<&'static ProgramEngineKind> {
    PROGRAM_ENGINES.iter().find(|engine| engine.name == name)
}

#[cfg(feature = "unicorn")]
fn unicorn_x86_64() -> Result<Box<dyn ProgramEngine>, String> {
    use super::x86_64::X86_64;
    let machine = crate::unicorn::ProgramMachine::new(Arch::X86_64)?;
    let capabilities = crate::unicorn::capabilities(Arch::X86_64);
    Ok(Box::new(NativeProgramEngine::<_, X86_64>::new("unicorn-x86_64", machine, capabilities)))
}

#[cfg(feature = "unicorn")]
fn unicorn_aarch64() -> Result<Box<dyn ProgramEngine>, String> {
    use super::aarch64::Aarch64;
    let machine = crate::unicorn::ProgramMachine::new(Arch::Aarch64)?;
    let capabilities = crate::unicorn::capabilities(Arch::Aarch64);
    Ok(Box::new(NativeProgramEngine::<_, Aarch64>::new("unicorn-aarch64", machine, capabilities)))
}

#[cfg(not(feature = "unicorn"))]
fn unicorn_x86_64() -> Result<Box<dyn ProgramEngine>, String> {
    Err("built without it: enable the cargo feature `unicorn`".to_owned())
}

#[cfg(not(feature = "unicorn"))]
fn unicorn_aarch64() -> Result<Box<dyn ProgramEngine>, String> {
    unicorn_x86_64()
}

#[cfg(feature = "native")]
fn host() -> Result<Box<dyn ProgramEngine>, String> {
    let machine = crate::host::HostMachine::new().map_err(|error| error.to_string())?;
    let capabilities = crate::engines::host_capabilities();
    Ok(match crate::engines::HOST {
        Arch::X86_64 => {
            Box::new(NativeProgramEngine::<_, super::x86_64::X86_64>::new("host", machine, capabilities))
        }
        Arch::Aarch64 => {
            Box::new(NativeProgramEngine::<_, super::aarch64::Aarch64>::new("host", machine, capabilities))
        }
    })
}

#[cfg(feature = "native")]
fn qemu_aarch64() -> Result<Box<dyn ProgramEngine>, String> {
    let machine = crate::host::HostMachine::on(crate::host::Platform::QemuAarch64);
    let machine = machine.map_err(|error| error.to_string())?;
    let capabilities = crate::engines::qemu_capabilities();
    Ok(Box::new(NativeProgramEngine::<_, super::aarch64::Aarch64>::new(
        "qemu-aarch64",
        machine,
        capabilities,
    )))
}

#[cfg(not(feature = "native"))]
fn host() -> Result<Box<dyn ProgramEngine>, String> {
    Err("built without it: enable the cargo feature `native`".to_owned())
}

#[cfg(not(feature = "native"))]
fn qemu_aarch64() -> Result<Box<dyn ProgramEngine>, String> {
    host()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_each_engine_once() {
        for (index, engine) in PROGRAM_ENGINES.iter().enumerate() {
            assert_eq!(PROGRAM_ENGINES.iter().position(|other| other.name == engine.name), Some(index));
        }
    }
}
