/* Handed: of a build without libpq, which has one leader for ever. */
#include "server-stub/store/handed.h"

int flo_handed_open(const char *address, uint64_t epoch, struct flo_handed **out,
                    struct flo_err *err)
{
    (void)epoch, (void)out;
    return flo_fail(err, FLO_E_NOT_BUILT, "--store %.20s…: without libpq", address);
}

void flo_handed_close(struct flo_handed *handed)
{
    (void)handed;
}

int flo_handed_list(struct flo_handed *handed, flo_handed_fn fn, void *context, struct flo_err *err)
{
    (void)handed, (void)fn, (void)context, (void)err;
    return 0;
}

size_t flo_handed_room(struct flo_handed *handed)
{
    (void)handed;
    return 0;
}

void flo_handed_put(void *handed, const char *device, const char *name, const void *data,
                    size_t bytes)
{
    (void)handed, (void)device, (void)name, (void)data, (void)bytes;
}

void flo_handed_send(struct flo_handed *handed)
{
    (void)handed;
}

bool flo_handed_settle(struct flo_handed *handed, uint64_t ms)
{
    (void)handed, (void)ms;
    return true;
}
