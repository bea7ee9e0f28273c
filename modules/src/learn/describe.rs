// SPDX-License-Identifier: GPL-2.0-or-later
//! What was learned, as text.

use std::fmt;

use kop_ops::{Field, FieldKind};

use super::{Learned, LearnedForm};

impl fmt::Display for Learned {
    /// The fields of each form, the lowest first, each on a line: `[7:4] src register r0..r9, read`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, form) in self.forms.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{form}")?;
        }
        Ok(())
    }
}

impl fmt::Display for LearnedForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.form.name)?;
        let fields = self.form.layout.fields();
        let bits: Vec<String> = fields.iter().map(|field| bit_range(field.low, field.width)).collect();
        let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
        let (wide, long) = (
            width(&mut bits.iter().map(String::len)),
            width(&mut fields.iter().map(|field| field.name.len())),
        );
        for ((field, bits), note) in fields.iter().zip(&bits).zip(&self.notes) {
            write!(f, "\n  {bits:<wide$}  {:<long$}  {}, {note}", field.name, values(field))?;
        }
        if self.ignored != 0 {
            write!(f, "\n  ignored: bits {}", bit_list(self.ignored))?;
        }
        Ok(())
    }
}

fn values(field: &Field) -> String {
    let (min, max) = field.range();
    match field.kind {
        FieldKind::Register(_) => format!("register r{min}..r{max}"),
        _ if min == max => format!("{min:#x}"),
        FieldKind::Unsigned { .. } => format!("unsigned {min}..{max}"),
        FieldKind::Signed { .. } => format!("signed {min}..{max}"),
    }
}

/// `[7:4]`, or `[7]` for a single bit.
fn bit_range(low: u32, width: u32) -> String {
    if width == 1 { format!("[{low}]") } else { format!("[{}:{low}]", low + width - 1) }
}

/// The runs of ones in `mask`: `[19:18] [51:24]`.
pub(super) fn bit_list(mask: u64) -> String {
    super::pieces::runs(mask)
        .into_iter()
        .map(|(low, width)| bit_range(low, width))
        .collect::<Vec<_>>()
        .join(" ")
}
