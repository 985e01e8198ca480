/* Table: writes rows as aligned columns for people. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/cli/output/output.h"

#define GAP 2
#define LEAST_WIDTH 6 /* least width to which a column is cut to fit the terminal */

struct table {
    const struct flo_out_spec *spec;
    const struct flo_column *columns;
    size_t count;
    size_t widths[FLO_COLUMNS_MAX];
};

static void measure(struct table *table, const json_t *items)
{
    char cell[FLO_CELL_BYTES];

    for (size_t i = 0; i < table->count; i++) {
        table->widths[i] = table->spec->has_heads ? flo_text_width(table->columns[i].head) : 0;
        for (size_t k = 0; k < flo_items_count(items); k++) {
            flo_cell_show(flo_items_at(items, k), &table->columns[i], table->spec->now_ms, cell);
            size_t chars = flo_text_width(cell);
            table->widths[i] = chars > table->widths[i] ? chars : table->widths[i];
        }
    }
}

/* Returns the index of the widest column after the first.  The first column is
 * cut last, because a row is useless without its whole name. */
static size_t widest_of(const struct table *table)
{
    size_t widest = table->count > 1 ? 1 : 0;

    for (size_t i = 1; i < table->count; i++) {
        widest = table->widths[i] >= table->widths[widest] ? i : widest;
    }
    return table->widths[widest] > LEAST_WIDTH ? widest : 0;
}

/* Narrows the widest column to the width of the next narrower one, until the
 * line fits the terminal or nothing more can be cut. */
static void fit(struct table *table)
{
    for (;;) {
        size_t all = GAP * (table->count - 1), second = LEAST_WIDTH;
        size_t widest = widest_of(table);
        size_t room = table->widths[widest];
        for (size_t i = 0; i < table->count; i++) {
            all += table->widths[i];
            if (i > 0 && table->widths[i] > second && table->widths[i] < room) {
                second = table->widths[i];
            }
        }
        if (all <= table->spec->width || room <= LEAST_WIDTH) {
            return;
        }
        size_t over = all - table->spec->width;
        room -= second;
        table->widths[widest] -= over < room ? over : room;
    }
}

static void add_cell(const struct table *table, size_t i, const char *text, const char *tone,
                     struct flo_buf *out)
{
    char cell[FLO_CELL_BYTES];
    bool is_last = i + 1 == table->count;

    flo_text_cut(text, table->widths[i], cell);
    size_t chars = flo_text_width(cell);
    if (tone[0] != '\0') {
        flo_buf_printf(out, "%s%s%s", tone, cell, FLO_TONE_END);
    } else {
        flo_buf_text(out, cell);
    }
    if (!is_last) {
        flo_buf_printf(out, "%*s", (int)(table->widths[i] - chars + GAP), "");
    }
}

void flo_out_rows(const struct flo_out_spec *spec, const json_t *items,
                  const struct flo_column *columns, size_t count, struct flo_buf *out)
{
    struct table table = {.spec = spec, .columns = columns, .count = count};
    char cell[FLO_CELL_BYTES];

    if (count == 0) {
        return;
    }
    measure(&table, items);
    if (spec->width > 0 && spec->form == FLO_OUT_TABLE) {
        fit(&table);
    }
    for (size_t i = 0; spec->has_heads && i < count; i++) {
        add_cell(&table, i, columns[i].head, spec->has_colour ? FLO_TONE_HEAD : "", out);
    }
    flo_buf_text(out, spec->has_heads ? "\n" : "");
    for (size_t k = 0; k < flo_items_count(items); k++) {
        for (size_t i = 0; i < count; i++) {
            flo_cell_show(flo_items_at(items, k), &columns[i], spec->now_ms, cell);
            add_cell(&table, i, cell,
                     spec->has_colour && columns[i].form == CELL_STATE ? flo_tone_of(cell) : "",
                     out);
        }
        flo_buf_text(out, "\n");
    }
}
