/* SPDX-License-Identifier: Apache-2.0 */
/* Measurements as a table and as JSON. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/bench_measure.h"

/* ---- the machine ---- */

/* "model name : AMD EPYC" of Linux on x86; elsewhere the name stays unknown. */
static void cpu_name(char *out, size_t size)
{
    char line[256];
    snprintf(out, size, "unknown CPU");
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon) continue;
        colon[strcspn(colon, "\n")] = 0;
        snprintf(out, size, "%s", colon + 2);
        break;
    }
    if (f) fclose(f);
}

static void today(char *out, size_t size)
{
    time_t t = time(NULL);
    struct tm tm;
    if (!localtime_r(&t, &tm) || !strftime(out, size, "%Y-%m-%d", &tm)) *out = 0;
}

void bench_print_machine(void)
{
    char cpu[160], day[16];
    cpu_name(cpu, sizeof cpu);
    today(day, sizeof day);
    printf("%s, %ld CPUs online, %s\n", cpu, sysconf(_SC_NPROCESSORS_ONLN), day);
}

json_t *bench_machine_json(void)
{
    char cpu[160], day[16];
    cpu_name(cpu, sizeof cpu);
    today(day, sizeof day);
    return json_pack("{s:s, s:I, s:s}", "cpu", cpu, "online",
                     (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "date", day);
}

/* ---- the artefact ---- */

static json_int_t number(const json_t *manifest, const char *key)
{
    return json_integer_value(json_object_get(manifest, key));
}

void bench_print_compiled(const Harness *h, const json_t *manifest, int64_t batch)
{
    printf("\nbatch %lld: compiled for %s in %.2f s, object %" JSON_INTEGER_FORMAT
           " bytes, weights %" JSON_INTEGER_FORMAT " bytes\n",
           (long long)batch, h->model->cpu, h->compile_seconds, number(manifest, "object_bytes"),
           number(manifest, "weights_bytes"));
}

json_t *bench_compiled_json(const Harness *h, const json_t *manifest, int64_t batch)
{
    return json_pack("{s:I, s:s, s:f, s:I, s:I}", "batch", (json_int_t)batch, "cpu", h->model->cpu,
                     "compile_seconds", h->compile_seconds, "object_bytes",
                     number(manifest, "object_bytes"), "weights_bytes",
                     number(manifest, "weights_bytes"));
}

/* ---- results ---- */

void bench_print_head(void)
{
    printf("%-16s %7s %10s %20s %9s %9s %8s %8s %12s\n", "entry", "threads", "images/s",
           "[quartiles]", "GFLOP/s", "of peak", "GB/s", "of read", "arena");
}

void bench_print(const BenchResult *r)
{
    char quartiles[48];
    snprintf(quartiles, sizeof quartiles, "[%.4g, %.4g]", r->rate.low, r->rate.high);
    printf("%-16s %7d %10.5g %20s %9.1f %8.1f%% %8.1f %7.0f%% %12llu\n", r->entry, r->threads,
           r->rate.median, quartiles, r->gflops, 100 * r->flops_share.median, r->gbytes,
           100 * r->read_share.median, (unsigned long long)r->arena_bytes);
    printf("%16s peak of %s: %.1f GFLOP/s; reading memory: %.1f GB/s%s\n", "", r->peak_name,
           r->peak_gflops, r->read_gbytes, r->steps ? "; images/s are images times steps" : "");
    if (r->unrest > 0.05)
        printf("%16s DISTURBED: the peak itself varied by %.0f%%; measure again\n", "",
               100 * r->unrest);
}

static json_t *spread_json(Spread s)
{
    return json_pack("[f, f, f]", s.low, s.median, s.high);
}

json_t *bench_result_json(const BenchResult *r)
{
    json_t *j =
        json_pack("{s:s, s:b, s:i, s:I, s:I, s:s, s:I}", "entry", r->entry, "image_steps", r->steps,
                  "threads", r->threads, "batch", (json_int_t)r->batch, "n", (json_int_t)r->n,
                  "peak", r->peak_name, "arena_bytes", (json_int_t)r->arena_bytes);
    json_object_set_new(j, "seconds", spread_json(r->seconds));
    json_object_set_new(j, "images_per_second", spread_json(r->rate));
    json_object_set_new(j, "share_of_peak", spread_json(r->flops_share));
    json_object_set_new(j, "share_of_read", spread_json(r->read_share));
    json_object_set_new(j, "gflops", json_real(r->gflops));
    json_object_set_new(j, "peak_gflops", json_real(r->peak_gflops));
    json_object_set_new(j, "unrest", json_real(r->unrest));
    json_object_set_new(j, "gbytes", json_real(r->gbytes));
    json_object_set_new(j, "read_gbytes", json_real(r->read_gbytes));
    return j;
}
