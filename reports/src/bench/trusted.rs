// SPDX-License-Identifier: GPL-2.0-or-later
//! What has to be believed of each way to run programs beyond the kernel's own compiler: native code, and what made it.

use serde::{Deserialize, Serialize};

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

impl Trusted {
    /// The bytes of native code that it made of a program.
    fn bytes(&self, cell: &Cell) -> Option<u64> {
        if !self.operation {
            return cell.code_bytes;
        }
        cell.sites.iter().find(|sites| sites.operation == self.name).map(|sites| sites.bytes)
    }
}

/// Native code of an operation in a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SiteBytes {
    /// The operation.
    pub operation: String,
    /// The bytes at all of its sites.
    pub bytes: u64,
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
    /// What has to be believed of each backend with code in this run; operations that no program has are left out. Of a backend that chooses
    /// it is what made each program.
    pub fn trust(&self) -> Vec<Trust<'_>> {
        let by_name = |name: &str| self.backends.iter().position(|backend| backend.name == name);
        let mut all = Vec::new();
        for (index, backend) in self.backends.iter().enumerate() {
            let mut own: Vec<Trust> = Vec::new();
            let cells = self.programs.iter().filter_map(|program| program.cells.get(index));
            for cell in cells.filter(|cell| cell.fixed.is_some()) {
                let maker = cell.compiler.as_deref().map_or(Some(index), by_name);
                for trusted in maker.map_or(&[][..], |maker| &self.backends[maker].trusted) {
                    let Some(bytes) = trusted.bytes(cell) else { continue };
                    match own.iter_mut().find(|known| known.trusted == trusted) {
                        Some(known) => {
                            (known.bytes, known.programs) = (known.bytes + bytes, known.programs + 1)
                        }
                        None => own.push(Trust { backend: &backend.name, trusted, bytes, programs: 1 }),
                    }
                }
            }
            own.sort_by_key(|one| (!one.trusted.operation, &one.trusted.name));
            all.extend(own);
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
        for (program, bytes) in [(0, 8), (2, 4)] {
            bench.programs[program].cells[1].sites =
                vec![SiteBytes { operation: "rotate".to_owned(), bytes }];
        }
        let trust: Vec<_> = bench
            .trust()
            .into_iter()
            .map(|one| (one.backend, &*one.trusted.name, one.bytes, one.programs))
            .collect();
        assert_eq!(trust, [("kernel", "a compiler", 900, 3), ("jit", "rotate", 12, 2)]);
        bench.programs[1].cells[1].compiler = Some("kernel".to_owned());
        let trust = bench.trust();
        let of_jit: Vec<_> =
            trust[1..].iter().map(|one| (&*one.trusted.name, one.bytes, one.programs)).collect();
        assert_eq!(of_jit, [("rotate", 12, 2), ("a compiler", 600, 1)]);
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
