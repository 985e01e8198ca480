/* Step: makes one pass over tokens of several sessions, and copies caches
 * between sessions. */
#include <flotilla/engine_step.h>

#include <string.h>

#include "engine/model/compute.h"

/* ---- one pass ---- */

static int check_steps(const struct flo_engine *e, const struct flo_step *steps, size_t count,
                       struct flo_err *err)
{
    uint64_t seen = 0; /* sessions, by index */
    size_t rows = 0;
    int rv = 0;

    for (size_t i = 0; rv == 0 && i < count; i++) {
        uint64_t bit = 1ull << steps[i].session->index;

        rows += steps[i].count;
        if (rows > e->sizes.batch || (seen & bit) != 0) {
            return flo_fail(err, FLO_E_INFER_PARAM,
                            (seen & bit) != 0 ? "step %zu is of a session that has one"
                                              : "step %zu makes more than %u tokens",
                            i, e->sizes.batch);
        }
        seen |= bit;
        rv = flo_session_check(steps[i].session, steps[i].tokens, steps[i].count, err);
    }
    return count == 0 ? flo_fail(err, FLO_E_INFER_PARAM, "no steps") : rv;
}

/* Lists the rows whose logits are wanted, in the order of the steps. */
static uint32_t list_wanted(const struct flo_step *steps, size_t count, struct flo_wanted_row *out)
{
    uint32_t row = 0, n = 0;

    for (size_t i = 0; i < count; i++) {
        uint32_t last = steps[i].count - 1;
        uint32_t first = steps[i].rows == FLO_ROWS_ALL ? 0 : last;

        for (uint32_t t = first; steps[i].rows != FLO_ROWS_NONE && t <= last; t++) {
            out[n++] = (struct flo_wanted_row){(uint32_t)i, t, row + t};
        }
        row += steps[i].count;
    }
    return n;
}

/* Gives the logits of the wanted rows to the steps' callbacks.  If a callback
 * ends its step, the session drops the tokens after that row. */
static void give_rows(struct flo_engine *e, const struct flo_step *steps,
                      const struct flo_request *request)
{
    const struct flo_wanted_row *wanted = request->wanted;
    const struct flo_step *ended = NULL;
    uint32_t count = request->wanted_count;

    for (uint32_t at = 0; at < count;) {
        uint32_t left = count - at;
        uint32_t here = left < FLO_ROWS_AT_ONCE ? left : FLO_ROWS_AT_ONCE;

        if (request->logits == NULL) {
            e->compute->rows(e, at, here, e->scratch.rows);
        }
        for (uint32_t i = 0; i < here; i++) {
            const struct flo_step *step = &steps[wanted[at + i].span];
            const float *logits = e->scratch.rows + (size_t)i * e->hparams.n_vocab;
            uint32_t index = wanted[at + i].index;

            if (step != ended && !step->row(step->context, index, logits)) {
                step->session->position -= step->count - 1 - index;
                ended = step;
            }
        }
        at += here;
        while (at < count && &steps[wanted[at].span] == ended) {
            at++;
        }
    }
}

static int run_steps(struct flo_engine *e, const struct flo_step *steps, size_t count,
                     struct flo_request *request, struct flo_err *err)
{
    struct flo_span spans[FLO_ENGINE_SESSIONS_MAX];
    struct flo_wanted_row wanted[FLO_BATCH_MAX];
    uint64_t started_us = flo_now_us(), spent_us;
    uint32_t rows = 0;

    for (size_t i = 0; i < count; i++) {
        spans[i] = (struct flo_span){steps[i].session, steps[i].tokens, steps[i].count};
        rows += steps[i].count;
    }
    request->spans = spans;
    request->span_count = (uint32_t)count;
    request->wanted = wanted;
    request->wanted_count = list_wanted(steps, count, wanted);
    /* The logits of a single row are computed in the job of the pass, so the
     * threads need not wake again. */
    request->logits = request->wanted_count == 1 ? e->scratch.rows : NULL;
    FLO_TRY(e->compute->pass(e, request, err));
    spent_us = flo_now_us() - started_us;
    for (size_t i = 0; i < count; i++) {
        steps[i].session->has_logits = false;
        flo_session_keep(steps[i].session, steps[i].tokens, steps[i].count);
        flo_session_count_time(steps[i].session, steps[i].count, spent_us * steps[i].count / rows);
    }
    give_rows(e, steps, request);
    return 0;
}

int flo_engine_step(struct flo_engine *engine, const struct flo_step *steps, size_t count,
                    flo_stops_fn *stops, void *stops_context, struct flo_err *err)
{
    struct flo_request request = {.stops = stops, .context = stops_context};

    FLO_TRY(check_steps(engine, steps, count, err));
    pthread_mutex_lock(&engine->lock);
    int rv = run_steps(engine, steps, count, &request, err);
    pthread_mutex_unlock(&engine->lock);
    return rv;
}

/* ---- caches of others ---- */

const int32_t *flo_session_tokens(const struct flo_session *session)
{
    return session->tokens;
}

size_t flo_tokens_common(const int32_t *a, size_t a_count, const int32_t *b, size_t b_count)
{
    size_t same = 0;

    while (same < a_count && same < b_count && a[same] == b[same]) {
        same++;
    }
    return same;
}

uint32_t flo_session_common(const struct flo_session *session, const int32_t *tokens, size_t count)
{
    return (uint32_t)flo_tokens_common(session->tokens, session->position, tokens, count);
}

uint32_t flo_session_held(const struct flo_session *session, uint32_t count)
{
    const struct flo_compute *compute = session->engine->compute;

    count = count < session->position ? count : session->position;
    return compute->held == NULL ? count : compute->held(session, count);
}

bool flo_session_mark(struct flo_session *session, uint32_t position)
{
    session->mark = position;
    return session->engine->sizes.state_bytes > 0;
}

void flo_session_begin_as(struct flo_session *session, const struct flo_session *from,
                          uint32_t count)
{
    if (count > from->position) {
        count = from->position;
    }
    if (session != from && count > 0) {
        memcpy(session->tokens, from->tokens, count * sizeof(*from->tokens));
        session->engine->compute->copy(session, from, count);
    }
    flo_session_reset(session);
    session->adapter = from->adapter;
    session->adapter_scale = from->adapter_scale;
    session->position = count;
}
