/* Plain verbs: runs the commands of plain.def, which print lists or make single
 * calls. */
#include "server-stub/cli/plain/plain.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/proto.h>

#include "server-stub/core/member/serial.h"

struct call {
    struct flo_cli *cli;
    const struct flo_plain_noun *noun;
    char word[FLO_NAME_MAX + 1]; /* first argument of the command, encoded for the path */
    /* Answer and body from which the result's text is filled; each may be
     * NULL. */
    const json_t *answer, *body;
};

/* ---- the word ---- */

/* Fails because the command's first word is no valid name, or names nothing.
 * The error calls it by the command's noun, such as "alert-rule" for
 * "alert-rule delete". */
static int refuse_word(const struct call *call, bool makes, struct flo_err *err)
{
    const char *name = call->cli->args.verb->name;
    const char *word = call->cli->args.words[0];
    int chars = (int)strcspn(name, " ");

    if (makes) {
        return flo_fail(err, FLO_E_USAGE, "`%.80s` is no name of a %.*s", word, chars, name);
    }
    flo_fail(err, FLO_E_ABSENT, "no %.*s `%.80s`", chars, name, word);
    return flo_err_fix(err, "flotilla %.*s list", chars, name);
}

static bool is_number(const char *text)
{
    return text[0] >= '1' && text[0] <= '9' && strspn(text, "0123456789") == strlen(text) &&
           strlen(text) <= FLO_NAME_MAX;
}

static int read_word(struct call *call, bool makes, struct flo_err *err)
{
    const char *word = call->cli->args.words[0];
    bool is_right = call->noun->form == FLO_PLAIN_SERIAL   ? flo_serial_normal(word, call->word)
                    : call->noun->form == FLO_PLAIN_NUMBER ? is_number(word)
                                                           : flo_name_is_valid(word);

    if (!is_right) {
        return refuse_word(call, makes, err);
    }
    if (call->noun->form != FLO_PLAIN_SERIAL) {
        snprintf(call->word, sizeof(call->word), "%s", word);
    }
    return 0;
}

/* ---- texts with places ---- */

static uint64_t number_at(const struct call *call, const char *member)
{
    const json_t *value = json_object_get(call->answer, member);

    value = value != NULL ? value : json_object_get(call->body, member);
    return (uint64_t)json_integer_value(value);
}

static void add_member(const struct call *call, const char *member, struct flo_buf *out)
{
    const char *text = flo_out_text(call->answer, member, flo_out_text(call->body, member, NULL));

    if (text != NULL) {
        flo_buf_text(out, text);
    } else {
        flo_buf_printf(out, "%" PRIu64, number_at(call, member));
    }
}

/* Appends the value of one placeholder, whose name was between braces. */
static void add_place(const struct call *call, char *place, struct flo_buf *out)
{
    char *words = strchr(place, '?');
    char *many = words == NULL ? NULL : strchr(words, ':');

    if (place[0] == '\0') {
        flo_buf_text(out, call->word);
    } else if (words == place) {
        if (flo_args_has(&call->cli->args, words + 1)) {
            flo_api_query_add(out, words + 1, "true");
        }
    } else if (many != NULL) {
        *words = *many = '\0';
        flo_buf_text(out, number_at(call, place) == 1 ? words + 1 : many + 1);
    } else {
        add_member(call, place, out);
    }
}

/* Copies the text to `out`, with its placeholders filled in.  `out` ends with a
 * NUL. */
static int fill(const struct call *call, const char *text, struct flo_buf *out, struct flo_err *err)
{
    char place[64];

    while (*text != '\0') {
        size_t chars = strcspn(text, "{");
        flo_buf_add(out, text, chars);
        text += chars;
        if (*text == '{') {
            chars = strcspn(text, "}");
            snprintf(place, sizeof(place), "%.*s", (int)chars - 1, text + 1);
            text += chars + 1;
            add_place(call, place, out);
        }
    }
    flo_buf_text(out, "");
    return out->failed ? flo_fail(err, FLO_E_MEMORY, "no memory for a text") : 0;
}

/* ---- verbs ---- */

static int list(struct flo_cli *cli, const struct flo_plain_noun *noun, const char *template,
                uint64_t first, const struct flo_column *columns, size_t count, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf path = {0};
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;
    struct call call = {.cli = cli, .noun = noun};

    FLO_TRY(strstr(template, "{}") != NULL ? read_word(&call, false, err) : 0);
    FLO_TRY(fill(&call, template, &path, err));
    FLO_TRY(first > 0 ? flo_api_some(cli, path.data, first, &items, err)
                      : flo_api_list(cli, path.data, &items, err));
    flo_out_table(cli, items, columns, count);
    return 0;
}

static int send(struct flo_cli *cli, const struct flo_plain_call *row, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf path = {0};
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf result = {0};
    FLO_CLEANUP(flo_json_cleanup) json_t *body = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    struct call call = {.cli = cli, .noun = row->noun};
    bool is_of_one = row->op == NULL && strstr(row->path, "{}") != NULL;

    if (row->op != NULL) {
        FLO_TRY(flo_plain_body(cli, row->fields, &body, err));
        return flo_device_ask(cli, row->op, body, err);
    }
    FLO_TRY(is_of_one ? read_word(&call, strcmp(row->method, "PUT") == 0, err) : 0);
    FLO_TRY(fill(&call, row->path, &path, err));
    FLO_TRY(flo_plain_body(cli, row->fields, &body, err));
    FLO_TRY(flo_api_call(cli, row->method, path.data, body, &answer, err));
    if (answer == NULL) {
        answer = json_pack("{s:s}", row->noun->key, call.word);
    }
    call.answer = answer;
    call.body = body;
    FLO_TRY(fill(&call, row->result, &result, err));
    flo_out_done(cli, json_incref(answer), "%s\n", (const char *)result.data);
    return 0;
}

/* ---- the rows ---- */

#define FLO_PLAIN_NOUN(id, its_form, its_key)                                                      \
    static const struct flo_plain_noun noun_##id = {.form = FLO_PLAIN_##its_form, .key = (its_key)};
#define FLO_PLAIN_LIST(function, id, path, object) FLO_PLAIN_SOME(function, id, path, 0, object)
#define FLO_PLAIN_SOME(function, id, path, first, object)                                          \
    int flo_cmd_##function(struct flo_cli *cli, struct flo_err *err)                               \
    {                                                                                              \
        return list(cli, &noun_##id, path, first, FLO_COLUMNS(object), err);                       \
    }
#define FLO_PLAIN_CALL(function, id, its_method, its_path, its_result)                             \
    int flo_cmd_##function(struct flo_cli *cli, struct flo_err *err)                               \
    {                                                                                              \
        const struct flo_plain_call row = {                                                        \
            .noun = &noun_##id,                                                                    \
            .method = (its_method),                                                                \
            .path = (its_path),                                                                    \
            .result = (its_result),                                                                \
            .fields = (const struct flo_plain_field[]) {
#define FLO_PLAIN_ASK(function, its_op)                                                            \
    int flo_cmd_##function(struct flo_cli *cli, struct flo_err *err)                               \
    {                                                                                              \
        const struct flo_plain_call row = {                                                        \
            .op = (its_op), .fields = (const struct flo_plain_field[]) {
#define FLO_PLAIN_TEXT(flag, value, help) {FLO_PLAIN_TEXT, flag, flag, 0, 0, 0},
#define FLO_PLAIN_NEEDED FLO_PLAIN_TEXT
#define FLO_PLAIN_WORD(member) {FLO_PLAIN_WORD, NULL, member, 0, 0, 0},
#define FLO_PLAIN_SWITCH(flag, member, help) {FLO_PLAIN_SWITCH, flag, member, 0, 0, 0},
#define FLO_PLAIN_COUNT(flag, min, max, standard, help)                                            \
    {FLO_PLAIN_COUNT, flag, flag, min, max, standard},
#define FLO_PLAIN_SHARE(flag, member, value, help) {FLO_PLAIN_SHARE, flag, member, 0, 0, 0},
#define FLO_PLAIN_SPAN(flag, member, help) {FLO_PLAIN_SPAN, flag, member, 0, 0, 0},
#define FLO_PLAIN_TIME(flag, member, help) {FLO_PLAIN_TIME, flag, member, 0, 0, 0},
#define FLO_PLAIN_FROM(flag, member, other, help) FLO_PLAIN_TIME(flag, member, help)
#define FLO_PLAIN_PAIRS(flag, help) {FLO_PLAIN_PAIRS, flag, flag, 0, 0, 0},
#define FLO_PLAIN_VALUES {FLO_PLAIN_VALUES, NULL, "", 0, 0, 0},
#define FLO_PLAIN_END                                                                              \
    {                                                                                              \
        0                                                                                          \
    }                                                                                              \
    }                                                                                              \
    }                                                                                              \
    ;                                                                                              \
    return send(cli, &row, err);                                                                   \
    }
#include "server-stub/cli/plain/plain.def"
