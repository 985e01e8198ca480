/* Jinja: parses statements from tokens to a tree. */
#include "engine/chat/jinja/parser.h"

typedef struct jinja_node *rule(struct jinja_parser *parser);
static struct jinja_node *parse_body(struct jinja_parser *parser, const char *const *ends);

static void end_block(struct jinja_parser *parser)
{
    if (parser->at->kind != TOKEN_BLOCK_END) {
        flo_jinja_refuse(parser, "the tag must end here");
    } else {
        parser->at++;
    }
}

/* Takes the tag {% NAME %}, which must come next. */
static void end_with(struct jinja_parser *parser, const char *name)
{
    if (parser->at->kind == TOKEN_BLOCK) {
        parser->at++;
    }
    flo_jinja_expect(parser, name);
    end_block(parser);
}

static bool sees_block(const struct jinja_parser *parser, const char *name)
{
    return parser->at->kind == TOKEN_BLOCK && parser->at[1].kind == TOKEN_NAME &&
           jinja_is(parser->at[1].text, name);
}

/* Parses the rest of an "if".  Its branches are a list, not nested in each
 * other. */
static struct jinja_node *parse_if(struct jinja_parser *parser)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    struct jinja_node *first = NULL, **last = &first;
    uint32_t depth = 0;
    bool has_more = true, is_else = false;
    while (parser->rv == 0 && has_more) {
        struct jinja_node *condition = is_else ? NULL : flo_jinja_parse_expression(parser);
        end_block(parser);
        struct jinja_node *body = parse_body(parser, ends);
        struct jinja_node *branch = flo_jinja_make(parser, OP_IF, condition, body, NULL, NULL);
        if (branch == NULL) {
            return NULL;
        }
        depth = flo_jinja_deeper(depth, branch);
        *last = branch;
        last = &branch->c;
        has_more = !sees_block(parser, "endif");
        if (has_more && (is_else || parser->at->kind != TOKEN_BLOCK)) {
            return flo_jinja_refuse(parser, "an if does not end");
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

/* Parses names separated by commas, with or without parentheses. */
static struct jinja_node *parse_names(struct jinja_parser *parser)
{
    struct jinja_node *first = NULL, **last = &first;
    bool has_parenthesis = flo_jinja_takes(parser, "(");
    do {
        struct jinja_text name = flo_jinja_take_name(parser);
        struct jinja_node *node =
            flo_jinja_named(flo_jinja_make(parser, OP_NAME, NULL, NULL, NULL, NULL), name);
        if (node == NULL) {
            return NULL;
        }
        *last = node;
        last = &node->next;
    } while (flo_jinja_takes(parser, ","));
    if (has_parenthesis) {
        flo_jinja_expect(parser, ")");
    }
    return first;
}

static struct jinja_node *parse_for(struct jinja_parser *parser)
{
    static const char *const ends[] = {"else", "endfor", NULL};
    struct jinja_node *condition = NULL, *other = NULL;
    struct jinja_node *names = parse_names(parser);
    flo_jinja_expect(parser, "in");
    struct jinja_node *list = flo_jinja_parse_or(parser);
    if (flo_jinja_takes(parser, "if")) {
        condition = flo_jinja_parse_expression(parser);
    }
    end_block(parser); /* "recursive" is unsupported */
    struct jinja_node *body = parse_body(parser, ends);
    if (sees_block(parser, "else")) {
        parser->at += 2;
        end_block(parser);
        other = parse_body(parser, ends + 1);
    }
    end_with(parser, "endfor");
    struct jinja_node *node = flo_jinja_make(parser, OP_FOR, list, body, other, names);
    if (node != NULL) {
        node->d = condition;
        node->depth = flo_jinja_deeper(node->depth, condition) + 1;
    }
    return node;
}

/* Parses the target of an assignment, which is a name or a field of a
 * namespace. */
static struct jinja_node *parse_target(struct jinja_parser *parser)
{
    struct jinja_text name = flo_jinja_take_name(parser);
    struct jinja_node *node =
        flo_jinja_named(flo_jinja_make(parser, OP_NAME, NULL, NULL, NULL, NULL), name);
    if (flo_jinja_takes(parser, ".")) {
        struct jinja_text field = flo_jinja_take_name(parser);
        node = flo_jinja_named(flo_jinja_make(parser, OP_ATTRIBUTE, node, NULL, NULL, NULL), field);
    }
    return node;
}

static struct jinja_node *parse_set(struct jinja_parser *parser)
{
    static const char *const ends[] = {"endset", NULL};
    struct jinja_node *target = parse_target(parser);
    if (flo_jinja_takes(parser, "=")) {
        struct jinja_node *value = flo_jinja_parse_expression(parser);
        if (flo_jinja_sees(parser, TOKEN_OPERATOR, ",")) {
            return flo_jinja_refuse(parser, "a tuple without parentheses is not built");
        }
        end_block(parser);
        return flo_jinja_make(parser, OP_SET, target, value, NULL, NULL);
    }
    if (parser->at->kind != TOKEN_BLOCK_END) {
        return flo_jinja_refuse(parser, "this form of set is not built");
    }
    end_block(parser);
    struct jinja_node *body = parse_body(parser, ends);
    end_with(parser, "endset");
    return flo_jinja_make(parser, OP_SET_BLOCK, target, body, NULL, NULL);
}

static struct jinja_node *parse_macro(struct jinja_parser *parser)
{
    static const char *const ends[] = {"endmacro", NULL};
    struct jinja_text name = flo_jinja_take_name(parser);
    struct jinja_node *first = NULL, **last = &first;
    size_t count = 0;
    flo_jinja_expect(parser, "(");
    while (parser->rv == 0 && !flo_jinja_takes(parser, ")")) {
        struct jinja_text argument = flo_jinja_take_name(parser);
        struct jinja_node *standard =
            flo_jinja_takes(parser, "=") ? flo_jinja_parse_expression(parser) : NULL;
        struct jinja_node *node =
            flo_jinja_named(flo_jinja_make(parser, OP_NAME, standard, NULL, NULL, NULL), argument);
        if (node == NULL || ++count > FLO_JINJA_ARGS_MAX) {
            return flo_jinja_refuse(parser, "a macro has too many arguments");
        }
        *last = node;
        last = &node->next;
        if (!flo_jinja_sees(parser, TOKEN_OPERATOR, ")")) {
            flo_jinja_expect(parser, ",");
        }
    }
    end_block(parser);
    struct jinja_node *body = parse_body(parser, ends);
    end_with(parser, "endmacro");
    return flo_jinja_named(flo_jinja_make(parser, OP_MACRO, NULL, body, NULL, first), name);
}

/* Parses {% generation %}, a mark for training.  Its body is rendered as if the
 * mark were not there. */
static struct jinja_node *parse_generation(struct jinja_parser *parser)
{
    static const char *const ends[] = {"endgeneration", NULL};
    end_block(parser);
    struct jinja_node *body = parse_body(parser, ends);
    end_with(parser, "endgeneration");
    return flo_jinja_make(parser, OP_GENERATION, NULL, body, NULL, NULL);
}

static struct jinja_node *parse_single(struct jinja_parser *parser, enum jinja_op op)
{
    end_block(parser);
    return flo_jinja_make(parser, op, NULL, NULL, NULL, NULL);
}

/* Parses a block, whose {% was read already. */
static struct jinja_node *parse_block(struct jinja_parser *parser)
{
    static const struct {
        const char *word;
        rule *rule;
    } blocks[] = {{"if", parse_if},
                  {"for", parse_for},
                  {"set", parse_set},
                  {"macro", parse_macro},
                  {"generation", parse_generation}};
    if (flo_jinja_takes(parser, "break")) {
        return parse_single(parser, OP_BREAK);
    }
    if (flo_jinja_takes(parser, "continue")) {
        return parse_single(parser, OP_CONTINUE);
    }
    for (size_t i = 0; i < FLO_COUNT(blocks); i++) {
        if (flo_jinja_takes(parser, blocks[i].word)) {
            return blocks[i].rule(parser);
        }
    }
    return flo_jinja_refuse(parser, "this tag is not built");
}

static struct jinja_node *parse_print(struct jinja_parser *parser)
{
    struct jinja_node *value = flo_jinja_parse_expression(parser);
    if (parser->at->kind != TOKEN_PRINT_END) {
        return flo_jinja_refuse(parser, "the value must end here");
    }
    parser->at++;
    return flo_jinja_make(parser, OP_PRINT, value, NULL, NULL, NULL);
}

static struct jinja_node *parse_statement(struct jinja_parser *parser)
{
    const struct jinja_token *token = parser->at;
    if (token->kind == TOKEN_DATA) {
        parser->at++;
        return flo_jinja_named(flo_jinja_make(parser, OP_DATA, NULL, NULL, NULL, NULL),
                               token->text);
    }
    if (token->kind == TOKEN_PRINT || token->kind == TOKEN_BLOCK) {
        parser->at++;
        return token->kind == TOKEN_PRINT ? parse_print(parser) : parse_block(parser);
    }
    return flo_jinja_refuse(parser, "it does not go on like this");
}

/* Parses statements up to one of these tags.  Without tags (NULL) it parses the
 * whole text. */
static struct jinja_node *parse_body(struct jinja_parser *parser, const char *const *ends)
{
    struct jinja_node *first = NULL, **last = &first;
    if (++parser->nesting > FLO_JINJA_NESTING_MAX) {
        return flo_jinja_refuse(parser, "it is nested too deeply");
    }
    while (parser->rv == 0 && parser->at->kind != TOKEN_END) {
        bool is_end = false;
        for (const char *const *end = ends; end != NULL && *end != NULL; end++) {
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
    return flo_jinja_make(parser, OP_GROUP, NULL, NULL, NULL, first);
}

int flo_jinja_parse(struct jinja_pool *pool, const struct jinja_token *tokens,
                    struct jinja_node **body, struct flo_err *err)
{
    struct jinja_parser parser = {.pool = pool, .at = tokens, .err = err};
    *body = parse_body(&parser, NULL);
    return parser.rv;
}
