// SPDX-License-Identifier: GPL-2.0-or-later
//! Codes on the other machines, with all registers set before and read after each.
//!
//! Entering a machine costs far more than running a few hundred instructions, so many codes run at one entry: a loop in the
//! machine's own instructions walks over rows, each with the address of a code and the registers before and after it.

use kop_emulators::arena::{Arena, Region};
use kop_emulators::host::{HostMachine, Platform};
use kop_emulators::machine::{Machine, Stop};
use kop_emulators::native::aarch64::Aarch64;
use kop_emulators::native::{Drivers, PROBE_CODES, RegisterFile, control};
use kop_emulators::unicorn::UnicornMachine;
use kop_ops::aarch64::{Assembler, Cond, Gpr, Insn, Mem, Scalar, SysReg, V, Width};
use kop_ops::{Arch, Memory};

use crate::case::Case;

/// A machine that runs codes.
pub struct Reference {
    /// Its name among the engines.
    pub name: &'static str,
    machine: Box<dyn Machine>,
    /// Where the loop ends.
    exit: u64,
    next: u64,
}

/// Where the loop stands.
const LOOP: u64 = Region::Code.address();
/// Where the loop's part behind the codes stands.
const AFTER: u64 = LOOP + 0x1000;
/// Where the address of the row stands.
const ROW: u64 = control::PROBE_TARGET;
/// Where the end of the rows stands.
const ROWS_END: u64 = ROW + 8;

/// The bytes of a row: the address of the code, then the registers before it, then those after it.
const ROW_BYTES: u64 = 0x800;
const BEFORE: i32 = 0x10;
const RESULT: i32 = 0x400;

/// The most cases at one entry.
pub const MOST: usize = 1024;

/// The register that addresses the row, and the one that leads to the code.
const BLOCK: Gpr = Gpr::X28;
const LINK: Gpr = Gpr::X30;

/// The numbers of SP and of the flags in a register file as drivers keep it, and where its SIMD registers start.
const SP: i32 = 31;
const FLAGS: i32 = 32;
const VECTORS: i32 = 272;

fn general(at: i32, number: i32) -> Mem {
    Mem::offset(BLOCK, at + 8 * number)
}

fn others() -> impl Iterator<Item = Gpr> {
    Gpr::ALL.into_iter().filter(|gpr| ![BLOCK, LINK].contains(gpr))
}

fn assemble(write: impl FnOnce(&mut Assembler)) -> Vec<u8> {
    let mut asm = Assembler::new();
    write(&mut asm);
    asm.finish().expect("the operands fit").bytes
}

fn row_address(a: &mut Assembler) {
    a.mov_imm64(BLOCK, ROW);
    a.ldr(Width::X, BLOCK, Mem::base(BLOCK));
}

/// Keeps what the caller preserves.
fn enter() -> Vec<u8> {
    assemble(|a| {
        a.mov(Width::X, Gpr::X10, Gpr::Sp);
        a.mov_imm64(Gpr::X9, control::SAVED);
        a.stp(Width::X, Gpr::X10, LINK, Mem::base(Gpr::X9));
    })
}

/// Sets registers by the row, and goes to its code.
fn before() -> Vec<u8> {
    assemble(|a| {
        row_address(a);
        a.ldr(Width::X, LINK, Mem::base(BLOCK));
        a.ldr(Width::X, Gpr::X9, general(BEFORE, SP));
        a.mov(Width::X, Gpr::Sp, Gpr::X9);
        a.ldr(Width::X, Gpr::X9, general(BEFORE, FLAGS));
        a.msr(SysReg::Nzcv, Gpr::X9);
        for v in V::ALL {
            a.v_load(Scalar::Q, v, Mem::offset(BLOCK, BEFORE + VECTORS + 16 * v as i32));
        }
        for gpr in others() {
            a.ldr(Width::X, gpr, general(BEFORE, gpr.number() as i32));
        }
        a.ret();
    })
}

/// What stands before a code: sets the registers that lead to it.
fn lead() -> Vec<u8> {
    assemble(|a| {
        a.ldr(Width::X, LINK, general(BEFORE, LINK.number() as i32));
        a.ldr(Width::X, BLOCK, general(BEFORE, BLOCK.number() as i32));
    })
}

/// What stands at `place`, behind a code.
fn follow(place: u64) -> Vec<u8> {
    assemble(|a| {
        a.msr(SysReg::TpidrEl0, BLOCK);
        a.push(Insn::B { offset: (AFTER as i64 - place as i64 - 4) as i32 });
    })
}

/// Stores registers to the row and goes on with the next one by a last instruction that branches by `back`.
fn after(back: i32) -> Vec<u8> {
    assemble(|a| {
        row_address(a);
        for gpr in others().chain([LINK]) {
            a.str(Width::X, gpr, general(RESULT, gpr.number() as i32));
        }
        a.mrs(Gpr::X9, SysReg::TpidrEl0);
        a.str(Width::X, Gpr::X9, general(RESULT, BLOCK.number() as i32));
        a.mov(Width::X, Gpr::X9, Gpr::Sp);
        a.str(Width::X, Gpr::X9, general(RESULT, SP));
        a.mrs(Gpr::X9, SysReg::Nzcv);
        a.str(Width::X, Gpr::X9, general(RESULT, FLAGS));
        for v in V::ALL {
            a.v_store(Scalar::Q, v, Mem::offset(BLOCK, RESULT + VECTORS + 16 * v as i32));
        }
        a.add_imm(Width::X, BLOCK, BLOCK, ROW_BYTES as u32);
        a.mov_imm64(Gpr::X9, ROW);
        a.str(Width::X, BLOCK, Mem::base(Gpr::X9));
        a.ldr(Width::X, Gpr::X10, Mem::offset(Gpr::X9, (ROWS_END - ROW) as i32));
        a.cmp(Width::X, BLOCK, Gpr::X10);
        a.push(Insn::BCond { cond: Cond::Ne, offset: back });
    })
}

/// Gives the caller back what was kept, and returns.
fn leave() -> Vec<u8> {
    assemble(|a| {
        a.mov_imm64(Gpr::X9, control::SAVED);
        a.ldp(Width::X, Gpr::X10, LINK, Mem::base(Gpr::X9));
        a.mov(Width::X, Gpr::Sp, Gpr::X10);
        a.ret();
    })
}

impl Reference {
    /// Every machine that is here.
    pub fn all() -> Vec<Reference> {
        let unicorn = UnicornMachine::new(Arch::Aarch64).expect("Unicorn is built in");
        let mut all = vec![Reference::new("unicorn-aarch64", Box::new(unicorn))];
        match HostMachine::on(Platform::QemuAarch64) {
            Ok(machine) => all.push(Reference::new("qemu-aarch64", Box::new(machine))),
            Err(reason) => eprintln!("qemu-aarch64 is absent: {reason}"),
        }
        all
    }

    fn new(name: &'static str, machine: Box<dyn Machine>) -> Reference {
        let mut reference = Reference { name, machine, exit: 0, next: PROBE_CODES.start };
        let enter = enter();
        reference.place(LOOP, &[enter.as_slice(), &before()].concat());
        let branch = AFTER + after(0).len() as u64 - 4;
        let again = LOOP + enter.len() as u64;
        let after = after((again as i64 - branch as i64) as i32);
        let leave = leave();
        reference.exit = AFTER + (after.len() + leave.len()) as u64 - 4;
        reference.place(AFTER, &[after, leave].concat());
        reference
    }

    fn place(&mut self, address: u64, code: &[u8]) {
        bytes_at(self.machine.arena_mut(), Region::Code, address)[..code.len()].copy_from_slice(code);
    }

    /// Makes all places for codes free.
    pub fn forget(&mut self) {
        self.next = PROBE_CODES.start;
        self.machine.forget_code();
    }

    /// The address for a code of `len` bytes, which no other code gets until all places are free again.
    pub fn code_place(&mut self, len: usize) -> u64 {
        let (lead, follow) = (lead().len() as u64, follow(AFTER).len() as u64);
        let place = self.next + lead;
        self.next = (place + len as u64 + follow).next_multiple_of(16);
        assert!(self.next <= PROBE_CODES.end, "there are places for all cases at one entry");
        place
    }

    /// Runs up to [`MOST`] cases one after another on one memory; returns the registers after each, and the memory.
    ///
    /// # Errors
    /// The first fault.
    pub fn run(&mut self, cases: &[&Case], memory: &Memory) -> Result<(Vec<RegisterFile>, Memory), Stop> {
        let rows = Region::Rows.address();
        let lead = lead();
        for (case, at) in cases.iter().zip((0..).step_by(ROW_BYTES as usize)) {
            let code = case.place - lead.len() as u64;
            let follow = follow(case.place + case.code.len() as u64);
            self.place(code, &[lead.as_slice(), &case.code, &follow].concat());
            let row = bytes_at(self.machine.arena_mut(), Region::Rows, rows + at);
            row[..8].copy_from_slice(&code.to_le_bytes());
            Aarch64::store(&case.file, &mut row[BEFORE as usize..RESULT as usize]);
        }
        let (slot, arena) = (memory.slot, self.machine.arena_mut());
        arena.bytes_mut(Region::Window(slot)).copy_from_slice(&memory.window);
        arena.bytes_mut(Region::Stack(slot)).copy_from_slice(&memory.stack);
        let end = rows + ROW_BYTES * cases.len() as u64;
        bytes_at(arena, Region::Control, ROW)[..8].copy_from_slice(&rows.to_le_bytes());
        bytes_at(arena, Region::Control, ROWS_END)[..8].copy_from_slice(&end.to_le_bytes());
        self.machine.run(LOOP, self.exit)?;
        let arena = self.machine.arena();
        let rows = arena.bytes(Region::Rows).chunks(ROW_BYTES as usize).take(cases.len());
        let files = rows.map(|row| Aarch64::load(&row[RESULT as usize..])).collect();
        let (window, stack) = (arena.bytes(Region::Window(slot)), arena.bytes(Region::Stack(slot)));
        Ok((files, Memory { slot, window: window.into(), stack: stack.into() }))
    }
}

fn bytes_at(arena: &mut Arena, region: Region, address: u64) -> &mut [u8] {
    &mut arena.bytes_mut(region)[(address - region.address()) as usize..]
}
