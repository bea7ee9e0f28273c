// SPDX-License-Identifier: GPL-2.0-or-later
//! The helper functions that there are: number in `enum bpf_func_id`, name, and the kinds of programs that may call them.

use kop_ops::ebpf::{CallTarget, Insn};
use kop_ops::{Object, Program, ProgramKind};

/// A helper function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Helper {
    /// Its number.
    pub id: i32,
    /// Its name without `bpf_`.
    pub name: &'static str,
    /// What its arguments are, from r1.
    pub arguments: &'static [Argument],
    /// Whether XDP programs may call it; raw programs may call what both may.
    pub xdp: bool,
    /// Whether tc programs may call it.
    pub tc: bool,
    /// Whether its result is the same on every engine, the kernel included: not for clocks and random numbers.
    pub comparable: bool,
    /// What runs when it is called.
    pub function: Function,
}

/// What an argument of a helper function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Argument {
    /// The context that the program got in r1.
    Context,
    /// A map, as `ld_imm64` loads it.
    Map,
    /// The address of a key of the map.
    Key,
    /// The address of a value of the map.
    Value,
    /// The address of as many readable bytes as the next argument says; it may be NULL if there are none.
    Bytes,
    /// The address of as many writable bytes as the next argument says.
    Buffer,
    /// The number of bytes at the argument before.
    Size,
    /// The address of a record that `ringbuf_reserve` gave.
    Record,
    /// A number.
    Number,
}

/// Which helper functions a world has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HelperSet {
    /// Linux's.
    #[default]
    Linux,
    /// One function, number 5, which returns its first argument: what the public conformance suite calls.
    Conformance,
}

/// What helper functions do, by name; the documentation is `bpf-helpers(7)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the kernel's")]
pub enum Function {
    MapLookup,
    MapUpdate,
    MapDelete,
    MapLookupPercpu,
    Clock,
    Jiffies,
    Random,
    Cpu,
    Zero,
    TracePrintk,
    TailCall,
    CsumDiff,
    CsumUpdate,
    L3CsumReplace,
    L4CsumReplace,
    SkbLoadBytes,
    SkbLoadBytesRelative,
    SkbStoreBytes,
    SkbPullData,
    SkbChangeTail,
    SkbChangeHead,
    SkbChangeType,
    GetHashRecalc,
    SetHash,
    SetHashInvalid,
    XdpAdjustHead,
    XdpAdjustTail,
    XdpAdjustMeta,
    XdpBuffLength,
    XdpLoadBytes,
    XdpStoreBytes,
    Redirect,
    RedirectMap,
    CloneRedirect,
    PerfEventOutput,
    RingbufOutput,
    RingbufReserve,
    RingbufSubmit,
    RingbufDiscard,
    RingbufQuery,
}

use Argument::{Buffer, Bytes, Context, Key, Map, Number, Record, Size, Value};

/// Every helper function, by number.
pub const HELPERS: &[Helper] = &[
    both(1, "map_lookup_elem", &[Map, Key], Function::MapLookup),
    both(2, "map_update_elem", &[Map, Key, Value, Number], Function::MapUpdate),
    both(3, "map_delete_elem", &[Map, Key], Function::MapDelete),
    varying(both(5, "ktime_get_ns", &[], Function::Clock)),
    both(6, "trace_printk", &[Bytes, Size, Number, Number, Number], Function::TracePrintk),
    varying(both(7, "get_prandom_u32", &[], Function::Random)),
    varying(both(8, "get_smp_processor_id", &[], Function::Cpu)),
    tc(9, "skb_store_bytes", &[Context, Number, Bytes, Size, Number], Function::SkbStoreBytes),
    tc(10, "l3_csum_replace", &[Context, Number, Number, Number, Number], Function::L3CsumReplace),
    tc(11, "l4_csum_replace", &[Context, Number, Number, Number, Number], Function::L4CsumReplace),
    both(12, "tail_call", &[Context, Map, Number], Function::TailCall),
    tc(13, "clone_redirect", &[Context, Number, Number], Function::CloneRedirect),
    varying(tc(17, "get_cgroup_classid", &[Context], Function::Zero)),
    both(23, "redirect", &[Number, Number], Function::Redirect),
    varying(tc(24, "get_route_realm", &[Context], Function::Zero)),
    both(25, "perf_event_output", &[Context, Map, Number, Bytes, Size], Function::PerfEventOutput),
    tc(26, "skb_load_bytes", &[Context, Number, Buffer, Size], Function::SkbLoadBytes),
    both(28, "csum_diff", &[Bytes, Size, Bytes, Size, Number], Function::CsumDiff),
    tc(32, "skb_change_type", &[Context, Number], Function::SkbChangeType),
    varying(tc(34, "get_hash_recalc", &[Context], Function::GetHashRecalc)),
    tc(38, "skb_change_tail", &[Context, Number, Number], Function::SkbChangeTail),
    tc(39, "skb_pull_data", &[Context, Number], Function::SkbPullData),
    tc(40, "csum_update", &[Context, Number], Function::CsumUpdate),
    tc(41, "set_hash_invalid", &[Context], Function::SetHashInvalid),
    varying(both(42, "get_numa_node_id", &[], Function::Zero)),
    tc(43, "skb_change_head", &[Context, Number, Number], Function::SkbChangeHead),
    xdp(44, "xdp_adjust_head", &[Context, Number], Function::XdpAdjustHead),
    tc(48, "set_hash", &[Context, Number], Function::SetHash),
    xdp(51, "redirect_map", &[Map, Number, Number], Function::RedirectMap),
    xdp(54, "xdp_adjust_meta", &[Context, Number], Function::XdpAdjustMeta),
    xdp(65, "xdp_adjust_tail", &[Context, Number], Function::XdpAdjustTail),
    tc(
        68,
        "skb_load_bytes_relative",
        &[Context, Number, Buffer, Size, Number],
        Function::SkbLoadBytesRelative,
    ),
    varying(both(118, "jiffies64", &[], Function::Jiffies)),
    varying(both(125, "ktime_get_boot_ns", &[], Function::Clock)),
    both(130, "ringbuf_output", &[Map, Bytes, Size, Number], Function::RingbufOutput),
    both(131, "ringbuf_reserve", &[Map, Number, Number], Function::RingbufReserve),
    both(132, "ringbuf_submit", &[Record, Number], Function::RingbufSubmit),
    both(133, "ringbuf_discard", &[Record, Number], Function::RingbufDiscard),
    both(134, "ringbuf_query", &[Map, Number], Function::RingbufQuery),
    varying(both(160, "ktime_get_coarse_ns", &[], Function::Clock)),
    xdp(188, "xdp_get_buff_len", &[Context], Function::XdpBuffLength),
    xdp(189, "xdp_load_bytes", &[Context, Number, Buffer, Size], Function::XdpLoadBytes),
    xdp(190, "xdp_store_bytes", &[Context, Number, Bytes, Size], Function::XdpStoreBytes),
    both(195, "map_lookup_percpu_elem", &[Map, Key, Number], Function::MapLookupPercpu),
    varying(both(208, "ktime_get_tai_ns", &[], Function::Clock)),
];

/// The index in [`HELPERS`] of each number; of those that are not there, one behind the last.
static BY_ID: [u8; 256] = {
    let mut indices = [HELPERS.len() as u8; 256];
    let mut index = 0;
    while index < HELPERS.len() {
        indices[HELPERS[index].id as usize] = index as u8;
        index += 1;
    }
    indices
};

const fn both(id: i32, name: &'static str, arguments: &'static [Argument], function: Function) -> Helper {
    Helper { id, name, arguments, xdp: true, tc: true, comparable: true, function }
}

const fn xdp(id: i32, name: &'static str, arguments: &'static [Argument], function: Function) -> Helper {
    Helper { tc: false, ..both(id, name, arguments, function) }
}

const fn tc(id: i32, name: &'static str, arguments: &'static [Argument], function: Function) -> Helper {
    Helper { xdp: false, ..both(id, name, arguments, function) }
}

const fn varying(helper: Helper) -> Helper {
    Helper { comparable: false, ..helper }
}

impl Helper {
    /// The helper function with this number, if there is one here.
    pub fn find(id: i32) -> Option<&'static Helper> {
        let index = *BY_ID.get(usize::try_from(id).ok()?)?;
        HELPERS.get(index as usize)
    }

    /// Whether programs of `kind` may call it. Raw programs have no context: they may call what needs none.
    pub fn is_for(&self, kind: ProgramKind) -> bool {
        match kind {
            ProgramKind::Raw => self.xdp && self.tc && !self.arguments.contains(&Argument::Context),
            ProgramKind::Xdp => self.xdp,
            ProgramKind::Tc => self.tc,
        }
    }
}

/// The name of a function that neither is here nor is known.
const UNKNOWN: &str = "unknown";

/// The kernel's name of a helper function without `bpf_`, also of common ones that are not here; `unknown` for the rest.
pub fn name(id: i32) -> &'static str {
    let absent = |id| ABSENT.iter().find(|(number, _)| *number == id).map(|(_, name)| *name);
    Helper::find(id).map(|helper| helper.name).or_else(|| absent(id)).unwrap_or(UNKNOWN)
}

/// Names of functions that are not here, for messages.
const ABSENT: &[(i32, &str)] = &[
    (4, "probe_read"),
    (14, "get_current_pid_tgid"),
    (15, "get_current_uid_gid"),
    (16, "get_current_comm"),
    (18, "skb_vlan_push"),
    (19, "skb_vlan_pop"),
    (20, "skb_get_tunnel_key"),
    (21, "skb_set_tunnel_key"),
    (22, "perf_event_read"),
    (27, "get_stackid"),
    (29, "skb_get_tunnel_opt"),
    (30, "skb_set_tunnel_opt"),
    (31, "skb_change_proto"),
    (33, "skb_under_cgroup"),
    (35, "get_current_task"),
    (45, "probe_read_str"),
    (46, "get_socket_cookie"),
    (47, "get_socket_uid"),
    (50, "skb_adjust_room"),
    (69, "fib_lookup"),
    (84, "sk_lookup_tcp"),
    (85, "sk_lookup_udp"),
    (86, "sk_release"),
    (87, "map_push_elem"),
    (88, "map_pop_elem"),
    (89, "map_peek_elem"),
    (93, "spin_lock"),
    (94, "spin_unlock"),
    (97, "skb_ecn_set_ce"),
    (99, "skc_lookup_tcp"),
    (100, "tcp_check_syncookie"),
    (110, "tcp_gen_syncookie"),
    (112, "probe_read_user"),
    (113, "probe_read_kernel"),
    (135, "csum_level"),
    (152, "redirect_neigh"),
    (155, "redirect_peer"),
    (163, "check_mtu"),
    (164, "for_each_map_elem"),
    (165, "snprintf"),
    (171, "timer_init"),
    (177, "trace_vprintk"),
    (181, "loop"),
    (182, "strncmp"),
];

/// A call of a function that the program's kind does not have here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unsupported helper {} (id {id}) at instruction {index} of program `{program}`: {}", name(*id), self.reason())]
pub struct UnsupportedHelper {
    /// Its number.
    pub id: i32,
    /// Index of the call.
    pub index: usize,
    /// The program.
    pub program: String,
    /// The program's kind.
    pub kind: ProgramKind,
}

impl UnsupportedHelper {
    fn reason(&self) -> String {
        match Helper::find(self.id) {
            Some(_) => format!("{} programs do not have it", self.kind.name()),
            None if name(self.id) == UNKNOWN => "there is no function of this number".to_owned(),
            None => "it is not implemented here".to_owned(),
        }
    }
}

/// Checks that every helper function that the programs call is there. A call by register is checked when it runs.
///
/// # Errors
/// The first call of one that is not.
pub fn check(object: &Object) -> Result<(), UnsupportedHelper> {
    object.programs.iter().try_for_each(check_program)
}

/// As [`check`], for one program.
///
/// # Errors
/// As [`check`].
pub fn check_program(program: &Program) -> Result<(), UnsupportedHelper> {
    for (index, insn) in program.flow.insns().iter().enumerate() {
        let Insn::Call { target: CallTarget::Helper(id) } = *insn else { continue };
        if !Helper::find(id).is_some_and(|helper| helper.is_for(program.kind)) {
            let (program, kind) = (program.name.clone(), program.kind);
            return Err(UnsupportedHelper { id, index, program, kind });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_has_no_number_twice() {
        assert!(HELPERS.is_sorted_by(|a, b| a.id < b.id));
        assert!(ABSENT.iter().all(|(id, _)| Helper::find(*id).is_none()));
    }

    #[test]
    fn sizes_follow_what_they_measure() {
        for helper in HELPERS {
            assert!(helper.arguments.len() <= 5, "{}", helper.name);
            for (index, argument) in helper.arguments.iter().enumerate() {
                let measured = matches!(argument, Argument::Bytes | Argument::Buffer);
                assert_eq!(
                    measured,
                    helper.arguments.get(index + 1) == Some(&Argument::Size),
                    "{}",
                    helper.name
                );
            }
        }
    }

    #[test]
    fn a_function_of_another_kind_is_named_with_its_place() {
        use kop_ops::Flow;
        let flow =
            Flow::new(vec![Insn::call_helper(1), Insn::call_helper(44), Insn::Exit]).expect("a program");
        let program = Program { name: "p".to_owned(), kind: ProgramKind::Tc, flow };
        let object = Object { programs: vec![program], ..Object::default() };
        let error = check(&object).expect_err("tc programs cannot move the head");
        let text = error.to_string();
        assert!(text.starts_with("unsupported helper xdp_adjust_head (id 44) at instruction 1"), "{text}");
    }
}
