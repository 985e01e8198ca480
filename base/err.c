/* Errors: the code, its row of errors.def, and the message that callers extend.
 *
 * A message may quote names from outside.  So each control character and each
 * byte that is not UTF-8 is written as \xNN.  An error can go to a terminal, a
 * log or a JSON document without further escaping. */
#include <errno.h>
#include <string.h>

#include <flotilla/base.h>
#include <flotilla/errors/all.h>

struct error_row {
    int code;
    const char *id;
    const char *meaning;
    const char *fix;
    enum flo_exit exit_class;
};

static const struct error_row error_rows[] = {
#define FLO_ERROR(name, id, exit_class, meaning, fix)                                              \
    {FLO_E_##name, id, meaning, fix, FLO_EXIT_##exit_class},
#include "base/errors.def"
#undef FLO_ERROR
};
_Static_assert(FLO_COUNT(error_rows) <= FLO_ERRORS_MAX, "room in lists of all");

int flo_error_at(size_t place)
{
    return place < FLO_COUNT(error_rows) ? error_rows[place].code : 0;
}

size_t flo_error_place(int code)
{
    for (size_t i = 0; i < FLO_COUNT(error_rows); i++) {
        if (error_rows[i].code == code) {
            return i;
        }
    }
    return FLO_ERRORS_MAX;
}

static const struct error_row *row_of(int code)
{
    size_t place = flo_error_place(code);

    return &error_rows[place < FLO_ERRORS_MAX ? place : flo_error_place(FLO_E_INTERNAL)];
}

const char *flo_error_id(int code)
{
    return row_of(code)->id;
}

const char *flo_error_meaning(int code)
{
    return row_of(code)->meaning;
}

const char *flo_error_fix(int code)
{
    return row_of(code)->fix;
}

enum flo_exit flo_error_exit(int code)
{
    return code == 0 ? FLO_EXIT_OK : row_of(code)->exit_class;
}

int flo_error_code(const char *id)
{
    for (size_t i = 0; id != NULL && i < FLO_COUNT(error_rows); i++) {
        if (strcmp(error_rows[i].id, id) == 0) {
            return error_rows[i].code;
        }
    }
    return 0;
}

/* Tells whether a character is a command to a terminal, or one of the marks U+200E-F,
 * which turn the writing direction of their neighbours. */
static bool is_command(const char *text)
{
    return flo_text_unseen(text) > 0 || strncmp(text, "\xe2\x80\x8e", 3) == 0 ||
           strncmp(text, "\xe2\x80\x8f", 3) == 0;
}

void flo_text_clean(const char *text, size_t bytes, char *out, size_t out_bytes)
{
    static const char digits[] = "0123456789abcdef";
    size_t used = 0;
    size_t i = 0;

    while (i < bytes) {
        unsigned char c = (unsigned char)text[i];
        size_t whole = 1;
        bool is_plain = c >= 0x20 && c < 0x7f;
        if (c >= 0x80) {
            size_t left = bytes - i < 4 ? bytes - i : 4;
            whole = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
            is_plain =
                whole <= left && flo_utf8_valid(text + i, whole) == whole && !is_command(text + i);
        }
        size_t need = is_plain ? whole : 4;
        if (used + need >= out_bytes) {
            break;
        }
        if (is_plain) {
            memcpy(out + used, text + i, whole);
        } else {
            whole = 1;
            out[used] = '\\';
            out[used + 1] = 'x';
            out[used + 2] = digits[c >> 4];
            out[used + 3] = digits[c & 15];
        }
        used += need;
        i += whole;
    }
    if (out_bytes > 0) {
        out[used] = '\0';
    }
}

/* Formats the message, escapes its control characters and writes it to
 * `out`. */
static void format_clean(char *out, size_t out_bytes, const char *format, va_list args)
{
    char text[1024];
    int chars = vsnprintf(text, sizeof(text), format, args);

    if (chars < 0) {
        chars = 0;
    }
    size_t bytes = (size_t)chars;
    if (bytes >= sizeof(text)) {
        bytes = sizeof(text) - 1;
        /* Removes the bytes of a last character that was cut. */
        for (int i = 0; i < 3 && flo_utf8_valid(text, bytes) < bytes; i++) {
            bytes--;
        }
    }
    flo_text_clean(text, bytes, out, out_bytes);
}

/* Code of the last failure in this thread, for a caller that passes no struct
 * flo_err.  Functions such as flo_err_fix() return it then, because `return
 * flo_err_fix(err, ...)` must not return success. */
static _Thread_local int unheard;

int flo_fail(struct flo_err *err, int code, const char *format, ...)
{
    unheard = code;
    if (err != NULL) {
        char what[sizeof(err->what)];
        va_list args;
        va_start(args, format);
        format_clean(what, sizeof(what), format, args);
        va_end(args);
        memset(err, 0, sizeof(*err));
        err->code = code;
        memcpy(err->what, what, sizeof(what));
    }
    return code;
}

int flo_fail_errno(struct flo_err *err, int code, const char *format, ...)
{
    int number = errno;

    if (number == ENOSPC || number == EDQUOT) {
        code = FLO_E_DISK_FULL;
    } else if (number == ENOMEM) {
        code = FLO_E_MEMORY;
    } else if (number == EMFILE || number == ENFILE) {
        code = FLO_E_DESCRIPTORS;
    }
    unheard = code;
    if (err != NULL) {
        char text[sizeof(err->what)];
        char reason[128];
        va_list args;
        va_start(args, format);
        format_clean(text, sizeof(text), format, args);
        va_end(args);
        /* The GNU strerror_r may return a static text in place of `reason`, so
         * its result is used. */
        const char *name = strerror_r(number, reason, sizeof(reason));
        flo_fail(err, code, "%s: %s", text, name);
    }
    errno = number;
    return code;
}

/* Tells whether a message begins with this name already, as errors about files
 * do. */
static bool begins_with(const char *what, const char *context)
{
    size_t chars = strlen(context);

    return strncmp(what, context, chars) == 0 && strncmp(what + chars, ": ", 2) == 0;
}

int flo_wrap(struct flo_err *err, int code, const char *format, ...)
{
    unheard = code;
    if (err != NULL) {
        char context[sizeof(err->what)];
        char what[2 * sizeof(err->what) + 2];
        va_list args;
        va_start(args, format);
        format_clean(context, sizeof(context), format, args);
        va_end(args);
        err->what[sizeof(err->what) - 1] = '\0';
        err->code = code;
        if (begins_with(err->what, context)) {
            return code;
        }
        int chars = snprintf(what, sizeof(what), "%s: %s", context,
                             err->what[0] != '\0' ? err->what : flo_error_meaning(code));
        flo_text_clean(what, chars < 0 ? 0 : (size_t)chars, err->what, sizeof(err->what));
    }
    return code;
}

int flo_err_why(struct flo_err *err, const char *format, ...)
{
    if (err == NULL) {
        return unheard;
    }
    va_list args;
    va_start(args, format);
    format_clean(err->why, sizeof(err->why), format, args);
    va_end(args);
    return err->code;
}

int flo_err_fix(struct flo_err *err, const char *format, ...)
{
    if (err == NULL) {
        return unheard;
    }
    va_list args;
    va_start(args, format);
    format_clean(err->fix, sizeof(err->fix), format, args);
    va_end(args);
    return err->code;
}

int flo_err_at(struct flo_err *err, const char *format, ...)
{
    if (err == NULL) {
        return unheard;
    }
    va_list args;
    va_start(args, format);
    format_clean(err->at, sizeof(err->at), format, args);
    va_end(args);
    return err->code;
}

int flo_err_print(FILE *file, const struct flo_err *err)
{
    int code = err != NULL ? err->code : FLO_E_INTERNAL;
    const char *what = err != NULL && err->what[0] != '\0' ? err->what : flo_error_meaning(code);
    const char *fix = err != NULL && err->fix[0] != '\0' ? err->fix : flo_error_fix(code);

    fprintf(file, "error[%s]: %s\n", flo_error_id(code), what);
    if (err != NULL && err->why[0] != '\0') {
        fprintf(file, "  why: %s\n", err->why);
    }
    fprintf(file, "  fix: %s\n", fix);
    fflush(file);
    return (int)flo_error_exit(code);
}
