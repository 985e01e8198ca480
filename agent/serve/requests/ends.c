/* Ends: adds a request's numbers to the counters, and decides whether they
 * count for the release. */
#include "agent/serve/requests/ends.h"

#include <flotilla/errors/infer.h>

#include "agent/serve/requests/apps.h"

/* Adds the times of a request.  A batch request has no latency, because no user
 * waits for it. */
static void add_times(struct serve_request *request, const struct flo_serve_request_stats *stats)
{
    struct serve_counters *counters = &request->serve->counters;

    flo_timing_add(&counters->prompt, request->prompt_us);
    if (stats->is_batch) {
        if (stats->tokens_out > 0) {
            flo_timing_add(&counters->batch_token, flo_serve_batch_token_us(stats));
        }
        return;
    }
    flo_timing_add(&counters->request, stats->total_us);
    flo_timing_add(&request->place->numbers.request, stats->total_us);
    flo_timing_add(&counters->queue, stats->queue_us);
    if (request->first_us > 0) {
        flo_timing_add(&counters->ttft, stats->ttft_us);
        flo_timing_add(&request->place->numbers.ttft, stats->ttft_us);
    }
}

bool flo_ends_is_batch(const struct serve_request *request)
{
    return flo_serve_call_kind(&request->params.message) == CALL_BATCH;
}

/* Tells whether the request was refused before a model was asked, so that it
 * does not count for a release. */
static bool was_kept_out(const struct serve_request *request, int error)
{
    return error == FLO_E_INFER_QUOTA ||
           (request->tokens_in + request->tokens_out == 0 &&
            (error == FLO_E_INFER_GUARD || error == FLO_E_INFER_GUARD_FAILED));
}

/* Returns the number of tokens in the prompt.  The engine reports it only at
 * the end, so it is estimated from the bytes when a client breaks off. */
static uint32_t tokens_of_prompt(const struct serve_request *request, uint32_t tokens_in, int error)
{
    return tokens_in > 0 || error != FLO_E_INFER_CANCELLED || request->tokens_out == 0
               ? tokens_in
               : (uint32_t)(request->params.parts.bytes / 4 + 1);
}

void flo_ends_tell(struct serve_request *request, uint32_t tokens_in, int error)
{
    struct flo_serve *serve = request->serve;
    struct serve_counters *counters = &serve->counters;
    struct flo_serve_request_stats stats = {
        .release = request->release,
        .queue_us = request->queue_us,
        .load_us = request->load_us,
        .total_us = flo_now_us() - request->came_us,
        .tokens_in = tokens_in,
        .tokens_out = request->tokens_out,
        .guessed = request->guessed,
        .guessed_right = request->guessed_right,
        .is_batch = flo_ends_is_batch(request),
        /* A guard may have failed, but the model itself has answered. */
        .error = error == FLO_E_INFER_GUARD_FAILED ? 0 : error,
    };
    if (request->kind == REQUEST_TOKENISE || request->kind == REQUEST_DETOKENISE) {
        return; /* no inference */
    }
    counters->requests++;
    if (error == FLO_E_INFER_CANCELLED) {
        counters->cancelled++;
    } else if (error != 0) {
        counters->errors++;
    }
    if (was_kept_out(request, error)) {
        return;
    }
    if (request->first_us > 0) {
        stats.ttft_us = request->first_us - request->came_us;
    }
    if (request->tokens_out > 1) {
        stats.token_us = request->answer_us / (request->tokens_out - 1);
    }
    flo_app_spend(request, tokens_of_prompt(request, tokens_in, error), request->tokens_out);
    counters->tokens_in += tokens_in;
    counters->tokens_out += request->tokens_out;
    request->place->numbers.requests++;
    request->place->numbers.tokens_in += tokens_in;
    request->place->numbers.tokens_out += request->tokens_out;
    request->place->numbers.guessed += request->guessed;
    request->place->numbers.guessed_right += request->guessed_right;
    if (stats.error == 0) {
        add_times(request, &stats);
    } else if (stats.error != FLO_E_INFER_CANCELLED) {
        request->place->numbers.errors++;
    }
    /* Only generated answers rate a release, and not those that the agent
     * breaks off when it stops. */
    if (request->kind != REQUEST_EMBED && !serve->is_closing &&
        request->place->model < FLO_SERVE_MODELS_MAX) {
        flo_news_request(serve->news, request->place->model, &stats);
    }
}
