// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bpf_rotate_left for x86-64: ROL. It leaves tmp alone, which the proof overwrites: sound at sites where tmp is dead.
 */
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/filter.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

#include "x86_emit.h"

__bpf_kfunc_start_defs();

__bpf_kfunc void bpf_rotate_left(void)
{
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(rotate_left_ids)
BTF_ID_FLAGS(func, bpf_rotate_left)
BTF_KFUNCS_END(rotate_left_ids)

/*
 * payload	[3:0]	dst	register for the result
 *		[7:4]	src	register that is rotated
 *		[11:8]	tmp	register that the proof needs besides; neither of the two above
 *		[17:12]	amount	1 to 63
 *		[51:18]		zero
 */
struct rotate_left {
	u8 dst;
	u8 src;
	u8 tmp;
	u8 amount;
};

static int rotate_left_decode(u64 payload, struct rotate_left *rotate)
{
	rotate->dst = payload & 0xf;
	rotate->src = payload >> 4 & 0xf;
	rotate->tmp = payload >> 8 & 0xf;
	rotate->amount = payload >> 12 & 0x3f;

	if (payload >> 18)
		return -EINVAL;
	if (rotate->dst > BPF_REG_9 || rotate->src > BPF_REG_9 || rotate->tmp > BPF_REG_9)
		return -EINVAL;
	if (rotate->tmp == rotate->dst || rotate->tmp == rotate->src)
		return -EINVAL;
	if (rotate->amount == 0)
		return -EINVAL;
	return 0;
}

/* Leaves the bits that come in from the left in tmp. */
static int rotate_left_proof(u64 payload, struct bpf_insn *insn_buf)
{
	struct rotate_left rotate;
	int err, cnt = 0;

	err = rotate_left_decode(payload, &rotate);
	if (err)
		return err;
	insn_buf[cnt++] = BPF_MOV64_REG(rotate.tmp, rotate.src);
	insn_buf[cnt++] = BPF_ALU64_IMM(BPF_RSH, rotate.tmp, 64 - rotate.amount);
	if (rotate.dst != rotate.src)
		insn_buf[cnt++] = BPF_MOV64_REG(rotate.dst, rotate.src);
	insn_buf[cnt++] = BPF_ALU64_IMM(BPF_LSH, rotate.dst, rotate.amount);
	insn_buf[cnt++] = BPF_ALU64_REG(BPF_OR, rotate.dst, rotate.tmp);
	return cnt;
}

static int rotate_left_emit(u8 *image, u32 *off, bool emit, u64 payload, const struct bpf_prog *prog)
{
	struct x86_code code = {};
	struct rotate_left rotate;
	u8 dst;
	int err;

	err = rotate_left_decode(payload, &rotate);
	if (err)
		return err;
	dst = x86_regs[rotate.dst];

	if (rotate.dst != rotate.src)
		x86_mov(&code, dst, x86_regs[rotate.src]);
	/* rol dst, amount */
	x86_rr(&code, true, 0xc1, 0, dst);
	x86_put(&code, rotate.amount);
	return x86_finish(&code, image, off, emit);
}

static const struct bpf_kinsn bpf_rotate_left_desc = {
	.owner = THIS_MODULE,
	.max_insn_cnt = 5,
	.max_emit_bytes = 8,
	.instantiate_insn = rotate_left_proof,
	.emit_x86 = rotate_left_emit,
};

static const struct bpf_kinsn * const rotate_left_descs[] = {
	&bpf_rotate_left_desc,
};

static const struct btf_kfunc_id_set rotate_left_set = {
	.owner = THIS_MODULE,
	.set = &rotate_left_ids,
	.kinsn_descs = rotate_left_descs,
};

static int __init rotate_left_init(void)
{
	return register_btf_kfunc_id_set(BPF_PROG_TYPE_UNSPEC, &rotate_left_set);
}

static void __exit rotate_left_exit(void)
{
}

module_init(rotate_left_init);
module_exit(rotate_left_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("rotate left by a constant, x86-64");
MODULE_AUTHOR("kop");
