/* Shared by the files that turn a schema into rules.
 *
 *   schema.c    alternatives, the whole
 *   walk.c      what is supported, bounded reading, calls of rules
 *   types.c     types, and values of them
 *   merge.c     references, merging
 *   object.c    objects
 *   value.c     arrays, strings, numbers
 *   distinct.c  arrays of values that differ
 *   calls.c     calls of tools, whose arguments are schemas
 *   written.c   how values are written, which is not always JSON
 *
 * The first refusal stays in `rv`; the program that is built after it is thrown
 * away. */
#ifndef FLOTILLA_GRAMMAR_SCHEMA_H
#define FLOTILLA_GRAMMAR_SCHEMA_H

#include "base/tree/tree.h"
#include "engine/chat/calls/form.h"
#include "engine/grammar/parser.h"

#define FLO_SCHEMA_ITEMS_MAX 4096u
#define FLO_SCHEMA_VALUES_MAX 32768u    /* values of its text */
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

/* A schema that has a rule, and where it stands.  NULL: a place that others are
 * below. */
struct flo_schema_item {
    const struct flo_tree_node *schema;
    const struct flo_tree_node *top; /* that its references begin at */
    uint32_t rule, parent;
    char place[64]; /* after the parent's: "/properties/name" */
};

struct flo_schema {
    struct flo_tree tree;
    struct flo_schema_item *items; /* [FLO_SCHEMA_ITEMS_MAX] */
    uint32_t count, at;            /* `at` is being built */
    uint32_t parts;                /* parts of allOf, merged into that */
    uint32_t steps;                /* steps of all walks along lists */
    struct flo_program *program;
    struct flo_parser gbnf;           /* the rules that all schemas use */
    struct flo_buf text;              /* text of a literal */
    bool is_python;                   /* True, False and None */
    const struct flo_form_text *mark; /* around texts (written.c); NULL: JSON */
    int rv;
    struct flo_err *err;
};

/* FLO_E_INFER_SCHEMA: "schema <pointer of the item at hand><place>: ...". */
void flo_schema_refuse(struct flo_schema *s, const char *place, const char *format, ...)
    FLO_PRINTF(3, 4);
/* Bytes of a text of the schema that a refusal shows. */
static inline int flo_schema_cut(size_t bytes)
{
    return bytes < 64 ? (int)bytes : 64;
}
/* Count so many more steps along a list of the schema; false: there are too
 * many in all.  One list may be walked once for each of many others, and a
 * reference leads to one again and again.  A short schema can therefore take
 * endless reading. */
bool flo_schema_walk(struct flo_schema *s, size_t steps);
/* The first of that name; NULL: no such member, or no object. */
struct flo_tree_node *flo_schema_get(struct flo_schema *s, const struct flo_tree_node *object,
                                     const char *key, size_t key_bytes);
#define FLO_GET(s, object, key) flo_schema_get(s, object, key, sizeof(key) - 1)
/* Equal in kind, text and order of members. */
bool flo_schema_same(struct flo_schema *s, const struct flo_tree_node *a,
                     const struct flo_tree_node *b);
/* Members or elements; NULL has none. */
size_t flo_schema_count(struct flo_schema *s, const struct flo_tree_node *list);

bool flo_schema_key_is(const struct flo_tree_node *n, const char *name);
/* The types that a member of a schema is about; 0: it says nothing about the
 * answer; -1: it is not understood. */
int flo_schema_keyword_types(struct flo_schema *s, const struct flo_tree_node *n);
/* Does it constrain the answer?  Whether it can be kept is asked later. */
bool flo_schema_constrains(struct flo_schema *s, const struct flo_tree_node *n);

/* Where a schema's references lead; NULL: nowhere. */
const struct flo_tree_node *flo_schema_target(struct flo_schema *s,
                                              const struct flo_tree_node *schema);
/* Add a copy of the value after the last member or element. */
void flo_schema_add(struct flo_schema *s, struct flo_tree_node *to,
                    const struct flo_tree_node *value);
/* {"allOf": [a, b]}, under the key of a. */
const struct flo_tree_node *flo_schema_both(struct flo_schema *s, const struct flo_tree_node *a,
                                            const struct flo_tree_node *b);
/* All that holds, through references and allOf, into `to`. */
void flo_schema_flatten(struct flo_schema *s, const struct flo_tree_node *schema,
                        struct flo_tree_node *to);

/* Call the rule of a schema (NULL: any value) that stands at /keyword/name of
 * the item at hand; it is built later. */
void flo_schema_call(struct flo_schema *s, const struct flo_tree_node *schema, const char *keyword,
                     const char *name, size_t name_bytes);
/* This value as JSON. */
void flo_schema_literal(struct flo_schema *s, const struct flo_tree_node *value);
/* The types of "type", which is a name or a list; *odd: an entry that is no
 * type. */
int flo_schema_named_types(struct flo_schema *s, const struct flo_tree_node *type,
                           const struct flo_tree_node **odd);
/* Types that a schema names, or that its keywords are about. */
int flo_schema_types(struct flo_schema *s, const struct flo_tree_node *schema);
bool flo_schema_value_is(const struct flo_tree_node *value, int types);
/* Surely not the same value; 1 and 1.0 are.  NULL: nobody knows. */
bool flo_schema_differ(struct flo_schema *s, const struct flo_tree_node *x,
                       const struct flo_tree_node *y);
/* An array of `least` to `most` values out of those that `items` lists, each
 * once.  false: it lists none. */
bool flo_schema_distinct(struct flo_schema *s, const struct flo_tree_node *items, uint32_t least,
                         uint32_t most);
/* The schema that nothing fits. */
bool flo_schema_is_false(const struct flo_tree_node *schema);
/* true is as good as no schema: NULL. */
const struct flo_tree_node *flo_schema_or_any(const struct flo_tree_node *schema);
/* The member at a place such as "/minItems". */
const struct flo_tree_node *flo_schema_at(struct flo_schema *s, const struct flo_tree_node *schema,
                                          const char *place);
/* A pair such as /minItems and /maxItems; *to UINT32_MAX: there is no most. */
void flo_schema_counts(struct flo_schema *s, const struct flo_tree_node *schema, const char *least,
                       const char *most, uint32_t *from, uint32_t *to);
/* An object by this schema without references. */
void flo_schema_object(struct flo_schema *s, const struct flo_tree_node *schema);
/* One type of a schema without references. */
void flo_schema_value(struct flo_schema *s, const struct flo_tree_node *schema,
                      enum flo_schema_types type);

/* How an object is written: JSON's way, or as fields of a call. */
struct flo_object_words {
    const char *open, *close;
    /* A member, and another one before it. */
    void (*member)(struct flo_schema *s, const struct flo_object_words *words,
                   const struct flo_tree_node *schema, const char *name, size_t bytes);
    void (*between)(struct flo_schema *s, const struct flo_object_words *words);
    bool has_fields; /* no members of other names, and none are counted */
    const void *context;
};
void flo_schema_object_as(struct flo_schema *s, const struct flo_tree_node *schema,
                          const struct flo_object_words *words);
/* A text's characters: `any` is the rule of one that is not told apart. */
void flo_schema_text(struct flo_schema *s, const struct flo_tree_node *schema, uint32_t any);
/* Between two members or values. */
static inline const char *flo_schema_comma(const struct flo_schema *s)
{
    return s->mark != NULL ? "," : ", ";
}
/* Any text up to the mark, and that. */
void flo_schema_up_to(struct flo_schema *s, const struct flo_form_text *mark);
/* For a schema with a mark: rules of any value; a member's name and what
 * follows it. */
void flo_schema_marked_rules(struct flo_schema *s);
void flo_schema_marked_name(struct flo_schema *s, const char *name, size_t bytes);
/* Before a list is built and after: flo_schema_end() gives the program.  Errors
 * as flo_schema_compile(). */
void flo_schema_begin(struct flo_schema *s, struct flo_err *err);
/* Each item of the list, and those that this adds, becomes a rule. */
void flo_schema_put_items(struct flo_schema *s);
int flo_schema_end(struct flo_schema *s, struct flo_program **program);

#endif
