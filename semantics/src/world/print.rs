// SPDX-License-Identifier: GPL-2.0-or-later
//! Formats of `bpf_trace_printk` (`bpf_bprintf_prepare` in `kernel/bpf/helpers.c`).

use super::errno::EINVAL;

/// How an argument is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Signed,
    Unsigned,
    Hex { upper: bool },
    Pointer,
    Char,
    Text,
}

struct Directive {
    left: bool,
    zero: bool,
    alternate: bool,
    width: usize,
    /// Bits of the argument that count: 32 or 64.
    bits: u32,
    shape: Shape,
}

/// The text that `format` makes of `arguments`; `text` reads the string at an address.
///
/// # Errors
/// `EINVAL` for a character that cannot be printed, a directive that there is not, or more directives than arguments.
pub(super) fn format(format: &[u8], arguments: &[u64], text: impl Fn(u64) -> String) -> Result<String, i64> {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut rest = format;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if !byte.is_ascii() || (byte.is_ascii_control() && !byte.is_ascii_whitespace() && byte != 0x0b) {
            return Err(EINVAL);
        }
        if byte != b'%' {
            out.push(char::from(byte));
        } else if rest.first() == Some(&b'%') {
            out.push('%');
            rest = &rest[1..];
        } else {
            let (directive, after) = parse(rest).ok_or(EINVAL)?;
            let argument = *arguments.next().ok_or(EINVAL)?;
            out.push_str(&directive.show(argument, &text));
            rest = after;
        }
    }
    Ok(out)
}

fn parse(format: &[u8]) -> Option<(Directive, &[u8])> {
    let flags = format.iter().take_while(|byte| b"0+-# ".contains(byte)).count();
    let (flags, rest) = format.split_at(flags);
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at(digits);
    let width = digits.iter().fold(0, |width: usize, digit| width * 10 % 4096 + usize::from(digit - b'0'));
    let long = rest.iter().take_while(|byte| **byte == b'l').count();
    let (shape, rest) = rest[long..].split_first()?;
    let shape = match (shape, long) {
        (b'd' | b'i', 0..=2) => Shape::Signed,
        (b'u', 0..=2) => Shape::Unsigned,
        (b'x', 0..=2) => Shape::Hex { upper: false },
        (b'X', 0..=2) => Shape::Hex { upper: true },
        (b'p', 0) => Shape::Pointer,
        (b'c', 0) => Shape::Char,
        (b's', 0) => Shape::Text,
        _ => return None,
    };
    // `%px`, `%pk` and so on: the kernel has more of them than can be told without its state.
    let known = rest.strip_prefix(b"x").or_else(|| rest.strip_prefix(b"k"));
    let rest = if shape == Shape::Pointer { known.unwrap_or(rest) } else { rest };
    let has = |flag| flags.contains(&flag);
    let bits = if long > 0 { 64 } else { 32 };
    Some((Directive { left: has(b'-'), zero: has(b'0'), alternate: has(b'#'), width, bits, shape }, rest))
}

impl Directive {
    fn show(&self, argument: u64, text: &impl Fn(u64) -> String) -> String {
        let low = if self.bits == 64 { argument } else { argument & 0xffff_ffff };
        let signed = if self.bits == 64 { argument as i64 } else { i64::from(argument as i32) };
        let (sign, digits) = match self.shape {
            Shape::Signed if signed < 0 => ("-", signed.unsigned_abs().to_string()),
            Shape::Signed => ("", signed.to_string()),
            Shape::Unsigned => ("", low.to_string()),
            Shape::Hex { upper: true } => (if self.alternate { "0X" } else { "" }, format!("{low:X}")),
            Shape::Hex { upper: false } => (if self.alternate { "0x" } else { "" }, format!("{low:x}")),
            Shape::Pointer => ("", format!("{argument:016x}")),
            Shape::Char => ("", char::from(argument as u8).to_string()),
            Shape::Text => ("", text(argument)),
        };
        let missing = self.width.saturating_sub(sign.len() + digits.len());
        match (self.left, self.zero) {
            (true, _) => format!("{sign}{digits}{}", " ".repeat(missing)),
            (false, true) => format!("{sign}{}{digits}", "0".repeat(missing)),
            (false, false) => format!("{}{sign}{digits}", " ".repeat(missing)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, arguments: &[u64]) -> Result<String, i64> {
        format(text.as_bytes(), arguments, |address| format!("<{address}>"))
    }

    #[test]
    fn directives_show_as_printf_shows_them() {
        for (text, argument, expected) in [
            ("%d", u64::MAX, "-1"),
            ("%u", u64::MAX, "4294967295"),
            ("%llu", u64::MAX, "18446744073709551615"),
            ("%ld", 1 << 63, "-9223372036854775808"),
            ("%#x", 0xabc, "0xabc"),
            ("%08X|", 0xabc, "00000ABC|"),
            ("%5d|", 42, "   42|"),
            ("%-5d|", 42, "42   |"),
            ("%05d|", -3_i64 as u64, "-0003|"),
            ("%c%%", 65, "A%"),
            ("%s", 9, "<9>"),
        ] {
            assert_eq!(shown(text, &[argument]), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_the_kernel_refuses_is_refused() {
        for text in ["%", "%f", "%llld", "%5", "%d %d", "\u{7f}", "\u{1}", "%lc"] {
            assert_eq!(shown(text, &[1]), Err(EINVAL), "{text:?}");
        }
    }
}
