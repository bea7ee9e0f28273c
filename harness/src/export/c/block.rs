// SPDX-License-Identifier: GPL-2.0-or-later
//! Statements as C: conditions with the shorter way out first, instructions as the target has them.

use super::expression::Scope;
use super::lines::{Line, deeper, line};
use crate::export::program::Statement;
use crate::export::tree::Step;

/// The statements as lines; `steps` prints instructions that follow each other.
pub fn block(scope: &Scope, statements: &[Statement], steps: &impl Fn(&[&Step]) -> Vec<Line>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut rest = statements;
    while let Some(first) = rest.first() {
        let run = rest.iter().take_while(|statement| matches!(statement, Statement::Step(_))).count();
        if run > 0 {
            let taken: Vec<&Step> = rest[..run].iter().filter_map(step).collect();
            lines.extend(steps(&taken));
            rest = &rest[run..];
            continue;
        }
        rest = &rest[1..];
        match first {
            Statement::Step(_) => (),
            Statement::Absent => lines.push(line("return -EOPNOTSUPP;")),
            Statement::Refused(reason) => {
                lines.push(comment(reason));
                lines.push(line("return -EINVAL;"));
            }
            Statement::If { predicate, holds, fails } => {
                let (sides, expect) = sides(holds, fails);
                let body = block(scope, sides[0], steps);
                let other = block(scope, sides[1], steps);
                lines.extend(branch(&scope.condition(predicate, expect), body, other, ends(sides[0])));
            }
        }
    }
    lines
}

/// A comment of one line.
pub fn comment(text: &str) -> Line {
    line(format!("/* {} */", text.replace("*/", "* /")))
}

fn step(statement: &Statement) -> Option<&Step> {
    match statement {
        Statement::Step(step) => Some(step),
        _ => None,
    }
}

/// The side to print first, the other one, and whether the condition holds on the first.
fn sides<'a>(holds: &'a [Statement], fails: &'a [Statement]) -> ([&'a [Statement]; 2], bool) {
    let is_if = |side: &[Statement]| matches!(side, [Statement::If { .. }]);
    let swap = match (ends(holds), ends(fails)) {
        (true, false) => false,
        (false, true) => true,
        _ => holds.is_empty() || (is_if(holds) && !is_if(fails) && !fails.is_empty()),
    };
    if swap { ([fails, holds], false) } else { ([holds, fails], true) }
}

/// Whether nothing is run after the statements.
fn ends(statements: &[Statement]) -> bool {
    match statements.last() {
        Some(Statement::Absent | Statement::Refused(_)) => true,
        Some(Statement::If { holds, fails, .. }) => ends(holds) && ends(fails),
        _ => false,
    }
}

fn branch(condition: &str, body: Vec<Line>, other: Vec<Line>, ends: bool) -> Vec<Line> {
    let chained = other.first().is_some_and(|first| first.text.starts_with("if (") && first.depth == 0)
        && other[1..]
            .iter()
            .all(|line| line.depth > 0 || line.text.starts_with('}') || line.text.starts_with("else"));
    let braces = body.len() > 1 || (!ends && (other.len() > 1 && !chained || opens(&other)));
    let open = if braces { " {" } else { "" };
    let mut lines = vec![line(format!("if ({condition}){open}"))];
    lines.extend(deeper(body));
    if ends || other.is_empty() {
        lines.extend(braces.then(|| line("}")));
        lines.extend(other);
    } else if chained {
        let prefix = if braces { "} else " } else { "else " };
        let mut other = other.into_iter();
        let first = other.next().expect("it starts with a condition");
        lines.push(line(format!("{prefix}{}", first.text)));
        lines.extend(other);
    } else if braces {
        lines.push(line("} else {"));
        lines.extend(deeper(other));
        lines.push(line("}"));
    } else {
        lines.push(line("else"));
        lines.extend(deeper(other));
    }
    lines
}

/// Whether the lines start a chain of conditions with braces.
fn opens(lines: &[Line]) -> bool {
    lines.first().is_some_and(|first| first.text.ends_with('{'))
}
