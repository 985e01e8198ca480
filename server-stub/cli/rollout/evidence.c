/* Evidence: implements `rollout explain`, which judges the records of
 * statistical gates again on this machine. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/errors/gate.h>

#include "base/host/digest.h"

#include "server-stub/cli/rollout/rollout.h"
#include "server-stub/core/gate/analysis/analysis.h"

#define PAGE 50
/* largest difference of two numbers that count as equal: relative, or absolute
 * for numbers below 1 */
#define SAME 1e-9

struct told {
    char stands[FLO_MEASURE_COUNT][16]; /* verdict of each rule in the previous record */
    uint64_t phase;
    uint64_t records, looks, differ;
    double worst;
    /* members of the record that is judged now */
    const json_t *record;
    bool is_begun;
    json_t *slices; /* slices that were printed already, by the start of their text */
};

static void say_head(struct told *told)
{
    const json_t *record = told->record;
    const json_t *look = json_object_get(record, "look");

    if (told->is_begun) {
        return;
    }
    told->is_begun = true;
    printf("evidence of block %" PRIu64 ", phase %" PRIu64, flo_out_u64(record, "block"),
           flo_out_u64(record, "phase"));
    if (json_is_integer(look)) {
        printf(", look %" PRIu64, flo_out_u64(record, "look") + 1);
    }
    printf(": %s\n", flo_out_text(record, "verdict", "?"));
}

/* Prints a rule's result in a record when its verdict changed. At a look, an
 * evaluation at which the phase may pass, it is always printed. */
static void on_row(void *context, enum flo_measure measure, const char *stands, const char *text)
{
    struct told *told = context;
    bool is_look = json_is_integer(json_object_get(told->record, "look"));
    char plain[FLO_OUT_PLAIN];

    const char *before = told->stands[measure];
    bool is_open = before[0] == '\0' && strcmp(stands, "inconclusive") == 0;
    if (is_look || (!is_open && strcmp(before, stands) != 0)) {
        json_t *line = json_pack("{s:s}", "line", text);
        say_head(told);
        printf("    %s\n", flo_out_plain(line, "line", "", plain));
        json_decref(line);
    }
    snprintf(told->stands[measure], sizeof(told->stands[measure]), "%s", stands);
}

/* Tells whether the record's text is still the one that the controller
 * stored. */
static bool is_untouched(const json_t *record)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *copy = json_copy((json_t *)(uintptr_t)record);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_digest digest;
    char hex[FLO_DIGEST_TEXT];

    json_object_del(copy, "digest");
    flo_json_dump_canonical(copy, &text);
    if (text.failed || text.data == NULL) {
        return false;
    }
    flo_sha256(text.data, text.bytes, &digest);
    flo_digest_text(&digest, hex);
    return strcmp(hex, flo_out_text(record, "digest", "")) == 0;
}

/* Prints, from a record, the slices in which the release is worse, or the sites
 * that changed by themselves. Each is printed once, when it first appears. */
static void tell_slices(struct told *told, const char *member)
{
    char plain[FLO_OUT_PLAIN];
    char key[2 * FLO_SLICE_TEXT];
    json_t *row;
    size_t i;

    json_array_foreach(json_object_get(told->record, member), i, row)
    {
        snprintf(key, sizeof(key), "%s %s %s", member, flo_out_text(row, "gate", ""),
                 flo_out_text(row, "slice", ""));
        if (json_object_get(told->slices, key) == NULL) {
            json_object_set_new(told->slices, key, json_true());
            say_head(told);
            printf("    %s\n", flo_out_plain(row, "text", "", plain));
        }
    }
}

static void judge(struct told *told, const json_t *record)
{
    struct flo_err err = {0};
    double worst = 0;

    told->record = record;
    told->is_begun = false;
    if (flo_out_u64(record, "phase") != told->phase) {
        told->phase = flo_out_u64(record, "phase");
        memset(told->stands, 0, sizeof(told->stands));
    }
    told->records++;
    told->looks += json_is_integer(json_object_get(record, "look")) ? 1 : 0;
    int rv = flo_analysis_replay(record, on_row, told, &worst, &err);
    told->worst = fmax(told->worst, worst);
    tell_slices(told, "slices");
    tell_slices(told, "moved");
    if (rv < 0 || worst > SAME || !is_untouched(record)) {
        told->differ++;
        say_head(told);
        printf("    NOT the same: %s\n", rv < 0         ? err.what
                                         : worst > SAME ? "a number differs"
                                                        : "its digest is of another text");
    }
}

static int read_page(struct flo_cli *cli, const char *id, struct told *told, char *cursor,
                     size_t bytes, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *page = NULL;
    char path[256];
    json_t *record;
    size_t i;

    snprintf(path, sizeof(path), "/v1/rollouts/%s/evidence?limit=%d&cursor=%s", id, PAGE, cursor);
    int rv = flo_api_get(cli, path, &page, err);
    json_array_foreach(json_object_get(page, "items"), i, record)
    {
        judge(told, record);
    }
    snprintf(cursor, bytes, "%s", flo_out_text(page, "next", ""));
    return rv;
}

int flo_rollout_explain_evidence(struct flo_cli *cli, const char *id, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *slices = json_object();
    struct told told = {.slices = slices};
    char cursor[32] = "0";

    while (cursor[0] != '\0') {
        FLO_TRY(read_page(cli, id, &told, cursor, sizeof(cursor), err));
    }
    if (told.records == 0) {
        return 0;
    }
    printf("%" PRIu64 " evaluations, %" PRIu64 " looks: judged again from what is stored, %" PRIu64
           " differ (largest difference %.2g)\n",
           told.records, told.looks, told.differ, told.worst);
    return told.differ == 0
               ? 0
               : flo_fail(err, FLO_E_GATE_EVIDENCE,
                          "rollout %s: %" PRIu64 " of %" PRIu64 " records give another verdict", id,
                          told.differ, told.records);
}
