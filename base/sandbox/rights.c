/* Sandbox kit, rights: capabilities.  User 0 has them, and
 * flo_process_as_owner() passes some to programs that it starts. */
#include "base/sandbox.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <flotilla/errors/process.h>

#define HALVES _LINUX_CAPABILITY_U32S_3

int flo_sandbox_keep_rights(uint64_t permitted, uint64_t effective, struct flo_err *err)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[HALVES] = {{0}};
    bool has_more = false;

    /* The call fails, without harm, on a kernel without ambient
     * capabilities. */
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capget, &head, data) < 0) {
        return flo_fail_errno(err, FLO_E_PROCESS, "rights of root");
    }
    for (unsigned i = 0; i < HALVES; i++) {
        const struct __user_cap_data_struct had = data[i];
        data[i].permitted &= (uint32_t)(permitted >> (32 * i));
        data[i].effective = data[i].permitted & (uint32_t)(effective >> (32 * i));
        data[i].inheritable = 0;
        has_more = has_more || had.permitted != data[i].permitted ||
                   had.effective != data[i].effective || had.inheritable != 0;
    }
    /* A process without rights to give up makes no call, because a service
     * manager's filter may refuse it capset. */
    return !has_more || syscall(SYS_capset, &head, data) == 0
               ? 0
               : flo_fail_errno(err, FLO_E_PROCESS, "give up root's rights");
}
