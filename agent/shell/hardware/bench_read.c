/* Benchmark numbers: reads them from JSON, as the engine process prints
 * them. */
#include <string.h>

#include "agent/shell/hardware/hardware.h"

static int read_numbers(const json_t *json, struct flo_bench *out, struct flo_err *err)
{
    const struct {
        const char *key;
        uint64_t *out;
    } numbers[] = {{"memory_bytes_per_s", &out->memory_bytes_per_s},
                   {"int8_ops_per_s", &out->int8_ops_per_s},
                   {"read_bytes_per_s", &out->read_bytes_per_s},
                   {"took_ms", &out->took_ms}};

    for (size_t i = 0; i < FLO_COUNT(numbers); i++) {
        FLO_TRY(flo_json_get_u64(json, numbers[i].key, 0, UINT64_C(1) << 52, numbers[i].out, err));
    }
    return 0;
}

int flo_bench_read(const char *text, size_t bytes, struct flo_bench *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    struct flo_bench bench = {0};
    const char *of = NULL;

    FLO_TRY(flo_json_parse(text, bytes, FLO_BENCH_BYTES_MAX, &json, err));
    FLO_TRY(read_numbers(json, &bench, err));
    FLO_TRY(flo_json_opt_u64(json, "at_ms", 0, UINT64_C(1) << 52, 0, &bench.at_ms, err));
    FLO_TRY(flo_json_opt_text(json, "of", FLO_DIGEST_TEXT - 1, "", &of, err));
    snprintf(bench.of, sizeof(bench.of), "%s", of);
    *out = bench;
    return 0;
}
