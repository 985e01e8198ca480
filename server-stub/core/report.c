/* Reports of devices: reads the fields that people see. */
#include <assert.h>
#include <string.h>

#include "server-stub/core/report.h"

#define TEXT_BYTES_MAX 512

struct key {
    const char *name;
    bool is_number;
};

static bool is_short(const json_t *value, size_t bytes_max)
{
    return json_is_string(value) && json_string_length(value) <= bytes_max &&
           strlen(json_string_value(value)) == json_string_length(value);
}

/* Copies each member that `keys` names, if it is a short text or a number, as
 * the key requires. */
static void copy(const json_t *from, const struct key *keys, size_t count, json_t *to)
{
    for (size_t i = 0; i < count; i++) {
        json_t *value = json_object_get(from, keys[i].name);
        if (keys[i].is_number ? json_is_number(value) : is_short(value, TEXT_BYTES_MAX)) {
            json_object_set(to, keys[i].name, value);
        }
    }
}

/* Reads the lines of a log; a line that is too long is an error. */
static int read_lines(const json_t *in, json_t *out, struct flo_err *err)
{
    json_t *lines = NULL;
    json_t *line;
    size_t i;
    int rv = flo_json_opt_array(in, "lines", FLO_REPORT_LINES_MAX, &lines, err);
    json_t *kept = json_array();

    json_array_foreach(rv == 0 ? lines : NULL, i, line)
    {
        if (!is_short(line, FLO_REPORT_LINE_BYTES_MAX)) {
            json_decref(kept);
            return flo_fail(err, FLO_E_REST_SCHEMA, "lines[%zu] is no text of at most %d bytes", i,
                            FLO_REPORT_LINE_BYTES_MAX);
        }
        json_array_append(kept, line);
    }
    json_object_set_new(out, "lines", kept);
    return rv;
}

static int read_findings(const json_t *in, json_t *out, struct flo_err *err)
{
    static const struct key keys[] = {{"id", false},     {"level", false}, {"what", false},
                                      {"fix", false},    {"unit", false},  {"expected", true},
                                      {"measured", true}};
    json_t *findings = NULL;
    json_t *finding;
    size_t i;
    int rv = flo_json_opt_array(in, "findings", FLO_REPORT_FINDINGS_MAX, &findings, err);
    json_t *kept = json_array();

    json_array_foreach(rv == 0 ? findings : NULL, i, finding)
    {
        json_t *one = json_object();
        copy(finding, keys, FLO_COUNT(keys), one);
        json_array_append_new(kept, one);
    }
    json_object_set_new(out, "findings", kept);
    return rv;
}

/* Reads the facts: names, each with a short text, a number or a boolean. */
static int read_facts(const json_t *in, json_t *out, struct flo_err *err)
{
    json_t *facts = NULL;
    json_t *kept = json_object();
    const char *name;
    json_t *value;
    int rv = flo_json_opt_object(in, "facts", &facts, err);

    if (rv == 0 && json_object_size(facts) > FLO_REPORT_FACTS_MAX) {
        rv = flo_fail(err, FLO_E_REST_SCHEMA, "facts has %zu members, not %d",
                      json_object_size(facts), FLO_REPORT_FACTS_MAX);
    }
    json_object_foreach(rv == 0 ? facts : NULL, name, value)
    {
        if (flo_name_is_valid(name) &&
            (is_short(value, TEXT_BYTES_MAX) || json_is_number(value) || json_is_boolean(value))) {
            json_object_set(kept, name, value);
        }
    }
    json_object_set_new(out, "facts", kept);
    return rv;
}

static int read_head(const json_t *in, const char *op, json_t *out, struct flo_err *err)
{
    static const struct key keys[] = {{"agent", false}, {"at_ms", true}, {"cut_lines", true}};
    const char *word;
    uint64_t v;

    assert(op != NULL);
    FLO_TRY(flo_json_get_u64(in, "v", 1, 1, &v, err));
    FLO_TRY(flo_json_get_text(in, "op", 16, &word, err));
    if (strcmp(word, op) != 0) {
        return flo_fail(err, FLO_E_REST_SCHEMA, "op: `%s`, `%s` was asked for", word, op);
    }
    flo_json_set_text(out, "op", op);
    copy(in, keys, FLO_COUNT(keys), out);
    return 0;
}

int flo_report_read(const json_t *in, const char *op, json_t **out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = json_object();

    FLO_TRY(read_head(in, op, json, err));
    FLO_TRY(read_facts(in, json, err));
    FLO_TRY(read_findings(in, json, err));
    FLO_TRY(read_lines(in, json, err));
    *out = json;
    json = NULL;
    return 0;
}
