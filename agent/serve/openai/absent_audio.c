/* Speech stand-in: takes the place of speech to text in a build without it. */
#include "agent/serve/openai/openai.h"
#include "base/left_out.h"

static int read(struct serve_request *request, const struct serve_body *body, struct flo_err *err)
{
    (void)request, (void)body;
    return flo_left_out(err, "speech to text", "FLOTILLA_SPEECH");
}

const struct serve_front flo_openai_speech = {
    .kind = REQUEST_AUDIO, .id_prefix = "none-", .read = read, .fail = flo_openai_fail};
