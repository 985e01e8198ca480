/* Model: what the file of --model-file is.
 *
 * A folder from Hugging Face, or the parts of a split GGUF file, become one GGUF file:
 * `flotilla-model import` makes it in a scratch folder.  Types may be chosen there, too
 * (quality.c).  Devices refuse a release of an architecture that they do not know.  The message
 * lists the ways out before anything is computed. */
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/errors/model.h>

#include "base/gguf/gguf.h"
#include "server-stub/cli/create/create.h"

/* ---- a folder ---- */

static int run_import(const struct flo_cli *cli, const char *folder, const char *type,
                      const char *to, struct flo_err *err)
{
    const char *words[] = {"import", folder, "--to", to, type == NULL ? NULL : "--type",
                           type,     NULL};
    int status = 0;

    FLO_TRY(flo_create_run_model_shown(cli, words, &status, err));
    return flo_create_made(status, folder, err);
}

static bool is_folder(const char *path)
{
    struct stat st;

    return path != NULL && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Tells whether the path is one part of a split GGUF file. */
static bool is_part(const char *path)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct flo_gguf *gguf = NULL;
    uint32_t count = 0;

    if (path != NULL && flo_file_open(path, &fd, NULL) == 0 &&
        flo_gguf_open_fd(fd, &gguf, NULL) == 0) {
        count = flo_gguf_u32(gguf, "split.count", &count, NULL) < 0 ? 0 : count;
    }
    flo_gguf_close(gguf);
    return count > 1;
}

/* Imports a folder as it is and chooses types then.  The floats go at once,
 * because they are the larger file. */
static int import_and_choose(struct flo_cli *cli, struct flo_create *create, const char *given,
                             struct flo_err *err)
{
    char floats[FLO_SCRATCH_BYTES + 16];

    if (!is_folder(given)) {
        return flo_create_quantize(cli, create, given, err);
    }
    snprintf(floats, sizeof(floats), "%s/floats.gguf", create->scratch);
    FLO_TRY(run_import(cli, given, NULL, floats, err));
    int rv = flo_create_quantize(cli, create, floats, err);
    (void)unlink(floats);
    return rv;
}

int flo_create_import(struct flo_cli *cli, struct flo_create *create, struct flo_err *err)
{
    const char *given = create->files[0].path;
    const char *type = flo_args_text(&cli->args, "type", NULL);
    bool chooses = flo_create_chooses(cli);

    if (chooses && given == NULL) {
        return flo_fail(err, FLO_E_USAGE, "--calibrate, --fit and --loss need --model-file");
    }
    if (!chooses && (flo_args_has(&cli->args, "suite") || flo_args_has(&cli->args, "page"))) {
        return flo_fail(err, FLO_E_USAGE, "--suite and --page need --fit or --loss");
    }
    bool is_joined = !chooses && is_part(given);
    if (!chooses && !is_folder(given) && (!is_joined || type != NULL)) {
        return type == NULL ? 0
                            : flo_fail(err, FLO_E_USAGE,
                                       "--type is for a folder: a GGUF file has its types");
    }
    FLO_TRY(flo_interrupt_folder(create->scratch, err));
    snprintf(create->imported, sizeof(create->imported), "%s/model.gguf", create->scratch);
    create->files[0].path = create->imported;
    return chooses ? import_and_choose(cli, create, given, err)
                   : run_import(cli, given, type, create->imported, err);
}

void flo_create_import_end(struct flo_create *create)
{
    flo_interrupt_folder_end(create->scratch);
}

/* ---- the architecture ---- */

static bool is_built_in(const char *architecture)
{
    static const char *const ids[] = {
#define FLO_ARCHITECTURE(name, id, ...) id,
#include "base/architectures.def"
    };

    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        if (strcmp(ids[i], architecture) == 0) {
            return true;
        }
    }
    return false;
}

/* Copies the architecture that a GGUF file names; "": it is no GGUF file, or
 * names none. */
static void read_architecture(const char *path, char *out, size_t out_bytes)
{
    struct flo_gguf *gguf = NULL;

    out[0] = '\0';
    if (flo_gguf_open_path(path, &gguf, NULL) == 0) {
        flo_gguf_copy_string(gguf, "general.architecture", out, out_bytes);
    }
    flo_gguf_close(gguf);
}

/* Checks the architecture of one model. */
static int check_model(struct flo_cli *cli, struct flo_create *create, const char *path,
                       struct flo_err *err)
{
    bool is_played = create->has_golden && !flo_args_has(&cli->args, "skip-play");
    char architecture[64], program[4096];

    read_architecture(path, architecture, sizeof(architecture));
    if (create->parts.auto_runtime != NULL && strlen(architecture) > FLO_NEED_WORD_MAX) {
        return flo_fail(err, FLO_E_MODEL_ARCH,
                        "%s: architecture %s has more than %d bytes, so no device can tell "
                        "whether it knows it",
                        path, architecture, FLO_NEED_WORD_MAX);
    }
    bool is_unknown = architecture[0] != '\0' && !is_built_in(architecture) &&
                      !flo_process_has_sibling("flotilla-model-llama", program, sizeof(program));
    create->is_unknown = create->is_unknown || is_unknown;
    if (!is_unknown || create->parts.auto_runtime != NULL) {
        return 0;
    }
    struct flo_err why = {0};
    flo_fail(&why, FLO_E_MODEL_ARCH,
             "%s: this engine does not know architecture %s, and llama.cpp's library is not "
             "installed here",
             path, architecture);
    flo_err_fix(&why,
                "update Flotilla, if a newer engine knows it; or install flotilla-engine-llama "
                "here and on the devices; or serve it by a runtime: --runtime auto --golden FILE");
    if (is_played) {
        *err = why;
        return why.code;
    }
    flo_out_say(cli, " ! %s\n   do: %s", why.what, why.fix);
    return 0;
}

int flo_create_known(struct flo_cli *cli, struct flo_create *create, struct flo_err *err)
{
    for (size_t i = 0; i < create->author.variant_count; i++) {
        const struct flo_author_variant *variant = &create->author.variants[i];
        const char *path = flo_create_model_of(create, variant);
        if (flo_create_is_native(variant) && path != NULL) {
            FLO_TRY(check_model(cli, create, path, err));
        }
    }
    return 0;
}
