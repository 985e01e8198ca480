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
 * After the first error `rv` stays set, and the program is discarded. */
#ifndef FLOTILLA_GRAMMAR_SCHEMA_H
#define FLOTILLA_GRAMMAR_SCHEMA_H

#include "base/tree/tree.h"
#include "engine/chat/calls/form.h"
#include "engine/grammar/parser.h"

#define FLO_SCHEMA_ITEMS_MAX 4096u
/* most nodes that the tree of a schema's text may have */
#define FLO_SCHEMA_VALUES_MAX 32768u
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

/* A schema that gets a rule, and its position in the whole schema.  If `schema`
 * is NULL, the item is only the parent of others. */
struct flo_schema_item {
    const struct flo_tree_node *schema;
    const struct flo_tree_node *top; /* schema at which references begin */
    uint32_t rule, parent;
    char place[64]; /* position relative to the parent, such as "/properties/name" */
};

struct flo_schema {
    struct flo_tree tree;
    struct flo_schema_item *items; /* [FLO_SCHEMA_ITEMS_MAX] */
    uint32_t count, at;            /* number of items, and index of the item that is being built */
    /* number of parts of allOf merged into the item that is being built */
    uint32_t parts;
    uint32_t steps; /* number of steps along lists so far */
    struct flo_program *program;
    struct flo_parser gbnf; /* parser for the rules that all schemas share */
    struct flo_buf text;    /* text of the literal that is being written */
    bool is_python;         /* True, False and None are written for JSON's words */
    /* mark before and after each text (written.c); NULL: JSON's quotes */
    const struct flo_form_text *mark;
    int rv;
    struct flo_err *err;
};

/* Sets the error FLO_E_INFER_SCHEMA, which names the JSON pointer of the
 * current item, followed by `place`. */
void flo_schema_refuse(struct flo_schema *s, const char *place, const char *format, ...)
    FLO_PRINTF(3, 4);
/* Returns how many bytes of a text an error message shows. */
static inline int flo_schema_cut(size_t bytes)
{
    return bytes < 64 ? (int)bytes : 64;
}
/* Counts steps along a list of the schema.  Returns false if the sum is too
 * high.  A list may be walked once for each entry of another list, and
 * references may repeat that.  So even a short schema could take endless
 * time. */
bool flo_schema_walk(struct flo_schema *s, size_t steps);
/* Returns the first member with this key.  Returns NULL if there is none, or
 * `object` is no object. */
struct flo_tree_node *flo_schema_get(struct flo_schema *s, const struct flo_tree_node *object,
                                     const char *key, size_t key_bytes);
#define FLO_GET(s, object, key) flo_schema_get(s, object, key, sizeof(key) - 1)
/* Tells whether two values have the same kind and text, and the same members in
 * the same order. */
bool flo_schema_same(struct flo_schema *s, const struct flo_tree_node *a,
                     const struct flo_tree_node *b);
/* Returns the number of members or elements of `list`; 0 for NULL. */
size_t flo_schema_count(struct flo_schema *s, const struct flo_tree_node *list);

/* Parses a schema's text, which is decoded in place, with room for `room` more
 * nodes.  FLO_E_INFER_SCHEMA for a text that is no JSON or too large, or one
 * with U+0000 or half of a surrogate pair.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_schema_read(struct flo_tree *tree, char *text, size_t bytes, uint32_t room,
                                 struct flo_err *err);
bool flo_schema_key_is(const struct flo_tree_node *n, const char *name);
/* Returns the types to which a keyword applies.  0 means that it does not
 * restrict the answer, -1 that it is unknown. */
int flo_schema_keyword_types(struct flo_schema *s, const struct flo_tree_node *n);
/* Tells whether a keyword restricts the answer.  That it is supported is
 * checked later. */
bool flo_schema_constrains(struct flo_schema *s, const struct flo_tree_node *n);

/* Finds the schema to which a reference such as "#/$defs/address" points.
 * Returns NULL if there is none.  The path consists of keys, with ~0 and ~1 for
 * ~ and /. */
const struct flo_tree_node *flo_schema_resolve(struct flo_schema *s,
                                               const struct flo_tree_node *ref);
/* Returns the schema to which the reference of a schema points, or NULL if
 * there is none. */
const struct flo_tree_node *flo_schema_target(struct flo_schema *s,
                                              const struct flo_tree_node *schema);
/* Appends a copy of the value to the object or list `to`. */
void flo_schema_add(struct flo_schema *s, struct flo_tree_node *to,
                    const struct flo_tree_node *value);
/* Returns the schema {"allOf": [a, b]}, with the key of a. */
const struct flo_tree_node *flo_schema_both(struct flo_schema *s, const struct flo_tree_node *a,
                                            const struct flo_tree_node *b);
/* Merges all constraints of a schema, of its references and of its allOf into
 * `to`. */
void flo_schema_flatten(struct flo_schema *s, const struct flo_tree_node *schema,
                        struct flo_tree_node *to);

/* Adds a schema to the list of items, unless the list has it.  Returns its
 * index, or FLO_SCHEMA_ITEMS_MAX after an error.  A new item has the position
 * /keyword/name of the current item, and no rule (FLO_NOWHERE). */
uint32_t flo_schema_list(struct flo_schema *s, const struct flo_tree_node *schema,
                         const char *keyword, const char *name, size_t name_bytes);
/* Appends a call of a schema's rule, which is built later.  `schema` NULL
 * allows any value.  Its position is /keyword/name of the current item. */
void flo_schema_call(struct flo_schema *s, const struct flo_tree_node *schema, const char *keyword,
                     const char *name, size_t name_bytes);
/* Appends this one value, written as JSON. */
void flo_schema_literal(struct flo_schema *s, const struct flo_tree_node *value);
/* Returns the types that "type" names, which is a name or a list of names.
 * *odd gets an entry that is no type, or NULL. */
int flo_schema_named_types(struct flo_schema *s, const struct flo_tree_node *type,
                           const struct flo_tree_node **odd);
/* Returns the types that a schema names.  If it names none, it returns those to
 * which its keywords apply. */
int flo_schema_types(struct flo_schema *s, const struct flo_tree_node *schema);
bool flo_schema_value_is(const struct flo_tree_node *value, int types);
/* Tells whether the values certainly differ.  1 and 1.0 are equal.  NULL is an
 * unknown value. */
bool flo_schema_differ(struct flo_schema *s, const struct flo_tree_node *x,
                       const struct flo_tree_node *y);
/* Appends an array of `least` to `most` different values of the list `items`.
 * Returns false if `items` is no such list. */
bool flo_schema_distinct(struct flo_schema *s, const struct flo_tree_node *items, uint32_t least,
                         uint32_t most);
/* Returns the schema, or NULL for the schema `true`, which allows any value. */
const struct flo_tree_node *flo_schema_or_any(const struct flo_tree_node *schema);
/* Returns the member at a position such as "/minItems". */
const struct flo_tree_node *flo_schema_at(struct flo_schema *s, const struct flo_tree_node *schema,
                                          const char *place);
/* Reads a pair of limits such as /minItems and /maxItems.  *to is UINT32_MAX if
 * there is no maximum. */
void flo_schema_counts(struct flo_schema *s, const struct flo_tree_node *schema, const char *least,
                       const char *most, uint32_t *from, uint32_t *to);
/* Appends an object that fits the schema, which has no references. */
void flo_schema_object(struct flo_schema *s, const struct flo_tree_node *schema);
/* Appends a value of one type that fits the schema, which has no references. */
void flo_schema_value(struct flo_schema *s, const struct flo_tree_node *schema,
                      enum flo_schema_types type);

/* Functions that write an object, as JSON or as the fields of a call. */
struct flo_object_words {
    const char *open, *close;
    /* Append a member, and the separator between two members. */
    void (*member)(struct flo_schema *s, const struct flo_object_words *words,
                   const struct flo_tree_node *schema, const char *name, size_t bytes);
    void (*between)(struct flo_schema *s, const struct flo_object_words *words);
    bool has_fields; /* the members are fields of a call: none may be added, and none are counted */
    const void *context;
};
void flo_schema_object_as(struct flo_schema *s, const struct flo_tree_node *schema,
                          const struct flo_object_words *words);
/* Appends the characters of a text that fits the schema.  `any` is the rule of
 * a text without constraints. */
void flo_schema_text(struct flo_schema *s, const struct flo_tree_node *schema, uint32_t any);
/* Returns the separator between two members or two values. */
static inline const char *flo_schema_comma(const struct flo_schema *s)
{
    return s->mark != NULL ? "," : ", ";
}
/* Appends any text that ends with this mark. */
void flo_schema_up_to(struct flo_schema *s, const struct flo_form_text *mark);
/* Defines rules for marked values: one for any value, and one for a member's
 * name with its colon. */
void flo_schema_marked_rules(struct flo_schema *s);
void flo_schema_marked_name(struct flo_schema *s, const char *name, size_t bytes);
/* Two functions: the first begins the compilation of a list of schemas, the
 * second ends it and gives the program.  Errors are those of
 * flo_schema_compile(). */
void flo_schema_begin(struct flo_schema *s, struct flo_err *err);
/* Builds a rule for each item of the list, also for those that are added
 * meanwhile. */
void flo_schema_put_items(struct flo_schema *s);
int flo_schema_end(struct flo_schema *s, struct flo_program **program);

#endif
