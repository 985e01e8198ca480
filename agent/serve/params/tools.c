/* Tools: converts the tools of a conversation to the form that the engine
 * knows.
 *
 * `functions` and `function_call` are OpenAI's older names for tools: one call
 * for each answer, without an id. */
#include "agent/serve/params/tools.h"

#include <string.h>

#define TOOLS_MAX 512

/* Names of the fields in the form that the body uses. */
struct words {
    const char *list, *choice;
};

bool flo_tools_name_is_valid(const json_t *name)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t bytes = json_string_length(name);

    return bytes > 0 && bytes <= FLO_TOOLS_NAME_BYTES_MAX &&
           strspn(json_string_value(name), good) == bytes;
}

/* ---- the list ---- */

static int no_memory(struct params_reader *reader)
{
    return flo_fail(reader->err, FLO_E_MEMORY, "no memory for tools");
}

static bool is_absent(const json_t *value)
{
    return value == NULL || json_is_null(value);
}

/* Copies the members of a function that the engine knows, in a fixed order. The
 * schema keeps the client's order. */
static int add_function(struct params_reader *reader, const char *field, size_t i,
                        const json_t *function, json_t *list)
{
    json_t *name = json_object_get(function, "name");
    json_t *description = json_object_get(function, "description");
    json_t *parameters = json_object_get(function, "parameters");
    json_t *made;

    if (!flo_tools_name_is_valid(name)) {
        return flo_reader_refuse(reader, field,
                                 "[%zu] must have a name of 1 to %d letters, "
                                 "digits, `_`, `.` and `-`",
                                 i, FLO_TOOLS_NAME_BYTES_MAX);
    }
    if (!is_absent(description) && !json_is_string(description)) {
        return flo_reader_refuse(reader, field, "[%zu] has a description that is no text", i);
    }
    if (!is_absent(parameters) && !json_is_object(parameters)) {
        return flo_reader_refuse(reader, field, "[%zu] has parameters that are no object", i);
    }
    made = json_pack("{s:O}", "name", name);
    if (!is_absent(description)) {
        json_object_set(made, "description", description);
    }
    if (!is_absent(parameters)) {
        json_object_set(made, "parameters", parameters);
    }
    return json_array_append_new(list,
                                 json_pack("{s:s,s:o}", "type", "function", "function", made)) < 0
               ? no_memory(reader)
               : 0;
}

static int add_tool(struct params_reader *reader, size_t i, const json_t *tool, json_t *list)
{
    const char *type = json_string_value(json_object_get(tool, "type"));

    if (type == NULL || strcmp(type, "function") != 0) {
        return flo_reader_refuse(reader, "tools",
                                 "[%zu] is not of type function: others are "
                                 "not built",
                                 i);
    }
    return add_function(reader, "tools", i, json_object_get(tool, "function"), list);
}

static const char *name_of(const json_t *list, size_t i)
{
    return json_string_value(
        json_object_get(json_object_get(json_array_get(list, i), "function"), "name"));
}

static int check_names(struct params_reader *reader, const char *field, const json_t *list)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *names = json_object();

    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = name_of(list, i);
        if (json_object_get(names, name) != NULL) {
            return flo_reader_refuse(reader, field, "[%zu] is `%s` again", i, name);
        }
        if (json_object_set_new(names, name, json_true()) < 0) {
            return no_memory(reader);
        }
    }
    return 0;
}

static int read_list(struct params_reader *reader, const struct words *words, json_t *list)
{
    const json_t *given = flo_reader_field(reader, words->list);
    bool is_old = reader->params->is_function_call;
    const json_t *tool;
    size_t i;

    if (given != NULL && (!json_is_array(given) || json_array_size(given) > TOOLS_MAX)) {
        return flo_reader_refuse(reader, words->list, "must be a list of at most %d functions",
                                 TOOLS_MAX);
    }
    json_array_foreach(given, i, tool)
    {
        FLO_TRY(is_old ? add_function(reader, words->list, i, tool, list)
                       : add_tool(reader, i, tool, list));
    }
    return check_names(reader, words->list, list);
}

/* ---- which are to be called ---- */

/* Reads a name from {"name":...}.  It must be the name of a tool in the
 * list. */
static int read_named(struct params_reader *reader, const struct words *words,
                      const json_t *function, const json_t *list)
{
    struct flo_wire_generate *out = &reader->params->message.generate;
    const json_t *name = json_object_get(function, "name");
    size_t i = 0;

    if (!json_is_string(name)) {
        return flo_reader_refuse(reader, words->choice, "must be none, auto, %sor name a function",
                                 words->list[0] == 't' ? "required " : "");
    }
    while (i < json_array_size(list) && strcmp(name_of(list, i), json_string_value(name)) != 0) {
        i++;
    }
    if (i == json_array_size(list)) {
        return flo_reader_refuse(reader, words->choice, "names `%.64s`, which is not among %s",
                                 json_string_value(name), words->list);
    }
    out->tool_choice = FLO_WIRE_TOOLS_REQUIRED;
    out->tool_name = flo_reader_text(name);
    return 0;
}

static int read_choice(struct params_reader *reader, const struct words *words, const json_t *list)
{
    struct flo_wire_generate *out = &reader->params->message.generate;
    const json_t *choice = flo_reader_field(reader, words->choice);
    const char *word = json_string_value(choice);
    const char *type = json_string_value(json_object_get(choice, "type"));
    bool is_old = reader->params->is_function_call;

    if (choice == NULL || (word != NULL && strcmp(word, "auto") == 0)) {
        return 0;
    }
    if (word != NULL && strcmp(word, "none") == 0) {
        out->tool_choice = FLO_WIRE_TOOLS_NONE;
        return 0;
    }
    if (word != NULL && !is_old && strcmp(word, "required") == 0) {
        out->tool_choice = FLO_WIRE_TOOLS_REQUIRED;
        return json_array_size(list) > 0 ? 0
                                         : flo_reader_refuse(reader, words->choice,
                                                             "is required, and there are no tools");
    }
    if (is_old) {
        return read_named(reader, words, choice, list);
    }
    return read_named(
        reader, words,
        type != NULL && strcmp(type, "function") == 0 ? json_object_get(choice, "function") : NULL,
        list);
}

/* Writes the names of the tools that may be called, each between line ends, for
 * flo_params_may_call(). */
static void put_callable(struct serve_params *params, const json_t *list)
{
    const struct flo_wire_generate *in = &params->message.generate;
    struct flo_buf *out = &params->callable;

    for (size_t i = 0; i < json_array_size(list) && in->tool_choice != FLO_WIRE_TOOLS_NONE; i++) {
        const char *name = name_of(list, i);
        if (in->tool_name.bytes == 0 || strcmp(in->tool_name.data, name) == 0) {
            flo_buf_printf(out, "\n%s\n", name);
        }
    }
}

/* ---- all of it ---- */

/* Refuses tools in a request that is not a chat. */
static int refuse_all(struct params_reader *reader)
{
    static const char *const fields[] = {"tools", "functions", "tool_choice", "function_call"};

    for (size_t i = 0; i < FLO_COUNT(fields); i++) {
        const json_t *value = flo_reader_field(reader, fields[i]);
        const char *word = json_string_value(value);
        bool is_empty =
            i < 2 ? json_is_array(value) && json_array_size(value) == 0
                  : word != NULL && (strcmp(word, "none") == 0 || strcmp(word, "auto") == 0);
        if (value != NULL && !is_empty) {
            return flo_reader_refuse(reader, fields[i], "needs /v1/chat/completions");
        }
    }
    return 0;
}

static int read_all(struct params_reader *reader, const struct words *words, json_t *list)
{
    struct serve_params *params = reader->params;
    struct flo_wire_generate *out = &params->message.generate;
    struct flo_buf text = {.bytes_max = 4 * PARAMS_BODY_BYTES_MAX};
    bool is_parallel = !params->is_function_call;
    int rv = read_list(reader, words, list);

    if (rv == 0) {
        rv = read_choice(reader, words, list);
    }
    if (rv == 0) {
        rv = flo_reader_bool(reader, "parallel_tool_calls", &is_parallel);
    }
    if (rv < 0 || json_array_size(list) == 0) {
        /* without tools the choice of a tool has no effect */
        out->tool_choice = FLO_WIRE_TOOLS_AUTO;
        return rv;
    }
    out->one_call = !is_parallel;
    put_callable(params, list);
    flo_json_dump(list, &text);
    FLO_TRY(flo_reader_keep(reader, &text, &out->tools));
    return params->callable.failed ? no_memory(reader) : 0;
}

static bool is_given(const json_t *value)
{
    return value != NULL && !(json_is_array(value) && json_array_size(value) == 0);
}

int flo_tools_read(enum request_kind kind, struct params_reader *reader)
{
    static const struct words now = {"tools", "tool_choice"};
    static const struct words of_old = {"functions", "function_call"};
    bool is_old = is_given(flo_reader_field(reader, of_old.list)) ||
                  flo_reader_field(reader, of_old.choice) != NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *list = json_array();

    if (kind != REQUEST_CHAT) {
        return refuse_all(reader);
    }
    if (is_old && is_given(flo_reader_field(reader, now.list))) {
        return flo_reader_refuse(
            reader, is_given(flo_reader_field(reader, of_old.list)) ? of_old.list : of_old.choice,
            "stands beside tools: one form at most");
    }
    reader->params->is_function_call = is_old;
    return read_all(reader, is_old ? &of_old : &now, list);
}
