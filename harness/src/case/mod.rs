// SPDX-License-Identifier: GPL-2.0-or-later
//! Regression cases: one operation, form, payload and state as readable text, and the files that hold them.
//!
//! ```text
//! # rotate by zero forgot to zero-extend
//! kop-case 1
//! operation rotate
//! form imm32
//! arch x86_64
//! features none
//! operand dst r3
//! operand src r3
//! operand tmp r2
//! operand amount 0
//! r3 = 0xffffffff80000001
//! r6 = window+0x10
//! window+0x10: 01 02 03 ff
//! stack-0x8: 00 11
//! ```
//!
//! | line | meaning | when absent |
//! |---|---|---|
//! | `# text` | the root cause and whatever else people should know; may stand anywhere, printed at the top | |
//! | `kop-case 1` | the format's version, before every other line | an error |
//! | `operation NAME`, `form NAME` | what is used | an error |
//! | `arch NAME` | the architecture it is about | both |
//! | `features LIST` | the CPU features the code is emitted for, or `none` | every set the emit looks at |
//! | `operand NAME VALUE` | an operand, `r3` or a number | an error |
//! | `payload 0x..` | instead of the operands: a payload that does not decode, or one of a kernel module | |
//! | `garbage 0x..` | the seed for scratch registers, flags and SIMD registers | 0 |
//! | `rN = VALUE` | a register: a number, `window+0x10`, `stack-0x8` | 0, and `stack` for r10 |
//! | `ADDRESS: 01 02 ..` | bytes of memory | 0 |
//!
//! The payloads of a kernel module have the forms and operands that were learned from it, which a change of the module can
//! change. So its cases hold the payload, and the form that holds that payload is used, whatever it is called.

mod files;
mod parse;
mod print;

use kop_ops::{Arch, Catalog, Features, Form, Kop, Operands, PayloadError, Reject, Site, Slot, State};

pub use files::{AS_FOUND, MAX_FILE_BYTES, load, load_tree, path, save, save_minimised};
pub(crate) use print::rows;

/// The version of the text format.
pub const VERSION: u32 = 1;

/// One case: what is used, on which state, and why it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The lines of the comment, without `#`; the first says the root cause.
    pub comment: Vec<String>,
    /// The operation's name.
    pub kop: String,
    /// The operation's form.
    pub form: Form,
    /// The architecture it is about; `None` for both.
    pub arch: Option<Arch>,
    /// The CPU features that the code is emitted for; `None` for every set that the emit looks at.
    pub features: Option<Features>,
    /// The payload, which need not decode.
    pub payload: u64,
    /// Whether the form was learned and not declared, so that the payload says more than operands would.
    pub learned: bool,
    /// Registers and memory before, in slot 0.
    pub state: State,
    /// The seed for everything that a state does not hold: scratch and preserved registers, flags, SIMD registers.
    pub garbage: u64,
}

impl Case {
    /// The case of `payload` on `state`, which is moved to slot 0, for both architectures and every set of CPU features.
    pub fn new(kop: &dyn Kop, form: &Form, payload: u64, state: &State) -> Self {
        Self {
            comment: Vec::new(),
            kop: kop.name().to_owned(),
            form: form.clone(),
            arch: None,
            features: None,
            payload,
            learned: is_learned(kop),
            state: rebase(state, Slot::default()),
            garbage: 0,
        }
    }

    /// Reads the text that `Display` prints, or that a person wrote.
    ///
    /// Operation, form and operands are looked up in `catalog`; the rules between operands ([`Kop::admits`]) are not
    /// asked, as a case may be about a payload that one side refuses.
    ///
    /// # Errors
    /// [`CaseError`] with the line, what is wrong with it, and the way out.
    pub fn parse(text: &str, catalog: &Catalog) -> Result<Self, CaseError> {
        parse::parse(text, catalog)
    }

    /// The operands that the payload holds.
    ///
    /// # Errors
    /// [`PayloadError`] when the payload does not decode.
    pub fn operands(&self) -> Result<Operands, PayloadError> {
        self.form.layout.decode(self.payload)
    }

    /// The site on a CPU with `features`.
    ///
    /// # Errors
    /// [`Reject::Payload`] when the payload does not decode.
    pub fn site(&self, features: Features) -> Result<Site<'_>, Reject> {
        Site::decode(&self.form, self.payload, features)
    }

    /// Whether the case is about `arch`.
    pub fn is_about(&self, arch: Arch) -> bool {
        self.arch.is_none_or(|only| only == arch)
    }

    /// Operation, form and operands in one line: `rotate imm32 dst=r3 src=r3 tmp=r2 amount=0`.
    pub fn title(&self) -> String {
        match self.operands() {
            Ok(operands) => format!("{} {} {}", self.kop, self.form.name, self.form.layout.show(&operands)),
            Err(_) => format!("{} {} payload={:#x}", self.kop, self.form.name, self.payload),
        }
    }
}

/// Whether the operation's forms are what was learned of a kernel module.
fn is_learned(kop: &dyn Kop) -> bool {
    kop.arguments().first().is_some_and(|option| option == "--module")
}

/// The state with every register that points near its window or stack moved to the same place in `to`.
///
/// Near is what [`Slot::show`] prints as relative to window or stack. Memory keeps its contents: bytes that look like an
/// address stay as they are.
pub fn rebase(state: &State, to: Slot) -> State {
    let from = state.memory.slot;
    let mut moved = state.clone();
    moved.memory.slot = to;
    for value in &mut moved.registers {
        *value = to.parse(&from.show(*value)).expect("a slot reads what another one shows");
    }
    moved
}

/// Why a text or a file is no case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", self.place())]
pub struct CaseError {
    /// The line, from 1; `None` when it is about the file as a whole.
    pub line: Option<usize>,
    /// The column in characters, from 1, where one part of the line is to blame.
    pub column: Option<usize>,
    /// What is wrong and how to get it right.
    pub message: String,
}

impl CaseError {
    fn whole(message: impl Into<String>) -> Self {
        Self { line: None, column: None, message: message.into() }
    }

    fn at_line(line: usize, message: impl Into<String>) -> Self {
        Self { line: Some(line), column: None, message: message.into() }
    }

    fn place(&self) -> String {
        match (self.line, self.column) {
            (None, _) => String::new(),
            (Some(line), None) => format!("line {line}: "),
            (Some(line), Some(column)) => format!("line {line}, column {column}: "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kop_ops::choices::{Choices, Seeded};
    use kop_ops::ebpf::Reg;
    use kop_ops::state::{STACK_SIZE, WINDOW_SIZE};

    /// A case that exercises every kind of line.
    pub(super) fn sample() -> Case {
        let catalog = Catalog::einsn();
        let text = "# rotate by zero forgot to zero-extend\nkop-case 1\noperation rotate\nform imm32\narch x86_64\n\
                    features bmi2\noperand dst r3\noperand src r3\noperand tmp r2\noperand amount 13\n\
                    garbage 0x7\nr1 = 0x123\nr2 = window+0x10\nwindow+0x10: 01 02 03 ff\nstack-0x8: 00 11\n";
        Case::parse(text, &catalog).expect("a valid case")
    }

    /// Any case: every operation and form, payloads that decode and payloads that do not, pointers and garbage.
    pub(super) fn random(catalog: &Catalog, choices: &mut impl Choices) -> Case {
        let forms: Vec<_> = catalog.forms().collect();
        let (kop, form) = *choices.pick(&forms);
        let payload = match choices.below(3) {
            0 => choices.bits(),
            1 => choices.bits() & form.layout.used_bits(),
            _ => form.layout.pack(&form.layout.combination(choices.below(form.layout.combinations()))),
        };
        let slot = Slot::of_batch(choices.bits());
        let mut state = State::zeroed(slot);
        for _ in 0..choices.below(12) {
            let register = *choices.pick(&Reg::ALL);
            let near = choices.below(0x2_0000).wrapping_sub(0x1_0000);
            let values = [0, 8, slot.window(), slot.stack_end()].map(|base: u64| base.wrapping_add(near));
            state.set(register, if choices.one_in(4) { choices.bits() } else { *choices.pick(&values) });
        }
        for _ in 0..choices.below(40) {
            let (base, size) = *choices.pick(&[(slot.window(), WINDOW_SIZE), (slot.stack(), STACK_SIZE)]);
            let address = base + choices.below(size as u64 - 7);
            let size = 1 + choices.below(8) as usize;
            state.memory.store(address, size, choices.bits()).expect("inside");
        }
        let mut case = Case::new(kop, form, payload, &state);
        let lines = ["root cause", "", "  indented", "# twice", "trailing ", "ünïcode \"#\" text"];
        case.comment = (0..choices.below(3)).map(|_| choices.pick(&lines).to_string()).collect();
        case.arch = *choices.pick(&[None, Some(Arch::X86_64), Some(Arch::Aarch64)]);
        let subsets = Features::all(Arch::X86_64).union(Features::all(Arch::Aarch64)).subsets();
        case.features = choices.one_in(2).then(|| *choices.pick(&subsets));
        case.garbage = if choices.one_in(2) { choices.bits() } else { 0 };
        case
    }

    #[test]
    fn rebasing_moves_pointers_and_nothing_else() {
        let (from, to) = (Slot::of_batch(5), Slot::of_batch(2));
        let mut state = State::zeroed(from);
        state.set(Reg::R1, from.window() + 0x10);
        state.set(Reg::R2, from.window() - 0x8000);
        state.set(Reg::R3, from.stack());
        state.set(Reg::R4, from.stack_end() + 7);
        state.set(Reg::R5, 0x1234_5678_9abc_def0);
        state.set(Reg::R6, u64::MAX);
        state.memory.store(from.window() + 8, 8, from.window()).expect("inside");
        let moved = rebase(&state, to);
        let expected = [
            0,
            to.window() + 0x10,
            to.window() - 0x8000,
            to.stack(),
            to.stack_end() + 7,
            0x1234_5678_9abc_def0,
            u64::MAX,
            0,
            0,
            0,
            to.stack_end(),
        ];
        assert_eq!(moved.registers, expected);
        assert_eq!((moved.memory.slot, &moved.memory.window), (to, &state.memory.window));
        assert_eq!(rebase(&moved, from), state);
    }

    #[test]
    fn random_cases_round_trip() {
        let catalog = Catalog::einsn();
        let mut choices = Seeded::new(0x6361_7365);
        let mut raw = 0;
        for number in 0..2_000 {
            let case = random(&catalog, &mut choices);
            raw += usize::from(case.operands().is_err());
            let text = case.to_string();
            let back =
                Case::parse(&text, &catalog).unwrap_or_else(|error| panic!("case {number}: {error}\n{text}"));
            assert!(back == case, "case {number} changed:\n{text}\nto\n{back}");
        }
        assert!((200..1_800).contains(&raw), "{raw} of 2000 payloads do not decode");
    }

    #[test]
    fn the_title_names_operands_or_the_payload() {
        let mut case = sample();
        assert_eq!(case.title(), "rotate imm32 dst=r3 src=r3 tmp=r2 amount=13");
        case.payload = 0xfff;
        assert_eq!(case.title(), "rotate imm32 payload=0xfff");
        assert!(case.site(Features::NONE).is_err());
        assert!(case.is_about(Arch::X86_64) && !case.is_about(Arch::Aarch64));
    }
}
