/* Model folders of strangers: config.json, tokenizer.json, and the heads of
 * weights.  The input has the three parts one after the other, with a NUL
 * between them; the last one is read as safetensors and as a SentencePiece
 * model. */
#include <stdlib.h>
#include <string.h>

#include "base/quant/quant.h"
#include "engine/publish/import/card.h"
#include "engine/publish/import/family.h"
#include "engine/publish/import/packed.h"
#include "engine/publish/import/pieces.h"
#include "engine/publish/import/reading.h"
#include "engine/publish/import/special.h"
#include "engine/publish/import/splits.h"
#include "engine/publish/import/steps.h"

#define TOKENS_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* A copy of some bytes with a NUL behind them. */
static char *copy_of(const uint8_t *data, size_t bytes)
{
    char *text = malloc(bytes + 1);
    if (text == NULL) {
        abort();
    }
    if (bytes > 0) {
        memcpy(text, data, bytes);
    }
    text[bytes] = '\0';
    return text;
}

static void must_say(int rv, const struct flo_err *err)
{
    if (rv < 0 && err->what[0] == '\0') {
        abort();
    }
}

static int by_name(const void *a, const void *b)
{
    const struct flo_folder_tensor *x = a, *y = b;
    return strcmp(x->at.name, y->at.name);
}

/* Puts the tensors of a file in memory into a folder that is on no disk. */
static void take_tensors(struct flo_folder *folder, const struct flo_safetensors *file)
{
    size_t count = flo_safetensors_count(file);
    folder->tensors = calloc(count + 1, sizeof(*folder->tensors));
    for (size_t i = 0; folder->tensors != NULL && i < count; i++) {
        struct flo_folder_tensor *tensor = &folder->tensors[folder->count++];
        tensor->at = *flo_safetensors_at(file, i);
        tensor->values = 1;
        for (uint32_t d = 0; d < tensor->at.dim_count; d++) {
            tensor->values *= tensor->at.dims[d];
        }
    }
    if (folder->count > 0) {
        qsort(folder->tensors, folder->count, sizeof(*folder->tensors), by_name);
    }
}

/* Reads the first and the last row of each quantised matrix. */
static void read_packed(const struct flo_folder *folder)
{
    static uint8_t raw[FLO_PACKED_RAW_BYTES];
    static float values[FLO_PACKED_WIDTH_MAX];
    struct flo_packed_load load = {0};
    for (size_t i = 0; i < folder->count; i++) {
        const struct flo_import_packed *packed = folder->tensors[i].packed;
        struct flo_err err = {0};
        int rv = packed != NULL ? flo_packed_open(&load, packed, &err) : -1;
        for (uint64_t end = 0; rv == 0 && end < 2; end++) {
            uint64_t span = flo_packed_span(packed);
            uint64_t count = packed->rows < span ? packed->rows : span;
            uint64_t first = end == 0 ? 0 : packed->rows - count;
            if ((rv = flo_packed_fetch(&load, first, count, raw, &err)) == 0) {
                flo_packed_row(&load, first, values);
                flo_packed_row(&load, first + count - 1, values);
            }
        }
        must_say(packed != NULL ? rv : 0, &err);
    }
    flo_packed_close(&load);
}

/* Every part of a plan reads rows that its source has. */
static void check_parts(const struct flo_output *output)
{
    uint64_t rows = 0;
    for (uint32_t i = 0; i < output->part_count; i++) {
        const struct flo_part *part = &output->parts[i];
        rows += part->rows;
        if (part->rows > 0 && part->source != NULL && part->scales == NULL &&
            (flo_nest_at(&part->nest, 0) >= part->source->values / output->width ||
             flo_nest_at(&part->nest, part->rows - 1) >= part->source->values / output->width)) {
            abort();
        }
    }
    if (output->value != FLO_VALUE_GIVEN && rows * output->width != output->head.values) {
        abort();
    }
}

static void read_folder(char *config, size_t config_bytes, const uint8_t *weights, size_t bytes)
{
    struct flo_import import = {.folder.path = "/nowhere/at/all"};
    struct flo_safetensors *file = NULL;
    struct flo_err err = {0};
    int rv = flo_config_read(config, config_bytes, &import.config, &err);
    if (rv == 0 && flo_safetensors_open(weights, bytes, &file, NULL) == 0) {
        take_tensors(&import.folder, file);
    }
    if (rv == 0 && (rv = flo_family_find(&import, &err)) == 0 &&
        (rv = flo_quantised_unpack(&import.quantised, &import.folder, FLO_QUANT_BF16, &err)) == 0 &&
        (rv = flo_family_keys(&import, &err)) == 0 && (rv = flo_import_map(&import, &err)) == 0) {
        for (size_t i = 0; i < import.output_count; i++) {
            check_parts(&import.outputs[i]);
        }
        flo_card_size(&import);
    }
    must_say(rv, &err);
    read_packed(&import.folder);
    flo_plan_deinit(&import);
    flo_keys_deinit(&import.keys);
    flo_quantised_deinit(&import.quantised);
    flo_config_deinit(&import.config);
    for (size_t i = 0; i < import.folder.count; i++) {
        free(import.folder.tensors[i].packed);
    }
    free(import.folder.tensors);
    flo_safetensors_close(file);
}

/* Reads a tokenizer's keys and steps; whatever is read is refused by name, or
 * set. */
static void read_steps(struct flo_keys *keys, const struct flo_tree_node *root)
{
    static const char *const models[] = {"gpt2", "llama", "bert", "t5", "gemma4"};
    struct flo_folder_reading reading = {.arch = "llama"};
    struct flo_import_steps steps = {0};
    struct flo_err err = {0};
    bool is_own = false;
    must_say(flo_reading_file(&reading, "tokenizer.json", "tokenizer.json", root, &err), &err);
    int rv = flo_steps_read(root, &steps, &err);
    must_say(rv, &err);
    for (size_t i = 0; rv == 0 && i < FLO_COUNT(models); i++) {
        must_say(flo_steps_set(keys, root, &steps, models[i], &is_own, &err), &err);
        must_say(flo_decoder_check(root, models[i], &err), &err);
    }
    must_say(flo_special_forms(keys, root, root, true, &err), &err);
    flo_import_steps_deinit(&steps);
    flo_reading_deinit(&reading);
}

static void read_tokenizer(char *text, size_t bytes)
{
    struct flo_import_pieces pieces = {0};
    struct flo_keys keys = {.arch = "llama"};
    struct flo_config config = {0};
    struct flo_tree tree = {0};
    struct flo_err err = {0};
    flo_card_read(&keys, text);
    int rv = flo_folder_tree(text, bytes, FLO_CONFIG_VALUES_MAX, &tree, &err);
    must_say(rv, &err);
    if (rv < 0) {
        flo_keys_deinit(&keys);
        return;
    }
    rv = flo_pieces_read_json(tree.nodes, TOKENS_MAX, &pieces, &err);
    must_say(rv, &err);
    flo_pieces_score_merges(flo_tree_member(flo_tree_member(tree.nodes, "model"), "merges"),
                            &pieces);
    flo_splits_set(&keys, keys.arch, tree.nodes, false);
    flo_special_set(&keys, tree.nodes, tree.nodes, &config, TOKENS_MAX);
    read_steps(&keys, tree.nodes);
    flo_pieces_deinit(&pieces);
    flo_keys_deinit(&keys);
    flo_tree_deinit(&tree);
}

static void read_sentencepiece(const uint8_t *data, size_t bytes)
{
    struct flo_sentencepiece model = {0};
    struct flo_err err = {0};
    must_say(flo_sentencepiece_read(data, bytes, &model, &err), &err);
    for (uint32_t i = 0; i < model.pieces.count; i++) {
        const uint8_t *text = (const uint8_t *)model.pieces.items[i].text;
        if (text < data || text + model.pieces.items[i].bytes > data + bytes) {
            abort();
        }
    }
    flo_pieces_deinit(&model.pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const uint8_t *end = data + bytes, *parts[3] = {data, end, end};
    size_t sizes[3] = {bytes, 0, 0};
    for (int i = 1; i < 3; i++) {
        const uint8_t *zero = memchr(parts[i - 1], '\0', sizes[i - 1]);
        if (zero == NULL) {
            break;
        }
        sizes[i - 1] = (size_t)(zero - parts[i - 1]);
        parts[i] = zero + 1;
        sizes[i] = (size_t)(end - parts[i]);
    }
    char *config = copy_of(parts[0], sizes[0]), *tokenizer = copy_of(parts[1], sizes[1]);
    uint8_t *rest = (uint8_t *)copy_of(parts[2], sizes[2]);
    read_folder(config, sizes[0], rest, sizes[2]);
    read_tokenizer(tokenizer, sizes[1]);
    read_sentencepiece(rest, sizes[2]);
    free(config);
    free(tokenizer);
    free(rest);
    return 0;
}
