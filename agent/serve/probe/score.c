/* Score: measures how likely the live engine finds golden answers.
 *
 * Cases run one by one as batch requests, so the engine serves users first.  A
 * case begins when no request is running, or after WAITS_MAX checks.  A case is
 * one short greedy answer. */
#include "agent/serve/probe/score.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/likelihood.h"
#include "agent/serve/probe/probe_state.h"

/* pause before it is checked again whether users' requests are running */
#define WAIT_MS 200
/* number of checks after which a busy device is measured all the same */
#define WAITS_MAX 20
#define PAUSE_MS 20 /* between two cases */
#define CASES_MAX 64
#define TOKENS_MAX 64

struct score {
    struct flo_serve *serve;
    struct serve_place *place;
    struct serve_engine *engine;
    struct flo_golden golden;
    struct event *wake;
    struct serve_call call;
    struct flo_likelihood likelihood;
    struct flo_serve_scored result;
    double losses;
    uint32_t next_case;
    uint32_t waits;
    void (*done)(void *context, const struct flo_serve_scored *scored);
    void *context;
};

static void score_free(struct score *score)
{
    score->serve->score = NULL;
    flo_serve_engine_cancel(&score->call);
    flo_event_drop(&score->wake);
    flo_golden_deinit(&score->golden);
    free(score);
}

static void finish(struct score *score, int error)
{
    struct flo_serve_scored result = score->result;
    void (*done)(void *context, const struct flo_serve_scored *scored) = score->done;
    struct flo_news *news = score->serve->news;
    unsigned model = score->place->model;
    void *context = score->context;

    result.error = error;
    result.ppm = flo_likelihood_ppm(score->losses, result.answers);
    score_free(score);
    flo_news_scored(news, model, done, context, &result);
}

void flo_score_stop(struct score *score, bool is_told)
{
    if (score != NULL && is_told) {
        finish(score, FLO_E_INFER_BUSY);
    } else if (score != NULL) {
        score_free(score);
    }
}

static void wake_in(struct score *score, uint32_t ms)
{
    struct timeval tv = {.tv_sec = 0, .tv_usec = (suseconds_t)ms * 1000};

    event_add(score->wake, &tv);
}

/* ---- frames ---- */

static void take_token(struct score *score, const struct flo_wire_token *token)
{
    struct flo_wire_text rest = token->logprobs;
    struct flo_likely tokens[1 + FLO_WIRE_LOGPROBS_MAX];
    struct flo_wire_logprob one;
    size_t count = 0;

    while (count < FLO_COUNT(tokens) && flo_wire_logprob_next(&rest, &one)) {
        tokens[count++] = (struct flo_likely){
            .text = one.text.data, .bytes = one.text.bytes, .logprob = (double)one.logprob};
    }
    if (count > 0) {
        flo_likelihood_token(&score->likelihood, tokens, count);
    }
}

static void end_case(struct score *score)
{
    if (score->likelihood.has_begun || score->likelihood.has_ended) {
        score->losses += score->likelihood.loss;
        score->result.answers++;
    }
    score->next_case++;
    wake_in(score, PAUSE_MS);
}

static void on_frame(void *context, const struct flo_wire_message *message)
{
    struct score *score = context;

    if (message->type == FLO_WIRE_TOKEN) {
        take_token(score, &message->token);
    } else if (message->type == FLO_WIRE_DONE) {
        end_case(score);
    } else {
        /* The engine cannot play this case, for example because it is too long,
         * so the next case follows. */
        score->next_case++;
        wake_in(score, PAUSE_MS);
    }
}

static void on_lost(void *context, const struct flo_err *err)
{
    struct score *score = context;

    (void)err;
    score->engine = NULL;
    wake_in(score, 0);
}

/* ---- cases ---- */

static bool is_scored(const struct score *score, const struct flo_golden_case *c)
{
    return c->answer != NULL && c->answer[0] != '\0' && c->input < FLO_GOLDEN_TEXT &&
           flo_probe_can_play(score->engine, c);
}

static int begin_case(struct score *score, const struct flo_golden_case *c, struct flo_err *err)
{
    static struct flo_wire_message message;
    struct flo_wire_generate *generate = &message.generate;
    const struct flo_serve_route *route = &score->place->route;

    memset(&message, 0, sizeof(message));
    message.type = FLO_WIRE_GENERATE;
    flo_probe_put_case(generate, c);
    generate->priority = FLO_WIRE_BATCH;
    flo_wire_name_adapter(&message, route->adapter, route->adapter_scale);
    generate->max_tokens = c->tokens_max < TOKENS_MAX ? c->tokens_max : TOKENS_MAX;
    generate->logprobs = 1 + FLO_WIRE_LOGPROBS_MAX;
    generate->ignores_end = (score->engine->abilities & FLO_ABILITY_ENDLESS) != 0;
    flo_likelihood_init(&score->likelihood, c->answer, strlen(c->answer));
    return flo_serve_engine_call(score->engine, &score->call, &message, err);
}

static bool has_to_wait(struct score *score)
{
    const struct flo_serve *serve = score->serve;
    bool is_busy = serve->n_running + serve->n_held > 0;

    if (!serve->limits.holds_batch && (!is_busy || score->waits >= WAITS_MAX)) {
        score->waits = 0;
        return false;
    }
    score->waits++;
    return true;
}

static void on_wake(evutil_socket_t fd, short what, void *context)
{
    struct score *score = context;
    const struct flo_golden *golden = &score->golden;
    struct flo_err err = {0};

    (void)fd, (void)what;
    if (score->engine == NULL || flo_serve_engine_live(score->place) != score->engine) {
        finish(score, FLO_E_ENGINE_CRASH);
        return;
    }
    while (score->next_case < golden->n_cases &&
           !is_scored(score, &golden->cases[score->next_case])) {
        score->next_case++;
    }
    if (score->next_case == golden->n_cases || score->result.answers == CASES_MAX) {
        finish(score, 0);
    } else if (has_to_wait(score)) {
        wake_in(score, WAIT_MS);
    } else if (begin_case(score, &golden->cases[score->next_case], &err) < 0) {
        finish(score, err.code);
    }
}

int flo_serve_score(struct flo_serve *serve, unsigned model, struct flo_golden *golden,
                    void (*done)(void *context, const struct flo_serve_scored *scored),
                    void *context, struct flo_err *err)
{
    FLO_INSIDE(serve);
    struct serve_place *place = &serve->places[model];
    struct serve_engine *live = flo_serve_engine_live(place);
    struct score *score = NULL;

    assert(model < FLO_SERVE_MODELS_MAX);
    if (live == NULL || serve->probe != NULL || serve->score != NULL) {
        flo_golden_deinit(golden);
        return flo_fail(err, FLO_E_STATE, "nothing is live, or a probe runs");
    }
    if ((live->abilities & FLO_ABILITY_LOGPROBS) == 0 || live->is_silent) {
        flo_golden_deinit(golden);
        return flo_fail(err, FLO_E_NOT_BUILT, "the engine tells no probabilities");
    }
    if ((score = calloc(1, sizeof(*score))) == NULL ||
        (score->wake = evtimer_new(serve->base, on_wake, score)) == NULL) {
        free(score);
        flo_golden_deinit(golden);
        return flo_fail(err, FLO_E_MEMORY, "no memory for a score");
    }
    score->serve = serve;
    score->place = place;
    score->engine = live;
    score->golden = *golden;
    memset(golden, 0, sizeof(*golden));
    score->done = done;
    score->context = context;
    score->call.context = score;
    score->call.on_frame = on_frame;
    score->call.on_lost = on_lost;
    serve->score = score;
    wake_in(score, 0);
    return 0;
}
