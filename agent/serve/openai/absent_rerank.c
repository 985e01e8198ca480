/* Ranking stand-in: takes the place of ranked documents in a build without
 * them. */
#include "agent/serve/openai/openai.h"
#include "base/left_out.h"

static int read(struct serve_request *request, const struct serve_body *body, struct flo_err *err)
{
    (void)request, (void)body;
    return flo_left_out(err, "ranked documents", "FLOTILLA_RERANK");
}

const struct serve_front flo_openai_rerank = {
    .kind = REQUEST_EMBED, .id_prefix = "none-", .read = read, .fail = flo_openai_fail};
