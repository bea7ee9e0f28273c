// SPDX-License-Identifier: GPL-2.0-or-later
//! The programs of `corpus/programs`, as `make programs` compiled them, with packets and results.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use kop_emulators::kernel::{KernelImage, Loaded};
use kop_emulators::rbpf::RbpfJit;
use kop_ops::ebpf::{CallTarget, Insn, encode_program};
use kop_ops::program::MapAddresses;
use kop_ops::state::Slot;
use kop_ops::{Object, Program};

use crate::measure::quiet;
use crate::ways::Setup;

/// A program with what it runs on.
pub struct Sample {
    /// Its name.
    pub name: String,
    /// The file of programs that it is in.
    pub object: Object,
    /// Which it is.
    pub index: usize,
    /// Where its maps are.
    pub addresses: MapAddresses,
    /// Its packet.
    pub packet: Vec<u8>,
    /// What it returns.
    pub result: u32,
    rbpf_code: OnceCell<Result<Vec<u8>, String>>,
}

impl Sample {
    /// The program.
    pub fn program(&self) -> &Program {
        &self.object.programs[self.index]
    }

    /// Whether it needs nothing around it: no map and no helper function.
    pub fn is_alone(&self) -> bool {
        let calls =
            |insn: &Insn| matches!(insn, Insn::Call { target } if !matches!(target, CallTarget::Local(_)));
        self.object.maps.is_empty() && !self.program().flow.insns().iter().any(calls)
    }

    /// rbpf's code for it. It is asked for once: rbpf's code is found by what it changes in this process.
    ///
    /// # Errors
    /// Why there is none, in one line.
    pub fn rbpf_code(&self) -> Result<&[u8], String> {
        let code = self.rbpf_code.get_or_init(|| {
            if !self.is_alone() {
                return Err("rbpf has no maps, and its helper functions are others".to_owned());
            }
            quiet(|| RbpfJit::new(&encode_program(self.program().flow.insns()))?.code())
        });
        code.as_deref().map_err(Clone::clone)
    }

    /// What the kernel makes of it.
    ///
    /// # Errors
    /// Why it makes nothing, in one line.
    pub fn kernel_image(&self, setup: &Setup) -> Result<KernelImage, String> {
        setup.kernel.clone()?;
        let loaded = Loaded::new(&self.object, self.index, 0, false).map_err(|error| error.to_string())?;
        loaded.image().map_err(|error| error.to_string())
    }
}

/// The programs in alphabetical order; `only` that one.
///
/// # Errors
/// What is missing, and the way out.
pub fn load(only: Option<&str>) -> Result<Vec<Sample>, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let folder = root.join("corpus/programs");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            (path.extension()? == "c").then(|| path.file_stem()?.to_str().map(str::to_owned))?
        })
        .filter(|name| only.is_none_or(|only| only == name))
        .collect();
    names.sort();
    names.iter().map(|name| sample(&folder, &target.join("programs"), name)).collect()
}

fn sample(folder: &Path, objects: &Path, name: &str) -> Result<Sample, String> {
    let read = |path: PathBuf| std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()));
    let path = objects.join(format!("{name}.o"));
    let bytes = read(path.clone()).map_err(|error| format!("{error}: `make programs` compiles it"))?;
    let object = kop_jit::load::load(&bytes, &kop_jit::load::LoadOptions::default())
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let index = object.programs.iter().position(|program| program.name == name);
    let index = index.ok_or_else(|| format!("{}: there is no program `{name}`", path.display()))?;
    let addresses = MapAddresses::new(&object.maps, Slot::default()).map_err(|error| error.to_string())?;
    let expected = String::from_utf8(read(folder.join(format!("{name}.expect")))?)
        .map_err(|_| format!("{name}.expect is no text"))?;
    let result = expected.lines().find_map(|line| line.strip_prefix("result ")?.parse().ok());
    Ok(Sample {
        name: name.to_owned(),
        object,
        index,
        addresses,
        packet: read(folder.join(format!("{name}.bin")))?,
        result: result.ok_or_else(|| format!("{name}.expect has no result"))?,
        rbpf_code: OnceCell::new(),
    })
}
