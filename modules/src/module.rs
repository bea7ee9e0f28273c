// SPDX-License-Identifier: GPL-2.0-or-later
//! From files to operations: compiling, loading, putting together what belongs together.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use kop_ops::Arch;

use crate::callbacks::Callbacks;
use crate::compile::{Compiled, Compiler, Flags, is_declined};
use crate::contained::{Contained, Object, StartError, Workshop};
use crate::contract::Condition;
use crate::error::ModuleError;
use crate::headers;
use crate::operation::ModuleKop;

/// How modules are compiled, and what is declared of their operations.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Folders in which headers are looked for before ours.
    pub includes: Vec<PathBuf>,
    /// Further arguments of the compiler.
    pub cflags: Vec<String>,
    /// Site contracts: `dead=r3`, `dead=payload[16:19]`, or either with `OPERATION:` in front.
    pub contracts: Vec<String>,
    /// Payloads that may be valid, for those that cannot be found by looking for them.
    pub payloads: Vec<u64>,
}

/// How long the steps from a file to operations took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Compiling and loading, for all files together.
    pub compile: Duration,
    /// Learning what payloads look like, for this operation.
    pub learn: Duration,
}

/// The operations of the modules `sources`, in the order in which they are registered. A source is compiled twice, as for
/// x86-64 and as for ARM64; operations of one name in several files are one operation.
///
/// # Errors
/// [`ModuleError`] when a source does not compile, registers nothing or contradicts another one, when a contract does not
/// fit, or when no valid payload is found.
pub fn load(sources: &[PathBuf], options: &Options) -> Result<Vec<ModuleKop>, ModuleError> {
    let start = Instant::now();
    let conditions: Vec<Condition> =
        options.contracts.iter().map(|text| Condition::parse(text)).collect::<Result<_, _>>()?;
    let workshop = Arc::new(Workshop::new().map_err(system("make a temporary folder"))?);
    let builds = build_all(sources, options, &workshop)?;
    let groups = group(&builds)?;
    check_names(&conditions, &groups)?;
    let compile = start.elapsed();
    let kops: Vec<ModuleKop> = groups
        .into_iter()
        .map(|group| ModuleKop::new(group, options, &conditions, compile))
        .collect::<Result<_, _>>()?;
    for condition in &conditions {
        if !kops.iter().any(|kop| kop.is_bound_by(condition)) {
            return Err(condition.misfit(&kops.iter().map(ModuleKop::registered_name).collect::<Vec<_>>()));
        }
    }
    Ok(kops)
}

/// What is known of an operation before its payloads are.
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) members: Vec<Arc<Contained>>,
    /// The files that register it.
    pub(crate) sources: Vec<PathBuf>,
    /// What the compiler warned of, with each file and architecture.
    pub(crate) warnings: Vec<String>,
}

/// One file as for one architecture, or a shared object for both.
struct Build {
    source: PathBuf,
    archs: Vec<Arch>,
    object: Arc<Object>,
    warnings: String,
}

fn system(action: &'static str) -> impl Fn(std::io::Error) -> ModuleError {
    move |error| ModuleError::System { action, error }
}

fn build_all(
    sources: &[PathBuf],
    options: &Options,
    workshop: &Arc<Workshop>,
) -> Result<Vec<Build>, ModuleError> {
    let include = workshop.path().join("include");
    headers::write_to(&include).map_err(system("write the headers"))?;
    let flags = Flags { headers: &include, includes: &options.includes, cflags: &options.cflags };
    let mut builds = Vec::new();
    for (i, source) in sources.iter().enumerate() {
        match Kind::of(source)? {
            Kind::Object => {
                // A path without a slash would be looked for in the system's folders.
                let path = fs::canonicalize(source).map_err(|error| read_error(source, error))?;
                builds.push(open(
                    workshop,
                    source,
                    Compiled { object: path, warnings: String::new() },
                    &Arch::ALL,
                )?);
            }
            Kind::Source => builds.extend(build_source(source, i, &flags, workshop)?),
        }
    }
    Ok(builds)
}

/// Compiles a source for both architectures, and loads both. A source that has an emit for one of them need not compile as for
/// the other.
fn build_source(
    source: &Path,
    number: usize,
    flags: &Flags,
    workshop: &Arc<Workshop>,
) -> Result<Vec<Build>, ModuleError> {
    let compiler = Compiler::find()?;
    let object = |arch: Arch| workshop.path().join(format!("{number}-{arch}.so"));
    let compile = |arch| compiler.compile(source, arch, flags, object(arch));
    let [x86, arm] = thread::scope(|scope| {
        let other = scope.spawn(|| compile(Arch::Aarch64));
        [compile(Arch::X86_64), other.join().expect("compiling does not panic")]
    });
    let text = fs::read(source).map_err(|error| read_error(source, error))?;
    let is_for = |arch| mentions(&text, emit_of(arch));
    let may_fail = |arch: Arch, error: &ModuleError| declines(error) || !is_for(arch);
    let compiled: Vec<(Arch, Compiled)> = match (x86, arm) {
        (Ok(x86), Ok(arm)) => vec![(Arch::X86_64, x86), (Arch::Aarch64, arm)],
        (Ok(x86), Err(error)) if may_fail(Arch::Aarch64, &error) => vec![(Arch::X86_64, x86)],
        (Err(error), Ok(arm)) if may_fail(Arch::X86_64, &error) => vec![(Arch::Aarch64, arm)],
        // Of two failures the one that the source is made for is told.
        (Err(_), Err(error)) if !is_for(Arch::X86_64) && is_for(Arch::Aarch64) => return Err(error),
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    let mut builds = Vec::new();
    let mut idle = None;
    for (arch, compiled) in compiled {
        match open(workshop, source, compiled, &[arch]) {
            Ok(build) => builds.push(build),
            // A source may register nothing for an architecture that it is not made for.
            Err(error @ ModuleError::Nothing { .. }) => idle = Some(error),
            Err(error) => return Err(error),
        }
    }
    match idle {
        Some(error) if builds.is_empty() => Err(error),
        _ => Ok(builds),
    }
}

/// The member of `struct bpf_kinsn` that is an architecture's emit.
const fn emit_of(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "emit_x86",
        Arch::Aarch64 => "emit_arm64",
    }
}

/// Whether a source names a member: what it does not name it has none of, unless a header of its own does.
fn mentions(text: &[u8], member: &str) -> bool {
    text.windows(member.len()).any(|window| window == member.as_bytes())
}

fn declines(error: &ModuleError) -> bool {
    matches!(error, ModuleError::Compile { stderr, .. } if is_declined(stderr))
}

fn open(
    workshop: &Arc<Workshop>,
    source: &Path,
    compiled: Compiled,
    archs: &[Arch],
) -> Result<Build, ModuleError> {
    let object = Object::load(Arc::clone(workshop), &compiled.object).map_err(|error| match error {
        StartError::System(error) => ModuleError::System { action: "start a process for the module", error },
        StartError::Module(reason) => ModuleError::Module { path: source.to_owned(), reason },
        StartError::Nothing(reason) => ModuleError::Nothing { path: source.to_owned(), reason },
    })?;
    Ok(Build {
        source: source.to_owned(),
        archs: archs.to_vec(),
        object: Arc::new(object),
        warnings: compiled.warnings,
    })
}

/// What a file is, by its first bytes.
pub(crate) enum Kind {
    Source,
    Object,
}

fn read_error(path: &Path, error: std::io::Error) -> ModuleError {
    ModuleError::Read { path: path.to_owned(), error }
}

impl Kind {
    pub(crate) fn of(path: &Path) -> Result<Self, ModuleError> {
        let mut head = Vec::new();
        let read = fs::File::open(path).and_then(|file| file.take(20).read_to_end(&mut head));
        read.map_err(|error| read_error(path, error))?;
        if !head.starts_with(b"\x7fELF") {
            return Ok(Kind::Source);
        }
        match wrong_object(&head) {
            None => Ok(Kind::Object),
            Some(reason) => Err(ModuleError::Module { path: path.to_owned(), reason }),
        }
    }
}

/// Why an ELF file with these first bytes cannot be loaded here (System V ABI, ELF header).
fn wrong_object(head: &[u8]) -> Option<String> {
    const SHARED: u16 = 3;
    const MACHINES: [(u16, &str); 3] = [(62, "x86_64"), (183, "aarch64"), (3, "x86")];
    let half = |at: usize| Some(u16::from_le_bytes([*head.get(at)?, *head.get(at + 1)?]));
    let (Some(kind), Some(machine)) = (half(16), half(18)) else {
        return Some("the file ends within its header".to_owned());
    };
    let name =
        MACHINES.iter().find(|(number, _)| *number == machine).map_or("another machine", |(_, name)| name);
    let here = std::env::consts::ARCH;
    if head[4] != 2 || head[5] != 1 || name != here {
        return Some(format!(
            "it is built for {name}, and this is {here}: build it for this machine (code for ARM64 is emitted by plain C)"
        ));
    }
    if kind != SHARED {
        return Some(
            "it is no shared object: give the C source, or link it with -shared against the headers of this project"
                .to_owned(),
        );
    }
    None
}

/// Puts operations of one name together, in the order in which they are first registered.
fn group(builds: &[Build]) -> Result<Vec<Group>, ModuleError> {
    let mut groups: Vec<Group> = Vec::new();
    for build in builds {
        for index in 0..build.object.operations.len() {
            let member = Contained::new(Arc::clone(&build.object), index, &build.source, &build.archs);
            let name = member.descriptor().name.clone();
            match groups.iter_mut().find(|group| group.name == name) {
                Some(group) => group.add(member)?,
                None => groups.push(Group {
                    name,
                    sources: vec![build.source.clone()],
                    members: vec![Arc::new(member)],
                    warnings: Vec::new(),
                }),
            }
        }
    }
    for group in &mut groups {
        let own = builds.iter().filter(|build| group.sources.contains(&build.source));
        group.warnings = own.map(|build| build.warnings.clone()).filter(|text| !text.is_empty()).collect();
        group.warnings.dedup();
        group.leave_out_idle();
    }
    Ok(groups)
}

impl Group {
    fn add(&mut self, member: Contained) -> Result<(), ModuleError> {
        let new = member.descriptor();
        for own in &self.members {
            let own = own.descriptor();
            if let Some(arch) = own.archs.iter().find(|arch| new.archs.contains(arch)) {
                return Err(ModuleError::Twice {
                    name: self.name.clone(),
                    arch: *arch,
                    first: own.source.clone(),
                    second: new.source.clone(),
                });
            }
        }
        if !self.sources.contains(&new.source) {
            self.sources.push(new.source.clone());
        }
        self.members.push(Arc::new(member));
        Ok(())
    }

    /// Leaves out builds without an emit, unless there are no others. One is kept then: it has a proof.
    fn leave_out_idle(&mut self) {
        let has_emit = |member: &Arc<Contained>| !member.descriptor().archs.is_empty();
        if self.members.iter().any(has_emit) {
            self.members.retain(has_emit);
        } else {
            self.members.truncate(1);
        }
        self.members.sort_by_key(|member| member.descriptor().archs.clone());
    }
}

fn check_names(conditions: &[Condition], groups: &[Group]) -> Result<(), ModuleError> {
    let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    match conditions.iter().find(|condition| condition.operation().is_some_and(|own| !names.contains(&own))) {
        Some(condition) => Err(condition.misfit(&names)),
        None => Ok(()),
    }
}
