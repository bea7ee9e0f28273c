// SPDX-License-Identifier: GPL-2.0-or-later
// What the loader's tests load; made into features.o and plain.o by
//   clang-14 -target bpf -O2 -g -mcpu=v3 -c features.c -o features.o && llvm-strip-14 -g features.o
//   clang-14 -target bpf -O2 -mcpu=v3 -DPLAIN -c features.c -o plain.o
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int (*name)[val]
#define __type(name, val) typeof(val) *name
#define __array(name, val) typeof(val) *name[]

struct xdp_md {
	u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_tail_call)(void *ctx, void *map, u32 index) = (void *)12;

u64 total = 5;
volatile const u32 limit = 7;
u32 zero;
static u32 hidden = 9;

#ifdef PLAIN
struct bpf_map_def {
	u32 type, key_size, value_size, max_entries, map_flags, id, pinning;
};
struct bpf_map_def SEC("maps") first = { 2, 4, 8, 3, 0, 0, 0 };
struct bpf_map_def SEC("maps") second = { 1, 8, 8, 30, 1, 0, 0 };

SEC("classifier") int uses_both(void *ctx)
{
	u64 key = 3;
	u64 *value = bpf_map_lookup_elem(&second, &key);

	if (!value)
		value = bpf_map_lookup_elem(&first, &key);
	return value ? *value : 1;
}
#else
int other(struct xdp_md *ctx);

struct pair {
	u32 a[3];
	u64 b;
};
struct {
	__uint(type, 1);
	__uint(max_entries, 16);
	__type(key, u32);
	__type(value, struct pair);
} counters SEC(".maps");
struct {
	__uint(type, 3);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 4);
	__array(values, int(struct xdp_md *));
} jumps SEC(".maps") = { .values = { [1] = &other } };
struct {
	__uint(type, 27);
	__uint(max_entries, 4096);
} ring SEC(".maps");

static __attribute__((noinline)) u64 add(u64 x)
{
	total += x;
	return x * limit + hidden++;
}

__attribute__((noinline)) u64 twice(u64 x)
{
	return add(x) ^ zero;
}

SEC("xdp") int first(struct xdp_md *ctx)
{
	u32 key = 3;
	struct pair *value = bpf_map_lookup_elem(&counters, &key);

	if (value)
		value->b += 1;
	bpf_tail_call(ctx, &jumps, ctx->rx_queue_index);
	return twice(key);
}

SEC("xdp/other") int other(struct xdp_md *ctx)
{
	const char *text = "world";

	return add(text[ctx->data & 3]) & 0xff;
}

SEC("tc") int third(void *ctx)
{
	return add(2);
}
#endif

char LICENSE[] SEC("license") = "GPL";
