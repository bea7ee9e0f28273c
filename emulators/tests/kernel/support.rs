// SPDX-License-Identifier: GPL-2.0-or-later
//! Programs as text, and one run of them on the kernel and on `spec`.

use kop_emulators::kernel::{self, KernelEngine};
use kop_emulators::program::{Job, ProgramEngine};
use kop_emulators::spec::SpecEngine;
use kop_ops::ebpf::{Insn, parse_program};
use kop_ops::{Flow, Object, Program, ProgramKind, Slot};
use kop_semantics::world::Input;
use kop_semantics::{Contents, Run, World};

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

    /// Runs a raw program whose window starts with `data`, on both, and compares r0 and the window.
    ///
    /// # Panics
    /// When the kernel refuses the program or gives something else.
    pub fn compare(&mut self, object: &Object, data: &[u8]) {
        self.compare_with(object, &Input { packet: data.to_vec(), ..Input::default() })
            .unwrap_or_else(|reason| panic!("{reason}\n{}", listing(object)));
    }

    /// Runs the first program of `object` with `input` on both, compares what can be compared, and yields it; or why the kernel
    /// does not run it.
    ///
    /// # Panics
    /// When the kernel gives something else than `spec`.
    pub fn compare_with(&mut self, object: &Object, input: &Input) -> Result<Contents, String> {
        let (world, image) = World::new(object, 0, Slot::default(), input).expect("the input is sound");
        let registers = world.registers();
        let fuel = 1 << 20;
        let run = Run { object, entry: 0, world: &world, image: &image, registers: &registers, fuel };
        let job = Job { run, codes: &[] };
        let about = || listing(object);
        self.kernel.admits(&job)?;
        let (theirs, ours) = (self.kernel.run(&job), SpecEngine.run(&job));
        assert_eq!(theirs.end, ours.end, "kernel and spec: r0\n{}", about());
        let both = (theirs.contents(), ours.contents());
        let (Some(theirs), Some(ours)) = both else { panic!("not both have contents\n{}", about()) };
        if let Some(at) = theirs.data.iter().zip(&ours.data).position(|(a, b)| a != b) {
            let near =
                |contents: &Contents| contents.data[at & !7..].iter().take(8).copied().collect::<Vec<_>>();
            panic!(
                "data at {:#x}: kernel {:x?}, spec {:x?}\n{}",
                at & !7,
                near(&theirs),
                near(&ours),
                about()
            );
        }
        assert_eq!(theirs.maps, ours.maps, "kernel and spec: maps\n{}", about());
        assert_eq!(theirs, ours, "kernel and spec\n{}", about());
        Ok(ours)
    }
}
