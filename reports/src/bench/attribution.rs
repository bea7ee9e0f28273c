// SPDX-License-Identifier: GPL-2.0-or-later
//! What each operation brings to programs that were rewritten: the time without it, with all others, by the time with all.

use serde::{Deserialize, Serialize};

use super::{Bench, BenchProgram, Group, Spread};

/// What one operation brings to one program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Attribution {
    /// The operation.
    pub operation: String,
    /// Its sites in the program file.
    pub sites: u64,
    /// The instructions that stood in their place.
    pub replaced: u64,
    /// The time without this operation by the time with all, round by round, on the same input or over traffic: above 1 is what it
    /// brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<Spread>,
    /// The same on inputs that rotate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotating: Option<Spread>,
}

/// What one operation brings to the programs of a group that have it.
#[derive(Clone, Debug, PartialEq)]
pub struct Gain<'a> {
    /// The operation.
    pub operation: &'a str,
    /// How many programs have a site.
    pub programs: usize,
    /// Sites in all of them.
    pub sites: u64,
    /// The instructions that stood in their place.
    pub replaced: u64,
    /// The geometric mean over these programs, on the same input or over traffic; short programs do not count.
    pub fixed: Option<f64>,
    /// The same on inputs that rotate.
    pub rotating: Option<f64>,
}

/// What is said above tables of gains.
pub(super) const LEFT_OUT: &str =
    "time without an operation, with all others, by the time with all: above 1 is what it brings";

impl Bench {
    /// The backends with programs of this group that were rewritten, by index.
    pub fn rewritten(&self, group: Group) -> Vec<usize> {
        let programs = self.of(group);
        let has = |index: &usize| programs.iter().any(|program| !operations(program, *index).is_empty());
        (0..self.backends.len()).filter(has).collect()
    }

    /// What operations bring to a group on a backend, those with most sites first.
    pub fn gains(&self, group: Group, backend: usize) -> Vec<Gain<'_>> {
        let programs = self.of(group);
        let all = || {
            let programs = programs.iter();
            programs.flat_map(|program| operations(program, backend).iter().map(|one| (program.short, one)))
        };
        let mut names: Vec<&str> = Vec::new();
        for (_, one) in all() {
            if !names.contains(&&*one.operation) {
                names.push(&one.operation);
            }
        }
        let gain = |operation: &str| {
            let own: Vec<_> = all().filter(|(_, one)| one.operation == operation).collect();
            let mean = |of: &dyn Fn(&Attribution) -> Option<Spread>| {
                let long = own.iter().filter(|(short, _)| !short);
                let values: Vec<f64> = long.filter_map(|(_, one)| Some(of(one)?.median.ln())).collect();
                (!values.is_empty()).then(|| (values.iter().sum::<f64>() / values.len() as f64).exp())
            };
            (
                own.len(),
                own.iter().map(|(_, one)| one.sites).sum(),
                own.iter().map(|(_, one)| one.replaced).sum(),
                mean(&|one| one.fixed),
                mean(&|one| one.rotating),
            )
        };
        let mut gains: Vec<Gain> = names
            .into_iter()
            .map(|operation| {
                let (programs, sites, replaced, fixed, rotating) = gain(operation);
                Gain { operation, programs, sites, replaced, fixed, rotating }
            })
            .collect();
        gains.sort_by_key(|gain| std::cmp::Reverse(gain.sites));
        gains
    }
}

/// What is known of the operations of a program on a backend.
pub(super) fn operations(program: &BenchProgram, backend: usize) -> &[Attribution] {
    program.cells.get(backend).map_or(&[], |cell| &cell.operations)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bench, spread};
    use super::*;

    #[test]
    fn gains_are_means_over_the_programs_that_have_the_operation() {
        let mut bench = bench();
        let brings = |operation: &str, sites, gain: f64| Attribution {
            operation: operation.to_owned(),
            sites,
            replaced: 3 * sites,
            fixed: Some(spread(gain)),
            rotating: None,
        };
        bench.programs[0].cells[1].operations = vec![brings("extract", 1, 1.5), brings("rotate", 4, 2.0)];
        bench.programs[1].cells[1].operations = vec![brings("rotate", 2, 0.5)];
        assert_eq!((bench.rewritten(Group::Plain), bench.rewritten(Group::Calls)), (vec![1], vec![]));
        let gains = bench.gains(Group::Plain, 1);
        let rotate = &gains[0];
        assert_eq!(
            (rotate.operation, rotate.programs, rotate.sites, rotate.replaced),
            ("rotate", 2, 6, 18),
            "most sites first"
        );
        assert!((rotate.fixed.expect("a mean") - 1.0).abs() < 1e-12, "2 and 1/2");
        assert_eq!((gains[1].operation, gains[1].rotating), ("extract", None));
        bench.programs[1].short = true;
        assert!((bench.gains(Group::Plain, 1)[0].fixed.expect("a mean") - 2.0).abs() < 1e-12);
    }
}
