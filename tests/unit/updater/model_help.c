/* See model_help.h. */
#include "model_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/gguf/gguf.h"
#include "base/quant/quant.h"
#include "updater/delta/tensor/blocks.h"

const uint32_t model_types[MODEL_TYPES] = {
    FLO_QUANT_F32,  FLO_QUANT_F16,  FLO_QUANT_BF16, FLO_QUANT_Q4_0,   FLO_QUANT_Q4_1,
    FLO_QUANT_Q5_0, FLO_QUANT_Q5_1, FLO_QUANT_Q8_0, FLO_QUANT_Q2_K,   FLO_QUANT_Q3_K,
    FLO_QUANT_Q4_K, FLO_QUANT_Q5_K, FLO_QUANT_Q6_K, FLO_QUANT_IQ4_NL, FLO_QUANT_IQ4_XS};

uint64_t model_tensor_bytes(const struct model_tensor *tensor)
{
    return flo_quant_bytes(flo_quant_type(tensor->type), (size_t)(tensor->columns * tensor->rows));
}

struct giving {
    const struct model_tensor *tensors;
    size_t count;
};

static int give(void *context, const struct flo_gguf_tensor *tensor, const void **data,
                struct flo_err *err)
{
    const struct giving *giving = context;

    (void)err;
    for (size_t i = 0; i < giving->count; i++) {
        if (strcmp(giving->tensors[i].name, tensor->name) == 0) {
            *data = giving->tensors[i].data;
        }
    }
    return 0;
}

struct bytes model_of(const struct model_tensor *tensors, size_t count, const char *text)
{
    struct giving giving = {tensors, count};
    struct flo_gguf_tensor *list = calloc(count + 1, sizeof *list);
    const struct flo_gguf_edit keys[] = {
        {.key = "general.architecture", .type = FLO_GGUF_STRING, .text = "llama", .is_set = true},
        {.key = "tokenizer.chat_template", .type = FLO_GGUF_STRING, .text = text, .is_set = true},
    };
    struct flo_err err = {0};
    struct bytes file = {0};
    int fd = memfd_create("model", MFD_CLOEXEC);

    for (size_t i = 0; i < count; i++) {
        (void)snprintf(list[i].name, sizeof list[i].name, "%s", tensors[i].name);
        list[i].dim_count = 2;
        list[i].dims[0] = tensors[i].columns;
        list[i].dims[1] = tensors[i].rows;
        list[i].dims[2] = 1;
        list[i].dims[3] = 1;
        list[i].values = tensors[i].columns * tensors[i].rows;
        list[i].type = tensors[i].type;
        list[i].bytes = model_tensor_bytes(&tensors[i]);
    }
    assert_int_equal(flo_gguf_create(list, count, keys, FLO_COUNT(keys), give, &giving, fd, &err),
                     0);
    free(list);
    file.bytes = (size_t)lseek(fd, 0, SEEK_END);
    file.data = malloc(file.bytes);
    assert_int_equal(flo_fd_pread_all(fd, file.data, file.bytes, 0, &err), 0);
    (void)close(fd);
    return file;
}

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

void weights_fill(uint32_t type, uint8_t *data, uint64_t values, uint32_t seed)
{
    const struct block_type *layout = flo_block_type(type);
    uint64_t blocks = values / layout->values;

    fill(data, (size_t)(blocks * layout->bytes), seed);
    for (uint64_t i = 0; i < blocks; i++, data += layout->bytes) {
        uint32_t random = next(&seed);
        uint16_t half = (uint16_t)(0x2000 | (random & 0x83ff));
        if (layout->is_float == BLOCK_F32) {
            flo_put_u32(data, 0x3c000000u | (random & 0x3fffff) << 2 | random << 31);
        } else if (layout->is_float == BLOCK_BF16) {
            flo_put_u16(data, (uint16_t)(0x3c00 | (random & 0x80ff)));
        } else if (layout->is_float == BLOCK_F16) {
            flo_put_u16(data, half);
        } else {
            flo_put_u16(data + layout->d_at, half & 0x7fff);
            if (layout->offset != OFFSET_NONE) {
                flo_put_u16(data + layout->m_at, half ^ 0x8155);
            }
        }
    }
}

static uint8_t moved_code(const struct block_type *type, uint8_t code, uint32_t random)
{
    int most = (1 << type->code_bits) - 1;
    int next_code = code + ((random & 1) != 0 ? 1 : -1);

    return (uint8_t)(next_code < 0 ? 0 : next_code > most ? most : next_code);
}

void weights_move(uint32_t type, uint8_t *data, uint64_t values, uint32_t seed, uint32_t one_in)
{
    const struct block_type *layout = flo_block_type(type);
    uint64_t blocks = values / layout->values;

    for (uint64_t i = 0; i < blocks; i++, data += layout->bytes) {
        struct block block;
        if (layout->is_float != BLOCK_CODES) {
            if (next(&seed) % one_in == 0) {
                data[0] = (uint8_t)(data[0] ^ (next(&seed) & 3));
            }
            continue;
        }
        flo_block_unpack(layout, data, &block);
        if (next(&seed) % one_in == 0) {
            block.d = (uint16_t)(block.d + next(&seed) % 5);
        }
        for (size_t k = 0; k < layout->values; k++) {
            if (next(&seed) % one_in == 0) {
                block.codes[k] = moved_code(layout, block.codes[k], next(&seed) >> 4);
            }
        }
        flo_block_pack(layout, &block, data);
    }
}
