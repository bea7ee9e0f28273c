// SPDX-License-Identifier: GPL-2.0-or-later
//! What `kop run` prints.

use std::collections::BTreeSet;
use std::fmt::Write;

use kop_emulators::program::ProgramEngine;
use kop_harness::execute::Executable;
use kop_harness::tier::Choice;
use kop_ops::{MapKind, Object, ProgramKind};
use kop_semantics::world::{Event, MapContents, Redirect};
use kop_semantics::{Image, Outcome, World};

/// The most rows of a region, elements of a map, and events that are shown; the rest is counted.
const LIMIT: usize = 32;

/// The text of a command's run.
pub struct Report<'a> {
    text: String,
    object: &'a Object,
    kind: ProgramKind,
    verbose: bool,
    /// Of each engine that was compared: its name, how often it agreed, and the first difference.
    compared: Vec<(&'static str, usize, Option<String>)>,
    passed_over: Vec<(&'static str, String)>,
    packets: usize,
}

impl<'a> Report<'a> {
    pub fn new(file: &str, object: &'a Object, entry: usize, engine: &str, verbose: bool) -> Self {
        let program = &object.programs[entry];
        let kind = program.kind;
        let count = program.flow.insns().len();
        let text =
            format!("{file}: program {}, {}, {count} instructions, on {engine}\n", program.name, kind.name());
        Self { text, object, kind, verbose, compared: Vec::new(), passed_over: Vec::new(), packets: 0 }
    }

    /// Which compiler a choice took.
    pub fn chosen(&mut self, choice: &Choice) {
        self.line(&format!("compiler: {}: {}", choice.tier.title(), choice.reason));
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// What became of a packet; everything for a single one, a line for each of several.
    pub fn packet(
        &mut self,
        number: usize,
        count: usize,
        executable: &Executable,
        engine: &dyn ProgramEngine,
        (world, image): (&World, &Image),
        outcome: &Outcome,
    ) {
        self.packets = count;
        let end = self.end(executable, engine, outcome);
        let length = world.packet().length();
        if count > 1 {
            let after = outcome.world.packet().length();
            let length = if after == length { length.to_string() } else { format!("{length} to {after}") };
            let events = outcome.world.events().len();
            let events = if events == 0 { String::new() } else { format!(", {events} events") };
            self.line(&format!("packet {}: {length} bytes: {end}{events}", number + 1));
            return;
        }
        self.line(&format!("result: {end}"));
        if let Some(redirect) = outcome.world.redirect() {
            let to = self.redirect(redirect);
            self.line(&format!("redirected to {to}"));
        }
        self.bounds(world, outcome);
        self.memory(image, &outcome.image);
        self.events(&outcome.world);
    }

    fn end(&self, executable: &Executable, engine: &dyn ProgramEngine, outcome: &Outcome) -> String {
        match &outcome.end {
            Ok(r0) => match action(self.kind, *r0) {
                Some(action) => format!("{action} ({})", *r0 as i32),
                None => format!("{r0:#x} ({})", *r0 as i64),
            },
            Err(trap) => {
                let fault = trap.fault.show(outcome.image.slot);
                let place = executable.place(engine.runs(), trap);
                let place = place.map(|(program, index)| {
                    let program = &self.object.programs[program];
                    let insn = program.flow.insns().get(index).map(ToString::to_string).unwrap_or_default();
                    format!(" at instruction {index} of {}: {insn}", program.name)
                });
                format!("stopped: {fault}{}", place.unwrap_or_default())
            }
        }
    }

    fn redirect(&self, redirect: Redirect) -> String {
        match redirect {
            Redirect::Device { ifindex, flags } => format!("device {ifindex}, flags {flags:#x}"),
            Redirect::Map { map, key, flags } => {
                format!("element {key} of {}, flags {flags:#x}", self.object.maps[map].name)
            }
        }
    }

    fn bounds(&mut self, before: &World, after: &Outcome) {
        let (old, new) = (before.packet(), after.world.packet());
        if old == new {
            return;
        }
        let (head, tail) = (new.data as i64 - old.data as i64, new.end as i64 - old.end as i64);
        let metadata = new.data - new.meta;
        self.line(&format!(
            "packet: {} bytes, was {}: start {head:+}, end {tail:+}, {metadata} bytes of metadata",
            new.length(),
            old.length()
        ));
    }

    /// The rows of 16 bytes that changed.
    fn memory(&mut self, before: &Image, after: &Image) {
        let slot = before.slot;
        let regions = [
            ("window", &before.window, &after.window, slot.window(), true),
            ("context", &before.context, &after.context, slot.context(), true),
            ("stack", &before.stack, &after.stack, slot.stack(), self.verbose),
        ];
        for (name, old, new, base, shown) in regions {
            let rows = old.chunks(16).zip(new.chunks(16)).enumerate().filter(|(_, (old, new))| old != new);
            let count = rows.clone().count();
            if count == 0 {
                continue;
            }
            let bytes = old.iter().zip(new.iter()).filter(|(old, new)| old != new).count();
            if !shown {
                self.line(&format!("{name}: {bytes} bytes changed (-v shows them)"));
                continue;
            }
            self.line(&format!("{name}: {bytes} bytes changed"));
            for (row, (old, new)) in rows.take(LIMIT) {
                let address = base + row as u64 * 16;
                let place =
                    if name == "context" { format!("context+{:#x}", row * 16) } else { slot.show(address) };
                self.line(&format!("  {place:<14} - {}", hex(old)));
                self.line(&format!("  {:<14} + {}", "", marked(old, new)));
            }
            self.rest(count, "rows");
        }
    }

    fn events(&mut self, world: &World) {
        for event in world.events().iter().take(LIMIT) {
            let line = match event {
                Event::Trace(line) => format!("trace: {}", line.trim_end().escape_debug()),
                Event::Perf { map, index, data } => {
                    format!("sample in {}[{index}]: {}", self.object.maps[*map].name, hex(data))
                }
                Event::Record { map, data } => {
                    format!("record in {}: {}", self.object.maps[*map].name, hex(data))
                }
                Event::Clone { ifindex, packet, .. } => {
                    format!("copy to device {ifindex}: {} bytes", packet.len())
                }
            };
            self.line(&line);
        }
        self.rest(world.events().len(), "events");
        if world.lost() > 0 {
            self.line(&format!("{} lines of trace_printk were dropped", world.lost()));
        }
    }

    fn rest(&mut self, count: usize, what: &str) {
        if count > LIMIT {
            self.line(&format!("  and {} {what} more", count - LIMIT));
        }
    }

    /// What maps hold after, with what changed.
    pub fn maps(&mut self, before: &[MapContents], after: &[MapContents]) {
        for (old, new) in before.iter().zip(after) {
            let sparse = !matches!(new.kind, MapKind::Array | MapKind::PercpuArray);
            let changed = |entry: &&(Vec<u8>, Vec<u8>)| !old.entries.contains(entry);
            let filled = |entry: &&(Vec<u8>, Vec<u8>)| sparse || entry.1.iter().any(|byte| *byte != 0);
            let shown: Vec<&(Vec<u8>, Vec<u8>)> = if sparse || self.verbose {
                new.entries.iter().filter(|entry| filled(entry) || changed(entry)).collect()
            } else {
                let pairs = new.entries.iter().zip(&old.entries);
                pairs.filter(|(new, old)| new != old).map(|(new, _)| new).collect()
            };
            let kept: BTreeSet<&Vec<u8>> = new.entries.iter().map(|(key, _)| key).collect();
            let gone = old.entries.iter().filter(|(key, _)| !kept.contains(key));
            let gone: Vec<&(Vec<u8>, Vec<u8>)> = if sparse { gone.take(LIMIT).collect() } else { Vec::new() };
            if shown.is_empty() && gone.is_empty() {
                continue;
            }
            self.line(&format!("map {}, {}: {} elements", new.name, new.kind.name(), new.entries.len()));
            for entry in shown.iter().take(LIMIT) {
                let mark = if changed(entry) { '+' } else { ' ' };
                self.line(&format!("  {mark} {} = {}", hex(&entry.0), short(&entry.1)));
            }
            self.rest(shown.len(), "elements");
            for (key, value) in gone {
                self.line(&format!("  - {} = {}", hex(key), short(value)));
            }
        }
    }

    pub fn passed_over(&mut self, engine: &'static str, reason: &str) {
        if !self.passed_over.iter().any(|(name, known)| *name == engine && known == reason) {
            self.passed_over.push((engine, reason.to_owned()));
        }
    }

    pub fn compared(&mut self, engine: &'static str, difference: Option<String>) {
        let index = self.compared.iter().position(|known| known.0 == engine).unwrap_or_else(|| {
            self.compared.push((engine, 0, None));
            self.compared.len() - 1
        });
        let (_, agreed, first) = &mut self.compared[index];
        match difference {
            None => *agreed += 1,
            Some(difference) => {
                first.get_or_insert(difference);
            }
        }
    }

    pub fn differs(&self) -> bool {
        self.compared.iter().any(|(.., difference)| difference.is_some())
    }

    /// All of it, with what was compared at the end.
    pub fn finish(&mut self) -> String {
        let of = self.packets;
        for (engine, agreed, difference) in self.compared.clone() {
            match difference {
                None if of > 1 => self.line(&format!("{engine}: agrees on {agreed} of {of} packets")),
                None => self.line(&format!("{engine}: agrees")),
                Some(difference) => self.line(&format!("{engine}: DIFFERS: {difference}")),
            }
        }
        for (engine, reason) in std::mem::take(&mut self.passed_over) {
            let _ = writeln!(self.text, "{engine}: not run: {reason}");
        }
        std::mem::take(&mut self.text)
    }
}

/// The name of what a program's result asks for.
fn action(kind: ProgramKind, r0: u64) -> Option<&'static str> {
    const XDP: [&str; 5] = ["XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT"];
    const TC: [&str; 10] = [
        "TC_ACT_UNSPEC",
        "TC_ACT_OK",
        "TC_ACT_RECLASSIFY",
        "TC_ACT_SHOT",
        "TC_ACT_PIPE",
        "TC_ACT_STOLEN",
        "TC_ACT_QUEUED",
        "TC_ACT_REPEAT",
        "TC_ACT_REDIRECT",
        "TC_ACT_TRAP",
    ];
    let low = i64::from(r0 as i32);
    match kind {
        ProgramKind::Raw => None,
        ProgramKind::Xdp => XDP.get(usize::try_from(low).ok()?).copied(),
        // TC_ACT_UNSPEC is -1.
        ProgramKind::Tc => TC.get(usize::try_from(low + 1).ok()?).copied(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// A value on one line.
fn short(bytes: &[u8]) -> String {
    if bytes.len() <= 64 { hex(bytes) } else { format!("{} ... ({} bytes)", hex(&bytes[..64]), bytes.len()) }
}

/// The bytes that differ; points in place of the others.
fn marked(old: &[u8], new: &[u8]) -> String {
    let byte = |(old, new): (&u8, &u8)| if old == new { "..".to_owned() } else { format!("{new:02x}") };
    old.iter().zip(new).map(byte).collect::<Vec<_>>().join(" ")
}
