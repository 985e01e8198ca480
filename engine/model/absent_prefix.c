/* Prefixes stand-in: takes the place of kept beginnings of prompts in a build
 * without them.  No session can be written, so workers keep none. */
#include <flotilla/prefix.h>

#include "base/left_out.h"

static int refuse(struct flo_err *err)
{
    return flo_left_out(err, "kept beginnings of prompts", "FLOTILLA_PREFIXES");
}

uint64_t flo_prefix_bytes(const struct flo_engine *engine, uint32_t count)
{
    (void)engine, (void)count;
    return 0;
}

int flo_prefix_write(const struct flo_session *session, uint32_t count, uint64_t owner, int fd,
                     flo_stops_fn *stops, void *stops_context, struct flo_err *err)
{
    (void)session, (void)count, (void)owner, (void)fd, (void)stops, (void)stops_context;
    return refuse(err);
}

int flo_prefix_read(struct flo_session *session, int fd, uint64_t *owner, struct flo_err *err)
{
    (void)session, (void)fd, (void)owner;
    return refuse(err);
}
