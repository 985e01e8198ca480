/* Finite search: finds NaN and infinity in a model's bytes; see finite.h.
 *
 * A model may pass its golden prompts (test cases) although a weight is NaN.
 * So each update is searched before it is staged, in the same pass as its hash.
 * A float is not finite when its exponent bits are all ones.  Then adding one
 * at the lowest exponent bit carries out of the field.  Plain floats are tested
 * eight bytes at a time with integers.  In block types only the scales can be
 * broken, one or two f16 per block.  After a hit the same bytes are searched
 * again for the exact element. */
#include "base/finite/finite.h"

#include <inttypes.h>
#include <string.h>

#include "base/quant/quant.h"

#define BLOCK_BYTES_MAX 512

/* Bit masks for the floats in eight bytes: their exponent fields, the lowest
 * bit of each field, and the bit that a carry out of it sets. */
struct float_masks {
    uint64_t exponents, lowest, carries;
};
#define MASKS(each, exponents, lowest, carries)                                                    \
    {                                                                                              \
        (each) * (uint64_t)(exponents), (each) * (uint64_t)(lowest), (each) * (uint64_t)(carries)  \
    }
#define BYTES 0x0101010101010101u
#define HALVES 0x0001000100010001u
#define WORDS 0x0000000100000001u
static const struct float_masks plain[] = {
    [FLO_QUANT_FLOATS_F16] = MASKS(HALVES, 0x7c00, 0x0400, 0x8000),
    [FLO_QUANT_FLOATS_BF16] = MASKS(HALVES, 0x7f80, 0x0080, 0x8000),
    [FLO_QUANT_FLOATS_F32] = MASKS(WORDS, 0x7f800000, 0x00800000, 0x80000000),
    [FLO_QUANT_FLOATS_F64] = MASKS(1, 0x7ff0000000000000, 0x0010000000000000, 0x8000000000000000),
    [FLO_QUANT_FLOATS_F8_E5M2] = MASKS(BYTES, 0x7c, 0x04, 0x80),
    /* a type without infinity: its only NaN has all bits one, except the
     * sign */
    [FLO_QUANT_FLOATS_F8_E4M3] = MASKS(BYTES, 0x7f, 0x01, 0x80),
};

static bool floats_broken(const struct float_masks *masks, const uint8_t *data, size_t bytes)
{
    uint64_t field = masks->exponents, lowest = masks->lowest;
    uint64_t hits[4] = {0};
    size_t i = 0;
    for (; i + 32 <= bytes; i += 32) {
        uint64_t words[4];
        memcpy(words, data + i, sizeof(words));
        for (int k = 0; k < 4; k++) {
            hits[k] |= (words[k] & field) + lowest;
        }
    }
    for (; i < bytes; i += 8) {
        uint64_t word = 0;
        memcpy(&word, data + i, bytes - i < 8 ? bytes - i : 8);
        hits[0] |= (word & field) + lowest;
    }
    return ((hits[0] | hits[1] | hits[2] | hits[3]) & masks->carries) != 0;
}

static bool scales_broken(const struct flo_quant_type *type, const uint8_t *data, size_t blocks)
{
    uint32_t hits = 0;
    size_t stride = type->block_bytes;
    const uint8_t *first = data + type->scale_offset[0];
    const uint8_t *second = data + type->scale_offset[type->scale_count > 1 ? 1 : 0];
    for (size_t i = 0; i < blocks; i++) {
        uint16_t d;
        uint16_t m;
        memcpy(&d, first + i * stride, sizeof(d));
        memcpy(&m, second + i * stride, sizeof(m));
        hits |= (d & 0x7c00u) + 0x0400u;
        hits |= (m & 0x7c00u) + 0x0400u;
    }
    return (hits & 0x8000u) != 0;
}

static bool e8m0_broken(const struct flo_quant_type *type, const uint8_t *data, size_t blocks)
{
    bool is_hit = false;
    for (size_t i = 0; i < blocks; i++) {
        is_hit |= data[i * type->block_bytes + type->scale_offset[0]] == 0xff;
    }
    return is_hit;
}

static bool iq1_m_broken(const uint8_t *data, size_t blocks)
{
    bool is_hit = false;
    for (size_t i = 0; i < blocks; i++) {
        struct flo_block_iq1_m block;
        memcpy(&block, data + i * sizeof(block), sizeof(block));
        is_hit |= (flo_quant_iq1_m_d(&block) & 0x7c00u) == 0x7c00u;
    }
    return is_hit;
}

static bool is_broken(const struct flo_quant_type *type, const uint8_t *data, size_t blocks)
{
    switch ((enum flo_quant_floats)type->floats) {
    case FLO_QUANT_FLOATS_F16:
        if (type->scale_count > 0) {
            return scales_broken(type, data, blocks);
        }
        /* fall through */
    case FLO_QUANT_FLOATS_BF16:
    case FLO_QUANT_FLOATS_F32:
    case FLO_QUANT_FLOATS_F64:
    case FLO_QUANT_FLOATS_F8_E5M2:
    case FLO_QUANT_FLOATS_F8_E4M3:
        return floats_broken(&plain[type->floats], data, blocks * type->block_bytes);
    case FLO_QUANT_FLOATS_E8M0:
        return e8m0_broken(type, data, blocks);
    case FLO_QUANT_FLOATS_IQ1_M:
        return iq1_m_broken(data, blocks);
    case FLO_QUANT_FLOATS_NONE:
        break;
    }
    return false;
}

/* Tests whole blocks, of which the first has the index `index` in the
 * tensor. */
static int test_blocks(const struct flo_finite_tensor *tensor, uint64_t index, const uint8_t *data,
                       size_t blocks, struct flo_err *err)
{
    const struct flo_quant_type *type = tensor->type;
    if (!is_broken(type, data, blocks)) {
        return 0;
    }
    size_t i = 0;
    while (!is_broken(type, data + i * type->block_bytes, 1)) {
        i++;
    }
    return flo_fail(err, FLO_E_MODEL_NONFINITE,
                    "tensor '%.128s' (%s): %s %" PRIu64 " of %" PRIu64 " is NaN or infinite",
                    tensor->name, type->name,
                    type->scale_count > 0 ? "the scale of block" : "element", index + i,
                    tensor->bytes / type->block_bytes);
}

/* Tests at most `bytes` bytes of the present tensor, which begin at
 * scan->position. */
static int scan_tensor(struct flo_finite *scan, const struct flo_finite_tensor *tensor,
                       const uint8_t *data, size_t bytes, struct flo_err *err)
{
    size_t block = tensor->type->block_bytes;
    uint64_t done = scan->position - tensor->offset - scan->carry_bytes;
    int rv = 0;

    if (scan->carry_bytes > 0) {
        size_t need = block - scan->carry_bytes;
        size_t some = need < bytes ? need : bytes;
        memcpy(scan->carry + scan->carry_bytes, data, some);
        scan->carry_bytes += some;
        if (scan->carry_bytes < block) {
            return 0;
        }
        rv = test_blocks(tensor, done / block, scan->carry, 1, err);
        scan->carry_bytes = 0;
        data += some;
        bytes -= some;
        done += block;
    }
    if (rv == 0 && bytes >= block) {
        rv = test_blocks(tensor, done / block, data, bytes / block, err);
    }
    scan->carry_bytes = bytes % block;
    memcpy(scan->carry, data + bytes - scan->carry_bytes, scan->carry_bytes);
    return rv;
}

int flo_finite_add(struct flo_finite *scan, const void *data, size_t bytes, struct flo_err *err)
{
    struct flo_finite_tensor tensor;
    const uint8_t *at = data;
    uint64_t end = scan->position + bytes;

    while (scan->tensor_at(scan->file, scan->next, &tensor)) {
        uint64_t tensor_end = tensor.offset + tensor.bytes;
        uint64_t stop = tensor_end < end ? tensor_end : end;
        if (tensor.offset >= end) {
            break;
        }
        if (scan->position < tensor.offset) {
            at += tensor.offset - scan->position;
            scan->position = tensor.offset;
        }
        size_t some = (size_t)(stop - scan->position);
        FLO_TRY(scan_tensor(scan, &tensor, at, some, err));
        at += some;
        scan->position = stop;
        if (stop < tensor_end) {
            break;
        }
        scan->next++;
    }
    scan->position = end;
    return 0;
}

int flo_finite_finish(const struct flo_finite *scan, struct flo_err *err)
{
    struct flo_finite_tensor tensor;

    if (scan->tensor_at(scan->file, scan->next, &tensor) && tensor.bytes > 0) {
        return flo_fail(err, scan->cut,
                        "%" PRIu64 " bytes came; tensor '%.128s' needs %" PRIu64 " from %" PRIu64
                        " on",
                        scan->position, tensor.name, tensor.bytes, tensor.offset);
    }
    return 0;
}
