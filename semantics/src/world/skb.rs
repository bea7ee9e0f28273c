// SPDX-License-Identifier: GPL-2.0-or-later
//! Helper functions over `struct sk_buff` (`net/core/filter.c`), whose data are linear, without checksums from hardware.

use kop_ops::Fault;

use super::call::copy;
use super::context::sk_buff;
use super::errno::{EFAULT, EINVAL, ENOMEM, ENOTSUPP, failure};
use super::helpers::Function;
use super::{GuestMemory, World, bytes_at, checksum, clear};

/// Bits of the flags of checksum replacements: the size of the field, and for layer 4 what is special about it.
const FIELD_SIZE: u64 = 0xf;
const PSEUDO_HEADER: u64 = 0x10;
const MARK_MANGLED_0: u64 = 0x20;
const MARK_ENFORCE: u64 = 0x40;
const IPV6: u64 = 0x80;

/// What a checksum of 0 is written as where 0 means that there is none: `CSUM_MANGLED_0`.
const MANGLED_0: u16 = 0xffff;

/// The bytes before the network header.
const MAC_HEADER: u64 = 14;

impl World {
    pub(super) fn answer_skb(
        &mut self,
        memory: &mut dyn GuestMemory,
        function: Function,
        arguments: [u64; 5],
    ) -> Result<u64, Fault> {
        let [_, r2, r3, r4, r5] = arguments;
        Ok(match function {
            Function::L3CsumReplace => self.l3_csum_replace(memory, arguments)?,
            Function::L4CsumReplace => self.l4_csum_replace(memory, arguments)?,
            Function::SkbLoadBytes => self.skb_load_bytes(memory, r2 as u32, r3, r4 as u32)?,
            Function::SkbLoadBytesRelative => {
                self.load_relative(memory, r2 as u32, r3, r4 as u32, r5 as u32)?
            }
            Function::SkbStoreBytes => self.skb_store_bytes(memory, r2 as u32, r3, r4 as u32, r5)?,
            Function::SkbPullData => {
                if u64::from(r2 as u32) > self.packet.length() {
                    failure(ENOMEM)
                } else {
                    0
                }
            }
            Function::SkbChangeTail => self.packet.change_tail(r2 as u32, r3),
            Function::SkbChangeHead => self.packet.change_head(memory, r2 as u32, r3)?,
            Function::SkbChangeType => self.change_type(memory, r2 as u32)?,
            Function::CsumUpdate => failure(ENOTSUPP),
            Function::GetHashRecalc => self.hash(memory)?,
            Function::SetHash => self.set_hash(memory, r2 as u32)?,
            Function::SetHashInvalid => self.set_hash(memory, 0)?,
            other => unreachable!("{other:?} is no function over packets of tc"),
        })
    }

    fn field(&self, offset: usize) -> u64 {
        self.addresses.slot().context() + offset as u64
    }

    /// The address of a checksum at `offset` of the packet.
    fn checksum_at(&self, offset: u32) -> Option<u64> {
        if offset > 0xffff || !offset.is_multiple_of(2) { None } else { self.packet.at(u64::from(offset), 2) }
    }

    fn l3_csum_replace(&self, memory: &mut dyn GuestMemory, arguments: [u64; 5]) -> Result<u64, Fault> {
        let [_, offset, from, to, flags] = arguments;
        if flags & !FIELD_SIZE != 0 {
            return Ok(failure(EINVAL));
        }
        let Some(address) = self.checksum_at(offset as u32) else { return Ok(failure(EFAULT)) };
        let old = read_u16(memory, address)?;
        let new = match flags & FIELD_SIZE {
            0 if from == 0 => checksum::replace_by_difference(old, to as u32),
            2 => checksum::replace2(old, from as u16, to as u16),
            4 => checksum::replace4(old, from as u32, to as u32),
            _ => return Ok(failure(EINVAL)),
        };
        memory.write(address, &new.to_le_bytes())?;
        Ok(0)
    }

    fn l4_csum_replace(&self, memory: &mut dyn GuestMemory, arguments: [u64; 5]) -> Result<u64, Fault> {
        let [_, offset, from, to, flags] = arguments;
        if flags & !(FIELD_SIZE | PSEUDO_HEADER | MARK_MANGLED_0 | MARK_ENFORCE | IPV6) != 0 {
            return Ok(failure(EINVAL));
        }
        let Some(address) = self.checksum_at(offset as u32) else { return Ok(failure(EFAULT)) };
        let old = read_u16(memory, address)?;
        let zero_is_none = flags & MARK_MANGLED_0 != 0;
        if zero_is_none && flags & MARK_ENFORCE == 0 && old == 0 {
            return Ok(0);
        }
        let mut new = match flags & FIELD_SIZE {
            0 if from == 0 => checksum::replace_by_difference(old, to as u32),
            2 => checksum::replace4(old, u32::from(from as u16), u32::from(to as u16)),
            4 => checksum::replace4(old, from as u32, to as u32),
            _ => return Ok(failure(EINVAL)),
        };
        if zero_is_none && new == 0 {
            new = MANGLED_0;
        }
        memory.write(address, &new.to_le_bytes())?;
        Ok(0)
    }

    fn skb_load_bytes(
        &self,
        memory: &mut dyn GuestMemory,
        offset: u32,
        to: u64,
        length: u32,
    ) -> Result<u64, Fault> {
        let from =
            i32::try_from(offset).ok().and_then(|_| self.packet.at(u64::from(offset), u64::from(length)));
        match from {
            Some(from) => copy(memory, from, to, length),
            None => clear(memory, to, u64::from(length)).map(|()| failure(EFAULT)),
        }
    }

    fn load_relative(
        &self,
        memory: &mut dyn GuestMemory,
        offset: u32,
        to: u64,
        length: u32,
        header: u32,
    ) -> Result<u64, Fault> {
        let start = match header {
            0 => Some(0),
            1 => Some(MAC_HEADER),
            _ => None,
        };
        let start = start.filter(|_| offset <= 0xffff);
        let from = start.and_then(|start| self.packet.at(start + u64::from(offset), u64::from(length)));
        match from {
            Some(from) => copy(memory, from, to, length),
            None => clear(memory, to, u64::from(length)).map(|()| failure(EFAULT)),
        }
    }

    fn skb_store_bytes(
        &self,
        memory: &mut dyn GuestMemory,
        offset: u32,
        from: u64,
        length: u32,
        flags: u64,
    ) -> Result<u64, Fault> {
        const RECOMPUTE_CSUM: u64 = 1;
        const INVALIDATE_HASH: u64 = 2;
        if flags & !(RECOMPUTE_CSUM | INVALIDATE_HASH) != 0 {
            return Ok(failure(EINVAL));
        }
        let to =
            i32::try_from(offset).ok().and_then(|_| self.packet.at(u64::from(offset), u64::from(length)));
        let Some(to) = to else { return Ok(failure(EFAULT)) };
        copy(memory, from, to, length)?;
        if flags & INVALIDATE_HASH != 0 {
            self.set_hash(memory, 0)?;
        }
        Ok(0)
    }

    fn change_type(&self, memory: &mut dyn GuestMemory, to: u32) -> Result<u64, Fault> {
        const OTHER_HOST: u32 = 3;
        let mut now = [0; 4];
        memory.read(self.field(sk_buff::PKT_TYPE), &mut now)?;
        if to > OTHER_HOST || u32::from_le_bytes(now) > OTHER_HOST {
            return Ok(failure(EINVAL));
        }
        memory.write(self.field(sk_buff::PKT_TYPE), &to.to_le_bytes())?;
        Ok(0)
    }

    /// `bpf_get_hash_recalc`: the context's hash, or one of the packet's first bytes. The kernel draws its key at boot, so
    /// that no one can rely on its value.
    fn hash(&self, memory: &mut dyn GuestMemory) -> Result<u64, Fault> {
        let mut hash = [0; 4];
        memory.read(self.field(sk_buff::HASH), &mut hash)?;
        if hash != [0; 4] {
            return Ok(u64::from(u32::from_le_bytes(hash)));
        }
        let bytes = bytes_at(memory, self.packet.data, self.packet.length().min(64))?;
        // FNV-1a; 0 stands for no hash.
        let fold = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        let hash = bytes.iter().fold(0x811c_9dc5, fold).max(1);
        self.set_hash(memory, hash)?;
        Ok(u64::from(hash))
    }

    fn set_hash(&self, memory: &mut dyn GuestMemory, hash: u32) -> Result<u64, Fault> {
        memory.write(self.field(sk_buff::HASH), &hash.to_le_bytes())?;
        Ok(0)
    }
}

fn read_u16(memory: &dyn GuestMemory, address: u64) -> Result<u16, Fault> {
    let mut bytes = [0; 2];
    memory.read(address, &mut bytes)?;
    Ok(u16::from_le_bytes(bytes))
}
