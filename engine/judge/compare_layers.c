/* Compare layers: which models have errors by layer, and these as JSON. */
#include "engine/judge/compare.h"

#include <math.h>

size_t flo_compare_from(const struct flo_compare_report *report, size_t row)
{
    size_t from = row;

    while (report->rows[from].type != NULL) {
        from--;
    }
    return from == row ? 0 : from;
}

bool flo_compare_has_layers(const struct flo_compare_report *report, size_t row)
{
    const struct flo_compare_row *r = &report->rows[row];

    return r->layers.places > 0 && r->layers.tokens > 0 && r->error.code == 0 &&
           report->rows[flo_compare_from(report, row)].error.code == 0;
}

const char *flo_compare_place(uint32_t place, char name[FLO_COMPARE_PLACE_BYTES])
{
    if (place == 0) {
        return "embedding";
    }
    snprintf(name, FLO_COMPARE_PLACE_BYTES, "%u", place - 1);
    return name;
}

/* ---- JSON ---- */

static void put_number(struct flo_buf *out, const char *before, double value)
{
    if (isfinite(value)) {
        flo_buf_printf(out, "%s%.9f", before, value);
    } else {
        flo_buf_printf(out, "%snull", before);
    }
}

/* Writes a layer's number as the file has it: -1 is the embedding. */
static void put_layer(struct flo_buf *out, const struct flo_layer_errors *layers, uint32_t place)
{
    flo_buf_printf(out, "{\"layer\":%lld", (long long)place - 1);
    put_number(out, ",\"by\":", flo_layer_errors_step(layers, place));
    flo_buf_text(out, "}");
}

void flo_compare_layers_json(const struct flo_compare_report *report, size_t row,
                             struct flo_buf *out)
{
    const struct flo_layer_errors *layers = &report->rows[row].layers;

    if (!flo_compare_has_layers(report, row)) {
        flo_buf_text(out, ",\"layers\":null");
        return;
    }
    uint32_t jump = flo_layer_errors_jump(layers);
    flo_buf_printf(out, ",\"layers\":{\"from\":%zu,\"tokens\":%llu", flo_compare_from(report, row),
                   (unsigned long long)layers->tokens);
    put_number(out, ",\"embedding\":", flo_layer_errors_at(layers, 0));
    flo_buf_text(out, ",\"errors\":[");
    for (uint32_t p = 1; p < layers->places; p++) {
        put_number(out, p == 1 ? "" : ",", flo_layer_errors_at(layers, p));
    }
    flo_buf_text(out, "],\"jump\":");
    if (jump == FLO_NO_PLACE) {
        flo_buf_text(out, "null}");
        return;
    }
    put_layer(out, layers, jump);
    flo_buf_text(out, "}");
}
