/* Reports of a device, read for the plan of a rollout: any report gives a
 * forecast, and figures read the same once more. */
#include <stdlib.h>
#include <string.h>

#include "proto/memory/figures.h"

#include "server-stub/state/fit/fit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define DIGEST "sha256:1111111111111111111111111111111111111111111111111111111111111111"
static const char body[] =
    "{\"v\":2,\"fleet\":\"demo\",\"model\":\"tiny\",\"version\":\"2\","
    "\"number\":2,\"created_at_ms\":0,\"files\":[{\"name\":\"m\",\"role\":"
    "\"model\",\"digest\":\"" DIGEST "\",\"bytes\":100000,\"get\":[{\"codec\":"
    "\"raw\",\"digest\":\"" DIGEST "\",\"bytes\":100000}]}],\"variants\":[{"
    "\"name\":\"v\",\"files\":[\"m\"],\"entry\":\"m\",\"needs\":{}}]}";

static const struct flo_release *find(void *context, const struct flo_digest *digest)
{
    return digest->bytes[0] % 2 == 0 ? NULL : context;
}

static void read_figures(const json_t *json)
{
    struct flo_memory_told told, again;

    if (flo_memory_told_read(json, "tiny", &told, NULL) < 0) {
        return;
    }
    json_t *text = flo_memory_told_json(&told);
    if (flo_memory_told_read(text, "tiny", &again, NULL) < 0 ||
        told.model.n_files != again.model.n_files || told.model.rungs != again.model.rungs ||
        told.adapter_bytes != again.adapter_bytes || told.draft_bytes != again.draft_bytes) {
        abort();
    }
    json_decref(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct flo_release *release;
    struct flo_forecast out;
    json_t *json = NULL;

    if (release == NULL && flo_release_new(body, sizeof(body) - 1, NULL, &release, NULL) < 0) {
        abort();
    }
    if (flo_json_parse((const char *)data, bytes, 65536, &json, NULL) < 0) {
        return 0;
    }
    struct flo_forecast_order order = {.release = release};
    order.digest.bytes[0] = 2;
    flo_forecast_device(json, &order, find, release, &out);
    if (out.result == FLO_FORECAST_CANNOT && out.why.code == 0) {
        abort();
    }
    read_figures(json);
    json_decref(json);
    return 0;
}
