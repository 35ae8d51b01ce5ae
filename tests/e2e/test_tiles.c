/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix tiles (AMX) that Linux refuses, here since a signal stack is too small for their state:
 * code that would use them says so, an object with other code besides runs that, and one without
 * tiles does not ask. Once they are granted the same objects run. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "e2e.h"
#include "runtime/arena.h"
#include "runtime/load.h"

enum { N = 2, PIXELS = 28 * 28, CLASSES = 10, SMALL_STACK = 6000 };

static float image[N * PIXELS], logits[N * CLASSES];

static bool has_tiles(void)
{
    char line[8192];
    bool yes = false;
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && !yes && fgets(line, sizeof line, f)) yes = strstr(line, " amx_bf16") != NULL;
    if (f) fclose(f);
    return yes;
}

static int status_of(const Net *net)
{
    const AdjEntry *entry = adj_entry(net->model, "forward");
    size_t bytes = adj_arena_bytes(entry, 1);
    void *arena = adj_arena_new(bytes), *io[] = {image, logits};
    AdjCall call = {.size = sizeof call, .n = N, .io = io, .arena = arena, .arena_bytes = bytes};
    int rc = entry->run(NULL, &call);
    adj_arena_free(arena);
    return rc;
}

static void set_stack(void *memory)
{
    stack_t s = {.ss_sp = memory, .ss_size = SMALL_STACK, .ss_flags = memory ? 0 : SS_DISABLE};
    if (sigaltstack(&s, NULL)) perror("sigaltstack"), exit(1);
}

int main(int argc, char **argv)
{
    const char *model = argc > 1 ? argv[1] : "tests/e2e/fashion.onnx";
    static const struct {
        const char *cpu;
        bool bf16;
        int tiles, refused;
    } object[] = {{"sapphirerapids", true, ADJ_TILES_BF16, ADJ_BAD_CPU},
                  {"skylake-avx512,sapphirerapids", true, ADJ_TILES_BF16, 0},
                  {"sapphirerapids", false, ADJ_TILES_BF16, 0},
                  {"sapphirerapids", false, ADJ_TILES_F32, ADJ_BAD_CPU},
                  {"skylake-avx512,sapphirerapids", false, ADJ_TILES_F32, 0},
                  {"sapphirerapids", true, ADJ_TILES_OFF, 0}};
    enum { OBJECTS = sizeof object / sizeof *object };
    Net net[OBJECTS];
    Count k = {.name = "tiles"};
    if (!has_tiles()) {
        count_skip(&k, "this CPU has no matrix tiles");
        return count_close(&k);
    }
    for (int i = 0; i < OBJECTS; i++)
        net[i] = net_open(&(AdjOptions){.model = model,
                                        .entries = "forward",
                                        .cpu = object[i].cpu,
                                        .bf16 = object[i].bf16,
                                        .tiles = object[i].tiles});
    void *memory = malloc(SMALL_STACK);
    set_stack(memory);
    for (int i = 0; i < OBJECTS; i++) {
        int rc = status_of(&net[i]);
        count_check(&k, rc == object[i].refused, "%s, bf16 %d, tiles %d: refused, %d",
                    object[i].cpu, object[i].bf16, object[i].tiles, rc);
    }
    set_stack(NULL);
    free(memory);
    for (int i = 0; i < OBJECTS; i++) {
        int rc = status_of(&net[i]);
        count_check(&k, rc == 0, "%s, bf16 %d, tiles %d: granted, %d", object[i].cpu,
                    object[i].bf16, object[i].tiles, rc);
        net_close(&net[i]);
    }
    return count_close(&k);
}
