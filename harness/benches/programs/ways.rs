// SPDX-License-Identifier: GPL-2.0-or-later
//! The ways to run a program: our code, the kernel's image and rbpf's code in the child of the host engine, and the kernel.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use kop_emulators::arena::Region;
use kop_emulators::engines::host_features;
use kop_emulators::kernel::{self, Loaded, TestRun};
use kop_emulators::stopwatch::Stopwatch;
use kop_jit::Options;
use kop_ops::code::runtime;
use kop_ops::ebpf::{Insn, Reg};
use kop_ops::state::{CONTEXT_SIZE, STACK_SIZE, Slot, WINDOW_SIZE};
use kop_ops::{Arch, Catalog, Code, Features, Flow, Object, Program, ProgramKind};

use crate::corpus::Sample;

/// What measuring needs of the machine.
pub struct Setup {
    /// Whether bpf(2) can be used, or why not.
    pub kernel: Result<(), String>,
    /// The processor's name.
    pub processor: String,
    /// The kernel's release.
    pub release: String,
    stopwatch: Result<Rc<RefCell<Stopwatch>>, String>,
    catalog: Catalog<'static>,
    features: Features,
    /// Nanoseconds of a call of a function that only returns, and of an empty program in the kernel.
    floors: [f64; 2],
}

/// Where a call's arguments are.
const XDP_MD: u64 = Region::Rows.address();
const XDP_BUFF: u64 = Region::Rows.address() + 256;
const BLOCK: u64 = Region::Rows.address() + 4096;

/// A program to be called.
pub enum Call {
    /// Native code in the child: the address and the argument.
    Native(Rc<RefCell<Stopwatch>>, u64, u64),
    /// The program in the kernel, with its packet.
    Kernel(Box<Loaded>, Vec<u8>),
}

impl Setup {
    /// Looks at what there is.
    pub fn new() -> Self {
        let line = |path: &str, key: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let value = text.lines().find_map(|line| line.strip_prefix(key).map(str::to_owned));
            value.map_or("unknown".to_owned(), |value| {
                value.trim_start_matches([' ', '\t', ':']).trim().to_owned()
            })
        };
        let mut setup = Self {
            kernel: kernel::available(),
            processor: line("/proc/cpuinfo", "model name"),
            release: line("/proc/sys/kernel/osrelease", ""),
            stopwatch: Stopwatch::new().map(|stopwatch| Rc::new(RefCell::new(stopwatch))),
            catalog: Catalog::einsn(),
            features: host_features(),
            floors: [0.0; 2],
        };
        setup.floors = [setup.native_floor(), setup.kernel_floor()];
        setup
    }

    /// Says on what is measured, and what is missing.
    pub fn print(&self) {
        let Setup { processor, release, floors: [native, kernel], .. } = self;
        println!(
            "{processor}, Linux {release}; an empty call takes {native:.1} ns, in the kernel {kernel:.0} ns"
        );
        if let Err(error) = &self.kernel {
            println!("without the kernel: {error}");
        }
        if let Err(error) = &self.stopwatch {
            println!("without run times in user space: {error}");
        }
    }

    /// Compiles the program of a sample with our JIT.
    ///
    /// # Errors
    /// Why it does not compile.
    pub fn compile(&self, program: &Program, sample: &Sample, guarded: bool) -> Result<Code, String> {
        let options = Options {
            arch: Arch::X86_64,
            features: self.features,
            guarded,
            observe: false,
            catalog: &self.catalog,
            operations: &sample.object.operations,
            emits: true,
            addresses: &sample.addresses,
        };
        kop_jit::compile(program, &options).map_err(|error| error.to_string())
    }

    /// The ways to run a program, in the order of [`crate::measure::Run`]'s fields.
    pub fn calls(&self, sample: &Sample) -> [Result<Call, String>; 5] {
        [
            self.compile(sample.program(), sample, false)
                .and_then(|code| self.native(&code.bytes, code.entry, BLOCK)),
            self.compile(sample.program(), sample, true)
                .and_then(|code| self.native(&code.bytes, code.entry, BLOCK)),
            sample.kernel_image(self).and_then(|image| {
                let bytes = image.relocated(|_| unreachable!("the program has no maps"));
                self.native(&bytes.map_err(|error| error.to_string())?, 0, XDP_BUFF)
            }),
            self.kernel.clone().and_then(|()| {
                let loaded = Loaded::new(&sample.object, sample.index, 0, false);
                Ok(Call::Kernel(Box::new(loaded.map_err(|error| error.to_string())?), sample.packet.clone()))
            }),
            sample.rbpf_code().and_then(|code| self.native(code, 0, XDP_MD)),
        ]
    }

    /// Puts the packet of a program and what its code finds around it into memory.
    pub fn fill(&self, sample: &Sample) {
        if let Ok(stopwatch) = &self.stopwatch {
            fill(&mut stopwatch.borrow_mut(), sample);
        }
    }

    fn native(&self, code: &[u8], entry: usize, argument: u64) -> Result<Call, String> {
        let stopwatch = Rc::clone(self.stopwatch.as_ref().map_err(Clone::clone)?);
        let place = stopwatch.borrow_mut().place(code).ok_or("there is no room for more code")?;
        Ok(Call::Native(stopwatch, place + entry as u64, argument))
    }

    fn native_floor(&self) -> f64 {
        const RETURN: [u8; 1] = [0xc3];
        self.native(&RETURN, 0, XDP_MD).map_or(0.0, |mut call| quickest(&mut call))
    }

    fn kernel_floor(&self) -> f64 {
        let flow = Flow::new(vec![Insn::mov64(Reg::R0, 2), Insn::Exit]).expect("it is a program");
        let empty = Program { name: "empty".to_owned(), kind: ProgramKind::Xdp, flow };
        let object = Object { programs: vec![empty], license: "GPL".to_owned(), ..Object::default() };
        let loaded = self
            .kernel
            .clone()
            .and_then(|()| Loaded::new(&object, 0, 0, false).map_err(|error| error.to_string()));
        loaded.map_or(0.0, |loaded| quickest(&mut Call::Kernel(Box::new(loaded), vec![0; 512])))
    }
}

/// The quickest of some samples, in nanoseconds a call.
fn quickest(call: &mut Call) -> f64 {
    const CALLS: u32 = 200_000;
    let samples = (0..9).map(|_| call.time(CALLS).as_nanos() as f64 / f64::from(CALLS));
    samples.fold(f64::INFINITY, f64::min)
}

impl Call {
    /// Calls it once.
    ///
    /// # Errors
    /// When it does not return `result`.
    pub fn check(&mut self, result: u32) -> Result<(), String> {
        let (way, returned) = match self {
            Call::Native(stopwatch, address, argument) => {
                let timed = stopwatch.borrow_mut().run(*address, *argument, 1);
                (
                    "native code",
                    timed.map_err(|stop| format!("native code stops: {}", stop.fault))?.result as u32,
                )
            }
            Call::Kernel(loaded, packet) => {
                let test = TestRun { packet, context: &[], repeat: 1 };
                ("the kernel", loaded.run(&test).map_err(|error| error.to_string())?.r0 as u32)
            }
        };
        if returned == result {
            Ok(())
        } else {
            Err(format!("{way} returns {returned}, {result} is expected"))
        }
    }

    /// The time of `times` calls, of a call that was checked.
    pub fn time(&mut self, times: u32) -> Duration {
        match self {
            Call::Native(stopwatch, address, argument) => {
                stopwatch.borrow_mut().run(*address, *argument, times).expect("it returned before").time
            }
            Call::Kernel(loaded, packet) => {
                let test = TestRun { packet, context: &[], repeat: times };
                let ended = loaded.run(&test).expect("it ran before");
                Duration::from_nanos(u64::from(ended.result.nanoseconds)) * times
            }
        }
    }

    /// The nanoseconds of an empty call of this kind.
    pub fn floor(&self, setup: &Setup) -> f64 {
        match self {
            Call::Native(..) => setup.floors[0],
            Call::Kernel(..) => setup.floors[1],
        }
    }
}

/// Puts down the packet, a `struct xdp_md` and the kernel's `struct xdp_buff` for it, and a runtime block.
fn fill(stopwatch: &mut Stopwatch, sample: &Sample) {
    let slot = Slot::default();
    let arena = stopwatch.arena_mut();
    arena.bytes_mut(Region::Window(slot))[..sample.packet.len()].copy_from_slice(&sample.packet);
    let (data, end) = (slot.window(), slot.window() + sample.packet.len() as u64);
    let mut put = |address: u64, bytes: &[u8]| {
        let offset = (address - Region::Rows.address()) as usize;
        arena.bytes_mut(Region::Rows)[offset..offset + bytes.len()].copy_from_slice(bytes);
    };
    for (word, value) in [data, end, data].into_iter().enumerate() {
        put(XDP_MD + 4 * word as u64, &(value as u32).to_le_bytes());
        put(XDP_BUFF + 8 * word as u64, &value.to_le_bytes());
    }
    let mut word = |offset: i32, value: u64| put(BLOCK + offset as u64, &value.to_le_bytes());
    word(runtime::REGISTERS + 8, XDP_MD);
    word(runtime::REGISTERS + 80, slot.stack_end());
    word(runtime::FUEL, i64::MAX as u64);
    let ranges = [(slot.window(), WINDOW_SIZE), (slot.stack(), STACK_SIZE), (XDP_MD, CONTEXT_SIZE)];
    word(runtime::RANGE_COUNT, ranges.len() as u64);
    for (index, (start, size)) in ranges.into_iter().enumerate() {
        word(runtime::RANGES + 16 * index as i32, start);
        word(runtime::RANGES + 16 * index as i32 + 8, size as u64);
    }
}
