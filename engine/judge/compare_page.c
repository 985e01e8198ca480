/* Compare page: writes the results of all models as an HTML document with two
 * pictures. */
#include "engine/judge/compare.h"

#include <math.h>
#include <string.h>

#include <flotilla/plural.h>

/* the pictures' size, and the place of the axes in it */
#define WIDTH 460
#define HEIGHT 260
#define LEFT 60
#define RIGHT 440
#define TOP 20
#define BOTTOM 215

static const char style[] = "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;"
                            "max-width:64em;padding:0 1em}\n"
                            "table{border-collapse:collapse}\n"
                            "th,td{padding:.3em .8em;border-bottom:1px solid #8888;"
                            "text-align:right}\n"
                            "td:nth-child(2),th:nth-child(2){text-align:left}\n"
                            "figure{display:inline-block;margin:1.5em 1em 0 0}\n"
                            "svg{width:29em;max-width:100%}\n"
                            "svg text{font-size:12px;fill:currentColor}\n"
                            "svg line{stroke:#8888}\n"
                            "svg circle{fill:#2a6fb0}\n"
                            ":root{color-scheme:light dark}\n";

/* Writes a text so that no character of it is markup. */
static void put_text(struct flo_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            flo_buf_text(out, "&amp;");
            break;
        case '<':
            flo_buf_text(out, "&lt;");
            break;
        case '>':
            flo_buf_text(out, "&gt;");
            break;
        case '"':
            flo_buf_text(out, "&quot;");
            break;
        default:
            flo_buf_add(out, text, 1);
        }
    }
}

/* ---- table ---- */

static void put_row(struct flo_buf *out, const struct flo_compare_report *report, size_t row)
{
    const struct flo_err *error = &report->rows[row].error;
    struct flo_compare_cells cells;

    flo_compare_cells(report, row, &cells);
    flo_buf_printf(out, "<tr><td>%zu</td><td>", row + 1);
    put_text(out, cells.name);
    flo_buf_text(out, "</td>");
    if (error->code != 0) {
        flo_buf_printf(out, "<td colspan=\"%d\">%s: ", FLO_COMPARE_COLUMNS,
                       flo_error_id(error->code));
        put_text(out, error->what);
        flo_buf_text(out, "</td>");
    }
    for (size_t c = 0; error->code == 0 && c < FLO_COMPARE_COLUMNS; c++) {
        flo_buf_printf(out, "<td>%s</td>", cells.texts[c]);
    }
    flo_buf_text(out, "</tr>\n");
}

static void put_table(struct flo_buf *out, const struct flo_compare_report *report)
{
    flo_buf_text(out, "<table>\n<tr><th></th><th>model</th>");
    for (size_t c = 0; c < FLO_COMPARE_COLUMNS; c++) {
        flo_buf_printf(out, "<th>%s</th>", flo_compare_titles[c]);
    }
    flo_buf_text(out, "</tr>\n");
    for (size_t i = 0; i < report->count; i++) {
        put_row(out, report, i);
    }
    flo_buf_text(out, "</table>\n");
}

/* ---- pictures ---- */

/* One axis of a picture. */
struct axis {
    const char *name;
    double (*value)(const struct flo_compare_row *row);
    double end; /* value at the end of the axis */
};

static double size_of(const struct flo_compare_row *row)
{
    return (double)row->file.bytes / 0x1p20;
}

static double exact_of(const struct flo_compare_row *row)
{
    return row->exact;
}

/* Rounds up to 1, 2 or 5 times a power of ten; 1 for a value that is not
 * above 0. */
static double round_up(double value)
{
    const double factors[] = {1, 2, 5};
    double power = value > 0 ? pow(10, floor(log10(value))) : 1;

    for (size_t i = 0; i < FLO_COUNT(factors); i++) {
        if (factors[i] * power >= value) {
            return factors[i] * power;
        }
    }
    return 10 * power;
}

static double end_of(const struct flo_compare_report *report, const struct axis *axis)
{
    double most = 0;

    for (size_t i = 0; i < report->count; i++) {
        const struct flo_compare_row *row = &report->rows[i];
        most = row->error.code == 0 ? fmax(most, axis->value(row)) : most;
    }
    return round_up(most);
}

static void put_axes(struct flo_buf *out, const struct axis *x, const struct axis *y)
{
    for (int i = 0; i <= 2; i++) {
        double across = LEFT + (RIGHT - LEFT) * i / 2.0, up = BOTTOM - (BOTTOM - TOP) * i / 2.0;
        flo_buf_printf(out,
                       "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>"
                       "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>"
                       "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n",
                       LEFT, up, RIGHT, up, LEFT - 6, up + 4, y->end * i / 2, across, BOTTOM + 16,
                       x->end * i / 2);
    }
    flo_buf_printf(out,
                   "<text x=\"%d\" y=\"12\">%s</text>"
                   "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n",
                   LEFT, y->name, RIGHT, HEIGHT - 8, x->name);
}

static void put_picture(struct flo_buf *out, const struct flo_compare_report *report, struct axis y)
{
    struct axis x = {.name = "size of the file, MiB", .value = size_of};

    x.end = end_of(report, &x);
    y.end = y.end > 0 ? y.end : end_of(report, &y);
    flo_buf_printf(out,
                   "<figure><svg viewBox=\"0 0 %d %d\" role=\"img\">\n<title>%s by %s</title>\n",
                   WIDTH, HEIGHT, y.name, x.name);
    put_axes(out, &x, &y);
    for (size_t i = 0; i < report->count; i++) {
        const struct flo_compare_row *row = &report->rows[i];
        struct flo_compare_cells cells;
        if (row->error.code != 0) {
            continue;
        }
        double across = LEFT + (RIGHT - LEFT) * x.value(row) / x.end;
        double up = BOTTOM - (BOTTOM - TOP) * y.value(row) / y.end;
        flo_compare_cells(report, i, &cells);
        flo_buf_printf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\"><title>", across, up);
        put_text(out, cells.name);
        flo_buf_printf(out, "</title></circle><text x=\"%.1f\" y=\"%.1f\">%zu</text>\n", across + 8,
                       up - 6, i + 1);
    }
    flo_buf_text(out, "</svg></figure>\n");
}

void flo_compare_page(const struct flo_compare_report *report, struct flo_buf *out)
{
    char clean[FLO_COMPARE_NAME_BYTES];

    flo_text_clean(report->suite_file.path, strlen(report->suite_file.path), clean, sizeof(clean));
    flo_buf_printf(out,
                   "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                   "<title>Models compared</title>\n<style>\n%s</style></head><body>\n"
                   "<h1>Models compared</h1>\n<p>%zu case%s of ",
                   style, report->cases, flo_s(report->cases));
    put_text(out, clean);
    flo_buf_text(out, ". Speeds were measured on the machine that made this page. "
                      "KL is in nats per token, from the first model's distributions.</p>\n");
    put_table(out, report);
    const struct axis exact = {"answers right", exact_of, .end = (double)report->cases};
    put_picture(out, report,
                report->only_asks ? (struct axis){"KL to first", flo_compare_kl, .end = 0} : exact);
    put_picture(out, report, (struct axis){"answer tokens/s", flo_compare_speed, .end = 0});
    flo_buf_text(out, "</body></html>\n");
}
