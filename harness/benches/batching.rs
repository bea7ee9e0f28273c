// SPDX-License-Identifier: GPL-2.0-or-later
//! What batching is worth: for each engine, states per second of a batch against one entry per state.
//!
//! There are up to three ways to run states one by one, from the quickest to the one that tells most:
//!
//! * `entry`: the driver is assembled and translated once; each state is written, the CPU entered, the result read. Unicorn
//!   is used bare for it, without the time limit of its engine, which costs a thread per entry. Engines for native code only.
//! * `chunk`: a chunk of one batch of one state through [`Engine::run`].
//! * `probe`: [`Engine::probe`], with every access observed where the engine can do so.
//!
//! The ways take turns, a round keeps the quickest of some short samples of each, and what is printed is the median of the
//! rounds' ratios: other work on the machine slows both sides of a ratio alike. That is why this is a plain program and no
//! divan benchmark, which compares nothing.
//! The program fails when an emulated engine wins less than [`WANTED`] times over its quickest way.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use kop_emulators::arena::Region;
use kop_emulators::engine::{Batch, BatchResult, Chunk, Executes, Probe, Program};
use kop_emulators::engines::EngineKind;
use kop_emulators::host::HostMachine;
use kop_emulators::machine::Machine;
use kop_emulators::native::{CHUNKS, Driver, Drivers, LoopBatch, aarch64::Aarch64, x86_64::X86_64};
use kop_harness::generate::{StateClasses, StatePlan};
use kop_harness::rig::{Load, Rig};
use kop_harness::selection::available;
use kop_harness::subject::{Scope, Subject, prepare};
use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::{Reg, RegSet};
use kop_ops::state::{Slot, WINDOW_SIZE};
use kop_ops::{Arch, Catalog, Features, Memory, State};
use unicorn_engine::{Mode, Prot, Unicorn};

/// The states of a batch.
const STATES: usize = 2047;

/// How many times the ways take turns.
const ROUNDS: usize = 21;

/// How many samples of each way a round takes; the quickest counts, which is the one that was disturbed least.
const SAMPLES: usize = 12;

/// How long a sample takes, at least: short, so that some are not interrupted.
const SAMPLE: Duration = Duration::from_millis(1);

/// What batching has to be worth on an emulated CPU.
const WANTED: f64 = 8.0;

/// What is run: operation, form, operands.
const SITES: [(&str, &str, &str); 4] = [
    ("rotate", "reg64", "dst=r3 src=r4 amount=r5 tmp=r2"),
    ("select", "test64", "dst=r0 cond=r1 a=r2 b=r3"),
    ("popcount", "pop64", "dst=r1 src=r2 tmp=r4"),
    ("swapped_load", "be64", "dst=r7 base=r6 off=24"),
];

fn main() -> ExitCode {
    // Cargo passes `--bench` to benchmarks; without it, as under `cargo test --benches`, one short round has to do.
    let rounds = if std::env::args().any(|arg| arg == "--bench") { ROUNDS } else { 1 };
    let catalog = Catalog::einsn();
    let memory = memory();
    let subjects: Vec<Subject> = SITES.iter().map(|site| subject(&catalog, site)).collect();
    let loads: Vec<Load> = subjects.iter().map(|subject| load(subject, memory.slot)).collect();
    let (engines, _) = available();

    println!(
        "batches of {STATES} states, {rounds} rounds; a ratio is the median, its spread the middle half\n"
    );
    let [engine, operation, rate] = ["engine", "operation", "batched, states/s"];
    println!("{engine:15}  {operation:12}  {rate:>17}{:>22}{:>22}{:>22}", "to entry", "to chunk", "to probe");
    let mut lowest: Vec<(&str, f64)> = Vec::new();
    for kind in &engines {
        for load in &loads {
            let Some(program) = program(kind, load.subject) else { continue };
            let mut ways = ways(kind, load, &memory, program);
            let rates = measure(&mut ways, rounds);
            print_row(kind.name, load.subject.kop.name(), &ways, &rates);
            let ratio = ways[1..].iter().zip(&rates[1..]).map(|(_, own)| median(&ratios(&rates[0], own)));
            lowest.push((kind.name, ratio.fold(f64::INFINITY, f64::min)));
        }
    }
    oracle(&engines, &loads, &memory, rounds);

    println!("\nlowest ratio of each engine over its quickest way:");
    let mut poor = false;
    for kind in &engines {
        let own = lowest.iter().filter(|(name, _)| *name == kind.name).map(|&(_, ratio)| ratio);
        let ratio = own.fold(f64::INFINITY, f64::min);
        let emulated = kind.name.starts_with("unicorn");
        poor |= emulated && ratio < WANTED;
        let wanted = if emulated { format!("  (at least {WANTED} is wanted)") } else { String::new() };
        println!("  {:16} {ratio:7.1}{wanted}", kind.name);
    }
    if poor && rounds == ROUNDS { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn memory() -> Memory {
    let mut memory = Memory::zeroed(Slot::default());
    let mut choices = Seeded::new(1);
    memory.window.fill_with(|| choices.bits() as u8);
    memory.stack.fill_with(|| choices.bits() as u8);
    memory
}

fn subject<'a>(catalog: &Catalog<'a>, &(kop, form, operands): &(&str, &str, &str)) -> Subject<'a> {
    let kop = catalog.get(kop).expect("in the catalog");
    let form = kop.forms().iter().find(|own| own.name == form).expect("a form of the operation");
    let assignments = operands.split(' ').filter_map(|text| text.split_once('='));
    let operands = form.layout.parse(assignments).expect("operands that the form admits");
    let prepared = prepare(kop, form, form.layout.pack(&operands), &Scope::default());
    prepared.subject.expect("the proof accepts the payload")
}

/// States without faults: values from the generators, and pointers into the window.
fn load<'a>(subject: &'a Subject<'a>, slot: Slot) -> Load<'a> {
    let mut choices = Seeded::new(2);
    let inputs = subject.named();
    let interesting = subject.kop.interesting_values(subject.form);
    let plan = StatePlan { inputs, memory: &[], interesting, slot };
    let mut states = Vec::new();
    for _ in 0..STATES {
        plan.generate(&mut choices, &mut StateClasses::default(), &mut states);
    }
    for usage in &subject.memory {
        let position = inputs.iter().position(|reg| reg == usage.base).expect("bases are named");
        for state in states.chunks_exact_mut(inputs.len()) {
            let place = choices.below(WINDOW_SIZE as u64 - usage.length());
            state[position] = (slot.window() + place).wrapping_add_signed(-usage.low);
        }
    }
    let background = plan.background(&mut choices);
    Load { subject, inputs, states, background, garbage: choices.bits(), sampled: true }
}

/// What an engine of this kind runs for a subject; `None` when it runs code that the subject has not.
fn program<'a>(kind: &EngineKind, subject: &'a Subject<'a>) -> Option<Program<'a>> {
    let engine = kind.make().expect("an engine that is listed as available");
    match kind.executes {
        Executes::Proof => Some(Program::Proof(&subject.proof)),
        Executes::Model => Some(Program::Model { kop: subject.kop, site: subject.site(Features::NONE) }),
        Executes::Native(arch) => {
            let own = subject.variants.iter().filter(|variant| variant.code.arch == arch);
            own.map(|variant| Program::Native(&variant.code)).find(|program| engine.admits(program).is_ok())
        }
    }
}

/// A way to run the states of a load.
struct Way<'a> {
    name: &'static str,
    /// Runs states `number..number + step` and returns the outputs of the last of them.
    run: Box<dyn FnMut(usize) -> Vec<u64> + 'a>,
    step: usize,
}

/// The batched way first, and every other the engine has. Each has an engine of its own.
fn ways<'a>(kind: &EngineKind, load: &'a Load<'a>, memory: &'a Memory, program: Program<'a>) -> Vec<Way<'a>> {
    let make = || kind.make().expect("an engine that is listed as available");
    let width = load.inputs.len();
    let outputs = load.inputs.minus(load.subject.dead);
    let batch = move |states: &'a [u64]| Batch {
        program,
        inputs: load.inputs,
        outputs,
        states,
        background: &load.background,
        garbage: load.garbage,
    };
    let run = move |mut engine: Box<dyn kop_emulators::Engine>, step: usize| {
        move |number: usize| {
            let states = &load.states[number * width..(number + step) * width];
            let result = engine.run(&Chunk { memory, batches: vec![batch(states)] });
            match result.batches.into_iter().next() {
                Some(BatchResult::Ran { outputs: mut words, faults }) if faults.is_empty() => {
                    words.split_off(words.len() - outputs.len())
                }
                other => panic!("a state without faults ran: {other:?}"),
            }
        }
    };
    let mut prober = make();
    let probe = move |number: usize| {
        let state = state(load, number, memory);
        let observation = prober.probe(&Probe { program, state: &state, garbage: load.garbage });
        assert!(observation.fault.is_none(), "a state without faults ran: {:?}", observation.fault);
        outputs.iter().map(|reg| observation.state.get(reg)).collect()
    };
    let mut ways = vec![Way { name: "batched", run: Box::new(run(make(), STATES)), step: STATES }];
    // The semantics are entered for each state anyway.
    if let Program::Native(code) = program
        && !kind.name.starts_with("semantics")
    {
        let run = entry(kind, &code.bytes, load, outputs, memory);
        ways.push(Way { name: "entry", run, step: 1 });
    }
    ways.push(Way { name: "chunk", run: Box::new(run(make(), 1)), step: 1 });
    ways.push(Way { name: "probe", run: Box::new(probe), step: 1 });
    let last = (ways[0].run)(0);
    for way in &mut ways[1..] {
        assert_eq!((way.run)(STATES - 1), last, "{} and batches disagree on {}", way.name, kind.name);
    }
    ways
}

fn state(load: &Load, number: usize, memory: &Memory) -> State {
    let mut state = State { registers: load.background[0], memory: memory.clone() };
    for (reg, &value) in load.inputs.iter().zip(&load.states[number * load.inputs.len()..]) {
        state.set(reg, value);
    }
    state.set(Reg::R10, memory.slot.stack_end());
    state
}

type Run<'a> = Box<dyn FnMut(usize) -> Vec<u64> + 'a>;

/// The quickest loop with one entry per state: nothing is assembled, translated or cleared between two of them.
fn entry<'a>(kind: &EngineKind, code: &[u8], load: &'a Load, outputs: RegSet, memory: &Memory) -> Run<'a> {
    let batch = LoopBatch {
        code,
        inputs: load.inputs,
        outputs,
        halves: [1, 0],
        background: &load.background,
        garbage: load.garbage,
        rows: Region::Rows.address(),
    };
    let width = load.inputs.len();
    let row = move |number: usize| {
        load.states[number * width..][..width].iter().flat_map(|word| word.to_le_bytes())
    };
    let words =
        |bytes: &[u8]| bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let results = Region::Rows.address() + 8 * width as u64;
    match (kind.name, kind.executes) {
        (name, Executes::Native(arch)) if name.starts_with("unicorn") => {
            let driver = chunk(arch, batch);
            let mut cpu = bare(arch, &driver, memory);
            Box::new(move |number| {
                let row: Vec<u8> = row(number).collect();
                cpu.mem_write(Region::Rows.address(), &row).expect("rows are mapped");
                cpu.emu_start(driver.entry, driver.exit, 0, 0).expect("a state without faults ran");
                let mut bytes = [0; 8 * 11];
                let bytes = &mut bytes[..8 * outputs.len()];
                cpu.mem_read(results, bytes).expect("rows are mapped");
                words(bytes)
            })
        }
        (_, Executes::Native(arch)) => {
            let driver = chunk(arch, batch);
            let mut machine = HostMachine::new().expect("the engine is available");
            let at = (driver.place - Region::Code.address()) as usize;
            let arena = machine.arena_mut();
            arena.bytes_mut(Region::Code)[at..at + driver.code.len()].copy_from_slice(&driver.code);
            arena.bytes_mut(Region::Window(memory.slot)).copy_from_slice(&memory.window);
            arena.bytes_mut(Region::Stack(memory.slot)).copy_from_slice(&memory.stack);
            Box::new(move |number| {
                let bytes = machine.arena_mut().bytes_mut(Region::Rows);
                bytes.iter_mut().zip(row(number)).for_each(|(to, byte)| *to = byte);
                machine.run(driver.entry, driver.exit).expect("a state without faults ran");
                words(&machine.arena().bytes(Region::Rows)[8 * width..8 * (width + outputs.len())])
            })
        }
        _ => unreachable!("{} is no engine for native code", kind.name),
    }
}

fn chunk(arch: Arch, batch: LoopBatch) -> Driver {
    match arch {
        Arch::X86_64 => X86_64::chunk(&[batch], CHUNKS.start),
        Arch::Aarch64 => Aarch64::chunk(&[batch], CHUNKS.start),
    }
}

/// Unicorn without hooks and limits, with the regions that a chunk needs and the driver in place.
fn bare(arch: Arch, driver: &Driver, memory: &Memory) -> Unicorn<'static, ()> {
    let (arch, mode) = match arch {
        Arch::X86_64 => (unicorn_engine::Arch::X86, Mode::MODE_64),
        Arch::Aarch64 => (unicorn_engine::Arch::ARM64, Mode::LITTLE_ENDIAN),
    };
    let mut cpu = Unicorn::new(arch, mode).expect("the engine is available");
    for region in Region::all() {
        let prot = if region == Region::Code { Prot::READ | Prot::EXEC } else { Prot::READ | Prot::WRITE };
        cpu.mem_map(region.address(), region.size() as u64, prot).expect("regions do not overlap");
    }
    let (window, stack) = (Region::Window(memory.slot), Region::Stack(memory.slot));
    let contents =
        [(driver.place, &*driver.code), (window.address(), &memory.window), (stack.address(), &memory.stack)];
    for (address, bytes) in contents {
        cpu.mem_write(address, bytes).expect("regions are mapped");
    }
    cpu
}

/// States per second of every way in every round.
fn measure(ways: &mut [Way], rounds: usize) -> Vec<Vec<f64>> {
    let calls: Vec<usize> = ways.iter_mut().map(calibrate).collect();
    let mut rates = vec![Vec::with_capacity(rounds); ways.len()];
    for _ in 0..rounds {
        let mut quickest = vec![Duration::MAX; ways.len()];
        for _ in 0..SAMPLES {
            for ((way, &calls), quickest) in ways.iter_mut().zip(&calls).zip(&mut quickest) {
                *quickest = time(way, calls).min(*quickest);
            }
        }
        for (((way, &calls), quickest), rates) in ways.iter().zip(&calls).zip(quickest).zip(&mut rates) {
            rates.push((calls * way.step) as f64 / quickest.as_secs_f64());
        }
    }
    rates
}

/// How many calls fill a sample; they warm the way up as well.
fn calibrate(way: &mut Way) -> usize {
    let mut calls = 1;
    while time(way, calls) < SAMPLE {
        calls *= 2;
    }
    calls
}

fn time(way: &mut Way, calls: usize) -> Duration {
    let start = Instant::now();
    for call in 0..calls {
        std::hint::black_box((way.run)(call * way.step % (STATES - way.step + 1)));
    }
    start.elapsed()
}

/// The whole oracle on all loads: every proof, model and native code on every engine, against the same state by state.
fn oracle(engines: &[&'static EngineKind], loads: &[Load], memory: &Memory, rounds: usize) {
    let rig = || Rig::new(engines).expect("engines that are listed as available");
    let (mut batched, mut single) = (rig(), rig());
    let run = move |_| {
        let outcome = batched.run(memory, loads);
        assert!(outcome.findings.is_empty(), "the operations are sound: {:?}", outcome.findings);
        Vec::new()
    };
    let judge = move |number: usize| {
        let load = &loads[number % loads.len()];
        let findings = single.judge(load.subject, &state(load, number % STATES, memory), load.garbage);
        assert!(findings.is_empty(), "the operations are sound: {findings:?}");
        Vec::new()
    };
    let mut ways = [
        Way { name: "batched", run: Box::new(run), step: STATES },
        Way { name: "probe", run: Box::new(judge), step: 1 },
    ];
    let mut rates = measure(&mut ways, rounds);
    // One call runs a batch of every load.
    rates[0].iter_mut().for_each(|rate| *rate *= loads.len() as f64);
    print_row("all (oracle)", "all four", &ways, &rates);
}

fn print_row(engine: &str, operation: &str, ways: &[Way], rates: &[Vec<f64>]) {
    let mut line = format!("{engine:15}  {operation:12}  {:17.0}", median(&rates[0]));
    for column in ["entry", "chunk", "probe"] {
        let own = ways.iter().position(|way| way.name == column);
        let text = own.map_or("-".to_owned(), |index| spread(&ratios(&rates[0], &rates[index])));
        line.push_str(&format!("{text:>22}"));
    }
    println!("{line}");
}

fn ratios(batched: &[f64], other: &[f64]) -> Vec<f64> {
    batched.iter().zip(other).map(|(a, b)| a / b).collect()
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn median(values: &[f64]) -> f64 {
    sorted(values)[values.len() / 2]
}

/// The median with the quartiles.
fn spread(values: &[f64]) -> String {
    let sorted = sorted(values);
    let quarter = sorted.len() / 4;
    let (low, high) = (sorted[quarter], sorted[sorted.len() - 1 - quarter]);
    let digits = usize::from(low < 100.0);
    format!("{:.digits$} ({low:.digits$}..{high:.digits$})", median(values))
}
