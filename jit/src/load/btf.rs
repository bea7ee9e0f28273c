// SPDX-License-Identifier: GPL-2.0-or-later
//! As much of BTF as declarations of maps need (Linux, `Documentation/bpf/btf.rst`).

/// The types and strings of a `.BTF` section.
pub(super) struct Btf<'a> {
    strings: &'a [u8],
    /// The types, from id 1.
    types: Vec<Type<'a>>,
}

/// A type: its header, and what follows it.
#[derive(Clone, Copy)]
struct Type<'a> {
    name: u32,
    kind: u8,
    /// Size in bytes or the id of another type.
    size_or_type: u32,
    /// Elements of `size` bytes that depend on the kind.
    rest: &'a [u8],
}

/// A member of a map's declaration.
pub(super) struct Member<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its offset in bytes.
    pub offset: u64,
    kind: u32,
}

mod kind {
    pub const INT: u8 = 1;
    pub const PTR: u8 = 2;
    pub const ARRAY: u8 = 3;
    pub const STRUCT: u8 = 4;
    pub const UNION: u8 = 5;
    pub const ENUM: u8 = 6;
    pub const TYPEDEF: u8 = 8;
    pub const VOLATILE: u8 = 9;
    pub const CONST: u8 = 10;
    pub const RESTRICT: u8 = 11;
    pub const FUNC_PROTO: u8 = 13;
    pub const VAR: u8 = 14;
    pub const DATASEC: u8 = 15;
    pub const FLOAT: u8 = 16;
    pub const DECL_TAG: u8 = 17;
    pub const TYPE_TAG: u8 = 18;
    pub const ENUM64: u8 = 19;
}

const MAGIC: u16 = 0xeb9f;

/// How many types one may be made of: the kernel's limit, and no endless loop over a type that is made of itself.
const DEPTH: usize = 32;

impl<'a> Btf<'a> {
    /// Reads a `.BTF` section; the error says what is wrong with it.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let truncated = || "the BTF header is cut short".to_owned();
        let word = |offset| word(bytes, offset).ok_or_else(truncated);
        if word(0)? as u16 != MAGIC {
            return Err("no BTF: the magic number is missing".to_owned());
        }
        let header = word(4)? as usize;
        let part = |offset: u32, length: u32| {
            let start = header.checked_add(offset as usize)?;
            bytes.get(start..start.checked_add(length as usize)?)
        };
        let types = part(word(8)?, word(12)?).ok_or("BTF types lie outside of the section")?;
        let strings = part(word(16)?, word(20)?).ok_or("BTF strings lie outside of the section")?;
        Ok(Self { strings, types: read_types(types)? })
    }

    fn get(&self, id: u32) -> Option<Type<'a>> {
        self.types.get((id as usize).checked_sub(1)?).copied()
    }

    fn name(&self, offset: u32) -> &'a str {
        let bytes = self.strings.get(offset as usize..).unwrap_or_default();
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(0);
        std::str::from_utf8(&bytes[..end]).unwrap_or_default()
    }

    /// The variables of the data section `name`: name and type.
    pub(super) fn variables(&self, name: &str) -> Vec<(&'a str, u32)> {
        let sections = self.types.iter().filter(|ty| ty.kind == kind::DATASEC && self.name(ty.name) == name);
        let entries = sections.flat_map(|section| section.rest.chunks_exact(12));
        entries
            .filter_map(|entry| {
                let variable = self.get(word(entry, 0)?)?;
                (variable.kind == kind::VAR).then(|| (self.name(variable.name), variable.size_or_type))
            })
            .collect()
    }

    /// The type behind names and qualifiers.
    fn plain(&self, mut id: u32) -> Option<Type<'a>> {
        for _ in 0..DEPTH {
            let ty = self.get(id)?;
            match ty.kind {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = ty.size_or_type;
                }
                _ => return Some(ty),
            }
        }
        None
    }

    /// The members of a structure.
    pub(super) fn members(&self, id: u32) -> Option<Vec<Member<'a>>> {
        let ty = self.plain(id).filter(|ty| ty.kind == kind::STRUCT)?;
        let member = |entry: &[u8]| {
            let bits = word(entry, 8)? & 0xff_ffff;
            Some(Member {
                name: self.name(word(entry, 0)?),
                offset: u64::from(bits / 8),
                kind: word(entry, 4)?,
            })
        };
        ty.rest.chunks_exact(12).map(member).collect()
    }

    /// The number that a member says as a pointer to an array of so many elements: `__uint(name, number)`.
    pub(super) fn number(&self, member: &Member) -> Option<u32> {
        let pointer = self.plain(member.kind).filter(|ty| ty.kind == kind::PTR)?;
        let array = self.plain(pointer.size_or_type).filter(|ty| ty.kind == kind::ARRAY)?;
        word(array.rest, 8)
    }

    /// The size of the type that a member points to: `__type(name, type)`.
    pub(super) fn pointee_size(&self, member: &Member) -> Option<u32> {
        let pointer = self.plain(member.kind).filter(|ty| ty.kind == kind::PTR)?;
        self.size(pointer.size_or_type)
    }

    fn size(&self, mut id: u32) -> Option<u32> {
        let mut elements = 1_u32;
        for _ in 0..DEPTH {
            let ty = self.plain(id)?;
            match ty.kind {
                kind::INT | kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 | kind::FLOAT => {
                    return elements.checked_mul(ty.size_or_type);
                }
                kind::PTR => return elements.checked_mul(8),
                kind::ARRAY => {
                    elements = elements.checked_mul(word(ty.rest, 8)?)?;
                    id = word(ty.rest, 0)?;
                }
                _ => return None,
            }
        }
        None
    }
}

fn read_types(mut bytes: &[u8]) -> Result<Vec<Type<'_>>, String> {
    let mut types = Vec::new();
    while !bytes.is_empty() {
        let header = (word(bytes, 0), word(bytes, 4), word(bytes, 8));
        let (Some(name), Some(info), Some(size_or_type)) = header else {
            return Err(format!("BTF type {} is cut short", types.len() + 1));
        };
        let (kind, length) = ((info >> 24 & 0x1f) as u8, (info & 0xffff) as usize);
        let size = match kind {
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12 * length,
            kind::ENUM | kind::FUNC_PROTO => 8 * length,
            0 | 20.. => return Err(format!("BTF type {} is of the unknown kind {kind}", types.len() + 1)),
            _ => 0,
        };
        let rest = bytes.get(12..12 + size);
        let rest = rest.ok_or_else(|| format!("BTF type {} is cut short", types.len() + 1))?;
        types.push(Type { name, kind, size_or_type, rest });
        bytes = &bytes[12 + size..];
    }
    Ok(types)
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}
