// SPDX-License-Identifier: GPL-2.0-or-later
//! Where fuzzing starts: small inputs that reach every form and every aliasing of every operation, and words to put into
//! inputs. Both come from the catalog alone and are kept under `corpus/fuzz`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io;
use std::path::Path;

use kop_ops::choices::{Choices, Seeded};
use kop_ops::{Arch, Catalog, EmitRequest, Form, Kop, MapKind, Pass, ProgramKind, Slot, State, ebpf};

use super::Target;
use super::input::{Input, decode};
use crate::case::Case;
use crate::generate::{ProgramPlan, alias_pattern};

/// Bytes of an operation's seed: what a payload and a state take.
const LENGTH: usize = 48;

/// Random inputs among which seeds are looked for.
const TRIED: u64 = 3000;

/// The most bytes of an input about one operation: what a payload and a state take, and some for the other states.
const OPERATION_MAX: usize = 256;

/// The most bytes of any other input, which is libFuzzer's own limit.
const MAX: usize = 4096;

/// The files that belong to a target: a folder with its seeds, its dictionary, and its options as ClusterFuzz reads them.
pub fn files(target: Target, catalog: &Catalog) -> BTreeMap<String, Vec<u8>> {
    let seeds = match target {
        Target::Operation(kop) => of_operation(kop),
        Target::All => of_all(catalog),
        Target::Assemblers => of_assemblers(),
        Target::Decoders => of_decoders(catalog),
        Target::Program | Target::Rewrite => of_choices(24, 8 * LENGTH),
        Target::JitInstruction => of_choices(24, 2 * LENGTH),
        Target::Loader => of_loader(catalog),
        Target::Module | Target::File => of_foreign(),
    };
    let mut files: BTreeMap<String, Vec<u8>> =
        seeds.into_iter().map(|(name, bytes)| (format!("{target}/{name}"), bytes)).collect();
    files.insert(format!("{target}.dict"), dictionary(target, catalog).into_bytes());
    files.insert(format!("{target}.options"), options(target).into_bytes());
    files
}

/// libFuzzer's flags, with which a hang and a process that takes all memory are findings. What engines keep until the process
/// ends is no leak. By its default schedule libFuzzer keeps count of each rare feature of each input, and inputs here have thousands: that
/// took a third of the time of operations, and several times as long as programs do.
fn options(target: Target) -> String {
    let max_len = match target {
        Target::Operation(_) | Target::All | Target::Module | Target::File => OPERATION_MAX,
        _ => MAX,
    };
    format!(
        "# Generated: KOP_BLESS=1 cargo test -p kop-harness --test fuzz_targets\n[libfuzzer]\n\
         timeout = 25\nrss_limit_mb = 2560\nmax_len = {max_len}\nentropic = 0\ndetect_leaks = 0\n\n[asan]\ndetect_leaks = 0\n"
    )
}

/// Writes the files of every target under `directory`, and removes seeds that are none any more.
///
/// # Errors
/// The path and what the operating system says.
pub fn write(directory: &Path, catalog: &Catalog) -> io::Result<usize> {
    let mut count = 0;
    for target in Target::list(catalog) {
        let folder = directory.join(target.to_string());
        let name_it =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(name_it)?;
        }
        std::fs::create_dir_all(&folder).map_err(name_it)?;
        for (name, bytes) in files(target, catalog) {
            std::fs::write(directory.join(name), bytes).map_err(name_it)?;
            count += 1;
        }
    }
    Ok(count)
}

fn random_bytes(number: u64, length: usize) -> Vec<u8> {
    let mut choices = Seeded::derived(0, &[0x7365_6564, number]);
    (0..length).map(|_| choices.bits() as u8).collect()
}

/// Random inputs, the first of each class that `class` sees; inputs of no class are left out.
fn first_of_each(kops: &[&dyn Kop], class: impl Fn(&Input) -> Option<String>) -> BTreeMap<String, Vec<u8>> {
    let mut seeds = BTreeMap::new();
    for number in 0..TRIED {
        let bytes = random_bytes(number, LENGTH);
        if let Some(name) = class(&decode(kops, &bytes)) {
            seeds.entry(name).or_insert(bytes);
        }
    }
    seeds
}

/// Each form with each aliasing of its operands, and with a payload that is refused.
fn of_operation(kop: &dyn Kop) -> BTreeMap<String, Vec<u8>> {
    first_of_each(&[kop], |input| {
        let class = match &input.prepared.subject {
            Some(subject) => alias_pattern(subject.form, &subject.operands),
            None => "refused".to_owned(),
        };
        Some(format!("{}-{}", input.form.name, class.replace(' ', "-")))
    })
}

/// Each form of each operation.
fn of_all(catalog: &Catalog) -> BTreeMap<String, Vec<u8>> {
    first_of_each(catalog.kops(), |input| {
        input.prepared.subject.as_ref()?;
        Some(format!("{}-{}", input.kop.name(), input.form.name))
    })
}

fn of_assemblers() -> BTreeMap<String, Vec<u8>> {
    of_choices(24, 2 * LENGTH)
}

/// Random bytes, where every byte string means something.
fn of_choices(count: u64, length: usize) -> BTreeMap<String, Vec<u8>> {
    (0..count).map(|number| (format!("random-{number:02}"), random_bytes(number, length))).collect()
}

/// For operations that are not known yet: random bytes, and payloads with registers in some of their lowest nibbles, in
/// descending order so that none are alike.
fn of_foreign() -> BTreeMap<String, Vec<u8>> {
    let registers = |count: u64| (0..count).fold(0, |payload, register| payload << 4 | (count - register));
    let payloads: BTreeSet<u64> = (0..4)
        .map(registers)
        .flat_map(|payload| [payload, payload << 4, payload << 4 | 1, payload << 4 | 2])
        .collect();
    let mut seeds = of_choices(16, LENGTH);
    for (number, payload) in (0..).zip(payloads) {
        // The byte in front says that the payload follows as it is.
        let mut bytes = [&[0], &payload.to_le_bytes()[..]].concat();
        bytes.extend(random_bytes(number, LENGTH - bytes.len()));
        seeds.insert(format!("payload-{payload:04x}"), bytes);
    }
    seeds
}

/// Small programs as text and as raw bytes, and the start of an ELF object.
fn of_loader(catalog: &Catalog) -> BTreeMap<String, Vec<u8>> {
    let plan = ProgramPlan { statements: 8, ..ProgramPlan::new(catalog, &ProgramKind::ALL) };
    let mut seeds = BTreeMap::new();
    for number in 0..8 {
        let case = plan.generate(&mut Seeded::derived(0, &[0x6c6f_6164, number]));
        let text = case.to_string();
        // What a program finds is no part of its file.
        let start = text.find("\n.").map_or(0, |at| at + 1);
        seeds.insert(format!("text-{number}"), text.as_bytes()[start..].to_vec());
        let insns = case.object.programs[0].flow.insns();
        seeds.insert(format!("raw-{number}"), ebpf::encode_program(insns));
    }
    // ELF64, little-endian, EM_BPF, one empty section header.
    let mut elf = vec![0; 128];
    elf[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
    elf[16..20].copy_from_slice(&[1, 0, 247, 0]);
    elf[20] = 1;
    elf[40] = 64;
    elf[52..64].copy_from_slice(&[64, 0, 0, 0, 0, 0, 64, 0, 1, 0, 0, 0]);
    seeds.insert("elf".to_owned(), elf);
    seeds
}

/// For each operation: a proof as bytes and as text, the native codes, and a case.
fn of_decoders(catalog: &Catalog) -> BTreeMap<String, Vec<u8>> {
    let mut seeds = BTreeMap::new();
    for &kop in catalog.kops() {
        let name = kop.name();
        let examples = first_of_each(&[kop], |input| {
            input.prepared.subject.as_ref().map(|_| input.form.name.to_string())
        });
        let Some(input) = examples.values().next().map(|bytes| decode(&[kop], bytes)) else { continue };
        let Some(subject) = &input.prepared.subject else { continue };
        let mut state = State::zeroed(Slot::default());
        subject.named().iter().zip(input.first_state()).for_each(|(reg, value)| state.set(reg, value));
        let case = Case::new(kop, input.form, input.payload, &state);
        seeds.insert(format!("{name}-case"), case.to_string().into_bytes());
        // Proofs that repeat themselves are no better for being long.
        let proof = &subject.proof[..subject.proof.len().min(24)];
        seeds.insert(format!("{name}-proof"), ebpf::encode_program(proof));
        let text: String = proof.iter().map(|insn| format!("{insn}\n")).collect();
        seeds.insert(format!("{name}-proof-text"), text.into_bytes());
        for arch in Arch::ALL {
            if let Some(bytes) = emit(kop, input.form, input.payload, arch) {
                seeds.insert(format!("{name}-{arch}"), bytes);
            }
        }
    }
    seeds
}

fn emit(kop: &dyn Kop, form: &Form, payload: u64, arch: Arch) -> Option<Vec<u8>> {
    let request = EmitRequest { arch, features: kop.features(arch), payload, pass: Pass::Write, address: 0 };
    kop.emit(form, &request).ok().map(|emission| emission.bytes)
}

/// libFuzzer's words: the operations' interesting values as bytes, and the keywords of the text formats for decoders.
fn dictionary(target: Target, catalog: &Catalog) -> String {
    let mut words: BTreeSet<Vec<u8>> = BTreeSet::new();
    for kop in target.kops(catalog) {
        let values = kop.forms().iter().flat_map(|form| kop.interesting_values(form));
        words.extend(values.map(|value| value.to_le_bytes().to_vec()));
    }
    match target {
        Target::Decoders => words.extend(keywords(catalog)),
        Target::Loader => words.extend(loader_words(catalog)),
        // Numbers that a register or an immediate may be.
        _ => words.extend([0, 1, 31, 32, 63, 64, 127, 128].map(|byte: u8| vec![byte])),
    }
    let mut text = String::from(
        "# Generated from the catalog: KOP_BLESS=1 cargo test -p kop-harness --test fuzz_targets\n",
    );
    for word in words {
        let escaped: String = word.iter().fold(String::new(), |mut escaped, &byte| {
            match byte {
                b'"' | b'\\' => _ = write!(escaped, "\\{}", char::from(byte)),
                b' '..=b'~' => escaped.push(char::from(byte)),
                _ => _ = write!(escaped, "\\x{byte:02x}"),
            }
            escaped
        });
        let _ = writeln!(text, "\"{escaped}\"");
    }
    text
}

/// Words of programs as text, and of ELF objects.
fn loader_words(catalog: &Catalog) -> BTreeSet<Vec<u8>> {
    let mut words = keywords(catalog);
    let kinds = MapKind::ALL.into_iter().map(|kind| kind.name().as_bytes().to_vec());
    words.extend(kinds);
    let others = [
        "\x7fELF",
        ".program",
        ".map",
        ".init",
        ".kop",
        ".license",
        ".text",
        ".maps",
        "maps",
        "xdp",
        "tc",
        "license",
        ".rodata",
        ".bss",
        ".data",
        ".BTF",
        ".symtab",
        ".strtab",
        "map_by_idx(",
        "map_val_by_idx(",
    ];
    words.extend(others.map(|word| word.as_bytes().to_vec()));
    words
}

/// Every word of every case and of every printed eBPF form.
fn keywords(catalog: &Catalog) -> BTreeSet<Vec<u8>> {
    let mut texts: Vec<String> = ebpf::forms::forms().iter().map(ToString::to_string).collect();
    for (kop, form) in catalog.forms() {
        texts.push(format!("operation {}\nform {}", kop.name(), form.name));
        texts.extend(form.layout.fields().iter().map(|field| format!("operand {}", field.name)));
    }
    texts
        .push("kop-case arch x86_64 aarch64 features none payload garbage window+0x stack-0x # :".to_owned());
    texts
        .iter()
        .flat_map(|text| text.split_whitespace())
        .filter(|word| word.parse::<i64>().is_err())
        .map(|word| word.as_bytes().to_vec())
        .collect()
}
