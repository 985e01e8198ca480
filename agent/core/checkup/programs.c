/* Programs: writes files of runtimes.d for programs that were found on the
 * machine. */
#include "agent/core/checkup/checkup.h"

#include <string.h>

static const struct flo_server_program rows[] = {
#define FLO_PROGRAM(word, name, title, program, files, keys) {name, title, program, files, keys},
#include "agent/core/checkup/programs.def"
#undef FLO_PROGRAM
};

size_t flo_server_programs(const struct flo_server_program **out)
{
    *out = rows;
    return FLO_COUNT(rows);
}

bool flo_server_path_is_plain(const char *path)
{
    return path[0] == '/' &&
           path[strspn(path,
                       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+-")] ==
               '\0';
}

/* Adds a YAML list of texts, which need no quotes. */
static void add_list(struct flo_buf *out, const char *key, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        flo_buf_printf(out, "%s%s", i == 0 ? key : ", ", i == 0 ? ": [" : "");
        flo_buf_text(out, texts[i]);
    }
    flo_buf_text(out, count > 0 ? "]\n" : "");
}

void flo_server_write(const struct flo_server_program *program, const char *path,
                      const char *const *devices, size_t n_devices, struct flo_buf *out)
{
    for (const char *p = program->keys; *p != '\0'; p++) {
        if (*p == '@') {
            flo_buf_text(out, path);
        } else {
            flo_buf_add(out, p, 1);
        }
    }
    add_list(out, "devices", devices, n_devices);
}
