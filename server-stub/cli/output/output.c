/* Output: prints an answer in the requested form, the result of a command, or a
 * question. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server-stub/cli/cli.h"

static struct flo_err refused; /* error about the first unknown field in --fields or --sort */
static bool is_told;           /* the command printed an answer on stdout */

enum flo_out_form flo_out_form(const struct flo_cli *cli)
{
    enum flo_out_form form = FLO_OUT_TABLE;

    const char *word = flo_args_text(&cli->args, "output", NULL);

    if (word == NULL) {
        return cli->args.is_json ? FLO_OUT_JSON : FLO_OUT_TABLE;
    }
    /* The word is valid, because base/args refuses others. */
    return flo_out_form_parse(word, &form) < 0 ? FLO_OUT_TABLE : form;
}

bool flo_out_is_data(const struct flo_cli *cli)
{
    return flo_out_form(cli) > FLO_OUT_WIDE || flo_args_has(&cli->args, "fields");
}

static struct flo_out_spec spec_of(const struct flo_cli *cli)
{
    return (struct flo_out_spec){
        .form = flo_out_form(cli),
        .fields = flo_args_text(&cli->args, "fields", NULL),
        .sort = flo_args_global(&cli->args, "sort", NULL),
        .width = flo_terminal_width(STDOUT_FILENO),
        .has_heads = !flo_args_has(&cli->args, "no-headers"),
        .has_colour = flo_terminal_has_colour(&cli->args, STDOUT_FILENO),
        .is_tty = cli->is_tty,
        .now_ms = flo_wall_ms(),
    };
}

static void show(const struct flo_cli *cli, const struct flo_out_spec *spec, const json_t *json,
                 const struct flo_column *columns, size_t count)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    struct flo_err err = {0};

    (void)cli;
    if (flo_out_render(spec, json, columns, count, &text, &err) < 0) {
        refused = refused.code == 0 ? err : refused;
    } else if (text.bytes > 0) {
        fwrite(text.data, 1, text.bytes, stdout);
        is_told = true;
    }
}

void flo_out_table(const struct flo_cli *cli, const json_t *items, const struct flo_column *columns,
                   size_t count)
{
    const struct flo_out_spec spec = spec_of(cli);

    show(cli, &spec, items, columns, count);
}

void flo_out_object(const struct flo_cli *cli, const json_t *object,
                    const struct flo_column *columns, size_t count)
{
    flo_out_table(cli, object, columns, count);
}

/* Makes columns for an object that has no table, one for each of its
 * scalars. */
static size_t own_columns(const json_t *json, struct flo_column *columns)
{
    const json_t *item = json_is_array(json) ? json_array_get(json, 0) : json;
    const char *key;
    json_t *value;
    size_t count = 0;

    json_object_foreach((json_t *)(uintptr_t)item, key, value)
    {
        if (count < FLO_COLUMNS_MAX && !json_is_array(value) && !json_is_object(value)) {
            columns[count++] = (struct flo_column){.head = key, .path = key};
        }
    }
    return count;
}

void flo_out_json(const struct flo_cli *cli, const json_t *json)
{
    struct flo_column columns[FLO_COLUMNS_MAX];
    struct flo_out_spec spec = spec_of(cli);

    if (spec.form <= FLO_OUT_WIDE && spec.fields == NULL) {
        spec.form = FLO_OUT_JSON;
    }
    show(cli, &spec, json, columns, own_columns(json, columns));
}

void flo_out_done(const struct flo_cli *cli, json_t *object, const char *format, ...)
{
    va_list args;

    if (flo_out_is_data(cli)) {
        flo_out_json(cli, object);
    } else {
        va_start(args, format);
        vprintf(format, args);
        va_end(args);
    }
    json_decref(object);
}

void flo_out_whole(const struct flo_cli *cli, const char *name, const char *text)
{
    if (flo_out_is_data(cli)) {
        flo_out_done(cli, json_pack("{s:s}", name, text), " ");
    } else {
        fputs(text, stdout);
    }
}

bool flo_out_is_told(void)
{
    return is_told;
}

int flo_out_end(struct flo_err *err)
{
    if (refused.code == 0) {
        return 0;
    }
    *err = refused;
    return refused.code;
}

void flo_out_say(const struct flo_cli *cli, const char *format, ...)
{
    va_list args;

    if (flo_args_has(&cli->args, "quiet")) {
        return;
    }
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

int flo_out_confirm(const struct flo_cli *cli, const char *what, const char *word,
                    struct flo_err *err)
{
    char line[256] = "";
    const char *given = flo_args_text(&cli->args, "confirm", NULL);

    if (given == NULL && isatty(STDIN_FILENO)) {
        fprintf(stderr, "%s\nType %s to go on: ", what, word);
        if (fgets(line, sizeof(line), stdin) != NULL) {
            line[strcspn(line, "\n")] = '\0';
        }
        given = line;
    }
    if (given == NULL || strcmp(given, word) != 0) {
        flo_fail(err, FLO_E_USAGE, "not confirmed: nothing was changed");
        flo_err_fix(err, "type %s, or give --confirm %s", word, word);
        return FLO_E_USAGE;
    }
    return 0;
}
