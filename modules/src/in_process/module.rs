// SPDX-License-Identifier: GPL-2.0-or-later
//! Modules that are compiled with what this process can use to look into them, and loaded.

use std::collections::HashMap;
use std::ffi::CStr;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kop_ops::Arch;

use super::{InProcess, Loaded};
use crate::callbacks::Descriptor;
use crate::compile::{Compiler, Flags};
use crate::error::ModuleError;
use crate::headers;
use crate::module::{Kind, Options};
use crate::operation::ModuleKop;

/// What this process offers to code that it loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sanitizers {
    /// The functions that coverage instrumentation calls: libFuzzer is there.
    pub coverage: bool,
    /// AddressSanitizer.
    pub address: bool,
}

impl Sanitizers {
    /// Those of this process.
    pub fn here() -> Self {
        Self { coverage: has(c"__sanitizer_cov_8bit_counters_init"), address: has(c"__asan_init") }
    }

    /// Whether there is any.
    const fn any(self) -> bool {
        self.coverage || self.address
    }

    /// The flags by which clang instruments for them.
    fn flags(self) -> Vec<String> {
        let mut flags = Vec::new();
        if self.coverage {
            flags.extend(["-fsanitize-coverage=inline-8bit-counters,pc-table,trace-cmp", "-DKOP_COVERAGE"]);
        }
        if self.address {
            // Past clang's driver, which would link a part of its own runtime: the process has one.
            flags.extend(["-Xclang", "-fsanitize=address", "-fno-omit-frame-pointer"]);
        }
        if !flags.is_empty() {
            // The functions are found in the process. An optimiser makes one comparison of several, which is then passed at
            // once or not at all.
            flags.extend(["-Wl,-z,undefs", "-O0"]);
        }
        flags.into_iter().map(str::to_owned).collect()
    }
}

/// Whether the process exports a function.
fn has(name: &CStr) -> bool {
    // SAFETY: the name is a C string, and looking a name up has no effect.
    !unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }.is_null()
}

/// The operations of the modules `sources`, as [`crate::load`] has them, with callbacks that run in this process.
///
/// Loading and learning happen in children, so that a module that crashes there ends nothing. Then sources are compiled once
/// more, with [`Sanitizers`] by clang, and loaded into this process for as long as it lives; shared objects are loaded as
/// they are.
///
/// # Errors
/// As [`crate::load`], and when clang is missing or a module that was loaded in a child cannot be loaded here.
pub fn load(sources: &[PathBuf], options: &Options) -> Result<Vec<ModuleKop>, ModuleError> {
    let mut kops = crate::load(sources, options)?;
    let mut builds = Builds { options, sanitizers: Sanitizers::here(), loaded: HashMap::new() };
    for member in kops.iter_mut().flat_map(ModuleKop::members_mut) {
        *member = Arc::new(builds.callbacks(member.descriptor())?);
    }
    Ok(kops)
}

/// Builds the modules `sources` into `folder`, so that [`load`] needs neither them nor a compiler: each as a shared object
/// that runs anywhere, and one beside it that is instrumented with [`Sanitizers`] and belongs to this program. Shared objects
/// are not built again.
///
/// A source that has emits for both architectures becomes an object for each.
///
/// # Errors
/// As [`load`], and when the folder cannot be written.
pub fn build(sources: &[PathBuf], options: &Options, folder: &Path) -> Result<(), ModuleError> {
    let mut kops = crate::load(sources, options)?;
    fs::create_dir_all(folder).map_err(system("make the folder for built modules"))?;
    let builds = Builds { options, sanitizers: Sanitizers::here(), loaded: HashMap::new() };
    for member in kops.iter_mut().flat_map(ModuleKop::members_mut) {
        let source = &member.descriptor().source;
        if let Kind::Object = Kind::of(source)? {
            continue;
        }
        let arch = arch_of(member.descriptor());
        let stem = source.file_stem().unwrap_or_default().to_string_lossy();
        let plain = folder.join(format!("{stem}-{arch}.so"));
        builds.compile(source, arch, Vec::new(), &plain)?;
        let flags = builds.sanitizers.flags();
        if !flags.is_empty() {
            builds.compile(source, arch, flags, &instrumented(&plain))?;
        }
    }
    Ok(())
}

/// Where [`build`] puts the instrumented twin of a shared object.
fn instrumented(plain: &Path) -> PathBuf {
    plain.with_extension(INSTRUMENTED)
}

/// The extension of instrumented shared objects that [`build`] makes.
const INSTRUMENTED: &str = "fuzz.so";

/// Whether a path names a shared object that is not the instrumented one of another.
pub fn is_plain_object(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".so") && !name.ends_with(&format!(".{INSTRUMENTED}"))
}

/// What a source is compiled as. Without an emit any will do for the proof.
fn arch_of(descriptor: &Descriptor) -> Arch {
    descriptor.archs.first().copied().unwrap_or(Arch::X86_64)
}

/// What has been built and loaded so far, by source and architecture; shared objects have none.
struct Builds<'o> {
    options: &'o Options,
    sanitizers: Sanitizers,
    loaded: HashMap<(PathBuf, Option<Arch>), Arc<Loaded>>,
}

impl Builds<'_> {
    fn callbacks(&mut self, descriptor: &Descriptor) -> Result<InProcess, ModuleError> {
        let source = &descriptor.source;
        let arch = match Kind::of(source)? {
            Kind::Object => None,
            Kind::Source => Some(arch_of(descriptor)),
        };
        let key = (source.clone(), arch);
        let loaded = match self.loaded.get(&key) {
            Some(loaded) => Arc::clone(loaded),
            None => {
                let loaded = match arch {
                    Some(arch) => self.build(source, arch)?,
                    None => {
                        let twin =
                            Some(instrumented(source)).filter(|twin| self.sanitizers.any() && twin.exists());
                        let object = fs::canonicalize(twin.as_ref().unwrap_or(source))
                            .map_err(|error| ModuleError::Read { path: source.clone(), error })?;
                        open(source, &object)?
                    }
                };
                Arc::clone(self.loaded.entry(key).or_insert(Arc::new(loaded)))
            }
        };
        InProcess::new(loaded, descriptor)
            .ok_or_else(|| broken(source, format!("it does not register {} any more", descriptor.name)))
    }

    /// Compiles a source and loads it. A fuzzer's shared object is kept, since reports of crashes are made with its lines.
    fn build(&self, source: &Path, arch: Arch) -> Result<Loaded, ModuleError> {
        let folder = folder().map_err(system("make a folder for modules beside the program"))?;
        let workshop = tempfile::Builder::new().prefix("build-").tempdir_in(&folder);
        let workshop = workshop.map_err(system("make a temporary folder"))?;
        let new = workshop.path().join("module.so");
        let flags = self.sanitizers.flags();
        let kept = folder.join(file_name(source, arch, &self.cflags(&flags)));
        self.compile(source, arch, flags, &new)?;
        if !self.sanitizers.coverage {
            return open(source, &new);
        }
        // Another process may have the same one loaded; it keeps what it has when the name goes to a new file.
        fs::rename(&new, &kept).map_err(system("rename a shared object"))?;
        open(source, &kept)
    }

    /// The flags that were asked for, and those of the instrumentation.
    fn cflags(&self, instrumentation: &[String]) -> Vec<String> {
        [&self.options.cflags[..], instrumentation].concat()
    }

    /// Compiles a source with the flags of an instrumentation, or without any.
    fn compile(
        &self,
        source: &Path,
        arch: Arch,
        instrumentation: Vec<String>,
        object: &Path,
    ) -> Result<(), ModuleError> {
        let headers = tempfile::tempdir().map_err(system("make a temporary folder"))?;
        headers::write_to(headers.path()).map_err(system("write the headers"))?;
        let compiler = if instrumentation.is_empty() { Compiler::find()? } else { Compiler::find_clang()? };
        let cflags = self.cflags(&instrumentation);
        let flags = Flags { headers: headers.path(), includes: &self.options.includes, cflags: &cflags };
        compiler.compile(source, arch, &flags, object.to_owned()).map(drop)
    }
}

fn open(source: &Path, object: &Path) -> Result<Loaded, ModuleError> {
    Loaded::open(object).map_err(|reason| broken(source, reason))
}

fn broken(source: &Path, reason: String) -> ModuleError {
    ModuleError::Module { path: source.to_owned(), reason }
}

fn system(action: &'static str) -> impl Fn(io::Error) -> ModuleError {
    move |error| ModuleError::System { action, error }
}

/// The folder `modules` beside this program: what belongs to a build of it.
fn folder() -> io::Result<PathBuf> {
    let folder = std::env::current_exe()?.with_file_name("modules");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The name of a source's shared object: that of the source, and what tells those of one name apart.
fn file_name(source: &Path, arch: Arch, cflags: &[String]) -> String {
    let mut hasher = DefaultHasher::new();
    (fs::canonicalize(source).unwrap_or_else(|_| source.to_owned()), cflags).hash(&mut hasher);
    let stem = source.file_stem().unwrap_or_default().to_string_lossy();
    format!("{stem}-{arch}-{:016x}.so", hasher.finish())
}
