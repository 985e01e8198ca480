/* flotilla-model merge-lora: merges an adapter into its base model, as one file
 * that is shipped.  The new file gets its name only when it is complete and the
 * update survived rounding.  A merge that lost the update is refused, because
 * it would be a new release with the answers of the old one. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/model.h>

#include "engine/publish/commands.h"
#include "engine/publish/lora.h"
#include "engine/tools/common.h"
#include "engine/tools/outfile.h"

#define VERSION_BYTES_MAX 256

struct merge {
    /* options of the command: the files of --model and --lora, and --threads */
    struct flo_tool tool;
    const char *out;
    const char *method;
    const char *version; /* release version of the new file; NULL: that of the adapter */
    bool is_forced;

    struct flo_gguf *base;
    struct flo_gguf *lora_file;
    struct flo_lora lora;
    struct flo_merge_options options;
    struct flo_merge_result result;
    void *data;                /* buffer with room for the largest tensor */
    uint64_t started_us, done; /* tensors */
};

static double kept(const struct merge *merge)
{
    const struct flo_dither_result *d = &merge->result.dither;
    return d->wanted_dot_wanted > 0 ? d->moved_dot_wanted / d->wanted_dot_wanted : 1;
}

static int open_both(struct merge *merge, struct flo_err *err)
{
    uint64_t most = 0;
    FLO_TRY(flo_tool_gguf(merge->tool.model, &merge->base, err));
    FLO_TRY(flo_tool_gguf(merge->tool.lora, &merge->lora_file, err));
    for (size_t i = 0; i < flo_gguf_tensor_count(merge->base); i++) {
        uint64_t bytes = flo_gguf_tensor_at(merge->base, i)->bytes;
        most = bytes > most ? bytes : most;
    }
    merge->data = malloc((size_t)most + 1);
    if (merge->data == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%" PRIu64 " bytes for the largest tensor", most);
    }
    int rv = flo_lora_read(merge->lora_file, merge->base, merge->options.method, &merge->lora, err);
    return rv < 0 ? flo_wrap(err, rv, "%s", merge->tool.lora) : 0;
}

static int replace(void *context, const struct flo_gguf_tensor *tensor, const void **data,
                   struct flo_err *err)
{
    struct merge *merge = context;
    bool is_changed;
    int rv = flo_lora_merge_tensor(&merge->lora, merge->base, tensor, &merge->options, merge->data,
                                   &is_changed, &merge->result, err);
    *data = rv == 0 && is_changed ? merge->data : NULL;
    flo_tool_progress("tensor", ++merge->done, flo_gguf_tensor_count(merge->base),
                      merge->started_us);
    return rv;
}

/* Finds the release version of the new file.  It is that of the option, else
 * that of the adapter, else that of the base. */
static int find_version(const struct merge *merge, char *out, struct flo_err *err)
{
    struct flo_gguf_text text = {"", 0};
    if (merge->version != NULL) {
        text.data = merge->version;
        text.bytes = strlen(merge->version);
    } else {
        int rv = flo_gguf_string(merge->lora_file, "general.version", &text, err);
        FLO_TRY(rv);
    }
    if (text.bytes >= VERSION_BYTES_MAX || memchr(text.data, '\0', text.bytes) != NULL ||
        flo_utf8_valid(text.data, text.bytes) != text.bytes) {
        return flo_fail(err, FLO_E_USAGE, "a release version is UTF-8 of at most %d bytes",
                        VERSION_BYTES_MAX - 1);
    }
    memcpy(out, text.data, text.bytes);
    out[text.bytes] = '\0';
    return 0;
}

/* Refuses a merge with weights that are not finite.  Unless --force is given,
 * it refuses also one that lost the update. */
static int check_kept(const struct merge *merge, struct flo_err *err)
{
    if (!isfinite(kept(merge))) {
        return flo_fail(err, FLO_E_MODEL_NONFINITE,
                        "base and adapter together are more than a weight of "
                        "the base's type can be");
    }
    if (merge->is_forced || kept(merge) >= FLO_MERGE_KEPT_MIN) {
        return 0;
    }
    flo_fail(err, FLO_E_MODEL_UPDATE_LOST,
             "the merge keeps %.3f of the adapter's update, %.2f is needed", kept(merge),
             FLO_MERGE_KEPT_MIN);
    flo_err_why(err, "the trained change is far below one step of the "
                     "quantized weights, so rounding to the nearest code "
                     "drops most of it");
    return flo_err_fix(err, "use --method dither, ship the adapter itself, "
                            "or write it anyway with --force");
}

static int write_merged(void *context, int fd, struct flo_err *err)
{
    struct merge *merge = context;
    char version[VERSION_BYTES_MAX];
    FLO_TRY(find_version(merge, version, err));
    const struct flo_gguf_edit edit = {
        .key = "general.version", .type = FLO_GGUF_STRING, .text = version};
    FLO_TRY(flo_gguf_write(merge->base, NULL, &edit, version[0] != '\0' ? 1 : 0, replace, merge, fd,
                           err));
    return check_kept(merge, err);
}

static void report(const struct merge *merge)
{
    const struct flo_merge_result *r = &merge->result;
    if (merge->tool.args.is_json) {
        printf("{\"method\":\"%s\",\"seed\":%" PRIu64 ",\"kept\":%.4f,"
               "\"tensors\":%zu,\"codes\":%" PRIu64 ",\"codes_changed\":%" PRIu64
               ",\"bytes_changed\":%" PRIu64 "}\n",
               merge->method, merge->options.seed, kept(merge), r->tensors, r->dither.codes,
               r->dither.codes_changed, r->bytes_changed);
        return;
    }
    printf("kept %.3f of the update in %zu tensors\n"
           "%" PRIu64 " of %" PRIu64 " codes changed, %" PRIu64 " bytes\n",
           kept(merge), r->tensors, r->dither.codes_changed, r->dither.codes, r->bytes_changed);
}

static void set_options(struct merge *merge)
{
    unsigned cpus = flo_cpus_allowed();

    merge->options.method =
        strcmp(merge->method, "dither") == 0 ? FLO_MERGE_DITHER : FLO_MERGE_REQUANTIZE;
    if (merge->tool.threads == 0) {
        merge->tool.threads = cpus < FLO_MERGE_THREADS_MAX ? cpus : FLO_MERGE_THREADS_MAX;
    }
    merge->options.threads = (uint32_t)merge->tool.threads;
}

static int merge_lora(void *context, struct flo_err *err)
{
    struct merge *merge = context;
    const struct flo_inputs inputs = {{merge->tool.model, merge->tool.lora}};
    merge->started_us = flo_now_us();
    set_options(merge);
    FLO_TRY(open_both(merge, err));
    FLO_TRY(flo_outfile(merge->out, inputs, write_merged, merge, err));
    report(merge);
    return 0;
}

static struct merge state = {.method = "dither", .options.seed = 1};
static const struct flo_flag flags[] = {
    {"model", "FILE", "the base", FLO_TEXT(struct merge, tool.model), .is_needed = true},
    {"lora", "FILE", "the adapter", FLO_TEXT(struct merge, tool.lora), .is_needed = true},
    {"out", "FILE", "the merged model", FLO_TEXT(struct merge, out), .is_needed = true},
    {"method", "dither|requantize", "how codes are rounded (dither)",
     FLO_TEXT(struct merge, method)},
    {"seed", "N", "of the dither (1); the same seed gives the same bytes anywhere",
     FLO_U64(struct merge, options.seed)},
    {"release-version", "TEXT", "general.version of the new file (the adapter's)",
     FLO_TEXT(struct merge, version)},
    {"threads", "N", "(default: all CPUs)", FLO_U64(struct merge, tool.threads),
     .max = FLO_MERGE_THREADS_MAX},
    {"force", NULL, "write it even if the update is lost", FLO_SWITCH(struct merge, is_forced)},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_merge_lora = {
    .name = "merge-lora",
    .help = "merge an adapter into its base",
    .usage = "--model FILE --lora FILE --out FILE",
    .flags = {flags, FLO_FLAGS_JSON},
    .state = &state,
    .run = merge_lora,
    .example = "--model helpdesk.gguf --lora shop-lora.gguf --out shop.gguf",
};
