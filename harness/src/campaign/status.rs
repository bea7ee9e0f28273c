// SPDX-License-Identifier: GPL-2.0-or-later
//! What a campaign knows, for a person who looks in.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::state::{Sample, State, SubjectState};

/// The columns of a curve.
const COLUMNS: usize = 60;

/// How many subjects are listed by their yield.
const LISTED: usize = 8;

/// Totals, rates, memory and yields as text.
pub fn status(state: &State, dir: &Path) -> String {
    let mut text = String::new();
    let seconds = state.elapsed_ms as f64 / 1000.0;
    let _ = writeln!(text, "{}", dir.display());
    let mut field = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<10} {value}");
    };
    field("time", format!("{}, {}", time(state.elapsed_ms), plural(state.starts, "start")));
    field("build", state.build.to_string());
    field("seed", format!("{}, {} states of each row in a unit", state.seed, number(state.states as u64)));
    let shards: std::collections::BTreeSet<&String> =
        state.subjects.values().flat_map(|subject| subject.shards.keys()).collect();
    field("shards", shards.into_iter().cloned().collect::<Vec<_>>().join(", "));
    field("units", format!("{}, {:.1} a second", number(state.units()), rate(state.units(), seconds)));
    let states = state.states_run();
    field("states", format!("{}, {} a second", number(states), number(rate(states, seconds) as u64)));
    field(
        "marks",
        format!("{} of behaviour, {:.2} new a second lately", number(state.marks()), lately(&state.samples)),
    );
    let raw = state.found.values().filter(|found| !found.minimised).count();
    field("findings", format!("{}, {raw} of them as found", state.found.len()));
    for failure in &state.failures {
        field("failure", failure.clone());
    }
    curves(&mut text, &state.samples);
    groups(&mut text, state);
    yields(&mut text, state);
    for (file, found) in &state.found {
        let _ = writeln!(text, "  finding    {file}: {}", found.cause);
    }
    text
}

/// Memory, speed and new behaviour over time.
fn curves(text: &mut String, samples: &[Sample]) {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return };
    let memory: Vec<u64> = samples.iter().map(|sample| sample.rss_kib).collect();
    let per_second = |value: fn(&Sample) -> u64| -> Vec<u64> {
        let rate = |pair: &[Sample]| {
            let ms = pair[1].at_ms.saturating_sub(pair[0].at_ms).max(1);
            value(&pair[1]).saturating_sub(value(&pair[0])) * 1000 / ms
        };
        samples.windows(2).map(rate).collect()
    };
    let mut curve = |name: &str, values: &[u64], show: fn(u64) -> String| {
        let range = values.iter().min().zip(values.iter().max());
        let Some((least, most)) = range else { return };
        let _ = writeln!(text, "  {name:<10} {}  {} to {}", sparkline(values), show(*least), show(*most));
    };
    curve("memory", &memory, |kib| format!("{} MiB", kib >> 10));
    curve("states/s", &per_second(|sample| sample.states), number);
    curve("new/s", &per_second(|sample| sample.marks), number);
    let _ = writeln!(text, "  {:<10} {} to {}", "", time(first.at_ms), time(last.at_ms));
}

/// What the subjects of each operation have in common.
fn groups(text: &mut String, state: &State) {
    let mut by_label: BTreeMap<&str, (u64, u64, u64, u64)> = BTreeMap::new();
    for (name, subject) in &state.subjects {
        let sums = by_label.entry(name.split(' ').next().unwrap_or(name)).or_default();
        for totals in subject.shards.values() {
            sums.0 += totals.rounds.count();
            sums.1 += totals.states;
            sums.2 += totals.busy_ms;
        }
        sums.3 += subject.marks.count();
    }
    let busy: u64 = by_label.values().map(|sums| sums.2).sum();
    let _ =
        writeln!(text, "  {:<16} {:>8} {:>14} {:>6} {:>9}", "subjects", "units", "states", "time", "marks");
    for (label, (units, states, ms, marks)) in by_label {
        let share = format!("{:.0}%", 100.0 * ms as f64 / busy.max(1) as f64);
        let (units, states, marks) = (number(units), number(states), number(marks));
        let _ = writeln!(text, "  {label:<16} {units:>8} {states:>14} {share:>6} {marks:>9}");
    }
}

/// Who still yields the most.
fn yields(text: &mut String, state: &State) {
    let mut subjects: Vec<(&String, &SubjectState)> = state.subjects.iter().collect();
    subjects.sort_by_key(|(_, subject)| std::cmp::Reverse(subject.pace.new_per_ks));
    let best = subjects.iter().take(LISTED).filter(|(_, subject)| subject.pace.new_per_ks > 0);
    let shown: Vec<String> = best
        .map(|(name, subject)| format!("{name} {:.1}/s", subject.pace.new_per_ks as f64 / 1000.0))
        .collect();
    let _ = writeln!(
        text,
        "  {:<10} {}",
        "new from",
        if shown.is_empty() { "nowhere".to_owned() } else { shown.join(", ") }
    );
}

fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// New marks a second over the last samples.
fn lately(samples: &[Sample]) -> f64 {
    let Some(last) = samples.last() else { return 0.0 };
    let from = samples[samples.len().saturating_sub(7)];
    rate(last.marks.saturating_sub(from.marks), last.at_ms.saturating_sub(from.at_ms) as f64 / 1000.0)
}

/// Values as a line of blocks, from zero to the largest; of more values than there are columns each column has the largest of
/// its share.
pub fn sparkline(values: &[u64]) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = values.iter().copied().max().unwrap_or(0).max(1);
    let columns = values.len().min(COLUMNS);
    (0..columns)
        .map(|column| {
            let share = &values[column * values.len() / columns..(column + 1) * values.len() / columns];
            let value = share.iter().copied().max().unwrap_or(0);
            BLOCKS[(u128::from(value) * 7 / u128::from(most)) as usize]
        })
        .collect()
}

/// With a comma behind every three digits.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let head = digits.len() % 3;
    let groups = digits.as_bytes()[head..].chunks(3).map(|group| String::from_utf8_lossy(group).into_owned());
    let first = (head > 0).then(|| digits[..head].to_owned());
    first.into_iter().chain(groups).collect::<Vec<_>>().join(",")
}

/// Milliseconds as `4.2s`, `3m 07s` or `12h 05m`.
pub fn time(ms: u64) -> String {
    match ms / 1000 {
        0..60 => format!("{:.1}s", ms as f64 / 1000.0),
        seconds @ 60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        seconds => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

fn plural(count: u64, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_for_people() {
        for (value, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(value), expected);
        }
        for (ms, expected) in [(4200, "4.2s"), (187_000, "3m 07s"), (43_500_000, "12h 05m")] {
            assert_eq!(time(ms), expected);
        }
    }

    #[test]
    fn a_curve_goes_from_zero_to_the_largest_value() {
        assert_eq!(sparkline(&[0, 7, 14]), "▁▄█");
        assert_eq!(sparkline(&[5, 5]), "██");
        assert_eq!(sparkline(&[]), "");
        let peak: Vec<u64> = (0..1000).map(|at| u64::from(at == 500)).collect();
        assert_eq!(sparkline(&peak).chars().filter(|block| *block == '█').count(), 1);
    }

    #[test]
    fn an_empty_campaign_has_a_status() {
        let text = status(&State::new(3, 500, super::super::Build::default()), Path::new("dir"));
        assert!(text.starts_with("dir\n") && text.contains("findings   0, 0 of them as found"), "{text}");
    }
}
