/* Pipeline: runs a chain of models, such as speech to text and then text to an
 * answer.
 *
 * Each stage is a request of its own to its model: it waits, counts and fails
 * like any other.  The client only gets the last answer, or the error of the
 * stage that failed. */
#include "agent/serve/requests/pipeline.h"

#include "agent/serve/requests/names.h"

#include <string.h>

#include <flotilla/errors/infer.h>
#include <flotilla/rows.h>

/* largest number of tokens in the answer of each stage after the first */
#define ANSWER_TOKENS_MAX 512

static const struct flo_serve_pipeline *find(const struct flo_serve *serve, const char *name)
{
    return FLO_FIND_TEXT(name, serve->pipelines, serve->n_pipelines, name);
}

/* Returns the model of a stage; NULL: the client may not use it, or there is
 * none. */
static struct serve_place *place_of(const struct serve_request *request, uint32_t stage,
                                    struct flo_err *err)
{
    const struct flo_serve_pipeline *pipeline = request->pipeline;
    struct serve_place *place =
        flo_names_place(request->serve, pipeline->stages[stage], request->party.token);

    if (place == NULL) {
        flo_fail(err, FLO_E_INFER_MODEL, "stage %u of %s: model \"%s\" is not served", stage + 1,
                 pipeline->name, pipeline->stages[stage]);
    }
    return place;
}

static void take_stage(struct serve_request *request, uint32_t stage)
{
    request->stage = stage;
    strcpy(request->params.model, request->pipeline->stages[stage]);
}

int flo_pipeline_begin(struct serve_request *request, struct flo_err *err)
{
    _Static_assert(sizeof(request->params.model) > FLO_NAME_MAX, "a stage's name fits");
    if (request->kind != REQUEST_AUDIO) {
        return 0;
    }
    request->pipeline = find(request->serve, request->params.model);
    if (request->pipeline == NULL) {
        return 0;
    }
    for (uint32_t i = 0; i < request->pipeline->n_stages; i++) {
        if (place_of(request, i, err) == NULL) {
            strcpy(request->params.param, "model");
            /* no pipeline is set, because the text of the error names its stage
             * already */
            request->pipeline = NULL;
            return FLO_E_INFER_MODEL;
        }
    }
    take_stage(request, 0);
    return 0;
}

bool flo_pipeline_goes_on(const struct serve_request *request)
{
    return request->pipeline != NULL && request->stage + 1 < request->pipeline->n_stages;
}

/* Makes the frame for the next model from the answer.  The old frame contained
 * the sound file. */
static int ask(struct serve_request *request, struct flo_err *err)
{
    static const char role[] = "user";
    struct serve_params *params = &request->params;
    struct flo_wire_generate *in = &params->message.generate;
    double temperature = in->temperature;
    uint32_t priority = in->priority;

    memset(&params->message, 0, sizeof(params->message));
    params->message.type = FLO_WIRE_GENERATE;
    in->n_messages = 1;
    /* thoughts come apart from the text, so they are no part of the answer */
    in->tells_parts = true;
    in->messages[0].role = (struct flo_wire_text){role, sizeof(role) - 1};
    in->messages[0].content =
        (struct flo_wire_text){request->kept.text.data, request->kept.text.bytes};
    in->max_tokens = ANSWER_TOKENS_MAX;
    in->temperature = temperature;
    in->priority = priority;
    in->client = request->party.prefixes;
    in->now_ms = request->created_s * 1000;
    return flo_params_keep(params, err);
}

int flo_pipeline_next(struct serve_request *request, struct flo_err *err)
{
    struct serve_place *place;
    const char *text = request->kept.text.data;
    size_t blanks = 0;

    while (blanks < request->kept.text.bytes && strchr(" \t\r\n", text[blanks]) != NULL) {
        blanks++;
    }
    if (blanks == request->kept.text.bytes) {
        return flo_fail(err, FLO_E_INFER_PARAM, "no word came out of it");
    }
    FLO_TRY(ask(request, err));
    place = place_of(request, request->stage + 1, err);
    if (place == NULL) {
        /* no pipeline is set, because the text of the error names its stage
         * already */
        request->pipeline = NULL;
        return FLO_E_INFER_MODEL;
    }
    take_stage(request, request->stage + 1);
    request->place = place;
    request->came_us = flo_now_us();
    request->first_us = request->last_us = 0;
    request->queue_us = request->prompt_us = request->load_us = 0;
    request->tokens_out = request->guessed = request->guessed_right = 0;
    request->was_retried = false;
    request->is_due = false;
    flo_answer_forget(request);
    return 0;
}

void flo_pipeline_blame(const struct serve_request *request, struct flo_err *err)
{
    if (request->pipeline != NULL) {
        (void)flo_wrap(err, err->code, "stage %u of %s (%s)", request->stage + 1,
                       request->pipeline->name, request->pipeline->stages[request->stage]);
    }
}
