// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A sound base for faulty modules: one of two values by a condition, the second a register or a constant.
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

__bpf_kfunc void bpf_select(void)
{
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(select_ids)
BTF_ID_FLAGS(func, bpf_select)
BTF_KFUNCS_END(select_ids)

/*
 * payload	[3:0]	form	SELECT_REG or SELECT_IMM
 *		[7:4]	dst	cond != 0 ? yes : no
 *		[11:8]	cond
 *		[15:12]	yes
 *		[19:16]	no	SELECT_REG
 *		[51:20]		zero
 *		[47:16]	imm	SELECT_IMM: no, sign-extended
 *		[51:48]		zero
 */
enum {
	SELECT_REG = 1,
	SELECT_IMM = 2,
};

struct select {
	u8 form;
	u8 dst;
	u8 cond;
	u8 yes;
	u8 no;
	s32 imm;
};

static int select_decode(u64 payload, struct select *select)
{
	select->form = payload & 0xf;
	select->dst = payload >> 4 & 0xf;
	select->cond = payload >> 8 & 0xf;
	select->yes = payload >> 12 & 0xf;
	select->no = 0;
	select->imm = 0;

	if (select->dst > BPF_REG_9 || select->cond > BPF_REG_9 || select->yes > BPF_REG_9)
		return -EINVAL;
	switch (select->form) {
	case SELECT_REG:
		select->no = payload >> 16 & 0xf;
		if (select->no > BPF_REG_9 || payload >> 20)
			return -EINVAL;
		return 0;
	case SELECT_IMM:
		select->imm = payload >> 16;
		if (payload >> 48)
			return -EINVAL;
		/* The constant stands in dst while cond and yes are still needed. */
		if (select->dst == select->cond || select->dst == select->yes)
			return -EINVAL;
		return 0;
	default:
		return -EINVAL;
	}
}

static int select_proof(u64 payload, struct bpf_insn *insn_buf)
{
	struct select select;
	int err;

	err = select_decode(payload, &select);
	if (err)
		return err;
	insn_buf[0] = BPF_JMP_IMM(BPF_JNE, select.cond, 0, 2);
	if (select.form == SELECT_REG)
		insn_buf[1] = BPF_MOV64_REG(select.dst, select.no);
	else
		insn_buf[1] = BPF_MOV64_IMM(select.dst, select.imm);
	insn_buf[2] = BPF_JMP_A(1);
	insn_buf[3] = BPF_MOV64_REG(select.dst, select.yes);
	return 4;
}

#define X86_EQUAL	4
#define X86_NOT_EQUAL	5

/* cmov dst, src */
static void select_cmov(struct x86_code *code, u8 condition, u8 dst, u8 src)
{
	x86_rex(code, true, dst, src);
	x86_put(code, 0x0f);
	x86_put(code, 0x40 | condition);
	x86_put(code, 0xc0 | (dst & 7) << 3 | (src & 7));
}

static int select_emit_x86(u8 *image, u32 *off, bool emit, u64 payload, const struct bpf_prog *prog)
{
	struct x86_code code = {};
	struct select select;
	u8 dst, cond, yes, no;
	int err;

	err = select_decode(payload, &select);
	if (err)
		return err;
	dst = x86_regs[select.dst];
	cond = x86_regs[select.cond];
	yes = x86_regs[select.yes];
	no = x86_regs[select.no];

	/* test cond, cond */
	x86_rr(&code, true, 0x85, cond, cond);
	if (select.form == SELECT_IMM) {
		/* mov dst, imm32, which is sign-extended; it leaves the flags alone */
		x86_rr(&code, true, 0xc7, 0, dst);
		x86_put_imm32(&code, select.imm);
		select_cmov(&code, X86_NOT_EQUAL, dst, yes);
	} else if (dst == yes) {
		select_cmov(&code, X86_EQUAL, dst, no);
	} else {
		if (dst != no)
			x86_mov(&code, dst, no);
		select_cmov(&code, X86_NOT_EQUAL, dst, yes);
	}
	return x86_finish(&code, image, off, emit);
}

static int select_emit_arm64(u32 *image, int *idx, bool emit, u64 payload, const struct bpf_prog *prog)
{
	struct a64_code code = {};
	struct select select;
	u8 no;
	int err;

	err = select_decode(payload, &select);
	if (err)
		return err;
	no = a64_regs[select.no];

	if (select.form == SELECT_IMM) {
		a64_put_mov_imm(&code, A64_TMP1, select.imm);
		no = A64_TMP1;
	}
	a64_put(&code, a64_cmp_zero(a64_regs[select.cond]));
	a64_put(&code, a64_csel(a64_regs[select.dst], a64_regs[select.yes], no, A64_COND_NE));
	return a64_finish(&code, image, idx, emit);
}

static const struct bpf_kinsn bpf_select_desc = {
	.owner = THIS_MODULE,
	.max_insn_cnt = 4,
	.max_emit_bytes = 16,
	.instantiate_insn = select_proof,
	.emit_x86 = select_emit_x86,
	.emit_arm64 = select_emit_arm64,
};

static const struct bpf_kinsn * const select_descs[] = {
	&bpf_select_desc,
};

static const struct btf_kfunc_id_set select_set = {
	.owner = THIS_MODULE,
	.set = &select_ids,
	.kinsn_descs = select_descs,
};

static int __init select_init(void)
{
	return register_btf_kfunc_id_set(BPF_PROG_TYPE_UNSPEC, &select_set);
}

static void __exit select_exit(void)
{
}

module_init(select_init);
module_exit(select_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("one of two values");
MODULE_AUTHOR("kop");
