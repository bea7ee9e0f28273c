/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What emits for x86-64 need: the register map of the kernel's JIT, instructions, and the end of an emit.
 */
#ifndef X86_EMIT_H
#define X86_EMIT_H

#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/types.h>

enum x86_reg {
	X86_RAX, X86_RCX, X86_RDX, X86_RBX, X86_RSP, X86_RBP, X86_RSI, X86_RDI,
	X86_R8, X86_R9, X86_R10, X86_R11, X86_R12, X86_R13, X86_R14, X86_R15,
};

static const u8 x86_regs[] = {
	[BPF_REG_0] = X86_RAX,
	[BPF_REG_1] = X86_RDI,
	[BPF_REG_2] = X86_RSI,
	[BPF_REG_3] = X86_RDX,
	[BPF_REG_4] = X86_RCX,
	[BPF_REG_5] = X86_R8,
	[BPF_REG_6] = X86_RBX,
	[BPF_REG_7] = X86_R13,
	[BPF_REG_8] = X86_R14,
	[BPF_REG_9] = X86_R15,
	[BPF_REG_10] = X86_RBP,
};

struct x86_code {
	u8 bytes[96];
	u32 len;
};

static inline void x86_put(struct x86_code *code, u8 byte)
{
	code->bytes[code->len++] = byte;
}

static inline void x86_put_imm32(struct x86_code *code, s32 imm)
{
	u32 bits = imm;

	x86_put(code, bits);
	x86_put(code, bits >> 8);
	x86_put(code, bits >> 16);
	x86_put(code, bits >> 24);
}

/* The prefix of an instruction with a register in each field of its ModRM byte; wide is REX.W. */
static inline void x86_rex(struct x86_code *code, bool wide, u8 reg, u8 rm)
{
	u8 rex = 0x40 | wide << 3 | (reg >> 3) << 2 | rm >> 3;

	if (rex != 0x40)
		x86_put(code, rex);
}

/* OP rm, reg */
static inline void x86_rr(struct x86_code *code, bool wide, u8 opcode, u8 reg, u8 rm)
{
	x86_rex(code, wide, reg, rm);
	x86_put(code, opcode);
	x86_put(code, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

/* mov dst, src */
static inline void x86_mov(struct x86_code *code, u8 dst, u8 src)
{
	x86_rr(code, true, 0x89, src, dst);
}

/* OP dst, imm32, the operation being the extension of opcode 81 */
static inline void x86_alu_imm32(struct x86_code *code, bool wide, u8 extension, u8 dst, s32 imm)
{
	x86_rr(code, wide, 0x81, extension, dst);
	x86_put_imm32(code, imm);
}

#define X86_ADD	0
#define X86_AND	4

/* mov reg32, imm32 */
static inline void x86_mov_imm32(struct x86_code *code, u8 reg, s32 imm)
{
	x86_rex(code, false, 0, reg);
	x86_put(code, 0xb8 | (reg & 7));
	x86_put_imm32(code, imm);
}

/*
 * The memory operand [base + off] for an instruction with reg. A base whose low bits are 101 (rbp, r13) always has a
 * displacement: without one these bits mean something else. No eBPF register needs a SIB byte.
 */
static inline void x86_mem(struct x86_code *code, u8 reg, u8 base, s32 off)
{
	u8 fields = (reg & 7) << 3 | (base & 7);

	if (off == 0 && (base & 7) != X86_RBP) {
		x86_put(code, fields);
	} else if (off >= -128 && off <= 127) {
		x86_put(code, 0x40 | fields);
		x86_put(code, off);
	} else {
		x86_put(code, 0x80 | fields);
		x86_put_imm32(code, off);
	}
}

static inline void x86_push(struct x86_code *code, u8 reg)
{
	x86_rex(code, false, 0, reg);
	x86_put(code, 0x50 | (reg & 7));
}

static inline void x86_pop(struct x86_code *code, u8 reg)
{
	x86_rex(code, false, 0, reg);
	x86_put(code, 0x58 | (reg & 7));
}

/* What an emit returns once its code is complete. */
static inline int x86_finish(const struct x86_code *code, u8 *image, u32 *off, bool emit)
{
	if (emit)
		memcpy(image + *off, code->bytes, code->len);
	*off += code->len;
	return code->len;
}

#endif
