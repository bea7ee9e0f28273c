// SPDX-License-Identifier: GPL-2.0-or-later
//! The oracle of the decoders' target: nothing panics on any bytes, and what is accepted comes back the same.

use std::fmt::Write;

use kop_emulators::inspect;
use kop_ops::ebpf::{self, Insn};
use kop_ops::{Arch, Catalog};

use crate::case::Case;
use crate::generate::ByteChoices;

/// eBPF instructions that are made from the bytes of one input, and encoded.
const MADE: usize = 4;

/// Gives bytes to every decoder and parser.
///
/// # Panics
/// When one of them panics, or when what it accepts does not come back the same.
pub(super) fn check(catalog: &Catalog, bytes: &[u8]) {
    check_program(bytes);
    check_insns(bytes);
    for arch in Arch::ALL {
        check_native(arch, bytes);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        check_text(catalog, text);
    }
}

/// Accepted bytes are what the instructions encode to, and the printed program parses to the same instructions.
fn check_program(bytes: &[u8]) {
    let Ok(program) = ebpf::decode_program(bytes) else { return };
    assert_eq!(ebpf::encode_program(&program), bytes, "decoded and encoded again");
    check_printed(&program);
}

fn check_printed(program: &[Insn]) {
    let text = listing(program);
    match ebpf::parse_program(&text) {
        Ok(parsed) => assert_eq!(parsed, program, "printed and parsed again:\n{text}"),
        Err(error) => panic!("what is printed does not parse: {error}\n{text}"),
    }
}

fn listing(program: &[Insn]) -> String {
    program.iter().map(|insn| format!("{insn}\n")).collect()
}

/// Well-formed instructions come back from their encoding and from their text.
fn check_insns(bytes: &[u8]) {
    let mut choices = ByteChoices::new(bytes);
    for _ in 0..MADE {
        let insn = ebpf::forms::random(&mut choices);
        let slots = insn.encode();
        assert_eq!(ebpf::decode(&slots), Ok((insn, insn.slots())), "{insn}: {:016x?}", &slots[..]);
        check_printed(&[insn]);
    }
}

/// The listing is of all bytes, in order, whether or not they break a rule.
fn check_native(arch: Arch, bytes: &[u8]) {
    // A profile or a breach: both are fine.
    let _ = inspect::inspect(arch, bytes);
    let lines = inspect::listing(arch, bytes);
    let listed: Vec<u8> = lines.iter().flat_map(|line| line.bytes.iter().copied()).collect();
    assert_eq!(listed, bytes, "the {arch} listing leaves out bytes or repeats some");
}

/// A parsed case or program prints as one that parses to the same.
fn check_text(catalog: &Catalog, text: &str) {
    if let Ok(case) = Case::parse(text, catalog) {
        let printed = case.to_string();
        match Case::parse(&printed, catalog) {
            Ok(again) => assert!(again == case, "the case changed, printed it is\n{printed}"),
            Err(error) => panic!("the printed case does not parse: {error}\n{printed}"),
        }
    }
    if let Ok(program) = ebpf::parse_program(text) {
        check_program(&ebpf::encode_program(&program));
        check_printed(&program);
    }
}

/// What the decoders make of bytes.
pub(super) fn show(bytes: &[u8]) -> String {
    let mut text = String::new();
    match ebpf::decode_program(bytes) {
        Ok(program) => {
            let _ = write!(text, "eBPF\n{}", listing(&program));
        }
        Err(error) => {
            let _ = writeln!(text, "no eBPF: {error}");
        }
    }
    for arch in Arch::ALL {
        let _ = writeln!(text, "{arch}");
        for line in inspect::listing(arch, bytes) {
            let _ =
                writeln!(text, "{:>5}: {:<30} {}", line.offset, crate::subject::hex(&line.bytes), line.text);
        }
    }
    if let Ok(as_text) = std::str::from_utf8(bytes) {
        let _ = writeln!(text, "text\n{as_text}");
    }
    text
}
