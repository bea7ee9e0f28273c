// SPDX-License-Identifier: GPL-2.0-or-later
//! Files that clang made, text, and files that nobody made.

use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::Insn;
use kop_ops::program::{MAP_INDEX, MAP_VALUE_INDEX};
use kop_ops::{MapKind, MapSpec};

use super::*;

const FEATURES: &[u8] = include_bytes!("features.o");
const PLAIN: &[u8] = include_bytes!("plain.o");

fn loaded(bytes: &[u8]) -> Object {
    load(bytes, &LoadOptions::default()).expect("it loads")
}

fn error(bytes: &[u8]) -> String {
    let catalog = Catalog::einsn();
    let options = LoadOptions { catalog: Some(&catalog), ..LoadOptions::default() };
    let text = load(bytes, &options).expect_err("it does not load").to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

fn map<'o>(object: &'o Object, name: &str) -> &'o MapSpec {
    object.maps.iter().find(|map| map.name == name).expect("the map is there")
}

/// The maps that a program refers to, by the kind of reference and name, with the offset.
fn references(object: &Object, program: usize) -> Vec<(u8, &str, u64)> {
    let insns = object.programs[program].flow.insns().iter();
    let found = insns.filter_map(|insn| match *insn {
        Insn::LoadImm64 { kind, imm, .. } => {
            Some((kind, object.maps[imm as u32 as usize].name.as_str(), imm >> 32))
        }
        _ => None,
    });
    found.collect()
}

#[test]
fn programs_have_their_kinds_and_functions() {
    let object = loaded(FEATURES);
    let mut programs: Vec<_> =
        object.programs.iter().map(|p| (p.name.as_str(), p.kind, p.flow.functions().len())).collect();
    programs.sort();
    let expected =
        [("first", ProgramKind::Xdp, 3), ("other", ProgramKind::Xdp, 2), ("third", ProgramKind::Tc, 2)];
    assert_eq!((programs.as_slice(), object.license.as_str()), (&expected[..], "GPL"));
}

#[test]
fn maps_come_from_btf_and_data_from_sections() {
    let object = loaded(FEATURES);
    let counters = map(&object, "counters");
    assert_eq!(
        (counters.kind, counters.key_size, counters.value_size, counters.max_entries),
        (MapKind::Hash, 4, 24, 16)
    );
    let ring = map(&object, "ring");
    assert_eq!((ring.kind, ring.key_size, ring.value_size, ring.max_entries), (MapKind::RingBuf, 0, 0, 4096));
    let other =
        object.programs.iter().position(|program| program.name == "other").expect("it is there") as u8;
    assert_eq!(map(&object, "jumps").initial, [(vec![1, 0, 0, 0], vec![other, 0, 0, 0])]);
    let data = |name: &str| map(&object, name).initial[0].1.clone();
    assert_eq!(data(".data"), [5, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0]);
    assert_eq!((data(".rodata"), data(".bss")), (vec![7, 0, 0, 0], vec![0; 4]));
    assert_eq!(data(".rodata.str1.1"), b"world\0");
}

#[test]
fn references_are_resolved() {
    let object = loaded(FEATURES);
    let third = object.programs.iter().position(|program| program.name == "third").expect("it is there");
    let mut found = references(&object, third);
    found.sort_unstable();
    let data = |name, offset| (MAP_VALUE_INDEX, name, offset);
    assert_eq!(found, [data(".data", 0), data(".data", 8), data(".rodata", 0)]);
    let first = object.programs.iter().position(|program| program.name == "first").expect("it is there");
    let maps: Vec<_> = references(&object, first).into_iter().filter(|found| found.0 == MAP_INDEX).collect();
    assert_eq!(maps, [(MAP_INDEX, "counters", 0), (MAP_INDEX, "jumps", 0)]);
}

#[test]
fn plain_declarations_are_read() {
    let object = loaded(PLAIN);
    let [first, second] = [map(&object, "first"), map(&object, "second")];
    assert_eq!((first.kind, first.max_entries), (MapKind::Array, 3));
    assert_eq!((second.kind, second.key_size, second.max_entries, second.flags), (MapKind::Hash, 8, 30, 1));
    assert_eq!(object.programs[0].kind, ProgramKind::Tc);
    let maps: Vec<_> = references(&object, 0).iter().map(|found| found.1).collect();
    assert_eq!(maps, ["second", "first"]);
}

#[test]
fn the_kind_can_be_said() {
    let options = LoadOptions { kind: Some(ProgramKind::Raw), ..LoadOptions::default() };
    let object = load(FEATURES, &options).expect("it loads");
    assert!(object.programs.iter().all(|program| program.kind == ProgramKind::Raw));
}

#[test]
fn raw_bytecode_is_one_program() {
    let object = loaded(&[0xb7, 0, 0, 0, 7, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(object.programs[0].flow.insns(), [Insn::mov64(kop_ops::ebpf::Reg::R0, 7), Insn::Exit]);
    assert_eq!(error(&[0xb7, 0, 0]), "program `main`: slot 0: 3 bytes left, a slot has 8");
    assert_eq!(error(&[]), "program `main`: the program is empty");
    assert!(error(&[0xff; 8]).contains("unknown opcode 0xff"));
}

const TEXT: &str = "
    ; a map that counts, and a program that jumps to another
    .map counters array 4 8 16
    .map jumps prog_array 4 4 2
    .init counters 03000000 0900000000000000
    .init jumps 01000000 second
    .license GPL
    .program first xdp
        r6 = r1
        r2 = map_by_idx(jumps) ll
        r3 = 1
        call 12
        sidecar 0x8210
        call kop rotate.imm64
        sidecar 0x8210
        call kop rotate.imm64 slot 3
        exit
    .program second xdp
        r1 = map_val_by_idx(counters, 24) ll
        r0 = *(u64 *)(r1 +0)
        exit
";

#[test]
fn text_names_programs_maps_and_operations() {
    let object = loaded(TEXT.as_bytes());
    let names: Vec<_> = object.programs.iter().map(|program| (program.name.as_str(), program.kind)).collect();
    assert_eq!(names, [("first", ProgramKind::Xdp), ("second", ProgramKind::Xdp)]);
    assert_eq!(references(&object, 0), [(MAP_INDEX, "jumps", 0)]);
    assert_eq!(references(&object, 1), [(MAP_VALUE_INDEX, "counters", 24)]);
    assert_eq!(object.maps[1].initial, [(vec![1, 0, 0, 0], vec![1, 0, 0, 0])]);
    assert_eq!(object.operations.len(), 1);
    assert_eq!((object.operations[0].kop.as_str(), object.license.as_str()), ("rotate", "GPL"));
    let calls = object.programs[0].flow.insns().iter().filter(|insn| matches!(insn, Insn::Sidecar { .. }));
    assert_eq!(calls.count(), 2);
}

#[test]
fn text_without_directives_is_a_raw_program() {
    let object = loaded(b"// nothing\nr0 = 1\nexit\n");
    assert_eq!((object.programs[0].name.as_str(), object.programs[0].kind), ("main", ProgramKind::Raw));
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (text, expected) in [
        ("r0 = 1\nr0 = r77\nexit", "line 2, column 6:"),
        (".program p xdp\nexit\n.program q\nr1 = r2 r3\nexit", "line 4, column"),
        (".map m array 4 8\nexit", "line 1: .map takes name, kind, bytes of a key"),
        (".map m stack 4 8 1\nexit", "line 1: `stack` is no kind of map: hash, array"),
        (".map m array 4 8 x\nexit", "line 1: `x` is no number"),
        (".init m 00 00\nexit", "line 1: no map `m` before this line"),
        (".pogram p\nexit", "line 1: no directive `.pogram`"),
        (".program p socket\nexit", "line 1: `socket` is no kind of program"),
        (".map m prog_array 4 4 1\n.init m 00000000 q\nexit", "line 2: no program `q`"),
        (".map m array 4 4 1\n.init m 0000000 00\nexit", "line 2: `0000000` is no sequence of bytes"),
        ("r1 = map_by_idx(m) ll\nexit", "line 1: no map `m` before this line"),
        ("call kop rotate\nexit", "line 1: `rotate`: an operation is called as"),
        ("r0 = 1", "program `main`: instruction 0: execution runs off the end"),
        ("; nothing", "the file holds no program"),
    ] {
        let found = error(text.as_bytes());
        assert!(found.starts_with(expected), "{text}: {found}");
    }
}

#[test]
fn other_elf_files_are_told_apart() {
    let mut other = FEATURES.to_vec();
    other[18] = 62;
    assert!(error(&other).starts_with("an ELF file, but not an object for little-endian eBPF"));
    let mut big = FEATURES.to_vec();
    big[5] = 2;
    assert!(error(&big).starts_with("an ELF file, but not"));
    assert!(error(b"\x7fELF").starts_with("not a sound ELF object"));
    assert!(error(&FEATURES[..FEATURES.len() / 2]).starts_with("not a sound ELF object"));
}

#[test]
fn no_bytes_make_it_panic() {
    let mut choices = Seeded::new(11);
    let mut loads = 0;
    for round in 0..20_000 {
        let seed: &[u8] = if round % 2 == 0 { FEATURES } else { PLAIN };
        let mut bytes = seed.to_vec();
        for _ in 0..=choices.below(4) {
            let at = choices.below(bytes.len() as u64) as usize;
            let value = choices.bits();
            match choices.below(3) {
                0 => bytes[at] = value as u8,
                1 => bytes[at] ^= 1 << (value % 8),
                _ => {
                    let end = (at + 8).min(bytes.len());
                    bytes[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
                }
            }
        }
        loads += u32::from(load(&bytes, &LoadOptions::default()).is_ok());
    }
    assert!((1000..19_000).contains(&loads), "{loads} loads of 20000 tell little");
}
