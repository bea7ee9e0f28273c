// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A sound base for faulty modules: AND with a 32-bit immediate, in 64 and in 32 bits.
 */
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/filter.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

#include "arm64_emit.h"
#include "x86_emit.h"

__bpf_kfunc_start_defs();

__bpf_kfunc void bpf_mask(void)
{
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(mask_ids)
BTF_ID_FLAGS(func, bpf_mask)
BTF_KFUNCS_END(mask_ids)

/*
 * payload	[3:0]	dst
 *		[7:4]	src
 *		[39:8]	imm	sign-extended in 64 bits
 *		[40]	is32	32 bits; the upper half becomes zero
 *		[51:41]	zero
 */
struct mask {
	u8 dst;
	u8 src;
	s32 imm;
	bool is32;
};

static int mask_decode(u64 payload, struct mask *mask)
{
	mask->dst = payload & 0xf;
	mask->src = payload >> 4 & 0xf;
	mask->imm = payload >> 8;
	mask->is32 = payload >> 40 & 1;

	if (payload >> 41)
		return -EINVAL;
	if (mask->dst > BPF_REG_9 || mask->src > BPF_REG_9)
		return -EINVAL;
	return 0;
}

static int mask_proof(u64 payload, struct bpf_insn *insn_buf)
{
	struct mask mask;
	int err;

	err = mask_decode(payload, &mask);
	if (err)
		return err;
	if (mask.is32) {
		insn_buf[0] = BPF_MOV32_REG(mask.dst, mask.src);
		insn_buf[1] = BPF_ALU32_IMM(BPF_AND, mask.dst, mask.imm);
	} else {
		insn_buf[0] = BPF_MOV64_REG(mask.dst, mask.src);
		insn_buf[1] = BPF_ALU64_IMM(BPF_AND, mask.dst, mask.imm);
	}
	return 2;
}

static int mask_emit_x86(u8 *image, u32 *off, bool emit, u64 payload, const struct bpf_prog *prog)
{
	struct x86_code code = {};
	struct mask mask;
	u8 dst;
	int err;

	err = mask_decode(payload, &mask);
	if (err)
		return err;
	dst = x86_regs[mask.dst];

	if (mask.dst != mask.src)
		x86_mov(&code, dst, x86_regs[mask.src]);
	if (mask.imm >= -128 && mask.imm <= 127) {
		/* and dst, imm8, which is sign-extended */
		x86_rr(&code, !mask.is32, 0x83, X86_AND, dst);
		x86_put(&code, mask.imm);
	} else {
		x86_alu_imm32(&code, !mask.is32, X86_AND, dst, mask.imm);
	}
	return x86_finish(&code, image, off, emit);
}

static int mask_emit_arm64(u32 *image, int *idx, bool emit, u64 payload, const struct bpf_prog *prog)
{
	struct a64_code code = {};
	struct mask mask;
	u8 dst, src;
	int err;

	err = mask_decode(payload, &mask);
	if (err)
		return err;
	dst = a64_regs[mask.dst];
	src = a64_regs[mask.src];

	a64_put_mov_imm(&code, A64_TMP1, mask.imm);
	if (mask.is32)
		a64_put(&code, a64_and_w(dst, src, A64_TMP1));
	else
		a64_put(&code, a64_and(dst, src, A64_TMP1));
	return a64_finish(&code, image, idx, emit);
}

static const struct bpf_kinsn bpf_mask_desc = {
	.owner = THIS_MODULE,
	.max_insn_cnt = 2,
	.max_emit_bytes = 16,
	.instantiate_insn = mask_proof,
	.emit_x86 = mask_emit_x86,
	.emit_arm64 = mask_emit_arm64,
};

static const struct bpf_kinsn * const mask_descs[] = {
	&bpf_mask_desc,
};

static const struct btf_kfunc_id_set mask_set = {
	.owner = THIS_MODULE,
	.set = &mask_ids,
	.kinsn_descs = mask_descs,
};

static int __init mask_init(void)
{
	return register_btf_kfunc_id_set(BPF_PROG_TYPE_UNSPEC, &mask_set);
}

static void __exit mask_exit(void)
{
}

module_init(mask_init);
module_exit(mask_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("AND with a constant");
MODULE_AUTHOR("kop");
