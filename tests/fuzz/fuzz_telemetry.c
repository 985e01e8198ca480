/* A device's window of telemetry, as the lane takes it, and the store's packed
 * sketches: refused, or what is added comes back from its bytes. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/metrics.h>

#include "server-stub/core/telemetry/sketch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct flo_sketch sketch;
static struct flo_sketch back;
static struct flo_histogram histograms[FLO_METRIC_COUNT];

/* Packing what was unpacked gives the same bytes: there is one form. */
static void come_back(const struct flo_sketch *from)
{
    struct flo_buf first = {0};
    struct flo_buf second = {0};

    flo_sketch_pack(from, &first);
    flo_sketch_clear(&back);
    if (flo_sketch_unpack(&back, (const uint8_t *)first.data, first.bytes, NULL) < 0) {
        abort();
    }
    flo_sketch_pack(&back, &second);
    if (first.bytes != second.bytes || memcmp(first.data, second.data, first.bytes) != 0) {
        abort();
    }
    for (int m = 0; m < FLO_METRIC_COUNT; m++) {
        struct flo_sketch_number number;
        if (flo_sketch_pick((const uint8_t *)first.data, first.bytes, m, &number, &histograms[0],
                            NULL) < 0) {
            abort();
        }
    }
    flo_buf_deinit(&first);
    flo_buf_deinit(&second);
}

static void window(const uint8_t *data, size_t bytes)
{
    struct flo_telemetry_window telemetry = {.histograms = histograms};
    char hardware[FLO_HARDWARE_TEXT];
    json_t *json = NULL;
    size_t parts = 0;

    if (flo_json_parse((const char *)data, bytes, 65536, &json, NULL) < 0) {
        return;
    }
    flo_hardware_class(json, hardware);
    if (flo_telemetry_parts(json, &parts, NULL) < 0) {
        parts = 0;
    }
    for (size_t i = 0; i < parts; i++) {
        if (flo_telemetry_parse(json, i, &telemetry, NULL) == 0) {
            flo_sketch_clear(&sketch);
            flo_sketch_add(&sketch, &telemetry);
            flo_sketch_add(&sketch, &telemetry);
            come_back(&sketch);
        }
    }
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_sketch_number number;

    window(data, bytes);
    flo_sketch_clear(&sketch);
    (void)flo_sketch_unpack(&sketch, data, bytes, NULL);
    (void)flo_sketch_pick(data, bytes, FLO_METRIC_NAME_WAITING, &number, histograms, NULL);
    return 0;
}
