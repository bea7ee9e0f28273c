// SPDX-License-Identifier: GPL-2.0-or-later
//! Progress: bars on a terminal, a line now and then in a log, and nothing about what is soon over.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use kop_harness::campaign::state::{State, Unit};
use kop_harness::campaign::{Subject, Watch, number, time};
use kop_harness::check::Progress;

/// The time between two lines in a log, and before the first.
const PERIOD: Duration = Duration::from_secs(10);

/// More operations than this have no bars of their own.
const MOST_BARS: usize = 16;

/// Where lines go when standard error is no terminal.
struct Log {
    start: Instant,
    last: Mutex<Instant>,
    is_log: bool,
}

impl Log {
    fn new() -> Self {
        let start = Instant::now();
        Self { start, last: Mutex::new(start), is_log: !std::io::stderr().is_terminal() }
    }

    /// Writes a line when there was none for a while.
    fn line(&self, text: impl FnOnce() -> String) {
        if !self.is_log {
            return;
        }
        let mut last = lock(&self.last);
        if last.elapsed() >= PERIOD {
            *last = Instant::now();
            // Who closed standard error does not want to hear.
            let _ = writeln!(std::io::stderr(), "kop: {}", text());
        }
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics")
}

/// Bars on standard error when that is a terminal; indicatif draws nothing elsewhere.
fn bars() -> MultiProgress {
    MultiProgress::with_draw_target(ProgressDrawTarget::stderr())
}

fn bar(all: &MultiProgress, template: &str, length: Option<u64>, name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden());
    bar.set_style(style.progress_chars("━╸ "));
    bar.set_prefix(name.to_owned());
    all.add(bar)
}

/// Units of a check, or anything else that is counted: a bar for each operation, and one for all.
pub struct Bar {
    all: MultiProgress,
    total: ProgressBar,
    by_label: Mutex<BTreeMap<String, ProgressBar>>,
    limit: Option<Duration>,
    log: Log,
}

impl Bar {
    /// A bar that grows with [`Progress::round`]; of what goes on until a time has passed that is `limit`.
    pub fn new(limit: Option<Duration>) -> Self {
        let all = bars();
        let template = "{elapsed:>16} {bar:30.cyan/blue} {pos}/{len} {msg}";
        let total = bar(&all, template, Some(0), "");
        Self { all, total, by_label: Mutex::default(), limit, log: Log::new() }
    }

    /// How far it is and how long it will take, but for the time that has passed.
    fn summary(&self) -> String {
        let (done, length) = (self.total.position(), self.total.length().unwrap_or(0));
        let elapsed = self.log.elapsed();
        let per_second = done as f64 / elapsed.as_secs_f64().max(1e-9);
        // Who announces nothing has units all the same.
        if length < done {
            return format!("{done} units, {per_second:.1} a second");
        }
        format!("{done} of {length} units, {per_second:.1} a second, {} left", self.left(done, length))
    }

    /// The time that is left: that of the limit, and after that what the round that was begun takes.
    fn left(&self, done: u64, length: u64) -> String {
        let elapsed = self.log.elapsed();
        let limit =
            self.limit.and_then(|limit| limit.checked_sub(elapsed)).map(|left| left.as_millis() as u64);
        let of_units = elapsed.as_millis() * u128::from(length - done) / u128::from(done.max(1));
        time(limit.unwrap_or(of_units as u64))
    }

    /// Removes it.
    pub fn clear(&self) {
        lock(&self.by_label).values().for_each(ProgressBar::finish_and_clear);
        self.total.finish_and_clear();
    }
}

impl Progress for Bar {
    fn share(&self, label: &str, units: usize) {
        let mut by_label = lock(&self.by_label);
        if !by_label.contains_key(label) && by_label.len() < MOST_BARS {
            let template = "{prefix:>16} {bar:30} {pos}/{len} {msg}";
            by_label.insert(label.to_owned(), bar(&self.all, template, Some(0), label));
        }
        if let Some(bar) = by_label.get(label) {
            bar.inc_length(units as u64);
        }
    }

    fn round(&self, units: usize) {
        self.total.inc_length(units as u64);
    }

    fn unit(&self, label: &str) {
        self.total.inc(1);
        if !self.log.is_log {
            let (done, length) = (self.total.position(), self.total.length().unwrap_or(0));
            let left = self.left(done, length.max(done));
            self.total.set_message(format!("{:.1}/s, {left} left, {label}", self.total.per_sec()));
        }
        if let Some(bar) = lock(&self.by_label).get(label) {
            bar.inc(1);
            // One that has not begun has neither.
            let (rate, left) = (bar.per_sec(), time(bar.eta().as_millis() as u64));
            bar.set_message(format!("{rate:.1}/s, {left} left"));
        }
        self.log.line(|| format!("{}: {}", time(self.log.elapsed().as_millis() as u64), self.summary()));
    }
}

/// A campaign: a bar for its time, and a line for each operation.
pub struct CampaignBars<'i> {
    all: MultiProgress,
    total: ProgressBar,
    by_label: BTreeMap<String, ProgressBar>,
    counts: Mutex<BTreeMap<String, Counts>>,
    limit: Option<Duration>,
    interrupted: &'i AtomicBool,
    log: Log,
}

/// What an operation did since the start.
#[derive(Clone, Copy, Default)]
struct Counts {
    units: u64,
    states: u64,
    took_us: u64,
    new: u64,
}

impl<'i> CampaignBars<'i> {
    /// Bars for these subjects and this time; whether the campaign is to end is read from `interrupted`.
    pub fn new(subjects: &[Subject], limit: Option<Duration>, interrupted: &'i Arc<AtomicBool>) -> Self {
        let all = bars();
        let mut by_label = BTreeMap::new();
        for subject in subjects {
            if by_label.len() < MOST_BARS && !by_label.contains_key(subject.label()) {
                let line = bar(&all, "{prefix:>16} {msg}", None, subject.label());
                by_label.insert(subject.label().to_owned(), line);
            }
        }
        let template = match limit {
            Some(_) => "{elapsed:>16} {bar:40.cyan/blue} {msg}",
            None => "{elapsed:>16} {msg}",
        };
        let total = bar(&all, template, limit.map(|limit| limit.as_millis() as u64), "");
        Self { all, total, by_label, counts: Mutex::default(), limit, interrupted, log: Log::new() }
    }

    /// Removes them.
    pub fn clear(&self) {
        self.by_label.values().for_each(ProgressBar::finish_and_clear);
        self.total.finish_and_clear();
    }

    fn summary(&self, state: &State) -> String {
        let left = self.limit.map(|limit| limit.saturating_sub(self.log.elapsed()).as_millis() as u64);
        let left = left.map_or(String::new(), |left| format!(", {} left", time(left)));
        let seconds = self.log.elapsed().as_secs_f64().max(1e-9);
        let states: u64 = lock(&self.counts).values().map(|counts| counts.states).sum();
        format!(
            "{} units, {} states, {} a second, {} marks, {} findings{left}",
            number(state.units()),
            number(state.states_run()),
            number((states as f64 / seconds) as u64),
            number(state.marks()),
            state.found.len()
        )
    }
}

impl Watch for CampaignBars<'_> {
    fn unit(&self, subject: &Subject, unit: &Unit, state: &State) {
        let counts = {
            let mut counts = lock(&self.counts);
            let counts = counts.entry(subject.label().to_owned()).or_default();
            counts.units += 1;
            counts.states += unit.states;
            counts.took_us += unit.took_us;
            counts.new += unit.new.len() as u64;
            *counts
        };
        if let Some(bar) = self.by_label.get(subject.label()) {
            let seconds = counts.took_us as f64 / 1e6;
            bar.set_message(format!(
                "{:>7} units {:>13} states {:>9}/s {:>8.1} new/s",
                number(counts.units),
                number(counts.states),
                number((counts.states as f64 / seconds.max(1e-9)) as u64),
                counts.new as f64 / seconds.max(1e-9)
            ));
        }
        self.total.set_position(self.log.elapsed().as_millis() as u64);
        if !self.log.is_log {
            self.total.set_message(self.summary(state));
        }
        self.log.line(|| format!("{}: {}", time(self.log.elapsed().as_millis() as u64), self.summary(state)));
    }

    fn found(&self, subject: &Subject, file: &str, cause: &str) {
        let line = format!("kop: found {subject}: {cause}, {file}");
        if self.log.is_log {
            let _ = writeln!(std::io::stderr(), "{line}");
        } else {
            let _ = self.all.println(line);
        }
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_many_units_there_are_and_how_long_they_take() {
        let bar = Bar::new(None);
        [300, 100].into_iter().for_each(|units| bar.round(units));
        (0..100).for_each(|_| bar.unit("rotate"));
        std::thread::sleep(Duration::from_millis(40));
        let summary = bar.summary();
        assert!(summary.starts_with("100 of 400 units, "), "{summary}");
        // Three times as long as it took so far, which is no more than a minute.
        let left = summary.rsplit(", ").next().and_then(|left| left.strip_suffix("s left"));
        let left: f64 = left.and_then(|left| left.parse().ok()).expect("seconds");
        assert!((0.1..60.0).contains(&left), "{summary}");
    }

    #[test]
    fn a_bar_of_an_operation_has_its_units() {
        let bar = Bar::new(None);
        bar.share("rotate", 7);
        bar.share("select", 5);
        bar.share("rotate", 4);
        bar.unit("rotate");
        let by_label = lock(&bar.by_label);
        let of = |label: &str| (by_label[label].position(), by_label[label].length());
        assert_eq!((of("rotate"), of("select")), ((1, Some(11)), (0, Some(5))));
    }

    #[test]
    fn the_time_that_is_left_is_that_of_the_limit() {
        let bar = Bar::new(Some(Duration::from_secs(3600)));
        bar.round(10);
        (0..9).for_each(|_| bar.unit("rotate"));
        assert!(bar.summary().ends_with(", 59m 59s left"), "{}", bar.summary());
    }

    #[test]
    fn what_was_not_announced_is_counted_without_a_total() {
        let bar = Bar::new(None);
        (0..3).for_each(|_| bar.unit("rotate"));
        assert!(bar.summary().starts_with("3 units, "), "{}", bar.summary());
        assert!(!bar.summary().contains("left"), "{}", bar.summary());
    }
}
