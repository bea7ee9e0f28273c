/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions for CPU features. The loader says what the CPU has, and learns what was asked; what it does not know is not
 * there, but for what every CPU of the architecture has.
 */
#ifndef _ASM_CPUFEATURE_H
#define _ASM_CPUFEATURE_H

#include <kop/module.h>

/* x86-64: word * 32 + bit of the kernel's table. */
#define X86_FEATURE_FPU (0 * 32 + 0)
#define X86_FEATURE_TSC (0 * 32 + 4)
#define X86_FEATURE_CX8 (0 * 32 + 8)
#define X86_FEATURE_CMOV (0 * 32 + 15)
#define X86_FEATURE_MMX (0 * 32 + 23)
#define X86_FEATURE_FXSR (0 * 32 + 24)
#define X86_FEATURE_XMM (0 * 32 + 25)
#define X86_FEATURE_XMM2 (0 * 32 + 26)
#define X86_FEATURE_LM (1 * 32 + 29)
#define X86_FEATURE_REP_GOOD (3 * 32 + 16)
#define X86_FEATURE_XMM3 (4 * 32 + 0)
#define X86_FEATURE_PCLMULQDQ (4 * 32 + 1)
#define X86_FEATURE_SSSE3 (4 * 32 + 9)
#define X86_FEATURE_FMA (4 * 32 + 12)
#define X86_FEATURE_CX16 (4 * 32 + 13)
#define X86_FEATURE_XMM4_1 (4 * 32 + 19)
#define X86_FEATURE_XMM4_2 (4 * 32 + 20)
#define X86_FEATURE_MOVBE (4 * 32 + 22)
#define X86_FEATURE_POPCNT (4 * 32 + 23)
#define X86_FEATURE_AES (4 * 32 + 25)
#define X86_FEATURE_XSAVE (4 * 32 + 26)
#define X86_FEATURE_OSXSAVE (4 * 32 + 27)
#define X86_FEATURE_AVX (4 * 32 + 28)
#define X86_FEATURE_RDRAND (4 * 32 + 30)
#define X86_FEATURE_LAHF_LM (6 * 32 + 0)
#define X86_FEATURE_ABM (6 * 32 + 5)
#define X86_FEATURE_LZCNT X86_FEATURE_ABM
#define X86_FEATURE_TBM (6 * 32 + 21)
#define X86_FEATURE_BMI1 (9 * 32 + 3)
#define X86_FEATURE_AVX2 (9 * 32 + 5)
#define X86_FEATURE_BMI2 (9 * 32 + 8)
#define X86_FEATURE_ERMS (9 * 32 + 9)
#define X86_FEATURE_AVX512F (9 * 32 + 16)
#define X86_FEATURE_AVX512DQ (9 * 32 + 17)
#define X86_FEATURE_ADX (9 * 32 + 19)
#define X86_FEATURE_AVX512BW (9 * 32 + 30)
#define X86_FEATURE_AVX512VL (9 * 32 + 31)
#define X86_FEATURE_AVX512VBMI (16 * 32 + 1)
#define X86_FEATURE_GFNI (16 * 32 + 8)
#define X86_FEATURE_VAES (16 * 32 + 9)
#define X86_FEATURE_VPCLMULQDQ (16 * 32 + 10)
#define X86_FEATURE_AVX512_VPOPCNTDQ (16 * 32 + 14)
#define X86_FEATURE_FSRM (18 * 32 + 4)

static inline __maybe_unused bool kop_x86_has(unsigned int feature)
{
	switch (feature) {
	case X86_FEATURE_POPCNT:
		return kop_cpu_has(KOP_CPU_POPCNT);
	case X86_FEATURE_ABM:
		return kop_cpu_has(KOP_CPU_LZCNT);
	case X86_FEATURE_BMI1:
		return kop_cpu_has(KOP_CPU_BMI1);
	case X86_FEATURE_BMI2:
		return kop_cpu_has(KOP_CPU_BMI2);
	case X86_FEATURE_MOVBE:
		return kop_cpu_has(KOP_CPU_MOVBE);
	case X86_FEATURE_PCLMULQDQ:
		return kop_cpu_has(KOP_CPU_PCLMULQDQ);
	case X86_FEATURE_XMM4_2:
		return kop_cpu_has(KOP_CPU_SSE4_2);
	case X86_FEATURE_AVX512VL:
		return kop_cpu_has(KOP_CPU_AVX512VL);
	case X86_FEATURE_AVX512_VPOPCNTDQ:
		return kop_cpu_has(KOP_CPU_AVX512_VPOPCNTDQ);
	case X86_FEATURE_FPU:
	case X86_FEATURE_TSC:
	case X86_FEATURE_CX8:
	case X86_FEATURE_CMOV:
	case X86_FEATURE_MMX:
	case X86_FEATURE_FXSR:
	case X86_FEATURE_XMM:
	case X86_FEATURE_XMM2:
	case X86_FEATURE_LM:
		return true;
	default:
		return kop_cpu_has(KOP_CPU_OTHER);
	}
}

struct cpuinfo_x86 {
	u8 x86;
	u8 x86_vendor;
	u8 x86_model;
};

static struct cpuinfo_x86 boot_cpu_data __maybe_unused;

#define boot_cpu_has(feature) kop_x86_has(feature)
#define static_cpu_has(feature) kop_x86_has(feature)
#define this_cpu_has(feature) kop_x86_has(feature)
#define cpu_has(c, feature) ((void)(c), kop_x86_has(feature))
#define cpu_feature_enabled(feature) kop_x86_has(feature)

/* AArch64: hwcaps by name, capabilities by number. */
#define KERNEL_HWCAP_FP 100
#define KERNEL_HWCAP_ASIMD 101
#define KERNEL_HWCAP_EVTSTRM 102
#define KERNEL_HWCAP_AES 103
#define KERNEL_HWCAP_PMULL 104
#define KERNEL_HWCAP_SHA1 105
#define KERNEL_HWCAP_SHA2 106
#define KERNEL_HWCAP_CRC32 107
#define KERNEL_HWCAP_ATOMICS 108
#define KERNEL_HWCAP_LRCPC 109
#define KERNEL_HWCAP_SVE 110
#define KERNEL_HWCAP_SVE2 111
#define KERNEL_HWCAP_FLAGM 112
#define KERNEL_HWCAP_SB 113
#define KERNEL_HWCAP_BTI 114
#define KERNEL_HWCAP_CSSC 115
#define KERNEL_HWCAP_MOPS 116
#define KERNEL_HWCAP_SVEBITPERM 117
#define ARM64_HAS_LSE_ATOMICS 200
#define ARM64_HAS_CRC32 201
#define ARM64_HAS_SB 202
#define ARM64_SVE 203
#define ARM64_BTI 204
#define ARM64_HAS_LDAPR 205
#define ARM64_HAS_MOPS 206

static inline __maybe_unused bool kop_arm64_has(unsigned int feature)
{
	switch (feature) {
	case KERNEL_HWCAP_FP:
	case KERNEL_HWCAP_ASIMD:
		return kop_cpu_has(KOP_CPU_ASIMD);
	case KERNEL_HWCAP_PMULL:
		return kop_cpu_has(KOP_CPU_PMULL);
	case KERNEL_HWCAP_ATOMICS:
	case ARM64_HAS_LSE_ATOMICS:
		return kop_cpu_has(KOP_CPU_ATOMICS);
	case KERNEL_HWCAP_SB:
	case ARM64_HAS_SB:
		return kop_cpu_has(KOP_CPU_SB);
	case KERNEL_HWCAP_CRC32:
	case ARM64_HAS_CRC32:
		return kop_cpu_has(KOP_CPU_CRC32);
	case KERNEL_HWCAP_SVEBITPERM:
		return kop_cpu_has(KOP_CPU_SVEBITPERM);
	default:
		return kop_cpu_has(KOP_CPU_OTHER);
	}
}

#define cpu_have_feature(feature) kop_arm64_has(feature)
#define cpu_have_named_feature(name) kop_arm64_has(KERNEL_HWCAP_##name)
#define cpus_have_cap(cap) kop_arm64_has(cap)
#define cpus_have_final_cap(cap) kop_arm64_has(cap)
#define cpus_have_const_cap(cap) kop_arm64_has(cap)
#define alternative_has_cap_likely(cap) kop_arm64_has(cap)
#define alternative_has_cap_unlikely(cap) kop_arm64_has(cap)
#define system_supports_fpsimd() kop_arm64_has(KERNEL_HWCAP_FP)
#define system_supports_sve() kop_arm64_has(ARM64_SVE)
#define system_supports_bti() kop_arm64_has(ARM64_BTI)
#define system_uses_lse_atomics() kop_arm64_has(ARM64_HAS_LSE_ATOMICS)

#endif /* _ASM_CPUFEATURE_H */
