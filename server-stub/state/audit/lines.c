/* Lines: exchanges the lines of audit.head with the shared database. */
#include "server-stub/state/audit/lines.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server-stub/store/lines.h"

#define FILE_BYTES_MAX (64u << 20)

/* ---- writing ---- */

static int put_all(struct flo_controller *controller, uint64_t number, const char *text,
                   struct flo_err *err)
{
    struct flo_fleet_store *store = controller->store;

    FLO_TRY(flo_fleet_begin(store, err));
    int rv = number == 0 ? flo_fleet_audit_lines_clear(store, err) : 0;
    while (rv == 0 && *text != '\0') {
        const char *end = strchr(text, '\n');
        char FLO_CLEANUP(flo_free_cleanup) *line =
            end != NULL ? strndup(text, (size_t)(end - text)) : NULL;
        if (end == NULL) {
            break; /* The last line is incomplete, because a power cut interrupted its writing. */
        }
        rv = line == NULL ? flo_fail(err, FLO_E_MEMORY, "audit heads")
                          : flo_fleet_audit_line_put(store, number++, line, err);
        text = end + 1;
    }
    if (rv < 0) {
        flo_fleet_roll_back(store);
        return rv;
    }
    return flo_fleet_commit(store, err);
}

int flo_audit_lines_put(struct flo_controller *controller, uint64_t number, const char *line,
                        struct flo_err *err)
{
    return flo_controller_is_shared(controller) ? put_all(controller, number, line, err) : 0;
}

/* ---- reading ---- */

struct pulled {
    struct flo_buf lacks; /* lines that only the database has, each with its line feed */
    const char *last;     /* last line of the file; NULL: the file has no line */
    size_t last_bytes;
    uint64_t lines; /* number of lines in the file */
    uint64_t rows;  /* number of rows read so far, starting at the file's last line */
    bool differs;
};

static int take_row(void *context, uint64_t number, const char *text)
{
    struct pulled *pulled = context;

    pulled->rows++;
    if (number + 1 == pulled->lines) {
        pulled->differs = strlen(text) != pulled->last_bytes ||
                          memcmp(text, pulled->last, pulled->last_bytes) != 0;
    } else {
        flo_buf_text(&pulled->lacks, text);
        flo_buf_text(&pulled->lacks, "\n");
    }
    return 0;
}

/* Counts the complete lines of the file.  *whole receives the number of their
 * bytes. */
static void count_lines(struct pulled *pulled, const char *text, size_t bytes, size_t *whole)
{
    const char *end;

    *whole = 0;
    while ((end = memchr(text + *whole, '\n', bytes - *whole)) != NULL) {
        pulled->last = text + *whole;
        pulled->last_bytes = (size_t)(end - pulled->last);
        pulled->lines++;
        *whole = (size_t)(end - text) + 1;
    }
}

static int append(const char *path, size_t whole, const struct flo_buf *lacks, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup)
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path);
    }
    if (ftruncate(fd, (off_t)whole) < 0 || lseek(fd, 0, SEEK_END) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
    }
    FLO_TRY(flo_fd_write_all(fd, lacks->data, lacks->bytes, err));
    return fdatasync(fd) < 0 ? flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path) : 0;
}

static int take_any(void *context, uint64_t number, const char *text)
{
    (void)number, (void)text;
    *(bool *)context = true;
    return 1;
}

/* Decides when no row of the database has the number of the file's last line.
 * A database without any lines gets all lines of the file.  Otherwise its
 * newest lines were removed, so *differs is set. */
static int first_time(struct flo_controller *controller, const char *text, bool *differs,
                      struct flo_err *err)
{
    FLO_TRY(flo_fleet_audit_lines(controller->store, 0, take_any, differs, err));
    if (*differs) {
        return 0;
    }
    return put_all(controller, 0, text, err);
}

int flo_audit_lines_pull(struct flo_controller *controller, const char *path, bool *differs,
                         struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    struct pulled pulled = {.lacks.bytes_max = FILE_BYTES_MAX};
    size_t bytes = 0, whole = 0;

    *differs = false;
    if (!flo_controller_is_shared(controller)) {
        return 0;
    }
    int rv = flo_file_read(path, FILE_BYTES_MAX, &text, &bytes, err);
    if (rv != FLO_E_ABSENT) {
        FLO_TRY(rv);
    }
    if (text != NULL) {
        count_lines(&pulled, text, bytes, &whole);
    }
    rv = flo_fleet_audit_lines(controller->store, pulled.lines > 0 ? pulled.lines - 1 : 0, take_row,
                               &pulled, err);
    if (rv == 0 && pulled.rows == 0 && pulled.lines > 0) {
        rv = first_time(controller, text, differs, err);
    } else if (rv == 0 && pulled.lacks.bytes > 0 && !pulled.differs) {
        rv = pulled.lacks.failed ? flo_fail(err, FLO_E_MEMORY, "audit heads")
                                 : append(path, whole, &pulled.lacks, err);
    }
    *differs = *differs || pulled.differs;
    flo_buf_deinit(&pulled.lacks);
    return rv;
}
