/* Jinja: from tokens to a tree.
 *
 * Precedence from weak to strong: if-else, or, and, not, comparisons, + -, ~,
 * * // %, signs, then what follows a value: .name [item] (call) |filter and
 * is-tests.  The tree's depth is bounded, so that what walks it may recurse. */
#include "engine/chat/jinja/inside.h"

#define NESTING_MAX 64

struct parser {
    struct jinja_pool *pool;
    const struct jinja_token *at;
    int nesting;
    int rv;
    struct flo_err *err;
};

typedef struct jinja_node *rule(struct parser *parser);
static rule parse_expression, parse_unary;
static struct jinja_node *parse_body(struct parser *parser,
                                     const char *const *ends);

static struct jinja_node *refuse(struct parser *parser, const char *why)
{
    if (parser->rv == 0) {
        struct jinja_text near = parser->at->text;
        parser->rv = flo_fail(
            parser->err, FLO_E_MODEL_TEMPLATE,
            "the chat template, line %u near '%.*s': %s", parser->at->line,
            (int)(near.bytes < 20 ? flo_utf8_valid(near.data, near.bytes) : 0),
            near.data != NULL ? near.data : "", why);
    }
    while (parser->at->kind != TOKEN_END) {
        parser->at++;
    }
    return NULL;
}

static uint32_t depth_of(const struct jinja_node *node)
{
    return node != NULL ? node->depth : 0;
}

static uint32_t deeper(uint32_t depth, const struct jinja_node *node)
{
    return depth > depth_of(node) ? depth : depth_of(node);
}

/* A node over its parts.  `args` are a list that is already there. */
static struct jinja_node *make(struct parser *parser, enum jinja_op op,
                               struct jinja_node *a, struct jinja_node *b,
                               struct jinja_node *c, struct jinja_node *args)
{
    struct jinja_node *node = flo_jinja_take(parser->pool, 1, sizeof(*node));
    uint32_t depth = deeper(deeper(depth_of(a), b), c);
    if (node == NULL) {
        return refuse(parser, "it is too long");
    }
    for (const struct jinja_node *arg = args; arg != NULL; arg = arg->next) {
        depth = deeper(depth, arg);
    }
    if (depth >= FLO_JINJA_DEPTH_MAX) {
        return refuse(parser, "it is nested too deeply");
    }
    *node = (struct jinja_node){.op = op,
                                .line = parser->at->line,
                                .depth = depth + 1,
                                .a = a,
                                .b = b,
                                .c = c,
                                .args = args};
    return node;
}

static bool sees(const struct parser *parser, enum jinja_token_kind kind,
                 const char *word)
{
    return parser->at->kind == kind && jinja_is(parser->at->text, word);
}

static bool takes(struct parser *parser, const char *word)
{
    bool is_there =
        sees(parser, TOKEN_OPERATOR, word) || sees(parser, TOKEN_NAME, word);
    parser->at += is_there;
    return is_there;
}

static void need(struct parser *parser, const char *word)
{
    if (!takes(parser, word)) {
        refuse(parser, "another sign must stand here");
    }
}

static struct jinja_text take_name(struct parser *parser)
{
    struct jinja_text name = parser->at->text;
    if (parser->at->kind != TOKEN_NAME) {
        refuse(parser, "a name must stand here");
        return jinja_text_of("");
    }
    parser->at++;
    return name;
}

static struct jinja_node *named(struct jinja_node *node, struct jinja_text text)
{
    if (node != NULL) {
        node->text = text;
    }
    return node;
}

/* ---- values ---- */

/* Up to `closing`, commas between; keywords where a call may have them. */
static struct jinja_node *parse_list(struct parser *parser, const char *closing,
                                     bool has_keywords)
{
    struct jinja_node *first = NULL, **last = &first;
    size_t count = 0;
    while (parser->rv == 0 && !takes(parser, closing)) {
        struct jinja_node *item;
        if (sees(parser, TOKEN_OPERATOR, "*") ||
            sees(parser, TOKEN_OPERATOR, "**")) {
            refuse(parser, "unpacked arguments are not built");
        }
        if (has_keywords && parser->at->kind == TOKEN_NAME &&
            parser->at[1].kind == TOKEN_OPERATOR &&
            jinja_is(parser->at[1].text, "=")) {
            struct jinja_text name = take_name(parser);
            parser->at++;
            item = parse_expression(parser);
            item =
                named(make(parser, OP_KEYWORD, item, NULL, NULL, NULL), name);
        } else {
            item = parse_expression(parser);
        }
        if (item == NULL || (has_keywords && ++count > FLO_JINJA_ARGS_MAX)) {
            return refuse(parser, "too many arguments");
        }
        *last = item;
        last = &item->next;
        if (!sees(parser, TOKEN_OPERATOR, closing)) {
            need(parser, ",");
        }
    }
    return first;
}

static struct jinja_node *parse_dict(struct parser *parser)
{
    struct jinja_node *first = NULL, **last = &first;
    while (parser->rv == 0 && !takes(parser, "}")) {
        struct jinja_node *key = parse_expression(parser);
        need(parser, ":");
        struct jinja_node *value = parse_expression(parser);
        struct jinja_node *pair = make(parser, OP_PAIR, key, value, NULL, NULL);
        if (pair == NULL) {
            return NULL;
        }
        *last = pair;
        last = &pair->next;
        if (!sees(parser, TOKEN_OPERATOR, "}")) {
            need(parser, ",");
        }
    }
    return make(parser, OP_DICT, NULL, NULL, NULL, first);
}

/* Strings next to each other are one. */
static struct jinja_node *parse_strings(struct parser *parser)
{
    size_t bytes = 0, filled = 0;
    const struct jinja_token *first = parser->at;
    while (parser->at->kind == TOKEN_STRING) {
        bytes += parser->at++->text.bytes;
    }
    char *text = flo_jinja_take(parser->pool, bytes + 1, 1);
    if (text == NULL) {
        return refuse(parser, "it is too long");
    }
    for (; first < parser->at; first++) {
        memcpy(text + filled, first->text.data, first->text.bytes);
        filled += first->text.bytes;
    }
    return named(make(parser, OP_TEXT, NULL, NULL, NULL, NULL),
                 (struct jinja_text){text, NULL, bytes});
}

/* In parentheses: an expression, or a tuple, which is a list here. */
static struct jinja_node *parse_parentheses(struct parser *parser)
{
    if (takes(parser, ")")) {
        return make(parser, OP_LIST, NULL, NULL, NULL, NULL);
    }
    struct jinja_node *first = parse_expression(parser);
    if (takes(parser, ")") || first == NULL) {
        return first;
    }
    need(parser, ",");
    first->next = parse_list(parser, ")", false);
    return make(parser, OP_LIST, NULL, NULL, NULL, first);
}

static struct jinja_node *parse_name(struct parser *parser)
{
    static const struct {
        const char *word;
        enum jinja_op op;
    } words[] = {{"true", OP_TRUE},   {"True", OP_TRUE}, {"false", OP_FALSE},
                 {"False", OP_FALSE}, {"none", OP_NONE}, {"None", OP_NONE}};
    static const char *const reserved[] = {"and", "or",   "not", "if",
                                           "in",  "else", "is"};
    for (size_t i = 0; i < FLO_COUNT(words); i++) {
        if (takes(parser, words[i].word)) {
            return make(parser, words[i].op, NULL, NULL, NULL, NULL);
        }
    }
    for (size_t i = 0; i < FLO_COUNT(reserved); i++) {
        if (sees(parser, TOKEN_NAME, reserved[i])) {
            return refuse(parser, "a value must stand here");
        }
    }
    struct jinja_text name = take_name(parser);
    return named(make(parser, OP_NAME, NULL, NULL, NULL, NULL), name);
}

static struct jinja_node *parse_value(struct parser *parser)
{
    const struct jinja_token *token = parser->at;
    if (token->kind == TOKEN_STRING) {
        return parse_strings(parser);
    }
    if (token->kind == TOKEN_NUMBER) {
        struct jinja_node *node =
            make(parser, OP_NUMBER, NULL, NULL, NULL, NULL);
        if (node != NULL) {
            node->number = token->number;
            parser->at++;
        }
        return node;
    }
    if (token->kind == TOKEN_NAME) {
        return parse_name(parser);
    }
    if (takes(parser, "(")) {
        return parse_parentheses(parser);
    }
    if (takes(parser, "[")) {
        struct jinja_node *items = parse_list(parser, "]", false);
        return make(parser, OP_LIST, NULL, NULL, NULL, items);
    }
    if (takes(parser, "{")) {
        return parse_dict(parser);
    }
    return refuse(parser, "a value must stand here");
}

/* [item] or [from:to:step] */
static struct jinja_node *parse_item(struct parser *parser,
                                     struct jinja_node *of)
{
    struct jinja_node *parts[3] = {NULL};
    int count = 0;
    while (parser->rv == 0) {
        if (!sees(parser, TOKEN_OPERATOR, ":") &&
            !sees(parser, TOKEN_OPERATOR, "]")) {
            parts[count] = parse_expression(parser);
        }
        if (takes(parser, "]")) {
            break;
        }
        need(parser, ":");
        if (++count == 3) {
            return refuse(parser, "a slice has three parts at most");
        }
    }
    if (count == 0 && parts[0] == NULL) {
        return refuse(parser, "an index must stand here");
    }
    if (count == 0) {
        return make(parser, OP_ITEM, of, parts[0], NULL, NULL);
    }
    struct jinja_node *node =
        make(parser, OP_SLICE, of, parts[0], parts[1], NULL);
    if (node != NULL) {
        node->d = parts[2];
        if (depth_of(parts[2]) >= node->depth) {
            node->depth = depth_of(parts[2]) + 1;
        }
    }
    return node;
}

static bool starts_argument(const struct parser *parser)
{
    static const char *const others[] = {"else", "or", "and", "is",
                                         "if",   "in", "not"};
    for (size_t i = 0; i < FLO_COUNT(others); i++) {
        if (sees(parser, TOKEN_NAME, others[i])) {
            return false;
        }
    }
    return parser->at->kind == TOKEN_NAME || parser->at->kind == TOKEN_STRING ||
           parser->at->kind == TOKEN_NUMBER ||
           sees(parser, TOKEN_OPERATOR, "[") ||
           sees(parser, TOKEN_OPERATOR, "{");
}

static struct jinja_node *parse_postfix(struct parser *parser,
                                        struct jinja_node *node)
{
    while (parser->rv == 0) {
        if (takes(parser, ".")) {
            struct jinja_text name = parser->at->text;
            if (parser->at->kind == TOKEN_NUMBER) {
                node = parse_value(parser);
                return refuse(parser, "an index behind a dot is not built");
            }
            name = take_name(parser);
            node =
                named(make(parser, OP_ATTRIBUTE, node, NULL, NULL, NULL), name);
        } else if (takes(parser, "[")) {
            node = parse_item(parser, node);
        } else if (takes(parser, "(")) {
            struct jinja_node *args = parse_list(parser, ")", true);
            node = make(parser, OP_CALL, node, NULL, NULL, args);
        } else {
            break;
        }
    }
    return node;
}

static struct jinja_node *parse_test(struct parser *parser,
                                     struct jinja_node *node)
{
    bool is_not = takes(parser, "not");
    struct jinja_text name = take_name(parser);
    struct jinja_node *args = NULL;
    if (takes(parser, "(")) {
        args = parse_list(parser, ")", true);
    } else if (starts_argument(parser)) {
        args = parse_postfix(parser, parse_value(parser));
    }
    node = named(make(parser, OP_TEST, node, NULL, NULL, args), name);
    return is_not ? make(parser, OP_NOT, node, NULL, NULL, NULL) : node;
}

static struct jinja_node *parse_filters(struct parser *parser,
                                        struct jinja_node *node)
{
    while (parser->rv == 0) {
        if (takes(parser, "|")) {
            struct jinja_text name = take_name(parser);
            struct jinja_node *args =
                takes(parser, "(") ? parse_list(parser, ")", true) : NULL;
            node = named(make(parser, OP_FILTER, node, NULL, NULL, args), name);
        } else if (takes(parser, "is")) {
            node = parse_test(parser, node);
        } else if (sees(parser, TOKEN_OPERATOR, "(")) {
            return refuse(parser, "a call of a filter is not built");
        } else {
            break;
        }
    }
    return node;
}

/* ---- signs ---- */

/* A sign binds weaker than a call and stronger than a filter. */
static struct jinja_node *parse_signed(struct parser *parser)
{
    if (takes(parser, "-")) {
        struct jinja_node *node;
        if (++parser->nesting > NESTING_MAX) {
            return refuse(parser, "it is nested too deeply");
        }
        node = parse_signed(parser);
        parser->nesting--;
        return make(parser, OP_NEGATIVE, node, NULL, NULL, NULL);
    }
    if (sees(parser, TOKEN_OPERATOR, "+")) {
        return refuse(parser, "a plus sign is not built");
    }
    return parse_postfix(parser, parse_value(parser));
}

static struct jinja_node *parse_unary(struct parser *parser)
{
    struct jinja_node *node = parse_filters(parser, parse_signed(parser));
    if (sees(parser, TOKEN_OPERATOR, "**")) {
        return refuse(parser, "powers are not built");
    }
    return node;
}

struct sign {
    const char *sign;
    enum jinja_op op;
};

/* What binds stronger, joined from left to right by one of these signs. */
static struct jinja_node *parse_left(struct parser *parser, rule *stronger,
                                     const struct sign *signs, size_t count)
{
    struct jinja_node *node = stronger(parser);
    for (size_t i = 0; parser->rv == 0 && i < count; i++) {
        if (sees(parser, TOKEN_OPERATOR, signs[i].sign)) {
            parser->at++;
            struct jinja_node *right = stronger(parser);
            node = make(parser, signs[i].op, node, right, NULL, NULL);
            i = (size_t)-1;
        }
    }
    return node;
}

static struct jinja_node *parse_product(struct parser *parser)
{
    static const struct sign signs[] = {
        {"*", OP_MULTIPLY}, {"//", OP_DIVIDE_DOWN}, {"%", OP_MODULO}};
    struct jinja_node *node =
        parse_left(parser, parse_unary, signs, FLO_COUNT(signs));
    if (sees(parser, TOKEN_OPERATOR, "/")) {
        return refuse(parser, "division with a rest is not built");
    }
    return node;
}

static struct jinja_node *parse_join(struct parser *parser)
{
    static const struct sign signs[] = {{"~", OP_JOIN}};
    return parse_left(parser, parse_product, signs, FLO_COUNT(signs));
}

static struct jinja_node *parse_sum(struct parser *parser)
{
    static const struct sign signs[] = {{"+", OP_ADD}, {"-", OP_SUBTRACT}};
    return parse_left(parser, parse_join, signs, FLO_COUNT(signs));
}

static bool takes_not_in(struct parser *parser)
{
    bool is_there = sees(parser, TOKEN_NAME, "not") &&
                    parser->at[1].kind == TOKEN_NAME &&
                    jinja_is(parser->at[1].text, "in");
    parser->at += is_there ? 2 : 0;
    return is_there;
}

static struct jinja_node *parse_comparison(struct parser *parser)
{
    static const struct sign signs[] = {{"==", OP_EQUAL}, {"!=", OP_UNEQUAL},
                                        {"<", OP_LESS},   {"<=", OP_AT_MOST},
                                        {">", OP_MORE},   {">=", OP_AT_LEAST}};
    struct jinja_node *node = parse_sum(parser);
    for (int count = 0; parser->rv == 0; count++) {
        const struct sign *sign = NULL;
        bool is_not = takes_not_in(parser);
        bool is_in = is_not || takes(parser, "in");
        for (size_t i = 0; !is_in && i < FLO_COUNT(signs); i++) {
            if (sees(parser, TOKEN_OPERATOR, signs[i].sign)) {
                sign = &signs[i];
            }
        }
        if (!is_in && sign == NULL) {
            break;
        }
        if (count > 0) {
            return refuse(parser, "chained comparisons are not built");
        }
        parser->at += sign != NULL;
        struct jinja_node *right = parse_sum(parser);
        node = make(parser, is_in ? OP_IN : sign->op, node, right, NULL, NULL);
        node = is_not ? make(parser, OP_NOT, node, NULL, NULL, NULL) : node;
    }
    return node;
}

static struct jinja_node *parse_not(struct parser *parser)
{
    bool is_not = false;
    bool is_there = false;
    while (takes(parser, "not")) {
        is_not = !is_not;
        is_there = true;
    }
    struct jinja_node *node = parse_comparison(parser);
    if (is_there) {
        node = make(parser, OP_NOT, node, NULL, NULL, NULL);
        node = is_not ? node : make(parser, OP_NOT, node, NULL, NULL, NULL);
    }
    return node;
}

static struct jinja_node *parse_and(struct parser *parser)
{
    struct jinja_node *node = parse_not(parser);
    while (parser->rv == 0 && takes(parser, "and")) {
        struct jinja_node *right = parse_not(parser);
        node = make(parser, OP_AND, node, right, NULL, NULL);
    }
    return node;
}

static struct jinja_node *parse_or(struct parser *parser)
{
    struct jinja_node *node = parse_and(parser);
    while (parser->rv == 0 && takes(parser, "or")) {
        struct jinja_node *right = parse_and(parser);
        node = make(parser, OP_OR, node, right, NULL, NULL);
    }
    return node;
}

static struct jinja_node *parse_expression(struct parser *parser)
{
    if (++parser->nesting > NESTING_MAX) {
        return refuse(parser, "it is nested too deeply");
    }
    struct jinja_node *node = parse_or(parser);
    while (parser->rv == 0 && takes(parser, "if")) {
        struct jinja_node *condition = parse_or(parser);
        struct jinja_node *other =
            takes(parser, "else") ? parse_expression(parser) : NULL;
        node = make(parser, OP_CHOICE, condition, node, other, NULL);
    }
    parser->nesting--;
    return node;
}

/* ---- statements ---- */

static void end_block(struct parser *parser)
{
    if (parser->at->kind != TOKEN_BLOCK_END) {
        refuse(parser, "the tag must end here");
    } else {
        parser->at++;
    }
}

/* {% NAME %}, which must come now. */
static void end_with(struct parser *parser, const char *name)
{
    if (parser->at->kind == TOKEN_BLOCK) {
        parser->at++;
    }
    need(parser, name);
    end_block(parser);
}

static bool sees_block(const struct parser *parser, const char *name)
{
    return parser->at->kind == TOKEN_BLOCK &&
           parser->at[1].kind == TOKEN_NAME &&
           jinja_is(parser->at[1].text, name);
}

/* Behind "if": branches one after the other, not one in the other. */
static struct jinja_node *parse_if(struct parser *parser)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    struct jinja_node *first = NULL, **last = &first;
    uint32_t depth = 0;
    bool has_more = true, is_else = false;
    while (parser->rv == 0 && has_more) {
        struct jinja_node *condition =
            is_else ? NULL : parse_expression(parser);
        end_block(parser);
        struct jinja_node *body = parse_body(parser, ends);
        struct jinja_node *branch =
            make(parser, OP_IF, condition, body, NULL, NULL);
        if (branch == NULL) {
            return NULL;
        }
        depth = deeper(depth, branch);
        *last = branch;
        last = &branch->c;
        has_more = !sees_block(parser, "endif");
        if (has_more && (is_else || parser->at->kind != TOKEN_BLOCK)) {
            return refuse(parser, "an if does not end");
        }
        if (has_more) {
            is_else = sees_block(parser, "else");
            parser->at += 2;
        }
    }
    end_with(parser, "endif");
    if (first != NULL) {
        first->depth = depth;
    }
    return first;
}

/* Names with commas between, in parentheses or not. */
static struct jinja_node *parse_names(struct parser *parser)
{
    struct jinja_node *first = NULL, **last = &first;
    bool has_parenthesis = takes(parser, "(");
    do {
        struct jinja_text name = take_name(parser);
        struct jinja_node *node =
            named(make(parser, OP_NAME, NULL, NULL, NULL, NULL), name);
        if (node == NULL) {
            return NULL;
        }
        *last = node;
        last = &node->next;
    } while (takes(parser, ","));
    if (has_parenthesis) {
        need(parser, ")");
    }
    return first;
}

static struct jinja_node *parse_for(struct parser *parser)
{
    static const char *const ends[] = {"else", "endfor", NULL};
    struct jinja_node *condition = NULL, *other = NULL;
    struct jinja_node *names = parse_names(parser);
    need(parser, "in");
    struct jinja_node *list = parse_or(parser);
    if (takes(parser, "if")) {
        condition = parse_expression(parser);
    }
    end_block(parser); /* "recursive" is not built */
    struct jinja_node *body = parse_body(parser, ends);
    if (sees_block(parser, "else")) {
        parser->at += 2;
        end_block(parser);
        other = parse_body(parser, ends + 1);
    }
    end_with(parser, "endfor");
    struct jinja_node *node = make(parser, OP_FOR, list, body, other, names);
    if (node != NULL) {
        node->d = condition;
        node->depth = deeper(node->depth, condition) + 1;
    }
    return node;
}

/* A name, or a namespace's field. */
static struct jinja_node *parse_target(struct parser *parser)
{
    struct jinja_text name = take_name(parser);
    struct jinja_node *node =
        named(make(parser, OP_NAME, NULL, NULL, NULL, NULL), name);
    if (takes(parser, ".")) {
        struct jinja_text field = take_name(parser);
        node = named(make(parser, OP_ATTRIBUTE, node, NULL, NULL, NULL), field);
    }
    return node;
}

static struct jinja_node *parse_set(struct parser *parser)
{
    static const char *const ends[] = {"endset", NULL};
    struct jinja_node *target = parse_target(parser);
    if (takes(parser, "=")) {
        struct jinja_node *value = parse_expression(parser);
        if (sees(parser, TOKEN_OPERATOR, ",")) {
            return refuse(parser, "a tuple without parentheses is not built");
        }
        end_block(parser);
        return make(parser, OP_SET, target, value, NULL, NULL);
    }
    if (parser->at->kind != TOKEN_BLOCK_END) {
        return refuse(parser, "this form of set is not built");
    }
    end_block(parser);
    struct jinja_node *body = parse_body(parser, ends);
    end_with(parser, "endset");
    return make(parser, OP_SET_BLOCK, target, body, NULL, NULL);
}

static struct jinja_node *parse_macro(struct parser *parser)
{
    static const char *const ends[] = {"endmacro", NULL};
    struct jinja_text name = take_name(parser);
    struct jinja_node *first = NULL, **last = &first;
    size_t count = 0;
    need(parser, "(");
    while (parser->rv == 0 && !takes(parser, ")")) {
        struct jinja_text argument = take_name(parser);
        struct jinja_node *standard =
            takes(parser, "=") ? parse_expression(parser) : NULL;
        struct jinja_node *node =
            named(make(parser, OP_NAME, standard, NULL, NULL, NULL), argument);
        if (node == NULL || ++count > FLO_JINJA_ARGS_MAX) {
            return refuse(parser, "a macro has too many arguments");
        }
        *last = node;
        last = &node->next;
        if (!sees(parser, TOKEN_OPERATOR, ")")) {
            need(parser, ",");
        }
    }
    end_block(parser);
    struct jinja_node *body = parse_body(parser, ends);
    end_with(parser, "endmacro");
    return named(make(parser, OP_MACRO, NULL, body, NULL, first), name);
}

/* What trainers mark as the answer; it changes nothing. */
static struct jinja_node *parse_generation(struct parser *parser)
{
    static const char *const ends[] = {"endgeneration", NULL};
    end_block(parser);
    struct jinja_node *body = parse_body(parser, ends);
    end_with(parser, "endgeneration");
    return make(parser, OP_GROUP, NULL, body, NULL, NULL);
}

static struct jinja_node *parse_single(struct parser *parser, enum jinja_op op)
{
    end_block(parser);
    return make(parser, op, NULL, NULL, NULL, NULL);
}

/* Behind {%. */
static struct jinja_node *parse_block(struct parser *parser)
{
    static const struct {
        const char *word;
        rule *rule;
    } blocks[] = {{"if", parse_if},
                  {"for", parse_for},
                  {"set", parse_set},
                  {"macro", parse_macro},
                  {"generation", parse_generation}};
    if (takes(parser, "break")) {
        return parse_single(parser, OP_BREAK);
    }
    if (takes(parser, "continue")) {
        return parse_single(parser, OP_CONTINUE);
    }
    for (size_t i = 0; i < FLO_COUNT(blocks); i++) {
        if (takes(parser, blocks[i].word)) {
            return blocks[i].rule(parser);
        }
    }
    return refuse(parser, "this tag is not built");
}

static struct jinja_node *parse_print(struct parser *parser)
{
    struct jinja_node *value = parse_expression(parser);
    if (parser->at->kind != TOKEN_PRINT_END) {
        return refuse(parser, "the value must end here");
    }
    parser->at++;
    return make(parser, OP_PRINT, value, NULL, NULL, NULL);
}

static struct jinja_node *parse_statement(struct parser *parser)
{
    const struct jinja_token *token = parser->at;
    if (token->kind == TOKEN_DATA) {
        parser->at++;
        return named(make(parser, OP_DATA, NULL, NULL, NULL, NULL),
                     token->text);
    }
    if (token->kind == TOKEN_PRINT || token->kind == TOKEN_BLOCK) {
        parser->at++;
        return token->kind == TOKEN_PRINT ? parse_print(parser)
                                          : parse_block(parser);
    }
    return refuse(parser, "it does not go on like this");
}

/* Statements up to one of these tags, or to the end without them. */
static struct jinja_node *parse_body(struct parser *parser,
                                     const char *const *ends)
{
    struct jinja_node *first = NULL, **last = &first;
    if (++parser->nesting > NESTING_MAX) {
        return refuse(parser, "it is nested too deeply");
    }
    while (parser->rv == 0 && parser->at->kind != TOKEN_END) {
        bool is_end = false;
        for (const char *const *end = ends; end != NULL && *end != NULL;
             end++) {
            is_end = is_end || sees_block(parser, *end);
        }
        if (is_end) {
            break;
        }
        *last = parse_statement(parser);
        if (*last != NULL) {
            last = &(*last)->next;
        }
    }
    parser->nesting--;
    return make(parser, OP_GROUP, NULL, NULL, NULL, first);
}

int flo_jinja_parse(struct jinja_pool *pool, const struct jinja_token *tokens,
                    struct jinja_node **body, struct flo_err *err)
{
    struct parser parser = {.pool = pool, .at = tokens, .err = err};
    *body = parse_body(&parser, NULL);
    return parser.rv;
}
