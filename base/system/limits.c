/* Limits: what the kernel's cgroups allow this process, of version 2 and of
 * version 1.
 *
 * Sources: kernel documents cgroup-v2 ("memory.max", "cpu.max") and cgroup-v1
 * ("memory.limit_in_bytes", "cpu.cfs_quota_us"); cgroups(7), /proc/self/cgroup. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cgroup.h"
#include "base/small.h"

enum { TEXT_BYTES = 4096, PATH_BYTES = 2 * FLO_CGROUP_PATH_MAX };

#define NO_LIMIT (INT64_C(1) << 60) /* version 1 has a number in the place of "max" */

/* A group's folder below that of its hierarchy. */
struct group {
    const char *root, *hierarchy;
    char folder[FLO_CGROUP_PATH_MAX]; /* begins with a slash; "": the hierarchy's root */
};

static bool read_text(const struct group *group, const char *name, char out[TEXT_BYTES])
{
    char path[PATH_BYTES];

    out[0] = '\0';
    return snprintf(path, sizeof(path), "%s" FLO_CGROUP_ROOT "%s%s/%s", group->root,
                    group->hierarchy, group->folder, name) < (int)sizeof(path) &&
           flo_small_read(path, out, TEXT_BYTES) > 0;
}

/* The word "max" is no number. */
static bool read_number(const struct group *group, const char *name, int64_t *out)
{
    char text[TEXT_BYTES], *end = text;

    *out = read_text(group, name, text) ? strtoll(text, &end, 10) : 0;
    return end != text && *out >= 0;
}

/* ---- memory ---- */

/* Takes a limit that is tighter than the former.  `idle` is the name of those bytes in
 * memory.stat whose pages the kernel drops first. */
static void look_at_memory(const struct group *group, const char *max_name, const char *now_name,
                           const char *idle, struct flo_cgroup_limits *out)
{
    char text[TEXT_BYTES];
    int64_t max, now = 0;

    if (!read_number(group, max_name, &max) || max == 0 || max >= NO_LIMIT ||
        (out->memory_bytes_max != 0 && (uint64_t)max >= out->memory_bytes_max)) {
        return;
    }
    const char *at = read_text(group, "memory.stat", text) ? strstr(text, idle) : NULL;
    uint64_t dropped = at == NULL ? 0 : strtoull(at + strlen(idle), NULL, 10);
    (void)read_number(group, now_name, &now);
    out->memory_bytes_max = (uint64_t)max;
    out->memory_bytes = (uint64_t)now > dropped ? (uint64_t)now - dropped : 0;
}

/* ---- CPUs ---- */

/* Takes a quota of less CPUs than the former.  A part of a CPU counts as none, the first
 * one always counts. */
static void take_quota(uint64_t quota, uint64_t period, struct flo_cgroup_limits *out)
{
    uint64_t cpus = period == 0 ? 0 : quota / period == 0 ? 1 : quota / period;

    if (cpus != 0 && cpus <= UINT16_MAX && (out->cpus == 0 || cpus < out->cpus)) {
        out->cpus = (unsigned)cpus;
    }
}

/* ---- groups ---- */

static void look_at_2(const struct group *group, struct flo_cgroup_limits *out)
{
    unsigned long long quota, period;
    char text[TEXT_BYTES];

    look_at_memory(group, "memory.max", "memory.current", "\ninactive_file ", out);
    if (read_text(group, "cpu.max", text) && sscanf(text, "%llu %llu", &quota, &period) == 2) {
        take_quota(quota, period, out);
    }
}

static void look_at_1(const struct group *group, struct flo_cgroup_limits *out)
{
    int64_t quota, period;

    look_at_memory(group, "memory.limit_in_bytes", "memory.usage_in_bytes",
                   "\ntotal_inactive_file ", out);
    if (read_number(group, "cpu.cfs_quota_us", &quota) &&
        read_number(group, "cpu.cfs_period_us", &period)) {
        take_quota((uint64_t)quota, (uint64_t)period, out);
    }
}

/* Looks at a line ID:CONTROLLERS:/FOLDER of /proc/self/cgroup: at its group and those
 * above.  In a container the folder may be that of the host, which is not there; the
 * hierarchy's root is the container's group then. */
static void look_at_line(const char *root, char *line, struct flo_cgroup_limits *out)
{
    char hierarchy[256], *controllers = strchr(line, ':');
    char *folder = controllers == NULL ? NULL : strchr(controllers + 1, ':');
    struct group group = {.root = root, .hierarchy = hierarchy};

    if (folder == NULL || folder[1] != '/' || strlen(folder) > sizeof(group.folder)) {
        return;
    }
    *folder = '\0';
    bool is_2 = controllers[1] == '\0';
    snprintf(hierarchy, sizeof(hierarchy), "%s%.200s", is_2 ? "" : "/", controllers + 1);
    strcpy(group.folder, folder + 1);
    for (;;) {
        char *slash = strrchr(group.folder, '/');
        if (slash != NULL && slash[1] == '\0') {
            *slash = '\0'; /* the root group */
        }
        (is_2 ? look_at_2 : look_at_1)(&group, out);
        slash = strrchr(group.folder, '/');
        if (slash == NULL) {
            return;
        }
        *slash = '\0';
    }
}

void flo_cgroup_limits(const char *root, struct flo_cgroup_limits *out)
{
    char path[PATH_BYTES], text[TEXT_BYTES], *more = NULL;

    *out = (struct flo_cgroup_limits){0};
    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    (void)flo_small_read(path, text, sizeof(text));
    for (char *line = strtok_r(text, "\n", &more); line != NULL;
         line = strtok_r(NULL, "\n", &more)) {
        look_at_line(root, line, out);
    }
}
