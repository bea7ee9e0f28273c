// SPDX-License-Identifier: GPL-2.0-or-later
//! Scenarios on `spec`, and what cannot be a scenario because the kernel's answer depends on more than the program.

use kop_ops::ebpf::Insn;
use kop_ops::state::Slot;
use kop_ops::{Flow, Program};

use super::scenarios::{RESULTS, SCENARIOS, Scenario, result};
use super::*;
use crate::run::Run;

fn object(kind: ProgramKind, maps: Vec<MapSpec>) -> kop_ops::Object {
    let flow = Flow::new(vec![Insn::Exit]).expect("a program");
    let program = Program { name: "p".to_owned(), kind, flow };
    kop_ops::Object { programs: vec![program.clone(), program], maps: maps.into(), ..Default::default() }
}

fn map(kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec {
    let flags = u32::from(kind == MapKind::LpmTrie);
    MapSpec { name: "m".to_owned(), kind, key_size, value_size, max_entries, flags, initial: Vec::new() }
}

fn world(kind: ProgramKind, maps: Vec<MapSpec>) -> (World, Image) {
    World::new(&object(kind, maps), 0, Slot::of_batch(5), &Input::default()).expect("it is valid")
}

/// A world with maps and a place on the stack for a key and a value of eight bytes each.
struct Maps(World, Image);

impl Maps {
    fn call(&mut self, id: i32, key: u64, value: u64, flags: u64) -> u64 {
        let stack = self.1.slot.stack();
        self.1.store(stack, 8, key).expect("it is the stack");
        self.1.store(stack + 8, 8, value).expect("it is the stack");
        let arguments = [self.0.addresses.handle(0), stack, stack + 8, flags, 0];
        match self.0.call(&mut self.1, id, arguments) {
            Ok(Reply::Return(value)) => value,
            other => panic!("{other:?}"),
        }
    }

    fn value(&mut self, key: u64) -> Option<u64> {
        let address = self.call(1, key, 0, 0);
        (address != 0).then(|| self.1.load(address, 8).expect("lookups give addresses"))
    }
}

fn run(scenario: &Scenario) -> crate::Outcome {
    let object = scenario.object();
    let input = Input { packet: scenario.packet.to_vec(), ..Input::default() };
    let (world, image) = World::new(&object, 0, Slot::of_batch(1), &input).expect("it is valid");
    let registers = world.registers();
    let run =
        Run { object: &object, entry: 0, world: &world, image: &image, registers: &registers, fuel: 100_000 };
    crate::spec::run(&run)
}

#[test]
fn scenarios_end_as_linux_ends_them() {
    for scenario in SCENARIOS {
        let outcome = run(scenario);
        assert_eq!(outcome.end, Ok(result(scenario.kind)), "{}", scenario.name);
        let contents = outcome.world.contents(&outcome.image).expect("maps are in memory");
        let words: Vec<i64> = contents[RESULTS].entries[0]
            .1
            .chunks(8)
            .map(|word| i64::from_le_bytes(word.try_into().expect("eight bytes")))
            .collect();
        for (number, ((step, expected), found)) in scenario.steps.iter().zip(&words).enumerate() {
            assert_eq!(found, expected, "{}: step {number}, {step:?}", scenario.name);
        }
        let packet = outcome.world.packet();
        let bytes = bytes_at(&outcome.image, packet.data, packet.length()).expect("it is in the window");
        assert!(scenario.after.is_empty() || bytes[..] == *scenario.after, "{}: {bytes:x?}", scenario.name);
        helpers::check(&scenario.object()).expect("every helper is there");
    }
}

#[test]
fn lru_forgets_what_was_not_used_for_the_longest_time() {
    let (world, image) = world(ProgramKind::Xdp, vec![map(MapKind::LruHash, 8, 8, 3)]);
    let mut maps = Maps(world, image);
    for key in 1..=3 {
        assert_eq!(maps.call(2, key, key * 10, 0), 0);
    }
    assert_eq!(maps.value(1), Some(10));
    assert_eq!(maps.call(2, 3, 31, 0), 0);
    assert_eq!(maps.call(2, 4, 40, 0), 0);
    let kept: Vec<Option<u64>> = (1..=4).map(|key| maps.value(key)).collect();
    assert_eq!(kept, [Some(10), None, Some(31), Some(40)]);
}

#[test]
fn places_are_reused_and_values_stay_apart() {
    let (world, image) = world(ProgramKind::Xdp, vec![map(MapKind::Hash, 8, 8, 8)]);
    let mut maps = Maps(world, image);
    let mut model = std::collections::BTreeMap::new();
    let mut seed = 9;
    for _ in 0..5000 {
        let (key, value) = (next_random(&mut seed) % 12, next_random(&mut seed));
        if value % 3 == 0 {
            let expected = if model.remove(&key).is_some() { 0 } else { errno::failure(errno::ENOENT) };
            assert_eq!(maps.call(3, key, 0, 0), expected);
        } else if model.len() < 8 || model.contains_key(&key) {
            model.insert(key, value);
            assert_eq!(maps.call(2, key, value, 0), 0);
        } else {
            assert_eq!(maps.call(2, key, value, 0), errno::failure(errno::E2BIG));
        }
        assert_eq!(maps.value(key), model.get(&key).copied());
    }
    let contents = maps.0.contents(&maps.1).expect("maps are in memory").remove(0).entries;
    assert_eq!(contents.len(), model.len());
}

#[test]
fn tries_agree_with_a_search_of_all_prefixes() {
    let (world, image) = world(ProgramKind::Xdp, vec![map(MapKind::LpmTrie, 8, 8, 4096)]);
    let mut maps = Maps(world, image);
    let mut prefixes: Vec<(u64, u32, u64)> = Vec::new();
    let mut seed = 4;
    let covers =
        |length: u64, prefix: u32, address: u32| length == 0 || (prefix ^ address) >> (32 - length) == 0;
    for value in 0..400 {
        let length = next_random(&mut seed) % 33;
        // Few different bits, so that prefixes share beginnings.
        let prefix = (next_random(&mut seed) as u32) & 0xc1c0_0003;
        prefixes.retain(|(other, bits, _)| *other != length || !covers(length, *bits, prefix));
        prefixes.push((length, prefix, value));
        let key = length | u64::from(prefix.swap_bytes()) << 32;
        assert_eq!(maps.call(2, key, value, 0), 0);
    }
    for _ in 0..2000 {
        let address = (next_random(&mut seed) as u32) & 0xc1c0_0003;
        let best =
            prefixes.iter().filter(|(length, bits, _)| covers(*length, *bits, address)).max_by_key(|p| p.0);
        assert_eq!(maps.value(32 | u64::from(address.swap_bytes()) << 32), best.map(|(.., value)| *value));
    }
}

#[test]
fn records_are_events_and_the_ring_fills() {
    let (world, image) = world(ProgramKind::Xdp, vec![map(MapKind::RingBuf, 0, 0, 4096)]);
    let (mut world, mut image) = (world, image);
    let ring = world.addresses.handle(0);
    let mut call = |id, arguments| world.call(&mut image, id, arguments);
    let Ok(Reply::Return(record)) = call(131, [ring, 4072, 0, 0, 0]) else { panic!("there is room") };
    assert_eq!(call(131, [ring, 8, 0, 0, 0]), Ok(Reply::Return(0)), "one byte stays free");
    assert_eq!(call(131, [ring, 1, 0, 0, 0]), Ok(Reply::Return(0)));
    assert_eq!(call(133, [record + 8, 0, 0, 0, 0]), Err(Fault::Helper { id: 133 }));
    assert_eq!(call(132, [record, 0, 0, 0, 0]), Ok(Reply::Return(0)));
    assert_eq!(call(132, [record, 0, 0, 0, 0]), Err(Fault::Helper { id: 132 }));
    assert_eq!(world.events(), [Event::Record { map: 0, data: vec![0; 4072] }]);
    world.deliver(&mut image, &Input::default()).expect("the packet fits");
    assert_eq!(world.events(), []);
    assert!(matches!(world.call(&mut image, 131, [ring, 4072, 0, 0, 0]), Ok(Reply::Return(1..))));
}

#[test]
fn tail_calls_end_after_the_limit() {
    let mut programs = map(MapKind::ProgramArray, 4, 4, 2);
    programs.initial.push((vec![1, 0, 0, 0], vec![1, 0, 0, 0]));
    let (mut world, mut image) = world(ProgramKind::Xdp, vec![programs]);
    let array = world.addresses.handle(0);
    let failed = Ok(Reply::Return(errno::failure(errno::EINVAL)));
    assert_eq!(world.call(&mut image, 12, [0, array, 0, 0, 0]), failed, "the element is empty");
    assert_eq!(world.call(&mut image, 12, [0, array, 2, 0, 0]), failed, "there is no such element");
    for _ in 0..33 {
        assert_eq!(world.call(&mut image, 12, [0, array, 1 << 32 | 1, 0, 0]), Ok(Reply::TailCall(1)));
    }
    assert_eq!(world.call(&mut image, 12, [0, array, 1, 0, 0]), failed);
}

#[test]
fn events_say_what_was_sent() {
    let (mut world, mut image) = world(ProgramKind::Tc, vec![map(MapKind::PerfEventArray, 4, 4, 2)]);
    let (array, data) = (world.addresses.handle(0), image.slot.stack());
    image.write(data, b"%d of %s\n\0").expect("it is the stack");
    image.write(image.slot.stack() + 64, b"ten\0").expect("it is the stack");
    let mut call = |id, arguments| world.call(&mut image, id, arguments);
    assert_eq!(call(6, [data, 10, 7, data + 64, 0]), Ok(Reply::Return(9)));
    assert_eq!(call(6, [data, 9, 7, 0, 0]), Ok(Reply::Return(errno::failure(errno::EINVAL))));
    let current = 0xffff_ffff;
    assert_eq!(call(25, [0, array, 2 << 32 | current, data, 3]), Ok(Reply::Return(0)));
    assert_eq!(call(25, [0, array, 2, data, 3]), Ok(Reply::Return(errno::failure(errno::E2BIG))));
    assert_eq!(call(25, [0, array, 65 << 32, data, 3]), Ok(Reply::Return(errno::failure(errno::EFAULT))));
    let sample = Event::Perf { map: 0, index: 0, data: b"%d \0\0".to_vec() };
    assert_eq!(world.events(), [Event::Trace("7 of ten\n".to_owned()), sample]);
}

#[test]
fn functions_of_other_kinds_of_programs_and_maps_are_faults() {
    let (mut world, mut image) = world(ProgramKind::Tc, vec![map(MapKind::ProgramArray, 4, 4, 2)]);
    let array = world.addresses.handle(0);
    for (id, arguments) in
        [(44, [0; 5]), (1, [array, 0, 0, 0, 0]), (1, [7; 5]), (9999, [0; 5]), (51, [array; 5])]
    {
        assert_eq!(world.call(&mut image, id, arguments), Err(Fault::Helper { id }), "{id}");
    }
    let stray = world.call(&mut image, 28, [0x1000, 8, 0, 0, 0]);
    assert_eq!(stray, Err(Fault::Memory { access: Access::Read, address: Some(0x1000) }));
    let huge = world.call(&mut image, 25, [0; 5]);
    assert_eq!(huge, Err(Fault::Helper { id: 25 }));
}

#[test]
fn contexts_show_the_packet() {
    let (world, image) = world(ProgramKind::Tc, Vec::new());
    let word = |offset| image.load(world.registers()[1] + offset, 4);
    assert_eq!((word(0), word(16), word(40), word(160)), (Ok(64), Ok(0x400), Ok(1), Ok(64)));
    assert_eq!((word(76), word(80)), (Ok(world.packet().data), Ok(world.packet().end)));
    assert_eq!(image.context.len(), 192);
}

#[test]
fn conformance_has_one_function() {
    let input = Input { helpers: HelperSet::Conformance, ..Input::default() };
    let object = object(ProgramKind::Raw, Vec::new());
    let (mut world, mut image) = World::new(&object, 0, Slot::default(), &input).expect("it is valid");
    assert_eq!(world.call(&mut image, 5, [42, 0, 0, 0, 0]), Ok(Reply::Return(42)));
    assert_eq!(world.call(&mut image, 6, [0; 5]), Err(Fault::Helper { id: 6 }));
    assert_eq!(world.registers()[2], 64);
}

#[test]
fn what_cannot_be_set_up_is_told() {
    let packet = |length| Input { packet: vec![0; length], ..Input::default() };
    for (spec, input, expected) in [
        (map(MapKind::Array, 8, 8, 1), Input::default(), "map `m`: the key of an array has 4 bytes"),
        (map(MapKind::RingBuf, 0, 0, 4095), Input::default(), "map `m`: the size of a ring buffer is"),
        (map(MapKind::Hash, 4, 8, 0), Input::default(), "map `m`: max_entries is 0"),
        (map(MapKind::Hash, 4, 1 << 20, 9), Input::default(), "map `m` of 10485760 bytes does not fit"),
        (
            map(MapKind::Hash, 4, 4, 9),
            packet(3521),
            "a packet of 3521 bytes: xdp programs take 14 to 3520 here",
        ),
        (map(MapKind::Hash, 4, 4, 9), packet(13), "a packet of 13 bytes"),
    ] {
        let error = World::new(&object(ProgramKind::Xdp, vec![spec]), 0, Slot::default(), &input);
        let text = error.expect_err("it cannot be").to_string();
        assert!(text.starts_with(expected), "{text}");
    }
    let mut programs = map(MapKind::ProgramArray, 4, 4, 2);
    programs.initial.push((vec![0; 4], vec![2, 0, 0, 0]));
    let error = World::new(&object(ProgramKind::Xdp, vec![programs]), 0, Slot::default(), &Input::default());
    assert_eq!(
        error.expect_err("it cannot be").to_string(),
        "map `m`, entry 0: there is no program 2: the object has 2"
    );
}
