/* SPDX-License-Identifier: Apache-2.0 */
/* layers CPU OUT.s: one convolution of each class of shape that ResNet-50, ResNeXt-50 and MobileNets
 * have, and its input gradient, with a full epilogue (bias, residual, ReLU, mask), and some
 * gradients in weights, as assembly: what test_asm looks at where no such network is at hand. */
#include "tests/targets/dwrun.h"

#include "targets/llvm/emit.h"

#include <stdio.h>

typedef struct Layer {
    const char *name;
    int64_t k, stride, ic, oc, size, batch, groups;
} Layer;

static const Layer layers[] = {
    {"stem", 7, 2, 3, 64, 224, 1, 1},           {"reduce56", 1, 1, 256, 64, 56, 1, 1},
    {"expand56", 1, 1, 64, 256, 56, 8, 1},      {"expand14", 1, 1, 256, 1024, 14, 8, 1},
    {"expand7", 1, 1, 512, 2048, 7, 8, 1},      {"down1", 1, 2, 256, 512, 56, 8, 1},
    {"down1to7", 1, 2, 1024, 2048, 14, 8, 1},   {"down3", 3, 2, 128, 128, 56, 8, 1},
    {"down3to7", 3, 2, 512, 512, 14, 1, 1},     {"wino56", 3, 1, 64, 64, 56, 1, 1},
    {"wino14", 3, 1, 256, 256, 14, 8, 1},       {"direct7", 3, 1, 512, 512, 7, 1, 1},
    {"groups4", 3, 1, 128, 128, 56, 1, 32},     {"groups8", 3, 1, 256, 256, 28, 1, 32},
    {"groups8down", 3, 2, 256, 256, 56, 1, 32}, {"groups16", 3, 1, 512, 512, 14, 1, 32},
    {"depth112", 3, 1, 32, 32, 112, 1, 32},     {"depth112down", 3, 2, 96, 96, 112, 1, 96},
    {"depth28", 5, 1, 96, 96, 28, 1, 96},       {"depth28down", 5, 2, 96, 96, 28, 1, 96},
};

/* Of which weights have a gradient. */
static const Layer weights[] = {
    {"direct_dw", 3, 2, 128, 128, 56, 8, 1}, {"wino56_dw", 3, 1, 64, 64, 56, 1, 1},
    {"wino14_dw", 3, 1, 256, 256, 14, 8, 1}, {"wino32_dw", 3, 1, 16, 16, 32, 16, 1},
    {"depth56_dw", 3, 1, 96, 96, 56, 8, 96}, {"depth28_dw", 5, 2, 96, 96, 28, 8, 96}};

enum { MOST = 4 * COUNT(layers) + COUNT(weights) }; /* both faces, in f32 and bf16 */

static Case case_of(const Layer *l, Op op)
{
    int64_t p = l->k / 2;
    return (Case){.dtype = DT_F32,
                  .op = op,
                  .n = l->batch,
                  .ic = l->ic,
                  .oc = l->oc,
                  .ih = l->size,
                  .iw = l->size,
                  .kh = l->k,
                  .kw = l->k,
                  .stride = l->stride,
                  .dilation = 1,
                  .pad = {p, p, p, p},
                  .epilogue = true,
                  .groups = l->groups};
}

/* The layers that have a form in bf16. */
static int pairs(Arena *a, const Target *t, const Kernel **kernel)
{
    int n = 0;
    for (int i = 0; i < 2 * COUNT(layers) && target_reads_bf16(t); i++) {
        const Layer *l = &layers[i / 2];
        Case c = case_of(l, i % 2 ? OP_conv_dx : OP_conv);
        c.bf16 = true;
        Kernel *k =
            case_kernel(a, &c, t, arena_printf(a, "%s_bf16%s", l->name, i % 2 ? "_dx" : ""));
        if (k) kernel[n++] = k;
    }
    return n;
}

static Kernel *weight_kernel(Arena *a, const Target *t, const Layer *l)
{
    Dw d = {.a = a, .c = case_of(l, OP_conv_dw), .t = t};
    d.claim = l->stride == 1 && l->groups == 1 ? "winograd" : "dwconv";
    if (dw_kernel(&d)) d.kernel->name = l->name;
    return d.kernel;
}

int main(int argc, char **argv)
{
    const Kernel *kernel[MOST];
    int n = 0;
    if (argc != 3) return fprintf(stderr, "usage: layers CPU OUT.s\n"), 2;
    Arena *a = arena_new();
    const Target *t = target_find(a, "x86_64-unknown-linux-gnu", argv[1]);
    for (int i = 0; i < 2 * COUNT(layers); i++) {
        const Layer *l = &layers[i / 2];
        Case c = case_of(l, i % 2 ? OP_conv_dx : OP_conv);
        kernel[n] = case_kernel(a, &c, t, arena_printf(a, "%s%s", l->name, i % 2 ? "_dx" : ""));
        if (!kernel[n++]) return fprintf(stderr, "%s: no claim for %s\n", argv[1], l->name), 1;
    }
    for (int i = 0; i < COUNT(weights); i++) {
        kernel[n] = weight_kernel(a, t, &weights[i]);
        if (!kernel[n++]) return fprintf(stderr, "%s: not %s\n", argv[1], weights[i].name), 1;
    }
    n += pairs(a, t, kernel + n);
    Bytes text = emit_kernels(kernel, n, t, EMIT_ASM);
    FILE *f = fopen(argv[2], "wb");
    bool ok = f && fwrite(text.data, 1, text.size, f) == text.size && !fclose(f);
    bytes_free(&text);
    arena_free(a);
    return ok ? 0 : (perror(argv[2]), 1);
}
