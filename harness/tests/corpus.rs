// SPDX-License-Identifier: GPL-2.0-or-later
//! Every program of `corpus/programs` does what its `.expect` file says, on every engine for programs and from both back ends,
//! guarded and not.

use std::path::{Path, PathBuf};
use std::process::Command;

use kop_emulators::engines::host_features;
use kop_emulators::program::{Job, PROGRAM_ENGINES, ProgramEngine, Runs};
use kop_harness::bench::expectation::Expectation;
use kop_harness::packets;
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
    ("kernel", "l4_balancer", "can make the kernel drop any element of an LRU map"),
    ("kernel", "rate_limiter", "gives another result in each run"),
    ("kernel", "tc_flow_counter", "can make the kernel drop any element of an LRU map"),
    ("kernel", "xdp_rate_limit", "gives another result in each run"),
    ("kernel", "xdp_router", "refers to what this machine may not have"),
];

struct Sample {
    name: String,
    object: Object,
    entry: usize,
    input: Input,
    packets: Vec<Vec<u8>>,
    expectation: Expectation,
}

/// The programs that take one packet each, and the suites of the benchmark.
const FOLDERS: [&str; 3] = ["", "micro", "apps"];

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

fn names(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).expect("the corpus is there");
    let name = |file: std::fs::DirEntry| Some(file.file_name().to_str()?.strip_suffix(".bpf.c")?.to_owned());
    let mut names: Vec<String> = files.filter_map(|file| name(file.ok()?)).collect();
    names.sort();
    names
}

fn samples() -> Vec<Sample> {
    let objects = objects();
    let all = FOLDERS.iter().flat_map(|suite| {
        let (folder, objects) = (folder().join(suite), objects.join(suite));
        names(&folder).into_iter().map(move |name| Sample::new(&name, &folder, &objects))
    });
    all.collect()
}

impl Sample {
    fn new(name: &str, folder: &Path, objects: &Path) -> Self {
        let elf = std::fs::read(objects.join(format!("{name}.o"))).expect("it was compiled");
        let mut object =
            load(&elf, &LoadOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let entry = object.programs.iter().position(|program| program.name == name);
        let text = std::fs::read_to_string(folder.join(format!("{name}.expect"))).expect("an expectation");
        let expectation = Expectation::parse(&text).unwrap_or_else(|error| panic!("{name}.expect: {error}"));
        let file = |suffix: &str| folder.join(format!("{name}.{suffix}"));
        // A capture beside a packet is for the benchmark to rotate.
        let file = if file("bin").exists() { file("bin") } else { file("pcap") };
        let packets = packets::read(file.to_str().expect("text")).expect("packets");
        assert_eq!(packets.len(), expectation.packets.len(), "{name}");
        let mut input = Input { packet: packets[0].clone(), fill: 7, ..Input::default() };
        expectation.prepare(&mut object, &mut input).unwrap_or_else(|error| panic!("{name}.expect: {error}"));
        Self {
            name: name.to_owned(),
            entry: entry.expect("a program of the file's name"),
            object,
            input,
            packets,
            expectation,
        }
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
        let (mut world, mut image) =
            World::new(&self.object, self.entry, Slot::default(), &self.input).expect("a world");
        let mut input = self.input.clone();
        let mut maps = Vec::new();
        for (number, (packet, wanted)) in self.packets.iter().zip(&self.expectation.packets).enumerate() {
            input.packet.clone_from(packet);
            world.deliver(&mut image, &input).expect("a packet that fits");
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
            let Some(contents) = outcome.contents() else {
                return Ok(Some(format!("packet {}: {:?}", number + 1, outcome.end)));
            };
            let sent = wanted.packet.as_ref().unwrap_or(packet);
            if contents.r0 as u32 != wanted.result || contents.data != *sent {
                let (r0, data) = (contents.r0 as u32, &contents.data);
                return Ok(Some(format!(
                    "packet {}: returns {r0}, not {}; leaves {data:02x?}, not {sent:02x?}",
                    number + 1,
                    wanted.result
                )));
            }
            maps = contents.maps;
            (world, image) = (outcome.world, outcome.image);
        }
        Ok(self.expectation.missing(&maps))
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
    assert!(samples.len() >= 80, "only {} programs", samples.len());
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
