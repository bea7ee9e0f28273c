// SPDX-License-Identifier: GPL-2.0-or-later
//! What runs the child: this CPU, or QEMU's emulation of a user's process.

use std::env;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use kop_ops::Arch;

use super::HostError;

/// A CPU that a child process can run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// This CPU, on x86-64.
    X86_64,
    /// This CPU, on AArch64.
    Aarch64,
    /// `qemu-aarch64`, which emulates a process of Linux on AArch64.
    QemuAarch64,
}

/// The emulator, as Debian's package qemu-user and others call it.
const QEMU: &str = "qemu-aarch64";

impl Platform {
    /// Every platform.
    pub const ALL: [Platform; 3] = [Platform::X86_64, Platform::Aarch64, Platform::QemuAarch64];

    /// This CPU.
    pub const NATIVE: Platform =
        if cfg!(target_arch = "aarch64") { Platform::Aarch64 } else { Platform::X86_64 };

    /// Its architecture.
    pub const fn arch(self) -> Arch {
        match self {
            Platform::X86_64 => Arch::X86_64,
            Platform::Aarch64 | Platform::QemuAarch64 => Arch::Aarch64,
        }
    }

    /// Whether a program emulates it.
    pub const fn is_emulated(self) -> bool {
        matches!(self, Platform::QemuAarch64)
    }

    /// The command that starts the executable in `file`, a descriptor of this process.
    pub(super) fn command(self, file: RawFd) -> Result<Command, HostError> {
        if !self.is_emulated() {
            let mut command = Command::new(format!("/proc/self/fd/{file}"));
            command.arg0("kop-host");
            return Ok(command);
        }
        let mut command = Command::new(emulator().ok_or(HostError::NoEmulator)?);
        // The emulator opens it after its descriptors are closed; those of this process stay open.
        command.arg(format!("/proc/{}/fd/{file}", std::process::id()));
        Ok(command)
    }
}

/// The path of the emulator. The environment of the child is empty, so that it is looked up here.
fn emulator() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(QEMU)).find(|program| program.is_file())
}
