// SPDX-License-Identifier: GPL-2.0-or-later
//! The code of rbpf's JIT compiler, for the benchmark to compare with: how long it takes to make, how long it is, how fast it
//! runs.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ::rbpf::EbpfVmRaw;
use iced_x86::{Decoder, DecoderOptions, Mnemonic};

/// A program that rbpf has compiled.
pub struct RbpfJit<'a> {
    machine: EbpfVmRaw<'a>,
}

/// rbpf puts code into one page, whatever the program.
const ROOM: usize = 4096;

impl<'a> RbpfJit<'a> {
    /// Verifies a program as rbpf does, which is quick, without compiling it.
    ///
    /// # Errors
    /// What rbpf says.
    pub fn new(program: &'a [u8]) -> Result<Self, String> {
        EbpfVmRaw::new(Some(program)).map(|machine| Self { machine }).map_err(|error| error.to_string())
    }

    /// Compiles the program; the code of an earlier call is dropped.
    ///
    /// # Errors
    /// What rbpf says. It panics for code that does not fit a page and for instructions that it does not have; that is
    /// an error here.
    pub fn compile(&mut self) -> Result<(), String> {
        let compiled = catch_unwind(AssertUnwindSafe(|| self.machine.jit_compile()));
        match compiled {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err(format!("its code has more than the {ROOM} bytes that rbpf has for it")),
        }
    }

    /// Compiles the program and returns its code, a function that takes the context's address in rdx and returns r0 in
    /// rax; it runs at any address.
    ///
    /// rbpf offers no way to its code but to call it. It is found as the writable and executable page that compiling
    /// changes in this process, in which nothing else may compile at the same time.
    ///
    /// # Errors
    /// As [`RbpfJit::compile`], or when the code is not found.
    pub fn code(&mut self) -> Result<Vec<u8>, String> {
        let before = pages()?;
        self.compile()?;
        let after = pages()?;
        let changed = after.into_iter().filter(|page| !before.contains(page));
        let mut codes = changed.filter_map(|page| ends(&page.bytes).map(|end| page.bytes[..end].to_vec()));
        match (codes.next(), codes.next()) {
            (Some(code), None) => Ok(code),
            _ => Err("its code is not found in this process".to_owned()),
        }
    }
}

#[derive(PartialEq, Eq)]
struct Page {
    address: u64,
    bytes: Vec<u8>,
}

/// The pages of this process that are writable and executable.
fn pages() -> Result<Vec<Page>, String> {
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(|error| error.to_string())?;
    let memory = File::open("/proc/self/mem").map_err(|error| error.to_string())?;
    let mut pages = Vec::new();
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let (range, protection) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        if protection.get(1..3) != Some("wx") {
            continue;
        }
        let ends = range.split_once('-').and_then(|(start, end)| {
            Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
        });
        let (start, end) = ends.ok_or_else(|| format!("/proc/self/maps: `{line}`"))?;
        for address in (start..end).step_by(ROOM) {
            let mut bytes = vec![0; ROOM];
            memory.read_exact_at(&mut bytes, address).map_err(|error| error.to_string())?;
            pages.push(Page { address, bytes });
        }
    }
    Ok(pages)
}

/// Where code of rbpf's ends that starts with `bytes`: behind the return that follows the only run of five pops. Pages
/// that are freed stay executable and may hold anything, copies of code too, but not at their start.
fn ends(bytes: &[u8]) -> Option<usize> {
    let prologue = Decoder::with_ip(64, bytes, 0, DecoderOptions::NONE).into_iter().take(5);
    if prologue.map(|instruction| instruction.mnemonic()).any(|mnemonic| mnemonic != Mnemonic::Push) {
        return None;
    }
    let mut pops = 0;
    for instruction in &mut Decoder::with_ip(64, bytes, 0, DecoderOptions::NONE) {
        match instruction.mnemonic() {
            Mnemonic::INVALID => return None,
            Mnemonic::Pop => pops += 1,
            Mnemonic::Ret if pops == 5 => return Some(instruction.next_ip() as usize),
            _ => pops = 0,
        }
    }
    None
}

#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod tests {
    use kop_ops::ebpf::{encode_program, parse_program};

    use super::*;
    use crate::arena::Region;
    use crate::stopwatch::{Arguments, Stopwatch};

    #[test]
    fn the_code_is_found_and_runs_elsewhere() {
        let program = parse_program("r0 = *(u64 *)(r1 + 8)\nr0 += 1\nexit").expect("the text parses");
        let bytes = encode_program(&program);
        let code = RbpfJit::new(&bytes).and_then(|mut jit| jit.code()).expect("a program for rbpf");
        let mut stopwatch = Stopwatch::new().expect("children run here");
        let function = stopwatch.place(&code).expect("there is room");
        stopwatch.arena_mut().bytes_mut(Region::Rows)[8] = 41;
        let timed = stopwatch.run(function, Arguments::same(Region::Rows.address()), 3).expect("it returns");
        assert_eq!(timed.result, 42);
    }

    #[test]
    fn a_program_that_does_not_fit_is_an_error() {
        let text = "r0 = 0x123456789abcdef ll\n".repeat(500) + "exit";
        let bytes = encode_program(&parse_program(&text).expect("the text parses"));
        assert!(RbpfJit::new(&bytes).and_then(|mut jit| jit.code()).is_err());
    }
}
