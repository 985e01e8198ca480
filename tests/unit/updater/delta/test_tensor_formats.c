/* Typed deltas of files that are no GGUF: safetensors and ONNX. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "formats.h"
#include "updater/delta/publish/onnx.h"

#define COLUMNS 256
#define ROWS 128
#define VALUES (COLUMNS * ROWS)

/* Two matrices of a type, and the same after a small update. */
struct weights {
    uint8_t *data[2][2];
    struct model_tensor tensors[2][2];
};

static struct weights weights_of(uint32_t type)
{
    static const char *const names[] = {"first.weight", "second.weight"};
    struct weights out;

    for (size_t k = 0; k < 2; k++) {
        for (unsigned side = 0; side < 2; side++) {
            struct model_tensor tensor = {names[k], type, COLUMNS, ROWS, NULL};
            uint8_t *data = malloc((size_t)model_tensor_bytes(&tensor));
            weights_fill(type, data, VALUES, (uint32_t)k + 5);
            if (side == 1) {
                weights_move(type, data, VALUES, (uint32_t)k + 50, 6);
            }
            tensor.data = data;
            out.data[side][k] = data;
            out.tensors[side][k] = tensor;
        }
    }
    return out;
}

static void weights_free(struct weights *weights)
{
    for (size_t i = 0; i < 4; i++) {
        free(weights->data[i / 2][i % 2]);
    }
}

/* Make a patch, apply it, compare; its bytes.  Frees both files. */
static size_t patch_bytes_of(struct bytes old, struct bytes new, const char *codec)
{
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err = {0};

    create_bytes(codec, old.data, old.bytes, new.data, new.bytes, &patch);
    assert_int_equal(apply_bytes(FLO_CODEC_TENSOR1, old.data, old.bytes, patch.data, patch.bytes,
                                 new.bytes, &out, &err),
                     0);
    assert_int_equal(out.bytes, new.bytes);
    assert_memory_equal(out.data, new.data, new.bytes);
    size_t bytes = patch.bytes;
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
    free(old.data);
    free(new.data);
    return bytes;
}

static void an_update_costs_the_same_in_each_format(void **state)
{
    (void)state;
    static const uint32_t types[] = {TYPE_BF16, TYPE_F16, TYPE_F32};

    for (size_t t = 0; t < FLO_COUNT(types); t++) {
        struct weights w = weights_of(types[t]);
        size_t gguf = patch_bytes_of(model_of(w.tensors[0], 2, "old"),
                                     model_of(w.tensors[1], 2, "new"), "auto");
        size_t safetensors = patch_bytes_of(safetensors_of(w.tensors[0], 2, "old"),
                                            safetensors_of(w.tensors[1], 2, "new"), "auto");

        assert_true(gguf < 2 * model_tensor_bytes(&w.tensors[0][0]) / 2);
        assert_true(safetensors <= gguf + gguf / 20);
        for (int way = ONNX_RAW; way < ONNX_EXTERNAL; way++) {
            if (way == ONNX_FLOATS && types[t] != TYPE_F32) {
                continue;
            }
            size_t onnx =
                patch_bytes_of(onnx_of(w.tensors[0], 2, "old", (enum onnx_way)way),
                               onnx_of(w.tensors[1], 2, "new", (enum onnx_way)way), "auto");
            assert_true(onnx <= gguf + gguf / 20);
        }
        weights_free(&w);
    }
}

static void another_format_of_the_same_names_pairs_as_well(void **state)
{
    (void)state;
    struct weights w = weights_of(TYPE_BF16);
    size_t bytes = 2 * (size_t)model_tensor_bytes(&w.tensors[0][0]);

    assert_true(patch_bytes_of(safetensors_of(w.tensors[0], 2, "old"),
                               model_of(w.tensors[1], 2, "new"), "tensor1") < bytes / 2);
    assert_true(patch_bytes_of(onnx_of(w.tensors[0], 2, "old", ONNX_RAW),
                               safetensors_of(w.tensors[1], 2, "new"), "tensor1") < bytes / 2);
    weights_free(&w);
}

static void values_in_another_file_are_left_out(void **state)
{
    (void)state;
    struct weights w = weights_of(TYPE_F32);
    struct bytes file = onnx_of(w.tensors[0], 2, "x", ONNX_EXTERNAL);
    struct onnx_tensor *tensors = NULL;
    size_t count = 7;

    assert_true(flo_onnx_tensors((const uint8_t *)file.data, file.bytes, &tensors, &count));

    assert_int_equal(count, 0);
    free(tensors);
    free(file.data);
    weights_free(&w);
}

static void ranges_are_where_the_values_lie(void **state)
{
    (void)state;
    struct weights w = weights_of(TYPE_F16);
    size_t bytes = (size_t)model_tensor_bytes(&w.tensors[0][0]);

    for (int way = ONNX_RAW; way < ONNX_EXTERNAL; way += 2) {
        struct bytes file = onnx_of(w.tensors[0], 2, "x", (enum onnx_way)way);
        struct onnx_tensor *tensors = NULL;
        size_t count = 0;

        assert_true(flo_onnx_tensors((const uint8_t *)file.data, file.bytes, &tensors, &count));

        assert_int_equal(count, 2);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(tensors[i].name_bytes, strlen(w.tensors[0][i].name));
            assert_memory_equal(tensors[i].name, w.tensors[0][i].name, tensors[i].name_bytes);
            assert_int_equal(tensors[i].type, ONNX_FLOAT16);
            assert_int_equal(tensors[i].dim_count, 2);
            assert_int_equal(tensors[i].dims[0], ROWS);
            assert_int_equal(tensors[i].dims[1], COLUMNS);
            assert_int_equal(tensors[i].bytes, bytes);
            assert_memory_equal(file.data + tensors[i].offset, w.tensors[0][i].data, bytes);
        }
        free(tensors);
        free(file.data);
    }
    weights_free(&w);
}

/* A byte of the head is another: whatever is read then, the file comes back. */
static void damaged_heads_come_back_as_bytes(void **state)
{
    (void)state;
    struct weights w = weights_of(TYPE_F16);
    const size_t kept = 256;

    for (size_t at = 0; at < kept; at += 3) {
        for (unsigned format = 0; format < 2; format++) {
            struct bytes old = format == 0 ? safetensors_of(w.tensors[0], 2, "old")
                                           : onnx_of(w.tensors[0], 2, "old", ONNX_RAW);
            struct bytes new = format == 0 ? safetensors_of(w.tensors[1], 2, "new")
                                           : onnx_of(w.tensors[1], 2, "new", ONNX_RAW);
            old.data[at] = (char)(old.data[at] ^ 1 << at % 8);
            new.data[kept - at] = (char)(new.data[kept - at] ^ 0x55);
            (void)patch_bytes_of(old, new, "tensor1");
        }
    }
    weights_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_update_costs_the_same_in_each_format),
        cmocka_unit_test(another_format_of_the_same_names_pairs_as_well),
        cmocka_unit_test(values_in_another_file_are_left_out),
        cmocka_unit_test(ranges_are_where_the_values_lie),
        cmocka_unit_test(damaged_heads_come_back_as_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
