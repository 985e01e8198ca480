/* Job line: parses the agent's request to a worker. */
#include <string.h>

#include <flotilla/release.h>

#include "base/host/json.h"
#include "updater/run/run.h"

static int read_urls(const json_t *json, struct flo_update_job *job, struct flo_err *err)
{
    json_t *list = NULL;
    int rv = flo_json_opt_array(json, "urls", FLO_FETCH_MIRRORS_MAX, &list, err);

    for (size_t i = 0; rv == 0 && i < json_array_size(list); i++) {
        const char *url = json_string_value(json_array_get(list, i));
        if (url == NULL || strlen(url) > 512) {
            return flo_fail(err, FLO_E_META_SCHEMA,
                            "field `urls[%zu]` is no text of at most 512 bytes", i);
        }
        rv = flo_url_check(url, &flo_url_http, err);
        if (rv < 0) {
            return flo_wrap(err, rv, "urls[%zu]", i);
        }
        job->urls[job->url_count++] = url;
    }
    return rv;
}

static int read_neighbours(const json_t *json, struct flo_update_job *job, struct flo_err *err)
{
    json_t *list = NULL;
    int rv = flo_json_opt_array(json, "neighbours", FLO_NEIGHBOURS_MAX, &list, err);

    for (size_t i = 0; rv == 0 && i < json_array_size(list); i++) {
        const char *url = json_string_value(json_array_get(list, i));
        if (url == NULL || strlen(url) >= FLO_NEIGHBOURS_URL_BYTES ||
            strncmp(url, "https://", 8) != 0) {
            return flo_fail(err, FLO_E_META_SCHEMA,
                            "field `neighbours[%zu]` is no https:// address of "
                            "less than %d bytes",
                            i, FLO_NEIGHBOURS_URL_BYTES);
        }
        rv = flo_url_check(url, &flo_url_http, err);
        if (rv < 0) {
            return flo_wrap(err, rv, "neighbours[%zu]", i);
        }
        job->neighbours[job->neighbour_count++] = url;
    }
    FLO_TRY(rv);
    return flo_json_opt_bool(json, "keeps_patches", false, &job->keeps_patches, err);
}

static int read_profile(const json_t *json, struct flo_profile *out, struct flo_err *err)
{
    json_t *profile = NULL;

    FLO_TRY(flo_json_get_object(json, "profile", &profile, err));
    return flo_profile_parse(profile, out, err);
}

static int read_paths(const json_t *json, struct flo_update_job *job, struct flo_err *err)
{
    const struct {
        const char *key;
        const char **out;
    } paths[] = {
        {"ca_file", &job->ca_file}, {"cert_file", &job->cert_file}, {"key_file", &job->key_file},
        {"bundle", &job->bundle},   {"variant", &job->variant},
    };
    FLO_TRY(flo_json_get_text(json, "state_dir", 4000, &job->state_dir, err));
    FLO_TRY(flo_json_get_text(json, "trust_file", 4000, &job->trust_file, err));
    for (size_t i = 0; i < FLO_COUNT(paths); i++) {
        FLO_TRY(flo_json_opt_text(json, paths[i].key, 4000, NULL, paths[i].out, err));
        /* An empty path counts as a missing one. */
        if (*paths[i].out != NULL && (*paths[i].out)[0] == '\0') {
            *paths[i].out = NULL;
        }
    }
    return 0;
}

static int read_numbers(const json_t *json, struct flo_update_job *job, struct flo_err *err)
{
    const struct {
        const char *key;
        uint64_t max;
        uint64_t *out;
    } numbers[] = {
        {"rate_bytes_per_s", INT64_MAX, &job->rate_bytes_per_s},
        {"budget_bytes", INT64_MAX, &job->budget_bytes},
        {"memory_bytes_max", INT64_MAX, &job->memory_bytes_max},
        {"pause_ms_min", 3600000, &job->pause_ms_min},
        {"pause_ms_max", 3600000, &job->pause_ms_max},
        {"attempts_max", 1000, &job->attempts_max},
        {"neighbours_turn_ms", INT64_MAX, &job->neighbours_turn_ms},
        {"neighbours_wait_ms", INT64_MAX, &job->neighbours_wait_ms},
        {"neighbours_patience_ms", 600000, &job->neighbours_patience_ms},
        {"time_ms", INT64_MAX, &job->time_ms},
        {"deadline_ms", INT64_MAX / 2, &job->deadline_ms},
    };
    int rv = 0;

    for (size_t i = 0; rv == 0 && i < FLO_COUNT(numbers); i++) {
        rv = flo_json_opt_u64(json, numbers[i].key, 0, numbers[i].max, 0, numbers[i].out, err);
    }
    if (job->memory_bytes_max == 0) {
        job->memory_bytes_max = FLO_PLAN_MEMORY_BYTES;
    }
    return rv;
}

static int read_sandbox(const json_t *json, struct flo_update_job *job, struct flo_err *err)
{
    const char *word = NULL;

    FLO_TRY(flo_json_opt_text(json, "sandbox", 16, "required", &word, err));
    if (!flo_sandbox_mode_parse(word, &job->sandbox)) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "field `sandbox` is neither required nor preferred");
    }
    return 0;
}

static int read_job(const json_t *json, struct flo_update_job *job, struct flo_err *err)
{
    const char *word = NULL;
    uint64_t version = 0;

    FLO_TRY(flo_json_get_u64(json, "v", 1, 1, &version, err));
    FLO_TRY(flo_json_get_text(json, "job", 32, &word, err));
    if (strcmp(word, "stage") != 0) {
        return flo_fail(err, FLO_E_NOT_BUILT, "job `%s` is not known here", word);
    }
    FLO_TRY(read_sandbox(json, job, err));
    FLO_TRY(read_paths(json, job, err));
    FLO_TRY(read_urls(json, job, err));
    FLO_TRY(read_neighbours(json, job, err));
    FLO_TRY(read_profile(json, &job->profile, err));
    FLO_TRY(read_numbers(json, job, err));
    return job->bundle == NULL ? flo_json_get_digest(json, "release", &job->release, err)
                               : flo_json_opt_digest(json, "release", &job->release, err);
}

int flo_job_parse(const char *line, size_t bytes, struct flo_update_job *out, struct flo_err *err)
{
    struct flo_update_job job = {.json = NULL};
    int rv = flo_json_parse(line, bytes, FLO_JOB_BYTES_MAX, &job.json, err);

    if (rv == 0) {
        rv = read_job(job.json, &job, err);
    }
    if (rv < 0) {
        flo_job_deinit(&job);
        return flo_wrap(err, rv, "job");
    }
    *out = job;
    return 0;
}

void flo_job_deinit(struct flo_update_job *job)
{
    flo_json_cleanup(&job->json);
    flo_digest_list_deinit(&job->others);
}
