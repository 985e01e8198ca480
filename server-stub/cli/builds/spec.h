/* Specification of a build: the file of `flotilla model build`, read and
 * checked by build.def.
 *
 * Pure: paths are not opened. */
#ifndef FLOTILLA_CLI_BUILD_SPEC_H
#define FLOTILLA_CLI_BUILD_SPEC_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "base/host/json.h"

#define FLO_BUILD_VARIANTS_MAX 7 /* and the original: compare takes eight models */
#define FLO_BUILD_PAIRS_MAX 16
#define FLO_BUILD_CORPUS_BUILTIN "builtin"
#define FLO_BUILD_KEPT_MIN 8 /* fewer golden prompts show little (engine/judge/golden.c) */

enum flo_build_gate {
#define FLO_BUILD_GATE(gate, ...) FLO_BUILD_##gate,
#include "server-stub/cli/builds/build.def"
    FLO_BUILD_GATES,
};

/* A row of the table of gates. */
struct flo_build_gate_row {
    const char *name, *measure;
    bool is_min; /* the figure is at least the limit; false: at most */
    bool is_percent, is_bytes;
    double most;
};
extern const struct flo_build_gate_row flo_build_gate_rows[FLO_BUILD_GATES];

struct flo_build_limits {
    bool has[FLO_BUILD_GATES];
    double values[FLO_BUILD_GATES]; /* limits of the gates that are given */
};

/* A name with a text: a file's path, a number that a variant needs. */
struct flo_build_pairs {
    const char *names[FLO_BUILD_PAIRS_MAX], *values[FLO_BUILD_PAIRS_MAX];
    size_t count;
};

struct flo_build_variant {
    const char *name;
    const char *type, *fit, *loss; /* at most one of them; none: the model as it is */
    struct flo_build_pairs needs;
    struct flo_build_limits gates; /* also those of `evaluate` that it does not replace */
};

struct flo_build_evaluate {
    const char *suite; /* NULL: there is no evaluation */
    uint64_t tokens;   /* 0: as the command does */
    struct flo_build_limits gates;
};

struct flo_build_golden {
    const char *file, *prompts;
    uint64_t kept_min;
};

struct flo_build_spec {
    const char *release, *from, *label, *license;
    const char *allowed; /* ids between commas, or NULL */
    const char *calibrate;
    struct flo_build_variant variants[FLO_BUILD_VARIANTS_MAX];
    size_t variant_count; /* at least 1 */
    struct flo_build_evaluate evaluate;
    struct flo_build_golden golden;
    struct flo_build_pairs assets, serve;
    const char *delta_from, *sign_with;
    bool publish;
    json_t *rollout; /* a specification of core/spec, with its release; or NULL */
    json_t *texts;   /* the texts above */
};

/* Reads a specification.  `name` is that of the file, for errors, and `folder`
 * the one where relative paths begin.  The caller frees *out.
 *
 * FLO_E_CFG_PARSE  no YAML, or not the subset of base/host/yaml.h
 * FLO_E_CFG_KEY    an unknown field, or one that is missing
 * FLO_E_CFG_TYPE   a value of another type
 * FLO_E_CFG_RANGE  a value out of its bounds, or fields that exclude each other
 * The sentence names the file, the line and the field's path. */
FLO_MUST_USE int flo_build_spec_read(const char *text, size_t bytes, const char *name,
                                     const char *folder, struct flo_build_spec **out,
                                     struct flo_err *err);
/* NULL is fine. */
void flo_build_spec_free(struct flo_build_spec *spec);

#endif
