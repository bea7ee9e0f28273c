// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * @TITLE@, on x86-64
 *
 * Written by `kop export` from @SOURCE@.
 */
#include <asm/cpufeature.h>

#include "@OP@.h"

enum {
	X86_RAX, X86_RCX, X86_RDX, X86_RBX, X86_RSP, X86_RBP, X86_RSI, X86_RDI,
	X86_R8, X86_R9, X86_R10, X86_R11, X86_R12, X86_R13, X86_R14, X86_R15,
};

/* Where the JIT keeps r0..r10. */
static const u8 x86_reg[] __maybe_unused = {
	X86_RAX, X86_RDI, X86_RSI, X86_RDX, X86_RCX, X86_R8, X86_RBX, X86_R13, X86_R14, X86_R15, X86_RBP,
};

/* A register's bits in REX, in VEX (inverted there), and in ModRM. */
#define REX		0x40
#define REX_W		0x48
#define REX_R(reg)	((reg) >> 3 << 2)
#define REX_X(reg)	((reg) >> 3 << 1)
#define REX_B(reg)	((reg) >> 3)
#define VEX_R(reg)	((reg) >> 3 << 7)
#define VEX_X(reg)	((reg) >> 3 << 6)
#define VEX_B(reg)	((reg) >> 3 << 5)
#define VEX_V(reg)	((reg) << 3)
#define REG(reg)	(((reg) & 7) << 3)
#define RM(reg)		((reg) & 7)

/* Native code while it is written; what is too long is counted, not written. */
struct code {
	u8 bytes[@MOST@];
	u32 len;
};

static void put(struct code *code, const u8 *bytes, u32 len)
{
	if (code->len + len <= sizeof(code->bytes))
		memcpy(code->bytes + code->len, bytes, len);
	code->len += len;
}

#define PUT(code, ...)										\
	do {											\
		const u8 bytes_[] = { __VA_ARGS__ };						\
												\
		put(code, bytes_, sizeof(bytes_));						\
	} while (0)

/* A number of 2, 4 or 8 bytes, the lowest first. */
static void __maybe_unused put_number(struct code *code, u32 size, u64 value)
{
	for (; size; size--, value >>= 8)
		PUT(code, value & 0xff);
}

/* A REX prefix, unless it says nothing. */
static void __maybe_unused put_rex(struct code *code, u8 rex)
{
	if (rex != REX)
		PUT(code, rex);
}

/* As put_rex; spl, bpl, sil and dil exist only under the prefix. */
static void __maybe_unused put_byte_rex(struct code *code, u8 rex, u8 byte_reg)
{
	if (rex != REX || (byte_reg >= X86_RSP && byte_reg <= X86_RDI))
		PUT(code, rex);
}

static int __maybe_unused finish(const struct code *code, u8 *image, u32 *off, bool emit)
{
	if (code->len > sizeof(code->bytes))
		return -E2BIG;
	if (emit)
		memcpy(image + *off, code->bytes, code->len);
	*off += code->len;
	return code->len;
}

@EMITS@
@REGISTRATION@
