/* Text: the front of /v1/completions, which continues a prompt. */
#include "agent/serve/openai/openai.h"

static const char object[] = "text_completion";

static int read(struct serve_request *request, const struct serve_body *body, struct flo_err *err)
{
    return flo_params_read(REQUEST_TEXT, body->data, body->bytes, &request->params, err);
}

static const char *finish_of(const struct flo_wire_done *done)
{
    return done->reason == FLO_WIRE_LENGTH ? "length" : "stop";
}

static void add_event(struct serve_request *request, struct flo_wire_text text, const char *finish,
                      struct flo_buf *out)
{
    flo_buf_text(out, "data: ");
    flo_openai_add_head(request, object, out);
    flo_buf_printf(out, "\"choices\":[{\"index\":%u,", request->index);
    flo_answer_add_member(out, "text", text);
    flo_openai_end_event(request, finish, out);
}

/* Writes the first event of a stream, with the prompt if the client wants it
 * repeated. */
static void begin(struct serve_request *request, struct flo_buf *out)
{
    if (request->params.echoes) {
        add_event(request, request->params.message.generate.prompt, NULL, out);
    }
}

static void piece(struct serve_request *request, const struct serve_piece *piece,
                  struct flo_buf *out)
{
    add_event(request, piece->text, NULL, out);
}

static void end(struct serve_request *request, const struct flo_wire_done *done,
                struct flo_buf *out)
{
    add_event(request, (struct flo_wire_text){0}, finish_of(done), out);
    flo_openai_end_stream(request, object, done, out);
}

static void choice(struct serve_request *request, const struct flo_wire_done *done,
                   struct flo_buf *out)
{
    struct flo_wire_text prompt = request->params.message.generate.prompt;
    const struct flo_buf *text = &request->kept.text;

    flo_buf_printf(out, "{\"index\":%u,\"text\":\"", request->index);
    if (request->params.echoes) {
        flo_buf_json_text(out, prompt.data, prompt.bytes);
    }
    flo_buf_json_text(out, text->data, text->bytes);
    flo_buf_text(out, "\",\"logprobs\":");
    flo_openai_add_logprobs(request, out);
    flo_buf_printf(out, ",\"finish_reason\":\"%s\"}", finish_of(done));
}

static int whole(struct serve_request *request, const struct flo_wire_done *done,
                 struct flo_buf *out, struct flo_err *err)
{
    (void)err;
    flo_openai_add_head(request, object, out);
    flo_openai_add_choices(request, done, out);
    flo_openai_add_usage(request, done, out);
    flo_buf_text(out, "}\n");
    return 0;
}

const struct serve_front flo_openai_text = {
    .kind = REQUEST_TEXT,
    .id_prefix = "cmpl-",
    .stream_type = "text/event-stream; charset=utf-8",
    .read = read,
    .begin = begin,
    .piece = piece,
    .end = end,
    .whole = whole,
    .choice = choice,
    .fail = flo_openai_fail,
};
