// SPDX-License-Identifier: GPL-2.0-or-later
//! Instructions to compare: a few of every shape that the semantics cover. A shape is an operation with the kinds of its operands;
//! registers and numbers make no other one.

use std::collections::{BTreeMap, BTreeSet};

use kop_ops::Arch;
use kop_ops::choices::{Choices, Seeded};
use kop_ops::{aarch64, x86_64};
use kop_semantics::x86_64 as x86_64_semantics;

use crate::ours::{Decoded, decode};

/// An instruction that the semantics cover.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// As the semantics have it.
    pub insn: Decoded,
    /// Its shape.
    pub shape: String,
}

/// An encoding, and how many different registers it names.
type Encoding = (Vec<u8>, usize);

/// The samples of an architecture, by shape, in a fixed order; `words` gives AArch64 words in addition to what our assembler makes.
pub fn samples(arch: Arch, words: impl IntoIterator<Item = u32>) -> Vec<Sample> {
    let mut shapes: BTreeMap<String, Vec<Encoding>> = BTreeMap::new();
    let encodings = match arch {
        Arch::X86_64 => x86_64_encodings(),
        Arch::Aarch64 => aarch64_encodings(words),
    };
    for bytes in encodings {
        let Ok(insn) = decode(arch, &bytes) else { continue };
        let text = insn.text();
        let narrow = arch == Arch::X86_64 && bytes[0] == ADDRESS_SIZE;
        if !narrow || keeps_addresses(&text) && text.contains("narrow: true") {
            let registers = registers(arch, &text);
            shapes.entry(shape(arch, &text)).or_default().push((bytes, registers));
        }
    }
    let samples = shapes.into_iter().flat_map(|(shape, encodings)| {
        chosen(encodings).into_iter().map(move |bytes| {
            let insn = decode(arch, &bytes).expect("it was decoded before");
            Sample { bytes, insn, shape: shape.clone() }
        })
    });
    samples.collect()
}

/// Up to three encodings of one shape: the last one in order, the one in the middle, and one that names the fewest registers.
fn chosen(mut all: Vec<Encoding>) -> Vec<Vec<u8>> {
    all.sort_unstable();
    all.dedup();
    let fewest = all.iter().min_by_key(|(_, registers)| *registers);
    let mut chosen: Vec<&Encoding> =
        all.get(all.len() / 2).into_iter().chain(all.last()).chain(fewest).collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen.into_iter().map(|(bytes, _)| bytes.clone()).collect()
}

/// How many different registers the text of an instruction names.
fn registers(arch: Arch, text: &str) -> usize {
    words_of(text).filter(|word| is_register(arch, word)).collect::<BTreeSet<_>>().len()
}

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// The registers of x86-64 that have no number.
const X86_64_NAMES: [&str; 8] = ["Rax", "Rcx", "Rdx", "Rbx", "Rsp", "Rbp", "Rsi", "Rdi"];

/// Whether a word is the name of a register as the semantics print it.
fn is_register(arch: Arch, word: &str) -> bool {
    let numbered = |prefix: &str| {
        word.strip_prefix(prefix)
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    match arch {
        Arch::X86_64 => numbered("R") || X86_64_NAMES.contains(&word),
        Arch::Aarch64 => numbered("X") || numbered("V") || matches!(word, "Sp" | "Zr"),
    }
}

/// Whether the parts of addresses are parts of the shape: in moves all kinds of addresses are compared, in other instructions no
/// addresses of 32 bits, which SLEIGH has wrong.
fn keeps_addresses(text: &str) -> bool {
    text.starts_with("Move {") || text.starts_with("Lea")
}

/// The prefix that makes addresses 32 bits wide.
const ADDRESS_SIZE: u8 = 0x67;

/// The text of an operation without the names of registers, numbers and, but for moves, the parts of addresses.
fn shape(arch: Arch, text: &str) -> String {
    let text = if keeps_addresses(text) { text.to_owned() } else { without_addresses(text) };
    let mut shape = String::new();
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        if c.is_alphanumeric() {
            word.push(c);
            continue;
        }
        let number = word.starts_with(|c: char| c.is_ascii_digit());
        shape.push_str(if is_register(arch, &word) {
            "R"
        } else if number {
            "#"
        } else {
            &word
        });
        shape.push(c);
        word.clear();
    }
    shape.replace('-', "").trim_end().to_owned()
}

/// The text with `Mem { .. }` for every memory operand.
fn without_addresses(text: &str) -> String {
    let mut parts = text.split("Mem { ");
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find('}').map_or(part.len(), |end| end + 1);
        short.push_str("Mem");
        short.push_str(&part[end..]);
    }
    short
}

/// What our assembler makes, and bytes in the space of opcodes.
fn x86_64_encodings() -> Vec<Vec<u8>> {
    let forms = x86_64::forms::samples();
    let mut encodings: Vec<Vec<u8>> =
        forms.iter().map(|insn| insn.encode().expect("samples have encodings").to_vec()).collect();
    encodings.extend(opcodes(&mut Seeded::new(0)));
    encodings
}

/// What our assembler makes, and the words that the semantics cover besides.
fn aarch64_encodings(words: impl IntoIterator<Item = u32>) -> Vec<Vec<u8>> {
    let forms = aarch64::forms::samples();
    let ours = forms.iter().map(|insn| insn.encode().expect("samples have encodings"));
    ours.chain(words).map(|word| word.to_le_bytes().to_vec()).collect()
}

/// Bytes for each opcode of each map, with each middle field of the ModRM byte, with random registers, addresses and immediates.
fn opcodes(choices: &mut Seeded) -> Vec<Vec<u8>> {
    let escapes: [&[u8]; 4] = [&[], &[0x0f], &[0x0f, 0x38], &[0x0f, 0x3a]];
    let prefixes: [&[u8]; 6] = [&[], &[0x66], &[0xf2], &[0xf3], &[0xf0], &[0x67]];
    let mut found = Vec::new();
    let is_prefix = |byte: &u8| matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3);
    for opcode in 0..=0xffu8 {
        // Memory without a displacement, and registers; the forms have the other addresses.
        for modrm in [0x00, 0xc0].into_iter().flat_map(|kind| (0..8u8).map(move |middle| kind | middle << 3))
        {
            for wide in [false, true] {
                for prefix in prefixes {
                    for escape in escapes {
                        if escape.is_empty() && is_prefix(&opcode) {
                            continue;
                        }
                        found.extend(instruction(&legacy(choices, (prefix, escape), opcode, modrm, wide)));
                    }
                }
                for map in 1..4 {
                    for last in 0..8 {
                        found.extend(instruction(&vex(choices, (map, last), opcode, modrm, wide)));
                    }
                }
            }
        }
    }
    found
}

/// The first instruction of these bytes, if the semantics cover it.
fn instruction(bytes: &[u8]) -> Option<Vec<u8>> {
    let covered = match x86_64_semantics::decode(bytes) {
        Ok(_) => bytes,
        Err(unsupported) => &bytes[..unsupported.offset],
    };
    let first = *x86_64_semantics::decode(covered).ok()?.first()?;
    Some(bytes[..first.len].to_vec())
}

fn legacy(
    choices: &mut Seeded,
    (prefix, escape): (&[u8], &[u8]),
    opcode: u8,
    modrm: u8,
    wide: bool,
) -> Vec<u8> {
    let mut bytes = prefix.to_vec();
    if wide || choices.one_in(2) {
        bytes.push(0x40 | u8::from(wide) << 3 | choices.below(8) as u8);
    }
    bytes.extend(escape);
    bytes.extend([opcode, modrm | choices.below(8) as u8]);
    bytes.extend(choices.bits().to_le_bytes());
    bytes
}

fn vex(choices: &mut Seeded, (map, last): (u8, u8), opcode: u8, modrm: u8, wide: bool) -> Vec<u8> {
    let inverted = choices.below(8) as u8;
    let second = choices.below(16) as u8;
    let mut bytes = vec![0xc4, inverted << 5 | map, u8::from(wide) << 7 | second << 3 | last];
    bytes.extend([opcode, modrm | choices.below(8) as u8]);
    bytes.extend(choices.bits().to_le_bytes());
    bytes
}
