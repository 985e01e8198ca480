/* Analysis: adds to the record of an evaluation where a release is worse. */
#include <assert.h>
#include <math.h>

#include "server-stub/core/gate/analysis/analysis.h"
#include "server-stub/core/gate/statistics/numbers.h"

/* Builds the JSON of an effect in tenths of a per cent; it is null if the
 * effect is not known. */
static json_t *pct_json(bool is_known, double effect)
{
    return flo_json_finite_if(is_known, round(flo_change_pct(effect) * 10) / 10);
}

/* Builds the list of a row's devices: [device, wave, %]. */
static json_t *devices_json(const struct flo_analysis_slices *slices, uint32_t row)
{
    json_t *devices = json_array();

    for (size_t i = 0; i < slices->device_count; i++) {
        const struct flo_analysis_device *one = &slices->devices[i];
        if (one->row == row) {
            json_array_append_new(devices, json_pack("[s,i,o]", one->device, (int)one->wave,
                                                     pct_json(one->has_effect, one->effect)));
        }
    }
    return devices;
}

static void add_effect(json_t *json, const struct flo_told *told)
{
    bool has_interval = told->has_effect && told->has_interval;

    json_object_set_new(json, "effect_pct", pct_json(told->has_effect, told->effect));
    json_object_set_new(json, "low_pct", pct_json(has_interval, told->low));
    json_object_set_new(json, "high_pct", pct_json(has_interval, told->high));
}

/* Builds the JSON of the slices.  A replay does not judge slices again, because
 * only the largest differences are stored. */
static json_t *slices_json(const struct flo_analysis_slices *slices,
                           const struct flo_analysis_finding *finding)
{
    json_t *rows = json_array();
    char text[FLO_ANALYSIS_TEXT];

    assert(slices->count <= FLO_ANALYSIS_SLICES_MAX);
    for (uint32_t i = 0; i < slices->count; i++) {
        const struct flo_analysis_slice *row = &slices->rows[i];
        enum flo_slice_end end = (enum flo_slice_end)finding->ends[i];
        flo_analysis_slice_text(row, end, text);
        json_t *one = json_pack(
            "{s:s,s:s,s:b,s:b,s:s,s:I,s:I,s:I,s:I,s:f,s:f,s:s,s:o}", "gate",
            flo_measure_fact(row->measure)->word, "slice", row->name, "culprit",
            (int)row->is_culprit, "asked", (int)row->is_asked, "end", flo_slice_end_word(end),
            "members", (json_int_t)row->members, "updated", (json_int_t)row->updated, "far",
            (json_int_t)row->far, "controls", (json_int_t)row->controls, "ln_e", row->ln_e,
            "threshold", row->threshold, "text", text, "devices", devices_json(slices, i));
        add_effect(one, &row->told);
        json_array_append_new(rows, one);
    }
    return rows;
}

/* Builds the JSON of the slices to which more devices were added, because one
 * device there was far worse. */
static json_t *probed_json(const struct flo_analysis_evidence *evidence,
                           const struct flo_analysis_finding *finding)
{
    json_t *rows = json_array();
    char text[FLO_ANALYSIS_TEXT];

    assert(evidence->probe_count <= FLO_ANALYSIS_PROBES_MAX);
    for (uint32_t i = 0; i < evidence->probe_count; i++) {
        const struct flo_analysis_probe *probe = &evidence->probes[i];
        if (finding->probed[i] > 0) {
            flo_analysis_probe_text(probe, finding->probed[i], text);
            json_array_append_new(
                rows, json_pack("{s:s,s:s,s:i,s:o,s:s}", "slice", probe->name, "device",
                                probe->device, "more", (int)finding->probed[i], "effect_pct",
                                pct_json(!probe->is_count, probe->least), "text", text));
        }
    }
    return rows;
}

static json_t *changed_json(const struct flo_analysis_slices *slices)
{
    json_t *rows = json_array();
    char text[FLO_ANALYSIS_TEXT];

    assert(slices->changed_count <= FLO_COUNT(slices->changed));
    for (uint32_t i = 0; i < slices->changed_count; i++) {
        flo_analysis_changed_text(&slices->changed[i], text);
        json_array_append_new(
            rows, json_pack("{s:s,s:s,s:s,s:o,s:o}", "slice", slices->changed[i].name, "gate",
                            flo_measure_fact(slices->changed[i].measure)->word, "text", text,
                            "effect_pct", pct_json(true, slices->changed[i].shift), "devices",
                            devices_json(slices, FLO_ANALYSIS_SLICES_MAX + i)));
    }
    return rows;
}

void flo_analysis_record_slices(const struct flo_analysis_evidence *evidence,
                                const struct flo_analysis_finding *finding, json_t *record)
{
    flo_json_put_parts(record, "slices", slices_json(&evidence->slices, finding));
    flo_json_put_parts(record, "moved", changed_json(&evidence->slices));
    flo_json_put_parts(record, "probed", probed_json(evidence, finding));
}
