/* Sandbox kit, files: limits them by landlock's system calls, for which glibc
 * has no functions. */
#include "base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <flotilla/errors/process.h>

/* Constants of landlock that some kernel headers lack. */
#define ABI_MIN 2 /* version 1 would forbid all renames between folders */
#define FS_ALL_ABI_1 ((1ULL << 13) - 1)
#define FS_REFER (1ULL << 13)     /* a rename between folders, from version 2 on */
#define FS_TRUNCATE (1ULL << 14)  /* 3 */
#define FS_IOCTL_DEV (1ULL << 15) /* 5 */
#define NET_BIND_TCP (1ULL << 0)  /* 4 */
#define NET_CONNECT_TCP (1ULL << 1)
#define SCOPE_ABSTRACT_UNIX (1ULL << 0) /* 6 */
#define SCOPE_SIGNAL (1ULL << 1)

#define ACCESS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
/* Rights of a shelf.  Landlock lets a file move only to a folder with no more
 * rights: from a store to a shelf, not back. */
#define ACCESS_SHELF                                                                               \
    (ACCESS_READ | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | FS_REFER)
#define ACCESS_STORE (ACCESS_SHELF | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE)
#define ACCESS_RUN (ACCESS_READ | LANDLOCK_ACCESS_FS_EXECUTE)
#define ACCESS_SCRATCH                                                                             \
    (ACCESS_STORE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_DIR |                  \
     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM)
#define ACCESS_DEVICE (ACCESS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_IOCTL_DEV)
#define ACCESS_OF_FILE                                                                             \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE |   \
     FS_TRUNCATE | FS_IOCTL_DEV)

static const uint64_t accesses[] = {
    [FLO_SANDBOX_READ] = ACCESS_READ,
    [FLO_SANDBOX_SHELF] = ACCESS_SHELF,
    [FLO_SANDBOX_STORE] = ACCESS_STORE,
    [FLO_SANDBOX_RUN] = ACCESS_RUN,
    [FLO_SANDBOX_SCRATCH] = ACCESS_SCRATCH,
    [FLO_SANDBOX_DEVICE] = ACCESS_DEVICE,
    [FLO_SANDBOX_OWN] = ACCESS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE,
};

/* A copy of struct landlock_ruleset_attr as of version 6. */
struct ruleset {
    uint64_t fs;
    uint64_t net;
    uint64_t scoped;
};

static int allow(int ruleset, const struct flo_sandbox_path *path, uint64_t fs, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct landlock_path_beneath_attr rule = {.allowed_access = fs & accesses[path->access]};
    struct stat st;

    if (path->path == NULL || (fd = open(path->path, O_PATH | O_CLOEXEC)) < 0) {
        return 0; /* a missing path needs no permission */
    }
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode)) {
        rule.allowed_access &= ACCESS_OF_FILE;
    }
    rule.parent_fd = fd;
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0) {
        return flo_fail_errno(err, FLO_E_PROCESS, "landlock: %s", path->path);
    }
    return 0;
}

static long version(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

bool flo_sandbox_has_landlock(void)
{
    return version() >= ABI_MIN;
}

int flo_sandbox_files(const struct flo_sandbox_path *paths, size_t count, unsigned leaves,
                      struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int ruleset = -1;
    struct ruleset attr = {.fs = FS_ALL_ABI_1 | FS_REFER};

    if (!flo_sandbox_is_built()) {
        return 0;
    }
    long abi = version();
    if (abi < ABI_MIN) {
        return 0;
    }
    attr.fs |= (abi >= 3 ? FS_TRUNCATE : 0) | (abi >= 5 ? FS_IOCTL_DEV : 0);
    attr.net = abi < 4 ? 0
                       : ((leaves & FLO_SANDBOX_TCP) != FLO_SANDBOX_TCP ? NET_BIND_TCP : 0) |
                             ((leaves & FLO_SANDBOX_CONNECTS) == 0 ? NET_CONNECT_TCP : 0);
    attr.scoped = (leaves & FLO_SANDBOX_SIGNALS) == 0 ? SCOPE_SIGNAL : 0;
    attr.scoped = abi >= 6 ? attr.scoped | SCOPE_ABSTRACT_UNIX : 0;
    size_t bytes = abi >= 6 ? sizeof(attr) : abi >= 4 ? 16 : 8;
    ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, bytes, 0);
    if (ruleset < 0) {
        return flo_fail_errno(err, FLO_E_PROCESS, "landlock");
    }
    for (size_t i = 0; i < count; i++) {
        FLO_TRY(allow(ruleset, &paths[i], attr.fs, err));
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_landlock_restrict_self, ruleset, 0) < 0) {
        return flo_fail_errno(err, FLO_E_PROCESS, "landlock");
    }
    return 1;
}
