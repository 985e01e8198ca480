#include "engine/publish/import/reading.h"

#include <stdlib.h>
#include <string.h>

#include "engine/publish/import/config.h"

#define PATH_BYTES 256
#define SHOWN_BYTES 64
#define REPORT_BYTES_MAX (4u << 20)

/* One file that is read. */
struct reader {
    struct flo_reading *reading;
    const char *file;
    char path[PATH_BYTES];
    char refused[PATH_BYTES], value[SHOWN_BYTES]; /* the first one; "": none */
    const char *why;                              /* NULL: it's in no row */
};

/* ---- rows ---- */

/* Tells whether a path fits.  *is_whole: so does all that is below. */
static bool fits(const char *pattern, const char *path, bool *is_whole)
{
    for (;;) {
        size_t wanted = strcspn(pattern, "."), bytes = strcspn(path, ".");
        *is_whole = strcmp(pattern, "**") == 0;
        if (*is_whole) {
            return true;
        }
        if (!(wanted == 1 && pattern[0] == '*') &&
            (wanted != bytes || memcmp(pattern, path, bytes) != 0)) {
            return false;
        }
        pattern += wanted;
        path += bytes;
        if (path[0] == '\0') { /* NAME.** takes NAME itself, too */
            *is_whole = strcmp(pattern, ".**") == 0;
            return *is_whole || pattern[0] == '\0';
        }
        if (pattern[0] == '\0') {
            return false;
        }
        pattern++;
        path++;
    }
}

/* Tells whether `word` is one of the words in a list. */
static bool has_word(const char *list, char separator, const char *word, size_t bytes)
{
    const char both[] = {separator, '\0'};
    while (*list != '\0') {
        size_t length = strcspn(list, both);
        if (length == bytes && memcmp(list, word, bytes) == 0) {
            return true;
        }
        list += length + (list[length] != '\0' ? 1 : 0);
    }
    return false;
}

static bool has_number(const char *list, double number)
{
    while (*list != '\0') {
        char *end;
        double one = strtod(list, &end);
        if (end != list && (*end == '|' || *end == '\0') && one == number) {
            return true;
        }
        list += strcspn(list, "|");
        list += *list != '\0' ? 1 : 0;
    }
    return false;
}

static bool has_value(const char *values, const struct flo_tree_node *node)
{
    double number;
    if (values[0] == '\0') {
        return true;
    }
    switch (node->kind) {
    case FLO_TREE_NULL:
        return has_word(values, '|', "null", 4);
    case FLO_TREE_NUMBER:
        return flo_tree_number(node, &number) && has_number(values, number);
    case FLO_TREE_ARRAY:
        return node->first == NULL && has_word(values, '|', "[]", 2);
    case FLO_TREE_OBJECT:
        return node->first == NULL && has_word(values, '|', "{}", 2);
    default:
        return node->kind != FLO_TREE_ODD && has_word(values, '|', node->text, node->bytes);
    }
}

/* Finds the row that decides.  *is_known: some row has the path. */
static const struct flo_reading_row *row_of(const struct reader *r,
                                            const struct flo_tree_node *object,
                                            const struct flo_tree_node *node, bool *is_whole,
                                            bool *is_known)
{
    const char *arch = r->reading->arch;
    *is_known = false;
    for (size_t i = 0; i < flo_reading_row_count; i++) {
        const struct flo_reading_row *row = &flo_reading_rows[i];
        if (strcmp(row->file, r->file) != 0 || !fits(row->path, r->path, is_whole)) {
            continue;
        }
        *is_known = true;
        if ((row->families[0] == '\0' || has_word(row->families, ' ', arch, strlen(arch))) &&
            has_value(row->values, node) && (row->when == NULL || row->when(object, node))) {
            return row;
        }
    }
    return NULL;
}

/* ---- the report ---- */

static void show(const struct flo_tree_node *node, char *out)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {.bytes_max = REPORT_BYTES_MAX};
    if (node->kind == FLO_TREE_ARRAY || node->kind == FLO_TREE_OBJECT) {
        snprintf(out, SHOWN_BYTES, "%s of %zu", node->kind == FLO_TREE_ARRAY ? "list" : "object",
                 flo_tree_count(node));
        return;
    }
    flo_tree_print(node, &text);
    flo_text_clean(text.bytes > 0 ? text.data : "", text.bytes, out, SHOWN_BYTES);
}

static bool is_accepted(const struct reader *r, const char *name)
{
    const struct flo_reading *reading = r->reading;
    for (size_t i = 0; i < reading->accepted_count; i++) {
        if (strcmp(reading->accepted[i], r->path) == 0 || strcmp(reading->accepted[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void tell(struct reader *r, const struct flo_tree_node *node,
                 const struct flo_reading_row *row, bool is_known)
{
    static const char *const fates[] = {"applied", "harmless", "refused"};
    char value[SHOWN_BYTES], path[PATH_BYTES];
    enum flo_fate fate = row != NULL ? row->fate : FLO_REFUSED;
    bool is_taken = fate == FLO_REFUSED && is_accepted(r, node->key != NULL ? node->key : "");
    const char *why = row != NULL ? row->why : is_known ? "this value is not built" : "in no row";
    show(node, value);
    flo_text_clean(r->path, strlen(r->path), path, sizeof(path));
    flo_buf_printf(&r->reading->report, "%s\t%s\t%s\t%s\t%s\n", is_taken ? "accepted" : fates[fate],
                   r->file, path, value, why);
    if (fate == FLO_REFUSED && !is_taken && r->refused[0] == '\0') {
        snprintf(r->refused, sizeof(r->refused), "%s", path);
        snprintf(r->value, sizeof(r->value), "%s", value);
        r->why = row != NULL || is_known ? why : NULL;
    }
}

/* ---- the walk ---- */

/* Appends a name.  A dot or a slash of a file's own key fits no row. */
static size_t add_name(struct reader *r, size_t bytes, const char *before, const char *name)
{
    size_t room = sizeof(r->path) - 1;
    for (; *before != '\0' && bytes < room; before++) {
        r->path[bytes++] = *before;
    }
    for (; *name != '\0' && bytes < room; name++) {
        r->path[bytes++] = (char)(*name == '.' || *name == '/' ? ':' : *name);
    }
    r->path[bytes] = '\0';
    return bytes;
}

/* Returns the type of an object of tokenizer.json, or NULL. */
static const char *type_of(const struct reader *r, const struct flo_tree_node *node)
{
    const struct flo_tree_node *type = flo_tree_member(node, "type");
    bool is_kind = strcmp(r->file, "tokenizer.json") == 0 && node->kind == FLO_TREE_OBJECT;
    return is_kind && type != NULL && type->kind == FLO_TREE_STRING ? type->text : NULL;
}

/* Sets the path of a child behind the first `bytes` of its parent's.  A part of
 * a sequence has the path of its section. */
static size_t set_path(struct reader *r, size_t bytes, const struct flo_tree_node *node,
                       const char *type)
{
    const char *slash = type != NULL ? memchr(r->path, '/', bytes) : NULL;
    bool is_item = node->key == NULL || node->key[0] == '\0';
    if (slash == NULL) {
        bytes = add_name(r, bytes, bytes > 0 ? "." : "", is_item ? "*" : node->key);
    } else {
        bytes = (size_t)(slash - r->path);
    }
    return type != NULL ? add_name(r, bytes, "/", type) : bytes;
}

static void read_all(struct reader *r, const struct flo_tree_node *object, size_t bytes);

static void read_one(struct reader *r, const struct flo_tree_node *object,
                     const struct flo_tree_node *node, size_t before)
{
    const char *type = type_of(r, node);
    char outer[PATH_BYTES];
    bool is_whole, is_known;
    memcpy(outer, r->path, sizeof(outer));
    size_t bytes = set_path(r, before, node, type);
    const struct flo_reading_row *row = row_of(r, object, node, &is_whole, &is_known);
    bool is_below = node->first != NULL && (row != NULL ? row->fate != FLO_REFUSED && !is_whole
                                                        : type == NULL && !is_known);
    if (row != NULL || !is_below) {
        tell(r, node, row, is_known);
    }
    if (is_below) {
        read_all(r, node, bytes);
    }
    memcpy(r->path, outer, sizeof(outer));
}

static void read_all(struct reader *r, const struct flo_tree_node *object, size_t bytes)
{
    for (const struct flo_tree_node *node = object->first; node != NULL; node = node->next) {
        if (type_of(r, object) == NULL || strcmp(node->key, "type") != 0) {
            read_one(r, object, node, bytes);
        }
    }
}

static int refuse(const struct reader *r, struct flo_err *err)
{
    if (r->why == NULL) {
        flo_folder_fail(err, "%s: \"%s\" is not known, and may change answers", r->file,
                        r->refused);
    } else {
        flo_folder_fail(err, "%s: \"%s\" is %s: %s", r->file, r->refused, r->value, r->why);
    }
    return flo_err_fix(err, "--accept-unknown %s passes it over, and the file says so", r->refused);
}

int flo_reading_file(struct flo_reading *reading, const char *file,
                     const struct flo_tree_node *object, struct flo_err *err)
{
    struct reader r = {.reading = reading, .file = file};
    reading->report.bytes_max = REPORT_BYTES_MAX;
    read_all(&r, object, 0);
    if (reading->report.failed) {
        return flo_fail(err, FLO_E_MEMORY, "what is read of %s", file);
    }
    return r.refused[0] != '\0' ? refuse(&r, err) : 0;
}

void flo_reading_deinit(struct flo_reading *reading)
{
    flo_buf_deinit(&reading->report);
}

#define READING(file, path, families, fate, values, when, why)                                     \
    {file, path, families, FLO_##fate, values, when, why},
const struct flo_reading_row flo_reading_rows[] = {
#include "engine/publish/import/reading.def"
};
const size_t flo_reading_row_count = FLO_COUNT(flo_reading_rows);
