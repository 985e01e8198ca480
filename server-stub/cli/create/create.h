/* Create: state shared by the parts of `flotilla release create`. */
#ifndef FLO_CLI_CREATE_H
#define FLO_CLI_CREATE_H

#include <flotilla/release.h>

#include "base/host/crypto.h"
#include "base/scratch.h"
#include "base/ticker.h"
#include "server-stub/cli/cli.h"
#include "server-stub/cli/create/parts.h"

#define FLO_CREATE_BASES_MAX 32 /* largest number of bases of all models together */
#define FLO_CREATE_STEPS_MAX 8
/* most words of a command of flotilla-model: some flags, and a model of each
 * variant */
#define FLO_CREATE_WORDS_MAX (16 + 2 * FLO_RELEASE_VARIANTS_MAX)

/* A file of an earlier release that is the base of a delta. */
struct flo_create_base {
    char path[1200]; /* path of the file, which was downloaded */
    struct flo_digest digest;
    char version[FLO_NAME_MAX + 1];
    uint64_t devices; /* number of devices that run the file's release now */
};

struct flo_create {
    char model_name[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    char fleet[FLO_NAME_MAX + 1];
    char dir[FLO_SCRATCH_BYTES];
    struct flo_create_base bases[FLO_CREATE_BASES_MAX];
    size_t base_count;
    /* Documents of the releases with bases.  Older devices can update in steps
     * by the files of these releases (steps.c). */
    struct flo_release *old[FLO_AUTHOR_BASES_MAX];
    size_t old_count;
    struct flo_release_file steps[FLO_CREATE_STEPS_MAX];
    size_t step_count;
    char golden[1200]; /* folder of the golden prompts, which the user gave or the command made */
    /* folder with the GGUF file that was made of --model-file, and that file;
     * "": --model-file names a file */
    char scratch[FLO_SCRATCH_BYTES], imported[FLO_SCRATCH_BYTES + 16];
    char player[1200];   /* path of the model of --base, which was downloaded to
                            play the prompts with the adapter */
    char lora[1200];     /* LoRA adapter with its scale, for the command that plays the prompts */
    struct flo_key *key; /* key that signs */
    struct flo_parts parts; /* parts of the release other than a model and its golden prompts */
    struct flo_author_file draft; /* file of --draft, for all variants; path NULL: none */
    char license[64];  /* licence that a file names; "": --license has the id, or there is none */
    char quality[160]; /* figures of chosen types; "": no types were chosen */
    bool has_golden;   /* files[1] has the golden prompts */
    bool is_made;      /* the command made the golden prompts, with the model of files[0] */
    /* no engine of this machine computes the model, so nothing is played */
    bool is_unknown;
    struct flo_author_file files[FLO_RELEASE_FILES_MAX];
    struct flo_author_variant variant; /* requirements that each variant has */
    struct flo_author author;
    struct flo_ticker ticker; /* shows progress while files are downloaded */
};

/* Does all of `release create` with the words and flags of cli->args, and prints
 * its progress.  *release is the controller's answer, which the caller frees. */
FLO_MUST_USE int flo_create_release(struct flo_cli *cli, json_t **release, struct flo_err *err);

/* Returns the index of the base with this digest, or base_count if there is
 * none. */
size_t flo_create_base_at(const struct flo_create *create, const struct flo_digest *digest);

/* Finds the number of the new release, and the releases whose files are bases.
 * These are the releases of --delta-from.  Without that flag they are the two
 * newest published ones, and up to two more that most devices run. */
FLO_MUST_USE int flo_create_find_bases(struct flo_cli *cli, struct flo_create *create,
                                       struct flo_err *err);

/* Parses a release that has bases, as REST returns it, and keeps it until
 * flo_create_forget_old().  Deltas of it that were collected are left out. */
FLO_MUST_USE int flo_create_keep_old(struct flo_create *create, const json_t *release,
                                     struct flo_err *err);
/* Tells whether a list of digests in an answer has this digest. */
bool flo_create_is_listed(const json_t *list_or_null, const struct flo_digest *digest);
void flo_create_forget_old(struct flo_create *create);
/* Appends files with the role `step` to the release, once all bases are
 * known. */
void flo_create_add_steps(struct flo_create *create);

/* Finds the first input that differs from the existing release with the same
 * name; "": none differs. */
FLO_MUST_USE int flo_create_difference(const struct flo_create *create, const json_t *document,
                                       char *out, size_t out_bytes, struct flo_err *err);

/* Checks whether this machine's engine knows the model's architecture.
 * FLO_E_MODEL_ARCH: it does not, and the golden prompts would be played; the
 * fix lists the ways out.  Without a play it prints them as a warning. */
FLO_MUST_USE int flo_create_known(struct flo_cli *cli, struct flo_create *create,
                                  struct flo_err *err);

/* Finds the program flotilla-model, or the one of the same commands that has
 * llama.cpp's library.  Returns false if neither is installed. */
bool flo_create_model_program(char *path, size_t bytes);
/* Runs a command of the program flotilla-model, which prints its own progress
 * and errors on stderr.  *status is that of waitpid().  FLO_E_ABSENT: the
 * program is not installed. */
FLO_MUST_USE int flo_create_run_model(const char *const *words, int *status, struct flo_err *err);
/* Runs it with its stdout at `fd`; -1: at ours. */
FLO_MUST_USE int flo_create_run_model_to(const char *const *words, int fd, int *status,
                                         struct flo_err *err);
/* Runs the words, whose lines are for people: if our stdout is data for a
 * program, they go to stderr. */
FLO_MUST_USE int flo_create_run_model_shown(const struct flo_cli *cli, const char *const *words,
                                            int *status, struct flo_err *err);

/* Tells whether the command chooses the model's types: --calibrate, --fit or
 * --loss is given. */
bool flo_create_chooses(const struct flo_cli *cli);
/* Writes create->imported from a model in floats, as these flags say, and finds
 * the figures that are signed.  FLO_E_MODEL_GATE: no such model could be made,
 * or it is worse than allowed. */
FLO_MUST_USE int flo_create_quantize(struct flo_cli *cli, struct flo_create *create,
                                     const char *floats, struct flo_err *err);
/* Makes a GGUF file if --model-file names a folder from Hugging Face, or if types
 * are chosen.  It becomes the first file of the release.  FLO_E_MODEL_FOLDER,
 * FLO_E_USAGE, and the errors of flo_create_quantize(). */
FLO_MUST_USE int flo_create_import(struct flo_cli *cli, struct flo_create *create,
                                   struct flo_err *err);
/* Removes that file. */
void flo_create_import_end(struct flo_create *create);

/* Runs a command of the program flotilla-engine, whose lines go to stderr.
 * *status is that of waitpid().  FLO_E_ABSENT: it is not installed. */
FLO_MUST_USE int flo_create_run_engine(const char *const *words, int *status, struct flo_err *err);

/* Reads --draft (draft.c).  FLO_E_DRAFT_UNFIT: the file's first bytes are not
 * those of a draft.  FLO_E_USAGE: there are two, or there is an adapter. */
FLO_MUST_USE int flo_create_read_draft(const struct flo_cli *cli, struct flo_create *create,
                                       struct flo_err *err);
/* Adds the draft to the release and to its variants of our own engine that have
 * none, and shares the draft of an adapter's base in the same way. */
FLO_MUST_USE int flo_create_add_draft(struct flo_create *create, struct flo_err *err);
/* Checks that each variant of our engine has at most one draft, no other variant
 * has one, and the engine can use each with its model.  --skip-play leaves the
 * engine out.  FLO_E_USAGE, FLO_E_DRAFT_UNFIT, FLO_E_ABSENT. */
FLO_MUST_USE int flo_create_check_drafts(const struct flo_cli *cli, const struct flo_create *create,
                                         struct flo_err *err);

/* Checks golden prompts with the reader that devices use. */
FLO_MUST_USE int flo_create_golden_check(const char *path, struct flo_err *err);

/* Gives the golden prompts of --golden to each variant that names none of its
 * own.  FLO_E_USAGE: a variant has no room for one more file. */
FLO_MUST_USE int flo_create_share_golden(struct flo_create *create, struct flo_err *err);
/* Finds the file of a variant at this index; NULL: it has no more.  A variant that
 * lists none has every file. */
const struct flo_author_file *flo_create_file_at(const struct flo_create *create,
                                                 const struct flo_author_variant *variant,
                                                 size_t index);
/* Adds a file's name to a variant that lists its files.  `what` names the file in
 * the error.  FLO_E_USAGE: the variant has no room for one more file. */
FLO_MUST_USE int flo_create_append(struct flo_author_variant *variant, const char *name,
                                   const char *what, struct flo_err *err);
/* Tells whether a variant has the file with this path. */
bool flo_create_holds(const struct flo_create *create, const struct flo_author_variant *variant,
                      const char *path);
/* Tells whether our own engine serves the variant. */
bool flo_create_is_native(const struct flo_author_variant *variant);
/* Returns the path of the model that a variant serves; NULL: it has none here,
 * as with the base's model of an adapter. */
const char *flo_create_model_of(const struct flo_create *create,
                                const struct flo_author_variant *variant);
/* Refuses a release that each device would refuse, with the words of devices:
 * golden prompts that are missing, or that no engine could play. */
FLO_MUST_USE int flo_create_devices(const struct flo_create *create, struct flo_err *err);

/* Checks the end of a program that makes a model of `of`, and that told the
 * reason itself.  FLO_E_MODEL_FOLDER: it made none. */
FLO_MUST_USE int flo_create_made(int status, const char *of, struct flo_err *err);
/* Takes the sampling that the model names into the release (sampling.c), unless
 * --serve has other values. */
void flo_create_sampling(struct flo_create *create);
/* Finds the licence of the release: --license, or else what the models name. */
FLO_MUST_USE int flo_create_license(struct flo_cli *cli, struct flo_create *create,
                                    struct flo_err *err);
/* Checks the licence of a release with this model alone, as the next function
 * does.  `given` is the release's licence, or NULL. */
FLO_MUST_USE int flo_create_check_model_license(const char *path, const char *given,
                                                const char *list, struct flo_err *err);
/* Checks the licences of the release and of its models against a list of
 * allowed ones; NULL or "": all are.  FLO_E_RELEASE_LICENCE names the file. */
FLO_MUST_USE int flo_create_check_license(const struct flo_create *create, const char *list,
                                          struct flo_err *err);

/* Makes the golden prompts, or plays those that were given, as the flags
 * say. */
FLO_MUST_USE int flo_create_golden(struct flo_cli *cli, struct flo_create *create,
                                   struct flo_err *err);

/* Signs the release, and uploads its blobs and the envelope.  *release is the
 * controller's answer, which the caller frees. */
FLO_MUST_USE int flo_create_upload(struct flo_cli *cli, struct flo_create *create,
                                   const struct flo_author_result *made, json_t **release,
                                   struct flo_err *err);

/* Lists the downloads that the release offers.  The caller frees the list. */
json_t *flo_create_ways(const struct flo_create *create, const struct flo_author_result *made);

void flo_create_show_ways(const struct flo_cli *cli, const json_t *ways);

#endif
