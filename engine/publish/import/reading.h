/* Reading: what is done with each key of somebody else's file.  No key is
 * passed over: it is applied, harmless, or refused by its name.
 *
 * reading.def has a row for each key; the first row that fits a key and its
 * value decides.  A key without a row is refused, and so is a value that no row
 * of its key names.  A person may accept a refused key, which then counts as
 * absent in the report alone. */
#ifndef FLOTILLA_ENGINE_IMPORT_READING_H
#define FLOTILLA_ENGINE_IMPORT_READING_H

#include "base/tree/tree.h"

enum flo_fate {
    FLO_APPLIED,  /* a function makes a part of the model of it */
    FLO_HARMLESS, /* no answer depends on it */
    FLO_LEFT,     /* a request says it: the folder only has a proposal */
    FLO_REFUSED,  /* answers depend on it, and no program of ours does that */
};

/* Tells whether a row fits: `object` has the key whose value is `value`. */
typedef bool flo_reading_when(const struct flo_tree_node *object,
                              const struct flo_tree_node *value);

struct flo_reading_row {
    const char *file;
    /* Names, separated by dots; several paths are separated by blanks.  * is any
     * name or item; ** at the end, all that is below.  In tokenizer.json an
     * object with a type is SECTION/TYPE. */
    const char *path;
    const char *families; /* architectures of ours, separated by blanks; "": all */
    enum flo_fate fate;
    const char *values;     /* JSON, separated by |; "": any */
    flo_reading_when *when; /* NULL: always */
    const char *why;        /* what applies it, why it's harmless, or what to do */
};

/* Zero-initialise, but for `arch`. */
struct flo_folder_reading {
    const char *arch;
    const struct flo_tree_node *inner; /* an object whose keys count as the file's; NULL: none */
    char accepted[4096];               /* names or paths of keys, with a comma behind each */
    struct flo_buf report; /* a line for each key: FATE, FILE, PATH, VALUE, WHY, by tabs */
    struct flo_buf taken;  /* accepted keys that a file has, each with a NUL */
};

/* Accepts keys, separated by commas.  FLO_E_USAGE: they are too long. */
FLO_MUST_USE int flo_reading_accept(struct flo_folder_reading *reading, const char *keys,
                                    struct flo_err *err);
/* Reads each key of `object`, which `file` has, and adds it to the report.  A
 * key that is null counts as absent, unless a row names the value.  `of` is
 * the name that the rows have for the file.
 *
 * FLO_E_MODEL_FOLDER: a key is refused.  The report has all keys then, too. */
FLO_MUST_USE int flo_reading_file(struct flo_folder_reading *reading, const char *of,
                                  const char *file, const struct flo_tree_node *object,
                                  struct flo_err *err);
void flo_reading_deinit(struct flo_folder_reading *reading);

#endif
