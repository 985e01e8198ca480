/* Completion: prints scripts for shells, and the names that complete a word. */
#include <string.h>

#include "server-stub/cli/cli.h"

#define NAMES_MAX "500" /* largest number of names; further ones do not help a person who types */

/* ---- scripts ---- */

#define FLO_SHELL_PROGRAMS                                                                         \
    "flotilla flotilla-agent flotilla-controller flotilla-engine "                                 \
    "flotilla-model flotilla-relay flotilla-updater"

static const struct shell {
    const char *name;
    const unsigned char *text; /* with @PROGRAMS@ */
    size_t bytes;
} shells[] = {
#include "shells.inc"
};

int flo_cmd_completion(struct flo_cli *cli, struct flo_err *err)
{
    static const char mark[] = "@PROGRAMS@";
    const char *wanted = cli->args.words[0];

    for (size_t i = 0; i < FLO_COUNT(shells); i++) {
        if (strcmp(shells[i].name, wanted) == 0) {
            const char *at = (const char *)shells[i].text;
            const char *next;
            struct flo_buf FLO_CLEANUP(flo_buf_deinit) script = {0};
            for (; (next = strstr(at, mark)) != NULL; at = next + sizeof(mark) - 1) {
                flo_buf_printf(&script, "%.*s%s", (int)(next - at), at, FLO_SHELL_PROGRAMS);
            }
            flo_buf_text(&script, at);
            if (script.failed) {
                return flo_fail(err, FLO_E_MEMORY, "completion");
            }
            flo_out_whole(cli, "script", script.data);
            return 0;
        }
    }
    flo_fail(err, FLO_E_USAGE, "no completion for `%.40s`", wanted);
    return flo_err_fix(err, "bash, zsh or fish");
}

/* ---- names ---- */

/* For each word in usages and flags that stands for a name: the path from which
 * completion gets the names. */
static const struct {
    const char *noun; /* noun of the command; NULL: the row is for commands of all nouns */
    const char *what; /* word of the usage, or its beginning */
    const char *path, *name, *meaning;
} places[] = {
    {"device", "NAME", "/v1/devices?fields=name,state&sort=name&limit=" NAMES_MAX, "name", "state"},
    {NULL, "D", "/v1/devices?fields=name,state&sort=name&limit=" NAMES_MAX, "name", "state"},
    {"rollout", "ID", "/v1/rollouts", "id", "release"},
    {"order", "ID", "/v1/orders?limit=50", "id", "op"},
    {"token", "ID", "/v1/tokens?limit=" NAMES_MAX, "id", "name"},
    {"user", "NAME", "/v1/users?limit=" NAMES_MAX, "name", "role"},
    {NULL, "U", "/v1/users?limit=" NAMES_MAX, "name", "role"},
    {NULL, "USER", "/v1/users?limit=" NAMES_MAX, "name", "role"},
    {NULL, "MODEL@VERSION", "/v1/releases?limit=" NAMES_MAX, "name", "state"},
    {NULL, "A,B", "/v1/releases?limit=" NAMES_MAX, "version", "model"},
    {NULL, "M", "/v1/releases?limit=" NAMES_MAX, "model", ""},
    {NULL, "MODEL", "/v1/releases?limit=" NAMES_MAX, "model", ""},
    {NULL, "DEVICE", "/v1/devices?fields=name,state&sort=name&limit=" NAMES_MAX, "name", "state"},
    {"group", "NAME", "/v1/groups?limit=" NAMES_MAX, "name", "selector"},
    {NULL, "G", "/v1/groups?limit=" NAMES_MAX, "name", "selector"},
    {NULL, "G", "/v1/devices?fields=groups&limit=" NAMES_MAX, "groups", ""},
};

static void add_name(struct flo_buf *out, const char *name, const char *meaning)
{
    char line[FLO_OUT_PLAIN], more[FLO_OUT_PLAIN];

    flo_text_clean(name, strlen(name), line, sizeof(line));
    flo_text_clean(meaning, strlen(meaning), more, sizeof(more));
    flo_buf_printf(out, "%s\t%s\n", line, more);
}

/* Adds the names of the items, each of them once. */
static void add_names(const json_t *items, const char *name, const char *meaning, json_t *seen,
                      struct flo_buf *out)
{
    size_t i, k;
    json_t *item, *one;

    json_array_foreach(items, i, item)
    {
        const json_t *value = json_object_get(item, name);
        const char *text = json_string_value(value);
        if (text != NULL && json_object_get(seen, text) == NULL) {
            json_object_set_new(seen, text, json_true());
            add_name(out, text, flo_out_text(item, meaning, ""));
        }
        json_array_foreach(value, k, one)
        {
            text = json_string_value(one);
            if (text != NULL && json_object_get(seen, text) == NULL) {
                json_object_set_new(seen, text, json_true());
                add_name(out, text, "");
            }
        }
    }
}

/* Adds the error ids, which are known without a request. */
static void add_errors(struct flo_buf *out)
{
    int code;

    for (size_t i = 0; (code = flo_error_at(i)) != 0; i++) {
        add_name(out, flo_error_id(code), flo_error_meaning(code));
    }
}

void flo_complete_names(struct flo_cli *cli, const char *what, struct flo_buf *out)
{
    const struct flo_verb *verb = cli->args.verb;
    FLO_CLEANUP(flo_json_cleanup) json_t *seen = json_object();
    struct flo_err err = {0};

    if (strcmp(what, "ERROR-ID") == 0) {
        add_errors(out);
        return;
    }
    for (size_t i = 0; strcmp(what, "SHELL") == 0 && i < FLO_COUNT(shells); i++) {
        add_name(out, shells[i].name, "");
    }
    for (size_t i = 0; i < FLO_COUNT(places); i++) {
        size_t noun = places[i].noun != NULL ? strlen(places[i].noun) : 0;
        bool is_noun =
            noun == 0 || (verb != NULL && strncmp(verb->name, places[i].noun, noun) == 0 &&
                          verb->name[noun] == ' ');
        FLO_CLEANUP(flo_json_cleanup) json_t *page = NULL;
        if (!is_noun || strcmp(places[i].what, what) != 0) {
            continue;
        }
        if (flo_context_load(cli, &err) == 0 &&
            flo_api_get(cli, places[i].path, &page, &err) == 0) {
            add_names(json_object_get(page, "items"), places[i].name, places[i].meaning, seen, out);
        }
    }
}
