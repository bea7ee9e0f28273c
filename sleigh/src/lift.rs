// SPDX-License-Identifier: GPL-2.0-or-later
//! From the bytes of an instruction to its p-code, by libsla and Ghidra's processor specifications.

use std::cell::Cell;

use kop_ops::Arch;
use libsla::{
    Address, AddressSpace, AddressSpaceType, GhidraSleigh, InstructionLoader, OpCode, PcodeInstruction,
    Sleigh, VarnodeData,
};
use sleigh_config::{processor_aarch64, processor_x86};

/// Where the first instruction that is lifted is taken to stand; the next one stands on the next page. libsla remembers what it
/// found at an address and never looks again.
const FIRST: u64 = 0x40_0000;
const PAGE: u64 = 0x1000;

/// Where a varnode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Space {
    /// The offset is the value.
    Constant,
    /// Registers and flags.
    Register,
    /// What p-code keeps within an instruction.
    Temporary,
    /// Memory; of what branches, code.
    Memory,
}

/// Bytes of a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Varnode {
    /// The space.
    pub space: Space,
    /// The first byte.
    pub offset: u64,
    /// How many bytes.
    pub size: u32,
}

/// A p-code operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What is done.
    pub code: OpCode,
    /// The operands. What [`OpCode::Load`] and [`OpCode::Store`] have in front, the space, is always memory and is left out.
    pub inputs: Vec<Varnode>,
    /// Where the result goes.
    pub output: Option<Varnode>,
}

/// An instruction as SLEIGH has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifted {
    /// Its mnemonic.
    pub mnemonic: String,
    /// Where it is taken to stand.
    pub address: u64,
    /// Its number of bytes.
    pub len: usize,
    /// What it does, in order.
    pub operations: Vec<Operation>,
}

/// Why there is no p-code, or none that can be run.
#[derive(Debug, thiserror::Error)]
pub enum LiftError {
    /// What libsla says.
    #[error(transparent)]
    Sleigh(#[from] libsla::Error),
    /// Something is in a space that instructions have no access to.
    #[error("the space `{0}` is none that p-code of an instruction names")]
    Space(String),
}

/// The SLEIGH model of an architecture.
pub struct Lifter {
    sleigh: GhidraSleigh,
    code: AddressSpace,
    next: Cell<u64>,
}

impl Lifter {
    /// Loads the model.
    ///
    /// # Errors
    /// What libsla says of the specification.
    pub fn new(arch: Arch) -> Result<Self, LiftError> {
        let (processor, model) = match arch {
            Arch::X86_64 => (processor_x86::PSPEC_X86_64, processor_x86::SLA_X86_64),
            Arch::Aarch64 => (processor_aarch64::PSPEC_AARCH64, processor_aarch64::SLA_AARCH64),
        };
        let sleigh = GhidraSleigh::builder().processor_spec(processor)?.build(model)?;
        let code = sleigh.default_code_space();
        Ok(Lifter { sleigh, code, next: Cell::new(FIRST) })
    }

    /// The register of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn register(&self, name: &str) -> Result<Varnode, LiftError> {
        varnode(&self.sleigh.register_from_name(name)?)
    }

    /// The instruction that `bytes` hold, at an address of its own.
    ///
    /// # Errors
    /// They hold none that SLEIGH knows.
    pub fn lift(&self, bytes: &[u8]) -> Result<Lifted, LiftError> {
        let start = self.next.replace(self.next.get() + PAGE);
        let loader = Bytes { bytes, start };
        let address = Address::new(self.code.clone(), start);
        let native = self.sleigh.disassemble_native(&loader, address.clone())?;
        let pcode = self.sleigh.disassemble_pcode(&loader, address)?;
        Ok(Lifted {
            mnemonic: native.instruction.mnemonic.to_lowercase(),
            address: start,
            len: pcode.origin.size,
            operations: pcode.instructions.iter().map(operation).collect::<Result<_, _>>()?,
        })
    }
}

fn operation(insn: &PcodeInstruction) -> Result<Operation, LiftError> {
    let in_front = usize::from(matches!(insn.op_code, OpCode::Load | OpCode::Store));
    Ok(Operation {
        code: insn.op_code,
        inputs: insn.inputs[in_front..].iter().map(varnode).collect::<Result<_, _>>()?,
        output: insn.output.as_ref().map(varnode).transpose()?,
    })
}

fn varnode(data: &VarnodeData) -> Result<Varnode, LiftError> {
    let space = &data.address.address_space;
    let kind = match (space.space_type, space.name.as_ref()) {
        (AddressSpaceType::Constant, _) => Space::Constant,
        (AddressSpaceType::Internal, _) => Space::Temporary,
        (AddressSpaceType::Processor, "register") => Space::Register,
        (AddressSpaceType::Processor, "ram") => Space::Memory,
        (_, name) => return Err(LiftError::Space(name.to_owned())),
    };
    let size = u32::try_from(data.size).expect("varnodes are no longer than registers");
    Ok(Varnode { space: kind, offset: data.address.offset, size })
}

/// Code; zeros follow, since libsla reads ahead.
struct Bytes<'a> {
    bytes: &'a [u8],
    start: u64,
}

impl InstructionLoader for Bytes<'_> {
    fn load_instruction_bytes(&self, source: &VarnodeData) -> Result<Vec<u8>, String> {
        let start = source.address.offset.checked_sub(self.start).ok_or("there is no code below")?;
        let start = usize::try_from(start).map_err(|error| error.to_string())?;
        Ok((start..start + source.size).map(|at| self.bytes.get(at).copied().unwrap_or(0)).collect())
    }
}
