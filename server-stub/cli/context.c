/* Context: which controller and which token a command uses. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/host/crypto.h"
#include "server-stub/cli/cli.h"

#define PATH_BYTES 1024

static int config_dir(char *out, size_t bytes, struct flo_err *err)
{
    const char *base = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    int chars;

    if (base != NULL && base[0] != '\0') {
        chars = snprintf(out, bytes, "%s/flotilla", base);
    } else if (home != NULL) {
        chars = snprintf(out, bytes, "%s/.config/flotilla", home);
    } else {
        return flo_fail(err, FLO_E_USAGE, "neither XDG_CONFIG_HOME nor HOME");
    }
    return chars > 0 && (size_t)chars < bytes
               ? 0
               : flo_fail(err, FLO_E_USAGE, "configuration path is too long");
}

static int set_controller(struct flo_cli *cli, const char *url,
                          struct flo_err *err)
{
    size_t chars = strlen(url);

    while (chars > 0 && url[chars - 1] == '/') {
        chars--;
    }
    if ((strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) ||
        chars >= sizeof(cli->controller)) {
        return flo_fail(err, FLO_E_USAGE,
                        "`%.200s` is no controller address (http://host:port)",
                        url);
    }
    memcpy(cli->controller, url, chars);
    cli->controller[chars] = '\0';
    return 0;
}

static int no_token(const struct flo_cli *cli, struct flo_err *err)
{
    flo_fail(err, FLO_E_REST_AUTH, "no token is known for %s", cli->controller);
    flo_err_fix(err,
                "--token-file FILE, or flotilla login %s --token-file FILE",
                cli->controller);
    return FLO_E_REST_AUTH;
}

static int nothing_remembered(const struct flo_cli *cli, struct flo_err *err)
{
    if (cli->controller[0] != '\0') {
        return no_token(cli, err);
    }
    flo_fail(err, FLO_E_USAGE, "no controller is known");
    flo_err_fix(err, "flotilla login URL --token-file FILE, or --controller "
                     "URL --token-file FILE");
    return FLO_E_USAGE;
}

/* <dir>/<name>.context: the address in the first line; <name>.token beside. */
static int load_remembered(struct flo_cli *cli, struct flo_err *err)
{
    char dir[PATH_BYTES];
    char path[PATH_BYTES + 128];
    FLO_CLEANUP(flo_free_cleanup) char *current = NULL;
    FLO_CLEANUP(flo_free_cleanup) char *url = NULL;
    size_t bytes;
    const char *name =
        flo_args_global(&cli->args, "context", getenv("FLOTILLA_CONTEXT"));
    int rv = config_dir(dir, sizeof(dir), err);

    if (rv < 0) {
        return rv;
    }
    if (name == NULL) {
        snprintf(path, sizeof(path), "%s/current", dir);
        if (flo_file_read(path, 256, &current, &bytes, NULL) < 0) {
            return nothing_remembered(cli, err);
        }
        current[strcspn(current, "\n")] = '\0';
        name = current;
    }
    if (!flo_name_is_valid(name)) {
        return flo_fail(err, FLO_E_USAGE, "context `%s` is not a name", name);
    }
    snprintf(path, sizeof(path), "%s/%s.context", dir, name);
    rv = flo_file_read(path, 1024, &url, &bytes, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "context `%s`", name);
    }
    url[strcspn(url, "\n")] = '\0';
    if (cli->controller[0] == '\0') {
        rv = set_controller(cli, url, err);
    } else if (cli->token[0] == '\0' && strcmp(cli->controller, url) != 0) {
        return no_token(cli, err); /* a secret is not for another machine */
    }
    if (rv == 0 && cli->token[0] == '\0') {
        snprintf(path, sizeof(path), "%s/%s.token", dir, name);
        rv = flo_token_read(path, cli->token, sizeof(cli->token), err);
    }
    return rv;
}

const char *flo_context_variable(const struct flo_cli *cli, const char *name)
{
    return flo_args_global(&cli->args, "context", NULL) != NULL ? NULL
                                                                : getenv(name);
}

int flo_context_load(struct flo_cli *cli, struct flo_err *err)
{
    const char *url =
        flo_args_text(&cli->args, "controller",
                      flo_context_variable(cli, "FLOTILLA_CONTROLLER"));
    const char *file =
        flo_args_text(&cli->args, "token-file",
                      flo_context_variable(cli, "FLOTILLA_TOKEN_FILE"));
    int rv = 0;

    if (url != NULL) {
        rv = set_controller(cli, url, err);
    }
    if (rv == 0 && file != NULL) {
        rv = flo_token_read(file, cli->token, sizeof(cli->token), err);
    }
    if (rv == 0 && (cli->controller[0] == '\0' || cli->token[0] == '\0')) {
        rv = load_remembered(cli, err);
    }
    return rv;
}

static int save_line(const char *dir, const char *name, const char *ending,
                     const char *text, mode_t mode, struct flo_err *err)
{
    char path[PATH_BYTES + 128];
    char line[1024];

    snprintf(path, sizeof(path), "%s/%s%s", dir, name, ending);
    int chars = snprintf(line, sizeof(line), "%s\n", text);
    return flo_file_write(path, line, (size_t)chars, mode, err);
}

int flo_context_save(const char *name, const char *controller,
                     const char *token, char *path, size_t path_bytes,
                     struct flo_err *err)
{
    char dir[PATH_BYTES];
    int rv = config_dir(dir, sizeof(dir), err);

    if (rv == 0 && !flo_name_is_valid(name)) {
        rv = flo_fail(err, FLO_E_USAGE, "context `%s` is not a name", name);
    }
    if (rv == 0) {
        rv = flo_dir_make(dir, 0700, err);
    }
    if (rv == 0) {
        rv = save_line(dir, name, ".context", controller, 0600, err);
    }
    if (rv == 0) {
        rv = save_line(dir, name, ".token", token, 0600, err);
    }
    if (rv == 0) {
        rv = save_line(dir, "current", "", name, 0600, err);
    }
    snprintf(path, path_bytes, "%.1000s/%.64s.context", dir, name);
    return rv;
}
