/* Tokens of a selector, and values that it compares; internal header. */
#ifndef FLOTILLA_SERVER_SELECT_TOKENS_H
#define FLOTILLA_SERVER_SELECT_TOKENS_H

#include "server-stub/core/select/select.h"

enum flo_select_how {
    FLO_SELECT_THERE, /* the name stands alone, without an operator */
    FLO_SELECT_IS,
    FLO_SELECT_IS_NOT,
    FLO_SELECT_BELOW,
    FLO_SELECT_UP_TO,
    FLO_SELECT_ABOVE,
    FLO_SELECT_FROM,
    FLO_SELECT_IN,
    FLO_SELECT_NOT_IN
};

/* Codes of the postfix program; a code below FLO_SELECT_CODE_NOT is the index
 * of a term. */
#define FLO_SELECT_CODE_NOT 0xfd
#define FLO_SELECT_CODE_AND 0xfe
#define FLO_SELECT_CODE_OR 0xff

enum flo_select_kind {
    FLO_SELECT_TEXT,
    FLO_SELECT_LIST,
    FLO_SELECT_NUMBER,
    FLO_SELECT_AGE,
    FLO_SELECT_FLAG
};
enum flo_select_unit { FLO_SELECT_UNIT_NONE, FLO_SELECT_UNIT_BYTES, FLO_SELECT_UNIT_MS };
struct flo_select_fact {
    const char *word;
    enum flo_select_kind kind;
    enum flo_select_unit unit;
    bool is_moving;
};
extern const struct flo_select_fact flo_select_facts[FLO_SELECT_FIELDS];

enum flo_select_kind flo_select_kind_of(const struct flo_select_name *name);

/* ---- tokens.c ---- */

enum flo_select_token_kind {
    FLO_SELECT_TOKEN_WORD, /* also in quotes */
    FLO_SELECT_TOKEN_SIGN, /* one of = == != < <= > >= ( ) , ! */
    FLO_SELECT_TOKEN_END
};
struct flo_select_token {
    enum flo_select_token_kind kind;
    bool is_quoted;
    char text[FLO_SELECTOR_TEXT_MAX + 1];
    size_t column; /* from 1 */
};
/* Reads the token at *at and moves *at after it.  The text has at most
 * FLO_SELECTOR_TEXT_MAX bytes. */
FLO_MUST_USE int flo_select_token_next(const char *text, size_t *at, struct flo_select_token *out,
                                       struct flo_err *err);
/* Tells whether the token is an unquoted word or a sign with this text. */
bool flo_select_token_is(const struct flo_select_token *token, const char *text);
/* Fails with FLO_E_REST_SELECTOR: "selector, column N: ..." */
int flo_select_fail(struct flo_err *err, size_t column, const char *format, ...) FLO_PRINTF(3, 4);

/* ---- names.c ---- */

/* Reads a word that names a field, a label or a model's version. */
FLO_MUST_USE int flo_select_name_read(const struct flo_select_token *token,
                                      const struct flo_select_known *known,
                                      struct flo_select_name *out, struct flo_err *err);
/* Reads a value like 200MiB, 10m or 1.5 in the unit of the field.  If the field
 * has a fixed set of words, the value must be one of them. */
FLO_MUST_USE int flo_select_value_read(const struct flo_select_token *token,
                                       const struct flo_select_name *name, double *out,
                                       struct flo_err *err);

#endif
