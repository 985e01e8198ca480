/* Process groups with limits: reads and writes the cgroup files below
 * /sys/fs/cgroup. */
#include "base/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <flotilla/errors/process.h>

#define TEXT_MAX 4096
#define END_MS 2000
#define TICK_MS 10

static int file_open(const struct flo_cgroup *group, const char *name, int flags)
{
    char path[FLO_CGROUP_PATH_MAX + 64];

    snprintf(path, sizeof(path), "%s/%s", group->folder, name);
    return open(path, flags | O_CLOEXEC | O_NOFOLLOW);
}

static bool file_read(const struct flo_cgroup *group, const char *name, char *text)
{
    int fd = file_open(group, name, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, TEXT_MAX - 1);

    flo_fd_cleanup(&fd);
    text[n > 0 ? n : 0] = '\0';
    return n >= 0;
}

static bool file_write(const struct flo_cgroup *group, const char *name, const char *text)
{
    int fd = file_open(group, name, O_WRONLY);
    bool is_written = fd >= 0 && write(fd, text, strlen(text)) > 0;
    int why = errno;

    flo_fd_cleanup(&fd);
    errno = why;
    return is_written;
}

static bool has_word(const struct flo_cgroup *group, const char *name, const char *word)
{
    char text[TEXT_MAX];
    size_t chars = strlen(word);

    if (!file_read(group, name, text)) {
        return false;
    }
    for (const char *p = text; *p != '\0';) {
        size_t n = strcspn(p, " \n");
        if (n == chars && memcmp(p, word, n) == 0) {
            return true;
        }
        p += n;
        p += strspn(p, " \n");
    }
    return false;
}

/* ---- which one ---- */

int flo_cgroup_find(const char *root, const char *self, struct flo_cgroup *out, bool *is_leaf,
                    struct flo_err *err)
{
    static const char leaf[] = "/" FLO_CGROUP_LEAF;
    const char *line = self;

    while (line != NULL && strncmp(line, "0::/", 4) != 0) {
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    size_t n = line == NULL ? 0 : strcspn(line + 3, "\n");
    if (line == NULL || strlen(root) + n >= sizeof(out->folder)) {
        return flo_fail(err, FLO_E_ABSENT, "no cgroup of version 2");
    }
    if (n == 1) {
        n = 0; /* this is the root group, which has no name */
    }
    *is_leaf = n >= sizeof(leaf) - 1 &&
               memcmp(line + 3 + n - (sizeof(leaf) - 1), leaf, sizeof(leaf) - 1) == 0;
    n -= *is_leaf ? sizeof(leaf) - 1 : 0;
    snprintf(out->folder, sizeof(out->folder), "%s%.*s", root, (int)n, line + 3);
    return 0;
}

int flo_cgroup_own(struct flo_cgroup *out, bool *is_leaf, struct flo_err *err)
{
    char text[TEXT_MAX];
    const struct flo_cgroup self = {.folder = "/proc/self"};

    if (!file_read(&self, "cgroup", text)) {
        return flo_fail(err, FLO_E_ABSENT, "/proc/self/cgroup: %s", strerror(errno));
    }
    return flo_cgroup_find(FLO_CGROUP_ROOT, text, out, is_leaf, err);
}

/* ---- ours ---- */

/* Tells whether the group is delegated to us.  systemd marks such a group; for
 * a plain user the folder belongs to the user. */
static bool is_given(const struct flo_cgroup *own)
{
    static const char *const names[] = {"trusted.delegate", "user.delegate"};
    struct stat st;
    char value[8];

    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        if (getxattr(own->folder, names[i], value, sizeof(value)) == 1 && value[0] == '1') {
            return true;
        }
    }
    return geteuid() != 0 && stat(own->folder, &st) == 0 && st.st_uid == geteuid();
}

/* Tells whether no other process is in the group, because one would forbid
 * limits on its child groups. */
static bool is_alone(const struct flo_cgroup *own)
{
    char text[TEXT_MAX];

    if (!file_read(own, "cgroup.procs", text)) {
        return false;
    }
    const char *end = strchr(text, '\n');
    return end == NULL || end[1] == '\0';
}

/* Removes left-over groups.  A group with processes stays, because rmdir()
 * refuses. */
static void sweep(const struct flo_cgroup *own)
{
    DIR *dir = opendir(own->folder);
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, "runtime-", 8) == 0) {
            (void)unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

int flo_cgroup_prepare(const struct flo_cgroup *own, struct flo_err *err)
{
    struct flo_cgroup leaf;

    if (!is_given(own)) {
        return flo_fail(err, FLO_E_ABSENT, "%s was not given to us", own->folder);
    }
    if (!has_word(own, "cgroup.controllers", "memory")) {
        return flo_fail(err, FLO_E_ABSENT, "%s has no memory controller", own->folder);
    }
    if (!is_alone(own)) {
        return flo_fail(err, FLO_E_ABSENT, "%s has other processes", own->folder);
    }
    if (snprintf(leaf.folder, sizeof(leaf.folder), "%s/" FLO_CGROUP_LEAF, own->folder) >=
        (int)sizeof(leaf.folder)) {
        return flo_fail(err, FLO_E_ABSENT, "the name of our cgroup is too long");
    }
    if ((mkdir(leaf.folder, 0755) < 0 && errno != EEXIST) ||
        !file_write(&leaf, "cgroup.procs", "0")) {
        return flo_fail_errno(err, FLO_E_PROCESS, "%s", leaf.folder);
    }
    if (!file_write(own, "cgroup.subtree_control", "+memory")) {
        return flo_fail_errno(err, FLO_E_PROCESS, "%s/cgroup.subtree_control", own->folder);
    }
    (void)file_write(own, "cgroup.subtree_control", "+pids");
    sweep(own);
    return 0;
}

bool flo_cgroup_is_prepared(const struct flo_cgroup *own)
{
    return has_word(own, "cgroup.subtree_control", "memory");
}

/* ---- others ---- */

int flo_cgroup_make(const struct flo_cgroup *own, const char *name, uint64_t memory_bytes,
                    uint32_t threads, struct flo_cgroup *out, struct flo_err *err)
{
    char text[32];

    if (snprintf(out->folder, sizeof(out->folder), "%s/runtime-%s", own->folder, name) >=
        (int)sizeof(out->folder)) {
        out->folder[0] = '\0';
        return flo_fail(err, FLO_E_PROCESS, "the name of a cgroup is too long");
    }
    snprintf(text, sizeof(text), "%llu", (unsigned long long)memory_bytes);
    if ((mkdir(out->folder, 0755) < 0 && errno != EEXIST) || !file_write(out, "memory.max", text)) {
        flo_fail_errno(err, FLO_E_PROCESS, "%s", out->folder);
        (void)rmdir(out->folder);
        out->folder[0] = '\0';
        return FLO_E_PROCESS;
    }
    (void)file_write(out, "memory.swap.max", "0"); /* the file exists only on machines with swap */
    (void)file_write(out, "memory.oom.group", "1");
    snprintf(text, sizeof(text), "%u", threads);
    (void)file_write(out, "pids.max", text);
    return 0;
}

bool flo_cgroup_enter(const struct flo_cgroup *group)
{
    return file_write(group, "cgroup.procs", "0");
}

uint64_t flo_cgroup_kills(const struct flo_cgroup *group)
{
    static const char word[] = "oom_kill ";
    char text[TEXT_MAX];

    if (group->folder[0] == '\0' || !file_read(group, "memory.events", text)) {
        return 0;
    }
    for (const char *p = text; p != NULL && *p != '\0';) {
        if (strncmp(p, word, sizeof(word) - 1) == 0) {
            return strtoull(p + sizeof(word) - 1, NULL, 10);
        }
        p = strchr(p, '\n');
        p = p == NULL ? NULL : p + 1;
    }
    return 0;
}

void flo_cgroup_end(struct flo_cgroup *group)
{
    uint64_t until_ms = flo_now_ms() + END_MS;

    if (group->folder[0] == '\0') {
        return;
    }
    (void)file_write(group, "cgroup.kill", "1");
    while (rmdir(group->folder) < 0 && errno == EBUSY && flo_now_ms() < until_ms) {
        poll(NULL, 0, TICK_MS);
    }
    group->folder[0] = '\0';
}
