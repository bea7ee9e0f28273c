// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a coverage-guided fuzzer is for: an operation whose emit crashes for one payload in a million, and for none that is
 * valid.
 *
 * dst += (s32)imm. The emit looks at bits that have to be zero before it refuses the payload. Its checks stand one behind
 * the other, so that a fuzzer that sees their branches passes them one after the other, and one that does not has to guess
 * all of them at once. scripts/fuzz-short holds the target `module` to finding the crash.
 *
 * payload[3:0] dst, payload[35:4] imm, payload[51:36] zero
 */
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/filter.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/string.h>

static const u8 x86_regs[] = {
	[BPF_REG_0] = 0,
	[BPF_REG_1] = 7,
	[BPF_REG_2] = 6,
	[BPF_REG_3] = 2,
	[BPF_REG_4] = 1,
	[BPF_REG_5] = 8,
	[BPF_REG_6] = 3,
	[BPF_REG_7] = 13,
	[BPF_REG_8] = 14,
	[BPF_REG_9] = 15,
};

static int deep_decode(u64 payload, u8 *dst, u32 *imm)
{
	*dst = payload & 0xf;
	*imm = payload >> 4;
	if (*dst >= ARRAY_SIZE(x86_regs) || payload >> 36)
		return -EINVAL;
	return 0;
}

static int deep_instantiate(u64 payload, struct bpf_insn *insn_buf)
{
	u32 imm;
	u8 dst;

	if (deep_decode(payload, &dst, &imm))
		return -EINVAL;
	insn_buf[0] = BPF_ALU64_IMM(BPF_ADD, dst, (s32)imm);
	return 1;
}

/* What is behind the checks reads address 8. */
static noinline u8 deep_fault(u64 payload)
{
	if ((payload >> 36 & 0xf) != 0xb)
		return 0;
	if ((payload >> 40 & 0xf) != 0x6)
		return 0;
	if ((payload >> 44 & 0xf) != 0xd)
		return 0;
	if ((payload >> 48 & 0xf) != 0x9)
		return 0;
	if ((payload & 0xf) != BPF_REG_7)
		return 0;
	return *(volatile u8 *)8UL;
}

static int deep_emit_x86(u8 *image, u32 *off, bool emit, u64 payload, const struct bpf_prog *prog)
{
	u8 code[7];
	u32 imm;
	u8 dst;

	if (deep_fault(payload) || deep_decode(payload, &dst, &imm))
		return -EINVAL;
	/* add dst, imm32 */
	code[0] = x86_regs[dst] > 7 ? 0x49 : 0x48;
	code[1] = 0x81;
	code[2] = 0xc0 | (x86_regs[dst] & 7);
	memcpy(&code[3], &imm, sizeof(imm));
	if (emit)
		memcpy(image + *off, code, sizeof(code));
	*off += sizeof(code);
	return sizeof(code);
}

static const struct bpf_kinsn bpf_deep_desc = {
	.owner = THIS_MODULE,
	.max_insn_cnt = 1,
	.max_emit_bytes = 7,
	.instantiate_insn = deep_instantiate,
	.emit_x86 = deep_emit_x86,
};

__bpf_kfunc_start_defs();

__bpf_kfunc void bpf_deep(void)
{
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(deep_ids)
BTF_ID_FLAGS(func, bpf_deep)
BTF_KFUNCS_END(deep_ids)

static const struct bpf_kinsn * const deep_descs[] = {
	&bpf_deep_desc,
};

static const struct btf_kfunc_id_set deep_set = {
	.owner = THIS_MODULE,
	.set = &deep_ids,
	.kinsn_descs = deep_descs,
};

static int __init deep_init(void)
{
	return register_btf_kfunc_id_set(BPF_PROG_TYPE_UNSPEC, &deep_set);
}

static void __exit deep_exit(void)
{
}

module_init(deep_init);
module_exit(deep_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("An operation with a crash behind five comparisons");
MODULE_AUTHOR("The authors of the differential tester");
