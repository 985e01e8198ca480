/* Object: writes files and batches as JSON, and reads that JSON; see
 * object.h. */
#include "agent/serve/batch/object.h"

#include <string.h>

#include "agent/serve/batch/lines.h"

#define ID_DIGITS 24
#define TIME_MAX FLO_OBJECT_TIME_MAX
#define DAY_S 86400
#define EXPIRES_S_MIN 3600
#define EXPIRES_S_MAX 2592000

static const char *const words[FLO_BATCH_STATUSES] = {
    [FLO_BATCH_VALIDATING] = "validating",   [FLO_BATCH_FAILED] = "failed",
    [FLO_BATCH_IN_PROGRESS] = "in_progress", [FLO_BATCH_FINALIZING] = "finalizing",
    [FLO_BATCH_COMPLETED] = "completed",     [FLO_BATCH_EXPIRED] = "expired",
    [FLO_BATCH_CANCELLING] = "cancelling",   [FLO_BATCH_CANCELLED] = "cancelled",
};

const char *flo_batch_status_word(enum flo_batch_status status)
{
    return words[status];
}

bool flo_batch_status_is_end(enum flo_batch_status status)
{
    return status == FLO_BATCH_FAILED || status == FLO_BATCH_COMPLETED ||
           status == FLO_BATCH_EXPIRED || status == FLO_BATCH_CANCELLED;
}

/* ---- ids ---- */

void flo_object_id_make(const char *prefix, char out[FLO_OBJECT_ID])
{
    uint8_t random[ID_DIGITS / 2];
    size_t chars = strlen(prefix);

    flo_random(random, sizeof(random));
    memcpy(out, prefix, chars);
    flo_hex_encode(random, sizeof(random), out + chars);
}

bool flo_object_id_is(const char *prefix, const char *id)
{
    size_t chars = strlen(prefix);

    return strncmp(id, prefix, chars) == 0 && strlen(id) == chars + ID_DIGITS &&
           strspn(id + chars, "0123456789abcdef") == ID_DIGITS;
}

/* ---- writing ---- */

static void dump(json_t *json, struct flo_buf *out)
{
    if (json == NULL) {
        out->failed = true;
        return;
    }
    flo_json_dump(json, out);
    json_decref(json);
}

void flo_batch_file_write(const struct flo_batch_file *file, bool is_kept, struct flo_buf *out)
{
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "id", file->id, "object",
                             "file", "purpose", file->is_output ? "batch_output" : "batch",
                             "filename", file->name, "status", "processed", "bytes",
                             flo_json_u64(file->bytes), "created_at", flo_json_u64(file->created_s),
                             "expires_at", flo_json_u64_or_null(file->expires_s));

    if (is_kept) {
        json_object_set_new(json, "app", json_string(file->app));
    }
    dump(json, out);
}

static json_t *errors_of(const struct flo_batch *batch)
{
    return batch->code == 0 ? json_null()
                            : json_pack("{s:s, s:[{s:s, s:s, s:o, s:n}]}", "object", "list", "data",
                                        "code", flo_error_id(batch->code), "message", batch->what,
                                        "line", flo_json_u64_or_null(batch->line), "param");
}

static void add_times(const struct flo_batch *batch, json_t *json)
{
    char name[32];

    for (int i = 0; i < FLO_BATCH_STATUSES; i++) {
        if (i != FLO_BATCH_VALIDATING) {
            snprintf(name, sizeof(name), "%s_at", words[i]);
            json_object_set_new(json, name, flo_json_u64_or_null(batch->at_s[i]));
        }
    }
    json_object_set_new(json, "created_at", flo_json_u64(batch->at_s[FLO_BATCH_VALIDATING]));
    json_object_set_new(json, "expires_at", flo_json_u64_or_null(batch->expires_s));
}

void flo_batch_write(const struct flo_batch *batch, bool is_kept, struct flo_buf *out)
{
    bool has_files = is_kept || flo_batch_status_is_end(batch->status);
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:{s:o, s:o, s:o}}", "id", batch->id,
        "object", "batch", "endpoint", flo_batch_endpoint((size_t)batch->endpoint), "input_file_id",
        batch->input, "completion_window", "24h", "status", words[batch->status], "errors",
        errors_of(batch), "output_file_id", flo_json_text_or_null(has_files ? batch->output : ""),
        "error_file_id", flo_json_text_or_null(has_files ? batch->error : ""), "metadata",
        batch->metadata == NULL ? json_null() : json_incref(batch->metadata), "request_counts",
        "total", flo_json_u64(batch->total), "completed", flo_json_u64(batch->completed), "failed",
        flo_json_u64(batch->failed));

    if (json == NULL) {
        out->failed = true;
        return;
    }
    add_times(batch, json);
    if (is_kept) {
        json_object_set_new(json, "app", json_string(batch->app));
        json_object_set_new(json, "output_expires", flo_json_u64(batch->output_expires_s));
    } else {
        json_object_set_new(json, "waits_for", flo_json_text_or_null(batch->waits));
    }
    dump(json, out);
}

/* ---- reading ---- */

static int get_id(const json_t *json, const char *key, const char *prefix, bool is_needed,
                  char out[FLO_OBJECT_ID], struct flo_err *err)
{
    const char *text;

    FLO_TRY(flo_json_opt_text(json, key, FLO_OBJECT_ID - 1, "", &text, err));
    if ((is_needed || text[0] != '\0') && !flo_object_id_is(prefix, text)) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `%s` is no id", key);
    }
    strcpy(out, text);
    return 0;
}

static int get_app(const json_t *json, char out[FLO_NAME_MAX + 1], struct flo_err *err)
{
    const char *text;

    FLO_TRY(flo_json_get_text(json, "app", FLO_NAME_MAX, &text, err));
    strcpy(out, text);
    return 0;
}

static int read_file(const json_t *json, struct flo_batch_file *out, struct flo_err *err)
{
    const char *purpose = "", *name = "";

    FLO_TRY(get_id(json, "id", "file-", true, out->id, err));
    FLO_TRY(get_app(json, out->app, err));
    FLO_TRY(flo_json_get_text(json, "filename", FLO_OBJECT_NAME_MAX, &name, err));
    FLO_TRY(flo_json_get_text(json, "purpose", 32, &purpose, err));
    FLO_TRY(flo_json_get_u64(json, "bytes", 0, INT64_MAX, &out->bytes, err));
    FLO_TRY(flo_json_get_u64(json, "created_at", 0, TIME_MAX, &out->created_s, err));
    FLO_TRY(flo_json_opt_u64(json, "expires_at", 0, TIME_MAX, 0, &out->expires_s, err));
    strcpy(out->name, name);
    out->is_output = strcmp(purpose, "batch_output") == 0;
    return 0;
}

int flo_batch_file_read(const char *text, size_t bytes, struct flo_batch_file *out,
                        struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;

    memset(out, 0, sizeof(*out));
    FLO_TRY(flo_json_parse(text, bytes, FLO_OBJECT_BYTES_MAX, &json, err));
    return read_file(json, out, err);
}

static int read_times(const json_t *json, struct flo_batch *out, struct flo_err *err)
{
    char name[32];

    for (int i = 0; i < FLO_BATCH_STATUSES; i++) {
        snprintf(name, sizeof(name), "%s_at", i == FLO_BATCH_VALIDATING ? "created" : words[i]);
        FLO_TRY(flo_json_opt_u64(json, name, 0, TIME_MAX, 0, &out->at_s[i], err));
    }
    FLO_TRY(flo_json_opt_u64(json, "expires_at", 0, TIME_MAX, 0, &out->expires_s, err));
    return flo_json_opt_u64(json, "output_expires", 0, TIME_MAX, 0, &out->output_expires_s, err);
}

static int read_counts(const json_t *json, struct flo_batch *out, struct flo_err *err)
{
    json_t *counts;

    FLO_TRY(flo_json_get_object(json, "request_counts", &counts, err));
    FLO_TRY(flo_json_get_u64(counts, "total", 0, INT64_MAX, &out->total, err));
    FLO_TRY(flo_json_get_u64(counts, "completed", 0, INT64_MAX, &out->completed, err));
    return flo_json_get_u64(counts, "failed", 0, INT64_MAX, &out->failed, err);
}

static int read_errors(const json_t *json, struct flo_batch *out, struct flo_err *err)
{
    json_t *errors = NULL;

    FLO_TRY(flo_json_opt_object(json, "errors", &errors, err));
    if (errors == NULL) {
        return 0;
    }
    const json_t *one = json_array_get(json_object_get(errors, "data"), 0);
    const char *id = "", *what = "";
    FLO_TRY(flo_json_get_text(one, "code", 64, &id, err));
    FLO_TRY(flo_json_get_text(one, "message", FLO_OBJECT_WHAT_MAX - 1, &what, err));
    FLO_TRY(flo_json_opt_u64(one, "line", 0, INT64_MAX, 0, &out->line, err));
    out->code = flo_error_code(id);
    out->code = out->code == 0 ? FLO_E_INTERNAL : out->code;
    strcpy(out->what, what);
    return 0;
}

static int read_status(const json_t *json, struct flo_batch *out, struct flo_err *err)
{
    const char *word, *path;
    FLO_TRY(flo_json_get_text(json, "status", 32, &word, err));
    int status = 0;

    FLO_TRY(flo_json_get_text(json, "endpoint", 64, &path, err));
    while (status < FLO_BATCH_STATUSES && strcmp(words[status], word) != 0) {
        status++;
    }
    out->endpoint = flo_batch_endpoint_find(path);
    out->status = (enum flo_batch_status)status;
    return status < FLO_BATCH_STATUSES && out->endpoint >= 0
               ? 0
               : flo_fail(err, FLO_E_META_SCHEMA, "status or endpoint is unknown");
}

static int read_batch(const json_t *json, struct flo_batch *out, struct flo_err *err)
{
    FLO_TRY(get_id(json, "id", "batch-", true, out->id, err));
    FLO_TRY(get_app(json, out->app, err));
    FLO_TRY(get_id(json, "input_file_id", "file-", true, out->input, err));
    FLO_TRY(get_id(json, "output_file_id", "file-", false, out->output, err));
    FLO_TRY(get_id(json, "error_file_id", "file-", false, out->error, err));
    FLO_TRY(read_status(json, out, err));
    FLO_TRY(read_times(json, out, err));
    FLO_TRY(read_counts(json, out, err));
    FLO_TRY(read_errors(json, out, err));
    json_t *metadata = NULL;
    int rv = flo_json_opt_object(json, "metadata", &metadata, err);
    out->metadata = rv == 0 ? json_incref(metadata) : NULL;
    return rv;
}

int flo_batch_read(const char *text, size_t bytes, struct flo_batch *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;

    memset(out, 0, sizeof(*out));
    FLO_TRY(flo_json_parse(text, bytes, FLO_OBJECT_BYTES_MAX, &json, err));
    return read_batch(json, out, err);
}

void flo_batch_deinit(struct flo_batch *batch)
{
    json_decref(batch->metadata);
    batch->metadata = NULL;
}

/* ---- a new batch ---- */

static int refuse(struct flo_err *err, const char *what)
{
    return flo_fail(err, FLO_E_INFER_PARAM, "%s", what);
}

static int take_metadata(const json_t *json, struct flo_batch *out, struct flo_err *err)
{
    json_t *metadata = json_object_get(json, "metadata");
    const char *key;
    json_t *value;

    if (metadata == NULL || json_is_null(metadata)) {
        return 0;
    }
    bool is_fine =
        json_is_object(metadata) && json_object_size(metadata) <= FLO_OBJECT_METADATA_MAX;
    json_object_foreach(metadata, key, value)
    {
        is_fine = is_fine && strlen(key) <= 64 && json_is_string(value) &&
                  json_string_length(value) <= 512;
    }
    if (!is_fine) {
        return refuse(err, "metadata must be an object of at most 16 texts: "
                           "names of 64 bytes, values of 512");
    }
    out->metadata = json_incref(metadata);
    return 0;
}

static int take_expiry(const json_t *json, struct flo_batch *out, struct flo_err *err)
{
    const json_t *after = json_object_get(json, "output_expires_after");
    const char *anchor = json_string_value(json_object_get(after, "anchor"));
    json_int_t seconds = json_integer_value(json_object_get(after, "seconds"));

    if (after == NULL || json_is_null(after)) {
        return 0;
    }
    if (anchor == NULL || strcmp(anchor, "created_at") != 0 || seconds < EXPIRES_S_MIN ||
        seconds > EXPIRES_S_MAX) {
        return refuse(err, "output_expires_after must have anchor created_at "
                           "and seconds from 3600 to 2592000");
    }
    out->output_expires_s = (uint64_t)seconds;
    return 0;
}

static int take_batch(const json_t *json, uint64_t now_s, struct flo_batch *out,
                      struct flo_err *err)
{
    const char *path = json_string_value(json_object_get(json, "endpoint"));
    const char *input = json_string_value(json_object_get(json, "input_file_id"));
    const char *window = json_string_value(json_object_get(json, "completion_window"));

    out->endpoint = path == NULL ? -1 : flo_batch_endpoint_find(path);
    if (out->endpoint < 0) {
        return refuse(err, "endpoint must be /v1/chat/completions, "
                           "/v1/completions, /v1/embeddings or "
                           "/v1/responses");
    }
    if (window == NULL || strcmp(window, "24h") != 0) {
        return refuse(err, "completion_window must be 24h");
    }
    if (input == NULL || strlen(input) >= FLO_OBJECT_ID) {
        return refuse(err, "input_file_id must be the id of a file");
    }
    strcpy(out->input, input);
    out->at_s[FLO_BATCH_VALIDATING] = now_s;
    out->expires_s = now_s + DAY_S;
    FLO_TRY(take_metadata(json, out, err));
    return take_expiry(json, out, err);
}

int flo_batch_ask(const char *body, size_t bytes, uint64_t now_s, struct flo_batch *out,
                  struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;

    memset(out, 0, sizeof(*out));
    FLO_TRY(flo_json_body(body, bytes, FLO_OBJECT_BYTES_MAX, &json, err));
    int rv = take_batch(json, now_s, out, err);
    if (rv < 0) {
        flo_batch_deinit(out);
    }
    return rv;
}
