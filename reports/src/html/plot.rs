// SPDX-License-Identifier: GPL-2.0-or-later
//! What pictures have in common: ticks at round numbers, and numbers short enough for an axis.

/// Round numbers from 0 on, at most `most` steps apart, of which the last is at least `max`.
pub(crate) fn ticks(max: f64, most: usize) -> Vec<f64> {
    let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
    let raw = max / most.max(1) as f64;
    let power = 10f64.powf(raw.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= raw * 0.999_999);
    let step = step.unwrap_or(power * 10.0);
    let count = (max / step - 1e-9).ceil().max(1.0) as usize;
    (0..=count).map(|i| i as f64 * step).collect()
}

/// A number of an axis: `250`, `1.5k`, `2M`.
pub(crate) fn short(value: f64) -> String {
    let (scaled, unit) = match value {
        v if v >= 1e9 => (v / 1e9, "G"),
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e3 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let text = format!("{scaled:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}

/// A coordinate, to a tenth of a pixel.
pub(crate) fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_largest() {
        assert_eq!(ticks(10.0, 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(730_000.0, 4), [0.0, 200_000.0, 400_000.0, 600_000.0, 800_000.0]);
        assert_eq!(ticks(0.0, 4).last(), Some(&1.0));
        for max in [1e-3, 0.7, 1.0, 3.3, 99.9, 1234.5, 8.5e9] {
            let ticks = ticks(max, 5);
            assert!(*ticks.last().expect("some") >= max * 0.999_999 && ticks.len() <= 6, "{max}: {ticks:?}");
        }
        assert_eq!(ticks(f64::NAN, 4).len(), ticks(1.0, 4).len());
    }

    #[test]
    fn numbers_of_an_axis_are_short() {
        assert_eq!([0.0, 0.5, 250.0, 1500.0, 2e6, 12e9].map(short), ["0", "0.5", "250", "1.5k", "2M", "12G"]);
        assert_eq!([1.0, 1.26, 0.0].map(px), ["1", "1.3", "0"]);
    }
}
