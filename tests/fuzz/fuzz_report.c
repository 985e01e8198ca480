/* Reports of devices: what people see of one is bounded, and reads the same
 * once more. */
#include <stdlib.h>

#include "server-stub/core/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void take(const json_t *in, const char *op)
{
    json_t *out = NULL;
    json_t *again = NULL;

    if (flo_report_read(in, op, &out, NULL) < 0) {
        return;
    }
    json_object_set_new(out, "v", json_integer(1));
    if (json_array_size(json_object_get(out, "lines")) > FLO_REPORT_LINES_MAX ||
        json_array_size(json_object_get(out, "findings")) > FLO_REPORT_FINDINGS_MAX ||
        json_object_size(json_object_get(out, "facts")) > FLO_REPORT_FACTS_MAX ||
        flo_report_read(out, op, &again, NULL) < 0) {
        abort();
    }
    json_object_del(out, "v");
    if (!json_equal(out, again)) {
        abort();
    }
    json_decref(again);
    json_decref(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    json_t *json = NULL;

    if (flo_json_parse((const char *)data, bytes, FLO_REPORT_BYTES_MAX, &json, NULL) == 0) {
        take(json, "logs");
        take(json, "doctor");
    }
    json_decref(json);
    return 0;
}
