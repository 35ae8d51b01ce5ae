/* SPDX-License-Identifier: Apache-2.0 */
/* A shared library by hand that looks like a compiled model, and one of a future ABI. */
#include "runtime/adjoint_abi.h"

static int run(const AdjEnv *env, const AdjCall *call)
{
    (void)env;
    return call->n == 7 ? ADJ_OK : ADJ_BAD_CALL;
}

static const AdjTensor io[] = {{"x", ADJ_F32, 3, {3, 32, 32}, 0, 0}, {"y", ADJ_I64, 0, {0}, 1, 1}};
static const AdjHyper hyper[] = {{"eps", ADJ_F64, 0, 0.1, 0, 1}};

static const AdjEntry entry[] = {{"forward", run, io, 0, 2, 0, 8, 0, 128, 4096, 0},
                                 {"pgd-linf", run, io, hyper, 2, 1, 8, 1, 128, UINT64_MAX / 2, 0}};

__attribute__((visibility("default")))
const AdjModel fake_model = {ADJ_ABI_VERSION, 2, "fake.onnx", "x86-64", "generic", entry, 0, 42};

__attribute__((visibility("default")))
const AdjModel later_model = {ADJ_ABI_VERSION + 1, 0, "later.onnx", "x86-64", "generic", 0, 0, 0};
