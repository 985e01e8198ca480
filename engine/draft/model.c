/* Draft model: see model.h. */
#include "engine/draft/model.h"

#include <stdlib.h>

#include <flotilla/engine_step.h>
#include <flotilla/errors/draft.h>

struct flo_draft_model {
    struct flo_engine *engine;
    uint32_t n_sessions;
    struct flo_session *sessions[]; /* one for each sequence */
};

/* Makes the options that open the model: with the context of the large one, or
 * its own largest context if that is smaller. */
static int find_options(int fd, uint32_t context, const struct flo_drafter_options *options,
                        struct flo_engine_options *out, struct flo_err *err)
{
    struct flo_engine_plan own;

    *out = (struct flo_engine_options){
        .threads = options->threads,
        .sessions = options->sequences > 0 ? options->sequences : 1,
        .batch = FLO_DRAFT_CATCH_UP,
        .vocabulary = FLO_VOCABULARY_NEEDED,
        .packed = "",
        .pool = options->pool,
        .compute = options->compute,
    };
    FLO_TRY(flo_engine_plan_fd(fd, out, &own, err));
    out->memory_bytes_max = options->memory_bytes_max;
    out->context = context < own.context_trained ? context : own.context_trained;
    return 0;
}

int flo_draft_model_plan(int fd, uint32_t context, const struct flo_drafter_options *options,
                         uint64_t *bytes, struct flo_err *err)
{
    struct flo_engine_options own;
    struct flo_engine_plan plan;

    FLO_TRY(find_options(fd, context, options, &own, err));
    FLO_TRY(flo_engine_plan_fd(fd, &own, &plan, err));
    *bytes = plan.total_bytes;
    return 0;
}

static int check_vocabulary(const struct flo_engine *engine, const struct flo_engine *large,
                            struct flo_err *err)
{
    uint32_t own = flo_engine_info(engine)->n_vocab, wanted = flo_engine_info(large)->n_vocab;

    if (own == wanted && flo_vocabulary_checksum(engine) == flo_vocabulary_checksum(large)) {
        return 0;
    }
    return flo_fail(err, FLO_E_DRAFT_UNFIT,
                    "the draft model's vocabulary of %u tokens is not the model's of %u", own,
                    wanted);
}

static int check_kind(const struct flo_engine *engine, struct flo_err *err)
{
    unsigned needed = FLO_COMPUTE_ANSWERS | FLO_COMPUTE_CUTS;

    return (flo_engine_info(engine)->properties & needed) == needed
               ? 0
               : flo_fail(err, FLO_E_DRAFT_UNFIT,
                          "the draft model writes no text, or cannot drop its last tokens at no "
                          "cost");
}

static int open_sessions(struct flo_draft_model *model, uint32_t count, struct flo_err *err)
{
    for (; model->n_sessions < count; model->n_sessions++) {
        FLO_TRY(flo_session_open(model->engine, &model->sessions[model->n_sessions], err));
    }
    return 0;
}

static int open_all(struct flo_draft_model *model, int fd, const struct flo_engine *large,
                    const struct flo_drafter_options *options, struct flo_err *err)
{
    struct flo_engine_options own;

    FLO_TRY(find_options(fd, flo_engine_info(large)->context, options, &own, err));
    FLO_TRY(flo_engine_open_fd(fd, &own, &model->engine, err));
    FLO_TRY(check_kind(model->engine, err));
    FLO_TRY(check_vocabulary(model->engine, large, err));
    return open_sessions(model, own.sessions, err);
}

int flo_draft_model_open(int fd, const struct flo_engine *large,
                         const struct flo_drafter_options *options, struct flo_draft_model **out,
                         struct flo_err *err)
{
    size_t count = options->sequences > 0 ? options->sequences : 1;
    struct flo_draft_model *model = calloc(1, sizeof(*model) + count * sizeof(model->sessions[0]));

    if (model == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a draft model");
    }
    int rv = open_all(model, fd, large, options, err);
    if (rv < 0) {
        flo_draft_model_close(model);
        return rv;
    }
    *out = model;
    return 0;
}

void flo_draft_model_close(struct flo_draft_model *model)
{
    if (model == NULL) {
        return;
    }
    while (model->n_sessions > 0) {
        flo_session_close(model->sessions[--model->n_sessions]);
    }
    flo_engine_close(model->engine);
    free(model);
}

uint64_t flo_draft_model_bytes(const struct flo_draft_model *model)
{
    return flo_engine_info_bytes(flo_engine_info(model->engine));
}

/* ---- guesses ---- */

/* Returns how many of the tokens the session keeps.  The last one is always
 * computed, because its logits are needed. */
static uint32_t common_with(const struct flo_session *session, const int32_t *tokens,
                            uint32_t count)
{
    return flo_session_held(session, flo_session_common(session, tokens, count - 1));
}

void flo_draft_model_forget(struct flo_draft_model *model, uint32_t sequence)
{
    flo_session_reset(model->sessions[sequence]);
}

uint32_t flo_draft_model_lag(const struct flo_draft_model *model, uint32_t sequence,
                             const int32_t *tokens, uint32_t count)
{
    return count - common_with(model->sessions[sequence], tokens, count);
}

static int32_t most_probable(const float *logits, uint32_t n_vocab)
{
    uint32_t best = 0;

    for (uint32_t i = 1; i < n_vocab; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    return (int32_t)best;
}

/* Computes tokens that the session lacks.  Returns true if it then has all of
 * them, with the logits of the last. */
static bool catch_up(struct flo_session *session, const int32_t *tokens, uint32_t count)
{
    uint32_t common = common_with(session, tokens, count);
    uint32_t rows = count - common < FLO_DRAFT_CATCH_UP ? count - common : FLO_DRAFT_CATCH_UP;
    bool is_all = common + rows == count;

    flo_session_truncate(session, common);
    return flo_session_decode(session, tokens + common, rows,
                              is_all ? FLO_LOGITS_LAST : FLO_LOGITS_NONE, NULL) == 0 &&
           is_all;
}

uint32_t flo_draft_model_guess(struct flo_draft_model *model, uint32_t sequence,
                               const int32_t *tokens, uint32_t count, int32_t *out, uint32_t most)
{
    const struct flo_engine_info *info = flo_engine_info(model->engine);
    struct flo_session *session = model->sessions[sequence];
    uint32_t guessed = 0;

    if (count == 0 || count + most > info->context || !catch_up(session, tokens, count)) {
        return 0;
    }
    while (guessed < most) {
        int32_t token = most_probable(flo_session_logits(session), info->n_vocab);
        if (flo_engine_is_end(model->engine, token)) {
            break; /* an answer's end is no token of it */
        }
        out[guessed++] = token;
        if (guessed < most && flo_session_decode(session, &token, 1, FLO_LOGITS_LAST, NULL) < 0) {
            break;
        }
    }
    return guessed;
}
