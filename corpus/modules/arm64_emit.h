/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What emits for ARM64 need: the register map of the kernel's JIT, instructions, and the end of an emit.
 */
#ifndef ARM64_EMIT_H
#define ARM64_EMIT_H

#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/types.h>

static const u8 a64_regs[] = {
	[BPF_REG_0] = 7,
	[BPF_REG_1] = 0,
	[BPF_REG_2] = 1,
	[BPF_REG_3] = 2,
	[BPF_REG_4] = 3,
	[BPF_REG_5] = 4,
	[BPF_REG_6] = 19,
	[BPF_REG_7] = 20,
	[BPF_REG_8] = 21,
	[BPF_REG_9] = 22,
	[BPF_REG_10] = 25,
};

/* Registers that an emit may overwrite. */
#define A64_TMP1	9
#define A64_TMP2	10
#define A64_TMP3	11
#define A64_TMP4	12

#define A64_ZR		31

#define A64_COND_EQ	0
#define A64_COND_NE	1

struct a64_code {
	u32 words[24];
	int len;
};

static inline void a64_put(struct a64_code *code, u32 word)
{
	code->words[code->len++] = word;
}

/* An instruction on 64-bit registers with fields Rm, Rn and Rd. */
static inline u32 a64_rrr(u32 opcode, u8 rd, u8 rn, u8 rm)
{
	return opcode | rm << 16 | rn << 5 | rd;
}

#define a64_add(rd, rn, rm)	a64_rrr(0x8b000000, rd, rn, rm)
#define a64_and(rd, rn, rm)	a64_rrr(0x8a000000, rd, rn, rm)
#define a64_and_w(rd, rn, rm)	a64_rrr(0x0a000000, rd, rn, rm)
#define a64_lsrv(rd, rn, rm)	a64_rrr(0x9ac02400, rd, rn, rm)

/* mov rd, rm */
static inline u32 a64_mov(u8 rd, u8 rm)
{
	return a64_rrr(0xaa000000, rd, A64_ZR, rm);
}

/* mov wd, wm: the upper half becomes zero */
static inline u32 a64_mov_w(u8 rd, u8 rm)
{
	return a64_rrr(0x2a000000, rd, A64_ZR, rm);
}

/* ubfx rd, rn, #lsb, #width */
static inline u32 a64_ubfx(u8 rd, u8 rn, u8 lsb, u8 width)
{
	return 0xd3400000 | lsb << 16 | (lsb + width - 1) << 10 | rn << 5 | rd;
}

/* ror rd, rn, #amount */
static inline u32 a64_ror(u8 rd, u8 rn, u8 amount)
{
	return a64_rrr(0x93c00000, rd, rn, rn) | amount << 10;
}

/* csel rd, rn, rm, cond */
static inline u32 a64_csel(u8 rd, u8 rn, u8 rm, u8 cond)
{
	return a64_rrr(0x9a800000, rd, rn, rm) | cond << 12;
}

/* cmp rn, #0 */
static inline u32 a64_cmp_zero(u8 rn)
{
	return 0xf100001f | rn << 5;
}

/* subs wd, wn, #imm */
static inline u32 a64_subs_w(u8 rd, u8 rn, u16 imm)
{
	return 0x71000000 | imm << 10 | rn << 5 | rd;
}

/* b.cond, words away */
static inline u32 a64_bcond(u8 cond, int words)
{
	return 0x54000000 | (words & 0x7ffff) << 5 | cond;
}

/* ldrb wt, [xn], #1 */
static inline u32 a64_ldrb_next(u8 rt, u8 rn)
{
	return 0x38401400 | rn << 5 | rt;
}

/* strb wt, [xn], #1 */
static inline u32 a64_strb_next(u8 rt, u8 rn)
{
	return 0x38001400 | rn << 5 | rt;
}

/* ldp rt, rt2, [rn, #off]; off is a multiple of 8 from -512 to 504 */
static inline u32 a64_ldp(u8 rt, u8 rt2, u8 rn, s16 off)
{
	return 0xa9400000 | (off / 8 & 0x7f) << 15 | rt2 << 10 | rn << 5 | rt;
}

/* stp rt, rt2, [rn, #off]; off as above */
static inline u32 a64_stp(u8 rt, u8 rt2, u8 rn, s16 off)
{
	return 0xa9000000 | (off / 8 & 0x7f) << 15 | rt2 << 10 | rn << 5 | rt;
}

/* mov rd, #imm: one instruction for 16 bits and a sign, two for 32 */
static inline void a64_put_mov_imm(struct a64_code *code, u8 rd, s32 imm)
{
	u32 bits = imm < 0 ? ~imm : imm;

	/* movn or movz, then movk */
	a64_put(code, (imm < 0 ? 0x92800000 : 0xd2800000) | (bits & 0xffff) << 5 | rd);
	if (bits >> 16)
		a64_put(code, 0xf2a00000 | (u32)imm >> 16 << 5 | rd);
}

/* What an emit returns once its code is complete. */
static inline int a64_finish(const struct a64_code *code, u32 *image, int *idx, bool emit)
{
	int i;

	if (emit) {
		for (i = 0; i < code->len; i++)
			image[*idx + i] = cpu_to_le32(code->words[i]);
	}
	*idx += code->len;
	return code->len;
}

#endif
