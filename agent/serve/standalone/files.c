/* Files: reads files for `flotilla-agent serve`; see files.h. */
#include "agent/serve/standalone/files.h"

#include <ctype.h>
#include <string.h>
#include <sys/stat.h>

#include <flotilla/errors/cfg.h>

int flo_serve_token_read(const char *path, char **out, struct flo_err *err)
{
    struct stat st;
    size_t bytes;
    if (stat(path, &st) == 0 && (st.st_mode & 077) != 0) {
        return flo_fail(err, FLO_E_CFG_PERM, "%s has mode %04o, others can read the token", path,
                        (unsigned)(st.st_mode & 07777));
    }
    FLO_TRY(flo_file_read(path, 4096, out, &bytes, err));
    (*out)[strcspn(*out, " \t\r\n")] = '\0';
    return 0;
}

void flo_serve_file_name(const char *path, char out[FLO_NAME_MAX + 1])
{
    const char *base = strrchr(path, '/');
    size_t n = 0;
    base = base != NULL ? base + 1 : path;
    for (const char *c = base; *c != '\0' && n < FLO_NAME_MAX; c++) {
        if (strcmp(c, ".gguf") == 0) {
            break;
        }
        int lower = tolower((unsigned char)*c);
        bool is_fine = isalnum(lower) || (n > 0 && strchr("._-", lower));
        int plain = n > 0 ? '-' : 'm';
        out[n++] = (char)(is_fine ? lower : plain);
    }
    out[n] = '\0';
    if (!flo_name_is_valid(out)) {
        strcpy(out, "model");
    }
}

uint64_t flo_serve_file_modified_s(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && st.st_mtime > 0 ? (uint64_t)st.st_mtime : 0;
}
