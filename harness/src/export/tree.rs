// SPDX-License-Identifier: GPL-2.0-or-later
//! Which instructions a target has at a point, as a tree of conditions over templates, grown from examples.

use std::cmp::Reverse;
use std::collections::HashMap;

use kop_ops::{Arch, Field};

use super::fit::{Example, Fitter, Misfit, Template};
use super::predicate::{Labelled, Predicate, candidates};
use super::target::{Item, Outcome, Point, Target};
use super::text::{Token, masked, tokens};

/// A point and what the target is there.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The point.
    pub point: Point,
    /// The outcome there, with disassemblies.
    pub outcome: Outcome,
    /// What instructions these are, without their operands.
    kind: String,
    /// Their operands.
    variables: Vec<Token>,
}

impl Sample {
    /// The sample of an outcome with disassemblies.
    pub fn new(target: Target, point: Point, outcome: Outcome) -> Self {
        let mut variables = Vec::new();
        let kind = match &outcome {
            Outcome::Absent => "absent".to_owned(),
            Outcome::Refused(reason) => format!("refused {reason}"),
            Outcome::Code(items) => {
                let mut kind = |item: &Item| {
                    let tokens = tokens(target, &item.text);
                    let text = format!("{} {} {:?};", masked(&tokens), item.len, item.rex.map(|rex| rex.at));
                    variables.extend(tokens.into_iter().filter(|token| !matches!(token, Token::Plain(_))));
                    text
                };
                items.iter().map(&mut kind).collect()
            }
        };
        Self { point, outcome, kind, variables }
    }
}

/// A decision tree.
#[derive(Clone, Debug)]
pub enum Tree {
    /// Instructions.
    Code(Vec<Step>),
    /// No native form for this CPU.
    Absent,
    /// The operands are refused.
    Refused(String),
    /// A condition.
    If {
        /// The condition.
        predicate: Predicate,
        /// What is done where it holds.
        holds: Box<Tree>,
        /// What is done where it does not.
        fails: Box<Tree>,
    },
}

/// One instruction of a leaf.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its bits.
    pub template: Template,
    /// What it says, in terms of the operands.
    pub comment: String,
    /// The samples that it was made from.
    pub examples: Vec<(Point, Item)>,
}

impl Step {
    /// Whether both are the same instruction.
    pub fn is(&self, other: &Step) -> bool {
        self.template == other.template
    }

    /// Whether this instruction may stand where `other` does.
    pub fn covers(&self, other: &Step, target: Target) -> bool {
        let examples: Vec<Example> = other.examples.iter().map(|(point, item)| (point, item)).collect();
        self.template.covers(&examples, target)
    }
}

/// Grows trees for one target.
pub struct Grower<'a> {
    /// The target.
    pub target: Target,
    /// The form's fields.
    pub fields: &'a [Field],
}

impl Grower<'_> {
    /// The tree that gives each sample's outcome; `None` when nothing tells two samples apart.
    pub fn grow(&self, samples: &[&Sample]) -> Option<Tree> {
        let labels = self.labels(samples);
        let one_kind = labels.iter().all(|label| *label == labels[0]);
        // AArch64's disassembly has many names for one instruction.
        let may_be_leaf = one_kind || self.target == Target::Native(Arch::Aarch64);
        let misfit = match self.leaf(samples, false) {
            Ok(leaf) if may_be_leaf => return Some(leaf),
            Ok(_) => Place { index: 0, misfit: Misfit::Length },
            Err(misfit) => misfit,
        };
        let classes = if one_kind { self.roles(samples, false) } else { labels };
        // Instructions that differ in kind or in the registers' places are told apart by a condition. Numbers that follow
        // no rule take a table, and a condition where that does not do.
        let predicate = match self.split(samples, &classes) {
            Some((_, predicate)) => predicate,
            None => {
                if let Ok(leaf) = self.leaf(samples, true) {
                    return Some(leaf);
                }
                let by_bits = self.split_by_bits(samples, misfit);
                by_bits.or_else(|| Some(self.split(samples, &self.roles(samples, true))?.1))?
            }
        };
        let (holds, fails): (Vec<&Sample>, Vec<&Sample>) =
            samples.iter().partition(|sample| predicate.holds(&sample.point, self.target));
        Some(Tree::If { predicate, holds: Box::new(self.grow(&holds)?), fails: Box::new(self.grow(&fails)?) })
    }

    /// The leaf for all samples.
    fn leaf(&self, samples: &[&Sample], tables: bool) -> Result<Tree, Place> {
        let length = Place { index: 0, misfit: Misfit::Length };
        match &samples.first().ok_or(length)?.outcome {
            Outcome::Absent if samples.iter().all(|sample| sample.outcome == Outcome::Absent) => {
                Ok(Tree::Absent)
            }
            Outcome::Refused(reason) if samples.iter().all(|sample| sample.outcome == samples[0].outcome) => {
                Ok(Tree::Refused(reason.clone()))
            }
            Outcome::Code(first) => {
                let fitter = Fitter { target: self.target, fields: self.fields, tables };
                let mut steps = Vec::new();
                if samples.iter().any(|sample| code(sample).is_none_or(|items| items.len() != first.len())) {
                    return Err(length);
                }
                for index in 0..first.len() {
                    let examples: Vec<Example> = samples
                        .iter()
                        .filter_map(|sample| Some((&sample.point, code(sample)?.get(index)?)))
                        .collect();
                    let template = fitter.fit(&examples).map_err(|misfit| Place { index, misfit })?;
                    let comment = super::comment::comment(&fitter, &examples);
                    let examples = examples.into_iter().map(|(point, item)| (*point, item.clone())).collect();
                    steps.push(Step { template, comment, examples });
                }
                Ok(Tree::Code(steps))
            }
            _ => Err(length),
        }
    }

    /// The kind of each sample's instructions, as numbers.
    fn labels(&self, samples: &[&Sample]) -> Vec<u32> {
        let mut known: HashMap<&str, u32> = HashMap::new();
        let mut labels = Vec::with_capacity(samples.len());
        for sample in samples {
            let next = known.len() as u32;
            labels.push(*known.entry(&sample.kind).or_insert(next));
        }
        labels
    }

    /// The places that operands take in instructions of one kind: classes of samples that can be explained alike, found
    /// by taking the explanation that most samples share, again and again.
    ///
    /// Registers alone are looked at, or numbers too.
    fn roles(&self, samples: &[&Sample], numbers: bool) -> Vec<u32> {
        let is_wanted = |token: &&Token| numbers || matches!(token, Token::Register(..));
        let variables: Vec<Vec<&Token>> =
            samples.iter().map(|sample| sample.variables.iter().filter(is_wanted).collect()).collect();
        let mut classes = vec![u32::MAX; samples.len()];
        let mut left: Vec<usize> = (0..samples.len()).collect();
        for class in 0.. {
            if left.is_empty() {
                break;
            }
            let places = variables[left[0]].len();
            let alike = (0..places).fold(left.clone(), |alike, place| {
                let mut found: HashMap<Role, Vec<usize>> = HashMap::new();
                for sample in alike {
                    for role in self.explanations(&samples[sample].point, variables[sample][place]) {
                        found.entry(role).or_default().push(sample);
                    }
                }
                let best = found.into_iter().max_by_key(|(role, shared)| (shared.len(), Reverse(*role)));
                best.map(|best| best.1).unwrap_or_default()
            });
            alike.iter().for_each(|&sample| classes[sample] = class);
            left.retain(|&sample| classes[sample] == u32::MAX);
        }
        classes
    }

    fn explanations(&self, point: &Point, token: &Token) -> Vec<Role> {
        let fields = 0..self.fields.len();
        match token {
            Token::Plain(_) => Vec::new(),
            Token::Register(number, _) => fields
                .filter(|&field| self.fields[field].is_register())
                .filter(|&field| self.target.number(point.value(field)) == *number)
                .map(|field| Role::Field(field, 0))
                .chain([Role::Constant(*number as i64)])
                .collect(),
            Token::Number(number) => fields
                .filter(|&field| !self.fields[field].is_register())
                .map(|field| Role::Field(field, number.wrapping_sub(point.value(field))))
                .chain([Role::Constant(*number)])
                .collect(),
        }
    }

    /// The condition that tells the classes apart best, and what share of the information it leaves open; none when no
    /// condition tells anything.
    fn split(&self, samples: &[&Sample], classes: &[u32]) -> Option<(f64, Predicate)> {
        let points: Vec<Labelled> =
            samples.iter().map(|sample| &sample.point).zip(classes.iter().copied()).collect();
        let mut all = vec![0; classes.iter().max().map_or(0, |class| *class as usize + 1)];
        classes.iter().for_each(|&class| all[class as usize] += 1);
        let before = entropy(&all);
        if before == 0.0 {
            return None;
        }
        let mut best: Option<(f64, Predicate)> = None;
        let mut holds = vec![0; all.len()];
        for predicate in candidates(self.target, self.fields, &points) {
            holds.fill(0);
            for (point, class) in &points {
                holds[*class as usize] += u32::from(predicate.holds(point, self.target));
            }
            let fails: Vec<u32> = all.iter().zip(&holds).map(|(all, holds)| all - holds).collect();
            let weighted = |side: &[u32]| f64::from(side.iter().sum::<u32>()) * entropy(side);
            let after = (weighted(&holds) + weighted(&fails)) / points.len() as f64;
            if before - after < 1e-9 {
                continue;
            }
            let score = after / before + 0.002 * f64::from(predicate.cost());
            if best.as_ref().is_none_or(|best| score < best.0) {
                best = Some((score, predicate));
            }
        }
        best
    }

    /// Of the conditions that tell some bit of the instruction that does not fit, the one that leaves the fewest samples
    /// without a template.
    fn split_by_bits(&self, samples: &[&Sample], place: Place) -> Option<Predicate> {
        let items: Vec<&Item> = samples.iter().filter_map(|sample| code(sample)?.get(place.index)).collect();
        if items.len() != samples.len() {
            return None;
        }
        let varying = items.iter().fold(0, |bits, item| bits | (item.bits ^ items[0].bits));
        let present = |item: &Item| u32::from(item.rex.is_some_and(|rex| rex.present));
        let rex = self.split(samples, &items.iter().map(|item| present(item)).collect::<Vec<_>>());
        let by_bit = (0..128).filter(|bit| varying >> bit & 1 == 1).filter_map(|bit| {
            let classes: Vec<u32> = items.iter().map(|item| (item.bits >> bit & 1) as u32).collect();
            self.split(samples, &classes)
        });
        let mut candidates: Vec<(f64, Predicate)> =
            by_bit.chain(rex.filter(|_| place.misfit == Misfit::Rex)).collect();
        candidates.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut best: Option<(usize, Predicate)> = None;
        let mut tried: Vec<Predicate> = Vec::new();
        for (_, predicate) in candidates {
            if tried.contains(&predicate) {
                continue;
            }
            let (holds, fails): (Vec<&Sample>, Vec<&Sample>) =
                samples.iter().partition(|sample| predicate.holds(&sample.point, self.target));
            let fitting = |side: &[&Sample]| if self.leaf(side, false).is_ok() { side.len() } else { 0 };
            let fitting = fitting(&holds) + fitting(&fails);
            if best.as_ref().is_none_or(|best| best.0 < fitting) {
                best = Some((fitting, predicate.clone()));
            }
            tried.push(predicate);
        }
        best.map(|best| best.1)
    }
}

/// What a register or a number in an instruction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Role {
    /// A field plus a constant.
    Field(usize, i64),
    /// A constant.
    Constant(i64),
}

/// Where a leaf does not fit.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The number of the instruction.
    index: usize,
    /// Why.
    misfit: Misfit,
}

/// The instructions of a sample.
fn code(sample: &Sample) -> Option<&Vec<Item>> {
    match &sample.outcome {
        Outcome::Code(items) => Some(items),
        _ => None,
    }
}

/// The information in bits that a class has, of classes that occur so often.
fn entropy(counts: &[u32]) -> f64 {
    let total = f64::from(counts.iter().sum::<u32>());
    let share = |count: &u32| f64::from(*count) / total;
    counts.iter().filter(|count| **count > 0).map(|count| -share(count) * share(count).log2()).sum()
}
