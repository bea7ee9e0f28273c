// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bpf_copy_bytes for ARM64: a loop over bytes, so that overlapping ranges come out as in the proof.
 */
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/filter.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

#include "arm64_emit.h"

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

static int copy_bytes_emit(u32 *image, int *idx, bool emit, u64 payload, const struct bpf_prog *prog)
{
	struct a64_code code = {};
	struct copy_bytes copy;
	int err, loop;

	err = copy_bytes_decode(payload, &copy);
	if (err)
		return err;

	a64_put_mov_imm(&code, A64_TMP1, copy.src_off);
	a64_put(&code, a64_add(A64_TMP1, A64_TMP1, a64_regs[copy.src]));
	a64_put_mov_imm(&code, A64_TMP2, copy.dst_off);
	a64_put(&code, a64_add(A64_TMP2, A64_TMP2, a64_regs[copy.dst]));
	a64_put_mov_imm(&code, A64_TMP3, copy.len);
	loop = code.len;
	a64_put(&code, a64_ldrb_next(a64_regs[copy.last], A64_TMP1));
	a64_put(&code, a64_strb_next(a64_regs[copy.last], A64_TMP2));
	a64_put(&code, a64_subs_w(A64_TMP3, A64_TMP3, 1));
	a64_put(&code, a64_bcond(A64_COND_NE, loop - code.len));
	return a64_finish(&code, image, idx, emit);
}

static const struct bpf_kinsn bpf_copy_bytes_desc = {
	.owner = THIS_MODULE,
	.max_insn_cnt = 2 * COPY_MAX,
	.max_emit_bytes = 48,
	.instantiate_insn = copy_bytes_proof,
	.emit_arm64 = copy_bytes_emit,
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
MODULE_DESCRIPTION("copies of up to 64 bytes, ARM64");
MODULE_AUTHOR("kop");
