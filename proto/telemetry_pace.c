#include "proto/telemetry_pace.h"

uint64_t flo_telemetry_pace(struct flo_telemetry_pace *pace, uint64_t burst, uint64_t each_ms,
                            uint64_t now_ms)
{
    uint64_t full_at_ms = pace->full_at_ms > now_ms ? pace->full_at_ms : now_ms;
    uint64_t used_ms = full_at_ms + each_ms - now_ms;

    if (used_ms > burst * each_ms) {
        return used_ms - burst * each_ms;
    }
    pace->full_at_ms = full_at_ms + each_ms;
    return 0;
}
