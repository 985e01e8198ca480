/* Routes stand-in: refuses a configuration with routes, in a build without
 * them. */
#include "agent/serve/fallback/fallback.h"
#include "base/left_out.h"

int flo_fallbacks_open(struct flo_serve *serve, const struct flo_serve_options *options,
                       const struct fallback_router *router, struct flo_err *err)
{
    (void)serve, (void)router;
    return options->n_fallbacks == 0 ? 0 : flo_left_out(err, "routes", "FLOTILLA_ROUTES");
}

void flo_fallbacks_close(struct flo_serve *serve)
{
    (void)serve;
}

void flo_fallback_begin(struct serve_request *request)
{
    (void)request;
}

const struct serve_place *flo_fallback_place(const struct flo_serve *serve, size_t i)
{
    (void)serve, (void)i;
    return NULL;
}

struct serve_place *flo_fallback_nowhere(const struct serve_request *request)
{
    (void)request;
    return NULL;
}

bool flo_fallback_take(struct serve_request *request, enum flo_fallback_reason reason,
                       struct flo_err *why)
{
    (void)request, (void)reason, (void)why;
    return false;
}

void flo_fallback_home(struct serve_request *request)
{
    (void)request;
}

bool flo_fallback_failed(struct serve_request *request, struct flo_err *err)
{
    (void)request, (void)err;
    return false;
}

bool flo_fallback_prepare(struct serve_request *request)
{
    (void)request;
    return false;
}

uint64_t flo_fallback_queue_ms(const struct serve_request *request)
{
    (void)request;
    return 0;
}

void flo_fallback_end(struct serve_request *request, uint32_t tokens_in, int error)
{
    (void)request, (void)tokens_in, (void)error;
}

void flo_fallback_cancel(struct serve_request *request)
{
    (void)request;
}

void flo_fallbacks_metrics(const struct flo_serve *serve, struct flo_buf *out)
{
    (void)serve, (void)out;
}

uint32_t flo_serve_get_endpoints(const struct flo_serve *serve,
                                 struct flo_serve_endpoint_status out[FLO_SERVE_ENDPOINTS_MAX])
{
    (void)serve, (void)out;
    return 0;
}
