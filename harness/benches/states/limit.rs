// SPDX-License-Identifier: GPL-2.0-or-later
//! The quickest loops there are: rows of operands that code runs on, one after the other, with the results stored over them.

use kop_emulators::arena::Region;
use kop_emulators::host::HostMachine;
use kop_emulators::machine::Machine;
use kop_emulators::unicorn::UnicornMachine;
use kop_ops::aarch64;
use kop_ops::ebpf::{AluOp, Cond, Insn, Reg, RegSet, Size, encode_program};
use kop_ops::registers::{AARCH64, X86_64};
use kop_ops::{Arch, Memory, x86_64};
use rbpf::EbpfVmMbuff;

use crate::sites::Site;

/// A loop that is ready to run, over a number of rows that is fixed.
pub struct Limit {
    runs: Runs,
    /// The words of a row.
    pub width: usize,
    /// The register of each word.
    pub words: RegSet,
}

enum Runs {
    Machine { machine: Box<dyn Machine>, exit: u64 },
    Rbpf { code: Vec<u8>, rows: Vec<u64> },
}

/// Where the loops for machines stand.
const PLACE: u64 = Region::Code.address() + 0x10_0000;

impl Limit {
    /// The loop of a site on the engine called `engine` over `count` rows; `None` for engines that enter the code for each
    /// state anyway.
    pub fn new(site: &Site, engine: &str, code: Option<(Arch, &[u8])>, count: usize) -> Option<Self> {
        let words = site.operands().union(site.results());
        let width = words.len();
        let runs = match (engine, code) {
            ("rbpf", _) => {
                let rows = vec![0; width * count];
                Runs::Rbpf { code: encode_program(&ebpf(site, words, &rows)?), rows }
            }
            (name, Some((arch, code))) => {
                let machine: Box<dyn Machine> = match name {
                    "host" => Box::new(HostMachine::new().ok()?),
                    _ if name.starts_with("unicorn") => Box::new(UnicornMachine::new(arch).ok()?),
                    _ => return None,
                };
                let end = Region::Rows.address() + (8 * width * count) as u64;
                let bytes = native(site, arch, code, words, end);
                let exit = PLACE + exit_offset(arch, &bytes);
                let mut runs = Runs::Machine { machine, exit };
                runs.place(&bytes, &site.memory);
                runs
            }
            _ => return None,
        };
        Some(Self { runs, width, words })
    }

    /// Writes a row, in the order of [`Limit::words`].
    pub fn write(&mut self, row: usize, values: &[u64]) {
        let at = row * self.width;
        match &mut self.runs {
            Runs::Machine { machine, .. } => {
                let bytes = &mut machine.arena_mut().bytes_mut(Region::Rows)[8 * at..8 * (at + self.width)];
                for (to, value) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(values) {
                    *to = value.to_le_bytes();
                }
            }
            Runs::Rbpf { rows, .. } => rows[at..at + self.width].copy_from_slice(values),
        }
    }

    /// Runs the loop once.
    pub fn run(&mut self) {
        match &mut self.runs {
            Runs::Machine { machine, exit } => machine.run(PLACE, *exit).expect("a state without faults ran"),
            Runs::Rbpf { code, rows } => {
                let mut vm = EbpfVmMbuff::new(None).expect("a machine without a program is always made");
                vm.set_verifier(|_| Ok(())).expect("there is no program to verify yet");
                vm.set_program(code).expect("the verifier accepts everything");
                let start = rows.as_ptr() as u64;
                vm.register_allowed_memory(start..start + 8 * rows.len() as u64);
                vm.execute_program(&[], &[]).expect("a state without faults ran");
            }
        }
    }

    /// A row, as it is.
    pub fn read(&self, row: usize) -> Vec<u64> {
        let at = row * self.width;
        match &self.runs {
            Runs::Machine { machine, .. } => {
                let bytes = &machine.arena().bytes(Region::Rows)[8 * at..8 * (at + self.width)];
                bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
            }
            Runs::Rbpf { rows, .. } => rows[at..at + self.width].to_vec(),
        }
    }
}

impl Runs {
    fn place(&mut self, bytes: &[u8], memory: &Memory) {
        let Runs::Machine { machine, .. } = self else { return };
        let arena = machine.arena_mut();
        let at = (PLACE - Region::Code.address()) as usize;
        arena.bytes_mut(Region::Code)[at..at + bytes.len()].copy_from_slice(bytes);
        arena.bytes_mut(Region::Window(memory.slot)).copy_from_slice(&memory.window);
        arena.bytes_mut(Region::Stack(memory.slot)).copy_from_slice(&memory.stack);
    }
}

/// The return is the last instruction.
fn exit_offset(arch: Arch, bytes: &[u8]) -> u64 {
    let length = match arch {
        Arch::X86_64 => 1,
        Arch::Aarch64 => 4,
    };
    (bytes.len() - length) as u64
}

/// The loop as eBPF, in two registers that the proof leaves; `None` where there are none, or where memory is accessed.
fn ebpf(site: &Site, words: RegSet, rows: &[u64]) -> Option<Vec<Insn>> {
    if !site.subject.memory.is_empty() {
        return None;
    }
    let mut free = RegSet::ALL.minus(site.subject.named()).minus(RegSet::from(Reg::R10)).iter();
    let (row, end) = (free.next()?, free.next()?);
    let rows = rows.as_ptr_range();
    let mut code = vec![Insn::load_imm64(row, rows.start as u64), Insn::load_imm64(end, rows.end as u64)];
    let before: usize = code.iter().map(Insn::slots).sum();
    let word = |i: usize| 8 * i as i16;
    let positions = || words.iter().enumerate();
    let loads = positions().filter(|(_, reg)| site.operands().has(*reg));
    code.extend(loads.map(|(i, reg)| Insn::load(Size::B8, reg, row, word(i))));
    code.extend_from_slice(&site.subject.proof);
    let stores = positions().filter(|(_, reg)| site.results().has(*reg));
    code.extend(stores.map(|(i, reg)| Insn::store(Size::B8, row, word(i), reg)));
    code.push(Insn::alu64(AluOp::Add, row, 8 * words.len() as i32));
    let length: usize = code.iter().map(Insn::slots).sum();
    code.push(Insn::jump(Cond::Ne, row, end, before as i16 - length as i16 - 1));
    code.push(Insn::exit());
    Some(code)
}

/// The loop as native code. It ends with a return, before which there is nothing that is worth translating anew.
fn native(site: &Site, arch: Arch, code: &[u8], words: RegSet, end: u64) -> Vec<u8> {
    let positions = || words.iter().enumerate();
    let loads: Vec<(usize, Reg)> = positions().filter(|(_, reg)| site.operands().has(*reg)).collect();
    let stores: Vec<(usize, Reg)> = positions().filter(|(_, reg)| site.results().has(*reg)).collect();
    let (start, stride) = (Region::Rows.address(), 8 * words.len());
    match arch {
        Arch::X86_64 => {
            use x86_64::{Cond, Gpr, Mem, Size};
            let at = |i: usize| Mem::at(Gpr::R12, 8 * i as i32);
            let mut bytes = x86(|a| {
                a.mov(Size::B8, Gpr::R12, start as i32);
                a.jmp_rel(0);
            });
            let top = bytes.len() as i64;
            bytes.extend(x86(|a| {
                loads.iter().for_each(|&(i, reg)| a.mov(Size::B8, X86_64[reg.index()], at(i)))
            }));
            bytes.extend_from_slice(code);
            bytes.extend(x86(|a| {
                stores.iter().for_each(|&(i, reg)| a.mov(Size::B8, at(i), X86_64[reg.index()]));
                a.add(Size::B8, Gpr::R12, stride as i32);
                a.cmp(Size::B8, Gpr::R12, end as i32);
            }));
            let back = top - bytes.len() as i64 - 6;
            bytes.extend(x86(|a| {
                a.jcc_rel(Cond::Ne, back as i32);
                a.jmp_rel(1);
                a.nop();
                a.ret();
            }));
            bytes
        }
        Arch::Aarch64 => {
            use aarch64::{Cond, Gpr, Insn, Mem, Width};
            let at = |i: usize| Mem::offset(Gpr::X26, 8 * i as i32);
            let mut bytes = arm(|a| {
                a.mov_imm64(Gpr::X26, start);
                a.mov_imm64(Gpr::X27, end);
                a.push(Insn::B { offset: 4 });
            });
            let top = bytes.len() as i64;
            bytes.extend(arm(|a| {
                loads.iter().for_each(|&(i, reg)| a.ldr(Width::X, AARCH64[reg.index()], at(i)))
            }));
            bytes.extend_from_slice(code);
            bytes.extend(arm(|a| {
                stores.iter().for_each(|&(i, reg)| a.str(Width::X, AARCH64[reg.index()], at(i)));
                a.add_imm(Width::X, Gpr::X26, Gpr::X26, stride as u32);
                a.cmp(Width::X, Gpr::X26, Gpr::X27);
            }));
            let back = top - bytes.len() as i64;
            bytes.extend(arm(|a| {
                a.push(Insn::BCond { cond: Cond::Ne, offset: back as i32 });
                a.push(Insn::B { offset: 8 });
                a.nop();
                a.ret();
            }));
            bytes
        }
    }
}

/// Assembles.
pub fn x86(write: impl FnOnce(&mut x86_64::Assembler)) -> Vec<u8> {
    let mut asm = x86_64::Assembler::new();
    write(&mut asm);
    asm.finish().expect("the loop's instructions have encodings").bytes
}

/// Assembles.
pub fn arm(write: impl FnOnce(&mut aarch64::Assembler)) -> Vec<u8> {
    let mut asm = aarch64::Assembler::new();
    write(&mut asm);
    asm.finish().expect("the loop's instructions have encodings").bytes
}
