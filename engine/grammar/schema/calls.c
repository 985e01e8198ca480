/* Calls: compiles tool calls to a program.  They have the model's form, with
 * arguments that are schemas.  Each tool is an item of the list that schema.c
 * builds.  References in a tool's parameters begin at these parameters. */
#include <string.h>

#include <flotilla/errors/infer.h>

#include "engine/grammar/grammar.h"
#include "engine/grammar/schema/schema.h"

struct calls {
    const struct flo_tools *tools;
    const struct flo_call_form *form;
    /* index of the one tool that is allowed; UINT32_MAX: all are */
    uint32_t only;
    uint32_t up_to;                    /* rule for any text that ends with field_close */
    uint32_t arguments[FLO_TOOLS_MAX]; /* rules for the arguments of the allowed tools */
};

static void put(struct flo_schema *s, const struct flo_form_text *text)
{
    flo_program_bytes(s->program, text->data, text->bytes);
}

/* ---- fields ---- */

static bool is_free(struct flo_schema *s, const struct flo_tree_node *schema)
{
    static const char *const bounds[] = {"/pattern", "/format", "/minLength", "/maxLength"};

    for (size_t i = 0; i < FLO_COUNT(bounds); i++) {
        if (flo_schema_at(s, schema, bounds[i]) != NULL) {
            return false;
        }
    }
    return true;
}

static void put_listed(struct flo_schema *s, const struct flo_tree_node *one,
                       const struct flo_tree_node *list)
{
    struct flo_choice choice;

    flo_choice_begin(s->program, &choice);
    for (const struct flo_tree_node *n = one != NULL ? one : list->first;
         n != NULL && flo_schema_walk(s, 1); n = one != NULL ? NULL : n->next) {
        flo_choice_next(s->program, &choice);
        flo_program_bytes(s->program, n->text, n->bytes);
    }
    flo_choice_end(s->program, &choice);
}

static void put_word(struct flo_schema *s, const struct calls *calls)
{
    flo_schema_value(s, NULL, FLO_TYPE_NULL);
    put(s, &calls->form->field_close);
}

/* Appends a text without quotes, and the mark at its end. */
static void put_text(struct flo_schema *s, const struct calls *calls,
                     const struct flo_tree_node *schema)
{
    const struct flo_tree_node *one = FLO_GET(s, schema, "const");
    const struct flo_tree_node *list = FLO_GET(s, schema, "enum");

    if (one == NULL && list == NULL && is_free(s, schema)) {
        flo_program_call(s->program, calls->up_to);
        return;
    }
    if (one != NULL || list != NULL) {
        put_listed(s, one, list);
    } else {
        flo_schema_text(s, schema, flo_gbnf_rule(&s->gbnf, "plain"));
    }
    put(s, &calls->form->field_close);
}

static void put_field(struct flo_schema *s, const struct flo_object_words *words,
                      const struct flo_tree_node *schema, const char *name, size_t bytes)
{
    const struct calls *calls = words->context;
    const struct flo_call_form *form = calls->form;
    const struct flo_tree_node *text = schema;
    enum flo_argument_kind kind = form->quote.bytes > 0 ? FLO_ARGUMENT_OTHER
                                  : schema == NULL      ? FLO_ARGUMENT_TEXT
                                                        : flo_schema_kind(schema, &text);

    if (memmem(name, bytes, form->equals.data, form->equals.bytes) != NULL) {
        flo_schema_refuse(s, "/properties",
                          "the name '%.*s' cannot be written in the form in "
                          "which this model writes calls",
                          flo_schema_cut(bytes), name);
    }
    put(s, &form->field_open);
    flo_program_bytes(s->program, name, bytes);
    put(s, &form->equals);
    if (kind == FLO_ARGUMENT_TEXT) {
        put_text(s, calls, text);
    } else if (kind == FLO_ARGUMENT_TEXT_OR_NULL) {
        struct flo_choice choice;

        flo_choice_begin(s->program, &choice);
        flo_choice_next(s->program, &choice);
        put_word(s, calls);
        flo_choice_next(s->program, &choice);
        put_text(s, calls, text);
        flo_choice_end(s->program, &choice);
    } else {
        flo_schema_call(s, schema, "properties", name, bytes);
        put(s, &form->field_close);
    }
}

static void put_separator(struct flo_schema *s, const struct flo_object_words *words)
{
    const struct calls *calls = words->context;

    put(s, &calls->form->separator);
}

static void put_fields(struct flo_schema *s, const struct calls *calls,
                       const struct flo_tree_node *schema)
{
    const struct flo_object_words words = {
        .open = "",
        .close = "",
        .member = put_field,
        .between = put_separator,
        .has_fields = true,
        .context = calls,
    };
    struct flo_tree_node *flat = flo_tree_new(&s->tree, FLO_TREE_OBJECT);

    flo_schema_flatten(s, schema, flat);
    if (s->rv == 0 && (FLO_GET(s, flat, "anyOf") != NULL || FLO_GET(s, flat, "oneOf") != NULL ||
                       FLO_GET(s, flat, "enum") != NULL || FLO_GET(s, flat, "const") != NULL)) {
        flo_schema_refuse(s, "",
                          "alternatives are not supported in the form "
                          "in which this model writes calls");
    }
    if (s->rv == 0) {
        flo_schema_object_as(s, flat, &words);
    }
}

/* ---- calls ---- */

static const struct flo_tree_node *parameters_of(struct flo_schema *s, const struct calls *calls,
                                                 uint32_t i)
{
    const struct flo_tree_node *n = flo_tree_member(calls->tools->functions[i], "parameters");
    int types = n == NULL ? FLO_TYPE_OBJECT : flo_schema_types(s, n);

    if ((types & FLO_TYPE_OBJECT) == 0) {
        flo_schema_refuse(s, "/type", "must be an object");
    }
    return n != NULL && n->first != NULL ? n : NULL;
}

/* Builds the rule for a tool's arguments.  The tool is an item without a
 * schema, so that errors name it.  References in its parameters begin at these
 * parameters. */
static uint32_t put_arguments(struct flo_schema *s, const struct calls *calls, uint32_t i)
{
    const struct flo_tree_node *name = flo_tool_name(calls->tools, i);
    struct flo_schema_item *item = &s->items[s->count];
    bool is_json = calls->form->kind == FLO_CALLS_JSON;
    uint32_t at = s->at, rule = flo_program_rule(s->program);

    if (s->count == FLO_SCHEMA_ITEMS_MAX) {
        flo_schema_refuse(s, "", "more than %u schemas", FLO_SCHEMA_ITEMS_MAX);
        return rule;
    }
    uint32_t back = flo_program_begin(s->program, rule);
    *item = (struct flo_schema_item){.parent = at};
    snprintf(item->place, sizeof(item->place), "/tools/%.*s", flo_schema_cut(name->bytes),
             name->text);
    s->at = s->count++;
    item->top = parameters_of(s, calls, i);
    if (item->top == NULL) {
        flo_program_text(s->program, is_json ? "{}" : "");
    } else if (is_json) {
        uint32_t count = s->count;
        flo_schema_call(s, item->top, "", "", 0);
        if (s->count > count) {
            s->items[count].place[0] = '\0';
        }
    } else {
        put_fields(s, calls, item->top);
    }
    s->at = at;
    flo_program_end(s->program, back);
    return rule;
}

/* Builds a rule of NAME mid ARGUMENTS, with each allowed tool as an
 * alternative. */
static uint32_t put_call(struct flo_schema *s, const struct calls *calls,
                         const struct flo_form_text *mid)
{
    struct flo_program *p = s->program;
    uint32_t rule = flo_program_rule(p), back = flo_program_begin(p, rule);
    struct flo_choice choice;

    flo_choice_begin(p, &choice);
    for (uint32_t i = 0; i < calls->tools->count && !p->failed; i++) {
        const struct flo_tree_node *name = flo_tool_name(calls->tools, i);

        if (calls->only != UINT32_MAX && calls->only != i) {
            continue;
        }
        flo_choice_next(p, &choice);
        flo_program_bytes(p, name->text, name->bytes);
        put(s, mid);
        flo_program_call(p, calls->arguments[i]);
    }
    flo_choice_end(p, &choice);
    flo_program_end(p, back);
    return rule;
}

static void put_next(struct flo_schema *s, const struct calls *calls, uint32_t call)
{
    uint32_t rule = flo_program_rule(s->program);
    uint32_t back = flo_program_begin(s->program, rule);

    put(s, &calls->form->next);
    flo_program_call(s->program, call);
    flo_program_end(s->program, back);
    flo_program_repeat(s->program, rule, 0, FLO_CALLS_MAX - 1);
}

/* Appends the schema of an answer without calls as an item.  Like a tool, it is
 * one of the alternatives. */
static void put_answer(struct flo_schema *s, const struct flo_tree_node *schema)
{
    struct flo_schema_item *item = &s->items[s->count];
    uint32_t count;

    *item = (struct flo_schema_item){.top = schema};
    s->at = s->count++;
    count = s->count;
    flo_schema_call(s, schema, "", "", 0);
    if (s->count > count) {
        s->items[count].place[0] = '\0';
    }
    s->at = 0;
}

static void put_calls(struct flo_schema *s, const struct calls *calls,
                      const struct flo_call_choice *choice, uint32_t call, uint32_t named)
{
    const struct flo_call_form *form = calls->form;
    struct flo_choice begin;

    flo_choice_begin(s->program, &begin);
    flo_choice_next(s->program, &begin);
    put(s, &form->open);
    flo_program_call(s->program, call);
    if (flo_form_has_channels(form)) {
        flo_choice_next(s->program, &begin);
        put(s, &form->channel_open);
        flo_program_call(s->program, named);
    }
    flo_choice_end(s->program, &begin);
    if (!choice->is_one && form->next.bytes > 0) {
        put_next(s, calls, call);
    }
    put(s, &form->close);
}

static void put_all(struct flo_schema *s, struct calls *calls, const struct flo_call_choice *choice)
{
    const struct flo_call_form *form = calls->form;
    struct flo_program *p = s->program;
    uint32_t back, call, named;

    s->items[0] = (struct flo_schema_item){.rule = flo_program_rule(p)};
    s->count = 1;
    p->root = s->items[0].rule;
    calls->up_to = flo_program_rule(p);
    back = flo_program_begin(p, calls->up_to);
    flo_schema_up_to(s, &calls->form->field_close);
    flo_program_end(p, back);
    for (uint32_t i = 0; i < calls->tools->count && s->rv == 0 && !p->failed; i++) {
        if (calls->only == UINT32_MAX || calls->only == i) {
            calls->arguments[i] = put_arguments(s, calls, i);
        }
    }
    call = put_call(s, calls, &form->mid);
    named = flo_form_has_channels(form) ? put_call(s, calls, &form->channel_mid) : call;
    back = flo_program_begin(p, p->root);
    if (choice->may_blank) {
        flo_gbnf_put(&s->gbnf, "[ \\n]{0,4}");
    }
    if (calls->tools->answer != NULL) {
        struct flo_choice either;

        flo_choice_begin(p, &either);
        flo_choice_next(p, &either);
        put_calls(s, calls, choice, call, named);
        flo_choice_next(p, &either);
        put_answer(s, calls->tools->answer);
        flo_choice_end(p, &either);
    } else {
        put_calls(s, calls, choice, call, named);
    }
    flo_program_end(p, back);
    flo_schema_put_items(s);
    s->rv = s->rv < 0 ? s->rv : s->gbnf.rv;
}

static uint32_t find(const struct flo_tools *tools, const struct flo_call_choice *choice)
{
    for (uint32_t i = 0; i < tools->count; i++) {
        const struct flo_tree_node *name = flo_tool_name(tools, i);

        if (name->bytes == choice->name_bytes &&
            memcmp(name->text, choice->name, name->bytes) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

int flo_calls_compile(const struct flo_tools *tools, const struct flo_call_form *form,
                      const struct flo_call_choice *choice, struct flo_program **program,
                      struct flo_err *err)
{
    struct flo_schema s = {.tree = tools->tree,
                           .is_python = form->is_python,
                           .mark = flo_form_is_marked(form) ? &form->quote : NULL};
    struct calls calls = {.tools = tools, .form = form, .only = UINT32_MAX};

    if (choice->name_bytes > 0) {
        calls.only = find(tools, choice);
    }
    if (tools->count == 0 || (choice->name_bytes > 0 && calls.only == UINT32_MAX)) {
        return flo_fail(err, FLO_E_INFER_PARAM, "tool_choice names none of the %u tools",
                        tools->count);
    }
    /* A form with Python's words, channels or marks would also write the
     * answer's values in its own way. */
    if (tools->answer != NULL &&
        (form->is_python || flo_form_has_channels(form) || flo_form_is_marked(form))) {
        return flo_fail(err, FLO_E_INFER_SCHEMA,
                        "schema /: tools next to it are not supported in the "
                        "form in which this model writes calls");
    }
    flo_schema_begin(&s, err);
    if (s.rv == 0) {
        put_all(&s, &calls, choice);
    }
    return flo_schema_end(&s, program);
}
