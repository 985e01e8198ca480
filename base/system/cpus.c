/* CPUs: counts those that this process can keep busy, by affinity and cgroup
 * quota.
 *
 * Sources: sched(7); kernel document cgroup-v2, "cpu.max". */
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/base.h>

#include "base/small.h"

#define CGROUPS "/sys/fs/cgroup"

unsigned flo_cpus_of_quota(const char *cpu_max)
{
    unsigned long long quota, period;

    if (sscanf(cpu_max, "%llu %llu", &quota, &period) != 2 || period == 0) {
        return 0; /* no quota, as in "max 100000" */
    }
    quota /= period;
    return quota == 0 ? 1 : quota > 1u << 16 ? 0 : (unsigned)quota;
}

static unsigned quota_at(const char *folder)
{
    char path[512], text[64];

    if (snprintf(path, sizeof(path), "%s/cpu.max", folder) >= (int)sizeof(path)) {
        return 0;
    }
    (void)flo_small_read(path, text, sizeof(text));
    return flo_cpus_of_quota(text);
}

/* Returns the smallest CPU quota of this process's group and its parents, or 0
 * when none has one. */
static unsigned quota(void)
{
    char line[256], folder[512] = CGROUPS;
    unsigned least = 0;
    FILE *file = fopen("/proc/self/cgroup", "re");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "0::/", 4) == 0) {
            snprintf(folder, sizeof(folder), CGROUPS "%s", line + 3);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    for (;;) {
        unsigned here = quota_at(folder);
        char *slash = strrchr(folder, '/');

        if (here != 0 && (least == 0 || here < least)) {
            least = here;
        }
        if (strlen(folder) <= strlen(CGROUPS) || slash == NULL) {
            return least;
        }
        *slash = '\0';
    }
}

unsigned flo_cpus_allowed(void)
{
    cpu_set_t set;
    unsigned cpus = 1, most = quota();

    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) {
        cpus = (unsigned)CPU_COUNT(&set);
    }
    return most != 0 && most < cpus ? most : cpus;
}
