/* Owner: makes one user the owner of the files that a program of root
 * writes. */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <flotilla/base.h>
#include <flotilla/errors/cfg.h>

#define KEPT_COUNT 2
static const uint32_t kept[KEPT_COUNT] = {CAP_DAC_READ_SEARCH, CAP_NET_BIND_SERVICE};

/* Keeps the capabilities to read all files and to listen on ports below 1024,
 * also for programs that this program starts.  A capability may be absent, as
 * in a container. */
static int keep_capabilities(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    uint32_t wanted = 0;
    size_t i;

    if (syscall(SYS_capget, &head, data) != 0) {
        return -1;
    }
    for (i = 0; i < KEPT_COUNT; i++) {
        wanted |= data[0].permitted & (1u << kept[i]);
    }
    data[0] = (struct __user_cap_data_struct){wanted, wanted, wanted};
    data[1] = (struct __user_cap_data_struct){0};
    if (syscall(SYS_capset, &head, data) != 0) {
        return -1;
    }
    for (i = 0; i < KEPT_COUNT; i++) {
        if ((wanted & (1u << kept[i])) != 0 &&
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, kept[i], 0, 0) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Gives the files of a folder to the owner, by descriptors, because the owner
 * may rename files meanwhile. */
static void give_below(int parent, const char *name, const struct stat *owner);

static void give(int parent, const char *name, const struct stat *owner)
{
    FLO_CLEANUP(flo_fd_cleanup)
    int fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0 || st.st_dev != owner->st_dev) {
        return;
    }
    /* A file with several hard links is left out, because it may have a name
     * elsewhere.  The descriptor of a symbolic link stands for the link itself. */
    bool is_single = (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)) && st.st_nlink == 1;

    if (st.st_uid == 0 && (S_ISDIR(st.st_mode) || is_single)) {
        (void)!fchownat(fd, "", owner->st_uid, owner->st_gid, AT_EMPTY_PATH);
    }
    if (S_ISDIR(st.st_mode)) {
        give_below(fd, ".", owner);
    }
}

/* Gives the owner those files of a folder that an older version left to
 * root. */
static void give_below(int parent, const char *name, const struct stat *owner)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (folder == NULL) {
        flo_fd_cleanup(&fd);
        return;
    }
    while ((entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            give(fd, entry->d_name, owner);
        }
    }
    closedir(folder);
}

int flo_process_as_owner(const char *path, struct flo_err *err)
{
    struct stat st;

    if (geteuid() != 0 || stat(path, &st) != 0 || st.st_uid == 0) {
        return 0;
    }
    give_below(AT_FDCWD, path, &st);
    /* Without this flag, the kernel would drop all capabilities at the change
     * of user, and access() would ignore them.  If prctl refuses, they are
     * lost. */
    (void)prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP);
    if (setgroups(0, NULL) != 0 || setresgid(st.st_gid, st.st_gid, st.st_gid) != 0 ||
        setresuid(st.st_uid, st.st_uid, st.st_uid) != 0 || keep_capabilities() != 0) {
        return flo_fail_errno(err, FLO_E_CFG_PERM, "go on as user %ld, who owns %s",
                              (long)st.st_uid, path);
    }
    return 0;
}
