/* Flag values: finds by name the value that a flag was given. */
#include <string.h>

#include "base/args/parts.h"

static const struct flo_flag *row_of(const struct flo_flag *flags, const char *name)
{
    while (flags != NULL && flags->name != NULL && strcmp(flags->name, name) != 0) {
        flags++;
    }
    return flags == NULL || flags->name == NULL ? NULL : flags;
}

/* Returns the program's flag of that name if the verb has a flag of the same
 * name, which hides it.  Returns NULL if not. */
static const struct flo_flag *hidden(const struct flo_args *args, const char *name)
{
    const struct flo_flag *own = NULL;

    for (size_t i = 0; own == NULL && i < FLO_VERB_TABLES; i++) {
        own = row_of(args->verb->flags[i], name);
    }
    return own == NULL ? NULL : row_of(args->program->flags, name);
}

const char *flo_args_text(const struct flo_args *args, const char *name, const char *standard)
{
    const struct flo_flag *not = hidden(args, name);

    for (size_t i = args->flag_count; i > 0; i--) {
        if (strcmp(args->flags[i - 1]->name, name) == 0 && args->flags[i - 1] != not ) {
            return args->values[i - 1];
        }
    }
    return standard;
}

const char *flo_args_global(const struct flo_args *args, const char *name, const char *standard)
{
    const struct flo_flag *flag = row_of(args->program->flags, name);

    for (size_t i = args->flag_count; i > 0; i--) {
        if (args->flags[i - 1] == flag) {
            return args->values[i - 1];
        }
    }
    return standard;
}

bool flo_args_has(const struct flo_args *args, const char *name)
{
    return flo_args_text(args, name, NULL) != NULL;
}

bool flo_args_each(const struct flo_args *args, const char *name, size_t index, const char **value)
{
    for (size_t i = 0; i < args->flag_count; i++) {
        if (strcmp(args->flags[i]->name, name) == 0 && index-- == 0) {
            *value = args->values[i];
            return true;
        }
    }
    return false;
}

int flo_args_u64(const struct flo_args *args, const char *name, uint64_t min, uint64_t max,
                 uint64_t standard, uint64_t *out, struct flo_err *err)
{
    const char *text = flo_args_text(args, name, NULL);

    *out = standard;
    return text == NULL
               ? 0
               : flo_args_read_number(&(struct flo_flag){.name = name}, text, min, max, out, err);
}

int flo_args_ms(const struct flo_args *args, const char *name, uint64_t standard, uint64_t *out,
                struct flo_err *err)
{
    const char *text = flo_args_text(args, name, NULL);

    *out = standard;
    return text == NULL ? 0 : flo_args_read_ms(&(struct flo_flag){.name = name}, text, out, err);
}
