/* Output of every command: one description of columns per object, any form.
 *
 * columns.def has the objects.  A list or an object of the API becomes an
 * aligned table, JSON, JSON lines, YAML, CSV or names; --fields and --sort work
 * for each form.  Rendering is pure: text into a buffer, width and colour
 * given. */
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
    CELL_IN,   /* a time to come */
    CELL_TIME, /* ms since 1970, shown to the minute */
    CELL_RELEASE,
    CELL_ERROR, /* "id: what" */
    CELL_BRIEF, /* a text's begin */
    CELL_STATE, /* a word of tones.def: coloured on a terminal */
};

/* One column: head and the path of the cell ("serving.version"). */
struct flo_column {
    const char *head;
    const char *path;
    enum flo_cell form;
    bool is_wide; /* shown by -o wide and csv alone */
};

/* Columns of an object of columns.def, and their count, as two arguments. */
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

/* How an answer is wanted. */
struct flo_out_wish {
    enum flo_out_form form;
    const char *fields; /* "name,serving.version"; NULL: all */
    const char *sort;   /* "state,-last_seen_at_ms"; NULL: as it came */
    size_t width;       /* width of the terminal, in characters; 0: any */
    bool has_heads;
    bool has_colour;
    bool is_tty; /* what a terminal obeys is taken out of CSV */
    uint64_t now_ms;
};

/* A list, or one object, of these columns.  FLO_E_USAGE: --fields or --sort
 * name what is not there; nothing is appended then. */
FLO_MUST_USE int flo_out_render(const struct flo_out_wish *wish, const json_t *json,
                                const struct flo_column *columns, size_t count, struct flo_buf *out,
                                struct flo_err *err);
FLO_MUST_USE int flo_out_form_parse(const char *word, enum flo_out_form *out);

/* Parts of it, for the files of this room. */
#define FLO_CELL_BYTES 1024
#define FLO_COLUMNS_MAX 48
/* A list, or one object as a list of one. */
size_t flo_items_count(const json_t *items);
const json_t *flo_items_at(const json_t *items, size_t i);
void flo_cell_show(const json_t *item, const struct flo_column *column, uint64_t now_ms,
                   char out[FLO_CELL_BYTES]);
/* The same as a machine reads it: bytes, milliseconds, RFC 3339.  True for a
 * text, false for a number. */
bool flo_cell_raw(const json_t *item, const struct flo_column *column, struct flo_buf *out);
/* The columns that are wanted, at most FLO_COLUMNS_MAX, the number in *shown.
 */
FLO_MUST_USE int flo_choose_columns(const struct flo_out_wish *wish, const json_t *items,
                                    const struct flo_column *columns, size_t count,
                                    struct flo_column *chosen, size_t *shown, struct flo_err *err);
/* The items with the wanted keys alone, in the wanted order: new reference. */
FLO_MUST_USE int flo_choose_items(const struct flo_out_wish *wish, const json_t *items,
                                  const struct flo_column *columns, size_t count, json_t **out,
                                  struct flo_err *err);
json_t *flo_choose_keys(const json_t *item, const struct flo_column *chosen, size_t count);
void flo_out_rows(const struct flo_out_wish *wish, const json_t *items,
                  const struct flo_column *columns, size_t count, struct flo_buf *out);

/* ---- what commands call ---- */

/* Is the answer for a program: JSON, lines of it, YAML, CSV, names, or chosen
 * --fields?  A command then says nothing else on stdout. */
bool flo_out_is_data(const struct flo_cli *cli);
enum flo_out_form flo_out_form(const struct flo_cli *cli);
/* As FLO_COLUMNS() gives them.  A wrong --fields is told by flo_out_end(). */
void flo_out_table(const struct flo_cli *cli, const json_t *items, const struct flo_column *columns,
                   size_t count);
/* An object for a program: JSON unless YAML, CSV or a name is asked for. */
void flo_out_object(const struct flo_cli *cli, const json_t *object,
                    const struct flo_column *columns, size_t count);
/* The same of an object whose columns are its own keys. */
void flo_out_json(const struct flo_cli *cli, const json_t *json);
/* The result of a command: for a program the object, else the line.  Takes the
 * object. */
void flo_out_done(const struct flo_cli *cli, json_t *object, const char *format, ...)
    FLO_PRINTF(3, 4);
/* A text that is no object: as it is, or for a program as the one member `name`
 * of an object. */
void flo_out_whole(const struct flo_cli *cli, const char *name, const char *text);
/* Is an answer on stdout? */
bool flo_out_is_told(void);
/* After the command: the first --fields or --sort that was wrong. */
FLO_MUST_USE int flo_out_end(struct flo_err *err);

/* By "name", as people count: gw-2 before gw-10.  New array in *items. */
void flo_out_sort(json_t **items);
/* Value at a dotted path; NULL when absent. */
const json_t *flo_out_at(const json_t *json, const char *path);
const char *flo_out_text(const json_t *json, const char *path, const char *standard);
/* The same for a terminal: nothing in it moves the cursor.  `out` holds
 * FLO_OUT_PLAIN and is returned. */
#define FLO_OUT_PLAIN 320
const char *flo_out_plain(const json_t *json, const char *path, const char *standard, char *out);
uint64_t flo_out_u64(const json_t *json, const char *path);
/* "304 KiB", "1.7 MiB"; "850 ms", "2.1 s", "4 m 02 s"; `out` holds 32. */
void flo_out_bytes(uint64_t bytes, char *out);
void flo_out_ms(uint64_t ms, char *out);
/* A line of progress on stderr, unless -q. */
void flo_out_say(const struct flo_cli *cli, const char *format, ...) FLO_PRINTF(2, 3);
/* Ask for a typed word unless --confirm gives it; FLO_E_USAGE otherwise. */
FLO_MUST_USE int flo_out_confirm(const struct flo_cli *cli, const char *what, const char *word,
                                 struct flo_err *err);

/* ---- --ascii: ascii.c ---- */

/* Append the text with a character of ASCII for each symbol of ours. */
void flo_ascii(const char *text, size_t bytes, struct flo_buf *out);
/* stdout and stderr write so from now on. */
void flo_ascii_open(void);

/* ---- the terminal: terminal.c ---- */

/* Characters of a line of the terminal at `fd`; 0: not a terminal. */
size_t flo_terminal_width(int fd);
size_t flo_terminal_height(int fd);
/* --color, NO_COLOR, CLICOLOR_FORCE, TERM=dumb, and whether it is one. */
bool flo_terminal_has_colour(const struct flo_args *args, int fd);
/* Width on the screen: characters, wide ones twice. */
size_t flo_text_width(const char *text);
/* The begin that fits, "…" at its end when something is left out. */
void flo_text_cut(const char *text, size_t width, char out[FLO_CELL_BYTES]);
/* Begin of the colour of a state's word; "" for a word that has none. */
const char *flo_tone_of(const char *word);
#define FLO_TONE_HEAD "\033[1m"
#define FLO_TONE_END "\033[0m"

#endif
