/* Form: checks the finished answer of a runtime against the form that was asked
 * for.  A runtime only promises a form; our own engine's grammar keeps it.
 *
 *   accept.c   tells whether answers can be checked against a schema
 *   check.c    checks an answer
 *   equal.c    compares values; numbers as decimals of any length
 *   format.c   dates, addresses and the other words of `format`
 *
 * The keywords are those of the grammar's schemas (schema/walk.c), with the
 * meaning that JSON Schema 2020-12 gives them.  So some schemas that no grammar
 * can keep can still be checked: a length next to a pattern, a limit with a
 * fraction, alternatives of oneOf that may hold together.  Pure. */
#ifndef FLOTILLA_GRAMMAR_FORM_H
#define FLOTILLA_GRAMMAR_FORM_H

#include "base/tree/tree.h"

#define FLO_FORM_VALUES_MAX 65536u /* most values of an answer */
#define FLO_FORM_DEPTH_MAX 1024    /* most schemas that are applied one within the other */
#define FLO_FORM_IN_PLACE_MAX 64   /* most of them that are applied to one value */
#define FLO_FORM_NODE_STEPS 16u    /* steps that a node of a compiled pattern counts as */

/* Checks that answers can be checked against a schema.
 *
 * FLO_E_INFER_SCHEMA names the JSON pointer of what is not supported.
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_form_accept(const char *schema, size_t bytes, struct flo_err *err);
/* Checks an answer against a schema that flo_form_accept() has accepted.
 * Without a schema (NULL) the answer must be a JSON object.  An answer in which
 * an object has a member twice, or a text has U+0000 or half of a surrogate
 * pair, has no form.
 *
 * FLO_E_INFER_FORM names the JSON pointer of the value, the form that it must
 * have, and its kind and size.  No text or number of the answer is in the
 * error, because errors are logged.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_form_check(const char *schema, size_t schema_bytes, const char *answer,
                                size_t bytes, struct flo_err *err);

/* ---- inside this folder ---- */

struct flo_schema;
/* Returns a number below, at or above 0 when the number `a` is below, at or
 * above `b`.  Exponents beyond 10^15 count as that. */
int flo_form_compare(const struct flo_tree_node *a, const struct flo_tree_node *b);
/* Tells whether a number has no fraction.  1.0 and 1e2 have none. */
bool flo_form_is_whole(const struct flo_tree_node *number);
/* Tells whether two values are equal.  The order of members does not count.
 * Counts steps of `s`. */
bool flo_form_same(struct flo_schema *s, const struct flo_tree_node *a,
                   const struct flo_tree_node *b);
/* Finds a member whose name stands in its object before.  *out is NULL if each
 * name of the tree is unique in its object.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_form_find_twice(const struct flo_tree *tree, const struct flo_tree_node **out,
                                     struct flo_err *err);

typedef bool flo_form_format_fn(const char *text, size_t bytes);
/* Returns the check of a format, or NULL if the format is not supported. */
flo_form_format_fn *flo_form_format(const struct flo_tree_node *name);

#endif
