/* Groups of processes with limits: the kernel's cgroups of version 2.
 *
 * A group below ours may have limits only while no process is in ours itself.
 * So a service whose group was given to it (systemd's Delegate=) moves into a
 * leaf `agent` first; groups of others are made next to the leaf.  A group that
 * was not given to us is never touched. */
#ifndef FLOTILLA_BASE_CGROUP_H
#define FLOTILLA_BASE_CGROUP_H

#include <flotilla/base.h>

#define FLO_CGROUP_ROOT "/sys/fs/cgroup"
#define FLO_CGROUP_LEAF "agent"
#define FLO_CGROUP_PATH_MAX 1024

struct flo_cgroup {
    char folder[FLO_CGROUP_PATH_MAX]; /* empty: none */
};

/* The group above the leaf: of us when we are in it, else ours.  `self` is the
 * text of /proc/self/cgroup.  FLO_E_ABSENT: no group of version 2. */
FLO_MUST_USE int flo_cgroup_find(const char *root, const char *self, struct flo_cgroup *out,
                                 bool *is_leaf, struct flo_err *err);
/* The same of this process and FLO_CGROUP_ROOT. */
FLO_MUST_USE int flo_cgroup_own(struct flo_cgroup *out, bool *is_leaf, struct flo_err *err);
/* Move into the leaf and let groups next to it have limits; remove those that
 * an earlier process left.  FLO_E_ABSENT: the group was not given to us, or has
 * no memory controller. */
FLO_MUST_USE int flo_cgroup_prepare(const struct flo_cgroup *own, struct flo_err *err);
/* May groups with a limit on memory be made in it? */
bool flo_cgroup_is_prepared(const struct flo_cgroup *own);
/* Make a group `name` of so much memory and so many threads.  All of its
 * processes end when one needs more.  FLO_E_PROCESS. */
FLO_MUST_USE int flo_cgroup_make(const struct flo_cgroup *own, const char *name,
                                 uint64_t memory_bytes, uint32_t threads, struct flo_cgroup *out,
                                 struct flo_err *err);
/* A descriptor; "0" written to it moves the writer in.  -1: errno. */
int flo_cgroup_door(const struct flo_cgroup *group);
/* Processes that the limit on memory ended. */
uint64_t flo_cgroup_kills(const struct flo_cgroup *group);
/* End all of its processes and remove it; waits two seconds at most. */
void flo_cgroup_end(struct flo_cgroup *group);

#endif
