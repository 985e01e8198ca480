/* Request: makes a request from a body, with checked parameters, and frees
 * it. */
#include "agent/serve/front/choices.h"

#include <stdlib.h>
#include <string.h>

#define ID_BYTES 12

static void make_id(struct serve_request *request)
{
    const char *prefix = request->front->id_prefix;
    uint8_t random[ID_BYTES];

    flo_random(random, sizeof(random));
    snprintf(request->id, sizeof(request->id), "%.16s", prefix);
    flo_hex_encode(random, sizeof(random), request->id + strlen(request->id));
}

/* ---- several answers to one body ---- */

static int add_choice(struct serve_request *asker, uint32_t i, struct flo_err *err)
{
    struct serve_request *choice = calloc(1, sizeof(*choice));

    if (choice == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a choice");
    }
    asker->choices->each[i].request = choice;
    choice->serve = asker->serve;
    choice->front = asker->front;
    choice->kind = asker->kind;
    choice->party = asker->party;
    choice->created_s = asker->created_s;
    choice->detour.escalates = asker->detour.escalates;
    choice->detour.is_from_site = asker->detour.is_from_site;
    memcpy(choice->id, asker->id, sizeof(choice->id));
    choice->asker = asker;
    choice->index = i;
    int rv = flo_params_choice(&asker->params, i, &choice->params, err);
    if (rv < 0) {
        memcpy(asker->params.param, choice->params.param, sizeof(asker->params.param));
    }
    return rv;
}

/* Draws a random person if the client named none, so that a split sends all
 * choices of a body to the same model. */
static void take_user(struct serve_request *asker)
{
    if (asker->params.user == 0) {
        flo_random(&asker->params.user, sizeof(asker->params.user));
    }
}

static int open_choices(struct serve_request *asker, struct flo_err *err)
{
    uint32_t count = flo_params_choices(&asker->params);
    int rv = 0;

    if (count < 2) {
        return 0;
    }
    if (asker->front->choice == NULL) {
        strcpy(asker->params.param, "n");
        return flo_fail(err, FLO_E_INFER_PARAM, "n is %u, this API has one answer",
                        asker->params.n);
    }
    asker->choices = calloc(1, sizeof(*asker->choices) + count * sizeof(struct serve_choice));
    if (asker->choices == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for choices");
    }
    asker->choices->count = count;
    take_user(asker);
    for (uint32_t i = 0; rv == 0 && i < count; i++) {
        rv = add_choice(asker, i, err);
    }
    json_decref(asker->params.prompts);
    asker->params.prompts = NULL;
    return rv;
}

static void close_choices(struct serve_request *asker)
{
    struct serve_choices *choices = asker->choices;

    for (uint32_t i = 0; choices != NULL && i < choices->count; i++) {
        flo_buf_deinit(&choices->each[i].text);
        if (choices->each[i].request != NULL) {
            flo_request_free(choices->each[i].request);
        }
    }
    free(choices);
    asker->choices = NULL;
}

/* ---- open and free ---- */

struct serve_request *flo_request_open(struct flo_serve *serve,
                                       const struct serve_question *question)
{
    struct serve_request *request = calloc(1, sizeof(*request));
    struct serve_request none = {.front = question->front, .sink = question->sink};
    struct flo_err err = {0};

    if (request == NULL) {
        flo_fail(&err, FLO_E_MEMORY, "no memory for a request");
        flo_answer_fail(&none, &err);
        return NULL;
    }
    request->serve = serve;
    request->front = question->front;
    request->kind = question->front->kind;
    request->sink = question->sink;
    request->party = question->party;
    request->detour.escalates = question->escalates;
    request->detour.is_from_site = question->is_from_site;
    request->created_s = flo_wall_ms() / 1000;
    make_id(request);
    int rv = question->front->read(request, &question->body, &err);
    if (rv == 0 && request->front->tells_parts) {
        request->params.message.generate.tells_parts = true;
    }
    if (rv == 0) {
        rv = open_choices(request, &err);
    }
    if (rv < 0) {
        flo_answer_fail(request, &err);
        serve->counters.requests++;
        serve->counters.errors++;
        flo_request_free(request);
        return NULL;
    }
    return request;
}

void flo_request_free(struct serve_request *request)
{
    close_choices(request);
    if (request->asker != NULL) {
        request->asker->choices->each[request->index].request = NULL;
        request->asker->choices->gone++;
    }
    if (request->front->drop != NULL) {
        request->front->drop(request->state);
    }
    flo_params_deinit(&request->params);
    flo_kept_deinit(&request->kept);
    free(request);
}
