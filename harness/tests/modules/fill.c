// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A sound base for faulty modules: 1 to 64 bytes filled with the low byte of a register.
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

__bpf_kfunc void bpf_fill(void)
{
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(fill_ids)
BTF_ID_FLAGS(func, bpf_fill)
BTF_KFUNCS_END(fill_ids)

/*
 * payload	[3:0]	base	register with the address of the first byte
 *		[7:4]	value	register whose low byte is stored; may be base
 *		[14:8]	len	bytes, 1 to 64
 *		[51:15]	zero
 */
struct fill {
	u8 base;
	u8 value;
	u8 len;
};

#define FILL_MAX	64

static int fill_decode(u64 payload, struct fill *fill)
{
	fill->base = payload & 0xf;
	fill->value = payload >> 4 & 0xf;
	fill->len = payload >> 8 & 0x7f;

	if (payload >> 15)
		return -EINVAL;
	if (fill->base > BPF_REG_9 || fill->value > BPF_REG_9)
		return -EINVAL;
	if (fill->len < 1 || fill->len > FILL_MAX)
		return -EINVAL;
	return 0;
}

static int fill_proof(u64 payload, struct bpf_insn *insn_buf)
{
	struct fill fill;
	int err, i;

	err = fill_decode(payload, &fill);
	if (err)
		return err;
	for (i = 0; i < fill.len; i++)
		insn_buf[i] = BPF_STX_MEM(BPF_B, fill.base, fill.value, i);
	return i;
}

static int fill_emit_x86(u8 *image, u32 *off, bool emit, u64 payload, const struct bpf_prog *prog)
{
	struct x86_code code = {};
	struct fill fill;
	u8 base, value;
	int err;

	err = fill_decode(payload, &fill);
	if (err)
		return err;
	base = x86_regs[fill.base];
	value = x86_regs[fill.value];

	x86_push(&code, X86_RDI);
	x86_push(&code, X86_RAX);
	x86_push(&code, X86_RCX);
	/* Over the stack, since base may be rax and value rdi. */
	x86_push(&code, base);
	x86_push(&code, value);
	x86_pop(&code, X86_RAX);
	x86_pop(&code, X86_RDI);
	x86_mov_imm32(&code, X86_RCX, fill.len);
	/* rep stosb */
	x86_put(&code, 0xf3);
	x86_put(&code, 0xaa);
	x86_pop(&code, X86_RCX);
	x86_pop(&code, X86_RAX);
	x86_pop(&code, X86_RDI);
	return x86_finish(&code, image, off, emit);
}

static int fill_emit_arm64(u32 *image, int *idx, bool emit, u64 payload, const struct bpf_prog *prog)
{
	struct a64_code code = {};
	struct fill fill;
	int err, loop;

	err = fill_decode(payload, &fill);
	if (err)
		return err;

	a64_put(&code, a64_mov(A64_TMP1, a64_regs[fill.base]));
	a64_put_mov_imm(&code, A64_TMP2, fill.len);
	loop = code.len;
	a64_put(&code, a64_strb_next(a64_regs[fill.value], A64_TMP1));
	a64_put(&code, a64_subs_w(A64_TMP2, A64_TMP2, 1));
	a64_put(&code, a64_bcond(A64_COND_NE, loop - code.len));
	return a64_finish(&code, image, idx, emit);
}

static const struct bpf_kinsn bpf_fill_desc = {
	.owner = THIS_MODULE,
	.max_insn_cnt = FILL_MAX,
	.max_emit_bytes = 32,
	.instantiate_insn = fill_proof,
	.emit_x86 = fill_emit_x86,
	.emit_arm64 = fill_emit_arm64,
};

static const struct bpf_kinsn * const fill_descs[] = {
	&bpf_fill_desc,
};

static const struct btf_kfunc_id_set fill_set = {
	.owner = THIS_MODULE,
	.set = &fill_ids,
	.kinsn_descs = fill_descs,
};

static int __init fill_init(void)
{
	return register_btf_kfunc_id_set(BPF_PROG_TYPE_UNSPEC, &fill_set);
}

static void __exit fill_exit(void)
{
}

module_init(fill_init);
module_exit(fill_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("bytes filled with a value");
MODULE_AUTHOR("kop");
