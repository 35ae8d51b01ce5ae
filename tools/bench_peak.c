/* SPDX-License-Identifier: Apache-2.0 */
/* Plain C on GCC's vectors, one function an instruction set. Twelve chains hide the latency of a
 * multiply-add on two ports. That the compiler makes the instructions that are meant is checked
 * once by hand: `objdump -d` of peak_avx512_f32 shows twelve vfmadd a round and no memory. */
#define _GNU_SOURCE
#include "tools/bench_peak.h"

#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "runtime/arena.h"
#include "tools/progress.h"

enum { CHAINS = 12, LEAST_READ = 64 << 20, MOST_READ = 512 << 20, CHUNKS_A_WORKER = 4 };

static volatile double factor = 0.999, term = 0.001, sink;
static volatile uint64_t sink_bits;

#if defined(__GNUC__) && !defined(__clang__)
#    define CONTRACT optimize("O2", "fp-contract=fast"),
#    define CONTRACT_HERE
#else
#    define CONTRACT
#    define CONTRACT_HERE _Pragma("clang fp contract(fast)")
#endif

/* One round is twelve multiply-adds of whole vectors. */
#define STEP(i) a##i = a##i * m + c;
#define START(i) a##i = m + (float)(i)
#define DEFINE_PEAK(name, T, BYTES, ...)                                                           \
    typedef T name##_v __attribute__((vector_size(BYTES)));                                        \
    __attribute__((CONTRACT noinline, __VA_ARGS__)) static void peak_##name(long rounds)           \
    {                                                                                              \
        CONTRACT_HERE                                                                              \
        name##_v zero = {0}, m = zero + (T)factor, c = zero + (T)term;                             \
        name##_v START(0), START(1), START(2), START(3), START(4), START(5), START(6), START(7),   \
            START(8), START(9), START(10), START(11);                                              \
        for (long r = 0; r < rounds; r++) {                                                        \
            STEP(0)                                                                                \
            STEP(1)                                                                                \
            STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9) STEP(10) STEP(11)      \
        }                                                                                          \
        a0 += a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11;                              \
        sink = (double)a0[0];                                                                      \
    }

/* Four loads in flight a round; prefetchers do the rest. */
#define DEFINE_READ(name, BYTES, ...)                                                              \
    typedef uint64_t name##_b __attribute__((vector_size(BYTES)));                                 \
    __attribute__((CONTRACT noinline, __VA_ARGS__)) static void read_##name(const void *p,         \
                                                                            size_t bytes)          \
    {                                                                                              \
        const name##_b *v = p;                                                                     \
        name##_b a = {0}, b = a, c = a, d = a;                                                     \
        for (size_t i = 0; i + 4 <= bytes / (BYTES); i += 4) {                                     \
            a ^= v[i];                                                                             \
            b ^= v[i + 1];                                                                         \
            c ^= v[i + 2];                                                                         \
            d ^= v[i + 3];                                                                         \
        }                                                                                          \
        a ^= b ^ c ^ d;                                                                            \
        sink_bits = a[0];                                                                          \
    }

#if defined(__x86_64__)
#    define AVX2 target("avx2,fma")
#    define AVX512 target("avx512f")
DEFINE_PEAK(avx512_f32, float, 64, AVX512)
DEFINE_PEAK(avx512_f64, double, 64, AVX512)
DEFINE_PEAK(avx2_f32, float, 32, AVX2)
DEFINE_PEAK(avx2_f64, double, 32, AVX2)
DEFINE_READ(avx512, 64, AVX512)
DEFINE_READ(avx2, 32, AVX2)

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f");
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

/* The baseline of the host's architecture: SSE2, NEON, or what a compiler makes of 16 bytes. */
DEFINE_PEAK(base_f32, float, 16, )
DEFINE_PEAK(base_f64, double, 16, )
DEFINE_READ(base, 16, )

static bool always(void)
{
    return true;
}

#define ROW(text, name, reader, bytes, wide, fma, usable)                                          \
    {                                                                                              \
        text, bytes, wide, fma, usable, peak_##name, read_##reader,                                \
            2.0 * CHAINS *(bytes) / ((wide) ? 8 : 4)                                               \
    }
static const PeakKernel kernels[] =
    {/* widest first */
#if defined(__x86_64__)
     ROW("AVX-512 fma f32", avx512_f32, avx512, 64, false, true, has_avx512),
     ROW("AVX-512 fma f64", avx512_f64, avx512, 64, true, true, has_avx512),
     ROW("AVX2 fma f32", avx2_f32, avx2, 32, false, true, has_avx2),
     ROW("AVX2 fma f64", avx2_f64, avx2, 32, true, true, has_avx2),
     ROW("SSE2 multiply, add f32", base_f32, base, 16, false, false, always),
     ROW("SSE2 multiply, add f64", base_f64, base, 16, true, false, always)
#else
     ROW("16-byte fma f32", base_f32, base, 16, false, true, always),
     ROW("16-byte fma f64", base_f64, base, 16, true, true, always)
#endif
};
enum { NKERNELS = sizeof kernels / sizeof *kernels };

static const PeakKernel *choose(int vec_bytes, bool fma, bool f64)
{
    const PeakKernel *k = NULL;
    for (int i = 0; i < NKERNELS; i++) {
        if (kernels[i].f64 != f64) continue;
        k = &kernels[i]; /* the last of them always runs */
        if (k->bytes <= vec_bytes && k->fma <= fma && k->usable()) break;
    }
    return k;
}

/* ---- running them on every worker ---- */

static void multiply_add(void *meter, int i)
{
    const PeakMeter *p = meter;
    (void)i;
    p->k->multiply_add(p->rounds);
}

static void read_part(void *meter, int i)
{
    const PeakMeter *p = meter;
    size_t part = p->bytes / (size_t)p->chunks;
    p->k->read((const char *)p->memory + part * (size_t)i, part);
}

static double seconds(const PeakMeter *p, void (*fn)(void *, int))
{
    double start = p->clock();
    adj_pool_parallel(p->pool, p->chunks, fn, (void *)(uintptr_t)p);
    return p->clock() - start;
}

/* Twice the last cache, so that reads come from memory. */
static size_t read_bytes(void)
{
    size_t n = LEAST_READ;
#ifdef _SC_LEVEL3_CACHE_SIZE
    long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    if (cache > 0 && 2 * (size_t)cache > n) n = 2 * (size_t)cache;
#endif
    return n > MOST_READ ? MOST_READ : n;
}

bool peak_open(PeakMeter *p, AdjPool *pool, int vec_bytes, bool fma, bool f64)
{
    *p = (PeakMeter){
        .k = choose(vec_bytes, fma, f64), .clock = seconds_now, .pool = pool, .rounds = 1024};
    p->chunks = CHUNKS_A_WORKER * adj_pool_workers(pool);
    size_t unit = (size_t)p->chunks * 4096;
    p->bytes = (read_bytes() + unit - 1) / unit * unit;
    p->memory = adj_arena_new(p->bytes);
    if (!p->memory) return false;
    memset(p->memory, 1, p->bytes);
    while (seconds(p, multiply_add) < 3e-3) p->rounds *= 2;
    peak_read(p);
    return true;
}

void peak_close(PeakMeter *p)
{
    adj_arena_free(p->memory);
    *p = (PeakMeter){0};
}

double peak_flops(const PeakMeter *p)
{
    return p->k->flops * (double)p->rounds * p->chunks / seconds(p, multiply_add);
}

double peak_read(const PeakMeter *p)
{
    return (double)p->bytes / seconds(p, read_part);
}
