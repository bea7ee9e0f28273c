// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bpf_bits_at for x86-64: SHR by cl and AND. A shift takes its amount from cl, so rcx and the register with the
 * position change places around it.
 *
 * This emit is wrong for one pair of registers: dst is r4 (rcx) and pos is r0 (rax).
 */
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/filter.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

#include "x86_emit.h"

__bpf_kfunc_start_defs();

__bpf_kfunc void bpf_bits_at(void)
{
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(bits_at_ids)
BTF_ID_FLAGS(func, bpf_bits_at)
BTF_KFUNCS_END(bits_at_ids)

/*
 * payload	[3:0]	dst	register with the field, and its result
 *		[7:4]	pos	register whose low six bits are the position of the field's lowest bit
 *		[12:8]	width	of the field, 1 to 31 bits
 *		[51:13]		zero
 */
struct bits_at {
	u8 dst;
	u8 pos;
	u8 width;
};

static int bits_at_decode(u64 payload, struct bits_at *bits)
{
	bits->dst = payload & 0xf;
	bits->pos = payload >> 4 & 0xf;
	bits->width = payload >> 8 & 0x1f;

	if (payload >> 13)
		return -EINVAL;
	if (bits->dst > BPF_REG_9 || bits->pos > BPF_REG_9)
		return -EINVAL;
	if (bits->width == 0)
		return -EINVAL;
	return 0;
}

static int bits_at_proof(u64 payload, struct bpf_insn *insn_buf)
{
	struct bits_at bits;
	int err;

	err = bits_at_decode(payload, &bits);
	if (err)
		return err;
	insn_buf[0] = BPF_ALU64_REG(BPF_RSH, bits.dst, bits.pos);
	insn_buf[1] = BPF_ALU64_IMM(BPF_AND, bits.dst, BIT(bits.width) - 1);
	return 2;
}

/* shr reg, cl */
static void shr_cl(struct x86_code *code, u8 reg)
{
	x86_rr(code, true, 0xd3, 5, reg);
}

static int bits_at_emit(u8 *image, u32 *off, bool emit, u64 payload, const struct bpf_prog *prog)
{
	struct x86_code code = {};
	struct bits_at bits;
	u8 dst, pos, shifted;
	int err;

	err = bits_at_decode(payload, &bits);
	if (err)
		return err;
	dst = x86_regs[bits.dst];
	pos = x86_regs[bits.pos];

	/* Where dst is while rcx and pos have changed places. */
	shifted = dst;
	if (dst == pos)
		shifted = X86_RCX;
	else if (dst == X86_RCX)
		shifted = pos;

	if (pos == X86_RCX) {
		shr_cl(&code, dst);
	} else if (pos == X86_RAX) {
		/* xchg rax, rcx is two bytes */
		x86_put(&code, 0x48);
		x86_put(&code, 0x91);
		shr_cl(&code, dst == X86_RAX ? X86_RCX : dst);
		x86_put(&code, 0x48);
		x86_put(&code, 0x91);
	} else {
		/* xchg rcx, pos */
		x86_rr(&code, true, 0x87, X86_RCX, pos);
		shr_cl(&code, shifted);
		x86_rr(&code, true, 0x87, X86_RCX, pos);
	}
	x86_alu_imm32(&code, true, X86_AND, dst, BIT(bits.width) - 1);
	return x86_finish(&code, image, off, emit);
}

static const struct bpf_kinsn bpf_bits_at_desc = {
	.owner = THIS_MODULE,
	.max_insn_cnt = 2,
	.max_emit_bytes = 24,
	.instantiate_insn = bits_at_proof,
	.emit_x86 = bits_at_emit,
};

static const struct bpf_kinsn * const bits_at_descs[] = {
	&bpf_bits_at_desc,
};

static const struct btf_kfunc_id_set bits_at_set = {
	.owner = THIS_MODULE,
	.set = &bits_at_ids,
	.kinsn_descs = bits_at_descs,
};

static int __init bits_at_init(void)
{
	return register_btf_kfunc_id_set(BPF_PROG_TYPE_UNSPEC, &bits_at_set);
}

static void __exit bits_at_exit(void)
{
}

module_init(bits_at_init);
module_exit(bits_at_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("bit fields at variable positions, x86-64");
MODULE_AUTHOR("kop");
