/* Plain verbs: types and functions for the rows of plain.def. */
#ifndef FLOTILLA_CLI_PLAIN_H
#define FLOTILLA_CLI_PLAIN_H

#include "server-stub/cli/cli.h"

enum flo_plain_form { FLO_PLAIN_NAME, FLO_PLAIN_NUMBER, FLO_PLAIN_SERIAL };

struct flo_plain_noun {
    enum flo_plain_form form;
    const char *key;
};

enum flo_plain_kind {
    FLO_PLAIN_TEXT,
    FLO_PLAIN_WORD,
    FLO_PLAIN_SWITCH,
    FLO_PLAIN_COUNT,
    FLO_PLAIN_SHARE,
    FLO_PLAIN_SPAN,
    FLO_PLAIN_TIME,
    FLO_PLAIN_PAIRS,
    FLO_PLAIN_VALUES,
};

/* A field of a call's body, and the flag that sets it. */
struct flo_plain_field {
    enum flo_plain_kind kind;
    const char *flag, *member;
    uint64_t min, max, standard;
};

struct flo_plain_call {
    const struct flo_plain_noun *noun;
    const char *method, *path, *result;
    /* operation of the order by which a device is asked; NULL: the verb calls
     * the API */
    const char *op;
    const struct flo_plain_field *fields; /* fields of the body; the last item has no member */
};

/* Builds the body of a call from flags.  *out is a new reference, or NULL for a
 * call without fields.  FLO_E_USAGE names the wrong flag. */
FLO_MUST_USE int flo_plain_body(const struct flo_cli *cli, const struct flo_plain_field *fields,
                                json_t **out, struct flo_err *err);

#endif
