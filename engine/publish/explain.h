/* Explain: what was done with each key of others' files, for people and for the
 * new file. */
#ifndef FLOTILLA_ENGINE_EXPLAIN_H
#define FLOTILLA_ENGINE_EXPLAIN_H

#include "base/args/args.h"
#include "engine/publish/import/keys.h"
#include "engine/publish/import/reading.h"

#define FLO_FLAG_ACCEPT                                                                            \
    {                                                                                              \
        "accept-unknown", "KEY", "pass over keys that would be refused; several, or with commas",  \
            FLO_ASKED                                                                              \
    }

/* Reads the flags of FLO_FLAG_ACCEPT.  FLO_E_USAGE: they are too many. */
FLO_MUST_USE int flo_explain_accept(struct flo_folder_reading *reading, const struct flo_args *args,
                                    struct flo_err *err);
/* Appends a report as a table of 80 columns, or as JSON. */
void flo_explain(const struct flo_buf *report, bool is_json, struct flo_buf *out);
/* Appends a line with the names of all keys of one fate, if there are any. */
void flo_explain_names(const struct flo_buf *report, const char *fate, const char *before,
                       struct flo_buf *out);
/* Sets the report's digest and the accepted keys as keys of the new file. */
void flo_explain_set(struct flo_keys *keys, const struct flo_folder_reading *reading);

#endif
