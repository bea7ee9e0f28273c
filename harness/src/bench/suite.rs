// SPDX-License-Identifier: GPL-2.0-or-later
//! Which programs there are: a folder of `NAME.bpf.c` or `NAME.o`, each with `NAME.bin` or `NAME.pcap` and `NAME.expect` where it has some.

#[cfg(feature = "prover")]
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
#[cfg(feature = "prover")]
use std::rc::Rc;

use kop_jit::LoadOptions;
#[cfg(feature = "prover")]
use kop_jit::rewrite::Profile;
use kop_ops::ebpf::{CallTarget, Insn};
use kop_ops::program::MapAddresses;
use kop_ops::state::Slot;
use kop_ops::{Catalog, Object, Program, ProgramKind};
use kop_semantics::Input;
use kop_semantics::world::helpers;
use regex::Regex;

use super::expectation::Expectation;
#[cfg(feature = "prover")]
use super::rewrites::{Made, Rewrites};
use super::{BenchError, clang};
use crate::{bounded, packets};

/// A set of programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Suite {
    /// `corpus/programs/micro`.
    Micro,
    /// `corpus/programs/apps`.
    Apps,
    /// Any folder.
    Folder(PathBuf),
}

impl From<&str> for Suite {
    /// `micro`, `apps`, or a folder's path.
    fn from(text: &str) -> Self {
        match text {
            "micro" => Suite::Micro,
            "apps" => Suite::Apps,
            path => Suite::Folder(path.into()),
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Suite::Micro => f.write_str("micro"),
            Suite::Apps => f.write_str("apps"),
            Suite::Folder(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Suite {
    fn path(&self) -> PathBuf {
        match self {
            Suite::Micro => "corpus/programs/micro".into(),
            Suite::Apps => "corpus/programs/apps".into(),
            Suite::Folder(path) => path.clone(),
        }
    }
}

/// A program with what it runs on.
pub struct Sample {
    /// Its name.
    pub name: String,
    /// Its source, for backends that take C.
    pub source: Option<PathBuf>,
    /// The file of programs that it is in.
    pub object: Object,
    /// Which it is.
    pub index: usize,
    /// Where its maps are.
    pub addresses: MapAddresses,
    /// What maps hold before, and the context.
    pub input: Input,
    /// Its packets: one, or traffic.
    pub packets: Vec<Vec<u8>>,
    /// Packets to rotate, where noise would do for none.
    pub rotating: Vec<Vec<u8>>,
    /// What is expected.
    pub expectation: Option<Expectation>,
    /// What its programs were rewritten to.
    #[cfg(feature = "prover")]
    pub rewrites: Rewrites,
    /// How its branches went on other inputs than those that are measured.
    #[cfg(feature = "prover")]
    pub profile: OnceCell<Result<Profile, String>>,
}

/// The longest packet that inputs have room for.
pub const MAX_INPUT: usize = 2048;

impl Sample {
    /// The program `index` of `object` on the packet of `input`, without a source and anything that is expected.
    pub fn new(name: String, object: Object, index: usize, addresses: MapAddresses, input: Input) -> Self {
        Sample {
            name,
            source: None,
            object,
            index,
            addresses,
            packets: vec![input.packet.clone()],
            input,
            rotating: Vec::new(),
            expectation: None,
            #[cfg(feature = "prover")]
            rewrites: Rewrites::default(),
            #[cfg(feature = "prover")]
            profile: OnceCell::new(),
        }
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.object.programs[self.index]
    }

    /// Its instructions.
    pub fn insns(&self) -> usize {
        self.program().flow.insns().len()
    }

    /// Its programs with Kops, without the operation called so; with a profile of its branches or without.
    ///
    /// # Errors
    /// Why branches cannot be profiled.
    #[cfg(feature = "prover")]
    pub fn rewritten(&self, without: Option<&str>, profiled: bool) -> Result<Rc<Made>, String> {
        let profile =
            if profiled { Some(self.profile.get_or_init(|| super::training::profile(self))) } else { None };
        let profile = profile.map(Result::as_ref).transpose().map_err(Clone::clone)?;
        Ok(self.rewrites.of(&self.object, without, profile))
    }

    /// Whether it is an XDP program with nothing around it but one packet: no map and no helper function.
    pub fn is_alone(&self) -> bool {
        let calls =
            |insn: &Insn| matches!(insn, Insn::Call { target } if !matches!(target, CallTarget::Local(_)));
        self.program().kind == ProgramKind::Xdp
            && self.object.maps.is_empty()
            && self.packets.len() == 1
            && self.packets[0].len() <= MAX_INPUT
            && !self.program().flow.insns().iter().any(calls)
    }

    /// Whether it calls functions of its own.
    pub fn has_calls(&self) -> bool {
        let calls = |insn: &Insn| matches!(insn, Insn::Call { target: CallTarget::Local(_) });
        self.program().flow.insns().iter().any(calls)
    }

    /// Its packet, and others of its length to rotate: `count` in all. They are those of its capture, or noise.
    pub fn inputs(&self, count: usize) -> Vec<Vec<u8>> {
        let own = &self.packets[0];
        let mut inputs = vec![own.clone()];
        inputs.extend(self.rotating.iter().filter(|packet| *packet != own).cloned());
        let kinds = inputs.len();
        let mut noise = 0x5eed_u64;
        while inputs.len() < count {
            let next = match self.rotating.is_empty() {
                true => own.iter().map(|_| random(&mut noise)).collect(),
                false => inputs[inputs.len() % kinds].clone(),
            };
            inputs.push(next);
        }
        inputs.truncate(count);
        inputs
    }
}

/// The next byte of SplitMix64.
fn random(state: &mut u64) -> u8 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 56) as u8
}

/// The programs of a suite whose names have `filter` in them, in alphabetical order; C is compiled.
///
/// # Errors
/// [`BenchError`] for a folder without such programs, for files that are wrong, and where clang is needed and not there.
pub fn load(suite: &Suite, filter: Option<&Regex>) -> Result<Vec<Sample>, BenchError> {
    let folder = suite.path();
    let files = std::fs::read_dir(&folder).map_err(|error| {
        let hint = match suite {
            Suite::Folder(_) => "",
            _ => "; `kop bench` looks for its suites from the top of the repository",
        };
        BenchError::Input(format!("{}: {error}{hint}", folder.display()))
    })?;
    let mut found: BTreeMap<String, bool> = BTreeMap::new();
    for file in files.filter_map(Result::ok) {
        let name = file.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some(name) = name.strip_suffix(".bpf.c") {
            found.insert(name.to_owned(), true);
        } else if let Some(name) = name.strip_suffix(".o") {
            found.entry(name.to_owned()).or_insert(false);
        }
    }
    if found.is_empty() {
        let reason = "there is no program here: NAME.bpf.c or NAME.o";
        return Err(BenchError::Input(format!("{}: {reason}", folder.display())));
    }
    found.retain(|name, _| filter.is_none_or(|filter| filter.is_match(name)));
    if found.is_empty() {
        return Err(BenchError::Input(format!("{}: --filter leaves no program", folder.display())));
    }
    found.iter().map(|(name, has_source)| sample(&folder, name, *has_source)).collect()
}

fn sample(folder: &Path, name: &str, has_source: bool) -> Result<Sample, BenchError> {
    let file = |suffix: &str| folder.join(format!("{name}.{suffix}"));
    let wrong =
        |path: &Path, reason: &dyn fmt::Display| BenchError::Input(format!("{}: {reason}", path.display()));
    let source = has_source.then(|| file("bpf.c"));
    let (path, bytes) = match &source {
        Some(source) => (source.clone(), clang::bytecode(source)?),
        None => {
            let path = file("o");
            let bytes =
                bounded::read(&path, bounded::MAX_PROGRAM_FILE).map_err(|error| wrong(&path, &error))?;
            (path, bytes)
        }
    };
    let catalog = Catalog::einsn();
    let options = LoadOptions { format: None, kind: None, catalog: Some(&catalog) };
    let mut object = kop_jit::load(&bytes, &options).map_err(|error| wrong(&path, &error))?;
    let index = entry(&object, name).map_err(|reason| wrong(&path, &reason))?;
    helpers::check_program(&object.programs[index]).map_err(|error| wrong(&path, &error))?;
    let mut input = Input::default();
    let expectation = read_expectation(&file("expect"))?;
    if let Some(expectation) = &expectation {
        expectation.prepare(&mut object, &mut input).map_err(|error| wrong(&file("expect"), &error))?;
    }
    let (packets, rotating) = read_packets(&file("bin"), &file("pcap"))?;
    let packets = if packets.is_empty() { vec![input.packet.clone()] } else { packets };
    input.packet.clone_from(&packets[0]);
    if let Some(wanted) = expectation.as_ref().map(|expectation| expectation.packets.len())
        && wanted != packets.len()
    {
        let reason = format!("{wanted} results for {} packets", packets.len());
        return Err(wrong(&file("expect"), &reason));
    }
    let addresses = MapAddresses::new(&object.maps, Slot::default()).map_err(|error| wrong(&path, &error))?;
    Ok(Sample {
        source,
        packets,
        rotating,
        expectation,
        ..Sample::new(name.to_owned(), object, index, addresses, input)
    })
}

/// The program of the file's name, or the only one.
fn entry(object: &Object, name: &str) -> Result<usize, String> {
    let named = object.programs.iter().position(|program| program.name == name);
    match (named, object.programs.len()) {
        (Some(index), _) => Ok(index),
        (None, 1) => Ok(0),
        (None, count) => Err(format!("{count} programs, none of which is called `{name}`")),
    }
}

fn read_expectation(path: &Path) -> Result<Option<Expectation>, BenchError> {
    if !path.exists() {
        return Ok(None);
    }
    let wrong = |error: &dyn fmt::Display| BenchError::Input(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    Expectation::parse(&text).map(Some).map_err(|error| wrong(&error))
}

/// The packet with those to rotate, or the traffic of a program that has no packet of its own.
#[expect(clippy::type_complexity, reason = "two lists that are taken apart at once")]
fn read_packets(bin: &Path, pcap: &Path) -> Result<(Vec<Vec<u8>>, Vec<Vec<u8>>), BenchError> {
    let read = |path: &Path| match path.exists() {
        false => Ok(Vec::new()),
        true => {
            packets::read(&path.display().to_string()).map_err(|error| BenchError::Input(error.to_string()))
        }
    };
    let (own, captured) = (read(bin)?, read(pcap)?);
    Ok(if own.is_empty() { (captured, Vec::new()) } else { (own, captured) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_named_or_folders() {
        for (text, suite) in
            [("micro", Suite::Micro), ("apps", Suite::Apps), ("./micro", Suite::Folder("./micro".into()))]
        {
            assert_eq!(Suite::from(text), suite);
            assert_eq!(suite.to_string(), text);
        }
    }

    #[test]
    fn a_folder_without_programs_is_an_error() {
        let folder = tempfile::tempdir().expect("a directory");
        let suite = Suite::Folder(folder.path().to_owned());
        assert!(matches!(load(&suite, None), Err(BenchError::Input(text)) if text.contains("no program")));
        std::fs::write(folder.path().join("a.o"), b"no object").expect("a file");
        let filter = Regex::new("^b").expect("an expression");
        assert!(
            matches!(load(&suite, Some(&filter)), Err(BenchError::Input(text)) if text.contains("--filter"))
        );
        assert!(matches!(load(&suite, None), Err(BenchError::Input(text)) if text.contains("a.o: ")));
    }
}
