/* Neighbours stand-in: refuses a configuration that asks for neighbours or for
 * the site's listener, in a build without them. */
#include <string.h>

#include "agent/shell/neighbours/neighbours.h"
#include "base/left_out.h"

int flo_neighbours_open(struct flo_shell *shell, struct flo_err *err)
{
    const char *word = flo_config_text(shell->settings.config, "neighbours");

    if (flo_config_text(shell->settings.config, "site_listen") != NULL) {
        return flo_wrap(err, flo_left_out(err, "neighbours", "FLOTILLA_NEIGHBOURS"),
                        "`site_listen`");
    }
    return strcmp(word, "off") == 0
               ? 0
               : flo_wrap(err, flo_left_out(err, "neighbours", "FLOTILLA_NEIGHBOURS"),
                          "`neighbours`: %.8s", word);
}

void flo_neighbours_close(struct flo_shell *shell)
{
    (void)shell;
}

void flo_neighbours_job_add(const struct flo_shell *shell,
                            const struct flo_agent_execution *execution, json_t *job)
{
    (void)shell, (void)execution, (void)job;
}

void flo_neighbours_job_said(struct flo_shell *shell, const char *word, const json_t *json)
{
    (void)shell, (void)word, (void)json;
}

void flo_neighbours_job_ended(struct flo_shell *shell)
{
    (void)shell;
}
