/* JSON as the engine reads it: a schema to a tree, in two blocks of memory.
 * The engine links no library, so it has its own small reader. */
#ifndef FLOTILLA_GRAMMAR_JSON_H
#define FLOTILLA_GRAMMAR_JSON_H

#include <flotilla/base.h>

enum flo_tree_kind {
    FLO_TREE_NULL,
    FLO_TREE_BOOLEAN,
    FLO_TREE_NUMBER,
    FLO_TREE_STRING,
    FLO_TREE_ARRAY,
    FLO_TREE_OBJECT,
};

struct flo_tree_node {
    enum flo_tree_kind kind;
    const char *text; /* of a string without escapes; of a number, true, false
                         as they stand */
    size_t bytes;
    const char *key; /* as a member of an object */
    size_t key_bytes;
    struct flo_tree_node *first, *next; /* child; sibling */
};

#define FLO_TREE_NODES_MAX 32768u
#define FLO_TREE_DEPTH_MAX 64

/* Zero-initialise. */
struct flo_tree {
    struct flo_tree_node *nodes; /* [FLO_TREE_NODES_MAX], used as needed */
    uint32_t count;
    char *texts;
    size_t text_bytes;
};

/* Strict but for duplicate keys, of which the first counts.
 * FLO_E_INFER_PARAM with the offset, FLO_E_MEMORY. */
FLO_MUST_USE int flo_tree_read(struct flo_tree *tree, const char *text,
                               size_t bytes, struct flo_err *err);
void flo_tree_deinit(struct flo_tree *tree);

/* A node beside those that were read; NULL: no room. */
struct flo_tree_node *flo_tree_new(struct flo_tree *tree,
                                   enum flo_tree_kind kind);
/* A copy of `value` as a member (or, without a key, an element) at the end. */
bool flo_tree_add(struct flo_tree *tree, struct flo_tree_node *to,
                  const char *key, size_t key_bytes,
                  const struct flo_tree_node *value);

/* NULL: no such member, or no object. */
const struct flo_tree_node *flo_tree_get(const struct flo_tree_node *object,
                                         const char *key, size_t key_bytes);
bool flo_tree_same(const struct flo_tree_node *a,
                   const struct flo_tree_node *b);
/* As text, `, ` and `: ` between. */
void flo_tree_print(const struct flo_tree_node *node, struct flo_buf *out);

#endif
