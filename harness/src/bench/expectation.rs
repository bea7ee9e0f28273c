// SPDX-License-Identifier: GPL-2.0-or-later
//! `NAME.expect`: what a program has to do with its packets, and what maps hold before and after.
//!
//! A line for each fact, numbers in decimal, bytes in hexadecimal: `before MAP KEY VALUE`, then for each packet `result NUMBER` and, where it
//! changes, `packet BYTES`, then `after MAP KEY VALUE`. A value of `before` may be `@PROGRAM`. Lines that start with `#` say nothing.

use kop_ops::Object;
use kop_semantics::Input;
use kop_semantics::world::MapContents;

use crate::packets::hex;

/// What is expected of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    before: Vec<(String, Vec<u8>, Value)>,
    /// What comes of each packet, in order.
    pub packets: Vec<Wanted>,
    /// Elements that maps hold after all packets: map, key, value.
    pub after: Vec<(String, Vec<u8>, Vec<u8>)>,
}

/// What comes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The low half of r0.
    pub result: u32,
    /// The packet as it leaves; `None` where it is as it came.
    pub packet: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Bytes(Vec<u8>),
    Program(String),
}

/// Why there is no expectation, or why it does not fit its program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpectationError {
    /// A line that says nothing.
    #[error(
        "line {line}: `{text}`: not `before MAP KEY VALUE`, `result NUMBER`, `packet BYTES` or `after MAP KEY VALUE`"
    )]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What it is.
        text: String,
    },
    /// A map that the program does not have.
    #[error("there is no map `{0}`")]
    Map(String),
    /// A program that the file does not have.
    #[error("there is no program `{0}`")]
    Program(String),
}

impl Expectation {
    /// Reads the lines.
    ///
    /// # Errors
    /// [`ExpectationError::Line`] with the first that is wrong.
    pub fn parse(text: &str) -> Result<Self, ExpectationError> {
        let mut expectation = Self::default();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
            expectation.read(line).ok_or_else(|| ExpectationError::Line {
                line: number + 1,
                text: line.chars().take(60).collect(),
            })?;
        }
        Ok(expectation)
    }

    fn read(&mut self, line: &str) -> Option<()> {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [] => {}
            ["before", map, key, value] => {
                let value = match value.strip_prefix('@') {
                    Some(program) => Value::Program(program.to_owned()),
                    None => Value::Bytes(hex(value)?),
                };
                self.before.push((map.to_owned(), hex(key)?, value));
            }
            ["result", number] => {
                self.packets.push(Wanted { result: number.parse().ok()?, packet: None });
            }
            ["packet", bytes] => self.packets.last_mut()?.packet = Some(hex(bytes)?),
            ["after", map, key, value] => self.after.push((map.to_owned(), hex(key)?, hex(value)?)),
            _ => return None,
        }
        Some(())
    }

    /// Puts what maps hold before into the object (programs) and the input (everything else).
    ///
    /// # Errors
    /// [`ExpectationError`] for a map or a program that there is not.
    pub fn prepare(&self, object: &mut Object, input: &mut Input) -> Result<(), ExpectationError> {
        let mut maps = object.maps.to_vec();
        for (name, key, value) in &self.before {
            let map = find(object, name)?;
            match value {
                Value::Bytes(bytes) => input.maps.push((map, key.clone(), bytes.clone())),
                Value::Program(name) => {
                    let index = object.programs.iter().position(|program| program.name == *name);
                    let index = index.ok_or_else(|| ExpectationError::Program(name.clone()))? as u32;
                    maps[map].initial.push((key.clone(), index.to_le_bytes().to_vec()));
                }
            }
        }
        object.maps = maps.into();
        Ok(())
    }

    /// What maps do not hold though they should, in one line.
    pub fn missing(&self, maps: &[MapContents]) -> Option<String> {
        let holds = |(name, key, value): &&(String, Vec<u8>, Vec<u8>)| {
            let mut found = maps.iter().filter(|map| map.name == *name || map.name.ends_with(name.as_str()));
            !found.any(|map| map.entries.iter().any(|(k, v)| k == key && v == value))
        };
        let (name, key, value) = self.after.iter().find(holds)?;
        Some(format!("map {name} does not hold {key:02x?}: {value:02x?}"))
    }
}

/// The map of this name; data sections have the file's name before their own.
fn find(object: &Object, name: &str) -> Result<usize, ExpectationError> {
    let exact = object.maps.iter().position(|spec| spec.name == name);
    let found = exact.or_else(|| object.maps.iter().position(|spec| spec.name.ends_with(name)));
    found.ok_or_else(|| ExpectationError::Map(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_follow_their_results() {
        let text = "# a remark\nbefore m 01 02\nbefore p 00 @other\nresult 2\nresult 3\npacket 0a0b\nafter m 01 03\n";
        let read = Expectation::parse(text).expect("sound lines");
        let wanted = |result, packet: Option<&[u8]>| Wanted { result, packet: packet.map(<[u8]>::to_vec) };
        assert_eq!(read.packets, [wanted(2, None), wanted(3, Some(&[10, 11]))]);
        assert_eq!(read.after, [("m".to_owned(), vec![1], vec![3])]);
        assert_eq!(read.before[1].2, Value::Program("other".to_owned()));
    }

    #[test]
    fn a_line_that_is_wrong_is_named() {
        for (text, line) in [
            ("result 1\nresult -1", 2),
            ("packet 00", 1),
            ("result 1\npacket 0", 2),
            ("before m 01", 1),
            ("# no\n\nreturns 1", 3),
        ] {
            match Expectation::parse(text) {
                Err(ExpectationError::Line { line: found, .. }) => assert_eq!(found, line, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_a_map_lacks_is_said() {
        let expectation = Expectation::parse("result 0\nafter .bss 00 01").expect("sound lines");
        let holding = |value: u8| MapContents {
            name: "prog.bss".to_owned(),
            kind: kop_ops::MapKind::Array,
            entries: vec![(vec![0], vec![value])],
        };
        assert_eq!(expectation.missing(&[holding(1)]), None);
        assert!(expectation.missing(&[holding(2)]).is_some());
        assert!(expectation.missing(&[]).is_some());
    }
}
