// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop run`

mod show;

use std::path::PathBuf;

use kop_emulators::program::{ProgramEngine, Runs};
use kop_harness::execute::{Executable, Manner, engines};
use kop_harness::packets;
use kop_harness::rewrite::profile::{self as branches, Counter};
use kop_harness::tier::Choice;
use kop_ops::{Arch, MapKind, Object, Slot};
use kop_semantics::world::{Fields, helpers};
use kop_semantics::{Image, Input, Outcome as RunOutcome, World};

use super::output::Output;
use super::program_file::ProgramFile;
use super::sources::Sources;
use super::tier::TierName;
use super::{Failure, Outcome, print_all};
use show::Report;

/// Run a program of a file on a packet, on one engine or on all, and show what it did
///
/// Compiled code checks its accesses and its fuel, since no verifier has accepted the program. Maps stay from packet to
/// packet; everything else starts anew.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  kop run xdp_acl.o --packet capture.pcap\n  kop run tc.o --prog mark --packet \
                  000000000000020000000001080045000073 --ctx mark=7\n  kop run filter.s --all-engines"
)]
pub struct Args {
    #[command(flatten)]
    file: ProgramFile,
    #[command(flatten)]
    sources: Sources,
    /// The packet's bytes in hexadecimal, or a file: a capture (pcap, pcapng) or one packet's bytes; 64 zeros without it
    #[arg(long, value_name = "HEX|FILE")]
    packet: Option<String>,
    /// The engine (see `kop engines`)
    #[arg(long, value_name = "ENGINE", default_value = "spec")]
    engine: String,
    /// Run it on every engine that is here, and compare; exit code 1 when one differs from spec
    #[arg(long, conflicts_with = "engine")]
    all_engines: bool,
    /// A field of the context, such as mark=7 (see `struct xdp_md` and `struct __sk_buff`)
    #[arg(long, value_name = "FIELD=NUMBER")]
    ctx: Vec<String>,
    /// An element of a map before the first packet, in hexadecimal; a program array takes a program's name
    #[arg(long = "map", value_name = "MAP:KEY=VALUE")]
    maps: Vec<String>,
    /// The compiler, for engines that run native code
    #[arg(long, value_enum, default_value_t = TierName::Jit)]
    tier: TierName,
    /// Compile without checks, as for programs that the verifier has accepted
    #[arg(long)]
    unguarded: bool,
    /// Compile proof sequences in place of emits
    #[arg(long)]
    no_emits: bool,
    /// How many instructions a run may take
    #[arg(long, value_name = "N", default_value_t = Manner::default().fuel)]
    fuel: u64,
    /// What fills memory that no one has written yet; 0 is zeros
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    fill: u64,
    /// Write to this file how often each branch was taken and not foreseen, for `kop rewrite --profile`
    #[arg(long, value_name = "FILE")]
    collect_profile: Option<PathBuf>,
    /// Show the stack's changes and what arrays held before, too
    #[arg(short, long)]
    verbose: bool,
}

type Engine = Box<dyn ProgramEngine>;

pub fn run(args: &Args) -> Result<Outcome, Failure> {
    let loaded = args.sources.load()?;
    let catalog = loaded.everything();
    let object = args.file.load(&catalog)?;
    let entry = args.file.one(&object)?;
    check_helpers(&object, entry)
        .map_err(|error| Failure::usage(format!("{}: {error}", args.file.name())))?;
    let tier = args.tier.tier(args.unguarded)?;
    let manner = Manner { tier, guarded: !args.unguarded, emits: !args.no_emits, fuel: args.fuel };
    let mut executable = Executable::new(&object, entry, &catalog, manner).map_err(Failure::usage)?;
    let packets = match &args.packet {
        Some(text) => packets::read(text).map_err(Failure::usage)?,
        None => vec![Input::default().packet],
    };
    let mut input = args.input(&object)?;
    let (mut reference, mut others, absent) = args.engines()?;
    let choice =
        args.choose(&mut executable, &input, &packets, std::iter::once(&reference).chain(&others))?;
    let mut report = Report::new(&args.file.name(), &object, entry, reference.name(), args.verbose);
    if let Some(choice) = choice {
        report.chosen(&choice);
    }
    for (name, reason) in absent {
        report.passed_over(name, &reason);
    }
    let profile = args.collect_profile.as_ref().map(|path| Output::open(path)).transpose()?;
    let mut counter = Counter::new(&object, &catalog).map_err(Failure::usage)?;
    input.packet = packets[0].clone();
    let (mut world, mut image) =
        World::new(&object, entry, Slot::default(), &input).map_err(Failure::usage)?;
    let before = world.contents(&image).expect("its own memory holds the maps");
    for (number, packet) in packets.iter().enumerate() {
        input.packet.clone_from(packet);
        let delivered = world.deliver(&mut image, &input);
        delivered.map_err(|error| Failure::usage(format!("packet {}: {error}", number + 1)))?;
        if profile.is_some() {
            counter.run(entry, &world, &image, args.fuel);
        }
        let outcome = executable.run(&mut *reference, &world, &image);
        let outcome = outcome.map_err(|reason| {
            Failure::environment(format!("{} cannot run it: {reason}", reference.name()))
        })?;
        report.packet(number, packets.len(), &executable, &*reference, (&world, &image), &outcome);
        compare(&mut report, &mut executable, (&*reference, &outcome), &mut others, (&world, &image));
        RunOutcome { world, image, .. } = outcome;
    }
    if let Some(mut profile) = profile {
        profile.write(branches::to_text(&counter.profile(), &object).as_bytes())?;
    }
    report.maps(&before, &world.contents(&image).expect("its own memory holds the maps"));
    print_all(report.finish().as_bytes())?;
    Ok(if report.differs() { Outcome::Divergent } else { Outcome::Equivalent })
}

/// Runs the other engines from where the first one started.
fn compare(
    report: &mut Report,
    executable: &mut Executable,
    (reference, outcome): (&dyn ProgramEngine, &RunOutcome),
    others: &mut [Engine],
    (world, image): (&World, &Image),
) {
    for engine in others {
        match executable.run(&mut **engine, world, image) {
            Err(reason) => report.passed_over(engine.name(), &reason),
            Ok(other) => {
                let difference = executable.difference((reference.runs(), outcome), (&**engine, &other));
                report.compared(engine.name(), difference);
            }
        }
    }
}

/// Helper functions are checked for the programs that can run: the first one, and those in program arrays.
fn check_helpers(object: &Object, entry: usize) -> Result<(), helpers::UnsupportedHelper> {
    let arrays = object.maps.iter().filter(|map| map.kind == MapKind::ProgramArray);
    let elements = arrays.flat_map(|map| &map.initial);
    let named = elements
        .filter_map(|(_, value)| Some(u32::from_le_bytes(value.as_slice().try_into().ok()?) as usize));
    let kind = object.programs[entry].kind;
    let reached = named.filter_map(|index| object.programs.get(index)).filter(|program| program.kind == kind);
    std::iter::once(&object.programs[entry]).chain(reached).try_for_each(helpers::check_program)
}

impl Args {
    /// Chooses a compiler where that is asked for, and one of the engines runs code of this machine.
    fn choose<'e>(
        &self,
        executable: &mut Executable,
        input: &Input,
        packets: &[Vec<u8>],
        mut engines: impl Iterator<Item = &'e Engine>,
    ) -> Result<Option<Choice>, Failure> {
        let Ok(arch) = std::env::consts::ARCH.parse::<Arch>() else { return Ok(None) };
        if !engines.any(|engine| engine.runs() == Runs::Code(arch)) {
            return Ok(None);
        }
        // Without packets there would be 64 zeros, which few programs go on with.
        let given = self.packet.as_ref().map(|_| packets);
        executable.choose_on(arch, input, given).map_err(Failure::usage)
    }

    /// The engine whose outcome is shown, those that are compared with it, and those that are absent with the reason.
    #[expect(clippy::type_complexity, reason = "three lists that are taken apart at once")]
    fn engines(&self) -> Result<(Engine, Vec<Engine>, Vec<(&'static str, String)>), Failure> {
        let wanted = if self.all_engines { "spec" } else { self.engine.as_str() };
        let (_, made) = engines(|name| name == wanted).pop().ok_or_else(|| {
            let known: Vec<&str> = engines(|_| true).into_iter().map(|(name, _)| name).collect();
            Failure::usage(format!("no engine `{wanted}` for programs (there are {})", known.join(", ")))
        })?;
        let reference =
            made.map_err(|reason| Failure::environment(format!("engine {wanted} is absent: {reason}")))?;
        let (mut others, mut absent) = (Vec::new(), Vec::new());
        for (name, made) in engines(|name| self.all_engines && name != wanted) {
            match made {
                Ok(engine) => others.push(engine),
                Err(reason) => absent.push((name, reason)),
            }
        }
        Ok((reference, others, absent))
    }

    fn input(&self, object: &Object) -> Result<Input, Failure> {
        let mut input = Input { fill: self.fill, ..Input::default() };
        for text in &self.ctx {
            let known =
                text.split_once('=').and_then(|(name, value)| set(&mut input.fields, name, number(value)?));
            known.ok_or_else(|| {
                Failure::usage(format!(
                    "--ctx {text}: FIELD=NUMBER, where FIELD is one of {}",
                    FIELDS.join(", ")
                ))
            })?;
        }
        for text in &self.maps {
            let element =
                element(object, text).map_err(|reason| Failure::usage(format!("--map {text}: {reason}")))?;
            input.maps.push(element);
        }
        Ok(input)
    }
}

fn element(object: &Object, text: &str) -> Result<(usize, Vec<u8>, Vec<u8>), String> {
    let usage = "MAP:KEY=VALUE, with key and value in hexadecimal";
    let (map, rest) = text.split_once(':').ok_or(usage)?;
    let (key, value) = rest.split_once('=').ok_or(usage)?;
    let index = object.maps.iter().position(|spec| spec.name == map).ok_or_else(|| {
        let names: Vec<&str> = object.maps.iter().map(|spec| spec.name.as_str()).collect();
        format!("no map `{map}` (it has {})", names.join(", "))
    })?;
    let value = match object.maps[index].kind {
        MapKind::ProgramArray => {
            let program = object.programs.iter().position(|program| program.name == value);
            (program.ok_or_else(|| format!("no program `{value}`"))? as u32).to_le_bytes().to_vec()
        }
        _ => packets::hex(value).ok_or(usage)?,
    };
    Ok((index, packets::hex(key).ok_or(usage)?, value))
}

const FIELDS: &[&str] = &[
    "ingress_ifindex",
    "rx_queue_index",
    "egress_ifindex",
    "ifindex",
    "mark",
    "queue_mapping",
    "protocol",
    "vlan_tci",
    "vlan_proto",
    "priority",
    "tc_index",
    "cb0 to cb4",
    "hash",
    "tc_classid",
    "tstamp",
    "wire_len",
    "gso_segs",
    "gso_size",
    "hwtstamp",
];

/// Sets a field of the context; `None` for one that there is not, or a number that does not fit.
fn set(fields: &mut Fields, name: &str, value: u64) -> Option<()> {
    let word = || u32::try_from(value).ok();
    let half = || u16::try_from(value).ok();
    match name {
        "ingress_ifindex" => fields.ingress_ifindex = Some(word()?),
        "rx_queue_index" => fields.rx_queue_index = word()?,
        "egress_ifindex" => fields.egress_ifindex = word()?,
        "ifindex" => fields.ifindex = word()?,
        "mark" => fields.mark = word()?,
        "queue_mapping" => fields.queue_mapping = word()?,
        "protocol" => fields.protocol = Some(half()?),
        "vlan_tci" => fields.vlan_tci = Some(half()?),
        "vlan_proto" => fields.vlan_proto = half()?,
        "priority" => fields.priority = word()?,
        "tc_index" => fields.tc_index = word()?,
        "hash" => fields.hash = word()?,
        "tc_classid" => fields.tc_classid = word()?,
        "tstamp" => fields.tstamp = value,
        "wire_len" => fields.wire_len = Some(word()?),
        "gso_segs" => fields.gso_segs = word()?,
        "gso_size" => fields.gso_size = word()?,
        "hwtstamp" => fields.hwtstamp = value,
        _ => {
            let index: usize = name.strip_prefix("cb")?.parse().ok()?;
            *fields.cb.get_mut(index)? = word()?;
        }
    }
    Some(())
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_can_be_set() {
        for name in FIELDS.iter().filter(|name| !name.contains(' ')).chain(&["cb0", "cb4"]) {
            let mut fields = Fields::default();
            assert_eq!(set(&mut fields, name, 77), Some(()), "{name}");
            assert_ne!(fields, Fields::default(), "{name}");
        }
        let mut fields = Fields::default();
        assert_eq!((set(&mut fields, "cb5", 1), set(&mut fields, "mark", 1 << 32)), (None, None));
    }
}
