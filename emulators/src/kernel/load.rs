// SPDX-License-Identifier: GPL-2.0-or-later
//! Objects in the kernel: maps and programs, loaded, run and read back.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::rc::Rc;

use kop_ops::ebpf::{CallTarget, Insn, encode_program};
use kop_ops::program::{MapKind, MapSpec};
use kop_ops::state::WINDOW_SIZE;
use kop_ops::{Object, ProgramKind};

use super::cpu::Pinned;
use super::map::{self, Declared, Entries};
use super::prepare::{Frame, Prepared, RESULT, WINDOW, prepare};
use super::sys::{Detail, Load, LoadedProgram, Map, MapShape, TestResult, TestRun};
use super::verdict::{Verdict, text};
use super::{KernelError, failed, license};

pub(super) const SOCKET_FILTER: u32 = 1;
const SCHED_CLS: u32 = 3;
const XDP: u32 = 6;

/// `enum bpf_prog_type`: raw programs are put into XDP programs, which the kernel runs with the least around them.
fn number(kind: ProgramKind) -> u32 {
    match kind {
        ProgramKind::Raw | ProgramKind::Xdp => XDP,
        ProgramKind::Tc => SCHED_CLS,
    }
}

/// The bytes of a log that is read for its end; a kernel before 6.4 keeps the start of one that does not fit.
const SHORT_LOG: usize = 1 << 18;
const WHOLE_LOG: usize = 1 << 24;

/// The map that is a raw program's window, or the one for r0.
fn bytes_map(name: &str, value_size: u32) -> Result<Map, KernelError> {
    let shape = MapShape {
        kind: map::number(MapKind::Array),
        key_size: 4,
        value_size,
        max_entries: 1,
        flags: 0,
        value_bytes: value_size as usize,
    };
    Map::create(shape).map_err(failed(format!("create the map for {name}")))
}

/// The maps around a program, after those of the object.
#[derive(Debug)]
struct Surroundings {
    /// At [`WINDOW`] and [`RESULT`].
    maps: [Map; 2],
}

impl Surroundings {
    fn new() -> Result<Self, KernelError> {
        Ok(Self { maps: [bytes_map("the window", WINDOW_SIZE as u32)?, bytes_map("r0", 8)?] })
    }
}

/// One program with all that its loading takes.
struct Request<'a> {
    prepared: Prepared,
    code: Vec<u8>,
    license: CString,
    descriptors: Vec<u32>,
    /// The maps that the descriptors are of, which live as long.
    _maps: Vec<Rc<Map>>,
    kind: ProgramKind,
    name: &'a str,
}

impl<'a> Request<'a> {
    fn new(
        object: &'a Object,
        index: usize,
        frame: Frame,
        maps: &[Rc<Map>],
        around: &Surroundings,
    ) -> Result<Self, KernelError> {
        let program = &object.programs[index];
        let prepared = prepare(object, program, frame)?;
        let code = encode_program(&prepared.insns);
        let license = license(&object.license)?;
        let own = maps.iter().map(|map| map.number());
        let descriptors = own.chain(around.maps.iter().map(Map::number)).collect();
        let _maps = maps.to_vec();
        Ok(Self { prepared, code, license, descriptors, _maps, kind: program.kind, name: &program.name })
    }

    fn load(&self) -> Load<'_> {
        let (code, license, maps) = (&self.code[..], &*self.license, &self.descriptors[..]);
        Load { kind: number(self.kind), code, license, maps }
    }

    /// The program in the kernel, or what the verifier has against it.
    fn judged(&self) -> Result<Result<LoadedProgram, Verdict>, KernelError> {
        self.load().load().map(Ok).or_else(|error| self.explained(error))
    }

    fn explained(&self, error: io::Error) -> Result<Result<LoadedProgram, Verdict>, KernelError> {
        let mut log = vec![0; SHORT_LOG];
        if let Ok(loaded) = self.load().load_logged(Detail::of(&error), &mut log) {
            return Ok(Ok(loaded));
        }
        let verdict = verdict(&text(&log), error, self.prepared.prologue);
        verdict.map(Err).map_err(failed(format!("load program `{}`", self.name)))
    }

    /// The whole log, whatever the verdict.
    fn log(&self) -> String {
        let mut log = vec![0; WHOLE_LOG];
        let _verdict = self.load().load_logged(Detail::Trace, &mut log);
        text(&log)
    }
}

/// The verdict that an error and the log that came with it are, or the error where it is none.
fn verdict(log: &str, error: io::Error, prologue: usize) -> io::Result<Verdict> {
    let no_verdict = [libc::EPERM, libc::ENOSYS, libc::ENOMEM, libc::EAGAIN, libc::EINTR];
    if log.is_empty() && error.raw_os_error().is_some_and(|number| no_verdict.contains(&number)) {
        return Err(error);
    }
    Ok(Verdict::refused(log, &error, prologue))
}

/// Loads a program without maps, and unloads it at once.
pub(super) fn verdict_of(kind: u32, code: &[u8]) -> Result<(), KernelError> {
    let load = Load { kind, code, license: c"GPL", maps: &[] };
    let Err(error) = load.load() else {
        return Ok(());
    };
    let mut log = vec![0; SHORT_LOG];
    if load.load_logged(Detail::of(&error), &mut log).is_ok() {
        return Ok(());
    }
    Err(verdict(&text(&log), error, 0).map_or_else(failed("load the program"), KernelError::Refused))
}

/// Asks the verifier about programs. It keeps the maps that it creates, for programs over the same maps.
#[derive(Debug)]
pub struct Verifier {
    around: Surroundings,
    maps: HashMap<MapSpec, Rc<Map>>,
}

impl Verifier {
    /// The most maps that are kept.
    const KEPT: usize = 64;

    /// A verifier without maps.
    ///
    /// # Errors
    /// [`KernelError::Failed`] when the kernel does not let this process create maps.
    pub fn new() -> Result<Self, KernelError> {
        Ok(Self { around: Surroundings::new()?, maps: HashMap::new() })
    }

    /// Whether the kernel accepts the program `index` of `object`; a raw program with `length` bytes of data in its window. The program is loaded and
    /// unloaded at once.
    ///
    /// # Errors
    /// [`KernelError::Unsupported`] for what cannot be put to the kernel, and [`KernelError::Failed`] when there is no verdict.
    pub fn verify(&mut self, object: &Object, index: usize, length: u64) -> Result<Verdict, KernelError> {
        let request = self.request(object, index, length)?;
        match request.judged()? {
            Ok(_) => Ok(Verdict::accepted(request.prepared.prologue)),
            Err(verdict) => Ok(verdict),
        }
    }

    /// The verifier's whole log for a program, accepted or not.
    ///
    /// # Errors
    /// As [`Verifier::verify`].
    pub fn log(&mut self, object: &Object, index: usize, length: u64) -> Result<String, KernelError> {
        Ok(self.request(object, index, length)?.log())
    }

    fn request<'a>(
        &mut self,
        object: &'a Object,
        index: usize,
        length: u64,
    ) -> Result<Request<'a>, KernelError> {
        let maps = object.maps.iter().map(|spec| self.map(spec)).collect::<Result<Vec<_>, _>>()?;
        Request::new(object, index, Frame { length, observe: false }, &maps, &self.around)
    }

    fn map(&mut self, spec: &MapSpec) -> Result<Rc<Map>, KernelError> {
        if let Some(map) = self.maps.get(spec) {
            return Ok(Rc::clone(map));
        }
        if self.maps.len() >= Self::KEPT {
            self.maps.clear();
        }
        let map = Rc::new(map::create(spec)?);
        if spec.kind == MapKind::ProgramArray {
            // It belongs to the first kind of program that is loaded with it.
            return Ok(map);
        }
        let declared = Declared { map: &map, spec };
        if declared.is_constant() {
            declared.fill()?;
        }
        self.maps.insert(spec.clone(), Rc::clone(&map));
        Ok(map)
    }
}

/// An object in the kernel: the program that runs start with, those that it reaches by tail calls, and all maps.
#[derive(Debug)]
pub struct Loaded {
    object: Object,
    entry: usize,
    observe: bool,
    maps: Vec<Rc<Map>>,
    around: Surroundings,
    programs: Vec<Option<LoadedProgram>>,
    pinned: bool,
    /// What each map was last seen or made to hold, until the next run.
    known: RefCell<Vec<Option<Entries>>>,
}

/// What a run ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// r0: all of it in an observing load, else the low half.
    pub r0: u64,
    /// What else the kernel tells.
    pub result: TestResult,
    /// The CPU that it ran on, where that matters.
    pub cpu: usize,
}

impl Loaded {
    /// Loads the program `entry` of `object` and what it reaches; raw programs with `length` bytes of data in their
    /// window. With `observe`, programs end with a few instructions that store r0; without, they are loaded as they are.
    ///
    /// # Errors
    /// [`KernelError`], of which [`KernelError::Refused`] holds the verdict.
    pub fn new(object: &Object, entry: usize, length: u64, observe: bool) -> Result<Self, KernelError> {
        let around = Surroundings::new()?;
        let mut maps = Vec::with_capacity(object.maps.len());
        for spec in object.maps.iter() {
            let map = map::create(spec)?;
            if map::holds_bytes(spec.kind) {
                Declared { map: &map, spec }.fill()?;
            }
            maps.push(Rc::new(map));
        }
        let mut programs: Vec<Option<LoadedProgram>> = object.programs.iter().map(|_| None).collect();
        for index in reached(object, entry)? {
            let request = Request::new(object, index, Frame { length, observe }, &maps, &around)?;
            programs[index] = Some(request.judged()?.map_err(KernelError::Refused)?);
        }
        let loaded = Self {
            object: object.clone(),
            entry,
            observe,
            maps,
            around,
            programs,
            pinned: depends_on_cpu(object),
            known: RefCell::new(vec![None; object.maps.len()]),
        };
        loaded.fill_program_arrays()?;
        Ok(loaded)
    }

    fn fill_program_arrays(&self) -> Result<(), KernelError> {
        for (map, index, target) in program_arrays(&self.object) {
            let Some(program) = &self.programs[target?] else { continue };
            let spec = &self.object.maps[map];
            self.maps[map]
                .update(index, &program.number().to_ne_bytes())
                .map_err(failed(format!("put a program into map `{}`", spec.name)))?;
        }
        Ok(())
    }

    fn declared(&self, index: usize) -> Declared<'_> {
        Declared { map: &self.maps[index], spec: &self.object.maps[index] }
    }

    /// The object's maps.
    pub(super) fn maps(&self) -> &[Rc<Map>] {
        &self.maps
    }

    /// The window and the map of r0.
    pub(super) fn around(&self) -> &[Map; 2] {
        &self.around.maps
    }

    /// The program that runs start with.
    pub(super) fn program(&self) -> &LoadedProgram {
        self.programs[self.entry].as_ref().expect("the entry was loaded first")
    }

    /// Sets the bytes of a raw program's window, all of them.
    ///
    /// # Errors
    /// [`KernelError::Failed`] with what bpf(2) reports.
    pub fn set_window(&self, bytes: &[u8]) -> Result<(), KernelError> {
        self.around.maps[WINDOW].update(&[0; 4], bytes).map_err(failed("write the window"))
    }

    /// The bytes of a raw program's window.
    ///
    /// # Errors
    /// [`KernelError::Failed`] with what bpf(2) reports.
    pub fn window(&self) -> Result<Vec<u8>, KernelError> {
        let mut bytes = vec![0; WINDOW_SIZE];
        self.around.maps[WINDOW].lookup(&[0; 4], &mut bytes).map_err(failed("read the window"))?;
        Ok(bytes)
    }

    /// Makes the map `index` hold `entries` alone, ascending by key; nothing happens to constants and to maps whose values are
    /// not bytes.
    ///
    /// # Errors
    /// [`KernelError`] with what bpf(2) reports.
    pub fn set_entries(&self, index: usize, entries: &Entries) -> Result<(), KernelError> {
        let declared = self.declared(index);
        if declared.is_constant() || !map::holds_bytes(declared.spec.kind) {
            return Ok(());
        }
        let known = &mut self.known.borrow_mut()[index];
        if known.as_ref() != Some(entries) {
            declared.reset(known.take().as_ref(), entries)?;
            *known = Some(entries.clone());
        }
        Ok(())
    }

    /// What the map `index` holds, as `cpu` sees it, ascending by key; `None` when its values are not bytes.
    ///
    /// # Errors
    /// [`KernelError::Failed`] with what bpf(2) reports.
    pub fn entries(&self, index: usize, cpu: usize) -> Result<Option<Entries>, KernelError> {
        let declared = self.declared(index);
        if !map::holds_bytes(declared.spec.kind) {
            return Ok(None);
        }
        let entries = declared.entries(cpu)?;
        // What one CPU sees is not what a map with values for each holds.
        if !map::is_per_cpu(declared.spec.kind) {
            self.known.borrow_mut()[index] = Some(entries.clone());
        }
        Ok(Some(entries))
    }

    /// Runs the program.
    ///
    /// # Errors
    /// [`KernelError::Failed`] with what bpf(2) reports, which is EINVAL for packets and contexts that it does not take.
    pub fn run(&self, test: &TestRun) -> Result<Ended, KernelError> {
        self.known.borrow_mut().fill(None);
        let pinned = self.pinned.then(Pinned::new).transpose().map_err(failed("stay on one CPU"))?;
        let result = self.program().run(test).map_err(failed("run the program"))?;
        let cpu = pinned.map_or(0, |pinned| pinned.cpu);
        let mut r0 = u64::from(result.r0);
        if self.observe {
            let mut bytes = [0; 8];
            self.around.maps[RESULT].lookup(&[0; 4], &mut bytes).map_err(failed("read r0"))?;
            r0 = u64::from_ne_bytes(bytes);
            assert_eq!(r0 as u32, result.r0, "the program ends with what it stored");
        }
        Ok(Ended { r0, result, cpu })
    }
}

/// Whether results depend on the CPU that a program runs on.
fn depends_on_cpu(object: &Object) -> bool {
    const GET_SMP_PROCESSOR_ID: i32 = 8;
    let calls = |insn: &Insn| *insn == Insn::Call { target: CallTarget::Helper(GET_SMP_PROCESSOR_ID) };
    object.maps.iter().any(|spec| map::is_per_cpu(spec.kind))
        || object.programs.iter().any(|program| program.flow.insns().iter().any(calls))
}

/// The entries of all program arrays: map, index in it, and program.
fn program_arrays(object: &Object) -> impl Iterator<Item = (usize, &[u8], Result<usize, KernelError>)> {
    let arrays = object.maps.iter().enumerate().filter(|(_, spec)| spec.kind == MapKind::ProgramArray);
    arrays.flat_map(move |(map, spec)| {
        spec.initial.iter().map(move |(index, value)| {
            let target = <[u8; 4]>::try_from(&value[..]).map(|bytes| u32::from_le_bytes(bytes) as usize);
            let target = target.ok().filter(|target| *target < object.programs.len()).ok_or_else(|| {
                KernelError::Unsupported(format!("map `{}` holds a program that there is not", spec.name))
            });
            (map, &index[..], target)
        })
    })
}

/// The program that runs start with, and those in program arrays if it can call them.
fn reached(object: &Object, entry: usize) -> Result<Vec<usize>, KernelError> {
    let mut programs = vec![entry];
    for (_, _, target) in program_arrays(object) {
        let target = target?;
        if !programs.contains(&target) {
            programs.push(target);
        }
    }
    Ok(programs)
}
