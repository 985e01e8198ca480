/* Whose files a program of root's writes. */
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <flotilla/base.h>

/* Of all capabilities keep the one to read, also for programs started from
 * here; where it is not there, as in a container, that is no loss. */
static int keep_reading(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    uint32_t wanted = 1u << CAP_DAC_READ_SEARCH;

    if (syscall(SYS_capget, &head, data) != 0) {
        return -1;
    }
    wanted &= data[0].permitted;
    data[0] = (struct __user_cap_data_struct){wanted, wanted, wanted};
    data[1] = (struct __user_cap_data_struct){0};
    if (syscall(SYS_capset, &head, data) != 0) {
        return -1;
    }
    return wanted == 0 ? 0
                       : prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE,
                               CAP_DAC_READ_SEARCH, 0, 0);
}

int flo_process_as_owner(const char *path, struct flo_err *err)
{
    struct stat st;

    if (geteuid() != 0 || stat(path, &st) != 0 || st.st_uid == 0) {
        return 0;
    }
    /* Else the kernel would take all capabilities at the change, and access()
     * would look without them.  When it refuses, they are gone. */
    (void)prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP);
    if (setgroups(0, NULL) != 0 ||
        setresgid(st.st_gid, st.st_gid, st.st_gid) != 0 ||
        setresuid(st.st_uid, st.st_uid, st.st_uid) != 0 ||
        keep_reading() != 0) {
        return flo_fail_errno(err, FLO_E_CFG_PERM,
                              "go on as user %ld, who owns %s", (long)st.st_uid,
                              path);
    }
    return 0;
}
