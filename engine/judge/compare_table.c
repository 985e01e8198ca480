/* Compare table: writes the results of all models as a table and as JSON. */
#include "engine/judge/compare.h"

#include <stdarg.h>
#include <string.h>

const char *const flo_compare_titles[FLO_COMPARE_COLUMNS] = {
    [FLO_COMPARE_EXACT] = "answers right",
    [FLO_COMPARE_KL] = "KL to first",
    [FLO_COMPARE_PROMPT_SPEED] = "prompt tokens/s",
    [FLO_COMPARE_ANSWER_SPEED] = "answer tokens/s",
    [FLO_COMPARE_RSS] = "peak RSS MiB",
    [FLO_COMPARE_BYTES] = "file bytes",
};

static double per_second(uint64_t count, uint64_t us)
{
    return us == 0 ? 0 : (double)count * 1e6 / (double)us;
}

double flo_compare_speed(const struct flo_compare_row *row)
{
    return per_second(row->steps, row->answer_us);
}

double flo_compare_kl(const struct flo_compare_row *row)
{
    uint64_t finite = row->positions - row->nonfinite;

    return finite == 0 ? 0 : row->kl_sum / (double)finite;
}

static const char *name_of(const struct flo_compare_row *row)
{
    const char *slash = strrchr(row->file.path, '/');

    return row->has_twin || slash == NULL ? row->file.path : slash + 1;
}

FLO_PRINTF(3, 4)
static void put_cell(struct flo_compare_cells *cells, enum flo_compare_column column,
                     const char *format, ...)
{
    va_list values;

    va_start(values, format);
    vsnprintf(cells->texts[column], sizeof(cells->texts[column]), format, values);
    va_end(values);
}

/* Writes a speed, unless nothing was computed. */
static void put_speed(struct flo_compare_cells *cells, enum flo_compare_column column, double speed)
{
    if (speed > 0) {
        put_cell(cells, column, "%.1f", speed);
    }
}

void flo_compare_cells(const struct flo_compare_report *report, size_t row,
                       struct flo_compare_cells *cells)
{
    const struct flo_compare_row *r = &report->rows[row];
    const char *name = name_of(r);
    char clean[FLO_COMPARE_NAME_BYTES - 32];

    for (size_t i = 0; i < FLO_COMPARE_COLUMNS; i++) {
        snprintf(cells->texts[i], sizeof(cells->texts[i]), "-");
    }
    flo_text_clean(name, strlen(name), clean, sizeof(clean));
    snprintf(cells->name, sizeof(cells->name), "%s%s%.30s", clean, r->type != NULL ? " " : "",
             r->type != NULL ? r->type : "");
    if (r->error.code != 0) {
        return;
    }
    if (!report->only_asks) {
        put_cell(cells, FLO_COMPARE_EXACT, "%u/%zu", r->exact, report->cases);
    }
    if (r->has_kl && r->nonfinite > 0) {
        put_cell(cells, FLO_COMPARE_KL, "not finite");
    } else if (r->has_kl) {
        put_cell(cells, FLO_COMPARE_KL, "%.6f", flo_compare_kl(r));
    }
    put_speed(cells, FLO_COMPARE_PROMPT_SPEED, per_second(r->tokens_in, r->prompt_us));
    put_speed(cells, FLO_COMPARE_ANSWER_SPEED, flo_compare_speed(r));
    put_cell(cells, FLO_COMPARE_RSS, "%.1f", (double)r->about.rss_bytes_peak / 0x1p20);
    put_cell(cells, FLO_COMPARE_BYTES, "%llu", (unsigned long long)r->file.bytes);
}

/* ---- table ---- */

/* Returns the width of a text in a terminal, counted in characters. */
static size_t width_of(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

static void put_blanks(struct flo_buf *out, size_t count)
{
    while (count-- > 0) {
        flo_buf_text(out, " ");
    }
}

/* Finds the width of the names, then of each column. */
static size_t widths(const struct flo_compare_report *report, size_t columns[FLO_COMPARE_COLUMNS])
{
    size_t names = strlen("model");

    for (size_t c = 0; c < FLO_COMPARE_COLUMNS; c++) {
        columns[c] = strlen(flo_compare_titles[c]);
    }
    for (size_t i = 0; i < report->count; i++) {
        struct flo_compare_cells cells;
        flo_compare_cells(report, i, &cells);
        names = width_of(cells.name) > names ? width_of(cells.name) : names;
        for (size_t c = 0; c < FLO_COMPARE_COLUMNS; c++) {
            size_t width = strlen(cells.texts[c]);
            columns[c] = width > columns[c] ? width : columns[c];
        }
    }
    return names;
}

void flo_compare_table(const struct flo_compare_report *report, struct flo_buf *out)
{
    size_t columns[FLO_COMPARE_COLUMNS];
    size_t names = widths(report, columns);

    flo_buf_text(out, "model");
    put_blanks(out, names - strlen("model"));
    for (size_t c = 0; c < FLO_COMPARE_COLUMNS; c++) {
        flo_buf_printf(out, "  %*s", (int)columns[c], flo_compare_titles[c]);
    }
    flo_buf_text(out, "\n");
    for (size_t i = 0; i < report->count; i++) {
        const struct flo_err *error = &report->rows[i].error;
        struct flo_compare_cells cells;
        flo_compare_cells(report, i, &cells);
        flo_buf_text(out, cells.name);
        put_blanks(out, names - width_of(cells.name));
        if (error->code != 0) {
            flo_buf_printf(out, "  %s: %s\n", flo_error_id(error->code), error->what);
            continue;
        }
        for (size_t c = 0; c < FLO_COMPARE_COLUMNS; c++) {
            flo_buf_printf(out, "  %*s", (int)columns[c], cells.texts[c]);
        }
        flo_buf_text(out, "\n");
    }
}

/* ---- JSON ---- */

static void put_file(struct flo_buf *out, const char *before, const struct flo_eval_file *file)
{
    char text[FLO_DIGEST_TEXT];

    flo_digest_text(&file->digest, text);
    flo_tool_json(out, before, file->path);
    flo_buf_printf(out, ",\"digest\":\"%s\",\"bytes\":%llu", text, (unsigned long long)file->bytes);
}

static void put_rate(struct flo_buf *out, const char *key, double speed)
{
    if (speed > 0) {
        flo_buf_printf(out, ",\"%s\":%.2f", key, speed);
    } else {
        flo_buf_printf(out, ",\"%s\":null", key);
    }
}

static void put_results(struct flo_buf *out, const struct flo_compare_report *report,
                        const struct flo_compare_row *r)
{
    put_file(out, ",\"file\":", &r->file);
    flo_tool_json(out, ",\"arch\":", r->about.info.arch);
    flo_tool_json(out, ",\"kernel\":", r->about.info.kernel);
    flo_buf_printf(out, ",\"threads\":%u,", r->about.info.threads);
    if (report->only_asks) {
        flo_buf_text(out, "\"exact\":null,\"exact_match\":null,\"kl_mean\":");
    } else {
        flo_buf_printf(out, "\"exact\":%u,\"exact_match\":%.6f,\"kl_mean\":", r->exact,
                       (double)r->exact / (double)report->cases);
    }
    if (r->has_kl && r->nonfinite == 0) {
        flo_buf_printf(out, "%.9f", flo_compare_kl(r));
    } else {
        flo_buf_text(out, "null");
    }
    flo_buf_printf(out, ",\"positions\":%llu,\"nonfinite\":%llu", (unsigned long long)r->positions,
                   (unsigned long long)r->nonfinite);
    put_rate(out, "prompt_tokens_per_s", per_second(r->tokens_in, r->prompt_us));
    put_rate(out, "answer_tokens_per_s", flo_compare_speed(r));
    flo_buf_printf(out, ",\"rss_bytes_peak\":%llu,\"error\":null}",
                   (unsigned long long)r->about.rss_bytes_peak);
}

void flo_compare_json(const struct flo_compare_report *report, struct flo_buf *out)
{
    put_file(out,
             "{\"format\":\"flotilla-compare-1\",\"engine\":\"" FLO_VERSION "\",\"suite\":"
             "{\"file\":",
             &report->suite_file);
    flo_buf_printf(out, ",\"cases\":%zu},\"decode\":\"greedy\",\"max_new_tokens\":%u,\"models\":[",
                   report->cases, report->tokens_max);
    for (size_t i = 0; i < report->count; i++) {
        const struct flo_compare_row *r = &report->rows[i];
        flo_tool_json(out, i == 0 ? "{\"name\":" : ",{\"name\":", name_of(r));
        if (r->type != NULL) {
            flo_tool_json(out, ",\"quantized_to\":", r->type);
        } else {
            flo_buf_text(out, ",\"quantized_to\":null");
        }
        if (r->error.code == 0) {
            put_results(out, report, r);
            continue;
        }
        flo_tool_json(out, ",\"file\":", r->file.path);
        flo_tool_json(out, ",\"error\":{\"id\":", flo_error_id(r->error.code));
        flo_tool_json(out, ",\"what\":", r->error.what);
        flo_buf_text(out, "}}");
    }
    flo_buf_text(out, "]}\n");
}
