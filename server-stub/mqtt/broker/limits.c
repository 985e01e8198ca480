/* Broker limits: computes how many devices the broker's file descriptors allow.
 *
 * Each connection needs a descriptor.  A shell allows a process 1,024 of them,
 * though the process may raise the limit.  Without that, further devices would
 * fail to connect, and nobody would know why. */
#include <sys/resource.h>
#include <unistd.h>

#include <flotilla/errors/process.h>
#include <flotilla/plural.h>

#include "server-stub/mqtt/broker/process.h"

/* Number of descriptors that the broker needs for other purposes than
 * connections of devices: its own, and those of controllers and of connections
 * that are no sessions yet. */
#define RESERVED 64
#define OWN 16
#define DESCRIPTORS_MAX 1000000 /* largest number of descriptors that is requested */

int flo_broker_limits(struct flo_controller *controller, uint64_t *devices_max, struct flo_err *err)
{
    struct rlimit limit;
    struct flo_fleet_device_count count;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        return flo_fail_errno(err, FLO_E_PROCESS, "limit of open files");
    }
    rlim_t wanted = limit.rlim_max > DESCRIPTORS_MAX ? DESCRIPTORS_MAX : limit.rlim_max;
    if (wanted > limit.rlim_cur) {
        limit.rlim_cur = wanted;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
            return flo_fail_errno(err, FLO_E_PROCESS, "limit of open files to %llu",
                                  (unsigned long long)wanted);
        }
    }
    *devices_max = limit.rlim_cur > RESERVED ? limit.rlim_cur - RESERVED : 1;
    FLO_TRY(flo_fleet_device_counts(controller->store, &count, err));
    if (count.devices > *devices_max) {
        flo_log(FLO_LOG_WARN, "broker",
                "%llu device%s %s enrolled, and the limit of open files (%llu) "
                "lets %llu connect: raise LimitNOFILE, or `ulimit -Hn`",
                (unsigned long long)count.devices, flo_s(count.devices),
                flo_plural(count.devices, "is", "are"), (unsigned long long)limit.rlim_cur,
                (unsigned long long)*devices_max);
    }
    return 0;
}

void flo_broker_limit_lines(uint64_t devices_max, struct flo_buf *out)
{
    long long bytes = (long long)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);

    flo_buf_printf(out, "memory_limit %lld\nmax_connections %llu\n", bytes / 2,
                   (unsigned long long)devices_max + RESERVED - OWN);
}

int flo_broker_has_room(struct flo_controller *controller, uint64_t devices_max,
                        struct flo_err *err)
{
    struct flo_fleet_device_count count;

    FLO_TRY(flo_fleet_device_counts(controller->store, &count, err));
    if (devices_max == 0 || count.devices < devices_max) {
        return 0;
    }
    flo_fail(err, FLO_E_REST_LIMIT,
             "%llu device%s %s enrolled, as many as the broker has descriptors for",
             (unsigned long long)count.devices, flo_s(count.devices),
             flo_plural(count.devices, "is", "are"));
    return flo_err_fix(err, "restart the controller with a higher limit of "
                            "open files (LimitNOFILE, `ulimit -Hn`)");
}
