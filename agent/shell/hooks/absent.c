/* Hooks stand-in: takes the place of hooks in a build without runtimes.  A
 * release that names a runtime is refused when it is opened, so no link is ever
 * made. */
#include "agent/shell/device/runtimes.h"
#include "agent/shell/hooks/hooks.h"
#include "base/left_out.h"

int flo_runtimes_read(const struct flo_settings *settings, const char *name,
                      struct flo_device_runtime *out, struct flo_err *err)
{
    (void)settings, (void)out;
    return flo_wrap(err, flo_left_out(err, "runtimes", "FLOTILLA_RUNTIMES"), "runtime %.40s", name);
}

int flo_runtimes_plan(struct flo_device_runtime *runtime, const struct flo_release *release,
                      const struct flo_release_variant *variant, struct flo_err *err)
{
    (void)runtime, (void)release, (void)variant;
    return flo_left_out(err, "runtimes", "FLOTILLA_RUNTIMES");
}

void flo_runtimes_deinit(struct flo_device_runtime *runtime)
{
    (void)runtime;
}

void flo_runtimes_clear(void)
{
}

json_t *flo_runtimes_json(const struct flo_settings *settings)
{
    (void)settings;
    return json_array();
}

void flo_runtimes_describe(const struct flo_settings *settings, struct flo_buf *out)
{
    (void)settings, (void)out;
}

void flo_hooks_flip(struct flo_shell *shell, const struct flo_release_ref *release, bool again)
{
    (void)shell, (void)release, (void)again;
}

void flo_hooks_unlink(struct flo_shell *shell, const char *model)
{
    (void)shell, (void)model;
}

void flo_hooks_start(struct flo_shell *shell)
{
    (void)shell;
}

bool flo_hooks_has_link(struct flo_shell *shell, const char *model)
{
    (void)shell, (void)model;
    return false;
}

void flo_hooks_close(struct flo_shell *shell)
{
    (void)shell;
}
