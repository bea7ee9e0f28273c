// SPDX-License-Identifier: GPL-2.0-or-later
//! What has to be believed of each way to run programs beyond the kernel's own compiler: native code, and what made it.

use serde::{Deserialize, Serialize};

use super::attribution::operations;
use super::{Bench, Cell};

/// Something that makes native code of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Trusted {
    /// An operation, or a part of a compiler.
    pub name: String,
    /// Whether it is an operation, whose code stands at its sites; a part of a compiler makes all code of a program.
    pub operation: bool,
    /// Lines of source, comments included and tests left out; `None` where they were not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<u64>,
    /// What speaks for it, in a few words.
    pub shown: String,
}

/// What has to be believed of a backend for the programs of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust<'a> {
    /// The backend.
    pub backend: &'a str,
    /// What.
    pub trusted: &'a Trusted,
    /// The bytes of native code that it made, in all programs.
    pub bytes: u64,
    /// The number of programs with code of it.
    pub programs: usize,
}

/// What is said above the table.
pub(super) const BELIEVED: &str =
    "what has to be believed beyond the kernel's own compiler: native code, and the source of what made it";

impl Bench {
    /// What has to be believed of each backend with code in this run; operations that no program has are left out.
    pub fn trust(&self) -> Vec<Trust<'_>> {
        let mut all = Vec::new();
        for (index, backend) in self.backends.iter().enumerate() {
            for trusted in &backend.trusted {
                let bytes = self.programs.iter().filter_map(|program| {
                    let cell = program.cells.get(index).filter(|cell| cell.fixed.is_some())?;
                    if !trusted.operation {
                        return cell.code_bytes;
                    }
                    let sites =
                        operations(program, index).iter().find(|one| one.operation == trusted.name)?;
                    Some(sites.native_bytes)
                });
                let bytes = bytes.collect::<Vec<_>>();
                if !bytes.is_empty() {
                    let (programs, bytes) = (bytes.len(), bytes.iter().sum());
                    all.push(Trust { backend: &backend.name, trusted, bytes, programs });
                }
            }
        }
        all
    }

    /// How often a backend that chooses took each other one, those that it took most often first.
    pub fn taken(&self, backend: usize) -> Vec<(&str, usize)> {
        let mut taken: Vec<(&str, usize)> = Vec::new();
        let cells = self.programs.iter().filter_map(|program| program.cells.get(backend));
        for compiler in cells.filter_map(|cell: &Cell| cell.compiler.as_deref()) {
            match taken.iter_mut().find(|known| known.0 == compiler) {
                Some(known) => known.1 += 1,
                None => taken.push((compiler, 1)),
            }
        }
        taken.sort_by_key(|known| std::cmp::Reverse(known.1));
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::super::Attribution;
    use super::super::tests::bench;
    use super::*;

    #[test]
    fn bytes_are_those_at_sites_or_of_whole_programs() {
        let mut bench = bench();
        let trusted = |name: &str, operation| Trusted {
            name: name.to_owned(),
            operation,
            lines: Some(100),
            shown: "proved".to_owned(),
        };
        bench.backends[0].trusted = vec![trusted("a compiler", false)];
        bench.backends[1].trusted = vec![trusted("rotate", true), trusted("select", true)];
        for (program, native_bytes) in [(0, 8), (2, 4)] {
            let operation = "rotate".to_owned();
            let own =
                Attribution { operation, sites: 2, replaced: 6, native_bytes, fixed: None, rotating: None };
            bench.programs[program].cells[1].operations = vec![own];
        }
        let trust: Vec<_> = bench
            .trust()
            .into_iter()
            .map(|one| (one.backend, &*one.trusted.name, one.bytes, one.programs))
            .collect();
        assert_eq!(trust, [("kernel", "a compiler", 900, 3), ("jit", "rotate", 12, 2)]);
    }

    #[test]
    fn what_was_taken_is_counted() {
        let mut bench = bench();
        assert!(bench.taken(1).is_empty());
        for (program, compiler) in ["jit", "kops", "kops"].into_iter().enumerate() {
            bench.programs[program].cells[1].compiler = Some(compiler.to_owned());
        }
        assert_eq!(bench.taken(1), [("kops", 2), ("jit", 1)]);
    }
}
