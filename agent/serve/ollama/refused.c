/* Refused: refuses pull, push, create and copy, because only releases bring
 * models. */
#include "agent/serve/ollama/ollama.h"

static int read(struct serve_request *request, const struct serve_body *body, struct flo_err *err)
{
    (void)request, (void)body;
    flo_fail(err, FLO_E_INFER_PARAM,
             "models are not pulled, pushed, made, copied or deleted through "
             "this API");
    return flo_err_fix(err, "publish one with `flotilla release create` and a "
                            "rollout, or serve a file with `flotilla-agent "
                            "serve --model FILE`");
}

const struct serve_front flo_ollama_refused = {
    .kind = REQUEST_CHAT,
    .id_prefix = "ollama-",
    .stream_type = "application/x-ndjson",
    .read = read,
    .fail = flo_ollama_fail,
};
