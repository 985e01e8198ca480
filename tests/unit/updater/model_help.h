/* Models for tests of typed deltas: made of integers alone, so that they are
 * the same on every machine. */
#ifndef FLOTILLA_TEST_MODEL_HELP_H
#define FLOTILLA_TEST_MODEL_HELP_H

#include "delta_help.h"

/* Types that typed deltas know, by id. */
extern const uint32_t model_types[15];
#define MODEL_TYPES 15

struct model_tensor {
    const char *name;
    uint32_t type;
    uint64_t columns;
    uint64_t rows;
    const uint8_t *data;
};
uint64_t model_tensor_bytes(const struct model_tensor *tensor);
/* A GGUF file with the tensors and a text; the caller frees its data. */
struct bytes model_of(const struct model_tensor *tensors, size_t count, const char *text);

/* Weights of a type that a trainer might have made. */
void weights_fill(uint32_t type, uint8_t *data, uint64_t values, uint32_t seed);
/* A small update of them: about one number in `one_in` moves a little. */
void weights_move(uint32_t type, uint8_t *data, uint64_t values, uint32_t seed, uint32_t one_in);

#endif
