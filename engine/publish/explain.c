#include "engine/publish/explain.h"

#include <string.h>

#include "base/host/digest.h"
#include "engine/model/file/unread.h"

#define COLUMNS 80
#define FATE_COLUMNS 8
#define KEY_COLUMNS 34 /* most that a key's column has */
#define VALUE_COLUMNS 14

/* Reads a line of the report: FATE, FILE, KEY, VALUE, WHY.  Returns the next. */
static const char *read_line(const char *line, const char *fields[5], int lengths[5])
{
    for (size_t i = 0; i < 5; i++) {
        size_t length = strcspn(line, "\t\n");
        fields[i] = line;
        lengths[i] = (int)length;
        line += length + 1;
    }
    return line;
}

static void explain_json(const struct flo_buf *report, struct flo_buf *out)
{
    static const char *const names[] = {
        "{\"fate\":", ",\"file\":", ",\"key\":", ",\"value\":", ",\"why\":"};
    const char *fields[5];
    int lengths[5];
    const char *line = report->data, *end = line + report->bytes;
    flo_buf_text(out, "{\"keys\":[");
    while (line != NULL && line < end) {
        flo_buf_text(out, line == report->data ? "" : ",");
        line = read_line(line, fields, lengths);
        for (size_t i = 0; i < 5; i++) {
            flo_buf_text(out, names[i]);
            flo_buf_json_text(out, fields[i], (size_t)lengths[i]);
        }
        flo_buf_text(out, "}");
    }
    flo_buf_text(out, "]}\n");
}

/* Writes a table of 80 columns, with a heading for each file. */
static void explain_text(const struct flo_buf *report, struct flo_buf *out)
{
    const char *fields[5], *file = "";
    int lengths[5], file_bytes = 0, keys = 0, values = 0;
    const char *end = report->data + report->bytes;
    for (const char *line = report->data; line != NULL && line < end;) {
        line = read_line(line, fields, lengths);
        keys = lengths[2] > keys ? lengths[2] : keys;
        values = lengths[3] > values ? lengths[3] : values;
    }
    keys = keys > KEY_COLUMNS ? KEY_COLUMNS : keys;
    values = values > VALUE_COLUMNS ? VALUE_COLUMNS : values;
    for (const char *line = report->data; line != NULL && line < end;) {
        line = read_line(line, fields, lengths);
        if (lengths[1] != file_bytes || memcmp(fields[1], file, (size_t)file_bytes) != 0) {
            file = fields[1];
            file_bytes = lengths[1];
            flo_buf_printf(out, "%.*s\n", file_bytes, file);
        }
        int room = COLUMNS - FATE_COLUMNS - 8 - (lengths[2] > keys ? lengths[2] : keys) - values;
        flo_buf_printf(out, "  %-8.*s  %-*.*s  %-*.*s  %.*s\n", lengths[0], fields[0], keys,
                       lengths[2], fields[2], values, lengths[3] < values ? lengths[3] : values,
                       fields[3],
                       lengths[4] < room ? lengths[4]
                       : room > 0        ? room
                                         : 0,
                       fields[4]);
    }
}

void flo_explain_names(const struct flo_buf *report, const char *fate, const char *before,
                       struct flo_buf *out)
{
    const char *fields[5], *end = report->data + report->bytes;
    int lengths[5], count = 0;
    for (const char *line = report->data; line != NULL && line < end;) {
        line = read_line(line, fields, lengths);
        if (strncmp(fields[0], fate, strlen(fate)) == 0) {
            flo_buf_printf(out, "%s%.*s", count++ == 0 ? before : ", ", lengths[2], fields[2]);
        }
    }
    flo_buf_text(out, count > 0 ? "\n" : "");
}

void flo_explain(const struct flo_buf *report, bool is_json, struct flo_buf *out)
{
    (is_json ? explain_json : explain_text)(report, out);
}

void flo_explain_set(struct flo_keys *keys, const struct flo_folder_reading *reading)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf items = {.bytes_max = 1u << 20};
    struct flo_digest digest;
    char text[FLO_DIGEST_TEXT];
    uint64_t count = 0;
    flo_sha256(reading->report.data, reading->report.bytes, &digest);
    flo_digest_text(&digest, text);
    flo_keys_text(keys, "flotilla.import.reading", text);
    for (size_t i = 0; i < reading->taken.bytes; i += strlen(reading->taken.data + i) + 1) {
        flo_keys_item(&items, reading->taken.data + i, strlen(reading->taken.data + i));
        count++;
    }
    if (count > 0) {
        flo_keys_array(keys, FLO_ACCEPTED_KEY, FLO_GGUF_STRING, count, items.data, items.bytes);
    }
}

int flo_explain_accept(struct flo_folder_reading *reading, const struct flo_args *args,
                       struct flo_err *err)
{
    const char *value;
    for (size_t i = 0; flo_args_each(args, "accept-unknown", i, &value); i++) {
        FLO_TRY(flo_reading_accept(reading, value, err));
    }
    return 0;
}
