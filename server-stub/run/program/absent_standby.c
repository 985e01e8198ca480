/* Standby of a build without PostgreSQL: a store that several controllers could share is
 * refused, so that nothing is ever handed over. */
#include "base/left_out.h"
#include "server-stub/run/program/standby.h"

void flo_standby_remember(char **argv)
{
    (void)argv;
}

int flo_standby_until_lead(struct flo_controller_options *options,
                           const struct flo_standby_spec *spec, struct flo_pulse *pulse,
                           struct flo_service *service, struct flo_standby **out, bool *leads,
                           struct flo_err *err)
{
    (void)options, (void)spec, (void)pulse, (void)service, (void)out, (void)leads;
    return flo_left_out(err, "PostgreSQL and several controllers", "FLOTILLA_POSTGRESQL");
}

void flo_standby_close(struct flo_standby *standby)
{
    (void)standby;
}

bool flo_standby_may_again(const struct flo_standby *standby, int rv)
{
    (void)standby, (void)rv;
    return false;
}

void flo_standby_again(const struct flo_err *why)
{
    (void)why;
}
