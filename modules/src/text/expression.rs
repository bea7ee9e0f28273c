// SPDX-License-Identifier: GPL-2.0-or-later
//! Expressions over operands: the conditions of `when` and `require`, and the numbers in braces.
//!
//! Numbers are exact; every result has to lie in -2^63..2^64, so that nothing wraps in silence. Registers can be
//! compared with each other alone; `code(dst)` is the number that native instructions have for one.

use std::fmt;

use kop_ops::ebpf::Reg;
use kop_ops::{Arch, Field, Layout, registers};

/// The most nodes of one expression, so that walking it needs little stack.
const MOST_NODES: usize = 500;

/// What an expression stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Number,
    Condition,
    Register,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::Number => "a number",
            Type::Condition => "a condition",
            Type::Register => "a register",
        })
    }
}

/// What is wrong, at a byte of the text (parsing) or of the file (evaluating).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) at: usize,
    pub(super) what: String,
}

impl Failure {
    pub(super) fn new(at: usize, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unary {
    Negate,
    Complement,
    Not,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binary {
    Or,
    And,
    Equal,
    NotEqual,
    LessEqual,
    GreaterEqual,
    Less,
    Greater,
    BitOr,
    BitXor,
    BitAnd,
    ShiftLeft,
    ShiftRight,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// The operators with their binding strength; of two that start alike the longer comes first.
const OPERATORS: [(&str, Binary, u8); 18] = [
    ("||", Binary::Or, 1),
    ("&&", Binary::And, 2),
    ("==", Binary::Equal, 3),
    ("!=", Binary::NotEqual, 3),
    ("<<", Binary::ShiftLeft, 7),
    (">>", Binary::ShiftRight, 7),
    ("<=", Binary::LessEqual, 3),
    (">=", Binary::GreaterEqual, 3),
    ("<", Binary::Less, 3),
    (">", Binary::Greater, 3),
    ("|", Binary::BitOr, 4),
    ("^", Binary::BitXor, 5),
    ("&", Binary::BitAnd, 6),
    ("+", Binary::Add, 8),
    ("-", Binary::Subtract, 8),
    ("*", Binary::Multiply, 9),
    ("/", Binary::Divide, 9),
    ("%", Binary::Remainder, 9),
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Number(i128),
    Register(Reg),
    /// The operand with this index.
    Operand(usize),
    Code(Box<Expression>),
    Unary(Unary, Box<Expression>),
    Binary(Binary, Box<Expression>, Box<Expression>),
}

/// An expression whose types are known to be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expression {
    node: Node,
    pub(super) ty: Type,
    /// Where it stands: its operator, or its first byte.
    pub(super) at: usize,
}

/// What an expression can name.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    /// The form's operands; none for plain numbers.
    pub(super) fields: &'a [Field],
    /// The architecture whose register numbers `code(..)` gives; `None` in the proof.
    pub(super) arch: Option<Arch>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(layout: &'a Layout, arch: Option<Arch>) -> Self {
        Self { fields: layout.fields(), arch }
    }

    /// The expression in `text`, of the type wanted; `place` says which byte of the file holds a byte of `text`.
    pub(super) fn parse(
        self,
        text: &str,
        wanted: Type,
        place: impl Fn(usize) -> usize,
    ) -> Result<Expression, Failure> {
        let expression = self.parse_any(text, &place)?;
        if expression.ty != wanted {
            let what = format!("expected {wanted}, found {}", expression.ty);
            return Err(Failure::new(expression.at, what));
        }
        Ok(expression)
    }

    /// As [`Scope::parse`], of any type.
    pub(super) fn parse_any(
        self,
        text: &str,
        place: &impl Fn(usize) -> usize,
    ) -> Result<Expression, Failure> {
        let mut parser = Parser { scope: self, text, at: 0, nodes: 0, place };
        let expression = parser.binary(0)?;
        if !parser.rest().is_empty() {
            return Err(parser.expected("an operator or the end of the expression"));
        }
        Ok(expression)
    }
}

struct Parser<'a, P> {
    scope: Scope<'a>,
    text: &'a str,
    at: usize,
    nodes: usize,
    place: &'a P,
}

impl<'a, P: Fn(usize) -> usize> Parser<'a, P> {
    fn rest(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    fn failure(&self, at: usize, what: impl Into<String>) -> Failure {
        Failure::new((self.place)(at), what)
    }

    fn expected(&mut self, what: &str) -> Failure {
        let found = match self.rest().chars().next() {
            Some(c) => format!("`{c}`"),
            None => "the end".to_owned(),
        };
        self.failure(self.at, format!("expected {what}, found {found}"))
    }

    fn node(&mut self, node: Node, ty: Type, at: usize) -> Result<Expression, Failure> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(self.failure(at, "the expression is too long"));
        }
        Ok(Expression { node, ty, at: (self.place)(at) })
    }

    /// Operators that bind stronger than `above`.
    fn binary(&mut self, above: u8) -> Result<Expression, Failure> {
        let mut left = self.unary()?;
        loop {
            let rest = self.rest();
            let Some(&(symbol, operator, strength)) =
                OPERATORS.iter().find(|(symbol, ..)| rest.starts_with(symbol))
            else {
                return Ok(left);
            };
            if strength <= above {
                return Ok(left);
            }
            let at = self.at;
            self.at += symbol.len();
            let right = self.binary(strength)?;
            let ty = self.binary_type(symbol, operator, &left, &right, at)?;
            left = self.node(Node::Binary(operator, left.into(), right.into()), ty, at)?;
        }
    }

    fn binary_type(
        &self,
        symbol: &str,
        operator: Binary,
        left: &Expression,
        right: &Expression,
        at: usize,
    ) -> Result<Type, Failure> {
        let (wanted, ty) = match operator {
            Binary::Or | Binary::And => (Type::Condition, Type::Condition),
            Binary::Equal | Binary::NotEqual if left.ty == Type::Register => {
                (Type::Register, Type::Condition)
            }
            Binary::Equal | Binary::NotEqual => (Type::Number, Type::Condition),
            Binary::Less | Binary::Greater | Binary::LessEqual | Binary::GreaterEqual => {
                (Type::Number, Type::Condition)
            }
            _ => (Type::Number, Type::Number),
        };
        for side in [left, right] {
            if side.ty != wanted {
                let what = format!("`{symbol}` takes {wanted} on both sides, found {}", side.ty);
                return Err(self.failure(at, what));
            }
        }
        Ok(ty)
    }

    fn unary(&mut self) -> Result<Expression, Failure> {
        let operators = [
            ('-', Unary::Negate, Type::Number),
            ('~', Unary::Complement, Type::Number),
            ('!', Unary::Not, Type::Condition),
        ];
        let first = self.rest().chars().next();
        let Some((symbol, operator, ty)) = operators.into_iter().find(|(symbol, ..)| Some(*symbol) == first)
        else {
            return self.primary();
        };
        let at = self.at;
        self.at += 1;
        // Counted before the operand is read, so that a long row of signs ends.
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(self.failure(at, "the expression is too long"));
        }
        let operand = self.unary()?;
        if operand.ty != ty {
            return Err(self.failure(at, format!("`{symbol}` takes {ty}, found {}", operand.ty)));
        }
        self.node(Node::Unary(operator, operand.into()), ty, at)
    }

    fn primary(&mut self) -> Result<Expression, Failure> {
        let rest = self.rest();
        let at = self.at;
        if rest.starts_with('(') {
            return self.parenthesised();
        }
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let word = &rest[..end];
        if word.is_empty() {
            return Err(self.expected("an operand, a register, a number or `(`"));
        }
        self.at += end;
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            let number = number(word).ok_or_else(|| self.failure(at, format!("`{word}` is no number")))?;
            return self.node(Node::Number(number), Type::Number, at);
        }
        if word == "code" && self.rest().starts_with('(') {
            return self.code(at);
        }
        self.name(word, at)
    }

    fn parenthesised(&mut self) -> Result<Expression, Failure> {
        // Counted, so that a long row of parentheses ends.
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(self.failure(self.at, "the expression is too long"));
        }
        self.at += 1;
        let inner = self.binary(0)?;
        if !self.rest().starts_with(')') {
            return Err(self.expected("`)`"));
        }
        self.at += 1;
        Ok(inner)
    }

    fn code(&mut self, at: usize) -> Result<Expression, Failure> {
        if self.scope.arch.is_none() {
            return Err(self.failure(at, "`code(..)` is known in native forms alone: a proof has no CPU"));
        }
        let inner = self.parenthesised()?;
        if inner.ty != Type::Register {
            return Err(self.failure(at, format!("`code(..)` takes a register, found {}", inner.ty)));
        }
        self.node(Node::Code(inner.into()), Type::Number, at)
    }

    fn name(&mut self, word: &str, at: usize) -> Result<Expression, Failure> {
        if let Some(index) = self.scope.fields.iter().position(|field| field.name == word) {
            let ty = if self.scope.fields[index].is_register() { Type::Register } else { Type::Number };
            return self.node(Node::Operand(index), ty, at);
        }
        if let Ok(register) = word.parse::<Reg>() {
            return self.node(Node::Register(register), Type::Register, at);
        }
        let known: Vec<&str> = self.scope.fields.iter().map(|field| &*field.name).collect();
        let known = if known.is_empty() { "there are none here".to_owned() } else { known.join(", ") };
        Err(self.failure(at, format!("no operand `{word}` ({known})")))
    }
}

/// A number: decimal, `0x..` or `0b..`, with `_` between digits.
pub(super) fn number(word: &str) -> Option<i128> {
    let (digits, radix) = match word.get(..2) {
        Some("0x" | "0X") => (&word[2..], 16),
        Some("0b" | "0B") => (&word[2..], 2),
        _ => (word, 10),
    };
    let digits: String = digits.chars().filter(|c| *c != '_').collect();
    let number = u64::from_str_radix(&digits, radix).ok().filter(|_| !digits.starts_with('+'))?;
    // `013` is eleven to some and thirteen to others.
    let is_octal = radix == 10 && digits.len() > 1 && digits.starts_with('0');
    (!is_octal).then_some(number.into())
}

/// What an expression comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(i128),
    Condition(bool),
    Register(Reg),
}

/// The values of operands that an expression is asked for.
#[derive(Clone, Copy)]
pub(super) struct Environment<'a> {
    /// By index of the layout.
    pub(super) values: &'a [i64],
    /// As in [`Scope`].
    pub(super) arch: Option<Arch>,
}

impl Expression {
    /// The value, or what cannot be computed and where in the file.
    pub(super) fn evaluate(&self, environment: &Environment) -> Result<Value, Failure> {
        Ok(match &self.node {
            Node::Number(number) => Value::Number(*number),
            Node::Register(register) => Value::Register(*register),
            Node::Operand(index) => self.operand(*index, environment)?,
            Node::Code(inner) => Value::Number(self.code(inner.register(environment)?, environment)?),
            Node::Unary(Unary::Not, inner) => Value::Condition(!inner.condition(environment)?),
            Node::Unary(Unary::Negate, inner) => {
                self.checked("the negation", Some(-inner.number(environment)?))?
            }
            Node::Unary(Unary::Complement, inner) => {
                // Of the bits of 64, so that masks with the highest bit have one.
                let number = inner.number(environment)?;
                let is_high = number > i64::MAX.into();
                Value::Number(if is_high { i128::from(u64::MAX) - number } else { !number })
            }
            Node::Binary(operator, left, right) => self.apply(*operator, left, right, environment)?,
        })
    }

    /// The value of a number.
    pub(super) fn number(&self, environment: &Environment) -> Result<i128, Failure> {
        match self.evaluate(environment)? {
            Value::Number(number) => Ok(number),
            _ => Err(Failure::new(self.at, "expected a number")),
        }
    }

    /// The value of a condition.
    pub(super) fn condition(&self, environment: &Environment) -> Result<bool, Failure> {
        match self.evaluate(environment)? {
            Value::Condition(condition) => Ok(condition),
            _ => Err(Failure::new(self.at, "expected a condition")),
        }
    }

    fn register(&self, environment: &Environment) -> Result<Reg, Failure> {
        match self.evaluate(environment)? {
            Value::Register(register) => Ok(register),
            _ => Err(Failure::new(self.at, "expected a register")),
        }
    }

    fn operand(&self, index: usize, environment: &Environment) -> Result<Value, Failure> {
        let value = environment.values.get(index).copied().unwrap_or_default();
        if self.ty != Type::Register {
            return Ok(Value::Number(value.into()));
        }
        let register = u8::try_from(value).ok().and_then(Reg::new);
        register.map(Value::Register).ok_or_else(|| Failure::new(self.at, format!("{value} is no register")))
    }

    fn code(&self, register: Reg, environment: &Environment) -> Result<i128, Failure> {
        match environment.arch {
            Some(Arch::X86_64) => Ok(registers::x86_64(register).code().into()),
            Some(Arch::Aarch64) => Ok(registers::aarch64(register).number().into()),
            None => Err(Failure::new(self.at, "a proof has no CPU")),
        }
    }

    fn apply(
        &self,
        operator: Binary,
        left: &Expression,
        right: &Expression,
        environment: &Environment,
    ) -> Result<Value, Failure> {
        match operator {
            Binary::Or => {
                return Ok(Value::Condition(left.condition(environment)? || right.condition(environment)?));
            }
            Binary::And => {
                return Ok(Value::Condition(left.condition(environment)? && right.condition(environment)?));
            }
            Binary::Equal => {
                return Ok(Value::Condition(left.evaluate(environment)? == right.evaluate(environment)?));
            }
            Binary::NotEqual => {
                return Ok(Value::Condition(left.evaluate(environment)? != right.evaluate(environment)?));
            }
            _ => {}
        }
        let (a, b) = (left.number(environment)?, right.number(environment)?);
        match operator {
            Binary::Less => Ok(Value::Condition(a < b)),
            Binary::LessEqual => Ok(Value::Condition(a <= b)),
            Binary::Greater => Ok(Value::Condition(a > b)),
            Binary::GreaterEqual => Ok(Value::Condition(a >= b)),
            _ => self.arithmetic(operator, a, b),
        }
    }

    fn arithmetic(&self, operator: Binary, a: i128, b: i128) -> Result<Value, Failure> {
        let shift = || u32::try_from(b).ok().filter(|amount| *amount < 64);
        let (symbol, result) = match operator {
            Binary::BitOr => ("|", Some(a | b)),
            Binary::BitXor => ("^", Some(a ^ b)),
            Binary::BitAnd => ("&", Some(a & b)),
            // Both are of 65 bits at most, so that nothing is lost in 128.
            Binary::ShiftLeft => ("<<", shift().map(|amount| a << amount)),
            Binary::ShiftRight => (">>", shift().map(|amount| a >> amount)),
            Binary::Add => ("+", Some(a + b)),
            Binary::Subtract => ("-", Some(a - b)),
            Binary::Multiply => ("*", Some(a.saturating_mul(b))),
            Binary::Divide => ("/", a.checked_div(b)),
            _ => ("%", a.checked_rem(b)),
        };
        self.checked(&format!("{a} {symbol} {b}"), result)
    }

    fn checked(&self, what: &str, result: Option<i128>) -> Result<Value, Failure> {
        const RANGE: std::ops::RangeInclusive<i128> = i64::MIN as i128..=u64::MAX as i128;
        match result {
            Some(number) if RANGE.contains(&number) => Ok(Value::Number(number)),
            Some(_) => Err(Failure::new(self.at, format!("{what} does not fit into 64 bits"))),
            None => Err(Failure::new(self.at, format!("{what} has no value"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kop_ops::Role;

    fn layout() -> Layout {
        Layout::new()
            .register("dst", Role::Destination)
            .register("src", Role::Any)
            .unsigned("n", 0, 64)
            .signed("off", 16)
    }

    fn value(text: &str, values: &[i64]) -> Result<Value, String> {
        let layout = layout();
        let arch = Some(Arch::X86_64);
        let expression = Scope::new(&layout, arch)
            .parse_any(text, &|at| at)
            .map_err(|failure| format!("{}: {}", failure.at, failure.what))?;
        expression
            .evaluate(&Environment { values, arch })
            .map_err(|failure| format!("{}: {}", failure.at, failure.what))
    }

    #[test]
    fn numbers_follow_the_usual_precedence() {
        for (text, expected) in [
            ("64 - n", 51),
            ("(1 << n) - 1", 8191),
            ("1 + 2 * 3 - 4 / 2", 5),
            ("7 - 2 - 1", 4),
            ("-off % 5", 3),
            ("~0 & 0xff ^ 0b1 | 0x1_00", 0x1fe),
            ("1 << 2 + 1", 8),
            ("--n", 13),
            ("code(dst)", 0),
            ("code(r9) * 2 + code(src)", 37),
            ("18446744073709551615", i128::from(u64::MAX)),
            ("1 << 63", 1 << 63),
            ("~(1 << 63)", i128::from(i64::MAX)),
            ("~(1 << 62)", !(1 << 62)),
            ("~-1", 0),
        ] {
            assert_eq!(value(text, &[0, 1, 13, -8]), Ok(Value::Number(expected)), "{text}");
        }
    }

    #[test]
    fn conditions_compare_numbers_and_registers() {
        for (text, expected) in [
            ("dst != src", true),
            ("dst == r0 && src == r1", true),
            ("dst == src || n >= 13", true),
            ("!(n < 13) && off == -8", true),
            ("n > 13", false),
            ("n & 1 == 1", true),
            ("n <= 12", false),
        ] {
            assert_eq!(value(text, &[0, 1, 13, -8]), Ok(Value::Condition(expected)), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, expected) in [
            ("", "0: expected an operand, a register, a number or `(`, found the end"),
            ("n +", "3: expected an operand, a register, a number or `(`, found the end"),
            ("n n", "2: expected an operator or the end of the expression, found `n`"),
            ("1 + dest", "4: no operand `dest` (dst, src, n, off)"),
            ("dst + 1", "4: `+` takes a number on both sides, found a register"),
            ("dst == 1", "4: `==` takes a register on both sides, found a number"),
            ("dst < src", "4: `<` takes a number on both sides, found a register"),
            ("1 < n < 3", "6: `<` takes a number on both sides, found a condition"),
            ("!n", "0: `!` takes a condition, found a number"),
            ("-dst", "0: `-` takes a number, found a register"),
            ("code(n)", "0: `code(..)` takes a register, found a number"),
            ("(n", "2: expected `)`, found the end"),
            ("013", "0: `013` is no number"),
            ("0x", "0: `0x` is no number"),
            ("12ab", "0: `12ab` is no number"),
            ("1 << 64", "2: 1 << 64 has no value"),
            ("1 << 63 << 63", "8: 9223372036854775808 << 63 does not fit into 64 bits"),
            ("n / (n - 13)", "2: 13 / 0 has no value"),
            ("-(1 << 63) - 1", "11: -9223372036854775808 - 1 does not fit into 64 bits"),
            (
                "0xffffffffffffffff * 0xffffffffffffffff",
                "19: 18446744073709551615 * 18446744073709551615 does not fit into 64 bits",
            ),
            ("1 ? 2", "2: expected an operator or the end of the expression, found `?`"),
        ] {
            assert_eq!(value(text, &[0, 1, 13, -8]), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        for text in
            ["(".repeat(100_000), "-".repeat(100_000), format!("1{}", "+1".repeat(100_000)), "!".repeat(5000)]
        {
            let failure = value(&text, &[0; 4]).expect_err("refused");
            assert!(failure.ends_with("too long"), "{failure}");
        }
    }
}
