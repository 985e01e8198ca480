/* PostgreSQL, in a build without it: one controller always leads, and no
 * evidence is handed over. */
#include "base/left_out.h"
#include "server-stub/store/handed.h"
#include "server-stub/store/postgresql/postgresql.h"

static int left_out(const char *address, struct flo_err *err)
{
    return flo_wrap(err, flo_left_out(err, "PostgreSQL", "FLOTILLA_POSTGRESQL"), "--store %.20s…",
                    address);
}

int flo_postgresql_open(const char *address, uint64_t epoch,
                        const struct flo_postgresql_limits *limits, struct flo_store_engine **out,
                        struct flo_err *err)
{
    (void)epoch, (void)limits, (void)out;
    return left_out(address, err);
}

int flo_handed_open(const char *address, uint64_t epoch, struct flo_handed **out,
                    struct flo_err *err)
{
    (void)epoch, (void)out;
    return left_out(address, err);
}

void flo_handed_close(struct flo_handed *handed)
{
    (void)handed;
}
