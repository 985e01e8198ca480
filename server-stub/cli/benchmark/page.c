/* Page: writes benchmarks as an HTML document that needs no other file. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/cli/benchmark/fit.h"

/* the pictures' size, and the place of the lines in it */
#define WIDTH 460
#define LEFT 200
#define RIGHT 400
#define ROW 22
#define HEIGHT 120
#define POINTS_MAX 64

static const char style[] =
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:64em;padding:0 1em}\n"
    "table{border-collapse:collapse}\n"
    "th,td{padding:.3em .8em;border-bottom:1px solid #8888;text-align:right}\n"
    "td:first-child,th:first-child,td:nth-child(2){text-align:left}\n"
    "figure{display:inline-block;margin:1.5em 1em 0 0}\n"
    "svg{width:29em;max-width:100%}svg text{font-size:12px;fill:currentColor}\n"
    "svg rect{fill:#2a6fb0}svg rect.no{fill:#8888}\n"
    "svg polyline{fill:none;stroke:#2a6fb0;stroke-width:2}svg polyline.heat{stroke:#c0392b}\n"
    ":root{color-scheme:light dark}\n";

/* Writes a text so that no character of it is markup. */
static void put_text(struct flo_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (strchr("&<>\"'", *text) != NULL) {
            flo_buf_printf(out, "&#%d;", *text);
        } else {
            flo_buf_add(out, text, 1);
        }
    }
}

/* ---- table ---- */

static const struct {
    const char *head, *key;
    double scale;
} cells[] = {
    {"devices", "devices", 1},
    {"prompt tokens/s", "prompt_tps", 1},
    {"generated tokens/s", "generate_tps", 1},
    {"first token ms", "first_token_ms", 1},
    {"memory MiB", "rss_bytes", 1.0 / (1 << 20)},
    {"file MiB", "file_bytes", 1.0 / (1 << 20)},
    {"right %", "right_percent", 1},
    {"J per token", "joules_per_token", 1},
    {"battery % per hour", "battery_percent_per_hour", 1},
    {"slower at the end %", "slowdown_percent", 1},
};

static void put_table(struct flo_buf *out, const json_t *rows)
{
    flo_buf_text(out, "<table>\n<tr><th>hardware</th><th>release</th>");
    for (size_t c = 0; c < FLO_COUNT(cells); c++) {
        flo_buf_printf(out, "<th>%s</th>", cells[c].head);
    }
    flo_buf_text(out, "<th>verdict</th></tr>\n");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        flo_buf_text(out, "<tr><td>");
        put_text(out, flo_json_text(row, "hardware", ""));
        flo_buf_text(out, "</td><td>");
        put_text(out, flo_json_text(row, "release", ""));
        flo_buf_text(out, " ");
        put_text(out, flo_json_text(row, "variant", ""));
        flo_buf_text(out, "</td>");
        for (size_t c = 0; c < FLO_COUNT(cells); c++) {
            const json_t *value = json_object_get(row, cells[c].key);
            if (value == NULL) {
                flo_buf_text(out, "<td>-</td>");
            } else {
                flo_buf_printf(out, "<td>%.4g</td>", json_number_value(value) * cells[c].scale);
            }
        }
        flo_buf_printf(out, "<td>%s</td></tr>\n", flo_json_text(row, "verdict", ""));
    }
    flo_buf_text(out, "</table>\n");
}

/* ---- pictures ---- */

static double most_of(const json_t *rows, const char *key)
{
    double most = 0;

    for (size_t i = 0; i < json_array_size(rows); i++) {
        double value = json_number_value(json_object_get(json_array_get(rows, i), key));
        most = value > most ? value : most;
    }
    return most;
}

/* Draws a bar for each row. */
static void put_bars(struct flo_buf *out, const json_t *rows, const char *key, const char *title)
{
    size_t count = json_array_size(rows);
    double most = most_of(rows, key);

    if (most <= 0) {
        return;
    }
    flo_buf_printf(out, "<figure><svg viewBox=\"0 0 %d %zu\">\n", WIDTH, count * ROW + ROW);
    for (size_t i = 0; i < count; i++) {
        const json_t *row = json_array_get(rows, i);
        double value = json_number_value(json_object_get(row, key));
        bool fits = strcmp(flo_json_text(row, "verdict", ""), "best") == 0 ||
                    strcmp(flo_json_text(row, "verdict", ""), "fits") == 0;
        size_t y = i * ROW;
        flo_buf_printf(out, "<text x=\"%d\" y=\"%zu\" text-anchor=\"end\">", LEFT - 8, y + 15);
        put_text(out, flo_json_text(row, "hardware", ""));
        flo_buf_text(out, " ");
        put_text(out, flo_json_text(row, "release", ""));
        flo_buf_printf(out,
                       "</text><rect%s x=\"%d\" y=\"%zu\" width=\"%.1f\" height=\"%d\"/>"
                       "<text x=\"%.1f\" y=\"%zu\">%.4g</text>\n",
                       fits ? "" : " class=\"no\"", LEFT, y + 3, (RIGHT - LEFT) * value / most,
                       ROW - 6, LEFT + (RIGHT - LEFT) * value / most + 6, y + 15, value);
    }
    flo_buf_printf(out, "</svg><figcaption>%s</figcaption></figure>\n", title);
}

/* Reads "10.1 9.8 …".  Returns how many numbers it has. */
static size_t read_series(const char *text, double values[POINTS_MAX])
{
    size_t count = 0;
    char *end;

    while (count < POINTS_MAX) {
        double value = strtod(text, &end);
        if (end == text) {
            break;
        }
        if (isfinite(value)) {
            values[count++] = value;
        }
        text = end;
    }
    return count;
}

static void put_line(struct flo_buf *out, const char *text, const char *kind)
{
    double values[POINTS_MAX], most = 0;
    size_t count = read_series(text, values);

    for (size_t i = 0; i < count; i++) {
        most = values[i] > most ? values[i] : most;
    }
    if (count < 2 || !(most > 0)) {
        return;
    }
    flo_buf_printf(out, "<polyline class=\"%s\" points=\"", kind);
    for (size_t i = 0; i < count; i++) {
        flo_buf_printf(out, "%.1f,%.1f ", (double)WIDTH * (double)i / (double)(count - 1),
                       HEIGHT - HEIGHT * (values[i] > 0 ? values[i] : 0) / most);
    }
    flo_buf_text(out, "\"/>\n");
}

/* Draws speed and temperature of one benchmark over its time. */
static void put_course(struct flo_buf *out, const json_t *item)
{
    const json_t *facts = json_object_get(item, "facts");

    flo_buf_printf(out, "<figure><svg viewBox=\"0 0 %d %d\">\n", WIDTH, HEIGHT);
    put_line(out, flo_json_text(facts, "generate-series", ""), "speed");
    put_line(out, flo_json_text(facts, "temperature-series", ""), "heat");
    flo_buf_text(out, "</svg><figcaption>");
    put_text(out, flo_json_text(item, "name", ""));
    flo_buf_text(out, ", ");
    put_text(out, flo_json_text(facts, "model", ""));
    flo_buf_text(out, "@");
    put_text(out, flo_json_text(facts, "version", ""));
    flo_buf_text(out, ": tokens/s (blue) and temperature (red) over time; ended by ");
    put_text(out, flo_json_text(facts, "ended", ""));
    flo_buf_text(out, "</figcaption></figure>\n");
}

void flo_fit_page(const json_t *rows, const json_t *items, struct flo_buf *out)
{
    flo_buf_printf(out,
                   "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n"
                   "<title>Which model fits which device</title>\n<style>%s</style>\n"
                   "<h1>Which model fits which device</h1>\n",
                   style);
    put_table(out, rows);
    put_bars(out, rows, "generate_tps", "generated tokens/s; grey: it does not fit");
    put_bars(out, rows, "right_percent", "golden answers right, in %");
    put_bars(out, rows, "joules_per_token", "J per token");
    flo_buf_text(out, "<h2>Over time</h2>\n");
    for (size_t i = 0; i < json_array_size(items); i++) {
        put_course(out, json_array_get(items, i));
    }
    flo_buf_text(out, "</html>\n");
}
