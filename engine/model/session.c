/* Session: keeps one sequence of tokens, and appends to it. */
#include <string.h>

#include "engine/model/compute.h"

int flo_session_open(struct flo_engine *engine, struct flo_session **session, struct flo_err *err)
{
    struct flo_session *found = NULL;

    pthread_mutex_lock(&engine->lock);
    for (uint32_t i = 0; i < engine->sizes.sessions && found == NULL; i++) {
        if (!engine->sessions[i].is_open) {
            found = &engine->sessions[i];
            found->is_open = true;
        }
    }
    pthread_mutex_unlock(&engine->lock);
    if (found == NULL) {
        return flo_fail(err, FLO_E_INFER_BUSY, "all %u sessions are taken", engine->sizes.sessions);
    }
    flo_session_reset(found);
    found->adapter = NULL;
    found->timings = (struct flo_timings){0};
    *session = found;
    return 0;
}

void flo_session_close(struct flo_session *session)
{
    struct flo_engine *engine;

    if (session == NULL) {
        return;
    }
    engine = session->engine;
    engine->compute->drop(session);
    pthread_mutex_lock(&engine->lock);
    session->is_open = false;
    pthread_mutex_unlock(&engine->lock);
}

void flo_session_reset(struct flo_session *session)
{
    session->position = 0;
    session->has_logits = false;
}

void flo_session_truncate(struct flo_session *session, uint32_t position)
{
    if (position < session->position) {
        session->position = position;
        session->has_logits = false;
    }
}

uint32_t flo_session_position(const struct flo_session *session)
{
    return session->position;
}

const float *flo_session_logits(const struct flo_session *session)
{
    return session->has_logits ? session->logits : NULL;
}

void flo_session_timings(const struct flo_session *session, struct flo_timings *timings)
{
    *timings = session->timings;
}

int flo_session_check(const struct flo_session *session, const int32_t *tokens, size_t count,
                      struct flo_err *err)
{
    const struct flo_engine *e = session->engine;

    if (count == 0) {
        return flo_fail(err, FLO_E_INFER_PARAM, "no tokens");
    }
    if (count > e->sizes.context - session->position) {
        return flo_fail(err, FLO_E_INFER_TOO_LONG, "%zu tokens behind %u, context is %u", count,
                        session->position, e->sizes.context);
    }
    for (size_t i = 0; i < count; i++) {
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= e->hparams.n_vocab) {
            return flo_fail(err, FLO_E_INFER_PARAM, "token %d is not in the vocabulary of %u",
                            tokens[i], e->hparams.n_vocab);
        }
    }
    return 0;
}

void flo_session_keep(struct flo_session *session, const int32_t *tokens, uint32_t count)
{
    memcpy(session->tokens + session->position, tokens, count * sizeof(*tokens));
    session->position += count;
}

void flo_session_count_time(struct flo_session *session, size_t count, uint64_t spent_us)
{
    struct flo_timings *t = &session->timings;

    t->decode_us_last = spent_us;
    if (count == 1) {
        t->generated_tokens++;
        t->generated_us += spent_us;
    } else {
        t->prompt_tokens += count;
        t->prompt_us += spent_us;
    }
}

static int append_batches(struct flo_session *session, const int32_t *tokens, size_t count,
                          const struct flo_outputs *outputs, struct flo_err *err)
{
    struct flo_engine *e = session->engine;
    struct flo_wanted_row wanted[FLO_BATCH_MAX];
    int rv = 0;

    for (size_t done = 0; rv == 0 && done < count;) {
        size_t left = count - done;
        uint32_t here = left < e->sizes.batch ? (uint32_t)left : e->sizes.batch;
        bool is_last = here == left && outputs->last != NULL;
        bool is_every = outputs->take != NULL && !outputs->states;
        struct flo_span span = {session, tokens + done, here};
        struct flo_request request = {
            .spans = &span,
            .span_count = 1,
            .states = outputs->states,
            .wanted = wanted,
            .wanted_count = is_every ? here : is_last,
            .logits = is_last ? outputs->last : NULL,
        };

        for (uint32_t i = 0; i < request.wanted_count; i++) {
            uint32_t row = is_every ? i : here - 1;
            wanted[i] = (struct flo_wanted_row){0, row, row};
        }
        rv = e->compute->pass(e, &request, err);
        if (rv == 0 && outputs->take != NULL) {
            rv = outputs->take(outputs->context, session, here);
        }
        if (rv == 0) {
            flo_session_keep(session, tokens + done, here);
            done += here;
        }
    }
    return rv;
}

int flo_session_append(struct flo_session *session, const int32_t *tokens, size_t count,
                       const struct flo_outputs *outputs, struct flo_err *err)
{
    uint32_t position = session->position;
    uint64_t started_us;

    FLO_TRY(flo_session_check(session, tokens, count, err));
    session->has_logits = false;
    pthread_mutex_lock(&session->engine->lock);
    started_us = flo_now_us();
    int rv = append_batches(session, tokens, count, outputs, err);
    pthread_mutex_unlock(&session->engine->lock);
    if (rv != 0) {
        session->position = position;
        return rv;
    }
    session->has_logits = outputs->last != NULL;
    flo_session_count_time(session, count, flo_now_us() - started_us);
    return 0;
}

int flo_session_decode(struct flo_session *session, const int32_t *tokens, size_t count,
                       enum flo_logits logits, struct flo_err *err)
{
    const struct flo_outputs outputs = {
        .last = logits == FLO_LOGITS_LAST ? session->logits : NULL,
    };

    return flo_session_append(session, tokens, count, &outputs, err);
}

struct row_spec {
    flo_logits_fn *row;
    void *context;
};

static int give_rows(void *context, struct flo_session *session, uint32_t count)
{
    const struct row_spec *spec = context;
    struct flo_engine *e = session->engine;
    int rv = 0;

    for (uint32_t t = 0; rv == 0 && t < count; t += FLO_ROWS_AT_ONCE) {
        uint32_t left = count - t;
        uint32_t here = left < FLO_ROWS_AT_ONCE ? left : FLO_ROWS_AT_ONCE;

        e->compute->rows(e, t, here, e->scratch.rows);
        for (uint32_t i = 0; rv == 0 && i < here; i++) {
            rv = spec->row(spec->context, session->position + t + i,
                           e->scratch.rows + (size_t)i * e->hparams.n_vocab);
        }
    }
    return rv;
}

int flo_session_decode_rows(struct flo_session *session, const int32_t *tokens, size_t count,
                            flo_logits_fn *row, void *context, struct flo_err *err)
{
    struct row_spec spec = {row, context};
    const struct flo_outputs outputs = {.take = give_rows, .context = &spec};

    return flo_session_append(session, tokens, count, &outputs, err);
}
