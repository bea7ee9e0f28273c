// SPDX-License-Identifier: GPL-2.0-or-later
//! clang's native code of the program's C.

use super::{ALONE, Backend, Built, Compiled, Making, timed};
use crate::bench::clang;
use crate::bench::machine::{Argument, Machine};
use crate::bench::suite::Sample;

struct Native {
    general: bool,
}

/// The backend; in general registers alone where `general` says so.
pub fn make(_machine: &Machine, general: bool) -> Result<Box<dyn Backend>, String> {
    match std::process::Command::new("clang").arg("--version").output() {
        Ok(_) => Ok(Box::new(Native { general })),
        Err(error) => Err(format!("clang cannot be run ({error}): install it (Debian: clang)")),
    }
}

impl Backend for Native {
    fn build(&self, machine: &Machine, sample: &Sample) -> Result<Built, String> {
        let source = sample.source.as_ref().ok_or("there is no C of the program")?;
        let mut made = None;
        let compile_ns =
            Some(timed(1, || made = Some(clang::native(source, &sample.program().name, self.general))));
        let code = made.expect("it was compiled once")?;
        let call = machine.native(&code.bytes, code.entry, Argument::XdpMd)?;
        Ok(Built { call, code_bytes: Some(code.code_bytes), making: Making::new(compile_ns) })
    }

    fn compile(&self, _machine: &Machine, _sample: &Sample) -> Result<Compiled, String> {
        Err(ALONE.to_owned())
    }
}
