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
/* Most objects and arrays in a document of less than 1 MiB; each further MiB
 * may have as many again.  An empty object takes 2 bytes of text, but more than
 * 200 of memory. */
#define FLO_JSON_PARTS_MAX 65536

/* Parses one object or array of at most bytes_max bytes into *out, which the
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

/* Parses the body of a request, which must be an object.  The caller frees it.
 * FLO_E_REST_SCHEMA  anything else
 * FLO_E_MEMORY */
FLO_MUST_USE int flo_json_body(const char *text, size_t bytes, size_t bytes_max, json_t **out,
                               struct flo_err *err);

/* Calls json_decref(*json), for FLO_CLEANUP. */
void flo_json_cleanup(json_t **json);

/* ---- trees with secrets ---- */

/* Parses a document with secrets as flo_json_parse does.  Temporary memory is
 * wiped, so that only the tree has parts of the text. */
FLO_MUST_USE int flo_json_secret_parse(const char *text, size_t bytes, size_t bytes_max,
                                       json_t **out, struct flo_err *err);
/* Releases *json, for FLO_CLEANUP.  Wipes all values that have no other
 * reference. */
void flo_json_secret_cleanup(json_t **json);
/* Writes an object or array with secrets, as flo_json_dump_canonical does.
 * `out` must be empty; its memory is reserved first, so that no copy is left
 * behind.  The caller wipes it (flo_secret_buf_deinit). */
void flo_json_secret_dump(const json_t *json, struct flo_buf *out);

/* ---- fields of an object ---- */

/* The flo_json_get_ and flo_json_opt_ functions read object[key].  The message
 * of FLO_E_META_SCHEMA names the field, the fault and the limit ("field
 * `bytes`: 12 is above 10").  A caller that reads a part of a document puts its
 * path in front with flo_wrap ("files[2]").  Texts, objects and arrays are
 * borrowed from the tree.
 *
 * The _opt_ functions return `standard` when the key is missing or null; a
 * value that is present but wrong is an error. */

/* Reads a text of at most bytes_max bytes. */
FLO_MUST_USE int flo_json_get_text(const json_t *object, const char *key, size_t bytes_max,
                                   const char **out, struct flo_err *err);
FLO_MUST_USE int flo_json_opt_text(const json_t *object, const char *key, size_t bytes_max,
                                   const char *standard, const char **out, struct flo_err *err);

/* Reads a whole number from min to max, inclusive.  JSON integers end at
 * INT64_MAX. */
FLO_MUST_USE int flo_json_get_u64(const json_t *object, const char *key, uint64_t min, uint64_t max,
                                  uint64_t *out, struct flo_err *err);
FLO_MUST_USE int flo_json_opt_u64(const json_t *object, const char *key, uint64_t min, uint64_t max,
                                  uint64_t standard, uint64_t *out, struct flo_err *err);

/* Reads a number, with or without fraction, from min to max. */
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
/* Reads an object.  *out is NULL when the key is missing. */
FLO_MUST_USE int flo_json_opt_object(const json_t *object, const char *key, json_t **out,
                                     struct flo_err *err);

/* Reads an array of at most count_max elements. */
FLO_MUST_USE int flo_json_get_array(const json_t *object, const char *key, size_t count_max,
                                    json_t **out, struct flo_err *err);
FLO_MUST_USE int flo_json_opt_array(const json_t *object, const char *key, size_t count_max,
                                    json_t **out, struct flo_err *err);

/* Reads a digest "sha256:<64 hex>".  A missing one reads as the zero digest in
 * flo_json_opt_digest(). */
FLO_MUST_USE int flo_json_get_digest(const json_t *object, const char *key, struct flo_digest *out,
                                     struct flo_err *err);
FLO_MUST_USE int flo_json_opt_digest(const json_t *object, const char *key, struct flo_digest *out,
                                     struct flo_err *err);

/* Reads a name that flo_name_is_valid accepts.  Returns FLO_E_META_NAME for an
 * invalid one. */
FLO_MUST_USE int flo_json_get_name(const json_t *object, const char *key, const char **out,
                                   struct flo_err *err);
FLO_MUST_USE int flo_json_opt_name(const json_t *object, const char *key, const char *standard,
                                   const char **out, struct flo_err *err);

/* Reads a device id that flo_uuid_is_valid accepts. */
FLO_MUST_USE int flo_json_get_uuid(const json_t *object, const char *key, const char **out,
                                   struct flo_err *err);

/* Refuses a document with a critical extension: a key that begins with "crit_",
 * at any depth.  A reader that does not know such a key must not act on the
 * document.  `known` is the one that the caller reads, or NULL.
 * FLO_E_META_SCHEMA names the first other one. */
FLO_MUST_USE int flo_json_check_critical(const json_t *json, const char *known,
                                         struct flo_err *err);

/* ---- members of a tree that is known ---- */

/* The functions below read a tree that was checked before, or that may lack the
 * member.  A member that is missing or of another type counts as not set.
 * Results are borrowed. */

/* Returns a member, or NULL when it is missing or null. */
json_t *flo_json_member(const json_t *object, const char *key);
const char *flo_json_text(const json_t *object, const char *key, const char *standard);
/* Copies the text of a member into `out`, cut to its `bytes`; "" when it is
 * missing. */
void flo_json_copy_text(const json_t *object, const char *key, char *out, size_t bytes);
/* Returns a whole number, or 0 when the member has none above 0. */
uint64_t flo_json_number(const json_t *object, const char *key);
/* Returns a whole number, or 0 when the member has none above 0 or it is above
 * `most`. */
uint64_t flo_json_number_to(const json_t *object, const char *key, uint64_t most);
/* Tells whether the member is this text. */
bool flo_json_says(const json_t *object, const char *key, const char *text);
/* Tells whether both values are equal, or both missing. */
bool flo_json_equal(const json_t *a_or_null, const json_t *b_or_null);

/* ---- making ---- */

/* Returns a new number, or NULL when memory is out.  The number is at most
 * INT64_MAX. */
json_t *flo_json_u64(uint64_t value);
/* Returns a new number, or a JSON null for 0. */
json_t *flo_json_u64_or_null(uint64_t value);
/* Returns a new number, or a JSON null for NaN or infinity. */
json_t *flo_json_finite(double value);
/* Returns a new number, or a JSON null when it is not known, NaN or
 * infinite. */
json_t *flo_json_finite_if(bool is_known, double value);
json_t *flo_json_digest(const struct flo_digest *digest);
/* Returns a new text, or a JSON null when the text is NULL or empty. */
json_t *flo_json_text_or_null(const char *text);

/* Returns the object at `key`, which it makes when there is none; borrowed. */
json_t *flo_json_object_at(json_t *object, const char *key);
void flo_json_set_text(json_t *object, const char *key, const char *text);
void flo_json_set_number(json_t *object, const char *key, uint64_t number);
/* Sets a figure with three decimals; a null for NaN or infinity. */
void flo_json_set_figure(json_t *object, const char *key, double figure);
/* Adds a member unless its value is empty: "", 0, an empty list or object. */
void flo_json_put_text(json_t *object, const char *key, const char *text);
void flo_json_put_number(json_t *object, const char *key, uint64_t number);
/* Adds a list or object unless it is empty.  Takes the reference to `parts`. */
void flo_json_put_parts(json_t *object, const char *key, json_t *parts);
/* Adds to the whole number at `key`; a missing number counts as 0. */
void flo_json_count(json_t *object, const char *key, uint64_t more);

/* ---- writing ---- */

/* Appends the JSON without white space, with keys in the order of insertion.  A
 * failure sets out->failed. */
void flo_json_dump(const json_t *json, struct flo_buf *out);
/* Appends the JSON as flo_json_dump does, with keys sorted by their bytes:
 * equal trees give equal texts.  Escapes are the shortest ones.  flo_json_parse
 * reads the same tree from the text. */
void flo_json_dump_canonical(const json_t *json, struct flo_buf *out);
/* Appends the JSON as flo_json_dump does, indented by two blanks for people. */
void flo_json_dump_pretty(const json_t *json, struct flo_buf *out);

#endif
