// SPDX-License-Identifier: GPL-2.0-or-later
//! What `kop-plugin` does: it runs one program for the public bpf_conformance suite.
//!
//! The program comes as hexadecimal bytes on standard input, the memory that r1 points to as the first argument; r0 is
//! printed in hexadecimal. Programs follow RFC 9669, whether or not the kernel's verifier would take them: what could go wrong
//! is checked while they run. Helper function 5 returns its first argument; there are no others.

mod arguments;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;

use kop_emulators::program::{Job, ProgramEngine, Runs, engines};
use kop_ops::ebpf::decode_program;
use kop_ops::state::WINDOW_SIZE;
use kop_ops::{Arch, Catalog, Code, Features, Flow, Object, Program, ProgramKind, Slot};
use kop_semantics::world::helpers::HelperSet;
use kop_semantics::world::{Input, World};
use kop_semantics::{Run, spec};

pub use arguments::{Arguments, Request, parse_hex};

/// How many instructions a program may run: enough for `may_goto` to use up its budget.
pub const FUEL: u64 = 1 << 25;

/// The most bytes of standard input that are read: a program of a million slots, each byte as two digits and a blank.
const MAX_INPUT: u64 = 32 << 20;

/// The engines by the names of the command line, and what each is in the list of engines for programs.
pub const ENGINES: [(&str, &str); 5] = [
    ("spec", "spec"),
    ("jit", "host"),
    ("unicorn-x86_64", "unicorn-x86_64"),
    ("unicorn-aarch64", "unicorn-aarch64"),
    ("qemu-aarch64", "qemu-aarch64"),
];

/// Why there is no r0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PluginError {
    /// The command was not used as it is meant to be.
    #[error("{0} (kop-plugin --help)")]
    Usage(String),
    /// The bytes are no program, or no program that has a meaning here.
    #[error("the program is rejected: {0}")]
    Rejected(String),
    /// The program went wrong while it ran.
    #[error("the program faults: {0}")]
    Fault(String),
    /// The engine is not here.
    #[error("{0}")]
    Absent(String),
}

impl PluginError {
    /// The exit code: 1 for a program that faults, 2 for bad usage or input, 3 for an engine that is not here.
    pub fn code(&self) -> u8 {
        match self {
            PluginError::Fault(_) => 1,
            PluginError::Usage(_) | PluginError::Rejected(_) => 2,
            PluginError::Absent(_) => 3,
        }
    }
}

/// The whole command.
pub fn main(args: impl Iterator<Item = OsString>, input: impl Read, mut output: impl Write) -> ExitCode {
    let answer = match Arguments::parse(args) {
        Ok(Arguments::Help) => Ok(arguments::HELP.to_owned()),
        Ok(Arguments::Version) => Ok(format!("kop-plugin {}", env!("CARGO_PKG_VERSION"))),
        Ok(Arguments::Run(request)) => answer(&request, input),
        Err(error) => Err(error),
    };
    let error = match answer {
        Ok(text) => match writeln!(output, "{text}") {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => PluginError::Usage(format!("standard output: {error}")),
        },
        Err(error) => error,
    };
    // Where standard error is closed, the exit code has to do.
    let _ = writeln!(std::io::stderr(), "kop-plugin: {error}");
    ExitCode::from(error.code())
}

fn answer(request: &Request, input: impl Read) -> Result<String, PluginError> {
    let program = match &request.program {
        Some(program) => program.clone(),
        None => {
            let mut text = String::new();
            let read = input.take(MAX_INPUT + 1).read_to_string(&mut text);
            read.map_err(|error| PluginError::Usage(format!("standard input: {error}")))?;
            if text.len() as u64 > MAX_INPUT {
                return Err(PluginError::Usage(format!("standard input has more than {MAX_INPUT} bytes")));
            }
            parse_hex(&text).map_err(|reason| PluginError::Usage(format!("the program: {reason}")))?
        }
    };
    Plugin::new(&request.engine)?.run(&program, &request.memory).map(|r0| format!("{r0:x}"))
}

/// One engine that runs programs of the suite.
pub struct Plugin {
    engine: Box<dyn ProgramEngine>,
    /// What compiled code may use: all that this CPU has on `jit`, and nothing optional elsewhere, so that both kinds of code
    /// are run.
    features: Features,
}

impl Plugin {
    /// A plugin on the engine that the command line calls `name`.
    ///
    /// # Errors
    /// [`PluginError::Usage`] when there is no such name, [`PluginError::Absent`] when the engine is not here.
    pub fn new(name: &str) -> Result<Self, PluginError> {
        let Some((_, of)) = ENGINES.into_iter().find(|(known, _)| *known == name) else {
            let names = ENGINES.map(|(name, _)| name).join(", ");
            return Err(PluginError::Usage(format!("unknown engine `{name}`: it is one of {names}")));
        };
        let kind = engines::find(of).ok_or_else(|| "it is not part of this build".to_owned());
        let engine = kind.and_then(engines::ProgramEngineKind::make);
        let engine = engine.map_err(|reason| PluginError::Absent(format!("engine {name}: {reason}")))?;
        let features = if name == "jit" { kop_emulators::engines::host_features() } else { Features::NONE };
        Ok(Self { engine, features })
    }

    /// Runs the program with these bytes on this memory, and returns r0.
    ///
    /// # Errors
    /// [`PluginError::Rejected`] when the bytes are no program, [`PluginError::Fault`] when it faults, [`PluginError::Usage`]
    /// when the memory is too large, and [`PluginError::Absent`] when the engine cannot run it.
    pub fn run(&mut self, program: &[u8], memory: &[u8]) -> Result<u64, PluginError> {
        let object = object(program)?;
        if memory.len() > WINDOW_SIZE {
            let text = format!("{} bytes of memory: there are {WINDOW_SIZE}", memory.len());
            return Err(PluginError::Usage(text));
        }
        let input = Input { packet: memory.to_vec(), helpers: HelperSet::Conformance, ..Input::default() };
        let slot = Slot::default();
        let (world, image) =
            World::new(&object, 0, slot, &input).map_err(|error| PluginError::Usage(error.to_string()))?;
        let registers = world.registers();
        let codes = match self.engine.runs() {
            Runs::Ebpf => Vec::new(),
            Runs::Code(arch) => vec![self.compile(&object.programs[0], arch, &world)?],
        };
        let run = Run {
            object: &object,
            entry: 0,
            world: &world,
            image: &image,
            registers: &registers,
            fuel: FUEL,
        };
        let job = Job { run, codes: &codes };
        self.engine.admits(&job).map_err(PluginError::Absent)?;
        self.engine.run(&job).end.map_err(|trap| {
            let at = trap.at.map_or(String::new(), |at| format!("instruction {at}: "));
            PluginError::Fault(format!("{at}{}", trap.fault.show(slot)))
        })
    }

    fn compile(&self, program: &Program, arch: Arch, world: &World) -> Result<Code, PluginError> {
        let options = kop_jit::Options {
            arch,
            features: self.features,
            guarded: true,
            observe: false,
            catalog: &Catalog::einsn(),
            operations: &[],
            emits: false,
            addresses: world.addresses(),
        };
        kop_jit::compile(program, &options).map_err(|error| PluginError::Rejected(error.to_string()))
    }
}

/// The program of these bytes.
///
/// # Errors
/// [`PluginError::Rejected`] when they are none, or it has an instruction without meaning here.
pub fn object(bytes: &[u8]) -> Result<Object, PluginError> {
    let rejected = |reason: String| PluginError::Rejected(reason);
    let insns = decode_program(bytes).map_err(|error| rejected(error.to_string()))?;
    let flow = Flow::new(insns).map_err(|error| rejected(error.to_string()))?;
    let program = Program { name: "main".to_owned(), kind: ProgramKind::Raw, flow };
    let object = Object { programs: vec![program], ..Object::default() };
    spec::check(&object).map_err(|unsupported| rejected(unsupported.to_string()))?;
    Ok(object)
}

#[cfg(test)]
mod tests {
    use kop_ops::ebpf::{encode_program, parse_program};

    use super::*;

    fn run(args: &[&str], program: &str) -> Result<String, PluginError> {
        match Arguments::parse(args.iter().map(OsString::from))? {
            Arguments::Run(request) => answer(&request, program.as_bytes()),
            other => panic!("{other:?} is no request"),
        }
    }

    fn hex(source: &str) -> String {
        let bytes = encode_program(&parse_program(source).expect("it parses"));
        bytes.iter().map(|byte| format!("{byte:02x} ")).collect()
    }

    #[test]
    fn r0_is_printed_in_hexadecimal() {
        let program = hex("r0 = *(u16 *)(r1 + 1)\nr0 += r2\nexit");
        assert_eq!(run(&["01 02 03 ", "--engine", "spec"], &program), Ok("305".to_owned()));
        assert_eq!(run(&["--engine=spec", "--program", &hex("r0 = -1\nexit")], ""), Ok("f".repeat(16)));
        assert_eq!(run(&["", "--engine spec"], &hex("r0 = r2\nexit\n")), Ok("0".to_owned()));
        assert_eq!(run(&["--engine", "spec", "2a", ""], &hex("r0 = r2\nexit\n")), Ok("1".to_owned()));
    }

    #[test]
    fn what_is_wrong_has_a_code_and_a_line() {
        let code = |args: &[&str], program: &str| {
            let error = run(args, program).expect_err("it fails");
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
            error.code()
        };
        let spec = &["--engine", "spec"];
        assert_eq!(code(spec, &hex("r0 = *(u64 *)(r1 - 8)\nexit")), 1);
        assert_eq!(code(spec, "95 01 00 00 00 00 00 00"), 2);
        assert_eq!(code(spec, ""), 2);
        assert_eq!(code(spec, "95 0x"), 2);
        assert_eq!(code(&["--engine", "nonsense"], "95"), 2);
        assert_eq!(code(&["00 ".repeat(4097).as_str(), "--engine", "spec"], &hex("r0 = 0\nexit")), 2);
    }

    /// Function 5 returns its first argument, and a call by register finds it.
    #[test]
    fn the_suite_has_one_function() {
        assert_eq!(run(&["--engine", "spec"], &hex("r1 = 77\ncall 5\nexit")), Ok("4d".to_owned()));
        assert_eq!(run(&["--engine", "spec"], &hex("r1 = 77\nr6 = 5\ncallx r6\nexit")), Ok("4d".to_owned()));
        assert!(run(&["--engine", "spec"], &hex("r1 = 77\ncall 1\nexit")).is_err());
    }
}
