/* Specifications of rollouts: what is read can be divided into phases, and a
 * refusal names a place.
 *
 * Input: YAML (so JSON too). */
#include <stdlib.h>
#include <string.h>

#include "base/host/yaml.h"
#include "server-stub/core/spec/spec.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void take(const json_t *json)
{
    static struct flo_spec spec;
    static struct flo_rollout draft;
    char path[FLO_SPEC_PATH_MAX];
    struct flo_err err = {0};

    if (flo_spec_read(json, &spec, &err) < 0) {
        must(err.what[0] != '\0');
        flo_spec_path(&err, path);
        must(strlen(path) < sizeof(path));
        return;
    }
    must(spec.phase_count >= 1 && spec.phase_count <= FLO_ROLLOUT_PHASES_MAX);
    must(flo_policy_is_valid(&spec.policy));
    must(flo_name_is_valid(spec.target.group));
    flo_spec_draft(&spec, &draft);
    must(draft.starts_per_s > 0);
    flo_rollout_divide(&draft);
    for (uint32_t i = 0; i < draft.phase_count; i++) {
        must(draft.phases[i].bucket_from <= draft.phases[i].bucket_to);
    }
}

/* Its member `change` as an edit of the rest; once more it changes nothing. */
static void edit(json_t *json)
{
    json_t *change = json_incref(json_object_get(json, "change"));
    char names[FLO_SPEC_NAMES_MAX];
    json_t *merged = NULL;
    json_t *again = NULL;
    struct flo_err err = {0};

    json_object_del(json, "change");
    if (json_is_object(change)) {
        int rv = flo_spec_merge(json, change, &merged, names, &err);
        must(strlen(names) < sizeof(names));
        must(rv == 0 || (rv == FLO_E_REST_MEANING && err.what[0] != '\0'));
    }
    if (merged != NULL) {
        take(merged);
        must(flo_spec_merge(merged, change, &again, names, &err) == 0);
        must(names[0] == '\0' && json_equal(merged, again));
    }
    json_decref(change);
    json_decref(merged);
    json_decref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_yaml *yaml = NULL;

    if (flo_yaml_parse((const char *)data, bytes, "f", &yaml, NULL) == 0) {
        take(flo_yaml_root(yaml));
        if (json_is_object(flo_yaml_root(yaml))) {
            edit((json_t *)(uintptr_t)flo_yaml_root(yaml));
        }
    }
    flo_yaml_free(yaml);
    return 0;
}
