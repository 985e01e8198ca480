/* CSV: parses a table with a header line, as spreadsheets write it (RFC
 * 4180). */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server-stub/cli/fleet/fleet.h"

struct csv {
    const char *at, *end;
    size_t line;
    struct flo_buf cell;
    bool is_last; /* the cell is the last one of its line */
};

static int fail(const struct csv *csv, struct flo_err *err, const char *what)
{
    return flo_fail(err, FLO_E_USAGE, "CSV, line %zu: %s", csv->line, what);
}

static int take_quoted(struct csv *csv, struct flo_err *err)
{
    for (csv->at++; csv->at < csv->end; csv->at++) {
        if (*csv->at == '"' && (csv->at + 1 == csv->end || csv->at[1] != '"')) {
            csv->at++;
            return 0;
        }
        csv->line += *csv->at == '\n' ? 1 : 0;
        csv->at += *csv->at == '"' ? 1 : 0;
        flo_buf_add(&csv->cell, csv->at, 1);
    }
    return fail(csv, err, "a quote has no end");
}

static bool is_end(const struct csv *csv)
{
    return csv->at == csv->end || *csv->at == ',' || *csv->at == '\n' ||
           (*csv->at == '\r' && (csv->at + 1 == csv->end || csv->at[1] == '\n'));
}

/* Reads the next cell as text into csv->cell. */
static int take_cell(struct csv *csv, struct flo_err *err)
{
    flo_buf_deinit(&csv->cell);
    if (csv->at < csv->end && *csv->at == '"') {
        FLO_TRY(take_quoted(csv, err));
        if (!is_end(csv)) {
            return fail(csv, err, "more stands behind a quote");
        }
    }
    while (!is_end(csv)) {
        flo_buf_add(&csv->cell, csv->at++, 1);
    }
    flo_buf_text(&csv->cell, "");
    csv->is_last = csv->at == csv->end || *csv->at != ',';
    if (csv->at < csv->end && *csv->at == '\r') {
        csv->at++;
    }
    csv->at += csv->at < csv->end ? 1 : 0;
    if (csv->cell.failed) {
        return flo_fail(err, FLO_E_MEMORY, "CSV");
    }
    size_t bytes = csv->cell.bytes;
    return (flo_utf8_valid(csv->cell.data, bytes) != bytes ||
            memchr(csv->cell.data, '\0', bytes) != NULL)
               ? fail(csv, err, "no UTF-8 text")
               : 0;
}

static int take_head(struct csv *csv, json_t *head, struct flo_err *err)
{
    do {
        FLO_TRY(take_cell(csv, err));
        if (csv->cell.bytes == 0 || json_array_size(head) == FLO_CSV_COLUMNS_MAX) {
            return fail(csv, err, "a column without a name, or too many");
        }
        json_array_append_new(head, json_string(csv->cell.data));
    } while (!csv->is_last);
    csv->line++;
    return 0;
}

/* Reads a row, and skips empty lines before it. */
static int take_row(struct csv *csv, const json_t *head, json_t *rows, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *row = json_object();
    size_t column = 0;

    do {
        FLO_TRY(take_cell(csv, err));
        const char *name = json_string_value(json_array_get(head, column));
        bool is_empty_line = column == 0 && csv->is_last && csv->cell.bytes == 0;
        if (!is_empty_line && name == NULL) {
            return fail(csv, err, "more cells than the head line has");
        }
        if (!is_empty_line) {
            json_object_set_new(row, name, json_string(csv->cell.data));
        }
        column++;
    } while (!csv->is_last);
    csv->line++;
    if (json_object_size(row) > 0) {
        json_array_append(rows, row);
    }
    return 0;
}

int flo_csv_parse(const char *text, size_t bytes, json_t **rows, struct flo_err *err)
{
    /* byte order mark, with which spreadsheets begin a file */
    static const char mark[] = "\xef\xbb\xbf";
    bool has_mark = bytes >= 3 && memcmp(text, mark, 3) == 0;
    struct csv csv = {.at = text + (has_mark ? 3 : 0), .end = text + bytes, .line = 1};
    FLO_CLEANUP(flo_json_cleanup) json_t *head = json_array();
    json_t *made = json_array();
    int rv = take_head(&csv, head, err);

    while (rv == 0 && csv.at < csv.end) {
        rv = take_row(&csv, head, made, err);
    }
    flo_buf_deinit(&csv.cell);
    if (rv < 0) {
        json_decref(made);
        return rv;
    }
    *rows = made;
    return 0;
}

static int read_stdin(struct flo_buf *out, struct flo_err *err)
{
    char piece[65536];
    ssize_t bytes;

    while ((bytes = read(STDIN_FILENO, piece, sizeof(piece))) > 0) {
        if (out->bytes + (size_t)bytes > FLO_CSV_BYTES_MAX) {
            return flo_fail(err, FLO_E_USAGE, "more than %zu bytes", FLO_CSV_BYTES_MAX);
        }
        flo_buf_add(out, piece, (size_t)bytes);
    }
    flo_buf_text(out, "");
    return bytes < 0     ? flo_fail_errno(err, FLO_E_IO_READ, "stdin")
           : out->failed ? flo_fail(err, FLO_E_MEMORY, "stdin")
                         : 0;
}

static int read_file(const char *path, struct flo_buf *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    size_t bytes = 0;
    int rv = flo_file_read(path, FLO_CSV_BYTES_MAX, &text, &bytes, err);

    flo_buf_add(out, text, bytes);
    flo_buf_text(out, "");
    FLO_TRY(rv);
    return out->failed ? flo_fail(err, FLO_E_MEMORY, "CSV") : 0;
}

int flo_csv_read(const char *path, json_t **rows, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    int rv = strcmp(path, "-") == 0 ? read_stdin(&text, err) : read_file(path, &text, err);

    if (rv == 0) {
        rv = flo_csv_parse(text.data, text.bytes, rows, err);
    }
    return rv < 0 ? flo_wrap(err, rv, "%.200s", path) : 0;
}
