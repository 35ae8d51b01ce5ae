/* SPDX-License-Identifier: Apache-2.0 */
/* Double backprop on a trained network, as a graph with nothing in it but table rows:
 *
 *   loss = mean CE + 1000 mean |ds/dx|^2 over N, C, H, W
 *
 * s a picked logit or, where `tandem` is 1, z_y minus the largest other (Woods, Chen, Teuscher 2019);
 * batch normalisation with running statistics (eval) or those of the batch (train). And the stored
 * references of it. */
#ifndef ADJ_TESTS_LIPSCHITZ_CASE_H
#define ADJ_TESTS_LIPSCHITZ_CASE_H

#include "compiler/onnx.h"
#include "e2e.h"

enum { CASE_IMAGES = 8, CASE_PIXELS = 3 * 32 * 32 };

typedef struct Case {
    const char *net, *mode; /* eval or train */
    DType dtype;
    Arena *a;
    Graph *g;
    OnnxParams params;
    Ref x, y, pick, tandem; /* inputs, beside the weights */
    Ref ce, penalty, input_grad;
    Ref *wrt, *dloss; /* by params: the weight, the gradient of the loss in it */
} Case;

void case_open(Case *, const char *net, const char *mode, DType);
void case_close(Case *);

NpyArray case_golden(const Case *, const char *what);
double *case_pixels(const Case *); /* heap */
void case_flags(const Case *, uint8_t *tandem);
void case_scalars(const Case *, double *ce, double *penalty);
int case_weight(const Case *, const char *name); /* its place in params, or -1 */

/* The norms that the reference lists, against get(of, place in params). */
typedef double CaseGet(const void *of, int place);
typedef struct CaseNorms {
    double worst; /* relative */
    int compared;
} CaseNorms;
CaseNorms case_norms(const Case *, CaseGet *, const void *of);

#endif
