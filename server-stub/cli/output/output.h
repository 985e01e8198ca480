/* Output: prints every command's result in any form, by one description of
 * columns per object.
 *
 * columns.def has the objects.  A list or an object of the API becomes an
 * aligned table, JSON, JSON lines, YAML, CSV or names; --fields and --sort work
 * for each form.  Rendering has no side effects: it writes text into a buffer,
 * and the caller gives width and colour. */
#ifndef FLOTILLA_CLI_OUTPUT_H
#define FLOTILLA_CLI_OUTPUT_H

#include <flotilla/base.h>

#include "base/args/args.h"
#include "base/host/json.h"

struct flo_cli;

/* ---- columns ---- */

enum flo_cell {
    CELL_TEXT,
    CELL_BYTES,
    CELL_MS,
    CELL_AGO,
    CELL_IN,   /* duration until a moment in the future */
    CELL_TIME, /* moment in ms since 1970, shown to the minute */
    CELL_RELEASE,
    CELL_ERROR, /* "id: what" */
    CELL_BRIEF, /* text of which only the beginning is shown */
    CELL_STATE, /* state word, which has a colour on a terminal (tones.def) */
};

/* A column, with its header and the path of its cells ("serving.version"). */
struct flo_column {
    const char *head;
    const char *path;
    enum flo_cell form;
    bool is_wide; /* the column is shown only with -o wide and in CSV */
};

/* Arguments of flo_out_table() for an object of columns.def: its columns, and
 * their number. */
#define FLO_COLUMNS(object) flo_columns_##object, flo_columns_##object##_count
#define FLO_OBJECT(name)                                                                           \
    extern const struct flo_column flo_columns_##name[];                                           \
    extern const size_t flo_columns_##name##_count;
#define FLO_COLUMN(head, path, form)
#define FLO_COLUMN_WIDE(head, path, form)
#define FLO_OBJECT_END
#include "server-stub/cli/output/columns.def"
#undef FLO_OBJECT
#undef FLO_COLUMN
#undef FLO_COLUMN_WIDE
#undef FLO_OBJECT_END

/* ---- rendering: pure ---- */

enum flo_out_form {
    FLO_OUT_TABLE,
    FLO_OUT_WIDE,
    FLO_OUT_JSON,
    FLO_OUT_JSONL,
    FLO_OUT_YAML,
    FLO_OUT_CSV,
    FLO_OUT_NAME,
    FLO_OUT_FORMS,
};

/* Output options. */
struct flo_out_spec {
    enum flo_out_form form;
    const char *fields; /* "name,serving.version"; NULL: all */
    const char *sort;   /* "state,-last_seen_at_ms"; NULL: unsorted */
    size_t width;       /* width of the terminal in characters; 0: unlimited */
    bool has_heads;
    bool has_colour;
    bool is_tty; /* the output is a terminal, so that CSV has no control sequences */
    uint64_t now_ms;
};

/* Renders a list, or one object, with these columns.  FLO_E_USAGE: --fields or
 * --sort name unknown fields, and nothing is appended. */
FLO_MUST_USE int flo_out_render(const struct flo_out_spec *spec, const json_t *json,
                                const struct flo_column *columns, size_t count, struct flo_buf *out,
                                struct flo_err *err);
FLO_MUST_USE int flo_out_form_parse(const char *word, enum flo_out_form *out);

/* Parts of rendering.  Private to this folder. */
#define FLO_CELL_BYTES 1024
#define FLO_COLUMNS_MAX 48
/* Returns the number of items in a list; flo_items_at() returns an item.  A
 * single object counts as a list of one. */
size_t flo_items_count(const json_t *items);
const json_t *flo_items_at(const json_t *items, size_t i);
void flo_cell_show(const json_t *item, const struct flo_column *column, uint64_t now_ms,
                   char out[FLO_CELL_BYTES]);
/* Appends the cell in the form for machines: bytes, milliseconds, RFC 3339.
 * Returns true for a text, false for a number. */
bool flo_cell_raw(const json_t *item, const struct flo_column *column, struct flo_buf *out);
/* Chooses the columns that --fields names, or the table's own.  *shown becomes
 * their number, at most FLO_COLUMNS_MAX. */
FLO_MUST_USE int flo_choose_columns(const struct flo_out_spec *spec, const json_t *items,
                                    const struct flo_column *columns, size_t count,
                                    struct flo_column *chosen, size_t *shown, struct flo_err *err);
/* Returns the items with only the keys that --fields names, in that order, in
 * *out: a new reference. */
FLO_MUST_USE int flo_choose_items(const struct flo_out_spec *spec, const json_t *items,
                                  const struct flo_column *columns, size_t count, json_t **out,
                                  struct flo_err *err);
json_t *flo_choose_keys(const json_t *item, const struct flo_column *chosen, size_t count);
void flo_out_rows(const struct flo_out_spec *spec, const json_t *items,
                  const struct flo_column *columns, size_t count, struct flo_buf *out);

/* ---- what commands call ---- */

/* Tells whether the output is for a program: JSON, JSON lines, YAML, CSV,
 * names, or --fields.  A command then prints nothing else on stdout. */
bool flo_out_is_data(const struct flo_cli *cli);
enum flo_out_form flo_out_form(const struct flo_cli *cli);
/* Prints a table.  The columns are those of FLO_COLUMNS().  A wrong --fields is
 * reported by flo_out_end(). */
void flo_out_table(const struct flo_cli *cli, const json_t *items, const struct flo_column *columns,
                   size_t count);
/* Prints an object for a program, as JSON, or as YAML, CSV or a name if
 * requested. */
void flo_out_object(const struct flo_cli *cli, const json_t *object,
                    const struct flo_column *columns, size_t count);
/* Prints an object whose columns are its own keys. */
void flo_out_json(const struct flo_cli *cli, const json_t *json);
/* Prints the result of a command: `object` for a program, and the line for a
 * person.  Takes ownership of `object`. */
void flo_out_done(const struct flo_cli *cli, json_t *object, const char *format, ...)
    FLO_PRINTF(3, 4);
/* Prints a text that is no object.  A program gets it as member `name` of an
 * object. */
void flo_out_whole(const struct flo_cli *cli, const char *name, const char *text);
/* Tells whether the command printed an answer on stdout. */
bool flo_out_is_told(void);
/* Returns the error of the first wrong --fields or --sort.  Called at the end
 * of a command. */
FLO_MUST_USE int flo_out_end(struct flo_err *err);

/* Sorts items by "name" in natural order: gw-2 before gw-10.  *items becomes a
 * new array. */
void flo_out_sort(json_t **items);
/* Returns the value at a path with dots, such as "serving.version"; NULL: there
 * is none. */
const json_t *flo_out_at(const json_t *json, const char *path);
const char *flo_out_text(const json_t *json, const char *path, const char *standard);
/* Copies a text for a terminal, without control sequences, and returns `out`,
 * which holds FLO_OUT_PLAIN bytes. */
#define FLO_OUT_PLAIN 320
const char *flo_out_plain(const json_t *json, const char *path, const char *standard, char *out);
uint64_t flo_out_u64(const json_t *json, const char *path);
/* Formats bytes as "304 KiB" or "1.7 MiB"; flo_out_ms() formats a duration as
 * "850 ms", "2.1 s" or "4 m 02 s".  `out` holds 32 bytes. */
void flo_out_bytes(uint64_t bytes, char *out);
void flo_out_ms(uint64_t ms, char *out);
/* Prints a line of progress on stderr; nothing with -q. */
void flo_out_say(const struct flo_cli *cli, const char *format, ...) FLO_PRINTF(2, 3);
/* Asks the person to type a word, unless --confirm gives it.  FLO_E_USAGE: the
 * word is another, or there is no terminal. */
FLO_MUST_USE int flo_out_confirm(const struct flo_cli *cli, const char *what, const char *word,
                                 struct flo_err *err);

/* ---- --ascii: ascii.c ---- */

/* Appends the text, with an ASCII character in place of each symbol of the
 * command's own texts. */
void flo_ascii(const char *text, size_t bytes, struct flo_buf *out);
/* Makes the output on stdout and stderr ASCII from now on. */
void flo_ascii_open(void);

/* ---- the terminal: terminal.c ---- */

/* Returns the width of the terminal at `fd` in characters; 0: `fd` is no
 * terminal. */
size_t flo_terminal_width(int fd);
size_t flo_terminal_height(int fd);
/* Tells whether the output has colours.  This depends on --color, NO_COLOR,
 * CLICOLOR_FORCE, TERM=dumb, and whether `fd` is a terminal. */
bool flo_terminal_has_colour(const struct flo_args *args, int fd);
/* Returns the width of a text on the screen, where wide characters count
 * twice. */
size_t flo_text_width(const char *text);
/* Cuts the text to the width.  If something is missing, "…" is at the end. */
void flo_text_cut(const char *text, size_t width, char out[FLO_CELL_BYTES]);
/* Returns the control sequence of a state word's colour; "" if the word has
 * none. */
const char *flo_tone_of(const char *word);
#define FLO_TONE_HEAD "\033[1m"
#define FLO_TONE_END "\033[0m"

#endif
