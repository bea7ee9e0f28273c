; What `kop rewrite` finds, and what only looks like it.
.program rotates raw
r6 = *(u64 *)(r1 + 0)
r2 = r6
r2 <<= 13
*(u64 *)(r10 - 8) = r2
r3 = r6
r3 >>= 51
r7 = *(u64 *)(r10 - 8)
r3 ^= r2
; the amount is in a register
r4 = *(u32 *)(r1 + 8)
r5 = 64
r5 -= r4
r8 = r3
r8 >>= r5
r3 <<= r4
r3 |= r8
r0 = r3
r0 += r7
exit
.program headers xdp
r2 = *(u32 *)(r1 + 0)
r3 = *(u32 *)(r1 + 4)
r4 = r2
r4 += 34
r0 = 1
if r4 > r3 goto +10
; a port in network order, and a field of the word behind it
r5 = *(u16 *)(r2 + 12)
r5 = be16 r5
r6 = *(u32 *)(r2 + 16)
r7 = r6
r7 >>= 3
r7 &= 0x1ff
r0 = r5
r0 += r7
; the context is the kernel's to rewrite
r8 = *(u32 *)(r1 + 12)
r8 = be32 r8
exit
.program none raw
r6 = *(u64 *)(r1 + 0)
r7 = *(u64 *)(r1 + 8)
; no rotate where the amount is a multiple of 64: the sum is twice the value
r2 = r6
r3 = r7
r3 = -r3
r4 = r6
r4 >>= r3
r2 <<= r7
r2 += r4
; both parts are needed behind
r4 = r6
r4 <<= 9
r5 = r6
r5 >>= 55
r0 = r4
r0 |= r5
r0 += r2
r0 += r4
r0 += r5
exit
