/* Guards stand-in: refuses a configuration with guards, in a build without
 * them. */
#include "agent/serve/guard/guard.h"
#include "base/left_out.h"

int flo_guards_open(struct flo_serve *serve, const struct flo_serve_options *options,
                    const struct guard_router *router, struct flo_err *err)
{
    (void)serve, (void)router;
    return options->n_guards == 0 ? 0 : flo_left_out(err, "guards", "FLOTILLA_GUARDS");
}

void flo_guards_close(struct flo_serve *serve)
{
    (void)serve;
}

bool flo_guard_prompt(struct serve_request *request)
{
    (void)request;
    return false;
}

void flo_guard_answer(struct serve_request *request, const struct flo_wire_done *done)
{
    (void)request, (void)done;
}

void flo_guard_cancel(struct serve_request *request)
{
    (void)request;
}

bool flo_guard_asks(const struct serve_request *request)
{
    (void)request;
    return false;
}

void flo_guards_list(const struct serve_place *place, struct flo_buf *out)
{
    (void)place, (void)out;
}

void flo_guards_metrics(const struct flo_serve *serve, struct flo_buf *out)
{
    (void)serve, (void)out;
}
