// SPDX-License-Identifier: GPL-2.0-or-later
//! Maps, helper functions and contexts: the kernel gives what `spec` gives.

use std::time::Instant;

use kop_ops::{MapKind, MapSpec, Object, Program, ProgramKind};
use kop_semantics::world::Input;
use kop_semantics::world::scenarios::{RESULTS, SCENARIOS};

use super::support::{Pair, parsed, skipped};

/// Scenarios that the engine refuses, and what its reason says.
const REFUSED: [(&str, &str); 1] = [("small answers", "get_hash_recalc")];

#[test]
fn scenarios_end_in_the_kernel_as_on_spec() {
    if skipped() {
        return;
    }
    let mut pair = Pair::new();
    let mut failures = Vec::new();
    for scenario in SCENARIOS {
        let object = scenario.object();
        let input = Input { packet: scenario.packet.to_vec(), ..Input::default() };
        let refused = REFUSED.iter().find(|(name, _)| *name == scenario.name);
        match (pair.compare_with(&object, &input), refused) {
            (Err(reason), Some((name, part))) if reason.contains(part) => println!("{name}: {reason}"),
            (Err(reason), _) => failures.push(format!("{}: {reason}", scenario.name)),
            (Ok(_), Some(_)) => failures.push(format!("{}: it is not refused any more", scenario.name)),
            (Ok(contents), None) => {
                let results = &contents.maps[RESULTS].entries[0].1;
                let results: Vec<i64> = results
                    .chunks_exact(8)
                    .map(|word| i64::from_le_bytes(word.try_into().expect("eight bytes")))
                    .collect();
                let expected: Vec<i64> = scenario.steps.iter().map(|(_, result)| *result).collect();
                assert_eq!(results, expected, "{}", scenario.name);
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A refusal is kept for the next state, and not for another program or another length of data.
#[test]
fn what_was_refused_is_refused_again_and_nothing_else() {
    if skipped() {
        return;
    }
    let mut pair = Pair::new();
    let data = |length: usize| Input { packet: vec![7; length], ..Input::default() };
    let wrong = parsed(ProgramKind::Raw, "r0 = r3\nexit");
    let right = parsed(ProgramKind::Raw, "r0 = *(u8 *)(r1 + 3)\nexit");
    let bounded = parsed(ProgramKind::Raw, "if r2 > 8 goto +2\nr0 = 1\nexit\nr0 = r3\nexit");
    for _ in 0..2 {
        for _ in 0..2 {
            let refused = pair.compare_with(&wrong, &data(8)).map(drop).expect_err("r3 is not set");
            assert!(refused.contains("R3 !read_ok"), "{refused}");
            assert!(pair.compare_with(&bounded, &data(16)).is_err());
            assert_eq!(pair.compare_with(&bounded, &data(8)).map(|contents| contents.r0), Ok(1));
        }
        assert_eq!(pair.compare_with(&right, &data(8)).map(|contents| contents.r0), Ok(7));
    }
}

fn program(kind: ProgramKind, text: &str) -> Program {
    parsed(kind, text).programs.remove(0)
}

fn map(kind: MapKind, value_size: u32, max_entries: u32, initial: &[(u32, &[u8])]) -> MapSpec {
    let initial = initial.iter().map(|(key, value)| (key.to_le_bytes().to_vec(), value.to_vec())).collect();
    MapSpec { name: format!("{kind:?}"), kind, key_size: 4, value_size, max_entries, flags: 0, initial }
}

fn object(programs: Vec<Program>, maps: Vec<MapSpec>) -> Object {
    Object { programs, maps: maps.into(), license: "GPL".to_owned(), ..Object::default() }
}

/// Runs on several packets and fills, and yields the last r0.
fn compare(pair: &mut Pair, object: &Object, input: &Input) -> u64 {
    let mut r0 = 0;
    for seed in 0..4_u8 {
        let packet = (0..100_u8).map(|i| i.wrapping_mul(13).wrapping_add(seed)).collect();
        let contents = pair.compare_with(object, &Input { packet, ..input.clone() });
        r0 = contents.unwrap_or_else(|reason| panic!("{reason}\n{}", super::support::listing(object))).r0;
    }
    r0
}

#[test]
fn tail_calls_reach_other_programs() {
    if skipped() {
        return;
    }
    let caller = "r6 = 5\nr2 = map_by_idx(0) ll\nr3 = 2\ncall 12\nr0 = 1\nexit";
    let callee = |data: i16, end: i16| {
        format!("r0 = *(u32 *)(r1 + {end})\nr1 = *(u32 *)(r1 + {data})\nr0 -= r1\nr0 *= 7\nexit")
    };
    // It calls itself until the kernel has enough, and counts.
    let again = "r6 = r1\nr7 = map_val_by_idx(1) ll\nr1 = 1\nlock *(u64 *)(r7 + 0) += r1\nr1 = r6\n\
                 r2 = map_by_idx(0) ll\nr3 = 1\ncall 12\nr0 = 3\nexit";
    for (kind, data, end) in [(ProgramKind::Xdp, 0, 4), (ProgramKind::Tc, 76, 80)] {
        let programs = [caller, again, &callee(data, end)].map(|text| program(kind, text)).to_vec();
        let element = |index: u32| (index, index.to_le_bytes());
        let elements = [element(1), element(2)];
        let initial: Vec<(u32, &[u8])> =
            elements.iter().map(|(index, value)| (*index, value.as_slice())).collect();
        let maps = vec![map(MapKind::ProgramArray, 4, 4, &initial), map(MapKind::Array, 8, 1, &[])];
        let mut pair = Pair::new();
        let from_first = object(programs.clone(), maps.clone());
        assert_eq!(compare(&mut pair, &from_first, &Input::default()), 700);
        let mut swapped = programs;
        swapped[0] = swapped[1].clone();
        let contents = pair.compare_with(&object(swapped, maps), &Input::default()).expect("it is admitted");
        assert_eq!((contents.r0, &contents.maps[1].entries[0].1[..]), (3, &34_u64.to_le_bytes()[..]));
    }
}

#[test]
fn packets_are_read_and_written() {
    if skipped() {
        return;
    }
    let mut pair = Pair::new();
    let body = |data: i16, end: i16| {
        format!(
            "r2 = *(u32 *)(r1 + {data})\nr3 = *(u32 *)(r1 + {end})\nr4 = r2\nr4 += 40\nr0 = 0\nif r4 > r3 goto end\n\
             r0 = *(u64 *)(r2 + 17)\nr5 = *(s8 *)(r2 + 39)\nr0 ^= r5\n*(u64 *)(r2 + 30) = r0\n\
             *(u16 *)(r2 + 3) = 0x1234\nr0 = bswap64 r0\nend: exit"
        )
    };
    for (kind, data, end) in [(ProgramKind::Xdp, 0, 4), (ProgramKind::Tc, 76, 80)] {
        compare(&mut pair, &parsed(kind, &body(data, end)), &Input::default());
    }
    // Metadata in front of the packet, then the packet's end.
    let metadata = "r6 = r1\nr2 = -8\ncall 54\nr1 = r6\nr2 = -7\ncall 65\nr2 = *(u32 *)(r6 + 8)\n\
                    r3 = *(u32 *)(r6 + 0)\nr4 = r2\nr4 += 8\nr0 = 1\nif r4 > r3 goto end\n\
                    *(u64 *)(r2 + 0) = 0x7654321\nr0 = 2\nend: exit";
    assert_eq!(compare(&mut pair, &parsed(ProgramKind::Xdp, metadata), &Input::default()), 2);
}

#[test]
fn contexts_hold_what_the_kernel_puts_there() {
    if skipped() {
        return;
    }
    let mut pair = Pair::new();
    let sum = |fields: &[i16]| {
        let loads = fields.iter().map(|field| format!("r2 = *(u32 *)(r1 + {field})\nr0 *= 31\nr0 += r2\n"));
        format!("r0 = 0\n{}exit", loads.collect::<String>())
    };
    compare(&mut pair, &parsed(ProgramKind::Xdp, &sum(&[12, 16])), &Input::default());
    let fields = [0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 64, 68, 72, 160, 164, 176];
    let mut input = Input::default();
    let tc = parsed(ProgramKind::Tc, &sum(&fields));
    compare(&mut pair, &tc, &input);
    (input.fields.mark, input.fields.priority, input.fields.cb) = (0x1234_5678, 7, [1, 2, 3, 4, 5]);
    (input.fields.gso_segs, input.fields.gso_size) = (3, 1000);
    compare(&mut pair, &tc, &input);
    let writes = "r2 = 9\n*(u32 *)(r1 + 8) = r2\n*(u32 *)(r1 + 32) = r2\n*(u32 *)(r1 + 52) = r2\n\
                  r0 = *(u32 *)(r1 + 8)\nr3 = *(u32 *)(r1 + 52)\nr0 += r3\nexit";
    assert_eq!(compare(&mut pair, &parsed(ProgramKind::Tc, writes), &input), 18);
}

#[test]
fn short_packets_run_or_are_refused() {
    if skipped() {
        return;
    }
    let mut pair = Pair::new();
    let mut refused = Vec::new();
    for kind in [ProgramKind::Xdp, ProgramKind::Tc] {
        let object = parsed(kind, "r0 = 5\nexit");
        for protocol in [0x0800_u16, 0x86dd, 0x0806, 0x8100, 0x88a8, 0x0004] {
            for length in [14, 15, 17, 18, 33, 34, 53, 54, 60] {
                let mut packet = vec![0x11; length];
                packet[12..14].copy_from_slice(&protocol.to_be_bytes());
                match pair.compare_with(&object, &Input { packet, ..Input::default() }) {
                    Ok(contents) => assert_eq!(contents.r0, 5),
                    Err(_) => refused.push((kind, protocol, length)),
                }
            }
        }
    }
    let short = [14, 15, 17, 18, 33].map(|length| (ProgramKind::Tc, 0x0800, length));
    let shorter = [14, 15, 17, 18, 33, 34, 53].map(|length| (ProgramKind::Tc, 0x86dd, length));
    assert_eq!(refused, [&short[..], &shorter[..]].concat());
}

#[test]
fn what_the_kernel_decides_by_itself_is_refused() {
    if skipped() {
        return;
    }
    let mut pair = Pair::new();
    let update = "*(u64 *)(r10 - 8) = 1\nr1 = map_by_idx(0) ll\nr2 = r10\nr2 += -4\nr3 = r10\nr3 += -8\n\
                  r4 = 0\ncall 2\nr0 = 0\nexit";
    let full: Vec<(u32, &[u8])> = (0..5).map(|key| (key, &[7_u8; 4][..])).collect();
    let device: [(u32, &[u8]); 1] = [(0, &[1, 0, 0, 0])];
    for (text, map, reason) in [
        (update, map(MapKind::LruHash, 4, 4, &[]), "drop any element"),
        (update, map(MapKind::LruHash, 4, 16, &full), "not far from full"),
        ("call 7\nexit", map(MapKind::Array, 4, 1, &[]), "get_prandom_u32"),
        ("r0 = 2\nexit", map(MapKind::DevMap, 4, 1, &device), "may not have"),
        ("r1 = 0\ncallx r1\nexit", map(MapKind::Array, 4, 1, &[]), "by register"),
        ("r0 = r3\nexit", map(MapKind::Array, 4, 1, &[]), "R3 !read_ok"),
    ] {
        let object = object(vec![program(ProgramKind::Xdp, text)], vec![map]);
        let refusal = pair.compare_with(&object, &Input::default()).expect_err(reason);
        assert!(refusal.contains(reason), "{refusal}");
    }
    let processor = parsed(ProgramKind::Tc, "call 8\nexit");
    if let Ok(contents) = pair.compare_with(&processor, &Input::default()) {
        assert_eq!(contents.r0, 0, "it is only admitted where this is the CPU of the run");
    }
    let roomy = object(vec![program(ProgramKind::Xdp, update)], vec![map(MapKind::LruHash, 4, 16, &[])]);
    assert!(pair.compare_with(&roomy, &Input::default()).is_ok());
}

#[test]
fn maps_hold_what_they_are_given() {
    if skipped() {
        return;
    }
    let mut pair = Pair::new();
    // Adds to the value of a key that is there, else inserts it; and reads constants.
    let text = "*(u32 *)(r10 - 4) = 7\nr1 = map_by_idx(0) ll\nr2 = r10\nr2 += -4\ncall 1\nif r0 == 0 goto new\n\
                r1 = *(u64 *)(r0 + 0)\nr1 += 5\n*(u64 *)(r0 + 0) = r1\ngoto end\n\
                new: *(u64 *)(r10 - 16) = 77\nr1 = map_by_idx(0) ll\nr2 = r10\nr2 += -4\nr3 = r10\nr3 += -16\nr4 = 0\n\
                call 2\nend: r1 = map_val_by_idx(1, 4) ll\nr0 = *(u32 *)(r1 + 0)\nexit";
    let mut constants = map(MapKind::Array, 8, 1, &[(0, &[1, 2, 3, 4, 5, 6, 7, 8])]);
    constants.flags = 1 << 7;
    for kind in [MapKind::Hash, MapKind::Array, MapKind::PercpuHash, MapKind::PercpuArray] {
        for value in [None, Some(3_u64)] {
            let bytes = value.map(u64::to_le_bytes);
            let initial: Vec<(u32, &[u8])> = bytes.iter().map(|bytes| (7, bytes.as_slice())).collect();
            let maps = vec![map(kind, 8, 16, &initial), constants.clone()];
            let object = object(vec![program(ProgramKind::Tc, text)], maps);
            compare(&mut pair, &object, &Input::default());
            let key = |key: u32| key.to_le_bytes().to_vec();
            let more = vec![(0, key(7), vec![1; 8]), (0, key(9), vec![2; 8])];
            let r0 = compare(&mut pair, &object, &Input { maps: more, ..Input::default() });
            assert_eq!(r0, 0x0807_0605, "{kind:?}");
        }
    }
}

#[test]
fn programs_run_by_the_thousand() {
    if skipped() {
        return;
    }
    let mut pair = Pair::new();
    let text = "r6 = r1\nr1 = map_by_idx(1) ll\nr2 = r10\nr2 += -4\n*(u32 *)(r10 - 4) = 3\ncall 1\nif r0 == 0 goto end\n\
                r2 = *(u64 *)(r0 + 0)\nr1 = map_val_by_idx(0) ll\n*(u64 *)(r1 + 8) = r2\nend: r0 = 1\nexit";
    let maps = vec![map(MapKind::Array, 80, 1, &[]), map(MapKind::Hash, 8, 16, &[(3, &[9; 8])])];
    let object = object(vec![program(ProgramKind::Xdp, text)], maps.clone());
    let start = Instant::now();
    let runs = 500_u32;
    for _ in 0..runs {
        pair.compare_with(&object, &Input::default()).expect("it is admitted");
    }
    println!("{:.0} runs of one program a second", f64::from(runs) / start.elapsed().as_secs_f64());
    let start = Instant::now();
    for number in 0..runs {
        let text = text.replace("r0 = 1", &format!("r0 = {number}"));
        let object = Object { programs: vec![program(ProgramKind::Xdp, &text)], ..object.clone() };
        pair.compare_with(&object, &Input::default()).expect("it is admitted");
    }
    let rate = f64::from(runs) / start.elapsed().as_secs_f64();
    println!("{rate:.0} programs a second");
    assert!(rate > 50.0, "{rate:.0} programs a second");
}
