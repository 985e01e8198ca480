/* Reader: reads the fields of a body, each with its range, and refuses invalid
 * ones. */
#ifndef FLOTILLA_SERVE_PARAMS_READER_H
#define FLOTILLA_SERVE_PARAMS_READER_H

#include <string.h>

#include "agent/serve/params/params.h"

#define PARAMS_BODY_BYTES_MAX (1u << 20)
#define PARAMS_TOKENS_MAX 1048576

struct params_reader {
    const json_t *body;
    struct serve_params *params;
    struct flo_err *err;
};

/* Fails with FLO_E_INFER_PARAM.  Its text is the field, a blank, and the
 * formatted rest of the sentence. */
int flo_reader_refuse(struct params_reader *reader, const char *field, const char *format, ...)
    FLO_PRINTF(3, 4);
/* Returns the value of a field; NULL: it is absent or null. */
json_t *flo_reader_field(const struct params_reader *reader, const char *field);
/* Reads a number.  If the field is absent, *out is unchanged. */
FLO_MUST_USE int flo_reader_real(struct params_reader *reader, const char *field, double min,
                                 double max, double *out);
FLO_MUST_USE int flo_reader_whole(struct params_reader *reader, const char *field, int64_t min,
                                  int64_t max, int64_t *out);
FLO_MUST_USE int flo_reader_bool(struct params_reader *reader, const char *field, bool *out);
/* Tells whether a JSON value is this text. */
static inline bool flo_reader_is(const json_t *value, const char *word)
{
    return json_is_string(value) && strcmp(json_string_value(value), word) == 0;
}
/* Returns the text of a JSON value, borrowed from it. */
struct flo_wire_text flo_reader_text(const json_t *value);
/* Stores a text that the reader made until the frame is written.  `text` is
 * empty afterwards.
 * FLO_E_MEMORY  no memory, also when `text` has failed */
FLO_MUST_USE int flo_reader_keep(struct params_reader *reader, struct flo_buf *text,
                                 struct flo_wire_text *out);
/* Appends token ids to those in params->parts. */
FLO_MUST_USE int flo_reader_add_ids(struct params_reader *reader, const char *field,
                                    const json_t *list);
/* Reads a list of token ids.  params->parts must have none before. */
FLO_MUST_USE int flo_reader_ids(struct params_reader *reader, const char *field, const json_t *list,
                                struct flo_wire_text *out);

/* ---- parts of a body, each in a file of its name ---- */

FLO_MUST_USE int flo_params_read_text(enum request_kind kind, struct params_reader *reader);
/* Reads one prompt, which is a text or a list of token ids. */
FLO_MUST_USE int flo_params_take_prompt(struct params_reader *reader, const json_t *prompt);
FLO_MUST_USE int flo_params_read_sampling(enum request_kind kind, struct params_reader *reader);
FLO_MUST_USE int flo_params_read_tokenise(struct params_reader *reader);
FLO_MUST_USE int flo_params_read_detokenise(struct params_reader *reader);
FLO_MUST_USE int flo_params_read_embed(struct params_reader *reader);

#endif
