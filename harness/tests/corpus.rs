// SPDX-License-Identifier: GPL-2.0-or-later
//! Every program of `corpus/programs` does what its `.expect` file says, on every engine for programs and from both back ends,
//! guarded and not.

use std::path::{Path, PathBuf};
use std::process::Command;

use kop_emulators::engines::host_features;
use kop_emulators::program::{Job, PROGRAM_ENGINES, ProgramEngine, Runs};
use kop_jit::load::{LoadOptions, load};
use kop_ops::program::MapAddresses;
use kop_ops::state::Slot;
use kop_ops::{Arch, Catalog, Code, Features, Object};
use kop_semantics::world::Input;
use kop_semantics::{Run, World};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Far more than any of them runs.
const FUEL: u64 = 1 << 20;

/// What an engine does not admit: its name, the program (`*` is every one) and a part of the reason. The kernel runs these
/// as well, with results that depend on the machine; rbpf is sound for raw programs alone.
const NOT_ADMITTED: &[(&str, &str, &str)] = &[
    ("rbpf", "*", "checks only the first byte of an access"),
    ("kernel", "tc_flow_counter", "can make the kernel drop any element of an LRU map"),
    ("kernel", "xdp_rate_limit", "gives another result in each run"),
    ("kernel", "xdp_router", "refers to what this machine may not have"),
];

struct Sample {
    name: String,
    object: Object,
    entry: usize,
    input: Input,
    result: u32,
    packet: Vec<u8>,
    after: Vec<(String, Vec<u8>, Vec<u8>)>,
}

fn folder() -> PathBuf {
    Path::new(ROOT).join("corpus/programs")
}

/// Compiles the programs and returns where they are.
fn objects() -> PathBuf {
    let made =
        Command::new("make").args(["--silent", "programs"]).current_dir(ROOT).output().expect("make runs");
    assert!(made.status.success(), "make programs: {}", String::from_utf8_lossy(&made.stderr));
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or(Path::new(ROOT).join("target"), PathBuf::from)
        .join("programs")
}

fn samples() -> Vec<Sample> {
    let objects = objects();
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .expect("the corpus is there")
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".c")?.to_owned()))
        .collect();
    names.sort();
    names.iter().map(|name| Sample::new(name, &objects)).collect()
}

fn bytes(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal"))
        .collect()
}

impl Sample {
    fn new(name: &str, objects: &Path) -> Self {
        let elf = std::fs::read(objects.join(format!("{name}.o"))).expect("it was compiled");
        let object = load(&elf, &LoadOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let program = |name: &str| object.programs.iter().position(|program| program.name == name);
        let map = |map: &str| {
            let found = object.maps.iter().position(|spec| spec.name == map || spec.name.ends_with(map));
            found.unwrap_or_else(|| panic!("{name}: no map {map}"))
        };
        let packet = std::fs::read(folder().join(format!("{name}.bin"))).expect("it has a packet");
        let mut input = Input { packet: packet.clone(), fill: 7, ..Input::default() };
        let mut maps = object.maps.to_vec();
        let mut sample = Self {
            name: name.to_owned(),
            entry: program(name).expect("a program of the file's name"),
            input: Input::default(),
            result: u32::MAX,
            packet,
            after: Vec::new(),
            object: object.clone(),
        };
        let text = std::fs::read_to_string(folder().join(format!("{name}.expect"))).expect("an expectation");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["before", to, key, value] => match value.strip_prefix('@') {
                    Some(target) => {
                        let target = program(target).expect("a program") as u32;
                        maps[map(to)].initial.push((bytes(key), target.to_le_bytes().to_vec()));
                    }
                    None => input.maps.push((map(to), bytes(key), bytes(value))),
                },
                ["result", number] => sample.result = number.parse().expect("a number"),
                ["packet", hex] => sample.packet = bytes(hex),
                ["after", from, key, value] => {
                    sample.after.push((object.maps[map(from)].name.clone(), bytes(key), bytes(value)));
                }
                _ => panic!("{name}.expect: `{line}`"),
            }
        }
        sample.input = input;
        sample.object.maps = maps.into();
        sample
    }

    fn codes(&self, arch: Arch, features: Features, guarded: bool) -> Vec<Code> {
        let catalog = Catalog::einsn();
        let addresses = MapAddresses::new(&self.object.maps, Slot::default()).expect("the maps fit");
        let options = kop_jit::Options {
            arch,
            features,
            guarded,
            observe: false,
            catalog: &catalog,
            operations: &self.object.operations,
            emits: true,
            addresses: &addresses,
        };
        let compile = |program| kop_jit::compile(program, &options);
        let codes: Result<_, _> = self.object.programs.iter().map(compile).collect();
        codes.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Runs it; what is not as expected, or why the engine does not run it.
    fn run(&self, engine: &mut dyn ProgramEngine, codes: &[Code]) -> Result<Option<String>, String> {
        let (world, image) =
            World::new(&self.object, self.entry, Slot::default(), &self.input).expect("a world");
        let registers = world.registers();
        let run = Run {
            object: &self.object,
            entry: self.entry,
            world: &world,
            image: &image,
            registers: &registers,
            fuel: FUEL,
        };
        let job = Job { run, codes };
        engine.admits(&job)?;
        let outcome = engine.run(&job);
        let Some(contents) = outcome.contents() else { return Ok(Some(format!("{:?}", outcome.end))) };
        if contents.r0 as u32 != self.result {
            return Ok(Some(format!("returns {}, not {}", contents.r0 as u32, self.result)));
        }
        if contents.data != self.packet {
            return Ok(Some(format!("leaves the packet {:02x?}, not {:02x?}", contents.data, self.packet)));
        }
        let wrong = self.after.iter().find(|(name, key, value)| {
            let map = contents.maps.iter().find(|map| map.name == *name);
            !map.is_some_and(|map| map.entries.contains(&(key.clone(), value.clone())))
        });
        Ok(wrong.map(|(name, key, value)| format!("map {name} does not hold {key:02x?}: {value:02x?}")))
    }
}

#[test]
fn expectations_are_what_the_script_writes() {
    let script = folder().join("expect.py");
    let checked = Command::new("python3").arg(script).arg("--check").output().expect("python3 runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn every_program_does_what_is_expected_on_every_engine() {
    let samples = samples();
    assert!(samples.len() >= 37, "only {} programs", samples.len());
    let mut wrong = Vec::new();
    let mut refused = Vec::new();
    for kind in PROGRAM_ENGINES {
        let mut engine = match kind.make() {
            Ok(engine) => engine,
            Err(reason) => {
                eprintln!("{} is skipped: {reason}", kind.name);
                continue;
            }
        };
        for sample in &samples {
            let codes = match kind.runs {
                Runs::Ebpf => vec![Vec::new()],
                Runs::Code(arch) => {
                    let features = if kind.name == "host" { host_features() } else { Features::NONE };
                    [false, true].map(|guarded| sample.codes(arch, features, guarded)).to_vec()
                }
            };
            for codes in codes {
                let guarded = codes.first().is_some_and(|code| code.guarded);
                match sample.run(&mut *engine, &codes) {
                    Ok(None) => {}
                    Ok(Some(what)) => {
                        wrong.push(format!("{} on {} (guarded: {guarded}) {what}", sample.name, kind.name));
                    }
                    Err(reason) => refused.push((kind.name, sample.name.as_str(), reason)),
                }
            }
        }
    }
    for (engine, program, reason) in &refused {
        eprintln!("{engine} does not run {program}: {reason}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let known = |(engine, program, reason): &(&str, &str, String)| {
        NOT_ADMITTED
            .iter()
            .any(|&(e, p, part)| *engine == e && [program, "*"].contains(&p) && reason.contains(part))
    };
    let unknown: Vec<_> = refused.iter().filter(|refusal| !known(refusal)).collect();
    assert!(unknown.is_empty(), "not admitted: {unknown:?}");
}
