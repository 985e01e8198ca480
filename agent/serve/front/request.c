/* A request's begin, from a body to checked parameters, and its end. */
#include "agent/serve/front/front.h"

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

struct serve_request *flo_request_open(struct flo_serve *serve,
                                       const struct serve_question *question)
{
    struct serve_request *request = calloc(1, sizeof(*request));
    struct serve_request none = {.front = question->front,
                                 .sink = question->sink};
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
    request->client = question->client;
    request->token = question->token;
    request->created_s = flo_wall_ms() / 1000;
    make_id(request);
    if (question->front->read(request, &question->body, &err) < 0) {
        flo_answer_fail(request, &err);
        serve->counters.requests++;
        serve->counters.errors++;
        flo_request_free(request);
        return NULL;
    }
    if (request->front->tells_parts) {
        request->params.message.generate.tells_parts = true;
    }
    return request;
}

void flo_request_free(struct serve_request *request)
{
    if (request->front->drop != NULL) {
        request->front->drop(request->state);
    }
    flo_params_deinit(&request->params);
    flo_kept_deinit(&request->kept);
    free(request);
}
