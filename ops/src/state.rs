// SPDX-License-Identifier: GPL-2.0-or-later
//! What an operation acts on: r0..r10, a data window and an eBPF stack at fixed addresses, and the faults that touching
//! anything else causes.

use std::fmt;

use crate::ebpf::Reg;

/// The eBPF registers r0..r10.
pub type Registers = [u64; 11];

/// The size of the data window in bytes: one page, so that its guards are exact on hardware.
pub const WINDOW_SIZE: usize = 4096;

/// The size of the eBPF stack in bytes: one page, of which r10 points to the end.
pub const STACK_SIZE: usize = 4096;

/// How many slots there are for windows and stacks.
pub const SLOTS: usize = 16;

/// The first address of the first slot.
///
/// These slots lie below 0x7fff0000: clear of AddressSanitizer's shadow, and within 32-bit packet pointers.
pub const SLOTS_BASE: u64 = 0x2000_0000;

/// The first address of the slots that lie high, see [`Slot::is_high`]: above AddressSanitizer's shadow, below what the kernel chooses
/// by itself, and its lower half is the address of nothing.
const HIGH_SLOTS_BASE: u64 = 0x1800_6000_0000;

/// The distance between slots in bytes.
pub const SLOT_STRIDE: u64 = 0x10_0000;

/// The bytes of a context (`struct xdp_md`, `struct __sk_buff`): one page.
pub const CONTEXT_SIZE: usize = 4096;

/// The bytes that the values of a program's maps have together.
pub const MAPS_SIZE: usize = 8 << 20;

const CONTEXTS_BASE: u64 = 0x2400_0000;
const MAPS_BASE: u64 = 0x3000_0000;
const MAPS_STRIDE: u64 = 0x100_0000;

const WINDOW_OFFSET: u64 = 0x4_0000;
const STACK_OFFSET: u64 = 0xc_0000;

/// One place for a window and a stack; unmapped pages surround both.
///
/// 256 KiB on either side of each are unmapped, so that a base with any 16-bit offset stays clear of the other slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u8);

impl Slot {
    /// The slot of the batch with number `batch`: an address depends on the case, never on the thread.
    pub const fn of_batch(batch: u64) -> Self {
        Slot((batch % SLOTS as u64) as u8)
    }

    /// Every slot.
    pub fn all() -> impl Iterator<Item = Slot> {
        (0..SLOTS as u8).map(Slot)
    }

    /// The slot's number, below [`SLOTS`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Whether window and stack lie above 4 GiB, as they do in a kernel: what cuts an address to 32 bits, or compares the lower halves of
    /// two, is seen there. One slot in four; packets, to which contexts point in 32 bits, are in the others.
    pub const fn is_high(self) -> bool {
        self.0 % 4 == 2
    }

    const fn base(self) -> u64 {
        let base = if self.is_high() { HIGH_SLOTS_BASE } else { SLOTS_BASE };
        base + self.0 as u64 * SLOT_STRIDE
    }

    /// The address of the window's first byte.
    pub const fn window(self) -> u64 {
        self.base() + WINDOW_OFFSET
    }

    /// The address of the window's end.
    pub const fn window_end(self) -> u64 {
        self.window() + WINDOW_SIZE as u64
    }

    /// The address of the stack's lowest byte.
    pub const fn stack(self) -> u64 {
        self.base() + STACK_OFFSET
    }

    /// The address of the stack's end: what r10 holds.
    pub const fn stack_end(self) -> u64 {
        self.stack() + STACK_SIZE as u64
    }

    /// The address of the first byte of a program's context.
    pub const fn context(self) -> u64 {
        CONTEXTS_BASE + self.0 as u64 * SLOT_STRIDE
    }

    /// The address of the first byte of map values.
    pub const fn maps(self) -> u64 {
        MAPS_BASE + self.0 as u64 * MAPS_STRIDE
    }

    /// A value as reports print it: near the window `window+0x10`, near the stack's end `stack-0x8`, in a program's context
    /// `context+0x4` or map values `maps+0x40`, else hexadecimal.
    pub fn show(self, value: u64) -> String {
        let relative = |name: &str, base: u64| match value.wrapping_sub(base) as i64 {
            0 => name.to_owned(),
            distance if distance < 0 => format!("{name}-{:#x}", distance.unsigned_abs()),
            distance => format!("{name}+{distance:#x}"),
        };
        let near = |from: u64, to: u64| (from.saturating_sub(NEAR)..to + NEAR).contains(&value);
        if near(self.window(), self.window_end()) {
            relative("window", self.window())
        } else if near(self.stack(), self.stack_end()) {
            relative("stack", self.stack_end())
        } else if near(self.context(), self.context() + CONTEXT_SIZE as u64) {
            relative("context", self.context())
        } else if (self.maps()..=self.maps() + MAPS_SIZE as u64).contains(&value) {
            relative("maps", self.maps())
        } else {
            format!("{value:#x}")
        }
    }

    /// The inverse of [`Slot::show`], which also takes decimal numbers, `-1`, and underscores in digits.
    pub fn parse(self, text: &str) -> Option<u64> {
        let places = [
            ("window", self.window()),
            ("stack", self.stack_end()),
            ("context", self.context()),
            ("maps", self.maps()),
        ];
        for (name, base) in places {
            if let Some(rest) = text.strip_prefix(name) {
                return match rest.as_bytes().first() {
                    None => Some(base),
                    Some(b'+') => Some(base.wrapping_add(parse_unsigned(&rest[1..])?)),
                    Some(b'-') => Some(base.wrapping_sub(parse_unsigned(&rest[1..])?)),
                    Some(_) => None,
                };
            }
        }
        match text.strip_prefix('-') {
            Some(magnitude) => Some(parse_unsigned(magnitude)?.wrapping_neg()),
            None => parse_unsigned(text),
        }
    }
}

/// How far from the window or stack a value still counts as pointing near it: beyond any 16-bit offset.
const NEAR: u64 = 0x1_0000;

fn parse_unsigned(text: &str) -> Option<u64> {
    let digits = text.replace('_', "");
    match digits.strip_prefix("0x") {
        Some(hex) if !hex.starts_with('+') => u64::from_str_radix(hex, 16).ok(),
        Some(_) => None,
        None if digits.starts_with('+') => None,
        None => digits.parse().ok(),
    }
}

/// A way to access memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Execute,
}

/// Why execution stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// Memory that is not mapped, or not for this access, was touched.
    Memory {
        /// The way it was touched.
        access: Access,
        /// The first byte that could not be accessed, where the engine tells it.
        address: Option<u64>,
    },
    /// An instruction that does not exist or is privileged.
    Illegal,
    /// A breakpoint or trap instruction.
    Trap,
    /// A division error.
    Divide,
    /// Execution did not end within its bound.
    RunAway,
    /// More frames than a program may have.
    CallDepth,
    /// A helper function that there is not, or not for these arguments.
    Helper {
        /// Its id.
        id: i32,
    },
    /// Control left the code other than through its end.
    Escape {
        /// Where control went, where the engine tells it.
        address: Option<u64>,
    },
    /// Code came to its end, but broke a rule that its platform's ABI has for functions.
    Frame {
        /// What it broke: the name of a register that it did not preserve, or the like.
        what: &'static str,
    },
    /// The operating system or emulator stopped it for another reason, given by its number.
    Other(i32),
}

impl Fault {
    /// Whether both are the same kind of fault, whatever address each engine names: engines report the first byte of an
    /// access or the first byte of a page. A bad read and a bad write are one kind: an instruction that reads and writes is
    /// reported as either, and a write where the other form only reads shows where memory is mapped.
    pub fn same_kind(self, other: Fault) -> bool {
        match (self, other) {
            (Fault::Memory { access: a, .. }, Fault::Memory { access: b, .. }) => {
                (a == Access::Execute) == (b == Access::Execute)
            }
            (Fault::Escape { .. }, Fault::Escape { .. }) => true,
            _ => self == other,
        }
    }

    /// The fault with addresses printed relative to `slot`.
    pub fn show(self, slot: Slot) -> String {
        let at = |address: Option<u64>| address.map_or(String::new(), |a| format!(" at {}", slot.show(a)));
        match self {
            Fault::Memory { access: Access::Read, address } => format!("bad read{}", at(address)),
            Fault::Memory { access: Access::Write, address } => format!("bad write{}", at(address)),
            Fault::Memory { access: Access::Execute, address } => format!("bad fetch{}", at(address)),
            Fault::Illegal => "illegal instruction".to_owned(),
            Fault::Trap => "trap".to_owned(),
            Fault::Divide => "division error".to_owned(),
            Fault::RunAway => "ran away".to_owned(),
            Fault::CallDepth => "more than eight frames".to_owned(),
            Fault::Helper { id } => format!("bad call of helper {id}"),
            Fault::Escape { address } => format!("left the code{}", at(address)),
            Fault::Frame { what } => format!("broke the ABI: {what}"),
            Fault::Other(number) => format!("stopped by {number}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show(Slot::default()))
    }
}

/// The contents of a window and a stack.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Memory {
    /// The slot whose addresses it has.
    pub slot: Slot,
    /// The window's bytes, [`WINDOW_SIZE`] of them.
    pub window: Box<[u8]>,
    /// The stack's bytes, lowest address first, [`STACK_SIZE`] of them.
    pub stack: Box<[u8]>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory {{ slot: {}, .. }}", self.slot.index())
    }
}

impl Memory {
    /// Zeroed memory in `slot`.
    pub fn zeroed(slot: Slot) -> Self {
        Self {
            slot,
            window: vec![0; WINDOW_SIZE].into_boxed_slice(),
            stack: vec![0; STACK_SIZE].into_boxed_slice(),
        }
    }

    fn bytes(&mut self, address: u64, size: usize, access: Access) -> Result<&mut [u8], Fault> {
        let slot = self.slot;
        for (bytes, base) in [(&mut self.window, slot.window()), (&mut self.stack, slot.stack())] {
            let Some(offset) = address.checked_sub(base).filter(|&offset| offset < bytes.len() as u64) else {
                continue;
            };
            let end = offset as usize + size;
            if end <= bytes.len() {
                return Ok(&mut bytes[offset as usize..end]);
            }
            return Err(Fault::Memory { access, address: Some(base + bytes.len() as u64) });
        }
        Err(Fault::Memory { access, address: Some(address) })
    }

    /// The little-endian value of `size` (1 to 8) bytes at `address`.
    ///
    /// # Errors
    /// [`Fault::Memory`] when a byte lies outside window and stack.
    pub fn load(&mut self, address: u64, size: usize) -> Result<u64, Fault> {
        let mut value = [0; 8];
        value[..size].copy_from_slice(self.bytes(address, size, Access::Read)?);
        Ok(u64::from_le_bytes(value))
    }

    /// Stores the low `size` (1 to 8) bytes of `value` at `address`, little-endian.
    ///
    /// # Errors
    /// [`Fault::Memory`] when a byte lies outside window and stack; nothing is stored then.
    pub fn store(&mut self, address: u64, size: usize, value: u64) -> Result<(), Fault> {
        self.bytes(address, size, Access::Write)?.copy_from_slice(&value.to_le_bytes()[..size]);
        Ok(())
    }

    /// The address and contents of the first byte in which two memories differ: `(address, self's, other's)`.
    pub fn first_difference(&self, other: &Memory) -> Option<(u64, u8, u8)> {
        let pairs = [
            (&self.window, &other.window, self.slot.window()),
            (&self.stack, &other.stack, self.slot.stack()),
        ];
        // Most are equal, which whole slices say much faster than bytes do.
        pairs.into_iter().filter(|(mine, theirs, _)| mine != theirs).find_map(|(mine, theirs, base)| {
            let offset = mine.iter().zip(theirs.iter()).position(|(a, b)| a != b)?;
            Some((base + offset as u64, mine[offset], theirs[offset]))
        })
    }
}

/// Registers and memory before or after an operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// r0..r10.
    pub registers: Registers,
    /// The window and the stack.
    pub memory: Memory,
}

impl State {
    /// Zeroed registers and memory in `slot`, with r10 at the stack's end.
    pub fn zeroed(slot: Slot) -> Self {
        let mut registers = [0; 11];
        registers[Reg::R10.index()] = slot.stack_end();
        Self { registers, memory: Memory::zeroed(slot) }
    }

    /// The value of a register.
    pub fn get(&self, register: Reg) -> u64 {
        self.registers[register.index()]
    }

    /// Sets a register.
    pub fn set(&mut self, register: Reg, value: u64) {
        self.registers[register.index()] = value;
    }

    /// Sets the low half of a register and zeroes the upper, as every 32-bit eBPF operation does (RFC 9669 section 4.1).
    pub fn set32(&mut self, register: Reg, value: u32) {
        self.set(register, u64::from(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_of_programs_lie_apart() {
        let slots: Vec<Slot> = Slot::all().collect();
        assert!(slots[SLOTS - 1].stack_end() + 0x4_0000 <= slots[0].context());
        assert!(slots[SLOTS - 1].context() + CONTEXT_SIZE as u64 <= slots[0].maps());
        for pair in slots.windows(2) {
            assert!(pair[0].maps() + MAPS_SIZE as u64 + 0x4_0000 <= pair[1].maps());
        }
    }

    #[test]
    fn slots_lie_clear_of_the_sanitizer_shadow_and_apart() {
        let (high, low): (Vec<Slot>, Vec<Slot>) = Slot::all().partition(|slot| slot.is_high());
        assert_eq!((high.len(), low.len()), (4, 12));
        // AddressSanitizer's shadow of x86-64 ends at 0x10007fff7fff.
        assert!(high[0].window() > 0x1000_8000_0000 && high[3].stack_end() < 0x5500_0000_0000);
        assert!(low[11].stack_end() + 0x4_0000 <= 0x7fff_0000);
        for slots in [high, low] {
            for pair in slots.windows(2) {
                assert!(pair[0].stack_end() + 0x4_0000 <= pair[1].window());
            }
        }
    }

    #[test]
    fn values_round_trip_through_text() {
        let slot = Slot::of_batch(3);
        for value in [
            0,
            1,
            u64::MAX,
            slot.window(),
            slot.window() - 8,
            slot.window_end() + 7,
            slot.stack_end() - 1,
            slot.context() + 4,
            slot.maps(),
            slot.maps() + 72,
        ] {
            assert_eq!(slot.parse(&slot.show(value)), Some(value), "{value:#x}");
        }
        assert_eq!(slot.show(slot.window() + 16), "window+0x10");
        assert_eq!(slot.show(slot.stack_end() - 8), "stack-0x8");
        assert_eq!(slot.show(slot.context() + 4), "context+0x4");
        assert_eq!(slot.show(slot.maps() + 64), "maps+0x40");
        assert_eq!(slot.parse("-1"), Some(u64::MAX));
        for bad in ["", "r3", "windows", "window*2", "0x", "0x1_0000_0000_0000_0000", "--1", "+1"] {
            assert_eq!(slot.parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn memory_is_exact_at_its_ends() {
        let slot = Slot::default();
        let mut memory = Memory::zeroed(slot);
        assert_eq!(memory.store(slot.window_end() - 8, 8, 0x0102_0304_0506_0708), Ok(()));
        assert_eq!(memory.load(slot.window_end() - 8, 4), Ok(0x0506_0708));
        let past = Fault::Memory { access: Access::Read, address: Some(slot.window_end()) };
        assert_eq!(memory.load(slot.window_end() - 7, 8), Err(past));
        assert_eq!(
            memory.load(slot.window() - 1, 2),
            Err(Fault::Memory { access: Access::Read, address: Some(slot.window() - 1) })
        );
        assert!(memory.load(u64::MAX, 8).is_err());
    }
}
