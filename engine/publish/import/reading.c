#include "engine/publish/import/reading.h"

#include <stdlib.h>
#include <string.h>

#include "engine/publish/import/config.h"

#define PATH_BYTES 256
#define SHOWN_BYTES 64
#define REPORT_BYTES_MAX (4u << 20)

/* ---- conditions ---- */

/* Mistral's class has windows, Llama's has none. */
static bool when_mistral(const struct flo_tree_node *object, const struct flo_tree_node *value)
{
    (void)value;
    return flo_tree_is(flo_tree_first(flo_tree_member(object, "architectures")),
                       "MistralForCausalLM");
}

static bool when_plain_state(const struct flo_tree_node *object, const struct flo_tree_node *value)
{
    (void)value;
    return !flo_tree_says(flo_tree_member(object, "mamba_rms_norm"), true);
}

static bool when_no_types(const struct flo_tree_node *object, const struct flo_tree_node *value)
{
    return value->kind != FLO_TREE_NULL &&
           flo_tree_first(flo_tree_member(object, "layer_types")) == NULL;
}

static bool when_dynamic(const struct flo_tree_node *object, const struct flo_tree_node *value)
{
    (void)value;
    return flo_tree_is(flo_tree_member(object, "type"), "dynamic") ||
           flo_tree_is(flo_tree_member(object, "rope_type"), "dynamic");
}

/* From 0 to infinity, which config.c reads as null. */
static bool when_unlimited(const struct flo_tree_node *object, const struct flo_tree_node *value)
{
    const struct flo_tree_node *least = flo_tree_first(value);
    double number;
    (void)object;
    return least != NULL && flo_tree_number(least, &number) && number == 0 && least->next != NULL &&
           least->next->kind == FLO_TREE_NULL && least->next->next == NULL;
}

static bool has_end(const struct flo_tree_node *value, const char *end)
{
    size_t bytes = strlen(end);
    return value->kind == FLO_TREE_STRING && value->bytes >= bytes &&
           strcmp(value->text + value->bytes - bytes, end) == 0;
}

static bool when_module(const struct flo_tree_node *object, const struct flo_tree_node *value)
{
    (void)object;
    return has_end(value, ".Transformer") || has_end(value, ".Pooling") ||
           has_end(value, ".Normalize");
}

static bool when_dense(const struct flo_tree_node *object, const struct flo_tree_node *value)
{
    (void)object;
    return has_end(value, ".Dense");
}

static bool when_one_pooling(const struct flo_tree_node *object, const struct flo_tree_node *value)
{
    size_t count = 0;
    (void)value;
    for (const struct flo_tree_node *node = object->first; node != NULL; node = node->next) {
        count += strncmp(node->key, "pooling_mode_", 13) == 0 && flo_tree_says(node, true) ? 1 : 0;
    }
    return count == 1;
}

static bool when_text(const struct flo_tree_node *object, const struct flo_tree_node *value)
{
    (void)object;
    return value->kind == FLO_TREE_STRING;
}

static bool when_empty(const struct flo_tree_node *object, const struct flo_tree_node *value)
{
    (void)object;
    return value->kind == FLO_TREE_STRING && value->bytes == 0;
}

#define READING(file, path, families, fate, values, when, why)                                     \
    {file, path, families, FLO_##fate, values, when, why},
static const struct flo_reading_row rows[] = {
#include "engine/publish/import/reading.def"
};

/* ---- a file ---- */

/* One file that is read. */
struct reader {
    struct flo_folder_reading *reading;
    const char *of, *file; /* names of the file: in the rows, and in the folder */
    const char *within;    /* the object whose keys count as the file's own; "": none */
    char path[PATH_BYTES];
    char refused[PATH_BYTES], value[SHOWN_BYTES]; /* the first one; "": none */
    const char *why;                              /* NULL: it's in no row */
};

/* ---- which row ---- */

/* Tells whether a path fits a pattern, which ends at a blank.  *is_whole: so
 * does all that is below. */
static bool fits_one(const char *pattern, const char *path, bool *is_whole)
{
    for (;;) {
        size_t wanted = strcspn(pattern, ". "), bytes = strcspn(path, ".");
        *is_whole = wanted == 2 && strncmp(pattern, "**", 2) == 0;
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
            *is_whole = strncmp(pattern, ".**", 3) == 0;
            return *is_whole || *pattern == '\0' || *pattern == ' ';
        }
        if (*pattern == '\0' || *pattern == ' ') {
            return false;
        }
        pattern++;
        path++;
    }
}

static bool fits(const char *patterns, const char *path, bool *is_whole)
{
    bool fits = fits_one(patterns, path, is_whole);
    while (!fits && (patterns = strchr(patterns, ' ')) != NULL) {
        fits = fits_one(++patterns, path, is_whole);
    }
    return fits;
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

/* A known key that is null counts as absent. */
static const struct flo_reading_row absent = {.fate = FLO_HARMLESS, .why = "as if absent"};

/* Finds the row that decides.  *is_known: some row has the path. */
static const struct flo_reading_row *row_of(const struct reader *r,
                                            const struct flo_tree_node *object,
                                            const struct flo_tree_node *node, bool *is_whole,
                                            bool *is_known)
{
    const char *arch = r->reading->arch;
    *is_known = false;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        const struct flo_reading_row *row = &rows[i];
        if (strcmp(row->file, r->of) != 0 || !fits(row->path, r->path, is_whole)) {
            continue;
        }
        *is_known = true;
        if ((row->families[0] == '\0' || has_word(row->families, ' ', arch, strlen(arch))) &&
            has_value(row->values, node) && (row->when == NULL || row->when(object, node))) {
            return row;
        }
    }
    return *is_known && node->kind == FLO_TREE_NULL ? &absent : NULL;
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

static bool is_accepted(const struct reader *r, const char *path, const char *name)
{
    const char *accepted = r->reading->accepted;
    return has_word(accepted, ',', path, strlen(path)) ||
           has_word(accepted, ',', r->path, strlen(r->path)) ||
           (name[0] != '\0' && has_word(accepted, ',', name, strlen(name)));
}

/* Appends a line, and notes the first refusal. */
static void add_line(struct reader *r, enum flo_fate fate, const char *name, const char *value,
                     const char *why)
{
    static const char *const fates[] = {"applied", "harmless", "left", "refused"};
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s%s", r->within, r->within[0] != '\0' ? "." : "");
    size_t bytes = strlen(path);
    flo_text_clean(r->path, strlen(r->path), path + bytes, sizeof(path) - bytes);
    bool is_taken = fate == FLO_REFUSED && is_accepted(r, path, name);
    flo_buf_printf(&r->reading->report, "%s\t%s\t%s\t%s\t%s\n", is_taken ? "accepted" : fates[fate],
                   r->file, path, value, why != NULL ? why : "in no row");
    if (is_taken) {
        flo_buf_add(&r->reading->taken, path, strlen(path) + 1);
    } else if (fate == FLO_REFUSED && r->refused[0] == '\0') {
        snprintf(r->refused, sizeof(r->refused), "%s", path);
        snprintf(r->value, sizeof(r->value), "%s", value);
        r->why = why;
    }
}

static void tell(struct reader *r, const struct flo_tree_node *node,
                 const struct flo_reading_row *row, bool is_known)
{
    char value[SHOWN_BYTES];
    bool is_item = node->key == NULL || node->key[0] == '\0';
    if (is_item && row != NULL && row->fate != FLO_REFUSED) {
        return; /* the line of its list tells it */
    }
    show(node, value);
    add_line(r, row != NULL ? row->fate : FLO_REFUSED, is_item ? "" : node->key, value,
             row != NULL ? row->why
             : is_known  ? "this value is not built"
                         : NULL);
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
    bool is_kind = strcmp(r->of, "tokenizer.json") == 0 && node->kind == FLO_TREE_OBJECT;
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
    if (node == r->reading->inner) {
        r->within = node->key;
        read_all(r, node, 0);
        r->within = "";
        return;
    }
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
    const char *name = r->refused;
    if (r->reading->report.failed || r->reading->taken.failed) {
        return flo_fail(err, FLO_E_MEMORY, "what is read of %s", r->file);
    }
    if (name[0] == '\0') {
        return 0;
    }
    if (r->why == NULL) {
        flo_folder_fail(err, "%s: \"%s\" is not known, and may change answers", r->file, name);
    } else {
        flo_folder_fail(err, "%s: \"%s\" is %s: %s", r->file, name, r->value, r->why);
    }
    return flo_err_fix(err, "--accept-unknown %s passes it over, and the new file says so", name);
}

int flo_reading_accept(struct flo_folder_reading *reading, const char *keys, struct flo_err *err)
{
    size_t bytes = strlen(reading->accepted), room = sizeof(reading->accepted) - bytes;
    int more = snprintf(reading->accepted + bytes, room, "%s,", keys);
    return more >= 0 && (size_t)more < room
               ? 0
               : flo_fail(err, FLO_E_USAGE, "the accepted keys have more than %zu bytes",
                          sizeof(reading->accepted) - 1);
}

int flo_reading_file(struct flo_folder_reading *reading, const char *of, const char *file,
                     const struct flo_tree_node *object, struct flo_err *err)
{
    struct reader r = {.reading = reading, .of = of, .file = file, .within = ""};
    reading->report.bytes_max = reading->taken.bytes_max = REPORT_BYTES_MAX;
    read_all(&r, object, 0);
    return refuse(&r, err);
}

void flo_reading_deinit(struct flo_folder_reading *reading)
{
    flo_buf_deinit(&reading->report);
    flo_buf_deinit(&reading->taken);
}
