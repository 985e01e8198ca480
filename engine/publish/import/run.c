#include "engine/publish/import/run.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/publish/import/beside.h"
#include "engine/publish/import/card.h"
#include "engine/publish/import/family.h"
#include "engine/publish/import/tokens.h"
#include "engine/tools/common.h"

#define MIXED_FILE_TYPE 38 /* general.file_type of experts in MXFP4 */

/* Names the model by its folder: the last part of the full path. */
static void set_name(struct flo_import *import)
{
    char path[PATH_MAX];
    const char *slash = realpath(import->folder.path, path) != NULL ? strrchr(path, '/') : NULL;
    flo_keys_text(&import->keys, "general.name",
                  slash != NULL && slash[1] != '\0' ? slash + 1 : "model");
}

int flo_import_config(struct flo_import *import, struct flo_err *err)
{
    size_t bytes;
    FLO_TRY(flo_folder_read(&import->folder, "config.json", FLO_CONFIG_BYTES_MAX,
                            &import->config_text, &bytes, err));
    struct stat status;
    if (stat(import->folder.path, &status) < 0) {
        return flo_fail_errno(err, FLO_E_ABSENT, "the folder");
    }
    if (import->config_text == NULL) {
        return flo_folder_fail(err, "it has no config.json");
    }
    return flo_config_read(import->config_text, bytes, &import->config, err);
}

/* Returns the type that most weights of the folder have. */
static const struct flo_mix *own_type(const struct flo_import *import)
{
    uint64_t bytes[3] = {0};
    static const char *const names[] = {"F32", "F16", "BF16"};
    size_t best = 0;
    for (size_t i = 0; i < import->folder.count; i++) {
        for (size_t t = 0; t < FLO_COUNT(names) && !import->folder.tensors[i].is_part; t++) {
            if (strcmp(import->folder.tensors[i].at.type->name, names[t]) == 0) {
                bytes[t] += import->folder.tensors[i].at.bytes;
            }
        }
    }
    for (size_t t = 1; t < FLO_COUNT(names); t++) {
        best = bytes[t] > bytes[best] ? t : best;
    }
    return flo_mix_find(names[best]);
}

/* Returns the type that values of quantised weights have, as config.json says
 * it. */
static uint32_t type_of_values(const struct flo_import *import)
{
    const struct flo_tree_node *type = flo_config_find(&import->config, "torch_dtype dtype");
    return flo_tree_is(type, "float16")   ? FLO_QUANT_F16
           : flo_tree_is(type, "float32") ? FLO_QUANT_F32
                                          : FLO_QUANT_BF16;
}

/* Tells whether a mix has fewer bits than any float. */
static bool is_quantised(const struct flo_mix *mix)
{
    return mix->type != FLO_QUANT_F32 && mix->type != FLO_QUANT_F16 && mix->type != FLO_QUANT_BF16;
}

static void set_types(struct flo_import *import, const struct flo_mix *mix)
{
    uint32_t type = mix->file_type;
    for (size_t i = 0; i < import->output_count; i++) {
        type = import->outputs[i].head.type == FLO_QUANT_MXFP4_ID ? MIXED_FILE_TYPE : type;
    }
    flo_keys_u32(&import->keys, "general.file_type", type);
    flo_keys_u32(&import->keys, "general.quantization_version", 2);
}

static int read_folder(struct flo_import *import, const struct flo_import_options *options,
                       struct flo_err *err)
{
    const struct flo_mix *mix = options->mix;
    FLO_TRY(flo_import_config(import, err));
    FLO_TRY(flo_family_find(import, err));
    FLO_TRY(flo_beside_read(import, err));
    flo_keys_text(&import->keys, "general.architecture", import->family->arch);
    flo_keys_text(&import->keys, "general.type", "model");
    FLO_TRY(flo_card_set(import, err));
    set_name(import);
    FLO_TRY(flo_folder_open(&import->folder, err));
    flo_folder_left(&import->folder, &import->reading.report);
    FLO_TRY(flo_quantised_unpack(&import->quantised, &import->folder, type_of_values(import), err));
    FLO_TRY(flo_family_keys(import, err));
    FLO_TRY(flo_import_map(import, err));
    mix = mix != NULL ? mix : own_type(import);
    import->is_twice = import->quantised.method != NULL && is_quantised(mix);
    FLO_TRY(flo_produce_types(import, mix, err));
    flo_card_size(import);
    set_types(import, mix);
    FLO_TRY(flo_tokens_set(import, err));
    FLO_TRY(flo_family_ends(import, err));
    FLO_TRY(flo_family_templates(import, err));
    return import->keys.failed ? flo_fail(err, FLO_E_MEMORY, "the file's keys") : 0;
}

int flo_import_open(struct flo_import *import, const struct flo_import_options *options,
                    struct flo_produce *produce, struct flo_err *err)
{
    import->folder.path = options->folder;
    int rv = read_folder(import, options, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "%s", options->folder);
    }
    return flo_produce_open(produce, options->threads, err);
}

/* ---- writing ---- */

static int pad(int fd, uint64_t *position, uint64_t place, struct flo_err *err)
{
    static const uint8_t zeros[64];
    while (*position < place) {
        uint64_t some = place - *position > sizeof(zeros) ? sizeof(zeros) : place - *position;
        FLO_TRY(flo_fd_write_all(fd, zeros, (size_t)some, err));
        *position += some;
    }
    return 0;
}

static int write_tensors(struct flo_import *import, struct flo_produce *produce,
                         struct flo_resume *resume, const struct flo_gguf_tensor *heads,
                         uint64_t bytes, struct flo_err *err)
{
    uint64_t position = resume->bytes, started_us = flo_now_us();
    for (size_t i = resume->tensors; i < import->output_count; i++) {
        FLO_TRY(pad(resume->fd, &position, heads[i].offset, err));
        FLO_TRY(flo_produce_write(produce, &import->outputs[i], resume->fd, err));
        position += heads[i].bytes;
        FLO_TRY(flo_resume_note(resume, i + 1, position, err));
        flo_tool_progress("MiB", position >> 20, (bytes >> 20) + 1, started_us);
    }
    FLO_TRY(pad(resume->fd, &position, bytes, err));
    flo_tool_progress("MiB", 1, 1, started_us);
    return 0;
}

int flo_import_write(struct flo_import *import, struct flo_produce *produce,
                     struct flo_resume *resume, int fd, struct flo_err *err)
{
    uint64_t bytes = 0;
    FLO_CLEANUP(flo_free_cleanup)
    struct flo_gguf_tensor *heads = calloc(import->output_count + 1, sizeof(*heads));
    if (heads == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu tensors", import->output_count);
    }
    for (size_t i = 0; i < import->output_count; i++) {
        heads[i] = import->outputs[i].head;
    }
    FLO_TRY(flo_gguf_create_head(heads, import->output_count, import->keys.edits,
                                 import->keys.count, fd, &bytes, err));
    FLO_TRY(flo_resume_find(resume, import, heads, bytes, fd, err));
    FLO_TRY(write_tensors(import, produce, resume, heads, bytes, err));
    return flo_resume_end(resume, err);
}

void flo_import_close(struct flo_import *import)
{
    flo_plan_deinit(import);
    flo_keys_deinit(&import->keys);
    flo_reading_deinit(&import->reading);
    flo_quantised_deinit(&import->quantised);
    flo_config_deinit(&import->config);
    free(import->config_text);
    flo_folder_close(&import->folder);
}
