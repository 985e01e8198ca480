/* Time zone files: any bytes give no zone, or one with offsets of a day. */
#include <stdlib.h>

#include "base/zone.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_zone *zone = NULL;

    if (flo_zone_parse(data, bytes, &zone, NULL) == 0) {
        for (uint64_t s = 0; s < 4102444800u; s += 86400 * 97 + 3601) {
            int32_t offset_s = flo_zone_offset_s(zone, s * 1000);
            must(offset_s > -2 * 86400 && offset_s < 2 * 86400);
        }
    }
    flo_zone_close(zone);
    return 0;
}
