// SPDX-License-Identifier: GPL-2.0-or-later
//! Objects as text: [`Format::Text`](super::Format::Text) says the syntax.

use std::borrow::Cow;

use kop_ops::ebpf::parse_program;
use kop_ops::program::SiteTarget;
use kop_ops::{Flow, MapKind, MapSpec, Object, Program, ProgramKind};

use super::link::target;
use super::{LoadError, LoadOptions, MAX_MAPS, MAX_PROGRAMS};

/// What was read so far.
#[derive(Default)]
struct Source {
    programs: Vec<Part>,
    maps: Vec<MapSpec>,
    operations: Vec<SiteTarget>,
    /// Line, map, key and value of each element.
    elements: Vec<(usize, usize, Vec<u8>, String)>,
    license: String,
}

/// The lines of a program, with empty ones for those before it, so that errors tell the file's line.
struct Part {
    name: String,
    kind: ProgramKind,
    text: String,
}

pub(super) fn load(text: &str, options: &LoadOptions) -> Result<Object, LoadError> {
    let mut source = Source::default();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let fail = |reason: String| LoadError::Directive { line: number, reason };
        match line.trim_start().strip_prefix('.') {
            Some(directive) => source.directive(number, directive).map_err(fail)?,
            None => source.line(index, line).map_err(fail)?,
        }
    }
    source.finish(options)
}

impl Source {
    fn directive(&mut self, line: usize, text: &str) -> Result<(), String> {
        let text = text.split([';', '#']).next().unwrap_or_default();
        let words: Vec<&str> = text.split_whitespace().collect();
        match *words.as_slice() {
            ["program", name] => self.program(line, name, ProgramKind::Raw),
            ["program", name, kind] => {
                let found = ProgramKind::ALL.into_iter().find(|known| known.name() == kind);
                let kind = found.ok_or_else(|| format!("`{kind}` is no kind of program: raw, xdp or tc"))?;
                self.program(line, name, kind)
            }
            ["map", name, kind, key, value, entries] => self.map(name, kind, [key, value, entries, "0"]),
            ["map", name, kind, key, value, entries, flags] => {
                self.map(name, kind, [key, value, entries, flags])
            }
            ["init", map, key, value] => {
                let index = self.index(map).ok_or_else(|| format!("no map `{map}` before this line"))?;
                self.elements.push((line, index, bytes(key)?, value.to_owned()));
                Ok(())
            }
            ["kop", id, kop, form] => {
                let id = id.parse::<i32>().map_err(|_| format!("`{id}` is no id"))?;
                if self.operations.iter().any(|target| target.id == id) {
                    return Err(format!("the id {id} is taken"));
                }
                self.operations.push(SiteTarget { id, kop: kop.to_owned(), form: form.to_owned() });
                Ok(())
            }
            ["license", ..] => {
                self.license = words[1..].join(" ");
                Ok(())
            }
            [] => Err("a directive: program, map, init, kop or license".to_owned()),
            [name, ..] => match DIRECTIVES.iter().find(|(known, _)| *known == name) {
                Some((name, usage)) => Err(format!(".{name} takes {usage}")),
                None => Err(format!("no directive `.{name}`: program, map, init, kop or license")),
            },
        }
    }

    fn program(&mut self, line: usize, name: &str, kind: ProgramKind) -> Result<(), String> {
        if self.programs.iter().any(|part| part.name == name) {
            return Err(format!("the program `{name}` is there already"));
        }
        if self.programs.len() == MAX_PROGRAMS {
            return Err(format!("more than {MAX_PROGRAMS} programs"));
        }
        self.programs.push(Part { name: name.to_owned(), kind, text: "\n".repeat(line) });
        Ok(())
    }

    fn map(&mut self, name: &str, kind: &str, numbers: [&str; 4]) -> Result<(), String> {
        if self.index(name).is_some() {
            return Err(format!("the map `{name}` is there already"));
        }
        if self.maps.len() == MAX_MAPS {
            return Err(format!("more than {MAX_MAPS} maps"));
        }
        let known = MapKind::ALL.into_iter().find(|known| known.name() == kind);
        let kind = known.ok_or_else(|| {
            let names: Vec<&str> = MapKind::ALL.into_iter().map(MapKind::name).collect();
            format!("`{kind}` is no kind of map: {}", names.join(", "))
        })?;
        let mut values = [0; 4];
        for (value, text) in values.iter_mut().zip(numbers) {
            *value = number(text)?;
        }
        let [key_size, value_size, max_entries, flags] = values;
        let name = name.to_owned();
        self.maps.push(MapSpec { name, kind, key_size, value_size, max_entries, flags, initial: Vec::new() });
        Ok(())
    }

    fn index(&self, map: &str) -> Option<usize> {
        self.maps.iter().position(|spec| spec.name == map)
    }

    fn line(&mut self, index: usize, line: &str) -> Result<(), String> {
        let blank = line.split([';', '#']).next().unwrap_or_default().trim();
        if self.programs.is_empty() && !blank.is_empty() && !blank.starts_with("//") {
            self.program(index, "main", ProgramKind::Raw)?;
        }
        let line = self.named(line)?;
        if let Some(part) = self.programs.last_mut() {
            part.text.push_str(&line);
            part.text.push('\n');
        }
        Ok(())
    }

    /// The line with numbers in place of the names of maps and operations.
    fn named<'t>(&mut self, line: &'t str) -> Result<Cow<'t, str>, String> {
        for start in ["map_by_idx(", "map_val_by_idx("] {
            if let Some((before, name, after)) = name_behind(line, start) {
                let index = self.index(name).ok_or_else(|| format!("no map `{name}` before this line"))?;
                return Ok(padded(before, index, name, after).into());
            }
        }
        if let Some((before, name, after)) = name_behind(line, "call kop ") {
            let form = name.split_once('.').filter(|(kop, form)| !kop.is_empty() && !form.is_empty());
            let (kop, form) =
                form.ok_or_else(|| format!("`{name}`: an operation is called as OPERATION.FORM"))?;
            let id = target(&mut self.operations, kop, form);
            let slot = if after.contains("slot") { "" } else { " slot 0" };
            return Ok(format!("{before}{id}{slot}{after}").into());
        }
        Ok(line.into())
    }

    fn finish(mut self, options: &LoadOptions) -> Result<Object, LoadError> {
        for (line, map, key, value) in std::mem::take(&mut self.elements) {
            let fail = |reason: String| LoadError::Directive { line, reason };
            let value = match self.maps[map].kind {
                MapKind::ProgramArray => {
                    let program = self.programs.iter().position(|part| part.name == value);
                    let program = program.ok_or_else(|| fail(format!("no program `{value}`")))?;
                    (program as u32).to_le_bytes().to_vec()
                }
                _ => bytes(&value).map_err(fail)?,
            };
            self.maps[map].initial.push((key, value));
        }
        let mut programs = Vec::with_capacity(self.programs.len());
        for Part { name, kind, text } in self.programs {
            let insns = parse_program(&text)?;
            let flow = Flow::new(insns).map_err(|error| LoadError::Flow { program: name.clone(), error })?;
            programs.push(Program { name, kind: options.kind.unwrap_or(kind), flow });
        }
        if programs.is_empty() {
            return Err(LoadError::NoPrograms);
        }
        let (operations, license) = (self.operations, self.license);
        Ok(Object { programs, maps: self.maps.into(), operations, license })
    }
}

const DIRECTIVES: &[(&str, &str)] = &[
    ("program", "a name and a kind: raw, xdp or tc"),
    ("map", "name, kind, bytes of a key, bytes of a value, entries, and flags if any"),
    ("init", "a map, a key and a value, both in hexadecimal bytes"),
    ("kop", "an id, an operation and a form"),
];

/// The word behind `start` when it is a name and no number, with what is before and after it.
fn name_behind<'t>(line: &'t str, start: &str) -> Option<(&'t str, &'t str, &'t str)> {
    let at = line.find(start)? + start.len();
    let (before, rest) = line.split_at(at);
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.').unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    name.starts_with(|c: char| c.is_alphabetic() || c == '_').then_some((before, name, after))
}

/// The number in place of the name, with blanks so that columns in messages stay where they are.
fn padded(before: &str, index: usize, name: &str, after: &str) -> String {
    format!("{before}{index:<width$}{after}", width = name.chars().count())
}

fn number(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("`{text}` is no number of 32 bits"))
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let digit = |c: char| c.to_digit(16).map(|digit| digit as u8);
    let digits: Option<Vec<u8>> = text.chars().map(digit).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0);
    let digits = digits.ok_or_else(|| format!("`{text}` is no sequence of bytes in hexadecimal"))?;
    Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
