// SPDX-License-Identifier: GPL-2.0-or-later
//! Conditions and bits of templates as C expressions.

use std::collections::BTreeSet;

use kop_ops::{Arch, Feature, Field, registers, x86_64};

use super::names::operand;
use crate::export::fit::{Run, Source, ones};
use crate::export::predicate::Predicate;
use crate::export::program::{Statement, visit};
use crate::export::target::Target;
use crate::export::value::{Sum, Value};

/// What a function's expressions refer to.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The target: the numbers of registers are its own.
    pub target: Target,
    /// The form's fields.
    pub fields: &'a [Field],
    /// What stands before the name of an operand: nothing where it is a local.
    pub through: &'a str,
}

/// Fields that a function looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// The fields.
    pub fields: BTreeSet<usize>,
    /// Tables, in the order of their numbers.
    pub tables: Vec<Source>,
}

impl Scope<'_> {
    /// What the statements look at by its local name.
    pub fn used(&self, statements: &[Statement]) -> Used {
        let (mut in_steps, mut in_conditions) = (Used::default(), BTreeSet::new());
        visit(
            statements,
            &mut |step| {
                for run in &step.template.runs {
                    in_steps.fields.extend(run.source.fields());
                    if matches!(run.source, Source::Table { .. }) && !in_steps.tables.contains(&run.source) {
                        in_steps.tables.push(run.source.clone());
                    }
                }
                if let Some((_, crate::export::fit::RexRule::IfNeededOrByte(field))) = step.template.rex {
                    in_steps.fields.insert(field);
                }
            },
            &mut |predicate| {
                let by_name = !matches!(predicate, Predicate::Is(..)) || self.names_native_registers();
                in_conditions.extend(predicate.fields().into_iter().filter(|_| by_name));
            },
        );
        in_steps.fields.extend(in_conditions);
        in_steps
    }

    /// Whether conditions name the target's registers rather than eBPF's.
    const fn names_native_registers(&self) -> bool {
        matches!(self.target, Target::Native(Arch::X86_64))
    }

    /// The condition, or its opposite.
    pub fn condition(&self, predicate: &Predicate, holds: bool) -> String {
        let name = |field: &usize| self.name(&self.fields[*field]);
        let (equal, at_most) = if holds { ("==", "<=") } else { ("!=", ">") };
        let sum = |sum: &Sum| sum.text(self.fields, 0, |field| self.name(field));
        match predicate {
            Predicate::Has(feature) => format!("{}{}", if holds { "" } else { "!" }, cpu_has(*feature)),
            Predicate::Same(a, b) => format!("{} {equal} {}", name(a), name(b)),
            Predicate::Is(field, register) => {
                format!("{} {equal} {}", self.register(field), self.constant(*register))
            }
            Predicate::High(field) => format!("{} {} 8", name(field), if holds { ">=" } else { "<" }),
            Predicate::NeedsDisplacement(field) => format!("({} & 7) {equal} 5", name(field)),
            Predicate::Equal(of, value) => format!("{} {equal} {value}", sum(of)),
            Predicate::AtMost(of, value) => format!("{} {at_most} {value}", sum(of)),
            Predicate::Within(of, low, high) if holds => {
                format!("{0} >= {low} && {0} <= {high}", sum(of))
            }
            Predicate::Within(of, low, high) => format!("{0} < {low} || {0} > {high}", sum(of)),
            Predicate::Multiple(field, power) => format!("({} & {}) {equal} 0", name(field), power - 1),
        }
    }

    fn name(&self, field: &Field) -> String {
        format!("{}{}", self.through, operand(field))
    }

    fn register(&self, field: &usize) -> String {
        let name = operand(&self.fields[*field]);
        if self.names_native_registers() { name } else { format!("op->{name}") }
    }

    /// The name of an eBPF register's number in conditions.
    fn constant(&self, register: i64) -> String {
        if !self.names_native_registers() {
            return format!("BPF_REG_{register}");
        }
        let reg = kop_ops::ebpf::Reg::new(register as u8).expect("a condition names an eBPF register");
        format!("X86_{}", registers::x86_64(reg).name(x86_64::Size::B8).to_uppercase())
    }

    /// The bits of a run as a number, its lowest bit at the bottom.
    pub fn bits(&self, run: &Run, tables: &[Source]) -> String {
        match &run.source {
            Source::Value { value: Value::Register(field), from, .. } => {
                let name = operand(&self.fields[*field]);
                let shifted = if *from == 0 { name } else { format!("{name} >> {from}") };
                let whole = from + run.width >= self.target.register_bits();
                if whole { shifted } else { format!("({shifted} & {:#x})", ones(run.width)) }
            }
            Source::Value { value: Value::Sum(sum, add), .. } => {
                let text = sum.text(self.fields, *add, operand);
                if self.fits(sum, *add, run.width) && sum.is_plain(*add) {
                    text
                } else {
                    format!("BITS({text}, {})", run.width)
                }
            }
            source @ Source::Table { field, first, .. } => {
                let number = tables.iter().position(|table| table == source).expect("it was counted as used");
                let index = Sum::of(*field).text(self.fields, -first, operand);
                format!("table{number}[{index}]")
            }
        }
    }

    /// The number that a run of this width holds, for a place of C that takes signed numbers.
    pub fn number(&self, run: &Run, tables: &[Source]) -> String {
        match &run.source {
            Source::Value { value: Value::Sum(sum, add), .. } => sum.text(self.fields, *add, operand),
            _ => self.bits(run, tables),
        }
    }

    /// Whether the sum is in the range of unsigned numbers of so many bits for all values of its fields.
    pub fn fits(&self, sum: &Sum, add: i64, width: u32) -> bool {
        let (mut low, mut high) = (0, 0);
        for &(field, sign) in &sum.terms {
            let (min, max) = self.fields[field].range();
            (low, high) = if sign > 0 { (low + min, high + max) } else { (low - max, high - min) };
        }
        (low >> sum.shift) + add >= 0 && i128::from((high >> sum.shift) + add) < 1i128 << width
    }
}

/// The C type of an operand.
pub fn c_type(field: &Field) -> &'static str {
    let (min, max) = field.range();
    match field.is_register() {
        true => "u8",
        // Room for sums.
        false if min < i64::from(i32::MIN) / 4 || max > i64::from(i32::MAX) / 4 => "s64",
        false => "s32",
    }
}

/// The kernel's question for a CPU feature.
pub fn cpu_has(feature: Feature) -> String {
    let name = match feature {
        Feature::Popcnt => "POPCNT",
        Feature::Lzcnt => "ABM",
        Feature::Bmi1 => "BMI1",
        Feature::Bmi2 => "BMI2",
        Feature::Movbe => "MOVBE",
        Feature::Pclmulqdq => "PCLMULQDQ",
        Feature::Sse42 => "XMM4_2",
        Feature::Avx512Vl => "AVX512VL",
        Feature::Avx512Vpopcntdq => "AVX512_VPOPCNTDQ",
        Feature::AdvSimd => "ASIMD",
        Feature::Pmull => "PMULL",
        Feature::Lse => "ATOMICS",
        Feature::Sb => "SB",
        Feature::Sse2 => "XMM2",
        Feature::Crc32 => "CRC32",
        Feature::SveBitperm => "SVEBITPERM",
    };
    match feature.arch() {
        Arch::X86_64 => format!("boot_cpu_has(X86_FEATURE_{name})"),
        Arch::Aarch64 => format!("cpu_have_named_feature({name})"),
    }
}
