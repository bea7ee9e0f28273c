// SPDX-License-Identifier: GPL-2.0-or-later
//! The kernel's JIT: the program in the kernel, and its code read back.

use kop_emulators::kernel::Loaded;

use super::{ALONE, Backend, Built, Compiled, Making, timed};
use crate::bench::machine::{Argument, Call, Machine};
use crate::bench::suite::Sample;

struct TestRuns;
struct Image;

const X86_64_ALONE: &str = "it is read back on x86-64 alone";

/// Loading takes milliseconds.
const TIMES: usize = 3;

/// The program, through BPF_PROG_TEST_RUN.
pub fn test_run(machine: &Machine) -> Result<Box<dyn Backend>, String> {
    machine.kernel.clone().map(|()| Box::new(TestRuns) as Box<dyn Backend>)
}

/// Its code, in user space.
pub fn image(machine: &Machine) -> Result<Box<dyn Backend>, String> {
    machine.kernel.clone()?;
    if cfg!(target_arch = "x86_64") { Ok(Box::new(Image)) } else { Err(X86_64_ALONE.to_owned()) }
}

fn load(sample: &Sample) -> Result<Loaded, String> {
    // The verifier's reasons have many lines, of which the first says what it is.
    let first = |text: String| text.lines().next().unwrap_or_default().to_owned();
    Loaded::new(&sample.object, sample.index, 0, false).map_err(|error| first(error.to_string()))
}

impl Backend for TestRuns {
    fn build(&self, _machine: &Machine, sample: &Sample) -> Result<Built, String> {
        let loaded = load(sample)?;
        let code_bytes = loaded.image().ok().map(|image| image.bytes.len());
        let compile_ns = Some(timed(TIMES, || load(sample)));
        Ok(Built { call: Call::Kernel(Box::new(loaded)), code_bytes, making: Making::new(compile_ns) })
    }

    fn compile(&self, _machine: &Machine, _sample: &Sample) -> Result<Compiled, String> {
        Err(ALONE.to_owned())
    }
}

/// The kernel's code of a program, in the machine's child, and its size.
///
/// # Errors
/// Why there is none, in one line.
pub fn placed(machine: &Machine, sample: &Sample) -> Result<(Call, usize), String> {
    machine.kernel.clone()?;
    if !cfg!(target_arch = "x86_64") {
        return Err(X86_64_ALONE.to_owned());
    }
    let image = load(sample)?.image().map_err(|error| error.to_string())?;
    let bytes = image.relocated(|_| unreachable!("the program has no maps"));
    let bytes = bytes.map_err(|error| error.to_string())?;
    Ok((machine.native(&bytes, 0, Argument::XdpBuff)?, image.bytes.len()))
}

impl Backend for Image {
    fn build(&self, machine: &Machine, sample: &Sample) -> Result<Built, String> {
        let (call, bytes) = placed(machine, sample)?;
        Ok(Built { call, code_bytes: Some(bytes), making: Making::default() })
    }

    fn compile(&self, _machine: &Machine, _sample: &Sample) -> Result<Compiled, String> {
        Err(ALONE.to_owned())
    }
}
