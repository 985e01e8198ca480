/* Compare table: writes the results of all models as a table and as JSON. */
#include "engine/judge/compare.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#define PLACE_WIDTH 9 /* characters of "embedding" */

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

/* ---- errors by layer ---- */

static void put_error(struct flo_buf *out, int width, double error)
{
    if (isfinite(error)) {
        flo_buf_printf(out, "  %*.6f", width, error);
    } else {
        flo_buf_printf(out, "  %*s", width, "not finite");
    }
}

static void put_jump(struct flo_buf *out, int width, const struct flo_layer_errors *layers)
{
    uint32_t jump = flo_layer_errors_jump(layers);
    char name[FLO_COMPARE_PLACE_BYTES], text[FLO_COMPARE_PLACE_BYTES + 32] = "-";

    if (jump != FLO_NO_PLACE) {
        double step = flo_layer_errors_step(layers, jump);
        snprintf(text, sizeof(text), isfinite(step) ? "%s: +%.6f" : "%s",
                 flo_compare_place(jump, name), step);
    }
    flo_buf_printf(out, "  %*s", width, text);
}

/* Columns of the table: rows that have errors by layer. */
struct columns {
    size_t rows[FLO_COMPARE_ROWS_MAX];
    int widths[FLO_COMPARE_ROWS_MAX];
    size_t count;
    uint32_t places; /* most places of a model */
};

static void find_columns(const struct flo_compare_report *report, struct columns *c)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct flo_layer_errors *layers = &report->rows[i].layers;
        struct flo_compare_cells cells;
        if (!flo_compare_has_layers(report, i)) {
            continue;
        }
        flo_compare_cells(report, i, &cells);
        size_t width = width_of(cells.name), least = strlen("embedding: +0.000000");
        c->rows[c->count] = i;
        c->widths[c->count++] = (int)(width > least ? width : least);
        c->places = layers->places > c->places ? layers->places : c->places;
    }
}

static void put_names(struct flo_buf *out, const struct flo_compare_report *report,
                      const struct columns *c)
{
    flo_buf_printf(out, "%-*s", PLACE_WIDTH, "layer");
    for (size_t k = 0; k < c->count; k++) {
        struct flo_compare_cells cells;
        flo_compare_cells(report, c->rows[k], &cells);
        /* a name may have characters of several bytes */
        int extra = (int)(strlen(cells.name) - width_of(cells.name));
        flo_buf_printf(out, "  %*s", c->widths[k] + extra, cells.name);
    }
    flo_buf_text(out, "\n");
}

static void put_layers(const struct flo_compare_report *report, struct flo_buf *out)
{
    char name[FLO_COMPARE_PLACE_BYTES];
    struct columns c = {.count = 0};

    find_columns(report, &c);
    flo_buf_text(out, "\nerror of the hidden state after each layer, relative, rms over the "
                      "tokens of all prompts\n");
    if (c.count == 0) {
        flo_buf_text(out, "no two models have the same layers and the same tokens\n");
        return;
    }
    put_names(out, report, &c);
    for (uint32_t p = 0; p < c.places; p++) {
        flo_buf_printf(out, "%-*s", PLACE_WIDTH, flo_compare_place(p, name));
        for (size_t k = 0; k < c.count; k++) {
            const struct flo_layer_errors *layers = &report->rows[c.rows[k]].layers;
            if (p < layers->places) {
                put_error(out, c.widths[k], flo_layer_errors_at(layers, p));
            } else {
                flo_buf_printf(out, "  %*s", c.widths[k], "-");
            }
        }
        flo_buf_text(out, "\n");
    }
    flo_buf_printf(out, "%-*s", PLACE_WIDTH, "jump");
    for (size_t k = 0; k < c.count; k++) {
        put_jump(out, c.widths[k], &report->rows[c.rows[k]].layers);
    }
    flo_buf_text(out, "\n");
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
    if (report->has_layers) {
        put_layers(report, out);
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

static void put_results(struct flo_buf *out, const struct flo_compare_report *report, size_t row)
{
    const struct flo_compare_row *r = &report->rows[row];

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
    flo_buf_printf(out, ",\"rss_bytes_peak\":%llu", (unsigned long long)r->about.rss_bytes_peak);
    flo_compare_layers_json(report, row, out);
    flo_buf_text(out, ",\"error\":null}");
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
            put_results(out, report, i);
            continue;
        }
        flo_tool_json(out, ",\"file\":", r->file.path);
        flo_tool_json(out, ",\"error\":{\"id\":", flo_error_id(r->error.code));
        flo_tool_json(out, ",\"what\":", r->error.what);
        flo_buf_text(out, "}}");
    }
    flo_buf_text(out, "]}\n");
}
