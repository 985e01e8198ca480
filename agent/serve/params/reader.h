/* The reader of a body: its fields, each with a range, and their refusals. */
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

/* FLO_E_INFER_PARAM: the field, a blank, and the sentence's rest. */
int flo_reader_refuse(struct params_reader *reader, const char *field, const char *format, ...)
    FLO_PRINTF(3, 4);
/* The field, or NULL when it is absent or null. */
json_t *flo_reader_field(const struct params_reader *reader, const char *field);
/* *out stays where the field is absent. */
FLO_MUST_USE int flo_reader_real(struct params_reader *reader, const char *field, double min,
                                 double max, double *out);
FLO_MUST_USE int flo_reader_whole(struct params_reader *reader, const char *field, int64_t min,
                                  int64_t max, int64_t *out);
FLO_MUST_USE int flo_reader_bool(struct params_reader *reader, const char *field, bool *out);
/* Borrowed from the tree. */
struct flo_wire_text flo_reader_text(const json_t *value);
/* A text that the reader made, for the message: it stays until the message is
 * a frame.  The buffer is emptied.  FLO_E_MEMORY also where it has failed. */
FLO_MUST_USE int flo_reader_keep(struct params_reader *reader, struct flo_buf *text,
                                 struct flo_wire_text *out);
/* Add ids after those that params->parts holds already. */
FLO_MUST_USE int flo_reader_add_ids(struct params_reader *reader, const char *field,
                                    const json_t *list);
/* The same, where no other ids are before them. */
FLO_MUST_USE int flo_reader_ids(struct params_reader *reader, const char *field, const json_t *list,
                                struct flo_wire_text *out);

/* ---- parts of a body, each in a file of its name ---- */

FLO_MUST_USE int flo_params_read_text(enum request_kind kind, struct params_reader *reader);
/* One prompt: a text, or token ids. */
FLO_MUST_USE int flo_params_take_prompt(struct params_reader *reader, const json_t *prompt);
FLO_MUST_USE int flo_params_read_sampling(enum request_kind kind, struct params_reader *reader);
FLO_MUST_USE int flo_params_read_tokenise(struct params_reader *reader);
FLO_MUST_USE int flo_params_read_detokenise(struct params_reader *reader);
FLO_MUST_USE int flo_params_read_embed(struct params_reader *reader);

#endif
