// SPDX-License-Identifier: GPL-2.0-or-later
//! The 52-bit payload of a Kop site: which bits hold which operand, and a decoder that rejects every payload that is not
//! the one encoding of its operands.

use std::borrow::Cow;
use std::fmt;

use crate::ebpf::{Reg, RegSet};

/// How many bits a site's sidecar instruction carries.
pub const PAYLOAD_BITS: u32 = 52;

/// The most operands a form can have.
pub const MAX_FIELDS: usize = 13;

/// What an operation does with a register operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Read as a number; r10 is refused, as the verifier allows no arithmetic on the frame pointer.
    Source,
    /// Read as a number or a pointer, r10 included: a base address, or a value that is only copied.
    Any,
    /// Written, perhaps read before; r10 is refused, as it is read-only.
    Destination,
    /// Holds garbage afterwards; it differs from every other register operand and is not r10.
    Temporary,
    /// Written by the proof, never by native code, and nobody said so: what foreign operations do with a temporary that they
    /// do not declare. It may coincide with other operands.
    Scratch,
}

impl Role {
    /// The highest register number that an operand of this role may have.
    pub const fn highest(self) -> u8 {
        match self {
            Role::Any => 10,
            Role::Source | Role::Destination | Role::Temporary | Role::Scratch => 9,
        }
    }

    /// The word that listings use.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Source => "source",
            Role::Any => "source, r10 allowed",
            Role::Destination => "destination",
            Role::Temporary => "temporary, dead afterwards",
            Role::Scratch => "written by the proof alone",
        }
    }
}

/// What a field of a payload holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// An eBPF register number.
    Register(Role),
    /// An unsigned number in `min..=max`, stored as it is.
    Unsigned {
        /// The smallest value.
        min: u32,
        /// The largest value.
        max: u32,
    },
    /// A signed number in `min..=max`, stored in two's complement.
    Signed {
        /// The smallest value.
        min: i32,
        /// The largest value.
        max: i32,
    },
}

/// One operand of a payload: its name, its kind and its bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// The operand's name on the command line and in cases.
    pub name: Cow<'static, str>,
    /// What it holds.
    pub kind: FieldKind,
    /// Its lowest bit in the payload.
    pub low: u32,
    /// Its width in bits, 1 to 32.
    pub width: u32,
}

impl Field {
    /// The smallest and the largest value of the operand.
    pub const fn range(&self) -> (i64, i64) {
        match self.kind {
            FieldKind::Register(role) => (0, role.highest() as i64),
            FieldKind::Unsigned { min, max } => (min as i64, max as i64),
            FieldKind::Signed { min, max } => (min as i64, max as i64),
        }
    }

    /// Whether the operand names a register.
    pub const fn is_register(&self) -> bool {
        matches!(self.kind, FieldKind::Register(_))
    }

    /// The register's role, if the operand names a register.
    pub const fn role(&self) -> Option<Role> {
        match self.kind {
            FieldKind::Register(role) => Some(role),
            _ => None,
        }
    }

    /// How many values the operand can take.
    pub const fn count(&self) -> u64 {
        let (min, max) = self.range();
        (max - min) as u64 + 1
    }

    fn mask(&self) -> u64 {
        (1 << self.width) - 1
    }

    fn extract(&self, payload: u64) -> i64 {
        let raw = payload >> self.low & self.mask();
        match self.kind {
            FieldKind::Signed { .. } => ((raw << (64 - self.width)) as i64) >> (64 - self.width),
            _ => raw as i64,
        }
    }

    fn insert(&self, value: i64) -> u64 {
        (value as u64 & self.mask()) << self.low
    }

    /// The operand's value as listings and cases print it: `r3` or `-8`.
    pub fn show(&self, value: i64) -> String {
        if self.is_register() { format!("r{value}") } else { value.to_string() }
    }

    /// Parses what [`Field::show`] prints; numbers may also be hexadecimal (`0x1f`, `-0x8`).
    ///
    /// # Errors
    /// [`PayloadError::Value`] when the text is no such operand, [`PayloadError::Range`] when it is outside the field.
    pub fn parse(&self, text: &str) -> Result<i64, PayloadError> {
        let bad = || PayloadError::Value { field: self.name.to_string(), text: text.to_owned() };
        let value = if self.is_register() {
            let number =
                text.strip_prefix('r').filter(|digits| digits.starts_with(|c: char| c.is_ascii_digit()));
            number.and_then(|digits| digits.parse::<u8>().ok()).map(i64::from).ok_or_else(bad)?
        } else {
            parse_number(text).ok_or_else(bad)?
        };
        self.check(value)?;
        Ok(value)
    }

    fn check(&self, value: i64) -> Result<(), PayloadError> {
        let (min, max) = self.range();
        if (min..=max).contains(&value) {
            return Ok(());
        }
        Err(PayloadError::Range { field: self.name.to_string(), value, min, max })
    }
}

fn parse_number(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (digits, radix) = digits.strip_prefix("0x").map_or((digits, 10), |hex| (hex, 16));
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let magnitude = i64::from_str_radix(digits, radix).ok()?;
    Some(if negative { -magnitude } else { magnitude })
}

/// Why a payload or an operand is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Bits that no operand uses are set.
    #[error("payload {payload:#x} sets unused bits {bits:#x}")]
    UnusedBits {
        /// The payload.
        payload: u64,
        /// The offending bits.
        bits: u64,
    },
    /// An operand is outside its range.
    #[error("operand {field} is {value}, outside {min}..={max}")]
    Range {
        /// The operand.
        field: String,
        /// Its value.
        value: i64,
        /// The smallest value allowed.
        min: i64,
        /// The largest value allowed.
        max: i64,
    },
    /// A temporary register is also another operand.
    #[error("temporary {field} is also operand {other}")]
    Temporary {
        /// The temporary.
        field: String,
        /// The operand it coincides with.
        other: String,
    },
    /// Text that is no value of the operand.
    #[error("`{text}` is no value for operand {field}")]
    Value {
        /// The operand.
        field: String,
        /// The text.
        text: String,
    },
    /// An operand was named that the form does not have.
    #[error("no operand `{name}` (it has {known})")]
    Unknown {
        /// The name.
        name: String,
        /// The names of the form's operands.
        known: String,
    },
    /// An operand has no value.
    #[error("operand {field} is missing")]
    Missing {
        /// The operand.
        field: String,
    },
}

/// The operand values of one site, in the order of the layout's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Operands {
    values: [i64; MAX_FIELDS],
    len: usize,
}

impl Operands {
    /// The operands with these values.
    ///
    /// # Panics
    /// When there are more than [`MAX_FIELDS`].
    pub fn new(values: &[i64]) -> Self {
        let mut operands = Self { values: [0; MAX_FIELDS], len: values.len() };
        operands.values[..values.len()].copy_from_slice(values);
        operands
    }

    /// The values.
    pub fn values(&self) -> &[i64] {
        &self.values[..self.len]
    }

    /// The values, to change them.
    pub fn values_mut(&mut self) -> &mut [i64] {
        &mut self.values[..self.len]
    }
}

/// The bit layout of a form's payload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Layout {
    fields: Vec<Field>,
}

impl Layout {
    /// A layout without operands; the builder methods add fields from bit 0 upwards.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a 4-bit register operand.
    #[must_use]
    pub fn register(self, name: impl Into<Cow<'static, str>>, role: Role) -> Self {
        self.field(name, FieldKind::Register(role), 4)
    }

    /// Adds an unsigned operand of `min..=max` in as many bits as `max` needs.
    #[must_use]
    pub fn unsigned(self, name: impl Into<Cow<'static, str>>, min: u32, max: u32) -> Self {
        self.field(name, FieldKind::Unsigned { min, max }, u32::BITS - max.max(1).leading_zeros())
    }

    /// Adds a signed operand that takes every value of `width` bits.
    #[must_use]
    pub fn signed(self, name: impl Into<Cow<'static, str>>, width: u32) -> Self {
        let max = ((1i64 << (width - 1)) - 1) as i32;
        self.field(name, FieldKind::Signed { min: -max - 1, max }, width)
    }

    /// Adds a field above the ones there are.
    ///
    /// # Panics
    /// When the layout grows beyond [`PAYLOAD_BITS`] or [`MAX_FIELDS`].
    #[must_use]
    pub fn field(self, name: impl Into<Cow<'static, str>>, kind: FieldKind, width: u32) -> Self {
        let low = self.fields.last().map_or(0, |field| field.low + field.width);
        self.field_at(name, kind, low, width)
    }

    /// Adds a field at bit `low`, above the ones there are; bits in between are unused and must be zero.
    ///
    /// # Panics
    /// As [`Layout::field`], or when the field overlaps one that is there.
    #[must_use]
    pub fn field_at(
        mut self,
        name: impl Into<Cow<'static, str>>,
        kind: FieldKind,
        low: u32,
        width: u32,
    ) -> Self {
        let end = self.fields.last().map_or(0, |field| field.low + field.width);
        assert!(end <= low && low + width <= PAYLOAD_BITS, "fields are added upwards, within the payload");
        assert!(self.fields.len() < MAX_FIELDS, "layout exceeds the payload");
        self.fields.push(Field { name: name.into(), kind, low, width });
        self
    }

    /// The fields, lowest bits first.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The index of the field called `name`.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// The payload bits that hold operands.
    pub fn used_bits(&self) -> u64 {
        self.fields.iter().fold(0, |bits, field| bits | field.mask() << field.low)
    }

    /// How many combinations of operand values there are, before any rule between operands.
    pub fn combinations(&self) -> u64 {
        self.fields.iter().map(Field::count).product()
    }

    /// The combination with the number `index` (below [`Layout::combinations`]), the first field varying fastest.
    pub fn combination(&self, mut index: u64) -> Operands {
        let mut operands = Operands { values: [0; MAX_FIELDS], len: self.fields.len() };
        for (value, field) in operands.values_mut().iter_mut().zip(&self.fields) {
            *value = field.range().0 + (index % field.count()) as i64;
            index /= field.count();
        }
        operands
    }

    /// The operands of a payload.
    ///
    /// # Errors
    /// [`PayloadError`] when bits that no operand uses are set, an operand is outside its range, or a temporary is also
    /// another operand: no two payloads decode to the same operands.
    pub fn decode(&self, payload: u64) -> Result<Operands, PayloadError> {
        let unused = payload & !self.used_bits();
        if unused != 0 {
            return Err(PayloadError::UnusedBits { payload, bits: unused });
        }
        let mut operands = Operands { values: [0; MAX_FIELDS], len: self.fields.len() };
        for (value, field) in operands.values_mut().iter_mut().zip(&self.fields) {
            *value = field.extract(payload);
        }
        self.check(&operands)?;
        Ok(operands)
    }

    /// The payload of `operands`.
    ///
    /// # Errors
    /// As [`Layout::decode`], whose inverse this is.
    pub fn encode(&self, operands: &Operands) -> Result<u64, PayloadError> {
        self.check(operands)?;
        Ok(self.pack(operands))
    }

    /// The payload bits of `operands`, valid or not; values are cut to their fields.
    pub fn pack(&self, operands: &Operands) -> u64 {
        self.fields.iter().zip(operands.values()).fold(0, |bits, (field, &value)| bits | field.insert(value))
    }

    fn check(&self, operands: &Operands) -> Result<(), PayloadError> {
        for (field, &value) in self.fields.iter().zip(operands.values()) {
            field.check(value)?;
            if field.role() == Some(Role::Temporary) {
                self.check_temporary(field, value, operands)?;
            }
        }
        Ok(())
    }

    fn check_temporary(&self, field: &Field, value: i64, operands: &Operands) -> Result<(), PayloadError> {
        let clash = self
            .fields
            .iter()
            .zip(operands.values())
            .find(|(other, number)| other.is_register() && other.low != field.low && **number == value);
        match clash {
            None => Ok(()),
            Some((other, _)) => {
                Err(PayloadError::Temporary { field: field.name.to_string(), other: other.name.to_string() })
            }
        }
    }

    /// The operands given as `name=value` texts, each operand once.
    ///
    /// # Errors
    /// [`PayloadError`] when an operand is unknown, missing, or refused.
    pub fn parse<'a>(
        &self,
        assignments: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Operands, PayloadError> {
        let mut values = vec![None; self.fields.len()];
        for (name, text) in assignments {
            let index = self.index(name).ok_or_else(|| PayloadError::Unknown {
                name: name.to_owned(),
                known: self.fields.iter().map(|field| &*field.name).collect::<Vec<_>>().join(", "),
            })?;
            values[index] = Some(self.fields[index].parse(text)?);
        }
        let mut operands = Operands { values: [0; MAX_FIELDS], len: self.fields.len() };
        for ((slot, value), field) in operands.values_mut().iter_mut().zip(values).zip(&self.fields) {
            *slot = value.ok_or_else(|| PayloadError::Missing { field: field.name.to_string() })?;
        }
        self.check(&operands)?;
        Ok(operands)
    }

    /// The registers that `operands` name.
    pub fn registers(&self, operands: &Operands) -> RegSet {
        self.registers_with(operands, |_| true)
    }

    /// The registers that `operands` name in the role of temporaries.
    pub fn temporaries(&self, operands: &Operands) -> RegSet {
        self.registers_with(operands, |role| role == Role::Temporary)
    }

    fn registers_with(&self, operands: &Operands, wanted: impl Fn(Role) -> bool) -> RegSet {
        self.fields
            .iter()
            .zip(operands.values())
            .filter(|(field, _)| field.role().is_some_and(&wanted))
            .filter_map(|(_, &value)| Reg::new(value as u8))
            .collect()
    }

    /// The operands as `dst=r3 amount=13`.
    pub fn show<'a>(&'a self, operands: &'a Operands) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| {
            for (i, (field, &value)) in self.fields.iter().zip(operands.values()).enumerate() {
                let space = if i == 0 { "" } else { " " };
                write!(f, "{space}{}={}", field.name, field.show(value))?;
            }
            Ok(())
        })
    }
}

/// One form of an operation: a name, what it computes, and its own payload layout and descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// The form's name within its operation, for example `imm64`.
    pub name: Cow<'static, str>,
    /// One line of maths: what it computes.
    pub meaning: Cow<'static, str>,
    /// Its payload.
    pub layout: Layout,
}

impl Form {
    /// A form.
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        meaning: impl Into<Cow<'static, str>>,
        layout: Layout,
    ) -> Self {
        Self { name: name.into(), meaning: meaning.into(), layout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choices::{Choices, Seeded};

    fn layout() -> Layout {
        Layout::new()
            .register("dst", Role::Destination)
            .register("src", Role::Any)
            .register("tmp", Role::Temporary)
            .unsigned("amount", 1, 63)
            .signed("off", 16)
    }

    #[test]
    fn fields_are_packed_from_bit_zero() {
        let layout = layout();
        let bits: Vec<_> = layout.fields().iter().map(|field| (field.low, field.width)).collect();
        assert_eq!(bits, [(0, 4), (4, 4), (8, 4), (12, 6), (18, 16)]);
        let payload = layout.encode(&Operands::new(&[1, 2, 3, 63, -2])).expect("valid");
        assert_eq!(payload, 1 | 2 << 4 | 3 << 8 | 63 << 12 | 0xfffe << 18);
    }

    #[test]
    fn decoding_is_injective() {
        let layout = layout();
        let mut choices = Seeded::new(3);
        for _ in 0..100_000 {
            let payload = choices.bits() & layout.used_bits();
            if let Ok(operands) = layout.decode(payload) {
                assert_eq!(layout.encode(&operands), Ok(payload));
            }
        }
    }

    #[test]
    fn what_no_operand_uses_is_rejected() {
        let layout = layout();
        let good = layout.encode(&Operands::new(&[1, 2, 3, 5, 0])).expect("valid");
        for bit in 34..64 {
            assert!(
                matches!(layout.decode(good | 1 << bit), Err(PayloadError::UnusedBits { .. })),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn ranges_and_temporaries_are_enforced() {
        let layout = layout();
        for (values, ok) in [
            ([9, 10, 0, 1, 0], true),
            ([10, 1, 0, 1, 0], false),
            ([1, 11, 0, 1, 0], false),
            ([1, 2, 10, 1, 0], false),
            ([1, 2, 1, 1, 0], false),
            ([1, 2, 2, 1, 0], false),
            ([1, 1, 2, 1, 0], true),
            ([1, 1, 2, 0, 0], false),
            ([1, 1, 2, 64, 0], false),
            ([1, 1, 2, 1, -32768], true),
            ([1, 1, 2, 1, 32768], false),
        ] {
            assert_eq!(layout.encode(&Operands::new(&values)).is_ok(), ok, "{values:?}");
        }
    }

    #[test]
    fn text_round_trips() {
        let layout = layout();
        let operands = Operands::new(&[1, 10, 3, 13, -32768]);
        let shown = layout.show(&operands).to_string();
        assert_eq!(shown, "dst=r1 src=r10 tmp=r3 amount=13 off=-32768");
        let parsed = layout.parse(shown.split(' ').filter_map(|pair| pair.split_once('=')));
        assert_eq!(parsed, Ok(operands));
        assert!(matches!(layout.parse([("dst", "r1")]), Err(PayloadError::Missing { .. })));
        assert!(matches!(layout.parse([("dest", "r1")]), Err(PayloadError::Unknown { .. })));
        assert!(matches!(layout.parse([("dst", "1")]), Err(PayloadError::Value { .. })));
        for bad in ["", "-", "--1", "+1", "0x", "0x-8", "--9223372036854775808", "99999999999999999999", "r1"]
        {
            let field = &layout.fields()[4];
            assert!(matches!(field.parse(bad), Err(PayloadError::Value { .. })), "{bad}");
        }
        assert_eq!(layout.fields()[4].parse("-0x8"), Ok(-8));
    }

    #[test]
    fn combinations_enumerate_the_product() {
        let layout = Layout::new().register("dst", Role::Destination).unsigned("n", 1, 3);
        let all: Vec<_> = (0..layout.combinations()).map(|i| layout.combination(i)).collect();
        assert_eq!((all.len(), all[0], all[29]), (30, Operands::new(&[0, 1]), Operands::new(&[9, 3])));
    }
}
