/* Process groups with limits: the kernel's cgroups. Groups are made in version 2 alone;
 * limits are read in version 1, too.
 *
 * The kernel allows limits on child groups only while their parent has no
 * process of its own.  So a service with a delegated group (systemd's
 * Delegate=) first moves into a leaf group `agent`.  Groups for other processes
 * are made next to that leaf.  A group that was not delegated to us is never
 * touched. */
#ifndef FLOTILLA_BASE_CGROUP_H
#define FLOTILLA_BASE_CGROUP_H

#include <flotilla/base.h>

#define FLO_CGROUP_ROOT "/sys/fs/cgroup"
#define FLO_CGROUP_LEAF "agent"
#define FLO_CGROUP_PATH_MAX 1024

struct flo_cgroup {
    char folder[FLO_CGROUP_PATH_MAX]; /* path of the group's folder; empty: no group */
};

/* Finds our group: the parent of the leaf when this process is in the leaf,
 * else the process's own group.  `self` is the text of /proc/self/cgroup.
 * Returns FLO_E_ABSENT when there is no cgroup of version 2. */
FLO_MUST_USE int flo_cgroup_find(const char *root, const char *self, struct flo_cgroup *out,
                                 bool *is_leaf, struct flo_err *err);
/* Finds the group of this process below FLO_CGROUP_ROOT, as flo_cgroup_find()
 * does. */
FLO_MUST_USE int flo_cgroup_own(struct flo_cgroup *out, bool *is_leaf, struct flo_err *err);
/* Moves this process into the leaf, allows limits on the groups next to the
 * leaf, and removes groups that an earlier process left.  Returns FLO_E_ABSENT
 * when the group was not delegated to us, or has no memory controller. */
FLO_MUST_USE int flo_cgroup_prepare(const struct flo_cgroup *own, struct flo_err *err);
/* Tells whether groups with a memory limit can be made in `own`. */
bool flo_cgroup_is_prepared(const struct flo_cgroup *own);
/* Makes a group `name` with limits on memory and threads.  When the group
 * exceeds the memory limit, the kernel ends all its processes.  Returns
 * FLO_E_PROCESS when the group cannot be made.
 * FLO_E_PROCESS. */
FLO_MUST_USE int flo_cgroup_make(const struct flo_cgroup *own, const char *name,
                                 uint64_t memory_bytes, uint32_t threads, struct flo_cgroup *out,
                                 struct flo_err *err);
/* Moves this process into the group.  Returns false on failure, and errno has the reason. */
bool flo_cgroup_enter(const struct flo_cgroup *group);
/* Returns how many processes of the group the kernel has ended for the memory
 * limit. */
uint64_t flo_cgroup_kills(const struct flo_cgroup *group);
/* Ends all processes of the group and removes it.  Waits two seconds at
 * most. */
void flo_cgroup_end(struct flo_cgroup *group);

/* Limits of this process's groups and of those above them; 0: none. */
struct flo_cgroup_limits {
    uint64_t memory_bytes_max;
    uint64_t memory_bytes; /* used of that limit, without pages that the kernel drops first */
    unsigned cpus;         /* whole CPUs of the smallest quota, at least 1 */
};

/* Reads the tightest limits, of version 2 and of version 1, whichever there are.  `root`
 * stands in front of /proc and /sys: "", or a folder of tests. */
void flo_cgroup_limits(const char *root, struct flo_cgroup_limits *out);

#endif
