// SPDX-License-Identifier: GPL-2.0-or-later
//! Reading the text of a case: lines first, then their meaning, each error with its place and the way out.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use kop_ops::ebpf::Reg;
use kop_ops::{Arch, Catalog, Feature, Features, Field, Form, Kop, Operands, PayloadError, Slot, State};

use super::{Case, CaseError, VERSION, is_learned};

/// The most characters of a text that a message quotes.
const QUOTED: usize = 60;

pub(super) fn parse(text: &str, catalog: &Catalog) -> Result<Case, CaseError> {
    let mut lines = Lines::default();
    let parsed = lines.read(text).and_then(|()| lines.case(catalog));
    parsed.map_err(|error| with_comment_hint(error, text))
}

/// A trailing comment is the likeliest reason for an error in a line that holds `#`.
fn with_comment_hint(mut error: CaseError, text: &str) -> CaseError {
    let line = error.line.and_then(|line| text.lines().nth(line - 1));
    if line.is_some_and(|line| line.contains('#') && !line.trim_start().starts_with('#')) {
        error.message.push_str(" (a comment needs a line of its own)");
    }
    error
}

/// Text of a file as a message shows it: without control characters, and not too long.
fn quote(text: &str) -> String {
    let shown: String = text.chars().take(QUOTED).flat_map(char::escape_debug).collect();
    let more = if text.chars().nth(QUOTED).is_some() { ".." } else { "" };
    format!("`{shown}{more}`")
}

/// A part of a line.
#[derive(Clone, Copy)]
struct Part<'a> {
    line: usize,
    whole: &'a str,
    text: &'a str,
}

impl<'a> Part<'a> {
    fn error(self, message: impl Into<String>) -> CaseError {
        let offset = self.text.as_ptr() as usize - self.whole.as_ptr() as usize;
        let column = self.whole.get(..offset).map_or(0, |before| before.chars().count()) + 1;
        CaseError { line: Some(self.line), column: Some(column), message: message.into() }
    }

    fn narrowed(self, text: &'a str) -> Self {
        Self { text: text.trim(), ..self }
    }

    /// The first word and the rest.
    fn split_first(self) -> (Self, Self) {
        let end = self.text.find(char::is_whitespace).unwrap_or(self.text.len());
        (self.narrowed(&self.text[..end]), self.narrowed(&self.text[end..]))
    }

    /// All but the last word, and the last word.
    fn split_last(self) -> Option<(Self, Self)> {
        self.text
            .rsplit_once(char::is_whitespace)
            .map(|(left, right)| (self.narrowed(left), self.narrowed(right)))
    }

    fn split_at(self, separator: char) -> Option<(Self, Self)> {
        self.text.split_once(separator).map(|(left, right)| (self.narrowed(left), self.narrowed(right)))
    }

    fn words(self, separator: impl Fn(char) -> bool) -> impl Iterator<Item = Self> {
        self.text.split(separator).filter(|word| !word.is_empty()).map(move |word| self.narrowed(word))
    }

    /// A plain number; `window` and the like are none here.
    fn number(self) -> Result<u64, CaseError> {
        let digit = self.text.starts_with(|first: char| first.is_ascii_digit());
        Some(self.text).filter(|_| digit).and_then(|text| Slot::default().parse(text)).ok_or_else(|| {
            self.error(format!("{} is no 64-bit number; write it as 0x1f or 31", quote(self.text)))
        })
    }
}

/// Names, in order, with where they stand and their values.
type Pairs<'a> = BTreeMap<&'a str, (Part<'a>, Part<'a>)>;

/// The lines of a case by what they say.
#[derive(Default)]
struct Lines<'a> {
    comment: Vec<String>,
    version: Option<Part<'a>>,
    operation: Option<Part<'a>>,
    form: Option<Part<'a>>,
    arch: Option<Part<'a>>,
    features: Option<Part<'a>>,
    payload: Option<Part<'a>>,
    garbage: Option<Part<'a>>,
    operands: Pairs<'a>,
    registers: Pairs<'a>,
    memory: Vec<(Part<'a>, Part<'a>)>,
    last: usize,
}

impl<'a> Lines<'a> {
    fn read(&mut self, text: &'a str) -> Result<(), CaseError> {
        if text.trim().is_empty() {
            return Err(CaseError::whole(format!("empty; a case starts with `kop-case {VERSION}`")));
        }
        for (index, whole) in text.lines().enumerate() {
            self.last = index + 1;
            let part = Part { line: self.last, whole, text: whole.trim() };
            if let Some(comment) = whole.trim_start().strip_prefix('#') {
                self.comment.push(comment.strip_prefix(' ').unwrap_or(comment).to_owned());
            } else if !part.text.is_empty() {
                self.line(part)?;
            }
        }
        Ok(())
    }

    fn line(&mut self, part: Part<'a>) -> Result<(), CaseError> {
        let (keyword, value) = part.split_first();
        if self.version.is_none() {
            check_version(part, keyword, value)?;
        }
        let place = match keyword.text {
            "kop-case" => &mut self.version,
            "operation" => &mut self.operation,
            "form" => &mut self.form,
            "arch" => &mut self.arch,
            "features" => &mut self.features,
            "payload" => &mut self.payload,
            "garbage" => &mut self.garbage,
            "operand" => {
                let (name, value) = value.split_last().ok_or_else(|| {
                    part.error("an operand needs a name and a value, as in `operand dst r3`")
                })?;
                return add_once(&mut self.operands, name, value);
            }
            _ => return self.state_line(part),
        };
        if value.text.is_empty() {
            return Err(part.error(format!("`{0}` needs a value after it, or delete the line", keyword.text)));
        }
        if let Some(before) = place {
            return Err(given_before(keyword, before.line));
        }
        *place = Some(value);
        Ok(())
    }

    fn state_line(&mut self, part: Part<'a>) -> Result<(), CaseError> {
        if let Some((address, bytes)) = part.split_at(':') {
            self.memory.push((address, bytes));
            return Ok(());
        }
        if let Some((register, value)) = part.split_at('=') {
            return add_once(&mut self.registers, register, value);
        }
        Err(part.error(format!(
            "{} is no line of a case; there are operation, form, arch, features, operand, payload, garbage, \
             `r1 = 0x1f` and `window+0x10: 01 02`",
            quote(part.text)
        )))
    }

    fn case(&self, catalog: &Catalog) -> Result<Case, CaseError> {
        if self.version.is_none() {
            return Err(self.missing(&format!("`kop-case {VERSION}`, which comes first")));
        }
        let kop = self.kop(catalog)?;
        let form = self.form(kop)?;
        Ok(Case {
            comment: self.comment.clone(),
            kop: kop.name().to_owned(),
            form: form.clone(),
            arch: self.arch.map(arch).transpose()?,
            features: self.features.map(features).transpose()?,
            payload: self.payload(form)?,
            learned: is_learned(kop),
            state: self.state()?,
            garbage: self.garbage.map_or(Ok(0), Part::number)?,
        })
    }

    fn missing(&self, what: &str) -> CaseError {
        CaseError::at_line(self.last, format!("the case ends without {what}"))
    }

    fn kop<'c>(&self, catalog: &Catalog<'c>) -> Result<&'c dyn Kop, CaseError> {
        let name = self.operation.ok_or_else(|| self.missing("`operation NAME`"))?;
        catalog.get(name.text).map_err(|error| {
            name.error(format!("unknown operation {} (known: {})", quote(name.text), error.known))
        })
    }

    fn form<'c>(&self, kop: &'c dyn Kop) -> Result<&'c Form, CaseError> {
        let known = || kop.forms().iter().map(|form| &*form.name).collect::<Vec<_>>().join(", ");
        if let (Some(payload), true) = (self.payload, is_learned(kop)) {
            return self
                .form_of(kop, payload.number()?)
                .ok_or_else(|| self.missing("an operation that has forms"));
        }
        let Some(name) = self.form else {
            return Err(self.missing(&format!("`form NAME`; {} has {}", kop.name(), known())));
        };
        kop.forms().iter().find(|form| form.name == name.text).ok_or_else(|| {
            name.error(format!("{} has no form {} (it has {})", kop.name(), quote(name.text), known()))
        })
    }

    /// The form of a learned operation that holds `payload`; otherwise the one that is named, or the first.
    fn form_of<'c>(&self, kop: &'c dyn Kop, payload: u64) -> Option<&'c Form> {
        let forms = kop.forms();
        let named = |form: &&Form| self.form.is_some_and(|name| form.name == name.text);
        let holds = |form: &&Form| form.layout.decode(payload).is_ok();
        let both = |form: &&Form| named(form) && holds(form);
        let chosen = forms.iter().find(both).or_else(|| forms.iter().find(holds));
        chosen.or_else(|| forms.iter().find(named)).or(forms.first())
    }

    fn payload(&self, form: &Form) -> Result<u64, CaseError> {
        match (self.payload, self.operands.first_key_value()) {
            (Some(payload), None) => payload.number(),
            (Some(payload), Some((_, (operand, _)))) => Err(payload.error(format!(
                "operand {} is given on line {}; keep either the payload or the operands",
                quote(operand.text),
                operand.line
            ))),
            (None, _) => self.operands(form),
        }
    }

    fn operands(&self, form: &Form) -> Result<u64, CaseError> {
        let layout = &form.layout;
        let unknown =
            self.operands.values().map(|(name, _)| name).filter(|name| layout.index(name.text).is_none());
        if let Some(name) = unknown.min_by_key(|name| name.line) {
            let known = layout.fields().iter().map(|field| &*field.name).collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "none".to_owned() } else { known };
            let message = format!("{} has no operand {} (it has {known})", form.name, quote(name.text));
            return Err(name.error(message));
        }
        let mut values = Vec::new();
        for field in layout.fields() {
            let Some((_, text)) = self.operands.get(&*field.name) else {
                return Err(self.missing(&format!("`operand {} VALUE`, {}", field.name, range(field))));
            };
            values.push(operand(field, *text)?);
        }
        let operands = Operands::new(&values);
        layout.encode(&operands).map_err(|error| self.clash(error, layout.pack(&operands)))
    }

    /// The error of operands that are fine one by one.
    fn clash(&self, error: PayloadError, payload: u64) -> CaseError {
        let message = format!(
            "{error}; choose another register, or keep it with `payload {payload:#x}` for all operands"
        );
        match &error {
            PayloadError::Temporary { field, .. } => self.operands[&**field].1.error(message),
            _ => self.missing(&format!("operands that go together: {message}")),
        }
    }

    fn state(&self) -> Result<State, CaseError> {
        let slot = Slot::default();
        let mut state = State::zeroed(slot);
        for (name, value) in self.registers.values() {
            let register: Reg = name.text.parse().map_err(|_| {
                name.error(format!("{} is no register; they are r0 to r10", quote(name.text)))
            })?;
            let number = slot.parse(value.text).ok_or_else(|| {
                value.error(format!(
                    "{} is no value; write 0x1f, 31, -1, window+0x10 or stack-0x8",
                    quote(value.text)
                ))
            })?;
            state.set(register, number);
        }
        let mut owners = BTreeMap::new();
        for (address, bytes) in &self.memory {
            store(&mut state, &mut owners, *address, *bytes)?;
        }
        Ok(state)
    }
}

fn check_version(part: Part, keyword: Part, value: Part) -> Result<(), CaseError> {
    if keyword.text != "kop-case" {
        return Err(
            part.error(format!("a case starts with `kop-case {VERSION}`, not with {}", quote(part.text)))
        );
    }
    if value.text != VERSION.to_string() {
        return Err(value.error(format!(
            "format version {} is unknown; this program reads version {VERSION}",
            quote(value.text)
        )));
    }
    Ok(())
}

fn given_before(part: Part, line: usize) -> CaseError {
    part.error(format!("{} is given on line {line} already; delete one of the two", quote(part.text)))
}

fn add_once<'a>(pairs: &mut Pairs<'a>, name: Part<'a>, value: Part<'a>) -> Result<(), CaseError> {
    match pairs.entry(name.text) {
        Entry::Occupied(before) => Err(given_before(name, before.get().0.line)),
        Entry::Vacant(place) => {
            place.insert((name, value));
            Ok(())
        }
    }
}

fn arch(part: Part) -> Result<Arch, CaseError> {
    part.text.parse().map_err(|_| {
        part.error(format!(
            "unknown architecture {}; write x86_64 or aarch64, or delete the line for both",
            quote(part.text)
        ))
    })
}

fn features(part: Part) -> Result<Features, CaseError> {
    if part.text == "none" {
        return Ok(Features::NONE);
    }
    let names = part.words(|c| c == ',' || c.is_whitespace());
    let found = names.map(|name| {
        Feature::ALL.into_iter().find(|feature| feature.name() == name.text).ok_or_else(|| {
            let known = Feature::ALL.map(Feature::name).join(", ");
            name.error(format!("unknown CPU feature {} (known: {known}, none)", quote(name.text)))
        })
    });
    found.collect()
}

/// What values an operand takes, as a message says it.
fn range(field: &Field) -> String {
    let (min, max) = field.range();
    format!("{} to {}", field.show(min), field.show(max))
}

fn operand(field: &Field, part: Part) -> Result<i64, CaseError> {
    let digits = if field.is_register() { part.text.strip_prefix('r') } else { part.text.strip_prefix('-') };
    // Numbers have one sign at most, and that in front of the prefix.
    let plain = digits.unwrap_or(part.text).starts_with(|first: char| first.is_ascii_digit())
        && part.text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let value = Some(part.text).filter(|text| plain && !text[1..].contains('-'));
    value.and_then(|text| field.parse(text).ok()).ok_or_else(|| {
        part.error(format!(
            "{} is no value for operand {}, which takes {}",
            quote(part.text),
            field.name,
            range(field)
        ))
    })
}

/// Stores the bytes of a line; `owners` tells which line gave a byte.
fn store(
    state: &mut State,
    owners: &mut BTreeMap<u64, usize>,
    address: Part,
    bytes: Part,
) -> Result<(), CaseError> {
    let slot = state.memory.slot;
    let start = slot.parse(address.text).ok_or_else(|| {
        address.error(format!("{} is no address; write window+0x10 or stack-0x8", quote(address.text)))
    })?;
    if bytes.text.is_empty() {
        return Err(address.error("no bytes follow the address; write them as `01 02`, or delete the line"));
    }
    for (i, word) in bytes.words(char::is_whitespace).enumerate() {
        let at = start.wrapping_add(i as u64);
        let digits = word.text.len() == 2 && word.text.bytes().all(|b| b.is_ascii_hexdigit());
        let byte = u64::from_str_radix(word.text, 16).ok().filter(|_| digits).ok_or_else(|| {
            word.error(format!("{} is no byte; write two hexadecimal digits", quote(word.text)))
        })?;
        state.memory.store(at, 1, byte).map_err(|_| {
            word.error(format!(
                "{} is outside the window (window to window+0xfff) and the stack (stack-0x1000 to stack-0x1)",
                slot.show(at)
            ))
        })?;
        if let Some(line) = owners.insert(at, address.line) {
            let message = format!("{} is given on line {line} already; delete one of the two", slot.show(at));
            return Err(word.error(message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::random;
    use super::*;
    use kop_ops::choices::{Choices, Seeded};

    fn error(text: &str) -> String {
        Case::parse(text, &Catalog::einsn()).expect_err(text).to_string()
    }

    #[test]
    fn what_people_write_is_read() {
        let text = "\n  # moved to the top\n\tkop-case\t1  \r\nform be16\n r10=stack\nr1= -1\nr2 =1_000\noperand  dst  r3\n\
                    operand base r10\noperand off -0x8000\noperation swapped_load\nfeatures movbe bmi2\n\
                    window:0a 0B\n0x20040ffe: 07 08\nstack-0x1000 : ff\n#no space\n";
        let case = Case::parse(text, &Catalog::einsn()).expect("valid");
        assert_eq!(
            case.to_string(),
            "# moved to the top\n# no space\nkop-case 1\noperation swapped_load\nform be16\nfeatures bmi2,movbe\n\
             operand dst r3\noperand base r10\noperand off -32768\nr1 = 0xffffffffffffffff\nr2 = 0x3e8\n\
             window: 0a 0b\nwindow+0xff8: 00 00 00 00 00 00 07 08\nstack-0x1000: ff\n"
        );
    }

    #[test]
    fn a_payload_takes_the_operands_place() {
        let text = "kop-case 1\noperation popcount\nform pop64\npayload 0x10_0000_0000_0000\n";
        let case = Case::parse(text, &Catalog::einsn()).expect("valid");
        assert_eq!(case.payload, 1 << 52);
        assert!(case.to_string().ends_with("payload 0x10000000000000\n"));
    }

    /// An operation as it is learned from a module.
    struct Learned {
        forms: Vec<Form>,
        arguments: [String; 2],
    }

    impl Learned {
        fn new(forms: &[(&'static str, &'static str, u32)]) -> Self {
            use kop_ops::{Layout, Role};
            let form = |&(name, operand, tag): &(&'static str, &'static str, u32)| {
                let layout = Layout::new().register(operand, Role::Destination).field_at(
                    "tag",
                    kop_ops::FieldKind::Unsigned { min: tag, max: tag },
                    4,
                    4,
                );
                Form::new(name, "", layout)
            };
            let arguments = ["--module", "x.c"].map(str::to_owned);
            Self { forms: forms.iter().map(form).collect(), arguments }
        }
    }

    impl Kop for Learned {
        fn name(&self) -> &str {
            "bpf_x"
        }

        fn summary(&self) -> &str {
            ""
        }

        fn source(&self) -> &str {
            "x.c"
        }

        fn forms(&self) -> &[Form] {
            &self.forms
        }

        fn arguments(&self) -> &[String] {
            &self.arguments
        }

        fn model(&self, _: &kop_ops::Site, _: &mut State) -> Option<Result<(), kop_ops::Fault>> {
            None
        }

        fn proof(&self, _: &kop_ops::Site) -> Result<Vec<kop_ops::ebpf::Insn>, kop_ops::Reject> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn a_case_of_a_module_outlives_what_was_learned_of_it() {
        let before = Learned::new(&[("tag1", "dst", 1), ("tag2", "dst", 2)]);
        let state = State::zeroed(Slot::default());
        let case = Case::new(&before, &before.forms[1], 0x23, &state);
        assert_eq!(case.title(), "bpf_x tag2 dst=r3 tag=2");
        let text = case.to_string();
        assert!(text.ends_with("form tag2\npayload 0x23\n"), "{text}");
        assert_eq!(Case::parse(&text, &Catalog::with(&before)), Ok(case));
        for (forms, expected) in [
            (&[("tag1", "a", 1), ("tag2", "out", 2)][..], "tag2"),
            (&[("tag2", "dst", 1), ("tag1", "dst", 2)], "tag1"),
            (&[("payload", "dst", 2)], "payload"),
            (&[("tag1", "dst", 1), ("tag2", "dst", 3)], "tag2"),
            (&[("payload", "dst", 5)], "payload"),
        ] {
            let now = Learned::new(forms);
            let case = Case::parse(&text, &Catalog::with(&now)).expect("still a case");
            assert_eq!((&*case.form.name, case.payload), (expected, 0x23), "{forms:?}");
        }
    }

    #[test]
    fn every_mistake_is_one_line_with_the_way_out() {
        let head = "kop-case 1\noperation rotate\nform imm32\n";
        let good = format!("{head}operand dst r3\noperand src r3\noperand tmp r2\noperand amount 13\n");
        let names: Vec<&str> = Catalog::einsn().kops().iter().map(|kop| kop.name()).collect();
        let known = &format!("(known: {})", names.join(", "));
        let outside =
            "is outside the window (window to window+0xfff) and the stack (stack-0x1000 to stack-0x1)";
        let cases = [
            ("", "empty; a case starts with `kop-case 1`"),
            (" \n\n", "empty; a case starts with `kop-case 1`"),
            ("# only\n# this\n", "line 2: the case ends without `kop-case 1`, which comes first"),
            (
                "operation rotate\n",
                "line 1, column 1: a case starts with `kop-case 1`, not with `operation rotate`",
            ),
            (
                "# x\nkop-case 2\n",
                "line 2, column 10: format version `2` is unknown; this program reads version 1",
            ),
            ("kop-case\n", "line 1, column 9: format version `` is unknown; this program reads version 1"),
            ("kop-case 1\n", "line 1: the case ends without `operation NAME`"),
            ("kop-case 1\noperation rotat\n", "line 2, column 11: unknown operation `rotat` KNOWN"),
            (
                "kop-case 1\noperation\n",
                "line 2, column 1: `operation` needs a value after it, or delete the line",
            ),
            (
                "kop-case 1\noperation rotate\n",
                "line 2: the case ends without `form NAME`; rotate has imm64, imm32, reg64, reg32",
            ),
            (
                "kop-case 1\noperation rotate\nform imm33\n",
                "line 3, column 6: rotate has no form `imm33` (it has imm64, imm32, reg64, reg32)",
            ),
            ("HEADoperand dst r3\n", "line 4: the case ends without `operand src VALUE`, r0 to r9"),
            (
                "HEADoperand dest r3\n",
                "line 4, column 9: imm32 has no operand `dest` (it has dst, src, tmp, amount)",
            ),
            (
                "HEADoperand dst\n",
                "line 4, column 1: an operand needs a name and a value, as in `operand dst r3`",
            ),
            (
                "HEADoperand dst r3\noperand dst r4\n",
                "line 5, column 9: `dst` is given on line 4 already; delete one of the two",
            ),
            (
                "HEADoperand dst r10\n",
                "line 4, column 13: `r10` is no value for operand dst, which takes r0 to r9",
            ),
            (
                "GOODoperand x 1\n",
                "line 8, column 9: imm32 has no operand `x` (it has dst, src, tmp, amount)",
            ),
            (
                "HEADoperand dst r3\noperand src r1\noperand tmp r2\noperand amount 32\n",
                "line 7, column 16: `32` is no value for operand amount, which takes 0 to 31",
            ),
            (
                "HEADoperand dst r3\noperand src r1\noperand tmp r2\noperand amount --9223372036854775808\n",
                "line 7, column 16: `--9223372036854775808` is no value for operand amount, which takes 0 to 31",
            ),
            (
                "HEADoperand dst r3\noperand src r1\noperand tmp r3\noperand amount 1\n",
                "line 6, column 13: temporary tmp is also operand dst; choose another register, or keep it with `payload 0x1313` for all operands",
            ),
            (
                "GOODpayload 3\n",
                "line 8, column 9: operand `amount` is given on line 7; keep either the payload or the operands",
            ),
            (
                "HEADpayload window\n",
                "line 4, column 9: `window` is no 64-bit number; write it as 0x1f or 31",
            ),
            (
                "HEADpayload 0x1_0000_0000_0000_0000\n",
                "line 4, column 9: `0x1_0000_0000_0000_0000` is no 64-bit number; write it as 0x1f or 31",
            ),
            ("GOODgarbage -\n", "line 8, column 9: `-` is no 64-bit number; write it as 0x1f or 31"),
            (
                "GOODarch sparc\n",
                "line 8, column 6: unknown architecture `sparc`; write x86_64 or aarch64, or delete the line for both",
            ),
            (
                "GOODfeatures bmi2,avx9\n",
                "line 8, column 15: unknown CPU feature `avx9` (known: popcnt, lzcnt, bmi1, bmi2, movbe, pclmulqdq, sse4_2, avx512vl, avx512_vpopcntdq, asimd, pmull, atomics, sb, crc32, svebitperm, sse2, none)",
            ),
            (
                "GOODarch x86_64\narch x86_64\n",
                "line 9, column 1: `arch` is given on line 8 already; delete one of the two",
            ),
            (
                "GOODkop-case 1\n",
                "line 8, column 1: `kop-case` is given on line 1 already; delete one of the two",
            ),
            ("GOODr11 = 1\n", "line 8, column 1: `r11` is no register; they are r0 to r10"),
            ("GOODr1 = \n", "line 8, column 5: `` is no value; write 0x1f, 31, -1, window+0x10 or stack-0x8"),
            (
                "GOODr1 = 0xg\n",
                "line 8, column 6: `0xg` is no value; write 0x1f, 31, -1, window+0x10 or stack-0x8",
            ),
            (
                "GOODr1 = 1 # one\n",
                "line 8, column 6: `1 # one` is no value; write 0x1f, 31, -1, window+0x10 or stack-0x8 (a comment needs a line of its own)",
            ),
            (
                "GOODr1 = 1\nr1 = 1\n",
                "line 9, column 1: `r1` is given on line 8 already; delete one of the two",
            ),
            ("GOODfoo: 01\n", "line 8, column 1: `foo` is no address; write window+0x10 or stack-0x8"),
            (
                "GOODwindow:\n",
                "line 8, column 1: no bytes follow the address; write them as `01 02`, or delete the line",
            ),
            ("GOODwindow: 01 2\n", "line 8, column 12: `2` is no byte; write two hexadecimal digits"),
            ("GOODwindow: +1\n", "line 8, column 9: `+1` is no byte; write two hexadecimal digits"),
            ("GOODwindow+0xfff: 01 02\n", "line 8, column 18: window+0x1000 OUTSIDE"),
            ("GOODwindow-0x1: 01\n", "line 8, column 13: window-0x1 OUTSIDE"),
            ("GOODstack: 01\n", "line 8, column 8: stack OUTSIDE"),
            ("GOOD0xffffffffffffffff: 01\n", "line 8, column 21: 0xffffffffffffffff OUTSIDE"),
            (
                "GOODwindow: 01 02\nwindow+0x1: 00\n",
                "line 9, column 13: window+0x1 is given on line 8 already; delete one of the two",
            ),
            (
                "GOODwhat\u{1b}[31m is this\n",
                "line 8, column 1: `what\\u{1b}[31m is this` is no line of a case; there are operation, form, arch, features, operand, payload, garbage, `r1 = 0x1f` and `window+0x10: 01 02`",
            ),
            ("kop-case 1\noperation äöü ß\n", "line 2, column 11: unknown operation `äöü ß` KNOWN"),
        ];
        for (text, expected) in cases {
            let text = text.replace("GOOD", &good).replace("HEAD", head);
            let expected = expected.replace("KNOWN", known).replace("OUTSIDE", outside);
            assert_eq!(error(&text), expected, "{text}");
        }
        let long = format!("{good}{}\n", "x".repeat(5_000));
        assert!(error(&long).len() < 300);
    }

    #[test]
    fn the_longest_file_is_read_in_no_time() {
        let head = "kop-case 1\noperation rotate\nform imm32\n";
        for line in ["operand a 1\n", "x = 1\n", "window: 01\n", "#\n"] {
            let lines: String = (0..60_000)
                .map(|i| line.replace('a', &format!("a{i}")).replace('x', &format!("x{i}")))
                .collect();
            let start = std::time::Instant::now();
            error(&format!("{head}{lines}"));
            assert!(start.elapsed().as_secs() < 5, "{line}");
        }
    }

    #[test]
    fn mutated_texts_never_panic() {
        let catalog = Catalog::einsn();
        let mut choices = Seeded::new(0x6d75_7461);
        let words = [
            "-",
            "--9223372036854775808",
            "0x",
            "window",
            "stack-",
            ":",
            "=",
            "\n",
            "#",
            "é",
            "\0",
            "r10",
            " ",
        ];
        let mut accepted = 0;
        let mut text = String::new();
        for number in 0..50_000 {
            if number % 100 == 0 {
                text = random(&catalog, &mut choices).to_string();
            }
            let mut mutated = text.clone().into_bytes();
            for _ in 0..1 + choices.below(4) {
                mutate(&mut mutated, &words, &mut choices);
            }
            let mutated = String::from_utf8_lossy(&mutated);
            match Case::parse(&mutated, &catalog) {
                Ok(case) => {
                    accepted += 1;
                    let again = (accepted % 8 == 0).then(|| Case::parse(&case.to_string(), &catalog));
                    assert!(again.is_none_or(|again| again.as_ref() == Ok(&case)), "{mutated}");
                }
                Err(error) => assert!(!error.message.contains('\n'), "{error}"),
            }
        }
        assert!((500..49_500).contains(&accepted), "{accepted} of 50000 are cases");
    }

    fn mutate(text: &mut Vec<u8>, words: &[&str], choices: &mut impl Choices) {
        let at = choices.below(text.len() as u64 + 1) as usize;
        let end = (at + choices.below(20) as usize).min(text.len());
        match choices.below(5) {
            0 => drop(text.drain(at..end)),
            1 => text.truncate(at),
            2 => drop(text.splice(at..at, choices.pick(words).bytes())),
            3 => drop(text.splice(at..end, choices.pick(words).bytes())),
            _ => {
                let copied = text[at..end].to_vec();
                let to = choices.below(text.len() as u64 + 1) as usize;
                drop(text.splice(to..to, copied));
            }
        }
    }
}
