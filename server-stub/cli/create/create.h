/* Parts of `flotilla release create` that share one state. */
#ifndef FLO_CLI_CREATE_H
#define FLO_CLI_CREATE_H

#include <flotilla/release.h>

#include "base/host/crypto.h"
#include "base/ticker.h"
#include "server-stub/cli/cli.h"
#include "server-stub/cli/create/parts.h"

#define FLO_CREATE_BASES_MAX 32 /* bases of all models together */
#define FLO_CREATE_STEPS_MAX 8

/* A file of an earlier release that a delta begins with. */
struct flo_create_base {
    char path[1200]; /* fetched */
    struct flo_digest digest;
    char version[FLO_NAME_MAX + 1];
    uint64_t devices; /* that run it now */
};

struct flo_create {
    char model_name[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    char fleet[FLO_NAME_MAX + 1];
    char dir[1024];
    struct flo_create_base bases[FLO_CREATE_BASES_MAX];
    size_t base_count;
    /* Documents of the releases that the bases are of, and files of theirs
     * through which older devices come (steps.c). */
    struct flo_release *old[FLO_AUTHOR_BASES_MAX];
    size_t old_count;
    struct flo_release_file steps[FLO_CREATE_STEPS_MAX];
    size_t step_count;
    char golden[1200];      /* where its prompts are, given or made */
    char player[1200];      /* the base's model, fetched */
    char lora[1200];        /* the adapter and its scale */
    struct flo_key *key;    /* that signs */
    struct flo_parts parts; /* beyond one model and its golden prompts */
    bool has_golden;        /* files[1] has the golden prompts */
    struct flo_author_file files[FLO_RELEASE_FILES_MAX];
    struct flo_author_variant variant; /* needs of each variant */
    struct flo_author author;
    struct flo_ticker ticker; /* while the downloads are made */
};

/* Index of the base with this digest; base_count: there is none. */
size_t flo_create_base_at(const struct flo_create *create, const struct flo_digest *digest);

/* Number of the new release, and the releases that its deltas begin with:
 * those of --delta-from; or the two newest published ones, and up to two more
 * that most devices run. */
FLO_MUST_USE int flo_create_find_bases(struct flo_cli *cli, struct flo_create *create,
                                       struct flo_err *err);

/* A release that has bases, as the REST answers it; until
 * flo_create_forget_old().  Its deltas that were collected are left out. */
FLO_MUST_USE int flo_create_keep_old(struct flo_create *create, const json_t *release,
                                     struct flo_err *err);
/* Does a list of digests of an answer have it? */
bool flo_create_is_listed(const json_t *list_or_null, const struct flo_digest *digest);
void flo_create_forget_old(struct flo_create *create);
/* Files of role `step` behind the others, when all bases are known. */
void flo_create_add_steps(struct flo_create *create);

/* The input that differs from the release that is there; empty: none. */
FLO_MUST_USE int flo_create_difference(const struct flo_create *create, const json_t *document,
                                       char *out, size_t out_bytes, struct flo_err *err);

/* Check golden prompts with the reader that devices use. */
FLO_MUST_USE int flo_create_golden_check(const char *path, struct flo_err *err);

/* Make the golden prompts, or play the given ones, as the flags ask. */
FLO_MUST_USE int flo_create_golden(struct flo_cli *cli, struct flo_create *create,
                                   struct flo_err *err);

/* Sign the release and send its blobs and the envelope.  *release, which the
 * caller frees, is the controller's answer. */
FLO_MUST_USE int flo_create_upload(struct flo_cli *cli, struct flo_create *create,
                                   const struct flo_author_result *made, json_t **release,
                                   struct flo_err *err);

/* The downloads of the release: a list that the caller frees. */
json_t *flo_create_ways(const struct flo_create *create, const struct flo_author_result *made);

void flo_create_show_ways(const struct flo_cli *cli, const json_t *ways);

#endif
