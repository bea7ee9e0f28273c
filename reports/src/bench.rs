// SPDX-License-Identifier: GPL-2.0-or-later
//! The record of a benchmark of programs, `kop-bench/1`, and what is shown of it.
//!
//! Fields may be added; those there are keep their meaning. Times are in nanoseconds, sizes in bytes.

mod attribution;
mod html;
mod markdown;
mod text;
mod trusted;

use serde::{Deserialize, Serialize};

pub use attribution::{Attribution, Gain};
pub use trusted::{SiteBytes, Trust, Trusted};

/// The schema's name and version.
pub const BENCH_SCHEMA: &str = "kop-bench/1";

/// What a run measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Bench {
    /// [`BENCH_SCHEMA`].
    pub schema: String,
    /// The version of the tool.
    pub version: String,
    /// The processor's name.
    pub processor: String,
    /// The kernel's release.
    pub kernel: String,
    /// What was measured: `micro`, `apps` or a folder.
    pub suite: String,
    /// How many rounds the backends took turns in.
    pub rounds: u64,
    /// How many inputs rotate.
    pub inputs: u64,
    /// How long the run took, in seconds.
    pub elapsed_s: f64,
    /// Every way to run programs, in the order of reports.
    pub backends: Vec<BenchBackend>,
    /// The programs, in alphabetical order.
    pub programs: Vec<BenchProgram>,
    /// What went wrong.
    pub failures: Vec<BenchFailure>,
}

/// A way to run programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BenchBackend {
    /// Its name.
    pub name: String,
    /// What it is, in one line.
    pub about: String,
    /// Why there is nothing of it here, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<String>,
    /// What has to be believed of it beyond the kernel's own compiler.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted: Vec<Trusted>,
}

/// Programs that are compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Without maps, helper functions and functions of their own.
    Plain,
    /// With functions of their own, for whose returns the kernel pays a thunk.
    Calls,
    /// With maps and helper functions, over packets.
    Traffic,
}

impl Group {
    /// Every group, in the order of reports.
    pub const ALL: [Group; 3] = [Group::Plain, Group::Calls, Group::Traffic];

    /// What its programs have in common, as a heading.
    pub const fn title(self) -> &'static str {
        match self {
            Group::Plain => "programs without calls",
            Group::Calls => "programs with functions of their own",
            Group::Traffic => "programs with maps, a packet of their traffic",
        }
    }
}

/// A program and what was measured of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BenchProgram {
    /// Its name.
    pub name: String,
    /// Its instructions.
    pub insns: u64,
    /// What it is compared with.
    pub group: Group,
    /// How many packets its traffic has; 1 for a program that runs on one.
    pub packets: u64,
    /// Whether it is over so soon that the loop around it is a part of what is measured; it counts in no mean.
    pub short: bool,
    /// One for each backend, in their order.
    pub cells: Vec<Cell>,
}

/// What was measured of a program on one backend.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Cell {
    /// Why there is nothing, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<String>,
    /// On the same input again and again, or over traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<Timing>,
    /// On inputs that rotate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotating: Option<Timing>,
    /// Bytes of code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_bytes: Option<u64>,
    /// How long it took to make the code of what the backend takes: bytecode, or C for clang's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compile_ns: Option<Spread>,
    /// How long it took before that to rewrite the program file, proofs included, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite_ns: Option<f64>,
    /// The backend that made it, where this one chooses among several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compiler: Option<String>,
    /// The bytes of native code at the sites of each operation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<SiteBytes>,
    /// What each operation brings that the program was rewritten to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Attribution>,
}

/// A time for a run, or for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Timing {
    /// Nanoseconds, less what an empty program takes.
    pub ns: Spread,
    /// The baseline's time by this one, round by round: above 1 is faster than the baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<Spread>,
}

/// A median and the ends of the middle half.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// A quarter lies below.
    pub low: f64,
    /// A quarter lies above.
    pub high: f64,
}

impl Spread {
    /// Of at least one value.
    ///
    /// # Panics
    /// Without a value.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let quarter = sorted.len() / 4;
        Self {
            median: sorted[sorted.len() / 2],
            low: sorted[quarter],
            high: sorted[sorted.len() - 1 - quarter],
        }
    }
}

/// Something that went wrong: a result that is not the expected one, or a program that stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BenchFailure {
    /// The program.
    pub program: String,
    /// The backend.
    pub backend: String,
    /// What, in one line.
    pub message: String,
}

/// What is compared between backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Speed on the same input.
    Fixed,
    /// Speed on rotating inputs.
    Rotating,
    /// Bytes of code by the baseline's.
    Size,
}

/// The backends that others are compared with, the first that there is a value of.
const BASELINES: [(Group, Measure, &[&str]); 6] = [
    (Group::Plain, Measure::Fixed, &["kernel", "kernel-image", "jit"]),
    (Group::Calls, Measure::Fixed, &["kernel", "kernel-image", "jit"]),
    (Group::Plain, Measure::Rotating, &["kernel-image", "jit"]),
    (Group::Calls, Measure::Rotating, &["kernel-image", "jit"]),
    (Group::Traffic, Measure::Fixed, &["jit"]),
    (Group::Traffic, Measure::Rotating, &["jit"]),
];

/// Names of backends that programs of a group are compared with: the first that there is a time of.
pub fn baselines(group: Group, measure: Measure) -> &'static [&'static str] {
    let found = BASELINES.iter().find(|(of, what, _)| (*of, *what) == (group, measure));
    found.map_or(&["kernel", "jit"], |(_, _, names)| names)
}

/// The programs of a group on one backend, in one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The geometric mean.
    pub value: f64,
    /// Of how many programs.
    pub programs: usize,
}

impl Bench {
    /// The record as JSON, indented, with a newline at its end.
    pub fn to_json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("a record has no maps with other keys than text");
        text.push('\n');
        text
    }

    /// Reads a record.
    ///
    /// # Errors
    /// What is wrong with it, in one line; another schema too.
    pub fn from_json(json: &str) -> Result<Self, String> {
        let bench: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        if bench.schema == BENCH_SCHEMA {
            Ok(bench)
        } else {
            Err(format!("no {BENCH_SCHEMA}: {}", bench.schema))
        }
    }

    /// Whether JSON is such a record, sound or not.
    pub fn is(json: &str) -> bool {
        #[derive(Deserialize)]
        struct Head {
            schema: String,
        }
        serde_json::from_str::<Head>(json).is_ok_and(|head| head.schema.starts_with("kop-bench/"))
    }

    /// The programs of a group.
    pub fn of(&self, group: Group) -> Vec<&BenchProgram> {
        self.programs.iter().filter(|program| program.group == group).collect()
    }

    /// The geometric mean over the programs of a group that have a value on this backend and are not short.
    pub fn mean(&self, group: Group, backend: usize, measure: Measure) -> Option<Mean> {
        let programs = self.of(group).into_iter().filter(|program| !program.short);
        let values: Vec<f64> = programs.filter_map(|program| self.value(program, backend, measure)).collect();
        let logarithms: f64 = values.iter().map(|value| value.ln()).sum();
        let value = (logarithms / values.len() as f64).exp();
        (!values.is_empty()).then_some(Mean { value, programs: values.len() })
    }

    /// What is compared of one program, by the baseline.
    pub fn value(&self, program: &BenchProgram, backend: usize, measure: Measure) -> Option<f64> {
        let cell = program.cells.get(backend)?;
        match measure {
            Measure::Fixed => Some(cell.fixed?.speed?.median),
            Measure::Rotating => Some(cell.rotating?.speed?.median),
            Measure::Size => {
                let base = baselines(program.group, measure).iter().find_map(|name| {
                    let index = self.backends.iter().position(|backend| backend.name == *name)?;
                    program.cells.get(index)?.code_bytes
                })?;
                Some(cell.code_bytes? as f64 / base as f64)
            }
        }
    }

    /// The backends that there is a time of for a program of the group, by index.
    pub fn shown(&self, group: Group) -> Vec<usize> {
        let programs = self.of(group);
        let measured = |index: &usize| {
            programs.iter().any(|program| program.cells.get(*index).is_some_and(|cell| cell.fixed.is_some()))
        };
        (0..self.backends.len()).filter(measured).collect()
    }

    /// Why cells are empty: each reason once, with the backend and how many programs it is about.
    pub fn reasons(&self) -> Vec<(&str, &str, usize)> {
        let mut reasons: Vec<(&str, &str, usize)> = Vec::new();
        for (index, backend) in
            self.backends.iter().enumerate().filter(|(_, backend)| backend.absent.is_none())
        {
            for reason in
                self.programs.iter().filter_map(|program| program.cells.get(index)?.absent.as_deref())
            {
                match reasons.iter_mut().find(|known| (known.0, known.1) == (&backend.name, reason)) {
                    Some(known) => known.2 += 1,
                    None => reasons.push((&backend.name, reason, 1)),
                }
            }
        }
        reasons
    }

    /// The table that a person reads.
    pub fn text(&self) -> String {
        text::text(self)
    }

    /// The tables in Markdown.
    pub fn markdown(&self) -> String {
        markdown::markdown(self)
    }

    /// One HTML page with bar charts; it needs no network and no script.
    pub fn html(&self) -> String {
        html::html(self)
    }

    /// What was measured, in a few words.
    fn headline(&self) -> String {
        let programs = crate::words::plural(self.programs.len() as u64, "program");
        match self.failures.len() {
            0 => format!("{} ({programs})", self.suite),
            count => {
                format!("{} ({programs}): {}", self.suite, crate::words::plural(count as u64, "failure"))
            }
        }
    }
}

/// A number with as many digits as a person needs: three.
fn digits(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

/// Nanoseconds with a unit.
fn time(ns: f64) -> String {
    match ns {
        v if v < 1e3 => format!("{} ns", digits(v)),
        v if v < 1e6 => format!("{} us", digits(v / 1e3)),
        v => format!("{} ms", digits(v / 1e6)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn spread(median: f64) -> Spread {
        Spread { median, low: median * 0.9, high: median * 1.1 }
    }

    fn timing(ns: f64, speed: f64) -> Option<Timing> {
        Some(Timing { ns: spread(ns), speed: Some(spread(speed)) })
    }

    fn program(name: &str, group: Group, speeds: [f64; 2]) -> BenchProgram {
        let cell = |speed: f64| Cell {
            fixed: timing(1000.0 / speed, speed),
            rotating: timing(2000.0 / speed, speed),
            code_bytes: Some((300.0 / speed) as u64),
            compile_ns: Some(spread(5000.0)),
            ..Cell::default()
        };
        let missing = Cell { absent: Some("it has no <page>".to_owned()), ..Cell::default() };
        let cells = vec![cell(speeds[0]), cell(speeds[1]), missing, Cell::default()];
        BenchProgram { name: name.to_owned(), insns: 70, group, packets: 1, short: false, cells }
    }

    pub(super) fn bench() -> Bench {
        let backend = |name: &str, absent: Option<&str>| BenchBackend {
            name: name.to_owned(),
            about: format!("what {name} is"),
            absent: absent.map(str::to_owned),
            trusted: Vec::new(),
        };
        Bench {
            schema: BENCH_SCHEMA.to_owned(),
            version: "0.1.0".to_owned(),
            processor: "A CPU".to_owned(),
            kernel: "6.18".to_owned(),
            suite: "micro".to_owned(),
            rounds: 11,
            inputs: 64,
            elapsed_s: 12.5,
            backends: vec![
                backend("kernel", None),
                backend("jit", None),
                backend("rbpf", None),
                backend("native", Some("it is not there yet")),
            ],
            programs: vec![
                program("bits", Group::Plain, [1.0, 2.0]),
                program("sieve", Group::Plain, [1.0, 0.5]),
                program("calls", Group::Calls, [1.0, 5.0]),
            ],
            failures: Vec::new(),
        }
    }

    #[test]
    fn means_are_geometric_and_leave_out_what_is_short() {
        let mut bench = bench();
        let mean = |bench: &Bench| bench.mean(Group::Plain, 1, Measure::Fixed).expect("a mean");
        assert!((mean(&bench).value - 1.0).abs() < 1e-12, "2 and 1/2");
        assert_eq!(mean(&bench).programs, 2);
        bench.programs[1].short = true;
        assert_eq!(mean(&bench), Mean { value: 2.0_f64.ln().exp(), programs: 1 });
        assert_eq!(bench.mean(Group::Plain, 2, Measure::Fixed), None);
        assert_eq!(bench.mean(Group::Traffic, 1, Measure::Fixed), None);
    }

    #[test]
    fn sizes_are_by_the_baselines() {
        let bench = bench();
        assert_eq!(bench.value(&bench.programs[0], 1, Measure::Size), Some(0.5));
    }

    #[test]
    fn a_spread_is_the_middle_half() {
        let spread = Spread::of(&[9.0, 1.0, 5.0, 3.0, 7.0]);
        assert_eq!((spread.low, spread.median, spread.high), (3.0, 5.0, 7.0));
        assert_eq!(Spread::of(&[2.0]), Spread { median: 2.0, low: 2.0, high: 2.0 });
    }

    #[test]
    fn a_record_is_what_it_is_written_as() {
        let bench = bench();
        assert_eq!(Bench::from_json(&bench.to_json()).as_ref(), Ok(&bench));
        let other = bench.to_json().replace(BENCH_SCHEMA, "kop-bench/2");
        assert!(Bench::is(&other) && Bench::from_json(&other).is_err());
        assert!(!Bench::is("{\"schema\": \"kop-report/1\"}"));
    }

    #[test]
    fn a_reason_is_said_once() {
        assert_eq!(bench().reasons(), [("rbpf", "it has no <page>", 3)]);
    }
}
