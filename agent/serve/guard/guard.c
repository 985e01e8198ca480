/* Guard: runs a request's guards one after the other, and applies their
 * verdicts.
 *
 * A guard without a verdict refuses the request, unless its owner configured
 * otherwise.  If a failure let requests pass, an attacker could turn a guard
 * off by making it fail. */
#include "agent/serve/guard/guards.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/infer.h>
#include <flotilla/rows.h>

#include "agent/serve/requests/names.h"

/* largest number of guards' programs that run at once; other requests wait */
#define CHILDREN_MAX 16
#define QUESTION_BYTES_MAX (8u << 20)

/* A check of one request by its guards. */
struct guarding {
    struct serve_request *request;
    enum flo_guard_stage stage;
    uint32_t at;     /* index of the guard that checks now */
    bool is_waiting; /* the check waits until another program has ended */
    /* the model of the guard has answered; the event loop handles the answer
     * next */
    bool has_verdict;
    struct serve_child *child;
    struct serve_request *inner; /* request to the model of the guard; NULL: none is running */
    struct serve_memory answer;  /* the model's answer */
    struct event *timer;         /* timer for the longest wait for a model's answer */
    struct guard_verdict verdict;
    struct flo_err failure; /* reason why the guard gave no verdict; code 0: it gave one */
    struct flo_wire_done done;
};

static void look(struct guarding *guarding);

/* ---- which guards ---- */

bool flo_guard_fits(const struct flo_serve_guard *guard, const struct serve_place *place)
{
    return guard->n_models == 0 || flo_rows_find(flo_names_of(place), guard->models,
                                                 guard->n_models, sizeof(guard->models[0]), 0);
}

/* Returns the model that the client named, also when a split lets another one
 * answer. */
static const struct serve_place *named_place(const struct serve_request *request)
{
    return request->meant != NULL ? request->meant : request->place;
}

/* Returns the index of the next guard, from `at` on, that checks this request
 * at this stage.  It may be a guard of the model that answers, or of the model
 * that the client named. */
static uint32_t next_guard(const struct serve_request *request, enum flo_guard_stage stage,
                           uint32_t at)
{
    const struct guards *guards = request->serve->guards;

    for (; at < guards->count; at++) {
        const struct flo_serve_guard *guard = &guards->all[at].is;
        if (guard->looks_at[stage] && (flo_guard_fits(guard, request->place) ||
                                       flo_guard_fits(guard, named_place(request)))) {
            break;
        }
    }
    return at;
}

static bool is_guarded(const struct serve_request *request, enum flo_guard_stage stage)
{
    return next_guard(request, stage, 0) < request->serve->guards->count;
}

/* ---- the end of looking ---- */

static void guarding_free(struct guarding *guarding)
{
    struct serve_request *inner = guarding->inner;

    guarding->request->guarding = NULL;
    flo_serve_child_cancel(guarding->child);
    if (inner != NULL) {
        guarding->request->serve->guards->router->drop(inner);
    }
    event_free(guarding->timer);
    flo_buf_deinit(&guarding->answer.body);
    flo_buf_deinit(&guarding->verdict.text);
    free(guarding);
}

void flo_guard_cancel(struct serve_request *request)
{
    if (request->guarding != NULL) {
        guarding_free(request->guarding);
    }
}

static void fail(struct guarding *guarding, const struct flo_err *err)
{
    struct serve_request *request = guarding->request;
    const struct flo_err told = *err;

    guarding_free(guarding);
    request->serve->guards->router->fail(request, &told);
}

/* Continues the request, because all of its guards have passed it. */
static void pass(struct guarding *guarding)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0}, parts = {0};
    struct serve_request *request = guarding->request;
    const struct guard_router *router = request->serve->guards->router;
    struct flo_wire_done done = guarding->done;
    enum flo_guard_stage stage = guarding->stage;

    guarding_free(guarding);
    if (stage == FLO_GUARD_PROMPT) {
        request->looked_at = named_place(request);
        router->go_on(request);
        return;
    }
    flo_answer_let_go(request, &text, &parts);
    if (parts.failed) {
        struct flo_err err = {0};
        flo_fail(&err, FLO_E_MEMORY, "no memory for the answer");
        router->fail(request, &err);
        return;
    }
    done.text = flo_answer_text_of(&text);
    done.parts = flo_answer_text_of(&parts);
    router->send(request, &done);
}

/* ---- verdicts ---- */

/* Replaces the text of the prompt or the answer by the guard's.  Thoughts and
 * log-probabilities are dropped, because they would reveal what was removed. */
static int take_edit(struct guarding *guarding, struct flo_err *err)
{
    struct serve_request *request = guarding->request;
    struct flo_wire_generate *in = &request->params.message.generate;
    struct flo_buf *edited = &guarding->verdict.text;
    struct flo_wire_text text = {edited->data == NULL ? "" : edited->data, edited->bytes};

    if (guarding->stage == FLO_GUARD_ANSWER) {
        struct serve_kept *kept = &request->kept;
        struct flo_buf before = kept->text;
        kept->text = *edited;
        *edited = before;
        kept->thoughts.bytes = 0;
        kept->logprobs.bytes = 0;
        in->logprobs = 0;
        return 0;
    }
    if (in->n_messages > 0) {
        in->messages[in->n_messages - 1].content = text;
    } else {
        in->prompt = text;
    }
    return flo_params_keep(&request->params, err);
}

/* Applies a guard's verdict, which is in guarding->verdict.  `failure`: reason
 * why there is none; NULL: there is one. */
static void conclude(struct guarding *guarding, const struct flo_err *failure)
{
    struct guard *guard = &guarding->request->serve->guards->all[guarding->at];
    struct flo_err err = {0};

    if (failure != NULL) {
        err = *failure;
        guarding->verdict.kind = GUARD_FAILED;
        flo_wrap(&err, FLO_E_INFER_GUARD_FAILED, "guard %s", guard->is.name);
        err.code = FLO_E_INFER_GUARD_FAILED;
        flo_request_log(guarding->request, FLO_LOG_WARN, "guard", &err);
    } else if (guarding->verdict.kind == GUARD_REFUSED) {
        flo_fail(&err, FLO_E_INFER_GUARD, "guard %s: %s", guard->is.name, guarding->verdict.reason);
    } else if (guarding->verdict.kind == GUARD_EDITED) {
        (void)take_edit(guarding, &err);
    }
    guard->verdicts[guarding->verdict.kind]++;
    if (guarding->verdict.kind == GUARD_FAILED && guard->is.passes_on_failure) {
        err.code = 0;
    }
    flo_buf_deinit(&guarding->verdict.text);
    guarding->verdict = (struct guard_verdict){0};
    if (err.code != 0) {
        fail(guarding, &err);
        return;
    }
    guarding->at++;
    look(guarding);
}

/* ---- a program looks ---- */

static void on_child(void *context, enum serve_child_end end, int status, struct flo_buf *answer)
{
    struct guarding *guarding = context;
    const struct flo_serve_guard *guard = &guarding->request->serve->guards->all[guarding->at].is;
    struct flo_err err = {0};

    guarding->child = NULL;
    if (end == SERVE_CHILD_LATE) {
        flo_fail(&err, FLO_E_INFER_GUARD_FAILED, "no verdict within %llu ms",
                 (unsigned long long)guard->ms_max);
    } else if (end == SERVE_CHILD_TOO_MUCH) {
        flo_fail(&err, FLO_E_INFER_GUARD_FAILED, "its answer has more than %u bytes",
                 FLO_GUARD_ANSWER_BYTES_MAX);
    } else if (status != 0) {
        flo_fail(&err, FLO_E_INFER_GUARD_FAILED, "its program ended with status %d", status);
    } else {
        const char *text = answer->data == NULL ? "" : answer->data;
        status = flo_guard_verdict_read(text, answer->bytes, &guarding->verdict, &err);
    }
    conclude(guarding, status < 0 || err.code != 0 ? &err : NULL);
}

static int start_program(struct guarding *guarding, struct flo_err *err)
{
    struct serve_request *request = guarding->request;
    struct guards *guards = request->serve->guards;
    const struct flo_serve_guard *guard = &guards->all[guarding->at].is;
    struct flo_buf question = {.bytes_max = QUESTION_BYTES_MAX};
    const struct serve_child_spec spec = {
        .words = guard->words,
        .n_words = guard->n_words,
        .question = &question,
        .bytes_max = FLO_GUARD_ANSWER_BYTES_MAX,
        .ms_max = guard->ms_max,
        .done = on_child,
        .context = guarding,
    };

    flo_guard_question(request, guarding->stage, flo_names_of(request->place), &question);
    if (question.failed) {
        flo_buf_deinit(&question);
        return flo_fail(err, FLO_E_INFER_GUARD_FAILED, "no memory for its question");
    }
    return flo_serve_child_start(&guards->pool, &spec, &guarding->child, err);
}

/* ---- a model looks ---- */

/* Stores the verdict in a model's answer, or its error.  The event loop applies
 * it later. */
static void on_answer(void *context, struct serve_memory *answer)
{
    struct guarding *guarding = context;
    const struct flo_serve_guard *guard = &guarding->request->serve->guards->all[guarding->at].is;
    const char *text = answer->body.data == NULL ? "" : answer->body.data;

    guarding->inner = NULL;
    guarding->has_verdict = true;
    guarding->failure = (struct flo_err){0};
    if (answer->status != 200) {
        flo_fail(&guarding->failure, FLO_E_INFER_GUARD_FAILED, "%s", text);
    } else {
        guarding->failure.code =
            flo_guard_verdict_of(guard, (struct flo_wire_text){text, answer->body.bytes},
                                 &guarding->verdict, &guarding->failure);
    }
    event_active(guarding->timer, EV_TIMEOUT, 0);
}

static void ask_model(struct guarding *guarding)
{
    struct guards *guards = guarding->request->serve->guards;
    const struct flo_serve_guard *guard = &guards->all[guarding->at].is;
    const struct timeval limit = {.tv_sec = (time_t)(guard->ms_max / 1000),
                                  .tv_usec = (suseconds_t)(guard->ms_max % 1000 * 1000)};

    flo_buf_deinit(&guarding->answer.body);
    guarding->answer = (struct serve_memory){.done = on_answer, .context = guarding};
    /* A batch request has no time limit, because users' requests go first. */
    if (guarding->request->params.message.generate.priority != FLO_WIRE_BATCH) {
        event_add(guarding->timer, &limit);
    }
    guarding->inner =
        flo_guard_ask_model(guarding->request, guard, guarding->stage, &guarding->answer);
    if (guarding->inner != NULL) {
        guards->router->submit(guarding->inner);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct guarding *guarding = context;
    struct serve_request *inner = guarding->inner;
    struct guards *guards = guarding->request->serve->guards;
    (void)fd, (void)what;

    if (!guarding->has_verdict) {
        guarding->inner = NULL;
        if (inner != NULL) {
            guards->router->drop(inner);
        }
        flo_fail(&guarding->failure, FLO_E_INFER_GUARD_FAILED, "no verdict within %llu ms",
                 (unsigned long long)guards->all[guarding->at].is.ms_max);
    }
    guarding->has_verdict = false;
    const struct flo_err failure = guarding->failure;
    conclude(guarding, failure.code != 0 ? &failure : NULL);
}

/* ---- turns ---- */

/* Fails if the answer is too long to be shown to a guard. */
static int check_length(const struct guarding *guarding, struct flo_err *err)
{
    const struct serve_kept *kept = &guarding->request->kept;
    size_t bytes = kept->text.bytes + kept->thoughts.bytes + kept->arguments_bytes;

    if (guarding->stage != FLO_GUARD_ANSWER || bytes <= FLO_GUARD_TEXT_BYTES_MAX) {
        return 0;
    }
    return flo_fail(err, FLO_E_INFER_GUARD_FAILED,
                    "the answer has %zu bytes, at most %d are shown to it", bytes,
                    FLO_GUARD_TEXT_BYTES_MAX);
}

/* Runs the next guard of the request, or ends the check. */
static void look(struct guarding *guarding)
{
    struct serve_request *request = guarding->request;
    struct guards *guards = request->serve->guards;
    struct flo_err err = {0};

    guarding->at = next_guard(request, guarding->stage, guarding->at);
    if (guarding->at == guards->count) {
        pass(guarding);
        return;
    }
    bool is_program = guards->all[guarding->at].is.n_words > 0;
    guarding->is_waiting = is_program && guards->pool.count >= CHILDREN_MAX;
    if (guarding->is_waiting) {
        return;
    }
    int rv = check_length(guarding, &err);
    if (rv == 0 && is_program) {
        rv = start_program(guarding, &err);
    } else if (rv == 0) {
        ask_model(guarding);
    }
    if (rv < 0) {
        conclude(guarding, &err);
    }
}

/* Starts the guards' programs that wait, the longest wait first, when a
 * program has ended.  A program that cannot be started fails, so the next one
 * is tried. */
static void on_freed(void *context)
{
    struct guards *guards = context;
    struct serve_request *request = guards->serve->running;

    while (request != NULL && guards->pool.count < CHILDREN_MAX) {
        if (request->guarding != NULL && request->guarding->is_waiting) {
            look(request->guarding);
            /* the guard's check may have freed the request, so the search
             * begins again */
            request = guards->serve->running;
        } else {
            request = request->next;
        }
    }
}

/* ---- for the router ---- */

static int begin(struct serve_request *request, enum flo_guard_stage stage, struct flo_err *err)
{
    struct guarding *guarding = calloc(1, sizeof(*guarding));

    if (guarding == NULL ||
        (guarding->timer = evtimer_new(request->serve->base, on_timer, guarding)) == NULL) {
        free(guarding);
        return flo_fail(err, FLO_E_MEMORY, "no memory for a guard");
    }
    guarding->request = request;
    guarding->stage = stage;
    request->guarding = guarding;
    return 0;
}

/* Tells whether a model generates text for the request.  Requests for vectors
 * and token ids do not, and guards do not check them. */
static bool has_text(const struct serve_request *request)
{
    return request->params.message.type == FLO_WIRE_GENERATE && !flo_guard_asks(request);
}

/* Tells whether the prompt has text of the client.  Guards do not check
 * speech. */
static bool has_words(const struct serve_request *request)
{
    const struct flo_wire_generate *in = &request->params.message.generate;

    return has_text(request) && !request->params.is_unasked &&
           (in->audio.bytes == 0 || in->prompt.bytes > 0);
}

bool flo_guard_prompt(struct serve_request *request)
{
    const struct flo_wire_generate *in = &request->params.message.generate;
    struct guards *guards = request->serve->guards;
    struct flo_err err = {0};

    if (guards == NULL || request->guarding != NULL) {
        return guards != NULL;
    }
    /* is_guarded is set before an engine answers, because sent output cannot be
     * recalled. */
    request->is_guarded =
        has_text(request) && !request->params.is_untold && is_guarded(request, FLO_GUARD_ANSWER);
    if (request->looked_at == named_place(request) || !has_words(request) ||
        !is_guarded(request, FLO_GUARD_PROMPT)) {
        return false;
    }
    if (in->tokens.bytes > 0) {
        strcpy(request->params.param, "prompt");
        flo_fail(&err, FLO_E_INFER_PARAM,
                 "prompt must be a text: a guard looks at those of \"%s\", and "
                 "reads no token ids",
                 flo_names_of(request->place));
    } else if (in->n_images > 0) {
        strcpy(request->params.param, "messages");
        flo_fail(&err, FLO_E_INFER_PARAM,
                 "messages[%u] has an image: a guard looks at the prompts of "
                 "\"%s\", and reads text alone",
                 in->images[0].message, flo_names_of(request->place));
    } else if (begin(request, FLO_GUARD_PROMPT, &err) == 0) {
        look(request->guarding);
        return true;
    }
    guards->router->fail(request, &err);
    return true;
}

void flo_guard_answer(struct serve_request *request, const struct flo_wire_done *done)
{
    const struct guard_router *router = request->serve->guards->router;
    struct flo_err err = {0};

    if (flo_answer_collect(request, done, &err) == 0 &&
        begin(request, FLO_GUARD_ANSWER, &err) == 0) {
        request->guarding->done = *done;
        request->guarding->done.text = (struct flo_wire_text){0};
        request->guarding->done.parts = (struct flo_wire_text){0};
        look(request->guarding);
        return;
    }
    router->fail(request, &err);
}

int flo_guards_open(struct flo_serve *serve, const struct flo_serve_options *options,
                    const struct guard_router *router, struct flo_err *err)
{
    if (options->n_guards == 0) {
        return 0;
    }
    if (options->n_guards > FLO_SERVE_GUARDS_MAX) {
        return flo_fail(err, FLO_E_CFG_RANGE, "%u guards, at most %d", options->n_guards,
                        FLO_SERVE_GUARDS_MAX);
    }
    serve->guards = calloc(1, sizeof(*serve->guards));
    if (serve->guards == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for guards");
    }
    serve->guards->serve = serve;
    serve->guards->router = router;
    serve->guards->count = options->n_guards;
    for (uint32_t i = 0; i < options->n_guards; i++) {
        serve->guards->all[i].is = options->guards[i];
    }
    serve->guards->pool =
        (struct serve_child_pool){.base = serve->base, .freed = on_freed, .context = serve->guards};
    return 0;
}

void flo_guards_close(struct flo_serve *serve)
{
    if (serve->guards != NULL) {
        flo_serve_child_pool_close(&serve->guards->pool);
        free(serve->guards);
        serve->guards = NULL;
    }
}
