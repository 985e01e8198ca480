/* Groups of processes with limits: the kernel's cgroups of version 2.
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
    char folder[FLO_CGROUP_PATH_MAX]; /* empty: none */
};

/* Finds our group: the parent of the leaf when we are in the leaf, else the
 * group that we are in.  `self` is the text of /proc/self/cgroup.
 * FLO_E_ABSENT: there is no cgroup of version 2. */
FLO_MUST_USE int flo_cgroup_find(const char *root, const char *self, struct flo_cgroup *out,
                                 bool *is_leaf, struct flo_err *err);
/* As flo_cgroup_find(), for this process and FLO_CGROUP_ROOT. */
FLO_MUST_USE int flo_cgroup_own(struct flo_cgroup *out, bool *is_leaf, struct flo_err *err);
/* Moves this process into the leaf, allows limits on the groups next to the
 * leaf, and removes groups that an earlier process left.  FLO_E_ABSENT: the
 * group was not delegated to us, or has no memory controller. */
FLO_MUST_USE int flo_cgroup_prepare(const struct flo_cgroup *own, struct flo_err *err);
/* Returns whether groups with a memory limit can be made in `own`. */
bool flo_cgroup_is_prepared(const struct flo_cgroup *own);
/* Makes a group `name` with limits on memory and threads.  When one process
 * exceeds the memory limit, all processes of the group are ended.
 * FLO_E_PROCESS. */
FLO_MUST_USE int flo_cgroup_make(const struct flo_cgroup *own, const char *name,
                                 uint64_t memory_bytes, uint32_t threads, struct flo_cgroup *out,
                                 struct flo_err *err);
/* Opens the group's cgroup.procs: a process that writes "0" to the descriptor
 * moves into the group.  -1: errno says why. */
int flo_cgroup_door(const struct flo_cgroup *group);
/* Number of processes that the kernel ended for the memory limit. */
uint64_t flo_cgroup_kills(const struct flo_cgroup *group);
/* Ends all processes of the group and removes it.  Waits two seconds at
 * most. */
void flo_cgroup_end(struct flo_cgroup *group);

#endif
