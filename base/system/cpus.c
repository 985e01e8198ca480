/* CPUs: counts those that this process can keep busy, by affinity and cgroup
 * quota.
 *
 * Source: sched(7). */
#include <sched.h>

#include "base/cgroup.h"

unsigned flo_cpus_allowed(void)
{
    cpu_set_t set;
    struct flo_cgroup_limits limits;
    unsigned cpus = 1;

    flo_cgroup_limits("", &limits);
    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) {
        cpus = (unsigned)CPU_COUNT(&set);
    }
    return limits.cpus != 0 && limits.cpus < cpus ? limits.cpus : cpus;
}
