// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bpf_bits_at for ARM64: LSRV and UBFX.
 */
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/filter.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

#include "arm64_emit.h"

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

static int bits_at_emit(u32 *image, int *idx, bool emit, u64 payload, const struct bpf_prog *prog)
{
	struct a64_code code = {};
	struct bits_at bits;
	u8 dst;
	int err;

	err = bits_at_decode(payload, &bits);
	if (err)
		return err;
	dst = a64_regs[bits.dst];

	a64_put(&code, a64_lsrv(dst, dst, a64_regs[bits.pos]));
	a64_put(&code, a64_ubfx(dst, dst, 0, bits.width));
	return a64_finish(&code, image, idx, emit);
}

static const struct bpf_kinsn bpf_bits_at_desc = {
	.owner = THIS_MODULE,
	.max_insn_cnt = 2,
	.max_emit_bytes = 24,
	.instantiate_insn = bits_at_proof,
	.emit_arm64 = bits_at_emit,
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
MODULE_DESCRIPTION("bit fields at variable positions, ARM64");
MODULE_AUTHOR("kop");
