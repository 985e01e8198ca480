/* Rows of spec.def, and the functions that read their values; only for
 * core/spec. */
#ifndef FLOTILLA_SERVER_SPEC_ROWS_H
#define FLOTILLA_SERVER_SPEC_ROWS_H

#include "server-stub/core/spec/spec.h"

enum flo_spec_kind {
    TEXT,
    NAME,
    WORD,
    TRUTH,
    COUNT,
    REAL,
    SIZE,
    DEVICES,
    SHARE,
    DURATION,
    TIME,
    RATE,
    PER_S,
    NAMES,
    LABELS,
    WINDOW,
    PER,
    FAILURE,
    RETRIES,
    DEADLINES,
    PART,
    LIST,
    GATES,
    POLICY
};
/* Row of spec.def. */
struct field {
    enum flo_spec_part part;
    const char *name;
    enum flo_spec_kind kind;
    size_t offset; /* offset of the member in the part's struct */
    double least, most;
    const char *standard;
    const char *possible;
    enum flo_spec_change change;
};
/* Returns row `index` of spec.def; NULL after the last row. */
const struct field *flo_spec_row(size_t index);
/* Place being read: "" or "phases[1]." is the prefix of its fields. */
struct place {
    enum flo_spec_part part;
    void *base;
    const json_t *json;
    char path[FLO_SPEC_PATH_MAX];
    struct flo_spec *spec;
    struct flo_err *err;
};

static inline void *flo_spec_at(const struct field *field, const struct place *place)
{
    return (char *)place->base + field->offset;
}
static inline bool flo_spec_is_within(const struct field *field, double value)
{
    return value >= field->least && value <= field->most;
}
/* Fails with FLO_E_REST_SCHEMA: "phases[1].soak: `2 h` is not a duration". */
int flo_spec_wrong(const struct place *place, const char *name, const char *should);
/* Returns the index of `word` in "one|two|three"; -1: none. */
int flo_spec_word_index(const char *words, const char *word);

/* Reads one value of any kind but PART, LIST, GATES and POLICY. */
FLO_MUST_USE int flo_spec_read_value(const struct field *field, const struct place *place,
                                     const json_t *value);
/* Gets the second name of a field, which programs use to give the value as a
 * number.  Returns false for a kind without one. */
bool flo_spec_number_name(const struct field *field, char *out, size_t bytes);
FLO_MUST_USE int flo_spec_read_number(const struct field *field, const struct place *place,
                                      const char *name, const json_t *value);

/* Reads the limits per_LABEL of the place (kind PER). */
FLO_MUST_USE int flo_spec_read_per(const struct field *field, const struct place *place);
/* Tells whether the name begins with "per_". */
bool flo_spec_is_per(const char *name);
/* Reads a kind of failure, or "any" (kind FAILURE). */
FLO_MUST_USE int flo_spec_read_failure(const struct field *field, const struct place *place,
                                       const json_t *value);
/* Reads numbers of retries by kind of failure, or one for all (kind
 * RETRIES). */
FLO_MUST_USE int flo_spec_read_retries(const struct field *field, const struct place *place,
                                       const json_t *value);
/* Reads deadlines by state of an execution (kind DEADLINES). */
FLO_MUST_USE int flo_spec_read_deadlines(const struct field *field, const struct place *place,
                                         const json_t *value);

#endif
