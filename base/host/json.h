/* JSON: strict reading, checked fields, compact writing (jansson inside).
 *
 * No other file includes <jansson.h>.  Code may use json_t and jansson's own
 * builders (json_pack, json_object_set_new).  Input from outside is read
 * through the functions below only.  A tree belongs to one thread at a time. */
#ifndef FLOTILLA_HOST_JSON_H
#define FLOTILLA_HOST_JSON_H

#include <jansson.h>

#include <flotilla/base.h>

/* Deepest nesting of objects and arrays in a document. */
#define FLO_JSON_DEPTH_MAX 16
/* Most objects and arrays in a document of less than 1 MiB, and per further
 * MiB.  An empty one takes 2 bytes of text, but more than 200 of memory. */
#define FLO_JSON_PARTS_MAX 65536

/* Parse one object or array of at most bytes_max bytes into *out, which the
 * caller releases (json_decref or flo_json_cleanup).
 *
 * Strict: UTF-8 without BOM, no duplicate keys, no bytes after the document but
 * white space, no NUL in a string, integers within int64, at most
 * FLO_JSON_DEPTH_MAX levels and FLO_JSON_PARTS_MAX objects and arrays.
 *
 * FLO_E_META_JSON        not strict JSON; the sentence has the byte offset
 * FLO_E_META_SCHEMA      a whole number beyond int64
 * FLO_E_META_JSON_DEPTH  nested deeper
 * FLO_E_META_TOO_LARGE   more than bytes_max bytes, or so many parts; found
 *                        before anything is built
 * FLO_E_MEMORY */
FLO_MUST_USE int flo_json_parse(const char *text, size_t bytes, size_t bytes_max, json_t **out,
                                struct flo_err *err);

/* json_decref(*json) for FLO_CLEANUP. */
void flo_json_cleanup(json_t **json);

/* ---- trees with secrets ---- */

/* As flo_json_parse, for a document with secrets.  Temporary memory is wiped:
 * only the tree keeps parts of the text. */
FLO_MUST_USE int flo_json_secret_parse(const char *text, size_t bytes, size_t bytes_max,
                                       json_t **out, struct flo_err *err);
/* json_decref(*json) for FLO_CLEANUP.  Wipes all values that have no other
 * reference. */
void flo_json_secret_cleanup(json_t **json);
/* As flo_json_dump_canonical, for an object or array with secrets.  `out` must
 * be empty; its memory is reserved first, so that no copy is left behind.  The
 * caller wipes it (flo_secret_buf_deinit). */
void flo_json_secret_dump(const json_t *json, struct flo_buf *out);

/* ---- fields of an object ---- */

/* Each function reads object[key].  FLO_E_META_SCHEMA: the message names the
 * field, the fault and the limit ("field `bytes`: 12 is above 10").  A caller
 * that reads a part of a document puts its path in front with flo_wrap
 * ("files[2]").  Texts, objects and arrays are borrowed from the tree.
 *
 * The _opt_ forms give `standard` when the key is missing or null; a value
 * that is there but wrong is refused all the same. */

/* Text of at most bytes_max bytes. */
FLO_MUST_USE int flo_json_get_text(const json_t *object, const char *key, size_t bytes_max,
                                   const char **out, struct flo_err *err);
FLO_MUST_USE int flo_json_opt_text(const json_t *object, const char *key, size_t bytes_max,
                                   const char *standard, const char **out, struct flo_err *err);

/* A whole number from min to max, inclusive.  JSON integers end at
 * INT64_MAX. */
FLO_MUST_USE int flo_json_get_u64(const json_t *object, const char *key, uint64_t min, uint64_t max,
                                  uint64_t *out, struct flo_err *err);
FLO_MUST_USE int flo_json_opt_u64(const json_t *object, const char *key, uint64_t min, uint64_t max,
                                  uint64_t standard, uint64_t *out, struct flo_err *err);

/* A number, with or without fraction, from min to max. */
FLO_MUST_USE int flo_json_get_real(const json_t *object, const char *key, double min, double max,
                                   double *out, struct flo_err *err);
FLO_MUST_USE int flo_json_opt_real(const json_t *object, const char *key, double min, double max,
                                   double standard, double *out, struct flo_err *err);

FLO_MUST_USE int flo_json_get_bool(const json_t *object, const char *key, bool *out,
                                   struct flo_err *err);
FLO_MUST_USE int flo_json_opt_bool(const json_t *object, const char *key, bool standard, bool *out,
                                   struct flo_err *err);

FLO_MUST_USE int flo_json_get_object(const json_t *object, const char *key, json_t **out,
                                     struct flo_err *err);
/* *out is NULL when the key is missing. */
FLO_MUST_USE int flo_json_opt_object(const json_t *object, const char *key, json_t **out,
                                     struct flo_err *err);

/* An array of at most count_max elements. */
FLO_MUST_USE int flo_json_get_array(const json_t *object, const char *key, size_t count_max,
                                    json_t **out, struct flo_err *err);
FLO_MUST_USE int flo_json_opt_array(const json_t *object, const char *key, size_t count_max,
                                    json_t **out, struct flo_err *err);

/* "sha256:<64 hex>"; the _opt_ form gives the zero digest. */
FLO_MUST_USE int flo_json_get_digest(const json_t *object, const char *key, struct flo_digest *out,
                                     struct flo_err *err);
FLO_MUST_USE int flo_json_opt_digest(const json_t *object, const char *key, struct flo_digest *out,
                                     struct flo_err *err);

/* Reads a name that flo_name_is_valid accepts.  FLO_E_META_NAME: invalid. */
FLO_MUST_USE int flo_json_get_name(const json_t *object, const char *key, const char **out,
                                   struct flo_err *err);
FLO_MUST_USE int flo_json_opt_name(const json_t *object, const char *key, const char *standard,
                                   const char **out, struct flo_err *err);

/* Reads a device id that flo_uuid_is_valid accepts. */
FLO_MUST_USE int flo_json_get_uuid(const json_t *object, const char *key, const char **out,
                                   struct flo_err *err);

/* Refuses a document with a critical extension: a key that begins with "crit_",
 * at any depth.  A reader that does not know such a key must not act on the
 * document, and this version knows none.  FLO_E_META_SCHEMA names the first. */
FLO_MUST_USE int flo_json_check_critical(const json_t *json, struct flo_err *err);

/* ---- members of a tree that is known ---- */

/* The tree was checked when it came in, or may lack the member: a member that
 * is missing or of another type counts as said nothing.  Borrowed. */

/* NULL: missing, or null. */
json_t *flo_json_member(const json_t *object, const char *key);
const char *flo_json_text(const json_t *object, const char *key, const char *standard);
/* Copies the text into `out`, cut to its `bytes`; "": none. */
void flo_json_copy_text(const json_t *object, const char *key, char *out, size_t bytes);
/* A whole number; 0: none above 0. */
uint64_t flo_json_number(const json_t *object, const char *key);
/* The same; 0 for a number above `most` too. */
uint64_t flo_json_number_to(const json_t *object, const char *key, uint64_t most);
/* Is the member this text? */
bool flo_json_says(const json_t *object, const char *key, const char *text);
/* Are both values equal, or both missing? */
bool flo_json_equal(const json_t *a_or_null, const json_t *b_or_null);

/* ---- making ---- */

/* New values; NULL: no memory.  A number is at most INT64_MAX. */
json_t *flo_json_u64(uint64_t value);
/* null where the number is 0. */
json_t *flo_json_u64_or_null(uint64_t value);
/* null where the number is none, or infinite; the second form: or not known. */
json_t *flo_json_finite(double value);
json_t *flo_json_finite_if(bool is_known, double value);
json_t *flo_json_digest(const struct flo_digest *digest);
/* null where the text is NULL or empty. */
json_t *flo_json_text_or_null(const char *text);

/* The object at `key`, made where there is none; borrowed. */
json_t *flo_json_object_at(json_t *object, const char *key);
void flo_json_set_text(json_t *object, const char *key, const char *text);
void flo_json_set_number(json_t *object, const char *key, uint64_t number);
/* A new member, or none where the value says nothing: "", 0, an empty list or
 * object.  The parts' reference is taken. */
void flo_json_put_text(json_t *object, const char *key, const char *text);
void flo_json_put_number(json_t *object, const char *key, uint64_t number);
void flo_json_put_parts(json_t *object, const char *key, json_t *parts);
/* Adds to the whole number at `key`, which is 0 where there is none. */
void flo_json_count(json_t *object, const char *key, uint64_t more);

/* ---- writing ---- */

/* Appends the JSON without white space, with keys in the order of insertion.  A
 * failure shows in out->failed. */
void flo_json_dump(const json_t *json, struct flo_buf *out);
/* As flo_json_dump, with keys sorted by their bytes: equal trees give equal
 * texts.  Escapes are the shortest ones.  flo_json_parse reads the text
 * back. */
void flo_json_dump_canonical(const json_t *json, struct flo_buf *out);
/* As flo_json_dump, indented by two blanks for people. */
void flo_json_dump_pretty(const json_t *json, struct flo_buf *out);

#endif
