/* Broker, in a build that starts none: an external one is needed. */
#include "base/left_out.h"
#include "server-stub/mqtt/broker/broker.h"

int flo_broker_own_check(struct flo_err *err)
{
    flo_left_out(err, "a broker of its own", "FLOTILLA_BROKER");
    return flo_err_fix(err, "--broker URL, or build it with -DFLOTILLA_BROKER=ON");
}

int flo_broker_keeper(const char *dir, const char *linger_ms, const char *config)
{
    struct flo_err err = {0};

    (void)dir, (void)linger_ms, (void)config;
    (void)flo_broker_own_check(&err);
    return flo_err_print(stderr, &err);
}

int flo_broker_open(struct flo_controller *controller, struct event_base *base,
                    struct flo_broker **out, struct flo_err *err)
{
    (void)controller, (void)base, (void)out;
    return flo_broker_own_check(err);
}

void flo_broker_close(struct flo_broker *broker, bool ends)
{
    (void)broker, (void)ends;
}

int flo_broker_again(struct flo_broker *broker, struct flo_err *err)
{
    (void)broker;
    return flo_broker_own_check(err);
}

int flo_broker_restart(struct flo_broker *broker, struct flo_err *err)
{
    (void)broker;
    return flo_broker_own_check(err);
}

/* ---- nothing is known of an external broker ---- */

void flo_broker_miss(struct flo_broker *broker, const struct flo_err *err)
{
    (void)broker, (void)err;
}

uint64_t flo_broker_misses(const struct flo_broker *broker_or_null)
{
    (void)broker_or_null;
    return 0;
}

int flo_broker_told(const struct flo_broker *broker_or_null, uint64_t misses, struct flo_err *err)
{
    (void)broker_or_null, (void)misses, (void)err;
    return 0;
}

void flo_broker_shares(const struct flo_controller *controller, uint64_t since_ms,
                       flo_broker_share_fn *take, void *context)
{
    (void)controller, (void)since_ms, (void)take, (void)context;
}

uint64_t flo_broker_starts(const struct flo_broker *broker_or_null)
{
    (void)broker_or_null;
    return 0;
}

uint64_t flo_broker_devices_max(const struct flo_broker *broker_or_null)
{
    (void)broker_or_null;
    return 0;
}

int flo_broker_has_room(struct flo_controller *controller, uint64_t devices_max,
                        struct flo_err *err)
{
    (void)controller, (void)devices_max, (void)err;
    return 0;
}
