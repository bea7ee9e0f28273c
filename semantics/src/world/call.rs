// SPDX-License-Identifier: GPL-2.0-or-later
//! Calls of helper functions: maps, clocks, packets of XDP, redirection and tail calls.

use kop_ops::program::MAX_TAIL_CALLS;
use kop_ops::{Fault, MapKind, ProgramKind};

use super::errno::{EFAULT, EINVAL, failure};
use super::helpers::{Function, Helper, HelperSet};
use super::maps::Flags;
use super::{Event, GuestMemory, Redirect, Reply, World, bytes_at, checksum, next_random, read_bytes};

/// What each reading of a clock adds, in nanoseconds.
const CLOCK_STEP: u64 = 1000;

/// The longest packet offset of `bpf_xdp_load_bytes` and its like.
const MAX_OFFSET: u64 = 0xffff;

impl World {
    /// Calls the helper function `id` (`enum bpf_func_id`) with r1..r5.
    ///
    /// # Errors
    /// [`Fault::Helper`] for a function that there is not, or not for this kind of program or map, and [`Fault::Memory`] for
    /// an argument that points to memory which is not the program's.
    pub fn call(
        &mut self,
        memory: &mut dyn GuestMemory,
        id: i32,
        arguments: [u64; 5],
    ) -> Result<Reply, Fault> {
        if self.helpers == HelperSet::Conformance {
            return if id == 5 { Ok(Reply::Return(arguments[0])) } else { Err(Fault::Helper { id }) };
        }
        let helper = Helper::find(id).filter(|helper| helper.is_for(self.kind));
        let function = helper.ok_or(Fault::Helper { id })?.function;
        if function == Function::TailCall {
            return self.tail_call(id, arguments);
        }
        let before = self.packet;
        let answer = self.answer(memory, id, function, arguments)?;
        if self.packet != before {
            self.tell_context(memory)?;
        }
        Ok(Reply::Return(answer))
    }

    fn answer(
        &mut self,
        memory: &mut dyn GuestMemory,
        id: i32,
        function: Function,
        arguments: [u64; 5],
    ) -> Result<u64, Fault> {
        let [r1, r2, r3, r4, r5] = arguments;
        Ok(match function {
            Function::MapLookup => self.lookup(memory, id, r1, r2)?,
            Function::MapLookupPercpu => self.lookup_percpu(memory, id, arguments)?,
            Function::MapUpdate => self.update(memory, id, arguments)?,
            Function::MapDelete => self.delete(memory, id, r1, r2)?,
            Function::Clock => self.tick(),
            Function::Jiffies => self.tick() / 4_000_000,
            Function::Random => next_random(&mut self.random) >> 32,
            Function::Cpu => u64::from(self.cpu),
            Function::Zero => 0,
            Function::TailCall => unreachable!("tail calls do not return"),
            Function::CsumDiff => csum_diff(memory, arguments)?,
            Function::XdpAdjustHead => self.packet.adjust_head(memory, r2 as i32)?,
            Function::XdpAdjustTail => self.packet.adjust_tail(memory, r2 as i32)?,
            Function::XdpAdjustMeta => self.packet.adjust_meta(r2 as i32),
            Function::XdpBuffLength => self.packet.length(),
            Function::XdpLoadBytes => self.xdp_load_bytes(memory, r2 as u32, r3, r4 as u32)?,
            Function::XdpStoreBytes => self.xdp_store_bytes(memory, r2 as u32, r3, r4 as u32)?,
            Function::Redirect => self.redirect_to(r1 as u32, r2),
            Function::RedirectMap => self.redirect_map(id, r1, r2, r3)?,
            Function::CloneRedirect => self.clone_redirect(memory, r2 as u32, r3)?,
            Function::TracePrintk => self.trace(memory, r1, r2 as u32, &[r3, r4, r5])?,
            Function::PerfEventOutput => self.perf_event_output(memory, id, arguments)?,
            Function::RingbufOutput => self.ringbuf_output(memory, id, arguments)?,
            Function::RingbufReserve => self.ringbuf_reserve(memory, id, r1, r2, r3)?,
            Function::RingbufSubmit => self.ringbuf_end(memory, id, r1, true)?,
            Function::RingbufDiscard => self.ringbuf_end(memory, id, r1, false)?,
            Function::RingbufQuery => self.ringbuf_query(id, r1, r2)?,
            _ => self.answer_skb(memory, function, arguments)?,
        })
    }

    /// The map that a handle stands for.
    pub(super) fn map(&self, id: i32, handle: u64) -> Result<usize, Fault> {
        self.addresses.index_of_handle(handle).ok_or(Fault::Helper { id })
    }

    /// The map that a handle stands for, if its kind has elements that programs look up or change.
    fn store(&self, id: i32, handle: u64, changed: bool) -> Result<usize, Fault> {
        let index = self.map(id, handle)?;
        let allowed = match self.specs[index].kind {
            MapKind::Hash | MapKind::Array | MapKind::PercpuHash => true,
            MapKind::PercpuArray | MapKind::LruHash | MapKind::LpmTrie => true,
            MapKind::DevMap | MapKind::XskMap => !changed,
            MapKind::ProgramArray | MapKind::PerfEventArray | MapKind::CpuMap | MapKind::RingBuf => false,
        };
        if allowed { Ok(index) } else { Err(Fault::Helper { id }) }
    }

    fn lookup(&mut self, memory: &dyn GuestMemory, id: i32, map: u64, key: u64) -> Result<u64, Fault> {
        let index = self.store(id, map, false)?;
        let spec = &self.specs[index];
        let key = bytes_at(memory, key, u64::from(spec.key_size))?;
        let place = self.tables[index].lookup(spec, key);
        Ok(place.map_or(0, |place| self.value_address(index, place)))
    }

    /// There is one CPU.
    fn lookup_percpu(
        &mut self,
        memory: &dyn GuestMemory,
        id: i32,
        [map, key, cpu, ..]: [u64; 5],
    ) -> Result<u64, Fault> {
        let kind = self.specs[self.map(id, map)?].kind;
        if !matches!(kind, MapKind::PercpuArray | MapKind::PercpuHash) {
            return Err(Fault::Helper { id });
        }
        if cpu as u32 > 0 { Ok(0) } else { self.lookup(memory, id, map, key) }
    }

    fn update(
        &mut self,
        memory: &mut dyn GuestMemory,
        id: i32,
        [map, key, value, flags, _]: [u64; 5],
    ) -> Result<u64, Fault> {
        let index = self.store(id, map, true)?;
        let spec = &self.specs[index];
        let key = bytes_at(memory, key, u64::from(spec.key_size))?;
        let value = read_bytes(memory, value, u64::from(spec.value_size))?;
        let place = Flags::new(flags).and_then(|flags| self.tables[index].update(spec, key, flags));
        match place {
            Ok(place) => memory.write(self.value_address(index, place), &value).map(|()| 0),
            Err(number) => Ok(failure(number)),
        }
    }

    fn delete(&mut self, memory: &dyn GuestMemory, id: i32, map: u64, key: u64) -> Result<u64, Fault> {
        let index = self.store(id, map, true)?;
        let key = bytes_at(memory, key, u64::from(self.specs[index].key_size))?;
        Ok(self.tables[index].delete(key).map_or_else(failure, |()| 0))
    }

    fn tick(&mut self) -> u64 {
        let now = self.clock;
        self.clock = now.wrapping_add(CLOCK_STEP);
        now
    }

    /// `bpf_tail_call`. What it returns when it fails is unspecified; here it is `-EINVAL`.
    fn tail_call(&mut self, id: i32, [_, map, element, ..]: [u64; 5]) -> Result<Reply, Fault> {
        let index = self.map(id, map)?;
        if self.specs[index].kind != MapKind::ProgramArray {
            return Err(Fault::Helper { id });
        }
        let failed = Reply::Return(failure(EINVAL));
        if self.tail_calls >= MAX_TAIL_CALLS {
            return Ok(failed);
        }
        let Some(program) = self.tables[index].reference(element as u32) else { return Ok(failed) };
        let program = program as usize;
        if self.programs[program] != self.kind {
            return Err(Fault::Helper { id });
        }
        self.tail_calls += 1;
        Ok(Reply::TailCall(program))
    }

    /// Tells a program's context where its packet is now.
    pub(super) fn tell_context(&self, memory: &mut dyn GuestMemory) -> Result<(), Fault> {
        let context = self.addresses.slot().context();
        for (offset, value) in self.packet.words(self.kind) {
            memory.write(context + offset as u64, &value.to_le_bytes())?;
        }
        Ok(())
    }

    /// The bytes of the packet that `bpf_xdp_load_bytes` and its like mean, or the error number.
    fn xdp_bytes(&self, offset: u32, length: u32) -> Result<u64, i64> {
        let (offset, length) = (u64::from(offset), u64::from(length));
        if offset > MAX_OFFSET || length > MAX_OFFSET {
            return Err(EFAULT);
        }
        self.packet.at(offset, length).ok_or(EINVAL)
    }

    fn xdp_load_bytes(
        &self,
        memory: &mut dyn GuestMemory,
        offset: u32,
        to: u64,
        length: u32,
    ) -> Result<u64, Fault> {
        match self.xdp_bytes(offset, length) {
            Ok(from) => copy(memory, from, to, length),
            Err(number) => Ok(failure(number)),
        }
    }

    fn xdp_store_bytes(
        &self,
        memory: &mut dyn GuestMemory,
        offset: u32,
        from: u64,
        length: u32,
    ) -> Result<u64, Fault> {
        match self.xdp_bytes(offset, length) {
            Ok(to) => copy(memory, from, to, length),
            Err(number) => Ok(failure(number)),
        }
    }

    /// `bpf_redirect` and, for XDP, `bpf_xdp_redirect`: the action to return.
    fn redirect_to(&mut self, ifindex: u32, flags: u64) -> u64 {
        const INGRESS: u64 = 1;
        let (known, refused, action) = match self.kind {
            ProgramKind::Tc => (INGRESS, TC_ACT_SHOT, TC_ACT_REDIRECT),
            ProgramKind::Xdp | ProgramKind::Raw => (0, XDP_ABORTED, XDP_REDIRECT),
        };
        if flags & !known != 0 {
            return refused;
        }
        self.redirect = Some(Redirect::Device { ifindex, flags });
        action
    }

    /// `bpf_redirect_map`: `XDP_REDIRECT`, or the action in the lowest bits of the flags where there is no element.
    fn redirect_map(&mut self, id: i32, map: u64, key: u64, flags: u64) -> Result<u64, Fault> {
        const ACTIONS: u64 = 3;
        const BROADCAST: u64 = 8;
        const EXCLUDE_INGRESS: u64 = 16;
        let index = self.map(id, map)?;
        let known = match self.specs[index].kind {
            MapKind::DevMap => BROADCAST | EXCLUDE_INGRESS,
            MapKind::CpuMap | MapKind::XskMap => 0,
            _ => return Err(Fault::Helper { id }),
        };
        if flags & !(ACTIONS | known) != 0 {
            return Ok(XDP_ABORTED);
        }
        // The element is found by the low half of the key; all of it is the key of other kinds of maps.
        if self.tables[index].reference(key as u32).is_none() && flags & BROADCAST == 0 {
            self.redirect = None;
            return Ok(flags & ACTIONS);
        }
        self.redirect = Some(Redirect::Map { map: index, key, flags });
        Ok(XDP_REDIRECT)
    }

    /// `bpf_clone_redirect`.
    fn clone_redirect(&mut self, memory: &dyn GuestMemory, ifindex: u32, flags: u64) -> Result<u64, Fault> {
        if flags & !1 != 0 {
            return Ok(failure(EINVAL));
        }
        let packet = bytes_at(memory, self.packet.data, self.packet.length())?.to_vec();
        Ok(self.send(Event::Clone { ifindex, flags, packet }))
    }
}

const XDP_ABORTED: u64 = 0;
const XDP_REDIRECT: u64 = 4;
const TC_ACT_SHOT: u64 = 2;
const TC_ACT_REDIRECT: u64 = 7;

/// Copies bytes as `memcpy` and `memmove` do.
pub(super) fn copy(memory: &mut dyn GuestMemory, from: u64, to: u64, length: u32) -> Result<u64, Fault> {
    let bytes = read_bytes(memory, from, u64::from(length))?;
    if !bytes.is_empty() {
        memory.write(to, &bytes)?;
    }
    Ok(0)
}

/// `bpf_csum_diff`, whose result is folded to 16 bits since Linux 6.13 unless there is nothing to sum.
fn csum_diff(memory: &dyn GuestMemory, [from, from_size, to, to_size, seed]: [u64; 5]) -> Result<u64, Fault> {
    let (from_size, to_size, seed) = (from_size as u32, to_size as u32, seed as u32);
    if !(from_size | to_size).is_multiple_of(4) {
        return Ok(failure(EINVAL));
    }
    let from = bytes_at(memory, from, u64::from(from_size))?;
    let to = bytes_at(memory, to, u64::from(to_size))?;
    let sum = match (from.is_empty(), to.is_empty()) {
        (false, false) => checksum::sub(checksum::partial(to, seed), checksum::partial(from, 0)),
        (true, false) => checksum::partial(to, seed),
        (false, true) => !checksum::partial(from, !seed),
        (true, true) => return Ok(u64::from(seed)),
    };
    Ok(u64::from(checksum::fold(sum)))
}
