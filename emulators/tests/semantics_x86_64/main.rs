// SPDX-License-Identifier: GPL-2.0-or-later
//! Every instruction of x86-64 that has semantics, held against Unicorn and this CPU: after each, all registers, all flags
//! and all of memory are compared, but for what the manual leaves undefined.

#![cfg(all(target_os = "linux", target_arch = "x86_64", feature = "unicorn", feature = "native"))]

mod code;
mod compare;
mod known;
mod planted;
mod run;
mod state;

use std::collections::{BTreeMap, BTreeSet};

use code::Case;
use compare::{Expected, difference};
use known::KNOWN;
use kop_emulators::arena::Region;
use kop_emulators::host::HostMachine;
use kop_emulators::inspect::inspect;
use kop_emulators::mistakes::x86_64;
use kop_emulators::native::PROBE_CODES;
use kop_emulators::semantics::Cpu;
use kop_emulators::unicorn::UnicornMachine;
use kop_ops::choices::{Choices, Seeded};
use kop_ops::x86_64::forms;
use kop_ops::{Arch, Fault};
use kop_semantics::x86_64::Op;
use planted::{PLANTED, Planted};
use run::{Bench, StackBytes, ours, stack_position};
use state::Before;

/// The machines, and what was found on them.
struct Campaign {
    host: Bench<HostMachine>,
    unicorn: Bench<UnicornMachine>,
    cpu: Cpu,
    choices: Seeded,
    /// The mistake that the results of the semantics have.
    planted: Option<&'static Planted>,
    /// Where the next instruction goes.
    place: u64,
    /// The mnemonics that ran, by operation.
    ran: BTreeSet<String>,
    /// How often each known mistake occurred.
    known: Vec<u64>,
    /// The first difference of each group and machine that is not known, and how many there are.
    found: BTreeMap<(String, &'static str), (u64, String)>,
}

/// The bytes between the places of two instructions.
const STRIDE: u64 = 48;

impl Campaign {
    fn new(seed: u64) -> Self {
        Self {
            host: Bench::new(HostMachine::new().expect("children run here")),
            unicorn: Bench::new(UnicornMachine::new(Arch::X86_64).expect("it is built in")),
            cpu: Cpu::new(0),
            choices: Seeded::new(seed),
            planted: None,
            place: PROBE_CODES.start,
            ran: BTreeSet::new(),
            known: vec![0; KNOWN.len()],
            found: BTreeMap::new(),
        }
    }

    /// Runs an instruction, if it is covered, on a number of states.
    fn instruction(&mut self, bytes: &[u8], states: u32) {
        let target = state::target(&mut self.choices, false);
        let Some(case) = Case::new(bytes, self.place, target) else { return };
        self.host.place(&case);
        self.unicorn.place(&case);
        for _ in 0..states {
            let before = state::before(&mut self.choices, &case);
            self.state(&case, &before);
        }
        self.ran.insert(case.group());
        self.place += STRIDE;
        if self.place + STRIDE > PROBE_CODES.end {
            self.place = PROBE_CODES.start;
        }
    }

    fn state(&mut self, case: &Case, before: &Before) {
        let mut memory = state::memory(&mut self.choices);
        let mut stack: StackBytes = std::array::from_fn(|i| (i * 13 / 7) as u8);
        for &(address, word) in &before.words {
            match stack_position(address) {
                Some(at) => stack[at..at + 8].copy_from_slice(&word.to_le_bytes()),
                // Where nothing is mapped, the instruction faults.
                None => drop(memory.store(address, 8, word)),
            }
        }
        let [zeros, ones] = [false, true].map(|bit| {
            let mut after = ours(&mut self.cpu, case, before, &memory, &stack, bit);
            if let Some(planted) = self.planted {
                (planted.make)(case, before, &mut after);
            }
            after
        });
        let expected = Expected { zeros, ones };
        if touches_other_regions(&expected) {
            return;
        }
        if case.host_executes() {
            let actual = self.host.run(case, before, &memory, &stack);
            if let Some(text) = difference(&expected, &actual, true) {
                self.note("host", case, before, &text);
            }
        }
        if !case.unicorn_executes() {
            return;
        }
        let actual = self.unicorn.run(case, before, &memory, &stack);
        // Of a store that faults, Unicorn does the bytes that fit.
        if let Some(text) = difference(&expected, &actual, false) {
            match KNOWN.iter().position(|known| (known.is)(case, before, &expected)) {
                Some(known) => {
                    self.known[known] += 1;
                    let code = &case.bytes[..case.len];
                    let runs = x86_64::unicorn(code).is_none() && inspect(Arch::X86_64, code).is_ok();
                    if runs && KNOWN[known].admitted.is_none() {
                        let text = format!("{}: the engine admits it", KNOWN[known].what);
                        self.note("unicorn", case, before, &text);
                    }
                }
                None => self.note("unicorn", case, before, &text),
            }
        }
    }

    fn note(&mut self, machine: &'static str, case: &Case, before: &Before, text: &str) {
        let place = self.found.entry((case.group(), machine)).or_insert_with(|| {
            let (bytes, general) = (&case.bytes[..case.len], &before.file.general);
            (0, format!("{}: {text}\n   {bytes:02x?} {general:x?} flags {:#x}", case.insn, before.file.flags))
        });
        place.0 += 1;
    }

    /// Fails with what was found.
    fn finish(&self) {
        let lines = self.found.iter().map(|((group, machine), (count, text))| {
            format!("{machine} differs in {count} states of {group}, first in {text}\n")
        });
        let text: String = lines.collect();
        assert!(text.is_empty(), "{text}");
    }
}

/// Whether an access goes where machines have memory and the semantics have none.
fn touches_other_regions(expected: &Expected) -> bool {
    let Err(Fault::Memory { address: Some(address), .. }) = expected.zeros.end else { return false };
    Region::all().any(|region| (region.address()..region.address() + region.size() as u64).contains(&address))
}

/// How many times as much as usual is run: `KOP_CAMPAIGN=100` takes minutes.
fn effort() -> u64 {
    std::env::var("KOP_CAMPAIGN").map_or(1, |times| times.parse().expect("KOP_CAMPAIGN is a number"))
}

/// A seed that the effort is a part of, so that more of it runs other states.
fn seed(test: u64) -> u64 {
    test << 32 | effort()
}

#[test]
fn forms_of_the_assembler_agree_with_unicorn_and_this_cpu() {
    let mut campaign = Campaign::new(seed(1));
    let mut choices = Seeded::new(seed(2));
    for insn in forms::samples() {
        if choices.below(60) < effort() {
            campaign.instruction(&insn.encode().expect("it has an encoding"), 1);
        }
    }
    for _ in 0..3000 * effort() {
        let insn = forms::random(&mut choices);
        campaign.instruction(&insn.encode().expect("it has an encoding"), 2);
    }
    campaign.finish();
}

#[test]
fn all_opcodes_agree_with_unicorn_and_this_cpu() {
    let mut campaign = Campaign::new(seed(3));
    let mut choices = Seeded::new(seed(4));
    for _ in 0..effort() {
        for bytes in code::opcodes(&mut choices) {
            campaign.instruction(&bytes, 2);
        }
    }
    campaign.finish();
    // Every mnemonic that the decoder names, but for ENDBR64, which takes a ModRM byte of its own; forms have it.
    assert!(campaign.ran.len() >= 310, "{} mnemonics ran: {:?}", campaign.ran.len(), campaign.ran);
}

#[test]
fn unicorn_makes_each_known_mistake() {
    let mut campaign = Campaign::new(seed(5));
    for (number, known) in KNOWN.iter().enumerate() {
        // Each time with another address, where there is one.
        (0..10).for_each(|_| campaign.instruction(known.example, 30));
        assert!(campaign.known[number] > 0, "{}: not seen in {:02x?}", known.what, known.example);
    }
    campaign.finish();
}

/// All opcodes, and one in six of the assembler's samples, which have every pair of registers, with what they do.
fn instructions() -> Vec<(Vec<u8>, Op)> {
    let mut choices = Seeded::new(seed(6));
    let mut all = code::opcodes(&mut choices);
    let samples = forms::samples().into_iter().filter(|_| choices.one_in(6));
    all.extend(samples.map(|insn| insn.encode().expect("it has an encoding").to_vec()));
    let op = |bytes: &[u8]| Case::new(bytes, PROBE_CODES.start, 0).map(|case| case.op);
    all.into_iter().filter_map(|bytes| op(&bytes).map(|op| (bytes, op))).collect()
}

#[test]
fn planted_mistakes_are_found_on_both_machines() {
    let instructions = instructions();
    for planted in PLANTED {
        let mut campaign = Campaign::new(seed(7));
        campaign.planted = Some(planted);
        let concerned: Vec<_> = instructions.iter().filter(|(_, op)| (planted.concerns)(op)).collect();
        let states = 1 + 1000 / concerned.len() as u32;
        concerned.into_iter().for_each(|(bytes, _)| campaign.instruction(bytes, states));
        let machines: BTreeSet<&str> = campaign.found.keys().map(|(_, machine)| *machine).collect();
        assert_eq!(machines, BTreeSet::from(["host", "unicorn"]), "{}", planted.what);
    }
}

#[test]
fn the_document_has_the_same_list() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../semantics/DIFFERENCES.md");
    let text = std::fs::read_to_string(path).expect("it is there");
    let section = text.split("\n# ").find(|section| section.starts_with("Where Unicorn's x86-64 differs"));
    let lines = section.expect("it has the section").lines().filter_map(|line| line.strip_prefix("* "));
    let listed: Vec<&str> = lines.map(|line| line.trim_end_matches('.')).collect();
    assert_eq!(listed, KNOWN.iter().map(|known| known.what).collect::<Vec<_>>());
}
