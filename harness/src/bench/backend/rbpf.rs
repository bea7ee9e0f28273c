// SPDX-License-Identifier: GPL-2.0-or-later
//! rbpf's JIT.

use kop_emulators::rbpf::RbpfJit;
use kop_ops::ebpf::encode_program;

use super::{Backend, Built, Compiled, Making, timed};
use crate::bench::machine::{Argument, Machine};
use crate::bench::suite::Sample;

struct Rbpf;

const TIMES: usize = 15;

/// The backend.
pub fn make(_machine: &Machine) -> Result<Box<dyn Backend>, String> {
    if cfg!(target_arch = "x86_64") {
        Ok(Box::new(Rbpf))
    } else {
        Err("it compiles for x86-64 alone".to_owned())
    }
}

impl Backend for Rbpf {
    fn build(&self, machine: &Machine, sample: &Sample) -> Result<Built, String> {
        let bytes = encode_program(sample.program().flow.insns());
        let code = quiet(|| RbpfJit::new(&bytes)?.code())?;
        let mut jit = RbpfJit::new(&bytes)?;
        let compile_ns = Some(timed(TIMES, || jit.compile()));
        let call = machine.native(&code, 0, Argument::XdpMd)?;
        Ok(Built { call, code_bytes: Some(code.len()), making: Making::new(compile_ns) })
    }

    fn compile(&self, _machine: &Machine, _sample: &Sample) -> Result<Compiled, String> {
        Err("rbpf has no maps, and its helper functions are others".to_owned())
    }
}

/// Does something that may panic and be caught, without the message.
fn quiet<T>(action: impl FnOnce() -> T) -> T {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = action();
    std::panic::set_hook(hook);
    result
}
