/* Count: the front of /v1/responses/input_tokens.  It generates one token, so
 * that the engine counts the prompt's. */
#include "agent/serve/responses/responses.h"

static int read(struct serve_request *request, const struct serve_body *body, struct flo_err *err)
{
    int rv = flo_responses_read(request, body, true, err);

    request->params.is_untold = true;
    return rv;
}

static int whole(struct serve_request *request, const struct flo_wire_done *done,
                 struct flo_buf *out, struct flo_err *err)
{
    (void)request, (void)err;
    flo_buf_printf(out, "{\"object\":\"response.input_tokens\",\"input_tokens\":%u}\n",
                   done->tokens_in);
    return 0;
}

const struct serve_front flo_responses_count = {
    .kind = REQUEST_CHAT,
    .id_prefix = "count_",
    .tells_parts = true,
    .read = read,
    .whole = whole,
    .fail = flo_responses_fail,
    .drop = flo_responses_drop,
};
