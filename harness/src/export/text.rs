// SPDX-License-Identifier: GPL-2.0-or-later
//! Disassemblies taken apart: which words are registers that hold eBPF registers, which are numbers.

use std::collections::HashMap;
use std::sync::LazyLock;

use kop_ops::ebpf::Reg;
use kop_ops::{Arch, registers, x86_64};

use super::target::Target;

/// A piece of a disassembly.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Token {
    /// Text as it is, registers without an eBPF register included.
    Plain(String),
    /// A register that holds an eBPF register: its number in the encoding, its size in bits.
    Register(u64, u32),
    /// A number.
    Number(i64),
}

/// The names of registers that hold eBPF registers: number and size.
type Names = HashMap<String, (u64, u32)>;

static X86_64: LazyLock<Names> = LazyLock::new(|| {
    let names = registers::X86_64.into_iter().flat_map(|gpr| {
        x86_64::Size::ALL.map(|size| (gpr.name(size).to_owned(), (gpr.code().into(), size.bits())))
    });
    names.collect()
});

static AARCH64: LazyLock<Names> = LazyLock::new(|| {
    let names = registers::AARCH64.into_iter().flat_map(|gpr| {
        let number = gpr.number();
        [('x', 64), ('w', 32)].map(|(letter, bits)| (format!("{letter}{number}"), (number.into(), bits)))
    });
    names.collect()
});

static EBPF: LazyLock<Names> = LazyLock::new(|| {
    let names = Reg::ALL.into_iter().flat_map(|reg| {
        let number = reg.index();
        [('r', 64), ('w', 32)].map(|(letter, bits)| (format!("{letter}{number}"), (number as u64, bits)))
    });
    names.collect()
});

/// Takes a disassembly apart.
pub fn tokens(target: Target, text: &str) -> Vec<Token> {
    let names = match target {
        Target::Proof => &EBPF,
        Target::Native(Arch::X86_64) => &X86_64,
        Target::Native(Arch::Aarch64) => &AARCH64,
    };
    let text = with_displacement(target, text);
    let mut tokens = Vec::new();
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = match is_word(first) {
            true => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        let (word, after) = rest.split_at(end);
        rest = after;
        if let Some(&(number, bits)) = names.get(word) {
            tokens.push(Token::Plain(std::mem::take(&mut plain)));
            tokens.push(Token::Register(number, bits));
        } else if let Some(number) = number(word) {
            let negative = take_sign(&mut plain);
            tokens.push(Token::Plain(std::mem::take(&mut plain)));
            tokens.push(Token::Number(if negative { number.wrapping_neg() } else { number }));
        } else {
            plain += word;
        }
    }
    tokens.push(Token::Plain(plain));
    tokens
}

/// The disassembly without its operands: what instructions of one kind have in common.
pub fn masked(tokens: &[Token]) -> String {
    let mask = |token: &Token| match token {
        Token::Plain(text) => text.clone(),
        Token::Register(_, bits) => format!("{{r{bits}}}"),
        Token::Number(_) => "{n}".to_owned(),
    };
    tokens.iter().map(mask).collect()
}

/// Makes a displacement of zero visible, so that memory operands look alike.
fn with_displacement(target: Target, text: &str) -> String {
    let (Some(open), Some(close)) = (text.find('['), text.find(']')) else { return text.to_owned() };
    let inside = &text[open + 1..close];
    let zero = match target {
        Target::Native(Arch::X86_64) if !inside.contains([' ', '*']) => " + 0",
        Target::Native(Arch::Aarch64) if !inside.contains(',') => ", #0",
        _ => return text.to_owned(),
    };
    format!("{}{zero}{}", &text[..close], &text[close..])
}

fn number(word: &str) -> Option<i64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(|number| number as i64),
        None => word.parse().ok(),
    }
}

/// Takes a sign off the end of the text before a number; a subtraction becomes an addition.
fn take_sign(plain: &mut String) -> bool {
    if plain.ends_with(" - ") {
        plain.truncate(plain.len() - 2);
        plain.push_str("+ ");
        return true;
    }
    let negative = plain.ends_with('-');
    if negative || (plain.ends_with('+') && !plain.ends_with("++")) {
        plain.pop();
    }
    negative
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_of_a_kind_look_alike() {
        let x86 = Target::Native(Arch::X86_64);
        let arm = Target::Native(Arch::Aarch64);
        let table: [(Target, &[&str], &str); 6] = [
            (x86, &["mov rax, rdi", "mov r14, rbp"], "mov {r64}, {r64}"),
            (x86, &["mov r10, rcx"], "mov r10, {r64}"),
            (
                x86,
                &["mov eax, dword ptr [rbx]", "mov ecx, dword ptr [r13 - 8]"],
                "mov {r32}, dword ptr [{r64} + {n}]",
            ),
            (arm, &["ldr w7, [x0]", "ldr w1, [x25, #-256]"], "ldr {r32}, [{r64}, #{n}]"),
            (arm, &["ldr w7, [x0, x9]"], "ldr {r32}, [{r64}, x9]"),
            (Target::Proof, &["if r1 s> -5 goto +3", "if r2 s> 0x7 goto -1"], "if {r64} s> {n} goto {n}"),
        ];
        for (target, texts, expected) in table {
            for text in texts {
                assert_eq!(masked(&tokens(target, text)), expected, "{text}");
            }
        }
    }

    #[test]
    fn numbers_have_their_signs() {
        let numbers = |target, text| -> Vec<i64> {
            let number = |token: Token| if let Token::Number(n) = token { Some(n) } else { None };
            tokens(target, text).into_iter().filter_map(number).collect()
        };
        assert_eq!(numbers(Target::Native(Arch::X86_64), "mov rax, qword ptr [rbx - 8]"), [-8]);
        assert_eq!(numbers(Target::Native(Arch::Aarch64), "ldur x0, [x1, #-9]"), [-9]);
        assert_eq!(numbers(Target::Proof, "if w1 & 0xff goto +2"), [255, 2]);
        assert_eq!(numbers(Target::Proof, "r1 = *(u64 *)(r2 - 32768)"), [-32768]);
    }
}
