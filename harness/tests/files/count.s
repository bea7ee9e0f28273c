; Counts IPv4 packets by their protocol, tells user space the ones counted in the sum so far, and goes on to a second
; program when eight or more bits of the sum are set.
.map counts array 4 8 256
.map jumps prog_array 4 4 1
.map big ringbuf 0 0 4096
.init counts 11000000 0300000000000000
.init jumps 00000000 many
.license GPL

.program count tc
        r6 = r1
        r2 = *(u32 *)(r6 +76)
        r3 = *(u32 *)(r6 +80)
        r0 = 0
        r4 = r2
        r4 += 34
        if r4 > r3 goto out
        r7 = *(u8 *)(r2 +23)
        *(u8 *)(r2 +22) = 63
        *(u32 *)(r10 -4) = r7
        r1 = map_by_idx(counts) ll
        r2 = r10
        r2 += -4
        call 1
        if r0 == 0 goto out
        r1 = *(u64 *)(r0 +0)
        r1 += 1
        *(u64 *)(r0 +0) = r1
        sidecar 0x217               ; r7 = popcount(r1), r2 is overwritten
        call kop popcount.pop64
        *(u64 *)(r10 -16) = r7
        r1 = map_by_idx(big) ll
        r2 = r10
        r2 += -16
        r3 = 8
        r4 = 0
        call 130
        r0 = 0
        if r7 < 8 goto out
        r1 = r6
        r2 = map_by_idx(jumps) ll
        r3 = 0
        call 12
        r0 = 2
out:    exit

.program many tc
        r0 = 7
        exit
