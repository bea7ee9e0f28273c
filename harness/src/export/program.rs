// SPDX-License-Identifier: GPL-2.0-or-later
//! A tree as statements: what both sides of a condition begin or end with stands before or after it.

use super::predicate::Predicate;
use super::target::{Item, Outcome, Point, Target};
use super::tree::{Step, Tree};

/// A statement.
#[derive(Clone, Debug)]
pub enum Statement {
    /// An instruction is written.
    Step(Step),
    /// A condition.
    If {
        /// The condition.
        predicate: Predicate,
        /// What is done where it holds.
        holds: Vec<Statement>,
        /// What is done where it does not.
        fails: Vec<Statement>,
    },
    /// There is no native form for this CPU; nothing follows.
    Absent,
    /// The operands are refused; nothing follows.
    Refused(String),
}

/// How alike two instructions have to be to become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// The same template.
    Same,
    /// A template of one side that gives the other side's examples too.
    Covering,
}

/// The statements of a tree.
pub fn statements(tree: &Tree, target: Target, merge: Merge) -> Vec<Statement> {
    match tree {
        Tree::Code(steps) => steps.iter().cloned().map(Statement::Step).collect(),
        Tree::Absent => vec![Statement::Absent],
        Tree::Refused(reason) => vec![Statement::Refused(reason.clone())],
        Tree::If { predicate, holds, fails } => {
            let mut holds = statements(holds, target, merge);
            let mut fails = statements(fails, target, merge);
            let mut before = Vec::new();
            while let Some(step) = common(holds.first(), fails.first(), target, merge) {
                holds.remove(0);
                fails.remove(0);
                before.push(Statement::Step(step));
            }
            let mut after = Vec::new();
            while let Some(step) = common(holds.last(), fails.last(), target, merge) {
                holds.pop();
                fails.pop();
                after.push(Statement::Step(step));
            }
            if !holds.is_empty() || !fails.is_empty() {
                before.push(Statement::If { predicate: predicate.clone(), holds, fails });
            }
            before.extend(after.into_iter().rev());
            before
        }
    }
}

/// The instruction that both statements are.
fn common(a: Option<&Statement>, b: Option<&Statement>, target: Target, merge: Merge) -> Option<Step> {
    let (Some(Statement::Step(a)), Some(Statement::Step(b))) = (a, b) else { return None };
    let chosen = if a.is(b) || (merge == Merge::Covering && a.covers(b, target)) {
        a
    } else if merge == Merge::Covering && b.covers(a, target) {
        b
    } else {
        return None;
    };
    let examples = a.examples.iter().chain(&b.examples).cloned().collect();
    Some(Step { examples, ..chosen.clone() })
}

/// What the statements give at `point`.
pub fn run(statements: &[Statement], point: &Point, target: Target) -> Outcome {
    let mut items = Vec::new();
    match execute(statements, point, target, &mut items) {
        Some(outcome) => outcome,
        None => Outcome::Code(items),
    }
}

fn execute(
    statements: &[Statement],
    point: &Point,
    target: Target,
    items: &mut Vec<Item>,
) -> Option<Outcome> {
    for statement in statements {
        match statement {
            Statement::Step(step) => items.push(step.template.at(point, target)),
            Statement::Absent => return Some(Outcome::Absent),
            Statement::Refused(reason) => return Some(Outcome::Refused(reason.clone())),
            Statement::If { predicate, holds, fails } => {
                let side = if predicate.holds(point, target) { holds } else { fails };
                let outcome = execute(side, point, target, items);
                if outcome.is_some() {
                    return outcome;
                }
            }
        }
    }
    None
}

/// Every instruction and condition, in the order of the text.
pub fn visit<'a>(
    statements: &'a [Statement],
    on_step: &mut impl FnMut(&'a Step),
    on_condition: &mut impl FnMut(&'a Predicate),
) {
    for statement in statements {
        match statement {
            Statement::Step(step) => on_step(step),
            Statement::If { predicate, holds, fails } => {
                on_condition(predicate);
                visit(holds, on_step, on_condition);
                visit(fails, on_step, on_condition);
            }
            Statement::Absent | Statement::Refused(_) => (),
        }
    }
}
