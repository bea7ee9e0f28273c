// SPDX-License-Identifier: GPL-2.0-or-later
//! Words of instructions on the semantics and on the other machines.

use std::collections::{BTreeMap, BTreeSet};

use kop_emulators::arena::Region;
use kop_emulators::mistakes::aarch64;
use kop_emulators::native::RegisterFile;
use kop_emulators::native::aarch64::Aarch64;
use kop_emulators::semantics::{Cpu, Decoded};
use kop_ops::aarch64::Insn;
use kop_ops::choices::Seeded;
use kop_ops::{Access, Fault, Memory};
use kop_semantics::aarch64::{Operation, decode};

use crate::case::{self, Case};
use crate::known::KNOWN;
use crate::reference::{MOST, Reference};

/// More instructions than any code here has.
const FUEL: u32 = 64;

/// A machine and a kind of instruction.
type Place = (&'static str, String);

/// What was run, and what differed.
pub struct Campaign {
    references: Vec<Reference>,
    cpu: Cpu,
    /// The first difference of each kind of instruction on each machine that is not known.
    differences: BTreeMap<Place, String>,
    /// The machines and the numbers of the known differences that occurred.
    known: BTreeSet<(&'static str, usize)>,
    kinds: BTreeSet<String>,
    ended: usize,
    faulted: usize,
}

/// A case with what it is a case of.
struct Labelled {
    case: Case,
    word: u32,
    operation: Operation,
}

impl Campaign {
    pub fn new() -> Campaign {
        Campaign {
            references: Reference::all(),
            cpu: Cpu::new(0),
            differences: BTreeMap::new(),
            known: BTreeSet::new(),
            kinds: BTreeSet::new(),
            ended: 0,
            faulted: 0,
        }
    }

    /// The kinds of instructions that ran.
    pub fn kinds(&self) -> &BTreeSet<String> {
        &self.kinds
    }

    /// The machines that are here.
    pub fn machines(&self) -> impl Iterator<Item = &'static str> {
        self.references.iter().map(|reference| reference.name)
    }

    /// The machines and the numbers of the known differences that occurred.
    pub fn known(&self) -> &BTreeSet<(&'static str, usize)> {
        &self.known
    }

    /// Fails with what was found, or when few cases came to their end or few faulted.
    pub fn finish(&self) {
        let text: String =
            self.differences.iter().map(|((name, _), text)| format!("{name}: {text}\n")).collect();
        assert!(text.is_empty(), "{text}");
        let (ended, faulted) = (self.ended, self.faulted);
        assert!(faulted > 0 && ended > 4 * faulted, "{ended} cases ended and {faulted} faulted");
    }

    /// Runs each word that is covered once on each machine; states follow from the seed.
    pub fn run(&mut self, words: &[u32], seed: u64) {
        let mut references = std::mem::take(&mut self.references);
        for (number, words) in (0..).zip(words.chunks(MOST)) {
            for reference in &mut references {
                self.chunk(reference, words, &mut Seeded::derived(seed, &[number]));
            }
        }
        self.references = references;
    }

    /// Runs words on one machine: those that end one after another at one entry; alone, those that fault, or that the machine
    /// is known to run otherwise.
    fn chunk(&mut self, reference: &mut Reference, words: &[u32], choices: &mut Seeded) {
        reference.forget();
        let start = case::random_memory(choices);
        self.cpu.space.memory = start.clone();
        let (mut ending, mut files, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        for &word in words {
            let Some(labelled) = self.labelled(reference, word, choices) else { continue };
            if lacks(reference.name, &labelled.operation) {
                continue;
            }
            let before = self.cpu.space.memory.clone();
            let end = ours(&mut self.cpu, &labelled.case);
            self.ended += usize::from(end.is_ok());
            self.faulted += usize::from(end.is_err());
            match end {
                Ok(file) if position(reference.name, &labelled.operation, false).is_none() => {
                    ending.push(labelled);
                    files.push(file);
                }
                _ => {
                    self.cpu.space.memory = before.clone();
                    alone.push((labelled, before));
                }
            }
        }
        let cases: Vec<&Case> = ending.iter().map(|labelled| &labelled.case).collect();
        let after = reference.run(&cases, &start);
        let same = |(theirs, memory): (Vec<RegisterFile>, Memory)| {
            theirs == files && memory.first_difference(&self.cpu.space.memory).is_none()
        };
        if !after.is_ok_and(same) {
            let mut memory = start;
            for labelled in &ending {
                memory = self.alone(reference, labelled, memory);
            }
        }
        for (labelled, memory) in alone {
            self.alone(reference, &labelled, memory);
        }
    }

    fn labelled(&mut self, reference: &mut Reference, word: u32, choices: &mut Seeded) -> Option<Labelled> {
        let operation = decode(&word.to_le_bytes()).ok()?[0].operation;
        if is_wait(word) {
            return None;
        }
        self.kinds.insert(kind(&operation));
        let place = |len| reference.code_place(len);
        let case = case::case(choices, word, &operation, &mut self.cpu.space.memory, place);
        Some(Labelled { case, word, operation })
    }

    /// Runs one case on a memory, and notes what differs; returns the memory that the semantics leave.
    fn alone(&mut self, reference: &mut Reference, labelled: &Labelled, before: Memory) -> Memory {
        let theirs = reference.run(&[&labelled.case], &before);
        let theirs = theirs.map(|(files, memory)| (files[0].clone(), memory)).map_err(|stop| stop.fault);
        self.cpu.space.memory = before;
        let ours = ours(&mut self.cpu, &labelled.case);
        let memory = self.cpu.space.memory.clone();
        let ours = ours.map(|file| (file, memory.clone()));
        if let Some(text) = difference(&ours, &theirs)
            && !touches_other_regions(&ours)
        {
            self.note(reference.name, labelled, ours.is_err(), &text);
        }
        memory
    }

    fn note(&mut self, machine: &'static str, labelled: &Labelled, faults: bool, text: &str) {
        let Labelled { word, operation, .. } = labelled;
        if let Some(number) = position(machine, operation, faults) {
            self.known.insert((machine, number));
            let mistake = if machine == "unicorn-aarch64" { aarch64::unicorn } else { aarch64::qemu };
            if KNOWN[number].admitted.is_none() && mistake(&word.to_le_bytes()).is_none() {
                let text = format!("{word:#010x} {}: the engine admits it", KNOWN[number].what);
                self.differences.entry((machine, kind(operation))).or_insert(text);
            }
            return;
        }
        let text = format!("{word:#010x} {operation:?}: {text}");
        self.differences.entry((machine, kind(operation))).or_insert(text);
    }
}

/// Whether a machine does not have the instruction: Unicorn has no SVE2.
fn lacks(machine: &str, operation: &Operation) -> bool {
    machine == "unicorn-aarch64" && matches!(operation, Operation::Insn(Insn::BitPermute { .. }))
}

/// The number of the known difference that a case may show.
fn position(machine: &str, operation: &Operation, faults: bool) -> Option<usize> {
    KNOWN.iter().position(|known| known.machines.contains(&machine) && (known.is)(operation, faults))
}

/// Whether an access goes where machines have memory and the semantics have none.
fn touches_other_regions(end: &End) -> bool {
    let Err(Fault::Memory { address: Some(address), .. }) = end else { return false };
    let inside =
        |region: Region| (region.address()..region.address() + region.size() as u64).contains(address);
    let ours = [Region::Window(case::SLOT), Region::Stack(case::SLOT)];
    Region::all().any(|region| inside(region) && !ours.contains(&region))
}

/// The registers after a case on the semantics.
fn ours(cpu: &mut Cpu, case: &Case) -> Result<RegisterFile, Fault> {
    let decoded: Decoded<Aarch64> = Decoded::new(&case.code).expect("it is covered");
    cpu.load(&case.file);
    cpu.space.code.clone_from(&case.code);
    cpu.space.code_place = case.place;
    cpu.space.begin(false);
    decoded.run(cpu, FUEL)?;
    Ok(cpu.store(&case.file))
}

/// How the machines report an address that is not aligned: QEMU by SIGBUS, Unicorn by its number of a data abort.
const MISALIGNED: [Fault; 2] = [Fault::Other(7), Fault::Other(4)];

/// What a case ends with.
type End = Result<(RegisterFile, Memory), Fault>;

/// What both ends differ in, if they do.
fn difference(ours: &End, theirs: &End) -> Option<String> {
    match (ours, theirs) {
        (Err(a), Err(b)) if a.same_kind(*b) => None,
        (Err(Fault::Memory { .. }), Err(b)) if MISALIGNED.contains(b) => None,
        // The semantics fetch nothing outside of their code.
        (Err(Fault::Escape { address: a }), Err(Fault::Memory { access: Access::Execute, address: b })) => {
            (a != b).then(|| format!("goes to {a:x?} against {b:x?}"))
        }
        (Ok((a, before)), Ok((b, after))) => registers(a, b).or_else(|| {
            before.first_difference(after).map(|(at, a, b)| format!("{at:#x}: {a:#x} against {b:#x}"))
        }),
        (a, b) => Some(format!("ends with {:?} against {:?}", a.as_ref().err(), b.as_ref().err())),
    }
}

/// The first register that differs.
fn registers(ours: &RegisterFile, theirs: &RegisterFile) -> Option<String> {
    let general = ours.general.iter().zip(&theirs.general).enumerate();
    let general = general.map(|(i, (&a, &b))| (format!("x{i}"), u128::from(a), u128::from(b)));
    let vectors = ours.vectors.iter().zip(&theirs.vectors).enumerate();
    let vectors = vectors.map(|(i, (&a, &b))| (format!("v{i}"), a, b));
    let flags = ("nzcv".to_owned(), u128::from(ours.flags), u128::from(theirs.flags));
    let mut all = general.chain(vectors).chain([flags]);
    all.find(|(_, a, b)| a != b).map(|(name, a, b)| format!("{name}: {a:#x} against {b:#x}"))
}

/// WFE and WFI, which wait for what never comes in an emulator.
fn is_wait(word: u32) -> bool {
    matches!(word, 0xd503_205f | 0xd503_207f)
}

/// The kind of an instruction: its variant, and its first operand unless that is a register.
fn kind(operation: &Operation) -> String {
    const NAMES: [&str; 7] = ["op", "size", "width", "lane", "signed", "keep", "bits"];
    let text = format!("{operation:?}");
    let (variant, fields) = text.split_once(" {").unwrap_or((&text, ""));
    let first = fields.split(',').next().unwrap_or_default();
    let (field, value) = first.split_once(':').unwrap_or_default();
    let named = NAMES.contains(&field.trim());
    let words = [variant, if named { value } else { "" }];
    words.concat().replace(['(', ')'], " ").split_whitespace().collect::<Vec<_>>().join(" ")
}
