/* The worker's sandbox: it parses what strangers wrote.
 *
 * Landlock by its system calls (glibc has none): a list of folders and files
 * that may be opened; descriptors opened before stay as they are. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "updater/run/run.h"

/* Newer than some kernel headers. */
#define ACCESS_REFER (1ULL << 13)    /* ABI 2: rename between folders */
#define ACCESS_TRUNCATE (1ULL << 14) /* ABI 3 */
#define ACCESS_ALL_ABI_1 ((1ULL << 13) - 1)

#define ACCESS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_STORE                                                           \
    (ACCESS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE |                             \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |            \
     ACCESS_REFER | ACCESS_TRUNCATE)

/* A sanitizer's shadow is larger than any bound, and its search for leaks
 * reads /proc. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SHADOW 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SHADOW 1
#endif
#endif
#ifndef HAS_SHADOW
#define HAS_SHADOW 0
#endif

/* Virtual, not resident: threads' stacks and allocator arenas count, so the
 * bound lies above what the plan promises (which a test measures). */
static void bound_memory(uint64_t bytes_max)
{
    uint64_t bound = bytes_max + (32u << 20);
    struct rlimit limit = {bound, bound};

    if (!HAS_SHADOW && setrlimit(RLIMIT_DATA, &limit) < 0) {
        flo_log(FLO_LOG_WARN, "worker", "no bound on memory: %s",
                strerror(errno));
    }
}

static void allow(int ruleset, const char *path, uint64_t access,
                  uint64_t handled)
{
    struct landlock_path_beneath_attr rule = {.allowed_access =
                                                  access & handled};
    struct stat st;

    if (path == NULL) {
        return;
    }
    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0) {
        return; /* what is not there needs no permission */
    }
    if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode)) {
        rule.allowed_access &= LANDLOCK_ACCESS_FS_READ_FILE;
    }
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH,
                &rule, 0) < 0) {
        flo_log(FLO_LOG_WARN, "worker", "landlock: %s: %s", path,
                strerror(errno));
    }
    close(rule.parent_fd);
}

/* Of many systems it is a link to what a service writes, and replaces by
 * renaming: its folder, unless that is everybody's. */
static void allow_resolver(int ruleset, uint64_t handled)
{
    static const char *const shared[] = {"", "/tmp", "/run", "/var/run"};
    char path[PATH_MAX];
    char *slash;

    if (realpath("/etc/resolv.conf", path) == NULL) {
        return;
    }
    slash = strrchr(path, '/');
    *slash = '\0';
    for (size_t i = 0; i < FLO_COUNT(shared); i++) {
        if (strcmp(path, shared[i]) == 0) {
            *slash = '/';
            break;
        }
    }
    allow(ruleset, path, ACCESS_READ, handled);
}

static void restrict_files(const struct flo_job *job)
{
    /* TLS trust, name resolution, and the boot id that downloads note. */
    static const char *const readable[] = {"/etc",
                                           "/usr",
                                           "/lib",
                                           "/lib64",
                                           "/run/systemd/resolve",
                                           "/proc/sys/kernel/random"};
    struct landlock_ruleset_attr attr = {.handled_access_fs = ACCESS_ALL_ABI_1};
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
                       LANDLOCK_CREATE_RULESET_VERSION);

    /* ABI 1 forbids every rename between folders, which publishing needs. */
    if (abi < 2) {
        flo_log(FLO_LOG_INFO, "worker",
                "this kernel has no landlock (or a too old one): files are not "
                "restricted");
        return;
    }
    attr.handled_access_fs |= ACCESS_REFER | (abi >= 3 ? ACCESS_TRUNCATE : 0);
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr,
                               sizeof(attr.handled_access_fs), 0);
    if (ruleset < 0) {
        flo_log(FLO_LOG_WARN, "worker", "landlock: %s", strerror(errno));
        return;
    }
    allow(ruleset, job->state_dir, ACCESS_STORE, attr.handled_access_fs);
    for (size_t i = 0; i < FLO_COUNT(readable); i++) {
        allow(ruleset, readable[i], ACCESS_READ, attr.handled_access_fs);
    }
    allow_resolver(ruleset, attr.handled_access_fs);
    if (HAS_SHADOW) {
        allow(ruleset, "/proc", ACCESS_READ, attr.handled_access_fs);
    }
    const char *const files[] = {job->ca_file, job->cert_file, job->key_file,
                                 job->trust_file, job->bundle};
    for (size_t i = 0; i < FLO_COUNT(files); i++) {
        allow(ruleset, files[i], ACCESS_READ, attr.handled_access_fs);
    }
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0) {
        flo_log(FLO_LOG_WARN, "worker", "landlock: %s", strerror(errno));
    }
    close(ruleset);
}

void flo_sandbox_enter(const struct flo_job *job)
{
    const struct rlimit none = {0, 0};
    const struct rlimit files = {64, 64};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        setrlimit(RLIMIT_CORE, &none) < 0 ||
        setrlimit(RLIMIT_NOFILE, &files) < 0) {
        flo_log(FLO_LOG_WARN, "worker", "sandbox: %s", strerror(errno));
    }
    bound_memory(job->memory_bytes_max);
    restrict_files(job);
}
