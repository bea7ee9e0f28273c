// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop jit`

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use kop_emulators::inspect::listing;
use kop_harness::bench::Trial;
use kop_harness::packets;
use kop_harness::tier::{self, Choice, Tier, Whole};
use kop_jit::Options;
use kop_ops::code::Mark;
use kop_ops::program::MapAddresses;
use kop_ops::{Arch, Catalog, Code, Features, Object, Program, Slot};
use kop_semantics::Input;

use super::program_file::ProgramFile;
use super::sources::Sources;
use super::tier::TierName;
use super::{Failure, Outcome, print_all};

/// Compile the programs of a file, and show each eBPF instruction with the native code it became
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  kop jit xdp_acl.o\n  kop jit filter.s --arch aarch64 --unguarded\n  kop jit filter.s --tier \
                  native --unguarded\n  kop jit xdp_acl.o --emit elf -o acl.o && objdump -d acl.o"
)]
pub struct Args {
    #[command(flatten)]
    file: ProgramFile,
    #[command(flatten)]
    sources: Sources,
    /// The architecture, this machine's by default
    #[arg(long)]
    arch: Option<Arch>,
    /// What to write
    #[arg(long, value_enum, default_value_t = Emit::Asm)]
    emit: Emit,
    /// Where to write it, standard output by default
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The compiler
    #[arg(long, value_enum, default_value_t = TierName::Jit)]
    tier: TierName,
    /// What --tier auto measures on: a packet's bytes in hexadecimal, or a file as for `kop run`; without it, instructions are counted
    #[arg(long, value_name = "HEX|FILE")]
    packet: Option<String>,
    /// Compile without checks of accesses and fuel, as for programs that the verifier has accepted
    #[arg(long)]
    unguarded: bool,
    /// Compile proof sequences in place of emits
    #[arg(long)]
    no_emits: bool,
    /// Use no CPU features beyond those that every CPU has
    #[arg(long)]
    baseline: bool,
}

/// What is written.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Emit {
    /// Each eBPF instruction, and below it the bytes and instructions that it became
    Asm,
    /// The code of one program, as bytes
    Bin,
    /// A relocatable ELF object with a function for each program
    Elf,
}

pub fn run(args: &Args) -> Result<Outcome, Failure> {
    let loaded = args.sources.load()?;
    let catalog = loaded.everything();
    let object = args.file.load(&catalog)?;
    let indices = match (args.file.named(&object)?, args.emit) {
        (Some(index), _) => vec![index],
        (None, Emit::Bin) => vec![args.file.one(&object)?],
        (None, _) => (0..object.programs.len()).collect(),
    };
    let chosen: Vec<&Program> = indices.iter().map(|index| &object.programs[*index]).collect();
    let tier = args.tier.tier(args.unguarded)?;
    if args.packet.is_some() && tier != Tier::Auto {
        return Err(Failure::usage("--packet: it is what --tier auto --unguarded measures on"));
    }
    let output = args.output.as_ref().map(|path| {
        let created = File::create(path).map_err(|error| Failure::path(path, error));
        created.map(|file| (path, file))
    });
    let output = output.transpose()?;
    let arch = args.arch()?;
    let made = match tier {
        Tier::Jit => Made::all(tier, args.compile(arch, &object, &catalog, &chosen)?),
        Tier::Native | Tier::Llvm => {
            let codes = args.compile_whole(tier, arch, &object, &catalog, &indices);
            let named = |error: String| Failure::usage(format!("{}: {error}", args.file.name()));
            Made::all(tier, codes.map_err(named)?)
        }
        Tier::Auto => args.compile_chosen(arch, &object, &catalog, &indices)?,
    };
    let codes: Vec<&Code> = made.iter().map(|made| &made.code).collect();
    let bytes = match args.emit {
        Emit::Asm => assembly(arch, &chosen, &made).into_bytes(),
        Emit::Bin => codes[0].bytes.clone(),
        Emit::Elf => {
            let named: Vec<(&str, &Code)> =
                chosen.iter().map(|program| program.name.as_str()).zip(codes).collect();
            kop_jit::object_file(arch, &named).map_err(Failure::usage)?
        }
    };
    match output {
        None => print_all(&bytes),
        Some((path, mut file)) => {
            file.write_all(&bytes).map_err(|error| Failure::path(path, error))?;
            Ok(Outcome::Equivalent)
        }
    }
}

impl Args {
    /// The architecture asked for, or this machine's.
    fn arch(&self) -> Result<Arch, Failure> {
        match self.arch {
            Some(arch) => Ok(arch),
            None => {
                std::env::consts::ARCH.parse().map_err(|error| Failure::usage(format!("--arch: {error}")))
            }
        }
    }

    fn compile(
        &self,
        arch: Arch,
        object: &Object,
        catalog: &Catalog,
        programs: &[&Program],
    ) -> Result<Vec<Code>, Failure> {
        let addresses = MapAddresses::new(&object.maps, Slot::default()).map_err(Failure::usage)?;
        let all = Features::all(arch).without_simd();
        let options = Options {
            arch,
            features: if self.baseline { Features::NONE } else { all },
            guarded: !self.unguarded,
            observe: false,
            catalog,
            operations: &object.operations,
            emits: !self.no_emits,
            addresses: &addresses,
        };
        let compiled = programs.iter().map(|program| {
            let named =
                |error| Failure::usage(format!("{}: program `{}`: {error}", self.file.name(), program.name));
            kop_jit::compile(program, &options).map_err(named)
        });
        compiled.collect()
    }

    fn compile_whole(
        &self,
        tier: Tier,
        arch: Arch,
        object: &Object,
        catalog: &Catalog,
        programs: &[usize],
    ) -> Result<Vec<Code>, String> {
        let addresses =
            MapAddresses::new(&object.maps, Slot::default()).map_err(|error| error.to_string())?;
        let lowered = kop_jit::lower(object, catalog).map_err(|error| error.to_string())?;
        let features = if self.baseline { Features::NONE } else { Features::all(arch).without_simd() };
        let whole = Whole { tier, target: (arch, features), addresses: &addresses, planted: None };
        programs.iter().map(|index| whole.program(&lowered, *index)).collect()
    }

    /// What the compiler makes of each program that is the quickest on the packets, or without them has less to run.
    fn compile_chosen(
        &self,
        arch: Arch,
        object: &Object,
        catalog: &Catalog,
        indices: &[usize],
    ) -> Result<Vec<Made>, Failure> {
        let packets = self.packet.as_ref().map(|text| packets::read(text).map_err(Failure::usage));
        let packets = packets.transpose()?;
        let input = Input::default();
        let mut made = Vec::new();
        for &index in indices {
            let object = Object { programs: vec![object.programs[index].clone()], ..object.clone() };
            let jit = self.compile(arch, &object, catalog, &[&object.programs[0]])?;
            let whole = |tier| self.compile_whole(tier, arch, &object, catalog, &[0]);
            let lowered = packets.as_ref().and_then(|_| kop_jit::lower(&object, catalog).ok());
            let trial = packets.as_deref().zip(lowered.as_ref()).map(|(packets, lowered)| Trial {
                object: &lowered.object,
                index: 0,
                input: &input,
                packets,
            });
            let (choice, mut codes) = Choice::of(&object.programs, jit, whole, trial.as_ref());
            let reason = format!("; --tier auto takes {}: {}\n", choice.tier.title(), choice.reason);
            made.push(Made { tier: choice.tier, code: codes.swap_remove(0), reason });
        }
        Ok(made)
    }
}

/// The code of a program.
struct Made {
    /// What compiled it.
    tier: Tier,
    code: Code,
    /// The line that says why that was chosen; empty where it was asked for.
    reason: String,
}

impl Made {
    fn all(tier: Tier, codes: Vec<Code>) -> Vec<Self> {
        codes.into_iter().map(|code| Self { tier, code, reason: String::new() }).collect()
    }
}

/// What a program is as one Kop: all of its native code is trusted, and whether the kernel's rules admit it.
fn as_one_kop(text: &mut String, program: &Program, code: &Code) {
    let slots = program.flow.slot(program.flow.insns().len());
    let _ = write!(
        text,
        "; as one Kop: a proof sequence of {slots} slots, {} bytes of native code; ",
        code.bytes.len()
    );
    let _ = match tier::stock_rules(program) {
        Ok(()) => writeln!(text, "the stock shape rules admit it"),
        Err(broken) => writeln!(text, "the stock shape rules do not admit it ({broken})"),
    };
}

fn assembly(arch: Arch, programs: &[&Program], made: &[Made]) -> String {
    let mut text = String::new();
    for (number, (program, Made { tier, code, reason })) in programs.iter().zip(made).enumerate() {
        let blank = if number == 0 { "" } else { "\n" };
        let count = program.flow.insns().len();
        let guarded = if code.guarded { "guarded" } else { "unguarded" };
        let _ = writeln!(
            text,
            "{blank}{reason}; {}: {count} instructions, {} bytes of {guarded} {arch} code, features {}, entry at {:#x}",
            program.name,
            code.bytes.len(),
            code.features,
            code.entry
        );
        if tier.is_whole() {
            as_one_kop(&mut text, program, code);
        }
        for site in code.sites.iter().filter_map(|site| Some((site.index, site.fallback.as_ref()?))) {
            let _ = writeln!(text, "; instruction {}: its proof sequence was compiled: {}", site.0, site.1);
        }
        show(&mut text, arch, program, code);
    }
    text
}

/// The code in its own order, with the instruction that each part belongs to.
fn show(text: &mut String, arch: Arch, program: &Program, code: &Code) {
    let insns = program.flow.insns();
    let start = [Mark { offset: 0, index: Mark::NONE }];
    let marks = start.iter().chain(&code.marks);
    let ends = code.marks.iter().map(|mark| mark.offset as usize).chain([code.bytes.len()]);
    let lines = listing(arch, &code.bytes);
    for (mark, end) in marks.zip(ends) {
        let first = mark.offset as usize;
        match insns.get(mark.index as usize) {
            Some(insn) if mark.index != Mark::NONE => {
                let _ = writeln!(text, "{:>5}: {insn}", mark.index);
            }
            _ if first == end => continue,
            _ => {
                let _ = writeln!(text, "    -: {}", if first == 0 { "prologue" } else { "shared code" });
            }
        }
        let from = lines.partition_point(|line| line.offset < first);
        for line in lines[from..].iter().take_while(|line| line.offset < end) {
            let bytes: Vec<String> = line.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let _ = writeln!(text, "    {:>6x}  {:<33}{}", line.offset, bytes.join(" "), line.text);
        }
    }
}
