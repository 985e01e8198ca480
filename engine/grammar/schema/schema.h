/* Schema: shared by the files that compile a schema to rules.
 *
 *   schema.c    alternatives, and the compilation as a whole
 *   walk.c      supported keywords, bounded walks, calls of rules
 *   types.c     types, and values of a type
 *   merge.c     references, merging
 *   object.c    objects
 *   value.c     arrays, strings, numbers
 *   distinct.c  arrays of distinct values
 *   calls.c     tool calls, whose arguments are schemas
 *   written.c   how values are written: JSON, Python or marked
 *
 * The first error stays in `rv`; the program is then discarded. */
#ifndef FLOTILLA_GRAMMAR_SCHEMA_H
#define FLOTILLA_GRAMMAR_SCHEMA_H

#include "base/tree/tree.h"
#include "engine/chat/calls/form.h"
#include "engine/grammar/parser.h"

#define FLO_SCHEMA_ITEMS_MAX 4096u
#define FLO_SCHEMA_VALUES_MAX 32768u    /* tree nodes of its text */
#define FLO_SCHEMA_STEPS_MAX (1u << 25) /* 0.2 s */

enum flo_schema_types {
    FLO_TYPE_OBJECT = 1,
    FLO_TYPE_ARRAY = 2,
    FLO_TYPE_STRING = 4,
    FLO_TYPE_NUMBER = 8,
    FLO_TYPE_INTEGER = 16,
    FLO_TYPE_BOOLEAN = 32,
    FLO_TYPE_NULL = 64,
    FLO_TYPE_ANY = 127,
};

/* A schema that gets a rule, and its place.  schema NULL: only a parent of
 * other places. */
struct flo_schema_item {
    const struct flo_tree_node *schema;
    const struct flo_tree_node *top; /* root of the schema, for its references */
    uint32_t rule, parent;
    char place[64]; /* place of the member, relative to its parent: "/properties/name" */
};

struct flo_schema {
    struct flo_tree tree;
    struct flo_schema_item *items; /* [FLO_SCHEMA_ITEMS_MAX] */
    uint32_t count, at;            /* `at`: the item that is being built */
    uint32_t parts;                /* parts of allOf merged into that item */
    uint32_t steps;                /* number of steps of all list walks */
    struct flo_program *program;
    struct flo_parser gbnf;           /* parser for the common rules */
    struct flo_buf text;              /* text of the current literal */
    bool is_python;                   /* write True, False and None */
    const struct flo_form_text *mark; /* mark around texts (written.c); NULL: JSON */
    int rv;
    struct flo_err *err;
};

/* Fails with FLO_E_INFER_SCHEMA: "schema <pointer of the current item><place>:
 * ...". */
void flo_schema_refuse(struct flo_schema *s, const char *place, const char *format, ...)
    FLO_PRINTF(3, 4);
/* Returns how many bytes of a text an error message shows. */
static inline int flo_schema_cut(size_t bytes)
{
    return bytes < 64 ? (int)bytes : 64;
}
/* Counts steps along a list of the schema; false: the total is too high.  Lists
 * may be walked once for each entry of another list, and references may repeat
 * that, so even a short schema could take endless time. */
bool flo_schema_walk(struct flo_schema *s, size_t steps);
/* Returns the first member of that name; NULL: none, or no object. */
struct flo_tree_node *flo_schema_get(struct flo_schema *s, const struct flo_tree_node *object,
                                     const char *key, size_t key_bytes);
#define FLO_GET(s, object, key) flo_schema_get(s, object, key, sizeof(key) - 1)
/* Are two values equal in kind, text and order of members? */
bool flo_schema_same(struct flo_schema *s, const struct flo_tree_node *a,
                     const struct flo_tree_node *b);
/* Returns the number of members or elements; 0 for NULL. */
size_t flo_schema_count(struct flo_schema *s, const struct flo_tree_node *list);

bool flo_schema_key_is(const struct flo_tree_node *n, const char *name);
/* Returns the types that a keyword applies to; 0: it does not constrain the
 * answer; -1: unknown keyword. */
int flo_schema_keyword_types(struct flo_schema *s, const struct flo_tree_node *n);
/* Does the schema constrain the answer?  Whether that is supported is checked
 * later. */
bool flo_schema_constrains(struct flo_schema *s, const struct flo_tree_node *n);

/* Follows a schema's reference; NULL: it has no target. */
const struct flo_tree_node *flo_schema_target(struct flo_schema *s,
                                              const struct flo_tree_node *schema);
/* Appends a copy of the value to the object or list. */
void flo_schema_add(struct flo_schema *s, struct flo_tree_node *to,
                    const struct flo_tree_node *value);
/* Returns {"allOf": [a, b]}, with the key of a. */
const struct flo_tree_node *flo_schema_both(struct flo_schema *s, const struct flo_tree_node *a,
                                            const struct flo_tree_node *b);
/* Merges all constraints, through references and allOf, into `to`. */
void flo_schema_flatten(struct flo_schema *s, const struct flo_tree_node *schema,
                        struct flo_tree_node *to);

/* Appends a call of a schema's rule, which is built later.  The schema (NULL:
 * any value) is at /keyword/name of the current item. */
void flo_schema_call(struct flo_schema *s, const struct flo_tree_node *schema, const char *keyword,
                     const char *name, size_t name_bytes);
/* Appends this value as JSON. */
void flo_schema_literal(struct flo_schema *s, const struct flo_tree_node *value);
/* Returns the types of "type", a name or a list; *odd: an entry that is no
 * type. */
int flo_schema_named_types(struct flo_schema *s, const struct flo_tree_node *type,
                           const struct flo_tree_node **odd);
/* Returns the types that a schema names, or else those its keywords apply
 * to. */
int flo_schema_types(struct flo_schema *s, const struct flo_tree_node *schema);
bool flo_schema_value_is(const struct flo_tree_node *value, int types);
/* Are the values certainly different?  1 and 1.0 are equal.  NULL means
 * unknown. */
bool flo_schema_differ(struct flo_schema *s, const struct flo_tree_node *x,
                       const struct flo_tree_node *y);
/* Appends an array of `least` to `most` distinct values of the list `items`.
 * false: `items` is no such list. */
bool flo_schema_distinct(struct flo_schema *s, const struct flo_tree_node *items, uint32_t least,
                         uint32_t most);
/* Is the schema `false`, which no value fits? */
bool flo_schema_is_false(const struct flo_tree_node *schema);
/* Returns NULL for the schema `true`, which allows any value. */
const struct flo_tree_node *flo_schema_or_any(const struct flo_tree_node *schema);
/* Returns the member at a place such as "/minItems". */
const struct flo_tree_node *flo_schema_at(struct flo_schema *s, const struct flo_tree_node *schema,
                                          const char *place);
/* Reads a pair such as /minItems and /maxItems; *to UINT32_MAX: no maximum. */
void flo_schema_counts(struct flo_schema *s, const struct flo_tree_node *schema, const char *least,
                       const char *most, uint32_t *from, uint32_t *to);
/* Appends an object of this schema, which has no references. */
void flo_schema_object(struct flo_schema *s, const struct flo_tree_node *schema);
/* Appends a value of one type of a schema, which has no references. */
void flo_schema_value(struct flo_schema *s, const struct flo_tree_node *schema,
                      enum flo_schema_types type);

/* How an object is written: in JSON, or as fields of a call. */
struct flo_object_words {
    const char *open, *close;
    /* Append a member, and the separator from the previous one. */
    void (*member)(struct flo_schema *s, const struct flo_object_words *words,
                   const struct flo_tree_node *schema, const char *name, size_t bytes);
    void (*between)(struct flo_schema *s, const struct flo_object_words *words);
    bool has_fields; /* fields of a call: no extra members, no counts */
    const void *context;
};
void flo_schema_object_as(struct flo_schema *s, const struct flo_tree_node *schema,
                          const struct flo_object_words *words);
/* Appends a text's characters; `any` is the rule of an unconstrained one. */
void flo_schema_text(struct flo_schema *s, const struct flo_tree_node *schema, uint32_t any);
/* Returns the separator between two members or values. */
static inline const char *flo_schema_comma(const struct flo_schema *s)
{
    return s->mark != NULL ? "," : ", ";
}
/* Appends any text that ends with the mark. */
void flo_schema_up_to(struct flo_schema *s, const struct flo_form_text *mark);
/* Defines, for marked values, the rules of any value, and of a member's name
 * with its colon. */
void flo_schema_marked_rules(struct flo_schema *s);
void flo_schema_marked_name(struct flo_schema *s, const char *name, size_t bytes);
/* Begin and end the compilation of a list of schemas; flo_schema_end() gives
 * the program.  Errors as of flo_schema_compile(). */
void flo_schema_begin(struct flo_schema *s, struct flo_err *err);
/* Builds a rule for each item of the list, also for items added meanwhile. */
void flo_schema_put_items(struct flo_schema *s);
int flo_schema_end(struct flo_schema *s, struct flo_program **program);

#endif
