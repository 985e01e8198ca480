/* Reader: reads the fields of a body, each with a range, and refuses invalid
 * ones. */
#ifndef FLOTILLA_SERVE_PARAMS_READER_H
#define FLOTILLA_SERVE_PARAMS_READER_H

#include "agent/serve/params/params.h"

#define PARAMS_BODY_BYTES_MAX (1u << 20)
#define PARAMS_TOKENS_MAX 1048576

struct params_reader {
    const json_t *body;
    struct serve_params *params;
    struct flo_err *err;
};

/* Fails with FLO_E_INFER_PARAM: the field, a blank, and the rest of the
 * sentence. */
int flo_reader_refuse(struct params_reader *reader, const char *field, const char *format, ...)
    FLO_PRINTF(3, 4);
/* Returns the field, or NULL if it is absent or null. */
json_t *flo_reader_field(const struct params_reader *reader, const char *field);
/* Reads a number; if the field is absent *out is unchanged. */
FLO_MUST_USE int flo_reader_real(struct params_reader *reader, const char *field, double min,
                                 double max, double *out);
FLO_MUST_USE int flo_reader_whole(struct params_reader *reader, const char *field, int64_t min,
                                  int64_t max, int64_t *out);
FLO_MUST_USE int flo_reader_bool(struct params_reader *reader, const char *field, bool *out);
/* Returns the text, borrowed from the tree. */
struct flo_wire_text flo_reader_text(const json_t *value);
/* Keeps a text made by the reader until the message is a frame; the buffer is
 * emptied.  FLO_E_MEMORY also if the buffer has failed. */
FLO_MUST_USE int flo_reader_keep(struct params_reader *reader, struct flo_buf *text,
                                 struct flo_wire_text *out);
/* Appends ids to those in params->parts. */
FLO_MUST_USE int flo_reader_add_ids(struct params_reader *reader, const char *field,
                                    const json_t *list);
/* Reads a list of ids; params->parts must hold none before. */
FLO_MUST_USE int flo_reader_ids(struct params_reader *reader, const char *field, const json_t *list,
                                struct flo_wire_text *out);

/* ---- parts of a body, each in a file of its name ---- */

FLO_MUST_USE int flo_params_read_text(enum request_kind kind, struct params_reader *reader);
/* Takes one prompt: a text, or token ids. */
FLO_MUST_USE int flo_params_take_prompt(struct params_reader *reader, const json_t *prompt);
FLO_MUST_USE int flo_params_read_sampling(enum request_kind kind, struct params_reader *reader);
FLO_MUST_USE int flo_params_read_tokenise(struct params_reader *reader);
FLO_MUST_USE int flo_params_read_detokenise(struct params_reader *reader);
FLO_MUST_USE int flo_params_read_embed(struct params_reader *reader);

#endif
