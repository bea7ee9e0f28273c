#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the cases whose expected results are arithmetic: alu, shift, division, move, byte_order, jump and memory.

The meanings below were written from RFC 9669 on Python's integers and share nothing with the project's own. Run it in its
directory; what it writes is committed and compared with it by nothing but `git diff`.
"""

M64 = (1 << 64) - 1
MIN64, MIN32 = 1 << 63, 1 << 31


def signed(value, bits):
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def toward_zero(a, b):
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def alu(op, bits, a, b):
    """`a op b` on the low bits of both (RFC 9669 section 4.1), as the 64 bits that the destination gets."""
    mask = (1 << bits) - 1
    ua, ub, sa, sb = a & mask, b & mask, signed(a, bits), signed(b, bits)
    amount = ub % bits
    result = {
        "+": lambda: ua + ub,
        "-": lambda: ua - ub,
        "*": lambda: ua * ub,
        "/": lambda: ua // ub if ub else 0,
        "s/": lambda: toward_zero(sa, sb) if sb else 0,
        "%": lambda: ua % ub if ub else ua,
        "s%": lambda: sa - sb * toward_zero(sa, sb) if sb else sa,
        "|": lambda: ua | ub,
        "&": lambda: ua & ub,
        "^": lambda: ua ^ ub,
        "<<": lambda: ua << amount,
        ">>": lambda: ua >> amount,
        "s>>": lambda: sa >> amount,
        "": lambda: ub,
    }[op]()
    return result & mask


def holds(cond, bits, a, b):
    """Whether a jump is taken (RFC 9669 section 4.3)."""
    mask = (1 << bits) - 1
    ua, ub, sa, sb = a & mask, b & mask, signed(a, bits), signed(b, bits)
    return {
        "==": ua == ub,
        "!=": ua != ub,
        ">": ua > ub,
        ">=": ua >= ub,
        "<": ua < ub,
        "<=": ua <= ub,
        "&": ua & ub != 0,
        "s>": sa > sb,
        "s>=": sa >= sb,
        "s<": sa < sb,
        "s<=": sa <= sb,
    }[cond]


def hexa(value):
    return f"{value & M64:#x}"


def operand(value):
    """A value as short text."""
    value &= M64
    return str(signed(value, 64)) if abs(signed(value, 64)) < 1000 else f"{value:#x}"


def letter(bits):
    return "w" if bits == 32 else "r"


def imm32(value):
    return str(signed(value, 32))


class File:
    def __init__(self, name, title):
        self.name, self.lines = name, ["# SPDX-License-Identifier: GPL-2.0-or-later", f"# {title}"]
        self.lines.append("# Written by generate.py.")

    def section(self, title):
        self.lines += ["", f"# {title}"]

    def case(self, inputs, program, result):
        self.lines.append(f"{inputs} | {program} => {hexa(result)}".strip())

    def write(self):
        with open(self.name, "w") as out:
            out.write("\n".join(self.lines) + "\n")


# What is above the low half must not matter to 32-bit operations, and does to those of 64 bits.
PAIRS = [
    (5, 7),
    (M64, 1),
    (0x7FFFFFFFFFFFFFFF, 1),
    (MIN64, M64),
    (0xDEADBEEF_FFFFFFFF, 0x12345678_00000001),
    (0x00000001_80000000, 0xFFFFFFFF_80000000),
    (0x0123456789ABCDEF, 0xFEDCBA9876543210),
]
DIVISIONS = [
    (7, 2),
    (-7, 2),
    (7, -2),
    (-7, -2),
    (M64, M64),
    (13, 0),
    (0xAAAAAAAA_0000000D, 0),
    (0xAAAAAAAA_0000000D, 0xBBBBBBBB_00000000),
    (MIN64, -1),
    (0xAAAAAAAA_80000000, 0xFFFFFFFF),
    (0x80000000, -1),
    (0, 5),
    (0xFFFFFFFF_FFFFFFFE, 0x00000001_00000002),
    (1, MIN64),
]
IMMEDIATES = [(5, 7), (M64, 1), (0x123456789, -1), (0xDEADBEEF_00000001, -0x80000000), (0x80000000_80000000, 0x7FFFFFFF)]
DIVISORS = [(13, 4), (-13, 4), (-13, -4), (0xFFFFFFFF_80000000, -1), (MIN64, -1), (0xAAAAAAAA_00000007, 0), (M64, 0x7FFFFFFF)]
AMOUNTS64 = [0, 1, 31, 32, 63, 64, 65, -1, 0x1_0000_0004]
AMOUNTS32 = [0, 1, 31, 32, 33, 63, 64, -1, 0x1_0000_0004]


def binary(out, ops, pairs, immediates):
    for bits in (64, 32):
        for op in ops:
            x = letter(bits)
            out.section(f"{x}3 {op}= a register, then an immediate")
            for a, b in pairs:
                out.case(
                    f"r3={operand(a)} r4={operand(b)}", f"{x}3 {op}= {x}4; r0 = r3; exit", alu(op, bits, a, b)
                )
            for a, imm in immediates:
                out.case(f"r3={operand(a)}", f"{x}3 {op}= {imm32(imm)}; r0 = r3; exit", alu(op, bits, a, imm))


def same_register(out, ops):
    out.section("both operands in one register")
    for bits in (64, 32):
        for op in ops:
            for a in (0xFFFFFFFE_80000003, 0):
                x = letter(bits)
                out.case(f"r5={operand(a)}", f"{x}5 {op}= {x}5; r0 = r5; exit", alu(op, bits, a, a))


def write_alu():
    out = File("alu.txt", "Arithmetic and logic: RFC 9669 section 4.1. 32-bit results are zero-extended.")
    ops = ["+", "-", "*", "|", "&", "^"]
    binary(out, ops, PAIRS, IMMEDIATES)
    same_register(out, ops)
    out.section("negation")
    for bits in (64, 32):
        for a in (0, 1, M64, MIN64, 0xDEADBEEF_80000000, 0xDEADBEEF_00000000):
            x = letter(bits)
            out.case(f"r3={operand(a)}", f"{x}3 = -{x}3; r0 = r3; exit", -a & ((1 << bits) - 1))
    out.write()


def write_division():
    out = File(
        "division.txt",
        "Division: RFC 9669 section 4.1. By zero, a quotient is 0 and a remainder the dividend; signed ones truncate.",
    )
    ops = ["/", "%", "s/", "s%"]
    # An immediate divisor of zero is refused by the kernel, and well defined by the RFC.
    binary(out, ops, DIVISIONS, DIVISORS)
    same_register(out, ops)
    out.write()


def write_shift():
    out = File("shift.txt", "Shifts: RFC 9669 section 4.1. Amounts are taken modulo the width.")
    value = 0x89ABCDEF_F1234567
    for bits, amounts in ((64, AMOUNTS64), (32, AMOUNTS32)):
        for op in ("<<", ">>", "s>>"):
            x = letter(bits)
            out.section(f"{x}3 {op}= a register, then an immediate")
            for amount in amounts:
                out.case(
                    f"r3={operand(value)} r4={operand(amount)}",
                    f"{x}3 {op}= {x}4; r0 = r3; exit",
                    alu(op, bits, value, amount),
                )
            for amount in amounts[:-1]:
                out.case(
                    f"r3={operand(value)}", f"{x}3 {op}= {imm32(amount)}; r0 = r3; exit", alu(op, bits, value, amount)
                )
            out.case(f"r3={operand(35)}", f"{x}3 {op}= {x}3; r0 = r3; exit", alu(op, bits, 35, 35))
    out.write()


def write_move():
    out = File("move.txt", "Moves: RFC 9669 section 4.1, and 64-bit immediates: section 5.4.")
    values = (0, 1, M64, 0x7F, 0x80, 0x7FFF, 0x8000, 0x7FFFFFFF, 0x80000000, 0xDEADBEEF_12348081)
    for bits in (64, 32):
        x = letter(bits)
        out.section(f"{x}0 = a register, an immediate")
        for a in (0, M64, 0xDEADBEEF_80000000):
            out.case(f"r3={operand(a)}", f"{x}0 = {x}3; exit", alu("", bits, 0, a))
        for imm in (0, 1, -1, 0x7FFFFFFF, -0x80000000):
            out.case("", f"{x}0 = {imm32(imm)}; exit", alu("", bits, 0, imm))
        for size in (8, 16, 32)[: 3 if bits == 64 else 2]:
            out.section(f"{x}0 = {size} sign-extended bits")
            for a in values:
                result = signed(a, size) & ((1 << bits) - 1)
                out.case(f"r3={operand(a)}", f"{x}0 = (s{size}){x}3; exit", result)
    out.section("64-bit immediates")
    for a in (0, 1, M64, MIN64, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32, 0x0123456789ABCDEF):
        out.case("", f"r0 = {hexa(a)} ll; exit", a)
    out.write()


def write_byte_order():
    out = File("byte_order.txt", "Byte order: RFC 9669 section 4.2, on a little-endian machine. Upper bits become zero.")
    for a in (0x0123456789ABCDEF, 0xFFFFFFFFFFFF00FF, 0x80, 0):
        for bits in (16, 32, 64):
            low = a & ((1 << bits) - 1)
            swapped = int.from_bytes(low.to_bytes(bits // 8, "little"), "big")
            for name, result in (("le", low), ("be", swapped), ("bswap", swapped)):
                out.case(f"r3={operand(a)}", f"r3 = {name}{bits} r3; r0 = r3; exit", result)
    out.write()


def write_jump():
    out = File("jump.txt", "Conditional jumps: RFC 9669 section 4.3. A jump that is taken leaves 1 in r0.")
    conds = ["==", "!=", ">", ">=", "<", "<=", "&", "s>", "s>=", "s<", "s<="]
    pairs = [(5, 5), (5, 7), (7, 5), (-5, 7), (7, -5), (MIN64, 1), (0x1_00000005, 5), (5, 0x1_00000007), (0xFFFFFFFF, 0x1_80000000)]
    immediates = [(5, 5), (6, 5), (4, 5), (M64, -1), (0xFFFFFFFF, -1), (0x1_00000005, 5), (0x80000000, -0x80000000), (8, 7)]
    for bits in (64, 32):
        x = letter(bits)
        for cond in conds:
            out.section(f"{x}3 {cond} a register, then an immediate")
            for a, b in pairs:
                out.case(
                    f"r3={operand(a)} r4={operand(b)}",
                    f"r0 = 1; if {x}3 {cond} {x}4 goto +1; r0 = 0; exit",
                    int(holds(cond, bits, a, b)),
                )
            for a, imm in immediates:
                out.case(
                    f"r3={operand(a)}",
                    f"r0 = 1; if {x}3 {cond} {imm32(imm)} goto +1; r0 = 0; exit",
                    int(holds(cond, bits, a, imm)),
                )
            out.case("r3=-2", f"r0 = 1; if {x}3 {cond} {x}3 goto +1; r0 = 0; exit", int(holds(cond, bits, -2, -2)))
    out.write()


def write_memory():
    out = File("memory.txt", "Loads and stores: RFC 9669 sections 5.1 and 5.2, and atomic operations: section 5.3.")
    data = bytes([0x81, 0x92, 0xA3, 0xB4, 0x05, 0x16, 0x27, 0xC8, 0x7F, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70])
    memory = "{" + " ".join(f"{byte:02x}" for byte in data) + "}"
    out.section("loads, zero-extended and sign-extended")
    for size in (1, 2, 4, 8):
        for offset in (0, 1, 7, 8):
            value = int.from_bytes(data[offset : offset + size], "little")
            out.case(memory, f"r0 = *(u{8 * size} *)(r1 + {offset}); exit", value)
            if size < 8:
                out.case(memory, f"r0 = *(s{8 * size} *)(r1 + {offset}); exit", signed(value, 8 * size))
        out.case(
            memory,
            f"r1 += 8; r1 = *(u{8 * size} *)(r1 - 8); r0 = r1; exit",
            int.from_bytes(data[:size], "little"),
        )
    out.section("stores keep their neighbours")
    value = 0x1122334455667788
    for size in (1, 2, 4, 8):
        for offset in (0, 3 if size < 8 else 0):
            stored = bytearray(data)
            stored[offset : offset + size] = value.to_bytes(8, "little")[:size]
            result = int.from_bytes(stored[:8], "little")
            out.case(
                memory, f"r3 = {hexa(value)} ll; *(u{8 * size} *)(r1 + {offset}) = r3; r0 = *(u64 *)(r1 + 0); exit", result
            )
        for imm in (0x12345678, -2):
            stored = bytearray(data)
            stored[:size] = (imm & M64).to_bytes(8, "little")[:size]
            result = int.from_bytes(stored[:8], "little")
            out.case(memory, f"*(u{8 * size} *)(r1 + 0) = {imm}; r0 = *(u64 *)(r1 + 0); exit", result)
    write_atomics(out)
    out.write()


def write_atomics(out):
    first = 0x80000000_FFFFFFFE
    memory = "{" + " ".join(f"{byte:02x}" for byte in first.to_bytes(8, "little")) + " 55 55 55 55 55 55 55 55}"
    source = 0xF0F0F0F0_0000FF03
    ops = {"+": "add", "|": "or", "&": "and", "^": "xor"}
    for size in (4, 8):
        bits, mask, x = 8 * size, (1 << 8 * size) - 1, letter(8 * size)
        keep = first & ~mask & M64
        start = f"r3 = {hexa(source)} ll; "
        out.section(f"atomic operations on {size} bytes: memory after, the next bytes, what was fetched")
        for symbol, name in ops.items():
            result = keep | alu(symbol, bits, first, source)
            plain = f"lock *(u{bits} *)(r1 + 0) {symbol}= {x}3"
            fetch = f"{x}3 = atomic_fetch_{name}((u{bits} *)(r1 + 0), {x}3)"
            out.case(memory, f"{start}{plain}; r0 = *(u64 *)(r1 + 0); exit", result)
            out.case(memory, f"{start}{plain}; r0 = r3; exit", source)
            out.case(memory, f"{start}{plain}; r0 = *(u64 *)(r1 + 8); exit", 0x5555555555555555)
            out.case(memory, f"{start}{fetch}; r0 = *(u64 *)(r1 + 0); exit", result)
            out.case(memory, f"{start}{fetch}; r0 = r3; exit", first & mask)
        xchg = f"{x}3 = xchg_64(r1 + 0, {x}3)" if size == 8 else "w3 = xchg32_32(r1 + 0, w3)"
        out.case(memory, f"{start}{xchg}; r0 = *(u64 *)(r1 + 0); exit", keep | source & mask)
        out.case(memory, f"{start}{xchg}; r0 = r3; exit", first & mask)
        cmpxchg = "r0 = cmpxchg_64(r1 + 0, r0, r3)" if size == 8 else "w0 = cmpxchg32_32(r1 + 0, w0, w3)"
        for expected in (first, first ^ 1, first ^ 1 << 40):
            equal = expected & mask == first & mask
            begin = f"{start}r0 = {hexa(expected)} ll; {cmpxchg}; "
            after = keep | source & mask if equal else first
            out.case(memory, begin + "exit", first & mask)
            out.case(memory, begin + "r0 = *(u64 *)(r1 + 0); exit", after)
            out.case(memory, begin + "r0 = r3; exit", source)
        same = first & mask
        zero = "r0 = cmpxchg_64(r1 + 0, r0, r0)" if size == 8 else "w0 = cmpxchg32_32(r1 + 0, w0, w0)"
        out.case(memory, f"r0 = {hexa(same)} ll; {zero}; r0 = *(u64 *)(r1 + 0); exit", first)
        out.case(memory, f"r0 = 5; {zero}; exit", same)
    out.section("load-acquire and store-release")
    for size in (1, 2, 4, 8):
        bits, mask, x = 8 * size, (1 << 8 * size) - 1, letter(64 if size == 8 else 32)
        out.case(memory, f"r0 = -1; {x}0 = load_acquire((u{bits} *)(r1 + 0)); exit", first & mask)
        out.case(memory, f"{x}1 = load_acquire((u{bits} *)(r1 + 8)); r0 = r1; exit", 0x5555555555555555 & mask)
        store = f"r3 = {hexa(source)} ll; store_release((u{bits} *)(r1 + 0), {x}3); "
        out.case(memory, store + "r0 = *(u64 *)(r1 + 0); exit", first & ~mask | source & mask)
        out.case(memory, store + "r0 = *(u64 *)(r1 + 8); exit", 0x5555555555555555)


if __name__ == "__main__":
    write_alu()
    write_division()
    write_shift()
    write_move()
    write_byte_order()
    write_jump()
    write_memory()
