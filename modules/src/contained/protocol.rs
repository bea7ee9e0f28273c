// SPDX-License-Identifier: GPL-2.0-or-later
//! The memory that is shared with a runner: the Rust half of `runner/protocol.h`.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr::{self, NonNull};

use kop_ops::{Arch, Callback, Feature, Features};

use super::process::StartError;

/// The most payloads of one batch.
pub(super) const PAYLOADS: usize = 8192;

const CONTROL: usize = 128 << 10;
const ANSWERS_AT: usize = CONTROL + PAYLOADS * 8;
const ANSWERS: usize = 8 << 20;
const SIZE: usize = ANSWERS_AT + ANSWERS;

const READY: usize = 0;
const OPERATION_COUNT: usize = 4;
const TEXT: usize = 8;
const TEXT_SIZE: usize = 512;
const OPERATION: usize = 520;
const ASKED: usize = 524;
const FEATURES: usize = 528;
const COUNT: usize = 536;
const GIVE_UP_HANGS: usize = 540;
const GIVE_UP_CRASHES: usize = 544;
const QUICK_HANGS: usize = 548;
const MASK: usize = 552;
const DONE: usize = 556;
const USED: usize = 560;
const HANGS: usize = 564;
const CRASHES: usize = 576;
const CALLING: usize = 592;
const OPERATIONS: usize = 728;
const OPERATION_SIZE: usize = 136;
const MAX_OPERATIONS: usize = 256;
const NAME_SIZE: usize = 128;

const ANSWER_SIZE: usize = 72;
const FAULT_SIZE: usize = 40;

/// The callbacks by their numbers in `enum callback`.
pub(crate) const CALLBACKS: [Callback; 3] =
    [Callback::Proof, Callback::Emit(Arch::X86_64), Callback::Emit(Arch::Aarch64)];

/// How often a callback of an operation may fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// So often it may hang, before it is not called any more.
    pub(super) hangs: u32,
    /// So often it may crash.
    pub(super) crashes: u32,
    /// After so many hangs a call has less time.
    pub(super) quick: u32,
}

/// How often each callback hung and crashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Failures {
    pub(super) hangs: [u32; 3],
    pub(super) crashes: [u32; 3],
}

/// An operation as the runner found it registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Registered {
    pub(crate) name: String,
    pub(crate) max_insn_cnt: u16,
    pub(crate) max_emit_bytes: u16,
    /// The architectures with an emit.
    pub(crate) archs: Vec<Arch>,
}

/// What is asked of a runner, besides the payloads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    pub(super) operation: usize,
    pub(super) asked: u32,
    pub(super) features: u64,
    pub(super) mask: u32,
    pub(super) patience: Patience,
    pub(super) failures: Failures,
}

/// How an answer starts (`struct answer`).
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(super) status: [u8; 3],
    pub(super) returned: [i32; 3],
    pub(super) proof: Vec<u8>,
    pub(super) emits: [EmitRecord; 2],
    pub(super) looked_at: u64,
    pub(super) faults: Vec<FaultRecord>,
}

/// What an emit left (`struct emitted`), with its bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct EmitRecord {
    pub(super) sized: usize,
    pub(super) size: usize,
    pub(super) bytes: Vec<u8>,
    pub(super) second: Vec<u8>,
    pub(super) elsewhere: Vec<u8>,
}

/// `struct fault`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FaultRecord {
    pub(super) callback: u8,
    pub(super) code: u8,
    pub(super) stage: u8,
    pub(super) numbers: [i64; 4],
}

/// The bits of `features` in `enum kop_cpu_feature`, which are the numbers of [`Feature`].
pub(crate) fn feature_bits(features: Features) -> u64 {
    features.iter().fold(0, |bits, feature| bits | 1 << feature as u32)
}

/// The features of bits as the runner gives them.
pub(crate) fn features_of(bits: u64) -> Features {
    Feature::ALL.into_iter().filter(|feature| bits >> *feature as u32 & 1 == 1).collect()
}

/// Memory that this process and a runner see. The runner may write to it at any time while a batch is under way, and a
/// broken module at any place: what is read is copied out, and believed only as far as it can be.
#[derive(Debug)]
pub(super) struct Shared {
    memory: NonNull<u8>,
    file: File,
}

// SAFETY: the memory is mapped until the value is dropped, whichever thread has it; a `Shared` is not cloned.
unsafe impl Send for Shared {}

impl Shared {
    /// New memory, all zero.
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: the name is a C string; the call touches nothing else of ours.
        let fd = unsafe { libc::memfd_create(c"kop-module".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made, and nobody else owns it.
        let file = unsafe { File::from_raw_fd(fd) };
        file.set_len(SIZE as u64)?;
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).expect("a mapping is not at zero");
        Ok(Self { memory, file })
    }

    /// The file behind the memory.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    fn copy_out(&self, at: usize, to: &mut [u8]) {
        assert!(at <= SIZE && to.len() <= SIZE - at, "within the shared memory");
        // SAFETY: the range lies in the mapping, as asserted; `to` is ours and elsewhere.
        unsafe { ptr::copy_nonoverlapping(self.memory.as_ptr().add(at), to.as_mut_ptr(), to.len()) }
    }

    fn copy_in(&mut self, at: usize, from: &[u8]) {
        assert!(at <= SIZE && from.len() <= SIZE - at, "within the shared memory");
        // SAFETY: the range lies in the mapping, as asserted; `from` is ours and elsewhere.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), self.memory.as_ptr().add(at), from.len()) }
    }

    fn load(&self, at: usize) -> u32 {
        let mut bytes = [0; 4];
        self.copy_out(at, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn store(&mut self, at: usize, value: u32) {
        self.copy_in(at, &value.to_le_bytes());
    }

    fn text(&self, at: usize, size: usize) -> String {
        let mut bytes = vec![0; size];
        self.copy_out(at, &mut bytes);
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(size);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }

    /// What was registered, or why the module cannot be used; `None` when the runner did not get that far.
    pub(super) fn hello(&self) -> Option<Result<Vec<Registered>, StartError>> {
        match self.load(READY) {
            1 => Some(Ok((0..self.load(OPERATION_COUNT) as usize)
                .take(MAX_OPERATIONS)
                .map(|i| self.registered(i))
                .collect())),
            2 => Some(Err(StartError::Module(self.text(TEXT, TEXT_SIZE)))),
            3 => Some(Err(StartError::Nothing(self.text(TEXT, TEXT_SIZE)))),
            _ => None,
        }
    }

    fn registered(&self, index: usize) -> Registered {
        let at = OPERATIONS + index * OPERATION_SIZE;
        let mut numbers = [0; 5];
        self.copy_out(at + NAME_SIZE, &mut numbers);
        let archs = Arch::ALL.into_iter().filter(|arch| numbers[4] >> (1 + *arch as u32) & 1 == 1);
        Registered {
            name: self.text(at, NAME_SIZE),
            max_insn_cnt: u16::from_le_bytes([numbers[0], numbers[1]]),
            max_emit_bytes: u16::from_le_bytes([numbers[2], numbers[3]]),
            archs: archs.collect(),
        }
    }

    /// Writes a batch down.
    pub(super) fn put(&mut self, batch: &Batch, payloads: &[u64]) {
        assert!(payloads.len() <= PAYLOADS, "a batch fits");
        self.store(OPERATION, batch.operation as u32);
        self.store(ASKED, batch.asked);
        self.copy_in(FEATURES, &batch.features.to_le_bytes());
        self.store(COUNT, payloads.len() as u32);
        self.store(GIVE_UP_HANGS, batch.patience.hangs);
        self.store(GIVE_UP_CRASHES, batch.patience.crashes);
        self.store(QUICK_HANGS, batch.patience.quick);
        self.store(MASK, batch.mask);
        self.store(DONE, 0);
        self.store(USED, 0);
        for i in 0..3 {
            self.store(HANGS + i * 4, batch.failures.hangs[i]);
            self.store(CRASHES + i * 4, batch.failures.crashes[i]);
        }
        for (i, payload) in payloads.iter().enumerate() {
            self.copy_in(CONTROL + i * 8, &payload.to_le_bytes());
        }
    }

    /// How many payloads have been answered.
    pub(super) fn done(&self) -> usize {
        self.load(DONE) as usize
    }

    /// The callback that is being called, if one is.
    pub(super) fn calling(&self) -> Option<u8> {
        self.load(CALLING).checked_sub(1).filter(|callback| *callback < 3).map(|callback| callback as u8)
    }

    /// How often callbacks have failed by now.
    pub(super) fn failures(&self) -> Failures {
        let three = |at: usize| [0, 1, 2].map(|i| self.load(at + i * 4));
        Failures { hangs: three(HANGS), crashes: three(CRASHES) }
    }

    /// The answers to the first `count` payloads, or `None` when what is there makes no sense.
    pub(super) fn records(&self, count: usize) -> Option<Vec<Record>> {
        let used = self.load(USED) as usize;
        if used > ANSWERS {
            return None;
        }
        let mut bytes = vec![0; used];
        self.copy_out(ANSWERS_AT, &mut bytes);
        let mut rest = &bytes[..];
        (0..count)
            .map(|_| {
                let size = u32::from_le_bytes(*rest.first_chunk()?) as usize;
                let record = Record::read(rest.get(..size)?)?;
                rest = &rest[size..];
                Some(record)
            })
            .collect()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing refers to it any more.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), SIZE) };
    }
}

/// Takes numbers from the front of bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, size: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn size(&mut self) -> Option<usize> {
        Some(u32::from_le_bytes(self.array()?) as usize)
    }

    fn bytes(&mut self, size: usize) -> Option<Vec<u8>> {
        self.take(size).map(<[u8]>::to_vec)
    }
}

impl Record {
    /// The record that `bytes` are, unless they make no sense.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut head = Reader(bytes.get(4..ANSWER_SIZE)?);
        let status = head.array()?;
        let [fault_count] = head.array()?;
        let mut returned = [0; 3];
        for value in &mut returned {
            *value = i32::from_le_bytes(head.array()?);
        }
        let proof = head.size()?;
        let mut sizes = [[0; 5]; 2];
        for size in sizes.iter_mut().flatten() {
            *size = head.size()?;
        }
        let looked_at = u64::from_le_bytes(head.array()?);
        let mut body = Reader(&bytes[ANSWER_SIZE..]);
        let proof = body.bytes(proof)?;
        let mut emits = [EmitRecord::default(), EmitRecord::default()];
        for (emit, [sized, size, first, second, elsewhere]) in emits.iter_mut().zip(sizes) {
            *emit = EmitRecord {
                sized,
                size,
                bytes: body.bytes(first)?,
                second: body.bytes(second)?,
                elsewhere: body.bytes(elsewhere)?,
            };
        }
        let faults = bytes.len().checked_sub(usize::from(fault_count) * FAULT_SIZE)?;
        let faults = bytes[faults..].chunks_exact(FAULT_SIZE).map(FaultRecord::read).collect();
        Some(Self { status, returned, proof, emits, looked_at, faults })
    }
}

impl FaultRecord {
    fn read(bytes: &[u8]) -> Self {
        let number = |i: usize| {
            i64::from_le_bytes(*bytes[8 + i * 8..].first_chunk().expect("a fault has forty bytes"))
        };
        Self {
            callback: bytes[0].min(2),
            code: bytes[1],
            stage: bytes[2],
            numbers: [number(0), number(1), number(2), number(3)],
        }
    }
}
