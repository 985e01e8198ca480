/* Common: converts options, opens models and computes tokens for the
 * commands. */
#include "engine/tools/common.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/adapter.h>
#include <flotilla/engine_wire.h>
#include <flotilla/errors/model.h>

#include "base/gguf/gguf.h"
#include "base/quant/quant.h"
#include "engine/model/file/unread.h"
#include "engine/model/session.h"
#include "engine/pack/sidecar.h"
#include "engine/sample/sampler.h"

const char *const flo_tool_kv_names[] = {
    [FLO_KV_AUTO] = "auto", [FLO_KV_F16] = "f16",   [FLO_KV_F32] = "f32",
    [FLO_KV_Q8_0] = "q8_0", [FLO_KV_Q4_0] = "q4_0",
};

/* Converts the value of --kv.  NULL means the default. */
static enum flo_kv_type kv_type(const char *name)
{
    size_t i = FLO_COUNT(flo_tool_kv_names);

    while (name != NULL && i > 0 && strcmp(name, flo_tool_kv_names[--i]) != 0) {
    }
    return name == NULL ? FLO_KV_AUTO : (enum flo_kv_type)i;
}

/* Reads the value of --lora, such as "FILE:0.5".  If no number follows the last
 * colon, the whole text is the file's name. */
static int read_lora(const char *text, struct flo_tool_setup *setup, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    const char *colon = strrchr(text, ':');
    size_t chars = strlen(text);
    struct flo_backend_options *options = &setup->options;

    options->adapter_scale = 1;
    if (colon != NULL && colon[1] != '\0') {
        char *end;
        float scale = strtof(colon + 1, &end);

        if (*end == '\0') {
            options->adapter_scale = scale;
            chars = (size_t)(colon - text);
        }
    }
    if (chars == 0 || chars >= sizeof(setup->adapter)) {
        return flo_fail(err, FLO_E_USAGE, "--lora is '%s', not FILE[:SCALE]", text);
    }
    memcpy(setup->adapter, text, chars);
    setup->adapter[chars] = '\0';
    options->adapter = setup->adapter;
    FLO_TRY(flo_file_open(setup->adapter, &fd, err));
    int rv = flo_adapter_reckon(fd, &options->engine.adapter_bytes, err);
    if (rv == 0) {
        struct flo_gguf *gguf = NULL;
        rv = flo_gguf_open_fd(fd, &gguf, err);
        if (rv == 0) {
            rv = flo_unread_check(gguf, err);
        }
        flo_gguf_close(gguf);
    }
    return rv < 0 ? flo_wrap(err, rv, "%s", setup->adapter) : 0;
}

static void find_packed(const struct flo_tool *tool, struct flo_tool_setup *setup)
{
    const char *named = setup->options.engine.packed;
    size_t size = sizeof(setup->packed);
    int bytes = named != NULL
                    ? snprintf(setup->packed, size, "%s", named)
                    : snprintf(setup->packed, size, "%s%s", tool->model, FLO_SIDECAR_SUFFIX);

    if (bytes >= (int)size) { /* no file can have so long a path, so there is no packed file */
        setup->packed[0] = '\0';
    }
}

int flo_tool_setup(const struct flo_tool *tool, struct flo_tool_setup *setup, struct flo_err *err)
{
    setup->options = (struct flo_backend_options){
        .engine.context = (uint32_t)tool->context,
        .engine.threads = (uint32_t)tool->threads,
        .engine.batch = (uint32_t)tool->batch,
        .engine.memory_bytes_max = tool->memory_bytes_max,
        .engine.kernel = tool->kernel,
        .engine.accepts_inexact = tool->accepts_inexact,
        .engine.packed_fd = tool->packed_fd,
        .engine.pool = tool->pool,
        .model_fd = tool->model_fd,
        .engine.kv_type = kv_type(tool->kv),
        .engine.packed =
            tool->packed != NULL && strcmp(tool->packed, "none") == 0 ? "" : tool->packed,
    };
    find_packed(tool, setup);
    return tool->lora != NULL ? read_lora(tool->lora, setup, err) : 0;
}

static int read_sampling(const struct flo_tool *tool, struct flo_sampling *sampling,
                         struct flo_err *err)
{
    char *end;

    *sampling = (struct flo_sampling){.seed = tool->seed};
    if (tool->temperature == NULL) {
        return 0;
    }
    sampling->temperature = strtof(tool->temperature, &end);
    if (end == tool->temperature || *end != '\0') {
        return flo_fail(err, FLO_E_USAGE, "--temp is '%s', not a number", tool->temperature);
    }
    return flo_sampling_check(sampling, err);
}

static void text_free(char **text)
{
    free(*text);
}

int flo_tool_open(const struct flo_tool *tool, enum flo_vocabulary vocabulary,
                  struct flo_tool_model *m, struct flo_err *err)
{
    FLO_CLEANUP(text_free) char *chat_template = NULL;
    FLO_CLEANUP(flo_fd_cleanup) int cached = -1;
    int rv = flo_tool_setup(tool, &m->setup, err);

    if (rv == 0 && tool->chat_template != NULL) {
        rv = flo_wire_template_read(tool->chat_template, &chat_template, err);
    }
    FLO_TRY(rv);
    FLO_TRY(flo_compute_find(tool->backend, &m->setup.options.engine.compute, err));
    m->backend = &flo_backend_native;
    m->setup.options.engine.vocabulary = vocabulary;
    m->setup.options.engine.chat_template = chat_template;
    if (tool->caches_packed && tool->packed == NULL && tool->backend == NULL) {
        cached = flo_tool_cached(tool);
        m->setup.options.engine.packed_fd = cached < 0 ? 0 : cached;
    }
    rv = m->backend->open(tool->model, &m->setup.options, &m->state, err);
    if (rv == FLO_E_PACKED && cached >= 0) {
        flo_tool_uncache(tool);
        m->setup.options.engine.packed_fd = 0;
        rv = m->backend->open(tool->model, &m->setup.options, &m->state, err);
    }
    m->setup.options.engine.packed_fd = 0;
    /* The text of the template is freed; the engine has read it already. */
    m->setup.options.engine.chat_template = NULL;
    FLO_TRY(rv);
    m->info = m->backend->info(m->state);
    m->text = m->backend->text(m->state);
    if (m->text != NULL) {
        FLO_TRY(flo_unread_check(m->text->gguf, err));
    }
    if (m->info->packed_why[0] != '\0') {
        fprintf(stderr, "warning: %s.packed is not used: %s\n", tool->model, m->info->packed_why);
    }
    return m->text != NULL || vocabulary != FLO_VOCABULARY_NEEDED
               ? 0
               : flo_fail(err, FLO_E_USAGE, "backend '%s' reads no text", m->backend->name);
}

int flo_tool_feed(const struct flo_tool_model *m, const int32_t *tokens, size_t count,
                  struct flo_err *err)
{
    return count == 1 ? m->backend->decode(m->state, tokens[0], err)
                      : m->backend->prefill(m->state, tokens, count, NULL, NULL, err);
}

static int open_grammar(const struct flo_tool *tool, struct flo_engine *engine,
                        struct flo_grammar **grammar, struct flo_err *err)
{
    const char *path = tool->grammar != NULL ? tool->grammar : tool->schema;
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    size_t bytes = 0;

    if (path == NULL) {
        return 0;
    }
    if (tool->grammar != NULL && tool->schema != NULL) {
        return flo_fail(err, FLO_E_USAGE, "--grammar and --json-schema exclude each other");
    }
    FLO_TRY(flo_file_read(path, FLO_GRAMMAR_TEXT_BYTES_MAX, &text, &bytes, err));
    int rv = flo_grammar_open(engine, tool->grammar != NULL ? FLO_GRAMMAR_GBNF : FLO_GRAMMAR_SCHEMA,
                              text, bytes, grammar, err);
    return rv < 0 ? flo_wrap(err, rv, "%s", path) : 0;
}

int flo_tool_answer_open(const struct flo_tool *tool, enum flo_vocabulary vocabulary,
                         struct flo_tool_answer *a, struct flo_err *err)
{
    struct flo_sampling sampling;

    FLO_TRY(read_sampling(tool, &sampling, err));
    FLO_TRY(flo_tool_open(tool, vocabulary, &a->model, err));
    FLO_TRY(flo_sampler_make(a->model.info->n_vocab, &sampling, &a->sampler, err));
    return open_grammar(tool, a->model.text, &a->grammar, err);
}

void flo_tool_answer_close(struct flo_tool_answer *a)
{
    flo_grammar_close(a->grammar);
    flo_sampler_close(a->sampler);
    if (a->model.backend != NULL && a->model.state != NULL) {
        a->model.backend->close(a->model.state);
    }
    memset(a, 0, sizeof(*a));
}

int flo_tool_answer_next(struct flo_tool_answer *a, uint64_t most, struct flo_err *err)
{
    struct flo_sample sample;
    int rv = 0;

    if (most == 0 || (a->grammar != NULL && flo_grammar_is_done(a->grammar))) {
        a->count = 0;
        return 0;
    }
    if (a->count > 0) {
        rv = flo_tool_feed(&a->model, a->tokens, a->count, err);
    }
    FLO_TRY(rv);
    const float *logits = a->model.backend->logits(a->model.state);
    if (a->grammar == NULL) {
        flo_sampler_sample(a->sampler, logits, &sample);
    } else {
        rv = flo_grammar_sample(a->grammar, a->sampler, logits, &sample, err);
    }
    FLO_TRY(rv);
    a->tokens[0] = sample.token;
    a->is_finite = sample.is_finite;
    a->gap = sample.gap;
    a->count = 1;
    if (a->grammar != NULL) {
        size_t room = FLO_GRAMMAR_FORCED_MAX;
        a->count +=
            flo_grammar_forced(a->grammar, a->tokens + 1, (size_t)(most <= room ? most - 1 : room));
    }
    for (size_t i = 1; i < a->count; i++) {
        flo_sampler_accept(a->sampler, a->tokens[i]);
    }
    return 0;
}

int flo_tool_tokens(const struct flo_tool *tool, int32_t **tokens, size_t *count,
                    struct flo_err *err)
{
    const char *at = tool->tokens != NULL ? tool->tokens : "";
    int32_t *ids = malloc((strlen(at) / 2 + 1) * sizeof(*ids));
    bool is_list = true;
    size_t found = 0;

    if (ids == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the tokens");
    }
    do {
        char *end;
        unsigned long id = strtoul(at, &end, 10);

        is_list = *at >= '0' && *at <= '9' && id <= INT32_MAX && (*end == ',' || *end == '\0');
        ids[found++] = (int32_t)id;
        at = end + 1;
    } while (is_list && at[-1] == ',');
    if (!is_list) {
        free(ids);
        return flo_fail(err, FLO_E_USAGE, "--tokens takes ids with commas between, as 1,2,3");
    }
    *tokens = ids;
    *count = found;
    return 0;
}

int flo_tool_prompt(struct flo_engine *engine, const struct flo_tool_prompt *prompt,
                    int32_t *tokens, size_t tokens_max, size_t *count, struct flo_err *err)
{
    const char *user = prompt->prompt, *system = prompt->system;
    struct flo_engine_message messages[2];
    size_t n = 0;

    if (prompt->is_raw) {
        return flo_engine_tokenise(engine, user, strlen(user), FLO_TEXT_SPECIAL | FLO_TEXT_ENDS,
                                   tokens, tokens_max, count, err);
    }
    if (system != NULL) {
        messages[n++] =
            (struct flo_engine_message){.role = "system", .text = system, .bytes = strlen(system)};
    }
    messages[n++] =
        (struct flo_engine_message){.role = "user", .text = user, .bytes = strlen(user)};
    return flo_engine_chat(engine, messages, n, tokens, tokens_max, count, err);
}

double flo_tool_log_sum(const float *logits, uint32_t count, uint32_t *best)
{
    uint32_t most = 0;
    double total = 0;

    for (uint32_t i = 1; i < count; i++) {
        most = logits[i] > logits[most] ? i : most;
    }
    for (uint32_t i = 0; i < count; i++) {
        total += exp((double)logits[i] - (double)logits[most]);
    }
    if (best != NULL) {
        *best = most;
    }
    return (double)logits[most] + log(total);
}

double flo_tool_divergence(const float *p, double p_total, const float *q, double q_total,
                           uint32_t count)
{
    double sum = 0;

    for (uint32_t i = 0; i < count; i++) {
        double log_p = (double)p[i] - p_total;
        sum += exp(log_p) * (log_p - ((double)q[i] - q_total));
    }
    return sum < 0 ? 0 : sum; /* rounding */
}

int flo_tool_by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

int flo_tool_gguf(const char *path, struct flo_gguf **gguf, struct flo_err *err)
{
    if (path == NULL) {
        return 0;
    }
    FLO_TRY(flo_gguf_open_path(path, gguf, err));
    int rv = flo_unread_check(*gguf, err);
    if (rv == 0) {
        rv = flo_gguf_scan_nonfinite(*gguf, err);
    }
    return rv < 0 ? flo_wrap(err, rv, "%s", path) : 0;
}
