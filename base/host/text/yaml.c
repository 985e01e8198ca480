/* YAML: converts libyaml's events to a JSON tree and keeps each node's line.
 *
 * Lines are stored in document order.  jansson keeps the order of insertion. So
 * a walk of the tree finds a node's line by the node's index, and no paths are
 * stored. */
#include "base/host/yaml.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include <flotilla/errors/cfg.h>

struct flo_yaml {
    json_t *root;
    char *name;
    /* line of each of the `count` nodes: the root first, children after their
     * parent */
    uint32_t *lines;
    size_t count;
};

struct reader {
    yaml_parser_t parser;
    const char *text;
    struct flo_yaml *yaml;
    struct flo_err *err;
    size_t lines_max; /* number of lines that yaml->lines has room for */
};

void flo_yaml_free(struct flo_yaml *yaml)
{
    if (yaml != NULL) {
        json_decref(yaml->root);
        free(yaml->name);
        free(yaml->lines);
        free(yaml);
    }
}

/* Calls flo_yaml_free(*yaml), for FLO_CLEANUP. */
static void yaml_cleanup(struct flo_yaml **yaml)
{
    flo_yaml_free(*yaml);
    *yaml = NULL;
}

json_t *flo_yaml_root(const struct flo_yaml *yaml)
{
    return yaml->root;
}

const char *flo_yaml_name(const struct flo_yaml *yaml)
{
    return yaml->name;
}

/* ---- errors ---- */

static int refuse(struct reader *reader, yaml_mark_t mark, const char *what)
{
    return flo_fail(reader->err, FLO_E_CFG_PARSE, "%s:%zu:%zu: %s", reader->yaml->name,
                    mark.line + 1, mark.column + 1, what);
}

static int no_memory(struct reader *reader)
{
    return flo_fail(reader->err, FLO_E_MEMORY, "%s: no memory", reader->yaml->name);
}

/* Fails with libyaml's own error. */
static int parser_failed(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    yaml_mark_t mark = parser->problem_mark;

    if (parser->error == YAML_MEMORY_ERROR) {
        return no_memory(reader);
    }
    if (parser->error == YAML_READER_ERROR) {
        /* libyaml's reader reports an offset only, so the line is counted. */
        memset(&mark, 0, sizeof(mark));
        for (size_t i = 0; i < parser->problem_offset; i++) {
            bool ends = reader->text[i] == '\n';
            mark.line += ends ? 1 : 0;
            mark.column = ends ? 0 : mark.column + 1;
        }
    }
    return refuse(reader, mark, parser->problem != NULL ? parser->problem : "not YAML");
}

static int next_event(struct reader *reader, yaml_event_t *event)
{
    return yaml_parser_parse(&reader->parser, event) == 1 ? 0 : parser_failed(reader);
}

/* ---- scalars ---- */

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(text, *words) == 0) {
            return true;
        }
    }
    return false;
}

/* Tells whether a text is a whole number: [-+]?[0-9]+ */
static bool looks_whole(const char *text)
{
    text += *text == '-' || *text == '+' ? 1 : 0;
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && text[digits] == '\0';
}

/* Tells whether a text is a number: [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? )
 * ( [eE] [-+]? [0-9]+ )? */
static bool looks_real(const char *text)
{
    text += *text == '-' || *text == '+' ? 1 : 0;
    size_t before = strspn(text, "0123456789");
    text += before;
    if (*text == '.') {
        size_t behind = strspn(text + 1, "0123456789");
        if (before + behind == 0) {
            return false;
        }
        text += 1 + behind;
    } else if (before == 0) {
        return false;
    }
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '-' || *text == '+' ? 1 : 0;
        size_t digits = strspn(text, "0123456789");
        if (digits == 0) {
            return false;
        }
        text += digits;
    }
    return *text == '\0';
}

/* Converts a plain (unquoted) scalar by YAML's core schema. */
static int plain_value(struct reader *reader, yaml_mark_t mark, const char *text, json_t **out)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    static const char *const endless[] = {".inf", "-.inf", "+.inf", ".nan", ".NaN", NULL};

    if (is_one_of(text, nulls)) {
        *out = json_null();
    } else if (is_one_of(text, trues)) {
        *out = json_true();
    } else if (is_one_of(text, falses)) {
        *out = json_false();
    } else if (looks_whole(text)) {
        errno = 0;
        long long value = strtoll(text, NULL, 10);
        if (errno == ERANGE) {
            return refuse(reader, mark, "the number is too large");
        }
        *out = json_integer(value);
    } else if (looks_real(text)) {
        double value = strtod(text, NULL);
        if (!isfinite(value)) {
            return refuse(reader, mark, "the number is too large");
        }
        *out = json_real(value);
    } else if (is_one_of(text, endless)) {
        return refuse(reader, mark, "the number is not finite");
    } else {
        *out = json_string(text);
    }
    return *out != NULL ? 0 : no_memory(reader);
}

static int scalar_value(struct reader *reader, const yaml_event_t *event, json_t **out)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t bytes = event->data.scalar.length;

    if (event->data.scalar.anchor != NULL || event->data.scalar.tag != NULL) {
        return refuse(reader, event->start_mark, "anchors and tags are not allowed");
    }
    if (memchr(text, '\0', bytes) != NULL) {
        return refuse(reader, event->start_mark, "a NUL inside a text");
    }
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
        return plain_value(reader, event->start_mark, text, out);
    }
    *out = json_stringn(text, bytes);
    return *out != NULL ? 0 : no_memory(reader);
}

/* ---- nodes ---- */

/* Stores the line of the next node in document order. */
static int note_line(struct reader *reader, yaml_mark_t mark)
{
    struct flo_yaml *yaml = reader->yaml;

    if (yaml->count == FLO_YAML_NODES_MAX) {
        return refuse(reader, mark, "more than 65536 values");
    }
    if (!flo_grow(&yaml->lines, &reader->lines_max, yaml->count, sizeof(*yaml->lines))) {
        return no_memory(reader);
    }
    yaml->lines[yaml->count++] = (uint32_t)mark.line + 1;
    return 0;
}

static int read_node(struct reader *reader, yaml_event_t *event, unsigned depth, json_t **out);

/* Reads elements up to the end of the list. */
static int read_list(struct reader *reader, unsigned depth, json_t *list)
{
    for (;;) {
        FLO_CLEANUP(yaml_event_delete) yaml_event_t event = {0};
        json_t *value = NULL;
        FLO_TRY(next_event(reader, &event));
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            return 0;
        }
        FLO_TRY(note_line(reader, event.start_mark));
        FLO_TRY(read_node(reader, &event, depth + 1, &value));
        if (json_array_append_new(list, value) < 0) {
            return no_memory(reader);
        }
    }
}

/* Checks that a key may be added to `map`. */
static int check_key(struct reader *reader, const yaml_event_t *event, const json_t *map)
{
    if (event->type != YAML_SCALAR_EVENT) {
        return refuse(reader, event->start_mark, "a key must be a plain text");
    }
    const char *key = (const char *)event->data.scalar.value;
    size_t bytes = event->data.scalar.length;
    if (event->data.scalar.anchor != NULL || event->data.scalar.tag != NULL) {
        return refuse(reader, event->start_mark, "anchors and tags are not allowed");
    }
    if (bytes == 0 || bytes > FLO_YAML_KEY_BYTES_MAX || memchr(key, '\0', bytes) != NULL) {
        return refuse(reader, event->start_mark, "a key needs 1 to 256 characters");
    }
    if (json_object_get(map, key) != NULL) {
        char what[FLO_YAML_KEY_BYTES_MAX + 32];
        snprintf(what, sizeof(what), "key `%s` stands twice", key);
        return refuse(reader, event->start_mark, what);
    }
    return 0;
}

/* Reads the value of `key` and adds both to `map`. */
static int read_entry(struct reader *reader, const yaml_event_t *key, unsigned depth, json_t *map)
{
    FLO_CLEANUP(yaml_event_delete) yaml_event_t event = {0};
    json_t *value = NULL;

    FLO_TRY(note_line(reader, key->start_mark));
    FLO_TRY(next_event(reader, &event));
    FLO_TRY(read_node(reader, &event, depth + 1, &value));
    return json_object_set_new(map, (const char *)key->data.scalar.value, value) < 0
               ? no_memory(reader)
               : 0;
}

/* Reads entries up to the end of the map. */
static int read_map(struct reader *reader, unsigned depth, json_t *map)
{
    for (;;) {
        FLO_CLEANUP(yaml_event_delete) yaml_event_t key = {0};
        FLO_TRY(next_event(reader, &key));
        if (key.type == YAML_MAPPING_END_EVENT) {
            return 0;
        }
        FLO_TRY(check_key(reader, &key, map));
        FLO_TRY(read_entry(reader, &key, depth, map));
    }
}

/* Reads the node that begins with `event`.  Sets *out only on success. */
static int read_node(struct reader *reader, yaml_event_t *event, unsigned depth, json_t **out)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *node = NULL;
    bool is_list = event->type == YAML_SEQUENCE_START_EVENT;

    if (event->type == YAML_SCALAR_EVENT) {
        return scalar_value(reader, event, out);
    }
    if (!is_list && event->type != YAML_MAPPING_START_EVENT) {
        return refuse(reader, event->start_mark, "aliases are not allowed");
    }
    bool is_marked =
        is_list
            ? event->data.sequence_start.anchor != NULL || event->data.sequence_start.tag != NULL
            : event->data.mapping_start.anchor != NULL || event->data.mapping_start.tag != NULL;
    if (is_marked) {
        return refuse(reader, event->start_mark, "anchors and tags are not allowed");
    }
    if (depth > FLO_YAML_DEPTH_MAX) {
        return refuse(reader, event->start_mark, "deeper than 16 levels");
    }
    node = is_list ? json_array() : json_object();
    if (node == NULL) {
        return no_memory(reader);
    }
    FLO_TRY(is_list ? read_list(reader, depth, node) : read_map(reader, depth, node));
    *out = node;
    node = NULL;
    return 0;
}

/* ---- documents ---- */

static int read_document(struct reader *reader, const yaml_event_t *start)
{
    FLO_CLEANUP(yaml_event_delete) yaml_event_t event = {0};
    FLO_CLEANUP(yaml_event_delete) yaml_event_t end = {0};

    if (start->data.document_start.tag_directives.start !=
        start->data.document_start.tag_directives.end) {
        return refuse(reader, start->start_mark, "tags are not allowed");
    }
    FLO_TRY(next_event(reader, &event));
    FLO_TRY(note_line(reader, event.start_mark));
    FLO_TRY(read_node(reader, &event, 1, &reader->yaml->root));
    return next_event(reader, &end);
}

static int read_stream(struct reader *reader)
{
    for (bool is_done = false; !is_done;) {
        FLO_CLEANUP(yaml_event_delete) yaml_event_t event = {0};
        FLO_TRY(next_event(reader, &event));
        if (event.type == YAML_DOCUMENT_START_EVENT) {
            FLO_TRY(reader->yaml->root != NULL
                        ? refuse(reader, event.start_mark, "a second document")
                        : read_document(reader, &event));
        }
        is_done = event.type == YAML_STREAM_END_EVENT;
    }
    if (reader->yaml->root == NULL) {
        reader->yaml->root = json_null();
        return note_line(reader, (yaml_mark_t){0, 0, 0});
    }
    return 0;
}

int flo_yaml_parse(const char *text, size_t bytes, const char *name, struct flo_yaml **out,
                   struct flo_err *err)
{
    FLO_CLEANUP(yaml_cleanup) struct flo_yaml *yaml = NULL;

    if (bytes > FLO_YAML_BYTES_MAX) {
        return flo_fail(err, FLO_E_META_TOO_LARGE, "%s: %zu bytes, limit %d", name, bytes,
                        FLO_YAML_BYTES_MAX);
    }
    yaml = calloc(1, sizeof(*yaml));
    if (yaml == NULL || (yaml->name = strdup(name)) == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%s: no memory", name);
    }
    struct reader reader = {.text = text, .yaml = yaml, .err = err};
    if (yaml_parser_initialize(&reader.parser) != 1) {
        return no_memory(&reader);
    }
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, bytes);
    int rv = read_stream(&reader);
    yaml_parser_delete(&reader.parser);
    if (rv == 0) {
        *out = yaml;
        yaml = NULL;
    }
    return rv;
}

int flo_yaml_load(const char *path, struct flo_yaml **out, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    size_t bytes;

    FLO_TRY(flo_file_read(path, FLO_YAML_BYTES_MAX, &text, &bytes, err));
    return flo_yaml_parse(text, bytes, path, out, err);
}

/* ---- lines ---- */

/* Returns the number of nodes of a tree, with the root. */
static size_t node_count(json_t *node)
{
    size_t count = 1;
    const char *key;
    json_t *child;
    size_t i;

    if (json_is_array(node)) {
        json_array_foreach(node, i, child)
        {
            count += node_count(child);
        }
    } else {
        json_object_foreach(node, key, child)
        {
            count += node_count(child);
        }
    }
    return count;
}

/* Steps to the child that the path's next part names.  Adds the number of nodes
 * before the child to *skipped. */
static json_t *step_key(json_t *node, const char *name, size_t chars, size_t *skipped)
{
    const char *key;
    json_t *child;

    json_object_foreach(node, key, child)
    {
        (*skipped)++;
        if (strlen(key) == chars && memcmp(key, name, chars) == 0) {
            return child;
        }
        *skipped += node_count(child) - 1;
    }
    return NULL;
}

static json_t *step_index(json_t *node, size_t index, size_t *skipped)
{
    json_t *child;
    size_t i;

    json_array_foreach(node, i, child)
    {
        (*skipped)++;
        if (i == index) {
            return child;
        }
        *skipped += node_count(child) - 1;
    }
    return NULL;
}

unsigned flo_yaml_line(const struct flo_yaml *yaml, const char *path)
{
    json_t *node = yaml->root;
    size_t place = 0;

    while (node != NULL && *path != '\0') {
        if (*path == '[') {
            char *end;
            unsigned long index = strtoul(path + 1, &end, 10);
            if (end == path + 1 || *end != ']') {
                return 0;
            }
            node = step_index(node, index, &place);
            path = end + 1;
        } else {
            path += *path == '.' ? 1 : 0;
            size_t chars = strcspn(path, ".[");
            if (chars == 0) {
                return 0;
            }
            node = step_key(node, path, chars, &place);
            path += chars;
        }
    }
    return node != NULL && place < yaml->count ? yaml->lines[place] : 0;
}
