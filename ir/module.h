/* SPDX-License-Identifier: Apache-2.0 */
/* What passes hand to targets: kernels, buffers, and programs that call the kernels in order. A
 * program is a slot machine: each worker owns B slots; a free slot takes the next sample (init),
 * every running slot advances (step), a slot that is done is judged (judge) and writes its results
 * (finish). A plain forward or gradient is the same machine with one step and no init, judge,
 * finish. */
#ifndef ADJ_IR_MODULE_H
#define ADJ_IR_MODULE_H

#include "kernel.h"
#include "target.h"

typedef enum BufKind {
    BUF_CONST,  /* weights: at offset in the constant blob */
    BUF_IO,     /* caller's tensor io[index] of the program */
    BUF_HYPER,  /* caller's hyperparameter hyper[index]: one element a sample or one for all */
    BUF_SEED,   /* the call's seed: i64 scalar */
    BUF_STATE,  /* per slot, lives from init to finish: at offset in the worker's arena */
    BUF_TEMP,   /* lives between calls of one phase: at offset in the worker's arena */
    BUF_SCRATCH /* a claim's own while its kernel runs: at offset, each worker has its own */
} BufKind;

typedef struct Buffer {
    BufKind kind;
    DType dtype;
    Layout layout;
    int64_t dim[MAX_RANK]; /* BUF_STATE, BUF_TEMP with halo: extents of the tensor */
    bool sample;           /* axis 0 is the sample axis */
    int index;             /* BUF_IO, BUF_HYPER */
    int64_t bytes, offset;
    int chunk; /* BUF_TEMP: places (its layout's, too) that slots in turn take; 0: one a slot */
    const Const *value; /* BUF_CONST */
    bool definition;    /* BUF_CONST: read by definitions only, NULL in compiled code */
    const char *name;   /* for people: "Conv_12 (Conv)" or the state's name */
    int phase;          /* BUF_TEMP: 0 init, 1 step, 2 judge, 3 finish */
    int first, last;    /* BUF_TEMP: calls of its phase that write it first and use it last */
    int from, to;       /* BUF_TEMP: calls between which it keeps its place, these at least */
} Buffer;

typedef struct Call { /* one kernel run on buffers, over a range of slots */
    int kernel;
    int nbuf;
    const int *buf;     /* a buffer for each kernel parameter */
    const char *origin; /* ONNX nodes, for people */
    bool across;        /* then its one result is summed over ranks, in its place */
    /* This call and those behind it, `stretch` in all, run for `chunk` slots, then for the next, if
     * both are not 0: of the first one only. */
    int stretch, chunk;
    int nvalue; /* graph nodes it stores, in store order, all of them: verify compares these */
    const Ref *value;
    double macs;  /* multiply-adds a sample */
    double bytes; /* bytes read and written a sample */
} Call;

typedef struct Phase {
    const Graph *graph; /* NULL if the phase is empty */
    int ncall;
    Call *call;
} Phase;

typedef struct ProgIO {
    const char *name;
    DType dtype;
    int rank; /* of one sample */
    int64_t dim[MAX_RANK];
    bool output;
    int alias; /* input: a NULL pointer means io[alias]; -1: must be given. Outputs may be NULL */
    const char *help;
} ProgIO;

typedef struct ProgHyper {
    const char *name;
    DType dtype;
    double value, lo, hi; /* default and allowed range */
    const char *help;
} ProgHyper;

enum { MAX_IO = 40, MAX_HYPER = 32 };

typedef struct Program {
    const char *name; /* "forward", "gradient", "pgd-linf" */
    int nio, nhyper;
    ProgIO io[MAX_IO];
    ProgHyper hyper[MAX_HYPER];
    int slots;      /* B */
    int team_slots; /* that may go through all calls together: a chunk of slots, or B */
    Phase init, step, judge, finish;
    bool loop; /* runs call->steps steps a sample; false: exactly one */
    /* The samples of a batch depend on each other: n is a multiple of slots, and one machine takes
     * `slots` samples at a time; workers share its kernels, never samples. */
    bool whole;
    /* slot tables and states that the loop itself reads or writes; -1: absent */
    int buf_sample; /* i64[B]: index of the sample in the caller's arrays (always present) */
    int buf_id;     /* i64[B]: its identity for the generator */
    int buf_t;      /* i32[B]: steps taken */
    int buf_limit;  /* i32[B]: steps to take; init sets call->steps, step may lower it */
    int buf_done;   /* i32[B]: 0 go on, 1 judge, 2 finish at once; written by step */
    int nbuffer;
    uint32_t buffer_cap;
    Buffer *buffer;
    /* Offsets are into the memory of one machine. Its first main_bytes are what workers see
     * together when they share its kernels; the own_bytes behind are each worker's. */
    int64_t main_bytes, own_bytes;
    int64_t shared_bytes, worker_bytes; /* arena = shared + workers * worker; see program_arena */
    int64_t zero_offset, zero_bytes;    /* what has halos: zeroed once a call, or they alone */
    int64_t scratch_offset; /* where outputs nobody asked for go, of own_bytes: one sample's */
    /* the slot machine's own: i32[B] phase of each slot; behind it, if the program loops and has no
     * buf_t, i32[B] steps taken */
    int64_t phase_offset;
    /* what one of each counts in the status */
    int step_forwards, step_backwards, judge_forwards, finish_forwards, finish_backwards;
} Program;

/* The arena of a call: a head (targets/llvm/entry.h), then for each worker the memory of a machine;
 * or, where there is but one machine, its main part behind the head and own parts for the
 * workers. */
enum { ARENA_HEAD = 128 };
static inline void program_arena(Program *p)
{
    p->shared_bytes = ARENA_HEAD + (p->whole ? p->main_bytes : 0);
    p->worker_bytes = p->own_bytes + (p->whole ? 0 : p->main_bytes);
}

typedef struct ModConst { /* a constant in one packed layout, shared by all programs */
    const Const *value;
    Layout layout;
    int64_t offset, bytes;
    bool definition;      /* lies in Module.shadow: interpreters read it, the object has it not */
    const Target *target; /* packs it; NULL: by layout */
    const Contract *contract; /* with target */
    const Offer *offer;
} ModConst;

typedef struct Module {
    Arena *arena;
    const char *prefix; /* C identifier: exported symbol is <prefix>_model */
    const char *source; /* model file name, no folder */
    uint64_t hash;      /* of graph and options */
    DType precision;
    int nkernel;
    Kernel **kernel;
    const char **kernel_text; /* of each, without its name: finds equal ones */
    int nprogram;
    Program *program;
    bool embed; /* constants in the object; else from call->weights */
    bool trace; /* entries call env->trace after each call of a phase */
    uint32_t nconst, const_cap;
    ModConst *constant;
    uint32_t kernel_cap, program_cap;
    /* The blob: packed constants, each at a multiple of CONST_ALIGN. part: those in it, in its
     * order (variants of an object share one). */
    uint32_t npart;
    const ModConst **part;
    int64_t const_bytes, shadow_bytes;
    uint8_t *consts, *shadow; /* their bytes; NULL until module_hold */
} Module;

/* The bytes of the blob, for whoever wants them: with Winograd they are several times the model's
 * weights, so compiling never holds them all. const_pack writes c->bytes bytes. module_stream hands
 * the blob to `put` from its first byte to its last, one constant at a time; false as soon as put
 * is. module_fill writes it whole. module_hold keeps blob and shadow with the module, for
 * interpreters and for code that is called with its weights beside it. */
enum { CONST_ALIGN = 64 };
void const_pack(const ModConst *, void *to);
bool module_stream(const Module *, bool (*put)(void *user, const void *, size_t), void *user);
void module_fill(const Module *, uint8_t *to);
void module_hold(Module *);

/* Sums over ranks: does a program have any, and the buffer that a call leaves to be summed. */
bool program_across(const Program *);
const Buffer *call_across(const Module *, const Program *, const Call *);

void module_print(Str *, const Module *); /* programs, buffers, calls, kernels */
/* Runs a phase over slots [lo, hi) with the kernel interpreter; the module is held. io/hyper as in
 * the call, with strides. After each call of each chunk, on(user, call index) if not NULL. */
typedef struct PhaseMem {
    uint8_t *arena; /* main_bytes + own_bytes */
    void *const *io;
    const int64_t *io_stride;
    const void *const *hyper;
    const int64_t *hyper_stride;
    uint64_t seed;
} PhaseMem;
void module_eval_phase(const Module *, const Program *, const Phase *, const PhaseMem *, int64_t lo,
                       int64_t hi, void (*on)(void *, int), void *user);

#endif
