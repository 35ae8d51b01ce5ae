/* SPDX-License-Identifier: Apache-2.0 */
/* The firmware: a classifier of grey 28 x 28 images. It has no state but its working memory. */
#ifndef DEVICE_H
#define DEVICE_H

#include <stdint.h>

enum { DEVICE_PIXELS = 28 * 28, DEVICE_CLASSES = 10 };

/* The class of an image, 0 white to 255 black; negative: a code of adjoint_abi.h. */
int device_classify(const uint8_t pixels[DEVICE_PIXELS]);

/* Bytes known when the firmware is built. */
typedef struct DeviceMemory {
    uint32_t arena; /* working memory of the model, static */
    uint32_t stack; /* below the caller of the model */
    uint32_t io;    /* input and output, static */
} DeviceMemory;
extern const DeviceMemory device_memory;

#endif
