// SPDX-License-Identifier: GPL-2.0-or-later
//! The tables, the summary, and the file.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use crate::sites::Site;
use crate::turns::{Rounds, median, ratio};

/// What the whole oracle has to do, in states per second on one core.
const WANTED_ORACLE: f64 = 2e6;

/// What part of its limit's rate an engine has to have.
const WANTED_OF_LIMIT: f64 = 0.5;

/// What two jobs have to be worth.
const WANTED_JOBS: f64 = 1.8;

/// What fuzz targets have to do, in states per second on one core.
const WANTED_FUZZ: f64 = 3e5;

/// Everything that was measured.
pub struct Report {
    rows: Vec<Value>,
    /// For each engine with a limit: the parts of it that batches reach, of sites that count.
    of_limit: BTreeMap<&'static str, Vec<f64>>,
    oracle: Vec<f64>,
    jobs: Option<f64>,
    fuzz: Vec<f64>,
    /// One round alone.
    is_quiet: bool,
}

impl Report {
    pub fn new(rounds: Rounds) -> Self {
        let rows = Vec::new();
        let report = Self {
            rows,
            of_limit: BTreeMap::new(),
            oracle: Vec::new(),
            jobs: None,
            fuzz: Vec::new(),
            is_quiet: rounds.rounds == 1,
        };
        report.say(format_args!(
            "{} rounds; millions of states per second on one core, batches of {} states\n",
            rounds.rounds,
            crate::STATES
        ));
        report.say(format_args!(
            "{:24} {:18} {:>9} {:>9} {:>9} {:>9} {:>12} {:>10} {:>10}",
            "operation", "engine", "batched", "fresh", "entry", "limit", "over entry", "of limit", "fresh"
        ));
        report
    }

    /// Prints a line, unless this is a test of the benchmark: its rates are worth nothing.
    fn say(&self, line: fmt::Arguments) {
        if !self.is_quiet {
            println!("{line}");
        }
    }

    /// The ways of an engine on a site: `batched`, `entry`, and perhaps `limit`.
    pub fn engine(&mut self, site: &Site, engine: &'static str, ways: &[&str], rates: Vec<Vec<f64>>) {
        let rate = |name: &str| Some(&rates[ways.iter().position(|way| *way == name)?]);
        let batched = &rates[0];
        let over_entry = rate("entry").map(|entry| ratio(batched, entry));
        let of_limit = rate("limit").map(|limit| ratio(batched, limit));
        let fresh_of_limit = rate("limit").zip(rate("fresh")).map(|(limit, fresh)| ratio(fresh, limit));
        self.say(format_args!(
            "{:24} {engine:18} {} {} {} {} {} {} {}",
            site.name(),
            millions(Some(batched)),
            millions(rate("fresh")),
            millions(rate("entry")),
            millions(rate("limit")),
            over_entry.map_or(format!("{:>12}", ""), |ratio| format!("{ratio:12.1}")),
            of_limit.map_or(format!("{:>10}", ""), |ratio| format!("{ratio:10.2}")),
            fresh_of_limit.map_or(format!("{:>10}", ""), |ratio| format!("{ratio:10.2}")),
        ));
        if let Some(ratio) = of_limit.filter(|_| site.counts()) {
            self.of_limit.entry(engine).or_default().push(ratio);
        }
        let medians: BTreeMap<&str, f64> =
            ways.iter().zip(&rates).map(|(way, rates)| (*way, median(rates))).collect();
        self.rows.push(json!({
            "operation": site.subject.kop.name(), "form": site.subject.form.name, "engine": engine,
            "counts": site.counts(), "states_per_s": medians, "over_entry": over_entry, "of_limit": of_limit,
            "fresh_of_limit": fresh_of_limit,
        }));
    }

    /// The oracle on a site: with the engines of the target, and with all.
    pub fn oracle(&mut self, site: &Site, rates: Vec<Vec<f64>>) {
        let [four, all] = [median(&rates[0]), median(&rates[1])];
        self.say(format_args!("{:24} {:18} {}", site.name(), "oracle", millions(Some(&rates[0]))));
        self.say(format_args!(
            "{:24} {:18} {}",
            site.name(),
            "oracle, all engines",
            millions(Some(&rates[1]))
        ));
        if site.counts() {
            self.oracle.push(four);
        }
        self.rows.push(json!({
            "operation": site.subject.kop.name(), "form": site.subject.form.name, "engine": "oracle",
            "counts": site.counts(), "states_per_s": { "four": four, "all": all },
        }));
    }

    /// One and two jobs.
    pub fn jobs(&mut self, one: &[f64], two: &[f64]) {
        let ratio = ratio(two, one);
        self.jobs = Some(ratio);
        self.rows.push(json!({ "jobs": { "one": median(one), "two": median(two), "ratio": ratio } }));
    }

    /// The fuzz target of an operation.
    pub fn fuzz(&mut self, (operation, counts): (&str, bool), per_input: f64, rates: Vec<f64>) {
        let rate = median(&rates);
        self.say(format_args!("{operation:24} {:18} {}", "fuzz target", millions(Some(&rates))));
        if counts {
            self.fuzz.push(rate);
        }
        self.rows.push(json!({ "fuzz": operation, "counts": counts, "states_per_input": per_input, "states_per_s": rate }));
    }

    /// What is wanted, and what there is.
    pub fn print_summary(&self) {
        if self.is_quiet {
            println!("{} rows, one short round each", self.rows.len());
            return;
        }
        println!(
            "\ngeometric means over forms without memory whose proofs have at most {} instructions",
            crate::SHORT_PROOF
        );
        for (engine, ratios) in &self.of_limit {
            line(&format!("{engine}, of its limit"), mean(ratios), WANTED_OF_LIMIT);
        }
        line("oracle: rbpf, both Unicorn engines, host", mean(&self.oracle), WANTED_ORACLE);
        line("two jobs to one", self.jobs.unwrap_or(f64::NAN), WANTED_JOBS);
        println!("geometric mean over operations with such forms alone");
        line("fuzz targets", mean(&self.fuzz), WANTED_FUZZ);
    }

    /// Writes everything as JSON.
    pub fn write(&self, file: &str) -> std::io::Result<()> {
        let means: BTreeMap<_, f64> =
            self.of_limit.iter().map(|(engine, all)| (*engine, mean(all))).collect();
        let summary = json!({
            "of_limit": means, "oracle": mean(&self.oracle), "jobs": self.jobs, "fuzz": mean(&self.fuzz),
        });
        let whole = json!({ "version": 1, "batch": crate::STATES, "rows": self.rows, "summary": summary });
        std::fs::write(file, format!("{whole:#}\n"))
    }
}

fn line(what: &str, value: f64, wanted: f64) {
    let text =
        |value: f64| if wanted > 1000.0 { format!("{:.2} M", value / 1e6) } else { format!("{value:.2}") };
    let verdict = if value >= wanted { "" } else { "  below" };
    println!("  {what:45} {:>9}  (wanted: {}){verdict}", text(value), text(wanted));
}

fn millions(rates: Option<&Vec<f64>>) -> String {
    rates.map_or(format!("{:>9}", ""), |rates| format!("{:9.3}", median(rates) / 1e6))
}

/// The geometric mean.
fn mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}
