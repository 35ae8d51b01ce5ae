/* SPDX-License-Identifier: Apache-2.0 */
/* The compile API: from an ONNX file to an object, its header and its manifest, or to code loaded
 * in this process. Every function that can meet the user's mistakes returns false (or NULL) with
 * one line in AdjError; nothing is half-written. Not thread-safe for one AdjCompiled; independent
 * ones are. */
#ifndef ADJOINT_COMPILER_H
#define ADJOINT_COMPILER_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/adjoint_abi.h"

typedef struct AdjError {
    char msg[1024]; /* "file or node: what is wrong" */
} AdjError;

typedef struct AdjArray { /* a dense tensor, row-major, of an ABI element type */
    const char *name;
    int32_t dtype, rank;
    int64_t dim[8];
    void *data;
} AdjArray;

typedef enum AdjEmit {
    ADJ_EMIT_OBJ,
    ADJ_EMIT_LIB,
    ADJ_EMIT_SO,
    ADJ_EMIT_ASM,
    ADJ_EMIT_LLVM,
    ADJ_EMIT_IR,
    ADJ_EMIT_KERNELS,
    ADJ_EMIT_PTX
} AdjEmit;

/* What matrix tiles (AMX) multiply where the CPU has them: bf16; f32 too, in three parts of bf16;
 * nothing. */
enum { ADJ_TILES_BF16, ADJ_TILES_F32, ADJ_TILES_OFF };

typedef struct AdjOptions {
    const char *model;   /* ONNX file */
    const char *entries; /* "forward,gradient,pgd-linf"; NULL: forward */
    const char *prefix;  /* C identifier of exported symbols; NULL: from the file name */
    const char *target;  /* triple; NULL: this machine */
    const char *cpu;     /* CPU row; NULL: this machine's, or the target's baseline */
    int64_t max_arena;   /* bytes, of one worker; 0: any. What is short is computed again instead */
    int64_t batch;       /* slots a worker; 0: 8; -1: the file's own shape, no proof needed */
    const char *dims;    /* extents of symbolic dimensions: "H=224,W=224", "x.2=224"; or NULL */
    const char *layer;   /* ONNX node of entry grad-cam; NULL: the last convolution */
    const char *train;   /* parts of a step of training: "attack=pgd-linf,loss=trades"; or NULL */
    int nconsts;         /* inputs of the file that are given a constant and are no inputs then */
    const AdjArray *consts; /* read during adj_compile only */
    int32_t eot; /* gradients whose mean a step of an attack takes, as the default of its parameter
                    `eot`; 0: the attack has no such parameter and takes each gradient as it is */
    bool f64;    /* --precision f64 */
    bool bf16;   /* --precision bf16: what convolutions and matrix products read */
    bool weights_file; /* --weights file: constants beside the object */
    bool no_winograd;  /* direct convolutions only */
    int tiles;         /* matrix tiles (AMX): ADJ_TILES_ above */
    bool no_depth;     /* each kernel for all slots before the next */
    double max_error;  /* largest error that a form of Winograd, or f32 in parts of bf16, may have,
                          in units of the largest result of its kernel, next to 5e-7 or so of a
                          direct sum; 0: any */
    bool generic;      /* no claims: every kernel by the generic lowering */
    bool trace;        /* call env->trace after every kernel */
    /* Lines that say how convolutions are run (docs/targets.md), and what messages call their
     * file; NULL: none. They go before those that come with the compiler, which no_measured leaves
     * out. */
    const char *schedule, *schedule_name;
    bool no_measured;
    /* Preprocessing in front of the model: its input = (pixel * scale - mean) / std a channel. */
    int nmean, nstd;
    double mean[4], std[4], scale; /* scale 0: 1 */
    bool nhwc;                     /* the model wants NHWC */
    const char *print_after;       /* a stage's name: its graph goes to stderr; NULL: none */
} AdjOptions;

typedef struct AdjCompiled AdjCompiled;
AdjCompiled *adj_compile(const AdjOptions *, AdjError *);
void adj_compiled_free(AdjCompiled *);

/* A file of one serialized ONNX tensor (input_0.pb). The caller frees out->data; no name is set. */
bool adj_read_tensor(const char *path, AdjArray *out, AdjError *);

/* Writes <out>.o (or as emit says), <out>.h, <out>.json, and <out>.weights for weights_file; ends
 * in .a .so .s .ll .ir .kernels .ptx by kind. All or nothing: files appear by renaming. */
bool adj_write(AdjCompiled *, const char *out, AdjEmit, AdjError *);

/* Writes the weights of `model`, an ONNX file, to `out`, in the layout of the model compiled with
 * weights_file whose manifest is given. False, and no file, if their structures differ. Inputs that
 * were given constants (consts) are not known to the manifest: such models are refused. */
bool adj_pack(const char *manifest, const char *model, const char *out, AdjError *);

/* The same object bytes, loaded here. Valid until adj_compiled_free. */
const AdjModel *adj_load_here(AdjCompiled *, AdjError *);
/* What code that is loaded here is called with; NULL if embedded. */
const void *adj_weights(const AdjCompiled *, uint64_t *bytes);

/* Compiled against the evaluator on n samples. */
typedef struct AdjVerify {
    int64_t kernels, values; /* compared */
    double worst;            /* |compiled - evaluator| / max(1, |value|max) of the value that is
                                  worst against its own tolerance, which follows */
    char where[256];         /* ONNX nodes of the worst kernel */
    char program[64];
    double tolerance; /* a kernel that sums K products is allowed K units of rounding */
    int64_t failed;   /* values beyond their tolerance: 0 is a pass */
} AdjVerify;
typedef void AdjVerifyRow(void *user, const char *program, int kernel, const char *name,
                          const char *nodes, double difference);
typedef struct AdjSamples { /* of one input of a program */
    const char *name;
    const void *data; /* n samples: double for a float input, int64_t for another */
} AdjSamples;
/* in: of the inputs, "x" NCHW pixels; float inputs that are not named get those of "x", others
 * those of "y", or zeros. each: after every fused kernel, reported to row (may be NULL); needs a
 * model compiled with `trace`. Otherwise only the outputs of each entry. */
bool adj_verify(AdjCompiled *, const AdjSamples *in, int nin, int64_t n, bool each,
                AdjVerifyRow *row, void *user, AdjVerify *result, AdjError *);
/* The file's name of an entry's tensor ("x", "logits"); NULL for one that is not the model's. */
const char *adj_file_name(const AdjCompiled *, const char *tensor);

/* ---- training ---- */

/* What a step of training is put together of: rows of programs/train_parts.def. A row without a
 * name opens a kind; the first part of a kind is the default. Returns the number of rows. */
typedef struct AdjTrainPart {
    const char *kind, *name, *help;
} AdjTrainPart;
int adj_train_parts(const AdjTrainPart **);

/* Parameters and running statistics of the entries train-..., each kind in one vector. Those of
 * rank 2 and up come first: `decayed` elements of `params`. Of a model compiled with such an
 * entry. */
typedef struct AdjTrainTensor {
    const char *name; /* of the ONNX initializer */
    int64_t offset, count;
    int32_t rank, statistic; /* 1: of the running statistics; 0: of the parameters */
    int64_t dim[8];
} AdjTrainTensor;
typedef struct AdjTrain {
    int n;
    const AdjTrainTensor *tensor; /* lives with the model */
    int64_t params, decayed, stats;
} AdjTrain;
bool adj_train(AdjCompiled *, AdjTrain *out, AdjError *);
/* The file's values, in the element type of the entry. */
bool adj_train_start(AdjCompiled *, void *params, void *stats, AdjError *);
/* The model with these values, as an ONNX file; its batch normalisations stay nodes. */
bool adj_train_save(AdjCompiled *, const void *params, const void *stats, const char *path,
                    AdjError *);

/* The first value of a batch that is not finite, of its logits, cross-entropy and gradient by the
 * evaluator: the ONNX node that it is of, "" if there is none. Takes as long as the evaluator. */
typedef struct AdjTrainPoint { /* in the element type of the entry */
    const void *x, *params;
    const int64_t *y;
} AdjTrainPoint;
bool adj_train_blame(AdjCompiled *, const AdjTrainPoint *, char *node, size_t size, AdjError *);

/* The model as it is before training, as a file; the head of onnx_restart.c says how. */
typedef struct AdjRestart {
    bool half_huber; /* the half-Huber ReLU for each ReLU */
    bool init;       /* fresh weights, drawn by `seed` */
    bool zero_last;  /* the last convolution of each residual block is 0 */
    uint64_t seed;
} AdjRestart;
bool adj_restart(const char *model, const AdjRestart *, const char *path, AdjError *);

/* A new residual network as an ONNX file; the head of onnx_resnet.c says which. */
typedef struct AdjResnet {
    int depth;         /* 2 and a multiple of 2 nstage */
    int nstage;        /* at least 1 */
    int64_t widths[8]; /* channels of each stage, all above 0 */
    bool preact;       /* norm and activation before the convolutions, not behind them */
    bool half_huber;   /* the half-Huber ReLU instead of ReLU */
    bool zero_last;    /* the last convolution of each block starts at 0 */
    int64_t classes, channels, height, width;
    uint64_t seed;
    int nmean, nstd; /* 0, 1 or channels: the network begins with (x - mean) / std */
    double mean[4], std[4];
} AdjResnet;
bool adj_new_resnet(const AdjResnet *, const char *path, AdjError *);

/* Facts for inspect and the manifest, as JSON text on the heap (free it). */
char *adj_inspect_json(AdjCompiled *, AdjError *);
/* The model's ONNX nodes as a Graphviz graph on the heap: boxes are nodes with their
 * multiply-adds a sample, edges are tensors with their type. */
char *adj_inspect_dot(AdjCompiled *, AdjError *);
/* Bytes of packed weights by what reads them, alignment not counted: the number of rows, or -1. */
typedef struct AdjPacked {
    const char *face; /* "conv", "conv_dx"; "other": biases, matrices and all else */
    const char *by;   /* "winograd", "tapconv", "dxplanar" (direct), "generic"; "" for other */
    int64_t bytes;
} AdjPacked;
enum { ADJ_PACKED_ROWS = 32 };
int adj_packed(AdjCompiled *, AdjPacked row[ADJ_PACKED_ROWS], AdjError *);
/* The schedule that was used, as lines that AdjOptions.schedule takes: one for each convolution
 * that was compiled for each CPU. On the heap; NULL: error. */
char *adj_schedule(AdjCompiled *, AdjError *);
/* What to say of lines of AdjOptions.schedule that are for none of its layers, a line each, "" if
 * all are used. On the heap. */
char *adj_schedule_unused(AdjCompiled *, AdjError *);
/* Seconds spent in import, passes, lowering, code generation. */
typedef struct AdjTimes {
    double import, passes, lower, emit;
} AdjTimes;
AdjTimes adj_times(const AdjCompiled *);

#endif
