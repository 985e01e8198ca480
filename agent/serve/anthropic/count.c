/* Count: the front of /v1/messages/count_tokens.
 *
 * An engine counts the tokens of a conversation by computing it: the request
 * generates one token, which is not sent.  The prompt stays in the engine's
 * cache for the message that usually follows. */
#include "agent/serve/anthropic/anthropic.h"

#include <stdlib.h>

static int read(struct serve_request *request, const struct serve_body *body, struct flo_err *err)
{
    int rv = flo_anthropic_read(request, body, true, err);

    request->params.is_untold = true;
    return rv;
}

static int whole(struct serve_request *request, const struct flo_wire_done *done,
                 struct flo_buf *out, struct flo_err *err)
{
    (void)request, (void)err;
    flo_buf_printf(out, "{\"input_tokens\":%u}\n", done->tokens_in);
    return 0;
}

const struct serve_front flo_anthropic_count = {
    .kind = REQUEST_CHAT,
    .id_prefix = "msg_",
    .tells_parts = true,
    .read = read,
    .whole = whole,
    .fail = flo_anthropic_fail,
    .drop = free,
};
