// SPDX-License-Identifier: GPL-2.0-or-later
//! Site contracts that are declared on the command line: registers that are dead after the site.
//!
//! `dead=r3` names a register, `dead=payload[16:19]` the bits of the payload that hold its number (either end first). A
//! name and a colon in front make it one operation's: `bpf_rotate:dead=r3`.

use kop_ops::ebpf::{Reg, RegSet};
use kop_ops::payload::PAYLOAD_BITS;
use kop_ops::{Form, Layout};

use crate::error::ModuleError;

/// Where the dead register is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dead {
    Register(Reg),
    /// Four bits of the payload from this one on.
    Field(u32),
}

/// A declared condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    text: String,
    operation: Option<String>,
    dead: Dead,
}

const SYNTAX: &str =
    "write dead=r3 or dead=payload[16:19], with OPERATION: in front where it is for one alone";

impl Condition {
    /// The condition that `text` is.
    pub(crate) fn parse(text: &str) -> Result<Self, ModuleError> {
        let wrong = |reason: String| ModuleError::Contract {
            text: text.to_owned(),
            reason: format!("{reason}; {SYNTAX}"),
        };
        let (operation, condition) = match text.split_once("dead=") {
            Some(("", condition)) => (None, condition),
            Some((prefix, condition)) => match prefix.strip_suffix(':') {
                Some(name) => (Some(name.to_owned()), condition),
                None => return Err(wrong("it is not understood".to_owned())),
            },
            None => return Err(wrong("it declares nothing dead".to_owned())),
        };
        let dead = match condition.strip_prefix("payload") {
            Some(bits) => Dead::Field(field(bits).map_err(wrong)?),
            None => Dead::Register(register(condition).map_err(wrong)?),
        };
        Ok(Self { text: text.to_owned(), operation, dead })
    }

    /// The text as it was given.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The operation that it is for, when it is for one alone.
    pub(crate) fn operation(&self) -> Option<&str> {
        self.operation.as_deref()
    }

    /// Whether it says something of an operation of this name and these forms.
    pub(crate) fn fits(&self, name: &str, forms: &[Form]) -> bool {
        if self.operation.as_deref().is_some_and(|own| own != name) {
            return false;
        }
        match self.dead {
            Dead::Register(_) => true,
            Dead::Field(low) => forms.iter().any(|form| holds_register(&form.layout, low)),
        }
    }

    /// The registers that are dead after a site of `payload`.
    pub(crate) fn dead(&self, layout: &Layout, payload: u64) -> RegSet {
        match self.dead {
            Dead::Register(register) => RegSet::from(register),
            Dead::Field(low) if holds_register(layout, low) => {
                Reg::new((payload >> low & 15) as u8).map_or(RegSet::EMPTY, RegSet::from)
            }
            Dead::Field(_) => RegSet::EMPTY,
        }
    }

    /// An error about it.
    pub(crate) fn refuse(&self, reason: String) -> ModuleError {
        ModuleError::Contract { text: self.text.clone(), reason }
    }

    /// The error when it fits none of the operations called `names`.
    pub(crate) fn misfit(&self, names: &[&str]) -> ModuleError {
        let names = names.join(", ");
        match (&self.operation, self.dead) {
            (Some(own), _) if !names.split(", ").any(|name| name == own) => {
                self.refuse(format!("no operation `{own}` is registered (there are {names})"))
            }
            (_, Dead::Field(low)) => self.refuse(format!(
                "payload bits {low} to {} hold no register; the layout that `kop show` prints tells which do",
                low + 3
            )),
            _ => self.refuse("it fits no operation".to_owned()),
        }
    }
}

fn holds_register(layout: &Layout, low: u32) -> bool {
    layout.fields().iter().any(|field| field.is_register() && field.low == low && field.width == 4)
}

fn register(text: &str) -> Result<Reg, String> {
    match text.parse::<Reg>() {
        Ok(Reg::R10) => Err("r10 is read-only, and never dead".to_owned()),
        Ok(register) => Ok(register),
        Err(error) => Err(error.to_string()),
    }
}

/// The lowest bit of `[low:high]` or `[high:low]`.
fn field(text: &str) -> Result<u32, String> {
    let bits =
        text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).and_then(|text| text.split_once(':'));
    let (first, second) = bits.ok_or("payload bits are not understood")?;
    let number = |text: &str| text.trim().parse::<u32>().map_err(|_| format!("`{text}` is no bit number"));
    let (first, second) = (number(first)?, number(second)?);
    let (low, high) = (first.min(second), first.max(second));
    if high >= PAYLOAD_BITS {
        return Err(format!("the payload ends with bit {}", PAYLOAD_BITS - 1));
    }
    if high - low != 3 {
        return Err(format!("a register number has 4 bits, and these are {}", high - low + 1));
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use kop_ops::Role;

    use super::*;

    #[test]
    fn conditions_are_read_in_every_spelling() {
        for (text, operation, dead) in [
            ("dead=r3", None, Dead::Register(Reg::R3)),
            ("dead=payload[16:19]", None, Dead::Field(16)),
            ("dead=payload[19:16]", None, Dead::Field(16)),
            ("bpf_x:dead=r0", Some("bpf_x"), Dead::Register(Reg::R0)),
            ("bpf_x:dead=payload[48:51]", Some("bpf_x"), Dead::Field(48)),
        ] {
            let condition = Condition::parse(text).expect(text);
            assert_eq!((condition.operation(), condition.dead), (operation, dead), "{text}");
        }
    }

    #[test]
    fn bad_conditions_are_refused_in_one_line() {
        for text in [
            "",
            "dead",
            "dead=",
            "dead=r11",
            "dead=r10",
            "dead=3",
            "live=r3",
            "dead=payload",
            "dead=payload[1]",
            "dead=payload[1:5]",
            "dead=payload[49:52]",
            "dead=payload[x:3]",
            "bpf_x dead=r3",
            "dead=r3,r4",
        ] {
            let error = Condition::parse(text).expect_err(text).to_string();
            assert!(error.starts_with(&format!("--contract {text}: ")) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_field_has_to_hold_a_register() {
        let layout = Layout::new().register("dst", Role::Destination).unsigned("n", 0, 15);
        let forms = [Form::new("payload", "", layout.clone())];
        let condition = |text: &str| Condition::parse(text).expect(text);
        assert!(condition("dead=payload[0:3]").fits("x", &forms));
        assert!(!condition("dead=payload[4:7]").fits("x", &forms));
        assert!(!condition("y:dead=r1").fits("x", &forms));
        assert_eq!(condition("dead=payload[3:0]").dead(&layout, 0x52), RegSet::from(Reg::R2));
        assert_eq!(condition("dead=r7").dead(&layout, 0x52), RegSet::from(Reg::R7));
    }
}
