/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files that emit entry points. An entry is four layers of functions:
 *
 *   <prefix>_<program>           checks the call, resolves pointers, shares samples among workers
 *   <prefix>_<program>.worker    one worker's slot machine
 *   <prefix>_<program>.<phase>   one phase over slots [lo, hi): its kernels in order
 *   <prefix>_<program>.take      deals the pieces of a kernel to the workers of a team
 *   kernels                      emitted by the walk and by claims
 *
 * Only the first is exported; the dot keeps the others apart from every C name. An object for
 * several CPUs has the lower three once for each: <prefix>_<program>.<cpu>.worker and so on.
 *
 * What a worker needs to know travels in one record, `Run`: the entry fills it on its stack and
 * each worker completes a copy on its own. Records of the ABI are LLVM structs, laid out by the
 * target. */
#ifndef ADJ_TARGETS_LLVM_ENTRY_H
#define ADJ_TARGETS_LLVM_ENTRY_H

#include "ib.h"
#include "targets/targets.h"

/* Members of AdjEnv, AdjCall and AdjStatus by position. */
enum {
    ENV_SIZE,
    ENV_WORKERS,
    ENV_USER,
    ENV_PARALLEL,
    ENV_LAUNCH,
    ENV_STREAM,
    ENV_TICK,
    ENV_TRACE,
    ENV_ALLREDUCE,
    ENV_IDLE
};
enum {
    CALL_SIZE,
    CALL_FLAGS,
    CALL_N,
    CALL_SEED,
    CALL_FIRST_ID,
    CALL_IDS,
    CALL_STEPS,
    CALL_HYPER_EACH,
    CALL_WEIGHTS,
    CALL_IO,
    CALL_HYPER,
    CALL_ARENA,
    CALL_ARENA_BYTES,
    CALL_STATUS
};
enum { STATUS_SIZE, STATUS_VARIANT, STATUS_FORWARDS, STATUS_BACKWARDS, STATUS_SAMPLES };

/* The head of the arena, shared by the workers of a call: atomics only. What a team has is in a
 * second cache line. */
enum {
    SHARED_NEXT,
    SHARED_FORWARDS,
    SHARED_BACKWARDS,
    SHARED_SAMPLES,
    SHARED_STOP,
    SHARED_CAME, /* i32: workers of the team that have come */
    SHARED_PAD,
    SHARED_TURN,  /* i64: the kernel that is run << 32 | its next piece */
    SHARED_ORDER, /* i64: the leader's */
    SHARED_DONE   /* i32: pieces that are done */
};

/* The Run record. io and hyper are arrays; strides are bytes a sample. */
enum {
    RUN_USER,
    RUN_TICK,
    RUN_TRACE,
    RUN_IDLE,
    RUN_SHARED, /* the arena's head */
    RUN_ARENA,  /* memory of the machine: the worker's, or its team's */
    RUN_OWN,    /* what is the worker's alone */
    RUN_WEIGHTS,
    RUN_IDS,
    RUN_SEED,
    RUN_N,
    RUN_FIRST_ID,
    RUN_USED, /* slots each worker uses */
    RUN_STEPS,
    RUN_FLAGS,
    RUN_TEAM, /* i32: workers of the team; 0: each worker has a machine of its own */
    RUN_CALL, /* i32: kernels run before the phase at hand */
    RUN_IO,
    RUN_IO_STRIDE,
    RUN_HYPER,
    RUN_HYPER_STRIDE,
    RUN_ALLREDUCE /* only of programs that sum over ranks */
};

/* Why a call stopped: env->tick said so; env->allreduce failed. */
enum { STOP_NOT, STOP_TICK, STOP_FAILED };

enum { PHASE_INIT, PHASE_STEP, PHASE_JUDGE, PHASE_FINISH, PHASES }; /* numbers env->trace knows */

typedef struct EntryGen {
    Ib ib;
    const Variant *variant;
    int nvariant;
    const Module
        *m; /* these three: of the variant being emitted, of the first for what is shared */
    const Target *target;
    LLVMValueRef *kernel_fns;
    LLVMTypeRef env_t, call_t, status_t, shared_t;
    LLVMValueRef pick_fn; /* i32 (i32 known): which variant is run, or -1; NULL: the only one */
    LLVMValueRef weights; /* the embedded blob; NULL: comes with the call, or there is none */
    /* the program being emitted */
    const Program *p;
    const char *stem;  /* <prefix>_<program>, a C identifier */
    const char *inner; /* of the functions below the entry: the stem, and the variant's CPU */
    LLVMTypeRef run_t;
    LLVMTypeRef phase_t, worker_t; /* void (run, lo, hi) and void (run, worker) */
    LLVMValueRef phase_fn[PHASES]; /* NULL: the phase is empty */
    bool teams; /* workers may share kernels of this program, whatever the variant */
    LLVMTypeRef take_t;
    LLVMValueRef take_fn;
    LLVMValueRef worker_fn[MAX_VARIANTS];
} EntryGen;

typedef struct EntryFn { /* the entry function being emitted */
    EntryGen *g;
    Ib *ib;
    const Program *p;
    LLVMValueRef env, call, status; /* never NULL: stand-ins replace what the caller left out */
    LLVMValueRef run;               /* the Run record on this stack */
    LLVMValueRef io, hyper;         /* arrays of pointers */
    LLVMValueRef n, workers, team, arena, shared;
    LLVMValueRef worker_fn;      /* of the variant that is run */
    LLVMValueRef known, variant; /* i32: what the caller says, from 1 on; what is run, from 0 on */
} EntryFn;

/* entry_call.c */
void entry_check(EntryFn *);
void entry_fill_run(EntryFn *);
LLVMValueRef entry_env(EntryFn *, int field);
void entry_fail_if(EntryFn *, LLVMValueRef, int code);

/* entry_cpu.c */
LLVMValueRef entry_cpu_pick(EntryGen *);
/* The function itself must run on any machine of the triple, for it runs before the check. */
void entry_baseline(EntryGen *, LLVMValueRef fn);

/* entry_phase.c */
void entry_phases(EntryGen *);
/* Item i of an array member of Run, and its address. */
LLVMValueRef run_item(EntryGen *, LLVMValueRef run, int field, LLVMTypeRef, int i);
LLVMValueRef run_item_at(EntryGen *, LLVMValueRef run, int field, LLVMTypeRef, int i);
int64_t entry_io_bytes(const ProgIO *); /* of one sample */
LLVMValueRef entry_buffer(EntryGen *, LLVMValueRef run, const Buffer *);

/* entry_ranks.c: behind a call whose result is a sum over ranks. A turn of the team's, as a kernel
 * is; number: of the turn. */
void entry_sum_ranks(EntryGen *, LLVMValueRef run, const Call *, int number);
int phase_turns(const Phase *); /* kernels and sums over ranks */

/* entry_worker.c */
LLVMValueRef entry_worker(EntryGen *);
void entry_zero_halos(EntryGen *, LLVMValueRef run); /* of the machine at RUN_ARENA */

/* entry_loop.c: the slot machine, from the first sample to the last, in the worker's function. */
void entry_slots(EntryGen *, LLVMValueRef run);

/* entry_team.c: one machine, its kernels shared. */
typedef struct TeamShare { /* how a call's kernel may be divided */
    int64_t pieces, least;
    bool by_samples;
    int64_t least_samples;
    bool evenly; /* pieces in equal portions, one a worker */
} TeamShare;
typedef struct TeamLoop { /* what a worker takes of a kernel, turn by turn */
    EntryGen *g;
    IbLoop loop;
    IbVar range;
    LLVMValueRef by_samples, lo, hi, from, to; /* of this turn */
} TeamLoop;
TeamShare team_share(const Kernel *, const Call *);
bool team_pays(const Module *, const Program *); /* some kernel is worth sharing */
void team_open(EntryGen *);                      /* before the program's phases */
TeamLoop team_begin(EntryGen *, LLVMValueRef run, int call, const TeamShare *, LLVMValueRef lo,
                    LLVMValueRef hi);
void team_end(TeamLoop *);
/* The leader's, around the call of a phase and at the end. */
void team_order(EntryGen *, LLVMValueRef run, int phase, LLVMValueRef lo, LLVMValueRef hi);
void team_ordered(EntryGen *, LLVMValueRef run, const Phase *);
void team_dismiss(EntryGen *, LLVMValueRef run);
LLVMValueRef team_leads(EntryGen *, LLVMValueRef run); /* i1: this worker runs a machine */
void team_follow(EntryGen *, LLVMValueRef run);        /* the others', until they are dismissed */

/* entry_data.c */
LLVMValueRef entry_hyper_default(EntryGen *, int k); /* address of the default value */
void entry_model(EntryGen *, LLVMValueRef *entry_fns);
LLVMValueRef entry_constant(EntryGen *, LLVMValueRef value, const char *name); /* private */

/* entry.c: a function below the entry, compiled for the variant's CPU. */
LLVMValueRef entry_inner(EntryGen *, const char *name, LLVMTypeRef);

#endif
