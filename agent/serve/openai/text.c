/* The front of /v1/completions. */
#include "agent/serve/openai/openai.h"

static const char object[] = "text_completion";

static int read(struct serve_request *request, const struct serve_body *body,
                struct flo_err *err)
{
    return flo_params_read(REQUEST_TEXT, body->data, body->bytes,
                           &request->params, err);
}

static const char *finish_of(const struct flo_wire_done *done)
{
    return done->reason == FLO_WIRE_LENGTH ? "length" : "stop";
}

static void add_choice(const struct serve_request *request,
                       struct flo_wire_text text, struct flo_buf *out)
{
    flo_openai_add_head(request, object, out);
    flo_buf_text(out, "\"choices\":[{\"index\":0,\"text\":");
    flo_answer_add_text(out, text);
}

static void add_event(struct serve_request *request, struct flo_wire_text text,
                      const char *finish, struct flo_buf *out)
{
    flo_buf_text(out, "data: ");
    add_choice(request, text, out);
    flo_openai_end_event(request, finish, out);
}

static void piece(struct serve_request *request,
                  const struct serve_piece *piece, struct flo_buf *out)
{
    add_event(request, piece->text, NULL, out);
}

static void end(struct serve_request *request, const struct flo_wire_done *done,
                struct flo_buf *out)
{
    add_event(request, (struct flo_wire_text){0}, finish_of(done), out);
    flo_openai_end_stream(request, object, done, out);
}

static int whole(struct serve_request *request,
                 const struct flo_wire_done *done, struct flo_buf *out,
                 struct flo_err *err)
{
    const struct flo_buf *text = &request->kept.text;

    (void)err;
    add_choice(request, (struct flo_wire_text){text->data, text->bytes}, out);
    flo_buf_text(out, ",\"logprobs\":");
    flo_openai_add_logprobs(request, out);
    flo_buf_printf(out, ",\"finish_reason\":\"%s\"}],", finish_of(done));
    flo_openai_add_usage(request, done, out);
    flo_buf_text(out, "}\n");
    return 0;
}

const struct serve_front flo_openai_text = {
    .kind = REQUEST_TEXT,
    .id_prefix = "cmpl-",
    .stream_type = "text/event-stream; charset=utf-8",
    .read = read,
    .begin = NULL, /* its first event has text */
    .piece = piece,
    .end = end,
    .whole = whole,
    .frame = NULL,
    .fail = flo_openai_fail,
};
