/* Evidence of a device as it is stored: what is read is written the same. */
#include <string.h>

#include "server-stub/core/gate/observe/observed.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_observed observed;
    struct flo_readings readings;
    struct flo_err err = {0};
    uint8_t again[FLO_OBSERVED_BYTES_MAX];
    bool has_readings;

    if (flo_observed_unpack(data, bytes, &observed, &readings, &has_readings, &err) < 0) {
        must(err.code == FLO_E_DB);
        return 0;
    }
    observed.readings = has_readings ? &readings : NULL;
    size_t packed = flo_observed_pack(&observed, again);
    if (data[0] == 3) { /* those of before are written as that of now */
        must(packed == bytes);
        must(memcmp(again, data, bytes) == 0);
    }
    return 0;
}
