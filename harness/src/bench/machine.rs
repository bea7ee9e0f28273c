// SPDX-License-Identifier: GPL-2.0-or-later
//! The machine that is measured on: a child to run native code in, with inputs in its memory, and what empty calls take.

use std::cell::RefCell;
use std::time::Duration;

use kop_emulators::arena::Region;
use kop_emulators::engines::host_features;
use kop_emulators::kernel::{self, Loaded, TestRun, xdp_buff};
use kop_emulators::stopwatch::{Arguments, Stopwatch};
use kop_ops::code::runtime;
use kop_ops::ebpf::{Insn, Reg};
use kop_ops::state::{STACK_SIZE, Slot};
use kop_ops::{Features, Flow, Object, Program, ProgramKind};

use super::suite::MAX_INPUT;

/// How many inputs rotate: too many for a branch predictor to learn with the branches of a program each, and few enough to stay in
/// the second level of caches.
pub const INPUTS: usize = 64;

/// An input's place in memory: what code may take as its argument, then the packet. Places are apart by no power of two, so that
/// they do not meet in the same sets of a cache.
mod place {
    use kop_emulators::arena::Region;
    use kop_ops::code::runtime;

    use super::MAX_INPUT;

    pub const XDP_MD: u64 = 0;
    pub const XDP_BUFF: u64 = 64;
    pub const BLOCK: u64 = 128;
    pub const PACKET: u64 = BLOCK + runtime::SIZE as u64;
    pub const STRIDE: u64 = PACKET + MAX_INPUT as u64 + 192;
    pub const FIRST: u64 = Region::Rows.address();
}

/// What calls run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// The first of those that are measured.
    Same,
    /// Those that are measured, in turns.
    Rotating,
    /// The first of those that are not measured.
    Training,
    /// Those that are not measured, in turns.
    TrainingRotating,
}

/// What code takes as its argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A `struct xdp_md`.
    XdpMd,
    /// The kernel's `struct xdp_buff`.
    XdpBuff,
    /// The runtime block of our JIT.
    Block,
}

impl Argument {
    /// `count` inputs in turns, from one on.
    fn arguments(self, from: usize, count: usize) -> Arguments {
        let offset = match self {
            Argument::XdpMd => place::XDP_MD,
            Argument::XdpBuff => place::XDP_BUFF,
            Argument::Block => place::BLOCK,
        };
        let first = place::FIRST + offset + place::STRIDE * from as u64;
        Arguments { first, stride: place::STRIDE, count: count as u64 }
    }
}

/// What measuring needs of the machine.
pub struct Machine {
    /// Whether bpf(2) can be used, or why not.
    pub kernel: Result<(), String>,
    /// The processor's name.
    pub processor: String,
    /// The kernel's release.
    pub release: String,
    /// What the processor has.
    pub features: Features,
    stopwatch: Result<RefCell<Stopwatch>, String>,
    /// How many inputs are measured, and how many more there are.
    inputs: [usize; 2],
    /// Nanoseconds of a call of a function that only returns, and of an empty program in the kernel.
    floors: [f64; 2],
}

/// A program to be called.
pub enum Call {
    /// Native code in the child: where it stands and what it takes.
    Native(u64, Argument),
    /// The program in the kernel.
    Kernel(Box<Loaded>),
}

impl Machine {
    /// Looks at what there is.
    pub fn new() -> Self {
        let line = |path: &str, key: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let value = text.lines().find_map(|line| line.strip_prefix(key).map(str::to_owned));
            let value = value.unwrap_or_else(|| "unknown".to_owned());
            value.trim_start_matches([' ', '\t', ':']).trim().to_owned()
        };
        let mut machine = Self {
            kernel: kernel::available(),
            processor: line("/proc/cpuinfo", "model name"),
            release: line("/proc/sys/kernel/osrelease", ""),
            features: host_features(),
            stopwatch: match cfg!(target_arch = "x86_64") {
                true => Stopwatch::new().map(RefCell::new),
                false => Err("native code is timed on x86-64 alone".to_owned()),
            },
            inputs: [0; 2],
            floors: [0.0; 2],
        };
        machine.place_inputs(&[vec![0; 64]], &[]);
        machine.floors = [machine.native_floor(), machine.kernel_floor()];
        machine
    }

    /// Puts inputs that are measured, and some that are not, into the child's memory.
    ///
    /// # Panics
    /// For more than there is room for, or a packet that is too long.
    pub fn place_inputs(&mut self, inputs: &[Vec<u8>], training: &[Vec<u8>]) {
        self.inputs = [inputs.len(), training.len()];
        let Ok(stopwatch) = &self.stopwatch else { return };
        let mut stopwatch = stopwatch.borrow_mut();
        let rows = stopwatch.arena_mut().bytes_mut(Region::Rows);
        for (index, packet) in inputs.iter().chain(training).enumerate() {
            assert!(packet.len() <= MAX_INPUT, "a packet of {} bytes", packet.len());
            let base = place::FIRST + place::STRIDE * index as u64;
            let mut put = |address: u64, bytes: &[u8]| {
                let offset = (address - Region::Rows.address()) as usize;
                rows[offset..offset + bytes.len()].copy_from_slice(bytes);
            };
            let data = base + place::PACKET;
            let end = data + packet.len() as u64;
            put(data, packet);
            for (word, value) in [data, end, data].into_iter().enumerate() {
                put(base + place::XDP_MD + 4 * word as u64, &(value as u32).to_le_bytes());
            }
            for (word, value) in xdp_buff(data, data, data, end).into_iter().enumerate() {
                put(base + place::XDP_BUFF + 8 * word as u64, &value.to_le_bytes());
            }
            let mut word =
                |offset: i32, value: u64| put(base + place::BLOCK + offset as u64, &value.to_le_bytes());
            let stack = Slot::default();
            word(runtime::REGISTERS + 8, base + place::XDP_MD);
            word(runtime::REGISTERS + 80, stack.stack_end());
            word(runtime::FUEL, i64::MAX as u64);
            let ranges = [(data, packet.len()), (stack.stack(), STACK_SIZE), (base + place::XDP_MD, 24)];
            word(runtime::RANGE_COUNT, ranges.len() as u64);
            for (index, (start, size)) in ranges.into_iter().enumerate() {
                word(runtime::RANGES + 16 * index as i32, start);
                word(runtime::RANGES + 16 * index as i32 + 8, size as u64);
            }
        }
    }

    /// Puts code into the child.
    ///
    /// # Errors
    /// Why there is no child, or that there is no room left in it.
    pub fn native(&self, code: &[u8], entry: usize, argument: Argument) -> Result<Call, String> {
        let mut stopwatch = self.stopwatch.as_ref().map_err(Clone::clone)?.borrow_mut();
        let place = stopwatch.place(code).ok_or("there is no room for more code")?;
        Ok(Call::Native(place + entry as u64, argument))
    }

    /// Nanoseconds of an empty call of this kind.
    pub fn floor(&self, call: &Call) -> f64 {
        match call {
            Call::Native(..) => self.floors[0],
            Call::Kernel(..) => self.floors[1],
        }
    }

    fn native_floor(&self) -> f64 {
        const RETURN: [u8; 1] = [0xc3];
        self.native(&RETURN, 0, Argument::XdpMd).map_or(0.0, |call| self.quickest(&call))
    }

    fn kernel_floor(&self) -> f64 {
        let flow = Flow::new(vec![Insn::mov64(Reg::R0, 2), Insn::Exit]).expect("it is a program");
        let empty = Program { name: "empty".to_owned(), kind: ProgramKind::Xdp, flow };
        let object = Object { programs: vec![empty], license: "GPL".to_owned(), ..Object::default() };
        let loaded = self
            .kernel
            .clone()
            .and_then(|()| Loaded::new(&object, 0, 0, false).map_err(|error| error.to_string()));
        loaded.map_or(0.0, |loaded| self.quickest(&Call::Kernel(Box::new(loaded))))
    }

    /// The quickest of some samples, in nanoseconds a call.
    fn quickest(&self, call: &Call) -> f64 {
        const CALLS: u32 = 200_000;
        let samples = (0..9).filter_map(|_| call.time(self, &[0; 512], Inputs::Same, CALLS).ok());
        let each = samples.map(|time| time.as_nanos() as f64 / f64::from(CALLS));
        each.fold(f64::INFINITY, f64::min)
    }
}

impl Call {
    /// Whether its inputs can take turns.
    pub fn rotates(&self) -> bool {
        matches!(self, Call::Native(..))
    }

    /// Calls it once on each input.
    ///
    /// # Errors
    /// What it does other than returning what is wanted.
    pub fn check(&self, machine: &Machine, inputs: &[Vec<u8>], wanted: &[u32]) -> Result<(), String> {
        for (index, (input, wanted)) in inputs.iter().zip(wanted).enumerate() {
            let returned = match self {
                Call::Native(address, argument) => {
                    let mut stopwatch = machine.stopwatch.as_ref().map_err(Clone::clone)?.borrow_mut();
                    let timed = stopwatch.run(*address, argument.arguments(index, 1), 1);
                    timed.map_err(|stop| format!("input {index}: it stops: {}", stop.fault))?.result as u32
                }
                Call::Kernel(loaded) => {
                    let test = TestRun { packet: input, context: &[], repeat: 1 };
                    loaded.run(&test).map_err(|error| error.to_string())?.r0 as u32
                }
            };
            if returned != *wanted {
                return Err(format!("input {index}: it returns {returned}, {wanted} is expected"));
            }
        }
        Ok(())
    }

    /// The time of `times` calls on inputs; in the kernel, on `packet`.
    ///
    /// # Errors
    /// What keeps it from returning.
    pub fn time(
        &self,
        machine: &Machine,
        packet: &[u8],
        inputs: Inputs,
        times: u32,
    ) -> Result<Duration, String> {
        match self {
            Call::Native(address, argument) => {
                let [measured, others] = machine.inputs;
                let arguments = match inputs {
                    Inputs::Same => argument.arguments(0, 1),
                    Inputs::Rotating => argument.arguments(0, measured),
                    Inputs::Training => argument.arguments(measured, 1),
                    Inputs::TrainingRotating => argument.arguments(measured, others),
                };
                let mut stopwatch = machine.stopwatch.as_ref().map_err(Clone::clone)?.borrow_mut();
                let timed = stopwatch.run(*address, arguments, times);
                Ok(timed.map_err(|stop| stop.fault.to_string())?.time)
            }
            Call::Kernel(loaded) => {
                let test = TestRun { packet, context: &[], repeat: times };
                let ended = loaded.run(&test).map_err(|error| error.to_string())?;
                Ok(Duration::from_nanos(u64::from(ended.result.nanoseconds)) * times)
            }
        }
    }
}
