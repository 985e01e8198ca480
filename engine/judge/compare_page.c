/* Compare page: writes the results of all models as an HTML document with
 * pictures: two of all models, and the errors by layer of each. */
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
                            "svg circle,svg rect{fill:#2a6fb0}\n"
                            "svg .jump{fill:#c2452d}\n"
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

static void put_names(struct flo_buf *out, const char *x, const char *y)
{
    flo_buf_printf(out,
                   "<text x=\"%d\" y=\"12\">%s</text>"
                   "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n",
                   LEFT, y, RIGHT, HEIGHT - 8, x);
}

/* Writes the vertical axis: a line for 0, for the half and for the end. */
static void put_heights(struct flo_buf *out, double end)
{
    for (int i = 0; i <= 2; i++) {
        double up = BOTTOM - (BOTTOM - TOP) * i / 2.0;
        flo_buf_printf(out,
                       "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>"
                       "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
                       LEFT, up, RIGHT, up, LEFT - 6, up + 4, end * i / 2);
    }
}

static void put_axes(struct flo_buf *out, const struct axis *x, const struct axis *y)
{
    put_heights(out, y->end);
    for (int i = 0; i <= 2; i++) {
        flo_buf_printf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n",
                       LEFT + (RIGHT - LEFT) * i / 2.0, BOTTOM + 16, x->end * i / 2);
    }
    put_names(out, x->name, y->name);
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

/* ---- errors by layer ---- */

static double center_of(uint32_t place, uint32_t places)
{
    return LEFT + (RIGHT - LEFT) * (place + 0.5) / places;
}

/* Writes a place's bar, or a text where its error is not finite. */
static void put_bar(struct flo_buf *out, const struct flo_layer_errors *layers, uint32_t place,
                    double end)
{
    double error = flo_layer_errors_at(layers, place), wide = (RIGHT - LEFT) * 0.8 / layers->places;
    double high = (BOTTOM - TOP) * error / end, center = center_of(place, layers->places);
    const char *mark = place == flo_layer_errors_jump(layers) ? " class=\"jump\"" : "";
    char name[FLO_COMPARE_PLACE_BYTES];

    if (!isfinite(error)) {
        flo_buf_printf(out, "<text%s x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">&#215;</text>\n",
                       mark, center, BOTTOM - 2);
        return;
    }
    flo_buf_printf(out,
                   "<rect%s x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"><title>%s: "
                   "%.6f</title></rect>\n",
                   mark, center - wide / 2, BOTTOM - high, wide, high,
                   flo_compare_place(place, name), error);
}

/* Names some places below their bars, and says where the error jumps. */
static void put_places(struct flo_buf *out, const struct flo_layer_errors *layers)
{
    uint32_t jump = flo_layer_errors_jump(layers), last = layers->places - 1;
    const uint32_t shown[] = {0, (last + 1) / 2, last};
    char name[FLO_COMPARE_PLACE_BYTES];

    for (size_t i = 0; i < FLO_COUNT(shown); i++) {
        if (i == 0 || shown[i] > shown[i - 1]) {
            flo_buf_printf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
                           center_of(shown[i], layers->places), BOTTOM + 16,
                           flo_compare_place(shown[i], name));
        }
    }
    if (jump == FLO_NO_PLACE) {
        return;
    }
    double step = flo_layer_errors_step(layers, jump);
    flo_buf_printf(out, "<text class=\"jump\" x=\"%d\" y=\"%d\">jump at %s%s: ", LEFT, HEIGHT - 8,
                   jump > 0 ? "layer " : "", flo_compare_place(jump, name));
    flo_buf_printf(out, isfinite(step) ? "+%.6f</text>\n" : "not finite</text>\n", step);
}

static void put_layers(struct flo_buf *out, const struct flo_compare_report *report, size_t row)
{
    const struct flo_layer_errors *layers = &report->rows[row].layers;
    struct flo_compare_cells cells;
    double most = 0;

    for (uint32_t p = 0; p < layers->places; p++) {
        most = fmax(most, flo_layer_errors_at(layers, p)); /* NaN is left out */
    }
    flo_compare_cells(report, row, &cells);
    flo_buf_printf(out, "<figure><figcaption>%zu ", row + 1);
    put_text(out, cells.name);
    flo_buf_printf(out,
                   ", from %zu</figcaption><svg viewBox=\"0 0 %d %d\" role=\"img\">\n"
                   "<title>error by layer</title>\n",
                   flo_compare_from(report, row) + 1, WIDTH, HEIGHT);
    put_heights(out, round_up(most));
    put_names(out, "layer", "relative error");
    for (uint32_t p = 0; p < layers->places; p++) {
        put_bar(out, layers, p, round_up(most));
    }
    put_places(out, layers);
    flo_buf_text(out, "</svg></figure>\n");
}

static void put_all_layers(struct flo_buf *out, const struct flo_compare_report *report)
{
    flo_buf_text(out,
                 "<h2>Error by layer</h2>\n<p>Relative error of the hidden state after each "
                 "layer, as root mean square over the tokens of all prompts. The first bar is "
                 "the embedding. Each picture has a scale of its own; the layer where the error "
                 "grows most is red.</p>\n");
    for (size_t i = 0; i < report->count; i++) {
        if (flo_compare_has_layers(report, i)) {
            put_layers(out, report, i);
        }
    }
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
    if (report->has_layers) {
        put_all_layers(out, report);
    }
    flo_buf_text(out, "</body></html>\n");
}
