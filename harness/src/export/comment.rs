// SPDX-License-Identifier: GPL-2.0-or-later
//! What a template's instruction says, in terms of the operands: the comment beside it.

use std::collections::BTreeMap;

use super::fit::{Example, Fitter};
use super::text::{Token, masked, tokens};
use super::value::Sum;

/// The disassembly that most examples share, with the operands' names where they depend on operands.
pub fn comment(fitter: &Fitter, examples: &[Example]) -> String {
    let mut kinds: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let taken: Vec<Vec<Token>> = examples.iter().map(|(_, item)| tokens(fitter.target, &item.text)).collect();
    for (example, tokens) in taken.iter().enumerate() {
        kinds.entry(masked(tokens)).or_default().push(example);
    }
    let Some(chosen) = kinds.into_values().max_by_key(Vec::len) else { return String::new() };
    let mut text = String::new();
    for (place, token) in taken[chosen[0]].iter().enumerate() {
        let shown: Vec<(usize, &Token)> =
            chosen.iter().map(|&example| (example, &taken[example][place])).collect();
        match token {
            Token::Plain(plain) => text += plain,
            Token::Register(_, bits) => text += &register(fitter, examples, &shown, *bits),
            Token::Number(_) => push_number(&mut text, &number(fitter, examples, &shown)),
        }
    }
    text
}

/// The operand that a register is in all examples, with its size where that is not 64.
fn register(fitter: &Fitter, examples: &[Example], shown: &[(usize, &Token)], bits: u32) -> String {
    let size = if bits == 64 { String::new() } else { bits.to_string() };
    let is = |field: usize| {
        shown.iter().all(|(example, token)| {
            let number = fitter.target.number(examples[*example].0.value(field));
            matches!(token, Token::Register(own, _) if *own == number)
        })
    };
    let constant = shown.iter().all(|(_, token)| *token == shown[0].1);
    let field = (0..fitter.fields.len()).find(|&field| fitter.fields[field].is_register() && is(field));
    match (field, shown[0].1) {
        (_, Token::Register(number, _)) if constant => native_name(fitter, *number, bits),
        (Some(field), _) => format!("{}{size}", fitter.fields[field].name),
        _ => "...".to_owned(),
    }
}

fn native_name(fitter: &Fitter, number: u64, bits: u32) -> String {
    use super::target::Target;
    use kop_ops::{Arch, x86_64};
    match fitter.target {
        Target::Proof => format!("{}{number}", if bits == 64 { 'r' } else { 'w' }),
        Target::Native(Arch::Aarch64) => format!("{}{number}", if bits == 64 { 'x' } else { 'w' }),
        Target::Native(Arch::X86_64) => {
            let gpr = x86_64::Gpr::from_code(number as u8).expect("a token is a register");
            gpr.name(x86_64::Size::from_bytes(bits / 8).expect("a token has a size")).to_owned()
        }
    }
}

fn number(fitter: &Fitter, examples: &[Example], shown: &[(usize, &Token)]) -> String {
    let value = |token: &Token| if let Token::Number(number) = token { *number } else { 0 };
    if shown.iter().all(|(_, token)| *token == shown[0].1) {
        let constant = value(shown[0].1);
        let is_mask = constant.unsigned_abs() > 0xffff;
        return if is_mask { format!("{constant:#x}") } else { constant.to_string() };
    }
    let immediates: Vec<usize> =
        (0..fitter.fields.len()).filter(|&field| !fitter.fields[field].is_register()).collect();
    for sum in Sum::candidates(&immediates) {
        let add =
            |(example, token): &(usize, &Token)| value(token).wrapping_sub(sum.at(examples[*example].0));
        if shown.iter().all(|one| add(one) == add(&shown[0])) {
            return sum.text(fitter.fields, add(&shown[0]), |field| field.name.to_string());
        }
    }
    "...".to_owned()
}

/// Adds a number; `+ -8` becomes `- 8`, and an address with `+ 0` loses it.
fn push_number(text: &mut String, number: &str) {
    match number.strip_prefix('-') {
        Some(magnitude) if text.ends_with(" + ") => {
            text.truncate(text.len() - 2);
            *text += &format!("- {magnitude}");
        }
        _ if text.ends_with(" + ") && number == "0" => text.truncate(text.len() - 3),
        _ => *text += number,
    }
}
