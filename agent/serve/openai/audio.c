/* Audio: the front for speech to text.  It reads a form with a WAV file, and
 * answers with the text that was spoken. */
#include "agent/serve/openai/multipart.h"
#include "agent/serve/openai/openai.h"
#include "base/wav.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/rest.h>
#include <flotilla/rows.h>

#define PARTS_MAX 16
#define PROMPT_BYTES_MAX 4096
#define TEMPERATURE_MAX 2.0

struct reader {
    struct serve_params *params;
    struct flo_err *err;
};

static int refuse(struct reader *reader, const char *field, const char *what)
{
    snprintf(reader->params->param, sizeof(reader->params->param), "%s", field);
    return flo_fail(reader->err, FLO_E_INFER_PARAM, "%s %s", field, what);
}

static bool is(const struct flo_multipart_part *part, const char *text)
{
    return part->bytes == strlen(text) && memcmp(part->data, text, part->bytes) == 0;
}

static struct flo_wire_text text_of(const struct flo_multipart_part *part)
{
    return (struct flo_wire_text){part->data, part->bytes};
}

static bool is_text(const struct flo_multipart_part *part, size_t bytes_max)
{
    return part->bytes <= bytes_max && memchr(part->data, '\0', part->bytes) == NULL &&
           flo_utf8_valid(part->data, part->bytes) == part->bytes;
}

/* ---- fields ---- */

static int take_file(struct reader *reader, const struct flo_multipart_part *part)
{
    struct flo_wire_generate *out = &reader->params->message.generate;

    if (part->bytes > FLO_WIRE_AUDIO_BYTES_MAX) {
        snprintf(reader->params->param, sizeof(reader->params->param), "file");
        return flo_fail(reader->err, FLO_E_REST_TOO_LARGE,
                        "file has %zu bytes, at most %d are taken (31 s of "
                        "16-bit mono at 16 kHz)",
                        part->bytes, FLO_WIRE_AUDIO_BYTES_MAX);
    }
    if (!flo_wav_is(part->data, part->bytes)) {
        return refuse(reader, "file", "is no WAV file");
    }
    out->audio = text_of(part);
    return 0;
}

static int take_model(struct reader *reader, const struct flo_multipart_part *part)
{
    struct serve_params *params = reader->params;

    if (!is_text(part, sizeof(params->model) - 1)) {
        return refuse(reader, "model", "is no name of a model");
    }
    memcpy(params->model, part->data, part->bytes);
    params->model[part->bytes] = '\0';
    return 0;
}

static int take_language(struct reader *reader, const struct flo_multipart_part *part)
{
    if (!is_text(part, FLO_WIRE_LANGUAGE_BYTES_MAX)) {
        return refuse(reader, "language", "is no code of a language");
    }
    reader->params->message.generate.language = text_of(part);
    return 0;
}

static int take_prompt(struct reader *reader, const struct flo_multipart_part *part)
{
    if (!is_text(part, PROMPT_BYTES_MAX)) {
        return refuse(reader, "prompt", "must be a text of at most 4096 bytes");
    }
    reader->params->message.generate.prompt = text_of(part);
    return 0;
}

static int take_temperature(struct reader *reader, const struct flo_multipart_part *part)
{
    char text[32];
    char *end = text;
    size_t n = part->bytes < sizeof(text) ? part->bytes : 0;

    memcpy(text, part->data, n);
    text[n] = '\0';
    double value = strtod(text, &end);
    if (n == 0 || *end != '\0' || !(value >= 0 && value <= TEMPERATURE_MAX)) {
        return refuse(reader, "temperature", "must be a number from 0 to 2");
    }
    reader->params->message.generate.temperature = value;
    return 0;
}

static int take_form(struct reader *reader, const struct flo_multipart_part *part)
{
    reader->params->is_plain = is(part, "text");
    return reader->params->is_plain || is(part, "json")
               ? 0
               : refuse(reader, "response_format", "must be json or text");
}

static int take_stream(struct reader *reader, const struct flo_multipart_part *part)
{
    return is(part, "false") ? 0
                             : refuse(reader, "stream",
                                      "must be false: a text of speech comes "
                                      "whole");
}

/* Takes a field of the form.  Unknown fields are ignored, because clients send
 * many. */
static int take_part(struct reader *reader, const struct flo_multipart_part *part)
{
    static const struct field {
        const char *name;
        int (*take)(struct reader *reader, const struct flo_multipart_part *part);
    } fields[] = {
        {"file", take_file},     {"model", take_model},          {"language", take_language},
        {"prompt", take_prompt}, {"response_format", take_form}, {"temperature", take_temperature},
        {"stream", take_stream},
    };
    const struct field *field = FLO_FIND_WORD(part->name, fields, FLO_COUNT(fields), name);

    return field == NULL ? 0 : field->take(reader, part);
}

int flo_params_read_audio(const char *content_type, const char *body, size_t bytes,
                          struct serve_params *params, struct flo_err *err)
{
    struct flo_multipart form;
    struct flo_multipart_part part;
    struct reader reader = {params, err};
    int parts = 0;

    memset(params, 0, sizeof(*params));
    params->message.type = FLO_WIRE_GENERATE;
    int rv = flo_multipart_open(&form, content_type, body, bytes, err);
    while (rv >= 0 && (rv = flo_multipart_next(&form, &part, err)) == 1) {
        rv = ++parts > PARTS_MAX
                 ? flo_fail(err, FLO_E_REST_SCHEMA, "the form has more than %d parts", PARTS_MAX)
                 : take_part(&reader, &part);
    }
    if (rv == 0 && params->message.generate.audio.bytes == 0) {
        rv = refuse(&reader, "file", "is missing");
    }
    if (rv == 0) {
        rv = flo_params_keep(params, err);
    }
    if (rv < 0) {
        flo_params_deinit(params);
    }
    return rv;
}

/* ---- the front ---- */

static int read(struct serve_request *request, const struct serve_body *body, struct flo_err *err)
{
    return flo_params_read_audio(body->type, body->data, body->bytes, &request->params, err);
}

static int whole(struct serve_request *request, const struct flo_wire_done *done,
                 struct flo_buf *out, struct flo_err *err)
{
    const struct flo_buf *text = &request->kept.text;

    (void)done, (void)err;
    if (request->params.is_plain) {
        flo_buf_add(out, text->data, text->bytes);
        flo_buf_text(out, "\n");
    } else {
        flo_buf_text(out, "{\"text\":");
        flo_answer_add_text(out, (struct flo_wire_text){text->data, text->bytes});
        flo_buf_text(out, "}\n");
    }
    return 0;
}

const struct serve_front flo_openai_speech = {
    .kind = REQUEST_AUDIO,
    .id_prefix = "cmpl-",
    .read = read,
    .whole = whole,
    .fail = flo_openai_fail,
};
