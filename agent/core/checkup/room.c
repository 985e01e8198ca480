/* Room: tells whether the disk has enough free bytes for updates and
 * records. */
#include "agent/core/checkup/checkup.h"

int flo_checkup_room(uint64_t free_bytes, struct flo_err *err)
{
    if (free_bytes >= FLO_CHECKUP_DISK_MIN) {
        return 0;
    }
    return flo_fail(
        err, FLO_E_DISK_FULL, "%llu MiB of disk are free, updates and records need %llu",
        (unsigned long long)(free_bytes >> 20), (unsigned long long)(FLO_CHECKUP_DISK_MIN >> 20));
}
