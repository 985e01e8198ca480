/* Planner inputs: makes them from a release, and writes them to and reads them
 * from a report. */
#include <assert.h>
#include <string.h>

#include "proto/memory/figures.h"

/* Memory of an adapter as a multiple of its f16 file.  Its f32 values take
 * twice the file, and the file is in memory while it is read.  An adapter in a
 * smaller format takes more, and gets an engine of its own. */
#define ADAPTER_BYTES_FACTOR 3
#define BYTES_MAX (UINT64_C(1) << 53)

uint64_t flo_memory_adapter_bytes(const struct flo_release_file *adapter)
{
    return adapter == NULL || adapter->bytes > UINT64_MAX / 16
               ? 0
               : adapter->bytes * ADAPTER_BYTES_FACTOR;
}

uint64_t flo_memory_draft_bytes(const struct flo_release *release,
                                const struct flo_release_variant *variant)
{
    const struct flo_release_file *draft =
        flo_release_variant_file(release, variant, FLO_ROLE_DRAFT);

    return draft == NULL ? 0 : draft->bytes;
}

void flo_memory_figures(const struct flo_release *release,
                        const struct flo_release_variant *variant,
                        const struct flo_release_file *file, const uint64_t *measured_or_null,
                        struct flo_memory_model *out)
{
    uint64_t adapter_bytes =
        flo_memory_adapter_bytes(flo_release_variant_file(release, variant, "adapter"));
    uint64_t told = FLO_MEMORY_PRIVATE_MIN + adapter_bytes;

    assert(flo_release_is_native(variant) && file != NULL);
    if (variant->memory_bytes > file->bytes + told) {
        told = variant->memory_bytes - file->bytes;
    }
    out->rungs = FLO_MEMORY_RUNGS;
    out->n_files = 1;
    out->files[0].digest = file->digest;
    out->files[0].bytes = file->bytes;
    for (uint32_t i = 0; i < FLO_MEMORY_RUNGS; i++) {
        out->private_bytes[i] =
            measured_or_null != NULL ? measured_or_null[i] + adapter_bytes : told;
    }
    out->private_bytes[0] += flo_memory_draft_bytes(release, variant);
}

/* ---- in a report ---- */

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)(value < BYTES_MAX ? value : BYTES_MAX));
}

json_t *flo_memory_told_json(const struct flo_memory_told *told)
{
    const struct flo_memory_model *model = &told->model;
    json_t *files = json_array();
    json_t *rungs = json_array();
    char digest[FLO_DIGEST_TEXT];

    assert(model->n_files <= FLO_MEMORY_FILES_MAX && model->rungs <= FLO_MEMORY_RUNGS);
    for (uint32_t i = 0; i < model->n_files; i++) {
        flo_digest_text(&model->files[i].digest, digest);
        json_array_append_new(files, json_pack("{s:s,s:o}", "digest", digest, "bytes",
                                               number(model->files[i].bytes)));
    }
    for (uint32_t i = 0; i < model->rungs; i++) {
        json_array_append_new(rungs, number(model->private_bytes[i]));
    }
    json_t *json = json_pack("{s:b,s:i,s:b,s:b,s:o,s:o,s:o}", "pinned", (int)model->is_pinned,
                             "weight", (int)model->weight, "resident", (int)told->is_resident,
                             "measured", (int)told->is_measured, "adapter_bytes",
                             number(told->adapter_bytes), "files", files, "private_bytes", rungs);

    flo_json_put_number(json, "draft_bytes", told->draft_bytes);
    return json;
}

static int read_files(const json_t *json, struct flo_memory_model *out, struct flo_err *err)
{
    json_t *files = NULL;

    FLO_TRY(flo_json_opt_array(json, "files", FLO_MEMORY_FILES_MAX, &files, err));
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        struct flo_memory_file *to = &out->files[out->n_files++];
        FLO_TRY(!json_is_object(file)
                    ? flo_fail(err, FLO_E_META_SCHEMA, "files[%zu] is no object", i)
                    : flo_json_get_digest(file, "digest", &to->digest, err));
        FLO_TRY(flo_json_get_u64(file, "bytes", 0, BYTES_MAX, &to->bytes, err));
    }
    return 0;
}

static int read_rungs(const json_t *json, struct flo_memory_model *out, struct flo_err *err)
{
    json_t *rungs = NULL;

    FLO_TRY(flo_json_opt_array(json, "private_bytes", FLO_MEMORY_RUNGS, &rungs, err));
    for (size_t i = 0; i < json_array_size(rungs); i++) {
        const json_t *value = json_array_get(rungs, i);
        json_int_t bytes = json_integer_value(value);
        if (!json_is_integer(value) || bytes < 0 || bytes > (json_int_t)BYTES_MAX) {
            return flo_fail(err, FLO_E_META_SCHEMA, "private_bytes[%zu] is no number of bytes", i);
        }
        out->private_bytes[out->rungs++] = (uint64_t)bytes;
    }
    return out->rungs == 0 ? flo_fail(err, FLO_E_META_SCHEMA, "private_bytes is empty") : 0;
}

int flo_memory_told_read(const json_t *json, const char *name, struct flo_memory_told *out,
                         struct flo_err *err)
{
    struct flo_memory_told told = {.is_measured = false};
    struct flo_memory_model *model = &told.model;
    uint64_t weight;

    snprintf(model->name, sizeof(model->name), "%s", name);
    FLO_TRY(flo_json_opt_bool(json, "pinned", false, &model->is_pinned, err));
    FLO_TRY(flo_json_opt_bool(json, "resident", true, &told.is_resident, err));
    FLO_TRY(flo_json_opt_bool(json, "measured", false, &told.is_measured, err));
    FLO_TRY(flo_json_opt_u64(json, "weight", 0, FLO_MEMORY_WEIGHT_MAX, FLO_MEMORY_WEIGHT_STANDARD,
                             &weight, err));
    FLO_TRY(flo_json_opt_u64(json, "adapter_bytes", 0, BYTES_MAX, 0, &told.adapter_bytes, err));
    FLO_TRY(flo_json_opt_u64(json, "draft_bytes", 0, BYTES_MAX, 0, &told.draft_bytes, err));
    FLO_TRY(read_files(json, model, err));
    FLO_TRY(read_rungs(json, model, err));
    model->weight = (uint32_t)weight;
    *out = told;
    return 0;
}

bool flo_memory_told_measured(const struct flo_memory_told *told, uint64_t out[FLO_MEMORY_RUNGS])
{
    const struct flo_memory_model *model = &told->model;

    if (!told->is_measured || model->rungs != FLO_MEMORY_RUNGS) {
        return false;
    }
    for (size_t i = 0; i < FLO_MEMORY_RUNGS; i++) {
        uint64_t bytes = model->private_bytes[i];
        uint64_t besides = told->adapter_bytes + (i == 0 ? told->draft_bytes : 0);
        out[i] = bytes > besides ? bytes - besides : 0;
    }
    return true;
}
