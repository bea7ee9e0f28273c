// SPDX-License-Identifier: GPL-2.0-or-later
//! Which build of this program a campaign belongs to.
//!
//! A unit that is done is never done again, so that what it counted has to be true of the code that goes on. Two builds have
//! nothing in common that could be relied on: their operations, generators and engines may be others.

use std::fs;

use kop_ops::Catalog;
use object::{Object, ReadCache};
use serde::{Deserialize, Serialize};

use crate::behaviour::hash;

/// Raised with every change of what a seed means to a generator. Builds for one architecture are told apart anyhow; this is for
/// the shards of machines of two.
const GENERATORS: u64 = 1;

/// A build, and what it tests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The version of this crate.
    pub version: String,
    /// A hash of the generators' version, and of all operations: names, forms, layouts of payloads, and what their files hold.
    pub units: String,
    /// The architecture of the machine.
    pub host: String,
    /// The executable's build id, or a hash of it.
    pub executable: String,
}

impl Build {
    /// This build with the operations of a catalog; `files` are the contents of the files that some of them come from.
    pub fn this(catalog: &Catalog, files: &[Vec<u8>]) -> Self {
        let forms =
            catalog.forms().map(|(kop, form)| format!("{} {} {:?}", kop.name(), form.name, form.layout));
        let forms: Vec<String> = forms.collect();
        let parts = forms.iter().map(String::as_bytes).chain(files.iter().map(Vec::as_slice));
        let units = hash(parts.chain([&GENERATORS.to_le_bytes()[..]]));
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            units: format!("{units:016x}"),
            host: std::env::consts::ARCH.to_owned(),
            executable: executable(),
        }
    }

    /// In what another build differs, if it does. Executables for different architectures cannot be compared.
    pub fn difference(&self, other: &Build) -> Option<&'static str> {
        if self.version != other.version {
            Some("of another version")
        } else if self.units != other.units {
            Some("with other operations or generators")
        } else if self.host == other.host && self.executable != other.executable {
            Some("of the same version")
        } else {
            None
        }
    }

    /// The first characters of the executable's id.
    pub fn short(&self) -> String {
        short(&self.executable)
    }
}

fn short(text: &str) -> String {
    text.chars().take(8).collect()
}

impl std::fmt::Display for Build {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { version, units, host, executable } = self;
        write!(f, "kop {version} {host} {}, operations {}", short(executable), short(units))
    }
}

/// What tells this executable from others: the id that the linker gave it, or a hash of its bytes. Empty where neither can be
/// read.
fn executable() -> String {
    const PATH: &str = "/proc/self/exe";
    let id = fs::File::open(PATH).ok().and_then(|file| {
        let cache = ReadCache::new(file);
        let elf = object::File::parse(&cache).ok()?;
        elf.build_id().ok().flatten().map(<[u8]>::to_vec)
    });
    match id {
        Some(id) => id.iter().map(|byte| format!("{byte:02x}")).collect(),
        None => fs::read(PATH).map_or_else(|_| String::new(), |bytes| format!("{:016x}", hash([&bytes[..]]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_twice_and_another_with_other_operations() {
        let catalog = Catalog::einsn();
        let build = Build::this(&catalog, &[]);
        assert_eq!(build, Build::this(&catalog, &[]));
        assert!(build.executable.len() >= 16, "{build:?}");
        let first = catalog.kops()[0];
        let fewer = Build::this(&Catalog::empty().and(first), &[]);
        let edited = Build::this(&catalog, &[b"dst = a".to_vec()]);
        for other in [fewer, edited] {
            assert_eq!(build.difference(&other), Some("with other operations or generators"));
        }
    }

    #[test]
    fn executables_are_compared_where_they_can_be() {
        let build = Build::this(&Catalog::einsn(), &[]);
        let again = Build { executable: "00".to_owned(), ..build.clone() };
        assert_eq!(build.difference(&again), Some("of the same version"));
        assert_eq!(build.difference(&Build { host: "riscv64".to_owned(), ..again.clone() }), None);
        let version = Build { version: "0.0.0".to_owned(), ..build.clone() };
        assert_eq!(build.difference(&version), Some("of another version"));
        assert_eq!(build.difference(&build.clone()), None);
    }
}
