/* flotilla-model convert-lora: converts a PEFT folder to a GGUF adapter of a
 * base model.
 *
 * The written file is read back, as the engine reads it, before it gets its
 * name.  Shapes, ranks and numbers that do not match the base are reported
 * here. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/given.h"
#include "engine/model/adapter/lora_file.h"
#include "engine/model/file/arch.h"
#include "engine/publish/commands.h"
#include "engine/publish/explain.h"
#include "engine/publish/import/adapter.h"
#include "engine/publish/peft/peft.h"
#include "engine/tools/common.h"
#include "engine/tools/outfile.h"

#define CONFIG_BYTES_MAX (1u << 20)
#define CONFIG_VALUES_MAX 65536
#define TENSORS_BYTES_MAX (1u << 30)

struct convert {
    struct flo_tool tool;    /* options; --model is a file, --lora a folder */
    const char *base_folder; /* the base's folder; NULL: its file alone tells the names */
    const char *out;
    const char *version;

    char config_path[PATH_MAX], tensors_path[PATH_MAX];
    struct flo_gguf *base;
    struct flo_peft_config config;
    struct flo_folder_reading reading;
    char *data;
    struct flo_safetensors *file;
    struct flo_peft_tensor *mapped;
    struct flo_gguf_tensor *heads; /* [head_count]; those of `adapter` with a base's folder */
    size_t head_count;
    struct flo_import_adapter adapter;
    uint8_t *rows; /* buffer with room for the largest tensor */
    struct flo_lora lora;
};

/* Reads each key of the configuration. */
static int read_keys(struct convert *convert, char *text, size_t bytes, struct flo_err *err)
{
    FLO_CLEANUP(flo_tree_deinit) struct flo_tree tree = {0};
    convert->reading.arch = "";
    FLO_TRY(flo_explain_accept(&convert->reading, &convert->tool.args, err));
    FLO_TRY(flo_folder_tree(text, bytes, CONFIG_VALUES_MAX, &tree, err));
    return flo_reading_file(&convert->reading, "adapter_config.json", "adapter_config.json",
                            tree.nodes, err);
}

static int read_config(struct convert *convert, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    size_t bytes;
    FLO_TRY(flo_given_read(convert->tool.lora, "adapter_config.json", CONFIG_BYTES_MAX, &text,
                           &bytes, err));
    FLO_CLEANUP(flo_free_cleanup) char *copy = malloc(bytes + 1);
    if (copy == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "adapter_config.json");
    }
    memcpy(copy, text, bytes); /* reading changes a text */
    int rv = flo_peft_config_read(text, bytes, &convert->config, err);
    if (rv == 0) {
        rv = read_keys(convert, copy, bytes, err);
    }
    return rv < 0 ? flo_wrap(err, rv, "%s", convert->config_path) : 0;
}

static int map_tensors(struct convert *convert, struct flo_err *err)
{
    size_t count = flo_safetensors_count(convert->file);
    uint64_t most = 0;
    convert->mapped = calloc(count + 1, sizeof(*convert->mapped));
    convert->heads = calloc(count + 1, sizeof(*convert->heads));
    if (convert->mapped == NULL || convert->heads == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu tensors", count);
    }
    for (size_t i = 0; i < count; i++) {
        const struct flo_safetensor *tensor = flo_safetensors_at(convert->file, i);
        FLO_TRY(flo_peft_tensor_map(tensor, convert->base, &convert->mapped[i], err));
        convert->heads[i] = convert->mapped[i].head;
        most = tensor->bytes > most ? tensor->bytes : most;
    }
    convert->head_count = count;
    convert->rows = malloc((size_t)most + 1);
    return convert->rows != NULL ? 0 : flo_fail(err, FLO_E_MEMORY, "the largest tensor");
}

/* Maps the tensors by the tables that the import of the base's folder uses. */
static int map_by_folder(struct convert *convert, struct flo_err *err)
{
    const struct flo_arch *arch;
    FLO_TRY(flo_arch_read(convert->base, &arch, err));
    FLO_TRY(flo_import_adapter_open(&convert->adapter, convert->base_folder, convert->file,
                                    flo_arch_name(arch), err));
    convert->heads = convert->adapter.heads;
    convert->head_count = convert->adapter.head_count;
    return 0;
}

static int read_tensors(struct convert *convert, struct flo_err *err)
{
    size_t bytes;
    FLO_TRY(flo_given_read(convert->tool.lora, "adapter_model.safetensors", TENSORS_BYTES_MAX,
                           &convert->data, &bytes, err));
    int rv = flo_safetensors_open(convert->data, bytes, &convert->file, err);
    for (size_t i = 0; rv == 0 && i < flo_safetensors_count(convert->file); i++) {
        rv = flo_peft_tensor_named(&convert->config, flo_safetensors_at(convert->file, i)->name,
                                   err);
    }
    if (rv == 0) {
        rv = (convert->base_folder != NULL ? map_by_folder : map_tensors)(convert, err);
    }
    return rv < 0 ? flo_wrap(err, rv, "%s", convert->tensors_path) : 0;
}

static int give(void *context, const struct flo_gguf_tensor *tensor, const void **data,
                struct flo_err *err)
{
    struct convert *convert = context;
    size_t i = 0;

    while (strcmp(convert->heads[i].name, tensor->name) != 0) {
        i++;
    }
    if (convert->base_folder != NULL) {
        return flo_import_adapter_give(&convert->adapter, i, data, err);
    }
    flo_peft_tensor_rows(flo_safetensors_at(convert->file, i), &convert->mapped[i], convert->rows);
    *data = convert->rows;
    return 0;
}

/* Reads the written file as the engine will, and so checks it. */
static int check_written(struct convert *convert, int fd, struct flo_err *err)
{
    struct flo_gguf *written = NULL;
    int rv = flo_gguf_open_fd(fd, &written, err);
    if (rv == 0) {
        rv = flo_gguf_scan_nonfinite(written, err);
    }
    if (rv == 0) {
        rv = flo_lora_check(written, convert->base, &convert->lora, err);
    }
    flo_gguf_close(written);
    return rv;
}

static int write_adapter(void *context, int fd, struct flo_err *err)
{
    struct convert *convert = context;
    const struct flo_arch *arch;
    FLO_TRY(flo_arch_read(convert->base, &arch, err));
    FLO_CLEANUP(flo_keys_deinit) struct flo_keys keys = {0};
    flo_keys_text(&keys, "general.type", "adapter");
    flo_keys_text(&keys, "general.architecture", flo_arch_name(arch));
    flo_keys_text(&keys, "adapter.type", "lora");
    flo_keys_f32(&keys, "adapter.lora.alpha", (double)convert->config.alpha);
    flo_explain_set(&keys, &convert->reading);
    if (convert->version != NULL) {
        flo_keys_text(&keys, "general.version", convert->version);
    }
    if (keys.failed) {
        return flo_fail(err, FLO_E_MEMORY, "the adapter's keys");
    }
    FLO_TRY(flo_gguf_create(convert->heads, convert->head_count, keys.edits, keys.count, give,
                            convert, fd, err));
    return check_written(convert, fd, err);
}

static int set_paths(struct convert *convert, struct flo_err *err)
{
    const char *folder = convert->tool.lora;
    int a = snprintf(convert->config_path, PATH_MAX, "%s/adapter_config.json", folder);
    int b = snprintf(convert->tensors_path, PATH_MAX, "%s/adapter_model.safetensors", folder);
    return a < PATH_MAX && b < PATH_MAX ? 0 : flo_fail(err, FLO_E_USAGE, "--lora is too long");
}

static int convert_lora(void *context, struct flo_err *err)
{
    struct convert *convert = context;
    const struct flo_inputs inputs = {
        {convert->tool.model, convert->config_path, convert->tensors_path}};
    FLO_TRY(set_paths(convert, err));
    FLO_TRY(flo_gguf_open_path(convert->tool.model, &convert->base, err));
    FLO_TRY(read_config(convert, err));
    FLO_TRY(read_tensors(convert, err));
    FLO_TRY(flo_outfile(convert->out, inputs, write_adapter, convert, err));
    flo_import_adapter_close(&convert->adapter);
    flo_reading_deinit(&convert->reading);
    printf(convert->tool.args.is_json ? "{\"pairs\":%zu,\"rank\":%u,\"alpha\":%g}\n"
                                      : "%zu pairs of rank %u, alpha %g\n",
           convert->lora.pair_count, convert->config.rank, (double)convert->config.alpha);
    return 0;
}

static struct convert state;
static const struct flo_flag flags[] = {
    {"model", "FILE", "the base", FLO_TEXT(struct convert, tool.model), .is_needed = true},
    {"lora", "DIR", "with adapter_config.json and adapter_model.safetensors",
     FLO_TEXT(struct convert, tool.lora), .is_needed = true},
    {"base", "DIR", "the base's folder, whose config.json tells how its weights were moved",
     FLO_TEXT(struct convert, base_folder)},
    {"out", "FILE", "the adapter as GGUF", FLO_TEXT(struct convert, out), .is_needed = true},
    FLO_FLAG_ACCEPT,
    {"release-version", "TEXT", "general.version of the new file",
     FLO_TEXT(struct convert, version)},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_convert_lora = {
    .name = "convert-lora",
    .help = "make an adapter of a PEFT folder",
    .usage = "--model FILE --lora DIR --out FILE [--base DIR]",
    .flags = {flags, FLO_FLAGS_JSON},
    .state = &state,
    .run = convert_lora,
    .example = "--model helpdesk.gguf --lora peft-folder --out shop-lora.gguf",
};
