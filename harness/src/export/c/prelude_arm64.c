// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * @TITLE@, on ARM64
 *
 * Written by `kop export` from @SOURCE@.
 */
#include <asm/cpufeature.h>

#include "@OP@.h"

/* Where the JIT keeps r0..r10. */
static const u8 a64_reg[] __maybe_unused = { 7, 0, 1, 2, 3, 4, 19, 20, 21, 22, 25 };

/* The places of registers in an instruction. */
#define RD(reg)	((u32)(reg))
#define RN(reg)	((u32)(reg) << 5)
#define RA(reg)	((u32)(reg) << 10)
#define RM(reg)	((u32)(reg) << 16)

/* Native code while it is written; what is too long is counted, not written. */
struct code {
	u32 words[@WORDS@];
	int len;
};

static void __maybe_unused put(struct code *code, u32 word)
{
	if (code->len < (int)ARRAY_SIZE(code->words))
		code->words[code->len] = word;
	code->len++;
}

static int __maybe_unused finish(const struct code *code, u32 *image, int *idx, bool emit)
{
	int i;

	if (code->len > (int)ARRAY_SIZE(code->words))
		return -E2BIG;
	for (i = 0; emit && i < code->len; i++)
		image[*idx + i] = (__force u32)cpu_to_le32(code->words[i]);
	*idx += code->len;
	return code->len;
}

@EMITS@
@REGISTRATION@
