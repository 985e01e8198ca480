/* Frames: writes frames for the agent, which go out later. */
#include <flotilla/errors/runtime.h>

#include "engine/proxy/proxy.h"

const struct flo_peer flo_proxy_peer = {"the runtime", FLO_E_RUNTIME_ANSWER, FLO_E_RUNTIME_ANSWER};

#include <string.h>

void flo_proxy_put(struct flo_proxy *proxy, const struct flo_wire_message *message)
{
    if (flo_wire_write(&proxy->out, message, NULL) < 0) {
        proxy->out.failed = true;
    }
}

static struct flo_wire_text text_of(const char *text)
{
    return (struct flo_wire_text){text, strlen(text)};
}

void flo_proxy_fail(struct flo_proxy *proxy, uint32_t id, const struct flo_err *err)
{
    struct flo_wire_message message = {.type = FLO_WIRE_FAILED, .request = id};

    message.failed.id = text_of(flo_error_id(err->code));
    message.failed.what = text_of(err->what);
    message.failed.why = text_of(err->why);
    flo_proxy_put(proxy, &message);
}

void flo_proxy_add_words(const struct flo_proxy *proxy, struct flo_err *err)
{
    char text[200];
    size_t n = proxy->process.n_words;
    size_t skip = n > 150 ? n - 150 : 0;

    if (proxy->state != FLO_PROXY_SERVES && n > 0) {
        flo_text_clean(proxy->process.words + skip, n - skip, text, sizeof(text));
        flo_err_why(err, "its last words: %s", text);
    }
}
