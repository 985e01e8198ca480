/* Refused: refuses the parts of OpenAI's API that no model on this device can
 * answer. */
#include "agent/serve/openai/openai.h"

static int read(struct serve_request *request, const struct serve_body *body, struct flo_err *err)
{
    (void)request, (void)body;
    flo_fail(err, FLO_E_INFER_PARAM,
             "moderations, pictures and speech are not built: models here "
             "answer with text and vectors");
    return flo_err_fix(err, "ask a chat model with a schema of your own "
                            "categories, or another server");
}

const struct serve_front flo_openai_refused = {
    .kind = REQUEST_CHAT,
    .id_prefix = "none-",
    .read = read,
    .fail = flo_openai_fail,
};
