/* The double: logits are a hash of all tokens so far, so that a token that is
 * lost, doubled or out of place shows in every one of them. */
#include "tests/unit/engine/backend_double.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_VOCAB = 288, CONTEXT_MAX = 256 };

struct flo_backend_model {
    struct flo_engine_info info;
    struct flo_double_spec spec;
    struct flo_backend_stats stats;
    uint32_t calls;
    uint64_t hashes[CONTEXT_MAX + 1]; /* of the tokens before each position */
    float logits[N_VOCAB];
    bool has_logits;
};

void flo_double_tell(struct flo_backend_model *m, const struct flo_double_spec *spec)
{
    m->spec = *spec;
    m->calls = 0;
}

static int double_open(const char *path, const struct flo_backend_options *options,
                       struct flo_backend_model **model, struct flo_err *err)
{
    struct flo_backend_model *m;
    uint32_t context = options->engine.context;

    if (options->adapter != NULL || context > CONTEXT_MAX) {
        return flo_fail(err, FLO_E_USAGE,
                        "%s: the double has no adapters and "
                        "%d tokens of context",
                        path, CONTEXT_MAX);
    }
    m = calloc(1, sizeof(*m));
    if (m == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a double");
    }
    m->info = (struct flo_engine_info){
        .kernel = "hash",
        .n_vocab = N_VOCAB,
        .context = context == 0 ? CONTEXT_MAX : context,
        .threads = 1,
    };
    *model = m;
    return 0;
}

static const struct flo_engine_info *double_info(const struct flo_backend_model *m)
{
    return &m->info;
}

static struct flo_engine *double_text(const struct flo_backend_model *m)
{
    (void)m;
    return NULL;
}

static void put_logits(struct flo_backend_model *m, uint64_t hash)
{
    for (uint32_t i = 0; i < N_VOCAB; i++) {
        uint64_t mixed = (hash ^ i) * 0x9e3779b97f4a7c15u;
        m->logits[i] = (float)(mixed >> 44) / 65536.0f - 8.0f;
    }
    if (m->calls == m->spec.nan_at) {
        m->logits[hash % N_VOCAB] = NAN;
    }
}

static int check(const struct flo_backend_model *m, const int32_t *tokens, size_t count,
                 struct flo_err *err)
{
    if (count > m->info.context - m->stats.position) {
        return flo_fail(err, FLO_E_INFER_TOO_LONG, "%zu tokens behind %u, context is %u", count,
                        m->stats.position, m->info.context);
    }
    for (size_t i = 0; i < count; i++) {
        if (tokens[i] < 0 || tokens[i] >= N_VOCAB) {
            return flo_fail(err, FLO_E_INFER_PARAM, "token %d", tokens[i]);
        }
    }
    return count > 0 ? 0 : flo_fail(err, FLO_E_INFER_PARAM, "no tokens");
}

static int double_prefill(struct flo_backend_model *m, const int32_t *tokens, size_t count,
                          flo_logits_fn *row, void *context, struct flo_err *err)
{
    struct flo_timings *t = &m->stats.timings;
    uint32_t at = m->stats.position;
    int rv = check(m, tokens, count, err);

    if (rv < 0) {
        return rv;
    }
    m->calls++;
    m->has_logits = false;
    for (size_t i = 0; i < count; i++, at++) {
        if (m->calls == m->spec.fails_at && i == count / 2) {
            return flo_fail(err, FLO_E_MEMORY, "call %u", m->calls);
        }
        m->hashes[at + 1] = (m->hashes[at] + (uint64_t)tokens[i] + 1) * 0xff51afd7ed558ccdu;
        if (row != NULL) {
            put_logits(m, m->hashes[at + 1]);
            if ((rv = row(context, at, m->logits)) != 0) {
                return rv;
            }
        }
    }
    m->stats.position = at;
    m->has_logits = row == NULL;
    put_logits(m, m->hashes[at]);
    t->decode_us_last = m->spec.slow_us * count;
    *(count == 1 ? &t->generated_tokens : &t->prompt_tokens) += count;
    *(count == 1 ? &t->generated_us : &t->prompt_us) += t->decode_us_last;
    return 0;
}

static int double_decode(struct flo_backend_model *m, int32_t token, struct flo_err *err)
{
    return double_prefill(m, &token, 1, NULL, NULL, err);
}

static const float *double_logits(const struct flo_backend_model *m)
{
    return m->has_logits ? m->logits : NULL;
}

static void double_reset(struct flo_backend_model *m, uint32_t position)
{
    if (position < m->stats.position) {
        m->stats.position = position;
        m->has_logits = false;
    }
}

static void double_stats(const struct flo_backend_model *m, struct flo_backend_stats *stats)
{
    *stats = m->stats;
}

static void double_close(struct flo_backend_model *m)
{
    free(m);
}

const struct flo_backend flo_backend_double = {
    .name = "double",
    .open = double_open,
    .info = double_info,
    .text = double_text,
    .prefill = double_prefill,
    .decode = double_decode,
    .logits = double_logits,
    .reset = double_reset,
    .stats = double_stats,
    .close = double_close,
};
