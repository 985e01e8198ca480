/* Inputs: reads texts to embed or to tokenise, and token ids to convert to
 * text. */
#include "agent/serve/params/reader.h"

#include <string.h>

#define DIMENSIONS_MAX 1048576

int flo_params_read_tokenise(struct params_reader *reader)
{
    struct flo_wire_tokenise *out = &reader->params->message.tokenise;
    const json_t *text = flo_reader_field(reader, "content");
    reader->params->message.type = FLO_WIRE_TOKENISE;
    if (!json_is_string(text) || json_string_length(text) > FLO_WIRE_TOKENISE_MAX) {
        return flo_reader_refuse(reader, "content", "must be a text of at most %d bytes",
                                 FLO_WIRE_TOKENISE_MAX);
    }
    out->text = flo_reader_text(text);
    FLO_TRY(flo_reader_bool(reader, "parse_special", &out->reads_special));
    return flo_reader_bool(reader, "add_special", &out->adds_ends);
}

int flo_params_read_detokenise(struct params_reader *reader)
{
    const json_t *tokens = flo_reader_field(reader, "tokens");
    reader->params->message.type = FLO_WIRE_DETOKENISE;
    if (!json_is_array(tokens) || json_array_size(tokens) > FLO_WIRE_TOKENISE_MAX) {
        return flo_reader_refuse(reader, "tokens", "must be a list of at most %d token ids",
                                 FLO_WIRE_TOKENISE_MAX);
    }
    return flo_reader_ids(reader, "tokens", tokens, &reader->params->message.tokens.tokens);
}

/* ---- embeddings ---- */

/* Adds one of several inputs to embed.  Token ids of all inputs are in
 * params->parts, one input after the other, so only their size is stored in
 * data.bytes. */
static int add_input(struct params_reader *reader, const json_t *value)
{
    struct flo_wire_embed *out = &reader->params->message.embed;
    if (out->n_inputs == FLO_WIRE_INPUTS_MAX) {
        return flo_reader_refuse(reader, "input", "has more than %d texts", FLO_WIRE_INPUTS_MAX);
    }
    uint32_t i = out->n_inputs++;
    if (json_is_string(value) && json_string_length(value) > 0) {
        out->inputs[i].data = flo_reader_text(value);
        return 0;
    }
    if (json_array_size(value) == 0) {
        return flo_reader_refuse(reader, "input",
                                 "must be a text, a list of token ids, or a list of at "
                                 "most %d of these, none empty",
                                 FLO_WIRE_INPUTS_MAX);
    }
    out->inputs[i].is_tokens = true;
    out->inputs[i].data.bytes = 4 * json_array_size(value);
    return flo_reader_add_ids(reader, "input", value);
}

static void place_ids(struct serve_params *params)
{
    struct flo_wire_embed *out = &params->message.embed;
    const char *at = params->parts.data;
    for (uint32_t i = 0; i < out->n_inputs; i++) {
        if (out->inputs[i].is_tokens) {
            out->inputs[i].data.data = at;
            at += out->inputs[i].data.bytes;
        }
    }
}

static int read_inputs(struct params_reader *reader)
{
    const json_t *input = flo_reader_field(reader, "input");
    const json_t *value;
    size_t i;
    if (!json_is_array(input) || json_is_integer(json_array_get(input, 0))) {
        FLO_TRY(add_input(reader, input));
    } else if (json_array_size(input) == 0) {
        return flo_reader_refuse(reader, "input", "is empty");
    } else {
        json_array_foreach(input, i, value)
        {
            FLO_TRY(add_input(reader, value));
        }
    }
    place_ids(reader->params);
    return 0;
}

/* Reads a field that may be one of two words.  An absent field counts as the
 * first word. */
static int read_choice(struct params_reader *reader, const char *field, const char *first,
                       const char *second, bool *is_second)
{
    const json_t *value = flo_reader_field(reader, field);
    const char *text = value == NULL ? first : json_string_value(value);
    *is_second = text != NULL && strcmp(text, second) == 0;
    return *is_second || (text != NULL && strcmp(text, first) == 0)
               ? 0
               : flo_reader_refuse(reader, field, "must be \"%s\" or \"%s\"", first, second);
}

int flo_params_read_embed(struct params_reader *reader)
{
    struct serve_params *params = reader->params;
    int64_t dimensions = 0;
    params->message.type = FLO_WIRE_EMBED;
    FLO_TRY(read_inputs(reader));
    FLO_TRY(read_choice(reader, "encoding_format", "float", "base64", &params->is_base64));
    FLO_TRY(read_choice(reader, "pooling", "mean", "last", &params->message.embed.takes_last));
    FLO_TRY(flo_reader_whole(reader, "dimensions", 1, DIMENSIONS_MAX, &dimensions));
    params->dimensions = (uint32_t)dimensions;
    return 0;
}
