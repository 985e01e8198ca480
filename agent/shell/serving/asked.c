/* Asked: what a release asks for in `serve` of its document, within the device's
 * own configuration. */

#include <flotilla/rows.h>

#include "agent/shell/serving/serving.h"

/* The owner's number is a limit.  0: the owner, or the release, sets none. */
static uint32_t within(uint64_t owners, uint32_t releases)
{
    return owners == 0 || (releases != 0 && releases < owners) ? releases : (uint32_t)owners;
}

static enum flo_serve_cache cache_named(const char *name)
{
    static const struct row {
        const char *name;
        enum flo_serve_cache cache;
    } rows[] = {{"f16", FLO_SERVE_CACHE_F16},
                {"f32", FLO_SERVE_CACHE_F32},
                {"q8_0", FLO_SERVE_CACHE_Q8_0},
                {"q4_0", FLO_SERVE_CACHE_Q4_0}};
    const struct row *row = FLO_FIND_WORD(name, rows, FLO_COUNT(rows), name);

    return row == NULL ? FLO_SERVE_CACHE_AUTO : row->cache;
}

uint32_t flo_shell_context_asked(const struct flo_release *release,
                                 const struct flo_release_variant *variant)
{
    return release->serve.context > variant->context ? release->serve.context : variant->context;
}

struct flo_shell_asked flo_shell_asked(const struct flo_shell *shell,
                                       const struct flo_release *release,
                                       const struct flo_release_variant *variant)
{
    const struct flo_config *config = shell->settings.config;
    const struct flo_release_serve *serve = &release->serve;
    uint64_t context = flo_config_u64(config, "context");
    uint32_t asked = flo_shell_context_asked(release, variant);

    return (struct flo_shell_asked){
        /* what a variant needs alone is no wish for less than the owner gives */
        .context = within(context, serve->context > 0 || context == 0 ? asked : 0),
        .sessions = within(flo_config_u64(config, "sessions"), serve->sessions),
        .cache = cache_named(serve->cache),
    };
}

bool flo_shell_defaults(const struct flo_shell *shell, const struct flo_release *release,
                        struct flo_serve_defaults *out)
{
    const char *system = release->serve.system;

    out->sampling = release->serve.sampling;
    snprintf(out->system, sizeof(out->system), "%s", system != NULL ? system : "");
    return flo_config_bool(shell->settings.config, "release_defaults");
}
