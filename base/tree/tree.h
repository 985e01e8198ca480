/* JSON (RFC 8259) for those who link no library: schemas, suites and heads of
 * safetensors files to trees, answers only looked at. */
#ifndef FLOTILLA_BASE_TREE_H
#define FLOTILLA_BASE_TREE_H

#include <flotilla/base.h>

enum flo_tree_kind {
    FLO_TREE_NULL,
    FLO_TREE_BOOLEAN,
    FLO_TREE_NUMBER,
    FLO_TREE_STRING,
    FLO_TREE_ARRAY,
    FLO_TREE_OBJECT,
    FLO_TREE_ODD, /* a string that is no text: U+0000 or half a pair in it */
};

struct flo_tree_node {
    enum flo_tree_kind kind;
    /* A string without escapes, NUL after it; a number, true, false as they
     * stand. */
    const char *text;
    size_t bytes;
    const char *key; /* as a member of an object, NUL after it; odd: empty */
    size_t key_bytes;
    struct flo_tree_node *first, *next; /* child; sibling */
};

#define FLO_TREE_NODES_MAX (1u << 22)
#define FLO_TREE_DEPTH_MAX 64

/* Zero-initialise. */
struct flo_tree {
    struct flo_tree_node *nodes; /* [nodes_max]; the first is the root */
    uint32_t count, nodes_max;
    bool has_odd; /* a key or a value */
    bool is_full; /* something was left out */
    struct flo_tree_node spare;
};

/* Read so many hexadecimal digits at *at, which moves past them; false: there
 * are fewer. */
bool flo_hex_read(const char **at, const char *end, int digits, uint32_t *out);

/* Is `text` one JSON value in UTF-8 with white space around, and nothing else?
 */
bool flo_json_check(const char *text, size_t bytes);
/* Such a text of at most `values_max` values (0: as many as there can be) to a
 * tree with room for `room` nodes more.  Texts are decoded in place: `text`
 * must outlive the tree.  On an error it is as it was.
 *
 * FLO_E_INFER_PARAM   no such text; *bad (may be NULL) is where
 * FLO_E_MEMORY */
FLO_MUST_USE int flo_tree_read(struct flo_tree *tree, char *text, size_t bytes, uint32_t values_max,
                               uint32_t room, size_t *bad, struct flo_err *err);
void flo_tree_deinit(struct flo_tree *tree);

/* A node next to those that were read; when it is full, one that goes away with
 * the next. */
struct flo_tree_node *flo_tree_new(struct flo_tree *tree, enum flo_tree_kind kind);
/* A copy of `value`, under its key, at *last, which ends a list; where that
 * ends now. */
struct flo_tree_node **flo_tree_add(struct flo_tree *tree, struct flo_tree_node **last,
                                    const struct flo_tree_node *value);

/* NULL: the node is NULL or has no children. */
static inline const struct flo_tree_node *flo_tree_first(const struct flo_tree_node *node)
{
    return node != NULL ? node->first : NULL;
}
/* NULL: `object` is none, or has no such member. */
const struct flo_tree_node *flo_tree_member(const struct flo_tree_node *object, const char *key);
/* Is it this string? */
bool flo_tree_is(const struct flo_tree_node *node, const char *text);
/* A whole number from least to most; false: the node is no such number, or
 * NULL. */
bool flo_tree_whole(const struct flo_tree_node *node, int64_t least, int64_t most, int64_t *out);
/* A number of at most 63 bytes, infinite where a double cannot hold it; false:
 * the node is no such number, or NULL. */
bool flo_tree_number(const struct flo_tree_node *node, double *out);
/* As text, `, ` and `: ` between. */
void flo_tree_print(const struct flo_tree_node *node, struct flo_buf *out);

#endif
