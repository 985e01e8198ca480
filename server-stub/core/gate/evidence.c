/* Evidence: finds hardware classes, and converts evidence to JSON and back. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "server-stub/core/gate/evidence.h"

struct flo_evidence_class *flo_evidence_class(struct flo_comparison *evidence, const char *hardware)
{
    assert(evidence->class_count <= FLO_EVIDENCE_CLASSES_MAX);
    for (uint32_t i = 0; i < evidence->class_count; i++) {
        if (strcmp(evidence->classes[i].hardware, hardware) == 0) {
            return &evidence->classes[i];
        }
    }
    if (evidence->class_count == FLO_EVIDENCE_CLASSES_MAX) {
        return NULL;
    }
    struct flo_evidence_class *one = &evidence->classes[evidence->class_count++];
    memset(one, 0, sizeof(*one));
    snprintf(one->hardware, sizeof(one->hardware), "%s", hardware);
    return one;
}

/* ---- to JSON ---- */

static json_t *arm_json(const struct flo_evidence_arm *arm)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};

    flo_histogram_encode(&arm->values, &text);
    return text.failed ? NULL
                       : json_pack("{s:I,s:s}", "devices", (json_int_t)arm->devices, "values",
                                   text.data != NULL ? text.data : "");
}

json_t *flo_evidence_json(const struct flo_comparison *evidence)
{
    json_t *classes = json_array();

    assert(evidence->class_count <= FLO_EVIDENCE_CLASSES_MAX);
    for (uint32_t i = 0; i < evidence->class_count; i++) {
        const struct flo_evidence_class *one = &evidence->classes[i];
        json_array_append_new(classes, json_pack("{s:s,s:o,s:o}", "hardware", one->hardware,
                                                 "updated", arm_json(&one->updated), "waiting",
                                                 arm_json(&one->waiting)));
    }
    return json_pack(
        "{s:s,s:I,s:b,s:b,s:I,s:I,s:o}", "metric", flo_metric_fact(evidence->metric)->word, "phase",
        (json_int_t)evidence->phase, "last", evidence->is_last, "cut", evidence->is_cut, "from_ms",
        (json_int_t)evidence->from_ms, "to_ms", (json_int_t)evidence->to_ms, "classes", classes);
}

/* ---- from JSON ---- */

#define DEVICES_MAX 1000000
#define MS_MAX (UINT64_C(1) << 53)

static int parse_arm(const json_t *json, const char *key, struct flo_evidence_arm *out,
                     struct flo_err *err)
{
    json_t *arm;
    const char *text;
    uint64_t devices;

    FLO_TRY(flo_json_get_object(json, key, &arm, err));
    FLO_TRY(flo_json_get_u64(arm, "devices", 0, DEVICES_MAX, &devices, err));
    FLO_TRY(flo_json_get_text(arm, "values", 1 << 16, &text, err));
    out->devices = (uint32_t)devices;
    return flo_histogram_decode(text, strlen(text), &out->values, err);
}

static int parse_class(const json_t *json, struct flo_comparison *out, struct flo_err *err)
{
    const char *hardware;

    FLO_TRY(flo_json_get_text(json, "hardware", FLO_HARDWARE_TEXT - 1, &hardware, err));
    uint32_t before = out->class_count;
    struct flo_evidence_class *one = flo_evidence_class(out, hardware);
    if (one == NULL || out->class_count == before) {
        return flo_fail(err, FLO_E_REST_SCHEMA, "evidence: hardware class `%s` comes twice",
                        hardware);
    }
    FLO_TRY(parse_arm(json, "updated", &one->updated, err));
    return parse_arm(json, "waiting", &one->waiting, err);
}

int flo_evidence_parse(const json_t *json, struct flo_comparison *out, struct flo_err *err)
{
    const char *metric;
    json_t *classes;
    uint64_t phase;

    memset(out, 0, sizeof(*out));
    FLO_TRY(flo_json_get_text(json, "metric", FLO_NAME_MAX, &metric, err));
    FLO_TRY(flo_json_get_u64(json, "phase", 0, 255, &phase, err));
    FLO_TRY(flo_json_get_bool(json, "last", &out->is_last, err));
    FLO_TRY(flo_json_get_bool(json, "cut", &out->is_cut, err));
    FLO_TRY(flo_json_get_u64(json, "from_ms", 0, MS_MAX, &out->from_ms, err));
    FLO_TRY(flo_json_get_u64(json, "to_ms", 0, MS_MAX, &out->to_ms, err));
    FLO_TRY(flo_json_get_array(json, "classes", FLO_EVIDENCE_CLASSES_MAX, &classes, err));
    if (!flo_metric_parse(metric, &out->metric)) {
        return flo_fail(err, FLO_E_REST_SCHEMA, "evidence: metric `%.40s`", metric);
    }
    out->phase = (uint32_t)phase;
    for (size_t i = 0; i < json_array_size(classes); i++) {
        FLO_TRY(parse_class(json_array_get(classes, i), out, err));
    }
    return 0;
}
