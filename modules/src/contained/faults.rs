// SPDX-License-Identifier: GPL-2.0-or-later
//! The faults of a runner in words.

use kop_ops::{Arch, Callback, CallbackFault, CallbackFaultKind};

use super::protocol::{CALLBACKS, EmitRecord, FaultRecord};

/// The numbers of `enum fault_code`.
mod code {
    pub(super) const CRASH: u8 = 1;
    pub(super) const HANG: u8 = 2;
    pub(super) const GIVEN_UP: u8 = 3;
    pub(super) const OVERRUN: u8 = 4;
    pub(super) const UNDERRUN: u8 = 5;
    pub(super) const SYSCALL: u8 = 6;
    pub(super) const STACK: u8 = 7;
    pub(super) const DIED: u8 = 8;
    pub(super) const RETURN_ZERO: u8 = 9;
    pub(super) const RETURN_ERRNO: u8 = 10;
    pub(super) const RETURN_LENGTH: u8 = 11;
    pub(super) const BEFORE: u8 = 12;
    pub(super) const AFTER: u8 = 13;
    pub(super) const UNWRITTEN: u8 = 14;
    pub(super) const PROOF_DIFFERS: u8 = 15;
    pub(super) const RETURN_DIFFERS: u8 = 16;
    pub(super) const LIMIT: u8 = 17;
    pub(super) const OFFSET: u8 = 18;
    pub(super) const SIZING_WROTE: u8 = 19;
    pub(super) const SIZE_VERDICT: u8 = 20;
}

/// The numbers of `enum stage`.
mod stage {
    pub(super) const SIZE: u8 = 0;
    pub(super) const AGAIN: u8 = 2;
    pub(super) const ELSEWHERE: u8 = 3;
}

const SIGNALS: [(i64, &str); 8] = [
    (4, "SIGILL, an illegal instruction or BUG"),
    (5, "SIGTRAP, a breakpoint"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE, a division by zero"),
    (9, "SIGKILL"),
    (11, "SIGSEGV"),
    (15, "SIGTERM"),
];

fn signal(number: i64) -> String {
    SIGNALS
        .iter()
        .find(|(known, _)| *known == number)
        .map_or_else(|| format!("signal {number}"), |(_, name)| (*name).to_owned())
}

/// A fault, as it is put together.
struct Words {
    kind: CallbackFaultKind,
    /// What faults of its cause have in common, before the callback's name.
    cause: &'static str,
    /// What the callback did: goes behind its name.
    deed: String,
}

fn words(kind: CallbackFaultKind, cause: &'static str, deed: impl Into<String>) -> Words {
    Words { kind, cause, deed: deed.into() }
}

impl FaultRecord {
    pub(super) fn callback(&self) -> Callback {
        CALLBACKS[usize::from(self.callback)]
    }

    /// The fault as it is reported.
    pub(super) fn describe(&self) -> CallbackFault {
        let callback = self.callback();
        let Words { kind, cause, deed } = self.words(callback);
        let stage = match self.stage {
            _ if callback == Callback::Proof && self.stage != stage::AGAIN => "",
            stage::SIZE if self.code != code::SIZING_WROTE => " with emit == false",
            stage::AGAIN if self.code != code::UNWRITTEN => " in a second call",
            stage::ELSEWHERE => " in a call for another image and offset",
            _ => "",
        };
        CallbackFault {
            callback,
            kind,
            place: format!("{cause} in {callback}"),
            message: format!("{callback} {deed}{stage}"),
        }
    }

    fn words(&self, callback: Callback) -> Words {
        use CallbackFaultKind::{Callback as Broken, Encoding};
        let [a, b, c, d] = self.numbers;
        let (buffer, limit) = match callback {
            Callback::Proof => ("insn_buf", "max_insn_cnt"),
            Callback::Emit(_) => ("image", "max_emit_bytes"),
        };
        let unit = if callback == Callback::Emit(Arch::Aarch64) { "instructions" } else { "bytes" };
        match self.code {
            code::CRASH => words(Broken, "crash", format!("crashed: {}", crash(a, c, d))),
            code::HANG => words(Broken, "hang", "did not return"),
            code::GIVEN_UP => words(
                Broken,
                if a > b { "hang" } else { "crash" },
                format!("is not called any more: it has hung {a} times and crashed {b} times"),
            ),
            code::OVERRUN => words(
                Broken,
                "overrun",
                format!("{} beyond the end of {buffer}, {a} bytes behind its {b} ({limit})", verb(c)),
            ),
            code::UNDERRUN => words(Broken, "underrun", format!("{} {a} bytes before {buffer}", verb(c))),
            code::SYSCALL => words(Broken, "system call", format!("made system call {a}")),
            code::STACK => words(Broken, "stack overrun", "overran a buffer on its stack"),
            code::DIED if a != 0 => words(Broken, "crash", format!("ended the process with {}", signal(a))),
            code::DIED => words(Broken, "crash", format!("ended the process with exit code {b}")),
            code::RETURN_ZERO => {
                words(Broken, "return value", "returned 0, which is neither a length nor an errno")
            }
            code::RETURN_ERRNO => {
                words(Broken, "return value", format!("returned {a}, which is neither a length nor an errno"))
            }
            code::RETURN_LENGTH => {
                words(Broken, "return value", format!("returned {a} instructions, and max_insn_cnt is {b}"))
            }
            code::BEFORE => words(
                Broken,
                "underrun",
                format!(
                    "wrote {a} bytes before {}",
                    if callback == Callback::Proof { buffer } else { "its offset" }
                ),
            ),
            code::AFTER => words(
                Encoding,
                "bytes beyond the size",
                format!("returned {a} bytes and wrote at offset {b} from where it started as well"),
            ),
            code::UNWRITTEN => words(
                if callback == Callback::Proof { Broken } else { Encoding },
                "bytes left out",
                format!("left {b} of the {c} bytes unwritten that it returned, the first at offset {a}"),
            ),
            code::PROOF_DIFFERS => words(
                Encoding,
                "proof differs",
                format!("wrote another instruction {} when it was asked again", a / 8),
            ),
            code::RETURN_DIFFERS => words(
                Encoding,
                "return value differs",
                format!("returned {a}, and {b} when it was asked again"),
            ),
            code::LIMIT => words(Encoding, "limit", format!("returned {a} bytes, and max_emit_bytes is {b}")),
            code::OFFSET => words(
                Encoding,
                "offset",
                format!("returned {c} {unit} and took the offset from {a} to {b}, which is {}", b - a),
            ),
            code::SIZING_WROTE => words(
                Encoding,
                "sizing writes",
                format!("wrote to the image with emit == false, first at offset {a} from where it started"),
            ),
            code::SIZE_VERDICT => words(
                Encoding,
                "sizing and writing",
                format!("returned {a} with emit == false and {b} with emit == true"),
            ),
            other => {
                words(Broken, "crash", format!("failed in an unknown way ({other}: {a}, {b}, {c}, {d})"))
            }
        }
    }
}

fn crash(number: i64, address: i64, access: i64) -> String {
    let name = signal(number);
    if number != 11 && number != 7 {
        return name;
    }
    let how = match access {
        0 => "read from",
        1 => "wrote to",
        2 => "jumped to",
        _ => return format!("{name}, an address that is none or must not be written"),
    };
    let null = if (0..4096).contains(&address) { " (near NULL)" } else { "" };
    format!("{name}, it {how} address {address:#x}{null}")
}

const fn verb(access: i64) -> &'static str {
    if access == 0 { "read" } else { "wrote" }
}

/// The faults of an emit that wrote something else when it was called again.
pub(super) fn differences(arch: Arch, emit: &EmitRecord) -> Vec<CallbackFault> {
    let callback = Callback::Emit(arch);
    let compared = [
        (&emit.second, "second call", "in a second call with the same arguments"),
        (&emit.elsewhere, "address", "for another image and offset"),
    ];
    let differs = compared.into_iter().filter(|(other, ..)| !other.is_empty());
    differs
        .map(|(other, cause, when)| {
            let at = emit.bytes.iter().zip(other).position(|(a, b)| a != b).unwrap_or(0);
            CallbackFault {
                callback,
                kind: CallbackFaultKind::Encoding,
                place: format!("{cause} in {callback}"),
                message: format!(
                    "{callback} wrote {:#04x} at byte {at}, and {:#04x} {when}",
                    emit.bytes.get(at).copied().unwrap_or(0),
                    other.get(at).copied().unwrap_or(0),
                ),
            }
        })
        .collect()
}
