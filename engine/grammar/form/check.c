/* Check: holds a finished answer against a schema. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/infer.h>
#include <flotilla/plural.h>

#include "engine/grammar/form/form.h"
#include "engine/grammar/schema/schema.h"

enum {
    PLACE_BYTES_MAX = 160, /* bytes of a JSON pointer in an error */
};

/* The first fault of an answer, or of an alternative. */
struct fault {
    const struct flo_tree_node *value;
    int depth; /* depth of the value in the answer */
    char wanted[160];
};

struct check {
    struct flo_schema s; /* for references and steps */
    struct flo_schema_item top;
    struct flo_tree tree; /* of the answer */
    struct fault fault;
};

/* A value of the answer, with its depth there and the number of schemas that
 * are being applied. */
struct place {
    const struct flo_tree_node *value;
    int depth, schemas;
};

/* Notes a fault, and returns false. */
static FLO_PRINTF(3, 4) bool fault(struct check *c, struct place at, const char *format, ...)
{
    va_list list;

    c->fault.value = at.value;
    c->fault.depth = at.depth;
    va_start(list, format);
    vsnprintf(c->fault.wanted, sizeof(c->fault.wanted), format, list);
    va_end(list);
    return false;
}

/* ---- telling ---- */

static void put_name(const struct flo_tree_node *member, struct flo_buf *out)
{
    for (size_t i = 0; i < member->key_bytes && out->bytes <= PLACE_BYTES_MAX; i++) {
        const char *c = &member->key[i];
        flo_buf_add(out, *c == '~' ? "~0" : *c == '/' ? "~1" : c, *c == '~' || *c == '/' ? 2 : 1);
    }
}

/* Appends the JSON pointer of a value.  The nodes of a tree stand in the order
 * of the text, so the value is below the last child that begins before it. */
static void put_place(const struct flo_tree_node *root, const struct flo_tree_node *value,
                      struct flo_buf *out)
{
    while (root != value && out->bytes <= PLACE_BYTES_MAX) {
        const struct flo_tree_node *child = root->first;
        size_t index = 0;

        for (; child->next != NULL && child->next <= value; child = child->next) {
            index++;
        }
        flo_buf_text(out, "/");
        if (root->kind == FLO_TREE_OBJECT) {
            put_name(child, out);
        } else {
            flo_buf_printf(out, "%zu", index);
        }
        root = child;
    }
    if (out->bytes > PLACE_BYTES_MAX) {
        out->bytes = flo_utf8_valid(out->data, PLACE_BYTES_MAX);
        flo_buf_text(out, "...");
    }
}

static size_t characters_of(const struct flo_tree_node *text)
{
    size_t count = 0;

    for (size_t i = 0; i < text->bytes; i++) {
        count += ((unsigned char)text->text[i] & 0xc0) != 0x80;
    }
    return count;
}

static void describe(const struct flo_tree_node *value, char *out, size_t bytes)
{
    size_t count = value->kind == FLO_TREE_STRING ? characters_of(value) : 0;

    for (const struct flo_tree_node *n = value->first; n != NULL; n = n->next) {
        count++;
    }
    switch (value->kind) {
    case FLO_TREE_STRING:
        snprintf(out, bytes, "a string of %zu character%s", count, flo_s(count));
        break;
    case FLO_TREE_ARRAY:
        snprintf(out, bytes, "an array of %zu element%s", count, flo_s(count));
        break;
    case FLO_TREE_OBJECT:
        snprintf(out, bytes, "an object of %zu member%s", count, flo_s(count));
        break;
    case FLO_TREE_NUMBER:
        snprintf(out, bytes, "%s", flo_form_is_whole(value) ? "an integer" : "a number");
        break;
    default:
        snprintf(out, bytes, "%s", value->kind == FLO_TREE_NULL ? "null" : "a boolean");
        break;
    }
}

static int tell(const struct check *c, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf place = {0};
    char what[80];

    put_place(c->tree.nodes, c->fault.value, &place);
    describe(c->fault.value, what, sizeof(what));
    return flo_fail(err, FLO_E_INFER_FORM, "answer %s: %s, is %s",
                    place.bytes > 0 ? place.data : "/", c->fault.wanted, what);
}

/* ---- the whole ---- */

/* Parses the answer.  `text` is decoded in place. */
static int read_answer(struct check *c, char *text, size_t bytes, struct flo_err *err)
{
    const struct flo_tree_node *twice = NULL;
    int rv = flo_tree_read(&c->tree, text, bytes, FLO_FORM_VALUES_MAX, 0, NULL, err);

    if (rv < 0) {
        return flo_wrap(err, rv == FLO_E_MEMORY ? rv : FLO_E_INFER_FORM, "answer");
    }
    if (c->tree.has_odd) {
        return flo_fail(err, FLO_E_INFER_FORM,
                        "answer: a text with U+0000 or half of a surrogate pair");
    }
    FLO_TRY(flo_form_find_twice(&c->tree, &twice, err));
    if (twice == NULL) {
        return 0;
    }
    c->fault.value = twice;
    snprintf(c->fault.wanted, sizeof(c->fault.wanted), "must be in its object once");
    return tell(c, err);
}

static int check(struct check *c, char *answer, size_t bytes, struct flo_err *err)
{
    FLO_TRY(read_answer(c, answer, bytes, err));
    const struct place root = {.value = c->tree.nodes};
    return root.value->kind == FLO_TREE_OBJECT || fault(c, root, "must be a JSON object")
               ? 0
               : tell(c, err);
}

int flo_form_check(const char *schema, size_t schema_bytes, const char *answer, size_t bytes,
                   struct flo_err *err)
{
    char *text = malloc(schema_bytes + bytes + 1);
    struct check c = {.s = {.items = &c.top, .count = 1}};
    int rv = text == NULL ? flo_fail(err, FLO_E_MEMORY, "an answer's form") : 0;

    if (rv == 0 && schema != NULL) {
        memcpy(text, schema, schema_bytes);
        rv = flo_schema_read(&c.s.tree, text, schema_bytes, 0, err);
        c.top.schema = c.top.top = c.s.tree.nodes;
    }
    if (rv == 0) {
        memcpy(text + schema_bytes, answer, bytes);
        rv = check(&c, text + schema_bytes, bytes, err);
    }
    flo_tree_deinit(&c.s.tree);
    flo_tree_deinit(&c.tree);
    free(text);
    return rv;
}
