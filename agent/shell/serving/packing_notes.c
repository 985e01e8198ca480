/* What is known of packing: whose models it is for, and where it failed. */
#include <stdlib.h>
#include <string.h>

#include "agent/shell/serving/serving.h"

bool flo_packing_is_noted(const struct flo_packing_notes *notes,
                          const struct flo_digest *model)
{
    for (size_t i = 0; i < FLO_COUNT(notes->models); i++) {
        if (flo_digest_equal(&notes->models[i], model)) {
            return true;
        }
    }
    return false;
}

void flo_packing_note(struct flo_packing_notes *notes,
                      const struct flo_digest *model)
{
    if (!flo_packing_is_noted(notes, model)) {
        notes->models[notes->count++ % FLO_COUNT(notes->models)] = *model;
    }
}

/* A value that survives: how often this version failed to pack the model. */
static void failure_key(const struct flo_digest *model, char *out,
                        size_t out_bytes)
{
    char text[FLO_DIGEST_TEXT];

    flo_digest_text(model, text);
    snprintf(out, out_bytes, "unpacked:" FLO_VERSION ":%s", text);
}

unsigned flo_packing_failures(const struct flo_shell *shell,
                              const struct flo_digest *model)
{
    char key[128];

    failure_key(model, key, sizeof(key));
    return (unsigned)flo_values_number(shell->db, key);
}

void flo_packing_keep_failures(struct flo_shell *shell,
                               const struct flo_digest *model, unsigned count)
{
    char key[128];

    failure_key(model, key, sizeof(key));
    flo_values_set_number(shell->db, key, count);
}

void flo_packing_forget_failures(struct flo_shell *shell,
                                 const struct flo_digest *model)
{
    if (flo_packing_failures(shell, model) > 0) {
        flo_packing_keep_failures(shell, model, 0);
    }
}

bool flo_packing_is_wanted(const struct flo_shell *shell)
{
    return strcmp(flo_config_text(shell->settings.config, "packed_weights"),
                  "auto") == 0;
}

bool flo_shell_packs(const struct flo_shell *shell)
{
    return flo_packing_is_wanted(shell) &&
           (shell->unpackable.count == 0 || shell->has_packed);
}

bool flo_shell_keeps_prefixes(const struct flo_shell *shell)
{
    return strcmp(flo_config_text(shell->settings.config, "prefix_cache"),
                  "on") == 0;
}
