/* Typed-delta model: which parts can be predicted, and the entry points; see
 * model.h. */
#include "updater/delta/tensor/contexts.h"

#include <stdlib.h>
#include <string.h>

bool flo_tensor_part_is_sound(const struct block_type *old_type, const struct block_type *new_type,
                              uint64_t values, uint32_t columns)
{
    if (old_type == NULL || new_type == NULL || values == 0 || columns == 0 ||
        values % old_type->values != 0 || values % new_type->values != 0) {
        return false;
    }
    /* Integers cannot be predicted from another type without their scales. */
    if ((old_type->is_float == BLOCK_INTEGERS || new_type->is_float == BLOCK_INTEGERS) &&
        old_type != new_type) {
        return false;
    }
    /* A run of codes never crosses the end of a row. */
    return new_type->is_float != BLOCK_CODES || columns % new_type->values == 0;
}

uint64_t flo_tensor_bytes(const struct block_type *type, uint64_t values)
{
    return values / type->values * type->bytes;
}

struct tensor_model *flo_tensor_model_new(void)
{
    return malloc(sizeof(struct tensor_model));
}

void flo_tensor_model_free(struct tensor_model *model)
{
    free(model);
}

void flo_tensor_model_reset(struct tensor_model *model)
{
    slot_t *slots = (slot_t *)(void *)&model->slots;

    for (size_t i = 0; i < sizeof model->slots / sizeof *slots; i++) {
        slots[i] = SLOT_FRESH;
    }
    model->step_mean = 0;
    model->same_history = 0;
    model->last_bits[0] = 0;
    model->last_bits[1] = 0;
    model->directions.seen[0] = 0;
    model->directions.seen[1] = 0;
}

bool flo_tensor_part_can_follow(const struct tensor_part *part)
{
    return part->old_type == part->new_type &&
           (part->new_type->is_float == BLOCK_F16 || part->new_type->is_float == BLOCK_BF16) &&
           part->columns % GROUP_VALUES == 0 && part->columns <= DIRECTION_COLUMNS_MAX;
}

bool flo_tensor_follows_well(const struct tensor_model *model)
{
    return flo_directions_foresee(&model->directions);
}

/* Encoder and decoder for each kind of values. */
typedef bool tensor_code_fn(struct tensor_model *model, struct range_coder *coder,
                            const struct tensor_part *part, uint8_t *fresh);
static const struct {
    tensor_code_fn *encode;
    tensor_code_fn *decode;
} ways[] = {
    [BLOCK_CODES] = {flo_tensor_codes_encode, flo_tensor_codes_decode},
    [BLOCK_F16] = {flo_tensor_floats_encode, flo_tensor_floats_decode},
    [BLOCK_BF16] = {flo_tensor_floats_encode, flo_tensor_floats_decode},
    [BLOCK_F32] = {flo_tensor_floats_encode, flo_tensor_floats_decode},
    [BLOCK_INTEGERS] = {flo_tensor_integers_encode, flo_tensor_integers_decode},
};

bool flo_tensor_encode(struct tensor_model *model, struct range_coder *coder,
                       const struct tensor_part *part, const uint8_t *fresh)
{
    /* The encoder only reads the bytes, so the const is dropped. */
    uint8_t *bytes;

    memcpy(&bytes, &fresh, sizeof bytes);
    return ways[part->new_type->is_float].encode(model, coder, part, bytes);
}

bool flo_tensor_decode(struct tensor_model *model, struct range_coder *coder,
                       const struct tensor_part *part, uint8_t *fresh)
{
    return ways[part->new_type->is_float].decode(model, coder, part, fresh);
}
