// SPDX-License-Identifier: GPL-2.0-or-later
//! One form of an operation as the file gives it: operands, rules, proof, native forms and contract.

use kop_ops::ebpf::{Insn, Reg, RegSet, parse_program};
use kop_ops::{Arch, Feature, Features, Form, Limits, Vectors};

use super::document::{Located, SourceFile, Table, TextError, Value};
use super::expression::{Environment, Expression, Failure, Scope, Type};
use super::native::{self, NativeError};
use super::operands::{self, Operands};
use super::template::{Language, Template};

/// What a form may take where the file says nothing.
pub(super) const LIMITS: Limits = Limits { max_insn_cnt: 64, max_emit_bytes: 256 };

/// A form and how it is compiled.
#[derive(Clone, Debug)]
pub(super) struct FormText {
    pub(super) form: Form,
    pub(super) operands: Operands,
    pub(super) rules: Vec<Rule>,
    pub(super) proofs: Vec<Choice>,
    /// By architecture.
    pub(super) natives: [Vec<Choice>; 2],
    pub(super) archs: Vec<Arch>,
    dead: Vec<Dead>,
    pub(super) declared: Vec<String>,
    pub(super) vectors: Vectors,
    pub(super) limits: Limits,
    pub(super) interesting: Vec<u64>,
}

/// A condition that operands must meet.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) text: String,
    condition: Expression,
}

/// A template, and when it is taken.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    when: Option<Expression>,
    pub(super) features: Features,
    pub(super) template: Template,
}

/// A register that is dead after the site.
#[derive(Clone, Copy, Debug)]
enum Dead {
    Register(Reg),
    Operand(usize),
}

/// Why operands have no proof, or no code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Every template that is meant for them needs a CPU with other features.
    Features,
    /// None of the templates that start at this byte is meant for them.
    Uncovered(usize, String),
    /// Something is wrong with the file, at this byte.
    At(usize, String),
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Problem::At(failure.at, failure.what)
    }
}

impl Choice {
    /// Whether its condition holds; features are another matter.
    pub(super) fn applies(&self, environment: &Environment) -> Result<bool, Failure> {
        self.when.as_ref().map_or(Ok(true), |when| when.condition(environment))
    }
}

impl FormText {
    /// The rule that operands break, or whose condition cannot be computed.
    pub(super) fn broken_rule(&self, values: &[i64]) -> Option<String> {
        let environment = Environment { values, arch: None };
        self.rules.iter().find_map(|rule| match rule.condition.condition(&environment) {
            Ok(true) => None,
            Ok(false) => Some(format!("the file requires `{}`", rule.text)),
            Err(failure) => Some(format!("`{}` cannot be computed: {}", rule.text, failure.what)),
        })
    }

    /// The proof sequence.
    pub(super) fn proof(&self, values: &[i64]) -> Result<Vec<Insn>, Problem> {
        let environment = Environment { values, arch: None };
        for proof in &self.proofs {
            if !proof.applies(&environment)? {
                continue;
            }
            let expanded = proof.template.expand(values)?;
            return parse_program(&expanded.text).map_err(|error| {
                let at = byte_of(&expanded.text, error.line, error.column);
                Problem::At(expanded.origin(at), format!("{} in the proof", error.reason))
            });
        }
        let at = self.proofs.first().map_or(0, |proof| proof.template.at);
        Err(Problem::Uncovered(
            at,
            "no `when` of the proofs holds: add one without `when`, or forbid such operands by `require`"
                .to_owned(),
        ))
    }

    /// The number of the native form that is taken for a CPU with `features`.
    pub(super) fn choose(&self, arch: Arch, features: Features, values: &[i64]) -> Result<usize, Problem> {
        let environment = Environment { values, arch: Some(arch) };
        let choices = &self.natives[arch as usize];
        let mut lacking = false;
        for (index, choice) in choices.iter().enumerate() {
            if !choice.applies(&environment)? {
                continue;
            }
            if features.contains(choice.features) {
                return Ok(index);
            }
            lacking = true;
        }
        if lacking {
            return Err(Problem::Features);
        }
        let at = choices.first().map_or(0, |choice| choice.template.at);
        Err(Problem::Uncovered(
            at,
            format!(
                "no `when` of the {arch} forms holds: add one without `when`, or forbid such operands by `require`"
            ),
        ))
    }

    /// The native code by the form with the number `index`.
    pub(super) fn code(&self, arch: Arch, index: usize, values: &[i64]) -> Result<Vec<u8>, Problem> {
        let template = &self.natives[arch as usize][index].template;
        let expanded = template.expand(values)?;
        native::assemble(arch, &expanded).map_err(|error| match error {
            NativeError::Refused(at, what) => Problem::At(expanded.origin(at), what),
            NativeError::Assembler(what) => Problem::At(template.at, what),
        })
    }

    /// The registers that are dead after the site.
    pub(super) fn dead(&self, values: &[i64]) -> RegSet {
        let register = |dead: &Dead| match *dead {
            Dead::Register(register) => Some(register),
            Dead::Operand(index) => Reg::new(u8::try_from(values[index]).ok()?),
        };
        self.dead.iter().filter_map(register).collect()
    }

    /// The features that native forms for `arch` ask for.
    pub(super) fn features(&self, arch: Arch) -> Features {
        self.natives[arch as usize].iter().fold(Features::NONE, |all, choice| all.union(choice.features))
    }
}

/// The byte at a line and column, in characters from 1.
fn byte_of(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = text.get(start..).unwrap_or("");
    start + rest.char_indices().nth(column - 1).map_or(rest.len(), |(at, _)| at)
}

/// Reads the keys of a form out of `table`, which may have others.
pub(super) fn read(
    source: &SourceFile,
    table: &mut Table,
    name: String,
    summary: &str,
) -> Result<FormText, TextError> {
    let meaning = table.take("meaning").map(|value| value.line()).transpose()?;
    let operands = table.require("operands", "a table of names and kinds, in the order of the payload")?;
    let operands = operands::read(operands.table()?)?;
    let layout = operands.layout.clone();
    let proofs = table.require("proof", "eBPF assembly that says what the operation does")?;
    let proofs = choices(source, &proofs, Language::Ebpf, &operands)?;
    let mut natives = [Vec::new(), Vec::new()];
    for arch in Arch::ALL {
        if let Some(value) = table.take(arch.name()) {
            natives[arch as usize] = choices(source, &value, Language::Native(arch), &operands)?;
        }
    }
    let archs: Vec<Arch> = Arch::ALL.into_iter().filter(|arch| !natives[*arch as usize].is_empty()).collect();
    if archs.is_empty() {
        return Err(source.error(table.at, "there is no native form: give `x86_64`, `aarch64` or both"));
    }
    let rules = match table.take("require") {
        Some(value) => value
            .one_or_many()?
            .iter()
            .map(|value| rule(source, value, &operands))
            .collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let (dead, declared, vectors) = contract(table, &operands)?;
    let form = Form::new(name, meaning.unwrap_or_else(|| summary.to_owned()), layout);
    Ok(FormText {
        form,
        operands,
        rules,
        proofs,
        natives,
        archs,
        dead,
        declared,
        vectors,
        limits: limits(table)?,
        interesting: interesting(table)?,
    })
}

/// Proofs or native forms: a text, a table with `when` and `asm`, or a list of them.
fn choices(
    source: &SourceFile,
    value: &Value,
    language: Language,
    operands: &Operands,
) -> Result<Vec<Choice>, TextError> {
    let values = value.one_or_many()?;
    if values.is_empty() {
        return Err(value.error("the list is empty"));
    }
    let mut choices: Vec<Choice> = Vec::new();
    for value in &values {
        if choices.last().is_some_and(|last| last.when.is_none() && last.features.is_empty()) {
            return Err(
                value.error("this is never taken: the one before it has neither `when` nor `features`")
            );
        }
        choices.push(choice(source, value, language, operands)?);
    }
    Ok(choices)
}

fn choice(
    source: &SourceFile,
    value: &Value,
    language: Language,
    operands: &Operands,
) -> Result<Choice, TextError> {
    let layout = &operands.layout;
    let template = |text: &Located| {
        Template::parse(text, language, layout).map_err(|failure| source.error(failure.at, failure.what))
    };
    if value.is_string() {
        return Ok(Choice { when: None, features: Features::NONE, template: template(&value.string()?)? });
    }
    let mut table = value.table()?;
    let asm = table.require("asm", "the instructions, one per line")?;
    let when = match table.take("when") {
        Some(value) => {
            let text = value.string()?;
            let scope = Scope::new(layout, language.arch());
            let parsed = scope.parse(&text.text, Type::Condition, |at| text.at(at));
            Some(parsed.map_err(|failure| source.error(failure.at, failure.what))?)
        }
        None => None,
    };
    let features = match (language.arch(), table.has("features")) {
        (Some(arch), true) => {
            table.take("features").map_or(Ok(Features::NONE), |value| features(&value, arch))?
        }
        _ => Features::NONE,
    };
    table.finish()?;
    Ok(Choice { when, features, template: template(&asm.string()?)? })
}

fn features(value: &Value, arch: Arch) -> Result<Features, TextError> {
    let all = Features::all(arch);
    value
        .one_or_many()?
        .iter()
        .map(|value| {
            let name = value.string()?.text;
            all.iter().find(|feature| feature.name() == name).ok_or_else(|| {
                let known: Vec<&str> = all.iter().map(Feature::name).collect();
                value.error(format!("unknown {arch} feature `{name}` (known: {})", known.join(", ")))
            })
        })
        .collect()
}

fn rule(source: &SourceFile, value: &Value, operands: &Operands) -> Result<Rule, TextError> {
    let text = value.string()?;
    let parsed = Scope::new(&operands.layout, None).parse(&text.text, Type::Condition, |at| text.at(at));
    let condition = parsed.map_err(|failure| source.error(failure.at, failure.what))?;
    Ok(Rule { text: text.text, condition })
}

type Contract = (Vec<Dead>, Vec<String>, Vectors);

fn contract(table: &mut Table, operands: &Operands) -> Result<Contract, TextError> {
    let Some(value) = table.take("contract") else { return Ok((Vec::new(), Vec::new(), Vectors::default())) };
    let mut contract = value.table()?;
    let (mut dead, mut declared) = (Vec::new(), Vec::new());
    if let Some(value) = contract.take("dead") {
        for value in value.one_or_many()? {
            let name = value.string()?.text;
            dead.push(dead_register(&name, &value, operands)?);
            declared.push(format!("dead={name}"));
        }
    }
    let mut vectors = Vectors::default();
    if let Some(value) = contract.take("vectors") {
        for value in value.one_or_many()? {
            add_vector(&mut vectors, &value)?;
        }
    }
    contract.finish()?;
    Ok((dead, declared, vectors))
}

fn dead_register(name: &str, value: &Value, operands: &Operands) -> Result<Dead, TextError> {
    if let Some(index) =
        operands.layout.index(name).filter(|&index| operands.layout.fields()[index].is_register())
    {
        return Ok(Dead::Operand(index));
    }
    match name.parse::<Reg>() {
        Ok(register) if register != Reg::R10 => Ok(Dead::Register(register)),
        _ => Err(value.error(format!("`{name}` is neither r0 to r9 nor an operand that is a register"))),
    }
}

fn add_vector(vectors: &mut Vectors, value: &Value) -> Result<(), TextError> {
    let name = value.string()?.text;
    let number = |prefix, count: u32| {
        let digits = name.strip_prefix(prefix)?;
        digits.parse::<u32>().ok().filter(|number| *number < count && number.to_string() == digits)
    };
    if let Some(number) = number("xmm", 16) {
        vectors.x86_64 |= 1 << number;
    } else if let Some(number) = number("v", 32) {
        vectors.aarch64 |= 1 << number;
    } else {
        return Err(value.error(format!("`{name}` is no vector register (xmm0 to xmm15, v0 to v31)")));
    }
    Ok(())
}

fn limits(table: &mut Table) -> Result<Limits, TextError> {
    let Some(value) = table.take("limits") else { return Ok(LIMITS) };
    let mut limits = value.table()?;
    let mut number = |key, default| -> Result<u16, TextError> {
        limits.take(key).map_or(Ok(default), |value| Ok(value.integer(1, u16::MAX.into())? as u16))
    };
    let read = Limits {
        max_insn_cnt: number("max_insn_cnt", LIMITS.max_insn_cnt)?,
        max_emit_bytes: number("max_emit_bytes", LIMITS.max_emit_bytes)?,
    };
    limits.finish()?;
    Ok(read)
}

fn interesting(table: &mut Table) -> Result<Vec<u64>, TextError> {
    let Some(value) = table.take("interesting") else { return Ok(Vec::new()) };
    let numbers = value.list()?;
    numbers.iter().map(|value| Ok(value.integer(i64::MIN.into(), u64::MAX.into())? as u64)).collect()
}
