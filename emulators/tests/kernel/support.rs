// SPDX-License-Identifier: GPL-2.0-or-later
//! Programs as text, and one run of them on the kernel and on `spec`.

use kop_emulators::kernel::{self, KernelEngine};
use kop_emulators::program::{Job, ProgramEngine};
use kop_emulators::spec::SpecEngine;
use kop_ops::ebpf::{Insn, parse_program};
use kop_ops::{Flow, Object, Program, ProgramKind, Slot};
use kop_semantics::{Image, Outcome, Run, World};

/// Whether a test cannot be done here, which it then says.
pub fn skipped() -> bool {
    kernel::available().inspect_err(|reason| eprintln!("skipped: {reason}")).is_err()
}

/// An object of one program without maps.
pub fn object(kind: ProgramKind, insns: Vec<Insn>) -> Object {
    let flow = Flow::new(insns.clone()).unwrap_or_else(|error| panic!("{error}: {insns:?}"));
    let program = Program { name: "test".to_owned(), kind, flow };
    Object { programs: vec![program], license: "GPL".to_owned(), ..Object::default() }
}

/// As [`object`], of a text.
pub fn parsed(kind: ProgramKind, text: &str) -> Object {
    object(kind, parse_program(text).unwrap_or_else(|error| panic!("{error}\n{text}")))
}

/// The listing of an object's first program.
pub fn listing(object: &Object) -> String {
    object.programs[0].flow.insns().iter().map(|insn| format!("{insn}\n")).collect()
}

/// The kernel and `spec` side by side.
pub struct Pair {
    kernel: KernelEngine,
}

impl Pair {
    pub fn new() -> Self {
        Self { kernel: KernelEngine::new().expect("it was asked for before") }
    }

    /// Runs a raw program whose window starts with `data`, on both, and compares r0 and the window. Yields `spec`'s.
    ///
    /// # Panics
    /// When the kernel refuses the program or gives something else.
    pub fn compare(&mut self, object: &Object, data: &[u8]) -> Outcome {
        let slot = Slot::default();
        let mut image = Image::zeroed(slot, 0, 0);
        image.window[..data.len()].copy_from_slice(data);
        let mut registers = [0; 11];
        (registers[1], registers[2], registers[10]) = (slot.window(), data.len() as u64, slot.stack_end());
        let (world, fuel) = (World::default(), 1 << 20);
        let run = Run { object, entry: 0, world: &world, image: &image, registers: &registers, fuel };
        let job = Job { run, codes: &[] };
        let about = || listing(object);
        self.kernel.admits(&job).unwrap_or_else(|reason| panic!("{reason}\n{}", about()));
        let (theirs, ours) = (self.kernel.run(&job), SpecEngine.run(&job));
        assert_eq!(theirs.end, ours.end, "kernel and spec: r0\n{}", about());
        let differs = theirs.image.window.iter().zip(&ours.image.window).position(|(a, b)| a != b);
        if let Some(at) = differs {
            let near = |outcome: &Outcome| outcome.image.window[at & !7..][..8].to_vec();
            panic!(
                "window+{:#x}: kernel {:x?}, spec {:x?}\n{}",
                at & !7,
                near(&theirs),
                near(&ours),
                about()
            );
        }
        ours
    }
}
