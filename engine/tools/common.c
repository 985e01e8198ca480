/* What the inference commands share. */
#include "engine/tools/common.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/adapter.h>

static int fits_u32(const char *name, uint64_t value, uint32_t *out,
                    struct flo_err *err)
{
    if (value > UINT32_MAX) {
        return flo_fail(err, FLO_E_USAGE, "--%s is too large", name);
    }
    *out = (uint32_t)value;
    return 0;
}

const char *const flo_tool_kv_names[] = {
    [FLO_KV_AUTO] = "auto", [FLO_KV_F16] = "f16",   [FLO_KV_F32] = "f32",
    [FLO_KV_Q8_0] = "q8_0", [FLO_KV_Q4_0] = "q4_0",
};

static int read_kv_type(const char *name, enum flo_kv_type *out,
                        struct flo_err *err)
{
    for (size_t i = 0; name != NULL && i < FLO_COUNT(flo_tool_kv_names); i++) {
        if (strcmp(name, flo_tool_kv_names[i]) == 0) {
            *out = (enum flo_kv_type)i;
            return 0;
        }
    }
    return name == NULL
               ? 0
               : flo_fail(err, FLO_E_USAGE,
                          "--kv is '%s', not auto, f16, f32, q8_0 or q4_0",
                          name);
}

/* "FILE:0.5" to its parts; without a number behind the last colon all of it is
 * the file's name. */
static int split_lora(const char *text, char *path, size_t bytes, float *scale,
                      struct flo_err *err)
{
    const char *colon = strrchr(text, ':');
    size_t chars = strlen(text);
    char *end;

    *scale = 1;
    if (colon != NULL && colon[1] != '\0') {
        float value = strtof(colon + 1, &end);

        if (*end == '\0') {
            *scale = value;
            chars = (size_t)(colon - text);
        }
    }
    if (chars == 0 || chars >= bytes) {
        return flo_fail(err, FLO_E_USAGE, "--lora is '%s', not FILE[:SCALE]",
                        text);
    }
    memcpy(path, text, chars);
    path[chars] = '\0';
    return 0;
}

int flo_tool_engine_options(const struct flo_tool *tool,
                            struct flo_engine_options *options,
                            struct flo_err *err)
{
    int rv;

    *options = (struct flo_engine_options){
        .memory_bytes_max = tool->memory_bytes_max,
        .kernel = tool->kernel,
        .packed = tool->packed != NULL && strcmp(tool->packed, "none") == 0
                      ? ""
                      : tool->packed,
    };
    if ((rv = fits_u32("ctx", tool->context, &options->context, err)) < 0 ||
        (rv = fits_u32("threads", tool->threads, &options->threads, err)) < 0 ||
        (rv = fits_u32("batch", tool->batch, &options->batch, err)) < 0) {
        return rv;
    }
    if (tool->lora != NULL) {
        FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
        char path[PATH_MAX];
        float scale;

        if ((rv = split_lora(tool->lora, path, sizeof(path), &scale, err)) <
                0 ||
            (rv = flo_file_open(path, &fd, err)) < 0) {
            return rv;
        }
        rv = flo_adapter_reckon(fd, &options->adapter_bytes, err);
        if (rv < 0) {
            return flo_wrap(err, rv, "%s", path);
        }
    }
    return read_kv_type(tool->kv, &options->kv_type, err);
}

int flo_tool_sampling(const struct flo_tool *tool,
                      struct flo_sampling *sampling, struct flo_err *err)
{
    char *end;

    *sampling = (struct flo_sampling){.seed = tool->seed};
    if (tool->temperature == NULL) {
        return 0;
    }
    sampling->temperature = strtof(tool->temperature, &end);
    if (end == tool->temperature || *end != '\0') {
        return flo_fail(err, FLO_E_USAGE, "--temp is '%s', not a number",
                        tool->temperature);
    }
    return flo_sampling_check(sampling, err);
}

int flo_tool_open(const struct flo_tool *tool, enum flo_vocabulary vocabulary,
                  struct flo_tool_model *m, struct flo_err *err)
{
    struct flo_backend_options options = {0};
    char adapter[PATH_MAX];
    int rv;

    if (tool->model == NULL) {
        return flo_fail(err, FLO_E_USAGE, "--model is missing");
    }
    if ((rv = flo_tool_engine_options(tool, &options.engine, err)) < 0 ||
        (rv = flo_backend_find(tool->backend, &m->backend, err)) < 0) {
        return rv;
    }
    if (tool->lora != NULL) {
        options.adapter = adapter;
        rv = split_lora(tool->lora, adapter, sizeof(adapter),
                        &options.adapter_scale, err);
    }
    options.engine.vocabulary = vocabulary;
    rv = rv < 0 ? rv : m->backend->open(tool->model, &options, &m->state, err);
    if (rv < 0) {
        return rv;
    }
    m->info = m->backend->info(m->state);
    m->text = m->backend->text(m->state);
    if (m->info->packed_why[0] != '\0') {
        fprintf(stderr, "warning: %s.packed is not used: %s\n", tool->model,
                m->info->packed_why);
    }
    return m->text != NULL || vocabulary != FLO_VOCABULARY_NEEDED
               ? 0
               : flo_fail(err, FLO_E_USAGE, "backend '%s' reads no text",
                          m->backend->name);
}

void flo_tool_close(struct flo_tool_model *m)
{
    if (m->backend != NULL) {
        m->backend->close(m->state);
    }
}

int flo_tool_feed(const struct flo_tool_model *m, const int32_t *tokens,
                  size_t count, struct flo_err *err)
{
    return count == 1
               ? m->backend->decode(m->state, tokens[0], err)
               : m->backend->prefill(m->state, tokens, count, NULL, NULL, err);
}

int flo_tool_grammar(const struct flo_tool *tool, struct flo_engine *engine,
                     struct flo_grammar **grammar, struct flo_err *err)
{
    const char *path = tool->grammar != NULL ? tool->grammar : tool->schema;
    char *text = NULL;
    size_t bytes = 0;
    int rv;

    if (path == NULL) {
        return 0;
    }
    if (tool->grammar != NULL && tool->schema != NULL) {
        return flo_fail(err, FLO_E_USAGE,
                        "--grammar and --json-schema exclude each other");
    }
    rv = flo_file_read(path, FLO_GRAMMAR_TEXT_BYTES_MAX, &text, &bytes, err);
    if (rv == 0) {
        rv = flo_grammar_open(engine,
                              tool->grammar != NULL ? FLO_GRAMMAR_GBNF
                                                    : FLO_GRAMMAR_SCHEMA,
                              text, bytes, grammar, err);
        rv = rv < 0 ? flo_wrap(err, rv, "%s", path) : 0;
    }
    free(text);
    return rv;
}

int flo_tool_next(struct flo_grammar *grammar, struct flo_sampler *sampler,
                  const struct flo_tool_model *model, uint64_t most,
                  struct flo_tool_next *next, struct flo_err *err)
{
    const float *logits = model->backend->logits(model->state);
    struct flo_sample sample;
    int rv = 0;

    next->count = 0;
    if (most == 0 || (grammar != NULL && flo_grammar_is_done(grammar))) {
        return 0;
    }
    if (grammar == NULL) {
        flo_sampler_sample(sampler, logits, &sample);
    } else {
        rv = flo_grammar_sample(grammar, sampler, logits, &sample, err);
    }
    next->tokens[next->count++] = sample.token;
    if (rv == 0 && grammar != NULL) {
        size_t room = FLO_GRAMMAR_FORCED_MAX;
        next->count += flo_grammar_forced(grammar, next->tokens + 1,
                                          most <= room ? most - 1 : room);
    }
    for (size_t i = 1; i < next->count; i++) {
        flo_sampler_accept(sampler, next->tokens[i]);
    }
    return rv;
}

static int bad_tokens(struct flo_err *err)
{
    return flo_fail(err, FLO_E_USAGE,
                    "--tokens takes ids with commas between, as 1,2,3");
}

int flo_tool_tokens(const struct flo_tool *tool, int32_t **tokens,
                    size_t *count, struct flo_err *err)
{
    const char *at = tool->tokens;
    size_t found = 0;
    int32_t *ids;

    if (at == NULL) {
        return bad_tokens(err);
    }
    ids = malloc((strlen(at) / 2 + 1) * sizeof(*ids));
    if (ids == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the tokens");
    }
    for (;;) {
        char *end;
        unsigned long id;

        errno = 0;
        id = strtoul(at, &end, 10);
        if (*at < '0' || *at > '9' || errno != 0 || id > INT32_MAX ||
            (*end != ',' && *end != '\0')) {
            free(ids);
            return bad_tokens(err);
        }
        ids[found++] = (int32_t)id;
        if (*end == '\0') {
            break;
        }
        at = end + 1;
    }
    *tokens = ids;
    *count = found;
    return 0;
}

void flo_tool_progress(const char *what, uint64_t done, uint64_t total,
                       uint64_t started_us)
{
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    if (done == total) {
        fputs("\r\033[K", stderr);
    } else if (done > 0) {
        uint64_t left_s =
            (flo_now_us() - started_us) / done * (total - done) / 1000000;
        fprintf(stderr, "\r%s %llu/%llu, %02llu:%02llu left\033[K", what,
                (unsigned long long)done, (unsigned long long)total,
                (unsigned long long)left_s / 60,
                (unsigned long long)left_s % 60);
    }
}

static void print_json_error(const struct flo_err *err)
{
    struct flo_buf out = {0};
    const char *fix = err->fix[0] != '\0' ? err->fix : flo_error_fix(err->code);

    flo_buf_printf(&out, "{\"error\":{\"id\":\"%s\",\"what\":\"",
                   flo_error_id(err->code));
    flo_buf_json_text(&out, err->what, strlen(err->what));
    flo_buf_text(&out, "\",\"why\":\"");
    flo_buf_json_text(&out, err->why, strlen(err->why));
    flo_buf_text(&out, "\",\"fix\":\"");
    flo_buf_json_text(&out, fix, strlen(fix));
    flo_buf_text(&out, "\"}}\n");
    if (!out.failed) {
        fwrite(out.data, 1, out.bytes, stdout);
    }
    flo_buf_deinit(&out);
}

int flo_tool_end(const struct flo_tool *tool, int rv, const struct flo_err *err)
{
    struct flo_err late = {0};

    if (rv >= 0 && fflush(stdout) != 0) {
        rv = flo_fail_errno(&late, FLO_E_IO_WRITE, "stdout");
        err = &late;
    }
    if (rv >= 0) {
        return FLO_EXIT_OK;
    }
    if (tool->is_json) {
        print_json_error(err);
    }
    return flo_err_print(stderr, err);
}
