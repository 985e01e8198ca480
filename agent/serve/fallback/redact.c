/* Redact: runs the owner's program on the texts of a prompt before they leave
 * the device.
 *
 * The program reads {"texts":["...", ...]} and writes the same list with edited
 * texts.  Anything else is a failure, and then nothing is sent. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/infer.h>

#include "agent/serve/fallback/endpoint.h"
#include "base/host/json.h"

#define TEXTS_BYTES_MAX (8u << 20)

/* Calls `take` for each text of the client in the message, in a fixed order:
 * the prompt, each message's content and its further members, each input. */
static int each_text(struct flo_wire_message *message,
                     int (*take)(void *context, struct flo_wire_text *text), void *context)
{
    struct flo_wire_generate *in = &message->generate;

    if (message->type == FLO_WIRE_EMBED) {
        for (uint32_t i = 0; i < message->embed.n_inputs; i++) {
            FLO_TRY(take(context, &message->embed.inputs[i].data));
        }
        return 0;
    }
    FLO_TRY(take(context, &in->prompt));
    for (uint32_t i = 0; i < in->n_messages; i++) {
        FLO_TRY(take(context, &in->messages[i].content));
        FLO_TRY(take(context, &in->messages[i].more));
    }
    return 0;
}

static int add_text(void *context, struct flo_wire_text *text)
{
    struct flo_buf *out = context;

    flo_buf_text(out, out->data[out->bytes - 1] == '[' ? "\"" : ",\"");
    flo_buf_json_text(out, text->data != NULL ? text->data : "", text->bytes);
    flo_buf_text(out, "\"");
    return out->failed ? FLO_E_MEMORY : 0;
}

struct reading {
    const json_t *texts;
    size_t at;
};

/* Replaces a text.  An empty one stays empty, so that no member is added. */
static int take_text(void *context, struct flo_wire_text *text)
{
    struct reading *reading = context;
    const json_t *edited = json_array_get(reading->texts, reading->at++);

    if (!json_is_string(edited) || (text->bytes == 0 && json_string_length(edited) > 0)) {
        return FLO_E_INFER_REDACTION;
    }
    if (text->bytes > 0) {
        *text = (struct flo_wire_text){json_string_value(edited), json_string_length(edited)};
    }
    return 0;
}

/* Checks that further members of the messages are still JSON objects. */
static int check_more(const struct flo_wire_message *message, struct flo_err *err)
{
    const struct flo_wire_generate *in = &message->generate;

    for (uint32_t i = 0; message->type == FLO_WIRE_GENERATE && i < in->n_messages; i++) {
        const struct flo_wire_text *more = &in->messages[i].more;
        FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
        if (more->bytes > 0 &&
            (flo_json_parse(more->data, more->bytes, TEXTS_BYTES_MAX, &json, NULL) < 0 ||
             !json_is_object(json))) {
            return flo_fail(err, FLO_E_INFER_REDACTION, "text %u is no JSON object any more",
                            2 * i + 2);
        }
    }
    return 0;
}

/* Puts the edited texts into the request.  The message before is kept in
 * `detour`, and its texts with it. */
static int take_answer(struct serve_request *request, const struct flo_buf *answer,
                       struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    struct serve_params *params = &request->params;
    struct reading reading = {0};

    FLO_TRY(flo_json_parse(answer->data == NULL ? "" : answer->data, answer->bytes, TEXTS_BYTES_MAX,
                           &json, err));
    reading.texts = json_object_get(json, "texts");
    if (each_text(&params->message, take_text, &reading) < 0 ||
        reading.at != json_array_size(reading.texts)) {
        return flo_fail(err, FLO_E_INFER_REDACTION,
                        "its answer has not the texts that it got, in `texts`");
    }
    FLO_TRY(check_more(&params->message, err));
    request->detour.parts = params->parts;
    params->parts = (struct flo_buf){0};
    return flo_params_keep(params, err);
}

static void on_child(void *context, enum serve_child_end end, int status, struct flo_buf *answer)
{
    struct serve_request *request = context;
    const struct fallback_router *router = request->serve->fallbacks->router;
    struct flo_err err = {0};

    request->detour.redaction = NULL;
    if (end == SERVE_CHILD_LATE) {
        flo_fail(&err, FLO_E_INFER_REDACTION, "no answer within %llu ms",
                 (unsigned long long)request->detour.route->is.redact_ms);
    } else if (end == SERVE_CHILD_TOO_MUCH) {
        flo_fail(&err, FLO_E_INFER_REDACTION, "its answer has more than %u bytes", TEXTS_BYTES_MAX);
    } else if (status != 0) {
        flo_fail(&err, FLO_E_INFER_REDACTION, "its program ended with status %d", status);
    } else {
        (void)take_answer(request, answer, &err);
    }
    if (err.code != 0) {
        flo_wrap(&err, err.code, "redaction of route %s", request->detour.route->is.name);
        flo_request_log(request, FLO_LOG_WARN, "routes", &err);
        router->refuse(request, &err);
        return;
    }
    router->go_on(request);
}

int flo_redact_start(struct fallbacks *fallbacks, struct serve_request *request,
                     struct flo_err *err)
{
    const struct flo_serve_fallback *route = &request->detour.route->is;
    struct flo_buf question = {.bytes_max = TEXTS_BYTES_MAX};
    const struct serve_child_spec spec = {
        .words = route->words,
        .n_words = route->n_words,
        .question = &question,
        .bytes_max = TEXTS_BYTES_MAX,
        .ms_max = route->redact_ms,
        .done = on_child,
        .context = request,
    };

    flo_buf_text(&question, "{\"texts\":[");
    int rv =
        question.failed ? FLO_E_MEMORY : each_text(&request->params.message, add_text, &question);
    flo_buf_text(&question, "]}\n");
    if (rv < 0 || question.failed) {
        flo_buf_deinit(&question);
        return flo_fail(err, FLO_E_MEMORY, "no memory for the texts");
    }
    return flo_serve_child_start(&fallbacks->pool, &spec, &request->detour.redaction, err);
}
