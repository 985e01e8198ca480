/* Parts: the parts of a release other than a single model: more files,
 * adapters, variants, the runtime, serving options. */
#ifndef FLOTILLA_CLI_CREATE_PARTS_H
#define FLOTILLA_CLI_CREATE_PARTS_H

#include <flotilla/release.h>

#include "server-stub/cli/cli.h"

#define FLO_PARTS_TEXTS_MAX 512

struct flo_parts {
    bool is_used; /* some flag was given that describes such parts */
    bool is_native;
    const char *auto_runtime; /* runtime of the variants of --runtime auto; NULL: not auto */
    const char *adapter;      /* path; NULL: none */
    struct flo_author_file files[FLO_RELEASE_FILES_MAX];
    size_t file_count;
    struct flo_author_variant variants[FLO_RELEASE_VARIANTS_MAX];
    size_t variant_count;
    uint64_t floor;
    struct flo_release_serve serve;
    struct flo_release *base; /* release with the adapter's base model; NULL: there is no adapter */
    struct flo_digest base_id;
    char *texts[FLO_PARTS_TEXTS_MAX]; /* copies of flag values, which the parts own */
    size_t text_count;
};

/* Reads the flags that describe the parts.  FLO_E_USAGE names the wrong
 * flag. */
FLO_MUST_USE int flo_parts_read(struct flo_cli *cli, struct flo_parts *parts, struct flo_err *err);
/* Tells whether the value of --runtime is auto or auto:RUNTIME. */
bool flo_auto_is(const char *runtime);
/* Makes the variants of --runtime auto (auto.c).  FLO_E_USAGE: the other flags
 * do not fit. */
FLO_MUST_USE int flo_auto_read(const struct flo_cli *cli, const char *value,
                               struct flo_parts *parts, struct flo_err *err);
/* Gets the release of --base from the controller, and makes its model the
 * adapter's base. */
FLO_MUST_USE int flo_parts_take_base(struct flo_cli *cli, struct flo_parts *parts,
                                     struct flo_err *err);
/* Parses a release's document, as REST returns it.  The caller frees *out. */
FLO_MUST_USE int flo_parts_read_document(const json_t *document, struct flo_release **out,
                                         struct flo_err *err);
void flo_parts_deinit(struct flo_parts *parts);

#endif
