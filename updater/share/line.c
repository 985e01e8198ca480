/* Job lines: reads the lines that the agent sends to the blob-sharing
 * process. */
#include <string.h>

#include "updater/share/share.h"

static int read_texts(const json_t *json, struct flo_share_job *job, struct flo_err *err)
{
    const struct {
        const char *key;
        const char **out;
    } texts[] = {
        {"state_dir", &job->state_dir}, {"listen", &job->listen},
        {"ca_file", &job->ca_file},     {"cert_file", &job->cert_file},
        {"key_file", &job->key_file},   {"revoked_file", &job->revoked_file},
    };
    FLO_TRY(flo_json_get_uuid(json, "device", &job->device, err));
    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        FLO_TRY(flo_json_get_text(json, texts[i].key, 4200, texts[i].out, err));
    }
    return 0;
}

static int read_numbers(const json_t *json, struct flo_share_job *job, struct flo_err *err)
{
    const struct {
        const char *key;
        uint64_t min, max;
        uint64_t *out;
    } numbers[] = {
        {"rate_bytes_per_s", 0, INT64_MAX, &job->rate_bytes_per_s},
        {"budget_bytes", 0, INT64_MAX, &job->budget_bytes},
        {"used_bytes", 0, INT64_MAX, &job->used_bytes},
        {"used_ms", 0, FLO_SHARE_DAY_MS, &job->used_ms},
        {"transfers_max", 1, 64, &job->transfers_max},
        {"time_ms", 0, INT64_MAX, &job->time_ms},
    };
    const char *word = NULL;

    FLO_TRY(flo_json_get_text(json, "sandbox", 16, &word, err));
    for (size_t i = 0; i < FLO_COUNT(numbers); i++) {
        FLO_TRY(flo_json_get_u64(json, numbers[i].key, numbers[i].min, numbers[i].max,
                                 numbers[i].out, err));
    }
    if (!flo_sandbox_mode_parse(word, &job->sandbox)) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "field `sandbox` is neither required nor preferred");
    }
    return 0;
}

int flo_share_job_parse(const char *line, size_t bytes, struct flo_share_job *out,
                        struct flo_err *err)
{
    struct flo_share_job job = {.json = NULL};
    uint64_t version = 0;
    int rv = flo_json_parse(line, bytes, FLO_SHARE_LINE_BYTES_MAX, &job.json, err);

    if (rv == 0) {
        rv = flo_json_get_u64(job.json, "v", 1, 1, &version, err);
    }
    if (rv == 0) {
        rv = read_texts(job.json, &job, err);
    }
    if (rv == 0) {
        rv = read_numbers(job.json, &job, err);
    }
    if (rv < 0) {
        flo_share_job_deinit(&job);
        return flo_wrap(err, rv, "job");
    }
    *out = job;
    return 0;
}

void flo_share_job_deinit(struct flo_share_job *job)
{
    flo_json_cleanup(&job->json);
}

int flo_share_fetched_parse(const char *line, size_t bytes, struct flo_share_fetched *out,
                            struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    struct flo_share_fetched fetched = {.count = 0};
    json_t *list = NULL;

    FLO_TRY(flo_json_parse(line, bytes, FLO_SHARE_LINE_BYTES_MAX, &json, err));
    FLO_TRY(flo_json_get_array(json, "fetched", FLO_SHARE_FETCHED_MAX, &list, err));
    FLO_TRY(flo_json_get_bool(json, "moves", &fetched.moves, err));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text == NULL || !flo_digest_parse(text, &fetched.blobs[i])) {
            return flo_fail(err, FLO_E_META_SCHEMA, "field `fetched[%zu]` is no digest", i);
        }
        fetched.count++;
    }
    *out = fetched;
    return 0;
}
