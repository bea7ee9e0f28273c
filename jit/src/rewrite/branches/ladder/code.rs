// SPDX-License-Identifier: GPL-2.0-or-later
//! What stands in place of a ladder: an index, lookups by it, and what becomes of what was looked up.

use kop_ops::ebpf::{AluOp, Insn, Reg, RegSet, Width};

use super::table::{Index, MOST_LOOKUPS, Numbers};
use super::{Column, Ladder, mask};
use crate::rewrite::plan::Reason;

/// The highest number that `table_lookup` gives for what is in no table.
const MOST_OTHER: u64 = 3;

/// Cycles of one lookup; of each further one, which waits for none; and how many other instructions run in one.
const LOOKUP: u64 = 6;
const FURTHER: u64 = 3;
const AT_ONCE: u64 = 2;

/// A part of the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rewrite::branches) enum Part {
    Insn(Insn),
    /// A site of this operation, with its operands by name.
    Site(&'static str, &'static str, Vec<(&'static str, i64)>),
}

/// What stands in place of a ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rewrite::branches) struct Plan {
    compared: Reg,
    width: Width,
    index: Option<Index>,
    columns: Vec<(Column, Numbers)>,
    /// Whether the register that is compared matters no more.
    is_free: bool,
}

impl Plan {
    /// The code for these columns, where `live` are the registers that matter behind. Numbers may be rotated where `rotates`.
    ///
    /// # Errors
    /// That there are too many lookups.
    pub fn new(
        ladder: &Ladder,
        mut columns: Vec<Column>,
        live: RegSet,
        rotates: bool,
    ) -> Result<Self, Reason> {
        // What is compared is written last.
        columns.sort_by_key(|column| column.register == ladder.compared);
        let mut keys: Vec<u64> =
            columns.iter().flat_map(|column| column.keys.iter().map(|(key, _)| *key)).collect();
        keys.sort_unstable();
        keys.dedup();
        let index = (!keys.is_empty()).then(|| Index::new(&keys, ladder.width, rotates));
        let columns = columns.into_iter().map(|column| (column.clone(), Numbers::new(&column))).collect();
        let is_free = !live.has(ladder.compared);
        let plan = Self { compared: ladder.compared, width: ladder.width, index, columns, is_free };
        match plan.lookups() {
            ..=MOST_LOOKUPS => Ok(plan),
            count => Err(format!("{count} lookups would be in its place, and {MOST_LOOKUPS} are the most")),
        }
    }

    /// How many lookups there are.
    fn lookups(&self) -> usize {
        let planes: usize = self.columns.iter().map(|(column, numbers)| planes(column, numbers)).sum();
        planes * self.index.as_ref().map_or(0, |index| index.starts.len())
    }

    /// Cycles that `code` takes, on cores of the last decade.
    pub fn cycles(&self, code: &[Part]) -> u64 {
        let lookups = self.lookups() as u64;
        let others = code.len() as u64 - lookups;
        LOOKUP.min(LOOKUP * lookups) + FURTHER * lookups.saturating_sub(1) + others.div_ceil(AT_ONCE)
    }

    /// The code, with what it computes in between in registers of `free`.
    ///
    /// # Errors
    /// That there are not enough of them.
    pub fn code(&self, free: &mut dyn Iterator<Item = Reg>) -> Result<Vec<Part>, Reason> {
        let mut code = Vec::new();
        if let Some(index) = &self.index {
            self.looked_up(index, free, &mut code)?;
        }
        for (column, numbers) in self.columns.iter().filter(|(column, _)| !column.keys.is_empty()) {
            self.computed(column, numbers, free, &mut code)?;
        }
        // Behind the lookups: this may be what they go by.
        for (column, _) in self.columns.iter().filter(|(column, _)| column.keys.is_empty()) {
            code.push(Part::Insn(number(column.register, column.default)));
        }
        Ok(code)
    }

    /// Every part of every table by the index.
    fn looked_up(
        &self,
        index: &Index,
        free: &mut dyn Iterator<Item = Reg>,
        code: &mut Vec<Part>,
    ) -> Result<(), Reason> {
        let at = self.index_register(index, free, code)?;
        let mut garbage = None;
        if index.shift != 0 {
            let form = if self.width == Width::W64 { "imm64" } else { "imm32" };
            let tmp = *garbage.insert(free.next().ok_or_else(no_register)?);
            let amount = i64::from(self.width.bits() - index.shift);
            let operands =
                vec![("dst", at as i64), ("src", at as i64), ("tmp", tmp as i64), ("amount", amount)];
            code.push(Part::Site("rotate", form, operands));
        }
        let tables: Vec<Vec<Vec<u64>>> = self
            .tabled()
            .map(|(column, numbers)| numbers.tables(column, index, self.width, self.absent(numbers)))
            .collect();
        let mut start = 0u64;
        for (part, next) in index.starts.iter().enumerate() {
            code.extend(self.added(at, start.wrapping_sub(*next))?);
            start = *next;
            for ((column, numbers), tables) in self.tabled().zip(&tables) {
                for (plane, table) in tables[part].iter().enumerate() {
                    let first = part == 0 && plane == 0;
                    let into = if first {
                        column.register
                    } else {
                        match garbage {
                            Some(register) => register,
                            None => *garbage.insert(free.next().ok_or_else(no_register)?),
                        }
                    };
                    // An entry that is written over what it is found by has its table elsewhere.
                    let holds = if into != at { into } else { free.next().ok_or_else(no_register)? };
                    code.push(Part::Insn(Insn::load_imm64(holds, *table)));
                    code.push(self.lookup(into, at, holds, self.absent(numbers)));
                    if plane > 0 {
                        code.push(Part::Insn(Insn::alu64(AluOp::Lsh, into, 4 * plane as i32)));
                    }
                    if !first {
                        code.push(Part::Insn(Insn::alu64(AluOp::Or, column.register, into)));
                    }
                }
            }
        }
        Ok(())
    }

    /// The columns that are no constants.
    fn tabled(&self) -> impl Iterator<Item = &(Column, Numbers)> {
        self.columns.iter().filter(|(column, _)| !column.keys.is_empty())
    }

    /// The register that has the index, less its bias.
    fn index_register(
        &self,
        index: &Index,
        free: &mut dyn Iterator<Item = Reg>,
        code: &mut Vec<Part>,
    ) -> Result<Reg, Reason> {
        let changes = index.bias != 0 || index.shift != 0 || index.starts != [0];
        let is_result = self.columns.iter().any(|(column, _)| column.register == self.compared);
        let is_kept = is_result && self.lookups() > 1 || !self.is_free && !is_result && changes;
        let at = if is_kept {
            let at = free.next().ok_or_else(no_register)?;
            code.push(Part::Insn(Insn::alu(AluOp::Mov, self.width, at, self.compared)));
            at
        } else {
            self.compared
        };
        code.extend(self.added(at, 0u64.wrapping_sub(index.bias))?);
        Ok(at)
    }

    /// An addition to the index, unless it is none.
    fn added(&self, at: Reg, by: u64) -> Result<Option<Part>, Reason> {
        let by = by & mask(self.width);
        let by = if self.width == Width::W64 { by as i64 } else { i64::from(by as i32) };
        let by = i32::try_from(by).map_err(|_| "its numbers are too far from each other".to_owned())?;
        Ok((by != 0).then(|| Part::Insn(Insn::alu(AluOp::Add, self.width, at, by))))
    }

    fn lookup(&self, into: Reg, index: Reg, table: Reg, other: u64) -> Part {
        let form = if self.width == Width::W64 { "nibble64" } else { "nibble32" };
        let operands = vec![
            ("dst", into as i64),
            ("index", index as i64),
            ("table", table as i64),
            ("other", other as i64),
        ];
        Part::Site("table_lookup", form, operands)
    }

    /// What a lookup gives for what is in no table: the right number where there is one lookup and room for it.
    fn absent(&self, numbers: &Numbers) -> u64 {
        let parts = self.index.as_ref().map_or(0, |index| index.starts.len());
        if parts == 1 && numbers.planes == 1 && numbers.default <= MOST_OTHER { numbers.default } else { 0 }
    }

    /// The values of the numbers that were looked up.
    fn computed(
        &self,
        column: &Column,
        numbers: &Numbers,
        free: &mut dyn Iterator<Item = Reg>,
        code: &mut Vec<Part>,
    ) -> Result<(), Reason> {
        let (register, width) = (column.register, numbers.width);
        let swapped = numbers.default ^ self.absent(numbers);
        let mut push = |insn| code.push(Part::Insn(insn));
        if swapped != 0 {
            push(Insn::alu64(AluOp::Xor, register, swapped as i32));
        }
        match numbers.scale {
            1 => {}
            scale if scale.is_power_of_two() => {
                push(Insn::alu(AluOp::Lsh, width, register, scale.trailing_zeros() as i32));
            }
            scale => push(Insn::alu(AluOp::Mul, width, register, scale as i32)),
        }
        let base = numbers.base;
        let short = if width == Width::W32 { i64::from(base as i32) } else { base as i64 };
        match i32::try_from(short) {
            Ok(0) => {}
            Ok(base) => push(Insn::alu(AluOp::Add, width, register, base)),
            Err(_) => {
                let long = free.next().ok_or_else(no_register)?;
                push(Insn::load_imm64(long, base));
                push(Insn::alu64(AluOp::Add, register, long));
            }
        }
        Ok(())
    }
}

fn planes(column: &Column, numbers: &Numbers) -> usize {
    if column.keys.is_empty() { 0 } else { numbers.planes }
}

/// A register becomes a number.
fn number(register: Reg, number: u64) -> Insn {
    match i32::try_from(number as i64) {
        Ok(number) => Insn::mov64(register, number),
        Err(_) => Insn::load_imm64(register, number),
    }
}

fn no_register() -> Reason {
    "no register is free for what is looked up".to_owned()
}
