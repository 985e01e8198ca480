/* Jinja: renders a conversation with a parsed template. */
#include "engine/chat/jinja/interpreter.h"

#include <stdlib.h>

#include <flotilla/errors/model.h>

#define PARSE_BYTES_MAX (16u << 20)
/* Limits of a rendering.  Each byte of message text adds 8 bytes and a step,
 * each byte of JSON 16 bytes and 32 steps. */
#define RUN_BYTES_MAX (24u << 20)
#define STEPS_MAX 2000000u
#define CALLS_MAX 24u

static struct jinja_value eval(struct jinja_run *run, struct jinja_scope *scope,
                               const struct jinja_node *node);
static void run_body(struct jinja_run *run, struct jinja_scope *scope,
                     const struct jinja_node *body);

static struct jinja_value not_built(struct jinja_run *run, const char *what)
{
    return flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "%s", what);
}

static bool goes_on(struct jinja_run *run, const struct jinja_node *node)
{
    run->line = node->line;
    if (run->rv == 0 && run->steps-- == 0) {
        run->steps = 0;
        flo_jinja_fail(run, FLO_E_INFER_TOO_LONG, "it does not come to an end");
    }
    return run->rv == 0;
}

/* ---- names ---- */

static struct jinja_value look_up(const struct jinja_run *run, struct jinja_scope *scope,
                                  struct jinja_text name)
{
    for (; scope != NULL; scope = scope->parent) {
        const struct jinja_value *hit = flo_jinja_find(&scope->names, name);
        if (hit != NULL) {
            return *hit;
        }
    }
    return (struct jinja_value){
        .kind = flo_jinja_is_function(run, name) ? KIND_FUNCTION : KIND_UNDEFINED, .text = name};
}

static void assign(struct jinja_run *run, struct jinja_scope *scope,
                   const struct jinja_node *target, struct jinja_value value)
{
    if (value.kind == KIND_DICT && value.dict->is_ours && !value.dict->is_namespace) {
        not_built(run, "a loop that is kept");
        return;
    }
    if (target->op == OP_NAME) {
        flo_jinja_put(run, &scope->names, target->text, value);
        return;
    }
    struct jinja_value object = look_up(run, scope, target->a->text);
    if (object.kind != KIND_DICT || !object.dict->is_namespace) {
        not_built(run, "a field can be set of a namespace only");
        return;
    }
    flo_jinja_put(run, object.dict, target->text, value);
}

/* ---- operators ---- */

static int compare(struct jinja_text a, struct jinja_text b)
{
    size_t least = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = least == 0 ? 0 : memcmp(a.data, b.data, least);
    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static struct jinja_value ordered(struct jinja_run *run, enum jinja_op op,
                                  const struct jinja_value *a, const struct jinja_value *b)
{
    int order;
    if (flo_jinja_is_number(a) && flo_jinja_is_number(b)) {
        order = flo_jinja_order_numbers(a, b);
    } else if (a->kind == KIND_TEXT && b->kind == KIND_TEXT) {
        order = compare(a->text, b->text);
    } else {
        return not_built(run, "an order between these");
    }
    return flo_jinja_bool(op == OP_LESS      ? order < 0
                          : op == OP_AT_MOST ? order <= 0
                          : op == OP_MORE    ? order > 0
                                             : order >= 0);
}

static struct jinja_value reckoned(struct jinja_run *run, enum jinja_op op, int64_t a, int64_t b)
{
    int64_t out = 0;
    bool is_bad = false;
    if (op == OP_ADD) {
        is_bad = __builtin_add_overflow(a, b, &out);
    } else if (op == OP_SUBTRACT) {
        is_bad = __builtin_sub_overflow(a, b, &out);
    } else if (op == OP_MULTIPLY) {
        is_bad = __builtin_mul_overflow(a, b, &out);
    } else if (b == 0 || (b == -1 && a == INT64_MIN)) {
        is_bad = true;
    } else { /* rounds the quotient down, as Python does */
        int64_t rest = a % b;
        bool is_off = rest != 0 && (rest < 0) != (b < 0);
        out = op == OP_MODULO ? rest + (is_off ? b : 0) : a / b - is_off;
    }
    return is_bad ? not_built(run, "a number has no bounds here") : flo_jinja_number(out);
}

static struct jinja_value added(struct jinja_run *run, const struct jinja_value *a,
                                const struct jinja_value *b)
{
    if (a->kind == KIND_TEXT && b->kind == KIND_TEXT) {
        return flo_jinja_text(flo_jinja_join(run, a->text, b->text));
    }
    if (a->kind == KIND_LIST && b->kind == KIND_LIST) {
        struct jinja_value out = flo_jinja_list(run);
        flo_jinja_charge(run, a);
        flo_jinja_charge(run, b);
        for (size_t i = 0; run->rv == 0 && i < a->list->count; i++) {
            flo_jinja_append(run, out.list, a->list->items[i]);
        }
        for (size_t i = 0; run->rv == 0 && i < b->list->count; i++) {
            flo_jinja_append(run, out.list, b->list->items[i]);
        }
        return out;
    }
    const struct jinja_value *missing = a->kind == KIND_UNDEFINED ? a : b;
    if (missing->kind == KIND_UNDEFINED) {
        return flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "'%.*s' is not defined",
                              (int)missing->text.bytes, missing->text.data);
    }
    return not_built(run, "a sum of these");
}

static struct jinja_value combined(struct jinja_run *run, enum jinja_op op,
                                   const struct jinja_value *a, const struct jinja_value *b)
{
    switch (op) {
    case OP_EQUAL:
    case OP_UNEQUAL:
        return flo_jinja_bool(flo_jinja_equal(run, a, b) == (op == OP_EQUAL));
    case OP_LESS:
    case OP_AT_MOST:
    case OP_MORE:
    case OP_AT_LEAST:
        return ordered(run, op, a, b);
    case OP_IN:
        return flo_jinja_bool(flo_jinja_contains(run, b, a));
    case OP_JOIN:
        return flo_jinja_text(
            flo_jinja_join(run, flo_jinja_string(run, a), flo_jinja_string(run, b)));
    default:
        if (a->kind == KIND_NUMBER && b->kind == KIND_NUMBER) {
            return reckoned(run, op, a->number, b->number);
        }
        return op == OP_ADD ? added(run, a, b) : not_built(run, "a calculation with these");
    }
}

/* ---- calls ---- */

static void read_args(struct jinja_run *run, struct jinja_scope *scope,
                      const struct jinja_node *node, struct jinja_args *args)
{
    args->count = args->keyword_count = 0;
    for (; node != NULL && run->rv == 0; node = node->next) {
        if (node->op == OP_KEYWORD) {
            args->keywords[args->keyword_count++] =
                (struct jinja_entry){node->text, eval(run, scope, node->a)};
        } else {
            args->values[args->count++] = eval(run, scope, node);
        }
    }
}

/* Returns an empty scope inside `parent`.  One that is no longer used is taken
 * again.  Returns NULL after an error. */
static struct jinja_scope *inner_scope(struct jinja_run *run, struct jinja_scope *parent)
{
    struct jinja_scope *scope = run->spare;
    if (scope != NULL) {
        run->spare = scope->parent;
    } else {
        scope = flo_jinja_need(run, 1, sizeof(*scope));
    }
    if (scope != NULL) {
        scope->names.count = 0;
        scope->parent = parent;
    }
    return scope;
}

static void leave_scope(struct jinja_run *run, struct jinja_scope *scope)
{
    if (scope != NULL) {
        scope->parent = run->spare;
        run->spare = scope;
    }
}

/* Renders a body and returns its output as a text. */
static struct jinja_value captured(struct jinja_run *run, struct jinja_scope *scope,
                                   const struct jinja_node *body)
{
    struct jinja_builder builder = flo_jinja_builder(run);
    struct flo_buf *outer_text = run->text, *outer_marks = run->marks;
    run->text = &builder.text;
    run->marks = &builder.marks;
    run_body(run, scope, body);
    run->text = outer_text;
    run->marks = outer_marks;
    return flo_jinja_built(&builder);
}

static struct jinja_value call_macro(struct jinja_run *run, const struct jinja_node *macro,
                                     const struct jinja_args *args)
{
    struct jinja_scope *scope = inner_scope(run, &run->root);
    size_t at = 0, used = 0;
    if (scope == NULL) {
        return flo_jinja_bool(false);
    }
    if (run->calls == CALLS_MAX) {
        return flo_jinja_fail(run, FLO_E_INFER_TOO_LONG, "macros call each other without end");
    }
    run->calls++;
    for (const struct jinja_node *name = macro->args; name != NULL && run->rv == 0;
         name = name->next, at++) {
        struct jinja_value value = {.kind = KIND_UNDEFINED, .text = name->text};
        bool is_given = at < args->count;
        if (is_given) {
            value = args->values[at];
        }
        for (size_t i = 0; i < args->keyword_count; i++) {
            if (!is_given && args->keywords[i].key.bytes == name->text.bytes &&
                memcmp(args->keywords[i].key.data, name->text.data, name->text.bytes) == 0) {
                value = args->keywords[i].value;
                is_given = true;
                used++;
            }
        }
        if (!is_given && name->a != NULL) {
            value = eval(run, scope, name->a);
        }
        flo_jinja_put(run, &scope->names, name->text, value);
    }
    if (args->count > at || used < args->keyword_count) {
        not_built(run, "arguments that the macro does not have");
    }
    struct jinja_value out = captured(run, scope, macro->b);
    run->calls--;
    leave_scope(run, scope);
    return out;
}

static struct jinja_value call(struct jinja_run *run, struct jinja_scope *scope,
                               const struct jinja_node *node)
{
    struct jinja_args args;
    struct jinja_value what = eval(run, scope, node->a);
    read_args(run, scope, node->args, &args);
    if (run->rv < 0) {
        return what;
    }
    switch (what.kind) {
    case KIND_FUNCTION:
        return flo_jinja_function(run, what.text, &args);
    case KIND_METHOD:
        return flo_jinja_method(run, what.text, what.bound, &args);
    case KIND_MACRO:
        return call_macro(run, what.macro, &args);
    default:
        /* the function is defined even if the request gives no time */
        if (jinja_is(what.text, "strftime_now")) {
            return flo_jinja_function(run, what.text, &args);
        }
        return flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "the function '%.*s' is not known",
                              (int)what.text.bytes, what.text.data != NULL ? what.text.data : "");
    }
}

/* ---- expressions ---- */

static int64_t slice_bound(struct jinja_run *run, struct jinja_scope *scope,
                           const struct jinja_node *node)
{
    struct jinja_value value = {.kind = KIND_NONE};
    if (node != NULL) {
        value = eval(run, scope, node);
    }
    if (value.kind == KIND_NONE) {
        return INT64_MIN;
    }
    if (value.kind != KIND_NUMBER || value.number == INT64_MIN) {
        not_built(run, "a slice by what is no number");
    }
    return value.number;
}

static struct jinja_value eval_slice(struct jinja_run *run, struct jinja_scope *scope,
                                     const struct jinja_node *node)
{
    struct jinja_value value = eval(run, scope, node->a);
    int64_t from = slice_bound(run, scope, node->b);
    int64_t to = slice_bound(run, scope, node->c);
    int64_t step = slice_bound(run, scope, node->d);
    /* A slice of a text, or a reversed list, is a copy, which costs steps.  Any
     * other slice of a list shares the list's items, which costs none. */
    if (value.kind == KIND_TEXT || step == -1) {
        flo_jinja_charge(run, &value);
    }
    return run->rv < 0 ? value
                       : flo_jinja_slice(run, &value, from, to, step == INT64_MIN ? 1 : step);
}

static struct jinja_value eval_list(struct jinja_run *run, struct jinja_scope *scope,
                                    const struct jinja_node *node)
{
    struct jinja_value out = flo_jinja_list(run);
    if (run->rv == 0 && node->number != 0) {
        out.list->kind = LIST_TUPLE;
    }
    for (node = node->args; node != NULL && run->rv == 0; node = node->next) {
        flo_jinja_append(run, out.list, eval(run, scope, node));
    }
    return out;
}

static struct jinja_value eval_dict(struct jinja_run *run, struct jinja_scope *scope,
                                    const struct jinja_node *node)
{
    struct jinja_value out = {.kind = KIND_DICT};
    out.dict = flo_jinja_take(&run->pool, 1, sizeof(*out.dict));
    if (out.dict == NULL) {
        return flo_jinja_fail(run, run->pool.rv, "more than %zu bytes", run->pool.bytes_max);
    }
    for (node = node->args; node != NULL && run->rv == 0; node = node->next) {
        struct jinja_value key = eval(run, scope, node->a);
        if (key.kind != KIND_TEXT) {
            return not_built(run, "a key that is no text");
        }
        flo_jinja_put(run, out.dict, key.text, eval(run, scope, node->b));
    }
    return out;
}

/* Evaluates and, or and if-else, which may leave an operand unevaluated. */
static struct jinja_value eval_choice(struct jinja_run *run, struct jinja_scope *scope,
                                      const struct jinja_node *node)
{
    struct jinja_value a = eval(run, scope, node->a);
    bool is_true = flo_jinja_is_true(&a);
    if (run->rv < 0) {
        return a;
    }
    if (node->op == OP_AND || node->op == OP_OR) {
        return is_true == (node->op == OP_AND) ? eval(run, scope, node->b) : a;
    }
    if (is_true || node->c != NULL) {
        return eval(run, scope, is_true ? node->b : node->c);
    }
    return (struct jinja_value){.kind = KIND_UNDEFINED};
}

/* Applies a filter or a test to a value, with its arguments. */
static struct jinja_value eval_filter(struct jinja_run *run, struct jinja_scope *scope,
                                      const struct jinja_node *node)
{
    struct jinja_args args;
    struct jinja_value value = eval(run, scope, node->a);
    read_args(run, scope, node->args, &args);
    if (run->rv < 0) {
        return value;
    }
    run->line = node->line;
    return node->op == OP_FILTER ? flo_jinja_filter(run, node->text, &value, &args)
                                 : flo_jinja_bool(flo_jinja_test(run, node->text, &value, &args));
}

static struct jinja_value eval_two(struct jinja_run *run, struct jinja_scope *scope,
                                   const struct jinja_node *node)
{
    struct jinja_value a = eval(run, scope, node->a);
    struct jinja_value b = eval(run, scope, node->b);
    if (run->rv < 0) {
        return a;
    }
    run->line = node->line;
    /* OP_ADD and OP_JOIN charge the steps of their copies themselves */
    if (node->op != OP_ADD && node->op != OP_JOIN) {
        flo_jinja_charge(run, &a);
        flo_jinja_charge(run, &b);
    }
    return node->op == OP_ITEM ? flo_jinja_item(run, &a, &b) : combined(run, node->op, &a, &b);
}

static struct jinja_value eval_one(struct jinja_run *run, struct jinja_scope *scope,
                                   const struct jinja_node *node)
{
    struct jinja_value a = eval(run, scope, node->a);
    if (run->rv < 0) {
        return a;
    }
    if (node->op == OP_ATTRIBUTE) {
        return flo_jinja_attribute(run, &a, node->text);
    }
    if (node->op == OP_NOT) {
        return flo_jinja_bool(!flo_jinja_is_true(&a));
    }
    return a.kind == KIND_NUMBER ? reckoned(run, OP_SUBTRACT, 0, a.number)
                                 : not_built(run, "a sign of what is no number");
}

static struct jinja_value eval(struct jinja_run *run, struct jinja_scope *scope,
                               const struct jinja_node *node)
{
    if (!goes_on(run, node)) {
        return (struct jinja_value){.kind = KIND_UNDEFINED};
    }
    switch (node->op) {
    case OP_TEXT:
        return flo_jinja_text(node->text);
    case OP_NUMBER:
        return flo_jinja_number(node->number);
    case OP_TRUE:
    case OP_FALSE:
        return flo_jinja_bool(node->op == OP_TRUE);
    case OP_NONE:
        return (struct jinja_value){.kind = KIND_NONE};
    case OP_NAME:
        return look_up(run, scope, node->text);
    case OP_LIST:
        return eval_list(run, scope, node);
    case OP_DICT:
        return eval_dict(run, scope, node);
    case OP_SLICE:
        return eval_slice(run, scope, node);
    case OP_CALL:
        return call(run, scope, node);
    case OP_FILTER:
    case OP_TEST:
        return eval_filter(run, scope, node);
    case OP_AND:
    case OP_OR:
    case OP_CHOICE:
        return eval_choice(run, scope, node);
    case OP_ATTRIBUTE:
    case OP_NOT:
    case OP_NEGATIVE:
        return eval_one(run, scope, node);
    default:
        return eval_two(run, scope, node);
    }
}

/* ---- statements ---- */

static void print(struct jinja_run *run, struct jinja_text text)
{
    static const uint8_t none[256];
    if (run->rv < 0 || text.bytes == 0) {
        return;
    }
    flo_buf_add(run->text, text.data, text.bytes);
    for (size_t at = 0; at < text.bytes; at += sizeof(none)) {
        size_t n = text.bytes - at;
        n = n < sizeof(none) ? n : sizeof(none);
        flo_buf_add(run->marks, text.marks != NULL ? text.marks + at : none, n);
    }
    if (run->text->failed || run->marks->failed) {
        flo_jinja_fail(run, FLO_E_INFER_TOO_LONG, "its text is too long");
    }
}

static struct jinja_value item_or_none(const struct jinja_list *list, size_t at)
{
    return at < list->count ? list->items[at]
                            : (struct jinja_value){.kind = KIND_UNDEFINED,
                                                   .text = jinja_text_of("an item of a loop")};
}

/* Sets the fields of the variable `loop` for one iteration. */
static void set_loop(struct jinja_run *run, struct jinja_scope *scope,
                     const struct jinja_list *list, size_t at)
{
    int64_t index = (int64_t)at, count = (int64_t)list->count;
    struct jinja_dict *loop = &scope->loop;
    const struct {
        const char *name;
        struct jinja_value value;
    } facts[] = {{"index", flo_jinja_number(index + 1)},
                 {"index0", flo_jinja_number(index)},
                 {"revindex", flo_jinja_number(count - index)},
                 {"revindex0", flo_jinja_number(count - index - 1)},
                 {"first", flo_jinja_bool(at == 0)},
                 {"last", flo_jinja_bool(at + 1 == list->count)},
                 {"length", flo_jinja_number(count)},
                 {"previtem", item_or_none(list, at - 1)},
                 {"nextitem", item_or_none(list, at + 1)}};
    for (size_t i = 0; run->rv == 0 && i < FLO_COUNT(facts); i++) {
        /* from the second iteration on, only the values change */
        if (loop->count == FLO_COUNT(facts)) {
            loop->entries[i].value = facts[i].value;
        } else {
            flo_jinja_put(run, loop, jinja_text_of(facts[i].name), facts[i].value);
        }
    }
    loop->is_ours = true;
    flo_jinja_put(run, &scope->names, jinja_text_of("loop"),
                  (struct jinja_value){.kind = KIND_DICT, .dict = loop});
}

/* Defines the loop's variables for one iteration. */
static void begin_round(struct jinja_run *run, struct jinja_scope *scope,
                        const struct jinja_node *node, const struct jinja_list *list, size_t at)
{
    const struct jinja_value *item = &list->items[at];
    size_t i = 0;
    scope->names.count = 0;
    if (node->args->next == NULL) {
        flo_jinja_put(run, &scope->names, node->args->text, *item);
        return;
    }
    for (const struct jinja_node *name = node->args; name != NULL; name = name->next, i++) {
        if (item->kind != KIND_LIST || i >= item->list->count) {
            not_built(run, "a loop over other pairs");
            return;
        }
        flo_jinja_put(run, &scope->names, name->text, item->list->items[i]);
    }
}

/* Returns the items of the list that satisfy the condition of the loop. */
static struct jinja_list *chosen(struct jinja_run *run, struct jinja_scope *scope,
                                 const struct jinja_node *node, struct jinja_list *list)
{
    struct jinja_value out = flo_jinja_list(run);
    for (size_t i = 0; run->rv == 0 && i < list->count; i++) {
        begin_round(run, scope, node, list, i);
        struct jinja_value holds = eval(run, scope, node->d);
        if (run->rv == 0 && flo_jinja_is_true(&holds)) {
            flo_jinja_append(run, out.list, list->items[i]);
        }
    }
    return run->rv < 0 ? NULL : out.list;
}

static void run_for(struct jinja_run *run, struct jinja_scope *scope, const struct jinja_node *node)
{
    struct jinja_value value = eval(run, scope, node->a);
    struct jinja_list *list = run->rv < 0 ? NULL : flo_jinja_items(run, &value);
    struct jinja_scope *inner = list == NULL ? NULL : inner_scope(run, scope);
    if (inner != NULL && node->d != NULL) {
        list = chosen(run, inner, node, list);
    }
    for (size_t i = 0; run->rv == 0 && i < list->count; i++) {
        begin_round(run, inner, node, list, i);
        set_loop(run, inner, list, i);
        if (goes_on(run, node)) {
            run_body(run, inner, node->b);
        }
        if (run->flow == FLOW_BREAK) {
            run->flow = FLOW_NEXT;
            break;
        }
        run->flow = FLOW_NEXT;
    }
    leave_scope(run, inner);
    if (run->rv == 0 && node->c != NULL && list->count == 0) {
        run_body(run, scope, node->c);
    }
}

static void run_if(struct jinja_run *run, struct jinja_scope *scope,
                   const struct jinja_node *branch)
{
    for (; branch != NULL && goes_on(run, branch); branch = branch->c) {
        struct jinja_value holds = flo_jinja_bool(true);
        if (branch->a != NULL) {
            holds = eval(run, scope, branch->a);
        }
        if (run->rv == 0 && flo_jinja_is_true(&holds)) {
            run_body(run, scope, branch->b);
            return;
        }
    }
}

static void run_statement(struct jinja_run *run, struct jinja_scope *scope,
                          const struct jinja_node *node)
{
    struct jinja_value value;
    switch (node->op) {
    case OP_DATA:
        print(run, node->text);
        break;
    case OP_PRINT:
        value = eval(run, scope, node->a);
        print(run, flo_jinja_string(run, &value));
        break;
    case OP_IF:
        run_if(run, scope, node);
        break;
    case OP_FOR:
        run_for(run, scope, node);
        break;
    case OP_SET:
    case OP_SET_BLOCK:
        value = node->op == OP_SET ? eval(run, scope, node->b) : captured(run, scope, node->b);
        if (run->rv == 0) {
            assign(run, scope, node->a, value);
        }
        break;
    case OP_MACRO:
        flo_jinja_put(run, &scope->names, node->text,
                      (struct jinja_value){.kind = KIND_MACRO, .macro = node});
        break;
    case OP_BREAK:
    case OP_CONTINUE:
        run->flow = node->op == OP_BREAK ? FLOW_BREAK : FLOW_CONTINUE;
        break;
    case OP_GENERATION:
        scope = inner_scope(run, scope);
        if (scope != NULL) {
            run_body(run, scope, node->b);
            leave_scope(run, scope);
        }
        break;
    default:
        run_body(run, scope, node);
        break;
    }
}

static void run_body(struct jinja_run *run, struct jinja_scope *scope,
                     const struct jinja_node *body)
{
    for (const struct jinja_node *node = body->args;
         node != NULL && run->flow == FLOW_NEXT && goes_on(run, node); node = node->next) {
        run_statement(run, scope, node);
    }
}

/* ---- from outside ---- */

/* Returns a copy with Unix line ends, without one newline at the end. */
static char *normalised(struct jinja_pool *pool, const char *text, size_t *bytes)
{
    char *out = flo_jinja_take(pool, *bytes + 1, 1);
    size_t count = 0;
    for (size_t i = 0; out != NULL && i < *bytes; i++) {
        if (text[i] == '\r') {
            out[count++] = '\n';
            i += i + 1 < *bytes && text[i + 1] == '\n';
        } else {
            out[count++] = text[i];
        }
    }
    *bytes = count > 0 && out[count - 1] == '\n' ? count - 1 : count;
    return out;
}

int flo_jinja_open(const char *text, size_t bytes, struct flo_jinja **out, struct flo_err *err)
{
    struct jinja_token *tokens = NULL;
    struct flo_jinja *jinja = calloc(1, sizeof(*jinja));
    if (jinja == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a chat template");
    }
    jinja->pool.bytes_max = PARSE_BYTES_MAX;
    char *source = normalised(&jinja->pool, text, &bytes);
    int rv = source == NULL ? flo_fail(err, FLO_E_MEMORY, "a chat template")
                            : flo_jinja_lex(&jinja->pool, source, bytes, &tokens, err);
    if (rv == 0) {
        rv = flo_jinja_parse(&jinja->pool, tokens, &jinja->body, err);
    }
    if (rv < 0) {
        flo_jinja_close(jinja);
        return rv;
    }
    jinja->source = (struct jinja_text){source, NULL, bytes};
    *out = jinja;
    return 0;
}

const char *flo_jinja_source(const struct flo_jinja *jinja, size_t *bytes)
{
    *bytes = jinja->source.bytes;
    return jinja->source.data;
}

void flo_jinja_close(struct flo_jinja *jinja)
{
    if (jinja != NULL) {
        flo_jinja_drop(&jinja->pool);
        free(jinja);
    }
}

int flo_jinja_render(const struct flo_jinja *jinja, const struct flo_jinja_input *input,
                     struct flo_buf *text, struct flo_buf *marks, struct flo_err *err)
{
    uint64_t texts = 0, json = input->documents_bytes;
    struct jinja_run run = {.text = text, .marks = marks, .err = err};
    for (size_t i = 0; i < input->count; i++) {
        texts += input->messages[i].bytes;
        json += input->messages[i].more_bytes;
    }
    json += input->setting != NULL ? input->setting->tools_bytes : 0;
    run.steps = STEPS_MAX + texts + 32 * json;
    run.pool.bytes_max = (size_t)(RUN_BYTES_MAX + 8 * texts + 16 * json);
    flo_jinja_begin(&run, input);
    if (run.rv == 0) {
        run_body(&run, &run.root, jinja->body);
    }
    flo_jinja_drop(&run.pool);
    return run.rv;
}
