/* The job line: the agent's request to a worker. */
#include <string.h>

#include "base/host/json.h"
#include "updater/run/run.h"

static int read_urls(const json_t *json, struct flo_update_job *job,
                     struct flo_err *err)
{
    json_t *list = NULL;
    int rv =
        flo_json_opt_array(json, "urls", FLO_FETCH_MIRRORS_MAX, &list, err);

    for (size_t i = 0; rv == 0 && i < json_array_size(list); i++) {
        const char *url = json_string_value(json_array_get(list, i));
        if (url == NULL || strlen(url) > 512) {
            return flo_fail(err, FLO_E_META_SCHEMA,
                            "field `urls[%zu]` is no text of at most 512 bytes",
                            i);
        }
        rv = flo_url_check(url, &flo_url_http, err);
        if (rv < 0) {
            return flo_wrap(err, rv, "urls[%zu]", i);
        }
        job->urls[job->url_count++] = url;
    }
    return rv;
}

/* Of a list of objects the texts of one key, as far as they are ready. */
static int read_named(const json_t *profile, const char *list, const char *key,
                      char *out, size_t room, size_t bytes, struct flo_err *err)
{
    json_t *items = NULL;
    size_t count = 0;
    int rv = flo_json_opt_array(profile, list, 64, &items, err);

    for (size_t i = 0; rv == 0 && i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        const char *text = json_string_value(json_object_get(item, key));
        const char *state = json_string_value(json_object_get(item, "state"));
        if (text == NULL || strlen(text) >= bytes) {
            return flo_fail(err, FLO_E_META_SCHEMA,
                            "field `profile.%s[%zu].%s` is no short text", list,
                            i, key);
        }
        if (count < room && (state == NULL || strcmp(state, "ready") == 0)) {
            snprintf(out + count++ * bytes, bytes, "%s", text);
        }
    }
    return rv;
}

static int read_hardware(const json_t *profile, struct flo_profile *out,
                         struct flo_err *err)
{
    json_t *bench = NULL;
    int rv =
        read_named(profile, "runtimes", "name", out->runtimes[0],
                   FLO_COUNT(out->runtimes), sizeof(out->runtimes[0]), err);

    if (rv == 0) {
        rv = read_named(profile, "accelerators", "kind", out->accelerators[0],
                        FLO_COUNT(out->accelerators),
                        sizeof(out->accelerators[0]), err);
    }
    if (rv == 0) {
        rv = flo_json_opt_object(profile, "bench", &bench, err);
    }
    return rv == 0 && bench != NULL
               ? flo_json_opt_u64(bench, "memory_bytes_per_s", 0, INT64_MAX, 0,
                                  &out->memory_bytes_per_s, err)
               : rv;
}

static int read_profile(const json_t *json, struct flo_profile *out,
                        struct flo_err *err)
{
    json_t *profile = NULL;
    json_t *engines = NULL;
    const char *text = NULL;
    int rv = flo_json_get_object(json, "profile", &profile, err);

    if (rv < 0 ||
        (rv = flo_json_get_text(profile, "arch", sizeof(out->arch) - 1, &text,
                                err)) < 0 ||
        (rv = flo_json_opt_u64(profile, "memory_bytes", 0, INT64_MAX, 0,
                               &out->memory_bytes, err)) < 0 ||
        (rv = flo_json_opt_bool(profile, "packs", false, &out->packs, err)) <
            0 ||
        (rv = flo_json_opt_u64(profile, "prefix_bytes", 0, INT64_MAX, 0,
                               &out->prefix_bytes, err)) < 0 ||
        (rv = flo_json_opt_array(profile, "engine", FLO_PROFILE_ENGINES_MAX,
                                 &engines, err)) < 0) {
        return rv;
    }
    snprintf(out->arch, sizeof(out->arch), "%s", text);
    for (size_t i = 0; i < json_array_size(engines); i++) {
        text = json_string_value(json_array_get(engines, i));
        if (text == NULL || strlen(text) >= sizeof(out->engine[0])) {
            return flo_fail(err, FLO_E_META_SCHEMA,
                            "field `profile.engine[%zu]` is no short text", i);
        }
        snprintf(out->engine[i], sizeof(out->engine[i]), "%s", text);
    }
    return read_hardware(profile, out, err);
}

static int read_paths(const json_t *json, struct flo_update_job *job,
                      struct flo_err *err)
{
    const struct {
        const char *key;
        const char **out;
    } paths[] = {
        {"ca_file", &job->ca_file},
        {"cert_file", &job->cert_file},
        {"key_file", &job->key_file},
        {"bundle", &job->bundle},
    };
    int rv = flo_json_get_text(json, "state_dir", 4000, &job->state_dir, err);

    if (rv == 0) {
        rv = flo_json_get_text(json, "trust_file", 4000, &job->trust_file, err);
    }
    for (size_t i = 0; rv == 0 && i < FLO_COUNT(paths); i++) {
        rv = flo_json_opt_text(json, paths[i].key, 4000, NULL, paths[i].out,
                               err);
        /* An empty path means none, as in a form. */
        if (rv == 0 && *paths[i].out != NULL && (*paths[i].out)[0] == '\0') {
            *paths[i].out = NULL;
        }
    }
    return rv;
}

static int read_numbers(const json_t *json, struct flo_update_job *job,
                        struct flo_err *err)
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
        {"time_ms", INT64_MAX, &job->time_ms},
    };
    int rv = 0;

    for (size_t i = 0; rv == 0 && i < FLO_COUNT(numbers); i++) {
        rv = flo_json_opt_u64(json, numbers[i].key, 0, numbers[i].max, 0,
                              numbers[i].out, err);
    }
    if (job->memory_bytes_max == 0) {
        job->memory_bytes_max = FLO_PLAN_MEMORY_BYTES;
    }
    return rv;
}

static int read_sandbox(const json_t *json, struct flo_update_job *job,
                        struct flo_err *err)
{
    const char *word = NULL;
    int rv = flo_json_opt_text(json, "sandbox", 16, "required", &word, err);

    if (rv == 0 && !flo_sandbox_mode_parse(word, &job->sandbox)) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "field `sandbox` is neither required nor preferred");
    }
    return rv;
}

static int read_job(const json_t *json, struct flo_update_job *job,
                    struct flo_err *err)
{
    const char *word = NULL;
    uint64_t version = 0;
    int rv = flo_json_get_u64(json, "v", 1, 1, &version, err);

    if (rv == 0) {
        rv = flo_json_get_text(json, "job", 32, &word, err);
    }
    if (rv == 0 && strcmp(word, "stage") != 0) {
        return flo_fail(err, FLO_E_NOT_BUILT, "job `%s` is not known here",
                        word);
    }
    if (rv < 0 || (rv = read_sandbox(json, job, err)) < 0 ||
        (rv = read_paths(json, job, err)) < 0 ||
        (rv = read_urls(json, job, err)) < 0 ||
        (rv = read_profile(json, &job->profile, err)) < 0 ||
        (rv = read_numbers(json, job, err)) < 0) {
        return rv;
    }
    return job->bundle == NULL
               ? flo_json_get_digest(json, "release", &job->release, err)
               : flo_json_opt_digest(json, "release", &job->release, err);
}

int flo_job_parse(const char *line, size_t bytes, struct flo_update_job *out,
                  struct flo_err *err)
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
