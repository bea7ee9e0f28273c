// SPDX-License-Identifier: GPL-2.0-or-later
//! The native code that the kernel made of a program, read back, and made ready to run outside of the kernel.
//!
//! The code of a program without helpers leaves itself in two places only: it loads the addresses of map values, and it
//! returns through the kernel's return thunk. Both are replaced; functions keep their order and are aligned anew. It takes the
//! context in rdi as in the kernel, which for an XDP program is a `struct xdp_buff`: `data`, `data_end`, `data_meta` and
//! `data_hard_start` are its first four words.

use std::ops::Range;

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Register};

use super::load::Loaded;
use super::sys::Compiled;
use super::{KernelError, failed};

/// What an address in the code is that of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A place in a map's first value.
    Map {
        /// The map's index in the object.
        index: usize,
        /// Bytes from the value's start.
        offset: u32,
    },
    /// A place in the window of a raw program, in bytes from its start.
    Window(u32),
    /// Where an observing load stores r0.
    Result,
}

/// The native code of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelImage {
    /// Every byte, as the kernel runs it: functions one after another.
    pub bytes: Vec<u8>,
    /// Each function's address in the kernel and bytes in `bytes`; the program's own is the first.
    pub functions: Vec<(u64, Range<usize>)>,
    /// Where addresses stand that only the kernel has: the offset of eight bytes, and whose address they are.
    pub references: Vec<(usize, Reference)>,
}

/// Why there is no code to run outside of the kernel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The kernel does not show it.
    #[error("the kernel shows no native code: it takes root, and 1 in /proc/sys/net/core/bpf_jit_enable")]
    Hidden,
    /// Another architecture.
    #[error(
        "native code of the kernel is understood on x86-64 alone, and this is {}",
        std::env::consts::ARCH
    )]
    Architecture,
    /// Code and instructions do not fit together.
    #[error("the kernel's code has {found} wide immediates and its instructions {expected}")]
    Immediates {
        /// In the code.
        found: usize,
        /// In the instructions.
        expected: usize,
    },
    /// An instruction that means something in the kernel alone.
    #[error("offset {offset:#x}: `{instruction}` {reason}")]
    Bound {
        /// The offset of the instruction.
        offset: usize,
        /// What it is.
        instruction: String,
        /// Why it does not run elsewhere.
        reason: &'static str,
    },
}

/// What the code of an XDP program takes as its context, for a packet at these addresses (the start of `struct xdp_buff`,
/// include/net/xdp.h). What lies behind is zero: fields of the context that come from the device are not there.
pub fn xdp_buff(hard_start: u64, meta: u64, data: u64, end: u64) -> [u64; 8] {
    [data, end, meta, hard_start, 0, 0, 0, 0]
}

impl Loaded {
    /// The native code that the kernel made of the program.
    ///
    /// # Errors
    /// [`KernelError::Unsupported`] with the [`ImageError`], or [`KernelError::Failed`] with what bpf(2) reports.
    pub fn image(&self) -> Result<KernelImage, KernelError> {
        let compiled = self.program().compiled().map_err(failed("read the native code"))?;
        let mut ids = Vec::new();
        for (index, map) in self.maps().iter().enumerate() {
            ids.push((map.id().map_err(failed("read a map's id"))?, Some(index)));
        }
        let mut around = [0; 2];
        for (id, map) in around.iter_mut().zip(self.around()) {
            *id = map.id().map_err(failed("read a map's id"))?;
        }
        let reference = |id: u32, offset: u32| {
            let index = ids.iter().find(|(other, _)| *other == id).and_then(|(_, index)| *index);
            match index {
                Some(index) => Some(Reference::Map { index, offset }),
                None if id == around[super::prepare::WINDOW] => Some(Reference::Window(offset)),
                None => (id == around[super::prepare::RESULT]).then_some(Reference::Result),
            }
        };
        KernelImage::new(compiled, reference).map_err(|error| KernelError::Unsupported(error.to_string()))
    }
}

impl KernelImage {
    fn new(
        compiled: Compiled,
        reference: impl Fn(u32, u32) -> Option<Reference>,
    ) -> Result<Self, ImageError> {
        if !cfg!(target_arch = "x86_64") {
            return Err(ImageError::Architecture);
        }
        if compiled.native.is_empty() || compiled.symbols.len() != compiled.lengths.len() {
            return Err(ImageError::Hidden);
        }
        let mut functions = Vec::with_capacity(compiled.symbols.len());
        let mut start = 0;
        for (symbol, length) in compiled.symbols.iter().zip(&compiled.lengths) {
            functions.push((*symbol, start..start + *length as usize));
            start += *length as usize;
        }
        if start != compiled.native.len() {
            return Err(ImageError::Hidden);
        }
        let mut image = Self { bytes: compiled.native, functions, references: Vec::new() };
        image.references = image.references(&wide(&compiled.translated), reference)?;
        Ok(image)
    }

    /// Pairs the wide immediates of code and instructions, which the JIT leaves in their order.
    fn references(
        &self,
        wide: &[Wide],
        reference: impl Fn(u32, u32) -> Option<Reference>,
    ) -> Result<Vec<(usize, Reference)>, ImageError> {
        let mut found = Vec::new();
        for (_, range) in &self.functions {
            found.extend(
                self.instructions(range.clone())
                    .filter(|(_, instruction)| instruction.code() == Code::Mov_r64_imm64)
                    .map(|(offset, instruction)| (offset + instruction.len() - 8, instruction.immediate64())),
            );
        }
        let mismatch = ImageError::Immediates { found: found.len(), expected: wide.len() };
        if found.len() != wide.len() {
            return Err(mismatch);
        }
        let mut references = Vec::new();
        for ((offset, value), wide) in found.into_iter().zip(wide) {
            match *wide {
                Wide::Number(number) if number != value => return Err(mismatch),
                Wide::Number(_) => {}
                Wide::Map { id, offset: within } => {
                    references.push((offset, reference(id, within).ok_or_else(|| mismatch.clone())?));
                }
            }
        }
        Ok(references)
    }

    fn instructions(&self, range: Range<usize>) -> impl Iterator<Item = (usize, Instruction)> {
        let start = range.start;
        Decoder::with_ip(64, &self.bytes[range], start as u64, DecoderOptions::NONE)
            .into_iter()
            .map(|instruction| (instruction.ip() as usize, instruction))
    }

    /// The code to run elsewhere, at any address: the context in rdi, r0 in rax. `address` says where the bytes of maps and the window are
    /// there. Functions are aligned to 16 bytes; the program's own is the first.
    ///
    /// # Errors
    /// [`ImageError::Bound`] for code that needs the kernel: helper calls, tail calls, per-CPU data.
    pub fn relocated(&self, address: impl Fn(Reference) -> u64) -> Result<Vec<u8>, ImageError> {
        const BREAKPOINT: u8 = 0xcc;
        let mut placed = Vec::with_capacity(self.functions.len());
        let mut bytes = Vec::with_capacity(self.bytes.len() + 16 * self.functions.len());
        for (_, range) in &self.functions {
            bytes.resize(bytes.len().next_multiple_of(16), BREAKPOINT);
            placed.push(bytes.len());
            bytes.extend_from_slice(&self.bytes[range.clone()]);
        }
        for ((symbol, range), at) in self.functions.iter().zip(&placed) {
            let mut after_leave = false;
            for (offset, instruction) in self.instructions(range.clone()) {
                let to = at + offset - range.start;
                let target =
                    symbol.wrapping_add(instruction.near_branch_target().wrapping_sub(range.start as u64));
                match self.transfer(&instruction, range, target, after_leave) {
                    Transfer::Stays => {}
                    Transfer::Returns => {
                        bytes[to] = 0xc3;
                        bytes[to + 1..to + instruction.len()].fill(BREAKPOINT);
                    }
                    Transfer::Calls(function) => {
                        let end = to + instruction.len();
                        let displacement = (placed[function] as i64 - end as i64) as i32;
                        bytes[end - 4..end].copy_from_slice(&displacement.to_le_bytes());
                    }
                    Transfer::Leaves(reason) => {
                        let instruction = describe(&instruction, target);
                        return Err(ImageError::Bound { offset, instruction, reason });
                    }
                }
                after_leave = instruction.code() == Code::Leaveq;
            }
        }
        for (offset, reference) in &self.references {
            let function = self.functions.iter().position(|(_, range)| range.contains(offset));
            let function = function.expect("references lie in functions");
            let to = placed[function] + offset - self.functions[function].1.start;
            bytes[to..to + 8].copy_from_slice(&address(*reference).to_le_bytes());
        }
        Ok(bytes)
    }

    fn transfer(
        &self,
        instruction: &Instruction,
        range: &Range<usize>,
        target: u64,
        after_leave: bool,
    ) -> Transfer {
        if matches!(instruction.memory_segment(), Register::GS | Register::FS) {
            return Transfer::Leaves("reaches per-CPU data of the kernel");
        }
        let within = range.contains(&(instruction.near_branch_target() as usize));
        let function = self.functions.iter().position(|(symbol, _)| *symbol == target);
        match instruction.flow_control() {
            FlowControl::Next | FlowControl::Return | FlowControl::Interrupt => Transfer::Stays,
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch if within => Transfer::Stays,
            FlowControl::UnconditionalBranch if after_leave => Transfer::Returns,
            FlowControl::Call => match function {
                Some(function) => Transfer::Calls(function),
                None => Transfer::Leaves("calls into the kernel"),
            },
            _ => Transfer::Leaves("leaves the program"),
        }
    }
}

/// The instruction with the address in the kernel that it goes to, if it does.
fn describe(instruction: &Instruction, target: u64) -> String {
    match instruction.near_branch_target() {
        0 => instruction.to_string(),
        _ => format!("{:?} {target:#x}", instruction.mnemonic()).to_lowercase(),
    }
}

/// Where an instruction of the code goes, as far as that matters elsewhere.
enum Transfer {
    Stays,
    Returns,
    Calls(usize),
    Leaves(&'static str),
}

/// An instruction's immediate that takes the JIT eight bytes.
enum Wide {
    Number(u64),
    Map { id: u32, offset: u32 },
}

/// The wide immediates of translated instructions, which the decoder of `ops` does not know all of: those that the
/// verifier put there have opcodes of their own.
fn wide(translated: &[u8]) -> Vec<Wide> {
    const WIDE_IMMEDIATE: u8 = 0x18;
    let mut wide = Vec::new();
    let mut slots = translated.chunks_exact(8);
    while let Some(slot) = slots.next() {
        if slot[0] != WIDE_IMMEDIATE {
            continue;
        }
        let Some(second) = slots.next() else { break };
        let half = |slot: &[u8]| u32::from_le_bytes([slot[4], slot[5], slot[6], slot[7]]);
        let (low, high) = (half(slot), half(second));
        let number = u64::from(low) | u64::from(high) << 32;
        match slot[1] >> 4 {
            1 | 2 => wide.push(Wide::Map { id: low, offset: high }),
            _ if number >> 32 == 0 || number as i64 == i64::from(number as i32) => {}
            _ => wide.push(Wide::Number(number)),
        }
    }
    wide
}
