/* Releases: finds names and files of the releases in the store. */
#include <stdlib.h>
#include <string.h>

#include "agent/shell/serving/serving.h"

void flo_shell_release_free(struct flo_release **release)
{
    if (*release != NULL) {
        flo_release_deinit(*release);
        free(*release);
    }
}

int flo_shell_release_get(struct flo_shell *shell, const struct flo_digest *digest,
                          struct flo_release **out, struct flo_err *err)
{
    struct flo_release *release = calloc(1, sizeof(*release));
    int rv;

    if (release == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "release");
    }
    rv = flo_store_release_load(shell->store, digest, release, err);
    if (rv < 0) {
        free(release);
        return rv;
    }
    *out = release;
    return 0;
}

void flo_shell_ref(struct flo_shell *shell, const struct flo_digest *digest,
                   struct flo_release_ref *out)
{
    FLO_CLEANUP(flo_shell_release_free) struct flo_release *release = NULL;

    memset(out, 0, sizeof(*out));
    out->digest = *digest;
    if (!flo_digest_is_zero(digest) && flo_shell_release_get(shell, digest, &release, NULL) == 0) {
        memcpy(out->model, release->model, sizeof(out->model));
        memcpy(out->version, release->version, sizeof(out->version));
    }
}

bool flo_shell_is_split(struct flo_shell *shell, const struct flo_digest *release)
{
    FLO_CLEANUP(flo_shell_release_free) struct flo_release *document = NULL;

    return !flo_digest_is_zero(release) &&
           flo_shell_release_get(shell, release, &document, NULL) == 0 &&
           document->serve.split_pct > 0;
}

const struct flo_release_file *flo_shell_model_file(struct flo_shell *shell,
                                                    const struct flo_digest *digest,
                                                    const struct flo_release *release,
                                                    const struct flo_release_variant **variant)
{
    int index = flo_store_release_variant(shell->store, digest, release);

    if (index < 0) {
        return NULL;
    }
    *variant = &release->variants[index];
    return flo_release_variant_file(release, *variant, "model");
}

bool flo_shell_model_digest(struct flo_shell *shell, const struct flo_digest *release_digest,
                            struct flo_digest *out)
{
    FLO_CLEANUP(flo_shell_release_free) struct flo_release *release = NULL;
    const struct flo_release_variant *variant = NULL;
    const struct flo_release_file *file = NULL;

    if (flo_shell_release_get(shell, release_digest, &release, NULL) == 0) {
        file = flo_shell_model_file(shell, release_digest, release, &variant);
    }
    if (file != NULL) {
        *out = file->digest;
    }
    return file != NULL;
}

const char *flo_shell_variant_wanted(const struct flo_shell *shell, uint32_t place)
{
    const struct flo_agent_model *model = &shell->agent.models[place];
    const struct flo_variants *variants = &shell->watch->variants[place];

    if (model->execution.variant[0] != '\0') {
        return model->execution.variant;
    }
    /* A repair of a variant that serves in place of a larger one stages that
     * variant.  For any other job the updater's plan chooses. */
    return flo_digest_equal(&model->execution.release.digest, &variants->release) &&
                   variants->larger[0] != '\0'
               ? variants->name
               : NULL;
}
