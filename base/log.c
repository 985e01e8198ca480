/* Log: one line per event on stderr.  A line is one write, so the lines of
 * threads and processes never mix. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/base.h>

static const char *const level_names[] = {"error", "warn", "info", "debug"};

/* The lowest level that is logged; -1 before the first use. */
static atomic_int log_level = -1;

static int log_level_now(void)
{
    int level = atomic_load_explicit(&log_level, memory_order_relaxed);

    if (level >= 0) {
        return level;
    }
    const char *spec = getenv("FLOTILLA_LOG");
    level = FLO_LOG_INFO;
    for (size_t i = 0; spec != NULL && i < FLO_COUNT(level_names); i++) {
        if (strcmp(spec, level_names[i]) == 0) {
            level = (int)i;
        }
    }
    atomic_store_explicit(&log_level, level, memory_order_relaxed);
    return level;
}

void flo_log_level_set(enum flo_log_level level)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

static void (*_Atomic log_keep)(const char *line, size_t bytes);

void flo_log_keep(void (*keep)(const char *line, size_t bytes))
{
    atomic_store(&log_keep, keep);
}

void flo_log(enum flo_log_level level, const char *area, const char *format, ...)
{
    char sentence[1024];
    char line[2048];
    char clean[1600];
    char now[25];
    va_list args;

    if ((int)level > log_level_now()) {
        return;
    }
    int number = errno;
    va_start(args, format);
    int chars = vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    size_t bytes = chars < 0 ? 0 : (size_t)chars;
    bytes = bytes >= sizeof(sentence) ? sizeof(sentence) - 1 : bytes;
    flo_text_clean(sentence, bytes, clean, sizeof(clean));
    flo_time_text(flo_wall_ms(), now);
    chars = snprintf(line, sizeof(line), "%s %-5s %s %s\n", now, level_names[level], area, clean);
    if (chars > 0) {
        bytes = (size_t)chars;
        if (bytes >= sizeof(line)) {
            bytes = sizeof(line) - 1;
            line[bytes - 1] = '\n';
        }
        ssize_t written = write(STDERR_FILENO, line, bytes);
        (void)written; /* an error of the log cannot be reported anywhere */
        void (*keep)(const char *, size_t) = atomic_load(&log_keep);
        if (keep != NULL) {
            keep(line, bytes);
        }
    }
    errno = number;
}

void flo_log_err(enum flo_log_level level, const char *area, const struct flo_err *err)
{
    const char *what = err->what[0] != '\0' ? err->what : flo_error_meaning(err->code);

    if (err->why[0] != '\0') {
        flo_log(level, area, "%s: %s (%s)", flo_error_id(err->code), what, err->why);
    } else {
        flo_log(level, area, "%s: %s", flo_error_id(err->code), what);
    }
}
