// SPDX-License-Identifier: GPL-2.0-or-later
//! bpf(2) as calls that cannot go wrong in memory: every buffer that the kernel reads or writes is checked here against
//! the size that the kernel takes it for. The layouts are those of include/uapi/linux/bpf.h.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use kop_ops::program::{MAP_INDEX, MAP_VALUE_INDEX};

const MAP_CREATE: libc::c_long = 0;
const MAP_LOOKUP_ELEM: libc::c_long = 1;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const MAP_DELETE_ELEM: libc::c_long = 3;
const MAP_GET_NEXT_KEY: libc::c_long = 4;
const PROG_LOAD: libc::c_long = 5;
const PROG_TEST_RUN: libc::c_long = 10;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const MAP_FREEZE: libc::c_long = 22;

/// Calls bpf(2), again when a signal interrupted the verifier, which then gives up with EAGAIN.
///
/// # Safety
/// `attributes` is the start of a `union bpf_attr` for `command`, and every address in it is 0 or that of a buffer which the kernel
/// may use as the command says.
unsafe fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_long> {
    let mut attempts = 5;
    loop {
        // SAFETY: the kernel reads and writes as many bytes at `attributes` as are given here; the caller answers for what
        // they say.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
        if result >= 0 {
            return Ok(result);
        }
        attempts -= 1;
        let error = io::Error::last_os_error();
        if attempts == 0 || !matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) {
            return Err(error);
        }
    }
}

/// The descriptor that a call returned.
fn owned(result: libc::c_long) -> OwnedFd {
    let descriptor = RawFd::try_from(result).expect("a descriptor fits");
    // SAFETY: the call has just returned it, so that nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

fn number(descriptor: &OwnedFd) -> u32 {
    descriptor.as_raw_fd() as u32
}

fn size(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("buffers are smaller than 4 GiB")
}

/// The address of a buffer for the kernel to read; 0 for none.
fn address<T>(items: &[T]) -> u64 {
    if items.is_empty() { 0 } else { items.as_ptr() as u64 }
}

/// The address of a buffer for the kernel to write; 0 for none.
fn address_mut<T>(items: &mut [T]) -> u64 {
    if items.is_empty() { 0 } else { items.as_mut_ptr() as u64 }
}

/// What a map is created as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapShape {
    /// `enum bpf_map_type`.
    pub kind: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// The most entries.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// Bytes of all that a call reads or writes as the value: more than one value for a map with one for each CPU.
    pub value_bytes: usize,
}

/// A map of the kernel, which lives as long as this value or a program that uses it.
#[derive(Debug)]
pub struct Map {
    descriptor: OwnedFd,
    shape: MapShape,
}

#[repr(C)]
struct MapCreate {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

#[repr(C)]
struct MapElement {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct OneMap {
    map: u32,
}

impl Map {
    /// Creates a map.
    ///
    /// # Errors
    /// What bpf(2) reports.
    pub fn create(shape: MapShape) -> io::Result<Self> {
        let MapShape { kind, key_size, value_size, max_entries, flags, value_bytes } = shape;
        assert!(value_bytes >= value_size as usize, "the kernel copies whole values");
        let mut attributes = MapCreate { kind, key_size, value_size, max_entries, flags };
        // SAFETY: the attributes hold no address.
        let result = unsafe { bpf(MAP_CREATE, &mut attributes) }?;
        Ok(Self { descriptor: owned(result), shape })
    }

    /// What it was created as.
    pub fn shape(&self) -> MapShape {
        self.shape
    }

    /// Its descriptor's number, by which programs name it when they are loaded.
    pub fn number(&self) -> u32 {
        number(&self.descriptor)
    }

    fn element(&self, key: &[u8], value: u64, flags: u64) -> MapElement {
        assert_eq!(key.len(), self.shape.key_size as usize, "the kernel reads a whole key");
        MapElement { map: self.number(), padding: 0, key: key.as_ptr() as u64, value, flags }
    }

    /// Sets the value of `key`.
    ///
    /// # Errors
    /// What bpf(2) reports.
    pub fn update(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        assert_eq!(value.len(), self.shape.value_bytes, "the kernel reads a whole value");
        let mut attributes = self.element(key, value.as_ptr() as u64, 0);
        // SAFETY: key and value are as long as the kernel takes them for, and it reads them.
        unsafe { bpf(MAP_UPDATE_ELEM, &mut attributes) }.map(drop)
    }

    /// Reads the value of `key`.
    ///
    /// # Errors
    /// What bpf(2) reports; ENOENT when there is none.
    pub fn lookup(&self, key: &[u8], value: &mut [u8]) -> io::Result<()> {
        assert_eq!(value.len(), self.shape.value_bytes, "the kernel writes a whole value");
        let mut attributes = self.element(key, value.as_mut_ptr() as u64, 0);
        // SAFETY: key and value are as long as the kernel takes them for; it reads the key and writes the value, which is
        // borrowed for that.
        unsafe { bpf(MAP_LOOKUP_ELEM, &mut attributes) }.map(drop)
    }

    /// Deletes the entry of `key`.
    ///
    /// # Errors
    /// What bpf(2) reports; ENOENT when there is none.
    pub fn delete(&self, key: &[u8]) -> io::Result<()> {
        let mut attributes = self.element(key, 0, 0);
        // SAFETY: the key is as long as the kernel takes it for, and it reads it.
        unsafe { bpf(MAP_DELETE_ELEM, &mut attributes) }.map(drop)
    }

    /// The key after `key`, or the first one.
    ///
    /// # Errors
    /// What bpf(2) reports.
    pub fn next_key(&self, key: Option<&[u8]>) -> io::Result<Option<Vec<u8>>> {
        let mut next = vec![0; self.shape.key_size as usize];
        let mut attributes = match key {
            Some(key) => self.element(key, 0, 0),
            None => MapElement { map: self.number(), padding: 0, key: 0, value: 0, flags: 0 },
        };
        attributes.value = next.as_mut_ptr() as u64;
        // SAFETY: both keys are as long as the kernel takes them for; it reads the first, when there is one, and writes the
        // second, which is ours.
        match unsafe { bpf(MAP_GET_NEXT_KEY, &mut attributes) } {
            Ok(_) => Ok(Some(next)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ends all changes to it by system calls.
    ///
    /// # Errors
    /// What bpf(2) reports.
    pub fn freeze(&self) -> io::Result<()> {
        let mut attributes = OneMap { map: self.number() };
        // SAFETY: the attributes hold no address.
        unsafe { bpf(MAP_FREEZE, &mut attributes) }.map(drop)
    }

    /// The kernel's id of it, by which the translated instructions of a program name it.
    ///
    /// # Errors
    /// What bpf(2) reports.
    pub fn id(&self) -> io::Result<u32> {
        let mut info = [0_u32; 2];
        let mut attributes = Info {
            descriptor: self.number(),
            length: size_of_val(&info) as u32,
            info: info.as_mut_ptr() as u64,
        };
        // SAFETY: the kernel writes the start of a `struct bpf_map_info`, at most as many bytes as are given.
        unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut attributes) }?;
        Ok(info[1])
    }
}

/// A program in the kernel, which lives as long as this value.
#[derive(Debug)]
pub struct LoadedProgram {
    descriptor: OwnedFd,
}

/// What is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// `enum bpf_prog_type`.
    pub kind: u32,
    /// Encoded instructions, 8 bytes a slot.
    pub code: &'a [u8],
    /// The license with a zero at its end.
    pub license: &'a std::ffi::CStr,
    /// Descriptors of maps, by the index that instructions name them by.
    pub maps: &'a [u32],
}

/// How much the verifier writes into a log (`BPF_LOG_*` of `linux/bpf_verifier.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Each instruction that it looks at, with what it knows there, then what is wrong.
    Trace,
    /// What is wrong alone, and statistics: all that helps of a program that it looked at a million instructions of, which take a minute to
    /// write down.
    Summary,
}

impl Detail {
    /// How much is wanted of a program that was refused with `error`.
    pub fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::E2BIG) => Self::Summary,
            _ => Self::Trace,
        }
    }

    fn level(self) -> u32 {
        match self {
            Self::Trace => 1,
            Self::Summary => 4,
        }
    }
}

#[repr(C)]
struct ProgramLoad {
    kind: u32,
    insn_count: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    expected_attach_type: u32,
    btf: u32,
    function_info_size: u32,
    function_info: u64,
    function_info_count: u32,
    line_info_size: u32,
    line_info: u64,
    line_info_count: u32,
    attach_btf_id: u32,
    attach_program: u32,
    core_relocation_count: u32,
    fd_array: u64,
}

impl Load<'_> {
    /// Loads the program.
    ///
    /// # Errors
    /// What bpf(2) reports.
    pub fn load(&self) -> io::Result<LoadedProgram> {
        self.call(0, &mut [])
    }

    /// Loads the program with a log: text up to a zero byte, of which a kernel since 6.4 keeps the end when it does not fit.
    ///
    /// # Errors
    /// What bpf(2) reports.
    pub fn load_logged(&self, detail: Detail, log: &mut [u8]) -> io::Result<LoadedProgram> {
        self.call(detail.level(), log)
    }

    fn call(&self, log_level: u32, log: &mut [u8]) -> io::Result<LoadedProgram> {
        let mut attributes = ProgramLoad {
            kind: self.kind,
            insn_count: size(self.code) / 8,
            insns: address(self.code),
            license: self.license.as_ptr() as u64,
            log_level,
            log_size: size(log),
            log_buffer: address_mut(log),
            kernel_version: 0,
            flags: 0,
            name: [0; 16],
            ifindex: 0,
            expected_attach_type: 0,
            btf: 0,
            function_info_size: 0,
            function_info: 0,
            function_info_count: 0,
            line_info_size: 0,
            line_info: 0,
            line_info_count: 0,
            attach_btf_id: 0,
            attach_program: 0,
            core_relocation_count: 0,
            fd_array: address(self.maps),
        };
        self.check_names();
        // SAFETY: the instructions are as many as is said, the license ends with a zero, the log has the size that is said and
        // is borrowed for writing, and the table of descriptors has an entry for every index in the instructions.
        let result = unsafe { bpf(PROG_LOAD, &mut attributes) }?;
        Ok(LoadedProgram { descriptor: owned(result) })
    }

    /// The kernel reads the table of maps at every index that an instruction names, however large.
    fn check_names(&self) {
        let mut slots = self.code.chunks_exact(8);
        while let Some(slot) = slots.next() {
            if slot[0] != WIDE_IMMEDIATE {
                continue;
            }
            slots.next();
            let index = u32::from_le_bytes([slot[4], slot[5], slot[6], slot[7]]) as usize;
            let named = matches!(slot[1] >> 4, MAP_INDEX | MAP_VALUE_INDEX);
            assert!(!named || index < self.maps.len(), "the loader checks indices of maps");
        }
    }
}

const WIDE_IMMEDIATE: u8 = 0x18;

/// One run of a loaded program.
#[derive(Clone, Copy, Debug)]
pub struct TestRun<'a> {
    /// The packet.
    pub packet: &'a [u8],
    /// The context, where it is not the default one.
    pub context: &'a [u8],
    /// How often it runs on the same packet.
    pub repeat: u32,
}

/// What a run ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestResult {
    /// The low half of r0.
    pub r0: u32,
    /// The packet after, from its metadata on.
    pub packet: Vec<u8>,
    /// The context after; empty when none was given.
    pub context: Vec<u8>,
    /// Nanoseconds a run took, in the mean over all.
    pub nanoseconds: u32,
}

#[repr(C)]
struct ProgramTestRun {
    program: u32,
    return_value: u32,
    packet_size: u32,
    packet_room: u32,
    packet: u64,
    packet_after: u64,
    repeat: u32,
    duration: u32,
    context_size: u32,
    context_room: u32,
    context: u64,
    context_after: u64,
}

/// The most bytes of a packet after a run.
const PACKET_ROOM: usize = 8192;

#[repr(C)]
struct Info {
    descriptor: u32,
    length: u32,
    info: u64,
}

/// The start of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Default)]
struct ProgramInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    native_length: u32,
    translated_length: u32,
    native: u64,
    translated: u64,
    load_time: u64,
    created_by: u32,
    map_count: u32,
    map_ids: u64,
    name: [u8; 16],
    ifindex: u32,
    gpl_compatible: u32,
    device: u64,
    inode: u64,
    symbol_count: u32,
    function_count: u32,
    symbols: u64,
    function_lengths: u64,
}

/// What the kernel made of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    /// Native code of all functions, one after another; empty when the kernel has no JIT or hides its code.
    pub native: Vec<u8>,
    /// The instructions after verification, in which `ld_imm64` of a map has kind 1 or 2 and the map's id.
    pub translated: Vec<u8>,
    /// The address of each function in the kernel.
    pub symbols: Vec<u64>,
    /// The bytes of each function in `native`.
    pub lengths: Vec<u32>,
}

impl LoadedProgram {
    /// Its descriptor's number, by which a program array takes it.
    pub fn number(&self) -> u32 {
        number(&self.descriptor)
    }

    /// Runs it.
    ///
    /// # Errors
    /// What bpf(2) reports.
    pub fn run(&self, test: &TestRun) -> io::Result<TestResult> {
        let mut packet = vec![0; PACKET_ROOM];
        let mut context = vec![0; test.context.len()];
        let mut attributes = ProgramTestRun {
            program: self.number(),
            return_value: 0,
            packet_size: size(test.packet),
            packet_room: size(&packet),
            packet: address(test.packet),
            packet_after: address_mut(&mut packet),
            repeat: test.repeat,
            duration: 0,
            context_size: size(test.context),
            context_room: size(&context),
            context: address(test.context),
            context_after: address_mut(&mut context),
        };
        // SAFETY: packet and context are as long as is said, and so are the buffers for what they are after, which are ours.
        unsafe { bpf(PROG_TEST_RUN, &mut attributes) }?;
        packet.truncate(attributes.packet_room as usize);
        context.truncate(attributes.context_room as usize);
        Ok(TestResult { r0: attributes.return_value, packet, context, nanoseconds: attributes.duration })
    }

    /// What the kernel made of it.
    ///
    /// # Errors
    /// What bpf(2) reports.
    pub fn compiled(&self) -> io::Result<Compiled> {
        let mut sizes = ProgramInfo::default();
        self.info(&mut sizes)?;
        let mut native = vec![0; sizes.native_length as usize];
        let mut translated = vec![0; sizes.translated_length as usize];
        let mut symbols = vec![0_u64; sizes.symbol_count as usize];
        let mut lengths = vec![0_u32; sizes.function_count as usize];
        let mut info = ProgramInfo {
            native_length: sizes.native_length,
            translated_length: sizes.translated_length,
            native: address_mut(&mut native),
            translated: address_mut(&mut translated),
            symbol_count: sizes.symbol_count,
            function_count: sizes.function_count,
            symbols: address_mut(&mut symbols),
            function_lengths: address_mut(&mut lengths),
            ..ProgramInfo::default()
        };
        self.info(&mut info)?;
        // The kernel clears the address of what it does not show.
        if info.native == 0 {
            native.clear();
        }
        if info.translated == 0 {
            translated.clear();
        }
        Ok(Compiled { native, translated, symbols, lengths })
    }

    /// Every address in `info` is 0 or that of a buffer as large as the length beside it says.
    fn info(&self, info: &mut ProgramInfo) -> io::Result<()> {
        let mut attributes = Info {
            descriptor: self.number(),
            length: size_of::<ProgramInfo>() as u32,
            info: &raw mut *info as u64,
        };
        // SAFETY: the kernel reads and writes as many bytes of `info` as are given, and writes to the buffers that it names no
        // more than the lengths in it say; both callers keep those true.
        unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut attributes) }.map(drop)
    }
}
