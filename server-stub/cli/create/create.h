/* Create: state shared by the parts of `flotilla release create`. */
#ifndef FLO_CLI_CREATE_H
#define FLO_CLI_CREATE_H

#include <flotilla/release.h>

#include "base/host/crypto.h"
#include "base/ticker.h"
#include "server-stub/cli/cli.h"
#include "server-stub/cli/create/parts.h"

#define FLO_CREATE_BASES_MAX 32 /* largest number of bases, of all models together */
#define FLO_CREATE_STEPS_MAX 8

/* File of an earlier release that is the base of a delta. */
struct flo_create_base {
    char path[1200]; /* path of the downloaded file */
    struct flo_digest digest;
    char version[FLO_NAME_MAX + 1];
    uint64_t devices; /* number of devices that run it now */
};

struct flo_create {
    char model_name[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    char fleet[FLO_NAME_MAX + 1];
    char dir[1024];
    struct flo_create_base bases[FLO_CREATE_BASES_MAX];
    size_t base_count;
    /* Documents of the bases' releases, and their files by which older devices
     * can update in steps (steps.c). */
    struct flo_release *old[FLO_AUTHOR_BASES_MAX];
    size_t old_count;
    struct flo_release_file steps[FLO_CREATE_STEPS_MAX];
    size_t step_count;
    char golden[1200];      /* folder of the golden prompts, given or made */
    char player[1200];      /* path of the base's downloaded model */
    char lora[1200];        /* LoRA adapter and its scale */
    struct flo_key *key;    /* key that signs */
    struct flo_parts parts; /* parts beyond one model and its golden prompts */
    bool has_golden;        /* files[1] contains the golden prompts */
    struct flo_author_file files[FLO_RELEASE_FILES_MAX];
    struct flo_author_variant variant; /* requirements of each variant */
    struct flo_author author;
    struct flo_ticker ticker; /* progress while downloads are made */
};

/* Returns the index of the base with this digest; base_count: there is none. */
size_t flo_create_base_at(const struct flo_create *create, const struct flo_digest *digest);

/* Finds the number of the new release, and the releases whose files are bases.
 * These are those of --delta-from, or else the two newest published ones and up
 * to two more that most devices run. */
FLO_MUST_USE int flo_create_find_bases(struct flo_cli *cli, struct flo_create *create,
                                       struct flo_err *err);

/* Keeps a release that has bases, as REST returns it, until
 * flo_create_forget_old().  Collected deltas are left out. */
FLO_MUST_USE int flo_create_keep_old(struct flo_create *create, const json_t *release,
                                     struct flo_err *err);
/* Tells whether an answer's list of digests has this one. */
bool flo_create_is_listed(const json_t *list_or_null, const struct flo_digest *digest);
void flo_create_forget_old(struct flo_create *create);
/* Appends files of role `step`, once all bases are known. */
void flo_create_add_steps(struct flo_create *create);

/* Finds the first input that differs from the existing release; "": none
 * differs. */
FLO_MUST_USE int flo_create_difference(const struct flo_create *create, const json_t *document,
                                       char *out, size_t out_bytes, struct flo_err *err);

/* Checks golden prompts with the device's reader. */
FLO_MUST_USE int flo_create_golden_check(const char *path, struct flo_err *err);

/* Makes the golden prompts, or runs the given ones, by the flags. */
FLO_MUST_USE int flo_create_golden(struct flo_cli *cli, struct flo_create *create,
                                   struct flo_err *err);

/* Signs the release, uploads its blobs and the envelope.  *release is the
 * controller's answer; the caller frees it. */
FLO_MUST_USE int flo_create_upload(struct flo_cli *cli, struct flo_create *create,
                                   const struct flo_author_result *made, json_t **release,
                                   struct flo_err *err);

/* Lists the downloads of the release; the caller frees the list. */
json_t *flo_create_ways(const struct flo_create *create, const struct flo_author_result *made);

void flo_create_show_ways(const struct flo_cli *cli, const json_t *ways);

#endif
