// SPDX-License-Identifier: GPL-2.0-or-later
/* A sound operation with both emits: dst = src, in bits [3:0] and [7:4]. Tests put faults into it. */
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/filter.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/string.h>

static const u8 x86_number[] = { 0, 7, 6, 2, 1, 8, 3, 13, 14, 15, 5 };
static const u8 arm64_number[] = { 7, 0, 1, 2, 3, 4, 19, 20, 21, 22, 25 };

static int decode(u64 payload, u8 *dst, u8 *src)
{
	*dst = payload & 0xf;
	*src = (payload >> 4) & 0xf;
	if (payload >> 8 || *dst > BPF_REG_9 || *src > BPF_REG_10)
		return -EINVAL;
	return 0;
}

static int move_proof(u64 payload, struct bpf_insn *insn_buf)
{
	u8 dst, src;
	int err = decode(payload, &dst, &src);

	if (err)
		return err;
	insn_buf[0] = BPF_MOV64_REG(dst, src);
	return 1;
}

#ifdef CONFIG_X86_64
static int move_x86(u8 *image, u32 *off, bool emit, u64 payload, const struct bpf_prog *prog)
{
	u8 code[3], dst, src;
	int err = decode(payload, &dst, &src);

	if (err)
		return err;
	code[0] = 0x48 | (x86_number[src] >> 3 << 2) | (x86_number[dst] >> 3);
	code[1] = 0x89;
	code[2] = 0xc0 | ((x86_number[src] & 7) << 3) | (x86_number[dst] & 7);
	if (emit)
		memcpy(image + *off, code, sizeof(code));
	*off += sizeof(code);
	return sizeof(code);
}
#endif

#ifdef CONFIG_ARM64
static int move_arm64(u32 *image, int *idx, bool emit, u64 payload, const struct bpf_prog *prog)
{
	u8 dst, src;
	int err = decode(payload, &dst, &src);

	if (err)
		return err;
	if (emit)
		image[*idx] = cpu_to_le32(0xaa0003e0 | (u32)arm64_number[src] << 16 | arm64_number[dst]);
	*idx += 1;
	return 1;
}
#endif

static const struct bpf_kinsn bpf_move_desc = {
	.owner = THIS_MODULE,
	.max_insn_cnt = 2,
	.max_emit_bytes = 4,
	.instantiate_insn = move_proof,
#ifdef CONFIG_X86_64
	.emit_x86 = move_x86,
#endif
#ifdef CONFIG_ARM64
	.emit_arm64 = move_arm64,
#endif
};

__bpf_kfunc_start_defs();
__bpf_kfunc void bpf_move(void) {}
__bpf_kfunc_end_defs();

BTF_KFUNCS_START(move_ids)
BTF_ID_FLAGS(func, bpf_move)
BTF_KFUNCS_END(move_ids)

static const struct bpf_kinsn * const move_descs[] = { &bpf_move_desc };

static const struct btf_kfunc_id_set move_set = {
	.owner = THIS_MODULE,
	.set = &move_ids,
	.kinsn_descs = move_descs,
};

static int __init move_init(void)
{
	return register_btf_kfunc_id_set(BPF_PROG_TYPE_UNSPEC, &move_set);
}

static void __exit move_exit(void)
{
}

module_init(move_init);
module_exit(move_exit);
MODULE_LICENSE("GPL");
MODULE_AUTHOR("The authors of this project");
MODULE_DESCRIPTION("dst = src");
