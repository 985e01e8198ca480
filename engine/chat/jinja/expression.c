/* Jinja: parses expressions from tokens to a tree.
 *
 * Precedence from weak to strong: if-else, or, and, not, comparisons, + -, ~, *
 * // %, signs.  Strongest are the parts that follow a value: .name [item]
 * (call) |filter and is-tests. */
#include "engine/chat/jinja/parser.h"

typedef struct jinja_node *rule(struct jinja_parser *parser);
static rule parse_unary;

/* ---- values ---- */

/* Parses arguments up to `closing`, separated by commas.  Keyword arguments are
 * allowed only in a call. */
static struct jinja_node *parse_list(struct jinja_parser *parser, const char *closing,
                                     bool has_keywords)
{
    struct jinja_node *first = NULL, **last = &first;
    size_t count = 0;
    while (parser->rv == 0 && !flo_jinja_takes(parser, closing)) {
        struct jinja_node *item;
        if (flo_jinja_sees(parser, TOKEN_OPERATOR, "*") ||
            flo_jinja_sees(parser, TOKEN_OPERATOR, "**")) {
            flo_jinja_refuse(parser, "unpacked arguments are not built");
        }
        if (has_keywords && parser->at->kind == TOKEN_NAME &&
            parser->at[1].kind == TOKEN_OPERATOR && jinja_is(parser->at[1].text, "=")) {
            struct jinja_text name = flo_jinja_take_name(parser);
            parser->at++;
            item = flo_jinja_parse_expression(parser);
            item =
                flo_jinja_named(flo_jinja_make(parser, OP_KEYWORD, item, NULL, NULL, NULL), name);
        } else {
            item = flo_jinja_parse_expression(parser);
        }
        if (item == NULL || (has_keywords && ++count > FLO_JINJA_ARGS_MAX)) {
            return flo_jinja_refuse(parser, "too many arguments");
        }
        *last = item;
        last = &item->next;
        if (!flo_jinja_sees(parser, TOKEN_OPERATOR, closing)) {
            flo_jinja_expect(parser, ",");
        }
    }
    return first;
}

static struct jinja_node *parse_dict(struct jinja_parser *parser)
{
    struct jinja_node *first = NULL, **last = &first;
    while (parser->rv == 0 && !flo_jinja_takes(parser, "}")) {
        struct jinja_node *key = flo_jinja_parse_expression(parser);
        flo_jinja_expect(parser, ":");
        struct jinja_node *value = flo_jinja_parse_expression(parser);
        struct jinja_node *pair = flo_jinja_make(parser, OP_PAIR, key, value, NULL, NULL);
        if (pair == NULL) {
            return NULL;
        }
        *last = pair;
        last = &pair->next;
        if (!flo_jinja_sees(parser, TOKEN_OPERATOR, "}")) {
            flo_jinja_expect(parser, ",");
        }
    }
    return flo_jinja_make(parser, OP_DICT, NULL, NULL, NULL, first);
}

/* Parses string literals.  Adjacent ones are joined to one. */
static struct jinja_node *parse_strings(struct jinja_parser *parser)
{
    size_t bytes = 0, filled = 0;
    const struct jinja_token *first = parser->at;
    while (parser->at->kind == TOKEN_STRING) {
        bytes += parser->at++->text.bytes;
    }
    char *text = flo_jinja_take(parser->pool, bytes + 1, 1);
    if (text == NULL) {
        return flo_jinja_refuse(parser, "it is too long");
    }
    for (; first < parser->at; first++) {
        memcpy(text + filled, first->text.data, first->text.bytes);
        filled += first->text.bytes;
    }
    return flo_jinja_named(flo_jinja_make(parser, OP_TEXT, NULL, NULL, NULL, NULL),
                           (struct jinja_text){text, NULL, bytes});
}

/* Parses an expression in parentheses, or a tuple. */
static struct jinja_node *parse_parentheses(struct jinja_parser *parser)
{
    struct jinja_node *first = NULL;
    if (!flo_jinja_takes(parser, ")")) {
        first = flo_jinja_parse_expression(parser);
        if (flo_jinja_takes(parser, ")") || first == NULL) {
            return first;
        }
        flo_jinja_expect(parser, ",");
        first->next = parse_list(parser, ")", false);
    }
    struct jinja_node *tuple = flo_jinja_make(parser, OP_LIST, NULL, NULL, NULL, first);
    if (tuple != NULL) {
        tuple->number = 1;
    }
    return tuple;
}

static struct jinja_node *parse_name(struct jinja_parser *parser)
{
    static const struct {
        const char *word;
        enum jinja_op op;
    } words[] = {{"true", OP_TRUE},   {"True", OP_TRUE}, {"false", OP_FALSE},
                 {"False", OP_FALSE}, {"none", OP_NONE}, {"None", OP_NONE}};
    static const char *const reserved[] = {"and", "or", "not", "if", "in", "else", "is"};
    for (size_t i = 0; i < FLO_COUNT(words); i++) {
        if (flo_jinja_takes(parser, words[i].word)) {
            return flo_jinja_make(parser, words[i].op, NULL, NULL, NULL, NULL);
        }
    }
    for (size_t i = 0; i < FLO_COUNT(reserved); i++) {
        if (flo_jinja_sees(parser, TOKEN_NAME, reserved[i])) {
            return flo_jinja_refuse(parser, "a value must stand here");
        }
    }
    struct jinja_text name = flo_jinja_take_name(parser);
    return flo_jinja_named(flo_jinja_make(parser, OP_NAME, NULL, NULL, NULL, NULL), name);
}

static struct jinja_node *parse_value(struct jinja_parser *parser)
{
    const struct jinja_token *token = parser->at;
    if (token->kind == TOKEN_STRING) {
        return parse_strings(parser);
    }
    if (token->kind == TOKEN_NUMBER) {
        struct jinja_node *node = flo_jinja_make(parser, OP_NUMBER, NULL, NULL, NULL, NULL);
        if (node != NULL) {
            node->number = token->number;
            parser->at++;
        }
        return node;
    }
    if (token->kind == TOKEN_NAME) {
        return parse_name(parser);
    }
    if (flo_jinja_takes(parser, "(")) {
        return parse_parentheses(parser);
    }
    if (flo_jinja_takes(parser, "[")) {
        struct jinja_node *items = parse_list(parser, "]", false);
        return flo_jinja_make(parser, OP_LIST, NULL, NULL, NULL, items);
    }
    if (flo_jinja_takes(parser, "{")) {
        return parse_dict(parser);
    }
    return flo_jinja_refuse(parser, "a value must stand here");
}

/* [item] or [from:to:step] */
static struct jinja_node *parse_item(struct jinja_parser *parser, struct jinja_node *of)
{
    struct jinja_node *parts[3] = {NULL};
    int count = 0;
    while (parser->rv == 0) {
        if (!flo_jinja_sees(parser, TOKEN_OPERATOR, ":") &&
            !flo_jinja_sees(parser, TOKEN_OPERATOR, "]")) {
            parts[count] = flo_jinja_parse_expression(parser);
        }
        if (flo_jinja_takes(parser, "]")) {
            break;
        }
        flo_jinja_expect(parser, ":");
        if (++count == 3) {
            return flo_jinja_refuse(parser, "a slice has three parts at most");
        }
    }
    if (count == 0 && parts[0] == NULL) {
        return flo_jinja_refuse(parser, "an index must stand here");
    }
    if (count == 0) {
        return flo_jinja_make(parser, OP_ITEM, of, parts[0], NULL, NULL);
    }
    struct jinja_node *node = flo_jinja_make(parser, OP_SLICE, of, parts[0], parts[1], NULL);
    if (node != NULL) {
        node->d = parts[2];
        if (flo_jinja_depth(parts[2]) >= node->depth) {
            node->depth = flo_jinja_depth(parts[2]) + 1;
        }
    }
    return node;
}

static bool starts_argument(const struct jinja_parser *parser)
{
    static const char *const others[] = {"else", "or", "and", "is", "if", "in", "not"};
    for (size_t i = 0; i < FLO_COUNT(others); i++) {
        if (flo_jinja_sees(parser, TOKEN_NAME, others[i])) {
            return false;
        }
    }
    return parser->at->kind == TOKEN_NAME || parser->at->kind == TOKEN_STRING ||
           parser->at->kind == TOKEN_NUMBER || flo_jinja_sees(parser, TOKEN_OPERATOR, "[") ||
           flo_jinja_sees(parser, TOKEN_OPERATOR, "{");
}

static struct jinja_node *parse_postfix(struct jinja_parser *parser, struct jinja_node *node)
{
    while (parser->rv == 0) {
        if (flo_jinja_takes(parser, ".")) {
            struct jinja_text name = parser->at->text;
            if (parser->at->kind == TOKEN_NUMBER) {
                node = parse_value(parser);
                return flo_jinja_refuse(parser, "an index behind a dot is not built");
            }
            name = flo_jinja_take_name(parser);
            node =
                flo_jinja_named(flo_jinja_make(parser, OP_ATTRIBUTE, node, NULL, NULL, NULL), name);
        } else if (flo_jinja_takes(parser, "[")) {
            node = parse_item(parser, node);
        } else if (flo_jinja_takes(parser, "(")) {
            struct jinja_node *args = parse_list(parser, ")", true);
            node = flo_jinja_make(parser, OP_CALL, node, NULL, NULL, args);
        } else {
            break;
        }
    }
    return node;
}

static struct jinja_node *parse_test(struct jinja_parser *parser, struct jinja_node *node)
{
    bool is_not = flo_jinja_takes(parser, "not");
    struct jinja_text name = flo_jinja_take_name(parser);
    struct jinja_node *args = NULL;
    if (flo_jinja_takes(parser, "(")) {
        args = parse_list(parser, ")", true);
    } else if (starts_argument(parser)) {
        args = parse_postfix(parser, parse_value(parser));
    }
    node = flo_jinja_named(flo_jinja_make(parser, OP_TEST, node, NULL, NULL, args), name);
    return is_not ? flo_jinja_make(parser, OP_NOT, node, NULL, NULL, NULL) : node;
}

static struct jinja_node *parse_filters(struct jinja_parser *parser, struct jinja_node *node)
{
    while (parser->rv == 0) {
        if (flo_jinja_takes(parser, "|")) {
            struct jinja_text name = flo_jinja_take_name(parser);
            struct jinja_node *args =
                flo_jinja_takes(parser, "(") ? parse_list(parser, ")", true) : NULL;
            node = flo_jinja_named(flo_jinja_make(parser, OP_FILTER, node, NULL, NULL, args), name);
        } else if (flo_jinja_takes(parser, "is")) {
            node = parse_test(parser, node);
        } else if (flo_jinja_sees(parser, TOKEN_OPERATOR, "(")) {
            return flo_jinja_refuse(parser, "a call of a filter is not built");
        } else {
            break;
        }
    }
    return node;
}

/* ---- signs ---- */

/* Parses a value with a sign.  The sign binds weaker than a call and stronger
 * than a filter. */
static struct jinja_node *parse_signed(struct jinja_parser *parser)
{
    if (flo_jinja_takes(parser, "-")) {
        struct jinja_node *node;
        if (++parser->nesting > FLO_JINJA_NESTING_MAX) {
            return flo_jinja_refuse(parser, "it is nested too deeply");
        }
        node = parse_signed(parser);
        parser->nesting--;
        return flo_jinja_make(parser, OP_NEGATIVE, node, NULL, NULL, NULL);
    }
    if (flo_jinja_sees(parser, TOKEN_OPERATOR, "+")) {
        return flo_jinja_refuse(parser, "a plus sign is not built");
    }
    return parse_postfix(parser, parse_value(parser));
}

static struct jinja_node *parse_unary(struct jinja_parser *parser)
{
    struct jinja_node *node = parse_filters(parser, parse_signed(parser));
    if (flo_jinja_sees(parser, TOKEN_OPERATOR, "**")) {
        return flo_jinja_refuse(parser, "powers are not built");
    }
    return node;
}

struct sign {
    const char *sign;
    enum jinja_op op;
};

/* Parses operands of the next stronger rule.  They are joined from left to
 * right by one of these operators. */
static struct jinja_node *parse_left(struct jinja_parser *parser, rule *stronger,
                                     const struct sign *signs, size_t count)
{
    struct jinja_node *node = stronger(parser);
    for (size_t i = 0; parser->rv == 0 && i < count; i++) {
        if (flo_jinja_sees(parser, TOKEN_OPERATOR, signs[i].sign)) {
            parser->at++;
            struct jinja_node *right = stronger(parser);
            node = flo_jinja_make(parser, signs[i].op, node, right, NULL, NULL);
            i = (size_t)-1;
        }
    }
    return node;
}

static struct jinja_node *parse_product(struct jinja_parser *parser)
{
    static const struct sign signs[] = {
        {"*", OP_MULTIPLY}, {"//", OP_DIVIDE_DOWN}, {"%", OP_MODULO}};
    struct jinja_node *node = parse_left(parser, parse_unary, signs, FLO_COUNT(signs));
    if (flo_jinja_sees(parser, TOKEN_OPERATOR, "/")) {
        return flo_jinja_refuse(parser, "division with a rest is not built");
    }
    return node;
}

static struct jinja_node *parse_join(struct jinja_parser *parser)
{
    static const struct sign signs[] = {{"~", OP_JOIN}};
    return parse_left(parser, parse_product, signs, FLO_COUNT(signs));
}

static struct jinja_node *parse_sum(struct jinja_parser *parser)
{
    static const struct sign signs[] = {{"+", OP_ADD}, {"-", OP_SUBTRACT}};
    return parse_left(parser, parse_join, signs, FLO_COUNT(signs));
}

static bool takes_not_in(struct jinja_parser *parser)
{
    bool is_there = flo_jinja_sees(parser, TOKEN_NAME, "not") && parser->at[1].kind == TOKEN_NAME &&
                    jinja_is(parser->at[1].text, "in");
    parser->at += is_there ? 2 : 0;
    return is_there;
}

static struct jinja_node *parse_comparison(struct jinja_parser *parser)
{
    static const struct sign signs[] = {{"==", OP_EQUAL}, {"!=", OP_UNEQUAL},
                                        {"<", OP_LESS},   {"<=", OP_AT_MOST},
                                        {">", OP_MORE},   {">=", OP_AT_LEAST}};
    struct jinja_node *node = parse_sum(parser);
    for (int count = 0; parser->rv == 0; count++) {
        const struct sign *sign = NULL;
        bool is_not = takes_not_in(parser);
        bool is_in = is_not || flo_jinja_takes(parser, "in");
        for (size_t i = 0; !is_in && i < FLO_COUNT(signs); i++) {
            if (flo_jinja_sees(parser, TOKEN_OPERATOR, signs[i].sign)) {
                sign = &signs[i];
            }
        }
        if (!is_in && sign == NULL) {
            break;
        }
        if (count > 0) {
            return flo_jinja_refuse(parser, "chained comparisons are not built");
        }
        parser->at += sign != NULL;
        struct jinja_node *right = parse_sum(parser);
        node = flo_jinja_make(parser, is_in ? OP_IN : sign->op, node, right, NULL, NULL);
        node = is_not ? flo_jinja_make(parser, OP_NOT, node, NULL, NULL, NULL) : node;
    }
    return node;
}

static struct jinja_node *parse_not(struct jinja_parser *parser)
{
    bool is_not = false;
    bool is_there = false;
    while (flo_jinja_takes(parser, "not")) {
        is_not = !is_not;
        is_there = true;
    }
    struct jinja_node *node = parse_comparison(parser);
    if (is_there) {
        node = flo_jinja_make(parser, OP_NOT, node, NULL, NULL, NULL);
        node = is_not ? node : flo_jinja_make(parser, OP_NOT, node, NULL, NULL, NULL);
    }
    return node;
}

static struct jinja_node *parse_and(struct jinja_parser *parser)
{
    struct jinja_node *node = parse_not(parser);
    while (parser->rv == 0 && flo_jinja_takes(parser, "and")) {
        struct jinja_node *right = parse_not(parser);
        node = flo_jinja_make(parser, OP_AND, node, right, NULL, NULL);
    }
    return node;
}

struct jinja_node *flo_jinja_parse_or(struct jinja_parser *parser)
{
    struct jinja_node *node = parse_and(parser);
    while (parser->rv == 0 && flo_jinja_takes(parser, "or")) {
        struct jinja_node *right = parse_and(parser);
        node = flo_jinja_make(parser, OP_OR, node, right, NULL, NULL);
    }
    return node;
}

struct jinja_node *flo_jinja_parse_expression(struct jinja_parser *parser)
{
    if (++parser->nesting > FLO_JINJA_NESTING_MAX) {
        return flo_jinja_refuse(parser, "it is nested too deeply");
    }
    struct jinja_node *node = flo_jinja_parse_or(parser);
    while (parser->rv == 0 && flo_jinja_takes(parser, "if")) {
        struct jinja_node *condition = flo_jinja_parse_or(parser);
        struct jinja_node *other =
            flo_jinja_takes(parser, "else") ? flo_jinja_parse_expression(parser) : NULL;
        node = flo_jinja_make(parser, OP_CHOICE, condition, node, other, NULL);
    }
    parser->nesting--;
    return node;
}
