// SPDX-License-Identifier: GPL-2.0-or-later
//! Something over the time of a run, as a picture.

use maud::{Markup, html};

use super::plot::{px, short, ticks};

/// The width of a picture, in pixels.
pub(super) const WIDTH: f64 = 1060.0;
/// Its height.
pub(super) const HEIGHT: f64 = 260.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 34.0;

/// A curve.
pub(super) struct Curve {
    /// What the vertical axis shows.
    pub axis: &'static str,
    /// What is to be seen, in a sentence.
    pub label: String,
    /// Seconds and values, by time; a line goes from each to the next.
    pub points: Vec<(f64, f64)>,
    /// A value of its own, with its name.
    pub mark: Option<(f64, &'static str)>,
}

/// A unit of time in which `seconds` is a number of few digits: its length in seconds, and its name.
fn unit(seconds: f64) -> (f64, &'static str) {
    match seconds {
        s if s < 300.0 => (1.0, "s"),
        s if s < 3.0 * 3600.0 => (60.0, "min"),
        _ => (3600.0, "h"),
    }
}

impl Curve {
    /// The picture, whose upper edge is at `top`.
    pub fn picture(&self, top: f64) -> Markup {
        let most = self.points.iter().map(|point| point.1).fold(0.0, f64::max);
        let end = self.points.last().map_or(1.0, |point| point.0);
        let (length, name) = unit(end);
        let (rows, columns) = (ticks(most, 4), ticks(end / length, 7));
        let highest = rows.last().copied().unwrap_or(1.0);
        let x = |seconds: f64| LEFT + (WIDTH - LEFT - RIGHT) * seconds / end;
        let y = |value: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / highest;
        let points: Vec<String> =
            self.points.iter().map(|&(at, value)| format!("{},{}", px(x(at)), px(y(value)))).collect();
        let line = points.join(" ");
        let start = self.points.first().map_or(0.0, |point| point.0);
        let area = format!("{},{} {line} {},{}", px(x(start)), px(y(0.0)), px(x(end)), px(y(0.0)));
        html! {
            svg.picture role="img" aria-label=(self.label) y=(px(top)) width=(px(WIDTH)) height=(px(HEIGHT))
                viewBox={ "0 0 " (px(WIDTH)) " " (px(HEIGHT)) } {
                text.soft x="0" y="12" { (self.axis) }
                @for row in &rows {
                    line.grid x1=(px(LEFT)) x2=(px(WIDTH - RIGHT)) y1=(px(y(*row))) y2=(px(y(*row))) {}
                    text.soft x=(px(LEFT - 8.0)) y=(px(y(*row) + 4.0)) text-anchor="end" { (short(*row)) }
                }
                @for column in columns.iter().filter(|column| **column * length <= end * 1.001) {
                    @let at = x(*column * length);
                    line.axis x1=(px(at)) x2=(px(at)) y1=(px(y(0.0))) y2=(px(y(0.0) + 5.0)) {}
                    text.soft x=(px(at)) y=(px(y(0.0) + 20.0)) text-anchor="middle" { (short(*column)) " " (name) }
                }
                polygon.area points=(area) {}
                polyline.series points=(line) {}
                line.axis x1=(px(LEFT)) x2=(px(WIDTH - RIGHT)) y1=(px(y(0.0))) y2=(px(y(0.0))) {}
                @if let Some((value, name)) = self.mark {
                    line.mark x1=(px(LEFT)) x2=(px(WIDTH - RIGHT)) y1=(px(y(value))) y2=(px(y(value))) {}
                    text.halo x=(px(WIDTH - RIGHT - 4.0)) y=(px(y(value) - 6.0)) text-anchor="end" { (name) " " (short(value.round())) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The points of the line, as numbers.
    fn drawn(curve: &Curve) -> Vec<(f64, f64)> {
        let picture = curve.picture(0.0).into_string();
        let line = picture.split("<polyline class=\"series\" points=\"").nth(1).expect("a line");
        let number = |text: &str| text.parse().expect("a coordinate");
        let points = line.split('"').next().expect("its end").split(' ');
        points.map(|point| point.split_once(',').map(|(x, y)| (number(x), number(y))).expect("two")).collect()
    }

    fn curve(points: &[(f64, f64)]) -> Curve {
        Curve { axis: "MiB", label: "memory".to_owned(), points: points.to_vec(), mark: None }
    }

    #[test]
    fn what_is_level_is_drawn_level_and_twice_as_much_twice_as_high() {
        let level = drawn(&curve(&[(0.0, 400.0), (60.0, 400.0), (3600.0, 400.0)]));
        assert!(level.iter().all(|point| point.1 == level[0].1), "{level:?}");
        let growing = drawn(&curve(&[(0.0, 200.0), (50.0, 400.0), (100.0, 400.0)]));
        let above = |point: (f64, f64)| HEIGHT - BOTTOM - point.1;
        assert!((above(growing[1]) - 2.0 * above(growing[0])).abs() < 0.2, "{growing:?}");
        let from_left = |point: (f64, f64)| point.0 - LEFT;
        assert!((from_left(growing[2]) - 2.0 * from_left(growing[1])).abs() < 0.2, "{growing:?}");
    }

    #[test]
    fn time_has_a_unit_that_fits() {
        for (seconds, last) in [(20.0, "20 s"), (3600.0, "60 min"), (86_400.0, "20 h")] {
            let picture = curve(&[(0.0, 1.0), (seconds, 1.0)]).picture(0.0).into_string();
            assert!(picture.contains(&format!(">{last}<")), "{seconds}: {picture}");
        }
    }
}
