/* Tree: JSON (RFC 8259) for programs that link no library.  Schemas, test
 * suites and heads of safetensors files become trees; answers are only
 * checked. */
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
    FLO_TREE_ODD, /* a string that holds U+0000 or half a surrogate pair */
};

struct flo_tree_node {
    enum flo_tree_kind kind;
    /* Text of the node: the decoded text of a string, with a NUL; or a number,
     * true or false as written. */
    const char *text;
    size_t bytes;
    const char *key; /* key in the object above, with a NUL; empty for an ODD key */
    size_t key_bytes;
    struct flo_tree_node *first, *next; /* first child; next sibling */
};

#define FLO_TREE_NODES_MAX (1u << 22)
#define FLO_TREE_DEPTH_MAX 64

/* Zero-initialise. */
struct flo_tree {
    struct flo_tree_node *nodes; /* array of `nodes_max` nodes; the first one is the root */
    uint32_t count, nodes_max;
    bool has_odd; /* true: some key or value is ODD */
    bool is_full; /* true: a node did not fit and is missing */
    struct flo_tree_node spare;
};

/* Reads `digits` hexadecimal digits at *at and moves *at past them.  Returns
 * false when there are fewer. */
bool flo_hex_read(const char **at, const char *end, int digits, uint32_t *out);

/* Checks that `text` is one JSON value in UTF-8, with white space around it and
 * no other text. */
bool flo_json_check(const char *text, size_t bytes);
/* Parses one JSON value to a tree with room for `room` more nodes.  The text
 * may have at most `values_max` values (0: no limit).  It is decoded in place,
 * so it must outlive the tree.  On an error the tree is unchanged.
 *
 * Returns FLO_E_INFER_PARAM for too many values, or when flo_json_check() would
 * refuse the text.  In the second case *bad (may be NULL) is the offset of the
 * fault.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_tree_read(struct flo_tree *tree, char *text, size_t bytes, uint32_t values_max,
                               uint32_t room, size_t *bad, struct flo_err *err);
void flo_tree_deinit(struct flo_tree *tree);

/* Adds a node to the tree.  A full tree gives a scratch node, which the next
 * call gives again. */
struct flo_tree_node *flo_tree_new(struct flo_tree *tree, enum flo_tree_kind kind);
/* Appends a copy of `value`, with its key, to the list that ends at *last.
 * Returns the list's new end. */
struct flo_tree_node **flo_tree_add(struct flo_tree *tree, struct flo_tree_node **last,
                                    const struct flo_tree_node *value);

/* Returns the first child, or NULL when the node is NULL or has no children. */
static inline const struct flo_tree_node *flo_tree_first(const struct flo_tree_node *node)
{
    return node != NULL ? node->first : NULL;
}
/* Returns how many children a node has. */
size_t flo_tree_count(const struct flo_tree_node *node);
/* Returns a member by its key, or NULL when `object` is not an object, or lacks
 * the member. */
const struct flo_tree_node *flo_tree_member(const struct flo_tree_node *object, const char *key);
/* Tells whether the node is this truth value; false for NULL. */
static inline bool flo_tree_says(const struct flo_tree_node *node, bool value)
{
    return node != NULL && node->kind == FLO_TREE_BOOLEAN && node->text[0] == (value ? 't' : 'f');
}
/* Tells whether the node is this string. */
bool flo_tree_is(const struct flo_tree_node *node, const char *text);
/* Reads a whole number from least to most.  Returns false when the node is NULL
 * or not such a number. */
bool flo_tree_whole(const struct flo_tree_node *node, int64_t least, int64_t most, int64_t *out);
/* Reads a number of at most 63 bytes, infinite if a double cannot hold it.
 * Returns false when the node is NULL or not such a number. */
bool flo_tree_number(const struct flo_tree_node *node, double *out);
/* Appends the tree as JSON text, with `, ` and `: ` as separators. */
void flo_tree_print(const struct flo_tree_node *node, struct flo_buf *out);

#endif
