/* Worker's sandbox: the worker parses untrusted bytes and has network access.
 *
 * It can write only the files of the download: blobs and files that become
 * blobs.  Trust, keys and slots are read-only or inaccessible: only the agent
 * decides which release runs.  A system call that is not listed fails with
 * ENOSYS, so that a libc uses an older one.  A call that only an attacker would
 * make kills the process. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sandbox.h"
#include "updater/run/run.h"

#define EVER FLO_SANDBOX_EVER
#define INT FLO_SANDBOX_INT
#define WORD FLO_SANDBOX_WORD

static const struct flo_sandbox_rule rules[] = {
#include "base/sandbox/calls.def"
    /* Calls on files, most of which landlock forbids.  O_PATH is refused,
     * because with fstat it works as a stat.  O_TRUNC is refused, because
     * landlock before version 3 cannot restrict it. */
    FLO_CALL(EVER, pwrite64),
    FLO_CALL_IF(EVER, openat, 2, O_PATH | O_TRUNC, 0),
#ifdef SYS_open
    FLO_CALL_IF(EVER, open, 1, O_PATH | O_TRUNC, 0),
#endif
    FLO_CALL(EVER, fstatfs),
#ifdef SYS_fstatfs64
    FLO_CALL(EVER, fstatfs64),
#endif
    FLO_CALL(EVER, fsync),
    FLO_CALL(EVER, fdatasync),
    FLO_CALL(EVER, ftruncate),
    FLO_CALL(EVER, fallocate),
#ifdef SYS_ftruncate64
    FLO_CALL(EVER, ftruncate64),
#endif
#ifdef SYS_fadvise64
    FLO_CALL(EVER, fadvise64),
#endif
#ifdef SYS_arm_fadvise64_64
    FLO_CALL(EVER, arm_fadvise64_64),
#endif
    FLO_CALL(EVER, flock),
    FLO_CALL(EVER, getdents64),
    FLO_CALL(EVER, linkat),
    FLO_CALL(EVER, unlinkat),
#ifdef SYS_rename
    FLO_CALL(EVER, rename),
    FLO_CALL(EVER, unlink),
#endif
#ifdef SYS_renameat
    FLO_CALL(EVER, renameat),
#endif
    FLO_CALL_IF(EVER, renameat2, 4, INT, 0),
    FLO_CALL_IF(EVER, fchmod, 1, WORD, 0400), /* mode of a blob */
    FLO_CALL_IF(EVER, fchmod, 1, WORD, 0600), /* mode of a download that is resumed */
    FLO_CALL(EVER, dup),
    FLO_CALL_IF(EVER, dup3, 2, INT, O_CLOEXEC),
#include "base/sandbox/network.def"
};

static const struct flo_sandbox_policy policy = {rules, FLO_COUNT(rules), ENOSYS};

/* ---- files ---- */

static int restrict_files(const struct flo_update_job *job, struct flo_err *err)
{
    static const char *const stores[] = {"blobs", "partial", "prefix", "releases"};
    char own[FLO_COUNT(stores)][PATH_MAX];
    /* Readable: TLS trust without the keys next to it, name resolution files,
     * and the boot id for download maps. */
    struct flo_sandbox_path paths[16 + FLO_SANDBOX_NETWORK_PATHS] = {
        {own[0], FLO_SANDBOX_SHELF},         {own[1], FLO_SANDBOX_STORE},
        {own[2], FLO_SANDBOX_STORE},         {own[3], FLO_SANDBOX_STORE},
        {job->trust_file, FLO_SANDBOX_READ}, {job->bundle, FLO_SANDBOX_READ},
        {job->ca_file, FLO_SANDBOX_READ},    {job->cert_file, FLO_SANDBOX_READ},
        {job->key_file, FLO_SANDBOX_READ},   {"/proc/sys/kernel/random/boot_id", FLO_SANDBOX_READ},
    };

    for (size_t i = 0; i < FLO_COUNT(stores); i++) {
        if (!flo_path_join(own[i], PATH_MAX, job->state_dir, stores[i])) {
            return flo_fail(err, FLO_E_IO_OPEN, "%s: path too long", job->state_dir);
        }
    }
    flo_sandbox_network_paths(paths + 16);
    return flo_sandbox_files(paths, FLO_COUNT(paths), FLO_SANDBOX_CONNECTS, err);
}

/* Virtual memory for libraries, stacks and the allocators' per-thread reserves;
 * little of it is resident. */
#define AROUND_BYTES (1ULL << 30)

static void bound_memory(uint64_t bytes_max)
{
    /* The limit is above the memory that the plan promises; a test measures
     * that memory. */
    uint64_t bound = bytes_max + (32u << 20);

    if (flo_sandbox_is_built()) { /* a sanitizer has no sandbox, because its
                                   * shadow memory is larger than the limit */
        flo_sandbox_limit(RLIMIT_DATA, bound);
        flo_sandbox_limit(RLIMIT_AS, bound + AROUND_BYTES);
    }
}

/* ---- rights ---- */

#define TO_READ ((uint64_t)1 << CAP_DAC_READ_SEARCH)

static bool can_read(const char *path)
{
    FLO_CLEANUP(flo_fd_cleanup)
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    return path == NULL || fd >= 0 || (errno != EACCES && errno != EPERM);
}

/* Tells whether all blobs are readable.  An older agent run by root may have
 * left a file with several hard links, which flo_process_as_owner() does not
 * hand over. */
static bool can_read_blobs(const char *state_dir)
{
    char path[PATH_MAX];
    DIR *folder = flo_path_join(path, sizeof(path), state_dir, "blobs") ? opendir(path) : NULL;
    const struct dirent *entry;
    bool can = true;

    while (can && folder != NULL && (entry = readdir(folder)) != NULL) {
        FLO_CLEANUP(flo_fd_cleanup)
        int fd =
            openat(dirfd(folder), entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        can = fd >= 0 || errno != EACCES;
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return can;
}

/* Drops capabilities.  A job of root's agent may name files that only root can
 * read: a bundle in a user's folder, a certificate.  Then CAP_DAC_READ_SEARCH
 * stays, limited by landlock; all other capabilities are dropped. */
static int drop_rights(const struct flo_update_job *job, struct flo_err *err)
{
    int rv = flo_sandbox_keep_rights(TO_READ, 0, err);
    uint64_t kept = can_read(job->trust_file) && can_read(job->bundle) && can_read(job->ca_file) &&
                            can_read(job->cert_file) && can_read(job->key_file) &&
                            can_read_blobs(job->state_dir)
                        ? 0
                        : TO_READ;

    FLO_TRY(rv);
    return flo_sandbox_keep_rights(kept, kept, err);
}

int flo_updater_sandbox_enter(const struct flo_update_job *job, struct flo_err *err)
{
    flo_sandbox_network_begin();
    flo_sandbox_close_memory();
    flo_sandbox_limit(RLIMIT_NOFILE, 64);
    bound_memory(job->memory_bytes_max);
    FLO_TRY(drop_rights(job, err));
    return flo_sandbox_close(restrict_files(job, err), &policy, job->sandbox, err);
}
