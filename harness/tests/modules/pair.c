// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A sound base for faulty modules: two neighbouring 64-bit words, loaded.
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

__bpf_kfunc void bpf_pair(void)
{
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(pair_ids)
BTF_ID_FLAGS(func, bpf_pair)
BTF_KFUNCS_END(pair_ids)

/*
 * payload	[3:0]	low	register for the word at base + off; neither of the two below
 *		[7:4]	high	register for the word behind it; may be base
 *		[11:8]	base	register with the address
 *		[27:12]	off	signed
 *		[51:28]	zero
 */
struct pair {
	u8 low;
	u8 high;
	u8 base;
	s16 off;
};

static int pair_decode(u64 payload, struct pair *pair)
{
	pair->low = payload & 0xf;
	pair->high = payload >> 4 & 0xf;
	pair->base = payload >> 8 & 0xf;
	pair->off = payload >> 12;

	if (payload >> 28)
		return -EINVAL;
	if (pair->low > BPF_REG_9 || pair->high > BPF_REG_9 || pair->base > BPF_REG_10)
		return -EINVAL;
	if (pair->low == pair->base || pair->low == pair->high)
		return -EINVAL;
	if (pair->off > S16_MAX - 8)
		return -EINVAL;
	return 0;
}

static int pair_proof(u64 payload, struct bpf_insn *insn_buf)
{
	struct pair pair;
	int err;

	err = pair_decode(payload, &pair);
	if (err)
		return err;
	insn_buf[0] = BPF_LDX_MEM(BPF_DW, pair.low, pair.base, pair.off);
	insn_buf[1] = BPF_LDX_MEM(BPF_DW, pair.high, pair.base, pair.off + 8);
	return 2;
}

/* mov reg, [base + off] */
static void pair_load(struct x86_code *code, u8 reg, u8 base, s32 off)
{
	x86_rex(code, true, reg, base);
	x86_put(code, 0x8b);
	x86_mem(code, reg, base, off);
}

static int pair_emit_x86(u8 *image, u32 *off, bool emit, u64 payload, const struct bpf_prog *prog)
{
	struct x86_code code = {};
	struct pair pair;
	int err;

	err = pair_decode(payload, &pair);
	if (err)
		return err;
	pair_load(&code, x86_regs[pair.low], x86_regs[pair.base], pair.off);
	pair_load(&code, x86_regs[pair.high], x86_regs[pair.base], pair.off + 8);
	return x86_finish(&code, image, off, emit);
}

static bool pair_off_fits_ldp(s16 off)
{
	return off >= -512 && off <= 504 && off % 8 == 0;
}

static int pair_emit_arm64(u32 *image, int *idx, bool emit, u64 payload, const struct bpf_prog *prog)
{
	struct a64_code code = {};
	struct pair pair;
	u8 base;
	s16 off;
	int err;

	err = pair_decode(payload, &pair);
	if (err)
		return err;
	base = a64_regs[pair.base];
	off = pair.off;

	if (!pair_off_fits_ldp(off)) {
		a64_put_mov_imm(&code, A64_TMP1, off);
		a64_put(&code, a64_add(A64_TMP1, A64_TMP1, base));
		base = A64_TMP1;
		off = 0;
	}
	a64_put(&code, a64_ldp(a64_regs[pair.low], a64_regs[pair.high], base, off));
	return a64_finish(&code, image, idx, emit);
}

static const struct bpf_kinsn bpf_pair_desc = {
	.owner = THIS_MODULE,
	.max_insn_cnt = 2,
	.max_emit_bytes = 16,
	.instantiate_insn = pair_proof,
	.emit_x86 = pair_emit_x86,
	.emit_arm64 = pair_emit_arm64,
};

static const struct bpf_kinsn * const pair_descs[] = {
	&bpf_pair_desc,
};

static const struct btf_kfunc_id_set pair_set = {
	.owner = THIS_MODULE,
	.set = &pair_ids,
	.kinsn_descs = pair_descs,
};

static int __init pair_init(void)
{
	return register_btf_kfunc_id_set(BPF_PROG_TYPE_UNSPEC, &pair_set);
}

static void __exit pair_exit(void)
{
}

module_init(pair_init);
module_exit(pair_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("two words loaded");
MODULE_AUTHOR("kop");
