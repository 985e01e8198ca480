/* Confine: sets the limits of a runtime that only root can set.  These are a
 * cgroup with a memory limit, and a user that can read only the release's
 * files. */
#include "engine/proxy/proxy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/runtime.h>

#define THREADS_MAX 2048
#define DEPTH_MAX 8

/* ---- memory ---- */

void flo_runtime_group(const struct flo_runtime *runtime, struct flo_runtime_process *process)
{
    struct flo_cgroup own = {.folder = ""};
    struct flo_err err = {0};
    char name[96];
    bool is_leaf = false;
    int rv = flo_cgroup_own(&own, &is_leaf, &err);

    if (rv == 0 && (!is_leaf || !flo_cgroup_is_prepared(&own))) {
        rv = flo_fail(&err, FLO_E_ABSENT, "the agent has no cgroup to give");
    }
    snprintf(name, sizeof(name), "%.40s-%d", runtime->name, (int)getpid());
    if (rv == 0) {
        rv = flo_cgroup_make(&own, name, flo_runtime_limit(runtime), THREADS_MAX, &process->group,
                             &err);
    }
    if (rv < 0) {
        flo_log(FLO_LOG_WARN, "runtime",
                "%s: no memory cgroup (%s): its memory is only looked at each "
                "second, see docs/runtimes.md",
                runtime->name, err.what);
    }
}

uint64_t flo_runtime_limit(const struct flo_runtime *runtime)
{
    return runtime->memory_bytes + runtime->memory_bytes / 10;
}

/* ---- a user of its own ---- */

/* Lets the runtime's user read the release's files.  Only the agent can enter
 * the folders above them (0700), so no other user gets there. */
static int open_files(int dir, int depth, struct flo_err *err)
{
    DIR *list = fdopendir(dir);
    const struct dirent *entry;
    int rv = list == NULL || depth == DEPTH_MAX || fchmod(dir, 0755) < 0
                 ? flo_fail_errno(err, FLO_E_RUNTIME_START, "its files")
                 : 0;

    while (rv == 0 && (entry = readdir(list)) != NULL) {
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        int fd = openat(dirfd(list), entry->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0) {
            rv = flo_fail_errno(err, FLO_E_RUNTIME_START, "its file %s", entry->d_name);
        } else if (S_ISDIR(st.st_mode)) {
            rv = open_files(fd, depth + 1, err);
            fd = -1;
        } else if ((st.st_mode & 0444) != 0444 && fchmod(fd, 0444) < 0) {
            rv = flo_fail_errno(err, FLO_E_RUNTIME_START, "its file %s", entry->d_name);
        }
        if (fd >= 0) {
            close(fd);
        }
    }
    if (list != NULL) {
        closedir(list);
    } else {
        close(dir);
    }
    return rv;
}

/* Shows the folder `tree` read-only at `place`, in a mount that only this
 * process and its children see. */
static int show(const char *tree, const char *place, struct flo_err *err)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        return flo_fail_errno(err, FLO_E_RUNTIME_START, "mounts of its own%s",
                              errno == EINVAL ? " (in a chroot, / must be a mount)" : "");
    }
    if (mkdir(place, 0755) < 0 || mount(tree, place, NULL, MS_BIND, NULL) < 0 ||
        mount(NULL, place, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) <
            0) {
        return flo_fail_errno(err, FLO_E_RUNTIME_START, "its files in %s", place);
    }
    return 0;
}

int flo_runtime_own_user(const struct flo_runtime *runtime, int tree,
                         struct flo_runtime_process *process, char *path, size_t path_bytes,
                         struct flo_err *err)
{
    char place[sizeof(process->scratch) + 8];
    int dir = openat(tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rv =
        dir < 0 ? flo_fail_errno(err, FLO_E_RUNTIME_START, "its files") : open_files(dir, 0, err);

    snprintf(place, sizeof(place), "%s.tree", process->scratch);
    if (rv == 0) {
        rv = show(path, place, err);
    }
    if (rv == 0 && chown(process->scratch, runtime->uid, runtime->gid) < 0) {
        rv = flo_fail_errno(err, FLO_E_RUNTIME_START, "its scratch folder");
    }
    if (rv < 0) {
        (void)rmdir(place);
        return flo_wrap(err, rv, "the user %u", (unsigned)runtime->uid);
    }
    snprintf(path, path_bytes, "%s", place);
    return 0;
}
