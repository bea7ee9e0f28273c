// SPDX-License-Identifier: GPL-2.0-or-later
//! Skeletons outside the project: a kernel module in C, and an operation as text.

use std::path::Path;

use super::Failure;
use super::changes::Changes;
use super::name::Name;

/// The sources of a kernel module, with NAME to be replaced: what stands behind the name, and the text.
const MODULE: [(&str, &str); 2] =
    [("_x86.c", include_str!("module_x86.c.in")), ("_arm64.c", include_str!("module_arm64.c.in"))];

/// An operation as text, likewise.
#[cfg(feature = "text")]
const TEXT: [(&str, &str); 1] = [(".kop.toml", include_str!("operation.kop.toml.in"))];

/// Skeletons of operations that are no part of the project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Two sources of a kernel module.
    Module,
    /// A file for `--file`.
    #[cfg(feature = "text")]
    Text,
}

impl Kind {
    /// The option that gives such a file to a command.
    pub const fn option(self) -> &'static str {
        match self {
            Kind::Module => "--module",
            #[cfg(feature = "text")]
            Kind::Text => "--file",
        }
    }

    fn templates(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Kind::Module => &MODULE,
            #[cfg(feature = "text")]
            Kind::Text => &TEXT,
        }
    }

    /// The files of an operation called `name` in `directory`.
    ///
    /// # Errors
    /// [`Failure::Usage`] when one is there already.
    pub fn skeleton(self, directory: &Path, name: &Name) -> Result<Changes, Failure> {
        let mut changes = Changes::default();
        for (ending, template) in self.templates() {
            let path = directory.join(format!("{name}{ending}"));
            changes.create(path, template.replace("NAME", name.as_str()))?;
        }
        Ok(changes)
    }
}
