/* Ask: sends a guard's question to a model, as a request whose client is the
 * guard. */
#include "agent/serve/guard/guards.h"

#include <string.h>

#include "agent/serve/requests/names.h"

#define ANSWER_TOKENS_MAX 64 /* largest number of tokens in a model's answer to a guard */
#define QUESTION_BYTES_MAX (8u << 20)
#define HEARD_BYTES_MAX 65536

/* Makes a request whose prompt is the body.  Its temperature is 0, so that the
 * same question gets the same answer. */
static int read(struct serve_request *request, const struct serve_body *body, struct flo_err *err)
{
    json_t *tree = body->data == NULL ? NULL
                                      : json_pack("{s[{ss ss%}] si si}", "messages", "role", "user",
                                                  "content", body->data, body->bytes, "max_tokens",
                                                  ANSWER_TOKENS_MAX, "temperature", 0);

    return tree == NULL ? flo_fail(err, FLO_E_MEMORY, "no memory for its question")
                        : flo_params_read_tree(REQUEST_CHAT, tree, &request->params, err);
}

static int whole(struct serve_request *request, const struct flo_wire_done *done,
                 struct flo_buf *out, struct flo_err *err)
{
    (void)done, (void)err;
    flo_buf_add(out, request->kept.text.data, request->kept.text.bytes);
    return 0;
}

static void fail(struct serve_failure *failure, struct flo_buf *out)
{
    flo_buf_text(out, failure->err->what);
}

static const struct serve_front front = {
    .kind = REQUEST_CHAT,
    .id_prefix = "guard-",
    /* thoughts come apart from the text, so they are no part of the verdict */
    .tells_parts = true,
    .read = read,
    .whole = whole,
    .fail = fail,
};

bool flo_guard_asks(const struct serve_request *request)
{
    return request->front == &front;
}

struct serve_request *flo_guard_ask_model(const struct serve_request *asker,
                                          const struct flo_serve_guard *guard,
                                          enum flo_guard_stage stage, struct serve_memory *answer)
{
    FLO_CLEANUP(flo_buf_deinit)
    struct flo_buf text = {.bytes_max = QUESTION_BYTES_MAX};
    struct serve_question question = {
        .front = &front,
        .sink = flo_sink_memory(answer),
        .party = asker->party,
    };

    question.party.token = SERVE_TOKEN_ANY;
    answer->body.bytes_max = HEARD_BYTES_MAX;
    flo_guard_ask(asker, stage, guard, &text);
    if (!text.failed) {
        question.body =
            (struct serve_body){.data = text.bytes > 0 ? text.data : "", .bytes = text.bytes};
    }
    struct serve_request *request = flo_request_open(asker->serve, &question);
    if (request != NULL) {
        strcpy(request->params.model, guard->model);
        request->params.user = asker->params.user;
        request->params.message.generate.priority = asker->params.message.generate.priority;
    }
    return request;
}
