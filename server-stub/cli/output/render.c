/* Render: formats an answer in the requested form. */
#include <string.h>

#include "base/host/yaml.h"

#include "server-stub/cli/output/output.h"

static const char *const forms[FLO_OUT_FORMS] = {
    [FLO_OUT_TABLE] = "table", [FLO_OUT_WIDE] = "wide", [FLO_OUT_JSON] = "json",
    [FLO_OUT_JSONL] = "jsonl", [FLO_OUT_YAML] = "yaml", [FLO_OUT_CSV] = "csv",
    [FLO_OUT_NAME] = "name",
};

int flo_out_form_parse(const char *word, enum flo_out_form *out)
{
    for (int i = 0; i < FLO_OUT_FORMS; i++) {
        if (strcmp(word, forms[i]) == 0) {
            *out = (enum flo_out_form)i;
            return 0;
        }
    }
    return FLO_E_USAGE;
}

/* ---- CSV ---- */

/* Tells whether a spreadsheet would take the text of a cell for a formula. */
static bool is_formula(const char *text)
{
    return text[0] != '\0' && strchr("=+-@\t\r", text[0]) != NULL;
}

/* Appends a cell of CSV by RFC 4180, with lines that end in \n.  A text that a
 * spreadsheet would evaluate gets a ' in front. */
static void sheet_cell(const struct flo_out_spec *spec, const char *text, bool is_text,
                       struct flo_buf *out)
{
    char clean[4 * FLO_CELL_BYTES];
    bool is_odd = is_text && is_formula(text);

    if (spec->is_tty) {
        flo_text_clean(text, strlen(text), clean, sizeof(clean));
        text = clean;
    }
    if (!is_odd && text[strcspn(text, ",\"\r\n")] == '\0') {
        flo_buf_text(out, text);
        return;
    }
    flo_buf_text(out, is_odd ? "\"'" : "\"");
    for (; *text != '\0'; text++) {
        flo_buf_add(out, text, 1);
        if (*text == '"') {
            flo_buf_add(out, text, 1);
        }
    }
    flo_buf_text(out, "\"");
}

static void sheet(const struct flo_out_spec *spec, const json_t *items,
                  const struct flo_column *columns, size_t count, struct flo_buf *out)
{
    for (size_t i = 0; spec->has_heads && i < count; i++) {
        flo_buf_text(out, i > 0 ? "," : "");
        sheet_cell(spec, columns[i].path, true, out);
    }
    flo_buf_text(out, spec->has_heads ? "\n" : "");
    for (size_t k = 0; k < flo_items_count(items); k++) {
        for (size_t i = 0; i < count; i++) {
            FLO_CLEANUP(flo_buf_deinit) struct flo_buf cell = {0};
            bool is_text = flo_cell_raw(flo_items_at(items, k), &columns[i], &cell);
            flo_buf_text(out, i > 0 ? "," : "");
            sheet_cell(spec, cell.data != NULL ? cell.data : "", is_text, out);
        }
        flo_buf_text(out, "\n");
    }
}

/* ---- JSON, YAML ---- */

/* Escapes terminal control characters in the strings of JSON and YAML, by \u
 * escapes: DEL, C1 controls, and marks that change the writing direction. */
static void add_escaped(const struct flo_buf *text, struct flo_buf *out)
{
    const unsigned char *at = (const unsigned char *)text->data;

    for (size_t i = 0, took = 1; i < text->bytes; i += took) {
        size_t left = text->bytes - i;
        unsigned code = 0;
        took = 1;
        if (at[i] == 0x7f) {
            code = 0x7f;
        } else if (left >= 2 && at[i] == 0xc2 && at[i + 1] < 0xa0) {
            code = at[i + 1];
            took = 2;
        } else if (left >= 3 && at[i] == 0xe2 && (at[i + 1] & 0xfe) == 0x80) {
            unsigned mark = 0x2000u + (at[i + 1] & 0x3fu) * 64 + (at[i + 2] & 0x3fu);
            bool is_turn = mark == 0x200e || mark == 0x200f || (mark >= 0x202a && mark <= 0x202e) ||
                           (mark >= 0x2066 && mark <= 0x2069);
            code = is_turn ? mark : 0;
            took = is_turn ? 3 : 1;
        }
        if (code > 0) {
            flo_buf_printf(out, "\\u%04x", code);
        } else {
            flo_buf_add(out, at + i, 1);
        }
    }
}

static void add_json(const json_t *json, struct flo_buf *out)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};

    flo_json_dump(json, &text);
    add_escaped(&text, out);
    out->failed = out->failed || text.failed;
    flo_buf_text(out, "\n");
}

static void add_yaml(const json_t *json, struct flo_buf *out)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};

    flo_yaml_dump(json, &text);
    add_escaped(&text, out);
    out->failed = out->failed || text.failed;
    if (text.bytes > 0 && ((const char *)text.data)[text.bytes - 1] != '\n') {
        flo_buf_text(out, "\n");
    }
}

/* Returns the items with only the keys of the chosen columns: a new
 * reference. */
static json_t *reduced(const json_t *items, const struct flo_column *chosen, size_t count)
{
    if (!json_is_array(items)) {
        return flo_choose_keys(items, chosen, count);
    }
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(items); i++) {
        json_array_append_new(out, flo_choose_keys(json_array_get(items, i), chosen, count));
    }
    return out;
}

/* ---- names ---- */

/* Appends one word per item, as input for another command: its name, or its id
 * if the table begins with the id. */
static void add_names(const struct flo_out_spec *spec, const json_t *items,
                      const struct flo_column *columns, size_t count, struct flo_buf *out)
{
    static const struct flo_column name = {"NAME", "name", CELL_TEXT, false};
    bool has_id = count > 0 && strcmp(columns[0].path, "id") == 0;
    char cell[FLO_CELL_BYTES];

    for (size_t k = 0; k < flo_items_count(items); k++) {
        const json_t *item = flo_items_at(items, k);
        const struct flo_column *column =
            (has_id || spec->fields != NULL || flo_out_text(item, "name", NULL) == NULL) &&
                    count > 0
                ? &columns[0]
                : &name;
        flo_cell_show(item, column, spec->now_ms, cell);
        flo_buf_printf(out, "%s\n", cell);
    }
}

int flo_out_render(const struct flo_out_spec *spec, const json_t *json,
                   const struct flo_column *columns, size_t count, struct flo_buf *out,
                   struct flo_err *err)
{
    struct flo_column chosen[FLO_COLUMNS_MAX];
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *some = NULL;
    size_t shown = 0;

    FLO_TRY(flo_choose_items(spec, json, columns, count, &items, err));
    FLO_TRY(flo_choose_columns(spec, items, columns, count, chosen, &shown, err));
    some = spec->fields != NULL ? reduced(items, chosen, shown) : json_incref(items);
    switch (spec->form) {
    case FLO_OUT_JSON:
        add_json(some, out);
        break;
    case FLO_OUT_JSONL:
        for (size_t i = 0; i < flo_items_count(some); i++) {
            add_json(flo_items_at(some, i), out);
        }
        break;
    case FLO_OUT_YAML:
        add_yaml(some, out);
        break;
    case FLO_OUT_CSV:
        sheet(spec, items, chosen, shown, out);
        break;
    case FLO_OUT_NAME:
        add_names(spec, items, chosen, shown, out);
        break;
    default:
        flo_out_rows(spec, items, chosen, shown, out);
    }
    return out->failed ? flo_fail(err, FLO_E_MEMORY, "the answer") : 0;
}
