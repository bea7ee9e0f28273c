/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of this folder need of eBPF, and nothing else: types, sections, contexts, maps, helper
 * functions. It stands for itself, so that clang is all it takes to compile them; numbers and layouts are those of
 * the kernel's include/uapi/linux/bpf.h.
 */
#ifndef BPF_H
#define BPF_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;

#define NULL ((void *)0)
#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define FUNCTION static __attribute__((noinline))
#define UNROLLED _Pragma("clang loop unroll(full)")
#define ROLLED _Pragma("clang loop unroll(disable)")
#define LICENSE(text) char _license[] SECTION("license") = text
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#define swap16(x) __builtin_bswap16(x)
#define swap32(x) __builtin_bswap32(x)
#define swap64(x) __builtin_bswap64(x)

enum { XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT };
enum { TC_ACT_OK = 0, TC_ACT_SHOT = 2, TC_ACT_REDIRECT = 7 };

struct xdp_md {
	u32 data;
	u32 data_end;
	u32 data_meta;
	u32 ingress_ifindex;
	u32 rx_queue_index;
	u32 egress_ifindex;
};

struct __sk_buff {
	u32 len;
	u32 pkt_type;
	u32 mark;
	u32 queue_mapping;
	u32 protocol;
	u32 vlan_present;
	u32 vlan_tci;
	u32 vlan_proto;
	u32 priority;
	u32 ingress_ifindex;
	u32 ifindex;
	u32 tc_index;
	u32 cb[5];
	u32 hash;
	u32 tc_classid;
	u32 data;
	u32 data_end;
	/* More follows that no program here reads. */
};

/* Where the packet of a context, of either kind, starts and ends. */
#define packet(ctx) ((void *)(u64)(ctx)->data)
#define packet_end(ctx) ((void *)(u64)(ctx)->data_end)

enum {
	MAP_HASH = 1,
	MAP_ARRAY = 2,
	MAP_PROGRAM_ARRAY = 3,
	MAP_PERF_EVENT_ARRAY = 4,
	MAP_PERCPU_HASH = 5,
	MAP_PERCPU_ARRAY = 6,
	MAP_LRU_HASH = 9,
	MAP_LPM_TRIE = 11,
	MAP_DEVMAP = 14,
	MAP_RINGBUF = 27,
};

enum { MAP_ANY, MAP_NOEXIST, MAP_EXIST };
enum { MAP_NO_PREALLOC = 1 };

/* Declares a map; loaders read what it is from the types of the fields, through BTF. */
#define MAP(name, kind, key_type, value_type, entries, flags) \
	struct {                                                  \
		int (*type)[kind];                                    \
		key_type *key;                                        \
		value_type *value;                                    \
		int (*max_entries)[entries];                          \
		int (*map_flags)[flags];                              \
	} name SECTION(".maps")

/* The same for a ring buffer, which has neither keys nor values. */
#define RINGBUF(name, bytes)         \
	struct {                         \
		int (*type)[MAP_RINGBUF];    \
		int (*max_entries)[bytes];   \
	} name SECTION(".maps")

#define HELPER(id) (void *)id

static void *(*const map_lookup)(void *map, const void *key) = HELPER(1);
static long (*const map_update)(void *map, const void *key, const void *value, u64 flags) = HELPER(2);
static long (*const map_delete)(void *map, const void *key) = HELPER(3);
static u64 (*const ktime_ns)(void) = HELPER(5);
static u32 (*const random_u32)(void) = HELPER(7);
static u32 (*const processor_id)(void) = HELPER(8);
static long (*const skb_store_bytes)(void *skb, u32 offset, const void *from, u32 length, u64 flags) = HELPER(9);
static long (*const l3_csum_replace)(void *skb, u32 offset, u64 from, u64 to, u64 size) = HELPER(10);
static long (*const l4_csum_replace)(void *skb, u32 offset, u64 from, u64 to, u64 flags) = HELPER(11);
static long (*const tail_call)(void *ctx, void *programs, u32 index) = HELPER(12);
static long (*const redirect)(u32 ifindex, u64 flags) = HELPER(23);
static long (*const perf_event_output)(void *ctx, void *map, u64 flags, void *data, u64 size) = HELPER(25);
static long (*const skb_load_bytes)(const void *skb, u32 offset, void *to, u32 length) = HELPER(26);
static s64 (*const csum_diff)(void *from, u32 from_size, void *to, u32 to_size, u32 seed) = HELPER(28);
static long (*const xdp_adjust_head)(void *ctx, int delta) = HELPER(44);
static long (*const redirect_map)(void *map, u64 key, u64 flags) = HELPER(51);
static long (*const ringbuf_output)(void *ring, const void *data, u64 size, u64 flags) = HELPER(130);

#define PSEUDO_HEADER 0x10ull /* flag of l4_csum_replace: the value is in the pseudo header too */

#endif
