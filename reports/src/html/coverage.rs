// SPDX-License-Identifier: GPL-2.0-or-later
//! How often each class of operands and values occurred: a matrix for each operation, a row for each form.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::plot::px;
use super::{Section, scroll_box};
use crate::record::{Record, Row};
use crate::words::{number, plural};

/// The side of a cell, and what lies between two cells and between two groups, in pixels.
const CELL: f64 = 15.0;
const GAP: f64 = 2.0;
const GROUP_GAP: f64 = 9.0;

/// About how wide a character of a label is, in pixels.
const CHAR: f64 = 7.2;

/// The shades of the legend.
const SHADES: [(&str, &str); 5] = [
    ("n1", "1 to 9"),
    ("n2", "10 to 99"),
    ("n3", "100 to 999"),
    ("n4", "1,000 to 9,999"),
    ("n5", "10,000 and more"),
];

pub(super) fn section(record: &Record) -> Option<Section> {
    let mut operations: Vec<(&str, Vec<&Row>)> = Vec::new();
    for row in record.ops.iter().filter(|row| !row.classes.is_empty()) {
        match operations.iter_mut().find(|(name, _)| *name == row.name) {
            Some((_, rows)) => rows.push(row),
            None => operations.push((&row.name, vec![row])),
        }
    }
    if operations.is_empty() {
        return None;
    }
    let body = html! {
        p.hint {
            "How many payloads or states fell into each class. A class that never occurred is a place in which a mistake "
            "could hide."
        }
        (legend())
        @for (name, rows) in &operations { (operation(name, rows)) }
    };
    Some(Section { anchor: "coverage", heading: "Coverage of operand classes", body })
}

fn legend() -> Markup {
    html! {
        ul.legend aria-label="Shades" {
            li {
                svg.picture viewBox="0 0 15 15" aria-hidden="true" { (never(0.0, 0.0)) }
                "never"
            }
            @for (class, text) in SHADES {
                li { svg.picture viewBox="0 0 15 15" aria-hidden="true" { rect.(class) width="15" height="15" rx="2" {} } (text) }
            }
        }
    }
}

fn operation(name: &str, rows: &[&Row]) -> Markup {
    let lines = lines(rows);
    let columns = Columns::of(&lines);
    let missing = missing(&lines);
    let never = match missing.len() {
        0 => "none of them never".to_owned(),
        _ => format!("{} never", plural(missing.len() as u64, "place")),
    };
    let label =
        format!("{name}: {} classes of {}; {never}", columns.count(), plural(lines.len() as u64, "line"));
    html! {
        h3 { (name) }
        (scroll_box(&format!("Coverage of {name}"), html! { div.frame { (matrix(&label, &lines, &columns)) } }))
        @if !missing.is_empty() {
            ul.names { @for (line, classes) in &missing { li { (line) " never had: " (classes.join(", ")) } } }
        }
    }
}

/// The rows that count alike, under one name.
struct Line<'a> {
    label: String,
    classes: &'a BTreeMap<String, u64>,
}

/// A form's architectures have the same counts where they ran the same payloads: they share a line.
fn lines<'a>(rows: &[&'a Row]) -> Vec<Line<'a>> {
    let mut lines: Vec<(&str, Vec<&str>, &BTreeMap<String, u64>)> = Vec::new();
    for row in rows {
        match lines.iter_mut().find(|(form, _, classes)| *form == row.form && **classes == row.classes) {
            Some((_, archs, _)) => archs.push(&row.arch),
            None => lines.push((&row.form, vec![&row.arch], &row.classes)),
        }
    }
    let line = |(form, archs, classes): (&str, Vec<&str>, &'a BTreeMap<String, u64>)| Line {
        label: format!("{form} {}", archs.join(" ")),
        classes,
    };
    lines.into_iter().map(line).collect()
}

fn missing(lines: &[Line]) -> Vec<(String, Vec<String>)> {
    let of = |line: &Line| {
        let never = line.classes.iter().filter(|(_, count)| **count == 0);
        (line.label.clone(), never.map(|(class, _)| class.clone()).collect::<Vec<_>>())
    };
    lines.iter().map(of).filter(|(_, classes)| !classes.is_empty()).collect()
}

/// The classes of an operation in groups: `dst=r3` is `r3` of the group `dst`, `value zero` is `zero` of `value`.
struct Columns {
    groups: Vec<(String, Vec<(String, String)>)>,
}

impl Columns {
    fn of(lines: &[Line]) -> Self {
        let mut groups: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for class in lines.iter().flat_map(|line| line.classes.keys()) {
            let split = class.find([' ', '=']).unwrap_or(class.len());
            let (group, label) =
                (class[..split].to_owned(), class[split..].trim_start_matches([' ', '=']).to_owned());
            let classes = groups.entry(group).or_default();
            if !classes.iter().any(|(_, known)| known == class) {
                classes.push((label, class.clone()));
            }
        }
        for classes in groups.values_mut() {
            classes.sort_by_key(|(label, _)| natural(label));
        }
        Self { groups: groups.into_iter().collect() }
    }

    fn count(&self) -> usize {
        self.groups.iter().map(|(_, classes)| classes.len()).sum()
    }

    fn longest_label(&self) -> usize {
        let labels =
            self.groups.iter().flat_map(|(_, classes)| classes).map(|(label, _)| label.chars().count());
        labels.max().unwrap_or(0)
    }
}

/// Orders `r9` before `r10`.
fn natural(label: &str) -> (String, u64, String) {
    let digits = label.find(|c: char| c.is_ascii_digit()).unwrap_or(label.len());
    let end = label[digits..].find(|c: char| !c.is_ascii_digit()).map_or(label.len(), |end| digits + end);
    (label[..digits].to_owned(), label[digits..end].parse().unwrap_or(0), label[end..].to_owned())
}

fn matrix(label: &str, lines: &[Line], columns: &Columns) -> Markup {
    let left = lines.iter().map(|line| line.label.chars().count()).max().unwrap_or(0) as f64 * CHAR + 14.0;
    let top = 26.0 + columns.longest_label() as f64 * CHAR;
    let mut x = left;
    let mut groups = Vec::new();
    for (group, classes) in &columns.groups {
        let at: Vec<f64> = (0..classes.len()).map(|i| x + i as f64 * (CELL + GAP)).collect();
        let cells = classes.len() as f64 * (CELL + GAP);
        groups.push((group, x, classes.iter().zip(at).collect::<Vec<_>>()));
        x += cells.max(group.chars().count() as f64 * CHAR) + GROUP_GAP;
    }
    let (width, height) = (x + 4.0, top + lines.len() as f64 * (CELL + GAP) + 4.0);
    html! {
        svg.picture role="img" aria-label=(label) width=(px(width)) height=(px(height))
            viewBox={ "0 0 " (px(width)) " " (px(height)) } {
            @for (group, from, classes) in &groups {
                text.head x=(px(*from)) y="13" { (group) }
                @for ((label, _), x) in classes {
                    text.mono transform={ "translate(" (px(x + CELL - 4.0)) " " (px(top - 6.0)) ") rotate(-90)" } { (label) }
                }
            }
            @for (i, line) in lines.iter().enumerate() {
                @let y = top + i as f64 * (CELL + GAP);
                text.soft x=(px(left - 10.0)) y=(px(y + 12.0)) text-anchor="end" { (line.label) }
                @for (_, _, classes) in &groups {
                    @for ((_, class), x) in classes {
                        @if let Some(count) = line.classes.get(class.as_str()) { (cell(*x, y, class, *count)) }
                    }
                }
            }
        }
    }
}

fn cell(x: f64, y: f64, class: &str, count: u64) -> Markup {
    let shade = SHADES[(count.max(1).ilog10() as usize).min(SHADES.len() - 1)].0;
    html! {
        g {
            title { (class) ": " @if count == 0 { "never" } @else { (number(count)) } }
            @if count == 0 {
                (never(x, y))
            } @else {
                rect.(shade) x=(px(x)) y=(px(y)) width=(px(CELL)) height=(px(CELL)) rx="2" {}
            }
        }
    }
}

fn never(x: f64, y: f64) -> Markup {
    let (from, to) = (5.0, CELL - 5.0);
    let cross = format!(
        "M{} {}L{} {}M{} {}L{} {}",
        px(x + from),
        px(y + from),
        px(x + to),
        px(y + to),
        px(x + to),
        px(y + from),
        px(x + from),
        px(y + to)
    );
    html! {
        rect.never x=(px(x + 0.5)) y=(px(y + 0.5)) width=(px(CELL - 1.0)) height=(px(CELL - 1.0)) rx="2" {}
        path.cross d=(cross) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::row;

    fn with(classes: &[(&str, u64)], arch: &str) -> Row {
        let classes = classes.iter().map(|&(class, count)| (class.to_owned(), count)).collect();
        Row { classes, ..row("rotate", "imm64", arch) }
    }

    #[test]
    fn architectures_that_count_alike_share_a_line() {
        let (same, other) = ([("dst=r0", 1)], [("dst=r0", 2)]);
        let rows = [with(&same, "x86_64"), with(&same, "aarch64"), with(&other, "none")];
        let labels: Vec<String> = lines(&rows.each_ref()).into_iter().map(|line| line.label).collect();
        assert_eq!(labels, ["imm64 x86_64 aarch64", "imm64 none"]);
    }

    #[test]
    fn classes_stand_in_groups_in_natural_order() {
        let row = with(
            &[("dst=r10", 1), ("dst=r9", 0), ("alias dst=src", 3), ("value zero", 1), ("odd", 1)],
            "x86_64",
        );
        let columns = Columns::of(&lines(&[&row]));
        let shown = columns.groups.iter().map(|(group, classes)| {
            (group.as_str(), classes.iter().map(|(label, _)| label.as_str()).collect::<Vec<_>>())
        });
        let expected = [
            ("alias", vec!["dst=src"]),
            ("dst", vec!["r9", "r10"]),
            ("odd", vec![""]),
            ("value", vec!["zero"]),
        ];
        assert_eq!(shown.collect::<Vec<_>>(), expected);
        assert_eq!(missing(&lines(&[&row])), [("imm64 x86_64".to_owned(), vec!["dst=r9".to_owned()])]);
    }

    #[test]
    fn shades_are_powers_of_ten() {
        for (count, shade) in [(1, "n1"), (9, "n1"), (10, "n2"), (999, "n3"), (1000, "n4"), (u64::MAX, "n5")]
        {
            let cell = cell(0.0, 0.0, "a", count).into_string();
            assert!(cell.contains(&format!("class=\"{shade}\"")), "{count}: {cell}");
        }
        assert!(cell(0.0, 0.0, "a", 0).into_string().contains("class=\"never\""));
    }
}
