/* Evidence of a member and the waves of a rollout as they are stored: what is
 * read is written the same. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/gate/observe/since.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void member(const uint8_t *data, size_t bytes)
{
    struct flo_kept_member *kept = calloc(1, sizeof(*kept));
    uint8_t again[FLO_KEPT_BYTES_MAX];
    struct flo_err err = {0};
    struct flo_since_numbers numbers;
    struct flo_slope slope;
    uint32_t stratum;
    double d;

    if (kept == NULL || flo_kept_member_unpack(data, bytes, kept, &err) < 0) {
        must(kept == NULL || err.code == FLO_E_DB);
        free(kept);
        return;
    }
    kept->observed.readings = kept->has_readings ? &kept->readings : NULL;
    kept->since.speeds = kept->has_speeds ? kept->speeds : NULL;
    for (size_t p = 0; p < FLO_SCAN_WAVES_MAX && kept->has_since; p++) {
        if (flo_since_counted(&kept->since, p, &numbers)) {
            must(numbers.errors >= 0 && numbers.requests >= 0 && numbers.crashes >= 0 &&
                 numbers.hours >= 0);
        }
        (void)flo_since_difference(&kept->since, 0, p, &d, &stratum);
        flo_since_slope(&kept->since, &kept->readings.memory, p, &slope);
        must(isfinite(slope.slope) && isfinite(slope.latest));
    }
    size_t packed =
        flo_kept_member_pack(&kept->observed, kept->has_since ? &kept->since : NULL, again);
    /* Formats of before are written as that of now. */
    if (data[0] == again[0] && data[kept->has_since ? 3 : 0] == again[kept->has_since ? 3 : 0]) {
        must(packed == bytes && memcmp(again, data, bytes) == 0);
    }
    free(kept);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_kept_waves waves;
    uint8_t again[FLO_KEPT_WAVES_BYTES_MAX];
    struct flo_err err = {0};

    member(data, bytes);
    if (flo_kept_waves_unpack(data, bytes, &waves, &err) == 0) {
        must(flo_kept_waves_pack(&waves, again) == bytes);
        must(memcmp(again, data, bytes) == 0);
    }
    return 0;
}
