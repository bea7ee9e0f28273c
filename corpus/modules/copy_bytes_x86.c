// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bpf_copy_bytes for x86-64: REP MOVSB, which copies byte by byte as the proof does, also where the ranges overlap.
 */
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/filter.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

#include "x86_emit.h"

__bpf_kfunc_start_defs();

__bpf_kfunc void bpf_copy_bytes(void)
{
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(copy_bytes_ids)
BTF_ID_FLAGS(func, bpf_copy_bytes)
BTF_KFUNCS_END(copy_bytes_ids)

/*
 * payload	[3:0]	dst	register with the address to copy to
 *		[7:4]	src	register with the address to copy from
 *		[11:8]	last	register that receives the last byte; neither of the two above
 *		[18:12]	len	bytes, 1 to 64
 *		[19]		zero
 *		[35:20]	dst_off	signed displacements
 *		[51:36]	src_off
 */
struct copy_bytes {
	u8 dst;
	u8 src;
	u8 last;
	u8 len;
	s16 dst_off;
	s16 src_off;
};

#define COPY_MAX	64

static int copy_bytes_decode(u64 payload, struct copy_bytes *copy)
{
	copy->dst = payload & 0xf;
	copy->src = payload >> 4 & 0xf;
	copy->last = payload >> 8 & 0xf;
	copy->len = payload >> 12 & 0x7f;
	copy->dst_off = payload >> 20;
	copy->src_off = payload >> 36;

	if (payload & BIT_ULL(19))
		return -EINVAL;
	if (copy->dst > BPF_REG_10 || copy->src > BPF_REG_10 || copy->last > BPF_REG_9)
		return -EINVAL;
	if (copy->last == copy->dst || copy->last == copy->src)
		return -EINVAL;
	if (copy->len < 1 || copy->len > COPY_MAX)
		return -EINVAL;
	/* The displacement of the last byte is one as well. */
	if (max(copy->dst_off, copy->src_off) > S16_MAX - (copy->len - 1))
		return -EINVAL;
	return 0;
}

/* Byte by byte from the lowest address, whatever overlaps. */
static int copy_bytes_proof(u64 payload, struct bpf_insn *insn_buf)
{
	struct copy_bytes copy;
	int err, i, cnt = 0;

	err = copy_bytes_decode(payload, &copy);
	if (err)
		return err;
	for (i = 0; i < copy.len; i++) {
		insn_buf[cnt++] = BPF_LDX_MEM(BPF_B, copy.last, copy.src, copy.src_off + i);
		insn_buf[cnt++] = BPF_STX_MEM(BPF_B, copy.dst, copy.last, copy.dst_off + i);
	}
	return cnt;
}

static int copy_bytes_emit(u8 *image, u32 *off, bool emit, u64 payload, const struct bpf_prog *prog)
{
	struct x86_code code = {};
	struct copy_bytes copy;
	u8 dst, src;
	int err;

	err = copy_bytes_decode(payload, &copy);
	if (err)
		return err;
	dst = x86_regs[copy.dst];
	src = x86_regs[copy.src];

	x86_push(&code, X86_RDI);
	x86_push(&code, X86_RSI);
	x86_push(&code, X86_RCX);
	/* Over the stack, since src may be rdi and dst rsi. */
	x86_push(&code, dst);
	x86_push(&code, src);
	x86_pop(&code, X86_RSI);
	x86_pop(&code, X86_RDI);
	x86_alu_imm32(&code, true, X86_ADD, X86_RSI, copy.src_off);
	x86_alu_imm32(&code, true, X86_ADD, X86_RDI, copy.dst_off);
	x86_mov_imm32(&code, X86_RCX, copy.len);
	/* rep movsb */
	x86_put(&code, 0xf3);
	x86_put(&code, 0xa4);
	x86_pop(&code, X86_RCX);
	x86_pop(&code, X86_RSI);
	x86_pop(&code, X86_RDI);
	/* movzx last32, byte [dst + dst_off + len - 1] */
	x86_rex(&code, false, x86_regs[copy.last], dst);
	x86_put(&code, 0x0f);
	x86_put(&code, 0xb6);
	x86_mem(&code, x86_regs[copy.last], dst, copy.dst_off + copy.len - 1);
	return x86_finish(&code, image, off, emit);
}

static const struct bpf_kinsn bpf_copy_bytes_desc = {
	.owner = THIS_MODULE,
	.max_insn_cnt = 2 * COPY_MAX,
	.max_emit_bytes = 48,
	.instantiate_insn = copy_bytes_proof,
	.emit_x86 = copy_bytes_emit,
};

static const struct bpf_kinsn * const copy_bytes_descs[] = {
	&bpf_copy_bytes_desc,
};

static const struct btf_kfunc_id_set copy_bytes_set = {
	.owner = THIS_MODULE,
	.set = &copy_bytes_ids,
	.kinsn_descs = copy_bytes_descs,
};

static int __init copy_bytes_init(void)
{
	return register_btf_kfunc_id_set(BPF_PROG_TYPE_UNSPEC, &copy_bytes_set);
}

static void __exit copy_bytes_exit(void)
{
}

module_init(copy_bytes_init);
module_exit(copy_bytes_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("copies of up to 64 bytes, x86-64");
MODULE_AUTHOR("kop");
