/* The parts of a release beyond one model: more files, adapters, variants, the
 * runtime, the way it is served. */
#ifndef FLOTILLA_CLI_CREATE_PARTS_H
#define FLOTILLA_CLI_CREATE_PARTS_H

#include <flotilla/release.h>

#include "server-stub/cli/cli.h"

#define FLO_PARTS_TEXTS_MAX 512

struct flo_parts {
    bool is_used; /* any of its flags was given */
    bool is_native;
    const char *adapter; /* path; NULL: none */
    struct flo_author_file files[FLO_RELEASE_FILES_MAX];
    size_t file_count;
    struct flo_author_variant variants[FLO_RELEASE_VARIANTS_MAX];
    size_t variant_count;
    uint64_t floor;
    struct flo_release_serve serve;
    struct flo_release *base; /* that the adapter is for; NULL: none */
    struct flo_digest base_id;
    char *texts[FLO_PARTS_TEXTS_MAX]; /* owned copies of what was typed */
    size_t text_count;
};

/* Read the flags.  FLO_E_USAGE names the flag. */
FLO_MUST_USE int flo_parts_read(struct flo_cli *cli, struct flo_parts *parts, struct flo_err *err);
/* Ask the controller for the release of --base, and take its model. */
FLO_MUST_USE int flo_parts_take_base(struct flo_cli *cli, struct flo_parts *parts,
                                     struct flo_err *err);
/* A release document, as the REST answers it, taken apart; the caller frees it.
 */
FLO_MUST_USE int flo_parts_read_document(const json_t *document, struct flo_release **out,
                                         struct flo_err *err);
void flo_parts_deinit(struct flo_parts *parts);

#endif
