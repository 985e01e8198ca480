/* Lines: reads and writes the lines of a batch. */
#include "agent/serve/batch/lines.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/rest.h>

#define LINE_MAX FLO_BATCH_LINE_BYTES_MAX
#define ANSWER_PREFIX "batch_req_"
#define ERROR_BYTES_MAX 65536

/* ---- lines out of bytes ---- */

size_t flo_batch_reader_take(struct flo_batch_reader *reader, const char *data, size_t bytes)
{
    const char *end = bytes == 0 ? NULL : memchr(data, '\n', bytes);
    size_t count = end == NULL ? bytes : (size_t)(end - data);

    if (bytes == 0) {
        return 0;
    }
    if (!reader->is_open) {
        reader->begin = reader->offset;
        reader->bytes = 0;
        reader->number++;
        reader->line.bytes = 0;
    }
    size_t room = reader->bytes < reader->bytes_max ? reader->bytes_max - (size_t)reader->bytes : 0;
    reader->line.bytes_max = reader->bytes_max + 1;
    flo_buf_add(&reader->line, data, count < room ? count : room);
    reader->bytes += count;
    reader->is_whole = end != NULL;
    reader->is_open = end == NULL;
    reader->offset += count + (end != NULL);
    return count + (end != NULL);
}

bool flo_batch_reader_end(struct flo_batch_reader *reader)
{
    bool was_open = reader->is_open;

    reader->is_whole = was_open;
    reader->is_open = false;
    return was_open;
}

bool flo_batch_reader_is_blank(const struct flo_batch_reader *reader)
{
    return reader->bytes == reader->line.bytes &&
           (reader->bytes == 0 || strspn(reader->line.data, " \t\r") == reader->bytes);
}

void flo_batch_reader_deinit(struct flo_batch_reader *reader)
{
    flo_buf_deinit(&reader->line);
}

/* ---- a line ---- */

const char *flo_batch_endpoint(size_t i)
{
    static const char *const paths[] = {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/responses",
    };

    return i < FLO_COUNT(paths) ? paths[i] : NULL;
}

int flo_batch_endpoint_find(const char *path)
{
    for (size_t i = 0; flo_batch_endpoint(i) != NULL; i++) {
        if (strcmp(flo_batch_endpoint(i), path) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* Reads the custom_id of a line.  Returns false when it is absent or
 * invalid. */
static bool take_id(const json_t *json, char out[FLO_BATCH_ID_BYTES_MAX + 1])
{
    const json_t *value = json_object_get(json, "custom_id");
    size_t bytes = json_string_length(value);
    bool is_fine = bytes > 0 && bytes <= FLO_BATCH_ID_BYTES_MAX;

    strcpy(out, is_fine ? json_string_value(value) : "");
    return is_fine;
}

static int read_url(const json_t *json, int endpoint, struct flo_batch_line *out,
                    struct flo_err *err)
{
    const char *method = json_string_value(json_object_get(json, "method"));
    const char *url = json_string_value(json_object_get(json, "url"));

    if (method == NULL || strcmp(method, "POST") != 0) {
        return flo_fail(err, FLO_E_INFER_PARAM, "method must be POST");
    }
    out->endpoint = url == NULL ? -1 : flo_batch_endpoint_find(url);
    if (out->endpoint < 0) {
        return flo_fail(err, FLO_E_INFER_PARAM,
                        "url must be /v1/chat/completions, /v1/completions, "
                        "/v1/embeddings or /v1/responses");
    }
    if (endpoint >= 0 && out->endpoint != endpoint) {
        return flo_fail(err, FLO_E_INFER_PARAM, "url is %s, and the batch's endpoint is %s", url,
                        flo_batch_endpoint((size_t)endpoint));
    }
    return 0;
}

static int read_body(const json_t *json, struct flo_batch_line *out, struct flo_err *err)
{
    json_t *body = json_object_get(json, "body");

    if (!json_is_object(body)) {
        return flo_fail(err, FLO_E_INFER_PARAM, "body must be an object");
    }
    if (json_is_true(json_object_get(body, "stream"))) {
        return flo_fail(err, FLO_E_INFER_PARAM,
                        "body.stream must be false: answers of a batch come "
                        "whole");
    }
    if (json_object_set_new(body, "priority", json_string("batch")) < 0) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a line");
    }
    /* an escape makes a character longer, so the body may become longer than
     * its line */
    out->body.bytes_max = 2 * LINE_MAX;
    flo_json_dump(body, &out->body);
    return out->body.failed ? flo_fail(err, FLO_E_MEMORY, "no memory for a line") : 0;
}

static int parse(const struct flo_batch_reader *reader, json_t **json, struct flo_err *err)
{
    if (reader->bytes > reader->bytes_max) {
        return flo_fail(err, FLO_E_REST_TOO_LARGE, "the line has %llu bytes, at most %zu are taken",
                        (unsigned long long)reader->bytes, reader->bytes_max);
    }
    if (reader->line.failed) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a line");
    }
    int rv = flo_json_parse(reader->line.data, reader->line.bytes, reader->bytes_max, json, err);
    if (rv < 0 && rv != FLO_E_MEMORY) {
        /* invalid JSON gets this code; the error's text says where the JSON is
         * invalid */
        rv = FLO_E_REST_SCHEMA;
        if (err != NULL) {
            err->code = rv;
        }
    }
    FLO_TRY(rv);
    return json_is_object(*json) ? 0
                                 : flo_fail(err, FLO_E_REST_SCHEMA, "the line is no JSON object");
}

void flo_batch_line_id(const struct flo_batch_reader *reader, char out[FLO_BATCH_ID_BYTES_MAX + 1])
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;

    out[0] = '\0';
    if (parse(reader, &json, NULL) == 0) {
        (void)take_id(json, out);
    }
}

int flo_batch_line_read(const struct flo_batch_reader *reader, int endpoint,
                        struct flo_batch_line *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;

    memset(out, 0, sizeof(*out));
    FLO_TRY(parse(reader, &json, err));
    if (!take_id(json, out->custom_id)) {
        return flo_fail(err, FLO_E_INFER_PARAM, "custom_id must be a text of 1 to %d bytes",
                        FLO_BATCH_ID_BYTES_MAX);
    }
    FLO_TRY(read_url(json, endpoint, out, err));
    int rv = read_body(json, out, err);
    if (rv < 0) {
        flo_batch_line_deinit(out);
    }
    return rv;
}

void flo_batch_line_deinit(struct flo_batch_line *line)
{
    flo_buf_deinit(&line->body);
}

/* ---- an answer ---- */

static void add_text(struct flo_buf *out, const char *text)
{
    flo_buf_text(out, "\"");
    flo_buf_json_text(out, text, strlen(text));
    flo_buf_text(out, "\"");
}

/* Writes a body on one line.  A line end in JSON only separates its parts, so
 * it becomes a blank. */
static void add_body(struct flo_buf *out, const char *body, size_t bytes)
{
    size_t from = out->bytes;

    while (bytes > 0 && (body[bytes - 1] == '\n' || body[bytes - 1] == '\r')) {
        bytes--;
    }
    flo_buf_add(out, bytes > 0 ? body : "null", bytes > 0 ? bytes : 4);
    for (size_t i = from; !out->failed && i < out->bytes; i++) {
        out->data[i] = out->data[i] == '\n' || out->data[i] == '\r' ? ' ' : out->data[i];
    }
}

void flo_batch_answer_add(const struct flo_batch_answer *answer, struct flo_buf *out)
{
    char id[96];

    snprintf(id, sizeof(id), "%s%.60s%s%llu", ANSWER_PREFIX, answer->batch,
             answer->batch[0] != '\0' ? "_" : "", (unsigned long long)answer->number);
    flo_buf_printf(out, "{\"id\":\"%s\",\"custom_id\":", id);
    if (answer->custom_id[0] != '\0') {
        add_text(out, answer->custom_id);
    } else {
        flo_buf_text(out, "null");
    }
    if (answer->code == NULL) {
        flo_buf_printf(out,
                       ",\"response\":{\"status_code\":%d,"
                       "\"request_id\":\"%s\",\"body\":",
                       answer->status, id);
        add_body(out, answer->body, answer->bytes);
        flo_buf_text(out, "},\"error\":null}\n");
        return;
    }
    flo_buf_printf(out,
                   ",\"response\":null,\"error\":{\"code\":\"%s\","
                   "\"message\":",
                   answer->code);
    add_text(out, answer->what);
    flo_buf_printf(out, ",\"line\":%llu}}\n", (unsigned long long)answer->number);
}

/* Returns the line number at the end of an answer's id, after the last `_`; 0:
 * the id has none. */
static uint64_t number_of(const char *id)
{
    const char *digits = id == NULL ? NULL : strrchr(id, '_');
    size_t chars = digits == NULL ? 0 : strlen(++digits);

    return chars > 0 && chars < 20 && strspn(digits, "0123456789") == chars &&
                   strncmp(id, ANSWER_PREFIX, strlen(ANSWER_PREFIX)) == 0
               ? strtoull(digits, NULL, 10)
               : 0;
}

bool flo_batch_answer_read(const struct flo_batch_reader *reader, struct flo_batch_answered *out)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;

    if (reader->bytes != reader->line.bytes ||
        flo_json_parse(reader->line.data, reader->line.bytes, reader->line.bytes, &json, NULL) <
            0) {
        return false;
    }
    const json_t *id = json_object_get(json, "custom_id");
    const json_t *response = json_object_get(json, "response");

    out->number = number_of(json_string_value(json_object_get(json, "id")));
    out->has_failed = json_integer_value(json_object_get(response, "status_code")) != 200;
    snprintf(out->custom_id, sizeof(out->custom_id), "%s",
             json_is_string(id) ? json_string_value(id) : "");
    return out->number > 0 && (json_is_string(id) || json_is_null(id)) &&
           json_string_length(id) <= FLO_BATCH_ID_BYTES_MAX;
}

bool flo_batch_comes_again(int status, const char *body, size_t bytes, unsigned tries)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;

    if (status != 503) {
        return status == 429;
    }
    if (flo_json_parse(body, bytes, ERROR_BYTES_MAX, &json, NULL) < 0) {
        return tries < FLO_BATCH_TRIES_MAX;
    }
    const char *code = json_string_value(json_object_get(json_object_get(json, "error"), "code"));

    return tries < FLO_BATCH_TRIES_MAX ||
           (code != NULL && strcmp(code, flo_error_id(FLO_E_INFER_BUSY)) == 0);
}
