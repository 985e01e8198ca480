/* Rows of build.def, and the reader of values.  Private to this folder. */
#ifndef FLOTILLA_CLI_BUILD_ROWS_H
#define FLOTILLA_CLI_BUILD_ROWS_H

#include "base/host/yaml.h"
#include "server-stub/cli/builds/spec.h"

#define FLO_BUILD_PATH_MAX 512 /* "variants[6].gates.kl_max" */

enum flo_build_kind {
    FLO_BUILD_KIND_TITLE,
    FLO_BUILD_KIND_TEXT,
    FLO_BUILD_KIND_NAME,
    FLO_BUILD_KIND_PATH,
    FLO_BUILD_KIND_CORPUS,
    FLO_BUILD_KIND_SIZE,
    FLO_BUILD_KIND_LOSS,
    FLO_BUILD_KIND_REAL, /* kind of gates alone */
    FLO_BUILD_KIND_COUNT,
    FLO_BUILD_KIND_TRUTH,
    FLO_BUILD_KIND_NAMES,
    FLO_BUILD_KIND_PAIRS,
    FLO_BUILD_KIND_FILES,
    FLO_BUILD_KIND_PART,
    FLO_BUILD_KIND_LIST,
    FLO_BUILD_KIND_GATES,
    FLO_BUILD_KIND_ROLLOUT,
};

struct flo_build_row {
    const char *part, *name;
    enum flo_build_kind kind;
    size_t offset; /* offset of the member in the part's struct */
    double least, most;
    const char *standard, *example;
};

struct flo_build_reader {
    const char *name, *folder;
    const struct flo_yaml *yaml;
    struct flo_build_spec *spec;
    struct flo_err *err;
};

/* The place of a field: its path is `prefix` with `name`. */
struct flo_build_place {
    const struct flo_build_reader *reader;
    const char *prefix, *name;
};

/* ---- values.c ---- */

/* Returns the line of a path, or of the nearest object around it; 0: none. */
unsigned flo_build_line(const struct flo_yaml *yaml, const char *path);
/* Sets the error of a field, with file, line and path.  Returns `code`. */
int flo_build_refuse(const struct flo_build_place *place, int code, const char *format, ...)
    FLO_PRINTF(3, 4);
/* FLO_E_CFG_TYPE: the value is not `should`. */
int flo_build_refuse_type(const struct flo_build_place *place, const char *should);

/* Each reads a value as its row says.  Texts live as long as the
 * specification. */
FLO_MUST_USE int flo_build_read_text(const struct flo_build_place *place,
                                     const struct flo_build_row *row, const json_t *value,
                                     const char **out);
FLO_MUST_USE int flo_build_read_path(const struct flo_build_place *place,
                                     const struct flo_build_row *row, const json_t *value,
                                     const char **out);
/* *kept (may be NULL) becomes the number as it was given. */
FLO_MUST_USE int flo_build_read_measure(const struct flo_build_place *place,
                                        const struct flo_build_row *row, const json_t *value,
                                        double *out, const char **kept);
FLO_MUST_USE int flo_build_read_count(const struct flo_build_place *place,
                                      const struct flo_build_row *row, const json_t *value,
                                      uint64_t *out);
/* *out becomes the texts with commas between them. */
FLO_MUST_USE int flo_build_read_names(const struct flo_build_place *place,
                                      const struct flo_build_row *row, const json_t *value,
                                      const char **out);
FLO_MUST_USE int flo_build_read_pairs(const struct flo_build_place *place,
                                      const struct flo_build_row *row, const json_t *value,
                                      struct flo_build_pairs *out);

/* ---- members.c ---- */

/* FLO_E_CFG_KEY: the field is none of `words`; the fix names the nearest. */
int flo_build_unknown(const struct flo_build_place *place, const char *const *words, size_t count);
FLO_MUST_USE int flo_build_read_gates(const struct flo_build_place *place, const json_t *value,
                                      struct flo_build_limits *out);
/* Reads the draft of a rollout, as the controller will.  *out is a new
 * reference, also after an error. */
FLO_MUST_USE int flo_build_read_rollout(const struct flo_build_place *place, const json_t *value,
                                        json_t **out);

#endif
